/* SPDX-License-Identifier: MIT */
/* shield_test.c - work that must not be cut in half, and the cleanups at a block's end. */

#include "run.h"

static char reported[8][256];
static int reports;

static void keep_report(void *arg, const char *message)
{
	(void)arg;
	if (reports < 8)
		snprintf(reported[reports], sizeof(reported[0]), "%s", message);
	reports++;
}

/* Sleeps, and writes down when it was over and how. */
static void nap(const char *name, int64_t ms)
{
	int rc = lade_sleep(lade_ms(ms));

	write_down("%s:%d:%d", name, (int)now_ms(), rc);
}

static int cancel_after(struct lade_scope *scope, int64_t ms, int64_t grace_ms)
{
	int rc = lade_sleep(lade_ms(ms));

	lade_cancel(scope, lade_ms(grace_ms));
	return rc;
}
LADE_TASK_VOID(cancel_after, (struct lade_scope *, scope), (int64_t, ms), (int64_t, grace_ms))

/* CANCELLED_AT - runs what follows as the body of a scope that is cancelled after @ms. */
#define CANCELLED_AT(ms)                                                                           \
	struct cancel_after_task canceller = { 0 };                                                \
	int rc = 0;                                                                                \
	lade_scope(s, &rc)                                                                         \
		if ((canceller = cancel_after_task(&s, (ms), 0)), lade_start(&s, &canceller), 1)

/* What it holds back */

IN_TASK(a_shield_holds_back_requests_from_outside)
{
	CANCELLED_AT(10)
	{
		lade_shield(lade_ms(1000)) {
			nap("in", 30);
			CHECK(!lade_cancelled());
		}
		CHECK(lade_cancelled());
		nap("out", 30);
	}
	CHECK_EQ(rc, 0);
	CHECK_STR(slate, "in:30:0 out:30:-125");
}

IN_TASK(a_request_from_before_the_shield_is_held_back_too)
{
	int rc = 0;

	lade_scope(s, &rc) {
		lade_cancel(&s);
		CHECK(lade_cancelled());
		lade_shield(lade_ms(1000))
			nap("in", 30);
		nap("out", 30);
	}
	CHECK_STR(slate, "in:30:0 out:30:-125");
}

IN_TASK(a_soft_request_is_held_back_too)
{
	int rc = 0;

	lade_scope(s, &rc) {
		lade_cancel(&s, lade_ms(10));
		lade_shield(lade_ms(1000)) {
			CHECK(!lade_stopping());
			nap("in", 30);
			CHECK(!lade_stopping());
		}
		CHECK(lade_stopping());
		nap("out", 30);
	}
	CHECK_STR(slate, "in:30:0 out:30:-125");
}

IN_TASK(leaving_a_shield_is_not_a_suspension_point)
{
	CANCELLED_AT(10)
	{
		lade_shield(lade_ms(1000))
			nap("in", 30);
		write_down("after");
		CHECK_EQ(now_ms(), 30);
		CHECK_EQ(lade_yield(), -ECANCELED);
	}
	CHECK_STR(slate, "in:30:0 after");
}

IN_TASK(a_shield_without_a_request_costs_no_budget)
{
	lade_shield(lade_ms(10)) {
		nap("in", 5000);
		CHECK(!lade_heap_first(&lade_cur->loop->timers));
	}
	CHECK_STR(slate, "in:5000:0");
}

static int fails_in_a_scope(void)
{
	int rc = 0;

	lade_scope(s, &rc) {
		CHECK_EQ(lade_spawn(&s, end_after_task(5, -EIO)), 0);
		nap("body", 100);
	}
	return rc;
}

IN_TASK(deadlines_and_failures_inside_a_shield_work_as_ever)
{
	CANCELLED_AT(1)
	{
		lade_shield(lade_ms(1000)) {
			CHECK_EQ(lade_within(lade_ms(10), lade_sleep(lade_ms(100))), -ETIME);
			CHECK_EQ(fails_in_a_scope(), -EIO);
		}
	}
	CHECK_STR(slate, "body:15:-125");
}

