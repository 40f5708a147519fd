/* SPDX-License-Identifier: MIT */
#ifndef LADE_PIPELINE_ROWS_H
#define LADE_PIPELINE_ROWS_H

/* rows.h - messages as rows of a table: what the sinks share that write into databases. */

#include "services/pipeline/engine.h"

#define LADE_PIPE_LETTER_COLUMNS 10	/* cells of a dead letter */

/* A column that is written. */
struct lade_pipe_column {
	const char *name;
	struct lade_pipe_ref ref;	/* what of a message it gets, and as what type */
	bool as_it_comes;		/* the table asks for no type */
	bool is_key;			/* where rows are deleted: a column of their key */
	char *text;			/* a reference that was made of the name; owned */
};

/* What rows are made of. */
struct lade_pipe_table {
	struct lade_pipe_outlet *outlet;
	struct lade_json_reader *reader;	/* owned, as are the columns' texts */
	struct lade_pipe_column columns[LADE_PIPE_NAMES_MAX];
	unsigned n_columns;
	bool check_extra;		/* a member without a column is an error */
	bool letters;			/* dead letters are rows, too */
	bool deletes;			/* a message without a value deletes a row */
};

/* The rows of one transaction; from zeros, with an arena. */
struct lade_pipe_rows {
	struct lade_arena arena;
	struct lade_datum *cells;	/* n rows of the table's columns */
	struct lade_datum *letters;	/* n_letters rows of LADE_PIPE_LETTER_COLUMNS */
	struct lade_pipe_batch **batch_of; /* of each row */
	uint32_t *at_of;		/* its message in that */
	bool *is_delete;		/* of each row: only its key counts, and it is deleted */
	uint32_t n, n_letters;
};

/* lade_pipe_table_listed - the columns as the configuration names them.
 *
 * Returns 0; as lade_pipe_shape_ask(), and *ret_column is the one. */
int lade_pipe_table_listed(struct lade_pipe_table *table, struct lade_pipe_shape *shape,
			   const char **ret_column, struct lade_json_error *ret_error);

/* lade_pipe_table_by_name - one more column, which gets the member of its name.
 *
 * @name outlives the table; @want of type LADE_ABSENT: as it comes.
 * Returns as lade_pipe_shape_ask(). */
int lade_pipe_table_by_name(struct lade_pipe_table *table, struct lade_pipe_shape *shape,
			    const char *name, struct lade_want want,
			    struct lade_json_error *ret_error);

/* lade_pipe_table_done - frees what it owns. */
void lade_pipe_table_done(struct lade_pipe_table *table);

/* lade_pipe_rows_gather - the rows of all messages whose verdict is OK, in order, among them those
 * that are to be deleted, and the dead letters; what has no place in the table is rejected.
 *
 * Returns 0; -EBADMSG: one was, and there is no place for dead letters; -ENOMEM. */
int lade_pipe_rows_gather(struct lade_pipe_table *table, struct lade_pipe_batch *const *batches,
			  uint32_t n, struct lade_pipe_rows *rows);

/* lade_pipe_rows_reject - rejects the message of a row, for this reason.
 *
 * Returns 0, or -EBADMSG as above: nothing may be written. */
int lade_pipe_rows_reject(const struct lade_pipe_table *table, struct lade_pipe_batch *batch,
			  uint32_t at, const char *reason);

#endif
