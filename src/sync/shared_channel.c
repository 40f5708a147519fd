/* SPDX-License-Identifier: MIT */
/* shared_channel.c - items handed from core to core, and from other threads.
 *
 * DESIGN
 * The ring of channel.c with two ends, each under a lock of its own that is held for a copy: one
 * sender and one receiver at a time, who do not meet. Each end counts what went through it, and
 * keeps the other's count as last seen, so that the other's cache line is looked at only when the
 * ring seems full, or empty.
 *
 * Who waits is in a list, which changes under both locks and is read under either: a sender finds
 * the list of receivers beside its own count, and a receiver that of senders. So nobody begins to
 * wait while the other end is at work, and no fence is needed to see that somebody does. Whoever
 * serves a waiter moves the item at that moment, under both locks, and wakes it behind them: on the
 * same loop at once, elsewhere by mail. A cancelled waiter that is still in its list has been given
 * nothing; one that is not is told to wait for the mail that is on its way (rule 11).
 * tests/spin/shared_channel.pml is a model of it.
 *
 * INVARIANT  receivers wait only while nothing can be received, senders and reservers only while
 * there is no place. Items + reserved <= capacity. The lock of in is taken before that of out.
 * What is left of a wait after the locks were given back is touched by its own loop alone, or by
 * whoever took it out of its list. A send that has given a lock back touches the channel no more:
 * who receives the last item may free it.
 *
 * LIMITS  one place at least; capacity times item size is at most 1 GiB. */

#include "core/witness.h"
#include "sync/select_priv.h"

#include <lade/shared_channel.h>

#include "base/alloc.h"
#include "base/lock.h"
#include "base/pause.h"

#include <errno.h>
#include <string.h>

#define BYTES_MAX ((uint64_t)1 << 30)
#define PAUSES 32	/* that may pass before it waits: about 1 us */
#define ENOUGH 32	/* items, or places, at a time */
#define LINE_BYTES 128 /* a cache line and the one that is fetched with it */

/* What one side works on, apart from what the other does. */
struct end {
	struct lade_lock lock;
	struct lade_link others; /* who waits at the other end: changed under both locks */
	_Atomic uint32_t count;	 /* items that have gone through; the other end reads it */
	uint32_t seen;		 /* the other end's count when it was last looked at */
	uint32_t at;		 /* the place that is next */
	_Atomic uint32_t stay;	 /* pauses for more to come; a guess, under no lock */
};

struct lade_shared_channel {
	uint32_t item_bytes;	  /* size of an item */
	uint32_t capacity;	  /* places */
	void (*drop)(void *item); /* gives up what is left */
	struct lade_witness witness; /* who is told of its items; made once */
	_Alignas(LINE_BYTES) struct end in;
	uint32_t reserved; /* places promised; of the lock of in */
	bool closed;	   /* nothing more is sent; changed under both locks */
	_Alignas(LINE_BYTES) struct end out;
	_Alignas(LINE_BYTES) char items[]; /* the ring */
};

static void tell_left(void *channel);

/* A task that waits, or a case of its select; in a list, and once it is in none in a list of those
 * who are to be woken. */
struct wait {
	struct lade_waiter waiter; /* .slot: the item, or where it goes; NULL: for a place */
	struct lade_shared_channel *channel;
	bool waiting; /* in a list of the channel; of both locks */
	int result;   /* what it will be woken with */
};

struct plain_wait {
	struct lade_op op;
	struct wait wait;
};

/* What a case needs while it waits. */
struct case_room {
	struct wait wait;
	struct lade_witness witness; /* a copy: the channel may be freed when the select goes on */
	uint64_t hash;		     /* of what is sent, for the witness */
};

_Static_assert(sizeof(struct case_room) <= sizeof(((struct lade_case *)0)->room), "fits");

int lade_shared_channel_new(uint32_t item_bytes, uint32_t capacity, void (*drop)(void *item),
			    struct lade_shared_channel **ret)
{
	uint64_t bytes = (uint64_t)item_bytes * capacity;
	struct lade_shared_channel *c;

