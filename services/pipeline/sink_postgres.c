/* SPDX-License-Identifier: MIT */
/* sink_postgres.c - rows into a table of PostgreSQL, with offsets and dead letters beside them.
 *
 * DESIGN
 * A write is one round trip and one transaction: the fence, which moves the offsets, then the rows
 * as arrays, then the dead letters. The fence fails unless it has moved every lane that it was told
 * to, and is known by being the first statement, whatever error it fails with. What is not known,
 * after a fence or a commit whose answer was lost, is read: epoch and offset of each lane.
 *
 * Upserts are reduced to one row per key, the last in the order of the lanes (or that with the
 * highest version), and sorted by key: one statement may not touch a row twice, and two processes
 * that take rows in different orders deadlock.
 *
 * PostgreSQL does not say which row it refuses. So parts of the rows are tried, in transactions
 * that end with a failure of our own and leave nothing: halves, until a row stands alone. Where the
 * halves are fine and the whole is not, rows are in each other's way: the later one is to blame. */

#include "services/pipeline/phase.h"
#include "services/pipeline/postgres.h"
#include "services/pipeline/rows.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WRITE_LIMIT_NS INT64_C(30000000000)
#define SQL_MAX (1 << 20)
#define KEY_MAX 16 /* columns of a conflict key */
#define ARGS_MAX ((size_t)1 << 30) /* bytes of a transaction's rows */

struct to_postgres {
	struct lade_pipe_outlet *outlet;
	struct lade_pg *db;
	struct lade_pg_table table;
	struct lade_pipe_table rows; /* what they are made of */
	bool has_table;		     /* `check` may find none */
	unsigned key[KEY_MAX];	     /* places among the columns that are written */
	unsigned n_key;
	int version;		     /* the same; -1: none */
	char *insert, *letters;	     /* SQL; owned */
	struct lade_pg_args fence_args, row_args, letter_args;
	struct lade_pg_error error;
	char why[512];
};

static const char FENCE_SQL[] =
	"with m as (select * from unnest($2::text[], $3::int8[], $4::int8[], $5::int8[],"
	" $6::int8[], $7::text[]) as m(topic, part, epoch, was, next, cluster)),"
	" u as (update lade_offsets o set next_offset = m.next, cluster = m.cluster,"
	" updated_at = now() from m where o.pipeline = $1 and o.topic = m.topic"
	" and o.part = m.part and o.epoch = m.epoch and o.next_offset = m.was returning 1)"
	" select 1 / (case when count(*) = cardinality($3) then 1 else 0 end) from u";

static const char CLAIM_SQL[] =
	"insert into lade_offsets as o (pipeline, topic, part, next_offset, epoch, owner, cluster)"
	" values ($1, $2, $3, 0, 1, $4, $5) on conflict (pipeline, topic, part) do update"
	" set epoch = o.epoch + 1, owner = excluded.owner, updated_at = now()"
	" returning next_offset, epoch, cluster";

static const char READ_SQL[] =
	"select m.nth - 1, o.next_offset, o.epoch, o.owner"
	" from unnest($2::text[], $3::int8[]) with ordinality as m(topic, part, nth)"
	" join lade_offsets o on o.pipeline = $1 and o.topic = m.topic and o.part = m.part";

static const char OFFSETS_SQL[] =
	"create table if not exists lade_offsets (pipeline text not null, topic text not null,"
	" part int8 not null, next_offset int8 not null, epoch int8 not null, owner text not null,"
	" cluster text not null, format int4 not null default 1,"
	" updated_at timestamptz not null default now(), primary key (pipeline, topic, part))";

/* A text of a failure, at the place that the configuration names. */
static int config_fail(struct lade_pipe_outlet *outlet, const char *what, const char *reason)
{
	return lade_pipe_fail(outlet->engine, LADE_EXIT_FAILED, "sink postgres: %s: %s", what,
			      reason);
}

static void text(struct lade_pg_args *args, const char *value)
{
	lade_pg_text(args, value, strlen(value));
}

/* Calls */

static int call(struct to_postgres *s, const struct lade_pg_statement *statements, unsigned n,
		struct lade_pg_result *results)
{
	int rc = lade_within(lade_ns(WRITE_LIMIT_NS),
			     lade_pg_batch(s->db, statements, n, results, &s->error));

	if (rc == -ETIME) {
		enum lade_pg_exchange exchange = s->error.exchange;

		s->error = (struct lade_pg_error){ .fault = LADE_PG_PASSING, .exchange = exchange,
						   .statement = -1 };
		snprintf(s->error.text, sizeof(s->error.text), "no answer after %d s",
			 (int)(WRITE_LIMIT_NS / 1000000000));
		rc = -EAGAIN;
	}
	lade_pipe_pg_say(&s->error, s->why);
	return rc == -EMSGSIZE || rc == -EINVAL ? -EIO : rc;
}

static int64_t integer_at(const struct lade_pg_result *r, uint32_t row, unsigned column)
{
	struct lade_datum d = { 0 };

	(void)lade_pg_datum(r, row, column, NULL, &d);
	return d.integer;
}

static void text_at(const struct lade_pg_result *r, uint32_t row, unsigned column, char *to,
		    size_t room)
{
	uint32_t len = 0;
	const char *bytes = lade_pg_bytes(r, row, column, &len);

	snprintf(to, room, "%.*s", (int)len, bytes ? bytes : "");
}

/* Offsets */

