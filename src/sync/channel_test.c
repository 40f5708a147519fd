/* SPDX-License-Identifier: MIT */
/* channel_test.c - channels, events, semaphores and selects on the virtual clock. */

#include <lade/channel.h>
#include <lade/event.h>
#include <lade/join.h>

#include "backend.h"
#include "uring.h"

#include <errno.h>

LADE_CHANNEL(number, long)

static int send_numbers(struct number_channel *ch, long count, bool close_it)
{
	int rc = 0;

	for (long i = 0; rc == 0 && i < count; i++)
		rc = number_send(ch, i);
	if (close_it)
		number_channel_close(ch);
	return rc;
}
LADE_TASK_VOID(send_numbers, (struct number_channel *, ch), (long, count), (bool, close_it))

static int sum_numbers(struct number_channel *ch, long *ret)
{
	long sum = 0, n;
	int rc;

	while ((rc = number_recv(ch, &n)) == 0)
		sum += n;
	*ret = sum;
	return rc == -EPIPE ? 0 : rc;
}
LADE_TASK(sum_numbers, long, (struct number_channel *, ch))

static void pass(uint32_t capacity)
{
	struct number_channel *ch = NULL;
	long sum = 0;

	NEED_EQ(number_channel_new(capacity, &ch), 0);
	CHECK_EQ(lade_join(lade_do(send_numbers, ch, 1000, true), lade_do(sum_numbers, ch, &sum)),
		 0);
	CHECK_EQ(sum, 499500);
	number_channel_free(ch);
}

static void capacities(void)
{
	pass(0);
	pass(1);
	pass(7);
	pass(2000);
}

static void every_item_sent_is_received_whatever_the_capacity(void)
{
	run_on("virtual", capacities);
}

static void deadline_body(void)
{
	struct number_channel *ch = NULL;
	long n = -1;

	NEED_EQ(number_channel_new(1, &ch), 0);
	CHECK_EQ(lade_within(lade_ms(3), number_recv(ch, &n)), -ETIME);
	CHECK_EQ(n, -1);
	CHECK_EQ(number_send(ch, 5), 0);
	CHECK_EQ(lade_within(lade_ms(3), number_send(ch, 6)), -ETIME);
	CHECK_EQ(number_try_send(ch, 7), -EAGAIN);
	CHECK_EQ(number_recv(ch, &n), 0);
	CHECK_EQ(n, 5);
	CHECK_EQ(number_try_recv(ch, &n), -EAGAIN);
	number_channel_free(ch);
}

static void a_cancelled_send_or_receive_moves_nothing(void)
{
	run_on("virtual", deadline_body);
}

static int send_at(struct number_channel *ch, int ms, long value)
{
	int rc = lade_sleep(lade_ms(ms));

	return rc < 0 ? rc : number_send(ch, value);
}
LADE_TASK_VOID(send_at, (struct number_channel *, ch), (int, ms), (long, value))

static int recv_within(struct number_channel *ch, int ms, long *ret)
{
	return lade_within(lade_ms(ms), number_recv(ch, ret));
}
LADE_TASK(recv_within, long, (struct number_channel *, ch), (int, ms))

static void tie_body(void)
{
	struct number_channel *ch = NULL;
	long n = -1;

	NEED_EQ(number_channel_new(0, &ch), 0);
	/* The sleep and the deadline are due at the same instant. */
	CHECK_EQ(lade_join_all(lade_do(recv_within, ch, 5, &n), lade_do(send_at, ch, 5, 9)), 0);
	CHECK_EQ(n, 9);
	number_channel_free(ch);
}

static void an_item_that_ties_with_the_deadline_is_received(void)
{
	run_on("virtual", tie_body);
}

static void reserve_body(void)
{
	struct number_channel *ch = NULL;
	long n;

	NEED_EQ(number_channel_new(2, &ch), 0);
	CHECK_EQ(number_reserve(ch), 0);
	CHECK_EQ(number_send(ch, 1), 0);
	CHECK_EQ(number_try_send(ch, 2), -EAGAIN);
	number_commit(ch, 3);
	CHECK_EQ(number_recv(ch, &n), 0);
	CHECK_EQ(n, 1);
	CHECK_EQ(number_recv(ch, &n), 0);
	CHECK_EQ(n, 3);
	CHECK_EQ(number_reserve(ch), 0);
	CHECK_EQ(number_reserve(ch), 0);
	CHECK_EQ(lade_within(lade_ms(1), number_reserve(ch)), -ETIME);
	number_unreserve(ch);
	CHECK_EQ(number_reserve(ch), 0);
	number_channel_free(ch);
}

