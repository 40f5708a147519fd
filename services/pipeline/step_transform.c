/* SPDX-License-Identifier: MIT */
/* step_transform.c - SQL over the batch itself: filter, project, aggregate.
 *
 * DESIGN
 * The query runs in an embedded database of its own over the relation of the batch. With i it is
 * per message: rows go out in the order of i, an input without a row is dropped on purpose, several
 * are allowed. Without i it is an aggregate: its rows belong to the batch as a whole. Either way
 * the batch has new messages behind it, of a shape of their own; those that were rejected before
 * keep their fates and go to the dead letter with the batch. */

#include "services/pipeline/engine.h"

#include <lade/sqlite.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct asker {
	struct lade_sqlite_query *query;
	struct lade_sqlite_result result;
	struct asker *next;
};

struct transform {
	struct lade_pipe_stage *stage;
	struct lade_sqlite_query_config config;
	struct lade_sqlite_column columns[LADE_PIPE_NAMES_MAX];
	struct lade_pipe_ref refs[LADE_PIPE_NAMES_MAX];
	unsigned n_fields;
	bool uses_message; /* m is read: each message is written as a document */
	bool per_message;  /* rows have an i */
	int value;	   /* column of the new message */
	struct asker *askers;
	uint32_t n_askers;
	struct asker *free;
	struct lade_sem free_count;
};

/* The relation's rows: fields, and the documents if the query reads them. */
struct rows {
	struct lade_datum *cells, *documents;
	uint32_t *kept, n;
};

static int write_document(struct lade_pipe_batch *b, uint32_t at, struct lade_datum *ret,
			  struct lade_json_error *error)
{
	struct lade_pipe_message *m = &b->messages[at];
	struct lade_json_out out;
	char *text;
	int rc;

	if (m->plain) {
		*ret = m->plain == LADE_PLAIN_TEXT ? lade_datum_text(m->bytes, m->len)
						   : (struct lade_datum){ .type = LADE_NULL };
		return 0;
	}
	if (!m->set) {
		*ret = lade_datum_json(m->bytes, m->len);
		return 0;
	}
	lade_json_out_init(&out, 64 << 20);
	rc = lade_pipe_message_write(m, b->shape, b->reader, &out, error);
	text = rc == 0 ? lade_arena_copy(&b->arena, out.data, out.len) : NULL;
	if (rc == 0)
		rc = text ? 0 : -ENOMEM;
	if (rc == 0)
		*ret = lade_datum_json(text, (uint32_t)out.len);
	lade_json_out_done(&out);
	return rc;
}

static int gather_one(struct transform *t, struct lade_pipe_batch *b, uint32_t at,
		      struct rows *rows, struct lade_json_error *error)
{
	int rc = 0;

	for (unsigned k = 0; rc == 0 && k < t->n_fields; k++)
		rc = lade_pipe_message_value(&b->messages[at], b->shape, &t->refs[k], b->reader,
					     &b->arena,
					     &rows->cells[(size_t)rows->n * t->n_fields + k],
					     error);
	if (rc == 0 && t->uses_message)
		rc = write_document(b, at, &rows->documents[rows->n], error);
	return rc;
}

static int gather(struct transform *t, struct lade_pipe_batch *b, const uint32_t *index,
		  uint32_t n, struct rows *rows)
{
	struct lade_json_error error;

	rows->cells = lade_arena_alloc(&b->arena,
				       ((size_t)n * t->n_fields + 1) * sizeof(*rows->cells));
	rows->documents = lade_arena_alloc(&b->arena, (n + 1) * sizeof(*rows->documents));
	rows->kept = lade_arena_alloc(&b->arena, (n + 1) * sizeof(*rows->kept));
	if (!rows->cells || !rows->documents || !rows->kept)
		return -ENOMEM;
	for (uint32_t j = 0; j < n; j++) {
		int rc = gather_one(t, b, index[j], rows, &error);

		if (rc == -EBADMSG)
			lade_pipe_reject(b, index[j], t->stage->config->name, "%s", error.reason);
		else if (rc < 0)
			return rc;
		else
			rows->kept[rows->n++] = index[j];
	}
	return 0;
}

