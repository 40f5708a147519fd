/* SPDX-License-Identifier: MIT */
#ifndef LADE_POSTGRES_PRIV_H
#define LADE_POSTGRES_PRIV_H

/* postgres_priv.h - what the files of the connector share: pool, connections, calls.
 *
 * libpq is entered on the loop's own stack only, in callbacks: by lade_pg_conn_... of connection.c.
 * Tasks append calls to the pool's list and park; reading of results, which is plain memory, and
 * freeing them is done wherever it is needed. */

#include <lade/io.h>
#include <lade/loop.h>
#include <lade/park.h>
#include <lade/postgres.h>
#include <lade/watch.h>

#include "base/list.h"

#include <libpq-fe.h>

#define PG_OPTIONS_ROOM 80  /* settings of a conninfo */
#define PG_PREPARED_MAX 128 /* statements that a connection keeps prepared */

/* Microseconds from 1970 to 2000, where PostgreSQL begins to count. */
#define PG_EPOCH_US INT64_C(946684800000000)

/* lade_pg_time_bits - a time as PostgreSQL counts it; what it cannot count is its infinity. */
static inline uint64_t lade_pg_time_bits(int64_t us)
{
	int64_t pg;

	return (uint64_t)(__builtin_sub_overflow(us, PG_EPOCH_US, &pg) ? INT64_MIN : pg);
}

/* A step of a call in the pipeline: what one answer of libpq's belongs to. */
struct lade_pg_step {
	int statement; /* of the call; -1: lade's own */
	int prepared;  /* it prepares this entry of the connection's; -1: it executes */
	bool kept;     /* it executes what was prepared before */
};

/* Whoever waits for a call, on the stack of its task. */
struct lade_pg_waiter {
	struct lade_op op;
	struct lade_pg *db;
	struct lade_pg_call *call;
	bool abandoned; /* cancelled after it was sent: the call is the connection's now */
};

/* A call. */
struct lade_pg_call {
	struct lade_link link;		/* in the pool's waiting or a connection's in_flight */
	struct lade_pg_conn *conn;	/* NULL: it waits */
	struct lade_pg_waiter *waiter;	/* NULL: nobody waits any more */
	const struct lade_pg_statement *statements; /* the waiter's; NULL once it is sent */
	unsigned n;			/* statements */
	struct lade_pg_result *results;	/* n of them, behind the steps */
	struct lade_pg_step *steps;	/* 2 n + 1 of them, behind the call */
	unsigned n_steps, step;		/* all, and the one that is answered next */
	size_t answer_bytes;		/* that have come of its answer */
	bool failed;			/* .error says how */
	bool cancelled;			/* the server has been sent a cancel */
	struct lade_pg_error error;
};

/* A statement that a connection keeps prepared. */
struct lade_pg_prepared {
	uint64_t hash;	 /* of all below; 0: a free entry */
	char *sql;	 /* owned */
	uint32_t *types; /* of its arguments; behind the text */
	unsigned n;	 /* arguments */
	unsigned number; /* its name is lade_NUMBER */
};

enum lade_pg_conn_state { PG_CONNECTING, PG_READY };

/* A connection. */
struct lade_pg_conn {
	struct lade_link link;		/* in the pool's conns */
	struct lade_pg *db;
	PGconn *pg;
	struct lade_watch *watch;	/* on libpq's socket */
	enum lade_pg_conn_state state;
	bool doomed;			/* takes no more calls, and is closed when it has none */
	uint32_t n_in_flight;
	struct lade_link in_flight;	/* calls, in the order in which they were sent */
	struct lade_alarm alarm;	/* connecting, unused or doomed: for too long */
	struct lade_pg_prepared prepared[PG_PREPARED_MAX];
	unsigned n_prepared;		/* entries that were ever used */
	unsigned next_number;
};

/* Where a database is: the settings of its conninfo, and the addresses of its hosts. */
struct lade_pg_place {
	PQconninfoOption *options; /* owned; as libpq has read them */
	const char *names[PG_OPTIONS_ROOM], *values[PG_OPTIONS_ROOM]; /* for libpq; end with NULL */
	unsigned n;
	char hosts[1024], addresses[1024], ports[256]; /* lists, as many of each */
	int host_at, address_at, port_at; /* their places among the settings, or -1 */
	char *owned[4];		/* values that were made */
	int64_t until_ns;	/* when the addresses are looked up again; 0: never were */
};

struct lade_pg_cancels;