IN_TASK(a_child_started_inside_a_shield_is_inside_it)
{
	struct tell_after_task a = tell_after_task("child", 30, 0);
	int inner_rc = 0;

	CANCELLED_AT(10)
	{
		lade_shield(lade_ms(1000))
			lade_scope(t, &inner_rc)
				lade_start(&t, &a);
	}
	CHECK_EQ(inner_rc, 0);
	CHECK_STR(slate, "child:0");
}

IN_TASK(a_shield_protects_no_child_of_a_scope_outside_it)
{
	struct tell_after_task a = tell_after_task("child", 30, 0);

	CANCELLED_AT(10)
	{
		lade_shield(lade_ms(1000)) {
			lade_start(&s, &a);
			nap("in", 20);
		}
	}
	CHECK_STR(slate, "child:-125 in:20:0");
}

static int must_complete(void)
{
	int rc = 0;

	lade_shield(lade_ms(100)) {
		rc = lade_sleep(lade_ms(20));
		if (rc == 0)
			rc = lade_sleep(lade_ms(20));
	}
	return rc;
}
LADE_TASK_VOID(must_complete)

IN_TASK(a_function_that_shields_its_body_completes_whatever_its_caller_does)
{
	struct must_complete_task a = must_complete_task();
	int rc = 0;

	CHECK_EQ(lade_within(lade_ms(5), must_complete()), 0);
	CHECK_EQ(now_ms(), 40);
	lade_scope(s, &rc) {
		lade_start(&s, &a);
		CHECK_EQ(lade_yield(), 0);
		lade_cancel(&a);
		lade_cancel(&s, lade_ms(1));
		lade_cancel(&s);
	}
	CHECK_EQ(lade_status(&a), 0);
	CHECK_EQ(now_ms(), 80);
}

/* The budget */

IN_LOOP(the_budget_runs_from_the_first_request_that_is_held_back, .report = keep_report)
{
	reports = 0;
	CANCELLED_AT(50)
	{
		lade_shield(lade_ms(30))
			nap("in", 1000);
		nap("out", 1);
	}
	CHECK_EQ(rc, 0);
	CHECK_STR(slate, "in:80:-125 out:80:-125");
	CHECK_EQ(reports, 1);
}

IN_LOOP(the_budget_runs_from_entry_if_a_request_is_pending, .report = keep_report)
{
	int rc = 0;

	reports = 0;
	lade_scope(s, &rc) {
		lade_cancel(&s);
		lade_shield(lade_ms(30))
			nap("in", 1000);
	}
	CHECK_STR(slate, "in:30:-125");
	CHECK_EQ(reports, 1);
}

IN_LOOP(an_overrun_is_reported_with_the_place_of_the_shield, .report = keep_report)
{
	const char *place = NULL;

	reports = 0;
	CANCELLED_AT(5)
	{
		place = LADE_SITE; lade_shield(lade_ms(30)) nap("in", 1000);
	}
	CHECK_EQ(reports, 1);
	CHECK(strstr(reported[0], place));
	CHECK(strstr(reported[0], "budget of 30 ms"));
	CHECK(strstr(reported[0], "run_root"));
}

IN_LOOP(what_ends_within_the_budget_is_not_reported, .report = keep_report)
{
	reports = 0;
	CANCELLED_AT(5)
	{
		lade_shield(lade_ms(30))
			nap("in", 20);
		nap("out", 1);
	}
	CHECK_EQ(reports, 0);
	CHECK_STR(slate, "in:20:0 out:20:-125");
}

IN_TASK(a_work_that_ends_at_the_very_end_of_the_budget_has_ended_in_time)
{
	CANCELLED_AT(5)
	{
		lade_shield(lade_ms(30))
			nap("in", 35);
	}
	CHECK_STR(slate, "in:35:0");
}

/* Shields a sleep, and tells how it and the one behind it ended. */
static int shields_sleep(int64_t budget_ms, int64_t ms)
{
	int rc = 0;

	lade_shield(lade_ms(budget_ms))
		rc = lade_sleep(lade_ms(ms));
	write_down("%d at %d", rc, (int)now_ms());
	return lade_sleep(lade_ms(100000));
}

static int shields_late(int64_t before_ms, int64_t budget_ms, int64_t ms)
{
	int rc = lade_sleep(lade_ms(before_ms));

	return rc < 0 ? rc : shields_sleep(budget_ms, ms);
}
LADE_TASK_VOID(shields_late, (int64_t, before_ms), (int64_t, budget_ms), (int64_t, ms))