static int ask(struct transform *t, struct asker *a, const struct rows *rows, uint32_t from,
	       uint32_t n, struct lade_sqlite_error *error)
{
	const struct lade_sqlite_batch batch = {
		.rows = n,
		.messages = t->uses_message ? rows->documents + from : NULL,
		.cells = rows->cells + (size_t)from * t->n_fields,
	};

	t->stage->calls++;
	return lade_sqlite_query_ask(a->query, &batch, t->stage->config->timeout_ns, &a->result,
				     error);
}

/* Halves until the row that the query fails on stands alone, and rejects its message. */
static int reject_bad_rows(struct transform *t, struct asker *a, struct lade_pipe_batch *b,
			   const struct rows *rows, uint32_t from, uint32_t n)
{
	struct lade_sqlite_error error;
	int rc = ask(t, a, rows, from, n, &error);

	if (rc != -EBADMSG)
		return rc;
	if (n == 1) {
		lade_pipe_reject(b, rows->kept[from], t->stage->config->name, "%s", error.text);
		return 0;
	}
	rc = reject_bad_rows(t, a, b, rows, from, n / 2);
	return rc < 0 ? rc : reject_bad_rows(t, a, b, rows, from + n / 2, n - n / 2);
}

/* Leaves out the rows whose messages were rejected. */
static void drop_rejected(struct transform *t, const struct lade_pipe_batch *b, struct rows *rows)
{
	uint32_t n = 0;

	for (uint32_t j = 0; j < rows->n; j++) {
		if (b->fates[rows->kept[j]].verdict == LADE_VERDICT_REJECT)
			continue;
		memmove(rows->cells + (size_t)n * t->n_fields,
			rows->cells + (size_t)j * t->n_fields, t->n_fields * sizeof(*rows->cells));
		rows->documents[n] = rows->documents[j];
		rows->kept[n++] = rows->kept[j];
	}
	rows->n = n;
}

/* Asks for the whole batch. A message that the query fails on is rejected alone, unless the query
 * is an aggregate: that one fails as one. */
static int ask_all(struct transform *t, struct asker *a, struct lade_pipe_batch *b,
		   struct rows *rows, struct lade_sqlite_error *error)
{
	int rc = ask(t, a, rows, 0, rows->n, error);

	if (rc != -EBADMSG || !t->per_message)
		return rc;
	rc = reject_bad_rows(t, a, b, rows, 0, rows->n);
	if (rc < 0)
		return rc;
	drop_rejected(t, b, rows);
	a->result.rows = 0;
	return rows->n ? ask(t, a, rows, 0, rows->n, error) : 0;
}

/* Puts what was rejected so far aside: the batch gets new messages. */
static int put_rejected_aside(struct lade_pipe_batch *b)
{
	uint32_t n = b->n_rejected;

	for (uint32_t i = 0; i < b->n; i++)
		n += b->fates[i].verdict == LADE_VERDICT_REJECT;
	if (n == b->n_rejected)
		return 0;
	struct lade_pipe_message *messages = lade_arena_alloc(&b->arena, n * sizeof(*messages));
	struct lade_pipe_fate *fates = lade_arena_alloc(&b->arena, n * sizeof(*fates));

	if (!messages || !fates)
		return -ENOMEM;
	if (b->n_rejected) {
		memcpy(messages, b->rejected, b->n_rejected * sizeof(*messages));
		memcpy(fates, b->rejected_fates, b->n_rejected * sizeof(*fates));
	}
	for (uint32_t i = 0; i < b->n; i++) {
		if (b->fates[i].verdict != LADE_VERDICT_REJECT)
			continue;
		messages[b->n_rejected] = b->messages[i];
		fates[b->n_rejected++] = b->fates[i];
	}
	b->rejected = messages;
	b->rejected_fates = fates;
	return 0;
}

/* A new message of a row of the answer. */
static int new_message(struct transform *t, struct lade_pipe_batch *b,
		       const struct lade_pipe_message *from, const struct lade_datum *row,
		       struct lade_pipe_message *ret, struct lade_json_error *error)
{
	const struct lade_datum *value = &row[t->value];

