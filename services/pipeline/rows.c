/* SPDX-License-Identifier: MIT */
/* rows.c - messages as rows of a table, and dead letters as rows of theirs.
 *
 * What a message has for a column is found here; how rows get into a database is the sink's. */

#include "services/pipeline/rows.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* Cells */

static bool is_whole(const struct lade_datum *d)
{
	for (uint32_t i = 0; i < d->len; i++)
		if (d->text[i] == '.' || d->text[i] == 'e' || d->text[i] == 'E')
			return false;
	return true;
}

/* A value of a column that asks for no type: a number as a number, a string as text. */
static int natural(struct lade_pipe_table *t, struct lade_pipe_batch *b, uint32_t at,
		   unsigned column, struct lade_datum *d, struct lade_json_error *error)
{
	struct lade_pipe_ref ref = t->columns[column].ref;
	int rc;

	if (d->type != LADE_JSON || !d->len)
		return 0;
	switch (d->text[0]) {
	case '{':
	case '[':
		return 0;
	case '"':
		ref.want.type = LADE_TEXT;
		break;
	case 't':
	case 'f':
		ref.want.type = LADE_BOOLEAN;
		break;
	default:
		ref.want.type = is_whole(d) ? LADE_INTEGER : LADE_DOUBLE;
	}
	rc = lade_pipe_message_value(&b->messages[at], b->shape, &ref, t->reader, &b->arena, d,
				     error);
	/* Digits beyond the type are kept as text. */
	if (rc == -EBADMSG && ref.want.type != LADE_TEXT) {
		ref.want.type = LADE_TEXT;
		rc = lade_pipe_message_value(&b->messages[at], b->shape, &ref, t->reader,
					     &b->arena, d, error);
	}
	return rc;
}

/* Whether every member of the message has a column; if not, *ret_error says which has none. */
static int check_extra(struct lade_pipe_table *t, struct lade_pipe_batch *b, uint32_t at,
		       struct lade_json_error *error)
{
	struct lade_pipe_message *m = &b->messages[at];
	struct lade_json_member member;
	struct lade_json_out out;
	uint32_t cursor = 0;
	int rc;

	lade_json_out_init(&out, 64 << 20);
	rc = lade_pipe_message_write(m, b->shape, t->reader, &out, error);
	if (rc == 0)
		rc = lade_json_read(t->reader, NULL, out.data, out.len, 0, NULL, error);
	while (rc == 0 && lade_json_member_next(t->reader, &cursor, &member) > 0) {
		bool known = false;

		for (unsigned c = 0; c < t->n_columns && !known; c++)
			known = strlen(t->columns[c].name) == member.name.len &&
				memcmp(t->columns[c].name, out.data + member.name.at,
				       member.name.len) == 0;
		if (!known) {
			snprintf(error->reason, sizeof(error->reason),
				 "the table has no column %.*s (extra: ignore lets it pass)",
				 (int)(member.name.len > 80 ? 80 : member.name.len),
				 out.data + member.name.at);
			rc = -EBADMSG;
		}
	}
	lade_json_out_done(&out);
	return rc;
}

static int take_row(struct lade_pipe_table *t, struct lade_pipe_batch *b, uint32_t at,
		    struct lade_pipe_rows *rows, struct lade_json_error *error)
{
	struct lade_datum *cells = rows->cells + (size_t)rows->n * t->n_columns;
	int rc = t->check_extra ? check_extra(t, b, at, error) : 0;

	for (unsigned c = 0; rc == 0 && c < t->n_columns; c++) {
		rc = lade_pipe_message_value(&b->messages[at], b->shape, &t->columns[c].ref,
					     t->reader, &b->arena, &cells[c], error);
		if (rc == 0 && t->columns[c].as_it_comes)
			rc = natural(t, b, at, c, &cells[c], error);
	}
	if (rc == 0) {
		rows->is_delete[rows->n] = false;
		rows->batch_of[rows->n] = b;
		rows->at_of[rows->n++] = at;
	}
	return rc;
}

