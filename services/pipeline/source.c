/* SPDX-License-Identifier: MIT */
/* source.c - what a source gives, in timed batches, as messages.
 *
 * DESIGN
 * raw messages → timed batches → messages, each pulled by the next. A line that is no message gets
 * its verdict here and goes on like any other, so that it is counted, ordered and written to the
 * dead letter in its place. A batch may mix lanes; it waits until each of them has room, and there
 * is memory for it.
 *
 * LIMITS  max_in_flight messages of a lane, max_memory bytes of all, batch.ahead batches; then
 * nothing is read. Rows of an outbox, which are claimed and written together, are limited by their
 * number alone. */

#include "services/pipeline/engine.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

void lade_pipe_raw_drop(struct lade_pipe_raw *raw)
{
	if (raw->message.event)
		lade_kafka_message_free(&raw->message);
	else
		lade_line_drop(&raw->line);
	free(raw->owned);
}

size_t lade_pipe_raw_weight(const struct lade_pipe_raw *raw)
{
	return lade_line_weight(&raw->line);
}

/* Batches of messages */

struct messages {
	struct lade_pipe_engine *engine;
	struct lade_pipe_raw_batches *batches;
	struct lade_json_reader *reader;
};

/* Those under way stand in the order in which they were taken: this one behind @older. */
static void join(struct lade_pipe_engine *e, struct lade_pipe_batch *b,
		 struct lade_pipe_batch *older)
{
	b->of = e;
	b->older = older;
	b->newer = older ? older->newer : e->oldest;
	*(b->older ? &b->older->newer : &e->oldest) = b;
	*(b->newer ? &b->newer->older : &e->newest) = b;
	e->bytes += b->bytes;
}

static void leave(struct lade_pipe_batch *b)
{
	if (!b->of)
		return;
	*(b->older ? &b->older->newer : &b->of->oldest) = b->newer;
	*(b->newer ? &b->newer->older : &b->of->newest) = b->older;
}

void lade_pipe_batch_follow(struct lade_pipe_batch *left, struct lade_pipe_batch *batch)
{
	left->shares = batch;
	batch->users++;
	join(batch->of, left, batch);
}

struct lade_pipe_batch *lade_pipe_batch_new(size_t n, size_t block_bytes)
{
	struct lade_pipe_batch *b = calloc(1, sizeof(*b));

	if (!b)
		return NULL;
	b->users = 1;
	lade_arena_init(&b->arena, block_bytes, (size_t)1 << 32);
	b->messages = lade_arena_alloc(&b->arena, n * sizeof(*b->messages));
	b->fates = lade_arena_alloc(&b->arena, n * sizeof(*b->fates));
	return b->messages && b->fates ? b : lade_pipe_batch_free(b);
}

struct lade_pipe_batch *lade_pipe_batch_free(struct lade_pipe_batch *batch)
{
	if (batch)
		leave(batch);
	while (batch && --batch->users == 0) {
		struct lade_pipe_batch *shares = batch->shares;

		if (batch->of) {
			batch->of->bytes -= batch->bytes;
			lade_event_set(&batch->of->lane_moved);
		}
		lade_arena_done(&batch->arena);
		free(batch);
		batch = shares;
	}
	return NULL;
}

uint32_t lade_pipe_batch_part(const struct lade_pipe_batch *b, const struct lade_pipe_lane *lane)
{
	uint32_t i = 0;

	while (i < b->n_parts && b->parts[i].lane != lane)
		i++;
	return i;
}

