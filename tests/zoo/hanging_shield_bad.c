/* SPDX-License-Identifier: MIT */
/* hanging_shield_bad.c - what must be done whole waits for ever, and nothing can end it.
 *
 * The end of an upload is shielded, reply included. Cancelled before the text was sent, the service
 * takes the end for the text and waits for more, and so do both. Without a budget a shield does not
 * compile; with one of an hour it is an hour. httpcore #726, in review: "risky to shield this
 * operation without a timeout".
 *
 * Found: SLOW TO END, without an invariant or an annotation. */

#include "upload.h"

#include <lade/explore.h>

static const struct line head = { "text" }, text = { "Oslo" }, end = { "end" };

/* Sends a text, and whatever happens its end, so that the service can tell what it got. */
static int upload(int fd, struct line *ret)
{
	int rc = say(fd, &head);

	if (rc == 0)
		rc = lade_sleep(lade_ms(1)); /* the text is read from a disk */
	if (rc == 0)
		rc = say(fd, &text);
	lade_shield(lade_s(3600))
		if (say(fd, &end) == 0 && hear(fd, ret) < 0) /* named: for an hour */
			rc = rc < 0 ? rc : -EPROTO;
	return rc;
}

LADE_EXPLORE(hanging_shield_bad, .setup = start_uploads, .teardown = stop_service)
{
	struct line answer;
	int fd, rc = lade_connect_to(service_address.text, &fd);

	if (rc < 0)
		return rc;
	rc = upload(fd, &answer);
	lade_close(fd);
	return rc;
}
