/* SPDX-License-Identifier: MIT */
/* cores_test.c - one cache for the tasks of several cores: one load, the right core, every cancel,
 * and nothing lost or doubled under random use. */

#include <lade/cache.h>
#include <lade/cores.h>
#include <lade/join.h>

#include "base/alloc.h"
#include "run.h"

typedef struct lade_cache *cache_ptr;

/* What loads do; set before they begin. */
static struct {
	int rc;		  /* what they return */
	bool uncacheable; /* what they say of their values */
	bool ask_own;	  /* they ask for their own key */
} plan;

static cache_ptr cache;		   /* of the running test */
static atomic_bool gate;	   /* loads wait until it is open */
static atomic_int begun, running;  /* loads, and those that run now */
static atomic_int most;		   /* that ran at once */
static atomic_int made, dropped;   /* values */
static atomic_int twice;	   /* loads of a key that another load was loading */
static atomic_int loading[64];	   /* loads of each key that run now */
static atomic_uint core_of[64];	   /* where a key was loaded */
static _Atomic(enum lade_reason_kind) told; /* the root of what cancelled a load */

/* Waits for what another core will do. */
#define AWAIT(condition)                                                                           \
	do {                                                                                       \
		while (!(condition))                                                               \
			CHECK_EQ(lade_sleep(lade_us(50)), 0);                                      \
	} while (0)

static void drop_value(void *value)
{
	atomic_fetch_add(&dropped, 1);
	lade_free(value);
}

static void note_most(int now)
{
	int before = atomic_load(&most);

	while (now > before && !atomic_compare_exchange_weak(&most, &before, now))
		;
}

static int pass_gate(void)
{
	int rc = 0;

	while (rc == 0 && !atomic_load(&gate))
		rc = lade_sleep(lade_us(50));
	if (rc < 0)
		atomic_store(&told, lade_why().root);
	return rc;
}

static int key_of(const struct lade_cache_key *key)
{
	int number;

	memcpy(&number, key->bytes, sizeof(number));
	return number;
}

static int make_value(int number, struct lade_cache_load *load)
{
	long *value = lade_malloc(sizeof(*value));

	if (!value)
		return -ENOMEM;
	*value = number;
	atomic_fetch_add(&made, 1);
	load->value = value;
	load->bytes = sizeof(*value);
	load->uncacheable = plan.uncacheable;
	return 0;
}

static int load(void *arg, const struct lade_cache_key *key, struct lade_cache_load *out)
{
	int number = key_of(key), rc;

	(void)arg;
	atomic_fetch_add(&begun, 1);
	note_most(atomic_fetch_add(&running, 1) + 1);
	if (atomic_fetch_add(&loading[number], 1) > 0)
		atomic_fetch_add(&twice, 1);
	atomic_store(&core_of[number], lade_core());
	rc = pass_gate();
	if (rc == 0 && plan.ask_own) {
		struct lade_cached own = { 0 };

		rc = lade_cache_get(cache, key->bytes, key->len, &own);
	}
	if (rc == 0)
		rc = plan.rc < 0 ? plan.rc : make_value(number, out);
	atomic_fetch_sub(&loading[number], 1);
	atomic_fetch_sub(&running, 1);
	return rc;
}

static int load_many(void *arg, const struct lade_cache_key *keys, struct lade_cache_load *loads,
		     size_t count)
{
	int rc = pass_gate();

	(void)arg;
	atomic_fetch_add(&begun, 1);
	for (size_t i = 0; rc == 0 && i < count; i++)
		loads[i].rc = plan.rc < 0 ? plan.rc : make_value(key_of(&keys[i]), &loads[i]);
	return rc;
}

/* Makes the cache of a test, in its scope; the gate is shut. */
static void make_cache(struct lade_scope *s, struct lade_cache_config config)
{
	memset(&plan, 0, sizeof(plan));
	atomic_store(&gate, false);
	atomic_store(&begun, 0);
	atomic_store(&most, 0);
	atomic_store(&made, 0);
	atomic_store(&dropped, 0);
	atomic_store(&twice, 0);
	atomic_store(&told, LADE_REASON_NONE);
	config.load = load;
	config.drop = drop_value;
	config.cores = true;
	CHECK_EQ(lade_cache_new(s, &config, &cache), 0);
}

/* Every test ends so: nothing is left, everything was dropped. */
static void close_cache(bool cancel)
{
	lade_cache_close(cache, cancel);
	CHECK_EQ(atomic_load(&running), 0);
	CHECK_EQ(atomic_load(&dropped), atomic_load(&made));
}

static int get(int key, int64_t within_us, long *ret)
{
	struct lade_cached got;
	int rc = lade_within(lade_us(within_us), lade_cache_get(cache, &key, sizeof(key), &got));

	if (rc < 0)
		return rc;
	*ret = *(const long *)got.value;
	lade_cache_release(&got);
	return 0;
}
LADE_TASK(get, long, (int, key), (int64_t, within_us))

#define LONG_US INT64_C(100000000)

static int open_gate_when(int waiting)
{
	AWAIT(lade_cache_stats(cache).joined >= (uint64_t)waiting);
	atomic_store(&gate, true);
	return 0;
}
LADE_TASK_VOID(open_gate_when, (int, waiting))

