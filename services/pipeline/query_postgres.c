/* SPDX-License-Identifier: MIT */
/* query_postgres.c - a step's query at PostgreSQL: the keys of a batch go as arrays, at once.
 *
 * DESIGN
 * The batch is a relation that the query's own text begins with, see postgres.c. Transactions are
 * read-only. The answer stays where libpq has put it until the next question; cells point into it.
 *
 * LIMITS  ROWS_MAX rows of an answer; its bytes are bounded by the connector. */

#include "services/pipeline/postgres.h"
#include "services/pipeline/query.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define ROWS_MAX 1000000
#define SQL_MAX (1 << 20)

struct at_postgres {
	struct lade_pipe_stage *stage;
	struct lade_pg *db;
	char *sql;
	struct lade_pg_args args;
	struct lade_pg_result answer; /* the latest, which cells point into */
	const struct lade_sqlite_column *keys;
	unsigned n_keys;
	bool many;
	char *columns[LADE_SQLITE_COLUMNS_MAX]; /* owned */
	unsigned n_columns;
	unsigned i_at; /* the place of i among the answer's columns */
	struct lade_pg_error error; /* of the latest question, if the server has said one */
};

static int bad(char why[512], int rc, const char *format, const char *name)
{
	snprintf(why, 512, format, name);
	return rc;
}

/* Asking */

static int ask_server(struct at_postgres *q, const struct lade_sqlite_batch *batch,
		      int64_t limit_ns, char why[512])
{
	int rc;

	q->error = (struct lade_pg_error){ .fault = LADE_PG_OWN };
	lade_pg_result_done(&q->answer);
	lade_pg_args_reset(&q->args);
	for (unsigned k = 0; k < q->n_keys; k++)
		lade_pg_array_of(&q->args, lade_pg_type_of(q->keys[k].want.type),
				 batch->cells ? batch->cells + k : NULL, q->n_keys, batch->rows);
	rc = lade_within(lade_ns(limit_ns),
			 lade_pg_query(q->db, q->sql, &q->args, &q->answer, &q->error));
	if (rc == -ETIME)
		return bad(why, -EAGAIN, "the query took longer than its timeout%s", "");
	if (rc < 0 && rc != -ECANCELED)
		lade_pipe_pg_say(&q->error, why);
	return rc == -EMSGSIZE ? -EBADMSG : rc == -EINVAL ? -EIO : rc;
}

static int take_i(const struct at_postgres *q, uint32_t row, uint32_t rows, uint32_t *ret,
		  char why[512])
{
	struct lade_datum d;

	if (lade_pg_datum(&q->answer, row, q->i_at, NULL, &d) < 0 || d.type != LADE_INTEGER ||
	    d.integer < 0 || d.integer >= (int64_t)rows)
		return bad(why, -EIO, "the query returns an i that is none of batch%s", "");
	*ret = (uint32_t)d.integer;
	return 0;
}

static int take_cells(const struct at_postgres *q, uint32_t row, struct lade_sqlite_result *r,
		      char why[512])
{
	struct lade_datum *to = r->cells + (size_t)row * q->n_columns;

	for (unsigned c = 0; c <= q->n_columns; c++) {
		int rc;

		if (c == q->i_at)
			continue;
		rc = lade_pg_datum(&q->answer, row, c, &r->arena, to++);
		if (rc == -EBADMSG)
			return bad(why, -EBADMSG, "the column %.100s has a value out of range",
				   lade_pg_column_name(&q->answer, c));
		if (rc < 0)
			return rc;
	}
	return 0;
}

