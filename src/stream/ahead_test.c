/* SPDX-License-Identifier: MIT */
/* ahead_test.c - prefetch, map and merge: limits, cancels, failures, and nothing lost. */

#include <lade/join.h>
#include <lade/stream.h>

#include "base/alloc.h"
#include "run.h"

static int live; /* items that somebody has to drop */

static void drop_item(long *n)
{
	(void)n;
	live--;
}

static size_t weigh_item(const long *n)
{
	(void)n;
	return 10;
}

LADE_CHANNEL(num, long)
LADE_STREAM_WITH(num, long, (.drop = drop_item, .bytes = weigh_item))

/* Counts up, one item each @pause_ms, to @last; then @end_rc. */
struct counter {
	int64_t pause_ms;
	long at, last;
	int end_rc;
	bool closed;
};

static int counter_next(void *self, void *ret_item)
{
	struct counter *c = self;
	int rc = lade_sleep(lade_ms(c->pause_ms));

	if (rc < 0)
		return rc;
	if (c->at == c->last)
		return c->end_rc;
	*(long *)ret_item = ++c->at;
	live++;
	return 1;
}

static void counter_close(void *self)
{
	((struct counter *)self)->closed = true;
}

static struct num_stream *count_up(struct counter *c)
{
	static const struct lade_source source = { counter_next, NULL, counter_close };

	return num_stream_of(&source, c);
}

static void take(long n)
{
	(void)n;
	live--;
}

/* Prefetch */

IN_TASK(a_prefetch_reads_at_most_so_many_items_ahead_and_from_creation_on)
{
	struct counter c = { .pause_ms = 1, .last = 100 };
	struct num_stream *in = NULL;
	long n;
	int rc = 0;

	live = 0;
	lade_scope(s, &rc) {
		in = num_prefetch(&s, count_up(&c), 5, 0);
		CHECK_EQ(lade_sleep(lade_ms(50)), 0);
		CHECK_EQ(c.at, 5);
		NEED_EQ(num_next(in, &n), 1);
		take(n);
		CHECK_EQ(n, 1);
		CHECK_EQ(lade_sleep(lade_ms(50)), 0);
		CHECK_EQ(c.at, 6);
		num_stream_close(in);
	}
	CHECK(c.closed);
	CHECK_EQ(live, 0);
}

IN_TASK(a_prefetch_reads_at_most_so_many_bytes_ahead)
{
	struct counter c = { .pause_ms = 1, .last = 100 };
	struct num_stream *in = NULL;
	long n;
	int rc = 0;

	live = 0;
	lade_scope(s, &rc) {
		in = num_prefetch(&s, count_up(&c), 50, 30);
		CHECK_EQ(lade_sleep(lade_ms(50)), 0);
		CHECK_EQ(c.at, 3);
		for (int i = 1; i <= 10; i++) {
			NEED_EQ(num_next(in, &n), 1);
			take(n);
			CHECK_EQ(n, i);
			CHECK_EQ(lade_sleep(lade_ms(5)), 0);
			CHECK_EQ(c.at, 3 + i);
		}
		num_stream_close(in);
	}
	CHECK_EQ(live, 0);
}

/* How many numbers, each of which weighs 10, a prefetch reads ahead. */
static int read_ahead(uint32_t items, size_t bytes)
{
	struct counter c = { .pause_ms = 1, .last = 100 };
	int rc = 0;

	lade_scope(s, &rc) {
		struct num_stream *in = num_prefetch(&s, count_up(&c), items, bytes);

		CHECK_EQ(lade_sleep(lade_ms(50)), 0);
		num_stream_close(in);
	}
	return (int)c.at;
}

IN_TASK(the_item_that_reaches_the_limit_in_bytes_is_the_last_that_is_read_ahead)
{
	live = 0;
	CHECK_EQ(read_ahead(50, 25), 3);
	CHECK_EQ(read_ahead(50, 30), 3);
	CHECK_EQ(live, 0);
}

IN_TASK(what_was_read_ahead_survives_a_cancelled_consumer)
{
	struct counter c = { .pause_ms = 3, .last = 40 };
	struct num_stream *in = NULL;
	long n, next = 1;
	int rc = 0, got;

	live = 0;
	lade_scope(s, &rc) {
		in = num_prefetch(&s, count_up(&c), 3, 0);
		for (;;) {
			got = lade_within(lade_us(1700), num_next(in, &n));
			if (got == -ETIME)
				continue;
			if (got <= 0)
				break;
			take(n);
			CHECK_EQ(n, next++);
		}
		CHECK_EQ(got, 0);
		CHECK_EQ(next, 41);
		num_stream_close(in);
	}
	CHECK_EQ(live, 0);
}

