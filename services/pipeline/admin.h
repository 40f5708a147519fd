/* SPDX-License-Identifier: MIT */
#ifndef LADE_PIPELINE_ADMIN_H
#define LADE_PIPELINE_ADMIN_H

/* admin.h - what `lade top` and `lade tap` ask a running pipeline, over its socket.
 *
 * A request is a line, a JSON object: {"ask":"top"}, {"ask":"health"}, or {"ask":"tap",
 * "step":NAME,"n":COUNT,"every":COUNT}. An answer is one or more lines, objects without others in
 * them, each with "what" in it; the last one of top and health is {"what":"end"}. What cannot be
 * answered gives {"what":"error","error":WHY}. */

#include <lade/json.h>

#include "services/pipeline/engine.h"

/* lade_pipe_figures - appends the lines that are the answer to "top". */
void lade_pipe_figures(const struct lade_pipe_engine *engine, struct lade_json_out *out);

/* lade_pipe_admin_talk - answers the requests of a connection until it ends, and closes it.
 *
 * Returns 0 or < 0.  Suspends: yes. */
lade_suspends int lade_pipe_admin_talk(struct lade_pipe_engine *engine, int fd);

#endif
