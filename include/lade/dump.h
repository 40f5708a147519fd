/* SPDX-License-Identifier: MIT */
#ifndef LADE_DUMP_H
#define LADE_DUMP_H

/* dump.h - what every task waits for, as text. */

#include <lade/version.h>

LADE_API_BEGIN

/* lade_dump - prints the tree of scopes and tasks of the running loop to a descriptor: where each
 * task was started, what it waits for, where and since when, the bytes of its stack, who asked it
 * to end and whether a shield holds that back, the time to its deadline, the functions on its
 * stack; and the scopes, deadlines and shields that it is in. Then the loop's last events.
 *
 * Of more than 64 levels or 10,000 lines the rest is counted. A descriptor that takes no more ends
 * the dump. The text is for people: it may change with any release. docs/why.md explains it.
 *
 * With LADE_STACK_MARKS=1 in the environment the deepest use of stacks follows, by start line, in
 * whole pages, of all tasks that have ended and those shown: each stack is then measured and
 * emptied between two tasks, which makes starting a task slower by some microseconds.
 * Suspends: no; it writes with write(2).  Threads: the loop's. */
void lade_dump(int fd);

LADE_API_END

#endif
