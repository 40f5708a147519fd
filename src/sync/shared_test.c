/* SPDX-License-Identifier: MIT */
/* shared_test.c - channels between cores and threads: nothing lost, nothing doubled. */

#include <lade/channel.h>
#include <lade/cores.h>
#include <lade/event.h>
#include <lade/join.h>
#include <lade/select.h>
#include <lade/shared_channel.h>

#include <sched.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "run.h"
#include "sync/select_priv.h"

static atomic_int dropped;

static void drop_number(long *number)
{
	atomic_fetch_add(&dropped, (int)*number);
}

LADE_SHARED_CHANNEL_WITH(number, long, drop_number)
typedef struct number_shared_channel *channel_ptr;

static channel_ptr channel_of(uint32_t capacity)
{
	channel_ptr ch = NULL;

	NEED_EQ(number_shared_channel_new(capacity, &ch), 0);
	return ch;
}

/* Sends @count numbers from 1 on, @at_once of them with one call. */
static int send_numbers(channel_ptr ch, long count, uint32_t at_once)
{
	long items[64];
	int rc = 0;

	for (long i = 0; rc == 0 && i < count; i += at_once) {
		uint32_t done = 0;

		for (uint32_t j = 0; j < at_once; j++)
			items[j] = i + j + 1;
		rc = at_once == 1 ? number_shared_send(ch, items[0]) :
				    number_shared_send_many(ch, items, at_once, &done);
		CHECK(rc < 0 || at_once == 1 || done == at_once);
	}
	return rc;
}
LADE_TASK_VOID(send_numbers, (channel_ptr, ch), (long, count), (uint32_t, at_once))

static int sum_numbers(channel_ptr ch, uint32_t at_once, long *ret)
{
	long items[64], sum = 0;
	uint32_t count;
	int rc;

	while ((rc = number_shared_recv_many(ch, items, at_once, &count)) == 0) {
		CHECK(count >= 1 && count <= at_once);
		for (uint32_t i = 0; i < count; i++)
			sum += items[i];
	}
	*ret = sum;
	return rc == -EPIPE ? 0 : rc;
}
LADE_TASK(sum_numbers, long, (channel_ptr, ch), (uint32_t, at_once))

static int send_all(channel_ptr ch, long count, uint32_t at_once)
{
	int rc = lade_join(lade_on(1, lade_do(send_numbers, ch, count, at_once)),
			   lade_on(2, lade_do(send_numbers, ch, count, at_once)),
			   lade_do(send_numbers, ch, count, at_once));

	number_shared_channel_close(ch);
	return rc;
}
LADE_TASK_VOID(send_all, (channel_ptr, ch), (long, count), (uint32_t, at_once))

static void pass(uint32_t capacity, uint32_t at_once)
{
	channel_ptr ch = channel_of(capacity);
	long count = RUN_MANY(64 * 200), a = 0, b = 0;

	CHECK_EQ(lade_join(lade_do(send_all, ch, count, at_once),
			   lade_on(1, lade_do(sum_numbers, ch, at_once, &a)),
			   lade_do(sum_numbers, ch, at_once, &b)),
		 0);
	CHECK_EQ(a + b, 3 * count * (count + 1) / 2);
	number_shared_channel_free(ch);
}

ON_CORES(every_item_that_is_sent_on_any_core_is_received_once)
{
	pass(1, 1);
	pass(7, 1);
	pass(1000, 1);
	pass(3, 64);
	pass(1000, 64);
}

ON_CORES(between_two_tasks_the_order_is_kept)
{
	channel_ptr ch = channel_of(5);
	struct send_numbers_task task = send_numbers_task(ch, 1000, 1);
	struct lade_on_task there = lade_on_task(1, &task);
	int rc = 0;

	lade_scope(s, &rc) {
		lade_start(&s, &there);
		for (long i = 1; rc == 0 && i <= 1000; i++) {
			long n = 0;

			rc = number_shared_recv(ch, &n);
			CHECK_EQ(n, i);
		}
	}
	CHECK_EQ(rc, 0);
	number_shared_channel_free(ch);
}

/* Numbers that were sent, and received: what is cancelled has done neither. */
static atomic_long sent, received;

static int send_till_cancelled(channel_ptr ch)
{
	int rc;

	while ((rc = number_shared_send(ch, 1)) == 0)
		atomic_fetch_add(&sent, 1);
	return rc;
}
LADE_TASK_VOID(send_till_cancelled, (channel_ptr, ch))

