/* SPDX-License-Identifier: MIT */
/* io_test.c - files, pipes, TCP and the pool, on the back end that LADE_BACKEND names. */

#include <lade/io.h>
#include <lade/join.h>

#include "backend.h"
#include "unix_socket.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

static int echo_one(int fd)
{
	char buf[256];
	int rc;

	while ((rc = lade_read(fd, buf, sizeof(buf))) > 0) {
		size_t done = 0;

		rc = lade_write_all(fd, buf, (size_t)rc, &done);
		if (rc < 0)
			break;
	}
	lade_close(fd);
	return rc;
}
LADE_TASK_VOID_WITH(echo_one, (.drop_args = lade_close), (int, fd))

static int echo_server(int listener)
{
	int rc = 0, fd;

	lade_scope(s, &rc) {
		while ((rc = lade_accept(listener, &fd)) == 0)
			if ((rc = lade_spawn(&s, echo_one_task(fd))) < 0)
				break;
	}
	return rc;
}
LADE_TASK_VOID(echo_server, (int, listener))

static int echo_client(int port, int rounds, int *ret)
{
	char address[32], out[64], in[64];
	int fd, rc, good = 0;

	snprintf(address, sizeof(address), "127.0.0.1:%d", port);
	rc = lade_connect_to(address, &fd);
	if (rc < 0)
		return rc;
	for (int i = 0; rc == 0 && i < rounds; i++) {
		size_t done = 0, got = 0;

		memset(out, 'a' + i % 26, sizeof(out));
		rc = lade_write_all(fd, out, sizeof(out), &done);
		if (rc == 0)
			rc = lade_read_exactly(fd, in, sizeof(in), &got);
		good += rc == 0 && memcmp(in, out, sizeof(in)) == 0;
	}
	lade_close(fd);
	*ret = good;
	return rc;
}
LADE_TASK(echo_client, int, (int, port), (int, rounds))

static void echo_body(void)
{
	struct echo_client_task clients[20];
	struct echo_server_task server;
	int listener, port, rc = 0;

	CHECK_EQ(lade_listen("127.0.0.1:0", &listener), 0);
	port = lade_local_port(listener);
	CHECK(port > 0);
	server = echo_server_task(listener);
	for (int i = 0; i < 20; i++)
		clients[i] = echo_client_task(port, 50);
	lade_scope(s, &rc) {
		lade_start_daemon(&s, &server);
		for (int i = 0; i < 20; i++)
			lade_start(&s, &clients[i]);
	}
	CHECK_EQ(rc, 0);
	for (int i = 0; i < 20; i++)
		CHECK_EQ(lade_value(&clients[i]), 50);
	lade_close(listener);
}

static void an_echo_server_serves_twenty_clients_and_is_cancelled(void)
{
	run_on(NULL, echo_body);
}

static void file_body(void)
{
	char path[] = "/tmp/lade-io-XXXXXX", text[] = "the quick brown fox", back[64] = "";
	int fd = mkstemp(path), other = -1;
	size_t done = 0;

	CHECK(fd >= 0);
	CHECK_EQ(lade_write_all(fd, text, sizeof(text), &done), 0);
	CHECK_EQ(done, sizeof(text));
	CHECK_EQ(lade_fsync(fd), 0);
	CHECK_EQ(lade_pwrite(fd, "T", 1, 0), 1);
	CHECK_EQ(lade_open(path, O_RDONLY, 0, &other), 0);
	CHECK_EQ(lade_read(other, back, 4), 4);
	CHECK_EQ(lade_read(other, back + 4, sizeof(back) - 4), sizeof(text) - 4);
	CHECK_EQ(lade_read(other, back, 1), 0);
	CHECK_STR(back, "The quick brown fox");
	CHECK_EQ(lade_pread(other, back, 5, 4), 5);
	CHECK(memcmp(back, "quick", 5) == 0);
	lade_close(fd);
	lade_close(other);
	unlink(path);
	CHECK_EQ(lade_open("/nonexistent/file", O_RDONLY, 0, &other), -ENOENT);
}

static void a_file_is_written_made_durable_and_read_again(void)
{
	run_on(NULL, file_body);
}

static void pipe_body(void)
{
	char buf[8] = "";
	int fds[2];

	CHECK_EQ(lade_pipe(fds), 0);
	CHECK_EQ(lade_within(lade_ms(5), lade_read(fds[0], buf, sizeof(buf))), -ETIME);
	CHECK_EQ(lade_within(lade_ms(5), lade_readable(fds[0])), -ETIME);
	CHECK_EQ(lade_write(fds[1], "hello", 5), 5);
	CHECK_EQ(lade_readable(fds[0]), 0);
	CHECK_EQ(lade_within(lade_ms(1000), lade_read(fds[0], buf, sizeof(buf))), 5);
	lade_close(fds[1]);
	CHECK_EQ(lade_read(fds[0], buf, sizeof(buf)), 0);
	lade_close(fds[0]);
}

