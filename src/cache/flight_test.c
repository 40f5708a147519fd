/* SPDX-License-Identifier: MIT */
/* flight_test.c - the cache's loads: who waits, who gets what, what is stored, point by point. */

#include <lade/cache.h>
#include <lade/join.h>

#include "base/alloc.h"
#include "cache/cache_priv.h"
#include "run.h"

/* What the loader does, set by each test. */
static struct {
	int64_t ms;		 /* how long it takes */
	int rc;			 /* what it returns */
	bool deaf;		 /* it does not hear of a cancel */
	bool uncacheable;	 /* what it says of its value */
	size_t bytes;		 /* what it says that its value weighs; 0: 8 */
	int64_t ttl_ms;		 /* its ttl; -1: the cache's own */
	struct lade_cache *own;	 /* it asks this cache for its own key */
} plan;

static int begun, ended, dropped, values;
static int own_rc; /* what a loader got for its own key */

static void drop_value(void *value)
{
	dropped++;
	lade_free(value);
}

static int new_value(struct lade_cache_load *load)
{
	long *value = lade_malloc(sizeof(*value));

	if (!value)
		return -ENOMEM;
	*value = ++values;
	load->value = value;
	load->bytes = plan.bytes ? plan.bytes : sizeof(*value);
	load->uncacheable = plan.uncacheable;
	if (plan.ttl_ms >= 0)
		load->ttl = lade_ms(plan.ttl_ms);
	return 0;
}

static int ask_own(const struct lade_cache_key *key)
{
	struct lade_cached got = { 0 };
	int rc = lade_cache_get(plan.own, key->bytes, key->len, &got);

	lade_cache_release(&got);
	return rc;
}

static int load(void *arg, const struct lade_cache_key *key, struct lade_cache_load *out)
{
	int rc;

	(void)arg;
	begun++;
	if (plan.own) {
		own_rc = ask_own(key);
		if (begun > 5) /* a recursion that would not end */
			plan.own = NULL;
	}
	rc = plan.deaf ? stubborn(plan.ms, 0) : lade_sleep(lade_ms(plan.ms));
	ended++;
	if (rc == 0)
		rc = plan.rc;
	return rc < 0 ? rc : new_value(out);
}

static void reset(int64_t ms)
{
	memset(&plan, 0, sizeof(plan));
	plan.ms = ms;
	plan.ttl_ms = -1;
	begun = ended = dropped = values = 0;
	own_rc = 1;
}

/* A cache in the scope @s of such loads. */
static struct lade_cache *new_cache(struct lade_scope *s, struct lade_cache_config config)
{
	struct lade_cache *cache = NULL;

	config.load = load;
	config.drop = drop_value;
	NEED_EQ(lade_cache_new(s, &config, &cache), 0);
	return cache;
}

/* A get that copies the value out: its number, negative when stale. */
static int get(struct lade_cache *cache, const char *key, int64_t after_ms, int64_t within_ms,
	       long *ret)
{
	struct lade_cached got;
	int rc = after_ms ? lade_sleep(lade_ms(after_ms)) : 0;

	if (rc == 0)
		rc = lade_within(lade_ms(within_ms),
				 lade_cache_get(cache, key, strlen(key), &got));
	if (rc < 0)
		return rc;
	*ret = got.stale ? -*(const long *)got.value : *(const long *)got.value;
	lade_cache_release(&got);
	return 0;
}
LADE_TASK(get, long, (struct lade_cache *, cache), (const char *, key), (int64_t, after_ms),
	  (int64_t, within_ms))

#define FOREVER_MS 1000000

static int get_now(struct lade_cache *cache, const char *key, long *ret)
{
	return get(cache, key, 0, FOREVER_MS, ret);
}

static int get_both(struct lade_cache *cache, const char *key, long *a, long *b)
{
	return lade_join(lade_do(get, cache, key, 0, FOREVER_MS, a),
			 lade_do(get, cache, key, 0, FOREVER_MS, b));
}

#define NO_NUMBER (-1000) /* what number() adds to an error */

/* The number that a get gives, negative when stale; or NO_NUMBER and the error. */
static long number(struct lade_cache *cache, const char *key)
{
	long n = 0;
	int rc = get_now(cache, key, &n);

	return rc < 0 ? NO_NUMBER + rc : n;
}

