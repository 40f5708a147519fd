/* SPDX-License-Identifier: MIT */
/* step_sql.c - enrichment: one query per batch, over the batch as a relation of its keys.
 *
 * DESIGN
 * A query has a connection of its own and serves one call at a time; the step keeps as many as
 * batches are enriched at once. Without a cache the whole batch is asked for, where messages of
 * the same keys are one row: the query sees nothing else of them. With a cache, the rows that are
 * neither stored nor under way are: the cache's load of many keys is the query, its key the whole
 * tuple of what the query sees, its value one answer: the rows of that tuple.
 *
 * The answer's columns are set as members of `into`; with `many`, `into` is an array of rows. */

#include "services/pipeline/query.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define PROBES_MAX 16 /* places of a table that are looked at for the row of the same keys */

/* One connection. */
struct asker {
	void *query; /* of s->ops */
	struct lade_sqlite_result result;
	struct asker *next; /* the next one that is free */
};

struct sql {
	struct lade_pipe_stage *stage;
	const struct lade_pipe_query_ops *ops; /* of its database */
	struct lade_sqlite_query_config config;
	struct lade_sqlite_column columns[LADE_PIPE_NAMES_MAX];
	struct lade_pipe_ref refs[LADE_PIPE_NAMES_MAX];
	unsigned n_keys;
	unsigned slots[LADE_SQLITE_COLUMNS_MAX]; /* where the answer's columns go */
	unsigned n_columns;
	struct asker *askers; /* all of them */
	uint32_t n_askers;
	struct asker *free;
	struct lade_sem free_count;
	struct lade_cache *cache; /* NULL: none */
};

/* The answer to one tuple: rows times columns, texts behind them, in one block; or a failure, which
 * is kept for those who wait for it, so that each of them knows its reason. */
struct answer {
	int rc;	    /* 0, or how the query failed */
	bool alone; /* the query failed for this tuple alone, not for several */
	uint32_t rows;
	struct lade_datum cells[]; /* of a failure: its reason, as a C string */
};

static int64_t limit_of(const struct sql *s)
{
	return s->stage->config->timeout_ns;
}

static struct asker *take_asker(struct sql *s)
{
	struct asker *a = s->free;

	s->free = a->next;
	return a;
}

static void give_asker(struct sql *s, struct asker *a)
{
	a->next = s->free;
	s->free = a;
	lade_sem_release(&s->free_count, 1);
}

static int fault_rc(struct sql *s, int rc, const char *why)
{
	if (rc < 0 && rc != -ECANCELED) {
		s->stage->errors++;
		lade_pipe_trouble(s->stage->engine, s->stage->config->name, s->stage->trouble,
				  "%s", why);
	}
	return rc;
}

/* Asks for the cells of @rows tuples.  The answer is in *ret, which is given back. */
static int ask(struct sql *s, const struct lade_datum *cells, uint32_t rows, struct asker **ret)
{
	const struct lade_sqlite_batch batch = { .rows = rows, .cells = cells };
	char why[512] = "";
	struct asker *a;
	int rc = lade_sem_acquire(&s->free_count, 1);

	if (rc < 0)
		return rc;
	a = take_asker(s);
	s->stage->calls++;
	rc = s->ops->ask(a->query, &batch, limit_of(s), &a->result, why);
	s->stage->answers += rc == 0;
	if (rc < 0) {
		give_asker(s, a);
		return fault_rc(s, rc, why);
	}
	*ret = a;
	return 0;
}

/* Answers */

static struct answer *answer_new(const struct lade_sqlite_result *r, uint32_t i, size_t *ret_bytes)
{
	uint32_t first = r->first[i], rows = r->first[i + 1] - first;
	size_t cells = (size_t)rows * r->columns;
	size_t bytes = sizeof(struct answer) + cells * sizeof(struct lade_datum), text = 0;
	struct answer *a;
	char *to;

	for (uint32_t k = 0; k < rows; k++)
		for (unsigned c = 0; c < r->columns; c++)
			text += lade_sqlite_row(r, first + k)[c].len;
	a = malloc(bytes + text);
	if (!a)
		return NULL;
	*a = (struct answer){ .rows = rows };
	to = (char *)a + bytes;
	for (uint32_t k = 0; k < rows; k++) {
		for (unsigned c = 0; c < r->columns; c++) {
			struct lade_datum d = lade_sqlite_row(r, first + k)[c];

			if (d.len) {
				memcpy(to, d.text, d.len);
				d.text = to;
				to += d.len;
			}
			a->cells[(size_t)k * r->columns + c] = d;
		}
	}
	*ret_bytes = bytes + text;
	return a;
}

