/* SPDX-License-Identifier: MIT */
#ifndef LADE_PIPELINE_OUTBOX_H
#define LADE_PIPELINE_OUTBOX_H

/* outbox.h - what source and sink of one database tell one another about a table whose rows are
 * deleted as they are written.
 *
 * Rows are claimed by the sink's connection, in a transaction that stays open until they are
 * written: SELECT … FOR UPDATE SKIP LOCKED, so that another process takes other rows. The same
 * transaction deletes them and must find each of them there. If the claim is lost, with its
 * connection or after a failure, that last condition is what keeps a row from being written
 * twice. */

#include <lade/postgres.h>

#include "services/pipeline/engine.h"

/* lade_pipe_outbox_keys - the keys of the rows that the source has given from the offset @from
 * on: as many as it has given since. */
const int64_t *lade_pipe_outbox_keys(const struct lade_pipe_engine *engine, int64_t from);

/* lade_pipe_outbox_delete_sql - a statement that deletes the rows of the keys $1::int8[] and fails
 * unless all of them were there.
 *
 * From malloc; NULL: memory is out. */
char *lade_pipe_outbox_delete_sql(const struct lade_pipe_config *config);

/* lade_pipe_pg_claim_rows - asks @sql, whose first column is the key, and keeps the rows locked
 * until they are written, by this outlet; waits until the database answers, or reading ends: then
 * there are no rows.
 *
 * Returns 0 and the rows; -ECANCELED, -ENOMEM; < 0 with engine->why.  Suspends: yes. */
lade_suspends int lade_pipe_pg_claim_rows(struct lade_pipe_outlet *outlet, const char *sql,
					  struct lade_pg_result *ret);

extern const struct lade_pipe_source_ops lade_pipe_from_outbox;

#endif
