/* SPDX-License-Identifier: MIT */
#ifndef LADE_SQLITE_H
#define LADE_SQLITE_H

/* lade_sqlite - SQLite for batches: one query over many messages, one transaction for many
 * rows.
 *
 * A query sees the batch as a table, batch(i, m, ...), that lies in memory: i is a message's
 * number from 0, m the message itself, and the other columns are typed values.  A writer puts
 * rows into tables and moves offsets in the same transaction, which is what exactly once
 * rests on.
 *
 * SQLite blocks, so its calls run on the pool. A connection has one call at a time: a query or a
 * writer serves one task, and several tasks use one each. A cancel interrupts the running call;
 * the task waits until SQLite has stopped. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <lade/arena.h>
#include <lade/datum.h>
#include <lade/task.h>
#include <lade/version.h>

#define LADE_SQLITE_COLUMNS_MAX 256	/* columns of a relation, a result or a table */
#define LADE_SQLITE_NAME_MAX 255	/* bytes of a column's or table's name */

/* What kind of failure it is: whose fault, and so what is to be done. */
enum lade_sqlite_fault {
	LADE_SQLITE_DATA,    /* a row's own fault: it fails alone, always (-EBADMSG) */
	LADE_SQLITE_PASSING, /* locked, full, too slow: again later (-EAGAIN) */
	LADE_SQLITE_FATAL,   /* the statement's or the database's fault: a person must act (-EIO) */
	LADE_SQLITE_FENCED,  /* somebody else has moved the offsets (-ESTALE) */
	LADE_SQLITE_STOPPED, /* lade_sqlite_stop() ended the call (-ECANCELED) */
	LADE_SQLITE_MEMORY,  /* memory is out (-ENOMEM) */
};

struct lade_sqlite_error {
	enum lade_sqlite_fault fault;
	int code;		/* SQLite's extended code, 0 if it was not SQLite's */
	int part;		/* writing: the part of the transaction, -1 if none is to blame */
	int64_t row;		/* writing: the row of that part, -1 if none is to blame */
	int position;		/* a query: the byte of it that is to blame, from 1; 0: not known */
	bool unsure;		/* the commit may have happened: read the offsets to know */
	char text[400];		/* what happened, and what to do about it */
};

/* lade_sqlite_fault_name - "data", "passing", "fatal", "fenced", "stopped" or "memory".
 *
 * Returns a constant string.  Suspends: no.  Threads: any. */
LADE_API_BEGIN
const char *lade_sqlite_fault_name(enum lade_sqlite_fault fault);
LADE_API_END

/* How a database is opened. */
struct lade_sqlite_config {
	const char *path;	/* the file; ":memory:" for one of its own */
	bool write;		/* else nothing can be changed */
	bool create;		/* with write: make the file where it is missing */
	int64_t busy_ns;	/* how long a call waits for a lock; 0: 1 s */
};

/* A column of a relation or of a table. */
struct lade_sqlite_column {
	const char *name;
	struct lade_want want;	/* its type; nullable: it may be null */
};

/* What is expected of a query's columns. */
enum lade_sqlite_query_kind {
	LADE_SQLITE_ENRICH,	/* i, and further columns: what the message gets */
	LADE_SQLITE_TRANSFORM,	/* value; i, key, topic and headers at will: new messages */
};

struct lade_sqlite_query_config {
	struct lade_sqlite_config db;
	enum lade_sqlite_query_kind kind;
	const char *sql;			/* one SELECT */
	const struct lade_sqlite_column *columns;	/* of batch, behind i and m */
	unsigned n_columns;
	bool many;				/* enrich: several rows for one i are no error */
	uint32_t rows_max;			/* rows of a result; 0: a million */
	size_t bytes_max;			/* text of a result; 0: 64 MiB */
};

/* The messages of one batch. */
struct lade_sqlite_batch {
	uint32_t rows;				/* messages */
	const struct lade_datum *messages;	/* m of each; NULL when the query does not use m */
	const struct lade_datum *cells;		/* the columns of row 0, then those of row 1, ... */
};

/* The rows of an answer, in the order of i; those of one i in the order in which they came. */
struct lade_sqlite_result {
	struct lade_arena arena;	/* their texts */
	uint32_t rows;			/* rows */
	unsigned columns;		/* columns without i */
	struct lade_datum *cells;	/* the columns of each row, as they came */
	uint32_t *i;			/* of each row as it came; 0 when there is no i */
	uint32_t *order;		/* [k]: the place in .cells of the k-th row */
	uint32_t *first;		/* [i]..[i + 1]: the rows k of message i */
	uint32_t rows_cap;		/* rows that fit */
	uint32_t first_cap;		/* messages that fit into .first */
};

