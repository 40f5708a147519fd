/* SPDX-License-Identifier: MIT */
#ifndef LADE_BASE_RING_H
#define LADE_BASE_RING_H

/* ring.h - a first-in first-out queue of items of one size, in one piece of memory.
 *
 * It begins with as many slots as asked for and doubles up to its limit: with both equal
 * it is a fixed ring whose push cannot fail for want of memory.  Items are copied as
 * bytes; what they point to is the caller's.  Who knows the item's size when compiling
 * uses reserve and peek, and saves a call of memcpy.  Threads: one at a time. */

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

struct lade_ring {
	unsigned char *items;	/* mask + 1 slots; NULL while there are none */
	size_t item_bytes;	/* bytes of an item, >= 1 */
	size_t head;		/* items ever taken out; the oldest is in slot head & mask */
	size_t tail;		/* items ever put in; tail - head is the length */
	size_t mask;		/* slots - 1, slots being a power of two; 0 while there are none */
	size_t room;		/* items that fit before it must grow: min(slots, max) */
	size_t max;		/* items at most, whatever the number of slots */
};

/* lade_ring_init - makes an empty ring with slots for @first items, which grows up to @max.
 *
 * @max 0 is a ring that is always full.  Returns 0; -EINVAL if @item_bytes is 0,
 * @first > @max, or the whole would not fit in the address space; -ENOMEM.
 * Owns: what it allocates, until lade_ring_done(). */
int lade_ring_init(struct lade_ring *ring, size_t item_bytes, size_t first, size_t max);

/* lade_ring_done - frees the storage; items still in it are forgotten. */
void lade_ring_done(struct lade_ring *ring);

/* lade_ring_grow - makes room for one more item; lade_ring_reserve()'s slow path.
 *
 * Returns 0, -EAGAIN at the limit, -ENOMEM (the ring stays as it was). */
int lade_ring_grow(struct lade_ring *ring);

/* lade_ring_sane - true if all invariants hold; for tests. */
bool lade_ring_sane(const struct lade_ring *ring);

/* lade_ring_len - the number of items in it. */
static inline size_t lade_ring_len(const struct lade_ring *ring)
{
	return ring->tail - ring->head;
}

/* lade_ring_full - true if a push would return -EAGAIN. */
static inline bool lade_ring_full(const struct lade_ring *ring)
{
	return lade_ring_len(ring) == ring->max;
}

/* lade_ring_at - the item that @i others precede, i < length; the oldest is 0.
 *
 * The pointer is good until the next push, pop or reserve. */
static inline void *lade_ring_at(const struct lade_ring *ring, size_t i)
{
	assert(i < lade_ring_len(ring));
	return ring->items + ((ring->head + i) & ring->mask) * ring->item_bytes;
}

/* lade_ring_peek - the oldest item, or NULL if there is none. */
static inline void *lade_ring_peek(const struct lade_ring *ring)
{
	return ring->head == ring->tail ? NULL : lade_ring_at(ring, 0);
}

/* lade_ring_reserve - finds the slot of the next item; lade_ring_commit() puts it in.
 *
 * Between the two the caller fills the slot and does nothing else with the ring; without
 * a commit nothing happened.  Returns 0 and *ret_slot, -EAGAIN at the limit, -ENOMEM. */
static inline int lade_ring_reserve(struct lade_ring *ring, void **ret_slot)
{
	if (__builtin_expect(lade_ring_len(ring) == ring->room, 0)) {
		int rc = lade_ring_grow(ring);

		if (rc < 0)
			return rc;
	}
	*ret_slot = ring->items + (ring->tail & ring->mask) * ring->item_bytes;
	return 0;
}

/* lade_ring_commit - puts in the item whose slot was reserved; cannot fail. */
static inline void lade_ring_commit(struct lade_ring *ring)
{
	assert(lade_ring_len(ring) < ring->room);
	ring->tail++;
}

/* lade_ring_push - copies @item in behind the youngest.
 *
 * Returns 0, -EAGAIN at the limit, -ENOMEM; then the ring stays as it was. */
static inline int lade_ring_push(struct lade_ring *ring, const void *item)
{
	void *slot;
	int rc = lade_ring_reserve(ring, &slot);

	if (rc < 0)
		return rc;
	memcpy(slot, item, ring->item_bytes);
	ring->tail++;
	return 0;
}

/* lade_ring_drop - takes the oldest item out without looking at it; there must be one. */
static inline void lade_ring_drop(struct lade_ring *ring)
{
	assert(ring->head != ring->tail);
	ring->head++;
}

/* lade_ring_pop - copies the oldest item to *ret_item and takes it out.
 *
 * Returns 0, or -EAGAIN if there is none. */
static inline int lade_ring_pop(struct lade_ring *ring, void *ret_item)
{
	const void *oldest = lade_ring_peek(ring);

	if (!oldest)
		return -EAGAIN;
	memcpy(ret_item, oldest, ring->item_bytes);
	ring->head++;
	return 0;
}

#endif
