/* SPDX-License-Identifier: MIT */
/* admin.c - what `lade top` and `lade tap` ask a running pipeline, over its socket.
 *
 * DESIGN
 * Counters go over the wire as they are, from the run's beginning; whoever looks makes rates of
 * them, and so any number may look at once.
 *
 * LIMITS  a request of 4 KiB; a connection that says nothing for 60 s, or takes nothing for 10 s,
 * is closed; 1,000 lanes. */

#include "services/pipeline/admin.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "services/pipeline/health.h"
#include "services/pipeline/taps.h"

#define REQUEST_MAX 4096	   /* bytes of a request */
#define ANSWER_MAX ((size_t)4 << 20) /* bytes of an answer */
#define LANES_MAX 1000		   /* lanes of an answer */

/* Figures */

static void put_text(struct lade_json_out *out, const char *name, const char *text)
{
	lade_pipe_put(out, ",\"%s\":", name);
	lade_json_out_string(out, text, strlen(text));
}

static void put_number(struct lade_json_out *out, const char *name, uint64_t value)
{
	lade_pipe_put(out, ",\"%s\":%" PRIu64, name, value);
}

static void put_times(struct lade_json_out *out, const struct lade_pipe_times *t)
{
	lade_pipe_put(out, ",\"took\":[");
	for (int i = 0; i < LADE_TIME_BUCKETS; i++)
		lade_pipe_put(out, i ? ",%" PRIu64 : "%" PRIu64, t->n[i]);
	lade_pipe_put(out, "]");
}

static uint64_t milliseconds_since(int64_t since_ns)
{
	return since_ns ? (uint64_t)(lade_now().mono_ns - since_ns) / 1000000 : 0;
}

static void put_trouble(struct lade_json_out *out, int64_t since_ns, const char *trouble)
{
	if (!since_ns)
		return;
	put_text(out, "trouble", trouble);
	put_number(out, "trouble_ms", milliseconds_since(since_ns));
}

static void put_pipeline(const struct lade_pipe_engine *e, struct lade_json_out *out)
{
	const struct lade_pipe_stats *s = &e->stats;

	lade_pipe_put(out, "{\"what\":\"pipeline\"");
	put_text(out, "name", e->config->name);
	put_number(out, "pid", lade_simulated() ? 1 : (uint64_t)getpid());
	put_number(out, "run_ms", milliseconds_since(s->started_ns));
	put_number(out, "in", s->in);
	put_number(out, "out", s->out);
	put_number(out, "dropped", s->dropped);
	put_number(out, "rejected", s->rejected);
	put_number(out, "batches", s->batches);
	put_number(out, "retries", s->retries);
	put_number(out, "fenced", s->fenced);
	put_number(out, "rewound", s->rewound);
	put_number(out, "aborted", s->aborted);
	put_number(out, "lost", s->lost);
	put_number(out, "late", lade_pipe_late(e));
	put_number(out, "in_flight", (uint64_t)lade_pipe_lanes_in_flight(e));
	if (s->bytes_total > 0) {
		put_number(out, "bytes", (uint64_t)s->bytes_read);
		put_number(out, "bytes_total", (uint64_t)s->bytes_total);
	}
	put_times(out, &s->latency);
	if (e->stopped)
		lade_pipe_put(out, ",\"stopping\":true");
	lade_pipe_put(out, "}\n");
}

static void put_batches(const struct lade_pipe_engine *e, struct lade_json_out *out)
{
	for (int i = 0; i < LADE_BATCH_REASONS; i++) {
		if (!e->stats.by_reason[i])
			continue;
		lade_pipe_put(out, "{\"what\":\"closed\"");
		put_text(out, "name", lade_batch_reason_name(i));
		put_number(out, "count", e->stats.by_reason[i]);
		lade_pipe_put(out, "}\n");
	}
}

static void put_lanes(const struct lade_pipe_engine *e, struct lade_json_out *out)
{
	int n = 0;

	for (const struct lade_pipe_lane *l = e->lanes; l && n < LANES_MAX; l = l->next, n++) {
		lade_pipe_put(out, "{\"what\":\"lane\"");
		put_text(out, "name", l->name);
		put_text(out, "unit", lade_pipe_unit(e));
		lade_pipe_put(out, ",\"part\":%" PRId64, l->part);
		put_number(out, "offset", (uint64_t)l->commit_offset);
		put_number(out, "in_flight", (uint64_t)l->in_flight);
		if (lade_pipe_lag(l) >= 0)
			put_number(out, "lag", (uint64_t)lade_pipe_lag(l));
		lade_pipe_put(out, "}\n");
	}
}