/* lade_sqlite_row - the columns of the @k-th row of an answer.
 *
 * Suspends: no.  Threads: any, while nobody fills it.  Owns: the result. */
static inline const struct lade_datum *lade_sqlite_row(const struct lade_sqlite_result *result,
						       uint32_t k)
{
	return result->cells + (size_t)result->order[k] * result->columns;
}

/* What happens to a row whose key is in the table. */
enum lade_sqlite_conflict {
	LADE_SQLITE_CONFLICT_ERROR,	/* it is a data error */
	LADE_SQLITE_CONFLICT_UPDATE,	/* it replaces the row */
	LADE_SQLITE_CONFLICT_NOTHING,	/* it is left out */
};

struct lade_sqlite_table_config {
	const char *name;
	const struct lade_sqlite_column *columns;	/* NULL: all that the table has */
	unsigned n_columns;
	const char *const *key;			/* the columns of the conflict key */
	unsigned n_key;
	enum lade_sqlite_conflict on_conflict;
	const char *version;			/* update: only where this column grows; or NULL */
	bool deletes; /* rows are deleted by .key as well: see lade_sqlite_part */
	bool create; /* make it of .columns and .key where it is missing */
};

struct lade_sqlite_table;	/* a table that a writer writes */

/* Rows for one table. */
struct lade_sqlite_part {
	struct lade_sqlite_table *table;
	const struct lade_datum *cells;	/* the columns of row 0, then those of row 1, ... */
	uint32_t rows;
	const bool *deletes;		/* of each: it is deleted, by its key; NULL: none is */
};

/* Where a lane is, and where it goes with a transaction. */
struct lade_sqlite_offset {
	const char *pipeline, *topic;	/* with part: which lane */
	int64_t part;
	int64_t epoch;			/* of the claim under which it moves */
	int64_t from;			/* next_offset before */
	int64_t to;			/* next_offset after */
	const char *cluster;		/* what the offset counts in, after */
};

/* What is stored of a lane. */
struct lade_sqlite_stored {
	int64_t next_offset;
	int64_t epoch;
	char owner[128];	/* who claimed it last */
	char cluster[128];	/* what the offset counts in */
};

struct lade_sqlite_query;	/* a query over batches, with a connection of its own */
struct lade_sqlite_writer;	/* a connection that writes tables */

LADE_API_BEGIN

/* lade_sqlite_query_new - opens a database and prepares a query.
 *
 * Refuses, as fatal, anything that is not one SELECT, and columns that do not fit its kind.
 * Returns 0 and *ret; else as the fault of @ret_error says; -ECANCELED.
 * Suspends: yes.  Threads: inside a task only.  Owns: lade_sqlite_query_free frees it. */
#define lade_sqlite_query_new(...) lade_sqlite_query_new_at(__VA_ARGS__, LADE_SITE)
lade_suspends int lade_sqlite_query_new_at(const struct lade_sqlite_query_config *config,
					   struct lade_sqlite_query **ret,
					   struct lade_sqlite_error *ret_error, const char *site);

/* lade_sqlite_query_ask - runs the query over a batch; after @limit_ns it fails as passing.
 *
 * @result was made by lade_sqlite_result_init; what was in it is gone, also on failure.
 * Returns 0; else as the fault of @ret_error says; -ECANCELED.
 * Suspends: yes.  Threads: inside a task only, one at a time. */
#define lade_sqlite_query_ask(...) lade_sqlite_query_ask_at(__VA_ARGS__, LADE_SITE)
lade_suspends int lade_sqlite_query_ask_at(struct lade_sqlite_query *query,
					   const struct lade_sqlite_batch *batch,
					   int64_t limit_ns, struct lade_sqlite_result *result,
					   struct lade_sqlite_error *ret_error, const char *site);

/* lade_sqlite_query_free - closes a query; NULL is allowed.  Returns NULL.
 *
 * Suspends: yes, and is not cut short by a cancel.  Threads: inside a task only. */
#define lade_sqlite_query_free(...) lade_sqlite_query_free_at(__VA_ARGS__, LADE_SITE)
struct lade_sqlite_query *lade_sqlite_query_free_at(struct lade_sqlite_query *query,
						    const char *site);

/* lade_sqlite_writer_new - opens a database for writing, and the table of offsets if @offsets.
 *
 * Returns and suspends as lade_sqlite_query_new does.  Owns: lade_sqlite_writer_free frees it. */
#define lade_sqlite_writer_new(...) lade_sqlite_writer_new_at(__VA_ARGS__, LADE_SITE)
lade_suspends int lade_sqlite_writer_new_at(const struct lade_sqlite_config *config, bool offsets,
					    struct lade_sqlite_writer **ret,
					    struct lade_sqlite_error *ret_error,
					    const char *site);

