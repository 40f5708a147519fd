/* SPDX-License-Identifier: MIT */
/* join_test.c - several tasks at once: what a join waits for, returns, and gives back. */

#include <lade/join.h>

#include "run.h"

/* A value that must be given back: how many are out, and how many were given back. */
static int made, disposed, args_dropped;

static void give_back(long *value)
{
	disposed++;
	write_down("disposed:%ld", *value);
}

static void drop(int64_t ms, long value);

static int make(int64_t ms, long value, long *ret)
{
	int rc = lade_sleep(lade_ms(ms));

	if (rc < 0)
		return rc;
	*ret = value;
	made++;
	return 0;
}
LADE_TASK_WITH(make, long, (.dispose = give_back, .drop_args = drop), (int64_t, ms), (long, value))

static void drop(int64_t ms, long value)
{
	(void)ms;
	args_dropped++;
	write_down("dropped:%ld", value);
}

static int name_after(int64_t ms, const char *name, const char **ret)
{
	int rc = lade_sleep(lade_ms(ms));

	if (rc == 0)
		*ret = name;
	return rc;
}
LADE_TASK(name_after, const char *, (int64_t, ms), (const char *, name))

IN_TASK(a_join_waits_for_tasks_of_any_result_types)
{
	const char *name = NULL;
	long number = 0;

	CHECK_EQ(lade_join(lade_do(value_after, 20, 42, &number),
			   lade_do(name_after, 10, "ada", &name), lade_do(end_after, 5, 0)),
		 0);
	CHECK_EQ(number, 42);
	CHECK_STR(name, "ada");
	CHECK_EQ(now_ms(), 20);
}

IN_TASK(a_join_of_one_runs_a_lone_task)
{
	struct value_after_task a = value_after_task(10, 5);

	CHECK_EQ(lade_join(&a), 0);
	CHECK_EQ(lade_value(&a), 5);
	CHECK_EQ(now_ms(), 10);
}

IN_TASK(a_join_takes_twelve_tasks)
{
	struct end_after_task t[12];

	for (int i = 0; i < 12; i++)
		t[i] = end_after_task(i + 1, i);
	CHECK_EQ(lade_join(&t[0], &t[1], &t[2], &t[3], &t[4], &t[5], &t[6], &t[7], &t[8], &t[9],
			   &t[10], &t[11]),
		 0);
	CHECK_EQ(now_ms(), 12);
	for (int i = 0; i < 12; i++)
		CHECK_EQ(lade_status(&t[i]), i);
}

IN_TASK(the_first_failure_cancels_the_others_and_is_returned)
{
	struct tell_after_task a = tell_after_task("a", 1000, 0);
	struct tell_after_task b = tell_after_task("b", 10, -EIO);
	struct tell_after_task c = tell_after_task("c", 20, -EPIPE);

	CHECK_EQ(lade_join(&a, &b, &c), -EIO);
	CHECK_EQ(now_ms(), 10);
	CHECK_EQ(lade_status(&a), -ECANCELED);
	CHECK_EQ(lade_status(&b), -EIO);
	CHECK_EQ(lade_status(&c), -ECANCELED);
	CHECK_EQ(lade_yield(), 0);
}

IN_TASK(the_tasks_that_a_failure_cancels_are_waited_for)
{
	struct end_after_task a = end_after_task(10, -EIO);
	struct stubborn_task b = stubborn_task(50, 0);

	CHECK_EQ(lade_join(&a, &b), -EIO);
	CHECK_EQ(now_ms(), 50);
	CHECK_EQ(lade_status(&b), 0);
}

IN_TASK(of_two_failures_the_first_is_returned)
{
	struct stubborn_task a = stubborn_task(20, -EPIPE), b = stubborn_task(10, -EIO);

	CHECK_EQ(lade_join(&a, &b), -EIO);
	CHECK_EQ(now_ms(), 20);
}

IN_TASK(after_a_join_each_task_keeps_its_status_and_value)
{
	struct value_after_task a = value_after_task(10, 1), b = value_after_task(5, 2);

	CHECK_EQ(lade_join(&a, &b), 0);
	for (int i = 0; i < 3; i++) {
		CHECK_EQ(lade_status(&a), 0);
		CHECK_EQ(lade_value(&a), 1);
		CHECK_EQ(lade_value(&b), 2);
		CHECK_EQ(lade_yield(), 0);
	}
	CHECK_EQ(lade_wait(&a), 0);
}

