/* SPDX-License-Identifier: MIT */
/* letters_sqlite.c - dead letters in a table of an SQLite database.
 *
 * DESIGN
 * Letters are read by pages, so that no reading stands in the way of whoever writes: a statement
 * that is half read would hold the database. One that is done is deleted, unless another row has
 * got its number meanwhile. */

#include <errno.h>
#include <inttypes.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "services/pipeline/letters.h"

#define PAGE 200       /* letters of a page */
#define BUSY_MS 10000

struct of_sqlite {
	sqlite3 *db;
	char *table;			/* its name, quoted */
	int64_t after, last;		/* the row that was read last; the last one to read */
	struct lade_letter_ref refs[PAGE]; /* of the present page */
	char *documents[PAGE];
	int n, at;
};

static int failed(struct lade_letters *l, const struct of_sqlite *s)
{
	snprintf(l->why, sizeof(l->why), "%.200s: %s", l->name, sqlite3_errmsg(s->db));
	return -EIO;
}

/* Whether the table is there, and its last row. */
static int find_last(struct lade_letters *l, struct of_sqlite *s)
{
	char *sql = sqlite3_mprintf("select max(rowid) from %s", s->table);
	sqlite3_stmt *st = NULL;
	int rc = sql ? sqlite3_prepare_v2(s->db, sql, -1, &st, NULL) : SQLITE_NOMEM;

	sqlite3_free(sql);
	if (rc == SQLITE_ERROR && strstr(sqlite3_errmsg(s->db), "no such table"))
		return 0; /* none was ever kept */
	if (rc == SQLITE_OK && sqlite3_step(st) == SQLITE_ROW)
		s->last = sqlite3_column_int64(st, 0);
	rc = sqlite3_finalize(st);
	return rc == SQLITE_OK && st ? 0 : failed(l, s);
}

static int sqlite_open(struct lade_letters *l)
{
	const char *file = lade_letters_database(l->config);
	struct of_sqlite *s = calloc(1, sizeof(*s));

	l->self = s;
	if (!s)
		return -ENOMEM;
	s->after = INT64_MIN;
	s->last = INT64_MIN;
	s->table = sqlite3_mprintf("\"%w\"", l->config->errors.dead_table);
	snprintf(l->name, sizeof(l->name), "%.150s of %.90s", l->config->errors.dead_table, file);
	if (!s->table)
		return -ENOMEM;
	if (access(file, F_OK) < 0 && errno == ENOENT)
		return 0;
	if (sqlite3_open_v2(file, &s->db,
			    l->replaying ? SQLITE_OPEN_READWRITE : SQLITE_OPEN_READONLY,
			    NULL) != SQLITE_OK)
		return failed(l, s);
	sqlite3_busy_timeout(s->db, BUSY_MS);
	return find_last(l, s);
}

static void drop_page(struct of_sqlite *s)
{
	for (int i = 0; i < s->n; i++)
		free(s->documents[i]);
	s->n = s->at = 0;
}

static int read_row(struct of_sqlite *s, sqlite3_stmt *st)
{
	const char *text = (const char *)sqlite3_column_text(st, 1);
	size_t len = (size_t)sqlite3_column_bytes(st, 1);

	s->documents[s->n] = text ? strndup(text, len) : NULL;
	if (!s->documents[s->n])
		return -ENOMEM;
	s->after = s->refs[s->n].id = sqlite3_column_int64(st, 0);
	s->refs[s->n].check = len;
	s->n++;
	return 0;
}

static int read_page(struct lade_letters *l, struct of_sqlite *s)
{
	char *sql = sqlite3_mprintf("select rowid, document from %s where pipeline = ?1 and"
				    " rowid > ?2 and rowid <= ?3 order by rowid limit %d",
				    s->table, PAGE);
	sqlite3_stmt *st = NULL;
	int rc = sql ? sqlite3_prepare_v2(s->db, sql, -1, &st, NULL) : SQLITE_NOMEM, bad = 0;

	sqlite3_free(sql);
	drop_page(s);
	if (rc != SQLITE_OK)
		return failed(l, s);
	sqlite3_bind_text(st, 1, l->config->name, -1, SQLITE_STATIC);
	sqlite3_bind_int64(st, 2, s->after);
	sqlite3_bind_int64(st, 3, s->last);
	while (bad == 0 && (rc = sqlite3_step(st)) == SQLITE_ROW)
		bad = read_row(s, st);
	sqlite3_finalize(st);
	return bad ? bad : rc == SQLITE_DONE ? 0 : failed(l, s);
}

static int sqlite_next(struct lade_letters *l, struct lade_letter *letter)
{
	struct lade_letter_ref *ret = &letter->ref;
	struct of_sqlite *s = l->self;

	if (s->at == s->n) {
		int rc = s->db && s->after < s->last ? read_page(l, s) : 0;

		if (rc < 0)
			return rc;
		if (s->at == s->n || !s->db || !s->n) {
			drop_page(s);
			return 0;
		}
	}
	*ret = s->refs[s->at];
	l->document = s->documents[s->at++];
	l->len = (size_t)ret->check;
	return 1;
}

static int sqlite_done(struct lade_letters *l, const struct lade_letter_ref *refs, size_t n)
{
	struct of_sqlite *s = l->self;
	char *sql = sqlite3_mprintf("delete from %s where rowid = ?1 and"
				    " length(cast(document as blob)) = ?2", s->table);
	sqlite3_stmt *st = NULL;
	int rc = sql ? sqlite3_exec(s->db, "begin immediate", NULL, NULL, NULL) : SQLITE_NOMEM;

	if (rc == SQLITE_OK)
		rc = sqlite3_prepare_v2(s->db, sql, -1, &st, NULL);
	sqlite3_free(sql);
	for (size_t i = 0; rc == SQLITE_OK && i < n; i++) {
		sqlite3_bind_int64(st, 1, refs[i].id);
		sqlite3_bind_int64(st, 2, (int64_t)refs[i].check);
		rc = sqlite3_step(st) == SQLITE_DONE ? sqlite3_reset(st) : SQLITE_ERROR;
	}
	if (rc == SQLITE_OK) {
		sqlite3_finalize(st);
		rc = sqlite3_exec(s->db, "commit", NULL, NULL, NULL);
		return rc == SQLITE_OK ? 0 : failed(l, s);
	}
	(void)failed(l, s);
	sqlite3_finalize(st);
	sqlite3_exec(s->db, "rollback", NULL, NULL, NULL);
	return -EIO;
}

static void sqlite_close(struct lade_letters *l)
{
	struct of_sqlite *s = l->self;

	if (!s)
		return;
	drop_page(s);
	sqlite3_free(s->table);
	sqlite3_close(s->db);
	free(s);
}

const struct lade_letters_ops lade_letters_of_sqlite = { .open = sqlite_open,
							 .next = sqlite_next,
							 .done = sqlite_done,
							 .close = sqlite_close };
