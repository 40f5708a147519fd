/* SPDX-License-Identifier: MIT */
#ifndef EXAMPLES_DEPARTURES_H
#define EXAMPLES_DEPARTURES_H

/* departures.h - what batches.c works on: messages in bursts, places, a weather service. */

#include "line.h"

#include <lade/http.h>
#include <lade/sqlite.h>

/* A message: a flight leaves Oslo. */
struct departure {
	char flight[8];
	char to[4]; /* the airport's code */
};

LADE_CHANNEL(departure, struct departure)
LADE_STREAM(departure, struct departure)

/* feed - sends five messages at once and, after a pause, two more. */
static inline int feed(struct departure_channel *out)
{
	static const struct departure all[] = { { "LH 1", "CPH" }, { "LH 2", "MUC" },
						{ "LH 3", "CPH" }, { "LH 4", "LHR" },
						{ "LH 5", "MUC" }, { "LH 6", "CPH" },
						{ "LH 7", "LHR" } };
	int rc = 0;

	for (int i = 0; rc == 0 && i < 7; i++) {
		if (i == 5)
			rc = lade_sleep(lade_ms(200));
		if (rc == 0)
			rc = departure_send(out, all[i]);
	}
	departure_channel_close(out);
	return rc;
}
LADE_TASK_VOID(feed, (struct departure_channel *, out))

/* The query sees the batch as a table: i numbers its messages. */
static const struct lade_sqlite_column place_columns[] = { { "code", { LADE_TEXT, false } } };
static const struct lade_sqlite_query_config place_query = {
	.db = { .path = ":memory:" },
	.sql = "with place(code, city) as (values ('CPH', 'Copenhagen'), ('LHR', 'London'),"
	       " ('MUC', 'Munich')) select i, city from batch join place using (code)",
	.columns = place_columns,
	.n_columns = 1,
};

/* Reads a request to its empty line: who closes with something unread resets the connection. */
static inline int hear_request(int fd)
{
	struct lade_line_stream *in = lade_lines_of(fd, 0, 1, 0);
	struct lade_line line;
	bool over = false;
	int rc = 1;

	while (!over && (rc = lade_line_next(in, &line)) > 0) {
		over = line.len == 0;
		lade_line_drop(&line);
	}
	lade_line_stream_close(in);
	return rc > 0 ? 0 : rc < 0 ? rc : -ENODATA;
}

/* A weather service: answers each request with the same weather, after a while. */
static inline int answer_weather(int fd, int delay_ms)
{
	static const char reply[] = "HTTP/1.0 200 OK\r\n\r\nsnow";
	size_t done = 0;
	int rc = hear_request(fd);

	if (rc == 0)
		rc = lade_sleep(lade_ms(delay_ms));
	if (rc == 0)
		rc = lade_write_all(fd, reply, sizeof(reply) - 1, &done);
	lade_close(fd);
	return rc;
}
static inline void answer_weather_drop(int fd, int delay_ms)
{
	(void)delay_ms;
	lade_close(fd);
}
LADE_TASK_VOID_WITH(answer_weather, (.drop_args = answer_weather_drop), (int, fd), (int, delay_ms))

static inline int serve_weather(int listener, int delay_ms)
{
	int rc = 0, fd;

	lade_scope(s, &rc, .policy = LADE_ALL) {
		while ((rc = lade_accept(listener, &fd)) == 0)
			if ((rc = lade_spawn(&s, answer_weather_task(fd, delay_ms))) < 0)
				break;
	}
	return rc;
}
LADE_TASK_VOID(serve_weather, (int, listener), (int, delay_ms))

/* What the program has: messages, a database in memory, and two replicas of a weather service. */
struct services {
	struct departure_channel *messages; /* where they come in */
	struct feed_task source;	   /* who sends them */
	struct lade_sqlite_query *query;
	struct lade_sqlite_result found;   /* of the latest query */
	struct lade_http *http;		   /* the client */
	struct line urls[2];		   /* of the replicas */
	int fds[2];			   /* where they listen */
	struct serve_weather_task replicas[2]; /* the services themselves */
};

static inline int start_replica(struct lade_scope *scope, struct services *all, int i)
{
	struct line address;
	int rc = listen_here(&address, &all->fds[i]);

	snprintf(all->urls[i].text, sizeof(all->urls[i].text), "http://%.40s/oslo", address.text);
	all->replicas[i] = serve_weather_task(all->fds[i], i == 0 ? 300 : 5);
	if (rc == 0)
		lade_start_daemon(scope, &all->replicas[i]);
	return rc;
}

/* services_open - starts the source and the replicas, the first of which is slow. */
static inline int services_open(struct lade_scope *scope, struct services *all)
{
	struct lade_sqlite_error error = { .text = "" };
	int rc;

	*all = (struct services){ .fds = { -1, -1 } };
	lade_sqlite_result_init(&all->found, &place_query);
	rc = lade_sqlite_query_new(&place_query, &all->query, &error);
	if (error.text[0])
		fprintf(stderr, "%s\n", error.text);
	for (int i = 0; rc == 0 && i < 2; i++)
		rc = start_replica(scope, all, i);
	if (rc == 0)
		rc = lade_http_new(&(struct lade_http_config){ 0 }, &all->http);
	if (rc == 0)
		rc = departure_channel_new(0, &all->messages);
	if (rc < 0)
		return rc;
	all->source = feed_task(all->messages);
	lade_start(scope, &all->source);
	return 0;
}

/* services_close - closes what services_open opened, the replicas' scope having ended. */
static inline void services_close(struct services *all)
{
	lade_sqlite_result_done(&all->found);
	lade_sqlite_query_free(all->query);
	lade_http_free(all->http);
	departure_channel_free(all->messages);
	lade_close(all->fds[0]);
	lade_close(all->fds[1]);
}

/* print_batch - a line for the batch, and one for each of its messages. */
static inline void print_batch(const struct departure_batch *batch,
			       const struct lade_sqlite_result *found, const struct line *weather)
{
	printf("%zu flights, closed by %s\n", batch->len, lade_batch_reason_name(batch->reason));
	for (uint32_t i = 0; i < batch->len; i++) {
		const struct lade_datum *city = lade_sqlite_row(found, found->first[i]);

		printf("  %s to %.*s, %s in Oslo\n", batch->items[i].flight, (int)city->len,
		       city->text, weather->text);
	}
}

/* run_with_services - runs a function in a scope with all of this; the program's exit status. */
typedef int services_function(struct lade_scope *scope, struct services *all);

static inline int services_app(services_function *function)
{
	struct services all;
	int rc = 0;

	lade_scope(s, &rc) {
		rc = services_open(&s, &all);
		if (rc == 0)
			rc = function(&s, &all);
	}
	services_close(&all);
	return rc;
}
LADE_TASK_VOID(services_app, (services_function *, function))

static inline int run_with_services(services_function *function)
{
	return lade_main(lade_do(services_app, function));
}

#endif
