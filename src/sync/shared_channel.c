/* SPDX-License-Identifier: MIT */
/* shared_channel.c - items handed from core to core, and from other threads.
 *
 * DESIGN
 * The ring and the lists of channel.c under a lock that is held for a copy and a few links. Whoever
 * serves a waiter moves the item at that moment, under the lock, and wakes it behind the lock: on
 * the same loop at once, elsewhere by mail. A cancelled waiter that is still in its list has been
 * given nothing; one that is not is told to wait for the mail that is on its way (rule 11).
 *
 * INVARIANT  receivers wait only while nothing can be received, senders and reservers only while
 * there is no place. len + reserved <= capacity. What is left of a wait after the lock was given
 * back is touched by its own loop alone, or by whoever took it out of its list.
 *
 * LIMITS  one place at least; capacity times item size is at most 1 GiB. */

#include "core/witness.h"

#include <lade/shared_channel.h>

#include "base/alloc.h"

#include <errno.h>
#include <string.h>

#define BYTES_MAX ((uint64_t)1 << 30)

struct lade_shared_channel {
	pthread_mutex_t lock;
	struct lade_link senders;   /* waits whose slot is the item, or NULL: for a place */
	struct lade_link receivers; /* waits whose slot is where it goes */
	uint32_t item_bytes;	    /* size of an item */
	uint32_t capacity;	    /* places */
	uint32_t first;		    /* place of the oldest item */
	uint32_t len;		    /* items in the ring */
	uint32_t reserved;	    /* places promised */
	bool closed;		    /* nothing more is sent */
	void (*drop)(void *item);   /* gives up what is left */
	struct lade_witness witness; /* who is told of its items; made once */
	char items[];		    /* the ring */
};

static void tell_left(void *channel);

/* A task that waits. */
struct wait {
	struct lade_op op;
	struct lade_shared_channel *channel;
	void *slot;   /* see the lists */
	bool waiting; /* in one of the lists; the lock's */
	int result;   /* what it will be woken with, once it is in none */
};

int lade_shared_channel_new(uint32_t item_bytes, uint32_t capacity, void (*drop)(void *item),
			    struct lade_shared_channel **ret)
{
	uint64_t bytes = (uint64_t)item_bytes * capacity;
	struct lade_shared_channel *c;
	pthread_mutexattr_t attr;

	if (!capacity)
		return -EINVAL;
	if (bytes > BYTES_MAX)
		return -EOVERFLOW;
	c = lade_malloc(sizeof(*c) + (size_t)bytes);
	if (!c)
		return -ENOMEM;
	*c = (struct lade_shared_channel){ .item_bytes = item_bytes,
					   .capacity = capacity,
					   .drop = drop };
	/* Held for less time than it takes to sleep: who finds it taken looks again first. */
	pthread_mutexattr_init(&attr);
	pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_ADAPTIVE_NP);
	pthread_mutex_init(&c->lock, &attr);
	pthread_mutexattr_destroy(&attr);
	lade_list_init(&c->senders);
	lade_list_init(&c->receivers);
	c->witness = lade_witness_of(c, item_bytes, tell_left);
	*ret = c;
	return 0;
}

static inline void copy(void *to, const void *from, uint32_t bytes)
{
	/* The common size without a call. */
	if (bytes == 8)
		memcpy(to, from, 8);
	else
		memcpy(to, from, bytes);
}

static char *place(struct lade_shared_channel *c, uint32_t index)
{
	uint32_t at = c->first + index;

	if (at >= c->capacity)
		at -= c->capacity;
	return c->items + (size_t)at * c->item_bytes;
}

static void tell_left(void *channel)
{
	struct lade_shared_channel *c = channel;

	for (uint32_t i = 0; i < c->len; i++)
		lade_witness_tell(&c->witness, ITEM_LEFT, place(c, i), 1);
}

struct lade_shared_channel *lade_shared_channel_free(struct lade_shared_channel *c)
{
	if (!c)
		return NULL;
	if (!lade_list_empty(&c->senders) || !lade_list_empty(&c->receivers))
		lade_misuse("a shared channel is freed on which a task waits, at %s",
			    LADE_CONTAINER(lade_list_empty(&c->senders) ? c->receivers.next :
									  c->senders.next,
					   struct wait, op.link)
				    ->op.site);
	tell_left(c);
	lade_witness_tell(&c->witness, ITEM_CHANNEL_FREED, NULL, 1);
	for (uint32_t i = 0; c->drop && i < c->len; i++)
		c->drop(place(c, i));
	pthread_mutex_destroy(&c->lock);
	lade_free(c);
	return NULL;
}

/* Takes a wait out of its list; it is woken when the lock has been given back. */
static void settle(struct lade_link *list, int result, struct lade_link *woken)
{
	struct lade_link *first = lade_list_pop(list);
	struct wait *w = LADE_CONTAINER(first, struct wait, op.link);

	w->waiting = false;
	w->result = result;
	lade_list_append(woken, first);
}

