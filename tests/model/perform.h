/* SPDX-License-Identifier: MIT */
#ifndef LADE_TESTS_MODEL_PERFORM_H
#define LADE_TESTS_MODEL_PERFORM_H

/* perform.h - runs a random program on lade.
 *
 * Whatever the back end, what must hold of every program is checked: a task runs once or gives its
 * arguments up once, and is over, with its cleanups, when its scope has closed; a value is
 * disposed of once or kept; items and permits are conserved. In the simulation, and on the virtual
 * clock without it, the model is asked as well. */

#include "model/program.h"

#include <stdatomic.h>

/* How to run. */
struct perform {
	const char *backend; /* "sim", "virtual", "epoll", "uring" */
	const char *order;   /* of the simulation: "in-order", "random", "preempt", "pct" */
	uint64_t seed;	     /* of its schedule */
	bool model;	     /* ask the model, which needs "sim" */
	bool log;	     /* print every event */
};

/* What many programs together have come to: a generator that never gets there tests nothing. */
struct totals {
	atomic_long programs;
	atomic_long kinds[KINDS];  /* statements done */
	atomic_long tasks;	   /* tasks run */
	atomic_long drops;	   /* tasks that did not run */
	atomic_long disposed;	   /* values given back */
	atomic_long deadlines;	   /* -ETIME */
	atomic_long cancelled;	   /* -ECANCELED */
	atomic_long overruns;	   /* shields that let a request in */
	atomic_long without_stack; /* -ENOMEM */
	atomic_long waits;	   /* parks that the model has seen */
	atomic_long gave_up;	   /* programs that the model did not follow to their end */
};

extern struct totals totals;

/* perform_program - runs it.
 *
 * @ret_hash, or NULL: a hash of all that happened. Returns NULL, or in words what is wrong. */
const char *perform_program(const struct program *p, const struct perform *how,
			    uint64_t *ret_hash);

#endif
