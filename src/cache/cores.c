/* SPDX-License-Identifier: MIT */
/* cores.c - one cache for the tasks of several cores: its locks, and where its loads run.
 *
 * DESIGN
 * Each core has a seat with a lock. A hit takes the lock of its own core's seat only, so that hits
 * never wait for each other; a step, which changes the cache, takes those of all seats, in order.
 * A miss pays for that, and costs a load anyway. Whatever a step brings about beyond the cache's
 * own memory is done when the locks have been given back: tasks go on, loads begin or are asked to
 * end, values are dropped. Each of these may begin a step of its own.
 *
 * Loads run on the core where they began, as children of a scope that is there while the core has
 * any. It is asked for by mail and sent by lade_on from a task at home, a child of the cache's
 * scope: so the deadline, the requests and the end of that one hold for all of them, and what a
 * load elsewhere is to the cache's scope is what one at home is. A flight belongs to its loop: only
 * there its timers are touched, its load is asked to end, and it ends. Others send it a mail, which
 * says no more than "look". The mail may come when the cache's scope has ended: a daemon of that
 * scope notes its end, and who asks then is refused.
 *
 * With a virtual clock all cores are one loop, and there is one seat.
 *
 * INVARIANT  a thread holds the locks of all seats, or that of its own, or none; none while it
 * suspends or calls the user's functions. */

#include "cache/cache_priv.h"
#include "core/cores_priv.h"

#include <lade/join.h>

/* Locks and steps */

static void seat_init(struct seat *seat, struct lade_cache *c, uint32_t number)
{
	pthread_mutexattr_t attr;

	/* Held for less time than it takes to sleep: who finds it taken looks again first. */
	pthread_mutexattr_init(&attr);
	pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_ADAPTIVE_NP);
	pthread_mutex_init(&seat->lock, &attr);
	pthread_mutexattr_destroy(&attr);
	lade_list_init(&seat->waiting);
	seat->cache = c;
	seat->number = number;
}

int lade_seats_init(struct lade_cache *c)
{
	uint32_t count = c->loop->backend->exact ? 1 : lade_cores_of(c->loop);
	int rc = lade_shared_channel_new(0, c->config.max_loads, NULL, &c->places);

	if (rc < 0)
		return rc;
	c->seats = lade_calloc(count, sizeof(*c->seats));
	if (!c->seats)
		rc = -ENOMEM;
	for (uint32_t i = 0; rc == 0 && i < count; i++)
		rc = lade_cores_find(c->loop, i, &c->seats[i].loop);
	if (rc < 0) {
		lade_free(c->seats);
		lade_shared_channel_free(c->places);
		return rc;
	}
	for (uint32_t i = 0; i < count; i++)
		seat_init(&c->seats[i], c, i);
	c->seat_count = count;
	c->effects.any = true;
	return 0;
}

void lade_seats_done(struct lade_cache *c)
{
	for (uint32_t i = 0; i < c->seat_count; i++)
		pthread_mutex_destroy(&c->seats[i].lock);
	lade_free(c->seats);
	lade_shared_channel_free(c->places);
}

void lade_cache_astray(const char *site)
{
	lade_misuse("%s: a cache is used outside the core that it was made for; with .cores in its "
		    "configuration it is for the tasks of all",
		    site);
}

/* The seat of the loop whose thread this is, between turns of tasks: a value may be dropped there,
 * and what drops it may look into the cache. */
static struct seat *seat_of_thread(struct lade_cache *c)
{
	for (uint32_t i = 0; i < c->seat_count; i++)
		if (pthread_equal(c->seats[i].loop->thread, pthread_self()))
			return &c->seats[i];
	return NULL;
}

struct seat *lade_seat_here(struct lade_cache *c, const char *site)
{
	const struct lade_loop *loop = lade_cur->loop;
	struct seat *seat = loop ? &c->seats[loop->core % c->seat_count] : seat_of_thread(c);

	if (lade_unlikely(!seat || (loop && seat->loop != loop)))
		lade_cache_astray(site);
	return seat;
}

void lade_cache_lock_all(struct lade_cache *c, struct lade_loop *here)
{
	for (uint32_t i = 0; i < c->seat_count; i++)
		pthread_mutex_lock(&c->seats[i].lock);
	c->here = here;
}

static void move(struct lade_link *to, struct lade_link *from)
{
	struct lade_link *it;

	lade_list_init(to);
	while ((it = lade_list_pop(from)))
		lade_list_append(to, it);
}

static void take_effects(struct lade_cache *c, struct effects *ret)
{
	*ret = c->effects;
	move(&ret->woken, &c->effects.woken);
	move(&ret->begun, &c->effects.begun);
	move(&ret->asked, &c->effects.asked);
	c->effects.unused = NULL;
	c->effects.closer = NULL;
	c->effects.keeper = NULL;
	c->effects.any = c->seat_count > 0;
}

static void complete(struct lade_op *op, const struct lade_loop *here)
{
	if (op->loop == here)
		lade_complete(op, 0);
	else
		lade_complete_remote(op, 0);
}

/* The closer last: it may free the cache. */
static void cause(struct effects *effects, const struct lade_loop *here)
{
	struct lade_cache_record *r = effects->unused, *next;
	struct lade_link *it;

	while ((it = lade_list_pop(&effects->woken)))
		complete(LADE_CONTAINER(it, struct lade_op, link), here);
	while ((it = lade_list_pop(&effects->begun)))
		lade_load_start(LADE_CONTAINER(it, struct flight, turn));
	while ((it = lade_list_pop(&effects->asked)))
		lade_flight_ask(LADE_CONTAINER(it, struct flight, turn));
	for (; r; r = next) {
		next = r->next;
		lade_record_unref(r);
	}
	if (effects->keeper)
		complete(effects->keeper, here);
	if (effects->closer)
		complete(effects->closer, here);
}

