/* SPDX-License-Identifier: MIT */
/* cache_test.c - the cache's promises on the virtual clock. */

#include <lade/cache.h>
#include <lade/join.h>

#include "backend.h"

#include <errno.h>

static int loads_done;

static int slow_square(void *arg, const long *key, long *ret)
{
	int rc = lade_sleep(lade_ms(1000));

	(void)arg;
	if (rc < 0)
		return rc;
	loads_done++;
	if (*key < 0)
		return -EIO;
	*ret = *key * *key;
	return 0;
}
LADE_CACHE(square, long, long)

static int ask(struct square_cache *cache, long key, int after_ms, int within_ms, long *ret)
{
	int rc = lade_sleep(lade_ms(after_ms));

	if (rc < 0)
		return rc;
	return lade_within(lade_ms(within_ms), square_cache_get(cache, key, ret));
}
LADE_TASK(ask, long, (struct square_cache *, cache), (long, key), (int, after_ms),
	  (int, within_ms))

static void lost_body(void)
{
	struct square_cache *cache = NULL;
	struct ask_task callers[30];
	int rc = 0, served = 0;

	loads_done = 0;
	lade_scope(s, &rc, .policy = LADE_ALL) {
		NEED_EQ(square_cache_new(&s, slow_square, NULL, &(struct lade_cache_config){ 0 },
					 &cache),
			0);
		for (int i = 0; i < 30; i++) {
			callers[i] = ask_task(cache, 7, 100 * i, 300);
			lade_start(&s, &callers[i]);
		}
		for (int i = 0; i < 30; i++) {
			CHECK_EQ(lade_wait(&callers[i]), 0);
			if (lade_status(&callers[i]) == 0) {
				CHECK_EQ(lade_value(&callers[i]), 49);
				served++;
			} else {
				CHECK_EQ(lade_status(&callers[i]), -ETIME);
			}
		}
		square_cache_close(cache, true);
	}
	CHECK_EQ(rc, 0);
	CHECK_EQ(loads_done, 1);
	CHECK_EQ(served, 23);
}

static void a_load_is_finished_although_every_caller_that_began_it_timed_out(void)
{
	run_on("virtual", lost_body);
}

static void error_body(void)
{
	struct square_cache *cache = NULL;
	long a = 0, b = 0;
	int rc = 0;

	loads_done = 0;
	lade_scope(s, &rc) {
		NEED_EQ(square_cache_new(&s, slow_square, NULL,
					 &(struct lade_cache_config){ .negative_ttl = lade_s(1) },
					 &cache),
			0);
		CHECK_EQ(lade_join_all(lade_do(ask, cache, -1, 0, 5000, &a),
				       lade_do(ask, cache, -1, 10, 5000, &b)),
			 -EIO);
		CHECK_EQ(loads_done, 1);
		CHECK_EQ(ask(cache, -1, 0, 5000, &a), -EIO);
		CHECK_EQ(loads_done, 1);
		CHECK_EQ(ask(cache, -1, 1500, 5000, &a), -EIO);
		CHECK_EQ(loads_done, 2);
		square_cache_close(cache, true);
	}
	CHECK_EQ(rc, 0);
}

static void an_error_reaches_all_who_wait_and_is_kept_as_long_as_asked(void)
{
	run_on("virtual", error_body);
}

static void invalidate_body(void)
{
	struct square_cache *cache = NULL;
	struct ask_task one;
	long n = 0;
	int rc = 0;

	loads_done = 0;
	lade_scope(s, &rc) {
		NEED_EQ(square_cache_new(&s, slow_square, NULL, &(struct lade_cache_config){ 0 },
					 &cache),
			0);
		one = ask_task(cache, 3, 0, 5000);
		lade_start(&s, &one);
		CHECK_EQ(lade_sleep(lade_ms(500)), 0);
		CHECK_EQ(square_cache_set(cache, 3, 1000), 0);
		CHECK_EQ(square_cache_get(cache, 3, &n), 0);
		CHECK_EQ(n, 1000);
		CHECK_EQ(lade_wait(&one), 0);
		CHECK_EQ(lade_value(&one), 9);
		CHECK_EQ(square_cache_get(cache, 3, &n), 0);
		CHECK_EQ(n, 1000);
		square_cache_invalidate(cache, 3);
		CHECK_EQ(square_cache_get(cache, 3, &n), 0);
		CHECK_EQ(n, 9);
		square_cache_close(cache, false);
	}
	CHECK_EQ(rc, 0);
	CHECK_EQ(loads_done, 2);
}