ON_CORES(one_load_serves_the_callers_of_all_cores)
{
	long values[6] = { 0 };
	int rc = 0;

	lade_scope(s, &rc) {
		make_cache(&s, (struct lade_cache_config){ 0 });
		CHECK_EQ(lade_join(lade_on(0, lade_do(get, 7, LONG_US, &values[0])),
				   lade_on(1, lade_do(get, 7, LONG_US, &values[1])),
				   lade_on(2, lade_do(get, 7, LONG_US, &values[2])),
				   lade_on(1, lade_do(get, 7, LONG_US, &values[3])),
				   lade_on(2, lade_do(get, 7, LONG_US, &values[4])),
				   lade_do(get, 7, LONG_US, &values[5]),
				   lade_do(open_gate_when, 5)),
			 0);
		for (int i = 0; i < 6; i++)
			CHECK_EQ(values[i], 7);
		CHECK_EQ(atomic_load(&begun), 1);
		CHECK_EQ(lade_join(lade_on(2, lade_do(get, 7, LONG_US, &values[0]))), 0);
		CHECK_EQ(lade_cache_stats(cache).hits, 1);
		CHECK_EQ(atomic_load(&begun), 1);
		close_cache(true);
	}
	CHECK_EQ(rc, 0);
}

ON_CORES(a_load_runs_on_the_core_of_the_caller_that_began_it)
{
	long a, b, c, d;
	int rc = 0;

	lade_scope(s, &rc) {
		make_cache(&s, (struct lade_cache_config){ 0 });
		atomic_store(&gate, true);
		for (int i = 0; i < RUN_MANY(100); i++) {
			CHECK_EQ(lade_join(lade_on(1, lade_do(get, 1, LONG_US, &a)),
					   lade_on(2, lade_do(get, 2, LONG_US, &b)),
					   lade_do(get, 0, LONG_US, &c),
					   lade_on(1, lade_do(get, 4, LONG_US, &d))),
				 0);
			CHECK_EQ(a + 10 * b + 100 * c + 1000 * d, 4021);
			CHECK_EQ(atomic_load(&core_of[0]), 0);
			CHECK_EQ(atomic_load(&core_of[1]), 1);
			CHECK_EQ(atomic_load(&core_of[2]), 2);
			CHECK_EQ(atomic_load(&core_of[4]), 1);
			for (int key = 0; key < 5; key++)
				lade_cache_invalidate(cache, &key, sizeof(key));
		}
		close_cache(true);
	}
	CHECK_EQ(rc, 0);
}

ON_CORES(a_time_out_elsewhere_ends_its_own_wait_and_the_load_is_stored)
{
	struct get_task patient = get_task(1, LONG_US);
	struct lade_on_task there = lade_on_task(1, &patient);
	long n = 0;
	int rc = 0;

	lade_scope(s, &rc) {
		make_cache(&s, (struct lade_cache_config){ 0 });
		lade_start(&s, &there);
		AWAIT(atomic_load(&begun) == 1);
		CHECK_EQ(lade_join(lade_on(2, lade_do(get, 1, 500, &n))), -ETIME);
		CHECK_EQ(get(1, 500, &n), -ETIME);
		CHECK_EQ(lade_status(&patient), -EINPROGRESS);
		lade_cancel(&patient);
		CHECK_EQ(lade_wait(&patient), 0);
		CHECK_EQ(lade_status(&patient), -ECANCELED);
		CHECK_EQ(lade_cache_stats(cache).abandoned, 1);
		atomic_store(&gate, true);
		CHECK_EQ(get(1, LONG_US, &n), 0);
		CHECK_EQ(n, 1);
		CHECK_EQ(atomic_load(&begun), 1);
		close_cache(true);
	}
	CHECK_EQ(rc, 0);
}

ON_CORES(a_scope_waits_for_the_loads_that_it_has_on_other_cores)
{
	long n = 0;
	int rc = 0;

	lade_scope(outer, &rc) {
		struct open_gate_when_task later = open_gate_when_task(0);

		lade_scope(s, &rc) {
			make_cache(&s, (struct lade_cache_config){ 0 });
			CHECK_EQ(lade_join(lade_on(1, lade_do(get, 1, 500, &n))), -ETIME);
			lade_start(&outer, &later);
		}
		CHECK_EQ(atomic_load(&made), 1);
		CHECK_EQ(atomic_load(&told), LADE_REASON_NONE);
		close_cache(false);
	}
	CHECK_EQ(rc, 0);
}

ON_CORES(what_cancels_the_caches_scope_ends_its_loads_on_all_cores_and_is_named)
{
	struct get_task waiter = get_task(1, LONG_US), other = get_task(2, LONG_US);
	struct lade_on_task a = lade_on_task(1, &waiter), b = lade_on_task(2, &other);
	int rc = 0, inner = 0;

	lade_scope(outer, &rc, .policy = LADE_ALL) {
		lade_scope(s, &inner) {
			make_cache(&s, (struct lade_cache_config){ 0 });
			lade_start(&outer, &a);
			lade_start(&outer, &b);
			AWAIT(atomic_load(&begun) == 2);
			lade_cancel(&s);
			CHECK_EQ(lade_yield(), -ECANCELED);
		}
		CHECK_EQ(lade_wait(&waiter), 0);
		CHECK_EQ(lade_wait(&other), 0);
		CHECK_EQ(lade_status(&waiter), -ESHUTDOWN);
		CHECK_EQ(lade_status(&other), -ESHUTDOWN);
		CHECK_EQ(atomic_load(&told), LADE_REASON_USER);
		close_cache(false);
	}
	CHECK_EQ(rc, 0);
	CHECK_EQ(inner, 0);
}