/* Every test ends so: nothing is left, everything was dropped. */
static void close_all(struct lade_cache *cache)
{
	lade_cache_close(cache, true);
	CHECK_EQ(dropped, values);
}

IN_TASK(a_callers_time_out_ends_its_own_wait_and_nothing_else)
{
	struct lade_cache *c = NULL;
	struct get_task impatient, patient;
	long n = 0;
	int rc = 0;

	reset(100);
	lade_scope(s, &rc, .policy = LADE_ALL) {
		c = new_cache(&s, (struct lade_cache_config){ 0 });
		impatient = get_task(c, "k", 0, 30);
		patient = get_task(c, "k", 10, FOREVER_MS);
		lade_start(&s, &impatient);
		lade_start(&s, &patient);
		CHECK_EQ(lade_wait(&impatient), 0);
		CHECK_EQ(now_ms(), 30);
		CHECK_EQ(lade_wait(&patient), 0);
		CHECK_EQ(now_ms(), 100);
		CHECK_EQ(get_now(c, "k", &n), 0);
	}
	CHECK_EQ(lade_status(&impatient), -ETIME);
	CHECK_EQ(lade_value(&patient), 1);
	CHECK_EQ(n, 1);
	CHECK_EQ(begun, 1);
	close_all(c);
}

/* One caller after another, a nanosecond apart, round the instant at which the load ends. */
IN_TASK(a_joiner_sees_the_flight_or_the_value_and_never_neither)
{
	struct lade_cache *c = NULL;
	struct get_task callers[40];
	int rc = 0;

	reset(10);
	lade_scope(s, &rc, .policy = LADE_ALL) {
		c = new_cache(&s, (struct lade_cache_config){ 0 });
		for (int i = 0; i < 40; i++) {
			callers[i] = get_task(c, "k", i / 2, FOREVER_MS);
			lade_start(&s, &callers[i]);
		}
	}
	for (int i = 0; i < 40; i++)
		CHECK_EQ(lade_value(&callers[i]), 1);
	CHECK_EQ(begun, 1);
	close_all(c);
}

IN_TASK(an_abandoned_load_finishes_and_is_stored)
{
	struct lade_cache *c = NULL;
	long n = 0;
	int rc = 0;

	reset(100);
	lade_scope(s, &rc) {
		c = new_cache(&s, (struct lade_cache_config){ 0 });
		CHECK_EQ(get(c, "k", 0, 30, &n), -ETIME);
		CHECK_EQ(lade_cache_stats(c).abandoned, 1);
	}
	CHECK_EQ(now_ms(), 100);
	CHECK_EQ(number(c, "k"), 1);
	close_all(c);
}

IN_TASK(an_abandoned_load_is_cancelled_where_that_was_asked_for_and_joins_nobody)
{
	struct lade_cache *c = NULL;
	long n = 0;
	int rc = 0;

	reset(100);
	plan.deaf = true;
	lade_scope(s, &rc) {
		c = new_cache(&s, (struct lade_cache_config){ .on_abandon = LADE_ABANDON_CANCEL });
		CHECK_EQ(get(c, "k", 0, 30, &n), -ETIME);
		/* The old one has not stopped: the new caller begins a new one. */
		CHECK_EQ(get_now(c, "k", &n), 0);
		CHECK_EQ(now_ms(), 130);
		CHECK_EQ(n, 2);
		CHECK_EQ(begun, 2);
		CHECK_EQ(number(c, "k"), 2);
	}
	CHECK_EQ(lade_cache_stats(c).late, 1);
	close_all(c);
}

IN_TASK(an_abandoned_load_lingers_for_a_late_joiner)
{
	struct lade_cache *c = NULL;
	struct get_task late;
	long n = 0;
	int rc = 0;

	reset(100);
	lade_scope(s, &rc) {
		c = new_cache(&s, (struct lade_cache_config){ .on_abandon = LADE_ABANDON_LINGER,
							      .abandon_linger = lade_ms(20) });
		late = get_task(c, "k", 45, FOREVER_MS);
		lade_start(&s, &late);
		CHECK_EQ(get(c, "k", 0, 30, &n), -ETIME);
		CHECK_EQ(lade_wait(&late), 0);
		CHECK_EQ(now_ms(), 100);
		CHECK_EQ(begun, 1);
		lade_cache_invalidate(c, "k", 1);
		CHECK_EQ(get(c, "k", 0, 30, &n), -ETIME);
		CHECK_EQ(lade_sleep(lade_ms(19)), 0);
		CHECK_EQ(lade_cache_stats(c).flights, 1);
		CHECK_EQ(lade_sleep(lade_ms(2)), 0);
		CHECK_EQ(lade_cache_stats(c).flights, 0);
	}
	CHECK_EQ(rc, 0);
	CHECK_EQ(values, 1);
	close_all(c);
}

