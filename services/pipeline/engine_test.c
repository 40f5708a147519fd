/* SPDX-License-Identifier: MIT */
/* engine_test.c - the engine between a source, steps and sinks that are made to fail.
 *
 * DESIGN
 * A world is a pipeline of generated parts on the virtual clock, and a book: what became of each
 * message. The parts fail by a plan: every n-th call in one way, some messages for ever. Every call
 * checks what must hold at all times; the end of a run checks the rest. Message k has the offset
 * 10 k: offsets have gaps. */

#include "services/pipeline/engine.h"

#include "moving_lanes.h"
#include "run.h"

#define MESSAGES_MAX 2000
#define SINKS 2
#define STEPS 2
#define GAP 10
#define KEYS_MAX 64

/* What may be done to a message, once. */
struct page {
	uint8_t written[SINKS]; /* by each sink */
	uint8_t letters;	/* dead letters */
	uint8_t dropped;	/* left out by a step */
	int64_t written_ms;	/* when, by the first sink */
};

/* Faults: each every so many calls; 0: never. */
struct faults {
	unsigned again, blame, person; /* the whole call: -EAGAIN, -EBADMSG, -EIO */
	unsigned retry;		       /* one message in so many, by chance, is to be tried again */
	bool verdicts;		       /* some messages are rejected or dropped for ever */
	bool poison;		       /* some messages make any call with them fail: -EBADMSG */
};

static struct world {
	struct lade_pipe_config *config;
	struct lade_pipe_engine *engine; /* of the present run */
	struct page pages[MESSAGES_MAX];
	struct faults step, sink;
	int64_t messages;	/* that the source has */
	int64_t source_us;	/* from one to the next; 0: all are there */
	int64_t read;		/* messages that the source gave, this run */
	int64_t step_us, sink_us; /* longest time of a call */
	int64_t checked;	/* messages before it are known to be finished */
	int64_t last[SINKS];	/* latest message of each sink, this run */
	int64_t in_flight;	/* the most that was seen */
	struct lade_pipe_lane lane; /* the source's */
	struct lade_pipe_stored kept; /* what the sink that keeps offsets has */
	unsigned step_calls, sink_calls;
	uint64_t random;
	bool cancelled;		/* hard: nothing may be written any more */
	bool in_order;		/* sinks must see messages in order */
	unsigned keys;		/* those of one key must; 0: messages have none */
	int64_t last_of[SINKS][KEYS_MAX]; /* behind the latest of each */
	unsigned overtaken;	/* messages that came behind later ones */
	int open;		/* parts that are open */
} w;

static uint64_t draw(uint64_t below)
{
	w.random = w.random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (w.random >> 33) % below;
}

static int64_t id_of(const struct lade_pipe_message *m)
{
	return m->offset / GAP;
}

/* Some come again at once, some after a long time. */
static int64_t key_of(int64_t id) { return (id * 7 + id / 11) % w.keys; }

static bool is_rejected_by_step(int64_t id) { return id % 13 == 5; }
static bool is_dropped(int64_t id) { return id % 17 == 3; }
static bool is_poison(int64_t id) { return id % 29 == 7; }
static bool is_refused_by_sink(int64_t id) { return id % 31 == 9; }

static bool is_finished(const struct page *p)
{
	bool written = p->written[0];

	for (int i = 1; i < w.config->n_sinks; i++)
		written &= p->written[i] != 0;
	return p->letters || p->dropped || written;
}

/* What holds at any moment of a run. */
static void check_now(void)
{
	const struct lade_pipe_lane *lane = &w.lane;

	CHECK(lade_pipe_lane_sane(lane));
	CHECK(lane->in_flight <= w.config->in_flight_max);
	if (lane->in_flight > w.in_flight)
		w.in_flight = lane->in_flight;
	for (; w.checked * GAP < lane->commit_offset; w.checked++)
		CHECK(is_finished(&w.pages[w.checked]));
}

/* The fault of a whole call, or 0. */
static int fault_of(const struct faults *f, unsigned call)
{
	if (f->again && call % f->again == 0)
		return -EAGAIN;
	if (f->blame && call % f->blame == 0)
		return -EBADMSG;
	return f->person && call % f->person == 0 ? -EIO : 0;
}

static int take_time(int64_t most_us)
{
	return lade_sleep(lade_us(1 + (int64_t)draw((uint64_t)most_us)));
}

/* The source */

struct numbers {
	int64_t at, due_ns;
	char texts[MESSAGES_MAX][24];
	char slack[LADE_LINE_SLACK];
};

static int numbers_try_next(void *self, void *ret_item)
{
	struct numbers *n = self;
	struct lade_pipe_raw *raw = ret_item;
	struct lade_line *line = &raw->line;

	if (lade_stopping() || w.engine->failed || n->at >= w.messages)
		return 0;
	if (lade_now().mono_ns < n->due_ns)
		return -EAGAIN;
	if (w.keys)
		snprintf(n->texts[n->at], sizeof(n->texts[0]), "{\"key\":\"%d\"}",
			 (int)key_of(n->at));
	else
		snprintf(n->texts[n->at], sizeof(n->texts[0]), "{\"id\":%d}", (int)n->at);
	*line = (struct lade_line){ .text = n->texts[n->at],
				    .len = (uint32_t)strlen(n->texts[n->at]),
				    .ended = true,
				    .number = (uint64_t)n->at + 1,
				    .offset = n->at * GAP,
				    .next_offset = (n->at + 1) * GAP };
	*raw = (struct lade_pipe_raw){ .line = raw->line, .lane = &w.lane };
	n->at++;
	w.read++;
	if (w.source_us)
		n->due_ns = lade_now().mono_ns + (int64_t)draw((uint64_t)w.source_us * 2000);
	return 1;
}

static int numbers_next(void *self, void *ret_item)
{
	struct numbers *n = self;
	int rc;

	while ((rc = numbers_try_next(self, ret_item)) == -EAGAIN) {
		int which = lade_select(lade_at((struct lade_instant){ n->due_ns }),
					lade_on_stopping());

		if (which < 0)
			return which;
	}
	return rc;
}

