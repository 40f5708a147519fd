/* SPDX-License-Identifier: MIT */
/* http_store_fixed.c - the same, but what is paid for is stored before anything else can happen:
 * fetch and store are one, with a budget. */

#include "http_store.h"

static int buy(int64_t id, struct price *ret)
{
	int rc = 0;

	lade_shield(lade_s(5)) {
		rc = fetch_price(id, ret);
		if (rc == 0)
			rc = store_price(id, ret);
	}
	return rc;
}

static int answer(int64_t id)
{
	struct price price;
	int rc = find_price(id, &price);

	if (rc == 0)
		rc = buy(id, &price);
	return rc < 0 ? rc : send_price(&price);
}

LADE_EXPLORE(http_store_fixed, .setup = start_world, .teardown = stop_world)
{
	return lade_within(lade_s(1), answer(7));
}
