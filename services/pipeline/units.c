/* SPDX-License-Identifier: MIT */
/* units.c - reads and writes quantities.
 *
 * DESIGN
 * A number is read as digits and a scale, and multiplied by its unit in integers: 0.1s is
 * exactly 100000000 ns.  What does not come out whole is refused, not rounded. */

#include "services/pipeline/units.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

struct scale {
	const char *name;	/* as it is written */
	int64_t factor;		/* how many of the smallest there are in one */
};

/* Each from the largest to the smallest, as they are written. */
static const struct scale durations[] = {
	{ "d", INT64_C(86400000000000) }, { "h", INT64_C(3600000000000) },
	{ "m", INT64_C(60000000000) },    { "s", 1000000000 },
	{ "ms", 1000000 },		  { "us", 1000 },
	{ "ns", 1 },			  { NULL, 0 },
};
static const struct scale sizes[] = {
	{ "GiB", 1 << 30 },  { "GB", 1000000000 }, { "MiB", 1 << 20 }, { "MB", 1000000 },
	{ "KiB", 1 << 10 },  { "kB", 1000 },	   { "B", 1 },	       { NULL, 0 },
};
static const struct scale percents[] = { { "%", 100 }, { NULL, 0 } };
static const struct scale counts[] = { { "", 1 }, { NULL, 0 } };

static const struct scale *scales_of(enum lade_pipe_unit unit)
{
	switch (unit) {
	case LADE_UNIT_DURATION: return durations;
	case LADE_UNIT_BYTES: return sizes;
	case LADE_UNIT_PERCENT: return percents;
	default: return counts;
	}
}

struct number {
	int64_t digits;		/* without the dot */
	int64_t divisor;	/* 10 for each digit behind the dot */
};

static bool digit(const char *p, const char *end)
{
	return p < end && *p >= '0' && *p <= '9';
}

static int read_number(const char **at, const char *end, struct number *ret)
{
	bool dot = false;

	*ret = (struct number){ 0, 1 };
	if (!digit(*at, end))
		return -EINVAL;
	for (; digit(*at, end) || (!dot && *at < end && **at == '.'); ++*at) {
		if (**at == '.') {
			dot = true;
			if (!digit(*at + 1, end))
				return -EINVAL;
			continue;
		}
		if (__builtin_mul_overflow(ret->digits, INT64_C(10), &ret->digits) ||
		    __builtin_add_overflow(ret->digits, **at - '0', &ret->digits) ||
		    (dot && __builtin_mul_overflow(ret->divisor, INT64_C(10), &ret->divisor)))
			return -ERANGE;
	}
	return 0;
}

static size_t word_len(const char *p, const char *end)
{
	const char *first = p;

	while (p < end && ((*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || *p == '%'))
		p++;
	return (size_t)(p - first);
}

static const struct scale *find_scale(const struct scale *scale, const char *name, size_t len)
{
	for (; scale->name; scale++)
		if (strlen(scale->name) == len && memcmp(scale->name, name, len) == 0)
			return scale;
	return NULL;
}

/* Adds @number times @factor to the sum. */
static int add(int64_t *sum, struct number number, int64_t factor)
{
	int64_t product;

	if (__builtin_mul_overflow(number.digits, factor, &product) ||
	    product % number.divisor != 0 ||
	    __builtin_add_overflow(*sum, product / number.divisor, sum))
		return -ERANGE;
	return 0;
}

static int read_part(enum lade_pipe_unit unit, const char **at, const char *end,
		     const struct scale **smaller, int64_t *sum)
{
	struct number number;
	const struct scale *scale;
	size_t len;
	int rc = read_number(at, end, &number);

	if (rc < 0)
		return rc;
	len = word_len(*at, end);
	if (len == 0 && *at < end)
		return -EINVAL;
	if (len == 0 && unit != LADE_UNIT_COUNT)
		return number.digits == 0 && unit != LADE_UNIT_PERCENT ? 0 : -ENODATA;
	scale = find_scale(*smaller, *at, len);
	if (!scale)
		return -EINVAL;
	*at += len;
	*smaller = scale + 1;
	return add(sum, number, scale->factor);
}

int lade_pipe_unit_parse(enum lade_pipe_unit unit, const char *text, size_t len, int64_t *ret)
{
	const struct scale *smaller = scales_of(unit);
	const char *end = text + len;
	int64_t sum = 0;
	int rc = len ? 0 : -EINVAL;

	while (rc == 0 && text < end) {
		rc = read_part(unit, &text, end, &smaller, &sum);
		if (rc == 0 && text < end && unit != LADE_UNIT_DURATION)
			rc = -EINVAL;
	}
	if (rc == 0)
		*ret = sum;
	return rc;
}

static void format_percent(int64_t value, char ret[LADE_UNIT_ROOM])
{
	if (value % 100)
		snprintf(ret, LADE_UNIT_ROOM, "%" PRId64 ".%02" PRId64 "%%", value / 100,
			 value % 100);
	else
		snprintf(ret, LADE_UNIT_ROOM, "%" PRId64 "%%", value / 100);
}

const char *lade_pipe_unit_format(enum lade_pipe_unit unit, int64_t value,
				  char ret[LADE_UNIT_ROOM])
{
	const struct scale *scale = scales_of(unit);

	if (unit == LADE_UNIT_PERCENT) {
		format_percent(value, ret);
		return ret;
	}
	while (value && value % scale->factor)
		scale++;
	if (!value)
		scale = NULL;
	snprintf(ret, LADE_UNIT_ROOM, "%" PRId64 "%s", scale ? value / scale->factor : 0,
		 scale ? scale->name : "");
	return ret;
}

const char *lade_pipe_unit_hint(enum lade_pipe_unit unit)
{
	switch (unit) {
	case LADE_UNIT_DURATION: return "a duration, as 50ms, 5s, 10m or 1h30m";
	case LADE_UNIT_BYTES: return "a size, as 512B, 64KiB or 1MiB";
	case LADE_UNIT_PERCENT: return "a percentage, as 10%";
	default: return "a whole number";
	}
}
