/* SPDX-License-Identifier: MIT */
/* split.c - messages that are to be tried again leave their batch, so that the rest can go on.
 *
 * DESIGN
 * With them go those that may not overtake them: the later ones of their lane (order: partition),
 * or of their lane and key (key); with none they go alone. The part that has left is a batch of its
 * own, behind the rest in the list of those under way, and of the same segments of its lanes, which
 * count messages. Its messages' memory is the batch's that it has left, which lives as long.
 *
 * A batch that a transform has made anew stays together: which of the source's messages its own
 * stand for is not known one by one. So does a claim of an outbox, which is written as a whole. */

#include "services/pipeline/engine.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MARKS 4096 /* bits for hashes of keys; one that is set for another key costs a wait */

/* Marks what leaves: leaves[i].  Returns how many, or -ENOMEM. */
static int mark(struct lade_pipe_batch *b, const uint32_t *index, uint32_t n, bool *leaves)
{
	struct lade_pipe_engine *e = b->of;
	uint64_t marks[MARKS / 64] = { 0 }, hash = 0;
	bool *lane_leaves = lade_arena_alloc(&b->arena, b->n_parts);
	int count = 0;

	if (!lane_leaves)
		return -ENOMEM;
	memset(lane_leaves, 0, b->n_parts);
	memset(leaves, 0, b->n);
	for (uint32_t i = 0; i < n; i++)
		leaves[index[i]] = true;
	for (uint32_t i = 0; i < b->n; i++) {
		int rc = 0;

		if (e->config->order_key && b->fates[i].verdict == LADE_VERDICT_OK) {
			rc = lade_pipe_order_key(b, i, &e->order_key, b->reader, &hash);
			hash %= MARKS;
			if (rc > 0 && leaves[i])
				marks[hash / 64] |= UINT64_C(1) << hash % 64;
			else if (rc > 0)
				leaves[i] = marks[hash / 64] >> hash % 64 & 1;
		} else if (!e->config->order_key && e->config->order != LADE_ORDER_NONE) {
			bool *lane = &lane_leaves[lade_pipe_batch_part(b, b->messages[i].lane)];

			leaves[i] = *lane |= leaves[i];
		}
		if (rc < 0)
			return rc;
		count += leaves[i];
	}
	return count;
}

/* The parts of both: what was one is divided where the first message of the lane leaves. */
static int share_parts(struct lade_pipe_batch *b, struct lade_pipe_batch *left, const bool *leaves)
{
	uint32_t kept = 0;

	left->parts = lade_arena_alloc(&left->arena, b->n_parts * sizeof(*left->parts));
	if (!left->parts)
		return -ENOMEM;
	for (uint32_t p = 0; p < b->n_parts; p++) {
		struct lade_pipe_part rest = b->parts[p], gone = b->parts[p];

		rest.taken = gone.taken = 0;
		for (uint32_t i = 0; i < b->n; i++) {
			const struct lade_pipe_message *m = &b->messages[i];

			if (m->lane != rest.lane)
				continue;
			if (leaves[i] && gone.taken++ == 0)
				gone.first_offset = m->offset;
			else if (!leaves[i] && ++rest.taken)
				rest.next_offset = m->next_offset;
		}
		if (gone.taken == 0)
			rest.next_offset = b->parts[p].next_offset;
		else
			left->parts[left->n_parts++] = gone;
		if (rest.taken)
			b->parts[kept++] = rest;
	}
	b->n_parts = kept;
	return 0;
}

/* Moves the messages; @index, of those to be tried again, is what they are in @left. */
static void move_messages(struct lade_pipe_batch *b, struct lade_pipe_batch *left,
			  const bool *leaves, uint32_t *index, uint32_t n)
{
	uint32_t kept = 0, k = 0;

	for (uint32_t i = 0; i < b->n; i++) {
		if (!leaves[i]) {
			b->messages[kept] = b->messages[i];
			b->fates[kept++] = b->fates[i];
			continue;
		}
		if (k < n && index[k] == i)
			index[k++] = left->n;
		left->messages[left->n] = b->messages[i];
		left->fates[left->n++] = b->fates[i];
	}
	b->n = b->taken = kept;
	left->taken = left->n;
}

/* An empty batch that lives on the memory of @b, and has its place behind it. */
static struct lade_pipe_batch *part_new(struct lade_pipe_batch *b, uint32_t n)
{
	struct lade_pipe_batch *left = lade_pipe_batch_new(n, 16 << 10);

	if (!left)
		return NULL;
	left->shape = b->shape;
	left->reader = b->reader;
	left->first = b->first;
	left->reason = b->reason;
	left->at = b->at;
	return left;
}

static int note_keys(struct lade_pipe_batch *b, struct lade_pipe_batch *left)
{
	const struct lade_pipe_ref *key = &b->of->order_key;
	int rc;

	if (!b->of->config->order_key)
		return 0;
	rc = lade_pipe_order_note(b, key, b->reader);
	return rc < 0 ? rc : lade_pipe_order_note(left, key, b->reader);
}

static bool may_split(const struct lade_pipe_batch *b)
{
	const struct lade_pipe_engine *e = b->of;

	return e && b->n > 1 && b->n == b->taken && b->shape == e->shapes[0] && !e->show &&
	       !e->from->whole;
}

/* Parts @count messages from a batch.  Returns 1 and *ret, or -ENOMEM. */
static int part(struct lade_pipe_batch *b, const bool *leaves, uint32_t count, uint32_t *index,
		uint32_t n, struct lade_pipe_batch **ret)
{
	struct lade_pipe_batch *left = part_new(b, count);
	int rc = left ? share_parts(b, left, leaves) : -ENOMEM;

	if (rc < 0) {
		lade_pipe_batch_free(left);
		return rc;
	}
	move_messages(b, left, leaves, index, n);
	lade_pipe_batch_follow(left, b);
	left->held = true;
	rc = note_keys(b, left);
	if (rc < 0) {
		left->turn = LADE_TURN_FAILED;
		return rc;
	}
	*ret = left;
	return 1;
}

int lade_pipe_split(struct lade_pipe_batch *b, uint32_t *index, uint32_t n,
		    struct lade_pipe_batch **ret)
{
	bool *leaves;
	int count;

	if (!may_split(b))
		return 0;
	leaves = lade_arena_alloc(&b->arena, b->n);
	count = leaves ? mark(b, index, n, leaves) : -ENOMEM;
	if (count < 0 || count == (int)b->n)
		return count < 0 ? count : 0;
	return part(b, leaves, (uint32_t)count, index, n, ret);
}

int lade_pipe_split_lanes(struct lade_pipe_batch *b, const bool *lane_leaves,
			  struct lade_pipe_batch **ret)
{
	bool *leaves;
	uint32_t count = 0;

	if (!may_split(b))
		return 0;
	leaves = lade_arena_alloc(&b->arena, b->n);
	if (!leaves)
		return -ENOMEM;
	for (uint32_t i = 0; i < b->n; i++) {
		leaves[i] = lane_leaves[lade_pipe_batch_part(b, b->messages[i].lane)];
		count += leaves[i];
	}
	return part(b, leaves, count, NULL, 0, ret);
}
