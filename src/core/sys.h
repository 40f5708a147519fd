/* SPDX-License-Identifier: MIT */
#ifndef LADE_CORE_SYS_H
#define LADE_CORE_SYS_H

/* sys.h - the system calls behind the io layer, as a table: the kernel's, or a simulation's.
 *
 * The io layer decides when to try, to wait and to give up; what it asks for goes through this
 * table, so that a back end without a kernel can answer it. Descriptors, flags and addresses are
 * the kernel's in both. Every call returns 0 or more, or -errno. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/types.h>

struct lade_loop;

/* What moves bytes, and in which direction. */
struct lade_transfer {
	int fd;
	bool out;	/* write instead of read */
	void *buf;	/* not written to when @out */
	size_t len;	/* bytes, at most LADE_IO_MAX */
	int64_t offset; /* position in the file, -1: the current one */
};

typedef void lade_address_found(void *arg, const struct sockaddr *address, socklen_t len);

struct lade_sys {
	/* Without blocking: bytes; -EAGAIN: it would block; -EOPNOTSUPP: cannot tell. */
	int (*try_transfer)(const struct lade_transfer *t);
	/* May block: for the pool, or once poll has said that it will not. */
	int (*transfer)(const struct lade_transfer *t);
	bool (*is_ready)(int fd, short events); /* POLLIN, POLLOUT: by now */
	int (*open)(const char *path, int flags, mode_t mode); /* may block; a descriptor */
	void (*close)(int fd);
	int (*fsync)(int fd);	      /* may block */
	int (*pipe)(int ret_fds[2]);
	int (*listen)(const struct sockaddr *where, socklen_t len); /* a descriptor */
	int (*local_port)(int fd);
	int (*accept)(int listener);   /* a descriptor, or -EAGAIN */
	void (*no_delay)(int fd);      /* an accepted connection sends at once */
	int (*shutdown)(int fd);       /* nothing more will be written to a connection */
	/* Begins a connection: 0, -EINPROGRESS; *ret_fd is written for both. */
	int (*connect)(const struct sockaddr *where, socklen_t len, int *ret_fd);
	int (*connect_state)(int fd); /* 0: connected; -EINPROGRESS; or why not */
	/* Tells @found each address of a name; may block; also outside of tasks and on other
	 * threads. */
	int (*look_up)(struct lade_loop *loop, const char *host, uint16_t port,
		       lade_address_found *found, void *arg);
	/* For code that may block: see <lade/blocking.h>. The state of a descriptor or a path. */
	int (*stat)(int fd, struct stat *ret);
	int (*stat_path)(const char *path, struct stat *ret);
	int (*truncate)(int fd, int64_t len);
	int (*seek)(int fd, int64_t offset);
	int (*remove)(const char *path);
	/* As transfer does; but to an observer the bytes are not an effect. */
	int (*write_page)(const struct lade_transfer *t);
	int64_t (*clock_ns)(bool wall); /* CLOCK_MONOTONIC, or CLOCK_REALTIME */
	uint64_t (*random)(void);
};

/* lade_sys_kernel - the real one; defined by the io layer. */
extern const struct lade_sys lade_sys_kernel;

#endif
