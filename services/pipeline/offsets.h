/* SPDX-License-Identifier: MIT */
#ifndef LADE_PIPELINE_OFFSETS_H
#define LADE_PIPELINE_OFFSETS_H

/* offsets.h - where the lanes of a pipeline stand, shown and set: as its sink keeps it, or its
 * consumer group. */

#include <stdbool.h>
#include <stdint.h>

#include <lade/task.h>

#include "services/pipeline/config.h"

#define LADE_OFFSETS_MAX 4096 /* lanes that are set at once */

/* What is kept of a lane. */
struct lade_offset {
	char topic[1024], owner[128], cluster[128];
	int64_t part, epoch;
	int64_t next_offset;	/* -1: nothing is kept */
	int64_t low, high;	/* what there is of it in Kafka; -1: not known */
	char held[200];		/* the member of the group that has it; "": nobody, or not known */
};

/* Where a lane is to go on. */
enum lade_offset_to { LADE_OFFSET_NUMBER, LADE_OFFSET_EARLIEST, LADE_OFFSET_LATEST,
		      LADE_OFFSET_SINCE };

struct lade_offset_target {
	const char *topic;
	int64_t part;		/* -1: all there are of the topic */
	enum lade_offset_to to;
	int64_t value;		/* an offset, or ms since 1970 */
	bool force;		/* whoever has the lane loses it */
};

struct lade_offsets;
struct lade_offsets_log;

/* What a place of offsets can do; another kind is another table. */
struct lade_offsets_ops {
	int (*open)(struct lade_offsets *offsets);
	/* The next lane: 1; 0: the end; < 0 with why. */
	int (*next)(struct lade_offsets *offsets, struct lade_offset *ret);
	/* Moves lanes from where they were read to .next_offset and .cluster of @to, all or none,
	 * under new epochs, which fences whoever has them. 0; -EAGAIN: one has moved meanwhile;
	 * < 0 with why. */
	int (*set)(struct lade_offsets *offsets, const struct lade_offset *was,
		   const struct lade_offset *to, size_t n);
	void (*close)(struct lade_offsets *offsets);
};

struct lade_offsets {
	const struct lade_offsets_ops *ops;
	const struct lade_pipe_config *config;
	bool setting;			/* it will be written */
	void *self;			/* the place's */
	struct lade_offsets_log *log;	/* what Kafka says of the source; NULL: it is another's */
	struct lade_offset *was, *to;	/* lanes that were set */
	size_t n;
	char why[600];			/* after < 0 */
};

/* lade_offsets_open - opens what keeps the offsets of a pipeline.
 *
 * Returns 0, or < 0 with why; either way lade_offsets_close().  Suspends: yes. */
lade_suspends int lade_offsets_open(struct lade_offsets *offsets,
				    const struct lade_pipe_config *config, bool setting);

/* lade_offsets_next - the next lane.
 *
 * Returns 1; 0: the end; < 0 with why.  Suspends: yes. */
lade_suspends int lade_offsets_next(struct lade_offsets *offsets, struct lade_offset *ret);

/* lade_offsets_holder - the process that has a lane, by what is kept of its owner, and is alive on
 * this host; 0: nobody. */
long lade_offsets_holder(const char *owner);

/* lade_offsets_elsewhere - whether the owner of a lane is, or was, a process of another host. */
bool lade_offsets_elsewhere(const char *owner);

/* lade_offsets_in_group - whether they are those of the consumer group. */
bool lade_offsets_in_group(const struct lade_offsets *offsets);

/* lade_offsets_group - what the group is, in a line; NULL: there is none. */
const char *lade_offsets_group(const struct lade_offsets *offsets);

/* lade_offsets_set - sets where lanes go on; of a file, to the beginning of a line.
 *
 * Refuses lanes that somebody has. With .force whoever has them is fenced, which a consumer group
 * does not know. Returns 0, and .was and .to say what was done, or < 0 with why.
 * Suspends: yes. */
lade_suspends int lade_offsets_set(struct lade_offsets *offsets,
				   const struct lade_offset_target *target);

/* lade_offsets_close - closes what was opened.  Suspends: yes. */
void lade_offsets_close(struct lade_offsets *offsets);

/* What Kafka says of the source, in offsets_kafka.c */

/* lade_offsets_log_open - asks for the group; -errno with why.  Suspends: yes. */
lade_suspends int lade_offsets_log_open(struct lade_offsets *offsets);

/* lade_offsets_log_look - fills in .low, .high and .held; -errno with why.  Suspends: yes. */
lade_suspends int lade_offsets_log_look(struct lade_offsets *offsets, struct lade_offset *offset);

/* lade_offsets_log_since - where a time is in a lane; -errno with why.  Suspends: yes. */
lade_suspends int lade_offsets_log_since(struct lade_offsets *offsets,
					 const struct lade_offset *offset, int64_t ms,
					 int64_t *ret);

/* lade_offsets_log_members - members of the group, and one of them. */
size_t lade_offsets_log_members(const struct lade_offsets *offsets, const char **ret_one);

/* lade_offsets_log_set - has the group go on there; -EBUSY: it has members; -errno with why.
 * Suspends: yes. */
lade_suspends int lade_offsets_log_set(struct lade_offsets *offsets, const struct lade_offset *to,
				       size_t n);

/* lade_offsets_log_close - closes what was opened.  Suspends: yes. */
void lade_offsets_log_close(struct lade_offsets *offsets);

extern const struct lade_offsets_ops lade_offsets_of_sqlite, lade_offsets_of_postgres,
	lade_offsets_of_group;

#endif
