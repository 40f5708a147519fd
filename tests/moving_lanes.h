/* SPDX-License-Identifier: MIT */
#ifndef LADE_TESTS_MOVING_LANES_H
#define LADE_TESTS_MOVING_LANES_H

/* moving_lanes.h - for tests of the engine: a group that gives lanes and takes them away, and a
 * database that keeps rows, dead letters and offsets, all in memory.
 *
 * DESIGN
 * The source does what the one of Kafka does, with one task that takes what the group says, at
 * ticks, and a second one that gives lanes back. What happens at each tick is the test's plan. And
 * each tick is a wait of its own with deadlines that never pass by themselves, one for each thing
 * that can happen to a lane: where the explorer makes one pass, that happens to all lanes.
 *
 * The database looks at each commit whether a message is there twice, or out of its order, or none
 * where the offset says that it is done; the first such thing is in .broken. Messages k of a lane
 * have the offset 2 k, as if transactions had left their marks between.
 *
 * LIMITS  MOVING_LANES lanes of MOVING_MESSAGES_MAX messages. */

#include "services/pipeline/engine.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define MOVING_LANES 2
#define MOVING_MESSAGES_MAX 400
#define MOVING_SLACK 4 /* messages that still come when a lane has enough under way */

/* What happens to a lane. */
enum upset {
	UPSET_NONE,
	UPSET_BOUNCE, /* it is lost, and comes back at once */
	UPSET_LOSE,   /* it is lost, another process has it, and after a while it comes back */
	UPSET_REVOKE, /* the same, but it may be finished before */
	UPSET_STEAL,  /* another process has it, as we shall hear later, or never */
	UPSETS
};

/* What is kept of a lane, whoever has it. */
struct kept_lane {
	int64_t next;	      /* the offset: everything before it is done */
	int64_t epoch;	      /* of who claimed it last */
	int64_t last;	      /* the latest row's message, -1: none */
	bool ours;	      /* so the group says */
	bool owed;	      /* another process has it, and is about to write a message */
	uint8_t rows[MOVING_MESSAGES_MAX];
	uint8_t letters[MOVING_MESSAGES_MAX];
	bool plain[MOVING_MESSAGES_MAX]; /* in a sink that keeps no offsets */
};

/* A lane as the source knows it. */
struct held_lane {
	struct lade_pipe_lane lane;
	bool ours;	      /* the group has given it, and said nothing else */
	bool leaving;	      /* it is being drained */
	bool stolen;	      /* the group will say that it is lost */
	int64_t at;	      /* the next message that is read */
	uint64_t given;	      /* messages that were read in this epoch */
	uint32_t away;	      /* ticks since it was let go */
};

static struct {
	/* what the test sets */
	int64_t messages;     /* of each lane */
	int64_t tick_us, claim_us, step_us, write_us;
	uint32_t away_ticks;  /* that a lane is away */
	bool group_keeps;     /* the group has the offsets, and no sink */
	int64_t rejected;     /* the message of lane 1 that no step takes; -1: none */
	int64_t again;	      /* that of lane 0 which passes at the third try of a run; -1: none */
	bool has_plain;	      /* there is a sink that keeps no offsets */
	unsigned failing;     /* each so many-th write fails, as passing; 0: none does */
	unsigned stutter;     /* the so many-th message comes twice, which is a fault; 0: none */
	enum upset (*plan)(uint32_t tick, int lane); /* what happens now */
	/* what outlives a run */
	struct kept_lane kept[MOVING_LANES];
	bool pending;	      /* offsets are in a transaction of which nobody knows the end */
	char broken[160];     /* what should never be, the first time; "": nothing */
	unsigned upsets[UPSETS], fenced; /* how often */
	/* of a run */
	struct lade_pipe_engine *engine;
	struct held_lane held[MOVING_LANES];
	struct lade_event filled, revoked;
	enum upset struck;    /* whose deadline has passed */
	unsigned turn;	      /* the lane that is read next */
	unsigned writes, reads, tries;
	char texts[MOVING_LANES][MOVING_MESSAGES_MAX][24];
} moving;

/* What is kept */

__attribute__((format(printf, 1, 2))) static inline void moving_broken(const char *format, ...)
{
	va_list args;

	if (*moving.broken)
		return;
	va_start(args, format);
	vsnprintf(moving.broken, sizeof(moving.broken), format, args);
	va_end(args);
}

static inline int64_t moving_offset(int64_t message)
{
	return 2 * message;
}

