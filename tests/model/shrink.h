/* SPDX-License-Identifier: MIT */
#ifndef LADE_TESTS_MODEL_SHRINK_H
#define LADE_TESTS_MODEL_SHRINK_H

/* shrink.h - a program that fails, made as small as it can be while it still fails. */

#include "model/perform.h"

/* shrink_try - runs a program in a process of its own.
 *
 * @ret_wrong takes what is wrong, or "". Returns whether something is. */
bool shrink_try(const struct program *p, const struct perform *how, char ret_wrong[400]);

/* shrink_program - takes away what it can, and makes numbers smaller. Returns how many programs
 * it has tried. */
int shrink_program(struct program *p, const struct perform *how);

#endif
