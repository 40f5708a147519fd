/* SPDX-License-Identifier: MIT */
/* stream.c - prefetch, timed batches, maps, filters and merges, cancelled everywhere. */

#include <lade/explore.h>
#include <lade/lade.h>

#include <errno.h>

LADE_CHANNEL(number, long)
LADE_STREAM(number, long)

static const long numbers[] = { 1, 2, 3, 4, 5, 6, 7 };
#define COUNT (sizeof(numbers) / sizeof(*numbers))

static struct number_stream *all_numbers(void)
{
	return number_from_array(numbers, COUNT);
}

static int sum_of(struct number_stream *in, long *ret)
{
	long n, sum = 0;
	int rc;

	while ((rc = number_next(in, &n)) > 0)
		sum += n;
	number_stream_close(in);
	*ret = sum;
	return rc;
}

LADE_EXPLORE(prefetch)
{
	long sum = 0;
	int rc = 0;

	lade_scope(s, &rc) {
		rc = sum_of(number_prefetch(&s, all_numbers(), 2, 0), &sum);
	}
	return rc < 0 ? rc : sum == 28 ? 0 : -EBADMSG;
}

static int twice(void *arg, const long *n, long *ret)
{
	int rc = lade_sleep(lade_us(10 + 3 * (*n % 3)));

	(void)arg;
	if (rc < 0)
		return rc;
	*ret = 2 * *n;
	return 0;
}
LADE_MAP(doubled, number, number, twice)

static bool is_large(void *arg, const long *n)
{
	(void)arg;
	return *n > 4;
}
LADE_FILTER(large, number, is_large)

LADE_EXPLORE(map_in_order)
{
	long sum = 0;
	int rc = 0;

	lade_scope(s, &rc) {
		rc = sum_of(doubled(&s, all_numbers(), NULL, 3, false), &sum);
	}
	return rc < 0 ? rc : sum == 56 ? 0 : -EBADMSG;
}

LADE_EXPLORE(map_as_completed_and_filter)
{
	long sum = 0;
	int rc = 0;

	lade_scope(s, &rc) {
		rc = sum_of(large(doubled(&s, all_numbers(), NULL, 2, true), NULL), &sum);
	}
	return rc < 0 ? rc : sum == 50 ? 0 : -EBADMSG;
}

LADE_EXPLORE(merge)
{
	long sum = 0;
	int rc = 0;

	lade_scope(s, &rc) {
		struct number_stream *both[2] = { all_numbers(), all_numbers() };

		rc = sum_of(number_merge(&s, both, 2), &sum);
	}
	return rc < 0 ? rc : sum == 56 ? 0 : -EBADMSG;
}

/* Numbers that come at times of their own, in batches. No number may be lost to a cancel of the
 * consumer: what it has not had is in the remainder. */
static int feed(struct number_channel *ch)
{
	int rc = 0;

	for (size_t i = 0; i < COUNT && rc == 0; i++) {
		rc = lade_sleep(lade_us(10 + 40 * (int64_t)(i % 3)));
		if (rc == 0)
			rc = number_send(ch, numbers[i]);
	}
	number_channel_close(ch);
	return rc;
}
LADE_TASK_VOID(feed, (struct number_channel *, ch))

static int sum_of_batches(struct number_batches *in, long *ret)
{
	struct number_batch batch;
	int rc;

	while ((rc = number_batch_next(in, &batch)) > 0)
		for (size_t i = 0; i < batch.len; i++)
			*ret += batch.items[i];
	number_batches_close(in);
	return rc;
}

LADE_EXPLORE(timed_batches)
{
	const struct lade_batch_config config = { .max_items = 3,
						  .linger = lade_us(60),
						  .idle = lade_us(45),
						  .ahead = 2 };
	struct number_channel *ch = NULL;
	struct feed_task feeder;
	long sum = 0;
	int rc = number_channel_new(2, &ch);

	if (rc < 0)
		return rc;
	feeder = feed_task(ch);
	lade_scope(s, &rc) {
		lade_start(&s, &feeder);
		rc = sum_of_batches(number_batch(&s, number_from_channel(ch), config), &sum);
	}
	number_channel_free(ch);
	return rc < 0 ? rc : sum == 28 ? 0 : -EBADMSG;
}
