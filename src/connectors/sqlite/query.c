/* SPDX-License-Identifier: MIT */
/* query.c - one query over a batch, and its rows put to the messages they belong to.
 *
 * DESIGN
 * A query owns its connection: the columns of `batch` are the query's, and a connection has
 * one relation of that name.  What it may do is decided by SQLite's authorizer, again
 * whenever SQLite prepares it anew: read, call functions, nothing else.
 *
 * Rows may come in any order.  They are kept as they come and ordered by counting, which
 * also says which rows belong to which message.
 *
 * A failure of the query at run time is a data error (malformed JSON in a message, an integer
 * overflow) unless the query cannot even be prepared any more (a table was dropped).
 *
 * LIMITS  rows_max, bytes_max of the query; what SQLite materializes for a sort or a
 * recursion is bounded by the time limit only. */

#include "connectors/sqlite/sqlite_priv.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/alloc.h"

#define ROWS_MAX 1000000u
#define BYTES_MAX ((size_t)64 << 20)
#define ARENA_BLOCK ((size_t)32 << 10)
#define MEMORY_OUT "memory is out"

struct lade_sqlite_query {
	struct lade_sqlite db;
	struct lade_sqlite_relation relation;	/* `batch` */
	enum lade_sqlite_query_kind kind;
	sqlite3_stmt *statement;
	int total;			/* columns of the statement */
	int i_column;			/* where i is, or -1 */
	bool many;			/* several rows of one i are fine */
	const char *refused;		/* what the authorizer did not let pass, or NULL */
	char refused_name[64];		/* and of what */
	uint32_t rows_max;		/* rows of an answer */
};

static const char *action_name(int action)
{
	switch (action) {
	case SQLITE_INSERT: return "an INSERT";
	case SQLITE_UPDATE: return "an UPDATE";
	case SQLITE_DELETE: return "a DELETE";
	case SQLITE_ATTACH:
	case SQLITE_DETACH: return "an ATTACH";
	case SQLITE_READ:
	case SQLITE_PRAGMA: return "a PRAGMA";
	case SQLITE_TRANSACTION:
	case SQLITE_SAVEPOINT: return "a transaction";
	case SQLITE_FUNCTION: return "the function";
	default: return "a change of the schema";
	}
}

/* To declare a virtual table (batch, json_each) SQLite asks to update its schema, within the
 * query's own preparation.  A statement that means it does not get far: the schema cannot be
 * written in defensive mode, and it would not be read-only. */
static bool is_allowed(int action, const char *first, const char *second)
{
	switch (action) {
	case SQLITE_SELECT:
	case SQLITE_RECURSIVE:
		return true;
	case SQLITE_READ:
		return !first || strncasecmp(first, "pragma_", 7) != 0;
	case SQLITE_UPDATE:
		return first && strcmp(first, "sqlite_master") == 0;
	case SQLITE_FUNCTION:
		return !second || (strcasecmp(second, "load_extension") != 0 &&
				   strcasecmp(second, "fts3_tokenizer") != 0);
	default:
		return false;
	}
}

static int on_authorize(void *arg, int action, const char *first, const char *second,
			const char *database, const char *inner)
{
	struct lade_sqlite_query *query = arg;

	(void)database, (void)inner;
	if (is_allowed(action, first, second))
		return SQLITE_OK;
	query->refused = action_name(action);
	snprintf(query->refused_name, sizeof(query->refused_name), "%s",
		 action == SQLITE_FUNCTION ? second : first ? first : "");
	return SQLITE_DENY;
}

static int refuse(const char *text, struct lade_sqlite_error *error)
{
	return lade_sqlite_fail(error, LADE_SQLITE_FATAL, "%s", text);
}

/* Is there nothing but blanks, semicolons and comments behind the statement? */
static bool is_tail(struct lade_sqlite_query *query, const char *tail)
{
	sqlite3_stmt *more = NULL;
	const char *rest = tail;
	bool end = true;

	while (end && *rest) {
		if (sqlite3_prepare_v2(query->db.db, rest, -1, &more, &tail) != SQLITE_OK || more)
			end = false;
		sqlite3_finalize(more);
		if (tail == rest)
			break;
		rest = tail;
	}
	return end;
}

