/* SPDX-License-Identifier: MIT */
#ifndef LADE_POSTGRES_H
#define LADE_POSTGRES_H

/* postgres.h - PostgreSQL for tasks: libpq, driven by the loop, in pipeline mode.
 *
 * A database is a pool of connections, made when they are needed. A call is a list of statements
 * that go out at once and are one transaction: all happen, or none does. Several calls may be in
 * the pipeline of one connection, and are answered in the order in which they were made.
 *
 * Values go both ways in binary. Arguments are put into one block of memory, arrays of a whole
 * batch among them; what comes back is read where libpq has put it.
 *
 * There is no time-out among the parameters: put lade_within round a call. A call that is cancelled
 * returns at once. Its query is cancelled on the server as well, on the pool of threads; what is
 * still answered is read in the background, and the connection is closed. .statement_ns bounds what
 * no cancel reaches. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <lade/arena.h>
#include <lade/datum.h>
#include <lade/task.h>

#define LADE_PG_STATEMENTS_MAX 64 /* statements of a call */
#define LADE_PG_ARGS_MAX 512	  /* arguments of a statement */

LADE_API_BEGIN

struct lade_pg;

/* How a database is opened; what is left out has its default. */
struct lade_pg_config {
	const char *conninfo;	       /* postgres://... or name=value ..., as libpq reads it */
	uint32_t connections_max;      /* open at once; 0: 4 */
	uint32_t pipeline_max;	       /* calls in the pipeline of one connection; 0: 1 */
	uint32_t waiting_max;	       /* calls that wait for a place in one; 0: 1,024 */
	int64_t connect_ns;	       /* time for making a connection; 0: 10 s */
	int64_t idle_ns;	       /* an unused one is closed after it; 0: 60 s */
	int64_t reconnect_min_ns;      /* pause after a failed one, doubled; 0: 100 ms */
	int64_t reconnect_max_ns;      /* up to this; 0: 5 s */
	int64_t statement_ns;	       /* the server's limit for a statement; 0: none */
	size_t result_bytes_max;       /* bytes of a call's answer; 0: 64 MiB */
	size_t args_bytes_max;	       /* bytes of a call's arguments; 0: 64 MiB */
	bool read_only;		       /* transactions cannot write */
	bool unprepared;	       /* statements are not kept prepared: for PgBouncer */
	const char *application;       /* what pg_stat_activity calls us; 0: "lade" */
};

/* Whose fault a failure is, and so what is to be done. */
enum lade_pg_fault {
	LADE_PG_DATA,	 /* a value's own: it fails again, always; SQLSTATE 22, 23 (-EBADMSG) */
	LADE_PG_PASSING, /* connection, SQLSTATE 08, 40, 53, 57, 55P03: again later (-EAGAIN) */
	LADE_PG_OWN,	 /* everything else: a person must act (-EIO) */
	LADE_PG_MEMORY	 /* memory is out (-ENOMEM) */
};

/* How far a call got. */
enum lade_pg_exchange {
	LADE_PG_NOT_SENT, /* it has not left: it did not happen */
	LADE_PG_SENT,	  /* it has left, at least in part: it may have happened */
	LADE_PG_ANSWERED  /* the server has answered: an error says that nothing happened */
};

/* What went wrong with a call. Filled in on failure; .exchange always, on -ECANCELED too. */
struct lade_pg_error {
	enum lade_pg_fault fault;
	enum lade_pg_exchange exchange;
	int statement;	    /* which one failed, from 0; their number: the commit; -1: none */
	char sqlstate[6];   /* "" if the server did not say */
	int position;	    /* the character of it that is to blame, from 1; 0: not known */
	char text[400];	    /* what happened, in words, without secrets */
	char detail[200];   /* the server's further words on it, or "" */
	char constraint[64]; /* the constraint that was violated, or "" */
};

/* lade_pg_fault_name - "data", "passing", "own" or "memory".  Suspends: no.  Threads: any. */
const char *lade_pg_fault_name(enum lade_pg_fault fault);

