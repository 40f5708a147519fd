/* SPDX-License-Identifier: MIT */
/* socket_test.c - names of sockets: claimed, left behind, and other people's. */

#include "services/pipeline/socket.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tap.h"

static char folder[] = "/tmp/lade-socket-XXXXXX";

static const char *in_folder(const char *name)
{
	static char path[LADE_SOCKET_ROOM];

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	return path;
}

static int listen_at(const char *path)
{
	struct sockaddr_un name = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	strcpy(name.sun_path, path);
	CHECK_EQ(bind(fd, (struct sockaddr *)(void *)&name, sizeof(name)), 0);
	CHECK_EQ(listen(fd, 1), 0);
	return fd;
}

static void a_name_that_is_claimed_is_not_given_again_until_it_is_released(void)
{
	struct lade_pipe_socket one, two;

	CHECK_EQ(lade_pipe_socket_claim(&one, in_folder("a.sock")), 0);
	CHECK_EQ(lade_pipe_socket_claim(&two, in_folder("a.sock")), -EADDRINUSE);
	lade_pipe_socket_release(&two); /* nothing */
	lade_pipe_socket_release(&one);
	CHECK_EQ(lade_pipe_socket_claim(&two, in_folder("a.sock")), 0);
	lade_pipe_socket_release(&two);
	CHECK_EQ(access(in_folder("a.sock"), F_OK), -1);
	CHECK_EQ(access(in_folder("a.sock.lock"), F_OK), -1);
}

static void a_socket_that_a_dead_process_left_is_removed(void)
{
	struct lade_pipe_socket socket;

	close(listen_at(in_folder("b.sock")));
	CHECK_EQ(access(in_folder("b.sock"), F_OK), 0);
	CHECK_EQ(lade_pipe_socket_claim(&socket, in_folder("b.sock")), 0);
	CHECK_EQ(access(in_folder("b.sock"), F_OK), -1);
	lade_pipe_socket_release(&socket);
}

static void a_socket_that_listens_on_for_a_dead_process_is_removed(void)
{
	struct sockaddr_un name = { .sun_family = AF_UNIX };
	struct lade_pipe_socket claimed;
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	pid_t child;

	strcpy(name.sun_path, in_folder("e.sock"));
	CHECK_EQ(bind(fd, (struct sockaddr *)(void *)&name, sizeof(name)), 0);
	child = fork();
	if (child == 0)
		_exit(listen(fd, 1) < 0);
	CHECK_EQ(waitpid(child, NULL, 0), child);
	CHECK_EQ(lade_pipe_socket_claim(&claimed, in_folder("e.sock")), 0);
	CHECK_EQ(access(in_folder("e.sock"), F_OK), -1);
	lade_pipe_socket_release(&claimed);
	close(fd);
}

static void a_socket_at_which_another_program_listens_is_left_alone(void)
{
	struct lade_pipe_socket socket;
	int fd = listen_at(in_folder("c.sock"));

	CHECK_EQ(lade_pipe_socket_claim(&socket, in_folder("c.sock")), -EADDRINUSE);
	CHECK_EQ(access(in_folder("c.sock"), F_OK), 0);
	close(fd);
}

static void what_is_no_socket_is_left_alone(void)
{
	struct lade_pipe_socket socket;
	int fd = open(in_folder("d.sock"), O_CREAT | O_WRONLY, 0600);

	close(fd);
	CHECK_EQ(lade_pipe_socket_claim(&socket, in_folder("d.sock")), -EEXIST);
	CHECK_EQ(access(in_folder("d.sock"), F_OK), 0);
}

static void a_name_of_more_than_107_bytes_is_refused(void)
{
	struct lade_pipe_socket socket;
	char path[LADE_SOCKET_ROOM + 1];

	memset(path, 'x', sizeof(path));
	memcpy(path, folder, strlen(folder));
	path[strlen(folder)] = '/';
	path[LADE_SOCKET_ROOM] = 0;
	CHECK_EQ(lade_pipe_socket_claim(&socket, path), -ENAMETOOLONG);
	path[LADE_SOCKET_ROOM - 1] = 0;
	CHECK_EQ(lade_pipe_socket_claim(&socket, path), 0);
	lade_pipe_socket_release(&socket);
}

static void the_folder_is_the_users_alone_or_none(void)
{
	struct stat st;

	CHECK_EQ(lade_pipe_socket_make_folder(in_folder("own")), 0);
	CHECK_EQ(stat(in_folder("own"), &st), 0);
	CHECK_EQ(st.st_mode & 0777, 0700);
	CHECK_EQ(lade_pipe_socket_make_folder(in_folder("own")), 0);
	chmod(in_folder("own"), 0750);
	CHECK_EQ(lade_pipe_socket_make_folder(in_folder("own")), -EPERM);
	CHECK_EQ(lade_pipe_socket_make_folder(in_folder("d.sock")), -EPERM);
	CHECK_EQ(lade_pipe_socket_make_folder(in_folder("no/such")), -ENOENT);
}

static void the_folder_is_in_the_one_of_the_session_or_in_tmp(void)
{
	char path[LADE_SOCKET_ROOM], expected[64];

	setenv("XDG_RUNTIME_DIR", "/run/user/7", 1);
	CHECK_EQ(lade_pipe_socket_folder(path), 0);
	CHECK_STR(path, "/run/user/7/lade");
	setenv("XDG_RUNTIME_DIR", "relative", 1);
	snprintf(expected, sizeof(expected), "/tmp/lade-%u", (unsigned)geteuid());
	CHECK_EQ(lade_pipe_socket_folder(path), 0);
	CHECK_STR(path, expected);
}

int main(void)
{
	if (!mkdtemp(folder))
		return TAP_BAIL;
	TAP(a_name_that_is_claimed_is_not_given_again_until_it_is_released);
	TAP(a_socket_that_a_dead_process_left_is_removed);
	TAP(a_socket_that_listens_on_for_a_dead_process_is_removed);
	TAP(a_socket_at_which_another_program_listens_is_left_alone);
	TAP(what_is_no_socket_is_left_alone);
	TAP(a_name_of_more_than_107_bytes_is_refused);
	TAP(the_folder_is_the_users_alone_or_none);
	TAP(the_folder_is_in_the_one_of_the_session_or_in_tmp);
	for (const char *const *name = (const char *const[]){ "c.sock", "c.sock.lock", "d.sock",
							      "d.sock.lock", NULL }; *name; name++)
		unlink(in_folder(*name));
	rmdir(in_folder("own"));
	rmdir(folder);
	return tap_done();
}
