/* SPDX-License-Identifier: MIT */
/* ring_test.c - order, limits and growth of the ring. */

#include "base/ring.h"

#include <stdint.h>

#include "base/alloc.h"
#include "tap.h"

static void items_come_out_in_the_order_they_went_in(void)
{
	struct lade_ring ring;
	int out = -1;

	CHECK_EQ(lade_ring_init(&ring, sizeof(int), 0, 100), 0);
	for (int i = 0; i < 100; i++)
		CHECK_EQ(lade_ring_push(&ring, &i), 0);
	for (int i = 0; i < 100; i++) {
		CHECK_EQ(lade_ring_pop(&ring, &out), 0);
		CHECK_EQ(out, i);
	}
	lade_ring_done(&ring);
}

static void a_push_at_the_limit_is_eagain_and_changes_nothing(void)
{
	struct lade_ring ring;
	int out = -1;

	CHECK_EQ(lade_ring_init(&ring, sizeof(int), 0, 3), 0);
	for (int i = 0; i < 3; i++)
		CHECK_EQ(lade_ring_push(&ring, &i), 0);
	CHECK(lade_ring_full(&ring));
	CHECK_EQ(lade_ring_push(&ring, &out), -EAGAIN);
	CHECK_EQ(lade_ring_len(&ring), 3);
	CHECK_EQ(*(int *)lade_ring_at(&ring, 2), 2);
	CHECK_EQ(lade_ring_pop(&ring, &out), 0);
	CHECK_EQ(lade_ring_push(&ring, &out), 0);
	lade_ring_done(&ring);
}

static void a_pop_of_an_empty_ring_is_eagain_and_writes_nothing(void)
{
	struct lade_ring ring;
	int out = 7;

	CHECK_EQ(lade_ring_init(&ring, sizeof(int), 4, 4), 0);
	CHECK_EQ(lade_ring_pop(&ring, &out), -EAGAIN);
	CHECK_EQ(out, 7);
	CHECK(!lade_ring_peek(&ring));
	lade_ring_done(&ring);
}

static void a_ring_of_no_items_is_always_full(void)
{
	struct lade_ring ring;
	int item = 1;

	CHECK_EQ(lade_ring_init(&ring, sizeof(int), 0, 0), 0);
	CHECK(lade_ring_full(&ring));
	CHECK_EQ(lade_ring_push(&ring, &item), -EAGAIN);
	CHECK(lade_ring_sane(&ring));
	lade_ring_done(&ring);
}

static void impossible_sizes_are_einval(void)
{
	struct lade_ring ring;

	CHECK_EQ(lade_ring_init(&ring, 0, 0, 1), -EINVAL);
	CHECK_EQ(lade_ring_init(&ring, 1, 2, 1), -EINVAL);
	CHECK_EQ(lade_ring_init(&ring, 16, 0, SIZE_MAX / 16), -EINVAL);
}

static void a_fixed_ring_never_allocates_again(void)
{
	struct lade_ring ring;
	int out;

	CHECK_EQ(lade_ring_init(&ring, sizeof(int), 5, 5), 0);
	lade_alloc_fail_at(1);
	for (int i = 0; i < 50; i++) {
		CHECK_EQ(lade_ring_push(&ring, &i), 0);
		if (i >= 4)
			CHECK_EQ(lade_ring_pop(&ring, &out), 0);
	}
	CHECK_EQ(lade_alloc_fail_at(0), 1);
	lade_ring_done(&ring);
}

static void what_was_reserved_and_not_committed_did_not_happen(void)
{
	struct lade_ring ring;
	void *slot = NULL;

	CHECK_EQ(lade_ring_init(&ring, sizeof(int), 0, 2), 0);
	CHECK_EQ(lade_ring_reserve(&ring, &slot), 0);
	CHECK_EQ(lade_ring_len(&ring), 0);
	CHECK_EQ(lade_ring_reserve(&ring, &slot), 0);
	*(int *)slot = 42;
	lade_ring_commit(&ring);
	CHECK_EQ(lade_ring_len(&ring), 1);
	CHECK_EQ(*(int *)lade_ring_peek(&ring), 42);
	lade_ring_done(&ring);
}

