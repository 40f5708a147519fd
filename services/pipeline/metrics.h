/* SPDX-License-Identifier: MIT */
#ifndef LADE_PIPELINE_METRICS_H
#define LADE_PIPELINE_METRICS_H

/* metrics.h - the figures of a running pipeline, for Prometheus, and its health, over HTTP. */

#include <lade/json.h>

#include "services/pipeline/engine.h"

/* lade_pipe_metrics - appends all figures in Prometheus' text format. */
void lade_pipe_metrics(const struct lade_pipe_engine *engine, struct lade_json_out *out);

/* lade_pipe_metrics_talk - answers one HTTP request of a connection, and closes it.
 *
 * Returns 0 or < 0.  Suspends: yes. */
lade_suspends int lade_pipe_metrics_talk(struct lade_pipe_engine *engine, int fd);

#endif
