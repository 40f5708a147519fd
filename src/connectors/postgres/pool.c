/* SPDX-License-Identifier: MIT */
/* pool.c - a database: calls, and the connections that they wait for.
 *
 * DESIGN
 * A call is appended to a list, and an alarm that is due at once gives it a place: libpq needs more
 * stack than a task has. The place is in the connection with the fewest calls; where none is free,
 * a further connection is begun, up to their limit. After a failure there is a pause before
 * the next attempt; who calls meanwhile waits for it and learns how it went.
 *
 * A waiter is on its task's stack, a call is not: cancelled, a task goes its way, and the call
 * stays with its connection until it is answered. */

#include "connectors/postgres/postgres_priv.h"

#include <lade/blocking.h>
#include <lade/scope.h>

#include "base/alloc.h"

#include <errno.h>
#include <string.h>

#define NS_MS INT64_C(1000000)

/* Places */

static struct lade_pg_conn *find_place(const struct lade_pg *db)
{
	struct lade_pg_conn *best = NULL;

	for (struct lade_link *it = db->conns.next; it != &db->conns; it = it->next) {
		struct lade_pg_conn *c = LADE_CONTAINER(it, struct lade_pg_conn, link);

		if (c->state != PG_READY || c->doomed ||
		    c->n_in_flight >= db->config.pipeline_max)
			continue;
		if (!best || c->n_in_flight < best->n_in_flight)
			best = c;
	}
	return best;
}

static struct lade_pg_call *take_waiting(struct lade_pg *db)
{
	db->n_waiting--;
	return LADE_CONTAINER(lade_list_pop(&db->waiting), struct lade_pg_call, link);
}

/* As many as calls wait for, and no more than there may be. */
static void begin_connections(struct lade_pg *db)
{
	if (db->connect_at_ns > lade_now().mono_ns) {
		lade_alarm_start(&db->retry, (struct lade_instant){ db->connect_at_ns });
		return;
	}
	while (db->n_connecting < db->n_waiting && db->n_conns < db->config.connections_max) {
		struct lade_pg_error error = { 0 };
		uint32_t before = db->failures;

		if (lade_pg_conn_open(db) < 0) {
			(void)lade_pg_fail(&error, LADE_PG_MEMORY, -1, "out of memory");
			lade_pg_refuse_waiting(db, &error);
		}
		if (db->failures != before)
			return;
	}
}

void lade_pg_dispatch(struct lade_pg *db)
{
	struct lade_pg_conn *c;

	while (db->n_waiting && (c = find_place(db)))
		lade_pg_conn_send(c, take_waiting(db));
	if (db->n_waiting)
		begin_connections(db);
}

void lade_pg_refuse_waiting(struct lade_pg *db, const struct lade_pg_error *error)
{
	while (db->n_waiting) {
		struct lade_pg_call *call = take_waiting(db);

		call->failed = true;
		call->error = *error;
		call->error.exchange = LADE_PG_NOT_SENT;
		lade_pg_finish(call);
	}
}

/* Connections whose calls were abandoned are looked after here, on the loop's stack. */
static void kicked(void *arg)
{
	struct lade_pg *db = arg;

	for (struct lade_link *it = db->conns.next, *next; it != &db->conns; it = next) {
		struct lade_pg_conn *c = LADE_CONTAINER(it, struct lade_pg_conn, link);

		next = it->next;
		if (c->doomed)
			lade_pg_conn_cancel(c);
	}
	lade_pg_dispatch(db);
}

/* Calls */

static struct lade_pg_call *call_new(const struct lade_pg_statement *statements, unsigned n)
{
	struct lade_pg_call *call =
		lade_calloc(1, sizeof(*call) + (2 * n + 1) * sizeof(struct lade_pg_step) +
				       n * sizeof(struct lade_pg_result) + 16);

	if (!call)
		return NULL;
	call->statements = statements;
	call->n = n;
	call->results = (struct lade_pg_result *)(void *)(call + 1);
	call->steps = (struct lade_pg_step *)(void *)(call->results + n);
	call->error.statement = -1;
	return call;
}

