/* SPDX-License-Identifier: MIT */
#ifndef LADE_PIPELINE_URL_H
#define LADE_PIPELINE_URL_H

/* url.h - addresses with holes: http://weather/at/{.origin}?day={.date}
 *
 * A hole stands in a segment of the path or in the query, never in the scheme, the host or a
 * fragment.  Its value is percent-encoded, so that it can never become a slash, a query or
 * a host; and a segment that comes out as `.` or `..`, or empty, is refused, because servers
 * read those as other addresses, encoded or not. */

#include <lade/arena.h>
#include <lade/json.h>

#include "services/pipeline/ref.h"

#define LADE_URL_HOLES_MAX 16		/* holes in an address */
#define LADE_URL_LEN_MAX 8192		/* bytes of a rendered address */

/* A piece of an address: literal text, or a hole and what it names. */
struct lade_pipe_url_part {
	const char *text;		/* literal; in the text that was read */
	size_t len;			/* bytes of it */
	struct lade_pipe_ref ref;	/* a hole, when .text is NULL */
	bool in_query;			/* behind the question mark */
};

struct lade_pipe_url {
	unsigned n;						/* parts */
	struct lade_pipe_url_part parts[2 * LADE_URL_HOLES_MAX + 1];
	size_t path_at;			/* offset of the path's first slash in a rendered address */
	unsigned holes;			/* parts that are holes, in order: the values' places */
};

/* lade_pipe_url_parse - reads an address and adds the paths of its holes to @paths.
 *
 * The result points into @text.  `{{` and `}}` stand for the braces themselves.
 *
 * Returns 0; -EINVAL with the place in @text and the reason; -E2BIG at a limit; else as
 * lade_json_paths_add(). */
int lade_pipe_url_parse(const char *text, size_t len, struct lade_json_paths *paths,
			struct lade_pipe_url *ret, struct lade_json_error *ret_error);

/* lade_pipe_url_render - the address for @values, one for each hole, none of them null.
 *
 * Returns 0, the address with a NUL behind it and its length; -EBADMSG with the reason when
 * a value cannot stand where it would; -EMSGSIZE above LADE_URL_LEN_MAX; -ENOMEM. */
int lade_pipe_url_render(const struct lade_pipe_url *url, const struct lade_datum *values,
			 struct lade_arena *arena, const char **ret, size_t *ret_len,
			 struct lade_json_error *ret_error);

#endif
