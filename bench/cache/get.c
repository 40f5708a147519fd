/* SPDX-License-Identifier: MIT */
/* get.c - what lade_cache_get of a fresh value and its release cost, on one core and on two.
 *
 * DESIGN
 * 64-byte keys, 1 KB values, 1,000 of them: what is measured is the call, not the memory. The keys
 * are asked for in turn or, as "hot key", all for the same. A cache of one core is beside one of
 * several; the latter is asked by one task, and by one on each of two cores at once. "with misses":
 * one get in 64 is of a key that was invalidated before, so that its load and its step take part.
 *
 * CPU ns are those of the whole process per get, the rate is that of one core. */

#include <lade/lade.h>

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define KEYS 1000
#define KEY_BYTES 64
#define VALUE_BYTES 1024

static long ops = 2000000;
static char keys[KEYS][KEY_BYTES];

static double now_ns(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static int load(void *arg, const struct lade_cache_key *key, struct lade_cache_load *load)
{
	(void)arg;
	load->value = calloc(1, VALUE_BYTES);
	load->bytes = VALUE_BYTES;
	if (!load->value)
		return -ENOMEM;
	memcpy(load->value, key->bytes, KEY_BYTES);
	return 0;
}

typedef struct lade_cache *cache_ptr;

/* Asks for keys @step apart; after each @every of them for one that is not there. */
static int ask(cache_ptr cache, long count, int step, int every)
{
	int at = 0, rc = 0;

	for (long i = 0; rc == 0 && i < count; i++) {
		struct lade_cached got;

		if (every && i % every == 0)
			lade_cache_invalidate(cache, keys[at], KEY_BYTES);
		rc = lade_cache_get(cache, keys[at], KEY_BYTES, &got);
		if (rc == 0)
			lade_cache_release(&got);
		at = (at + step) % KEYS;
	}
	return rc;
}
LADE_TASK_VOID(ask, (cache_ptr, cache), (long, count), (int, step), (int, every))

static int on_cores(cache_ptr cache, int cores, int step, int every)
{
	if (cores == 1)
		return ask(cache, ops, step, every);
	return lade_join(lade_do(ask, cache, ops, step, every),
			 lade_on(1, lade_do(ask, cache, ops, step, every)));
}

/* One kind of use of one kind of cache. */
struct use {
	const char *work;
	bool shared; /* the cache is for all cores */
	int cores;   /* that use it */
	int step;    /* from key to key */
	int every;   /* 0: every get is a hit */
};

static int measure(cache_ptr cache, const struct use *use)
{
	long count = ops * use->cores;
	double cpu, wall;
	int rc = ask(cache, KEYS, 1, 0);

	/* The threads are there. */
	if (rc == 0 && use->cores > 1)
		rc = lade_join(lade_on(1, lade_do(ask, cache, 1000, use->step, use->every)));
	cpu = now_ns(CLOCK_PROCESS_CPUTIME_ID);
	wall = now_ns(CLOCK_MONOTONIC);
	if (rc == 0)
		rc = on_cores(cache, use->cores, use->step, use->every);
	printf("%s\tlade\tns\tCPU ns\t%.1f\n", use->work,
	       (now_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu) / (double)count);
	printf("%s\tlade\trate\t1/s/core\t%.0f\n", use->work,
	       (double)ops * 1e9 / (now_ns(CLOCK_MONOTONIC) - wall));
	return rc;
}

static int measure_new(const struct use *use)
{
	struct lade_cache_config config = { .load = load, .drop = free, .cores = use->shared };
	cache_ptr cache = NULL;
	int rc = 0;

	lade_scope(s, &rc) {
		rc = lade_cache_new(&s, &config, &cache);
		if (rc == 0)
			rc = measure(cache, use);
		lade_cache_close(cache, true);
	}
	return rc;
}

static int works(void)
{
	static const struct use uses[] = {
		{ "get_of_one_core", false, 1, 1, 0 },
		{ "get_of_several_by_1", true, 1, 1, 0 },
		{ "get_of_several_by_2", true, 2, 1, 0 },
		{ "get_of_several_by_2_hot_key", true, 2, 0, 0 },
		{ "get_of_one_core_with_misses", false, 1, 1, 64 },
		{ "get_of_several_by_1_with_misses", true, 1, 1, 64 },
		{ "get_of_several_by_2_with_misses", true, 2, 1, 64 },
	};
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < sizeof(uses) / sizeof(*uses); i++)
		rc = measure_new(&uses[i]);
	return rc;
}
LADE_TASK_VOID(works)

int main(int argc, char **argv)
{
	if (argc > 1)
		ops = atol(argv[1]);
	for (int i = 0; i < KEYS; i++)
		snprintf(keys[i], KEY_BYTES, "http://example.org/some/path/%d", i);
	return lade_main(lade_do(works));
}
