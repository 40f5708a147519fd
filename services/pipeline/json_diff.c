/* SPDX-License-Identifier: MIT */
/* json_diff.c - where two documents say different things.
 *
 * DESIGN
 * Both are valid, so that a value's end is found by counting brackets. Members are looked for by
 * name, one after the other: it is for tests, whose documents are small.
 *
 * LIMITS  paths of 400 bytes: differences further down are told with the path cut. */

#include "services/pipeline/json_diff.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TOLD_MAX 20  /* differences that are told */
#define PATH_ROOM 400

/* A stretch of a document. */
struct part {
	const char *at;
	size_t len;
};

struct diff {
	lade_json_differs *fn;
	void *arg;
	int n;			/* differences so far */
	char path[PATH_ROOM];
	size_t path_len;
};

static const char *skip_blanks(const char *p, const char *end)
{
	while (p < end && (*p == ' ' || *p == '\t' || *p == '\n' || *p == '\r'))
		p++;
	return p;
}

static const char *skip_string(const char *p)
{
	for (p++; *p != '"'; p++)
		p += *p == '\\';
	return p + 1;
}

/* Behind the value that begins at @p. */
static const char *skip_value(const char *p, const char *end)
{
	int depth = 0;

	if (*p == '"')
		return skip_string(p);
	if (*p != '{' && *p != '[') {
		while (p < end && !strchr(",]} \t\r\n", *p))
			p++;
		return p;
	}
	do {
		if (*p == '"') {
			p = skip_string(p);
			continue;
		}
		depth += (*p == '{' || *p == '[') - (*p == '}' || *p == ']');
		p++;
	} while (depth);
	return p;
}

/* Walks members or elements: *at is behind the bracket first, then where this left it.
 *
 * Returns false at the end. @name is for objects; NULL for arrays. */
static bool next(const char **at, const char *end, struct part *name, struct part *value)
{
	const char *p = skip_blanks(*at, end);

	if (*p == ',')
		p = skip_blanks(p + 1, end);
	if (*p == '}' || *p == ']')
		return false;
	if (name) {
		name->at = p;
		p = skip_string(p);
		name->len = (size_t)(p - name->at);
		p = skip_blanks(p, end) + 1; /* the colon */
		p = skip_blanks(p, end);
	}
	value->at = p;
	p = skip_value(p, end);
	value->len = (size_t)(p - value->at);
	*at = p;
	return true;
}

/* Strings without their escapes; what has no decoded form is compared as it is written. */
static bool same_string(struct part a, struct part b)
{
	const struct lade_want want = { LADE_TEXT, false };
	struct lade_json_error error;
	struct lade_datum x, y;
	char *room = malloc(a.len + b.len);
	bool same = a.len == b.len && memcmp(a.at, b.at, a.len) == 0;

	if (!same && room &&
	    lade_json_convert(a.at, (struct lade_json_span){ 0, (uint32_t)a.len }, want, room,
			      a.len, &x, &error) == 0 &&
	    lade_json_convert(b.at, (struct lade_json_span){ 0, (uint32_t)b.len }, want,
			      room + a.len, b.len, &y, &error) == 0)
		same = x.len == y.len && memcmp(x.text, y.text, x.len) == 0;
	free(room);
	return same;
}

static bool is_number(struct part p)
{
	return *p.at == '-' || (*p.at >= '0' && *p.at <= '9');
}

/* 1, 1.0 and 1e0 are the same; digits beyond a double's are compared as they are written. */
static bool same_number(struct part a, struct part b)
{
	char x[40], y[40];

	if (a.len == b.len && memcmp(a.at, b.at, a.len) == 0)
		return true;
	if (a.len > 16 || b.len > 24)
		return false;
	snprintf(x, sizeof(x), "%.*s", (int)a.len, a.at);
	snprintf(y, sizeof(y), "%.*s", (int)b.len, b.at);
	return strtod(x, NULL) == strtod(y, NULL);
}

