/* SPDX-License-Identifier: MIT */
/* writer.c - rows into tables and offsets forward, in one transaction.
 *
 * DESIGN
 * Names are taken from the table as it is and quoted; values are bound.  Nothing that a
 * message holds ever becomes part of a statement.
 *
 * The fence comes first: a transaction whose lanes have been taken over by somebody else
 * writes nothing.  Rows of a batch are written one after the other, which in SQLite costs
 * no round trip, so two rows of one key in a batch need no merging: the later one wins.
 *
 * A failure names its row where one row is to blame, so that a caller needs no search. */

#include "connectors/sqlite/sqlite_priv.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/alloc.h"
#include "base/buf.h"

#define SQL_MAX ((size_t)1 << 20)
#define OPEN_NS INT64_C(30000000000)	/* time for what opening does */
#define OFFSETS_FORMAT 1
#define MEMORY_OUT "memory is out"

/* A statement that grows.  The first failure sticks: what follows is ignored. */
struct sql_text {
	struct lade_buf buf;
	int status; /* 0 or -errno */
};

/* A column of a table that is written. */
struct cell {
	struct lade_sqlite_column column;	/* its name is owned */
	char room[LADE_TIMESTAMP_ROOM];		/* a time stamp's text while it is bound */
};

struct lade_sqlite_table {
	struct lade_sqlite_table *next;		/* the writer's next table */
	char *name;				/* owned */
	sqlite3_stmt *insert;
	sqlite3_stmt *remove;			/* by the key; NULL: never */
	unsigned key[LADE_SQLITE_COLUMNS_MAX];	/* which cells are bound for that */
	unsigned n_key;
	unsigned n;				/* cells of a row */
	struct cell cells[];
};

struct lade_sqlite_writer {
	struct lade_sqlite db;
	struct lade_sqlite_table *tables;	/* all of them */
	sqlite3_stmt *begin, *commit, *rollback;
	sqlite3_stmt *move, *claim, *read;	/* offsets; NULL until they are opened */
};

static char *copy_of(const char *text)
{
	char *copy = lade_malloc(strlen(text) + 1);

	return copy ? strcpy(copy, text) : NULL;
}

static int no_memory(struct lade_sqlite_error *error)
{
	return lade_sqlite_fail(error, LADE_SQLITE_MEMORY, MEMORY_OUT);
}

/* Runs a statement that returns no rows. */
static int run(sqlite3_stmt *statement)
{
	int code = sqlite3_step(statement), reset = sqlite3_reset(statement);

	return code == SQLITE_DONE || code == SQLITE_ROW ? SQLITE_OK : reset;
}

static void add_bytes(struct sql_text *sql, const char *text, size_t len)
{
	if (sql->status == 0)
		sql->status = lade_buf_append(&sql->buf, text, len);
}

static void add(struct sql_text *sql, const char *text)
{
	add_bytes(sql, text, strlen(text));
}

/* A name in quotes, the quotes in it doubled. */
static void add_name(struct sql_text *sql, const char *name)
{
	add(sql, "\"");
	for (; *name; name++) {
		if (*name == '"')
			add(sql, "\"");
		add_bytes(sql, name, 1);
	}
	add(sql, "\"");
}

/* Columns by name, with commas between. */
static void add_names(struct sql_text *sql, const char *const *names, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		add(sql, i ? ", " : "");
		add_name(sql, names[i]);
	}
}

static int find(const struct lade_sqlite_table *table, const char *name)
{
	for (unsigned i = 0; i < table->n; i++)
		if (strcasecmp(table->cells[i].column.name, name) == 0)
			return (int)i;
	return -1;
}

static bool in_key(const struct lade_sqlite_table_config *config, const char *name)
{
	for (unsigned i = 0; i < config->n_key; i++)
		if (strcasecmp(config->key[i], name) == 0)
			return true;
	return false;
}

static void add_update(struct sql_text *sql, const struct lade_sqlite_table *table,
		       const struct lade_sqlite_table_config *config)
{
	bool any = false;

	for (unsigned i = 0; i < table->n; i++) {
		const char *name = table->cells[i].column.name;

		if (in_key(config, name))
			continue;
		add(sql, any ? ", " : " do update set ");
		add_name(sql, name);
		add(sql, " = excluded.");
		add_name(sql, name);
		any = true;
	}
	if (!any)
		add(sql, " do nothing");
	if (!any || !config->version)
		return;
	add(sql, " where excluded.");
	add_name(sql, config->version);
	add(sql, " > ");
	add_name(sql, table->name);
	add(sql, ".");
	add_name(sql, config->version);
}

