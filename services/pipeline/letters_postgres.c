/* SPDX-License-Identifier: MIT */
/* letters_postgres.c - dead letters in a table of PostgreSQL.
 *
 * DESIGN
 * The table has no key: a letter is named by where its row lies (ctid) and a hash of what is in it,
 * because the place may be another row's later. Which letters there are is read at once when the
 * table is opened, so that none that is rejected again is read again; their documents follow by
 * pages. One that was replayed is deleted. A lock of the session keeps two replays apart; it ends
 * with its connection, and then both may write the same letter, which is what replays may do.
 *
 * LIMITS  LETTERS_MAX letters in one go: those beyond wait for the next replay. */

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "services/pipeline/letters.h"
#include "services/pipeline/postgres.h"
#include "services/pipeline/sink_postgres.h"

#define LETTERS_MAX 1000000
#define PAGE 200			  /* documents of a question */
#define LIMIT_NS INT64_C(30000000000)	  /* of a question */
#define LASTS_NS INT64_C(86400000000000)  /* the connection, which holds the lock */

struct place {
	int64_t block, item;
};

struct of_postgres {
	struct lade_pg *db;
	struct lade_pg_args args;
	char *list, *page_sql, *delete_sql;	/* statements */
	struct place *all;			/* the letters that there were */
	uint32_t n, asked;			/* and for how many of them it was asked */
	struct lade_pg_result page;
	uint32_t row;				/* of the page, the next one */
	struct lade_letter_ref *done;		/* to be deleted */
	size_t n_done, room;
};

static int failed(struct lade_letters *l, const struct lade_pg_error *error, int rc)
{
	char text[512];

	if (rc != -ECANCELED)
		snprintf(l->why, sizeof(l->why), "%.100s: %.280s", l->name,
			 rc == -ETIME ? "it does not answer" : lade_pipe_pg_say(error, text));
	return rc;
}

static int ask(struct lade_letters *l, const char *sql, struct lade_pg_result *ret)
{
	struct of_postgres *p = l->self;
	struct lade_pg_error error = { .statement = -1 };
	int rc = lade_within(lade_ns(LIMIT_NS), lade_pg_query(p->db, sql, &p->args, ret, &error));

	return rc < 0 && strcmp(error.sqlstate, "42P01") == 0 ? -ENOENT
	       : rc < 0						? failed(l, &error, rc)
								: 0;
}

/* The statements; the table's name is SQL, as it is where letters are written. */
static int build(struct of_postgres *p, const char *table)
{
	if (asprintf(&p->list, "select split_part(trim('()' from ctid::text), ',', 1)::int8,"
		     " split_part(trim('()' from ctid::text), ',', 2)::int8 from %s"
		     " where pipeline = $1 order by first_failed, ctid limit %d", table,
		     LETTERS_MAX) < 0)
		p->list = NULL;
	if (asprintf(&p->page_sql, "select m.block, m.item, hashtextextended(d.document, 0),"
		     " d.document from unnest($2::int8[], $3::int8[]) with ordinality"
		     " as m(block, item, nth) join %s d on d.ctid = ('(' || m.block || ',' ||"
		     " m.item || ')')::tid where d.pipeline = $1 order by m.nth", table) < 0)
		p->page_sql = NULL;
	if (asprintf(&p->delete_sql, "delete from %s d using unnest($2::int8[], $3::int8[],"
		     " $4::int8[]) as m(block, item, hash) where d.pipeline = $1 and d.ctid = ('('"
		     " || m.block || ',' || m.item || ')')::tid"
		     " and hashtextextended(d.document, 0) = m.hash", table) < 0)
		p->delete_sql = NULL;
	return p->list && p->page_sql && p->delete_sql ? 0 : -ENOMEM;
}

static const char *database_of(const struct lade_pipe_config *config)
{
	for (int i = 0; i < config->n_sinks; i++)
		if (config->sinks[i].kind == LADE_SINK_POSTGRES)
			return config->sinks[i].db;
	return ""; /* there is one, or nobody would ask */
}

/* One replay at a time. */
static int lock(struct lade_letters *l, struct of_postgres *p)
{
	struct lade_pg_result r = { 0 };
	int64_t got;
	int rc;

	lade_pg_args_reset(&p->args);
	lade_pipe_pg_text(&p->args, l->config->name);
	rc = ask(l, "select pg_try_advisory_lock(hashtextextended('lade dlq ' || $1, 0))::int4"
		 "::int8", &r);
	if (rc < 0)
		return rc;
	got = lade_pipe_pg_integer(&r, 0, 0);
	lade_pg_result_done(&r);
	if (got)
		return 0;
	snprintf(l->why, sizeof(l->why), "%.250s is being replayed by another process", l->name);
	return -EBUSY;
}

static int find_all(struct lade_letters *l, struct of_postgres *p)
{
	struct lade_pg_result r = { 0 };
	int rc;

	lade_pg_args_reset(&p->args);
	lade_pipe_pg_text(&p->args, l->config->name);
	rc = ask(l, p->list, &r);
	if (rc == -ENOENT)
		return 0; /* none was ever kept */
	if (rc < 0)
		return rc;
	p->all = calloc((size_t)r.rows + 1, sizeof(*p->all));
	for (uint32_t i = 0; p->all && i < r.rows; i++)
		p->all[p->n++] = (struct place){ lade_pipe_pg_integer(&r, i, 0),
						 lade_pipe_pg_integer(&r, i, 1) };
	lade_pg_result_done(&r);
	return p->all ? 0 : -ENOMEM;
}