static void tell(struct diff *d, const struct part *expected, const struct part *found)
{
	if (d->n++ < TOLD_MAX)
		d->fn(d->arg, d->path, expected ? expected->at : NULL,
		      expected ? expected->len : 0, found ? found->at : NULL,
		      found ? found->len : 0);
}

/* Adds a step to the path.  Returns what it was as long as before. */
static size_t enter(struct diff *d, const struct part *name, size_t i)
{
	size_t before = d->path_len, room = sizeof(d->path) - before;
	bool plain = name && name->len > 2;
	int n;

	for (size_t k = 1; plain && k + 1 < name->len; k++)
		plain = (name->at[k] >= 'a' && name->at[k] <= 'z') || name->at[k] == '_' ||
			(name->at[k] >= 'A' && name->at[k] <= 'Z') ||
			(name->at[k] >= '0' && name->at[k] <= '9');
	if (!name)
		n = snprintf(d->path + before, room, "[%zu]", i);
	else if (plain)
		n = snprintf(d->path + before, room, ".%.*s", (int)name->len - 2, name->at + 1);
	else
		n = snprintf(d->path + before, room, ".%.*s", (int)name->len, name->at);
	d->path_len += (size_t)n < room ? (size_t)n : room - 1;
	return before;
}

static void leave(struct diff *d, size_t before)
{
	d->path_len = before;
	d->path[before] = 0;
}

static void compare(struct diff *d, struct part expected, struct part found);

static bool find(struct part object, struct part name, struct part *ret)
{
	const char *at = object.at + 1, *end = object.at + object.len;
	struct part n;

	while (next(&at, end, &n, ret))
		if (same_string(n, name))
			return true;
	return false;
}

static void compare_objects(struct diff *d, struct part expected, struct part found)
{
	const char *at = expected.at + 1, *end = expected.at + expected.len;
	struct part name, value, other;

	while (next(&at, end, &name, &value)) {
		size_t before = enter(d, &name, 0);

		if (find(found, name, &other))
			compare(d, value, other);
		else
			tell(d, &value, NULL);
		leave(d, before);
	}
	at = found.at + 1;
	end = found.at + found.len;
	while (next(&at, end, &name, &value)) {
		if (!find(expected, name, &other)) {
			size_t before = enter(d, &name, 0);

			tell(d, NULL, &value);
			leave(d, before);
		}
	}
}

static void compare_arrays(struct diff *d, struct part expected, struct part found)
{
	const char *at = expected.at + 1, *end = expected.at + expected.len;
	const char *other_at = found.at + 1, *other_end = found.at + found.len;
	struct part value, other;

	for (size_t i = 0;; i++) {
		bool is = next(&at, end, NULL, &value);
		bool is_other = next(&other_at, other_end, NULL, &other);
		size_t before;

		if (!is && !is_other)
			return;
		before = enter(d, NULL, i);
		if (is && is_other)
			compare(d, value, other);
		else
			tell(d, is ? &value : NULL, is_other ? &other : NULL);
		leave(d, before);
	}
}

static void compare(struct diff *d, struct part expected, struct part found)
{
	if (*expected.at == '{' && *found.at == '{')
		compare_objects(d, expected, found);
	else if (*expected.at == '[' && *found.at == '[')
		compare_arrays(d, expected, found);
	else if (*expected.at == '"' && *found.at == '"' ? !same_string(expected, found)
		 : is_number(expected) && is_number(found)
			 ? !same_number(expected, found)
			 : expected.len != found.len ||
				   memcmp(expected.at, found.at, found.len) != 0)
		tell(d, &expected, &found);
}

static struct part whole(const char *text, size_t len)
{
	const char *at = skip_blanks(text, text + len);

	return (struct part){ at, (size_t)(skip_value(at, text + len) - at) };
}

int lade_json_diff(const char *expected, size_t expected_len, const char *found, size_t found_len,
		   lade_json_differs *fn, void *arg)
{
	struct diff d = { .fn = fn, .arg = arg };

	compare(&d, whole(expected, expected_len), whole(found, found_len));
	return d.n;
}
