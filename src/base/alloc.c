/* SPDX-License-Identifier: MIT */
/* alloc.c - the failure that a test ordered.
 *
 * DESIGN
 * The countdown is one number for the whole process, not one per thread: a scenario
 * allocates on its loop and on the blocking pool, and a test wants to reach both.  It is
 * in every build, so that what is tested is what is shipped; it costs one relaxed load
 * beside a malloc. */

#include "base/alloc.h"

atomic_long lade_alloc_countdown;

long lade_alloc_fail_at(long n)
{
	return atomic_exchange(&lade_alloc_countdown, n);
}

bool lade_alloc_counted(void)
{
	long left = atomic_load(&lade_alloc_countdown);

	while (left > 0 && !atomic_compare_exchange_weak(&lade_alloc_countdown, &left, left - 1))
		;
	return left == 1;
}
