/* SPDX-License-Identifier: MIT */
/* sim_sys.c - the system calls of the io layer, answered by the simulation of the running task. */

#include "core/sim_priv.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

/* The wall clock of every simulation begins on 2026-01-01: a run is the same on any day. */
#define FIRST_WALL_NS INT64_C(1767225600000000000)

/* What the observer makes of an operation that is about to be tried. */
int sim_fault(struct sim *sim, const char *what)
{
	return sim->loop->observer ? sim->loop->observer->fault(sim->loop->observer, what) : 0;
}

static struct sim *here(void)
{
	return lade_cur->loop->backend_data;
}

/* Standard input and output are the real ones; no other descriptor of the kernel is let in. */
static int stdio_transfer(const struct lade_transfer *t)
{
	ssize_t n;

	if (t->fd < STDIN_FILENO || t->fd > STDERR_FILENO)
		return -EBADF;
	n = t->out ? write(t->fd, t->buf, t->len) : read(t->fd, t->buf, t->len);
	return n < 0 ? -errno : (int)n;
}

static int do_transfer(const struct lade_transfer *t, bool is_effect)
{
	struct sim *sim = here();
	struct sim_fd *f = sim_fd_of(sim, t->fd);
	int rc;

	if (!f)
		return stdio_transfer(t);
	rc = sim_fault(sim, t->out ? "write" : "read");
	if (rc < 0)
		return rc;
	return f->kind == SIM_FILE ? sim_file_transfer(sim, f, t, is_effect)
				   : sim_stream_transfer(sim, f, t);
}

static int sys_transfer(const struct lade_transfer *t)
{
	return do_transfer(t, true);
}

static int sys_write_page(const struct lade_transfer *t)
{
	return do_transfer(t, false);
}

static int sys_try_transfer(const struct lade_transfer *t)
{
	struct sim *sim = here();
	struct sim_fd *f = sim_fd_of(sim, t->fd);

	/* Bytes of a file may be at hand, or have to be waited for. */
	if (f && f->kind == SIM_FILE && (t->out || sim_random(sim) & 1))
		return -EAGAIN;
	return sys_transfer(t);
}

static bool sys_is_ready(int fd, short events)
{
	struct sim_fd *f = sim_fd_of(here(), fd);

	return !f || f->kind == SIM_FILE || sim_stream_ready(f, events);
}

static int sys_open(const char *path, int flags, mode_t mode)
{
	int rc = sim_fault(here(), "open");

	(void)mode;
	return rc < 0 ? rc : sim_open(here(), path, flags);
}

static void sys_close(int fd)
{
	sim_close(here(), fd);
}

static int sys_fsync(int fd)
{
	int rc = sim_fault(here(), "fsync");

	if (rc < 0 || !sim_fd_of(here(), fd))
		return rc < 0 ? rc : -EBADF;
	return sim_chance(here(), here()->config.io_error) ? -EIO : 0;
}

static int sys_pipe(int ret_fds[2])
{
	return sim_pipe(here(), ret_fds);
}

static int sys_shutdown(int fd)
{
	struct sim_fd *f = sim_fd_of(here(), fd);

	if (!f)
		return -EBADF;
	return f->kind == SIM_SOCKET ? sim_shutdown(here(), f) : -ENOTSOCK;
}

static int sys_listen(const struct sockaddr *where, socklen_t len)
{
	(void)len;
	return sim_listen(here(), where);
}

static int sys_local_port(int fd)
{
	struct sim_fd *f = sim_fd_of(here(), fd);

	if (!f)
		return -EBADF;
	if (f->kind == SIM_FILE || f->kind == SIM_PIPE)
		return -ENOTSOCK;
	return f->port < SIM_PATHS ? (int)f->port : -EAFNOSUPPORT;
}

static int sys_accept(int listener)
{
	int rc = sim_fault(here(), "accept");

	return rc < 0 ? rc : sim_accept(here(), sim_fd_of(here(), listener));
}

static void sys_no_delay(int fd)
{
	(void)fd;
}

static int sys_connect(const struct sockaddr *where, socklen_t len, int *ret_fd)
{
	int rc = sim_fault(here(), "connect");

	(void)len;
	return rc < 0 ? rc : sim_connect(here(), where, ret_fd);
}

static int sys_connect_state(int fd)
{
	struct sim_fd *f = sim_fd_of(here(), fd);

	return f ? f->connect_rc : -EBADF;
}

static int sys_look_up(struct lade_loop *loop, const char *host, uint16_t port,
		       lade_address_found *found, void *arg)
{
	return sim_look_up(loop->backend_data, host, port, found, arg);
}

static int sys_stat(int fd, struct stat *ret)
{
	struct sim_fd *f = sim_fd_of(here(), fd);

	if (!f && fd >= STDIN_FILENO && fd <= STDERR_FILENO)
		return fstat(fd, ret) < 0 ? -errno : 0;
	if (!f)
		return -EBADF;
	if (f->kind == SIM_FILE)
		return sim_file_stat(here(), f, NULL, ret);
	memset(ret, 0, sizeof(*ret));
	ret->st_mode = f->kind == SIM_PIPE ? S_IFIFO : S_IFSOCK;
	return 0;
}

static int sys_stat_path(const char *path, struct stat *ret)
{
	return sim_file_stat(here(), NULL, path, ret);
}

static int sys_truncate(int fd, int64_t len)
{
	struct sim_fd *f = sim_fd_of(here(), fd);
	int rc;

	if (!f || f->kind != SIM_FILE || len < 0)
		return f ? -EINVAL : -EBADF;
	rc = sim_fault(here(), "write");
	return rc < 0 ? rc : sim_file_truncate(here(), f, len);
}

static int sys_seek(int fd, int64_t offset)
{
	struct sim_fd *f = sim_fd_of(here(), fd);

	if (!f || f->kind != SIM_FILE || offset < 0)
		return !f ? -EBADF : f->kind != SIM_FILE ? -ESPIPE : -EINVAL;
	f->position = offset;
	return 0;
}

static int sys_remove(const char *path)
{
	return sim_file_remove(here(), path);
}

static int64_t sys_clock_ns(bool wall)
{
	int64_t now_ns = lade_cur->loop->now_ns;

	return wall ? now_ns - LADE_VIRTUAL_FIRST_NS + FIRST_WALL_NS : now_ns;
}

static uint64_t sys_random(void)
{
	return sim_random(here());
}

const struct lade_sys sim_sys = {
	.try_transfer = sys_try_transfer,
	.transfer = sys_transfer,
	.is_ready = sys_is_ready,
	.open = sys_open,
	.close = sys_close,
	.fsync = sys_fsync,
	.pipe = sys_pipe,
	.listen = sys_listen,
	.local_port = sys_local_port,
	.accept = sys_accept,
	.no_delay = sys_no_delay,
	.shutdown = sys_shutdown,
	.connect = sys_connect,
	.connect_state = sys_connect_state,
	.look_up = sys_look_up,
	.stat = sys_stat,
	.stat_path = sys_stat_path,
	.truncate = sys_truncate,
	.seek = sys_seek,
	.remove = sys_remove,
	.write_page = sys_write_page,
	.clock_ns = sys_clock_ns,
	.random = sys_random,
};