IN_TASK(a_value_is_kept_after_a_failed_join_where_its_type_has_no_dispose)
{
	struct value_after_task a = value_after_task(5, 1);
	struct end_after_task b = end_after_task(10, -EIO);

	CHECK_EQ(lade_join(&a, &b), -EIO);
	CHECK_EQ(lade_status(&a), 0);
	CHECK_EQ(lade_value(&a), 1);
}

IN_TASK(a_failed_join_disposes_of_every_value_that_was_made)
{
	struct make_task a = make_task(5, 1), b = make_task(8, 2), c = make_task(1000, 3);
	struct end_after_task d = end_after_task(10, -EIO);

	CHECK_EQ(lade_join(&a, &b, &c, &d), -EIO);
	CHECK_STR(slate, "disposed:1 disposed:2");
	CHECK_EQ(lade_status(&a), -ECANCELED);
	CHECK_EQ(lade_status(&b), -ECANCELED);
	CHECK_EQ(lade_status(&c), -ECANCELED);
	CHECK_EQ(lade_status(&d), -EIO);
}

IN_TASK(a_join_that_succeeds_disposes_of_nothing)
{
	struct make_task a = make_task(5, 1), b = make_task(8, 2);

	CHECK_EQ(lade_join(&a, &b), 0);
	CHECK_STR(slate, "");
	CHECK_EQ(lade_value(&a) + lade_value(&b), 3);
}

IN_TASK(dispose_is_given_ret_where_the_task_was_written_with_do)
{
	long value = 0;

	CHECK_EQ(lade_join(lade_do(make, 5, 9, &value), lade_do(end_after, 10, -EIO)), -EIO);
	CHECK_STR(slate, "disposed:9");
	CHECK_EQ(value, 9);
}

IN_TASK(join_all_cancels_nobody_disposes_of_nothing_and_returns_the_first_failure)
{
	struct make_task a = make_task(50, 1);
	struct tell_after_task b = tell_after_task("b", 20, -EPIPE);
	struct tell_after_task c = tell_after_task("c", 10, -EIO);

	CHECK_EQ(lade_join_all(&a, &b, &c), -EIO);
	CHECK_EQ(now_ms(), 50);
	CHECK_EQ(lade_value(&a), 1);
	CHECK_EQ(lade_status(&b), -EPIPE);
	CHECK_STR(slate, "c:-5 b:-32");
}

IN_TASK(join_all_of_tasks_that_succeed_is_a_success)
{
	CHECK_EQ(lade_join_all(lade_do(end_after, 5, 0), lade_do(end_after, 9, 3)), 0);
	CHECK_EQ(now_ms(), 9);
}

/* Cancelled in every phase */

IN_TASK(a_join_that_begins_cancelled_runs_nothing_and_gives_up_the_arguments)
{
	struct make_task a = make_task(5, 1), b = make_task(8, 2);
	int rc = 0;

	lade_scope(s, &rc) {
		lade_cancel(&s, lade_ns(0));
		CHECK_EQ(lade_join(&a, &b), -ECANCELED);
	}
	CHECK_STR(slate, "dropped:1 dropped:2");
	CHECK_EQ(lade_status(&a), -ECANCELED);
	CHECK_EQ(lade_status(&b), -ECANCELED);
	CHECK_EQ(now_ms(), 0);
}

IN_TASK(a_join_that_is_cancelled_while_it_waits_waits_for_all_its_tasks)
{
	struct end_after_task a = end_after_task(1000, 0);
	struct stubborn_task b = stubborn_task(40, 0);

	CHECK_EQ(lade_within(lade_ms(10), lade_join(&a, &b)), -ETIME);
	CHECK_EQ(now_ms(), 40);
	CHECK_EQ(lade_status(&a), -ECANCELED);
	CHECK_EQ(lade_status(&b), 0);
}

IN_TASK(the_statuses_after_a_cancelled_join_stand)
{
	struct value_after_task a = value_after_task(5, 1), b = value_after_task(1000, 2);

	CHECK_EQ(lade_within(lade_ms(10), lade_join(&a, &b)), -ETIME);
	CHECK_EQ(lade_status(&a), 0);
	CHECK_EQ(lade_value(&a), 1);
	CHECK_EQ(lade_status(&b), -ECANCELED);
}

IN_TASK(a_cancelled_join_disposes_of_the_values_that_were_made)
{
	struct make_task a = make_task(5, 1), b = make_task(1000, 2);

	CHECK_EQ(lade_within(lade_ms(10), lade_join(&a, &b)), -ETIME);
	CHECK_STR(slate, "disposed:1");
	CHECK_EQ(lade_status(&a), -ECANCELED);
}

