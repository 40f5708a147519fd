/* SPDX-License-Identifier: MIT */
/* race_test.c - who wins, who is cancelled, and what becomes of the values of the losers. */

#include <lade/join.h>

#include "run.h"

static void give_back(long *value)
{
	write_down("disposed:%ld", *value);
}

static void drop(int64_t ms, long value);

/* Completes after @ms whatever it is asked, with a value that must be given back. */
static int make(int64_t ms, long value, long *ret)
{
	lade_shield(lade_s(100))
		(void)!lade_sleep(lade_ms(ms));
	*ret = value;
	return 0;
}
LADE_TASK_WITH(make, long, (.dispose = give_back, .drop_args = drop), (int64_t, ms), (long, value))

static void drop(int64_t ms, long value)
{
	(void)ms;
	write_down("dropped:%ld", value);
}

static int huge(int64_t ms, int status)
{
	return end_after(ms, status);
}
LADE_TASK_VOID_WITH(huge, (.stack_bytes = 1u << 30), (int64_t, ms), (int, status))

/* race_ok */

IN_TASK(race_ok_returns_the_index_of_the_first_to_succeed)
{
	struct value_after_task a = value_after_task(30, 1), b = value_after_task(10, 2);
	struct value_after_task c = value_after_task(20, 3);

	CHECK_EQ(lade_race_ok(&a, &b, &c), 1);
	CHECK_EQ(now_ms(), 10);
	CHECK_EQ(lade_value(&b), 2);
	CHECK_EQ(lade_status(&a), -ECANCELED);
	CHECK_EQ(lade_status(&c), -ECANCELED);
	CHECK_EQ(lade_yield(), 0);
}

IN_TASK(race_ok_goes_on_after_a_failure)
{
	struct tell_after_task a = tell_after_task("a", 10, -EIO);
	struct tell_after_task b = tell_after_task("b", 20, 0);

	CHECK_EQ(lade_race_ok(&a, &b), 1);
	CHECK_EQ(now_ms(), 20);
	CHECK_STR(slate, "a:-5 b:0");
}

IN_TASK(race_ok_is_won_by_a_positive_status_too)
{
	struct end_after_task a = end_after_task(10, 7), b = end_after_task(20, 0);

	CHECK_EQ(lade_race_ok(&b, &a), 1);
	CHECK_EQ(lade_status(&a), 7);
}

IN_TASK(race_ok_of_failures_alone_returns_the_one_that_came_last)
{
	CHECK_EQ(lade_race_ok(lade_do(end_after, 20, -EPIPE), lade_do(end_after, 30, -EIO),
			      lade_do(end_after, 10, -ENOSPC)),
		 -EIO);
	CHECK_EQ(now_ms(), 30);
}

IN_TASK(race_ok_of_one_is_that_task)
{
	struct value_after_task a = value_after_task(10, 1);
	struct end_after_task b = end_after_task(10, -EIO);

	CHECK_EQ(lade_race_ok(&a), 0);
	CHECK_EQ(lade_race_ok(&b), -EIO);
}

/* race */

IN_TASK(race_returns_the_index_of_the_first_to_end)
{
	struct value_after_task a = value_after_task(30, 1), b = value_after_task(10, 2);

	CHECK_EQ(lade_race(&a, &b), 1);
	CHECK_EQ(now_ms(), 10);
	CHECK_EQ(lade_status(&a), -ECANCELED);
	CHECK_EQ(lade_value(&b), 2);
}

IN_TASK(a_failure_can_win_a_race)
{
	struct tell_after_task a = tell_after_task("a", 20, 0);
	struct tell_after_task b = tell_after_task("b", 10, -EIO);

	CHECK_EQ(lade_race(&a, &b), 1);
	CHECK_EQ(lade_status(&b), -EIO);
	CHECK_STR(slate, "b:-5 a:-125");
}

IN_TASK(the_others_of_a_race_are_waited_for)
{
	struct end_after_task a = end_after_task(10, 0);
	struct stubborn_task b = stubborn_task(50, -EIO);

	CHECK_EQ(lade_race_ok(&a, &b), 0);
	CHECK_EQ(now_ms(), 50);
	CHECK_EQ(lade_status(&b), -EIO);
	a = end_after_task(10, 0);
	b = stubborn_task(50, -EIO);
	CHECK_EQ(lade_race(&a, &b), 0);
	CHECK_EQ(now_ms(), 100);
}

/* -ECANCELED */

static int ends_cancelled(int64_t ms)
{
	return end_after(ms, -ECANCELED);
}
LADE_TASK_VOID(ends_cancelled, (int64_t, ms))

