/* SPDX-License-Identifier: MIT */
/* pool_test.c - the connector against a real PostgreSQL, which LADE_TEST_POSTGRES names. */

#include <lade/io.h>
#include <lade/join.h>
#include <lade/postgres.h>

#include "backend.h"

#include <errno.h>

static const char *conninfo;
static struct lade_pg_error error; /* of the latest call */

static struct lade_pg *open_with(struct lade_pg_config config)
{
	struct lade_pg *db = NULL;

	if (!config.conninfo)
		config.conninfo = conninfo;
	NEED_EQ(lade_pg_open(&config, &db, &error), 0);
	return db;
}

/* A test that is the root task of a loop. */
#define IN_LOOP_OF_ITS_OWN(name)                                                                   \
	static void name##_body(void);                                                             \
	static void name(void)                                                                     \
	{                                                                                          \
		run_on(NULL, name##_body);                                                         \
	}                                                                                          \
	static void name##_body(void)

#define OPEN(...) open_with((struct lade_pg_config){ __VA_ARGS__ })

static int run(struct lade_pg *db, const char *sql)
{
	int rc = lade_pg_query(db, sql, NULL, NULL, &error);

	if (rc < 0)
		printf("# %s: %d %s %s\n", sql, rc, error.sqlstate, error.text);
	return rc;
}

/* The first value of a query's first row, as an integer; -1: none. */
static int64_t integer_of(struct lade_pg *db, const char *sql)
{
	struct lade_pg_result r = { 0 };
	struct lade_datum d = { 0 };

	if (lade_pg_query(db, sql, NULL, &r, &error) < 0 || r.rows == 0) {
		lade_pg_result_done(&r);
		return -1;
	}
	CHECK_EQ(lade_pg_datum(&r, 0, 0, NULL, &d), 0);
	lade_pg_result_done(&r);
	return d.integer;
}

static int sleeping(struct lade_pg *db, const char *sql, struct lade_pg_error *ret)
{
	return lade_pg_query(db, sql, NULL, NULL, ret);
}
LADE_TASK_VOID(sleeping, (struct lade_pg *, db), (const char *, sql), (struct lade_pg_error *, ret))

static void text_is(const struct lade_datum *d, const char *wanted)
{
	char text[64];

	CHECK(d->type == LADE_TEXT || d->type == LADE_JSON);
	snprintf(text, sizeof(text), "%.*s", (int)d->len, d->text);
	CHECK_STR(text, wanted);
}

IN_LOOP_OF_ITS_OWN(values_come_back_as_they_went)
{
	struct lade_pg *db = OPEN(.idle_ns = 0);
	struct lade_pg_result r = { 0 };
	struct lade_pg_args a;
	struct lade_arena arena;
	struct lade_datum d[7];

	lade_arena_init(&arena, 4096, 65536);
	lade_pg_args_init(&a, 0);
	lade_pg_int8(&a, -5);
	lade_pg_float8(&a, 0.5);
	lade_pg_bool(&a, true);
	lade_pg_text(&a, "na\xc3\xafve", 6);
	lade_pg_timestamptz(&a, INT64_C(1700000000123456));
	lade_pg_jsonb(&a, "{\"a\":1}", 7);
	lade_pg_null(&a, LADE_PG_TEXT);
	CHECK_EQ(lade_pg_query(db, "select $1, $2, $3, $4, $5, $6, $7", &a, &r, &error), 0);
	CHECK_EQ(r.rows, 1);
	CHECK_EQ(r.columns, 7);
	for (unsigned i = 0; i < 7 && r.rows; i++)
		CHECK_EQ(lade_pg_datum(&r, 0, i, &arena, &d[i]), 0);
	CHECK_EQ(d[0].integer, -5);
	CHECK(d[1].type == LADE_DOUBLE && d[1].real == 0.5);
	CHECK(d[2].type == LADE_BOOLEAN && d[2].integer == 1);
	text_is(&d[3], "na\xc3\xafve");
	CHECK(d[4].type == LADE_TIMESTAMP && d[4].integer == INT64_C(1700000000123456));
	text_is(&d[5], "{\"a\": 1}");
	CHECK_EQ(d[6].type, LADE_NULL);
	lade_pg_result_done(&r);
	lade_pg_args_done(&a);
	lade_arena_done(&arena);
	lade_pg_close(db);
}

IN_LOOP_OF_ITS_OWN(a_batch_goes_as_arrays_and_comes_in_order)
{
	struct lade_pg *db = OPEN(.idle_ns = 0);
	struct lade_pg_result r = { 0 };
	struct lade_datum d;
	struct lade_pg_args a;

	lade_pg_args_init(&a, 0);
	lade_pg_array(&a, LADE_PG_TEXT, 1000);
	for (int i = 0; i < 1000; i++) {
		char text[16];
		int len = snprintf(text, sizeof(text), "k%d", i);

		if (i % 10 == 9)
			lade_pg_item_null(&a);
		else
			lade_pg_item_text(&a, text, (size_t)len);
	}
	lade_pg_array(&a, LADE_PG_TIMESTAMPTZ, 1000);
	for (int i = 0; i < 1000; i++)
		lade_pg_item_timestamptz(&a, i == 7 ? INT64_MIN : i * INT64_C(1000000));
	lade_pg_array(&a, LADE_PG_BOOL, 0);
	CHECK_EQ(lade_pg_query(db,
			       "select k, t, cardinality($3) from unnest($1, $2)"
			       " with ordinality as b(k, t, i) order by i",
			       &a, &r, &error), 0);
	CHECK_EQ(r.rows, 1000);
	for (uint32_t i = 0; i < r.rows; i++) {
		char text[16];

		CHECK_EQ(lade_pg_datum(&r, i, 0, NULL, &d), 0);
		snprintf(text, sizeof(text), "k%u", i);
		CHECK(i % 10 == 9 ? d.type == LADE_NULL
				  : d.len == strlen(text) && memcmp(d.text, text, d.len) == 0);
		CHECK_EQ(lade_pg_datum(&r, i, 1, NULL, &d), 0);
		CHECK(i == 7 ? d.type == LADE_NULL : d.integer == i * INT64_C(1000000));
	}
	lade_pg_result_done(&r);
	lade_pg_args_done(&a);
	lade_pg_close(db);
}

IN_LOOP_OF_ITS_OWN(what_is_written_anew_reads_as_postgres_prints_it)
{
	static const char *const values[] = { "0", "1", "-1", "12345.678", "0.0001", "0.00012345",
					      "10000", "100000000.5", "1e20", "1e-20", "-99999.90",
					      "NaN", "123456789012345678901234567890.123456789" };
	struct lade_pg *db = OPEN(.idle_ns = 0);
	struct lade_arena arena;

	lade_arena_init(&arena, 4096, 1 << 20);
	for (unsigned i = 0; i < sizeof(values) / sizeof(*values); i++) {
		struct lade_pg_result r = { 0 };
		struct lade_datum got, wanted;
		char sql[128];

		snprintf(sql, sizeof(sql), "select '%s'::numeric, '%s'::numeric::text", values[i],
			 values[i]);
		NEED_EQ(lade_pg_query(db, sql, NULL, &r, &error), 0);
		CHECK_EQ(lade_pg_datum(&r, 0, 0, &arena, &got), 0);
		CHECK_EQ(lade_pg_datum(&r, 0, 1, &arena, &wanted), 0);
		if (got.len != wanted.len || memcmp(got.text, wanted.text, got.len) != 0)
			printf("# %.*s, not %.*s\n", (int)got.len, got.text, (int)wanted.len,
			       wanted.text);
		CHECK(got.len == wanted.len && memcmp(got.text, wanted.text, got.len) == 0);
		lade_pg_result_done(&r);
	}
	{
		struct lade_pg_result r = { 0 };
		struct lade_datum d[8];

		NEED_EQ(lade_pg_query(db,
				      "select date '2024-02-29', 0.1::float4,"
				      " uuid '00112233-4455-6677-8899-aabbccddeeff', 7::int2,"
				      " 'Inf'::float8, timestamp '2000-01-01 00:00:01',"
				      " '[1]'::json, '1 day'::interval",
				      NULL, &r, &error), 0);
		for (unsigned i = 0; i < 7; i++)
			CHECK_EQ(lade_pg_datum(&r, 0, i, &arena, &d[i]), 0);
		CHECK_EQ(lade_pg_datum(&r, 0, 7, &arena, &d[7]), -EBADMSG);
		text_is(&d[0], "2024-02-29");
		CHECK(d[1].real == 0.1);
		text_is(&d[2], "00112233-4455-6677-8899-aabbccddeeff");
		CHECK_EQ(d[3].integer, 7);
		text_is(&d[4], "Infinity");
		CHECK_EQ(d[5].integer, INT64_C(946684801000000));
		text_is(&d[6], "[1]");
		lade_pg_result_done(&r);
	}
	lade_arena_done(&arena);
	lade_pg_close(db);
}

IN_LOOP_OF_ITS_OWN(a_call_is_one_transaction_and_its_failure_has_a_place)
{
	struct lade_pg *db = OPEN(.idle_ns = 0);
	const struct lade_pg_statement call[] = { { "insert into once values (1)", NULL },
						  { "insert into once values (2)", NULL },
						  { "insert into once values (2)", NULL },
						  { "insert into once values (3)", NULL } };

	NEED_EQ(run(db, "drop table if exists once"), 0);
	NEED_EQ(run(db, "create table once (id int primary key)"), 0);
	CHECK_EQ(lade_pg_batch(db, call, 4, NULL, &error), -EBADMSG);
	CHECK_EQ(error.fault, LADE_PG_DATA);
	CHECK_EQ(error.exchange, LADE_PG_ANSWERED);
	CHECK_EQ(error.statement, 2);
	CHECK_STR(error.sqlstate, "23505");
	CHECK_STR(error.constraint, "once_pkey");
	CHECK_STR(error.detail, "Key (id)=(2) already exists.");
	CHECK_EQ(integer_of(db, "select count(*) from once"), 0);
	CHECK_EQ(lade_pg_batch(db, call, 2, NULL, &error), 0);
	CHECK_EQ(integer_of(db, "select count(*) from once"), 2);
	CHECK_EQ(lade_pg_stats(db).connects, 1);
	lade_pg_close(db);
}

IN_LOOP_OF_ITS_OWN(a_commit_that_fails_is_the_place_behind_the_last)
{
	struct lade_pg *db = OPEN(.idle_ns = 0);

	NEED_EQ(run(db, "drop table if exists late"), 0);
	NEED_EQ(run(db, "create table late (id int unique deferrable initially deferred)"), 0);
	CHECK_EQ(lade_pg_query(db, "insert into late values (1), (1)", NULL, NULL, &error),
		 -EBADMSG);
	CHECK_EQ(error.statement, 1);
	CHECK_EQ(integer_of(db, "select count(*) from late"), 0);
	lade_pg_close(db);
}

static int append_to(struct lade_pg *db, const char *sql, struct lade_pg_error *ret)
{
	const struct lade_pg_statement call[] = { { "insert into chain (who) values ('x')", NULL },
						  { sql, NULL } };

	return lade_pg_batch(db, call, 2, NULL, ret);
}
LADE_TASK_VOID(append_to, (struct lade_pg *, db), (const char *, sql),
	       (struct lade_pg_error *, ret))

IN_LOOP_OF_ITS_OWN(calls_in_one_pipeline_are_answered_in_order_and_fail_alone)
{
	struct lade_pg *db = OPEN(.connections_max = 1, .pipeline_max = 4);
	struct lade_pg_error e[4];
	struct append_to_task a = append_to_task(db, "select 1", &e[0]),
			      b = append_to_task(db, "select 1/0", &e[1]),
			      c = append_to_task(db, "select nothing from chain", &e[2]),
			      d = append_to_task(db, "select 2", &e[3]);

	NEED_EQ(run(db, "drop table if exists chain"), 0);
	NEED_EQ(run(db, "create table chain (id serial, who text)"), 0);
	CHECK_EQ(lade_join_all(&a, &b, &c, &d), -EBADMSG);
	CHECK_EQ(a.head.status, 0);
	CHECK_EQ(b.head.status, -EBADMSG);
	CHECK_EQ(e[1].statement, 1);
	CHECK_EQ(c.head.status, -EIO);
	CHECK_STR(e[2].sqlstate, "42703");
	CHECK_EQ(d.head.status, 0);
	CHECK_EQ(integer_of(db, "select count(*) from chain"), 2);
	CHECK_EQ(integer_of(db, "select max(id) from chain"), 4);
	CHECK_EQ(lade_pg_stats(db).connects, 1);
	lade_pg_close(db);
}

IN_LOOP_OF_ITS_OWN(faults_are_sorted_by_their_sqlstate)
{
	struct lade_pg *db = OPEN(.statement_ns = lade_ms(50).ns);

	CHECK_EQ(lade_pg_query(db, "select 1/0", NULL, NULL, &error), -EBADMSG);
	CHECK_EQ(lade_pg_query(db, "select * from nowhere", NULL, NULL, &error), -EIO);
	CHECK_STR(error.sqlstate, "42P01");
	CHECK_EQ(lade_pg_query(db, "select pg_sleep(30)", NULL, NULL, &error), -EAGAIN);
	CHECK_STR(error.sqlstate, "57014");
	CHECK_EQ(lade_pg_query(db, "this is no SQL", NULL, NULL, &error), -EIO);
	CHECK_EQ(error.fault, LADE_PG_OWN);
	CHECK_EQ(lade_pg_query(db, "copy pg_class to stdout", NULL, NULL, &error), -EIO);
	CHECK_EQ(integer_of(db, "select 7"), 7);
	lade_pg_close(db);
}

IN_LOOP_OF_ITS_OWN(a_deadlock_passes_for_one_of_the_two)
{
	struct lade_pg *db = OPEN(.connections_max = 2);
	struct lade_pg_error e[2];
	struct sleeping_task a = sleeping_task(db, "select lock_both(1, 2)", &e[0]),
			     b = sleeping_task(db, "select lock_both(2, 1)", &e[1]);
	int one;

	NEED_EQ(run(db, "drop table if exists locks"), 0);
	NEED_EQ(run(db, "create table locks (id int primary key, n int)"), 0);
	NEED_EQ(run(db, "insert into locks values (1, 0), (2, 0)"), 0);
	/* Each takes its first row and waits until the other has its own. */
	NEED_EQ(run(db, "create or replace function lock_both(a int, b int) returns void as $$"
			" begin update locks set n = n + 1 where id = a;"
			" perform pg_advisory_lock_shared(a);"
			" while (select count(*) < 2 from pg_locks where locktype = 'advisory')"
			" loop"
			" perform pg_sleep(0.005); end loop;"
			" update locks set n = n + 1 where id = b;"
			" end $$ language plpgsql"), 0);
	CHECK_EQ(lade_join_all(&a, &b), -EAGAIN);
	one = a.head.status == 0;
	CHECK_EQ(one ? b.head.status : a.head.status, -EAGAIN);
	CHECK_EQ(one ? a.head.status : b.head.status, 0);
	CHECK_STR(e[one].sqlstate, "40P01");
	CHECK_EQ(integer_of(db, "select sum(n) from locks"), 2);
	lade_pg_close(db);
}

/* The conninfo with another value of something. */
static const char *conninfo_with(const char *from, const char *to)
{
	static char text[512];
	const char *at = strstr(conninfo, from);

	snprintf(text, sizeof(text), "%.*s%s%s", (int)(at - conninfo), conninfo, to,
		 at + strlen(from));
	return text;
}

IN_LOOP_OF_ITS_OWN(who_may_not_in_is_told_so_without_secrets)
{
	struct lade_pg *db = OPEN(.conninfo = conninfo_with(":secret@", ":wr0ng@"));

	CHECK_EQ(lade_pg_query(db, "select 1", NULL, NULL, &error), -EIO);
	CHECK_STR(error.sqlstate, "28P01");
	CHECK_EQ(error.exchange, LADE_PG_NOT_SENT);
	CHECK(strstr(error.text, "password authentication failed") != NULL);
	CHECK(strstr(error.text, "wr0ng") == NULL);
	lade_pg_close(db);
	db = OPEN(.conninfo = conninfo_with("/postgres", "/nosuch"));
	CHECK_EQ(lade_pg_query(db, "select 1", NULL, NULL, &error), -EIO);
	CHECK_STR(error.sqlstate, "3D000");
	lade_pg_close(db);
}

IN_LOOP_OF_ITS_OWN(an_address_that_cannot_be_read_is_einval_without_its_words)
{
	const struct lade_pg_config config = { .conninfo = "postgres://a:p4ss%zz@h/db" };
	struct lade_pg *db = NULL;

	CHECK_EQ(lade_pg_open(&config, &db, &error), -EINVAL);
	CHECK(!db);
	CHECK(strstr(error.text, "cannot be read") != NULL);
	CHECK(strstr(error.text, "p4ss") == NULL);
}

IN_LOOP_OF_ITS_OWN(a_server_that_is_not_there_passes_and_is_tried_again_after_a_pause)
{
	struct lade_pg *db = OPEN(.conninfo = "postgres://a@127.0.0.1:1/db",
				  .reconnect_min_ns = lade_ms(40).ns);
	int64_t before;

	CHECK_EQ(lade_pg_query(db, "select 1", NULL, NULL, &error), -EAGAIN);
	CHECK_EQ(error.exchange, LADE_PG_NOT_SENT);
	before = lade_now().mono_ns;
	CHECK_EQ(lade_pg_query(db, "select 1", NULL, NULL, &error), -EAGAIN);
	CHECK(lade_now().mono_ns - before >= lade_ms(20).ns);
	CHECK_EQ(lade_pg_stats(db).connections, 0);
	lade_pg_close(db);
	db = OPEN(.conninfo = "postgres://a@no-such-host.invalid/db");
	CHECK_EQ(lade_pg_query(db, "select 1", NULL, NULL, &error), -EAGAIN);
	CHECK(strstr(error.text, "no-such-host.invalid") != NULL);
	lade_pg_close(db);
}

IN_LOOP_OF_ITS_OWN(a_host_is_looked_up_off_the_loop)
{
	struct lade_pg *db = OPEN(.conninfo = conninfo_with("127.0.0.1", "localhost"));

	CHECK_EQ(integer_of(db, "select 5"), 5);
	lade_pg_close(db);
}

IN_LOOP_OF_ITS_OWN(a_connection_that_is_cut_is_passing_and_the_next_call_has_another)
{
	struct lade_pg *db = OPEN(.connections_max = 1), *other = OPEN(.idle_ns = 0);
	struct lade_pg_error e;
	struct sleeping_task victim = sleeping_task(db, "select pg_sleep(60), 'victim'", &e);
	int rc = 0;

	CHECK_EQ(integer_of(db, "select 1"), 1);
	lade_scope(s, &rc, .policy = LADE_ALL) {
		lade_start(&s, &victim);
		while (integer_of(other,
				  "select count(pg_terminate_backend(pid)) from pg_stat_activity"
				  " where query like '%''victim''%' and pid <> pg_backend_pid()"
				  " and state = 'active'") == 0)
			;
		rc = lade_wait(&victim);
	}
	CHECK_EQ(victim.head.status, -EAGAIN);
	CHECK_STR(e.sqlstate, "57P01");
	CHECK_EQ(e.exchange, LADE_PG_SENT);
	CHECK_EQ(integer_of(db, "select 2"), 2);
	CHECK_EQ(lade_pg_stats(db).connects, 2);
	/* And one that nobody uses: its end is seen. */
	CHECK_EQ(integer_of(other, "select count(pg_terminate_backend(pid)) from pg_stat_activity"
				   " where query = 'select 2'"), 1);
	while (lade_pg_stats(db).connections)
		CHECK_EQ(lade_sleep(lade_ms(1)), 0);
	CHECK_EQ(integer_of(db, "select 3"), 3);
	lade_pg_close(other);
	lade_pg_close(db);
}

static int64_t busy_with(struct lade_pg *db, const char *word)
{
	char sql[256];

	snprintf(sql, sizeof(sql),
		 "select count(*) from pg_stat_activity where state = 'active' and query like"
		 " '%%%s%%' and pid <> pg_backend_pid()", word);
	return integer_of(db, sql);
}

IN_LOOP_OF_ITS_OWN(a_deadline_ends_the_query_on_the_server_as_well)
{
	struct lade_pg *db = OPEN(.connections_max = 1), *other = OPEN(.idle_ns = 0);

	/* It is not the connection that the deadline ends. */
	CHECK_EQ(integer_of(db, "select 3"), 3);
	CHECK_EQ(lade_within(lade_ms(200), lade_pg_query(db, "select pg_sleep(60), 'slow'", NULL,
							 NULL, &error)), -ETIME);
	CHECK_EQ(error.exchange, LADE_PG_SENT);
	while (busy_with(other, "slow") > 0)
		;
	/* The connection was closed when the answer had come; the next call has another. */
	CHECK_EQ(integer_of(db, "select 4"), 4);
	CHECK_EQ(lade_pg_stats(db).connects, 2);
	CHECK_EQ(lade_pg_stats(db).doomed, 0);
	CHECK_EQ(lade_pg_stats(db).cancels, 1);
	lade_pg_close(other);
	lade_pg_close(db);
}

IN_LOOP_OF_ITS_OWN(a_cancel_wherever_it_comes_loses_no_connection)
{
	struct lade_pg *db = OPEN(.connections_max = 2, .pipeline_max = 2);
	unsigned ended[2] = { 0 };

	for (int i = 0; i < 120; i++) {
		int rc = lade_within(lade_us(i * 40),
				     lade_pg_query(db, "select pg_sleep(0.002)", NULL, NULL,
						   &error));

		CHECK(rc == 0 || rc == -ETIME);
		CHECK(rc == 0 ? error.exchange == LADE_PG_ANSWERED
			      : error.exchange != LADE_PG_ANSWERED);
		ended[rc == 0]++;
	}
	CHECK(ended[0] > 0);
	CHECK_EQ(integer_of(db, "select 6"), 6);
	while (lade_pg_stats(db).doomed)
		CHECK_EQ(lade_sleep(lade_ms(1)), 0);
	CHECK_EQ(lade_pg_stats(db).in_flight, 0);
	CHECK_EQ(lade_pg_stats(db).waiting, 0);
	CHECK(lade_pg_stats(db).connections <= 2);
	lade_pg_close(db);
}

IN_LOOP_OF_ITS_OWN(calls_wait_for_a_place_and_too_many_are_refused)
{
	struct lade_pg *db = OPEN(.connections_max = 1, .waiting_max = 2);
	struct lade_pg_error e[4];
	struct sleeping_task a = sleeping_task(db, "select 1", &e[0]),
			     b = sleeping_task(db, "select 2", &e[1]),
			     c = sleeping_task(db, "select 3", &e[2]);

	CHECK_EQ(lade_join_all(&a, &b, &c), -EAGAIN);
	CHECK_EQ(a.head.status, 0);
	CHECK_EQ(b.head.status, 0);
	CHECK_EQ(c.head.status, -EAGAIN);
	CHECK_EQ(e[2].exchange, LADE_PG_NOT_SENT);
	CHECK_EQ(lade_pg_stats(db).connects, 1);
	lade_pg_close(db);
}

IN_LOOP_OF_ITS_OWN(no_more_connections_than_allowed_are_made)
{
	struct lade_pg *db = OPEN(.connections_max = 2);
	struct lade_pg_error e[4];
	struct sleeping_task t[4];

	for (int i = 0; i < 4; i++)
		t[i] = sleeping_task(db, "select pg_sleep(0.02)", &e[i]);
	CHECK_EQ(lade_join_all(&t[0], &t[1], &t[2], &t[3]), 0);
	for (int i = 0; i < 4; i++)
		CHECK_EQ(t[i].head.status, 0);
	CHECK_EQ(lade_pg_stats(db).connects, 2);
	lade_pg_close(db);
}

IN_LOOP_OF_ITS_OWN(an_answer_over_its_limit_is_the_datas_fault)
{
	struct lade_pg *db = OPEN(.result_bytes_max = 1 << 20);

	CHECK_EQ(lade_pg_query(db, "select repeat('x', 1000) from generate_series(1, 900)", NULL,
			       NULL, &error), 0);
	CHECK_EQ(lade_pg_query(db, "select repeat('x', 1000) from generate_series(1, 100000)", NULL,
			       NULL, &error), -EBADMSG);
	CHECK(strstr(error.text, "1048576 bytes") != NULL);
	CHECK_EQ(integer_of(db, "select 8"), 8);
	CHECK_EQ(lade_pg_stats(db).connects, 2);
	lade_pg_close(db);
}

IN_LOOP_OF_ITS_OWN(arguments_over_the_databases_limit_are_not_sent)
{
	struct lade_pg *db = OPEN(.args_bytes_max = 8);
	struct lade_pg_statement many[LADE_PG_STATEMENTS_MAX + 1];
	struct lade_pg_args a;

	lade_pg_args_init(&a, 0);
	lade_pg_text(&a, "123456789", 9);
	CHECK_EQ(lade_pg_query(db, "select $1", &a, NULL, &error), -EMSGSIZE);
	lade_pg_args_reset(&a);
	lade_pg_array(&a, LADE_PG_INT8, 2);
	CHECK_EQ(lade_pg_query(db, "select $1", &a, NULL, &error), -EINVAL);
	lade_pg_args_done(&a);
	for (unsigned i = 0; i <= LADE_PG_STATEMENTS_MAX; i++)
		many[i] = (struct lade_pg_statement){ "select 1", NULL };
	CHECK_EQ(lade_pg_batch(db, many, LADE_PG_STATEMENTS_MAX + 1, NULL, &error), -EINVAL);
	CHECK_EQ(lade_pg_batch(db, many, LADE_PG_STATEMENTS_MAX, NULL, &error), 0);
	CHECK_EQ(lade_pg_batch(db, many, 0, NULL, &error), -EINVAL);
	lade_pg_close(db);
}

IN_LOOP_OF_ITS_OWN(statements_stay_prepared_up_to_a_limit)
{
	struct lade_pg *db = OPEN(.connections_max = 1);

	for (int i = 0; i < 140; i++) {
		char sql[64];

		snprintf(sql, sizeof(sql), "select %d", i);
		CHECK_EQ(integer_of(db, sql), i);
		CHECK_EQ(integer_of(db, sql), i);
	}
	CHECK_EQ(integer_of(db, "select count(*) from pg_prepared_statements"), 128);
	lade_pg_close(db);
	db = OPEN(.connections_max = 1, .unprepared = true, .statement_ns = lade_ms(50).ns,
		  .read_only = true);
	CHECK_EQ(integer_of(db, "select count(*) from pg_prepared_statements"), 0);
	CHECK_EQ(lade_pg_query(db, "select pg_sleep(30)", NULL, NULL, &error), -EAGAIN);
	CHECK_EQ(error.statement, 0);
	CHECK_EQ(lade_pg_query(db, "create table never (id int)", NULL, NULL, &error), -EIO);
	CHECK_STR(error.sqlstate, "25006");
	lade_pg_close(db);
}

IN_LOOP_OF_ITS_OWN(a_plan_that_the_table_outgrew_passes)
{
	struct lade_pg *db = OPEN(.connections_max = 1);

	NEED_EQ(run(db, "drop table if exists grows"), 0);
	NEED_EQ(run(db, "create table grows (id int)"), 0);
	CHECK_EQ(run(db, "select * from grows"), 0);
	NEED_EQ(run(db, "alter table grows add more text"), 0);
	CHECK_EQ(lade_pg_query(db, "select * from grows", NULL, NULL, &error), -EAGAIN);
	CHECK_EQ(lade_pg_query(db, "select * from grows", NULL, NULL, &error), 0);
	lade_pg_close(db);
}

IN_LOOP_OF_ITS_OWN(an_unused_connection_is_closed)
{
	struct lade_pg *db = OPEN(.idle_ns = lade_ms(5).ns);

	CHECK_EQ(integer_of(db, "select 1"), 1);
	CHECK_EQ(lade_pg_stats(db).connections, 1);
	while (lade_pg_stats(db).connections)
		CHECK_EQ(lade_sleep(lade_ms(1)), 0);
	CHECK_EQ(integer_of(db, "select 2"), 2);
	lade_pg_close(db);
}

IN_LOOP_OF_ITS_OWN(who_reads_only_cannot_write)
{
	struct lade_pg *db = OPEN(.read_only = true);

	CHECK_EQ(lade_pg_query(db, "create table never (id int)", NULL, NULL, &error), -EIO);
	CHECK_STR(error.sqlstate, "25006");
	lade_pg_close(db);
}

IN_LOOP_OF_ITS_OWN(a_table_is_described_with_its_types_and_keys)
{
	struct lade_pg *db = OPEN(.idle_ns = 0);
	struct lade_pg_table t;

	NEED_EQ(run(db, "drop table if exists \"Odd Name\""), 0);
	NEED_EQ(run(db, "create table \"Odd Name\" (id bigint generated always as identity,"
			" part int not null, price numeric(10,2) default 0, n text,"
			" twice int generated always as (part * 2) stored,"
			" primary key (part, id))"),
		0);
	NEED_EQ(run(db, "create unique index on \"Odd Name\" (n)"), 0);
	NEED_EQ(run(db, "create unique index on \"Odd Name\" (price) where part > 0"), 0);
	NEED_EQ(lade_pg_describe(db, "\"Odd Name\"", &t, &error), 0);
	CHECK_STR(t.name, "public.\"Odd Name\"");
	CHECK_EQ(t.n_columns, 5);
	CHECK(t.columns[0].generated && t.columns[0].not_null);
	CHECK(t.columns[1].not_null && !t.columns[1].preset);
	CHECK_STR(t.columns[2].type, "numeric(10,2)");
	CHECK_STR(t.columns[2].preset, "0");
	CHECK(!t.columns[2].not_null);
	CHECK(t.columns[4].generated);
	CHECK_EQ(t.n_keys, 2);
	CHECK(t.keys[0].primary && t.keys[0].n == 2);
	CHECK_EQ(t.keys[0].columns[0], 1);
	CHECK_EQ(t.keys[0].columns[1], 0);
	CHECK_EQ(t.keys[1].columns[0], 3);
	CHECK_EQ(lade_pg_table_find(&t, "price"), 2);
	CHECK_EQ(lade_pg_table_find(&t, "nosuch"), -1);
	lade_pg_table_done(&t);
	CHECK_EQ(lade_pg_describe(db, "nosuch", &t, &error), -ENOENT);
	lade_pg_close(db);
}

int main(void)
{
	conninfo = getenv("LADE_TEST_POSTGRES");
	if (!conninfo) {
		printf("1..0 # SKIP LADE_TEST_POSTGRES does not say where a server is\n");
		return 0;
	}
	TAP(values_come_back_as_they_went);
	TAP(a_batch_goes_as_arrays_and_comes_in_order);
	TAP(what_is_written_anew_reads_as_postgres_prints_it);
	TAP(a_call_is_one_transaction_and_its_failure_has_a_place);
	TAP(a_commit_that_fails_is_the_place_behind_the_last);
	TAP(calls_in_one_pipeline_are_answered_in_order_and_fail_alone);
	TAP(faults_are_sorted_by_their_sqlstate);
	TAP(a_deadlock_passes_for_one_of_the_two);
	TAP(who_may_not_in_is_told_so_without_secrets);
	TAP(an_address_that_cannot_be_read_is_einval_without_its_words);
	TAP(a_server_that_is_not_there_passes_and_is_tried_again_after_a_pause);
	TAP(a_host_is_looked_up_off_the_loop);
	TAP(a_connection_that_is_cut_is_passing_and_the_next_call_has_another);
	TAP(a_deadline_ends_the_query_on_the_server_as_well);
	TAP(a_cancel_wherever_it_comes_loses_no_connection);
	TAP(calls_wait_for_a_place_and_too_many_are_refused);
	TAP(no_more_connections_than_allowed_are_made);
	TAP(an_answer_over_its_limit_is_the_datas_fault);
	TAP(arguments_over_the_databases_limit_are_not_sent);
	TAP(statements_stay_prepared_up_to_a_limit);
	TAP(a_plan_that_the_table_outgrew_passes);
	TAP(an_unused_connection_is_closed);
	TAP(who_reads_only_cannot_write);
	TAP(a_table_is_described_with_its_types_and_keys);
	return tap_done();
}
