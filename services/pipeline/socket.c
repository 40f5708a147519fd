/* SPDX-License-Identifier: MIT */
/* socket.c - the name of a running pipeline's socket, and who has it.
 *
 * DESIGN
 * A socket's file outlives a process that was killed, and then nobody can say by the file alone
 * whether somebody listens. So the name belongs to whoever holds a lock on PATH.lock, which ends
 * with its process; with it a file left behind may be removed without taking it from a process
 * that is just beginning. A socket of another program, which knows no such lock, is found by
 * connecting to it; but the kernel goes on listening for a killed process for a moment, so it also
 * counts who began to listen. */

#include "services/pipeline/socket.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

int lade_pipe_socket_folder(char ret[LADE_SOCKET_ROOM])
{
	const char *runtime = getenv("XDG_RUNTIME_DIR");
	int len = runtime && *runtime == '/'
			  ? snprintf(ret, LADE_SOCKET_ROOM, "%s/lade", runtime)
			  : snprintf(ret, LADE_SOCKET_ROOM, "/tmp/lade-%u", (unsigned)geteuid());

	return len < LADE_SOCKET_ROOM ? 0 : -ENAMETOOLONG;
}

int lade_pipe_socket_make_folder(const char *folder)
{
	struct stat st;

	if (mkdir(folder, 0700) < 0 && errno != EEXIST)
		return -errno;
	if (lstat(folder, &st) < 0)
		return -errno;
	/* In /tmp anybody may have made it before us. */
	return S_ISDIR(st.st_mode) && st.st_uid == geteuid() && !(st.st_mode & 077) ? 0 : -EPERM;
}

/* Whether whoever began to listen at the other end is still there; where that cannot be seen, it
 * is. */
static bool lives(int fd)
{
	struct ucred who = { 0 };
	socklen_t len = sizeof(who);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len) < 0 || who.pid <= 0)
		return true;
	return kill(who.pid, 0) == 0 || errno != ESRCH;
}

/* Whether somebody listens there.  Returns 0: nobody; -EADDRINUSE; another -errno. */
static int probe(const char *path)
{
	struct sockaddr_un name = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), rc;

	if (fd < 0)
		return -errno;
	memcpy(name.sun_path, path, strlen(path) + 1);
	rc = connect(fd, (const struct sockaddr *)(const void *)&name, sizeof(name));
	rc = rc < 0 ? -errno : lives(fd) ? 0 : -ECONNREFUSED;
	close(fd);
	return rc == -ECONNREFUSED || rc == -ENOENT ? 0
	       : rc == 0 || rc == -EAGAIN	    ? -EADDRINUSE
						    : rc;
}

/* Takes the lock on a file that still has its name.  Returns 0; -EADDRINUSE; another -errno. */
static int lock(struct lade_pipe_socket *s)
{
	struct stat ours, named;

	for (;;) {
		s->lock_fd = open(s->lock_path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
		if (s->lock_fd < 0)
			return -errno;
		if (flock(s->lock_fd, LOCK_EX | LOCK_NB) < 0)
			return errno == EWOULDBLOCK ? -EADDRINUSE : -errno;
		/* Whoever had it removes the file before the lock is gone. */
		if (fstat(s->lock_fd, &ours) == 0 && stat(s->lock_path, &named) == 0 &&
		    ours.st_ino == named.st_ino && ours.st_dev == named.st_dev)
			return 0;
		close(s->lock_fd);
	}
}

static int clear(const char *path)
{
	struct stat st;
	int rc;

	if (lstat(path, &st) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(st.st_mode))
		return -EEXIST;
	rc = probe(path);
	if (rc == 0 && unlink(path) < 0 && errno != ENOENT)
		rc = -errno;
	return rc;
}

int lade_pipe_socket_claim(struct lade_pipe_socket *s, const char *path)
{
	int rc;

	*s = (struct lade_pipe_socket){ .lock_fd = -1 };
	if (strlen(path) >= sizeof(s->path))
		return -ENAMETOOLONG;
	snprintf(s->lock_path, sizeof(s->lock_path), "%s.lock", path);
	rc = lock(s);
	if (rc == 0) {
		rc = clear(path);
		if (rc < 0)
			unlink(s->lock_path);
	}
	if (rc < 0 && s->lock_fd >= 0)
		close(s->lock_fd);
	if (rc == 0)
		memcpy(s->path, path, strlen(path) + 1);
	else
		s->lock_fd = -1;
	return rc;
}

void lade_pipe_socket_release(struct lade_pipe_socket *s)
{
	if (!*s->path)
		return;
	unlink(s->path);
	unlink(s->lock_path);
	close(s->lock_fd);
	*s->path = 0;
	s->lock_fd = -1;
}