IN_TASK(a_deadline_that_ties_with_the_last_end_gives_the_result)
{
	struct value_after_task a = value_after_task(5, 1), b = value_after_task(10, 2);

	CHECK_EQ(lade_within(lade_ms(10), lade_join(&a, &b)), 0);
	CHECK_EQ(lade_value(&a) + lade_value(&b), 3);
	CHECK_EQ(lade_yield(), 0);
}

static int cancel_at(struct lade_scope *scope, struct lade_task *task)
{
	int rc = lade_wait_at(task, LADE_SITE);

	lade_cancel(scope, lade_ns(0));
	return rc;
}
LADE_TASK_VOID(cancel_at, (struct lade_scope *, scope), (struct lade_task *, task))

static int joins_two(struct value_after_task *a, struct value_after_task *b)
{
	int rc = lade_join(a, b);

	write_down("join:%d", rc);
	CHECK_EQ(lade_yield(), -ECANCELED);
	return rc;
}
LADE_TASK_VOID(joins_two, (struct value_after_task *, a), (struct value_after_task *, b))

IN_TASK(a_cancel_that_comes_after_the_last_end_leaves_the_join_its_success)
{
	struct value_after_task a = value_after_task(10, 1), b = value_after_task(5, 2);
	struct joins_two_task join = joins_two_task(&a, &b);
	struct cancel_at_task cancel = { 0 };
	int rc = 0;

	lade_scope(s, &rc) {
		cancel = cancel_at_task(&s, &a.head);
		lade_start(&s, &join);
		CHECK_EQ(lade_yield(), 0);
		lade_start(&s, &cancel);
	}
	CHECK_EQ(rc, 0);
	CHECK_EQ(lade_status(&join), 0);
	CHECK_STR(slate, "join:0");
}

IN_TASK(a_member_cancelled_by_name_cancels_nobody_but_makes_the_join_cancelled)
{
	struct make_task a = make_task(1000, 1), b = make_task(20, 2);
	struct tell_after_task c = tell_after_task("c", 30, 0);

	lade_cancel(&a, lade_ns(0));
	CHECK_EQ(lade_join(&a, &b, &c), -ECANCELED);
	CHECK_EQ(now_ms(), 30);
	CHECK_STR(slate, "dropped:1 c:0 disposed:2");
}

static int cancel_task_later(struct make_task *task, int64_t ms)
{
	int rc = lade_sleep(lade_ms(ms));

	lade_cancel(task, lade_ns(0));
	return rc;
}
LADE_TASK_VOID(cancel_task_later, (struct make_task *, task), (int64_t, ms))

IN_TASK(a_member_cancelled_by_name_while_it_runs_makes_the_join_cancelled)
{
	struct make_task a = make_task(1000, 1), b = make_task(20, 2);
	struct cancel_task_later_task c = cancel_task_later_task(&a, 10);

	CHECK_EQ(lade_join(&a, &b, &c), -ECANCELED);
	CHECK_EQ(now_ms(), 20);
	CHECK_STR(slate, "disposed:2");
}

IN_TASK(a_member_that_fails_before_the_others_start_cancels_those_too)
{
	struct make_task a = make_task(5, 1), b = make_task(8, 2);
	struct end_after_task c = end_after_task(0, -EIO);

	lade_cancel(&a, lade_ns(0));
	CHECK_EQ(lade_join(&c, &b), -EIO);
	CHECK_EQ(lade_status(&b), -ECANCELED);
}

IN_TASK(success_ranks_below_an_error_and_an_error_below_cancelled)
{
	struct stubborn_task late = stubborn_task(20, -EIO);
	struct end_after_task cut = end_after_task(1000, 0);

	CHECK_EQ(lade_join(lade_do(end_after, 5, 0), lade_do(end_after, 6, -EIO)), -EIO);
	CHECK_EQ(lade_within(lade_ms(3), lade_join(lade_do(end_after, 1, 0),
						   lade_do(end_after, 9, 0))),
		 -ETIME);
	CHECK_EQ(lade_within(lade_ms(3), lade_join(&cut, &late)), -ETIME);
}

