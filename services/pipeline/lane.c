/* SPDX-License-Identifier: MIT */
/* lane.c - the ring of segments of a lane.
 *
 * DESIGN
 * Ignoring what comes too late is not a nicety: a peer of lade's did not, committed for a
 * partition that it had lost, and its users lost 10,433 messages.
 *
 * INVARIANT  in_flight is the sum of .left over the ring; the oldest segment has some left,
 * or the ring is empty and commit_offset == taken_offset. */

#include "services/pipeline/lane.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define CAP_MIN 16u

struct lade_pipe_segment_state {
	int64_t left;		/* messages that are not finished */
	int64_t next_offset;	/* behind its last message, and what was skipped behind that */
	int64_t taken_ns;	/* when it was taken */
};

static struct lade_pipe_segment_state *at(const struct lade_pipe_lane *lane, uint64_t number)
{
	return &lane->ring[number & (lane->cap - 1)];
}

void lade_pipe_lane_init(struct lade_pipe_lane *lane, const char *topic, int64_t part,
			 int64_t in_flight_max)
{
	*lane = (struct lade_pipe_lane){ .topic = topic, .name = topic, .part = part,
					 .in_flight_max = in_flight_max };
}

void lade_pipe_lane_done(struct lade_pipe_lane *lane)
{
	free(lane->ring);
	lane->ring = NULL;
	lane->n = lane->cap = 0;
}

/* Forgets what is under way; its messages will be late. */
static void begin_epoch(struct lade_pipe_lane *lane)
{
	lane->epoch++;
	lane->first += lane->n;
	lane->n = 0;
	lane->in_flight = 0;
	lane->taken = 0;
	lane->paused = false;
}

void lade_pipe_lane_assign(struct lade_pipe_lane *lane, int64_t offset)
{
	begin_epoch(lane);
	lane->assigned = true;
	lane->commit_offset = offset;
	lane->taken_offset = offset;
}

void lade_pipe_lane_pause(struct lade_pipe_lane *lane)
{
	lane->paused = true;
}

void lade_pipe_lane_lose(struct lade_pipe_lane *lane)
{
	begin_epoch(lane);
	lane->assigned = false;
	lane->taken_offset = lane->commit_offset;
}

int64_t lade_pipe_lane_room(const struct lade_pipe_lane *lane)
{
	if (!lane->assigned || lane->paused)
		return 0;
	return lane->in_flight_max - lane->in_flight;
}

static int grow(struct lade_pipe_lane *lane)
{
	uint32_t cap = lane->cap ? lane->cap * 2 : CAP_MIN;
	struct lade_pipe_segment_state *ring;

	if (lane->n < lane->cap)
		return 0;
	ring = malloc(cap * sizeof(*ring));
	if (!ring)
		return -ENOMEM;
	for (uint64_t i = lane->first; i < lane->first + lane->n; i++)
		ring[i & (cap - 1)] = *at(lane, i);
	free(lane->ring);
	lane->ring = ring;
	lane->cap = cap;
	return 0;
}

/* Nothing was taken, only skipped: the newest segment ends later. */
static void skip(struct lade_pipe_lane *lane, int64_t next_offset)
{
	lane->taken_offset = next_offset;
	if (lane->n)
		at(lane, lane->first + lane->n - 1)->next_offset = next_offset;
	else
		lane->commit_offset = next_offset;
}

int lade_pipe_lane_take(struct lade_pipe_lane *lane, int64_t count, int64_t next_offset,
			int64_t now_ns, struct lade_pipe_segment *ret)
{
	int rc;

	assert(count >= 0 && next_offset >= lane->taken_offset);
	if (!lane->assigned || lane->paused || count > lade_pipe_lane_room(lane))
		return -EAGAIN;
	if (count == 0) {
		*ret = (struct lade_pipe_segment){ lane->epoch, lane->first + lane->n };
		skip(lane, next_offset);
		return 0;
	}
	rc = grow(lane);
	if (rc < 0)
		return rc;
	*ret = (struct lade_pipe_segment){ lane->epoch, lane->first + lane->n++ };
	*at(lane, ret->number) = (struct lade_pipe_segment_state){ count, next_offset, now_ns };
	lane->in_flight += count;
	lane->taken += (uint64_t)count;
	lane->taken_offset = next_offset;
	return 0;
}

bool lade_pipe_lane_is_late(const struct lade_pipe_lane *lane, struct lade_pipe_segment segment)
{
	return segment.epoch != lane->epoch;
}

/* A message was finished twice: what comes next would be a loss, so nothing comes next. */
static void finished_twice(const struct lade_pipe_lane *lane, int64_t count, int64_t left)
{
	fprintf(stderr, "lade: %lld messages of %s finished, but only %lld are under way\n",
		(long long)count, lane->topic, (long long)left);
	abort();
}

static int advance(struct lade_pipe_lane *lane)
{
	int moved = 0;

	while (lane->n && at(lane, lane->first)->left == 0) {
		lane->commit_offset = at(lane, lane->first)->next_offset;
		lane->first++;
		lane->n--;
		moved = 1;
	}
	return moved;
}

int lade_pipe_lane_finish(struct lade_pipe_lane *lane, struct lade_pipe_segment segment,
			  int64_t count)
{
	struct lade_pipe_segment_state *state;

	if (lade_pipe_lane_is_late(lane, segment)) {
		lane->late_acks += (uint64_t)count;
		return 0;
	}
	if (count == 0)
		return 0;
	if (segment.number - lane->first >= lane->n)
		finished_twice(lane, count, 0);
	state = at(lane, segment.number);
	if (count < 0 || count > state->left)
		finished_twice(lane, count, state->left);
	state->left -= count;
	lane->in_flight -= count;
	return advance(lane);
}

bool lade_pipe_lane_oldest(const struct lade_pipe_lane *lane, int64_t *ret_ns)
{
	if (lane->n == 0)
		return false;
	*ret_ns = at(lane, lane->first)->taken_ns;
	return true;
}

bool lade_pipe_lane_sane(const struct lade_pipe_lane *lane)
{
	int64_t sum = 0, before = lane->commit_offset;

	for (uint64_t i = lane->first; i < lane->first + lane->n; i++) {
		if (at(lane, i)->left < 0 || at(lane, i)->next_offset < before)
			return false;
		sum += at(lane, i)->left;
		before = at(lane, i)->next_offset;
	}
	return sum == lane->in_flight && before == lane->taken_offset &&
	       (lane->n == 0 || at(lane, lane->first)->left > 0) && lane->n <= lane->cap;
}
