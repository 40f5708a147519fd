/* SPDX-License-Identifier: MIT */
/* query_test.c - a batch as a table: what a query sees, returns, and may not do. */

#include "connectors/sqlite/sqlite_priv.h"

#include <errno.h>

#include "backend.h"
#include "base/alloc.h"
#include "base/buf.h"

#define SECOND INT64_C(1000000000)
#define ROWS 4

static struct lade_sqlite_error error;
static struct lade_sqlite_query *query;
static struct lade_sqlite_result result;
static char db_path[64];

static const struct lade_sqlite_column columns[] = {
	{ "origin", { LADE_TEXT, true } },     { "delay", { LADE_INTEGER, true } },
	{ "ratio", { LADE_DOUBLE, true } },    { "late", { LADE_BOOLEAN, true } },
	{ "seen", { LADE_TIMESTAMP, true } },  { "raw", { LADE_JSON, true } },
};
#define COLUMNS 6

static struct lade_datum cells[ROWS * COLUMNS];
static struct lade_datum messages[ROWS];
static const struct lade_sqlite_batch batch = { ROWS, messages, cells };

static struct lade_datum text(const char *s)
{
	return lade_datum_text(s, (uint32_t)strlen(s));
}

static struct lade_datum json(const char *s)
{
	return lade_datum_json(s, (uint32_t)strlen(s));
}

static void make_batch(void)
{
	static const char *const origins[ROWS] = { "SFO", "LAX", "NIL", "SFO" };
	static const char *const docs[ROWS] = {
		"{\"x\":1,\"id\":9007199254740993}", "{\"x\":\"two\"}", "{\"x\":null}",
		"{\"x\":18446744073709551615}",
	};

	for (int r = 0; r < ROWS; r++) {
		struct lade_datum *c = &cells[r * COLUMNS];

		c[0] = text(origins[r]);
		c[1] = lade_datum_integer(10 * r);
		c[2] = lade_datum_double(0.5 * r);
		c[3] = lade_datum_integer(r & 1);
		c[3].type = LADE_BOOLEAN;
		c[4] = lade_datum_integer(r * INT64_C(1000000));
		c[4].type = LADE_TIMESTAMP;
		c[5] = json("[1,{\"a\":2}]");
		messages[r] = json(docs[r]);
	}
	cells[2 * COLUMNS + 1] = lade_datum_null();
}

static void make_database(void)
{
	sqlite3 *db;

	strcpy(db_path, "/tmp/lade-query-XXXXXX");
	close(mkstemp(db_path));
	sqlite3_open(db_path, &db);
	sqlite3_exec(db, "create table airports(iata text primary key, city text, rank integer);"
			 "insert into airports values ('SFO', 'San Francisco', 1),"
			 "('LAX', 'Los Angeles', 2);"
			 "create table visits(iata text, who text);"
			 "insert into visits values ('SFO', 'a'), ('SFO', 'b'), ('LAX', 'c');"
			 "create table odd(b blob, huge real);"
			 "insert into odd values (x'00ff', 9e999)", NULL, NULL, NULL);
	sqlite3_close(db);
}

static struct lade_sqlite_query_config config_of(const char *sql,
						 enum lade_sqlite_query_kind kind)
{
	return (struct lade_sqlite_query_config){
		.db = { .path = kind == LADE_SQLITE_ENRICH ? db_path : ":memory:" },
		.kind = kind,
		.sql = sql,
		.columns = columns,
		.n_columns = COLUMNS,
	};
}

static int open_config(const struct lade_sqlite_query_config *config)
{
	query = lade_sqlite_query_close(query);
	lade_sqlite_result_done(&result);
	lade_sqlite_result_init(&result, config);
	error.text[0] = '\0';
	return lade_sqlite_query_open(config, &query, &error);
}

static int open_query(const char *sql, enum lade_sqlite_query_kind kind)
{
	struct lade_sqlite_query_config config = config_of(sql, kind);

	return open_config(&config);
}

static int run_batch(void)
{
	return lade_sqlite_query_run(query, &batch, 10 * SECOND, &result, &error);
}

