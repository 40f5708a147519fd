/* SPDX-License-Identifier: MIT */
#ifndef LADE_CORES_H
#define LADE_CORES_H

/* cores.h - several cores: one loop each, and tasks that are sent to them.
 *
 * A task never migrates: it runs to its end on the core on which it was started. lade_on makes of a
 * task one that runs on another core; it goes wherever a task's address goes, so that what is sent
 * away is joined, raced, cancelled and given a deadline like what stays.
 *
 * Example:
 *	int count_words(const char *path, long *ret);
 *	LADE_TASK(count_words, long, (const char *, path))
 *
 *	static inline int count_both(const char *mine, const char *yours, long *ret)
 *	{
 *		struct count_words_task theirs = count_words_task(yours);
 *		struct lade_on_task there = lade_on_task(1, &theirs);
 *		int rc = 0;
 *
 *		lade_scope(s, &rc) {
 *			lade_start(&s, &there);
 *			rc = count_words(mine, ret);
 *		}
 *		if (rc == 0)
 *			*ret += lade_value(&theirs);
 *		return rc;
 *	}
 *
 * All that a core does alone needs no lock. What tasks of several cores share, they share by
 * arguments and results, by the channels of shared_channel.h, by a cache with .cores, or under
 * locks of their own.
 *
 * The threads of the other cores begin with the first lade_on and end with the loop. With a virtual
 * clock and in the simulation all cores are one loop: the same calls, in a repeatable order. */

#include <lade/scope.h>
#include <lade/task.h>

LADE_API_BEGIN

/* A task that runs on another core; the fields but for head are the library's. */
struct lade_on_task {
	struct lade_task head;
	struct lade_task *task; /* what runs there */
	uint32_t core;
	uint32_t out;		/* mails on their way */
	bool over;		/* it has ended there; the other core's to write */
	int status;		/* with this */
	struct lade_loop *home;
	struct lade_loop *there;
	struct lade_ctl ctl;	/* this core's side: what is parked for it */
	struct lade_node root;
	struct lade_op op;
	struct lade_mail start;
	struct lade_on_ask {
		struct lade_mail mail;
		struct lade_on_task *on;
		struct lade_reason why;
		int64_t budget_end_ns;
	} soft, hard;
	struct lade_scope_value values[LADE_SCOPE_VALUES];
	int64_t deadline_ns;
	struct lade_task_type type; /* from here on the other core's */
	struct lade_task keeper;
	struct lade_task shadow;
	struct lade_ctl keeper_ctl;
	struct lade_scope proxy;
};

/* lade_on_task - lade_on_task(core, &task): a lazy task that runs another one, which is not a
 * composite, on a core.
 *
 * Cores are counted from 0, round: of 4, core 5 is core 1. Its status is the task's, which may be
 * awaited, cancelled and asked for its value and status by its own name as well, on this core.
 * -EAGAIN, -EMFILE, -ENOMEM: the other cores' threads and loops cannot be had.
 *
 * The task's function, its .drop_args and what it starts run on that core; what its arguments and
 * result point to is left alone here until it has ended. A value kept by lade_scope_set is found
 * there too, up to LADE_SCOPE_VALUES of them.
 * It lives in the block that wrote it.  Suspends: no. */
#define lade_on_task(number, ...) lade_on_task_at((number), &(__VA_ARGS__)->head, LADE_SITE)
__attribute__((warn_unused_result)) struct lade_on_task
lade_on_task_at(uint32_t core, struct lade_task *task, const char *site);

/* lade_on - lade_on(core, &task): a pointer to an unnamed lade_on_task of this block.
 *
 * Goes wherever a task's address goes; for lade_start, whose tasks are declared before the scope,
 * there is lade_on_task.  Suspends: no. */
#define lade_on(number, ...)                                                                       \
	lade_on_init(&(struct lade_on_task){ .core = (number) }, &(__VA_ARGS__)->head, LADE_SITE)
/* lade_on_init - how lade_on makes its task.  Suspends: no. */
__attribute__((warn_unused_result)) struct lade_on_task *
lade_on_init(struct lade_on_task *on, struct lade_task *task, const char *site);

/* lade_cores - how many cores there are, at most 64: LADE_CORES, .cores of the loop's
 * configuration, or one for each CPU that the process may use; with a virtual clock 2.
 *
 * Suspends: no.  Threads: inside a task only. */
uint32_t lade_cores(void);

/* lade_core - the number of the core that the running task is on; with a virtual clock 0.
 *
 * Suspends: no.  Threads: inside a task only. */
uint32_t lade_core(void);

LADE_API_END

#endif
