/* SPDX-License-Identifier: MIT */
#ifndef LADE_CHANNEL_H
#define LADE_CHANNEL_H

/* channel.h - typed channels between the tasks of a loop.
 *
 * LADE_CHANNEL(flight, struct flight) defines struct flight_channel and flight_send, flight_recv
 * and their kin. An item that could not be sent stays with its sender; an item that was handed to
 * a receiver is the receiver's, although a cancel may be on its way to it. */

#include <lade/select.h>

LADE_API_BEGIN

struct lade_channel;

/* lade_channel_new - a channel of items of @item_bytes; @capacity 0: a send waits for a receiver.
 *
 * @drop, or NULL, gives up the items that are left when it is freed.
 * Returns 0; -ENOMEM; -EOVERFLOW: capacity times size is over 1 GiB.
 * Suspends: no.  Threads: its loop's.  Owns: lade_channel_free frees it. */
int lade_channel_new(uint32_t item_bytes, uint32_t capacity, void (*drop)(void *item),
		     struct lade_channel **ret);

/* lade_channel_free - frees a channel that no task waits on; NULL is allowed.
 *
 * Returns NULL.  Suspends: no. */
struct lade_channel *lade_channel_free(struct lade_channel *channel);

/* lade_channel_close - no more sends: they return -EPIPE, those that wait too; what is in it can
 * be received, and what is still committed to a place that was reserved before.
 *
 * Suspends: no.  Threads: its loop's. */
void lade_channel_close(struct lade_channel *channel);

/* lade_channel_len - items that can be received without a sender.  Suspends: no. */
uint32_t lade_channel_len(const struct lade_channel *channel);

/* lade_channel_send - the untyped face of NAME_send. */
lade_suspends int lade_channel_send_at(struct lade_channel *channel, const void *item,
				       const char *site);
/* lade_channel_recv - the untyped face of NAME_recv. */
lade_suspends int lade_channel_recv_at(struct lade_channel *channel, void *ret_item,
				       const char *site);
/* lade_channel_try_send - the untyped face of NAME_try_send. */
int lade_channel_try_send(struct lade_channel *channel, const void *item);
/* lade_channel_try_recv - the untyped face of NAME_try_recv. */
int lade_channel_try_recv(struct lade_channel *channel, void *ret_item);
/* lade_channel_reserve - the untyped face of NAME_reserve. */
lade_suspends int lade_channel_reserve_at(struct lade_channel *channel, const char *site);
/* lade_channel_commit - the untyped face of NAME_commit. */
void lade_channel_commit(struct lade_channel *channel, const void *item);
/* lade_channel_unreserve - the untyped face of NAME_unreserve. */
void lade_channel_unreserve(struct lade_channel *channel);
/* lade_channel_send_case - the untyped face of NAME_send_case. */
struct lade_case lade_channel_send_case(struct lade_channel *channel, const void *item);
/* lade_channel_recv_case - the untyped face of NAME_recv_case. */
struct lade_case lade_channel_recv_case(struct lade_channel *channel, void *ret_item);

/* LADE_CHANNEL - LADE_CHANNEL(name, type): the functions of a channel of that type.
 *
 *  name_channel_new(capacity, &channel)   0, -ENOMEM, -EOVERFLOW
 *  name_channel_free(channel)             NULL
 *  name_channel_close(channel)
 *  name_send(channel, item)               0; -EPIPE: closed; -ECANCELED: the item stays yours
 *  name_recv(channel, &item)              0; -EPIPE: closed, empty and no place reserved;
 *                                         -ECANCELED: none was taken
 *  name_try_send, name_try_recv           the same without waiting: -EAGAIN
 *  name_reserve(channel)                  0: a place is yours; -EPIPE; -ECANCELED; -EOPNOTSUPP:
 *                                         the channel has no places (capacity 0)
 *  name_commit(channel, item)             puts an item into the reserved place; cannot fail
 *  name_unreserve(channel)                gives the place up
 *  name_send_case(channel, &item), name_recv_case(channel, &item)   cases of lade_select
 *
 * send, recv and reserve suspend; the others do not.  Threads: the channel's loop's. */
