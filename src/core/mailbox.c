/* SPDX-License-Identifier: MIT */
/* mailbox.c - what other threads and signal handlers tell a loop.
 *
 * DESIGN
 * A mail is pushed on a lock-free list; the loop takes the whole list at once, in each turn, and
 * puts it in order again. Lock-free, so it is also right in a signal handler. A loop that goes to
 * sleep puts a mark into the empty mailbox; who pushes on the mark owes it a wake-up, one write to
 * its eventfd, and nobody else pays for one. tests/spin/mailbox.pml is a model of it.
 *
 * Whoever has pushed touches the loop's memory no more, and the eventfd only if it owes a wake-up.
 * The loop counts those that it is owed and those that it has heard, and is not closed before they
 * are as many: so the mail that ends a loop may come from another thread.
 *
 * INVARIANT  a mail is in one mailbox at most; what it is part of lives until it has been taken. */

#include "core/io_priv.h"
#include "core/loops.h"

#include <errno.h>
#include <unistd.h>

struct lade_loop *lade_loop_here(void)
{
	return lade_cur->loop;
}

/* In the mailbox of a loop that sleeps, or is about to. */
static struct lade_mail asleep;

/* What a wake-up adds to the eventfd: those that are counted, and those of signals. */
#define WAKE_COUNTED (UINT64_C(1) << 32)
#define WAKE_OF_SIGNAL UINT64_C(1)

static void wake(int fd, uint64_t what)
{
	int saved = errno;

	while (fd >= 0 && write(fd, &what, sizeof(what)) < 0 && errno == EINTR)
		;
	errno = saved;
}

void lade_loop_wake(struct lade_loop *loop)
{
	wake(loop->wake_fd, WAKE_OF_SIGNAL);
}

void lade_mail_send(struct lade_loop *loop, struct lade_mail *mail)
{
	struct lade_mail *first = atomic_load_explicit(&loop->mailbox, memory_order_relaxed);
	int fd = loop->wake_fd;

	do
		mail->next = first == &asleep ? NULL : first;
	while (!atomic_compare_exchange_weak_explicit(&loop->mailbox, &first, mail,
						      memory_order_release,
						      memory_order_relaxed));
	if (first == &asleep)
		wake(fd, WAKE_COUNTED);
}

bool lade_mail_sleep(struct lade_loop *loop)
{
	struct lade_mail *none = NULL;

	if (loop->wake_fd < 0)
		return true;
	loop->asleep = atomic_compare_exchange_strong_explicit(&loop->mailbox, &none, &asleep,
							       memory_order_relaxed,
							       memory_order_relaxed);
	return loop->asleep;
}

/* The list of what has come, latest first. */
static struct lade_mail *empty_mailbox(struct lade_loop *loop)
{
	struct lade_mail *list = atomic_exchange_explicit(&loop->mailbox, NULL,
							  memory_order_acquire);

	if (!loop->asleep)
		return list;
	loop->asleep = false;
	if (list == &asleep)
		return NULL;
	loop->wakes_owed++;
	return list;
}

void lade_mail_take(struct lade_loop *loop)
{
	struct lade_mail *list = empty_mailbox(loop);
	struct lade_mail *in_order = NULL;

	while (list) {
		struct lade_mail *next = list->next;

		list->next = in_order;
		in_order = list;
		list = next;
	}
	while (in_order) {
		struct lade_mail *mail = in_order;

		in_order = mail->next;
		mail->take(mail);
	}
}

void lade_woken(struct lade_loop *loop, uint64_t value)
{
	loop->wakes_heard += (uint32_t)(value / WAKE_COUNTED);
	lade_mail_take(loop);
	lade_loops_answer(loop);
	if (loop->on_wake)
		loop->on_wake(loop);
}

void lade_wake_fd_close(struct lade_loop *loop)
{
	uint64_t value;

	/* Read back, so that ThreadSanitizer, which does not see what a ring reads, sees that
	 * all who wrote have done so. */
	lade_loop_wake(loop);
	(void)!read(loop->wake_fd, &value, sizeof(value));
	close(loop->wake_fd);
}

static void take_completion(struct lade_mail *mail)
{
	struct lade_op *op = LADE_CONTAINER(mail, struct lade_op, mail);

	lade_complete(op, op->result);
}

void lade_complete_remote(struct lade_op *op, int result)
{
	op->result = result;
	op->mail.take = take_completion;
	lade_mail_send(op->loop, &op->mail);
}

void lade_callback_begin(struct lade_ctl *stand_in, struct lade_loop *loop, const char *site)
{
	*stand_in = (struct lade_ctl){ .loop = loop,
				       .gate = GATE_OUTSIDE,
				       .no_suspend_site = site };
	lade_cur = stand_in;
}

void lade_callback_end(void)
{
	lade_cur = &lade_outside;
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
