/* SPDX-License-Identifier: MIT */
/* record_test.c - what the flight recorder keeps, of whom, and when. */

#include "core/record.h"

#include "run.h"

static struct lade_loop *here(void)
{
	return lade_cur->loop;
}

/* The latest event of a kind; .ctl is (void *)-1 if there is none. */
static struct lade_recorded latest(enum event_kind kind)
{
	struct lade_recorded e;

	for (size_t back = 1; back <= lade_record_len(here()); back++)
		if (lade_record_get(here(), back, &e) && e.kind == kind)
			return e;
	return (struct lade_recorded){ .ctl = (void *)-1 };
}

static int count(enum event_kind kind)
{
	struct lade_recorded e;
	int n = 0;

	for (size_t back = 1; back <= lade_record_len(here()); back++)
		n += lade_record_get(here(), back, &e) && e.kind == kind;
	return n;
}

IN_TASK(a_start_a_wait_and_an_end_are_recorded_with_who_and_where)
{
	struct end_after_task one = end_after_task(5, 7);
	struct lade_recorded e;
	const char *site = NULL;
	int rc = 0;

	lade_scope(s, &rc) {
		site = LADE_SITE, lade_start(&s, &one);
		e = latest(EVENT_START);
		CHECK_STR(e.site, site);
		CHECK(e.ctl == one.head.ctl);
		CHECK_EQ(e.number, 2);
		CHECK(!e.type);
		CHECK_EQ(lade_yield(), 0);
		e = latest(EVENT_WAIT);
		CHECK(e.ctl == one.head.ctl && strstr(e.site, "run.h:"));
	}
	e = latest(EVENT_END);
	CHECK_EQ(e.status, 7);
	CHECK_EQ(e.number, 2);
	CHECK(e.type == one.head.type);
	/* What was recorded before of a task that has ended since tells who it was, too. */
	e = latest(EVENT_START);
	CHECK(e.type == one.head.type);
	CHECK_EQ(e.number, 2);
}

IN_TASK(statuses_are_exact_whatever_they_are)
{
	static const int statuses[] = { 0,	   -EIO,      -ECANCELED, 1,
					INT32_MAX, INT32_MIN, -4095,	  -4096 };

	for (size_t i = 0; i < sizeof(statuses) / sizeof(*statuses); i++) {
		struct end_after_task one = end_after_task(1, statuses[i]);
		int rc = 0;

		lade_scope(s, &rc, .policy = LADE_ALL)
			lade_start(&s, &one);
		CHECK_EQ(latest(EVENT_END).status, statuses[i]);
		CHECK(latest(EVENT_END).type == one.head.type);
		CHECK_EQ(latest(EVENT_END).number, 2 + i);
	}
}

IN_TASK(tasks_one_after_the_other_on_one_stack_are_not_taken_for_each_other)
{
	struct end_after_task one = end_after_task(1, 0);
	struct value_after_task two = value_after_task(1, 5);
	struct lade_recorded e;
	int rc = 0, ends = 0;

	lade_scope(s, &rc)
		lade_start(&s, &one);
	lade_scope(s, &rc)
		lade_start(&s, &two);
	for (size_t back = 1; back <= lade_record_len(here()); back++) {
		if (!lade_record_get(here(), back, &e) || e.number == 1)
			continue;
		CHECK(e.type == (e.number == 2 ? one.head.type : two.head.type));
		CHECK(e.number == 2 || e.number == 3);
		ends += e.kind == EVENT_END;
	}
	CHECK_EQ(ends, 2);
}

IN_TASK(a_request_its_delivery_and_the_end_by_it_are_recorded)
{
	struct end_after_task one = end_after_task(1000, 0);
	struct lade_recorded e;
	const char *site = NULL;
	int rc = 0;

	lade_scope(s, &rc) {
		lade_start(&s, &one);
		CHECK_EQ(lade_sleep(lade_ms(20)), 0);
		site = LADE_SITE, lade_cancel(&one);
		e = latest(EVENT_REQUEST);
		CHECK_STR(e.site, site);
		CHECK_EQ(e.reason, LADE_REASON_USER);
		CHECK_EQ(e.level, LEVEL_HARD);
		CHECK(e.ctl == one.head.ctl);
		e = latest(EVENT_COMPLETE);
		CHECK_EQ(e.status, -ECANCELED);
		CHECK_EQ(e.number, 2);
		CHECK_EQ(e.at_ns, run_start_ns + 20000000);
	}
	CHECK_EQ(latest(EVENT_END).status, -ECANCELED);
}

