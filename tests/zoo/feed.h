/* SPDX-License-Identifier: MIT */
#ifndef TESTS_ZOO_FEED_H
#define TESTS_ZOO_FEED_H

/* feed.h - a pipe on which frames come, each in two pieces. */

#include <lade/lade.h>

#include <errno.h>
#include <string.h>

#define FRAME_BYTES 8

static int feed[2] = { -1, -1 }; /* feed[0] is read */

/* Writes until nobody reads, or the pipe is full of what nobody has read. */
static inline int write_frames(void)
{
	size_t done = 0;
	int rc = 0;

	for (int i = 0; i < 8 && rc == 0; i++) {
		done = 0;
		rc = lade_write_all(feed[1], "<fra", 4, &done);
		if (rc == 0)
			rc = lade_sleep(lade_ms(2));
		done = 0;
		if (rc == 0)
			rc = lade_write_all(feed[1], "mes>", 4, &done);
		if (rc == 0)
			rc = lade_sleep(lade_ms(2));
	}
	return rc;
}
LADE_TASK_VOID(write_frames)

static struct write_frames_task feed_writer;

/* start_feed - a world with the feed in it. */
static inline int start_feed(struct lade_scope *world)
{
	int rc = lade_pipe(feed);

	if (rc < 0)
		return rc;
	feed_writer = write_frames_task();
	lade_start_daemon(world, &feed_writer);
	return 0;
}

/* stop_feed - the end of that world. */
static inline void stop_feed(void)
{
	lade_close(feed[0]);
	lade_close(feed[1]);
}

/* is_frame - whether it is one, from its beginning to its end. */
static inline bool is_frame(const char frame[FRAME_BYTES])
{
	return memcmp(frame, "<frames>", FRAME_BYTES) == 0;
}

#endif
