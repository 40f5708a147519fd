/* SPDX-License-Identifier: MIT */
#ifndef LADE_PIPELINE_LOG_H
#define LADE_PIPELINE_LOG_H

/* log.h - what a run says, as lines of JSON for machines.
 *
 * Each line is an object with "time", "pipeline" and "event": trouble, recovered, progress,
 * summary, end, or log with a "message" for all else. */

#include <stdio.h>

#include "services/pipeline/engine.h"

/* lade_pipe_log_json - a stream whose lines become JSON on @to.
 *
 * @process: its number among several of the pipeline, which each line has then; 0: it is alone.
 * Close it with fclose(), which leaves @to open; both names outlive it. Returns NULL: no memory. */
FILE *lade_pipe_log_json(const char *pipeline, int process, FILE *to);

/* lade_pipe_log_trouble - a failure that passes; @failures since it was said last. */
void lade_pipe_log_trouble(struct lade_pipe_engine *engine, const char *who, const char *trouble,
			   uint64_t failures);

/* lade_pipe_log_recovered - a failure is over. */
void lade_pipe_log_recovered(struct lade_pipe_engine *engine, const char *who, const char *trouble,
			     double seconds);

/* lade_pipe_log_figures - how it goes ("progress"), or went ("summary"). */
void lade_pipe_log_figures(const struct lade_pipe_engine *engine, const char *event, double rate);

/* lade_pipe_log_end - how the run has ended. */
void lade_pipe_log_end(const struct lade_pipe_engine *engine);

#endif
