/* SPDX-License-Identifier: MIT */
/* stack_test.c - stacks: their sizes, guards and limit, and what becomes of their pages. */

#include "base/alloc.h"
#include "core/stack.h"
#include "run.h"

#include <sys/mman.h>

#define KIB ((size_t)1024)

static struct lade_stacks *stacks_with(const char *guard, uint32_t max)
{
	struct lade_stacks *stacks;

	if (guard)
		setenv("LADE_GUARD", guard, 1);
	stacks = lade_stacks_new(max);
	unsetenv("LADE_GUARD");
	NEED_EQ(!stacks, false);
	return stacks;
}

/* The pool */

static void a_stack_is_the_smallest_slot_that_is_large_enough(void)
{
	static const size_t wanted[] = { 1,	       64 * KIB,	64 * KIB + 1, 256 * KIB,
					 257 * KIB,    1024 * KIB,	4096 * KIB,   5000 * KIB,
					 16384 * KIB };
	static const size_t slot[] = { 64 * KIB,   64 * KIB,   256 * KIB,   256 * KIB,	1024 * KIB,
				       1024 * KIB, 4096 * KIB, 16384 * KIB, 16384 * KIB };
	struct lade_stacks *stacks = stacks_with(NULL, 0);

	for (size_t i = 0; i < sizeof(slot) / sizeof(*slot); i++) {
		struct lade_ctl *ctl = lade_stack_take(stacks, wanted[i]);

		CHECK(ctl);
		if (!ctl)
			continue;
		CHECK_EQ(ctl->stack_bytes, slot[i]);
		CHECK_EQ((uintptr_t)ctl % 64, 0);
		CHECK((char *)ctl > ctl->stack);
		CHECK((char *)ctl + sizeof(struct lade_top) <= ctl->stack + ctl->stack_bytes);
		lade_stack_give(stacks, ctl);
	}
	CHECK(!lade_stack_take(stacks, 16384 * KIB + 1));
	lade_stacks_free(stacks);
}

static void the_stack_that_was_used_last_is_taken_first(void)
{
	struct lade_stacks *stacks = stacks_with(NULL, 0);
	struct lade_ctl *a = lade_stack_take(stacks, 1), *b = lade_stack_take(stacks, 1);

	CHECK(a != b);
	lade_stack_give(stacks, b);
	lade_stack_give(stacks, a);
	CHECK(lade_stack_take(stacks, 1) == a);
	CHECK(lade_stack_take(stacks, 1) == b);
	lade_stack_give(stacks, b);
	lade_stack_give(stacks, a);
	lade_stacks_free(stacks);
}

static void no_more_stacks_are_in_use_than_the_limit(void)
{
	struct lade_stacks *stacks = stacks_with(NULL, 3);
	struct lade_ctl *t[3];

	for (int i = 0; i < 3; i++)
		CHECK(t[i] = lade_stack_take(stacks, 64 * KIB << 2 * i));
	CHECK(!lade_stack_take(stacks, 1));
	lade_stack_give(stacks, t[2]);
	CHECK(t[2] = lade_stack_take(stacks, 1));
	CHECK(!lade_stack_take(stacks, 1));
	for (int i = 0; i < 3; i++)
		lade_stack_give(stacks, t[i]);
	lade_stacks_free(stacks);
}

static void thousands_of_stacks_do_not_overlap(void)
{
	enum { COUNT = 3000 };
	static struct lade_ctl *t[COUNT];
	struct lade_stacks *stacks = stacks_with(NULL, 0);

	for (int i = 0; i < COUNT; i++) {
		t[i] = lade_stack_take(stacks, 64 * KIB);
		if (t[i])
			t[i]->number = (uint64_t)i;
	}
	for (int i = 0; i < COUNT; i++) {
		CHECK(t[i] && t[i]->number == (uint64_t)i);
		for (int j = 0; j < i; j += 97)
			CHECK(t[j]->stack + 64 * KIB <= t[i]->stack ||
			      t[i]->stack + 64 * KIB <= t[j]->stack);
	}
	for (int i = 0; i < COUNT; i++)
		lade_stack_give(stacks, t[i]);
	lade_stacks_free(stacks);
}

static void neighbours_control_blocks_lie_in_different_cache_sets(void)
{
	struct lade_stacks *stacks = stacks_with(NULL, 0);
	struct lade_ctl *t[8];

	for (int i = 0; i < 8; i++) {
		t[i] = lade_stack_take(stacks, 64 * KIB);
		for (int j = 0; j < i; j++)
			CHECK((uintptr_t)t[i] % 4096 != (uintptr_t)t[j] % 4096);
	}
	for (int i = 0; i < 8; i++)
		lade_stack_give(stacks, t[i]);
	lade_stacks_free(stacks);
}