/* first[i], and the places of each i's rows, in the order in which they came. */
static int sort_by_i(const struct at_postgres *q, struct lade_sqlite_result *r, uint32_t rows,
		     char why[512])
{
	memset(r->first, 0, (rows + 1) * sizeof(*r->first));
	for (uint32_t k = 0; k < r->rows; k++)
		r->first[r->i[k] + 1]++;
	for (uint32_t i = 0; i < rows; i++) {
		if (!q->many && r->first[i + 1] > 1)
			return bad(why, -EBADMSG,
				   "the query returns several rows for one message;"
				   " `many: true` makes an array of them%s",
				   "");
		r->first[i + 1] += r->first[i];
	}
	/* Filled from the back, first[i + 1] ends at the first row of i; then all move up by one.
	 */
	for (uint32_t k = r->rows; k-- > 0;)
		r->order[--r->first[r->i[k] + 1]] = k;
	memmove(r->first, r->first + 1, rows * sizeof(*r->first));
	r->first[rows] = r->rows;
	return 0;
}

static int pg_ask(void *query, const struct lade_sqlite_batch *batch, int64_t limit_ns,
		  struct lade_sqlite_result *r, char why[512])
{
	struct at_postgres *q = query;
	int rc;

	lade_arena_reset(&r->arena);
	rc = ask_server(q, batch, limit_ns, why);
	if (rc < 0)
		return rc;
	if (q->answer.rows > ROWS_MAX)
		return bad(why, -EBADMSG, "the query returns more than a million rows%s", "");
	r->rows = q->answer.rows;
	r->columns = q->n_columns;
	r->cells = lade_arena_alloc(&r->arena,
				    ((size_t)r->rows * q->n_columns + 1) * sizeof(*r->cells));
	r->i = lade_arena_alloc(&r->arena, (r->rows + 1) * sizeof(*r->i));
	r->order = lade_arena_alloc(&r->arena, (r->rows + 1) * sizeof(*r->order));
	r->first = lade_arena_alloc(&r->arena, (batch->rows + 2) * sizeof(*r->first));
	if (!r->cells || !r->i || !r->order || !r->first)
		return -ENOMEM;
	for (uint32_t k = 0; rc == 0 && k < r->rows; k++) {
		rc = take_i(q, k, batch->rows, &r->i[k], why);
		if (rc == 0)
			rc = take_cells(q, k, r, why);
	}
	return rc < 0 ? rc : sort_by_i(q, r, batch->rows, why);
}

/* Opening */

static int open_columns(struct at_postgres *q)
{
	bool found = false;

	if (q->answer.columns > LADE_SQLITE_COLUMNS_MAX)
		return lade_pipe_query_fail(q->stage, 0, "the query", "returns too many columns");
	for (unsigned c = 0; c < q->answer.columns; c++) {
		const char *name = lade_pg_column_name(&q->answer, c);

		if (!found && strcmp(name, "i") == 0) {
			found = true;
			q->i_at = c;
			continue;
		}
		if (!lade_pg_type_known(lade_pg_column_type(&q->answer, c)))
			return lade_pipe_query_fail(q->stage, 0, name,
						    "a value of this column's type cannot be taken"
						    " over; cast it in the query, as x::text");
		q->columns[q->n_columns] = strdup(name);
		if (!q->columns[q->n_columns++])
			return -ENOMEM;
	}
	return found ? 0
		     : lade_pipe_query_fail(q->stage, 0, "the query",
					    "must return b.i, which says whose a row is");
}

/* Says why the server does not take the query, or why there is no server. */
static int refused(struct at_postgres *q, const char *why)
{
	struct lade_pipe_stage *stage = q->stage;
	const char *remedy = lade_pipe_pg_remedy(&q->error);
	char place[96], text[800];

	snprintf(text, sizeof(text), "%s%s", why, remedy);
	if (!lade_pipe_pg_of_address(&q->error))
		return lade_pipe_query_fail(stage,
					    lade_pipe_pg_position(q->sql, stage->config->query,
								  q->error.position),
					    stage->config->db, text);
	snprintf(place, sizeof(place), "databases.%.80s", stage->config->db);
	return lade_pipe_fail_at(stage->engine, LADE_EXIT_FAILED,
				 lade_pipe_config_node(stage->engine->config, NULL, 0, place), 0,
				 "step %s: %s: %s", stage->config->name, stage->config->db, text);
}

