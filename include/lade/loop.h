/* SPDX-License-Identifier: MIT */
#ifndef LADE_LOOP_H
#define LADE_LOOP_H

/* loop.h - a way in: a loop inside another program's loop, or in a thread of its own.
 *
 * A loop belongs to the thread that made it: only that one runs it. From any other thread there are
 * lade_post, lade_loop_start, lade_loop_cancel and lade_loop_wait. A program that is lade's own has
 * lade_main instead and needs nothing of this.
 *
 * Nothing here installs a signal handler. After fork() the child may only exec or _exit: the loop,
 * its descriptors and its threads are the parent's. */

#include <lade/task.h>

LADE_API_BEGIN

/* What a program may set about a loop; zeros are defaults. */
struct lade_loop_config {
	const char *backend;   /* "uring", "epoll", "virtual"; NULL: LADE_BACKEND, else the best */
	uint32_t stacks_max;   /* tasks alive at once; 0: 2,000,000 */
	int inline_budget;     /* calls that complete without a switch in a row; 0: 64 */
	int recorder_events;   /* events that a dump may show, rounded up to a power of two, at most
				  1,048,576; 0: 1,024; -1: none */
	void (*report)(void *arg, const char *message); /* told of overruns; NULL: nobody. With
							   several cores, from any of them */
	void *report_arg;			       /* handed to report */
	uint32_t cores;        /* loops that lade_on spreads over; 0: LADE_CORES, else one a CPU */
};

/* lade_loop_new - a loop for the calling thread.
 *
 * Returns 0; -ENOMEM; -EINVAL: there is no such back end; another -errno: it cannot be had here.
 * Suspends: no.  Threads: any.  Owns: lade_loop_free frees it. */
int lade_loop_new(const struct lade_loop_config *config, struct lade_loop **ret_loop);

/* lade_loop_free - cancels what still runs on a loop, waits for it and frees the loop; NULL is
 * allowed.
 *
 * Returns NULL.  Suspends: no; it may take as long as the tasks do.
 * Threads: its own, outside any task; no other may be about to call it. */
struct lade_loop *lade_loop_free(struct lade_loop *loop);

/* lade_loop_run - lade_loop_run(loop, &task): starts a task and runs the loop until all its tasks
 * have ended.
 *
 * Returns the task's status.  Suspends: no; it sleeps in the kernel.
 * Threads: its own, outside any task. */
#define lade_loop_run(loop, ...) lade_loop_run_at((loop), &(__VA_ARGS__)->head, LADE_SITE)
int lade_loop_run_at(struct lade_loop *loop, struct lade_task *task, const char *site);

/* lade_loop_fd - a descriptor that is readable when the loop has work: for poll() and epoll.
 *
 * Returns it; it is the loop's and lives as long.  -EOPNOTSUPP: the clock is virtual.
 * Suspends: no.  Threads: its own. */
int lade_loop_fd(const struct lade_loop *loop);

/* lade_loop_turn - runs what is ready and never sleeps.
 *
 * Returns in how many milliseconds it must be called again at the latest, for the time-out of
 * poll() and epoll_wait(): 0: at once, it gave way to the others; -1: only when lade_loop_fd is
 * readable.  Suspends: no.  Threads: its own, outside any task. */
int lade_loop_turn(struct lade_loop *loop);

/* lade_loop_start - lade_loop_start(loop, &task): starts a task on a loop, from any thread.
 *
 * It begins in the loop's next turn; nobody hears of its end but lade_loop_wait.
 * Suspends: no.  Threads: any.  Owns: the task stays the caller's and must outlive its end. */
#define lade_loop_start(loop, ...) lade_loop_start_at((loop), &(__VA_ARGS__)->head, LADE_SITE)
void lade_loop_start_at(struct lade_loop *loop, struct lade_task *task, const char *site);

/* lade_loop_wait - lade_loop_wait(loop, &task): blocks the calling thread until a task that
 * lade_loop_start started has ended; on the loop's own thread it runs the loop meanwhile.
 *
 * Returns the task's status.  Suspends: no.  Threads: any, outside any task. */
#define lade_loop_wait(loop, ...) lade_loop_wait_at((loop), &(__VA_ARGS__)->head, LADE_SITE)
int lade_loop_wait_at(struct lade_loop *loop, struct lade_task *task, const char *site);

/* lade_loop_cancel - lade_loop_cancel(loop, &task, grace): lade_cancel from any thread, of a task
 * that lade_loop_start started and for which lade_loop_wait has not returned yet.
 *
 * Returns 0: it will be asked; -ENOMEM.  Suspends: no.  Threads: any. */
#define lade_loop_cancel(loop, task, grace)                                                        \
	lade_loop_cancel_at((loop), &(task)->head, (grace), LADE_SITE)
int lade_loop_cancel_at(struct lade_loop *loop, struct lade_task *task,
			struct lade_duration grace, const char *site);

/* lade_post - has a loop call fn(arg) in its next turn, outside any task: it may start tasks,
 * send on channels with the calls that do not wait, complete an op; it must not suspend.
 *
 * Returns 0: it will be called, once; -ENOMEM.  Suspends: no.  Threads: any.
 * Owns: arg is handed over with 0. */
#define lade_post(loop, fn, ...) lade_post_at((loop), (fn), (__VA_ARGS__), LADE_SITE)
int lade_post_at(struct lade_loop *loop, void (*fn)(void *arg), void *arg, const char *site);

LADE_API_END

#endif
