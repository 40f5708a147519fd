/* SPDX-License-Identifier: MIT */
/* postgres_table.c - a table that is written: read at the start, checked, and the SQL for it.
 *
 * What is wrong is said before the first message, with the SQL that would mend it. Columns come
 * from the table or from the configuration; names of messages never become SQL. */

#include "services/pipeline/sink_postgres.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int run(struct lade_pipe_pg_sink *s, const char *sql, const char *what)
{
	const struct lade_pg_statement statement = { sql, NULL };
	int rc = lade_pipe_pg_insist(s, &statement, 1, NULL);

	return rc < 0 && rc != -ECANCELED ? lade_pipe_pg_sink_fail(s->outlet, what, s->why) : rc;
}

/* Takes the text out of @out; NULL: it is too long, or memory is out. */
static char *take_sql(struct lade_json_out *out)
{
	lade_json_out_raw(out, "", 1);
	if (out->status < 0)
		lade_json_out_done(out);
	return out->data;
}

static const char *type_name(enum lade_datum_type type)
{
	return type == LADE_DOUBLE ? "double precision" : lade_pg_type_name(lade_pg_type_of(type));
}

static void put_key(struct lade_json_out *out, const struct lade_pipe_sink *c)
{
	for (int i = 0; i < c->key.n; i++) {
		lade_pipe_pg_put(out, i ? ", " : "");
		lade_pipe_pg_name(out, c->key.at[i].text);
	}
}

/* What would make the table, of the columns as they are configured. */
static char *create_sql(const struct lade_pipe_pg_sink *s)
{
	const struct lade_pipe_sink *c = s->outlet->config;
	struct lade_json_out out;

	lade_json_out_init(&out, LADE_PIPE_PG_SQL_MAX);
	lade_pipe_pg_put(&out, "create table ");
	lade_pipe_pg_put(&out, c->table);
	lade_pipe_pg_put(&out, " (");
	for (unsigned i = 0; i < s->rows.n_columns; i++) {
		const struct lade_pipe_column *column = &s->rows.columns[i];

		lade_pipe_pg_put(&out, i ? ", " : "");
		lade_pipe_pg_name(&out, column->name);
		lade_pipe_pg_put(&out, " ");
		lade_pipe_pg_put(&out, type_name(column->ref.want.type));
		lade_pipe_pg_put(&out, column->ref.want.nullable ? "" : " not null");
	}
	if (c->key.n) {
		lade_pipe_pg_put(&out, ", primary key (");
		put_key(&out, c);
		lade_pipe_pg_put(&out, ")");
	}
	lade_pipe_pg_put(&out, ")");
	return take_sql(&out);
}

static int describe(struct lade_pipe_pg_sink *s, const char *name, struct lade_pg_table *ret)
{
	struct lade_pipe_engine *e = s->outlet->engine;

	for (uint32_t attempt = 1;; attempt++) {
		int rc = lade_within(lade_ns(LADE_PIPE_PG_LIMIT_NS),
				     lade_pg_describe(s->db, name, ret, &s->error));

		lade_pipe_pg_say(&s->error, s->why);
		if (rc == 0)
			lade_pipe_recovered(e, "sink postgres", s->outlet->trouble,
					    &s->outlet->trouble_since_ns);
		if ((rc != -EAGAIN && rc != -ETIME) || e->probing)
			return rc;
		rc = lade_stopping() ? -ECANCELED : lade_pipe_pg_wait_out(s, attempt);
		if (rc < 0)
			return rc;
	}
}

/* The table is not there: it is made, or what would make it is said. */
static int make_table(struct lade_pipe_pg_sink *s)
{
	const struct lade_pipe_sink *c = s->outlet->config;
	char *sql = c->columns.n ? create_sql(s) : NULL, why[900];
	int rc;

	if (c->create && !sql)
		return -ENOMEM;
	if (c->create && s->outlet->engine->probing) {
		rc = 0;
	} else if (c->create) {
		rc = run(s, sql, c->table);
		if (rc == 0)
			rc = describe(s, c->table, &s->table);
		s->has_table = rc == 0;
	} else {
		snprintf(why, sizeof(why), "there is no such table%s%.600s%s",
			 sql ? "; create: true would make it: " : "", sql ? sql : "", "");
		rc = lade_pipe_pg_sink_fail(s->outlet, c->table, why);
	}
	free(sql);
	return rc;
}