static int get_in_cancelled_scope(void)
{
	long n;

	return lade_join(lade_on(1, lade_do(get, 1, LONG_US, &n)));
}

/* Asked for from elsewhere, by a caller whose time is over at once, while home has no turn. */

static atomic_bool asked;

static int ask_and_leave(void)
{
	struct lade_cached got = { 0 };
	int key = 1;
	int rc = lade_within(lade_ns(1), lade_cache_get(cache, &key, sizeof(key), &got));

	atomic_store(&asked, true);
	return rc == -ETIME ? 0 : rc;
}
LADE_TASK_VOID(ask_and_leave)

ON_CORES(a_load_that_is_asked_for_as_the_caches_scope_ends_is_refused)
{
	struct ask_and_leave_task elsewhere = ask_and_leave_task();
	struct lade_on_task sent = lade_on_task(1, &elsewhere);
	int rc = 0, inner = 0;

	atomic_store(&asked, false);
	atomic_store(&gate, true);
	lade_scope(outer, &rc, .policy = LADE_ALL) {
		lade_scope(s, &inner) {
			make_cache(&s, (struct lade_cache_config){ 0 });
			lade_start(&outer, &sent);
			while (!atomic_load(&asked))
				sched_yield();
		}
		CHECK_EQ(atomic_load(&running), 0);
		CHECK_EQ(lade_wait(&elsewhere), 0);
		close_cache(false);
	}
	CHECK_EQ(rc, 0);
	CHECK_EQ(atomic_load(&begun), 0);
}

/* A value is dropped as a deadline passes, where no task has its turn. */

static struct lade_cache *looked_into;
static int looks;

static void look_into_it(void *value)
{
	(void)lade_cache_stats(looked_into);
	looks++;
	lade_free(value);
}

static int load_one_of_two(void *arg, const struct lade_cache_key *key, struct lade_cache_load *l)
{
	(void)arg;
	if (*(const char *)key->bytes == 'b')
		return lade_sleep(lade_s(1000));
	l->value = lade_malloc(1);
	l->bytes = 1;
	l->ttl = lade_ns(0);
	return l->value ? 0 : -ENOMEM;
}

ON_CORES(what_drops_a_value_may_look_into_the_cache_at_any_moment)
{
	const struct lade_cache_key keys[2] = { { "a", 1 }, { "b", 1 } };
	struct lade_cached got[2] = { 0 };
	int rc = 0;

	lade_scope(s, &rc, .policy = LADE_ALL) {
		NEED_EQ(lade_cache_new(&s, &(struct lade_cache_config){ .load = load_one_of_two,
									.drop = look_into_it,
									.cores = true },
				       &looked_into), 0);
		CHECK_EQ(lade_within(lade_ms(20), lade_cache_get_many(looked_into, keys, 2, got)),
			 -ETIME);
		lade_cache_close(looked_into, true);
	}
	CHECK_EQ(looks, 1);
	looks = 0;
}

ON_CORES(in_a_cancelled_scope_a_load_elsewhere_is_refused)
{
	int rc = 0, inner = 0;

	lade_scope(outer, &rc, .policy = LADE_ALL) {
		lade_scope(s, &inner) {
			make_cache(&s, (struct lade_cache_config){ 0 });
			lade_cancel(&s);
			lade_shield(lade_s(100))
				CHECK_EQ(get_in_cancelled_scope(), -ESHUTDOWN);
		}
		CHECK_EQ(atomic_load(&begun), 0);
		close_cache(false);
	}
	CHECK_EQ(rc, 0);
}

ON_CORES(a_failed_load_gives_the_same_error_on_all_cores)
{
	struct get_task tasks[4];
	struct lade_on_task there[4];
	int rc = 0;

	lade_scope(s, &rc, .policy = LADE_ALL) {
		make_cache(&s, (struct lade_cache_config){ .negative_ttl = lade_s(10) });
		plan.rc = -EPROTO;
		for (uint32_t i = 0; i < 4; i++) {
			tasks[i] = get_task(3, LONG_US);
			there[i] = lade_on_task(i, &tasks[i]);
			lade_start(&s, &there[i]);
		}
		CHECK_EQ(open_gate_when(3), 0);
		for (int i = 0; i < 4; i++) {
			CHECK_EQ(lade_wait(&tasks[i]), 0);
			CHECK_EQ(lade_status(&tasks[i]), -EPROTO);
		}
		CHECK_EQ(lade_join(lade_on(1, lade_do(get, 3, LONG_US, &(long){ 0 }))), -EPROTO);
		CHECK_EQ(atomic_load(&begun), 1);
		CHECK_EQ(lade_cache_stats(cache).negative, 1);
		close_cache(true);
	}
	CHECK_EQ(rc, 0);
}

/* A load on core 1 whose last waiter, on core 2, leaves. */
static void abandon_from_afar(struct lade_scope *s)
{
	struct get_task first = get_task(1, LONG_US);
	struct lade_on_task there = lade_on_task(1, &first);

	lade_start(s, &there);
	AWAIT(atomic_load(&begun) == 1);
	CHECK_EQ(lade_join(lade_on(2, lade_do(get, 1, 500, &(long){ 0 }))), -ETIME);
	CHECK_EQ(lade_cache_stats(cache).abandoned, 0);
	lade_cancel(&first);
	CHECK_EQ(lade_wait(&there), 0);
	CHECK_EQ(lade_cache_stats(cache).abandoned, 1);
}

