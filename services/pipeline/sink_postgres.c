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
 * A message without a value deletes the row of its key. As one of each key is left, deletes and
 * upserts touch different rows, and are a statement each. (Keys that PostgreSQL finds equal and we
 * do not, as 05 and 5 bound as text to a number, are to be bound by their type.)
 *
 * PostgreSQL does not say which row it refuses. So parts of the rows are tried, in transactions
 * that end with a failure of our own and leave nothing: halves, until a row stands alone. Where the
 * halves are fine and the whole is not, rows are in each other's way: the later one is to blame. */

#include "services/pipeline/sink_postgres.h"

#include "services/pipeline/outbox.h"
#include "services/pipeline/phase.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define ARGS_MAX ((size_t)1 << 30) /* bytes of a transaction's rows */
#define CLAIM_IDLE_NS INT64_C(3600000000000) /* rows of a claim may take so long */

int lade_pipe_pg_sink_fail(struct lade_pipe_outlet *outlet, const char *what, const char *reason)
{
	return lade_pipe_fail_at(outlet->engine, LADE_EXIT_FAILED,
				 lade_pipe_sink_node(outlet, "postgres"), 0,
				 "sink postgres: %s: %s", what, reason);
}

void lade_pipe_pg_text(struct lade_pg_args *args, const char *value)
{
	lade_pg_text(args, value, strlen(value));
}

/* Calls */

int lade_pipe_pg_call(struct lade_pipe_pg_sink *s, const struct lade_pg_statement *statements,
		      unsigned n, struct lade_pg_result *results)
{
	int rc = lade_within(lade_ns(LADE_PIPE_PG_LIMIT_NS),
			     lade_pg_batch(s->db, statements, n, results, &s->error));

	if (rc == -ETIME) {
		enum lade_pg_exchange exchange = s->error.exchange;

		s->error = (struct lade_pg_error){ .fault = LADE_PG_PASSING,
						   .exchange = exchange,
						   .statement = -1 };
		snprintf(s->error.text, sizeof(s->error.text), "no answer after %d s",
			 (int)(LADE_PIPE_PG_LIMIT_NS / 1000000000));
		rc = -EAGAIN;
	}
	lade_pipe_pg_say(&s->error, s->why);
	return rc == -EMSGSIZE || rc == -EINVAL ? -EIO : rc;
}

static void say_why(struct lade_pipe_pg_sink *s)
{
	lade_pipe_trouble(s->outlet->engine, "sink postgres", s->outlet->trouble, "%s", s->why);
	if (!s->outlet->trouble_since_ns)
		s->outlet->trouble_since_ns = lade_now().mono_ns;
}

int lade_pipe_pg_wait_out(struct lade_pipe_pg_sink *s, uint32_t attempt)
{
	say_why(s);
	return lade_pipe_back_off(s->outlet->engine, attempt);
}

int lade_pipe_pg_insist(struct lade_pipe_pg_sink *s, const struct lade_pg_statement *statements,
			unsigned n, struct lade_pg_result *results)
{
	struct lade_pipe_engine *e = s->outlet->engine;

	for (uint32_t attempt = 1;; attempt++) {
		int rc = lade_pipe_pg_call(s, statements, n, results);

		if (rc == 0)
			lade_pipe_recovered(e, "sink postgres", s->outlet->trouble,
					    &s->outlet->trouble_since_ns);
		if (rc != -EAGAIN || e->probing)
			return rc;
		/* Whoever has not begun need not wait. */
		rc = lade_stopping() ? -ECANCELED : lade_pipe_pg_wait_out(s, attempt);
		if (rc < 0)
			return rc;
	}
}

int64_t lade_pipe_pg_integer(const struct lade_pg_result *r, uint32_t row, unsigned column)
{
	struct lade_datum d = { 0 };

	(void)lade_pg_datum(r, row, column, NULL, &d);
	return d.integer;
}

void lade_pipe_pg_copy_text(const struct lade_pg_result *r, uint32_t row, unsigned column, char *to,
			    size_t room)
{
	uint32_t len = 0;
	const char *bytes = lade_pg_bytes(r, row, column, &len);

	snprintf(to, room, "%.*s", (int)len, bytes ? bytes : "");
}

/* Writing */

/* Deletes what was read, and fails unless all of it was there. */
static struct lade_pg_statement outbox_fence(struct lade_pipe_pg_sink *s,
					     const struct lade_pipe_move *move)
{
	const int64_t from = move->lane->stored.next_offset;
	const int64_t *keys = lade_pipe_outbox_keys(s->outlet->engine, from);
	struct lade_pg_args *a = &s->fence_args;

	lade_pg_args_reset(a);
	lade_pg_array(a, LADE_PG_INT8, (uint32_t)(move->to - from));
	for (int64_t i = 0; i < move->to - from; i++)
		lade_pg_item_int8(a, keys[i]);
	return (struct lade_pg_statement){ s->outbox, a };
}

