/* SPDX-License-Identifier: MIT */
/* lanes.c - the engine between lanes that come and go and a sink that keeps their offsets, behind a
 * fence or in transactions: whatever is cancelled, and whenever a lane is lost, stolen or given
 * back, each message is in the sink or among the dead letters once.
 *
 * DESIGN
 * What happens to a lane by plan, at fixed ticks, is there so that all awaits are reached. The rest
 * is the explorer's: each tick is a wait with deadlines, and where it makes one pass the lanes are
 * lost, stolen or given back there, in any state in which the tasks have been. */

#include "moving_lanes.h"

#include <lade/explore.h>

#define MESSAGES 6 /* of each lane */

static struct lade_pipe_config *config;
static FILE *nowhere;

/* Room for a batch and a half, so that batches wait for it. */
static void configure(struct lade_pipe_config *c)
{
	c->name = "lanes";
	c->source.kind = LADE_SOURCE_STDIN; /* the sink is to be asked to write what it has */
	c->batch = (struct lade_pipe_batching){ .messages_max = 2, .linger_ns = 300000,
						.ahead = 1 };
	c->order = LADE_ORDER_PARTITION;
	c->concurrency = 2;
	c->n_steps = 1;
	c->steps[0] = (struct lade_pipe_step){ .name = "look", .kind = LADE_STEP_SQL };
	c->n_sinks = 1;
	c->sinks[0].kind = LADE_SINK_POSTGRES;
	c->delivery = LADE_EXACTLY_ONCE;
	c->errors = (struct lade_pipe_errors){ .attempts_max = 5,
					       .backoff_min_ns = 200000,
					       .backoff_max_ns = 10000000,
					       .reject_rate_max = 10000,
					       .dead_kind = LADE_DEAD_TABLE };
	c->shutdown_timeout_ns = INT64_C(25000000000);
	c->drain_timeout_ns = INT64_C(1000000000);
	c->in_flight_max = 3;
	c->transaction_max = 4;
}

static enum upset plan(uint32_t tick, int lane)
{
	switch (tick) {
	case 5:
		return lane == 0 ? UPSET_LOSE : UPSET_NONE;
	case 8:
		return lane == 1 ? UPSET_STEAL : UPSET_NONE;
	case 14:
		return lane == 0 ? UPSET_REVOKE : UPSET_NONE;
	case 18:
		return lane == 1 ? UPSET_BOUNCE : UPSET_NONE;
	default:
		return UPSET_NONE;
	}
}

static int make_world(void)
{
	config = lade_pipe_config_new();
	nowhere = fopen("/dev/null", "w");
	if (!config || !nowhere)
		return -ENOMEM;
	configure(config);
	moving_begin(MESSAGES);
	moving.plan = plan;
	moving.rejected = 2;
	moving.again = 1;
	moving.tick_us = 200;
	moving.claim_us = 300;
	moving.step_us = 400;
	moving.write_us = 900;
	moving.away_ticks = 3;
	moving.failing = 4;
	return 0;
}

static void end_world(void)
{
	config = lade_pipe_config_free(config);
	fclose(nowhere);
}

static int each_message_once(void)
{
	int rc = moving_all_once();

	if (rc < 0)
		fprintf(stderr, "%s\n", moving.broken);
	return rc;
}

static int run_with(const struct lade_pipe_parts *parts)
{
	struct lade_pipe_engine *e = lade_pipe_engine_new(config, parts, nowhere);
	int rc;

	if (!e)
		return -ENOMEM;
	rc = lade_pipe_engine_run(e);
	if (rc == 0 && e->exit != LADE_EXIT_DONE)
		rc = -EIO;
	lade_pipe_engine_free(e);
	return rc;
}

/* A database with a fence */

static const struct lade_pipe_parts fenced = {
	.source = &moving_source,
	.steps = { [LADE_STEP_SQL] = &moving_step },
	.sinks = { [LADE_SINK_FILE] = &moving_plain, [LADE_SINK_POSTGRES] = &moving_fence },
};

static int make_fenced(struct lade_scope *world)
{
	int rc = make_world();

	(void)world;
	if (rc < 0)
		return rc;
	config->n_sinks = 2;
	config->sinks[1].kind = LADE_SINK_FILE;
	moving.has_plain = true;
	return 0;
}

