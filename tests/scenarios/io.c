/* SPDX-License-Identifier: MIT */
/* io.c - connections, pipes, files, names and blocking calls, cancelled everywhere. */

#include <lade/explore.h>
#include <lade/lade.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#define TEXT "a few bytes that go there and back"

static int listener;

static int echo_one(int fd)
{
	char buf[64];
	size_t done = 0;
	int n, rc = 0;

	while (rc == 0 && (n = lade_read(fd, buf, sizeof(buf))) > 0) {
		done = 0;
		rc = lade_write_all(fd, buf, (size_t)n, &done);
	}
	lade_close(fd);
	return rc;
}
static void echo_one_drop(int fd)
{
	lade_close(fd);
}
LADE_TASK_VOID_WITH(echo_one, (.drop_args = echo_one_drop), (int, fd))

static int echo_all(void)
{
	int fd, rc = 0;

	lade_scope(s, &rc, .policy = LADE_ALL) {
		while ((rc = lade_accept(listener, &fd)) == 0)
			if ((rc = lade_spawn(&s, echo_one_task(fd))) < 0)
				break;
	}
	return rc;
}
LADE_TASK_VOID(echo_all)

static struct echo_all_task server;

static int start_server(struct lade_scope *world)
{
	int rc = lade_listen("127.0.0.1:7", &listener);

	if (rc < 0)
		return rc;
	server = echo_all_task();
	lade_start_daemon(world, &server);
	return 0;
}

static void stop_server(void)
{
	lade_close(listener);
}

static int converse(int fd)
{
	char back[sizeof(TEXT)] = "";
	size_t sent = 0, got = 0;
	int rc = lade_write_all(fd, TEXT, sizeof(TEXT), &sent);

	if (rc == 0)
		rc = lade_read_exactly(fd, back, sizeof(back), &got);
	if (rc == 0 && strcmp(back, TEXT) != 0)
		rc = -EBADMSG;
	return rc;
}

LADE_EXPLORE(client, .setup = start_server, .teardown = stop_server)
{
	int fd, rc = lade_connect_to("echo:7", &fd);

	if (rc < 0)
		return rc;
	rc = converse(fd);
	lade_close(fd);
	return rc;
}

static int say_hello(int port)
{
	char address[32], c;
	size_t sent = 0;
	int fd, rc;

	snprintf(address, sizeof(address), "127.0.0.1:%d", port);
	rc = lade_connect_to(address, &fd);
	if (rc < 0)
		return rc;
	rc = lade_write_all(fd, "hello", 5, &sent);
	if (rc == 0)
		rc = lade_read(fd, &c, 1);
	lade_close(fd);
	return rc < 0 ? rc : 0;
}
LADE_TASK_VOID(say_hello, (int, port))

static int hear_hello(int here)
{
	char text[5];
	size_t got = 0;
	int fd, rc = lade_accept(here, &fd);

	if (rc < 0)
		return rc;
	rc = lade_read_exactly(fd, text, sizeof(text), &got);
	lade_close(fd);
	return rc;
}
LADE_TASK_VOID(hear_hello, (int, here))

LADE_EXPLORE(server_and_client)
{
	int here, rc = lade_listen("127.0.0.1:0", &here);

	if (rc < 0)
		return rc;
	rc = lade_join(lade_do(hear_hello, here), lade_do(say_hello, lade_local_port(here)));
	lade_close(here);
	return rc;
}

static int through_a_pipe(const int fds[2])
{
	char back[sizeof(TEXT)];
	size_t sent = 0, got = 0;
	int rc = lade_writable(fds[1]);

	if (rc == 0)
		rc = lade_write_all(fds[1], TEXT, sizeof(TEXT), &sent);
	if (rc == 0)
		rc = lade_readable(fds[0]);
	if (rc == 0)
		rc = lade_read_exactly(fds[0], back, sizeof(back), &got);
	return rc;
}

LADE_EXPLORE(pipe_both_ways)
{
	int fds[2], rc = lade_pipe(fds);

	if (rc < 0)
		return rc;
	rc = through_a_pipe(fds);
	lade_close(fds[0]);
	lade_close(fds[1]);
	return rc;
}

static int write_and_read(int fd)
{
	char back[sizeof(TEXT)];
	size_t done = 0;
	int rc = lade_write_all(fd, TEXT, sizeof(TEXT), &done);

	if (rc == 0)
		rc = lade_fsync(fd);
	if (rc == 0)
		rc = lade_pread(fd, back, sizeof(back), 0);
	if (rc >= 0)
		rc = lade_pwrite(fd, "A", 1, 0);
	return rc < 0 ? rc : 0;
}

/* Written anew each time: the same bytes at the same place are no second effect. */
LADE_EXPLORE(file)
{
	int fd, rc = lade_open("no-such-folder/file", O_RDWR | O_CREAT | O_TRUNC, 0600, &fd);

	if (rc < 0)
		return rc;
	rc = write_and_read(fd);
	lade_close(fd);
	return rc;
}

static int count_up(void *n)
{
	return ++*(int *)n;
}

LADE_EXPLORE(names_and_calls)
{
	struct lade_addresses found;
	int n = 0, rc = lade_resolve("somewhere", 80, &found);

	if (rc < 0)
		return rc;
	rc = lade_blocking(count_up, &n);
	return rc < 0 ? rc : rc == 1 && n == 1 ? 0 : -EBADMSG;
}

LADE_EXPLORE(lines)
{
	struct lade_line_stream *in;
	struct lade_line line;
	int fd, n = 0, rc = lade_open("/etc/hosts", O_RDONLY, 0, &fd);

	if (rc < 0)
		return rc;
	in = lade_lines_of(fd, 0, 1, 1000);
	while ((rc = lade_line_next(in, &line)) > 0) {
		lade_line_drop(&line);
		n++;
	}
	lade_line_stream_close(in);
	lade_close(fd);
	return rc < 0 ? rc : n > 0 ? 0 : -EBADMSG;
}
