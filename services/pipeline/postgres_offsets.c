/* SPDX-License-Identifier: MIT */
/* postgres_offsets.c - the table of offsets: who may move them, and what is known of them.
 *
 * DESIGN
 * One row a lane: how far it is, and the epoch of whoever claimed it last. The fence moves all
 * lanes of a transaction at once and divides by whether it has: an error is what makes the rows
 * behind it void, in the same round trip. */

#include "services/pipeline/sink_postgres.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

static const char FENCE_SQL[] =
	"with m as (select * from unnest($2::text[], $3::int8[], $4::int8[], $5::int8[],"
	" $6::int8[], $7::text[]) as m(topic, part, epoch, was, next, cluster)),"
	" u as (update lade_offsets o set next_offset = m.next, cluster = m.cluster,"
	" updated_at = now() from m where o.pipeline = $1 and o.topic = m.topic"
	" and o.part = m.part and o.epoch = m.epoch and o.next_offset = m.was returning 1)"
	" select 1 / (case when count(*) = cardinality($3) then 1 else 0 end) from u";

static const char CLAIM_SQL[] =
	"insert into lade_offsets as o (pipeline, topic, part, next_offset, epoch, owner, cluster)"
	" values ($1, $2, $3, 0, 1, $4, $5) on conflict (pipeline, topic, part) do update"
	" set epoch = o.epoch + 1, owner = excluded.owner, updated_at = now()"
	" returning next_offset, epoch, cluster, (select before.owner from lade_offsets before"
	" where before.pipeline = $1 and before.topic = $2 and before.part = $3)";

static const char READ_SQL[] =
	"select m.nth - 1, o.next_offset, o.epoch, o.owner"
	" from unnest($2::text[], $3::int8[]) with ordinality as m(topic, part, nth)"
	" join lade_offsets o on o.pipeline = $1 and o.topic = m.topic and o.part = m.part";

static const char OFFSETS_SQL[] =
	"create table if not exists lade_offsets (pipeline text not null, topic text not null,"
	" part int8 not null, next_offset int8 not null, epoch int8 not null, owner text not null,"
	" cluster text not null, format int4 not null default 1,"
	" updated_at timestamptz not null default now(), primary key (pipeline, topic, part))";

/* The pipeline's name, and the topics and partitions of lanes. */
static void bind_lanes(struct lade_pipe_pg_sink *s, const struct lade_pipe_move *moves, uint32_t n)
{
	struct lade_pg_args *a = &s->fence_args;

	lade_pg_args_reset(a);
	lade_pipe_pg_text(a, s->outlet->engine->config->name);
	lade_pg_array(a, LADE_PG_TEXT, n);
	for (uint32_t i = 0; i < n; i++)
		lade_pg_item_text(a, moves[i].lane->topic, strlen(moves[i].lane->topic));
	lade_pg_array(a, LADE_PG_INT8, n);
	for (uint32_t i = 0; i < n; i++)
		lade_pg_item_int8(a, moves[i].lane->part);
}

struct lade_pg_statement lade_pipe_pg_fence(struct lade_pipe_pg_sink *s,
					    const struct lade_pipe_move *moves, uint32_t n)
{
	struct lade_pg_args *a = &s->fence_args;

	bind_lanes(s, moves, n);
	lade_pg_array(a, LADE_PG_INT8, n);
	for (uint32_t i = 0; i < n; i++)
		lade_pg_item_int8(a, moves[i].lane->stored.epoch);
	lade_pg_array(a, LADE_PG_INT8, n);
	for (uint32_t i = 0; i < n; i++)
		lade_pg_item_int8(a, moves[i].lane->stored.next_offset);
	lade_pg_array(a, LADE_PG_INT8, n);
	for (uint32_t i = 0; i < n; i++)
		lade_pg_item_int8(a, moves[i].to);
	lade_pg_array(a, LADE_PG_TEXT, n);
	for (uint32_t i = 0; i < n; i++)
		lade_pg_item_text(a, moves[i].lane->cluster, strlen(moves[i].lane->cluster));
	return (struct lade_pg_statement){ FENCE_SQL, a };
}

/* Somebody else has claimed a lane. Where lanes come and go that is how one learns that it has
 * gone; else two processes run one pipeline. */
static int overtaken(struct lade_pipe_pg_sink *s, struct lade_pipe_lane *lane, const char *owner)
{
	struct lade_pipe_engine *e = s->outlet->engine;

	lane->fenced = true;
	if (e->from->rewind)
		return -ESTALE;
	return lade_pipe_fail(e, LADE_EXIT_FAILED,
			      "sink postgres: another process (%s) has taken this pipeline over; "
			      "what this one had not committed is that one's now. Let one run at "
			      "a time",
			      owner);
}

/* Its own epoch, and an offset from before: the database has lost what it had said was safe. */
static int went_back(struct lade_pipe_pg_sink *s, const struct lade_pipe_lane *lane, int64_t now)
{
	struct lade_pipe_engine *e = s->outlet->engine;

	if (e->from->rewind) {
		lade_pipe_say(e,
			      "%s: the database is back at %lld, before the %lld that it had "
			      "kept: it has lost commits; the lane is read again from there",
			      lane->name, (long long)now, (long long)lane->stored.next_offset);
		return -ESTALE;
	}
	return lade_pipe_fail(e, LADE_EXIT_FAILED,
			      "sink postgres: the offset of %s is not where it was left: the "
			      "database has lost commits, or somebody has set it. Start again to "
			      "go on from where it is",
			      lane->name);
}