static void a_reserved_place_is_kept_until_it_is_used_or_given_up(void)
{
	run_on("virtual", reserve_body);
}

/* A producer has a place, the channel is closed by another one, and then the item comes. */
static void close_with_a_place(bool wait_first, bool commit)
{
	struct number_channel *ch = NULL;
	struct sum_numbers_task receiver;
	long none;
	int rc = 0;

	NEED_EQ(number_channel_new(2, &ch), 0);
	receiver = sum_numbers_task(ch);
	CHECK_EQ(number_reserve(ch), 0);
	lade_scope(s, &rc) {
		lade_start(&s, &receiver);
		if (wait_first)
			CHECK_EQ(lade_yield(), 0);
		number_channel_close(ch);
		CHECK_EQ(number_try_recv(ch, &none), -EAGAIN);
		CHECK_EQ(number_send(ch, 1), -EPIPE);
		CHECK_EQ(number_reserve(ch), -EPIPE);
		CHECK_EQ(lade_yield(), 0);
		if (commit)
			number_commit(ch, 42);
		else
			number_unreserve(ch);
	}
	CHECK_EQ(rc, 0);
	CHECK_EQ(lade_value(&receiver), commit ? 42 : 0);
	CHECK_EQ(number_try_recv(ch, &none), -EPIPE);
	number_channel_free(ch);
}

static void close_reserved_body(void)
{
	for (int i = 0; i < 4; i++)
		close_with_a_place(i & 1, i & 2);
}

static void what_is_committed_after_the_close_is_received(void)
{
	run_on("virtual", close_reserved_body);
}

static int select_two(struct number_channel *a, struct number_channel *b, long *ret)
{
	long x = 0, y = 0;
	int i = lade_select(number_recv_case(a, &x), number_recv_case(b, &y),
			    lade_after(lade_ms(10)), lade_on_stopping());

	*ret = i == 0 ? x : y;
	return i;
}
LADE_TASK(select_two, long, (struct number_channel *, a), (struct number_channel *, b))

static int select_stopping_twice(void)
{
	return lade_select(lade_after(lade_s(1)), lade_on_stopping(), lade_on_stopping());
}
LADE_TASK_VOID(select_stopping_twice)

static void select_twice_body(void)
{
	struct select_stopping_twice_task t = select_stopping_twice_task();
	int rc = 0;

	lade_scope(s, &rc) {
		lade_start(&s, &t);
		CHECK_EQ(lade_yield(), 0);
		lade_cancel(&t, lade_ms(10));
	}
	CHECK_EQ(rc, 0);
	CHECK_EQ(lade_status(&t), 1);
}

static void of_two_cases_that_become_possible_at_once_the_first_is_done(void)
{
	run_on("virtual", select_twice_body);
}

static void select_body(void)
{
	struct number_channel *a = NULL, *b = NULL;
	struct select_two_task t;
	int rc = 0;
	long n = 0;

	NEED_EQ(number_channel_new(1, &a), 0);
	NEED_EQ(number_channel_new(1, &b), 0);
	CHECK_EQ(select_two(a, b, &n), 2);
	CHECK_EQ(number_send(b, 8), 0);
	CHECK_EQ(select_two(a, b, &n), 1);
	CHECK_EQ(n, 8);
	CHECK_EQ(number_send(a, 4), 0);
	CHECK_EQ(number_send(b, 5), 0);
	CHECK_EQ(select_two(a, b, &n), 0);
	CHECK_EQ(n, 4);
	CHECK_EQ(number_try_recv(b, &n), 0);
	t = select_two_task(a, b);
	lade_scope(s, &rc) {
		lade_start(&s, &t);
		rc = lade_sleep(lade_ms(1));
		lade_cancel(&t, lade_ms(1));
	}
	CHECK_EQ(rc, 0);
	CHECK_EQ(lade_status(&t), 3);
	t = select_two_task(a, b);
	lade_scope(s, &rc) {
		lade_start(&s, &t);
		rc = lade_sleep(lade_ms(1));
		CHECK_EQ(number_send(a, 6), 0);
		lade_cancel(&t, lade_ms(0));
	}
	CHECK_EQ(rc, 0);
	CHECK_EQ(lade_status(&t), 0);
	CHECK_EQ(lade_value(&t), 6);
	number_channel_close(a);
	CHECK_EQ(select_two(a, b, &n), -EPIPE);
	number_channel_free(a);
	number_channel_free(b);
}

