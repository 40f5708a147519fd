/* SPDX-License-Identifier: MIT */
#ifndef EXAMPLES_LINE_H
#define EXAMPLES_LINE_H

/* line.h - one line out, one line back, over TCP: what the examples talk to each other with. */

#include <lade/lade.h>

#include <stdio.h>

/* A line without its end; what is behind the text is zero, so that it can be a key. */
struct line {
	char text[64];
};

/* say - sends a line. */
static inline int say(int fd, const struct line *line)
{
	char out[sizeof(*line) + 1];
	size_t len = (size_t)snprintf(out, sizeof(out), "%s\n", line->text), done = 0;

	return lade_write_all(fd, out, len, &done);
}

/* hear - receives a line; what is too long for it is cut.  -ENODATA: the other side has gone. */
static inline int hear(int fd, struct line *ret)
{
	struct lade_line_stream *in = lade_lines_of(fd, 0, 1, sizeof(ret->text) - 1);
	struct lade_line line;
	int rc = lade_line_next(in, &line);

	if (rc > 0) {
		*ret = (struct line){ "" };
		memcpy(ret->text, line.text, line.len);
		lade_line_drop(&line);
	}
	lade_line_stream_close(in);
	return rc > 0 ? 0 : rc < 0 ? rc : -ENODATA;
}

/* exchange - connects to an address, sends a line and receives the answer. */
static inline int exchange(void *address, const struct line *line, struct line *ret)
{
	int fd, rc = lade_connect_to(address, &fd);

	if (rc < 0)
		return rc;
	rc = say(fd, line);
	if (rc == 0)
		rc = hear(fd, ret);
	lade_close(fd);
	return rc;
}

/* What a server does with a line: 0 and the answer, or the connection is closed without one. */
typedef int line_handler(void *arg, const struct line *line, struct line *ret);

static inline int answer(int fd, line_handler *handler, void *arg)
{
	struct line line, reply = { "" };
	int rc = hear(fd, &line);

	if (rc == 0)
		rc = handler(arg, &line, &reply);
	if (rc == 0)
		rc = say(fd, &reply);
	lade_close(fd);
	return rc;
}
static inline void answer_drop(int fd, line_handler *handler, void *arg)
{
	(void)handler, (void)arg;
	lade_close(fd);
}
LADE_TASK_VOID_WITH(answer, (.drop_args = answer_drop), (int, fd), (line_handler *, handler),
		    (void *, arg))

/* serve_lines - answers every connection in a task of its own, until it is cancelled. */
static inline int serve_lines(int listener, line_handler *handler, void *arg)
{
	int rc = 0, fd;

	lade_scope(s, &rc, .policy = LADE_ALL) {
		while ((rc = lade_accept(listener, &fd)) == 0)
			if ((rc = lade_spawn(&s, answer_task(fd, handler, arg))) < 0)
				break;
	}
	return rc;
}
LADE_TASK_VOID(serve_lines, (int, listener), (line_handler *, handler), (void *, arg))

/* listen_here - listens on a free port of this machine; *ret_address is where. */
static inline int listen_here(struct line *ret_address, int *ret_fd)
{
	int rc = lade_listen("127.0.0.1:0", ret_fd);

	if (rc == 0)
		snprintf(ret_address->text, sizeof(ret_address->text), "127.0.0.1:%d",
			 lade_local_port(*ret_fd));
	return rc;
}

#endif
