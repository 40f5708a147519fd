/* SPDX-License-Identifier: MIT */
/* batch_test.c - what closes a batch, what forms ahead, what is left; and memory that runs out. */

#include <lade/io.h>
#include <lade/join.h>
#include <lade/stream.h>

#include "base/alloc.h"
#include "run.h"
#include "uring.h"

#include <sys/timerfd.h>

static int live; /* items that somebody has to drop */

static void drop_item(long *n)
{
	(void)n;
	live--;
}

static size_t weigh_item(const long *n)
{
	return (size_t)*n;
}

LADE_CHANNEL(num, long)
LADE_STREAM_WITH(num, long, (.drop = drop_item, .bytes = weigh_item))

/* A source that follows a script: a pause before each item, then an end or an error. */
struct script {
	const int *pauses_ms;	/* before each item; ends with -1 */
	int at;			/* items given */
	int end_rc;		/* 0: the end */
	bool tells;		/* try_next is there */
	int pulled;		/* items given, for the test to read */
	int64_t due_ns;		/* when the pause under way is over; 0: none is */
};

static int script_next(void *self, void *ret_item)
{
	struct script *s = self;
	int pause_ms = s->pauses_ms[s->at];
	int rc;

	/* A pull that was called off goes on where it was. */
	if (pause_ms > 0 && !s->due_ns)
		s->due_ns = lade_in(lade_ms(pause_ms)).mono_ns;
	rc = pause_ms > 0 ? lade_sleep_until((struct lade_instant){ s->due_ns }) : lade_yield();
	if (rc < 0)
		return rc;
	s->due_ns = 0;
	if (pause_ms < 0)
		return s->end_rc;
	*(long *)ret_item = ++s->at;
	s->pulled++;
	live++;
	return 1;
}

static int script_try_next(void *self, void *ret_item)
{
	struct script *s = self;

	if (s->pauses_ms[s->at] != 0)
		return -EAGAIN;
	*(long *)ret_item = ++s->at;
	s->pulled++;
	live++;
	return 1;
}

static struct num_stream *follow(struct script *script)
{
	static const struct lade_source telling = { script_next, script_try_next, NULL };
	static const struct lade_source silent = { script_next, NULL, NULL };

	live = 0;
	return num_stream_of(script->tells ? &telling : &silent, script);
}

/* Writes down each batch: length, reason, time. */
static int tell_batches(struct lade_scope *s, struct num_stream *in,
			struct lade_batch_config config, int64_t busy_ms)
{
	struct num_batches *batches = num_batch(s, in, config);
	struct num_batch b = { 0 };
	int rc;

	while ((rc = num_batch_next(batches, &b)) > 0) {
		write_down("%zu:%s:%d", b.len, lade_batch_reason_name(b.reason), (int)now_ms());
		if (busy_ms && lade_sleep(lade_ms(busy_ms)) < 0)
			break;
	}
	CHECK_EQ(num_batch_next(batches, &b), rc);
	num_batches_close(batches);
	return rc;
}

/* Runs a script through batches; what they were, @want; how they ended, @end_rc. */
static void check_batches(const int *pauses_ms, int end_rc, struct lade_batch_config config,
			  int64_t busy_ms, const char *want)
{
	struct script script = { .pauses_ms = pauses_ms, .end_rc = end_rc, .tells = true };

	for (int i = 0; i < 2; i++) {
		int rc = 0, got = 0;

		slate[0] = 0;
		run_start_ns = lade_now().mono_ns;
		script.at = script.pulled = 0;
		lade_scope(s, &rc)
			got = tell_batches(&s, follow(&script), config, busy_ms);
		CHECK_EQ(rc, 0);
		CHECK_EQ(got, end_rc);
		CHECK_STR(slate, want);
		CHECK_EQ(live, 0);
		if (config.linger.ns == 0)
			return; /* what is ready is another matter for a source that cannot tell */
		script.tells = false;
	}
}

IN_TASK(a_batch_closes_at_its_number_of_items)
{
	static const int pauses[] = { 0, 0, 0, 0, 0, 0, 0, -1 };

	check_batches(pauses, 0,
		      (struct lade_batch_config){ .max_items = 3, .linger = lade_ms(50) }, 0,
		      "3:items:0 3:items:0 1:end:0");
}

