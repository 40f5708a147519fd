/* SPDX-License-Identifier: MIT */
/* task.c - SQLite's calls for tasks: each on a thread of the pool, interrupted by a cancel.
 *
 * A call that has not begun is taken back. One that runs is stopped through its connection, which
 * serves no other call; the task waits until SQLite has returned, because rows, results and errors
 * lie on its stack. Whatever was asked to stop is made ready again afterwards. */

#include "connectors/sqlite/sqlite_priv.h"

#include <lade/io.h>

#include "base/list.h"

#include <errno.h>

/* A call: @run is given the struct that it sits in. */
struct call {
	int (*run)(struct call *);
	struct lade_sqlite *db; /* what a cancel stops; NULL: it is opened only now */
};

static int run_call(void *arg)
{
	struct call *call = arg;

	return call->run(call);
}

static void stop_call(void *arg)
{
	struct call *call = arg;

	if (call->db)
		lade_sqlite_stop(call->db);
}

/* A call that a cancel can end; @ret_error says so when it does. */
static int run(struct call *call, const char *what, struct lade_sqlite_error *ret_error,
	       const char *site)
{
	const struct lade_blocking_config blocking = {
		.fn = run_call, .arg = call, .stop = stop_call, .what = what
	};
	int rc = lade_blocking_at(&blocking, site);

	if (call->db)
		lade_sqlite_ready(call->db);
	if (rc == -ECANCELED)
		(void)lade_sqlite_fail(ret_error, LADE_SQLITE_STOPPED, "%s was stopped", what);
	return rc;
}

struct query_new {
	struct call call;
	const struct lade_sqlite_query_config *config;
	struct lade_sqlite_query *query;
	struct lade_sqlite_error *error;
};

static int do_query_new(struct call *call)
{
	struct query_new *q = LADE_CONTAINER(call, struct query_new, call);

	return lade_sqlite_query_open(q->config, &q->query, q->error);
}

int lade_sqlite_query_new_at(const struct lade_sqlite_query_config *config,
			     struct lade_sqlite_query **ret, struct lade_sqlite_error *ret_error,
			     const char *site)
{
	struct query_new q = { { .run = do_query_new }, config, NULL, ret_error };
	int rc = run(&q.call, "opening a query", ret_error, site);

	if (rc == 0)
		*ret = q.query;
	return rc;
}

struct query_ask {
	struct call call;
	struct lade_sqlite_query *query;
	const struct lade_sqlite_batch *batch;
	int64_t limit_ns;
	struct lade_sqlite_result *result;
	struct lade_sqlite_error *error;
};

static int do_query_ask(struct call *call)
{
	struct query_ask *q = LADE_CONTAINER(call, struct query_ask, call);

	return lade_sqlite_query_run(q->query, q->batch, q->limit_ns, q->result, q->error);
}

int lade_sqlite_query_ask_at(struct lade_sqlite_query *query,
			     const struct lade_sqlite_batch *batch, int64_t limit_ns,
			     struct lade_sqlite_result *result,
			     struct lade_sqlite_error *ret_error, const char *site)
{
	struct query_ask q = { { .run = do_query_ask, .db = lade_sqlite_query_db(query) },
			       query,
			       batch,
			       limit_ns,
			       result,
			       ret_error };

	return run(&q.call, "a query", ret_error, site);
}

struct closing {
	struct call call;
	struct lade_sqlite_query *query;
	struct lade_sqlite_writer *writer;
};

static int do_close(struct call *call)
{
	struct closing *c = LADE_CONTAINER(call, struct closing, call);

	lade_sqlite_query_close(c->query);
	lade_sqlite_writer_close(c->writer);
	return 0;
}

static void close_both(struct lade_sqlite_query *query, struct lade_sqlite_writer *writer,
		       const char *site)
{
	struct closing c = { { .run = do_close }, query, writer };
	const struct lade_blocking_config blocking = {
		.fn = run_call, .arg = &c.call, .what = "closing a database", .always = true
	};

	if (!query && !writer)
		return;
	/* Without a thread it is closed here: late is better than never. */
	if (lade_blocking_at(&blocking, site) < 0)
		(void)do_close(&c.call);
}

struct lade_sqlite_query *lade_sqlite_query_free_at(struct lade_sqlite_query *query,
						    const char *site)
{
	close_both(query, NULL, site);
	return NULL;
}

struct lade_sqlite_writer *lade_sqlite_writer_free_at(struct lade_sqlite_writer *writer,
						      const char *site)
{
	close_both(NULL, writer, site);
	return NULL;
}

struct writer_new {
	struct call call;
	const struct lade_sqlite_config *config;
	bool offsets;
	struct lade_sqlite_writer *writer;
	struct lade_sqlite_error *error;
};

