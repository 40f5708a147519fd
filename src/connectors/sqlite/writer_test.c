/* SPDX-License-Identifier: MIT */
/* writer_test.c - rows and offsets in one transaction, whatever comes between. */

#include "connectors/sqlite/sqlite_priv.h"

#include <errno.h>
#include <signal.h>
#include <sys/stat.h>

#include "base/alloc.h"
#include "tap.h"

#define SECOND INT64_C(1000000000)

static struct lade_sqlite_error error;
static struct lade_sqlite_writer *writer;
static struct lade_sqlite_table *table;
static char db_path[64];

static struct lade_datum text(const char *s)
{
	return lade_datum_text(s, (uint32_t)strlen(s));
}

static void remove_db(void)
{
	char path[80];

	unlink(db_path);
	snprintf(path, sizeof(path), "%s-wal", db_path);
	unlink(path);
	snprintf(path, sizeof(path), "%s-shm", db_path);
	unlink(path);
}

/* A database with one table that @schema makes, open for writing. */
static void begin(const char *schema)
{
	struct lade_sqlite_config config = { .path = db_path, .create = true,
					     .busy_ns = SECOND / 50 };

	writer = lade_sqlite_writer_close(writer);
	table = NULL;
	remove_db();
	CHECK_EQ(lade_sqlite_writer_open(&config, &writer, &error), 0);
	CHECK_EQ(lade_sqlite_exec(lade_sqlite_writer_db(writer), schema, &error), 0);
}

static int open_table(struct lade_sqlite_table_config config)
{
	error.text[0] = '\0';
	return lade_sqlite_table_open(writer, &config, &table, &error);
}

static int write_rows(const struct lade_datum *cells, uint32_t rows)
{
	struct lade_sqlite_part part = { table, cells, rows, NULL };

	return lade_sqlite_write(writer, &part, 1, NULL, 0, 10 * SECOND, &error);
}

/* The answer of a query as text: cells with commas, rows with semicolons. */
static const char *asked(const char *sql)
{
	static char said[1024];
	sqlite3_stmt *statement;
	sqlite3 *db;
	size_t n = 0;

	said[0] = '\0';
	sqlite3_open(db_path, &db);
	sqlite3_prepare_v2(db, sql, -1, &statement, NULL);
	while (sqlite3_step(statement) == SQLITE_ROW) {
		for (int c = 0; c < sqlite3_column_count(statement); c++) {
			const char *cell = (const char *)sqlite3_column_text(statement, c);

			n += (size_t)snprintf(said + n, sizeof(said) - n, "%s%s", c ? "," : "",
					      cell ? cell : "null");
		}
		n += (size_t)snprintf(said + n, sizeof(said) - n, ";");
	}
	sqlite3_finalize(statement);
	sqlite3_close(db);
	return said;
}

static void values_of_every_type_arrive(void)
{
	struct lade_datum row[7] = { lade_datum_integer(INT64_MIN), lade_datum_double(0.5),
				     text("it's \"ok\""), lade_datum_json("{\"a\":1}", 7),
				     lade_datum_null(), lade_datum_integer(1),
				     lade_datum_integer(1500000) };

	row[5].type = LADE_BOOLEAN;
	row[6].type = LADE_TIMESTAMP;
	begin("create table t(a integer, b real, c text, d text, e text, f integer, g text)");
	CHECK_EQ(open_table((struct lade_sqlite_table_config){ .name = "t" }), 0);
	CHECK_EQ(lade_sqlite_table_columns(table), 7);
	CHECK_EQ(write_rows(row, 1), 0);
	CHECK_STR(asked("select * from t"), "-9223372036854775808,0.5,it's \"ok\",{\"a\":1},null,1,"
					    "1970-01-01T00:00:01.500000Z;");
	CHECK_STR(asked("select typeof(a), typeof(b), typeof(c), typeof(f) from t"),
		  "integer,real,text,integer;");
	CHECK_STR(asked("pragma journal_mode"), "wal;");
}