ON_CORES(a_load_that_is_abandoned_on_another_core_is_cancelled_on_its_own)
{
	struct get_task last = get_task(1, LONG_US);
	struct lade_on_task there = lade_on_task(2, &last);
	struct get_task first = get_task(1, LONG_US);
	struct lade_on_task here = lade_on_task(1, &first);
	int rc = 0;

	lade_scope(s, &rc, .policy = LADE_ALL) {
		make_cache(&s, (struct lade_cache_config){ .on_abandon = LADE_ABANDON_CANCEL });
		lade_start(&s, &here);
		AWAIT(atomic_load(&begun) == 1);
		lade_start(&s, &there);
		AWAIT(lade_cache_stats(cache).joined == 1);
		lade_cancel(&first);
		CHECK_EQ(lade_wait(&here), 0);
		CHECK_EQ(lade_cache_stats(cache).abandoned, 0);
		lade_cancel(&last);
		CHECK_EQ(lade_wait(&there), 0);
		AWAIT(lade_cache_stats(cache).flights == 0);
		CHECK_EQ(atomic_load(&told), LADE_REASON_USER);
		CHECK_EQ(lade_cache_stats(cache).abandoned, 1);
		close_cache(false);
	}
	CHECK_EQ(rc, 0);
}

ON_CORES(an_abandoned_load_lingers_for_a_joiner_from_another_core)
{
	long n = 0;
	int rc = 0;

	lade_scope(s, &rc, .policy = LADE_ALL) {
		struct get_task late = get_task(1, LONG_US);
		struct lade_on_task there = lade_on_task(2, &late);

		make_cache(&s, (struct lade_cache_config){ .on_abandon = LADE_ABANDON_LINGER,
							   .abandon_linger = lade_ms(150) });
		abandon_from_afar(&s);
		lade_start(&s, &there);
		AWAIT(lade_cache_stats(cache).joined == 2);
		CHECK_EQ(lade_sleep(lade_ms(170)), 0);
		atomic_store(&gate, true);
		CHECK_EQ(lade_wait(&there), 0);
		CHECK_EQ(lade_status(&late), 0);
		CHECK_EQ(atomic_load(&begun), 1);
		/* And the one that leaves last leaves it the whole time again. */
		atomic_store(&gate, false);
		CHECK_EQ(lade_join(lade_on(1, lade_do(get, 2, 500, &n))), -ETIME);
		AWAIT(lade_cache_stats(cache).flights == 0);
		CHECK_EQ(atomic_load(&told), LADE_REASON_USER);
		close_cache(false);
	}
	CHECK_EQ(rc, 0);
}

ON_CORES(no_more_loads_run_at_once_than_all_cores_may)
{
	struct get_task tasks[12];
	struct lade_on_task there[12];
	int rc = 0;

	lade_scope(s, &rc, .policy = LADE_ALL) {
		make_cache(&s, (struct lade_cache_config){ .max_loads = 2 });
		for (int i = 0; i < 12; i++) {
			tasks[i] = get_task(i, LONG_US);
			there[i] = lade_on_task((uint32_t)i, &tasks[i]);
			lade_start(&s, &there[i]);
		}
		AWAIT(lade_cache_stats(cache).flights == 12 && atomic_load(&running) == 2);
		atomic_store(&gate, true);
		for (int i = 0; i < 12; i++) {
			CHECK_EQ(lade_wait(&tasks[i]), 0);
			CHECK_EQ(lade_value(&tasks[i]), i);
		}
		CHECK_EQ(atomic_load(&most), 2);
		close_cache(true);
	}
	CHECK_EQ(rc, 0);
}

#define MANY 200

static int get_all(int from, long *ret)
{
	struct lade_cache_key keys[MANY];
	struct lade_cached got[MANY];
	int numbers[MANY], rc;

	for (int i = 0; i < MANY; i++) {
		numbers[i] = (from + i) % 256;
		keys[i] = (struct lade_cache_key){ &numbers[i], sizeof(numbers[i]) };
	}
	rc = lade_cache_get_many(cache, keys, MANY, got);
	*ret = 0;
	for (int i = 0; rc == 0 && i < MANY; i++) {
		CHECK_EQ(got[i].rc, 0);
		*ret += *(const long *)got[i].value == numbers[i];
		lade_cache_release(&got[i]);
	}
	return rc;
}
LADE_TASK(get_all, long, (int, from))

ON_CORES(several_keys_are_loaded_once_whatever_cores_ask_for_them)
{
	long a, b, c;
	int rc = 0;

	lade_scope(s, &rc) {
		make_cache(&s, (struct lade_cache_config){ .load_many = load_many });
		CHECK_EQ(lade_join(lade_on(1, lade_do(get_all, 0, &a)),
				   lade_on(2, lade_do(get_all, 100, &b)),
				   lade_do(get_all, 30, &c), lade_do(open_gate_when, 600 - 256)),
			 0);
		CHECK_EQ(a, MANY);
		CHECK_EQ(b, MANY);
		CHECK_EQ(c, MANY);
		CHECK_EQ(atomic_load(&made), 256);
		CHECK(atomic_load(&begun) <= 3);
		CHECK_EQ(lade_join(lade_on(2, lade_do(get_all, 0, &b))), 0);
		CHECK_EQ(lade_cache_stats(cache).hits, MANY);
		close_cache(true);
	}
	CHECK_EQ(rc, 0);
}