/* What the database says of each lane.
 *
 * Returns 0: all is written; -EAGAIN: nothing is, again; -ESTALE: nothing is, and never will be. */
static int judge_stored(struct lade_pipe_pg_sink *s, const struct lade_pg_result *r,
			const struct lade_pipe_move *moves, uint32_t n)
{
	uint32_t done = 0;
	int rc = 0;

	for (uint32_t k = 0; k < r->rows; k++) {
		const struct lade_pipe_move *m = &moves[lade_pipe_pg_integer(r, k, 0)];
		int64_t next = lade_pipe_pg_integer(r, k, 1);
		char owner[128];

		lade_pipe_pg_copy_text(r, k, 3, owner, sizeof(owner));
		if (lade_pipe_pg_integer(r, k, 2) != m->lane->stored.epoch)
			rc = overtaken(s, m->lane, owner);
		else if (next == m->to)
			done++;
		else if (next != m->lane->stored.next_offset)
			rc = rc < 0 ? rc : went_back(s, m->lane, next);
	}
	if (r->rows < n)
		rc = lade_pipe_pg_sink_fail(s->outlet, "lade_offsets",
					    "this pipeline's rows are gone from it");
	if (rc < 0)
		return rc;
	return done == n ? 0 : -EAGAIN;
}

static int ask_stored(struct lade_pipe_pg_sink *s, const struct lade_pipe_move *moves, uint32_t n,
		      bool *ret_known)
{
	const struct lade_pg_statement read = { READ_SQL, &s->fence_args };
	struct lade_pg_result r = { 0 };
	int rc;

	bind_lanes(s, moves, n);
	rc = lade_pipe_pg_call(s, &read, 1, &r);
	*ret_known = rc == 0;
	if (rc < 0)
		return rc == -ECANCELED ? rc : -EAGAIN;
	rc = judge_stored(s, &r, moves, n);
	lade_pg_result_done(&r);
	return rc;
}

int lade_pipe_pg_find_out(struct lade_pipe_pg_sink *s, const struct lade_pipe_move *moves,
			  uint32_t n)
{
	char why[512]; /* what it was, which is said in the end */

	snprintf(why, sizeof(why), "%s", s->why);
	for (uint32_t attempt = 1;; attempt++) {
		bool known = false;
		int rc = ask_stored(s, moves, n, &known);

		/* Nothing else may be written before it is known. */
		if (rc == -EAGAIN && !known)
			rc = lade_pipe_pg_wait_out(s, attempt);
		else
			known = true;
		if (known || rc < 0) {
			snprintf(s->why, sizeof(s->why), "%s", why);
			return rc;
		}
	}
}

int lade_pipe_pg_claim(struct lade_pipe_outlet *outlet, struct lade_pipe_lane *lane)
{
	struct lade_pipe_pg_sink *s = outlet->self;
	const struct lade_pg_statement claim = { CLAIM_SQL, &s->fence_args };
	struct lade_pg_result r = { 0 };
	char owner[128], host[64] = "";
	int rc;

	gethostname(host, sizeof(host) - 1);
	snprintf(owner, sizeof(owner), "process %ld on %s", (long)getpid(), host);
	lade_pg_args_reset(&s->fence_args);
	lade_pipe_pg_text(&s->fence_args, outlet->engine->config->name);
	lade_pipe_pg_text(&s->fence_args, lane->topic);
	lade_pg_int8(&s->fence_args, lane->part);
	lade_pipe_pg_text(&s->fence_args, owner);
	lade_pipe_pg_text(&s->fence_args, lane->cluster);
	rc = lade_pipe_pg_insist(s, &claim, 1, &r);
	if (rc < 0)
		return rc == -ECANCELED || rc == -ENOMEM
			       ? rc
			       : lade_pipe_pg_sink_fail(outlet, "the table of offsets", s->why);
	lane->stored.next_offset = lade_pipe_pg_integer(&r, 0, 0);
	lane->stored.epoch = lade_pipe_pg_integer(&r, 0, 1);
	lade_pipe_pg_copy_text(&r, 0, 2, lane->stored.cluster, sizeof(lane->stored.cluster));
	lade_pipe_pg_copy_text(&r, 0, 3, lane->stored.owner, sizeof(lane->stored.owner));
	lade_pg_result_done(&r);
	return 0;
}

int lade_pipe_pg_look(struct lade_pipe_outlet *outlet, struct lade_pipe_lane *lane)
{
	struct lade_pipe_pg_sink *s = outlet->self;
	const struct lade_pg_statement read = { READ_SQL, &s->fence_args };
	const struct lade_pipe_move move = { .lane = lane };
	struct lade_pg_result r = { 0 };
	int rc;

	bind_lanes(s, &move, 1);
	rc = lade_pipe_pg_insist(s, &read, 1, &r);
	if (rc < 0)
		return rc == -ECANCELED || rc == -ENOMEM
			       ? rc
			       : lade_pipe_pg_sink_fail(outlet, "the table of offsets", s->why);
	if (r.rows == 0)
		rc = lade_pipe_pg_sink_fail(outlet, "lade_offsets",
					    "this pipeline's rows are gone from it");
	else if (lade_pipe_pg_integer(&r, 0, 2) != lane->stored.epoch)
		rc = -ESTALE;
	else
		lane->stored.next_offset = lade_pipe_pg_integer(&r, 0, 1);
	lade_pg_result_done(&r);
	return rc;
}

int lade_pipe_pg_open_offsets(struct lade_pipe_pg_sink *s)
{
	return lade_pipe_pg_open_own(s, "lade_offsets", OFFSETS_SQL);
}
