/* SPDX-License-Identifier: MIT */
/* virtual.c - the back end of tests: a clock that moves only when nothing can run.
 *
 * Time is exact: two events a nanosecond apart never tie, two at the same instant always do. There
 * is no outside: when every task waits and no timer is armed, nothing can ever happen. */

#include "core/io_priv.h"

#include <errno.h>

static int virtual_open(struct lade_loop *loop)
{
	loop->now_ns = LADE_VIRTUAL_FIRST_NS;
	return 0;
}

static void virtual_close(struct lade_loop *loop)
{
	(void)loop;
}

int64_t lade_virtual_now(struct lade_loop *loop)
{
	return loop->now_ns;
}

static int virtual_start(struct lade_loop *loop, struct lade_io *io)
{
	(void)loop;
	(void)io;
	return -EOPNOTSUPP;
}

static enum lade_abort_result virtual_abort(struct lade_loop *loop, struct lade_io *io)
{
	(void)loop;
	(void)io;
	return LADE_ABORTED;
}

int lade_virtual_poll(struct lade_loop *loop, int64_t until_ns)
{
	if (atomic_load(&loop->mailbox)) {
		lade_mail_take(loop);
		return 0;
	}
	if (until_ns == INT64_MAX)
		return -EDEADLK;
	if (until_ns > loop->now_ns)
		loop->now_ns = until_ns;
	return 0;
}

const struct lade_backend lade_backend_virtual = {
	.name = "virtual",
	.open = virtual_open,
	.close = virtual_close,
	.now = lade_virtual_now,
	.poll = lade_virtual_poll,
	.start = virtual_start,
	.abort = virtual_abort,
	.exact = true,
};
