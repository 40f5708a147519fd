/* SPDX-License-Identifier: MIT */
/* cores_test.c - tasks on other cores: ends, cancels, deadlines, values, and the way back. */

#include <lade/cores.h>
#include <lade/join.h>

#include "descriptors.h"
#include "run.h"


/* The place where a task ran. */
struct place {
	uint32_t core;
	pthread_t thread;
};

static int look_round(struct place *ret)
{
	*ret = (struct place){ lade_core(), pthread_self() };
	return 0;
}
LADE_TASK(look_round, struct place)

ON_CORES(a_task_runs_on_the_core_that_was_named)
{
	struct place here, there;

	CHECK_EQ(lade_cores(), 3);
	CHECK_EQ(look_round(&here), 0);
	for (uint32_t core = 0; core < 7; core++) {
		CHECK_EQ(lade_join(lade_on(core, lade_do(look_round, &there))), 0);
		CHECK_EQ(there.core, core % 3);
		CHECK_EQ(pthread_equal(there.thread, here.thread) != 0, core % 3 == 0);
	}
}

ON_CORES(a_value_and_a_status_come_home_under_the_tasks_own_name)
{
	struct value_after_task good = value_after_task(1, 42);
	struct end_after_task bad = end_after_task(1, -EPROTO);
	struct lade_on_task there = lade_on_task(1, &good), too = lade_on_task(2, &bad);
	int rc = 0;

	lade_scope(s, &rc, .policy = LADE_ALL) {
		lade_start(&s, &there);
		lade_start(&s, &too);
		CHECK_EQ(lade_status(&good), -EINPROGRESS);
		CHECK_EQ(lade_wait(&good), 0);
		CHECK_EQ(lade_wait(&bad), 0);
		CHECK_EQ(lade_wait(&there), 0);
	}
	CHECK_EQ(lade_value(&good), 42);
	CHECK_EQ(lade_status(&there), 0);
	CHECK_EQ(lade_status(&bad), -EPROTO);
	CHECK_EQ(rc, 0);
}

ON_CORES(a_failure_there_cancels_the_siblings_here_and_there)
{
	struct end_after_task a = end_after_task(10000, 0), b = end_after_task(10000, 0);

	CHECK_EQ(lade_join(&a, lade_on(1, &b), lade_on(2, lade_do(end_after, 1, -EIO))), -EIO);
	CHECK_EQ(lade_status(&a), -ECANCELED);
	CHECK_EQ(lade_status(&b), -ECANCELED);
}

/* What a cancelled task was told. */
static struct lade_reason told;
static int after_it;

static int sleep_and_ask(void)
{
	int rc = lade_sleep(lade_s(100));

	told = lade_why();
	after_it = lade_yield();
	return rc;
}
LADE_TASK_VOID(sleep_and_ask)

ON_CORES(a_deadline_here_ends_what_runs_there_and_says_why)
{
	CHECK_EQ(lade_within(lade_ms(2), lade_join(lade_on(1, lade_do(sleep_and_ask)))), -ETIME);
	CHECK_EQ(told.kind, LADE_REASON_PARENT);
	CHECK_EQ(told.root, LADE_REASON_DEADLINE);
	CHECK(strstr(told.site, "cores_test.c"));
	CHECK_EQ(after_it, -ECANCELED);
}

ON_CORES(a_task_there_is_cancelled_by_its_own_name)
{
	struct sleep_and_ask_task task = sleep_and_ask_task();
	struct end_after_task other = end_after_task(4, 0);
	struct lade_on_task a = lade_on_task(1, &task), b = lade_on_task(1, &other);
	int rc = 0;

	lade_scope(s, &rc) {
		lade_start(&s, &a);
		lade_start(&s, &b);
		CHECK_EQ(lade_sleep(lade_ms(2)), 0);
		lade_cancel(&task);
	}
	CHECK_EQ(rc, 0);
	CHECK_EQ(told.kind, LADE_REASON_USER);
	CHECK_EQ(lade_status(&task), -ECANCELED);
	CHECK_EQ(lade_status(&other), 0);
}

ON_CORES(who_loses_a_race_there_is_told_so)
{
	CHECK_EQ(lade_race_ok(lade_on(1, lade_do(sleep_and_ask)), lade_do(end_after, 2, 0)), 1);
	CHECK_EQ(told.kind, LADE_REASON_RACE_LOST);
}

