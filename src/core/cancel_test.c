/* SPDX-License-Identifier: MIT */
/* cancel_test.c - the request: whom it reaches, how hard it is, and what is known of it. */

#include "run.h"

/* The request */

IN_TASK(a_cancel_cannot_be_taken_back_and_holds_for_every_later_call)
{
	int rc = 0;

	lade_scope(s, &rc) {
		lade_cancel(&s, lade_ns(0));
		for (int i = 0; i < 200; i++) {
			CHECK_EQ(lade_yield(), -ECANCELED);
			CHECK_EQ(lade_sleep(lade_ms(1)), -ECANCELED);
			CHECK_EQ(lade_sleep(lade_ns(0)), -ECANCELED);
			CHECK(lade_cancelled());
			CHECK(lade_stopping());
		}
		lade_cancel(&s, lade_s(1000));
		CHECK_EQ(lade_yield(), -ECANCELED);
	}
	CHECK_EQ(now_ms(), 0);
	CHECK(!lade_cancelled());
	CHECK_EQ(lade_yield(), 0);
}

IN_TASK(the_line_after_a_cancelled_call_runs)
{
	int rc = 0;

	lade_scope(s, &rc) {
		lade_cancel(&s, lade_ns(0));
		rc = lade_sleep(lade_ms(1));
		write_down("after:%d", rc);
	}
	write_down("out");
	CHECK_STR(slate, "after:-125 out");
}

static int tree(int depth, int width);
LADE_TASK_VOID_WITH(tree, (.stack_bytes = 65536), (int, depth), (int, width))
static int leaves, leaves_cancelled;

static int tree(int depth, int width)
{
	int rc = 0;

	if (depth == 0) {
		leaves++;
		rc = lade_sleep_until(LADE_NEVER);
		leaves_cancelled += rc == -ECANCELED;
		return rc;
	}
	lade_scope(s, &rc)
		for (int i = 0; i < width && rc == 0; i++)
			rc = lade_spawn(&s, tree_task(depth - 1, width));
	return rc;
}

IN_TASK(a_request_reaches_every_descendant)
{
	int rc = 0;

	leaves = leaves_cancelled = 0;
	lade_scope(s, &rc) {
		CHECK_EQ(lade_spawn(&s, tree_task(5, 4)), 0);
		CHECK_EQ(lade_sleep(lade_ms(1)), 0);
		CHECK_EQ(leaves, 1024);
		lade_cancel(&s, lade_ns(0));
	}
	CHECK_EQ(rc, 0);
	CHECK_EQ(leaves_cancelled, 1024);
	CHECK_EQ(now_ms(), 1);
}

IN_TASK(a_request_on_a_scope_leaves_what_is_outside_alone)
{
	struct tell_after_task outside = tell_after_task("outside", 20, 0);
	struct tell_after_task inside = tell_after_task("inside", 20, 0);
	int rc = 0, inner_rc = 0;

	lade_scope(s, &rc) {
		lade_start(&s, &outside);
		lade_scope(t, &inner_rc) {
			lade_start(&t, &inside);
			CHECK_EQ(lade_sleep(lade_ms(10)), 0);
			lade_cancel(&t, lade_ns(0));
		}
		CHECK_EQ(lade_yield(), 0);
	}
	CHECK_STR(slate, "inside:-125 outside:0");
}

static int cancels(struct lade_scope *scope)
{
	lade_cancel(scope, lade_ns(0));
	write_down("cancelled");
	return lade_yield();
}
LADE_TASK_VOID(cancels, (struct lade_scope *, scope))

static int cancels_from_below(struct lade_scope *scope)
{
	struct cancels_task a = cancels_task(scope);
	int rc = 0;

	lade_scope(s, &rc) {
		lade_start(&s, &a);
		rc = lade_sleep(lade_ms(1000));
	}
	write_down("parent:%d", rc);
	return rc;
}
LADE_TASK_VOID(cancels_from_below, (struct lade_scope *, scope))

IN_TASK(a_task_may_cancel_a_scope_that_it_is_in_itself)
{
	struct cancels_from_below_task a = { 0 };
	struct tell_after_task b = tell_after_task("b", 1000, 0);
	int rc = 0;

	lade_scope(s, &rc) {
		a = cancels_from_below_task(&s);
		lade_start(&s, &a);
		lade_start(&s, &b);
	}
	CHECK_EQ(rc, 0);
	CHECK_EQ(now_ms(), 0);
	CHECK(strstr(slate, "cancelled"));
	CHECK(strstr(slate, "parent:-125"));
	CHECK(strstr(slate, "b:-125"));
}

