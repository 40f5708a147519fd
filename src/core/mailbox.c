/* SPDX-License-Identifier: MIT */
/* mailbox.c - what other threads and signal handlers tell a loop.
 *
 * DESIGN
 * A completed op is pushed on a lock-free list; the loop takes the whole list at once and puts it
 * in order again. One write to an eventfd wakes a loop that sleeps in the kernel; only the push
 * that finds the list empty pays for it. Lock-free, so it is also right in a signal handler.
 *
 * INVARIANT  an op is pushed at most once, and its task is parked on it, or will be. */

#include "core/io_priv.h"

#include <errno.h>
#include <unistd.h>

struct lade_loop *lade_loop_here(void)
{
	return lade_cur->loop;
}

void lade_loop_wake(struct lade_loop *loop)
{
	const uint64_t one = 1;
	int saved = errno;

	/* A full counter (EAGAIN) has its wake-up under way; a signal has taken it from nobody. */
	while (loop->wake_fd >= 0 && write(loop->wake_fd, &one, sizeof(one)) < 0 &&
	       errno == EINTR)
		;
	errno = saved;
}

void lade_complete_remote(struct lade_op *op, int result)
{
	struct lade_loop *loop = op->loop;
	struct lade_op *first = atomic_load_explicit(&loop->mailbox, memory_order_relaxed);

	op->result = result;
	do {
		op->mail_next = first;
		/* Release: the loop that takes the list sees the result. */
	} while (!atomic_compare_exchange_weak_explicit(&loop->mailbox, &first, op,
							memory_order_release,
							memory_order_relaxed));
	if (!first)
		lade_loop_wake(loop);
}

void lade_mailbox_run(struct lade_loop *loop)
{
	struct lade_op *list = atomic_exchange_explicit(&loop->mailbox, NULL,
							memory_order_acquire);
	struct lade_op *in_order = NULL;

	while (list) {
		struct lade_op *next = list->mail_next;

		list->mail_next = in_order;
		in_order = list;
		list = next;
	}
	while (in_order) {
		struct lade_op *op = in_order;

		in_order = op->mail_next;
		lade_complete(op, op->result);
	}
	if (loop->on_wake)
		loop->on_wake(loop);
}

static enum lade_abort_result io_abort(struct lade_op *op)
{
	struct lade_loop *loop = op->task->loop;

	return loop->backend->abort(loop, LADE_CONTAINER(op, struct lade_io, op));
}

int lade_io_wait(struct lade_io *io)
{
	struct lade_loop *loop = lade_cur->loop;
	int rc;

	/* A wait that begins again after it was woken for nothing: the cancel that came meanwhile
	 * has been delivered, nobody would tell again. */
	if (lade_unlikely(lade_cur->gate & GATE_CANCEL))
		return -ECANCELED;
	io->op.abort = io_abort;
	rc = loop->backend->start(loop, io);
	return rc < 0 ? rc : lade_op_wait(&io->op);
}
