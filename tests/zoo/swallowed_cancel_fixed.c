/* SPDX-License-Identifier: MIT */
/* swallowed_cancel_fixed.c - -ECANCELED is passed on, from the call and from the wait after it. */

#include "service.h"

#include <lade/explore.h>
#include <lade/lade.h>

#define TRIES 3

static int ask(const struct line *city, struct line *ret)
{
	int rc = -EIO;

	for (int i = 0; i < TRIES; i++) {
		rc = exchange(&service_address, city, ret);
		if (rc == 0 || rc == -ECANCELED)
			return rc;
		if (lade_sleep(lade_ms(10)) < 0)
			return -ECANCELED;
	}
	return -EHOSTDOWN;
}

LADE_EXPLORE(swallowed_cancel_fixed, .setup = start_service, .teardown = stop_service)
{
	const struct line city = { "Oslo" };
	struct line reply;

	return ask(&city, &reply);
}
