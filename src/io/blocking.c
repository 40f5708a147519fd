/* SPDX-License-Identifier: MIT */
/* blocking.c - the system for code that may block: the kernel's, or a simulation's. */

#include <lade/blocking.h>
#include <lade/io.h>

#include "io/sys_priv.h"

#include <errno.h>

bool lade_simulated(void)
{
	return lade_sys_here() != &lade_sys_kernel;
}

int64_t lade_clock_ns(void)
{
	return lade_sys_here()->clock_ns(false);
}

int64_t lade_wall_ns(void)
{
	return lade_sys_here()->clock_ns(true);
}

uint64_t lade_random(void)
{
	return lade_sys_here()->random();
}

int lade_file_open(const char *path, int flags, unsigned mode)
{
	return lade_sys_here()->open(path, flags, (mode_t)mode);
}

void lade_file_close(int fd)
{
	if (fd >= 0)
		lade_sys_here()->close(fd);
}

int64_t lade_file_read(int fd, void *buf, size_t len, int64_t offset)
{
	size_t done = 0;

	while (done < len) {
		int n = lade_sys_here()->transfer(&(struct lade_transfer){
			.fd = fd,
			.buf = (char *)buf + done,
			.len = len - done < LADE_IO_MAX ? len - done : LADE_IO_MAX,
			.offset = offset + (int64_t)done });

		if (n < 0)
			return n;
		if (n == 0)
			break;
		done += (size_t)n;
	}
	return (int64_t)done;
}

int lade_file_write(int fd, const void *buf, size_t len, int64_t offset)
{
	for (size_t done = 0; done < len;) {
		/* The cast takes const away for one struct that serves both ways. */
		int n = lade_sys_here()->write_page(&(struct lade_transfer){
			.fd = fd,
			.out = true,
			.buf = (char *)(uintptr_t)buf + done,
			.len = len - done < LADE_IO_MAX ? len - done : LADE_IO_MAX,
			.offset = offset + (int64_t)done });

		if (n <= 0)
			return n < 0 ? n : -EIO;
		done += (size_t)n;
	}
	return 0;
}

int lade_file_truncate(int fd, int64_t len)
{
	return lade_sys_here()->truncate(fd, len);
}

int lade_file_sync(int fd)
{
	return lade_sys_here()->fsync(fd);
}

int lade_file_stat(int fd, struct stat *ret)
{
	return lade_sys_here()->stat(fd, ret);
}

int lade_file_stat_path(const char *path, struct stat *ret)
{
	return lade_sys_here()->stat_path(path, ret);
}

int lade_file_seek(int fd, int64_t offset)
{
	return lade_sys_here()->seek(fd, offset);
}

int lade_file_remove(const char *path)
{
	return lade_sys_here()->remove(path);
}
