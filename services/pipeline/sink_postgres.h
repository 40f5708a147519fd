/* SPDX-License-Identifier: MIT */
#ifndef LADE_PIPELINE_SINK_POSTGRES_H
#define LADE_PIPELINE_SINK_POSTGRES_H

/* sink_postgres.h - the parts of the sink that writes into a table of PostgreSQL. */

#include "services/pipeline/postgres.h"
#include "services/pipeline/rows.h"

#define LADE_PIPE_PG_LIMIT_NS INT64_C(30000000000) /* time for a transaction */
#define LADE_PIPE_PG_SQL_MAX (1 << 20)		    /* bytes of a statement that is built */
#define LADE_PIPE_PG_KEY_MAX 16			    /* columns of a conflict key */

struct lade_pipe_pg_sink {
	struct lade_pipe_outlet *outlet;
	struct lade_pg *db;
	struct lade_pg_table table;
	struct lade_pipe_table rows;	/* what they are made of */
	bool has_table;			/* `check` may find none */
	unsigned key[LADE_PIPE_PG_KEY_MAX];	/* places among the columns that are written */
	unsigned n_key;
	int version;			/* the same; -1: none */
	char *outbox;			/* SQL that deletes what was read; NULL: offsets are kept */
	bool claimed;			/* a transaction is open that has locked what was read */
	char *insert, *letters;		/* SQL; owned */
	char *remove;			/* the same: by the key; NULL: rows are never deleted */
	struct lade_pg_args fence_args, row_args, remove_args, letter_args;
	uint32_t n_bound, n_removed;	/* rows that row_args and remove_args have */
	struct lade_pg_error error;	/* of the latest call */
	char why[512];			/* the same, in a line */
};

/* Calls, in sink_postgres.c */

/* lade_pipe_pg_sink_fail - says that the sink cannot go on.  Returns -EIO. */
int lade_pipe_pg_sink_fail(struct lade_pipe_outlet *outlet, const char *what, const char *reason);

/* lade_pipe_pg_call - makes a call; s->error and s->why say what was wrong.
 *
 * Returns 0; -EBADMSG, -EAGAIN, -EIO, -ENOMEM as their fault says; -ECANCELED.  Suspends: yes. */
lade_suspends int lade_pipe_pg_call(struct lade_pipe_pg_sink *s,
				    const struct lade_pg_statement *statements, unsigned n,
				    struct lade_pg_result *results);

/* lade_pipe_pg_wait_out - says what passes, and waits after the @attempt-th time.
 *
 * Returns 0 or -ECANCELED.  Suspends: yes. */
lade_suspends int lade_pipe_pg_wait_out(struct lade_pipe_pg_sink *s, uint32_t attempt);

/* lade_pipe_pg_insist - a call until it does not pass; `check` does not wait.  Suspends: yes. */
lade_suspends int lade_pipe_pg_insist(struct lade_pipe_pg_sink *s,
				      const struct lade_pg_statement *statements, unsigned n,
				      struct lade_pg_result *results);

/* lade_pipe_pg_text - adds a C string as an argument. */
void lade_pipe_pg_text(struct lade_pg_args *args, const char *value);

/* lade_pipe_pg_integer - an integer of a result; 0: it is none. */
int64_t lade_pipe_pg_integer(const struct lade_pg_result *r, uint32_t row, unsigned column);

/* lade_pipe_pg_copy_text - a text of a result, cut to @room. */
void lade_pipe_pg_copy_text(const struct lade_pg_result *r, uint32_t row, unsigned column, char *to,
			    size_t room);

/* Offsets, in postgres_offsets.c */

/* lade_pipe_pg_fence - the statement that moves offsets, and fails unless it has moved all. */
struct lade_pg_statement lade_pipe_pg_fence(struct lade_pipe_pg_sink *s,
					    const struct lade_pipe_move *moves, uint32_t n);

/* lade_pipe_pg_find_out - after a fence that failed, or a call whose answer is lost: what the
 * database says of each lane, until it says it.
 *
 * Returns 0: all is written; -EAGAIN: nothing is, again; -ESTALE: nothing is, and never will be;
 * < 0.  Suspends: yes. */
lade_suspends int lade_pipe_pg_find_out(struct lade_pipe_pg_sink *s,
					const struct lade_pipe_move *moves, uint32_t n);

/* lade_pipe_pg_look - as a sink's look does.  Suspends: yes. */
lade_suspends int lade_pipe_pg_look(struct lade_pipe_outlet *outlet, struct lade_pipe_lane *lane);

/* lade_pipe_pg_claim - as a sink's claim does.  Suspends: yes. */
lade_suspends int lade_pipe_pg_claim(struct lade_pipe_outlet *outlet, struct lade_pipe_lane *lane);

/* lade_pipe_pg_open_offsets - makes the table of offsets, if it is not there.  Suspends: yes. */
lade_suspends int lade_pipe_pg_open_offsets(struct lade_pipe_pg_sink *s);

/* Rows, in postgres_rows.c */

/* lade_pipe_pg_bind - the rows of the numbers @index, as arrays: reduced and sorted; those that are
 * deleted by themselves.
 *
 * Returns 0, -ENOMEM or -EMSGSIZE. */
int lade_pipe_pg_bind(struct lade_pipe_pg_sink *s, struct lade_pipe_rows *rows,
		      const uint32_t *index, uint32_t n);

/* lade_pipe_pg_row_statements - what writes the rows that are bound, up to two statements.
 *
 * Returns how many. */
unsigned lade_pipe_pg_row_statements(struct lade_pipe_pg_sink *s,
				     struct lade_pg_statement ret[2]);

/* lade_pipe_pg_bind_letters - the dead letters, as arrays. */
void lade_pipe_pg_bind_letters(struct lade_pipe_pg_sink *s, const struct lade_pipe_rows *rows);

/* lade_pipe_pg_is_datas - whether a row is to blame for a call that failed with @rc. */
bool lade_pipe_pg_is_datas(const struct lade_pipe_pg_sink *s, int rc);

/* lade_pipe_pg_find_bad - rejects the rows of @index that PostgreSQL refuses; together they are
 * refused.
 *
 * Returns 0, and *found is raised by their number; < 0.  Suspends: yes. */
lade_suspends int lade_pipe_pg_find_bad(struct lade_pipe_pg_sink *s, struct lade_pipe_rows *rows,
					const uint32_t *index, uint32_t n, uint32_t *found);

/* The table, in postgres_table.c */

/* lade_pipe_pg_open_own - makes a table of lade's own, if it is not there.  Suspends: yes. */
lade_suspends int lade_pipe_pg_open_own(struct lade_pipe_pg_sink *s, const char *name,
					const char *sql);

/* lade_pipe_pg_open_table - the table, its columns and what messages are asked for; the statement
 * that writes, and whether it can.  Suspends: yes. */
lade_suspends int lade_pipe_pg_open_table(struct lade_pipe_pg_sink *s,
					  struct lade_pipe_shape *shape);

/* lade_pipe_pg_open_letters - the table of dead letters, if there is one.  Suspends: yes. */
lade_suspends int lade_pipe_pg_open_letters(struct lade_pipe_pg_sink *s);

#endif
