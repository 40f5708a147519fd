/* SPDX-License-Identifier: MIT */
/* source_postgres.c - rows of a table of PostgreSQL that grows, each of them once, none left out.
 *
 * DESIGN
 * Numbers of a sequence become visible out of order: who reads "all above the last" misses a row
 * whose transaction took a lower number and committed later. So a row carries the number of the
 * transaction that made it (an xid8 column whose default is pg_current_xact_id()), and what is read
 * are the rows of transactions below pg_snapshot_xmin: all of those have ended, none can appear any
 * more. Rows go out in the order of (transaction, key).
 *
 * Without such a column a key counts as settled when it, or a higher one, was there `settle` ago:
 * the highest key is noted now and then, and rows up to the latest note that is old enough are
 * read. That hopes that no transaction takes longer, as the check says.
 *
 * The table is one lane. An offset counts the rows that were given; what it stands for, the last
 * row's transaction and key, is kept beside it as the lane's cluster, so that an offset is never
 * stored without its place.
 *
 * LIMITS  FETCH rows of one question; nothing is asked while they last. A row that was changed has
 * a new transaction only if its writer says so. */

#include "services/pipeline/engine.h"
#include "services/pipeline/postgres.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define FETCH "1000"
#define LOOK_MS 250 /* between two looks for more */
#define ASK_LIMIT_NS INT64_C(30000000000)
#define NOTES 16 /* of the highest key: one settles while fewer than that are made */

/* The highest key that there was. */
struct key_note {
	int64_t at_ns;
	int64_t key;
};

/* Which row an offset is behind. */
struct place {
	int64_t offset;
	uint64_t xid;
	int64_t key;
};

struct source {
	struct lade_pipe_engine *engine;
	struct lade_pg *db;
	struct lade_pipe_lane lane;
	char *sql;		    /* the next rows */
	char *highest_sql;	    /* without xid */
	struct lade_pg_args args;
	struct lade_pg_result rows; /* the latest answer */
	uint32_t next_row;	    /* of it */
	struct place read;	    /* behind the last row that was given */
	struct place *places;	    /* of rows under way, from .first on; a ring */
	size_t first, n, room;
	uint64_t given;		    /* rows, in this run */
	struct key_note notes[NOTES]; /* without xid: the oldest first */
	unsigned n_notes;
	int64_t settled;	    /* keys up to it may be read */
	int64_t at_first;	    /* the highest key when it began */
	bool begun;
	char trouble[256];
	int64_t trouble_since_ns;
};

static const struct lade_pipe_source *config_of(const struct source *s)
{
	return &s->engine->config->source;
}

/* Places */

static int remember(struct source *s)
{
	if (s->n == s->room) {
		size_t room = s->room ? s->room * 2 : 1024;
		struct place *places = malloc(room * sizeof(*places));

		if (!places)
			return -ENOMEM;
		for (size_t i = 0; i < s->n; i++)
			places[i] = s->places[(s->first + i) % s->room];
		free(s->places);
		s->places = places;
		s->room = room;
		s->first = 0;
	}
	s->places[(s->first + s->n++) % s->room] = s->read;
	return 0;
}

/* Forgets what is finished. */
static void table_moved(struct lade_pipe_engine *e, struct lade_pipe_lane *lane)
{
	struct source *s = e->source;

	while (s->n && s->places[s->first].offset < lane->commit_offset) {
		s->first = (s->first + 1) % s->room;
		s->n--;
	}
}

/* A place as a text; one without a transaction is told from one that has it. */
static void put_place(const struct source *s, const struct place *p, char ret[LADE_POSITION_ROOM])
{
	if (config_of(s)->xid)
		snprintf(ret, LADE_POSITION_ROOM, "%" PRIu64 " %" PRId64, p->xid, p->key);
	else
		snprintf(ret, LADE_POSITION_ROOM, "key %" PRId64, p->key);
}

static bool read_place(const struct source *s, const char *text, struct place *ret)
{
	return config_of(s)->xid
		       ? sscanf(text, "%" SCNu64 " %" SCNd64, &ret->xid, &ret->key) == 2
		       : sscanf(text, "key %" SCNd64, &ret->key) == 1;
}

