/* SPDX-License-Identifier: MIT */
/* source.c - lines of a file or of stdin, in timed batches, as messages.
 *
 * DESIGN
 * lines → timed batches → messages, each pulled by the next. The first of them ends when the
 * process is asked to stop: what has been read is flushed at once, what has not stays where it
 * is. A line that is no message gets its verdict here and goes on like any other, so that it is
 * counted, ordered and written to the dead letter in its place.
 *
 * LIMITS  max_in_flight messages of the lane, max_memory of lines read ahead; then nothing is
 * read. */

#include "services/pipeline/engine.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Lines until the process is asked to stop. */
struct until_stop {
	struct lade_pipe_engine *engine;
	struct lade_line_stream *lines;
};

static int noted(struct until_stop *u, int rc, const struct lade_line *line)
{
	if (rc > 0)
		u->engine->stats.bytes_read = line->next_offset;
	return rc;
}

static int until_stop_try_next(void *self, void *ret_item)
{
	struct until_stop *u = self;

	/* Not lade_stopping(): that is also true inside a batch's deadline that has passed. */
	if (u->engine->stop_reading.set || u->engine->failed)
		return 0;
	return noted(u, lade_line_try_next(u->lines, ret_item), ret_item);
}

static int until_stop_next(void *self, void *ret_item)
{
	struct until_stop *u = self;
	int rc = until_stop_try_next(self, ret_item);

	if (rc != -EAGAIN)
		return rc;
	rc = lade_select(lade_readable_case(u->engine->source_fd),
			 lade_event_case(&u->engine->stop_reading));
	if (rc == 1)
		return 0;
	if (rc < 0 && rc != -EOPNOTSUPP)
		return rc;
	return noted(u, lade_line_next(u->lines, ret_item), ret_item);
}

static void until_stop_close(void *self)
{
	struct until_stop *u = self;

	lade_line_stream_close(u->lines);
	free(u);
}

static const struct lade_source until_stop_source = { until_stop_next, until_stop_try_next,
						      until_stop_close };

/* Batches of messages */

struct messages {
	struct lade_pipe_engine *engine;
	struct lade_line_batches *batches;
	struct lade_json_reader *reader;
};

struct lade_pipe_batch *lade_pipe_batch_free(struct lade_pipe_batch *batch)
{
	if (batch) {
		lade_arena_done(&batch->arena);
		free(batch);
	}
	return NULL;
}

void lade_pipe_batch_drop(struct lade_pipe_batch **item)
{
	*item = lade_pipe_batch_free(*item);
}

static const char *keep_reason(struct lade_pipe_batch *batch, const char *format, va_list args)
{
	char text[300];
	int len = vsnprintf(text, sizeof(text), format, args);
	char *copy;

	if (len >= (int)sizeof(text))
		len = sizeof(text) - 1;
	copy = lade_arena_copy(&batch->arena, text, (size_t)len);
	return copy ? copy : "out of memory";
}

void lade_pipe_reject(struct lade_pipe_batch *batch, uint32_t i, const char *step,
		      const char *format, ...)
{
	struct lade_pipe_fate *fate = &batch->fates[i];
	va_list args;

	va_start(args, format);
	fate->reason = keep_reason(batch, format, args);
	va_end(args);
	fate->verdict = LADE_VERDICT_REJECT;
	fate->step = step;
	if (!fate->first_us)
		fate->first_us = lade_wall_ns() / 1000;
	if (!fate->attempts)
		fate->attempts = 1;
}

void lade_pipe_retry(struct lade_pipe_batch *batch, uint32_t i, const char *format, ...)
{
	struct lade_pipe_fate *fate = &batch->fates[i];
	va_list args;

	va_start(args, format);
	fate->reason = keep_reason(batch, format, args);
	va_end(args);
	fate->verdict = LADE_VERDICT_RETRY;
	if (!fate->first_us)
		fate->first_us = lade_wall_ns() / 1000;
}