static int prepare(struct lade_sqlite_query *query, const char *sql,
		   struct lade_sqlite_error *error)
{
	const char *tail = "";
	int code = sqlite3_prepare_v3(query->db.db, sql, -1, SQLITE_PREPARE_PERSISTENT,
				      &query->statement, &tail);

	if (query->refused)
		return lade_sqlite_fail(error, LADE_SQLITE_FATAL, "the query contains %s%s%s; only"
					" SELECT is allowed here", query->refused,
					*query->refused_name ? " " : "", query->refused_name);
	if (code != SQLITE_OK) {
		int at = sqlite3_error_offset(query->db.db);
		int rc = lade_sqlite_failed(&query->db, code, "the query", error);

		error->position = at < 0 ? 0 : at + 1;
		return rc;
	}
	if (!query->statement)
		return refuse("the query is empty", error);
	if (!is_tail(query, tail))
		return refuse("the query is followed by another statement; only one SELECT is"
			      " allowed here", error);
	if (!sqlite3_stmt_readonly(query->statement) || sqlite3_stmt_isexplain(query->statement) ||
	    !sqlite3_column_count(query->statement))
		return refuse("the query is not a SELECT", error);
	if (sqlite3_bind_parameter_count(query->statement))
		return refuse("the query has parameters (?); values come from the columns of batch",
			      error);
	return 0;
}

static const char *name_at(const struct lade_sqlite_query *query, int column)
{
	const char *name = sqlite3_column_name(query->statement, column);

	return name ? name : "";
}

static int find(const struct lade_sqlite_query *query, const char *name)
{
	for (int c = 0; c < query->total; c++)
		if (strcasecmp(name_at(query, c), name) == 0)
			return c;
	return -1;
}

static int check_names(const struct lade_sqlite_query *query, struct lade_sqlite_error *error)
{
	if (query->total > LADE_SQLITE_COLUMNS_MAX)
		return refuse("the query returns more than 256 columns", error);
	for (int c = 0; c < query->total; c++) {
		const char *name = name_at(query, c);

		if (!*name || strlen(name) > LADE_SQLITE_NAME_MAX)
			return refuse("a column of the query has no usable name; name it with AS",
				      error);
		if (find(query, name) != c)
			return lade_sqlite_fail(error, LADE_SQLITE_FATAL, "the query returns two"
						" columns named %.60s; name one of them with AS",
						name);
	}
	return 0;
}

static int check_enrich(const struct lade_sqlite_query *query, struct lade_sqlite_error *error)
{
	if (query->i_column < 0)
		return refuse("the query does not return the column i; without it nobody knows to"
			      " which message a row belongs: select b.i, ... from batch b ...",
			      error);
	if (query->total < 2)
		return refuse("the query returns nothing but i; add the columns that the message"
			      " gets", error);
	return 0;
}

static int check_transform(const struct lade_sqlite_query *query,
			   struct lade_sqlite_error *error)
{
	static const char *const known[] = { "i", "value", "key", "topic", "headers" };

	if (find(query, "value") < 0)
		return refuse("the query does not return a column named value, which is the new"
			      " message: select i, json_object(...) as value from batch", error);
	for (int c = 0; c < query->total; c++) {
		const char *name = name_at(query, c);
		size_t k = 0;

		while (k < sizeof(known) / sizeof(*known) && strcasecmp(known[k], name) != 0)
			k++;
		if (k == sizeof(known) / sizeof(*known))
			return lade_sqlite_fail(error, LADE_SQLITE_FATAL, "the query returns the"
						" column %.60s; a transform returns i, value, key,"
						" topic and headers", name);
	}
	return 0;
}

static int set_up(struct lade_sqlite_query *query, const struct lade_sqlite_query_config *config,
		  struct lade_sqlite_error *error)
{
	int rc = lade_sqlite_relation_add(&query->db, &query->relation, config->columns,
					  config->n_columns, error);

