/* SPDX-License-Identifier: MIT */
/* dump_test.c - what a dump tells of tasks, scopes, deadlines, shields, requests and stacks. */

#include "core/dump_priv.h"
#include "core/stack.h"

#include "dumped.h"
#include "run.h"

#include <fcntl.h>

static const char *sleeps_at; /* where the last sleeper began to */

static int sleeper(int64_t ms)
{
	return sleeps_at = LADE_SITE, lade_sleep(lade_ms(ms));
}
LADE_TASK_VOID(sleeper, (int64_t, ms))

static int parent(struct sleeper_task *child)
{
	int rc = 0;

	lade_scope(s, &rc)
		lade_start(&s, child);
	return rc;
}
LADE_TASK_VOID(parent, (struct sleeper_task *, child))

static int depth_of(const char *word)
{
	return (int)strspn(dump_line(word), " ");
}

IN_TASK(a_dump_is_a_tree_with_the_line_where_each_task_was_started)
{
	struct sleeper_task child = sleeper_task(100);
	struct parent_task one = parent_task(&child);
	const char *started;
	int rc = 0;

	lade_scope(s, &rc) {
		started = LADE_SITE, lade_start(&s, &one);
		CHECK_EQ(lade_sleep(lade_ms(10)), 0);
		take_dump();
		lade_cancel(&s);
	}
	DUMP_SAYS("lade: loop", "loop on virtual, 3 tasks started, 0 ready");
	DUMP_SAYS("run_root #1", ": runs");
	DUMP_SAYS("parent #2", started);
	DUMP_SAYS("sleeper #3", child.head.site);
	/* The root, its scope, the task in it, that one's scope, and the task in that. */
	CHECK_EQ(depth_of("run_root #1"), 2);
	CHECK_EQ(depth_of("parent #2"), 6);
	CHECK_EQ(depth_of("sleeper #3"), 10);
	DUMP_SAYS("scope of", ", 1 children");
}

IN_TASK(a_wait_is_shown_with_what_and_where_and_since_when)
{
	struct sleeper_task one = sleeper_task(1000);
	int rc = 0;

	lade_scope(s, &rc) {
		lade_start(&s, &one);
		CHECK_EQ(lade_sleep(lade_ms(250)), 0);
		take_dump();
		lade_cancel(&s);
	}
	DUMP_SAYS("sleeper #2", ": waits for sleep at ");
	DUMP_SAYS("sleeper #2", sleeps_at);
	DUMP_SAYS("sleeper #2", " since 0.250 s");
	DUMP_SAYS("sleeper #2", " bytes of stack");
}

IN_TASK(a_task_that_has_not_run_yet_is_ready)
{
	struct sleeper_task one = sleeper_task(1000);
	int rc = 0;

	lade_scope(s, &rc) {
		lade_start(&s, &one);
		take_dump();
		lade_cancel(&s);
	}
	DUMP_SAYS("sleeper #2", ": ready");
	DUMP_SAYS("lade: loop", ", 1 ready");
}

IN_TASK(a_daemon_is_called_one)
{
	struct sleeper_task one = sleeper_task(1000), two = sleeper_task(1000);
	int rc = 0;

	lade_scope(s, &rc) {
		lade_start_daemon(&s, &one);
		lade_start(&s, &two);
		take_dump();
		lade_cancel(&s);
	}
	DUMP_SAYS("sleeper #2", ", daemon: ready");
	CHECK(!strstr(dump_line("sleeper #3"), "daemon"));
	DUMP_SAYS("scope of", ", 2 children, daemons among them: 1");
}

static int deaf(int64_t ms)
{
	int rc = 0;

	lade_shield(lade_s(5))
		rc = lade_sleep(lade_ms(ms));
	return rc;
}
LADE_TASK_VOID(deaf, (int64_t, ms))