bool lade_pipe_batch_is_late(const struct lade_pipe_batch *b)
{
	for (uint32_t i = 0; i < b->n_parts; i++)
		if (lade_pipe_lane_is_late(b->parts[i].lane, b->parts[i].segment))
			return true;
	return false;
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

void lade_pipe_hold(struct lade_pipe_batch *batch, uint32_t i, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	batch->fates[i].reason = keep_reason(batch, format, args);
	va_end(args);
	batch->fates[i].verdict = LADE_VERDICT_HOLD;
}

/* A record's object takes the place of the record, which stays where there is none. */
static int convert_csv(struct lade_pipe_batch *b, struct lade_pipe_message *msg,
		       const struct lade_pipe_csv *csv, struct lade_json_error *error)
{
	struct lade_json_out out;
	int rc;

	lade_json_out_init(&out, (size_t)1 << 30);
	rc = lade_pipe_csv_write(csv, msg->bytes, msg->len, &out, error);
	if (rc == 0) {
		msg->bytes = lade_arena_copy(&b->arena, out.data, out.len);
		msg->len = (uint32_t)out.len;
		rc = msg->bytes ? 0 : -ENOMEM;
	}
	lade_json_out_done(&out);
	return rc;
}

/* What somebody may not have known who sends this. */
static const char *advice(const struct lade_pipe_raw *raw)
{
	const struct lade_line *line = &raw->line;

	if (!raw->csv && line->number <= 1 && line->len && *line->text == '[')
		return "; messages are one JSON object a line, as jq -c '.[]' makes them of an"
		       " array";
	if (raw->message.event && line->len && *line->text == '\0')
		return "; such formats are not read (format: bytes hands them on)";
	return "";
}

static bool has_kafka_sink(const struct lade_pipe_config *config)
{
	for (int i = 0; i < config->n_sinks; i++)
		if (config->sinks[i].kind == LADE_SINK_KAFKA)
			return true;
	return false;
}

/* A message without a value, which no step looks at. */
static int take_tombstone(struct messages *m, struct lade_pipe_batch *b, uint32_t i)
{
	switch (m->engine->config->source.tombstone) {
	case LADE_TOMBSTONE_DROP:
		b->fates[i].verdict = LADE_VERDICT_DROP;
		break;
	case LADE_TOMBSTONE_REJECT:
		lade_pipe_reject(b, i, "source", "it has no value (tombstone: reject)");
		break;
	default:
		if (m->engine->config->source.tombstone == LADE_TOMBSTONE_DELETE ||
		    has_kafka_sink(m->engine->config))
			b->fates[i].verdict = LADE_VERDICT_PASS;
		else
			lade_pipe_reject(b, i, "source", "it has no value, and no sink takes such "
					 "messages (tombstone: drop lets them go)");
	}
	return 0;
}

static uint8_t plain_of(const struct lade_pipe_config *config)
{
	return config->source.format == LADE_FORMAT_TEXT    ? LADE_PLAIN_TEXT
	       : config->source.format == LADE_FORMAT_BYTES ? LADE_PLAIN_BYTES
							    : LADE_PLAIN_NOT;
}

/* Makes a message of a line.  Returns 0 or -ENOMEM. */
static int take_line(struct messages *m, struct lade_pipe_batch *b, uint32_t i,
		     const struct lade_pipe_raw *raw)
{
	const struct lade_line *line = &raw->line;
	struct lade_pipe_message *msg = &b->messages[i];
	struct lade_json_error error;
	int rc;

	*msg = (struct lade_pipe_message){
		.bytes = lade_arena_copy(&b->arena, line->text, line->len),
		.len = line->len,
		.lane = raw->lane,
		.offset = line->offset,
		.next_offset = line->next_offset,
		.line = (int64_t)line->number,
		.timestamp_us = INT64_MIN,
		.plain = plain_of(m->engine->config),
	};
	if (!msg->bytes)
		return -ENOMEM;
	if (m->engine->from->describe) {
		rc = m->engine->from->describe(raw, msg, &b->arena);
		if (rc < 0)
			return rc;
	}
	if (msg->tombstone)
		return take_tombstone(m, b, i);
	if (line->too_long) {
		lade_pipe_reject(b, i, "source",
				 "the %s is longer than max_message_bytes (%lld)",
				 line->number ? "line" : "value",
				 (long long)m->engine->config->source.message_bytes_max);
		return 0;
	}
	if (line->len == 0 && !msg->plain) {
		lade_pipe_reject(b, i, "source", "the %s is empty",
				 line->number ? "line" : "value");
		return 0;
	}
	rc = raw->csv ? convert_csv(b, msg, raw->csv, &error) : 0;
	if (rc == 0)
		rc = lade_pipe_message_read(msg, b->shape, m->reader, &b->arena, &error);
	if (rc == -EBADMSG) {
		lade_pipe_reject(b, i, "source", "%s at byte %zu%s", error.reason, error.at,
				 advice(raw));
		rc = 0;
	}
	return rc;
}

/* Whether it was read for a lane that is not ours any more: whoever has it reads it again. */
static bool is_too_late(const struct lade_pipe_raw *raw)
{
	return raw->epoch && (raw->epoch != raw->lane->epoch || raw->lane->paused);
}

/* Puts what is too late behind the rest, whose order stays.  Returns how many are the rest. */
static size_t leave_out_late(struct lade_pipe_raw_batch *raws)
{
	size_t n = 0;

	for (size_t i = 0; i < raws->len; i++) {
		struct lade_pipe_raw raw = raws->items[i];

		if (is_too_late(&raw))
			continue;
		raws->items[i] = raws->items[n];
		raws->items[n++] = raw;
	}
	return n;
}

static struct lade_pipe_batch *batch_of(struct messages *m, const struct lade_pipe_raw_batch *raws)
{
	struct lade_pipe_batch *b = lade_pipe_batch_new(raws->len, 64 << 10);
	size_t n = raws->len;

	if (!b)
		return NULL;
	memset(b->fates, 0, n * sizeof(*b->fates));
	b->n = b->taken = (uint32_t)n;
	for (size_t i = 0; i < n; i++)
		b->bytes += (int64_t)(raws->items[i].line.len + raws->items[i].message.key_len);
	b->shape = m->engine->shapes[0];
	b->first = raws->first;
	b->reason = raws->reason;
	return b;
}

/* Counts a message for its lane.  Returns 0 or -ENOMEM. */
static int count_in_part(struct lade_pipe_batch *b, const struct lade_pipe_raw *raw,
			 uint32_t *parts_max)
{
	struct lade_pipe_part *all;
	uint32_t i = lade_pipe_batch_part(b, raw->lane);

	if (i == *parts_max) {
		*parts_max = *parts_max ? *parts_max * 2 : 1;
		all = lade_arena_alloc(&b->arena, *parts_max * sizeof(*all));
		if (!all)
			return -ENOMEM;
		if (b->n_parts)
			memcpy(all, b->parts, b->n_parts * sizeof(*all));
		b->parts = all;
	}
	if (i == b->n_parts)
		b->parts[b->n_parts++] = (struct lade_pipe_part){
			.lane = raw->lane,
			.segment = { .epoch = raw->epoch }, /* until it is taken */
			.first_offset = raw->line.offset };
	b->parts[i].taken++;
	b->parts[i].next_offset = raw->line.next_offset;
	return 0;
}

static int find_parts(struct lade_pipe_batch *b, const struct lade_pipe_raw_batch *raws)
{
	uint32_t parts_max = 0;
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < raws->len; i++)
		rc = count_in_part(b, &raws->items[i], &parts_max);
	return rc;
}

