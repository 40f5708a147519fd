/* SPDX-License-Identifier: MIT */
#ifndef LADE_PIPELINE_CONFIG_TABLE_H
#define LADE_PIPELINE_CONFIG_TABLE_H

/* config_table.h - the one table of keys: parser, defaults, "did you mean", show and the
 * reference read it, and nothing else knows a key.
 *
 * A key is its whole path: `steps[].sql.cache.ttl`.  Rows of one section stand together,
 * in the order in which people read them. */

#include <stddef.h>
#include <stdint.h>

enum lade_pipe_row_kind {
	LADE_ROW_SECTION,	/* a map of further keys */
	LADE_ROW_CHOICE,	/* a section of which its neighbours exclude one another */
	LADE_ROW_SECTIONS,	/* a list of sections */
	LADE_ROW_MAP,		/* names that the user chooses, each with a text */
	LADE_ROW_TEXTS,		/* a list of texts */
	LADE_ROW_TEXT,
	LADE_ROW_COUNT,
	LADE_ROW_DURATION,
	LADE_ROW_BYTES,
	LADE_ROW_PERCENT,
	LADE_ROW_RANGE,		/* two durations, as 100ms..10s; the second is the next field */
	LADE_ROW_WORD,		/* one of .words, kept as its number */
	LADE_ROW_BOOL,
};

/* The structure that .offset counts from. */
enum lade_pipe_row_base { LADE_BASE_CONFIG, LADE_BASE_STEP, LADE_BASE_SINK };

#define LADE_ROW_REQUIRED 1u	/* its section cannot be without it */
#define LADE_ROW_SHORT    2u	/* a section that is a scalar stands for this key of it */
#define LADE_ROW_LATER    4u	/* designed, and not in this version */
#define LADE_ROW_SECRET   8u	/* its values are never shown */
#define LADE_ROW_NOWHERE  16u	/* it has no field */

struct lade_pipe_row {
	const char *key;		/* the whole path */
	int kind;			/* lade_pipe_row_kind */
	int base;			/* lade_pipe_row_base */
	size_t offset;			/* its field */
	const char *unset;		/* the default, as it would be written; NULL: none */
	int64_t min, max;		/* the range, both allowed; CHOICE: min is its number */
	const char *words;		/* WORD: separated by |; CHOICE, SECTION: NULL */
	const char *later;		/* WORD: words that are not in this version */
	unsigned flags;
	const char *help;		/* one sentence */
};

/* The table; its last row has no key. */
extern const struct lade_pipe_row lade_pipe_rows[];

/* lade_pipe_row_child - the first row below @parent ("" for the top) at or behind @row, or
 * NULL. */
const struct lade_pipe_row *lade_pipe_row_child(const struct lade_pipe_row *row,
						const char *parent);

/* lade_pipe_row_find - the row of the key @name in @parent, or NULL. */
const struct lade_pipe_row *lade_pipe_row_find(const char *parent, const char *name);

/* lade_pipe_row_name - the last part of a row's key. */
const char *lade_pipe_row_name(const struct lade_pipe_row *row);

/* lade_pipe_row_near - the key in @parent that somebody may have meant with @name, or NULL. */
const struct lade_pipe_row *lade_pipe_row_near(const char *parent, const char *name);

/* lade_pipe_row_elsewhere - a row with that name in another section, or NULL. */
const struct lade_pipe_row *lade_pipe_row_elsewhere(const char *name);

/* lade_pipe_word_near - the word of a list "a|b|c" that is near to @text; its length. */
size_t lade_pipe_word_near(const char *words, const char *text, const char **ret);

/* lade_pipe_word_number - the place of @text in a list "a|b|c", or -1. */
int lade_pipe_word_number(const char *words, const char *text);

/* lade_pipe_word_at - the word with that number; *ret_len is 0 behind the last. */
const char *lade_pipe_word_at(const char *words, int number, size_t *ret_len);

#endif