static void add_insert(struct sql_text *sql, const struct lade_sqlite_table *table,
		       const struct lade_sqlite_table_config *config)
{
	add(sql, "insert into ");
	add_name(sql, table->name);
	add(sql, " (");
	for (unsigned i = 0; i < table->n; i++) {
		add(sql, i ? ", " : "");
		add_name(sql, table->cells[i].column.name);
	}
	add(sql, ") values (");
	for (unsigned i = 0; i < table->n; i++)
		add(sql, i ? ", ?" : "?");
	add(sql, ")");
	if (config->on_conflict == LADE_SQLITE_CONFLICT_ERROR)
		return;
	add(sql, " on conflict (");
	add_names(sql, config->key, config->n_key);
	add(sql, ")");
	if (config->on_conflict == LADE_SQLITE_CONFLICT_UPDATE)
		add_update(sql, table, config);
	else
		add(sql, " do nothing");
}

static const char *type_name(enum lade_datum_type type)
{
	switch (type) {
	case LADE_INTEGER:
	case LADE_BOOLEAN:
		return " integer";
	case LADE_DOUBLE:
		return " real";
	default:
		return " text";
	}
}

/* @ours: another process may make it at the same moment. */
static void add_create(struct sql_text *sql, const struct lade_sqlite_table_config *config,
		       bool ours)
{
	add(sql, ours ? "create table if not exists " : "create table ");
	add_name(sql, config->name);
	add(sql, " (");
	for (unsigned i = 0; i < config->n_columns; i++) {
		add(sql, i ? ", " : "");
		add_name(sql, config->columns[i].name);
		add(sql, type_name(config->columns[i].want.type));
		add(sql, config->columns[i].want.nullable ? "" : " not null");
	}
	if (config->n_key) {
		add(sql, ", primary key (");
		add_names(sql, config->key, config->n_key);
		add(sql, ")");
	}
	add(sql, ")");
}

/* Ends the text; NULL when it could not be made. */
static const char *text_of(struct sql_text *sql, struct lade_sqlite_error *error)
{
	if (sql->status == -ENOMEM)
		no_memory(error);
	else if (sql->status < 0)
		lade_sqlite_fail(error, LADE_SQLITE_FATAL,
				 "the statement would be longer than 1 MiB");
	return sql->status < 0 ? NULL : lade_buf_str(&sql->buf);
}

static int status_of(const struct lade_sqlite_error *error)
{
	return error->fault == LADE_SQLITE_MEMORY ? -ENOMEM : -EIO;
}

/* A table that is not there: makes it, or says how to make it. */
static int missing_table(struct lade_sqlite_writer *writer,
			 const struct lade_sqlite_table_config *config,
			 struct lade_sqlite_error *error)
{
	struct sql_text sql = { .status = 0 };
	const char *text;
	int rc;

	lade_buf_init(&sql.buf, SQL_MAX);
	add_create(&sql, config, config->create);
	text = text_of(&sql, error);
	if (!text)
		rc = status_of(error);
	else if (config->create && config->n_columns)
		rc = lade_sqlite_exec(&writer->db, text, error);
	else
		rc = lade_sqlite_fail(error, LADE_SQLITE_FATAL, "%s has no table %.100s%s%.200s",
				      writer->db.path, config->name,
				      config->n_columns ? "; say create: true, or: " : "; make it",
				      config->n_columns ? text : "");
	lade_buf_done(&sql.buf);
	return rc;
}

/* The type that a column's declaration suggests, by SQLite's own rules of affinity. */
static enum lade_datum_type suggested(const char *declared)
{
	if (strcasestr(declared, "int"))
		return LADE_INTEGER;
	if (strcasestr(declared, "char") || strcasestr(declared, "clob") ||
	    strcasestr(declared, "text"))
		return LADE_TEXT;
	if (strcasestr(declared, "real") || strcasestr(declared, "floa") ||
	    strcasestr(declared, "doub"))
		return LADE_DOUBLE;
	return LADE_ABSENT;
}