static const struct lade_source numbers_source = { numbers_next, numbers_try_next, free };

static int source_open(struct lade_pipe_engine *e)
{
	e->stats.bytes_total = -1;
	lade_pipe_lane_init(&w.lane, "numbers", 0, w.config->in_flight_max);
	w.open++;
	return 0;
}

static int source_identify(struct lade_pipe_engine *e, struct lade_pipe_lane *lane, int64_t offset)
{
	(void)e;
	(void)offset;
	CHECK(lane == &w.lane);
	snprintf(lane->cluster, sizeof(lane->cluster), "numbers");
	return 0;
}

static int source_start(struct lade_pipe_engine *e, struct lade_scope *scope,
			struct lade_pipe_raw_stream **ret)
{
	struct numbers *n = calloc(1, sizeof(*n));
	int rc;

	(void)scope;
	if (!n)
		return -ENOMEM;
	snprintf(w.lane.cluster, sizeof(w.lane.cluster), "numbers");
	rc = lade_pipe_lane_claim(e, &w.lane);
	if (rc < 0) {
		free(n);
		return rc;
	}
	if (w.lane.stored.next_offset)
		CHECK_STR(w.lane.stored.cluster, "numbers");
	lade_pipe_lane_begin(e, &w.lane, w.lane.stored.next_offset);
	n->at = w.lane.stored.next_offset / GAP;
	*ret = lade_pipe_raw_stream_of(&numbers_source, n);
	return 0;
}

static void source_close(struct lade_pipe_engine *e)
{
	lade_pipe_lane_end(e, &w.lane);
	w.open--;
}

static const struct lade_pipe_source_ops generated_source = {
	.open = source_open,
	.identify = source_identify,
	.start = source_start,
	.close = source_close,
};

/* Steps */

static int step_open(struct lade_pipe_stage *stage, struct lade_pipe_shape *in)
{
	stage->out = in;
	stage->self = &w;
	w.open++;
	return 0;
}

static void give_verdict(struct lade_pipe_stage *stage, struct lade_pipe_batch *b, uint32_t i)
{
	int64_t id = id_of(&b->messages[i]);
	bool first = stage == stage->engine->stages;

	if (w.step.retry && draw(w.step.retry) == 0) {
		lade_pipe_retry(b, i, "try %d again", (int)id);
	} else if (w.step.verdicts && first && is_rejected_by_step(id)) {
		lade_pipe_reject(b, i, stage->config->name, "%d is bad", (int)id);
	} else if (w.step.verdicts && !first && is_dropped(id)) {
		b->fates[i].verdict = LADE_VERDICT_DROP;
		w.pages[id].dropped++;
	}
}

static int step_process(struct lade_pipe_stage *stage, struct lade_pipe_batch *b,
			const uint32_t *index, uint32_t n)
{
	int rc;

	CHECK(stage->self);
	CHECK(n > 0);
	for (uint32_t j = 0; j < n; j++)
		CHECK_EQ(b->fates[index[j]].verdict, LADE_VERDICT_OK);
	check_now();
	rc = take_time(w.step_us);
	if (rc == 0)
		rc = fault_of(&w.step, ++w.step_calls);
	for (uint32_t j = 0; rc == 0 && w.step.poison && j < n; j++)
		if (is_poison(id_of(&b->messages[index[j]])))
			rc = -EBADMSG;
	if (rc < 0) {
		snprintf(stage->trouble, sizeof(stage->trouble), "a fault of the plan");
		return rc;
	}
	for (uint32_t j = 0; j < n; j++)
		give_verdict(stage, b, index[j]);
	return 0;
}

static void step_close(struct lade_pipe_stage *stage)
{
	CHECK(stage->self);
	stage->self = NULL;
	w.open--;
}

static const struct lade_pipe_step_ops generated_step = { step_open, step_process, step_close };

/* Sinks */

static int sink_open(struct lade_pipe_outlet *outlet, struct lade_pipe_shape *shape)
{
	(void)shape;
	outlet->self = &w;
	w.open++;
	if (outlet->ops->claim && w.config->errors.dead_kind == LADE_DEAD_TABLE)
		outlet->engine->letters_in = outlet;
	return 0;
}

static int sink_claim(struct lade_pipe_outlet *outlet, struct lade_pipe_lane *lane)
{
	CHECK(outlet == outlet->engine->keeper);
	CHECK_STR(lane->cluster, "numbers");
	lane->stored = w.kept;
	return 0;
}

static void put_letters(struct lade_pipe_batch *b)
{
	for (uint32_t i = 0; i < b->n; i++)
		if (b->fates[i].verdict == LADE_VERDICT_REJECT) {
			CHECK(*b->fates[i].reason);
			w.pages[id_of(&b->messages[i])].letters++;
		}
}

static void put_messages(int sink, struct lade_pipe_batch *b)
{
	for (uint32_t i = 0; i < b->n; i++) {
		int64_t id = id_of(&b->messages[i]);

		if (b->fates[i].verdict != LADE_VERDICT_OK)
			continue;
		CHECK(!w.in_order || id > w.last[sink]);
		w.overtaken += id < w.last[sink];
		w.last[sink] = id;
		if (w.keys) {
			CHECK(id >= w.last_of[sink][key_of(id)]);
			w.last_of[sink][key_of(id)] = id + 1;
		}
		w.pages[id].written[sink]++;
		if (sink == 0)
			w.pages[id].written_ms = now_ms();
	}
}

/* Messages that the sink cannot take.  Returns whether there are any. */
static bool refuse(struct lade_pipe_batch *b)
{
	bool any = false;

	for (uint32_t i = 0; i < b->n; i++) {
		if (b->fates[i].verdict != LADE_VERDICT_OK ||
		    !is_refused_by_sink(id_of(&b->messages[i])))
			continue;
		lade_pipe_reject(b, i, "sink", "there is no place for it");
		any = true;
	}
	return any;
}

