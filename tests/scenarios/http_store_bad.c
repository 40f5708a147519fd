/* SPDX-License-Identifier: MIT */
/* http_store_bad.c - fetch by HTTP, send on, store in SQLite, by hand: the seed of it all, between
 * two connectors.
 *
 * Found: LOST WORK, without an invariant or an annotation. */

#include "http_store.h"

static int answer(int64_t id)
{
	struct price price;
	int rc = find_price(id, &price);

	if (rc > 0)
		return send_price(&price);
	if (rc == 0)
		rc = fetch_price(id, &price);
	if (rc == 0)
		rc = send_price(&price); /* named: here the reply is lost */
	return rc == 0 ? store_price(id, &price) : rc;
}

LADE_EXPLORE(http_store_bad, .setup = start_world, .teardown = stop_world)
{
	return lade_within(lade_s(1), answer(7));
}