static struct answer *failure_new(int rc, bool alone, const char *reason, size_t *ret_bytes)
{
	size_t len = strlen(reason) + 1;
	struct answer *a = malloc(sizeof(*a) + len);

	if (!a)
		return NULL;
	*a = (struct answer){ .rc = rc, .alone = alone };
	memcpy(a->cells, reason, len);
	*ret_bytes = sizeof(*a) + len;
	return a;
}

/* Sets what a query answered for one message; @rows rows of cells. */
static int set_rows(struct sql *s, struct lade_pipe_batch *b, uint32_t at,
		    const struct lade_datum *const *rows, uint32_t n)
{
	const struct lade_pipe_step *c = s->stage->config;
	struct lade_json_out out;
	int rc = 0;

	if (n == 0 && c->on_missing == LADE_MISSING_REJECT) {
		lade_pipe_reject(b, at, c->name, "the query has no row for it");
		return 0;
	}
	if (!c->many) {
		for (unsigned col = 0; rc == 0 && n && col < s->n_columns; col++)
			rc = lade_pipe_message_set(&b->messages[at], b->shape, s->slots[col],
						   rows[0][col], &b->arena);
		return rc;
	}
	lade_json_out_init(&out, 16 << 20);
	lade_json_out_raw(&out, "[", 1);
	for (uint32_t k = 0; k < n; k++) {
		lade_json_out_raw(&out, k ? ",{" : "{", k ? 2 : 1);
		for (unsigned col = 0; col < s->n_columns; col++) {
			const char *name = s->ops->column(s->askers[0].query, col);

			if (col)
				lade_json_out_raw(&out, ",", 1);
			lade_json_out_string(&out, name, strlen(name));
			lade_json_out_raw(&out, ":", 1);
			lade_json_out_datum(&out, &rows[k][col]);
		}
		lade_json_out_raw(&out, "}", 1);
	}
	lade_json_out_raw(&out, "]", 1);
	rc = out.status;
	if (rc == -EMSGSIZE) {
		lade_pipe_reject(b, at, c->name, "its rows have more than 16 MiB");
		rc = 0;
	} else if (rc == 0) {
		char *text = lade_arena_copy(&b->arena, out.data, out.len);

		rc = text ? lade_pipe_message_set(&b->messages[at], b->shape, s->slots[0],
						  lade_datum_json(text, (uint32_t)out.len),
						  &b->arena)
			  : -ENOMEM;
	}
	lade_json_out_done(&out);
	return rc;
}

/* The texts of a result die with the next question: they are copied to the batch. */
static int keep_cell(struct lade_pipe_batch *b, struct lade_datum *d)
{
	if (!d->len)
		return 0;
	d->text = lade_arena_copy(&b->arena, d->text, d->len);
	return d->text ? 0 : -ENOMEM;
}

/* The rows of a result's row i, in the batch's memory; NULL: there is none left. */
static const struct lade_datum **keep_rows(struct lade_pipe_batch *b,
					   const struct lade_sqlite_result *r, uint32_t i)
{
	uint32_t first = r->first[i], n = r->first[i + 1] - first;
	const struct lade_datum **rows = lade_arena_alloc(&b->arena, (n + 1) * sizeof(*rows));

	for (uint32_t k = 0; rows && k < n; k++) {
		struct lade_datum *copy =
			lade_arena_alloc(&b->arena, (r->columns + 1) * sizeof(*copy));

		if (!copy)
			return NULL;
		for (unsigned c = 0; c < r->columns; c++) {
			copy[c] = lade_sqlite_row(r, first + k)[c];
			if (keep_cell(b, &copy[c]) < 0)
				return NULL;
		}
		rows[k] = copy;
	}
	return rows;
}