/* Types that lade knows, by PostgreSQL's numbers for them. */
enum lade_pg_type {
	LADE_PG_BOOL = 16,
	LADE_PG_INT8 = 20,
	LADE_PG_TEXT = 25,
	LADE_PG_FLOAT8 = 701,
	LADE_PG_TIMESTAMPTZ = 1184,
	LADE_PG_JSONB = 3802
};

/* One argument: where in the block it is. */
struct lade_pg_arg {
	uint32_t type;	/* PostgreSQL's number of it; of an array: the array's */
	int32_t len;	/* bytes; -1: null */
	size_t at;	/* where its bytes begin in the block */
};

/* The arguments of a statement, $1 and so on, in one block of memory that grows.
 *
 * What does not fit sets .status, and is told by the call: building needs no checks. */
struct lade_pg_args {
	char *block;			/* owned */
	size_t len, room, max;		/* bytes used, there, and allowed */
	size_t array_at;		/* where the array that is being built begins */
	uint32_t items, items_left;	/* of that array */
	unsigned n;			/* arguments */
	unsigned room_args;		/* arguments that fit */
	struct lade_pg_arg *list;	/* owned */
	int status;			/* 0; -ENOMEM; -EMSGSIZE; -EINVAL: an array's items */
};

/* lade_pg_args_init - no arguments, at most @bytes_max bytes of them; 0: 64 MiB.
 *
 * Allocates nothing.  Suspends: no. */
void lade_pg_args_init(struct lade_pg_args *args, size_t bytes_max);

/* lade_pg_args_reset - no arguments, and the memory stays for the next ones.  Suspends: no. */
void lade_pg_args_reset(struct lade_pg_args *args);

/* lade_pg_args_done - frees it.  Suspends: no. */
void lade_pg_args_done(struct lade_pg_args *args);

/* lade_pg_null - adds an argument that is null.
 *
 * @type: one of lade_pg_type, or any other number of PostgreSQL's.  Suspends: no. */
void lade_pg_null(struct lade_pg_args *args, uint32_t type);

/* lade_pg_int8 - adds an integer. */
void lade_pg_int8(struct lade_pg_args *args, int64_t value);

/* lade_pg_float8 - adds a double. */
void lade_pg_float8(struct lade_pg_args *args, double value);

/* lade_pg_bool - adds a boolean. */
void lade_pg_bool(struct lade_pg_args *args, bool value);

/* lade_pg_text - adds a text: UTF-8 without NUL. */
void lade_pg_text(struct lade_pg_args *args, const char *text, size_t len);

/* lade_pg_timestamptz - adds a time in microseconds since 1970; INT64_MIN: null. */
void lade_pg_timestamptz(struct lade_pg_args *args, int64_t us);

/* lade_pg_jsonb - adds a JSON document. */
void lade_pg_jsonb(struct lade_pg_args *args, const char *json, size_t len);

/* lade_pg_array - begins an argument that is an array of @n items; the next @n lade_pg_item_...
 * calls are its items.
 *
 * @type is that of an item.  Suspends: no. */
void lade_pg_array(struct lade_pg_args *args, enum lade_pg_type type, uint32_t n);

/* lade_pg_item_null - the array's next item: null. */
void lade_pg_item_null(struct lade_pg_args *args);

/* lade_pg_item_int8 - the array's next item. */
void lade_pg_item_int8(struct lade_pg_args *args, int64_t value);

/* lade_pg_item_float8 - the array's next item. */
void lade_pg_item_float8(struct lade_pg_args *args, double value);

/* lade_pg_item_bool - the array's next item. */
void lade_pg_item_bool(struct lade_pg_args *args, bool value);

/* lade_pg_item_text - the array's next item. */
void lade_pg_item_text(struct lade_pg_args *args, const char *text, size_t len);

/* lade_pg_item_timestamptz - the array's next item; INT64_MIN: null. */
void lade_pg_item_timestamptz(struct lade_pg_args *args, int64_t us);

/* lade_pg_item_jsonb - the array's next item. */
void lade_pg_item_jsonb(struct lade_pg_args *args, const char *json, size_t len);