/* The first message that is not before an offset. */
static inline int64_t moving_first(int64_t offset)
{
	return (offset + 1) / 2;
}

/* moving_put - a message is in the database, or among its dead letters. */
static inline void moving_put(int64_t lane, int64_t message, bool letter)
{
	struct kept_lane *s = &moving.kept[lane];

	if (s->rows[message] + s->letters[message])
		moving_broken("message %d of lane %d is written twice", (int)message, (int)lane);
	else if (!letter && message < s->last)
		moving_broken("message %d of lane %d is behind %d", (int)message, (int)lane,
			      (int)s->last);
	if (letter) {
		s->letters[message]++;
		return;
	}
	if (moving.has_plain && !s->plain[message])
		moving_broken("message %d of lane %d is not in the other sink", (int)message,
			      (int)lane);
	s->rows[message]++;
	s->last = message;
}

/* moving_check - an offset has moved, and is ahead of nothing, and nothing of it. */
static inline void moving_check(int64_t lane)
{
	const struct kept_lane *s = &moving.kept[lane];

	for (int64_t k = 0; k < moving.messages; k++) {
		int is = s->rows[k] + s->letters[k], should = moving_offset(k) < s->next;

		if (is < should)
			moving_broken("the offset %d of lane %d is ahead of message %d",
				      (int)s->next, (int)lane, (int)k);
		else if (is > should)
			moving_broken("message %d of lane %d is written, and the offset is %d",
				      (int)k, (int)lane, (int)s->next);
	}
}

/* moving_put_batch - what a sink writes of a batch. */
static inline void moving_put_batch(const struct lade_pipe_batch *b, enum lade_pipe_verdict verdict,
				    void (*put)(int64_t lane, int64_t message, bool letter))
{
	for (uint32_t i = 0; i < b->n; i++)
		if (b->fates[i].verdict == verdict)
			put(b->messages[i].lane->part, b->messages[i].offset / 2,
			    verdict == LADE_VERDICT_REJECT);
}

/* moving_ended - whether all messages are done, by whomever. */
static inline bool moving_ended(void)
{
	for (int l = 0; l < MOVING_LANES; l++)
		if (moving_first(moving.kept[l].next) < moving.messages)
			return false;
	return true;
}

/* Each use is a place of its own to the explorer. */
#define MOVING_TAKE_TIME(us) lade_sleep(lade_us(us))

/* The group, and another process of it */

/* What it has to write, as soon as it may know where the lane was left. */
static inline void moving_by_another(int l)
{
	struct kept_lane *s = &moving.kept[l];
	int64_t message = moving_first(s->next);

	if (!s->owed || moving.pending)
		return;
	s->owed = false;
	s->epoch++;
	if (message >= moving.messages)
		return;
	s->plain[message] = true;
	moving_put(l, message, l == 1 && message == moving.rejected);
	s->next = moving_offset(message) + 1;
	moving_check(l);
}

static inline void moving_to_another(int l)
{
	moving.kept[l].ours = false;
	moving.kept[l].owed = true;
	moving_by_another(l);
}

/* The source: lanes that come and go */

static inline void moving_let_go(struct lade_pipe_engine *e, struct held_lane *h)
{
	if (!h->lane.assigned)
		return;
	lade_pipe_lane_lose(&h->lane);
	lade_pipe_lane_unlist(e, &h->lane);
	h->away = 0;
	lade_event_set(&e->lane_moved);
}

/* Where the group has it, when the transaction that has moved it, if any, has ended. */
static inline int moving_ask_group(int l, int64_t *ret)
{
	int rc;

	do
		rc = MOVING_TAKE_TIME(moving.claim_us);
	while (rc == 0 && moving.pending);
	*ret = moving.kept[l].next;
	return rc;
}

/* It is ours, from where it was left. */
static inline int moving_take(struct lade_pipe_engine *e, int l)
{
	struct held_lane *h = &moving.held[l];
	int64_t from = 0;
	int rc;

	h->ours = moving.kept[l].ours = true;
	snprintf(h->lane.cluster, sizeof(h->lane.cluster), "moving");
	rc = lade_pipe_lane_claim(e, &h->lane);
	if (rc == 0 && moving.group_keeps)
		rc = moving_ask_group(l, &from);
	else
		from = h->lane.stored.next_offset;
	if (rc < 0 || h->lane.assigned || h->leaving)
		return rc;
	h->at = moving_first(from);
	h->given = 0;
	h->stolen = false;
	lade_pipe_lane_begin(e, &h->lane, from);
	return 0;
}

