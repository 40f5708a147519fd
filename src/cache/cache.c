/* SPDX-License-Identifier: MIT */
/* cache.c - what callers see: a value from the cache, from a load under way, or from a new one.
 *
 * DESIGN
 * Looking a key up and joining or beginning its flight is one step; so is a flight's end, in
 * flight.c. In between callers wait, each for itself. On several cores a fresh value is found
 * without a step, under the lock of the caller's core alone (cores.c), and the rest is the same.
 *
 * LIMITS  bytes, loads at once, loads waiting for their turn, waiters of a key: all in the
 * configuration; beyond the last two the answer is -EBUSY. Keys have at most 65,536 bytes. */

#include "cache/cache_priv.h"

#include <errno.h>
#include <string.h>

#define ENTRIES_MAX ((size_t)1 << 28)
#define TYPICAL_ENTRY_BYTES 256
#define MANY_MAX 100000u
#define STEP_KEYS 64 /* keys of lade_cache_get_many that one step looks up */

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

static void init_lists(struct lade_cache *c)
{
	lade_entry_init_map(&c->map, ENTRIES_MAX);
	lade_list_init(&c->flights);
	lade_list_init(&c->effects.woken);
	lade_list_init(&c->effects.begun);
	lade_list_init(&c->effects.asked);
	lade_sem_init(&c->turns, c->config.max_loads);
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
	c->scope = scope;
	c->loop = c->here = scope->loop;
	rc = config->cores ? lade_seats_init(c) : 0;
	if (rc < 0) {
		lade_s3fifo_done(&c->policy);
		lade_free(c);
		return rc;
	}
	init_lists(c);
	c->sole = c->seats ? NULL : c->loop;
	c->free_arg = free_arg;
	c->refs = 1;
	if (c->seats)
		lade_scope_keep(c);
	*ret = c;
	return 0;
}

int lade_cache_new(struct lade_scope *scope, const struct lade_cache_config *config,
		   struct lade_cache **ret)
{
	return lade_cache_new_owning(scope, config, NULL, ret);
}

/* The loop that a call comes from which does not suspend. */
static struct lade_loop *caller(struct lade_cache *c, const char *what)
{
	if (c->seats)
		return lade_seat_here(c, what)->loop;
	if (lade_unlikely(lade_cur->loop && lade_cur->loop != c->loop))
		lade_cache_astray(what);
	return c->loop;
}

struct lade_cache_stats lade_cache_stats(struct lade_cache *cache)
{
	struct lade_cache_stats stats;

	lade_cache_lock(cache, caller(cache, "lade_cache_stats"));
	stats = cache->stats;
	for (uint32_t i = 0; i < cache->seat_count; i++) {
		stats.hits += cache->seats[i].hits;
		stats.stale += cache->seats[i].stale;
	}
	stats.bytes = cache->policy.evict.bytes + lade_orphans(cache);
	stats.entries = cache->policy.evict.len;
	lade_cache_unlock(cache);
	return stats;
}

/* Answers without a wait */

/* Returns whether the value is stale. */
static bool give(struct lade_cache_record *r, int64_t now_ns, struct lade_cached *ret)
{
	int64_t late_ns = now_ns - r->fresh_until_ns;
	bool stale = r->fresh_until_ns && late_ns >= 0;

	*ret = (struct lade_cached){ .value = r->value,
				     .bytes = r->bytes,
				     .stale = stale,
				     .stale_for = lade_ns(stale ? late_ns : 0),
				     .record = r };
	return stale;
}

/* Gives what came with a wait, or was kept for it; in no step. */
static void give_late(struct lade_cache *c, struct lade_cache_record *r, struct lade_cached *ret)
{
	struct lade_loop *loop = lade_cur->loop;

	if (!give(r, loop->now_ns, ret))
		return;
	if (c->seats) {
		struct seat *seat = &c->seats[loop->core];

		pthread_mutex_lock(&seat->lock);
		seat->stale++;
		pthread_mutex_unlock(&seat->lock);
	} else {
		c->stats.stale++;
	}
}

static bool give_stored(struct lade_cache *c, struct entry *e, int64_t now_ns,
			struct lade_cached *ret)
{
	lade_evict_hit(&c->policy.evict, &e->evict);
	lade_ref_up(c, &e->record->refs);
	return give(e->record, now_ns, ret);
}

