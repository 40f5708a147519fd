/* SPDX-License-Identifier: MIT */
#ifndef LADE_WATCH_H
#define LADE_WATCH_H

/* watch.h - descriptors and instants for libraries that bring their own state machine.
 *
 * Where a task can wait, lade_readable and lade_sleep are simpler. A library such as libcurl's
 * multi interface, libpq or librdkafka has no task of its own: it names descriptors and times,
 * wants to be called when they are due, and says then which of its users' work has ended. A watch
 * is a descriptor with a callback, an alarm is an instant with one; what a callback ends is a wait
 * by lade_park, and it ends it by lade_complete.
 *
 * Callbacks run on the loop's own stack, which is as large as its thread's, between the turns of
 * tasks, as if inside lade_no_suspend: a call that suspends ends the process. They may start,
 * change and close any watch and alarm, their own too, and should return soon, as nothing else
 * runs meanwhile. lade_now and lade_loop_here work in them.
 *
 * Example:
 *	struct radio;
 *	int radio_fd(struct radio *radio);
 *	int radio_work(struct radio *radio);
 *	int64_t radio_silence_ms(struct radio *radio);
 *
 *	struct tuner {
 *		struct radio *radio;
 *		struct lade_watch *watch;
 *		struct lade_alarm alarm;
 *		struct lade_op op;
 *	};
 *
 *	static void go_on(struct tuner *t)
 *	{
 *		int rc = radio_work(t->radio);
 *
 *		if (rc > 0)
 *			lade_alarm_start(&t->alarm, lade_in(lade_ms(radio_silence_ms(t->radio))));
 *		else
 *			lade_complete(&t->op, rc);
 *	}
 *
 *	static void on_ready(void *tuner, unsigned events)
 *	{
 *		(void)events;
 *		go_on(tuner);
 *	}
 *
 *	static void on_silence(void *tuner)
 *	{
 *		go_on(tuner);
 *	}
 *
 *	static enum lade_abort_result forget(struct lade_op *op)
 *	{
 *		(void)op;
 *		return LADE_ABORTED;
 *	}
 *
 *	lade_suspends int tune(struct radio *radio)
 *	{
 *		struct tuner t = { .radio = radio, .op = LADE_OP("a station") };
 *		int rc = lade_watch_open(radio_fd(radio), on_ready, &t, &t.watch);
 *
 *		if (rc < 0)
 *			return rc;
 *		lade_alarm_init(&t.alarm, on_silence, &t);
 *		rc = lade_watch_set(t.watch, POLLIN);
 *		if (rc == 0)
 *			rc = lade_park(&t.op, forget);
 *		lade_alarm_stop(&t.alarm);
 *		lade_watch_close(t.watch);
 *		return rc;
 *	}
 *
 * LIMITS  a watch costs one descriptor's place in the back end, an alarm nothing. The virtual clock
 * knows alarms and no descriptors. */

#include <poll.h>

#include <lade/layout.h>
#include <lade/park.h>

LADE_API_BEGIN

/* A descriptor whose readiness a callback is told of. */
struct lade_watch;

/* lade_watch_open - a watch on a descriptor, which asks for nothing yet.
 *
 * @ready is called with the events, of those that are asked for, that are there; an error or a
 * hang-up counts as all of them, so that reading or writing tells what happened. As poll(2) does,
 * it is called again, once in each turn of the loop, for as long as they are there and asked for.
 * POLLNVAL alone: the descriptor could not be watched any longer, and nothing is asked for now.
 * The same descriptor may have several watches.
 * Returns 0 and *ret; -EBADF: @fd is negative; -ENOMEM.
 * Suspends: no.  Threads: its loop's, inside a task or a callback.  Owns: lade_watch_close frees
 * it; the descriptor stays the caller's, who closes it after the watch. */
#define lade_watch_open(...) lade_watch_open_at(__VA_ARGS__, LADE_SITE)
int lade_watch_open_at(int fd, void (*ready)(void *arg, unsigned events), void *arg,
		       struct lade_watch **ret, const char *site);

/* lade_watch_set - says what is asked for from now on: POLLIN, POLLOUT, both, or 0: nothing.
 *
 * @ready is never called from in here, and not for what was asked for before.
 * Returns 0; -EINVAL: other events; -EOPNOTSUPP: the virtual clock, and a regular file under epoll
 * (under io_uring it is always ready); -EBADF; -ENOMEM. After a failure nothing is asked for. What
 * the kernel refuses only later is told to @ready as POLLNVAL.
 * Suspends: no.  Threads: its loop's. */
int lade_watch_set(struct lade_watch *watch, unsigned events);

/* lade_watch_close - ends a watch; NULL is allowed.
 *
 * @ready is not called again. The kernel may keep what it needs a little longer; the loop does not
 * end before it has let go.
 * Returns NULL.  Suspends: no.  Threads: its loop's. */
struct lade_watch *lade_watch_close(struct lade_watch *watch);

/* An instant at which a callback is called: every field is the library's. */
struct lade_alarm {
	struct lade_timer timer;  /* in the loop's heap while it is started */
	struct lade_loop *loop;	  /* home */
	void (*due)(void *arg);	  /* the callback */
	void *arg;		  /* handed to it */
	const char *site;	  /* where it was initialised */
	uintptr_t reserved[1];	  /* 0 */
};

/* lade_alarm_init - an alarm that is not started.
 *
 * Suspends: no.  Threads: its loop's, inside a task or a callback.  Owns: the caller keeps the
 * memory until the alarm has been called or stopped; its own callback may free it. */
#define lade_alarm_init(...) lade_alarm_init_at(__VA_ARGS__, LADE_SITE)
void lade_alarm_init_at(struct lade_alarm *alarm, void (*due)(void *arg), void *arg,
			const char *site);

/* lade_alarm_start - has the callback called once, at @when; an earlier start counts no more.
 *
 * Called in the loop's timer phase: after the tasks that were ready, never from in here, and what
 * is started in such a phase waits for the next one, even if it is due. LADE_NEVER: not called.
 * Cannot fail.  Suspends: no.  Threads: its loop's. */
void lade_alarm_start(struct lade_alarm *alarm, struct lade_instant when);

/* lade_alarm_stop - the callback is not called; nothing if the alarm is not started.
 *
 * To be done before the alarm's memory goes, and before its loop ends.
 * Suspends: no.  Threads: its loop's. */
void lade_alarm_stop(struct lade_alarm *alarm);

LADE_API_END

#endif