	if (!capacity)
		return -EINVAL;
	if (bytes > BYTES_MAX)
		return -EOVERFLOW;
	c = lade_aligned_alloc(LINE_BYTES, sizeof(*c) + (size_t)bytes);
	if (!c)
		return -ENOMEM;
	*c = (struct lade_shared_channel){ .item_bytes = item_bytes,
					   .capacity = capacity,
					   .drop = drop };
	lade_lock_init(&c->in.lock);
	lade_lock_init(&c->out.lock);
	c->in.stay = c->out.stay = 1;
	lade_list_init(&c->in.others);
	lade_list_init(&c->out.others);
	c->witness = lade_witness_of(c, item_bytes, tell_left);
	*ret = c;
	return 0;
}

/* Those who wait to receive, and to send or reserve; see struct end. */
static struct lade_link *receivers(struct lade_shared_channel *c)
{
	return &c->in.others;
}

static struct lade_link *senders(struct lade_shared_channel *c)
{
	return &c->out.others;
}

static void lock_both(struct lade_shared_channel *c)
{
	lade_lock_take(&c->in.lock);
	lade_lock_take(&c->out.lock);
}

static void unlock_both(struct lade_shared_channel *c)
{
	lade_lock_give(&c->out.lock);
	lade_lock_give(&c->in.lock);
}

static struct wait *wait_of(struct lade_link *link)
{
	return LADE_CONTAINER(link, struct wait, waiter.link);
}

static struct lade_op *op_of(const struct wait *w)
{
	return w->waiter.selecting ? &w->waiter.selecting->op : w->waiter.op;
}

/* Wakes those who were taken out of the lists, now that the locks have been given back. */
static void wake(struct lade_link *woken)
{
	struct lade_link *it;

	while ((it = lade_list_pop(woken))) {
		struct wait *w = wait_of(it);
		struct lade_selecting *s = w->waiter.selecting;
		bool is_here = op_of(w)->loop == lade_cur->loop;
		int result = s && w->result == 0 ? w->waiter.index : w->result;

		if (s && is_here)
			lade_select_settle(s, w->waiter.index, result);
		else if (s)
			lade_select_settle_remote(s, w->waiter.index, result);
		else if (is_here)
			lade_complete(w->waiter.op, result);
		else
			lade_complete_remote(w->waiter.op, result);
	}
}

/* Items that went through an end, as its own lock's holder knows. */
static uint32_t count_of(struct end *e)
{
	return atomic_load_explicit(&e->count, memory_order_relaxed);
}

/* Places that are free, at least @wanted if there are so many; with the lock of in. */
static inline uint32_t room(struct lade_shared_channel *c, uint32_t wanted)
{
	struct end *in = &c->in;
	uint32_t taken = c->reserved + count_of(in) - in->seen;

	if (c->capacity - taken < wanted) {
		taken += in->seen;
		/* What was received from a place has been copied before the place is filled. */
		in->seen = atomic_load_explicit(&c->out.count, memory_order_acquire);
		taken -= in->seen;
	}
	return c->capacity - taken;
}

/* Items that can be received, at least @wanted if there are so many; with the lock of out. */
static inline uint32_t stock(struct lade_shared_channel *c, uint32_t wanted)
{
	struct end *out = &c->out;

	if (out->seen - count_of(out) < wanted)
		out->seen = atomic_load_explicit(&c->in.count, memory_order_acquire);
	return out->seen - count_of(out);
}

static inline void copy(void *to, const void *from, size_t bytes)
{
	/* The common size without a call. */
	if (bytes == 8)
		memcpy(to, from, 8);
	else
		memcpy(to, from, bytes);
}

/* How many of @count items lie side by side from an end's place on; the others from the first
 * place on. */
static inline uint32_t before_the_turn(const struct lade_shared_channel *c, const struct end *e,
				       uint32_t count)
{
	return count < c->capacity - e->at ? count : c->capacity - e->at;
}

static inline char *place(struct lade_shared_channel *c, uint32_t at)
{
	return c->items + (size_t)at * c->item_bytes;
}

