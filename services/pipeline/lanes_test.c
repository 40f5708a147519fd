/* SPDX-License-Identifier: MIT */
/* lanes_test.c - several lanes that are lost, given back and fenced at any moment, each by itself,
 * while batches that have messages of all of them are enriched and written.
 *
 * DESIGN
 * A world with a source of LANES lanes, a step that takes its time and a sink that keeps offsets
 * as a table of them does: a write moves all its lanes or none, and none that was claimed since.
 * The k-th message of lane l is number k * LANES + l; each must be written once, in its lane's
 * order. */

#include "services/pipeline/engine.h"

#include "run.h"

#define LANES 4
#define EACH 150 /* messages of a lane */
#define GAP 10

struct moving {
	struct lade_pipe_lane lane;	/* the first member */
	struct lade_pipe_stored kept;	/* what the sink has */
	int64_t at;			/* the next message that is read */
	int64_t last;			/* that was written */
	bool ours;			/* the group says so */
	char name[8];
};

/* What happens in a run. */
struct plan {
	uint64_t seed;
	bool calm;			/* lanes do not come and go */
	bool another;			/* other processes claim lanes */
	unsigned retry;			/* one message in so many is to be tried again, by chance */
	int64_t stuck_ms;		/* as long message 5 of the first lane is */
	int64_t in_flight_max, memory_max; /* 0: 1,000 messages; no limit */
};

static struct world {
	struct lade_pipe_config *config;
	struct lade_pipe_engine *engine;
	struct moving lanes[LANES];
	unsigned written[LANES * EACH];
	char texts[LANES * EACH][24];
	uint64_t random;
	unsigned turn;			/* whose message is read next */
	struct plan plan;
	unsigned lost, revoked, fenced, rewound, retried;
	int64_t others_done_ms;		/* when all lanes but the first were written */
} w;

static uint64_t draw(uint64_t below)
{
	w.random = w.random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (w.random >> 33) % below;
}

static int take_time(int64_t most_us)
{
	return lade_sleep(lade_us(1 + (int64_t)draw((uint64_t)most_us)));
}

/* The source */

static bool is_done(void)
{
	for (int l = 0; l < LANES; l++)
		if (w.lanes[l].kept.next_offset < EACH * GAP)
			return false;
	return true;
}

static int source_try_next(void *self, void *ret_item)
{
	struct lade_pipe_raw *raw = ret_item;

	(void)self;
	if (w.engine->failed || is_done())
		return 0;
	for (int tries = 0; tries < LANES; tries++) {
		struct moving *m = &w.lanes[w.turn++ % LANES];
		int64_t number = m->at * LANES + (m - w.lanes);

		if (m->at >= EACH || !m->lane.assigned || m->lane.paused)
			continue;
		snprintf(w.texts[number], sizeof(w.texts[0]), "{\"id\":%d}", (int)number);
		*raw = (struct lade_pipe_raw){ .line = { .text = w.texts[number],
							 .len = (uint32_t)strlen(w.texts[number]),
							 .ended = true,
							 .offset = m->at * GAP,
							 .next_offset = (m->at + 1) * GAP },
					       .lane = &m->lane,
					       .epoch = m->lane.epoch };
		m->at++;
		return 1;
	}
	return -EAGAIN;
}

static int source_next(void *self, void *ret_item)
{
	int rc;

	while ((rc = source_try_next(self, ret_item)) == -EAGAIN) {
		rc = lade_sleep(lade_us(100));
		if (rc < 0)
			return rc;
	}
	return rc;
}

static void source_end(void *self)
{
	(void)self;
}

static const struct lade_source stream = { source_next, source_try_next, source_end };

static void let_go(struct moving *m)
{
	if (!m->lane.assigned)
		return;
	lade_pipe_lane_lose(&m->lane);
	lade_pipe_lane_unlist(w.engine, &m->lane);
	lade_event_set(&w.engine->lane_moved);
}