ON_CORES(a_load_of_several_keys_ends_when_the_last_of_them_is_abandoned_anywhere)
{
	struct get_all_task all = get_all_task(0);
	struct get_task one = get_task(5, LONG_US);
	struct lade_on_task a = lade_on_task(1, &all), b = lade_on_task(2, &one);
	int rc = 0;

	lade_scope(s, &rc, .policy = LADE_ALL) {
		make_cache(&s, (struct lade_cache_config){ .load_many = load_many,
							   .on_abandon = LADE_ABANDON_CANCEL });
		lade_start(&s, &a);
		AWAIT(lade_cache_stats(cache).loads == 1);
		lade_start(&s, &b);
		AWAIT(lade_cache_stats(cache).joined == 1);
		lade_cancel(&all);
		CHECK_EQ(lade_wait(&a), 0);
		CHECK_EQ(lade_cache_stats(cache).flights, MANY);
		lade_cancel(&one);
		CHECK_EQ(lade_wait(&b), 0);
		AWAIT(lade_cache_stats(cache).flights == 0);
		CHECK_EQ(atomic_load(&told), LADE_REASON_USER);
		CHECK_EQ(lade_cache_stats(cache).abandoned, MANY);
		close_cache(false);
	}
	CHECK_EQ(rc, 0);
}

ON_CORES(an_uncacheable_value_is_for_one_and_the_others_load_where_they_are)
{
	long a, b, c;
	int rc = 0;

	lade_scope(s, &rc) {
		make_cache(&s, (struct lade_cache_config){ 0 });
		plan.uncacheable = true;
		CHECK_EQ(lade_join(lade_on(0, lade_do(get, 9, LONG_US, &a)),
				   lade_on(1, lade_do(get, 9, LONG_US, &b)),
				   lade_on(2, lade_do(get, 9, LONG_US, &c)),
				   lade_do(open_gate_when, 2)),
			 0);
		CHECK_EQ(a + b + c, 27);
		CHECK_EQ(atomic_load(&begun), 3);
		CHECK_EQ(lade_cache_stats(cache).entries, 1);
		close_cache(true);
	}
	CHECK_EQ(rc, 0);
}

ON_CORES(a_cache_that_closes_tells_all_cores_and_waits_for_their_loads)
{
	struct get_task tasks[6];
	struct lade_on_task there[6];
	int rc = 0;

	for (int cancel = 0; cancel < 2; cancel++) {
		struct open_gate_when_task opener = open_gate_when_task(0);

		lade_scope(s, &rc, .policy = LADE_ALL) {
			make_cache(&s, (struct lade_cache_config){ 0 });
			for (int i = 0; i < 6; i++) {
				tasks[i] = get_task(i, LONG_US);
				there[i] = lade_on_task((uint32_t)i, &tasks[i]);
				lade_start(&s, &there[i]);
			}
			AWAIT(atomic_load(&running) == 6);
			if (!cancel)
				lade_start(&s, &opener);
			close_cache(cancel);
			CHECK_EQ(atomic_load(&made), cancel ? 0 : 6);
			for (int i = 0; i < 6; i++) {
				CHECK_EQ(lade_wait(&tasks[i]), 0);
				CHECK_EQ(lade_status(&tasks[i]), -ESHUTDOWN);
			}
		}
	}
	CHECK_EQ(rc, 0);
}

static int take(int key, struct lade_cached *ret)
{
	return lade_cache_get(cache, &key, sizeof(key), ret);
}
LADE_TASK(take, struct lade_cached, (int, key))

static int give_back(struct lade_cached *got)
{
	lade_cache_release(got);
	return 0;
}
typedef struct lade_cached *cached_ptr;
LADE_TASK_VOID(give_back, (cached_ptr, got))

ON_CORES(a_value_is_released_on_another_core_also_when_the_cache_is_gone)
{
	struct lade_cached a, b;
	int rc = 0;

	lade_scope(s, &rc) {
		make_cache(&s, (struct lade_cache_config){ 0 });
		atomic_store(&gate, true);
		CHECK_EQ(lade_join(lade_on(1, lade_do(take, 1, &a)),
				   lade_on(2, lade_do(take, 2, &b))),
			 0);
		for (int key = 1; key < 3; key++)
			lade_cache_invalidate(cache, &key, sizeof(key));
		CHECK_EQ(lade_cache_stats(cache).entries, 0);
		CHECK_EQ(lade_cache_stats(cache).bytes, 2 * sizeof(long));
		CHECK_EQ(lade_join(lade_on(2, lade_do(give_back, &a))), 0);
		CHECK_EQ(lade_cache_stats(cache).bytes, sizeof(long));
		CHECK_EQ(atomic_load(&dropped), 1);
		lade_cache_close(cache, true);
	}
	CHECK_EQ(*(const long *)b.value, 2);
	CHECK_EQ(atomic_load(&dropped), 1);
	CHECK_EQ(lade_join(lade_on(1, lade_do(give_back, &b))), 0);
	CHECK_EQ(atomic_load(&dropped), 2);
	CHECK_EQ(rc, 0);
}

