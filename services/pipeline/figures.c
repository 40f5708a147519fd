/* SPDX-License-Identifier: MIT */
/* figures.c - how long things take and how large they are, counted in buckets. */

#include "services/pipeline/figures.h"

double lade_pipe_times_bound_us(int i)
{
	return (double)(UINT64_C(1) << (i / 2)) * (i % 2 ? 1.4142135623730951 : 1.0);
}

void lade_pipe_times_add(struct lade_pipe_times *times, int64_t took_ns, uint64_t count)
{
	double us = (double)took_ns / 1000.0;
	int i = 0;

	if (took_ns > 1000) {
		/* The power of two below it; then at most two bounds are to be looked at. */
		i = 2 * (63 - __builtin_clzll((uint64_t)took_ns / 1000));
		i = i >= LADE_TIME_BUCKETS ? LADE_TIME_BUCKETS - 1 : i;
		while (i < LADE_TIME_BUCKETS - 1 && us > lade_pipe_times_bound_us(i))
			i++;
	}
	times->n[i] += count;
	times->count += count;
	times->sum_ns += took_ns * (int64_t)count;
}

double lade_pipe_times_ms(const uint64_t n[LADE_TIME_BUCKETS], double part)
{
	double wanted, from_us;
	uint64_t all = 0, seen = 0;
	int i = 0;

	for (int k = 0; k < LADE_TIME_BUCKETS; k++)
		all += n[k];
	if (all == 0)
		return 0;
	wanted = part * (double)all;
	while (i < LADE_TIME_BUCKETS - 1 && (n[i] == 0 || (double)(seen + n[i]) < wanted))
		seen += n[i++];
	/* Within a bucket they are taken to lie evenly; above the last bound nothing is known. */
	from_us = i ? lade_pipe_times_bound_us(i - 1) : 0;
	if (n[i] == 0 || i == LADE_TIME_BUCKETS - 1)
		return from_us / 1000.0;
	return (from_us + (lade_pipe_times_bound_us(i) - from_us) * (wanted - (double)seen) /
				  (double)n[i]) / 1000.0;
}

int lade_pipe_size_bucket(uint64_t size)
{
	int i = size <= 1 ? 0 : 64 - __builtin_clzll(size - 1);

	return i < LADE_SIZE_BUCKETS ? i : LADE_SIZE_BUCKETS - 1;
}
