/* SPDX-License-Identifier: MIT */
/* composite_test.c - joins and races that are themselves tasks. */

#include <lade/join.h>

#include "run.h"

static void give_back(long *value)
{
	write_down("disposed:%ld", *value);
}

static void drop(int64_t ms, long value);

static int make(int64_t ms, long value, long *ret)
{
	int rc = lade_sleep(lade_ms(ms));

	if (rc < 0)
		return rc;
	*ret = value;
	return 0;
}
LADE_TASK_WITH(make, long, (.dispose = give_back, .drop_args = drop), (int64_t, ms), (long, value))

static void drop(int64_t ms, long value)
{
	(void)ms;
	write_down("dropped:%ld", value);
}

static int huge(void)
{
	return 0;
}
LADE_TASK_VOID_WITH(huge, (.stack_bytes = 1u << 30))

/* Outcome */

IN_TASK(a_composite_starts_nothing_until_it_is_started)
{
	struct make_task a = make_task(10, 1), b = make_task(10, 2);
	struct lade_join_task both = lade_join_task(&a, &b);

	CHECK_EQ(lade_sleep(lade_ms(5)), 0);
	CHECK_EQ(lade_status(&both), -EINPROGRESS);
	CHECK_EQ(a.head.state, TASK_LAZY);
	CHECK_EQ(lade_join(&both), 0);
	CHECK_EQ(now_ms(), 15);
	CHECK_EQ(lade_value(&a) + lade_value(&b), 3);
	CHECK_EQ(lade_status(&both), 0);
}

IN_TASK(a_join_task_has_the_status_that_the_join_would_return)
{
	struct tell_after_task a = tell_after_task("a", 10, -EIO);
	struct tell_after_task b = tell_after_task("b", 1000, 0);
	struct lade_join_task both = lade_join_task(&a, &b);

	CHECK_EQ(lade_join(&both), -EIO);
	CHECK_EQ(now_ms(), 10);
	CHECK_STR(slate, "a:-5 b:-125");
	CHECK_EQ(lade_status(&both), -EIO);
}

IN_TASK(a_failed_join_task_disposes_of_the_values_that_were_made)
{
	struct make_task a = make_task(5, 1), b = make_task(1000, 2);
	struct lade_join_task all = lade_join_task(&a, &b, lade_do(end_after, 10, -EIO));

	CHECK_EQ(lade_join(&all), -EIO);
	CHECK_STR(slate, "disposed:1");
	CHECK_EQ(lade_status(&a), -ECANCELED);
}

IN_TASK(a_race_task_has_status_0_and_its_winner_when_the_winner_succeeded)
{
	struct value_after_task a = value_after_task(30, 1), b = value_after_task(10, 2);
	struct lade_race_ok_task first = lade_race_ok_task(&a, &b);
	struct value_after_task c = value_after_task(10, 3), d = value_after_task(30, 4);
	struct lade_race_task ended = lade_race_task(&c, &d);

	CHECK_EQ(first.winner, -1);
	CHECK_EQ(lade_join(&first, &ended), 0);
	CHECK_EQ(now_ms(), 10);
	CHECK_EQ(first.winner, 1);
	CHECK_EQ(ended.winner, 0);
	CHECK_EQ(lade_value(&b) + lade_value(&c), 5);
	CHECK_EQ(lade_status(&a), -ECANCELED);
	CHECK_EQ(lade_status(&d), -ECANCELED);
}

IN_TASK(a_race_task_whose_winner_has_a_positive_status_has_status_0)
{
	struct lade_race_ok_task first =
		lade_race_ok_task(lade_do(end_after, 20, 0), lade_do(end_after, 10, 7));

	CHECK_EQ(lade_join(&first), 0);
	CHECK_EQ(lade_status(&first), 0);
	CHECK_EQ(first.winner, 1);
}

IN_TASK(a_race_task_that_a_failure_won_has_its_status_and_no_winner)
{
	struct lade_race_task first =
		lade_race_task(lade_do(end_after, 20, 0), lade_do(end_after, 10, -EIO));

	CHECK_EQ(lade_join(&first), -EIO);
	CHECK_EQ(first.winner, -1);
}

IN_TASK(a_race_ok_task_of_failures_has_the_last_one_and_no_winner)
{
	struct lade_race_ok_task first =
		lade_race_ok_task(lade_do(end_after, 20, -EIO), lade_do(end_after, 10, -EPIPE));

	CHECK_EQ(lade_join(&first), -EIO);
	CHECK_EQ(first.winner, -1);
}