IN_TASK(a_batch_closes_when_its_items_weigh_enough)
{
	static const int pauses[] = { 0, 0, 0, 0, 0, 0, -1 };

	/* They weigh 1, 2, 3 and so on: 6, then 9, then 6. */
	check_batches(pauses, 0,
		      (struct lade_batch_config){ .max_bytes = 6, .linger = lade_ms(50) }, 0,
		      "3:bytes:0 2:bytes:0 1:bytes:0");
}

IN_TASK(linger_counts_from_the_first_item_and_is_never_restarted)
{
	static const int pauses[] = { 100, 10, 10, 10, 10, 10, -1 };

	/* Never on an empty batch: the first comes at 100 ms. */
	check_batches(pauses, 0,
		      (struct lade_batch_config){ .max_items = 100, .linger = lade_ms(25) }, 0,
		      "3:linger:125 3:end:150");
}

IN_TASK(idle_counts_from_the_last_item)
{
	static const int pauses[] = { 5, 10, 10, 40, 10, 40, -1 };

	check_batches(pauses, 0,
		      (struct lade_batch_config){ .linger = lade_s(1), .idle = lade_ms(15) }, 0,
		      "3:idle:40 2:idle:90 1:end:115");
}

IN_TASK(an_item_that_ties_with_linger_is_in_the_batch)
{
	static const int pauses[] = { 10, 20, 20, -1 };

	check_batches(pauses, 0, (struct lade_batch_config){ .linger = lade_ms(20) }, 0,
		      "2:linger:30 1:end:50");
}

IN_TASK(without_linger_a_batch_closes_when_nothing_more_is_ready)
{
	static const int pauses[] = { 0, 0, 5, 0, 0, 5, -1 };

	check_batches(pauses, 0, (struct lade_batch_config){ .max_items = 100 }, 0,
		      "2:ready:0 3:ready:5 1:ready:10");
}

IN_TASK(an_error_comes_after_the_batches_before_it)
{
	static const int pauses[] = { 0, 0, 10, 0, -1 };

	check_batches(pauses, -EIO,
		      (struct lade_batch_config){ .max_items = 3, .linger = lade_s(1) }, 0,
		      "3:items:10 1:end:10");
}

IN_TASK(an_empty_source_gives_no_batch)
{
	static const int pauses[] = { -1 };

	check_batches(pauses, 0, (struct lade_batch_config){ .linger = lade_ms(5) }, 0, "");
	check_batches(pauses, -EIO, (struct lade_batch_config){ .linger = lade_ms(5) }, 0, "");
}

IN_TASK(batches_form_while_the_consumer_is_busy)
{
	static const int pauses[] = { 1, 1, 1, 1, 1, 1, 1, 1, -1 };

	/* A linger of 2 ms each; the consumer takes 20 ms for one. */
	check_batches(pauses, 0,
		      (struct lade_batch_config){ .max_items = 2,
						  .linger = lade_ms(20),
						  .ahead = 3 },
		      20, "2:items:2 2:items:22 2:items:42 2:items:62");
}

IN_TASK(no_more_than_ahead_batches_and_the_forming_one_are_read)
{
	static const int pauses[100] = { 0, [99] = -1 };
	struct script script = { .pauses_ms = pauses, .tells = true };
	struct num_batches *batches;
	struct num_batch b = { 0 };
	int rc = 0;

	lade_scope(s, &rc) {
		batches = num_batch(&s, follow(&script),
				    (struct lade_batch_config){ .max_items = 10,
								.linger = lade_ms(5),
								.ahead = 2 });
		CHECK_EQ(lade_sleep(lade_ms(100)), 0);
		CHECK_EQ(script.pulled, 20);
		NEED_EQ(num_batch_next(batches, &b), 1);
		CHECK_EQ(b.len, 10);
		CHECK_EQ(lade_sleep(lade_ms(100)), 0);
		CHECK_EQ(script.pulled, 30);
		num_batches_close(batches);
	}
	CHECK_EQ(rc, 0);
	CHECK_EQ(live, 0);
}

IN_TASK(a_batch_without_a_number_closes_at_a_million_items)
{
	static const long zeros[1000001];
	struct num_batches *batches;
	struct num_batch b = { 0 };
	int rc = 0;

	live = 0;
	lade_scope(s, &rc) {
		batches = num_batch(&s, num_from_array(zeros, 1000001),
				    (struct lade_batch_config){ .linger = lade_s(1) });
		NEED_EQ(num_batch_next(batches, &b), 1);
		CHECK_EQ(b.len, 1000000);
		CHECK_EQ(b.reason, LADE_BATCH_ITEMS);
		NEED_EQ(num_batch_next(batches, &b), 1);
		CHECK_EQ(b.len, 1);
		CHECK_EQ(num_batch_next(batches, &b), 0);
		num_batches_close(batches);
	}
	CHECK_EQ(rc, 0);
}