static const char *cell_text(const struct lade_datum *d)
{
	static char said[4][128];
	static int turn;
	char *to = said[turn++ & 3];

	if (d->type == LADE_TEXT)
		snprintf(to, 128, "%.*s", (int)d->len, d->text);
	else if (d->type == LADE_INTEGER)
		snprintf(to, 128, "%lld", (long long)d->integer);
	else if (d->type == LADE_DOUBLE)
		snprintf(to, 128, "%g", d->real);
	else
		snprintf(to, 128, "%s", lade_datum_type_name(d->type));
	return to;
}

/* All rows in their order: i:cell,cell;... */
static const char *answer(const char *sql, enum lade_sqlite_query_kind kind)
{
	static char all[1024];
	int n = 0;

	if (open_query(sql, kind) < 0 || run_batch() < 0)
		return error.text;
	all[0] = '\0';
	for (uint32_t k = 0; k < result.rows; k++) {
		const struct lade_datum *row = lade_sqlite_row(&result, k);

		n += snprintf(all + n, sizeof(all) - (size_t)n, "%u:", result.i[result.order[k]]);
		for (unsigned c = 0; c < result.columns; c++)
			n += snprintf(all + n, sizeof(all) - (size_t)n, "%s%s", c ? "," : "",
				      cell_text(&row[c]));
		n += snprintf(all + n, sizeof(all) - (size_t)n, ";");
	}
	return all;
}

static const char *enriched(const char *sql)
{
	return answer(sql, LADE_SQLITE_ENRICH);
}

static const char *transformed(const char *sql)
{
	return answer(sql, LADE_SQLITE_TRANSFORM);
}

static void one_query_answers_for_the_whole_batch(void)
{
	CHECK_STR(enriched("select b.i, a.city, a.rank from batch b left join airports a"
			   " on a.iata = b.origin"),
		  "0:San Francisco,1;1:Los Angeles,2;2:null,null;3:San Francisco,1;");
	CHECK_STR(enriched("select b.i, a.city from airports a join batch b on b.origin = a.iata"),
		  "0:San Francisco;1:Los Angeles;3:San Francisco;");
}

static void rows_are_put_to_their_messages_in_whatever_order_they_come(void)
{
	CHECK_STR(enriched("select a.city, b.i from batch b join airports a on a.iata = b.origin"
			   " order by b.i desc"),
		  "0:San Francisco;1:Los Angeles;3:San Francisco;");
	CHECK_EQ(result.first[0], 0);
	CHECK_EQ(result.first[1], 1);
	CHECK_EQ(result.first[2], 2);
	CHECK_EQ(result.first[3], 2);
	CHECK_EQ(result.first[4], 3);
}

static void two_rows_for_one_message_are_an_error_unless_many_are_wanted(void)
{
	static const char sql[] =
		"select b.i, v.who from batch b join visits v on v.iata = b.origin";
	struct lade_sqlite_query_config config = config_of(sql, LADE_SQLITE_ENRICH);

	CHECK_EQ(open_config(&config), 0);
	CHECK_EQ(run_batch(), -EBADMSG);
	CHECK_EQ(error.fault, LADE_SQLITE_DATA);
	CHECK(strstr(error.text, "2 rows for one message (i = 0)"));
	CHECK(strstr(error.text, "many: true"));
	config.many = true;
	CHECK_EQ(open_config(&config), 0);
	CHECK_EQ(run_batch(), 0);
	CHECK_EQ(result.first[1] - result.first[0], 2);
	CHECK_STR(cell_text(lade_sqlite_row(&result, 1)), "b");
	CHECK_EQ(result.first[3] - result.first[2], 0);
}

static void every_type_arrives_as_what_it_is(void)
{
	CHECK_STR(transformed("select i, typeof(i)||typeof(m)||typeof(origin)||typeof(delay)||"
			      "typeof(ratio)||typeof(late)||typeof(seen)||typeof(raw) as value"
			      " from batch where i = 1"),
		  "1:integertexttextintegerrealintegertexttext;");
	CHECK_STR(transformed("select i, seen as value from batch where i = 2"),
		  "2:1970-01-01T00:00:02.000000Z;");
	CHECK_STR(transformed("select i, delay is null as value from batch"), "0:0;1:0;2:1;3:0;");
	CHECK_STR(transformed("select i, ratio as value from batch"), "0:0;1:0.5;2:1;3:1.5;");
}

