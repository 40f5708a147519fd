/* SPDX-License-Identifier: MIT */
#ifndef LADE_TESTS_URING_H
#define LADE_TESTS_URING_H

/* uring.h - tests that need io_uring, where a kernel or an emulator may refuse it. */

#include "core/core_priv.h"
#include "tap.h"

/* has_uring - whether a loop can be made on io_uring here. */
static inline bool has_uring(void)
{
	struct lade_loop *loop;

	if (lade_loop_new(&(struct lade_loop_config){ .backend = "uring" }, &loop) < 0)
		return false;
	lade_loop_free(loop);
	return true;
}

/* TAP_URING - runs a test, or skips it where io_uring is refused. */
#define TAP_URING(fn)                                                                              \
	do {                                                                                       \
		if (has_uring())                                                                   \
			TAP(fn);                                                                   \
		else                                                                               \
			TAP_SKIP(fn, "io_uring is refused here");                                  \
	} while (0)

#endif