static int sink_write(struct lade_pipe_outlet *outlet, struct lade_pipe_batch *const *batches,
		      uint32_t n, const struct lade_pipe_move *move, uint32_t n_moves)
{
	int sink = (int)(outlet - outlet->engine->outlets), rc;
	bool refused = false;

	CHECK(outlet->self);
	check_now();
	rc = take_time(w.sink_us);
	if (rc == 0)
		rc = fault_of(&w.sink, ++w.sink_calls);
	if (rc == -EBADMSG)
		rc = -EIO; /* a sink names its messages */
	if (rc < 0)
		return rc;
	CHECK(!w.cancelled);
	for (uint32_t k = 0; w.sink.verdicts && sink == SINKS - 1 && k < n; k++)
		refused |= refuse(batches[k]);
	if (refused && !lade_pipe_has_letters(outlet->engine))
		return -EBADMSG;
	for (uint32_t k = 0; k < n; k++) {
		put_messages(sink, batches[k]);
		if (outlet == outlet->engine->letters_in)
			put_letters(batches[k]);
	}
	if (n_moves) {
		CHECK_EQ(n_moves, 1);
		CHECK(move->to > w.kept.next_offset);
		w.kept.next_offset = move->to;
		snprintf(w.kept.cluster, sizeof(w.kept.cluster), "%s", move->lane->cluster);
		for (int64_t id = 0; id * GAP < move->to; id++)
			CHECK(is_finished(&w.pages[id]));
	}
	return 0;
}

static void sink_close(struct lade_pipe_outlet *outlet)
{
	CHECK(outlet->self);
	outlet->self = NULL;
	w.open--;
}

static int letters_write(struct lade_pipe_outlet *outlet, struct lade_pipe_batch *const *batches,
			 uint32_t n, const struct lade_pipe_move *move, uint32_t n_moves)
{
	int rc = take_time(w.sink_us);

	CHECK(!move && !n_moves);
	if (rc == 0)
		rc = fault_of(&w.sink, ++w.sink_calls);
	if (rc < 0)
		return rc == -EBADMSG ? -EIO : rc;
	CHECK(outlet->self && !w.cancelled);
	for (uint32_t k = 0; k < n; k++)
		put_letters(batches[k]);
	return 0;
}

static const struct lade_pipe_sink_ops generated_sink = { .open = sink_open, .write = sink_write,
							   .close = sink_close };
static const struct lade_pipe_sink_ops generated_keeper = { .open = sink_open, .claim = sink_claim,
							     .write = sink_write,
							     .close = sink_close };
static const struct lade_pipe_sink_ops generated_letters = { .open = sink_open,
							      .write = letters_write,
							      .close = sink_close };

/* The first kind of sink keeps offsets, the second does not. */
static const struct lade_pipe_parts generated = {
	.source = &generated_source,
	.steps = { [LADE_STEP_SQL] = &generated_step },
	.sinks = { [LADE_SINK_SQLITE] = &generated_keeper, [LADE_SINK_FILE] = &generated_sink },
	.letters = &generated_letters,
};

/* A world */

static void begin_world(int64_t messages)
{
	struct lade_pipe_config *c = lade_pipe_config_new();

	memset(&w, 0, sizeof(w));
	w.config = c;
	w.messages = messages;
	w.step_us = w.sink_us = 2000;
	w.random = 1;
	w.in_order = true;
	w.last[0] = w.last[1] = -1;
	c->name = "generated";
	c->source.kind = LADE_SOURCE_STDIN;
	c->batch = (struct lade_pipe_batching){ .messages_max = 10, .linger_ns = 1000000,
						.ahead = 2 };
	c->order = LADE_ORDER_PARTITION;
	c->concurrency = 3;
	c->n_steps = STEPS;
	c->steps[0] = (struct lade_pipe_step){ .name = "one", .kind = LADE_STEP_SQL };
	c->steps[1] = (struct lade_pipe_step){ .name = "two", .kind = LADE_STEP_SQL };
	c->n_sinks = SINKS;
	c->sinks[0].kind = c->sinks[1].kind = LADE_SINK_FILE;
	c->errors = (struct lade_pipe_errors){ .attempts_max = 5,
					       .backoff_min_ns = 100000,
					       .backoff_max_ns = 10000000,
					       .reject_rate_max = 10000,
					       .dead_kind = LADE_DEAD_FILE };
	c->shutdown_timeout_ns = INT64_C(25000000000);
	c->in_flight_max = 60;
	c->transaction_max = 40;
}

/* The last sink keeps the offsets and has the dead letters. */
static void keep_offsets(void)
{
	w.config->delivery = LADE_EXACTLY_ONCE;
	w.config->sinks[1].kind = LADE_SINK_SQLITE;
	w.config->errors.dead_kind = LADE_DEAD_TABLE;
}

static void end_world(void)
{
	CHECK_EQ(w.open, 0);
	lade_pipe_config_free(w.config);
}

static int run_engine(FILE *log)
{
	int rc;

	w.engine = lade_pipe_engine_new(w.config, &generated, log);
	if (!w.engine)
		return -ENOMEM;
	w.checked = w.kept.next_offset / GAP;
	w.read = 0;
	w.last[0] = w.last[1] = -1;
	/* No run may take an hour of virtual time: then it is stuck. */
	rc = lade_within(lade_s(3600), lade_pipe_engine_run(w.engine));
	CHECK(rc != -ETIME);
	return rc;
}
LADE_TASK_VOID(run_engine, (FILE *, log))

/* What a finished run leaves: every message that was read is finished, once. */
static void check_finished(int64_t messages)
{
	for (int64_t id = 0; id < messages; id++) {
		const struct page *p = &w.pages[id];
		int ends = p->letters + p->dropped + (p->letters ? 0 : p->written[SINKS - 1]);

		CHECK_EQ(ends, 1);
		CHECK(p->written[0] <= 1 && p->written[1] <= 1);
		CHECK(p->letters || p->dropped || p->written[0] == 1);
	}
	for (int64_t id = messages; id < MESSAGES_MAX; id++)
		CHECK(!w.pages[id].written[0] && !w.pages[id].letters);
}

