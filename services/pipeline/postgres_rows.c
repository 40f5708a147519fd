/* SPDX-License-Identifier: MIT */
/* postgres_rows.c - rows on their way into PostgreSQL: in which order, and which of them is bad. */

#include "services/pipeline/sink_postgres.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* The order of rows */

static int compare(const struct lade_datum *a, const struct lade_datum *b)
{
	uint32_t len = a->len < b->len ? a->len : b->len;
	int order;

	if (a->type != b->type)
		return a->type < b->type ? -1 : 1;
	switch (a->type) {
	case LADE_TEXT:
	case LADE_JSON:
		order = len ? memcmp(a->text, b->text, len) : 0;
		return order ? order : (a->len > b->len) - (a->len < b->len);
	case LADE_DOUBLE:
		return (a->real > b->real) - (a->real < b->real);
	case LADE_INTEGER:
	case LADE_BOOLEAN:
	case LADE_TIMESTAMP:
		return (a->integer > b->integer) - (a->integer < b->integer);
	default:
		return 0;
	}
}

static int compare_keys(const struct lade_pipe_pg_sink *s, const struct lade_datum *a,
			const struct lade_datum *b)
{
	for (unsigned k = 0; k < s->n_key; k++) {
		int order = compare(&a[s->key[k]], &b[s->key[k]]);

		if (order)
			return order;
	}
	return 0;
}

/* A row on its way: which one it was. */
struct placed {
	const struct lade_pipe_pg_sink *s;
	const struct lade_datum *cells;
	uint32_t row;
	bool is_delete;
};

static int by_key(const void *a, const void *b)
{
	const struct placed *x = a, *y = b;
	int order = compare_keys(x->s, x->cells, y->cells);

	return order ? order : (x->row > y->row) - (x->row < y->row);
}

/* Of two rows of one key, in the order of their lanes: does the later one count? */
static bool replaces(const struct lade_pipe_pg_sink *s, const struct placed *later,
		     const struct placed *earlier)
{
	return s->version < 0 || earlier->cells[s->version].type == LADE_NULL ||
	       compare(&later->cells[s->version], &earlier->cells[s->version]) > 0;
}

static bool has_null_key(const struct lade_pipe_pg_sink *s, const struct placed *p)
{
	for (unsigned k = 0; k < s->n_key; k++)
		if (p->cells[s->key[k]].type == LADE_NULL)
			return true;
	return false;
}

/* Sorts rows by key, and leaves one of each for an upsert. */
static uint32_t sort_and_reduce(const struct lade_pipe_pg_sink *s, struct placed *rows, uint32_t n)
{
	const struct lade_pipe_sink *c = s->outlet->config;
	uint32_t kept = 0;

	if (!s->n_key || c->on_conflict == LADE_CONFLICT_ERROR)
		return n;
	qsort(rows, n, sizeof(*rows), by_key);
	for (uint32_t i = 0; i < n; i++) {
		/* Two nulls are not one key. */
		if (c->on_conflict == LADE_CONFLICT_UPDATE && kept &&
		    compare_keys(s, rows[kept - 1].cells, rows[i].cells) == 0 &&
		    !has_null_key(s, &rows[i])) {
			if (replaces(s, &rows[i], &rows[kept - 1]))
				rows[kept - 1] = rows[i];
		} else {
			rows[kept++] = rows[i];
		}
	}
	return kept;
}

/* Some of the columns of the rows that are deleted, or of those that are not, as arrays. */
static uint32_t bind_some(struct lade_pipe_pg_sink *s, const struct placed *placed, uint32_t n,
			  bool deleted, struct lade_datum *cells)
{
	const unsigned columns = s->rows.n_columns, bound = deleted ? s->n_key : columns;
	struct lade_pg_args *args = deleted ? &s->remove_args : &s->row_args;
	uint32_t kept = 0;

	for (uint32_t i = 0; i < n; i++)
		if (placed[i].is_delete == deleted)
			memcpy(cells + (size_t)kept++ * columns, placed[i].cells,
			       columns * sizeof(*cells));
	lade_pg_args_reset(args);
	for (unsigned c = 0; c < bound; c++) {
		unsigned at = deleted ? s->key[c] : c;

		lade_pg_array_of(args, lade_pg_type_of(s->rows.columns[at].ref.want.type),
				 cells + at, columns, kept);
	}
	return kept;
}

int lade_pipe_pg_bind(struct lade_pipe_pg_sink *s, struct lade_pipe_rows *rows,
		      const uint32_t *index, uint32_t n)
{
	unsigned columns = s->rows.n_columns;
	struct placed *placed = malloc((n + 1) * sizeof(*placed));
	struct lade_datum *cells = malloc(((size_t)n * columns + 1) * sizeof(*cells));
	int rc = placed && cells ? 0 : -ENOMEM;

	for (uint32_t i = 0; rc == 0 && i < n; i++)
		placed[i] = (struct placed){ s, rows->cells + (size_t)index[i] * columns, index[i],
					     rows->is_delete[index[i]] };
	if (rc == 0) {
		n = sort_and_reduce(s, placed, n);
		s->n_bound = bind_some(s, placed, n, false, cells);
		s->n_removed = s->remove ? bind_some(s, placed, n, true, cells) : 0;
		rc = s->row_args.status ? s->row_args.status : s->remove_args.status;
	}
	free(placed);
	free(cells);
	return rc;
}