IN_TASK(a_load_that_does_not_stop_at_its_deadline_frees_its_key_and_comes_too_late)
{
	struct lade_cache *c = NULL;
	long n = 0;
	int rc = 0;

	reset(100);
	plan.deaf = true;
	lade_scope(s, &rc) {
		c = new_cache(&s, (struct lade_cache_config){ .load_timeout = lade_ms(40) });
		CHECK_EQ(get_now(c, "k", &n), -ETIME);
		CHECK_EQ(now_ms(), 40);
		CHECK_EQ(lade_cache_stats(c).expired, 1);
		plan.ms = 5;
		CHECK_EQ(get_now(c, "k", &n), 0);
		CHECK_EQ(now_ms(), 45);
		CHECK_EQ(n, 1);
	}
	CHECK_EQ(now_ms(), 100);
	CHECK_EQ(number(c, "k"), 1);
	CHECK_EQ(lade_cache_stats(c).late, 1);
	close_all(c);
}

IN_TASK(a_late_result_is_stored_when_nothing_newer_has_begun)
{
	struct lade_cache *c = NULL;
	long n = 0;
	int rc = 0;

	reset(100);
	plan.deaf = true;
	lade_scope(s, &rc) {
		c = new_cache(&s, (struct lade_cache_config){ .load_timeout = lade_ms(40) });
		CHECK_EQ(get_now(c, "k", &n), -ETIME);
	}
	CHECK_EQ(number(c, "k"), 1);
	CHECK_EQ(begun, 1);
	close_all(c);
}

/* @change: what happens to the key between a load's deadline and its late end. */
static void late_after(void (*change)(struct lade_cache *c))
{
	struct lade_cache *c = NULL;
	long n = 0;
	int rc = 0;

	reset(100);
	plan.deaf = true;
	lade_scope(s, &rc) {
		c = new_cache(&s, (struct lade_cache_config){ .load_timeout = lade_ms(40) });
		CHECK_EQ(get_now(c, "k", &n), -ETIME);
		change(c);
	}
	CHECK_EQ(now_ms(), 100);
	CHECK_EQ(lade_cache_stats(c).late, 1);
	CHECK_EQ(lade_cache_stats(c).entries, 0);
	close_all(c);
}

static void invalidate_k(struct lade_cache *c)
{
	lade_cache_invalidate(c, "k", 1);
}

static void load_and_invalidate_k(struct lade_cache *c)
{
	long n;

	plan.ms = 5;
	CHECK_EQ(get_now(c, "k", &n), 0);
	lade_cache_invalidate(c, "k", 1);
}

IN_TASK(a_late_result_is_not_stored_after_an_invalidate)
{
	late_after(invalidate_k);
	run_start_ns = lade_now().mono_ns;
	late_after(load_and_invalidate_k);
}

IN_TASK(a_waiter_gets_the_stale_value_at_the_loads_deadline_where_that_is_allowed)
{
	struct lade_cache *c = NULL;
	long n = 0;
	int rc = 0;

	reset(1);
	lade_scope(s, &rc) {
		c = new_cache(&s, (struct lade_cache_config){ .ttl = lade_ms(10),
							      .stale_if_error = lade_s(10),
							      .load_timeout = lade_ms(40) });
		CHECK_EQ(get_now(c, "k", &n), 0);
		CHECK_EQ(lade_sleep(lade_ms(20)), 0);
		plan.ms = 1000;
		CHECK_EQ(number(c, "k"), -1);
		CHECK_EQ(now_ms(), 61);
		/* And the next is not made to wait as long. */
		CHECK_EQ(number(c, "k"), -1);
		CHECK_EQ(now_ms(), 61);
		CHECK_EQ(begun, 2);
	}
	close_all(c);
}

