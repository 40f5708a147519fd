/* SPDX-License-Identifier: MIT */
/* park_test.c - waiting for anything else: completion, abort, and which of the two wins. */

#include "run.h"

/* A wait in a foreign library, whose abort() answers what the test wants. */
struct wait {
	struct lade_op op;		    /* first: abort() finds the wait by it */
	enum lade_abort_result answer;	    /* what abort() says */
	int result;			    /* for COMPLETED */
	int aborts;			    /* how often abort() was called */
	bool completes_itself;		    /* abort() calls lade_complete itself */
};

static enum lade_abort_result answers(struct lade_op *op)
{
	struct wait *wait = (struct wait *)(void *)op;

	wait->aborts++;
	if (wait->completes_itself)
		lade_complete(op, wait->result);
	else if (wait->answer == LADE_COMPLETED)
		op->result = wait->result;
	return wait->answer;
}

static int waits(struct wait *wait)
{
	int rc = lade_park(&wait->op, answers);

	write_down("%d at %d", rc, (int)now_ms());
	return rc;
}
LADE_TASK_VOID(waits, (struct wait *, wait))

static int completes(struct lade_op *op, int64_t ms, int result)
{
	int rc = lade_sleep(lade_ms(ms));

	lade_complete(op, result);
	return rc;
}
LADE_TASK_VOID(completes, (struct lade_op *, op), (int64_t, ms), (int, result))

IN_TASK(a_parked_task_gets_the_result_of_the_completion)
{
	struct wait wait = { .op = LADE_OP("an answer") };
	struct completes_task a = completes_task(&wait.op, 10, 42);
	int rc = 0;

	lade_scope(s, &rc) {
		lade_start(&s, &a);
		CHECK_EQ(waits(&wait), 42);
	}
	CHECK_EQ(wait.aborts, 0);
	CHECK_STR(slate, "42 at 10");
}

IN_TASK(a_failure_is_passed_on_as_it_is)
{
	struct wait wait = { .op = LADE_OP("an answer") };
	struct completes_task a = completes_task(&wait.op, 10, -EREMOTEIO);
	int rc = 0;

	lade_scope(s, &rc) {
		lade_start(&s, &a);
		CHECK_EQ(waits(&wait), -EREMOTEIO);
	}
}

IN_TASK(what_completed_before_the_park_is_returned_at_once)
{
	struct wait wait = { .op = LADE_OP("an answer") };

	lade_complete(&wait.op, 42);
	CHECK_EQ(waits(&wait), 42);
}

IN_TASK(a_second_completion_is_ignored)
{
	struct wait wait = { .op = LADE_OP("an answer") };

	lade_complete(&wait.op, 42);
	lade_complete(&wait.op, 43);
	CHECK_EQ(waits(&wait), 42);
	lade_complete(&wait.op, 44);
	CHECK_EQ(wait.op.result, 42);
}

IN_TASK(a_cancel_asks_abort_once_and_aborted_is_ecanceled)
{
	struct wait wait = { .op = LADE_OP("an answer"), .answer = LADE_ABORTED };

	CHECK_EQ(lade_within(lade_ms(10), waits(&wait)), -ETIME);
	CHECK_EQ(wait.aborts, 1);
	CHECK_STR(slate, "-125 at 10");
}

IN_TASK(a_completion_that_abort_finds_wins)
{
	struct wait wait = {
		.op = LADE_OP("an answer"), .answer = LADE_COMPLETED, .result = 42
	};

	CHECK_EQ(lade_within(lade_ms(10), waits(&wait)), 42);
	CHECK_STR(slate, "42 at 10");
	CHECK_EQ(lade_yield(), 0);
}

IN_TASK(a_completion_that_abort_makes_itself_wins)
{
	struct wait wait = { .op = LADE_OP("an answer"),
			     .answer = LADE_ABORTED,
			     .completes_itself = true,
			     .result = 42 };

	CHECK_EQ(lade_within(lade_ms(10), waits(&wait)), 42);
	CHECK_EQ(wait.aborts, 1);
}

