/* SPDX-License-Identifier: MIT */
/* result.c - values of an answer, read where libpq has put them. */

#include "connectors/postgres/postgres_priv.h"

#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DAY_US INT64_C(86400000000)

/* PostgreSQL's numbers of further types. */
enum {
	TYPE_NAME = 19,
	TYPE_INT2 = 21,
	TYPE_INT4 = 23,
	TYPE_OID = 26,
	TYPE_JSON = 114,
	TYPE_FLOAT4 = 700,
	TYPE_UNKNOWN = 705,
	TYPE_BPCHAR = 1042,
	TYPE_VARCHAR = 1043,
	TYPE_DATE = 1082,
	TYPE_TIMESTAMP = 1114,
	TYPE_NUMERIC = 1700,
	TYPE_UUID = 2950
};

void lade_pg_result_done(struct lade_pg_result *result)
{
	PQclear(result->handle);
	*result = (struct lade_pg_result){ 0 };
}

const char *lade_pg_column_name(const struct lade_pg_result *result, unsigned column)
{
	return PQfname(result->handle, (int)column);
}

uint32_t lade_pg_column_type(const struct lade_pg_result *result, unsigned column)
{
	return PQftype(result->handle, (int)column);
}

const void *lade_pg_bytes(const struct lade_pg_result *result, uint32_t row, unsigned column,
			  uint32_t *ret_len)
{
	const char *bytes = PQgetvalue(result->handle, (int)row, (int)column);

	*ret_len = (uint32_t)PQgetlength(result->handle, (int)row, (int)column);
	if (*ret_len == 0 && PQgetisnull(result->handle, (int)row, (int)column))
		return NULL;
	return bytes;
}

static uint16_t load16(const char *at)
{
	uint16_t v;

	memcpy(&v, at, sizeof(v));
	return be16toh(v);
}

static uint32_t load32(const char *at)
{
	uint32_t v;

	memcpy(&v, at, sizeof(v));
	return be32toh(v);
}

static uint64_t load64(const char *at)
{
	uint64_t v;

	memcpy(&v, at, sizeof(v));
	return be64toh(v);
}

static int text_in(struct lade_arena *arena, const char *text, struct lade_datum *ret)
{
	size_t len = strlen(text);
	char *copy = lade_arena_copy(arena, text, len);

	if (!copy)
		return -ENOMEM;
	*ret = lade_datum_text(copy, (uint32_t)len);
	return 0;
}

static int real(struct lade_arena *arena, double value, struct lade_datum *ret)
{
	if (isfinite(value)) {
		*ret = lade_datum_double(value);
		return 0;
	}
	return text_in(arena, isnan(value) ? "NaN" : value > 0 ? "Infinity" : "-Infinity", ret);
}

static int eight(struct lade_arena *arena, uint64_t bits, struct lade_datum *ret)
{
	double value;

	memcpy(&value, &bits, sizeof(value));
	return real(arena, value, ret);
}

static int four(struct lade_arena *arena, uint32_t bits, struct lade_datum *ret)
{
	char text[32];
	float value;

	memcpy(&value, &bits, sizeof(value));
	/* 0.1 of four bytes is meant as 0.1, and not as what eight bytes make of it. */
	snprintf(text, sizeof(text), "%.9g", (double)value);
	for (int digits = 6; digits < 9; digits++) {
		char shorter[32];

		snprintf(shorter, sizeof(shorter), "%.*g", digits, (double)value);
		if (strtof(shorter, NULL) == value) {
			memcpy(text, shorter, sizeof(text));
			break;
		}
	}
	return real(arena, strtod(text, NULL), ret);
}

/* Microseconds since 2000; the ends of the range are infinite. */
static int instant(struct lade_arena *arena, int64_t pg, struct lade_datum *ret)
{
	int64_t us;

	if (pg == INT64_MAX || pg == INT64_MIN)
		return text_in(arena, pg > 0 ? "infinity" : "-infinity", ret);
	if (__builtin_add_overflow(pg, PG_EPOCH_US, &us))
		return -EBADMSG;
	*ret = lade_datum_integer(us);
	ret->type = LADE_TIMESTAMP;
	return 0;
}

/* Days since 2000, as YYYY-MM-DD. */
static int date(struct lade_arena *arena, int32_t days, struct lade_datum *ret)
{
	char text[LADE_TIMESTAMP_ROOM];

	if (days == INT32_MAX || days == INT32_MIN)
		return text_in(arena, days > 0 ? "infinity" : "-infinity", ret);
	if (lade_timestamp_format(days * DAY_US + PG_EPOCH_US, text) < 0)
		return -EBADMSG;
	text[10] = 0;
	return text_in(arena, text, ret);
}

static int uuid(struct lade_arena *arena, const char *bytes, struct lade_datum *ret)
{
	char text[40];
	int n = 0;

	for (int i = 0; i < 16; i++)
		n += snprintf(text + n, sizeof(text) - (size_t)n, "%s%02x",
			      i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "",
			      (unsigned char)bytes[i]);
	return text_in(arena, text, ret);
}

