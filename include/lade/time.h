/* SPDX-License-Identifier: MIT */
#ifndef LADE_TIME_H
#define LADE_TIME_H

/* time.h - durations and instants, two types that the compiler keeps apart. */

#include <stdint.h>

#include <lade/version.h>

LADE_API_BEGIN

/* A span of time. */
struct lade_duration {
	int64_t ns; /* nanoseconds, >= 0; INT64_MAX: for ever */
};

/* A point on CLOCK_MONOTONIC (on the virtual clock in tests). */
struct lade_instant {
	int64_t mono_ns; /* nanoseconds; INT64_MAX: never */
};

#define LADE_FOREVER ((struct lade_duration){ INT64_MAX })
#define LADE_NEVER ((struct lade_instant){ INT64_MAX })

/* lade_ns - a duration of @n nanoseconds; a negative one counts as 0.
 *
 * Suspends: no.  Threads: any. */
static inline struct lade_duration lade_ns(int64_t n)
{
	return (struct lade_duration){ n < 0 ? 0 : n };
}

/* lade_duration_of - @n times @unit_ns; saturates at LADE_FOREVER, a negative one is 0.
 *
 * Suspends: no.  Threads: any. */
static inline struct lade_duration lade_duration_of(int64_t n, int64_t unit_ns)
{
	if (n < 0)
		return (struct lade_duration){ 0 };
	return (struct lade_duration){ n > INT64_MAX / unit_ns ? INT64_MAX : n * unit_ns };
}

/* lade_us - a duration of @n microseconds.  Suspends: no.  Threads: any. */
static inline struct lade_duration lade_us(int64_t n)
{
	return lade_duration_of(n, 1000);
}

/* lade_ms - a duration of @n milliseconds.  Suspends: no.  Threads: any. */
static inline struct lade_duration lade_ms(int64_t n)
{
	return lade_duration_of(n, 1000000);
}

/* lade_s - a duration of @n seconds.  Suspends: no.  Threads: any. */
static inline struct lade_duration lade_s(int64_t n)
{
	return lade_duration_of(n, 1000000000);
}

/* lade_instant_after - @d after @t; saturates at LADE_NEVER: an instant that wrapped would lie
 * in the past and cancel work that asked for "practically never".
 *
 * Suspends: no.  Threads: any. */
static inline struct lade_instant lade_instant_after(struct lade_instant t, struct lade_duration d)
{
	int64_t sum;

	if (__builtin_add_overflow(t.mono_ns, d.ns, &sum))
		sum = INT64_MAX;
	return (struct lade_instant){ sum };
}

/* lade_instant_min - the earlier of two instants.  Suspends: no.  Threads: any. */
static inline struct lade_instant lade_instant_min(struct lade_instant a, struct lade_instant b)
{
	return a.mono_ns <= b.mono_ns ? a : b;
}

/* lade_now - the present instant of the running task's loop.
 *
 * Reads the clock only when the loop's last reading may be older than 50 us.
 * Suspends: no.  Threads: inside a task only. */
struct lade_instant lade_now(void);

/* lade_in - the instant @d from now.  Suspends: no.  Threads: inside a task only. */
static inline struct lade_instant lade_in(struct lade_duration d)
{
	return lade_instant_after(lade_now(), d);
}

LADE_API_END

#endif
