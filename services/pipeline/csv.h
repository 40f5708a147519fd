/* SPDX-License-Identifier: MIT */
#ifndef LADE_PIPELINE_CSV_H
#define LADE_PIPELINE_CSV_H

/* csv.h - records of comma-separated values (RFC 4180) as JSON objects.
 *
 * A record is a line, or several where a field in quotes has line ends. Its fields become members
 * named by the header, all of them strings, so that 007 stays what it is; a field with nothing in
 * it, not even quotes, is null. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <lade/json.h>

#define LADE_CSV_FIELDS_MAX 1024 /* of a record */

/* The names of the fields of a file. */
struct lade_pipe_csv {
	char delimiter;
	uint32_t n;		/* fields */
	char **names;		/* as JSON strings with a colon behind: "delay": */
};

/* lade_pipe_csv_quotes - whether a record that was @within quotes at the beginning of a line is so
 * at its end: then it goes on in the next. A quote opens only where a field begins. */
bool lade_pipe_csv_quotes(char delimiter, bool within, const char *text, size_t len);

/* lade_pipe_csv_new - the names that a header has.
 *
 * Returns 0; -EBADMSG with the reason: two names are equal, one is empty or no UTF-8, there are too
 * many; -ENOMEM.  Owns: lade_pipe_csv_free frees it. */
int lade_pipe_csv_new(char delimiter, const char *header, size_t len, struct lade_pipe_csv **ret,
		      struct lade_json_error *ret_error);

struct lade_pipe_map;

/* lade_pipe_csv_names - the names that a configuration gives.  Returns as lade_pipe_csv_new. */
int lade_pipe_csv_names(char delimiter, const struct lade_pipe_map *names,
			struct lade_pipe_csv **ret, struct lade_json_error *ret_error);

/* lade_pipe_csv_free - frees the names; NULL is allowed.  Returns NULL. */
struct lade_pipe_csv *lade_pipe_csv_free(struct lade_pipe_csv *csv);

/* lade_pipe_csv_write - appends a record as an object.
 *
 * Returns 0; -EBADMSG with the reason: more or fewer fields than the header has, a quote in the
 * middle of a field, no UTF-8; else out->status. */
int lade_pipe_csv_write(const struct lade_pipe_csv *csv, const char *record, size_t len,
			struct lade_json_out *out, struct lade_json_error *ret_error);

#endif
