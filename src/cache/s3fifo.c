/* SPDX-License-Identifier: MIT */
/* s3fifo.c - three first-in first-out queues, and who goes from which to which.
 *
 * DESIGN
 * After Yang, Zhang, Qiu, Yue and Rashmi, "FIFO queues are all you need for cache
 * eviction" (SOSP 2023).  A newcomer waits in a small queue of a tenth of the bytes.  If
 * nobody asked for it by the time it is the oldest there, it leaves and only a 32-bit
 * fingerprint stays behind, a ghost; else it moves to the main queue.  Who returns while
 * its ghost is remembered goes to the main queue at once.  The oldest of the main queue
 * leaves unless it was asked for: then it goes to the back and has one hit less.  So what
 * is asked for once flows through a tenth of the cache and disturbs nobody, and a hit
 * moves nothing: it adds one to a two-bit counter, and a lost addition does no harm.
 *
 * One hit is enough to be promoted (the paper says two): on request traffic it is a little
 * better.  The ghosts are a ring cut into sets of 16, each of them a line of memory in
 * which the newest is first; a set remembers as many ghosts as its share of the main queue
 * has entries, as the paper's ring would.
 *
 * INVARIANT  Every entry is in exactly one queue, the one it names; a queue's bytes and
 *            length are those of its entries.
 * LIMITS     next() looks at LOOK_MAX entries at most; then the one at hand leaves even if
 *            it was asked for.  Ghosts: 16 per set, in memory allocated at init. */

#include "cache/s3fifo.h"

#include <errno.h>
#include <string.h>

#include "base/alloc.h"

#define HITS_MAX 3	/* two bits */
#define GHOST_WAYS 16	/* ghosts in a set */
#define LOOK_MAX 256	/* entries that one next() looks at: some 25 us if all miss the caches */

enum { IN_NONE, IN_SMALL, IN_MAIN };	/* of an entry's queue; IN_NONE: new, or evicted */

static struct lade_s3fifo *policy_of(struct lade_evict *evict)
{
	return LADE_CONTAINER(evict, struct lade_s3fifo, evict);
}

static struct lade_s3fifo_queue *queue_of(struct lade_s3fifo *policy,
					  const struct lade_evict_entry *entry)
{
	return entry->queue == IN_MAIN ? &policy->main : &policy->small;
}

static void put_last(struct lade_s3fifo *policy, struct lade_evict_entry *entry, unsigned char in)
{
	struct lade_s3fifo_queue *queue;

	entry->queue = in;
	queue = queue_of(policy, entry);
	lade_list_append(&queue->entries, &entry->link);
	queue->bytes += entry->bytes;
	queue->len++;
}

static void take_out(struct lade_s3fifo *policy, struct lade_evict_entry *entry)
{
	struct lade_s3fifo_queue *queue = queue_of(policy, entry);

	lade_list_remove(&entry->link);
	queue->bytes -= entry->bytes;
	queue->len--;
}

static uint32_t *ghost_set(const struct lade_s3fifo *policy, uint32_t fingerprint)
{
	size_t set = (size_t)(((uint64_t)fingerprint * policy->ghost_sets) >> 32);

	return policy->ghosts + set * GHOST_WAYS;
}

/* 0 is an empty place, so the one fingerprint in four thousand million that is 0 is 1. */
static uint32_t ghost_name(uint32_t fingerprint)
{
	return fingerprint ? fingerprint : 1;
}

static size_t ghost_ways(const struct lade_s3fifo *policy)
{
	size_t share = (policy->main.len + policy->ghost_sets / 2) / policy->ghost_sets;

	if (share < 1)
		return 1;
	return share < GHOST_WAYS ? share : GHOST_WAYS;
}

static void ghost_remember(struct lade_s3fifo *policy, uint32_t fingerprint)
{
	uint32_t *set = ghost_set(policy, fingerprint);

	memmove(set + 1, set, (GHOST_WAYS - 1) * sizeof(*set));
	set[0] = ghost_name(fingerprint);
}

/* True if it was remembered; it is forgotten then, because its entry is back. */
static bool ghost_recall(struct lade_s3fifo *policy, uint32_t fingerprint)
{
	uint32_t *set = ghost_set(policy, fingerprint), name = ghost_name(fingerprint);
	size_t ways = ghost_ways(policy), i = 0;

	while (i < ways && set[i] != name)
		i++;
	if (i == ways)
		return false;
	memmove(set + i, set + i + 1, (GHOST_WAYS - 1 - i) * sizeof(*set));
	set[GHOST_WAYS - 1] = 0;
	return true;
}