IN_TASK(a_race_task_disposes_of_each_completed_loser_once)
{
	struct make_task a = make_task(10, 1), b = make_task(10, 2);
	struct stubborn_task c = stubborn_task(40, 0);
	struct lade_race_ok_task first = lade_race_ok_task(&a, &b, &c);

	CHECK_EQ(lade_join(&first), 0);
	CHECK_EQ(first.winner, 0);
	CHECK_EQ(now_ms(), 40);
	CHECK_STR(slate, "disposed:2");
	CHECK_EQ(lade_value(&a), 1);
}

IN_TASK(a_race_task_whose_member_finds_no_stack_is_decided_at_once)
{
	struct end_after_task a = end_after_task(1000, 0);
	struct huge_task b = huge_task();
	struct lade_race_task first = lade_race_task(&a, &b);

	CHECK_EQ(lade_join(&first), -ENOMEM);
	CHECK_EQ(now_ms(), 0);
	CHECK_EQ(lade_status(&a), -ECANCELED);
}

IN_TASK(a_composite_of_members_without_stacks_fails)
{
	struct huge_task a = huge_task(), b = huge_task();
	struct lade_join_task both = lade_join_task(&a, &b);

	CHECK_EQ(lade_join(&both), -ENOMEM);
	CHECK_EQ(lade_status(&b), -ECANCELED);
}

/* Everything that a task can be */

IN_TASK(a_composite_is_raced)
{
	struct value_after_task a = value_after_task(10, 1), b = value_after_task(20, 2);
	struct lade_join_task both = lade_join_task(&a, &b);
	struct value_after_task c = value_after_task(30, 3);

	CHECK_EQ(lade_race_ok(&c, &both), 1);
	CHECK_EQ(now_ms(), 20);
	CHECK_EQ(lade_status(&c), -ECANCELED);
}

IN_TASK(a_composite_is_given_a_deadline)
{
	struct value_after_task a = value_after_task(10, 1), b = value_after_task(1000, 2);
	struct lade_join_task both = lade_join_task(&a, &b);

	CHECK_EQ(lade_within(lade_ms(50), lade_join(&both)), -ETIME);
	CHECK_EQ(now_ms(), 50);
	CHECK_EQ(lade_status(&both), -ECANCELED);
	CHECK_EQ(lade_value(&a), 1);
}

IN_TASK(a_composite_is_started_in_a_scope_and_awaited_again_and_again)
{
	struct value_after_task a = value_after_task(10, 1), b = value_after_task(20, 2);
	struct lade_race_ok_task first = lade_race_ok_task(&a, &b);
	int rc = 0;

	lade_scope(s, &rc) {
		lade_start(&s, &first);
		CHECK_EQ(s.live, 1);
		CHECK_EQ(lade_status(&first), -EINPROGRESS);
		for (int i = 0; i < 3; i++)
			CHECK_EQ(lade_wait(&first), 0);
		CHECK_EQ(now_ms(), 10);
	}
	CHECK_EQ(rc, 0);
	CHECK_EQ(lade_wait(&first), 0);
	CHECK_EQ(first.winner, 0);
}

IN_TASK(a_composite_that_fails_in_a_scope_cancels_its_siblings)
{
	struct tell_after_task a = tell_after_task("a", 1000, 0);
	struct lade_join_task both =
		lade_join_task(lade_do(end_after, 10, -EIO), lade_do(end_after, 20, 0));
	int rc = 0;

	lade_scope(s, &rc) {
		lade_start(&s, &a);
		lade_start(&s, &both);
	}
	CHECK_EQ(rc, -EIO);
	CHECK_EQ(now_ms(), 10);
	CHECK_STR(slate, "a:-125");
}

/* Ends with a cancel of its own making. */
static int give_in(void)
{
	return -ECANCELED;
}
LADE_TASK_VOID(give_in)

IN_TASK(a_composite_whose_member_gives_in_unasked_has_failed_its_parent)
{
	struct tell_after_task a = tell_after_task("a", 1000, 0);
	struct lade_join_task both = lade_join_task(lade_do(give_in), lade_do(end_after, 20, 0));
	int rc = 0;

	lade_scope(s, &rc) {
		lade_start(&s, &a);
		lade_start(&s, &both);
	}
	CHECK_EQ(rc, -ECANCELED);
	CHECK_EQ(now_ms(), 0);
	CHECK_STR(slate, "a:-125");
}