/* Gives the lock back, and wakes who was settled. */
static void unlock(struct lade_shared_channel *c, struct lade_link *woken)
{
	struct lade_link *it;

	pthread_mutex_unlock(&c->lock);
	while ((it = lade_list_pop(woken))) {
		struct wait *w = LADE_CONTAINER(it, struct wait, op.link);

		if (w->op.loop == lade_cur->loop)
			lade_complete(&w->op, w->result);
		else
			lade_complete_remote(&w->op, w->result);
	}
}

static bool is_over(const struct lade_shared_channel *c)
{
	return c->closed && !c->len && !c->reserved;
}

static void end_receivers(struct lade_shared_channel *c, struct lade_link *woken)
{
	while (is_over(c) && !lade_list_empty(&c->receivers))
		settle(&c->receivers, -EPIPE, woken);
}

/* An item goes to the receiver that has waited longest, or into the ring, where a place is. */
static void put(struct lade_shared_channel *c, const void *item, struct lade_link *woken)
{
	if (!lade_list_empty(&c->receivers)) {
		memcpy(LADE_CONTAINER(c->receivers.next, struct wait, op.link)->slot, item,
		       c->item_bytes);
		settle(&c->receivers, 0, woken);
		return;
	}
	copy(place(c, c->len), item, c->item_bytes);
	c->len++;
}

/* Gives the places that have become free to those who wait for them. */
static void hand_over_places(struct lade_shared_channel *c, struct lade_link *woken)
{
	while (!c->closed && c->len + c->reserved < c->capacity &&
	       !lade_list_empty(&c->senders)) {
		struct wait *w = LADE_CONTAINER(c->senders.next, struct wait, op.link);

		settle(&c->senders, 0, woken);
		if (w->slot)
			put(c, w->slot, woken);
		else
			c->reserved++;
	}
}

static void take(struct lade_shared_channel *c, void *ret_item, struct lade_link *woken)
{
	copy(ret_item, place(c, 0), c->item_bytes);
	c->first = c->first + 1 == c->capacity ? 0 : c->first + 1;
	c->len--;
	hand_over_places(c, woken);
	end_receivers(c, woken);
}

void lade_shared_channel_close(struct lade_shared_channel *c)
{
	struct lade_link woken;

	lade_list_init(&woken);
	pthread_mutex_lock(&c->lock);
	c->closed = true;
	while (!lade_list_empty(&c->senders))
		settle(&c->senders, -EPIPE, &woken);
	end_receivers(c, &woken);
	unlock(c, &woken);
}

uint32_t lade_shared_channel_len(struct lade_shared_channel *c)
{
	uint32_t len;

	pthread_mutex_lock(&c->lock);
	len = c->len;
	pthread_mutex_unlock(&c->lock);
	return len;
}

/* 0: there is a place; -EPIPE; -EAGAIN. */
static int can_send(const struct lade_shared_channel *c)
{
	if (c->closed)
		return -EPIPE;
	return c->len + c->reserved < c->capacity ? 0 : -EAGAIN;
}

/* 0: there is an item; -EPIPE; -EAGAIN. */
static int can_receive(const struct lade_shared_channel *c)
{
	if (c->len)
		return 0;
	return is_over(c) ? -EPIPE : -EAGAIN;
}

static enum lade_abort_result wait_abort(struct lade_op *op)
{
	struct wait *w = LADE_CONTAINER(op, struct wait, op);
	bool was_waiting;

	pthread_mutex_lock(&w->channel->lock);
	was_waiting = w->waiting;
	if (was_waiting)
		lade_list_remove(&op->link);
	w->waiting = false;
	pthread_mutex_unlock(&w->channel->lock);
	return was_waiting ? LADE_ABORTED : LADE_PENDING;
}

/* Waits in a list; called with the lock, which it gives back. The mail that ends the wait cannot
 * come before the task is parked: its own loop takes it, in a later turn. */
static int wait_in(struct lade_shared_channel *c, struct lade_link *list, void *slot,
		   const char *what, const char *site)
{
	struct wait w = { .channel = c, .slot = slot, .waiting = true };

	lade_op_init(&w.op, what, site, wait_abort);
	w.op.loop = lade_cur->loop;
	lade_list_append(list, &w.op.link);
	pthread_mutex_unlock(&c->lock);
	return lade_op_wait(&w.op);
}

int lade_shared_channel_try_send(struct lade_shared_channel *c, const void *items, uint32_t count,
				 uint32_t *ret_sent)
{
	const char *item = items;
	struct lade_link woken;
	int rc;

	lade_list_init(&woken);
	*ret_sent = 0;
	pthread_mutex_lock(&c->lock);
	while ((rc = can_send(c)) == 0 && *ret_sent < count) {
		put(c, item, &woken);
		item += c->item_bytes;
		++*ret_sent;
	}
	lade_witness_tell(&c->witness, ITEM_SENT, items, *ret_sent);
	unlock(c, &woken);
	return *ret_sent ? 0 : rc;
}