LADE_EXPLORE(fenced_lanes, .setup = make_fenced, .teardown = end_world,
	     .invariant = each_message_once)
{
	return lade_within(lade_s(60), run_with(&fenced));
}

static enum upset nothing(uint32_t tick, int lane)
{
	(void)tick;
	(void)lane;
	return UPSET_NONE;
}

/* Only what the explorer does, and a sink so slow that all wait for it. */
static int make_calm(struct lade_scope *world)
{
	int rc = make_world();

	(void)world;
	if (rc < 0)
		return rc;
	config->batch.messages_max = 3;
	config->concurrency = 3;
	config->in_flight_max = 4;
	moving.plan = nothing;
	moving.write_us = 2400;
	return 0;
}

LADE_EXPLORE(calm_lanes, .setup = make_calm, .teardown = end_world, .invariant = each_message_once)
{
	return lade_within(lade_s(60), run_with(&fenced));
}

/* Topics, in transactions: as the sink of Kafka, whose promises these are */

#define STAGED_MAX 64
#define BEGUN_MAX 8

struct staged {
	int64_t lane, message;
	bool letter;
};

/* The one transaction of the sink and its dead letters. */
struct lade_pipe_transaction {
	bool begun;
	struct staged staged[STAGED_MAX]; /* what is sent, and not seen by anybody */
	uint32_t n;
	const struct lade_pipe_batch *of[BEGUN_MAX]; /* batches that were begun, and not written */
	uint32_t n_begun;
	unsigned commits, aborts;
};

static struct lade_pipe_transaction transaction;

/* What was begun is gone; the offsets with it. */
static void txn_forget(void)
{
	transaction.begun = moving.pending = false;
	transaction.n = transaction.n_begun = 0;
}

/* Nobody else may go on with what a run has left behind. */
static int txn_open(struct lade_pipe_outlet *outlet, struct lade_pipe_shape *shape)
{
	struct lade_pipe_engine *e = outlet->engine;
	int rc = 0;

	(void)shape;
	if (!e->transaction) {
		rc = MOVING_TAKE_TIME(moving.claim_us);
		if (rc == 0)
			txn_forget();
	}
	e->transaction = &transaction;
	return rc;
}

/* The group has the offsets. */
static int txn_claim(struct lade_pipe_outlet *outlet, struct lade_pipe_lane *lane)
{
	(void)outlet;
	lane->stored = (struct lade_pipe_stored){ 0 };
	return 0;
}

static void stage(int64_t lane, int64_t message, bool letter)
{
	transaction.staged[transaction.n++] = (struct staged){ lane, message, letter };
}

static int txn_begin(struct lade_pipe_outlet *outlet, struct lade_pipe_batch *batch)
{
	(void)outlet;
	if (transaction.n_begun == BEGUN_MAX)
		return 0;
	transaction.begun = true;
	transaction.of[transaction.n_begun++] = batch;
	moving_put_batch(batch, LADE_VERDICT_OK, stage);
	return MOVING_TAKE_TIME(moving.claim_us);
}

/* None of it will be seen.  Returns what the engine is to be told, or -ECANCELED. */
static int txn_abort(int rc)
{
	int aborted = MOVING_TAKE_TIME(moving.claim_us);

	if (aborted < 0)
		return aborted;
	txn_forget();
	transaction.aborts++;
	return rc;
}

static int txn_give_up(struct lade_pipe_outlet *outlet)
{
	(void)outlet;
	return transaction.begun ? txn_abort(0) : 0;
}

/* Whether what was begun is the beginning of what is written now. */
static bool is_as_begun(struct lade_pipe_batch *const *batches, uint32_t n)
{
	if (transaction.n_begun > n)
		return false;
	for (uint32_t i = 0; i < transaction.n_begun; i++)
		if (transaction.of[i] != batches[i])
			return false;
	return true;
}

/* The group takes offsets of those only who have the lanes.  Returns 0, or -ESTALE. */
static int check_group(const struct lade_pipe_move *moves, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		const struct held_lane *h = moves[i].lane->self;

		if (!h->ours || !h->lane.assigned || !moving.kept[h->lane.part].ours)
			return -ESTALE;
	}
	return 0;
}