static struct tell_after_task *the_task;

static int cancels_itself(void)
{
	int rc;

	lade_cancel(the_task, lade_ns(0));
	rc = lade_yield();
	write_down("other:%d", rc);
	return rc;
}
LADE_TASK_VOID(cancels_itself)

IN_TASK(a_task_is_a_scope_of_its_own)
{
	struct tell_after_task a = tell_after_task("a", 1000, 0);
	struct cancels_itself_task b = cancels_itself_task();
	int rc = 0;

	the_task = &a;
	lade_scope(s, &rc) {
		lade_start(&s, &a);
		lade_start(&s, &b);
	}
	CHECK_EQ(rc, 0);
	CHECK_STR(slate, "a:-125 other:0");
	CHECK_EQ(lade_status(&a), -ECANCELED);
}

IN_TASK(cancelling_what_has_ended_does_nothing)
{
	struct end_after_task a = end_after_task(1, 0);
	int rc = 0;

	lade_scope(s, &rc) {
		lade_start(&s, &a);
		CHECK_EQ(lade_wait(&a), 0);
		lade_cancel(&a, lade_ns(0));
		lade_cancel(&a, lade_ms(1));
		CHECK_EQ(lade_yield(), 0);
	}
	CHECK_EQ(rc, 0);
	CHECK_EQ(lade_status(&a), 0);
}

/* Soft and hard */

static int watches(int64_t ms)
{
	int64_t soft = -1;
	int rc = 0;

	while (rc == 0 && now_ms() < ms) {
		rc = lade_sleep(lade_ms(1));
		if (lade_stopping() && soft < 0)
			soft = now_ms();
	}
	write_down("soft:%d hard:%d rc:%d", (int)soft, (int)now_ms(), rc);
	return rc;
}
LADE_TASK_VOID(watches, (int64_t, ms))

IN_TASK(a_cancel_with_a_grace_is_soft_first_and_hard_when_the_grace_is_over)
{
	struct watches_task a = watches_task(1000);
	int rc = 0;

	lade_scope(s, &rc) {
		lade_start(&s, &a);
		CHECK_EQ(lade_sleep(lade_ms(10)), 0);
		lade_cancel(&s, lade_ms(30));
		CHECK(lade_stopping());
		CHECK(!lade_cancelled());
		CHECK_EQ(lade_yield(), 0);
	}
	CHECK_EQ(rc, 0);
	CHECK_EQ(lade_status(&a), -ECANCELED);
	CHECK_STR(slate, "soft:10 hard:40 rc:-125");
}

IN_TASK(what_ends_within_the_grace_is_not_cut_short)
{
	struct watches_task a = watches_task(25);
	int rc = 0;

	lade_scope(s, &rc) {
		lade_start(&s, &a);
		CHECK_EQ(lade_sleep(lade_ms(10)), 0);
		lade_cancel(&s, lade_ms(30));
	}
	CHECK_EQ(rc, 0);
	CHECK_EQ(now_ms(), 25);
	CHECK_EQ(lade_status(&a), 0);
}

IN_TASK(a_grace_of_0_is_hard_at_once)
{
	struct watches_task a = watches_task(1000);
	int rc = 0;

	lade_scope(s, &rc) {
		lade_start(&s, &a);
		CHECK_EQ(lade_sleep(lade_ms(10)), 0);
		lade_cancel(&s, lade_ns(0));
		CHECK(lade_cancelled());
	}
	CHECK_STR(slate, "soft:10 hard:10 rc:-125");
}

IN_TASK(a_grace_that_is_left_out_is_0)
{
	struct watches_task a = watches_task(1000);
	int rc = 0;

	lade_scope(s, &rc) {
		lade_start(&s, &a);
		CHECK_EQ(lade_sleep(lade_ms(10)), 0);
		lade_cancel(&a);
		CHECK_EQ(lade_wait(&a), 0);
		lade_cancel(&s);
		CHECK(lade_cancelled());
	}
	CHECK_EQ(rc, 0);
	CHECK_EQ(now_ms(), 10);
}