static bool is_fresh(const struct entry *e, int64_t now_ns)
{
	return e && e->record && now_ns < e->record->fresh_until_ns;
}

/* A fresh value without a step, under the lock of the caller's core. Returns 0 or -EAGAIN. */
static int look_here(struct lade_cache *c, const void *key, size_t len, struct lade_cached *ret,
		     const char *site)
{
	struct seat *seat = lade_seat_here(c, site);
	int64_t now_ns = lade_loop_now(seat->loop);
	struct entry *e;
	int rc = -EAGAIN;

	pthread_mutex_lock(&seat->lock);
	e = c->closed ? NULL : lade_entry_find(c, key, len);
	if (is_fresh(e, now_ns)) {
		seat->hits++;
		(void)give_stored(c, e, now_ns, ret);
		rc = 0;
	}
	pthread_mutex_unlock(&seat->lock);
	return rc;
}

static bool within_window(const struct lade_cache *c, const struct entry *e,
			  struct lade_duration window)
{
	return e->record && window.ns &&
	       lade_instant_after((struct lade_instant){ e->record->fresh_until_ns }, window)
			       .mono_ns > c->here->now_ns;
}

/* Begins a load that nobody waits for. */
static void refresh(struct lade_cache *c, struct entry *e)
{
	struct flight *f;

	if (e->flight || e->backoff_until_ns > c->here->now_ns ||
	    c->stats.flights >= c->config.max_flights)
		return;
	f = lade_flight_new(c, e, e->key, e->key_len);
	if (!f)
		return;
	f->refresh = true;
	lade_flight_begin(f);
}