static int set_from_answer(struct sql *s, struct lade_pipe_batch *b, uint32_t at,
			   const struct answer *a)
{
	const struct lade_datum **rows = lade_arena_alloc(&b->arena, (a->rows + 1) * sizeof(*rows));
	int rc = rows ? 0 : -ENOMEM;

	for (uint32_t k = 0; rc == 0 && k < a->rows; k++) {
		struct lade_datum *copy =
			lade_arena_alloc(&b->arena, (s->n_columns + 1) * sizeof(*copy));

		if (!copy)
			return -ENOMEM;
		for (unsigned c = 0; rc == 0 && c < s->n_columns; c++) {
			copy[c] = a->cells[(size_t)k * s->n_columns + c];
			rc = keep_cell(b, &copy[c]);
		}
		rows[k] = copy;
	}
	return rc < 0 ? rc : set_rows(s, b, at, rows, a->rows);
}

/* The cache */

/* Reads a tuple back into values. */
static void untuple(const struct lade_cache_key *key, struct lade_datum *cells, unsigned n)
{
	const char *at = key->bytes;

	for (unsigned i = 0; i < n; i++) {
		uint32_t len;

		memset(&cells[i], 0, sizeof(cells[i]));
		cells[i].type = (enum lade_datum_type)(unsigned char)*at;
		memcpy(&len, at + 1, sizeof(len));
		at += 1 + sizeof(len);
		if (cells[i].type == LADE_TEXT || cells[i].type == LADE_JSON) {
			cells[i].text = at;
			cells[i].len = len;
		} else if (len) {
			memcpy(&cells[i].integer, at, len);
		}
		at += len;
	}
}

/* All of a load have failed as one: each waiter learns how, and nobody later. */
static int load_failures(struct sql *s, int rc, struct lade_cache_load *loads, size_t count)
{
	if (rc != -EBADMSG && rc != -EAGAIN && rc != -EIO)
		return rc;
	for (size_t i = 0; i < count; i++) {
		struct answer *value =
			failure_new(rc, count == 1, s->stage->trouble, &loads[i].bytes);

		loads[i].value = value;
		loads[i].rc = value ? 0 : -ENOMEM;
		loads[i].ttl = lade_ns(0);
	}
	return 0;
}

static int load_rows(void *arg, const struct lade_cache_key *keys, struct lade_cache_load *loads,
		     size_t count)
{
	struct sql *s = arg;
	struct lade_datum *cells = calloc(count * s->n_keys + 1, sizeof(*cells));
	struct asker *a;
	int rc = cells ? 0 : -ENOMEM;

	for (size_t i = 0; rc == 0 && i < count; i++)
		untuple(&keys[i], cells + i * s->n_keys, s->n_keys);
	if (rc == 0)
		rc = ask(s, cells, (uint32_t)count, &a);
	free(cells);
	if (rc < 0)
		return load_failures(s, rc, loads, count);
	for (size_t i = 0; i < count; i++) {
		struct answer *value = answer_new(&a->result, (uint32_t)i, &loads[i].bytes);

		loads[i].value = value;
		loads[i].rc = value ? 0 : -ENOMEM;
		if (value && value->rows == 0)
			loads[i].ttl = lade_ns(s->stage->config->cache.negative_ttl_ns);
	}
	give_asker(s, a);
	return 0;
}

static int load_row(void *arg, const struct lade_cache_key *key, struct lade_cache_load *load)
{
	int rc = load_rows(arg, key, load, 1);

	return rc < 0 ? rc : load->rc;
}

/* A batch */

/* The cells of the messages of @index; those that do not convert are rejected.
 * @kept: the messages that have cells. */
static int gather(struct sql *s, struct lade_pipe_batch *b, const uint32_t *index, uint32_t n,
		  struct lade_datum *cells, uint32_t *kept, uint32_t *ret_n)
{
	struct lade_json_error error;
	uint32_t m = 0;

	for (uint32_t j = 0; j < n; j++) {
		int rc = 0;

		for (unsigned k = 0; rc == 0 && k < s->n_keys; k++)
			rc = lade_pipe_message_value(&b->messages[index[j]], b->shape, &s->refs[k],
						     b->reader, &b->arena,
						     &cells[(size_t)m * s->n_keys + k], &error);
		if (rc == -EBADMSG)
			lade_pipe_reject(b, index[j], s->stage->config->name, "%s", error.reason);
		else if (rc < 0)
			return rc;
		else
			kept[m++] = index[j];
	}
	*ret_n = m;
	return 0;
}

