/* SPDX-License-Identifier: MIT */
/* url.c - reads addresses with holes, and fills them in.
 *
 * DESIGN
 * What could change the meaning of an address is settled when it is read: the scheme and the
 * host are literal, and a hole knows whether it is in the path or in the query.  What
 * remains for a value is to be encoded, and to not make a segment that means "here" or
 * "above".  Encoding the dots would not help: clients and servers decode them first. */

#include "services/pipeline/url.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

/* An address that is being read. */
struct reading {
	const char *text;
	size_t len;
	size_t at;			/* next byte */
	struct lade_json_paths *paths;
	struct lade_pipe_url *url;
	struct lade_json_error *error;
};

static int fail(struct lade_json_error *error, int rc, size_t at, const char *reason)
{
	error->at = at;
	snprintf(error->reason, sizeof(error->reason), "%s", reason);
	return rc;
}

static int refuse(struct reading *r, const char *reason)
{
	return fail(r->error, -EINVAL, r->at, reason);
}

static bool at_word(const struct reading *r, const char *word)
{
	size_t len = strlen(word);

	return r->len - r->at >= len && strncasecmp(r->text + r->at, word, len) == 0;
}

static bool literal(char c)
{
	return c > ' ' && c < 0x7f && !strchr("\"<>\\^`{|}#", c);
}

/* Reads the scheme and the host, up to the path's first slash. */
static int read_origin(struct reading *r)
{
	size_t first;

	if (!at_word(r, "http://") && !at_word(r, "https://"))
		return refuse(r, "an address begins with http:// or https://");
	r->at = at_word(r, "https://") ? 8 : 7;
	first = r->at;
	while (r->at < r->len && r->text[r->at] != '/' && r->text[r->at] != '?') {
		if (r->text[r->at] == '{')
			return refuse(r,
				      "the host cannot come from a message: only a segment of the"
				      " path, or the query");
		if (!literal(r->text[r->at]))
			return refuse(r, "this byte does not belong into a host's name");
		r->at++;
	}
	if (r->at == first)
		return refuse(r, "the host's name is missing");
	if (r->at == r->len || r->text[r->at] != '/')
		return refuse(r, "a slash is missing behind the host's name");
	r->url->path_at = r->at;
	return 0;
}

static int add_part(struct reading *r, struct lade_pipe_url_part part)
{
	struct lade_pipe_url *url = r->url;

	if (url->n == sizeof(url->parts) / sizeof(*url->parts) ||
	    (!part.text && url->holes == LADE_URL_HOLES_MAX))
		return fail(r->error, -E2BIG, r->at, "the address has more than 16 holes");
	url->holes += !part.text;
	url->parts[url->n++] = part;
	return 0;
}

/* Reads the literal text from @first to the next brace or the end. */
static int read_literal(struct reading *r, size_t first, bool *in_query)
{
	bool before = *in_query;

	for (; r->at < r->len && r->text[r->at] != '{' && r->text[r->at] != '}'; r->at++) {
		if (r->text[r->at] == '#')
			return refuse(r, "a fragment (#) is not sent to servers; write %23 for the"
					 " character");
		if (!literal(r->text[r->at]))
			return refuse(r,
				      "this byte must be percent-encoded in an address, as %20 for"
				      " a blank");
		*in_query = *in_query || r->text[r->at] == '?';
	}
	if (r->at == first)
		return 0;
	return add_part(r, (struct lade_pipe_url_part){ .text = r->text + first,
							.len = r->at - first,
							.in_query = before });
}

/* `{{` or `}}`: one brace, percent-encoded as the standard wants it. */
static int read_brace(struct reading *r, bool in_query)
{
	const char *code = r->text[r->at] == '{' ? "%7B" : "%7D";

	r->at += 2;
	return add_part(r, (struct lade_pipe_url_part){ .text = code, .len = 3,
							.in_query = in_query });
}

static int read_hole(struct reading *r, bool in_query)
{
	struct lade_pipe_url_part part = { .in_query = in_query };
	size_t first = r->at + 1;
	const char *end = memchr(r->text + first, '}', r->len - first);
	int rc;

	if (!end)
		return refuse(r, "the brace is not closed");
	rc = lade_pipe_ref_parse(r->text + first, (size_t)(end - r->text) - first, r->paths,
				 &part.ref, r->error);
	if (rc < 0) {
		r->error->at += first;
		return rc;
	}
	if (part.ref.want.nullable)
		return refuse(r, "a hole in an address needs a value; leave out the ?");
	rc = add_part(r, part);
	r->at = (size_t)(end - r->text) + 1;
	return rc;
}

static int read_parts(struct reading *r)
{
	bool in_query = false;
	size_t first = 0;
	int rc = 0;

	while (rc == 0 && r->at < r->len) {
		rc = read_literal(r, first, &in_query);
		if (rc < 0 || r->at == r->len)
			break;
		if (r->at + 1 < r->len && r->text[r->at + 1] == r->text[r->at])
			rc = read_brace(r, in_query);
		else if (r->text[r->at] == '{')
			rc = read_hole(r, in_query);
		else
			rc = refuse(r, "this brace was never opened; write }} for the character");
		first = r->at;
	}
	return rc;
}