	if (rc < 0)
		return rc;
	sqlite3_set_authorizer(query->db.db, on_authorize, query);
	rc = prepare(query, config->sql, error);
	if (rc < 0)
		return rc;
	query->kind = config->kind;
	query->many = config->many || config->kind == LADE_SQLITE_TRANSFORM;
	query->rows_max = config->rows_max ? config->rows_max : ROWS_MAX;
	query->total = sqlite3_column_count(query->statement);
	query->i_column = find(query, "i");
	rc = check_names(query, error);
	if (rc < 0)
		return rc;
	return config->kind == LADE_SQLITE_ENRICH ? check_enrich(query, error) :
						    check_transform(query, error);
}

int lade_sqlite_query_open(const struct lade_sqlite_query_config *config,
			   struct lade_sqlite_query **ret, struct lade_sqlite_error *ret_error)
{
	struct lade_sqlite_query *query = lade_calloc(1, sizeof(*query));
	int rc;

	if (!query)
		return lade_sqlite_fail(ret_error, LADE_SQLITE_MEMORY, MEMORY_OUT);
	rc = lade_sqlite_open(&config->db, &query->db, ret_error);
	if (rc == 0)
		rc = set_up(query, config, ret_error);
	if (rc < 0)
		lade_sqlite_query_close(query);
	else
		*ret = query;
	return rc;
}

struct lade_sqlite_query *lade_sqlite_query_close(struct lade_sqlite_query *query)
{
	if (!query)
		return NULL;
	sqlite3_finalize(query->statement);
	lade_sqlite_close(&query->db);
	lade_sqlite_relation_done(&query->relation);
	lade_free(query);
	return NULL;
}

struct lade_sqlite *lade_sqlite_query_db(struct lade_sqlite_query *query)
{
	return &query->db;
}

bool lade_sqlite_query_uses_message(const struct lade_sqlite_query *query)
{
	return query->relation.uses_message;
}

bool lade_sqlite_query_per_message(const struct lade_sqlite_query *query)
{
	return query->i_column >= 0;
}

unsigned lade_sqlite_query_columns(const struct lade_sqlite_query *query)
{
	return (unsigned)(query->total - (query->i_column >= 0));
}

/* The statement's column for a column of the result. */
static int statement_column(const struct lade_sqlite_query *query, unsigned column)
{
	int c = (int)column;

	return query->i_column >= 0 && c >= query->i_column ? c + 1 : c;
}

const char *lade_sqlite_query_column(const struct lade_sqlite_query *query, unsigned column)
{
	return name_at(query, statement_column(query, column));
}

int lade_sqlite_query_find(const struct lade_sqlite_query *query, const char *name)
{
	for (unsigned c = 0; c < lade_sqlite_query_columns(query); c++)
		if (strcasecmp(lade_sqlite_query_column(query, c), name) == 0)
			return (int)c;
	return -1;
}

void lade_sqlite_result_init(struct lade_sqlite_result *result,
			     const struct lade_sqlite_query_config *config)
{
	size_t bytes = config->bytes_max ? config->bytes_max : BYTES_MAX;

	*result = (struct lade_sqlite_result){ .rows = 0 };
	lade_arena_init(&result->arena, bytes < ARENA_BLOCK ? bytes : ARENA_BLOCK, bytes);
}

void lade_sqlite_result_done(struct lade_sqlite_result *result)
{
	lade_arena_done(&result->arena);
	lade_free(result->cells);
	lade_free(result->i);
	lade_free(result->order);
	lade_free(result->first);
	result->cells = NULL;
	result->i = result->order = result->first = NULL;
	result->rows = result->rows_cap = result->first_cap = 0;
}

/* Grows one array of the result; the old one stays when memory is out. */
static bool grow(void *array, size_t n, size_t size)
{
	void **place = array, *fresh = lade_realloc(*place, n * size);

	if (fresh)
		*place = fresh;
	return fresh;
}

static int grow_rows(struct lade_sqlite_result *result, struct lade_sqlite_error *error)
{
	uint32_t cap = result->rows_cap ? result->rows_cap * 2 : 64;

	if (result->rows < result->rows_cap)
		return 0;
	if (!grow(&result->cells, (size_t)cap * result->columns + 1, sizeof(*result->cells)) ||
	    !grow(&result->i, cap, sizeof(*result->i)) ||
	    !grow(&result->order, cap, sizeof(*result->order)))
		return lade_sqlite_fail(error, LADE_SQLITE_MEMORY, MEMORY_OUT);
	result->rows_cap = cap;
	return 0;
}

