/* SPDX-License-Identifier: MIT */
/* unawaited_close_fixed.c - the close is a cleanup: it is shielded, and whoever leaves waits. */

#include "service.h"

#include <lade/explore.h>
#include <lade/lade.h>

static bool locked; /* by whoever has the database open */

static int open_database(void)
{
	if (locked)
		return -EBUSY;
	locked = true;
	return 0;
}

static int close_database(void)
{
	int rc = lade_sleep(lade_ms(3)); /* what is not yet on the disk */

	locked = false;
	return rc;
}

static void close_it(void *arg)
{
	(void)arg;
	(void)!close_database();
}

LADE_EXPLORE(unawaited_close_fixed, .setup = start_service, .teardown = stop_service)
{
	const struct line city = { "Oslo" };
	struct line reply;
	int rc = open_database();

	if (rc < 0)
		return rc;
	lade_defer(close_it, NULL);
	return exchange(&service_address, &city, &reply);
}
