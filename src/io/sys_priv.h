/* SPDX-License-Identifier: MIT */
#ifndef LADE_IO_SYS_PRIV_H
#define LADE_IO_SYS_PRIV_H

/* sys_priv.h - who answers the system calls of the running code. */

#include "core/io_priv.h"
#include "core/sys.h"

/* lade_sys_here - the running loop's; outside of loops, and on the pool's threads, the kernel. */
static inline const struct lade_sys *lade_sys_here(void)
{
	const struct lade_loop *loop = lade_cur->loop;

	return loop && loop->backend->sys ? loop->backend->sys : &lade_sys_kernel;
}

/* lade_outran - passes on the result of the try that follows a cancelled wait, and tells the
 * observer if there is one: -EAGAIN leaves it at the cancel, anything else came before it. */
static inline int lade_outran(int rc)
{
	struct lade_ctl *ctl = lade_cur;

	if (lade_unlikely(ctl->gate & GATE_OBSERVED) && rc != -EAGAIN && rc != -EOPNOTSUPP)
		ctl->loop->observer->outran(ctl->loop->observer, ctl);
	return rc;
}

#endif
