/* SPDX-License-Identifier: MIT */
/* hit.c - what a hit costs: 64-byte keys, 1 KB values, Zipf 0.99 over 100,000 entries.
 *
 * DESIGN
 * The bare table is what one would write for this alone: fixed size, half full, pointers in
 * linear probing, a mixer that anybody can make collide, and a clock bit in the entry.
 * lade's map has a keyed hash, grows, and is followed by the eviction policy's hit.  Both
 * look up the same requests in the same entries; the key is compared and a byte of the
 * value is read.  Lookups do not depend on each other, so their cache misses overlap: the
 * more instructions a lookup has, the fewer overlap, which is the larger part of the
 * difference. */

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/hash.h"
#include "base/map.h"
#include "cache/s3fifo.h"

#define ENTRIES 100000
#define REQUESTS (1 << 19)
#define BARE_SLOTS (1 << 18)
#define KEY_BYTES 64
#define ROUNDS 9	/* each is one sample of each way; the smallest are printed */

struct entry {
	struct lade_evict_entry evict;	/* what lade's policy keeps */
	unsigned char clock;		/* the bare table's bit */
	char key[KEY_BYTES];		/* a URL, filled up */
	char value[1024];		/* read, not written */
};

static struct entry *entries;
static char (*requests)[KEY_BYTES];

static double cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void *must(void *mem)
{
	if (!mem) {
		perror("hit");
		exit(1);
	}
	return mem;
}

static void make_entries(void)
{
	entries = must(calloc(ENTRIES, sizeof(*entries)));
	for (int i = 0; i < ENTRIES; i++) {
		memset(entries[i].key, '.', KEY_BYTES);
		snprintf(entries[i].key, KEY_BYTES, "http://example.org/some/path/%d", i);
		entries[i].evict.bytes = sizeof(*entries);
	}
}

/* Which entry is the most popular, the second … is shuffled: neighbours are strangers. */
static void shuffle(int *order)
{
	for (int i = 0; i < ENTRIES; i++)
		order[i] = i;
	for (int i = ENTRIES - 1; i > 0; i--) {
		int j = rand() % (i + 1), kept = order[i];

		order[i] = order[j];
		order[j] = kept;
	}
}

static int zipf(const double *sums, double u)
{
	int low = 0, high = ENTRIES - 1;

	while (low < high) {
		int middle = (low + high) / 2;

		if (sums[middle] < u * sums[ENTRIES - 1])
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static void make_requests(void)
{
	double *sums = must(malloc(ENTRIES * sizeof(*sums))), sum = 0;
	int *order = must(malloc(ENTRIES * sizeof(*order)));

	srand(1);
	requests = must(malloc(REQUESTS * sizeof(*requests)));
	for (int i = 0; i < ENTRIES; i++)
		sums[i] = sum += pow(i + 1, -0.99);
	shuffle(order);
	for (int i = 0; i < REQUESTS; i++) {
		int which = zipf(sums, (rand() + 0.5) / (RAND_MAX + 1.0));

		memcpy(requests[i], entries[order[which]].key, KEY_BYTES);
	}
	free(order);
	free(sums);
}

/* wyhash's way of mixing, without its care. */
static uint64_t bare_hash(const char *key)
{
	uint64_t hash = 0x9e3779b97f4a7c15u, a, b;

	for (size_t i = 0; i < KEY_BYTES; i += 16) {
		__extension__ unsigned __int128 product;

		memcpy(&a, key + i, 8);
		memcpy(&b, key + i + 8, 8);
		product = a ^ 0xa0761d6478bd642fu;
		product *= b ^ hash;
		hash = (uint64_t)product ^ (uint64_t)(product >> 64);
	}
	return hash;
}

static struct entry *bare[BARE_SLOTS];

static void bare_fill(void)
{
	for (int i = 0; i < ENTRIES; i++) {
		size_t at = bare_hash(entries[i].key) % BARE_SLOTS;

		while (bare[at])
			at = (at + 1) % BARE_SLOTS;
		bare[at] = &entries[i];
	}
}

static struct entry *bare_find(const char *key)
{
	size_t at = bare_hash(key) % BARE_SLOTS;

	while (memcmp(bare[at]->key, key, KEY_BYTES) != 0)
		at = (at + 1) % BARE_SLOTS;
	bare[at]->clock = 1;
	return bare[at];
}

static struct lade_hash_key hash_key;
static struct lade_map map;	/* grown in one step */
static struct lade_map growing;	/* most entries are still in the smaller table */
static struct lade_s3fifo policy;

static bool entry_equal(const void *entry, const void *key)
{
	return memcmp(((const struct entry *)entry)->key, key, KEY_BYTES) == 0;
}

static int lade_fill(void)
{
	int rc = lade_hash_key_random(&hash_key);

	lade_map_init(&map, entry_equal, ENTRIES);
	lade_map_init(&growing, entry_equal, ENTRIES);
	if (rc == 0)
		rc = lade_map_reserve(&map, ENTRIES);
	if (rc == 0)
		rc = lade_s3fifo_init(&policy, ENTRIES * sizeof(*entries), ENTRIES);
	for (int i = 0; i < ENTRIES && rc == 0; i++) {
		uint64_t hash = lade_hash(&hash_key, entries[i].key, KEY_BYTES);

		rc = lade_map_insert(&map, hash, &entries[i]);
		if (rc == 0)
			rc = lade_map_insert(&growing, hash, &entries[i]);
		lade_evict_insert(&policy.evict, &entries[i].evict, hash);
	}
	return rc;
}

static struct entry *lade_find(const char *key)
{
	return lade_map_find(&map, lade_hash(&hash_key, key, KEY_BYTES), key);
}

static struct entry *lade_find_growing(const char *key)
{
	return lade_map_find(&growing, lade_hash(&hash_key, key, KEY_BYTES), key);
}

static struct entry *lade_find_and_hit(const char *key)
{
	struct entry *entry = lade_find(key);

	lade_evict_hit(&policy.evict, &entry->evict);
	return entry;
}

static double measure(struct entry *(*find)(const char *key))
{
	double began = cpu_ns();
	unsigned long sum = 0;

	for (int i = 0; i < REQUESTS; i++)
		sum += (unsigned char)find(requests[i])->value[99];
	if (sum != 0)
		exit(1);
	return (cpu_ns() - began) / REQUESTS;
}

static struct way {
	const char *who;			/* as printed */
	struct entry *(*find)(const char *key);	/* one lookup */
	double best_ns;				/* the smallest sample */
} ways[] = {
	{ "bare table, clock bit", bare_find, 1e300 },
	{ "lade map", lade_find, 1e300 },
	{ "lade map, S3-FIFO", lade_find_and_hit, 1e300 },
	{ "lade map, growing", lade_find_growing, 1e300 },
};

#define WAYS (sizeof(ways) / sizeof(*ways))

int main(void)
{
	int rc;

	make_entries();
	make_requests();
	bare_fill();
	rc = lade_fill();
	if (rc < 0) {
		fprintf(stderr, "hit: %s\n", strerror(-rc));
		return 1;
	}
	for (int round = 0; round < ROUNDS; round++) {
		for (struct way *way = ways; way < ways + WAYS; way++) {
			double ns = measure(way->find);

			way->best_ns = ns < way->best_ns ? ns : way->best_ns;
		}
	}
	for (struct way *way = ways; way < ways + WAYS; way++)
		printf("hit\t%s\tns\tns\t%.1f\n", way->who, way->best_ns);
	return 0;
}
