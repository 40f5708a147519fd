/* SPDX-License-Identifier: MIT */
/* heap_test.c - the timer heap against a plain array. */

#include "base/heap.h"

#include "tap.h"

#define TIMERS 600

static uint32_t next_random(uint32_t *state)
{
	*state = *state * 1664525u + 1013904223u;
	return *state >> 8;
}

static struct lade_timer *earliest(struct lade_timer *timers)
{
	struct lade_timer *best = NULL;

	for (int i = 0; i < TIMERS; i++) {
		struct lade_timer *t = &timers[i];

		if (lade_timer_armed(t) &&
		    (!best || t->at_ns < best->at_ns ||
		     (t->at_ns == best->at_ns && t->order < best->order)))
			best = t;
	}
	return best;
}

static void the_first_timer_is_the_earliest_after_any_inserts_and_removes(void)
{
	static struct lade_timer timers[TIMERS];
	struct lade_heap heap = { 0 };
	uint32_t random = 1;

	for (int step = 0; step < 20000; step++) {
		struct lade_timer *t = &timers[next_random(&random) % TIMERS];

		if (lade_timer_armed(t)) {
			lade_heap_remove(&heap, t);
		} else {
			t->at_ns = next_random(&random) % 100;
			t->order = (uint64_t)step;
			lade_heap_insert(&heap, t);
		}
		if (step % 16 == 0) {
			CHECK(lade_heap_first(&heap) == earliest(timers));
			CHECK(lade_heap_check(&heap));
		}
	}
}

static void timers_of_one_instant_come_out_in_their_order(void)
{
	static struct lade_timer timers[TIMERS];
	struct lade_heap heap = { 0 };

	for (int i = 0; i < TIMERS; i++) {
		timers[i].at_ns = 7;
		timers[i].order = (uint64_t)i;
		lade_heap_insert(&heap, &timers[i]);
	}
	for (int i = 0; i < TIMERS; i++) {
		CHECK(lade_heap_first(&heap) == &timers[i]);
		lade_heap_remove(&heap, &timers[i]);
	}
	CHECK(!lade_heap_first(&heap));
}

static void a_removed_timer_is_not_armed(void)
{
	struct lade_timer t = { .at_ns = 1 };
	struct lade_heap heap = { 0 };

	CHECK(!lade_timer_armed(&t));
	lade_heap_insert(&heap, &t);
	CHECK(lade_timer_armed(&t));
	lade_heap_remove(&heap, &t);
	CHECK(!lade_timer_armed(&t));
}

int main(void)
{
	TAP(the_first_timer_is_the_earliest_after_any_inserts_and_removes);
	TAP(timers_of_one_instant_come_out_in_their_order);
	TAP(a_removed_timer_is_not_armed);
	return tap_done();
}