static void s3fifo_insert(struct lade_evict *evict, struct lade_evict_entry *entry)
{
	struct lade_s3fifo *policy = policy_of(evict);

	if (entry->queue != IN_NONE) {
		put_last(policy, entry, entry->queue);
		return;
	}
	atomic_store_explicit(&entry->hits, 0, memory_order_relaxed);
	put_last(policy, entry, ghost_recall(policy, entry->fingerprint) ? IN_MAIN : IN_SMALL);
}

/* Two threads may both read 1 and write 2: a hit is lost, which costs nobody anything. */
static void s3fifo_hit(struct lade_evict_entry *entry)
{
	unsigned char hits = atomic_load_explicit(&entry->hits, memory_order_relaxed);

	if (hits < HITS_MAX)
		atomic_store_explicit(&entry->hits, (unsigned char)(hits + 1),
				      memory_order_relaxed);
}

/* Its queue and hits stay in the entry, for an insert to find. */
static void s3fifo_remove(struct lade_evict *evict, struct lade_evict_entry *entry)
{
	take_out(policy_of(evict), entry);
}

/* The oldest of the queue whose turn it is, or NULL if both are empty. */
static struct lade_evict_entry *oldest(const struct lade_s3fifo *policy)
{
	const struct lade_s3fifo_queue *queue = &policy->main;

	if (policy->small.bytes > policy->small_max_bytes || policy->main.len == 0)
		queue = &policy->small;
	if (queue->len == 0)
		return NULL;
	return LADE_CONTAINER(queue->entries.next, struct lade_evict_entry, link);
}

/* It was asked for: from the small queue to the main, or to the main's back. */
static void keep(struct lade_s3fifo *policy, struct lade_evict_entry *entry, unsigned char hits)
{
	unsigned char left = entry->queue == IN_SMALL ? 0 : (unsigned char)(hits - 1);

	atomic_store_explicit(&entry->hits, left, memory_order_relaxed);
	take_out(policy, entry);
	put_last(policy, entry, IN_MAIN);
}

static struct lade_evict_entry *s3fifo_next(struct lade_evict *evict)
{
	struct lade_s3fifo *policy = policy_of(evict);
	struct lade_evict_entry *entry = oldest(policy);

	for (int looked = 1; entry && looked < LOOK_MAX; looked++) {
		unsigned char hits = atomic_load_explicit(&entry->hits, memory_order_relaxed);

		if (hits == 0)
			break;
		keep(policy, entry, hits);
		entry = oldest(policy);
	}
	if (!entry)
		return NULL;
	take_out(policy, entry);
	if (entry->queue == IN_SMALL)
		ghost_remember(policy, entry->fingerprint);
	entry->queue = IN_NONE;
	return entry;
}

static const struct lade_evict_ops s3fifo_ops = {
	.insert = s3fifo_insert,
	.hit = s3fifo_hit,
	.remove = s3fifo_remove,
	.next = s3fifo_next,
};

int lade_s3fifo_init(struct lade_s3fifo *policy, size_t max_bytes, size_t entries_max)
{
	size_t sets = entries_max / GHOST_WAYS + 1;
	uint32_t *ghosts = lade_calloc(sets, GHOST_WAYS * sizeof(*ghosts));

	if (!ghosts)
		return -ENOMEM;
	*policy = (struct lade_s3fifo){
		.evict.ops = &s3fifo_ops,
		.small_max_bytes = max_bytes / 10,
		.ghosts = ghosts,
		.ghost_sets = sets,
	};
	lade_list_init(&policy->small.entries);
	lade_list_init(&policy->main.entries);
	return 0;
}

void lade_s3fifo_done(struct lade_s3fifo *policy)
{
	lade_free(policy->ghosts);
	policy->ghosts = NULL;
}

static bool queue_sane(const struct lade_s3fifo_queue *queue, unsigned char name)
{
	size_t bytes = 0, len = 0;

	for (const struct lade_link *at = queue->entries.next; at != &queue->entries;
	     at = at->next) {
		const struct lade_evict_entry *entry =
			LADE_CONTAINER(at, struct lade_evict_entry, link);

		if (at->next->prev != at || entry->queue != name)
			return false;
		if (atomic_load_explicit(&entry->hits, memory_order_relaxed) > HITS_MAX)
			return false;
		bytes += entry->bytes;
		len++;
	}
	return bytes == queue->bytes && len == queue->len;
}

bool lade_s3fifo_sane(const struct lade_s3fifo *policy)
{
	return queue_sane(&policy->small, IN_SMALL) && queue_sane(&policy->main, IN_MAIN) &&
	       policy->evict.bytes == policy->small.bytes + policy->main.bytes &&
	       policy->evict.len == policy->small.len + policy->main.len;
}
