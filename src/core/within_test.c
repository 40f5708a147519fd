/* SPDX-License-Identifier: MIT */
/* within_test.c - deadlines: which one fires, when, and what comes out. */

#include "run.h"

IN_TASK(what_ends_before_its_deadline_keeps_its_result)
{
	CHECK_EQ(lade_within(lade_ms(10), end_after(5, 7)), 7);
	CHECK_EQ(lade_within(lade_ms(10), end_after(5, -EIO)), -EIO);
	CHECK_EQ(now_ms(), 10);
	CHECK_EQ(lade_sleep(lade_ms(50)), 0);
}

IN_TASK(a_deadline_that_fires_turns_ecanceled_into_etime)
{
	CHECK_EQ(lade_within(lade_ms(10), lade_sleep(lade_ms(1000))), -ETIME);
	CHECK_EQ(now_ms(), 10);
	CHECK(!lade_cancelled());
	CHECK_EQ(lade_sleep(lade_ms(5)), 0);
}

IN_TASK(until_takes_an_instant)
{
	struct lade_instant when = lade_in(lade_ms(20));

	CHECK_EQ(lade_sleep(lade_ms(15)), 0);
	CHECK_EQ(lade_until(when, lade_sleep(lade_ms(100))), -ETIME);
	CHECK_EQ(now_ms(), 20);
	CHECK_EQ(lade_until(LADE_NEVER, end_after(5, 3)), 3);
}

IN_TASK(a_duration_counts_from_the_call)
{
	CHECK_EQ(lade_sleep(lade_ms(30)), 0);
	CHECK_EQ(lade_within(lade_ms(10), lade_sleep(lade_ms(1000))), -ETIME);
	CHECK_EQ(now_ms(), 40);
}

IN_TASK(a_deadline_without_end_never_fires)
{
	CHECK_EQ(lade_within(LADE_FOREVER, lade_sleep(lade_s(100000))), 0);
	CHECK_EQ(lade_within(lade_s(INT64_MAX / 2), lade_sleep(lade_s(5))), 0);
}

/* Which one fires */

IN_TASK(of_nested_deadlines_the_earliest_fires)
{
	int inner, outer;

	outer = lade_within(lade_ms(10), (inner = lade_within(lade_ms(20), end_after(50, 0)),
					  write_down("%d", inner), inner));
	CHECK_STR(slate, "-125");
	CHECK_EQ(outer, -ETIME);
	CHECK_EQ(now_ms(), 10);

	outer = lade_within(lade_ms(20), (inner = lade_within(lade_ms(10), end_after(50, 0)),
					  inner == -ETIME ? end_after(3, 9) : inner));
	CHECK_EQ(inner, -ETIME);
	CHECK_EQ(outer, 9);
	CHECK_EQ(now_ms(), 23);
}

IN_TASK(of_equal_deadlines_the_outermost_fires)
{
	int inner = 0, middle = 0;
	struct lade_instant when = lade_in(lade_ms(10));
	int outer = lade_until(
		when, (middle = lade_until(when, (inner = lade_until(when, end_after(50, 0)),
						  inner)),
		       middle));

	CHECK_EQ(inner, -ECANCELED);
	CHECK_EQ(middle, -ECANCELED);
	CHECK_EQ(outer, -ETIME);
	CHECK_EQ(now_ms(), 10);
}

static int within_in_a_child(int64_t ms, int64_t sleep_ms)
{
	return lade_within(lade_ms(ms), lade_sleep(lade_ms(sleep_ms)));
}
LADE_TASK_VOID(within_in_a_child, (int64_t, ms), (int64_t, sleep_ms))

static int runs(struct within_in_a_child_task *child)
{
	int rc = 0;

	lade_scope(s, &rc)
		lade_start(&s, child);
	return rc;
}

IN_TASK(a_deadline_reaches_the_tasks_below)
{
	struct within_in_a_child_task a = within_in_a_child_task(1000, 5000);

	CHECK_EQ(lade_within(lade_ms(10), runs(&a)), -ETIME);
	CHECK_EQ(now_ms(), 10);
	CHECK_EQ(lade_status(&a), -ECANCELED);
}

IN_TASK(a_childs_own_earlier_deadline_is_its_own)
{
	struct within_in_a_child_task a = within_in_a_child_task(5, 5000);

	CHECK_EQ(lade_within(lade_ms(10), runs(&a)), -ETIME);
	CHECK_EQ(now_ms(), 5);
	CHECK_EQ(lade_status(&a), -ETIME);
	CHECK_EQ(lade_yield(), 0);
}