IN_TASK(a_composite_is_a_daemon)
{
	struct tell_after_task a = tell_after_task("a", 1000, 0);
	struct tell_after_task b = tell_after_task("b", 1000, 0);
	struct lade_join_task both = lade_join_task(&a, &b);
	int rc = 0;

	lade_scope(s, &rc) {
		lade_start_daemon(&s, &both);
		CHECK_EQ(lade_sleep(lade_ms(10)), 0);
	}
	CHECK_EQ(rc, 0);
	CHECK_EQ(now_ms(), 10);
	CHECK_EQ(lade_status(&both), -ECANCELED);
}

IN_TASK(composites_of_composites_end_from_inside_out)
{
	struct value_after_task a = value_after_task(10, 1), b = value_after_task(20, 2);
	struct value_after_task c = value_after_task(30, 3), d = value_after_task(40, 4);
	struct lade_race_ok_task r1 = lade_race_ok_task(&a, &c), r2 = lade_race_ok_task(&b, &d);
	struct lade_join_task j = lade_join_task(&r1, &r2);
	struct lade_race_task r = lade_race_task(&j, lade_do(end_after, 1000, 0));

	CHECK_EQ(lade_join(&r), 0);
	CHECK_EQ(now_ms(), 20);
	CHECK_EQ(r.winner, 0);
	CHECK_EQ(lade_status(&j), 0);
	CHECK_EQ(r1.winner, 0);
	CHECK_EQ(r2.winner, 0);
	CHECK_EQ(lade_status(&c), -ECANCELED);
	CHECK_EQ(lade_status(&d), -ECANCELED);
}

IN_TASK(a_join_folded_over_a_hundred_tasks_is_one_join)
{
	static struct end_after_task tasks[100];
	static struct lade_join_task fold[100];

	for (int i = 0; i < 100; i++)
		tasks[i] = end_after_task(i % 7, 0);
	fold[0] = lade_join_task(&tasks[0]);
	for (int i = 1; i < 100; i++)
		fold[i] = lade_join_task(&fold[i - 1], &tasks[i]);
	CHECK_EQ(lade_join(&fold[99]), 0);
	CHECK_EQ(now_ms(), 6);
	for (int i = 0; i < 100; i++) {
		CHECK_EQ(lade_status(&tasks[i]), 0);
		CHECK_EQ(lade_status(&fold[i]), 0);
	}
}

/* A join of one in a join of one, so many deep. */
static int nest(int levels)
{
	static struct lade_join_task nested[200];
	struct end_after_task inmost = end_after_task(5, 0);

	nested[0] = lade_join_task(&inmost);
	for (int i = 1; i < levels; i++)
		nested[i] = lade_join_task(&nested[i - 1]);
	return lade_join(&nested[levels - 1]);
}

static int nest_on_a_small_stack(int levels)
{
	return nest(levels);
}
LADE_TASK_VOID_WITH(nest_on_a_small_stack, (.stack_bytes = 64u << 10), (int, levels))

IN_TASK(composites_may_lie_in_one_another_128_deep_also_on_the_smallest_stack)
{
	CHECK_EQ(nest(128), 0);
	CHECK_EQ(now_ms(), 5);
	CHECK_EQ(lade_join(lade_do(nest_on_a_small_stack, 128)), 0);
	CHECK_EQ(now_ms(), 10);
}

IN_TASK(composites_more_than_128_deep_end_the_process)
{
	(void)!nest(129);
}

IN_TASK(a_failure_deep_in_a_fold_cancels_all_of_it)
{
	static struct end_after_task tasks[100];
	static struct lade_join_task fold[100];

	for (int i = 0; i < 100; i++)
		tasks[i] = end_after_task(1000, 0);
	tasks[0] = end_after_task(10, -EIO);
	fold[0] = lade_join_task(&tasks[0]);
	for (int i = 1; i < 100; i++)
		fold[i] = lade_join_task(&fold[i - 1], &tasks[i]);
	CHECK_EQ(lade_join(&fold[99]), -EIO);
	CHECK_EQ(now_ms(), 10);
	for (int i = 1; i < 100; i++) {
		CHECK_EQ(lade_status(&tasks[i]), -ECANCELED);
		CHECK_EQ(lade_status(&fold[i]), -EIO);
	}
}

/* Cancelled by name */

