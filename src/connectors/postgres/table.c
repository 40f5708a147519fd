/* SPDX-License-Identifier: MIT */
/* table.c - what a table is: its columns with their types, and its unique keys. */

#include "connectors/postgres/postgres_priv.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define TABLE_BYTES ((size_t)16 << 20)

static const char NAME_SQL[] =
	"select format('%I.%I', n.nspname, c.relname)"
	" from pg_class c join pg_namespace n on n.oid = c.relnamespace"
	" where c.oid = to_regclass($1)";

static const char COLUMNS_SQL[] =
	"select a.attname, format_type(a.atttypid, a.atttypmod),"
	" coalesce(nullif(t.typbasetype, 0), a.atttypid), a.attnotnull or t.typnotnull,"
	" case when a.attidentity = 'd' then format('nextval(%L::regclass)',"
	" pg_get_serial_sequence(a.attrelid::regclass::text, a.attname))"
	" when a.attgenerated = '' then pg_get_expr(d.adbin, d.adrelid) end,"
	" a.attgenerated <> '' or a.attidentity = 'a', a.attnum"
	" from pg_attribute a join pg_type t on t.oid = a.atttypid"
	" left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum"
	" where a.attrelid = to_regclass($1) and a.attnum > 0 and not a.attisdropped"
	" order by a.attnum";

/* Those that ON CONFLICT (columns) can find: whole, at once, without a condition. */
static const char KEYS_SQL[] =
	"select i.indisprimary, x.place, i.indexrelid"
	" from pg_index i, unnest(i.indkey) with ordinality as x(place, nth)"
	" where i.indrelid = to_regclass($1) and i.indisunique and i.indimmediate"
	" and i.indisvalid and i.indpred is null and i.indexprs is null"
	" and x.nth <= i.indnkeyatts"
	" order by i.indisprimary desc, i.indexrelid, x.nth";

static int64_t integer_at(const struct lade_pg_result *r, uint32_t row, unsigned column)
{
	struct lade_datum d = { 0 };

	(void)lade_pg_datum(r, row, column, NULL, &d);
	return d.integer;
}

static const char *text_at(struct lade_pg_table *t, const struct lade_pg_result *r, uint32_t row,
			   unsigned column)
{
	uint32_t len;
	const void *bytes = lade_pg_bytes(r, row, column, &len);

	return bytes ? lade_arena_copy(&t->arena, bytes, len) : NULL;
}

static int take_columns(struct lade_pg_table *t, const struct lade_pg_result *r)
{
	t->columns = lade_arena_alloc(&t->arena, (r->rows + 1) * sizeof(*t->columns));
	if (!t->columns)
		return -ENOMEM;
	for (uint32_t i = 0; i < r->rows; i++) {
		struct lade_pg_table_column *c = &t->columns[t->n_columns++];

		*c = (struct lade_pg_table_column){
			.name = text_at(t, r, i, 0),
			.type = text_at(t, r, i, 1),
			.oid = (uint32_t)integer_at(r, i, 2),
			.not_null = integer_at(r, i, 3) != 0,
			.preset = text_at(t, r, i, 4),
			.generated = integer_at(r, i, 5) != 0,
		};
		if (!c->name || !c->type)
			return -ENOMEM;
	}
	return 0;
}

/* The place of the column that PostgreSQL knows as @number. */
static uint16_t place_of(const struct lade_pg_result *columns, int64_t number)
{
	for (uint32_t i = 0; i < columns->rows; i++)
		if (integer_at(columns, i, 6) == number)
			return (uint16_t)i;
	return UINT16_MAX;
}

static int take_keys(struct lade_pg_table *t, const struct lade_pg_result *columns,
		     const struct lade_pg_result *r)
{
	uint16_t *places = lade_arena_alloc(&t->arena, (r->rows + 1) * sizeof(*places));
	int64_t before = -1;

	t->keys = lade_arena_alloc(&t->arena, (r->rows + 1) * sizeof(*t->keys));
	if (!places || !t->keys)
		return -ENOMEM;
	for (uint32_t i = 0; i < r->rows; i++) {
		int64_t key = integer_at(r, i, 2);

		places[i] = place_of(columns, integer_at(r, i, 1));
		if (key != before)
			t->keys[t->n_keys++] = (struct lade_pg_table_key){
				.columns = &places[i],
				.primary = integer_at(r, i, 0) != 0,
			};
		t->keys[t->n_keys - 1].n++;
		before = key;
	}
	return 0;
}

static int take_table(struct lade_pg_table *t, const struct lade_pg_result r[3], const char *name,
		      struct lade_pg_error *error)
{
	int rc;

	if (r[0].rows == 0) {
		(void)lade_pg_fail(error, LADE_PG_OWN, -1, "there is no table %.200s", name);
		return -ENOENT;
	}
	t->name = text_at(t, &r[0], 0, 0);
	rc = t->name ? take_columns(t, &r[1]) : -ENOMEM;
	if (rc == 0)
		rc = take_keys(t, &r[1], &r[2]);
	if (rc == -ENOMEM)
		(void)lade_pg_fail(error, LADE_PG_MEMORY, -1, "out of memory");
	return rc;
}

int lade_pg_describe_at(struct lade_pg *db, const char *name, struct lade_pg_table *ret,
			struct lade_pg_error *ret_error, const char *site)
{
	struct lade_pg_result results[3] = { 0 };
	struct lade_pg_table table = { 0 };
	struct lade_pg_args args;
	const struct lade_pg_statement statements[] = { { NAME_SQL, &args },
							{ COLUMNS_SQL, &args },
							{ KEYS_SQL, &args } };
	int rc;

	lade_pg_args_init(&args, 0);
	lade_pg_text(&args, name, strlen(name));
	rc = lade_pg_batch_at(db, statements, 3, results, ret_error, site);
	lade_pg_args_done(&args);
	if (rc < 0)
		return rc;
	lade_arena_init(&table.arena, 4096, TABLE_BYTES);
	rc = take_table(&table, results, name, ret_error);
	for (unsigned i = 0; i < 3; i++)
		lade_pg_result_done(&results[i]);
	if (rc < 0)
		lade_arena_done(&table.arena);
	else
		*ret = table;
	return rc;
}

void lade_pg_table_done(struct lade_pg_table *table)
{
	if (table->arena.block_bytes)
		lade_arena_done(&table->arena);
	*table = (struct lade_pg_table){ 0 };
}

int lade_pg_table_find(const struct lade_pg_table *table, const char *name)
{
	for (unsigned i = 0; i < table->n_columns; i++)
		if (strcmp(table->columns[i].name, name) == 0)
			return (int)i;
	return -1;
}