static void cancel_twice(int first_ms, int second_ms, int want_ms)
{
	struct watches_task a = watches_task(1000);
	int64_t from = now_ms();
	int rc = 0;

	lade_scope(s, &rc) {
		lade_start(&s, &a);
		CHECK_EQ(lade_sleep(lade_ms(10)), 0);
		lade_cancel(&s, lade_ms(first_ms));
		(void)!lade_sleep(lade_ms(10));
		lade_cancel(&s, lade_ms(second_ms));
	}
	CHECK_EQ(rc, 0);
	CHECK_EQ(now_ms() - from, want_ms);
}

IN_TASK(a_later_cancel_may_shorten_the_grace)
{
	cancel_twice(100, 20, 40);
}

IN_TASK(a_later_cancel_may_not_lengthen_the_grace)
{
	cancel_twice(30, 500, 40);
}

IN_TASK(a_later_cancel_may_be_harder)
{
	cancel_twice(100, 0, 20);
}

IN_TASK(a_later_cancel_may_not_be_softer)
{
	cancel_twice(0, 100, 10);
}

IN_TASK(a_soft_cancel_inside_a_hard_one_changes_nothing)
{
	struct watches_task a = watches_task(1000);
	int rc = 0, inner_rc = 0;

	lade_scope(s, &rc)
		lade_scope(t, &inner_rc) {
			lade_start(&t, &a);
			CHECK_EQ(lade_sleep(lade_ms(10)), 0);
			lade_cancel(&s, lade_ns(0));
			lade_cancel(&t, lade_ms(50));
			CHECK_EQ(lade_yield(), -ECANCELED);
		}
	CHECK_EQ(now_ms(), 10);
	CHECK_EQ(inner_rc, -ECANCELED);
	CHECK_EQ(rc, 0);
}

IN_TASK(the_grace_of_an_outer_scope_and_of_an_inner_one_run_side_by_side)
{
	struct watches_task a = watches_task(1000), b = watches_task(1000);
	int rc = 0, inner_rc = 0;

	lade_scope(s, &rc) {
		lade_start(&s, &b);
		lade_scope(t, &inner_rc) {
			lade_start(&t, &a);
			CHECK_EQ(lade_sleep(lade_us(9500)), 0);
			lade_cancel(&s, lade_ms(50));
			lade_cancel(&t, lade_ms(20));
		}
		CHECK_EQ(inner_rc, 0);
		CHECK(!lade_cancelled());
		CHECK(lade_stopping());
	}
	CHECK_STR(slate, "soft:10 hard:29 rc:-125 soft:10 hard:59 rc:-125");
}

IN_TASK(a_grace_without_end_never_becomes_hard)
{
	struct watches_task a = watches_task(5000);
	int rc = 0;

	lade_scope(s, &rc) {
		lade_start(&s, &a);
		lade_cancel(&s, LADE_FOREVER);
	}
	CHECK_EQ(rc, 0);
	CHECK_EQ(lade_status(&a), 0);
	CHECK_EQ(now_ms(), 5000);
}

static void told_softly(struct lade_op *op)
{
	write_down("soft");
	lade_complete(op, 9);
}

static int waits_on_the_soft_phase(void)
{
	struct lade_op op = LADE_OP("the soft phase");

	op.soft = told_softly;
	return lade_park(&op, NULL);
}
LADE_TASK_VOID(waits_on_the_soft_phase)

IN_TASK(the_soft_phase_wakes_who_waits_on_it)
{
	struct waits_on_the_soft_phase_task a = waits_on_the_soft_phase_task();
	int rc = 0;

	lade_scope(s, &rc) {
		lade_start(&s, &a);
		CHECK_EQ(lade_yield(), 0);
		lade_cancel(&s, lade_ms(50));
		CHECK_EQ(lade_wait(&a), 0);
	}
	CHECK_EQ(rc, 0);
	CHECK_EQ(now_ms(), 0);
	CHECK_EQ(lade_status(&a), 9);
	CHECK_STR(slate, "soft");
}

static void cleaning(void *unused)
{
	(void)unused;
	write_down("begin");
	(void)!lade_sleep(lade_ms(10));
	write_down("end");
}

static int has_a_cleanup(void)
{
	lade_defer(cleaning, NULL);
	return lade_sleep(lade_ms(1000));
}
LADE_TASK_VOID(has_a_cleanup)

