/* SPDX-License-Identifier: MIT */
/* cancel.c - telling the server to end a query, off the loop.
 *
 * DESIGN
 * PQcancel makes a connection of its own and blocks, so it runs on the pool of threads. Whoever was
 * cancelled does not wait for it: a task of the loop's root does, which is begun when there is a
 * cancel to hand over and ends when there is none. */

#include "connectors/postgres/postgres_priv.h"

#include "base/alloc.h"

#include <errno.h>

struct cancel {
	struct lade_link link;
	PGcancel *handle;
};

static int hand_over(struct lade_pg_cancels *c);
LADE_TASK_VOID(hand_over, (struct lade_pg_cancels *, c))

struct lade_pg_cancels {
	struct lade_loop *loop;
	struct lade_link list; /* to be handed over */
	struct hand_over_task task;
	bool running;		  /* the task was started and has not been seen to end */
	struct lade_alarm ended;  /* sees to that */
	uint64_t sent;
	void (*done)(void *arg);
	void *arg;
};

static int send_cancel(void *arg)
{
	char said[256];

	(void)PQcancel(arg, said, sizeof(said));
	return 0;
}

static int hand_over(struct lade_pg_cancels *c)
{
	struct lade_link *it;

	while ((it = lade_list_pop(&c->list))) {
		struct cancel *cancel = LADE_CONTAINER(it, struct cancel, link);

		c->sent++;
		(void)!lade_blocking(send_cancel, cancel->handle, .always = true,
				     .what = "a cancel at PostgreSQL");
		PQfreeCancel(cancel->handle);
		lade_free(cancel);
	}
	lade_alarm_start(&c->ended, lade_now());
	return 0;
}

static void begin(struct lade_pg_cancels *c)
{
	c->running = true;
	c->task = hand_over_task(c);
	lade_loop_start(c->loop, &c->task);
}

/* In a later phase of the loop, when nobody looks at the task any more. */
static void has_ended(void *arg)
{
	struct lade_pg_cancels *c = arg;

	c->running = false;
	if (!lade_list_empty(&c->list))
		begin(c);
	else if (c->done)
		c->done(c->arg);
}

int lade_pg_cancels_new(struct lade_pg_cancels **ret)
{
	struct lade_pg_cancels *c = lade_calloc(1, sizeof(*c));

	if (!c)
		return -ENOMEM;
	c->loop = lade_loop_here();
	lade_list_init(&c->list);
	lade_alarm_init(&c->ended, has_ended, c);
	*ret = c;
	return 0;
}

void lade_pg_cancels_add(struct lade_pg_cancels *c, PGcancel *handle)
{
	struct cancel *cancel = handle ? lade_calloc(1, sizeof(*cancel)) : NULL;

	/* Without memory the query goes on until statement_timeout, or its end. */
	if (!cancel) {
		PQfreeCancel(handle);
		return;
	}
	cancel->handle = handle;
	lade_list_append(&c->list, &cancel->link);
	if (!c->running)
		begin(c);
}

void lade_pg_cancels_close(struct lade_pg_cancels *c, void (*done)(void *arg), void *arg)
{
	c->done = done;
	c->arg = arg;
	if (!c->running)
		done(arg);
}

struct lade_pg_cancels *lade_pg_cancels_free(struct lade_pg_cancels *c)
{
	lade_free(c);
	return NULL;
}

uint64_t lade_pg_cancels_sent(const struct lade_pg_cancels *c)
{
	return c->sent;
}
