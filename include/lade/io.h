/* SPDX-License-Identifier: MIT */
#ifndef LADE_IO_H
#define LADE_IO_H

/* io.h - files, pipes, TCP and names, for tasks.
 *
 * A descriptor is a plain int, close-on-exec. Calls that move bytes return how many, at most
 * LADE_IO_MAX at a time; -ECANCELED means that no byte moved and no descriptor was made. What the
 * kernel has done is returned although a cancel is pending. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <lade/layout.h>

LADE_API_BEGIN

#define LADE_IO_MAX ((size_t)1 << 30)

/* lade_open - opens a file.
 *
 * @flags are open(2)'s, O_CLOEXEC is added. A FIFO or a device whose other end is not there yet
 * is opened with O_NONBLOCK: without it open(2) may wait for that end on a thread of the pool,
 * where no cancel and no deadline reaches it.
 * Returns 0 and *ret_fd; -ECANCELED: nothing was opened; another -errno of open(2).
 * Suspends: yes.  Threads: inside a task only.  Owns: the caller closes *ret_fd. */
#define lade_open(...) lade_open_at(__VA_ARGS__, LADE_SITE)
lade_suspends int lade_open_at(const char *path, int flags, mode_t mode, int *ret_fd,
			       const char *site);

/* lade_close - closes a descriptor; nothing if it is negative.
 *
 * No task may be waiting on it. Suspends: no.  Threads: its loop's. */
void lade_close(int fd);

/* lade_read - reads at most @len bytes from a file (at its position), a pipe or a socket.
 *
 * Returns the number of bytes, 0 at the end; -ECANCELED: none was read; another -errno.
 * Suspends: yes.  Threads: inside a task only.  Owns: @buf is the kernel's until it returns. */
#define lade_read(...) lade_read_at(__VA_ARGS__, LADE_SITE)
lade_suspends int lade_read_at(int fd, void *buf, size_t len, const char *site);

/* lade_write - writes at most @len bytes to a file (at its position), a pipe or a socket.
 *
 * Returns the number of bytes, which may be less than @len; -ECANCELED: none was written; another
 * -errno. A socket gives -EPIPE instead of the signal, a pipe too where SIGPIPE is ignored.
 * Suspends: yes.  Threads: inside a task only. */
#define lade_write(...) lade_write_at(__VA_ARGS__, LADE_SITE)
lade_suspends int lade_write_at(int fd, const void *buf, size_t len, const char *site);

/* lade_pread - reads at most @len bytes at @offset; returns and suspends as lade_read does.
 *
 * Threads: inside a task only. */
#define lade_pread(...) lade_pread_at(__VA_ARGS__, LADE_SITE)
lade_suspends int lade_pread_at(int fd, void *buf, size_t len, int64_t offset, const char *site);

/* lade_pwrite - writes at most @len bytes at @offset; returns and suspends as lade_write does.
 *
 * Threads: inside a task only. */
#define lade_pwrite(...) lade_pwrite_at(__VA_ARGS__, LADE_SITE)
lade_suspends int lade_pwrite_at(int fd, const void *buf, size_t len, int64_t offset,
				 const char *site);

/* lade_read_exactly - reads until *done is @len: several reads, so it has a progress argument.
 *
 * *done is where it begins (0 at first) and is exact on return, whatever the result: the bytes
 * before it are in @buf. Call it again with the same *done to go on.
 * Returns 0; -ECANCELED; -ENODATA: the end came first; another -errno.
 * Suspends: yes.  Threads: inside a task only. */
#define lade_read_exactly(...) lade_read_exactly_at(__VA_ARGS__, LADE_SITE)
lade_suspends int lade_read_exactly_at(int fd, void *buf, size_t len, size_t *done,
				       const char *site);

/* lade_write_all - writes until *done is @len: several writes, so it has a progress argument.
 *
 * *done is exact on return, whatever the result. Call it again with the same *done to go on.
 * Returns 0; -ECANCELED; another -errno.  Suspends: yes.  Threads: inside a task only. */
#define lade_write_all(...) lade_write_all_at(__VA_ARGS__, LADE_SITE)
lade_suspends int lade_write_all_at(int fd, const void *buf, size_t len, size_t *done,
				    const char *site);

/* lade_fsync - makes a file durable: data and what is needed to find it again.
 *
 * Returns 0; -ECANCELED: it may not be durable; another -errno.
 * Suspends: yes.  Threads: inside a task only. */
#define lade_fsync(...) lade_fsync_at(__VA_ARGS__, LADE_SITE)
lade_suspends int lade_fsync_at(int fd, const char *site);

/* lade_readable - waits until a foreign descriptor can be read, or has an error.
 *
 * Returns 0; -ECANCELED; -EBADF; -EOPNOTSUPP under epoll: a regular file, which is always ready.
 * Suspends: yes.  Threads: inside a task only. */
#define lade_readable(...) lade_readable_at(__VA_ARGS__, LADE_SITE)
lade_suspends int lade_readable_at(int fd, const char *site);

/* lade_writable - lade_readable for writing.  Suspends: yes.  Threads: inside a task only. */
#define lade_writable(...) lade_writable_at(__VA_ARGS__, LADE_SITE)
lade_suspends int lade_writable_at(int fd, const char *site);

