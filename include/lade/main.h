/* SPDX-License-Identifier: MIT */
#ifndef LADE_MAIN_H
#define LADE_MAIN_H

/* main.h - a way in: lade_main owns the process. */

#include <lade/task.h>

LADE_API_BEGIN

/* lade_main - runs a task on a loop of its own until it and all that it started have ended.
 *
 * SIGINT and SIGTERM ask the task to end softly, with 30 s of grace or what lade_main_grace said; a
 * second one asks hard; a third ends the process. SIGQUIT prints a dump of every loop to stderr, as
 * lade_dump does, and goes on; also when a task holds the core for ever: that one is named, and
 * where it is. A task that runs for 100 ms without a break, or what lade_main_hold said, is
 * reported, the first, tenth, hundredth … time of each start line; not in a simulation. A thread
 * is started for both.
 * SIGPIPE is ignored. A stack overflow ends the process with the task's name. Reports go to stderr.
 * Returns an exit status: 0 if the task ended with 0 or more, 130 if a signal's cancel was its
 * end, else 1 after a line on stderr; 2 if no loop can be had, 78 if the
 * environment asks for what there is not: LADE_BACKEND, LADE_CORES, LADE_SEED, LADE_SIM, and in a
 * simulation LADE_TRACE and LADE_SIM_SAVE.
 * Suspends: no.  Threads: once in a process, outside any task. */
#define lade_main(...) lade_main_at(&(__VA_ARGS__)->head, LADE_SITE)
int lade_main_at(struct lade_task *task, const char *site);

/* lade_main_grace - how long the soft phase is that a first SIGINT or SIGTERM begins.
 *
 * Suspends: no.  Threads: the main one, before lade_main. */
void lade_main_grace(struct lade_duration grace);

/* lade_main_hold - how long a task may run without a break before it is reported: 100 ms unless
 * set; 0 or LADE_FOREVER: it is not looked for.
 *
 * Suspends: no.  Threads: the main one, before lade_main. */
void lade_main_hold(struct lade_duration longest);

/* lade_backend_name - "uring", "epoll" or "virtual": what the running loop waits with.
 *
 * Suspends: no.  Threads: inside a task only. */
const char *lade_backend_name(void);

/* lade_backend_probe - the back end that a loop would get now, and, when the better one is
 * refused, why: "epoll (io_uring: Operation not permitted)".
 *
 * Returns the length of the text written to @text, or -errno with why in @text.
 * Suspends: no.  Threads: any. */
int lade_backend_probe(char *text, size_t len);

LADE_API_END

#endif
