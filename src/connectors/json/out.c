/* SPDX-License-Identifier: MIT */
/* out.c - text that grows, and values written as JSON. */

#include <lade/json.h>

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "connectors/json/double_priv.h"
#include "connectors/json/string_priv.h"

#define CAP_MIN 256u

void lade_json_out_init(struct lade_json_out *out, size_t max)
{
	*out = (struct lade_json_out){ .max = max };
}

void lade_json_out_done(struct lade_json_out *out)
{
	lade_free(out->data);
	lade_json_out_init(out, out->max);
}

void lade_json_out_reset(struct lade_json_out *out)
{
	out->len = 0;
	out->status = 0;
}

static size_t cap_for(const struct lade_json_out *out, size_t len)
{
	size_t cap = out->cap ? out->cap : CAP_MIN;

	while (cap < len)
		cap *= 2;
	return cap < out->max ? cap : out->max;
}

/* Makes room for @more bytes; NULL, and a status, if there can be none. */
static char *reserve(struct lade_json_out *out, size_t more)
{
	char *data;

	if (out->status < 0)
		return NULL;
	if (more <= out->cap - out->len)
		return out->data + out->len;
	if (more > out->max - out->len) {
		out->status = -EMSGSIZE;
		return NULL;
	}
	data = lade_realloc(out->data, cap_for(out, out->len + more));
	if (!data) {
		out->status = -ENOMEM;
		return NULL;
	}
	out->cap = cap_for(out, out->len + more);
	out->data = data;
	return data + out->len;
}

void lade_json_out_raw(struct lade_json_out *out, const char *text, size_t len)
{
	char *to = len ? reserve(out, len) : NULL;

	if (!to)
		return;
	memcpy(to, text, len);
	out->len += len;
}

/* The bytes from @text on that stand for themselves in a string. */
static size_t plain_len(const char *text, size_t len)
{
	size_t i = 0;

	while (i < len && (unsigned char)text[i] >= 0x20 && (unsigned char)text[i] < 0x80 &&
	       text[i] != '"' && text[i] != '\\')
		i++;
	return i;
}

static void out_escape(struct lade_json_out *out, char c)
{
	static const char short_form[] = "\"\"\\\\\bb\ff\nn\rr\tt";
	char text[8] = { '\\' };

	for (size_t i = 0; i < sizeof(short_form) - 1; i += 2) {
		if (short_form[i] != c)
			continue;
		text[1] = short_form[i + 1];
		lade_json_out_raw(out, text, 2);
		return;
	}
	snprintf(text, sizeof(text), "\\u%04x", (unsigned)c);
	lade_json_out_raw(out, text, 6);
}

void lade_json_out_string(struct lade_json_out *out, const char *text, size_t len)
{
	const char *end = text + len;

	lade_json_out_raw(out, "\"", 1);
	while (text < end && out->status == 0) {
		size_t n = plain_len(text, (size_t)(end - text));

		lade_json_out_raw(out, text, n);
		text += n;
		if (text == end)
			break;
		n = (size_t)lade_utf8_len(text, (size_t)(end - text));
		if (n > 1)
			lade_json_out_raw(out, text, n);
		else if (n == 1)
			out_escape(out, *text);
		else if (out->status == 0)
			out->status = -EILSEQ;
		text += n;
	}
	lade_json_out_raw(out, "\"", 1);
}

static void out_integer(struct lade_json_out *out, int64_t value)
{
	char text[24];
	int len = snprintf(text, sizeof(text), "%" PRId64, value);

	lade_json_out_raw(out, text, (size_t)len);
}

static void out_double(struct lade_json_out *out, double value)
{
	char text[LADE_DOUBLE_ROOM];

	if (isfinite(value))
		lade_json_out_raw(out, text, lade_double_format(value, text));
	else if (out->status == 0)
		out->status = -ERANGE;
}

static void out_timestamp(struct lade_json_out *out, int64_t us)
{
	char text[LADE_TIMESTAMP_ROOM];
	int len = lade_timestamp_format(us, text);

	if (len >= 0)
		lade_json_out_string(out, text, (size_t)len);
	else if (out->status == 0)
		out->status = len;
}

void lade_json_out_datum(struct lade_json_out *out, const struct lade_datum *datum)
{
	switch (datum->type) {
	case LADE_ABSENT:
	case LADE_NULL:
		lade_json_out_raw(out, "null", 4);
		break;
	case LADE_TEXT:
		lade_json_out_string(out, datum->text, datum->len);
		break;
	case LADE_INTEGER:
		out_integer(out, datum->integer);
		break;
	case LADE_DOUBLE:
		out_double(out, datum->real);
		break;
	case LADE_BOOLEAN:
		lade_json_out_raw(out, datum->integer ? "true" : "false", datum->integer ? 4 : 5);
		break;
	case LADE_TIMESTAMP:
		out_timestamp(out, datum->integer);
		break;
	case LADE_JSON:
		lade_json_out_raw(out, datum->text, datum->len);
		break;
	}
}
