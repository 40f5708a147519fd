/* SPDX-License-Identifier: MIT */
#ifndef LADE_CORE_LOOPS_H
#define LADE_CORE_LOOPS_H

/* loops.h - the loops of the process, as another thread may see them.
 *
 * A watcher asks each loop for a dump; a loop that does not answer is held: its thread is
 * interrupted by a signal, and the dump is written in the handler. */

#include "core/core_priv.h"

#define LADE_LOOPS_MAX 64 /* loops that are known at once; others are not shown */

/* A loop as a debugger finds it, which may know no more than the types of <lade/layout.h>. */
struct lade_known_loop {
	const struct lade_scope *root; /* its tasks; NULL: this place is free */
	struct lade_ctl *const *cur;   /* where its thread keeps the running task */
};

/* lade_known_loops - those in the table of loops; share/gdb/lade-gdb.py looks for this name. */
extern struct lade_known_loop lade_known_loops[LADE_LOOPS_MAX];

/* lade_loops_add - makes a loop known, on its own thread; lade_loops_remove - before it goes. */
void lade_loops_add(struct lade_loop *loop);
void lade_loops_remove(struct lade_loop *loop);

/* lade_loops_answer - dumps a loop if that was asked for; by the loop, between two turns. */
void lade_loops_answer(struct lade_loop *loop);

/* lade_loops_hold_by - says which signal holds a loop, for the threads of loops made from now on;
 * 0: none. */
void lade_loops_hold_by(int number);

/* lade_loops_held - the handler of the signal that lade_loops_dump sends: dumps the loop of this
 * thread if it is to be held.  Returns whether it was.
 *
 * @context is the handler's third argument.  Threads: any, in a signal handler. */
bool lade_loops_held(void *context);

/* lade_loops_dump - dumps every loop to @fd; one that has not answered after @patience_ns is held.
 *
 * Threads: one at a time, none that runs a loop. */
void lade_loops_dump(int fd, int64_t patience_ns);

/* A task that holds the core. */
struct lade_hold {
	uint64_t taken;	     /* turns that its loop had given; a change means: another one runs */
	uint32_t looks;	     /* how often that was seen in a row, after the first */
	uint64_t number;     /* the task's number */
	char name[64];	     /* its name */
	char site[128];	     /* where it was started */
};

/* lade_loops_look - looks at the n-th loop and brings @hold up to date, which was all zeros at
 * first.  Returns whether it holds the core since the last look.
 *
 * Threads: any, without stopping the loop. */
bool lade_loops_look(uint32_t n, struct lade_hold *hold);

/* lade_loops_report - hands a message to the n-th loop's report function. */
void lade_loops_report(uint32_t n, const char *message);

#endif