static void build_fence(struct to_postgres *s, const struct lade_pipe_move *moves, uint32_t n)
{
	struct lade_pg_args *a = &s->fence_args;

	lade_pg_args_reset(a);
	text(a, s->outlet->engine->config->name);
	lade_pg_array(a, LADE_PG_TEXT, n);
	for (uint32_t i = 0; i < n; i++)
		lade_pg_item_text(a, moves[i].lane->topic, strlen(moves[i].lane->topic));
	lade_pg_array(a, LADE_PG_INT8, n);
	for (uint32_t i = 0; i < n; i++)
		lade_pg_item_int8(a, moves[i].lane->part);
	lade_pg_array(a, LADE_PG_INT8, n);
	for (uint32_t i = 0; i < n; i++)
		lade_pg_item_int8(a, moves[i].lane->stored.epoch);
	lade_pg_array(a, LADE_PG_INT8, n);
	for (uint32_t i = 0; i < n; i++)
		lade_pg_item_int8(a, moves[i].lane->stored.next_offset);
	lade_pg_array(a, LADE_PG_INT8, n);
	for (uint32_t i = 0; i < n; i++)
		lade_pg_item_int8(a, moves[i].to);
	lade_pg_array(a, LADE_PG_TEXT, n);
	for (uint32_t i = 0; i < n; i++)
		lade_pg_item_text(a, moves[i].lane->cluster, strlen(moves[i].lane->cluster));
}

/* Somebody else has claimed a lane. Where lanes come and go that is how one learns that it has
 * gone; else two processes run one pipeline. */
static int overtaken(struct to_postgres *s, struct lade_pipe_lane *lane, const char *owner)
{
	struct lade_pipe_engine *e = s->outlet->engine;

	lane->fenced = true;
	if (e->from->rewind)
		return -ESTALE;
	return lade_pipe_fail(e, LADE_EXIT_FAILED,
			      "sink postgres: another process (%s) has taken this pipeline over; "
			      "what this one had not committed is that one's now. Let one run at "
			      "a time",
			      owner);
}

/* Its own epoch, and an offset from before: the database has lost what it had said was safe. */
static int went_back(struct to_postgres *s, const struct lade_pipe_lane *lane, int64_t now)
{
	struct lade_pipe_engine *e = s->outlet->engine;

	if (e->from->rewind) {
		lade_pipe_say(e, "%s: the database is back at %lld, before the %lld that it had "
			      "kept: it has lost commits; the lane is read again from there",
			      lane->name, (long long)now, (long long)lane->stored.next_offset);
		return -ESTALE;
	}
	return lade_pipe_fail(e, LADE_EXIT_FAILED,
			      "sink postgres: the offset of %s is not where it was left: the "
			      "database has lost commits, or somebody has set it. Start again to "
			      "go on from where it is",
			      lane->name);
}

/* What the database says of each lane.
 *
 * Returns 0: all is written; -EAGAIN: nothing is, again; -ESTALE: nothing is, and never will be. */
static int judge_stored(struct to_postgres *s, const struct lade_pg_result *r,
			const struct lade_pipe_move *moves, uint32_t n)
{
	uint32_t done = 0;
	int rc = 0;

	for (uint32_t k = 0; k < r->rows; k++) {
		const struct lade_pipe_move *m = &moves[integer_at(r, k, 0)];
		int64_t next = integer_at(r, k, 1);
		char owner[128];

		text_at(r, k, 3, owner, sizeof(owner));
		if (integer_at(r, k, 2) != m->lane->stored.epoch)
			rc = overtaken(s, m->lane, owner);
		else if (next == m->to)
			done++;
		else if (next != m->lane->stored.next_offset)
			rc = rc < 0 ? rc : went_back(s, m->lane, next);
	}
	if (r->rows < n)
		rc = config_fail(s->outlet, "lade_offsets", "this pipeline's rows are gone from it");
	if (rc < 0)
		return rc;
	return done == n ? 0 : -EAGAIN;
}

static int ask_stored(struct to_postgres *s, const struct lade_pipe_move *moves, uint32_t n)
{
	const struct lade_pg_statement read = { READ_SQL, &s->fence_args };
	struct lade_pg_args *a = &s->fence_args;
	struct lade_pg_result r = { 0 };
	int rc;

	lade_pg_args_reset(a);
	text(a, s->outlet->engine->config->name);
	lade_pg_array(a, LADE_PG_TEXT, n);
	for (uint32_t i = 0; i < n; i++)
		lade_pg_item_text(a, moves[i].lane->topic, strlen(moves[i].lane->topic));
	lade_pg_array(a, LADE_PG_INT8, n);
	for (uint32_t i = 0; i < n; i++)
		lade_pg_item_int8(a, moves[i].lane->part);
	rc = call(s, &read, 1, &r);
	if (rc < 0)
		return rc == -ECANCELED ? rc : -EAGAIN;
	rc = judge_stored(s, &r, moves, n);
	lade_pg_result_done(&r);
	return rc;
}

/* The same until it is known: nothing else may be written before. */
static int find_out(struct to_postgres *s, const struct lade_pipe_move *moves, uint32_t n,
		    const char *why)
{
	struct lade_pipe_engine *e = s->outlet->engine;
	char said[512];

	snprintf(said, sizeof(said), "%s", why);
	for (uint32_t attempt = 1;; attempt++) {
		int rc = ask_stored(s, moves, n);

		if (rc != -EAGAIN || s->error.fault != LADE_PG_PASSING || !*s->error.text) {
			snprintf(s->why, sizeof(s->why), "%s", said);
			return rc;
		}
		lade_pipe_trouble(e, "sink postgres", s->outlet->trouble, "%s", s->why);
		if (!s->outlet->trouble_since_ns)
			s->outlet->trouble_since_ns = lade_now().mono_ns;
		rc = lade_pipe_back_off(e, attempt);
		if (rc < 0)
			return rc;
	}
}

/* The order of rows */