static int set_there(int key)
{
	struct lade_cache_load made_here = { 0 };
	int rc = make_value(100 + key, &made_here);

	return rc < 0 ? rc : lade_cache_set(cache, &key, sizeof(key), made_here.value,
					    made_here.bytes, lade_s(10));
}
LADE_TASK_VOID(set_there, (int, key))

static int invalidate_there(int key)
{
	lade_cache_invalidate(cache, &key, sizeof(key));
	return 0;
}
LADE_TASK_VOID(invalidate_there, (int, key))

ON_CORES(a_value_that_is_set_on_another_core_overtakes_the_load)
{
	struct get_task waiter = get_task(1, LONG_US);
	struct lade_on_task there = lade_on_task(1, &waiter);
	long n = 0;
	int rc = 0;

	lade_scope(s, &rc) {
		make_cache(&s, (struct lade_cache_config){ 0 });
		lade_start(&s, &there);
		AWAIT(atomic_load(&begun) == 1);
		CHECK_EQ(lade_join(lade_on(2, lade_do(set_there, 1))), 0);
		CHECK_EQ(get(1, LONG_US, &n), 0);
		CHECK_EQ(n, 101);
		atomic_store(&gate, true);
		CHECK_EQ(lade_wait(&there), 0);
		CHECK_EQ(lade_value(&waiter), 1);
		CHECK_EQ(lade_cache_stats(cache).late, 1);
		CHECK_EQ(lade_join(lade_on(2, lade_do(get, 1, LONG_US, &n))), 0);
		CHECK_EQ(n, 101);
		CHECK_EQ(lade_join(lade_on(2, lade_do(invalidate_there, 1))), 0);
		CHECK_EQ(get(1, LONG_US, &n), 0);
		CHECK_EQ(n, 1);
		close_cache(true);
	}
	CHECK_EQ(rc, 0);
}

ON_CORES(a_load_elsewhere_that_asks_for_its_own_key_is_told)
{
	long n = 0;
	int rc = 0;

	lade_scope(s, &rc, .policy = LADE_ALL) {
		make_cache(&s, (struct lade_cache_config){ 0 });
		plan.ask_own = true;
		atomic_store(&gate, true);
		CHECK_EQ(lade_join(lade_on(1, lade_do(get, 1, LONG_US, &n))), -EDEADLK);
		close_cache(true);
	}
	CHECK_EQ(rc, 0);
}

ON_CORES(a_load_that_takes_too_long_frees_its_key_on_all_cores)
{
	struct get_task a = get_task(1, LONG_US), b = get_task(1, LONG_US);
	struct lade_on_task there = lade_on_task(1, &a), too = lade_on_task(2, &b);
	int rc = 0;

	lade_scope(s, &rc, .policy = LADE_ALL) {
		make_cache(&s, (struct lade_cache_config){ .load_timeout = lade_ms(10) });
		lade_start(&s, &there);
		lade_start(&s, &too);
		CHECK_EQ(lade_wait(&there), 0);
		CHECK_EQ(lade_wait(&too), 0);
		CHECK_EQ(lade_status(&a), -ETIME);
		CHECK_EQ(lade_status(&b), -ETIME);
		AWAIT(lade_cache_stats(cache).flights == 0);
		CHECK_EQ(atomic_load(&told), LADE_REASON_DEADLINE);
		close_cache(true);
	}
	CHECK_EQ(rc, 0);
}

IN_LOOP(with_a_virtual_clock_one_core_plays_all, .cores = 2)
{
	long a = 0, b = 0;
	int rc = 0;

	lade_scope(s, &rc) {
		make_cache(&s, (struct lade_cache_config){ 0 });
		CHECK_EQ(lade_join(lade_on(1, lade_do(get, 1, LONG_US, &a)),
				   lade_do(get, 1, LONG_US, &b), lade_do(open_gate_when, 1)),
			 0);
		CHECK_EQ(atomic_load(&begun), 1);
		CHECK_EQ(a + b, 2);
		close_cache(true);
	}
	CHECK_EQ(rc, 0);
}

static void astray_body(void)
{
	int rc = 0;

	lade_scope(s, &rc) {
		struct lade_cached got;

		CHECK_EQ(lade_cache_new(&s, &(struct lade_cache_config){ .load = load }, &cache),
			 0);
		(void)!lade_join(lade_on(1, lade_do(take, 1, &got)));
	}
}

static void a_cache_of_one_core_that_is_used_on_another_ends_the_process(void)
{
	run_with(&(struct lade_loop_config){ .cores = 2 }, astray_body);
}

/* Everything at once: random keys, deadlines, failures, invalidations, values, small budget. */

#define KEYS 24

static atomic_long served, timed_out, failed;

static int load_at_random(void *arg, const struct lade_cache_key *key, struct lade_cache_load *out)
{
	int number = key_of(key), rc = 0;
	unsigned chance = (unsigned)atomic_fetch_add(&begun, 1) * 2654435761u >> 16;

	(void)arg;
	if (atomic_fetch_add(&loading[number], 1) > 0)
		atomic_fetch_add(&twice, 1);
	if (chance % 4)
		rc = lade_sleep(lade_us(chance % 150));
	atomic_fetch_sub(&loading[number], 1);
	if (rc == 0)
		rc = chance % 11 == 0 ? -EPROTO : make_value(number, out);
	if (rc == 0)
		out->bytes = 100 + chance % 400;
	return rc;
}