static int receive_till_cancelled(channel_ptr ch)
{
	long n;
	int rc;

	while ((rc = number_shared_recv(ch, &n)) == 0)
		atomic_fetch_add(&received, n);
	return rc;
}
LADE_TASK_VOID(receive_till_cancelled, (channel_ptr, ch))

static int send_many_till_cancelled(channel_ptr ch)
{
	long ones[50];
	uint32_t done;
	int rc;

	for (int i = 0; i < 50; i++)
		ones[i] = 1;
	do {
		done = 0;
		rc = number_shared_send_many(ch, ones, 50, &done);
		atomic_fetch_add(&sent, done);
	} while (rc == 0);
	return rc;
}
LADE_TASK_VOID(send_many_till_cancelled, (channel_ptr, ch))

static int reserve_till_cancelled(channel_ptr ch)
{
	int rc;

	while ((rc = number_shared_reserve(ch)) == 0) {
		rc = lade_yield();
		if (rc < 0) {
			number_shared_unreserve(ch);
			break;
		}
		number_shared_commit(ch, 1);
		atomic_fetch_add(&sent, 1);
	}
	return rc;
}
LADE_TASK_VOID(reserve_till_cancelled, (channel_ptr, ch))

ON_CORES(a_cancel_at_any_moment_neither_loses_an_item_nor_doubles_one)
{
	for (int i = 0; i < RUN_MANY(300); i++) {
		channel_ptr ch = channel_of(3);
		int rc;

		atomic_store(&sent, 0);
		atomic_store(&received, 0);
		atomic_store(&dropped, 0);
		rc = lade_within(lade_us(i % 200),
				 lade_join(lade_on(1, lade_do(send_till_cancelled, ch)),
					   lade_on(2, lade_do(receive_till_cancelled, ch)),
					   lade_on(1, lade_do(receive_till_cancelled, ch)),
					   lade_on(2, lade_do(send_many_till_cancelled, ch)),
					   lade_on(1, lade_do(reserve_till_cancelled, ch)),
					   lade_do(send_till_cancelled, ch),
					   lade_do(receive_till_cancelled, ch)));
		CHECK_EQ(rc, -ETIME);
		number_shared_channel_free(ch);
		CHECK_EQ(atomic_load(&sent), atomic_load(&received) + atomic_load(&dropped));
	}
}

ON_CORES(what_waits_when_it_is_closed_is_told)
{
	channel_ptr full = channel_of(1), empty = channel_of(1);
	struct send_numbers_task sender = send_numbers_task(full, 2, 1);
	struct receive_till_cancelled_task receiver = receive_till_cancelled_task(empty);
	struct lade_on_task a = lade_on_task(1, &sender), b = lade_on_task(2, &receiver);
	long n = 0;
	int rc = 0;

	lade_scope(s, &rc, .policy = LADE_ALL) {
		lade_start(&s, &a);
		lade_start(&s, &b);
		do
			CHECK_EQ(lade_sleep(lade_ms(2)), 0);
		while (!lade_shared_channel_len(number_shared_channel_raw(full)));
		number_shared_channel_close(full);
		number_shared_channel_close(empty);
	}
	CHECK_EQ(lade_status(&sender), -EPIPE);
	CHECK_EQ(lade_status(&receiver), -EPIPE);
	CHECK_EQ(number_shared_recv(full, &n), 0);
	CHECK_EQ(n, 1);
	CHECK_EQ(number_shared_recv(full, &n), -EPIPE);
	CHECK_EQ(number_shared_send(full, 1), -EPIPE);
	CHECK_EQ(number_shared_reserve(full), -EPIPE);
	CHECK_EQ(number_shared_try_send(full, 1), -EPIPE);
	number_shared_channel_free(full);
	number_shared_channel_free(empty);
}