/* The lane is taken back, and drained first, if there is time. */
static int give_back(struct moving *m)
{
	struct lade_instant until = lade_in(lade_us(1 + (int64_t)draw(8000)));
	int rc = 0;

	w.revoked++;
	lade_pipe_lane_pause(&m->lane);
	lade_event_set(&w.engine->lane_moved);
	while (rc == 0 && m->lane.in_flight && lade_now().mono_ns < until.mono_ns)
		rc = lade_sleep(lade_us(100));
	return rc;
}

/* The group: lanes go and come back. */
static int rebalance(struct moving *m)
{
	int rc;

	while ((rc = take_time(20000)) == 0) {
		rc = draw(2) ? give_back(m) : 0;
		w.lost++;
		m->ours = false;
		let_go(m);
		m->kept.epoch += w.plan.another && draw(2);
		if (rc == 0 && draw(2))
			rc = take_time(500);
		m->ours = rc == 0;
		if (rc == 0)
			rc = lade_pipe_lane_claim(w.engine, &m->lane);
		if (rc < 0)
			return rc;
		m->at = m->lane.stored.next_offset / GAP;
		lade_pipe_lane_begin(w.engine, &m->lane, m->lane.stored.next_offset);
	}
	return rc;
}
LADE_TASK_VOID(rebalance, (struct moving *, m))

static int source_open(struct lade_pipe_engine *e)
{
	e->stats.bytes_total = -1;
	for (int l = 0; l < LANES; l++) {
		struct moving *m = &w.lanes[l];

		snprintf(m->name, sizeof(m->name), "t/%d", l);
		lade_pipe_lane_init(&m->lane, m->name, l, w.config->in_flight_max);
		m->lane.self = m;
		m->last = -1;
	}
	return 0;
}

static int source_start(struct lade_pipe_engine *e, struct lade_scope *scope,
			struct lade_pipe_raw_stream **ret)
{
	static struct rebalance_task tasks[LANES];

	for (int l = 0; l < LANES; l++) {
		int rc = lade_pipe_lane_claim(e, &w.lanes[l].lane);

		if (rc < 0)
			return rc;
		w.lanes[l].ours = true;
		lade_pipe_lane_begin(e, &w.lanes[l].lane, 0);
		tasks[l] = rebalance_task(&w.lanes[l]);
		if (!w.plan.calm)
			lade_start_daemon(scope, &tasks[l]);
	}
	*ret = lade_pipe_raw_stream_of(&stream, &w);
	return 0;
}

/* As source_kafka.c has it. */
static int source_rewind(struct lade_pipe_engine *e, struct lade_pipe_lane *lane)
{
	struct moving *m = lane->self;
	int rc;

	w.rewound++;
	if (lane->fenced || !m->ours || lane->paused) {
		let_go(m);
		return 0;
	}
	rc = lade_pipe_lane_look(e, lane);
	if (rc == -ESTALE) {
		let_go(m);
		return 0;
	}
	if (rc < 0)
		return rc;
	lade_pipe_lane_assign(lane, lane->stored.next_offset);
	m->at = lane->stored.next_offset / GAP;
	if (!m->ours)
		let_go(m);
	lade_event_set(&e->lane_moved);
	return 0;
}

static void source_close(struct lade_pipe_engine *e)
{
	for (int l = 0; l < LANES; l++)
		lade_pipe_lane_end(e, &w.lanes[l].lane);
}

static const struct lade_pipe_source_ops lanes_source = {
	.open = source_open,
	.rewind = source_rewind,
	.start = source_start,
	.close = source_close,
};

/* The step and the sink */

static int step_open(struct lade_pipe_stage *stage, struct lade_pipe_shape *in)
{
	stage->out = in;
	return 0;
}

static int step_process(struct lade_pipe_stage *stage, struct lade_pipe_batch *b,
			const uint32_t *index, uint32_t n)
{
	int rc = take_time(2000);

	(void)stage;
	for (uint32_t j = 0; rc == 0 && j < n; j++) {
		const struct lade_pipe_message *m = &b->messages[index[j]];

		if ((w.plan.retry && draw(w.plan.retry) == 0) ||
		    (m->lane->part == 0 && m->offset == 5 * GAP && now_ms() < w.plan.stuck_ms)) {
			lade_pipe_retry(b, index[j], "again");
			w.retried++;
		}
	}
	return rc;
}