IN_TASK(more_than_64_batches_ahead_are_no_stream)
{
	static const long one[1] = { 1 };
	struct num_batches *none = NULL;
	struct num_batch b = { 0 };
	int rc = 0;

	lade_scope(s, &rc) {
		none = num_batch(&s, num_from_array(one, 1),
				 (struct lade_batch_config){ .ahead = 65 });
		CHECK(!none);
		CHECK_EQ(num_batch_next(none, &b), -ENOMEM);
	}
	CHECK_EQ(rc, 0);
}

IN_TASK(a_cancelled_consumer_loses_no_item)
{
	static const int pauses[] = { 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, -1 };
	struct script script = { .pauses_ms = pauses };
	struct num_batches *batches;
	struct num_batch b = { 0 };
	long next = 1;
	int rc = 0, got;

	lade_scope(s, &rc) {
		batches = num_batch(&s, follow(&script),
				    (struct lade_batch_config){ .max_items = 3,
								.linger = lade_ms(10) });
		do {
			got = lade_within(lade_us(900), num_batch_next(batches, &b));
			for (size_t i = 0; got > 0 && i < b.len; i++)
				CHECK_EQ(b.items[i], next++);
		} while (got > 0 || got == -ETIME);
		CHECK_EQ(got, 0);
		CHECK_EQ(next, 13);
		num_batches_close(batches);
	}
	CHECK_EQ(rc, 0);
	CHECK_EQ(live, 0);
}

IN_TASK(the_remainder_is_everything_read_and_not_delivered)
{
	static const int pauses[] = { 0, 0, 0, 0, 0, 50, -1 };
	struct script script = { .pauses_ms = pauses };
	struct num_batches *batches;
	struct num_batch b = { 0 };
	int rc = 0;

	lade_scope(s, &rc) {
		batches = num_batch(&s, follow(&script),
				    (struct lade_batch_config){ .max_items = 3,
								.linger = lade_s(1),
								.ahead = 4 });
		CHECK_EQ(lade_sleep(lade_ms(1)), 0);
		NEED_EQ(num_batch_remainder(batches, &b), 1);
		CHECK_EQ(b.len, 3);
		CHECK_EQ(b.reason, LADE_BATCH_ITEMS);
		NEED_EQ(num_batch_remainder(batches, &b), 1);
		CHECK_EQ(b.len, 2);
		CHECK_EQ(b.reason, LADE_BATCH_REMAINDER);
		CHECK_EQ(num_batch_remainder(batches, &b), 0);
		NEED_EQ(num_batch_next(batches, &b), 1);
		CHECK_EQ(b.len, 1);
		CHECK_EQ(b.items[0], 6);
		num_batches_close(batches);
	}
	CHECK_EQ(rc, 0);
	CHECK_EQ(live, 0);
}

IN_TASK(a_batch_that_a_cancel_interrupts_is_no_batch_but_the_remainder)
{
	struct num_channel *numbers = NULL;
	struct num_batches *batches = NULL;
	struct num_batch b = { 0 };
	int rc = 0;

	live = 2;
	NEED_EQ(num_channel_new(4, &numbers), 0);
	CHECK_EQ(num_send(numbers, 1), 0);
	CHECK_EQ(num_send(numbers, 2), 0);
	lade_scope(s, &rc) {
		batches = num_batch(&s, num_from_channel(numbers),
				    (struct lade_batch_config){ .linger = lade_s(60) });
		CHECK_EQ(lade_sleep(lade_ms(5)), 0);
		lade_cancel(&s);
	}
	CHECK_EQ(num_batch_next(batches, &b), -ECANCELED);
	NEED_EQ(num_batch_remainder(batches, &b), 1);
	CHECK_EQ(b.reason, LADE_BATCH_REMAINDER);
	CHECK_EQ(b.len, 2);
	num_batches_close(batches);
	CHECK_EQ(live, 0);
	num_channel_free(numbers);
}

/* Items come from the kernel, a while after the loop has last looked at its clock. */
struct ticks {
	int fd;	     /* a timer's descriptor */
	int left;    /* items to come */
	bool closed; /* nothing more */
};