/* Makes a message of a line.  Returns 0 or -ENOMEM. */
static int take_line(struct messages *m, struct lade_pipe_batch *b, uint32_t i,
		     const struct lade_line *line)
{
	struct lade_pipe_message *msg = &b->messages[i];
	struct lade_json_error error;
	int rc;

	*msg = (struct lade_pipe_message){
		.bytes = lade_arena_copy(&b->arena, line->text, line->len),
		.len = line->len,
		.lane = &m->engine->lane,
		.offset = line->offset,
		.next_offset = line->next_offset,
		.line = m->engine->resumed ? 0 : (int64_t)line->number,
		.timestamp_us = INT64_MIN,
	};
	if (!msg->bytes)
		return -ENOMEM;
	if (line->too_long) {
		lade_pipe_reject(b, i, "source",
				 "the line is longer than max_message_bytes (%lld)",
				 (long long)m->engine->config->source.message_bytes_max);
		return 0;
	}
	if (line->len == 0) {
		lade_pipe_reject(b, i, "source", "the line is empty");
		return 0;
	}
	rc = lade_pipe_message_read(msg, b->shape, m->reader, &b->arena, &error);
	if (rc == -EBADMSG) {
		lade_pipe_reject(b, i, "source", "%s at byte %zu%s", error.reason, error.at,
				 line->number > 1 || *line->text != '[' ? ""
				 : "; messages are one JSON object a line, as jq -c '.[]' makes"
				   " them of an array");
		rc = 0;
	}
	return rc;
}

static struct lade_pipe_batch *batch_new(struct messages *m, const struct lade_line_batch *lines)
{
	struct lade_pipe_batch *b = calloc(1, sizeof(*b));
	size_t n = lines->len;

	if (!b)
		return NULL;
	lade_arena_init(&b->arena, 64 << 10, (size_t)1 << 32);
	b->messages = lade_arena_alloc(&b->arena, n * sizeof(*b->messages));
	b->fates = lade_arena_alloc(&b->arena, n * sizeof(*b->fates));
	if (!b->messages || !b->fates)
		return lade_pipe_batch_free(b);
	memset(b->fates, 0, n * sizeof(*b->fates));
	b->n = b->taken = (uint32_t)n;
	b->shape = m->engine->shapes[0];
	b->first = lines->first;
	b->reason = lines->reason;
	b->next_offset = lines->items[n - 1].next_offset;
	return b;
}

static int take_batch(struct messages *m, const struct lade_line_batch *lines,
		      struct lade_pipe_batch **ret)
{
	struct lade_pipe_engine *e = m->engine;
	struct lade_pipe_batch *b = batch_new(m, lines);
	int rc = b ? 0 : -ENOMEM;

	for (uint32_t i = 0; rc == 0 && i < b->n; i++)
		rc = take_line(m, b, i, &lines->items[i]);
	if (rc == 0)
		rc = lade_pipe_lane_take(&e->lane, b->n, b->next_offset, lade_now().mono_ns,
					 &b->segment);
	if (rc < 0) {
		lade_pipe_batch_free(b);
		return rc;
	}
	for (uint32_t i = 0; i < b->n; i++)
		b->messages[i].segment = b->segment;
	e->stats.in += b->n;
	e->stats.batches++;
	e->stats.by_reason[b->reason]++;
	*ret = b;
	return 1;
}

/* Waits until the lane has room for a whole batch. */
static int wait_room(struct lade_pipe_engine *e)
{
	int rc = 0;

	while (rc == 0 &&
	       lade_pipe_lane_room(&e->lane) < e->config->batch.messages_max) {
		lade_event_clear(&e->lane_moved);
		rc = lade_event_wait(&e->lane_moved);
	}
	return rc;
}

static int messages_next(void *self, void *ret_item)
{
	struct messages *m = self;
	struct lade_line_batch lines;
	int rc = wait_room(m->engine);

	if (rc < 0)
		return rc;
	rc = lade_line_batch_next(m->batches, &lines);
	return rc > 0 ? take_batch(m, &lines, ret_item) : rc;
}

static void messages_close(void *self)
{
	struct messages *m = self;

	lade_line_batches_close(m->batches);
	lade_json_reader_free(m->reader);
	free(m);
}

