/* SPDX-License-Identifier: MIT */
/* kernel.c - the system calls behind the io layer, made to the kernel. */

#include "core/sys.h"

#include <lade/io.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

static int kernel_try_transfer(const struct lade_transfer *t)
{
	struct iovec iov = { t->buf, t->len };
	ssize_t n;

	if (t->offset < 0) {
		n = t->out ? send(t->fd, t->buf, t->len, MSG_DONTWAIT | MSG_NOSIGNAL)
			   : recv(t->fd, t->buf, t->len, MSG_DONTWAIT);
		if (n >= 0 || errno != ENOTSOCK)
			return n >= 0 ? (int)n : errno == EINTR ? -EAGAIN : -errno;
	}
	n = t->out ? pwritev2(t->fd, &iov, 1, t->offset, RWF_NOWAIT)
		   : preadv2(t->fd, &iov, 1, t->offset, RWF_NOWAIT);
	if (n >= 0)
		return (int)n;
	return errno == EINTR ? -EAGAIN : errno == ENOSYS ? -EOPNOTSUPP : -errno;
}

static int kernel_transfer(const struct lade_transfer *t)
{
	ssize_t n;

	do {
		if (t->offset >= 0)
			n = t->out ? pwrite(t->fd, t->buf, t->len, t->offset)
				   : pread(t->fd, t->buf, t->len, t->offset);
		else
			n = t->out ? write(t->fd, t->buf, t->len)
				   : read(t->fd, t->buf, t->len);
	} while (n < 0 && errno == EINTR);
	return n >= 0 ? (int)n : -errno;
}

static bool kernel_is_ready(int fd, short events)
{
	struct pollfd p = { .fd = fd, .events = events };

	return poll(&p, 1, 0) > 0;
}

static int kernel_open(const char *path, int flags, mode_t mode)
{
	int fd;

	do {
		fd = open(path, flags, mode);
	} while (fd < 0 && errno == EINTR);
	return fd >= 0 ? fd : -errno;
}

static void kernel_close(int fd)
{
	close(fd);
}

static int kernel_fsync(int fd)
{
	int rc;

	do {
		rc = fsync(fd);
	} while (rc < 0 && errno == EINTR);
	return rc < 0 ? -errno : 0;
}

static int kernel_pipe(int ret_fds[2])
{
	return pipe2(ret_fds, O_CLOEXEC) < 0 ? -errno : 0;
}

static int kernel_listen(const struct sockaddr *where, socklen_t len)
{
	const int on = 1;
	int rc, fd = socket(where->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -errno;
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, where, len) == 0 && listen(fd, SOMAXCONN) == 0)
		return fd;
	rc = -errno;
	close(fd);
	return rc;
}

static int kernel_local_port(int fd)
{
	struct sockaddr_storage s;
	socklen_t len = sizeof(s);

	if (getsockname(fd, (struct sockaddr *)&s, &len) < 0)
		return -errno;
	if (s.ss_family == AF_INET)
		return ntohs(((struct sockaddr_in *)&s)->sin_port);
	if (s.ss_family == AF_INET6)
		return ntohs(((struct sockaddr_in6 *)&s)->sin6_port);
	return -EAFNOSUPPORT;
}

/* A connection that the peer gave up while it was queued is none: the next is taken. */
static bool passes(int error)
{
	return error == EINTR || error == ECONNABORTED || error == EPROTO;
}

static int kernel_accept(int listener)
{
	for (;;) {
		int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd >= 0)
			return fd;
		if (!passes(errno))
			return errno == EWOULDBLOCK ? -EAGAIN : -errno;
	}
}