static inline void moving_lost(struct lade_pipe_engine *e, struct held_lane *h)
{
	moving_let_go(e, h);
	h->ours = h->leaving = h->stolen = false;
}

static inline int moving_upset(struct lade_pipe_engine *e, int l, enum upset upset)
{
	struct held_lane *h = &moving.held[l];

	if (upset == UPSET_NONE || !h->lane.assigned || h->leaving)
		return 0;
	moving.upsets[upset]++;
	switch (upset) {
	case UPSET_BOUNCE:
		moving_lost(e, h);
		return moving_take(e, l);
	case UPSET_LOSE:
		moving_to_another(l);
		moving_lost(e, h);
		return 0;
	case UPSET_REVOKE:
		h->leaving = true;
		lade_pipe_lane_pause(&h->lane);
		lade_event_set(&e->lane_moved);
		lade_event_set(&moving.revoked);
		return 0;
	default:
		moving_to_another(l);
		h->stolen = true;
		h->away = 0;
		return 0;
	}
}

/* A lane that was let go comes back after a while; of one that is another's the group says so. */
static inline int moving_settle(struct lade_pipe_engine *e, int l)
{
	struct held_lane *h = &moving.held[l];

	moving_by_another(l);
	if (h->leaving || (h->lane.assigned && !h->stolen) || ++h->away < moving.away_ticks)
		return 0;
	if (h->lane.assigned)
		moving_lost(e, h);
	return moving.kept[l].owed ? 0 : moving_take(e, l);
}

/* The explorer looks at so many states of one call at most, and there are many: one in eight is of
 * another call. */
static inline int moving_wait(uint32_t tick)
{
	switch (tick % 8) {
	case 0:
		return MOVING_TAKE_TIME(moving.tick_us);
	case 1:
		return MOVING_TAKE_TIME(moving.tick_us);
	case 2:
		return MOVING_TAKE_TIME(moving.tick_us);
	case 3:
		return MOVING_TAKE_TIME(moving.tick_us);
	case 4:
		return MOVING_TAKE_TIME(moving.tick_us);
	case 5:
		return MOVING_TAKE_TIME(moving.tick_us);
	case 6:
		return MOVING_TAKE_TIME(moving.tick_us);
	default:
		return MOVING_TAKE_TIME(moving.tick_us);
	}
}

/* A tick, in a deadline for each upset.  Returns -ETIME: one has passed, that of moving.struck. */
static inline int moving_tick(enum upset upset, uint32_t tick)
{
	int rc;

	if (upset == UPSETS)
		return moving_wait(tick);
	rc = lade_within(lade_s(3600), moving_tick(upset + 1, tick));
	if (rc == -ETIME && !moving.struck)
		moving.struck = upset;
	return rc;
}

static inline int moving_take_all(struct lade_pipe_engine *e)
{
	int rc = 0;

	for (int l = 0; rc == 0 && l < MOVING_LANES; l++)
		rc = moving_take(e, l);
	return rc;
}

static inline int moving_pump(struct lade_pipe_engine *e)
{
	int rc = moving_take_all(e);

	for (uint32_t tick = 1; rc == 0; tick++) {
		lade_event_set(&moving.filled);
		moving.struck = UPSET_NONE;
		rc = moving_tick(UPSET_NONE + 1, tick);
		if (rc < 0 && rc != -ETIME)
			break;
		rc = 0;
		for (int l = 0; rc == 0 && l < MOVING_LANES; l++) {
			rc = moving_settle(e, l);
			if (rc == 0)
				rc = moving_upset(e, l, moving.struck ? moving.struck
								      : moving.plan(tick, l));
		}
	}
	return rc;
}
LADE_TASK_VOID(moving_pump, (struct lade_pipe_engine *, e))

static inline int64_t moving_leaving_in_flight(void)
{
	int64_t n = 0;

	for (int l = 0; l < MOVING_LANES; l++)
		n += moving.held[l].leaving ? moving.held[l].lane.in_flight : 0;
	return n;
}

static inline int moving_wait_drained(struct lade_pipe_engine *e)
{
	int rc = 0;

	while (rc == 0 && moving_leaving_in_flight()) {
		lade_event_clear(&e->lane_moved);
		rc = lade_event_wait(&e->lane_moved);
	}
	return rc;
}