static int compare(const struct lade_datum *a, const struct lade_datum *b)
{
	uint32_t len = a->len < b->len ? a->len : b->len;
	int order;

	if (a->type != b->type)
		return a->type < b->type ? -1 : 1;
	switch (a->type) {
	case LADE_TEXT:
	case LADE_JSON:
		order = len ? memcmp(a->text, b->text, len) : 0;
		return order ? order : (a->len > b->len) - (a->len < b->len);
	case LADE_DOUBLE:
		return (a->real > b->real) - (a->real < b->real);
	case LADE_INTEGER:
	case LADE_BOOLEAN:
	case LADE_TIMESTAMP:
		return (a->integer > b->integer) - (a->integer < b->integer);
	default:
		return 0;
	}
}

static int compare_keys(const struct to_postgres *s, const struct lade_datum *a,
			const struct lade_datum *b)
{
	for (unsigned k = 0; k < s->n_key; k++) {
		int order = compare(&a[s->key[k]], &b[s->key[k]]);

		if (order)
			return order;
	}
	return 0;
}

/* A row on its way: which one it was. */
struct placed {
	const struct to_postgres *s;
	const struct lade_datum *cells;
	uint32_t row;
};

static int by_key(const void *a, const void *b)
{
	const struct placed *x = a, *y = b;
	int order = compare_keys(x->s, x->cells, y->cells);

	return order ? order : (x->row > y->row) - (x->row < y->row);
}

/* Of two rows of one key, in the order of their lanes: does the later one count? */
static bool replaces(const struct to_postgres *s, const struct placed *later,
		     const struct placed *earlier)
{
	return s->version < 0 || earlier->cells[s->version].type == LADE_NULL ||
	       compare(&later->cells[s->version], &earlier->cells[s->version]) > 0;
}

static bool has_null_key(const struct to_postgres *s, const struct placed *p)
{
	for (unsigned k = 0; k < s->n_key; k++)
		if (p->cells[s->key[k]].type == LADE_NULL)
			return true;
	return false;
}

/* Sorts rows by key, and leaves one of each for an upsert. */
static uint32_t sort_and_reduce(const struct to_postgres *s, struct placed *rows, uint32_t n)
{
	const struct lade_pipe_sink *c = s->outlet->config;
	uint32_t kept = 0;

	if (!s->n_key || c->on_conflict == LADE_CONFLICT_ERROR)
		return n;
	qsort(rows, n, sizeof(*rows), by_key);
	for (uint32_t i = 0; i < n; i++) {
		/* Two nulls are not one key. */
		if (c->on_conflict == LADE_CONFLICT_UPDATE && kept &&
		    compare_keys(s, rows[kept - 1].cells, rows[i].cells) == 0 &&
		    !has_null_key(s, &rows[i])) {
			if (replaces(s, &rows[i], &rows[kept - 1]))
				rows[kept - 1] = rows[i];
		} else {
			rows[kept++] = rows[i];
		}
	}
	return kept;
}

/* The rows of the numbers @index, as arrays.  Returns 0 or -ENOMEM. */
static int build_rows(struct to_postgres *s, struct lade_pipe_rows *rows, const uint32_t *index,
		      uint32_t n)
{
	unsigned columns = s->rows.n_columns;
	struct placed *placed = malloc((n + 1) * sizeof(*placed));
	struct lade_datum *cells = malloc(((size_t)n * columns + 1) * sizeof(*cells));
	uint32_t kept = 0;

	lade_pg_args_reset(&s->row_args);
	for (uint32_t i = 0; placed && i < n; i++)
		placed[i] = (struct placed){ s, rows->cells + (size_t)index[i] * columns,
					     index[i] };
	if (placed && cells)
		kept = sort_and_reduce(s, placed, n);
	for (uint32_t i = 0; i < kept; i++)
		memcpy(cells + (size_t)i * columns, placed[i].cells, columns * sizeof(*cells));
	for (unsigned c = 0; cells && c < columns; c++)
		lade_pg_array_of(&s->row_args, lade_pg_type_of(s->rows.columns[c].ref.want.type),
				 cells + c, columns, kept);
	free(placed);
	free(cells);
	return placed && cells ? s->row_args.status : -ENOMEM;
}

static void build_letters(struct to_postgres *s, const struct lade_pipe_rows *rows)
{
	static const enum lade_pg_type types[LADE_PIPE_LETTER_COLUMNS] = {
		LADE_PG_TEXT, LADE_PG_TEXT, LADE_PG_INT8, LADE_PG_INT8, LADE_PG_INT8,
		LADE_PG_TEXT, LADE_PG_TEXT, LADE_PG_INT8, LADE_PG_TIMESTAMPTZ, LADE_PG_TEXT
	};

	lade_pg_args_reset(&s->letter_args);
	for (unsigned c = 0; c < LADE_PIPE_LETTER_COLUMNS; c++)
		lade_pg_array_of(&s->letter_args, types[c], rows->letters + c,
				 LADE_PIPE_LETTER_COLUMNS, rows->n_letters);
}

/* Which row it is */

/* A cardinality violation is the data's, too: keys that PostgreSQL finds equal and we did not. */
static bool is_datas(const struct to_postgres *s, int rc)
{
	return rc == -EBADMSG || (rc == -EIO && strncmp(s->error.sqlstate, "21", 2) == 0);
}