static int check_value(int key, struct lade_cached *got)
{
	CHECK_EQ(*(const long *)got->value % 100, key);
	atomic_fetch_add(&served, 1);
	/* Some keep it over a turn, while others evict it. */
	if (key % 3 == 0)
		(void)!lade_yield();
	CHECK_EQ(*(const long *)got->value % 100, key);
	lade_cache_release(got);
	return 0;
}

static void count_failure(int rc)
{
	CHECK(rc == -ETIME || rc == -EPROTO || rc == -ECANCELED);
	atomic_fetch_add(rc == -EPROTO ? &failed : &timed_out, 1);
}

static int ask_for_one(int key, unsigned chance)
{
	struct lade_cached got;
	int rc = lade_within(lade_us(20 + chance % 300),
			     lade_cache_get(cache, &key, sizeof(key), &got));

	if (rc == 0)
		return check_value(key, &got);
	count_failure(rc);
	return 0;
}

static int ask_for_some(int from, unsigned chance)
{
	struct lade_cache_key keys[5];
	struct lade_cached got[5];
	int numbers[5], rc;

	for (int i = 0; i < 5; i++) {
		numbers[i] = (from + i) % KEYS;
		keys[i] = (struct lade_cache_key){ &numbers[i], sizeof(numbers[i]) };
	}
	rc = lade_within(lade_us(20 + chance % 300), lade_cache_get_many(cache, keys, 5, got));
	if (rc < 0)
		count_failure(rc);
	for (int i = 0; rc == 0 && i < 5; i++) {
		if (got[i].rc == 0)
			check_value(numbers[i], &got[i]);
		else
			count_failure(got[i].rc);
	}
	return 0;
}

static int use_at_random(unsigned seed, int times)
{
	for (int i = 0; i < times && !lade_cancelled(); i++) {
		int key;

		seed = seed * 1664525u + 1013904223u;
		key = (int)(seed >> 8 & 0xffff) % KEYS;
		switch (seed >> 28) {
		case 0:
			lade_cache_invalidate(cache, &key, sizeof(key));
			break;
		case 1:
			(void)set_there(key);
			break;
		case 2:
			(void)ask_for_some(key, seed >> 3);
			break;
		default:
			(void)ask_for_one(key, seed >> 3);
		}
	}
	return lade_cancelled() ? lade_yield() : 0;
}
LADE_TASK_VOID(use_at_random, (unsigned, seed), (int, times))

static int use_on_all_cores(unsigned seed, int times)
{
	return lade_join(lade_on(0, lade_do(use_at_random, seed, times)),
			 lade_on(1, lade_do(use_at_random, seed + 1, times)),
			 lade_on(2, lade_do(use_at_random, seed + 2, times)),
			 lade_on(0, lade_do(use_at_random, seed + 3, times)),
			 lade_on(1, lade_do(use_at_random, seed + 4, times)),
			 lade_on(2, lade_do(use_at_random, seed + 5, times)),
			 lade_on(1, lade_do(use_at_random, seed + 6, times)),
			 lade_on(2, lade_do(use_at_random, seed + 7, times)));
}

/* A round of random use, cut short by @us; 0: not. */
static void use_for_a_round(unsigned seed, int64_t us, struct lade_cache_config config, bool waits)
{
	struct lade_cache_stats stats;
	int rc = 0, used = 0;

	lade_scope(s, &rc, .policy = LADE_ALL) {
		make_cache(&s, config);
		lade_cache_close(cache, true);
		config.load = load_at_random;
		config.drop = drop_value;
		config.cores = true;
		config.max_bytes = 4096;
		CHECK_EQ(lade_cache_new(&s, &config, &cache), 0);
		used = us ? lade_within(lade_us(us), use_on_all_cores(seed, 1000000)) :
			    use_on_all_cores(seed, RUN_MANY(2000));
		CHECK_EQ(used, us ? -ETIME : 0);
		if (waits)
			AWAIT(lade_cache_stats(cache).flights == 0);
		stats = lade_cache_stats(cache);
		CHECK(!waits || stats.loads == (uint64_t)atomic_load(&begun));
		CHECK(stats.bytes <= 4096);
		close_cache(!waits);
	}
	CHECK_EQ(rc, 0);
}

ON_CORES(random_use_on_all_cores_loses_nothing_and_doubles_nothing)
{
	atomic_store(&served, 0);
	atomic_store(&failed, 0);
	atomic_store(&timed_out, 0);
	use_for_a_round(1, 0, (struct lade_cache_config){ .ttl = lade_ms(2) }, true);
	use_for_a_round(2, 0, (struct lade_cache_config){ .ttl = lade_us(300), .max_loads = 3 },
			true);
	use_for_a_round(3, 0,
			(struct lade_cache_config){ .ttl = lade_ms(1),
						    .on_abandon = LADE_ABANDON_CANCEL },
			true);
	use_for_a_round(4, 0,
			(struct lade_cache_config){ .ttl = lade_ms(1),
						    .stale_while_revalidate = lade_ms(1),
						    .stale_if_error = lade_ms(1),
						    .on_abandon = LADE_ABANDON_LINGER,
						    .abandon_linger = lade_us(100) },
			true);
	CHECK(atomic_load(&served) > RUN_MANY(1000));
	CHECK(atomic_load(&failed) > 0);
	CHECK(atomic_load(&timed_out) > 0);
}