/* The key of a row that a message without a value deletes. */
static int take_delete(struct lade_pipe_table *t, struct lade_pipe_batch *b, uint32_t at,
		       struct lade_pipe_rows *rows, struct lade_json_error *error)
{
	struct lade_datum *cells = rows->cells + (size_t)rows->n * t->n_columns;
	int rc = 0;

	for (unsigned c = 0; rc == 0 && c < t->n_columns; c++) {
		cells[c] = (struct lade_datum){ .type = LADE_NULL };
		if (t->columns[c].is_key)
			rc = lade_pipe_message_value(&b->messages[at], b->shape, &t->columns[c].ref,
						     t->reader, &b->arena, &cells[c], error);
	}
	if (rc == 0) {
		rows->is_delete[rows->n] = true;
		rows->batch_of[rows->n] = b;
		rows->at_of[rows->n++] = at;
	}
	return rc;
}

/* Dead letters, as rows */

static int take_letter(struct lade_pipe_table *t, const struct lade_pipe_message *m,
		       const struct lade_pipe_fate *fate, struct lade_pipe_rows *rows)
{
	const struct lade_pipe_engine *e = t->outlet->engine;
	const char *topic = m->lane ? m->lane->topic : "";
	struct lade_datum *c = rows->letters + (size_t)rows->n_letters * LADE_PIPE_LETTER_COLUMNS;
	const struct lade_pipe_rejection why = { fate->step, fate->reason,
						 (int64_t)fate->attempts, fate->first_us };
	struct lade_json_out out;
	char *text;

	lade_json_out_init(&out, 64 << 20);
	if (lade_pipe_dead_letter(m, &why, &out) < 0) {
		lade_json_out_done(&out);
		return -ENOMEM;
	}
	text = lade_arena_copy(&rows->arena, out.data, out.len);
	if (text) {
		c[0] = lade_datum_text(e->config->name, (uint32_t)strlen(e->config->name));
		c[1] = lade_datum_text(topic, (uint32_t)strlen(topic));
		c[2] = lade_datum_integer(m->lane ? m->lane->part : 0);
		c[3] = lade_datum_integer(m->offset);
		c[4] = lade_datum_integer(m->line);
		c[5] = lade_datum_text(fate->step, (uint32_t)strlen(fate->step));
		c[6] = lade_datum_text(fate->reason, (uint32_t)strlen(fate->reason));
		c[7] = lade_datum_integer((int64_t)fate->attempts);
		c[8] = lade_datum_integer(fate->first_us);
		c[8].type = LADE_TIMESTAMP;
		c[9] = lade_datum_text(text, (uint32_t)out.len);
		rows->n_letters++;
	}
	lade_json_out_done(&out);
	return text ? 0 : -ENOMEM;
}

static int take_letters(struct lade_pipe_table *t, struct lade_pipe_batch *b,
			struct lade_pipe_rows *rows)
{
	int rc = 0;

	for (uint32_t i = 0; rc == 0 && i < b->n_rejected; i++)
		rc = take_letter(t, &b->rejected[i], &b->rejected_fates[i], rows);
	for (uint32_t i = 0; rc == 0 && i < b->n; i++)
		if (b->fates[i].verdict == LADE_VERDICT_REJECT)
			rc = take_letter(t, &b->messages[i], &b->fates[i], rows);
	return rc;
}

/* A message that has no place in the table. Without dead letters nothing may be written: the
 * offset would move past it.  Returns 0, or -EBADMSG. */
int lade_pipe_rows_reject(const struct lade_pipe_table *t, struct lade_pipe_batch *b, uint32_t at,
			  const char *reason)
{
	lade_pipe_reject(b, at, "sink", "%s", reason);
	return lade_pipe_has_letters(t->outlet->engine) ? 0 : -EBADMSG;
}

