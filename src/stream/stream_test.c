/* SPDX-License-Identifier: MIT */
/* stream_test.c - streams on the virtual clock, lines on real descriptors. */

#include <lade/io.h>
#include <lade/join.h>
#include <lade/stream.h>

#include "backend.h"
#include "uring.h"

#include <errno.h>

static int dropped;

static void count_drop(long *n)
{
	(void)n;
	dropped++;
}

LADE_CHANNEL(num, long)
LADE_STREAM_WITH(num, long, (.drop = count_drop))

static bool is_even(void *arg, const long *n)
{
	(void)arg;
	return *n % 2 == 0;
}
LADE_FILTER(only_even, num, is_even)

static int doubled(void *arg, const long *n, long *ret)
{
	int rc = lade_sleep(lade_ms(*n % 3));

	(void)arg;
	if (rc < 0)
		return rc;
	if (*n == 77)
		return -EIO;
	*ret = 2 * *n;
	return 0;
}
LADE_MAP(double_all, num, num, doubled)

static long numbers[1000];

static void fill_numbers(void)
{
	for (long i = 0; i < 1000; i++)
		numbers[i] = i;
}

static void chain_body(void)
{
	struct num_stream *in = NULL;
	long n, sum = 0, count = 0;
	int rc = 0, got = 0;

	fill_numbers();
	lade_scope(s, &rc) {
		in = num_prefetch(&s, only_even(num_from_array(numbers, 1000), NULL), 8, 0);
		while ((got = num_next(in, &n)) > 0) {
			sum += n;
			count++;
		}
		in = num_stream_close(in);
	}
	CHECK_EQ(rc, 0);
	CHECK_EQ(got, 0);
	CHECK_EQ(count, 500);
	CHECK_EQ(sum, 249500);
}

static void filter_body(void)
{
	struct num_stream *in;
	long n;

	fill_numbers();
	dropped = 0;
	in = only_even(num_from_array(numbers, 10), NULL);
	while (num_next(in, &n) > 0)
		CHECK(n % 2 == 0);
	CHECK_EQ(dropped, 5);
	num_stream_close(in);
}

static void an_item_that_a_filter_takes_out_is_given_up(void)
{
	run_on("virtual", filter_body);
}

/* The first item fails at 10 ms; the second hears of nothing until 30. */
static int fails_or_stays(void *arg, const long *n, long *ret)
{
	(void)arg;
	*ret = *n;
	if (*n == 0)
		return lade_sleep(lade_ms(10)) < 0 ? -ECANCELED : -EIO;
	lade_shield(lade_s(60))
		(void)!lade_sleep(lade_ms(30));
	return 0;
}
LADE_MAP(fail_or_stay, num, num, fails_or_stays)

static void failing_map_body(void)
{
	int64_t began_ns = lade_now().mono_ns;
	struct num_stream *in;
	int rc = 0;
	long n;

	fill_numbers();
	lade_scope(s, &rc) {
		in = fail_or_stay(&s, num_from_array(numbers, 2), NULL, 2, false);
		CHECK_EQ(num_next(in, &n), -EIO);
		CHECK_EQ(lade_now().mono_ns - began_ns, 30000000);
		num_stream_close(in);
	}
}

static void a_failure_of_a_map_is_given_when_all_bodies_have_ended(void)
{
	run_on("virtual", failing_map_body);
}

static void a_chain_gives_every_item_that_passes_the_filter(void)
{
	run_on("virtual", chain_body);
}

static int feed(struct num_channel *ch, const int *gaps_ms, int count)
{
	int rc = 0;

	for (int i = 0; rc == 0 && i < count; i++) {
		rc = lade_sleep(lade_ms(gaps_ms[i]));
		if (rc == 0)
			rc = num_send(ch, i);
	}
	num_channel_close(ch);
	return rc;
}
LADE_TASK_VOID(feed, (struct num_channel *, ch), (const int *, gaps_ms), (int, count))

struct seen {
	int len[32], count, rc;
	enum lade_batch_reason reason[32];
	int64_t at_ms[32];
};

static int collect(struct num_channel *ch, struct lade_batch_config config, struct seen *seen)
{
	int64_t start = lade_now().mono_ns;
	struct num_batches *in = NULL;
	struct num_batch b = { 0 };
	int rc = 0, got;

	lade_scope(s, &rc) {
		in = num_batch(&s, num_from_channel(ch), config);
		while ((got = num_batch_next(in, &b)) > 0) {
			seen->len[seen->count] = (int)b.len;
			seen->reason[seen->count] = b.reason;
			seen->at_ms[seen->count++] = (lade_now().mono_ns - start) / 1000000;
		}
		seen->rc = got;
		in = num_batches_close(in);
	}
	return rc;
}
LADE_TASK_VOID(collect, (struct num_channel *, ch), (struct lade_batch_config, config),
	       (struct seen *, seen))

