/* SPDX-License-Identifier: MIT */
/* summary.c - what a run shows: a line while it goes on, a page when it has ended. */

#include "services/pipeline/engine.h"

#include <inttypes.h>
#include <string.h>
#include <sys/ioctl.h>

#include "services/pipeline/health.h"
#include "services/pipeline/log.h"

#define BAR 24
#define NAME_WIDTH 24 /* longer names push their figures aside */
#define COLUMNS 80 /* of a terminal that does not say */

static double seconds(const struct lade_pipe_engine *e, int64_t until_ns)
{
	double s = (double)(until_ns - e->stats.started_ns) / 1e9;

	return s > 0 ? s : 1e-9;
}

static int draw_bar(const struct lade_pipe_engine *e, char *at, size_t room)
{
	double part = (double)e->stats.bytes_read / (double)e->stats.bytes_total;
	char bar[BAR + 1];

	if (part > 1) /* the file has grown */
		part = 1;
	for (int i = 0; i < BAR; i++)
		bar[i] = i < (int)(part * BAR) ? '#' : '.';
	bar[BAR] = 0;
	return snprintf(at, room, "[%s] %3.0f %%  ", bar, 100 * part);
}

static const char *first_trouble(const struct lade_pipe_engine *e)
{
	for (int i = 0; i < e->n_stages; i++)
		if (e->stages[i].trouble_since_ns)
			return e->stages[i].trouble;
	for (int i = 0; i < e->n_outlets; i++)
		if (e->outlets[i].trouble_since_ns)
			return e->outlets[i].trouble;
	return e->dead.trouble_since_ns ? e->dead.trouble : NULL;
}

/* A line that wraps cannot be rewritten: only its last row would be. */
static int columns(const struct lade_pipe_engine *e)
{
	struct winsize size;

	if (ioctl(fileno(e->log), TIOCGWINSZ, &size) < 0 || size.ws_col < 2)
		return COLUMNS;
	return size.ws_col;
}

double lade_pipe_rate(const struct lade_pipe_engine *e)
{
	return (double)e->stats.in /
	       seconds(e, e->stats.ended_ns ? e->stats.ended_ns : lade_now().mono_ns);
}

void lade_pipe_progress(struct lade_pipe_engine *e)
{
	const struct lade_pipe_stats *s = &e->stats;
	int64_t now_ns = lade_now().mono_ns;
	double rate = (double)(s->in - e->shown_in) / ((double)(now_ns - e->shown_ns) / 1e9);
	const char *trouble = first_trouble(e);
	char line[512];
	int n = 0;

	if (!e->shown_ns)
		rate = (double)s->in / seconds(e, now_ns);
	e->shown_in = s->in;
	e->shown_ns = now_ns;
	if (e->config->log_json) {
		lade_pipe_log_figures(e, "progress", rate);
		return;
	}
	if (e->live && s->bytes_total > 0)
		n += draw_bar(e, line, sizeof(line));
	n += snprintf(line + n, sizeof(line) - (size_t)n,
		      "%" PRIu64 " in, %" PRIu64 " out, %.0f/s", s->in, s->out, rate);
	if (s->rejected)
		n += snprintf(line + n, sizeof(line) - (size_t)n, ", %" PRIu64 " rejected",
			      s->rejected);
	if (trouble)
		n += snprintf(line + n, sizeof(line) - (size_t)n, ", waits: %.*s",
			      e->live ? 60 : 200, trouble);
	snprintf(line + n, sizeof(line) - (size_t)n, ", %" PRId64 " in flight, %.0f a batch",
		 lade_pipe_lanes_in_flight(e),
		 s->batches ? (double)s->in / (double)s->batches : 0.0);
	if (e->live)
		fprintf(e->log, "\r\033[K%.*s", columns(e) - 1, line);
	else
		fprintf(e->log, "%s: %s\n", e->config->name, line);
	fflush(e->log);
}