/* A task that opens a shield of 500 ms after @before_ms and sleeps in it for @ms, asked at once to
 * end, with a grace of 10 s.  Returns its status. */
static int shield_in_a_grace(int64_t before_ms, int64_t ms)
{
	struct shields_late_task a = shields_late_task(before_ms, 500, ms);
	int rc = 0;

	reports = 0;
	lade_scope(s, &rc, .policy = LADE_ALL) {
		lade_start(&s, &a);
		CHECK_EQ(lade_yield(), 0);
		lade_cancel(&a, lade_s(10));
	}
	return lade_status(&a);
}

IN_LOOP(a_soft_request_starts_no_budget, .report = keep_report)
{
	CHECK_EQ(shield_in_a_grace(0, 3000), -ECANCELED);
	/* Six times its budget, within the grace, and then the grace goes on. */
	CHECK_STR(slate, "0 at 3000");
	CHECK_EQ(reports, 0);
	CHECK_EQ(now_ms(), 10000);
}

IN_LOOP(the_budget_runs_from_the_end_of_the_grace, .report = keep_report)
{
	CHECK_EQ(shield_in_a_grace(0, 60000), -ECANCELED);
	CHECK_STR(slate, "-125 at 10500");
	CHECK_EQ(reports, 1);
}

IN_LOOP(a_shield_that_opens_in_the_soft_phase_has_its_whole_budget_behind_it,
	.report = keep_report)
{
	CHECK_EQ(shield_in_a_grace(9900, 60000), -ECANCELED);
	CHECK_STR(slate, "-125 at 10500");
}

IN_TASK(a_later_request_does_not_start_the_budget_anew)
{
	struct cancel_after_task again = { 0 };

	CANCELLED_AT(10)
	{
		again = cancel_after_task(&s, 25, 0);
		lade_start(&s, &again);
		lade_shield(lade_ms(30))
			nap("in", 1000);
	}
	CHECK_STR(slate, "in:40:-125");
}

IN_TASK(a_shield_without_budget_delivers_at_once)
{
	int rc = 0;

	lade_scope(s, &rc) {
		lade_cancel(&s);
		lade_shield(lade_ns(0))
			nap("in", 10);
	}
	CHECK_STR(slate, "in:0:-125");
}

IN_TASK(an_inner_shield_gets_what_is_left_of_the_outer_one)
{
	CANCELLED_AT(10)
	{
		lade_shield(lade_ms(50)) {
			nap("outer", 30);
			lade_shield(lade_ms(1000))
				nap("inner", 1000);
			nap("outer", 1000);
		}
	}
	CHECK_STR(slate, "outer:30:0 inner:60:-125 outer:60:-125");
}

IN_TASK(an_inner_shield_may_have_less_than_the_outer_one)
{
	int rc = 0;

	lade_scope(s, &rc) {
		lade_cancel(&s);
		lade_shield(lade_ms(50)) {
			int inner_rc = 0;

			lade_scope(t, &inner_rc) {
				lade_cancel(&t);
				lade_shield(lade_ms(20))
					nap("inner", 1000);
			}
			nap("outer", 1000);
		}
	}
	CHECK_STR(slate, "inner:20:-125 outer:50:-125");
}

static int shields_for(int64_t ms)
{
	lade_shield(lade_ms(ms))
		nap("inner", 5000);
	return 0;
}
LADE_TASK_VOID(shields_for, (int64_t, ms))

IN_LOOP(an_inner_shield_ends_with_an_outer_one_whose_budget_began_later, .report = keep_report)
{
	reports = 0;
	CANCELLED_AT(20)
	{
		lade_shield(lade_ms(100))
			(void)!lade_within(lade_ms(10), shields_for(1000));
	}
	CHECK_STR(slate, "inner:120:-125");
	CHECK_EQ(reports, 2);
}

static int ends_it(struct lade_op *op, int64_t ms)
{
	int rc = lade_sleep(lade_ms(ms));

	lade_complete(op, 0);
	return rc;
}
LADE_TASK_VOID(ends_it, (struct lade_op *, op), (int64_t, ms))