IN_TASK(all_children_are_signalled_before_the_first_is_waited_for)
{
	struct has_a_cleanup_task a = has_a_cleanup_task(), b = a, c = a;
	int rc = 0;

	lade_scope(s, &rc) {
		lade_start(&s, &a);
		lade_start(&s, &b);
		lade_start(&s, &c);
		CHECK_EQ(lade_yield(), 0);
		lade_cancel(&s, lade_ns(0));
	}
	CHECK_EQ(now_ms(), 10);
	CHECK_STR(slate, "begin begin begin end end end");
}

/* Delivery */

IN_TASK(a_call_tests_for_a_cancel_as_it_is_entered)
{
	struct end_after_task a = end_after_task(5, 0);
	int rc = 0, inner_rc = 0;

	lade_scope(s, &rc) {
		lade_start(&s, &a);
		lade_scope(t, &inner_rc) {
			lade_cancel(&t, lade_ns(0));
			CHECK_EQ(lade_sleep(lade_ns(0)), -ECANCELED);
			CHECK_EQ(lade_sleep_until(LADE_NEVER), -ECANCELED);
			CHECK_EQ(lade_yield(), -ECANCELED);
			CHECK_EQ(lade_wait(&a), -ECANCELED);
			CHECK_EQ(lade_spawn(&s, end_after_task(1, 0)), -ECANCELED);
		}
	}
	CHECK_EQ(now_ms(), 5);
}

IN_TASK(a_parked_call_is_cancelled)
{
	struct tell_after_task a = tell_after_task("a", 1000, 0);
	int rc = 0;

	lade_scope(s, &rc) {
		lade_start(&s, &a);
		CHECK_EQ(lade_sleep(lade_ms(10)), 0);
		lade_cancel(&s, lade_ns(0));
	}
	CHECK_EQ(now_ms(), 10);
	CHECK_STR(slate, "a:-125");
}

static int sleeps_twice(int64_t ms)
{
	int first = lade_sleep(lade_ms(ms)), second = lade_sleep(lade_ms(ms));

	write_down("%d %d", first, second);
	return second;
}
LADE_TASK_VOID(sleeps_twice, (int64_t, ms))

static int cancels_at(struct lade_scope *scope, int64_t ms)
{
	int rc = lade_sleep(lade_ms(ms));

	lade_cancel(scope, lade_ns(0));
	return rc;
}
LADE_TASK_VOID(cancels_at, (struct lade_scope *, scope), (int64_t, ms))

IN_TASK(a_call_that_had_completed_keeps_its_result_and_the_next_is_cancelled)
{
	struct sleeps_twice_task a = sleeps_twice_task(10);
	struct cancels_at_task b = { 0 };
	int rc = 0;

	lade_scope(s, &rc) {
		b = cancels_at_task(&s, 10);
		lade_start(&s, &b);
		lade_start(&s, &a);
	}
	/* Both timers fired in one phase; the cancel came before the sleeper was resumed. */
	CHECK_EQ(now_ms(), 10);
	CHECK_STR(slate, "0 -125");
}

IN_TASK(a_body_that_returns_success_although_a_request_is_pending_has_succeeded)
{
	struct stubborn_task a = stubborn_task(10, 3);
	int rc = 0;

	lade_scope(s, &rc) {
		lade_start(&s, &a);
		CHECK_EQ(lade_yield(), 0);
		lade_cancel(&a, lade_ns(0));
	}
	CHECK_EQ(rc, 0);
	CHECK_EQ(lade_status(&a), 3);
}

/* Why */

static struct lade_reason asked;
static int asks(int64_t ms)
{
	int rc = lade_sleep(lade_ms(ms));

	asked = lade_why();
	return rc;
}
LADE_TASK_VOID(asks, (int64_t, ms))

IN_TASK(nobody_asks_a_task_to_end_without_a_request)
{
	struct lade_reason why = lade_why();

	CHECK_EQ(why.kind, LADE_REASON_NONE);
	CHECK_STR(why.site, "");
	CHECK_STR(why.task, "");
	CHECK_STR(lade_reason_name(why.kind), "none");
}