void lade_cache_unlock_all(struct lade_cache *c)
{
	const struct lade_loop *here = c->here;
	struct effects effects;

	take_effects(c, &effects);
	for (uint32_t i = c->seat_count; i-- > 0;)
		pthread_mutex_unlock(&c->seats[i].lock);
	cause(&effects, here);
}

/* The end of the cache's scope */

/* A daemon waits for it. */
struct keeping {
	struct lade_op op;
	struct lade_cache *cache;
};

static enum lade_abort_result keeping_abort(struct lade_op *op)
{
	struct lade_cache *c = LADE_CONTAINER(op, struct keeping, op)->cache;
	bool waits;

	lade_cache_lock_all(c, op->loop);
	waits = c->keeper == op;
	if (waits)
		c->keeper = NULL;
	lade_cache_unlock_all(c);
	return waits ? LADE_ABORTED : LADE_PENDING;
}

static void forget_scope(struct lade_cache *c)
{
	c->scope = NULL;
	lade_cache_unref(c);
}

/* Until the scope ends, of which it is a daemon, or the cache is closed. */
static int keep_scope(struct lade_cache *c)
{
	struct keeping k = { .cache = c };
	bool waits;
	int rc = lade_enter(LADE_SITE);

	lade_op_init(&k.op, "the end of a cache", LADE_SITE, keeping_abort);
	k.op.loop = lade_cur->loop;
	lade_cache_lock_all(c, lade_cur->loop);
	waits = rc == 0 && !c->closed;
	if (waits)
		c->keeper = &k.op;
	lade_cache_unlock_all(c);
	if (waits && k.op.state != OP_DONE)
		rc = lade_op_wait(&k.op);
	forget_scope(c);
	return rc;
}

static void keep_scope_drop(struct lade_cache *c)
{
	forget_scope(c);
}
LADE_TASK_VOID_WITH(keep_scope, (.drop_args = keep_scope_drop), (struct lade_cache *, c))

void lade_scope_keep(struct lade_cache *c)
{
	struct keep_scope_task task = keep_scope_task(c);

	lade_ref_up(c, &c->refs);
	lade_task_start(c->scope, &task.head, sizeof(task), TASK_DAEMON | TASK_FORGIVEN,
			"a cache's scope");
}

/* The scope of a core's loads */

static void take_refusal(struct lade_mail *mail)
{
	struct seat *seat = LADE_CONTAINER(mail, struct seat, mail);
	struct lade_link *it;

	seat->asked = false;
	while ((it = lade_list_pop(&seat->waiting)))
		lade_flight_refuse(LADE_CONTAINER(it, struct flight, turn));
	lade_cache_unref(seat->cache);
}

/* There will be no scope; from whatever core says so. */
static void refuse(struct seat *seat, int why)
{
	seat->refused = why;
	seat->mail.take = take_refusal;
	lade_mail_send(seat->loop, &seat->mail);
}

/* Runs on the seat's core: opens the scope and closes it when it has no load any more. From the
 * scope's end on there is no suspension: who begins a load after it finds that there is none. */
static int keep_loads(struct seat *seat)
{
	struct lade_link *it;
	int rc = 0;

	lade_scope(s, &rc, .policy = LADE_ALL) {
		seat->scope = &s;
		while ((it = lade_list_pop(&seat->waiting)))
			lade_flight_run(LADE_CONTAINER(it, struct flight, turn), &s);
	}
	seat->scope = NULL;
	seat->asked = false;
	lade_cache_unref(seat->cache);
	return 0;
}

/* It was cancelled, or had no stack. */
static void keep_loads_drop(struct seat *seat)
{
	refuse(seat, lade_cancelled() ? -ESHUTDOWN : -ENOMEM);
}
LADE_TASK_VOID_WITH(keep_loads, (.drop_args = keep_loads_drop), (struct seat *, seat))

/* Runs at home, for as long as the scope is there. */
static int send_scope(struct seat *seat)
{
	return lade_join(lade_on(seat->number, lade_do(keep_loads, seat)));
}
LADE_TASK_VOID_WITH(send_scope, (.drop_args = keep_loads_drop), (struct seat *, seat))

/* At home. */
static void take_question(struct lade_mail *mail)
{
	struct seat *seat = LADE_CONTAINER(mail, struct seat, mail);
	struct lade_scope *scope = seat->cache->scope;
	struct send_scope_task task = send_scope_task(seat);

	if (!scope || scope->head.eff == LEVEL_HARD)
		refuse(seat, -ESHUTDOWN);
	else
		lade_task_start(scope, &task.head, sizeof(task), TASK_FORGIVEN,
				"a cache's loads on another core");
}

static void ask_for_scope(struct seat *seat)
{
	if (seat->asked)
		return;
	seat->asked = true;
	lade_ref_up(seat->cache, &seat->cache->refs);
	seat->mail.take = take_question;
	lade_mail_send(seat->cache->loop, &seat->mail);
}

void lade_load_start(struct flight *f)
{
	struct seat *seat = f->seat;

	lade_flight_arm(f);
	if (!seat) {
		lade_flight_run(f, f->cache->scope);
	} else if (seat->scope) {
		lade_flight_run(f, seat->scope);
	} else {
		lade_list_append(&seat->waiting, &f->turn);
		ask_for_scope(seat);
	}
}
