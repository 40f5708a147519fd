/* SPDX-License-Identifier: MIT */
/* s3fifo_test.c - the policy against a naive model, and against LRU on a trace. */

#include "cache/s3fifo.h"

#include <errno.h>

#include "base/alloc.h"
#include "base/hash.h"
#include "tap.h"

#define KEYS 20000

struct thing {
	struct lade_evict_entry entry;	/* what the policy sees */
	bool in;			/* it is in the cache */
};

static struct thing things[KEYS];	/* by key */
static struct lade_s3fifo policy;

static void begin(size_t max_bytes, size_t entries_max)
{
	memset(things, 0, sizeof(things));
	NEED_EQ(lade_s3fifo_init(&policy, max_bytes, entries_max), 0);
}

static void end(void)
{
	CHECK(lade_s3fifo_sane(&policy));
	lade_s3fifo_done(&policy);
}

static uint64_t hash_of(size_t key)
{
	return lade_hash_u64(key + 1);
}

static void insert(size_t key, size_t bytes)
{
	things[key].in = true;
	things[key].entry.bytes = bytes;
	lade_evict_insert(&policy.evict, &things[key].entry, hash_of(key));
}

static void hit(size_t key)
{
	lade_evict_hit(&policy.evict, &things[key].entry);
}

static long key_of(struct lade_evict_entry *entry)
{
	return entry ? LADE_CONTAINER(entry, struct thing, entry) - things : -1;
}

static long next(void)
{
	long key = key_of(lade_evict_next(&policy.evict));

	if (key >= 0)
		things[key].in = false;
	return key;
}

static void an_empty_policy_evicts_nobody(void)
{
	begin(100, 10);
	CHECK_EQ(next(), -1);
	end();
}

static void newcomers_nobody_asked_for_leave_in_order(void)
{
	begin(100, 10);
	for (size_t key = 0; key < 5; key++)
		insert(key, 20);
	CHECK_EQ(policy.evict.bytes, 100);
	for (long key = 0; key < 5; key++)
		CHECK_EQ(next(), key);
	CHECK_EQ(policy.evict.bytes, 0);
	CHECK_EQ(policy.evict.len, 0);
	end();
}

static void a_newcomer_leaves_a_cache_that_holds_only_few_newcomers(void)
{
	begin(1000, 10);
	insert(1, 10);
	CHECK_EQ(next(), 1);
	CHECK_EQ(next(), -1);
	end();
}

static void one_hit_is_enough_to_stay(void)
{
	begin(100, 10);
	for (size_t key = 0; key < 5; key++)
		insert(key, 20);
	hit(0);
	hit(3);
	CHECK_EQ(next(), 1);
	CHECK_EQ(next(), 2);
	CHECK_EQ(next(), 4);
	CHECK_EQ(policy.main.len, 2);
	end();
}

static void who_returns_while_remembered_goes_to_the_main_queue(void)
{
	begin(100, 100);
	insert(1, 60);
	hit(1);
	insert(2, 60);
	CHECK_EQ(next(), 2);
	insert(2, 60);
	CHECK_EQ(policy.main.len, 2);
	CHECK_EQ(next(), 1);
	CHECK_EQ(next(), 2);
	insert(1, 60);
	CHECK_EQ(policy.small.len, 1);
	end();
}

static void an_entry_of_the_main_queue_stays_once_for_each_hit(void)
{
	begin(1000, 100);
	for (size_t key = 0; key < 3; key++) {
		insert(key, 10);
		hit(key);
	}
	insert(3, 1000);
	CHECK_EQ(next(), 3);
	CHECK_EQ(policy.main.len, 3);
	for (int i = 0; i < 9; i++)
		hit(0);
	hit(1);
	CHECK_EQ(next(), 2);
	CHECK_EQ(next(), 1);
	CHECK_EQ(atomic_load(&things[0].entry.hits), 1);
	CHECK_EQ(next(), 0);
	end();
}

static void an_entry_can_be_removed_from_either_queue(void)
{
	begin(1000, 100);
	for (size_t key = 0; key < 6; key++)
		insert(key, 10);
	hit(0);
	hit(1);
	insert(6, 1000);
	CHECK_EQ(next(), 2);
	lade_evict_remove(&policy.evict, &things[0].entry);
	lade_evict_remove(&policy.evict, &things[4].entry);
	CHECK_EQ(policy.evict.bytes, 1030);
	CHECK(lade_s3fifo_sane(&policy));
	CHECK_EQ(next(), 3);
	CHECK_EQ(next(), 5);
	CHECK_EQ(next(), 6);
	CHECK_EQ(next(), 1);
	CHECK_EQ(next(), -1);
	end();
}

static void a_new_value_of_a_known_key_is_not_a_newcomer(void)
{
	begin(100, 10);
	for (size_t key = 0; key < 5; key++)
		insert(key, 20);
	hit(0);
	CHECK_EQ(next(), 1);
	CHECK_EQ(policy.main.len, 1);
	hit(0);
	lade_evict_remove(&policy.evict, &things[0].entry);
	insert(0, 30);
	CHECK_EQ(policy.main.len, 1);
	CHECK_EQ(policy.main.bytes, 30);
	CHECK_EQ(atomic_load(&things[0].entry.hits), 1);
	lade_evict_remove(&policy.evict, &things[2].entry);
	insert(2, 20);
	CHECK_EQ(policy.small.len, 3);
	CHECK_EQ(next(), 3);
	end();
}