/* Whether a lane was lost, or is about to be given back, since messages of it were read. */
static bool is_part_too_late(const struct lade_pipe_part *p)
{
	return p->segment.epoch && (p->segment.epoch != p->lane->epoch || p->lane->paused);
}

static bool is_too_late_by_now(const struct lade_pipe_batch *b)
{
	for (uint32_t i = 0; i < b->n_parts; i++)
		if (is_part_too_late(&b->parts[i]))
			return true;
	return false;
}

/* Whether a batch may be begun beside those that are under way; one alone always may. */
static bool has_room(const struct lade_pipe_engine *e, const struct lade_pipe_batch *b)
{
	int64_t bytes_max = e->config->memory_bytes_max;

	for (uint32_t i = 0; i < b->n_parts; i++)
		if (lade_pipe_lane_room(b->parts[i].lane) < b->parts[i].taken)
			return false;
	/* A claim waits until all of it is under way: it cannot wait for what is finished. */
	return !e->bytes || !bytes_max || e->from->whole || e->bytes + b->bytes <= bytes_max;
}

/* Waits until there is room for all that was read of a batch.
 *
 * Returns 0; -ESTALE: some of it has become too late meanwhile, and must not be taken for what the
 * lane has when it comes back; -ECANCELED. */
static int wait_for_room(struct lade_pipe_engine *e, const struct lade_pipe_batch *b)
{
	int rc = 0;

	while (rc == 0 && !is_too_late_by_now(b)) {
		if (has_room(e, b))
			return 0;
		lade_event_clear(&e->lane_moved);
		rc = lade_event_wait(&e->lane_moved);
	}
	return rc < 0 ? rc : -ESTALE;
}