#define LADE_CHANNEL(name, type) LADE_CHANNEL_WITH(name, type, NULL)

/* LADE_CHANNEL_WITH - LADE_CHANNEL_WITH(name, type, drop): drop(type *) gives up an item that is
 * left in a channel when it is freed. */
#define LADE_CHANNEL_WITH(name, type, drop_fn)                                                     \
	struct name##_channel;                                                                     \
	__attribute__((unused)) static inline void name##_channel_drop(void *item)                 \
	{                                                                                          \
		void (*const drop)(type *) = drop_fn;                                              \
		if (drop)                                                                          \
			drop(item);                                                                \
	}                                                                                          \
	__attribute__((unused)) static inline int name##_channel_new(                              \
		uint32_t capacity, struct name##_channel **ret)                                    \
	{                                                                                          \
		struct lade_channel *made = NULL;                                                  \
		int rc = lade_channel_new(sizeof(type), capacity, name##_channel_drop, &made);     \
		if (rc == 0)                                                                       \
			*ret = (struct name##_channel *)(void *)made;                              \
		return rc;                                                                         \
	}                                                                                          \
	__attribute__((unused)) static inline struct lade_channel *name##_channel_raw(             \
		struct name##_channel *channel)                                                    \
	{                                                                                          \
		return (struct lade_channel *)(void *)channel;                                     \
	}                                                                                          \
	__attribute__((unused)) static inline struct name##_channel *name##_channel_free(          \
		struct name##_channel *channel)                                                    \
	{                                                                                          \
		lade_channel_free(name##_channel_raw(channel));                                    \
		return NULL;                                                                       \
	}                                                                                          \
	__attribute__((unused)) static inline void name##_channel_close(                           \
		struct name##_channel *channel)                                                    \
	{                                                                                          \
		lade_channel_close(name##_channel_raw(channel));                                   \
	}                                                                                          \
	__attribute__((unused)) static inline lade_suspends int name##_send(                       \
		struct name##_channel *channel, type item)                                         \
	{                                                                                          \
		return lade_channel_send_at(name##_channel_raw(channel), &item, #name "_send");    \
	}                                                                                          \
	__attribute__((unused)) static inline lade_suspends int name##_recv(                       \
		struct name##_channel *channel, type *ret_item)                                    \
	{                                                                                          \
		return lade_channel_recv_at(name##_channel_raw(channel), ret_item, #name "_recv"); \
	}                                                                                          \
	__attribute__((unused)) static inline int name##_try_send(struct name##_channel *channel,  \
								  type item)                       \
	{                                                                                          \
		return lade_channel_try_send(name##_channel_raw(channel), &item);                  \
	}                                                                                          \
	__attribute__((unused)) static inline int name##_try_recv(struct name##_channel *channel,  \
								  type *ret_item)                  \
	{                                                                                          \
		return lade_channel_try_recv(name##_channel_raw(channel), ret_item);               \
	}                                                                                          \
	__attribute__((unused)) static inline lade_suspends int name##_reserve(                    \
		struct name##_channel *channel)                                                    \
	{                                                                                          \
		return lade_channel_reserve_at(name##_channel_raw(channel), #name "_reserve");     \
	}                                                                                          \
	__attribute__((unused)) static inline void name##_commit(struct name##_channel *channel,   \
								 type item)                        \
	{                                                                                          \
		lade_channel_commit(name##_channel_raw(channel), &item);                           \
	}                                                                                          \
	__attribute__((unused)) static inline void name##_unreserve(                               \
		struct name##_channel *channel)                                                    \
	{                                                                                          \
		lade_channel_unreserve(name##_channel_raw(channel));                               \
	}                                                                                          \
	__attribute__((unused)) static inline struct lade_case name##_send_case(                   \
		struct name##_channel *channel, type const *item)                                  \
	{                                                                                          \
		return lade_channel_send_case(name##_channel_raw(channel), item);                  \
	}                                                                                          \
	__attribute__((unused)) static inline struct lade_case name##_recv_case(                   \
		struct name##_channel *channel, type *ret_item)                                    \
	{                                                                                          \
		return lade_channel_recv_case(name##_channel_raw(channel), ret_item);              \
	}

LADE_API_END

#endif
