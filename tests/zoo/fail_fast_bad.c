/* SPDX-License-Identifier: MIT */
/* fail_fast_bad.c - the first failure cancels the others in the middle of what they do.
 *
 * A zone is created, booted, and then written down. When another zone fails, this one is created
 * and never written down: it runs, and the program that started it does not know. omicron #3707,
 * try_for_each_concurrent: a host with zones that its agent knew nothing of.
 *
 * Found: LOST WORK, without an invariant or an annotation. */

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
	rc = exchange(&service_address, &create[zone], &reply);
	if (rc == 0)
		rc = exchange(&service_address, &boot[zone], &reply); /* named: the zone is there */
	known[zone] = rc == 0;
	return rc;
}
LADE_TASK_VOID(start_zone, (int, zone))

LADE_EXPLORE(fail_fast_bad, .setup = start_service, .teardown = stop_service)
{
	int rc = lade_join(lade_do(start_zone, 0), lade_do(start_zone, 1));

	return rc;
}
