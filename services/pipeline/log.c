/* SPDX-License-Identifier: MIT */
/* log.c - what a run says, as lines of JSON for machines.
 *
 * DESIGN
 * What has figures is written as an object here. All else is text as for people, and becomes an
 * object on its way out: so nothing that is said can be missing, or be a line of another kind. */

#include "services/pipeline/log.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "services/pipeline/health.h"

#define LINE_MAX_BYTES ((size_t)64 << 10) /* of a line; what is longer is cut */

/* A stream on its way to another one. */
struct json_log {
	const char *pipeline;
	int process;		   /* 0: it is alone */
	FILE *to;
	struct lade_json_out line; /* what was written of the present line */
};

static void put_text(struct lade_json_out *out, const char *name, const char *text, size_t len)
{
	size_t before = out->len;

	lade_pipe_put(out, ",\"%s\":", name);
	lade_json_out_string(out, text, len);
	if (out->status != -EILSEQ)
		return;
	out->status = 0; /* no UTF-8: without it rather than without the line */
	out->len = before;
}

/* One line, which is text or has been an object already. */
static void put_line(struct json_log *l)
{
	const char *text = l->line.data ? l->line.data : "";
	size_t len = l->line.len, name = strlen(l->pipeline);
	char time[LADE_TIMESTAMP_ROOM];
	struct lade_json_out out;

	if (len == 0)
		return;
	lade_timestamp_format(lade_wall_ns() / 1000, time);
	lade_json_out_init(&out, 2 * LINE_MAX_BYTES);
	lade_pipe_put(&out, "{\"time\":\"%s\"", time);
	put_text(&out, "pipeline", l->pipeline, name);
	if (l->process)
		lade_pipe_put(&out, ",\"process\":%d", l->process);
	if (*text == '{') {
		lade_json_out_raw(&out, ",", 1);
		lade_json_out_raw(&out, text + 1, len - 1);
	} else {
		size_t skip = len > name + 2 && memcmp(text, l->pipeline, name) == 0 &&
			      memcmp(text + name, ": ", 2) == 0 ? name + 2 : 0;

		lade_pipe_put(&out, ",\"event\":\"log\"");
		put_text(&out, "message", text + skip, len - skip);
		lade_pipe_put(&out, "}");
	}
	lade_pipe_put(&out, "\n");
	if (out.status == 0)
		fwrite(out.data, 1, out.len, l->to);
	fflush(l->to);
	lade_json_out_done(&out);
}

static ssize_t log_write(void *cookie, const char *bytes, size_t len)
{
	struct json_log *l = cookie;

	for (size_t i = 0; i < len; i++) {
		if (bytes[i] != '\n') {
			lade_json_out_raw(&l->line, &bytes[i], 1);
			continue;
		}
		put_line(l);
		lade_json_out_reset(&l->line);
	}
	return (ssize_t)len;
}

static int log_close(void *cookie)
{
	struct json_log *l = cookie;

	put_line(l);
	lade_json_out_done(&l->line);
	free(l);
	return 0;
}

FILE *lade_pipe_log_json(const char *pipeline, int process, FILE *to)
{
	struct json_log *l = calloc(1, sizeof(*l));
	FILE *file;

	if (!l)
		return NULL;
	l->pipeline = pipeline;
	l->process = process;
	l->to = to;
	lade_json_out_init(&l->line, LINE_MAX_BYTES);
	file = fopencookie(l, "w", (cookie_io_functions_t){ .write = log_write,
							    .close = log_close });
	if (!file)
		free(l);
	return file;
}

/* Objects */

static void begin(struct lade_json_out *out, const char *event)
{
	lade_json_out_init(out, LINE_MAX_BYTES);
	lade_pipe_put(out, "{\"event\":\"%s\"", event);
}

static void end(const struct lade_pipe_engine *e, struct lade_json_out *out)
{
	lade_pipe_put(out, "}\n");
	if (out->status == 0)
		fwrite(out->data, 1, out->len, e->log);
	fflush(e->log);
	lade_json_out_done(out);
}

void lade_pipe_log_trouble(struct lade_pipe_engine *e, const char *who, const char *trouble,
			   uint64_t failures)
{
	struct lade_json_out out;

	begin(&out, "trouble");
	put_text(&out, "who", who, strlen(who));
	put_text(&out, "message", trouble, strlen(trouble));
	lade_pipe_put(&out, ",\"failures\":%" PRIu64, failures);
	end(e, &out);
}

void lade_pipe_log_recovered(struct lade_pipe_engine *e, const char *who, const char *trouble,
			     double seconds)
{
	struct lade_json_out out;

	begin(&out, "recovered");
	put_text(&out, "who", who, strlen(who));
	put_text(&out, "message", trouble, strlen(trouble));
	lade_pipe_put(&out, ",\"seconds\":%.3f", seconds);
	end(e, &out);
}

void lade_pipe_log_figures(const struct lade_pipe_engine *e, const char *event, double rate)
{
	const struct lade_pipe_stats *s = &e->stats;
	struct lade_json_out out;

	begin(&out, event);
	lade_pipe_put(&out, ",\"in\":%" PRIu64 ",\"out\":%" PRIu64 ",\"dropped\":%" PRIu64
		      ",\"rejected\":%" PRIu64 ",\"batches\":%" PRIu64 ",\"retries\":%" PRIu64,
		      s->in, s->out, s->dropped, s->rejected, s->batches, s->retries);
	lade_pipe_put(&out, ",\"in_flight\":%" PRId64 ",\"per_second\":%.1f",
		      lade_pipe_lanes_in_flight(e), rate);
	lade_pipe_put(&out, ",\"p50_ms\":%.3f,\"p99_ms\":%.3f",
		      lade_pipe_times_ms(s->latency.n, 0.5),
		      lade_pipe_times_ms(s->latency.n, 0.99));
	end(e, &out);
}

void lade_pipe_log_end(const struct lade_pipe_engine *e)
{
	const char *why = *e->why ? e->why : e->nothing_new;
	struct lade_json_out out;

	begin(&out, "end");
	lade_pipe_put(&out, ",\"status\":%d", (int)e->exit);
	if (*why)
		put_text(&out, "message", why, strlen(why));
	end(e, &out);
}