IN_TASK(a_task_cancelled_by_name_knows_who_where_and_when)
{
	struct asks_task a = asks_task(1000);
	int rc = 0;

	lade_scope(s, &rc) {
		lade_start(&s, &a);
		CHECK_EQ(lade_sleep(lade_ms(10)), 0);
		lade_cancel(&a, lade_ns(0));
		CHECK_EQ(lade_sleep(lade_ms(10)), 0);
	}
	CHECK_EQ(asked.kind, LADE_REASON_USER);
	CHECK_EQ(asked.root, LADE_REASON_USER);
	CHECK(strstr(asked.site, "cancel_test.c:"));
	CHECK_STR(asked.task, "run_root");
	CHECK_EQ((asked.at_ns - run_start_ns) / 1000000, 10);
}

IN_TASK(a_child_of_a_cancelled_scope_knows_that_it_was_its_parent_and_why)
{
	struct asks_task a = asks_task(1000);
	int rc = 0;

	lade_scope(s, &rc) {
		lade_start(&s, &a);
		CHECK_EQ(lade_sleep(lade_ms(10)), 0);
		lade_cancel(&s, lade_ns(0));
		CHECK_EQ(lade_why().kind, LADE_REASON_USER);
	}
	CHECK_EQ(asked.kind, LADE_REASON_PARENT);
	CHECK_EQ(asked.root, LADE_REASON_USER);
	CHECK(strstr(asked.site, "cancel_test.c:"));
	CHECK_EQ(lade_why().kind, LADE_REASON_NONE);
}

IN_TASK(a_sibling_of_a_failed_child_knows_which_and_where_it_was_started)
{
	struct asks_task a = asks_task(1000);
	struct end_after_task b = end_after_task(10, -EIO);
	int rc = 0;

	lade_scope(s, &rc) {
		lade_start(&s, &a);
		lade_start(&s, &b);
	}
	CHECK_EQ(asked.kind, LADE_REASON_SIBLING);
	CHECK_EQ(asked.root, LADE_REASON_SIBLING);
	CHECK_STR(asked.task, "end_after");
	CHECK_STR(asked.site, b.head.site);
}

IN_TASK(a_child_of_a_scope_that_is_left_early_knows_it)
{
	struct asks_task a = asks_task(1000);
	int rc = 0;

	lade_scope(s, &rc) {
		lade_start(&s, &a);
		CHECK_EQ(lade_yield(), 0);
		break;
	}
	CHECK_EQ(asked.kind, LADE_REASON_PARENT);
	CHECK_EQ(asked.root, LADE_REASON_PARENT);
	CHECK(strstr(asked.site, "cancel_test.c:"));
}

IN_TASK(the_first_reason_is_kept)
{
	struct asks_task a = asks_task(1000);
	int rc = 0;

	lade_scope(s, &rc) {
		lade_start(&s, &a);
		CHECK_EQ(lade_sleep(lade_ms(10)), 0);
		lade_cancel(&s, lade_ms(20));
		CHECK_EQ(lade_sleep(lade_ms(10)), 0);
		lade_cancel(&s, lade_ns(0));
		rc = -EIO;
	}
	CHECK_EQ(asked.root, LADE_REASON_USER);
	CHECK_EQ((asked.at_ns - run_start_ns) / 1000000, 10);
}

static int opens_a_scope(void)
{
	struct end_after_task a = end_after_task(1000, 0);
	int rc = 0;

	lade_scope(s, &rc) {
		lade_start(&s, &a);
		/* The child ends before this body asks, and with -ECANCELED. */
		CHECK_EQ(lade_wait(&a), -ECANCELED);
		CHECK_EQ(lade_yield(), -ECANCELED);
		lade_shield(lade_ms(50))
			CHECK_EQ(lade_wait(&a), 0);
		asked = lade_why();
	}
	return rc;
}
LADE_TASK_VOID(opens_a_scope)

IN_TASK(a_child_that_ends_because_of_a_request_does_not_hide_its_reason)
{
	struct opens_a_scope_task a = opens_a_scope_task();
	int rc = 0;

	lade_scope(s, &rc) {
		lade_start(&s, &a);
		CHECK_EQ(lade_sleep(lade_ms(10)), 0);
		lade_cancel(&s, lade_ns(0));
	}
	CHECK_EQ(asked.kind, LADE_REASON_PARENT);
	CHECK_EQ(asked.root, LADE_REASON_USER);
	CHECK_STR(asked.task, "run_root");
}

static void asks_in_its_cleanup(void *unused)
{
	(void)unused;
	asked = lade_why();
}

static int is_asked_late(int64_t ms)
{
	lade_defer(asks_in_its_cleanup, NULL);
	return lade_sleep(lade_ms(ms));
}
LADE_TASK_VOID(is_asked_late, (int64_t, ms))