IN_TASK(while_abort_is_pending_the_task_stays_parked)
{
	struct wait wait = { .op = LADE_OP("an answer"), .answer = LADE_PENDING };
	struct completes_task a = completes_task(&wait.op, 50, 42);
	int rc = 0;

	lade_scope(s, &rc) {
		lade_start(&s, &a);
		CHECK_EQ(lade_within(lade_ms(10), waits(&wait)), 42);
	}
	CHECK_EQ(wait.aborts, 1);
	CHECK_STR(slate, "42 at 50");
}

IN_TASK(a_pending_abort_may_end_in_ecanceled)
{
	struct wait wait = { .op = LADE_OP("an answer"), .answer = LADE_PENDING };
	struct completes_task a = completes_task(&wait.op, 50, -ECANCELED);
	int rc = 0;

	lade_scope(s, &rc) {
		lade_start(&s, &a);
		CHECK_EQ(lade_within(lade_ms(10), waits(&wait)), -ETIME);
	}
	CHECK_STR(slate, "-125 at 50");
}

IN_TASK(later_requests_do_not_ask_abort_again)
{
	struct wait wait = { .op = LADE_OP("an answer"), .answer = LADE_PENDING };
	struct completes_task a = completes_task(&wait.op, 50, 42);
	int rc = 0;

	lade_scope(s, &rc) {
		lade_start(&s, &a);
		CHECK_EQ(lade_within(lade_ms(20), lade_within(lade_ms(10), waits(&wait))), 42);
	}
	CHECK_EQ(wait.aborts, 1);
}

IN_TASK(a_soft_request_does_not_ask_abort)
{
	struct wait wait = { .op = LADE_OP("an answer"), .answer = LADE_ABORTED };
	struct waits_task a = waits_task(&wait);
	int rc = 0;

	lade_scope(s, &rc) {
		lade_start(&s, &a);
		CHECK_EQ(lade_yield(), 0);
		lade_cancel(&s, lade_ms(20));
		CHECK_EQ(lade_sleep(lade_ms(5)), 0);
		CHECK_EQ(wait.aborts, 0);
	}
	CHECK_EQ(wait.aborts, 1);
	CHECK_STR(slate, "-125 at 20");
}

static int parks_without_abort(struct lade_op *op)
{
	return lade_park(op, NULL);
}

IN_TASK(a_wait_without_abort_cannot_be_cut_short)
{
	struct lade_op op = LADE_OP("an answer");
	struct completes_task a = completes_task(&op, 50, 42);
	int rc = 0;

	lade_scope(s, &rc) {
		lade_start(&s, &a);
		CHECK_EQ(lade_within(lade_ms(10), parks_without_abort(&op)), 42);
	}
	CHECK_EQ(now_ms(), 50);
}

/* A cancel that was pending before the park: the foreign work is under way, so it is asked. */

static int parks_cancelled(struct wait *wait)
{
	int rc = 0, got = 0;

	lade_scope(s, &rc) {
		lade_cancel(&s);
		got = lade_park(&wait->op, answers);
		CHECK_EQ(lade_yield(), -ECANCELED);
	}
	return got;
}

IN_TASK(a_pending_cancel_aborts_what_is_under_way)
{
	struct wait wait = { .op = LADE_OP("an answer"), .answer = LADE_ABORTED };

	CHECK_EQ(parks_cancelled(&wait), -ECANCELED);
	CHECK_EQ(wait.aborts, 1);
}

IN_TASK(a_pending_cancel_does_not_hide_what_has_completed)
{
	struct wait wait = { .op = LADE_OP("an answer"), .answer = LADE_ABORTED };

	lade_complete(&wait.op, 42);
	CHECK_EQ(parks_cancelled(&wait), 42);
	CHECK_EQ(wait.aborts, 0);
}

IN_TASK(a_pending_cancel_gets_what_abort_finds_completed)
{
	struct wait wait = {
		.op = LADE_OP("an answer"), .answer = LADE_COMPLETED, .result = 42
	};

	CHECK_EQ(parks_cancelled(&wait), 42);
}

IN_TASK(a_pending_cancel_waits_while_abort_is_pending)
{
	struct wait wait = { .op = LADE_OP("an answer"), .answer = LADE_PENDING };
	struct completes_task a = completes_task(&wait.op, 50, 42);
	int rc = 0;

	lade_scope(s, &rc) {
		lade_start(&s, &a);
		CHECK_EQ(parks_cancelled(&wait), 42);
		CHECK_EQ(now_ms(), 50);
	}
	CHECK_EQ(wait.aborts, 1);
}

