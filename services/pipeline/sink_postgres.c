/* SPDX-License-Identifier: MIT */
/* sink_postgres.c - rows into a table of PostgreSQL, and with them offsets and dead letters.
 *
 * DESIGN
 * What is ready is one call: the fence, which moves the offsets, the rows as arrays of columns
 * (unnest), and the dead letters; one round trip, one transaction. The fence divides by the wish
 * that it has moved every lane, so a lane that another process has claimed fails the call at its
 * first statement, whatever the others do. That, and a call of which the answer was lost, is
 * decided by reading what is stored.
 *
 * The server does not say which row it refused. It is looked for by writing ever shorter beginnings
 * in calls that undo themselves; it gets its verdict, and the rest is written.
 *
 * An upsert takes each key once, the last of the batch, or the one with the highest version; and
 * takes the keys in order, lest two processes wait for one another. */

#include "services/pipeline/phase.h"
#include "services/pipeline/rows.h"

#include <lade/postgres.h>

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WRITE_LIMIT_NS INT64_C(30000000000)
#define OFFSETS "lade_offsets"

struct to_postgres {
	struct lade_pipe_outlet *outlet;
	struct lade_pg *db;
	struct lade_pg_table table;
	struct lade_pipe_table rows;	  /* what they are made of */
	enum lade_pg_type types[LADE_PIPE_NAMES_MAX]; /* in which a column's values are sent */
	unsigned key[LADE_PIPE_NAMES_MAX]; /* columns of the conflict key */
	int version;			  /* the column that says which row is newer, or -1 */
	char *insert, *letters;		  /* statements; owned */
	struct lade_pg_args args, letter_args, fence_args;
};

static const char *name_of(void)
{
	return "sink postgres";
}

static int config_fail(struct lade_pipe_outlet *outlet, const char *what, const char *reason)
{
	return lade_pipe_fail(outlet->engine, LADE_EXIT_FAILED, "sink postgres: %s: %s", what,
			      reason);
}

static bool keeps(const struct to_postgres *s)
{
	return s->outlet == s->outlet->engine->keeper;
}

/* Keys */

static int compare_cells(const struct lade_datum *a, const struct lade_datum *b)
{
	size_t len = a->len < b->len ? a->len : b->len;
	int rc;

	if (a->type != b->type)
		return a->type < b->type ? -1 : 1;
	switch (a->type) {
	case LADE_ABSENT:
	case LADE_NULL:
		return 0;
	case LADE_DOUBLE:
		return (a->real > b->real) - (a->real < b->real);
	case LADE_TEXT:
	case LADE_JSON:
		rc = len ? memcmp(a->text, b->text, len) : 0;
		return rc ? rc : (a->len > b->len) - (a->len < b->len);
	default:
		return (a->integer > b->integer) - (a->integer < b->integer);
	}
}

/* What a comparison of rows looks at; qsort has no place for it, and one runs at a time. */
static const struct to_postgres *comparing;
static const struct lade_datum *comparing_cells;

static int compare_keys(uint32_t a, uint32_t b)
{
	const unsigned width = comparing->rows.n_columns;
	int rc = 0;

	for (int i = 0; rc == 0 && i < comparing->outlet->config->key.n; i++)
		rc = compare_cells(&comparing_cells[(size_t)a * width + comparing->key[i]],
				   &comparing_cells[(size_t)b * width + comparing->key[i]]);
	return rc;
}

static int compare_rows(const void *a, const void *b)
{
	uint32_t i = *(const uint32_t *)a, j = *(const uint32_t *)b;
	int rc = compare_keys(i, j);

	return rc ? rc : (i > j) - (i < j);
}

/* Of the rows of one key the one that wins: the newest version, else the last. */
static uint32_t winner(const struct to_postgres *s, const struct lade_datum *cells,
		       const uint32_t *order, uint32_t n)
{
	uint32_t best = order[0];

	for (uint32_t i = 1; i < n; i++) {
		const struct lade_datum *old = &cells[(size_t)best * s->rows.n_columns];
		const struct lade_datum *now = &cells[(size_t)order[i] * s->rows.n_columns];

		if (s->version < 0 || compare_cells(&now[s->version], &old[s->version]) > 0)
			best = order[i];
	}
	return best;
}

/* The rows that are sent, of those from @first to before @end: for an upsert each key once, in the
 * order of keys; else all.  Returns their number. */
