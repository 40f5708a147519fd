/* SPDX-License-Identifier: MIT */
/* cases_run.c - runs the cases of `lade test`, and says what differs.
 *
 * DESIGN
 * The engine runs as ever, in a simulation, with other ends: its source gives the messages of the
 * case, and one sink, which is told of dead letters too, keeps what came of them. Steps are the
 * real ones but for those whose rows the case gives; services are simulated. Simulated time costs
 * nothing, so a case may retry and time out.
 *
 * LIMITS  an hour of simulated time for a case, 16 topics. */

#include "services/pipeline/cases.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "services/pipeline/engine.h"
#include "services/pipeline/json_diff.h"

#define TIME_S 3600
#define TOPICS_MAX 16
#define SHOWN_MAX 400 /* bytes of a value that is shown */

/* What came out. */
struct came {
	const char *value;		/* JSON */
	size_t len;
	struct lade_datum key;
	const struct lade_pipe_header *headers;
	uint32_t n_headers;
	int64_t input;			/* of which input, from 1; 0: not known */
	const char *step, *reason;	/* of a rejected one */
	bool met;			/* a rejected one that was expected */
};

/* A case that runs. */
struct running {
	struct lade_pipe_parts parts;	/* first: the engine's parts lead to the rest */
	struct lade_pipe_cases *cases;
	const struct lade_pipe_case *one;
	struct lade_pipe_engine *engine;
	struct lade_arena arena;	/* of what came */
	struct lade_json_reader *reader;
	struct lade_pipe_lane lanes[TOPICS_MAX];
	int n_lanes;
	int given;			/* inputs that the source gave */
	struct came *outputs, *rejected; /* in the order in which they came; of the arena */
	size_t n_outputs, cap_outputs, n_rejected, cap_rejected;
	int64_t dropped;
	FILE *out;
	int complaints;
};

static struct running *running_of(const struct lade_pipe_engine *e)
{
	return (struct running *)(uintptr_t)e->parts;
}

/* The source */

static const char *topic_of(const struct running *r, const struct lade_case_message *m)
{
	const struct lade_pipe_source *s = &r->cases->config->source;

	return m->topic ? m->topic : s->topics.n ? s->topics.at[0].text : s->topic ? s->topic : "-";
}

static struct lade_pipe_lane *lane_of(struct running *r, const struct lade_case_message *m)
{
	const char *topic = topic_of(r, m);
	int i = 0;

	while (i < r->n_lanes && strcmp(r->lanes[i].topic, topic) != 0)
		i++;
	return i < r->n_lanes ? &r->lanes[i] : NULL;
}

static int inputs_next(void *self, void *ret_item)
{
	struct running *r = self;
	struct lade_pipe_raw *raw = ret_item;
	const struct lade_case_message *m;

	if (r->engine->failed || r->given == r->one->n_inputs)
		return 0;
	m = &r->one->inputs[r->given++];
	*raw = (struct lade_pipe_raw){
		.line = { .text = m->value ? m->value : "",
			  .len = (uint32_t)m->len,
			  .ended = true,
			  .number = (uint64_t)r->given,
			  .offset = r->given - 1,
			  .next_offset = r->given },
		.lane = lane_of(r, m),
	};
	if ((int64_t)m->len > r->engine->config->source.message_bytes_max)
		raw->line.too_long = true;
	return 1;
}

static void inputs_close(void *self)
{
	(void)self;
}

static const struct lade_source inputs = { inputs_next, inputs_next, inputs_close };

static int source_open(struct lade_pipe_engine *e)
{
	struct running *r = running_of(e);

	e->stats.bytes_total = -1;
	for (int i = 0; i < r->one->n_inputs; i++) {
		const struct lade_case_message *m = &r->one->inputs[i];

		if (lane_of(r, m))
			continue;
		if (r->n_lanes == TOPICS_MAX)
			return lade_pipe_fail(e, LADE_EXIT_FAILED, "a case has at most %d topics",
					      TOPICS_MAX);
		lade_pipe_lane_init(&r->lanes[r->n_lanes++], topic_of(r, m), 0,
				    e->config->in_flight_max);
	}
	return 0;
}

