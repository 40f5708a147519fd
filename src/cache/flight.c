/* SPDX-License-Identifier: MIT */
/* flight.c - loads: children of the cache's scope, which callers join and leave.
 *
 * DESIGN
 * A flight's end is one step: store, detach from the key, answer everybody. Until then a caller
 * finds the flight, afterwards the value, never neither, on whatever core. A caller is a waiter in
 * the flight's list; its cancel takes that waiter out and touches nothing else. One that has been
 * given all its answers by another core's step is told to wait for the mail that is on its way.
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
	f->loop = c->here;
	f->seat = c->here == c->loop ? NULL : &c->seats[c->here->core];
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

	lade_timer_stop(f->loop, &f->deadline);
	lade_timer_stop(f->loop, &f->linger);
	lade_list_remove(&f->link);
	c->strays -= f->stray;
	f->ended = true;
	if (!f->told)
		lade_free(f);
	if (c->closer && lade_list_empty(&c->flights)) {
		c->effects.closer = c->closer;
		c->effects.any = true;
		c->closer = NULL;
	}
}

void lade_flight_drop(struct flight *f)
{
	struct entry *e = f->entry;

	lade_flight_detach(f);
	if (e)
		lade_entry_tidy(f->cache, e);
	f->cache->stats.flights--;
	free_flight(f);
}

/* Waiters */

static void answer(struct waiter *w, int rc, struct lade_cache_record *record)
{
	struct lade_cache *c = w->waiting->cache;

	w->flight = NULL;
	w->rc = rc;
	w->record = rc == 0 ? record : NULL;
	if (w->record)
		lade_ref_up(c, &record->refs);
	if (--w->waiting->left > 0)
		return;
	lade_list_append(&c->effects.woken, &w->waiting->op.link);
	c->effects.any = true;
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
	if (f->loop == f->cache->here)
		lade_timer_stop(f->loop, &f->linger);
	else
		f->linger_void = true;
	w->flight = f;
	lade_list_append(&f->waiters, &w->link);
	f->waiting++;
}

static struct lade_node *node_of(const struct flight *f)
{
	return f->batch ? f->batch->node : f->node;
}

/* On its loop: the load is asked to end, unless it is for others too. One that has not begun yet
 * will see for itself. */
static void be_asked(struct flight *f)
{
	if (!node_of(f) || (f->batch && f->batch->wanted))
		return;
	lade_list_append(&f->cache->effects.asked, &f->turn);
	f->cache->effects.any = true;
}

static void linger_over(struct lade_timer *timer)
{
	struct flight *f = LADE_CONTAINER(timer, struct flight, linger);
	struct lade_cache *c = f->cache;

	lade_cache_lock(c, f->loop);
	if (!f->linger_void)
		lade_flight_cancel(f, "an abandoned load");
	lade_cache_unlock(c);
}

static void start_linger(struct flight *f)
{
	struct lade_cache *c = f->cache;
	struct lade_instant now = { lade_loop_now(f->loop) };

	f->linger_void = false;
	lade_timer_stop(f->loop, &f->linger);
	lade_timer_start(f->loop, &f->linger,
			 lade_instant_after(now, c->config.abandon_linger).mono_ns,
			 TIMER_DEADLINE, linger_over);
}

/* The flight's loop looks at what others have made of it. */
static void take_look(struct lade_mail *mail)
{
	struct flight *f = LADE_CONTAINER(mail, struct flight, mail);
	struct lade_cache *c = f->cache;

	lade_cache_lock(c, f->loop);
	f->told = false;
	if (f->ended)
		lade_free(f);
	else if (f->cancelled)
		be_asked(f);
	else if (!f->waiting)
		start_linger(f);
	lade_cache_unlock(c);
	lade_cache_unref(c);
}

/* Has the flight's loop look at it. */
static void tell(struct flight *f)
{
	if (f->told)
		return;
	f->told = true;
	f->mail.take = take_look;
	lade_ref_up(f->cache, &f->cache->refs);
	lade_mail_send(f->loop, &f->mail);
}

void lade_flight_cancel(struct flight *f, const char *site)
{
	struct lade_cache *c = f->cache;
	struct entry *e = f->entry;

	if (f->cancelled)
		return;
	f->cancelled = true;
	f->why = site;
	lade_flight_detach(f);
	if (e)
		lade_entry_tidy(c, e);
	if (f->batch)
		f->batch->wanted--;
	if (f->loop == c->here)
		be_asked(f);
	else
		tell(f);
}