static int dropped_pages(void)
{
	int n = 0;

	for (int64_t id = 0; id < MESSAGES_MAX; id++)
		n += w.pages[id].dropped;
	return n;
}

static void run_to_the_end(void)
{
	FILE *log = fopen("/dev/null", "w");
	const struct lade_pipe_stats *s;

	CHECK_EQ(run_engine(log), 0);
	s = &w.engine->stats;
	CHECK_EQ(w.engine->exit, LADE_EXIT_DONE);
	CHECK_EQ(w.lane.in_flight, 0);
	CHECK_EQ(s->in, w.messages);
	CHECK_EQ(s->out + s->dropped + s->rejected, s->in);
	CHECK_EQ(s->dropped, dropped_pages());
	check_finished(w.messages);
	w.engine = lade_pipe_engine_free(w.engine);
	fclose(log);
}

IN_TASK(a_pipeline_without_faults_finishes_every_message_once_and_in_order)
{
	begin_world(500);
	run_to_the_end();
	for (int64_t id = 0; id < 500; id++)
		CHECK_EQ(w.pages[id].written[0] + w.pages[id].written[1], 2);
	end_world();
}

/* Every kind of fault at every n-th call, for many n. */
static void with_faults(struct faults step, struct faults sink)
{
	for (unsigned mode = 0; mode < 4; mode++) {
		begin_world(300);
		if (mode & 1) {
			w.config->order = LADE_ORDER_NONE;
			w.in_order = false;
		}
		if (mode & 2)
			w.source_us = 200;
		w.random = mode + 1;
		w.step = step;
		w.sink = sink;
		run_to_the_end();
		end_world();
	}
}

IN_TASK(a_step_whose_every_nth_call_passes_fails_no_message)
{
	for (unsigned n = 2; n < 12; n++)
		with_faults((struct faults){ .again = n }, (struct faults){ 0 });
}

IN_TASK(a_step_whose_every_nth_call_blames_a_message_rejects_no_message_twice)
{
	for (unsigned n = 2; n < 12; n++)
		with_faults((struct faults){ .blame = n }, (struct faults){ 0 });
}

IN_TASK(a_step_whose_every_nth_call_is_for_a_person_waits)
{
	for (unsigned n = 2; n < 12; n++)
		with_faults((struct faults){ .person = n }, (struct faults){ 0 });
}

IN_TASK(messages_that_are_rejected_dropped_and_tried_again_are_each_finished_once)
{
	for (unsigned n = 2; n < 12; n++)
		with_faults((struct faults){ .verdicts = true, .retry = n }, (struct faults){ 0 });
}

/* Each message has one of a few keys, and those of one key must come out as they came in. */
IN_TASK(batches_come_as_they_are_done_but_those_of_one_key_in_their_order)
{
	unsigned overtaken = 0;

	for (unsigned seed = 1; seed < 40; seed++) {
		begin_world(300);
		w.config->order_key = ".key";
		w.config->batch.messages_max = 3;
		w.keys = seed % 2 ? 40 : 5;
		w.random = seed;
		w.step = (struct faults){ .again = seed % 3 ? 0 : 7 };
		w.in_order = false;
		run_to_the_end();
		overtaken += w.overtaken;
		end_world();
	}
	CHECK(overtaken > 100);
}

IN_TASK(sinks_that_fail_at_every_nth_call_get_every_message_once)
{
	for (unsigned n = 2; n < 12; n++) {
		with_faults((struct faults){ 0 }, (struct faults){ .again = n });
		with_faults((struct faults){ 0 }, (struct faults){ .person = n });
		with_faults((struct faults){ .verdicts = true },
			    (struct faults){ .again = n, .verdicts = true });
	}
}

IN_TASK(a_message_that_the_last_sink_refuses_is_in_the_dead_letters_of_the_first)
{
	begin_world(300);
	w.config->sinks[0].kind = LADE_SINK_SQLITE;
	w.config->errors.dead_kind = LADE_DEAD_TABLE;
	w.sink.verdicts = true;
	run_to_the_end();
	for (int64_t id = 0; id < 300; id++)
		CHECK_EQ(w.pages[id].letters, is_refused_by_sink(id));
	end_world();
}

IN_TASK(everything_at_once_loses_nothing_and_doubles_nothing)
{
	for (unsigned n = 2; n < 9; n++)
		with_faults((struct faults){ .again = n, .blame = 2 * n + 1, .person = n + 5,
					     .retry = 4, .verdicts = true, .poison = true },
			    (struct faults){ .again = n, .person = n + 3, .verdicts = true });
}

IN_TASK(a_bad_record_is_halved_out_and_stands_alone)
{
	begin_world(400);
	w.step.poison = true;
	run_to_the_end();
	for (int64_t id = 0; id < 400; id++)
		CHECK_EQ(w.pages[id].letters, is_poison(id));
	end_world();
}

/* Attempts */

static int64_t outage_until_ms;

static int outage_process(struct lade_pipe_stage *stage, struct lade_pipe_batch *b,
			  const uint32_t *index, uint32_t n)
{
	int rc = take_time(500);

	(void)b, (void)index, (void)n;
	snprintf(stage->trouble, sizeof(stage->trouble), "an outage");
	return rc < 0 ? rc : now_ms() < outage_until_ms ? -EAGAIN : 0;
}

IN_TASK(an_outage_however_long_counts_against_no_message)
{
	static const struct lade_pipe_step_ops step = { step_open, outage_process, step_close };
	struct lade_pipe_parts parts = generated;
	FILE *log = fopen("/dev/null", "w");

	parts.steps[LADE_STEP_SQL] = &step;
	begin_world(200);
	outage_until_ms = now_ms() + 60000;
	w.engine = lade_pipe_engine_new(w.config, &parts, log);
	CHECK_EQ(lade_pipe_engine_run(w.engine), 0);
	CHECK(w.engine->stats.retries > 100);
	CHECK_EQ(w.engine->stats.rejected, 0);
	CHECK_EQ(w.engine->stats.out, 200);
	lade_pipe_engine_free(w.engine);
	fclose(log);
	end_world();
}