static int shields_a_wait(struct lade_op *op)
{
	int rc = 0;

	lade_shield(lade_ms(500))
		rc = lade_park(op, NULL);
	return rc;
}

IN_LOOP(a_shield_that_was_opened_with_an_outer_one_is_reported_once, .report = keep_report)
{
	struct lade_op op = LADE_OP("what nothing can cut short");
	struct ends_it_task end = ends_it_task(&op, 2000);
	int outer_rc = 0;

	reports = 0;
	lade_scope(t, &outer_rc) {
		lade_start(&t, &end);
		CANCELLED_AT(20)
		{
			lade_shield(lade_ms(100))
				CHECK_EQ(lade_within(lade_ms(10), shields_a_wait(&op)), 0);
		}
	}
	CHECK_EQ(now_ms(), 2000);
	CHECK_EQ(reports, 2);
}

IN_TASK(a_shield_in_a_child_gets_what_is_left_of_its_parents)
{
	struct shields_for_task a = shields_for_task(1000);
	int inner_rc = 0;

	CANCELLED_AT(10)
	{
		lade_shield(lade_ms(50)) {
			nap("outer", 30);
			lade_scope(t, &inner_rc) {
				lade_start(&t, &a);
				CHECK_EQ(lade_yield(), 0);
				lade_cancel(&t);
			}
		}
	}
	CHECK_STR(slate, "outer:30:0 inner:60:-125");
}

IN_TASK(a_shield_in_a_child_ends_with_its_parents_whose_budget_began_later)
{
	struct shields_for_task a = shields_for_task(1000);
	int inner_rc = 0;

	CANCELLED_AT(20)
	{
		lade_shield(lade_ms(100))
			lade_scope(t, &inner_rc) {
				lade_start(&t, &a);
				CHECK_EQ(lade_yield(), 0);
				lade_cancel(&t);
			}
	}
	CHECK_STR(slate, "inner:120:-125");
}

IN_TASK(a_shield_inside_one_that_was_overrun_has_no_budget_left)
{
	int rc = 0;

	lade_scope(s, &rc) {
		lade_cancel(&s);
		lade_shield(lade_ms(10)) {
			nap("outer", 1000);
			lade_shield(lade_ms(1000))
				nap("inner", 1000);
		}
	}
	CHECK_STR(slate, "outer:10:-125 inner:10:-125");
}

IN_TASK(shields_one_after_the_other_have_their_own_budgets)
{
	int rc = 0;

	lade_scope(s, &rc) {
		lade_cancel(&s);
		for (int i = 0; i < 3; i++)
			lade_shield(lade_ms(10))
				nap("in", 9);
		nap("out", 1);
	}
	CHECK_STR(slate, "in:9:0 in:18:0 in:27:0 out:27:-125");
}

static void nest_shields(int depth)
{
	if (depth == 0)
		nap("in", 1000);
	else
		lade_shield(lade_ms(49 + depth))
			nest_shields(depth - 1);
}

IN_TASK(a_hundred_shields_inside_each_other_open_together)
{
	int rc = 0;

	lade_scope(s, &rc) {
		lade_cancel(&s);
		nest_shields(100);
	}
	CHECK_STR(slate, "in:149:-125");
}

/* A shield is left early */

static int leaves_a_shield_early(int how)
{
	lade_shield(lade_ms(100)) {
		if (how == 0)
			return 1;
		if (how == 1)
			break;
		if (how == 2)
			continue;
		if (how == 3)
			goto out;
	}
	return 2;
out:
	return 3;
}

IN_TASK(a_shield_that_is_left_early_is_closed)
{
	int rc = 0;

	lade_scope(s, &rc) {
		lade_cancel(&s);
		for (int how = 0; how < 4; how++) {
			CHECK_EQ(leaves_a_shield_early(how), how == 0 ? 1 : how == 3 ? 3 : 2);
			CHECK(lade_cur->scope == &s.head);
			CHECK(lade_cancelled());
		}
	}
}

/* Cleanups */

static void say(void *word)
{
	write_down("%s", (const char *)word);
}

static void slow(void *word)
{
	int rc = lade_sleep(lade_ms(10));

	write_down("%s:%d:%d", (const char *)word, (int)now_ms(), rc);
}