/* Moves an end on by @count items, for the other to see. */
static inline void advance(struct lade_shared_channel *c, struct end *e, uint32_t count)
{
	e->at += count < c->capacity - e->at ? count : count - c->capacity;
	atomic_store_explicit(&e->count, count_of(e) + count, memory_order_release);
}

/* Fills places that are free; with the lock of in. */
static inline void fill(struct lade_shared_channel *c, const char *items, uint32_t count)
{
	uint32_t first = before_the_turn(c, &c->in, count);

	copy(place(c, c->in.at), items, (size_t)first * c->item_bytes);
	if (first < count)
		copy(c->items, items + (size_t)first * c->item_bytes,
		     (size_t)(count - first) * c->item_bytes);
	advance(c, &c->in, count);
}

/* Empties places that are filled; with the lock of out. */
static inline void empty(struct lade_shared_channel *c, char *ret_items, uint32_t count)
{
	uint32_t first = before_the_turn(c, &c->out, count);

	copy(ret_items, place(c, c->out.at), (size_t)first * c->item_bytes);
	if (first < count)
		copy(ret_items + (size_t)first * c->item_bytes, c->items,
		     (size_t)(count - first) * c->item_bytes);
	advance(c, &c->out, count);
}

static void tell_left(void *channel)
{
	struct lade_shared_channel *c = channel;
	uint32_t len = stock(c, c->capacity), at = c->out.at;

	for (uint32_t i = 0; i < len; i++, at = at + 1 == c->capacity ? 0 : at + 1)
		lade_witness_tell(&c->witness, ITEM_LEFT, place(c, at), 1);
}

struct lade_shared_channel *lade_shared_channel_free(struct lade_shared_channel *c)
{
	struct lade_link *awaited;

	if (!c)
		return NULL;
	lock_both(c); /* whoever is about to give a lock back has done so */
	awaited = lade_list_empty(senders(c)) ? receivers(c) : senders(c);
	if (!lade_list_empty(awaited))
		lade_misuse("a shared channel is freed on which a task waits, at %s",
			    op_of(wait_of(awaited->next))->site);
	unlock_both(c);
	tell_left(c);
	lade_witness_told(&c->witness, ITEM_CHANNEL_FREED, 0);
	while (c->drop && stock(c, 1)) {
		c->drop(place(c, c->out.at));
		advance(c, &c->out, 1);
	}
	lade_free(c);
	return NULL;
}

static void unlink_wait(struct wait *w)
{
	lade_list_remove(&w->waiter.link);
	w->waiting = false;
}

/* The first in a list that can be served, which it must be; NULL: there is none. The cases of
 * selects that have been claimed are taken out. With both locks. */
static struct wait *first_wait(struct lade_link *list)
{
	while (!lade_list_empty(list)) {
		struct wait *w = wait_of(list->next);

		if (!w->waiter.selecting || lade_select_claim_shared(w->waiter.selecting))
			return w;
		unlink_wait(w);
	}
	return NULL;
}

/* Takes a wait that can be served out of its list; it is woken behind the locks. */
static void settle(struct wait *w, int result, struct lade_link *woken)
{
	unlink_wait(w);
	w->result = result;
	lade_list_append(woken, &w->waiter.link);
}

static void settle_all(struct lade_link *list, int result, struct lade_link *woken)
{
	struct wait *w;

	while ((w = first_wait(list)))
		settle(w, result, woken);
}

/* Receivers that wait when nothing more can come; with both locks. */
static void end_receivers(struct lade_shared_channel *c, struct lade_link *woken)
{
	if (c->closed && !c->reserved && !stock(c, 1))
		settle_all(receivers(c), -EPIPE, woken);
}

/* An item goes to the receiver that has waited longest, or to a place that is free; with both
 * locks. */
static void put(struct lade_shared_channel *c, const char *item, struct lade_link *woken)
{
	struct wait *w = first_wait(receivers(c));

	if (!w) {
		fill(c, item, 1);
		return;
	}
	copy(w->waiter.slot, item, c->item_bytes);
	settle(w, 0, woken);
}

