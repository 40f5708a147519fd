/* SPDX-License-Identifier: MIT */
/* channel.c - items handed from task to task.
 *
 * DESIGN
 * A ring of @capacity places and two lists of waiters. A receiver that waits gets its item written
 * into its own slot at the moment of the send, a sender that waits has its item taken from its
 * slot; so an item is in exactly one place at any time, and a cancelled waiter, which is out of
 * the lists first, has neither lost nor kept one.
 *
 * INVARIANT  receivers wait only while nothing can be received, senders only while nothing can be
 * sent: never both. len + reserved <= capacity.
 *
 * LIMITS  capacity times item size is at most 1 GiB; it is allocated when the channel is made. */

#include "core/switch.h"
#include "core/witness.h"
#include "sync/select_priv.h"

#include <lade/channel.h>

#include "base/alloc.h"

#include <errno.h>
#include <string.h>

#define BYTES_MAX ((uint64_t)1 << 30)

struct lade_channel {
	struct lade_link senders;   /* waiters whose slot is the item */
	struct lade_link receivers; /* waiters whose slot is where it goes */
	struct lade_link reservers; /* waiters for a place */
	uint32_t item_bytes;	    /* size of an item */
	uint32_t capacity;	    /* places */
	uint32_t first;		    /* place of the oldest item */
	uint32_t len;		    /* items in the ring */
	uint32_t reserved;	    /* places promised */
	bool closed;		    /* nothing more is sent */
	void (*drop)(void *item);   /* gives up what is left */
	struct lade_witness witness; /* who is told of its items */
	char items[];		    /* the ring */
};

static void tell_left(void *channel);

int lade_channel_new(uint32_t item_bytes, uint32_t capacity, void (*drop)(void *item),
		     struct lade_channel **ret)
{
	uint64_t bytes = (uint64_t)item_bytes * capacity;
	struct lade_channel *c;

	if (bytes > BYTES_MAX)
		return -EOVERFLOW;
	c = lade_malloc(sizeof(*c) + (size_t)bytes);
	if (!c)
		return -ENOMEM;
	*c = (struct lade_channel){ .item_bytes = item_bytes, .capacity = capacity, .drop = drop };
	lade_list_init(&c->senders);
	lade_list_init(&c->receivers);
	lade_list_init(&c->reservers);
	c->witness = lade_witness_of(c, item_bytes, tell_left);
	*ret = c;
	return 0;
}

static inline void copy(void *to, const void *from, uint32_t bytes)
{
	/* The common sizes without a call. */
	if (bytes == 8)
		memcpy(to, from, 8);
	else
		memcpy(to, from, bytes);
}

static char *place(struct lade_channel *c, uint32_t index)
{
	uint32_t at = c->first + index;

	if (at >= c->capacity)
		at -= c->capacity;
	return c->items + (size_t)at * c->item_bytes;
}

static void push(struct lade_channel *c, const void *item)
{
	copy(place(c, c->len), item, c->item_bytes);
	c->len++;
}

static void pop(struct lade_channel *c, void *ret_item)
{
	copy(ret_item, place(c, 0), c->item_bytes);
	c->first = c->first + 1 == c->capacity ? 0 : c->first + 1;
	c->len--;
}

static void tell_left(void *channel)
{
	struct lade_channel *c = channel;

	for (uint32_t i = 0; i < c->len; i++)
		lade_witness_tell(&c->witness, ITEM_LEFT, place(c, i), 1);
}

struct lade_channel *lade_channel_free(struct lade_channel *channel)
{
	if (!channel)
		return NULL;
	tell_left(channel);
	lade_witness_told(&channel->witness, ITEM_CHANNEL_FREED, 0);
	if (channel->drop)
		for (uint32_t i = 0; i < channel->len; i++)
			channel->drop(place(channel, i));
	lade_free(channel);
	return NULL;
}

/* Whether nothing can be received any more: a place that is reserved may still be filled. */
static inline bool is_over(const struct lade_channel *c)
{
	return c->closed && !c->len && !c->reserved;
}

static void end_waiters(struct lade_link *list)
{
	struct lade_waiter *w;

	while ((w = lade_first_waiter(list)))
		lade_grant(w, -EPIPE);
}

void lade_channel_close(struct lade_channel *channel)
{
	if (channel->closed)
		return;
	channel->closed = true;
	end_waiters(&channel->senders);
	end_waiters(&channel->reservers);
	if (is_over(channel))
		end_waiters(&channel->receivers);
}