void lade_flight_ask(struct flight *f)
{
	struct lade_node *node = node_of(f);

	if (node)
		lade_request(f->loop, node, LEVEL_HARD, LADE_REASON_USER, f->why,
			     lade_task_name());
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
	else if (c->config.on_abandon == LADE_ABANDON_LINGER && f->loop == c->here)
		start_linger(f);
	else if (c->config.on_abandon == LADE_ABANDON_LINGER)
		tell(f);
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
	struct lade_cache *c = w->cache;
	bool waits;

	lade_cache_lock(c, op->loop);
	waits = w->left > 0;
	for (uint32_t i = 0; waits && i < w->count; i++) {
		leave(&w->waiters[i]);
		lade_record_leave(c, w->waiters[i].record);
		w->waiters[i].record = NULL;
	}
	lade_cache_unlock(c);
	return waits ? LADE_ABORTED : LADE_PENDING;
}

void lade_waiting_init(struct waiting *w, struct lade_cache *c, struct waiter *waiters,
		       const char *site)
{
	*w = (struct waiting){ .cache = c, .waiters = waiters };
	lade_op_init(&w->op, "a load", site, waiting_abort);
	w->op.loop = lade_cur->loop;
}

int lade_waiting_wait(struct waiting *w)
{
	return w->op.state == OP_DONE ? 0 : lade_op_wait(&w->op);
}

bool lade_flight_is_mine(const struct flight *f)
{
	const struct lade_node *wanted;

	if (f->loop != lade_cur->loop)
		return false;
	wanted = node_of(f);
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
		lade_record_leave(c, r);
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
	lade_record_leave(c, r);
}

static bool stale_allowed(const struct lade_cache *c, const struct lade_cache_record *r)
{
	return c->config.stale_if_error.ns &&
	       lade_instant_after((struct lade_instant){ r->fresh_until_ns },
				  c->config.stale_if_error)
			       .mono_ns > lade_loop_now(c->here);
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
	lade_ref_up(c, &stale->refs);
	return stale;
}

static void keep_error(struct lade_cache *c, struct entry *e, int rc)
{
	if (!e || e->record || !c->config.negative_ttl.ns)
		return;
	e->negative_rc = rc;
	e->negative_until_ns = lade_cache_later(c, c->config.negative_ttl);
}

/* What a cancelled load, which is nobody's answer, is to those who wait. */
static int why_cancelled(const struct flight *f)
{
	if (f->cache->closed)
		return -ESHUTDOWN;
	if (!f->scope)
		return f->seat->refused;
	return f->scope->head.eff == LEVEL_HARD ? -ESHUTDOWN : -EIO;
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
		rc = why_cancelled(f);
	else
		keep_error(c, e, rc);
	lade_flight_detach(f);
	if (e)
		lade_entry_tidy(c, e);
	lade_flight_wake(f, stale ? 0 : rc, stale);
	lade_record_leave(c, stale);
}

/* Who closes the cache waits for the second step: by then what the first has pushed out is
 * dropped. */
static void flight_end(struct flight *f, int rc, struct lade_cache_load *load)
{
	struct lade_cache *c = f->cache;
	struct lade_cache_record *r = NULL;

	lade_cache_lock(c, f->loop);
	lade_ref_up(c, &c->refs); /* for the second step's own end */
	c->stats.flights--;
	if (rc >= 0)
		r = lade_record_new(c, load->value, load->bytes, load->ttl);
	if (r)
		end_well(f, load, r);
	else
		end_badly(f, rc < 0 ? rc : -ENOMEM);
	lade_cache_unlock(c);
	if (rc >= 0 && !r && c->config.drop && load->value)
		c->config.drop(load->value);
	lade_cache_lock(c, f->loop);
	free_flight(f);
	lade_cache_unlock(c);
	lade_cache_unref(c);
}

/* The deadline has passed and the loader has not ended: the key is free again. */
static void flight_overdue(struct lade_timer *timer)
{
	struct flight *f = LADE_CONTAINER(timer, struct flight, deadline);
	struct lade_cache *c = f->cache;
	struct lade_cache_record *stale;
	struct entry *e;

	lade_cache_lock(c, f->loop);
	e = f->entry;
	stale = fall_back(c, e);
	if (e) {
		e->flight = NULL;
		f->entry = NULL; /* still shared: place_for may find its key free */
		f->stray = true;
		c->strays++;
		lade_entry_tidy(c, e);
	}
	c->stats.expired += f->waiting;
	lade_flight_wake(f, stale ? 0 : -ETIME, stale);
	lade_record_leave(c, stale);
	lade_cache_unlock(c);
}

static void arm_deadline(struct flight *f)
{
	struct lade_instant now = { lade_loop_now(f->loop) };

	/* After the deadline that cancels the load, so that a load that stops in time ends. */
	lade_timer_start(f->loop, &f->deadline,
			 lade_instant_after(now, f->cache->config.load_timeout).mono_ns,
			 TIMER_BUDGET, flight_overdue);
}

void lade_flight_arm(struct flight *f)
{
	for (uint32_t i = 0; f->batch && i < f->batch->count; i++)
		arm_deadline(f->batch->flights[i]);
	if (!f->batch)
		arm_deadline(f);
}

