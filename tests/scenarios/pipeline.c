/* SPDX-License-Identifier: MIT */
/* pipeline.c - lade run in the simulation, from a file through SQL and HTTP to SQLite, cancelled
 * everywhere: after the run that follows, the table has each row of the undisturbed run, once. */

#include "services/pipeline/engine.h"

#include <lade/blocking.h>
#include <lade/explore.h>
#include <lade/http_sim.h>
#include <lade/sqlite.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#define MESSAGES 5
#define LIMIT_NS INT64_C(5000000000)

static const char yaml_of[] = "config: 1\n"
			   "pipeline: places\n"
			   "databases: { main: \"sqlite:places.db\" }\n"
			   "source: { file: in.ndjson }\n"
			   "delivery: exactly_once\n"
			   "batch: { max_messages: 2, linger: 20ms, ahead: 2 }\n"
			   "concurrency: 2\n"
			   "steps:\n"
			   "  - name: city\n"
			   "    sql:\n"
			   "      db: main\n"
			   "      keys: { code: \"text .to\" }\n"
			   "      query: >\n"
			   "        select b.i, p.name as city\n"
			   "        from batch b join p on p.code = b.code\n"
			   "      into: .place\n"
			   "  - name: weather\n"
			   "    http:\n"
			   "      into: .weather\n"
			   "      timeout: 400ms\n"
			   "      %s\n"
			   "sink:\n"
			   "  - sqlite:\n"
			   "      path: out.db\n"
			   "      table: t\n"
			   "      create: true\n"
			   "      columns:\n"
			   "        id: \"integer .id\"\n"
			   "        city: \"text .place.city\"\n"
			   "        wind: \"integer? .weather.wind\"\n";

/* How the weather is asked for. */
static const char get[] = "get: \"http://weather.example/at/{.to}\"\n"
			  "      cache: { ttl: 30s }";
static const char post[] = "post: \"http://weather.example/at/{.to}\"";
static const char many[] = "post: \"http://weather.example/all\"\n"
			   "      batch: true\n"
			   "      body: json .to\n"
			   "      cache: { ttl: 30s }";
static const char *asking;

static const char services_table[] = "http://weather.example/at/\t200\t20\t{\"wind\": 3}\n"
				     "http://weather.example/at/OSL\t200\t20\t{\"wind\": 5}\n"
				     "http://weather.example/all\teach\t20\t{\"wind\": 3}\n";

static const char *const codes[] = { "OSL", "CPH", "LHR" };
static const char *const names[] = { "Oslo", "Copenhagen", "London" };

static struct lade_pipe_config *config;
static struct lade_http_sim *services;
static FILE *nowhere;

/* The world: messages, places, a weather service */

static int write_messages(void)
{
	char text[64 * MESSAGES];
	size_t len = 0;
	int rc, fd = lade_file_open("in.ndjson", O_WRONLY | O_CREAT, 0600);

	if (fd < 0)
		return fd;
	for (int i = 0; i < MESSAGES; i++)
		len += (size_t)snprintf(text + len, sizeof(text) - len,
					"{\"id\": %d, \"to\": \"%s\"}\n", i, codes[i % 3]);
	rc = lade_file_write(fd, text, len, 0);
	lade_file_close(fd);
	return rc;
}

static int write_places(void)
{
	static const struct lade_sqlite_column columns[] = { { "code", { LADE_TEXT, false } },
							     { "name", { LADE_TEXT, false } } };
	const struct lade_sqlite_config db = { .path = "places.db", .write = true, .create = true };
	const struct lade_sqlite_table_config described = { .name = "p",
							    .columns = columns,
							    .n_columns = 2,
							    .create = true };
	struct lade_sqlite_writer *writer = NULL;
	struct lade_sqlite_table *table = NULL;
	struct lade_sqlite_error error;
	struct lade_datum cells[6];
	int rc = lade_sqlite_writer_new(&db, false, &writer, &error);

	for (int i = 0; i < 3; i++) {
		cells[2 * i] = lade_datum_text(codes[i], 3);
		cells[2 * i + 1] = lade_datum_text(names[i], (uint32_t)strlen(names[i]));
	}
	if (rc == 0)
		rc = lade_sqlite_writer_table(writer, &described, &table, &error);
	if (rc == 0)
		rc = lade_sqlite_writer_write(writer,
					      &(struct lade_sqlite_part){ table, cells, 3, NULL },
					      1, NULL, 0, LIMIT_NS, &error);
	lade_sqlite_writer_free(writer);
	return rc;
}

