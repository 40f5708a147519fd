/* SPDX-License-Identifier: MIT */
#ifndef LADE_CORE_SETTINGS_H
#define LADE_CORE_SETTINGS_H

/* settings.h - what the environment asks of a loop, and whether it can be had. */

#include <stddef.h>

/* lade_settings_check - looks at LADE_BACKEND, LADE_CORES, LADE_SEED, LADE_SIM and, where a
 * simulation is asked for, at the places that LADE_TRACE and LADE_SIM_SAVE name: it makes that
 * file and that folder if they are missing.
 *
 * Returns 0; or -EINVAL with the variable, its value and what is expected in @text.
 * Suspends: no.  Threads: any. */
int lade_settings_check(char *text, size_t len);

#endif
