/* SPDX-License-Identifier: MIT */
/* connection.c - one connection: made, used as a pipeline, closed; all of it in callbacks.
 *
 * DESIGN
 * A call is its statements, each perhaps prepared first, and one Sync behind them: the server makes
 * them one transaction. libpq answers step by step, a NULL behind each, and the Sync ends the call.
 * What fails first in a call is its failure; the rest of it is skipped by the server, and the calls
 * behind it go on.
 *
 * A connection whose call was abandoned is doomed: it gets no further calls, the server is told to
 * end the query when that call is at the head of the pipeline, and when all have been answered the
 * connection is closed. A cancel may come late and hit the call behind; that one fails as passing.
 * Whatever the server does, a doomed connection is closed after DOOMED_NS.
 *
 * INVARIANT  a call is in exactly one list: the pool's waiting or one connection's in_flight.
 *
 * LIMITS  The answer of a call is counted as it comes in; over the limit the connection is given
 * up. */

#include "connectors/postgres/postgres_priv.h"

#include "base/alloc.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

#define DOOMED_NS INT64_C(10000000000)
#define PQ_READS 8192 /* bytes: PQconsumeInput leaves none where there are fewer */

static void ready(void *arg, unsigned events);

static struct lade_pg_call *head_of(struct lade_pg_conn *c)
{
	return lade_list_empty(&c->in_flight)
		       ? NULL
		       : LADE_CONTAINER(c->in_flight.next, struct lade_pg_call, link);
}

/* Ends */

static void end_call(struct lade_pg_conn *c, struct lade_pg_call *call)
{
	lade_list_remove(&call->link);
	c->n_in_flight--;
	c->db->n_in_flight--;
	lade_pg_finish(call);
}

void lade_pg_conn_close(struct lade_pg_conn *c)
{
	struct lade_pg *db = c->db;

	lade_alarm_stop(&c->alarm);
	lade_watch_close(c->watch);
	PQfinish(c->pg);
	for (unsigned i = 0; i < c->n_prepared; i++)
		lade_pg_prepared_forget(c, (int)i);
	lade_list_remove(&c->link);
	db->n_conns--;
	db->n_connecting -= c->state == PG_CONNECTING;
	db->n_doomed -= c->doomed;
	lade_free(c);
}

/* The connection is gone: what was in it may have happened. */
static void lose(struct lade_pg_conn *c, const char *why)
{
	struct lade_pg *db = c->db;
	struct lade_pg_call *call;

	while ((call = head_of(c))) {
		if (!call->failed) {
			call->failed = true;
			call->error.exchange = LADE_PG_SENT;
			(void)lade_pg_fail(&call->error, LADE_PG_PASSING, -1,
					   "the connection to PostgreSQL was lost: %s", why);
		}
		end_call(c, call);
	}
	lade_pg_conn_close(c);
	lade_alarm_start(&db->kick, lade_now());
}

void lade_pg_conn_drop(struct lade_pg_conn *c)
{
	lose(c, "the database was closed");
}

static void doom(struct lade_pg_conn *c)
{
	if (c->doomed)
		return;
	c->doomed = true;
	c->db->n_doomed++;
	lade_alarm_start(&c->alarm, lade_in(lade_ns(DOOMED_NS)));
}

void lade_pg_conn_cancel(struct lade_pg_conn *c)
{
	struct lade_pg_call *call = head_of(c);

	if (!call || call->waiter || call->cancelled)
		return;
	call->cancelled = true;
	lade_pg_cancels_add(c->db->cancels, PQgetCancel(c->pg));
}

/* No call is left in it.  The connection may be gone afterwards. */
static void rest(struct lade_pg_conn *c)
{
	if (c->doomed) {
		lade_pg_conn_close(c);
		return;
	}
	lade_alarm_start(&c->alarm, lade_in(lade_ns(c->db->config.idle_ns)));
}

/* Answers */

static void fail_first(struct lade_pg_conn *c, struct lade_pg_call *call, const PGresult *result,
		       const struct lade_pg_step *step)
{
	if (step && step->prepared >= 0)
		lade_pg_prepared_forget(c, step->prepared);
	if (call->failed)
		return;
	call->failed = true;
	lade_pg_fail_result(&call->error, result, step ? step->statement : (int)call->n);
	/* A statement that was prepared and is stale: a new connection does not know it. */
	if (step && step->kept && call->error.fault == LADE_PG_PASSING &&
	    (strcmp(call->error.sqlstate, "26000") == 0 ||
	     strcmp(call->error.sqlstate, "0A000") == 0))
		doom(c);
}