static uint64_t hash_of(const struct lade_datum *cells, unsigned n)
{
	uint64_t h = 0;

	for (unsigned k = 0; k < n; k++) {
		bool is_text = cells[k].type == LADE_TEXT || cells[k].type == LADE_JSON;
		const char *at = is_text ? cells[k].text : (const char *)&cells[k].integer;
		size_t len = is_text ? cells[k].len : sizeof(cells[k].integer);
		uint64_t word = 0;

		h = (h ^ len) * UINT64_C(0x9e3779b97f4a7c15);
		for (; len > sizeof(word); len -= sizeof(word), at += sizeof(word)) {
			memcpy(&word, at, sizeof(word));
			h = (h ^ word ^ h >> 32) * UINT64_C(0x9e3779b97f4a7c15);
		}
		word = 0;
		memcpy(&word, at, len);
		h = (h ^ word ^ h >> 32) * UINT64_C(0x9e3779b97f4a7c15);
	}
	return h ^ h >> 32;
}

static bool equal(const struct lade_datum *a, const struct lade_datum *b, unsigned n)
{
	for (unsigned k = 0; k < n; k++) {
		bool is_text = a[k].type == LADE_TEXT || a[k].type == LADE_JSON;

		if (a[k].type != b[k].type || a[k].len != b[k].len ||
		    (is_text ? memcmp(a[k].text, b[k].text, a[k].len) != 0
			     : a[k].integer != b[k].integer))
			return false;
	}
	return true;
}

/* The row of these cells among the first *rows, or one of its own behind them: which is also for
 * whoever chose keys that meet in few places. */
static uint32_t row_of(struct lade_datum *cells, const struct lade_datum *cell, unsigned n_keys,
		       uint32_t *table, uint32_t mask, uint32_t *rows)
{
	uint32_t at = (uint32_t)hash_of(cell, n_keys) & mask;

	for (unsigned probe = 0; table[at] && probe < PROBES_MAX; probe++, at = (at + 1) & mask)
		if (equal(cells + (size_t)(table[at] - 1) * n_keys, cell, n_keys))
			return table[at] - 1;
	memmove(cells + (size_t)*rows * n_keys, cell, n_keys * sizeof(*cell));
	if (!table[at])
		table[at] = *rows + 1;
	return (*rows)++;
}

/* Brings the rows of cells that differ to the front, in their order; places[j] is the row of
 * message j.  Returns 0 or -ENOMEM. */
static int unite(struct lade_pipe_batch *b, struct lade_datum *cells, uint32_t n, unsigned n_keys,
		 uint32_t *places, uint32_t *ret_rows)
{
	uint32_t room = 2, rows = 0, *table;

	while (room < 2 * n)
		room *= 2;
	table = lade_arena_alloc(&b->arena, room * sizeof(*table));
	if (!table)
		return -ENOMEM;
	memset(table, 0, room * sizeof(*table));
	for (uint32_t j = 0; j < n; j++)
		places[j] = row_of(cells, cells + (size_t)j * n_keys, n_keys, table, room - 1,
				   &rows);
	*ret_rows = rows;
	return 0;
}

/* Gives each message the rows of its place; what several share is copied once. */
static int set_answers(struct sql *s, struct lade_pipe_batch *b, const uint32_t *kept, uint32_t n,
		       const struct lade_sqlite_result *r, const uint32_t *places, uint32_t rows)
{
	const struct lade_datum ***answers = lade_arena_alloc(&b->arena, rows * sizeof(*answers));
	int rc = answers ? 0 : -ENOMEM;

	if (answers)
		memset(answers, 0, rows * sizeof(*answers));
	for (uint32_t j = 0; rc == 0 && j < n; j++) {
		uint32_t i = places[j];

		if (!answers[i])
			answers[i] = keep_rows(b, r, i);
		rc = answers[i] ? set_rows(s, b, kept[j], answers[i], r->first[i + 1] - r->first[i])
				: -ENOMEM;
	}
	return rc;
}

