/* SPDX-License-Identifier: MIT */
#ifndef LADE_SQLITE_PRIV_H
#define LADE_SQLITE_PRIV_H

/* sqlite_priv.h - the calls that block, for the pool's threads.
 *
 * An object belongs to one thread at a time; which one may change between calls.  Only
 * lade_sqlite_stop() may come from another thread during a call.
 *
 * Every call that may take long has a limit; at its end the call fails as passing. */

#include <stdatomic.h>

#include <sqlite3.h>

#include <lade/sqlite.h>

/* A connection. */
struct lade_sqlite {
	sqlite3 *db;
	int64_t busy_ns;	/* longest wait for a lock within a call */
	int64_t deadline_ns;	/* CLOCK_MONOTONIC: the running call must end */
	int64_t busy_since_ns;	/* the running wait for a lock began; 0: none */
	bool late;		/* the running call met its deadline */
	atomic_bool stop;	/* end the running call and those to come */
	const char *path;	/* for messages; owned */
};

/* lade_sqlite_sim_vfs - the name of the VFS that keeps databases in the simulated files. */
const char *lade_sqlite_sim_vfs(void);

/* lade_sqlite_open - opens a connection.
 *
 * Writers get WAL and synchronous=FULL.  Double-quoted text is a name, never a string;
 * nothing can be attached, no extension loaded.
 *
 * Returns 0, or as the fault of @ret_error says. */
int lade_sqlite_open(const struct lade_sqlite_config *config, struct lade_sqlite *ret,
		     struct lade_sqlite_error *ret_error);

/* lade_sqlite_close - closes it; all its statements are gone already. */
void lade_sqlite_close(struct lade_sqlite *db);

/* lade_sqlite_stop - makes the running call, and those to come, end as stopped.
 *
 * Threads: any. */
void lade_sqlite_stop(struct lade_sqlite *db);

/* lade_sqlite_ready - lets calls run again after lade_sqlite_stop(). */
void lade_sqlite_ready(struct lade_sqlite *db);

/* lade_sqlite_begin_call - sets the limit for what follows. */
void lade_sqlite_begin_call(struct lade_sqlite *db, int64_t limit_ns);

/* lade_sqlite_fail - an error that is not SQLite's.  Returns what the fault stands for. */
__attribute__((format(printf, 3, 4)))
int lade_sqlite_fail(struct lade_sqlite_error *error, enum lade_sqlite_fault fault,
		     const char *format, ...);

/* lade_sqlite_failed - the error behind SQLite's @code.  Returns what the fault stands for.
 *
 * @doing is what was tried, as "the query". */
int lade_sqlite_failed(struct lade_sqlite *db, int code, const char *doing,
		       struct lade_sqlite_error *error);

/* lade_sqlite_exec - runs statements without results. */
int lade_sqlite_exec(struct lade_sqlite *db, const char *sql, struct lade_sqlite_error *error);

/* lade_sqlite_prepare - prepares one statement that is kept. */
int lade_sqlite_prepare(struct lade_sqlite *db, const char *sql, sqlite3_stmt **ret,
			struct lade_sqlite_error *error);

/* lade_sqlite_bind - binds a value without copying it; @room is for a time stamp's text.
 *
 * Returns SQLite's code. */
int lade_sqlite_bind(sqlite3_stmt *statement, int at, const struct lade_datum *value,
		     char room[LADE_TIMESTAMP_ROOM]);

/* lade_sqlite_has_table - is there a table or view of that name?  Returns 1, 0 or an error. */
int lade_sqlite_has_table(struct lade_sqlite *db, const char *name,
			  struct lade_sqlite_error *error);

/* The relation `batch` of one connection. */
struct lade_sqlite_relation {
	const struct lade_sqlite_batch *batch;	/* the rows; NULL outside of a call */
	unsigned columns;			/* behind i and m */
	char *declaration;			/* its CREATE TABLE; owned */
	bool uses_message;			/* some statement reads m */
};

/* lade_sqlite_relation_add - makes the table `batch` known to a connection.
 *
 * @relation lives as long as the connection. */