static int resident_pages(const char *from, size_t bytes)
{
	unsigned char in[1024];
	int count = 0;

	CHECK_EQ(mincore((void *)(uintptr_t)from, bytes, in), 0);
	for (size_t i = 0; i < bytes / 4096; i++)
		count += in[i] & 1;
	return count;
}

static void pages_that_a_deep_task_touched_are_given_back_when_the_loop_idles(void)
{
	struct lade_stacks *stacks = stacks_with("canary", 0);
	struct lade_ctl *ctl = lade_stack_take(stacks, 256 * KIB);

	memset(ctl->stack + 8 * KIB, 7, 200 * KIB);
	CHECK(resident_pages(ctl->stack, 208 * KIB) >= 50);
	lade_stack_give(stacks, ctl);
	CHECK(resident_pages(ctl->stack, 208 * KIB) >= 50);
	lade_stacks_trim(stacks);
	CHECK(resident_pages(ctl->stack, 208 * KIB) <= 1);
	/* The canary has stayed. */
	CHECK(lade_stack_take(stacks, 256 * KIB) == ctl);
	lade_stack_check(ctl);
	lade_stack_give(stacks, ctl);
	lade_stacks_free(stacks);
}

static void a_stack_that_is_used_deeply_again_is_trimmed_again(void)
{
	struct lade_stacks *stacks = stacks_with("canary", 0);

	for (int i = 0; i < 3; i++) {
		struct lade_ctl *ctl = lade_stack_take(stacks, 256 * KIB);

		memset(ctl->stack + 8 * KIB, 7, 200 * KIB);
		lade_stack_give(stacks, ctl);
		lade_stacks_trim(stacks);
		CHECK(resident_pages(ctl->stack, 208 * KIB) <= 1);
	}
	lade_stacks_free(stacks);
}

static long address_space_pages(void)
{
	FILE *f = fopen("/proc/self/statm", "r");
	long pages = 0;

	CHECK(f && fscanf(f, "%ld", &pages) == 1);
	if (f)
		fclose(f);
	return pages;
}

static void a_freed_pool_gives_its_address_space_back(void)
{
	long before = address_space_pages();

	for (int i = 0; i < 200; i++) {
		struct lade_stacks *stacks = stacks_with(NULL, 0);

		lade_stack_give(stacks, lade_stack_take(stacks, 256 * KIB));
		lade_stacks_free(stacks);
	}
	/* One pool reserves 16 MiB; a sanitizer may take some memory for itself. */
	CHECK(address_space_pages() - before < (256 << 20) / 4096);
}

static void one_idle_moment_trims_no_more_than_64_stacks_and_the_next_goes_on(void)
{
	struct lade_stacks *stacks = stacks_with("canary", 0);
	struct lade_ctl *t[100];
	int trimmed = 0;

	for (int i = 0; i < 100; i++)
		t[i] = lade_stack_take(stacks, 64 * KIB);
	for (int i = 0; i < 100; i++)
		lade_stack_give(stacks, t[i]);
	lade_stacks_trim(stacks);
	for (int i = 0; i < 100; i++)
		trimmed += !!(t[i]->flags & CTL_TRIMMED);
	CHECK_EQ(trimmed, 64);
	lade_stacks_free(stacks);
}

/* Guards */

static void the_guard_is_what_the_environment_wishes_or_the_best_there_is(void)
{
	struct lade_stacks *stacks = stacks_with("canary", 0);

	CHECK_STR(lade_stack_guards(stacks), "canary");
	lade_stacks_free(stacks);
	stacks = stacks_with("mprotect", 0);
	CHECK_STR(lade_stack_guards(stacks), "mprotect");
	lade_stacks_free(stacks);
	stacks = stacks_with(NULL, 0);
	CHECK(strcmp(lade_stack_guards(stacks), "canary") != 0);
	printf("# guarded here by %s\n", lade_stack_guards(stacks));
	lade_stacks_free(stacks);
}

static __attribute__((noinline)) int dig(int depth)
{
	volatile char hole[1024];

	for (size_t i = 0; i < sizeof(hole); i++)
		hole[i] = (char)depth;
	return depth == 0 ? hole[7] : dig(depth - 1) + hole[9];
}

static int digs(int kib)
{
	return dig(kib) == 0x7fffffff;
}
LADE_TASK_VOID(digs, (int, kib))

static int digs_with_more(int kib)
{
	return digs(kib);
}
LADE_TASK_VOID_WITH(digs_with_more, (.stack_bytes = 4u << 20), (int, kib))

static __attribute__((noinline)) void touch(volatile char *byte)
{
	*byte = 1;
}

static int digs_a_wide_hole(void)
{
	volatile char hole[900 * 1024];

	touch(&hole[0]);
	touch(&hole[sizeof(hole) - 1]);
	return hole[0] == 2;
}
LADE_TASK_VOID(digs_a_wide_hole)