/* The locks are gone, or go now: what follows rests on the rows being there. */
static void end_claim(struct lade_pipe_pg_sink *s, bool failed)
{
	const struct lade_pg_statement statement = { "rollback", NULL };
	const struct lade_pg_error error = s->error;
	char why[512];

	if (!s->claimed)
		return;
	s->claimed = false;
	if (!failed)
		return;
	memcpy(why, s->why, sizeof(why));
	/* Where not even that can be said, the connection is gone, and the claim with it. */
	if (lade_pipe_pg_call(s, &statement, 1, NULL) < 0)
		s->outlet->errors++;
	memcpy(s->why, why, sizeof(why));
	s->error = error;
}

/* One claim.  -EAGAIN: it passes. */
static int claim_once(struct lade_pipe_pg_sink *s, const char *sql, struct lade_pg_result *ret)
{
	const struct lade_pg_statement statements[] = { { "begin", NULL }, { sql, NULL } };
	struct lade_pg_result results[2] = { 0 };
	int rc;

	s->claimed = true;
	rc = lade_pipe_pg_call(s, statements, 2, results);
	if (rc == 0) {
		lade_pg_result_done(&results[0]);
		*ret = results[1];
	}
	if (rc < 0 || ret->rows == 0)
		end_claim(s, true);
	return rc;
}

int lade_pipe_pg_claim_rows(struct lade_pipe_outlet *outlet, const char *sql,
			    struct lade_pg_result *ret)
{
	struct lade_pipe_pg_sink *s = outlet->self;

	for (uint32_t attempt = 1;; attempt++) {
		int rc = claim_once(s, sql, ret);

		if (rc == 0)
			lade_pipe_recovered(outlet->engine, "sink postgres", outlet->trouble,
					    &outlet->trouble_since_ns);
		if (rc == 0 || rc == -ECANCELED || rc == -ENOMEM)
			return rc;
		if (rc != -EAGAIN)
			return lade_pipe_pg_sink_fail(outlet, "the rows to be read", s->why);
		say_why(s);
		rc = lade_pipe_back_off_reading(outlet->engine, attempt);
		if (rc < 0 || outlet->engine->stop_reading.set)
			return rc;
	}
}

/* Where in a call the rows were, and how many statements it had. */
struct sent {
	int rows_at, rows_end;
	int end;
};

static int send(struct lade_pipe_pg_sink *s, const struct lade_pipe_rows *rows,
		const struct lade_pipe_move *moves, uint32_t n_moves, struct sent *ret)
{
	struct lade_pg_statement statements[5];
	unsigned n = 0;

	if (n_moves)
		statements[n++] = s->outbox ? outbox_fence(s, moves)
					    : lade_pipe_pg_fence(s, moves, n_moves);
	ret->rows_at = (int)n;
	if (rows->n)
		n += lade_pipe_pg_row_statements(s, statements + n);
	ret->rows_end = (int)n;
	if (rows->n_letters) {
		lade_pipe_pg_bind_letters(s, rows);
		statements[n++] = (struct lade_pg_statement){ s->letters, &s->letter_args };
	}
	ret->end = (int)n;
	if (n == 0)
		return 0;
	if (s->claimed)
		statements[n++] = (struct lade_pg_statement){ "commit", NULL };
	lade_pipe_phase(LADE_PHASE_FENCE);
	lade_pipe_phase(LADE_PHASE_COMMIT);
	return lade_pipe_pg_call(s, statements, n, NULL);
}

static uint32_t *all_of(struct lade_pipe_rows *rows)
{
	uint32_t *index = lade_arena_alloc(&rows->arena, (rows->n + 1) * sizeof(*index));

	for (uint32_t i = 0; index && i < rows->n; i++)
		index[i] = i;
	return index;
}

/* After a failure: what is to be done.  Returns 0: it is written; 1: again at once; < 0. */
static int after_failure(struct lade_pipe_pg_sink *s, struct lade_pipe_rows *rows,
			 const uint32_t *index, const struct lade_pipe_move *moves,
			 uint32_t n_moves, int rc, const struct sent *sent)
{
	bool unsure = s->error.exchange == LADE_PG_SENT;
	bool fence = n_moves && s->error.statement == 0 && s->error.fault != LADE_PG_PASSING;
	uint32_t found = 0;

	if (rc == -ECANCELED || rc == -ENOMEM)
		return rc;
	if (n_moves && (unsure || fence))
		/* What of an outbox is still there says it; that is claimed anew. */
		return s->outbox ? -ESTALE : lade_pipe_pg_find_out(s, moves, n_moves);
	/* At the commit, or in the rows: one of them is to blame. A letter never is. */
	if (!lade_pipe_pg_is_datas(s, rc) || sent->rows_at == sent->rows_end ||
	    s->error.statement < sent->rows_at ||
	    (s->error.statement >= sent->rows_end && s->error.statement < sent->end))
		return rc == -EBADMSG ? -EIO : rc;
	rc = lade_pipe_pg_find_bad(s, rows, index, rows->n, &found);
	return rc < 0 ? rc : found ? 1 : -EAGAIN;
}