static int table_identify(struct lade_pipe_engine *e, struct lade_pipe_lane *lane, int64_t offset)
{
	struct source *s = e->source;

	for (size_t i = 0; i < s->n; i++) {
		const struct place *p = &s->places[(s->first + i) % s->room];

		if (p->offset != offset)
			continue;
		put_place(s, p, lane->cluster);
		return 0;
	}
	return 0; /* where it is already */
}

/* Asking */

static int64_t integer_at(const struct lade_pg_result *r, uint32_t row, unsigned column)
{
	struct lade_datum d = { 0 };

	(void)lade_pg_datum(r, row, column, NULL, &d);
	return d.integer;
}

static uint64_t xid_at(const struct lade_pg_result *r, uint32_t row)
{
	char text[24];
	uint32_t len = 0;
	const char *bytes = lade_pg_bytes(r, row, 0, &len);

	snprintf(text, sizeof(text), "%.*s", (int)len, bytes ? bytes : "0");
	return strtoull(text, NULL, 10);
}

/* Which rows are meant. */
static void bind_place(struct source *s)
{
	char xid[24];

	lade_pg_args_reset(&s->args);
	if (config_of(s)->xid) {
		snprintf(xid, sizeof(xid), "%" PRIu64, s->read.xid);
		lade_pg_text(&s->args, xid, strlen(xid));
	} else {
		lade_pg_int8(&s->args, s->settled);
	}
	lade_pg_int8(&s->args, s->read.key);
}

static int query(struct source *s, const char *sql, struct lade_pg_args *args, char why[512])
{
	struct lade_pg_error error;
	int rc;

	lade_pg_result_done(&s->rows);
	s->next_row = 0;
	rc = lade_within(lade_ns(ASK_LIMIT_NS),
			 lade_pg_query(s->db, sql, args, &s->rows, &error));
	if (rc == -ETIME) {
		snprintf(why, 512, "no answer after %d s", (int)(ASK_LIMIT_NS / 1000000000));
		return -EAGAIN;
	}
	if (rc < 0 && rc != -ECANCELED)
		lade_pipe_pg_say(&error, why);
	return rc;
}

/* Notes the highest key, unless that was just done, and finds out which has settled. */
static int settle(struct source *s, char why[512])
{
	const int64_t settle_ns = config_of(s)->settle_ns, now_ns = lade_now().mono_ns;
	unsigned old = 0;
	int rc;

	if (!s->n_notes || now_ns - s->notes[s->n_notes - 1].at_ns > settle_ns / (NOTES - 2)) {
		rc = query(s, s->highest_sql, NULL, why);
		if (rc < 0)
			return rc;
		s->notes[s->n_notes++] = (struct key_note){ now_ns, integer_at(&s->rows, 0, 0) };
	}
	while (old < s->n_notes && now_ns - s->notes[old].at_ns >= settle_ns)
		s->settled = s->notes[old++].key;
	if (s->engine->show) /* `try` does not wait, and keeps nothing */
		s->settled = s->at_first;
	s->n_notes -= old;
	memmove(s->notes, s->notes + old, s->n_notes * sizeof(*s->notes));
	return 0;
}

static int ask_once(struct source *s, char why[512])
{
	int rc = config_of(s)->xid ? 0 : settle(s, why);

	if (rc < 0)
		return rc;
	bind_place(s);
	return query(s, s->sql, &s->args, why);
}

/* What fails passes, or is for a person: it is waited out, visibly, as long as anything is read.
 * Returns 0, perhaps with no rows; < 0. */
static int ask(struct source *s)
{
	struct lade_pipe_engine *e = s->engine;
	char why[512] = "";

	for (uint32_t attempt = 1;; attempt++) {
		int rc = ask_once(s, why);

		if (rc == 0)
			lade_pipe_recovered(e, "source postgres", s->trouble, &s->trouble_since_ns);
		if (rc == 0 || rc == -ECANCELED || rc == -ENOMEM)
			return rc;
		lade_pipe_trouble(e, "source postgres", s->trouble, "%s", why);
		if (!s->trouble_since_ns)
			s->trouble_since_ns = lade_now().mono_ns;
		rc = lade_pipe_back_off_reading(e, attempt);
		if (rc < 0 || e->stop_reading.set)
			return rc;
	}
}