/* A database that is not there yet is waited for, visibly; `check` does not wait. */
static int ask_for_columns(struct at_postgres *q)
{
	const struct lade_sqlite_batch nothing = { .rows = 0 };
	struct lade_pipe_stage *stage = q->stage;
	char why[512] = "";
	int rc;

	for (uint32_t attempt = 1;; attempt++) {
		rc = ask_server(q, &nothing, stage->config->timeout_ns, why);
		if (rc != -EAGAIN || stage->engine->probing || lade_stopping())
			break;
		lade_pipe_trouble(stage->engine, stage->config->name, stage->trouble, "%s", why);
		if (!stage->trouble_since_ns)
			stage->trouble_since_ns = lade_now().mono_ns;
		rc = lade_pipe_back_off(stage->engine, attempt);
		if (rc < 0)
			return rc;
	}
	if (rc == 0)
		lade_pipe_recovered(stage->engine, stage->config->name, stage->trouble,
				    &stage->trouble_since_ns);
	if (rc < 0 && rc != -ECANCELED)
		return refused(q, why);
	return rc;
}

static int build_sql(struct at_postgres *q)
{
	struct lade_pipe_pg_key keys[LADE_PIPE_NAMES_MAX];
	struct lade_json_out out;

	for (unsigned k = 0; k < q->n_keys; k++)
		keys[k] = (struct lade_pipe_pg_key){ q->keys[k].name, q->keys[k].want.type };
	lade_json_out_init(&out, SQL_MAX);
	lade_pipe_pg_batch_sql(&out, q->stage->config->query, keys, q->n_keys);
	lade_json_out_raw(&out, "", 1);
	if (out.status < 0) {
		lade_json_out_done(&out);
		return out.status == -ENOMEM
			       ? -ENOMEM
			       : lade_pipe_query_fail(q->stage, 0, "the query", "is too long");
	}
	q->sql = out.data;
	return 0;
}

static void pg_close(void *query, struct lade_sqlite_result *result)
{
	struct at_postgres *q = query;

	lade_pg_result_done(&q->answer);
	lade_pg_args_done(&q->args);
	lade_pg_close(q->db);
	for (unsigned i = 0; i < q->n_columns; i++)
		free(q->columns[i]);
	free(q->sql);
	free(q);
	/* Everything of it is in its arena. */
	if (result)
		lade_arena_done(&result->arena);
}

static int pg_open(struct lade_pipe_stage *stage, const struct lade_sqlite_query_config *config,
		   void **ret)
{
	struct at_postgres *q = calloc(1, sizeof(*q));
	const struct lade_pg_config settings = { .connections_max = 1,
						 .read_only = true,
						 .statement_ns = stage->config->timeout_ns };
	struct lade_pg_error error;
	int rc;

	if (!q)
		return -ENOMEM;
	q->stage = stage;
	q->keys = config->columns;
	q->n_keys = config->n_columns;
	q->many = config->many;
	lade_pg_args_init(&q->args, 0);
	rc = build_sql(q);
	if (rc == 0) {
		rc = lade_pipe_pg_open(stage->engine->config, stage->config->db, settings, &q->db,
				       &error);
		if (rc < 0 && rc != -ENOMEM)
			rc = lade_pipe_query_fail(stage, 0, stage->config->db, error.text);
	}
	if (rc == 0)
		rc = ask_for_columns(q);
	if (rc == 0)
		rc = open_columns(q);
	if (rc < 0)
		pg_close(q, NULL);
	else
		*ret = q;
	return rc;
}

static const char *pg_column(const void *query, unsigned column)
{
	const struct at_postgres *q = query;

	return column < q->n_columns ? q->columns[column] : NULL;
}

const struct lade_pipe_query_ops lade_pipe_query_postgres = { pg_open, pg_ask, pg_column,
							      pg_close };