static void a_message_can_be_read_by_path(void)
{
	CHECK_STR(transformed("select i, m->>'$.x' as value from batch"),
		  "0:1;1:two;2:null;3:1.84467e+19;");
	CHECK_STR(transformed("select i, m->'$.x' as value from batch"),
		  "0:1;1:\"two\";2:null;3:18446744073709551615;");
	CHECK_STR(transformed("select i, m->'$.id' as value from batch where i = 0"),
		  "0:9007199254740993;");
	CHECK_STR(transformed("select i, json_object('m', m, 'raw', raw) as value from batch"
			      " where i = 3"),
		  "3:{\"m\":{\"x\":18446744073709551615},\"raw\":[1,{\"a\":2}]};");
	CHECK(lade_sqlite_query_uses_message(query));
	CHECK_STR(transformed("select i, (select sum(value) from json_each('[1,2]')) as value"
			      " from batch where i = 0"), "0:3;");
	CHECK(!lade_sqlite_query_uses_message(query));
}

static void a_message_that_was_not_made_is_an_error_and_no_crash(void)
{
	struct lade_sqlite_batch without = { ROWS, NULL, cells };

	CHECK_EQ(open_query("select i, m as value from batch", LADE_SQLITE_TRANSFORM), 0);
	CHECK_EQ(lade_sqlite_query_run(query, &without, SECOND, &result, &error), -EBADMSG);
	CHECK(strstr(error.text, "m was not made"));
}

static void a_transform_filters_and_multiplies(void)
{
	CHECK_STR(transformed("select i, origin as value from batch where delay > 5"),
		  "1:LAX;3:SFO;");
	CHECK_STR(transformed("select b.i, n.value as value from batch b, json_each('[1,2]') n"
			      " where b.i > 1 order by n.value, b.i"), "2:1;2:2;3:1;3:2;");
	CHECK_STR(transformed("select i, origin as value, delay as key from batch where i = 1"),
		  "1:LAX,10;");
	CHECK(lade_sqlite_query_per_message(query));
	CHECK_EQ(lade_sqlite_query_find(query, "key"), 1);
	CHECK_EQ(lade_sqlite_query_find(query, "topic"), -1);
}

static void a_transform_without_i_is_an_aggregate(void)
{
	CHECK_STR(transformed("select origin as key, json_object('n', count(*)) as value from batch"
			      " group by origin order by origin"),
		  "0:LAX,{\"n\":1};0:NIL,{\"n\":1};0:SFO,{\"n\":2};");
	CHECK(!lade_sqlite_query_per_message(query));
	CHECK_EQ(result.first[1] - result.first[0], 3);
}

static void a_message_is_found_by_its_number(void)
{
	CHECK_STR(transformed("select b.i, a.i as value from batch b left join batch a"
			      " on a.i = b.i - 1"), "0:null;1:0;2:1;3:2;");
	CHECK_STR(transformed("select i, 1 as value from batch where i = 'x'"), "");
	CHECK_STR(transformed("select i, 1 as value from batch where i = 1.5"), "");
	CHECK_STR(transformed("select i, 1 as value from batch where i = null"), "");
	CHECK_STR(transformed("select i, 1 as value from batch where i = 99"), "");
	CHECK_STR(transformed("select i, 1 as value from batch where i = -1"), "");
	CHECK_STR(transformed("select i, 1 as value from batch where i = '2'"), "2:1;");
}