static void keep_result(struct lade_pg_call *call, const struct lade_pg_step *step,
			PGresult *result)
{
	struct lade_pg_result *to;

	if (!step || step->prepared >= 0 || step->statement < 0) {
		PQclear(result);
		return;
	}
	to = &call->results[step->statement];
	PQclear(to->handle);
	*to = (struct lade_pg_result){
		.handle = result,
		.rows = (uint32_t)PQntuples(result),
		.columns = (unsigned)PQnfields(result),
		.affected = strtoll(PQcmdTuples(result), NULL, 10),
	};
}

/* Returns false when libpq says what a pipeline cannot say. */
static bool take_answer(struct lade_pg_conn *c, struct lade_pg_call *call, PGresult *result)
{
	const struct lade_pg_step *step =
		call->step < call->n_steps ? &call->steps[call->step] : NULL;

	switch (PQresultStatus(result)) {
	case PGRES_COMMAND_OK:
	case PGRES_TUPLES_OK:
	case PGRES_EMPTY_QUERY:
		keep_result(call, step, result);
		return true;
	case PGRES_PIPELINE_ABORTED:
		if (step && step->prepared >= 0)
			lade_pg_prepared_forget(c, step->prepared);
		PQclear(result);
		return true;
	case PGRES_FATAL_ERROR:
	case PGRES_NONFATAL_ERROR:
	case PGRES_BAD_RESPONSE:
		fail_first(c, call, result, step);
		PQclear(result);
		return true;
	case PGRES_PIPELINE_SYNC:
		PQclear(result);
		end_call(c, call);
		return true;
	default:
		PQclear(result);
		return false;
	}
}

/* Takes what has come.  The connection may be gone afterwards. */
static void take_answers(struct lade_pg_conn *c)
{
	struct lade_pg *db = c->db;
	struct lade_pg_call *call;
	bool had = c->n_in_flight > 0;

	while ((call = head_of(c)) && !PQisBusy(c->pg)) {
		PGresult *result = PQgetResult(c->pg);
		bool good = true;

		if (result)
			good = take_answer(c, call, result);
		else
			good = call->step++ < call->n_steps + 2;
		if (!good) {
			call->failed = true;
			call->error.exchange = LADE_PG_SENT;
			(void)lade_pg_fail(&call->error, LADE_PG_OWN, -1,
					   "no pipeline can have this statement: is it COPY?");
			lose(c, "it was given up");
			return;
		}
	}
	if (PQstatus(c->pg) == CONNECTION_BAD) {
		lose(c, "the server has closed it");
		return;
	}
	lade_pg_conn_cancel(c);
	if (c->n_in_flight == 0) {
		(void)PQisBusy(c->pg); /* takes what the server says by itself */
		if (had)
			rest(c);
	}
	if (had)
		lade_pg_dispatch(db);
}

static void want(struct lade_pg_conn *c, unsigned events)
{
	(void)lade_watch_set(c->watch, events);
}

/* Sends what libpq has to send.  Returns false when the connection is gone. */
static bool flush(struct lade_pg_conn *c)
{
	int left = PQflush(c->pg);

	if (left < 0) {
		/* What the server has said before it went is worth more. */
		(void)PQconsumeInput(c->pg);
		take_answers(c);
		return false;
	}
	want(c, left ? POLLIN | POLLOUT : POLLIN);
	return true;
}

static void first_line(const char *text, char ret[200])
{
	snprintf(ret, 200, "%.*s", (int)strcspn(text, "\n"), text);
}

/* Counts what comes for the call at the head.  Returns false over the limit. */
static bool read_some(struct lade_pg_conn *c, bool *ret_alive)
{
	struct lade_pg_call *call = head_of(c);
	int before = 0, after = 0;

	(void)ioctl(PQsocket(c->pg), FIONREAD, &before);
	*ret_alive = PQconsumeInput(c->pg) == 1;
	if (!call || !*ret_alive)
		return true;
	/* The question waits for the socket's lock, which the kernel has while data comes. */
	if (before >= PQ_READS)
		(void)ioctl(PQsocket(c->pg), FIONREAD, &after);
	call->answer_bytes += before > after ? (size_t)(before - after) : 0;
	return call->answer_bytes <= c->db->config.result_bytes_max;
}

static void give_up_answer(struct lade_pg_conn *c)
{
	struct lade_pg_call *call = head_of(c);

	lade_pg_cancels_add(c->db->cancels, PQgetCancel(c->pg));
	call->failed = true;
	call->error.exchange = LADE_PG_SENT;
	(void)lade_pg_fail(&call->error, LADE_PG_DATA, -1,
			   "the answer has more than %zu bytes: ask for less at once",
			   c->db->config.result_bytes_max);
	lose(c, "an answer was too long");
}

