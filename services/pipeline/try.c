/* SPDX-License-Identifier: MIT */
/* try.c - real messages through the steps of a pipeline, each step shown, nothing written.
 *
 * DESIGN
 * The engine runs as ever, but for what would leave a trace: it opens no sink and no dead letter,
 * so nothing is written and no offset is read or moved. Batches go one after the other, and behind
 * each step all messages of the batch are shown as they are then. */

#include "services/pipeline/engine.h"

#include <errno.h>
#include <inttypes.h>

/* What a message is called: its line, or, after a restart or without lines, its place. */
static int64_t number_of(const struct lade_pipe_batch *b, uint32_t i)
{
	return b->messages[i].line ? b->messages[i].line : (int64_t)i + 1;
}

/* A message as it is now, on a line of its own. */
static void show_message(const struct lade_pipe_engine *e, const struct lade_pipe_batch *b,
			 uint32_t i, const struct lade_pipe_shape *shape)
{
	struct lade_json_out out;
	struct lade_json_error error;
	int rc;

	lade_json_out_init(&out, (size_t)256 << 20);
	rc = lade_pipe_message_write(&b->messages[i], shape, b->reader, &out, &error);
	fprintf(e->show, "  %" PRId64 "  ", number_of(b, i));
	if (rc == 0)
		fwrite(out.data, 1, out.len, e->show);
	else
		fputs(rc == -EBADMSG ? error.reason : "out of memory", e->show);
	fputc('\n', e->show);
	lade_json_out_done(&out);
}

static void show_messages(const struct lade_pipe_engine *e, const struct lade_pipe_batch *b,
			  const struct lade_pipe_shape *shape)
{
	for (uint32_t i = 0; i < b->n; i++) {
		const struct lade_pipe_fate *fate = &b->fates[i];

		if (fate->verdict == LADE_VERDICT_OK)
			show_message(e, b, i, shape);
		else if (fate->verdict == LADE_VERDICT_DROP)
			fprintf(e->show, "  %" PRId64 "  dropped\n", number_of(b, i));
		else
			fprintf(e->show, "  %" PRId64 "  rejected by %s: %s\n", number_of(b, i),
				fate->step, fate->reason);
	}
	for (uint32_t i = 0; i < b->n_rejected; i++)
		fprintf(e->show, "  %" PRId64 "  rejected by %s: %s\n", b->rejected[i].line,
			b->rejected_fates[i].step, b->rejected_fates[i].reason);
}

void lade_pipe_show_read(const struct lade_pipe_engine *e, const struct lade_pipe_batch *b)
{
	fprintf(e->show, "read: %" PRIu32 " message%s of %s, closed by %s\n", b->n,
		b->n == 1 ? "" : "s", b->n_parts ? b->parts[0].lane->name : "the source",
		lade_batch_reason_name(b->reason));
	show_messages(e, b, e->shapes[0]);
}

void lade_pipe_show_step(const struct lade_pipe_stage *stage, const struct lade_pipe_batch *b,
			 uint64_t calls_before, int64_t took_ns)
{
	const struct lade_pipe_engine *e = stage->engine;
	uint64_t calls = stage->calls - calls_before;
	const char *what = stage->config->kind == LADE_STEP_HTTP ? "request" : "query";

	fprintf(e->show, "%s: %" PRIu64 " %s%s, %.1f ms\n", stage->config->name, calls,
		calls == 1   ? what
		: *what == 'r' ? "requests"
			       : "queries",
		stage->makes_new && b->dropped ? ", some messages are left out" : "",
		(double)took_ns / 1e6);
	show_messages(e, b, stage->out);
}

/* The configuration without what leaves a trace, and in order. */
static struct lade_pipe_config without_traces(const struct lade_pipe_config *config, uint32_t n)
{
	struct lade_pipe_config tried = *config;

	tried.n_sinks = 0;
	tried.delivery = LADE_AT_LEAST_ONCE;
	tried.errors.dead_kind = LADE_DEAD_NONE;
	tried.errors.reject_rate_max = 10000;
	tried.order = LADE_ORDER_PARTITION;
	tried.concurrency = 1;
	if (tried.batch.messages_max > (int64_t)n)
		tried.batch.messages_max = n;
	return tried;
}

/* What it waited for in vain. */
static void say_late(struct lade_pipe_engine *e, int64_t timeout_ns)
{
	uint64_t done = e->stats.out + e->stats.dropped + e->stats.rejected;
	const char *what = *e->waits	  ? e->waits
			   : !e->stats.in ? "no message has come from the source"
			   : done < e->stats.in
				   ? "a step has not answered"
				   : "no further message has come from the source; -n COUNT asks"
				     " for fewer";

	e->failed = true;
	e->placed = false;
	e->exit = LADE_EXIT_FAILED;
	snprintf(e->why, sizeof(e->why), "given up after %g s: %s; --timeout DURATION waits longer",
		 (double)timeout_ns / 1e9, what);
}

int lade_pipe_try(const struct lade_pipe_config *config, uint32_t n, int64_t timeout_ns, FILE *out,
		  FILE *log, int *ret_exit)
{
	struct lade_pipe_config tried = without_traces(config, n);
	struct lade_pipe_engine *e = lade_pipe_engine_new(&tried, NULL, log);
	int rc;

	if (!e)
		return -ENOMEM;
	e->show = out;
	e->read_max = n;
	rc = lade_within(lade_ns(timeout_ns), lade_pipe_engine_run(e));
	if (rc == -ETIME && (!e->failed || e->exit == LADE_EXIT_UNFINISHED))
		say_late(e, timeout_ns);
	if (rc == 0 && !e->failed)
		fprintf(out, "%" PRIu64 " read, %" PRIu64 " would be written, %" PRIu64
			" dropped, %" PRIu64 " rejected; nothing was written\n",
			e->stats.in, e->stats.out, e->stats.dropped, e->stats.rejected);
	fflush(out);
	if (e->failed)
		lade_pipe_print_why(e, log);
	*ret_exit = e->failed ? e->exit : LADE_EXIT_DONE;
	lade_pipe_engine_free(e);
	return rc == -ENOMEM || rc == -ECANCELED ? rc : 0;
}