IN_TASK(an_end_with_ecanceled_does_not_win)
{
	struct end_after_task a = end_after_task(1000, 0), b = end_after_task(20, -EIO);

	lade_cancel(&a, lade_ns(0));
	CHECK_EQ(lade_race(&a, &b), 1);
	CHECK_EQ(now_ms(), 20);
	CHECK_EQ(lade_race(lade_do(ends_cancelled, 1), lade_do(end_after, 20, 0)), 1);
	CHECK_EQ(lade_race_ok(lade_do(ends_cancelled, 1), lade_do(end_after, 20, 0)), 1);
}

IN_TASK(a_race_of_cancelled_tasks_alone_returns_ecanceled)
{
	struct end_after_task a = end_after_task(1000, 0), b = end_after_task(1000, 0);

	lade_cancel(&a, lade_ns(0));
	lade_cancel(&b, lade_ns(0));
	CHECK_EQ(lade_race(&a, &b), -ECANCELED);
	CHECK_EQ(now_ms(), 0);
	a = b = end_after_task(1000, 0);
	CHECK_EQ(lade_within(lade_ms(10), lade_race_ok(&a, &b)), -ETIME);
	a = b = end_after_task(1000, 0);
	CHECK_EQ(lade_within(lade_ms(10), lade_race(&a, &b)), -ETIME);
	CHECK_EQ(now_ms(), 20);
}

IN_TASK(race_ok_returns_a_failure_rather_than_ecanceled_if_one_failed)
{
	struct end_after_task a = end_after_task(1000, 0), b = end_after_task(20, -EIO);

	lade_cancel(&a, lade_ns(0));
	CHECK_EQ(lade_race_ok(&a, &b), -EIO);
}

IN_TASK(race_ok_keeps_the_last_failure_although_an_ecanceled_came_after_it)
{
	CHECK_EQ(lade_race_ok(lade_do(end_after, 10, -EIO), lade_do(ends_cancelled, 20)), -EIO);
	CHECK_EQ(now_ms(), 20);
}

IN_TASK(a_race_that_begins_cancelled_runs_nothing_and_gives_up_the_arguments)
{
	struct make_task a = make_task(5, 1), b = make_task(8, 2);
	int rc = 0;

	lade_scope(s, &rc) {
		lade_cancel(&s, lade_ns(0));
		CHECK_EQ(lade_race_ok(&a, &b), -ECANCELED);
	}
	CHECK_STR(slate, "dropped:1 dropped:2");
	CHECK_EQ(now_ms(), 0);
}

IN_TASK(a_cancelled_race_waits_for_all_its_tasks)
{
	struct stubborn_task a = stubborn_task(40, -EIO), b = stubborn_task(30, -EPIPE);

	CHECK_EQ(lade_within(lade_ms(10), lade_race_ok(&a, &b)), -EIO);
	CHECK_EQ(now_ms(), 40);
}

IN_TASK(a_task_that_completes_although_the_race_was_cancelled_wins_it)
{
	struct make_task a = make_task(40, 1), b = make_task(30, 2);

	CHECK_EQ(lade_within(lade_ms(10), lade_race_ok(&a, &b)), 1);
	CHECK_EQ(now_ms(), 40);
	CHECK_EQ(lade_value(&b), 2);
	CHECK_STR(slate, "disposed:1");
}

IN_TASK(a_deadline_that_ties_with_the_winner_gives_the_winner)
{
	struct value_after_task a = value_after_task(10, 1), b = value_after_task(1000, 2);

	CHECK_EQ(lade_within(lade_ms(10), lade_race_ok(&a, &b)), 0);
	CHECK_EQ(lade_value(&a), 1);
}

/* Ties */

IN_TASK(in_a_tie_the_lowest_index_wins)
{
	struct value_after_task a = value_after_task(20, 1), b = value_after_task(10, 2);
	struct value_after_task c = value_after_task(10, 3);

	CHECK_EQ(lade_race_ok(&a, &b, &c), 1);
	a = value_after_task(10, 1);
	b = value_after_task(10, 2);
	CHECK_EQ(lade_race(&b, &a), 0);
	CHECK_EQ(lade_value(&a) + lade_value(&b), 3);
}

static int yields(int times, int status)
{
	int rc = 0;

	for (int i = 0; i < times && rc == 0; i++)
		rc = lade_yield();
	return rc < 0 ? rc : status;
}
LADE_TASK_VOID(yields, (int, times), (int, status))

IN_TASK(who_ends_later_but_before_the_race_is_resumed_ties)
{
	struct yields_task a = yields_task(0, 0), b = yields_task(0, 0);

	CHECK_EQ(lade_race_ok(&a, &b), 0);
	CHECK_EQ(lade_status(&a), 0);
	CHECK_EQ(lade_status(&b), 0);
}