IN_TASK(a_composite_cancelled_before_its_start_runs_no_member)
{
	struct make_task a = make_task(10, 1), b = make_task(10, 2);
	struct lade_join_task both = lade_join_task(&a, &b);
	struct tell_after_task c = tell_after_task("c", 20, 0);
	int rc = 0;

	lade_cancel(&both, lade_ns(0));
	lade_scope(s, &rc) {
		lade_start(&s, &both);
		lade_start(&s, &c);
	}
	CHECK_EQ(rc, 0);
	CHECK_EQ(lade_status(&both), -ECANCELED);
	CHECK_STR(slate, "dropped:1 dropped:2 c:0");
}

IN_TASK(a_composite_cancelled_after_its_start_cancels_its_members_and_nobody_else)
{
	struct tell_after_task a = tell_after_task("a", 1000, 0);
	struct stubborn_task b = stubborn_task(30, 0);
	struct lade_join_task both = lade_join_task(&a, &b);
	struct tell_after_task c = tell_after_task("c", 20, 0);
	int rc = 0;

	lade_scope(s, &rc) {
		lade_start(&s, &both);
		lade_start(&s, &c);
		CHECK_EQ(lade_sleep(lade_ms(10)), 0);
		lade_cancel(&both, lade_ns(0));
		CHECK_EQ(lade_wait(&both), 0);
	}
	CHECK_EQ(rc, 0);
	CHECK_EQ(now_ms(), 30);
	CHECK_EQ(lade_status(&both), -ECANCELED);
	CHECK_STR(slate, "a:-125 c:0");
}

IN_TASK(a_composite_cancelled_before_its_members_first_ran_still_ends)
{
	struct tell_after_task a = tell_after_task("a", 1000, 0);
	struct lade_race_ok_task race = lade_race_ok_task(&a, lade_do(end_after, 50, 0));
	int rc = 0;

	lade_scope(s, &rc) {
		lade_start(&s, &race);
		lade_cancel(&race, lade_ns(0));
	}
	CHECK_EQ(rc, 0);
	CHECK_EQ(now_ms(), 0);
	CHECK_EQ(lade_status(&race), -ECANCELED);
	CHECK_EQ(race.winner, -1);
}

static int watches(void)
{
	while (!lade_stopping())
		if (lade_sleep(lade_ms(1)) < 0)
			return -ECANCELED;
	write_down("soft:%d", (int)now_ms());
	return lade_sleep(lade_ms(1000));
}
LADE_TASK_VOID(watches)

IN_TASK(a_composite_cancelled_with_a_grace_is_soft_first)
{
	struct watches_task a = watches_task();
	struct lade_join_task one = lade_join_task(&a);
	int rc = 0;

	lade_scope(s, &rc) {
		lade_start(&s, &one);
		CHECK_EQ(lade_sleep(lade_us(10500)), 0);
		lade_cancel(&one, lade_ms(20));
		CHECK_EQ(lade_wait(&one), 0);
		CHECK_EQ(now_ms(), 30);
	}
	CHECK_EQ(rc, 0);
	CHECK_EQ(lade_status(&one), -ECANCELED);
	CHECK_STR(slate, "soft:11");
}

IN_TASK(a_cancelled_composite_that_completed_anyway_is_a_success)
{
	struct stubborn_task a = stubborn_task(20, 0), b = stubborn_task(30, 0);
	struct lade_join_task both = lade_join_task(&a, &b);
	int rc = 0;

	lade_scope(s, &rc) {
		lade_start(&s, &both);
		CHECK_EQ(lade_yield(), 0);
		lade_cancel(&both, lade_ns(0));
	}
	CHECK_EQ(rc, 0);
	CHECK_EQ(lade_status(&both), 0);
	CHECK_EQ(now_ms(), 30);
}

IN_TASK(a_composite_started_in_a_cancelled_scope_gives_up_its_members_arguments)
{
	struct make_task a = make_task(10, 1), b = make_task(10, 2), c = make_task(10, 3);
	struct lade_join_task inner = lade_join_task(&a, &b);
	struct lade_race_ok_task outer = lade_race_ok_task(&inner, &c);
	int rc = 0;

	lade_scope(s, &rc) {
		lade_cancel(&s, lade_ns(0));
		lade_start(&s, &outer);
	}
	CHECK_EQ(rc, 0);
	CHECK_EQ(lade_status(&outer), -ECANCELED);
	CHECK_EQ(lade_status(&inner), -ECANCELED);
	CHECK_STR(slate, "dropped:1 dropped:2 dropped:3");
}

