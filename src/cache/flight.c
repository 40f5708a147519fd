/* SPDX-License-Identifier: MIT */
/* flight.c - loads: children of the cache's scope, which callers join and leave.
 *
 * DESIGN
 * A flight's end is one step without a suspension: store, detach from the key, answer everybody.
 * Until then a caller finds the flight, afterwards the value, never neither. A caller is a waiter
 * in the flight's list; its cancel takes that waiter out and touches nothing else.
 *
 * The flight's deadline is a timer of its own beside the deadline that cancels the load: a loader
 * that does not stop keeps its task, but no longer its key. What such a load still brings is stored
 * if nothing newer has begun, else thrown away and counted.
 *
 * A loader that returns without a value, or is cancelled, ends like any other: lade_flight_end is
 * the only way out of its task. */

#include "cache/cache_priv.h"

#include <errno.h>
#include <string.h>

#define BACKOFF_FIRST_NS INT64_C(100000000)
#define BACKOFF_MAX_NS INT64_C(30000000000)

struct flight *lade_flight_new(struct lade_cache *c, struct entry *e, const void *key, size_t len)
{
	struct flight *f = lade_calloc(1, sizeof(*f) + len);

	if (!f)
		return NULL;
	f->cache = c;
	f->entry = e;
	f->shared = e != NULL;
	f->generation = ++c->generation;
	f->key_len = (uint32_t)len;
	if (len)
		memcpy(f->key, key, len);
	lade_list_init(&f->waiters);
	lade_list_append(&c->flights, &f->link);
	c->stats.flights++;
	if (e) {
		lade_strays_disown(c, key, len);
		e->flight = f;
		e->generation = f->generation;
	}
	return f;
}

static bool is_of(const struct flight *f, const void *key, size_t len)
{
	return f->key_len == len && (!len || memcmp(f->key, key, len) == 0);
}

void lade_strays_disown(struct lade_cache *c, const void *key, size_t len)
{
	struct lade_link *it;

	if (!c->strays)
		return;
	for (it = c->flights.next; it != &c->flights; it = it->next) {
		struct flight *f = LADE_CONTAINER(it, struct flight, link);

		if (f->stray && is_of(f, key, len))
			f->shared = false;
	}
}

void lade_flight_detach(struct flight *f)
{
	if (f->entry && f->entry->flight == f)
		f->entry->flight = NULL;
	f->entry = NULL;
	f->shared = false;
}

static void free_flight(struct flight *f)
{
	struct lade_cache *c = f->cache;

	lade_timer_stop(c->loop, &f->deadline);
	lade_timer_stop(c->loop, &f->linger);
	lade_list_remove(&f->link);
	c->strays -= f->stray;
	c->stats.flights--;
	lade_free(f);
	lade_event_set(&c->landed);
}

void lade_flight_drop(struct flight *f)
{
	struct entry *e = f->entry;

	lade_flight_detach(f);
	if (e)
		lade_entry_tidy(f->cache, e);
	free_flight(f);
}

/* Waiters */

static void answer(struct waiter *w, int rc, struct lade_cache_record *record)
{
	w->flight = NULL;
	w->rc = rc;
	w->record = rc == 0 ? record : NULL;
	if (w->record)
		w->record->refs++;
	if (--w->waiting->left == 0)
		lade_complete(&w->waiting->op, 0);
}

void lade_flight_wake(struct flight *f, int rc, struct lade_cache_record *record)
{
	struct lade_link *it;

	while ((it = lade_list_pop(&f->waiters))) {
		f->waiting--;
		answer(LADE_CONTAINER(it, struct waiter, link), rc, record);
	}
}

void lade_flight_join(struct flight *f, struct waiter *w)
{
	lade_timer_stop(f->cache->loop, &f->linger);
	w->flight = f;
	lade_list_append(&f->waiters, &w->link);
	f->waiting++;
}

/* What a cancelled flight's load runs in, if it is running and nobody else wants it. */
static struct lade_node *unwanted_node(struct flight *f)
{
	if (!f->batch)
		return f->node;
	return --f->batch->wanted == 0 ? f->batch->node : NULL;
}