static int defers_three(int how)
{
	lade_defer(say, "1");
	lade_defer(say, "2");
	if (how == 0)
		return 0;
	lade_defer(say, "3");
	for (int i = 0; i < 2; i++) {
		lade_defer(say, "loop");
		if (how == 1)
			break;
	}
	if (how == 2)
		goto out;
	say("end");
out:
	return 1;
}

IN_TASK(cleanups_run_exactly_once_last_in_first_out)
{
	CHECK_EQ(defers_three(0), 0);
	CHECK_STR(slate, "2 1");
	slate[0] = 0;
	CHECK_EQ(defers_three(1), 1);
	CHECK_STR(slate, "loop end 3 2 1");
	slate[0] = 0;
	CHECK_EQ(defers_three(2), 1);
	CHECK_STR(slate, "loop loop 3 2 1");
}

static struct lade_ctl *cleaned_in;

static void notes_its_task(void *unused)
{
	(void)unused;
	cleaned_in = lade_cur;
}

IN_TASK(cleanups_run_in_the_task_that_owns_them)
{
	{
		lade_defer(notes_its_task, NULL);
		CHECK_EQ(lade_sleep(lade_ms(1)), 0);
	}
	CHECK(cleaned_in == lade_cur);
}

static int has_slow_cleanups(int64_t ms)
{
	lade_defer(slow, "a");
	lade_defer(slow, "b");
	return lade_sleep(lade_ms(ms));
}
LADE_TASK_VOID(has_slow_cleanups, (int64_t, ms))

IN_TASK(cleanups_are_shielded)
{
	struct has_slow_cleanups_task a = has_slow_cleanups_task(1000);
	int rc = 0;

	lade_scope(s, &rc) {
		lade_start(&s, &a);
		CHECK_EQ(lade_sleep(lade_ms(5)), 0);
		lade_cancel(&s);
	}
	CHECK_STR(slate, "b:15:0 a:25:0");
	CHECK_EQ(lade_status(&a), -ECANCELED);
}

struct thing {
	const char *name;
};

static void close_thing(struct thing *thing)
{
	slow((void *)(uintptr_t)thing->name);
}
LADE_CLEANUP(struct thing, close_thing)

static int owns_things(int64_t ms)
{
	lade_cleanup(close_thing) struct thing a = { "a" };
	lade_cleanup(close_thing) struct thing b = { "b" };

	(void)a;
	(void)b;
	return lade_sleep(lade_ms(ms));
}
LADE_TASK_VOID(owns_things, (int64_t, ms))

IN_TASK(cleanups_of_variables_are_shielded_and_run_once)
{
	struct owns_things_task a = owns_things_task(1000);
	int rc = 0;

	lade_scope(s, &rc) {
		lade_start(&s, &a);
		CHECK_EQ(lade_sleep(lade_ms(5)), 0);
		lade_cancel(&s);
	}
	CHECK_STR(slate, "b:15:0 a:25:0");
}

IN_TASK(cleanups_run_when_nobody_cancels_too)
{
	struct owns_things_task a = owns_things_task(5);
	struct has_slow_cleanups_task b = has_slow_cleanups_task(50);
	int rc = 0;

	lade_scope(s, &rc) {
		lade_start(&s, &a);
		lade_start(&s, &b);
	}
	CHECK_STR(slate, "b:15:0 a:25:0 b:60:0 a:70:0");
}

IN_LOOP(all_cleanups_of_a_scope_share_its_budget, .report = keep_report)
{
	struct has_slow_cleanups_task a = has_slow_cleanups_task(1000);
	int rc = 0;

	reports = 0;
	lade_scope(s, &rc, .cleanup = lade_ms(15)) {
		lade_start(&s, &a);
		CHECK_EQ(lade_sleep(lade_ms(5)), 0);
		lade_cancel(&s);
	}
	CHECK_STR(slate, "b:15:0 a:20:-125");
	CHECK_EQ(reports, 1);
	CHECK(strstr(reported[0], "the cleanup at "));
	CHECK(strstr(reported[0], "shield_test.c:"));
}

static void sleeps_for_ever(void *unused)
{
	int rc = lade_sleep_until(LADE_NEVER);

	(void)unused;
	write_down("first:%d:%d", (int)now_ms(), rc);
}