IN_TASK(a_failure_that_ties_with_a_success_does_not_win_race_ok)
{
	struct yields_task a = yields_task(0, -EIO), b = yields_task(0, 0);

	CHECK_EQ(lade_race_ok(&a, &b), 1);
	a = yields_task(0, -EIO);
	b = yields_task(0, 0);
	CHECK_EQ(lade_race(&a, &b), 0);
}

IN_TASK(a_tie_is_won_by_a_lower_index_that_ended_later)
{
	struct yields_task a = yields_task(1, 0), b = yields_task(0, 0);

	CHECK_EQ(lade_race_ok(&a, &b), 0);
	CHECK_EQ(lade_status(&b), 0);
	a = yields_task(9, 0);
	b = yields_task(0, 0);
	CHECK_EQ(lade_race_ok(&a, &b), 1);
	CHECK_EQ(lade_status(&a), -ECANCELED);
}

/* The values of the losers */

IN_TASK(a_loser_that_completed_keeps_its_value_and_status)
{
	struct value_after_task a = value_after_task(10, 1), b = value_after_task(10, 2);

	CHECK_EQ(lade_race_ok(&a, &b), 0);
	CHECK_EQ(lade_status(&b), 0);
	CHECK_EQ(lade_value(&b), 2);
}

IN_TASK(race_ok_disposes_of_each_completed_loser_once_before_it_returns)
{
	struct make_task a = make_task(30, 1), b = make_task(10, 2), c = make_task(20, 3);
	struct end_after_task d = end_after_task(1000, 0);

	CHECK_EQ(lade_race_ok(&a, &b, &c, &d), 1);
	CHECK_STR(slate, "disposed:1 disposed:3");
	CHECK_EQ(lade_status(&a), -ECANCELED);
	CHECK_EQ(lade_status(&c), -ECANCELED);
	CHECK_EQ(lade_value(&b), 2);
}

IN_TASK(race_disposes_of_each_completed_loser_once_also_when_a_failure_wins)
{
	struct make_task a = make_task(30, 1), b = make_task(20, 2);
	struct end_after_task c = end_after_task(10, -EIO);

	CHECK_EQ(lade_race(&a, &b, &c), 2);
	CHECK_STR(slate, "disposed:1 disposed:2");
	CHECK_EQ(lade_status(&c), -EIO);
}

IN_TASK(dispose_of_a_loser_is_given_ret_where_it_was_written_with_do)
{
	long first = 0, second = 0;

	CHECK_EQ(lade_race_ok(lade_do(make, 10, 1, &first), lade_do(make, 10, 2, &second)), 0);
	CHECK_STR(slate, "disposed:2");
	CHECK_EQ(first, 1);
	CHECK_EQ(second, 2);
}

/* No memory */

IN_TASK(a_race_whose_members_find_no_stack_is_won_by_the_first)
{
	struct huge_task a = huge_task(10, 0), b = huge_task(10, 0);

	CHECK_EQ(lade_race(&a, &b), 0);
	CHECK_EQ(lade_status(&a), -ENOMEM);
	CHECK_EQ(lade_status(&b), -ENOMEM);
	CHECK_EQ(now_ms(), 0);
}

IN_TASK(a_member_that_finds_no_stack_wins_a_race_at_once)
{
	struct end_after_task a = end_after_task(1000, 0);
	struct huge_task b = huge_task(10, 0);

	CHECK_EQ(lade_race(&a, &b), 1);
	CHECK_EQ(lade_status(&b), -ENOMEM);
	CHECK_EQ(now_ms(), 0);
	b = huge_task(10, 0);
	a = end_after_task(1000, 0);
	CHECK_EQ(lade_race(&b, &a), 0);
	CHECK_EQ(now_ms(), 0);
	CHECK_EQ(lade_status(&a), -ECANCELED);
}

IN_TASK(race_ok_without_stacks_returns_enomem)
{
	struct huge_task a = huge_task(10, 0), b = huge_task(10, 0);

	CHECK_EQ(lade_race_ok(&a, &b), -ENOMEM);
	a = huge_task(10, 0);
	CHECK_EQ(lade_race_ok(&a, lade_do(end_after, 10, 0)), 1);
	CHECK_EQ(now_ms(), 10);
}

static int asks_why(int64_t ms)
{
	int rc = lade_sleep(lade_ms(ms));

	if (rc == -ECANCELED)
		write_down("%s, %s by %s", lade_reason_name(lade_why().kind),
			   lade_reason_name(lade_why().root), lade_why().task);
	return rc;
}
LADE_TASK_VOID(asks_why, (int64_t, ms))