/* The length of the UTF-8 character at @c, of which @len bytes are there; 0: it is none. */
static size_t utf8_len(const unsigned char *c, size_t len)
{
	size_t n = *c < 0x80 ? 1 : *c < 0xe0 ? 2 : *c < 0xf0 ? 3 : 4;

	if ((*c >= 0x80 && *c < 0xc2) || *c > 0xf4 || n > len)
		return 0;
	for (size_t i = 1; i < n; i++)
		if ((c[i] & 0xc0) != 0x80)
			return 0;
	/* No detours, no surrogates, no end beyond U+10FFFF. */
	if ((*c == 0xe0 && c[1] < 0xa0) || (*c == 0xed && c[1] >= 0xa0) ||
	    (*c == 0xf0 && c[1] < 0x90) || (*c == 0xf4 && c[1] >= 0x90))
		return 0;
	return n;
}

/* SQLite checks no text that it is given. */
static bool is_utf8(const char *text, size_t len)
{
	const uint64_t high = UINT64_C(0x8080808080808080);
	uint64_t eight;

	for (size_t at = 0, n; at < len; at += n) {
		n = sizeof(eight);
		if (at + n <= len) {
			memcpy(&eight, text + at, n);
			if (!(eight & high))
				continue;
		}
		n = utf8_len((const unsigned char *)text + at, len - at);
		if (!n)
			return false;
	}
	return true;
}

static int take_text(struct lade_sqlite_query *query, int column,
		     struct lade_sqlite_result *result, struct lade_datum *ret,
		     struct lade_sqlite_error *error)
{
	const char *text = (const char *)sqlite3_column_text(query->statement, column);
	int len = sqlite3_column_bytes(query->statement, column);
	char *copy = text ? lade_arena_copy(&result->arena, text, (size_t)len) : NULL;

	if (!text)
		return lade_sqlite_fail(error, LADE_SQLITE_MEMORY, MEMORY_OUT);
	if (!copy)
		return lade_sqlite_fail(error, LADE_SQLITE_DATA,
					"the answer is longer than %zu bytes;"
					" does the join have its condition?",
					result->arena.max_bytes);
	if (!is_utf8(copy, (size_t)len))
		return lade_sqlite_fail(error, LADE_SQLITE_DATA, "the column %.60s is not UTF-8,"
					" which JSON cannot say", name_at(query, column));
	*ret = lade_datum_text(copy, (uint32_t)len);
	return 0;
}

static int take_cell(struct lade_sqlite_query *query, int column,
		     struct lade_sqlite_result *result, struct lade_datum *ret,
		     struct lade_sqlite_error *error)
{
	switch (sqlite3_column_type(query->statement, column)) {
	case SQLITE_INTEGER:
		*ret = lade_datum_integer(sqlite3_column_int64(query->statement, column));
		return 0;
	case SQLITE_FLOAT:
		*ret = lade_datum_double(sqlite3_column_double(query->statement, column));
		if (!isfinite(ret->real))
			return lade_sqlite_fail(error, LADE_SQLITE_DATA, "the column %.60s is"
						" infinite, which JSON cannot say",
						name_at(query, column));
		return 0;
	case SQLITE_TEXT:
		return take_text(query, column, result, ret, error);
	case SQLITE_BLOB:
		return lade_sqlite_fail(error, LADE_SQLITE_DATA, "the column %.60s is a BLOB, which"
					" JSON cannot say; use hex(%.60s) or a cast to text",
					name_at(query, column), name_at(query, column));
	default:
		*ret = lade_datum_null();
		return 0;
	}
}

static int take_i(struct lade_sqlite_query *query, uint32_t *ret, struct lade_sqlite_error *error)
{
	uint32_t rows = query->relation.batch->rows;
	int64_t i;

	*ret = 0;
	if (query->i_column < 0)
		return 0;
	i = sqlite3_column_int64(query->statement, query->i_column);
	if (sqlite3_column_type(query->statement, query->i_column) != SQLITE_INTEGER || i < 0 ||
	    i >= rows)
		return refuse("the column i of the query is not the i of a message; return b.i as"
			      " it is", error);
	*ret = (uint32_t)i;
	return 0;
}