static void a_call_ends_even_if_everybody_was_asked_for(void)
{
	begin(10, 10);
	for (size_t key = 0; key < 5000; key++) {
		insert(key, 1);
		for (int i = 0; i < 5; i++)
			hit(key);
	}
	CHECK_EQ(next(), 255);
	CHECK_EQ(policy.main.len, 255);
	end();
}

static void without_memory_there_is_no_policy(void)
{
	lade_alloc_fail_at(1);
	CHECK_EQ(lade_s3fifo_init(&policy, 100, 10), -ENOMEM);
	NEED_EQ(lade_s3fifo_init(&policy, 100, 0), 0);
	lade_alloc_fail_at(1);
	memset(things, 0, sizeof(things));
	for (size_t key = 0; key < 100; key++) {
		insert(key, 50);
		CHECK(key < 2 || next() >= 0);
	}
	CHECK_EQ(lade_alloc_fail_at(0), 1);
	end();
}

/* The model: keys in plain arrays, oldest first, and every rule written out again. */
struct model_queue {
	long keys[KEYS];	/* oldest first */
	size_t len;		/* of them */
};

static struct model {
	struct model_queue small, main;
	struct model_queue ghosts[KEYS / 16 + 1];	/* of fingerprints, newest last */
	size_t bytes[KEYS];		/* weight by key */
	int hits[KEYS];			/* by key */
	struct model_queue *removed_from[KEYS];	/* by key, or NULL */
	size_t sets;			/* ghosts in use */
	size_t max_bytes;		/* of the cache */
} *model;

static size_t model_bytes(const struct model_queue *queue)
{
	size_t bytes = 0;

	for (size_t i = 0; i < queue->len; i++)
		bytes += model->bytes[queue->keys[i]];
	return bytes;
}

static void model_append(struct model_queue *queue, long key)
{
	queue->keys[queue->len++] = key;
}

static void model_take_at(struct model_queue *queue, size_t i)
{
	queue->len--;
	memmove(queue->keys + i, queue->keys + i + 1, (queue->len - i) * sizeof(long));
}

static bool model_take(struct model_queue *queue, long key)
{
	for (size_t i = 0; i < queue->len; i++) {
		if (queue->keys[i] == key) {
			model_take_at(queue, i);
			return true;
		}
	}
	return false;
}

static struct model_queue *model_ghosts(long key)
{
	return &model->ghosts[((hash_of((size_t)key) >> 32) * model->sets) >> 32];
}

/* True if it is among the newest, as many as the set's share of the main queue. */
static bool model_recall(struct model_queue *ghosts, long name)
{
	size_t share = (model->main.len + model->sets / 2) / model->sets;

	share = share < 1 ? 1 : share > 16 ? 16 : share;
	for (size_t back = 1; back <= share && back <= ghosts->len; back++) {
		if (ghosts->keys[ghosts->len - back] == name) {
			model_take_at(ghosts, ghosts->len - back);
			return true;
		}
	}
	return false;
}

static void model_insert(long key, size_t bytes)
{
	struct model_queue *queue = model->removed_from[key];

	model->bytes[key] = bytes;
	model->removed_from[key] = NULL;
	if (!queue) {
		long name = (long)(hash_of((size_t)key) >> 32);

		queue = model_recall(model_ghosts(key), name) ? &model->main : &model->small;
		model->hits[key] = 0;
	}
	model_append(queue, key);
}

static bool model_remove(long key)
{
	bool in_small = model_take(&model->small, key);

	model->removed_from[key] = in_small ? &model->small : &model->main;
	return in_small || model_take(&model->main, key);
}

static long model_next(void)
{
	for (int looked = 1;; looked++) {
		bool from_small = model_bytes(&model->small) > model->max_bytes / 10 ||
				  !model->main.len;
		struct model_queue *queue = from_small ? &model->small : &model->main;
		long key;

		if (!queue->len)
			return -1;
		key = queue->keys[0];
		model_take_at(queue, 0);
		if (model->hits[key] && looked < 256) {
			model->hits[key] = from_small ? 0 : model->hits[key] - 1;
			model_append(&model->main, key);
			continue;
		}
		if (from_small) {
			struct model_queue *ghosts = model_ghosts(key);

			model_append(ghosts, (long)(hash_of((size_t)key) >> 32));
			if (ghosts->len > 16)
				model_take_at(ghosts, 0);
		}
		return key;
	}
}

static bool step_agrees(long key, uint32_t seed)
{
	if (things[key].in && seed % 23 == 0) {
		lade_evict_remove(&policy.evict, &things[key].entry);
		things[key].in = false;
		CHECK(model_remove(key));
	} else if (things[key].in) {
		hit((size_t)key);
		model->hits[key] += model->hits[key] < 3;
	} else {
		size_t bytes = 1 + seed % 97;

		insert((size_t)key, bytes);
		model_insert(key, bytes);
	}
	while (policy.evict.bytes > model->max_bytes) {
		if (next() != model_next())
			return false;
	}
	return policy.small.bytes == model_bytes(&model->small) &&
	       policy.main.bytes == model_bytes(&model->main);
}