static void put_steps(const struct lade_pipe_engine *e, struct lade_json_out *out)
{
	for (int i = 0; i < e->n_stages; i++) {
		const struct lade_pipe_stage *s = &e->stages[i];

		lade_pipe_put(out, "{\"what\":\"step\"");
		put_text(out, "name", s->config->name);
		put_text(out, "type", lade_pipe_step_type(s->config->kind));
		put_number(out, "calls", s->calls);
		put_number(out, "asked", s->asked);
		put_number(out, "errors", s->errors);
		put_number(out, "open", s->breaker.open_until_ns != 0);
		put_number(out, "refused", s->breaker.refused);
		put_number(out, "hedges", s->hedges);
		put_number(out, "hedges_won", s->hedges_won);
		put_times(out, &s->took);
		put_trouble(out, s->trouble_since_ns, s->trouble);
		lade_pipe_put(out, "}\n");
	}
}

static void put_sinks(const struct lade_pipe_engine *e, struct lade_json_out *out)
{
	const struct lade_pipe_outlet *o;
	char name[LADE_PLACE_ROOM];

	for (int i = 0; (o = lade_pipe_outlet_at(e, i)); i++) {
		lade_pipe_put(out, "{\"what\":\"sink\"");
		put_text(out, "name", lade_pipe_outlet_name(o, name));
		put_number(out, "written", o->written);
		put_number(out, "errors", o->errors);
		put_times(out, &o->took);
		put_trouble(out, o->trouble_since_ns, o->trouble);
		lade_pipe_put(out, "}\n");
	}
}

static void put_oldest(const struct lade_pipe_engine *e, struct lade_json_out *out)
{
	struct lade_pipe_oldest oldest;
	char place[LADE_PLACE_ROOM];

	if (!lade_pipe_oldest(e, &oldest))
		return;
	lade_pipe_put(out, "{\"what\":\"oldest\"");
	put_text(out, "place", lade_pipe_place(e, oldest.lane, oldest.offset, place));
	put_text(out, "waits_for", oldest.waits_for);
	put_number(out, "age_ms", (uint64_t)oldest.age_ns / 1000000);
	lade_pipe_put(out, "}\n");
}

void lade_pipe_figures(const struct lade_pipe_engine *e, struct lade_json_out *out)
{
	put_pipeline(e, out);
	put_batches(e, out);
	put_lanes(e, out);
	put_steps(e, out);
	put_sinks(e, out);
	put_oldest(e, out);
	lade_pipe_put(out, "{\"what\":\"end\"}\n");
}

/* Requests */

/* What requests are read with. */
struct asking {
	struct lade_pipe_engine *engine;
	int fd;
	struct lade_json_reader *reader;
	struct lade_json_paths *paths;
	struct lade_json_span at[4];	/* of ask, step, n, every */
	const char *line;		/* the request */
	char room[REQUEST_MAX];		/* for texts with escapes */
};

enum { ASK, STEP, COUNT, EVERY };

static int prepare(struct asking *a)
{
	static const char *const names[] = { ".ask", ".step", ".n", ".every" };
	struct lade_json_error error;
	unsigned slot;
	int rc;

	a->paths = lade_json_paths_new();
	rc = a->paths ? lade_json_reader_new(&a->reader) : -ENOMEM;
	for (int i = 0; rc == 0 && i < 4; i++)
		rc = lade_json_paths_add(a->paths, names[i], strlen(names[i]), &slot, &error);
	return rc;
}

static int say(struct asking *a, const struct lade_json_out *out)
{
	size_t done = 0;

	return out->status < 0 ? out->status
			       : lade_within(lade_s(10),
					     lade_write_all(a->fd, out->data, out->len, &done));
}

static int say_error(struct asking *a, const char *error)
{
	struct lade_json_out out;
	int rc;

	lade_json_out_init(&out, ANSWER_MAX);
	lade_pipe_put(&out, "{\"what\":\"error\"");
	put_text(&out, "error", error);
	lade_pipe_put(&out, "}\n");
	rc = say(a, &out);
	lade_json_out_done(&out);
	return rc;
}