IN_TASK(a_childs_equal_deadline_gives_way_to_its_parents)
{
	struct within_in_a_child_task a = within_in_a_child_task(10, 5000);

	CHECK_EQ(lade_within(lade_ms(10), runs(&a)), -ETIME);
	CHECK_EQ(lade_status(&a), -ECANCELED);
}

IN_TASK(a_deadline_that_has_passed_is_a_request_at_once)
{
	struct lade_instant past = lade_now();
	int rc;

	CHECK_EQ(lade_sleep(lade_ms(5)), 0);
	rc = lade_until(past, (CHECK(lade_cancelled()), lade_sleep(lade_ns(0))));
	CHECK_EQ(rc, -ETIME);
	CHECK_EQ(lade_until(past, end_after(1, 0)), -ETIME);
	CHECK_EQ(lade_within(lade_ns(0), lade_yield()), -ETIME);
	CHECK_EQ(lade_within(lade_ns(-5), lade_yield()), -ETIME);
	CHECK_EQ(now_ms(), 5);
}

IN_TASK(a_body_that_does_not_suspend_has_no_deadline)
{
	CHECK_EQ(lade_within(lade_ns(0), 7), 7);
	CHECK_EQ(lade_yield(), 0);
}

static int ignores_the_deadline(void)
{
	int rc = lade_sleep(lade_ms(1000));

	write_down("%d", rc);
	return 5;
}

IN_TASK(a_success_after_the_deadline_is_a_success)
{
	CHECK_EQ(lade_within(lade_ms(10), ignores_the_deadline()), 5);
	CHECK_STR(slate, "-125");
	CHECK_EQ(lade_yield(), 0);
}

static int fails_after_the_deadline(void)
{
	return lade_sleep(lade_ms(1000)) < 0 ? -EPROTO : 0;
}

IN_TASK(another_error_after_the_deadline_is_that_error)
{
	CHECK_EQ(lade_within(lade_ms(10), fails_after_the_deadline()), -EPROTO);
}

IN_TASK(data_and_deadline_in_one_turn_give_the_data)
{
	CHECK_EQ(lade_within(lade_ms(10), end_after(10, 3)), 3);
	CHECK_EQ(lade_yield(), 0);
}

static int completes(struct lade_op *op, int64_t ms, int hops)
{
	int rc = lade_sleep(lade_ms(ms));

	for (int i = 0; i < hops && rc == 0; i++)
		rc = lade_yield();
	lade_complete(op, 42);
	return rc;
}
LADE_TASK_VOID(completes, (struct lade_op *, op), (int64_t, ms), (int, hops))

static enum lade_abort_result give_up(struct lade_op *op)
{
	(void)op;
	return LADE_ABORTED;
}

static int parks(struct lade_op *op)
{
	return lade_park(op, give_up);
}

IN_TASK(the_deadline_is_looked_at_after_the_tasks_that_io_made_ready)
{
	struct lade_op op = LADE_OP("the answer");
	struct completes_task a = completes_task(&op, 9, 3);
	int rc = 0;

	/* The sleeper is woken 1 ms before the deadline and needs three more switches. */
	lade_scope(s, &rc) {
		lade_start(&s, &a);
		CHECK_EQ(lade_within(lade_ms(10), parks(&op)), 42);
	}
	CHECK_EQ(rc, 0);
	CHECK_EQ(now_ms(), 9);
}

/* A back end whose I/O brings an answer at the very instant to which the loop would have slept. */
static struct lade_op *expected;

static int late_answer(struct lade_loop *loop, int64_t until_ns)
{
	int rc = lade_backend_virtual.poll(loop, until_ns);

	if (expected && until_ns) {
		lade_complete(expected, 42);
		expected = NULL;
	}
	return rc;
}

