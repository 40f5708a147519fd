/* SPDX-License-Identifier: MIT */
#ifndef LADE_CACHE_EVICT_H
#define LADE_CACHE_EVICT_H

/* evict.h - who leaves a cache that is full: the interface of an eviction policy.
 *
 * The cache owns the entries and embeds a struct lade_evict_entry in each; the policy
 * orders them and counts their bytes.  It decides nothing else: when to evict, whether an
 * entry is still in use and what freeing means is the cache's.
 *
 * Threads: all calls under one lock, lade_evict_hit() excepted, which any thread may make
 * at any time for an entry that cannot be freed meanwhile. */

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"

/* What a policy keeps in each entry of the cache: 32 bytes, zeroed before the first insert. */
struct lade_evict_entry {
	struct lade_link link;		/* in one of the policy's queues; the policy's */
	size_t bytes;			/* weight, overhead included; set before the insert */
	uint32_t fingerprint;		/* of the key; the policy's */
	atomic_uchar hits;		/* how often it was asked for lately, 0 to 3; relaxed */
	unsigned char queue;		/* the queue it is or was in; 0: none; the policy's */
};

struct lade_evict;

/* A policy: lade_evict_…() below says what each does. */
struct lade_evict_ops {
	void (*insert)(struct lade_evict *evict, struct lade_evict_entry *entry);
	void (*hit)(struct lade_evict_entry *entry);
	void (*remove)(struct lade_evict *evict, struct lade_evict_entry *entry);
	struct lade_evict_entry *(*next)(struct lade_evict *evict);
};

/* The part of a policy's state that all policies have. */
struct lade_evict {
	const struct lade_evict_ops *ops;	/* the policy */
	size_t bytes;				/* of all entries in it */
	size_t len;				/* entries in it */
};

/* lade_evict_insert - takes in @entry, whose bytes are set, of a key with @hash.
 *
 * One that was removed and comes back keeps its hits and its rank: a new value of a known
 * key is not a newcomer.  Cannot fail; evicts nobody: the cache calls next until the bytes
 * fit. */
static inline void lade_evict_insert(struct lade_evict *evict, struct lade_evict_entry *entry,
				     uint64_t hash)
{
	entry->fingerprint = (uint32_t)(hash >> 32);
	evict->bytes += entry->bytes;
	evict->len++;
	evict->ops->insert(evict, entry);
}

/* lade_evict_hit - notes that @entry was asked for. */
static inline void lade_evict_hit(struct lade_evict *evict, struct lade_evict_entry *entry)
{
	evict->ops->hit(entry);
}

/* lade_evict_remove - lets go of @entry, which leaves for another reason than room. */
static inline void lade_evict_remove(struct lade_evict *evict, struct lade_evict_entry *entry)
{
	evict->bytes -= entry->bytes;
	evict->len--;
	evict->ops->remove(evict, entry);
}

/* lade_evict_next - takes out the entry that should leave now, and gives it; NULL: empty. */
static inline struct lade_evict_entry *lade_evict_next(struct lade_evict *evict)
{
	struct lade_evict_entry *victim = evict->ops->next(evict);

	if (victim) {
		evict->bytes -= victim->bytes;
		evict->len--;
	}
	return victim;
}

#endif
