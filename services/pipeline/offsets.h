/* SPDX-License-Identifier: MIT */
#ifndef LADE_PIPELINE_OFFSETS_H
#define LADE_PIPELINE_OFFSETS_H

/* offsets.h - where the lanes of a pipeline stand, as its sink keeps it: shown and set.
 *
 * Nothing here suspends; it blocks like any access to a database. */

#include <stdbool.h>
#include <stdint.h>

#include "services/pipeline/config.h"

/* What is kept of a lane. */
struct lade_offset {
	char topic[1024], owner[128], cluster[128];
	int64_t part, next_offset, epoch;
};

struct lade_offsets;

/* What a place of offsets can do; another kind is another table. */
struct lade_offsets_ops {
	int (*open)(struct lade_offsets *offsets);
	/* The next lane: 1; 0: the end; < 0 with why. */
	int (*next)(struct lade_offsets *offsets, struct lade_offset *ret);
	/* Moves a lane from where it was read to .next_offset and .cluster of @to, under a new
	 * epoch, which fences whoever has it. 0; -EAGAIN: it has moved meanwhile; < 0. */
	int (*set)(struct lade_offsets *offsets, const struct lade_offset *was,
		   const struct lade_offset *to);
	void (*close)(struct lade_offsets *offsets);
};

struct lade_offsets {
	const struct lade_offsets_ops *ops;
	const struct lade_pipe_config *config;
	bool setting;		/* it will be written */
	void *self;		/* the place's */
	char why[600];		/* after < 0 */
};

/* lade_offsets_open - opens what keeps the offsets of a pipeline.
 *
 * Returns 0, or < 0 with why; either way lade_offsets_close(). */
int lade_offsets_open(struct lade_offsets *offsets, const struct lade_pipe_config *config,
		      bool setting);

/* lade_offsets_next - the next lane.  Returns 1; 0: the end; < 0 with why. */
int lade_offsets_next(struct lade_offsets *offsets, struct lade_offset *ret);

/* lade_offsets_holder - the process that has the lane and is alive; 0: nobody. */
long lade_offsets_holder(const struct lade_offset *offset);

/* lade_offsets_set - sets where a lane goes on; of a file, to the beginning of a line.
 *
 * Refuses one that a living process has, without @force; with it that one is fenced. Returns 0 and
 * where the lane was, or < 0 with why. */
int lade_offsets_set(struct lade_offsets *offsets, const char *topic, int64_t part, int64_t to,
		     bool force, struct lade_offset *ret_was);

/* lade_offsets_close - closes what was opened. */
void lade_offsets_close(struct lade_offsets *offsets);

extern const struct lade_offsets_ops lade_offsets_of_sqlite;

#endif
