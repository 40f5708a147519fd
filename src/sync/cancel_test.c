/* SPDX-License-Identifier: MIT */
/* cancel_test.c - cancels, deadlines, ties and closes that land on channels, selects and
 * permits. */

#include <lade/channel.h>
#include <lade/event.h>
#include <lade/join.h>

#include "base/alloc.h"
#include "run.h"

static int dropped;

static void drop_item(long *n)
{
	(void)n;
	dropped++;
}
LADE_CHANNEL_WITH(num, long, drop_item)

static int send_one(struct num_channel *ch, long n)
{
	return num_send(ch, n);
}
LADE_TASK_VOID(send_one, (struct num_channel *, ch), (long, n))

static int recv_one(struct num_channel *ch, long *ret)
{
	return num_recv(ch, ret);
}
LADE_TASK(recv_one, long, (struct num_channel *, ch))

static int reserve_one(struct num_channel *ch)
{
	return num_reserve(ch);
}
LADE_TASK_VOID(reserve_one, (struct num_channel *, ch))

/* Sends, receives and cancels in every order: each item is in exactly one place. */
static void shake(uint32_t capacity, uint64_t seed)
{
	struct send_one_task senders[30];
	struct recv_one_task receivers[30];
	struct num_channel *ch = NULL;
	int rc = 0, sent = 0, received = 0;

	dropped = 0;
	NEED_EQ(num_channel_new(capacity, &ch), 0);
	lade_scope(s, &rc, .policy = LADE_ALL) {
		for (int i = 0; i < 30; i++) {
			senders[i] = send_one_task(ch, i);
			receivers[i] = recv_one_task(ch);
		}
		for (int i = 0; i < 30; i++) {
			seed = seed * 6364136223846793005u + 1442695040888963407u;
			lade_start(&s, &senders[i]);
			if (seed >> 40 & 1)
				CHECK_EQ(lade_yield(), 0);
			if (seed >> 41 & 1)
				lade_cancel(&senders[seed >> 42 & 7 & i]);
			lade_start(&s, &receivers[i]);
			if (seed >> 50 & 1)
				lade_cancel(&receivers[seed >> 51 & 7 & i]);
		}
		CHECK_EQ(lade_yield(), 0);
		CHECK_EQ(lade_yield(), 0);
		num_channel_close(ch);
	}
	for (int i = 0; i < 30; i++) {
		sent += lade_status(&senders[i]) == 0;
		received += lade_status(&receivers[i]) == 0;
	}
	num_channel_free(ch);
	CHECK_EQ(sent, received + dropped);
}

IN_TASK(an_item_is_in_exactly_one_place_whatever_is_cancelled)
{
	for (uint64_t seed = 1; seed <= 300; seed++)
		shake((uint32_t)seed % 4, seed);
}

IN_TASK(a_receiver_that_was_handed_an_item_returns_it_although_cancelled)
{
	struct num_channel *ch = NULL;
	struct recv_one_task r;
	int rc = 0;

	NEED_EQ(num_channel_new(0, &ch), 0);
	r = recv_one_task(ch);
	lade_scope(s, &rc, .policy = LADE_ALL) {
		lade_start(&s, &r);
		CHECK_EQ(lade_yield(), 0);
		CHECK_EQ(num_send(ch, 5), 0);
		lade_cancel(&r);
	}
	CHECK_EQ(lade_status(&r), 0);
	CHECK_EQ(lade_value(&r), 5);
	num_channel_free(ch);
}

IN_TASK(a_cancelled_receiver_is_out_before_the_next_send_is_granted)
{
	struct num_channel *ch = NULL;
	struct recv_one_task first, second;
	int rc = 0;

	NEED_EQ(num_channel_new(0, &ch), 0);
	first = recv_one_task(ch);
	second = recv_one_task(ch);
	lade_scope(s, &rc, .policy = LADE_ALL) {
		lade_start(&s, &first);
		lade_start(&s, &second);
		CHECK_EQ(lade_yield(), 0);
		lade_cancel(&first);
		CHECK_EQ(num_send(ch, 5), 0);
	}
	CHECK_EQ(lade_status(&first), -ECANCELED);
	CHECK_EQ(lade_value(&second), 5);
	num_channel_free(ch);
}

