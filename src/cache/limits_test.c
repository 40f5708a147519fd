/* SPDX-License-Identifier: MIT */
/* limits_test.c - the cache's budget, values in use, jitter, and every allocation that can fail. */

#include <lade/cache.h>
#include <lade/join.h>

#include "base/alloc.h"
#include "run.h"

static int made, dropped, begun;
static size_t value_bytes;
static const struct lade_duration own_ttl = { -1 }; /* the cache's */

static void drop_value(void *value)
{
	dropped++;
	lade_free(value);
}

static int load(void *arg, const struct lade_cache_key *key, struct lade_cache_load *out)
{
	int rc = lade_sleep(lade_ms(1));
	char *value;

	(void)arg;
	begun++;
	if (rc < 0)
		return rc;
	value = lade_malloc(8);
	if (!value)
		return -ENOMEM;
	memcpy(value, key->bytes, key->len < 8 ? key->len : 8);
	made++;
	out->value = value;
	out->bytes = value_bytes;
	return 0;
}

static struct lade_cache *new_cache(struct lade_scope *s, struct lade_cache_config config)
{
	struct lade_cache *cache = NULL;

	made = dropped = begun = 0;
	config.load = load;
	config.drop = drop_value;
	NEED_EQ(lade_cache_new(s, &config, &cache), 0);
	return cache;
}

static int get(struct lade_cache *c, int number, struct lade_cached *ret)
{
	return lade_cache_get(c, &number, sizeof(number), ret);
}

#define KIB ((size_t)1024)

IN_TASK(the_budget_holds_whatever_is_loaded)
{
	struct lade_cache *c = NULL;
	struct lade_cached got;
	int rc = 0;

	value_bytes = 3 * KIB;
	lade_scope(s, &rc) {
		c = new_cache(&s, (struct lade_cache_config){ .max_bytes = 64 * KIB });
		for (int i = 0; i < 300; i++) {
			CHECK_EQ(get(c, i, &got), 0);
			lade_cache_release(&got);
			CHECK(lade_cache_stats(c).bytes <= 64 * KIB);
		}
		CHECK(lade_cache_stats(c).entries >= 15);
		CHECK_EQ(lade_cache_stats(c).evicted + lade_cache_stats(c).entries, 300);
	}
	lade_cache_close(c, true);
	CHECK_EQ(dropped, made);
}

IN_TASK(a_value_in_use_stays_valid_when_it_is_evicted_and_counts_until_it_is_released)
{
	struct lade_cache *c = NULL;
	struct lade_cached held[10], got;
	size_t before;
	int rc = 0;

	value_bytes = 4 * KIB;
	lade_scope(s, &rc) {
		c = new_cache(&s, (struct lade_cache_config){ .max_bytes = 64 * KIB });
		for (int i = 0; i < 10; i++)
			CHECK_EQ(get(c, i, &held[i]), 0);
		for (int i = 10; i < 200; i++) {
			CHECK_EQ(get(c, i, &got), 0);
			lade_cache_release(&got);
		}
		CHECK(lade_cache_stats(c).evicted > 0);
		for (int i = 0; i < 10; i++)
			CHECK(memcmp(held[i].value, &i, sizeof(i)) == 0);
		/* The ten are 40 KiB of the 64, evicted or not. */
		before = lade_cache_stats(c).bytes;
		CHECK(before >= 40 * KIB && before <= 64 * KIB);
		for (int i = 0; i < 10; i++)
			lade_cache_release(&held[i]);
		CHECK(lade_cache_stats(c).bytes < before);
		CHECK(lade_cache_stats(c).bytes <= 64 * KIB - 40 * KIB + 4 * KIB * 10);
	}
	lade_cache_close(c, true);
	CHECK_EQ(dropped, made);
}