static uint32_t choose(const struct to_postgres *s, const struct lade_pipe_rows *rows,
		       uint32_t first, uint32_t end, uint32_t *order)
{
	uint32_t n = 0, kept = 0;

	for (uint32_t i = first; i < end; i++)
		order[n++] = i;
	if (s->outlet->config->on_conflict == LADE_CONFLICT_ERROR)
		return n;
	comparing = s;
	comparing_cells = rows->cells;
	qsort(order, n, sizeof(*order), compare_rows);
	if (s->outlet->config->on_conflict == LADE_CONFLICT_NOTHING)
		return n;
	for (uint32_t i = 0, next; i < n; i = next) {
		for (next = i + 1; next < n && compare_keys(order[i], order[next]) == 0; next++)
			;
		order[kept++] = winner(s, rows->cells, order + i, next - i);
	}
	return kept;
}

/* Calls */

/* Columns as arrays, of the rows in @order. */
static int bind_rows(struct to_postgres *s, struct lade_pipe_rows *rows, const uint32_t *order,
		     uint32_t n)
{
	const unsigned width = s->rows.n_columns;
	struct lade_datum *column = lade_arena_alloc(&rows->arena, (n + 1) * sizeof(*column));

	if (!column)
		return -ENOMEM;
	lade_pg_args_reset(&s->args);
	for (unsigned c = 0; c < width; c++) {
		for (uint32_t i = 0; i < n; i++)
			column[i] = rows->cells[(size_t)order[i] * width + c];
		lade_pg_array_of(&s->args, s->types[c], column, 1, n);
	}
	return s->args.status == -ENOMEM ? -ENOMEM : 0;
}

static void bind_letters(struct to_postgres *s, const struct lade_pipe_rows *rows)
{
	static const enum lade_pg_type types[LADE_PIPE_LETTER_COLUMNS] = {
		LADE_PG_TEXT, LADE_PG_TEXT, LADE_PG_INT8, LADE_PG_INT8,	       LADE_PG_INT8,
		LADE_PG_TEXT, LADE_PG_TEXT, LADE_PG_INT8, LADE_PG_TIMESTAMPTZ, LADE_PG_TEXT
	};

	lade_pg_args_reset(&s->letter_args);
	for (unsigned c = 0; c < LADE_PIPE_LETTER_COLUMNS; c++)
		lade_pg_array_of(&s->letter_args, types[c], rows->letters + c,
				 LADE_PIPE_LETTER_COLUMNS, rows->n_letters);
}

static void text_item(struct lade_pg_args *args, const char *text)
{
	lade_pg_item_text(args, text, strlen(text));
}

/* Where each lane goes, and where it must be for that. */
static const char *bind_fence(struct to_postgres *s, const struct lade_pipe_move *moves, uint32_t n)
{
	struct lade_pg_args *a = &s->fence_args;
	const char *name = s->outlet->engine->config->name;

	lade_pg_args_reset(a);
	lade_pg_text(a, name, strlen(name));
	lade_pg_array(a, LADE_PG_TEXT, n);
	for (uint32_t i = 0; i < n; i++)
		text_item(a, moves[i].lane->topic);
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
		text_item(a, moves[i].lane->cluster);
	lade_pg_int8(a, n);
	return "with moved as (update " OFFSETS " o set next_offset = m.upto, cluster = m.cluster,"
	       " updated_at = now() from unnest($2::text[], $3::int8[], $4::int8[], $5::int8[],"
	       " $6::int8[], $7::text[]) as m(topic, part, epoch, since, upto, cluster)"
	       " where o.pipeline = $1 and o.topic = m.topic and o.part = m.part"
	       " and o.epoch = m.epoch and o.next_offset = m.since returning 1)"
	       " select 1 / (count(*) = $8)::int from moved";
}

static int call(struct to_postgres *s, const struct lade_pg_statement *statements, unsigned n,
		struct lade_pg_error *error)
{
	int rc;

	error->exchange = LADE_PG_NOT_SENT;
	rc = lade_within(lade_ns(WRITE_LIMIT_NS), lade_pg_batch(s->db, statements, n, NULL, error));
	if (rc == -ETIMEDOUT) {
		error->fault = LADE_PG_PASSING;
		snprintf(error->text, sizeof(error->text), "no answer for %d s",
			 (int)(WRITE_LIMIT_NS / 1000000000));
		return -EAGAIN;
	}
	return rc;
}