IN_TASK(an_answer_in_the_turn_of_the_deadline_is_there_before_it)
{
	struct lade_op op = LADE_OP("the answer"), relayed = LADE_OP("the answer, passed on");
	struct lade_backend answering = *lade_cur->loop->backend;
	struct completes_task a = { 0 };
	int rc = 0;

	answering.poll = late_answer;
	lade_cur->loop->backend = &answering;
	expected = &op;
	CHECK_EQ(lade_within(lade_ms(10), parks(&op)), 42);
	CHECK_EQ(now_ms(), 10);
	op = (struct lade_op)LADE_OP("the answer");
	a = completes_task(&relayed, 0, 0);
	lade_scope(s, &rc) {
		expected = &op;
		CHECK_EQ(lade_within(lade_ms(10), (rc = parks(&op), lade_start(&s, &a),
						   parks(&relayed))),
			 42);
		CHECK_EQ(rc, 42);
		rc = 0;
	}
	CHECK_EQ(now_ms(), 20);
	CHECK_EQ(lade_yield(), 0);
	lade_cur->loop->backend = &lade_backend_virtual;
}

/* With other requests */

IN_TASK(a_cancel_from_outside_passes_through_a_deadline)
{
	int rc = 0;

	lade_scope(s, &rc) {
		CHECK_EQ(lade_spawn(&s, end_after_task(5, -EIO)), 0);
		CHECK_EQ(lade_within(lade_ms(10), lade_sleep(lade_ms(100))), -ECANCELED);
	}
	CHECK_EQ(rc, -EIO);
	CHECK_EQ(now_ms(), 5);
}

IN_TASK(a_deadline_inside_a_cancelled_scope_says_ecanceled)
{
	int rc = 0;

	lade_scope(s, &rc) {
		lade_cancel(&s);
		CHECK_EQ(lade_within(lade_ms(10), lade_sleep(lade_ms(100))), -ECANCELED);
		CHECK_EQ(lade_within(lade_ns(0), lade_sleep(lade_ms(100))), -ECANCELED);
	}
	CHECK_EQ(rc, 0);
}

IN_TASK(a_soft_cancel_leaves_a_deadline_its_etime)
{
	int rc = 0;

	lade_scope(s, &rc) {
		lade_cancel(&s, lade_ms(50));
		CHECK_EQ(lade_within(lade_ms(10), lade_sleep(lade_ms(100))), -ETIME);
		CHECK_EQ(lade_yield(), 0);
	}
	CHECK_EQ(now_ms(), 10);
}

static int cancel_after(struct lade_scope *scope, int64_t ms)
{
	int rc = lade_sleep(lade_ms(ms));

	lade_cancel(scope);
	return rc;
}
LADE_TASK_VOID(cancel_after, (struct lade_scope *, scope), (int64_t, ms))

static int winds_down(int64_t ms)
{
	int rc = lade_sleep(lade_ms(1000));

	lade_shield(lade_s(1))
		(void)!lade_sleep(lade_ms(ms));
	return rc;
}

IN_TASK(a_deadline_that_fired_before_a_cancel_says_etime_and_the_cancel_comes_next)
{
	struct cancel_after_task a = { 0 };
	int rc = 0;

	lade_scope(s, &rc) {
		a = cancel_after_task(&s, 15);
		lade_start(&s, &a);
		CHECK_EQ(lade_within(lade_ms(10), winds_down(10)), -ETIME);
		CHECK_EQ(now_ms(), 20);
		CHECK_EQ(lade_yield(), -ECANCELED);
	}
	CHECK_EQ(rc, 0);
}

IN_TASK(a_cancel_before_the_deadline_says_ecanceled_although_the_deadline_passes_too)
{
	struct cancel_after_task a = { 0 };
	int rc = 0;

	lade_scope(s, &rc) {
		a = cancel_after_task(&s, 5);
		lade_start(&s, &a);
		CHECK_EQ(lade_within(lade_ms(10), winds_down(20)), -ECANCELED);
		CHECK_EQ(now_ms(), 25);
	}
	CHECK_EQ(rc, 0);
}

IN_TASK(a_shield_hides_the_deadlines_outside_it_and_not_those_inside)
{
	int inner = 0, outer;

	outer = lade_within(lade_ms(10), winds_down(0));
	CHECK_EQ(outer, -ETIME);
	lade_shield(lade_ms(100)) {
		inner = lade_within(lade_ms(5), lade_sleep(lade_ms(50)));
		CHECK_EQ(inner, -ETIME);
	}
	CHECK_EQ(now_ms(), 15);
}

static int deadline_in_a_shield(int64_t inner_ms)
{
	int rc = 0;

	lade_shield(lade_ms(100)) {
		rc = lade_within(lade_ms(inner_ms), lade_sleep(lade_ms(1000)));
		write_down("inner:%d:%d", rc, (int)now_ms());
	}
	rc = lade_sleep(lade_ms(1000));
	write_down("after:%d", rc);
	return rc;
}