IN_TASK(an_error_is_told_after_the_items_and_stays)
{
	struct counter c = { .last = 3, .end_rc = -EIO };
	struct num_stream *in = NULL;
	long n;
	int rc = 0;

	live = 0;
	lade_scope(s, &rc) {
		in = num_prefetch(&s, count_up(&c), 10, 0);
		for (int i = 0; i < 3; i++) {
			NEED_EQ(num_next(in, &n), 1);
			take(n);
		}
		CHECK_EQ(num_next(in, &n), -EIO);
		CHECK_EQ(num_next(in, &n), -EIO);
		CHECK_EQ(num_try_next(in, &n), -EIO);
		num_stream_close(in);
	}
	CHECK_EQ(rc, 0);
	CHECK_EQ(live, 0);
}

static int next_item(struct num_stream *in)
{
	long n;
	int rc = num_next(in, &n);

	if (rc > 0)
		take(n);
	return rc;
}

/* Asks three times: with an item ready, with the end of it ready, and both times cancelled too. */
static void ask_in_all_ranks(struct num_stream *in, int end_rc)
{
	CHECK_EQ(lade_sleep(lade_ms(5)), 0);
	CHECK_EQ(lade_within(lade_ns(-1), next_item(in)), -ETIME);
	CHECK_EQ(next_item(in), 1);
	CHECK_EQ(lade_within(lade_ns(-1), next_item(in)), -ETIME);
	CHECK_EQ(next_item(in), end_rc);
	CHECK_EQ(lade_within(lade_ns(-1), next_item(in)), -ETIME);
	CHECK_EQ(next_item(in), end_rc);
	num_stream_close(in);
}

static int pass_on(void *arg, long *item, long *ret)
{
	(void)arg;
	*ret = *item;
	live++; /* the item itself is dropped by the map */
	return 0;
}
LADE_MAP(as_it_is, num, num, pass_on)

IN_TASK(an_item_comes_before_an_error_and_to_be_cancelled_before_both)
{
	struct counter a = { .last = 1, .end_rc = -EIO }, b = a, c = a;
	int rc = 0;

	live = 0;
	lade_scope(s, &rc) {
		struct num_stream *two[] = { count_up(&c) };

		ask_in_all_ranks(num_prefetch(&s, count_up(&a), 10, 0), -EIO);
		ask_in_all_ranks(as_it_is(&s, count_up(&b), NULL, 3, false), -EIO);
		ask_in_all_ranks(num_merge(&s, two, 1), -EIO);
	}
	CHECK_EQ(rc, 0);
	CHECK_EQ(live, 0);
}

IN_TASK(an_operator_beyond_its_limit_is_no_stream_and_closes_its_inputs)
{
	struct counter c[66] = { { .last = 1 } };
	struct num_stream *many[65], *none;
	int rc = 0;

	lade_scope(s, &rc) {
		for (int i = 0; i < 65; i++)
			many[i] = count_up(&c[i]);
		CHECK(!num_merge(&s, many, 65));
		none = as_it_is(&s, count_up(&c[65]), NULL, 1025, false);
		CHECK(!none);
		CHECK_EQ(next_item(none), -ENOMEM);
	}
	CHECK_EQ(rc, 0);
	for (int i = 0; i < 66; i++)
		CHECK(c[i].closed);
}

IN_TASK(an_operator_in_a_cancelled_scope_ends_as_cancelled)
{
	struct counter a = { .last = 3 }, b = { .last = 3 };
	struct num_stream *in = NULL;
	struct num_batches *batches = NULL;
	struct num_batch batch;
	long n;
	int rc = 0;

	lade_scope(s, &rc, .policy = LADE_ALL) {
		lade_cancel(&s);
		in = num_prefetch(&s, count_up(&a), 10, 0);
		batches = num_batch(&s, count_up(&b), (struct lade_batch_config){ 0 });
		lade_shield(lade_s(1)) {
			CHECK_EQ(num_next(in, &n), -ECANCELED);
			CHECK_EQ(num_batch_next(batches, &batch), -ECANCELED);
		}
		num_stream_close(in);
		num_batches_close(batches);
	}
	CHECK(a.closed);
	CHECK(b.closed);
}

