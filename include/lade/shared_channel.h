/* SPDX-License-Identifier: MIT */
#ifndef LADE_SHARED_CHANNEL_H
#define LADE_SHARED_CHANNEL_H

/* shared_channel.h - typed channels between the tasks of all cores, and from other threads.
 *
 * LADE_SHARED_CHANNEL(job, struct job) defines struct job_shared_channel and its functions. What
 * holds for channel.h holds here, on any core: an item that could not be sent stays with its
 * sender, an item that was handed to a receiver is the receiver's. Each end costs a lock where
 * channel.h costs none; sending and receiving several at once pays it once.
 *
 * Example:
 *	struct job {
 *		int number;
 *	};
 *	LADE_SHARED_CHANNEL(job, struct job)
 *
 *	static inline int hand_out(struct job_shared_channel *jobs)
 *	{
 *		return job_shared_send(jobs, (struct job){ .number = 1 });
 *	}
 */

#include <lade/select.h>
#include <lade/task.h>

LADE_API_BEGIN

struct lade_shared_channel;

/* lade_shared_channel_new - a channel of @capacity items of @item_bytes.
 *
 * @drop, or NULL, gives up the items that are left when it is freed.
 * Returns 0; -ENOMEM; -EINVAL: a capacity of 0; -EOVERFLOW: capacity times size is over 1 GiB.
 * Suspends: no.  Threads: any.  Owns: lade_shared_channel_free frees it. */
int lade_shared_channel_new(uint32_t item_bytes, uint32_t capacity, void (*drop)(void *item),
			    struct lade_shared_channel **ret);

/* lade_shared_channel_free - frees a channel that nobody uses any more; NULL is allowed.
 *
 * Every receive has returned; a send that put in what was received may be on its way out: so who
 * receives the last item may free the channel, unless others receive from it too. What is left is
 * dropped here.
 * Returns NULL.  Suspends: no.  Threads: any. */
struct lade_shared_channel *lade_shared_channel_free(struct lade_shared_channel *channel);

/* lade_shared_channel_close - no more sends: they return -EPIPE, those that wait too; what is in
 * it can be received, and what is still committed to a place that was reserved before.
 *
 * Suspends: no.  Threads: any. */
void lade_shared_channel_close(struct lade_shared_channel *channel);

/* lade_shared_channel_len - items in it this moment.  Suspends: no.  Threads: any. */
uint32_t lade_shared_channel_len(struct lade_shared_channel *channel);

/* lade_shared_channel_send - the untyped face of NAME_shared_send and NAME_shared_send_many. */
lade_suspends int lade_shared_channel_send_at(struct lade_shared_channel *channel,
					      const void *items, uint32_t count, uint32_t *done,
					      const char *site);
/* lade_shared_channel_recv - the untyped face of NAME_shared_recv and NAME_shared_recv_many. */
lade_suspends int lade_shared_channel_recv_at(struct lade_shared_channel *channel, void *ret_items,
					      uint32_t max, uint32_t *ret_count, const char *site);
/* lade_shared_channel_try_send - the untyped face of NAME_shared_try_send. */
int lade_shared_channel_try_send(struct lade_shared_channel *channel, const void *items,
				 uint32_t count, uint32_t *ret_sent);
/* lade_shared_channel_try_recv - the untyped face of NAME_shared_try_recv. */
int lade_shared_channel_try_recv(struct lade_shared_channel *channel, void *ret_items,
				 uint32_t max, uint32_t *ret_count);
/* lade_shared_channel_reserve - the untyped face of NAME_shared_reserve. */
lade_suspends int lade_shared_channel_reserve_at(struct lade_shared_channel *channel,
						 const char *site);
/* lade_shared_channel_commit - the untyped face of NAME_shared_commit. */
void lade_shared_channel_commit(struct lade_shared_channel *channel, const void *item);
/* lade_shared_channel_unreserve - the untyped face of NAME_shared_unreserve. */
void lade_shared_channel_unreserve(struct lade_shared_channel *channel);