static void a_load_overtaken_by_set_goes_to_its_waiters_and_is_not_stored(void)
{
	run_on("virtual", invalidate_body);
}

static int many_loads;

static int load_many(void *arg, const struct lade_cache_key *keys, struct lade_cache_load *loads,
		     size_t count)
{
	int rc = lade_sleep(lade_ms(100));

	(void)arg;
	many_loads++;
	for (size_t i = 0; rc == 0 && i < count; i++) {
		char *copy = malloc(keys[i].len + 1);

		memcpy(copy, keys[i].bytes, keys[i].len);
		copy[keys[i].len] = 0;
		loads[i].value = copy;
		loads[i].bytes = keys[i].len;
		loads[i].rc = *copy == 'x' ? -ENOENT : 0;
		if (loads[i].rc < 0)
			free(copy);
	}
	return rc;
}

static void many_body(void)
{
	const struct lade_cache_key keys[] = { { "a", 1 }, { "b", 1 }, { "x", 1 }, { "a", 1 } };
	const struct lade_cache_config config = { .load_many = load_many, .drop = free };
	struct lade_cached got[4];
	struct lade_cache *cache = NULL;
	int rc = 0;

	many_loads = 0;
	lade_scope(s, &rc) {
		NEED_EQ(lade_cache_new(&s, &config, &cache), 0);
		CHECK_EQ(lade_cache_get_many(cache, keys, 4, got), 0);
		CHECK_EQ(many_loads, 1);
		CHECK_STR(got[1].value, "b");
		CHECK(got[0].value == got[3].value);
		CHECK_EQ(got[2].rc, -ENOENT);
		for (int i = 0; i < 4; i++)
			lade_cache_release(&got[i]);
		CHECK_EQ(lade_cache_get_many(cache, keys, 2, got), 0);
		CHECK_EQ(many_loads, 1);
		for (int i = 0; i < 2; i++)
			lade_cache_release(&got[i]);
		lade_cache_close(cache, false);
	}
	CHECK_EQ(rc, 0);
}

static void several_keys_are_loaded_by_one_call_and_each_has_its_own_outcome(void)
{
	run_on("virtual", many_body);
}

static void one_by_many_body(void)
{
	const struct lade_cache_config config = { .load_many = load_many, .drop = free };
	struct lade_cache *cache = NULL;
	struct lade_cached got;
	int rc = 0;

	many_loads = 0;
	lade_scope(s, &rc, .policy = LADE_ALL) {
		CHECK_EQ(lade_cache_new(&s, &config, &cache), 0);
		CHECK_EQ(lade_cache_get(cache, "a", 1, &got), 0);
		CHECK_STR(got.value, "a");
		lade_cache_release(&got);
		CHECK_EQ(lade_cache_get(cache, "x", 1, &got), -ENOENT);
		CHECK_EQ(many_loads, 2);
		lade_cache_close(cache, false);
	}
	CHECK_EQ(rc, 0);
}

static void without_load_a_key_alone_is_loaded_by_load_many(void)
{
	run_on("virtual", one_by_many_body);
}

int main(void)
{
	TAP(a_load_is_finished_although_every_caller_that_began_it_timed_out);
	TAP(an_error_reaches_all_who_wait_and_is_kept_as_long_as_asked);
	TAP(a_load_overtaken_by_set_goes_to_its_waiters_and_is_not_stored);
	TAP(several_keys_are_loaded_by_one_call_and_each_has_its_own_outcome);
	TAP(without_load_a_key_alone_is_loaded_by_load_many);
	return tap_done();
}