static void only_a_select_is_allowed(void)
{
	static const struct {
		const char *sql, *reason;
	} bad[] = {
		{ "insert into airports values ('a', 'b', 1)", "an INSERT airports" },
		{ "update airports set city = ''", "an UPDATE airports" },
		{ "delete from airports", "a DELETE" },
		{ "drop table airports", "only SELECT" },
		{ "create table x(y)", "only SELECT" },
		{ "attach '/tmp/x' as y", "an ATTACH" },
		{ "pragma journal_mode = delete", "a PRAGMA" },
		{ "select i, 1 as a from pragma_table_list, batch", "a PRAGMA" },
		{ "begin", "a transaction" },
		{ "with x as (select 1) insert into airports select 1, 2, 3 from x", "an INSERT" },
		{ "select b.i, load_extension('x') as a from batch b",
		  "the function load_extension" },
		{ "select b.i, a.city from batch b, airports a; drop table airports",
		  "another statement" },
		{ "select b.i, 1 as a from batch b; select 1", "another statement" },
		{ "explain select b.i, 1 as a from batch b", "is not a SELECT" },
		{ "", "is empty" },
		{ "-- nothing", "is empty" },
		{ "select b.i, ? as a from batch b", "parameters" },
		{ "select b.i, nope as a from batch b", "no such column: nope" },
		{ "select b.i, \"nope\" as a from batch b", "no such column" },
		{ "selec", "syntax error" },
		{ "select 1 as a", "does not return the column i" },
		{ "select i from batch", "nothing but i" },
		{ "select i, origin, origin from batch", "two columns named origin" },
		{ "select i, 1 as I, 2 as x from batch", "two columns named" },
	};

	for (size_t k = 0; k < sizeof(bad) / sizeof(*bad); k++) {
		CHECK_EQ(open_query(bad[k].sql, LADE_SQLITE_ENRICH), -EIO);
		CHECK_EQ(error.fault, LADE_SQLITE_FATAL);
		if (!strstr(error.text, bad[k].reason)) {
			printf("# %s\n", bad[k].sql);
			CHECK_STR(error.text, bad[k].reason);
		}
	}
	CHECK_EQ(open_query("select b.i, 1 as a from batch b; -- fine\n ; ", LADE_SQLITE_ENRICH),
		 0);
}

static void a_transform_has_its_own_columns(void)
{
	CHECK_EQ(open_query("select i, origin from batch", LADE_SQLITE_TRANSFORM), -EIO);
	CHECK(strstr(error.text, "column named value"));
	CHECK_EQ(open_query("select i, 1 as value, 2 as extra from batch", LADE_SQLITE_TRANSFORM),
		 -EIO);
	CHECK(strstr(error.text, "the column extra"));
}

static void a_name_of_a_column_cannot_break_out_of_its_quotes(void)
{
	static const struct lade_sqlite_column odd[] = {
		{ "a\" integer); drop table airports; --", { LADE_TEXT, true } },
		{ "select", { LADE_TEXT, true } },
	};
	struct lade_sqlite_query_config config =
		config_of("select i, \"select\" as value from batch", LADE_SQLITE_TRANSFORM);
	const struct lade_sqlite_batch two = { 1, NULL, cells };

	config.columns = odd;
	config.n_columns = 2;
	CHECK_EQ(open_config(&config), 0);
	CHECK_EQ(lade_sqlite_query_run(query, &two, SECOND, &result, &error), 0);
	CHECK_EQ(result.rows, 1);
}

static void what_json_cannot_say_is_a_data_error(void)
{
	CHECK(strstr(enriched("select b.i, o.b as x from batch b, odd o where b.i = 0"),
		     "use hex(x)"));
	CHECK(strstr(enriched("select b.i, o.huge as x from batch b, odd o where b.i = 0"),
		     "infinite"));
	CHECK_EQ(error.fault, LADE_SQLITE_DATA);
	CHECK(strstr(enriched("select b.i, cast(x'61ff' as text) as x from batch b where i = 0"),
		     "not UTF-8"));
	CHECK_EQ(error.fault, LADE_SQLITE_DATA);
	CHECK(strstr(enriched("select b.i + 100 as i, 1 as x from batch b"),
		     "is not the i of a message"));
	CHECK_EQ(error.fault, LADE_SQLITE_FATAL);
	CHECK(strstr(enriched("select null as i, 1 as x from batch b"),
		     "is not the i of a message"));
	CHECK(strstr(enriched("select 'a' as i, 1 as x from batch b"),
		     "is not the i of a message"));
}

static void a_failure_at_run_time_is_the_datas_fault(void)
{
	messages[1] = text("{broken");
	CHECK(strstr(transformed("select i, m->>'$.x' as value from batch"), "malformed JSON"));
	CHECK_EQ(error.fault, LADE_SQLITE_DATA);
	CHECK(strstr(
		transformed("select i, abs(-9223372036854775807 - i - 1 + i) as value from batch"),
		"integer overflow"));
	CHECK_EQ(error.fault, LADE_SQLITE_DATA);
	make_batch();
	CHECK_EQ(run_batch(), -EBADMSG);
}

