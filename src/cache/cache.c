/* SPDX-License-Identifier: MIT */
/* cache.c - what callers see: a value from the cache, from a load under way, or from a new one.
 *
 * DESIGN
 * Looking a key up and joining or beginning its flight is one step without a suspension; so is a
 * flight's end (flight.c). In between callers wait, each for itself. On several cores these two
 * steps become two critical sections of a stripe's lock, and a waiter's answer a message; nothing
 * else here would change.
 *
 * LIMITS  bytes, loads at once, loads waiting for their turn, waiters of a key: all in the
 * configuration; beyond the last two the answer is -EBUSY. Keys have at most 65,536 bytes. */

#include "cache/cache_priv.h"
#include "sync/select_priv.h"

#include <errno.h>
#include <string.h>

#define ENTRIES_MAX ((size_t)1 << 28)
#define TYPICAL_ENTRY_BYTES 256
#define MANY_MAX 100000u

static struct lade_duration or_default(struct lade_duration d, struct lade_duration other)
{
	return d.ns ? d : other;
}

static void fill_defaults(struct lade_cache_config *c)
{
	c->max_bytes = c->max_bytes ? c->max_bytes : (size_t)64 << 20;
	c->max_value_bytes = c->max_value_bytes ? c->max_value_bytes : c->max_bytes / 4;
	c->ttl = or_default(c->ttl, lade_s(60));
	c->load_timeout = or_default(c->load_timeout, lade_s(30));
	c->unshared_ttl = or_default(c->unshared_ttl, lade_s(10));
	c->max_loads = c->max_loads ? c->max_loads : 256;
	c->max_flights = c->max_flights ? c->max_flights : 10000;
	c->max_waiters = c->max_waiters ? c->max_waiters : 10000;
}

int lade_cache_new_owning(struct lade_scope *scope, const struct lade_cache_config *config,
			  void (*free_arg)(void *), struct lade_cache **ret)
{
	struct lade_cache *c;
	int rc;

	if ((!config->load && !config->load_many) || config->jitter_percent > 50)
		return -EINVAL;
	c = lade_calloc(1, sizeof(*c));
	if (!c)
		return -ENOMEM;
	c->config = *config;
	fill_defaults(&c->config);
	rc = lade_hash_key_random(&c->hash_key);
	if (rc == 0)
		rc = lade_s3fifo_init(&c->policy, c->config.max_bytes,
				      c->config.max_bytes / TYPICAL_ENTRY_BYTES + 16);
	if (rc < 0) {
		lade_free(c);
		return rc;
	}
	lade_entry_init_map(&c->map, ENTRIES_MAX);
	c->free_arg = free_arg;
	c->scope = scope;
	c->loop = scope->loop;
	c->refs = 1;
	lade_list_init(&c->flights);
	lade_sem_init(&c->turns, c->config.max_loads);
	lade_event_init(&c->landed);
	*ret = c;
	return 0;
}

int lade_cache_new(struct lade_scope *scope, const struct lade_cache_config *config,
		   struct lade_cache **ret)
{
	return lade_cache_new_owning(scope, config, NULL, ret);
}

struct lade_cache_stats lade_cache_stats(const struct lade_cache *cache)
{
	struct lade_cache_stats stats = cache->stats;

	stats.bytes = cache->policy.evict.bytes + cache->orphan_bytes;
	stats.entries = cache->policy.evict.len;
	return stats;
}

/* Answers without a wait */

static int give(struct lade_cache *c, struct lade_cache_record *r, struct lade_cached *ret)
{
	int64_t late_ns = c->loop->now_ns - r->fresh_until_ns;
	bool stale = r->fresh_until_ns && late_ns >= 0;

	*ret = (struct lade_cached){ .value = r->value,
				     .bytes = r->bytes,
				     .stale = stale,
				     .stale_for = lade_ns(stale ? late_ns : 0),
				     .record = r };
	c->stats.stale += stale;
	return 0;
}

static int give_stored(struct lade_cache *c, struct entry *e, struct lade_cached *ret)
{
	lade_evict_hit(&c->policy.evict, &e->evict);
	e->record->refs++;
	return give(c, e->record, ret);
}

static bool within_window(const struct lade_cache *c, const struct entry *e,
			  struct lade_duration window)
{
	return e->record && window.ns &&
	       lade_instant_after((struct lade_instant){ e->record->fresh_until_ns }, window)
			       .mono_ns > c->loop->now_ns;
}