static void call_free(struct lade_pg_call *call)
{
	for (unsigned i = 0; i < call->n; i++)
		lade_pg_result_done(&call->results[i]);
	lade_free(call);
}

void lade_pg_finish(struct lade_pg_call *call)
{
	if (!call->waiter) {
		call_free(call);
		return;
	}
	if (!call->failed)
		call->error.exchange = LADE_PG_ANSWERED;
	lade_complete(&call->waiter->op,
		      call->failed ? lade_pg_fault_rc(call->error.fault) : 0);
}

static enum lade_abort_result call_abort(struct lade_op *op)
{
	struct lade_pg_waiter *w = LADE_CONTAINER(op, struct lade_pg_waiter, op);
	struct lade_pg_call *call = w->call;

	if (call->conn) {
		w->abandoned = true;
		lade_pg_conn_abandon(call->conn, call);
	} else {
		lade_list_remove(&call->link);
		w->db->n_waiting--;
	}
	return LADE_ABORTED;
}

static int wait_for(struct lade_pg *db, struct lade_pg_call *call, struct lade_pg_result *results,
		    struct lade_pg_error *ret_error, const char *site)
{
	struct lade_pg_waiter w = { .op = LADE_OP("an answer of PostgreSQL"), .db = db,
				    .call = call };
	int rc;

	call->waiter = &w;
	db->n_waiting++;
	lade_list_append(&db->waiting, &call->link);
	lade_alarm_start(&db->kick, lade_now());
	rc = lade_park_at(&w.op, call_abort, site);
	if (w.abandoned) {
		ret_error->exchange = LADE_PG_SENT;
		return rc;
	}
	if (rc != -ECANCELED)
		*ret_error = call->error;
	if (rc == 0 && results) {
		memcpy(results, call->results, call->n * sizeof(*results));
		call->n = 0;
	}
	call_free(call);
	return rc;
}

static int check_statements(const struct lade_pg *db, const struct lade_pg_statement *statements,
			    unsigned n)
{
	size_t bytes = 0;

	if (n == 0 || n > LADE_PG_STATEMENTS_MAX)
		return -EINVAL;
	for (unsigned i = 0; i < n; i++) {
		const struct lade_pg_args *a = statements[i].args;

		if (a && a->status < 0)
			return a->status;
		if (a && a->items_left)
			return -EINVAL;
		bytes += a ? a->len : 0;
	}
	return bytes > db->config.args_bytes_max ? -EMSGSIZE : 0;
}

int lade_pg_batch_at(struct lade_pg *db, const struct lade_pg_statement *statements, unsigned n,
		     struct lade_pg_result *results, struct lade_pg_error *ret_error,
		     const char *site)
{
	struct lade_pg_call *call;
	int rc;

	*ret_error = (struct lade_pg_error){ .statement = -1 };
	rc = check_statements(db, statements, n);
	if (rc < 0)
		(void)lade_pg_fail(ret_error, rc == -ENOMEM ? LADE_PG_MEMORY : LADE_PG_OWN, -1,
				   "the arguments of a call cannot be sent: %s", strerror(-rc));
	if (rc == 0 && lade_cancelled())
		rc = -ECANCELED;
	if (rc == 0 && db->n_conns == db->n_doomed)
		rc = lade_pg_place_find(&db->place, ret_error, site);
	if (rc == 0 && db->n_waiting >= db->config.waiting_max)
		rc = lade_pg_fail(ret_error, LADE_PG_PASSING, -1,
				  "%u calls wait for a connection already", db->n_waiting);
	if (rc < 0)
		return rc;
	call = call_new(statements, n);
	if (!call)
		return lade_pg_fail(ret_error, LADE_PG_MEMORY, -1, "out of memory");
	return wait_for(db, call, results, ret_error, site);
}

int lade_pg_query_at(struct lade_pg *db, const char *sql, const struct lade_pg_args *args,
		     struct lade_pg_result *ret, struct lade_pg_error *ret_error, const char *site)
{
	const struct lade_pg_statement statement = { sql, args };