static int postgres_open(struct lade_letters *l)
{
	const struct lade_pg_config settings = { .connections_max = 1, .idle_ns = LASTS_NS };
	struct of_postgres *p = calloc(1, sizeof(*p));
	struct lade_pg_error error = { .statement = -1 };
	int rc;

	l->self = p;
	if (!p)
		return -ENOMEM;
	lade_pg_args_init(&p->args, 0);
	snprintf(l->name, sizeof(l->name), "%.150s of %.90s", l->config->errors.dead_table,
		 database_of(l->config));
	rc = build(p, l->config->errors.dead_table);
	if (rc == 0)
		rc = lade_pipe_pg_open(l->config, database_of(l->config), settings, &p->db,
				       &error);
	if (rc < 0)
		return rc == -ENOMEM ? rc : failed(l, &error, rc);
	if (l->replaying)
		rc = lock(l, p);
	return rc == 0 ? find_all(l, p) : rc;
}

static int read_page(struct lade_letters *l, struct of_postgres *p)
{
	uint32_t n = p->n - p->asked < PAGE ? p->n - p->asked : PAGE;
	struct lade_pg_result r = { 0 };
	int rc;

	lade_pg_args_reset(&p->args);
	lade_pipe_pg_text(&p->args, l->config->name);
	lade_pg_array(&p->args, LADE_PG_INT8, n);
	for (uint32_t i = 0; i < n; i++)
		lade_pg_item_int8(&p->args, p->all[p->asked + i].block);
	lade_pg_array(&p->args, LADE_PG_INT8, n);
	for (uint32_t i = 0; i < n; i++)
		lade_pg_item_int8(&p->args, p->all[p->asked + i].item);
	rc = ask(l, p->page_sql, &r);
	if (rc < 0)
		return rc;
	lade_pg_result_done(&p->page);
	p->page = r;
	p->row = 0;
	p->asked += n;
	return 0;
}

static int postgres_next(struct lade_letters *l, struct lade_letter *ret)
{
	struct of_postgres *p = l->self;
	uint32_t len;

	while (p->row == p->page.rows) {
		int rc = p->asked < p->n ? read_page(l, p) : -ENOENT;

		if (rc < 0)
			return rc == -ENOENT ? 0 : rc;
	}
	ret->ref.part = lade_pipe_pg_integer(&p->page, p->row, 0);
	ret->ref.id = lade_pipe_pg_integer(&p->page, p->row, 1);
	ret->ref.check = (uint64_t)lade_pipe_pg_integer(&p->page, p->row, 2);
	/* libpq's block, which nobody writes to: read only. */
	l->document = (char *)(uintptr_t)lade_pg_bytes(&p->page, p->row, 3, &len);
	l->len = len;
	p->row++;
	return 1;
}

static int postgres_done(struct lade_letters *l, const struct lade_letter_ref *refs, size_t n)
{
	struct of_postgres *p = l->self;

	if (p->n_done + n > p->room) {
		size_t room = 2 * (p->n_done + n);
		struct lade_letter_ref *more = realloc(p->done, room * sizeof(*more));

		if (!more)
			return -ENOMEM;
		p->done = more;
		p->room = room;
	}
	memcpy(p->done + p->n_done, refs, n * sizeof(*refs));
	p->n_done += n;
	return 0;
}

static int postgres_flush(struct lade_letters *l)
{
	struct of_postgres *p = l->self;
	uint32_t n = (uint32_t)p->n_done;
	struct lade_pg_result r = { 0 };
	int rc;

	if (!n)
		return 0;
	lade_pg_args_reset(&p->args);
	lade_pipe_pg_text(&p->args, l->config->name);
	lade_pg_array(&p->args, LADE_PG_INT8, n);
	for (uint32_t i = 0; i < n; i++)
		lade_pg_item_int8(&p->args, p->done[i].part);
	lade_pg_array(&p->args, LADE_PG_INT8, n);
	for (uint32_t i = 0; i < n; i++)
		lade_pg_item_int8(&p->args, p->done[i].id);
	lade_pg_array(&p->args, LADE_PG_INT8, n);
	for (uint32_t i = 0; i < n; i++)
		lade_pg_item_int8(&p->args, (int64_t)p->done[i].check);
	rc = ask(l, p->delete_sql, &r);
	if (rc < 0)
		return rc;
	lade_pg_result_done(&r);
	/* More may have been done meanwhile. */
	memmove(p->done, p->done + n, (p->n_done - n) * sizeof(*p->done));
	p->n_done -= n;
	return 0;
}

static void postgres_close(struct lade_letters *l)
{
	struct of_postgres *p = l->self;

	if (!p)
		return;
	lade_pg_result_done(&p->page);
	lade_pg_args_done(&p->args);
	lade_pg_close(p->db);
	free(p->list);
	free(p->page_sql);
	free(p->delete_sql);
	free(p->all);
	free(p->done);
	free(p);
}

const struct lade_letters_ops lade_letters_of_postgres = { .paired = true,
							   .open = postgres_open,
							   .next = postgres_next,
							   .done = postgres_done,
							   .flush = postgres_flush,
							   .close = postgres_close };
