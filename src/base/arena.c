/* SPDX-License-Identifier: MIT */
/* arena.c - the blocks behind an arena.
 *
 * DESIGN
 * A piece too large for an ordinary block gets a block that fits it exactly and is put
 * BEHIND the block in use: what is left of that one is not lost.  Reset keeps one ordinary
 * block, so a batch after a batch allocates nothing, and a single huge message does not
 * stay in memory for ever.
 *
 * INVARIANT  held_bytes is the sum over the blocks and <= max_bytes; at and end lie in
 *            the first block, or are both NULL.
 * LIMITS     max_bytes of usable memory; the blocks' headers come on top. */

#include <lade/arena.h>

#include <string.h>

#include "base/alloc.h"

struct lade_arena_block {
	struct lade_arena_block *next;	/* the block filled before, or NULL */
	size_t bytes;			/* usable bytes behind this header */
	_Alignas(max_align_t) char bytes_at[];	/* the usable bytes */
};

void lade_arena_init(struct lade_arena *arena, size_t block_bytes, size_t max_bytes)
{
	assert(block_bytes > 0 && block_bytes <= max_bytes && block_bytes <= SIZE_MAX / 4);
	*arena = (struct lade_arena){ .block_bytes = block_bytes, .max_bytes = max_bytes };
}

static void free_blocks(struct lade_arena *arena, struct lade_arena_block *keep)
{
	struct lade_arena_block *block = arena->blocks;

	while (block) {
		struct lade_arena_block *next = block->next;

		if (block != keep)
			lade_free(block);
		block = next;
	}
	lade_arena_init(arena, arena->block_bytes, arena->max_bytes);
}

void lade_arena_done(struct lade_arena *arena)
{
	free_blocks(arena, NULL);
}

static void put_first(struct lade_arena *arena, struct lade_arena_block *block)
{
	block->next = arena->blocks;
	arena->blocks = block;
	arena->at = block->bytes_at;
	arena->end = block->bytes_at + block->bytes;
}

void lade_arena_reset(struct lade_arena *arena)
{
	struct lade_arena_block *keep = arena->blocks;

	while (keep && keep->bytes != arena->block_bytes)
		keep = keep->next;
	free_blocks(arena, keep);
	if (keep) {
		arena->held_bytes = keep->bytes;
		put_first(arena, keep);
	}
}

static struct lade_arena_block *new_block(struct lade_arena *arena, size_t bytes)
{
	struct lade_arena_block *block;

	if (bytes > arena->max_bytes - arena->held_bytes)
		return NULL;
	block = lade_malloc(sizeof(*block) + bytes);
	if (!block)
		return NULL;
	block->bytes = bytes;
	arena->held_bytes += bytes;
	return block;
}

/* Near the limit the last block is as large as the limit allows. */
static size_t ordinary_bytes(const struct lade_arena *arena)
{
	size_t left = arena->max_bytes - arena->held_bytes;

	return arena->block_bytes < left ? arena->block_bytes : left;
}

static void put_behind_first(struct lade_arena *arena, struct lade_arena_block *block)
{
	block->next = arena->blocks->next;
	arena->blocks->next = block;
}

static void *piece_of(struct lade_arena_block *block, size_t align)
{
	return block->bytes_at + (-(uintptr_t)block->bytes_at & (align - 1));
}

void *lade_arena_more(struct lade_arena *arena, size_t bytes, size_t align)
{
	size_t slack = align > _Alignof(max_align_t) ? align - 1 : 0;
	size_t ordinary = ordinary_bytes(arena);
	struct lade_arena_block *block;
	char *piece;
	bool fits;

	assert(align > 0 && align <= 4096 && (align & (align - 1)) == 0);
	if (bytes > SIZE_MAX / 4)
		return NULL;
	fits = bytes + slack <= ordinary;
	block = new_block(arena, fits ? ordinary : bytes + slack);
	if (!block)
		return NULL;
	piece = piece_of(block, align);
	if (!fits && arena->blocks) {
		put_behind_first(arena, block);
		return piece;
	}
	put_first(arena, block);
	arena->at = piece + bytes;
	return piece;
}

char *lade_arena_copy(struct lade_arena *arena, const void *bytes, size_t len)
{
	char *copy = len < SIZE_MAX ? lade_arena_alloc_aligned(arena, len + 1, 1) : NULL;

	if (!copy)
		return NULL;
	if (len > 0)
		memcpy(copy, bytes, len);
	copy[len] = 0;
	return copy;
}

bool lade_arena_sane(const struct lade_arena *arena)
{
	const struct lade_arena_block *first = arena->blocks;
	size_t held = 0;

	for (const struct lade_arena_block *block = first; block; block = block->next)
		held += block->bytes;
	if (held != arena->held_bytes || held > arena->max_bytes)
		return false;
	if (!first)
		return !arena->at && !arena->end;
	return arena->at >= first->bytes_at && arena->at <= arena->end &&
	       arena->end == first->bytes_at + first->bytes;
}