ON_CORES(a_reserved_place_goes_to_nobody_else)
{
	channel_ptr ch = channel_of(2);
	struct send_numbers_task a = send_numbers_task(ch, 1, 1), b = send_numbers_task(ch, 1, 1);
	long n = 0;
	int rc = 0;

	CHECK_EQ(number_shared_reserve(ch), 0);
	CHECK_EQ(number_shared_send(ch, 7), 0);
	lade_scope(s, &rc) {
		lade_start(&s, &a);
		lade_start(&s, &b);
		CHECK_EQ(lade_yield(), 0);
		CHECK_EQ(number_shared_recv(ch, &n), 0);
		CHECK_EQ(n, 7);
		CHECK_EQ(lade_shared_channel_len(number_shared_channel_raw(ch)), 1);
		number_shared_commit(ch, 8);
		CHECK_EQ(number_shared_recv(ch, &n), 0);
		CHECK_EQ(n, 1);
		CHECK_EQ(number_shared_recv(ch, &n), 0);
		CHECK_EQ(n, 8);
	}
	CHECK_EQ(rc, 0);
	CHECK_EQ(number_shared_recv(ch, &n), 0);
	CHECK_EQ(n, 1);
	number_shared_channel_free(ch);
}

static int receive_one(channel_ptr ch, long *ret)
{
	long items[2];
	uint32_t count;
	int rc = number_shared_recv_many(ch, items, 2, &count);

	CHECK_EQ(count, rc == 0);
	*ret = items[0];
	return rc;
}
LADE_TASK(receive_one, long, (channel_ptr, ch))

IN_TASK(an_item_that_came_before_the_cancel_is_received)
{
	channel_ptr ch = channel_of(1);
	struct receive_one_task task = receive_one_task(ch);
	int rc = 0;

	lade_scope(s, &rc) {
		lade_start(&s, &task);
		CHECK_EQ(lade_yield(), 0);
		CHECK_EQ(number_shared_try_send(ch, 7), 0);
		lade_cancel(&task, lade_ms(0));
	}
	CHECK_EQ(lade_status(&task), 0);
	CHECK_EQ(lade_value(&task), 7);
	number_shared_channel_free(ch);
}

IN_TASK(a_place_that_is_given_up_goes_to_who_waits_for_one)
{
	channel_ptr ch = channel_of(1);
	struct send_numbers_task task = send_numbers_task(ch, 1, 1);
	int rc = 0;

	CHECK_EQ(number_shared_reserve(ch), 0);
	lade_scope(s, &rc) {
		lade_start(&s, &task);
		CHECK_EQ(lade_yield(), 0);
		number_shared_unreserve(ch);
		CHECK_EQ(lade_shared_channel_len(number_shared_channel_raw(ch)), 1);
	}
	CHECK_EQ(rc, 0);
	number_shared_channel_free(ch);
}

ON_CORES(what_is_committed_after_the_close_is_received)
{
	channel_ptr ch = channel_of(2);
	long n = 0;

	CHECK_EQ(number_shared_reserve(ch), 0);
	number_shared_channel_close(ch);
	CHECK_EQ(number_shared_try_recv(ch, &n), -EAGAIN);
	number_shared_commit(ch, 7);
	CHECK_EQ(number_shared_recv(ch, &n), 0);
	CHECK_EQ(n, 7);
	CHECK_EQ(number_shared_recv(ch, &n), -EPIPE);
	number_shared_channel_free(ch);
}

IN_TASK(a_select_does_the_first_of_its_shared_cases_that_can_be_done)
{
	channel_ptr a = channel_of(1), b = channel_of(1);
	long n = 0, seven = 7;

	CHECK_EQ(lade_select(number_shared_recv_case(a, &n), number_shared_send_case(b, &seven)),
		 1);
	CHECK_EQ(lade_select(number_shared_send_case(b, &seven), number_shared_recv_case(b, &n),
			     lade_after(lade_ms(1))),
		 1);
	CHECK_EQ(n, 7);
	CHECK_EQ(lade_select(number_shared_recv_case(a, &n), number_shared_recv_case(b, &n),
			     lade_after(lade_ms(1))),
		 2);
	number_shared_channel_close(b);
	CHECK_EQ(lade_select(number_shared_recv_case(a, &n), number_shared_recv_case(b, &n)),
		 -EPIPE);
	CHECK_EQ(lade_select(number_shared_recv_case(a, &n), number_shared_send_case(b, &n)),
		 -EPIPE);
	number_shared_channel_free(a);
	number_shared_channel_free(b);
}

LADE_CHANNEL(local, long)

/* What a select of all kinds waits for. */
struct all {
	channel_ptr in, out;
	struct local_channel *local;
	struct lade_event event;
	int fd;
	long got, local_got;
};
typedef struct all *all_ptr;