void lade_flight_cancel(struct flight *f, const char *site)
{
	struct entry *e = f->entry;
	struct lade_node *node;

	if (f->cancelled)
		return;
	f->cancelled = true;
	lade_flight_detach(f);
	if (e)
		lade_entry_tidy(f->cache, e);
	node = unwanted_node(f);
	if (node)
		lade_request(f->cache->loop, node, LEVEL_HARD, LADE_REASON_USER, site,
			     lade_task_name());
}

static void linger_over(struct lade_timer *timer)
{
	lade_flight_cancel(LADE_CONTAINER(timer, struct flight, linger), "an abandoned load");
}

/* The last waiter has left. */
static void abandoned(struct flight *f)
{
	struct lade_cache *c = f->cache;

	if (f->refresh)
		return;
	c->stats.abandoned++;
	if (c->config.on_abandon == LADE_ABANDON_CANCEL)
		lade_flight_cancel(f, "an abandoned load");
	else if (c->config.on_abandon == LADE_ABANDON_LINGER)
		lade_timer_start(c->loop, &f->linger,
				 lade_instant_after(
					 (struct lade_instant){ lade_loop_now(c->loop) },
					 c->config.abandon_linger)
					 .mono_ns,
				 TIMER_DEADLINE, linger_over);
}

static void leave(struct waiter *w)
{
	struct flight *f = w->flight;

	if (!f)
		return;
	w->flight = NULL;
	lade_list_remove(&w->link);
	if (--f->waiting == 0)
		abandoned(f);
}

static enum lade_abort_result waiting_abort(struct lade_op *op)
{
	struct waiting *w = LADE_CONTAINER(op, struct waiting, op);

	for (uint32_t i = 0; i < w->count; i++) {
		leave(&w->waiters[i]);
		lade_record_unref(w->waiters[i].record);
		w->waiters[i].record = NULL;
	}
	return LADE_ABORTED;
}

int lade_waiting_wait(struct waiting *w, const char *site)
{
	if (w->left == 0)
		return 0;
	w->op = (struct lade_op){ .what = "a load", .site = site, .abort = waiting_abort };
	return lade_op_wait(&w->op);
}

bool lade_flight_is_mine(const struct flight *f)
{
	const struct lade_node *wanted = f->batch ? f->batch->node : f->node;

	for (const struct lade_node *n = lade_cur->scope; wanted && n; n = n->outer)
		if (n == wanted)
			return true;
	return false;
}

bool lade_flight_mine_of(const struct lade_cache *c, const void *key, size_t len)
{
	const struct lade_link *it;

	for (it = c->flights.next; it != &c->flights; it = it->next) {
		const struct flight *f = LADE_CONTAINER(it, struct flight, link);

		if (is_of(f, key, len) && lade_flight_is_mine(f))
			return true;
	}
	return false;
}

/* The end of a load */

static struct lade_cache_record *take_value(struct lade_cache *c, struct lade_cache_load *load)
{
	struct lade_cache_record *r = lade_record_new(c, load->value, load->bytes, load->ttl);

	if (!r && c->config.drop && load->value)
		c->config.drop(load->value);
	return r;
}

/* The key that a load may be stored under: its own entry, or, when it is late, one that nothing
 * newer has touched. */
static struct entry *place_for(struct flight *f)
{
	struct entry *e = f->entry;

	if (e || f->cancelled || !f->shared)
		return e;
	e = lade_entry_make(f->cache, f->key, f->key_len);
	if (e && (e->generation > f->generation || e->record)) {
		lade_entry_tidy(f->cache, e);
		e = NULL;
	}
	return e;
}

static void note_uncacheable(struct flight *f)
{
	struct lade_cache *c = f->cache;
	struct entry *e = f->entry;

	c->stats.uncacheable++;
	if (!e)
		return;
	lade_entry_forget(c, e);
	e->unshared_until_ns = lade_cache_later(c, c->config.unshared_ttl);
	lade_flight_detach(f);
	lade_entry_tidy(c, e);
}

/* Gives an uncacheable value to the first waiter; the others load for themselves. */
static void wake_first(struct flight *f, struct lade_cache_record *record)
{
	struct lade_link *it = lade_list_pop(&f->waiters);

	if (it) {
		f->waiting--;
		answer(LADE_CONTAINER(it, struct waiter, link), 0, record);
	}
	lade_flight_wake(f, RC_RETRY, NULL);
}

