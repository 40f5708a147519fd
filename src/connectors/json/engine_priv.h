/* SPDX-License-Identifier: MIT */
#ifndef LADE_JSON_ENGINE_PRIV_H
#define LADE_JSON_ENGINE_PRIV_H

/* engine_priv.h - the C face of what C++ does here: simdjson's first stage, and numbers.
 *
 * The first stage answers one question, many bytes at a time: where do the tokens of a
 * document begin?  On the way it checks UTF-8, that strings end, and that they hold no bare
 * control characters.  What the tokens mean is reader.c's business.
 *
 * Doubles go to text and back with the C++ library, which knows no locale, writes the
 * shortest text that reads back as the same double, and needs no NUL. */

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum lade_json_fault {
	LADE_JSON_FAULT_NONE,
	LADE_JSON_FAULT_UTF8,		/* bytes that are not UTF-8 */
	LADE_JSON_FAULT_CONTROL,	/* a bare control character in a string */
	LADE_JSON_FAULT_STRING,		/* a string without an end */
	LADE_JSON_FAULT_EMPTY,		/* nothing but blanks */
	LADE_JSON_FAULT_OTHER,		/* anything else simdjson may say */
};

struct lade_json_index {
	void *engine;		/* simdjson's parser */
	size_t cap;		/* bytes of the longest document that fits */
	const uint32_t *at;	/* offset of each token; at[n] is the document's length */
	uint32_t n;		/* tokens */
};

/* lade_json_index_init - an index without memory.  Cannot fail. */
void lade_json_index_init(struct lade_json_index *index);

/* lade_json_index_done - frees its memory. */
void lade_json_index_done(struct lade_json_index *index);

/* lade_json_index_build - finds the tokens of @doc.
 *
 * Reads @len bytes and not one more (tested at the end of a page).
 *
 * Returns 0; -ENOMEM; or -EBADMSG and the kind of fault, of which the first in the document
 * need not be the one that is named. */
int lade_json_index_build(struct lade_json_index *index, const char *doc, size_t len,
			  enum lade_json_fault *ret_fault);

/* lade_json_index_engine - the instruction set in use. */
const char *lade_json_index_engine(void);

/* Room for a double as text. */
#define LADE_DOUBLE_ROOM 32

/* lade_double_parse - the double nearest to a JSON number.
 *
 * Returns 0, -ERANGE when it is too large, or -EINVAL when there is no number. */
int lade_double_parse(const char *text, size_t len, double *ret);

/* lade_double_format - the shortest JSON number that reads back as @value, which is finite.
 *
 * It holds a dot or an exponent, so that it reads as a double everywhere.
 *
 * Returns its length. */
size_t lade_double_format(double value, char ret[LADE_DOUBLE_ROOM]);

#ifdef __cplusplus
}
#endif

#endif
