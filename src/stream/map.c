/* SPDX-License-Identifier: MIT */
/* map.c - a function over a stream, several calls at a time.
 *
 * DESIGN
 * A worker pulls an item into a free slot and starts a task for it; the slot keeps item and
 * result. A queue of slots says in which order results go out: a slot enters it when its task
 * starts (ordered) or when it ends (as completed); the consumer takes the slot at the queue's head
 * once it is done. So both orders are one mechanism.
 *
 * A failure stops intake at once - a pull that waits is called off, it consumes nothing - and lets
 * the running bodies end; what lies behind the failure in the queue is dropped.
 *
 * LIMITS  1,024 bodies at once. */

#include "stream/stream_priv.h"

#include <errno.h>
#include <string.h>

#define AT_ONCE_MAX 1024

/* One item and its result. */
struct map_slot {
	void *item;
	void *result;
	int rc;	   /* the body's, valid when done */
	bool done; /* the body has ended */
};

struct map {
	struct lade_stream base;
	struct lade_worker worker;
	struct lade_stream *in;			    /* pulled by the worker alone */
	int (*fn)(void *arg, void *item, void *ret); /* the body */
	void *arg;				    /* its first argument */
	uint32_t at_once;			    /* slots */
	bool as_completed;			    /* when a slot enters the queue */
	bool failed;				    /* a body failed: no intake */
	bool ended;				    /* intake and all bodies have ended */
	bool over;				    /* the failure was given: nothing follows */
	int rc;					    /* what next says after the last result */
	struct lade_scope *intake;		    /* round a pull that waits, or NULL */
	struct lade_event news;			    /* the consumer should look */
	struct lade_event room;			    /* a slot is free, or a body failed */
	uint32_t free_count;			    /* free slots */
	uint32_t first;				    /* place of the queue's head */
	uint32_t queued;			    /* slots in the queue */
	uint32_t *free;				    /* numbers of free slots */
	uint32_t *queue;			    /* numbers of slots, in the order to give */
	struct map_slot slots[];
};

static void enqueue(struct map *m, uint32_t slot)
{
	m->queue[(m->first + m->queued++) % m->at_once] = slot;
}

static int map_body(struct map *m, uint32_t number)
{
	struct map_slot *slot = &m->slots[number];

	slot->rc = m->fn(m->arg, slot->item, slot->result);
	lade_item_drop(m->in->type, slot->item);
	slot->done = true;
	if (m->as_completed)
		enqueue(m, number);
	if (slot->rc < 0) {
		lade_cancel_handled(); /* whatever it is, the consumer is told */
		m->failed = true;
		if (m->intake)
			lade_cancel(m->intake, lade_ns(0));
		lade_event_set(&m->room);
	}
	lade_event_set(&m->news);
	return 0;
}

/* A body that could not be run. */
static void map_body_drop(struct map *m, uint32_t number)
{
	struct map_slot *slot = &m->slots[number];

	lade_item_drop(m->in->type, slot->item);
	slot->rc = -ECANCELED;
	slot->done = true;
	if (m->as_completed)
		enqueue(m, number);
	m->failed = true;
	lade_event_set(&m->news);
}
LADE_TASK_VOID_WITH(map_body, (.drop_args = map_body_drop), (struct map *, m), (uint32_t, number))

/* Pulls one item; a failing body can call the wait off. */
static int pull(struct map *m, void *item)
{
	int rc = lade_stream_try_next(m->in, item), got = 0;

	if (rc != -EAGAIN && rc != -EOPNOTSUPP)
		return rc;
	lade_scope(intake, &rc, .policy = LADE_ALL) {
		m->intake = &intake;
		rc = got = lade_stream_next(m->in, item);
		m->intake = NULL;
	}
	return m->failed && got == -ECANCELED ? 0 : got;
}

static int wait_slot(struct map *m)
{
	int rc = lade_enter("a map");

	while (rc == 0 && !m->failed && !m->free_count) {
		lade_event_clear(&m->room);
		rc = lade_event_wait_at(&m->room, "a body of a map");
	}
	return rc;
}

static int take_in(struct map *m, struct lade_scope *s)
{
	int rc;

	while ((rc = wait_slot(m)) == 0 && !m->failed) {
		/* Ours from here on: slots become free while the pull waits. */
		uint32_t number = m->free[--m->free_count];
		struct map_slot *slot = &m->slots[number];

		rc = pull(m, slot->item);
		if (rc <= 0) {
			m->free[m->free_count++] = number;
			break;
		}
		slot->done = false;
		if (!m->as_completed)
			enqueue(m, number);
		rc = lade_spawn(s, map_body_task(m, number));
		if (rc < 0)
			break;
	}
	return rc;
}