/* One message that is to be tried again until the outage ends. */
static int stuck_process(struct lade_pipe_stage *stage, struct lade_pipe_batch *b,
			 const uint32_t *index, uint32_t n)
{
	int rc = take_time(500);

	(void)stage;
	for (uint32_t j = 0; rc == 0 && j < n; j++)
		if (id_of(&b->messages[index[j]]) == 57 && now_ms() < outage_until_ms)
			lade_pipe_retry(b, index[j], "again");
	return rc;
}

static void run_with_one_stuck(enum lade_pipe_order order, unsigned keys)
{
	static const struct lade_pipe_step_ops step = { step_open, stuck_process, step_close };
	struct lade_pipe_parts parts = generated;
	FILE *log = fopen("/dev/null", "w");

	parts.steps[LADE_STEP_SQL] = &step;
	begin_world(100);
	w.config->order = order;
	w.config->order_key = keys ? ".key" : NULL;
	w.config->in_flight_max = 1000;
	w.config->errors.attempts_max = 1000000;
	w.keys = keys;
	w.in_order = order == LADE_ORDER_PARTITION && !keys;
	outage_until_ms = now_ms() + 60000;
	w.engine = lade_pipe_engine_new(w.config, &parts, log);
	CHECK_EQ(lade_within(lade_s(600), lade_pipe_engine_run(w.engine)), 0);
	check_finished(100);
	CHECK(w.pages[57].written_ms >= outage_until_ms);
	lade_pipe_engine_free(w.engine);
	fclose(log);
}

IN_TASK(without_order_a_message_that_is_tried_again_holds_nobody_up)
{
	run_with_one_stuck(LADE_ORDER_NONE, 0);
	for (int64_t id = 0; id < 100; id++)
		CHECK((w.pages[id].written_ms < outage_until_ms) == (id != 57));
	end_world();
}

IN_TASK(with_keys_it_holds_up_its_own_and_the_batches_that_have_it)
{
	run_with_one_stuck(LADE_ORDER_PARTITION, 60);
	for (int64_t id = 0; id < 100; id++) {
		bool shares = id > 57 && key_of(id) == key_of(57);

		CHECK(w.pages[id].written_ms < outage_until_ms || id == 57 || id >= 60);
		CHECK(!shares || w.pages[id].written_ms >= outage_until_ms);
	}
	end_world();
}

IN_TASK(with_lanes_it_holds_up_what_is_behind_it_and_not_what_is_before)
{
	run_with_one_stuck(LADE_ORDER_PARTITION, 0);
	for (int64_t id = 0; id < 100; id++)
		CHECK((w.pages[id].written_ms < outage_until_ms) == (id < 57));
	end_world();
}

/* A message that never passes while others do, and then nothing passes at all. */
static int odd_process(struct lade_pipe_stage *stage, struct lade_pipe_batch *b,
		       const uint32_t *index, uint32_t n)
{
	int rc = take_time(500);

	snprintf(stage->trouble, sizeof(stage->trouble), "an odd one");
	for (uint32_t j = 0; rc == 0 && j < n; j++)
		if (id_of(&b->messages[index[j]]) == 57)
			rc = -EAGAIN;
	return rc;
}

/* @alone: there is never another batch that could pass meanwhile. */
static void halve_out_an_odd_one(bool alone)
{
	static const struct lade_pipe_step_ops step = { step_open, odd_process, step_close };
	struct lade_pipe_parts parts = generated;
	FILE *log = fopen("/dev/null", "w");

	parts.steps[LADE_STEP_SQL] = &step;
	begin_world(200);
	w.source_us = 500;
	if (alone) {
		w.config->concurrency = 1;
		w.config->batch.linger_ns = INT64_C(1000000000);
	} else {
		w.config->order = LADE_ORDER_NONE;
		w.in_order = false;
	}
	w.engine = lade_pipe_engine_new(w.config, &parts, log);
	CHECK_EQ(lade_within(lade_s(600), lade_pipe_engine_run(w.engine)), 0);
	CHECK_EQ(w.engine->stats.rejected, 1);
	CHECK_EQ(w.pages[57].letters, 1);
	CHECK_EQ(w.engine->stats.out, 199);
	lade_pipe_engine_free(w.engine);
	fclose(log);
	end_world();
}

IN_TASK(a_message_that_fails_while_others_pass_is_halved_out_after_max_attempts)
{
	halve_out_an_odd_one(false);
}

IN_TASK(a_message_that_fails_is_halved_out_though_no_other_batch_can_pass_meanwhile)
{
	halve_out_an_odd_one(true);
}

/* An odd message that is being halved out, and an outage that begins in the midst of it. */
static struct {
	unsigned begins_at; /* calls after the first half */
	unsigned halves;    /* calls since then */
	int64_t until_ms;   /* end of the outage; 0: not begun */
} storm;

static int storm_process(struct lade_pipe_stage *stage, struct lade_pipe_batch *b,
			 const uint32_t *index, uint32_t n)
{
	int rc = odd_process(stage, b, index, n);

	storm.halves += (n < 10 && b->n == 10) || storm.halves;
	if (storm.halves > storm.begins_at && !storm.until_ms)
		storm.until_ms = now_ms() + 60000;
	if (rc != 0 && rc != -EAGAIN)
		return rc;
	return now_ms() < storm.until_ms ? -EAGAIN : rc;
}

IN_TASK(an_outage_that_begins_while_a_batch_is_halved_rejects_none_but_the_odd_one)
{
	static const struct lade_pipe_step_ops step = { step_open, storm_process, step_close };
	struct lade_pipe_parts parts = generated;
	FILE *log = fopen("/dev/null", "w");

	parts.steps[LADE_STEP_SQL] = &step;
	for (unsigned k = 0; k < 25; k++) {
		begin_world(200);
		w.config->order = LADE_ORDER_NONE;
		w.in_order = false;
		w.source_us = 500;
		w.config->batch.linger_ns = INT64_C(1000000000);
		memset(&storm, 0, sizeof(storm));
		storm.begins_at = k;
		w.engine = lade_pipe_engine_new(w.config, &parts, log);
		CHECK_EQ(lade_within(lade_s(600), lade_pipe_engine_run(w.engine)), 0);
		CHECK(storm.until_ms > 0 || k > 10);
		CHECK_EQ(w.engine->stats.rejected, 1);
		CHECK_EQ(w.pages[57].letters, 1);
		CHECK_EQ(w.engine->stats.out, 199);
		lade_pipe_engine_free(w.engine);
		end_world();
	}
	fclose(log);
}