/* lade_sqlite_writer_table - reads a table's columns and prepares for writing it.
 *
 * Returns and suspends as lade_sqlite_query_new does.  Owns: the table is the writer's. */
#define lade_sqlite_writer_table(...) lade_sqlite_writer_table_at(__VA_ARGS__, LADE_SITE)
lade_suspends int lade_sqlite_writer_table_at(struct lade_sqlite_writer *writer,
					      const struct lade_sqlite_table_config *config,
					      struct lade_sqlite_table **ret,
					      struct lade_sqlite_error *ret_error,
					      const char *site);

/* lade_sqlite_writer_write - writes rows and moves offsets, in one transaction.
 *
 * Fails as fenced, having written nothing, unless every offset is where it is said to be under the
 * epoch that is said. After any failure nothing is written, unless ret_error->unsure.
 * Returns and suspends as lade_sqlite_query_ask does. */
#define lade_sqlite_writer_write(...) lade_sqlite_writer_write_at(__VA_ARGS__, LADE_SITE)
lade_suspends int lade_sqlite_writer_write_at(struct lade_sqlite_writer *writer,
					      const struct lade_sqlite_part *parts,
					      unsigned n_parts,
					      const struct lade_sqlite_offset *offsets,
					      unsigned n_offsets, int64_t limit_ns,
					      struct lade_sqlite_error *ret_error,
					      const char *site);

/* lade_sqlite_writer_claim - takes a lane over: its epoch grows by one, and whoever had it before
 * is fenced. A lane that is not there begins at .to, .cluster of @lane.
 *
 * *ret is what is stored now: .cluster and .next_offset as the one before left them.
 * Returns and suspends as lade_sqlite_query_ask does. */
#define lade_sqlite_writer_claim(...) lade_sqlite_writer_claim_at(__VA_ARGS__, LADE_SITE)
lade_suspends int lade_sqlite_writer_claim_at(struct lade_sqlite_writer *writer,
					      const struct lade_sqlite_offset *lane,
					      const char *owner, int64_t limit_ns,
					      struct lade_sqlite_stored *ret,
					      struct lade_sqlite_error *ret_error,
					      const char *site);

/* lade_sqlite_writer_read - what is stored of a lane; -ENOENT: nothing.
 *
 * Returns and suspends as lade_sqlite_query_ask does. */
#define lade_sqlite_writer_read(...) lade_sqlite_writer_read_at(__VA_ARGS__, LADE_SITE)
lade_suspends int lade_sqlite_writer_read_at(struct lade_sqlite_writer *writer,
					     const struct lade_sqlite_offset *lane,
					     int64_t limit_ns, struct lade_sqlite_stored *ret,
					     struct lade_sqlite_error *ret_error,
					     const char *site);

/* lade_sqlite_writer_free - closes a writer and its tables; NULL is allowed.  Returns NULL.
 *
 * Suspends: yes, and is not cut short by a cancel.  Threads: inside a task only. */
#define lade_sqlite_writer_free(...) lade_sqlite_writer_free_at(__VA_ARGS__, LADE_SITE)
struct lade_sqlite_writer *lade_sqlite_writer_free_at(struct lade_sqlite_writer *writer,
						      const char *site);

/* lade_sqlite_query_uses_message - does the query read m? */
bool lade_sqlite_query_uses_message(const struct lade_sqlite_query *query);

/* lade_sqlite_query_per_message - does it return i?  Without it is an aggregate. */
bool lade_sqlite_query_per_message(const struct lade_sqlite_query *query);

/* lade_sqlite_query_columns - the number of columns without i. */
unsigned lade_sqlite_query_columns(const struct lade_sqlite_query *query);

/* lade_sqlite_query_column - the name of one of them; lives as long as the query. */
const char *lade_sqlite_query_column(const struct lade_sqlite_query *query, unsigned column);

/* lade_sqlite_query_find - the place of a column by its name, or -1. */
int lade_sqlite_query_find(const struct lade_sqlite_query *query, const char *name);

/* lade_sqlite_result_init - an empty result; the query's config says how large it may get. */
void lade_sqlite_result_init(struct lade_sqlite_result *result,
			     const struct lade_sqlite_query_config *config);

/* lade_sqlite_result_done - frees it. */
void lade_sqlite_result_done(struct lade_sqlite_result *result);

/* lade_sqlite_table_columns - the number of cells of a row. */
unsigned lade_sqlite_table_columns(const struct lade_sqlite_table *table);

/* lade_sqlite_table_column - the name of a cell, and the type by which it was asked for or,
 * without that, that its declaration suggests: LADE_ABSENT is as the value comes. */
const struct lade_sqlite_column *lade_sqlite_table_column(const struct lade_sqlite_table *table,
							  unsigned column);

LADE_API_END

#endif
