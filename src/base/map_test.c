/* SPDX-License-Identifier: MIT */
/* map_test.c - the hash table against an array indexed by the key. */

#include "base/map.h"

#include <errno.h>

#include "base/alloc.h"
#include "base/hash.h"
#include "tap.h"

#define KEYS 3000

struct thing {
	unsigned key;	/* its index in things */
};

static struct thing things[KEYS];

static bool thing_equal(const void *entry, const void *key)
{
	return ((const struct thing *)entry)->key == *(const unsigned *)key;
}

static void things_init(void)
{
	for (unsigned i = 0; i < KEYS; i++)
		things[i].key = i;
}

static uint64_t good_hash(unsigned key)
{
	return lade_hash_u64(key);
}

/* Sixteen hashes for all keys, and neighbours: long clusters that overlap. */
static uint64_t bad_hash(unsigned key)
{
	return key % 16;
}

/* Clusters that reach over the end of the table. */
static uint64_t last_slot_hash(unsigned key)
{
	return (uint64_t)0 - 1 - key % 3;
}

static uint64_t (*hash_of)(unsigned key) = good_hash;

static void *find(const struct lade_map *map, unsigned key)
{
	return lade_map_find(map, hash_of(key), &key);
}

static int insert(struct lade_map *map, unsigned key)
{
	return lade_map_insert(map, hash_of(key), &things[key]);
}

static bool take_out(struct lade_map *map, unsigned key)
{
	return lade_map_remove(map, hash_of(key), &things[key]);
}

static void an_empty_map_finds_nothing(void)
{
	struct lade_map map;
	struct lade_map_iter iter = { 0 };

	lade_map_init(&map, thing_equal, 10);
	CHECK(!find(&map, 1));
	CHECK(!take_out(&map, 1));
	CHECK(!lade_map_next(&map, &iter));
	CHECK(!lade_map_next(&map, &iter));
	CHECK(lade_map_sane(&map));
	lade_map_done(&map);
}

static void what_was_put_in_is_found_until_it_is_taken_out(void)
{
	struct lade_map map;

	lade_map_init(&map, thing_equal, 10);
	CHECK_EQ(insert(&map, 5), 0);
	CHECK(find(&map, 5) == &things[5]);
	CHECK(!find(&map, 6));
	CHECK_EQ(lade_map_len(&map), 1);
	CHECK(take_out(&map, 5));
	CHECK(!take_out(&map, 5));
	CHECK(!find(&map, 5));
	CHECK_EQ(lade_map_len(&map), 0);
	lade_map_done(&map);
}

static void an_insert_at_the_limit_is_enospc(void)
{
	struct lade_map map;

	lade_map_init(&map, thing_equal, 2);
	CHECK_EQ(insert(&map, 1), 0);
	CHECK_EQ(insert(&map, 2), 0);
	CHECK_EQ(insert(&map, 3), -ENOSPC);
	CHECK(!find(&map, 3));
	CHECK(take_out(&map, 1));
	CHECK_EQ(insert(&map, 3), 0);
	CHECK_EQ(lade_map_reserve(&map, 1), -ENOSPC);
	lade_map_done(&map);
}

static void keys_with_equal_hashes_are_told_apart(void)
{
	struct lade_map map;

	lade_map_init(&map, thing_equal, KEYS);
	for (unsigned i = 0; i < 40; i++)
		CHECK_EQ(lade_map_insert(&map, 99, &things[i]), 0);
	CHECK(lade_map_sane(&map));
	for (unsigned i = 0; i < 40; i++)
		CHECK(lade_map_find(&map, 99, &i) == &things[i]);
	for (unsigned i = 0; i < 40; i += 2)
		CHECK(lade_map_remove(&map, 99, &things[i]));
	for (unsigned i = 0; i < 40; i++)
		CHECK((lade_map_find(&map, 99, &i) != NULL) == (i % 2 == 1));
	CHECK(lade_map_sane(&map));
	lade_map_done(&map);
}

/* Every key is found, or not, as the flags say; the iteration sees each once. */
static void check_against(struct lade_map *map, const bool *in, unsigned keys)
{
	struct lade_map_iter iter = { 0 };
	static unsigned seen[KEYS];
	const struct thing *thing;
	size_t len = 0;

	memset(seen, 0, sizeof(seen));
	while ((thing = lade_map_next(map, &iter)) != NULL)
		seen[thing->key]++;
	for (unsigned key = 0; key < keys; key++) {
		CHECK(find(map, key) == (in[key] ? &things[key] : NULL));
		CHECK_EQ(seen[key], in[key]);
		len += in[key];
	}
	CHECK_EQ(lade_map_len(map), len);
	CHECK(lade_map_sane(map));
}

static void random_history(uint64_t (*hash)(unsigned), unsigned keys, int steps, int check_every)
{
	static bool in[KEYS];
	struct lade_map map;
	uint32_t seed = 3;

	hash_of = hash;
	memset(in, 0, sizeof(in));
	lade_map_init(&map, thing_equal, keys);
	for (int step = 0; step < steps; step++) {
		unsigned key;

		seed = seed * 1664525 + 1013904223;
		key = (seed >> 8) % keys;
		if (in[key])
			CHECK(take_out(&map, key));
		else
			CHECK_EQ(insert(&map, key), 0);
		in[key] = !in[key];
		if (step % check_every == 0)
			check_against(&map, in, keys);
	}
	check_against(&map, in, keys);
	lade_map_done(&map);
	hash_of = good_hash;
}

static void a_random_history_agrees_with_an_array(void)
{
	random_history(good_hash, KEYS, 60000, 97);
}