/* A service that is down, and answers that are still in a cache. */
static int cached_process(struct lade_pipe_stage *stage, struct lade_pipe_batch *b,
			  const uint32_t *index, uint32_t n)
{
	bool down = now_ms() < outage_until_ms;
	int rc = take_time(500);

	stage->remote = true;
	stage->answers += !down;
	for (uint32_t j = 0; rc == 0 && down && j < n; j++)
		if (id_of(&b->messages[index[j]]) % 150 == 7)
			lade_pipe_retry(b, index[j], "the service is down");
	return rc;
}

IN_TASK(what_a_cache_still_answers_in_an_outage_counts_against_no_message)
{
	static const struct lade_pipe_step_ops step = { step_open, cached_process, step_close };
	struct lade_pipe_parts parts = generated;
	FILE *log = fopen("/dev/null", "w");

	parts.steps[LADE_STEP_SQL] = &step;
	begin_world(300);
	w.config->order = LADE_ORDER_NONE;
	w.in_order = false;
	w.source_us = 500;
	outage_until_ms = now_ms() + 60000;
	w.engine = lade_pipe_engine_new(w.config, &parts, log);
	CHECK_EQ(lade_within(lade_s(600), lade_pipe_engine_run(w.engine)), 0);
	CHECK_EQ(w.engine->stats.rejected, 0);
	CHECK_EQ(w.engine->stats.out, 300);
	lade_pipe_engine_free(w.engine);
	fclose(log);
	end_world();
}

/* One message is to be tried again, and a later one of the same call needs a person. */
static int mixed_process(struct lade_pipe_stage *stage, struct lade_pipe_batch *b,
			 const uint32_t *index, uint32_t n)
{
	bool down = now_ms() < outage_until_ms;
	int rc = take_time(500);

	snprintf(stage->trouble, sizeof(stage->trouble), "the key is wrong");
	for (uint32_t j = 0; rc == 0 && down && j < n; j++) {
		if (id_of(&b->messages[index[j]]) % 10 == 3)
			lade_pipe_retry(b, index[j], "it is busy");
		else if (id_of(&b->messages[index[j]]) % 10 == 7)
			rc = -EIO;
	}
	return rc;
}

IN_TASK(a_message_that_was_to_be_tried_again_is_not_lost_when_the_call_then_fails)
{
	static const struct lade_pipe_step_ops step = { step_open, mixed_process, step_close };
	struct lade_pipe_parts parts = generated;
	FILE *log = fopen("/dev/null", "w");

	parts.steps[LADE_STEP_SQL] = &step;
	begin_world(100);
	outage_until_ms = now_ms() + 1000;
	w.engine = lade_pipe_engine_new(w.config, &parts, log);
	CHECK_EQ(lade_within(lade_s(600), lade_pipe_engine_run(w.engine)), 0);
	CHECK_EQ(w.engine->stats.out, 100);
	check_finished(100);
	lade_pipe_engine_free(w.engine);
	fclose(log);
	end_world();
}

/* Limits */

IN_TASK(no_more_is_in_flight_than_max_in_flight)
{
	begin_world(1000);
	w.sink_us = 2000000;
	w.config->transaction_max = 10;
	w.config->concurrency = 16;
	run_to_the_end();
	CHECK(w.in_flight > 50);
	end_world();
}

/* A batch of ten has 80 to 110 bytes. */
IN_TASK(no_more_bytes_are_under_way_than_max_memory_but_always_one_batch)
{
	for (int64_t bytes = 250; bytes; bytes = bytes == 250 ? 1 : 0) {
		begin_world(1000);
		w.sink_us = 2000000;
		w.config->transaction_max = 10;
		w.config->concurrency = 16;
		w.config->memory_bytes_max = bytes;
		run_to_the_end();
		CHECK_EQ(w.in_flight, bytes == 1 ? 10 : 20);
		end_world();
	}
}

IN_TASK(more_rejects_than_max_reject_rate_stop_intake)
{
	FILE *log = fopen("/dev/null", "w");

	begin_world(MESSAGES_MAX);
	w.step.verdicts = true; /* one in 13: 7.7 % */
	w.config->errors.reject_rate_max = 500;
	CHECK_EQ(run_engine(log), -EIO);
	CHECK_EQ(w.engine->exit, LADE_EXIT_FAILED);
	CHECK(strstr(w.engine->why, "max_reject_rate"));
	CHECK(w.read < MESSAGES_MAX);
	CHECK(w.engine->stats.in >= 1000);
	lade_pipe_engine_free(w.engine);
	end_world();

	begin_world(MESSAGES_MAX);
	w.step.verdicts = true;
	w.config->errors.reject_rate_max = 1000;
	run_to_the_end();
	end_world();
	fclose(log);
}

/* Stops */

/* Runs, and asks it to end after so many microseconds. */
static int run_until(int64_t us, struct lade_duration grace, FILE *log)
{
	struct run_engine_task task = run_engine_task(log);
	int rc = 0, status = 0;

	lade_scope(s, &rc, .policy = LADE_ALL) {
		lade_start(&s, &task);
		(void)!lade_sleep(lade_us(us));
		w.cancelled = grace.ns == 0;
		lade_cancel(&task, grace);
		(void)!lade_wait(&task);
		status = lade_status(&task);
	}
	return status;
}