IN_TASK(a_request_that_is_let_in_later_does_not_ask_abort_again)
{
	struct wait wait = { .op = LADE_OP("an answer"), .answer = LADE_PENDING };
	struct completes_task a = completes_task(&wait.op, 50, 42);
	int rc = 0, inner_rc = 0;

	/* The deadline inside the shield asks at 10, the budget that is over at 20 once more. */
	lade_scope(s, &rc) {
		lade_start(&s, &a);
		lade_scope(t, &inner_rc) {
			lade_cancel(&t);
			lade_shield(lade_ms(20))
				CHECK_EQ(lade_within(lade_ms(10), waits(&wait)), 42);
		}
	}
	CHECK_EQ(wait.aborts, 1);
	CHECK_STR(slate, "42 at 50");
}

static int completes_and_cancels(struct lade_op *op, struct lade_scope *scope)
{
	lade_complete(op, 42);
	lade_cancel(scope);
	return 0;
}
LADE_TASK_VOID(completes_and_cancels, (struct lade_op *, op), (struct lade_scope *, scope))

IN_LOOP(what_completes_while_the_park_waits_for_its_turn_is_returned, .inline_budget = 1)
{
	struct wait wait = { .op = LADE_OP("an answer"), .answer = LADE_ABORTED };
	struct completes_and_cancels_task a = { 0 };
	int rc = 0;

	lade_scope(s, &rc) {
		a = completes_and_cancels_task(&wait.op, &s);
		/* Spends the budget, so that the park begins by letting the other run. */
		CHECK_EQ(lade_sleep(lade_ns(0)), 0);
		lade_start(&s, &a);
		CHECK_EQ(lade_park(&wait.op, answers), 42);
		CHECK(lade_cancelled());
	}
	CHECK_EQ(wait.aborts, 0);
}

/* A completion and a cancel in one turn */

static int cancels_then_completes(struct lade_task *task, struct lade_op *op, bool cancel_first)
{
	int rc = lade_sleep(lade_ms(10));

	if (cancel_first)
		lade_cancel_task_at(task, lade_ns(0), LADE_SITE);
	lade_complete(op, 42);
	if (!cancel_first)
		lade_cancel_task_at(task, lade_ns(0), LADE_SITE);
	return rc;
}
LADE_TASK_VOID(cancels_then_completes, (struct lade_task *, task), (struct lade_op *, op),
	       (bool, cancel_first))

IN_TASK(of_a_cancel_and_a_completion_in_one_turn_the_first_wins)
{
	for (int cancel_first = 0; cancel_first < 2; cancel_first++) {
		struct wait wait = { .op = LADE_OP("an answer"), .answer = LADE_ABORTED };
		struct waits_task a = waits_task(&wait);
		struct cancels_then_completes_task b =
			cancels_then_completes_task(&a.head, &wait.op, cancel_first);
		int rc = 0;

		lade_scope(s, &rc) {
			lade_start(&s, &a);
			lade_start(&s, &b);
		}
		CHECK_EQ(lade_status(&a), cancel_first ? -ECANCELED : 42);
		CHECK_EQ(wait.aborts, cancel_first);
	}
}

/* abort() may itself cancel: the request is told after the one that is being told. */

static struct lade_task *next_victim;

static enum lade_abort_result cancels_another(struct lade_op *op)
{
	(void)op;
	write_down("abort");
	if (next_victim)
		lade_cancel_task_at(next_victim, lade_ns(0), LADE_SITE);
	return LADE_ABORTED;
}

static int parks_chained(void)
{
	struct lade_op op = LADE_OP("nothing");

	return lade_park(&op, cancels_another);
}
LADE_TASK_VOID(parks_chained)

IN_TASK(abort_may_cancel_another_task)
{
	struct parks_chained_task a = parks_chained_task(), b = parks_chained_task();
	int rc = 0;

	next_victim = &b.head;
	lade_scope(s, &rc) {
		lade_start(&s, &a);
		lade_start(&s, &b);
		CHECK_EQ(lade_yield(), 0);
		lade_cancel(&a);
	}
	CHECK_EQ(rc, 0);
	CHECK_EQ(lade_status(&a), -ECANCELED);
	CHECK_EQ(lade_status(&b), -ECANCELED);
	CHECK_STR(slate, "abort abort");
	next_victim = NULL;
}