int lade_pipe_rows_gather(struct lade_pipe_table *t, struct lade_pipe_batch *const *batches,
			  uint32_t n, struct lade_pipe_rows *rows)
{
	struct lade_json_error error;
	size_t all = 0, letters = 0;
	int rc = 0;

	for (uint32_t k = 0; k < n; k++) {
		all += batches[k]->n;
		letters += batches[k]->n + batches[k]->n_rejected;
	}
	rows->cells = lade_arena_alloc(&rows->arena,
				       (all * t->n_columns + 1) * sizeof(struct lade_datum));
	rows->batch_of = lade_arena_alloc(&rows->arena, (all + 1) * sizeof(*rows->batch_of));
	rows->at_of = lade_arena_alloc(&rows->arena, (all + 1) * sizeof(*rows->at_of));
	if (t->letters)
		rows->letters = lade_arena_alloc(
			&rows->arena,
			(letters * LADE_PIPE_LETTER_COLUMNS + 1) * sizeof(struct lade_datum));
	rows->is_delete = lade_arena_alloc(&rows->arena, all + 1);
	if (!rows->cells || !rows->batch_of || !rows->at_of || !rows->is_delete ||
	    (t->letters && !rows->letters))
		return -ENOMEM;
	for (uint32_t k = 0; k < n; k++) {
		struct lade_pipe_batch *b = batches[k];

		for (uint32_t i = 0; i < b->n; i++) {
			if (b->fates[i].verdict == LADE_VERDICT_OK)
				rc = take_row(t, b, i, rows, &error);
			else if (t->deletes && b->fates[i].verdict == LADE_VERDICT_PASS)
				rc = take_delete(t, b, i, rows, &error);
			else
				continue;
			if (rc == -EBADMSG)
				rc = lade_pipe_rows_reject(t, b, i, error.reason);
			if (rc < 0)
				return rc;
		}
		rc = t->letters ? take_letters(t, b, rows) : 0;
		if (rc < 0)
			return rc;
	}
	return 0;
}

/* Opening */

static bool is_in(const struct lade_pipe_map *list, const char *name)
{
	for (int i = 0; i < list->n; i++)
		if (strcasecmp(list->at[i].text, name) == 0)
			return true;
	return false;
}

int lade_pipe_table_listed(struct lade_pipe_table *t, struct lade_pipe_shape *shape,
			   const char **ret_column, struct lade_json_error *ret_error)
{
	const struct lade_pipe_map *map = &t->outlet->config->columns;

	for (int i = 0; i < map->n; i++) {
		const char *text = map->at[i].text;
		int rc = lade_pipe_shape_ask(shape, text, strlen(text), &t->columns[i].ref,
					     ret_error);

		*ret_column = map->at[i].name;
		if (rc < 0)
			return rc;
		t->columns[i].name = map->at[i].name;
	}
	t->n_columns = (unsigned)map->n;
	t->deletes = lade_pipe_sink_deletes(t->outlet->engine->config, t->outlet->config);
	for (unsigned i = 0; t->deletes && i < t->n_columns; i++)
		t->columns[i].is_key = is_in(&t->outlet->config->key, t->columns[i].name);
	return 0;
}

/* The path to the member of a name, whatever is in the name; NULL: out of memory. */
static char *path_of(const char *name)
{
	struct lade_json_out out;

	lade_json_out_init(&out, 4096);
	lade_json_out_raw(&out, ".", 1);
	lade_json_out_string(&out, name, strlen(name));
	lade_json_out_raw(&out, "", 1);
	if (out.status < 0)
		lade_json_out_done(&out);
	return out.data;
}

int lade_pipe_table_by_name(struct lade_pipe_table *t, struct lade_pipe_shape *shape,
			    const char *name, struct lade_want want,
			    struct lade_json_error *ret_error)
{
	struct lade_pipe_column *c = &t->columns[t->n_columns];
	int rc;

	*c = (struct lade_pipe_column){ .name = name, .text = path_of(name) };
	if (!c->text)
		return -ENOMEM;
	t->n_columns++;
	rc = lade_pipe_shape_ask(shape, c->text, strlen(c->text), &c->ref, ret_error);
	c->ref.want = want;
	c->as_it_comes = want.type == LADE_ABSENT;
	if (c->as_it_comes)
		c->ref.want.type = LADE_JSON;
	return rc;
}

void lade_pipe_table_done(struct lade_pipe_table *t)
{
	lade_json_reader_free(t->reader);
	for (unsigned i = 0; i < t->n_columns; i++)
		free(t->columns[i].text);
}