ON_CORES(a_hard_request_after_a_soft_one_tells_its_own_reason)
{
	struct sleep_and_ask_task task = sleep_and_ask_task();
	struct lade_on_task there = lade_on_task(1, &task);
	int rc = 0;

	lade_scope(s, &rc) {
		lade_start_daemon(&s, &there);
		CHECK_EQ(lade_sleep(lade_ms(2)), 0);
		lade_cancel(&s, lade_s(100));
	}
	CHECK_EQ(told.kind, LADE_REASON_PARENT);
	CHECK_EQ(told.root, LADE_REASON_PARENT);
}

static void sleep_long(void *arg)
{
	*(int *)arg = lade_sleep(lade_s(100));
}

static int clean_up_long(void)
{
	int cleaned = 0;

	lade_defer(sleep_long, &cleaned);
	return lade_sleep(lade_s(100));
}
LADE_TASK_VOID(clean_up_long)

IN_LOOP(cleanups_there_have_the_budget_of_the_scope_here, .cores = 2)
{
	int rc = 0;

	lade_scope(s, &rc, .cleanup = lade_ms(3))
		rc = lade_within(lade_ms(1), lade_join(lade_on(1, lade_do(clean_up_long))));
	CHECK_EQ(rc, -ETIME);
	CHECK_EQ(now_ms(), 4);
}

/* Sends away what hears of no cancel for 100 ms; the shield round it here has a budget of @ms. */
static int send_stubborn(int64_t ms, int64_t deadline_ms)
{
	int rc = 0;

	lade_shield(lade_ms(ms))
		rc = lade_within(lade_ms(deadline_ms),
				 lade_join(lade_on(1, lade_do(stubborn, 100, 0))));
	return rc;
}

IN_LOOP(a_shield_there_has_no_more_than_what_is_left_of_one_here, .cores = 2)
{
	CHECK_EQ(lade_within(lade_ms(1), send_stubborn(2, 1000)), 0);
	CHECK_EQ(now_ms(), 3);
}

IN_LOOP(a_budget_that_runs_here_ends_the_shields_there, .cores = 2)
{
	CHECK_EQ(lade_within(lade_ms(1), send_stubborn(4, 2)), 0);
	CHECK_EQ(now_ms(), 5);
}

static int wait_for_equal_deadline(void)
{
	return lade_within(lade_ms(2), lade_sleep(lade_s(100)));
}
LADE_TASK_VOID(wait_for_equal_deadline)

IN_LOOP(of_equal_deadlines_here_and_there_the_one_here_fires, .cores = 2)
{
	struct wait_for_equal_deadline_task task = wait_for_equal_deadline_task();

	CHECK_EQ(lade_within(lade_ms(2), lade_join(lade_on(1, &task))), -ETIME);
	CHECK_EQ(lade_status(&task), -ECANCELED);
}

static bool softly;

static int end_softly(void)
{
	int rc = 0;

	while (rc == 0 && !lade_stopping())
		rc = lade_sleep(lade_ms(1));
	softly = rc == 0;
	return lade_sleep(lade_s(100));
}
LADE_TASK_VOID(end_softly)

ON_CORES(the_soft_phase_is_heard_there_and_the_hard_one_follows)
{
	struct end_softly_task task = end_softly_task();
	struct lade_on_task there = lade_on_task(1, &task);
	int rc = 0;

	lade_scope(s, &rc) {
		lade_start(&s, &there);
		CHECK_EQ(lade_sleep(lade_ms(1)), 0);
		lade_cancel(&task, lade_ms(200));
	}
	CHECK(softly);
	CHECK_EQ(lade_status(&task), -ECANCELED);
}

static int send_when_stopping(void)
{
	return lade_join(lade_on(1, lade_do(end_softly)));
}
LADE_TASK_VOID(send_when_stopping)

ON_CORES(what_is_sent_in_the_soft_phase_knows_of_it)
{
	struct send_when_stopping_task task = send_when_stopping_task();
	int rc = 0;

	softly = false;
	lade_scope(s, &rc) {
		lade_start(&s, &task);
		lade_cancel(&task, lade_ms(200));
	}
	CHECK(softly);
}

/* Values that must be given back. */
static atomic_int values, dropped;

static void dispose_value(long *value)
{
	atomic_fetch_sub(&values, (int)*value);
}

static void drop_argument(int64_t ms)
{
	(void)ms;
	atomic_fetch_add(&dropped, 1);
}

static atomic_int begun; /* make_value, in its shield */

static int make_value(int64_t ms, long *ret)
{
	atomic_fetch_add(&begun, 1);
	lade_shield(lade_s(10))
		(void)!lade_sleep(lade_ms(ms));
	*ret = 1;
	atomic_fetch_add(&values, 1);
	return 0;
}
LADE_TASK_WITH(make_value, long, (.dispose = dispose_value, .drop_args = drop_argument),
	       (int64_t, ms))