static void txn_seen(const struct lade_pipe_move *moves, uint32_t n)
{
	for (uint32_t i = 0; i < transaction.n; i++)
		moving_put(transaction.staged[i].lane, transaction.staged[i].message,
			   transaction.staged[i].letter);
	for (uint32_t i = 0; i < n; i++)
		moving.kept[moves[i].lane->part].next = moves[i].to;
	for (uint32_t i = 0; i < n; i++)
		moving_check(moves[i].lane->part);
	txn_forget();
	transaction.commits++;
}

/* From the offsets on nobody may know where the lanes are until it is decided, half-way. */
static int txn_commit(const struct lade_pipe_move *moves, uint32_t n)
{
	int rc = MOVING_TAKE_TIME(moving.write_us / 2);

	if (rc == 0 && check_group(moves, n) < 0)
		return txn_abort(-ESTALE);
	if (rc < 0)
		return rc;
	moving.pending = true;
	rc = MOVING_TAKE_TIME(moving.write_us / 2);
	if (rc < 0)
		return rc;
	txn_seen(moves, n);
	return MOVING_TAKE_TIME(moving.claim_us);
}

static int txn_write(struct lade_pipe_outlet *outlet, struct lade_pipe_batch *const *batches,
		     uint32_t n, const struct lade_pipe_move *moves, uint32_t n_moves)
{
	uint32_t begun = transaction.n_begun;
	int rc;

	(void)outlet;
	if (!is_as_begun(batches, n))
		return txn_abort(-ERESTART);
	transaction.begun = true;
	transaction.n_begun = 0;
	for (uint32_t k = begun; k < n; k++)
		moving_put_batch(batches[k], LADE_VERDICT_OK, stage);
	rc = MOVING_TAKE_TIME(moving.write_us);
	if (rc < 0)
		return rc;
	if (moving.failing && ++moving.writes % moving.failing == 0)
		return txn_abort(-ERESTART);
	/* Sending waits: a lane may have gone meanwhile, and even have come back. */
	for (uint32_t k = 0; k < n; k++)
		if (lade_pipe_batch_is_late(batches[k]))
			return txn_abort(-ESTALE);
	return txn_commit(moves, n_moves);
}

static int txn_letters(struct lade_pipe_outlet *outlet, struct lade_pipe_batch *const *batches,
		       uint32_t n, const struct lade_pipe_move *moves, uint32_t n_moves)
{
	(void)outlet;
	(void)moves;
	(void)n_moves;
	transaction.begun = true;
	for (uint32_t k = 0; k < n; k++)
		moving_put_batch(batches[k], LADE_VERDICT_REJECT, stage);
	return MOVING_TAKE_TIME(moving.claim_us);
}

static void txn_close(struct lade_pipe_outlet *outlet)
{
	outlet->engine->transaction = NULL;
}

static const struct lade_pipe_sink_ops transactional = { .open = txn_open,
							 .claim = txn_claim,
							 .write = txn_write,
							 .begin = txn_begin,
							 .give_up = txn_give_up,
							 .close = txn_close };
static const struct lade_pipe_sink_ops letters = { .open = txn_open,
						   .write = txn_letters,
						   .close = txn_close };

static const struct lade_pipe_parts in_transactions = {
	.source = &moving_source,
	.steps = { [LADE_STEP_SQL] = &moving_step },
	.sinks = { [LADE_SINK_KAFKA] = &transactional },
	.letters = &letters,
};

/* A transaction waits 100 ms for more: all is slower. */
static int make_transactions(struct lade_scope *world)
{
	int rc = make_world();

	(void)world;
	if (rc < 0)
		return rc;
	config->sinks[0].kind = LADE_SINK_KAFKA;
	config->errors.dead_kind = LADE_DEAD_FILE;
	moving.group_keeps = true;
	moving.tick_us = 4000;
	moving.claim_us = 5000;
	moving.step_us = 7000;
	moving.write_us = 18000;
	return 0;
}

LADE_EXPLORE(lanes_in_transactions, .setup = make_transactions, .teardown = end_world,
	     .invariant = each_message_once)
{
	return lade_within(lade_s(60), run_with(&in_transactions));
}
