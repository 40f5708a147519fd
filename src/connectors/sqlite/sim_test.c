/* SPDX-License-Identifier: MIT */
/* sim_test.c - SQLite on the simulated files: what is written is there, and nowhere else; a disk
 * that fails, or is full, loses nothing that was committed. */

#include <lade/blocking.h>
#include <lade/io.h>
#include <lade/scope.h>
#include <lade/sqlite.h>

#include "core/io_priv.h"
#include "tap.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define LIMIT_NS INT64_C(5000000000)
#define ROWS 6

static void (*body)(void);
static uint64_t trace; /* hash of the last run's */

static int root(void)
{
	body();
	return 0;
}
LADE_TASK_VOID(root)

static void simulate(const char *seed, const char *settings, void (*function)(void))
{
	struct root_task task = root_task();
	struct lade_loop *loop;

	setenv("LADE_SEED", seed, 1);
	setenv("LADE_SIM", settings, 1);
	body = function;
	CHECK_EQ(lade_loop_new(&(struct lade_loop_config){ .backend = "sim" }, &loop), 0);
	CHECK_EQ(lade_loop_run(loop, &task), 0);
	trace = lade_sim_trace_hash(loop);
	lade_loop_free(loop);
}

static const struct lade_sqlite_column columns[] = { { "id", { LADE_INTEGER, false } },
						     { "text", { LADE_TEXT, false } } };
static const char *db = "sim_test.db";

static int open_writer(struct lade_sqlite_writer **ret, struct lade_sqlite_table **ret_table,
		       struct lade_sqlite_error *error)
{
	const struct lade_sqlite_config config = { .path = db, .write = true, .create = true };
	const struct lade_sqlite_table_config table = {
		.name = "t", .columns = columns, .n_columns = 2, .create = true
	};
	int rc = lade_sqlite_writer_new(&config, true, ret, error);

	if (rc == 0)
		rc = lade_sqlite_writer_table(*ret, &table, ret_table, error);
	if (rc < 0)
		*ret = lade_sqlite_writer_free(*ret);
	return rc;
}

/* Writes row @i and moves the offset from @i to @i + 1. */
static int write_row(struct lade_sqlite_writer *writer, struct lade_sqlite_table *table,
		     int64_t epoch, int64_t i, struct lade_sqlite_error *error)
{
	const struct lade_datum cells[] = { lade_datum_integer(i), lade_datum_text("row", 3) };
	const struct lade_sqlite_part part = { table, cells, 1, NULL };
	const struct lade_sqlite_offset lane = { .pipeline = "p", .topic = "t", .epoch = epoch,
						 .from = i, .to = i + 1, .cluster = "c" };

	return lade_sqlite_writer_write(writer, &part, 1, &lane, 1, LIMIT_NS, error);
}

/* Claims the lane and writes all rows from where it was left. */
static int write_rest(struct lade_sqlite_error *error)
{
	const struct lade_sqlite_offset lane = { .pipeline = "p", .topic = "t", .cluster = "c" };
	struct lade_sqlite_writer *writer = NULL;
	struct lade_sqlite_table *table = NULL;
	struct lade_sqlite_stored stored = { 0 };
	int rc = open_writer(&writer, &table, error);

	if (rc == 0)
		rc = lade_sqlite_writer_claim(writer, &lane, "me", LIMIT_NS, &stored, error);
	for (int64_t i = stored.next_offset; rc == 0 && i < ROWS; i++)
		rc = write_row(writer, table, stored.epoch, i, error);
	lade_sqlite_writer_free(writer);
	return rc;
}

/* The number of rows, and of different ones. */
static int count(int64_t ret[2], struct lade_sqlite_error *error)
{
	const struct lade_sqlite_query_config config = {
		.db = { .path = db },
		.sql = "select b.i, (select count(*) from t), (select count(distinct id) from t"
		       " where text = 'row' and id between 0 and 5) from batch b",
	};
	struct lade_sqlite_query *query = NULL;
	struct lade_sqlite_result result;
	int rc = lade_sqlite_query_new(&config, &query, error);

	lade_sqlite_result_init(&result, &config);
	if (rc == 0)
		rc = lade_sqlite_query_ask(query, &(struct lade_sqlite_batch){ .rows = 1 },
					   LIMIT_NS, &result, error);
	if (rc == 0) {
		ret[0] = lade_sqlite_row(&result, 0)[0].integer;
		ret[1] = lade_sqlite_row(&result, 0)[1].integer;
	}
	lade_sqlite_result_done(&result);
	lade_sqlite_query_free(query);
	return rc;
}

