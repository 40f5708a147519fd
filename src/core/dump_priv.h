/* SPDX-License-Identifier: MIT */
#ifndef LADE_CORE_DUMP_PRIV_H
#define LADE_CORE_DUMP_PRIV_H

/* dump_priv.h - a dump of one loop, from wherever it is. */

#include "core/frames.h"

/* How a loop is dumped. */
struct lade_dump_how {
	int fd;		/* where the text goes */
	bool careful;	/* from a signal handler: everything may be half changed, and is read so;
			 * addresses are left for lade_dump_names() */
	const struct lade_frames_from *running; /* stack of the running task, or thread; or NULL */
};

/* lade_dump_how - dumps a loop; on its own thread.
 *
 * With .careful it is async-signal-safe. */
void lade_dump_how(struct lade_loop *loop, const struct lade_dump_how *how);

/* lade_dump_names - copies a careful dump from its beginning, with names for addresses.
 *
 * Threads: any, not from a signal handler. */
void lade_dump_names(int from_fd, int fd);

#endif