static void closes(void *unused)
{
	(void)unused;
	write_down("closed:%d", lade_sleep(lade_ms(1)));
}

static int never_ends_its_cleanup(void)
{
	lade_defer(closes, NULL);
	lade_defer(sleeps_for_ever, NULL);
	return lade_sleep(lade_ms(1000));
}
LADE_TASK_VOID(never_ends_its_cleanup)

IN_TASK(the_cleanup_budget_is_five_seconds_unless_set)
{
	struct never_ends_its_cleanup_task a = never_ends_its_cleanup_task();
	int rc = 0;

	lade_scope(s, &rc) {
		lade_start(&s, &a);
		CHECK_EQ(lade_sleep(lade_ms(5)), 0);
		lade_cancel(&s);
	}
	CHECK_STR(slate, "first:5005:-125 closed:-125");
}

IN_TASK(an_inner_scope_inherits_the_cleanup_budget)
{
	struct never_ends_its_cleanup_task a = never_ends_its_cleanup_task();
	int rc = 0, inner_rc = 0;

	lade_scope(s, &rc, .cleanup = lade_ms(40))
		lade_scope(t, &inner_rc) {
			lade_start(&t, &a);
			CHECK_EQ(lade_sleep(lade_ms(5)), 0);
			lade_cancel(&s);
		}
	CHECK_STR(slate, "first:45:-125 closed:-125");
}

IN_TASK(a_cleanup_budget_runs_from_the_first_request_that_is_held_back)
{
	struct never_ends_its_cleanup_task a = never_ends_its_cleanup_task();
	int rc = 0;

	lade_scope(s, &rc, .cleanup = lade_ms(40)) {
		lade_start(&s, &a);
		/* The cleanup has begun without a request, which comes at 1500. */
		CHECK_EQ(lade_sleep(lade_ms(1500)), 0);
		CHECK_STR(slate, "");
		lade_cancel(&s);
	}
	CHECK_STR(slate, "first:1540:-125 closed:-125");
}

IN_TASK(a_task_on_a_used_stack_has_the_whole_cleanup_budget)
{
	int rc = 0;

	for (int i = 0; i < 3; i++) {
		struct has_slow_cleanups_task a = has_slow_cleanups_task(1000);

		slate[0] = 0;
		lade_scope(s, &rc, .cleanup = lade_ms(25)) {
			lade_start(&s, &a);
			CHECK_EQ(lade_sleep(lade_ms(100)), 0);
			lade_cancel(&s);
		}
		CHECK_EQ(now_ms(), 120 * (i + 1));
		CHECK(strstr(slate, ":0 a:"));
	}
}

static void cleans_with_a_scope(void *unused)
{
	struct tell_after_task a = tell_after_task("child", 10, 0);
	int rc = 0;

	(void)unused;
	lade_scope(s, &rc)
		lade_start(&s, &a);
	write_down("scope:%d", rc);
	rc = lade_within(lade_ms(5), lade_sleep(lade_ms(100)));
	write_down("within:%d", rc);
}

static int has_a_rich_cleanup(void)
{
	lade_defer(cleans_with_a_scope, NULL);
	return lade_sleep(lade_ms(1000));
}
LADE_TASK_VOID(has_a_rich_cleanup)

IN_TASK(a_cleanup_may_use_scopes_and_deadlines)
{
	struct has_a_rich_cleanup_task a = has_a_rich_cleanup_task();
	int rc = 0;

	lade_scope(s, &rc) {
		lade_start(&s, &a);
		CHECK_EQ(lade_yield(), 0);
		lade_cancel(&s);
	}
	CHECK_STR(slate, "child:0 scope:0 within:-62");
}

static void cleans_inside(void *unused)
{
	lade_defer(slow, "inner");
	(void)unused;
	(void)!lade_sleep(lade_ms(10));
}

static int has_nested_cleanups(void)
{
	lade_defer(slow, "outer");
	lade_defer(cleans_inside, NULL);
	return lade_sleep(lade_ms(1000));
}
LADE_TASK_VOID(has_nested_cleanups)

