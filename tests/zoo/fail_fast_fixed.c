/* SPDX-License-Identifier: MIT */
/* fail_fast_fixed.c - what has begun to start ends starting, and one failure cancels nobody. */

#include "service.h"

#include <lade/explore.h>
#include <lade/lade.h>

static const struct line create[] = { { "create web" }, { "create db" } };
static const struct line boot[] = { { "boot web" }, { "boot db" } };
static bool known[2]; /* to run */

static int start_zone(int zone)
{
	struct line reply;
	int rc = 0;

	if (known[zone])
		return 0;
	lade_shield(lade_s(1)) {
		rc = exchange(&service_address, &create[zone], &reply);
		if (rc == 0)
			rc = exchange(&service_address, &boot[zone], &reply);
		known[zone] = rc == 0;
	}
	return rc;
}
LADE_TASK_VOID(start_zone, (int, zone))

LADE_EXPLORE(fail_fast_fixed, .setup = start_service, .teardown = stop_service)
{
	int rc = lade_join_all(lade_do(start_zone, 0), lade_do(start_zone, 1));

	return rc;
}
