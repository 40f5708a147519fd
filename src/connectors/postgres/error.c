/* SPDX-License-Identifier: MIT */
/* error.c - whose fault a failure is, from its SQLSTATE. */

#include "connectors/postgres/postgres_priv.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
	const char *name;
	int rc;
} faults[] = {
	[LADE_PG_DATA] = { "data", -EBADMSG },
	[LADE_PG_PASSING] = { "passing", -EAGAIN },
	[LADE_PG_OWN] = { "own", -EIO },
	[LADE_PG_MEMORY] = { "memory", -ENOMEM },
};

const char *lade_pg_fault_name(enum lade_pg_fault fault)
{
	return faults[fault].name;
}

int lade_pg_fault_rc(enum lade_pg_fault fault)
{
	return faults[fault].rc;
}

int lade_pg_fail(struct lade_pg_error *error, enum lade_pg_fault fault, int statement,
		 const char *format, ...)
{
	enum lade_pg_exchange exchange = error->exchange;
	va_list args;

	*error = (struct lade_pg_error){ .fault = fault, .exchange = exchange,
					 .statement = statement };
	va_start(args, format);
	vsnprintf(error->text, sizeof(error->text), format, args);
	va_end(args);
	return faults[fault].rc;
}

static bool in_class(const char *sqlstate, const char *classes)
{
	for (const char *c = classes; *c; c += 2)
		if (strncmp(sqlstate, c, 2) == 0)
			return true;
	return false;
}

static enum lade_pg_fault fault_of(const char *sqlstate)
{
	if (in_class(sqlstate, "2223"))
		return LADE_PG_DATA;
	if (!*sqlstate || in_class(sqlstate, "08405357") || strcmp(sqlstate, "55P03") == 0)
		return LADE_PG_PASSING;
	return LADE_PG_OWN;
}

/* The first line, without blanks at its end. */
static void copy_line(char *to, size_t room, const char *from)
{
	size_t len = strcspn(from ? from : "", "\n");

	while (len && isspace((unsigned char)from[len - 1]))
		len--;
	snprintf(to, room, "%.*s", (int)len, from ? from : "");
}

/* What a statement that was kept prepared meets when the server has forgotten it, or its table has
 * another form now: a fresh connection does not know it and prepares it again. */
static bool is_stale_plan(const char *sqlstate, const char *message)
{
	return strcmp(sqlstate, "26000") == 0 ||
	       (strcmp(sqlstate, "0A000") == 0 && strstr(message, "cached plan"));
}

void lade_pg_fail_result(struct lade_pg_error *error, const PGresult *result, int statement)
{
	const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
	const char *severity = PQresultErrorField(result, PG_DIAG_SEVERITY_NONLOCALIZED);
	const char *message = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
	const char *position = PQresultErrorField(result, PG_DIAG_STATEMENT_POSITION);

	*error = (struct lade_pg_error){ .statement = statement };
	error->position = position ? atoi(position) : 0;
	/* A FATAL one ends the connection, and may come when the commit is done. */
	error->exchange = severity && strcmp(severity, "ERROR") == 0 ? LADE_PG_ANSWERED
								     : LADE_PG_SENT;
	snprintf(error->sqlstate, sizeof(error->sqlstate), "%s", state ? state : "");
	copy_line(error->text, sizeof(error->text),
		  message ? message : PQresultErrorMessage(result));
	copy_line(error->detail, sizeof(error->detail),
		  PQresultErrorField(result, PG_DIAG_MESSAGE_DETAIL));
	copy_line(error->constraint, sizeof(error->constraint),
		  PQresultErrorField(result, PG_DIAG_CONSTRAINT_NAME));
	error->fault = is_stale_plan(error->sqlstate, error->text) ? LADE_PG_PASSING
								    : fault_of(error->sqlstate);
}

/* libpq has no field for it while it connects; what it prints, verbosely, is
 * ... FATAL:  28P01: password authentication failed ... */
static const char *find_state(const char *message, char ret[6])
{
	for (const char *p = strstr(message, ":  "); p; p = strstr(p + 1, ":  ")) {
		size_t n = 0;

		while (n < 5 && (isdigit((unsigned char)p[3 + n]) ||
				 (p[3 + n] >= 'A' && p[3 + n] <= 'Z')))
			n++;
		if (n < 5 || p[8] != ':' || p[9] != ' ')
			continue;
		memcpy(ret, p + 3, 5);
		ret[5] = 0;
		return p + 10;
	}
	*ret = 0;
	return NULL;
}

void lade_pg_fail_connect(struct lade_pg_error *error, const PGconn *pg)
{
	const char *message = pg ? PQerrorMessage(pg) : "out of memory";
	char state[6], text[300];
	const char *words = find_state(message, state);

	copy_line(text, sizeof(text), words ? words : message);
	*error = (struct lade_pg_error){ .exchange = LADE_PG_NOT_SENT };
	(void)lade_pg_fail(error, fault_of(state), -1, "no connection to PostgreSQL: %s", text);
	memcpy(error->sqlstate, state, sizeof(state));
}