static void batch_body(void)
{
	static const int gaps[] = { 0, 0, 0, 0, 0, 10, 10, 10, 10, 100, 1 };
	struct num_channel *ch = NULL;
	struct seen seen = { 0 };

	NEED_EQ(num_channel_new(100, &ch), 0);
	CHECK_EQ(lade_join(lade_do(feed, ch, gaps, 11),
			   lade_do(collect, ch,
				   (struct lade_batch_config){ .max_items = 4,
							       .linger = lade_ms(25),
							       .idle = lade_ms(15) },
				   &seen)),
		 0);
	CHECK_EQ(seen.count, 4);
	CHECK_EQ(seen.len[0], 4);
	CHECK_EQ(seen.reason[0], LADE_BATCH_ITEMS);
	CHECK_EQ(seen.at_ms[0], 0);
	CHECK_EQ(seen.len[1], 3); /* 0, 10, 20 ms; linger at 25 */
	CHECK_EQ(seen.reason[1], LADE_BATCH_LINGER);
	CHECK_EQ(seen.at_ms[1], 25);
	CHECK_EQ(seen.len[2], 2); /* 30, 40 ms; idle at 55: linger would be then too */
	CHECK_EQ(seen.at_ms[2], 55);
	CHECK_EQ(seen.len[3], 2); /* 140, 141 ms, then the end */
	CHECK_EQ(seen.reason[3], LADE_BATCH_END);
	CHECK_EQ(seen.at_ms[3], 141);
	CHECK_EQ(seen.rc, 0);
	num_channel_free(ch);
}

static void a_batch_closes_by_size_linger_idle_and_end(void)
{
	run_on("virtual", batch_body);
}

static void remainder_body(void)
{
	struct num_channel *ch = NULL;
	struct num_batches *in = NULL;
	struct num_batch b = { 0 };
	int rc = 0;

	dropped = 0;
	NEED_EQ(num_channel_new(100, &ch), 0);
	lade_scope(s, &rc) {
		in = num_batch(&s, num_from_channel(ch),
			       (struct lade_batch_config){ .max_items = 10,
							   .linger = lade_s(10) });
		for (long i = 0; i < 3; i++)
			CHECK_EQ(num_send(ch, i), 0);
		CHECK_EQ(lade_within(lade_ms(5), num_batch_next(in, &b)), -ETIME);
		NEED_EQ(num_batch_remainder(in, &b), 1);
		NEED_EQ(b.len, 3);
		CHECK_EQ(b.items[2], 2);
		CHECK_EQ(b.reason, LADE_BATCH_REMAINDER);
		CHECK_EQ(num_batch_remainder(in, &b), 0);
		CHECK_EQ(num_send(ch, 9), 0);
		num_channel_close(ch);
		NEED_EQ(num_batch_next(in, &b), 1);
		CHECK_EQ(b.len, 1);
		CHECK_EQ(b.items[0], 9);
		CHECK_EQ(num_batch_next(in, &b), 0);
		in = num_batches_close(in);
	}
	CHECK_EQ(rc, 0);
	CHECK_EQ(dropped, 4);
	num_channel_free(ch);
}

static void what_was_read_for_a_cancelled_consumer_is_the_remainder(void)
{
	run_on("virtual", remainder_body);
}

static void map_body_test(bool as_completed)
{
	struct num_stream *in = NULL;
	long n, count = 0, sum = 0, last = -1;
	int rc = 0, got = 0;

	fill_numbers();
	lade_scope(s, &rc) {
		in = double_all(&s, num_from_array(numbers, 70), NULL, 8, as_completed);
		while ((got = num_next(in, &n)) > 0) {
			if (!as_completed)
				CHECK(n > last);
			last = n;
			sum += n;
			count++;
		}
		in = num_stream_close(in);
		CHECK_EQ(got, 0);
		in = double_all(&s, num_from_array(numbers, 100), NULL, 8, as_completed);
		count = 0;
		while ((got = num_next(in, &n)) > 0)
			count++;
		CHECK_EQ(got, -EIO);
		CHECK_EQ(num_next(in, &n), -EIO);
		if (!as_completed)
			CHECK_EQ(count, 77);
		in = num_stream_close(in);
	}
	CHECK_EQ(rc, 0);
	CHECK_EQ(sum, 4830);
}

static void map_body_both(void)
{
	map_body_test(false);
	map_body_test(true);
}

static void a_map_gives_all_results_and_a_failure_after_those_before_it(void)
{
	run_on("virtual", map_body_both);
}