static void columns_are_read_from_the_table(void)
{
	begin("create table t(id integer primary key, Name varchar(10), r double, x, b boolean,"
	      " g generated always as (id + 1))");
	CHECK_EQ(open_table((struct lade_sqlite_table_config){ .name = "T" }), 0);
	CHECK_EQ(lade_sqlite_table_columns(table), 5);
	CHECK_STR(lade_sqlite_table_column(table, 1)->name, "Name");
	CHECK_EQ(lade_sqlite_table_column(table, 0)->want.type, LADE_INTEGER);
	CHECK_EQ(lade_sqlite_table_column(table, 1)->want.type, LADE_TEXT);
	CHECK_EQ(lade_sqlite_table_column(table, 2)->want.type, LADE_DOUBLE);
	CHECK_EQ(lade_sqlite_table_column(table, 3)->want.type, LADE_ABSENT);
	CHECK_EQ(lade_sqlite_table_column(table, 4)->want.type, LADE_ABSENT);
}

static const struct lade_sqlite_column chosen[] = {
	{ "ID", { LADE_INTEGER, false } },
	{ "note", { LADE_TEXT, true } },
};
static const char *const key[] = { "id" };

static void chosen_columns_are_matched_and_a_missing_one_is_named(void)
{
	static const struct lade_sqlite_column wrong[] = { { "nope", { LADE_TEXT, true } } };
	struct lade_sqlite_table_config config = { .name = "t", .columns = chosen, .n_columns = 2 };
	struct lade_datum row[2] = { lade_datum_integer(7), text("x") };

	begin("create table t(note text, other text, id integer)");
	CHECK_EQ(open_table(config), 0);
	CHECK_EQ(write_rows(row, 1), 0);
	CHECK_STR(asked("select id, note, other from t"), "7,x,null;");
	config.columns = wrong;
	config.n_columns = 1;
	CHECK_EQ(open_table(config), -EIO);
	CHECK_STR(error.text, "the table t has no column nope; it has note, other, id");
}

static void a_missing_table_is_made_or_explained(void)
{
	struct lade_sqlite_table_config config = { .name = "new \"one\"", .columns = chosen,
						   .n_columns = 2, .key = key, .n_key = 1 };
	struct lade_datum row[2] = { lade_datum_integer(7), lade_datum_null() };

	begin("select 1");
	CHECK_EQ(open_table(config), -EIO);
	CHECK(strstr(error.text, "say create: true, or: create table \"new \"\"one\"\"\" (\"ID\""
				 " integer not null, \"note\" text, primary key (\"id\"))"));
	CHECK_EQ(open_table((struct lade_sqlite_table_config){ .name = "t" }), -EIO);
	CHECK(strstr(error.text, "has no table t; make it"));
	config.create = true;
	CHECK_EQ(open_table(config), 0);
	CHECK_EQ(open_table(config), 0);
	CHECK_EQ(write_rows(row, 1), 0);
	CHECK_STR(asked("select * from \"new \"\"one\"\"\""), "7,null;");
}

static void names_cannot_break_out_of_their_quotes(void)
{
	static const struct lade_sqlite_column odd[] = {
		{ "a\") values (1); drop table keep; --", { LADE_TEXT, true } },
	};
	struct lade_sqlite_table_config config = { .name = "t\"; drop table keep; --",
						   .columns = odd, .n_columns = 1, .create = true };
	struct lade_datum row[1] = { text("'); drop table keep; --") };

	begin("create table keep(x)");
	CHECK_EQ(open_table(config), 0);
	CHECK_EQ(write_rows(row, 1), 0);
	CHECK_STR(asked("select count(*) from keep"), "0;");
	CHECK_STR(asked("select * from \"t\"\"; drop table keep; --\""),
		  "'); drop table keep; --;");
}

static struct lade_sqlite_table_config upsert(enum lade_sqlite_conflict on_conflict,
					      const char *version)
{
	return (struct lade_sqlite_table_config){ .name = "t", .key = key, .n_key = 1,
						  .on_conflict = on_conflict, .version = version };
}