IN_TASK(a_member_of_a_composite_is_cancelled_by_name)
{
	struct tell_after_task a = tell_after_task("a", 1000, 0);
	struct tell_after_task b = tell_after_task("b", 20, 0);
	struct lade_race_ok_task race = lade_race_ok_task(&a, &b);
	int rc = 0;

	lade_scope(s, &rc) {
		lade_start(&s, &race);
		CHECK_EQ(lade_yield(), 0);
		lade_cancel(&a, lade_ns(0));
	}
	CHECK_EQ(rc, 0);
	CHECK_EQ(race.winner, 1);
	CHECK_STR(slate, "a:-125 b:0");
}

IN_TASK(a_composite_has_no_stack_of_its_own)
{
	struct end_after_task a = end_after_task(10, 0), b = end_after_task(10, 0);
	struct lade_join_task both = lade_join_task(&a, &b);
	int rc = 0;

	lade_scope(s, &rc) {
		uint64_t before = lade_cur->number;

		lade_start(&s, &both);
		CHECK_EQ(both.head.ctl->number, before + 1);
		CHECK(both.head.ctl == &both.ctl);
		CHECK(!both.ctl.context.sp);
	}
	CHECK_EQ(rc, 0);
}

IN_LOOP(a_composite_takes_no_stack_from_the_limit, .stacks_max = 3)
{
	struct end_after_task a = end_after_task(10, 0), b = end_after_task(10, 0);
	struct lade_join_task both = lade_join_task(&a, &b);

	CHECK_EQ(lade_join(&both), 0);
}

static void a_composite_is_the_root_task_of_a_loop(void)
{
	struct end_after_task a = end_after_task(10, 0), b = end_after_task(20, 0);
	struct lade_join_task both = lade_join_task(&a, &b);
	struct huge_task c = huge_task();
	struct lade_race_task race = lade_race_task(&c);
	struct lade_loop *loop;

	NEED_EQ(lade_loop_new(&(struct lade_loop_config){ .backend = "virtual" }, &loop), 0);
	CHECK_EQ(lade_loop_run_at(loop, &both.head, LADE_SITE), 0);
	CHECK_EQ(lade_status(&b), 0);
	CHECK_EQ(lade_loop_run_at(loop, &race.head, LADE_SITE), -ENOMEM);
	lade_loop_free(loop);
}

int main(void)
{
	TAP(a_composite_starts_nothing_until_it_is_started);
	TAP(a_join_task_has_the_status_that_the_join_would_return);
	TAP(a_failed_join_task_disposes_of_the_values_that_were_made);
	TAP(a_race_task_has_status_0_and_its_winner_when_the_winner_succeeded);
	TAP(a_race_task_whose_winner_has_a_positive_status_has_status_0);
	TAP(a_race_task_that_a_failure_won_has_its_status_and_no_winner);
	TAP(a_race_ok_task_of_failures_has_the_last_one_and_no_winner);
	TAP(a_race_task_disposes_of_each_completed_loser_once);
	TAP(a_race_task_whose_member_finds_no_stack_is_decided_at_once);
	TAP(a_composite_of_members_without_stacks_fails);
	TAP(a_composite_is_raced);
	TAP(a_composite_is_given_a_deadline);
	TAP(a_composite_is_started_in_a_scope_and_awaited_again_and_again);
	TAP(a_composite_that_fails_in_a_scope_cancels_its_siblings);
	TAP(a_composite_whose_member_gives_in_unasked_has_failed_its_parent);
	TAP(a_composite_is_a_daemon);
	TAP(composites_of_composites_end_from_inside_out);
	TAP(a_join_folded_over_a_hundred_tasks_is_one_join);
	TAP(composites_may_lie_in_one_another_128_deep_also_on_the_smallest_stack);
	TAP_DIES(composites_more_than_128_deep_end_the_process,
		 "composites lie in one another more than 128 deep; the innermost one allowed was "
		 "made at ");
	TAP(a_failure_deep_in_a_fold_cancels_all_of_it);
	TAP(a_composite_cancelled_before_its_start_runs_no_member);
	TAP(a_composite_cancelled_after_its_start_cancels_its_members_and_nobody_else);
	TAP(a_composite_cancelled_before_its_members_first_ran_still_ends);
	TAP(a_composite_cancelled_with_a_grace_is_soft_first);
	TAP(a_cancelled_composite_that_completed_anyway_is_a_success);
	TAP(a_composite_started_in_a_cancelled_scope_gives_up_its_members_arguments);
	TAP(a_member_of_a_composite_is_cancelled_by_name);
	TAP(a_composite_has_no_stack_of_its_own);
	TAP(a_composite_takes_no_stack_from_the_limit);
	TAP(a_composite_is_the_root_task_of_a_loop);
	return tap_done();
}
