/* SPDX-License-Identifier: MIT */
#ifndef LADE_CORE_WITNESS_H
#define LADE_CORE_WITNESS_H

/* witness.h - what an observer is told of the items of a channel.
 *
 * It is told where a call returns, not where an item changes hands inside: that what a send
 * has reported comes out of some receive is what is to be shown. A send that waits notes first what
 * it will tell: with the item its memory may become the receiver's. A channel that was made where
 * nobody observes has no witness, and what its calls do then is one test of a word that is zero. */

#include "base/hash.h"
#include "core/core_priv.h"

/* Who is told of one channel's items. A call that has waited tells by a copy that it took before:
 * the channel may be freed by then. */
struct lade_witness {
	struct lade_observer *observer; /* or NULL: nobody */
	uint32_t number;		/* the channel's, given by the observer */
	uint32_t item_bytes;		/* size of an item */
};

/* lade_witness_of - who is to be told of a channel that is made now; @left tells of all in it. */
static inline struct lade_witness lade_witness_of(void *channel, uint32_t item_bytes,
						  void (*left)(void *channel))
{
	struct lade_observer *o = lade_cur->gate & GATE_OBSERVED ? lade_cur->loop->observer : NULL;
	uint32_t number = o && o->channel ? o->channel(o, channel, left) : 0;

	return (struct lade_witness){ .observer = number ? o : NULL,
				      .number = number,
				      .item_bytes = item_bytes };
}

/* lade_witness_hash - what lade_witness_told is to be given of an item; 0: nobody is told. */
static inline uint64_t lade_witness_hash(const struct lade_witness *w, const void *item)
{
	return lade_likely(!w->observer) ? 0 : lade_hash_fnv(LADE_HASH_FNV, item, w->item_bytes);
}

/* lade_witness_told - tells what has become of one item. */
static inline void lade_witness_told(const struct lade_witness *w, enum lade_item_fate fate,
				     uint64_t hash)
{
	if (lade_unlikely(w->observer != NULL))
		w->observer->item(w->observer, w->number, fate, hash);
}

/* lade_witness_tell - tells what has become of @count items, one behind the other. */
static inline void lade_witness_tell(const struct lade_witness *w, enum lade_item_fate fate,
				     const void *items, uint32_t count)
{
	if (lade_likely(!w->observer))
		return;
	for (const char *item = items; count--; item += w->item_bytes)
		lade_witness_told(w, fate, lade_witness_hash(w, item));
}

#endif