/* Begins a load that nobody waits for. */
static void refresh(struct lade_cache *c, struct entry *e)
{
	struct flight *f;

	if (e->flight || e->backoff_until_ns > c->loop->now_ns ||
	    c->stats.flights >= c->config.max_flights)
		return;
	f = lade_flight_new(c, e, e->key, e->key_len);
	if (!f)
		return;
	f->refresh = true;
	lade_flight_start(f);
}

/* What can be said at once.  Returns 0, an error, or -EAGAIN: there must be a load. */
static int look_up(struct lade_cache *c, struct entry *e, struct lade_cached *ret)
{
	int64_t now_ns = lade_loop_now(c->loop);

	if (!e)
		return -EAGAIN;
	if (e->record && now_ns < e->record->fresh_until_ns) {
		c->stats.hits++;
		return give_stored(c, e, ret);
	}
	if (e->negative_rc && now_ns < e->negative_until_ns) {
		c->stats.negative++;
		return e->negative_rc;
	}
	if (within_window(c, e, c->config.stale_while_revalidate)) {
		int rc = give_stored(c, e, ret);

		refresh(c, e);
		return rc;
	}
	/* A load has just failed: until the next is due, the stale value is the answer. */
	if (e->backoff_until_ns > now_ns && within_window(c, e, c->config.stale_if_error))
		return give_stored(c, e, ret);
	return -EAGAIN;
}

/* Waiting for a load */

/* The flight that a caller of this key waits for; *ret_new: it has to be started.
 * @alone: a private one. */
static int find_flight(struct lade_cache *c, const void *key, size_t len, bool alone,
		       struct flight **ret, bool *ret_new)
{
	struct entry *e = alone ? NULL : lade_entry_make(c, key, len);
	struct flight *f;

	*ret_new = false;
	if (alone && lade_flight_mine_of(c, key, len))
		return -EDEADLK;
	if (!alone && !e)
		return -ENOMEM;
	if (e && e->flight && !e->flight->cancelled) {
		f = e->flight;
		if (lade_flight_is_mine(f))
			return -EDEADLK;
		if (f->waiting >= c->config.max_waiters)
			return -EBUSY;
		c->stats.joined++;
		*ret = f;
		return 0;
	}
	f = c->stats.flights < c->config.max_flights ? lade_flight_new(c, e, key, len) : NULL;
	if (!f) {
		if (e)
			lade_entry_tidy(c, e);
		return c->stats.flights < c->config.max_flights ? -ENOMEM : -EBUSY;
	}
	*ret = f;
	*ret_new = true;
	return 0;
}

static bool is_unshared(struct lade_cache *c, const void *key, size_t len)
{
	struct entry *e = lade_entry_find(c, key, len);

	return e && e->unshared_until_ns > c->loop->now_ns;
}

/* Waits for one flight, begun or joined.  Returns the answer; RC_RETRY: load alone. */
static int wait_one(struct lade_cache *c, const void *key, size_t len, bool alone,
		    struct lade_cached *ret, const char *site)
{
	struct waiter w = { .rc = 0 };
	struct waiting waiting = { .waiters = &w, .count = 1, .left = 1 };
	struct flight *f;
	bool is_new;
	int rc;

	rc = find_flight(c, key, len, alone, &f, &is_new);
	if (rc < 0)
		return rc;
	w.waiting = &waiting;
	lade_flight_join(f, &w);
	if (is_new)
		lade_flight_start(f);
	rc = lade_waiting_wait(&waiting, site);
	if (rc < 0)
		return rc;
	if (w.rc == 0)
		return give(c, w.record, ret);
	return w.rc;
}

/* The flight's result was for another caller.  Returns the answer. */
static int wait_alone(struct lade_cache *c, const void *key, size_t len, struct lade_cached *ret,
		      const char *site)
{
	int rc;

	if (c->closed)
		return -ESHUTDOWN;
	/* A cancel that came with the answer to the first wait is not told again. */
	if (lade_cancelled())
		return -ECANCELED;
	rc = wait_one(c, key, len, true, ret, site);
	return rc == RC_RETRY ? -EIO : rc;
}

/* With a stale value at hand: waits so long for a fresh one. */
static int wait_softly(struct lade_cache *c, const void *key, size_t len,
		       struct lade_cached *ret, const char *site)
{
	struct entry *e = lade_entry_find(c, key, len);
	struct lade_cache_record *stale = e->record;
	int rc;

	lade_evict_hit(&c->policy.evict, &e->evict);
	stale->refs++;
	rc = lade_within(c->config.soft_timeout, wait_one(c, key, len, false, ret, site));
	if (rc == -ETIME)
		return give(c, stale, ret);
	lade_record_unref(stale);
	return rc;
}

