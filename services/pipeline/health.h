/* SPDX-License-Identifier: MIT */
#ifndef LADE_PIPELINE_HEALTH_H
#define LADE_PIPELINE_HEALTH_H

/* health.h - what a running pipeline waits for, and whether that has taken too long. */

#include <lade/json.h>

#include "services/pipeline/engine.h"

#define LADE_PLACE_ROOM 200 /* bytes of a place or a sink's name, with the 0 behind it */

/* The oldest message that is not finished. */
struct lade_pipe_oldest {
	const struct lade_pipe_lane *lane; /* whose it is */
	int64_t offset;			   /* where it begins there */
	int64_t age_ns;			   /* since it came */
	const char *waits_for;		   /* a step's name, a sink, or its turn */
};

/* lade_pipe_oldest - the oldest message that is not finished.  Returns false: there is none. */
bool lade_pipe_oldest(const struct lade_pipe_engine *engine, struct lade_pipe_oldest *ret);

/* lade_pipe_lag - what there is of a lane and is not finished; -1: not known. */
int64_t lade_pipe_lag(const struct lade_pipe_lane *lane);

/* lade_pipe_late - messages of all lanes that were finished too late. */
uint64_t lade_pipe_late(const struct lade_pipe_engine *engine);

/* lade_pipe_unit - what the offsets of a source count: "byte" or "offset". */
const char *lade_pipe_unit(const struct lade_pipe_engine *engine);

/* lade_pipe_place - a message's place in words: "in.ndjson, byte 120".  Returns @ret. */
const char *lade_pipe_place(const struct lade_pipe_engine *engine,
			    const struct lade_pipe_lane *lane, int64_t offset,
			    char ret[LADE_PLACE_ROOM]);

/* lade_pipe_outlet_name - a sink in words: "sqlite orders", "dead letters".  Returns @ret. */
const char *lade_pipe_outlet_name(const struct lade_pipe_outlet *outlet,
				  char ret[LADE_PLACE_ROOM]);

/* lade_pipe_outlet_at - the sinks of an engine and, behind them, its dead letters in a place of
 * their own; NULL behind the last. */
const struct lade_pipe_outlet *lade_pipe_outlet_at(const struct lade_pipe_engine *engine, int i);

/* lade_pipe_health - whether nothing takes longer than unhealthy_after.
 *
 * Appends a line of text to @out for each thing that does, or one that says "ok".  Returns
 * whether it is healthy. */
bool lade_pipe_health(const struct lade_pipe_engine *engine, struct lade_json_out *out);

/* lade_pipe_put - appends text to a document, as printf() makes it; at most 1,023 bytes. */
__attribute__((format(printf, 2, 3))) void lade_pipe_put(struct lade_json_out *out,
							 const char *format, ...);

#endif