/* What is stored of one lane.  Returns 0; -ENOENT; as lade_pg_query(). */
static int read_stored(struct to_postgres *s, const struct lade_pipe_lane *lane,
		       struct lade_pipe_stored *ret, char owner[96], struct lade_pg_error *error)
{
	const char *name = s->outlet->engine->config->name;
	struct lade_pg_args args;
	struct lade_pg_result r;
	struct lade_datum cells[4] = { 0 };
	int rc;

	lade_pg_args_init(&args, 0);
	lade_pg_text(&args, name, strlen(name));
	lade_pg_text(&args, lane->topic, strlen(lane->topic));
	lade_pg_int8(&args, lane->part);
	rc = lade_pg_query(s->db,
			   "select next_offset, epoch, cluster, owner from " OFFSETS
			   " where pipeline = $1 and topic = $2 and part = $3",
			   &args, &r, error);
	lade_pg_args_done(&args);
	if (rc < 0)
		return rc;
	rc = r.rows ? 0 : -ENOENT;
	for (unsigned i = 0; rc == 0 && i < 4; i++)
		rc = lade_pg_datum(&r, 0, i, NULL, &cells[i]);
	if (rc == 0) {
		ret->next_offset = cells[0].integer;
		ret->epoch = cells[1].integer;
		snprintf(ret->cluster, sizeof(ret->cluster), "%.*s", (int)cells[2].len,
			 cells[2].text);
		snprintf(owner, 96, "%.*s", (int)cells[3].len, cells[3].text);
	}
	lade_pg_result_done(&r);
	return rc;
}

/* A fence, or a call of which the answer was lost: what the database says of each lane.
 *
 * Returns 0: all is written; -EAGAIN: nothing is, again; -ESTALE: nothing is, and never will be. */
static int ask_stored(struct to_postgres *s, const struct lade_pipe_move *moves, uint32_t n,
		      struct lade_pg_error *error)
{
	struct lade_pipe_engine *e = s->outlet->engine;
	uint32_t done = 0, overtaken = 0;
	char owner[96] = "";

	for (uint32_t i = 0; i < n; i++) {
		const struct lade_pipe_lane *lane = moves[i].lane;
		struct lade_pipe_stored now = { 0 };
		int rc = read_stored(s, lane, &now, owner, error);

		if (rc < 0 && rc != -ENOENT)
			return rc == -ECANCELED ? rc : -EAGAIN;
		if (rc == -ENOENT || now.epoch != lane->stored.epoch ||
		    (now.next_offset != moves[i].to &&
		     now.next_offset != lane->stored.next_offset)) {
			moves[i].lane->fenced = now.epoch != lane->stored.epoch;
			overtaken++;
		}
		done += now.next_offset == moves[i].to;
	}
	if (overtaken && e->from->rewind)
		return -ESTALE;
	if (overtaken)
		return lade_pipe_fail(e, LADE_EXIT_FAILED,
				      "sink postgres: another process (%s) has taken this "
				      "pipeline over; what this one had not committed is that "
				      "one's now. Let one run at a time", owner);
	return done == n ? 0 : -EAGAIN;
}

static int write_rows(struct to_postgres *s, struct lade_pipe_rows *rows,
		      const struct lade_pipe_move *moves, uint32_t n_moves,
		      struct lade_pg_error *error)
{
	struct lade_pg_statement statements[3];
	uint32_t *order = lade_arena_alloc(&rows->arena, (rows->n + 1) * sizeof(*order));
	uint32_t chosen = order ? choose(s, rows, 0, rows->n, order) : 0;
	bool fenced = n_moves > 0;
	unsigned n = 0;
	int rc = order ? bind_rows(s, rows, order, chosen) : -ENOMEM;

	if (rc < 0)
		return rc;
	if (n_moves)
		statements[n++] = (struct lade_pg_statement){ bind_fence(s, moves, n_moves),
							      &s->fence_args };
	if (chosen)
		statements[n++] = (struct lade_pg_statement){ s->insert, &s->args };
	if (rows->n_letters) {
		bind_letters(s, rows);
		statements[n++] = (struct lade_pg_statement){ s->letters, &s->letter_args };
	}
	if (n == 0)
		return 0;
	lade_pipe_phase(LADE_PHASE_FENCE);
	rc = call(s, statements, n, error);
	/* A place before the rows is the fence, whatever it says; one that is not known asks. */
	if (rc < 0 && fenced && rc != -ECANCELED && rc != -ENOMEM &&
	    (error->exchange != LADE_PG_ANSWERED
		     ? error->exchange == LADE_PG_SENT
		     : error->statement == 0 && error->fault == LADE_PG_DATA))
		rc = ask_stored(s, moves, n_moves, error);
	if (rc == -EBADMSG && error->statement != (int)fenced)
		return -EIO; /* a dead letter, or the commit: a person must see to it */
	for (uint32_t i = 0; rc == 0 && i < n_moves; i++)
		moves[i].lane->stored.next_offset = moves[i].to;
	return rc;
}