ON_CORES(a_cancel_of_all_at_any_moment_leaves_nothing_behind)
{
	for (unsigned i = 0; i < (unsigned)RUN_MANY(200); i++)
		use_for_a_round(i, 50 + 37 * (i % 50),
				(struct lade_cache_config){
					.ttl = lade_us(500),
					.on_abandon = (enum lade_on_abandon)(i % 3),
					.abandon_linger = lade_us(50) },
				false);
}

static int ask_till_told(unsigned seed)
{
	for (;;) {
		struct lade_cached got;
		int rc, key;

		seed = seed * 1664525u + 1013904223u;
		key = (int)(seed >> 8 & 0xffff) % KEYS;
		rc = lade_cache_get(cache, &key, sizeof(key), &got);
		if (rc == 0)
			lade_cache_release(&got);
		else if (rc != -EPROTO)
			return rc;
		rc = lade_yield();
		if (rc < 0)
			return rc;
	}
}
LADE_TASK_VOID(ask_till_told, (unsigned, seed))

/* The one load of a key, of all cores: no deadline, no abandoned load, nothing that overtakes. */
ON_CORES(no_key_is_ever_loaded_twice_at_once)
{
	int rc = 0;

	lade_scope(s, &rc, .policy = LADE_ALL) {
		struct lade_cache_config config = { .load = load_at_random,
						    .drop = drop_value,
						    .cores = true,
						    .max_bytes = 2048,
						    .ttl = lade_us(100) };

		make_cache(&s, (struct lade_cache_config){ 0 });
		lade_cache_close(cache, true);
		CHECK_EQ(lade_cache_new(&s, &config, &cache), 0);
		CHECK_EQ(lade_within(lade_ms(RUN_MANY(400)),
				     lade_join(lade_on(0, lade_do(ask_till_told, 1)),
					       lade_on(1, lade_do(ask_till_told, 2)),
					       lade_on(2, lade_do(ask_till_told, 3)),
					       lade_on(1, lade_do(ask_till_told, 4)),
					       lade_on(2, lade_do(ask_till_told, 5)))),
			 -ETIME);
		close_cache(false);
		CHECK(atomic_load(&begun) >= 10);
		CHECK_EQ(atomic_load(&twice), 0);
	}
	CHECK_EQ(rc, 0);
}

/* Whichever allocation fails, on whatever core: somebody is told, nothing is left. */
ON_CORES(a_cache_without_memory_says_so_and_leaves_nothing)
{
	for (long n = 1; n < 40; n++) {
		long a = 0, b = 0;
		int rc = 0, got = 0;

		lade_scope(s, &rc, .policy = LADE_ALL) {
			make_cache(&s, (struct lade_cache_config){ 0 });
			atomic_store(&gate, true);
			lade_alloc_fail_at(n);
			got = lade_join_all(lade_on(1, lade_do(get, 1, LONG_US, &a)),
					    lade_on(2, lade_do(get, 1, LONG_US, &b)));
			lade_alloc_fail_at(0);
			CHECK(got == 0 || got == -ENOMEM || got == -EIO);
			close_cache(true);
		}
		CHECK_EQ(rc, 0);
	}
}

int main(void)
{
	TAP(one_load_serves_the_callers_of_all_cores);
	TAP(a_load_runs_on_the_core_of_the_caller_that_began_it);
	TAP(a_time_out_elsewhere_ends_its_own_wait_and_the_load_is_stored);
	TAP(a_scope_waits_for_the_loads_that_it_has_on_other_cores);
	TAP(what_cancels_the_caches_scope_ends_its_loads_on_all_cores_and_is_named);
	TAP(a_load_that_is_asked_for_as_the_caches_scope_ends_is_refused);
	TAP(what_drops_a_value_may_look_into_the_cache_at_any_moment);
	TAP(in_a_cancelled_scope_a_load_elsewhere_is_refused);
	TAP(a_failed_load_gives_the_same_error_on_all_cores);
	TAP(a_load_that_is_abandoned_on_another_core_is_cancelled_on_its_own);
	TAP(an_abandoned_load_lingers_for_a_joiner_from_another_core);
	TAP(no_more_loads_run_at_once_than_all_cores_may);
	TAP(several_keys_are_loaded_once_whatever_cores_ask_for_them);
	TAP(a_load_of_several_keys_ends_when_the_last_of_them_is_abandoned_anywhere);
	TAP(an_uncacheable_value_is_for_one_and_the_others_load_where_they_are);
	TAP(a_cache_that_closes_tells_all_cores_and_waits_for_their_loads);
	TAP(a_value_is_released_on_another_core_also_when_the_cache_is_gone);
	TAP(a_value_that_is_set_on_another_core_overtakes_the_load);
	TAP(a_load_elsewhere_that_asks_for_its_own_key_is_told);
	TAP(a_load_that_takes_too_long_frees_its_key_on_all_cores);
	TAP(with_a_virtual_clock_one_core_plays_all);
	TAP_DIES(a_cache_of_one_core_that_is_used_on_another_ends_the_process,
		 "a cache is used outside the core that it was made for");
	TAP(random_use_on_all_cores_loses_nothing_and_doubles_nothing);
	TAP(a_cancel_of_all_at_any_moment_leaves_nothing_behind);
	TAP(no_key_is_ever_loaded_twice_at_once);
	TAP(a_cache_without_memory_says_so_and_leaves_nothing);
	return tap_done();
}
