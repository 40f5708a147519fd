/* SPDX-License-Identifier: MIT */
#ifndef LADE_CORE_CORES_PRIV_H
#define LADE_CORE_CORES_PRIV_H

/* cores_priv.h - the loops of one program. */

#include "core/core_priv.h"

#include <lade/cores.h>

/* lade_cores_of - how many loops there are, or will be. */
uint32_t lade_cores_of(const struct lade_loop *loop);

/* lade_cores_find - the loop of a core, counted round; the first call makes them.
 *
 * Returns 0, or -errno: they cannot be had. */
int lade_cores_find(struct lade_loop *loop, uint32_t number, struct lade_loop **ret);

/* lade_loop_is_owed - whether somebody is about to wake the loop, which must hear it first. */
bool lade_loop_is_owed(const struct lade_loop *loop);

/* lade_cores_end - ends the loops of the other cores, which have no tasks left. */
void lade_cores_end(struct lade_loop *loop);

#endif