static int aborts_seen;
struct parks_in_a_row_task;
static int parks_in_a_row(struct parks_in_a_row_task *next);
LADE_TASK_VOID(parks_in_a_row, (struct parks_in_a_row_task *, next))

/* A wait whose abort() cancels another task. */
struct row {
	struct lade_op op;		  /* first: abort() finds the row by it */
	struct parks_in_a_row_task *next; /* or NULL */
};

static enum lade_abort_result counts_and_cancels_next(struct lade_op *op)
{
	const struct row *row = (const struct row *)(const void *)op;

	aborts_seen++;
	if (row->next)
		lade_cancel(row->next);
	return LADE_ABORTED;
}

static int parks_in_a_row(struct parks_in_a_row_task *next)
{
	struct row row = { .op = LADE_OP("nothing"), .next = next };

	return lade_park(&row.op, counts_and_cancels_next);
}

IN_TASK(a_row_of_aborts_that_cancel_each_other_takes_no_stack)
{
	enum { COUNT = 5000 };
	static struct parks_in_a_row_task t[COUNT];
	int rc = 0;

	aborts_seen = 0;
	lade_scope(s, &rc) {
		for (int i = 0; i < COUNT; i++) {
			t[i] = parks_in_a_row_task(i + 1 < COUNT ? &t[i + 1] : NULL);
			lade_start(&s, &t[i]);
		}
		CHECK_EQ(lade_sleep(lade_ms(1)), 0);
		lade_cancel(&t[0]);
	}
	CHECK_EQ(rc, 0);
	CHECK_EQ(aborts_seen, COUNT);
}

static struct lade_task *to_cancel_hard;

static void cancels_hard_when_told_softly(struct lade_op *op)
{
	(void)op;
	write_down("soft");
	if (to_cancel_hard)
		lade_cancel_task_at(to_cancel_hard, lade_ns(0), LADE_SITE);
}

static enum lade_abort_result writes_abort(struct lade_op *op)
{
	(void)op;
	write_down("abort");
	return LADE_ABORTED;
}

static int listens(void)
{
	struct lade_op op = LADE_OP("nothing");

	op.soft = cancels_hard_when_told_softly;
	return lade_park(&op, writes_abort);
}
LADE_TASK_VOID(listens)

IN_TASK(who_is_told_softly_may_cancel_hard_who_is_still_to_be_told)
{
	for (int victim = 0; victim < 2; victim++) {
		struct listens_task a = listens_task(), b = listens_task();
		int rc = 0;

		slate[0] = 0;
		to_cancel_hard = victim ? &b.head : &a.head;
		lade_scope(s, &rc) {
			lade_start(&s, &a);
			lade_start(&s, &b);
			CHECK_EQ(lade_yield(), 0);
			lade_cancel(&s, lade_ms(20));
			CHECK_EQ(lade_sleep(lade_ms(10)), 0);
			CHECK_EQ(lade_status_at(to_cancel_hard, LADE_SITE), -ECANCELED);
		}
		to_cancel_hard = NULL;
		CHECK_EQ(rc, 0);
		CHECK_EQ(lade_status(&a), -ECANCELED);
		CHECK_EQ(lade_status(&b), -ECANCELED);
	}
	CHECK_EQ(now_ms(), 40);
}

/* A wake-up hands over: a place among the children is taken before the spawner runs. */

static int takes_a_place(struct lade_scope *scope)
{
	return lade_spawn(scope, tell_after_task("latecomer", 10, 0));
}
LADE_TASK_VOID(takes_a_place, (struct lade_scope *, scope))

IN_TASK(a_place_that_is_handed_over_cannot_be_taken_by_a_latecomer)
{
	struct end_after_task first = end_after_task(10, 0);
	struct takes_a_place_task waiting = { 0 }, late = { 0 };
	int rc = 0, inner_rc = 0;

	lade_scope(s, &rc)
		lade_scope(t, &inner_rc, .max_children = 1) {
			lade_start(&t, &first);
			waiting = takes_a_place_task(&t);
			late = takes_a_place_task(&t);
			lade_start(&s, &waiting);
			CHECK_EQ(lade_wait(&first), 0);
			/* The place is not free, although no child runs at this moment. */
			CHECK_EQ(t.live, 1);
			lade_start(&s, &late);
		}
	CHECK_EQ(now_ms(), 30);
}