/* Writes rows and takes them back.  Returns 0: they are fine; -EBADMSG: they are not; < 0. */
static int try_rows(struct to_postgres *s, struct lade_pipe_rows *rows, const uint32_t *index,
		    uint32_t n)
{
	const struct lade_pg_statement statements[] = {
		{ s->insert, &s->row_args },
		{ "set constraints all immediate", NULL },
		{ "select 1 / 0", NULL },
	};
	int rc = build_rows(s, rows, index, n);

	if (rc < 0)
		return rc == -EMSGSIZE ? -EBADMSG : rc;
	rc = call(s, statements, 3, NULL);
	if (rc == -EBADMSG && s->error.statement == 2)
		return 0;
	return is_datas(s, rc) ? -EBADMSG : rc;
}

static int blame(struct to_postgres *s, struct lade_pipe_rows *rows, uint32_t row, uint32_t *found)
{
	++*found;
	return lade_pipe_rows_reject(&s->rows, rows->batch_of[row], rows->at_of[row], s->why);
}

/* Rows that are fine one by one and not together: the shortest beginning that fails ends with the
 * one to blame. */
static int find_in_the_way(struct to_postgres *s, struct lade_pipe_rows *rows,
			   const uint32_t *index, uint32_t n, uint32_t *found)
{
	uint32_t good = 0, failing = n;
	char why[512];
	int rc;

	snprintf(why, sizeof(why), "%s", s->why);
	while (failing - good > 1) {
		uint32_t half = good + (failing - good) / 2;

		rc = try_rows(s, rows, index, half);
		if (rc == -EBADMSG)
			snprintf(why, sizeof(why), "%s", s->why);
		else if (rc < 0)
			return rc;
		if (rc == 0)
			good = half;
		else
			failing = half;
	}
	snprintf(s->why, sizeof(s->why), "%s", why);
	return blame(s, rows, index[failing - 1], found);
}

/* Rejects the rows of @index that PostgreSQL refuses; these fail as a whole. */
static int find_bad(struct to_postgres *s, struct lade_pipe_rows *rows, const uint32_t *index,
		    uint32_t n, uint32_t *found)
{
	uint32_t before = *found;
	int rc = 0;

	if (n == 1)
		return blame(s, rows, *index, found);
	for (uint32_t from = 0, half = n / 2; rc == 0 && from < n; from += half, half = n - half) {
		rc = try_rows(s, rows, index + from, half);
		if (rc == -EBADMSG)
			rc = find_bad(s, rows, index + from, half, found);
	}
	if (rc == 0 && *found == before) {
		rc = try_rows(s, rows, index, n);
		if (rc == -EBADMSG)
			rc = find_in_the_way(s, rows, index, n, found);
	}
	return rc;
}

/* Writing */

static int send(struct to_postgres *s, const struct lade_pipe_rows *rows,
		const struct lade_pipe_move *moves, uint32_t n_moves, int *ret_rows_at)
{
	struct lade_pg_statement statements[3];
	unsigned n = 0;

	*ret_rows_at = -1;
	if (n_moves) {
		build_fence(s, moves, n_moves);
		statements[n++] = (struct lade_pg_statement){ FENCE_SQL, &s->fence_args };
	}
	if (rows->n) {
		*ret_rows_at = (int)n;
		statements[n++] = (struct lade_pg_statement){ s->insert, &s->row_args };
	}
	if (rows->n_letters) {
		build_letters(s, rows);
		statements[n++] = (struct lade_pg_statement){ s->letters, &s->letter_args };
	}
	if (n == 0)
		return 0;
	lade_pipe_phase(LADE_PHASE_FENCE);
	lade_pipe_phase(LADE_PHASE_COMMIT);
	return call(s, statements, n, NULL);
}

static uint32_t *all_of(struct lade_pipe_rows *rows)
{
	uint32_t *index = lade_arena_alloc(&rows->arena, (rows->n + 1) * sizeof(*index));

	for (uint32_t i = 0; index && i < rows->n; i++)
		index[i] = i;
	return index;
}

/* After a failure: what is to be done.  Returns 0: it is written; 1: again at once; < 0. */
static int after_failure(struct to_postgres *s, struct lade_pipe_rows *rows, const uint32_t *index,
			 const struct lade_pipe_move *moves, uint32_t n_moves, int rc, int rows_at)
{
	bool unsure = s->error.exchange == LADE_PG_SENT;
	bool fence = n_moves && s->error.statement == 0 && s->error.fault != LADE_PG_PASSING;
	uint32_t found = 0;

	if (rc == -ECANCELED || rc == -ENOMEM)
		return rc;
	if (n_moves && (unsure || fence)) {
		char why[512];

		snprintf(why, sizeof(why), "%s", s->why);
		return find_out(s, moves, n_moves, why);
	}
	/* At the commit, or in the rows: one of them is to blame. A letter never is. */
	if (!is_datas(s, rc) || rows_at < 0 ||
	    (s->error.statement != rows_at && s->error.statement < rows_at + 1 +
						      (rows->n_letters > 0)))
		return rc == -EBADMSG ? -EIO : rc;
	rc = find_bad(s, rows, index, rows->n, &found);
	return rc < 0 ? rc : found ? 1 : -EAGAIN;
}

/* One transaction, or the next after rows were refused.  Returns 0; 1: again; < 0. */
static int write_once(struct to_postgres *s, struct lade_pipe_batch *const *batches, uint32_t n,
		      const struct lade_pipe_move *moves, uint32_t n_moves,
		      struct lade_pipe_rows *rows)
{
	int rc = lade_pipe_rows_gather(&s->rows, batches, n, rows), rows_at;
	uint32_t *index;