IN_TASK(an_error_is_kept_for_its_time_and_a_cancel_never)
{
	struct lade_cache *c = NULL;
	long n = 0;
	int rc = 0;

	reset(10);
	lade_scope(s, &rc) {
		c = new_cache(&s, (struct lade_cache_config){ .negative_ttl = lade_ms(50) });
		plan.rc = -EIO;
		CHECK_EQ(get_now(c, "k", &n), -EIO);
		CHECK_EQ(get_now(c, "k", &n), -EIO);
		CHECK_EQ(begun, 1);
		CHECK_EQ(lade_cache_stats(c).negative, 1);
		CHECK_EQ(lade_sleep(lade_ms(60)), 0);
		plan.rc = -ECANCELED;
		CHECK(get_now(c, "k", &n) < 0);
		CHECK_EQ(begun, 2);
		plan.rc = 0;
		CHECK_EQ(get_now(c, "k", &n), 0);
		CHECK_EQ(begun, 3);
	}
	close_all(c);
}

IN_TASK(an_uncacheable_value_is_for_one_and_the_others_load_at_once_in_parallel)
{
	struct lade_cache *c = NULL;
	struct get_task callers[20];
	long seen = 0, a = 0, b = 0;
	int rc = 0;

	reset(100);
	plan.uncacheable = true;
	lade_scope(s, &rc, .policy = LADE_ALL) {
		c = new_cache(&s, (struct lade_cache_config){ .unshared_ttl = lade_ms(150) });
		for (int i = 0; i < 20; i++) {
			callers[i] = get_task(c, "k", 0, FOREVER_MS);
			lade_start(&s, &callers[i]);
		}
		for (int i = 0; i < 20; i++)
			CHECK_EQ(lade_wait(&callers[i]), 0);
		CHECK_EQ(now_ms(), 200);
		CHECK_EQ(begun, 20);
		/* It is known for a while; then one finds out again. */
		CHECK_EQ(get_both(c, "k", &a, &b), 0);
		CHECK_EQ(now_ms(), 300);
		CHECK_EQ(get_both(c, "k", &a, &b), 0);
		CHECK_EQ(now_ms(), 500);
	}
	for (int i = 0; i < 20; i++) {
		CHECK(!(seen & 1L << lade_value(&callers[i])));
		seen |= 1L << lade_value(&callers[i]);
	}
	close_all(c);
}

/* Gets a key and, as soon as it has it, cancels another caller. */
static int get_and_cancel(struct lade_cache *c, struct get_task *other)
{
	long value = 0;
	int rc = get(c, "k", 0, FOREVER_MS, &value);

	lade_cancel(other);
	return rc;
}
LADE_TASK_VOID(get_and_cancel, (struct lade_cache *, c), (struct get_task *, other))

IN_TASK(a_caller_that_is_cancelled_as_it_is_told_to_load_alone_does_not_wait)
{
	struct lade_cache *c = NULL;
	struct get_and_cancel_task first;
	struct get_task second;
	int rc = 0;

	reset(100);
	plan.uncacheable = true;
	lade_scope(s, &rc, .policy = LADE_ALL) {
		c = new_cache(&s, (struct lade_cache_config){ 0 });
		second = get_task(c, "k", 0, FOREVER_MS);
		first = get_and_cancel_task(c, &second);
		lade_start(&s, &first);
		lade_start(&s, &second);
		CHECK_EQ(lade_wait(&second), 0);
		CHECK_EQ(now_ms(), 100);
	}
	CHECK_EQ(lade_status(&first), 0);
	CHECK_EQ(lade_status(&second), -ECANCELED);
	close_all(c);
}

IN_TASK(a_ttl_of_zero_serves_those_who_waited)
{
	struct lade_cache *c = NULL;
	long a = 0, b = 0;
	int rc = 0;

	reset(10);
	plan.ttl_ms = 0;
	lade_scope(s, &rc) {
		c = new_cache(&s, (struct lade_cache_config){ 0 });
		CHECK_EQ(get_both(c, "k", &a, &b), 0);
		CHECK_EQ(a, 1);
		CHECK_EQ(b, 1);
		CHECK_EQ(number(c, "k"), 2);
		CHECK_EQ(lade_cache_stats(c).entries, 0);
	}
	close_all(c);
}

