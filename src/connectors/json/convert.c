/* SPDX-License-Identifier: MIT */
/* convert.c - a value as it is written, as a value with a type.
 *
 * DESIGN
 * What a value is (its kind) is told by its first byte.  A string is converted by what it
 * holds, so that "42" is an integer and a number in quotes costs nobody a pipeline; nothing
 * is ever rounded to make it fit an integer. */

#include <lade/json.h>

#include <errno.h>
#include <string.h>

#include "connectors/json/double_priv.h"
#include "connectors/json/reader_priv.h"
#include "connectors/json/string_priv.h"

#define SHOWN_MAX 40		/* bytes of a value quoted in a reason */
#define DIGITS_MAX 4096		/* bytes of a number that is converted */
#define EXPONENT_MAX 100000	/* beyond this a number of DIGITS_MAX is zero or does not fit */

struct conversion {
	const char *text;		/* the value, or what stands between its quotes */
	size_t len;			/* bytes */
	size_t at;			/* its offset in the document */
	bool quoted;			/* it was a string */
	const char *doc;
	struct lade_json_error *error;
};

/* Fails with the value quoted: `"abc" is not a boolean`. */
static int refuse(const struct conversion *c, const char *why)
{
	size_t len = c->len > SHOWN_MAX ? SHOWN_MAX : c->len;

	while (len && len < c->len && ((unsigned char)c->text[len] & 0xc0) == 0x80)
		len--;
	return lade_json_fail(c->error, c->at, "%s%.*s%s%s %s", c->quoted ? "\"" : "", (int)len,
			      c->text, len < c->len ? "..." : "", c->quoted ? "\"" : "", why);
}

static int to_text(const struct conversion *c, char *room, size_t room_len,
		   struct lade_datum *ret)
{
	ptrdiff_t len;

	if (!c->quoted || !memchr(c->text, '\\', c->len)) {
		*ret = lade_datum_text(c->text, (uint32_t)c->len);
		return 0;
	}
	if (room_len < c->len)
		return -ENOBUFS;
	len = lade_json_unescape(c->text, c->len, room);
	if (len == -EBADMSG)
		return refuse(c, "holds \\u0000, which text cannot; the type json can");
	if (len < 0)
		return refuse(c, "holds half of a surrogate pair, which is no character; the type"
				 " json passes it through");
	*ret = lade_datum_text(room, (uint32_t)len);
	return 0;
}

/* A number taken apart: value = digits * 10^exponent. */
struct decimal {
	const char *text;	/* begins with a digit */
	const char *end;	/* behind the mantissa, which may hold one dot */
	int exponent;		/* as written behind the e, or some beyond EXPONENT_MAX */
	bool negative;
};

static int read_exponent(const char *p, const char *end)
{
	bool negative = *p == '-';
	int value = 0;

	for (p += *p == '-' || *p == '+'; p < end; p++)
		if (value <= EXPONENT_MAX)
			value = value * 10 + (*p - '0');
	return negative ? -value : value;
}

static bool is_number(const char *text, size_t len)
{
	return len && lade_json_number_end(text, text + len) == text + len;
}

static bool read_decimal(const char *text, size_t len, struct decimal *ret)
{
	const char *end = text + len;

	if (len > DIGITS_MAX || !is_number(text, len))
		return false;
	*ret = (struct decimal){ .text = text, .end = end, .negative = *text == '-' };
	ret->text += ret->negative;
	for (const char *p = ret->text; p < end; p++) {
		if (*p != 'e' && *p != 'E')
			continue;
		ret->end = p;
		ret->exponent = read_exponent(p + 1, end);
		break;
	}
	return true;
}

/* Appends a decimal digit to a negative number: the range below zero is the larger one. */
static bool append(int64_t *value, int digit)
{
	return !__builtin_mul_overflow(*value, INT64_C(10), value) &&
	       !__builtin_sub_overflow(*value, digit, value);
}

/* Returns 0; -EDOM for a number with a fraction; -ERANGE beyond 64 bits. */
static int decimal_to_integer(const struct decimal *d, int64_t *ret)
{
	const char *dot = memchr(d->text, '.', (size_t)(d->end - d->text));
	ptrdiff_t whole = (dot ? dot : d->end) - d->text + d->exponent, seen = 0;
	int64_t value = 0;
	bool fits = true;

	for (const char *p = d->text; p < d->end; p++) {
		if (p == dot)
			continue;
		if (seen++ < whole)
			fits = fits && append(&value, *p - '0');
		else if (*p != '0')
			return -EDOM;
	}
	for (; value && fits && seen < whole; seen++)
		fits = append(&value, 0);
	if (!fits || (!d->negative && value == INT64_MIN))
		return -ERANGE;
	*ret = d->negative ? value : -value;
	return 0;
}

static bool is(const struct conversion *c, const char *word)
{
	return c->len == strlen(word) && memcmp(c->text, word, c->len) == 0;
}

/* Nearly all numbers: a few digits, perhaps a minus before them.  Returns false for any other, and
 * for what is none. */