IN_TASK(a_close_tells_all_who_wait_and_leaves_the_items_with_their_senders)
{
	struct num_channel *ch = NULL, *full = NULL;
	struct send_one_task sender;
	struct recv_one_task receiver;
	struct reserve_one_task reserver;
	long n = 0;
	int rc = 0;

	dropped = 0;
	NEED_EQ(num_channel_new(1, &ch), 0);
	NEED_EQ(num_channel_new(1, &full), 0);
	sender = send_one_task(full, 2);
	reserver = reserve_one_task(full);
	receiver = recv_one_task(ch);
	CHECK_EQ(num_send(full, 1), 0);
	lade_scope(s, &rc, .policy = LADE_ALL) {
		lade_start(&s, &sender);
		lade_start(&s, &reserver);
		lade_start(&s, &receiver);
		CHECK_EQ(lade_yield(), 0);
		num_channel_close(full);
		num_channel_close(ch);
		num_channel_close(ch);
	}
	CHECK_EQ(lade_status(&sender), -EPIPE);
	CHECK_EQ(lade_status(&reserver), -EPIPE);
	CHECK_EQ(lade_status(&receiver), -EPIPE);
	CHECK_EQ(num_try_send(full, 9), -EPIPE);
	CHECK_EQ(num_recv(full, &n), 0);
	CHECK_EQ(n, 1);
	CHECK_EQ(num_recv(full, &n), -EPIPE);
	num_channel_free(full);
	num_channel_free(ch);
	CHECK_EQ(dropped, 0);
}

IN_TASK(a_commit_after_a_close_still_cannot_fail)
{
	struct num_channel *ch = NULL;
	long n = 0;

	NEED_EQ(num_channel_new(2, &ch), 0);
	CHECK_EQ(num_reserve(ch), 0);
	num_channel_close(ch);
	num_commit(ch, 7);
	CHECK_EQ(num_recv(ch, &n), 0);
	CHECK_EQ(n, 7);
	num_channel_free(ch);
}

IN_TASK(a_cancelled_reservation_leaves_the_place_to_the_next)
{
	struct num_channel *ch = NULL;
	struct reserve_one_task first, second;
	long n = 0;
	int rc = 0;

	NEED_EQ(num_channel_new(1, &ch), 0);
	CHECK_EQ(num_send(ch, 1), 0);
	first = reserve_one_task(ch);
	second = reserve_one_task(ch);
	lade_scope(s, &rc, .policy = LADE_ALL) {
		lade_start(&s, &first);
		lade_start(&s, &second);
		CHECK_EQ(lade_yield(), 0);
		lade_cancel(&first);
		CHECK_EQ(num_recv(ch, &n), 0);
	}
	CHECK_EQ(lade_status(&first), -ECANCELED);
	CHECK_EQ(lade_status(&second), 0);
	num_commit(ch, 2);
	CHECK_EQ(num_recv(ch, &n), 0);
	CHECK_EQ(n, 2);
	num_channel_free(ch);
}

IN_TASK(a_channel_has_its_limits)
{
	struct lade_channel *ch = NULL;
	struct num_channel *none = NULL;

	CHECK_EQ(lade_channel_new(1024, (1u << 20) + 1, NULL, &ch), -EOVERFLOW);
	lade_alloc_fail_at(1);
	CHECK_EQ(lade_channel_new(8, 8, NULL, &ch), -ENOMEM);
	lade_alloc_fail_at(0);
	CHECK(!ch);
	NEED_EQ(num_channel_new(0, &none), 0);
	CHECK_EQ(num_reserve(none), -EOPNOTSUPP);
	num_channel_free(none);
}

/* Selects */

static int select_all(struct num_channel *in, struct num_channel *out, struct lade_event *event,
		      int64_t ms, long *ret)
{
	long got = 0, give = 9;
	int i = lade_select(num_recv_case(in, &got), num_send_case(out, &give),
			    lade_event_case(event), lade_after(lade_ms(ms)));

	*ret = got;
	return i;
}
LADE_TASK(select_all, long, (struct num_channel *, in), (struct num_channel *, out),
	  (struct lade_event *, event), (int64_t, ms))

/* @act makes some cases possible; what was chosen, and that nothing else happened. */
static void check_select(void (*act)(struct num_channel *in, struct num_channel *out,
				     struct lade_event *event, struct select_all_task *t),
			 int want, int in_left, int out_got)
{
	struct num_channel *in = NULL, *out = NULL;
	struct lade_event event;
	struct select_all_task t;
	long n = 0;
	int rc = 0, left = 0, got = 0;

	lade_event_init(&event);
	NEED_EQ(num_channel_new(4, &in), 0);
	NEED_EQ(num_channel_new(1, &out), 0);
	CHECK_EQ(num_send(out, 1), 0);
	t = select_all_task(in, out, &event, 5);
	lade_scope(s, &rc, .policy = LADE_ALL) {
		lade_start(&s, &t);
		CHECK_EQ(lade_yield(), 0);
		act(in, out, &event, &t);
	}
	CHECK_EQ(lade_status(&t), want);
	while (num_try_recv(in, &n) == 0)
		left++;
	while (num_try_recv(out, &n) == 0)
		got += n == 9;
	CHECK_EQ(left, in_left);
	CHECK_EQ(got, out_got);
	num_channel_free(in);
	num_channel_free(out);
}