static int select_all(all_ptr all, int patience_ms)
{
	long give = 1;

	return lade_select(number_shared_recv_case(all->in, &all->got),
			   number_shared_send_case(all->out, &give),
			   local_recv_case(all->local, &all->local_got),
			   lade_event_case(&all->event), lade_readable_case(all->fd),
			   lade_after(lade_ms(patience_ms)), lade_on_stopping());
}

/* What makes each of its cases possible; called by another task of the same core. */
static void make_possible(all_ptr all, int i)
{
	long n;

	switch (i) {
	case 0:
		CHECK_EQ(number_shared_try_send(all->in, 5), 0);
		break;
	case 1:
		CHECK_EQ(number_shared_try_recv(all->out, &n), 0);
		break;
	case 2:
		CHECK_EQ(local_try_send(all->local, 6), 0);
		break;
	case 3:
		lade_event_set(&all->event);
		break;
	case 4:
		CHECK_EQ(write(all->fd, &(uint64_t){ 1 }, 8), 8);
		break;
	}
}

static int make_possible_elsewhere(all_ptr all, int i)
{
	make_possible(all, i);
	return 0;
}
LADE_TASK_VOID(make_possible_elsewhere, (all_ptr, all), (int, i))

static int act(all_ptr all, int i)
{
	struct make_possible_elsewhere_task task = make_possible_elsewhere_task(all, i);
	int rc = lade_sleep(lade_ms(2));

	if (rc == 0 && i < 2) /* what is shared, from another core */
		rc = lade_join(lade_on(1, &task));
	else
		make_possible(all, i);
	return rc;
}
LADE_TASK_VOID(act, (all_ptr, all), (int, i))

static int selected(all_ptr all, int patience_ms, int *ret)
{
	*ret = select_all(all, patience_ms);
	return *ret < 0 ? *ret : 0;
}
LADE_TASK(selected, int, (all_ptr, all), (int, patience_ms))

/* A select waits with all kinds of cases, one becomes possible, and the others did not happen. */
static void check_all(int i)
{
	struct all all = { .in = channel_of(1), .out = channel_of(1) };
	int patience_ms = i == 5 ? 40 : 60000, chosen = -1;

	NEED_EQ(local_channel_new(0, &all.local), 0);
	lade_event_init(&all.event);
	all.fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	CHECK_EQ(number_shared_try_send(all.out, 2), 0);
	CHECK_EQ(lade_join(lade_do(selected, &all, patience_ms, &chosen),
			   lade_do(act, &all, i)), 0);
	CHECK_EQ(chosen, i);
	CHECK_EQ(all.got, i == 0 ? 5 : 0);
	CHECK_EQ(all.local_got, i == 2 ? 6 : 0);
	/* None of the others is in a list still. */
	CHECK_EQ(number_shared_try_send(all.in, 1), 0);
	CHECK_EQ(lade_shared_channel_len(number_shared_channel_raw(all.in)), 1);
	CHECK_EQ(lade_shared_channel_len(number_shared_channel_raw(all.out)), 1);
	CHECK_EQ(local_try_send(all.local, 1), -EAGAIN);
	close(all.fd);
	local_channel_free(all.local);
	number_shared_channel_free(all.in);
	number_shared_channel_free(all.out);
}

ON_CORES(a_select_with_all_kinds_of_cases_does_the_one_that_becomes_possible)
{
	for (int i = 0; i < 6; i++)
		check_all(i);
}

static int take_one(channel_ptr ch)
{
	long n;
	int rc = lade_select(number_shared_recv_case(ch, &n), lade_after(lade_ms(500)));

	if (rc == 0)
		atomic_fetch_add(&received, n);
	return rc < 0 ? rc : 0;
}
LADE_TASK_VOID(take_one, (channel_ptr, ch))

static int send_one(channel_ptr ch)
{
	int rc = lade_sleep(lade_ms(1));

	return rc < 0 ? rc : number_shared_send(ch, 1);
}
LADE_TASK_VOID(send_one, (channel_ptr, ch))

ON_CORES(of_selects_on_several_cores_one_gets_the_item)
{
	for (int i = 0; i < 3; i++) {
		channel_ptr ch = channel_of(1);

		atomic_store(&received, 0);
		CHECK_EQ(lade_join(lade_on(1, lade_do(take_one, ch)),
				   lade_on(2, lade_do(take_one, ch)), lade_do(take_one, ch),
				   lade_on(2, lade_do(send_one, ch))),
			 0);
		CHECK_EQ(atomic_load(&received), 1);
		CHECK_EQ(lade_shared_channel_len(number_shared_channel_raw(ch)), 0);
		number_shared_channel_free(ch);
	}
}