/* The bad row */

/* Whether the rows from @first to before @end could be written: 0; -EBADMSG: not all of them. */
static int probe_rows(struct to_postgres *s, struct lade_pipe_rows *rows, uint32_t first,
		      uint32_t end, struct lade_pg_error *error)
{
	uint32_t *order = lade_arena_alloc(&rows->arena, (end - first + 1) * sizeof(*order));
	struct lade_pg_statement statements[] = {
		{ s->insert, &s->args },
		{ "set constraints all immediate", NULL },
		{ "select 1 / (count(*) - count(*)) from (select 1) as undo", NULL },
	};
	int rc = order ? 0 : -ENOMEM;

	if (rc == 0)
		rc = bind_rows(s, rows, order, choose(s, rows, first, end, order));
	if (rc == 0)
		rc = call(s, statements, 3, error);
	/* The last statement is there to fail. */
	return rc == -EBADMSG && error->statement == 2 ? 0 : rc;
}

/* The first row that cannot be written behind those from @first on, by halves; rows->n: none. */
static int find_bad(struct to_postgres *s, struct lade_pipe_rows *rows, uint32_t first,
		    uint32_t *ret, struct lade_pg_error *error)
{
	uint32_t good = first, bad = rows->n;
	struct lade_pg_error said;
	int rc = probe_rows(s, rows, first, bad, error);

	*ret = rows->n;
	if (rc != -EBADMSG)
		return rc;
	/* Those before @good can be written; those before @bad cannot. */
	while (good + 1 < bad) {
		uint32_t middle = good + (bad - good) / 2;

		rc = probe_rows(s, rows, first, middle, &said);
		if (rc == -EBADMSG) {
			bad = middle;
			*error = said;
		} else if (rc == 0) {
			good = middle;
		} else {
			*error = said;
			return rc;
		}
	}
	*ret = bad - 1;
	return 0;
}

static void leave_out_row(const struct to_postgres *s, struct lade_pipe_rows *rows, uint32_t i)
{
	const size_t width = s->rows.n_columns;

	memmove(rows->cells + i * width, rows->cells + (i + 1) * width,
		(rows->n - i - 1) * width * sizeof(*rows->cells));
	memmove(rows->batch_of + i, rows->batch_of + i + 1,
		(rows->n - i - 1) * sizeof(struct lade_pipe_batch *));
	memmove(rows->at_of + i, rows->at_of + i + 1, (rows->n - i - 1) * sizeof(*rows->at_of));
	rows->n--;
}

/* Rejects the rows that the server refuses.  Returns 0: at least one; -EIO: none can be found. */
static int reject_bad(struct to_postgres *s, struct lade_pipe_rows *rows,
		      struct lade_pg_error *error)
{
	uint32_t from = 0, found = 0;
	int rc = 0;

	while (rc == 0 && from < rows->n) {
		uint32_t at;

		rc = find_bad(s, rows, from, &at, error);
		if (rc < 0 || at == rows->n)
			break;
		rc = lade_pipe_rows_reject(&s->rows, rows->batch_of[at], rows->at_of[at],
					   error->text);
		leave_out_row(s, rows, at);
		from = at; /* what is before it has been found to be good */
		found++;
	}
	return rc == 0 && !found ? -EIO : rc;
}

/* Writing */

static int gather_and_write(struct to_postgres *s, struct lade_pipe_batch *const *batches,
			    uint32_t n, const struct lade_pipe_move *moves, uint32_t n_moves,
			    struct lade_pipe_rows *rows, struct lade_pg_error *error)
{
	int rc = lade_pipe_rows_gather(&s->rows, batches, n, rows);

	if (rc == 0)
		rc = write_rows(s, rows, moves, n_moves, error);
	if (rc == 0)
		s->outlet->written += rows->n;
	if (rc != -EBADMSG || !rows->n)
		return rc;
	rc = reject_bad(s, rows, error);
	return rc < 0 ? rc : 1;
}