unsigned lade_pipe_pg_row_statements(struct lade_pipe_pg_sink *s, struct lade_pg_statement ret[2])
{
	unsigned n = 0;

	if (s->n_removed)
		ret[n++] = (struct lade_pg_statement){ s->remove, &s->remove_args };
	if (s->n_bound)
		ret[n++] = (struct lade_pg_statement){ s->insert, &s->row_args };
	return n;
}

void lade_pipe_pg_bind_letters(struct lade_pipe_pg_sink *s, const struct lade_pipe_rows *rows)
{
	static const enum lade_pg_type types[LADE_PIPE_LETTER_COLUMNS] = {
		LADE_PG_TEXT, LADE_PG_TEXT, LADE_PG_INT8, LADE_PG_INT8,        LADE_PG_INT8,
		LADE_PG_TEXT, LADE_PG_TEXT, LADE_PG_INT8, LADE_PG_TIMESTAMPTZ, LADE_PG_TEXT
	};

	lade_pg_args_reset(&s->letter_args);
	for (unsigned c = 0; c < LADE_PIPE_LETTER_COLUMNS; c++)
		lade_pg_array_of(&s->letter_args, types[c], rows->letters + c,
				 LADE_PIPE_LETTER_COLUMNS, rows->n_letters);
}

/* Which row it is */

/* A cardinality violation is the data's, too: keys that PostgreSQL finds equal and we did not. */
bool lade_pipe_pg_is_datas(const struct lade_pipe_pg_sink *s, int rc)
{
	return rc == -EBADMSG || (rc == -EIO && strncmp(s->error.sqlstate, "21", 2) == 0);
}

/* Writes rows and takes them back.  Returns 0: they are fine; -EBADMSG: they are not; < 0. */
static int try_rows(struct lade_pipe_pg_sink *s, struct lade_pipe_rows *rows, const uint32_t *index,
		    uint32_t n)
{
	struct lade_pg_statement statements[4];
	int rc = lade_pipe_pg_bind(s, rows, index, n);
	unsigned last;

	if (rc < 0)
		return rc == -EMSGSIZE ? -EBADMSG : rc;
	last = lade_pipe_pg_row_statements(s, statements) + 1;
	statements[last - 1] =
		(struct lade_pg_statement){ "set constraints all immediate", NULL };
	statements[last] = (struct lade_pg_statement){ "select 1 / 0", NULL };
	rc = lade_pipe_pg_call(s, statements, last + 1, NULL);
	if (rc == -EBADMSG && s->error.statement == (int)last)
		return 0;
	return lade_pipe_pg_is_datas(s, rc) ? -EBADMSG : rc;
}

static int blame(struct lade_pipe_pg_sink *s, struct lade_pipe_rows *rows, uint32_t row,
		 uint32_t *found)
{
	++*found;
	return lade_pipe_rows_reject(&s->rows, rows->batch_of[row], rows->at_of[row], s->why);
}

/* Rows that are fine one by one and not together: the shortest beginning that fails ends with the
 * one to blame. */
static int find_in_the_way(struct lade_pipe_pg_sink *s, struct lade_pipe_rows *rows,
			   const uint32_t *index, uint32_t n, uint32_t *found)
{
	uint32_t good = 0, failing = n;
	char why[512];
	int rc;

	snprintf(why, sizeof(why), "%s", s->why);
	while (failing - good > 1) {
		uint32_t half = good + (failing - good) / 2;

		rc = try_rows(s, rows, index, half);
		if (rc == -EBADMSG)
			snprintf(why, sizeof(why), "%s", s->why);
		else if (rc < 0)
			return rc;
		if (rc == 0)
			good = half;
		else
			failing = half;
	}
	snprintf(s->why, sizeof(s->why), "%s", why);
	return blame(s, rows, index[failing - 1], found);
}

/* Rejects the rows of @index that PostgreSQL refuses; these fail as a whole. */
int lade_pipe_pg_find_bad(struct lade_pipe_pg_sink *s, struct lade_pipe_rows *rows,
			  const uint32_t *index, uint32_t n, uint32_t *found)
{
	uint32_t before = *found;
	int rc = 0;

	if (n == 1)
		return blame(s, rows, *index, found);
	for (uint32_t from = 0, half = n / 2; rc == 0 && from < n; from += half, half = n - half) {
		rc = try_rows(s, rows, index + from, half);
		if (rc == -EBADMSG)
			rc = lade_pipe_pg_find_bad(s, rows, index + from, half, found);
	}
	if (rc == 0 && *found == before) {
		rc = try_rows(s, rows, index, n);
		if (rc == -EBADMSG)
			rc = find_in_the_way(s, rows, index, n, found);
	}
	return rc;
}