static int count_columns(struct lade_sqlite_writer *writer, const char *name, sqlite3_stmt **ret,
			 struct lade_sqlite_error *error)
{
	int n = 0, code, rc;

	rc = lade_sqlite_prepare(&writer->db, "select name, type from pragma_table_xinfo(?1)"
					      " where hidden = 0 order by cid", ret, error);
	if (rc < 0)
		return rc;
	sqlite3_bind_text(*ret, 1, name, -1, SQLITE_STATIC);
	while ((code = sqlite3_step(*ret)) == SQLITE_ROW)
		n++;
	sqlite3_reset(*ret);
	return code == SQLITE_DONE ? n : lade_sqlite_failed(&writer->db, code, name, error);
}

static int add_cell(struct lade_sqlite_table *table, const char *name, struct lade_want want,
		    struct lade_sqlite_error *error)
{
	char *copy = copy_of(name);

	if (!copy)
		return no_memory(error);
	table->cells[table->n++].column = (struct lade_sqlite_column){ copy, want };
	return 0;
}

/* All columns of the table, with the types that it suggests. */
static int all_columns(struct lade_sqlite_table *table, sqlite3_stmt *columns,
		       struct lade_sqlite_error *error)
{
	int rc = 0;

	while (rc == 0 && sqlite3_step(columns) == SQLITE_ROW) {
		const char *name = (const char *)sqlite3_column_text(columns, 0);
		const char *type = (const char *)sqlite3_column_text(columns, 1);
		struct lade_want want = { suggested(type ? type : ""), true };

		rc = name ? add_cell(table, name, want, error) : no_memory(error);
	}
	sqlite3_reset(columns);
	return rc;
}

/* Appends ", name" to the list in an error. */
static void name_columns(sqlite3_stmt *columns, struct lade_sqlite_error *error)
{
	size_t at = strlen(error->text);
	bool first = true;

	while (sqlite3_step(columns) == SQLITE_ROW && at < sizeof(error->text) - 70) {
		at += (size_t)snprintf(error->text + at, sizeof(error->text) - at, "%s%.60s",
				       first ? "" : ", ",
				       (const char *)sqlite3_column_text(columns, 0));
		first = false;
	}
	sqlite3_reset(columns);
}

static bool has_column(sqlite3_stmt *columns, const char *name, char ret[LADE_SQLITE_NAME_MAX + 1])
{
	bool found = false;

	while (!found && sqlite3_step(columns) == SQLITE_ROW) {
		const char *other = (const char *)sqlite3_column_text(columns, 0);

		found = other && strcasecmp(other, name) == 0;
		if (found)
			snprintf(ret, LADE_SQLITE_NAME_MAX + 1, "%s", other);
	}
	sqlite3_reset(columns);
	return found;
}

/* The columns that were asked for; each must be in the table. */
static int chosen_columns(struct lade_sqlite_table *table, sqlite3_stmt *columns,
			  const struct lade_sqlite_table_config *config,
			  struct lade_sqlite_error *error)
{
	char name[LADE_SQLITE_NAME_MAX + 1];
	int rc = 0;

	for (unsigned i = 0; rc == 0 && i < config->n_columns; i++) {
		const struct lade_sqlite_column *column = &config->columns[i];

		if (has_column(columns, column->name, name)) {
			rc = add_cell(table, name, column->want, error);
		} else {
			rc = lade_sqlite_fail(error, LADE_SQLITE_FATAL,
					      "the table %.60s has no column"
					      " %.60s; it has ",
					      config->name, column->name);
			name_columns(columns, error);
		}
	}
	return rc;
}

static int check_key(const struct lade_sqlite_table *table,
		     const struct lade_sqlite_table_config *config,
		     struct lade_sqlite_error *error)
{
	for (unsigned i = 0; i < config->n_key; i++)
		if (find(table, config->key[i]) < 0)
			return lade_sqlite_fail(error, LADE_SQLITE_FATAL,
						"the key column %.60s is not"
						" among the columns of %.60s that are written",
						config->key[i], config->name);
	if (config->version && find(table, config->version) < 0)
		return lade_sqlite_fail(error, LADE_SQLITE_FATAL, "the version column %.60s is not"
					" among the columns of %.60s that are written",
					config->version, config->name);
	if (config->on_conflict != LADE_SQLITE_CONFLICT_ERROR && !config->n_key)
		return lade_sqlite_fail(error, LADE_SQLITE_FATAL,
					"an upsert into %.60s needs a key", config->name);
	return 0;
}