IN_TASK(a_request_is_shown_with_its_reason_and_what_holds_it_back)
{
	struct deaf_task one = deaf_task(8000);
	struct sleeper_task soft = sleeper_task(8000);
	const char *asked;
	int rc = 0;

	lade_scope(s, &rc, .policy = LADE_ALL) {
		lade_start(&s, &one);
		lade_start(&s, &soft);
		CHECK_EQ(lade_yield(), 0);
		take_dump();
		CHECK(!strstr(dump_text, "asked to end"));
		DUMP_SAYS("shield of", "with 5.000 s");
		CHECK(!strstr(dump_line("shield of"), "holds"));
		asked = LADE_SITE, lade_cancel(&one);
		lade_cancel(&soft, lade_s(30));
		CHECK_EQ(lade_sleep(lade_ms(100)), 0);
		take_dump();
		lade_cancel(&s);
	}
	DUMP_SAYS("deaf #2", ", asked to end (held back by a shield): user at ");
	DUMP_SAYS("deaf #2", asked);
	DUMP_SAYS("deaf #2", " by run_root, 0.100 s ago");
	DUMP_SAYS("shield of", ", holds a request back, 4.900 s left");
	DUMP_SAYS("sleeper #3", ", asked to end softly: user at ");
}

/* Asks for a dump when its cancel has come. */
static int dumps_when_cancelled(void)
{
	int rc = lade_sleep(lade_s(1));

	take_dump();
	return rc;
}
LADE_TASK_VOID(dumps_when_cancelled)

IN_TASK(a_request_on_a_scope_is_shown_there_and_at_the_tasks_below)
{
	struct dumps_when_cancelled_task one = dumps_when_cancelled_task();
	struct end_after_task bad = end_after_task(20, -EIO);
	int rc = 0;

	lade_scope(s, &rc) {
		lade_start(&s, &one);
		lade_start(&s, &bad);
	}
	DUMP_SAYS("scope of", ", asked to end: sibling at ");
	DUMP_SAYS("dumps_when_cancelled #2", ": runs, asked to end: sibling at ");
	DUMP_SAYS("dumps_when_cancelled #2", " by end_after, 0.000 s ago");
}

static int has_one_who_dumps(void)
{
	int rc = 0;

	lade_scope(s, &rc)
		rc = lade_spawn(&s, dumps_when_cancelled_task());
	return rc;
}

IN_TASK(a_request_on_the_parent_is_shown_with_what_it_was_there)
{
	CHECK_EQ(lade_within(lade_ms(30), has_one_who_dumps()), -ETIME);
	DUMP_SAYS("dumps_when_cancelled #2", ", asked to end: parent (deadline) at ");
	DUMP_SAYS("within of", ", passed, asked to end: deadline at ");
}

static int within_two(int64_t ms, int64_t inner_ms)
{
	return lade_within(lade_ms(ms), lade_within(lade_ms(inner_ms), lade_sleep(lade_s(60))));
}
LADE_TASK_VOID(within_two, (int64_t, ms), (int64_t, inner_ms))

IN_TASK(deadlines_are_shown_with_the_time_that_is_left)
{
	struct within_two_task one = within_two_task(5000, 9000);
	struct within_two_task two = within_two_task(5000, 3000);
	int rc = 0;

	lade_scope(s, &rc, .policy = LADE_ALL) {
		lade_start(&s, &one);
		lade_start(&s, &two);
		CHECK_EQ(lade_sleep(lade_ms(1000)), 0);
		take_dump();
		lade_cancel(&s);
	}
	DUMP_SAYS("within_two #2", ", 4.000 s to its deadline");
	DUMP_SAYS("within_two #3", ", 2.000 s to its deadline");
	DUMP_SAYS("within of", ", 4.000 s left");
	CHECK(strstr(dump_text, ", after one outside"));
	CHECK(strstr(dump_text, ", 2.000 s left"));
}

static void long_cleanup(void *unused)
{
	(void)unused;
	(void)!lade_sleep(lade_s(60));
}

static int has_long_cleanup(void)
{
	lade_defer(long_cleanup, NULL);

	return lade_sleep(lade_s(60));
}
LADE_TASK_VOID(has_long_cleanup)