/* Sends what there is room for and waits once, with the next item.  Returns 0: go on. */
static int send_some(struct lade_shared_channel *c, const char *items, uint32_t count,
		     uint32_t *done, const char *site)
{
	struct lade_link woken;
	int rc = 0;

	lade_list_init(&woken);
	pthread_mutex_lock(&c->lock);
	while (*done < count && (rc = can_send(c)) == 0)
		put(c, items + (size_t)(*done)++ * c->item_bytes, &woken);
	if (*done == count || rc == -EPIPE) {
		unlock(c, &woken);
		return *done == count ? 0 : rc;
	}
	/* Receivers that were just served must not wait for our wait's end. */
	if (!lade_list_empty(&woken)) {
		unlock(c, &woken);
		return 0;
	}
	rc = wait_in(c, &c->senders, (void *)(uintptr_t)(items + (size_t)*done * c->item_bytes),
		     "a place in a shared channel", site);
	if (rc == 0)
		++*done;
	return rc;
}

int lade_shared_channel_send_at(struct lade_shared_channel *c, const void *items, uint32_t count,
				uint32_t *done, const char *site)
{
	const struct lade_witness witness = c->witness;
	const uint32_t before = *done;
	int rc;

	do {
		/* Each time: a cancel that came with the end of the last wait is told to nobody. */
		rc = lade_enter(site);
		if (rc == 0)
			rc = send_some(c, items, count, done, site);
	} while (rc == 0 && *done < count);
	lade_witness_tell(&witness, ITEM_SENT,
			  (const char *)items + (size_t)before * witness.item_bytes,
			  *done - before);
	return rc;
}

int lade_shared_channel_try_recv(struct lade_shared_channel *c, void *ret_items, uint32_t max,
				 uint32_t *ret_count)
{
	char *to = ret_items;
	struct lade_link woken;
	int rc;

	lade_list_init(&woken);
	*ret_count = 0;
	pthread_mutex_lock(&c->lock);
	while ((rc = can_receive(c)) == 0 && *ret_count < max) {
		take(c, to, &woken);
		to += c->item_bytes;
		++*ret_count;
	}
	lade_witness_tell(&c->witness, ITEM_RECEIVED, ret_items, *ret_count);
	unlock(c, &woken);
	return *ret_count ? 0 : rc;
}

/* Waits for one item, unless there is one by now.  Returns 0, and 1 in @ret_count if it came. */
static int await_item(struct lade_shared_channel *c, void *ret_item, uint32_t *ret_count,
		      const char *site)
{
	const struct lade_witness witness = c->witness;
	int rc;

	pthread_mutex_lock(&c->lock);
	if (can_receive(c) != -EAGAIN) {
		pthread_mutex_unlock(&c->lock);
		return 0;
	}
	rc = wait_in(c, &c->receivers, ret_item, "an item of a shared channel", site);
	*ret_count = rc == 0;
	lade_witness_tell(&witness, ITEM_RECEIVED, ret_item, *ret_count);
	return rc;
}

int lade_shared_channel_recv_at(struct lade_shared_channel *c, void *ret_items, uint32_t max,
				uint32_t *ret_count, const char *site)
{
	uint32_t more = 0;
	int rc = lade_enter(site);

	*ret_count = 0;
	while (rc == 0 && max && !*ret_count) {
		rc = lade_shared_channel_try_recv(c, ret_items, max, ret_count);
		if (rc != -EAGAIN)
			return rc;
		rc = await_item(c, ret_items, ret_count, site);
	}
	if (rc == 0 && max > 1)
		(void)lade_shared_channel_try_recv(c, (char *)ret_items + c->item_bytes, max - 1,
						   &more);
	*ret_count += more;
	return rc;
}

int lade_shared_channel_reserve_at(struct lade_shared_channel *c, const char *site)
{
	int rc = lade_enter(site);

	if (rc < 0)
		return rc;
	pthread_mutex_lock(&c->lock);
	rc = can_send(c);
	if (rc == -EAGAIN)
		return wait_in(c, &c->senders, NULL, "a place in a shared channel", site);
	if (rc == 0)
		c->reserved++;
	pthread_mutex_unlock(&c->lock);
	return rc;
}

static void check_reserved(const struct lade_shared_channel *c, const char *what)
{
	if (!c->reserved)
		lade_misuse("a shared channel's place is %s that was not reserved", what);
}

void lade_shared_channel_commit(struct lade_shared_channel *c, const void *item)
{
	struct lade_link woken;

	lade_list_init(&woken);
	pthread_mutex_lock(&c->lock);
	check_reserved(c, "filled");
	c->reserved--;
	lade_witness_tell(&c->witness, ITEM_SENT, item, 1);
	put(c, item, &woken);
	hand_over_places(c, &woken);
	end_receivers(c, &woken);
	unlock(c, &woken);
}

void lade_shared_channel_unreserve(struct lade_shared_channel *c)
{
	struct lade_link woken;

	lade_list_init(&woken);
	pthread_mutex_lock(&c->lock);
	check_reserved(c, "given up");
	c->reserved--;
	hand_over_places(c, &woken);
	end_receivers(c, &woken);
	unlock(c, &woken);
}
