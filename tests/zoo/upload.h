/* SPDX-License-Identifier: MIT */
#ifndef TESTS_ZOO_UPLOAD_H
#define TESTS_ZOO_UPLOAD_H

/* upload.h - a service that takes a text in three lines, "text", the text itself and "end", and
 * answers when it has all three. */

#include "service.h"

static inline int take_upload(int fd)
{
	struct lade_line_stream *in = lade_lines_of(fd, 0, 1, 63);
	const struct line done = { "done" };
	struct lade_line got;
	int rc = 1;

	for (int i = 0; i < 3 && rc > 0; i++)
		if ((rc = lade_line_next(in, &got)) > 0)
			lade_line_drop(&got);
	if (rc > 0)
		rc = say(fd, &done);
	lade_line_stream_close(in);
	lade_close(fd);
	return rc;
}
LADE_TASK_VOID_WITH(take_upload, (.drop_args = lade_close), (int, fd))

static inline int take_uploads(void)
{
	int rc = 0, fd;

	lade_scope(s, &rc, .policy = LADE_ALL) {
		while ((rc = lade_accept(service_fd, &fd)) == 0)
			if ((rc = lade_spawn(&s, take_upload_task(fd))) < 0)
				break;
	}
	return rc;
}
LADE_TASK_VOID(take_uploads)

static struct take_uploads_task uploads_task;

/* start_uploads - a world with it; stop_service ends it. */
static inline int start_uploads(struct lade_scope *world)
{
	int rc = listen_here(&service_address, &service_fd);

	if (rc < 0)
		return rc;
	uploads_task = take_uploads_task();
	lade_start_daemon(world, &uploads_task);
	return 0;
}

#endif