static void an_upsert_replaces_ignores_or_compares(void)
{
	static const char schema[] = "create table t(id integer primary key, v integer, w text)";
	struct lade_datum rows[9] = {
		lade_datum_integer(1), lade_datum_integer(5), text("a"),
		lade_datum_integer(1), lade_datum_integer(3), text("b"),
		lade_datum_integer(2), lade_datum_integer(1), text("c"),
	};

	begin(schema);
	CHECK_EQ(open_table(upsert(LADE_SQLITE_CONFLICT_UPDATE, NULL)), 0);
	CHECK_EQ(write_rows(rows, 3), 0);
	CHECK_STR(asked("select * from t"), "1,3,b;2,1,c;");
	begin(schema);
	CHECK_EQ(open_table(upsert(LADE_SQLITE_CONFLICT_NOTHING, NULL)), 0);
	CHECK_EQ(write_rows(rows, 3), 0);
	CHECK_STR(asked("select * from t"), "1,5,a;2,1,c;");
	begin(schema);
	CHECK_EQ(open_table(upsert(LADE_SQLITE_CONFLICT_UPDATE, "v")), 0);
	CHECK_EQ(write_rows(rows, 3), 0);
	CHECK_STR(asked("select * from t"), "1,5,a;2,1,c;");
	begin(schema);
	CHECK_EQ(open_table(upsert(LADE_SQLITE_CONFLICT_ERROR, NULL)), 0);
	CHECK_EQ(write_rows(rows, 3), -EBADMSG);
	CHECK_EQ(error.row, 1);
	CHECK_STR(asked("select * from t"), "");
}

static void a_row_is_deleted_by_its_key_in_its_turn(void)
{
	struct lade_datum rows[12] = {
		lade_datum_integer(1), lade_datum_integer(5), text("a"),
		lade_datum_integer(2), { .type = LADE_NULL }, { .type = LADE_NULL },
		lade_datum_integer(2), lade_datum_integer(6), text("b"),
		lade_datum_integer(1), { .type = LADE_NULL }, { .type = LADE_NULL },
	};
	const bool deletes[4] = { false, true, false, true };
	struct lade_sqlite_table_config config = upsert(LADE_SQLITE_CONFLICT_UPDATE, NULL);
	struct lade_sqlite_part part = { NULL, rows, 4, deletes };

	begin("create table t(id integer primary key, v integer, w text); insert into t values"
	      " (2, 1, 'x'), (3, 1, 'x')");
	config.deletes = true;
	CHECK_EQ(open_table(config), 0);
	part.table = table;
	CHECK_EQ(lade_sqlite_write(writer, &part, 1, NULL, 0, 10 * SECOND, &error), 0);
	CHECK_STR(asked("select * from t"), "2,6,b;3,1,x;");
	config.n_key = 0;
	config.on_conflict = LADE_SQLITE_CONFLICT_ERROR;
	CHECK_EQ(open_table(config), -EIO);
	CHECK(strstr(error.text, "a key is needed"));
}

static void an_upsert_needs_a_key_that_is_one(void)
{
	static const char *const none[] = { "nope" };
	struct lade_sqlite_table_config config = upsert(LADE_SQLITE_CONFLICT_UPDATE, NULL);

	begin("create table t(id integer, v integer)");
	CHECK_EQ(open_table(config), -EIO);
	CHECK(strstr(error.text, "does not match any PRIMARY KEY or UNIQUE"));
	config.key = none;
	CHECK_EQ(open_table(config), -EIO);
	CHECK(strstr(error.text, "key column nope is not among"));
	config.n_key = 0;
	CHECK_EQ(open_table(config), -EIO);
	CHECK(strstr(error.text, "needs a key"));
	config = upsert(LADE_SQLITE_CONFLICT_UPDATE, "nope");
	CHECK_EQ(open_table(config), -EIO);
	CHECK(strstr(error.text, "version column nope"));
}

static void a_bad_row_is_named_and_nothing_is_written(void)
{
	struct lade_datum rows[6] = {
		lade_datum_integer(1), text("a"), lade_datum_integer(2), lade_datum_null(),
		lade_datum_integer(3), text("c"),
	};

	begin("create table t(id integer, v text not null check (length(v) < 5))");
	CHECK_EQ(open_table((struct lade_sqlite_table_config){ .name = "t" }), 0);
	CHECK_EQ(write_rows(rows, 3), -EBADMSG);
	CHECK_EQ(error.fault, LADE_SQLITE_DATA);
	CHECK_EQ(error.part, 0);
	CHECK_EQ(error.row, 1);
	CHECK(strstr(error.text, "NOT NULL constraint failed: t.v"));
	CHECK_STR(asked("select count(*) from t"), "0;");
	rows[3] = text("too long");
	CHECK_EQ(write_rows(rows, 3), -EBADMSG);
	CHECK(strstr(error.text, "CHECK constraint failed"));
	rows[3] = lade_datum_integer(INT64_MAX);
	rows[3].type = LADE_TIMESTAMP;
	CHECK_EQ(write_rows(rows, 3), -EBADMSG);
	CHECK(strstr(error.text, "years 0000 to 9999"));
	rows[3] = text("b");
	CHECK_EQ(write_rows(rows, 3), 0);
	CHECK_STR(asked("select group_concat(id) from t"), "1,2,3;");
}

