/* SPDX-License-Identifier: MIT */
/* lock.c - what a lock does when it is not free. */

#include "base/lock.h"

#include "base/pause.h"

#include <limits.h>
#include <linux/futex.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <unistd.h>

#define LOOKS 100 /* at a lock that is taken, before it sleeps */

void lade_lock_wait(struct lade_lock *lock)
{
	for (int i = 0; i < LOOKS; i++) {
		uint32_t was = LADE_LOCK_FREE;

		lade_pause_core();
		if (atomic_load_explicit(&lock->word, memory_order_relaxed) == LADE_LOCK_FREE &&
		    atomic_compare_exchange_weak_explicit(&lock->word, &was, LADE_LOCK_TAKEN,
							  memory_order_acquire,
							  memory_order_relaxed))
			return;
	}
	/* Whoever takes it here cannot know whether others sleep, and says that they do. */
	while (atomic_exchange_explicit(&lock->word, LADE_LOCK_AWAITED, memory_order_acquire) !=
	       LADE_LOCK_FREE)
		syscall(SYS_futex, &lock->word, FUTEX_WAIT_PRIVATE, LADE_LOCK_AWAITED, NULL, NULL,
			0);
}

void lade_lock_wake(struct lade_lock *lock)
{
	syscall(SYS_futex, &lock->word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}
