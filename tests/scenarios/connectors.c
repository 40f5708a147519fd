/* SPDX-License-Identifier: MIT */
/* connectors.c - each suspending call of SQLite and of the HTTP client, cancelled everywhere; the
 * database lies in the simulated files, and the service is a simulated one. */

#include <lade/explore.h>
#include <lade/http.h>
#include <lade/http_sim.h>
#include <lade/lade.h>
#include <lade/sqlite.h>

#include <errno.h>
#include <string.h>

#define ROWS 4
#define LIMIT_NS INT64_C(5000000000)
#define DB "store.db"

/* SQLite */

static const struct lade_sqlite_column columns[] = { { "id", { LADE_INTEGER, false } },
						     { "name", { LADE_TEXT, false } } };
static const char *const key[] = { "id" };

static int open_store(struct lade_sqlite_writer **ret, struct lade_sqlite_table **ret_table)
{
	const struct lade_sqlite_config config = { .path = DB, .write = true, .create = true };
	const struct lade_sqlite_table_config table = { .name = "t",
							.columns = columns,
							.n_columns = 2,
							.key = key,
							.n_key = 1,
							.create = true };
	struct lade_sqlite_error error;
	int rc = lade_sqlite_writer_new(&config, true, ret, &error);

	if (rc < 0)
		return rc;
	rc = lade_sqlite_writer_table(*ret, &table, ret_table, &error);
	if (rc < 0)
		*ret = lade_sqlite_writer_free(*ret);
	return rc;
}

/* One row of each transaction, and the position with it. */
static int write_rest(struct lade_sqlite_writer *writer, struct lade_sqlite_table *table)
{
	struct lade_sqlite_offset lane = { .pipeline = "p", .topic = "t", .cluster = "c" };
	struct lade_sqlite_error error;
	struct lade_sqlite_stored stored;
	int rc = lade_sqlite_writer_claim(writer, &lane, "me", LIMIT_NS, &stored, &error);

	for (int64_t i = stored.next_offset; rc == 0 && i < ROWS; i++) {
		const struct lade_datum cells[] = { lade_datum_integer(i),
						    lade_datum_text("a name", 6) };
		const struct lade_sqlite_part part = { table, cells, 1, NULL };

		lane.epoch = stored.epoch;
		lane.from = i;
		lane.to = i + 1;
		rc = lade_sqlite_writer_write(writer, &part, 1, &lane, 1, LIMIT_NS, &error);
	}
	return rc == 0 ? lade_sqlite_writer_read(writer, &lane, LIMIT_NS, &stored, &error) : rc;
}

static int write_store(void)
{
	struct lade_sqlite_writer *writer = NULL;
	struct lade_sqlite_table *table;
	int rc = open_store(&writer, &table);

	if (rc == 0)
		rc = write_rest(writer, table);
	lade_sqlite_writer_free(writer);
	return rc;
}
LADE_TASK_VOID(write_store)

static const struct lade_sqlite_query_config count_query = {
	.db = { .path = DB },
	.sql = "select b.i, (select count(*) from t), (select count(*) from t where id = b.id)"
	       " from batch b",
	.columns = columns,
	.n_columns = 1,
};

/* Asks for the rows; *ret_all is how many there are, *ret_found how many of 0 to ROWS - 1. */
static int count_rows(int64_t *ret_all, int64_t *ret_found)
{
	struct lade_datum ids[ROWS];
	const struct lade_sqlite_batch batch = { .rows = ROWS, .cells = ids };
	struct lade_sqlite_query *query = NULL;
	struct lade_sqlite_result result;
	struct lade_sqlite_error error;
	int rc = lade_sqlite_query_new(&count_query, &query, &error);

	for (int i = 0; i < ROWS; i++)
		ids[i] = lade_datum_integer(i);
	lade_sqlite_result_init(&result, &count_query);
	if (rc == 0)
		rc = lade_sqlite_query_ask(query, &batch, LIMIT_NS, &result, &error);
	for (uint32_t k = 0; rc == 0 && k < result.rows; k++) {
		*ret_all = lade_sqlite_row(&result, k)[0].integer;
		*ret_found += lade_sqlite_row(&result, k)[1].integer;
	}
	lade_sqlite_result_done(&result);
	lade_sqlite_query_free(query);
	return rc;
}

static int each_row_once(void)
{
	int64_t all = 0, found = 0;
	int rc = count_rows(&all, &found);

	return rc < 0 ? rc : all == ROWS && found == ROWS ? 0 : -EBADMSG;
}

LADE_EXPLORE(sqlite_write, .invariant = each_row_once)
{
	return lade_within(lade_s(20), write_store());
}

static int fill_store(struct lade_scope *world)
{
	(void)world;
	return write_store();
}

static int count_all(void)
{
	int64_t all = 0, found = 0;

	return count_rows(&all, &found);
}
LADE_TASK_VOID(count_all)

LADE_EXPLORE(sqlite_query, .setup = fill_store, .invariant = each_row_once)
{
	return lade_within(lade_s(20), count_all());
}

/* A reader sees the rows or waits; the writer goes on. */
LADE_EXPLORE(sqlite_both, .setup = fill_store, .invariant = each_row_once)
{
	return lade_join(lade_do(write_store), lade_do(count_all));
}

/* HTTP */

static struct lade_http_sim *services;
static struct lade_http *http;

static int start_services(struct lade_scope *world)
{
	return lade_http_sim_new(world,
				 "http://service/\t200\t20\thello\n"
				 "http://service/slow\t200\t3000\thello\n"
				 "http://service/drip\tdrip\t10\thello\n",
				 &services, NULL);
}

static void stop_services(void)
{
	services = lade_http_sim_free(services);
}

static int get(const char *url)
{
	struct lade_http_reply reply;
	int rc = lade_http_fetch(http, &(struct lade_http_request){ .url = url }, &reply);

	if (rc == 0)
		rc = reply.status == 200 && strcmp(reply.body, "hello") == 0 ? 0 : -EBADMSG;
	lade_http_reply_done(&reply);
	return rc;
}
typedef const char *address;
LADE_TASK_VOID(get, (address, url))

static int ask_services(void)
{
	int rc = lade_join(lade_do(get, "http://service/"), lade_do(get, "http://service/drip"));

	if (rc == 0)
		rc = lade_within(lade_ms(40), get("http://service/slow"));
	if (rc == -ETIME)
		rc = lade_race_ok(lade_do(get, "http://service/slow"),
				  lade_do(get, "http://service/"));
	return rc < 0 ? rc : 0;
}

LADE_EXPLORE(http_client, .setup = start_services, .teardown = stop_services)
{
	int rc = lade_http_new(&(struct lade_http_config){ 0 }, &http);

	if (rc < 0)
		return rc;
	rc = ask_services();
	http = lade_http_free(http);
	return rc;
}
