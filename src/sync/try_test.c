/* SPDX-License-Identifier: MIT */
/* try_test.c - what never waits may be called where nothing may suspend. */

#include <lade/channel.h>
#include <lade/event.h>

#include "run.h"

LADE_CHANNEL(number, long)

IN_TASK(a_try_call_never_suspends)
{
	struct tell_after_task other = tell_after_task("other", 0, 0);
	struct number_channel *ch = NULL;
	struct lade_sem sem;
	long n = 0;
	int rc = 0;

	NEED_EQ(number_channel_new(1, &ch), 0);
	lade_sem_init(&sem, 1);
	lade_scope(s, &rc) {
		lade_start(&s, &other);
		lade_no_suspend
			for (int i = 0; i < 1000; i++) {
				CHECK_EQ(number_try_send(ch, 5), 0);
				CHECK_EQ(number_try_send(ch, 6), -EAGAIN);
				CHECK_EQ(number_try_recv(ch, &n), 0);
				CHECK_EQ(number_try_recv(ch, &n), -EAGAIN);
				CHECK_EQ(lade_sem_try_acquire(&sem, 1), 0);
				CHECK_EQ(lade_sem_try_acquire(&sem, 1), -EAGAIN);
				lade_sem_release(&sem, 1);
			}
		CHECK_STR(slate, "");
	}
	CHECK_EQ(n, 5);
	CHECK_STR(slate, "other:0");
	number_channel_free(ch);
}

IN_TASK(a_try_call_asks_nothing_of_a_cancelled_task)
{
	struct number_channel *ch = NULL;
	long n = 0;
	int rc = 0;

	NEED_EQ(number_channel_new(1, &ch), 0);
	lade_scope(s, &rc) {
		lade_cancel(&s);
		CHECK_EQ(number_try_send(ch, 5), 0);
		CHECK_EQ(number_send(ch, 6), -ECANCELED);
		CHECK_EQ(number_try_recv(ch, &n), 0);
		CHECK_EQ(n, 5);
		CHECK_EQ(number_recv(ch, &n), -ECANCELED);
	}
	number_channel_free(ch);
}

/* A commit cannot fail and does not suspend; the place was reserved before. */
IN_TASK(a_commit_succeeds_in_a_cancelled_task_and_inside_no_suspend)
{
	struct number_channel *ch = NULL;
	long n = 0;
	int rc = 0;

	NEED_EQ(number_channel_new(1, &ch), 0);
	CHECK_EQ(number_reserve(ch), 0);
	lade_scope(s, &rc) {
		lade_cancel(&s);
		lade_no_suspend
			number_commit(ch, 7);
		CHECK_EQ(number_reserve(ch), -ECANCELED);
	}
	CHECK_EQ(number_try_recv(ch, &n), 0);
	CHECK_EQ(n, 7);
	number_channel_free(ch);
}

/* Waking hands over */

static int acquires(struct lade_sem *sem, const char *name, uint32_t count)
{
	int rc = lade_sem_acquire(sem, count);

	write_down("%s:%d", name, rc);
	return rc;
}
LADE_TASK_VOID(acquires, (struct lade_sem *, sem), (const char *, name), (uint32_t, count))

IN_TASK(a_permit_goes_to_who_waits_at_the_moment_of_the_release)
{
	struct acquires_task a = { 0 };
	struct lade_sem sem;
	int rc = 0;

	lade_sem_init(&sem, 0);
	a = acquires_task(&sem, "a", 1);
	lade_scope(s, &rc) {
		lade_start(&s, &a);
		CHECK_EQ(lade_yield(), 0);
		lade_sem_release(&sem, 1);
		/* The waiter has not run yet, and the permit is its own already. */
		CHECK_EQ(lade_sem_try_acquire(&sem, 1), -EAGAIN);
		lade_cancel(&a);
	}
	CHECK_STR(slate, "a:0");
}

IN_TASK(a_cancelled_waiter_is_passed_over_by_the_next_release)
{
	struct acquires_task a = { 0 }, b = { 0 };
	struct lade_sem sem;
	int rc = 0;

	lade_sem_init(&sem, 0);
	a = acquires_task(&sem, "a", 1);
	b = acquires_task(&sem, "b", 1);
	lade_scope(s, &rc) {
		lade_start(&s, &a);
		lade_start(&s, &b);
		CHECK_EQ(lade_yield(), 0);
		lade_cancel(&a);
		lade_sem_release(&sem, 1);
	}
	CHECK_EQ(rc, 0);
	CHECK_STR(slate, "a:-125 b:0");
	CHECK_EQ(lade_sem_try_acquire(&sem, 1), -EAGAIN);
}

static int sends(struct number_channel *ch, long number)
{
	int rc = number_send(ch, number);

	write_down("sent:%d", rc);
	return rc;
}
LADE_TASK_VOID(sends, (struct number_channel *, ch), (long, number))

static int receives(struct number_channel *ch)
{
	long n = -1;
	int rc = number_recv(ch, &n);

	write_down("received:%d:%ld", rc, n);
	return rc;
}
LADE_TASK_VOID(receives, (struct number_channel *, ch))

IN_TASK(an_item_goes_to_the_receiver_that_waits_and_a_later_cancel_does_not_lose_it)
{
	struct number_channel *ch = NULL;
	struct receives_task a = { 0 };
	int rc = 0;

	NEED_EQ(number_channel_new(1, &ch), 0);
	a = receives_task(ch);
	lade_scope(s, &rc) {
		lade_start(&s, &a);
		CHECK_EQ(lade_yield(), 0);
		CHECK_EQ(number_try_send(ch, 5), 0);
		lade_cancel(&a);
	}
	CHECK_STR(slate, "received:0:5");
	number_channel_free(ch);
}

IN_TASK(a_cancelled_sender_keeps_its_item_and_the_next_one_is_served)
{
	struct number_channel *ch = NULL;
	struct sends_task a = { 0 }, b = { 0 };
	long n = 0;
	int rc = 0;

	NEED_EQ(number_channel_new(1, &ch), 0);
	CHECK_EQ(number_try_send(ch, 1), 0);
	a = sends_task(ch, 2);
	b = sends_task(ch, 3);
	lade_scope(s, &rc) {
		lade_start(&s, &a);
		lade_start(&s, &b);
		CHECK_EQ(lade_yield(), 0);
		lade_cancel(&a);
		CHECK_EQ(number_try_recv(ch, &n), 0);
		CHECK_EQ(n, 1);
		CHECK_EQ(lade_yield(), 0);
		CHECK_EQ(number_try_recv(ch, &n), 0);
		CHECK_EQ(n, 3);
		CHECK_EQ(number_try_recv(ch, &n), -EAGAIN);
	}
	CHECK_STR(slate, "sent:-125 sent:0");
	number_channel_free(ch);
}

int main(void)
{
	TAP(a_try_call_never_suspends);
	TAP(a_try_call_asks_nothing_of_a_cancelled_task);
	TAP(a_commit_succeeds_in_a_cancelled_task_and_inside_no_suspend);
	TAP(a_permit_goes_to_who_waits_at_the_moment_of_the_release);
	TAP(a_cancelled_waiter_is_passed_over_by_the_next_release);
	TAP(an_item_goes_to_the_receiver_that_waits_and_a_later_cancel_does_not_lose_it);
	TAP(a_cancelled_sender_keeps_its_item_and_the_next_one_is_served);
	return tap_done();
}
