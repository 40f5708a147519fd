/* SPDX-License-Identifier: MIT */
#ifndef LADE_PIPELINE_LANE_H
#define LADE_PIPELINE_LANE_H

/* lane.h - what of one lane is under way, and how far it is done without a gap.
 *
 * A lane is one assigned (topic, partition), or one file.  What one batch took from it is a
 * segment.  A lane counts the messages of each segment that are not finished; the offset
 * that may be committed moves when the oldest segment has none left.  It never concludes
 * anything from offsets: they have gaps.
 *
 * Each assignment has an epoch.  What is finished under an older one is too late: the lane
 * may belong to somebody else by now. */

#include <stdbool.h>
#include <stdint.h>

#include "services/pipeline/position.h"

/* A segment, as its messages know it. */
struct lade_pipe_segment {
	uint64_t epoch;		/* the lane's when it was taken */
	uint64_t number;	/* counts the lane's segments, from 0 */
};

struct lade_pipe_segment_state;

/* Where a lane was left, as a sink keeps it. */
struct lade_pipe_stored {
	int64_t next_offset;	/* everything before it is done */
	int64_t epoch;		/* the sink's, under which it moves: who claimed it last */
	char cluster[LADE_POSITION_ROOM]; /* what the offset counts in: which file */
	char owner[128];	/* who had claimed it before; "": nobody, or not known */
};

struct lade_pipe_lane {
	const char *topic;		/* the topic, or the file's name: what it is kept by */
	const char *name;		/* what a person calls it; both are borrowed */
	int64_t part;			/* the partition; 0 for a file */
	uint64_t epoch;			/* raised by each assignment and each loss */
	bool assigned;			/* it is ours */
	bool paused;			/* nothing more is taken: it is about to be given back */
	bool fenced;			/* another one writes it: ours would be in vain */
	int64_t commit_offset;		/* everything before it is finished */
	int64_t taken_offset;		/* everything before it was taken */
	int64_t end_offset;		/* behind the last message that there is; 0: not known */
	int64_t in_flight;		/* messages that are taken and not finished */
	int64_t in_flight_max;		/* and how many there may be */
	uint64_t taken;			/* messages in this epoch, finished ones too */
	uint64_t late_acks;		/* messages that were finished too late, and ignored */
	uint64_t first;			/* number of the oldest segment */
	uint32_t n;			/* segments under way */
	uint32_t cap;			/* segments that fit; a power of two */
	struct lade_pipe_segment_state *ring;	/* by number modulo cap; owned */
	char cluster[LADE_POSITION_ROOM]; /* what its offsets count in; the source's */
	struct lade_pipe_stored stored;	/* what the sink that keeps its offset has */
	void *self;			/* the source's */
	struct lade_pipe_lane *next;	/* of the engine's */
};

/* lade_pipe_lane_init - a lane that is not assigned.
 *
 * @topic outlives it. */
void lade_pipe_lane_init(struct lade_pipe_lane *lane, const char *topic, int64_t part,
			 int64_t in_flight_max);

/* lade_pipe_lane_done - frees its memory. */
void lade_pipe_lane_done(struct lade_pipe_lane *lane);

/* lade_pipe_lane_assign - the lane is ours, from @offset on, under a new epoch. */
void lade_pipe_lane_assign(struct lade_pipe_lane *lane, int64_t offset);

/* lade_pipe_lane_pause - nothing more is taken; what is under way may finish. */
void lade_pipe_lane_pause(struct lade_pipe_lane *lane);

/* lade_pipe_lane_lose - the lane is not ours any more: what is under way will be too late. */
void lade_pipe_lane_lose(struct lade_pipe_lane *lane);

/* lade_pipe_lane_room - how many messages may be taken now; 0: read nothing from it. */
int64_t lade_pipe_lane_room(const struct lade_pipe_lane *lane);

/* lade_pipe_lane_take - a batch takes @count messages; the next one will be at @next_offset.
 *
 * @count may be 0, for what the source skipped.  @now_ns is any clock's.
 *
 * Returns 0 and the segment; -EAGAIN when there is no room; -ENOMEM. */
int lade_pipe_lane_take(struct lade_pipe_lane *lane, int64_t count, int64_t next_offset,
			int64_t now_ns, struct lade_pipe_segment *ret);

/* lade_pipe_lane_finish - @count messages of a segment are finished, for good.
 *
 * Ends the process when the segment has fewer unfinished ones: that is a bug of the caller,
 * and going on would commit what is not done.
 *
 * Returns 1 when the offset to commit has moved, else 0; 0 also when it was too late. */
int lade_pipe_lane_finish(struct lade_pipe_lane *lane, struct lade_pipe_segment segment,
			  int64_t count);

/* lade_pipe_lane_is_late - would lade_pipe_lane_finish() ignore this segment? */
bool lade_pipe_lane_is_late(const struct lade_pipe_lane *lane, struct lade_pipe_segment segment);

/* lade_pipe_lane_oldest - when the oldest unfinished segment was taken.
 *
 * Returns false when nothing is under way. */
bool lade_pipe_lane_oldest(const struct lade_pipe_lane *lane, int64_t *ret_ns);

/* lade_pipe_lane_sane - checks the invariants, for tests. */
bool lade_pipe_lane_sane(const struct lade_pipe_lane *lane);

#endif
