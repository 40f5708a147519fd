/* SPDX-License-Identifier: MIT */
#ifndef LADE_JOIN_H
#define LADE_JOIN_H

/* join.h - several tasks of any types at once: all of them, or the first.
 *
 * Every call starts lazy tasks, waits for all of them to end, also when it is cancelled, and
 * leaves each with its own status and value. Up to twelve tasks in one call. */

#include <lade/task.h>

LADE_API_BEGIN

#define LADE_MEMBERS_MAX 12

/* LADE_HEADS_ - the heads of one to twelve tasks. */
#define LADE_HEADS_(...) LADE_GLUE(LADE_HEADS_, LADE_NARG(__VA_ARGS__))(__VA_ARGS__)
#define LADE_HEADS_1(a) &(a)->head
#define LADE_HEADS_2(a, b) LADE_HEADS_1(a), &(b)->head
#define LADE_HEADS_3(a, b, c) LADE_HEADS_2(a, b), &(c)->head
#define LADE_HEADS_4(a, b, c, d) LADE_HEADS_3(a, b, c), &(d)->head
#define LADE_HEADS_5(a, b, c, d, e) LADE_HEADS_4(a, b, c, d), &(e)->head
#define LADE_HEADS_6(a, b, c, d, e, f) LADE_HEADS_5(a, b, c, d, e), &(f)->head
#define LADE_HEADS_7(a, b, c, d, e, f, g) LADE_HEADS_6(a, b, c, d, e, f), &(g)->head
#define LADE_HEADS_8(a, b, c, d, e, f, g, h) LADE_HEADS_7(a, b, c, d, e, f, g), &(h)->head
#define LADE_HEADS_9(a, b, c, d, e, f, g, h, i) LADE_HEADS_8(a, b, c, d, e, f, g, h), &(i)->head
#define LADE_HEADS_10(a, b, c, d, e, f, g, h, ...)                                                 \
	LADE_HEADS_8(a, b, c, d, e, f, g, h), LADE_HEADS_2(__VA_ARGS__)
#define LADE_HEADS_11(a, b, c, d, e, f, g, h, ...)                                                 \
	LADE_HEADS_8(a, b, c, d, e, f, g, h), LADE_HEADS_3(__VA_ARGS__)
#define LADE_HEADS_12(a, b, c, d, e, f, g, h, ...)                                                 \
	LADE_HEADS_8(a, b, c, d, e, f, g, h), LADE_HEADS_4(__VA_ARGS__)
/* What the compiler says of more: that there is no such member. */
#define LADE_HEADS_13(a, ...) (a)->at_most_twelve_tasks_are_joined_or_raced
#define LADE_HEADS_14 LADE_HEADS_13
#define LADE_HEADS_15 LADE_HEADS_13
#define LADE_HEADS_16 LADE_HEADS_13

#define LADE_MEMBERS_(...)                                                                         \
	(struct lade_task *const[]){ LADE_HEADS_(__VA_ARGS__) }, LADE_NARG(__VA_ARGS__), LADE_SITE

/* lade_join - lade_join(&a, &b, …): starts the tasks and waits for all; the first failure cancels
 * the others.
 *
 * Returns 0: all succeeded; the first failure; -ECANCELED: cancelled from outside before all had
 * succeeded, or a member was cancelled by name. After a failure the values of members that
 * completed are disposed of, where their type says how, and their status is -ECANCELED.
 * Suspends: yes.  Threads: inside a task only. */
#define lade_join(...) lade_join_at(LADE_MEMBERS_(__VA_ARGS__))
lade_suspends int lade_join_at(struct lade_task *const *members, size_t count, const char *site);

/* lade_join_all - lade_join that cancels nobody when a task fails and disposes of nothing.
 *
 * Returns 0: all succeeded; else the first failure.
 * Suspends: yes.  Threads: inside a task only. */
#define lade_join_all(...) lade_join_all_at(LADE_MEMBERS_(__VA_ARGS__))
lade_suspends int lade_join_all_at(struct lade_task *const *members, size_t count,
				   const char *site);

/* lade_race_ok - lade_race_ok(&a, &b, …): starts the tasks; the first to succeed wins, the others
 * are cancelled and waited for.
 *
 * Of several that have succeeded when the race looks, the first in order wins. A loser that
 * completed anyway keeps its value, unless its type says how to dispose of it.
 * Returns the winner's index; if all failed, the failure that came last; -ECANCELED if nothing
 * else was the outcome of any.
 * Suspends: yes.  Threads: inside a task only. */
#define lade_race_ok(...) lade_race_ok_at(LADE_MEMBERS_(__VA_ARGS__))
lade_suspends int lade_race_ok_at(struct lade_task *const *members, size_t count,
				  const char *site);

/* lade_race - lade_race(&a, &b, …): as lade_race_ok, but the first to END wins, which may be a
 * failure; an end with -ECANCELED does not win.
 *
 * Returns the winner's index, or -ECANCELED.
 * Suspends: yes.  Threads: inside a task only. */
#define lade_race(...) lade_race_at(LADE_MEMBERS_(__VA_ARGS__))
lade_suspends int lade_race_at(struct lade_task *const *members, size_t count, const char *site);

/* Joins and races as tasks: lazy, without a stack, to be joined, raced, started or awaited in
 * their turn. They live in the block that wrote them and are never returned from it. */
#define LADE_COMPOSITE_FIELDS_                                                                     \
	struct lade_task head;                                                                     \
	int winner;			/* index, or -1 */                                         \
	uint32_t count;			/* members */                                              \
	struct lade_ctl ctl;		/* the library's */                                        \
	struct lade_scope group;	/* the library's */                                        \
	struct lade_task *members[LADE_MEMBERS_MAX];

struct lade_join_task {
	LADE_COMPOSITE_FIELDS_
};
struct lade_race_ok_task {
	LADE_COMPOSITE_FIELDS_
};
struct lade_race_task {
	LADE_COMPOSITE_FIELDS_
};

/* lade_join_task - a lazy task of several: lade_join(&a, &b) without the waiting.
 *
 * Composites may lie in one another 128 deep; deeper ones end the process, naming the place.
 * Its status is what lade_join would return.  Suspends: no. */
#define lade_join_task(...) lade_join_task_at(LADE_MEMBERS_(__VA_ARGS__))
__attribute__((warn_unused_result)) struct lade_join_task
lade_join_task_at(struct lade_task *const *members, size_t count, const char *site);

/* lade_race_ok_task - a lazy task of several: lade_race_ok(&a, &b) without the waiting.
 *
 * Its status is 0 and .winner the index when one succeeded; else the status that lade_race_ok
 * would return, and .winner is -1.  Suspends: no. */
#define lade_race_ok_task(...) lade_race_ok_task_at(LADE_MEMBERS_(__VA_ARGS__))
__attribute__((warn_unused_result)) struct lade_race_ok_task
lade_race_ok_task_at(struct lade_task *const *members, size_t count, const char *site);

/* lade_race_task - a lazy task of several: lade_race(&a, &b) without the waiting.
 *
 * Its status is 0 and .winner the index when the winner succeeded; else the winner's status, and
 * .winner is -1.  Suspends: no. */
#define lade_race_task(...) lade_race_task_at(LADE_MEMBERS_(__VA_ARGS__))
__attribute__((warn_unused_result)) struct lade_race_task
lade_race_task_at(struct lade_task *const *members, size_t count, const char *site);

LADE_API_END

#endif