/* The digit group at @i, counted from the first one before the point; there may be none. */
static unsigned group(const char *at, int count, int weight, int i)
{
	int place = weight - i;

	return place >= 0 && place < count ? load16(at + 8 + 2 * place) : 0;
}

/* Groups of four decimal digits, the first of weight 10000^weight, @scale digits behind the point:
 * written out, with all the digits that it has. */
static int numeric(struct lade_arena *arena, const char *at, uint32_t len, struct lade_datum *ret)
{
	int count = load16(at), weight = (int16_t)load16(at + 2), sign = load16(at + 4);
	int scale = load16(at + 6);
	size_t room = (size_t)(weight > 0 ? weight : 0) * 4 + (size_t)scale + 16;
	char *text, *to;

	if (sign != 0 && sign != 0x4000)
		return text_in(arena, sign == 0xc000   ? "NaN"
				      : sign == 0xd000 ? "Infinity"
						       : "-Infinity",
			       ret);
	if (len < 8u + 2u * (unsigned)count)
		return -EBADMSG;
	text = to = lade_arena_alloc(arena, room);
	if (!text)
		return -ENOMEM;
	if (sign)
		*to++ = '-';
	to += sprintf(to, "%u", group(at, count, weight, weight > 0 ? weight : 0));
	for (int i = weight - 1; i >= 0; i--)
		to += sprintf(to, "%04u", group(at, count, weight, i));
	if (scale)
		*to++ = '.';
	for (int i = -1; scale > 0; i--, scale -= 4) {
		char digits[8];

		snprintf(digits, sizeof(digits), "%04u", group(at, count, weight, i) % 10000);
		memcpy(to, digits, (size_t)(scale < 4 ? scale : 4));
		to += scale < 4 ? scale : 4;
	}
	*ret = lade_datum_json(text, (uint32_t)(to - text));
	return 0;
}

/* How many bytes a type has; 0: any number. */
static uint32_t width(uint32_t type)
{
	switch (type) {
	case LADE_PG_BOOL:
		return 1;
	case TYPE_INT2:
		return 2;
	case TYPE_INT4:
	case TYPE_OID:
	case TYPE_FLOAT4:
	case TYPE_DATE:
		return 4;
	case LADE_PG_INT8:
	case LADE_PG_FLOAT8:
	case LADE_PG_TIMESTAMPTZ:
	case TYPE_TIMESTAMP:
		return 8;
	case TYPE_UUID:
		return 16;
	default:
		return 0;
	}
}

static int convert(uint32_t type, const char *at, uint32_t len, struct lade_arena *arena,
		   struct lade_datum *ret)
{
	switch (type) {
	case LADE_PG_TEXT:
	case TYPE_VARCHAR:
	case TYPE_BPCHAR:
	case TYPE_NAME:
	case TYPE_UNKNOWN:
		*ret = lade_datum_text(at, len);
		return 0;
	case LADE_PG_INT8:
		*ret = lade_datum_integer((int64_t)load64(at));
		return 0;
	case TYPE_INT4:
		*ret = lade_datum_integer((int32_t)load32(at));
		return 0;
	case TYPE_OID:
		*ret = lade_datum_integer(load32(at));
		return 0;
	case TYPE_INT2:
		*ret = lade_datum_integer((int16_t)load16(at));
		return 0;
	case LADE_PG_BOOL:
		*ret = lade_datum_integer(*at != 0);
		ret->type = LADE_BOOLEAN;
		return 0;
	case LADE_PG_FLOAT8:
		return eight(arena, load64(at), ret);
	case TYPE_FLOAT4:
		return four(arena, load32(at), ret);
	case LADE_PG_TIMESTAMPTZ:
	case TYPE_TIMESTAMP:
		return instant(arena, (int64_t)load64(at), ret);
	case TYPE_DATE:
		return date(arena, (int32_t)load32(at), ret);
	case TYPE_UUID:
		return uuid(arena, at, ret);
	case TYPE_JSON:
		*ret = lade_datum_json(at, len);
		return 0;
	case LADE_PG_JSONB: /* behind its version */
		*ret = lade_datum_json(at + 1, len - 1);
		return len ? 0 : -EBADMSG;
	case TYPE_NUMERIC:
		return len < 8 ? -EBADMSG : numeric(arena, at, len, ret);
	default:
		return -EBADMSG;
	}
}

bool lade_pg_type_known(uint32_t type)
{
	switch (type) {
	case LADE_PG_TEXT:
	case TYPE_VARCHAR:
	case TYPE_BPCHAR:
	case TYPE_NAME:
	case TYPE_UNKNOWN:
	case TYPE_JSON:
	case LADE_PG_JSONB:
	case TYPE_NUMERIC:
		return true;
	default:
		return width(type) > 0;
	}
}

int lade_pg_datum(const struct lade_pg_result *result, uint32_t row, unsigned column,
		  struct lade_arena *arena, struct lade_datum *ret)
{
	uint32_t len, type = PQftype(result->handle, (int)column);
	const char *at = lade_pg_bytes(result, row, column, &len);

	if (!at) {
		*ret = lade_datum_null();
		return 0;
	}
	if (width(type) && width(type) != len)
		return -EBADMSG;
	return convert(type, at, len, arena, ret);
}