static int find_table(struct lade_pipe_pg_sink *s)
{
	const struct lade_pipe_sink *c = s->outlet->config;
	int rc = describe(s, c->table, &s->table);

	if (rc == -ENOENT)
		return make_table(s);
	s->has_table = rc == 0;
	return rc < 0 && rc != -ECANCELED ? lade_pipe_pg_sink_fail(s->outlet, c->table, s->why)
					  : rc;
}

/* The type by which a column's value is asked for. */
static struct lade_want want_of(const struct lade_pg_table_column *c)
{
	bool nullable = !c->not_null || c->preset;

	switch (c->oid) {
	case 20: /* int8, int2, int4 */
	case 21:
	case 23:
		return (struct lade_want){ LADE_INTEGER, nullable };
	case 700: /* float4, float8 */
	case 701:
		return (struct lade_want){ LADE_DOUBLE, nullable };
	case 16:
		return (struct lade_want){ LADE_BOOLEAN, nullable };
	case 1114: /* timestamp, timestamptz */
	case 1184:
		return (struct lade_want){ LADE_TIMESTAMP, nullable };
	case 114: /* json, jsonb */
	case 3802:
		return (struct lade_want){ LADE_JSON, nullable };
	default:
		return (struct lade_want){ LADE_TEXT, nullable };
	}
}

/* Columns as the table has them: each takes the member of its name. */
static int open_by_name(struct lade_pipe_pg_sink *s, struct lade_pipe_shape *shape)
{
	struct lade_json_error error;

	for (unsigned i = 0; i < s->table.n_columns; i++) {
		const struct lade_pg_table_column *c = &s->table.columns[i];
		int rc;

		if (c->generated)
			continue;
		if (s->rows.n_columns == LADE_PIPE_NAMES_MAX)
			return lade_pipe_pg_sink_fail(
				s->outlet, s->outlet->config->table,
				"has more than 256 columns: list those to write");
		rc = lade_pipe_table_by_name(&s->rows, shape, c->name, want_of(c), &error);
		if (rc < 0)
			return rc == -ENOMEM
				       ? rc
				       : lade_pipe_pg_sink_fail(s->outlet, c->name, error.reason);
	}
	s->rows.check_extra = s->outlet->config->extra == LADE_EXTRA_REJECT;
	return 0;
}

static int open_listed(struct lade_pipe_pg_sink *s, struct lade_pipe_shape *shape)
{
	struct lade_json_error error;
	const char *column;
	int rc = lade_pipe_table_listed(&s->rows, shape, &column, &error);

	return rc < 0 && rc != -ENOMEM ? lade_pipe_pg_sink_fail(s->outlet, column, error.reason)
				       : rc;
}

static int place_of(const struct lade_pipe_pg_sink *s, const char *name)
{
	for (unsigned i = 0; i < s->rows.n_columns; i++)
		if (strcmp(s->rows.columns[i].name, name) == 0)
			return (int)i;
	return -1;
}

/* Are the configured columns those of a unique key, in whatever order? */
static bool is_unique(const struct lade_pipe_pg_sink *s)
{
	const struct lade_pipe_map *key = &s->outlet->config->key;

	for (unsigned k = 0; k < s->table.n_keys; k++) {
		const struct lade_pg_table_key *it = &s->table.keys[k];
		int found = 0;

		for (int i = 0; i < key->n; i++)
			for (unsigned j = 0; j < it->n; j++)
				found += strcmp(s->table.columns[it->columns[j]].name,
						key->at[i].text) == 0;
		if ((int)it->n == key->n && found == key->n)
			return true;
	}
	return false;
}