IN_TASK(a_value_set_with_a_ttl_of_zero_is_not_served)
{
	struct lade_cache *c = NULL;
	struct lade_cache_load one = { 0 };
	int rc = 0;

	reset(10);
	lade_scope(s, &rc) {
		c = new_cache(&s, (struct lade_cache_config){ .soft_timeout = lade_ms(5) });
		CHECK_EQ(new_value(&one), 0);
		CHECK_EQ(lade_cache_set(c, "k", 1, one.value, 8, lade_ns(0)), 0);
		CHECK_EQ(number(c, "k"), 2);
	}
	close_all(c);
}

IN_TASK(a_value_is_fresh_until_its_ttl_is_over_and_not_an_instant_longer)
{
	struct lade_cache *c = NULL;
	long n = 0;
	int rc = 0;

	reset(10);
	lade_scope(s, &rc) {
		c = new_cache(&s, (struct lade_cache_config){ .ttl = lade_ms(100) });
		CHECK_EQ(get_now(c, "k", &n), 0);
		CHECK_EQ(lade_sleep(lade_ns(99999999)), 0);
		CHECK_EQ(number(c, "k"), 1);
		CHECK_EQ(lade_sleep(lade_ns(1)), 0);
		CHECK_EQ(number(c, "k"), 2);
	}
	close_all(c);
}

IN_TASK(stale_is_given_at_once_while_one_load_refreshes_it)
{
	struct lade_cache *c = NULL;
	long n = 0;
	int rc = 0;

	reset(10);
	lade_scope(s, &rc) {
		c = new_cache(&s, (struct lade_cache_config){
					  .ttl = lade_ms(100),
					  .stale_while_revalidate = lade_ms(500) });
		CHECK_EQ(get_now(c, "k", &n), 0);
		CHECK_EQ(lade_sleep(lade_ms(150)), 0);
		for (int i = 0; i < 50; i++) {
			CHECK_EQ(number(c, "k"), -1);
		}
		CHECK_EQ(now_ms(), 160);
		CHECK_EQ(lade_sleep(lade_ms(11)), 0);
		CHECK_EQ(number(c, "k"), 2);
		CHECK_EQ(begun, 2);
	}
	close_all(c);
}

IN_TASK(a_failed_refresh_backs_off_and_does_not_make_the_value_fresh)
{
	struct lade_cache *c = NULL;
	long n = 0;
	int rc = 0;

	reset(0);
	lade_scope(s, &rc) {
		c = new_cache(&s, (struct lade_cache_config){
					  .ttl = lade_ms(100),
					  .stale_while_revalidate = lade_s(10) });
		CHECK_EQ(get_now(c, "k", &n), 0);
		CHECK_EQ(lade_sleep(lade_ms(100)), 0);
		plan.rc = -EIO;
		/* Pauses of 100, 200, 400 ms: refreshes at 0, 100, 300 and 700 ms. */
		for (int i = 0; i < 80; i++) {
			CHECK_EQ(number(c, "k"), -1);
			CHECK_EQ(lade_sleep(lade_ms(10)), 0);
		}
		CHECK_EQ(begun, 1 + 4);
		plan.rc = 0;
		CHECK_EQ(lade_sleep(lade_s(1)), 0);
		CHECK_EQ(get_now(c, "k", &n), 0);
		CHECK_EQ(lade_yield(), 0);
		CHECK_EQ(lade_sleep(lade_ms(1)), 0);
		CHECK_EQ(number(c, "k"), 2);
	}
	close_all(c);
}

IN_TASK(stale_if_error_holds_for_its_time_and_says_so)
{
	struct lade_cache *c = NULL;
	struct lade_cached got = { 0 };
	long n = 0;
	int rc = 0;

	reset(0);
	lade_scope(s, &rc) {
		c = new_cache(&s, (struct lade_cache_config){ .ttl = lade_ms(100),
							      .stale_if_error = lade_ms(500) });
		CHECK_EQ(get_now(c, "k", &n), 0);
		plan.rc = -EIO;
		CHECK_EQ(lade_sleep(lade_ms(300)), 0);
		CHECK_EQ(lade_cache_get(c, "k", 1, &got), 0);
		CHECK(got.stale);
		CHECK_EQ(got.stale_for.ns, lade_ms(200).ns);
		lade_cache_release(&got);
		CHECK_EQ(lade_sleep(lade_ms(400)), 0);
		CHECK_EQ(get_now(c, "k", &n), -EIO);
	}
	close_all(c);
}