IN_TASK(a_value_in_use_outlives_the_cache)
{
	struct lade_cache *c = NULL;
	struct lade_cached held;
	int rc = 0, seven = 7;

	value_bytes = 8;
	lade_scope(s, &rc) {
		c = new_cache(&s, (struct lade_cache_config){ 0 });
		CHECK_EQ(get(c, 7, &held), 0);
		lade_cache_close(c, true);
		CHECK(memcmp(held.value, &seven, sizeof(seven)) == 0);
		CHECK_EQ(dropped, 0);
		lade_cache_release(&held);
		CHECK_EQ(dropped, 1);
		lade_cache_release(&held);
	}
}

IN_TASK(a_value_too_large_goes_to_its_waiters_only_and_is_counted)
{
	struct lade_cache *c = NULL;
	struct lade_cached got;
	int rc = 0;

	value_bytes = 2 * KIB;
	lade_scope(s, &rc) {
		c = new_cache(&s, (struct lade_cache_config){ .max_value_bytes = KIB });
		for (int i = 0; i < 2; i++) {
			CHECK_EQ(get(c, 1, &got), 0);
			lade_cache_release(&got);
		}
		CHECK_EQ(begun, 2);
		CHECK_EQ(lade_cache_stats(c).too_large, 2);
		CHECK_EQ(lade_cache_stats(c).entries, 0);
		CHECK_EQ(lade_cache_set(c, "x", 1, "mine", 2 * KIB, lade_s(1)), -EMSGSIZE);
	}
	lade_cache_close(c, true);
	CHECK_EQ(dropped, made);
}

IN_TASK(a_key_has_its_limit_and_may_be_empty)
{
	static char key[65537];
	struct lade_cache *c = NULL;
	struct lade_cached got;
	int rc = 0;

	value_bytes = 8;
	lade_scope(s, &rc) {
		c = new_cache(&s, (struct lade_cache_config){ 0 });
		CHECK_EQ(lade_cache_get(c, key, 65537, &got), -EMSGSIZE);
		CHECK_EQ(lade_cache_get(c, key, 65536, &got), 0);
		lade_cache_release(&got);
		CHECK_EQ(lade_cache_get(c, NULL, 0, &got), 0);
		lade_cache_release(&got);
		CHECK_EQ(lade_cache_get(c, NULL, 0, &got), 0);
		lade_cache_release(&got);
		CHECK_EQ(begun, 2);
	}
	lade_cache_close(c, true);
}

/* How many of 500 keys are answered without a load: the others are not waited for. */
static int count_fresh(struct lade_cache *c)
{
	struct lade_cached got;
	int fresh = 0;

	for (int i = 0; i < 500; i++) {
		if (lade_within(lade_us(1), get(c, i, &got)) < 0)
			continue;
		lade_cache_release(&got);
		fresh++;
	}
	return fresh;
}

IN_TASK(more_than_a_hundred_thousand_keys_at_once_are_emsgsize_and_load_nothing)
{
	struct lade_cache *c = NULL;
	struct lade_cached got = { 0 };
	int rc = 0;

	begun = 0;
	lade_scope(s, &rc) {
		c = new_cache(&s, (struct lade_cache_config){ 0 });
		CHECK_EQ(lade_cache_get_many(c, &(struct lade_cache_key){ "a", 1 }, 100001, &got),
			 -EMSGSIZE);
		CHECK_EQ(begun, 0);
	}
	lade_cache_close(c, false);
}

IN_TASK(jitter_only_shortens_and_by_no_more_than_asked_for)
{
	struct lade_cache *c = NULL;
	int rc = 0, fresh = 0;

	value_bytes = 8;
	lade_scope(s, &rc) {
		c = new_cache(&s, (struct lade_cache_config){ .ttl = lade_s(100),
							      .jitter_percent = 20,
							      .on_abandon = LADE_ABANDON_CANCEL });
		for (int i = 0; i < 500; i++) {
			void *value = lade_malloc(8);

			made++;
			CHECK_EQ(lade_cache_set(c, &i, sizeof(i), value, 8, own_ttl), 0);
		}
		/* All are fresh for 80 s, some for more, none for 100 s. */
		CHECK_EQ(lade_sleep(lade_ns(lade_s(80).ns - 1)), 0);
		CHECK_EQ(count_fresh(c), 500);
		CHECK_EQ(lade_sleep(lade_s(10)), 0);
		fresh = count_fresh(c);
		CHECK(fresh > 150 && fresh < 350);
		CHECK_EQ(lade_sleep(lade_ns(lade_s(10).ns + 1)), 0);
		CHECK_EQ(count_fresh(c), 0);
	}
	lade_cache_close(c, true);
	CHECK_EQ(dropped, made);
}