static void growth_that_finds_no_memory_leaves_the_ring_as_it_was(void)
{
	struct lade_ring ring;
	int rc = 0, pushed = 0, out = -1;

	lade_alloc_fail_at(1);
	CHECK_EQ(lade_ring_init(&ring, sizeof(int), 1, 1000), -ENOMEM);
	CHECK_EQ(lade_ring_init(&ring, sizeof(int), 0, 1000), 0);
	for (long n = 1; pushed < 1000; n = n % 3 + 1) {
		lade_alloc_fail_at(n);
		while (rc == 0 && pushed < 1000) {
			rc = lade_ring_push(&ring, &pushed);
			pushed += rc == 0;
		}
		lade_alloc_fail_at(0);
		CHECK(rc == -ENOMEM || pushed == 1000);
		CHECK(lade_ring_sane(&ring));
		CHECK_EQ(lade_ring_len(&ring), pushed);
		rc = lade_ring_push(&ring, &pushed);
		pushed += rc == 0;
	}
	for (int i = 0; i < 1000; i++)
		CHECK(lade_ring_pop(&ring, &out) == 0 && out == i);
	lade_ring_done(&ring);
}

/* The model: an array with two indices, large enough never to wrap. */
static void a_random_history_agrees_with_a_plain_array(void)
{
	static uint32_t model[20000][3];
	struct lade_ring ring;
	size_t first = 0, last = 0;
	uint32_t seed = 1, item[3];

	CHECK_EQ(lade_ring_init(&ring, sizeof(item), 2, 77), 0);
	for (uint32_t step = 0; step < 20000; step++) {
		seed = seed * 1664525 + 1013904223;
		if ((seed >> 16) % 100 < (step / 1000 % 2 ? 30U : 70U)) {
			int want = last - first == 77 ? -EAGAIN : 0;

			item[0] = step;
			item[1] = seed;
			item[2] = ~step;
			CHECK_EQ(lade_ring_push(&ring, item), want);
			if (want == 0)
				memcpy(model[last++], item, sizeof(item));
		} else {
			int want = last == first ? -EAGAIN : 0;

			CHECK_EQ(lade_ring_pop(&ring, item), want);
			if (want == 0)
				CHECK(!memcmp(model[first++], item, sizeof(item)));
		}
		CHECK_EQ(lade_ring_len(&ring), last - first);
		if (last > first) {
			size_t i = seed % (last - first);

			CHECK(!memcmp(lade_ring_at(&ring, i), model[first + i], sizeof(item)));
		}
		CHECK(lade_ring_sane(&ring));
	}
	lade_ring_done(&ring);
}

static void a_ring_can_be_used_again_after_done(void)
{
	struct lade_ring ring;
	char c = 'x';

	CHECK_EQ(lade_ring_init(&ring, 1, 1, 9), 0);
	lade_ring_done(&ring);
	CHECK(lade_ring_sane(&ring));
	CHECK_EQ(lade_ring_push(&ring, &c), 0);
	lade_ring_drop(&ring);
	CHECK_EQ(lade_ring_len(&ring), 0);
	lade_ring_done(&ring);
}

int main(void)
{
	TAP(items_come_out_in_the_order_they_went_in);
	TAP(a_push_at_the_limit_is_eagain_and_changes_nothing);
	TAP(a_pop_of_an_empty_ring_is_eagain_and_writes_nothing);
	TAP(a_ring_of_no_items_is_always_full);
	TAP(impossible_sizes_are_einval);
	TAP(a_fixed_ring_never_allocates_again);
	TAP(what_was_reserved_and_not_committed_did_not_happen);
	TAP(growth_that_finds_no_memory_leaves_the_ring_as_it_was);
	TAP(a_random_history_agrees_with_a_plain_array);
	TAP(a_ring_can_be_used_again_after_done);
	return tap_done();
}
