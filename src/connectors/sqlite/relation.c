/* SPDX-License-Identifier: MIT */
/* relation.c - a batch of messages as a table, without copying it.
 *
 * DESIGN
 * `batch` is an eponymous virtual table: it is there without CREATE, in every connection
 * that was told of it, and a query joins it like any other table.  Its values are given to
 * SQLite as static memory: the batch outlives the statement's run.
 *
 * A lookup by i is offered to the planner, so that a query may also begin at its own table.
 * Column m is often the most expensive one to make; whether a query reads it is learned
 * from the mask of columns that the planner asks about. */

#include "connectors/sqlite/sqlite_priv.h"

#include <stdio.h>
#include <string.h>

#include "base/alloc.h"

#define ROWS_GUESS 500		/* what the planner is told about a batch's size */

enum { COLUMN_I, COLUMN_M, COLUMNS_OWN };
enum { PLAN_SCAN, PLAN_LOOKUP };

struct table {
	sqlite3_vtab base;			/* SQLite's part, first */
	struct lade_sqlite_relation *relation;
};

struct cursor {
	sqlite3_vtab_cursor base;		/* SQLite's part, first */
	const struct lade_sqlite_relation *relation;
	uint32_t at;				/* the row */
	uint32_t end;				/* behind the last row of this scan */
};

static int on_connect(sqlite3 *db, void *arg, int argc, const char *const *argv,
		      sqlite3_vtab **ret, char **error)
{
	struct lade_sqlite_relation *relation = arg;
	struct table *table;
	int code = sqlite3_declare_vtab(db, relation->declaration);

	(void)argc, (void)argv, (void)error;
	if (code != SQLITE_OK)
		return code;
	table = sqlite3_malloc(sizeof(*table));
	if (!table)
		return SQLITE_NOMEM;
	*table = (struct table){ .relation = relation };
	*ret = &table->base;
	sqlite3_vtab_config(db, SQLITE_VTAB_INNOCUOUS);
	return SQLITE_OK;
}

static int on_disconnect(sqlite3_vtab *base)
{
	sqlite3_free(base);
	return SQLITE_OK;
}

static bool is_lookup(const struct sqlite3_index_constraint *c)
{
	return c->usable && c->iColumn == COLUMN_I && c->op == SQLITE_INDEX_CONSTRAINT_EQ;
}

static int on_best_index(sqlite3_vtab *base, sqlite3_index_info *info)
{
	struct lade_sqlite_relation *relation = ((struct table *)base)->relation;

	relation->uses_message = relation->uses_message || info->colUsed >> COLUMN_M & 1;
	info->estimatedCost = ROWS_GUESS;
	info->estimatedRows = ROWS_GUESS;
	info->idxNum = PLAN_SCAN;
	info->orderByConsumed = info->nOrderBy == 1 && info->aOrderBy[0].iColumn == COLUMN_I &&
				!info->aOrderBy[0].desc;
	for (int i = 0; i < info->nConstraint; i++) {
		if (!is_lookup(&info->aConstraint[i]))
			continue;
		info->aConstraintUsage[i].argvIndex = 1;
		info->idxNum = PLAN_LOOKUP;
		info->idxFlags = SQLITE_INDEX_SCAN_UNIQUE;
		info->estimatedCost = 1;
		info->estimatedRows = 1;
		break;
	}
	return SQLITE_OK;
}

static int on_open(sqlite3_vtab *base, sqlite3_vtab_cursor **ret)
{
	struct cursor *cursor = sqlite3_malloc(sizeof(*cursor));

	if (!cursor)
		return SQLITE_NOMEM;
	*cursor = (struct cursor){ .relation = ((struct table *)base)->relation };
	*ret = &cursor->base;
	return SQLITE_OK;
}

static int on_close(sqlite3_vtab_cursor *base)
{
	sqlite3_free(base);
	return SQLITE_OK;
}

/* The row that a value equal to i would be in; the planner checks the comparison again. */
static void look_up(struct cursor *cursor, sqlite3_value *value)
{
	uint32_t rows = cursor->end;
	int64_t i = sqlite3_value_int64(value);

	cursor->end = 0;
	if (sqlite3_value_numeric_type(value) == SQLITE_NULL || i < 0 || i >= rows)
		return;
	cursor->at = (uint32_t)i;
	cursor->end = cursor->at + 1;
}

static int on_filter(sqlite3_vtab_cursor *base, int plan, const char *text, int argc,
		     sqlite3_value **argv)
{
	struct cursor *cursor = (struct cursor *)base;
	const struct lade_sqlite_batch *batch = cursor->relation->batch;

	(void)text;
	cursor->at = 0;
	cursor->end = batch ? batch->rows : 0;
	if (plan == PLAN_LOOKUP && argc == 1)
		look_up(cursor, argv[0]);
	return SQLITE_OK;
}

static int on_next(sqlite3_vtab_cursor *base)
{
	((struct cursor *)base)->at++;
	return SQLITE_OK;
}

static int on_eof(sqlite3_vtab_cursor *base)
{
	return ((struct cursor *)base)->at >= ((struct cursor *)base)->end;
}

static void give_timestamp(sqlite3_context *to, int64_t us)
{
	char text[LADE_TIMESTAMP_ROOM];
	int len = lade_timestamp_format(us, text);

	if (len >= 0)
		sqlite3_result_text(to, text, len, SQLITE_TRANSIENT);
}