/* What is under way of lanes that leave is finished, or too late for that, and they are gone. */
static inline int moving_give_back(struct lade_pipe_engine *e)
{
	int rc;

	for (;;) {
		rc = lade_event_wait(&moving.revoked);
		if (rc < 0)
			return rc;
		lade_event_clear(&moving.revoked);
		rc = lade_within(lade_ns(e->config->drain_timeout_ns), moving_wait_drained(e));
		if (rc == -ECANCELED)
			return rc;
		for (int l = 0; l < MOVING_LANES; l++) {
			if (!moving.held[l].leaving)
				continue;
			moving_lost(e, &moving.held[l]);
			moving_to_another(l);
		}
	}
}
LADE_TASK_VOID(moving_give_back, (struct lade_pipe_engine *, e))

/* Its stream */

static inline bool moving_can_read(const struct held_lane *h)
{
	return h->lane.assigned && !h->lane.paused && h->at < moving.messages &&
	       h->lane.in_flight + (int64_t)(h->given - h->lane.taken) <
		       h->lane.in_flight_max + MOVING_SLACK;
}

static inline void moving_read(struct held_lane *h, struct lade_pipe_raw *ret)
{
	char *text = moving.texts[h->lane.part][h->at];
	int len = snprintf(text, sizeof(moving.texts[0][0]), "{\"id\":%d}", (int)h->at);

	*ret = (struct lade_pipe_raw){ .line = { .text = text,
						 .len = (uint32_t)len,
						 .ended = true,
						 .offset = moving_offset(h->at),
						 .next_offset = moving_offset(h->at) + 1 },
				       .lane = &h->lane,
				       .epoch = h->lane.epoch };
	h->at += !moving.stutter || ++moving.reads != moving.stutter;
	h->given++;
}

static inline int moving_try_next(void *self, void *ret_item)
{
	struct lade_pipe_engine *e = self;

	/* Not lade_stopping(): that is also true inside a batch's deadline that has passed. */
	if (e->stop_reading.set || e->failed || moving_ended())
		return 0;
	for (int n = 0; n < MOVING_LANES; n++) {
		struct held_lane *h = &moving.held[moving.turn++ % MOVING_LANES];

		if (!moving_can_read(h))
			continue;
		moving_read(h, ret_item);
		return 1;
	}
	return -EAGAIN;
}

static inline int moving_next(void *self, void *ret_item)
{
	int rc;

	while ((rc = moving_try_next(self, ret_item)) == -EAGAIN) {
		lade_event_clear(&moving.filled);
		rc = lade_event_wait(&moving.filled);
		if (rc < 0)
			return rc;
	}
	return rc;
}

static inline void moving_stream_close(void *self)
{
	(void)self;
}

static const struct lade_source moving_stream = { moving_next, moving_try_next,
						  moving_stream_close };

/* The source's table */

static inline int moving_open(struct lade_pipe_engine *e)
{
	static const char *const names[MOVING_LANES] = { "moving/0", "moving/1" };

	e->stats.bytes_total = -1;
	moving.engine = e;
	moving.turn = moving.writes = moving.tries = 0;
	lade_event_init(&moving.filled);
	lade_event_init(&moving.revoked);
	for (int l = 0; l < MOVING_LANES; l++) {
		struct held_lane *h = &moving.held[l];

		*h = (struct held_lane){ .ours = false };
		lade_pipe_lane_init(&h->lane, "moving", l, e->config->in_flight_max);
		h->lane.name = names[l];
		h->lane.self = h;
	}
	return 0;
}

static inline int moving_start(struct lade_pipe_engine *e, struct lade_scope *scope,
			       struct lade_pipe_raw_stream **ret)
{
	static struct moving_pump_task pump;
	static struct moving_give_back_task give_back;

	pump = moving_pump_task(e);
	give_back = moving_give_back_task(e);
	lade_start_daemon(scope, &pump);
	lade_start_daemon(scope, &give_back);
	*ret = lade_pipe_raw_stream_of(&moving_stream, e);
	return 0;
}

/* What is acknowledged is kept; of a lane that another has taken we do not know it yet. */
static inline void moving_moved(struct lade_pipe_engine *e, struct lade_pipe_lane *lane)
{
	(void)e;
	if (!lade_pipe_lane_sane(lane))
		moving_broken("lane %d is not sane", (int)lane->part);
	if (lane->assigned && lane->commit_offset > moving.kept[lane->part].next)
		moving_broken("%d of lane %d is acknowledged, and %d is kept",
			      (int)lane->commit_offset, (int)lane->part,
			      (int)moving.kept[lane->part].next);
}

