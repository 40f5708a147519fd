/* SPDX-License-Identifier: MIT */
/* orders_pg.c - one query for many orders, then one transaction with what it found.
 * LADE_TEST_POSTGRES says where a PostgreSQL is. */

#include <lade/lade.h>
#include <lade/postgres.h>

#include <stdio.h>
#include <stdlib.h>

static int app(const char *where)
{
	const char *names[] = { "ada", "bob", "eve" };
	const struct lade_pg_statement both[] = { { "create table orders_pg ()", NULL },
						  { "select 1/0", NULL } };
	struct lade_pg_error e;
	struct lade_pg_result r = { 0 };
	struct lade_pg_args args;
	struct lade_pg *db;
	int rc = lade_pg_open(&(struct lade_pg_config){ .conninfo = where }, &db, &e);

	if (rc < 0) {
		printf("%s\n", e.text);
		return rc;
	}
	lade_pg_args_init(&args, 0);
	lade_pg_array(&args, LADE_PG_TEXT, 3);
	for (int i = 0; i < 3; i++)
		lade_pg_item_text(&args, names[i], 3);

	/* All names in one question; the deadline ends it on the server too. */
	rc = lade_within(lade_s(5),
			 lade_pg_query(db, "select name, length(name) + i from unnest($1)"
					   " with ordinality as b(name, i)", &args, &r, &e));
	for (uint32_t i = 0; rc == 0 && i < r.rows; i++) {
		struct lade_datum name, n;

		(void)lade_pg_datum(&r, i, 0, NULL, &name);
		(void)lade_pg_datum(&r, i, 1, NULL, &n);
		printf("%.*s %ld\n", (int)name.len, name.text, (long)n.integer);
	}
	lade_pg_result_done(&r);

	/* Two statements, one round trip, one transaction: the second fails, nothing happens. */
	if (rc == 0) {
		(void)!lade_pg_batch(db, both, 2, NULL, &e);
		printf("statement %d: %s: %s\n", e.statement, lade_pg_fault_name(e.fault), e.text);
	}
	lade_pg_args_done(&args);
	lade_pg_close(db);
	return rc;
}
LADE_TASK_VOID(app, (const char *, where))

int main(void)
{
	const char *where = getenv("LADE_TEST_POSTGRES");

	return where ? lade_main(lade_do(app, where)) : (puts("no LADE_TEST_POSTGRES"), 0);
}
