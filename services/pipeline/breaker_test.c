/* SPDX-License-Identifier: MIT */
/* breaker_test.c - when the circuit opens, who may try, and when it closes. */

#include "services/pipeline/breaker.h"

#include "tap.h"

#define THREE { .failures_max = 3, .pause_ns = 100 }

/* A call that fails, at @now_ns. */
static bool fail(struct lade_pipe_breaker *b, int64_t now_ns)
{
	return lade_pipe_breaker_failed(b, lade_pipe_breaker_ask(b, now_ns), now_ns);
}

static void it_opens_after_so_many_failures_in_a_row(void)
{
	struct lade_pipe_breaker b = THREE;

	CHECK(!fail(&b, 1));
	CHECK(!fail(&b, 2));
	lade_pipe_breaker_answered(&b, lade_pipe_breaker_ask(&b, 3));
	CHECK(!fail(&b, 4));
	CHECK(!fail(&b, 5));
	CHECK_EQ(lade_pipe_breaker_ask(&b, 5), LADE_PASS_CALL);
	CHECK(fail(&b, 6));
	CHECK_EQ(b.opened, 1);
	CHECK_EQ(lade_pipe_breaker_ask(&b, 6), LADE_PASS_NOT);
	CHECK_EQ(lade_pipe_breaker_ask(&b, 105), LADE_PASS_NOT);
	CHECK_EQ(b.refused, 2);
}

static void after_the_pause_one_call_is_made_and_no_other(void)
{
	struct lade_pipe_breaker b = THREE;

	for (int i = 0; i < 3; i++)
		fail(&b, 0);
	CHECK_EQ(lade_pipe_breaker_ask(&b, 100), LADE_PASS_PROBE);
	CHECK_EQ(lade_pipe_breaker_ask(&b, 100), LADE_PASS_NOT);
	lade_pipe_breaker_answered(&b, LADE_PASS_PROBE);
	CHECK_EQ(lade_pipe_breaker_ask(&b, 101), LADE_PASS_CALL);
	CHECK(!fail(&b, 102)); /* counted from none again */
}

static void a_probe_that_fails_begins_the_pause_anew(void)
{
	struct lade_pipe_breaker b = THREE;

	for (int i = 0; i < 3; i++)
		fail(&b, 0);
	CHECK(fail(&b, 120));
	CHECK_EQ(lade_pipe_breaker_ask(&b, 219), LADE_PASS_NOT);
	CHECK_EQ(lade_pipe_breaker_ask(&b, 220), LADE_PASS_PROBE);
	CHECK_EQ(b.opened, 1);
}

static void a_probe_that_is_cancelled_leaves_it_to_another(void)
{
	struct lade_pipe_breaker b = THREE;

	for (int i = 0; i < 3; i++)
		fail(&b, 0);
	CHECK_EQ(lade_pipe_breaker_ask(&b, 100), LADE_PASS_PROBE);
	lade_pipe_breaker_gave_up(&b, LADE_PASS_PROBE);
	CHECK_EQ(lade_pipe_breaker_ask(&b, 100), LADE_PASS_PROBE);
}

static void what_was_under_way_closes_it_and_does_not_prolong_the_pause(void)
{
	struct lade_pipe_breaker b = THREE;
	enum lade_pipe_pass early = lade_pipe_breaker_ask(&b, 0);

	for (int i = 0; i < 3; i++)
		fail(&b, 0);
	CHECK(!lade_pipe_breaker_failed(&b, early, 90));
	CHECK_EQ(lade_pipe_breaker_ask(&b, 100), LADE_PASS_PROBE);
	lade_pipe_breaker_answered(&b, early);
	CHECK_EQ(lade_pipe_breaker_ask(&b, 100), LADE_PASS_CALL);
}

static void without_a_number_of_failures_it_never_opens(void)
{
	struct lade_pipe_breaker b = { .pause_ns = 100 };

	for (int i = 0; i < 1000; i++)
		CHECK(!fail(&b, i));
	CHECK_EQ(lade_pipe_breaker_ask(&b, 1000), LADE_PASS_CALL);
}

int main(void)
{
	TAP(it_opens_after_so_many_failures_in_a_row);
	TAP(after_the_pause_one_call_is_made_and_no_other);
	TAP(a_probe_that_fails_begins_the_pause_anew);
	TAP(a_probe_that_is_cancelled_leaves_it_to_another);
	TAP(what_was_under_way_closes_it_and_does_not_prolong_the_pause);
	TAP(without_a_number_of_failures_it_never_opens);
	return tap_done();
}