static int postgres_write(struct lade_pipe_outlet *outlet, struct lade_pipe_batch *const *batches,
			  uint32_t n, const struct lade_pipe_move *moves, uint32_t n_moves)
{
	struct lade_pg_error error = { .text = "" };
	int rc;

	do {
		struct lade_pipe_rows rows = { 0 };

		lade_arena_init(&rows.arena, 256 << 10, (size_t)1 << 32);
		rc = gather_and_write(outlet->self, batches, n, moves, n_moves, &rows, &error);
		lade_arena_done(&rows.arena);
	} while (rc == 1);
	if ((rc == -EAGAIN || rc == -EIO) && !outlet->engine->failed)
		lade_pipe_trouble(outlet->engine, name_of(), outlet->trouble, "%s", error.text);
	return rc == -EMSGSIZE ? -EIO : rc;
}

/* A lane */

static int postgres_claim(struct lade_pipe_outlet *outlet, struct lade_pipe_lane *lane)
{
	struct to_postgres *s = outlet->self;
	const char *name = outlet->engine->config->name;
	struct lade_pg_error error;
	struct lade_pg_result r;
	struct lade_datum cells[3] = { 0 };
	struct lade_pg_args args;
	char owner[160], host[65] = "";
	int rc;

	(void)gethostname(host, sizeof(host) - 1);
	snprintf(owner, sizeof(owner), "process %ld on %s", (long)getpid(), host);
	lade_pg_args_init(&args, 0);
	lade_pg_text(&args, name, strlen(name));
	lade_pg_text(&args, lane->topic, strlen(lane->topic));
	lade_pg_int8(&args, lane->part);
	lade_pg_text(&args, owner, strlen(owner));
	lade_pg_text(&args, lane->cluster, strlen(lane->cluster));
	for (uint32_t attempt = 1;; attempt++) {
		rc = lade_pg_query(s->db,
				   "insert into " OFFSETS " as o (pipeline, topic, part,"
				   " next_offset, epoch, owner, cluster) values ($1, $2, $3, 0, 1, $4, $5)"
				   " on conflict (pipeline, topic, part) do update"
				   " set epoch = o.epoch + 1, owner = excluded.owner,"
				   " updated_at = now() returning next_offset, epoch, cluster", &args, &r, &error);
		if (rc != -EAGAIN || lade_stopping())
			break;
		lade_pipe_trouble(outlet->engine, name_of(), outlet->trouble, "%s", error.text);
		if (!outlet->trouble_since_ns)
			outlet->trouble_since_ns = lade_now().mono_ns;
		rc = lade_pipe_back_off(outlet->engine, attempt);
		if (rc < 0)
			break;
	}
	lade_pg_args_done(&args);
	if (rc < 0)
		return rc == -ECANCELED || rc == -EAGAIN
			       ? -ECANCELED
			       : config_fail(outlet, "the table of offsets", error.text);
	lade_pipe_recovered(outlet->engine, name_of(), outlet->trouble, &outlet->trouble_since_ns);
	for (unsigned i = 0; rc == 0 && i < 3; i++)
		rc = lade_pg_datum(&r, 0, i, NULL, &cells[i]);
	lane->stored.next_offset = cells[0].integer;
	lane->stored.epoch = cells[1].integer;
	snprintf(lane->stored.cluster, sizeof(lane->stored.cluster), "%.*s", (int)cells[2].len,
		 cells[2].len ? cells[2].text : "");
	lade_pg_result_done(&r);
	return rc;
}

/* Opening */

/* What a column of the table takes, if it says. */
static struct lade_want want_of(const struct lade_pg_table_column *c)
{
	struct lade_want want = { LADE_TEXT, !c->not_null };

	switch (c->oid) {
	case 20: /* int8, int2, int4 */
	case 21:
	case 23:
		want.type = LADE_INTEGER;
		break;
	case 700: /* float4, float8 */
	case 701:
		want.type = LADE_DOUBLE;
		break;
	case 16: /* bool */
		want.type = LADE_BOOLEAN;
		break;
	case 1114: /* timestamp, timestamptz */
	case 1184:
		want.type = LADE_TIMESTAMP;
		break;
	case 114: /* json, jsonb */
	case 3802:
		want.type = LADE_JSON;
		break;
	}
	return want;
}

static int open_by_name(struct to_postgres *s, struct lade_pipe_shape *shape)
{
	struct lade_json_error error;

	for (unsigned i = 0; i < s->table.n_columns; i++) {
		const struct lade_pg_table_column *c = &s->table.columns[i];
		struct lade_want want = want_of(c);
		int rc;

		if (c->generated || c->has_default)
			continue;
		if (s->rows.n_columns == LADE_PIPE_NAMES_MAX)
			return config_fail(s->outlet, s->outlet->config->table,
					   "it has too many columns: name those to be written "
					   "under columns");
		rc = lade_pipe_table_by_name(&s->rows, shape, c->name, want, &error);
		if (rc < 0)
			return rc == -ENOMEM ? rc : config_fail(s->outlet, c->name, error.reason);
	}
	s->rows.check_extra = s->outlet->config->extra == LADE_EXTRA_REJECT;
	return 0;
}