static int open_key(struct lade_pipe_pg_sink *s)
{
	const struct lade_pipe_sink *c = s->outlet->config;
	struct lade_json_out out;
	char *said;
	int rc;

	s->version = c->version ? place_of(s, c->version) : -1;
	if (c->version && s->version < 0)
		return lade_pipe_pg_sink_fail(s->outlet, c->version,
					      "the table has no such column");
	for (int i = 0; i < c->key.n && i < LADE_PIPE_PG_KEY_MAX; i++) {
		int at = place_of(s, c->key.at[i].text);

		if (at < 0)
			return lade_pipe_pg_sink_fail(s->outlet, c->key.at[i].text,
						      "the table has no such column");
		s->key[s->n_key++] = (unsigned)at;
	}
	if (!s->has_table || c->on_conflict == LADE_CONFLICT_ERROR || is_unique(s))
		return 0;
	lade_json_out_init(&out, LADE_PIPE_PG_SQL_MAX);
	lade_pipe_pg_put(&out, "no unique key of the table has just the columns of key: create"
			       " unique index on ");
	lade_pipe_pg_put(&out, s->table.name);
	lade_pipe_pg_put(&out, " (");
	put_key(&out, c);
	lade_pipe_pg_put(&out, ")");
	said = take_sql(&out);
	rc = said ? lade_pipe_pg_sink_fail(s->outlet, c->table, said) : -ENOMEM;
	free(said);
	return rc;
}

static int no_column(struct lade_pipe_pg_sink *s, unsigned column)
{
	const struct lade_pipe_column *c = &s->rows.columns[column];
	char said[300];

	snprintf(said, sizeof(said),
		 "the table has no such column; alter table %.100s add \"%.64s\" %s would make it",
		 s->table.name, c->name, type_name(c->ref.want.type));
	return lade_pipe_pg_sink_fail(s->outlet, c->name, said);
}

/* Columns that are written are the table's, and none is missing that must have a value. */
static int check_columns(struct lade_pipe_pg_sink *s)
{
	for (unsigned i = 0; i < s->rows.n_columns; i++) {
		int at = lade_pg_table_find(&s->table, s->rows.columns[i].name);

		if (at < 0)
			return no_column(s, i);
		if (s->table.columns[at].generated)
			return lade_pipe_pg_sink_fail(
				s->outlet, s->rows.columns[i].name,
				"the database makes this column's values by itself");
	}
	for (unsigned i = 0; i < s->table.n_columns; i++) {
		const struct lade_pg_table_column *c = &s->table.columns[i];

		if (c->not_null && !c->preset && !c->generated && place_of(s, c->name) < 0)
			return lade_pipe_pg_sink_fail(
				s->outlet, c->name,
				"the column must not be null, has no default, and is not"
				" among columns");
	}
	return 0;
}

static void put_select(struct lade_json_out *out, const struct lade_pipe_pg_sink *s)
{
	char number[24];

	for (unsigned i = 0; i < s->rows.n_columns; i++) {
		int at = lade_pg_table_find(&s->table, s->rows.columns[i].name);
		const struct lade_pg_table_column *c = &s->table.columns[at];

		snprintf(number, sizeof(number), "u.c%u::", i);
		lade_pipe_pg_put(out, i ? ", " : "");
		lade_pipe_pg_put(out, c->preset ? "coalesce(" : "");
		lade_pipe_pg_put(out, number);
		lade_pipe_pg_put(out, c->type);
		if (c->preset) {
			lade_pipe_pg_put(out, ", ");
			lade_pipe_pg_put(out, c->preset);
			lade_pipe_pg_put(out, ")");
		}
	}
	lade_pipe_pg_put(out, " from unnest(");
	for (unsigned i = 0; i < s->rows.n_columns; i++) {
		enum lade_pg_type type = lade_pg_type_of(s->rows.columns[i].ref.want.type);

		snprintf(number, sizeof(number), "%s$%u::", i ? ", " : "", i + 1);
		lade_pipe_pg_put(out, number);
		lade_pipe_pg_put(out, lade_pg_type_name(type));
		lade_pipe_pg_put(out, "[]");
	}
	lade_pipe_pg_put(out, ") as u(");
	for (unsigned i = 0; i < s->rows.n_columns; i++) {
		snprintf(number, sizeof(number), "%sc%u", i ? ", " : "", i);
		lade_pipe_pg_put(out, number);
	}
	lade_pipe_pg_put(out, ")");
}

static bool in_key(const struct lade_pipe_pg_sink *s, unsigned column)
{
	for (unsigned k = 0; k < s->n_key; k++)
		if (s->key[k] == column)
			return true;
	return false;
}