uint32_t lade_channel_len(const struct lade_channel *channel)
{
	return channel->len;
}

/* A place has become free: it goes to who waits for one. */
static void hand_over_place(struct lade_channel *c)
{
	struct lade_waiter *w;

	while (c->len + c->reserved < c->capacity) {
		if ((w = lade_first_waiter(&c->reservers)))
			c->reserved++;
		else if ((w = lade_first_waiter(&c->senders)))
			push(c, w->slot);
		else
			return;
		lade_grant(w, 0);
	}
}

static inline __attribute__((always_inline)) int try_send(struct lade_channel *c,
							  const void *item)
{
	struct lade_waiter *w;

	if (lade_unlikely(c->closed))
		return -EPIPE;
	if ((w = lade_first_waiter(&c->receivers))) {
		copy(w->slot, item, c->item_bytes);
		lade_grant(w, 0);
		return 0;
	}
	if (c->len + c->reserved >= c->capacity)
		return -EAGAIN;
	push(c, item);
	return 0;
}

static inline __attribute__((always_inline)) int try_recv(struct lade_channel *c, void *ret_item)
{
	struct lade_waiter *w;

	if (c->len) {
		pop(c, ret_item);
		if (!lade_list_empty(&c->senders) || !lade_list_empty(&c->reservers))
			hand_over_place(c);
		return 0;
	}
	if ((w = lade_first_waiter(&c->senders))) {
		copy(ret_item, w->slot, c->item_bytes);
		lade_grant(w, 0);
		return 0;
	}
	return is_over(c) ? -EPIPE : -EAGAIN;
}

int lade_channel_try_send(struct lade_channel *channel, const void *item)
{
	int rc = try_send(channel, item);

	if (rc == 0)
		lade_witness_tell(&channel->witness, ITEM_SENT, item, 1);
	return rc;
}

int lade_channel_try_recv(struct lade_channel *channel, void *ret_item)
{
	int rc = try_recv(channel, ret_item);

	if (rc == 0)
		lade_witness_tell(&channel->witness, ITEM_RECEIVED, ret_item, 1);
	return rc;
}

/* Waits in a list of the channel, one return away from the caller's caller. */
static inline __attribute__((always_inline)) int wait_in(struct lade_link *list, void *slot,
							 const char *what, const char *site)
{
	struct lade_plain_wait w;

	lade_op_init(&w.op, what, site, lade_waiter_abort);
	w.waiter.op = &w.op;
	w.waiter.selecting = NULL;
	w.waiter.slot = slot;
	lade_list_append(list, &w.waiter.link);
	return lade_op_wait_inline(&w.op);
}

/* A send that has to look closer: a request holds, or somebody observes. */
static __attribute__((noinline, cold)) int send_closely(struct lade_channel *c, const void *item,
							const char *site)
{
	const struct lade_witness witness = c->witness;
	const uint64_t hash = lade_witness_hash(&witness, item);
	int rc = lade_enter(site);

	if (rc < 0)
		return rc;
	rc = try_send(c, item);
	if (rc == -EAGAIN)
		rc = wait_in(&c->senders, (void *)(uintptr_t)item, "a send", site);
	if (rc == 0)
		lade_witness_told(&witness, ITEM_SENT, hash);
	return rc;
}

int lade_channel_send_at(struct lade_channel *channel, const void *item, const char *site)
{
	int rc;

	if (lade_unlikely(lade_cur->gate))
		return send_closely(channel, item, site);
	rc = lade_enter(site);
	if (lade_unlikely(rc < 0))
		return rc;
	rc = try_send(channel, item);
	if (rc != -EAGAIN)
		return rc;
	/* The slot is only read from: const comes off for the one struct of both directions. */
	return wait_in(&channel->senders, (void *)(uintptr_t)item, "a send", site);
}

static __attribute__((noinline, cold)) int recv_closely(struct lade_channel *c, void *ret_item,
							const char *site)
{
	const struct lade_witness witness = c->witness;
	int rc = lade_enter(site);

	if (rc < 0)
		return rc;
	rc = try_recv(c, ret_item);
	if (rc == -EAGAIN)
		rc = wait_in(&c->receivers, ret_item, "a receive", site);
	if (rc == 0)
		lade_witness_tell(&witness, ITEM_RECEIVED, ret_item, 1);
	return rc;
}

