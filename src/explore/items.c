/* SPDX-License-Identifier: MIT */
/* items.c - the items of channels: none is lost or doubled on its way.
 *
 * DESIGN
 * Two things are looked at. Of each channel: what calls have reported as sent is what calls have
 * given out, and what is left in it when it is freed or the run ends. That is a count and a sum of
 * hashes for each channel, whatever the order, and must hold in every run. It is what lade
 * promises, and what a slot that two tasks share breaks.
 *
 * Of each item that the body's tasks take out of a channel that is not their own: whether it is put
 * into one again. An item of which as many are put in as are taken out when nothing is cancelled is
 * on its way from one channel to another, or back; taken out more often than put in, it has been
 * lost between the two. A body that uses items up does so undisturbed too, and is clean.
 *
 * LIMITS  CHANNELS_MAX channels of a run are looked at, and ITEMS_MAX items on their way. */

#include "explore/explore_priv.h"

#include <stdio.h>
#include <string.h>

#define CHANNELS_MAX 1024

/* What is known of a channel. */
struct seen {
	void *channel;		    /* NULL: it has been freed */
	void (*left)(void *channel); /* tells what is in it */
	const char *site;	    /* of the suspending call before it was made */
	bool is_own;		    /* the body made it: it ends with it */
	int64_t sent, received, left_len; /* items */
	uint64_t sum;		    /* hashes of those sent, less those that have come out */
};

static struct {
	struct seen channels[CHANNELS_MAX]; /* by number, from 1 */
	uint32_t channels_len;		    /* those looked at */
} at;

void explore_items_begin(void)
{
	memset(at.channels, 0, at.channels_len * sizeof(*at.channels));
	at.channels_len = 0;
}

uint32_t explore_channel(void *channel, void (*left)(void *channel), bool is_own, const char *site)
{
	if (at.channels_len == CHANNELS_MAX)
		return 0;
	at.channels[at.channels_len] = (struct seen){
		.channel = channel, .left = left, .site = site ? site : "", .is_own = is_own
	};
	return ++at.channels_len;
}

/* An item that the body's tasks have taken out of a channel of the world, or put into one. */
static void keep(struct outcome *out, enum lade_item_fate fate, uint64_t hash, const char *site,
		 const char *task)
{
	if (out->items_len == ITEMS_MAX)
		return;
	out->items[out->items_len++] = (struct item){ .hash = hash,
						      .is_sent = fate == ITEM_SENT,
						      .site = site,
						      .task = task };
}

static void count(struct seen *c, enum lade_item_fate fate, uint64_t hash)
{
	c->sent += fate == ITEM_SENT;
	c->received += fate == ITEM_RECEIVED;
	c->left_len += fate == ITEM_LEFT;
	c->sum += fate == ITEM_SENT ? hash : -hash;
}

void explore_item(struct outcome *out, uint32_t channel, enum lade_item_fate fate,
		  uint64_t hash, const struct lade_ctl *by, const char *site)
{
	struct seen *c = &at.channels[channel - 1];

	if (fate == ITEM_CHANNEL_FREED) {
		c->channel = NULL;
		return;
	}
	count(c, fate, hash);
	if (by && !c->is_own && fate != ITEM_LEFT)
		keep(out, fate, hash, site, by->head->type->name);
}

/* What is wrong with a channel at the end of a run: "", if nothing. */
static void look_at(const struct seen *c, char *text, size_t len)
{
	int64_t lost = c->sent - c->received - c->left_len;

	if (lost == 0 && c->sum == 0)
		return;
	snprintf(text, len,
		 "%s\n  of a channel made after %s, %lld items were sent, %lld were received and "
		 "%lld were left in it%s\n",
		 lost < 0 ? "DOUBLED ITEM" : "LOST ITEM", *c->site ? c->site : "the start",
		 (long long)c->sent, (long long)c->received, (long long)c->left_len,
		 lost ? "" : ", but not the same ones");
}

void explore_items_end(struct outcome *out)
{
	for (uint32_t i = 0; i < at.channels_len && !*out->channel_text; i++) {
		struct seen *c = &at.channels[i];

		if (c->channel)
			c->left(c->channel);
		look_at(c, out->channel_text, sizeof(out->channel_text));
	}
}

/* How often an item was taken out, less how often it was put in. */
static int taken(const struct outcome *out, uint64_t hash, int *ret_received)
{
	int received = 0, sent = 0;

	for (uint32_t i = 0; i < out->items_len; i++) {
		received += out->items[i].hash == hash && !out->items[i].is_sent;
		sent += out->items[i].hash == hash && out->items[i].is_sent;
	}
	*ret_received = received;
	return received - sent;
}

bool explore_find_lost_item(const struct outcome *a, const struct outcome *b, char *text,
			    size_t len)
{
	for (uint32_t i = 0; i < b->items_len; i++) {
		const struct item *item = &b->items[i];
		int received_a, received_b, in_a = taken(a, item->hash, &received_a);

		if (item->is_sent || !received_a || in_a != 0 ||
		    taken(b, item->hash, &received_b) <= 0)
			continue;
		snprintf(text, len,
			 "LOST ITEM\n"
			 "  an item that was taken out of a channel is in none any more;\n"
			 "  undisturbed, it is put into one again\n"
			 "  taken at        %s, in %s\n",
			 item->site, item->task);
		return true;
	}
	return false;
}
