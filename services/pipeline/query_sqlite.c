/* SPDX-License-Identifier: MIT */
/* query_sqlite.c - a step's query at SQLite. */

#include "services/pipeline/query.h"

#include <errno.h>
#include <stdio.h>

static int sqlite_open(struct lade_pipe_stage *stage,
		       const struct lade_sqlite_query_config *config, void **ret)
{
	struct lade_sqlite_query *query = NULL;
	struct lade_sqlite_error error;
	int rc = lade_sqlite_query_new(config, &query, &error);

	if (rc < 0)
		return rc == -ECANCELED ? rc
					: lade_pipe_query_fail(stage, (size_t)error.position,
							       config->db.path, error.text);
	if (lade_sqlite_query_uses_message(query)) {
		lade_sqlite_query_free(query);
		return lade_pipe_query_fail(stage, 0, "the query",
					    "only a transform can read m, the message; name what"
					    " this query reads in keys");
	}
	*ret = query;
	return 0;
}

static int sqlite_ask(void *query, const struct lade_sqlite_batch *batch, int64_t limit_ns,
		      struct lade_sqlite_result *result, char why[512])
{
	struct lade_sqlite_error error;
	int rc = lade_sqlite_query_ask(query, batch, limit_ns, result, &error);

	if (rc < 0)
		snprintf(why, 512, "%s", error.text);
	return rc;
}

static const char *sqlite_column(const void *query, unsigned column)
{
	return column < lade_sqlite_query_columns(query) ? lade_sqlite_query_column(query, column)
							 : NULL;
}

static void sqlite_close(void *query, struct lade_sqlite_result *result)
{
	lade_sqlite_query_free(query);
	lade_sqlite_result_done(result);
}

const struct lade_pipe_query_ops lade_pipe_query_sqlite = { sqlite_open, sqlite_ask,
							    sqlite_column, sqlite_close };