static int feed_slowly(struct num_channel *ch, long count)
{
	int rc = 0;

	for (long i = 0; rc == 0 && i < count; i++) {
		rc = num_send(ch, i);
		if (rc == 0 && i % 2)
			rc = lade_sleep(lade_ms(5));
	}
	num_channel_close(ch);
	return rc;
}
LADE_TASK_VOID(feed_slowly, (struct num_channel *, ch), (long, count))

static void slow_source_body(void)
{
	struct feed_slowly_task feeder;
	struct num_channel *ch = NULL;
	struct num_stream *in = NULL;
	long n, next = 0;
	int rc = 0;

	NEED_EQ(num_channel_new(1, &ch), 0);
	feeder = feed_slowly_task(ch, 50);
	lade_scope(s, &rc) {
		lade_start(&s, &feeder);
		in = double_all(&s, num_from_channel(ch), NULL, 4, false);
		while ((rc = num_next(in, &n)) > 0)
			CHECK_EQ(n, 2 * next++);
		in = num_stream_close(in);
	}
	CHECK_EQ(rc, 0);
	CHECK_EQ(next, 50);
	num_channel_free(ch);
}

static void a_map_whose_consumer_waits_for_its_source_gives_each_result_once(void)
{
	run_on("virtual", slow_source_body);
}

static void merge_body(void)
{
	struct num_stream *three[3], *in = NULL;
	long n, sum = 0;
	int rc = 0;

	fill_numbers();
	lade_scope(s, &rc) {
		for (int i = 0; i < 3; i++)
			three[i] = num_from_array(numbers + 100 * i, 100);
		in = num_merge(&s, three, 3);
		while ((rc = num_next(in, &n)) > 0)
			sum += n;
		in = num_stream_close(in);
		three[0] = num_from_array(numbers, 5);
		three[1] = NULL;
		in = num_merge(&s, three, 2);
		CHECK(!in);
		CHECK_EQ(num_next(in, &n), -ENOMEM);
	}
	CHECK_EQ(rc, 0);
	CHECK_EQ(sum, 44850);
}

static void a_merge_gives_the_items_of_all_its_inputs(void)
{
	run_on("virtual", merge_body);
}

static int write_text(int fd, const char *text)
{
	size_t done = 0;
	int rc = lade_write_all(fd, text, strlen(text), &done);

	lade_close(fd);
	return rc;
}
LADE_TASK_VOID(write_text, (int, fd), (const char *, text))

static int read_lines(int fd, uint32_t max, char *ret)
{
	struct lade_line_stream *in = lade_lines_of(fd, 0, 1, max);
	struct lade_line line;
	int rc;

	while ((rc = lade_line_next(in, &line)) > 0) {
		ret += sprintf(ret, "%llu:%lld:%lld:%.*s%s|", (unsigned long long)line.number,
			       (long long)line.offset, (long long)line.next_offset,
			       (int)line.len, line.text, line.too_long ? "!" : "");
		lade_line_drop(&line);
	}
	lade_line_stream_close(in);
	return rc;
}
LADE_TASK(read_lines, char, (int, fd), (uint32_t, max))

static void lines_body(void)
{
	const char *text = "one\ntwo\r\n\nfour5678901\r\n12345678\r\nx";
	char got[4096] = "";
	int fds[2];

	CHECK_EQ(lade_pipe(fds), 0);
	CHECK_EQ(lade_join(lade_do(write_text, fds[1], text), lade_do(read_lines, fds[0], 8, got)),
		 0);
	CHECK_STR(got, "1:0:4:one|2:4:9:two|3:9:10:|4:10:23:four5678!|5:23:33:12345678|6:33:34:x|");
	lade_close(fds[0]);
}

static void lines_carry_their_numbers_and_offsets_and_long_ones_are_cut(void)
{
	run_on("epoll", lines_body);
}

static void lines_are_the_same_on_uring(void)
{
	run_on("uring", lines_body);
}

int main(void)
{
	TAP(an_item_that_a_filter_takes_out_is_given_up);
	TAP(a_failure_of_a_map_is_given_when_all_bodies_have_ended);
	TAP(a_chain_gives_every_item_that_passes_the_filter);
	TAP(a_batch_closes_by_size_linger_idle_and_end);
	TAP(what_was_read_for_a_cancelled_consumer_is_the_remainder);
	TAP(a_map_gives_all_results_and_a_failure_after_those_before_it);
	TAP(a_map_whose_consumer_waits_for_its_source_gives_each_result_once);
	TAP(a_merge_gives_the_items_of_all_its_inputs);
	TAP(lines_carry_their_numbers_and_offsets_and_long_ones_are_cut);
	TAP_URING(lines_are_the_same_on_uring);
	return tap_done();
}