IN_TASK(a_soft_stop_at_any_moment_finishes_what_was_read_and_reads_no_more)
{
	FILE *log = fopen("/dev/null", "w");

	for (int64_t us = 1; us < 60000; us += RUN_MANY(1) ? 331 : 2003) {
		begin_world(400);
		w.source_us = 100;
		w.random = (uint64_t)us;
		w.step = (struct faults){ .again = 7, .retry = 9, .verdicts = true };
		w.sink = (struct faults){ .again = 5, .verdicts = true };
		CHECK_EQ(run_until(us, lade_s(60), log), 0);
		CHECK_EQ(w.engine->exit, LADE_EXIT_DONE);
		CHECK_EQ(w.lane.in_flight, 0);
		CHECK_EQ(w.engine->stats.in, w.read);
		check_finished(w.read);
		w.engine = lade_pipe_engine_free(w.engine);
		end_world();
	}
	fclose(log);
}

IN_TASK(a_hard_cancel_at_any_moment_leaves_a_finished_prefix_and_writes_nothing_more)
{
	FILE *log = fopen("/dev/null", "w");

	for (int64_t us = 1; us < 60000; us += RUN_MANY(1) ? 331 : 2003) {
		begin_world(400);
		w.source_us = 100;
		w.random = (uint64_t)us;
		w.step = (struct faults){ .again = 7, .retry = 9, .verdicts = true };
		w.sink = (struct faults){ .again = 5, .verdicts = true };
		(void)run_until(us, lade_ns(0), log);
		for (int64_t id = 0; id * GAP < w.lane.commit_offset; id++)
			CHECK(is_finished(&w.pages[id]));
		CHECK_EQ(w.open, 0);
		w.engine = lade_pipe_engine_free(w.engine);
		end_world();
	}
	fclose(log);
}

IN_TASK(shutdown_timeout_gives_up_and_says_from_where_it_will_be_read_again)
{
	FILE *log = fopen("/dev/null", "w");

	begin_world(400);
	w.sink.person = 1; /* never works */
	w.config->shutdown_timeout_ns = 2000000000;
	(void)run_until(20000, lade_s(60), log);
	CHECK_EQ(w.engine->exit, LADE_EXIT_UNFINISHED);
	CHECK(strstr(w.engine->why, "from byte 0 on"));
	lade_pipe_engine_free(w.engine);
	end_world();
	fclose(log);
}

IN_TASK(runs_that_are_cancelled_again_and_again_leave_what_one_run_leaves)
{
	FILE *log = fopen("/dev/null", "w");
	int runs = 0;

	for (int64_t seed = 1; seed < 40; seed++) {
		begin_world(400);
		keep_offsets();
		w.config->n_sinks = 1; /* the one that keeps the offsets */
		w.config->sinks[0].kind = LADE_SINK_SQLITE;
		w.random = (uint64_t)seed;
		w.step = (struct faults){ .again = 7, .retry = 9, .verdicts = true };
		w.sink = (struct faults){ .again = 5 };
		do {
			w.cancelled = false;
			(void)run_until(100 + (int64_t)draw(8000), lade_ns(draw(2) ? 0 : 1000000),
					log);
			CHECK(w.lane.commit_offset <= w.kept.next_offset ||
			      w.kept.next_offset == 0);
			w.engine = lade_pipe_engine_free(w.engine);
		} while (w.kept.next_offset < 400 * GAP && ++runs < 10000);
		for (int64_t id = 0; id < 400; id++) {
			int ends = w.pages[id].letters + w.pages[id].written[0];

			CHECK(ends == 1 || (ends == 0 && w.pages[id].dropped));
		}
		end_world();
	}
	CHECK(runs > 300);
	fclose(log);
}

/* No dead letter */

IN_TASK(a_bad_message_without_a_dead_letter_stops_and_no_offset_moves_past_it)
{
	FILE *log = fopen("/dev/null", "w");

	for (int by_sink = 0; by_sink < 2; by_sink++) {
		begin_world(100);
		keep_offsets();
		w.config->errors.dead_kind = LADE_DEAD_NONE;
		w.step.poison = !by_sink;
		w.sink.verdicts = by_sink;
		CHECK(run_engine(log) < 0);
		CHECK_EQ(w.engine->exit, LADE_EXIT_BAD_MESSAGE);
		CHECK(strstr(w.engine->why, by_sink ? "\"id\":9" : "\"id\":7"));
		CHECK(w.kept.next_offset <= (by_sink ? 9 : 7) * GAP);
		lade_pipe_engine_free(w.engine);
		end_world();
	}
	fclose(log);
}

/* Lanes that come and go, as those of Kafka do: lost and claimed anew at any moment, given back,
 * and claimed by somebody else. */

static struct {
	bool another;		/* another process has them now and then */
	unsigned upsets, fenced; /* over all runs */
} mv;

/* Something every 5 ms or so, and the time that calls take. */
static enum upset draw_upset(uint32_t tick, int lane)
{
	(void)tick;
	(void)lane;
	moving.claim_us = 1 + (int64_t)draw(1000);
	moving.step_us = 1 + (int64_t)draw(2000);
	moving.write_us = 2 + (int64_t)draw(2000);
	if (draw(50))
		return UPSET_NONE;
	return mv.another ? (enum upset)(1 + draw(UPSETS - 1)) : UPSET_BOUNCE;
}

static const struct lade_pipe_parts moved = {
	.source = &moving_source,
	.steps = { [LADE_STEP_SQL] = &moving_step },
	.sinks = { [LADE_SINK_SQLITE] = &moving_fence },
};

static void begin_moving(uint64_t seed, int64_t in_flight_max)
{
	begin_world(0);
	keep_offsets();
	w.random = seed;
	w.config->n_sinks = 1;
	w.config->sinks[0].kind = LADE_SINK_SQLITE;
	w.config->in_flight_max = in_flight_max;
	w.config->drain_timeout_ns = INT64_C(1000000000);
	moving_begin(300);
	moving.plan = draw_upset;
	moving.rejected = 7;
	moving.tick_us = 100;
	moving.claim_us = moving.step_us = moving.write_us = 1000;
	moving.away_ticks = 5;
	moving.failing = 9;
}

static int run_moving(struct lade_duration limit, FILE *log)
{
	struct lade_pipe_engine *e = lade_pipe_engine_new(w.config, &moved, log);
	int rc = lade_within(limit, lade_pipe_engine_run(e));

	CHECK(rc < 0 || e->exit == LADE_EXIT_DONE);
	lade_pipe_engine_free(e);
	return rc;
}