static void overflow_body(void)
{
	int rc = 0;

	lade_scope(s, &rc)
		(void)!lade_spawn(&s, digs_task(2000));
}

static void wide_overflow_body(void)
{
	int rc = 0;

	lade_scope(s, &rc)
		(void)!lade_spawn(&s, digs_a_wide_hole_task());
}

/* How a process ends whose task overflows its stack: true if not well. */
static bool dies(const char *guard, void (*body)(void))
{
	int status = 0;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		if (!freopen("/dev/null", "w", stderr))
			_exit(0);
		setenv("LADE_GUARD", guard, 1);
		run_with(&(struct lade_loop_config){ .backend = "virtual" }, body);
		_exit(0);
	}
	CHECK(pid > 0);
	CHECK(waitpid(pid, &status, 0) == pid);
	return !WIFEXITED(status) || WEXITSTATUS(status) != 0;
}

static void a_stack_overflow_ends_the_process_at_once_whatever_the_guard(void)
{
	CHECK(dies("madvise", overflow_body));
	CHECK(dies("mprotect", overflow_body));
}

static void a_frame_larger_than_the_guard_cannot_jump_over_it(void)
{
	CHECK(dies("madvise", wide_overflow_body));
	CHECK(dies("mprotect", wide_overflow_body));
}

IN_TASK(a_task_that_asks_for_a_larger_stack_may_dig_deeper)
{
	struct digs_with_more_task a = digs_with_more_task(1000);
	struct digs_task b = digs_task(60);
	int rc = 0;

	lade_scope(s, &rc) {
		lade_start(&s, &a);
		lade_start(&s, &b);
	}
	CHECK_EQ(rc, 0);
}

/* Overruns its own stack by a few bytes: they hit the slack above the neighbour's block. */
static __attribute__((noinline)) int dig_to_the_end(volatile char *lowest)
{
	volatile char hole[128];

	for (size_t i = 0; i < sizeof(hole); i++)
		hole[i] = 1;
	return &hole[0] <= lowest ? 0 : dig_to_the_end(lowest) + hole[7];
}

static int overruns(bool suspends)
{
	int sum = dig_to_the_end(lade_cur->stack - sizeof(uint64_t));

	return suspends ? lade_yield() : sum & 0;
}
LADE_TASK_VOID(overruns, (bool, suspends))

static void overrun(bool suspends)
{
	struct end_after_task t[15];
	struct overruns_task a = overruns_task(suspends);
	int rc = 0;

	/* The sixteenth slot has the most slack at its top, and lies below the seventeenth. */
	lade_scope(s, &rc) {
		for (int i = 0; i < 15; i++) {
			t[i] = end_after_task(10, 0);
			lade_start(&s, &t[i]);
		}
		lade_start_at(&s, &a.head, "start.c:1");
	}
}

static void overrun_and_suspend(void)
{
	overrun(true);
}

static void overrun_and_end(void)
{
	overrun(false);
}

static void an_overrun_of_a_stack_with_a_canary_is_found_when_the_task_suspends(void)
{
	setenv("LADE_GUARD", "canary", 1);
	run_with(&(struct lade_loop_config){ .backend = "virtual" }, overrun_and_suspend);
}

static void an_overrun_of_a_stack_with_a_canary_is_found_when_the_task_ends(void)
{
	setenv("LADE_GUARD", "canary", 1);
	run_with(&(struct lade_loop_config){ .backend = "virtual" }, overrun_and_end);
}

static void many_body(void)
{
	int rc = 0;

	lade_scope(s, &rc, .max_children = 30000)
		for (int i = 0; i < 26000 && rc == 0; i++)
			rc = lade_spawn(&s, end_after_task(1, 0));
	CHECK_EQ(rc, 0);
	CHECK_STR(lade_stack_guards(lade_cur->loop->stacks), "canary");
}

static void where_no_more_guards_can_be_had_the_stacks_have_canaries(void)
{
	setenv("LADE_GUARD", "mprotect", 1);
	run_with(&(struct lade_loop_config){ .backend = "virtual" }, many_body);
	unsetenv("LADE_GUARD");
}

static void few_tasks_body(void)
{
	struct value_after_task a = value_after_task(10, 5);
	int rc = 0;

	lade_scope(s, &rc) {
		lade_start(&s, &a);
		for (int i = 0; i < 10 && rc == 0; i++)
			rc = lade_spawn(&s, digs_task(100));
	}
	CHECK_EQ(rc, 0);
	CHECK_EQ(lade_value(&a), 5);
}