static void a_fault_that_shows_at_the_commit_blames_no_row(void)
{
	struct lade_datum row[1] = { lade_datum_integer(5) };

	begin("pragma foreign_keys = 1; create table p(id integer primary key);"
	      "create table t(p references p(id) deferrable initially deferred)");
	CHECK_EQ(open_table((struct lade_sqlite_table_config){ .name = "t" }), 0);
	CHECK_EQ(write_rows(row, 1), -EBADMSG);
	CHECK_EQ(error.part, -1);
	CHECK_EQ(error.row, -1);
	CHECK(!error.unsure);
	CHECK_STR(asked("select count(*) from t"), "0;");
	CHECK_EQ(write_rows(row, 0), 0);
}

static void a_locked_database_is_waited_for_and_then_passing(void)
{
	struct lade_datum row[1] = { lade_datum_integer(5) };
	sqlite3 *other;

	begin("create table t(a)");
	CHECK_EQ(open_table((struct lade_sqlite_table_config){ .name = "t" }), 0);
	sqlite3_open(db_path, &other);
	sqlite3_exec(other, "begin immediate", NULL, NULL, NULL);
	CHECK_EQ(write_rows(row, 1), -EAGAIN);
	CHECK_EQ(error.fault, LADE_SQLITE_PASSING);
	CHECK(strstr(error.text, "database is locked; another program holds the database"));
	sqlite3_exec(other, "commit", NULL, NULL, NULL);
	CHECK_EQ(write_rows(row, 1), 0);
	sqlite3_close(other);
	CHECK_STR(asked("select * from t"), "5;");
}

static void a_full_disk_is_passing_and_leaves_nothing_behind(void)
{
	static char big[100000];
	struct lade_datum rows[2] = { text("small"), lade_datum_text(big, sizeof(big)) };

	memset(big, 'x', sizeof(big));
	begin("create table t(a); pragma max_page_count = 10");
	CHECK_EQ(open_table((struct lade_sqlite_table_config){ .name = "t" }), 0);
	CHECK_EQ(write_rows(rows, 2), -EAGAIN);
	CHECK(strstr(error.text, "make room on the disk"));
	CHECK_STR(asked("select count(*) from t"), "0;");
	CHECK_EQ(write_rows(rows, 1), 0);
}

static void a_database_that_may_not_be_written_says_so(void)
{
	struct lade_sqlite_config config = { .path = "/proc/version" };
	struct lade_sqlite_writer *none = NULL;

	CHECK(lade_sqlite_writer_open(&config, &none, &error) < 0);
	config.path = "/nonexistent/x.db";
	CHECK_EQ(lade_sqlite_writer_open(&config, &none, &error), -EAGAIN);
	CHECK(strstr(error.text, "may this user read and write it and its folder?"));
	config.path = "/tmp/lade-no-such-file.db";
	CHECK_EQ(lade_sqlite_writer_open(&config, &none, &error), -EAGAIN);
	CHECK(!none);
}

static struct lade_sqlite_offset lane(int64_t epoch, int64_t from, int64_t to)
{
	return (struct lade_sqlite_offset){ "p", "in.ndjson", 0, epoch, from, to, "1:2:abc" };
}

static int write_at(struct lade_sqlite_offset offset, int64_t value)
{
	struct lade_datum row[1] = { lade_datum_integer(value) };
	struct lade_sqlite_part part = { table, row, 1, NULL };

	return lade_sqlite_write(writer, &part, 1, &offset, 1, 10 * SECOND, &error);
}

static void begin_offsets(void)
{
	begin("create table t(a)");
	CHECK_EQ(open_table((struct lade_sqlite_table_config){ .name = "t" }), 0);
	CHECK_EQ(lade_sqlite_offsets_open(writer, &error), 0);
}