IN_TASK(success_error_and_cancelled_rank_alike_in_join_all_and_in_composites)
{
	struct end_after_task cut[2] = { end_after_task(1000, 0), end_after_task(1000, 0) };
	struct stubborn_task late[2] = { stubborn_task(20, -EIO), stubborn_task(20, -EIO) };
	struct lade_join_task j = lade_join_task(&cut[1], &late[1]);
	struct lade_join_task failing = lade_join_task(lade_do(end_after, 5, 0),
						       lade_do(end_after, 6, -EIO));

	CHECK_EQ(lade_join_all(lade_do(end_after, 5, 0), lade_do(end_after, 6, -EIO)), -EIO);
	CHECK_EQ(lade_join(&failing), -EIO);
	CHECK_EQ(lade_within(lade_ms(3), lade_join_all(lade_do(end_after, 1, 0),
						       lade_do(end_after, 9, 0))),
		 -ETIME);
	CHECK_EQ(lade_within(lade_ms(3), lade_join_all(&cut[0], &late[0])), -ETIME);
	CHECK_EQ(lade_within(lade_ms(3), lade_join(&j)), -ETIME);
	CHECK_EQ(lade_status(&j), -ECANCELED);
}

/* No memory */

static int sleeps_with_a_huge_stack(int64_t ms)
{
	return end_after(ms, 0);
}
LADE_TASK_VOID_WITH(sleeps_with_a_huge_stack, (.stack_bytes = 1u << 30), (int64_t, ms))

IN_TASK(a_member_for_which_no_stack_can_be_had_fails_the_join)
{
	struct make_task a = make_task(5, 1), b = make_task(8, 2);

	CHECK_EQ(lade_join(&a, lade_do(sleeps_with_a_huge_stack, 5), &b), -ENOMEM);
	CHECK_EQ(now_ms(), 0);
	CHECK_EQ(lade_status(&a), -ECANCELED);
	CHECK_EQ(lade_status(&b), -ECANCELED);
	CHECK_STR(slate, "dropped:2");
}

static void with_few_stacks_body(void)
{
	struct make_task t[4];
	int rc;

	for (int i = 0; i < 4; i++)
		t[i] = make_task(i + 1, i);
	made = disposed = args_dropped = 0;
	rc = lade_join(&t[0], &t[1], &t[2], &t[3]);
	CHECK(rc == 0 || rc == -ENOMEM);
	CHECK_EQ(rc == 0 ? 0 : made, disposed);
	CHECK_EQ(rc == 0, made == 4);
	for (int i = 0; i < 4; i++)
		CHECK_EQ(rc == 0, lade_status(&t[i]) == 0);
	write_down("rc:%d", rc);
}

static void a_join_with_too_few_stacks_at_each_start_loses_and_leaks_nothing(void)
{
	for (unsigned stacks = 1; stacks <= 5; stacks++) {
		run_with(&(struct lade_loop_config){ .backend = "virtual",
						     .stacks_max = stacks },
			 with_few_stacks_body);
		CHECK(strstr(slate, stacks < 5 ? "rc:-12" : "rc:0"));
		CHECK_EQ(args_dropped, stacks < 5 ? 5 - (int)stacks : 0);
	}
}

/* Spins on joins that cannot have a stack: the one who holds it must have its turn. */
static int holds_a_stack(void)
{
	int rc = 0;

	for (int i = 0; rc == 0 && i < 3; i++)
		rc = lade_yield();
	write_down("released");
	return rc;
}
LADE_TASK_VOID(holds_a_stack)

static void joins_that_fail_at_once_body(void)
{
	struct holds_a_stack_task a = holds_a_stack_task();
	int rc = 0, tries = 0, join_rc = -ENOMEM;

	lade_scope(s, &rc) {
		lade_start(&s, &a);
		while (join_rc == -ENOMEM && ++tries < 10000)
			join_rc = lade_join(lade_do(end_after, 0, 0));
		CHECK_EQ(join_rc, 0);
	}
}

static void joins_that_fail_at_once_let_the_others_run_when_the_inline_budget_is_spent(void)
{
	run_with(&(struct lade_loop_config){ .backend = "virtual", .stacks_max = 2 },
		 joins_that_fail_at_once_body);
}

IN_TASK(a_race_and_a_join_inside_a_shield_work_as_ever)
{
	struct end_after_task a = end_after_task(1000, 0);
	int rc = 0;

	lade_scope(s, &rc) {
		lade_cancel(&s);
		lade_shield(lade_s(1)) {
			CHECK_EQ(lade_race_ok(&a, lade_do(end_after, 10, 0)), 1);
			CHECK_EQ(lade_join(lade_do(end_after, 5, 0), lade_do(end_after, 10, -EIO)),
				 -EIO);
		}
	}
	CHECK_EQ(lade_status(&a), -ECANCELED);
	CHECK_EQ(now_ms(), 20);
}