static void map_run(struct lade_worker *worker)
{
	struct map *m = LADE_CONTAINER(worker, struct map, worker);
	int rc = 0;

	lade_scope(s, &rc, .policy = LADE_ALL, .max_children = AT_ONCE_MAX + 1) {
		rc = take_in(m, &s);
	}
	m->rc = rc;
	m->ended = true;
	lade_event_set(&m->news);
}

/* The slot at the queue's head, if it is done. */
static struct map_slot *head_done(struct map *m)
{
	struct map_slot *slot = m->queued ? &m->slots[m->queue[m->first]] : NULL;

	return slot && slot->done ? slot : NULL;
}

static int give_head(struct map *m, struct map_slot *slot, void *ret_item)
{
	int rc = slot->rc;

	m->free[m->free_count++] = m->queue[m->first];
	m->first = (m->first + 1) % m->at_once;
	m->queued--;
	if (rc < 0) {
		m->over = true;
		m->rc = rc;
		return rc;
	}
	memcpy(ret_item, slot->result, m->base.type->bytes);
	lade_event_set(&m->room);
	return 1;
}

static int map_try_next(void *stream, void *ret_item)
{
	struct map *m = stream;
	struct map_slot *slot = head_done(m);

	if (m->over)
		return m->rc;
	/* A failure waits until every body has ended. */
	if (slot && (slot->rc >= 0 || m->ended))
		return give_head(m, slot, ret_item);
	return m->ended ? m->rc : -EAGAIN;
}

static int map_next(void *stream, void *ret_item)
{
	struct map *m = stream;
	int rc = lade_enter("a map");

	while (rc == 0) {
		rc = map_try_next(m, ret_item);
		if (rc != -EAGAIN)
			break;
		lade_event_clear(&m->news);
		rc = lade_event_wait_at(&m->news, "a result of a map");
	}
	return rc;
}

static void map_free(struct lade_worker *worker)
{
	struct map *m = LADE_CONTAINER(worker, struct map, worker);

	for (; m->queued; m->queued--, m->first = (m->first + 1) % m->at_once) {
		struct map_slot *slot = &m->slots[m->queue[m->first]];

		if (slot->done && slot->rc >= 0)
			lade_item_drop(m->base.type, slot->result);
	}
	lade_stream_close(m->in);
	lade_free(m);
}

static void map_close(void *stream)
{
	lade_worker_close(&((struct map *)stream)->worker);
}

static const struct lade_source map_ops = { map_next, map_try_next, map_close };

static size_t aligned(size_t bytes)
{
	return (bytes + _Alignof(max_align_t) - 1) & ~(_Alignof(max_align_t) - 1);
}

static struct map *map_new(uint32_t at_once, size_t item_bytes, size_t result_bytes)
{
	size_t fixed = aligned(sizeof(struct map) + at_once * sizeof(struct map_slot));
	size_t numbers = aligned(2 * (size_t)at_once * sizeof(uint32_t));
	size_t pair = aligned(item_bytes) + aligned(result_bytes);
	struct map *m = lade_calloc(1, fixed + numbers + at_once * pair);
	char *room;

	if (!m)
		return NULL;
	room = (char *)m + fixed;
	m->free = (void *)room;
	m->queue = m->free + at_once;
	room += numbers;
	for (uint32_t i = 0; i < at_once; i++, room += pair) {
		m->slots[i].item = room;
		m->slots[i].result = room + aligned(item_bytes);
		m->free[i] = at_once - 1 - i;
	}
	m->free_count = m->at_once = at_once;
	return m;
}

struct lade_stream *lade_stream_map_at(struct lade_scope *scope, struct lade_stream *in,
				       const struct lade_item_type *type,
				       int (*fn)(void *arg, void *item, void *ret), void *arg,
				       uint32_t at_once, bool as_completed, const char *site)
{
	struct map *m = NULL;

	if (at_once == 0)
		at_once = 1;
	if (in && at_once <= AT_ONCE_MAX)
		m = map_new(at_once, in->type->bytes, type->bytes);
	if (!m)
		return lade_stream_close(in);
	m->base = (struct lade_stream){ &map_ops, type };
	m->worker = (struct lade_worker){ .run = map_run, .free = map_free };
	m->in = in;
	m->fn = fn;
	m->arg = arg;
	m->as_completed = as_completed;
	lade_event_init(&m->news);
	lade_event_init(&m->room);
	lade_worker_start(&m->worker, scope, site);
	if (!m->worker.running) {
		m->rc = -ECANCELED;
		m->ended = true;
	}
	return &m->base;
}
