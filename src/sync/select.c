/* SPDX-License-Identifier: MIT */
/* select.c - the first of several operations, and exactly that one.
 *
 * DESIGN
 * Cases are tried in order; the first that can be done is done, without any waiting. Else each is
 * armed, the task parks on one op, and the first to be granted is chosen: at that very moment the
 * others leave their lists, so nothing can be granted twice. A readiness case is only ever polled:
 * a read that completed for a case that was not chosen would be lost. The kernel may not let go of
 * a poll at once (io_uring); then the task stays parked until it has.
 *
 * Where other cores may grant, "the first" is who claims the select: select_priv.h.
 *
 * INVARIANT  chosen is settled once; while pending > 0 the cases are still the kernel's. */

#include "core/switch.h"
#include "core/sys.h"
#include "sync/select_priv.h"

#include <errno.h>
#include <poll.h>

#define CASES_MAX 12

/* All armed cases but @except stop waiting. */
static void disarm(struct lade_selecting *s, int except)
{
	for (int i = 0; i < s->armed; i++)
		if (i != except && s->cases[i].type->disarm)
			s->pending += s->cases[i].type->disarm(&s->cases[i]);
}

void lade_select_settle(struct lade_selecting *s, int index, int result)
{
	s->chosen = result;
	disarm(s, index);
	if (!s->pending)
		lade_complete(&s->op, s->chosen);
}

void lade_select_choose(struct lade_selecting *s, int index, int result)
{
	if (s->chosen == -EAGAIN && lade_select_claim(s))
		lade_select_settle(s, index, result);
}

static void take_settled(struct lade_mail *mail)
{
	struct lade_selecting *s = LADE_CONTAINER(mail, struct lade_selecting, op.mail);

	lade_select_settle(s, s->granted, s->op.result);
}

void lade_select_settle_remote(struct lade_selecting *s, int index, int result)
{
	s->granted = index;
	s->op.result = result;
	s->op.mail.take = take_settled;
	lade_mail_send(s->op.loop, &s->op.mail);
}

void lade_grant(struct lade_waiter *waiter, int rc)
{
	lade_list_remove(&waiter->link);
	if (waiter->selecting)
		lade_select_settle(waiter->selecting, waiter->index,
				   rc < 0 ? rc : waiter->index);
	else
		lade_complete(waiter->op, rc);
}

static const struct lade_case_type ready_case;

/* Rule 10: what waits for readiness is tried once more before the cancel is delivered.  Returns an
 * index, or -ECANCELED. */
static int last_look(const struct lade_selecting *s)
{
	struct lade_ctl *before = lade_cur;
	int index = -ECANCELED;

	/* Looked at for the task, though it is the loop, or another task, that looks. */
	lade_cur = s->op.task;
	for (int i = 0; i < s->armed && index < 0; i++)
		if (s->cases[i].type == &ready_case && ready_case.try(&s->cases[i]) == 0)
			index = i;
	lade_cur = before;
	return index;
}

static enum lade_abort_result select_abort(struct lade_op *op)
{
	struct lade_selecting *s = LADE_CONTAINER(op, struct lade_selecting, op);

	if (s->chosen != -EAGAIN || !lade_select_claim(s))
		return LADE_PENDING;
	s->chosen = last_look(s);
	disarm(s, -1);
	op->result = s->chosen;
	return s->pending ? LADE_PENDING : LADE_COMPLETED;
}

static void select_soft(struct lade_op *op)
{
	struct lade_selecting *s = LADE_CONTAINER(op, struct lade_selecting, op);

	if (s->stopping >= 0)
		lade_select_choose(s, s->stopping, s->stopping);
}

static uint32_t random_start(struct lade_loop *loop, uint32_t count)
{
	/* xorshift: any start will do, none may be favoured. */
	loop->random ^= loop->random << 13;
	loop->random ^= loop->random >> 7;
	loop->random ^= loop->random << 17;
	return (uint32_t)(loop->random % count);
}

void lade_select_seed(uint64_t seed)
{
	/* Seeds that lie side by side must not begin alike, and 0 is the one state that the
	 * generator never leaves. */
	seed = (seed ^ seed >> 32) * UINT64_C(0x9e3779b97f4a7c15) ^ UINT64_C(0xd1b54a32d192ed03);
	if (lade_cur->loop)
		lade_cur->loop->random = seed ? seed : 1;
}

/* Tries every case once, from @start on.  Returns an index, -EAGAIN, or the error of one. */
static int try_cases(struct lade_case *cases, int count, int start)
{
	for (int n = 0; n < count; n++) {
		int i = start + n < count ? start + n : start + n - count;
		int rc = cases[i].type->try(&cases[i]);

		if (rc != -EAGAIN)
			return rc < 0 ? rc : i;
	}
	return -EAGAIN;
}

static int wait_for_case(struct lade_selecting *s)
{
	for (s->armed = 0; s->armed < s->count; s->armed++) {
		int rc = s->cases[s->armed].type->arm(&s->cases[s->armed], s, s->armed);

		if (rc == 0)
			continue;
		if (rc < 0 && !lade_select_claim(s))
			break; /* done on another core: the mail is on its way */
		s->chosen = rc < 0 ? rc : s->armed;
		disarm(s, -1);
		if (!s->pending)
			return s->chosen;
		break;
	}
	s->op.abort = select_abort;
	s->op.soft = select_soft;
	(void)lade_op_wait_inline(&s->op);
	return s->chosen;
}