static void end_moving(void)
{
	CHECK_EQ(moving_all_once(), 0);
	CHECK_STR(moving.broken, "");
	for (int i = 0; i < UPSETS; i++)
		mv.upsets += moving.upsets[i];
	mv.fenced += moving.fenced;
	end_world();
}

static void run_all_moving(uint64_t seeds, bool another, int64_t in_flight_max)
{
	FILE *log = fopen("/dev/null", "w");

	mv.another = another;
	mv.upsets = mv.fenced = 0;
	for (uint64_t seed = 1; seed <= seeds; seed++) {
		begin_moving(seed, in_flight_max);
		CHECK_EQ(run_moving(lade_s(3600), log), 0);
		end_moving();
	}
	fclose(log);
}

IN_TASK(a_lane_that_is_lost_and_comes_back_at_any_moment_is_written_once)
{
	run_all_moving(30, false, MOVING_MESSAGES_MAX);
	CHECK(mv.upsets > 100);
	CHECK_EQ(mv.fenced, 0);
}

IN_TASK(a_lane_that_another_has_claimed_is_claimed_again_and_written_once)
{
	run_all_moving(30, true, MOVING_MESSAGES_MAX);
	CHECK(mv.fenced > 10);
}

/* A batch that waits for room in its lane holds messages of before. */
IN_TASK(a_lane_that_is_lost_while_a_batch_waits_for_room_in_it_is_written_once)
{
	run_all_moving(30, false, 16);
	CHECK(mv.upsets > 100);
	run_all_moving(30, true, 16);
	CHECK(mv.upsets > 100);
}

/* A cancel may come while lanes of a batch that is given up are looked for: nothing of it is done,
 * and nothing may be said to be. */
IN_TASK(a_run_that_is_cancelled_at_any_moment_acknowledges_nothing_of_a_lane_that_is_not_kept)
{
	FILE *log = fopen("/dev/null", "w");
	int runs = 0;

	mv.another = true;
	for (uint64_t seed = 1; seed <= 20; seed++) {
		begin_moving(seed, 16);
		while (run_moving(lade_us(5000 + (int64_t)draw(20000)), log) < 0)
			runs++;
		end_moving();
	}
	CHECK(runs > 100);
	fclose(log);
}

static enum upset no_upset(uint32_t tick, int lane)
{
	(void)tick;
	(void)lane;
	return UPSET_NONE;
}

/* The fence cannot know that rows come again: it is told where they end. */
IN_TASK(a_write_that_begins_before_what_is_stored_is_given_up_and_said)
{
	char *text = NULL;
	size_t len = 0;
	FILE *log = open_memstream(&text, &len);

	begin_moving(1, 16);
	moving.plan = no_upset;
	moving.stutter = 20;
	w.config->source.kind = LADE_SOURCE_KAFKA;
	w.config->transaction_max = 10;
	CHECK_EQ(run_moving(lade_s(3600), log), 0);
	end_moving();
	fclose(log);
	CHECK(strstr(text, "was to be written, and all before"));
	free(text);
}

int main(void)
{
	TAP(a_pipeline_without_faults_finishes_every_message_once_and_in_order);
	TAP(a_step_whose_every_nth_call_passes_fails_no_message);
	TAP(a_step_whose_every_nth_call_blames_a_message_rejects_no_message_twice);
	TAP(a_step_whose_every_nth_call_is_for_a_person_waits);
	TAP(messages_that_are_rejected_dropped_and_tried_again_are_each_finished_once);
	TAP(batches_come_as_they_are_done_but_those_of_one_key_in_their_order);
	TAP(sinks_that_fail_at_every_nth_call_get_every_message_once);
	TAP(a_message_that_the_last_sink_refuses_is_in_the_dead_letters_of_the_first);
	TAP(everything_at_once_loses_nothing_and_doubles_nothing);
	TAP(a_bad_record_is_halved_out_and_stands_alone);
	TAP(an_outage_however_long_counts_against_no_message);
	TAP(without_order_a_message_that_is_tried_again_holds_nobody_up);
	TAP(with_keys_it_holds_up_its_own_and_the_batches_that_have_it);
	TAP(with_lanes_it_holds_up_what_is_behind_it_and_not_what_is_before);
	TAP(a_message_that_fails_while_others_pass_is_halved_out_after_max_attempts);
	TAP(a_message_that_fails_is_halved_out_though_no_other_batch_can_pass_meanwhile);
	TAP(an_outage_that_begins_while_a_batch_is_halved_rejects_none_but_the_odd_one);
	TAP(what_a_cache_still_answers_in_an_outage_counts_against_no_message);
	TAP(a_message_that_was_to_be_tried_again_is_not_lost_when_the_call_then_fails);
	TAP(no_more_is_in_flight_than_max_in_flight);
	TAP(no_more_bytes_are_under_way_than_max_memory_but_always_one_batch);
	TAP(more_rejects_than_max_reject_rate_stop_intake);
	TAP(a_soft_stop_at_any_moment_finishes_what_was_read_and_reads_no_more);
	TAP(a_hard_cancel_at_any_moment_leaves_a_finished_prefix_and_writes_nothing_more);
	TAP(shutdown_timeout_gives_up_and_says_from_where_it_will_be_read_again);
	TAP(runs_that_are_cancelled_again_and_again_leave_what_one_run_leaves);
	TAP(a_bad_message_without_a_dead_letter_stops_and_no_offset_moves_past_it);
	TAP(a_lane_that_is_lost_and_comes_back_at_any_moment_is_written_once);
	TAP(a_lane_that_another_has_claimed_is_claimed_again_and_written_once);
	TAP(a_lane_that_is_lost_while_a_batch_waits_for_room_in_it_is_written_once);
	TAP(a_run_that_is_cancelled_at_any_moment_acknowledges_nothing_of_a_lane_that_is_not_kept);
	TAP(a_write_that_begins_before_what_is_stored_is_given_up_and_said);
	return tap_done();
}