IN_TASK(with_stale_at_hand_a_caller_waits_softly)
{
	struct lade_cache *c = NULL;
	long n = 0;
	int rc = 0;

	reset(1);
	lade_scope(s, &rc) {
		c = new_cache(&s, (struct lade_cache_config){ .ttl = lade_ms(100),
							      .soft_timeout = lade_ms(20) });
		CHECK_EQ(get_now(c, "k", &n), 0);
		CHECK_EQ(lade_sleep(lade_ms(200)), 0);
		plan.ms = 50;
		CHECK_EQ(number(c, "k"), -1);
		CHECK_EQ(now_ms(), 221);
		CHECK_EQ(lade_sleep(lade_ms(40)), 0);
		CHECK_EQ(number(c, "k"), 2);
		CHECK_EQ(begun, 2);
		/* A load that is quick enough is waited for; the stale value was not given. */
		CHECK_EQ(lade_sleep(lade_ms(200)), 0);
		plan.ms = 5;
		CHECK_EQ(number(c, "k"), 3);
		CHECK_EQ(lade_cache_stats(c).stale, 1);
	}
	close_all(c);
}

IN_TASK(a_loader_that_asks_for_its_own_key_gets_edeadlk)
{
	struct lade_cache *c = NULL;
	long n = 0;
	int rc = 0;

	reset(1);
	lade_scope(s, &rc) {
		c = new_cache(&s, (struct lade_cache_config){ 0 });
		plan.own = c;
		CHECK_EQ(get_now(c, "k", &n), 0);
		CHECK_EQ(own_rc, -EDEADLK);
		/* Of a key that is not shared, too. */
		plan.uncacheable = true;
		CHECK_EQ(get_now(c, "u", &n), 0);
		begun = 0;
		own_rc = 1;
		CHECK_EQ(get_now(c, "u", &n), 0);
		CHECK_EQ(own_rc, -EDEADLK);
		CHECK_EQ(begun, 1);
	}
	close_all(c);
}

IN_TASK(loads_and_waiters_are_capped_and_the_answer_at_the_cap_is_ebusy)
{
	struct lade_cache *c = NULL;
	struct get_task callers[6];
	static const char *const keys[] = { "a", "a", "a", "b", "c", "d" };
	int rc = 0;

	reset(10);
	lade_scope(s, &rc, .policy = LADE_ALL) {
		c = new_cache(&s, (struct lade_cache_config){ .max_loads = 1,
							      .max_flights = 3,
							      .max_waiters = 2 });
		for (int i = 0; i < 6; i++) {
			callers[i] = get_task(c, keys[i], 0, FOREVER_MS);
			lade_start(&s, &callers[i]);
		}
	}
	/* One load at a time: a, b, c; the third waiter of a and the fourth key are refused. */
	CHECK_EQ(now_ms(), 30);
	CHECK_EQ(lade_status(&callers[0]), 0);
	CHECK_EQ(lade_status(&callers[1]), 0);
	CHECK_EQ(lade_status(&callers[2]), -EBUSY);
	CHECK_EQ(lade_status(&callers[3]), 0);
	CHECK_EQ(lade_status(&callers[4]), 0);
	CHECK_EQ(lade_status(&callers[5]), -EBUSY);
	close_all(c);
}

static int close_cache(struct lade_cache *c, int64_t after_ms, bool cancel)
{
	int rc = lade_sleep(lade_ms(after_ms));

	lade_cache_close(c, cancel);
	return rc;
}
LADE_TASK_VOID(close_cache, (struct lade_cache *, c), (int64_t, after_ms), (bool, cancel))

static void close_with_waiters(bool cancel, int64_t ends_ms)
{
	struct lade_cache *c = NULL;
	int64_t start_ms = now_ms();
	long n = 0;
	int rc = 0;

	reset(100);
	lade_scope(s, &rc) {
		c = new_cache(&s, (struct lade_cache_config){ 0 });
		rc = lade_spawn(&s, close_cache_task(c, 30, cancel));
		CHECK_EQ(rc, 0);
		CHECK_EQ(get_now(c, "k", &n), -ESHUTDOWN);
		CHECK_EQ(now_ms() - start_ms, 30);
	}
	CHECK_EQ(now_ms() - start_ms, ends_ms);
	CHECK_EQ(dropped, values);
}