ON_CORES(a_loser_there_that_completed_anyway_is_disposed_of)
{
	struct make_value_task a = make_value_task(1), b = make_value_task(100);

	CHECK_EQ(lade_race_ok(lade_on(1, &a), lade_on(2, &b)), 0);
	CHECK_EQ(atomic_load(&values), 1);
	CHECK_EQ(lade_value(&a), 1);
	CHECK_EQ(lade_status(&b), -ECANCELED);
	atomic_store(&values, 0);
}

ON_CORES(what_completed_in_spite_of_a_cancel_keeps_its_value)
{
	struct make_value_task a = make_value_task(3);
	struct lade_on_task there = lade_on_task(1, &a);
	int rc = 0;

	atomic_store(&begun, 0);
	lade_scope(s, &rc) {
		lade_start(&s, &there);
		while (!atomic_load(&begun) && lade_status(&a) == -EINPROGRESS && rc == 0)
			rc = lade_sleep(lade_us(100));
		lade_cancel(&a);
	}
	CHECK_EQ(lade_value(&a), 1);
	atomic_store(&values, 0);
}

ON_CORES(in_a_cancelled_scope_nothing_is_sent_and_the_arguments_are_given_up)
{
	struct make_value_task a = make_value_task(1), b = make_value_task(1);
	struct lade_on_task on_a = lade_on_task(1, &a), on_b = lade_on_task(1, &b);
	int rc = 0;

	atomic_store(&dropped, 0);
	lade_cancel(&b);
	lade_scope(s, &rc) {
		lade_start(&s, &on_b);
		lade_cancel(&s);
		lade_start(&s, &on_a);
	}
	CHECK_EQ(rc, 0);
	CHECK_EQ(atomic_load(&dropped), 2);
	CHECK_EQ(lade_status(&a), -ECANCELED);
	CHECK_EQ(lade_status(&b), -ECANCELED);
	CHECK_EQ(atomic_load(&values), 0);
}

/* A cancel that overtakes the start: there it finds the task before its first instruction. */
ON_CORES(a_cancel_right_behind_the_start_gives_the_arguments_up_or_is_delivered)
{
	for (int i = 0; i < 200; i++) {
		struct make_value_task a = make_value_task(0);
		struct lade_on_task there = lade_on_task(1, &a);
		int rc = 0;

		atomic_store(&dropped, 0);
		atomic_store(&values, 0);
		lade_scope(s, &rc) {
			lade_start(&s, &there);
			lade_cancel(&a);
		}
		CHECK_EQ(atomic_load(&dropped) + atomic_load(&values), 1);
		CHECK_EQ(lade_status(&a) == 0, atomic_load(&values) == 1);
	}
	atomic_store(&values, 0);
}

static const struct lade_key tenant = { "tenant" }, trace = { "trace" };

static int read_values(const char **ret)
{
	*ret = lade_scope_get(&tenant);
	CHECK_STR(lade_scope_get(&trace), "inner");
	return 0;
}
LADE_TASK(read_values, const char *)

ON_CORES(values_of_the_scopes_round_it_are_found_there)
{
	const char *found = NULL;
	int rc = 0;

	lade_scope(outer, &rc) {
		CHECK_EQ(lade_scope_set(&outer, &tenant, (void *)(uintptr_t) "acme"), 0);
		CHECK_EQ(lade_scope_set(&outer, &trace, (void *)(uintptr_t) "outer"), 0);
		lade_scope(inner, &rc) {
			CHECK_EQ(lade_scope_set(&inner, &trace, (void *)(uintptr_t) "inner"), 0);
			rc = lade_join(lade_on(1, lade_do(read_values, &found)));
		}
	}
	CHECK_EQ(rc, 0);
	CHECK_STR(found, "acme");
}

/* Sends itself on to the next core, @hops times. */
static int hop(int hops, uint64_t *ret);
LADE_TASK(hop, uint64_t, (int, hops))

static int hop(int hops, uint64_t *ret)
{
	uint64_t further = 0;
	int rc = 0;

	if (hops)
		rc = lade_join(lade_on(lade_core() + 1, lade_do(hop, hops - 1, &further)));
	if (rc == 0)
		*ret = further * 10 + lade_core();
	return rc;
}

static int read_both(const char **ret)
{
	*ret = lade_scope_get(&tenant);
	return lade_scope_get(&trace) ? 0 : -ENOENT;
}
LADE_TASK(read_both, const char *)