IN_TASK(a_configuration_out_of_range_is_refused)
{
	struct lade_cache_config none = { 0 }, much = { .load = load, .jitter_percent = 51 };
	struct lade_cache *c = NULL;
	int rc = 0;

	lade_scope(s, &rc) {
		CHECK_EQ(lade_cache_new(&s, &none, &c), -EINVAL);
		CHECK_EQ(lade_cache_new(&s, &much, &c), -EINVAL);
		CHECK(!c);
	}
}

/* Allocations that fail */

static int load_many(void *arg, const struct lade_cache_key *keys, struct lade_cache_load *loads,
		     size_t count)
{
	for (size_t i = 0; i < count; i++)
		loads[i].rc = load(arg, &keys[i], &loads[i]);
	return 0;
}

/* A bit of everything; whatever fails, fails alone. */
static int use_cache(struct lade_scope *s)
{
	struct lade_cache_config config = { .load = load,
					    .load_many = load_many,
					    .drop = drop_value,
					    .max_bytes = 64 * KIB };
	struct lade_cache_key keys[3] = { { "a", 1 }, { "b", 1 }, { "c", 1 } };
	struct lade_cached got, many[3];
	struct lade_cache *c = NULL;
	int rc = lade_cache_new(s, &config, &c), worst = rc;
	void *value;

	if (rc < 0)
		return rc;
	rc = get(c, 1, &got);
	worst = rc < 0 ? rc : worst;
	if (rc == 0)
		lade_cache_release(&got);
	rc = lade_cache_get_many(c, keys, 3, many);
	worst = rc < 0 ? rc : worst;
	for (int i = 0; rc == 0 && i < 3; i++) {
		worst = many[i].rc < 0 ? many[i].rc : worst;
		lade_cache_release(&many[i]);
	}
	value = malloc(8);
	made++;
	rc = lade_cache_set(c, "b", 1, value, 8, lade_s(1));
	if (rc < 0)
		drop_value(value);
	worst = rc < 0 ? rc : worst;
	lade_cache_close(c, false);
	return worst;
}

IN_TASK(wherever_memory_runs_out_the_cache_answers_enomem_and_leaks_nothing)
{
	long n;
	int rc = 0;

	value_bytes = 8;
	for (n = 1; n < 1000; n++) {
		int used = 0;

		made = dropped = begun = 0;
		lade_scope(s, &rc) {
			lade_alloc_fail_at(n);
			used = use_cache(&s);
		}
		CHECK_EQ(made, dropped);
		if (lade_alloc_fail_at(0) > 0)
			break;
		CHECK_EQ(used, -ENOMEM);
	}
	CHECK(n > 10 && n < 1000);
}

int main(void)
{
	TAP(the_budget_holds_whatever_is_loaded);
	TAP(a_value_in_use_stays_valid_when_it_is_evicted_and_counts_until_it_is_released);
	TAP(a_value_in_use_outlives_the_cache);
	TAP(a_value_too_large_goes_to_its_waiters_only_and_is_counted);
	TAP(a_key_has_its_limit_and_may_be_empty);
	TAP(more_than_a_hundred_thousand_keys_at_once_are_emsgsize_and_load_nothing);
	TAP(jitter_only_shortens_and_by_no_more_than_asked_for);
	TAP(a_configuration_out_of_range_is_refused);
	TAP(wherever_memory_runs_out_the_cache_answers_enomem_and_leaks_nothing);
	return tap_done();
}