int lade_select_at(struct lade_case *cases, size_t count, bool fair, const char *site)
{
	struct lade_selecting s = { .op = { .what = "a select",
					    .site = site,
					    .loop = lade_cur->loop },
				    .cases = cases,
				    .count = (int)count,
				    .chosen = -EAGAIN,
				    .stopping = -1 };
	int rc = lade_enter(site);

	if (rc < 0)
		return rc;
	if (count == 0 || count > CASES_MAX)
		return -EINVAL;
	rc = try_cases(cases, s.count,
		       fair ? (int)random_start(lade_cur->loop, (uint32_t)count) : 0);
	if (rc != -EAGAIN)
		return rc;
	rc = wait_for_case(&s);
	if (rc >= 0 && cases[rc].type->chosen)
		cases[rc].type->chosen(&cases[rc]);
	return rc;
}

/* Timers */

struct timer_room {
	struct lade_timer timer;
	struct lade_selecting *selecting;
	int index;
};

#define ROOM(c, type) ((type *)(void *)(c)->room)
_Static_assert(sizeof(struct timer_room) <= sizeof(((struct lade_case *)0)->room), "fits");

static void case_time_over(struct lade_timer *timer)
{
	struct timer_room *room = LADE_CONTAINER(timer, struct timer_room, timer);

	lade_select_choose(room->selecting, room->index, room->index);
}

static int timer_try(struct lade_case *c)
{
	return c->number <= lade_cur->loop->now_ns ? 0 : -EAGAIN;
}

static int timer_arm(struct lade_case *c, struct lade_selecting *s, int index)
{
	struct timer_room *room = ROOM(c, struct timer_room);

	room->selecting = s;
	room->index = index;
	lade_timer_start(lade_cur->loop, &room->timer, c->number, TIMER_OP, case_time_over);
	return 0;
}

static bool timer_disarm(struct lade_case *c)
{
	struct timer_room *room = ROOM(c, struct timer_room);

	lade_timer_stop(room->selecting->op.task ? room->selecting->op.task->loop : lade_cur->loop,
			&room->timer);
	return false;
}

static const struct lade_case_type timer_case = { timer_try, timer_arm, timer_disarm, NULL };

struct lade_case lade_at(struct lade_instant when)
{
	return (struct lade_case){ .type = &timer_case, .number = when.mono_ns };
}

/* Readiness */

struct ready_room {
	struct lade_io io;
	struct lade_selecting *selecting;
	int index;
	bool over; /* the kernel has let go of it, though the select was another case's by then */
};

_Static_assert(sizeof(struct ready_room) <= sizeof(((struct lade_case *)0)->room), "fits");

static int ready_try(struct lade_case *c)
{
	struct pollfd p = { .fd = (int)c->number, .events = c->slot ? POLLOUT : POLLIN };
	const struct lade_sys *sys = lade_cur->loop->backend->sys;
	int n;

	if (sys) /* its descriptors are none of the kernel's */
		return sys->is_ready(p.fd, p.events) ? 0 : -EAGAIN;
	n = poll(&p, 1, 0);
	if (n > 0)
		return p.revents & POLLNVAL ? -EBADF : 0;
	return n == 0 || errno == EINTR ? -EAGAIN : -errno;
}

/* The poll of one case has ended: ready, or let go of. */
static void ready_done(struct lade_op *op)
{
	struct ready_room *room = LADE_CONTAINER(op, struct ready_room, io.op);
	struct lade_selecting *s = room->selecting;

	if (s->chosen == -EAGAIN) {
		room->over = true;
		lade_select_choose(s, room->index, op->result < 0 ? op->result : room->index);
		return;
	}
	if (--s->pending == 0)
		lade_complete(&s->op, s->chosen);
}

static int ready_arm(struct lade_case *c, struct lade_selecting *s, int index)
{
	struct ready_room *room = ROOM(c, struct ready_room);
	struct lade_loop *loop = lade_cur->loop;

	*room = (struct ready_room){ .io = { .op = { .what = "readable",
						     .site = s->op.site,
						     .done = ready_done,
						     .loop = loop },
					     .code = IO_POLL,
					     .fd = (int)c->number,
					     .events = c->slot ? POLLOUT : POLLIN },
				     .selecting = s,
				     .index = index };
	return loop->backend->start(loop, &room->io);
}

static bool ready_disarm(struct lade_case *c)
{
	struct ready_room *room = ROOM(c, struct ready_room);
	struct lade_loop *loop = room->io.op.loop;

	return !room->over && loop->backend->abort(loop, &room->io) == LADE_PENDING;
}

static const struct lade_case_type ready_case = { ready_try, ready_arm, ready_disarm, NULL };

struct lade_case lade_readable_case(int fd)
{
	return (struct lade_case){ .type = &ready_case, .number = fd };
}

struct lade_case lade_writable_case(int fd)
{
	static char out;

	return (struct lade_case){ .type = &ready_case, .number = fd, .slot = &out };
}

/* The soft phase */

static int stopping_try(struct lade_case *c)
{
	(void)c;
	return lade_stopping() ? 0 : -EAGAIN;
}

static int stopping_arm(struct lade_case *c, struct lade_selecting *s, int index)
{
	(void)c;
	if (s->stopping < 0) /* of two, the first in order */
		s->stopping = index;
	return 0;
}

static const struct lade_case_type stopping_case = { stopping_try, stopping_arm, NULL, NULL };

struct lade_case lade_on_stopping(void)
{
	return (struct lade_case){ .type = &stopping_case };
}
