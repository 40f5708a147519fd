/* SPDX-License-Identifier: MIT */
#ifndef LADE_PIPELINE_QUERY_H
#define LADE_PIPELINE_QUERY_H

/* query.h - a query over batches, whichever database answers it: what the sql step stands on. */

#include <lade/sqlite.h>

#include "services/pipeline/engine.h"

/* What can answer. A query has a connection of its own and serves one call at a time. */
struct lade_pipe_query_ops {
	/* Opens it and finds out its columns. Returns 0; -ECANCELED; < 0 with engine->why. */
	int (*open)(struct lade_pipe_stage *stage, const struct lade_sqlite_query_config *config,
		    void **ret);
	/* Asks for a batch; what @result had is gone. Returns as a step does, and why. */
	int (*ask)(void *query, const struct lade_sqlite_batch *batch, int64_t limit_ns,
		   struct lade_sqlite_result *result, char why[512]);
	/* The name of a column without i, or NULL behind the last. */
	const char *(*column)(const void *query, unsigned column);
	/* Closes it and frees its latest result. */
	void (*close)(void *query, struct lade_sqlite_result *result);
};

extern const struct lade_pipe_query_ops lade_pipe_query_sqlite, lade_pipe_query_postgres;

/* lade_pipe_query_fail - says that a step cannot be opened: @position is the byte of its query that
 * is to blame, from 1; 0: the query as a whole.  Returns -EIO. */
int lade_pipe_query_fail(struct lade_pipe_stage *stage, size_t position, const char *what,
			 const char *reason);

#endif