/* lade_shared_channel_send_case - the untyped face of NAME_shared_send_case. */
struct lade_case lade_shared_channel_send_case(struct lade_shared_channel *channel,
					       const void *item);
/* lade_shared_channel_recv_case - the untyped face of NAME_shared_recv_case. */
struct lade_case lade_shared_channel_recv_case(struct lade_shared_channel *channel,
					       void *ret_item);

/* LADE_SHARED_CHANNEL - LADE_SHARED_CHANNEL(name, type): the functions of a channel of that type.
 *
 *  name_shared_channel_new(capacity, &channel)   0, -ENOMEM, -EINVAL, -EOVERFLOW
 *  name_shared_channel_free(channel)             NULL
 *  name_shared_channel_close(channel)
 *  name_shared_send(channel, item)          0; -EPIPE: closed; -ECANCELED: the item stays yours
 *  name_shared_recv(channel, &item)         0; -EPIPE: closed, empty and no place reserved;
 *                                           -ECANCELED: none was taken
 *  name_shared_send_many(channel, items, count, &done)   sends from items[done] on; done counts
 *                                           those that were sent and is exact whatever it returns
 *  name_shared_recv_many(channel, items, max, &count)    waits for one, takes what else is there;
 *                                           with a max of 0 neither
 *  name_shared_try_send, name_shared_try_recv   one item without waiting: -EAGAIN
 *  name_shared_send_case(channel, &item), name_shared_recv_case(channel, &item)
 *                                           cases of lade_select, beside any others: of the tasks
 *                                           and threads that compete for an item or a place one
 *                                           gets it, and of a select's cases one is done
 *  name_shared_reserve(channel)             0: a place is yours; -EPIPE; -ECANCELED
 *  name_shared_commit(channel, item)        puts an item into the reserved place; cannot fail
 *  name_shared_unreserve(channel)           gives the place up
 *
 * send, recv and reserve suspend and are for tasks, of any core; the others do not and may be
 * called from any thread. */
#define LADE_SHARED_CHANNEL(name, type) LADE_SHARED_CHANNEL_WITH(name, type, NULL)

/* LADE_SHARED_CHANNEL_WITH - LADE_SHARED_CHANNEL_WITH(name, type, drop): drop(type *) gives up an
 * item that is left in a channel when it is freed. */