/* As the source of Kafka does it. */
static inline int moving_rewind(struct lade_pipe_engine *e, struct lade_pipe_lane *lane)
{
	struct held_lane *h = lane->self;
	int64_t from = lane->commit_offset;
	int rc;

	if (lane->fenced || !h->ours || h->leaving) {
		moving_let_go(e, h);
		return 0;
	}
	rc = lade_pipe_lane_look(e, lane);
	if (rc == -ESTALE) {
		moving_let_go(e, h);
		return 0;
	}
	if (rc < 0)
		return rc;
	if (lane->stored.next_offset > 0)
		from = lane->stored.next_offset;
	lade_pipe_lane_assign(lane, from);
	h->at = moving_first(from);
	h->given = 0;
	if (!h->ours)
		moving_let_go(e, h);
	lade_event_set(&e->lane_moved);
	return 0;
}

static inline void moving_close(struct lade_pipe_engine *e)
{
	for (int l = 0; l < MOVING_LANES; l++)
		lade_pipe_lane_end(e, &moving.held[l].lane);
}

static const struct lade_pipe_source_ops moving_source = {
	.open = moving_open,
	.moved = moving_moved,
	.rewind = moving_rewind,
	.start = moving_start,
	.close = moving_close,
};

/* A step that rejects one message, and wants another one again, if there are such */

static inline int moving_step_open(struct lade_pipe_stage *stage, struct lade_pipe_shape *in)
{
	stage->out = in;
	return 0;
}

static inline int moving_process(struct lade_pipe_stage *stage, struct lade_pipe_batch *b,
				 const uint32_t *index, uint32_t n)
{
	int rc = MOVING_TAKE_TIME(moving.step_us);

	for (uint32_t j = 0; rc == 0 && j < n; j++) {
		const struct lade_pipe_message *m = &b->messages[index[j]];

		if (m->lane->part == 1 && m->offset / 2 == moving.rejected)
			lade_pipe_reject(b, index[j], stage->config->name, "it is bad");
		if (m->lane->part == 0 && m->offset / 2 == moving.again && moving.tries++ < 2)
			lade_pipe_retry(b, index[j], "again");
	}
	return rc;
}

static inline void moving_step_close(struct lade_pipe_stage *stage)
{
	(void)stage;
}

static const struct lade_pipe_step_ops moving_step = { moving_step_open, moving_process,
						       moving_step_close };

/* A sink that keeps rows, dead letters and offsets, and moves all of them or none: as PostgreSQL */

static inline int moving_fence_open(struct lade_pipe_outlet *outlet, struct lade_pipe_shape *shape)
{
	(void)shape;
	if (outlet->ops->claim && outlet->engine->config->errors.dead_kind == LADE_DEAD_TABLE)
		outlet->engine->letters_in = outlet;
	return 0;
}

/* A claim takes its time, and is under way while others want to write. */
static inline int moving_claim(struct lade_pipe_outlet *outlet, struct lade_pipe_lane *lane)
{
	struct kept_lane *s = &moving.kept[lane->part];
	int rc;

	(void)outlet;
	if (!s->ours)
		moving_broken("lane %d is claimed by who does not have it", (int)lane->part);
	rc = MOVING_TAKE_TIME(moving.claim_us);
	if (rc < 0)
		return rc;
	s->epoch++;
	lane->stored = (struct lade_pipe_stored){ .next_offset = s->next, .epoch = s->epoch };
	return 0;
}

static inline int moving_look(struct lade_pipe_outlet *outlet, struct lade_pipe_lane *lane)
{
	const struct kept_lane *s = &moving.kept[lane->part];
	int rc = MOVING_TAKE_TIME(moving.claim_us);

	(void)outlet;
	if (rc < 0)
		return rc;
	if (s->epoch != lane->stored.epoch)
		return -ESTALE;
	lane->stored.next_offset = s->next;
	return 0;
}

/* Whether all lanes are where whoever writes has left them, and its. */
static inline int moving_check_fence(const struct lade_pipe_move *moves, uint32_t n,
				     const struct lade_pipe_stored *was)
{
	int rc = 0;

	for (uint32_t i = 0; i < n; i++) {
		const struct kept_lane *s = &moving.kept[moves[i].lane->part];

		if (was[i].epoch == s->epoch && was[i].next_offset == s->next)
			continue;
		moves[i].lane->fenced |= was[i].epoch != s->epoch;
		moving.fenced++;
		rc = -ESTALE;
	}
	return rc;
}