/* Receives from one and sends to the other, whichever can be done, with a timer beside them. */
static int select_till_cancelled(channel_ptr in, channel_ptr out)
{
	const long one = 1;

	for (;;) {
		long n = 0;
		int i = lade_select_fair(number_shared_recv_case(in, &n),
					 number_shared_send_case(out, &one),
					 lade_after(lade_us(20)));

		if (i < 0)
			return i;
		CHECK_EQ(n, i == 0);
		atomic_fetch_add(&received, i == 0);
		atomic_fetch_add(&sent, i == 1);
	}
}
LADE_TASK_VOID(select_till_cancelled, (channel_ptr, in), (channel_ptr, out))

/* Two selects of one core meet on a channel of theirs, while others reach for the shared one. */
static int give_or_receive(struct local_channel *local, channel_ptr ch)
{
	const long one = 1;

	for (;;) {
		long n = 0;
		int i = lade_select(number_shared_recv_case(ch, &n), local_send_case(local, &one),
				    lade_after(lade_us(15)));

		if (i < 0)
			return i;
		atomic_fetch_add(&received, i == 0);
		atomic_fetch_add(&sent, i == 1);
	}
}

static int take_or_send(struct local_channel *local, channel_ptr ch)
{
	const long one = 1;

	for (;;) {
		long n = 0;
		int i = lade_select(local_recv_case(local, &n), number_shared_send_case(ch, &one),
				    lade_after(lade_us(10)));

		if (i < 0)
			return i;
		atomic_fetch_add(&received, i == 0);
		atomic_fetch_add(&sent, i == 1);
	}
}
typedef struct local_channel *local_ptr;
LADE_TASK_VOID(give_or_receive, (local_ptr, local), (channel_ptr, ch))
LADE_TASK_VOID(take_or_send, (local_ptr, local), (channel_ptr, ch))

static int meet(channel_ptr ch)
{
	local_ptr local = NULL;
	int rc = local_channel_new(0, &local);

	if (rc == 0)
		rc = lade_join(lade_do(give_or_receive, local, ch),
			       lade_do(take_or_send, local, ch));
	local_channel_free(local);
	return rc;
}
LADE_TASK_VOID(meet, (channel_ptr, ch))

ON_CORES(selects_of_several_cores_neither_lose_nor_double_what_they_do)
{
	for (int i = 0; i < RUN_MANY(300); i++) {
		channel_ptr a = channel_of(1), b = channel_of(2);
		int rc;

		atomic_store(&sent, 0);
		atomic_store(&received, 0);
		atomic_store(&dropped, 0);
		rc = lade_within(lade_us(i % 400),
				 lade_join(lade_on(1, lade_do(select_till_cancelled, a, b)),
					   lade_on(2, lade_do(select_till_cancelled, b, a)),
					   lade_do(select_till_cancelled, a, b),
					   lade_on(1, lade_do(meet, b)),
					   lade_on(2, lade_do(meet, a)),
					   lade_on(1, lade_do(send_till_cancelled, a)),
					   lade_on(2, lade_do(receive_till_cancelled, b))));
		CHECK_EQ(rc, -ETIME);
		number_shared_channel_free(a);
		number_shared_channel_free(b);
		CHECK_EQ(atomic_load(&sent), atomic_load(&received) + atomic_load(&dropped));
	}
}

/* What happens in a moment that no test can choose: another core has done a case by now. */
IN_TASK(a_case_that_is_armed_or_served_when_another_is_done_does_nothing)
{
	channel_ptr ch = channel_of(2);
	struct lade_shared_channel *raw = number_shared_channel_raw(ch);
	struct lade_selecting done = { .chosen = -EAGAIN, .shared = true, .claimed = true };
	long n = 0;
	struct lade_case in = number_shared_recv_case(ch, &n);
	struct lade_case out = number_shared_send_case(ch, &n);

	CHECK_EQ(in.type->arm(&in, &done, 0), 0);
	CHECK_EQ(number_shared_try_send(ch, 7), 0);
	CHECK_EQ(lade_shared_channel_len(raw), 1);
	CHECK_EQ(in.type->arm(&in, &done, 1), 0);
	CHECK_EQ(out.type->arm(&out, &done, 2), 0);
	CHECK_EQ(lade_shared_channel_len(raw), 1);
	CHECK_EQ(n, 0);
	CHECK(!in.type->disarm(&in));
	CHECK(!out.type->disarm(&out));
	number_shared_channel_free(ch);
}