/* One transaction, or the next after rows were refused.  Returns 0; 1: again; < 0. */
static int write_once(struct lade_pipe_pg_sink *s, struct lade_pipe_batch *const *batches,
		      uint32_t n, const struct lade_pipe_move *moves, uint32_t n_moves,
		      struct lade_pipe_rows *rows)
{
	int rc = lade_pipe_rows_gather(&s->rows, batches, n, rows);
	struct sent sent;
	uint32_t *index;

	if (rc < 0)
		return rc;
	index = all_of(rows);
	rc = index ? lade_pipe_pg_bind(s, rows, index, rows->n) : -ENOMEM;
	if (rc == -EMSGSIZE) {
		snprintf(s->why, sizeof(s->why),
			 "the rows of one transaction have more bytes than "
			 "one statement may: lower max_transaction");
		return -EIO;
	}
	if (rc < 0)
		return rc;
	rc = send(s, rows, moves, n_moves, &sent);
	end_claim(s, rc < 0);
	if (rc < 0)
		rc = after_failure(s, rows, index, moves, n_moves, rc, &sent);
	for (uint32_t i = 0; rc == 0 && i < n_moves; i++)
		moves[i].lane->stored.next_offset = moves[i].to;
	if (rc == 0)
		s->outlet->written += rows->n;
	return rc;
}

static int postgres_write(struct lade_pipe_outlet *outlet, struct lade_pipe_batch *const *batches,
			  uint32_t n, const struct lade_pipe_move *moves, uint32_t n_moves)
{
	struct lade_pipe_pg_sink *s = outlet->self;
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

/* Deletes none, to see that it may. */
static int open_outbox(struct lade_pipe_pg_sink *s)
{
	struct lade_pg_statement statement = { NULL, &s->fence_args };
	int rc;

	s->outbox = lade_pipe_outbox_delete_sql(s->outlet->engine->config);
	if (!s->outbox)
		return -ENOMEM;
	statement.sql = s->outbox;
	lade_pg_args_reset(&s->fence_args);
	lade_pg_array(&s->fence_args, LADE_PG_INT8, 0);
	rc = lade_pipe_pg_insist(s, &statement, 1, NULL);
	return rc < 0 && rc != -ECANCELED && rc != -ENOMEM
		       ? lade_pipe_pg_sink_fail(s->outlet, s->outlet->engine->config->source.table,
						s->why)
		       : rc;
}

static int postgres_open(struct lade_pipe_outlet *outlet, struct lade_pipe_shape *shape)
{
	const struct lade_pipe_sink *c = outlet->config;
	const int64_t idle_ns = outlet->engine->config->source.outbox ? CLAIM_IDLE_NS : 0;
	const struct lade_pg_config settings = { .connections_max = 1,
						 .idle_ns = idle_ns,
						 .statement_ns = LADE_PIPE_PG_LIMIT_NS,
						 .args_bytes_max = ARGS_MAX };
	struct lade_pipe_pg_sink *s = calloc(1, sizeof(*s));
	int rc;

	if (!s)
		return -ENOMEM;
	outlet->self = s;
	s->outlet = outlet;
	s->rows.outlet = outlet;
	lade_pg_args_init(&s->fence_args, 0);
	lade_pg_args_init(&s->row_args, ARGS_MAX);
	lade_pg_args_init(&s->remove_args, ARGS_MAX);
	lade_pg_args_init(&s->letter_args, ARGS_MAX);
	rc = lade_json_reader_new(&s->rows.reader);
	if (rc == 0) {
		rc = lade_pipe_pg_open(outlet->engine->config, c->db, settings, &s->db, &s->error);
		if (rc < 0 && rc != -ENOMEM)
			return lade_pipe_pg_sink_fail(outlet, c->db, s->error.text);
	}
	if (rc == 0)
		rc = lade_pipe_pg_open_table(s, shape);
	if (rc == 0 && outlet == outlet->engine->keeper)
		rc = outlet->engine->config->source.outbox ? open_outbox(s)
							   : lade_pipe_pg_open_offsets(s);
	return rc == 0 ? lade_pipe_pg_open_letters(s) : rc;
}

static void postgres_close(struct lade_pipe_outlet *outlet)
{
	struct lade_pipe_pg_sink *s = outlet->self;

	if (!s)
		return;
	lade_pg_close(s->db);
	lade_pg_table_done(&s->table);
	lade_pipe_table_done(&s->rows);
	lade_pg_args_done(&s->fence_args);
	lade_pg_args_done(&s->row_args);
	lade_pg_args_done(&s->remove_args);
	lade_pg_args_done(&s->letter_args);
	free(s->insert);
	free(s->outbox);
	free(s->remove);
	free(s->letters);
	free(s);
	outlet->self = NULL;
}

const struct lade_pipe_sink_ops lade_pipe_to_postgres = { .open = postgres_open,
							  .claim = lade_pipe_pg_claim,
							  .look = lade_pipe_pg_look,
							  .write = postgres_write,
							  .close = postgres_close };
