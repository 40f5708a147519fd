/* SPDX-License-Identifier: MIT */
/* ring.c - how a ring begins and grows.
 *
 * DESIGN
 * head and tail only ever increase and are masked when a slot is looked up, so that empty
 * and full differ without a spare slot or a flag.  The limit is separate from the number
 * of slots: a channel of three has four slots and refuses the fourth item.
 *
 * INVARIANT  tail - head <= room = min(mask + 1, max), or all three 0 without storage.
 * LIMITS     max items; growth copies the items once per doubling: O(1) amortised. */

#include "base/ring.h"

#include <stdint.h>

#include "base/alloc.h"

#define FIRST_SLOTS 4	/* slots that a ring begun empty gets at its first push */

static size_t slots_for(size_t n)
{
	size_t slots = 1;

	while (slots < n)
		slots *= 2;
	return slots;
}

/* The items end up in slots 0 to length - 1 of the new storage. */
static int use_slots(struct lade_ring *ring, size_t slots)
{
	size_t len = lade_ring_len(ring), bytes = ring->item_bytes;
	unsigned char *items = lade_malloc(slots * bytes);

	if (!items)
		return -ENOMEM;
	if (len > 0) {
		size_t first = ring->head & ring->mask, until_wrap = ring->mask + 1 - first;
		size_t straight = len < until_wrap ? len : until_wrap;

		memcpy(items, ring->items + first * bytes, straight * bytes);
		memcpy(items + straight * bytes, ring->items, (len - straight) * bytes);
	}
	lade_free(ring->items);
	ring->items = items;
	ring->head = 0;
	ring->tail = len;
	ring->mask = slots - 1;
	ring->room = slots < ring->max ? slots : ring->max;
	return 0;
}

int lade_ring_init(struct lade_ring *ring, size_t item_bytes, size_t first, size_t max)
{
	/* A quarter of the address space, so that rounding up to a power of two fits too. */
	if (item_bytes == 0 || first > max || max > SIZE_MAX / 4 / item_bytes)
		return -EINVAL;
	*ring = (struct lade_ring){ .item_bytes = item_bytes, .max = max };
	return first > 0 ? use_slots(ring, slots_for(first)) : 0;
}

void lade_ring_done(struct lade_ring *ring)
{
	lade_free(ring->items);
	ring->items = NULL;
	ring->head = ring->tail = ring->mask = ring->room = 0;
}

int lade_ring_grow(struct lade_ring *ring)
{
	if (ring->room == ring->max)
		return -EAGAIN;
	if (ring->items)
		return use_slots(ring, 2 * (ring->mask + 1));
	return use_slots(ring, slots_for(ring->max < FIRST_SLOTS ? ring->max : FIRST_SLOTS));
}

bool lade_ring_sane(const struct lade_ring *ring)
{
	size_t slots = ring->mask + 1;

	if (ring->item_bytes == 0)
		return false;
	if (!ring->items)
		return ring->head == ring->tail && ring->mask == 0 && ring->room == 0;
	return (slots & ring->mask) == 0 && ring->room == (slots < ring->max ? slots : ring->max) &&
	       lade_ring_len(ring) <= ring->room;
}