static const char *missing(const char *what, const char *name, char room[256])
{
	snprintf(room, 256, "%s \"%.60s\" is not among the columns that are written", what,
		 name);
	return room;
}

static int column_of(const struct to_postgres *s, const char *name)
{
	for (unsigned i = 0; i < s->rows.n_columns; i++)
		if (strcmp(s->rows.columns[i].name, name) == 0)
			return (int)i;
	return -1;
}

/* Whether the table has a unique key of exactly these columns: ON CONFLICT needs one. */
static bool has_key(const struct to_postgres *s)
{
	const struct lade_pipe_map *key = &s->outlet->config->key;

	for (unsigned k = 0; k < s->table.n_keys; k++) {
		const struct lade_pg_table_key *u = &s->table.keys[k];
		unsigned found = 0;

		for (unsigned i = 0; i < u->n; i++)
			for (int j = 0; j < key->n; j++)
				found += strcmp(s->table.columns[u->columns[i]].name,
						key->at[j].text) == 0;
		if (found == u->n && u->n == (unsigned)key->n)
			return true;
	}
	return false;
}

static int check_columns(struct to_postgres *s)
{
	const struct lade_pipe_sink *c = s->outlet->config;
	char room[256];

	for (unsigned i = 0; i < s->rows.n_columns; i++) {
		const char *name = s->rows.columns[i].name;

		if (lade_pg_table_find(&s->table, name) < 0)
			return lade_pipe_fail(s->outlet->engine, LADE_EXIT_FAILED,
					      "sink postgres: the table %s has no column "
					      "\"%.60s\"; make it: alter table %s add column \"%.60s\" %s",
					      s->table.name, name, s->table.name, name,
					      lade_pg_type_name(s->types[i]));
	}
	for (unsigned i = 0; i < s->table.n_columns; i++) {
		const struct lade_pg_table_column *col = &s->table.columns[i];

		if (col->not_null && !col->has_default && !col->generated &&
		    column_of(s, col->name) < 0)
			return config_fail(s->outlet, c->table,
					   missing("its column that must not be null,",
						   col->name, room));
	}
	for (int i = 0; i < c->key.n; i++) {
		int at = column_of(s, c->key.at[i].text);

		if (at < 0)
			return config_fail(s->outlet, c->table,
					   missing("the key column", c->key.at[i].text, room));
		s->key[i] = (unsigned)at;
	}
	s->version = c->version ? column_of(s, c->version) : -1;
	if (c->version && s->version < 0)
		return config_fail(s->outlet, c->table,
				   missing("the version column", c->version, room));
	if (c->on_conflict != LADE_CONFLICT_ERROR && !has_key(s))
		return config_fail(s->outlet, c->table, "it has no unique key of exactly "
				   "the columns of key, which on_conflict needs; make it: create "
				   "unique index on TABLE (COLUMNS)");
	return 0;
}

/* Appends a name in quotes. */
static void put_name(struct lade_json_out *out, const char *name)
{
	lade_json_out_raw(out, "\"", 1);
	for (const char *p = name; *p; p++)
		lade_json_out_raw(out, *p == '"' ? "\"\"" : p, *p == '"' ? 2 : 1);
	lade_json_out_raw(out, "\"", 1);
}

__attribute__((format(printf, 2, 3)))
static void put(struct lade_json_out *out, const char *format, ...)
{
	char text[512];
	va_list args;
	int len;

	va_start(args, format);
	len = vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	lade_json_out_raw(out, text, (size_t)len);
}