/* Sums up what comes from two, until both are closed. */
static int sum_both(channel_ptr a, channel_ptr b, long *ret)
{
	long sum = 0;
	int rc = 0;

	while (rc >= 0) {
		long n = 0, m = 0;

		rc = lade_select_fair(number_shared_recv_case(a, &n),
				      number_shared_recv_case(b, &m));
		CHECK(rc < 0 ? !n && !m : rc == 0 ? n && !m : m && !n);
		sum += n + m;
	}
	/* One of them is closed. */
	for (int i = 0; i < 2; i++) {
		long rest = 0;

		rc = sum_numbers(i ? a : b, 1, &rest);
		sum += rest;
	}
	*ret = sum;
	return rc;
}
LADE_TASK(sum_both, long, (channel_ptr, a), (channel_ptr, b))

static int send_and_close(channel_ptr ch, long count)
{
	int rc = send_numbers(ch, count, 1);

	number_shared_channel_close(ch);
	return rc;
}
LADE_TASK_VOID(send_and_close, (channel_ptr, ch), (long, count))

ON_CORES(from_two_channels_that_are_busy_a_select_gets_each_item_once)
{
	channel_ptr a = channel_of(1), b = channel_of(1);
	long count = RUN_MANY(20000), sum = 0;

	CHECK_EQ(lade_join(lade_on(1, lade_do(send_and_close, a, count)),
			   lade_on(2, lade_do(send_and_close, b, count)),
			   lade_do(sum_both, a, b, &sum)),
		 0);
	CHECK_EQ(sum, count * (count + 1));
	number_shared_channel_free(a);
	number_shared_channel_free(b);
}

/* Makes a descriptor ready now and then, till it has been read so often. */
static int make_ready(int fd, const int *left)
{
	int rc = 0;

	while (*left > 0 && rc == 0) {
		CHECK(write(fd, &(uint64_t){ 1 }, 8) == 8 || errno == EAGAIN);
		rc = lade_yield();
	}
	return rc;
}
typedef const int *count_ptr;
LADE_TASK_VOID(make_ready, (int, fd), (count_ptr, left))

static int select_ready(channel_ptr ch, int fd, int *left)
{
	uint64_t value;

	while (*left > 0) {
		long n = 0;
		int i = lade_select_fair(number_shared_recv_case(ch, &n), lade_readable_case(fd));

		if (i < 0)
			return i;
		CHECK_EQ(n, i == 0);
		if (i == 0)
			atomic_fetch_add(&received, 1);
		else
			CHECK_EQ(read(fd, &value, 8), 8);
		--*left;
	}
	number_shared_channel_close(ch);
	return 0;
}
typedef int *left_ptr;
LADE_TASK_VOID(select_ready, (channel_ptr, ch), (int, fd), (left_ptr, left))

static int send_till_closed(channel_ptr ch)
{
	int rc = send_till_cancelled(ch);

	return rc == -EPIPE ? 0 : rc;
}
LADE_TASK_VOID(send_till_closed, (channel_ptr, ch))

ON_CORES(readiness_and_an_item_of_another_core_are_one_at_a_time)
{
	channel_ptr ch = channel_of(1);
	int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC), left = RUN_MANY(5000);

	atomic_store(&sent, 0);
	atomic_store(&received, 0);
	atomic_store(&dropped, 0);
	CHECK_EQ(lade_join(lade_do(make_ready, fd, &left), lade_do(select_ready, ch, fd, &left),
			   lade_on(1, lade_do(send_till_closed, ch))),
		 0);
	number_shared_channel_free(ch);
	CHECK_EQ(atomic_load(&sent), atomic_load(&received) + atomic_load(&dropped));
	close(fd);
}

static int select_two(channel_ptr a, channel_ptr b)
{
	long n;
	const long one = 1;
	int rc = lade_select(number_shared_recv_case(a, &n), number_shared_send_case(b, &one));

	return rc < 0 ? rc : 0;
}
LADE_TASK_VOID(select_two, (channel_ptr, a), (channel_ptr, b))

