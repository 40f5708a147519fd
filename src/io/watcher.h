/* SPDX-License-Identifier: MIT */
#ifndef LADE_IO_WATCHER_H
#define LADE_IO_WATCHER_H

/* watcher.h - a thread beside the loops: dumps them when they hang, names who holds a core. */

#include <stdint.h>

/* lade_watcher_start - starts the thread; a task that runs for @hold_ns without a break is
 * reported, unless that is INT64_MAX.  Returns 0 or -errno.
 *
 * The handler of SIGQUIT is its own from now on. Threads: the main one, once at a time. */
int lade_watcher_start(int64_t hold_ns);

/* lade_watcher_stop - ends it; dumps that were asked for are made first. */
void lade_watcher_stop(void);

#endif
