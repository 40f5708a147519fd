/* SPDX-License-Identifier: MIT */
/* park.c - waiting: the one way in which a task stops, and the one in which it goes on.
 *
 * DESIGN
 * Everything that waits - a channel, a timer, a descriptor, a child - does it on a struct lade_op:
 * who waits, for what, where, since when, how to call it off, and the slot for the result. A cancel
 * knows nothing else: it asks abort(), and only ABORTED makes it -ECANCELED. Completion therefore
 * wins by construction: a completed op has no task that could be told to stop. */

#include "core/switch.h"

#include <errno.h>

struct lade_ctl lade_outside = { .gate = GATE_OUTSIDE };
__thread struct lade_ctl *lade_cur __attribute__((tls_model("initial-exec"))) = &lade_outside;

static int delivered(struct lade_ctl *ctl)
{
	if (ctl->gate & GATE_OBSERVED)
		ctl->loop->observer->delivered(ctl->loop->observer, ctl);
	return -ECANCELED;
}

/* A call does not begin because of a request. */
static int cancelled(struct lade_ctl *ctl)
{
	lade_record(ctl->loop, EVENT_CANCELLED, ctl, NULL);
	return delivered(ctl);
}

int lade_gate_closed(struct lade_ctl *ctl, const char *site)
{
	if ((ctl->gate & GATE_OUTSIDE) && ctl->no_suspend_site)
		lade_misuse("%s: a suspending call in a callback that was given at %s",
			    site, ctl->no_suspend_site);
	if (ctl->gate & GATE_OUTSIDE)
		lade_misuse("%s: a suspending call outside any task", site);
	if (ctl->gate & GATE_NO_SUSPEND)
		lade_misuse("%s: a suspending call inside lade_no_suspend of %s, in task %s, "
			    "started at %s",
			    site, ctl->no_suspend_site, ctl->head->type->name, ctl->head->site);
	if (ctl->gate & GATE_OBSERVED)
		ctl->loop->observer->entered(ctl->loop->observer, ctl, site);
	return ctl->gate & GATE_CANCEL ? cancelled(ctl) : 0;
}

int lade_take_turn(struct lade_ctl *ctl)
{
	lade_ready(ctl);
	lade_leave(ctl);
	return ctl->gate & GATE_CANCEL ? cancelled(ctl) : 0;
}

int lade_yield_at(const char *site)
{
	struct lade_ctl *ctl = lade_cur;

	if (lade_unlikely(ctl->gate) && lade_gate_closed(ctl, site) < 0)
		return -ECANCELED;
	lade_ready(ctl);
	lade_leave_inline(ctl);
	return 0;
}

int lade_op_wait(struct lade_op *op)
{
	return lade_op_wait_inline(op);
}

void lade_complete(struct lade_op *op, int result)
{
	struct lade_ctl *ctl = op->task;

	if (op->state == OP_DONE)
		return;
	op->result = result;
	if (op->state == OP_PARKED) {
		op->task = NULL;
		ctl->wait = NULL;
		if (lade_unlikely(result))
			lade_record(ctl->loop, EVENT_COMPLETE, ctl, (void *)(intptr_t)result);
		lade_ready(ctl);
	}
	op->state = OP_DONE;
	if (op->done)
		op->done(op);
}

void lade_deliver(struct lade_ctl *ctl)
{
	struct lade_op *op = ctl->wait;

	if (!op)
		return;
	if (ctl->scope->eff == LEVEL_SOFT) {
		if (op->soft)
			op->soft(op);
		return;
	}
	if (!op->abort)
		return;
	switch (op->abort(op)) {
	case LADE_ABORTED:
		lade_complete(op, delivered(ctl));
		break;
	case LADE_COMPLETED:
		lade_complete(op, op->result);
		break;
	case LADE_PENDING:
		break;
	}
}

/* The cancel that was pending before the wait began: the work is under way, so it must be asked. */
static int park_cancelled(struct lade_op *op, enum lade_abort_result (*abort)(struct lade_op *))
{
	enum lade_abort_result answer = abort ? abort(op) : LADE_PENDING;

	if (op->state == OP_DONE || answer == LADE_COMPLETED)
		return op->result;
	if (answer == LADE_ABORTED)
		return -ECANCELED;
	op->abort = NULL;
	return lade_op_wait(op);
}

/* The caller is not told of the cancel after all: it gets what it waited for. */
static int outran(struct lade_ctl *ctl, int result)
{
	if ((ctl->gate & GATE_OBSERVED) && result != -ECANCELED)
		ctl->loop->observer->outran(ctl->loop->observer, ctl);
	return result;
}

int lade_park_at(struct lade_op *op, enum lade_abort_result (*abort)(struct lade_op *),
		 const char *site)
{
	int rc;

	op->site = site;
	op->abort = abort;
	if (op->state == OP_DONE) {
		/* It has happened already, and is returned although a cancel may be pending. */
		if (lade_cur->gate & (GATE_OUTSIDE | GATE_NO_SUSPEND))
			(void)lade_gate_closed(lade_cur, site);
		return op->result;
	}
	rc = lade_enter(site);
	if (rc < 0)
		return outran(lade_cur, op->state == OP_DONE ? op->result
							     : park_cancelled(op, abort));
	return op->state == OP_DONE ? op->result : lade_op_wait(op);
}

/* A sleep: an op that a timer completes. */
struct sleep {
	struct lade_op op;
	struct lade_timer timer;
};

static void sleep_over(struct lade_timer *timer)
{
	lade_complete(&LADE_CONTAINER(timer, struct sleep, timer)->op, 0);
}

static enum lade_abort_result sleep_abort(struct lade_op *op)
{
	lade_timer_stop(op->task->loop, &LADE_CONTAINER(op, struct sleep, op)->timer);
	return LADE_ABORTED;
}

int lade_sleep_until_at(struct lade_instant when, const char *site)
{
	struct sleep sleep;
	int rc = lade_enter(site);

	if (rc < 0)
		return rc;
	if (when.mono_ns <= lade_cur->loop->now_ns)
		return 0;
	lade_op_init(&sleep.op, "sleep", site, sleep_abort);
	lade_timer_start(lade_cur->loop, &sleep.timer, when.mono_ns, TIMER_OP, sleep_over);
	return lade_op_wait_inline(&sleep.op);
}
