/* SPDX-License-Identifier: MIT */
/* replay.c - dead letters through their pipeline again.
 *
 * DESIGN
 * The letters are a source like any other, with a lane for each topic and partition that they came
 * from. A lane's offsets count its letters; when the engine has finished a stretch of them, by
 * whatever end, they are noted as done. So a crash at any instant leaves a letter where it is, or
 * leaves it although it was written: never the third. A letter that is rejected again is a new
 * letter before the old one is done.
 *
 * LIMITS  64 topics and partitions. */

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "services/pipeline/csv.h"
#include "services/pipeline/engine.h"
#include "services/pipeline/letters.h"

#define LANES_MAX 64	    /* topics and partitions */
#define HEADER_MAX (1 << 20) /* bytes of a header */
#define NO_STEP 2 /* the exit status of wrong arguments */
#define LAST_NS INT64_C(10000000000) /* for what was replayed to be noted in the end */

/* Letters of one topic and partition, in the order in which they are given. */
struct again {
	struct lade_pipe_lane lane;
	char topic[256];
	struct lade_letter_ref *refs;	/* those given, from number .first on */
	struct lade_pipe_csv *csv;	/* the header of their source; NULL: not needed yet */
	int64_t first, n, cap;		/* n: given and not noted */
};

struct replay {
	struct lade_letters letters;
	struct lade_pipe_engine *engine;
	const char *step;	/* of letters that are wanted; NULL: any */
	bool changed_too;	/* also those that a transform has made */
	struct again *lanes[LANES_MAX];
	int n_lanes;
	uint64_t given, left_out;
};

/* What a message is beside its bytes; behind the struct lie the texts. */
struct held {
	int64_t offset, timestamp_us;
	char *key;		/* NULL: none */
	size_t key_len;
	bool tombstone;
	struct lade_pipe_header headers[LADE_LETTER_HEADERS_MAX];
	uint32_t n_headers;
	char text[];
};

static struct replay *replay_of(struct lade_pipe_engine *e)
{
	return e->source;
}

static struct again *lane_of(struct replay *r, const struct lade_letter *letter)
{
	struct again *a;

	for (int i = 0; i < r->n_lanes; i++)
		if (strcmp(r->lanes[i]->topic, letter->topic) == 0 &&
		    r->lanes[i]->lane.part == letter->part)
			return r->lanes[i];
	if (r->n_lanes == LANES_MAX) {
		(void)lade_pipe_fail(r->engine, LADE_EXIT_FAILED, "the letters are of more than %d"
				     " topics and partitions; replay them by --step", LANES_MAX);
		return NULL;
	}
	a = calloc(1, sizeof(*a));
	if (!a)
		return NULL;
	snprintf(a->topic, sizeof(a->topic), "%s", letter->topic);
	lade_pipe_lane_init(&a->lane, a->topic, letter->part, r->engine->config->in_flight_max);
	a->lane.self = r;
	lade_pipe_lane_begin(r->engine, &a->lane, 0);
	r->lanes[r->n_lanes++] = a;
	return a;
}

static int keep_ref(struct again *a, struct lade_letter_ref ref)
{
	if (a->n == a->cap) {
		int64_t cap = a->cap ? 2 * a->cap : 256;
		struct lade_letter_ref *more = realloc(a->refs, (size_t)cap * sizeof(*more));

		if (!more)
			return -ENOMEM;
		a->refs = more;
		a->cap = cap;
	}
	a->refs[a->n++] = ref;
	return 0;
}

/* A file's first record; one in quotes may have several lines. */
static int read_header(FILE *file, char delimiter, char **ret, size_t *ret_len)
{
	char *record = NULL, *line = NULL;
	size_t room = 0, len = 0;
	bool within = false;
	ssize_t n;
	int rc = 0;

	do {
		char *more;

		n = getline(&line, &room, file);
		more = n > 0 ? realloc(record, len + (size_t)n + 1) : NULL;
		if (!more) {
			rc = n > 0 ? -ENOMEM : -ENODATA;
			break;
		}
		record = more;
		memcpy(record + len, line, (size_t)n);
		within = lade_pipe_csv_quotes(delimiter, within, line, (size_t)n);
		len += (size_t)n;
	} while (within && len < HEADER_MAX);
	while (len && (record[len - 1] == '\n' || record[len - 1] == '\r'))
		len--;
	free(line);
	*ret = record;
	*ret_len = len;
	return rc;
}