struct lade_pg {
	struct lade_pg_config config;	/* with every default */
	struct lade_pg_place place;
	struct lade_link conns;		/* all connections */
	struct lade_link waiting;	/* calls without a place */
	struct lade_alarm kick;		/* hands calls over */
	struct lade_alarm retry;	/* the pause after a failed connection is over */
	struct lade_pg_cancels *cancels;
	uint32_t n_conns, n_connecting, n_doomed, n_in_flight, n_waiting;
	uint32_t failures;		/* connections in a row that could not be made */
	int64_t connect_at_ns;		/* no connection is begun before it */
	uint64_t connects, jitter;
};

/* place.c */

/* lade_pg_place_init - reads a conninfo.  Returns 0; -EINVAL with a reason; -ENOMEM. */
int lade_pg_place_init(struct lade_pg_place *place, const struct lade_pg_config *config,
		       struct lade_pg_error *error);
void lade_pg_place_done(struct lade_pg_place *place);

/* lade_pg_place_find - looks its hosts up, if that was long ago.
 *
 * Returns 0; -EAGAIN with a reason; -ECANCELED; -ENOMEM.  Suspends: yes. */
lade_suspends int lade_pg_place_find(struct lade_pg_place *place, struct lade_pg_error *error,
				     const char *site);

/* pool.c */

/* lade_pg_dispatch - gives waiting calls their places, or begins connections for them. On the
 * loop's stack only. */
void lade_pg_dispatch(struct lade_pg *db);

/* lade_pg_refuse_waiting - a connection could not be made, and there is no other one. */
void lade_pg_refuse_waiting(struct lade_pg *db, const struct lade_pg_error *error);

/* lade_pg_finish - a call has ended; its waiter is told, or it is freed. */
void lade_pg_finish(struct lade_pg_call *call);

/* connection.c */

/* lade_pg_conn_open - begins a connection.  Returns 0 or -ENOMEM. */
int lade_pg_conn_open(struct lade_pg *db);

/* lade_pg_conn_close - closes a connection without calls in flight. */
void lade_pg_conn_close(struct lade_pg_conn *conn);

/* lade_pg_conn_send - puts a call into the connection's pipeline. */
void lade_pg_conn_send(struct lade_pg_conn *conn, struct lade_pg_call *call);

/* lade_pg_conn_abandon - nobody waits for a call of the connection any more. */
void lade_pg_conn_abandon(struct lade_pg_conn *conn, struct lade_pg_call *call);

/* lade_pg_conn_cancel - has the server end the call at the head, if nobody waits for it. */
void lade_pg_conn_cancel(struct lade_pg_conn *conn);

/* lade_pg_conn_drop - closes a connection and fails what is in flight. */
void lade_pg_conn_drop(struct lade_pg_conn *conn);

/* prepared.c */

/* lade_pg_prepared_find - the entry of a statement; *ret_new: it must be prepared first.
 *
 * Returns it; -1: it cannot be kept. */
int lade_pg_prepared_find(struct lade_pg_conn *conn, const struct lade_pg_statement *statement,
			  bool *ret_new);

/* lade_pg_prepared_forget - the statement of an entry is not there. */
void lade_pg_prepared_forget(struct lade_pg_conn *conn, int entry);

/* cancel.c */

int lade_pg_cancels_new(struct lade_pg_cancels **ret);

/* lade_pg_cancels_add - has the server told to end what a connection is at.  Owns: @handle. */
void lade_pg_cancels_add(struct lade_pg_cancels *cancels, PGcancel *handle);

/* lade_pg_cancels_close - calls done(arg), in a callback, when all have been told. */
void lade_pg_cancels_close(struct lade_pg_cancels *cancels, void (*done)(void *arg), void *arg);
struct lade_pg_cancels *lade_pg_cancels_free(struct lade_pg_cancels *cancels);
uint64_t lade_pg_cancels_sent(const struct lade_pg_cancels *cancels);

/* error.c */

/* lade_pg_fail - fills an error in.  Returns as its fault says. */
__attribute__((format(printf, 4, 5))) int lade_pg_fail(struct lade_pg_error *error,
						       enum lade_pg_fault fault, int statement,
						       const char *format, ...);

/* lade_pg_fail_result - the same of a failure that the server has told.  Suspends: no. */
void lade_pg_fail_result(struct lade_pg_error *error, const PGresult *result, int statement);

/* lade_pg_fail_connect - the same of a connection that could not be made. */
void lade_pg_fail_connect(struct lade_pg_error *error, const PGconn *pg);

/* lade_pg_fault_rc - what a call returns for a fault. */
int lade_pg_fault_rc(enum lade_pg_fault fault);

#endif
