/* SPDX-License-Identifier: MIT */
/* lane_test.c - what may be committed, after whatever order of ends. */

#include "services/pipeline/lane.h"

#include <errno.h>
#include <stdlib.h>

#include "tap.h"

static struct lade_pipe_lane lane;

static void begin(int64_t in_flight_max)
{
	lade_pipe_lane_done(&lane);
	lade_pipe_lane_init(&lane, "in.ndjson", 0, in_flight_max);
	lade_pipe_lane_assign(&lane, 100);
}

static struct lade_pipe_segment take(int64_t count, int64_t next_offset)
{
	struct lade_pipe_segment segment = { 0 };

	CHECK_EQ(lade_pipe_lane_take(&lane, count, next_offset, next_offset * 10, &segment), 0);
	CHECK(lade_pipe_lane_sane(&lane));
	return segment;
}

static int finish(struct lade_pipe_segment segment, int64_t count)
{
	int rc = lade_pipe_lane_finish(&lane, segment, count);

	CHECK(lade_pipe_lane_sane(&lane));
	return rc;
}

static void the_offset_moves_when_the_oldest_segment_is_done(void)
{
	struct lade_pipe_segment a, b;

	begin(100);
	a = take(3, 110);
	b = take(2, 150);
	CHECK_EQ(lane.commit_offset, 100);
	CHECK_EQ(finish(a, 2), 0);
	CHECK_EQ(lane.commit_offset, 100);
	CHECK_EQ(finish(a, 1), 1);
	CHECK_EQ(lane.commit_offset, 110);
	CHECK_EQ(finish(b, 2), 1);
	CHECK_EQ(lane.commit_offset, 150);
	CHECK_EQ(lane.in_flight, 0);
}

static void a_later_segment_waits_for_the_earlier_ones(void)
{
	struct lade_pipe_segment a, b, c;

	begin(100);
	a = take(1, 101);
	b = take(1, 102);
	c = take(1, 103);
	CHECK_EQ(finish(c, 1), 0);
	CHECK_EQ(finish(b, 1), 0);
	CHECK_EQ(lane.commit_offset, 100);
	CHECK_EQ(finish(a, 1), 1);
	CHECK_EQ(lane.commit_offset, 103);
}

static void what_the_source_skipped_is_committed_with_what_came_before(void)
{
	struct lade_pipe_segment a;

	begin(100);
	take(0, 120);
	CHECK_EQ(lane.commit_offset, 120);
	a = take(1, 130);
	take(0, 140);
	CHECK_EQ(lane.commit_offset, 120);
	CHECK_EQ(finish(a, 1), 1);
	CHECK_EQ(lane.commit_offset, 140);
}

static void a_lane_takes_no_more_than_may_be_in_flight(void)
{
	struct lade_pipe_segment a, none;

	begin(10);
	a = take(7, 110);
	CHECK_EQ(lade_pipe_lane_room(&lane), 3);
	CHECK_EQ(lade_pipe_lane_take(&lane, 4, 120, 0, &none), -EAGAIN);
	take(3, 120);
	CHECK_EQ(lade_pipe_lane_room(&lane), 0);
	CHECK_EQ(finish(a, 5), 0);
	CHECK_EQ(lade_pipe_lane_room(&lane), 5);
}

static void what_is_finished_after_a_loss_is_ignored_and_counted(void)
{
	struct lade_pipe_segment old, fresh;

	begin(100);
	old = take(5, 200);
	CHECK_EQ(finish(old, 1), 0);
	lade_pipe_lane_lose(&lane);
	CHECK(lade_pipe_lane_is_late(&lane, old));
	CHECK_EQ(finish(old, 2), 0);
	CHECK_EQ(lane.late_acks, 2);
	CHECK_EQ(lane.commit_offset, 100);
	CHECK_EQ(lane.in_flight, 0);
	lade_pipe_lane_assign(&lane, 100);
	fresh = take(5, 200);
	CHECK_EQ(finish(old, 2), 0);
	CHECK_EQ(lane.late_acks, 4);
	CHECK_EQ(lane.in_flight, 5);
	CHECK_EQ(finish(fresh, 5), 1);
	CHECK_EQ(lane.commit_offset, 200);
}

