/* SPDX-License-Identifier: MIT */
/* ref.c - reads references to the values of a message. */

#include "services/pipeline/ref.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const struct {
	const char *name;		/* behind the @ */
	enum lade_pipe_ref_kind kind;
} metas[] = {
	{ "key", LADE_REF_KEY },	     { "offset", LADE_REF_OFFSET },
	{ "line", LADE_REF_LINE },	     { "timestamp", LADE_REF_TIMESTAMP },
	{ "topic", LADE_REF_TOPIC },	     { "partition", LADE_REF_PARTITION },
};

static int fail(struct lade_json_error *error, size_t at, const char *reason)
{
	error->at = at;
	snprintf(error->reason, sizeof(error->reason), "%s", reason);
	return -EINVAL;
}

static size_t skip_blanks(const char *text, size_t len, size_t at)
{
	while (at < len && text[at] == ' ')
		at++;
	return at;
}

/* Reads the type before the name, if there is one; the rest begins at *@at. */
static int read_type(const char *text, size_t len, size_t *at, struct lade_want *ret,
		     struct lade_json_error *error)
{
	size_t end = *at;

	*ret = (struct lade_want){ LADE_TEXT, false };
	if (*at < len && (text[*at] == '.' || text[*at] == '@'))
		return 0;
	while (end < len && text[end] != ' ' && text[end] != '.' && text[end] != '@')
		end++;
	if (end == len)
		return fail(error, *at, "expected a path, as .name, or a type and a path, as"
					" integer .name");
	if (lade_want_parse(text + *at, end - *at, ret) < 0)
		return fail(error, *at, "expected a type: text, integer, double, boolean, timestamp"
					" or json, with ? behind it where null may pass");
	*at = skip_blanks(text, len, end);
	return 0;
}

static int read_header(const char *text, size_t len, size_t at, struct lade_pipe_ref *ref,
		       struct lade_json_error *error)
{
	for (size_t i = at; i < len; i++)
		if ((unsigned char)text[i] <= ' ' || (unsigned char)text[i] >= 0x7f)
			return fail(error, i, "a header's name consists of visible ASCII");
	if (at == len)
		return fail(error, at, "expected the header's name, as @header.trace");
	ref->kind = LADE_REF_HEADER;
	ref->name = text + at;
	ref->name_len = len - at;
	return 0;
}

static int read_meta(const char *text, size_t len, size_t at, struct lade_pipe_ref *ref,
		     struct lade_json_error *error)
{
	static const char header[] = "header.";
	size_t left = len - at - 1;

	if (left >= sizeof(header) - 1 && memcmp(text + at + 1, header, sizeof(header) - 1) == 0)
		return read_header(text, len, at + sizeof(header), ref, error);
	for (size_t i = 0; i < sizeof(metas) / sizeof(*metas); i++) {
		if (strlen(metas[i].name) != left ||
		    memcmp(metas[i].name, text + at + 1, left) != 0)
			continue;
		ref->kind = metas[i].kind;
		ref->name = text + at;
		ref->name_len = len - at;
		return 0;
	}
	return fail(error, at, "expected @key, @offset, @line, @timestamp, @topic, @partition or"
			       " @header.NAME");
}

int lade_pipe_ref_parse(const char *text, size_t len, struct lade_json_paths *paths,
			struct lade_pipe_ref *ret, struct lade_json_error *ret_error)
{
	struct lade_pipe_ref ref = { .kind = LADE_REF_PATH };
	size_t at = skip_blanks(text, len, 0);
	int rc = read_type(text, len, &at, &ref.want, ret_error);

	while (len > at && text[len - 1] == ' ')
		len--;
	if (rc == 0 && at < len && text[at] == '@') {
		rc = read_meta(text, len, at, &ref, ret_error);
	} else if (rc == 0) {
		ref.name = text + at;
		ref.name_len = len - at;
		rc = lade_json_paths_add(paths, ref.name, ref.name_len, &ref.slot, ret_error);
		if (rc < 0)
			ret_error->at += at;
	}
	if (rc == 0)
		*ret = ref;
	return rc;
}
