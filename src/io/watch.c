/* SPDX-License-Identifier: MIT */
/* watch.c - descriptors and instants with a callback, for foreign state machines.
 *
 * DESIGN
 * A watch is one poll of the back end, one-shot, begun anew after each callback for as long as
 * something is asked for. A poll that asks for more than is wanted is left alone: the one event too
 * many costs less than calling it off for each change, and is dropped. Only when a new event is
 * wanted must the poll be replaced; io_uring lets go of it later, and the next one begins then.
 *
 * In a callback lade_cur is a stand-in that knows the loop and shuts the gate: lade_now works, a
 * suspending call ends the process and names the watch or the alarm.
 *
 * INVARIANT  while `armed` the back end has a pointer to the watch, so it is freed only when it is
 * closed, not armed, and not in its callback. loop->watches_leaving counts the closed that are
 * armed, and the loop turns until there is none. */

#include <lade/watch.h>

#include "base/alloc.h"
#include "core/io_priv.h"

#include <errno.h>

struct lade_watch {
	struct lade_io io;	/* the poll; the back end's while armed */
	struct lade_loop *loop; /* home */
	void (*ready)(void *arg, unsigned events);
	void *arg;		/* handed to ready */
	const char *site;	/* where it was opened */
	int fd;
	unsigned wanted;	/* events that are asked for */
	bool armed;		/* the back end has the poll */
	bool leaving;		/* it was asked to let go of it and has not answered */
	bool inside;		/* in its callback */
	bool closed;		/* by its owner */
};

static struct lade_loop *home(const char *what, const char *site)
{
	struct lade_loop *loop = lade_loop_here();

	if (!loop)
		lade_misuse("%s: %s outside any task and any callback of a loop", site, what);
	return loop;
}

static void poll_over(struct lade_op *op);

static int arm(struct lade_watch *w)
{
	int rc;

	w->io = (struct lade_io){ .op = { .what = "a watch",
					  .site = w->site,
					  .done = poll_over,
					  .loop = w->loop },
				  .code = IO_POLL,
				  .fd = w->fd,
				  .events = w->wanted };
	rc = w->loop->backend->start(w->loop, &w->io);
	w->armed = rc == 0;
	if (rc < 0)
		w->wanted = 0;
	return rc;
}

/* Has the back end let go of the poll, now or later. */
static void disarm(struct lade_watch *w)
{
	if (!w->armed || w->leaving)
		return;
	if (w->loop->backend->abort(w->loop, &w->io) == LADE_ABORTED)
		w->armed = false;
	else
		w->leaving = true;
}

static void tell(struct lade_watch *w, unsigned events)
{
	struct lade_ctl stand_in;

	w->inside = true;
	lade_callback_begin(&stand_in, w->loop, w->site);
	w->ready(w->arg, events);
	lade_callback_end();
	w->inside = false;
}

/* What the end of a poll means to the owner. */
static unsigned events_of(struct lade_watch *w, int result)
{
	if (result == -ECANCELED)
		return 0;
	if (result < 0 || (result & POLLNVAL)) {
		w->wanted = 0;
		return POLLNVAL;
	}
	return result & (POLLERR | POLLHUP) ? w->wanted : (unsigned)result & w->wanted;
}

static void poll_over(struct lade_op *op)
{
	struct lade_watch *w = LADE_CONTAINER(op, struct lade_watch, io.op);
	unsigned events;

	w->armed = w->leaving = false;
	if (w->closed) {
		w->loop->watches_leaving--;
		lade_free(w);
		return;
	}
	events = events_of(w, op->result);
	if (events)
		tell(w, events);
	if (!w->closed && w->wanted && !w->armed && arm(w) < 0)
		tell(w, POLLNVAL);
	if (w->closed && !w->armed)
		lade_free(w);
}

int lade_watch_open_at(int fd, void (*ready)(void *arg, unsigned events), void *arg,
		       struct lade_watch **ret, const char *site)
{
	struct lade_loop *loop = home("a watch is opened", site);
	struct lade_watch *w;

	if (fd < 0)
		return -EBADF;
	w = lade_calloc(1, sizeof(*w));
	if (!w)
		return -ENOMEM;
	w->loop = loop;
	w->ready = ready;
	w->arg = arg;
	w->site = site;
	w->fd = fd;
	*ret = w;
	return 0;
}

int lade_watch_set(struct lade_watch *watch, unsigned events)
{
	watch->wanted = events & (POLLIN | POLLOUT);
	if (events != watch->wanted) {
		watch->wanted = 0;
		return -EINVAL;
	}
	if (!events || (watch->armed && (watch->io.events & events) == events))
		return 0;
	disarm(watch);
	return watch->armed ? 0 : arm(watch);
}

struct lade_watch *lade_watch_close(struct lade_watch *watch)
{
	if (!watch)
		return NULL;
	disarm(watch);
	watch->closed = true;
	if (watch->armed)
		watch->loop->watches_leaving++;
	else if (!watch->inside)
		lade_free(watch);
	return NULL;
}

static void timer_due(struct lade_timer *timer)
{
	struct lade_alarm *alarm = LADE_CONTAINER(timer, struct lade_alarm, timer);
	struct lade_ctl stand_in;

	lade_callback_begin(&stand_in, alarm->loop, alarm->site);
	alarm->due(alarm->arg);
	lade_callback_end();
}

void lade_alarm_init_at(struct lade_alarm *alarm, void (*due)(void *arg), void *arg,
			const char *site)
{
	*alarm = (struct lade_alarm){ .loop = home("an alarm is initialised", site),
				      .due = due,
				      .arg = arg,
				      .site = site };
}

void lade_alarm_start(struct lade_alarm *alarm, struct lade_instant when)
{
	lade_timer_stop(alarm->loop, &alarm->timer);
	if (when.mono_ns != INT64_MAX)
		lade_timer_start(alarm->loop, &alarm->timer, when.mono_ns, TIMER_OP, timer_due);
}

void lade_alarm_stop(struct lade_alarm *alarm)
{
	lade_timer_stop(alarm->loop, &alarm->timer);
}