	if (rc < 0)
		return rc;
	index = all_of(rows);
	rc = index ? build_rows(s, rows, index, rows->n) : -ENOMEM;
	if (rc == -EMSGSIZE) {
		snprintf(s->why, sizeof(s->why), "the rows of one transaction have more bytes than "
			 "one statement may: lower max_transaction");
		return -EIO;
	}
	if (rc < 0)
		return rc;
	rc = send(s, rows, moves, n_moves, &rows_at);
	if (rc < 0)
		rc = after_failure(s, rows, index, moves, n_moves, rc, rows_at);
	for (uint32_t i = 0; rc == 0 && i < n_moves; i++)
		moves[i].lane->stored.next_offset = moves[i].to;
	if (rc == 0)
		s->outlet->written += rows->n;
	return rc;
}

static int postgres_write(struct lade_pipe_outlet *outlet, struct lade_pipe_batch *const *batches,
			  uint32_t n, const struct lade_pipe_move *moves, uint32_t n_moves)
{
	struct to_postgres *s = outlet->self;
	int rc;

	do {
		struct lade_pipe_rows rows = { 0 };

		lade_arena_init(&rows.arena, 256 << 10, (size_t)1 << 32);
		rc = write_once(s, batches, n, moves, n_moves, &rows);
		lade_arena_done(&rows.arena);
	} while (rc == 1);
	if ((rc == -EAGAIN || rc == -EIO) && !outlet->engine->failed)
		lade_pipe_trouble(outlet->engine, "sink postgres", outlet->trouble, "%s", s->why);
	return rc;
}

/* Opening */

/* Makes a call until it does not pass, visibly; `check` does not wait. */
static int insist(struct to_postgres *s, const struct lade_pg_statement *statements, unsigned n,
		  struct lade_pg_result *results)
{
	struct lade_pipe_engine *e = s->outlet->engine;

	for (uint32_t attempt = 1;; attempt++) {
		int rc = call(s, statements, n, results);

		if (rc == 0)
			lade_pipe_recovered(e, "sink postgres", s->outlet->trouble,
					    &s->outlet->trouble_since_ns);
		if (rc != -EAGAIN || e->probing)
			return rc;
		if (lade_stopping())
			return -ECANCELED;
		lade_pipe_trouble(e, "sink postgres", s->outlet->trouble, "%s", s->why);
		if (!s->outlet->trouble_since_ns)
			s->outlet->trouble_since_ns = lade_now().mono_ns;
		rc = lade_pipe_back_off(e, attempt);
		if (rc < 0)
			return rc;
	}
}

static int run(struct to_postgres *s, const char *sql, const char *what)
{
	const struct lade_pg_statement statement = { sql, NULL };
	int rc = insist(s, &statement, 1, NULL);

	return rc < 0 && rc != -ECANCELED ? config_fail(s->outlet, what, s->why) : rc;
}

/* Takes the text out of @out; NULL: it is too long, or memory is out. */
static char *take_sql(struct lade_json_out *out)
{
	lade_json_out_raw(out, "", 1);
	if (out->status < 0)
		lade_json_out_done(out);
	return out->data;
}

static const char *type_name(enum lade_datum_type type)
{
	return type == LADE_DOUBLE ? "double precision" : lade_pg_type_name(lade_pg_type_of(type));
}

static void put_key(struct lade_json_out *out, const struct lade_pipe_sink *c)
{
	for (int i = 0; i < c->key.n; i++) {
		lade_pipe_pg_put(out, i ? ", " : "");
		lade_pipe_pg_name(out, c->key.at[i].text);
	}
}

/* What would make the table, of the columns as they are configured. */
static char *create_sql(const struct to_postgres *s)
{
	const struct lade_pipe_sink *c = s->outlet->config;
	struct lade_json_out out;

	lade_json_out_init(&out, SQL_MAX);
	lade_pipe_pg_put(&out, "create table ");
	lade_pipe_pg_put(&out, c->table);
	lade_pipe_pg_put(&out, " (");
	for (unsigned i = 0; i < s->rows.n_columns; i++) {
		const struct lade_pipe_column *column = &s->rows.columns[i];

		lade_pipe_pg_put(&out, i ? ", " : "");
		lade_pipe_pg_name(&out, column->name);
		lade_pipe_pg_put(&out, " ");
		lade_pipe_pg_put(&out, type_name(column->ref.want.type));
		lade_pipe_pg_put(&out, column->ref.want.nullable ? "" : " not null");
	}
	if (c->key.n) {
		lade_pipe_pg_put(&out, ", primary key (");
		put_key(&out, c);
		lade_pipe_pg_put(&out, ")");
	}
	lade_pipe_pg_put(&out, ")");
	return take_sql(&out);
}

static int describe(struct to_postgres *s, const char *name, struct lade_pg_table *ret)
{
	struct lade_pipe_engine *e = s->outlet->engine;

	for (uint32_t attempt = 1;; attempt++) {
		int rc = lade_within(lade_ns(WRITE_LIMIT_NS),
				     lade_pg_describe(s->db, name, ret, &s->error));

		lade_pipe_pg_say(&s->error, s->why);
		if (rc == 0)
			lade_pipe_recovered(e, "sink postgres", s->outlet->trouble,
					    &s->outlet->trouble_since_ns);
		if ((rc != -EAGAIN && rc != -ETIME) || e->probing)
			return rc;
		if (lade_stopping())
			return -ECANCELED;
		lade_pipe_trouble(e, "sink postgres", s->outlet->trouble, "%s", s->why);
		if (!s->outlet->trouble_since_ns)
			s->outlet->trouble_since_ns = lade_now().mono_ns;
		rc = lade_pipe_back_off(e, attempt);
		if (rc < 0)
			return rc;
	}
}