	if (value->type != LADE_TEXT && value->type != LADE_JSON) {
		snprintf(error->reason, sizeof(error->reason),
			 "the column value is not text: it must be a JSON object");
		error->at = 0;
		return -EBADMSG;
	}
	*ret = *from;
	ret->set = NULL;
	ret->plain = LADE_PLAIN_NOT;
	ret->bytes = lade_arena_copy(&b->arena, value->text, value->len);
	ret->len = value->len;
	if (!ret->bytes)
		return -ENOMEM;
	return lade_pipe_message_read(ret, t->stage->out, b->reader, &b->arena, error);
}

/* A row that is no message blames the one that it is of; of an aggregate, all. */
static void reject_value(struct transform *t, struct lade_pipe_batch *b, const struct rows *rows,
			 uint32_t from, const struct lade_json_error *error)
{
	const char *name = t->stage->config->name;

	if (t->per_message)
		lade_pipe_reject(b, from, name, "value: %s", error->reason);
	for (uint32_t j = 0; !t->per_message && j < rows->n; j++)
		lade_pipe_reject(b, rows->kept[j], name, "value: %s", error->reason);
}

/* Which of the messages that are made of one this is: the first is it, under another form. */
static uint64_t branch_of(const struct lade_pipe_message *from, uint32_t number)
{
	if (number == 0)
		return from->branch;
	/* Behind a second transform: a number that no row of the first has. */
	return from->branch ? (from->branch * UINT64_C(0x9e3779b97f4a7c15)) ^ number : number;
}

/* What passes all steps keeps its place among the new messages: in front of that of @before. */
static uint32_t carry(const struct lade_pipe_batch *b, uint32_t *at, uint32_t before,
		      struct lade_pipe_message *messages, struct lade_pipe_fate *fates, uint32_t n)
{
	for (; *at < before; ++*at) {
		if (b->fates[*at].verdict != LADE_VERDICT_PASS)
			continue;
		messages[n] = b->messages[*at];
		fates[n++] = b->fates[*at];
	}
	return n;
}

static int take_answer(struct transform *t, struct lade_pipe_batch *b, const struct rows *rows,
		       const struct lade_sqlite_result *r)
{
	uint32_t n = 0, first = 0, with_rows = 0, last = UINT32_MAX, carried = 0;
	size_t room = r->rows + b->n + 1;
	struct lade_pipe_message *messages = lade_arena_alloc(&b->arena, room * sizeof(*messages));
	struct lade_pipe_fate *fates = lade_arena_alloc(&b->arena, room * sizeof(*fates));
	struct lade_json_error error;
	int rc;

	if (!messages || !fates)
		return -ENOMEM;
	memset(fates, 0, room * sizeof(*fates));
	for (uint32_t k = 0; k < r->rows; k++) {
		uint32_t i = t->per_message ? r->i[r->order[k]] : 0;
		uint32_t from = t->per_message ? rows->kept[i] : rows->kept[rows->n - 1];

		if (i != last)
			n = carry(b, &carried, from, messages, fates, n);
		rc = new_message(t, b, &b->messages[from], lade_sqlite_row(r, k), &messages[n],
				 &error);
		with_rows += i != last;
		if (i != last)
			first = n;
		messages[n].branch = branch_of(&b->messages[from], n - first);
		last = i;
		if (b->fates[from].verdict == LADE_VERDICT_REJECT)
			continue;
		if (rc == -EBADMSG) {
			/* All of its rows or none: a message is finished once. */
			reject_value(t, b, rows, from, &error);
			n = first;
		} else if (rc < 0) {
			return rc;
		} else {
			n++;
		}
	}
	n = carry(b, &carried, b->n, messages, fates, n);
	rc = put_rejected_aside(b);
	if (rc < 0)
		return rc;
	for (uint32_t i = 0; i < b->n; i++)
		b->dropped += b->fates[i].verdict == LADE_VERDICT_DROP;
	if (t->per_message)
		b->dropped += rows->n - with_rows;
	b->messages = messages;
	b->fates = fates;
	b->n = n;
	b->shape = t->stage->out;
	return 0;
}

