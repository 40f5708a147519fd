/* SPDX-License-Identifier: MIT */
#ifndef LADE_SYNC_SELECT_PRIV_H
#define LADE_SYNC_SELECT_PRIV_H

/* select_priv.h - waiters: what channels, events and semaphores keep lists of.
 *
 * A waiter belongs to a plain wait or is one case of a select. Whoever can serve it calls
 * lade_grant, which takes it - and with it the other cases of its select - out of all lists before
 * anything else can be granted (rule 12). */

#include "core/io_priv.h"

#include <lade/select.h>

struct lade_selecting;

/* One entry in an object's list of who waits for it. */
struct lade_waiter {
	struct lade_link link;		  /* in the object's list */
	struct lade_op *op;		  /* the plain wait, or NULL */
	struct lade_selecting *selecting; /* the select, or NULL */
	int index;			  /* the case in it */
	void *slot;			  /* the item's place, or what the object wants to know */
};

/* lade_grant - ends a wait: with @rc, or for a select with the case's index (or @rc < 0). */
void lade_grant(struct lade_waiter *waiter, int rc);

/* The kinds of cases. */
struct lade_case_type {
	/* Does it now.  Returns 0: done; -EAGAIN: not yet; another -errno: the select's result. */
	int (*try)(struct lade_case *c);
	/* Begins to wait: puts the waiter into a list, arms a timer.  Returns 0 or -errno. */
	int (*arm)(struct lade_case *c, struct lade_selecting *s, int index);
	/* Stops waiting.  Returns whether the kernel must be waited for. */
	bool (*disarm)(struct lade_case *c);
	/* It was the one, and the select, which has waited, returns now; NULL: it need not know. */
	void (*chosen)(struct lade_case *c);
};

/* A select that waits. */
struct lade_selecting {
	struct lade_op op;	  /* the task's one wait */
	struct lade_case *cases;
	int count;		  /* of cases */
	int armed;		  /* how many of them are armed */
	int chosen;		  /* the result, or -EAGAIN while there is none */
	int pending;		  /* cases that the kernel has not let go of yet */
	int stopping;		  /* index of the case on_stopping, or -1 */
};

/* lade_select_choose - settles a select by the case @index, which waits no more, with a result: the
 * index or -errno. The other cases stop waiting at once. */
void lade_select_choose(struct lade_selecting *s, int index, int result);

/* A plain wait: an op and its waiter. */
struct lade_plain_wait {
	struct lade_op op;
	struct lade_waiter waiter;
};

/* lade_waiter_abort - abort() of a plain wait: out of the list, nothing happened. */
static inline enum lade_abort_result lade_waiter_abort(struct lade_op *op)
{
	lade_list_remove(&LADE_CONTAINER(op, struct lade_plain_wait, op)->waiter.link);
	return LADE_ABORTED;
}

#endif
