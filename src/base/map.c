/* SPDX-License-Identifier: MIT */
/* map.c - robin hood hashing, with growth in small steps.
 *
 * DESIGN
 * Linear probing where an entry far from its home slot displaces one that is near: probe
 * lengths stay even, a miss stops early, and removal closes the gap by moving the cluster
 * back, so there are no tombstones.  A slot holds the whole hash, so an entry's memory is
 * touched only when it is the one looked for; a hit costs two cache misses at most.
 *
 * Growth allocates a table of twice the slots and leaves the entries in the old one.  Each
 * insert then empties MOVE_SLOTS slots of the old table; a lookup asks both.  An emptied slot
 * keeps its hash and loses its entry: probes over it still see how far from home it was, and
 * the old table needs no shifting.  It is empty and freed after one insert for each 32 of its
 * slots, long before the new one is full.
 *
 * INVARIANT  In the table in use no slot is further from home than its successor allows:
 *            distance(i + 1) <= distance(i) + 1.  len <= 3/4 of its slots.
 * LIMITS     max entries; one insert costs MOVE_SLOTS moves and, when the table grows, the
 *            calloc and free of a table (the kernel zeroes large ones page by page, later).
 *            The table never shrinks. */

#include "base/map.h"

#include <assert.h>
#include <errno.h>

#include "base/alloc.h"

#define FIRST_SLOTS 8		/* slots of the first table */
#define MOVE_SLOTS 32	/* slots of the old table that an insert empties: 2 us if all miss */
#define IN_USE ((uint64_t)1 << 63)	/* set in the hash of every slot in use */

static size_t table_limit(const struct lade_map_table *table)
{
	return table->slots ? (table->mask + 1) / 4 * 3 : 0;
}

/* How far slot @i's hash is from its home slot. */
static inline size_t distance(const struct lade_map_table *table, size_t i)
{
	return (i - table->slots[i].hash) & table->mask;
}

static int table_init(struct lade_map_table *table, size_t entries)
{
	size_t slots = FIRST_SLOTS;

	while (slots / 4 * 3 < entries)
		slots *= 2;
	table->slots = lade_calloc(slots, sizeof(*table->slots));
	table->mask = slots - 1;
	return table->slots ? 0 : -ENOMEM;
}

static void table_done(struct lade_map_table *table)
{
	lade_free(table->slots);
	*table = (struct lade_map_table){ 0 };
}

static void table_put(struct lade_map_table *table, struct lade_map_slot slot)
{
	size_t i = slot.hash & table->mask, far = 0;

	for (; table->slots[i].hash; i = (i + 1) & table->mask, far++) {
		size_t there = distance(table, i);

		if (there < far) {
			struct lade_map_slot displaced = table->slots[i];

			table->slots[i] = slot;
			slot = displaced;
			far = there;
		}
	}
	table->slots[i] = slot;
}

/* The slot that holds @entry, or NULL. */
static struct lade_map_slot *table_slot_of(const struct lade_map_table *table, uint64_t hash,
					   const void *entry)
{
	size_t i = hash & table->mask;

	if (!table->slots)
		return NULL;
	for (size_t far = 0; table->slots[i].hash; i = (i + 1) & table->mask, far++) {
		if (table->slots[i].entry == entry)
			return &table->slots[i];
		if (distance(table, i) < far)
			return NULL;
	}
	return NULL;
}

static void *table_find(const struct lade_map_table *table, uint64_t hash, lade_map_equal *equal,
			const void *key)
{
	size_t i = hash & table->mask;

	for (size_t far = 0;; i = (i + 1) & table->mask, far++) {
		const struct lade_map_slot *slot = &table->slots[i];

		if (slot->hash == hash && slot->entry && equal(slot->entry, key))
			return slot->entry;
		if (!slot->hash || distance(table, i) < far)
			return NULL;
	}
}

/* @a if @first, else @b; compilers make branches of ?: here. */
static inline size_t pick(bool first, size_t a, size_t b)
{
	return b ^ ((a ^ b) & -(size_t)first);
}

/* Of the entries 87 % (the table as full as it gets) to 99.9 % (just grown) are in one of the
 * first four slots.  Which it is, is computed and not branched upon: a wrong guess would
 * throw away the lookups that the processor has begun ahead. */
static inline void *table_find_near(const struct lade_map_table *table, uint64_t hash,
				    lade_map_equal *equal, const void *key)
{
	size_t i = hash & table->mask;
	const struct lade_map_slot *slot = &table->slots[i];
	size_t at = 3;

	if (i + 3 > table->mask)
		return NULL;
	at = pick(slot[2].hash == hash, 2, at);
	at = pick(slot[1].hash == hash, 1, at);
	slot += pick(slot[0].hash == hash, 0, at);
	if (slot->hash != hash || !slot->entry || !equal(slot->entry, key))
		return NULL;
	return slot->entry;
}

/* Closes the gap that @slot leaves by moving the rest of its cluster one slot back. */
static void table_close_gap(struct lade_map_table *table, struct lade_map_slot *slot)
{
	size_t i = (size_t)(slot - table->slots), next = (i + 1) & table->mask;

	while (table->slots[next].hash && distance(table, next) > 0) {
		table->slots[i] = table->slots[next];
		i = next;
		next = (i + 1) & table->mask;
	}
	table->slots[i] = (struct lade_map_slot){ 0 };
}

