/* SPDX-License-Identifier: MIT */
/* source_outbox.c - a table of PostgreSQL whose rows are deleted in the sink's transaction.
 *
 * DESIGN
 * Rows are claimed by the sink (outbox.h), up to a transaction of them, and given in the order of
 * their keys. Only when all of a claim are finished is the next one made: the writer waits for the
 * whole of it, as its transaction is what holds the locks. More at once is what more processes are
 * for.
 *
 * The table is one lane, whose offsets count the rows that were given in this run; a message's own
 * offset is its key. A claim of which somebody else has written a row is given up, and what is left
 * in the table is claimed anew.
 *
 * `try` reads through a connection of its own, and locks nothing.
 *
 * LIMITS  Rows of several processes, or of transactions that commit out of order, come in no
 * particular order. The claim's transaction is open as long as its rows are enriched. */

#include "services/pipeline/outbox.h"
#include "services/pipeline/postgres.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define LOOK_MS 250 /* between two looks for more */
#define ASK_LIMIT_NS INT64_C(30000000000)

struct outbox {
	struct lade_pipe_engine *engine;
	struct lade_pg *db;	    /* of `try`; else NULL */
	struct lade_pipe_lane lane;
	char *sql;		    /* what claims */
	struct lade_pg_result rows; /* the claim */
	int64_t *keys;		    /* of its rows; owned */
	int64_t base;		    /* the offset of the first of them */
	uint32_t next_row;	    /* the first that was not given */
	bool begun;
};

static const struct lade_pipe_source *config_of(const struct outbox *o)
{
	return &o->engine->config->source;
}

static int64_t end_of_claim(const struct outbox *o)
{
	return o->base + o->rows.rows;
}

const int64_t *lade_pipe_outbox_keys(const struct lade_pipe_engine *e, int64_t from)
{
	const struct outbox *o = e->source;

	return o->keys + (from - o->base);
}

/* Claiming */

static int64_t key_at(const struct lade_pg_result *r, uint32_t row)
{
	struct lade_datum d = { 0 };

	(void)lade_pg_datum(r, row, 0, NULL, &d);
	return d.integer;
}

static int keep_keys(struct outbox *o)
{
	free(o->keys);
	o->keys = malloc((o->rows.rows + 1) * sizeof(*o->keys));
	for (uint32_t i = 0; o->keys && i < o->rows.rows; i++)
		o->keys[i] = key_at(&o->rows, i);
	return o->keys ? 0 : -ENOMEM;
}

/* What `try` shows. */
static int ask(struct outbox *o)
{
	struct lade_pg_error error;
	char why[512];
	int rc = lade_within(lade_ns(ASK_LIMIT_NS),
			     lade_pg_query(o->db, o->sql, NULL, &o->rows, &error));

	if (rc == 0 || rc == -ECANCELED)
		return rc;
	return lade_pipe_fail(o->engine, LADE_EXIT_FAILED, "source postgres: %s: %s",
			      config_of(o)->table,
			      rc == -ETIME ? "no answer" : lade_pipe_pg_say(&error, why));
}

static int claim(struct outbox *o)
{
	struct lade_pipe_engine *e = o->engine;
	int rc;

	o->base = end_of_claim(o);
	lade_pg_result_done(&o->rows);
	o->next_row = 0;
	if (o->db) {
		rc = ask(o);
	} else {
		rc = lade_sem_acquire(&e->keeping, 1);
		if (rc < 0)
			return rc;
		rc = lade_pipe_pg_claim_rows(e->keeper, o->sql, &o->rows);
		lade_sem_release(&e->keeping, 1);
	}
	return rc == 0 ? keep_keys(o) : rc;
}

/* The stream */

static bool is_stopped(const struct outbox *o)
{
	const struct lade_pipe_engine *e = o->engine;

	return e->stop_reading.set || e->failed ||
	       (e->read_max && o->lane.taken >= e->read_max);
}

static int give(struct outbox *o, struct lade_pipe_raw *raw)
{
	uint32_t len = 0, row = o->next_row;
	const char *text = lade_pg_bytes(&o->rows, row, 1, &len);
	bool too_long = len > config_of(o)->message_bytes_max;
	char *copy;

	if (too_long)
		len = (uint32_t)config_of(o)->message_bytes_max;
	copy = malloc(len + 1);
	if (!copy)
		return -ENOMEM;
	memcpy(copy, text ? text : "", len);
	copy[len] = 0;
	o->next_row++;
	*raw = (struct lade_pipe_raw){
		.owned = copy,
		.lane = &o->lane,
		.epoch = o->lane.epoch,
		.line = { .text = copy,
			  .len = len,
			  .too_long = too_long,
			  .ended = true,
			  .offset = o->keys[row],
			  .next_offset = o->base + row + 1 },
	};
	return 1;
}

static int outbox_try_next(void *self, void *ret_item)
{
	struct outbox *o = self;

	if (is_stopped(o))
		return 0;
	return o->next_row < o->rows.rows ? give(o, ret_item) : -EAGAIN;
}

/* Until all of the claim are finished, or it was given up.  Returns < 0; else look again. */
static int wait_for_claim(struct outbox *o)
{
	struct lade_pipe_engine *e = o->engine;

	lade_event_clear(&e->lane_moved);
	return lade_select(lade_event_case(&e->lane_moved), lade_event_case(&e->stop_reading));
}