IN_TASK(a_cleanup_is_shown_with_its_budget_and_when_it_is_overrun)
{
	struct has_long_cleanup_task one = has_long_cleanup_task();
	int rc = 0;

	lade_scope(s, &rc, .policy = LADE_ALL, .cleanup = lade_ms(500)) {
		lade_start(&s, &one);
		CHECK_EQ(lade_yield(), 0);
		lade_cancel(&one);
		CHECK_EQ(lade_sleep(lade_ms(100)), 0);
		take_dump();
	}
	DUMP_SAYS("cleanup of", "with 0.500 s, holds a request back, 0.400 s left");
}

static int never_calls(struct lade_op *op)
{
	return lade_park(op, NULL);
}
LADE_TASK_VOID(never_calls, (struct lade_op *, op))

static int spawns(struct lade_scope *scope)
{
	return lade_spawn(scope, sleeper_task(10));
}
LADE_TASK_VOID(spawns, (struct lade_scope *, scope))

static int awaits(struct never_calls_task *other)
{
	return lade_wait(other);
}
LADE_TASK_VOID(awaits, (struct never_calls_task *, other))

IN_TASK(waits_of_core_are_shown_as_what_they_are)
{
	struct lade_op op = LADE_OP("a camera");
	struct never_calls_task parked = never_calls_task(&op);
	struct awaits_task waiter = awaits_task(&parked);
	struct spawns_task spawner;
	int rc = 0;

	lade_scope(s, &rc, .max_children = 3) {
		spawner = spawns_task(&s);
		lade_start(&s, &parked);
		lade_start(&s, &waiter);
		lade_start(&s, &spawner);
		CHECK_EQ(lade_sleep(lade_ms(1)), 0);
		take_dump();
		lade_complete(&op, 0);
	}
	CHECK_EQ(rc, 0);
	DUMP_SAYS("never_calls #2", ": waits for a camera at ");
	DUMP_SAYS("awaits #3", ": waits for a task at ");
	DUMP_SAYS("spawns #4", ": waits for a place among the children at ");
}

static int dumps(void)
{
	take_dump();
	return 0;
}
LADE_TASK_VOID(dumps)

IN_TASK(a_scope_that_waits_for_its_children_says_so)
{
	struct dumps_task one = dumps_task();
	int rc = 0;

	lade_scope(s, &rc)
		lade_start(&s, &one);
	DUMP_SAYS("run_root #1", ": waits for children at ");
}

/* Each waits for a child of its own, down to one that dumps. */
static int deeper(int levels);
LADE_TASK_VOID(deeper, (int, levels))

static int deeper(int levels)
{
	int rc = 0;

	if (levels == 0)
		return dumps();
	lade_scope(s, &rc)
		rc = lade_spawn(&s, deeper_task(levels - 1));
	return rc;
}

IN_TASK(what_lies_deeper_than_64_levels_is_counted)
{
	CHECK_EQ(deeper(60), 0);
	DUMP_SAYS("deeper #30,", ": waits for children");
	DUMP_SAYS("… and", "… and 1 children, deeper than 64 levels");
	CHECK(!strstr(dump_text, "deeper #60,"));
}

IN_TASK(tasks_beyond_ten_thousand_lines_are_counted)
{
	int rc = 0, lines = 0;

	lade_scope(s, &rc, .max_children = 20000) {
		for (int i = 0; i < 10100; i++)
			CHECK_EQ(lade_spawn(&s, sleeper_task(5)), 0);
		take_dump();
	}
	*strstr(dump_text, "lade: the last events") = 0;
	for (const char *at = dump_text; (at = strchr(at, '\n')); at++)
		lines += strncmp(at + 1 + strspn(at + 1, " "), "stack: ", 7) != 0;
	/* The head, the root, its scope, the tasks, and the line that counts the others. */
	CHECK_EQ(lines, 1 + 10000 + 1);
	DUMP_SAYS("… and", "… and 102 tasks more");
}

IN_TASK(a_descriptor_that_takes_nothing_does_no_harm)
{
	int fd = open("/dev/full", O_WRONLY | O_CLOEXEC);

	lade_dump(-1);
	lade_dump(fd);
	close(fd);
}