IN_TASK(cleanups_inside_a_cleanup_get_what_is_left_of_its_budget)
{
	struct has_nested_cleanups_task a = has_nested_cleanups_task();
	int rc = 0;

	lade_scope(s, &rc, .cleanup = lade_ms(15)) {
		lade_start(&s, &a);
		CHECK_EQ(lade_yield(), 0);
		lade_cancel(&s);
	}
	CHECK_STR(slate, "inner:15:-125 outer:15:-125");
}

IN_TASK(a_cleanup_of_the_block_runs_before_the_children_are_waited_for_and_is_shielded)
{
	struct tell_after_task a = tell_after_task("child", 1000, 0);

	CANCELLED_AT(5)
	{
		lade_defer(slow, "defer");
		lade_start(&s, &a);
		(void)!lade_sleep(lade_ms(1000));
	}
	CHECK_STR(slate, "child:-125 defer:15:0");
}

static void outside_any_task_a_cleanup_is_just_called(void)
{
	slate[0] = 0;
	{
		lade_defer(say, "called");
	}
	CHECK_STR(slate, "called");
}

int main(void)
{
	TAP(a_shield_holds_back_requests_from_outside);
	TAP(a_request_from_before_the_shield_is_held_back_too);
	TAP(a_soft_request_is_held_back_too);
	TAP(leaving_a_shield_is_not_a_suspension_point);
	TAP(a_shield_without_a_request_costs_no_budget);
	TAP(deadlines_and_failures_inside_a_shield_work_as_ever);
	TAP(a_child_started_inside_a_shield_is_inside_it);
	TAP(a_shield_protects_no_child_of_a_scope_outside_it);
	TAP(a_function_that_shields_its_body_completes_whatever_its_caller_does);
	TAP(the_budget_runs_from_the_first_request_that_is_held_back);
	TAP(the_budget_runs_from_entry_if_a_request_is_pending);
	TAP(an_overrun_is_reported_with_the_place_of_the_shield);
	TAP(what_ends_within_the_budget_is_not_reported);
	TAP(a_work_that_ends_at_the_very_end_of_the_budget_has_ended_in_time);
	TAP(a_soft_request_starts_no_budget);
	TAP(the_budget_runs_from_the_end_of_the_grace);
	TAP(a_shield_that_opens_in_the_soft_phase_has_its_whole_budget_behind_it);
	TAP(a_later_request_does_not_start_the_budget_anew);
	TAP(a_shield_without_budget_delivers_at_once);
	TAP(an_inner_shield_gets_what_is_left_of_the_outer_one);
	TAP(an_inner_shield_may_have_less_than_the_outer_one);
	TAP(an_inner_shield_ends_with_an_outer_one_whose_budget_began_later);
	TAP(a_shield_that_was_opened_with_an_outer_one_is_reported_once);
	TAP(a_shield_in_a_child_gets_what_is_left_of_its_parents);
	TAP(a_shield_in_a_child_ends_with_its_parents_whose_budget_began_later);
	TAP(a_shield_inside_one_that_was_overrun_has_no_budget_left);
	TAP(shields_one_after_the_other_have_their_own_budgets);
	TAP(a_hundred_shields_inside_each_other_open_together);
	TAP(a_shield_that_is_left_early_is_closed);
	TAP(cleanups_run_exactly_once_last_in_first_out);
	TAP(cleanups_run_in_the_task_that_owns_them);
	TAP(cleanups_are_shielded);
	TAP(cleanups_of_variables_are_shielded_and_run_once);
	TAP(cleanups_run_when_nobody_cancels_too);
	TAP(all_cleanups_of_a_scope_share_its_budget);
	TAP(the_cleanup_budget_is_five_seconds_unless_set);
	TAP(an_inner_scope_inherits_the_cleanup_budget);
	TAP(a_cleanup_budget_runs_from_the_first_request_that_is_held_back);
	TAP(a_task_on_a_used_stack_has_the_whole_cleanup_budget);
	TAP(a_cleanup_may_use_scopes_and_deadlines);
	TAP(cleanups_inside_a_cleanup_get_what_is_left_of_its_budget);
	TAP(a_cleanup_of_the_block_runs_before_the_children_are_waited_for_and_is_shielded);
	TAP(outside_any_task_a_cleanup_is_just_called);
	return tap_done();
}
