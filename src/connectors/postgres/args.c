/* SPDX-License-Identifier: MIT */
/* args.c - arguments of a statement, in PostgreSQL's binary format, in one block.
 *
 * DESIGN
 * An array of a whole batch is one argument, written in one pass: its header, then each item with
 * its length before it. The block is remembered by offsets, since it moves when it grows.
 *
 * PostgreSQL counts its times from 2000, in microseconds of 64 bits. */

#include <lade/postgres.h>

#include "base/alloc.h"
#include "connectors/postgres/postgres_priv.h"

#include <endian.h>
#include <errno.h>
#include <string.h>

#define ARGS_BYTES ((size_t)64 << 20)
#define MESSAGE_MAX ((size_t)1 << 30) /* PostgreSQL takes no longer one */
#define JSONB_VERSION 1

/* Room for @len more bytes; NULL: .status says why there is none. */
static char *grow(struct lade_pg_args *a, size_t len)
{
	size_t max = a->max ? a->max : ARGS_BYTES, room = a->room ? a->room : 512;
	char *block;

	if (a->status < 0)
		return NULL;
	if (max > MESSAGE_MAX)
		max = MESSAGE_MAX;
	if (len > max - a->len) {
		a->status = -EMSGSIZE;
		return NULL;
	}
	while (room < a->len + len)
		room *= 2;
	if (room > max)
		room = max;
	if (room != a->room) {
		block = lade_realloc(a->block, room);
		if (!block) {
			a->status = -ENOMEM;
			return NULL;
		}
		a->block = block;
		a->room = room;
	}
	a->len += len;
	return a->block + a->len - len;
}

static inline char *put(struct lade_pg_args *a, size_t len)
{
	if (__builtin_expect(a->status < 0 || len > a->room - a->len, 0))
		return grow(a, len);
	a->len += len;
	return a->block + a->len - len;
}

static inline void store32(char *to, uint32_t value)
{
	value = htobe32(value);
	memcpy(to, &value, sizeof(value));
}

static inline void store64(char *to, uint64_t value)
{
	value = htobe64(value);
	memcpy(to, &value, sizeof(value));
}

static uint64_t bits_of(double value)
{
	uint64_t bits;

	memcpy(&bits, &value, sizeof(bits));
	return bits;
}

/* Arguments */

static void add(struct lade_pg_args *a, uint32_t type, size_t at, int32_t len)
{
	if (a->n == LADE_PG_ARGS_MAX && a->status == 0)
		a->status = -EMSGSIZE;
	if (a->items_left && a->status == 0)
		a->status = -EINVAL;
	if (a->status < 0)
		return;
	if (a->n == a->room_args) {
		unsigned room = a->room_args ? a->room_args * 2 : 8;
		struct lade_pg_arg *list = lade_realloc(a->list, room * sizeof(*list));

		if (!list) {
			a->status = -ENOMEM;
			return;
		}
		a->list = list;
		a->room_args = room;
	}
	a->list[a->n++] = (struct lade_pg_arg){ type, len, at };
}

void lade_pg_args_init(struct lade_pg_args *args, size_t bytes_max)
{
	*args = (struct lade_pg_args){ .max = bytes_max };
}

void lade_pg_args_reset(struct lade_pg_args *args)
{
	args->len = 0;
	args->n = 0;
	args->items = args->items_left = 0;
	args->status = 0;
}

void lade_pg_args_done(struct lade_pg_args *args)
{
	lade_free(args->block);
	lade_free(args->list);
	*args = (struct lade_pg_args){ .max = args->max };
}

void lade_pg_null(struct lade_pg_args *args, uint32_t type)
{
	add(args, type, 0, -1);
}

static void add_eight(struct lade_pg_args *args, enum lade_pg_type type, uint64_t bits)
{
	size_t at = args->len;
	char *to = put(args, 8);

	if (to)
		store64(to, bits);
	add(args, type, at, 8);
}

void lade_pg_int8(struct lade_pg_args *args, int64_t value)
{
	add_eight(args, LADE_PG_INT8, (uint64_t)value);
}

void lade_pg_float8(struct lade_pg_args *args, double value)
{
	add_eight(args, LADE_PG_FLOAT8, bits_of(value));
}

void lade_pg_timestamptz(struct lade_pg_args *args, int64_t us)
{
	if (us == INT64_MIN)
		lade_pg_null(args, LADE_PG_TIMESTAMPTZ);
	else
		add_eight(args, LADE_PG_TIMESTAMPTZ, lade_pg_time_bits(us));
}

void lade_pg_bool(struct lade_pg_args *args, bool value)
{
	size_t at = args->len;
	char *to = put(args, 1);

	if (to)
		*to = value;
	add(args, LADE_PG_BOOL, at, 1);
}

/* Bytes, with that of a version before them if @version. */
static void put_text(struct lade_pg_args *args, int version, const char *text, size_t len)
{
	char *to = put(args, len + (version != 0));

	if (to && version)
		*to++ = (char)version;
	if (to && len)
		memcpy(to, text, len);
}

void lade_pg_text(struct lade_pg_args *args, const char *text, size_t len)
{
	size_t at = args->len;

	put_text(args, 0, text, len);
	add(args, LADE_PG_TEXT, at, (int32_t)len);
}

void lade_pg_jsonb(struct lade_pg_args *args, const char *json, size_t len)
{
	size_t at = args->len;

	put_text(args, JSONB_VERSION, json, len);
	add(args, LADE_PG_JSONB, at, (int32_t)len + 1);
}

/* Arrays */

