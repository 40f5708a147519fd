/* SPDX-License-Identifier: MIT */
/* entry.c - what a cache keeps: values, errors and marks by key, bounded in bytes.
 *
 * INVARIANT  an entry is in the policy (kept) exactly while it has a record, a kept error or an
 * unshared mark; its weight there covers key, overhead and value. Bytes of records that lost
 * their entry while in use are orphan_bytes until they are released: they count against the
 * budget too (rule 29). */

#include "cache/cache_priv.h"

#include <string.h>

struct wanted {
	const void *key;
	size_t len;
};

static bool entry_equal(const void *entry, const void *key)
{
	const struct entry *e = entry;
	const struct wanted *w = key;

	return e->key_len == w->len && (!w->len || memcmp(e->key, w->key, w->len) == 0);
}

void lade_entry_init_map(struct lade_map *map, size_t max)
{
	lade_map_init(map, entry_equal, max);
}

struct entry *lade_entry_find(struct lade_cache *c, const void *key, size_t len)
{
	struct wanted w = { key, len };

	return lade_map_find(&c->map, lade_hash(&c->hash_key, key, len), &w);
}

struct entry *lade_entry_make(struct lade_cache *c, const void *key, size_t len)
{
	struct entry *e = lade_entry_find(c, key, len);

	if (e)
		return e;
	e = lade_calloc(1, sizeof(*e) + len);
	if (!e)
		return NULL;
	e->hash = lade_hash(&c->hash_key, key, len);
	e->key_len = (uint32_t)len;
	if (len)
		memcpy(e->key, key, len);
	if (lade_map_insert(&c->map, e->hash, e) < 0) {
		lade_free(e);
		return NULL;
	}
	return e;
}

static bool has_content(const struct entry *e)
{
	return e->record || e->negative_rc || e->unshared_until_ns;
}

static size_t weight_of(const struct entry *e)
{
	size_t overhead = sizeof(*e) + sizeof(struct lade_map_slot) * 2;

	if (e->record)
		overhead += sizeof(*e->record) + e->record->bytes;
	return overhead + e->key_len;
}

void lade_entry_tidy(struct lade_cache *c, struct entry *e)
{
	if (e->kept) {
		lade_evict_remove(&c->policy.evict, &e->evict);
		e->kept = false;
	}
	if (has_content(e)) {
		e->evict.bytes = weight_of(e);
		lade_evict_insert(&c->policy.evict, &e->evict, e->hash);
		e->kept = true;
	} else if (!e->flight) {
		lade_map_remove(&c->map, e->hash, e);
		lade_free(e);
	}
}

static void drop_record(struct lade_cache *c, struct entry *e)
{
	struct lade_cache_record *r = e->record;

	e->record = NULL;
	if (!r)
		return;
	/* In use beyond the entry: it counts until it is released, which may be this moment. */
	if (__atomic_load_n(&r->refs, __ATOMIC_RELAXED) > 1) {
		r->orphan = true;
		lade_orphans_add(c, r->bytes);
	}
	lade_record_leave(c, r);
}

void lade_entry_forget(struct lade_cache *c, struct entry *e)
{
	drop_record(c, e);
	e->negative_rc = 0;
	e->unshared_until_ns = e->negative_until_ns = 0;
	e->backoff_until_ns = e->backoff_ns = 0;
}

/* Makes room: never waits, and never evicts what is in use from under its users. */
static void make_room(struct lade_cache *c)
{
	while (c->policy.evict.bytes + lade_orphans(c) > c->config.max_bytes) {
		struct lade_evict_entry *victim = lade_evict_next(&c->policy.evict);
		struct entry *e;

		if (!victim)
			return;
		e = LADE_CONTAINER(victim, struct entry, evict);
		e->kept = false;
		c->stats.evicted++;
		lade_entry_forget(c, e);
		lade_entry_tidy(c, e);
	}
}

void lade_entry_store(struct lade_cache *c, struct entry *e, struct lade_cache_record *record)
{
	lade_entry_forget(c, e);
	lade_ref_up(c, &record->refs);
	e->record = record;
	lade_entry_tidy(c, e);
	make_room(c);
}

int64_t lade_cache_later(struct lade_cache *c, struct lade_duration d)
{
	struct lade_loop *loop = c->here;

	if (c->config.jitter_percent && d.ns != INT64_MAX && d.ns > 0) {
		uint64_t most = (uint64_t)d.ns / 100 * c->config.jitter_percent;

		loop->random ^= loop->random << 13;
		loop->random ^= loop->random >> 7;
		loop->random ^= loop->random << 17;
		d.ns -= most ? (int64_t)(loop->random % most) : 0;
	}
	return lade_instant_after((struct lade_instant){ lade_loop_now(loop) }, d).mono_ns;
}

struct lade_cache_record *lade_record_new(struct lade_cache *c, void *value, size_t bytes,
					  struct lade_duration ttl)
{
	struct lade_cache_record *r = lade_malloc(sizeof(*r));

	if (!r)
		return NULL;
	*r = (struct lade_cache_record){
		.cache = c,
		.refs = 1,
		.value = value,
		.bytes = bytes,
		.fresh_until_ns = ttl.ns ? lade_cache_later(c, ttl) : 0,
	};
	lade_ref_up(c, &c->refs);
	return r;
}

static void free_record(struct lade_cache_record *record)
{
	struct lade_cache *c = record->cache;

	if (record->orphan)
		lade_orphans_add(c, 0 - record->bytes);
	if (c->config.drop && record->value)
		c->config.drop(record->value);
	lade_free(record);
	lade_cache_unref(c);
}

void lade_record_unref(struct lade_cache_record *record)
{
	if (record && lade_ref_down(record->cache, &record->refs))
		free_record(record);
}

void lade_record_leave(struct lade_cache *c, struct lade_cache_record *record)
{
	if (!record || !lade_ref_down(c, &record->refs))
		return;
	/* The reference that the list has is given up behind the step. */
	record->refs = 1;
	record->next = c->effects.unused;
	c->effects.unused = record;
	c->effects.any = true;
}

void lade_cache_unref(struct lade_cache *c)
{
	if (!lade_ref_down(c, &c->refs))
		return;
	lade_seats_done(c);
	lade_s3fifo_done(&c->policy);
	lade_map_done(&c->map);
	if (c->free_arg)
		c->free_arg(c->config.arg);
	lade_free(c);
}
