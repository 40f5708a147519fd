/* SPDX-License-Identifier: MIT */
/* misuse_test.c - each misuse ends the process, with one message that names two places. */

#include "run.h"

/* The two places that a message must name, in calls below the macros. */
#define STARTED "start.c:1"
#define OFFENCE "here.c:2"

IN_TASK(a_task_started_twice_ends_the_process)
{
	struct end_after_task a = end_after_task(10, 0);
	int rc = 0;

	lade_scope(s, &rc) {
		lade_start_at(&s, &a.head, STARTED);
		lade_start_at(&s, &a.head, OFFENCE);
	}
}

IN_TASK(a_task_started_again_after_its_end_ends_the_process)
{
	struct end_after_task a = end_after_task(10, 0);
	int rc = 0;

	lade_scope(s, &rc)
		lade_start_at(&s, &a.head, STARTED);
	lade_scope(s, &rc)
		lade_start_at(&s, &a.head, OFFENCE);
}

IN_TASK(awaiting_a_task_that_was_never_started_ends_the_process)
{
	struct end_after_task a = end_after_task(10, 0);

	(void)!lade_wait_at(&a.head, OFFENCE);
}

IN_TASK(awaiting_a_struct_of_zeros_ends_the_process)
{
	struct end_after_task a;

	memset(&a, 0, sizeof(a));
	(void)!lade_wait(&a);
}

/* Moved */

IN_TASK(awaiting_a_copy_of_a_running_task_ends_the_process)
{
	struct end_after_task a = end_after_task(10, 0), b;
	int rc = 0;

	lade_scope(s, &rc) {
		lade_start_at(&s, &a.head, STARTED);
		b = a;
		(void)!lade_wait_at(&b.head, OFFENCE);
	}
}

IN_TASK(cancelling_a_copy_of_a_running_task_ends_the_process)
{
	struct end_after_task a = end_after_task(10, 0), b;
	int rc = 0;

	lade_scope(s, &rc) {
		lade_start_at(&s, &a.head, STARTED);
		b = a;
		lade_cancel_task_at(&b.head, lade_ns(0), OFFENCE);
	}
}

IN_TASK(asking_a_copy_of_a_running_task_for_its_status_ends_the_process)
{
	struct end_after_task a = end_after_task(10, 0), b;
	int rc = 0;

	lade_scope(s, &rc) {
		lade_start_at(&s, &a.head, STARTED);
		b = a;
		(void)lade_status_at(&b.head, OFFENCE);
	}
}

IN_TASK(a_task_whose_struct_was_overwritten_while_it_ran_ends_the_process)
{
	struct end_after_task a = end_after_task(10, 0);
	int rc = 0;

	lade_scope(s, &rc) {
		lade_start_at(&s, &a.head, STARTED);
		CHECK_EQ(lade_yield(), 0);
		memset(&a, 0, sizeof(a));
	}
}

IN_TASK(a_task_whose_struct_was_made_anew_while_it_ran_ends_the_process)
{
	struct end_after_task a = end_after_task(10, 0);
	int rc = 0;

	lade_scope(s, &rc) {
		lade_start_at(&s, &a.head, STARTED);
		CHECK_EQ(lade_yield(), 0);
		a = end_after_task(20, 0);
	}
}

IN_TASK(a_task_whose_struct_was_made_anew_and_started_while_it_ran_ends_the_process)
{
	struct end_after_task a = end_after_task(10, 0);
	int rc = 0;

	lade_scope(s, &rc) {
		lade_start_at(&s, &a.head, STARTED);
		CHECK_EQ(lade_yield(), 0);
		a = end_after_task(20, 0);
		lade_start_at(&s, &a.head, OFFENCE);
	}
}

/* Scopes */

static int closes(struct lade_scope *scope)
{
	lade_scope_end(scope, OFFENCE);
	return 0;
}
LADE_TASK_VOID(closes, (struct lade_scope *, scope))

IN_TASK(a_scope_closed_by_another_task_ends_the_process)
{
	struct closes_task a = { 0 };
	struct lade_scope s;
	int rc = 0;

	lade_scope_open(&s, &(struct lade_scope_config){ .rc = &rc }, STARTED);
	a = closes_task(&s);
	lade_start(&s, &a);
	lade_scope_end(&s, LADE_SITE);
}

