/* SPDX-License-Identifier: MIT */
/* alloc_test.c - failures come where they were ordered, once. */

#include "base/alloc.h"

#include <stdint.h>

#include "tap.h"

static void allocations_succeed_when_no_failure_is_ordered(void)
{
	char *a = lade_malloc(10), *b = lade_calloc(3, 4), *c;

	CHECK(a && b);
	CHECK(b && b[0] == 0 && b[11] == 0);
	c = lade_realloc(a, 1000);
	CHECK(c);
	a = lade_aligned_alloc(128, 130);
	CHECK(a && (uintptr_t)a % 128 == 0);
	lade_free(a);
	lade_free(c);
	lade_free(b);
	lade_free(NULL);
}

static void the_nth_allocation_fails_and_the_next_succeeds(void)
{
	void *got[5];

	lade_alloc_fail_at(3);
	for (int i = 0; i < 5; i++)
		got[i] = lade_malloc(8);
	for (int i = 0; i < 5; i++) {
		CHECK((got[i] == NULL) == (i == 2));
		lade_free(got[i]);
	}
}

static void each_kind_of_allocation_can_fail(void)
{
	char *kept = lade_malloc(4);

	CHECK(kept);
	if (!kept)
		return;
	kept[0] = 'k';
	lade_alloc_fail_at(1);
	CHECK(!lade_malloc(1));
	lade_alloc_fail_at(1);
	CHECK(!lade_calloc(1, 1));
	lade_alloc_fail_at(1);
	CHECK(!lade_aligned_alloc(64, 1));
	lade_alloc_fail_at(1);
	CHECK(!lade_realloc(kept, 100));
	CHECK_EQ(kept[0], 'k');
	lade_free(kept);
}

static void what_is_left_of_the_count_tells_whether_the_failure_happened(void)
{
	void *mem;

	CHECK_EQ(lade_alloc_fail_at(2), 0);
	mem = lade_malloc(1);
	CHECK(mem);
	lade_free(mem);
	CHECK_EQ(lade_alloc_fail_at(1), 1);
	CHECK(!lade_malloc(1));
	CHECK_EQ(lade_alloc_fail_at(0), 0);
}

int main(void)
{
	TAP(allocations_succeed_when_no_failure_is_ordered);
	TAP(the_nth_allocation_fails_and_the_next_succeeds);
	TAP(each_kind_of_allocation_can_fail);
	TAP(what_is_left_of_the_count_tells_whether_the_failure_happened);
	return tap_done();
}