	return lade_pg_batch_at(db, &statement, 1, ret, ret_error, site);
}

/* The database */

static void set_defaults(struct lade_pg_config *c)
{
	c->connections_max = c->connections_max ? c->connections_max : 4;
	c->pipeline_max = c->pipeline_max ? c->pipeline_max : 1;
	c->waiting_max = c->waiting_max ? c->waiting_max : 1024;
	c->connect_ns = c->connect_ns ? c->connect_ns : 10000 * NS_MS;
	c->idle_ns = c->idle_ns ? c->idle_ns : 60000 * NS_MS;
	c->reconnect_min_ns = c->reconnect_min_ns ? c->reconnect_min_ns : 100 * NS_MS;
	c->reconnect_max_ns = c->reconnect_max_ns ? c->reconnect_max_ns : 5000 * NS_MS;
	c->result_bytes_max = c->result_bytes_max ? c->result_bytes_max : (size_t)64 << 20;
	c->args_bytes_max = c->args_bytes_max ? c->args_bytes_max : (size_t)64 << 20;
}

static void retry_due(void *arg)
{
	lade_pg_dispatch(arg);
}

int lade_pg_open(const struct lade_pg_config *config, struct lade_pg **ret,
		 struct lade_pg_error *ret_error)
{
	struct lade_pg *db;
	int rc;

	*ret_error = (struct lade_pg_error){ .statement = -1 };
	if (lade_simulated())
		return -EOPNOTSUPP;
	db = lade_calloc(1, sizeof(*db));
	if (!db)
		return lade_pg_fail(ret_error, LADE_PG_MEMORY, -1, "out of memory");
	db->config = *config;
	set_defaults(&db->config);
	db->jitter = (uint64_t)lade_now().mono_ns;
	lade_list_init(&db->conns);
	lade_list_init(&db->waiting);
	lade_alarm_init(&db->kick, kicked, db);
	lade_alarm_init(&db->retry, retry_due, db);
	rc = lade_pg_place_init(&db->place, &db->config, ret_error);
	if (rc == 0)
		rc = lade_pg_cancels_new(&db->cancels);
	db->config.conninfo = db->config.application = NULL;
	if (rc < 0) {
		lade_pg_place_done(&db->place);
		lade_free(db);
		return rc;
	}
	*ret = db;
	return 0;
}

struct closing {
	struct lade_op op;
	struct lade_pg *db;
	struct lade_alarm alarm;
};

static void all_told(void *arg)
{
	struct closing *closing = arg;

	lade_complete(&closing->op, 0);
}

static void close_all(void *arg)
{
	struct closing *closing = arg;
	struct lade_pg *db = closing->db;

	while (!lade_list_empty(&db->conns)) {
		struct lade_pg_conn *c =
			LADE_CONTAINER(db->conns.next, struct lade_pg_conn, link);

		lade_pg_conn_cancel(c);
		lade_pg_conn_drop(c);
	}
	lade_alarm_stop(&db->kick);
	lade_alarm_stop(&db->retry);
	lade_pg_cancels_close(db->cancels, all_told, closing);
}

struct lade_pg *lade_pg_close_at(struct lade_pg *db, const char *site)
{
	struct closing closing = { .op = LADE_OP("a database to close"), .db = db };

	if (!db)
		return NULL;
	lade_alarm_init(&closing.alarm, close_all, &closing);
	lade_alarm_start(&closing.alarm, lade_now());
	(void)!lade_park_at(&closing.op, NULL, site);
	lade_pg_cancels_free(db->cancels);
	lade_pg_place_done(&db->place);
	lade_free(db);
	return NULL;
}

struct lade_pg_stats lade_pg_stats(const struct lade_pg *db)
{
	return (struct lade_pg_stats){
		.connections = db->n_conns,
		.doomed = db->n_doomed,
		.in_flight = db->n_in_flight,
		.waiting = db->n_waiting,
		.connects = db->connects,
		.cancels = lade_pg_cancels_sent(db->cancels),
	};
}