IN_TASK(a_scope_closed_before_one_inside_it_ends_the_process)
{
	struct lade_scope s, t;
	int rc = 0;

	lade_scope_open(&s, &(struct lade_scope_config){ .rc = &rc }, STARTED);
	lade_scope_open(&t, &(struct lade_scope_config){ .rc = &rc }, LADE_SITE);
	lade_scope_end(&s, OFFENCE);
}

static int leaves_a_scope_open(void)
{
	static struct lade_scope s;
	static int rc;

	lade_scope_open(&s, &(struct lade_scope_config){ .rc = &rc }, OFFENCE);
	return 0;
}
LADE_TASK_VOID(leaves_a_scope_open)

IN_TASK(a_task_that_ends_with_a_scope_open_ends_the_process)
{
	struct leaves_a_scope_open_task a = leaves_a_scope_open_task();
	int rc = 0;

	lade_scope(s, &rc)
		lade_start_at(&s, &a.head, STARTED);
}

IN_TASK(a_scope_left_open_inside_a_deadline_ends_the_process)
{
	struct lade_scope s;
	struct lade_node node;
	int rc = 0;

	lade_within_open(&node, LADE_NEVER, STARTED);
	lade_scope_open(&s, &(struct lade_scope_config){ .rc = &rc }, OFFENCE);
	(void)!lade_within_close(0);
}

static struct lade_scope *kept;

IN_TASK(a_task_started_in_a_closed_scope_ends_the_process)
{
	struct end_after_task a = end_after_task(10, 0);
	struct lade_scope s;
	int rc = 0;

	kept = &s;
	lade_scope_open(&s, &(struct lade_scope_config){ .rc = &rc }, STARTED);
	lade_scope_end(&s, LADE_SITE);
	lade_start_at(kept, &a.head, OFFENCE);
}

/* Suspending where that is not possible */

static void a_suspending_call_outside_any_task_ends_the_process(void)
{
	(void)!lade_yield_at(OFFENCE);
}

static void a_scope_outside_any_task_ends_the_process(void)
{
	int rc = 0;

	lade_scope(s, &rc)
		write_down("not reached");
}

static void a_sleep_outside_any_task_ends_the_process(void)
{
	(void)!lade_sleep(lade_ms(1));
}

static void a_deadline_outside_any_task_ends_the_process(void)
{
	(void)!lade_within(lade_ms(1), 0);
}

static void a_shield_outside_any_task_ends_the_process(void)
{
	lade_shield(lade_ms(1))
		write_down("not reached");
}

static void a_park_outside_any_task_ends_the_process(void)
{
	struct lade_op op = LADE_OP("anything");

	(void)!lade_park(&op, NULL);
}

static void in_no_suspend(void (*call)(void))
{
	struct lade_ctl *ctl = lade_cur;

	lade_no_suspend_open("start.c:1");
	CHECK(ctl->gate & GATE_NO_SUSPEND);
	call();
}

static void yields(void)
{
	(void)!lade_yield_at(OFFENCE);
}

IN_TASK(a_suspending_call_inside_no_suspend_ends_the_process)
{
	in_no_suspend(yields);
}

static void sleeps(void)
{
	(void)!lade_sleep_until_at(lade_now(), OFFENCE);
}

IN_TASK(a_sleep_inside_no_suspend_ends_the_process_also_where_it_would_not_wait)
{
	in_no_suspend(sleeps);
}

static void waits(void)
{
	struct end_after_task a = end_after_task(0, 0);

	lade_start(kept, &a);
	(void)!lade_wait(&a);
}

IN_TASK(a_wait_inside_no_suspend_ends_the_process)
{
	int rc = 0;

	lade_scope(s, &rc) {
		kept = &s;
		in_no_suspend(waits);
	}
}

static void spawns(void)
{
	(void)!lade_spawn(kept, end_after_task(0, 0));
}

IN_TASK(a_spawn_inside_no_suspend_ends_the_process)
{
	int rc = 0;

	lade_scope(s, &rc) {
		kept = &s;
		in_no_suspend(spawns);
	}
}

static void opens_a_scope(void)
{
	int rc = 0;

	lade_scope(s, &rc)
		write_down("not reached");
}

IN_TASK(a_scope_inside_no_suspend_ends_the_process)
{
	in_no_suspend(opens_a_scope);
}

static void parks_completed(void)
{
	struct lade_op op = LADE_OP("what has happened already");

	lade_complete(&op, 0);
	(void)!lade_park(&op, NULL);
}