static void put_conflict(struct to_postgres *s, struct lade_json_out *out)
{
	const struct lade_pipe_sink *c = s->outlet->config;
	const char *comma = "";

	if (c->on_conflict == LADE_CONFLICT_ERROR)
		return;
	put(out, " on conflict (");
	for (int i = 0; i < c->key.n; i++) {
		put(out, "%s", i ? ", " : "");
		put_name(out, c->key.at[i].text);
	}
	if (c->on_conflict == LADE_CONFLICT_NOTHING || (int)s->rows.n_columns == c->key.n) {
		put(out, ") do nothing");
		return;
	}
	put(out, ") do update set ");
	for (unsigned i = 0; i < s->rows.n_columns; i++) {
		bool in_key = false;

		for (int k = 0; k < c->key.n; k++)
			in_key |= s->key[k] == i;
		if (in_key)
			continue;
		put(out, "%s", comma);
		put_name(out, s->rows.columns[i].name);
		put(out, " = excluded.");
		put_name(out, s->rows.columns[i].name);
		comma = ", ";
	}
	if (s->version >= 0) {
		put(out, " where excluded.");
		put_name(out, c->version);
		put(out, " > t.");
		put_name(out, c->version);
	}
}

/* The statement that all rows are written with, as arrays of columns. */
static int make_insert(struct to_postgres *s)
{
	struct lade_json_out out;

	lade_json_out_init(&out, 1 << 20);
	put(&out, "insert into %s as t (", s->table.name);
	for (unsigned i = 0; i < s->rows.n_columns; i++) {
		put(&out, "%s", i ? ", " : "");
		put_name(&out, s->rows.columns[i].name);
	}
	put(&out, ") select ");
	for (unsigned i = 0; i < s->rows.n_columns; i++) {
		int at = lade_pg_table_find(&s->table, s->rows.columns[i].name);

		put(&out, "%sv%u::%s", i ? ", " : "", i, s->table.columns[at].type);
	}
	put(&out, " from unnest(");
	for (unsigned i = 0; i < s->rows.n_columns; i++)
		put(&out, "%s$%u::%s[]", i ? ", " : "", i + 1, lade_pg_type_name(s->types[i]));
	put(&out, ") as rows(");
	for (unsigned i = 0; i < s->rows.n_columns; i++)
		put(&out, "%sv%u", i ? ", " : "", i);
	put(&out, ")");
	put_conflict(s, &out);
	lade_json_out_raw(&out, "", 1);
	if (out.status < 0)
		lade_json_out_done(&out);
	s->insert = out.data;
	return s->insert ? 0 : -ENOMEM;
}

/* Asks until there is an answer: a server that is away is waited for, but not by `check`. */
static int ask(struct to_postgres *s, const char *sql, struct lade_pg_error *error)
{
	struct lade_pipe_engine *e = s->outlet->engine;

	for (uint32_t attempt = 1;; attempt++) {
		int rc = lade_pg_query(s->db, sql, NULL, NULL, error);

		if (rc != -EAGAIN || e->probing)
			return rc;
		lade_pipe_trouble(e, name_of(), s->outlet->trouble, "%s; it waits", error->text);
		if (!s->outlet->trouble_since_ns)
			s->outlet->trouble_since_ns = lade_now().mono_ns;
		rc = lade_stopping() ? -ECANCELED : lade_pipe_back_off(e, attempt);
		if (rc < 0)
			return rc;
	}
}

/* The table from its columns, where it is missing and may be made. */
static int create_table(struct to_postgres *s, struct lade_pg_error *error)
{
	const struct lade_pipe_sink *c = s->outlet->config;
	struct lade_json_out out;
	int rc;

	lade_json_out_init(&out, 1 << 20);
	put(&out, "create table if not exists %.200s (", c->table);
	for (unsigned i = 0; i < s->rows.n_columns; i++) {
		put(&out, "%s", i ? ", " : "");
		put_name(&out, s->rows.columns[i].name);
		put(&out, " %s", lade_pg_type_name(s->types[i]));
	}
	for (int i = 0; i < c->key.n; i++) {
		put(&out, "%s", i ? ", " : ", primary key (");
		put_name(&out, c->key.at[i].text);
	}
	put(&out, "%s", c->key.n ? "))" : ")");
	lade_json_out_raw(&out, "", 1);
	rc = out.status < 0 ? -ENOMEM : ask(s, out.data, error);
	lade_json_out_done(&out);
	return rc;
}

static int open_letters(struct to_postgres *s, struct lade_pg_error *error)
{
	const struct lade_pipe_errors *c = &s->outlet->engine->config->errors;
	char sql[1024];
	int rc;

	if (c->dead_kind != LADE_DEAD_TABLE || s->outlet->engine->letters_in ||
	    s->outlet->engine->probing)
		return 0;
	snprintf(sql, sizeof(sql),
		 "create table if not exists %.200s (pipeline text, topic text, part int8,"
		 " \"offset\" int8, line int8, step text, reason text, attempts int8,"
		 " first_failed timestamptz, document text)", c->dead_table);
	rc = ask(s, sql, error);
	if (rc < 0)
		return rc;
	if (asprintf(&s->letters,
		     "insert into %.200s select * from unnest($1::text[], $2::text[], $3::int8[],"
		     " $4::int8[], $5::int8[], $6::text[], $7::text[], $8::int8[],"
		     " $9::timestamptz[], $10::text[])", c->dead_table) < 0)
		return -ENOMEM;
	s->rows.letters = true;
	s->outlet->engine->letters_in = s->outlet;
	return 0;
}

