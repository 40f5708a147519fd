/* SPDX-License-Identifier: MIT */
#ifndef TESTS_ZOO_SESSION_H
#define TESTS_ZOO_SESSION_H

/* session.h - a service whose connections take one request after the other. */

#include "service.h"

#include <string.h>

static line_handler *session_handler;

static inline int session(int fd)
{
	struct lade_line_stream *in = lade_lines_of(fd, 0, 1, 63);
	struct line line, reply = { "" };
	struct lade_line got;
	int rc;

	while ((rc = lade_line_next(in, &got)) > 0) {
		snprintf(line.text, sizeof(line.text), "%.*s", (int)got.len, got.text);
		lade_line_drop(&got);
		rc = session_handler(NULL, &line, &reply);
		if (rc == 0)
			rc = say(fd, &reply);
		if (rc < 0)
			break;
	}
	lade_line_stream_close(in);
	lade_close(fd);
	return rc;
}
LADE_TASK_VOID_WITH(session, (.drop_args = lade_close), (int, fd))

static inline int serve_sessions(void)
{
	int rc = 0, fd;

	lade_scope(s, &rc, .policy = LADE_ALL) {
		while ((rc = lade_accept(service_fd, &fd)) == 0)
			if ((rc = lade_spawn(&s, session_task(fd))) < 0)
				break;
	}
	return rc;
}
LADE_TASK_VOID(serve_sessions)

static struct serve_sessions_task sessions_task;

/* serve_sessions_of - a world with one that answers as @handler does; stop_service ends it. */
static inline int serve_sessions_of(struct lade_scope *world, line_handler *handler)
{
	int rc = listen_here(&service_address, &service_fd);

	if (rc < 0)
		return rc;
	session_handler = handler;
	sessions_task = serve_sessions_task();
	lade_start_daemon(world, &sessions_task);
	return 0;
}

/* start_sessions - a world with the slow service, in sessions. */
static inline int start_sessions(struct lade_scope *world)
{
	return serve_sessions_of(world, slow_reply);
}

/* is_about - whether a reply is the one to a question. */
static inline bool is_about(const struct line *reply, const struct line *question)
{
	return strcmp(reply->text + strlen("re: "), question->text) == 0;
}

#endif