static void a_table_that_is_dropped_is_the_databases_fault(void)
{
	sqlite3 *db;

	CHECK_EQ(open_query("select b.i, v.who from batch b join visits v on v.iata = b.origin"
			    " where b.i = 1", LADE_SQLITE_ENRICH), 0);
	CHECK_EQ(run_batch(), 0);
	sqlite3_open(db_path, &db);
	sqlite3_exec(db, "alter table visits rename to gone", NULL, NULL, NULL);
	CHECK_EQ(run_batch(), -EIO);
	CHECK_EQ(error.fault, LADE_SQLITE_FATAL);
	CHECK(strstr(error.text, "no such table: visits"));
	sqlite3_exec(db, "alter table gone rename to visits", NULL, NULL, NULL);
	sqlite3_close(db);
	CHECK_EQ(run_batch(), 0);
}

static void a_query_without_end_meets_its_limit_and_the_next_one_runs(void)
{
	CHECK_EQ(open_query("with recursive n(x) as (select 1 union all select x + 1 from n"
			    " where x > 0 or (select count(*) from batch) > 0)"
			    " select 0 as i, sum(x) as value from n", LADE_SQLITE_TRANSFORM), 0);
	CHECK_EQ(lade_sqlite_query_run(query, &batch, SECOND / 100, &result, &error), -EAGAIN);
	CHECK_EQ(error.fault, LADE_SQLITE_PASSING);
	CHECK(strstr(error.text, "took longer than its timeout"));
	CHECK_EQ(lade_sqlite_query_run(query, &batch, SECOND / 100, &result, &error), -EAGAIN);
}

static void stop_a_call(sqlite3_context *to, int argc, sqlite3_value **argv)
{
	(void)argc, (void)argv;
	lade_sqlite_stop(lade_sqlite_query_db(query));
	sqlite3_result_int(to, 1);
}

static void a_call_can_be_stopped_before_and_while_it_runs(void)
{
	CHECK_EQ(open_query("select i, 1 as value from batch", LADE_SQLITE_TRANSFORM), 0);
	lade_sqlite_stop(lade_sqlite_query_db(query));
	CHECK_EQ(run_batch(), -ECANCELED);
	lade_sqlite_ready(lade_sqlite_query_db(query));
	CHECK_EQ(run_batch(), 0);
	CHECK_EQ(open_query("with recursive n(x) as (select 1 union all select x + abs(x) * 0 + 1"
			    " from n) select 0 as i, sum(x) as value from n",
			    LADE_SQLITE_TRANSFORM),
		 0);
	sqlite3_create_function(lade_sqlite_query_db(query)->db, "abs", 1, SQLITE_UTF8, NULL,
				stop_a_call, NULL, NULL);
	CHECK_EQ(run_batch(), -ECANCELED);
	CHECK_EQ(error.fault, LADE_SQLITE_STOPPED);
}

/* A query without end, as a task asks it on the pool. */
static void stop_by_deadlines(void)
{
	for (int i = 0; i < 20; i++) {
		/* Where the deadline falls, before the call has begun or into it, differs. */
		CHECK_EQ(lade_within(lade_us(200 * i), lade_sqlite_query_ask(query, &batch,
									     20 * SECOND, &result,
									     &error)),
			 -ETIME);
		CHECK_EQ(error.fault, LADE_SQLITE_STOPPED);
		/* What is asked next is not told to stop: it meets its own limit. */
		CHECK_EQ(lade_sqlite_query_ask(query, &batch, SECOND / 1000, &result, &error),
			 -EAGAIN);
		CHECK_EQ(error.fault, LADE_SQLITE_PASSING);
	}
}

static void a_connection_whose_call_was_cancelled_is_made_ready_for_the_next(void)
{
	CHECK_EQ(open_query("with recursive n(x) as (select 1 union all select x + 1 from n)"
			    " select 0 as i, sum(x) as value from n",
			    LADE_SQLITE_TRANSFORM),
		 0);
	run_on("epoll", stop_by_deadlines);
}

/* A cleanup that has no budget left, and a query that it closes. */
static int slept;

static void sleep_and_close(void *unused)
{
	(void)unused;
	slept = lade_sleep(lade_s(3600));
	query = lade_sqlite_query_free(query);
}