IN_TASK(a_loser_can_ask_why_it_is_cancelled)
{
	CHECK_EQ(lade_race_ok(lade_do(asks_why, 1000), lade_do(end_after, 10, 0)), 1);
	CHECK_STR(slate, "race lost, race lost by end_after");
}

/* A task that waits for another, which asks. */
static int has_one_who_asks(void)
{
	return lade_join(lade_do(asks_why, 1000));
}
LADE_TASK_VOID(has_one_who_asks)

IN_TASK(a_child_of_a_loser_is_told_of_its_parent_and_of_the_race)
{
	CHECK_EQ(lade_race_ok(lade_do(has_one_who_asks), lade_do(end_after, 10, 0)), 1);
	CHECK_STR(slate, "parent, race lost by end_after");
}

IN_TASK(members_of_a_composite_that_lost_are_the_losers)
{
	struct lade_join_task both = lade_join_task(lade_do(asks_why, 1000),
						    lade_do(end_after, 1000, 0));
	struct lade_race_task deep = lade_race_task(&both);

	CHECK_EQ(lade_race_ok(&deep, lade_do(end_after, 10, 0)), 1);
	CHECK_STR(slate, "race lost, race lost by end_after");
}

IN_TASK(a_member_whose_race_is_cancelled_from_outside_has_not_lost_it)
{
	CHECK_EQ(lade_within(lade_ms(5), lade_race_ok(lade_do(asks_why, 1000),
						      lade_do(end_after, 10, 0))),
		 -ETIME);
	CHECK_STR(slate, "parent, deadline by run_root");
}

IN_TASK(a_race_within_a_race_cancels_both)
{
	struct tell_after_task a = tell_after_task("a", 1000, 0);
	struct tell_after_task b = tell_after_task("b", 2000, 0);
	struct lade_race_ok_task inner = lade_race_ok_task(&a, &b);

	CHECK_EQ(lade_race_ok(&inner, lade_do(end_after, 10, 0)), 1);
	CHECK_EQ(now_ms(), 10);
	CHECK_EQ(lade_status(&inner), -ECANCELED);
	CHECK_EQ(inner.winner, -1);
	CHECK_EQ(lade_status(&a), -ECANCELED);
	CHECK_EQ(lade_status(&b), -ECANCELED);
}

int main(void)
{
	TAP(race_ok_returns_the_index_of_the_first_to_succeed);
	TAP(race_ok_goes_on_after_a_failure);
	TAP(race_ok_is_won_by_a_positive_status_too);
	TAP(race_ok_of_failures_alone_returns_the_one_that_came_last);
	TAP(race_ok_of_one_is_that_task);
	TAP(race_returns_the_index_of_the_first_to_end);
	TAP(a_failure_can_win_a_race);
	TAP(the_others_of_a_race_are_waited_for);
	TAP(an_end_with_ecanceled_does_not_win);
	TAP(a_race_of_cancelled_tasks_alone_returns_ecanceled);
	TAP(race_ok_returns_a_failure_rather_than_ecanceled_if_one_failed);
	TAP(race_ok_keeps_the_last_failure_although_an_ecanceled_came_after_it);
	TAP(a_race_that_begins_cancelled_runs_nothing_and_gives_up_the_arguments);
	TAP(a_cancelled_race_waits_for_all_its_tasks);
	TAP(a_task_that_completes_although_the_race_was_cancelled_wins_it);
	TAP(a_deadline_that_ties_with_the_winner_gives_the_winner);
	TAP(in_a_tie_the_lowest_index_wins);
	TAP(who_ends_later_but_before_the_race_is_resumed_ties);
	TAP(a_failure_that_ties_with_a_success_does_not_win_race_ok);
	TAP(a_tie_is_won_by_a_lower_index_that_ended_later);
	TAP(a_loser_that_completed_keeps_its_value_and_status);
	TAP(race_ok_disposes_of_each_completed_loser_once_before_it_returns);
	TAP(race_disposes_of_each_completed_loser_once_also_when_a_failure_wins);
	TAP(dispose_of_a_loser_is_given_ret_where_it_was_written_with_do);
	TAP(a_race_whose_members_find_no_stack_is_won_by_the_first);
	TAP(a_member_that_finds_no_stack_wins_a_race_at_once);
	TAP(race_ok_without_stacks_returns_enomem);
	TAP(a_loser_can_ask_why_it_is_cancelled);
	TAP(a_child_of_a_loser_is_told_of_its_parent_and_of_the_race);
	TAP(members_of_a_composite_that_lost_are_the_losers);
	TAP(a_member_whose_race_is_cancelled_from_outside_has_not_lost_it);
	TAP(a_race_within_a_race_cancels_both);
	return tap_done();
}
