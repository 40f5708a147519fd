/* SPDX-License-Identifier: MIT */
/* lock_test.c - one at a time, and nobody sleeps on. */

#include "base/lock.h"

#include <pthread.h>
#include <sched.h>

#include "many.h"
#include "tap.h"

static struct lade_lock lock;
static long count; /* under the lock */
static long rounds;

static void *count_up(void *arg)
{
	(void)arg;
	for (long i = 0; i < rounds; i++) {
		lade_lock_take(&lock);
		count++;
		/* Some are held for longer than others look, who must sleep. */
		if (i % 100 == 0)
			sched_yield();
		lade_lock_give(&lock);
	}
	return NULL;
}

static void one_at_a_time_has_it_and_all_get_it(void)
{
	pthread_t threads[4];

	rounds = RUN_MANY(20000);
	for (int i = 0; i < 4; i++)
		pthread_create(&threads[i], NULL, count_up, NULL);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	CHECK_EQ(count, 4 * rounds);
}

static void *take_once(void *arg)
{
	(void)arg;
	lade_lock_take(&lock);
	count++;
	lade_lock_give(&lock);
	return NULL;
}

static void who_sleeps_for_it_is_woken(void)
{
	pthread_t threads[2];

	count = 0;
	lade_lock_init(&lock);
	lade_lock_take(&lock);
	for (int i = 0; i < 2; i++)
		pthread_create(&threads[i], NULL, take_once, NULL);
	while (atomic_load(&lock.word) != LADE_LOCK_AWAITED)
		sched_yield();
	CHECK_EQ(count, 0);
	lade_lock_give(&lock);
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	CHECK_EQ(count, 2);
	CHECK_EQ(atomic_load(&lock.word), LADE_LOCK_FREE);
}

int main(void)
{
	TAP(one_at_a_time_has_it_and_all_get_it);
	TAP(who_sleeps_for_it_is_woken);
	return tap_done();
}