static int wait_for(struct lade_cache *c, const void *key, size_t len, struct lade_cached *ret,
		    const char *site)
{
	struct entry *e = lade_entry_find(c, key, len);
	bool alone = is_unshared(c, key, len);
	int rc;

	if (!alone && e && e->record && c->config.soft_timeout.ns)
		rc = wait_softly(c, key, len, ret, site);
	else
		rc = wait_one(c, key, len, alone, ret, site);
	return rc == RC_RETRY ? wait_alone(c, key, len, ret, site) : rc;
}

int lade_cache_get_at(struct lade_cache *cache, const void *key, size_t key_len,
		      struct lade_cached *ret, const char *site)
{
	int rc = lade_enter(site);

	if (rc < 0)
		return rc;
	if (cache->closed)
		return -ESHUTDOWN;
	if (key_len > CACHE_KEY_MAX)
		return -EMSGSIZE;
	rc = look_up(cache, lade_entry_find(cache, key, key_len), ret);
	if (rc != -EAGAIN)
		return rc;
	cache->refs++; /* it may be closed while we wait */
	rc = wait_for(cache, key, key_len, ret, site);
	lade_cache_unref(cache);
	return rc;
}

/* Several keys */

/* One call of lade_cache_get_many. */
struct many {
	struct lade_cache *cache;
	const struct lade_cache_key *keys;
	struct lade_cached *ret;
	size_t count;
	struct waiter *waiters;	 /* one for each key that waits */
	uint32_t *key_of;	 /* which key each waiter is for */
	struct flight **begun;	 /* new flights, for one load_many */
	uint32_t begun_count;
	struct waiting waiting;
};

static void many_done(struct many *m)
{
	lade_free(m->waiters);
	lade_free(m->key_of);
	lade_free(m->begun);
}

static int many_init(struct many *m)
{
	m->waiters = lade_calloc(m->count, sizeof(*m->waiters));
	m->key_of = lade_calloc(m->count, sizeof(*m->key_of));
	m->begun = lade_calloc(m->count, sizeof(struct flight *));
	if (m->waiters && m->key_of && m->begun)
		return 0;
	many_done(m);
	return -ENOMEM;
}

static void many_key(struct many *m, size_t i)
{
	const struct lade_cache_key *key = &m->keys[i];
	struct lade_cache *c = m->cache;
	struct waiter *w;
	struct flight *f;
	bool is_new;
	int rc;

	rc = key->len > CACHE_KEY_MAX
		     ? -EMSGSIZE
		     : look_up(c, lade_entry_find(c, key->bytes, key->len), &m->ret[i]);
	if (rc == -EAGAIN)
		rc = find_flight(c, key->bytes, key->len, is_unshared(c, key->bytes, key->len),
				 &f, &is_new);
	else
		f = NULL;
	m->ret[i].rc = rc;
	if (rc < 0 || !f)
		return;
	w = &m->waiters[m->waiting.count];
	m->key_of[m->waiting.count++] = (uint32_t)i;
	m->waiting.left++;
	w->waiting = &m->waiting;
	lade_flight_join(f, w);
	if (is_new)
		m->begun[m->begun_count++] = f;
}

static int start_begun(struct many *m)
{
	if (m->begun_count && m->cache->config.load_many &&
	    (m->begun_count > 1 || !m->cache->config.load))
		return lade_flights_start(m->cache, m->begun, m->begun_count);
	for (uint32_t i = 0; i < m->begun_count; i++)
		lade_flight_start(m->begun[i]);
	return 0;
}

static void release_all(struct many *m)
{
	for (size_t i = 0; i < m->count; i++) {
		lade_cache_release(&m->ret[i]);
		m->ret[i].rc = -ECANCELED;
	}
}

static void take_answers(struct many *m)
{
	for (uint32_t i = 0; i < m->waiting.count; i++) {
		struct lade_cached *ret = &m->ret[m->key_of[i]];
		struct waiter *w = &m->waiters[i];

		if (w->rc == 0)
			give(m->cache, w->record, ret);
		ret->rc = w->rc;
	}
}

/* Keys whose flight was not for us are loaded one by one. */
static int retry_alone(struct many *m, const char *site)
{
	for (size_t i = 0; i < m->count; i++) {
		int rc = m->ret[i].rc;

		if (rc != RC_RETRY)
			continue;
		rc = wait_alone(m->cache, m->keys[i].bytes, m->keys[i].len, &m->ret[i], site);
		if (rc == -ECANCELED)
			return rc;
		m->ret[i].rc = rc;
	}
	return 0;
}