static void a_claim_begins_a_lane_and_raises_its_epoch(void)
{
	struct lade_sqlite_offset o = lane(0, 0, 100);
	struct lade_sqlite_stored stored;

	begin_offsets();
	CHECK_EQ(lade_sqlite_offsets_read(writer, &o, SECOND, &stored, &error), -ENOENT);
	CHECK_EQ(lade_sqlite_offsets_claim(writer, &o, "me", SECOND, &stored, &error), 0);
	CHECK_EQ(stored.next_offset, 100);
	CHECK_EQ(stored.epoch, 1);
	o.to = 5;
	o.cluster = "other";
	CHECK_EQ(lade_sqlite_offsets_claim(writer, &o, "you", SECOND, &stored, &error), 0);
	CHECK_EQ(stored.next_offset, 100);
	CHECK_EQ(stored.epoch, 2);
	CHECK_STR(stored.owner, "you");
	CHECK_STR(stored.cluster, "1:2:abc");
	CHECK_EQ(lade_sqlite_offsets_open(writer, &error), 0);
}

static void rows_and_offset_move_together(void)
{
	struct lade_sqlite_offset o = lane(0, 0, 0);
	struct lade_sqlite_stored stored;

	begin_offsets();
	CHECK_EQ(lade_sqlite_offsets_claim(writer, &o, "me", SECOND, &stored, &error), 0);
	CHECK_EQ(write_at(lane(1, 0, 10), 1), 0);
	CHECK_EQ(write_at(lane(1, 10, 25), 2), 0);
	CHECK_EQ(lade_sqlite_offsets_read(writer, &o, SECOND, &stored, &error), 0);
	CHECK_EQ(stored.next_offset, 25);
	CHECK_STR(asked("select group_concat(a) from t"), "1,2;");
}

static void a_fenced_writer_writes_nothing(void)
{
	struct lade_sqlite_offset o = lane(0, 0, 0);
	struct lade_sqlite_stored stored;

	begin_offsets();
	CHECK_EQ(lade_sqlite_offsets_claim(writer, &o, "me", SECOND, &stored, &error), 0);
	CHECK_EQ(lade_sqlite_offsets_claim(writer, &o, "you", SECOND, &stored, &error), 0);
	CHECK_EQ(write_at(lane(1, 0, 10), 1), -ESTALE);
	CHECK_EQ(error.fault, LADE_SQLITE_FENCED);
	CHECK(strstr(error.text, "under epoch 1"));
	CHECK_EQ(write_at(lane(2, 5, 10), 1), -ESTALE);
	CHECK_STR(asked("select count(*) from t"), "0;");
	CHECK_EQ(write_at(lane(2, 0, 10), 1), 0);
	CHECK_EQ(write_at(lane(2, 0, 10), 1), -ESTALE);
	CHECK_STR(asked("select count(*) from t"), "1;");
}

static void one_fenced_lane_of_two_stops_both(void)
{
	struct lade_sqlite_offset claims[2] = { lane(0, 0, 0), lane(0, 0, 0) };
	struct lade_sqlite_offset lanes[2] = { lane(1, 0, 10), lane(1, 0, 10) };
	struct lade_datum row[1] = { lade_datum_integer(1) };
	struct lade_sqlite_part part = { table, row, 1, NULL };
	struct lade_sqlite_stored stored;

	begin_offsets();
	part.table = table;
	claims[1].part = lanes[1].part = 1;
	CHECK_EQ(lade_sqlite_offsets_claim(writer, &claims[0], "me", SECOND, &stored, &error), 0);
	CHECK_EQ(lade_sqlite_offsets_claim(writer, &claims[1], "me", SECOND, &stored, &error), 0);
	CHECK_EQ(lade_sqlite_write(writer, &part, 1, lanes, 2, SECOND, &error), 0);
	lanes[0].from = lanes[1].from = 10;
	lanes[0].to = lanes[1].to = 20;
	CHECK_EQ(lade_sqlite_offsets_claim(writer, &claims[1], "you", SECOND, &stored, &error), 0);
	CHECK_EQ(lade_sqlite_write(writer, &part, 1, lanes, 2, SECOND, &error), -ESTALE);
	CHECK_STR(asked("select sum(next_offset) from lade_offsets"), "20;");
	CHECK_STR(asked("select count(*) from t"), "1;");
}