static void a_random_history_agrees_under_a_bad_hash(void)
{
	random_history(bad_hash, 300, 6000, 7);
}

static void a_random_history_agrees_where_clusters_wrap(void)
{
	random_history(last_slot_hash, 60, 6000, 7);
}

static void lookups_and_removals_agree_in_the_middle_of_growth(void)
{
	static bool in[KEYS];
	struct lade_map map;
	unsigned next = 0;
	int growing = 0;

	memset(in, 0, sizeof(in));
	lade_map_init(&map, thing_equal, KEYS);
	while (next < 2800) {
		in[next] = true;
		CHECK_EQ(insert(&map, next++), 0);
		if (!map.old.slots)
			continue;
		growing++;
		if (next % 3 == 0) {
			in[next / 2] = !in[next / 2];
			if (in[next / 2])
				CHECK_EQ(insert(&map, next / 2), 0);
			else
				CHECK(take_out(&map, next / 2));
		}
		check_against(&map, in, KEYS);
	}
	CHECK(growing > 100);
	lade_map_done(&map);
}

static void an_insert_moves_only_a_few_entries(void)
{
	struct lade_map map;
	size_t most = 0;

	lade_map_init(&map, thing_equal, KEYS);
	for (unsigned i = 0; i < KEYS; i++) {
		struct lade_map_slot *old = map.old.slots;
		size_t before = map.moved;

		CHECK_EQ(insert(&map, i), 0);
		if (old && map.old.slots == old && map.moved - before > most)
			most = map.moved - before;
	}
	CHECK_EQ(most, 32);
	lade_map_done(&map);
}

static void the_entry_given_last_may_be_removed_while_iterating(void)
{
	static uint64_t (*const hashes[])(unsigned) = { good_hash, bad_hash, last_slot_hash };

	/* Counts chosen so that in some a table is being emptied, in some not. */
	for (size_t n = 0; n < 3 * 120; n++) {
		struct lade_map map;
		struct lade_map_iter iter = { 0 };
		static bool in[KEYS];
		unsigned keys = (unsigned)n / 3;
		struct thing *thing;

		hash_of = hashes[n % 3];
		memset(in, 0, sizeof(in));
		lade_map_init(&map, thing_equal, KEYS);
		for (unsigned i = 0; i < keys; i++)
			CHECK_EQ(insert(&map, i), 0);
		for (unsigned i = 0; i < keys; i++)
			in[i] = i % 3 == 0;
		for (unsigned seen = 0; (thing = lade_map_next(&map, &iter)) != NULL; seen++) {
			CHECK(seen < keys);
			if (thing->key % 3)
				CHECK(take_out(&map, thing->key));
		}
		check_against(&map, in, keys);
		lade_map_done(&map);
	}
	hash_of = good_hash;
}

static void after_a_reserve_inserts_cannot_fail(void)
{
	struct lade_map map;

	lade_map_init(&map, thing_equal, KEYS);
	for (unsigned i = 0; i < 57; i++)
		CHECK_EQ(insert(&map, i), 0);
	lade_alloc_fail_at(1);
	CHECK_EQ(lade_map_reserve(&map, 2000), -ENOMEM);
	CHECK(lade_map_sane(&map) && find(&map, 56));
	CHECK_EQ(lade_map_reserve(&map, 2000), 0);
	CHECK_EQ(lade_map_reserve(&map, KEYS), -ENOSPC);
	lade_alloc_fail_at(1);
	for (unsigned i = 57; i < 2057; i++)
		CHECK_EQ(insert(&map, i), 0);
	CHECK_EQ(lade_alloc_fail_at(0), 1);
	for (unsigned i = 0; i < 2057; i++)
		CHECK(find(&map, i) == &things[i]);
	lade_map_done(&map);
}

static void growth_that_finds_no_memory_leaves_the_map_as_it_was(void)
{
	for (long n = 1;; n++) {
		struct lade_map map;
		int failed = 0;

		lade_map_init(&map, thing_equal, KEYS);
		lade_alloc_fail_at(n);
		for (unsigned i = 0; i < KEYS; i++) {
			int rc = insert(&map, i);

			if (rc < 0) {
				failed++;
				CHECK_EQ(rc, -ENOMEM);
				CHECK_EQ(lade_map_len(&map), i);
				CHECK(lade_map_sane(&map) && !find(&map, i));
				CHECK(i == 0 || find(&map, i - 1));
				CHECK_EQ(insert(&map, i), 0);
			}
		}
		CHECK_EQ(lade_map_len(&map), KEYS);
		lade_map_done(&map);
		if (lade_alloc_fail_at(0) > 0) {
			CHECK_EQ(failed, 0);
			CHECK(n > 8);
			return;
		}
		CHECK_EQ(failed, 1);
	}
}

int main(void)
{
	things_init();
	TAP(an_empty_map_finds_nothing);
	TAP(what_was_put_in_is_found_until_it_is_taken_out);
	TAP(an_insert_at_the_limit_is_enospc);
	TAP(keys_with_equal_hashes_are_told_apart);
	TAP(a_random_history_agrees_with_an_array);
	TAP(a_random_history_agrees_under_a_bad_hash);
	TAP(a_random_history_agrees_where_clusters_wrap);
	TAP(lookups_and_removals_agree_in_the_middle_of_growth);
	TAP(an_insert_moves_only_a_few_entries);
	TAP(the_entry_given_last_may_be_removed_while_iterating);
	TAP(after_a_reserve_inserts_cannot_fail);
	TAP(growth_that_finds_no_memory_leaves_the_map_as_it_was);
	return tap_done();
}