/* The stream */

static bool is_stopped(const struct source *s)
{
	const struct lade_pipe_engine *e = s->engine;

	return e->stop_reading.set || e->failed || (e->read_max && s->given >= e->read_max);
}

static int give(struct source *s, struct lade_pipe_raw *raw)
{
	uint32_t len = 0, row = s->next_row;
	const char *text = lade_pg_bytes(&s->rows, row, 2, &len);
	bool too_long = len > config_of(s)->message_bytes_max;
	char *copy;
	int rc;

	if (too_long)
		len = (uint32_t)config_of(s)->message_bytes_max;
	copy = malloc(len + 1);
	if (!copy)
		return -ENOMEM;
	memcpy(copy, text ? text : "", len);
	copy[len] = 0;
	s->read = (struct place){ s->read.offset + 1, xid_at(&s->rows, row),
				  integer_at(&s->rows, row, 1) };
	rc = remember(s);
	if (rc < 0) {
		free(copy);
		return rc;
	}
	s->next_row++;
	s->given++;
	*raw = (struct lade_pipe_raw){
		.owned = copy,
		.lane = &s->lane,
		.line = { .text = copy,
			  .len = len,
			  .too_long = too_long,
			  .ended = true,
			  .offset = s->read.offset - 1,
			  .next_offset = s->read.offset },
	};
	return 1;
}

static int table_try_next(void *self, void *ret_item)
{
	struct source *s = self;

	if (is_stopped(s))
		return 0;
	return s->next_row < s->rows.rows ? give(s, ret_item) : -EAGAIN;
}

/* Without more rows now: is that all there was at the beginning? */
static bool is_at_end(const struct source *s)
{
	return !config_of(s)->follow && (config_of(s)->xid || s->settled >= s->at_first);
}

static int table_next(void *self, void *ret_item)
{
	struct source *s = self;

	for (;;) {
		int rc = table_try_next(self, ret_item);

		if (rc != -EAGAIN)
			return rc;
		rc = ask(s);
		if (rc == 0 && s->rows.rows == 0 && is_at_end(s))
			return 0;
		if (rc == 0 && s->rows.rows == 0)
			rc = lade_select(lade_after(lade_ms(LOOK_MS)),
					 lade_event_case(&s->engine->stop_reading));
		if (rc < 0)
			return rc;
	}
}

/* The source stays: its lane has messages under way. */
static void stop_reading(void *self)
{
	(void)self;
}

static const struct lade_source table_stream = { table_next, table_try_next, stop_reading };

/* Opening */

/* Rows in the order of transaction and key, of transactions that have all ended. */
static const char BY_XID[] =
	"select t.{xid}::text, t.{key}::int8, to_json(t)::text from {table} t"
	" where (t.{xid}, t.{key}) > ($1::text::xid8, $2::int8)"
	" and t.{xid} < pg_snapshot_xmin(pg_current_snapshot())"
	" order by t.{xid}, t.{key} limit " FETCH;

/* Rows in the order of the key, up to one that has settled. */
static const char BY_KEY[] =
	"select '0', t.{key}::int8, to_json(t)::text from {table} t"
	" where t.{key} <= $1::int8 and t.{key} > $2::int8 order by t.{key} limit " FETCH;

static const char HIGHEST[] =
	"select coalesce(max(t.{key})::int8, (-9223372036854775808)::int8) from {table} t";

static int build_sql(struct source *s)
{
	const struct lade_pipe_source *c = config_of(s);

	s->sql = lade_pipe_pg_source_sql(c, c->xid ? BY_XID : BY_KEY);
	s->highest_sql = lade_pipe_pg_source_sql(c, HIGHEST);
	return s->sql && s->highest_sql ? 0 : -ENOMEM;
}