static int open_offsets(struct to_postgres *s, struct lade_pg_error *error)
{
	if (!keeps(s) || s->outlet->engine->probing)
		return 0;
	return ask(s,
		   "create table if not exists " OFFSETS " (pipeline text, topic text, part int8,"
		   " next_offset int8 not null, epoch int8 not null, owner text not null, cluster"
		   " text not null, updated_at timestamptz not null default now(),"
		   " primary key (pipeline, topic, part))", error);
}

static int open_table(struct to_postgres *s, struct lade_pipe_shape *shape,
		      struct lade_pg_error *error)
{
	const struct lade_pipe_sink *c = s->outlet->config;
	struct lade_json_error wrong;
	const char *column = "";
	int rc = c->columns.n ? lade_pipe_table_listed(&s->rows, shape, &column, &wrong) : 0;

	if (rc < 0)
		return rc == -ENOMEM ? rc : config_fail(s->outlet, column, wrong.reason);
	for (unsigned i = 0; i < s->rows.n_columns; i++)
		s->types[i] = lade_pg_type_of(s->rows.columns[i].ref.want.type);
	if (c->create && !s->outlet->engine->probing)
		rc = create_table(s, error);
	if (rc == 0)
		rc = lade_pg_describe(s->db, c->table, &s->table, error);
	if (rc == -ENOENT && c->create && s->outlet->engine->probing)
		return 0; /* the run will make it */
	if (rc == 0 && !c->columns.n)
		rc = open_by_name(s, shape);
	for (unsigned i = 0; rc == 0 && i < s->rows.n_columns; i++)
		s->types[i] = lade_pg_type_of(s->rows.columns[i].ref.want.type);
	if (rc == 0)
		rc = check_columns(s);
	return rc == 0 ? make_insert(s) : rc;
}

static int postgres_open(struct lade_pipe_outlet *outlet, struct lade_pipe_shape *shape)
{
	const struct lade_pipe_sink *c = outlet->config;
	struct to_postgres *s = calloc(1, sizeof(*s));
	struct lade_pg_error error = { .text = "" };
	const struct lade_pg_config config = {
		.conninfo = lade_pipe_database_url(outlet->engine->config, c->db),
		.connections_max = 1, /* writes are one chain */
		.statement_ns = WRITE_LIMIT_NS,
		.application = outlet->engine->config->name,
	};
	int rc;

	if (!s)
		return -ENOMEM;
	outlet->self = s;
	s->outlet = outlet;
	s->rows.outlet = outlet;
	lade_pg_args_init(&s->args, 0);
	lade_pg_args_init(&s->letter_args, 0);
	lade_pg_args_init(&s->fence_args, 0);
	rc = lade_json_reader_new(&s->rows.reader);
	if (rc == 0)
		rc = lade_pg_open(&config, &s->db, &error);
	if (rc == 0)
		rc = ask(s, "select 1", &error);
	if (rc == 0)
		rc = open_table(s, shape, &error);
	if (rc == 0)
		rc = open_letters(s, &error);
	if (rc == 0)
		rc = open_offsets(s, &error);
	lade_pipe_recovered(outlet->engine, name_of(), outlet->trouble, &outlet->trouble_since_ns);
	return rc < 0 && rc != -ECANCELED && rc != -ENOMEM && !outlet->engine->failed
		       ? config_fail(outlet, c->table, error.text) : rc;
}

static void postgres_close(struct lade_pipe_outlet *outlet)
{
	struct to_postgres *s = outlet->self;

	if (!s)
		return;
	lade_pg_close(s->db);
	lade_pg_table_done(&s->table);
	lade_pipe_table_done(&s->rows);
	lade_pg_args_done(&s->args);
	lade_pg_args_done(&s->letter_args);
	lade_pg_args_done(&s->fence_args);
	free(s->insert);
	free(s->letters);
	free(s);
	outlet->self = NULL;
}

const struct lade_pipe_sink_ops lade_pipe_to_postgres = { postgres_open, postgres_claim,
							  postgres_write, postgres_close };
