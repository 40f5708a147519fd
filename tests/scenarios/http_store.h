/* SPDX-License-Identifier: MIT */
#ifndef TESTS_SCENARIOS_HTTP_STORE_H
#define TESTS_SCENARIOS_HTTP_STORE_H

/* http_store.h - what two programs work with: a service that is paid for each answer, a client that
 * waits for it, and a table in SQLite that remembers. */

#include <lade/explore.h>
#include <lade/http.h>
#include <lade/http_sim.h>
#include <lade/lade.h>
#include <lade/sqlite.h>

#include <stdio.h>
#include <string.h>

#define LIMIT_NS INT64_C(5000000000)

struct price {
	char text[64];
};

static struct lade_http_sim *services;
static struct lade_http *http;
static struct lade_sqlite_writer *writer;
static struct lade_sqlite_table *prices;
static struct lade_sqlite_query *known;

static const struct lade_sqlite_column price_columns[] = { { "id", { LADE_INTEGER, false } },
							    { "price", { LADE_TEXT, false } } };
static const char *const price_key[] = { "id" };
static const struct lade_sqlite_query_config known_query = {
	.db = { .path = "prices.db" },
	.sql = "select b.i, p.price from batch b join prices p on p.id = b.id",
	.columns = price_columns,
	.n_columns = 1,
};

static int start_world(struct lade_scope *world)
{
	const struct lade_sqlite_config db = { .path = "prices.db", .write = true, .create = true };
	const struct lade_sqlite_table_config table = {
		.name = "prices", .columns = price_columns, .n_columns = 2,
		.key = price_key, .n_key = 1, .create = true,
		.on_conflict = LADE_SQLITE_CONFLICT_UPDATE,
	};
	struct lade_sqlite_error error;
	int rc = lade_http_sim_new(world, "http://prices.example/\t200\t20\t17.50\n", &services,
				   NULL);

	if (rc == 0)
		rc = lade_http_new(&(struct lade_http_config){ 0 }, &http);
	if (rc == 0)
		rc = lade_sqlite_writer_new(&db, false, &writer, &error);
	if (rc == 0)
		rc = lade_sqlite_writer_table(writer, &table, &prices, &error);
	return rc == 0 ? lade_sqlite_query_new(&known_query, &known, &error) : rc;
}

static void stop_world(void)
{
	known = lade_sqlite_query_free(known);
	writer = lade_sqlite_writer_free(writer);
	http = lade_http_free(http);
	services = lade_http_sim_free(services);
}

/* fetch_price - asks the service, which is paid for it. */
static int fetch_price(int64_t id, struct price *ret)
{
	struct lade_http_reply reply;
	char url[64];
	int rc;

	snprintf(url, sizeof(url), "http://prices.example/%d", (int)id);
	rc = lade_http_fetch(http, &(struct lade_http_request){ .url = url }, &reply);
	if (rc == 0)
		snprintf(ret->text, sizeof(ret->text), "%s", reply.body);
	lade_http_reply_done(&reply);
	return rc;
}

/* store_price - remembers a price. */
static int store_price(int64_t id, const struct price *price)
{
	const struct lade_datum cells[] = {
		lade_datum_integer(id), lade_datum_text(price->text, (uint32_t)strlen(price->text))
	};
	const struct lade_sqlite_part part = { prices, cells, 1, NULL };
	struct lade_sqlite_error error;

	return lade_sqlite_writer_write(writer, &part, 1, NULL, 0, LIMIT_NS, &error);
}

/* find_price - what is remembered.  Returns 1, 0 or -errno. */
static int find_price(int64_t id, struct price *ret)
{
	const struct lade_datum cell = lade_datum_integer(id);
	const struct lade_sqlite_batch batch = { .rows = 1, .cells = &cell };
	struct lade_sqlite_result result;
	struct lade_sqlite_error error;
	int rc;

	lade_sqlite_result_init(&result, &known_query);
	rc = lade_sqlite_query_ask(known, &batch, LIMIT_NS, &result, &error);
	if (rc == 0 && result.rows == 1) {
		snprintf(ret->text, sizeof(ret->text), "%.*s",
			 (int)lade_sqlite_row(&result, 0)->len, lade_sqlite_row(&result, 0)->text);
		rc = 1;
	}
	lade_sqlite_result_done(&result);
	return rc;
}

/* send_price - the client is slow. */
static int send_price(const struct price *price)
{
	(void)price;
	return lade_sleep(lade_ms(1));
}

#endif