/* Asks for @n messages by the cells of each, which are moved. */
static int ask_batch(struct sql *s, struct lade_pipe_batch *b, struct lade_datum *cells,
		     const uint32_t *kept, uint32_t n)
{
	uint32_t *places = lade_arena_alloc(&b->arena, n * sizeof(*places)), rows = 0;
	struct asker *a;
	int rc = places ? unite(b, cells, n, s->n_keys, places, &rows) : -ENOMEM;

	if (rc == 0)
		rc = ask(s, cells, rows, &a);
	if (rc < 0)
		return rc;
	rc = set_answers(s, b, kept, n, &a->result, places, rows);
	give_asker(s, a);
	return rc;
}

/* What a cached answer means for a message; *ret_others: it failed, but not by itself. */
static int take_cached(struct sql *s, struct lade_pipe_batch *b, uint32_t at,
		       const struct lade_cached *got, bool *ret_others)
{
	const struct answer *a = got->value;

	if (got->rc == -ETIME)
		lade_pipe_trouble(s->stage->engine, s->stage->config->name, s->stage->trouble,
				  "the query took longer than its timeout");
	if (got->rc < 0)
		return got->rc;
	if (a->rc == 0)
		return set_from_answer(s, b, at, a);
	*ret_others = !a->alone;
	/* Whoever rejects a message for it finds its own reason here, and not a later one. */
	snprintf(s->stage->trouble, sizeof(s->stage->trouble), "%s", (const char *)a->cells);
	return a->rc;
}

static int ask_cache(struct sql *s, struct lade_pipe_batch *b, struct lade_datum *cells,
		     const uint32_t *kept, uint32_t n)
{
	bool others = false;
	struct lade_cache_key *keys = lade_arena_alloc(&b->arena, (n + 1) * sizeof(*keys));
	struct lade_cached *got = lade_arena_alloc(&b->arena, (n + 1) * sizeof(*got));
	int rc = keys && got ? 0 : -ENOMEM;

	for (uint32_t j = 0; rc == 0 && j < n; j++)
		rc = lade_pipe_tuple(cells + (size_t)j * s->n_keys, s->n_keys, &b->arena,
				     &keys[j].bytes, &keys[j].len);
	if (rc == 0)
		rc = lade_cache_get_many(s->cache, keys, n, got);
	if (rc < 0)
		return rc;
	for (uint32_t j = 0; j < n; j++) {
		/* A tuple that is too long for a key is asked for by itself. */
		if (rc == 0 && got[j].rc == -EMSGSIZE)
			rc = ask_batch(s, b, cells + (size_t)j * s->n_keys, &kept[j], 1);
		else if (rc == 0)
			rc = take_cached(s, b, kept[j], &got[j], &others);
		if (got[j].rc == 0)
			lade_cache_release(&got[j]);
	}
	/* It waited for a query that other tuples were in as well: their fault is not its own. */
	return rc == -EBADMSG && others && n == 1 ? ask_batch(s, b, cells, kept, n) : rc;
}

static int sql_process(struct lade_pipe_stage *stage, struct lade_pipe_batch *b,
		       const uint32_t *index, uint32_t n)
{
	struct sql *s = stage->self;
	struct lade_datum *cells =
		lade_arena_alloc(&b->arena, ((size_t)n * s->n_keys + 1) * sizeof(*cells));
	uint32_t *kept = lade_arena_alloc(&b->arena, (n + 1) * sizeof(*kept)), m = 0;
	int rc = cells && kept ? 0 : -ENOMEM;

	if (rc == 0)
		rc = gather(s, b, index, n, cells, kept, &m);
	if (rc < 0 || m == 0)
		return rc;
	for (uint32_t j = 0; j < m; j++)
		lade_pipe_asked(stage, b, kept[j]);
	rc = s->cache ? ask_cache(s, b, cells, kept, m) : ask_batch(s, b, cells, kept, m);
	return rc == -ESHUTDOWN ? -ECANCELED : rc == -ETIME ? -EAGAIN : rc;
}

/* Opening */

int lade_pipe_query_fail(struct lade_pipe_stage *stage, size_t position, const char *what,
			 const char *reason)
{
	/* What SQLite says begins with the database's name where that matters. */
	bool said = strncmp(reason, what, strlen(what)) == 0;

	return lade_pipe_fail_at(stage->engine, LADE_EXIT_FAILED,
				 lade_pipe_step_node(stage, "sql.query"), position,
				 "step %s: %s%s%s", stage->config->name, said ? "" : what,
				 said ? "" : ": ", reason);
}