IN_TASK(closing_wakes_every_waiter_and_cancels_or_drains_the_loads)
{
	close_with_waiters(true, 30);
	CHECK_EQ(values, 0);
	close_with_waiters(false, 100);
	CHECK_EQ(values, 1);
}

IN_TASK(a_cache_whose_scope_is_cancelled_answers_eshutdown)
{
	struct lade_cache *c = NULL;
	struct get_task caller;
	long n = 0;
	int rc = 0;

	reset(100);
	lade_scope(outer, &rc, .policy = LADE_ALL) {
		lade_scope(s, &rc, .policy = LADE_ALL) {
			c = new_cache(&s, (struct lade_cache_config){ 0 });
			caller = get_task(c, "k", 0, FOREVER_MS);
			lade_start(&outer, &caller);
			CHECK_EQ(lade_sleep(lade_ms(10)), 0);
			lade_cancel(&s);
		}
		CHECK_EQ(lade_wait(&caller), 0);
	}
	CHECK_EQ(lade_status(&caller), -ESHUTDOWN);
	(void)n;
	close_all(c);
}

/* Several keys */

static int load_many(void *arg, const struct lade_cache_key *keys, struct lade_cache_load *loads,
		     size_t count)
{
	int rc;

	(void)arg, (void)keys;
	begun++;
	rc = plan.deaf ? stubborn(plan.ms, 0) : lade_sleep(lade_ms(plan.ms));
	ended++;
	for (size_t i = 0; rc == 0 && i < count; i++)
		loads[i].rc = new_value(&loads[i]);
	return rc;
}

static int get_many(struct lade_cache *c, const char *letters, int64_t within_ms, long *ret)
{
	struct lade_cache_key keys[8];
	struct lade_cached got[8] = { 0 };
	size_t count = strlen(letters);
	int rc;

	for (size_t i = 0; i < count; i++)
		keys[i] = (struct lade_cache_key){ letters + i, 1 };
	rc = lade_within(lade_ms(within_ms), lade_cache_get_many(c, keys, count, got));
	for (size_t i = 0; rc == 0 && i < count; i++) {
		*ret = *ret * 10 + (got[i].rc == 0 ? *(const long *)got[i].value : 0);
		lade_cache_release(&got[i]);
	}
	return rc;
}
LADE_TASK(get_many, long, (struct lade_cache *, c), (const char *, letters), (int64_t, within_ms))

IN_TASK(several_keys_mix_stored_joined_and_new_and_one_call_loads_the_new)
{
	struct lade_cache *c = NULL;
	long many = 0, n = 0;
	int rc = 0;

	reset(10);
	lade_scope(s, &rc) {
		c = new_cache(&s, (struct lade_cache_config){ .load_many = load_many });
		CHECK_EQ(get_now(c, "a", &n), 0);
		CHECK_EQ(lade_join(lade_do(get, c, "b", 0, FOREVER_MS, &n),
				   lade_do(get_many, c, "abcda", FOREVER_MS, &many)),
			 0);
		CHECK_EQ(n, 2);
		CHECK_EQ(many, 12341);
		CHECK_EQ(begun, 3);
		CHECK_EQ(now_ms(), 20);
	}
	CHECK_EQ(rc, 0);
	close_all(c);
}

IN_TASK(a_load_of_several_keys_outlives_its_caller_and_is_stored)
{
	struct lade_cache *c = NULL;
	long many = 0;
	int rc = 0;

	reset(100);
	lade_scope(s, &rc) {
		c = new_cache(&s, (struct lade_cache_config){ .load_many = load_many });
		CHECK_EQ(get_many(c, "abc", 30, &many), -ETIME);
	}
	CHECK_EQ(get_many(c, "abc", 30, &many), 0);
	CHECK_EQ(many, 123);
	CHECK_EQ(begun, 1);
	close_all(c);
}

IN_TASK(a_caller_that_is_cancelled_between_two_answers_gives_the_first_back)
{
	struct lade_cache *c = NULL;
	struct get_task early;
	long many = 0;
	int rc = 0;

	reset(20);
	lade_scope(s, &rc) {
		c = new_cache(&s, (struct lade_cache_config){ 0 });
		early = get_task(c, "a", 0, FOREVER_MS);
		lade_start(&s, &early);
		CHECK_EQ(lade_sleep(lade_ms(10)), 0);
		CHECK_EQ(get_many(c, "ab", 15, &many), -ETIME); /* a came at 20, b comes at 30 */
		CHECK_EQ(values, 1);
		CHECK_EQ(lade_wait(&early), 0);
		lade_cache_invalidate(c, "a", 1);
		CHECK_EQ(dropped, 1);
	}
	close_all(c);
}