/* The table is not there: it is made, or what would make it is said. */
static int make_table(struct to_postgres *s)
{
	const struct lade_pipe_sink *c = s->outlet->config;
	char *sql = c->columns.n ? create_sql(s) : NULL, why[900];
	int rc;

	if (c->create && !sql)
		return -ENOMEM;
	if (c->create && s->outlet->engine->probing) {
		rc = 0;
	} else if (c->create) {
		rc = run(s, sql, c->table);
		if (rc == 0)
			rc = describe(s, c->table, &s->table);
		s->has_table = rc == 0;
	} else {
		snprintf(why, sizeof(why), "there is no such table%s%.600s%s",
			 sql ? "; create: true would make it: " : "", sql ? sql : "", "");
		rc = config_fail(s->outlet, c->table, why);
	}
	free(sql);
	return rc;
}

static int open_table(struct to_postgres *s)
{
	const struct lade_pipe_sink *c = s->outlet->config;
	int rc = describe(s, c->table, &s->table);

	if (rc == -ENOENT)
		return make_table(s);
	s->has_table = rc == 0;
	return rc < 0 && rc != -ECANCELED ? config_fail(s->outlet, c->table, s->why) : rc;
}

/* The type by which a column's value is asked for. */
static struct lade_want want_of(const struct lade_pg_table_column *c)
{
	bool nullable = !c->not_null || c->preset;

	switch (c->oid) {
	case 20: /* int8, int2, int4 */
	case 21:
	case 23:
		return (struct lade_want){ LADE_INTEGER, nullable };
	case 700: /* float4, float8 */
	case 701:
		return (struct lade_want){ LADE_DOUBLE, nullable };
	case 16:
		return (struct lade_want){ LADE_BOOLEAN, nullable };
	case 1114: /* timestamp, timestamptz */
	case 1184:
		return (struct lade_want){ LADE_TIMESTAMP, nullable };
	case 114: /* json, jsonb */
	case 3802:
		return (struct lade_want){ LADE_JSON, nullable };
	default:
		return (struct lade_want){ LADE_TEXT, nullable };
	}
}

/* Columns as the table has them: each takes the member of its name. */
static int open_by_name(struct to_postgres *s, struct lade_pipe_shape *shape)
{
	struct lade_json_error error;

	for (unsigned i = 0; i < s->table.n_columns; i++) {
		const struct lade_pg_table_column *c = &s->table.columns[i];
		int rc;

		if (c->generated)
			continue;
		if (s->rows.n_columns == LADE_PIPE_NAMES_MAX)
			return config_fail(s->outlet, s->outlet->config->table,
					   "has more than 256 columns: list those to write");
		rc = lade_pipe_table_by_name(&s->rows, shape, c->name, want_of(c), &error);
		if (rc < 0)
			return rc == -ENOMEM ? rc : config_fail(s->outlet, c->name, error.reason);
	}
	s->rows.check_extra = s->outlet->config->extra == LADE_EXTRA_REJECT;
	return 0;
}

static int open_listed(struct to_postgres *s, struct lade_pipe_shape *shape)
{
	struct lade_json_error error;
	const char *column;
	int rc = lade_pipe_table_listed(&s->rows, shape, &column, &error);

	return rc < 0 && rc != -ENOMEM ? config_fail(s->outlet, column, error.reason) : rc;
}

static int place_of(const struct to_postgres *s, const char *name)
{
	for (unsigned i = 0; i < s->rows.n_columns; i++)
		if (strcmp(s->rows.columns[i].name, name) == 0)
			return (int)i;
	return -1;
}

/* Are the configured columns those of a unique key, in whatever order? */
static bool is_unique(const struct to_postgres *s)
{
	const struct lade_pipe_map *key = &s->outlet->config->key;

	for (unsigned k = 0; k < s->table.n_keys; k++) {
		const struct lade_pg_table_key *it = &s->table.keys[k];
		int found = 0;

		for (int i = 0; i < key->n; i++)
			for (unsigned j = 0; j < it->n; j++)
				found += strcmp(s->table.columns[it->columns[j]].name,
						key->at[i].text) == 0;
		if ((int)it->n == key->n && found == key->n)
			return true;
	}
	return false;
}

static int open_key(struct to_postgres *s)
{
	const struct lade_pipe_sink *c = s->outlet->config;
	struct lade_json_out out;
	char *said;
	int rc;

	s->version = c->version ? place_of(s, c->version) : -1;
	if (c->version && s->version < 0)
		return config_fail(s->outlet, c->version, "the table has no such column");
	for (int i = 0; i < c->key.n && i < KEY_MAX; i++) {
		int at = place_of(s, c->key.at[i].text);

		if (at < 0)
			return config_fail(s->outlet, c->key.at[i].text,
					   "the table has no such column");
		s->key[s->n_key++] = (unsigned)at;
	}
	if (!s->has_table || c->on_conflict == LADE_CONFLICT_ERROR || is_unique(s))
		return 0;
	lade_json_out_init(&out, SQL_MAX);
	lade_pipe_pg_put(&out, "no unique key of the table has just the columns of key: create"
			       " unique index on ");
	lade_pipe_pg_put(&out, s->table.name);
	lade_pipe_pg_put(&out, " (");
	put_key(&out, c);
	lade_pipe_pg_put(&out, ")");
	said = take_sql(&out);
	rc = said ? config_fail(s->outlet, c->table, said) : -ENOMEM;
	free(said);
	return rc;
}

/* Columns that are written are the table's, and none is missing that must have a value. */
static int check_columns(struct to_postgres *s)
{
	for (unsigned i = 0; i < s->rows.n_columns; i++) {
		int at = lade_pg_table_find(&s->table, s->rows.columns[i].name);

		if (at < 0)
			return config_fail(s->outlet, s->rows.columns[i].name,
					   "the table has no such column");
		if (s->table.columns[at].generated)
			return config_fail(s->outlet, s->rows.columns[i].name,
					   "the database makes this column's values by itself");
	}
	for (unsigned i = 0; i < s->table.n_columns; i++) {
		const struct lade_pg_table_column *c = &s->table.columns[i];

		if (c->not_null && !c->preset && !c->generated && place_of(s, c->name) < 0)
			return config_fail(s->outlet, c->name,
					   "the column must not be null, has no default, and is not"
					   " among columns");
	}
	return 0;
}