/* Map */

static int running, most_running;

static int slow_double(void *arg, const long *n, long *ret)
{
	int rc;

	(void)arg;
	most_running = ++running > most_running ? running : most_running;
	rc = lade_sleep(lade_ms(*n % 2 ? 30 : 10));
	running--;
	if (rc < 0)
		return rc;
	if (*n == 7)
		return -EIO;
	*ret = 2 * *n;
	live++;
	return 0;
}
LADE_MAP(double_slowly, num, num, slow_double)

/* Maps 1 to @last; writes the results down.  Returns how it ended. */
static int tell_map(long last, uint32_t at_once, bool as_completed)
{
	struct counter c = { .last = last };
	struct num_stream *in = NULL;
	int rc = 0, got = 0;
	long n;

	live = running = most_running = 0;
	slate[0] = 0;
	lade_scope(s, &rc) {
		in = double_slowly(&s, count_up(&c), NULL, at_once, as_completed);
		while ((got = num_next(in, &n)) > 0) {
			take(n);
			write_down("%ld", n);
		}
		CHECK_EQ(num_next(in, &n), got);
		num_stream_close(in);
	}
	CHECK_EQ(rc, 0);
	CHECK_EQ(live, 0);
	CHECK_EQ(running, 0);
	CHECK(c.closed);
	return got;
}

IN_TASK(a_map_runs_at_most_so_many_bodies_at_once_and_keeps_the_order)
{
	CHECK_EQ(tell_map(6, 3, false), 0);
	CHECK_STR(slate, "2 4 6 8 10 12");
	CHECK_EQ(most_running, 3);
	CHECK_EQ(tell_map(6, 0, false), 0);
	CHECK_EQ(most_running, 1);
}

IN_TASK(a_map_gives_results_as_they_complete_where_that_is_asked_for)
{
	/* The even ones take 10 ms, the odd ones 30. */
	CHECK_EQ(tell_map(4, 4, true), 0);
	CHECK_STR(slate, "4 8 2 6");
	CHECK_EQ(most_running, 4);
}

IN_TASK(a_failed_body_stops_intake_and_is_returned_after_what_precedes_it)
{
	CHECK_EQ(tell_map(100, 4, false), -EIO);
	CHECK_STR(slate, "2 4 6 8 10 12");
	CHECK_EQ(tell_map(100, 1, true), -EIO);
	CHECK_STR(slate, "2 4 6 8 10 12");
}

IN_TASK(a_failed_body_calls_a_waiting_pull_off)
{
	struct counter c = { .pause_ms = 1, .at = 6, .last = 7 };
	struct num_stream *in = NULL;
	long n;
	int rc = 0;

	live = running = 0;
	lade_scope(s, &rc) {
		in = double_slowly(&s, count_up(&c), NULL, 8, false);
		CHECK_EQ(lade_sleep(lade_ms(2)), 0);
		c.pause_ms = 100000;
		c.last = 8;
		CHECK_EQ(num_next(in, &n), -EIO);
		CHECK(now_ms() < 50);
		num_stream_close(in);
	}
	CHECK_EQ(rc, 0);
	CHECK_EQ(live, 0);
}

IN_TASK(a_cancelled_consumer_of_a_map_loses_no_result)
{
	struct counter c = { .last = 6 };
	struct num_stream *in = NULL;
	long n, next = 2;
	int rc = 0, got;

	live = running = 0;
	lade_scope(s, &rc) {
		in = double_slowly(&s, count_up(&c), NULL, 2, false);
		while ((got = lade_within(lade_us(900), num_next(in, &n))) == -ETIME || got > 0) {
			if (got < 0)
				continue;
			take(n);
			CHECK_EQ(n, next);
			next += 2;
		}
		CHECK_EQ(next, 14);
		num_stream_close(in);
	}
	CHECK_EQ(live, 0);
}

IN_TASK(a_map_closed_early_cancels_its_bodies_and_drops_what_it_had)
{
	struct counter c = { .last = 100 };
	struct num_stream *in = NULL;
	long n;
	int rc = 0;

	live = running = 0;
	lade_scope(s, &rc) {
		in = double_slowly(&s, count_up(&c), NULL, 8, false);
		NEED_EQ(num_next(in, &n), 1);
		take(n);
		num_stream_close(in);
	}
	CHECK_EQ(now_ms(), 30);
	CHECK_EQ(live, 0);
	CHECK_EQ(running, 0);
}