static int open_keys(struct sql *s, struct lade_pipe_shape *in)
{
	const struct lade_pipe_map *keys = &s->stage->config->keys;
	struct lade_json_error error;

	for (int i = 0; i < keys->n; i++) {
		const char *text = keys->at[i].text;
		int rc = lade_pipe_shape_ask(in, text, strlen(text), &s->refs[i], &error);

		if (rc < 0)
			return lade_pipe_query_fail(s->stage, 0, keys->at[i].name, error.reason);
		s->columns[i] = (struct lade_sqlite_column){ keys->at[i].name, s->refs[i].want };
	}
	s->n_keys = (unsigned)keys->n;
	return 0;
}

static int open_askers(struct sql *s)
{
	s->n_askers = (uint32_t)s->stage->engine->config->concurrency;
	s->askers = calloc(s->n_askers, sizeof(*s->askers));
	if (!s->askers)
		return -ENOMEM;
	for (uint32_t i = 0; i < s->n_askers; i++) {
		int rc = s->ops->open(s->stage, &s->config, &s->askers[i].query);

		if (rc < 0)
			return rc;
		lade_sqlite_result_init(&s->askers[i].result, &s->config);
		s->askers[i].next = s->free;
		s->free = &s->askers[i];
	}
	lade_sem_init(&s->free_count, s->n_askers);
	return 0;
}

static int open_columns(struct sql *s, struct lade_pipe_shape *in)
{
	const struct lade_pipe_step *c = s->stage->config;
	struct lade_json_error error;
	int rc = 0;

	while (s->ops->column(s->askers[0].query, s->n_columns))
		s->n_columns++;
	if (c->many) {
		rc = lade_pipe_shape_get(in, c->into, NULL, &s->slots[0], &error);
	} else {
		for (unsigned i = 0; rc == 0 && i < s->n_columns; i++)
			rc = lade_pipe_shape_get(in, c->into,
						 s->ops->column(s->askers[0].query, i),
						 &s->slots[i], &error);
	}
	return rc < 0 ? lade_pipe_query_fail(s->stage, 0, c->into, error.reason) : 0;
}

static int open_cache(struct sql *s)
{
	const struct lade_pipe_step_cache *c = &s->stage->config->cache;
	struct lade_cache_config config = {
		.load = load_row,
		.load_many = load_rows,
		.arg = s,
		.drop = free,
		.max_bytes = (size_t)c->bytes_max,
		.ttl = lade_ns(c->ttl_ns),
		.load_timeout = lade_ns(limit_of(s)),
		.max_flights = 1000000,
	};

	return c->on ? lade_cache_new(s->stage->engine->scope, &config, &s->cache) : 0;
}

static int sql_open(struct lade_pipe_stage *stage, struct lade_pipe_shape *in)
{
	struct sql *s = calloc(1, sizeof(*s));
	int rc;

	if (!s)
		return -ENOMEM;
	stage->self = s;
	stage->out = in;
	stage->remote = true;
	s->stage = stage;
	s->ops = lade_pipe_database_url(stage->engine->config, stage->config->db)
			 ? &lade_pipe_query_postgres
			 : &lade_pipe_query_sqlite;
	rc = open_keys(s, in);
	s->config = (struct lade_sqlite_query_config){
		.db = { .path = lade_pipe_database_file(stage->engine->config, stage->config->db) },
		.kind = LADE_SQLITE_ENRICH,
		.sql = stage->config->query,
		.columns = s->columns,
		.n_columns = s->n_keys,
		.many = stage->config->many,
	};
	if (rc == 0)
		rc = open_askers(s);
	if (rc == 0)
		rc = open_columns(s, in);
	return rc == 0 ? open_cache(s) : rc;
}

static void sql_close(struct lade_pipe_stage *stage)
{
	struct sql *s = stage->self;

	if (!s)
		return;
	lade_cache_close(s->cache, true);
	for (uint32_t i = 0; s->askers && i < s->n_askers; i++) {
		if (s->askers[i].query)
			s->ops->close(s->askers[i].query, &s->askers[i].result);
	}
	free(s->askers);
	free(s);
	stage->self = NULL;
}

const struct lade_pipe_step_ops lade_pipe_sql = { sql_open, sql_process, sql_close };
