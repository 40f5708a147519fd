/* SPDX-License-Identifier: MIT */
#ifndef LADE_TESTS_BACKEND_H
#define LADE_TESTS_BACKEND_H

/* backend.h - runs a test's body as the root task of a loop. */

#include "core/core_priv.h"
#include "tap.h"

static int run_body(void (*body)(void))
{
	body();
	return 0;
}

typedef void (*run_function)(void);
LADE_TASK_VOID(run_body, (run_function, body))

/* run_on - runs @body as a task on the back end of that name; NULL: LADE_BACKEND. */
static inline void run_on(const char *backend, void (*body)(void))
{
	struct run_body_task task = run_body_task(body);
	struct lade_loop *loop;

	NEED_EQ(lade_loop_new(&(struct lade_loop_config){ .backend = backend }, &loop), 0);
	CHECK_EQ(lade_loop_run_at(loop, &task.head, LADE_SITE), 0);
	lade_loop_free(loop);
}

#endif