static void end_well(struct flight *f, const struct lade_cache_load *load,
		     struct lade_cache_record *r)
{
	struct lade_cache *c = f->cache;
	struct entry *e;

	if (load->uncacheable) {
		note_uncacheable(f);
		wake_first(f, r);
		lade_record_unref(r);
		return;
	}
	e = place_for(f);
	if (!lade_cache_fits(c, load->bytes)) {
		c->stats.too_large++;
	} else if (e && load->ttl.ns) {
		lade_entry_store(c, e, r);
		e = lade_entry_find(c, f->key, f->key_len);
	} else if (!e) {
		c->stats.late++;
	}
	if (e && e->flight == f) {
		lade_flight_detach(f);
		lade_entry_tidy(c, e);
	} else if (e && !f->entry) {
		lade_entry_tidy(c, e);
	}
	lade_flight_wake(f, 0, r);
	lade_record_unref(r);
}

static bool stale_allowed(const struct lade_cache *c, const struct lade_cache_record *r)
{
	return c->config.stale_if_error.ns &&
	       lade_instant_after((struct lade_instant){ r->fresh_until_ns },
				  c->config.stale_if_error)
			       .mono_ns > lade_loop_now(c->loop);
}

static void back_off(struct lade_cache *c, struct entry *e)
{
	e->backoff_ns = e->backoff_ns ? 2 * e->backoff_ns : BACKOFF_FIRST_NS;
	if (e->backoff_ns > BACKOFF_MAX_NS)
		e->backoff_ns = BACKOFF_MAX_NS;
	e->backoff_until_ns = lade_cache_later(c, (struct lade_duration){ e->backoff_ns });
}

/* The load of a key with a value has failed: no other for a while.  Returns the value, with a
 * reference, if it may be given instead; else NULL. */
static struct lade_cache_record *fall_back(struct lade_cache *c, struct entry *e)
{
	struct lade_cache_record *stale = e ? e->record : NULL;

	if (!stale)
		return NULL;
	back_off(c, e);
	if (!stale_allowed(c, stale))
		return NULL;
	stale->refs++;
	return stale;
}

static void keep_error(struct lade_cache *c, struct entry *e, int rc)
{
	if (!e || e->record || !c->config.negative_ttl.ns)
		return;
	e->negative_rc = rc;
	e->negative_until_ns = lade_cache_later(c, c->config.negative_ttl);
}

/* A failed load: who waits gets the stale value where that is allowed, else the error, once. A
 * cancel is nobody's answer: neither kept nor passed on as one. */
static void end_badly(struct flight *f, int rc)
{
	struct lade_cache *c = f->cache;
	struct entry *e = f->entry;
	struct lade_cache_record *stale;

	c->stats.failed++;
	stale = fall_back(c, e);
	if (rc == -ECANCELED)
		rc = c->closed || c->scope->head.eff == LEVEL_HARD ? -ESHUTDOWN : -EIO;
	else
		keep_error(c, e, rc);
	lade_flight_detach(f);
	if (e)
		lade_entry_tidy(c, e);
	lade_flight_wake(f, stale ? 0 : rc, stale);
	lade_record_unref(stale);
}

static void flight_end(struct flight *f, int rc, struct lade_cache_load *load)
{
	struct lade_cache_record *r = rc < 0 ? NULL : take_value(f->cache, load);

	if (r)
		end_well(f, load, r);
	else
		end_badly(f, rc < 0 ? rc : -ENOMEM);
	free_flight(f);
}

/* The deadline has passed and the loader has not ended: the key is free again. */
static void flight_overdue(struct lade_timer *timer)
{
	struct flight *f = LADE_CONTAINER(timer, struct flight, deadline);
	struct lade_cache *c = f->cache;
	struct entry *e = f->entry;
	struct lade_cache_record *stale = fall_back(c, e);

	if (e) {
		e->flight = NULL;
		f->entry = NULL; /* still shared: place_for may find its key free */
		f->stray = true;
		c->strays++;
		lade_entry_tidy(c, e);
	}
	c->stats.expired += f->waiting;
	lade_flight_wake(f, stale ? 0 : -ETIME, stale);
	lade_record_unref(stale);
}

