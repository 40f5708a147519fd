/* SPDX-License-Identifier: MIT */
#ifndef LADE_PIPELINE_KEEPER_H
#define LADE_PIPELINE_KEEPER_H

/* keeper.h - the sink that keeps the offsets of an exactly-once pipeline. */

#include <lade/sqlite.h>

#include "services/pipeline/engine.h"

/* lade_pipe_claim - takes the engine's lane over: whoever had it before is fenced.
 *
 * *ret is where it was left: next_offset, and in cluster which file that was.
 * Returns 0; -ECANCELED; < 0 with engine->why.  Suspends: yes. */
lade_suspends int lade_pipe_claim(struct lade_pipe_outlet *outlet, const char *cluster,
				  struct lade_sqlite_stored *ret);

#endif