IN_TASK(a_deadline_inside_a_shield_inside_a_deadline_fires_at_its_own_time)
{
	CHECK_EQ(lade_within(lade_ms(10), deadline_in_a_shield(40)), -ETIME);
	CHECK_EQ(now_ms(), 40);
	CHECK_STR(slate, "inner:-62:40 after:-125");
}

IN_TASK(a_deadline_inside_a_shield_may_be_earlier_than_the_one_outside)
{
	CHECK_EQ(lade_within(lade_ms(50), deadline_in_a_shield(20)), -ETIME);
	CHECK_EQ(now_ms(), 50);
	CHECK_STR(slate, "inner:-62:20 after:-125");
}

IN_TASK(a_deadline_inside_a_shield_equal_to_the_one_outside_fires_for_itself)
{
	CHECK_EQ(lade_within(lade_ms(10), deadline_in_a_shield(10)), -ETIME);
	CHECK_EQ(now_ms(), 10);
	CHECK_STR(slate, "inner:-62:10 after:-125");
}

/* In the same task */

IN_TASK(a_deadline_runs_in_the_same_task)
{
	uint64_t before = lade_cur->loop->tasks_started;
	struct lade_ctl *me = lade_cur;

	CHECK_EQ(lade_within(lade_ms(10), (CHECK(lade_cur == me), lade_yield())), 0);
	CHECK_EQ(lade_within(lade_ms(10), lade_sleep(lade_ms(100))), -ETIME);
	CHECK_EQ(lade_cur->loop->tasks_started, before);
}

static int nested(int depth, int64_t ms)
{
	if (depth == 0)
		return end_after(1000, 0);
	return lade_within(lade_ms(ms), nested(depth - 1, ms + 1));
}

IN_TASK(fifty_deadlines_inside_each_other_fire_once)
{
	CHECK_EQ(nested(50, 10), -ETIME);
	CHECK_EQ(now_ms(), 10);
	CHECK(!lade_heap_first(&lade_cur->loop->timers));
}

IN_TASK(a_deadline_in_a_loop_starts_anew_each_time)
{
	for (int i = 0; i < 100; i++)
		CHECK_EQ(lade_within(lade_ms(2), lade_sleep(lade_ms(1 + i % 3))),
			 i % 3 == 2 ? -ETIME : 0);
}

IN_TASK(after_etime_why_names_the_deadline)
{
	struct lade_reason why;

	CHECK_EQ(lade_within(lade_ms(10), lade_sleep(lade_ms(100))), -ETIME);
	why = lade_why();
	CHECK_EQ(why.kind, LADE_REASON_DEADLINE);
	CHECK(strstr(why.site, "within_test.c:"));
	CHECK_STR(why.task, "run_root");
	CHECK_EQ((why.at_ns - run_start_ns) / 1000000, 10);
}

static int asks(void)
{
	int rc = lade_sleep(lade_ms(100));

	write_down("%s", lade_reason_name(lade_why().kind));
	return rc;
}
LADE_TASK_VOID(asks)

static int runs_asks(struct asks_task *child)
{
	int rc = 0;

	lade_scope(s, &rc)
		lade_start(&s, child);
	return rc;
}

IN_TASK(inside_a_deadline_that_fired_why_names_it)
{
	struct asks_task a = asks_task();

	CHECK_EQ(lade_within(lade_ms(10), asks()), -ETIME);
	CHECK_EQ(lade_within(lade_ms(10), runs_asks(&a)), -ETIME);
	CHECK_STR(slate, "deadline parent");
}

static int times_out_and_ends(void)
{
	return lade_within(lade_ms(5), lade_sleep(lade_ms(50))) == -ETIME ? 0 : -EPROTO;
}
LADE_TASK_VOID(times_out_and_ends)

static int asks_at_once(void)
{
	write_down("%s", lade_reason_name(lade_why().kind));
	return 0;
}
LADE_TASK_VOID(asks_at_once)

IN_TASK(a_task_on_a_used_stack_knows_nothing_of_the_deadlines_before_it)
{
	struct times_out_and_ends_task a = times_out_and_ends_task();
	struct asks_at_once_task b = asks_at_once_task();
	int rc = 0;

	lade_scope(s, &rc)
		lade_start(&s, &a);
	lade_scope(s, &rc)
		lade_start(&s, &b);
	CHECK_EQ(rc, 0);
	CHECK_STR(slate, "none");
}

