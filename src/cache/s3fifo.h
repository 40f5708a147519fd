/* SPDX-License-Identifier: MIT */
#ifndef LADE_CACHE_S3FIFO_H
#define LADE_CACHE_S3FIFO_H

/* s3fifo.h - the eviction policy S3-FIFO, weighted by bytes. */

#include <stdbool.h>

#include "cache/evict.h"

/* A first-in first-out queue of entries. */
struct lade_s3fifo_queue {
	struct lade_link entries;	/* oldest first */
	size_t bytes;			/* of all entries in it */
	size_t len;			/* entries in it */
};

struct lade_s3fifo {
	struct lade_evict evict;	/* what the cache calls */
	struct lade_s3fifo_queue small;	/* the newcomers */
	struct lade_s3fifo_queue main;	/* those asked for again */
	size_t small_max_bytes;		/* above it newcomers leave first: a tenth of the budget */
	uint32_t *ghosts;		/* fingerprints of newcomers that left: sets of 16 */
	size_t ghost_sets;		/* sets in ghosts, >= 1 */
};

/* lade_s3fifo_init - makes an empty policy for a cache of @max_bytes.
 *
 * @entries_max: about how many entries that will be; 4 bytes are allocated for each, and
 * nothing later.  Returns 0 or -ENOMEM.  The cache then calls @policy->evict. */
int lade_s3fifo_init(struct lade_s3fifo *policy, size_t max_bytes, size_t entries_max);

/* lade_s3fifo_done - frees what init allocated; entries still in it are forgotten. */
void lade_s3fifo_done(struct lade_s3fifo *policy);

/* lade_s3fifo_sane - true if all invariants hold; for tests, linear in the entries. */
bool lade_s3fifo_sane(const struct lade_s3fifo *policy);

#endif