static void an_assignment_of_a_lane_that_is_ours_begins_a_new_epoch_too(void)
{
	struct lade_pipe_segment old;

	begin(100);
	old = take(5, 200);
	lade_pipe_lane_assign(&lane, 150);
	CHECK_EQ(finish(old, 5), 0);
	CHECK_EQ(lane.late_acks, 5);
	CHECK_EQ(lane.commit_offset, 150);
}

static void a_lane_that_is_not_ours_or_paused_takes_nothing(void)
{
	struct lade_pipe_segment a, none;

	begin(100);
	a = take(1, 110);
	lade_pipe_lane_pause(&lane);
	CHECK_EQ(lade_pipe_lane_room(&lane), 0);
	CHECK_EQ(lade_pipe_lane_take(&lane, 1, 120, 0, &none), -EAGAIN);
	CHECK_EQ(finish(a, 1), 1);
	lade_pipe_lane_lose(&lane);
	CHECK_EQ(lade_pipe_lane_take(&lane, 1, 120, 0, &none), -EAGAIN);
	CHECK_EQ(lade_pipe_lane_take(&lane, 0, 120, 0, &none), -EAGAIN);
	lade_pipe_lane_assign(&lane, 110);
	CHECK_EQ(lade_pipe_lane_room(&lane), 100);
}

static void the_oldest_segment_tells_its_age(void)
{
	struct lade_pipe_segment a;
	int64_t since = 0;

	begin(100);
	CHECK(!lade_pipe_lane_oldest(&lane, &since));
	a = take(1, 110);
	take(1, 120);
	CHECK(lade_pipe_lane_oldest(&lane, &since));
	CHECK_EQ(since, 1100);
	finish(a, 1);
	CHECK(lade_pipe_lane_oldest(&lane, &since));
	CHECK_EQ(since, 1200);
}

/* Segments end in a random order; a plain list says what may be committed. */
static void a_thousand_segments_in_any_order_commit_without_a_gap(void)
{
	enum { N = 1000 };
	static struct lade_pipe_segment segments[N];
	static int left[N];
	unsigned seed = 7;
	int begun = 0, done = 0, bad = 0;

	begin(1000000);
	while (done < N) {
		int i = begun ? (int)((unsigned)rand_r(&seed) % (unsigned)begun) : 0;

		if (begun < N && rand_r(&seed) % 3) {
			left[begun] = 1 + begun % 5;
			segments[begun] = take(left[begun], 100 + 10 * (begun + 1));
			begun++;
		} else if (begun && left[i]) {
			lade_pipe_lane_finish(&lane, segments[i], 1);
			left[i]--;
		}
		while (done < begun && !left[done])
			done++;
		bad += lane.commit_offset != 100 + 10 * done;
	}
	CHECK_EQ(bad, 0);
	CHECK(lade_pipe_lane_sane(&lane));
	CHECK_EQ(lane.in_flight, 0);
}

static void finishing_too_much_ends_the_process(void)
{
	struct lade_pipe_segment a;

	begin(100);
	a = take(2, 110);
	lade_pipe_lane_finish(&lane, a, 3);
}

static void finishing_a_segment_twice_ends_the_process(void)
{
	struct lade_pipe_segment a;

	begin(100);
	a = take(2, 110);
	lade_pipe_lane_finish(&lane, a, 2);
	lade_pipe_lane_finish(&lane, a, 1);
}

int main(void)
{
	TAP(the_offset_moves_when_the_oldest_segment_is_done);
	TAP(a_later_segment_waits_for_the_earlier_ones);
	TAP(what_the_source_skipped_is_committed_with_what_came_before);
	TAP(a_lane_takes_no_more_than_may_be_in_flight);
	TAP(what_is_finished_after_a_loss_is_ignored_and_counted);
	TAP(an_assignment_of_a_lane_that_is_ours_begins_a_new_epoch_too);
	TAP(a_lane_that_is_not_ours_or_paused_takes_nothing);
	TAP(the_oldest_segment_tells_its_age);
	TAP(a_thousand_segments_in_any_order_commit_without_a_gap);
	TAP_DIES(finishing_too_much_ends_the_process,
		 "3 messages of in.ndjson finished, but only 2");
	TAP_DIES(finishing_a_segment_twice_ends_the_process, "but only 0 are under way");
	lade_pipe_lane_done(&lane);
	return tap_done();
}