/* A batch of what was read and is not too late, for which there is room.  Returns 1; 0: nothing
 * of it is left; < 0. */
static int place_batch(struct messages *m, struct lade_pipe_raw_batch *raws,
		       struct lade_pipe_batch **ret)
{
	struct lade_pipe_batch *b = NULL;
	int rc;

	do {
		lade_pipe_batch_free(b);
		raws->len = leave_out_late(raws);
		if (raws->len == 0)
			return 0;
		b = batch_of(m, raws);
		rc = b ? find_parts(b, raws) : -ENOMEM;
		if (rc == 0)
			rc = wait_for_room(m->engine, b);
	} while (rc == -ESTALE);
	if (rc < 0)
		lade_pipe_batch_free(b);
	else
		*ret = b;
	return rc < 0 ? rc : 1;
}

/* Makes a batch's messages and takes them from their lanes, in one go: nothing may be lost or come
 * back between.  Returns 0 or -ENOMEM. */
static int take_messages(struct messages *m, struct lade_pipe_batch *b,
			 const struct lade_pipe_raw_batch *raws)
{
	struct lade_pipe_engine *e = m->engine;
	int rc = 0;

	for (uint32_t i = 0; rc == 0 && i < b->n; i++)
		rc = take_line(m, b, i, &raws->items[i]);
	if (rc == 0 && e->config->order_key)
		rc = lade_pipe_order_note(b, &e->order_key, m->reader);
	for (uint32_t i = 0; rc == 0 && i < b->n_parts; i++) {
		struct lade_pipe_part *p = &b->parts[i];

		rc = lade_pipe_lane_take(p->lane, p->taken, p->next_offset, lade_now().mono_ns,
					 &p->segment);
	}
	return rc;
}

static int take_batch(struct messages *m, struct lade_pipe_raw_batch *raws,
		      struct lade_pipe_batch **ret)
{
	struct lade_pipe_engine *e = m->engine;
	struct lade_pipe_batch *b = NULL;
	int rc = place_batch(m, raws, &b);

	if (rc <= 0)
		return rc;
	rc = take_messages(m, b, raws);
	if (rc < 0) {
		lade_pipe_batch_free(b);
		return rc;
	}
	e->stats.in += b->n;
	e->stats.batches++;
	e->stats.by_reason[b->reason]++;
	e->stats.sizes[lade_pipe_size_bucket(b->n)]++;
	b->at = "a free place among the batches that are enriched";
	join(e, b, e->newest);
	*ret = b;
	return 1;
}

static int messages_next(void *self, void *ret_item)
{
	struct messages *m = self;
	struct lade_pipe_raw_batch raws;
	int rc, taken = 0;

	do {
		rc = lade_pipe_raw_batch_next(m->batches, &raws);
		if (rc > 0)
			taken = take_batch(m, &raws, ret_item);
	} while (rc > 0 && taken == 0);
	return rc > 0 ? taken : rc;
}

static void messages_close(void *self)
{
	struct messages *m = self;

	lade_pipe_raw_batches_close(m->batches);
	lade_json_reader_free(m->reader);
	free(m);
}

static const struct lade_source messages_source = { messages_next, NULL, messages_close };

struct lade_pipe_batches_stream *lade_pipe_batches_of(struct lade_pipe_engine *e,
						      struct lade_scope *scope,
						      struct lade_pipe_raw_stream *raw)
{
	const struct lade_pipe_batching *c = &e->config->batch;
	struct messages *m = calloc(1, sizeof(*m));

	if (!m || lade_json_reader_new(&m->reader) < 0) {
		free(m);
		lade_pipe_raw_stream_close(raw);
		return NULL;
	}
	m->engine = e;
	m->batches = lade_pipe_raw_batch(scope, raw,
					 (struct lade_batch_config){
						 .max_items = (uint32_t)c->messages_max,
						 .max_bytes = (size_t)c->bytes_max,
						 .linger = lade_ns(c->linger_ns),
						 .idle = lade_ns(c->idle_ns),
						 .ahead = (uint32_t)c->ahead,
					 });
	return lade_pipe_batches_stream_of(&messages_source, m);
}