static int prepare_insert(struct lade_sqlite_writer *writer, struct lade_sqlite_table *table,
			  const struct lade_sqlite_table_config *config,
			  struct lade_sqlite_error *error)
{
	struct sql_text sql = { .status = 0 };
	const char *text;
	int rc;

	lade_buf_init(&sql.buf, SQL_MAX);
	add_insert(&sql, table, config);
	text = text_of(&sql, error);
	rc = text ? lade_sqlite_prepare(&writer->db, text, &table->insert, error) :
		    status_of(error);
	lade_buf_done(&sql.buf);
	return rc;
}

static int prepare_remove(struct lade_sqlite_writer *writer, struct lade_sqlite_table *table,
			  const struct lade_sqlite_table_config *config,
			  struct lade_sqlite_error *error)
{
	struct sql_text sql = { .status = 0 };
	const char *text;
	int rc;

	if (!config->deletes)
		return 0;
	if (!config->n_key || config->n_key > LADE_SQLITE_COLUMNS_MAX)
		return lade_sqlite_fail(error, LADE_SQLITE_FATAL,
					"to delete rows of %.60s a key is needed", config->name);
	lade_buf_init(&sql.buf, SQL_MAX);
	add(&sql, "delete from ");
	add_name(&sql, table->name);
	for (unsigned i = 0; i < config->n_key; i++) {
		add(&sql, i ? " and " : " where ");
		add_name(&sql, config->key[i]);
		add(&sql, " = ?");
		table->key[table->n_key++] = (unsigned)find(table, config->key[i]);
	}
	text = text_of(&sql, error);
	rc = text ? lade_sqlite_prepare(&writer->db, text, &table->remove, error) :
		    status_of(error);
	lade_buf_done(&sql.buf);
	return rc;
}

static void free_table(struct lade_sqlite_table *table)
{
	sqlite3_finalize(table->insert);
	sqlite3_finalize(table->remove);
	for (unsigned i = 0; i < table->n; i++)
		lade_free((char *)table->cells[i].column.name);
	lade_free(table->name);
	lade_free(table);
}

static int fill_table(struct lade_sqlite_writer *writer, struct lade_sqlite_table *table,
		      const struct lade_sqlite_table_config *config, sqlite3_stmt *columns,
		      struct lade_sqlite_error *error)
{
	int rc;

	table->name = copy_of(config->name);
	if (!table->name)
		return no_memory(error);
	rc = config->columns ? chosen_columns(table, columns, config, error) :
			       all_columns(table, columns, error);
	if (rc == 0)
		rc = check_key(table, config, error);
	if (rc == 0)
		rc = prepare_insert(writer, table, config, error);
	return rc < 0 ? rc : prepare_remove(writer, table, config, error);
}

static int new_table(struct lade_sqlite_writer *writer,
		     const struct lade_sqlite_table_config *config, sqlite3_stmt *columns,
		     int n, struct lade_sqlite_table **ret, struct lade_sqlite_error *error)
{
	unsigned most = config->columns ? config->n_columns : (unsigned)n;
	struct lade_sqlite_table *table;
	int rc;

	if (most > LADE_SQLITE_COLUMNS_MAX)
		return lade_sqlite_fail(error, LADE_SQLITE_FATAL, "more than 256 columns of %.60s",
					config->name);
	table = lade_calloc(1, sizeof(*table) + most * sizeof(table->cells[0]));
	if (!table)
		return no_memory(error);
	rc = fill_table(writer, table, config, columns, error);
	if (rc < 0)
		free_table(table);
	else
		*ret = table;
	return rc;
}

int lade_sqlite_table_open(struct lade_sqlite_writer *writer,
			   const struct lade_sqlite_table_config *config,
			   struct lade_sqlite_table **ret, struct lade_sqlite_error *ret_error)
{
	struct lade_sqlite_table *table = NULL;
	sqlite3_stmt *columns = NULL;
	int n, rc;

