/* SPDX-License-Identifier: MIT */
/* answers.c - what a case answers in place of a database or a service.
 *
 * DESIGN
 * A step that asks a database gets rows of the case: a row has values of the step's keys, which say
 * whose it is, and the columns that the query would return. A key that a row does not mention is
 * any. A service is simulated: it is asked for real, over simulated connections, so that the
 * address, the retries and what a status means are the step's own. */

#include "services/pipeline/cases.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "services/pipeline/engine.h"

/* Services */

static const struct lade_yaml_node *member(const struct lade_yaml_node *map, const char *name)
{
	return lade_yaml_get(map, name, strlen(name));
}

static void put_line(struct lade_json_out *table, const char *url, size_t url_len,
		     const char *status)
{
	lade_json_out_raw(table, url, url_len);
	lade_json_out_raw(table, "\t", 1);
	lade_json_out_raw(table, status, strlen(status));
	lade_json_out_raw(table, "\t0\t", 3);
}

static void put_reply(struct lade_json_out *table, const struct lade_yaml_node *reply)
{
	const struct lade_yaml_node *url = member(reply, "url"), *status = member(reply, "status"),
				    *body = member(reply, "body");

	put_line(table, url->text, url->len, status ? status->text : "200");
	if (body && body->kind == LADE_YAML_SCALAR && !body->plain)
		lade_json_out_raw(table, body->text, strcspn(body->text, "\r\n"));
	else if (body)
		lade_yaml_json(body, table);
	lade_json_out_raw(table, "\n", 1);
}

/* The address of a step's service, without what differs from message to message. */
static size_t constant_part(const char *url)
{
	size_t len = strcspn(url, "{?");

	while (len > 8 && url[len - 1] != '/')
		len--;
	return len > 8 ? len : strcspn(url, "{?");
}

int lade_pipe_answers_table(const struct lade_pipe_cases *c, const struct lade_pipe_case *one,
			    struct lade_json_out *table)
{
	for (int i = 0; i < one->n_answers; i++)
		for (int k = 0; k < one->answers[i].node->n; k++)
			if (member(one->answers[i].node->pairs[k].value, "url"))
				put_reply(table, one->answers[i].node->pairs[k].value);
	/* What no reply is given for is not there; but somebody must say so. */
	for (int i = 0; i < c->config->n_steps; i++) {
		const struct lade_pipe_step *s = &c->config->steps[i];
		const char *url = s->get ? s->get : s->post;

		if (s->kind != LADE_STEP_HTTP || strncmp(url, "http://", 7) != 0)
			continue;
		put_line(table, url, constant_part(url), "404");
		lade_json_out_raw(table, "\n", 1);
	}
	lade_json_out_raw(table, "", 1);
	return table->status;
}

/* Rows */

struct canned {
	const struct lade_pipe_step *config;
	const struct lade_yaml_node *rows;
	struct lade_pipe_ref refs[LADE_PIPE_NAMES_MAX];	/* of the step's keys */
	const char *columns[LADE_PIPE_NAMES_MAX];	/* of all rows, without keys */
	unsigned slots[LADE_PIPE_NAMES_MAX];		/* of the columns; of all rows: [0] */
	int n_columns;
};

static bool is_key(const struct lade_pipe_step *config, const char *name)
{
	for (int i = 0; i < config->keys.n; i++)
		if (strcmp(config->keys.at[i].name, name) == 0)
			return true;
	return false;
}

static int add_column(struct canned *c, struct lade_pipe_stage *stage, const char *name)
{
	struct lade_json_error error;
	int rc;

	for (int i = 0; i < c->n_columns; i++)
		if (strcmp(c->columns[i], name) == 0)
			return 0;
	if (c->n_columns == LADE_PIPE_NAMES_MAX)
		return lade_pipe_fail(stage->engine, LADE_EXIT_FAILED, "answers of %s: at most %d"
				      " columns", c->config->name, LADE_PIPE_NAMES_MAX);
	rc = c->config->many ? 0
			     : lade_pipe_shape_get(stage->in, c->config->into, name,
						   &c->slots[c->n_columns], &error);
	if (rc < 0)
		return lade_pipe_fail(stage->engine, LADE_EXIT_FAILED, "answers of %s: %s: %s",
				      c->config->name, name, error.reason);
	c->columns[c->n_columns++] = name;
	return 0;
}