/* lade_pipe - a pipe: ret_fds[0] is read, ret_fds[1] is written.
 *
 * Returns 0 or -errno.  Suspends: no.  Threads: any. */
int lade_pipe(int ret_fds[2]);

/* lade_listen - listens for connections: by TCP, or by a UNIX socket.
 *
 * @address is "host:port", "[v6]:port" or ":port" with numbers, port 0: any that is free; or
 * "unix:path" with a path of at most 107 bytes, where nothing is yet: the socket's file stays when
 * it is closed, and is the caller's to remove.
 * Returns 0 and *ret_fd; -EINVAL: not such an address; -ENAMETOOLONG; another -errno.
 * Suspends: no.  Threads: any.  Owns: the caller closes *ret_fd. */
int lade_listen(const char *address, int *ret_fd);

/* lade_local_port - the port that a socket is bound to, or -errno.
 *
 * Suspends: no.  Threads: any. */
int lade_local_port(int fd);

/* lade_accept - waits for a connection.
 *
 * Returns 0 and *ret_fd; -ECANCELED: none was taken; another -errno.
 * Suspends: yes.  Threads: inside a task only.  Owns: the caller closes *ret_fd. */
#define lade_accept(...) lade_accept_at(__VA_ARGS__, LADE_SITE)
lade_suspends int lade_accept_at(int listener, int *ret_fd, const char *site);

/* An address that a name stands for. */
struct lade_address {
	uint8_t bytes[28]; /* a struct sockaddr_in or sockaddr_in6 */
	uint8_t len;	   /* bytes used */
};

#define LADE_ADDRESSES_MAX 16

/* The addresses of a host, in the order to try them. */
struct lade_addresses {
	struct lade_address list[LADE_ADDRESSES_MAX];
	uint32_t count;
};

/* lade_shutdown - says that nothing more will be written to a connection: the peer reads its end;
 * what the peer writes can still be read.
 *
 * Returns 0 or -errno.  Suspends: no.  Threads: any. */
int lade_shutdown(int fd);

/* lade_resolve - looks a host name and a port up; numbers need no look-up.
 *
 * The look-up runs on the pool and owns its memory: a cancel ends the wait at once, the answer is
 * thrown away. At most 16 such look-ups are left behind; then new ones wait for an old one.
 * Returns 0; -ENOENT: no such name; -EAGAIN: the name service does not answer; -ECANCELED;
 * another -errno.  Suspends: yes.  Threads: inside a task only. */
#define lade_resolve(...) lade_resolve_at(__VA_ARGS__, LADE_SITE)
lade_suspends int lade_resolve_at(const char *host, uint16_t port, struct lade_addresses *ret,
				  const char *site);

/* lade_connect - connects to an address.
 *
 * Returns 0 and *ret_fd; -ECANCELED: there is no connection; another -errno.
 * Suspends: yes.  Threads: inside a task only.  Owns: the caller closes *ret_fd. */
#define lade_connect(...) lade_connect_at(__VA_ARGS__, LADE_SITE)
lade_suspends int lade_connect_at(const struct lade_address *address, int *ret_fd,
				  const char *site);

/* lade_connect_to - connects to "host:port": looks the name up and tries its addresses in order;
 * or to "unix:path".
 *
 * Returns as lade_resolve and lade_connect do; -EINVAL: neither of them; -ENAMETOOLONG.
 * Suspends: yes.  Threads: inside a task only.  Owns: the caller closes *ret_fd. */
#define lade_connect_to(...) lade_connect_to_at(__VA_ARGS__, LADE_SITE)
lade_suspends int lade_connect_to_at(const char *host_port, int *ret_fd, const char *site);

/* A call for a thread of the pool; what is left out of the options has its default. */
struct lade_blocking_config {
	int (*fn)(void *arg); /* may block; calls nothing of lade but <lade/blocking.h> */
	void *arg;	      /* handed to fn and stop */
	/* Makes an fn that runs return soon, as sqlite3_interrupt does. Called at most once, when
	 * a cancel comes after fn has begun, on the loop's thread while fn may still be running or
	 * has just returned; must not suspend. NULL: fn is waited for as long as it takes. */
	void (*stop)(void *arg);
	const char *what; /* names the wait in dumps; NULL: "a blocking call" */
	bool always;	  /* a cancel neither prevents nor stops it: for what gives back */
};

/* lade_blocking - lade_blocking(fn, arg, options...) runs a function that blocks on a thread of the
 * pool and waits for it: lade_blocking(ask, &query, .stop = interrupt, .what = "a query").
 *
 * The wait lasts until the function has returned, also when the task is cancelled; a cancel that
 * comes while the call is still queued takes it back. At most 4 threads and 1,024 queued calls
 * in each loop; beyond that the caller waits for a place. On the virtual clock the function runs
 * at once, in the task.
 * Returns what fn returned, -ECANCELED included; -ECANCELED: it was not called, unless fn says so
 * itself; -EAGAIN: no thread can be had.
 * Suspends: yes.  Threads: inside a task only.  Owns: nothing; arg is not used afterwards. */
#define lade_blocking(...)                                                                         \
	lade_blocking_at(&(struct lade_blocking_config){ .fn = __VA_ARGS__ }, LADE_SITE)
lade_suspends int lade_blocking_at(const struct lade_blocking_config *config, const char *site);

LADE_API_END

#endif