/* lade_pg_array_of - an array made of every @stride-th datum: a column of rows that lie in a table.
 *
 * LADE_ABSENT and LADE_NULL are null. A datum of another type than @type takes is -EINVAL: text
 * takes LADE_TEXT and LADE_JSON, jsonb LADE_JSON, int8 LADE_INTEGER, float8 LADE_DOUBLE and
 * LADE_INTEGER, bool LADE_BOOLEAN, timestamptz LADE_TIMESTAMP.  Suspends: no. */
void lade_pg_array_of(struct lade_pg_args *args, enum lade_pg_type type,
		      const struct lade_datum *first, size_t stride, uint32_t n);

/* lade_pg_type_of - the type that holds a datum's type: text for what is none of them. */
enum lade_pg_type lade_pg_type_of(enum lade_datum_type type);

/* lade_pg_type_name - "int8" and so on, for a cast in SQL; "text" for what is none of them. */
const char *lade_pg_type_name(enum lade_pg_type type);

/* A statement of a call. */
struct lade_pg_statement {
	const char *sql;		 /* one statement, with $1 and so on */
	const struct lade_pg_args *args; /* NULL: none */
};

/* What a statement has answered. Of zeros it is one without rows. */
struct lade_pg_result {
	struct pg_result *handle; /* libpq's; owned */
	uint32_t rows;
	unsigned columns;
	int64_t affected; /* rows that were inserted, updated, deleted or returned */
};

/* lade_pg_conninfo_check - whether a conninfo can be read.
 *
 * Returns 0; -EINVAL with the reason in @ret_error; -ENOMEM.  Suspends: no.  Threads: any. */
int lade_pg_conninfo_check(const char *conninfo, struct lade_pg_error *ret_error);

/* lade_pg_open - a database for the running task's loop; it connects when it is asked first.
 *
 * Returns 0 and *ret; -EINVAL: @conninfo cannot be read, with the reason in @ret_error;
 * -EOPNOTSUPP: in a simulation; -ENOMEM.
 * Suspends: no.  Threads: inside a task only.  Owns: lade_pg_close frees it; what @config points to
 * is copied. */
int lade_pg_open(const struct lade_pg_config *config, struct lade_pg **ret,
		 struct lade_pg_error *ret_error);

/* lade_pg_close - closes all connections; no call may be under way; NULL is allowed.
 *
 * It waits until cancels of earlier calls have been handed to the server, each for at most as long
 * as TCP takes to give up (15 s unless the conninfo says otherwise).
 * Returns NULL.  Suspends: yes, and is not cut short by a cancel.  Threads: inside a task only. */
#define lade_pg_close(...) lade_pg_close_at(__VA_ARGS__, LADE_SITE)
struct lade_pg *lade_pg_close_at(struct lade_pg *db, const char *site);

/* lade_pg_batch - makes a call: @n statements in one round trip, as one transaction.
 *
 * It waits for a place in a connection; calls get places in the order in which they were made. The
 * statements must not begin or end transactions themselves, and COPY is no statement. (With
 * connections_max 1 a call may begin one that a later call ends. It is gone with the connection,
 * which nobody is told: what rests on it is to be asked for in the call that commits.)
 * @results: one for each, or NULL: written on success only.
 * Returns 0; as the fault of @ret_error says; -EMSGSIZE: arguments over their limit; -EINVAL: no
 * statements, too many, or an array that has not as many items as it was said to; -ECANCELED, and
 * ret_error->exchange is what is known. An answer over its limit is the data's fault.
 * Suspends: yes.  Threads: inside a task only.  Owns: lade_pg_result_done frees each result; the
 * arguments are not used after it has returned. */
#define lade_pg_batch(...) lade_pg_batch_at(__VA_ARGS__, LADE_SITE)
lade_suspends int lade_pg_batch_at(struct lade_pg *db, const struct lade_pg_statement *statements,
				   unsigned n, struct lade_pg_result *results,
				   struct lade_pg_error *ret_error, const char *site);

/* lade_pg_query - lade_pg_batch of one statement; @args and @ret may be NULL. */
#define lade_pg_query(...) lade_pg_query_at(__VA_ARGS__, LADE_SITE)
lade_suspends int lade_pg_query_at(struct lade_pg *db, const char *sql,
				   const struct lade_pg_args *args, struct lade_pg_result *ret,
				   struct lade_pg_error *ret_error, const char *site);