ON_CORES(a_value_that_is_hidden_by_others_takes_no_place)
{
	const char *found = NULL;
	int rc = 0;

	lade_scope(a, &rc) {
		CHECK_EQ(lade_scope_set(&a, &tenant, (void *)(uintptr_t) "acme"), 0);
		lade_scope(b, &rc) {
			CHECK_EQ(lade_scope_set(&b, &trace, (void *)(uintptr_t) "1"), 0);
			lade_scope(c, &rc) {
				CHECK_EQ(lade_scope_set(&c, &trace, (void *)(uintptr_t) "2"), 0);
				lade_scope(d, &rc) {
					CHECK_EQ(lade_scope_set(&d, &trace, &found), 0);
					lade_scope(e, &rc) {
						CHECK_EQ(lade_scope_set(&e, &trace, &found), 0);
						rc = lade_join(
							lade_on(1, lade_do(read_both, &found)));
					}
				}
			}
		}
	}
	CHECK_EQ(rc, 0);
	CHECK_STR(found, "acme");
}

static atomic_int given_back;

static int give_back(void)
{
	int rc = lade_sleep(lade_ms(1));

	atomic_fetch_add(&given_back, rc == 0);
	return rc;
}
LADE_TASK_VOID(give_back)

static void clean_up_on_core_0(void *arg)
{
	(void)arg;
	(void)!lade_join(lade_on(0, lade_do(give_back)));
}

static int needs_core_0_in_the_end(void)
{
	lade_defer(clean_up_on_core_0, NULL);
	return lade_sleep(lade_s(100));
}
LADE_TASK_VOID(needs_core_0_in_the_end)

static int on_core_1(void)
{
	return lade_join(lade_on(1, lade_do(needs_core_0_in_the_end)));
}
LADE_TASK_VOID(on_core_1)

/* What a loop that ends asks of its own tasks is not for those that others have sent to it. */
static void a_cleanup_elsewhere_may_use_a_core_whose_loop_ends(void)
{
	struct on_core_1_task task = on_core_1_task();
	struct lade_loop *loop;

	CHECK_EQ(lade_loop_new(&(struct lade_loop_config){ .cores = 2 }, &loop), 0);
	lade_loop_start(loop, &task);
	for (int i = 0; i < 50; i++)
		(void)lade_loop_turn(loop);
	lade_loop_free(loop);
	CHECK_EQ(atomic_load(&given_back), 1);
	CHECK_EQ(lade_status(&task), -ECANCELED);
}

ON_CORES(a_task_there_sends_others_further_and_back)
{
	uint64_t path = 0;

	CHECK_EQ(lade_join(lade_on(1, lade_do(hop, 4, &path))), 0);
	CHECK_EQ(path, 21021);
}

ON_CORES(a_cancel_follows_a_chain_over_all_cores)
{
	struct hop_task chain = hop_task(50);
	int rc = 0;

	for (int i = 0; i < 20; i++) {
		chain = hop_task(50);
		lade_scope(s, &rc) {
			lade_start(&s, &chain);
			for (int j = 0; j < i; j++)
				CHECK_EQ(lade_yield(), 0);
			lade_cancel(&chain);
		}
		CHECK(lade_status(&chain) == -ECANCELED || lade_status(&chain) == 0);
	}
}

/* Many tasks on all cores, a part of which is cancelled at any moment. */
static int wander(uint32_t seed, int depth);
LADE_TASK_VOID(wander, (uint32_t, seed), (int, depth))

static int wander_within(struct lade_duration deadline, uint32_t seed, int depth)
{
	return lade_within(deadline, lade_join(lade_on(seed >> 20, lade_do(wander, seed, depth))));
}

static int wander(uint32_t seed, int depth)
{
	uint32_t a = seed * 1664525u + 1013904223u, b = a * 1664525u + 1013904223u;
	struct lade_duration deadline = lade_us(a >> 8 & 255);
	int rc;

	if (depth == 0)
		return a & 4096 ? lade_sleep(lade_us(b >> 8 & 127)) : lade_yield();
	switch (a >> 28 & 3) {
	case 0:
		rc = lade_within(deadline,
				 lade_join(lade_on(a >> 20, lade_do(wander, a, depth - 1)),
					   lade_do(wander, b, depth - 1)));
		break;
	case 1:
		rc = lade_race_ok(lade_on(a >> 20, lade_do(wander, a, depth - 1)),
				  lade_on(b >> 20, lade_do(wander, b, depth - 1)));
		break;
	case 2:
		rc = lade_join_all(lade_on(b >> 20, lade_do(wander, a, depth - 1)),
				   lade_on(a >> 20, lade_do(wander, b, depth - 1)));
		break;
	default:
		rc = 0;
		lade_shield(lade_ms(50))
			rc = wander_within(deadline, a, depth - 1);
	}
	return rc == -ETIME || rc > 0 ? 0 : rc;
}