static void a_read_from_an_empty_pipe_ends_at_its_deadline_and_loses_nothing(void)
{
	run_on(NULL, pipe_body);
}

static void accept_body(void)
{
	int listener, fd = -1;

	CHECK_EQ(lade_listen("127.0.0.1:0", &listener), 0);
	CHECK_EQ(lade_within(lade_ms(5), lade_accept(listener, &fd)), -ETIME);
	CHECK_EQ(fd, -1);
	lade_close(listener);
}

static void an_accept_ends_at_its_deadline(void)
{
	run_on(NULL, accept_body);
}

static int slow_call(void *arg)
{
	*(int *)arg += 1;
	return 7;
}

static void pool_body(void)
{
	int calls = 0;

	for (int i = 0; i < 50; i++)
		CHECK_EQ(lade_blocking(slow_call, &calls), 7);
	CHECK_EQ(calls, 50);
}

static void a_blocking_call_returns_what_its_function_returned(void)
{
	run_on(NULL, pool_body);
}

static void resolve_body(void)
{
	struct lade_addresses a;

	CHECK_EQ(lade_resolve("127.0.0.1", 80, &a), 0);
	CHECK_EQ(a.count, 1);
	CHECK_EQ(lade_resolve("localhost", 80, &a), 0);
	CHECK(a.count >= 1);
	CHECK_EQ(lade_resolve("", 80, &a), -ENOENT);
}

static void names_and_numbers_resolve(void)
{
	run_on(NULL, resolve_body);
}

static void long_names_body(void)
{
	char name[300];
	struct lade_addresses a;
	int fd;

	memset(name, 'a', sizeof(name));
	strcpy(name + 255, ":80");
	CHECK(lade_connect_to(name, &fd) != -EINVAL);
	strcpy(name + 256, ":80");
	CHECK_EQ(lade_connect_to(name, &fd), -EINVAL);
	name[256] = 0;
	CHECK_EQ(lade_resolve(name, 80, &a), -ENOENT);
}

static void a_host_name_has_its_limit(void)
{
	run_on(NULL, long_names_body);
}

static int wait_readable(int fd)
{
	return lade_readable(fd);
}
LADE_TASK_VOID(wait_readable, (int, fd))

static int wait_writable(int fd)
{
	return lade_writable(fd);
}
LADE_TASK_VOID(wait_writable, (int, fd))

/* One waits to read, one to write, on the same socket; what comes for one leaves the other. */
static void both_ways_body(void)
{
	struct wait_readable_task reader;
	struct wait_writable_task writer;
	char bytes[4096] = { 0 };
	int fds[2], rc = 0;

	NEED_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
	while (send(fds[0], bytes, sizeof(bytes), 0) > 0)
		;
	reader = wait_readable_task(fds[0]);
	writer = wait_writable_task(fds[0]);
	lade_scope(s, &rc) {
		lade_start(&s, &reader);
		lade_start(&s, &writer);
		CHECK_EQ(lade_yield(), 0);
		CHECK_EQ(send(fds[1], "x", 1, 0), 1);
		CHECK_EQ(lade_wait(&reader), 0);
		CHECK_EQ(lade_status(&writer), -EINPROGRESS);
		while (recv(fds[1], bytes, sizeof(bytes), 0) > 0)
			;
		CHECK_EQ(lade_within(lade_s(10), lade_wait(&writer)), 0);
		lade_cancel(&writer);
	}
	CHECK_EQ(rc, 0);
	CHECK_EQ(lade_status(&reader), 0);
	CHECK_EQ(lade_status(&writer), 0);
	lade_close(fds[0]);
	lade_close(fds[1]);
}

static void who_waits_for_the_other_way_of_a_socket_goes_on_waiting(void)
{
	run_on(NULL, both_ways_body);
}

static void unix_socket_body(void)
{
	char path[64];

	snprintf(path, sizeof(path), "unix:/tmp/lade-io-test-%d", (int)getpid());
	talk_over(path);
	CHECK_EQ(unlink(path + 5), 0);
}

static void a_unix_socket_is_talked_over_and_closed_by_halves(void)
{
	signal(SIGPIPE, SIG_IGN);
	run_on(NULL, unix_socket_body);
}

int main(void)
{
	TAP(who_waits_for_the_other_way_of_a_socket_goes_on_waiting);
	TAP(an_echo_server_serves_twenty_clients_and_is_cancelled);
	TAP(a_file_is_written_made_durable_and_read_again);
	TAP(a_read_from_an_empty_pipe_ends_at_its_deadline_and_loses_nothing);
	TAP(an_accept_ends_at_its_deadline);
	TAP(a_blocking_call_returns_what_its_function_returned);
	TAP(names_and_numbers_resolve);
	TAP(a_host_name_has_its_limit);
	TAP(a_unix_socket_is_talked_over_and_closed_by_halves);
	return tap_done();
}