static void step_close(struct lade_pipe_stage *stage)
{
	(void)stage;
}

static const struct lade_pipe_step_ops step = { step_open, step_process, step_close };

static int sink_open(struct lade_pipe_outlet *outlet, struct lade_pipe_shape *shape)
{
	(void)outlet;
	(void)shape;
	return 0;
}

static int sink_claim(struct lade_pipe_outlet *outlet, struct lade_pipe_lane *lane)
{
	struct moving *m = lane->self;
	int rc = take_time(1000);

	(void)outlet;
	if (rc < 0)
		return rc;
	m->kept.epoch++;
	lane->stored = m->kept;
	return 0;
}

static int sink_look(struct lade_pipe_outlet *outlet, struct lade_pipe_lane *lane)
{
	struct moving *m = lane->self;
	int rc = take_time(1000);

	(void)outlet;
	if (rc < 0)
		return rc;
	if (m->kept.epoch != lane->stored.epoch)
		return -ESTALE;
	lane->stored.next_offset = m->kept.next_offset;
	return 0;
}

static bool are_others_done(void)
{
	for (int l = 1; l < LANES; l++)
		if (w.lanes[l].last < EACH - 1)
			return false;
	return true;
}

static void put(const struct lade_pipe_batch *b)
{
	for (uint32_t i = 0; i < b->n; i++) {
		const struct lade_pipe_message *message = &b->messages[i];
		struct moving *m = message->lane->self;
		int64_t k = message->offset / GAP;

		CHECK_EQ(k, m->last + 1); /* none is left out, doubled or overtaken */
		m->last = k;
		if (are_others_done() && !w.others_done_ms)
			w.others_done_ms = now_ms();
		w.written[k * LANES + (m - w.lanes)]++;
	}
}

static int sink_write(struct lade_pipe_outlet *outlet, struct lade_pipe_batch *const *batches,
		      uint32_t n, const struct lade_pipe_move *moves, uint32_t n_moves)
{
	bool fenced = false;
	int rc = take_time(2000);

	(void)outlet;
	if (rc < 0)
		return rc;
	if (draw(9) == 0)
		return -EAGAIN;
	for (uint32_t i = 0; i < n_moves; i++) {
		struct moving *m = moves[i].lane->self;

		if (m->kept.epoch != m->lane.stored.epoch) {
			m->lane.fenced = true;
			fenced = true;
		} else {
			CHECK_EQ(m->kept.next_offset, m->lane.stored.next_offset);
			CHECK_EQ(moves[i].from, m->kept.next_offset);
		}
	}
	if (fenced) {
		w.fenced++;
		return -ESTALE;
	}
	for (uint32_t i = 0; i < n_moves; i++) {
		struct moving *m = moves[i].lane->self;

		m->lane.stored.next_offset = m->kept.next_offset = moves[i].to;
	}
	for (uint32_t k = 0; k < n; k++)
		put(batches[k]);
	return 0;
}

static void sink_close(struct lade_pipe_outlet *outlet)
{
	(void)outlet;
}

static const struct lade_pipe_sink_ops sink = { .open = sink_open, .claim = sink_claim,
						.look = sink_look, .write = sink_write,
						.close = sink_close };

static const struct lade_pipe_parts parts = { .source = &lanes_source,
					      .steps = { [LADE_STEP_SQL] = &step },
					      .sinks = { [LADE_SINK_SQLITE] = &sink } };