static void put_updates(struct lade_json_out *out, const struct lade_pipe_pg_sink *s)
{
	bool first = true;

	for (unsigned i = 0; i < s->rows.n_columns; i++) {
		if (in_key(s, i))
			continue;
		lade_pipe_pg_put(out, first ? " do update set " : ", ");
		lade_pipe_pg_name(out, s->rows.columns[i].name);
		lade_pipe_pg_put(out, " = excluded.");
		lade_pipe_pg_name(out, s->rows.columns[i].name);
		first = false;
	}
	if (first)
		lade_pipe_pg_put(out, " do nothing");
	if (s->version < 0 || first)
		return;
	lade_pipe_pg_put(out, " where t.");
	lade_pipe_pg_name(out, s->outlet->config->version);
	lade_pipe_pg_put(out, " is null or excluded.");
	lade_pipe_pg_name(out, s->outlet->config->version);
	lade_pipe_pg_put(out, " > t.");
	lade_pipe_pg_name(out, s->outlet->config->version);
}

static int build_insert(struct lade_pipe_pg_sink *s)
{
	const struct lade_pipe_sink *c = s->outlet->config;
	struct lade_json_out out;

	lade_json_out_init(&out, LADE_PIPE_PG_SQL_MAX);
	lade_pipe_pg_put(&out, "insert into ");
	lade_pipe_pg_put(&out, s->table.name);
	lade_pipe_pg_put(&out, " as t (");
	for (unsigned i = 0; i < s->rows.n_columns; i++) {
		lade_pipe_pg_put(&out, i ? ", " : "");
		lade_pipe_pg_name(&out, s->rows.columns[i].name);
	}
	lade_pipe_pg_put(&out, ") select ");
	put_select(&out, s);
	if (c->on_conflict != LADE_CONFLICT_ERROR) {
		lade_pipe_pg_put(&out, " on conflict (");
		put_key(&out, c);
		lade_pipe_pg_put(&out, ")");
	}
	if (c->on_conflict == LADE_CONFLICT_UPDATE)
		put_updates(&out, s);
	else if (c->on_conflict == LADE_CONFLICT_NOTHING)
		lade_pipe_pg_put(&out, " do nothing");
	s->insert = take_sql(&out);
	return s->insert ? 0 : -ENOMEM;
}

/* Deletes by the key; the rows are not those that the insert has. */
static int build_remove(struct lade_pipe_pg_sink *s)
{
	struct lade_json_out out;
	char text[64];

	if (!s->rows.deletes)
		return 0;
	lade_json_out_init(&out, LADE_PIPE_PG_SQL_MAX);
	lade_pipe_pg_put(&out, "delete from ");
	lade_pipe_pg_put(&out, s->table.name);
	lade_pipe_pg_put(&out, " as t using unnest(");
	for (unsigned k = 0; k < s->n_key; k++) {
		enum lade_pg_type type =
			lade_pg_type_of(s->rows.columns[s->key[k]].ref.want.type);

		snprintf(text, sizeof(text), "%s$%u::%.30s[]", k ? ", " : "", k + 1,
			 lade_pg_type_name(type));
		lade_pipe_pg_put(&out, text);
	}
	lade_pipe_pg_put(&out, ") as u(");
	for (unsigned k = 0; k < s->n_key; k++) {
		snprintf(text, sizeof(text), "%sc%u", k ? ", " : "", k);
		lade_pipe_pg_put(&out, text);
	}
	lade_pipe_pg_put(&out, ")");
	for (unsigned k = 0; k < s->n_key; k++) {
		const char *name = s->rows.columns[s->key[k]].name;
		int at = lade_pg_table_find(&s->table, name);

		lade_pipe_pg_put(&out, k ? " and t." : " where t.");
		lade_pipe_pg_name(&out, name);
		snprintf(text, sizeof(text), " = u.c%u::", k);
		lade_pipe_pg_put(&out, text);
		lade_pipe_pg_put(&out, s->table.columns[at].type);
	}
	s->remove = take_sql(&out);
	return s->remove ? 0 : -ENOMEM;
}