IN_TASK(a_park_inside_no_suspend_ends_the_process_also_where_it_would_not_wait)
{
	in_no_suspend(parks_completed);
}

IN_TASK(a_cancelled_task_must_not_suspend_inside_no_suspend_either)
{
	int rc = 0;

	lade_scope(s, &rc) {
		lade_cancel(&s);
		in_no_suspend(yields);
	}
}

IN_TASK(the_end_of_an_inner_no_suspend_does_not_end_the_outer_one)
{
	lade_no_suspend {
		lade_no_suspend
			write_down("inner");
		(void)!lade_yield();
	}
}

IN_TASK(after_no_suspend_a_task_may_suspend_again)
{
	lade_no_suspend {
		lade_no_suspend
			write_down("inner");
		write_down("outer");
	}
	CHECK_EQ(lade_yield(), 0);
	lade_no_suspend
		break;
	CHECK_EQ(lade_yield(), 0);
	CHECK_STR(slate, "inner outer");
}

IN_TASK(no_suspend_keeps_nobody_from_what_does_not_suspend)
{
	struct tell_after_task a = tell_after_task("a", 0, 0);
	struct tell_after_task b = tell_after_task("b", 1000, 0);
	int rc = 0;

	lade_scope(s, &rc) {
		lade_no_suspend {
			lade_start(&s, &a);
			lade_start(&s, &b);
			lade_cancel(&b);
			lade_shield(lade_ms(1))
				CHECK_EQ(lade_status(&a), -EINPROGRESS);
		}
	}
	CHECK_EQ(rc, 0);
	CHECK_STR(slate, "a:0 b:-125");
}

static int returns_from_no_suspend(void)
{
	lade_no_suspend
		return 5;
	return 0;
}

IN_TASK(a_return_out_of_no_suspend_ends_it)
{
	CHECK_EQ(returns_from_no_suspend(), 5);
	CHECK_EQ(lade_yield(), 0);
}

static void outside_any_task_no_suspend_does_nothing(void)
{
	slate[0] = 0;
	lade_no_suspend
		lade_no_suspend
			write_down("called");
	CHECK_STR(slate, "called");
}

static void give_back(long *value)
{
	(void)value;
	(void)!lade_yield();
}
static void drop(void);

static int suspends_late(long *ret)
{
	*ret = 1;
	return 0;
}
LADE_TASK_WITH(suspends_late, long, (.dispose = give_back, .drop_args = drop))

static void drop(void)
{
	(void)!lade_yield();
}

IN_TASK(a_suspending_drop_args_ends_the_process)
{
	struct suspends_late_task a = suspends_late_task();
	int rc = 0;

	lade_scope(s, &rc) {
		lade_cancel(&a);
		lade_start(&s, &a);
	}
}

IN_TASK(a_suspending_dispose_ends_the_process)
{
	struct suspends_late_task a = suspends_late_task();
	int rc = 0;

	lade_scope(s, &rc)
		lade_start(&s, &a);
	lade_task_dispose(&a.head);
}

/* Values */

IN_TASK(the_value_of_a_task_that_was_never_started_ends_the_process)
{
	struct value_after_task a = value_after_task(10, 1);

	lade_value_at(&a.head, OFFENCE);
}

IN_TASK(the_value_of_a_task_that_still_runs_ends_the_process)
{
	struct value_after_task a = value_after_task(10, 1);
	int rc = 0;

	lade_scope(s, &rc) {
		lade_start_at(&s, &a.head, STARTED);
		lade_value_at(&a.head, OFFENCE);
	}
}

IN_TASK(the_value_of_a_task_that_did_not_succeed_ends_the_process)
{
	struct value_after_task a = value_after_task(10, 1);
	int rc = 0;

	lade_scope(s, &rc) {
		lade_start_at(&s, &a.head, STARTED);
		lade_cancel(&a);
	}
	lade_value_at(&a.head, OFFENCE);
}

/* What else is refused */

IN_TASK(a_shield_without_end_ends_the_process)
{
	struct lade_node node;

	lade_shield_open(&node, LADE_FOREVER, OFFENCE);
}

static struct lade_task_type foreign;

IN_TASK(a_task_compiled_for_another_layout_ends_the_process)
{
	struct end_after_task a = end_after_task(10, 0);
	int rc = 0;

	foreign = *a.head.type;
	foreign.version = 99;
	a.head.type = &foreign;
	lade_scope(s, &rc)
		lade_start_at(&s, &a.head, OFFENCE);
}

