/* SPDX-License-Identifier: MIT */
/* offsets_sqlite.c - the lanes of a pipeline as its SQLite sink keeps them. */

#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "services/pipeline/letters.h"
#include "services/pipeline/offsets.h"

#define BUSY_MS 10000

struct of_sqlite {
	sqlite3 *db;
	sqlite3_stmt *rows; /* NULL: there is no table */
};

static int failed(struct lade_offsets *o, const struct of_sqlite *s)
{
	snprintf(o->why, sizeof(o->why), "%.200s: %s", lade_letters_database(o->config),
		 sqlite3_errmsg(s->db));
	return -EIO;
}

static int sqlite_open(struct lade_offsets *o)
{
	const char *file = lade_letters_database(o->config);
	struct of_sqlite *s = calloc(1, sizeof(*s));
	int rc;

	o->self = s;
	if (!s)
		return -ENOMEM;
	if (access(file, F_OK) < 0 && errno == ENOENT)
		return 0; /* nothing has run yet */
	if (sqlite3_open_v2(file, &s->db, o->setting ? SQLITE_OPEN_READWRITE : SQLITE_OPEN_READONLY,
			    NULL) != SQLITE_OK)
		return failed(o, s);
	sqlite3_busy_timeout(s->db, BUSY_MS);
	rc = sqlite3_prepare_v2(s->db, "select topic, part, next_offset, epoch, owner, cluster"
				" from lade_offsets where pipeline = ?1 order by topic, part", -1,
				&s->rows, NULL);
	if (rc != SQLITE_OK)
		return strstr(sqlite3_errmsg(s->db), "no such table") ? 0 : failed(o, s);
	sqlite3_bind_text(s->rows, 1, o->config->name, -1, SQLITE_STATIC);
	return 0;
}

static void copy_text(sqlite3_stmt *rows, int column, char *ret, size_t room)
{
	const unsigned char *text = sqlite3_column_text(rows, column);

	snprintf(ret, room, "%s", text ? (const char *)text : "");
}

static int sqlite_next(struct lade_offsets *o, struct lade_offset *ret)
{
	struct of_sqlite *s = o->self;
	int rc = s->rows ? sqlite3_step(s->rows) : SQLITE_DONE;

	if (rc != SQLITE_ROW)
		return rc == SQLITE_DONE ? 0 : failed(o, s);
	copy_text(s->rows, 0, ret->topic, sizeof(ret->topic));
	ret->part = sqlite3_column_int64(s->rows, 1);
	ret->next_offset = sqlite3_column_int64(s->rows, 2);
	ret->epoch = sqlite3_column_int64(s->rows, 3);
	copy_text(s->rows, 4, ret->owner, sizeof(ret->owner));
	copy_text(s->rows, 5, ret->cluster, sizeof(ret->cluster));
	return 1;
}

/* One lane.  Returns SQLITE_OK; SQLITE_BUSY: it has moved; what went wrong. */
static int move(struct lade_offsets *o, sqlite3_stmt *st, const struct lade_offset *was,
		const struct lade_offset *to)
{
	const struct of_sqlite *s = o->self;
	int rc;

	sqlite3_bind_int64(st, 1, to->next_offset);
	sqlite3_bind_text(st, 2, to->cluster, -1, SQLITE_STATIC);
	sqlite3_bind_text(st, 3, o->config->name, -1, SQLITE_STATIC);
	sqlite3_bind_text(st, 4, was->topic, -1, SQLITE_STATIC);
	sqlite3_bind_int64(st, 5, was->part);
	sqlite3_bind_int64(st, 6, was->epoch);
	sqlite3_bind_int64(st, 7, was->next_offset);
	rc = sqlite3_step(st);
	if (rc != SQLITE_DONE)
		return rc;
	sqlite3_reset(st);
	return sqlite3_changes(s->db) == 1 ? SQLITE_OK : SQLITE_BUSY;
}

static int sqlite_set(struct lade_offsets *o, const struct lade_offset *was,
		      const struct lade_offset *to, size_t n)
{
	struct of_sqlite *s = o->self;
	sqlite3_stmt *st = NULL;
	bool moved = false;
	int rc;

	sqlite3_reset(s->rows);
	rc = sqlite3_exec(s->db, "begin immediate", NULL, NULL, NULL);
	if (rc == SQLITE_OK)
		rc = sqlite3_prepare_v2(s->db,
					"update lade_offsets set next_offset = ?1, cluster = ?2,"
					" epoch = epoch + 1, owner = 'lade offsets set'"
					" where pipeline = ?3 and topic = ?4 and part = ?5"
					" and epoch = ?6 and next_offset = ?7", -1, &st, NULL);
	for (size_t i = 0; rc == SQLITE_OK && !moved && i < n; i++) {
		rc = move(o, st, &was[i], &to[i]);
		moved = rc == SQLITE_BUSY && sqlite3_errcode(s->db) != SQLITE_BUSY;
	}
	if (rc != SQLITE_OK && !moved)
		(void)failed(o, s);
	sqlite3_finalize(st);
	if (rc == SQLITE_OK && sqlite3_exec(s->db, "commit", NULL, NULL, NULL) != SQLITE_OK)
		rc = failed(o, s);
	if (rc != SQLITE_OK)
		sqlite3_exec(s->db, "rollback", NULL, NULL, NULL);
	return rc == SQLITE_OK ? 0 : moved ? -EAGAIN : -EIO;
}

static void sqlite_close(struct lade_offsets *o)
{
	struct of_sqlite *s = o->self;

	if (!s)
		return;
	sqlite3_finalize(s->rows);
	sqlite3_close(s->db);
	free(s);
}

const struct lade_offsets_ops lade_offsets_of_sqlite = { sqlite_open, sqlite_next, sqlite_set,
							 sqlite_close };