static int outbox_next(void *self, void *ret_item)
{
	struct outbox *o = self;

	for (;;) {
		int rc = outbox_try_next(self, ret_item);

		if (rc != -EAGAIN)
			return rc;
		if (o->lane.commit_offset < end_of_claim(o)) {
			rc = wait_for_claim(o);
			if (rc < 0)
				return rc;
			continue;
		}
		if (o->db && o->keys) /* the same rows would come again */
			return 0;
		rc = claim(o);
		if (rc == 0 && o->rows.rows == 0 && !config_of(o)->follow)
			return 0;
		if (rc == 0 && o->rows.rows == 0)
			rc = lade_select(lade_after(lade_ms(LOOK_MS)),
					 lade_event_case(&o->engine->stop_reading));
		if (rc < 0)
			return rc;
	}
}

/* The source stays: its lane has messages under way. */
static void stop_reading(void *self)
{
	(void)self;
}

static const struct lade_source outbox_stream = { outbox_next, outbox_try_next, stop_reading };

/* How many of the lane's messages belong into the write that is being made up. */
static int64_t outbox_whole(const struct lade_pipe_engine *e)
{
	const struct outbox *o = e->source;

	/* What will not be given any more is not waited for. */
	return (is_stopped(o) ? o->lane.taken_offset : end_of_claim(o)) - o->lane.commit_offset;
}

/* Somebody else has written some of the rows, or nobody knows: what is left is claimed anew. */
static int outbox_rewind(struct lade_pipe_engine *e, struct lade_pipe_lane *lane)
{
	struct outbox *o = e->source;

	o->base = end_of_claim(o);
	lade_pg_result_done(&o->rows);
	o->next_row = 0;
	lade_pipe_lane_assign(lane, o->base);
	lane->stored.next_offset = o->base;
	lade_event_set(&e->lane_moved);
	return 0;
}

/* Opening */

/* What one write takes, and what may be under way. */
static int64_t rows_of_claim(const struct lade_pipe_engine *e)
{
	const struct lade_pipe_config *c = e->config;
	int64_t n = c->batch.messages_max * LADE_PIPE_GROUP_MAX;

	n = n < c->transaction_max ? n : c->transaction_max;
	n = n < c->in_flight_max ? n : c->in_flight_max;
	return e->read_max && n > (int64_t)e->read_max ? (int64_t)e->read_max : n;
}

static int build_sql(struct outbox *o, bool lock)
{
	char text[160];

	snprintf(text, sizeof(text), "select t.{key}::int8, to_json(t)::text from {table} t"
		 " order by t.{key} limit %" PRId64 "%s", rows_of_claim(o->engine),
		 lock ? " for update skip locked" : "");
	o->sql = lade_pipe_pg_source_sql(config_of(o), text);
	return o->sql ? 0 : -ENOMEM;
}

char *lade_pipe_outbox_delete_sql(const struct lade_pipe_config *config)
{
	return lade_pipe_pg_source_sql(&config->source,
				       "with d as (delete from {table} t"
				       " using unnest($1::int8[]) as u(k) where t.{key} = u.k"
				       " returning 1) select 1 / (case when count(*) ="
				       " cardinality($1) then 1 else 0 end) from d");
}

static int outbox_open(struct lade_pipe_engine *e)
{
	const struct lade_pg_config settings = { .connections_max = 1,
						 .read_only = true,
						 .statement_ns = ASK_LIMIT_NS };
	struct outbox *o = calloc(1, sizeof(*o));
	struct lade_pg_error error;
	int rc;

	if (!o)
		return -ENOMEM;
	e->source = o;
	e->stats.bytes_total = -1;
	o->engine = e;
	lade_pipe_lane_init(&o->lane, config_of(o)->table, 0, e->config->in_flight_max);
	o->lane.name = config_of(o)->table;
	rc = build_sql(o, !e->show);
	if (rc == 0 && e->show)
		rc = lade_pipe_pg_open(e->config, config_of(o)->db, settings, &o->db, &error);
	return rc < 0 && rc != -ENOMEM
		       ? lade_pipe_fail(e, LADE_EXIT_FAILED, "source postgres: %s", error.text)
		       : rc;
}

static int outbox_start(struct lade_pipe_engine *e, struct lade_scope *scope,
			struct lade_pipe_raw_stream **ret)
{
	struct outbox *o = e->source;

	(void)scope;
	lade_pipe_lane_begin(e, &o->lane, 0);
	o->begun = true;
	*ret = lade_pipe_raw_stream_of(&outbox_stream, o);
	return 0;
}

static void outbox_close(struct lade_pipe_engine *e)
{
	struct outbox *o = e->source;

	if (!o)
		return;
	if (o->begun)
		lade_pipe_lane_end(e, &o->lane);
	else
		lade_pipe_lane_done(&o->lane);
	lade_pg_result_done(&o->rows);
	lade_pg_close(o->db);
	free(o->keys);
	free(o->sql);
	free(o);
	e->source = NULL;
}

const struct lade_pipe_source_ops lade_pipe_from_outbox = {
	.open = outbox_open,
	.rewind = outbox_rewind,
	.whole = outbox_whole,
	.start = outbox_start,
	.close = outbox_close,
};