int lade_channel_recv_at(struct lade_channel *channel, void *ret_item, const char *site)
{
	int rc;

	if (lade_unlikely(lade_cur->gate))
		return recv_closely(channel, ret_item, site);
	rc = lade_enter(site);
	if (lade_unlikely(rc < 0))
		return rc;
	rc = try_recv(channel, ret_item);
	if (rc != -EAGAIN)
		return rc;
	return wait_in(&channel->receivers, ret_item, "a receive", site);
}

int lade_channel_reserve_at(struct lade_channel *channel, const char *site)
{
	int rc = lade_enter(site);

	if (rc < 0)
		return rc;
	if (!channel->capacity)
		return -EOPNOTSUPP;
	if (channel->closed)
		return -EPIPE;
	if (channel->len + channel->reserved < channel->capacity) {
		channel->reserved++;
		return 0;
	}
	return wait_in(&channel->reservers, NULL, "a place in a channel", site);
}

void lade_channel_commit(struct lade_channel *channel, const void *item)
{
	struct lade_waiter *w;

	if (lade_unlikely(!channel->reserved))
		lade_misuse("a commit to a channel without a reserved place");
	channel->reserved--;
	lade_witness_tell(&channel->witness, ITEM_SENT, item, 1);
	if ((w = lade_first_waiter(&channel->receivers))) {
		copy(w->slot, item, channel->item_bytes);
		lade_grant(w, 0);
		hand_over_place(channel);
		if (is_over(channel))
			end_waiters(&channel->receivers);
		return;
	}
	push(channel, item);
}

void lade_channel_unreserve(struct lade_channel *channel)
{
	if (lade_unlikely(!channel->reserved))
		lade_misuse("a channel's place is given up that was not reserved");
	channel->reserved--;
	if (!channel->closed)
		hand_over_place(channel);
	else if (is_over(channel))
		end_waiters(&channel->receivers);
}

/* Cases */

/* What a case of a channel needs while it waits. */
struct case_room {
	struct lade_waiter waiter;
	struct lade_witness witness; /* a copy: the channel may be freed when the select goes on */
	uint64_t hash;		     /* of what is sent, for the witness */
};

_Static_assert(sizeof(struct case_room) <= sizeof(((struct lade_case *)0)->room), "fits");

static struct case_room *room_of(struct lade_case *c)
{
	return (void *)c->room;
}

static int send_try(struct lade_case *c)
{
	return lade_channel_try_send(c->object, c->slot);
}

static int recv_try(struct lade_case *c)
{
	return lade_channel_try_recv(c->object, c->slot);
}

static int case_arm(struct lade_link *list, struct lade_case *c, struct lade_selecting *s,
		    int index)
{
	struct case_room *room = room_of(c);

	room->waiter =
		(struct lade_waiter){ .selecting = s, .index = index, .slot = c->slot };
	room->witness = ((struct lade_channel *)c->object)->witness;
	lade_list_append(list, &room->waiter.link);
	return 0;
}

static int send_arm(struct lade_case *c, struct lade_selecting *s, int index)
{
	struct case_room *room = room_of(c);
	int rc = case_arm(&((struct lade_channel *)c->object)->senders, c, s, index);

	room->hash = lade_witness_hash(&room->witness, c->slot);
	return rc;
}

static int recv_arm(struct lade_case *c, struct lade_selecting *s, int index)
{
	return case_arm(&((struct lade_channel *)c->object)->receivers, c, s, index);
}

static bool case_disarm(struct lade_case *c)
{
	lade_list_remove(&room_of(c)->waiter.link);
	return false;
}

static void send_chosen(struct lade_case *c)
{
	lade_witness_told(&room_of(c)->witness, ITEM_SENT, room_of(c)->hash);
}

static void recv_chosen(struct lade_case *c)
{
	lade_witness_tell(&room_of(c)->witness, ITEM_RECEIVED, c->slot, 1);
}

static const struct lade_case_type send_case = { send_try, send_arm, case_disarm, send_chosen };
static const struct lade_case_type recv_case = { recv_try, recv_arm, case_disarm, recv_chosen };

struct lade_case lade_channel_send_case(struct lade_channel *channel, const void *item)
{
	return (struct lade_case){ .type = &send_case,
				   .object = channel,
				   .slot = (void *)(uintptr_t)item };
}

struct lade_case lade_channel_recv_case(struct lade_channel *channel, void *ret_item)
{
	return (struct lade_case){ .type = &recv_case, .object = channel, .slot = ret_item };
}