/* Timers */

IN_TASK(a_sleep_takes_its_time)
{
	CHECK_EQ(lade_sleep(lade_ms(5)), 0);
	CHECK_EQ(now_ms(), 5);
	CHECK_EQ(lade_sleep(lade_ns(1)), 0);
	CHECK_EQ(lade_now().mono_ns - run_start_ns, 5000001);
	CHECK_EQ(lade_sleep_until(lade_in(lade_us(2))), 0);
	CHECK_EQ(lade_now().mono_ns - run_start_ns, 5002001);
	CHECK_EQ(lade_sleep(lade_ns(0)), 0);
	CHECK_EQ(lade_sleep_until((struct lade_instant){ 0 }), 0);
	CHECK_EQ(lade_now().mono_ns - run_start_ns, 5002001);
}

IN_TASK(sleepers_wake_in_the_order_of_their_instants_and_then_of_their_calls)
{
	struct tell_after_task t[6];
	static const int ms[6] = { 3, 1, 2, 1, 3, 2 };
	static const char *const names[6] = { "a", "b", "c", "d", "e", "f" };
	int rc = 0;

	for (int i = 0; i < 6; i++)
		t[i] = tell_after_task(names[i], ms[i], 0);
	lade_scope(s, &rc)
		for (int i = 0; i < 6; i++)
			lade_start(&s, &t[i]);
	CHECK_STR(slate, "b:0 d:0 c:0 f:0 a:0 e:0");
}

IN_TASK(a_cancelled_sleep_leaves_no_timer_behind)
{
	CHECK_EQ(lade_within(lade_ms(1), lade_sleep(lade_s(100))), -ETIME);
	CHECK(!lade_heap_first(&lade_cur->loop->timers));
}

/* A whole loop that waits for what cannot come says so. */

static int parks_for_ever(void)
{
	struct lade_op op = LADE_OP("nothing");

	return lade_park(&op, NULL);
}

IN_TASK(a_loop_on_the_virtual_clock_ends_the_process_when_nothing_can_happen)
{
	(void)!parks_for_ever();
}

int main(void)
{
	TAP(a_parked_task_gets_the_result_of_the_completion);
	TAP(a_failure_is_passed_on_as_it_is);
	TAP(what_completed_before_the_park_is_returned_at_once);
	TAP(a_second_completion_is_ignored);
	TAP(a_cancel_asks_abort_once_and_aborted_is_ecanceled);
	TAP(a_completion_that_abort_finds_wins);
	TAP(a_completion_that_abort_makes_itself_wins);
	TAP(while_abort_is_pending_the_task_stays_parked);
	TAP(a_pending_abort_may_end_in_ecanceled);
	TAP(later_requests_do_not_ask_abort_again);
	TAP(a_soft_request_does_not_ask_abort);
	TAP(a_wait_without_abort_cannot_be_cut_short);
	TAP(a_pending_cancel_aborts_what_is_under_way);
	TAP(a_pending_cancel_does_not_hide_what_has_completed);
	TAP(a_pending_cancel_gets_what_abort_finds_completed);
	TAP(a_pending_cancel_waits_while_abort_is_pending);
	TAP(a_request_that_is_let_in_later_does_not_ask_abort_again);
	TAP(what_completes_while_the_park_waits_for_its_turn_is_returned);
	TAP(of_a_cancel_and_a_completion_in_one_turn_the_first_wins);
	TAP(abort_may_cancel_another_task);
	TAP(a_row_of_aborts_that_cancel_each_other_takes_no_stack);
	TAP(who_is_told_softly_may_cancel_hard_who_is_still_to_be_told);
	TAP(a_place_that_is_handed_over_cannot_be_taken_by_a_latecomer);
	TAP(a_sleep_takes_its_time);
	TAP(sleepers_wake_in_the_order_of_their_instants_and_then_of_their_calls);
	TAP(a_cancelled_sleep_leaves_no_timer_behind);
	TAP_DIES(a_loop_on_the_virtual_clock_ends_the_process_when_nothing_can_happen,
		 "all tasks wait and nothing can wake them");
	return tap_done();
}
