/* SPDX-License-Identifier: MIT */
/* order.c - which of the batches that are done may be written next.
 *
 * DESIGN
 * Batches are done in any order. One is given to the writer when no older one that was not given
 * shares with it what orders them: a lane (order: partition), the hash of a lane and a key (key),
 * or nothing (none). The oldest waits for none, so that nothing can wait for ever. Two keys of one
 * hash wait for one another without need, which is all that happens. One that has failed stays
 * where it is, so that nothing overtakes it on the way to the end.
 *
 * Where a lane waits for what is tried again, a batch that has messages of it is divided when it is
 * done, so that its other lanes go on.
 *
 * A pump takes results of the map, as many as are wanted. What went on while a part of its batch is
 * tried again (split.c) does not come through the map: lade_pipe_order_done() says that it is done.
 *
 * LIMITS  @ready_max batches that are done, of which one could be written: then no more are taken
 * from the map, which stops when its places are full. Those that wait for older ones are limited
 * by max_in_flight. */

#include "services/pipeline/engine.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Keys */

static uint64_t hash_of(const struct lade_pipe_lane *lane, const void *bytes, size_t len)
{
	uint64_t h = UINT64_C(14695981039346656037) ^ (uintptr_t)lane; /* FNV-1a */
	const unsigned char *at = bytes;

	for (size_t i = 0; i < len; i++)
		h = (h ^ at[i]) * UINT64_C(1099511628211);
	return h;
}

static int compare(const void *left, const void *right)
{
	const uint64_t *a = left, *b = right;

	return (*a > *b) - (*a < *b);
}

int lade_pipe_order_open(struct lade_pipe_engine *e)
{
	const char *path = e->config->order_key;
	struct lade_json_error error;
	int rc;

	if (!path)
		return 0;
	rc = lade_pipe_shape_ask(e->shapes[0], path, strlen(path), &e->order_key, &error);
	return rc < 0 ? lade_pipe_fail(e, LADE_EXIT_FAILED, "order: key: %s", error.reason) : 0;
}

int lade_pipe_order_key(struct lade_pipe_batch *b, uint32_t i, const struct lade_pipe_ref *key,
			struct lade_json_reader *reader, uint64_t *ret)
{
	struct lade_json_error error;
	struct lade_datum d;
	int rc = lade_pipe_message_value(&b->messages[i], b->shape, key, reader, &b->arena, &d,
					 &error);

	if (rc == -EBADMSG)
		lade_pipe_reject(b, i, "order", "the key %s", error.reason);
	if (rc < 0)
		return rc == -EBADMSG ? 0 : rc;
	if (d.type == LADE_NULL || d.type == LADE_ABSENT)
		return 0;
	*ret = d.type == LADE_TEXT || d.type == LADE_JSON
		       ? hash_of(b->messages[i].lane, d.text, d.len)
		       : hash_of(b->messages[i].lane, &d.integer, sizeof(d.integer));
	return 1;
}

int lade_pipe_order_note(struct lade_pipe_batch *b, const struct lade_pipe_ref *key,
			 struct lade_json_reader *reader)
{
	if (!b->keys)
		b->keys = lade_arena_alloc(&b->arena, (b->n + 1) * sizeof(*b->keys));
	if (!b->keys)
		return -ENOMEM;
	b->n_keys = 0;
	for (uint32_t i = 0; i < b->n; i++) {
		int rc = b->fates[i].verdict == LADE_VERDICT_OK
				 ? lade_pipe_order_key(b, i, key, reader, &b->keys[b->n_keys])
				 : 0;

		if (rc < 0)
			return rc;
		b->n_keys += (uint32_t)rc;
	}
	qsort(b->keys, b->n_keys, sizeof(*b->keys), compare);
	return 0;
}

/* Who waits for whom */

static bool share_a_key(const struct lade_pipe_batch *a, const struct lade_pipe_batch *b)
{
	for (uint32_t i = 0, k = 0; i < a->n_keys && k < b->n_keys;) {
		if (a->keys[i] == b->keys[k])
			return true;
		if (a->keys[i] < b->keys[k])
			i++;
		else
			k++;
	}
	return false;
}

static bool share_a_lane(const struct lade_pipe_batch *a, const struct lade_pipe_batch *b)
{
	for (uint32_t i = 0; i < a->n_parts; i++)
		if (lade_pipe_batch_part(b, a->parts[i].lane) < b->n_parts)
			return true;
	return false;
}

static bool must_wait(const struct lade_pipe_engine *e, const struct lade_pipe_batch *b)
{
	if (e->config->order == LADE_ORDER_NONE && !e->config->order_key)
		return false;
	for (const struct lade_pipe_batch *o = b->older; o; o = o->older)
		if (o->turn != LADE_TURN_GIVEN &&
		    (e->config->order_key ? share_a_key(o, b) : share_a_lane(o, b)))
			return true;
	return false;
}

/* Whether a lane of a batch has to wait: 0: no; 1: for what is tried again; 2: for others, too. */
static int waits(const struct lade_pipe_batch *b, const struct lade_pipe_lane *lane)
{
	int held = 0;

	for (const struct lade_pipe_batch *o = b->older; o; o = o->older) {
		if (o->turn == LADE_TURN_GIVEN || lade_pipe_batch_part(o, lane) == o->n_parts)
			continue;
		if (!o->held)
			return 2;
		held = 1;
	}
	return held;
}

/* Of a batch that waits for nothing but what is tried again, the lanes that need not wait.  Returns
 * 1: it can be given; 0: there are none; -ENOMEM. */
