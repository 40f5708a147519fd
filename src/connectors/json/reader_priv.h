/* SPDX-License-Identifier: MIT */
#ifndef LADE_JSON_READER_PRIV_H
#define LADE_JSON_READER_PRIV_H

/* reader_priv.h - the reader's inside, and steps over documents that were checked. */

#include <stdarg.h>
#include <stdbool.h>

#include <lade/json.h>

#include "connectors/json/path_priv.h"

/* An array or object that is being read. */
struct lade_json_level {
	uint32_t at;		/* offset of its bracket */
	uint32_t node;		/* where it lies in the tree of paths */
	uint32_t items;		/* array: values begun so far */
	uint32_t *next;		/* object: the guess of which node its next member leads to */
	bool object;		/* else it is an array */
	bool wanted;		/* node counts: some path leads here or further */
};

/* What is remembered of a node of the tree of paths. */
struct lade_json_memo {
	uint32_t round;		/* in which a value of it was found */
	uint32_t first;		/* the node that its first wanted member led to, last time */
	uint32_t next;		/* the node that the wanted member behind it led to, last time */
};

struct lade_json_reader {
	uint32_t *at;				/* of each token its offset; at[n] is len */
	uint32_t n;				/* tokens */
	size_t cap;				/* of .at; more than the longest document's bytes */
	const char *doc;			/* the document that was read last; borrowed */
	size_t len;				/* its bytes */
	bool object;				/* it was valid, and an object */
	struct lade_json_memo *memos;		/* by node */
	uint32_t memos_cap;			/* nodes that fit */
	uint32_t round;				/* counts documents; 0 never occurs */
	struct lade_json_level levels[LADE_JSON_DEPTH_MAX];	/* the way down */
	char key[LADE_JSON_NAME_MAX * 6];	/* an unescaped key */
};

/* lade_json_fail - fills an error; returns -EBADMSG. */
__attribute__((format(printf, 3, 4)))
int lade_json_fail(struct lade_json_error *error, size_t at, const char *format, ...);

/* lade_json_reader_round - forgets which nodes of @paths a document has entered.
 *
 * Returns 0 or -ENOMEM. */
int lade_json_reader_round(struct lade_json_reader *reader, const struct lade_json_paths *paths);

/* lade_json_first_time - marks a node as entered; false when it was in this round. */
static inline bool lade_json_first_time(struct lade_json_reader *reader, uint32_t node)
{
	if (reader->memos[node].round == reader->round)
		return false;
	reader->memos[node].round = reader->round;
	return true;
}

/* lade_json_blank - one of the four blanks of JSON. */
static inline bool lade_json_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* lade_json_token_end - behind the last byte of the scalar that is token @i.
 *
 * Valid documents only, as for the next two. */
static inline uint32_t lade_json_token_end(const struct lade_json_reader *reader, uint32_t i)
{
	uint32_t end = reader->at[i + 1];

	while (lade_json_blank(reader->doc[end - 1]))
		end--;
	return end;
}

/* lade_json_skip - the token behind the value that begins with token @i. */
uint32_t lade_json_skip(const struct lade_json_reader *reader, uint32_t i);

/* lade_json_value_end - behind the last byte of the value whose next token is @next. */
uint32_t lade_json_value_end(const struct lade_json_reader *reader, uint32_t i, uint32_t next);

/* lade_json_key_node - the child of @node for the key that is token @i, or
 * LADE_JSON_NO_NODE. */
uint32_t lade_json_key_node(struct lade_json_reader *reader, const struct lade_json_paths *paths,
			    uint32_t node, uint32_t i);

/* lade_json_number_end - behind the number at @text, or NULL when there is none. */
const char *lade_json_number_end(const char *text, const char *end);

#endif
