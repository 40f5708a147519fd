/* SPDX-License-Identifier: MIT */
#ifndef LADE_BASE_HEAP_H
#define LADE_BASE_HEAP_H

/* heap.h - timers in order of time, without an allocation. */

#include <lade/layout.h>

/* A heap of timers; initialise with zeros. */
struct lade_heap {
	struct lade_timer anchor; /* its child is the root, the earliest timer */
};

/* lade_heap_insert - adds a timer that is in no heap; at_ns and order are set.  O(1). */
void lade_heap_insert(struct lade_heap *heap, struct lade_timer *timer);

/* lade_heap_remove - takes a timer out; O(1) for one that was never near the front, else
 * amortised O(log n). */
void lade_heap_remove(struct lade_heap *heap, struct lade_timer *timer);

/* lade_heap_first - the earliest timer, or NULL. */
static inline struct lade_timer *lade_heap_first(const struct lade_heap *heap)
{
	return heap->anchor.child;
}

/* lade_timer_armed - whether a timer is in a heap. */
static inline bool lade_timer_armed(const struct lade_timer *timer)
{
	return timer->prev;
}

/* lade_heap_check - whether every invariant of the heap holds; for tests.  O(n). */
bool lade_heap_check(const struct lade_heap *heap);

#endif