/* The clock */

static int readings;

static int64_t counted_now(struct lade_loop *loop)
{
	readings++;
	return lade_backend_virtual.now(loop);
}

IN_TASK(entering_a_call_reads_no_clock)
{
	struct lade_backend counting = *lade_cur->loop->backend;
	const struct lade_backend *real = lade_cur->loop->backend;
	int rc = 0;

	counting.now = counted_now;
	lade_cur->loop->backend = &counting;
	readings = 0;
	for (int i = 0; i < 60 && rc == 0; i++)
		rc = lade_within(lade_ms(5), lade_sleep_until(lade_now()));
	CHECK_EQ(rc, 0);
	CHECK_EQ(readings, 0);
	lade_cur->loop->backend = real;
}

/* A clock that is not exact is read again when the reading may be older than 50 us. */
IN_TASK(the_cached_time_stands_for_now_while_it_is_young)
{
	struct lade_backend rough = *lade_cur->loop->backend;
	struct lade_loop *loop = lade_cur->loop;
	int before;

	rough.now = counted_now;
	rough.exact = false;
	loop->backend = &rough;
	/* Older than any cycle counter can be young. */
	loop->now_cycles -= UINT64_C(1) << 40;
	readings = 0;
	(void)lade_now();
	CHECK_EQ(readings, 1);
	for (int i = 0; i < 10; i++)
		(void)lade_now();
	before = readings;
	CHECK(before <= 3);
	loop->now_cycles -= UINT64_C(1) << 40;
	(void)lade_in(lade_ms(5));
	CHECK_EQ(readings, before + 1);
	loop->backend = &lade_backend_virtual;
}

int main(void)
{
	TAP(what_ends_before_its_deadline_keeps_its_result);
	TAP(a_deadline_that_fires_turns_ecanceled_into_etime);
	TAP(until_takes_an_instant);
	TAP(a_duration_counts_from_the_call);
	TAP(a_deadline_without_end_never_fires);
	TAP(of_nested_deadlines_the_earliest_fires);
	TAP(of_equal_deadlines_the_outermost_fires);
	TAP(a_deadline_reaches_the_tasks_below);
	TAP(a_childs_own_earlier_deadline_is_its_own);
	TAP(a_childs_equal_deadline_gives_way_to_its_parents);
	TAP(a_deadline_that_has_passed_is_a_request_at_once);
	TAP(a_body_that_does_not_suspend_has_no_deadline);
	TAP(a_success_after_the_deadline_is_a_success);
	TAP(another_error_after_the_deadline_is_that_error);
	TAP(data_and_deadline_in_one_turn_give_the_data);
	TAP(the_deadline_is_looked_at_after_the_tasks_that_io_made_ready);
	TAP(an_answer_in_the_turn_of_the_deadline_is_there_before_it);
	TAP(a_cancel_from_outside_passes_through_a_deadline);
	TAP(a_deadline_inside_a_cancelled_scope_says_ecanceled);
	TAP(a_soft_cancel_leaves_a_deadline_its_etime);
	TAP(a_deadline_that_fired_before_a_cancel_says_etime_and_the_cancel_comes_next);
	TAP(a_cancel_before_the_deadline_says_ecanceled_although_the_deadline_passes_too);
	TAP(a_shield_hides_the_deadlines_outside_it_and_not_those_inside);
	TAP(a_deadline_inside_a_shield_inside_a_deadline_fires_at_its_own_time);
	TAP(a_deadline_inside_a_shield_may_be_earlier_than_the_one_outside);
	TAP(a_deadline_inside_a_shield_equal_to_the_one_outside_fires_for_itself);
	TAP(a_deadline_runs_in_the_same_task);
	TAP(fifty_deadlines_inside_each_other_fire_once);
	TAP(a_deadline_in_a_loop_starts_anew_each_time);
	TAP(after_etime_why_names_the_deadline);
	TAP(inside_a_deadline_that_fired_why_names_it);
	TAP(a_task_on_a_used_stack_knows_nothing_of_the_deadlines_before_it);
	TAP(entering_a_call_reads_no_clock);
	TAP(the_cached_time_stands_for_now_while_it_is_young);
	return tap_done();
}