static int source_describe(const struct lade_pipe_raw *raw, struct lade_pipe_message *message,
			   struct lade_arena *arena)
{
	const struct running *r = raw->lane->self;
	const struct lade_case_message *m = &r->one->inputs[raw->line.number - 1];

	(void)arena;
	if (m->key)
		message->key = lade_datum_text(m->key, (uint32_t)strlen(m->key));
	message->headers = m->headers;
	message->n_headers = m->n_headers;
	message->timestamp_us = m->timestamp_us;
	message->tombstone = !m->value;
	return 0;
}

static int source_start(struct lade_pipe_engine *e, struct lade_scope *scope,
			struct lade_pipe_raw_stream **ret)
{
	struct running *r = running_of(e);

	(void)scope;
	for (int i = 0; i < r->n_lanes; i++) {
		r->lanes[i].self = r;
		lade_pipe_lane_begin(e, &r->lanes[i], 0);
	}
	*ret = lade_pipe_raw_stream_of(&inputs, r);
	return 0;
}

static void source_close(struct lade_pipe_engine *e)
{
	struct running *r = running_of(e);

	for (int i = 0; i < r->n_lanes; i++)
		lade_pipe_lane_end(e, &r->lanes[i]);
}

static const struct lade_pipe_source_ops source_of_case = {
	.open = source_open,
	.describe = source_describe,
	.start = source_start,
	.close = source_close,
};

/* Steps */

/* A step that asks a database: the case's rows, if it gives some; else for real. */
static int open_sql(struct lade_pipe_stage *stage, struct lade_pipe_shape *in)
{
	const struct lade_pipe_case *one = running_of(stage->engine)->one;

	stage->ops = &lade_pipe_sql;
	for (int i = 0; i < one->n_answers; i++) {
		if (strcmp(one->answers[i].step, stage->config->name) == 0) {
			stage->ops = &lade_pipe_canned_rows;
			stage->self = &one->answers[i];
		}
	}
	return stage->ops->open(stage, in);
}

static const struct lade_pipe_step_ops sql_of_case = { .open = open_sql };

/* The sink */

static struct came *add(struct running *r, struct came **all, size_t *n, size_t *cap)
{
	if (*n == *cap) {
		size_t more = *cap ? 2 * *cap : 16;
		struct came *grown = lade_arena_alloc(&r->arena, more * sizeof(*grown));

		if (!grown)
			return NULL;
		if (*n)
			memcpy(grown, *all, *n * sizeof(*grown));
		*all = grown;
		*cap = more;
	}
	(*all)[*n] = (struct came){ 0 };
	return &(*all)[(*n)++];
}

static int take_output(struct running *r, const struct lade_pipe_message *m,
		       const struct lade_pipe_shape *shape)
{
	struct came *c = add(r, &r->outputs, &r->n_outputs, &r->cap_outputs);
	struct lade_json_error error;
	struct lade_json_out out;
	int rc = c ? 0 : -ENOMEM;

	lade_json_out_init(&out, (size_t)64 << 20);
	if (rc == 0 && m->tombstone)
		lade_json_out_raw(&out, "null", 4);
	else if (rc == 0)
		rc = lade_pipe_message_write(m, shape, r->reader, &out, &error);
	if (rc == -EBADMSG) {
		lade_json_out_reset(&out);
		lade_json_out_string(&out, error.reason, strlen(error.reason));
	}
	if (c) {
		c->value = lade_arena_copy(&r->arena, out.data ? out.data : "", out.len);
		c->len = out.len;
		c->input = m->line;
		c->key = m->key;
		if (c->key.type == LADE_TEXT)
			c->key.text = lade_arena_copy(&r->arena, m->key.text, m->key.len);
		c->headers = m->headers; /* the case's own */
		c->n_headers = m->n_headers;
	}
	lade_json_out_done(&out);
	return c && c->value ? 0 : -ENOMEM;
}

