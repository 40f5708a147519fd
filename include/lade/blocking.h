/* SPDX-License-Identifier: MIT */
#ifndef LADE_BLOCKING_H
#define LADE_BLOCKING_H

/* blocking.h - files, clock and chance for functions that lade_blocking runs.
 *
 * They are thin: open(2), pread(2) and so on, made again when a signal interrupts. But in a
 * simulation, where such a function runs in its task, they find the simulated files and the
 * simulated clock. A function that keeps to them is the same in every run of a seed; so is a
 * foreign library that can be told whom to ask, as SQLite can. Elsewhere they ask the kernel.
 *
 * What they write is no effect to the explorer: a file that is written in place is its program's
 * own business. Lines that others read are written by lade_write. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <lade/version.h>

struct stat;

LADE_API_BEGIN

/* lade_simulated - whether the running code is in a simulation.  Suspends: no.  Threads: any. */
bool lade_simulated(void);

/* lade_clock_ns - CLOCK_MONOTONIC in nanoseconds, or the simulation's.
 *
 * Suspends: no.  Threads: any. */
int64_t lade_clock_ns(void);

/* lade_wall_ns - nanoseconds since 1970. In a simulation, where the clock stands until nothing can
 * run, it begins with the year 2026.
 *
 * Suspends: no.  Threads: any. */
int64_t lade_wall_ns(void);

/* lade_random - 64 random bits, in a simulation out of its seed.  Suspends: no.  Threads: any. */
uint64_t lade_random(void);

/* lade_file_open - open(2).  Returns a descriptor or -errno.
 *
 * Blocks.  Suspends: no.  Threads: any.  Owns: lade_file_close closes it. */
int lade_file_open(const char *path, int flags, unsigned mode);

/* lade_file_close - closes a descriptor; less than 0 is allowed.  Suspends: no.  Threads: any. */
void lade_file_close(int fd);

/* lade_file_read - reads until @len bytes or the end of the file have come.
 *
 * Returns how many bytes; -errno: what was read is not known.
 * Blocks.  Suspends: no.  Threads: any. */
int64_t lade_file_read(int fd, void *buf, size_t len, int64_t offset);

/* lade_file_write - writes all bytes.  Returns 0; -errno: some of them may have been written.
 *
 * Blocks.  Suspends: no.  Threads: any. */
int lade_file_write(int fd, const void *buf, size_t len, int64_t offset);

/* lade_file_truncate - makes the file @len bytes long.  Returns 0 or -errno.
 *
 * Blocks.  Suspends: no.  Threads: any. */
int lade_file_truncate(int fd, int64_t len);

/* lade_file_seek - where lade_read and lade_write go on in a file.  Returns 0 or -errno.
 *
 * Suspends: no.  Threads: any. */
int lade_file_seek(int fd, int64_t offset);

/* lade_file_sync - fsync(2).  Returns 0 or -errno.  Blocks.  Suspends: no.  Threads: any. */
int lade_file_sync(int fd);

/* lade_file_stat - fstat(2); in a simulation kind, size and st_ino are meant, the rest is 0.
 *
 * Returns 0 or -errno.  Blocks.  Suspends: no.  Threads: any. */
int lade_file_stat(int fd, struct stat *ret);

/* lade_file_stat_path - stat(2), in the same way. */
int lade_file_stat_path(const char *path, struct stat *ret);

/* lade_file_remove - unlink(2).  Returns 0 or -errno.  Blocks.  Suspends: no.  Threads: any. */
int lade_file_remove(const char *path);

LADE_API_END

#endif