static void send_two(struct num_channel *in, struct num_channel *out, struct lade_event *event,
		     struct select_all_task *t)
{
	(void)out, (void)event, (void)t;
	CHECK_EQ(num_try_send(in, 3), 0);
	CHECK_EQ(num_try_send(in, 4), 0);
}

static void make_room_and_send(struct num_channel *in, struct num_channel *out,
			       struct lade_event *event, struct select_all_task *t)
{
	long n;

	(void)event, (void)t;
	CHECK_EQ(num_try_recv(out, &n), 0);
	CHECK_EQ(num_try_send(in, 3), 0);
}

static void set_and_send(struct num_channel *in, struct num_channel *out,
			 struct lade_event *event, struct select_all_task *t)
{
	(void)out, (void)t;
	lade_event_set(event);
	CHECK_EQ(num_try_send(in, 3), 0);
}

static void do_nothing(struct num_channel *in, struct num_channel *out, struct lade_event *event,
		       struct select_all_task *t)
{
	(void)in, (void)out, (void)event, (void)t;
}

static void cancel_and_send(struct num_channel *in, struct num_channel *out,
			    struct lade_event *event, struct select_all_task *t)
{
	(void)out, (void)event;
	lade_cancel(t);
	CHECK_EQ(num_try_send(in, 3), 0);
}

static void send_and_cancel(struct num_channel *in, struct num_channel *out,
			    struct lade_event *event, struct select_all_task *t)
{
	(void)out, (void)event;
	CHECK_EQ(num_try_send(in, 3), 0);
	lade_cancel(t);
}

IN_TASK(a_select_commits_the_first_that_becomes_possible_and_the_others_did_not_happen)
{
	check_select(send_two, 0, 1, 0);
	check_select(make_room_and_send, 1, 1, 1);
	check_select(set_and_send, 2, 1, 0);
	check_select(do_nothing, 3, 0, 0);
}

IN_TASK(a_cancelled_select_did_nothing_and_one_that_had_chosen_returns_it)
{
	check_select(cancel_and_send, -ECANCELED, 1, 0);
	check_select(send_and_cancel, 0, 0, 0);
}

IN_TASK(a_select_takes_its_cases_in_order_and_a_fair_one_serves_all)
{
	struct num_channel *a = NULL, *b = NULL;
	int chosen[2] = { 0, 0 };
	long n;

	NEED_EQ(num_channel_new(200, &a), 0);
	NEED_EQ(num_channel_new(200, &b), 0);
	for (int i = 0; i < 200; i++) {
		CHECK_EQ(num_send(a, i), 0);
		CHECK_EQ(num_send(b, i), 0);
	}
	for (int i = 0; i < 50; i++)
		CHECK_EQ(lade_select(num_recv_case(a, &n), num_recv_case(b, &n)), 0);
	for (int i = 0; i < 100; i++) {
		int c = lade_select_fair(num_recv_case(a, &n), num_recv_case(b, &n));

		CHECK(c == 0 || c == 1);
		chosen[c == 1]++;
	}
	CHECK(chosen[0] > 20 && chosen[1] > 20);
	num_channel_free(a);
	num_channel_free(b);
}

/* Forty fair choices between two events that are always set, as bits. */
static uint64_t forty_choices(uint64_t seed)
{
	struct lade_event a, b;
	uint64_t bits = 0;

	lade_event_init(&a);
	lade_event_init(&b);
	lade_event_set(&a);
	lade_event_set(&b);
	lade_select_seed(seed);
	for (int i = 0; i < 40; i++) {
		int c = lade_select_fair(lade_event_case(&a), lade_event_case(&b));

		CHECK(c == 0 || c == 1);
		bits = bits << 1 | (c == 1);
	}
	return bits;
}

IN_TASK(a_seed_repeats_the_choices_of_fair_selects_and_another_seed_makes_others)
{
	uint64_t seen[64];

	for (uint64_t seed = 0; seed < 64; seed++) {
		seen[seed] = forty_choices(seed);
		CHECK(seen[seed] != 0 && seen[seed] != (UINT64_C(1) << 40) - 1);
		for (uint64_t other = 0; other < seed; other++)
			CHECK(seen[other] != seen[seed]);
	}
	for (uint64_t seed = 0; seed < 64; seed++)
		CHECK(forty_choices(seed) == seen[seed]);
}