#define LADE_SHARED_CHANNEL_WITH(name, type, drop_fn)                                              \
	struct name##_shared_channel;                                                              \
	__attribute__((unused)) static inline void name##_shared_channel_drop(void *item)          \
	{                                                                                          \
		void (*const drop)(type *) = drop_fn;                                              \
		if (drop)                                                                          \
			drop(item);                                                                \
	}                                                                                          \
	__attribute__((unused)) static inline int name##_shared_channel_new(                       \
		uint32_t capacity, struct name##_shared_channel **ret)                             \
	{                                                                                          \
		struct lade_shared_channel *made = NULL;                                           \
		int rc = lade_shared_channel_new(sizeof(type), capacity,                           \
						 name##_shared_channel_drop, &made);               \
		if (rc == 0)                                                                       \
			*ret = (struct name##_shared_channel *)(void *)made;                       \
		return rc;                                                                         \
	}                                                                                          \
	__attribute__((unused)) static inline struct lade_shared_channel *                         \
		name##_shared_channel_raw(struct name##_shared_channel *channel)                   \
	{                                                                                          \
		return (struct lade_shared_channel *)(void *)channel;                              \
	}                                                                                          \
	__attribute__((unused)) static inline struct name##_shared_channel *                       \
		name##_shared_channel_free(struct name##_shared_channel *channel)                  \
	{                                                                                          \
		lade_shared_channel_free(name##_shared_channel_raw(channel));                      \
		return NULL;                                                                       \
	}                                                                                          \
	__attribute__((unused)) static inline void name##_shared_channel_close(                    \
		struct name##_shared_channel *channel)                                             \
	{                                                                                          \
		lade_shared_channel_close(name##_shared_channel_raw(channel));                     \
	}                                                                                          \
	__attribute__((unused)) static inline lade_suspends int name##_shared_send_many(           \
		struct name##_shared_channel *channel, type const *items, uint32_t count,          \
		uint32_t *done)                                                                    \
	{                                                                                          \
		return lade_shared_channel_send_at(name##_shared_channel_raw(channel), items,      \
						   count, done, #name "_shared_send_many");        \
	}                                                                                          \
	__attribute__((unused)) static inline lade_suspends int name##_shared_send(                \
		struct name##_shared_channel *channel, type item)                                  \
	{                                                                                          \
		return lade_shared_channel_send_at(name##_shared_channel_raw(channel), &item, 1,   \
						   &(uint32_t){ 0 },                               \
						   #name "_shared_send");                          \
	}                                                                                          \
	__attribute__((unused)) static inline lade_suspends int name##_shared_recv_many(           \
		struct name##_shared_channel *channel, type *ret_items, uint32_t max,              \
		uint32_t *ret_count)                                                               \
	{                                                                                          \
		return lade_shared_channel_recv_at(name##_shared_channel_raw(channel), ret_items,  \
						   max, ret_count, #name "_shared_recv_many");     \
	}                                                                                          \
	__attribute__((unused)) static inline lade_suspends int name##_shared_recv(                \
		struct name##_shared_channel *channel, type *ret_item)                             \
	{                                                                                          \
		return lade_shared_channel_recv_at(name##_shared_channel_raw(channel), ret_item,   \
						   1, &(uint32_t){ 0 },                            \
						   #name "_shared_recv");                          \
	}                                                                                          \
	__attribute__((unused)) static inline int name##_shared_try_send(                          \
		struct name##_shared_channel *channel, type item)                                  \
	{                                                                                          \
		return lade_shared_channel_try_send(name##_shared_channel_raw(channel), &item, 1,  \
						    &(uint32_t){ 0 });                             \
	}                                                                                          \
	__attribute__((unused)) static inline int name##_shared_try_recv(                          \
		struct name##_shared_channel *channel, type *ret_item)                             \
	{                                                                                          \
		return lade_shared_channel_try_recv(name##_shared_channel_raw(channel), ret_item,  \
						    1, &(uint32_t){ 0 });                          \
	}                                                                                          \
	__attribute__((unused)) static inline struct lade_case name##_shared_send_case(            \
		struct name##_shared_channel *channel, type const *item)                           \
	{                                                                                          \
		return lade_shared_channel_send_case(name##_shared_channel_raw(channel), item);    \
	}                                                                                          \
	__attribute__((unused)) static inline struct lade_case name##_shared_recv_case(            \
		struct name##_shared_channel *channel, type *ret_item)                             \
	{                                                                                          \
		return lade_shared_channel_recv_case(name##_shared_channel_raw(channel),           \
						     ret_item);                                    \
	}                                                                                          \
	__attribute__((unused)) static inline lade_suspends int name##_shared_reserve(             \
		struct name##_shared_channel *channel)                                             \
	{                                                                                          \
		return lade_shared_channel_reserve_at(name##_shared_channel_raw(channel),          \
						      #name "_shared_reserve");                    \
	}                                                                                          \
	__attribute__((unused)) static inline void name##_shared_commit(                           \
		struct name##_shared_channel *channel, type item)                                  \
	{                                                                                          \
		lade_shared_channel_commit(name##_shared_channel_raw(channel), &item);             \
	}                                                                                          \
	__attribute__((unused)) static inline void name##_shared_unreserve(                        \
		struct name##_shared_channel *channel)                                             \
	{                                                                                          \
		lade_shared_channel_unreserve(name##_shared_channel_raw(channel));                 \
	}

LADE_API_END

#endif