static int take_rejected(struct running *r, const struct lade_pipe_message *m,
			 const struct lade_pipe_fate *fate)
{
	struct came *c = add(r, &r->rejected, &r->n_rejected, &r->cap_rejected);

	if (!c)
		return -ENOMEM;
	c->input = m->line;
	c->step = fate->step;
	c->reason = lade_arena_copy(&r->arena, fate->reason, strlen(fate->reason));
	return c->reason ? 0 : -ENOMEM;
}

static int take_batch(struct running *r, const struct lade_pipe_batch *b)
{
	int rc = 0;

	r->dropped += b->dropped;
	for (uint32_t i = 0; rc == 0 && i < b->n_rejected; i++)
		rc = take_rejected(r, &b->rejected[i], &b->rejected_fates[i]);
	for (uint32_t i = 0; rc == 0 && i < b->n; i++) {
		if (b->fates[i].verdict == LADE_VERDICT_REJECT)
			rc = take_rejected(r, &b->messages[i], &b->fates[i]);
		else if (b->fates[i].verdict == LADE_VERDICT_DROP)
			r->dropped++;
		else
			rc = take_output(r, &b->messages[i], b->shape);
	}
	return rc;
}

static int sink_open(struct lade_pipe_outlet *outlet, struct lade_pipe_shape *shape)
{
	(void)outlet, (void)shape;
	return 0;
}

static int sink_write(struct lade_pipe_outlet *outlet, struct lade_pipe_batch *const *batches,
		      uint32_t n, const struct lade_pipe_move *moves, uint32_t n_moves)
{
	int rc = 0;

	(void)moves, (void)n_moves;
	for (uint32_t k = 0; rc == 0 && k < n; k++)
		rc = take_batch(running_of(outlet->engine), batches[k]);
	return rc;
}

static int letters_write(struct lade_pipe_outlet *outlet, struct lade_pipe_batch *const *batches,
			 uint32_t n, const struct lade_pipe_move *moves, uint32_t n_moves)
{
	(void)outlet, (void)batches, (void)n, (void)moves, (void)n_moves;
	return 0; /* the sink has them */
}

static void sink_close(struct lade_pipe_outlet *outlet)
{
	(void)outlet;
}

static const struct lade_pipe_sink_ops sink_of_case = { .open = sink_open, .write = sink_write,
							.close = sink_close };
static const struct lade_pipe_sink_ops letters_of_case = { .open = sink_open,
							   .write = letters_write,
							   .close = sink_close };

/* The pipeline between these ends. */
static struct lade_pipe_config between_ends(const struct lade_pipe_config *config)
{
	struct lade_pipe_config tried = *config;

	tried.n_sinks = 1;
	tried.sinks[0] = (struct lade_pipe_sink){ .kind = LADE_SINK_STDOUT };
	tried.delivery = LADE_AT_LEAST_ONCE;
	tried.errors.dead_kind = LADE_DEAD_FILE;
	tried.errors.reject_rate_max = 10000;
	return tried;
}

/* Comparing */

__attribute__((format(printf, 2, 3))) static void complain(struct running *r, const char *format,
							   ...)
{
	va_list args;

	if (r->complaints++ == 0)
		fprintf(r->out, "FAIL %s:%d: %s\n", r->cases->file, r->one->node->line,
			r->one->name);
	fputs("     ", r->out);
	va_start(args, format);
	vfprintf(r->out, format, args);
	va_end(args);
	fputc('\n', r->out);
}

static int shown(size_t len)
{
	return len > SHOWN_MAX ? SHOWN_MAX : (int)len;
}

/* Which output is compared. */
struct comparing {
	struct running *running;
	size_t i;		/* from 0 */
};