IN_TASK(a_cleanup_can_ask_why_its_task_is_cancelled)
{
	struct is_asked_late_task a = is_asked_late_task(1000), b = is_asked_late_task(5);
	int rc = 0;

	lade_scope(s, &rc) {
		lade_start(&s, &a);
		CHECK_EQ(lade_yield(), 0);
		lade_cancel(&a);
	}
	CHECK_EQ(asked.kind, LADE_REASON_USER);
	CHECK_STR(asked.task, "run_root");
	lade_scope(s, &rc)
		lade_start(&s, &b);
	CHECK_EQ(asked.kind, LADE_REASON_NONE);
}

IN_TASK(inside_a_shield_the_request_that_waits_outside_is_the_reason)
{
	int rc = 0;

	lade_scope(s, &rc) {
		CHECK_EQ(lade_within(lade_ms(1), lade_sleep(lade_ms(5))), -ETIME);
		CHECK_EQ(lade_sleep(lade_ms(5)), 0);
		lade_cancel(&s);
		lade_shield(lade_ms(100)) {
			CHECK_EQ(lade_why().kind, LADE_REASON_USER);
			CHECK_EQ(lade_sleep(lade_ms(5)), 0);
			/* A deadline that fires later than that request is the newer answer. */
			CHECK_EQ(lade_within(lade_ms(5), lade_sleep(lade_ms(50))), -ETIME);
			CHECK_EQ(lade_why().kind, LADE_REASON_DEADLINE);
		}
		CHECK_EQ(lade_why().kind, LADE_REASON_USER);
	}
	CHECK_EQ(rc, 0);
}

static void each_kind_of_reason_has_a_name(void)
{
	CHECK_STR(lade_reason_name(LADE_REASON_USER), "user");
	CHECK_STR(lade_reason_name(LADE_REASON_DEADLINE), "deadline");
	CHECK_STR(lade_reason_name(LADE_REASON_SIBLING), "sibling");
	CHECK_STR(lade_reason_name(LADE_REASON_RACE_LOST), "race lost");
	CHECK_STR(lade_reason_name(LADE_REASON_PARENT), "parent");
	CHECK_STR(lade_reason_name(LADE_REASON_SHUTDOWN), "shutdown");
	CHECK_STR(lade_reason_name((enum lade_reason_kind)99), "unknown");
}

/* Outcome */

static int returns_from_a_cancelled_scope(bool outer)
{
	struct end_after_task a = end_after_task(1000, 0);
	int rc = 0;

	lade_scope(s, &rc) {
		lade_start(&s, &a);
		if (!outer)
			lade_cancel(&s, lade_ns(0));
		rc = lade_sleep(lade_ms(1000));
	}
	return rc;
}
LADE_TASK_VOID(returns_from_a_cancelled_scope, (bool, outer))

IN_TASK(only_the_scope_whose_own_request_fired_turns_ecanceled_into_its_outcome)
{
	struct returns_from_a_cancelled_scope_task a = returns_from_a_cancelled_scope_task(false);
	struct returns_from_a_cancelled_scope_task b = returns_from_a_cancelled_scope_task(true);
	int rc = 0;

	lade_scope(s, &rc) {
		lade_start(&s, &a);
		lade_start(&s, &b);
		CHECK_EQ(lade_sleep(lade_ms(10)), 0);
		CHECK_EQ(lade_status(&a), 0);
		lade_cancel(&s, lade_ns(0));
	}
	CHECK_EQ(rc, 0);
	CHECK_EQ(lade_status(&b), -ECANCELED);
}

IN_TASK(a_scope_asked_softly_by_name_and_hard_from_outside_passes_ecanceled_on)
{
	struct end_after_task a = end_after_task(1000, 0);
	int rc = 0, inner_rc = 0;

	lade_scope(s, &rc)
		lade_scope(t, &inner_rc) {
			lade_start(&t, &a);
			CHECK_EQ(lade_yield(), 0);
			lade_cancel(&t, lade_ms(50));
			lade_cancel(&s);
			inner_rc = lade_yield();
		}
	CHECK_EQ(inner_rc, -ECANCELED);
	CHECK_EQ(rc, 0);
}