static int make_world(struct lade_scope *world, const char *how)
{
	char yaml[2048];
	int rc;

	asking = how;
	snprintf(yaml, sizeof(yaml), yaml_of, how);
	config = lade_pipe_config_new();
	nowhere = fopen("/dev/null", "w");
	if (!config || !nowhere)
		return -ENOMEM;
	rc = lade_pipe_config_parse(config, "places.yaml", yaml, strlen(yaml));
	if (rc < 0)
		fputs(lade_pipe_config_problems(config, false), stdout);
	if (rc == 0)
		rc = write_messages();
	if (rc == 0)
		rc = write_places();
	return rc == 0 ? lade_http_sim_new(world, services_table, &services, NULL) : rc;
}

static int make_get(struct lade_scope *world)
{
	return make_world(world, get);
}

static int make_post(struct lade_scope *world)
{
	return make_world(world, post);
}

static int make_batch(struct lade_scope *world)
{
	return make_world(world, many);
}

static void end_world(void)
{
	services = lade_http_sim_free(services);
	config = lade_pipe_config_free(config);
	fclose(nowhere);
}

/* Each row is there once, and is what the undisturbed run makes of its message. */
static const struct lade_sqlite_column seen[] = { { "id", { LADE_INTEGER, false } },
						  { "city", { LADE_TEXT, false } },
						  { "wind", { LADE_INTEGER, false } } };
static const struct lade_sqlite_query_config right_rows = {
	.db = { .path = "out.db" },
	.sql = "select b.i, (select count(*) from t),"
	       " (select count(*) from t where id = b.id and city = b.city and wind = b.wind)"
	       " from batch b",
	.columns = seen,
	.n_columns = 3,
};

static int look(struct lade_sqlite_query *query, struct lade_sqlite_result *result)
{
	struct lade_datum cells[3 * MESSAGES];
	const struct lade_sqlite_batch batch = { .rows = MESSAGES, .cells = cells };
	struct lade_sqlite_error error;
	int rc;

	for (int i = 0; i < MESSAGES; i++) {
		const char *name = names[i % 3];

		cells[3 * i] = lade_datum_integer(i);
		cells[3 * i + 1] = lade_datum_text(name, (uint32_t)strlen(name));
		cells[3 * i + 2] = lade_datum_integer(asking != many && i % 3 == 0 ? 5 : 3);
	}
	rc = lade_sqlite_query_ask(query, &batch, LIMIT_NS, result, &error);
	if (rc == 0 && result->rows != MESSAGES)
		rc = -EBADMSG;
	for (uint32_t k = 0; rc == 0 && k < result->rows; k++) {
		const struct lade_datum *row = lade_sqlite_row(result, k);

		if (row[0].integer != MESSAGES || row[1].integer != 1)
			rc = -EBADMSG;
	}
	return rc;
}

static int the_undisturbed_rows_once(void)
{
	struct lade_sqlite_query *query = NULL;
	struct lade_sqlite_result result;
	struct lade_sqlite_error error;
	int rc = lade_sqlite_query_new(&right_rows, &query, &error);

	lade_sqlite_result_init(&result, &right_rows);
	if (rc == 0)
		rc = look(query, &result);
	lade_sqlite_result_done(&result);
	lade_sqlite_query_free(query);
	return rc;
}

static int run(void)
{
	int how = LADE_EXIT_FAILED, rc = lade_pipe_run(config, nowhere, false, true, &how);

	return rc < 0 ? rc : how == LADE_EXIT_DONE ? 0 : -EIO;
}

/* What was asked for and not written is asked for again: exactly once is what is written. */
LADE_EXPLORE(pipeline, .setup = make_get, .teardown = end_world, .asks_again = true,
	     .invariant = the_undisturbed_rows_once)
{
	return lade_within(lade_s(60), run());
}

LADE_EXPLORE(pipeline_posts, .setup = make_post, .teardown = end_world, .asks_again = true,
	     .invariant = the_undisturbed_rows_once)
{
	return lade_within(lade_s(60), run());
}

LADE_EXPLORE(pipeline_posts_batches, .setup = make_batch, .teardown = end_world,
	     .asks_again = true, .invariant = the_undisturbed_rows_once)
{
	return lade_within(lade_s(60), run());
}