/* The header of the file that a letter came from. */
static int header_of_file(const struct lade_pipe_config *config, const char *topic,
			  struct lade_pipe_csv **ret, char why[200])
{
	const char *folder = config->folder && *topic != '/' ? config->folder : "";
	struct lade_json_error error;
	char path[4096], *record = NULL;
	size_t len = 0, skip;
	FILE *file;
	int rc;

	snprintf(path, sizeof(path), "%s%s", folder, topic);
	file = fopen(path, "re");
	rc = file ? read_header(file, *config->source.csv_delimiter, &record, &len) : -errno;
	if (file)
		fclose(file);
	snprintf(why, 200, "%s", strerror(-rc));
	if (rc == 0) {
		skip = len >= 3 && memcmp(record, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
		rc = lade_pipe_csv_new(*config->source.csv_delimiter, record + skip, len - skip,
				       ret, &error);
		if (rc < 0)
			snprintf(why, 200, "%s", rc == -EBADMSG ? error.reason : strerror(-rc));
	}
	free(record);
	return rc;
}

/* A record that was no record is read by the header of its source, as it is now: all that comes
 * later, and what stands in the letters of steps, is an object already. */
static int find_csv(struct replay *r, struct again *a)
{
	const struct lade_pipe_source *c = &r->engine->config->source;
	struct lade_json_error error;
	char why[200];
	int rc;

	if (a->csv)
		return 0;
	if (c->csv_header.n)
		return lade_pipe_csv_names(*c->csv_delimiter, &c->csv_header, &a->csv, &error);
	rc = header_of_file(r->engine->config, a->topic, &a->csv, why);
	return rc == 0 || rc == -ENOMEM
		       ? rc
		       : lade_pipe_fail(r->engine, LADE_EXIT_FAILED, "%.200s: its header cannot be "
					"read (%s), and without it no record of it; source: { csv: "
					"{ header: [a, b] } } would say it", a->topic, why);
}

static char *keep(char **to, const char *bytes, size_t len)
{
	char *at = *to;

	memcpy(at, bytes, len);
	at[len] = 0;
	*to += len + 1;
	return at;
}

static struct held *hold(const struct lade_letter *letter)
{
	size_t bytes = letter->key_len + letter->value_len + 2;
	struct held *h;
	char *to;

