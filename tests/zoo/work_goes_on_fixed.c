/* SPDX-License-Identifier: MIT */
/* work_goes_on_fixed.c - the deadline is round the work itself: when it returns, nothing runs. */

#include "service.h"

#include <lade/explore.h>
#include <lade/lade.h>

static bool running; /* there is one backup at a time */

static int make_backup(void)
{
	const struct line all = { "backup" };
	struct line reply;
	int rc = exchange(&service_address, &all, &reply);

	running = false;
	return rc;
}

static int answer_request(void)
{
	if (running)
		return -EBUSY;
	running = true;
	return lade_within(lade_ms(50), make_backup());
}

LADE_EXPLORE(work_goes_on_fixed, .setup = start_service, .teardown = stop_service)
{
	return answer_request();
}
