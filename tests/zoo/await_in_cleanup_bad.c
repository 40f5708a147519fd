/* SPDX-License-Identifier: MIT */
/* await_in_cleanup_bad.c - a cleanup that waits does nothing when its task is cancelled.
 *
 * Saying goodbye is a suspending call: after a cancel it fails at once, and what comes behind it is
 * never reached. httpcore #642 and trio's documentation; Swift got shields for it in SE-0504.
 *
 * Found: LEAK, without an invariant or an annotation. */

#include "session.h"

#include <lade/explore.h>

static const struct line city = { "Oslo" }, bye = { "bye" };

static int hang_up(int fd)
{
	int rc = say(fd, &bye); /* named: cancelled already, so nothing is closed */

	if (rc < 0)
		return rc;
	lade_close(fd);
	return 0;
}

LADE_EXPLORE(await_in_cleanup_bad, .setup = start_sessions, .teardown = stop_service)
{
	struct line reply;
	int fd, rc = lade_connect_to(service_address.text, &fd), bye_rc;

	if (rc < 0)
		return rc;
	rc = say(fd, &city);
	if (rc == 0)
		rc = hear(fd, &reply);
	bye_rc = hang_up(fd);
	return rc < 0 ? rc : bye_rc;
}
