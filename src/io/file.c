/* SPDX-License-Identifier: MIT */
/* file.c - bytes in and out of descriptors of any kind.
 *
 * DESIGN
 * Every call tries first without blocking: most waits then never begin. What would block goes to
 * the back end: io_uring does the operation itself; epoll waits until it is worth another try; and
 * what epoll cannot wait for, a regular file, goes to the pool. A cancel that ends a wait for
 * readiness is followed by one more try, so that what has come meanwhile is returned (rule 10). */

#include "io/sys_priv.h"

#include <lade/io.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

static int blocking(int (*fn)(void *), void *arg, const char *site)
{
	return lade_blocking_at(&(struct lade_blocking_config){ .fn = fn, .arg = arg }, site);
}

static int plain_transfer(void *arg)
{
	return lade_sys_here()->transfer(arg);
}

static int wait_ready(int fd, uint32_t events, const char *site)
{
	struct lade_io io = { .op = { .what = events == POLLIN ? "readable" : "writable",
				      .site = site },
			      .code = IO_POLL,
			      .fd = fd,
			      .events = events };
	int rc = lade_io_wait(&io);

	return rc > 0 ? 0 : rc;
}

/* The back end does it all, if it is one that does. */
static int whole_transfer(struct lade_transfer *t, const char *site)
{
	struct lade_io io = { .op = { .what = t->out ? "write" : "read", .site = site },
			      .code = t->out ? IO_WRITE : IO_READ,
			      .fd = t->fd,
			      .buf = t->buf,
			      .len = (uint32_t)t->len,
			      .offset = t->offset };
	int rc = lade_io_wait(&io);

	return rc == -EINTR || rc == -EAGAIN ? -EAGAIN : rc;
}

static bool is_ready(int fd, short events)
{
	return lade_sys_here()->is_ready(fd, events);
}

/* A ready pipe takes PIPE_BUF bytes without blocking, and may block on more. */
static int small_transfer(struct lade_transfer *t)
{
	if (t->out && t->len > PIPE_BUF)
		t->len = PIPE_BUF;
	return plain_transfer(t);
}

/* Tries again when the descriptor is ready.  @knows: the kernel can tell without blocking. */
static int ready_transfer(struct lade_transfer *t, bool knows, const char *site)
{
	for (;;) {
		int ready = wait_ready(t->fd, t->out ? POLLOUT : POLLIN, site);
		int rc;

		if (ready == -EOPNOTSUPP)
			return blocking(plain_transfer, t, site);
		if (ready < 0 && ready != -ECANCELED)
			return ready;
		if (!knows)
			return ready < 0 && !is_ready(t->fd, t->out ? POLLOUT : POLLIN)
				       ? ready
				       : small_transfer(t);
		rc = lade_sys_here()->try_transfer(t);
		if (ready < 0)
			return lade_outran(rc) == -EAGAIN ? ready : rc;
		if (rc != -EAGAIN)
			return rc;
	}
}

static int transfer(struct lade_transfer *t, const char *site)
{
	int rc = lade_enter(site), first;

	if (rc < 0)
		return rc;
	if (t->len > LADE_IO_MAX)
		t->len = LADE_IO_MAX;
	first = lade_sys_here()->try_transfer(t);
	if (first != -EAGAIN && first != -EOPNOTSUPP)
		return first;
	do {
		rc = whole_transfer(t, site);
	} while (rc == -EAGAIN);
	if (rc == -EOPNOTSUPP)
		return ready_transfer(t, first == -EAGAIN, site);
	if (rc == -ECANCELED && first == -EAGAIN) {
		/* What came as the cancel did is returned. */
		int last = lade_outran(lade_sys_here()->try_transfer(t));

		if (last != -EAGAIN && last != -EOPNOTSUPP)
			return last;
	}
	return rc;
}

int lade_read_at(int fd, void *buf, size_t len, const char *site)
{
	return transfer(&(struct lade_transfer){ fd, false, buf, len, -1 }, site);
}

int lade_write_at(int fd, const void *buf, size_t len, const char *site)
{
	/* The cast takes const away for one struct that serves both ways. */
	return transfer(&(struct lade_transfer){ fd, true, (void *)(uintptr_t)buf, len, -1 }, site);
}

int lade_pread_at(int fd, void *buf, size_t len, int64_t offset, const char *site)
{
	if (offset < 0)
		return -EINVAL;
	return transfer(&(struct lade_transfer){ fd, false, buf, len, offset }, site);
}

int lade_pwrite_at(int fd, const void *buf, size_t len, int64_t offset, const char *site)
{
	if (offset < 0)
		return -EINVAL;
	return transfer(&(struct lade_transfer){ fd, true, (void *)(uintptr_t)buf, len, offset },
			site);
}

int lade_read_exactly_at(int fd, void *buf, size_t len, size_t *done, const char *site)
{
	while (*done < len) {
		int n = lade_read_at(fd, (char *)buf + *done, len - *done, site);

		if (n < 0)
			return n;
		if (n == 0)
			return -ENODATA;
		*done += (size_t)n;
	}
	return 0;
}

int lade_write_all_at(int fd, const void *buf, size_t len, size_t *done, const char *site)
{
	while (*done < len) {
		int n = lade_write_at(fd, (const char *)buf + *done, len - *done, site);

		if (n < 0)
			return n;
		*done += (size_t)n;
	}
	return 0;
}

static int readiness(int fd, short events, const char *site)
{
	int rc = lade_enter(site);

	if (rc < 0)
		return rc;
	rc = wait_ready(fd, (uint32_t)events, site);
	return rc == -ECANCELED && is_ready(fd, events) ? lade_outran(0) : rc;
}

int lade_readable_at(int fd, const char *site)
{
	return readiness(fd, POLLIN, site);
}

int lade_writable_at(int fd, const char *site)
{
	return readiness(fd, POLLOUT, site);
}

/* An open for the pool. */
struct opening {
	const char *path;
	int flags;
	mode_t mode;
};

static int plain_open(void *arg)
{
	const struct opening *o = arg;

	return lade_sys_here()->open(o->path, o->flags, o->mode);
}

int lade_open_at(const char *path, int flags, mode_t mode, int *ret_fd, const char *site)
{
	struct opening o = { path, flags | O_CLOEXEC, mode };
	struct lade_io io = { .op = { .what = "open", .site = site },
			      .code = IO_OPEN,
			      .fd = AT_FDCWD,
			      .buf = (void *)(uintptr_t)path,
			      .flags = o.flags,
			      .mode = mode };
	int rc = lade_enter(site);

	if (rc < 0)
		return rc;
	do {
		rc = lade_io_wait(&io);
	} while (rc == -EINTR);
	if (rc == -EOPNOTSUPP)
		rc = blocking(plain_open, &o, site);
	if (rc < 0)
		return rc;
	*ret_fd = rc;
	return 0;
}

void lade_close(int fd)
{
	if (fd >= 0)
		lade_sys_here()->close(fd);
}

static int plain_fsync(void *arg)
{
	return lade_sys_here()->fsync(*(int *)arg);
}

int lade_fsync_at(int fd, const char *site)
{
	struct lade_io io = { .op = { .what = "fsync", .site = site },
			      .code = IO_FSYNC,
			      .fd = fd };
	int rc = lade_enter(site);

	if (rc < 0)
		return rc;
	do {
		rc = lade_io_wait(&io);
	} while (rc == -EINTR);
	return rc == -EOPNOTSUPP ? blocking(plain_fsync, &fd, site) : rc;
}

int lade_pipe(int ret_fds[2])
{
	return lade_sys_here()->pipe(ret_fds);
}
