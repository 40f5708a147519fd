/* SPDX-License-Identifier: MIT */
#ifndef LADE_BASE_MAP_H
#define LADE_BASE_MAP_H

/* map.h - a hash table of pointers to entries that the caller owns.
 *
 * The table knows no key: the caller brings the 64-bit hash (base/hash.h) and a function
 * that compares an entry with a key.  Entries are never moved or freed by it.
 *
 * Growth is spread out: the larger table is allocated at once, and each later insert or
 * remove moves a few entries over, so that no call moves them all.  Threads: one at a
 * time; find, next and len may run at once with each other. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* lade_map_equal - true if @entry has the key @key. */
typedef bool lade_map_equal(const void *entry, const void *key);

struct lade_map_slot {
	uint64_t hash;	/* the entry's hash with the top bit set; 0: the slot is empty */
	void *entry;	/* the entry; NULL in a slot that was moved to the larger table */
};

struct lade_map_table {
	struct lade_map_slot *slots;	/* mask + 1 of them; NULL: no table */
	size_t mask;			/* slots - 1, slots being a power of two */
};

struct lade_map {
	struct lade_map_table now;	/* where entries are put in */
	struct lade_map_table old;	/* the smaller table being emptied, or none */
	size_t moved;			/* slots of old that are empty, from the first on */
	size_t len;			/* entries in both tables */
	size_t max;			/* entries at most */
	lade_map_equal *equal;		/* compares an entry with a key */
};

/* lade_map_init - makes an empty map for at most @max entries; allocates nothing. */
void lade_map_init(struct lade_map *map, lade_map_equal *equal, size_t max);

/* lade_map_done - frees the tables, not the entries; the map may be used again. */
void lade_map_done(struct lade_map *map);

/* lade_map_reserve - makes sure that the next @more inserts cannot fail for want of memory.
 *
 * Moves all entries if it has to: for the start of a program, or few entries.  Returns 0;
 * -ENOSPC if the limit does not allow @more; -ENOMEM. */
int lade_map_reserve(struct lade_map *map, size_t more);

/* lade_map_find - the entry with @hash and @key, or NULL. */
void *lade_map_find(const struct lade_map *map, uint64_t hash, const void *key);

/* lade_map_insert - puts in @entry, whose key must not be there yet (find it first).
 *
 * Returns 0; -ENOSPC at the limit; -ENOMEM; then the map stays as it was. */
int lade_map_insert(struct lade_map *map, uint64_t hash, void *entry);

/* lade_map_remove - takes @entry out, which was put in with @hash.
 *
 * Returns true, or false if it was not there. */
bool lade_map_remove(struct lade_map *map, uint64_t hash, const void *entry);

/* lade_map_sane - true if all invariants hold; for tests, in time linear in the slots. */
bool lade_map_sane(const struct lade_map *map);

/* Where an iteration stands; only for map.c. */
struct lade_map_iter {
	size_t steps;	/* slots of the table in hand that were seen */
	size_t from;	/* the empty slot at which it began */
	bool in_old;	/* the table in hand */
	bool begun;	/* from is set */
};

/* lade_map_next - the next entry in no particular order, or NULL after the last.
 *
 * @iter begins as { 0 }.  The entry it gave last may be removed before the next call;
 * no other change is allowed between the calls. */
void *lade_map_next(struct lade_map *map, struct lade_map_iter *iter);

/* lade_map_len - the number of entries. */
static inline size_t lade_map_len(const struct lade_map *map)
{
	return map->len;
}

#endif