static void write_and_count(void)
{
	struct lade_sqlite_error error = { .text = "" };
	int64_t rows[2] = { 0, 0 };
	struct stat st;

	CHECK_EQ(write_rest(&error), 0);
	CHECK_STR(error.text, "");
	CHECK_EQ(count(rows, &error), 0);
	CHECK_EQ(rows[0], ROWS);
	CHECK_EQ(rows[1], ROWS);
	CHECK_EQ(lade_file_stat_path(db, &st), 0);
	CHECK(st.st_size > 0);
	/* The last one to close leaves the database alone. */
	CHECK_EQ(lade_file_stat_path("sim_test.db-wal", &st), -ENOENT);
	CHECK(access(db, F_OK) < 0);
}

static void a_database_is_kept_in_the_simulated_files_and_nowhere_else(void)
{
	simulate("1", "", write_and_count);
	simulate("2", "cut=900", write_and_count);
}

static void the_same_seed_gives_the_same_trace(void)
{
	uint64_t first;

	simulate("7", "", write_and_count);
	first = trace;
	simulate("7", "", write_and_count);
	CHECK_EQ(trace, first);
	simulate("8", "", write_and_count);
	CHECK(trace != first);
}

/* A real database with its log, as a writer that was killed leaves it. */
static void read_the_real_one(void)
{
	struct lade_sqlite_error error = { .text = "" };
	int64_t rows[2] = { 0, 0 };

	CHECK_EQ(count(rows, &error), 0);
	CHECK_STR(error.text, "");
	CHECK_EQ(rows[0], 3);
	/* What is written here stays here. */
	CHECK_EQ(write_rest(&error), 0);
	CHECK_EQ(count(rows, &error), 0);
	CHECK_EQ(rows[0], 3 + ROWS);
}