static const struct {
	uint32_t type, array;
	const char *name;
} types[] = {
	{ LADE_PG_TEXT, 1009, "text" },
	{ LADE_PG_INT8, 1016, "int8" },
	{ LADE_PG_FLOAT8, 1022, "float8" },
	{ LADE_PG_BOOL, 1000, "bool" },
	{ LADE_PG_TIMESTAMPTZ, 1185, "timestamptz" },
	{ LADE_PG_JSONB, 3807, "jsonb" },
};

static unsigned type_at(uint32_t type)
{
	for (unsigned i = 0; i < sizeof(types) / sizeof(*types); i++)
		if (types[i].type == type)
			return i;
	return 0;
}

const char *lade_pg_type_name(enum lade_pg_type type)
{
	return types[type_at(type)].name;
}

/* The array that is being built is whole: now its length is known. */
static void end_array(struct lade_pg_args *a)
{
	if (a->status == 0)
		a->list[a->n - 1].len = (int32_t)(a->len - a->array_at);
}

void lade_pg_array(struct lade_pg_args *args, enum lade_pg_type type, uint32_t n)
{
	size_t at = args->len;
	char *to;

	add(args, types[type_at(type)].array, at, 0);
	to = put(args, n ? 20 : 12);
	if (!to)
		return;
	store32(to, n ? 1 : 0);	   /* dimensions */
	store32(to + 4, n ? 1 : 0); /* there may be nulls */
	store32(to + 8, type);
	if (n) {
		store32(to + 12, n);
		store32(to + 16, 1); /* the first index */
	}
	args->array_at = at;
	args->items = args->items_left = n;
	if (n == 0)
		end_array(args);
}

/* Room for the bytes of an item, behind its length. */
static inline char *item(struct lade_pg_args *a, size_t len, bool null)
{
	char *to = put(a, len + 4);

	if (!to)
		return NULL;
	if (a->items_left == 0) {
		a->status = -EINVAL;
		return NULL;
	}
	store32(to, null ? UINT32_MAX : (uint32_t)len);
	if (--a->items_left == 0)
		end_array(a);
	return to + 4;
}

void lade_pg_item_null(struct lade_pg_args *args)
{
	(void)item(args, 0, true);
}

void lade_pg_item_int8(struct lade_pg_args *args, int64_t value)
{
	char *to = item(args, 8, false);

	if (to)
		store64(to, (uint64_t)value);
}

void lade_pg_item_float8(struct lade_pg_args *args, double value)
{
	char *to = item(args, 8, false);

	if (to)
		store64(to, bits_of(value));
}

void lade_pg_item_bool(struct lade_pg_args *args, bool value)
{
	char *to = item(args, 1, false);

	if (to)
		*to = value;
}

void lade_pg_item_text(struct lade_pg_args *args, const char *text, size_t len)
{
	char *to = item(args, len, false);

	if (to && len)
		memcpy(to, text, len);
}

void lade_pg_item_timestamptz(struct lade_pg_args *args, int64_t us)
{
	char *to = item(args, us == INT64_MIN ? 0 : 8, us == INT64_MIN);

	if (to && us != INT64_MIN)
		store64(to, lade_pg_time_bits(us));
}

void lade_pg_item_jsonb(struct lade_pg_args *args, const char *json, size_t len)
{
	char *to = item(args, len + 1, false);

	if (!to)
		return;
	*to = JSONB_VERSION;
	memcpy(to + 1, json, len);
}

/* Columns of data */

enum lade_pg_type lade_pg_type_of(enum lade_datum_type type)
{
	switch (type) {
	case LADE_INTEGER:
		return LADE_PG_INT8;
	case LADE_DOUBLE:
		return LADE_PG_FLOAT8;
	case LADE_BOOLEAN:
		return LADE_PG_BOOL;
	case LADE_TIMESTAMP:
		return LADE_PG_TIMESTAMPTZ;
	case LADE_JSON:
		return LADE_PG_JSONB;
	default:
		return LADE_PG_TEXT;
	}
}

static bool takes(enum lade_pg_type type, enum lade_datum_type from)
{
	switch (type) {
	case LADE_PG_TEXT:
		return from == LADE_TEXT || from == LADE_JSON;
	case LADE_PG_FLOAT8:
		return from == LADE_DOUBLE || from == LADE_INTEGER;
	case LADE_PG_INT8:
		return from == LADE_INTEGER;
	case LADE_PG_BOOL:
		return from == LADE_BOOLEAN;
	case LADE_PG_TIMESTAMPTZ:
		return from == LADE_TIMESTAMP;
	default:
		return type == LADE_PG_JSONB && from == LADE_JSON;
	}
}

static void put_item(struct lade_pg_args *args, enum lade_pg_type type, const struct lade_datum *d)
{
	switch (type) {
	case LADE_PG_INT8:
		lade_pg_item_int8(args, d->integer);
		break;
	case LADE_PG_FLOAT8:
		lade_pg_item_float8(args, d->type == LADE_DOUBLE ? d->real : (double)d->integer);
		break;
	case LADE_PG_BOOL:
		lade_pg_item_bool(args, d->integer != 0);
		break;
	case LADE_PG_TIMESTAMPTZ:
		lade_pg_item_timestamptz(args, d->integer);
		break;
	case LADE_PG_JSONB:
		lade_pg_item_jsonb(args, d->text, d->len);
		break;
	default:
		lade_pg_item_text(args, d->text, d->len);
	}
}

void lade_pg_array_of(struct lade_pg_args *args, enum lade_pg_type type,
		      const struct lade_datum *first, size_t stride, uint32_t n)
{
	lade_pg_array(args, type, n);
	for (uint32_t i = 0; i < n && args->status == 0; i++, first += stride) {
		if (first->type == LADE_ABSENT || first->type == LADE_NULL)
			lade_pg_item_null(args);
		else if (takes(type, first->type))
			put_item(args, type, first);
		else
			args->status = -EINVAL;
	}
}