static int take_row(struct lade_sqlite_query *query, struct lade_sqlite_result *result,
		    struct lade_sqlite_error *error)
{
	struct lade_datum *cells;
	int rc;

	if (result->rows == query->rows_max)
		return lade_sqlite_fail(error, LADE_SQLITE_DATA, "the answer has more than %u rows;"
					" does the join have its condition?", query->rows_max);
	rc = grow_rows(result, error);
	if (rc == 0)
		rc = take_i(query, &result->i[result->rows], error);
	if (rc < 0)
		return rc;
	cells = result->cells + (size_t)result->rows * result->columns;
	for (unsigned c = 0; rc == 0 && c < result->columns; c++)
		rc = take_cell(query, statement_column(query, c), result, &cells[c], error);
	result->rows += rc == 0;
	return rc;
}

/* Can the query still be prepared?  If not it is not the data's fault that it failed. */
static bool still_valid(struct lade_sqlite_query *query)
{
	sqlite3_stmt *again = NULL;
	int code = sqlite3_prepare_v2(query->db.db, sqlite3_sql(query->statement), -1, &again,
				      NULL);

	sqlite3_finalize(again);
	return code == SQLITE_OK;
}

static int run_failed(struct lade_sqlite_query *query, int code, struct lade_sqlite_error *error)
{
	int rc = lade_sqlite_failed(&query->db, code, "the query", error);

	if (error->code == SQLITE_ERROR && still_valid(query)) {
		error->fault = LADE_SQLITE_DATA;
		rc = -EBADMSG;
	}
	return rc;
}

static int take_rows(struct lade_sqlite_query *query, struct lade_sqlite_result *result,
		     struct lade_sqlite_error *error)
{
	int code, rc = 0;

	while (rc == 0 && (code = sqlite3_step(query->statement)) == SQLITE_ROW)
		rc = take_row(query, result, error);
	if (rc == 0 && code != SQLITE_DONE)
		rc = run_failed(query, code, error);
	sqlite3_reset(query->statement);
	return rc;
}

/* Orders the rows by i: .first counts them, then says where each message's begin. */
static int order_rows(struct lade_sqlite_query *query, struct lade_sqlite_result *result,
		      struct lade_sqlite_error *error)
{
	uint32_t messages = query->i_column >= 0 ? query->relation.batch->rows : 1, sum = 0;

	if (messages + 2 > result->first_cap) {
		if (!grow(&result->first, messages + (size_t)2, sizeof(*result->first)))
			return lade_sqlite_fail(error, LADE_SQLITE_MEMORY, MEMORY_OUT);
		result->first_cap = messages + 2;
	}
	memset(result->first, 0, (messages + (size_t)2) * sizeof(*result->first));
	for (uint32_t r = 0; r < result->rows; r++)
		result->first[result->i[r] + 2]++;
	for (uint32_t m = 2; m <= messages + 1; m++) {
		if (!query->many && result->first[m] > 1)
			return lade_sqlite_fail(error, LADE_SQLITE_DATA,
						"the query returns %u rows for"
						" one message (i = %u); make it one, or say many:"
						" true",
						result->first[m], m - 2);
		sum += result->first[m];
		result->first[m] = sum;
	}
	for (uint32_t r = 0; r < result->rows; r++)
		result->order[result->first[result->i[r] + 1]++] = r;
	return 0;
}

int lade_sqlite_query_run(struct lade_sqlite_query *query, const struct lade_sqlite_batch *batch,
			  int64_t limit_ns, struct lade_sqlite_result *result,
			  struct lade_sqlite_error *ret_error)
{
	int rc;

	result->rows = 0;
	if (result->columns != lade_sqlite_query_columns(query))
		result->rows_cap = 0;
	result->columns = lade_sqlite_query_columns(query);
	lade_arena_reset(&result->arena);
	lade_sqlite_begin_call(&query->db, limit_ns);
	if (atomic_load(&query->db.stop))
		return lade_sqlite_fail(ret_error, LADE_SQLITE_STOPPED, "the query was stopped");
	query->relation.batch = batch;
	rc = take_rows(query, result, ret_error);
	if (rc == 0)
		rc = order_rows(query, result, ret_error);
	query->relation.batch = NULL;
	return rc;
}