/* Empties the next @n slots of the old table, and frees it behind the last. */
static void move_slots(struct lade_map *map, size_t n)
{
	struct lade_map_table *old = &map->old;

	for (; old->slots && n > 0; n--) {
		struct lade_map_slot *slot = &old->slots[map->moved];

		if (slot->entry) {
			table_put(&map->now, *slot);
			slot->entry = NULL;
		}
		if (map->moved++ == old->mask)
			table_done(old);
	}
}

static int grow(struct lade_map *map, size_t entries)
{
	struct lade_map_table bigger;
	int rc = table_init(&bigger, entries);

	if (rc < 0)
		return rc;
	move_slots(map, SIZE_MAX);
	map->old = map->now;
	map->now = bigger;
	map->moved = 0;
	return 0;
}

void lade_map_init(struct lade_map *map, lade_map_equal *equal, size_t max)
{
	*map = (struct lade_map){ .equal = equal, .max = max };
}

void lade_map_done(struct lade_map *map)
{
	table_done(&map->now);
	table_done(&map->old);
	lade_map_init(map, map->equal, map->max);
}

int lade_map_reserve(struct lade_map *map, size_t more)
{
	int rc;

	if (more > map->max - map->len || more > SIZE_MAX / 64 / sizeof(struct lade_map_slot))
		return -ENOSPC;
	if (map->len + more <= table_limit(&map->now))
		return 0;
	rc = grow(map, map->len + more);
	if (rc == 0)
		move_slots(map, SIZE_MAX);
	return rc;
}

void *lade_map_find(const struct lade_map *map, uint64_t hash, const void *key)
{
	void *entry;

	hash |= IN_USE;
	if (!map->now.slots)
		return NULL;
	entry = table_find_near(&map->now, hash, map->equal, key);
	if (__builtin_expect(!entry && map->old.slots, 0))
		entry = table_find_near(&map->old, hash, map->equal, key);
	if (__builtin_expect(!entry, 0))
		entry = table_find(&map->now, hash, map->equal, key);
	if (__builtin_expect(!entry && map->old.slots, 0))
		entry = table_find(&map->old, hash, map->equal, key);
	return entry;
}

int lade_map_insert(struct lade_map *map, uint64_t hash, void *entry)
{
	int rc = 0;

	assert(entry);
	if (map->len == map->max)
		return -ENOSPC;
	if (map->len == table_limit(&map->now))
		rc = grow(map, map->len + 1);
	if (rc < 0)
		return rc;
	move_slots(map, MOVE_SLOTS);
	table_put(&map->now, (struct lade_map_slot){ .hash = hash | IN_USE, .entry = entry });
	map->len++;
	return 0;
}

bool lade_map_remove(struct lade_map *map, uint64_t hash, const void *entry)
{
	struct lade_map_slot *slot;

	assert(entry);
	slot = table_slot_of(&map->now, hash, entry);
	if (slot) {
		table_close_gap(&map->now, slot);
	} else {
		slot = table_slot_of(&map->old, hash, entry);
		if (!slot)
			return false;
		slot->entry = NULL;
	}
	map->len--;
	return true;
}

/* Walks down from an empty slot: a removal moves only slots that were seen already. */
static void *next_now(const struct lade_map_table *table, struct lade_map_iter *iter)
{
	if (!table->slots)
		return NULL;
	if (!iter->begun) {
		while (table->slots[iter->from].hash)
			iter->from++;
		iter->begun = true;
	}
	while (iter->steps < table->mask) {
		size_t i = (iter->from - ++iter->steps) & table->mask;

		if (table->slots[i].entry)
			return table->slots[i].entry;
	}
	return NULL;
}

static void *next_old(const struct lade_map *map, struct lade_map_iter *iter)
{
	const struct lade_map_table *table = &map->old;

	if (!table->slots)
		return NULL;
	while (map->moved + iter->steps <= table->mask) {
		void *entry = table->slots[map->moved + iter->steps++].entry;

		if (entry)
			return entry;
	}
	return NULL;
}

void *lade_map_next(struct lade_map *map, struct lade_map_iter *iter)
{
	void *entry = iter->in_old ? NULL : next_now(&map->now, iter);

	if (entry)
		return entry;
	if (!iter->in_old) {
		iter->in_old = true;
		iter->steps = 0;
	}
	return next_old(map, iter);
}

/* Every slot's distance is allowed by its predecessor's; *ret_entries are counted. */
static bool table_sane(const struct lade_map_table *table, size_t *ret_entries)
{
	size_t entries = 0;

	if (!table->slots) {
		*ret_entries = 0;
		return table->mask == 0;
	}
	for (size_t i = 0; i <= table->mask; i++) {
		size_t before = (i - 1) & table->mask;
		size_t allowed = table->slots[before].hash ? distance(table, before) + 1 : 0;

		if (table->slots[i].hash && distance(table, i) > allowed)
			return false;
		if (!table->slots[i].hash && table->slots[i].entry)
			return false;
		entries += table->slots[i].entry != NULL;
	}
	*ret_entries = entries;
	return entries <= table_limit(table);
}

bool lade_map_sane(const struct lade_map *map)
{
	size_t now, old;

	if (!table_sane(&map->now, &now) || !table_sane(&map->old, &old))
		return false;
	for (size_t i = 0; map->old.slots && i < map->moved; i++) {
		if (map->old.slots[i].entry)
			return false;
	}
	return map->len == now + old && map->len <= map->max &&
	       map->len <= table_limit(&map->now) &&
	       (!map->old.slots || map->old.mask < map->now.mask);
}
