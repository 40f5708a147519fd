/* SPDX-License-Identifier: MIT */
#ifndef LADE_PIPELINE_OBSERVE_H
#define LADE_PIPELINE_OBSERVE_H

/* observe.h - where a running pipeline can be looked at: its metrics' port and its socket. */

#include "services/pipeline/engine.h"

/* lade_pipe_observe - listens, and serves whoever comes, by tasks of @scope.
 *
 * What the configuration asks for and cannot be had is an error; a socket that it does not ask
 * for and cannot be had is told. Returns 0; < 0 with engine->why.  Suspends: no. */
int lade_pipe_observe(struct lade_pipe_engine *engine, struct lade_scope *scope);

/* lade_pipe_observe_end - gives ports and names back; its tasks have ended.  Suspends: no. */
void lade_pipe_observe_end(struct lade_pipe_engine *engine);

#endif