IN_TASK(under_all_too_a_scope_cancelled_by_name_ends_with_0)
{
	struct end_after_task a = end_after_task(1000, 0);
	int rc = 0;

	lade_scope(s, &rc, .policy = LADE_ALL) {
		lade_start(&s, &a);
		lade_cancel(&s, lade_ns(0));
		rc = lade_yield();
		CHECK_EQ(rc, -ECANCELED);
	}
	CHECK_EQ(rc, 0);
}

IN_TASK(a_task_cancelled_by_name_keeps_ecanceled)
{
	struct end_after_task a = end_after_task(1000, 0);
	int rc = 0;

	lade_scope(s, &rc) {
		lade_start(&s, &a);
		lade_cancel(&a, lade_ns(0));
		CHECK_EQ(lade_wait(&a), 0);
		CHECK_EQ(lade_status(&a), -ECANCELED);
	}
	CHECK_EQ(rc, 0);
}

IN_TASK(a_scope_cancelled_softly_and_left_before_the_grace_is_over_stops_its_timer)
{
	struct end_after_task a = end_after_task(5, 0);
	int rc = 0;

	lade_scope(s, &rc) {
		lade_start(&s, &a);
		lade_cancel(&s, lade_ms(20));
		lade_cancel(&a, lade_ms(10));
	}
	CHECK_EQ(rc, 0);
	CHECK_EQ(now_ms(), 5);
	CHECK_EQ(lade_sleep(lade_ms(50)), 0);
}

int main(void)
{
	TAP(a_cancel_cannot_be_taken_back_and_holds_for_every_later_call);
	TAP(the_line_after_a_cancelled_call_runs);
	TAP(a_request_reaches_every_descendant);
	TAP(a_request_on_a_scope_leaves_what_is_outside_alone);
	TAP(a_task_may_cancel_a_scope_that_it_is_in_itself);
	TAP(a_task_is_a_scope_of_its_own);
	TAP(cancelling_what_has_ended_does_nothing);
	TAP(a_cancel_with_a_grace_is_soft_first_and_hard_when_the_grace_is_over);
	TAP(what_ends_within_the_grace_is_not_cut_short);
	TAP(a_grace_of_0_is_hard_at_once);
	TAP(a_grace_that_is_left_out_is_0);
	TAP(a_later_cancel_may_shorten_the_grace);
	TAP(a_later_cancel_may_not_lengthen_the_grace);
	TAP(a_later_cancel_may_be_harder);
	TAP(a_later_cancel_may_not_be_softer);
	TAP(a_soft_cancel_inside_a_hard_one_changes_nothing);
	TAP(the_grace_of_an_outer_scope_and_of_an_inner_one_run_side_by_side);
	TAP(a_grace_without_end_never_becomes_hard);
	TAP(the_soft_phase_wakes_who_waits_on_it);
	TAP(all_children_are_signalled_before_the_first_is_waited_for);
	TAP(a_call_tests_for_a_cancel_as_it_is_entered);
	TAP(a_parked_call_is_cancelled);
	TAP(a_call_that_had_completed_keeps_its_result_and_the_next_is_cancelled);
	TAP(a_body_that_returns_success_although_a_request_is_pending_has_succeeded);
	TAP(nobody_asks_a_task_to_end_without_a_request);
	TAP(a_task_cancelled_by_name_knows_who_where_and_when);
	TAP(a_child_of_a_cancelled_scope_knows_that_it_was_its_parent_and_why);
	TAP(a_sibling_of_a_failed_child_knows_which_and_where_it_was_started);
	TAP(a_child_of_a_scope_that_is_left_early_knows_it);
	TAP(the_first_reason_is_kept);
	TAP(a_child_that_ends_because_of_a_request_does_not_hide_its_reason);
	TAP(a_cleanup_can_ask_why_its_task_is_cancelled);
	TAP(inside_a_shield_the_request_that_waits_outside_is_the_reason);
	TAP(each_kind_of_reason_has_a_name);
	TAP(only_the_scope_whose_own_request_fired_turns_ecanceled_into_its_outcome);
	TAP(a_scope_asked_softly_by_name_and_hard_from_outside_passes_ecanceled_on);
	TAP(under_all_too_a_scope_cancelled_by_name_ends_with_0);
	TAP(a_task_cancelled_by_name_keeps_ecanceled);
	TAP(a_scope_cancelled_softly_and_left_before_the_grace_is_over_stops_its_timer);
	return tap_done();
}