static bool short_integer(const char *text, size_t len, int64_t *ret)
{
	size_t i = *text == '-';
	int64_t value = 0;

	if (len > 18 || i == len || (text[i] == '0' && len > i + 1))
		return false;
	for (; i < len; i++) {
		unsigned digit = (unsigned char)text[i] - '0';

		if (digit > 9)
			return false;
		value = value * 10 + digit;
	}
	*ret = *text == '-' ? -value : value;
	return true;
}

static int to_integer(const struct conversion *c, struct lade_datum *ret)
{
	struct decimal d;
	int64_t value;
	int rc;

	if (c->len && short_integer(c->text, c->len, &value)) {
		*ret = lade_datum_integer(value);
		return 0;
	}
	if (!c->quoted && (is(c, "true") || is(c, "false"))) {
		*ret = lade_datum_integer(c->len == 4);
		return 0;
	}
	if (!read_decimal(c->text, c->len, &d))
		return refuse(c, c->len > DIGITS_MAX ? "is too long for an integer" :
						       "is not an integer");
	rc = decimal_to_integer(&d, &value);
	if (rc == -EDOM)
		return refuse(c, "is not a whole number");
	if (rc < 0)
		return refuse(c, "does not fit an integer of 64 bits; the type json keeps its"
				 " digits");
	*ret = lade_datum_integer(value);
	return 0;
}

static int to_double(const struct conversion *c, struct lade_datum *ret)
{
	double value;
	int rc;

	if (!is_number(c->text, c->len))
		return refuse(c, "is not a number");
	if (c->len > DIGITS_MAX)
		return refuse(c, "has more than 4096 digits; the type json keeps them");
	rc = lade_double_parse(c->text, c->len, &value);
	if (rc < 0)
		return refuse(c, "is too large for a double; the type json keeps it");
	*ret = lade_datum_double(value);
	return 0;
}

static int to_boolean(const struct conversion *c, struct lade_datum *ret)
{
	bool yes = is(c, "true") || is(c, "1");

	if (!yes && !is(c, "false") && !is(c, "0"))
		return refuse(c, "is not a boolean (true, false, 1 or 0)");
	*ret = lade_datum_integer(yes);
	ret->type = LADE_BOOLEAN;
	return 0;
}

static int to_timestamp(const struct conversion *c, struct lade_datum *ret)
{
	char text[LADE_TIMESTAMP_ROOM];
	struct decimal d;
	int64_t us;

	if (c->quoted) {
		if (lade_timestamp_parse(c->text, c->len, &us) < 0)
			return refuse(c, "is not a time such as 2001-01-31T23:59:59Z");
	} else {
		if (!read_decimal(c->text, c->len, &d) || decimal_to_integer(&d, &us) < 0 ||
		    __builtin_mul_overflow(us, INT64_C(1000), &us))
			return refuse(c, "is not a time in milliseconds since 1970");
	}
	if (lade_timestamp_format(us, text) < 0)
		return refuse(c, "is a time outside of the years 0000 to 9999");
	*ret = lade_datum_integer(us);
	ret->type = LADE_TIMESTAMP;
	return 0;
}

/* As it comes: what JSON says it is. */
static int to_itself(const struct conversion *c, char *room, size_t room_len,
		     struct lade_datum *ret)
{
	if (c->quoted)
		return to_text(c, room, room_len, ret);
	switch (*c->text) {
	case '{':
	case '[':
		*ret = lade_datum_json(c->text, (uint32_t)c->len);
		return 0;
	case 't':
	case 'f':
		return to_boolean(c, ret);
	default:
		if (memchr(c->text, '.', c->len) || memchr(c->text, 'e', c->len) ||
		    memchr(c->text, 'E', c->len))
			return to_double(c, ret);
		return to_integer(c, ret);
	}
}

static int missing(size_t at, bool null, struct lade_want want, struct lade_datum *ret,
		   struct lade_json_error *error)
{
	if (!want.nullable)
		return lade_json_fail(error, at, "%s; the type %s? lets it pass",
				      null ? "is null" : "is not there",
				      lade_datum_type_name(want.type ? want.type : LADE_JSON));
	*ret = lade_datum_null();
	return 0;
}

int lade_json_convert(const char *doc, struct lade_json_span span, struct lade_want want,
		      char *room, size_t room_len, struct lade_datum *ret,
		      struct lade_json_error *ret_error)
{
	bool quoted = span.len && doc[span.at] == '"';
	struct conversion c = { doc + span.at + quoted, span.len - 2 * (size_t)quoted, span.at,
				quoted, doc, ret_error };

	if (span.len == 0 || doc[span.at] == 'n')
		return missing(span.at, span.len != 0, want, ret, ret_error);
	switch (want.type) {
	case LADE_TEXT:
		return to_text(&c, room, room_len, ret);
	case LADE_INTEGER:
		return to_integer(&c, ret);
	case LADE_DOUBLE:
		return to_double(&c, ret);
	case LADE_BOOLEAN:
		return to_boolean(&c, ret);
	case LADE_TIMESTAMP:
		return to_timestamp(&c, ret);
	case LADE_JSON:
		*ret = lade_datum_json(doc + span.at, span.len);
		return 0;
	case LADE_ABSENT:
		return to_itself(&c, room, room_len, ret);
	default:
		return lade_json_fail(ret_error, span.at, "no type was asked for");
	}
}