static const struct lade_source messages_source = { messages_next, NULL, messages_close };

static struct lade_line_stream *lines_until_stop(struct lade_pipe_engine *e, int64_t offset)
{
	struct until_stop *u = calloc(1, sizeof(*u));

	if (!u)
		return NULL;
	u->engine = e;
	u->lines = lade_lines_of(e->source_fd, offset, 1,
				 (uint32_t)e->config->source.message_bytes_max);
	return lade_line_stream_of(&until_stop_source, u);
}

struct lade_pipe_batches_stream *lade_pipe_batches_of(struct lade_pipe_engine *e,
						      struct lade_scope *scope,
						      struct lade_line_stream *lines)
{
	const struct lade_pipe_batching *c = &e->config->batch;
	struct messages *m = calloc(1, sizeof(*m));

	if (!m || lade_json_reader_new(&m->reader) < 0) {
		free(m);
		lade_line_stream_close(lines);
		return NULL;
	}
	m->engine = e;
	m->batches = lade_line_batch(scope, lines,
				     (struct lade_batch_config){
					     .max_items = (uint32_t)c->messages_max,
					     .max_bytes = (size_t)c->bytes_max,
					     .linger = lade_ns(c->linger_ns),
					     .idle = lade_ns(c->idle_ns),
					     .ahead = (uint32_t)c->ahead,
				     });
	return lade_pipe_batches_stream_of(&messages_source, m);
}

static struct lade_pipe_batches_stream *lines_start(struct lade_pipe_engine *e,
						    struct lade_scope *scope, int64_t offset)
{
	return lade_pipe_batches_of(e, scope, lines_until_stop(e, offset));
}

/* The file */

static int lines_open(struct lade_pipe_engine *e)
{
	const struct lade_pipe_source *c = &e->config->source;
	struct stat st;
	int rc;

	e->stats.bytes_total = -1;
	if (c->kind == LADE_SOURCE_STDIN) {
		e->source_fd = STDIN_FILENO;
		return 0;
	}
	/* A FIFO that nobody writes to yet is waited for where a stop is heard: not in open. */
	rc = lade_open(c->path, O_RDONLY | O_NONBLOCK, 0, &e->source_fd);
	if (rc == 0)
		rc = lade_file_stat(e->source_fd, &st);
	if (rc == 0 && S_ISDIR(st.st_mode))
		rc = -EISDIR;
	if (rc < 0)
		return rc == -ECANCELED ? rc
					: lade_pipe_fail(e, LADE_EXIT_FAILED, "%s: %s", c->path,
							 strerror(-rc));
	if (S_ISREG(st.st_mode))
		e->stats.bytes_total = st.st_size;
	return 0;
}

static void lines_close(struct lade_pipe_engine *e)
{
	if (e->source_fd > STDIN_FILENO)
		lade_close(e->source_fd);
}

static int identify_now(void *arg)
{
	struct lade_pipe_engine *e = arg;
	struct lade_pipe_identity identity;
	int rc = lade_pipe_identify(e->source_fd, e->identify_offset, &identity);

	if (rc == 0)
		lade_pipe_identity_format(&identity, e->cluster);
	return rc;
}

static int lines_identify(struct lade_pipe_engine *e, int64_t offset)
{
	e->identify_offset = offset;
	return lade_blocking(identify_now, e);
}

static int resume_now(void *arg)
{
	struct lade_pipe_engine *e = arg;
	struct lade_pipe_identity before;
	int same;

	if (lade_pipe_identity_parse(e->stored.cluster, &before) < 0)
		return -EINVAL;
	same = lade_pipe_same_file(e->source_fd, &before, e->resume_offset);
	if (same == LADE_SAME_FILE) {
		int rc = lade_file_seek(e->source_fd, e->resume_offset);

		if (rc < 0)
			return rc;
	}
	return same;
}

static int lines_resume(struct lade_pipe_engine *e)
{
	return lade_blocking(resume_now, e);
}

const struct lade_pipe_source_ops lade_pipe_lines = { lines_open, lines_identify, lines_resume,
						      lines_start, lines_close };