static int runs_a_loop(void)
{
	struct end_after_task inner = end_after_task(1, 0);
	struct lade_loop *second;

	if (lade_loop_new(&(struct lade_loop_config){ .backend = "virtual" }, &second) < 0)
		return -ENOMEM;
	return lade_loop_run_at(second, &inner.head, OFFENCE);
}
LADE_TASK_VOID(runs_a_loop)

IN_TASK(a_loop_run_inside_a_task_ends_the_process)
{
	struct runs_a_loop_task a = runs_a_loop_task();
	int rc = 0;

	lade_scope(s, &rc)
		lade_start_at(&s, &a.head, STARTED);
}

IN_TASK(the_running_loop_run_again_inside_its_task_ends_the_process)
{
	struct end_after_task inner = end_after_task(1, 0);

	lade_loop_run_at(lade_cur->loop, &inner.head, OFFENCE);
}

static void a_loop_may_be_run_when_another_has_ended(void)
{
	after_no_suspend_a_task_may_suspend_again();
	after_no_suspend_a_task_may_suspend_again();
}

static long *nowhere; /* NULL, which no compiler can see */

IN_TASK(a_result_pointer_that_is_null_at_run_time_ends_the_process)
{
	struct value_after_do *a = lade_do(value_after, 1, 5, nowhere);
	int rc = 0;

	lade_scope(s, &rc)
		lade_start_at(&s, &a->head, STARTED);
}

static void long_message(void)
{
	lade_misuse("%0*d", 5000, 7);
}

static void a_message_longer_than_a_kibibyte_is_cut(void)
{
	/* The first words and 1,023 bytes, without what would have followed them. */
	char said[1200] = "lade: misuse: ";

	memset(said + 14, '0', 1023);
	strcpy(said + 14 + 1023, "\n");
	tap_run_dies(long_message, "a message of 1,023 zeros ends a line", said);
}

static void tasks_and_their_structs(void)
{
	TAP_DIES(a_task_started_twice_ends_the_process,
		 "here.c:2: task end_after is started twice; the first time was at start.c:1");
	TAP_DIES(a_task_started_again_after_its_end_ends_the_process,
		 "here.c:2: task end_after is started twice; the first time was at start.c:1");
	TAP_DIES(awaiting_a_task_that_was_never_started_ends_the_process,
		 "here.c:2: task end_after is awaited but was never started");
	TAP_DIES(awaiting_a_struct_of_zeros_ends_the_process,
		 "awaited but was never started");
	TAP_DIES(awaiting_a_copy_of_a_running_task_ends_the_process,
		 "here.c:2: task end_after, started at start.c:1, was moved or freed");
	TAP_DIES(cancelling_a_copy_of_a_running_task_ends_the_process,
		 "here.c:2: task end_after, started at start.c:1, was moved or freed");
	TAP_DIES(asking_a_copy_of_a_running_task_for_its_status_ends_the_process,
		 "here.c:2: task end_after, started at start.c:1, was moved or freed");
	TAP_DIES(a_task_whose_struct_was_overwritten_while_it_ran_ends_the_process,
		 "a task, started at start.c:1, was moved or freed while it ran");
	TAP_DIES(a_task_whose_struct_was_made_anew_while_it_ran_ends_the_process,
		 "a task, started at start.c:1, was moved or freed while it ran");
	TAP_DIES(a_task_whose_struct_was_made_anew_and_started_while_it_ran_ends_the_process,
		 "a task, started at start.c:1, was moved or freed while it ran");
}

static void scopes(void)
{
	TAP_DIES(a_scope_closed_by_another_task_ends_the_process,
		 "here.c:2: the scope of start.c:1 is closed by a task that does not own it");
	TAP_DIES(a_scope_closed_before_one_inside_it_ends_the_process,
		 "here.c:2: the scope of start.c:1 is closed by a task that does not own "
		 "it, or before a scope inside it");
	TAP_DIES(a_task_that_ends_with_a_scope_open_ends_the_process,
		 "task leaves_a_scope_open, started at start.c:1, ended inside its scope of "
		 "here.c:2");
	TAP_DIES(a_scope_left_open_inside_a_deadline_ends_the_process,
		 "start.c:1: the scope of here.c:2 was left open inside the deadline that "
		 "ends here");
	TAP_DIES(a_task_started_in_a_closed_scope_ends_the_process,
		 "here.c:2: task end_after is started in the scope of start.c:1, which is closed");
}