/* How wide the names are that figures stand behind. */
static int name_width(const struct lade_pipe_engine *e)
{
	char name[LADE_PLACE_ROOM];
	size_t width = strlen("batches");

	for (int i = 0; i < e->n_stages; i++)
		if (strlen(e->stages[i].config->name) > width)
			width = strlen(e->stages[i].config->name);
	for (int i = 0; i < e->n_outlets; i++)
		if (strlen(lade_pipe_outlet_name(&e->outlets[i], name)) > width)
			width = strlen(name);
	return width > NAME_WIDTH ? NAME_WIDTH : (int)width;
}

static void print_batches(const struct lade_pipe_engine *e, int width, FILE *out)
{
	const char *comma = "";

	fprintf(out, "  %-*s  %" PRIu64 " closed by:", width, "batches", e->stats.batches);
	for (int i = 0; i < LADE_BATCH_REASONS; i++) {
		if (!e->stats.by_reason[i])
			continue;
		fprintf(out, "%s %s %" PRIu64, comma, lade_batch_reason_name(i),
			e->stats.by_reason[i]);
		comma = ",";
	}
	fputc('\n', out);
}

/* What the calls of a step are called. */
static const char *call_name(const struct lade_pipe_stage *s)
{
	switch (s->config->kind) {
	case LADE_STEP_HTTP:
		return s->calls == 1 ? "request" : "requests";
	case LADE_STEP_PLUGIN:
		return s->calls == 1 ? "call" : "calls";
	default:
		return s->calls == 1 ? "query" : "queries";
	}
}

static void print_stage(const struct lade_pipe_stage *s, int width, FILE *out)
{
	bool http = s->config->kind == LADE_STEP_HTTP;
	uint64_t not_made = s->breaker.refused, made = s->calls + not_made;
	uint64_t wanted = s->asked + s->again;
	uint64_t saved = s->calls && wanted > made ? wanted - made : 0;

	fprintf(out, "  %-*s  %" PRIu64 " %s for %" PRIu64 " message%s", width, s->config->name,
		s->calls, call_name(s), s->asked, s->asked == 1 ? "" : "s");
	if (s->again)
		fprintf(out, ", %" PRIu64 " tried again", s->again);
	if (saved)
		fprintf(out, ", %" PRIu64 " saved by %s", saved,
			http		  ? "sharing and caching"
			: s->config->cache.on ? "batching and caching"
					      : "batching");
	if (s->errors)
		fprintf(out, ", %" PRIu64 " failed", s->errors);
	if (s->breaker.opened)
		fprintf(out, ", the circuit opened %" PRIu64 " time%s (%" PRIu64 " not made)",
			s->breaker.opened, s->breaker.opened == 1 ? "" : "s", not_made);
	if (s->hedges)
		fprintf(out, ", %" PRIu64 " asked twice", s->hedges);
	fprintf(out, "; %.2f s\n", (double)s->busy_ns / 1e9);
}

void lade_pipe_summary(const struct lade_pipe_engine *e, FILE *out)
{
	const struct lade_pipe_stats *s = &e->stats;
	double took = seconds(e, s->ended_ns);
	char name[LADE_PLACE_ROOM];
	int width = name_width(e);

	fprintf(out, "\n%s: %" PRIu64 " message%s in %.2f s, %.0f a second\n", e->config->name,
		s->in, s->in == 1 ? "" : "s", took, (double)s->in / took);
	fprintf(out, "  %-*s  %" PRIu64 ", dropped %" PRIu64 ", rejected %" PRIu64 "\n", width,
		"out", s->out, s->dropped, s->rejected);
	if (s->batches)
		print_batches(e, width, out);
	for (int i = 0; i < e->n_stages; i++)
		print_stage(&e->stages[i], width, out);
	for (int i = 0; i < e->n_outlets; i++)
		fprintf(out, "  %-*s  %" PRIu64 " written\n", width,
			lade_pipe_outlet_name(&e->outlets[i], name), e->outlets[i].written);
	if (s->retries)
		fprintf(out, "  %-*s  %" PRIu64 "\n", width, "retries", s->retries);
	if (s->out + s->dropped + s->rejected)
		fprintf(out, "  %-*s  first message of a batch to its acknowledgement: "
			"p50 %.1f ms, p99 %.1f ms\n", width, "latency",
			lade_pipe_times_ms(s->latency.n, 0.5),
			lade_pipe_times_ms(s->latency.n, 0.99));
	fflush(out);
}
