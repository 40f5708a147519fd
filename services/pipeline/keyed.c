/* SPDX-License-Identifier: MIT */
/* keyed.c - order: { key: PATH }: batches as they are done, but each behind earlier ones of a key.
 *
 * DESIGN
 * A batch knows the hashes of its messages' lanes and keys, sorted. One that is done is given on
 * when no older one that has not been shares a hash with it; two keys of one hash wait for one
 * another without need, which is all that happens. The oldest batch waits for none, so that
 * nothing can wait for ever.
 *
 * LIMITS  as many batches as are enriched at once, and as many more as wait here: those of
 * max_in_flight. */

#include "services/pipeline/engine.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

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

int lade_pipe_keyed_open(struct lade_pipe_engine *e)
{
	const char *path = e->config->order_key;
	struct lade_json_error error;
	int rc;

	if (!path)
		return 0;
	rc = lade_pipe_shape_ask(e->shapes[0], path, strlen(path), &e->order_key, &error);
	return rc < 0 ? lade_pipe_fail(e, LADE_EXIT_FAILED, "order: key: %s", error.reason) : 0;
}

int lade_pipe_keyed_note(struct lade_pipe_batch *b, const struct lade_pipe_ref *key,
			 struct lade_json_reader *reader)
{
	b->keys = lade_arena_alloc(&b->arena, (b->n + 1) * sizeof(*b->keys));
	if (!b->keys)
		return -ENOMEM;
	for (uint32_t i = 0; i < b->n; i++) {
		struct lade_json_error error;
		struct lade_datum d;
		int rc;

		if (b->fates[i].verdict != LADE_VERDICT_OK)
			continue;
		rc = lade_pipe_message_value(&b->messages[i], b->shape, key, reader, &b->arena, &d,
					     &error);
		if (rc == -EBADMSG)
			lade_pipe_reject(b, i, "order", "the key %s", error.reason);
		else if (rc < 0)
			return rc;
		else if (d.type == LADE_TEXT || d.type == LADE_JSON)
			b->keys[b->n_keys++] = hash_of(b->messages[i].lane, d.text, d.len);
		else if (d.type != LADE_NULL && d.type != LADE_ABSENT)
			b->keys[b->n_keys++] = hash_of(b->messages[i].lane, &d.integer,
						       sizeof(d.integer));
	}
	qsort(b->keys, b->n_keys, sizeof(*b->keys), compare);
	return 0;
}

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

static bool must_wait(const struct lade_pipe_batch *b)
{
	for (const struct lade_pipe_batch *o = b->older; o; o = o->older)
		if (o->turn != LADE_TURN_GIVEN && share_a_key(o, b))
			return true;
	return false;
}

struct keyed {
	struct lade_pipe_engine *engine;
	struct lade_pipe_batches_stream *in;
};

/* The oldest one that is done and need not wait. */
static struct lade_pipe_batch *next_free(const struct lade_pipe_engine *e)
{
	for (struct lade_pipe_batch *b = e->oldest; b; b = b->newer)
		if (b->turn == LADE_TURN_DONE && !must_wait(b))
			return b;
	return NULL;
}

static int keyed_next(void *self, void *ret_item)
{
	struct lade_pipe_batch **ret = ret_item, *b;
	struct keyed *k = self;

	while (!(b = next_free(k->engine))) {
		int rc = lade_pipe_batches_next(k->in, &b);

		if (rc <= 0)
			return rc;
		b->turn = LADE_TURN_DONE;
		b->at = "an earlier batch that has one of its keys";
	}
	b->turn = LADE_TURN_GIVEN;
	*ret = b;
	return 1;
}

static void keyed_close(void *self)
{
	struct keyed *k = self;
	struct lade_pipe_batch *newer;

	for (struct lade_pipe_batch *b = k->engine->oldest; b; b = newer) {
		newer = b->newer;
		if (b->turn == LADE_TURN_DONE)
			lade_pipe_batch_free(b);
	}
	lade_pipe_batches_stream_close(k->in);
	free(k);
}

static const struct lade_source keyed_source = { keyed_next, NULL, keyed_close };

struct lade_pipe_batches_stream *lade_pipe_keyed(struct lade_pipe_engine *e,
						 struct lade_pipe_batches_stream *in)
{
	struct keyed *k = e->config->order_key ? calloc(1, sizeof(*k)) : NULL;

	if (!e->config->order_key)
		return in;
	if (!k) {
		lade_pipe_batches_stream_close(in);
		return NULL;
	}
	*k = (struct keyed){ e, in };
	return lade_pipe_batches_stream_of(&keyed_source, k);
}
