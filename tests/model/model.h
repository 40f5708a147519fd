/* SPDX-License-Identifier: MIT */
#ifndef LADE_TESTS_MODEL_MODEL_H
#define LADE_TESTS_MODEL_MODEL_H

/* model.h - rules 1 to 22 and 30 of docs/semantics.md as a small machine, which follows a run.
 *
 * DESIGN
 * It is told who has a turn, which call is made and what it returned, and says for itself what
 * must come of it: who can go on, what each call returns, what each task's status is. The
 * schedule is the run's; everything else is computed anew from the rules, on plain arrays, with
 * nothing cached: whether a task is cancelled is found by walking outward each time.
 *
 * The first thing that differs is kept as a sentence; after that the model says no more.
 *
 * LIMITS  one program; a run in the simulation or on the virtual clock. Only an observer of the
 * loop can tell who has a turn, so the calls here are made by one. */

#include "model/program.h"

#include <lade/layout.h>

struct model;

/* model_new - the model of a run that begins now; @log: print every event. */
struct model *model_new(const struct program *p, int64_t now_ns, bool log);
struct model *model_free(struct model *m);

/* model_difference - what differed first, or NULL. */
const char *model_difference(const struct model *m);

/* model_gave_up - whether the run went where the model does not follow. */
bool model_gave_up(const struct model *m);

/* What the loop does, at its instant @now_ns. */

/* model_turn - a task has its turn; model_turn_over - and has had it. */
void model_turn(struct model *m, int task, int64_t now_ns);
void model_turn_over(struct model *m);
/* model_parked - it has not been switched out but waits. */
void model_parked(struct model *m, int task);
/* model_composite_turn - a composite looks at its members. */
void model_composite_turn(struct model *m, int task, int64_t now_ns);
/* model_delivered - a cancel has ended the wait of a task. */
void model_delivered(struct model *m, int task, int64_t now_ns);
/* model_mail - a task that was sent to a core, or a request for it, is there. */
enum mail_kind { MAIL_START, MAIL_SOFT, MAIL_HARD, MAILS };
void model_mail(struct model *m, int on, enum mail_kind kind, int64_t now_ns);
/* model_home - all mails of a task that was sent to a core have come back. */
void model_home(struct model *m, int on, int64_t now_ns);
/* model_ended - a task has ended. */
void model_ended(struct model *m, int task, int status);

/* What a task does: @task is the running task, @node the statement that does it. */

void model_begins(struct model *m, int task);
/* model_call - a call that may suspend; model_return - what it gave; @value: an item, or -1. */
void model_call(struct model *m, int task, int node, int64_t now_ns);
void model_return(struct model *m, int task, int node, int rc, int value);
/* model_try - the same for a call that never suspends. */
void model_try(struct model *m, int task, int node, int rc, int value);
/* model_do - a call that returns nothing: start, cancel, set, clear, close. */
void model_do(struct model *m, int task, int node, int64_t now_ns);
void model_commit(struct model *m, int task, int node, bool keeps);
void model_release(struct model *m, int task, int node);
/* model_open - a scope, deadline, shield or cleanup begins. */
void model_open(struct model *m, int task, int node, int64_t now_ns);
/* model_shut - a deadline, shield or cleanup ends; @rc, @ret: of a deadline, before and after. */
void model_shut(struct model *m, int task, int node, int rc, int ret);
/* model_close - a scope's body has come to its end, or leaves it. */
void model_close(struct model *m, int task, int node, int rc, bool leaves);

void model_dropped(struct model *m, int node);
void model_disposed(struct model *m, int node);
/* model_status - what a caller sees of a task, which has ended. */
void model_status(struct model *m, int node, int status, int winner);
/* model_asked - what lade_stopping, lade_cancelled and lade_why say. */
void model_asked(struct model *m, int task, bool stopping, bool cancelled,
		 const struct lade_reason *why);

/* model_over - the run has ended: what is left in the channels and the semaphore, and how many
 * overruns the loop reported. */
void model_over(struct model *m, const int *left, int permits, int overruns);

#endif