static int get_many(struct many *m, const char *site)
{
	int rc;

	m->waiting.waiters = m->waiters;
	for (size_t i = 0; i < m->count; i++)
		many_key(m, i);
	rc = start_begun(m);
	if (rc < 0) {
		for (uint32_t i = 0; i < m->begun_count; i++) {
			lade_flight_wake(m->begun[i], rc, NULL);
			lade_flight_drop(m->begun[i]);
		}
	}
	rc = lade_waiting_wait(&m->waiting, site);
	if (rc == 0) {
		take_answers(m);
		rc = retry_alone(m, site);
	}
	return rc;
}

int lade_cache_get_many_at(struct lade_cache *cache, const struct lade_cache_key *keys,
			   size_t count, struct lade_cached *ret, const char *site)
{
	struct many m = { .cache = cache, .keys = keys, .ret = ret, .count = count };
	int rc = lade_enter(site);

	if (rc < 0)
		return rc;
	if (cache->closed)
		return -ESHUTDOWN;
	if (count == 0)
		return 0;
	if (count > MANY_MAX)
		return -EMSGSIZE;
	memset(ret, 0, count * sizeof(*ret));
	rc = many_init(&m);
	if (rc < 0)
		return rc;
	cache->refs++;
	rc = get_many(&m, site);
	if (rc < 0)
		release_all(&m);
	many_done(&m);
	lade_cache_unref(cache);
	return rc;
}

void lade_cache_release(struct lade_cached *cached)
{
	struct lade_cache_record *r = cached->record;

	if (!r)
		return;
	lade_record_unref(r);
	*cached = (struct lade_cached){ 0 };
}

/* Changes from outside */

int lade_cache_set(struct lade_cache *cache, const void *key, size_t key_len, void *value,
		   size_t bytes, struct lade_duration ttl)
{
	struct lade_cache_record *r;
	struct entry *e;

	if (key_len > CACHE_KEY_MAX || !lade_cache_fits(cache, bytes))
		return -EMSGSIZE;
	if (ttl.ns == 0) { /* for those who wait, of whom there are none */
		lade_cache_invalidate(cache, key, key_len);
		if (cache->config.drop)
			cache->config.drop(value);
		return 0;
	}
	e = lade_entry_make(cache, key, key_len);
	if (!e)
		return -ENOMEM;
	r = lade_record_new(cache, value, bytes, ttl.ns < 0 ? cache->config.ttl : ttl);
	if (!r) {
		lade_entry_tidy(cache, e);
		return -ENOMEM;
	}
	e->generation = ++cache->generation;
	lade_strays_disown(cache, key, key_len);
	if (e->flight)
		lade_flight_detach(e->flight);
	lade_entry_store(cache, e, r);
	lade_record_unref(r);
	return 0;
}

void lade_cache_invalidate(struct lade_cache *cache, const void *key, size_t key_len)
{
	struct entry *e = lade_entry_find(cache, key, key_len);

	lade_strays_disown(cache, key, key_len);
	if (!e)
		return;
	e->generation = ++cache->generation;
	if (e->flight)
		lade_flight_detach(e->flight);
	lade_entry_forget(cache, e);
	lade_entry_tidy(cache, e);
}

static void forget_everything(struct lade_cache *c)
{
	struct lade_map_iter iter = { 0 };
	struct entry *e;

	while ((e = lade_map_next(&c->map, &iter))) {
		lade_entry_forget(c, e);
		lade_entry_tidy(c, e);
	}
}

void lade_cache_close_at(struct lade_cache *cache, bool cancel, const char *site)
{
	struct lade_link *it, *next;

	if (!cache || cache->closed)
		return;
	cache->closed = true;
	for (it = cache->flights.next; it != &cache->flights; it = next) {
		struct flight *f = LADE_CONTAINER(it, struct flight, link);

		next = it->next;
		lade_flight_wake(f, -ESHUTDOWN, NULL);
		if (cancel)
			lade_flight_cancel(f, site);
	}
	while (!lade_list_empty(&cache->flights)) {
		struct lade_op op = { .what = "a cache's loads", .site = site };
		struct lade_plain_wait wait = { .op = op, .waiter = { .op = &wait.op } };

		lade_event_clear(&cache->landed);
		lade_list_append(&cache->landed.waiters, &wait.waiter.link);
		(void)lade_op_wait(&wait.op);
	}
	forget_everything(cache);
	lade_cache_unref(cache);
}
