/* SPDX-License-Identifier: MIT */
#ifndef LADE_IO_POOL_PRIV_H
#define LADE_IO_POOL_PRIV_H

/* pool_priv.h - threads for calls that block. */

#include "core/core_priv.h"

/* A call for the pool. */
struct lade_job {
	struct lade_link link;	      /* in the pool's queue; the pool's lock */
	void (*run)(struct lade_job *); /* called on a thread; completes whoever waits */
	bool queued;		      /* still in the queue; the pool's lock */
	struct lade_timer timer;      /* when it runs, where the pool is simulated */
};

/* lade_pool_add - queues a job for the loop's pool, which is made at first use.
 *
 * Returns 0; -EAGAIN: no thread can be had. */
int lade_pool_add(struct lade_loop *loop, struct lade_job *job);

/* lade_pool_grow - one more thread if jobs wait and a look-up has just been left behind. */
void lade_pool_grow(struct lade_loop *loop);

/* lade_pool_take_back - takes a job out of the queue.  Returns whether it was still there. */
bool lade_pool_take_back(struct lade_loop *loop, struct lade_job *job);

#endif