static int closes_late(void)
{
	lade_defer(sleep_and_close, NULL);

	return lade_sleep(lade_s(3600));
}
LADE_TASK_VOID(closes_late)

static void cancel_who_closes_late(void)
{
	struct closes_late_task t = closes_late_task();
	int rc = 0;

	lade_scope(s, &rc, .policy = LADE_ALL, .cleanup = lade_ms(5)) {
		lade_start(&s, &t);
		CHECK_EQ(lade_yield(), 0);
		lade_cancel(&t);
	}
	CHECK_EQ(lade_status(&t), -ECANCELED);
}

static void when_the_cleanup_budget_is_gone_a_query_still_closes(void)
{
	CHECK_EQ(open_query("select i, 1 as value from batch", LADE_SQLITE_TRANSFORM), 0);
	run_on("epoll", cancel_who_closes_late);
	CHECK_EQ(slept, -ECANCELED);
	CHECK(!query);
}

static void an_answer_has_limits(void)
{
	struct lade_sqlite_query_config config =
		config_of("select b.i, c.origin as value from batch b, batch c, batch d",
			  LADE_SQLITE_TRANSFORM);

	config.rows_max = 10;
	CHECK_EQ(open_config(&config), 0);
	CHECK_EQ(run_batch(), -EBADMSG);
	CHECK(strstr(error.text, "more than 10 rows"));
	config.rows_max = 0;
	config.bytes_max = 64;
	CHECK_EQ(open_config(&config), 0);
	CHECK_EQ(run_batch(), -EBADMSG);
	CHECK(strstr(error.text, "longer than 64 bytes"));
}

/* A query of @n columns, the first of them i, with names of @len bytes. */
static int open_wide(int n, int len)
{
	struct lade_buf sql;
	int rc;

	lade_buf_init(&sql, 1 << 20);
	lade_buf_printf(&sql, "select i");
	for (int c = 1; c < n; c++)
		lade_buf_printf(&sql, ", 1 as c%0*d", len - 1, c);
	lade_buf_printf(&sql, " from batch");
	rc = open_query(lade_buf_str(&sql), LADE_SQLITE_ENRICH);
	lade_buf_done(&sql);
	return rc;
}

static void a_query_has_at_most_256_columns_with_names_of_255_bytes(void)
{
	CHECK_EQ(open_wide(256, 255), 0);
	CHECK_EQ(run_batch(), 0);
	CHECK_EQ(open_wide(257, 10), -EIO);
	CHECK_EQ(error.fault, LADE_SQLITE_FATAL);
	CHECK(strstr(error.text, "more than 256 columns"));
	CHECK_EQ(open_wide(2, 256), -EIO);
	CHECK(strstr(error.text, "no usable name"));
}

static void a_value_longer_than_128_mib_is_the_datas_fault(void)
{
	CHECK_EQ(open_query("select i, length(zeroblob(200000000)) as value from batch",
			    LADE_SQLITE_TRANSFORM),
		 0);
	CHECK_EQ(run_batch(), -EBADMSG);
	CHECK_EQ(error.fault, LADE_SQLITE_DATA);
}

static void a_result_is_used_again_and_again(void)
{
	CHECK_EQ(open_query("select b.i, c.origin as value from batch b, batch c, batch d, batch e",
			    LADE_SQLITE_TRANSFORM), 0);
	for (int n = 0; n < 3; n++) {
		CHECK_EQ(run_batch(), 0);
		CHECK_EQ(result.rows, ROWS * ROWS * ROWS * ROWS);
		CHECK_EQ(result.first[ROWS], result.rows);
	}
}

static void an_empty_batch_has_an_empty_answer(void)
{
	struct lade_sqlite_batch none = { 0 };

	CHECK_EQ(open_query("select i, m as value from batch", LADE_SQLITE_TRANSFORM), 0);
	CHECK_EQ(lade_sqlite_query_run(query, &none, SECOND, &result, &error), 0);
	CHECK_EQ(result.rows, 0);
	CHECK_EQ(open_query("select count(*) as value from batch", LADE_SQLITE_TRANSFORM), 0);
	CHECK_EQ(lade_sqlite_query_run(query, &none, SECOND, &result, &error), 0);
	CHECK_EQ(result.rows, 1);
}