	lade_sqlite_begin_call(&writer->db, OPEN_NS);
	rc = lade_sqlite_has_table(&writer->db, config->name, ret_error);
	if (rc == 0)
		rc = missing_table(writer, config, ret_error);
	if (rc < 0)
		return rc;
	n = count_columns(writer, config->name, &columns, ret_error);
	rc = n < 0 ? n : new_table(writer, config, columns, n, &table, ret_error);
	sqlite3_finalize(columns);
	if (rc < 0)
		return rc;
	table->next = writer->tables;
	writer->tables = table;
	*ret = table;
	return 0;
}

unsigned lade_sqlite_table_columns(const struct lade_sqlite_table *table)
{
	return table->n;
}

const struct lade_sqlite_column *lade_sqlite_table_column(const struct lade_sqlite_table *table,
							  unsigned column)
{
	return &table->cells[column].column;
}

static int prepare_own(struct lade_sqlite_writer *writer, struct lade_sqlite_error *error)
{
	int rc = lade_sqlite_prepare(&writer->db, "begin immediate", &writer->begin, error);

	if (rc == 0)
		rc = lade_sqlite_prepare(&writer->db, "commit", &writer->commit, error);
	if (rc == 0)
		rc = lade_sqlite_prepare(&writer->db, "rollback", &writer->rollback, error);
	return rc;
}

int lade_sqlite_writer_open(const struct lade_sqlite_config *config,
			    struct lade_sqlite_writer **ret, struct lade_sqlite_error *ret_error)
{
	struct lade_sqlite_writer *writer = lade_calloc(1, sizeof(*writer));
	struct lade_sqlite_config for_writing = *config;
	int rc;

	if (!writer)
		return no_memory(ret_error);
	for_writing.write = true;
	rc = lade_sqlite_open(&for_writing, &writer->db, ret_error);
	if (rc == 0)
		rc = prepare_own(writer, ret_error);
	if (rc < 0)
		lade_sqlite_writer_close(writer);
	else
		*ret = writer;
	return rc;
}

struct lade_sqlite_writer *lade_sqlite_writer_close(struct lade_sqlite_writer *writer)
{
	if (!writer)
		return NULL;
	while (writer->tables) {
		struct lade_sqlite_table *table = writer->tables;

		writer->tables = table->next;
		free_table(table);
	}
	sqlite3_finalize(writer->begin);
	sqlite3_finalize(writer->commit);
	sqlite3_finalize(writer->rollback);
	sqlite3_finalize(writer->move);
	sqlite3_finalize(writer->claim);
	sqlite3_finalize(writer->read);
	lade_sqlite_close(&writer->db);
	lade_free(writer);
	return NULL;
}

struct lade_sqlite *lade_sqlite_writer_db(struct lade_sqlite_writer *writer)
{
	return &writer->db;
}

static void bind_lane(sqlite3_stmt *statement, const struct lade_sqlite_offset *lane)
{
	sqlite3_bind_text(statement, 1, lane->pipeline, -1, SQLITE_STATIC);
	sqlite3_bind_text(statement, 2, lane->topic, -1, SQLITE_STATIC);
	sqlite3_bind_int64(statement, 3, lane->part);
}

static int move_offset(struct lade_sqlite_writer *writer, const struct lade_sqlite_offset *o,
		       struct lade_sqlite_error *error)
{
	int code;

	bind_lane(writer->move, o);
	sqlite3_bind_int64(writer->move, 4, o->epoch);
	sqlite3_bind_int64(writer->move, 5, o->from);
	sqlite3_bind_int64(writer->move, 6, o->to);
	sqlite3_bind_text(writer->move, 7, o->cluster, -1, SQLITE_STATIC);
	code = run(writer->move);
	if (code != SQLITE_OK)
		return lade_sqlite_failed(&writer->db, code, "moving the offset", error);
	if (sqlite3_changes(writer->db.db) == 1)
		return 0;
	return lade_sqlite_fail(error, LADE_SQLITE_FENCED, "the offset of %.100s (part %" PRId64
				") is not %" PRId64 " under epoch %" PRId64 " any more: another"
				" process has taken it over, or it was set", o->topic, o->part,
				o->from, o->epoch);
}

