/* SPDX-License-Identifier: MIT */
/* offsets_postgres.c - the lanes of a pipeline as its PostgreSQL sink keeps them. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "services/pipeline/offsets.h"
#include "services/pipeline/postgres.h"
#include "services/pipeline/sink_postgres.h"

#define LIMIT_NS INT64_C(10000000000) /* of a question */

static const char ROWS_SQL[] =
	"select topic, part, next_offset, epoch, owner, cluster from lade_offsets"
	" where pipeline = $1 order by topic, part";

/* All lanes, or an error that takes back those that were moved. */
static const char SET_SQL[] =
	"with m as (select * from unnest($2::text[], $3::int8[], $4::int8[], $5::int8[],"
	" $6::int8[], $7::text[]) as m(topic, part, epoch, was, next, cluster)),"
	" u as (update lade_offsets o set next_offset = m.next, cluster = m.cluster,"
	" epoch = o.epoch + 1, owner = 'lade offsets set', updated_at = now() from m"
	" where o.pipeline = $1 and o.topic = m.topic and o.part = m.part"
	" and o.epoch = m.epoch and o.next_offset = m.was returning 1)"
	" select 1 / (case when count(*) = cardinality($3) then 1 else 0 end) from u";

struct of_postgres {
	struct lade_pg *db;
	struct lade_pg_args args;
	struct lade_pg_result rows;	/* of zeros: there is no table */
	uint32_t next;
};

static const char *database_of(const struct lade_pipe_config *config)
{
	for (int i = 0; i < config->n_sinks; i++)
		if (config->sinks[i].kind == LADE_SINK_POSTGRES)
			return config->sinks[i].db;
	return ""; /* there is one, or nobody would ask */
}

static int failed(struct lade_offsets *o, const struct lade_pg_error *error, int rc)
{
	char text[512];

	snprintf(o->why, sizeof(o->why), "%.60s: %s", database_of(o->config),
		 rc == -ETIME ? "it does not answer" : lade_pipe_pg_say(error, text));
	return rc == -EAGAIN ? -EIO : rc;
}

static int postgres_open(struct lade_offsets *o)
{
	struct of_postgres *p = calloc(1, sizeof(*p));
	struct lade_pg_error error = { .statement = -1 };
	int rc;

	o->self = p;
	if (!p)
		return -ENOMEM;
	lade_pg_args_init(&p->args, 0);
	rc = lade_pipe_pg_open(o->config, database_of(o->config), (struct lade_pg_config){ 0 },
			       &p->db, &error);
	if (rc == 0) {
		lade_pipe_pg_text(&p->args, o->config->name);
		rc = lade_within(lade_ns(LIMIT_NS),
				 lade_pg_query(p->db, ROWS_SQL, &p->args, &p->rows, &error));
	}
	if (rc < 0 && strcmp(error.sqlstate, "42P01") == 0)
		return 0; /* nothing has run yet */
	return rc < 0 ? failed(o, &error, rc) : 0;
}

static int postgres_next(struct lade_offsets *o, struct lade_offset *ret)
{
	struct of_postgres *p = o->self;
	const struct lade_pg_result *r = &p->rows;

	if (p->next == r->rows)
		return 0;
	lade_pipe_pg_copy_text(r, p->next, 0, ret->topic, sizeof(ret->topic));
	ret->part = lade_pipe_pg_integer(r, p->next, 1);
	ret->next_offset = lade_pipe_pg_integer(r, p->next, 2);
	ret->epoch = lade_pipe_pg_integer(r, p->next, 3);
	lade_pipe_pg_copy_text(r, p->next, 4, ret->owner, sizeof(ret->owner));
	lade_pipe_pg_copy_text(r, p->next, 5, ret->cluster, sizeof(ret->cluster));
	p->next++;
	return 1;
}

static void bind(struct lade_pg_args *a, const char *pipeline, const struct lade_offset *was,
		 const struct lade_offset *to, uint32_t n)
{
	lade_pg_args_reset(a);
	lade_pipe_pg_text(a, pipeline);
	lade_pg_array(a, LADE_PG_TEXT, n);
	for (uint32_t i = 0; i < n; i++)
		lade_pg_item_text(a, was[i].topic, strlen(was[i].topic));
	lade_pg_array(a, LADE_PG_INT8, n);
	for (uint32_t i = 0; i < n; i++)
		lade_pg_item_int8(a, was[i].part);
	lade_pg_array(a, LADE_PG_INT8, n);
	for (uint32_t i = 0; i < n; i++)
		lade_pg_item_int8(a, was[i].epoch);
	lade_pg_array(a, LADE_PG_INT8, n);
	for (uint32_t i = 0; i < n; i++)
		lade_pg_item_int8(a, was[i].next_offset);
	lade_pg_array(a, LADE_PG_INT8, n);
	for (uint32_t i = 0; i < n; i++)
		lade_pg_item_int8(a, to[i].next_offset);
	lade_pg_array(a, LADE_PG_TEXT, n);
	for (uint32_t i = 0; i < n; i++)
		lade_pg_item_text(a, to[i].cluster, strlen(to[i].cluster));
}

static int postgres_set(struct lade_offsets *o, const struct lade_offset *was,
			const struct lade_offset *to, size_t n)
{
	struct of_postgres *p = o->self;
	struct lade_pg_error error = { .statement = -1 };
	int rc;

	bind(&p->args, o->config->name, was, to, (uint32_t)n);
	rc = lade_within(lade_ns(LIMIT_NS), lade_pg_query(p->db, SET_SQL, &p->args, NULL, &error));
	if (rc < 0 && strcmp(error.sqlstate, "22012") == 0)
		return -EAGAIN;
	return rc < 0 ? failed(o, &error, rc) : 0;
}

static void postgres_close(struct lade_offsets *o)
{
	struct of_postgres *p = o->self;

	if (!p)
		return;
	lade_pg_result_done(&p->rows);
	lade_pg_args_done(&p->args);
	lade_pg_close(p->db);
	free(p);
}

const struct lade_offsets_ops lade_offsets_of_postgres = { postgres_open, postgres_next,
							   postgres_set, postgres_close };