IN_TASK(two_selects_on_both_ends_of_a_channel_meet_once)
{
	struct num_channel *ch = NULL, *other = NULL;
	struct lade_event never;
	struct select_all_task taker, giver;
	int rc = 0;

	lade_event_init(&never);
	NEED_EQ(num_channel_new(0, &ch), 0);
	NEED_EQ(num_channel_new(0, &other), 0);
	taker = select_all_task(ch, other, &never, 5);
	giver = select_all_task(other, ch, &never, 5);
	lade_scope(s, &rc, .policy = LADE_ALL) {
		lade_start(&s, &taker);
		lade_start(&s, &giver);
	}
	/* Either direction, once. */
	CHECK_EQ(lade_status(&taker) + lade_status(&giver), 1);
	CHECK_EQ(lade_value(&taker) + lade_value(&giver), 9);
	num_channel_free(ch);
	num_channel_free(other);
}

IN_TASK(a_select_has_at_most_twelve_cases_and_passes_a_channels_end_on)
{
	struct lade_case many[13];
	struct num_channel *ch = NULL;
	long n;

	for (int i = 0; i < 13; i++)
		many[i] = lade_after(lade_ms(1));
	CHECK_EQ(lade_select_at(many, 13, false, "here"), -EINVAL);
	CHECK_EQ(lade_select_at(many, 0, false, "here"), -EINVAL);
	CHECK_EQ(lade_select_at(many, 12, false, "here"), 0);
	NEED_EQ(num_channel_new(0, &ch), 0);
	num_channel_close(ch);
	CHECK_EQ(lade_select(lade_after(lade_ms(1)), num_recv_case(ch, &n)), -EPIPE);
	num_channel_free(ch);
}

/* Permits */

static int acquire(struct lade_sem *sem, uint32_t count)
{
	return lade_sem_acquire(sem, count);
}
LADE_TASK_VOID(acquire, (struct lade_sem *, sem), (uint32_t, count))

IN_TASK(a_permit_is_handed_over_and_a_cancelled_large_request_lets_small_ones_pass)
{
	struct lade_sem sem;
	struct acquire_task large, small, handed;
	int rc = 0;

	lade_sem_init(&sem, 1);
	large = acquire_task(&sem, 3);
	small = acquire_task(&sem, 1);
	lade_scope(s, &rc, .policy = LADE_ALL) {
		lade_start(&s, &large);
		lade_start(&s, &small);
		CHECK_EQ(lade_yield(), 0);
		CHECK_EQ(lade_status(&small), -EINPROGRESS);
		CHECK_EQ(lade_sem_try_acquire(&sem, 1), -EAGAIN);
		lade_cancel(&large);
	}
	CHECK_EQ(lade_status(&large), -ECANCELED);
	CHECK_EQ(lade_status(&small), 0);
	handed = acquire_task(&sem, 1);
	lade_scope(s, &rc, .policy = LADE_ALL) {
		lade_start(&s, &handed);
		CHECK_EQ(lade_yield(), 0);
		lade_sem_release(&sem, 1);
		CHECK_EQ(lade_sem_try_acquire(&sem, 1), -EAGAIN);
		lade_cancel(&handed);
	}
	CHECK_EQ(lade_status(&handed), 0);
	lade_sem_release(&sem, 1);
	CHECK_EQ(lade_sem_try_acquire(&sem, 1), 0);
}

IN_TASK(a_semaphore_never_has_more_permits_than_fit_its_count)
{
	struct lade_sem sem;

	lade_sem_init(&sem, UINT32_MAX - 1);
	lade_sem_release(&sem, 5);
	CHECK_EQ(lade_sem_try_acquire(&sem, UINT32_MAX), 0);
	CHECK_EQ(lade_sem_try_acquire(&sem, 1), -EAGAIN);
}

int main(void)
{
	TAP(an_item_is_in_exactly_one_place_whatever_is_cancelled);
	TAP(a_receiver_that_was_handed_an_item_returns_it_although_cancelled);
	TAP(a_cancelled_receiver_is_out_before_the_next_send_is_granted);
	TAP(a_close_tells_all_who_wait_and_leaves_the_items_with_their_senders);
	TAP(a_commit_after_a_close_still_cannot_fail);
	TAP(a_cancelled_reservation_leaves_the_place_to_the_next);
	TAP(a_channel_has_its_limits);
	TAP(a_select_commits_the_first_that_becomes_possible_and_the_others_did_not_happen);
	TAP(a_cancelled_select_did_nothing_and_one_that_had_chosen_returns_it);
	TAP(a_select_takes_its_cases_in_order_and_a_fair_one_serves_all);
	TAP(a_seed_repeats_the_choices_of_fair_selects_and_another_seed_makes_others);
	TAP(two_selects_on_both_ends_of_a_channel_meet_once);
	TAP(a_select_has_at_most_twelve_cases_and_passes_a_channels_end_on);
	TAP(a_semaphore_never_has_more_permits_than_fit_its_count);
	TAP(a_permit_is_handed_over_and_a_cancelled_large_request_lets_small_ones_pass);
	return tap_done();
}
