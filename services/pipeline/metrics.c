/* SPDX-License-Identifier: MIT */
/* metrics.c - the figures of a running pipeline, for Prometheus, and its health, over HTTP.
 *
 * DESIGN
 * One request a connection: a scraper comes every few seconds, and what ends by itself needs no
 * bookkeeping. The text is made anew for each request, from counters that the engine has anyway;
 * nothing is locked, because nothing else runs meanwhile.
 *
 * LIMITS  a request of 8 KiB in 5 s, an answer taken in 10 s, 1 s for the end, 1,000 lanes, 4 MiB
 * of text. */

#include "services/pipeline/metrics.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "services/pipeline/health.h"

#define REQUEST_MAX 8192	      /* bytes of a request's head */
#define TEXT_MAX ((size_t)4 << 20)    /* bytes of an answer */
#define LANES_MAX 1000		      /* lanes with figures of their own */
#define EVERY 4			      /* of the buckets of times every fourth has a line */

/* The text */

/* The two lines before the values of a metric. */
static void head(struct lade_json_out *out, const char *name, const char *type, const char *help)
{
	lade_pipe_put(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

/* A value of a label: backslash, quote and newline are escaped. */
static void put_label(struct lade_json_out *out, const char *label, const char *value)
{
	lade_pipe_put(out, "%s=\"", label);
	for (; *value; value++) {
		if (*value == '\n')
			lade_pipe_put(out, "\\n");
		else
			lade_pipe_put(out, *value == '"' || *value == '\\' ? "\\%c" : "%c", *value);
	}
	lade_pipe_put(out, "\"");
}

/* The labels of a value; @label NULL: only the pipeline's. What is open is closed by the caller. */
static void put_name(const struct lade_pipe_engine *e, struct lade_json_out *out,
		     const char *name, const char *label, const char *value)
{
	lade_pipe_put(out, "%s{", name);
	put_label(out, "pipeline", e->config->name);
	if (label) {
		lade_pipe_put(out, ",");
		put_label(out, label, value);
	}
}

static void put_value(const struct lade_pipe_engine *e, struct lade_json_out *out,
		      const char *name, const char *label, const char *value, double number)
{
	put_name(e, out, name, label, value);
	lade_pipe_put(out, "} %.17g\n", number);
}

static void put_times(const struct lade_pipe_engine *e, struct lade_json_out *out,
		      const char *name, const char *label, const char *value,
		      const struct lade_pipe_times *t)
{
	char full[80];
	uint64_t n = 0;

	snprintf(full, sizeof(full), "%s_bucket", name);
	for (int i = 0; i < LADE_TIME_BUCKETS; i++) {
		n += t->n[i];
		if (i % EVERY)
			continue;
		put_name(e, out, full, label, value);
		lade_pipe_put(out, ",le=\"%.9g\"} %" PRIu64 "\n",
			      lade_pipe_times_bound_us(i) / 1e6, n);
	}
	put_name(e, out, full, label, value);
	lade_pipe_put(out, ",le=\"+Inf\"} %" PRIu64 "\n", t->count);
	snprintf(full, sizeof(full), "%s_sum", name);
	put_value(e, out, full, label, value, (double)t->sum_ns / 1e9);
	snprintf(full, sizeof(full), "%s_count", name);
	put_value(e, out, full, label, value, (double)t->count);
}

static void put_sizes(const struct lade_pipe_engine *e, struct lade_json_out *out)
{
	const struct lade_pipe_stats *s = &e->stats;
	uint64_t n = 0;

	head(out, "lade_batch_messages", "histogram", "Messages of a batch.");
	for (int i = 0; i < LADE_SIZE_BUCKETS - 1; i++) {
		n += s->sizes[i];
		put_name(e, out, "lade_batch_messages_bucket", NULL, NULL);
		lade_pipe_put(out, ",le=\"%d\"} %" PRIu64 "\n", 1 << i, n);
	}
	put_name(e, out, "lade_batch_messages_bucket", NULL, NULL);
	lade_pipe_put(out, ",le=\"+Inf\"} %" PRIu64 "\n", s->batches);
	put_value(e, out, "lade_batch_messages_sum", NULL, NULL, (double)s->in);
	put_value(e, out, "lade_batch_messages_count", NULL, NULL, (double)s->batches);
	head(out, "lade_batches_total", "counter", "Batches, by what closed them.");
	for (int i = 0; i < LADE_BATCH_REASONS; i++)
		put_value(e, out, "lade_batches_total", "closed_by", lade_batch_reason_name(i),
			  (double)s->by_reason[i]);
}

/* A metric that has one value. */
struct single {
	const char *name, *type, *help;
	double value;
};

static void put_singles(const struct lade_pipe_engine *e, struct lade_json_out *out,
			const struct single *all, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		head(out, all[i].name, all[i].type, all[i].help);
		put_value(e, out, all[i].name, NULL, NULL, all[i].value);
	}
}

static void put_messages(const struct lade_pipe_engine *e, struct lade_json_out *out)
{
	const struct lade_pipe_stats *s = &e->stats;
	struct lade_pipe_oldest oldest = { 0 };
	const double age = lade_pipe_oldest(e, &oldest) ? (double)oldest.age_ns / 1e9 : 0;
	const struct single all[] = {
		{ "lade_messages_in_total", "counter", "Messages that were read.", (double)s->in },
		{ "lade_messages_out_total", "counter", "Messages that all sinks have.",
		  (double)s->out },
		{ "lade_messages_dropped_total", "counter", "Messages left out on purpose.",
		  (double)s->dropped },
		{ "lade_messages_rejected_total", "counter",
		  "Messages that could not be processed.", (double)s->rejected },
		{ "lade_dead_letters_total", "counter", "Rejected messages that were kept.",
		  lade_pipe_has_letters(e) ? (double)s->rejected : 0 },
		{ "lade_retries_total", "counter", "Pauses before a failed call was made again.",
		  (double)s->retries },
		{ "lade_late_acks_total", "counter",
		  "Messages that were finished after their lane was lost.",
		  (double)lade_pipe_late(e) },
		{ "lade_fenced_writes_total", "counter",
		  "Writes that another process's claim has prevented.", (double)s->fenced },
		{ "lade_rewound_batches_total", "counter",
		  "Batches that were given up, to be read again.", (double)s->rewound },
		{ "lade_aborted_transactions_total", "counter",
		  "Transactions of Kafka that were done again.", (double)s->aborted },
		{ "lade_lost_lanes_total", "counter",
		  "Lanes that were another's before they were given back.", (double)s->lost },
		{ "lade_in_flight_messages", "gauge", "Messages that are read and not finished.",
		  (double)lade_pipe_lanes_in_flight(e) },
		{ "lade_oldest_message_seconds", "gauge",
		  "Age of the oldest message that is not finished.", age },
		{ "lade_run_seconds", "gauge", "Time since reading began.",
		  s->started_ns ? (double)(lade_now().mono_ns - s->started_ns) / 1e9 : 0 },
	};

	put_singles(e, out, all, sizeof(all) / sizeof(*all));
	head(out, "lade_message_seconds", "histogram",
	     "From a message's arrival to its acknowledgement by all sinks.");
	put_times(e, out, "lade_message_seconds", NULL, NULL, &s->latency);
}

/* One figure of each lane. */
static void put_lanes(const struct lade_pipe_engine *e, struct lade_json_out *out,
		      const char *name, const char *help,
		      double (*get)(const struct lade_pipe_lane *lane))
{
	int n = 0;

	head(out, name, "gauge", help);
	for (const struct lade_pipe_lane *l = e->lanes; l && n < LANES_MAX; l = l->next, n++) {
		double value = get(l);

		if (value < 0)
			continue;
		put_name(e, out, name, "lane", l->name);
		lade_pipe_put(out, ",part=\"%" PRId64 "\"} %.17g\n", l->part, value);
	}
}

static double lag_of(const struct lade_pipe_lane *l)
{
	return (double)lade_pipe_lag(l);
}

static double offset_of(const struct lade_pipe_lane *l)
{
	return (double)l->commit_offset;
}

static double in_flight_of(const struct lade_pipe_lane *l)
{
	return (double)l->in_flight;
}

static void put_all_lanes(const struct lade_pipe_engine *e, struct lade_json_out *out)
{
	const bool bytes = strcmp(lade_pipe_unit(e), "byte") == 0;

	put_lanes(e, out, bytes ? "lade_lane_lag_bytes" : "lade_lane_lag_messages",
		  "What there is of a lane and is not finished.", lag_of);
	put_lanes(e, out, "lade_lane_offset", "Everything before it is finished.", offset_of);
	put_lanes(e, out, "lade_lane_in_flight_messages",
		  "Messages of a lane that are read and not finished.", in_flight_of);
}

static double down_s(int64_t since_ns)
{
	return since_ns ? (double)(lade_now().mono_ns - since_ns) / 1e9 : 0;
}

/* One figure of each http step. */
static void put_http(const struct lade_pipe_engine *e, struct lade_json_out *out,
		     const char *name, const char *type, const char *help,
		     double (*get)(const struct lade_pipe_stage *stage))
{
	head(out, name, type, help);
	for (int i = 0; i < e->n_stages; i++)
		if (e->stages[i].config->kind == LADE_STEP_HTTP)
			put_value(e, out, name, "step", e->stages[i].config->name,
				  get(&e->stages[i]));
}

static double is_open(const struct lade_pipe_stage *s)
{
	return s->breaker.open_until_ns != 0;
}

static double opened_of(const struct lade_pipe_stage *s)
{
	return (double)s->breaker.opened;
}

static double refused_of(const struct lade_pipe_stage *s)
{
	return (double)s->breaker.refused;
}

static double hedges_of(const struct lade_pipe_stage *s)
{
	return (double)s->hedges;
}

static double hedges_won_of(const struct lade_pipe_stage *s)
{
	return (double)s->hedges_won;
}

static void put_requests(const struct lade_pipe_engine *e, struct lade_json_out *out)
{
	put_http(e, out, "lade_step_circuit_open", "gauge",
		 "1: the service has failed too often in a row and is left alone.", is_open);
	put_http(e, out, "lade_step_circuit_opened_total", "counter",
		 "How often a circuit has opened.", opened_of);
	put_http(e, out, "lade_step_requests_refused_total", "counter",
		 "Requests that were not made, as the circuit was open.", refused_of);
	put_http(e, out, "lade_step_hedges_total", "counter",
		 "Requests that were made a second time, as the first was late.", hedges_of);
	put_http(e, out, "lade_step_hedges_won_total", "counter",
		 "Those of them that were answered first.", hedges_won_of);
}

static void put_steps(const struct lade_pipe_engine *e, struct lade_json_out *out)
{
	const struct lade_pipe_stage *s = e->stages, *end = e->stages + e->n_stages;

	head(out, "lade_step_seconds", "histogram", "How long a batch is in a step, per attempt.");
	for (s = e->stages; s < end; s++)
		put_times(e, out, "lade_step_seconds", "step", s->config->name, &s->took);
	head(out, "lade_step_calls_total", "counter", "Queries or requests.");
	for (s = e->stages; s < end; s++)
		put_value(e, out, "lade_step_calls_total", "step", s->config->name,
			  (double)s->calls);
	head(out, "lade_step_asked_total", "counter", "Messages that wanted an answer.");
	for (s = e->stages; s < end; s++)
		put_value(e, out, "lade_step_asked_total", "step", s->config->name,
			  (double)s->asked);
	head(out, "lade_step_errors_total", "counter", "Queries or requests that failed.");
	for (s = e->stages; s < end; s++)
		put_value(e, out, "lade_step_errors_total", "step", s->config->name,
			  (double)s->errors);
	put_requests(e, out);
	head(out, "lade_step_down_seconds", "gauge", "Since when a step fails; 0: it works.");
	for (s = e->stages; s < end; s++)
		put_value(e, out, "lade_step_down_seconds", "step", s->config->name,
			  down_s(s->trouble_since_ns));
}

static void put_sinks(const struct lade_pipe_engine *e, struct lade_json_out *out)
{
	const struct lade_pipe_outlet *o;
	char name[LADE_PLACE_ROOM];

	head(out, "lade_sink_seconds", "histogram", "How long a write takes, per attempt.");
	for (int i = 0; (o = lade_pipe_outlet_at(e, i)); i++)
		put_times(e, out, "lade_sink_seconds", "sink", lade_pipe_outlet_name(o, name),
			  &o->took);
	head(out, "lade_sink_written_total", "counter", "Messages that a sink has.");
	for (int i = 0; (o = lade_pipe_outlet_at(e, i)); i++)
		put_value(e, out, "lade_sink_written_total", "sink",
			  lade_pipe_outlet_name(o, name), (double)o->written);
	head(out, "lade_sink_errors_total", "counter", "Writes that failed.");
	for (int i = 0; (o = lade_pipe_outlet_at(e, i)); i++)
		put_value(e, out, "lade_sink_errors_total", "sink",
			  lade_pipe_outlet_name(o, name), (double)o->errors);
	head(out, "lade_sink_down_seconds", "gauge", "Since when a sink fails; 0: it works.");
	for (int i = 0; (o = lade_pipe_outlet_at(e, i)); i++)
		put_value(e, out, "lade_sink_down_seconds", "sink",
			  lade_pipe_outlet_name(o, name), down_s(o->trouble_since_ns));
}

void lade_pipe_metrics(const struct lade_pipe_engine *e, struct lade_json_out *out)
{
	put_messages(e, out);
	put_sizes(e, out);
	put_all_lanes(e, out);
	put_steps(e, out);
	put_sinks(e, out);
}

/* HTTP */

/* An answer's status and type; the text goes behind them. */
struct answer {
	const char *status;
	const char *type;
	struct lade_json_out text;
};

/* Reads up to the empty line behind the head.  Returns 0; -EMSGSIZE; -ENODATA: it is no request;
 * another -errno. */
static int read_head(int fd, char room[REQUEST_MAX])
{
	size_t len = 0;

	for (;;) {
		ssize_t n = lade_read(fd, room + len, REQUEST_MAX - 1 - len);

		if (n <= 0)
			return n < 0 ? (int)n : -ENODATA;
		len += (size_t)n;
		room[len] = 0;
		if (memchr(room, 0, len))
			return -ENODATA;
		if (strstr(room, "\r\n\r\n") || strstr(room, "\n\n"))
			return 0;
		if (len == REQUEST_MAX - 1)
			return -EMSGSIZE;
	}
}

static void answer_path(const struct lade_pipe_engine *e, const char *path, size_t len,
			struct answer *a)
{
	if (len == 8 && memcmp(path, "/metrics", len) == 0) {
		a->type = "text/plain; version=0.0.4; charset=utf-8";
		lade_pipe_metrics(e, &a->text);
	} else if (len == 7 && memcmp(path, "/health", len) == 0) {
		if (!lade_pipe_health(e, &a->text))
			a->status = "503 Service Unavailable";
	} else {
		a->status = "404 Not Found";
		lade_pipe_put(&a->text, "there are /metrics and /health\n");
	}
}

/* Decides on the answer to a request's head. */
static void answer(const struct lade_pipe_engine *e, int rc, const char *request, struct answer *a)
{
	const char *path = strchr(request, ' ');
	const bool http = path && path[1] == '/' && strstr(path, " HTTP/1.");

	if (rc == -EMSGSIZE) {
		a->status = "431 Request Header Fields Too Large";
	} else if (rc == -ETIME) {
		a->status = "408 Request Timeout";
	} else if (rc < 0 || !http) {
		a->status = "400 Bad Request";
	} else if (strncmp(request, "GET ", 4) != 0 && strncmp(request, "HEAD ", 5) != 0) {
		a->status = "405 Method Not Allowed";
	} else {
		path++;
		answer_path(e, path, strcspn(path, " ?\r\n"), a);
		return;
	}
	lade_pipe_put(&a->text, "%s\n", a->status);
}

/* What is unread when a connection is closed would throw the answer away. */
static int drain(int fd)
{
	char rest[1024];
	int rc = 1;

	while (rc > 0)
		rc = (int)lade_read(fd, rest, sizeof(rest));
	return rc;
}

static int send_answer(int fd, const struct answer *a, bool only_head)
{
	char head_of[256];
	size_t done = 0, len = (size_t)snprintf(head_of, sizeof(head_of),
		"HTTP/1.1 %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n"
		"Connection: close\r\n\r\n", a->status, a->type, a->text.len);
	int rc = lade_write_all(fd, head_of, len, &done);

	done = 0;
	if (rc == 0 && !only_head)
		rc = lade_write_all(fd, a->text.data, a->text.len, &done);
	if (rc == 0)
		rc = lade_shutdown(fd);
	return rc == 0 ? lade_within(lade_s(1), drain(fd)) : rc;
}

int lade_pipe_metrics_talk(struct lade_pipe_engine *e, int fd)
{
	struct answer a = { .status = "200 OK", .type = "text/plain; charset=utf-8" };
	char request[REQUEST_MAX];
	int rc;

	*request = 0;
	lade_json_out_init(&a.text, TEXT_MAX);
	rc = lade_within(lade_s(5), read_head(fd, request));
	if (rc != -ECANCELED) {
		answer(e, rc, request, &a);
		if (a.text.status == 0)
			rc = lade_within(lade_s(10),
					 send_answer(fd, &a, strncmp(request, "HEAD ", 5) == 0));
	}
	lade_json_out_done(&a.text);
	lade_close(fd);
	return rc;
}
