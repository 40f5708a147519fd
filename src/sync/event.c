/* SPDX-License-Identifier: MIT */
/* event.c - a flag that tasks wait for, and a count of permits.
 *
 * Permits that are released go to waiters in the order of asking: a large request is not passed
 * by small ones, so it cannot starve. */

#include "sync/select_priv.h"

#include <lade/event.h>

#include <errno.h>

void lade_event_init(struct lade_event *event)
{
	lade_list_init(&event->waiters);
	event->set = false;
}

void lade_event_set(struct lade_event *event)
{
	struct lade_waiter *w;

	event->set = true;
	while ((w = lade_first_waiter(&event->waiters)))
		lade_grant(w, 0);
}

void lade_event_clear(struct lade_event *event)
{
	event->set = false;
}

int lade_event_wait_at(struct lade_event *event, const char *site)
{
	struct lade_plain_wait w = {
		.op = { .what = "an event", .site = site, .abort = lade_waiter_abort },
		.waiter = { .op = &w.op },
	};
	int rc = lade_enter(site);

	if (rc < 0 || event->set)
		return rc;
	lade_list_append(&event->waiters, &w.waiter.link);
	return lade_op_wait(&w.op);
}

static int event_try(struct lade_case *c)
{
	return ((struct lade_event *)c->object)->set ? 0 : -EAGAIN;
}

static int event_arm(struct lade_case *c, struct lade_selecting *s, int index)
{
	struct lade_event *event = c->object;
	struct lade_waiter *w = (void *)c->room;

	*w = (struct lade_waiter){ .selecting = s, .index = index };
	lade_list_append(&event->waiters, &w->link);
	return 0;
}

static bool event_disarm(struct lade_case *c)
{
	lade_list_remove(&((struct lade_waiter *)(void *)c->room)->link);
	return false;
}

static const struct lade_case_type event_case = { event_try, event_arm, event_disarm, NULL };

struct lade_case lade_event_case(struct lade_event *event)
{
	return (struct lade_case){ .type = &event_case, .object = event };
}

static void observe(const struct lade_sem *sem, int64_t count)
{
	const struct lade_ctl *ctl = lade_cur;

	if (lade_unlikely(ctl->gate & GATE_OBSERVED) && ctl->loop->observer->permits)
		ctl->loop->observer->permits(ctl->loop->observer, sem, count);
}

void lade_sem_init(struct lade_sem *sem, uint32_t permits)
{
	observe(sem, 0);
	lade_list_init(&sem->waiters);
	sem->permits = permits;
}

int lade_sem_try_acquire(struct lade_sem *sem, uint32_t count)
{
	if (!lade_list_empty(&sem->waiters) || sem->permits < count)
		return -EAGAIN;
	sem->permits -= count;
	observe(sem, count);
	return 0;
}

/* Serves waiters in order while the permits last. */
static void serve(struct lade_sem *sem)
{
	while (!lade_list_empty(&sem->waiters)) {
		struct lade_waiter *first =
			LADE_CONTAINER(sem->waiters.next, struct lade_waiter, link);
		uint32_t count = *(uint32_t *)first->slot;

		if (sem->permits < count)
			return;
		sem->permits -= count;
		lade_grant(first, 0);
	}
}

/* A wait for permits. */
struct acquire {
	struct lade_plain_wait wait;
	struct lade_sem *sem;
	uint32_t count;
};

static enum lade_abort_result acquire_abort(struct lade_op *op)
{
	struct acquire *a = LADE_CONTAINER(op, struct acquire, wait.op);

	lade_list_remove(&a->wait.waiter.link);
	/* Those behind may fit where this one did not. */
	serve(a->sem);
	return LADE_ABORTED;
}

int lade_sem_acquire_at(struct lade_sem *sem, uint32_t count, const char *site)
{
	struct acquire a = {
		.wait = { .op = { .what = "a permit", .site = site, .abort = acquire_abort },
			  .waiter = { .op = &a.wait.op, .slot = &a.count } },
		.sem = sem,
		.count = count,
	};
	int rc = lade_enter(site);

	if (rc < 0 || lade_sem_try_acquire(sem, count) == 0)
		return rc;
	lade_list_append(&sem->waiters, &a.wait.waiter.link);
	rc = lade_op_wait(&a.wait.op);
	if (rc == 0)
		observe(sem, count);
	return rc;
}

void lade_sem_release(struct lade_sem *sem, uint32_t count)
{
	observe(sem, -(int64_t)count);
	/* Permits that were never taken are given back here: there is no sum to keep. */
	if (__builtin_add_overflow(sem->permits, count, &sem->permits))
		sem->permits = UINT32_MAX;
	serve(sem);
}