static int calls_twice_more(void)
{
	int rc = lade_sleep(lade_s(10));

	return rc == -ECANCELED && lade_sleep(lade_s(10)) == rc ? rc : -EPROTO;
}
LADE_TASK_VOID(calls_twice_more)

IN_TASK(a_call_that_a_cancel_keeps_from_beginning_is_recorded)
{
	struct calls_twice_more_task one = calls_twice_more_task();
	int rc = 0;

	lade_scope(s, &rc) {
		lade_start(&s, &one);
		CHECK_EQ(lade_yield(), 0);
		lade_cancel(&one, lade_ms(5));
		CHECK_EQ(latest(EVENT_REQUEST).level, LEVEL_SOFT);
		CHECK_EQ(lade_wait(&one), 0);
	}
	CHECK_EQ(count(EVENT_CANCELLED), 1);
	CHECK_EQ(latest(EVENT_CANCELLED).number, 2);
	CHECK_EQ(lade_status(&one), -ECANCELED);
}

IN_TASK(a_loop_that_only_sleeps_fills_the_ring_with_waits_and_one_time_between_two)
{
	size_t before = lade_record_len(here());

	for (int i = 0; i < 10; i++)
		CHECK_EQ(lade_sleep(lade_ms(1)), 0);
	CHECK_EQ(lade_record_len(here()) - before, 20);
	CHECK_EQ(latest(EVENT_WAIT).at_ns, lade_now().mono_ns - 1000000);
}

IN_LOOP(the_ring_keeps_the_latest_and_a_lost_start_leaves_the_name, .recorder_events = 20)
{
	struct end_after_task one = end_after_task(500, 3);
	struct lade_recorded e;
	int rc = 0;

	lade_scope(s, &rc) {
		lade_start(&s, &one);
		for (int i = 0; i < 100; i++)
			CHECK_EQ(lade_sleep(lade_ms(1)), 0);
		CHECK_EQ(lade_record_len(here()), 32);
		CHECK_EQ(count(EVENT_START), 0);
	}
	e = latest(EVENT_END);
	CHECK(e.type == one.head.type);
	CHECK_EQ(e.number, 0);
	CHECK_EQ(e.status, 3);
	/* What came before the oldest time that is left has none. */
	for (size_t back = lade_record_len(here()); !lade_record_get(here(), back, &e); back--)
		;
	CHECK(e.at_ns == 0 || e.at_ns > run_start_ns);
}

IN_LOOP(a_recorder_that_is_off_keeps_nothing_to_look_at, .recorder_events = -1)
{
	struct end_after_task one = end_after_task(5, 0);
	int rc = 0;

	lade_scope(s, &rc)
		lade_start(&s, &one);
	CHECK_EQ(rc, 0);
	CHECK_EQ(lade_record_events(here()), -1);
	CHECK_EQ(lade_record_len(here()), 0);
}

IN_LOOP(more_than_a_million_events_are_a_million, .recorder_events = INT32_MAX)
{
	CHECK_EQ(lade_record_events(here()), 1 << 20);
}

IN_TASK(there_are_1024_events_unless_set)
{
	CHECK_EQ(lade_record_events(here()), 1024);
}

int main(void)
{
	TAP(a_start_a_wait_and_an_end_are_recorded_with_who_and_where);
	TAP(statuses_are_exact_whatever_they_are);
	TAP(tasks_one_after_the_other_on_one_stack_are_not_taken_for_each_other);
	TAP(a_request_its_delivery_and_the_end_by_it_are_recorded);
	TAP(a_call_that_a_cancel_keeps_from_beginning_is_recorded);
	TAP(a_loop_that_only_sleeps_fills_the_ring_with_waits_and_one_time_between_two);
	TAP(the_ring_keeps_the_latest_and_a_lost_start_leaves_the_name);
	TAP(a_recorder_that_is_off_keeps_nothing_to_look_at);
	TAP(more_than_a_million_events_are_a_million);
	TAP(there_are_1024_events_unless_set);
	return tap_done();
}
