/* SPDX-License-Identifier: MIT */
/* postgres_test.c - the SQL that is sent and the address that is asked, without a server. */

#include "services/pipeline/postgres.h"

#include "tap.h"

static void query_becomes(const char *query, const char *wanted)
{
	const struct lade_pipe_pg_key keys[] = { { "id", LADE_INTEGER }, { "a\"b", LADE_TEXT } };
	struct lade_json_out out;

	lade_json_out_init(&out, 4096);
	lade_pipe_pg_batch_sql(&out, query, keys, 2);
	lade_json_out_raw(&out, "", 1);
	CHECK_STR(out.data, wanted);
	lade_json_out_done(&out);
}

#define BATCH                                                                                      \
	"batch(i, \"id\", \"a\"\"b\") as (select b.i - 1, b.\"id\", b.\"a\"\"b\" from"             \
	" unnest($1::int8[], $2::text[]) with ordinality as b(\"id\", \"a\"\"b\", i))"

static void the_batch_comes_before_the_query(void)
{
	query_becomes("select 1", "with " BATCH " select 1");
	query_becomes(" -- a remark\n /* and\n another */ select 1 ; \n",
		      "with " BATCH " select 1");
	query_becomes("withal", "with " BATCH " withal");
}

static void the_querys_own_relations_come_behind_it(void)
{
	query_becomes("with t as (select 1) select 2",
		      "with " BATCH ", t as (select 1) select 2");
	query_becomes("WITH RECURSIVE t as (select 1) select 2;",
		      "with recursive " BATCH ", t as (select 1) select 2");
}

static void address_becomes(const char *url, const char *wanted, bool prepared)
{
	char room[128];
	bool prepare = !prepared;

	lade_pipe_pg_conninfo(url, room, &prepare);
	CHECK_STR(room, wanted);
	CHECK_EQ(prepare, prepared);
}

static void an_address_says_whether_statements_are_kept_prepared(void)
{
	address_becomes("postgres://h/d", "postgres://h/d", true);
	address_becomes("postgres://h/d?prepare=false", "postgres://h/d", false);
	address_becomes("postgres://h/d?prepare=true", "postgres://h/d", true);
	address_becomes("postgres://h/d?a=1&prepare=false&b=2", "postgres://h/d?a=1&b=2", false);
	address_becomes("postgres://h/d?prepare=false&b=2", "postgres://h/d?b=2", false);
}

static void a_failure_is_one_line_with_its_state_and_detail(void)
{
	struct lade_pg_error error = { .sqlstate = "23505", .text = "no", .detail = "twice" };
	char said[512];

	CHECK_STR(lade_pipe_pg_say(&error, said), "no (SQLSTATE 23505): twice");
	error = (struct lade_pg_error){ .text = "no" };
	CHECK_STR(lade_pipe_pg_say(&error, said), "no");
}

int main(void)
{
	TAP(the_batch_comes_before_the_query);
	TAP(the_querys_own_relations_come_behind_it);
	TAP(an_address_says_whether_statements_are_kept_prepared);
	TAP(a_failure_is_one_line_with_its_state_and_detail);
	return tap_done();
}