/* Stacks */

static __attribute__((noinline)) int sleep_below(int64_t ms)
{
	int rc = lade_sleep(lade_ms(ms));

	__asm__ volatile("" ::: "memory");
	return rc;
}

static int sleeps_below(int64_t ms)
{
	int rc = sleep_below(ms);

	__asm__ volatile("" ::: "memory");
	return rc;
}
LADE_TASK_VOID(sleeps_below, (int64_t, ms))

/* The stack below the line that has @word in it. */
static const char *stack_below(const char *word)
{
	const char *at = strstr(dump_text, word), *line = at ? strchr(at, '\n') : NULL;

	CHECK(line && strncmp(line + 1 + strspn(line + 1, " "), "stack: ", 7) == 0);
	return line ? line + 1 : "";
}

IN_TASK(a_stack_is_shown_by_the_names_of_its_functions_static_ones_too)
{
	struct sleeps_below_task one = sleeps_below_task(5);
	const char *stack;
	int rc = 0;

	lade_scope(s, &rc) {
		lade_start(&s, &one);
		take_dump();
		stack = strstr(dump_text, "sleeps_below #2");
		CHECK(stack && !strstr(stack, "stack: ")); /* it has not begun */
		CHECK_EQ(lade_yield(), 0);
		take_dump();
	}
	stack = stack_below("sleeps_below #2");
	CHECK(strstr(stack, "sleep_below+0x"));
	CHECK(strstr(stack, " < lade_task_run+0x"));
	CHECK(strstr(stack_below("run_root #1"), "stack: take_dump+0x") ||
	      strstr(stack_below("run_root #1"), "static_ones_too_body+0x"));
}

IN_TASK(a_stack_that_was_shown_is_named_by_its_task)
{
	int rc = 0;

	lade_scope(s, &rc) {
		for (int i = 0; i < 5; i++)
			rc = lade_spawn(&s, sleeps_below_task(5));
		CHECK_EQ(lade_yield(), 0);
		take_dump();
	}
	(void)stack_below("sleeps_below #2");
	DUMP_SAYS("sleeps_below #3", ", stack as #2");
	DUMP_SAYS("sleeps_below #6", ", stack as #2");
}

/* Stacks that differ: in the depth of a recursion, and in the place of a call. */
static __attribute__((noinline)) int sleep_deep(uint32_t depth)
{
	int rc = depth ? sleep_deep(depth - 1) : sleep_below(5);

	__asm__ volatile("" ::: "memory");
	return rc;
}