	for (uint32_t i = 0; i < letter->n_headers; i++)
		bytes += strlen(letter->headers[i].name) + letter->headers[i].len + 2;
	h = calloc(1, sizeof(*h) + bytes);
	if (!h)
		return NULL;
	to = h->text;
	keep(&to, letter->value ? letter->value : "", letter->value ? letter->value_len : 0);
	h->tombstone = !letter->value;
	if (letter->key)
		h->key = keep(&to, letter->key, letter->key_len);
	h->key_len = letter->key_len;
	h->offset = letter->offset;
	h->timestamp_us = letter->timestamp_us;
	for (uint32_t i = 0; i < letter->n_headers; i++) {
		const struct lade_pipe_header *from = &letter->headers[i];

		h->headers[i].name = keep(&to, from->name, strlen(from->name));
		if (from->bytes)
			h->headers[i].bytes = keep(&to, from->bytes, from->len);
		h->headers[i].len = from->len;
	}
	h->n_headers = letter->n_headers;
	return h;
}

/* Whether what the letter holds was made by a transform, which would make something else of it. */
static bool is_changed(const struct lade_pipe_config *config, const char *step)
{
	for (int i = 0; i < config->n_steps; i++) {
		if (strcmp(config->steps[i].name, step) == 0 || strcmp(step, "source") == 0)
			return false;
		if (config->steps[i].kind == LADE_STEP_TRANSFORM)
			return true;
	}
	return false;
}

static int give(struct replay *r, const struct lade_letter *letter, struct lade_pipe_raw *raw)
{
	struct again *a = lane_of(r, letter);
	bool raw_record = r->engine->config->source.format == LADE_FORMAT_CSV &&
			  strcmp(letter->step, "source") == 0;
	int rc = a && raw_record ? find_csv(r, a) : 0;
	struct held *h = a && rc == 0 ? hold(letter) : NULL;
	int64_t number = a ? a->first + a->n : 0;

	if (rc < 0 || !h || keep_ref(a, letter->ref) < 0) {
		free(h);
		return r->engine->failed ? 0 : -ENOMEM;
	}
	*raw = (struct lade_pipe_raw){
		.line = { .text = h->text,
			  .len = (uint32_t)letter->value_len,
			  .ended = true,
			  .number = (uint64_t)letter->line,
			  .offset = number,
			  .next_offset = number + 1 },
		.lane = &a->lane,
		.owned = (char *)h,
		.csv = raw_record ? a->csv : NULL,
	};
	if (!letter->value)
		raw->line.len = 0;
	r->given++;
	return 1;
}

/* What is done is noted where that suspends. */
static int note_done(struct replay *r)
{
	int rc = lade_letters_flush(&r->letters);

	if (rc < 0 && rc != -ECANCELED)
		rc = lade_pipe_fail(r->engine, LADE_EXIT_FAILED, "%s; what was replayed since is "
				    "replayed again by the next one", *r->letters.why
				    ? r->letters.why : strerror(-rc));
	return rc;
}

static int letters_next(void *self, void *ret_item)
{
	struct replay *r = self;
	struct lade_letter letter;
	int rc = note_done(r);

	/* Not lade_stopping(): a deadline on this very call would be taken for the end. */
	while (rc >= 0 && !r->engine->stop_reading.set && !r->engine->failed &&
	       (rc = lade_letters_next(&r->letters, &letter)) > 0) {
		bool wanted = !r->step || strcmp(r->step, letter.step) == 0;

		if (wanted &&
		    (r->changed_too || !is_changed(r->engine->config, letter.step)))
			return give(r, &letter, ret_item);
		r->left_out += wanted;
		rc = lade_letters_leave(&r->letters);
	}
	if (rc < 0 && rc != -ECANCELED)
		rc = lade_pipe_fail(r->engine, LADE_EXIT_FAILED, "%s",
				    *r->letters.why ? r->letters.why : strerror(-rc));
	return rc;
}

static void letters_close(void *self)
{
	(void)self;
}

static const struct lade_source letters = { letters_next, letters_next, letters_close };
static const struct lade_source letters_that_suspend = { letters_next, NULL, letters_close };

static int source_open(struct lade_pipe_engine *e)
{
	e->stats.bytes_total = -1;
	return 0;
}

static int source_describe(const struct lade_pipe_raw *raw, struct lade_pipe_message *message,
			   struct lade_arena *arena)
{
	const struct held *h = (const struct held *)(const void *)raw->owned;
	struct lade_pipe_header *headers =
		lade_arena_alloc(arena, (h->n_headers + 1) * sizeof(*headers));

	if (!headers)
		return -ENOMEM;
	for (uint32_t i = 0; i < h->n_headers; i++) {
		const struct lade_pipe_header *from = &h->headers[i];

		headers[i] = *from;
		headers[i].name = lade_arena_copy(arena, from->name, strlen(from->name));
		if (from->bytes)
			headers[i].bytes = lade_arena_copy(arena, from->bytes, from->len);
		if (!headers[i].name || (from->bytes && !headers[i].bytes))
			return -ENOMEM;
	}
	message->headers = headers;
	message->n_headers = h->n_headers;
	if (h->key) {
		const char *key = lade_arena_copy(arena, h->key, h->key_len);

		if (!key)
			return -ENOMEM;
		message->key = lade_datum_text(key, (uint32_t)h->key_len);
	}
	message->offset = h->offset;
	message->timestamp_us = h->timestamp_us;
	message->tombstone = h->tombstone;
	return 0;
}

/* What a lane has finished is done, for good. */
static void source_moved(struct lade_pipe_engine *e, struct lade_pipe_lane *lane)
{
	struct replay *r = lane->self;
	struct again *a = (struct again *)(void *)lane;
	int64_t n = lane->commit_offset - a->first;

	_Static_assert(offsetof(struct again, lane) == 0, "a lane is the first member");
	if (n <= 0)
		return;
	if (lade_letters_done(&r->letters, a->refs, (size_t)n) < 0) {
		(void)lade_pipe_fail(e, LADE_EXIT_FAILED, "%s; what was replayed since is replayed"
				     " again by the next one", r->letters.why);
		return;
	}
	memmove(a->refs, a->refs + n, (size_t)(a->n - n) * sizeof(*a->refs));
	a->n -= n;
	a->first += n;
}

static int source_start(struct lade_pipe_engine *e, struct lade_scope *scope,
			struct lade_pipe_raw_stream **ret)
{
	struct replay *r = replay_of(e);

