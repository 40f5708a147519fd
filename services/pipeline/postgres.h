/* SPDX-License-Identifier: MIT */
#ifndef LADE_PIPELINE_POSTGRES_H
#define LADE_PIPELINE_POSTGRES_H

/* postgres.h - what step, sink and checks share that speak to PostgreSQL. */

#include <lade/json.h>
#include <lade/postgres.h>

#include "services/pipeline/config.h"

/* lade_pipe_pg_conninfo - an address as libpq takes it: without `prepare=`, which is lade's own.
 *
 * @room: strlen(url) + 1 bytes.  *ret_prepare: false, if the address says prepare=false. */
void lade_pipe_pg_conninfo(const char *url, char *room, bool *ret_prepare);

/* lade_pipe_pg_open - lade_pg_open() of the database @name with these further settings. */
int lade_pipe_pg_open(const struct lade_pipe_config *config, const char *name,
		      struct lade_pg_config settings, struct lade_pg **ret,
		      struct lade_pg_error *ret_error);

/* lade_pipe_pg_name - appends an identifier in quotes. */
void lade_pipe_pg_name(struct lade_json_out *out, const char *name);

/* lade_pipe_pg_put - appends text to SQL that is being built. */
void lade_pipe_pg_put(struct lade_json_out *out, const char *text);

/* lade_pipe_pg_source_sql - SQL about the table of a source: {table}, {key} and {xid} in @text are
 * its names.
 *
 * From malloc; NULL: memory is out. */
char *lade_pipe_pg_source_sql(const struct lade_pipe_source *source, const char *text);

/* A column of the relation `batch`. */
struct lade_pipe_pg_key {
	const char *name;
	enum lade_datum_type type;
};

/* lade_pipe_pg_batch_sql - appends a step's query with the relation `batch` before it: its i, from
 * 0, and the keys, each an array that is an argument. */
void lade_pipe_pg_batch_sql(struct lade_json_out *out, const char *query,
			    const struct lade_pipe_pg_key *keys, unsigned n);

/* lade_pipe_pg_step_sql - the same of a step as it is configured. */
void lade_pipe_pg_step_sql(struct lade_json_out *out, const struct lade_pipe_step *step);

/* lade_pipe_pg_position - the byte of a step's query, from 1, that is the @position-th character of
 * what is sent, see lade_pipe_pg_batch_sql(); 0: it is none of the query's. */
size_t lade_pipe_pg_position(const char *sent, const char *query, int position);

/* lade_pipe_pg_remedy - what to do about a failure, with "; " before it; "": it says so itself. */
const char *lade_pipe_pg_remedy(const struct lade_pg_error *error);

/* lade_pipe_pg_of_address - whether a failure is of the address: server, user, database. */
bool lade_pipe_pg_of_address(const struct lade_pg_error *error);

/* lade_pipe_pg_say - a failure in a line: what, SQLSTATE, detail.  Returns @ret. */
const char *lade_pipe_pg_say(const struct lade_pg_error *error, char ret[512]);

#endif