static __attribute__((noinline)) int sleep_some_way(uint32_t way)
{
	int rc;

	switch (way % 16) {
#define WAY(n)                                                                                     \
	case n:                                                                                    \
		rc = sleep_deep(way / 16);                                                         \
		__asm__ volatile("nop /* " #n " */" ::: "memory");                                 \
		break;
		WAY(0) WAY(1) WAY(2) WAY(3) WAY(4) WAY(5) WAY(6) WAY(7)
		WAY(8) WAY(9) WAY(10) WAY(11) WAY(12) WAY(13) WAY(14)
#undef WAY
	default:
		rc = sleep_deep(way / 16);
	}
	__asm__ volatile("" ::: "memory");
	return rc;
}

static int sleeps_some_way(uint32_t way)
{
	return sleep_some_way(way);
}
LADE_TASK_VOID(sleeps_some_way, (uint32_t, way))

IN_TASK(of_more_than_128_different_stacks_the_others_are_not_shown)
{
	int rc = 0, stacks = 0;

	lade_scope(s, &rc) {
		for (uint32_t i = 0; i < 160; i++)
			rc = lade_spawn(&s, sleeps_some_way_task(i));
		CHECK_EQ(lade_yield(), 0);
		take_dump();
	}
	for (const char *at = dump_text; (at = strstr(at, "stack: ")); at++)
		stacks++;
	CHECK_EQ(stacks, 128);
	DUMP_SAYS("sleeps_some_way #161", ": waits for sleep at ");
}

static int sleeps_deep(uint32_t depth)
{
	return sleep_deep(depth);
}
LADE_TASK_VOID(sleeps_deep, (uint32_t, depth))

IN_TASK(of_a_deep_stack_the_innermost_frames_are_shown)
{
	const char *stack;
	int rc = 0, frames = 1;

	lade_scope(s, &rc) {
		rc = lade_spawn(&s, sleeps_deep_task(100));
		CHECK_EQ(lade_yield(), 0);
		take_dump();
	}
	stack = stack_below("sleeps_deep #2");
	*strchrnul(stack, '\n') = 0;
	CHECK(strstr(stack, "sleep_below+0x"));
	for (; (stack = strstr(stack, " < ")); stack++)
		frames++;
	CHECK_EQ(frames, 16);
}

static void addresses_that_no_file_knows_stay_numbers(void)
{
	struct lade_symbols *symbols = lade_symbols_new();
	uintptr_t here = (uintptr_t)addresses_that_no_file_knows_stay_numbers;
	char text[200];

	lade_symbol(symbols, 0x1234, text, sizeof(text));
	CHECK_STR(text, "0x1234");
	lade_symbol(symbols, here + 3, text, sizeof(text));
	CHECK_STR(text, "addresses_that_no_file_knows_stay_numbers+0x3");
	lade_symbol(symbols, here + 3, text, 12);
	CHECK_STR(text, "addresses_t");
	symbols = lade_symbols_free(symbols);
	lade_symbol(symbols, 0xabc, text, sizeof(text));
	CHECK_STR(text, "0xabc");
}

/* Careful dumps, which interrupt a loop anywhere */

/* take_dump as a signal handler would, with names. */
static void take_careful_dump(void)
{
	const struct lade_frames_from from = { .bp = (uintptr_t)__builtin_frame_address(0),
					       .low = (uintptr_t)lade_cur->stack,
					       .high = (uintptr_t)lade_cur->stack +
						       lade_cur->stack_bytes };
	int raw = memfd_create("raw", MFD_CLOEXEC), named = memfd_create("named", MFD_CLOEXEC);
	ssize_t n;

	lade_dump_how(lade_cur->loop, &(struct lade_dump_how){
					      .fd = raw, .careful = true, .running = &from });
	lade_dump_names(raw, named);
	n = pread(named, dump_text, sizeof(dump_text) - 1, 0);
	dump_text[n > 0 ? n : 0] = 0;
	close(raw);
	close(named);
}

IN_TASK(a_careful_dump_says_the_same_as_another)
{
	static char calm[sizeof(dump_text)];
	struct sleeps_below_task one = sleeps_below_task(500);
	struct deaf_task two = deaf_task(800);
	const char *from;
	int rc = 0;

	lade_scope(s, &rc, .policy = LADE_ALL) {
		lade_start(&s, &one);
		lade_start(&s, &two);
		CHECK_EQ(lade_sleep(lade_ms(1)), 0);
		lade_cancel(&two);
		take_careful_dump();
		memcpy(calm, dump_text, sizeof(calm));
		take_dump();
		lade_cancel(&s);
	}
	CHECK(strstr(calm, "lade: run_root #1, started at "));
	CHECK(strstr(calm, ", holds the core\n"));
	/* From the first child on they are equal: before it is the stack of who dumps. */
	from = strstr(dump_text, "sleeps_below #2");
	CHECK(from && strstr(calm, "sleeps_below #2"));
	if (from)
		CHECK_STR(strstr(calm, "sleeps_below #2"), from);
}

IN_TASK(a_careful_dump_stops_at_children_that_are_being_changed)
{
	struct sleeper_task one = sleeper_task(5), two = sleeper_task(5);
	struct lade_ctl *ctl;
	int rc = 0;

	lade_scope(s, &rc) {
		lade_start(&s, &one);
		lade_start(&s, &two);
		ctl = two.head.ctl;
		ctl->sibling.prev = &ctl->sibling;
		take_careful_dump();
		ctl->sibling.prev = (struct lade_link *)16;
		one.head.ctl->sibling.next = (struct lade_link *)16;
		CHECK(strstr(dump_text, "… children that are being changed"));
		take_careful_dump();
		CHECK(strstr(dump_text, "… children that are being changed"));
		one.head.ctl->sibling.next = &ctl->sibling;
		ctl->sibling.prev = &one.head.ctl->sibling;
	}
	DUMP_SAYS("sleeper #2", ": ready");
	CHECK(!strstr(dump_text, "sleeper #3, started"));
	CHECK(strstr(dump_text, "lade: the last events"));
}

static int has_a_ring_of_scopes(void)
{
	lade_cur->scope->inner = lade_cur->scope;
	take_careful_dump();
	lade_cur->scope->inner = NULL;
	return 0;
}

IN_TASK(a_careful_dump_stops_after_a_million_steps)
{
	CHECK_EQ(lade_within(lade_s(1), has_a_ring_of_scopes()), 0);
	DUMP_SAYS("… and more", "… and more: too much for a loop that is held");
	CHECK(strstr(dump_text, "lade: the last events"));
}

/* The last events */

IN_TASK(a_dump_ends_with_the_last_events)
{
	struct end_after_task one = end_after_task(5, -EIO);
	struct sleeper_task two = sleeper_task(100);
	int rc = 0;

	lade_scope(s, &rc) {
		lade_start(&s, &one);
		lade_start(&s, &two);
		lade_scope(inner, &rc, .policy = LADE_ALL)
			(void)!lade_wait(&two);
		take_dump();
	}
	CHECK_EQ(rc, -EIO);
	DUMP_SAYS("end_after #2 is started", "dump_test.c:");
	DUMP_SAYS("end_after #2 waits", "0.005 s ago: ");
	DUMP_SAYS("end_after #2 ends", "0.000 s ago: end_after #2 ends with -EIO");
	DUMP_SAYS("sibling asks", "sibling asks run_root #1 to end, at ");
	DUMP_SAYS("sleeper #3 gets", "gets what it waited for: -ECANCELED");
	DUMP_SAYS("sleeper #3 ends", "sleeper #3 ends with -ECANCELED");
}

IN_TASK(of_more_than_32_events_the_last_are_shown)
{
	int events = 0;

	for (int i = 0; i < 50; i++)
		CHECK_EQ(lade_sleep(lade_ms(1)), 0);
	take_dump();
	for (const char *at = dump_text; (at = strstr(at, "\n  turn ")); at++)
		events++;
	CHECK_EQ(events, 32);
	CHECK(!strstr(dump_text, " is started at"));
}

/* Requests round one another */

static int within_many(int levels)
{
	int rc = 0;

	if (levels == 0)
		return dumps_when_cancelled();
	lade_scope(s, &rc) {
		if (levels <= 6)
			lade_cancel(&s, lade_s(levels));
		rc = within_many(levels - 1);
	}
	return rc;
}

IN_TASK(requests_round_the_one_that_holds_are_shown_up_to_four_in_all)
{
	const char *line;
	int rounds = 0;

	CHECK_EQ(lade_within(lade_ms(10), within_many(7)), -ETIME);
	line = dump_line("run_root #1, started");
	CHECK(strstr(line, ": runs, asked to end: user at "));
	for (; (line = strstr(line, "; round that: user at ")); line++)
		rounds++;
	CHECK_EQ(rounds, 3);
}

static int dig(size_t bytes)
{
	volatile char deep[bytes];

	for (size_t i = 0; i < bytes; i += 1024)
		deep[i] = 1;
	return deep[0] - 1;
}
LADE_TASK_VOID(dig, (size_t, bytes))

/* The mark of the task that was started at a place. */
static size_t mark_at(const char *site)
{
	const char *marks = strstr(dump_text, "lade: deepest use"), *line;
	size_t bytes = 0;

	line = marks ? strstr(marks, site) : NULL;
	CHECK(line && sscanf(line + strlen(site), ": %zu of 262144 bytes", &bytes) == 1);
	return bytes;
}

IN_TASK(with_marks)
{
	const char *deep_site = NULL, *flat_site = NULL;
	int rc = 0;

	for (int i = 0; i < 3; i++) {
		struct dig_task deep = dig_task(100000), flat = dig_task(100);

		/* One after the other on the same stack: neither is taken for the other. */
		lade_scope(s, &rc)
			deep_site = LADE_SITE, lade_start(&s, &deep);
		lade_scope(s, &rc)
			flat_site = LADE_SITE, lade_start(&s, &flat);
	}
	take_dump();
	CHECK(mark_at(deep_site) > 100000 && mark_at(deep_site) < 130000);
	CHECK(mark_at(flat_site) > 0 && mark_at(flat_site) < 30000);
}

static void stacks_are_measured_by_start_line_where_that_is_asked_for(void)
{
	setenv("LADE_STACK_MARKS", "1", 1);
	with_marks();
	unsetenv("LADE_STACK_MARKS");
}

static void with_many_lines_body(void)
{
	static char sites[1100][24];
	int rc = 0;

	for (int i = 0; i < 1100; i++) {
		struct dig_task one = dig_task(100);

		snprintf(sites[i], sizeof(sites[i]), "many.c:%d", i + 1);
		lade_scope(s, &rc)
			lade_start_at(&s, &one.head, sites[i]);
	}
	take_dump();
	CHECK(mark_at("many.c:1020") > 0);
	CHECK(!strstr(dump_text, "many.c:1030"));
}

static void of_more_than_1024_start_lines_no_more_marks_are_kept(void)
{
	setenv("LADE_STACK_MARKS", "1", 1);
	run_with(&(struct lade_loop_config){ .backend = "virtual" }, with_many_lines_body);
	unsetenv("LADE_STACK_MARKS");
}

IN_TASK(nothing_is_measured_unless_it_is_asked_for)
{
	CHECK(!lade_cur->loop->stacks->marks);
	take_dump();
	CHECK(!strstr(dump_text, "deepest use"));
}

int main(void)
{
	TAP(a_dump_is_a_tree_with_the_line_where_each_task_was_started);
	TAP(a_wait_is_shown_with_what_and_where_and_since_when);
	TAP(a_task_that_has_not_run_yet_is_ready);
	TAP(a_daemon_is_called_one);
	TAP(a_request_is_shown_with_its_reason_and_what_holds_it_back);
	TAP(a_request_on_a_scope_is_shown_there_and_at_the_tasks_below);
	TAP(a_request_on_the_parent_is_shown_with_what_it_was_there);
	TAP(deadlines_are_shown_with_the_time_that_is_left);
	TAP(a_cleanup_is_shown_with_its_budget_and_when_it_is_overrun);
	TAP(waits_of_core_are_shown_as_what_they_are);
	TAP(a_scope_that_waits_for_its_children_says_so);
	TAP(what_lies_deeper_than_64_levels_is_counted);
	TAP(tasks_beyond_ten_thousand_lines_are_counted);
	TAP(a_descriptor_that_takes_nothing_does_no_harm);
	TAP(a_stack_is_shown_by_the_names_of_its_functions_static_ones_too);
	TAP(a_stack_that_was_shown_is_named_by_its_task);
	TAP(of_more_than_128_different_stacks_the_others_are_not_shown);
	TAP(of_a_deep_stack_the_innermost_frames_are_shown);
	TAP(addresses_that_no_file_knows_stay_numbers);
	TAP(a_careful_dump_says_the_same_as_another);
	TAP(a_careful_dump_stops_at_children_that_are_being_changed);
	TAP(a_careful_dump_stops_after_a_million_steps);
	TAP(a_dump_ends_with_the_last_events);
	TAP(of_more_than_32_events_the_last_are_shown);
	TAP(requests_round_the_one_that_holds_are_shown_up_to_four_in_all);
	TAP(stacks_are_measured_by_start_line_where_that_is_asked_for);
	TAP(of_more_than_1024_start_lines_no_more_marks_are_kept);
	TAP(nothing_is_measured_unless_it_is_asked_for);
	return tap_done();
}
