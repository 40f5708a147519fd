/* SPDX-License-Identifier: MIT */
#ifndef LADE_BASE_LOCK_H
#define LADE_BASE_LOCK_H

/* lock.h - a lock of one word between threads, for a few instructions' work.
 *
 * Taking and giving back a free lock is one atomic instruction each, inlined. Who finds it taken
 * looks again for as long as the work may take, then sleeps in the kernel (futex(2)), as the holder
 * may have lost its processor. It is not fair, and not for signal handlers.
 *
 * After U. Drepper, "Futexes Are Tricky" (2011), the second mutex. */

#include <stdatomic.h>
#include <stdint.h>

struct lade_lock {
	_Atomic uint32_t word; /* LADE_LOCK_… */
};

enum { LADE_LOCK_FREE, LADE_LOCK_TAKEN, LADE_LOCK_AWAITED };

/* lade_lock_wait - takes a lock that was found taken. */
void lade_lock_wait(struct lade_lock *lock);

/* lade_lock_wake - wakes one who sleeps; touches nothing of the lock, which may be gone. */
void lade_lock_wake(struct lade_lock *lock);

/* lade_lock_init - makes a free lock; so do zeroes. */
static inline void lade_lock_init(struct lade_lock *lock)
{
	atomic_init(&lock->word, LADE_LOCK_FREE);
}

/* lade_lock_take - takes a lock, once it is free. */
static inline void lade_lock_take(struct lade_lock *lock)
{
	uint32_t was = LADE_LOCK_FREE;

	if (__builtin_expect(!atomic_compare_exchange_strong_explicit(
				     &lock->word, &was, LADE_LOCK_TAKEN, memory_order_acquire,
				     memory_order_relaxed),
			     0))
		lade_lock_wait(lock);
}

/* lade_lock_give - gives a lock back. */
static inline void lade_lock_give(struct lade_lock *lock)
{
	if (__builtin_expect(atomic_exchange_explicit(&lock->word, LADE_LOCK_FREE,
						      memory_order_release) == LADE_LOCK_AWAITED,
			     0))
		lade_lock_wake(lock);
}

#endif