/* A text of the request, with a 0 behind it; "": it has none. */
static const char *text_of(struct asking *a, int which, char *room, size_t room_len)
{
	const struct lade_want want = { LADE_TEXT, false };
	struct lade_json_error error;
	struct lade_datum d;

	*room = 0;
	if (a->at[which].len && lade_json_convert(a->line, a->at[which], want, a->room,
						  sizeof(a->room), &d, &error) == 0)
		snprintf(room, room_len, "%.*s", (int)d.len, d.text);
	return room;
}

/* A number of the request that is 1 at least; @otherwise where it has none. */
static uint64_t number_of(struct asking *a, int which, uint64_t otherwise)
{
	const struct lade_want want = { LADE_INTEGER, false };
	struct lade_json_error error;
	struct lade_datum d;

	if (a->at[which].len &&
	    lade_json_convert(a->line, a->at[which], want, a->room, sizeof(a->room), &d, &error) ==
		    0 &&
	    d.integer > 0)
		return (uint64_t)d.integer;
	return otherwise;
}

/* The steps that there are, for somebody who asked for another one. */
static int say_steps(struct asking *a, const char *name)
{
	char text[1024];
	int n = snprintf(text, sizeof(text), "there is no step '%.80s'; there are source", name);

	for (int i = 0; i < a->engine->n_stages && n < (int)sizeof(text); i++)
		n += snprintf(text + n, sizeof(text) - (size_t)n, ", %s",
			      a->engine->stages[i].config->name);
	return say_error(a, text);
}

static int answer_tap(struct asking *a)
{
	char name[80];
	struct lade_pipe_tap tap = {
		.point = lade_pipe_tap_point(a->engine, text_of(a, STEP, name, sizeof(name))),
		.every = number_of(a, EVERY, 1),
		.left = number_of(a, COUNT, UINT64_MAX),
	};
	int rc;

	if (tap.point < 0)
		return say_steps(a, name);
	if (lade_pipe_tap_open(&tap, a->engine) < 0)
		return say_error(a, "others look already; at most 4 may at a time");
	rc = lade_pipe_tap_give(&tap, a->fd);
	lade_pipe_tap_close(&tap);
	return rc < 0 ? rc : -EPIPE; /* the connection was for this */
}

static int answer_top(struct asking *a, bool health)
{
	struct lade_json_out out, text;
	int rc;

	lade_json_out_init(&out, ANSWER_MAX);
	lade_json_out_init(&text, ANSWER_MAX);
	if (health) {
		bool well = lade_pipe_health(a->engine, &text);

		lade_pipe_put(&out, "{\"what\":\"health\",\"healthy\":%s,\"text\":",
			      well ? "true" : "false");
		lade_json_out_string(&out, text.data, text.len);
		lade_pipe_put(&out, "}\n{\"what\":\"end\"}\n");
	} else {
		lade_pipe_figures(a->engine, &out);
	}
	rc = say(a, &out);
	lade_json_out_done(&text);
	lade_json_out_done(&out);
	return rc;
}

static int answer(struct asking *a, const struct lade_line *line)
{
	struct lade_json_error error;
	char ask[16];

	a->line = line->text;
	if (line->too_long ||
	    lade_json_read(a->reader, a->paths, line->text, line->len, 0, a->at, &error) < 0)
		return say_error(a, "a request is a JSON object of at most 4,096 bytes a line");
	text_of(a, ASK, ask, sizeof(ask));
	if (strcmp(ask, "tap") == 0)
		return answer_tap(a);
	if (strcmp(ask, "top") == 0 || strcmp(ask, "health") == 0)
		return answer_top(a, *ask == 'h');
	return say_error(a, "ask for top, health or tap");
}

static int answer_all(struct asking *a)
{
	struct lade_line_stream *in = lade_lines_of(a->fd, 0, 1, REQUEST_MAX);
	struct lade_line line;
	int rc = in ? 0 : -ENOMEM;

	while (rc >= 0 && (rc = lade_within(lade_s(60), lade_line_next(in, &line))) > 0) {
		rc = answer(a, &line);
		lade_line_drop(&line);
	}
	lade_line_stream_close(in);
	return rc;
}

int lade_pipe_admin_talk(struct lade_pipe_engine *e, int fd)
{
	struct asking *a = calloc(1, sizeof(*a));
	int rc = a ? 0 : -ENOMEM;

	if (a) {
		a->engine = e;
		a->fd = fd;
		rc = prepare(a);
		if (rc == 0)
			rc = answer_all(a);
		lade_json_reader_free(a->reader);
		lade_json_paths_free(a->paths);
		free(a);
	}
	lade_close(fd);
	return rc;
}