static void run_lanes(struct plan plan)
{
	struct lade_pipe_config *c = lade_pipe_config_new();
	FILE *log = fopen("/dev/null", "w");
	unsigned before[] = { w.lost, w.revoked, w.fenced, w.rewound, w.retried };

	memset(&w, 0, sizeof(w));
	w.lost = before[0];
	w.revoked = before[1];
	w.fenced = before[2];
	w.rewound = before[3];
	w.retried = before[4];
	w.config = c;
	w.plan = plan;
	w.random = plan.seed;
	if (plan.stuck_ms)
		w.plan.stuck_ms += now_ms();
	c->name = "lanes";
	c->source.kind = LADE_SOURCE_STDIN;
	c->batch = (struct lade_pipe_batching){ .messages_max = 10, .linger_ns = 1000000,
						.ahead = 2 };
	c->order = LADE_ORDER_PARTITION;
	c->concurrency = 3;
	c->n_steps = 2;
	c->steps[0] = (struct lade_pipe_step){ .name = "one", .kind = LADE_STEP_SQL };
	c->steps[1] = (struct lade_pipe_step){ .name = "two", .kind = LADE_STEP_SQL };
	c->n_sinks = 1;
	c->sinks[0].kind = LADE_SINK_SQLITE;
	c->delivery = LADE_EXACTLY_ONCE;
	c->errors = (struct lade_pipe_errors){ .attempts_max = 1000,
					       .backoff_min_ns = 100000,
					       .backoff_max_ns = 10000000,
					       .reject_rate_max = 10000 };
	c->shutdown_timeout_ns = INT64_C(25000000000);
	c->in_flight_max = plan.in_flight_max ? plan.in_flight_max : 1000;
	c->memory_bytes_max = plan.memory_max;
	c->transaction_max = 40;
	w.engine = lade_pipe_engine_new(c, &parts, log);
	CHECK_EQ(lade_within(lade_s(3600), lade_pipe_engine_run(w.engine)), 0);
	CHECK_EQ(w.engine->exit, LADE_EXIT_DONE);
	CHECK_EQ(w.engine->stats.rejected, 0);
	CHECK_EQ(w.engine->bytes, 0);
	CHECK(!w.engine->oldest);
	for (int i = 0; i < LANES * EACH; i++)
		CHECK_EQ(w.written[i], 1);
	lade_pipe_engine_free(w.engine);
	lade_pipe_config_free(c);
	fclose(log);
}

IN_TASK(lanes_that_come_and_go_each_by_itself_are_written_once_and_in_order)
{
	for (uint64_t seed = 1; seed <= 20; seed++)
		run_lanes((struct plan){ .seed = seed });
	CHECK(w.lost > 150);
	CHECK(w.revoked > 60);
	CHECK(w.rewound > 30);
}

IN_TASK(lanes_that_others_claim_meanwhile_are_written_once_and_in_order)
{
	for (uint64_t seed = 1; seed <= 20; seed++)
		run_lanes((struct plan){ .seed = seed, .another = true });
	CHECK(w.fenced > 3);
}

IN_TASK(so_they_are_where_batches_wait_for_room_and_memory)
{
	for (uint64_t seed = 1; seed <= 20; seed++)
		run_lanes((struct plan){ .seed = seed, .another = seed % 2, .in_flight_max = 12,
					 .memory_max = 300 });
}

IN_TASK(so_they_are_where_messages_are_tried_again)
{
	for (uint64_t seed = 1; seed <= 45; seed++)
		run_lanes((struct plan){ .seed = seed, .another = seed % 2, .retry = 2 + seed % 9,
					 .calm = seed % 5 == 0,
					 .in_flight_max = seed % 3 ? 0 : 12,
					 .memory_max = seed % 3 ? 0 : 300 });
	CHECK(w.retried > 400);
}

IN_TASK(while_a_lane_is_tried_again_the_others_go_on_to_their_end)
{
	for (uint64_t seed = 1; seed <= 5; seed++) {
		int64_t began_ms = now_ms();

		run_lanes((struct plan){ .seed = seed, .calm = true, .stuck_ms = 600000 });
		CHECK(w.others_done_ms > 0);
		CHECK(w.others_done_ms - began_ms < 60000);
		CHECK(now_ms() - began_ms >= 600000);
	}
}

int main(void)
{
	TAP(lanes_that_come_and_go_each_by_itself_are_written_once_and_in_order);
	TAP(lanes_that_others_claim_meanwhile_are_written_once_and_in_order);
	TAP(so_they_are_where_batches_wait_for_room_and_memory);
	TAP(so_they_are_where_messages_are_tried_again);
	TAP(while_a_lane_is_tried_again_the_others_go_on_to_their_end);
	return tap_done();
}