static void outside_any_task(void)
{
	TAP_DIES(a_suspending_call_outside_any_task_ends_the_process,
		 "here.c:2: a suspending call outside any task");
	TAP_DIES(a_scope_outside_any_task_ends_the_process,
		 "a suspending call outside any task");
	TAP_DIES(a_sleep_outside_any_task_ends_the_process,
		 "a suspending call outside any task");
	TAP_DIES(a_deadline_outside_any_task_ends_the_process,
		 "a suspending call outside any task");
	TAP_DIES(a_shield_outside_any_task_ends_the_process,
		 "outside any task");
	TAP_DIES(a_park_outside_any_task_ends_the_process,
		 "outside any task");
}

static void inside_no_suspend(void)
{
	TAP_DIES(a_suspending_call_inside_no_suspend_ends_the_process,
		 "here.c:2: a suspending call inside lade_no_suspend of start.c:1, in task "
		 "run_root");
	TAP_DIES(a_sleep_inside_no_suspend_ends_the_process_also_where_it_would_not_wait,
		 "inside lade_no_suspend of start.c:1");
	TAP_DIES(a_wait_inside_no_suspend_ends_the_process,
		 "inside lade_no_suspend of start.c:1");
	TAP_DIES(a_spawn_inside_no_suspend_ends_the_process,
		 "inside lade_no_suspend of start.c:1");
	TAP_DIES(a_scope_inside_no_suspend_ends_the_process,
		 "inside lade_no_suspend of start.c:1");
	TAP_DIES(a_park_inside_no_suspend_ends_the_process_also_where_it_would_not_wait,
		 "inside lade_no_suspend of start.c:1");
	TAP_DIES(a_cancelled_task_must_not_suspend_inside_no_suspend_either,
		 "here.c:2: a suspending call inside lade_no_suspend of start.c:1");
	TAP_DIES(the_end_of_an_inner_no_suspend_does_not_end_the_outer_one,
		 "a suspending call inside lade_no_suspend");
	TAP(after_no_suspend_a_task_may_suspend_again);
	TAP(no_suspend_keeps_nobody_from_what_does_not_suspend);
	TAP(a_return_out_of_no_suspend_ends_it);
	TAP(outside_any_task_no_suspend_does_nothing);
	TAP_DIES(a_suspending_drop_args_ends_the_process,
		 "a suspending call inside lade_no_suspend");
	TAP_DIES(a_suspending_dispose_ends_the_process,
		 "a suspending call inside lade_no_suspend");
}

static void values_layouts_and_loops(void)
{
	TAP_DIES(the_value_of_a_task_that_was_never_started_ends_the_process,
		 "here.c:2: the value of task value_after is read, which was never started");
	TAP_DIES(the_value_of_a_task_that_still_runs_ends_the_process,
		 "here.c:2: the value of task value_after is read, which still runs, since "
		 "start.c:1");
	TAP_DIES(the_value_of_a_task_that_did_not_succeed_ends_the_process,
		 "here.c:2: the value of task value_after, started at start.c:1, is read "
		 "although it ended with -125");
	TAP_DIES(a_shield_without_end_ends_the_process,
		 "here.c:2: a shield needs a finite budget");
	TAP_DIES(a_task_compiled_for_another_layout_ends_the_process,
		 "here.c:2: compiled for layout 99, running 2: rebuild");
	TAP(a_message_longer_than_a_kibibyte_is_cut);
	TAP_DIES(a_loop_run_inside_a_task_ends_the_process,
		 "here.c:2: a loop is run inside task runs_a_loop, started at start.c:1, which "
		 "runs on another");
	TAP_DIES(the_running_loop_run_again_inside_its_task_ends_the_process,
		 "here.c:2: a loop is run inside task run_root");
	TAP(a_loop_may_be_run_when_another_has_ended);
	TAP_DIES(a_result_pointer_that_is_null_at_run_time_ends_the_process,
		 "task value_after, started at start.c:1, was written by lade_do with NULL for "
		 "its result");
}

int main(void)
{
	tasks_and_their_structs();
	scopes();
	outside_any_task();
	inside_no_suspend();
	values_layouts_and_loops();
	return tap_done();
}
