/* SPDX-License-Identifier: MIT */
#ifndef LADE_PIPELINE_LETTERS_H
#define LADE_PIPELINE_LETTERS_H

/* letters.h - dead letters that were kept: read one by one, and marked when they are done.
 *
 * A letter that was replayed is done: of a file it is noted in FILE.replayed, of a table its row is
 * deleted. Nothing here suspends; it blocks like any access to a file. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <lade/json.h>

#include "services/pipeline/config.h"
#include "services/pipeline/message.h"

#define LADE_LETTER_HEADERS_MAX 32 /* headers of a letter; more are left out */

/* Which letter. */
struct lade_letter_ref {
	int64_t id;		/* of a file: its first byte; of a table: its row */
	uint64_t check;		/* of its document: a letter that is another one has another */
};

/* A letter; what it points to lives until the next one is read. */
struct lade_letter {
	struct lade_letter_ref ref;
	const char *document;	/* as it was kept */
	size_t len;
	char topic[256], step[80], error[320], first_failure[40];
	int64_t part, offset, line, attempts;
	int64_t timestamp_us;	/* INT64_MIN: none */
	const char *key, *value; /* NULL: none */
	size_t key_len, value_len;
	struct lade_pipe_header headers[LADE_LETTER_HEADERS_MAX];
	uint32_t n_headers;
};

struct lade_letters;

/* What a place of letters can do; another kind is another table. */
struct lade_letters_ops {
	int (*open)(struct lade_letters *letters);
	/* The document behind the one before: 1, and .at and .document; 0: the end; < 0. */
	int (*next)(struct lade_letters *letters, struct lade_letter_ref *ret);
	/* Notes for good that these are done. */
	int (*done)(struct lade_letters *letters, const struct lade_letter_ref *refs, size_t n);
	void (*close)(struct lade_letters *letters);
};

struct lade_letters {
	const struct lade_letters_ops *ops;
	const struct lade_pipe_config *config;
	bool replaying;		/* it will be written */
	void *self;		/* the place's */
	char name[256];		/* what a person calls it */
	char why[400];		/* after < 0 */
	char *document;		/* the present one; the place's */
	size_t len;
	struct lade_json_reader *reader;
	struct lade_json_paths *paths;
	struct lade_json_span *spans;
	char *room;		/* decoded texts of the present letter */
	size_t room_cap;
};

/* lade_letters_open - opens the dead letters of a pipeline.
 *
 * Those that there are then are read, and none that come later. Returns 0, or < 0 with why; either
 * way lade_letters_close(). */
int lade_letters_open(struct lade_letters *letters, const struct lade_pipe_config *config,
		      bool replaying);

/* lade_letters_next - reads one that is not done.  Returns 1; 0: the end; < 0 with why. */
int lade_letters_next(struct lade_letters *letters, struct lade_letter *ret);

/* lade_letters_done - notes that these are done.  Returns 0, or < 0 with why. */
int lade_letters_done(struct lade_letters *letters, const struct lade_letter_ref *refs, size_t n);

/* lade_letters_close - closes what was opened. */
void lade_letters_close(struct lade_letters *letters);

/* lade_letters_check - the check of a document. */
uint64_t lade_letters_check(const char *document, size_t len);

/* lade_letters_database - the file of the one SQLite database that the sinks write, or NULL. */
const char *lade_letters_database(const struct lade_pipe_config *config);

extern const struct lade_letters_ops lade_letters_of_file, lade_letters_of_sqlite;

/* lade_letters_replay - sends letters through their pipeline again, and notes those that are
 * done: written, dropped, or kept as a new dead letter.
 *
 * @step NULL: of any step. What is interrupted is not noted: it may be written twice, and is
 * never lost. Returns as lade_pipe_run(), *ret_exit as its.  Suspends: yes. */
int lade_letters_replay(const struct lade_pipe_config *config, const char *step, bool changed_too,
			FILE *log, int *ret_exit);

#endif
