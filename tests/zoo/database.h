/* SPDX-License-Identifier: MIT */
#ifndef TESTS_ZOO_DATABASE_H
#define TESTS_ZOO_DATABASE_H

/* database.h - a database in whose protocol a query is cancelled on another connection.
 *
 * "3 Oslo" is a query of session 3, "cancel 3" ends whatever session 3 does by then: it takes the
 * server longer than most queries. The first is answered by "re: 3 Oslo" or "cancelled", the
 * second by "done". */

#include "session.h"

#define SESSIONS 8

static bool database_busy[SESSIONS], database_interrupted[SESSIONS];

static inline int database(void *arg, const struct line *line, struct line *ret)
{
	int session = 0, rc;

	if (sscanf(line->text, "cancel %d", &session) == 1) {
		rc = lade_sleep(lade_ms(9));
		database_interrupted[session % SESSIONS] = database_busy[session % SESSIONS];
		*ret = (struct line){ "done" };
		return rc;
	}
	session = line->text[0] % SESSIONS;
	database_interrupted[session] = false;
	database_busy[session] = true;
	rc = slow_reply(arg, line, ret);
	database_busy[session] = false;
	if (database_interrupted[session])
		*ret = (struct line){ "cancelled" };
	return rc;
}

static int conn = -1;	/* to the database, kept between queries */
static int session_key; /* of that session */

/* start_database - a world with the database; stop_database ends it. */
static inline int start_database(struct lade_scope *world)
{
	return serve_sessions_of(world, database);
}

static inline void stop_database(void)
{
	lade_close(conn);
	stop_service();
}

/* open_session - connects, unless there is a connection. */
static inline int open_session(void)
{
	if (conn >= 0)
		return 0;
	session_key++;
	return lade_connect_to(service_address.text, &conn);
}

/* drop_session - closes the connection; the next query opens another. */
static inline void drop_session(void)
{
	lade_close(conn);
	conn = -1;
}

#endif