ON_CORES(a_select_is_told_that_one_of_its_shared_channels_is_closed)
{
	for (int i = 0; i < 2; i++) {
		channel_ptr a = channel_of(1), b = channel_of(1);
		struct select_two_task task = select_two_task(a, b);
		struct lade_on_task there = lade_on_task(1, &task);
		int rc = 0;

		CHECK_EQ(number_shared_try_send(b, 1), 0);
		lade_scope(s, &rc, .policy = LADE_ALL) {
			lade_start(&s, &there);
			CHECK_EQ(lade_sleep(lade_ms(2)), 0);
			number_shared_channel_close(i ? a : b);
		}
		CHECK_EQ(lade_status(&task), -EPIPE);
		number_shared_channel_free(a);
		number_shared_channel_free(b);
	}
}

static void *feed(void *arg)
{
	channel_ptr ch = arg;

	for (long i = 1; i <= 1000; i++)
		while (number_shared_try_send(ch, i) == -EAGAIN)
			sched_yield();
	number_shared_channel_close(ch);
	return NULL;
}

ON_CORES(a_thread_that_is_no_core_feeds_tasks)
{
	channel_ptr ch = channel_of(10);
	pthread_t thread;
	long a = 0, b = 0;

	pthread_create(&thread, NULL, feed, ch);
	CHECK_EQ(lade_join(lade_on(1, lade_do(sum_numbers, ch, 4, &a)),
			   lade_do(sum_numbers, ch, 1, &b)),
		 0);
	number_shared_channel_close(ch); /* should nobody have taken what is fed */
	pthread_join(thread, NULL);
	CHECK_EQ(a + b, 500500);
	number_shared_channel_free(ch);
}

/* Sends and receives several at once in a ring of @capacity, @step of them at a time at most. */
static void go_round(uint32_t capacity, uint32_t step)
{
	channel_ptr ch = channel_of(capacity);
	long next = 0, expected = 0;

	for (int i = 0; i < 100; i++) {
		long items[10];
		uint32_t moved = 0, count = (uint32_t)i % step + 1;

		for (uint32_t j = 0; j < count; j++)
			items[j] = next + j;
		(void)lade_shared_channel_try_send(number_shared_channel_raw(ch), items, count,
						   &moved);
		next += moved;
		(void)lade_shared_channel_try_recv(number_shared_channel_raw(ch), items,
						   (uint32_t)i % 3 + 1, &moved);
		for (uint32_t j = 0; j < moved; j++)
			CHECK_EQ(items[j], expected++);
		CHECK_EQ(lade_shared_channel_len(number_shared_channel_raw(ch)), next - expected);
		CHECK(next - expected <= capacity);
	}
	CHECK(expected > 90);
	number_shared_channel_free(ch);
}

IN_TASK(several_at_once_keep_their_order_round_the_ring)
{
	go_round(1, 1);
	go_round(2, 3);
	go_round(7, 5);
	go_round(10, 10);
}

IN_TASK(a_shared_channel_has_its_limits)
{
	struct lade_shared_channel *raw = NULL;
	channel_ptr ch = NULL;
	uint32_t none = 1;

	CHECK_EQ(number_shared_channel_new(0, &ch), -EINVAL);
	CHECK_EQ(lade_shared_channel_new(1u << 20, 1025, NULL, &raw), -EOVERFLOW);
	CHECK(!number_shared_channel_free(NULL));
	ch = channel_of(1);
	CHECK_EQ(number_shared_recv_many(ch, NULL, 0, &none), 0);
	CHECK_EQ(none, 0);
	CHECK_EQ(number_shared_try_send(ch, 1), 0);
	CHECK_EQ(number_shared_try_send(ch, 2), -EAGAIN);
	CHECK_EQ(lade_within(lade_ms(1), number_shared_send(ch, 2)), -ETIME);
	CHECK_EQ(lade_within(lade_ms(1), number_shared_reserve(ch)), -ETIME);
	atomic_store(&dropped, 0);
	number_shared_channel_free(ch);
	CHECK_EQ(atomic_load(&dropped), 1);
}

static void commit_unreserved(void)
{
	number_shared_commit(channel_of(1), 1);
}

static void committing_to_a_place_that_was_not_reserved_ends_the_process(void)
{
	run_with(&(struct lade_loop_config){ .backend = "virtual" }, commit_unreserved);
}

/* Who receives the last item frees the channel, while the send is on its way out. */

static _Atomic(channel_ptr) offered;
#define OFFERS RUN_MANY(20000)