static void tell_difference(void *arg, const char *path, const char *expected, size_t expected_len,
			    const char *found, size_t found_len)
{
	const struct comparing *c = arg;
	const struct lade_case_message *m = &c->running->one->outputs[c->i];

	complain(c->running, "output %zu (line %d), %s: expected %.*s, found %.*s", c->i + 1,
		 m->node->line, *path ? path : "all of it",
		 expected ? shown(expected_len) : 7, expected ? expected : "nothing",
		 found ? shown(found_len) : 7, found ? found : "nothing");
}

static bool has_header(const struct came *c, const struct lade_pipe_header *h)
{
	for (uint32_t i = 0; i < c->n_headers; i++)
		if (strcmp(c->headers[i].name, h->name) == 0 && c->headers[i].len == h->len &&
		    memcmp(c->headers[i].bytes, h->bytes, h->len) == 0)
			return true;
	return false;
}

static void compare_output(struct running *r, size_t i)
{
	const struct lade_case_message *m = &r->one->outputs[i];
	const struct came *c = &r->outputs[i];
	struct comparing comparing = { r, i };

	lade_json_diff(m->value, m->len, c->value, c->len, tell_difference, &comparing);
	if (m->key && (c->key.type != LADE_TEXT || strlen(m->key) != c->key.len ||
		       memcmp(m->key, c->key.text, c->key.len) != 0))
		complain(r, "output %zu (line %d), key: expected %s, found %.*s", i + 1,
			 m->node->line, m->key, c->key.type == LADE_TEXT ? shown(c->key.len) : 4,
			 c->key.type == LADE_TEXT ? c->key.text : "none");
	for (uint32_t k = 0; k < m->n_headers; k++)
		if (!has_header(c, &m->headers[k]))
			complain(r, "output %zu (line %d), header %s: expected %.*s", i + 1,
				 m->node->line, m->headers[k].name, shown(m->headers[k].len),
				 m->headers[k].bytes);
}

static void compare_outputs(struct running *r)
{
	size_t expected = (size_t)r->one->n_outputs;

	for (size_t i = 0; i < expected && i < r->n_outputs; i++)
		compare_output(r, i);
	for (size_t i = r->n_outputs; i < expected; i++)
		complain(r, "output %zu (line %d): expected %.*s, found nothing", i + 1,
			 r->one->outputs[i].node->line, shown(r->one->outputs[i].len),
			 r->one->outputs[i].value);
	for (size_t i = expected; i < r->n_outputs; i++)
		complain(r, "output %zu: not expected, of input %" PRId64 ": %.*s", i + 1,
			 r->outputs[i].input, shown(r->outputs[i].len), r->outputs[i].value);
}

static bool is_meant(const struct lade_case_rejection *e, const struct came *c)
{
	return !c->met && (!e->input || e->input == c->input) &&
	       (!e->step || strcmp(e->step, c->step) == 0) &&
	       (!e->reason || strstr(c->reason, e->reason));
}

static void compare_rejected(struct running *r)
{
	for (int i = 0; i < r->one->n_rejections; i++) {
		const struct lade_case_rejection *e = &r->one->rejections[i];
		size_t k = 0;

		while (k < r->n_rejected && !is_meant(e, &r->rejected[k]))
			k++;
		if (k < r->n_rejected)
			r->rejected[k].met = true;
		else
			complain(r, "rejected (line %d): expected one%s%s%s%s, found none",
				 e->node->line, e->step ? " by " : "", e->step ? e->step : "",
				 e->reason ? " because: " : "", e->reason ? e->reason : "");
	}
	for (size_t k = 0; k < r->n_rejected; k++)
		if (!r->rejected[k].met)
			complain(r, "input %" PRId64 " was rejected by %s: %s",
				 r->rejected[k].input, r->rejected[k].step, r->rejected[k].reason);
	if (r->one->dropped >= 0 && r->one->dropped != r->dropped)
		complain(r, "dropped: expected %" PRId64 ", found %" PRId64, r->one->dropped,
			 r->dropped);
}