static int write_row(struct lade_sqlite_writer *writer, struct lade_sqlite_table *table,
		     const struct lade_datum *cells, bool removed, struct lade_sqlite_error *error)
{
	sqlite3_stmt *statement = removed ? table->remove : table->insert;
	const unsigned n = removed ? table->n_key : table->n;
	int code = SQLITE_OK;

	for (unsigned i = 0; code == SQLITE_OK && i < n; i++) {
		const unsigned at = removed ? table->key[i] : i;

		code = lade_sqlite_bind(statement, (int)i + 1, &cells[at], table->cells[at].room);
	}
	if (code == SQLITE_RANGE)
		return lade_sqlite_fail(error, LADE_SQLITE_DATA,
					"a time is outside of the years 0000"
					" to 9999");
	if (code == SQLITE_OK)
		code = run(statement);
	return code == SQLITE_OK ? 0 : lade_sqlite_failed(&writer->db, code, table->name, error);
}

static int write_part(struct lade_sqlite_writer *writer, const struct lade_sqlite_part *parts,
		      unsigned p, struct lade_sqlite_error *error)
{
	const struct lade_sqlite_part *part = &parts[p];
	int rc = 0;

	for (uint32_t row = 0; row < part->rows; row++) {
		rc = write_row(writer, part->table, part->cells + (size_t)row * part->table->n,
			       part->deletes && part->deletes[row], error);
		if (rc == 0)
			continue;
		if (error->fault == LADE_SQLITE_DATA) {
			error->part = (int)p;
			error->row = row;
		}
		break;
	}
	sqlite3_clear_bindings(part->table->insert);
	if (part->table->remove)
		sqlite3_clear_bindings(part->table->remove);
	return rc;
}

/* Undoes what the transaction did; SQLite may have done so itself. */
static void roll_back(struct lade_sqlite_writer *writer)
{
	if (!sqlite3_get_autocommit(writer->db.db))
		run(writer->rollback);
}

static int commit(struct lade_sqlite_writer *writer, struct lade_sqlite_error *error)
{
	int code = run(writer->commit), rc;

	if (code == SQLITE_OK)
		return 0;
	rc = lade_sqlite_failed(&writer->db, code, "the commit", error);
	error->unsure = (code & 0xff) == SQLITE_IOERR;
	return rc;
}

int lade_sqlite_write(struct lade_sqlite_writer *writer, const struct lade_sqlite_part *parts,
		      unsigned n_parts, const struct lade_sqlite_offset *offsets,
		      unsigned n_offsets, int64_t limit_ns, struct lade_sqlite_error *ret_error)
{
	int code, rc = 0;

	lade_sqlite_begin_call(&writer->db, limit_ns);
	if (atomic_load(&writer->db.stop))
		return lade_sqlite_fail(ret_error, LADE_SQLITE_STOPPED, "the write was stopped");
	code = run(writer->begin);
	if (code != SQLITE_OK)
		return lade_sqlite_failed(&writer->db, code, writer->db.path, ret_error);
	for (unsigned i = 0; rc == 0 && i < n_offsets; i++)
		rc = move_offset(writer, &offsets[i], ret_error);
	for (unsigned p = 0; rc == 0 && p < n_parts; p++)
		rc = write_part(writer, parts, p, ret_error);
	if (rc == 0)
		rc = commit(writer, ret_error);
	if (rc < 0)
		roll_back(writer);
	return rc;
}

static const char offsets_table[] =
	"create table if not exists lade_offsets (pipeline text not null, topic text not null,"
	" part integer not null, next_offset integer not null, epoch integer not null,"
	" owner text not null, cluster text not null, format integer not null,"
	" primary key (pipeline, topic, part)) without rowid";
static const char offsets_move[] =
	"update lade_offsets set next_offset = ?6, cluster = ?7"
	" where pipeline = ?1 and topic = ?2 and part = ?3 and epoch = ?4 and next_offset = ?5";
static const char offsets_claim[] =
	"insert into lade_offsets values (?1, ?2, ?3, ?4, 1, ?5, ?6, ?7)"
	" on conflict do update set epoch = epoch + 1, owner = excluded.owner"
	" returning next_offset, epoch, owner, cluster, format";
static const char offsets_read[] =
	"select next_offset, epoch, owner, cluster, format from lade_offsets"
	" where pipeline = ?1 and topic = ?2 and part = ?3";

