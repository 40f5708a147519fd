/* SPDX-License-Identifier: MIT */
#ifndef LADE_TESTS_UNIX_SOCKET_H
#define LADE_TESTS_UNIX_SOCKET_H

/* unix_socket.h - a conversation over a UNIX socket, with a half-close; also in the simulation. */

#include "tap.h"

#include <lade/io.h>
#include <lade/join.h>

#include <errno.h>
#include <string.h>

/* Reads to the end, then answers with the number of bytes. */
static int count_to_the_end(int listener)
{
	char buf[100];
	uint32_t count = 0;
	size_t done = 0;
	int fd, n, rc = lade_accept(listener, &fd);

	if (rc < 0)
		return rc;
	while ((n = lade_read(fd, buf, sizeof(buf))) > 0)
		count += (uint32_t)n;
	rc = n < 0 ? n : lade_write_all(fd, &count, sizeof(count), &done);
	lade_close(fd);
	return rc;
}
LADE_TASK_VOID(count_to_the_end, (int, listener))

static int ask_how_many(const char *address, uint32_t *ret)
{
	static const char text[1000];
	size_t done = 0;
	int fd, rc = lade_connect_to(address, &fd);

	if (rc < 0)
		return rc;
	CHECK_EQ(lade_local_port(fd), -EAFNOSUPPORT);
	rc = lade_write_all(fd, text, sizeof(text), &done);
	if (rc == 0)
		rc = lade_shutdown(fd);
	done = 0;
	if (rc == 0)
		CHECK_EQ(lade_write_all(fd, text, 1, &done), -EPIPE);
	if (rc == 0)
		rc = lade_read_exactly(fd, ret, sizeof(*ret), &done);
	lade_close(fd);
	return rc;
}
LADE_TASK(ask_how_many, uint32_t, (const char *, address))

/* talk_over - a listener at @address, "unix:path", is talked to, and goes. */
static inline void talk_over(const char *address)
{
	char too_long[200] = "unix:";
	uint32_t count = 0;
	int listener = -1, fd;

	CHECK_EQ(lade_connect_to(address, &fd), -ENOENT);
	CHECK_EQ(lade_listen(address, &listener), 0);
	CHECK_EQ(lade_listen(address, &fd), -EADDRINUSE);
	CHECK_EQ(lade_local_port(listener), -EAFNOSUPPORT);
	CHECK_EQ(lade_join(lade_do(count_to_the_end, listener),
			   lade_do(ask_how_many, address, &count)),
		 0);
	CHECK_EQ(count, 1000);
	lade_close(listener);
	memset(too_long + 5, 'x', 108);
	CHECK_EQ(lade_listen(too_long, &fd), -ENAMETOOLONG);
	CHECK_EQ(lade_connect_to(too_long, &fd), -ENAMETOOLONG);
	CHECK_EQ(lade_listen("unix:", &fd), -EINVAL);
}

#endif