static void put_select(struct lade_json_out *out, const struct to_postgres *s)
{
	char number[24];

	for (unsigned i = 0; i < s->rows.n_columns; i++) {
		int at = lade_pg_table_find(&s->table, s->rows.columns[i].name);
		const struct lade_pg_table_column *c = &s->table.columns[at];

		snprintf(number, sizeof(number), "u.c%u::", i);
		lade_pipe_pg_put(out, i ? ", " : "");
		lade_pipe_pg_put(out, c->preset ? "coalesce(" : "");
		lade_pipe_pg_put(out, number);
		lade_pipe_pg_put(out, c->type);
		if (c->preset) {
			lade_pipe_pg_put(out, ", ");
			lade_pipe_pg_put(out, c->preset);
			lade_pipe_pg_put(out, ")");
		}
	}
	lade_pipe_pg_put(out, " from unnest(");
	for (unsigned i = 0; i < s->rows.n_columns; i++) {
		enum lade_pg_type type = lade_pg_type_of(s->rows.columns[i].ref.want.type);

		snprintf(number, sizeof(number), "%s$%u::", i ? ", " : "", i + 1);
		lade_pipe_pg_put(out, number);
		lade_pipe_pg_put(out, lade_pg_type_name(type));
		lade_pipe_pg_put(out, "[]");
	}
	lade_pipe_pg_put(out, ") as u(");
	for (unsigned i = 0; i < s->rows.n_columns; i++) {
		snprintf(number, sizeof(number), "%sc%u", i ? ", " : "", i);
		lade_pipe_pg_put(out, number);
	}
	lade_pipe_pg_put(out, ")");
}

static bool in_key(const struct to_postgres *s, unsigned column)
{
	for (unsigned k = 0; k < s->n_key; k++)
		if (s->key[k] == column)
			return true;
	return false;
}

static void put_updates(struct lade_json_out *out, const struct to_postgres *s)
{
	bool first = true;

	for (unsigned i = 0; i < s->rows.n_columns; i++) {
		if (in_key(s, i))
			continue;
		lade_pipe_pg_put(out, first ? " do update set " : ", ");
		lade_pipe_pg_name(out, s->rows.columns[i].name);
		lade_pipe_pg_put(out, " = excluded.");
		lade_pipe_pg_name(out, s->rows.columns[i].name);
		first = false;
	}
	if (first)
		lade_pipe_pg_put(out, " do nothing");
	if (s->version < 0 || first)
		return;
	lade_pipe_pg_put(out, " where t.");
	lade_pipe_pg_name(out, s->outlet->config->version);
	lade_pipe_pg_put(out, " is null or excluded.");
	lade_pipe_pg_name(out, s->outlet->config->version);
	lade_pipe_pg_put(out, " > t.");
	lade_pipe_pg_name(out, s->outlet->config->version);
}

static int build_insert(struct to_postgres *s)
{
	const struct lade_pipe_sink *c = s->outlet->config;
	struct lade_json_out out;

	lade_json_out_init(&out, SQL_MAX);
	lade_pipe_pg_put(&out, "insert into ");
	lade_pipe_pg_put(&out, s->table.name);
	lade_pipe_pg_put(&out, " as t (");
	for (unsigned i = 0; i < s->rows.n_columns; i++) {
		lade_pipe_pg_put(&out, i ? ", " : "");
		lade_pipe_pg_name(&out, s->rows.columns[i].name);
	}
	lade_pipe_pg_put(&out, ") select ");
	put_select(&out, s);
	if (c->on_conflict != LADE_CONFLICT_ERROR) {
		lade_pipe_pg_put(&out, " on conflict (");
		put_key(&out, c);
		lade_pipe_pg_put(&out, ")");
	}
	if (c->on_conflict == LADE_CONFLICT_UPDATE)
		put_updates(&out, s);
	else if (c->on_conflict == LADE_CONFLICT_NOTHING)
		lade_pipe_pg_put(&out, " do nothing");
	s->insert = take_sql(&out);
	return s->insert ? 0 : -ENOMEM;
}

/* An insert of no rows: types, rights and the key are found wrong now and not in the night. */
static int try_insert(struct to_postgres *s)
{
	const struct lade_pg_statement statement = { s->insert, &s->row_args };
	struct lade_pipe_rows none = { 0 };
	int rc = build_rows(s, &none, NULL, 0);

	if (rc == 0)
		rc = insist(s, &statement, 1, NULL);
	return rc < 0 && rc != -ECANCELED && rc != -ENOMEM
		       ? config_fail(s->outlet, s->outlet->config->table, s->why)
		       : rc;
}

/* A table of lade's own. Two processes may make it at once: whoever is late finds it made. */
static int open_own(struct to_postgres *s, const char *name, const char *sql)
{
	struct lade_pg_table table;
	int rc = describe(s, name, &table);

	if (rc == -ENOENT && s->outlet->engine->probing)
		return 0;
	if (rc == -ENOENT) {
		const struct lade_pg_statement make = { sql, NULL };
		char why[512];

		rc = insist(s, &make, 1, NULL);
		if (rc == -ECANCELED)
			return rc;
		snprintf(why, sizeof(why), "%s", s->why);
		rc = describe(s, name, &table);
		if (rc < 0)
			snprintf(s->why, sizeof(s->why), "%s", why);
	}
	if (rc < 0)
		return rc == -ECANCELED ? rc : config_fail(s->outlet, name, s->why);
	lade_pg_table_done(&table);
	return 0;
}