static void compare_with_model(size_t max_bytes, size_t entries_max, long keys, int steps)
{
	uint32_t seed = 5;

	begin(max_bytes, entries_max);
	model = calloc(1, sizeof(*model));
	CHECK(model);
	if (!model)
		return;
	model->max_bytes = max_bytes;
	model->sets = entries_max / 16 + 1;
	for (int step = 0; step < steps; step++) {
		long key;

		seed = seed * 1664525 + 1013904223;
		/* The product of two is small more often than not: some keys are popular. */
		key = (long)((seed >> 8) % 1000 * ((seed >> 18) % 1000) % 1000000) * keys / 1000000;
		if (!step_agrees(key, seed >> 4)) {
			CHECK_EQ(step, steps);
			break;
		}
		if (step % 101 == 0)
			CHECK(lade_s3fifo_sane(&policy));
	}
	free(model);
	end();
}

static void a_random_history_evicts_whom_the_model_evicts(void)
{
	compare_with_model(5000, 100, 400, 40000);
}

static void a_cache_larger_than_expected_still_agrees_with_the_model(void)
{
	compare_with_model(20000, 10, 2000, 20000);
}

static void a_cache_smaller_than_expected_still_agrees_with_the_model(void)
{
	compare_with_model(400, 5000, 200, 20000);
}

/* A trace: Zipf 1 over the first 10,000 keys, and every 5,000 requests a scan of 1,000
 * keys that nobody asks for again soon. */
static long trace_next(uint32_t *seed, int at)
{
	static double sum[10000];
	size_t low = 0, high = 9999;
	double u;

	if (sum[0] == 0) {
		for (int i = 0; i < 10000; i++)
			sum[i] = (i ? sum[i - 1] : 0) + 1.0 / (i + 1);
	}
	if (at % 6000 >= 5000)
		return 10000 + (at / 6000 * 1000 + at % 6000 - 5000) % 10000;
	*seed = *seed * 1664525 + 1013904223;
	u = sum[9999] * (*seed >> 8) / (double)(1 << 24);
	while (low < high) {
		size_t middle = (low + high) / 2;

		if (sum[middle] < u)
			low = middle + 1;
		else
			high = middle;
	}
	return (long)low;
}

#define TRACE 300000

static int s3fifo_trace_hits(size_t max)
{
	uint32_t seed = 9;
	int hits = 0;

	begin(max, max);
	for (int at = 0; at < TRACE; at++) {
		long key = trace_next(&seed, at);

		if (things[key].in) {
			hits++;
			hit((size_t)key);
			continue;
		}
		insert((size_t)key, 1);
		while (policy.evict.bytes > max)
			next();
	}
	end();
	return hits;
}

static int lru_trace_hits(size_t max)
{
	static struct lade_link links[KEYS];
	static bool in[KEYS];
	struct lade_link order;
	uint32_t seed = 9;
	size_t len = 0;
	int hits = 0;

	memset(in, 0, sizeof(in));
	lade_list_init(&order);
	for (int at = 0; at < TRACE; at++) {
		long key = trace_next(&seed, at);

		if (in[key]) {
			hits++;
			lade_list_remove(&links[key]);
		} else if (len == max) {
			in[lade_list_pop(&order) - links] = false;
		} else {
			len++;
		}
		in[key] = true;
		lade_list_append(&order, &links[key]);
	}
	return hits;
}

static void a_scan_pushes_out_less_than_under_lru(void)
{
	for (size_t max = 200; max <= 2000; max *= 10) {
		int ours = s3fifo_trace_hits(max), lru = lru_trace_hits(max);

		printf("# %zu of 20000 keys: S3-FIFO %.1f %%, LRU %.1f %%\n", max,
		       100.0 * ours / TRACE, 100.0 * lru / TRACE);
		CHECK(ours > lru + TRACE / 25);
	}
}

int main(void)
{
	TAP(an_empty_policy_evicts_nobody);
	TAP(newcomers_nobody_asked_for_leave_in_order);
	TAP(a_newcomer_leaves_a_cache_that_holds_only_few_newcomers);
	TAP(one_hit_is_enough_to_stay);
	TAP(who_returns_while_remembered_goes_to_the_main_queue);
	TAP(an_entry_of_the_main_queue_stays_once_for_each_hit);
	TAP(an_entry_can_be_removed_from_either_queue);
	TAP(a_new_value_of_a_known_key_is_not_a_newcomer);
	TAP(a_call_ends_even_if_everybody_was_asked_for);
	TAP(without_memory_there_is_no_policy);
	TAP(a_random_history_evicts_whom_the_model_evicts);
	TAP(a_cache_larger_than_expected_still_agrees_with_the_model);
	TAP(a_cache_smaller_than_expected_still_agrees_with_the_model);
	TAP(a_scan_pushes_out_less_than_under_lru);
	return tap_done();
}