static void *send_to_offered(void *unused)
{
	const long rounds = OFFERS;

	for (long i = 0; i < rounds; i++) {
		channel_ptr ch;

		while (!(ch = atomic_exchange(&offered, NULL)))
			sched_yield();
		CHECK_EQ(number_shared_try_send(ch, i), 0);
	}
	return unused;
}

static void who_receives_the_last_item_may_free_the_channel(void)
{
	const long rounds = OFFERS;
	pthread_t thread;

	NEED_EQ(pthread_create(&thread, NULL, send_to_offered, NULL), 0);
	for (long i = 0; i < rounds; i++) {
		channel_ptr ch = channel_of(1);
		long number = -1;

		atomic_store(&offered, ch);
		while (number_shared_try_recv(ch, &number) < 0)
			sched_yield();
		CHECK_EQ(number, i);
		number_shared_channel_free(ch);
	}
	pthread_join(thread, NULL);
}

static struct lade_shared_channel *asked;
static uint32_t left_in_it;

static void ask_how_many(void *item)
{
	(void)item;
	left_in_it = lade_shared_channel_len(asked);
}

static void what_drops_the_items_of_a_freed_channel_may_ask_it(void)
{
	uint32_t n;

	NEED_EQ(lade_shared_channel_new(1, 4, ask_how_many, &asked), 0);
	NEED_EQ(lade_shared_channel_try_send(asked, "ab", 2, &n), 0);
	lade_shared_channel_free(asked);
	CHECK_EQ(left_in_it, 1); /* at the last */
}

static void free_awaited(void)
{
	channel_ptr ch = channel_of(1);
	struct receive_till_cancelled_task task = receive_till_cancelled_task(ch);
	int rc = 0;

	lade_scope(s, &rc) {
		lade_start(&s, &task);
		(void)!lade_yield();
		number_shared_channel_free(ch);
	}
}

static void freeing_a_channel_on_which_a_task_waits_ends_the_process(void)
{
	run_with(&(struct lade_loop_config){ .backend = "virtual" }, free_awaited);
}

static void free_selected(void)
{
	channel_ptr ch = channel_of(1);
	struct take_one_task task = take_one_task(ch);
	int rc = 0;

	lade_scope(s, &rc) {
		lade_start(&s, &task);
		(void)!lade_yield();
		number_shared_channel_free(ch);
	}
}

static void freeing_a_channel_on_which_a_select_waits_ends_the_process(void)
{
	run_with(&(struct lade_loop_config){ .backend = "virtual" }, free_selected);
}

int main(void)
{
	TAP(every_item_that_is_sent_on_any_core_is_received_once);
	TAP(between_two_tasks_the_order_is_kept);
	TAP(a_cancel_at_any_moment_neither_loses_an_item_nor_doubles_one);
	TAP(what_waits_when_it_is_closed_is_told);
	TAP(a_reserved_place_goes_to_nobody_else);
	TAP(an_item_that_came_before_the_cancel_is_received);
	TAP(a_place_that_is_given_up_goes_to_who_waits_for_one);
	TAP(what_is_committed_after_the_close_is_received);
	TAP(a_select_does_the_first_of_its_shared_cases_that_can_be_done);
	TAP(a_select_with_all_kinds_of_cases_does_the_one_that_becomes_possible);
	TAP(of_selects_on_several_cores_one_gets_the_item);
	TAP(selects_of_several_cores_neither_lose_nor_double_what_they_do);
	TAP(a_case_that_is_armed_or_served_when_another_is_done_does_nothing);
	TAP(from_two_channels_that_are_busy_a_select_gets_each_item_once);
	TAP(readiness_and_an_item_of_another_core_are_one_at_a_time);
	TAP(a_select_is_told_that_one_of_its_shared_channels_is_closed);
	TAP(a_thread_that_is_no_core_feeds_tasks);
	TAP(several_at_once_keep_their_order_round_the_ring);
	TAP(a_shared_channel_has_its_limits);
	TAP_DIES(committing_to_a_place_that_was_not_reserved_ends_the_process,
		 "a shared channel's place is filled that was not reserved");
	TAP_DIES(freeing_a_channel_on_which_a_select_waits_ends_the_process,
		 "src/sync/shared_test.c");
	TAP(who_receives_the_last_item_may_free_the_channel);
	TAP(what_drops_the_items_of_a_freed_channel_may_ask_it);
	TAP_DIES(freeing_a_channel_on_which_a_task_waits_ends_the_process,
		 "a shared channel is freed on which a task waits, at number_shared_recv");
	return tap_done();
}