/* One question: whether the table, its columns and the right to read them are there. */
static int try_sql(struct source *s)
{
	char why[512] = "";
	int rc;

	s->read = (struct place){ .key = INT64_MIN };
	s->settled = INT64_MIN;
	rc = ask_once(s, why);
	if (rc == -EAGAIN && !s->engine->probing)
		rc = ask(s);
	lade_pg_result_done(&s->rows);
	s->next_row = 0;
	if (rc == 0 && s->n_notes)
		s->at_first = s->notes[0].key;
	return rc < 0 && rc != -ECANCELED && rc != -ENOMEM
		       ? lade_pipe_fail_at(s->engine, LADE_EXIT_FAILED,
					   lade_pipe_config_node(s->engine->config, NULL, 0,
								 "source.postgres"), 0,
					   "source postgres: %s: %s", config_of(s)->table, why)
		       : rc;
}

static int table_open(struct lade_pipe_engine *e)
{
	const struct lade_pg_config settings = { .connections_max = 1,
						 .read_only = true,
						 .statement_ns = ASK_LIMIT_NS };
	struct source *s = calloc(1, sizeof(*s));
	struct lade_pg_error error;
	int rc;

	if (!s)
		return -ENOMEM;
	e->source = s;
	e->stats.bytes_total = -1;
	s->engine = e;
	lade_pg_args_init(&s->args, 0);
	lade_pipe_lane_init(&s->lane, config_of(s)->table, 0, e->config->in_flight_max);
	s->lane.name = config_of(s)->table;
	rc = build_sql(s);
	if (rc == 0)
		rc = lade_pipe_pg_open(e->config, config_of(s)->db, settings, &s->db, &error);
	if (rc < 0 && rc != -ENOMEM)
		return lade_pipe_fail(e, LADE_EXIT_FAILED, "source postgres: %s", error.text);
	return rc == 0 ? try_sql(s) : rc;
}

/* Where it was left: the offset, and the row that it stands for. */
static int begin(struct source *s)
{
	struct place left = { .key = INT64_MIN };
	int rc;

	put_place(s, &(struct place){ 0 }, s->lane.cluster);
	rc = lade_pipe_lane_claim(s->engine, &s->lane);
	if (rc < 0)
		return rc;
	if (s->lane.stored.next_offset > 0 &&
	    !read_place(s, s->lane.stored.cluster, &left))
		return lade_pipe_fail(s->engine, LADE_EXIT_FAILED,
				      "source postgres: what is kept of %s (\"%s\") is no place in "
				      "a table that is read like this: was this pipeline's name "
				      "another one's, or xid added or left out since?",
				      config_of(s)->table, s->lane.stored.cluster);
	snprintf(s->lane.cluster, sizeof(s->lane.cluster), "%s", s->lane.stored.cluster);
	left.offset = s->lane.stored.next_offset;
	s->read = left;
	lade_pipe_lane_begin(s->engine, &s->lane, s->read.offset);
	s->begun = true;
	return 0;
}

static int table_start(struct lade_pipe_engine *e, struct lade_scope *scope,
		       struct lade_pipe_raw_stream **ret)
{
	int rc = begin(e->source);

	(void)scope;
	if (rc == 0)
		*ret = lade_pipe_raw_stream_of(&table_stream, e->source);
	return rc;
}

static void table_close(struct lade_pipe_engine *e)
{
	struct source *s = e->source;

	if (!s)
		return;
	if (s->begun)
		lade_pipe_lane_end(e, &s->lane);
	else
		lade_pipe_lane_done(&s->lane);
	lade_pg_result_done(&s->rows);
	lade_pg_args_done(&s->args);
	lade_pg_close(s->db);
	free(s->places);
	free(s->sql);
	free(s->highest_sql);
	free(s);
	e->source = NULL;
}

const struct lade_pipe_source_ops lade_pipe_from_postgres = {
	.open = table_open,
	.identify = table_identify,
	.moved = table_moved,
	.start = table_start,
	.close = table_close,
};