static void ready_to_talk(struct lade_pg_conn *c, unsigned events)
{
	char why[200];
	bool alive = true;

	if ((events & POLLOUT) && !flush(c))
		return;
	if (!(events & POLLIN))
		return;
	if (!read_some(c, &alive)) {
		give_up_answer(c);
		return;
	}
	first_line(PQerrorMessage(c->pg), why);
	if (alive && PQflush(c->pg) >= 0) {
		take_answers(c);
		return;
	}
	/* What came before the end counts. */
	{
		struct lade_pg_call *call;

		while ((call = head_of(c)) && !PQisBusy(c->pg)) {
			PGresult *result = PQgetResult(c->pg);

			if (!result || !take_answer(c, call, result))
				break;
		}
	}
	lose(c, *why ? why : "the server has closed it");
}

/* Calls */

static bool send_statement(struct lade_pg_conn *c, const struct lade_pg_statement *s,
			   const char *name, bool prepare)
{
	const char *values[LADE_PG_ARGS_MAX];
	int lengths[LADE_PG_ARGS_MAX], formats[LADE_PG_ARGS_MAX];
	Oid types[LADE_PG_ARGS_MAX];
	unsigned n = s->args ? s->args->n : 0;

	for (unsigned i = 0; i < n; i++) {
		const struct lade_pg_arg *a = &s->args->list[i];

		types[i] = a->type;
		values[i] = a->len < 0 ? NULL : s->args->block + a->at;
		lengths[i] = a->len < 0 ? 0 : a->len;
		formats[i] = 1;
	}
	if (prepare)
		return PQsendPrepare(c->pg, name, s->sql, (int)n, types) == 1;
	if (name)
		return PQsendQueryPrepared(c->pg, name, (int)n, values, lengths, formats, 1) == 1;
	return PQsendQueryParams(c->pg, s->sql, (int)n, types, values, lengths, formats, 1) == 1;
}

static void add_step(struct lade_pg_call *call, int statement, int prepared, bool kept)
{
	call->steps[call->n_steps++] = (struct lade_pg_step){ statement, prepared, kept };
}

static bool send_one(struct lade_pg_conn *c, struct lade_pg_call *call, unsigned i)
{
	const struct lade_pg_statement *s = &call->statements[i];
	bool is_new = false;
	int entry = c->db->config.unprepared ? -1 : lade_pg_prepared_find(c, s, &is_new);
	char name[24];

	if (entry >= 0)
		snprintf(name, sizeof(name), "lade_%u", c->prepared[entry].number);
	if (is_new) {
		add_step(call, (int)i, entry, false);
		if (!send_statement(c, s, name, true))
			return false;
	}
	add_step(call, (int)i, -1, entry >= 0 && !is_new);
	return send_statement(c, s, entry >= 0 ? name : NULL, false);
}

/* A pooler gives us any of its connections: what holds for this call is said with it. */
static bool send_settings(struct lade_pg_conn *c, struct lade_pg_call *call)
{
	const struct lade_pg_config *config = &c->db->config;
	char sql[200];

	if (!config->unprepared || (!config->statement_ns && !config->read_only))
		return true;
	snprintf(sql, sizeof(sql),
		 "select set_config('statement_timeout', '%" PRId64 "', true)%s",
		 (config->statement_ns + 999999) / 1000000,
		 config->read_only ? ", set_config('transaction_read_only', 'on', true)" : "");
	add_step(call, -1, -1, false);
	return PQsendQueryParams(c->pg, sql, 0, NULL, NULL, NULL, NULL, 1) == 1;
}

void lade_pg_conn_send(struct lade_pg_conn *c, struct lade_pg_call *call)
{
	char why[200];
	bool good;

	if (c->n_in_flight == 0)
		lade_alarm_stop(&c->alarm);
	call->conn = c;
	lade_list_append(&c->in_flight, &call->link);
	c->n_in_flight++;
	c->db->n_in_flight++;
	good = send_settings(c, call);
	for (unsigned i = 0; good && i < call->n; i++)
		good = send_one(c, call, i);
	good = good && PQpipelineSync(c->pg) == 1;
	call->statements = NULL;
	if (!good) {
		first_line(PQerrorMessage(c->pg), why);
		lose(c, why);
		return;
	}
	(void)flush(c);
}