/* Running */

/* What a case that did not end was waiting for. */
static void tell_stuck(struct running *r)
{
	const struct lade_pipe_engine *e = r->engine;

	for (int i = 0; i < e->n_stages; i++)
		if (e->stages[i].trouble_since_ns) {
			complain(r, "step %s still fails after an hour of simulated time: %s",
				 e->stages[i].config->name, e->stages[i].trouble);
			return;
		}
	complain(r, "it does not end within an hour of simulated time");
}

static int run_engine(struct running *r)
{
	int rc = lade_within(lade_s(TIME_S), lade_pipe_engine_run(r->engine));

	if (rc == -ETIME) {
		tell_stuck(r);
		return 0;
	}
	if (rc == -ENOMEM || (rc == -ECANCELED && !r->engine->failed))
		return rc;
	if (r->engine->failed)
		complain(r, "%s", r->engine->why);
	else if (rc < 0)
		complain(r, "%s", strerror(-rc));
	return 0;
}

/* With services that answer as the case says. */
static int run_with_services(struct running *r)
{
	struct lade_http_sim *services = NULL;
	struct lade_json_out table;
	int rc, line = 0;

	lade_json_out_init(&table, (size_t)64 << 20);
	rc = lade_pipe_answers_table(r->cases, r->one, &table);
	lade_scope(s, &rc) {
		if (rc == 0 && table.len > 1)
			rc = lade_http_sim_new(&s, table.data, &services, &line);
		if (rc == 0)
			rc = run_engine(r);
		else
			complain(r, "its services cannot be simulated: %s", strerror(-rc));
	}
	lade_http_sim_free(services);
	lade_json_out_done(&table);
	return rc == -EINVAL || rc == -EADDRINUSE ? 0 : rc;
}

static int run_case(struct running *r)
{
	struct lade_pipe_config config = between_ends(r->cases->config);
	FILE *log = fopen("/dev/null", "we");
	int rc = log ? lade_json_reader_new(&r->reader) : -errno;

	r->engine = rc == 0 ? lade_pipe_engine_new(&config, NULL, log) : NULL;
	if (rc == 0 && !r->engine)
		rc = -ENOMEM;
	if (rc == 0) {
		r->parts = *r->engine->parts;
		r->parts.source = &source_of_case;
		r->parts.steps[LADE_STEP_SQL] = &sql_of_case;
		r->parts.sinks[LADE_SINK_STDOUT] = &sink_of_case;
		r->parts.letters = &letters_of_case;
		r->engine->parts = &r->parts;
		r->engine->from = &source_of_case;
		rc = run_with_services(r);
	}
	if (rc == 0 && !r->complaints) {
		compare_outputs(r);
		compare_rejected(r);
	}
	lade_pipe_engine_free(r->engine);
	lade_json_reader_free(r->reader);
	if (log)
		fclose(log);
	return rc;
}

int lade_pipe_cases_run(struct lade_pipe_cases *c, FILE *out, int *ret_failed)
{
	struct running *r = malloc(sizeof(*r));
	int rc = r ? 0 : -ENOMEM, failed = 0;

	for (int i = 0; rc == 0 && i < c->n; i++) {
		*r = (struct running){ .cases = c, .one = &c->cases[i], .out = out };
		lade_arena_init(&r->arena, 64 << 10, (size_t)1 << 30);
		rc = run_case(r);
		lade_arena_done(&r->arena);
		if (rc == 0 && !r->complaints)
			fprintf(out, "ok   %s:%d: %s\n", c->file, c->cases[i].node->line,
				c->cases[i].name);
		failed += r->complaints > 0;
	}
	free(r);
	if (rc == 0)
		*ret_failed = failed;
	return rc;
}
