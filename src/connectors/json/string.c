/* SPDX-License-Identifier: MIT */
/* string.c - escapes and UTF-8. */

#include <lade/json.h>

#include "connectors/json/string_priv.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* The four digits behind \u, or -1. */
static int32_t hex4(const char *text, size_t len)
{
	int32_t value = 0;

	if (len < 4)
		return -1;
	for (int i = 0; i < 4; i++) {
		int digit = hex_value(text[i]);

		if (digit < 0)
			return -1;
		value = value * 16 + digit;
	}
	return value;
}

int lade_json_escape_len(const char *text, size_t len)
{
	if (len >= 2 && text[1] && strchr("\"\\/bfnrt", text[1]))
		return 2;
	return len >= 6 && text[1] == 'u' && hex4(text + 2, len - 2) >= 0 ? 6 : 0;
}

ptrdiff_t lade_json_escapes_check(const char *text, size_t len)
{
	const char *end = text + len, *p = text;

	while ((p = memchr(p, '\\', (size_t)(end - p)))) {
		int escape = lade_json_escape_len(p, (size_t)(end - p));

		if (!escape)
			return p - text;
		p += escape;
	}
	return -1;
}

static char *put_utf8(char *to, int32_t c)
{
	if (c < 0x80) {
		*to++ = (char)c;
		return to;
	}
	if (c < 0x800) {
		*to++ = (char)(0xc0 | c >> 6);
	} else {
		if (c < 0x10000) {
			*to++ = (char)(0xe0 | c >> 12);
		} else {
			*to++ = (char)(0xf0 | c >> 18);
			*to++ = (char)(0x80 | (c >> 12 & 0x3f));
		}
		*to++ = (char)(0x80 | (c >> 6 & 0x3f));
	}
	*to++ = (char)(0x80 | (c & 0x3f));
	return to;
}

/* Reads the character behind \u at *@at, two escapes of it for a surrogate pair. */
static int32_t unicode(const char **at, const char *end)
{
	int32_t low, c = hex4(*at, (size_t)(end - *at));

	*at += 4;
	if (c == 0)
		return -EBADMSG;
	if (c < 0xd800 || c > 0xdfff)
		return c;
	if (c > 0xdbff || end - *at < 6 || (*at)[0] != '\\' || (*at)[1] != 'u')
		return -EILSEQ;
	low = hex4(*at + 2, 4);
	if (low < 0xdc00 || low > 0xdfff)
		return -EILSEQ;
	*at += 6;
	return 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
}

static char short_escape(char c)
{
	switch (c) {
	case 'b': return '\b';
	case 'f': return '\f';
	case 'n': return '\n';
	case 'r': return '\r';
	case 't': return '\t';
	default: return c;
	}
}

ptrdiff_t lade_json_unescape(const char *text, size_t len, char *ret)
{
	const char *end = text + len;
	char *to = ret;

	while (text < end) {
		if (*text != '\\') {
			*to++ = *text++;
		} else if (text[1] != 'u') {
			*to++ = short_escape(text[1]);
			text += 2;
		} else {
			int32_t c;

			text += 2;
			c = unicode(&text, end);
			if (c < 0)
				return c;
			to = put_utf8(to, c);
		}
	}
	return to - ret;
}

static bool tail(unsigned char c)
{
	return (c & 0xc0) == 0x80;
}

int lade_utf8_len(const char *text, size_t len)
{
	const unsigned char *p = (const unsigned char *)text;

	if (p[0] < 0x80)
		return 1;
	if (p[0] < 0xc2 || p[0] > 0xf4 || len < 2 || !tail(p[1]))
		return 0;
	if (p[0] < 0xe0)
		return 2;
	if (len < 3 || !tail(p[2]) || (p[0] == 0xe0 && p[1] < 0xa0) ||
	    (p[0] == 0xed && p[1] > 0x9f))
		return 0;
	if (p[0] < 0xf0)
		return 3;
	if (len < 4 || !tail(p[3]) || (p[0] == 0xf0 && p[1] < 0x90) ||
	    (p[0] == 0xf4 && p[1] > 0x8f))
		return 0;
	return 4;
}

size_t lade_json_utf8_check(const char *text, size_t len)
{
	size_t at = 0;

	while (at < len) {
		uint64_t eight;
		int step;

		if (len - at >= sizeof(eight)) {
			memcpy(&eight, text + at, sizeof(eight));
			if (!(eight & UINT64_C(0x8080808080808080))) {
				at += sizeof(eight);
				continue;
			}
		}
		step = lade_utf8_len(text + at, len - at);
		if (!step)
			return at;
		at += (size_t)step;
	}
	return at;
}