static void a_select_does_exactly_one_of_its_cases(void)
{
	run_on("virtual", select_body);
}

static int hold(struct lade_sem *sem, uint32_t count, int ms)
{
	int rc = lade_sem_acquire(sem, count);

	if (rc < 0)
		return rc;
	rc = lade_sleep(lade_ms(ms));
	lade_sem_release(sem, count);
	return rc;
}
LADE_TASK_VOID(hold, (struct lade_sem *, sem), (uint32_t, count), (int, ms))

static void sem_body(void)
{
	struct lade_event event;
	struct lade_sem sem;
	int rc = 0;

	lade_sem_init(&sem, 3);
	lade_scope(s, &rc) {
		for (int i = 0; i < 50 && rc == 0; i++)
			rc = lade_spawn(&s, hold_task(&sem, 1 + (uint32_t)i % 3, i % 4));
	}
	CHECK_EQ(rc, 0);
	CHECK_EQ(sem.permits, 3);
	CHECK_EQ(lade_sem_acquire(&sem, 2), 0);
	CHECK_EQ(lade_within(lade_ms(1), lade_sem_acquire(&sem, 2)), -ETIME);
	CHECK_EQ(lade_sem_try_acquire(&sem, 1), 0);
	lade_sem_release(&sem, 3);
	lade_event_init(&event);
	CHECK_EQ(lade_within(lade_ms(1), lade_event_wait(&event)), -ETIME);
	lade_event_set(&event);
	CHECK_EQ(lade_event_wait(&event), 0);
	CHECK_EQ(lade_select(lade_after(lade_ms(9)), lade_event_case(&event)), 1);
}

static void permits_are_conserved_and_an_event_lets_everybody_go(void)
{
	run_on("virtual", sem_body);
}

static void ready_body(void)
{
	long n = 0;
	struct number_channel *ch = NULL;
	int fds[2];

	NEED_EQ(number_channel_new(1, &ch), 0);
	NEED_EQ(pipe(fds), 0);
	CHECK_EQ(lade_select(lade_readable_case(fds[0]), lade_after(lade_ms(2))), 1);
	CHECK_EQ(lade_select(lade_readable_case(fds[0]), lade_writable_case(fds[1])), 1);
	CHECK_EQ(number_send(ch, 2), 0);
	CHECK_EQ(lade_select(lade_readable_case(fds[0]), number_recv_case(ch, &n)), 1);
	CHECK_EQ(write(fds[1], "x", 1), 1);
	CHECK_EQ(lade_select(number_recv_case(ch, &n), lade_readable_case(fds[0])), 1);
	CHECK_EQ(lade_within(lade_ms(2), lade_select(number_recv_case(ch, &n))), -ETIME);
	close(fds[0]);
	close(fds[1]);
	number_channel_free(ch);
}

static void readiness_is_a_case_on_epoll(void)
{
	run_on("epoll", ready_body);
}

static void readiness_is_a_case_on_uring(void)
{
	run_on("uring", ready_body);
}

int main(void)
{
	TAP(every_item_sent_is_received_whatever_the_capacity);
	TAP(a_cancelled_send_or_receive_moves_nothing);
	TAP(an_item_that_ties_with_the_deadline_is_received);
	TAP(a_reserved_place_is_kept_until_it_is_used_or_given_up);
	TAP(what_is_committed_after_the_close_is_received);
	TAP(a_select_does_exactly_one_of_its_cases);
	TAP(of_two_cases_that_become_possible_at_once_the_first_is_done);
	TAP(permits_are_conserved_and_an_event_lets_everybody_go);
	TAP(readiness_is_a_case_on_epoll);
	TAP_URING(readiness_is_a_case_on_uring);
	return tap_done();
}