/* Gives the places that have become free to those who wait for them; with both locks. */
static void hand_over_places(struct lade_shared_channel *c, struct lade_link *woken)
{
	struct wait *w;

	while (!c->closed && room(c, 1) && (w = first_wait(senders(c)))) {
		settle(w, 0, woken);
		if (w->waiter.slot)
			put(c, w->waiter.slot, woken);
		else
			c->reserved++;
	}
}

void lade_shared_channel_close(struct lade_shared_channel *c)
{
	struct lade_link woken;

	lade_list_init(&woken);
	lock_both(c);
	c->closed = true;
	settle_all(senders(c), -EPIPE, &woken);
	end_receivers(c, &woken);
	unlock_both(c);
	wake(&woken);
}

uint32_t lade_shared_channel_len(struct lade_shared_channel *c)
{
	uint32_t len;

	lade_lock_take(&c->in.lock);
	len = c->capacity - c->reserved - room(c, c->capacity);
	lade_lock_give(&c->in.lock);
	return len;
}

/* Stops a wait.  Returns whether nobody has served it. */
static bool call_off(struct wait *w)
{
	struct lade_shared_channel *c = w->channel;
	bool was_waiting;

	lock_both(c);
	was_waiting = w->waiting;
	if (was_waiting)
		unlink_wait(w);
	unlock_both(c);
	return was_waiting;
}

static enum lade_abort_result wait_abort(struct lade_op *op)
{
	struct plain_wait *w = LADE_CONTAINER(op, struct plain_wait, op);

	return call_off(&w->wait) ? LADE_ABORTED : LADE_PENDING;
}

/* Puts a wait into a list; with both locks. */
static void enlist(struct wait *w, struct lade_link *list)
{
	w->waiting = true;
	lade_list_append(list, &w->waiter.link);
}

/* Stays a little when the other end has moved, to find several items, or places: each look costs
 * the other end a cache line. Longer when that paid, shorter when it did not or was enough. */
static void linger(const struct lade_shared_channel *c, struct end *end, const struct end *other,
		   uint32_t was)
{
	uint32_t stay = atomic_load_explicit(&end->stay, memory_order_relaxed);
	uint32_t enough = c->capacity / 2 < ENOUGH ? c->capacity / 2 : ENOUGH;
	uint32_t moved;

	for (uint32_t i = 0; i < stay; i++)
		lade_pause_core();
	moved = atomic_load_explicit(&other->count, memory_order_relaxed) - was;
	if (moved > 1 && moved < enough)
		stay = stay < PAUSES ? 2 * stay : stay;
	else
		stay = stay > 1 ? stay / 2 : 1;
	atomic_store_explicit(&end->stay, stay, memory_order_relaxed);
}

/* Whether the other end moves on within about a microsecond, which is less than parking costs. Only
 * where the loop, which has nothing else to do, would look for mail next. */
static bool look_out(const struct lade_shared_channel *c, struct end *end, const struct end *other)
{
	const struct lade_loop *loop = lade_cur->loop;
	uint32_t was = atomic_load_explicit(&other->count, memory_order_relaxed);

	if (!loop->cores || loop->spin_pause || loop->ready_head)
		return false;
	for (int i = 0; i < PAUSES; i++) {
		lade_pause_core();
		if (atomic_load_explicit(&other->count, memory_order_relaxed) != was) {
			linger(c, end, other, was);
			return true;
		}
	}
	return false;
}

/* Waits in a list; called with both locks, which it gives back. The mail that ends the wait cannot
 * come before the task is parked: its own loop takes it, in a later turn. */
static int wait_in(struct lade_shared_channel *c, struct lade_link *list, void *slot,
		   const char *what, const char *site)
{
	struct plain_wait w;

	lade_op_init(&w.op, what, site, wait_abort);
	w.op.loop = lade_cur->loop;
	w.wait.waiter.op = &w.op;
	w.wait.waiter.selecting = NULL;
	w.wait.waiter.slot = slot;
	w.wait.channel = c;
	enlist(&w.wait, list);
	unlock_both(c);
	return lade_op_wait(&w.op);
}

/* Sends what can be sent at once, with the lock of in; the channel is open. Returns how many: fewer
 * than @count, and there is no place left. */
