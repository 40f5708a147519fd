/* SPDX-License-Identifier: MIT */
/* partial_restart_bad.c - a loop with a time-out begins a half-read frame anew.
 *
 * A frame comes in pieces. The time-out of the loop, there to show a sign of life, falls between
 * two of them; what had been read is forgotten, and every later frame is read from its middle on.
 * omicron #3356 (a serial console that lost bytes in a select loop), kdbplus #8 (read_exact).
 *
 * Found: CHANGED, without an invariant or an annotation. */

#include "feed.h"

#include <lade/explore.h>

static int signs_of_life;

static int next_frame(char frame[FRAME_BYTES])
{
	size_t done;
	int rc;

	do {
		signs_of_life++;
		done = 0;
		rc = lade_within(lade_ms(50), /* named: half a frame is forgotten */
				 lade_read_exactly(feed[0], frame, FRAME_BYTES, &done));
	} while (rc == -ETIME);
	return rc;
}

LADE_EXPLORE(partial_restart_bad, .setup = start_feed, .teardown = stop_feed)
{
	char frame[FRAME_BYTES];
	int rc = next_frame(frame);

	return rc < 0 ? rc : is_frame(frame) ? 0 : -EBADMSG;
}
