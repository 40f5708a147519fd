/* SPDX-License-Identifier: MIT */
#ifndef LADE_ARENA_H
#define LADE_ARENA_H

/* arena.h - memory that is taken piece by piece and given back all at once.
 *
 * For what lives and dies together, as the messages of a batch.  A piece is never moved
 * or freed alone.  Threads: one at a time. */

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <lade/version.h>

struct lade_arena_block;

struct lade_arena {
	struct lade_arena_block *blocks;	/* newest first; the newest is in use */
	char *at;				/* next free byte of the newest; NULL: none */
	char *end;				/* behind the newest's last byte */
	size_t block_bytes;			/* usable bytes of an ordinary block */
	size_t held_bytes;			/* usable bytes of all blocks */
	size_t max_bytes;			/* held_bytes at most */
};

LADE_API_BEGIN

/* lade_arena_init - makes an arena of blocks of @block_bytes, @max_bytes in all.
 *
 * Allocates nothing.  @block_bytes: 1 to @max_bytes, at most a quarter of the address
 * space; a larger piece gets a block of its own. */
void lade_arena_init(struct lade_arena *arena, size_t block_bytes, size_t max_bytes);

/* lade_arena_done - frees everything; the arena is empty and may be used again. */
void lade_arena_done(struct lade_arena *arena);

/* lade_arena_reset - takes all pieces back and keeps one ordinary block for the next ones. */
void lade_arena_reset(struct lade_arena *arena);

/* lade_arena_more - lade_arena_alloc_aligned() where a new block is needed. */
void *lade_arena_more(struct lade_arena *arena, size_t bytes, size_t align);

/* lade_arena_sane - true if all invariants hold; for tests. */
bool lade_arena_sane(const struct lade_arena *arena);

/* lade_arena_alloc_aligned - @bytes at a multiple of @align, a power of two up to 4096.
 *
 * Not zeroed.  Returns NULL if memory or the limit is used up: -ENOMEM to the caller's
 * caller.  The piece is the arena's and good until reset or done. */
static inline void *lade_arena_alloc_aligned(struct lade_arena *arena, size_t bytes, size_t align)
{
	uintptr_t skip = -(uintptr_t)arena->at & (align - 1);
	char *piece = arena->at;

	if (__builtin_expect(!piece || skip > (size_t)(arena->end - piece) ||
				     bytes > (size_t)(arena->end - piece) - skip, 0))
		return lade_arena_more(arena, bytes, align);
	arena->at = piece + skip + bytes;
	return piece + skip;
}

/* lade_arena_alloc - lade_arena_alloc_aligned() for any type that malloc(3) is good for. */
static inline void *lade_arena_alloc(struct lade_arena *arena, size_t bytes)
{
	return lade_arena_alloc_aligned(arena, bytes, _Alignof(max_align_t));
}

/* lade_arena_copy - a copy of @len bytes with a NUL behind it; NULL as above. */
char *lade_arena_copy(struct lade_arena *arena, const void *bytes, size_t len);

LADE_API_END

#endif
