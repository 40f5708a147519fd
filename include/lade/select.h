/* SPDX-License-Identifier: MIT */
#ifndef LADE_SELECT_H
#define LADE_SELECT_H

/* select.h - waits for the first of several operations and does exactly that one.
 *
 * Ends of tasks are raced (join.h); operations are selected: what was not chosen has not
 * happened. The cases of a shared channel (shared_channel.h) may stand beside any others: what
 * several cores compete for goes to one, and a select does one thing. */

#include <lade/task.h>

LADE_API_BEGIN

/* One case of a select; made by the functions below, used once. */
struct lade_case {
	const struct lade_case_type *type; /* what kind of case */
	void *object;			   /* channel, event */
	void *slot;			   /* where an item goes, or comes from */
	int64_t number;			   /* descriptor, or instant */
	uintptr_t room[40];		   /* the library's while it waits */
};

/* lade_select - lade_select(case, case, …): one to twelve cases; the first in order that can be
 * done is done, else the first that becomes possible.
 *
 * Returns the case's index; -ECANCELED: none was done; -EPIPE: a channel of the cases is closed
 * (and, to receive from, empty); another -errno of a descriptor's case.
 * Suspends: yes.  Threads: inside a task only. */
#define lade_select(...)                                                                           \
	lade_select_at((struct lade_case[]){ __VA_ARGS__ },                                        \
		       sizeof((struct lade_case[]){ __VA_ARGS__ }) / sizeof(struct lade_case),     \
		       false, LADE_SITE)
lade_suspends int lade_select_at(struct lade_case *cases, size_t count, bool fair,
				 const char *site);

/* lade_select_fair - lade_select that looks at the cases from a random one on, so that none of
 * several that are always ready is served for ever; lade_select_seed makes it another order.
 *
 * Returns and suspends as lade_select does.  Threads: inside a task only. */
#define lade_select_fair(...)                                                                      \
	lade_select_at((struct lade_case[]){ __VA_ARGS__ },                                        \
		       sizeof((struct lade_case[]){ __VA_ARGS__ }) / sizeof(struct lade_case),     \
		       true, LADE_SITE)

/* lade_select_seed - where the running loop's fair selects begin: with the same seed the same
 * program on the virtual clock makes the same choices.  Any number is a seed; a new loop has
 * always the same one.
 *
 * Suspends: no.  Threads: inside a task only. */
void lade_select_seed(uint64_t seed);

/* lade_at - a case that is possible from an instant on.  Suspends: no. */
struct lade_case lade_at(struct lade_instant when);

/* lade_after - a case that is possible when a duration, counted from now, has passed.
 *
 * Suspends: no.  Threads: inside a task only. */
static inline struct lade_case lade_after(struct lade_duration d)
{
	return lade_at(lade_in(d));
}

/* lade_readable_case - a case that is possible when a descriptor can be read, or has an error.
 *
 * Suspends: no. */
struct lade_case lade_readable_case(int fd);

/* lade_writable_case - a case that is possible when a descriptor can be written, or has an error.
 *
 * Suspends: no. */
struct lade_case lade_writable_case(int fd);

/* lade_on_stopping - a case that is possible once the task is asked, softly at least, to end.
 *
 * Suspends: no. */
struct lade_case lade_on_stopping(void);

LADE_API_END

#endif
