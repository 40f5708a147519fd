/* SPDX-License-Identifier: MIT */
/* item_in_transit_bad.c - an item has left one queue and has not reached the next.
 *
 * Neither queue loses anything: a cancelled receive has taken nothing, a cancelled send leaves the
 * item with its sender, who has nowhere to keep it. anyio #728, Kotlin #1813 and tokio #5947 lost
 * items inside the queue itself, which rules 10, 12 and 13 do not allow.
 *
 * Found: LOST ITEM, without an invariant: undisturbed, what leaves a queue goes into one. */

#include <lade/explore.h>
#include <lade/lade.h>

LADE_CHANNEL(order, long)

static struct order_channel *orders, *picked;

static int fill(struct lade_scope *world)
{
	int rc = order_channel_new(4, &orders);

	(void)world;
	if (rc == 0)
		rc = order_channel_new(4, &picked);
	for (long number = 1; number <= 2 && rc == 0; number++)
		rc = order_try_send(orders, number);
	return rc;
}

static void empty(void)
{
	order_channel_free(orders);
	order_channel_free(picked);
}

static int pick(void)
{
	long order;
	int rc = order_recv(orders, &order);

	if (rc == 0)
		rc = order_send(picked, order); /* named: the order is in neither queue */
	return rc;
}

LADE_EXPLORE(item_in_transit_bad, .setup = fill, .teardown = empty)
{
	return pick();
}