/* Merge */

IN_TASK(a_merge_gives_items_in_the_order_of_arrival)
{
	struct counter a = { .pause_ms = 10, .last = 3 };
	struct counter b = { .pause_ms = 4, .at = 100, .last = 103 };
	struct num_stream *two[] = { count_up(&a), count_up(&b) }, *in;
	long n;
	int rc = 0;

	live = 0;
	lade_scope(s, &rc) {
		in = num_merge(&s, two, 2);
		while (num_next(in, &n) > 0) {
			take(n);
			write_down("%ld", n);
		}
		num_stream_close(in);
	}
	CHECK_STR(slate, "101 102 1 103 2 3");
	CHECK_EQ(live, 0);
}

IN_TASK(the_first_error_of_a_merge_ends_it_and_stays)
{
	struct counter a = { .pause_ms = 10, .last = 2, .end_rc = -EIO };
	struct counter b = { .pause_ms = 7, .at = 100, .last = 200 };
	struct num_stream *two[] = { count_up(&a), count_up(&b) }, *in;
	long n;
	int rc = 0, got;

	live = 0;
	lade_scope(s, &rc) {
		in = num_merge(&s, two, 2);
		while ((got = num_next(in, &n)) > 0)
			take(n);
		CHECK_EQ(got, -EIO);
		CHECK_EQ(now_ms(), 30);
		CHECK_EQ(lade_sleep(lade_ms(50)), 0);
		CHECK_EQ(num_next(in, &n), -EIO);
		num_stream_close(in);
	}
	CHECK_EQ(rc, 0);
	CHECK_EQ(live, 0);
}

/* Allocations that fail: each operator consumes its input. */
IN_TASK(wherever_memory_runs_out_operators_close_their_inputs)
{
	long n, i;
	int rc = 0;

	for (n = 1; n < 1000; n++) {
		struct counter a = { .last = 3 }, b = { .last = 3 };
		struct num_stream *in = NULL, *two[2];
		int got = 0;

		live = running = 0;
		lade_scope(s, &rc) {
			lade_alloc_fail_at(n);
			two[0] = count_up(&a);
			two[1] = double_slowly(&s, count_up(&b), NULL, 2, false);
			in = num_prefetch(&s, num_merge(&s, two, 2), 2, 0);
			while ((got = num_next(in, &i)) > 0)
				take(i);
			num_stream_close(in);
		}
		CHECK(a.closed);
		CHECK(b.closed);
		CHECK_EQ(live, 0);
		if (lade_alloc_fail_at(0) > 0)
			break;
		CHECK_EQ(got, -ENOMEM);
	}
	CHECK(n > 5 && n < 1000);
}

int main(void)
{
	TAP(a_prefetch_reads_at_most_so_many_items_ahead_and_from_creation_on);
	TAP(a_prefetch_reads_at_most_so_many_bytes_ahead);
	TAP(the_item_that_reaches_the_limit_in_bytes_is_the_last_that_is_read_ahead);
	TAP(what_was_read_ahead_survives_a_cancelled_consumer);
	TAP(an_error_is_told_after_the_items_and_stays);
	TAP(an_item_comes_before_an_error_and_to_be_cancelled_before_both);
	TAP(an_operator_beyond_its_limit_is_no_stream_and_closes_its_inputs);
	TAP(an_operator_in_a_cancelled_scope_ends_as_cancelled);
	TAP(a_map_runs_at_most_so_many_bodies_at_once_and_keeps_the_order);
	TAP(a_map_gives_results_as_they_complete_where_that_is_asked_for);
	TAP(a_failed_body_stops_intake_and_is_returned_after_what_precedes_it);
	TAP(a_failed_body_calls_a_waiting_pull_off);
	TAP(a_cancelled_consumer_of_a_map_loses_no_result);
	TAP(a_map_closed_early_cancels_its_bodies_and_drops_what_it_had);
	TAP(a_merge_gives_items_in_the_order_of_arrival);
	TAP(the_first_error_of_a_merge_ends_it_and_stays);
	TAP(wherever_memory_runs_out_operators_close_their_inputs);
	return tap_done();
}