static void a_bad_row_moves_no_offset(void)
{
	struct lade_sqlite_offset o = lane(0, 0, 0);
	struct lade_sqlite_stored stored;

	begin("create table t(a check (a < 10))");
	CHECK_EQ(open_table((struct lade_sqlite_table_config){ .name = "t" }), 0);
	CHECK_EQ(lade_sqlite_offsets_open(writer, &error), 0);
	CHECK_EQ(lade_sqlite_offsets_claim(writer, &o, "me", SECOND, &stored, &error), 0);
	CHECK_EQ(write_at(lane(1, 0, 10), 11), -EBADMSG);
	CHECK_EQ(lade_sqlite_offsets_read(writer, &o, SECOND, &stored, &error), 0);
	CHECK_EQ(stored.next_offset, 0);
	CHECK_EQ(write_at(lane(1, 0, 10), 1), 0);
}

static void offsets_of_a_newer_lade_are_left_alone(void)
{
	struct lade_sqlite_offset o = lane(0, 0, 0);
	struct lade_sqlite_stored stored;

	begin_offsets();
	CHECK_EQ(lade_sqlite_exec(
			 lade_sqlite_writer_db(writer),
			 "insert into lade_offsets values ('p', 'in.ndjson', 0, 7, 3, 'x', 'y',"
			 " 2)",
			 &error),
		 0);
	CHECK_EQ(lade_sqlite_offsets_claim(writer, &o, "me", SECOND, &stored, &error), -EIO);
	CHECK(strstr(error.text, "newer lade"));
	CHECK_STR(asked("select epoch, owner from lade_offsets"), "3,x;");
}

static void two_tables_share_one_transaction(void)
{
	struct lade_datum good[1] = { lade_datum_integer(1) }, bad[1] = { lade_datum_null() };
	struct lade_sqlite_part parts[2] = { { .cells = good, .rows = 1 },
					     { .cells = bad, .rows = 1 } };

	begin("create table t(a); create table u(b not null)");
	CHECK_EQ(open_table((struct lade_sqlite_table_config){ .name = "t" }), 0);
	parts[0].table = table;
	CHECK_EQ(open_table((struct lade_sqlite_table_config){ .name = "u" }), 0);
	parts[1].table = table;
	CHECK_EQ(lade_sqlite_write(writer, parts, 2, NULL, 0, SECOND, &error), -EBADMSG);
	CHECK_EQ(error.part, 1);
	CHECK_EQ(error.row, 0);
	CHECK_STR(asked("select count(*) from t"), "0;");
	parts[1].cells = good;
	CHECK_EQ(lade_sqlite_write(writer, parts, 2, NULL, 0, SECOND, &error), 0);
	CHECK_STR(asked("select (select count(*) from t), (select count(*) from u)"), "1,1;");
}

static void a_stopped_writer_writes_nothing(void)
{
	struct lade_datum row[1] = { lade_datum_integer(5) };

	begin("create table t(a)");
	CHECK_EQ(open_table((struct lade_sqlite_table_config){ .name = "t" }), 0);
	lade_sqlite_stop(lade_sqlite_writer_db(writer));
	CHECK_EQ(write_rows(row, 1), -ECANCELED);
	lade_sqlite_ready(lade_sqlite_writer_db(writer));
	CHECK_EQ(write_rows(row, 1), 0);
	CHECK_STR(asked("select count(*) from t"), "1;");
}

/* A child that writes row n with offset n to n + 1 for ever, and tells how far it is. */
static void write_for_ever(int64_t from, int64_t epoch, int to)
{
	for (int64_t n = from;; n++) {
		if (write_at(lane(epoch, n, n + 1), n) != 0)
			_exit(1);
		if (write(to, "x", 1) != 1)
			_exit(2);
	}
}

