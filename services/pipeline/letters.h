/* SPDX-License-Identifier: MIT */
#ifndef LADE_PIPELINE_LETTERS_H
#define LADE_PIPELINE_LETTERS_H

/* letters.h - dead letters that were kept: read one by one, and marked when they are done.
 *
 * A letter that was replayed is done: of a file it is noted in FILE.replayed, of a table its row is
 * deleted, of a topic the offset of a group of its own moves behind it. Files and SQLite block, the
 * others suspend: all is called in a task. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <lade/json.h>
#include <lade/scope.h>

#include "services/pipeline/config.h"
#include "services/pipeline/message.h"

#define LADE_LETTER_HEADERS_MAX 32 /* headers of a letter; more are left out */

/* Which letter. */
struct lade_letter_ref {
	int64_t part;		/* of a topic: its partition; of PostgreSQL: its block; else 0 */
	int64_t id;		/* of a file: its first byte; of a table: its row; its offset */
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
	bool paired;	/* a letter is named by .part and .id: 3/17 */
	int (*open)(struct lade_letters *letters);
	/* The letter behind the one before: 1, and .ref, and either the rest of it or .document
	 * and .len of the letters; 0: the end; < 0. */
	int (*next)(struct lade_letters *letters, struct lade_letter *ret);
	/* These are done; for good now, or, where there is .flush, with the next one. */
	int (*done)(struct lade_letters *letters, const struct lade_letter_ref *refs, size_t n);
	/* NULL, or makes good what was said to be done. It suspends. */
	int (*flush)(struct lade_letters *letters);
	/* NULL, or notes that the letter that was read last is left for later. */
	int (*leave)(struct lade_letters *letters);
	void (*close)(struct lade_letters *letters);
};

struct lade_letters {
	const struct lade_letters_ops *ops;
	const struct lade_pipe_config *config;
	struct lade_scope *scope; /* of what must live as long as they are open */
	bool replaying;		/* it will be written */
	void *self;		/* the place's */
	char name[256];		/* what a person calls it */
	char why[400];		/* after < 0 */
	char *document;		/* the present one; the place's; NULL: the letter is filled in */
	size_t len;
	struct lade_json_reader *reader;
	struct lade_json_paths *paths;
	struct lade_json_span *spans;
	char *room;		/* decoded texts of the present letter */
	size_t room_cap;
};

/* lade_letters_open - opens the dead letters of a pipeline.
 *
 * Those that there are then are read, and none that come later. @scope: they are closed before it
 * ends. Returns 0, or < 0 with why; either way lade_letters_close().  Suspends: yes. */
lade_suspends int lade_letters_open(struct lade_letters *letters,
				    const struct lade_pipe_config *config,
				    struct lade_scope *scope, bool replaying);

/* lade_letters_next - reads one that is not done.
 *
 * Returns 1; 0: the end; < 0 with why.  Suspends: yes, and no letter is lost by a cancel. */
lade_suspends int lade_letters_next(struct lade_letters *letters, struct lade_letter *ret);

/* lade_letters_done - notes that these are done; a topic and PostgreSQL know it with the next
 * lade_letters_flush().  Returns 0, or < 0 with why.  Suspends: no. */
int lade_letters_done(struct lade_letters *letters, const struct lade_letter_ref *refs, size_t n);

/* lade_letters_flush - makes good what was said to be done.
 *
 * Returns 0, or < 0 with why, and may be called again.  Suspends: yes. */
lade_suspends int lade_letters_flush(struct lade_letters *letters);

/* lade_letters_leave - says that the letter that was read last is left for later.
 *
 * Returns 0, or < 0 with why.  Suspends: no. */
int lade_letters_leave(struct lade_letters *letters);

/* lade_letters_id - the name of a letter: 17 or 3/17.  Returns @ret. */
const char *lade_letters_id(const struct lade_letters *letters, const struct lade_letter_ref *ref,
			    char ret[48]);

/* lade_letters_close - closes what was opened.  Suspends: yes. */
void lade_letters_close(struct lade_letters *letters);

/* lade_letters_check - the check of a document. */
uint64_t lade_letters_check(const char *document, size_t len);

/* lade_letters_database - the file of the one SQLite database that the sinks write, or NULL. */
const char *lade_letters_database(const struct lade_pipe_config *config);

extern const struct lade_letters_ops lade_letters_of_file, lade_letters_of_sqlite,
	lade_letters_of_kafka, lade_letters_of_postgres;

/* lade_letters_replay - sends letters through their pipeline again, and notes those that are
 * done: written, dropped, or kept as a new dead letter.
 *
 * @step NULL: of any step. What is interrupted is not noted: it may be written twice, and is
 * never lost. Returns as lade_pipe_run(), *ret_exit as its.  Suspends: yes. */
lade_suspends int lade_letters_replay(const struct lade_pipe_config *config, const char *step,
				      bool changed_too, FILE *log, int *ret_exit);

#endif