static void tasks_run_the_same_under_each_guard(void)
{
	static const char *const guards[] = { "madvise", "mprotect", "canary" };

	for (int i = 0; i < 3; i++) {
		setenv("LADE_GUARD", guards[i], 1);
		run_with(&(struct lade_loop_config){ .backend = "virtual" }, few_tasks_body);
	}
	unsetenv("LADE_GUARD");
}

static int looks_at_its_lowest_page(bool *ret_touched)
{
	unsigned char resident = 0;
	int rc = lade_yield();

	/* An emulator knows nothing of what is protected, and it is not touched. */
	if (mincore(lade_cur->stack, 1, &resident) < 0)
		CHECK_EQ(errno, ENOMEM);
	*ret_touched = resident & 1;
	return rc;
}
LADE_TASK_VOID(looks_at_its_lowest_page, (bool *, ret_touched))

static void lowest_page_body(void)
{
	bool touched[3] = { true, true, true };
	int rc = 0;

	lade_scope(s, &rc)
		for (int i = 0; i < 3 && rc == 0; i++)
			rc = lade_spawn(&s, looks_at_its_lowest_page_task(&touched[i]));
	CHECK_EQ(rc, 0);
	CHECK(!touched[0] && !touched[1] && !touched[2]);
}

/* A second page would double what an idle task costs. */
static void a_guard_takes_no_page_of_its_own(void)
{
	static const char *const guards[] = { "madvise", "mprotect", "canary" };

	for (int i = 0; i < 3; i++) {
		setenv("LADE_GUARD", guards[i], 1);
		run_with(&(struct lade_loop_config){ .backend = "virtual" }, lowest_page_body);
	}
	unsetenv("LADE_GUARD");
}

/* No memory */

static void a_loop_for_which_there_is_no_memory_is_enomem_at_each_allocation(void)
{
	struct lade_loop *loop = NULL;
	int failures = 0;

	for (long n = 1;; n++) {
		int rc;

		lade_alloc_fail_at(n);
		rc = lade_loop_new(&(struct lade_loop_config){ .backend = "virtual" }, &loop);
		if (lade_alloc_fail_at(0) > 0) {
			CHECK_EQ(rc, 0);
			break;
		}
		CHECK_EQ(rc, -ENOMEM);
		CHECK(!loop);
		failures++;
	}
	CHECK(failures >= 2);
	lade_loop_free(loop);
}

IN_TASK(a_stack_for_which_there_is_no_memory_is_enomem_and_the_next_start_may_succeed)
{
	struct digs_with_more_task a = digs_with_more_task(1), b = digs_with_more_task(1);
	int rc = 0;

	lade_scope(s, &rc, .policy = LADE_ALL) {
		lade_alloc_fail_at(1);
		lade_start(&s, &a);
		CHECK_EQ(lade_alloc_fail_at(0), 0);
		CHECK_EQ(lade_status(&a), -ENOMEM);
		lade_start(&s, &b);
	}
	CHECK_EQ(lade_status(&b), 0);
}

int main(void)
{
	TAP(a_stack_is_the_smallest_slot_that_is_large_enough);
	TAP(the_stack_that_was_used_last_is_taken_first);
	TAP(no_more_stacks_are_in_use_than_the_limit);
	TAP(thousands_of_stacks_do_not_overlap);
	TAP(neighbours_control_blocks_lie_in_different_cache_sets);
	TAP(pages_that_a_deep_task_touched_are_given_back_when_the_loop_idles);
	TAP(a_stack_that_is_used_deeply_again_is_trimmed_again);
	TAP(a_freed_pool_gives_its_address_space_back);
	TAP(one_idle_moment_trims_no_more_than_64_stacks_and_the_next_goes_on);
	TAP(the_guard_is_what_the_environment_wishes_or_the_best_there_is);
	TAP(a_stack_overflow_ends_the_process_at_once_whatever_the_guard);
	TAP(a_frame_larger_than_the_guard_cannot_jump_over_it);
	TAP(a_task_that_asks_for_a_larger_stack_may_dig_deeper);
	TAP_DIES(an_overrun_of_a_stack_with_a_canary_is_found_when_the_task_suspends,
		 "task overruns, started at start.c:1, has overrun its stack of 262144 bytes");
	TAP_DIES(an_overrun_of_a_stack_with_a_canary_is_found_when_the_task_ends,
		 "task overruns, started at start.c:1, has overrun its stack of 262144 bytes");
	TAP(where_no_more_guards_can_be_had_the_stacks_have_canaries);
	TAP(tasks_run_the_same_under_each_guard);
	TAP(a_guard_takes_no_page_of_its_own);
	TAP(a_loop_for_which_there_is_no_memory_is_enomem_at_each_allocation);
	TAP(a_stack_for_which_there_is_no_memory_is_enomem_and_the_next_start_may_succeed);
	return tap_done();
}
