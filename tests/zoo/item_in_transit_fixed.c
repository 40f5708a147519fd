/* SPDX-License-Identifier: MIT */
/* item_in_transit_fixed.c - a place in the next queue first, the item then: no wait in between. */

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
	int rc = order_reserve(picked);

	if (rc < 0)
		return rc;
	rc = order_recv(orders, &order);
	if (rc == 0)
		order_commit(picked, order);
	else
		order_unreserve(picked);
	return rc;
}

LADE_EXPLORE(item_in_transit_fixed, .setup = fill, .teardown = empty)
{
	return pick();
}
