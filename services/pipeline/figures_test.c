/* SPDX-License-Identifier: MIT */
/* figures_test.c - buckets of times and sizes. */

#include "services/pipeline/figures.h"

#include "tap.h"

static void a_time_is_in_the_first_bucket_that_reaches_it(void)
{
	struct lade_pipe_times t = { 0 };

	for (int i = 0; i < LADE_TIME_BUCKETS - 1; i++) {
		double bound_ns = lade_pipe_times_bound_us(i) * 1000.0;

		lade_pipe_times_add(&t, (int64_t)bound_ns, 1);
		CHECK(t.n[i] == (i ? 2 : 1));
		lade_pipe_times_add(&t, (int64_t)bound_ns + 2, 1);
		CHECK(t.n[i + 1] == 1);
	}
}

static void times_beyond_the_last_bound_are_in_the_last_bucket(void)
{
	struct lade_pipe_times t = { 0 };

	lade_pipe_times_add(&t, INT64_MAX / 4, 1);
	lade_pipe_times_add(&t, 0, 3);
	lade_pipe_times_add(&t, -5, 1);
	CHECK(t.n[LADE_TIME_BUCKETS - 1] == 1);
	CHECK(t.n[0] == 4);
	CHECK(t.count == 5);
}

static void a_percentile_is_estimated_within_its_bucket(void)
{
	struct lade_pipe_times t = { 0 };

	/* Evenly from 1 to 100 ms: no bound of a bucket is near 50 or 99. */
	for (int i = 1; i <= 1000; i++)
		lade_pipe_times_add(&t, i * INT64_C(100000), 1);
	CHECK(lade_pipe_times_ms(t.n, 0.5) > 48 && lade_pipe_times_ms(t.n, 0.5) < 52);
	CHECK(lade_pipe_times_ms(t.n, 0.9) > 85 && lade_pipe_times_ms(t.n, 0.9) < 120);
	/* What lies above all bounds has the last one. */
	memset(&t, 0, sizeof(t));
	t.n[LADE_TIME_BUCKETS - 1] = 5;
	CHECK(lade_pipe_times_ms(t.n, 0.5) * 1e3 ==
	      lade_pipe_times_bound_us(LADE_TIME_BUCKETS - 2));
}

static void a_percentile_is_in_the_bucket_that_so_many_reach(void)
{
	struct lade_pipe_times t = { 0 };

	CHECK(lade_pipe_times_ms(t.n, 0.5) == 0);
	lade_pipe_times_add(&t, 1000000, 99);	/* 1 ms: up to 1.024 */
	lade_pipe_times_add(&t, 100000000, 1);	/* 100 ms: up to 131.072 */
	CHECK(lade_pipe_times_ms(t.n, 0.5) > 0.72 && lade_pipe_times_ms(t.n, 0.5) < 1.03);
	CHECK(lade_pipe_times_ms(t.n, 0.99) < 1.03);
	CHECK(lade_pipe_times_ms(t.n, 1.0) > 100 && lade_pipe_times_ms(t.n, 1.0) < 132);
	CHECK(t.sum_ns == 199000000);
}

static void sizes_are_in_powers_of_two(void)
{
	CHECK(lade_pipe_size_bucket(0) == 0);
	CHECK(lade_pipe_size_bucket(1) == 0);
	CHECK(lade_pipe_size_bucket(2) == 1);
	CHECK(lade_pipe_size_bucket(3) == 2);
	CHECK(lade_pipe_size_bucket(512) == 9);
	CHECK(lade_pipe_size_bucket(513) == 10);
	CHECK(lade_pipe_size_bucket(UINT64_MAX) == LADE_SIZE_BUCKETS - 1);
}

int main(void)
{
	TAP(a_time_is_in_the_first_bucket_that_reaches_it);
	TAP(times_beyond_the_last_bound_are_in_the_last_bucket);
	TAP(a_percentile_is_in_the_bucket_that_so_many_reach);
	TAP(a_percentile_is_estimated_within_its_bucket);
	TAP(sizes_are_in_powers_of_two);
	return tap_done();
}
