/* SPDX-License-Identifier: MIT */
/* partial_restart_fixed.c - what has been read of a frame belongs to the reader, not to the call.
 *
 * lade_read_exactly says how far it came, whatever ended it, and goes on from there. */

#include "feed.h"

#include <lade/explore.h>

static int signs_of_life;
static char frame[FRAME_BYTES]; /* being read */
static size_t done;		/* bytes of it that are here */

static int next_frame(char ret[FRAME_BYTES])
{
	int rc;

	do {
		signs_of_life++;
		rc = lade_within(lade_ms(50),
				 lade_read_exactly(feed[0], frame, FRAME_BYTES, &done));
	} while (rc == -ETIME);
	if (rc < 0)
		return rc;
	memcpy(ret, frame, FRAME_BYTES);
	done = 0;
	return 0;
}

LADE_EXPLORE(partial_restart_fixed, .setup = start_feed, .teardown = stop_feed)
{
	char next[FRAME_BYTES];
	int rc = next_frame(next);

	return rc < 0 ? rc : is_frame(next) ? 0 : -EBADMSG;
}