static int ticks_next(void *self, void *ret_item)
{
	struct ticks *t = self;
	uint64_t count;
	int rc;

	if (t->left == 0)
		return lade_readable(t->fd) < 0 ? -ECANCELED : 0;
	rc = lade_read(t->fd, &count, sizeof(count));
	if (rc < 0)
		return rc;
	*(long *)ret_item = t->left--;
	live++;
	return 1;
}

static void idle_real_body(void)
{
	static const struct lade_source source = { ticks_next, NULL, NULL };
	struct itimerspec every = { { 0, 5000000 }, { 0, 80000000 } };
	struct ticks ticks = { .fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK), .left = 3 };
	struct num_batches *batches;
	struct num_batch b = { 0 };
	int rc = 0;

	live = 0;
	CHECK_EQ(timerfd_settime(ticks.fd, 0, &every, NULL), 0);
	lade_scope(s, &rc) {
		batches = num_batch(&s, num_stream_of(&source, &ticks),
				    (struct lade_batch_config){ .max_items = 3,
								.linger = lade_s(9),
								.idle = lade_ms(60) });
		/* 80 ms of waiting for the first item are no pause after it. */
		NEED_EQ(num_batch_next(batches, &b), 1);
		CHECK_EQ(b.len, 3);
		CHECK_EQ(b.reason, LADE_BATCH_ITEMS);
		num_batches_close(batches);
	}
	CHECK_EQ(rc, 0);
	lade_close(ticks.fd);
}

static void idle_counts_from_the_items_own_time_on_epoll(void)
{
	run_with(&(struct lade_loop_config){ .backend = "epoll" }, idle_real_body);
}

static void idle_counts_from_the_items_own_time_on_uring(void)
{
	run_with(&(struct lade_loop_config){ .backend = "uring" }, idle_real_body);
}

/* Every allocation fails in turn: the stream says so, and what it had is delivered or dropped. */
static int use_streams(struct lade_scope *s, struct script *script)
{
	struct num_batches *batches;
	struct num_stream *in;
	struct num_batch b = { 0 };
	long next = 1;
	int rc;

	in = num_prefetch(s, follow(script), 4, 0);
	batches = num_batch(s, in,
			    (struct lade_batch_config){ .max_items = 18, .linger = lade_s(1) });
	while ((rc = num_batch_next(batches, &b)) > 0)
		for (size_t i = 0; i < b.len; i++)
			CHECK_EQ(b.items[i], next++);
	if (rc == 0)
		CHECK_EQ(next, 20);
	num_batches_close(batches);
	return rc;
}

static const int nineteen[] = { 0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, -1 };

IN_TASK(wherever_memory_runs_out_a_stream_answers_enomem_and_loses_no_item)
{
	long n;
	int rc = 0;

	for (n = 1; n < 1000; n++) {
		/* The workers may pull until the scope's end. */
		struct script script = { .pauses_ms = nineteen, .tells = true };
		int used = 0;

		lade_scope(s, &rc) {
			lade_alloc_fail_at(n);
			used = use_streams(&s, &script);
		}
		CHECK_EQ(live, 0);
		if (lade_alloc_fail_at(0) > 0)
			break;
		CHECK_EQ(used, -ENOMEM);
	}
	CHECK(n > 4 && n < 1000);
}

int main(void)
{
	TAP(a_batch_closes_at_its_number_of_items);
	TAP(a_batch_closes_when_its_items_weigh_enough);
	TAP(linger_counts_from_the_first_item_and_is_never_restarted);
	TAP(idle_counts_from_the_last_item);
	TAP(an_item_that_ties_with_linger_is_in_the_batch);
	TAP(without_linger_a_batch_closes_when_nothing_more_is_ready);
	TAP(an_error_comes_after_the_batches_before_it);
	TAP(an_empty_source_gives_no_batch);
	TAP(batches_form_while_the_consumer_is_busy);
	TAP(no_more_than_ahead_batches_and_the_forming_one_are_read);
	TAP(a_batch_without_a_number_closes_at_a_million_items);
	TAP(more_than_64_batches_ahead_are_no_stream);
	TAP(a_cancelled_consumer_loses_no_item);
	TAP(the_remainder_is_everything_read_and_not_delivered);
	TAP(a_batch_that_a_cancel_interrupts_is_no_batch_but_the_remainder);
	TAP(idle_counts_from_the_items_own_time_on_epoll);
	TAP_URING(idle_counts_from_the_items_own_time_on_uring);
	TAP(wherever_memory_runs_out_a_stream_answers_enomem_and_loses_no_item);
	return tap_done();
}
