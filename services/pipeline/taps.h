/* SPDX-License-Identifier: MIT */
#ifndef LADE_PIPELINE_TAPS_H
#define LADE_PIPELINE_TAPS_H

/* taps.h - samples of what passes behind a step, for somebody who looks. */

#include <lade/json.h>
#include <lade/lade.h>

#include "services/pipeline/engine.h"

#define LADE_TAPS_MAX 4 /* who may look at a time */

/* Somebody who looks. */
struct lade_pipe_tap {
	struct lade_pipe_engine *engine;
	struct lade_pipe_tap *next;	/* of the engine's */
	int point;			/* 0: the source; i + 1: step i */
	uint64_t every;			/* each so many-th message is a sample */
	uint64_t left;			/* samples still wanted; UINT64_MAX: there is no end */
	uint64_t seen;			/* messages that have passed */
	uint64_t lost;			/* samples that did not fit, as the reader was slow */
	uint64_t lost_said;		/* those of them that it has been told of */
	struct lade_json_out text;	/* samples that were not taken yet, a line each */
	struct lade_event news;		/* there is text, or no more will come */
};

/* lade_pipe_tap_point - the place of a step by its name, or of "source"; -1: there is none. */
int lade_pipe_tap_point(const struct lade_pipe_engine *engine, const char *name);

/* lade_pipe_tap_open - looks from now on; fields .point, .every and .left are set.
 *
 * Returns 0; -EBUSY: LADE_TAPS_MAX look already.  Suspends: no. */
int lade_pipe_tap_open(struct lade_pipe_tap *tap, struct lade_pipe_engine *engine);

/* lade_pipe_tap_close - looks no more.  Suspends: no. */
void lade_pipe_tap_close(struct lade_pipe_tap *tap);

/* lade_pipe_tap_batch - shows a batch that has passed a point to those who look there.
 *
 * Never waits: what does not fit is lost and counted.  Suspends: no. */
void lade_pipe_tap_batch(struct lade_pipe_engine *engine, int point,
			 const struct lade_pipe_batch *batch);

/* lade_pipe_tap_give - sends the samples to a connection, until enough are sent or it is closed.
 *
 * Returns 0: all that were wanted; < 0.  Suspends: yes. */
lade_suspends int lade_pipe_tap_give(struct lade_pipe_tap *tap, int fd);

#endif
