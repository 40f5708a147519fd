/* SPDX-License-Identifier: MIT */
#ifndef LADE_DATUM_H
#define LADE_DATUM_H

/* lade_datum - one typed value on its way between a message, a query and a table.
 *
 * A datum never owns memory: text points into a message, an arena or a result,
 * and is valid as long as that is.  A datum of zeros is LADE_ABSENT: there is no
 * value, which is not the same as a value that is null. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <lade/version.h>

enum lade_datum_type {
	LADE_ABSENT,		/* no value at all */
	LADE_NULL,		/* a value that is null */
	LADE_TEXT,		/* UTF-8, without NUL; need not end with one */
	LADE_INTEGER,		/* 64 bits, signed */
	LADE_DOUBLE,		/* finite */
	LADE_BOOLEAN,		/* 0 or 1, in .integer */
	LADE_TIMESTAMP,		/* microseconds since 1970 in UTC, in .integer */
	LADE_JSON,		/* one JSON value as it came: its digits survive */
};

struct lade_datum {
	enum lade_datum_type type;	/* which member below holds the value */
	uint32_t len;			/* bytes at .text; 0 for the other types */
	union {
		const char *text;	/* LADE_TEXT, LADE_JSON */
		int64_t integer;	/* LADE_INTEGER, LADE_BOOLEAN, LADE_TIMESTAMP */
		double real;		/* LADE_DOUBLE */
	};
};

/* lade_want - the type a value is asked for, as `integer?` in a configuration. */
struct lade_want {
	enum lade_datum_type type;	/* from LADE_TEXT on */
	bool nullable;			/* null and "not there" become LADE_NULL */
};

/* Room for a formatted time stamp: "2001-01-01T00:47:00.000000Z" and its NUL. */
#define LADE_TIMESTAMP_ROOM 28

/* lade_datum_text - a datum of @len bytes of text.
 *
 * Returns the datum, which points at @text; cannot fail.  Suspends: no. */
static inline struct lade_datum lade_datum_text(const char *text, uint32_t len)
{
	struct lade_datum datum = { .type = LADE_TEXT, .len = len };

	datum.text = text;
	return datum;
}

/* lade_datum_json - a datum of @len bytes that hold one valid JSON value. */
static inline struct lade_datum lade_datum_json(const char *text, uint32_t len)
{
	struct lade_datum datum = lade_datum_text(text, len);

	datum.type = LADE_JSON;
	return datum;
}

/* lade_datum_integer - a datum that holds @value. */
static inline struct lade_datum lade_datum_integer(int64_t value)
{
	struct lade_datum datum = { .type = LADE_INTEGER };

	datum.integer = value;
	return datum;
}

/* lade_datum_double - a datum that holds @value, which is finite. */
static inline struct lade_datum lade_datum_double(double value)
{
	struct lade_datum datum = { .type = LADE_DOUBLE };

	datum.real = value;
	return datum;
}

/* lade_datum_null - a datum that is null. */
static inline struct lade_datum lade_datum_null(void)
{
	return (struct lade_datum){ .type = LADE_NULL };
}

LADE_API_BEGIN

/* lade_datum_type_name - the name of a type as configurations spell it.
 *
 * Returns a constant string; "?" for a number that is no type.  Suspends: no.
 * Threads: any. */
const char *lade_datum_type_name(enum lade_datum_type type);

/* lade_want_parse - reads a type: text, integer, double, boolean, timestamp or json,
 * with `?` after it when null may pass.
 *
 * Returns 0, or -EINVAL when @text (@len bytes) is none of these.  Suspends: no.
 * Threads: any. */
int lade_want_parse(const char *text, size_t len, struct lade_want *ret);

/* lade_timestamp_parse - reads an RFC 3339 date and time.
 *
 * Accepted: YYYY-MM-DD, or YYYY-MM-DD and hh:mm[:ss[.digits]] after a T, t or blank, with
 * Z, z, ±hh:mm or nothing (then it is UTC) behind.  Digits below a microsecond are cut
 * off.  A leap second counts as the second after it.  Years 0000 to 9999.
 *
 * Returns 0 and microseconds since 1970 in UTC, or -EINVAL.  Suspends: no.  Threads: any. */
int lade_timestamp_parse(const char *text, size_t len, int64_t *ret_us);

/* lade_timestamp_format - writes @us as YYYY-MM-DDThh:mm:ss.uuuuuuZ.
 *
 * The width is fixed so that the order of the texts is the order of the times.
 *
 * Returns the length, or -ERANGE outside of the years 0000 to 9999.  Suspends: no.
 * Threads: any. */
int lade_timestamp_format(int64_t us, char ret[LADE_TIMESTAMP_ROOM]);

LADE_API_END

#endif
