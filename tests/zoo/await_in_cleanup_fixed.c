/* SPDX-License-Identifier: MIT */
/* await_in_cleanup_fixed.c - a deferred cleanup is shielded, and closes in any case. */

#include "session.h"

#include <lade/explore.h>

static const struct line city = { "Oslo" }, bye = { "bye" };

static void hang_up(void *arg)
{
	int *fd = arg;

	(void)!say(*fd, &bye);
	lade_close(*fd);
}

LADE_EXPLORE(await_in_cleanup_fixed, .setup = start_sessions, .teardown = stop_service)
{
	struct line reply;
	int fd, rc = lade_connect_to(service_address.text, &fd);

	if (rc < 0)
		return rc;
	lade_defer(hang_up, &fd);
	rc = say(fd, &city);
	if (rc == 0)
		rc = hear(fd, &reply);
	return rc;
}