/* Starts the child, waits until it has told of @rows, and kills it.  Returns what it told. */
static int64_t run_and_kill(int64_t rows, int64_t *expected)
{
	struct lade_sqlite_config config = { .path = db_path, .create = true };
	struct lade_sqlite_offset o = lane(0, 0, 0);
	struct lade_sqlite_stored stored;
	int64_t told = 0;
	int fds[2], status;
	char c;
	pid_t pid;

	CHECK_EQ(lade_sqlite_writer_open(&config, &writer, &error), 0);
	CHECK_EQ(open_table((struct lade_sqlite_table_config){ .name = "t" }), 0);
	CHECK_EQ(lade_sqlite_offsets_open(writer, &error), 0);
	CHECK_EQ(lade_sqlite_offsets_claim(writer, &o, "me", SECOND, &stored, &error), 0);
	*expected = stored.next_offset;
	writer = lade_sqlite_writer_close(writer);
	CHECK_EQ(pipe(fds), 0);
	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		if (lade_sqlite_writer_open(&config, &writer, &error) < 0 ||
		    open_table((struct lade_sqlite_table_config){ .name = "t" }) < 0 ||
		    lade_sqlite_offsets_open(writer, &error) < 0)
			_exit(3);
		write_for_ever(stored.next_offset, stored.epoch, fds[1]);
	}
	close(fds[1]);
	while (told < rows && read(fds[0], &c, 1) == 1)
		told++;
	kill(pid, SIGKILL);
	while (read(fds[0], &c, 1) == 1)
		told++;
	close(fds[0]);
	waitpid(pid, &status, 0);
	CHECK(WIFSIGNALED(status));
	return told;
}

static void a_writer_killed_at_any_moment_leaves_rows_and_offset_in_step(void)
{
	int64_t acknowledged = 0, before;

	begin_offsets();
	writer = lade_sqlite_writer_close(writer);
	for (int kills = 0; kills < 12; kills++) {
		int64_t told = run_and_kill(1 + kills * 3 % 7, &before);

		CHECK(before >= acknowledged);
		acknowledged = before + told;
	}
	CHECK_STR(asked("select count(*) = (select next_offset from lade_offsets),"
			" count(*) = count(distinct a), count(*) = max(a) + 1 from t"), "1,1,1;");
	CHECK(acknowledged > 12);
}

static int open_write_close(void)
{
	struct lade_sqlite_config config = { .path = db_path, .create = true };
	struct lade_sqlite_table_config of = { .name = "t", .columns = chosen, .n_columns = 2,
					       .key = key, .n_key = 1, .create = true,
					       .on_conflict = LADE_SQLITE_CONFLICT_UPDATE };
	struct lade_datum row[2] = { lade_datum_integer(7), text("x") };
	int rc = lade_sqlite_writer_open(&config, &writer, &error);

	if (rc == 0)
		rc = open_table(of);
	if (rc == 0)
		rc = write_rows(row, 1);
	writer = lade_sqlite_writer_close(writer);
	return rc;
}

static void memory_that_is_out_is_reported(void)
{
	long n = 1;

	writer = lade_sqlite_writer_close(writer);
	for (;; n++) {
		int rc;

		remove_db();
		lade_alloc_fail_at(n);
		rc = open_write_close();
		if (lade_alloc_fail_at(0) > 0)
			break;
		CHECK_EQ(rc, -ENOMEM);
	}
	CHECK(n > 6);
}

int main(void)
{
	strcpy(db_path, "/tmp/lade-writer-XXXXXX");
	close(mkstemp(db_path));
	TAP(values_of_every_type_arrive);
	TAP(columns_are_read_from_the_table);
	TAP(chosen_columns_are_matched_and_a_missing_one_is_named);
	TAP(a_missing_table_is_made_or_explained);
	TAP(names_cannot_break_out_of_their_quotes);
	TAP(an_upsert_replaces_ignores_or_compares);
	TAP(a_row_is_deleted_by_its_key_in_its_turn);
	TAP(an_upsert_needs_a_key_that_is_one);
	TAP(a_bad_row_is_named_and_nothing_is_written);
	TAP(a_fault_that_shows_at_the_commit_blames_no_row);
	TAP(a_locked_database_is_waited_for_and_then_passing);
	TAP(a_full_disk_is_passing_and_leaves_nothing_behind);
	TAP(a_database_that_may_not_be_written_says_so);
	TAP(a_claim_begins_a_lane_and_raises_its_epoch);
	TAP(rows_and_offset_move_together);
	TAP(a_fenced_writer_writes_nothing);
	TAP(one_fenced_lane_of_two_stops_both);
	TAP(a_bad_row_moves_no_offset);
	TAP(offsets_of_a_newer_lade_are_left_alone);
	TAP(two_tables_share_one_transaction);
	TAP(a_stopped_writer_writes_nothing);
	TAP(a_writer_killed_at_any_moment_leaves_rows_and_offset_in_step);
	TAP(memory_that_is_out_is_reported);
	lade_sqlite_writer_close(writer);
	remove_db();
	return tap_done();
}