IN_TASK(a_started_task_in_a_join_ends_the_process)
{
	struct end_after_task a = end_after_task(10, 0);
	int rc = 0;

	lade_scope(s, &rc) {
		lade_start_at(&s, &a.head, "start.c:1");
		rc = lade_join(&a);
	}
}

IN_TASK(a_started_task_in_a_composite_ends_the_process)
{
	struct end_after_task a = end_after_task(10, 0);
	struct lade_race_task race = lade_race_task(&a);
	int rc = 0;

	lade_scope(s, &rc) {
		lade_start_at(&s, &a.head, "start.c:1");
		lade_start(&s, &race);
	}
}

IN_TASK(a_task_that_is_named_twice_in_a_join_ends_the_process)
{
	struct end_after_task a = end_after_task(10, 0);

	(void)!lade_join(&a, &a);
}

IN_TASK(a_composite_that_is_spawned_ends_the_process)
{
	struct end_after_task a = end_after_task(10, 0);
	int rc = 0;

	lade_scope(s, &rc)
		rc = lade_spawn(&s, lade_join_task(&a));
}

static void a_join_outside_any_task_ends_the_process(void)
{
	(void)!lade_join(lade_do(end_after, 1, 0));
}

IN_TASK(a_race_inside_no_suspend_ends_the_process)
{
	lade_no_suspend
		(void)!lade_race(lade_do(end_after, 1, 0));
}

int main(void)
{
	TAP(a_join_waits_for_tasks_of_any_result_types);
	TAP(a_join_of_one_runs_a_lone_task);
	TAP(a_join_takes_twelve_tasks);
	TAP(the_first_failure_cancels_the_others_and_is_returned);
	TAP(the_tasks_that_a_failure_cancels_are_waited_for);
	TAP(of_two_failures_the_first_is_returned);
	TAP(after_a_join_each_task_keeps_its_status_and_value);
	TAP(a_value_is_kept_after_a_failed_join_where_its_type_has_no_dispose);
	TAP(a_failed_join_disposes_of_every_value_that_was_made);
	TAP(a_join_that_succeeds_disposes_of_nothing);
	TAP(dispose_is_given_ret_where_the_task_was_written_with_do);
	TAP(join_all_cancels_nobody_disposes_of_nothing_and_returns_the_first_failure);
	TAP(join_all_of_tasks_that_succeed_is_a_success);
	TAP(a_join_that_begins_cancelled_runs_nothing_and_gives_up_the_arguments);
	TAP(a_join_that_is_cancelled_while_it_waits_waits_for_all_its_tasks);
	TAP(the_statuses_after_a_cancelled_join_stand);
	TAP(a_cancelled_join_disposes_of_the_values_that_were_made);
	TAP(a_deadline_that_ties_with_the_last_end_gives_the_result);
	TAP(a_cancel_that_comes_after_the_last_end_leaves_the_join_its_success);
	TAP(a_member_cancelled_by_name_cancels_nobody_but_makes_the_join_cancelled);
	TAP(a_member_cancelled_by_name_while_it_runs_makes_the_join_cancelled);
	TAP(a_member_that_fails_before_the_others_start_cancels_those_too);
	TAP(success_ranks_below_an_error_and_an_error_below_cancelled);
	TAP(success_error_and_cancelled_rank_alike_in_join_all_and_in_composites);
	TAP(a_member_for_which_no_stack_can_be_had_fails_the_join);
	TAP(a_join_with_too_few_stacks_at_each_start_loses_and_leaks_nothing);
	TAP(joins_that_fail_at_once_let_the_others_run_when_the_inline_budget_is_spent);
	TAP(a_race_and_a_join_inside_a_shield_work_as_ever);
	TAP_DIES(a_started_task_in_a_join_ends_the_process,
		 "task end_after is started twice; the first time was at start.c:1");
	TAP_DIES(a_started_task_in_a_composite_ends_the_process,
		 "task end_after is started twice; the first time was at start.c:1");
	TAP_DIES(a_task_that_is_named_twice_in_a_join_ends_the_process,
		 "task end_after is started twice");
	TAP_DIES(a_composite_that_is_spawned_ends_the_process,
		 "a composite lives in the block that wrote it and cannot be spawned");
	TAP_DIES(a_join_outside_any_task_ends_the_process,
		 "a suspending call outside any task");
	TAP_DIES(a_race_inside_no_suspend_ends_the_process,
		 "a suspending call inside lade_no_suspend");
	return tap_done();
}