static int canned_open(struct lade_pipe_stage *stage, struct lade_pipe_shape *in)
{
	const struct lade_case_answers *answers = stage->self;
	struct canned *c = calloc(1, sizeof(*c));
	struct lade_json_error error;
	int rc = 0;

	stage->self = c;
	stage->out = in;
	if (!c)
		return -ENOMEM;
	c->config = stage->config;
	c->rows = answers->node;
	for (int i = 0; rc == 0 && i < c->config->keys.n; i++) {
		const char *text = c->config->keys.at[i].text;

		rc = lade_pipe_shape_ask(in, text, strlen(text), &c->refs[i], &error);
	}
	for (int k = 0; rc == 0 && k < c->rows->n; k++) {
		const struct lade_yaml_node *row = c->rows->pairs[k].value;

		if (row->kind != LADE_YAML_MAP)
			return lade_pipe_fail(stage->engine, LADE_EXIT_FAILED, "answers of %s, line"
					      " %d: a row is a map of keys and columns",
					      c->config->name, row->line);
		for (int i = 0; rc == 0 && i < row->n; i++)
			if (!is_key(c->config, row->pairs[i].key))
				rc = add_column(c, stage, row->pairs[i].key);
	}
	if (rc == 0 && c->config->many)
		rc = lade_pipe_shape_get(in, c->config->into, NULL, &c->slots[0], &error);
	return rc;
}

/* Whether a value is what the row says. */
static bool is_value(const struct lade_datum *d, const struct lade_yaml_node *node)
{
	struct lade_json_out out;
	bool same;

	if (node->kind != LADE_YAML_SCALAR)
		return false;
	if (d->type == LADE_TEXT)
		return d->len == node->len && memcmp(d->text, node->text, d->len) == 0;
	if (d->type == LADE_NULL || d->type == LADE_ABSENT)
		return node->plain && (!node->len || strcmp(node->text, "null") == 0);
	lade_json_out_init(&out, 1 << 20);
	lade_json_out_datum(&out, d);
	same = out.status == 0 && out.len == node->len &&
	       memcmp(out.data, node->text, out.len) == 0;
	lade_json_out_done(&out);
	return same;
}

static bool is_row_of(const struct canned *c, const struct lade_yaml_node *row,
		      const struct lade_datum *keys)
{
	for (int i = 0; i < c->config->keys.n; i++) {
		const struct lade_yaml_node *node = member(row, c->config->keys.at[i].name);

		if (node && !is_value(&keys[i], node))
			return false;
	}
	return true;
}

/* The columns of a row, as JSON. */
static void put_row(const struct canned *c, const struct lade_yaml_node *row,
		    struct lade_json_out *out)
{
	for (int i = 0; i < c->n_columns; i++) {
		const struct lade_yaml_node *node = member(row, c->columns[i]);

		lade_json_out_raw(out, i ? "," : "{", 1);
		lade_json_out_string(out, c->columns[i], strlen(c->columns[i]));
		lade_json_out_raw(out, ":", 1);
		if (node)
			lade_yaml_json(node, out);
		else
			lade_json_out_raw(out, "null", 4);
	}
	lade_json_out_raw(out, c->n_columns ? "}" : "{}", c->n_columns ? 1 : 2);
}

static int set_json(struct lade_pipe_batch *b, uint32_t at, unsigned slot,
		    const struct lade_json_out *out)
{
	char *text = out->status == 0 ? lade_arena_copy(&b->arena, out->data, out->len) : NULL;

	return text ? lade_pipe_message_set(&b->messages[at], b->shape, slot,
					    lade_datum_json(text, (uint32_t)out->len), &b->arena)
		    : -ENOMEM;
}