static int transform_process(struct lade_pipe_stage *stage, struct lade_pipe_batch *b,
			     const uint32_t *index, uint32_t n)
{
	struct transform *t = stage->self;
	struct lade_sqlite_error error;
	struct rows rows = { 0 };
	struct asker *a;
	int rc = gather(t, b, index, n, &rows);

	if (rc == 0)
		rc = lade_sem_acquire(&t->free_count, 1);
	if (rc < 0)
		return rc;
	a = t->free;
	t->free = a->next;
	for (uint32_t j = 0; j < rows.n; j++)
		lade_pipe_asked(stage, b, rows.kept[j]);
	if (rows.n) {
		error.text[0] = '\0';
		rc = ask_all(t, a, b, &rows, &error);
		if (rc < 0 && rc != -ECANCELED) {
			stage->errors++;
			lade_pipe_trouble(stage->engine, stage->config->name, stage->trouble, "%s",
					  error.text);
		}
	} else {
		a->result.rows = 0;
	}
	if (rc == 0)
		rc = take_answer(t, b, &rows, &a->result);
	a->next = t->free;
	t->free = a;
	lade_sem_release(&t->free_count, 1);
	return rc;
}

/* All of it stands in the configuration. */
static int config_fail(struct lade_pipe_stage *stage, const char *path, int position,
		       const char *reason)
{
	return lade_pipe_fail_at(stage->engine, LADE_EXIT_CONFIG, lade_pipe_step_node(stage, path),
				 (size_t)position, "step %s: %s", stage->config->name, reason);
}

static int open_fields(struct transform *t, struct lade_pipe_shape *in)
{
	const struct lade_pipe_map *fields = &t->stage->config->keys;
	struct lade_json_error error;

	for (int i = 0; i < fields->n; i++) {
		const char *text = fields->at[i].text;
		int rc = lade_pipe_shape_ask(in, text, strlen(text), &t->refs[i], &error);

		if (rc < 0)
			return config_fail(t->stage, "transform.fields", 0, error.reason);
		t->columns[i] = (struct lade_sqlite_column){ fields->at[i].name, t->refs[i].want };
	}
	t->n_fields = (unsigned)fields->n;
	return 0;
}

static int open_askers(struct transform *t)
{
	struct lade_sqlite_error error;

	t->n_askers = (uint32_t)t->stage->engine->config->concurrency;
	t->askers = calloc(t->n_askers, sizeof(*t->askers));
	if (!t->askers)
		return -ENOMEM;
	for (uint32_t i = 0; i < t->n_askers; i++) {
		int rc = lade_sqlite_query_new(&t->config, &t->askers[i].query, &error);

		if (rc == -ECANCELED)
			return rc;
		if (rc < 0)
			return config_fail(t->stage, "transform.query", error.position, error.text);
		lade_sqlite_result_init(&t->askers[i].result, &t->config);
		t->askers[i].next = t->free;
		t->free = &t->askers[i];
	}
	lade_sem_init(&t->free_count, t->n_askers);
	return 0;
}

static int transform_open(struct lade_pipe_stage *stage, struct lade_pipe_shape *in)
{
	struct lade_pipe_engine *e = stage->engine;
	struct transform *t = calloc(1, sizeof(*t));
	int rc;

	if (!t)
		return -ENOMEM;
	stage->self = t;
	stage->makes_new = true;
	t->stage = stage;
	rc = open_fields(t, in);
	t->config = (struct lade_sqlite_query_config){
		.db = { .path = ":memory:", .write = true },
		.kind = LADE_SQLITE_TRANSFORM,
		.sql = stage->config->query,
		.columns = t->columns,
		.n_columns = t->n_fields,
	};
	if (rc == 0)
		rc = open_askers(t);
	if (rc < 0)
		return rc;
	t->uses_message = lade_sqlite_query_uses_message(t->askers[0].query);
	t->per_message = lade_sqlite_query_per_message(t->askers[0].query);
	t->value = lade_sqlite_query_find(t->askers[0].query, "value");
	stage->out = lade_pipe_shape_new();
	if (!stage->out)
		return -ENOMEM;
	e->shapes[e->n_shapes++] = stage->out;
	return 0;
}

static void transform_close(struct lade_pipe_stage *stage)
{
	struct transform *t = stage->self;

	if (!t)
		return;
	for (uint32_t i = 0; t->askers && i < t->n_askers; i++) {
		if (!t->askers[i].query)
			continue;
		lade_sqlite_query_free(t->askers[i].query);
		lade_sqlite_result_done(&t->askers[i].result);
	}
	free(t->askers);
	free(t);
	stage->self = NULL;
}

const struct lade_pipe_step_ops lade_pipe_transform = { transform_open, transform_process,
							transform_close };