int lade_sqlite_relation_add(struct lade_sqlite *db, struct lade_sqlite_relation *relation,
			     const struct lade_sqlite_column *columns, unsigned n,
			     struct lade_sqlite_error *error);

/* lade_sqlite_relation_done - frees what the relation owns, after the connection is closed. */
void lade_sqlite_relation_done(struct lade_sqlite_relation *relation);




/* lade_sqlite_query_open - opens the database and prepares the query.
 *
 * Refuses, as fatal, anything that is not one SELECT, and columns that do not fit its kind. */
int lade_sqlite_query_open(const struct lade_sqlite_query_config *config,
			   struct lade_sqlite_query **ret, struct lade_sqlite_error *ret_error);

/* lade_sqlite_query_close - closes it, or does nothing for NULL.  Returns NULL. */
struct lade_sqlite_query *lade_sqlite_query_close(struct lade_sqlite_query *query);

/* lade_sqlite_query_db - its connection, for lade_sqlite_stop(). */
struct lade_sqlite *lade_sqlite_query_db(struct lade_sqlite_query *query);

/* lade_sqlite_query_run - runs the query over a batch.
 *
 * @result was made by lade_sqlite_result_init(); what was in it is gone, also on failure. */
int lade_sqlite_query_run(struct lade_sqlite_query *query, const struct lade_sqlite_batch *batch,
			  int64_t limit_ns, struct lade_sqlite_result *result,
			  struct lade_sqlite_error *ret_error);




/* lade_sqlite_writer_open - opens the database for writing. */
int lade_sqlite_writer_open(const struct lade_sqlite_config *config,
			    struct lade_sqlite_writer **ret, struct lade_sqlite_error *ret_error);

/* lade_sqlite_writer_close - closes it and its tables, or does nothing for NULL.
 *
 * Returns NULL. */
struct lade_sqlite_writer *lade_sqlite_writer_close(struct lade_sqlite_writer *writer);

/* lade_sqlite_writer_db - its connection, for lade_sqlite_stop(). */
struct lade_sqlite *lade_sqlite_writer_db(struct lade_sqlite_writer *writer);

/* lade_sqlite_table_open - reads a table's columns and prepares for writing it.
 *
 * The table belongs to the writer. */
int lade_sqlite_table_open(struct lade_sqlite_writer *writer,
			   const struct lade_sqlite_table_config *config,
			   struct lade_sqlite_table **ret, struct lade_sqlite_error *ret_error);

/* lade_sqlite_write - writes rows and moves offsets, in one transaction.
 *
 * Fails as fenced, having written nothing, unless every offset is where it is said to be
 * under the epoch that is said.  After any failure nothing is written, unless .unsure. */
int lade_sqlite_write(struct lade_sqlite_writer *writer, const struct lade_sqlite_part *parts,
		      unsigned n_parts, const struct lade_sqlite_offset *offsets,
		      unsigned n_offsets, int64_t limit_ns, struct lade_sqlite_error *ret_error);

/* lade_sqlite_offsets_open - makes the table lade_offsets where it is missing. */
int lade_sqlite_offsets_open(struct lade_sqlite_writer *writer,
			     struct lade_sqlite_error *ret_error);

/* lade_sqlite_offsets_claim - takes a lane over: its epoch grows by one, and whoever had it
 * before is fenced.
 *
 * A lane that is not there begins at .to, .cluster of @lane; its epoch is not read.
 * *ret is what is stored now: .cluster and .next_offset as the one before left them. */
int lade_sqlite_offsets_claim(struct lade_sqlite_writer *writer,
			      const struct lade_sqlite_offset *lane, const char *owner,
			      int64_t limit_ns, struct lade_sqlite_stored *ret,
			      struct lade_sqlite_error *ret_error);

/* lade_sqlite_offsets_read - what is stored of a lane.  Returns also -ENOENT, without error. */
int lade_sqlite_offsets_read(struct lade_sqlite_writer *writer,
			     const struct lade_sqlite_offset *lane, int64_t limit_ns,
			     struct lade_sqlite_stored *ret, struct lade_sqlite_error *ret_error);

#endif