static inline uint32_t send_now(struct lade_shared_channel *c, const char *items, uint32_t count,
				struct lade_link *woken)
{
	uint32_t sent = 0, free;

	if (lade_unlikely(!lade_list_empty(receivers(c)))) {
		lade_lock_take(&c->out.lock);
		while (sent < count && !lade_list_empty(receivers(c)) && room(c, 1))
			put(c, items + (size_t)sent++ * c->item_bytes, woken);
		lade_lock_give(&c->out.lock);
	}
	count -= sent;
	free = room(c, count);
	if (count > free)
		count = free;
	if (count)
		fill(c, items + (size_t)sent * c->item_bytes, count);
	return sent + count;
}

/* Sends what can be sent of the items from items[*done] on.  Returns 0: some; -EPIPE; -EAGAIN. */
static inline int send_at_once(struct lade_shared_channel *c, const char *items, uint32_t count,
			       uint32_t *done)
{
	struct lade_link woken;
	uint32_t sent = 0;
	int rc = -EPIPE;

	lade_list_init(&woken);
	lade_lock_take(&c->in.lock);
	if (!c->closed) {
		sent = send_now(c, items + (size_t)*done * c->item_bytes, count - *done, &woken);
		rc = sent || !count ? 0 : -EAGAIN;
	}
	lade_lock_give(&c->in.lock);
	wake(&woken);
	*done += sent;
	return rc;
}

int lade_shared_channel_try_send(struct lade_shared_channel *c, const void *items, uint32_t count,
				 uint32_t *ret_sent)
{
	const struct lade_witness witness = c->witness;
	int rc;

	*ret_sent = 0;
	rc = send_at_once(c, items, count, ret_sent);
	lade_witness_tell(&witness, ITEM_SENT, items, *ret_sent);
	return rc;
}

/* Waits for a place for an item, unless there is one by now.  Returns 0: go on. */
static int await_place(struct lade_shared_channel *c, const char *item, uint32_t *done,
		       const struct lade_witness *witness, const char *site)
{
	const uint64_t hash = lade_witness_hash(witness, item);
	int rc;

	lock_both(c);
	if (c->closed || room(c, 1)) {
		unlock_both(c);
		return 0;
	}
	rc = wait_in(c, senders(c), (void *)(uintptr_t)item, "a place in a shared channel", site);
	if (rc == 0) {
		++*done;
		lade_witness_told(witness, ITEM_SENT, hash);
	}
	return rc;
}

/* Sends some of the items from items[*done] on, or waits for a place. */
static inline int send_some(struct lade_shared_channel *c, const char *items, uint32_t count,
			    uint32_t *done, const struct lade_witness *witness, const char *site)
{
	const uint32_t before = *done;
	int rc = send_at_once(c, items, count, done);

	if (rc == -EAGAIN && look_out(c, &c->in, &c->out))
		rc = send_at_once(c, items, count, done);
	lade_witness_tell(witness, ITEM_SENT, items + (size_t)before * witness->item_bytes,
			  *done - before);
	if (rc == -EAGAIN)
		rc = await_place(c, items + (size_t)*done * c->item_bytes, done, witness, site);
	return rc;
}

int lade_shared_channel_send_at(struct lade_shared_channel *c, const void *items, uint32_t count,
				uint32_t *done, const char *site)
{
	const struct lade_witness witness = c->witness;
	int rc;

	do {
		/* Each time: a cancel that came with the end of the last wait is told to nobody. */
		rc = lade_enter(site);
		if (rc == 0 && *done < count)
			rc = send_some(c, items, count, done, &witness, site);
	} while (rc == 0 && *done < count);
	return rc;
}

/* Receives what is there, unless somebody waits to send; with the lock of out. */
static inline uint32_t receive_now(struct lade_shared_channel *c, char *ret_items, uint32_t max)
{
	uint32_t count = stock(c, max);

	if (count > max)
		count = max;
	if (count)
		empty(c, ret_items, count);
	return count;
}

/* The same when somebody may wait to send, who gets the place; with both locks. */
static uint32_t receive_and_hand_over(struct lade_shared_channel *c, char *ret_items, uint32_t max,
				      struct lade_link *woken)
{
	uint32_t count = 0, more;

