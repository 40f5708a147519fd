/* SPDX-License-Identifier: MIT */
#ifndef LADE_PIPELINE_FIGURES_H
#define LADE_PIPELINE_FIGURES_H

/* figures.h - how long things take and how large they are, counted in buckets.
 *
 * A bucket is one addition per call or batch: nothing is kept per message. Times are in half
 * powers of two from 1 us (the last bucket has all above 50 minutes), sizes in powers of two. */

#include <stdint.h>

#define LADE_TIME_BUCKETS 64
#define LADE_SIZE_BUCKETS 20

/* A histogram of times. */
struct lade_pipe_times {
	uint64_t n[LADE_TIME_BUCKETS]; /* [i]: those above the bound of i - 1, up to that of i */
	uint64_t count;		       /* all of them */
	int64_t sum_ns;		       /* how long they took together */
};

/* lade_pipe_times_add - counts @count things that took @took_ns each. */
void lade_pipe_times_add(struct lade_pipe_times *times, int64_t took_ns, uint64_t count);

/* lade_pipe_times_bound_us - the time up to which bucket @i goes, in microseconds. */
double lade_pipe_times_bound_us(int i);

/* lade_pipe_times_ms - the time, in milliseconds, that @part of them took at most: 0.99 for p99.
 *
 * It is estimated: those of a bucket are taken to lie evenly in it. So it is off by less than a
 * bucket's width, 41 %, and as a rule by few percent; 0 where there are none. */
double lade_pipe_times_ms(const uint64_t n[LADE_TIME_BUCKETS], double part);

/* lade_pipe_size_bucket - the bucket of a size: i holds those up to 2^i, the last one all. */
int lade_pipe_size_bucket(uint64_t size);

#endif