static void arm_deadline(struct flight *f)
{
	struct lade_cache *c = f->cache;

	/* After the deadline that cancels the load, so that a load that stops in time ends. */
	lade_timer_start(c->loop, &f->deadline,
			 lade_instant_after((struct lade_instant){ lade_loop_now(c->loop) },
					    c->config.load_timeout)
				 .mono_ns,
			 TIMER_BUDGET, flight_overdue);
}

static int run_load(struct flight *f, struct lade_cache_load *load)
{
	struct lade_cache *c = f->cache;
	struct lade_cache_key key = { f->key, f->key_len };
	int rc;

	rc = lade_sem_acquire(&c->turns, 1);
	if (rc < 0)
		return rc;
	c->stats.loads++;
	rc = c->config.load(c->config.arg, &key, load);
	lade_sem_release(&c->turns, 1);
	return rc;
}

static int cache_load(struct flight *f)
{
	struct lade_cache_load load = { .ttl = f->cache->config.ttl };
	int rc;

	f->node = lade_cur->root;
	rc = f->cancelled ? -ECANCELED
			  : lade_within(f->cache->config.load_timeout, run_load(f, &load));
	f->node = NULL;
	flight_end(f, rc, &load);
	/* A failure is told to those who wait for it; the task itself has done its work. */
	return rc == -ECANCELED ? rc : 0;
}

static void cache_load_drop(struct flight *f)
{
	flight_end(f, -ECANCELED, NULL);
}
LADE_TASK_VOID_WITH(cache_load, (.drop_args = cache_load_drop), (struct flight *, f))

void lade_flight_start(struct flight *f)
{
	struct cache_load_task task = cache_load_task(f);

	arm_deadline(f);
	lade_task_start(f->cache->scope, &task.head, sizeof(task), TASK_FORGIVEN, "a cache's load");
}

/* Several keys by one load */

static void free_batch(struct batch *b)
{
	lade_free(b->flights);
	lade_free(b->keys);
	lade_free(b->loads);
	lade_free(b);
}

static void batch_end(struct batch *b, int rc)
{
	for (uint32_t i = 0; i < b->count; i++) {
		int own = rc < 0 ? rc : b->loads[i].rc;

		flight_end(b->flights[i], own, &b->loads[i]);
	}
	free_batch(b);
}

static int run_load_many(struct batch *b)
{
	struct lade_cache *c = b->cache;
	int rc = lade_sem_acquire(&c->turns, 1);

	if (rc < 0)
		return rc;
	c->stats.loads++;
	rc = c->config.load_many(c->config.arg, b->keys, b->loads, b->count);
	lade_sem_release(&c->turns, 1);
	return rc;
}

static int cache_load_many(struct batch *b)
{
	int rc;

	b->node = lade_cur->root;
	rc = b->wanted ? lade_within(b->cache->config.load_timeout, run_load_many(b))
		       : -ECANCELED;
	b->node = NULL;
	batch_end(b, rc);
	return 0;
}

static void cache_load_many_drop(struct batch *b)
{
	batch_end(b, -ECANCELED);
}
LADE_TASK_VOID_WITH(cache_load_many, (.drop_args = cache_load_many_drop), (struct batch *, b))

int lade_flights_start(struct lade_cache *c, struct flight **flights, uint32_t count)
{
	struct batch *b = lade_calloc(1, sizeof(*b));
	struct cache_load_many_task task = cache_load_many_task(b);

	if (!b)
		return -ENOMEM;
	b->cache = c;
	b->count = b->wanted = count;
	b->flights = lade_calloc(count, sizeof(struct flight *));
	b->keys = lade_calloc(count, sizeof(*b->keys));
	b->loads = lade_calloc(count, sizeof(*b->loads));
	if (!b->flights || !b->keys || !b->loads) {
		free_batch(b);
		return -ENOMEM;
	}
	for (uint32_t i = 0; i < count; i++) {
		struct flight *f = flights[i];

		b->flights[i] = f;
		b->keys[i] = (struct lade_cache_key){ f->key, f->key_len };
		b->loads[i].ttl = c->config.ttl;
		f->batch = b;
		f->index = i;
		arm_deadline(f);
	}
	lade_task_start(c->scope, &task.head, sizeof(task), TASK_FORGIVEN, "a cache's load_many");
	return 0;
}