/* Prepares a statement unless it is there: an earlier attempt may have got half way. */
static int prepare_once(struct lade_sqlite_writer *writer, const char *sql, sqlite3_stmt **place,
			struct lade_sqlite_error *error)
{
	return *place ? 0 : lade_sqlite_prepare(&writer->db, sql, place, error);
}

int lade_sqlite_offsets_open(struct lade_sqlite_writer *writer,
			     struct lade_sqlite_error *ret_error)
{
	int rc;

	lade_sqlite_begin_call(&writer->db, OPEN_NS);
	rc = lade_sqlite_exec(&writer->db, offsets_table, ret_error);
	if (rc == 0)
		rc = prepare_once(writer, offsets_move, &writer->move, ret_error);
	if (rc == 0)
		rc = prepare_once(writer, offsets_claim, &writer->claim, ret_error);
	if (rc == 0)
		rc = prepare_once(writer, offsets_read, &writer->read, ret_error);
	return rc;
}

/* Reads a row of the offsets; the statement stands on it. */
static int take_stored(struct lade_sqlite_writer *writer, sqlite3_stmt *statement,
		       struct lade_sqlite_stored *ret, struct lade_sqlite_error *error)
{
	const char *owner = (const char *)sqlite3_column_text(statement, 2);
	const char *cluster = (const char *)sqlite3_column_text(statement, 3);

	if (sqlite3_column_int64(statement, 4) > OFFSETS_FORMAT)
		return lade_sqlite_fail(error, LADE_SQLITE_FATAL,
					"%s holds offsets of a newer lade;"
					" use that one",
					writer->db.path);
	if (!owner || !cluster)
		return no_memory(error);
	ret->next_offset = sqlite3_column_int64(statement, 0);
	ret->epoch = sqlite3_column_int64(statement, 1);
	snprintf(ret->owner, sizeof(ret->owner), "%s", owner);
	snprintf(ret->cluster, sizeof(ret->cluster), "%s", cluster);
	return 0;
}

/* Steps to the one row of an answer.  Returns 0, -ENOENT for no row, or an error. */
static int one_row(struct lade_sqlite_writer *writer, sqlite3_stmt *statement,
		   struct lade_sqlite_stored *ret, struct lade_sqlite_error *error)
{
	int code = sqlite3_step(statement), rc = -ENOENT;

	if (code == SQLITE_ROW) {
		rc = take_stored(writer, statement, ret, error);
		code = sqlite3_step(statement);
	}
	if (code != SQLITE_DONE)
		rc = lade_sqlite_failed(&writer->db, code, "the offsets", error);
	sqlite3_reset(statement);
	return rc;
}

int lade_sqlite_offsets_claim(struct lade_sqlite_writer *writer,
			      const struct lade_sqlite_offset *lane, const char *owner,
			      int64_t limit_ns, struct lade_sqlite_stored *ret,
			      struct lade_sqlite_error *ret_error)
{
	struct lade_sqlite_stored stored;
	int code, rc;

	lade_sqlite_begin_call(&writer->db, limit_ns);
	code = run(writer->begin);
	if (code != SQLITE_OK)
		return lade_sqlite_failed(&writer->db, code, writer->db.path, ret_error);
	bind_lane(writer->claim, lane);
	sqlite3_bind_int64(writer->claim, 4, lane->to);
	sqlite3_bind_text(writer->claim, 5, owner, -1, SQLITE_STATIC);
	sqlite3_bind_text(writer->claim, 6, lane->cluster, -1, SQLITE_STATIC);
	sqlite3_bind_int64(writer->claim, 7, OFFSETS_FORMAT);
	rc = one_row(writer, writer->claim, &stored, ret_error);
	if (rc == 0)
		rc = commit(writer, ret_error);
	if (rc < 0)
		roll_back(writer);
	else
		*ret = stored;
	return rc;
}

int lade_sqlite_offsets_read(struct lade_sqlite_writer *writer,
			     const struct lade_sqlite_offset *lane, int64_t limit_ns,
			     struct lade_sqlite_stored *ret, struct lade_sqlite_error *ret_error)
{
	struct lade_sqlite_stored stored;
	int rc;

	lade_sqlite_begin_call(&writer->db, limit_ns);
	bind_lane(writer->read, lane);
	rc = one_row(writer, writer->read, &stored, ret_error);
	if (rc == 0)
		*ret = stored;
	return rc;
}