/* The text of a path's segment with its %2e as dots: is it `.` or `..`? */
static bool is_dots(const char *text, size_t len)
{
	size_t dots = 0;

	for (size_t i = 0; i < len; dots++) {
		if (text[i] == '.')
			i++;
		else if (len - i >= 3 && strncasecmp(text + i, "%2e", 3) == 0)
			i += 3;
		else
			return false;
	}
	return dots == 1 || dots == 2;
}

/* A rendered address that grows in a buffer of fixed size. */
struct rendering {
	char *to;		/* LADE_URL_LEN_MAX bytes and one */
	size_t len;
	size_t segment;		/* where the current segment of the path begins */
	bool hole;		/* the segment contains a value */
	bool over;		/* it did not fit */
	struct lade_json_error *error;
};

static void put(struct rendering *r, const char *text, size_t len)
{
	if (len > LADE_URL_LEN_MAX - r->len) {
		r->over = true;
		return;
	}
	memcpy(r->to + r->len, text, len);
	r->len += len;
}

static int end_segment(struct rendering *r)
{
	size_t len = r->len - r->segment;
	int rc = 0;

	if (is_dots(r->to + r->segment, len))
		rc = fail(r->error, -EBADMSG, r->segment,
			  "a segment of the address would be . or ..,"
			  " which means another address");
	else if (r->hole && len == 0)
		rc = fail(r->error, -EBADMSG, r->segment,
			  "a segment of the address would be empty");
	r->segment = r->len + 1;
	r->hole = false;
	return rc;
}

static int put_literal(struct rendering *r, const struct lade_pipe_url_part *part, size_t path_at)
{
	bool in_query = part->in_query;
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < part->len; i++) {
		char c = part->text[i];

		if (r->len == path_at)
			r->segment = r->len + 1;
		else if (r->len > path_at && !in_query && (c == '/' || c == '?'))
			rc = end_segment(r);
		in_query = in_query || (c == '?' && r->len > path_at);
		put(r, &c, 1);
	}
	return rc;
}

static bool unreserved(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '-' || c == '.' || c == '_' || c == '~';
}

static void put_encoded(struct rendering *r, const char *text, size_t len)
{
	static const char hex[] = "0123456789ABCDEF";

	for (size_t i = 0; i < len && !r->over; i++) {
		unsigned char c = (unsigned char)text[i];
		char code[3] = { '%', hex[c >> 4], hex[c & 15] };

		if (unreserved(text[i]))
			put(r, text + i, 1);
		else
			put(r, code, 3);
	}
}

static int put_value(struct rendering *r, const struct lade_datum *value)
{
	struct lade_json_out out;
	size_t quoted = value->type == LADE_TIMESTAMP;
	int rc;

	if (value->type == LADE_TEXT) {
		put_encoded(r, value->text, value->len);
		return 0;
	}
	lade_json_out_init(&out, LADE_URL_LEN_MAX);
	lade_json_out_datum(&out, value);
	rc = out.status;
	if (rc == 0)
		put_encoded(r, out.data + quoted, out.len - 2 * quoted);
	lade_json_out_done(&out);
	return rc;
}

static int render(struct rendering *r, const struct lade_pipe_url *url,
		  const struct lade_datum *values)
{
	bool query = false;
	int rc = 0;

	for (unsigned i = 0; rc == 0 && i < url->n && !r->over; i++) {
		const struct lade_pipe_url_part *part = &url->parts[i];

		query = part->in_query;
		if (part->text) {
			rc = put_literal(r, part, url->path_at);
			query = query || memchr(part->text, '?', part->len);
		} else {
			r->hole = r->hole || !query;
			rc = put_value(r, values++);
		}
	}
	if (r->over)
		return fail(r->error, -EMSGSIZE, 0, "the address would be longer than 8192 bytes");
	return rc == 0 && !query ? end_segment(r) : rc;
}

int lade_pipe_url_render(const struct lade_pipe_url *url, const struct lade_datum *values,
			 struct lade_arena *arena, const char **ret, size_t *ret_len,
			 struct lade_json_error *ret_error)
{
	char room[LADE_URL_LEN_MAX + 1];
	struct rendering r = { .to = room, .error = ret_error };
	int rc = render(&r, url, values);
	char *copy;

	if (rc < 0)
		return rc;
	copy = lade_arena_copy(arena, room, r.len);
	if (!copy)
		return fail(ret_error, -ENOMEM, 0, "memory is out");
	*ret = copy;
	*ret_len = r.len;
	return 0;
}

/* Renders the address with a harmless value in each hole: are its literal segments sound? */
static int try_out(struct reading *r)
{
	struct lade_datum values[LADE_URL_HOLES_MAX];
	char room[LADE_URL_LEN_MAX + 1];
	struct rendering rendering = { .to = room, .error = r->error };

	for (unsigned i = 0; i < r->url->holes; i++)
		values[i] = lade_datum_text("x", 1);
	return render(&rendering, r->url, values) < 0 ? -EINVAL : 0;
}

int lade_pipe_url_parse(const char *text, size_t len, struct lade_json_paths *paths,
			struct lade_pipe_url *ret, struct lade_json_error *ret_error)
{
	struct reading r = { text, len, 0, paths, ret, ret_error };
	int rc;

	ret->n = 0;
	ret->holes = 0;
	rc = read_origin(&r);
	if (rc == 0)
		rc = read_parts(&r);
	if (rc == 0)
		rc = try_out(&r);
	return rc;
}