/* lade_pg_result_done - frees what a result owns.  Suspends: no. */
void lade_pg_result_done(struct lade_pg_result *result);

/* lade_pg_column_name - the name of a column; lives as long as the result.  Suspends: no. */
const char *lade_pg_column_name(const struct lade_pg_result *result, unsigned column);

/* lade_pg_column_type - PostgreSQL's number of a column's type.  Suspends: no. */
uint32_t lade_pg_column_type(const struct lade_pg_result *result, unsigned column);

/* lade_pg_type_known - whether lade_pg_datum takes values of a type.  Suspends: no. */
bool lade_pg_type_known(uint32_t type);

/* lade_pg_bytes - a value as it came, in binary; NULL: null. They live as long as the result. */
const void *lade_pg_bytes(const struct lade_pg_result *result, uint32_t row, unsigned column,
			  uint32_t *ret_len);

/* lade_pg_datum - a value as a datum. Texts point into the result; what must be written anew, a
 * numeric, a date or a uuid, into @arena.
 *
 * int2, int4, int8 and oid are integers, float4 and float8 doubles; text, varchar, char and name
 * text, as are date, uuid and what is not finite; numeric and the jsons are JSON; both kinds of
 * timestamp are times, that without zone as if in UTC.
 * Returns 0; -EBADMSG: another type: it needs a cast to text in the query; -ENOMEM.
 * Suspends: no. */
int lade_pg_datum(const struct lade_pg_result *result, uint32_t row, unsigned column,
		  struct lade_arena *arena, struct lade_datum *ret);

/* A column of a table. */
struct lade_pg_table_column {
	const char *name;
	const char *type;	/* as SQL writes it: numeric(10,2) */
	uint32_t oid;		/* PostgreSQL's number of the type */
	bool not_null;
	const char *preset;	/* what it gets by default, as SQL; NULL: nothing */
	bool generated;		/* it cannot be written */
};

/* A unique key of a table that ON CONFLICT can name. */
struct lade_pg_table_key {
	unsigned n;			/* columns */
	const uint16_t *columns;	/* their places among the table's */
	bool primary;
};

/* What a table is. */
struct lade_pg_table {
	struct lade_arena arena;	/* all its memory */
	const char *name;		/* quoted, with its schema, for SQL */
	unsigned n_columns;
	struct lade_pg_table_column *columns;
	unsigned n_keys;
	struct lade_pg_table_key *keys;
};

/* lade_pg_describe - reads what a table is; @name as in SQL: delays, or app."Odd Name".
 *
 * Returns 0; -ENOENT: there is no such table, which ret_error->text says; else as lade_pg_batch.
 * Suspends: yes.  Threads: inside a task only.  Owns: lade_pg_table_done frees it. */
#define lade_pg_describe(...) lade_pg_describe_at(__VA_ARGS__, LADE_SITE)
lade_suspends int lade_pg_describe_at(struct lade_pg *db, const char *name,
				      struct lade_pg_table *ret, struct lade_pg_error *ret_error,
				      const char *site);

/* lade_pg_table_done - frees what a description owns; of zeros: nothing.  Suspends: no. */
void lade_pg_table_done(struct lade_pg_table *table);

/* lade_pg_table_find - the place of a column by its name, or -1.  Suspends: no. */
int lade_pg_table_find(const struct lade_pg_table *table, const char *name);

/* What a database is doing. */
struct lade_pg_stats {
	uint32_t connections;	/* open, or being made */
	uint32_t doomed;	/* of them: to be closed when a cancelled call has been answered */
	uint32_t in_flight;	/* calls that were sent */
	uint32_t waiting;	/* calls that wait for a place */
	uint64_t connects;	/* connections that were made since it was opened */
	uint64_t cancels;	/* cancels that the server was sent */
};

/* lade_pg_stats - what it is doing.  Suspends: no.  Threads: its loop's. */
struct lade_pg_stats lade_pg_stats(const struct lade_pg *db);

LADE_API_END

#endif
