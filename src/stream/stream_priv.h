/* SPDX-License-Identifier: MIT */
#ifndef LADE_STREAM_PRIV_H
#define LADE_STREAM_PRIV_H

/* stream_priv.h - what operators are made of. */

#include "core/core_priv.h"

#include <lade/stream.h>

#include "base/alloc.h"

/* What every stream begins with. */
struct lade_stream {
	const struct lade_source *ops;	   /* how it is pulled and freed; self is the stream */
	const struct lade_item_type *type; /* its items */
};

/* lade_item_drop - gives an item up. */
static inline void lade_item_drop(const struct lade_item_type *type, void *item)
{
	if (type->drop)
		type->drop(item);
}

/* lade_item_weigh - the bytes that an item stands for. */
static inline size_t lade_item_weigh(const struct lade_item_type *type, const void *item)
{
	return type->weight ? type->weight(item) : type->bytes;
}

/* The task of an operator that works ahead, as the operator sees it. Both keep the operator
 * alive: it is freed when it has been closed and the task has ended, whichever comes last. */
struct lade_worker {
	void (*run)(struct lade_worker *);	/* the task's body */
	void (*free)(struct lade_worker *);	/* frees the operator, its input first */
	struct lade_node *node;			/* the task's own scope while it runs */
	struct lade_loop *loop;			/* home */
	bool running;				/* the task has not ended */
	bool closed;				/* nobody will pull any more */
};

/* lade_worker_start - starts an operator's task as a daemon child of a scope. */
void lade_worker_start(struct lade_worker *worker, struct lade_scope *scope, const char *site);

/* lade_worker_close - nobody pulls any more: asks the task to end, frees the operator after it. */
void lade_worker_close(struct lade_worker *worker);

#endif
