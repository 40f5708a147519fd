/* SPDX-License-Identifier: MIT */
#ifndef LADE_PARK_H
#define LADE_PARK_H

/* park.h - waiting for anything else: how a foreign library makes a task wait.
 *
 * A wait is a struct lade_op on the waiting task's stack. Start the foreign work, park on the op,
 * and let the library's callback complete it.
 *
 * Example:
 *	struct camera;
 *	void camera_next_frame(struct camera *camera, void (*done)(void *arg, int rc), void *arg);
 *	enum lade_abort_result camera_forget(struct lade_op *op);
 *
 *	static void on_frame(void *op, int rc)
 *	{
 *		lade_complete(op, rc);
 *	}
 *
 *	lade_suspends int next_frame(struct camera *camera)
 *	{
 *		struct lade_op op = LADE_OP("a frame");
 *
 *		camera_next_frame(camera, on_frame, &op);
 *		return lade_park(&op, camera_forget);
 *	}
 *
 * When the task is cancelled, abort() is called once. It must not suspend and answers ABORTED
 * (it will not happen), COMPLETED (it has: set op->result) or PENDING (lade_complete will follow;
 * until then the task stays parked and keeps what the work uses). */

#include <lade/layout.h>

LADE_API_BEGIN

/* LADE_OP - an op that waits for something; @text names it in dumps. */
#define LADE_OP(text) { .what = (text), .loop = lade_loop_here() }

/* lade_loop_here - the loop of the running task, or callback of a watch or an alarm; else NULL.
 *
 * Suspends: no.  Threads: any. */
struct lade_loop *lade_loop_here(void);

/* lade_park - waits until the op is completed, or aborted because of a cancel.
 *
 * @abort may be NULL: then the wait cannot be cut short.
 * Returns the result given to lade_complete, or -ECANCELED after abort() answered ABORTED.
 * Suspends: yes.  Threads: inside a task only.  Owns: the op stays the caller's. */
#define lade_park(op, ...) lade_park_at((op), (__VA_ARGS__), LADE_SITE)
lade_suspends int lade_park_at(struct lade_op *op,
			       enum lade_abort_result (*abort)(struct lade_op *), const char *site);

/* lade_complete - ends a wait with a result; once for each op, before or after it is parked.
 *
 * A second completion is ignored.
 * Suspends: no.  Threads: the task's loop's. */
void lade_complete(struct lade_op *op, int result);

/* lade_complete_remote - lade_complete from any thread, or from a signal handler.
 *
 * The loop is woken. What @result speaks of must be written before the call.
 * Suspends: no.  Threads: any; async-signal-safe. */
void lade_complete_remote(struct lade_op *op, int result);

LADE_API_END

#endif