	do {
		more = receive_now(c, ret_items + (size_t)count * c->item_bytes, max - count);
		count += more;
		hand_over_places(c, woken);
	} while (more && count < max);
	return count;
}

/* 0, with items that could be received at once; -EAGAIN: none. */
static inline int receive_at_once(struct lade_shared_channel *c, void *ret_items, uint32_t max,
				  uint32_t *ret_count)
{
	uint32_t count = 0;

	lade_lock_take(&c->out.lock);
	if (lade_likely(lade_list_empty(senders(c))))
		count = receive_now(c, ret_items, max);
	lade_lock_give(&c->out.lock);
	*ret_count = count;
	return count ? 0 : -EAGAIN;
}

/* Receives, with both locks, which are given back; where there is nothing it waits, if it may. */
static int receive_slowly(struct lade_shared_channel *c, void *ret_items, uint32_t max,
			  uint32_t *ret_count, const char *site)
{
	struct lade_link woken;
	bool over;
	int rc;

	lade_list_init(&woken);
	lock_both(c);
	*ret_count = receive_and_hand_over(c, ret_items, max, &woken);
	over = c->closed && !c->reserved;
	if (!*ret_count && !over && site) {
		rc = wait_in(c, receivers(c), ret_items, "an item of a shared channel", site);
		*ret_count = rc == 0;
		return rc;
	}
	unlock_both(c);
	wake(&woken);
	return *ret_count ? 0 : over ? -EPIPE : -EAGAIN;
}

static inline int try_recv(struct lade_shared_channel *c, void *ret_items, uint32_t max,
			   uint32_t *ret_count)
{
	if (receive_at_once(c, ret_items, max, ret_count) == 0)
		return 0;
	return receive_slowly(c, ret_items, max, ret_count, NULL);
}

int lade_shared_channel_try_recv(struct lade_shared_channel *c, void *ret_items, uint32_t max,
				 uint32_t *ret_count)
{
	const struct lade_witness witness = c->witness;
	int rc = try_recv(c, ret_items, max, ret_count);

	lade_witness_tell(&witness, ITEM_RECEIVED, ret_items, *ret_count);
	return rc;
}

static inline int receive(struct lade_shared_channel *c, void *ret_items, uint32_t max,
			  uint32_t *ret_count, const char *site)
{
	uint32_t more = 0;
	int rc = lade_enter(site);

	*ret_count = 0;
	if (rc < 0 || !max)
		return rc;
	if (lade_likely(receive_at_once(c, ret_items, max, ret_count) == 0))
		return 0;
	if (look_out(c, &c->out, &c->in) && receive_at_once(c, ret_items, max, ret_count) == 0)
		return 0;
	rc = receive_slowly(c, ret_items, max, ret_count, site);
	if (rc == 0 && *ret_count == 1 && max > 1)
		(void)try_recv(c, (char *)ret_items + c->item_bytes, max - 1, &more);
	*ret_count += more;
	return rc;
}

int lade_shared_channel_recv_at(struct lade_shared_channel *c, void *ret_items, uint32_t max,
				uint32_t *ret_count, const char *site)
{
	const struct lade_witness witness = c->witness;
	int rc = receive(c, ret_items, max, ret_count, site);

	lade_witness_tell(&witness, ITEM_RECEIVED, ret_items, *ret_count);
	return rc;
}

int lade_shared_channel_reserve_at(struct lade_shared_channel *c, const char *site)
{
	int rc = lade_enter(site);

	if (rc < 0)
		return rc;
	lade_lock_take(&c->in.lock);
	if (!c->closed && !room(c, 1)) {
		lade_lock_take(&c->out.lock);
		if (!room(c, 1))
			return wait_in(c, senders(c), NULL, "a place in a shared channel", site);
		lade_lock_give(&c->out.lock);
	}
	if (c->closed)
		rc = -EPIPE;
	else
		c->reserved++;
	lade_lock_give(&c->in.lock);
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
	lock_both(c);
	check_reserved(c, "filled");
	c->reserved--;
	lade_witness_tell(&c->witness, ITEM_SENT, item, 1);
	put(c, item, &woken);
	hand_over_places(c, &woken);
	end_receivers(c, &woken);
	unlock_both(c);
	wake(&woken);
}