static void kernel_no_delay(int fd)
{
	const int on = 1;

	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

static int kernel_shutdown(int fd)
{
	return shutdown(fd, SHUT_WR) < 0 ? -errno : 0;
}

static int kernel_connect(const struct sockaddr *where, socklen_t len, int *ret_fd)
{
	int rc, fd = socket(where->sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -errno;
	kernel_no_delay(fd);
	rc = connect(fd, where, len) < 0 ? -errno : 0;
	if (rc == -EINTR)
		rc = -EINPROGRESS;
	if (rc == 0 || rc == -EINPROGRESS)
		*ret_fd = fd;
	else
		close(fd);
	return rc;
}

static int kernel_connect_state(int fd)
{
	struct sockaddr_storage peer;
	socklen_t len = sizeof(int), peer_len = sizeof(peer);
	int error = 0;

	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
		return -errno;
	if (error)
		return -error;
	if (getpeername(fd, (struct sockaddr *)&peer, &peer_len) == 0)
		return 0;
	return errno == ENOTCONN ? -EINPROGRESS : -errno;
}

static int error_of(int gai)
{
	switch (gai) {
	case EAI_NONAME:
	case EAI_NODATA:
		return -ENOENT;
	case EAI_AGAIN:
		return -EAGAIN;
	case EAI_MEMORY:
		return -ENOMEM;
	case EAI_SYSTEM:
		return errno ? -errno : -EIO;
	default:
		return -EIO;
	}
}

static int kernel_look_up(struct lade_loop *loop, const char *host, uint16_t port,
			  lade_address_found *found, void *arg)
{
	struct addrinfo hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM };
	struct addrinfo *list = NULL;
	char service[8];
	int rc;

	(void)loop;
	snprintf(service, sizeof(service), "%u", port);
	rc = getaddrinfo(host, service, &hints, &list);
	if (rc != 0)
		return error_of(rc);
	for (const struct addrinfo *it = list; it; it = it->ai_next)
		found(arg, it->ai_addr, it->ai_addrlen);
	freeaddrinfo(list);
	return 0;
}

static int kernel_stat(int fd, struct stat *ret)
{
	return fstat(fd, ret) < 0 ? -errno : 0;
}

static int kernel_stat_path(const char *path, struct stat *ret)
{
	return stat(path, ret) < 0 ? -errno : 0;
}

static int kernel_truncate(int fd, int64_t len)
{
	int rc;

	do {
		rc = ftruncate(fd, len);
	} while (rc < 0 && errno == EINTR);
	return rc < 0 ? -errno : 0;
}

static int kernel_seek(int fd, int64_t offset)
{
	return lseek(fd, offset, SEEK_SET) < 0 ? -errno : 0;
}

static int kernel_remove(const char *path)
{
	return unlink(path) < 0 ? -errno : 0;
}

static int64_t kernel_clock_ns(bool wall)
{
	struct timespec ts;

	clock_gettime(wall ? CLOCK_REALTIME : CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * INT64_C(1000000000) + ts.tv_nsec;
}

static uint64_t kernel_random(void)
{
	uint64_t bits = 0;

	/* So few bytes come whole; before the system has collected any, the clock is better than
	 * nothing. */
	if (getrandom(&bits, sizeof(bits), 0) != sizeof(bits))
		bits = (uint64_t)kernel_clock_ns(false);
	return bits;
}

const struct lade_sys lade_sys_kernel = {
	.try_transfer = kernel_try_transfer,
	.transfer = kernel_transfer,
	.is_ready = kernel_is_ready,
	.open = kernel_open,
	.close = kernel_close,
	.fsync = kernel_fsync,
	.pipe = kernel_pipe,
	.listen = kernel_listen,
	.local_port = kernel_local_port,
	.accept = kernel_accept,
	.no_delay = kernel_no_delay,
	.shutdown = kernel_shutdown,
	.connect = kernel_connect,
	.connect_state = kernel_connect_state,
	.look_up = kernel_look_up,
	.stat = kernel_stat,
	.stat_path = kernel_stat_path,
	.truncate = kernel_truncate,
	.seek = kernel_seek,
	.remove = kernel_remove,
	.write_page = kernel_transfer,
	.clock_ns = kernel_clock_ns,
	.random = kernel_random,
};