static inline void moving_commit(struct lade_pipe_batch *const *batches, uint32_t n,
				 const struct lade_pipe_move *moves, uint32_t n_moves)
{
	for (uint32_t k = 0; k < n; k++)
		moving_put_batch(batches[k], LADE_VERDICT_OK, moving_put);
	for (uint32_t k = 0; k < n; k++)
		moving_put_batch(batches[k], LADE_VERDICT_REJECT, moving_put);
	for (uint32_t i = 0; i < n_moves; i++)
		moving.kept[moves[i].lane->part].next = moves[i].to;
	for (uint32_t i = 0; i < n_moves; i++)
		moving_check(moves[i].lane->part);
}

/* What a write goes by stays until it has ended: a claim of the lane waits for that. */
static inline void moving_check_stored(const struct lade_pipe_move *moves, uint32_t n,
				       const struct lade_pipe_stored *was)
{
	for (uint32_t i = 0; i < n; i++) {
		const struct lade_pipe_stored *is = &moves[i].lane->stored;

		if (is->epoch != was[i].epoch || is->next_offset != was[i].next_offset)
			moving_broken("lane %d is claimed while it is written",
				      (int)moves[i].lane->part);
	}
}

/* A write is decided half-way; then its answer comes. */
static inline int moving_write(struct lade_pipe_outlet *outlet,
			       struct lade_pipe_batch *const *batches, uint32_t n,
			       const struct lade_pipe_move *moves, uint32_t n_moves)
{
	struct lade_pipe_stored was[MOVING_LANES];
	int rc;

	(void)outlet;
	for (uint32_t i = 0; i < n_moves; i++)
		was[i] = moves[i].lane->stored;
	rc = MOVING_TAKE_TIME(moving.write_us / 2);
	if (rc < 0)
		return rc;
	if (moving.failing && ++moving.writes % moving.failing == 0)
		return -EAGAIN;
	rc = moving_check_fence(moves, n_moves, was);
	if (rc < 0)
		return rc;
	moving_commit(batches, n, moves, n_moves);
	rc = MOVING_TAKE_TIME(moving.write_us - moving.write_us / 2);
	moving_check_stored(moves, n_moves, was);
	for (uint32_t i = 0; rc == 0 && i < n_moves; i++)
		moves[i].lane->stored.next_offset = moves[i].to;
	return rc;
}

static inline void moving_fence_close(struct lade_pipe_outlet *outlet)
{
	(void)outlet;
}

static const struct lade_pipe_sink_ops moving_fence = { .open = moving_fence_open,
							.claim = moving_claim,
							.look = moving_look,
							.write = moving_write,
							.close = moving_fence_close };

/* A sink that keeps no offsets: a message may come again, but none is left out */

static inline void moving_put_plain(int64_t lane, int64_t message, bool letter)
{
	moving.kept[lane].plain[message] |= !letter;
}

static inline int moving_plain_write(struct lade_pipe_outlet *outlet,
				     struct lade_pipe_batch *const *batches, uint32_t n,
				     const struct lade_pipe_move *moves, uint32_t n_moves)
{
	int rc = MOVING_TAKE_TIME(moving.claim_us);

	(void)outlet;
	(void)moves;
	(void)n_moves;
	for (uint32_t k = 0; rc == 0 && k < n; k++)
		moving_put_batch(batches[k], LADE_VERDICT_OK, moving_put_plain);
	return rc;
}

static const struct lade_pipe_sink_ops moving_plain = { .open = moving_fence_open,
							.write = moving_plain_write,
							.close = moving_fence_close };

/* The whole */

/* moving_begin - a world in which nothing is written yet. */
static inline void moving_begin(int64_t messages)
{
	memset(&moving, 0, sizeof(moving));
	moving.messages = messages;
	moving.rejected = moving.again = -1;
	for (int l = 0; l < MOVING_LANES; l++)
		moving.kept[l].last = -1;
}

/* moving_all_once - whether each message is in one place, once, and nothing else has happened.
 *
 * Returns 0, or -EBADMSG and what is wrong in moving.broken. */
static inline int moving_all_once(void)
{
	for (int l = 0; l < MOVING_LANES; l++)
		if (moving_first(moving.kept[l].next) != moving.messages)
			moving_broken("lane %d is left at offset %d", l, (int)moving.kept[l].next);
	if (moving.rejected >= 0 && moving.kept[1].letters[moving.rejected] != 1)
		moving_broken("the message that was rejected is among the dead letters %d times",
			      moving.kept[1].letters[moving.rejected]);
	return *moving.broken ? -EBADMSG : 0;
}

#endif