/* What can be said at once.  Returns 0, an error, or -EAGAIN: there must be a load. */
static int look_up(struct lade_cache *c, struct entry *e, struct lade_cached *ret)
{
	int64_t now_ns = lade_loop_now(c->here);

	if (!e)
		return -EAGAIN;
	if (is_fresh(e, now_ns)) {
		c->stats.hits++;
		(void)give_stored(c, e, now_ns, ret);
		return 0;
	}
	if (e->negative_rc && now_ns < e->negative_until_ns) {
		c->stats.negative++;
		return e->negative_rc;
	}
	if (within_window(c, e, c->config.stale_while_revalidate)) {
		c->stats.stale += give_stored(c, e, now_ns, ret);
		refresh(c, e);
		return 0;
	}
	/* A load has just failed: until the next is due, the stale value is the answer. */
	if (e->backoff_until_ns > now_ns && within_window(c, e, c->config.stale_if_error)) {
		c->stats.stale += give_stored(c, e, now_ns, ret);
		return 0;
	}
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

static bool is_unshared(const struct lade_cache *c, const struct entry *e)
{
	return e && e->unshared_until_ns > c->here->now_ns;
}

/* Makes a waiter wait for a key, in a step; *ret_new: a flight to begin, or NULL. */
static int join(struct waiting *waiting, struct waiter *w, const void *key, size_t len, bool alone,
		struct flight **ret_new)
{
	struct flight *f;
	bool is_new;
	int rc;

	rc = find_flight(waiting->cache, key, len, alone, &f, &is_new);
	if (rc < 0)
		return rc;
	w->waiting = waiting;
	waiting->count++;
	waiting->left++;
	lade_flight_join(f, w);
	*ret_new = is_new ? f : NULL;
	return 0;
}

/* join, for one key: a new flight begins. */
static int join_one(struct waiting *waiting, const void *key, size_t len, bool alone)
{
	struct flight *f;
	int rc = join(waiting, waiting->waiters, key, len, alone, &f);

	if (rc == 0 && f)
		lade_flight_begin(f);
	return rc;
}

/* Waits for one flight.  Returns the answer; RC_RETRY: load alone. */
static int await_one(struct waiting *waiting, struct lade_cached *ret)
{
	const struct waiter *w = waiting->waiters;
	int rc = lade_waiting_wait(waiting);

	if (rc < 0)
		return rc;
	if (w->rc == 0)
		give_late(waiting->cache, w->record, ret);
	return w->rc;
}

/* The flight's result was for another caller.  Returns the answer. */
static int wait_alone(struct lade_cache *c, const void *key, size_t len, struct lade_cached *ret,
		      const char *site)
{
	struct waiter w = { .rc = 0 };
	struct waiting waiting;
	int rc;

	lade_waiting_init(&waiting, c, &w, site);
	lade_cache_lock(c, lade_cur->loop);
	if (c->closed)
		rc = -ESHUTDOWN;
	else if (lade_cancelled()) /* one that came with the answer to the first wait */
		rc = -ECANCELED;
	else
		rc = join_one(&waiting, key, len, true);
	lade_cache_unlock(c);
	if (rc == 0)
		rc = await_one(&waiting, ret);
	return rc == RC_RETRY ? -EIO : rc;
}

/* With a stale value at hand: waits so long for a fresh one. */
static int await_softly(struct waiting *waiting, struct lade_cache_record *stale,
			struct lade_cached *ret)
{
	struct lade_cache *c = waiting->cache;
	int rc = lade_within(c->config.soft_timeout, await_one(waiting, ret));

	if (rc == -ETIME) {
		give_late(c, stale, ret);
		return 0;
	}
	lade_record_unref(stale);
	return rc;
}

/* The value that a caller may get when the soft time-out is over, with a reference, or NULL. */
static struct lade_cache_record *keep_stale(struct lade_cache *c, struct entry *e, bool alone)
{
	if (alone || !e || !e->record || !c->config.soft_timeout.ns)
		return NULL;
	lade_evict_hit(&c->policy.evict, &e->evict);
	lade_ref_up(c, &e->record->refs);
	return e->record;
}

/* Ends the step in which the key was looked up, and waits. */
static int wait_for(struct lade_cache *c, struct entry *e, const void *key, size_t len,
		    struct lade_cached *ret, const char *site)
{
	struct lade_cache_record *stale = NULL;
	struct waiter w = { .rc = 0 };
	bool alone = is_unshared(c, e);
	struct waiting waiting;
	int rc;

	lade_waiting_init(&waiting, c, &w, site);
	rc = join_one(&waiting, key, len, alone);
	if (rc == 0)
		stale = keep_stale(c, e, alone);
	lade_cache_unlock(c);
	if (rc == 0)
		rc = stale ? await_softly(&waiting, stale, ret) : await_one(&waiting, ret);
	return rc == RC_RETRY ? wait_alone(c, key, len, ret, site) : rc;
}

/* What is not a hit. Ends the step in which the key was looked up. */
static int get_in_step(struct lade_cache *c, struct entry *e, const void *key, size_t len,
		       struct lade_cached *ret, const char *site)
{
	int rc = look_up(c, e, ret);

	if (rc != -EAGAIN) {
		lade_cache_unlock(c);
		return rc;
	}
	lade_ref_up(c, &c->refs); /* it may be closed while we wait */
	rc = wait_for(c, e, key, len, ret, site);
	lade_cache_unref(c);
	return rc;
}

/* From a cache of several cores, from a closed one, or by mistake. */
static int get_shared(struct lade_cache *c, const void *key, size_t len, struct lade_cached *ret,
		      const char *site)
{
	if (!c->seats) {
		(void)caller(c, site);
		return -ESHUTDOWN;
	}
	if (look_here(c, key, len, ret, site) == 0)
		return 0;
	lade_cache_lock(c, lade_cur->loop);
	if (!c->closed)
		return get_in_step(c, lade_entry_find(c, key, len), key, len, ret, site);
	lade_cache_unlock(c);
	return -ESHUTDOWN;
}

int lade_cache_get_at(struct lade_cache *cache, const void *key, size_t key_len,
		      struct lade_cached *ret, const char *site)
{
	struct entry *e;
	int rc = lade_enter(site);

	if (rc < 0)
		return rc;
	if (key_len > CACHE_KEY_MAX)
		return -EMSGSIZE;
	if (lade_unlikely(lade_cur->loop != cache->sole))
		return get_shared(cache, key, key_len, ret, site);
	e = lade_entry_find(cache, key, key_len);
	if (is_fresh(e, lade_loop_now(cache->sole))) {
		cache->stats.hits++;
		(void)give_stored(cache, e, cache->sole->now_ns, ret);
		return 0;
	}
	return get_in_step(cache, e, key, key_len, ret, site);
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

static int many_init(struct many *m, const char *site)
{
	m->waiters = lade_calloc(m->count, sizeof(*m->waiters));
	m->key_of = lade_calloc(m->count, sizeof(*m->key_of));
	m->begun = lade_calloc(m->count, sizeof(struct flight *));
	lade_waiting_init(&m->waiting, m->cache, m->waiters, site);
	m->waiting.left = 1; /* we are among those it waits for, until all keys are looked up */
	if (m->waiters && m->key_of && m->begun)
		return 0;
	many_done(m);
	return -ENOMEM;
}

/* Looks a key up, or makes the caller wait for it; in a step. */
static void many_key(struct many *m, size_t i)
{
	const struct lade_cache_key *key = &m->keys[i];
	struct lade_cache *c = m->cache;
	struct entry *e = lade_entry_find(c, key->bytes, key->len);
	int rc = c->closed ? -ESHUTDOWN : look_up(c, e, &m->ret[i]);
	struct flight *f;

	if (rc == -EAGAIN) {
		rc = join(&m->waiting, &m->waiters[m->waiting.count], key->bytes, key->len,
			  is_unshared(c, e), &f);
		if (rc == 0)
			m->key_of[m->waiting.count - 1] = (uint32_t)i;
		if (rc == 0 && f)
			m->begun[m->begun_count++] = f;
	}
	m->ret[i].rc = rc;
}

static void many_keys(struct many *m, size_t from, size_t to)
{
	lade_cache_lock(m->cache, lade_cur->loop);
	for (size_t i = from; i < to; i++)
		if (m->ret[i].rc == -EAGAIN)
			many_key(m, i);
	lade_cache_unlock(m->cache);
}

/* What can be said of a key without a step; -EAGAIN: nothing. */
static int many_look(struct many *m, size_t i)
{
	const struct lade_cache_key *key = &m->keys[i];

	if (key->len > CACHE_KEY_MAX)
		return -EMSGSIZE;
	if (!m->cache->seats)
		return -EAGAIN;
	return look_here(m->cache, key->bytes, key->len, &m->ret[i], m->waiting.op.site);
}

/* Looks all keys up. Nobody else's step waits for more than STEP_KEYS of them. */
static void look_up_many(struct many *m)
{
	for (size_t from = 0; from < m->count; from += STEP_KEYS) {
		size_t to = from + STEP_KEYS < m->count ? from + STEP_KEYS : m->count;
		bool again = false;

		for (size_t i = from; i < to; i++) {
			m->ret[i].rc = many_look(m, i);
			again |= m->ret[i].rc == -EAGAIN;
		}
		if (again)
			many_keys(m, from, to);
	}
}

static void give_up_begun(struct many *m, int rc)
{
	for (uint32_t i = 0; i < m->begun_count; i++) {
		lade_flight_wake(m->begun[i], rc, NULL);
		lade_flight_drop(m->begun[i]);
	}
}

/* Has the loads begin.  Returns whether there is anything to wait for. */
static bool begin_many(struct many *m)
{
	const struct lade_cache_config *config = &m->cache->config;
	bool waits;
	int rc = 0;

	lade_cache_lock(m->cache, lade_cur->loop);
	if (m->begun_count && config->load_many && (m->begun_count > 1 || !config->load))
		rc = lade_flights_begin(m->cache, m->begun, m->begun_count);
	else
		for (uint32_t i = 0; i < m->begun_count; i++)
			lade_flight_begin(m->begun[i]);
	if (rc < 0)
		give_up_begun(m, rc);
	waits = --m->waiting.left > 0;
	lade_cache_unlock(m->cache);
	return waits;
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
			give_late(m->cache, w->record, ret);
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

	look_up_many(m);
	rc = begin_many(m) ? lade_waiting_wait(&m->waiting) : 0;
	if (rc == 0) {
		take_answers(m);
		rc = retry_alone(m, site);
	}
	return rc;
}

/* Whether it is closed, and a check that it may be used here at all. */
static bool is_closed(struct lade_cache *c, const char *site)
{
	bool closed;

	lade_cache_lock(c, caller(c, site));
	closed = c->closed;
	lade_cache_unlock(c);
	return closed;
}

int lade_cache_get_many_at(struct lade_cache *cache, const struct lade_cache_key *keys,
			   size_t count, struct lade_cached *ret, const char *site)
{
	struct many m = { .cache = cache, .keys = keys, .ret = ret, .count = count };
	int rc = lade_enter(site);

	if (rc < 0)
		return rc;
	if (is_closed(cache, site))
		return -ESHUTDOWN;
	if (count == 0)
		return 0;
	if (count > MANY_MAX)
		return -EMSGSIZE;
	memset(ret, 0, count * sizeof(*ret));
	rc = many_init(&m, site);
	if (rc < 0)
		return rc;
	lade_ref_up(cache, &cache->refs);
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

static int set(struct lade_cache *c, const void *key, size_t len, void *value, size_t bytes,
	       struct lade_duration ttl)
{
	struct entry *e = lade_entry_make(c, key, len);
	struct lade_cache_record *r;

	if (!e)
		return -ENOMEM;
	r = lade_record_new(c, value, bytes, ttl);
	if (!r) {
		lade_entry_tidy(c, e);
		return -ENOMEM;
	}
	e->generation = ++c->generation;
	lade_strays_disown(c, key, len);
	if (e->flight)
		lade_flight_detach(e->flight);
	lade_entry_store(c, e, r);
	lade_record_leave(c, r);
	return 0;
}

int lade_cache_set(struct lade_cache *cache, const void *key, size_t key_len, void *value,
		   size_t bytes, struct lade_duration ttl)
{
	int rc;

	if (key_len > CACHE_KEY_MAX || !lade_cache_fits(cache, bytes))
		return -EMSGSIZE;
	if (ttl.ns == 0) { /* for those who wait, of whom there are none */
		lade_cache_invalidate(cache, key, key_len);
		if (cache->config.drop)
			cache->config.drop(value);
		return 0;
	}
	lade_cache_lock(cache, caller(cache, "lade_cache_set"));
	rc = set(cache, key, key_len, value, bytes, ttl.ns < 0 ? cache->config.ttl : ttl);
	lade_cache_unlock(cache);
	return rc;
}

static void invalidate(struct lade_cache *c, struct entry *e)
{
	e->generation = ++c->generation;
	if (e->flight)
		lade_flight_detach(e->flight);
	lade_entry_forget(c, e);
	lade_entry_tidy(c, e);
}

void lade_cache_invalidate(struct lade_cache *cache, const void *key, size_t key_len)
{
	struct entry *e;

	lade_cache_lock(cache, caller(cache, "lade_cache_invalidate"));
	lade_strays_disown(cache, key, key_len);
	e = lade_entry_find(cache, key, key_len);
	if (e)
		invalidate(cache, e);
	lade_cache_unlock(cache);
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

/* Nobody is told of a load any more, and nobody begins one. */
static bool shut(struct lade_cache *c, bool cancel, const char *site)
{
	struct lade_link *it, *next;
	bool was_closed;

	lade_cache_lock(c, caller(c, site));
	was_closed = c->closed;
	c->closed = true;
	c->sole = NULL;
	c->effects.keeper = c->keeper;
	c->keeper = NULL;
	for (it = c->flights.next; !was_closed && it != &c->flights; it = next) {
		struct flight *f = LADE_CONTAINER(it, struct flight, link);

		next = it->next;
		lade_flight_wake(f, -ESHUTDOWN, NULL);
		if (cancel)
			lade_flight_cancel(f, site);
	}
	lade_cache_unlock(c);
	return !was_closed;
}

/* Waits until all flights have ended, on whatever core. */
static void await_loads(struct lade_cache *c, const char *site)
{
	struct lade_op op;
	bool waits;

	do {
		op = (struct lade_op){ .what = "a cache's loads",
				       .site = site,
				       .loop = lade_cur->loop };
		lade_cache_lock(c, lade_cur->loop);
		waits = !lade_list_empty(&c->flights);
		c->closer = waits ? &op : NULL;
		lade_cache_unlock(c);
		if (waits && op.state != OP_DONE)
			(void)lade_op_wait(&op);
	} while (waits);
}

void lade_cache_close_at(struct lade_cache *cache, bool cancel, const char *site)
{
	if (!cache || !shut(cache, cancel, site))
		return;
	await_loads(cache, site);
	lade_cache_lock(cache, caller(cache, site));
	forget_everything(cache);
	lade_cache_unlock(cache);
	lade_cache_unref(cache);
}