	(void)scope;
	*ret = lade_pipe_raw_stream_of(r->letters.ops->flush ? &letters_that_suspend : &letters,
				       r);
	return 0;
}

static void source_close(struct lade_pipe_engine *e)
{
	struct replay *r = replay_of(e);

	for (int i = 0; i < r->n_lanes; i++) {
		lade_pipe_lane_end(e, &r->lanes[i]->lane);
		free(r->lanes[i]->refs);
		lade_pipe_csv_free(r->lanes[i]->csv);
		free(r->lanes[i]);
	}
	r->n_lanes = 0;
}

static const struct lade_pipe_source_ops source_of_letters = {
	.open = source_open,
	.describe = source_describe,
	.moved = source_moved,
	.start = source_start,
	.close = source_close,
};

/* Letters move no offsets: these are the real source's. */
static struct lade_pipe_config without_offsets(const struct lade_pipe_config *config)
{
	struct lade_pipe_config again = *config;

	again.delivery = LADE_AT_LEAST_ONCE;
	again.errors.reject_rate_max = 10000;
	return again;
}

/* Whether no letter was of the step that is wanted, and no step of the pipeline is. One that was
 * taken out of the pipeline may still have letters. Says so. */
static bool no_such_step(const struct replay *r, FILE *log)
{
	const struct lade_pipe_engine *e = r->engine;

	if (!r->step || r->given || r->left_out || e->exit != LADE_EXIT_DONE)
		return false;
	if (strcmp(r->step, "source") == 0 || strcmp(r->step, "sink") == 0)
		return false;
	for (int i = 0; i < e->n_stages; i++)
		if (strcmp(e->stages[i].config->name, r->step) == 0)
			return false;
	fprintf(log, "lade dlq: there is no step '%.80s' and no letter of one; there are source",
		r->step);
	for (int i = 0; i < e->n_stages; i++)
		fprintf(log, ", %s", e->stages[i].config->name);
	fputs(" and sink\n", log);
	return true;
}

static void say_how(const struct replay *r, FILE *log)
{
	const struct lade_pipe_stats *s = &r->engine->stats;

	fprintf(log, "%s: %" PRIu64 " replayed: %" PRIu64 " written, %" PRIu64 " dropped, %" PRIu64
		" rejected again\n", r->engine->config->name, r->given, s->out, s->dropped,
		s->rejected);
	if (r->left_out)
		fprintf(log, "%s: %" PRIu64 " left where they are: they hold what a transform made,"
			" and would be transformed again; --changed replays them too\n",
			r->engine->config->name, r->left_out);
	lade_pipe_print_why(r->engine, log);
}

/* Through the pipeline, and noted. */
static int run(struct replay *r, FILE *log, int *ret_exit)
{
	int rc = lade_pipe_engine_run(r->engine);

	lade_shield(lade_ns(LAST_NS))
		(void)!note_done(r);
	*ret_exit = r->engine->exit;
	if (rc == 0 && no_such_step(r, log))
		*ret_exit = NO_STEP;
	else
		say_how(r, log);
	return rc;
}

int lade_letters_replay(const struct lade_pipe_config *config, const char *step, bool changed_too,
			FILE *log, int *ret_exit)
{
	struct lade_pipe_config again = without_offsets(config);
	struct replay r = { .step = step, .changed_too = changed_too };
	int rc = 0;

	*ret_exit = LADE_EXIT_FAILED;
	r.engine = lade_pipe_engine_new(&again, NULL, log);
	if (!r.engine)
		return -ENOMEM;
	r.engine->source = &r;
	r.engine->from = &source_of_letters;
	lade_scope(s, &rc) {
		rc = lade_letters_open(&r.letters, config, &s, true);
		if (rc == 0)
			rc = run(&r, log, ret_exit);
		else if (*r.letters.why)
			fprintf(log, "lade dlq: %s\n", r.letters.why);
		lade_letters_close(&r.letters);
	}
	lade_pipe_engine_free(r.engine);
	return rc == -ENOMEM || rc == -ECANCELED ? rc : 0;
}