static int open_letters(struct to_postgres *s)
{
	const struct lade_pipe_errors *c = &s->outlet->engine->config->errors;
	struct lade_json_out out;
	char *sql;
	int rc;

	if (c->dead_kind != LADE_DEAD_TABLE || s->outlet->engine->letters_in)
		return 0;
	lade_json_out_init(&out, SQL_MAX);
	lade_pipe_pg_put(&out, "create table if not exists ");
	lade_pipe_pg_put(&out, c->dead_table);
	lade_pipe_pg_put(&out, " (pipeline text not null, topic text not null, part int8 not null,"
			       " \"offset\" int8 not null, line int8 not null, step text not null,"
			       " reason text not null, attempts int8 not null, first_failed"
			       " timestamptz not null, document text not null)");
	sql = take_sql(&out);
	if (!sql)
		return -ENOMEM;
	rc = open_own(s, c->dead_table, sql);
	free(sql);
	if (rc < 0 || s->outlet->engine->probing)
		return rc;
	lade_json_out_init(&out, SQL_MAX);
	lade_pipe_pg_put(&out, "insert into ");
	lade_pipe_pg_put(&out, c->dead_table);
	lade_pipe_pg_put(&out, " (pipeline, topic, part, \"offset\", line, step, reason, attempts,"
			       " first_failed, document) select * from unnest($1::text[],"
			       " $2::text[], $3::int8[], $4::int8[], $5::int8[], $6::text[],"
			       " $7::text[], $8::int8[], $9::timestamptz[], $10::text[])");
	s->letters = take_sql(&out);
	s->rows.letters = s->letters != NULL;
	s->outlet->engine->letters_in = s->letters ? s->outlet : NULL;
	return s->letters ? 0 : -ENOMEM;
}

static int open_writing(struct to_postgres *s)
{
	int rc = check_columns(s);

	if (rc == 0)
		rc = build_insert(s);
	return rc == 0 ? try_insert(s) : rc;
}

static int postgres_open(struct lade_pipe_outlet *outlet, struct lade_pipe_shape *shape)
{
	const struct lade_pipe_sink *c = outlet->config;
	const struct lade_pg_config settings = { .connections_max = 1,
						 .statement_ns = WRITE_LIMIT_NS,
						 .args_bytes_max = ARGS_MAX };
	struct to_postgres *s = calloc(1, sizeof(*s));
	int rc;

	if (!s)
		return -ENOMEM;
	outlet->self = s;
	s->outlet = outlet;
	s->rows.outlet = outlet;
	lade_pg_args_init(&s->fence_args, 0);
	lade_pg_args_init(&s->row_args, ARGS_MAX);
	lade_pg_args_init(&s->letter_args, ARGS_MAX);
	rc = lade_json_reader_new(&s->rows.reader);
	if (rc == 0) {
		rc = lade_pipe_pg_open(outlet->engine->config, c->db, settings, &s->db, &s->error);
		if (rc < 0 && rc != -ENOMEM)
			return config_fail(outlet, c->db, s->error.text);
	}
	if (rc == 0 && c->columns.n)
		rc = open_listed(s, shape);
	if (rc == 0)
		rc = open_table(s);
	if (rc == 0 && !c->columns.n)
		rc = open_by_name(s, shape);
	if (rc == 0)
		rc = open_key(s);
	if (rc == 0 && s->has_table)
		rc = open_writing(s);
	if (rc == 0 && outlet == outlet->engine->keeper)
		rc = open_own(s, "lade_offsets", OFFSETS_SQL);
	return rc == 0 ? open_letters(s) : rc;
}

static void postgres_close(struct lade_pipe_outlet *outlet)
{
	struct to_postgres *s = outlet->self;

	if (!s)
		return;
	lade_pg_close(s->db);
	lade_pg_table_done(&s->table);
	lade_pipe_table_done(&s->rows);
	lade_pg_args_done(&s->fence_args);
	lade_pg_args_done(&s->row_args);
	lade_pg_args_done(&s->letter_args);
	free(s->insert);
	free(s->letters);
	free(s);
	outlet->self = NULL;
}

static int postgres_claim(struct lade_pipe_outlet *outlet, struct lade_pipe_lane *lane)
{
	struct to_postgres *s = outlet->self;
	const struct lade_pg_statement claim = { CLAIM_SQL, &s->fence_args };
	struct lade_pg_result r = { 0 };
	char owner[128], host[64] = "";
	int rc;

	gethostname(host, sizeof(host) - 1);
	snprintf(owner, sizeof(owner), "process %ld on %s", (long)getpid(), host);
	lade_pg_args_reset(&s->fence_args);
	text(&s->fence_args, outlet->engine->config->name);
	text(&s->fence_args, lane->topic);
	lade_pg_int8(&s->fence_args, lane->part);
	text(&s->fence_args, owner);
	text(&s->fence_args, lane->cluster);
	rc = insist(s, &claim, 1, &r);
	if (rc < 0)
		return rc == -ECANCELED || rc == -ENOMEM
			       ? rc
			       : config_fail(outlet, "the table of offsets", s->why);
	lane->stored.next_offset = integer_at(&r, 0, 0);
	lane->stored.epoch = integer_at(&r, 0, 1);
	text_at(&r, 0, 2, lane->stored.cluster, sizeof(lane->stored.cluster));
	lade_pg_result_done(&r);
	return 0;
}

const struct lade_pipe_sink_ops lade_pipe_to_postgres = { postgres_open, postgres_claim,
							  postgres_write, postgres_close };