ON_CORES(thousands_of_tasks_wander_over_all_cores_and_all_of_them_end)
{
	for (uint32_t seed = 0; seed < RUN_MANY(500); seed++) {
		int rc = lade_within(lade_us(seed & 1023),
				     lade_join(lade_do(wander, seed, 5),
					       lade_on(seed, lade_do(wander, ~seed, 5))));

		CHECK(rc == 0 || rc == -ETIME || rc == -ECANCELED);
	}
}

static void send_to_all_body(void)
{
	CHECK_EQ(lade_join(lade_on(1, lade_do(end_after, 0, 0)),
			   lade_on(2, lade_do(end_after, 0, 0))),
		 0);
}

static void the_loops_of_all_cores_are_closed_with_the_first(void)
{
	int before = descriptors();

	run_with(&(struct lade_loop_config){ .cores = 3 }, send_to_all_body);
	CHECK_EQ(descriptors(), before);
}

static void there_are_at_most_64_cores_body(void)
{
	CHECK_EQ(lade_cores(), 64);
}

static void there_are_at_most_64_cores(void)
{
	run_with(&(struct lade_loop_config){ .cores = 100 }, there_are_at_most_64_cores_body);
}

IN_LOOP(with_a_virtual_clock_all_cores_are_one_loop_and_the_order_repeats, .cores = 2)
{
	CHECK_EQ(lade_cores(), 2);
	CHECK_EQ(lade_join(lade_on(1, lade_do(tell_after, "a", 2, 0)),
			   lade_on(0, lade_do(tell_after, "b", 1, 0)),
			   lade_do(tell_after, "c", 3, 0)),
		 0);
	CHECK_STR(slate, "b:0 a:0 c:0");
	CHECK_EQ(now_ms(), 3);
}

static void send_a_composite(void)
{
	struct end_after_task a = end_after_task(1, 0);
	struct lade_join_task both = lade_join_task(&a);

	(void)!lade_join(lade_on(1, &both));
}

static void a_composite_that_is_sent_ends_the_process(void)
{
	run_with(&(struct lade_loop_config){ .backend = "virtual" }, send_a_composite);
}

int main(void)
{
	TAP(a_task_runs_on_the_core_that_was_named);
	TAP(a_value_and_a_status_come_home_under_the_tasks_own_name);
	TAP(a_failure_there_cancels_the_siblings_here_and_there);
	TAP(a_deadline_here_ends_what_runs_there_and_says_why);
	TAP(a_task_there_is_cancelled_by_its_own_name);
	TAP(who_loses_a_race_there_is_told_so);
	TAP(a_hard_request_after_a_soft_one_tells_its_own_reason);
	TAP(cleanups_there_have_the_budget_of_the_scope_here);
	TAP(a_shield_there_has_no_more_than_what_is_left_of_one_here);
	TAP(a_budget_that_runs_here_ends_the_shields_there);
	TAP(of_equal_deadlines_here_and_there_the_one_here_fires);
	TAP(the_soft_phase_is_heard_there_and_the_hard_one_follows);
	TAP(what_is_sent_in_the_soft_phase_knows_of_it);
	TAP(a_loser_there_that_completed_anyway_is_disposed_of);
	TAP(what_completed_in_spite_of_a_cancel_keeps_its_value);
	TAP(in_a_cancelled_scope_nothing_is_sent_and_the_arguments_are_given_up);
	TAP(a_cancel_right_behind_the_start_gives_the_arguments_up_or_is_delivered);
	TAP(values_of_the_scopes_round_it_are_found_there);
	TAP(a_value_that_is_hidden_by_others_takes_no_place);
	TAP(a_cleanup_elsewhere_may_use_a_core_whose_loop_ends);
	TAP(a_task_there_sends_others_further_and_back);
	TAP(a_cancel_follows_a_chain_over_all_cores);
	TAP(thousands_of_tasks_wander_over_all_cores_and_all_of_them_end);
	TAP(the_loops_of_all_cores_are_closed_with_the_first);
	TAP(there_are_at_most_64_cores);
	TAP(with_a_virtual_clock_all_cores_are_one_loop_and_the_order_repeats);
	TAP_DIES(a_composite_that_is_sent_ends_the_process, "a composite runs where it is written");
	return tap_done();
}