static int do_writer_new(struct call *call)
{
	struct writer_new *w = LADE_CONTAINER(call, struct writer_new, call);
	int rc = lade_sqlite_writer_open(w->config, &w->writer, w->error);

	if (rc == 0 && w->offsets) {
		rc = lade_sqlite_offsets_open(w->writer, w->error);
		if (rc < 0)
			w->writer = lade_sqlite_writer_close(w->writer);
	}
	return rc;
}

int lade_sqlite_writer_new_at(const struct lade_sqlite_config *config, bool offsets,
			      struct lade_sqlite_writer **ret,
			      struct lade_sqlite_error *ret_error, const char *site)
{
	struct writer_new w = { { .run = do_writer_new }, config, offsets, NULL, ret_error };
	int rc = run(&w.call, "opening a writer", ret_error, site);

	if (rc == 0)
		*ret = w.writer;
	return rc;
}

struct writer_table {
	struct call call;
	struct lade_sqlite_writer *writer;
	const struct lade_sqlite_table_config *config;
	struct lade_sqlite_table *table;
	struct lade_sqlite_error *error;
};

static int do_writer_table(struct call *call)
{
	struct writer_table *t = LADE_CONTAINER(call, struct writer_table, call);

	return lade_sqlite_table_open(t->writer, t->config, &t->table, t->error);
}

int lade_sqlite_writer_table_at(struct lade_sqlite_writer *writer,
				const struct lade_sqlite_table_config *config,
				struct lade_sqlite_table **ret,
				struct lade_sqlite_error *ret_error, const char *site)
{
	struct writer_table t = {
		{ .run = do_writer_table, .db = lade_sqlite_writer_db(writer) },
		writer,
		config,
		NULL,
		ret_error
	};
	int rc = run(&t.call, "opening a table", ret_error, site);

	if (rc == 0)
		*ret = t.table;
	return rc;
}

struct writing {
	struct call call;
	struct lade_sqlite_writer *writer;
	const struct lade_sqlite_part *parts;
	const struct lade_sqlite_offset *offsets;
	unsigned n_parts, n_offsets;
	int64_t limit_ns;
	struct lade_sqlite_error *error;
};

static int do_write(struct call *call)
{
	struct writing *w = LADE_CONTAINER(call, struct writing, call);

	return lade_sqlite_write(w->writer, w->parts, w->n_parts, w->offsets, w->n_offsets,
				 w->limit_ns, w->error);
}

int lade_sqlite_writer_write_at(struct lade_sqlite_writer *writer,
				const struct lade_sqlite_part *parts, unsigned n_parts,
				const struct lade_sqlite_offset *offsets, unsigned n_offsets,
				int64_t limit_ns, struct lade_sqlite_error *ret_error,
				const char *site)
{
	struct writing w = { { .run = do_write, .db = lade_sqlite_writer_db(writer) },
			     writer,
			     parts,
			     offsets,
			     n_parts,
			     n_offsets,
			     limit_ns,
			     ret_error };

	return run(&w.call, "a write", ret_error, site);
}

struct lane_call {
	struct call call;
	struct lade_sqlite_writer *writer;
	const struct lade_sqlite_offset *lane;
	const char *owner; /* NULL: read only */
	int64_t limit_ns;
	struct lade_sqlite_stored *stored;
	struct lade_sqlite_error *error;
};

static int do_lane(struct call *call)
{
	struct lane_call *l = LADE_CONTAINER(call, struct lane_call, call);

	return l->owner ? lade_sqlite_offsets_claim(l->writer, l->lane, l->owner, l->limit_ns,
						    l->stored, l->error)
			: lade_sqlite_offsets_read(l->writer, l->lane, l->limit_ns, l->stored,
						   l->error);
}

int lade_sqlite_writer_claim_at(struct lade_sqlite_writer *writer,
				const struct lade_sqlite_offset *lane, const char *owner,
				int64_t limit_ns, struct lade_sqlite_stored *ret,
				struct lade_sqlite_error *ret_error, const char *site)
{
	struct lane_call l = { { .run = do_lane, .db = lade_sqlite_writer_db(writer) },
			       writer,
			       lane,
			       owner,
			       limit_ns,
			       ret,
			       ret_error };

	return run(&l.call, "claiming a lane", ret_error, site);
}

int lade_sqlite_writer_read_at(struct lade_sqlite_writer *writer,
			       const struct lade_sqlite_offset *lane, int64_t limit_ns,
			       struct lade_sqlite_stored *ret,
			       struct lade_sqlite_error *ret_error, const char *site)
{
	return lade_sqlite_writer_claim_at(writer, lane, NULL, limit_ns, ret, ret_error, site);
}