static void a_database_that_cannot_be_used_says_what_to_do(void)
{
	struct lade_sqlite_query_config config =
		config_of("select b.i, 1 as a from batch b", LADE_SQLITE_ENRICH);
	char path[] = "/tmp/lade-not-a-db-XXXXXX";
	int fd = mkstemp(path);
	sqlite3 *db;

	config.db.path = "/nonexistent/x.db";
	CHECK_EQ(open_config(&config), -EAGAIN);
	CHECK(strstr(error.text, "/nonexistent/x.db"));
	CHECK(strstr(error.text, "does the file exist"));
	config.db.path = path;
	CHECK(write(fd, "this is a text and no database, by any means, at all, at all, at all, no,"
		    " it is not one, and it is more than a hundred bytes long", 125) > 0);
	CHECK_EQ(open_config(&config), -EIO);
	CHECK(strstr(error.text, "is this the right file?"));
	CHECK_EQ(ftruncate(fd, 0), 0);
	sqlite3_open(path, &db);
	sqlite3_exec(db, "create table Batch(x)", NULL, NULL, NULL);
	sqlite3_close(db);
	CHECK_EQ(open_config(&config), -EIO);
	CHECK(strstr(error.text, "has a table named batch"));
	close(fd);
	unlink(path);
}

static void memory_that_is_out_is_reported(void)
{
	struct lade_sqlite_query_config config =
		config_of("select b.i, c.origin as value from batch b, batch c, batch d, batch e",
			  LADE_SQLITE_TRANSFORM);
	long n = 1;

	query = lade_sqlite_query_close(query);
	for (;; n++) {
		int rc;

		lade_sqlite_result_done(&result);
		lade_sqlite_result_init(&result, &config);
		lade_alloc_fail_at(n);
		rc = lade_sqlite_query_open(&config, &query, &error);
		if (rc == 0)
			rc = run_batch();
		query = lade_sqlite_query_close(query);
		if (lade_alloc_fail_at(0) > 0)
			break;
		/* An arena does not say whether its limit or memory was out. */
		CHECK(rc == -ENOMEM || rc == -EBADMSG);
	}
	CHECK(n > 8);
}

int main(void)
{
	struct lade_sqlite_query_config config = config_of("", LADE_SQLITE_ENRICH);

	lade_sqlite_result_init(&result, &config);
	make_batch();
	make_database();
	TAP(one_query_answers_for_the_whole_batch);
	TAP(rows_are_put_to_their_messages_in_whatever_order_they_come);
	TAP(two_rows_for_one_message_are_an_error_unless_many_are_wanted);
	TAP(every_type_arrives_as_what_it_is);
	TAP(a_message_can_be_read_by_path);
	TAP(a_message_that_was_not_made_is_an_error_and_no_crash);
	TAP(a_transform_filters_and_multiplies);
	TAP(a_transform_without_i_is_an_aggregate);
	TAP(a_message_is_found_by_its_number);
	TAP(only_a_select_is_allowed);
	TAP(a_transform_has_its_own_columns);
	TAP(a_name_of_a_column_cannot_break_out_of_its_quotes);
	TAP(what_json_cannot_say_is_a_data_error);
	TAP(a_failure_at_run_time_is_the_datas_fault);
	TAP(a_table_that_is_dropped_is_the_databases_fault);
	TAP(a_query_without_end_meets_its_limit_and_the_next_one_runs);
	TAP(a_call_can_be_stopped_before_and_while_it_runs);
	TAP(a_connection_whose_call_was_cancelled_is_made_ready_for_the_next);
	TAP(when_the_cleanup_budget_is_gone_a_query_still_closes);
	TAP(an_answer_has_limits);
	TAP(a_query_has_at_most_256_columns_with_names_of_255_bytes);
	TAP(a_value_longer_than_128_mib_is_the_datas_fault);
	TAP(a_result_is_used_again_and_again);
	TAP(an_empty_batch_has_an_empty_answer);
	TAP(a_database_that_cannot_be_used_says_what_to_do);
	TAP(memory_that_is_out_is_reported);
	lade_sqlite_query_close(query);
	lade_sqlite_result_done(&result);
	unlink(db_path);
	return tap_done();
}