/* An insert of no rows: types, rights and the key are found wrong now and not in the night. */
static int try_insert(struct lade_pipe_pg_sink *s)
{
	const struct lade_pg_statement statements[] = { { s->insert, &s->row_args },
							{ s->remove, &s->remove_args } };
	struct lade_pipe_rows none = { 0 };
	int rc = lade_pipe_pg_bind(s, &none, NULL, 0);

	if (rc == 0)
		rc = lade_pipe_pg_insist(s, statements, s->remove ? 2 : 1, NULL);
	return rc < 0 && rc != -ECANCELED && rc != -ENOMEM
		       ? lade_pipe_pg_sink_fail(s->outlet, s->outlet->config->table, s->why)
		       : rc;
}

static int open_writing(struct lade_pipe_pg_sink *s)
{
	int rc = check_columns(s);

	if (rc == 0)
		rc = build_insert(s);
	if (rc == 0)
		rc = build_remove(s);
	return rc == 0 ? try_insert(s) : rc;
}

int lade_pipe_pg_open_table(struct lade_pipe_pg_sink *s, struct lade_pipe_shape *shape)
{
	bool listed = s->outlet->config->columns.n > 0;
	int rc = listed ? open_listed(s, shape) : 0;

	if (rc == 0)
		rc = find_table(s);
	if (rc == 0 && !listed)
		rc = open_by_name(s, shape);
	if (rc == 0)
		rc = open_key(s);
	return rc == 0 && s->has_table ? open_writing(s) : rc;
}

/* A table of lade's own. Two processes may make it at once: whoever is late finds it made. */
int lade_pipe_pg_open_own(struct lade_pipe_pg_sink *s, const char *name, const char *sql)
{
	struct lade_pg_table table;
	int rc = describe(s, name, &table);

	if (rc == -ENOENT && s->outlet->engine->probing)
		return 0;
	if (rc == -ENOENT) {
		const struct lade_pg_statement make = { sql, NULL };
		char why[512];

		rc = lade_pipe_pg_insist(s, &make, 1, NULL);
		if (rc == -ECANCELED)
			return rc;
		snprintf(why, sizeof(why), "%s", s->why);
		rc = describe(s, name, &table);
		if (rc < 0)
			snprintf(s->why, sizeof(s->why), "%s", why);
	}
	if (rc < 0)
		return rc == -ECANCELED ? rc : lade_pipe_pg_sink_fail(s->outlet, name, s->why);
	lade_pg_table_done(&table);
	return 0;
}

/* SQL about the table of dead letters. */
static char *letters_sql(struct lade_pipe_pg_sink *s, const char *before, const char *behind)
{
	struct lade_json_out out;

	lade_json_out_init(&out, LADE_PIPE_PG_SQL_MAX);
	lade_pipe_pg_put(&out, before);
	lade_pipe_pg_put(&out, s->outlet->engine->config->errors.dead_table);
	lade_pipe_pg_put(&out, behind);
	return take_sql(&out);
}

int lade_pipe_pg_open_letters(struct lade_pipe_pg_sink *s)
{
	const struct lade_pipe_errors *c = &s->outlet->engine->config->errors;
	char *sql;
	int rc;

	if (c->dead_kind != LADE_DEAD_TABLE || s->outlet->engine->letters_in)
		return 0;
	sql = letters_sql(s, "create table if not exists ",
			  " (pipeline text not null, topic text not null, part int8 not null,"
			  " \"offset\" int8 not null, line int8 not null, step text not null,"
			  " reason text not null, attempts int8 not null, first_failed"
			  " timestamptz not null, document text not null)");
	if (!sql)
		return -ENOMEM;
	rc = lade_pipe_pg_open_own(s, c->dead_table, sql);
	free(sql);
	if (rc < 0 || s->outlet->engine->probing)
		return rc;
	s->letters = letters_sql(s, "insert into ",
				 " (pipeline, topic, part, \"offset\", line, step, reason,"
				 " attempts, first_failed, document) select * from"
				 " unnest($1::text[], $2::text[], $3::int8[], $4::int8[],"
				 " $5::int8[], $6::text[], $7::text[], $8::int8[],"
				 " $9::timestamptz[], $10::text[])");
	s->rows.letters = s->letters != NULL;
	s->outlet->engine->letters_in = s->letters ? s->outlet : NULL;
	return s->letters ? 0 : -ENOMEM;
}