void lade_pg_conn_abandon(struct lade_pg_conn *c, struct lade_pg_call *call)
{
	call->waiter = NULL;
	doom(c);
	/* Not in here: this may be a task's stack. */
	lade_alarm_start(&c->db->kick, lade_now());
}

/* Making one */

static void refuse(struct lade_pg_conn *c, const struct lade_pg_error *error)
{
	struct lade_pg *db = c->db;
	int64_t pause = db->config.reconnect_min_ns;

	for (uint32_t i = 0; i < db->failures && pause < db->config.reconnect_max_ns; i++)
		pause *= 2;
	if (pause > db->config.reconnect_max_ns)
		pause = db->config.reconnect_max_ns;
	db->jitter = db->jitter * UINT64_C(6364136223846793005) + 1;
	pause = pause / 2 + (int64_t)((db->jitter >> 33) % (uint64_t)(pause / 2 + 1));
	db->failures++;
	db->connect_at_ns = lade_now().mono_ns + pause;
	db->place.until_ns = 0; /* it may have moved */
	lade_pg_conn_close(c);
	if (db->n_conns == db->n_doomed)
		lade_pg_refuse_waiting(db, error);
	else
		lade_alarm_start(&db->kick, lade_now());
}

static void refuse_as_libpq_says(struct lade_pg_conn *c)
{
	struct lade_pg_error error;

	lade_pg_fail_connect(&error, c->pg);
	refuse(c, &error);
}

/* libpq may have another socket now, of the same number even: the watch is made anew each time. */
static bool watch_again(struct lade_pg_conn *c, unsigned events)
{
	if (lade_watch_open(PQsocket(c->pg), ready, c, &c->watch) < 0)
		return false;
	want(c, events);
	return true;
}

static void connected(struct lade_pg_conn *c)
{
	struct lade_pg *db = c->db;

	if (PQsetnonblocking(c->pg, 1) != 0 || PQenterPipelineMode(c->pg) != 1 ||
	    !watch_again(c, POLLIN)) {
		refuse_as_libpq_says(c);
		return;
	}
	c->state = PG_READY;
	db->n_connecting--;
	db->connects++;
	db->failures = 0;
	rest(c);
	lade_pg_dispatch(db);
}

static void go_on_connecting(struct lade_pg_conn *c)
{
	PostgresPollingStatusType what;

	c->watch = lade_watch_close(c->watch);
	what = PQconnectPoll(c->pg);
	if (what == PGRES_POLLING_OK)
		connected(c);
	else if (what == PGRES_POLLING_FAILED ||
		 !watch_again(c, what == PGRES_POLLING_READING ? POLLIN : POLLOUT))
		refuse_as_libpq_says(c);
}

static void ready(void *arg, unsigned events)
{
	struct lade_pg_conn *c = arg;

	if (c->state == PG_CONNECTING)
		go_on_connecting(c);
	else
		ready_to_talk(c, events & POLLNVAL ? POLLIN : events);
}

static void out_of_time(void *arg)
{
	struct lade_pg_conn *c = arg;
	struct lade_pg_error error = { 0 };

	if (c->state == PG_CONNECTING) {
		(void)lade_pg_fail(&error, LADE_PG_PASSING, -1,
				   "no connection to PostgreSQL after %g s",
				   (double)c->db->config.connect_ns / 1e9);
		refuse(c, &error);
	} else if (c->doomed) {
		lose(c, "its server did not answer a cancel");
	} else if (c->n_in_flight == 0) {
		lade_pg_conn_close(c);
	}
}

static void ignore_notice(void *arg, const PGresult *result)
{
	(void)arg;
	(void)result;
}

int lade_pg_conn_open(struct lade_pg *db)
{
	struct lade_pg_conn *c = lade_calloc(1, sizeof(*c));

	if (!c)
		return -ENOMEM;
	c->pg = PQconnectStartParams(db->place.names, db->place.values, 0);
	if (!c->pg) {
		lade_free(c);
		return -ENOMEM;
	}
	c->db = db;
	c->state = PG_CONNECTING;
	lade_list_init(&c->in_flight);
	lade_list_append(&db->conns, &c->link);
	db->n_conns++;
	db->n_connecting++;
	lade_alarm_init(&c->alarm, out_of_time, c);
	lade_alarm_start(&c->alarm, lade_in(lade_ns(db->config.connect_ns)));
	(void)PQsetErrorVerbosity(c->pg, PQERRORS_VERBOSE);
	(void)PQsetNoticeReceiver(c->pg, ignore_notice, NULL);
	if (PQstatus(c->pg) == CONNECTION_BAD || !watch_again(c, POLLOUT))
		refuse_as_libpq_says(c);
	return 0;
}
