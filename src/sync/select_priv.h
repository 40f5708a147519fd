/* SPDX-License-Identifier: MIT */
#ifndef LADE_SYNC_SELECT_PRIV_H
#define LADE_SYNC_SELECT_PRIV_H

/* select_priv.h - waiters: what channels, events and semaphores keep lists of.
 *
 * A waiter belongs to a plain wait or is one case of a select. Whoever can serve it calls
 * lade_grant, which takes it - and with it the other cases of its select - out of all lists before
 * anything else can be granted (rule 12).
 *
 * A case of a shared channel may be served from another core at any moment. A select with such
 * cases is claimed, by one atomic instruction, before anything is done for one of them or for any
 * other case; who is refused takes the waiter out of its list and goes on to the next. What was
 * done on another core is made known by mail; until it comes the other cases are still in their
 * lists, and are refused. tests/spin/select.pml is a model of it. */

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

/* lade_first_waiter - the first in a list that can be served, which it must be: lade_grant; NULL:
 * there is none. */
static inline struct lade_waiter *lade_first_waiter(struct lade_link *list);

/* lade_grant - ends a wait: with @rc, or for a select with the case's index (or @rc < 0). */
void lade_grant(struct lade_waiter *waiter, int rc);

/* The kinds of cases. */
struct lade_case_type {
	/* Does it now.  Returns 0: done; -EAGAIN: not yet; another -errno: the select's result. */
	int (*try)(struct lade_case *c);
	/* Begins to wait: puts the waiter into a list, arms a timer.  Returns 0; LADE_CASE_DONE:
	 * it has claimed the select and is done; -errno. */
	int (*arm)(struct lade_case *c, struct lade_selecting *s, int index);
	/* Stops waiting.  Returns whether the kernel must be waited for. */
	bool (*disarm)(struct lade_case *c);
	/* It was the one, and the select, which has waited, returns now; NULL: it need not know. */
	void (*chosen)(struct lade_case *c);
};

#define LADE_CASE_DONE 1

/* A select that waits. */
struct lade_selecting {
	struct lade_op op;	  /* the task's one wait */
	struct lade_case *cases;
	int count;		  /* of cases */
	int armed;		  /* how many of them are armed */
	int chosen;		  /* the result, or -EAGAIN while there is none */
	int pending;		  /* cases that the kernel has not let go of yet */
	int stopping;		  /* index of the case on_stopping, or -1 */
	bool shared;		  /* a case is of a shared channel: it must be claimed */
	atomic_bool claimed;	  /* one case is being done, here or on another core */
	int granted;		  /* index of the case that was done on another core */
};

/* lade_select_claim_shared - lade_select_claim from any core, for a case of a shared channel that
 * is in its list. */
static inline bool lade_select_claim_shared(struct lade_selecting *s)
{
	bool open = false;

	return atomic_compare_exchange_strong_explicit(&s->claimed, &open, true,
						       memory_order_acq_rel,
						       memory_order_acquire);
}

/* lade_select_claim - the right to do one of the cases, once: who gets it must settle the select.
 * On its loop only. */
static inline bool lade_select_claim(struct lade_selecting *s)
{
	return s->shared ? lade_select_claim_shared(s) : s->chosen == -EAGAIN;
}

/* lade_select_settle - ends a select that was claimed by the case @index, which waits no more, with
 * a result: the index or -errno. The other cases stop waiting at once. */
void lade_select_settle(struct lade_selecting *s, int index, int result);

/* lade_select_settle_remote - the same from any thread, by mail. */
void lade_select_settle_remote(struct lade_selecting *s, int index, int result);

/* lade_select_choose - lade_select_settle, unless it has been claimed. */
void lade_select_choose(struct lade_selecting *s, int index, int result);

static inline struct lade_waiter *lade_first_waiter(struct lade_link *list)
{
	while (!lade_list_empty(list)) {
		struct lade_waiter *w = LADE_CONTAINER(list->next, struct lade_waiter, link);

		if (lade_likely(!w->selecting) || lade_select_claim(w->selecting))
			return w;
		lade_list_remove(&w->link);
		lade_list_init(&w->link); /* it will be taken out once more */
	}
	return NULL;
}

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