static int set_columns(const struct canned *c, struct lade_pipe_batch *b, uint32_t at,
		       const struct lade_yaml_node *row)
{
	struct lade_json_out out;
	int rc = 0;

	lade_json_out_init(&out, 16 << 20);
	for (int i = 0; rc == 0 && i < c->n_columns; i++) {
		const struct lade_yaml_node *node = row ? member(row, c->columns[i]) : NULL;

		if (!row)
			break;
		lade_json_out_reset(&out);
		if (node)
			lade_yaml_json(node, &out);
		else
			lade_json_out_raw(&out, "null", 4);
		rc = set_json(b, at, c->slots[i], &out);
	}
	lade_json_out_done(&out);
	return rc;
}

/* All rows of a message, as an array. */
static int set_many(const struct canned *c, struct lade_pipe_batch *b, uint32_t at,
		    const struct lade_datum *keys)
{
	struct lade_json_out out;
	int n = 0, rc;

	lade_json_out_init(&out, 16 << 20);
	lade_json_out_raw(&out, "[", 1);
	for (int k = 0; k < c->rows->n; k++) {
		const struct lade_yaml_node *row = c->rows->pairs[k].value;

		if (!is_row_of(c, row, keys))
			continue;
		if (n++)
			lade_json_out_raw(&out, ",", 1);
		put_row(c, row, &out);
	}
	lade_json_out_raw(&out, "]", 1);
	if (n == 0 && c->config->on_missing == LADE_MISSING_REJECT) {
		lade_pipe_reject(b, at, c->config->name, "the query has no row for it");
		rc = 0;
	} else {
		rc = set_json(b, at, c->slots[0], &out);
	}
	lade_json_out_done(&out);
	return rc;
}

static int answer(const struct canned *c, struct lade_pipe_batch *b, uint32_t at,
		  const struct lade_datum *keys)
{
	const struct lade_yaml_node *found = NULL;

	if (c->config->many)
		return set_many(c, b, at, keys);
	for (int k = 0; k < c->rows->n; k++) {
		const struct lade_yaml_node *row = c->rows->pairs[k].value;

		if (!is_row_of(c, row, keys))
			continue;
		if (found) {
			lade_pipe_reject(b, at, c->config->name, "the rows of lines %d and %d are"
					 " both its (many: true makes an array of them)",
					 found->line, row->line);
			return 0;
		}
		found = row;
	}
	if (!found && c->config->on_missing == LADE_MISSING_REJECT)
		lade_pipe_reject(b, at, c->config->name, "the query has no row for it");
	else
		return set_columns(c, b, at, found);
	return 0;
}

static int canned_process(struct lade_pipe_stage *stage, struct lade_pipe_batch *b,
			  const uint32_t *index, uint32_t n)
{
	const struct canned *c = stage->self;
	struct lade_datum keys[LADE_PIPE_NAMES_MAX];
	struct lade_json_error error;
	int rc = 0;

	stage->calls++;
	stage->asked += n;
	for (uint32_t k = 0; rc == 0 && k < n; k++) {
		for (int i = 0; rc == 0 && i < c->config->keys.n; i++)
			rc = lade_pipe_message_value(&b->messages[index[k]], b->shape, &c->refs[i],
						     b->reader, &b->arena, &keys[i], &error);
		if (rc == -EBADMSG) {
			lade_pipe_reject(b, index[k], c->config->name, "%s", error.reason);
			rc = 0;
		} else if (rc == 0) {
			rc = answer(c, b, index[k], keys);
		}
	}
	return rc;
}

static void canned_close(struct lade_pipe_stage *stage)
{
	free(stage->self);
	stage->self = NULL;
}

const struct lade_pipe_step_ops lade_pipe_canned_rows = { canned_open, canned_process,
							  canned_close };
