/* SPDX-License-Identifier: MIT */
#ifndef LADE_PIPELINE_REF_H
#define LADE_PIPELINE_REF_H

/* ref.h - a typed name of a value in a message: `integer .delay`, `text? .a."odd name"`,
 * `integer @offset`.
 *
 * Without a type it is text.  A name is a path into the message, or one of @key, @offset,
 * @line, @timestamp, @topic, @partition and @header.NAME. */

#include <lade/json.h>

enum lade_pipe_ref_kind {
	LADE_REF_PATH,		/* a path into the message */
	LADE_REF_KEY,
	LADE_REF_OFFSET,
	LADE_REF_LINE,
	LADE_REF_TIMESTAMP,
	LADE_REF_TOPIC,
	LADE_REF_PARTITION,
	LADE_REF_HEADER,	/* the header that .name names */
};

struct lade_pipe_ref {
	enum lade_pipe_ref_kind kind;
	struct lade_want want;		/* the type it is asked for */
	unsigned slot;			/* PATH: its place among the paths */
	const char *name;		/* the path, or the header; in the text that was read */
	size_t name_len;		/* bytes */
};

/* lade_pipe_ref_parse - reads a reference and adds its path to @paths.
 *
 * The result points into @text.
 *
 * Returns 0; -EINVAL with the place in @text and the reason; else as lade_json_paths_add(). */
int lade_pipe_ref_parse(const char *text, size_t len, struct lade_json_paths *paths,
			struct lade_pipe_ref *ret, struct lade_json_error *ret_error);

#endif