static int take_turn(struct lade_cache *c, struct lade_loop *loop)
{
	int rc = c->places ? lade_shared_channel_reserve_at(c->places, "a cache's load") :
			     lade_sem_acquire(&c->turns, 1);

	if (rc < 0)
		return rc;
	lade_cache_lock(c, loop);
	c->stats.loads++;
	lade_cache_unlock(c);
	return 0;
}

static void give_turn(struct lade_cache *c)
{
	if (c->places)
		lade_shared_channel_unreserve(c->places);
	else
		lade_sem_release(&c->turns, 1);
}

static int load_one(const struct lade_cache_config *config, const struct lade_cache_key *key,
		    struct lade_cache_load *load)
{
	int rc;

	if (config->load)
		return config->load(config->arg, key, load);
	rc = config->load_many(config->arg, key, load, 1);
	return rc < 0 ? rc : load->rc;
}

static int run_load(struct flight *f, struct lade_cache_load *load)
{
	struct lade_cache *c = f->cache;
	struct lade_cache_key key = { f->key, f->key_len };
	int rc = take_turn(c, f->loop);

	if (rc < 0)
		return rc;
	rc = load_one(&c->config, &key, load);
	give_turn(c);
	return rc;
}

/* Whether anybody still wants the load that begins now. */
static bool is_wanted(const struct flight *f)
{
	struct lade_cache *c = f->cache;
	bool wanted;

	lade_cache_lock(c, f->loop);
	wanted = f->batch ? f->batch->wanted > 0 : !f->cancelled;
	lade_cache_unlock(c);
	return wanted;
}

/* It counts from the flight's begin, however long its task has been on its way. */
static struct lade_instant deadline_of(const struct flight *f)
{
	return (struct lade_instant){ f->deadline.at_ns };
}

static int cache_load(struct flight *f)
{
	struct lade_cache_load load = { .ttl = f->cache->config.ttl };
	int rc;

	f->node = lade_cur->root;
	rc = is_wanted(f) ? lade_until(deadline_of(f), run_load(f, &load)) : -ECANCELED;
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
	int rc = take_turn(c, b->flights[0]->loop);

	if (rc < 0)
		return rc;
	rc = c->config.load_many(c->config.arg, b->keys, b->loads, b->count);
	give_turn(c);
	return rc;
}

static int cache_load_many(struct batch *b)
{
	int rc;

	b->node = lade_cur->root;
	rc = is_wanted(b->flights[0]) ? lade_until(deadline_of(b->flights[0]), run_load_many(b)) :
					-ECANCELED;
	b->node = NULL;
	batch_end(b, rc);
	return rc == -ECANCELED ? rc : 0;
}

static void cache_load_many_drop(struct batch *b)
{
	batch_end(b, -ECANCELED);
}
LADE_TASK_VOID_WITH(cache_load_many, (.drop_args = cache_load_many_drop), (struct batch *, b))

static struct batch *batch_new(struct lade_cache *c, uint32_t count)
{
	struct batch *b = lade_calloc(1, sizeof(*b));

	if (!b)
		return NULL;
	b->cache = c;
	b->count = count;
	b->flights = lade_calloc(count, sizeof(struct flight *));
	b->keys = lade_calloc(count, sizeof(*b->keys));
	b->loads = lade_calloc(count, sizeof(*b->loads));
	if (b->flights && b->keys && b->loads)
		return b;
	free_batch(b);
	return NULL;
}

void lade_flight_begin(struct flight *f)
{
	lade_list_append(&f->cache->effects.begun, &f->turn);
	f->cache->effects.any = true;
}

int lade_flights_begin(struct lade_cache *c, struct flight **flights, uint32_t count)
{
	struct batch *b = batch_new(c, count);

	if (!b)
		return -ENOMEM;
	for (uint32_t i = 0; i < count; i++) {
		struct flight *f = flights[i];

		b->flights[i] = f;
		b->keys[i] = (struct lade_cache_key){ f->key, f->key_len };
		b->loads[i].ttl = c->config.ttl;
		b->wanted += !f->cancelled;
		f->batch = b;
		f->index = i;
	}
	lade_flight_begin(flights[0]);
	return 0;
}

void lade_flight_run(struct flight *f, struct lade_scope *scope)
{
	struct batch *b = f->batch;

	f->scope = scope;
	for (uint32_t i = 0; b && i < b->count; i++)
		b->flights[i]->scope = scope;
	if (b) {
		struct cache_load_many_task task = cache_load_many_task(b);

		lade_task_start(scope, &task.head, sizeof(task), TASK_FORGIVEN,
				"a cache's load_many");
	} else {
		struct cache_load_task task = cache_load_task(f);

		lade_task_start(scope, &task.head, sizeof(task), TASK_FORGIVEN, "a cache's load");
	}
}

void lade_flight_refuse(struct flight *f)
{
	if (f->batch)
		batch_end(f->batch, -ECANCELED);
	else
		flight_end(f, -ECANCELED, NULL);
}