static int free_lanes(struct lade_pipe_engine *e, struct lade_pipe_batch *b)
{
	bool *leaves = calloc(b->n_parts, sizeof(*leaves));
	struct lade_pipe_batch *left = NULL;
	uint32_t n = 0;
	int rc, wait = 0;

	if (!leaves)
		return -ENOMEM;
	for (uint32_t p = 0; p < b->n_parts && wait < 2; p++) {
		wait = waits(b, b->parts[p].lane);
		leaves[p] = wait > 0;
		n += leaves[p];
	}
	rc = wait < 2 && n < b->n_parts ? lade_pipe_split_lanes(b, leaves, &left) : 0;
	if (rc > 0)
		lade_pipe_order_done(e, left);
	free(leaves);
	return rc;
}

/* Where a lane is tried again the others go on: such a batch is divided.  Returns as free_lanes. */
static int divide_one(struct lade_pipe_engine *e)
{
	bool held = false;
	int rc = 0;

	if (e->config->order == LADE_ORDER_NONE || e->config->order_key)
		return 0;
	for (struct lade_pipe_batch *b = e->oldest; b && rc == 0; b = b->newer) {
		if (held && b->turn == LADE_TURN_DONE && b->n_parts > 1)
			rc = free_lanes(e, b);
		held |= b->held && b->turn != LADE_TURN_GIVEN;
	}
	return rc;
}

/* The oldest one that is done and need not wait. */
static struct lade_pipe_batch *next_free(const struct lade_pipe_engine *e)
{
	for (struct lade_pipe_batch *b = e->n_done ? e->oldest : NULL; b; b = b->newer)
		if (b->turn == LADE_TURN_DONE && !must_wait(e, b))
			return b;
	return NULL;
}

/* What is done */

void lade_pipe_order_done(struct lade_pipe_engine *e, struct lade_pipe_batch *b)
{
	b->turn = LADE_TURN_DONE;
	b->at = e->config->order_key ? "an earlier batch that has one of its keys"
				     : "its turn to be written";
	e->n_done++;
	lade_event_set(&e->news);
}

/* Until the writer can use more. */
static int wait_until_wanted(struct lade_pipe_engine *e, uint32_t ready_max)
{
	int rc = 0;

	while (rc == 0 && e->n_done >= ready_max && next_free(e)) {
		lade_event_clear(&e->wanted);
		rc = lade_event_wait(&e->wanted);
	}
	return rc;
}

static void end_done(struct lade_pipe_engine *e, int rc)
{
	e->done_rc = rc;
	e->all_done = true;
	lade_event_set(&e->news);
}

/* Takes what the map gives until it ends. */
static int pump_done(struct lade_pipe_engine *e, struct lade_pipe_batches_stream *in,
		     uint32_t ready_max)
{
	struct lade_pipe_batch *b;
	int rc;

	do {
		rc = wait_until_wanted(e, ready_max);
		if (rc == 0)
			rc = lade_pipe_batches_next(in, &b);
		if (rc > 0)
			lade_pipe_order_done(e, b);
	} while (rc > 0);
	end_done(e, rc);
	lade_pipe_batches_stream_close(in);
	return rc == -ECANCELED ? rc : 0;
}

static void pump_done_drop(struct lade_pipe_engine *e, struct lade_pipe_batches_stream *in,
			   uint32_t ready_max)
{
	(void)ready_max;
	end_done(e, -ECANCELED);
	lade_pipe_batches_stream_close(in);
}
LADE_TASK_VOID_WITH(pump_done, (.drop_args = pump_done_drop), (struct lade_pipe_engine *, e),
		    (struct lade_pipe_batches_stream *, in), (uint32_t, ready_max))

static int ordered_try_next(void *self, void *ret_item)
{
	struct lade_pipe_batch **ret = ret_item, *b;
	struct lade_pipe_engine *e = self;

	/* After a failure some are gone that others would have had to wait for. */
	if (e->all_done && e->done_rc < 0)
		return e->done_rc;
	b = next_free(e);
	if (!b) {
		int rc = divide_one(e);

		if (rc < 0)
			return rc;
		b = rc > 0 ? next_free(e) : NULL;
	}
	if (!b)
		return e->all_done ? e->done_rc : -EAGAIN;
	b->turn = LADE_TURN_GIVEN;
	e->n_done--;
	lade_event_set(&e->wanted);
	*ret = b;
	return 1;
}

static int ordered_next(void *self, void *ret_item)
{
	struct lade_pipe_engine *e = self;
	int rc = lade_cancelled() ? -ECANCELED : 0; /* and those that are older may be gone */

	while (rc == 0) {
		rc = ordered_try_next(e, ret_item);
		if (rc != -EAGAIN)
			return rc;
		lade_event_clear(&e->news);
		rc = lade_event_wait(&e->news);
	}
	return rc;
}

static void ordered_close(void *self)
{
	(void)self; /* the pump ends with its scope; what was done is freed by order_end */
}

static const struct lade_source ordered = { ordered_next, ordered_try_next, ordered_close };

int lade_pipe_ordered(struct lade_pipe_engine *e, struct lade_scope *scope,
		      struct lade_pipe_batches_stream *in, uint32_t ready_max,
		      struct lade_pipe_batches_stream **ret)
{
	int rc = lade_spawn(scope, pump_done_task(e, in, ready_max));

	if (rc == 0)
		*ret = lade_pipe_batches_stream_of(&ordered, e);
	return rc < 0 ? rc : *ret ? 0 : -ENOMEM;
}

void lade_pipe_order_end(struct lade_pipe_engine *e)
{
	struct lade_pipe_batch *newer;

	for (struct lade_pipe_batch *b = e->oldest; b; b = newer) {
		newer = b->newer;
		if (b->turn == LADE_TURN_DONE || b->turn == LADE_TURN_FAILED)
			lade_pipe_batch_free(b);
	}
	e->n_done = 0;
}