IN_TASK(closing_cancels_a_load_of_several_keys)
{
	struct lade_cache *c = NULL;
	long many = 0;
	int rc = 0;

	reset(1000);
	lade_scope(s, &rc) {
		c = new_cache(&s, (struct lade_cache_config){ .load_many = load_many });
		rc = lade_spawn(&s, close_cache_task(c, 30, true));
		CHECK_EQ(rc, 0);
		(void)!get_many(c, "abc", FOREVER_MS, &many);
		CHECK_EQ(many, 0);
		CHECK_EQ(now_ms(), 30);
	}
	CHECK_EQ(now_ms(), 30);
	CHECK_EQ(dropped, values);
}

IN_TASK(a_load_of_several_keys_is_cancelled_when_the_last_of_them_is_abandoned)
{
	struct lade_cache *c = NULL;
	struct get_task other;
	long many = 0;
	int rc = 0;

	reset(100);
	lade_scope(s, &rc, .policy = LADE_ALL) {
		c = new_cache(&s, (struct lade_cache_config){ .load_many = load_many,
							      .on_abandon = LADE_ABANDON_CANCEL });
		other = get_task(c, "b", 10, 40);
		lade_start(&s, &other);
		CHECK_EQ(get_many(c, "ab", 30, &many), -ETIME);
		CHECK_EQ(lade_wait(&other), 0);
		CHECK_EQ(lade_status(&other), -ETIME);
	}
	CHECK_EQ(now_ms(), 50);
	CHECK_EQ(values, 0);
	close_all(c);
}

int main(void)
{
	TAP(a_callers_time_out_ends_its_own_wait_and_nothing_else);
	TAP(a_joiner_sees_the_flight_or_the_value_and_never_neither);
	TAP(an_abandoned_load_finishes_and_is_stored);
	TAP(an_abandoned_load_is_cancelled_where_that_was_asked_for_and_joins_nobody);
	TAP(an_abandoned_load_lingers_for_a_late_joiner);
	TAP(a_load_that_does_not_stop_at_its_deadline_frees_its_key_and_comes_too_late);
	TAP(a_late_result_is_stored_when_nothing_newer_has_begun);
	TAP(a_late_result_is_not_stored_after_an_invalidate);
	TAP(a_waiter_gets_the_stale_value_at_the_loads_deadline_where_that_is_allowed);
	TAP(an_error_is_kept_for_its_time_and_a_cancel_never);
	TAP(an_uncacheable_value_is_for_one_and_the_others_load_at_once_in_parallel);
	TAP(a_caller_that_is_cancelled_as_it_is_told_to_load_alone_does_not_wait);
	TAP(a_ttl_of_zero_serves_those_who_waited);
	TAP(a_value_set_with_a_ttl_of_zero_is_not_served);
	TAP(a_value_is_fresh_until_its_ttl_is_over_and_not_an_instant_longer);
	TAP(stale_is_given_at_once_while_one_load_refreshes_it);
	TAP(a_failed_refresh_backs_off_and_does_not_make_the_value_fresh);
	TAP(stale_if_error_holds_for_its_time_and_says_so);
	TAP(with_stale_at_hand_a_caller_waits_softly);
	TAP(a_loader_that_asks_for_its_own_key_gets_edeadlk);
	TAP(loads_and_waiters_are_capped_and_the_answer_at_the_cap_is_ebusy);
	TAP(closing_wakes_every_waiter_and_cancels_or_drains_the_loads);
	TAP(a_cache_whose_scope_is_cancelled_answers_eshutdown);
	TAP(several_keys_mix_stored_joined_and_new_and_one_call_loads_the_new);
	TAP(a_load_of_several_keys_outlives_its_caller_and_is_stored);
	TAP(a_caller_that_is_cancelled_between_two_answers_gives_the_first_back);
	TAP(closing_cancels_a_load_of_several_keys);
	TAP(a_load_of_several_keys_is_cancelled_when_the_last_of_them_is_abandoned);
	return tap_done();
}
