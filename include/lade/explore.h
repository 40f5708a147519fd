/* SPDX-License-Identifier: MIT */
#ifndef LADE_EXPLORE_H
#define LADE_EXPLORE_H

/* explore.h - cancels your code at every suspension point and finds what gets lost.
 *
 * A test is one include and one macro, linked with lade-explore, which has the main(). The body
 * runs as a task in a simulation: undisturbed, and once more. Then, in a process each, it is
 * cancelled at every suspension point, by every enclosing scope, before the call, while it waits,
 * and when it is complete but not yet resumed; every operation fails; every allocation fails; and
 * each time it is run once more, undisturbed. Nobody needs to say what is right. What is found:
 *
 * LOST WORK: something outside was paid for (a request was answered) before the cancel, and the
 * second run pays again although, undisturbed, it does not. DOUBLED: what is done once undisturbed
 * has been done twice. SWALLOWED CANCEL: a task was told of a cancel and went on waiting, or ended
 * well. LEAK: a descriptor is open at the end, permits are not given back, or memory is lost. LOST
 * ITEM: what was taken out of a channel is in none any more, although undisturbed it is put into
 * one. RELEASED TWICE: a permit was given back, or a descriptor closed, once too often. UNSET: a
 * task ended well and left its value unset. CHANGED: the second run does not give what it gives
 * undisturbed. NEVER ENDS, SLOW TO END, CRASH, INVARIANT BROKEN.
 *
 * `./test --help` lists what can be chosen; a finding comes with the line that replays it.
 *
 * Example:
 *	int refresh_price(long id);
 *	int fill_the_world(struct lade_scope *world);
 *
 *	LADE_EXPLORE(refresh, .setup = fill_the_world)
 *	{
 *		return lade_within(lade_ms(30), refresh_price(42));
 *	}
 */

#include <stdbool.h>

#include <lade/scope.h>
#include <lade/task.h>

LADE_API_BEGIN

/* What a scenario may say besides its body. */
struct lade_exploration {
	/* Makes the world that the body finds: servers, caches, files. What it starts in @world
	 * is not cancelled by the explorer. 0 or -errno. Inside a task. */
	int (*setup)(struct lade_scope *world);
	/* Looks whether all is well, after the second run: 0, or a finding. Inside a task. */
	int (*invariant)(void);
	void (*teardown)(void); /* frees what setup made, when the world has ended */
	unsigned long seed;	/* of the simulation, 0: 1 */
	bool once;		/* the body cannot be run a second time */
	bool asks_again;	/* its requests may be made again: the invariant judges */
	int expect;		/* -errno with which the body ends undisturbed, on purpose */
};

/* A scenario; LADE_EXPLORE makes it. */
struct lade_scenario {
	const char *name;
	const char *site; /* file:line */
	int (*body)(void);
	struct lade_exploration options;
	struct lade_scenario *next; /* the explorer's */
};

/* LADE_EXPLORE - LADE_EXPLORE(name, .field = value...) { … return rc; }: a scenario. */
#define LADE_EXPLORE(...)                                                                          \
	LADE_GLUE(LADE_EXPLORE_, LADE_GLUE(LADE_MANY_, LADE_NARG(__VA_ARGS__)))(__VA_ARGS__)
#define LADE_EXPLORE_ONE(fn) LADE_EXPLORE_(fn, { .setup = NULL })
#define LADE_EXPLORE_MORE(fn, ...) LADE_EXPLORE_(fn, { __VA_ARGS__ })
#define LADE_EXPLORE_(fn, ...)                                                                     \
	static int fn(void);                                                                       \
	static struct lade_scenario fn##_scenario = { #fn, LADE_SITE, fn, __VA_ARGS__, NULL };     \
	__attribute__((constructor)) static void fn##_add(void)                                    \
	{                                                                                          \
		lade_explore_add(&fn##_scenario);                                                  \
	}                                                                                          \
	static int fn(void)

/* lade_explore_add - adds a scenario to those that main() explores; LADE_EXPLORE does it. */
void lade_explore_add(struct lade_scenario *scenario);

/* lade_explore_main - explores all scenarios as the arguments say; the library's main() calls it.
 *
 * Returns the exit status: 0: no finding; 1: findings; 2: wrong arguments, or a scenario that
 * cannot be explored: it is not a function of its seed, fails undisturbed without .expect or by
 * its invariant, or never suspends. */
int lade_explore_main(int argc, char **argv);

LADE_API_END

#endif