static void give(sqlite3_context *to, const struct lade_datum *value)
{
	switch (value->type) {
	case LADE_TEXT:
		sqlite3_result_text64(to, value->text ? value->text : "", value->len,
				      SQLITE_STATIC, SQLITE_UTF8);
		break;
	case LADE_JSON:
		sqlite3_result_text64(to, value->text, value->len, SQLITE_STATIC, SQLITE_UTF8);
		sqlite3_result_subtype(to, 'J');
		break;
	case LADE_INTEGER:
	case LADE_BOOLEAN:
		sqlite3_result_int64(to, value->integer);
		break;
	case LADE_DOUBLE:
		sqlite3_result_double(to, value->real);
		break;
	case LADE_TIMESTAMP:
		give_timestamp(to, value->integer);
		break;
	default:
		sqlite3_result_null(to);
	}
}

static int on_column(sqlite3_vtab_cursor *base, sqlite3_context *to, int column)
{
	const struct cursor *cursor = (const struct cursor *)base;
	const struct lade_sqlite_relation *relation = cursor->relation;
	const struct lade_sqlite_batch *batch = relation->batch;

	if (column == COLUMN_I)
		sqlite3_result_int64(to, cursor->at);
	else if (column != COLUMN_M)
		give(to, &batch->cells[(size_t)cursor->at * relation->columns +
				       (size_t)(column - COLUMNS_OWN)]);
	else if (batch->messages)
		give(to, &batch->messages[cursor->at]);
	else
		sqlite3_result_error(to, "column m was not made for this batch", -1);
	return SQLITE_OK;
}

static int on_rowid(sqlite3_vtab_cursor *base, sqlite3_int64 *ret)
{
	*ret = ((struct cursor *)base)->at;
	return SQLITE_OK;
}

static const sqlite3_module module = {
	.iVersion = 1,
	.xConnect = on_connect,		/* and no xCreate: eponymous only */
	.xBestIndex = on_best_index,
	.xDisconnect = on_disconnect,
	.xOpen = on_open,
	.xClose = on_close,
	.xFilter = on_filter,
	.xNext = on_next,
	.xEof = on_eof,
	.xColumn = on_column,
	.xRowid = on_rowid,
};

static const char *affinity(enum lade_datum_type type)
{
	switch (type) {
	case LADE_INTEGER:
	case LADE_BOOLEAN:
		return "integer";
	case LADE_DOUBLE:
		return "real";
	default:
		return "text";
	}
}

/* Appends a name in quotes, the quotes in it doubled. */
static size_t quote(char *to, const char *name)
{
	size_t n = 0;

	to[n++] = '"';
	for (; *name; name++) {
		if (*name == '"')
			to[n++] = '"';
		to[n++] = *name;
	}
	to[n++] = '"';
	to[n] = '\0';
	return n;
}

static int declare(struct lade_sqlite_relation *relation,
		   const struct lade_sqlite_column *columns, unsigned n,
		   struct lade_sqlite_error *error)
{
	static const char begin[] = "create table x(i integer, m text";
	size_t room = sizeof(begin) + 1, at;
	char *text;

	for (unsigned i = 0; i < n; i++) {
		if (strlen(columns[i].name) > LADE_SQLITE_NAME_MAX)
			return lade_sqlite_fail(error, LADE_SQLITE_FATAL,
						"the name of a column is longer than 255 bytes");
		room += 2 * strlen(columns[i].name) + sizeof(", \"\" integer");
	}
	text = lade_malloc(room);
	if (!text)
		return lade_sqlite_fail(error, LADE_SQLITE_MEMORY, "memory is out");
	relation->declaration = text;
	at = (size_t)sprintf(text, "%s", begin);
	for (unsigned i = 0; i < n; i++) {
		at += (size_t)sprintf(text + at, ", ");
		at += quote(text + at, columns[i].name);
		at += (size_t)sprintf(text + at, " %s", affinity(columns[i].want.type));
	}
	sprintf(text + at, ")");
	return 0;
}

int lade_sqlite_relation_add(struct lade_sqlite *db, struct lade_sqlite_relation *relation,
			     const struct lade_sqlite_column *columns, unsigned n,
			     struct lade_sqlite_error *error)
{
	int code, rc;

	*relation = (struct lade_sqlite_relation){ .columns = n };
	if (n > LADE_SQLITE_COLUMNS_MAX)
		return lade_sqlite_fail(error, LADE_SQLITE_FATAL,
					"batch has more than 256 columns");
	rc = lade_sqlite_has_table(db, "batch", error);
	if (rc > 0)
		rc = lade_sqlite_fail(error, LADE_SQLITE_FATAL,
				      "%s has a table named batch, which is"
				      " the name of the messages here; rename that table",
				      db->path);
	if (rc == 0)
		rc = declare(relation, columns, n, error);
	if (rc < 0)
		return rc;
	code = sqlite3_create_module(db->db, "batch", &module, relation);
	return code == SQLITE_OK ? 0 : lade_sqlite_failed(db, code, "batch", error);
}

void lade_sqlite_relation_done(struct lade_sqlite_relation *relation)
{
	lade_free(relation->declaration);
	relation->declaration = NULL;
}