static void a_real_database_is_read_with_its_log_and_not_changed(void)
{
	char folder[] = "/tmp/lade-sim-XXXXXX", path[64], command[512];
	struct stat before, after;

	CHECK(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/real.db", folder);
	snprintf(command, sizeof(command),
		 "python3 -c \"import os, sqlite3\n"
		 "d = sqlite3.connect('%s')\n"
		 "d.execute('pragma journal_mode = wal')\n"
		 "d.execute('create table t (id integer, text text)')\n"
		 "d.executemany('insert into t values (?, ?)', [(7, 'x')] * 3)\n"
		 "d.commit()\n"
		 "os._exit(0)\"", path);
	CHECK_EQ(system(command), 0);
	CHECK_EQ(stat(path, &before), 0);
	db = path;
	simulate("1", "", read_the_real_one);
	db = "sim_test.db";
	CHECK_EQ(stat(path, &after), 0);
	CHECK_EQ(after.st_size, before.st_size);
	CHECK_EQ(after.st_mtim.tv_nsec, before.st_mtim.tv_nsec);
	snprintf(command, sizeof(command), "rm -r %s", folder);
	CHECK_EQ(system(command), 0);
}

/* Two connections to one file; a lock is not waited for, because nobody could give it back. */
static void lock_each_other_out(void)
{
	struct lade_sqlite_writer *one = NULL, *two = NULL;
	struct lade_sqlite_table *t1, *t2;
	struct lade_sqlite_error error = { .text = "" };
	const struct lade_sqlite_offset lane = { .pipeline = "p", .topic = "t", .cluster = "c" };
	struct lade_sqlite_stored stored = { 0 };
	int64_t rows[2] = { 0, 0 };

	CHECK_EQ(open_writer(&one, &t1, &error), 0);
	CHECK_EQ(open_writer(&two, &t2, &error), 0);
	CHECK_EQ(lade_sqlite_writer_claim(one, &lane, "one", LIMIT_NS, &stored, &error), 0);
	CHECK_EQ(write_row(one, t1, stored.epoch, 0, &error), 0);
	/* The other one sees it at once, and takes the lane over. */
	CHECK_EQ(lade_sqlite_writer_claim(two, &lane, "two", LIMIT_NS, &stored, &error), 0);
	CHECK_EQ(stored.next_offset, 1);
	CHECK_EQ(write_row(one, t1, stored.epoch - 1, 1, &error), -ESTALE);
	CHECK_EQ(write_row(two, t2, stored.epoch, 1, &error), 0);
	CHECK_EQ(count(rows, &error), 0);
	CHECK_EQ(rows[0], 2);
	lade_sqlite_writer_free(one);
	CHECK_EQ(write_row(two, t2, stored.epoch, 2, &error), 0);
	lade_sqlite_writer_free(two);
	CHECK_EQ(count(rows, &error), 0);
	CHECK_EQ(rows[1], 3);
}

static void connections_to_one_file_share_its_locks_and_its_log(void)
{
	simulate("1", "", lock_each_other_out);
	simulate("2", "cut=900", lock_each_other_out);
}

/* Each call that fails is made again; in the end each row is there once. */
static void write_on_a_bad_disk(void)
{
	struct lade_sqlite_error error;
	int64_t rows[2] = { 0, 0 };
	int tries = 0, rc;

	while ((rc = write_rest(&error)) < 0 && tries++ < 2000)
		CHECK(rc == -EAGAIN || rc == -EIO || rc == -ENOMEM);
	CHECK_EQ(rc, 0);
	while ((rc = count(rows, &error)) < 0 && tries++ < 4000)
		;
	CHECK_EQ(rc, 0);
	CHECK_EQ(rows[0], ROWS);
	CHECK_EQ(rows[1], ROWS);
}

static void a_disk_that_fails_now_and_then_loses_and_doubles_nothing(void)
{
	for (int seed = 1; seed <= 60; seed++) {
		char text[8];

		snprintf(text, sizeof(text), "%d", seed);
		simulate(text, seed % 2 ? "io_error=10" : "io_error=40,cut=700",
			 write_on_a_bad_disk);
	}
}

static void fill_the_disk(void)
{
	struct lade_sqlite_error error = { .text = "" };

	CHECK_EQ(write_rest(&error), -EAGAIN);
	CHECK_EQ(error.fault, LADE_SQLITE_PASSING);
}

static void a_full_disk_is_passing(void)
{
	simulate("1", "disk_bytes=20000", fill_the_disk);
}

static void open_long_names(void)
{
	static char name[1100];
	struct lade_sqlite_error error;

	for (int i = 0; i < 500; i++)
		strcat(name, "n/");
	db = name;
	CHECK_EQ(write_rest(&error), 0);
	strcat(name, "123456789/123456789/1234");
	CHECK_EQ(write_rest(&error), -EAGAIN);
	db = "sim_test.db";
}

static void a_name_of_more_than_1024_bytes_cannot_be_opened(void)
{
	simulate("1", "", open_long_names);
}

/* A sort that does not fit into SQLite's cache goes into a file without a name. */
static void sort_much(void)
{
	const struct lade_sqlite_query_config config = {
		.db = { .path = ":memory:" },
		.sql = "with recursive n(k) as (select 1 union all select k + 1 from n"
		       " where k < 60000) select b.i, (select max(x) from (select hex(zeroblob(60))"
		       " || (k * 7919 % 60000) as x from n order by x limit 50000)) from batch b",
	};
	struct lade_sqlite_query *query = NULL;
	struct lade_sqlite_error error = { .text = "" };
	struct lade_sqlite_result result;

	CHECK_EQ(lade_sqlite_query_new(&config, &query, &error), 0);
	CHECK_STR(error.text, "");
	lade_sqlite_result_init(&result, &config);
	CHECK_EQ(lade_sqlite_query_ask(query, &(struct lade_sqlite_batch){ .rows = 1 },
				       4 * LIMIT_NS, &result, &error), 0);
	CHECK_STR(error.text, "");
	CHECK_EQ(result.rows, 1);
	lade_sqlite_result_done(&result);
	lade_sqlite_query_free(query);
}

static void what_does_not_fit_into_memory_goes_into_simulated_files_too(void)
{
	simulate("1", "", sort_much);
}

int main(void)
{
	TAP(a_database_is_kept_in_the_simulated_files_and_nowhere_else);
	TAP(the_same_seed_gives_the_same_trace);
	TAP(a_real_database_is_read_with_its_log_and_not_changed);
	TAP(connections_to_one_file_share_its_locks_and_its_log);
	TAP(a_disk_that_fails_now_and_then_loses_and_doubles_nothing);
	TAP(a_full_disk_is_passing);
	TAP(a_name_of_more_than_1024_bytes_cannot_be_opened);
	TAP(what_does_not_fit_into_memory_goes_into_simulated_files_too);
	return tap_done();
}
