/* SPDX-License-Identifier: MIT */
/* hanging_shield_fixed.c - what is shielded has a deadline of its own, and a budget.
 *
 * The budget runs from a cancel on; a service that hangs for another reason meets the deadline. */

#include "upload.h"

#include <lade/explore.h>

static const struct line head = { "text" }, text = { "Oslo" }, end = { "end" };

static int finish(int fd, struct line *ret)
{
	int rc = say(fd, &end);

	return rc < 0 ? rc : hear(fd, ret);
}

/* Sends a text, and whatever happens its end, so that the service can tell what it got. */
static int upload(int fd, struct line *ret)
{
	int rc = say(fd, &head), end_rc = 0;

	if (rc == 0)
		rc = lade_sleep(lade_ms(1)); /* the text is read from a disk */
	if (rc == 0)
		rc = say(fd, &text);
	lade_shield(lade_s(1))
		end_rc = lade_within(lade_ms(500), finish(fd, ret));
	return rc < 0 ? rc : end_rc;
}

LADE_EXPLORE(hanging_shield_fixed, .setup = start_uploads, .teardown = stop_service)
{
	struct line answer;
	int fd, rc = lade_connect_to(service_address.text, &fd);

	if (rc < 0)
		return rc;
	rc = upload(fd, &answer);
	lade_close(fd);
	return rc;
}