void lade_shared_channel_unreserve(struct lade_shared_channel *c)
{
	struct lade_link woken;

	lade_list_init(&woken);
	lock_both(c);
	check_reserved(c, "given up");
	c->reserved--;
	hand_over_places(c, &woken);
	end_receivers(c, &woken);
	unlock_both(c);
	wake(&woken);
}

/* Cases */

static int send_try(struct lade_case *c)
{
	uint32_t sent;

	return lade_shared_channel_try_send(c->object, c->slot, 1, &sent);
}

static int recv_try(struct lade_case *c)
{
	uint32_t count;

	return lade_shared_channel_try_recv(c->object, c->slot, 1, &count);
}

/* Makes a case ready to wait, and its select one that must be claimed. */
static struct wait *begin_case(struct lade_case *c, struct lade_selecting *s, int index)
{
	struct lade_shared_channel *channel = c->object;
	struct case_room *room = (void *)c->room;
	struct wait *w = &room->wait;

	room->witness = channel->witness;
	*w = (struct wait){ .waiter = { .selecting = s, .index = index, .slot = c->slot },
			    .channel = c->object };
	if (!s->shared) /* others read it once it waits somewhere */
		s->shared = true;
	return w;
}

/* What has become possible since the case was tried is done, unless another case of the select has
 * been done meanwhile: then the mail is on its way. */
static int send_arm(struct lade_case *c, struct lade_selecting *s, int index)
{
	struct lade_shared_channel *channel = c->object;
	struct wait *w = begin_case(c, s, index);
	struct case_room *own = (void *)c->room;
	struct lade_link woken;
	int rc = 0;

	own->hash = lade_witness_hash(&own->witness, c->slot);
	lade_list_init(&woken);
	lock_both(channel);
	if (channel->closed) {
		rc = -EPIPE;
	} else if (!room(channel, 1)) {
		enlist(w, senders(channel));
	} else if (lade_select_claim_shared(s)) {
		put(channel, c->slot, &woken);
		rc = LADE_CASE_DONE;
	}
	unlock_both(channel);
	wake(&woken);
	return rc;
}

static int recv_arm(struct lade_case *c, struct lade_selecting *s, int index)
{
	struct lade_shared_channel *channel = c->object;
	struct wait *w = begin_case(c, s, index);
	struct lade_link woken;
	int rc = 0;

	lade_list_init(&woken);
	lock_both(channel);
	if (stock(channel, 1)) {
		if (lade_select_claim_shared(s)) {
			receive_and_hand_over(channel, c->slot, 1, &woken);
			rc = LADE_CASE_DONE;
		}
	} else if (channel->closed && !channel->reserved) {
		rc = -EPIPE;
	} else {
		enlist(w, receivers(channel));
	}
	unlock_both(channel);
	wake(&woken);
	return rc;
}

static bool case_disarm(struct lade_case *c)
{
	(void)call_off((void *)c->room);
	return false;
}

static void send_chosen(struct lade_case *c)
{
	const struct case_room *room = (void *)c->room;

	lade_witness_told(&room->witness, ITEM_SENT, room->hash);
}

static void recv_chosen(struct lade_case *c)
{
	const struct case_room *room = (void *)c->room;

	lade_witness_tell(&room->witness, ITEM_RECEIVED, c->slot, 1);
}

static const struct lade_case_type send_case = { send_try, send_arm, case_disarm, send_chosen };
static const struct lade_case_type recv_case = { recv_try, recv_arm, case_disarm, recv_chosen };

struct lade_case lade_shared_channel_send_case(struct lade_shared_channel *channel,
					       const void *item)
{
	return (struct lade_case){ .type = &send_case,
				   .object = channel,
				   .slot = (void *)(uintptr_t)item };
}

struct lade_case lade_shared_channel_recv_case(struct lade_shared_channel *channel, void *ret_item)
{
	return (struct lade_case){ .type = &recv_case, .object = channel, .slot = ret_item };
}
