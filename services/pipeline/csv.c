/* SPDX-License-Identifier: MIT */
/* csv.c - fields of a record, and the record as an object.
 *
 * DESIGN
 * A field is given as it is written, with a note whether quotes are doubled in it: only such a one
 * is copied before it becomes a JSON string. Names are made JSON once, with the header. */

#include "services/pipeline/csv.h"

#include "services/pipeline/config.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct field {
	const char *text;	/* between its quotes, if it has some */
	size_t len;
	bool quoted;
	bool doubled;		/* "" in it is one " */
};

struct cursor {
	const char *at, *end, *begin;
	char delimiter;
	bool over;		/* the last field was given */
};

__attribute__((format(printf, 3, 4))) static int refuse(struct lade_json_error *error, size_t at,
							 const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(error->reason, sizeof(error->reason), format, args);
	va_end(args);
	error->at = at;
	return -EBADMSG;
}

bool lade_pipe_csv_quotes(char delimiter, bool within, const char *text, size_t len)
{
	const char *at = text, *end = text + len;

	while (at < end && (at = memchr(at, '"', (size_t)(end - at)))) {
		if (within && at + 1 < end && at[1] == '"')
			at++; /* two are one in the field */
		else if (within || at == text || at[-1] == delimiter)
			within = !within;
		at++;
	}
	return within;
}

static int quoted_field(struct cursor *c, struct field *ret, struct lade_json_error *error)
{
	const char *begin = ++c->at, *quote;

	*ret = (struct field){ .text = begin, .quoted = true };
	for (;; c->at = quote + 2) {
		quote = memchr(c->at, '"', (size_t)(c->end - c->at));
		if (!quote)
			return refuse(error, (size_t)(begin - c->begin),
				      "a quote begins a field and none ends it");
		if (quote + 1 == c->end || quote[1] != '"')
			break;
		ret->doubled = true;
	}
	ret->len = (size_t)(quote - begin);
	c->at = quote + 1;
	if (c->at < c->end && *c->at != c->delimiter)
		return refuse(error, (size_t)(c->at - c->begin),
			      "text follows the quote that ends a field");
	return 0;
}

/* The next field; there is one, since !c->over. */
static int next_field(struct cursor *c, struct field *ret, struct lade_json_error *error)
{
	const char *end;
	int rc = 0;

	if (c->at < c->end && *c->at == '"') {
		rc = quoted_field(c, ret, error);
	} else {
		end = memchr(c->at, c->delimiter, (size_t)(c->end - c->at));
		end = end ? end : c->end;
		*ret = (struct field){ .text = c->at, .len = (size_t)(end - c->at) };
		c->at = end;
		if (memchr(ret->text, '"', ret->len))
			rc = refuse(error, (size_t)(ret->text - c->begin),
				    "a quote stands in a field that does not begin with one");
	}
	c->over = c->at == c->end;
	c->at += !c->over;
	return rc;
}

static struct cursor cursor_of(char delimiter, const char *record, size_t len)
{
	return (struct cursor){ record, record + len, record, delimiter, false };
}

/* A field as a JSON string. */
static void put_field(struct lade_json_out *out, const struct field *f)
{
	char *copy = f->doubled ? malloc(f->len) : NULL;
	size_t len = 0;

	if (!f->doubled) {
		lade_json_out_string(out, f->text, f->len);
		return;
	}
	if (!copy) {
		out->status = -ENOMEM;
		return;
	}
	for (size_t i = 0; i < f->len; i++) {
		copy[len++] = f->text[i];
		i += f->text[i] == '"';
	}
	lade_json_out_string(out, copy, len);
	free(copy);
}

/* The name of a field as it stands in an object: "name": */
static int make_name(const struct field *f, char **ret, struct lade_json_error *error, size_t at)
{
	struct lade_json_out out;
	int rc;

	if (f->len == 0)
		return refuse(error, at, "the header has a field without a name");
	lade_json_out_init(&out, (size_t)1 << 20);
	put_field(&out, f);
	lade_json_out_raw(&out, ":", 2);
	rc = out.status;
	*ret = rc == 0 ? strdup(out.data) : NULL;
	lade_json_out_done(&out);
	if (rc == -EILSEQ)
		return refuse(error, at, "a name in the header is not UTF-8");
	return *ret ? 0 : -ENOMEM;
}

static int add_name(struct lade_pipe_csv *csv, const struct field *f, struct lade_json_error *error,
		    size_t at)
{
	char **names = csv->names;
	int rc;

	if (csv->n == LADE_CSV_FIELDS_MAX)
		return refuse(error, at, "the header has more than %d fields", LADE_CSV_FIELDS_MAX);
	if ((csv->n & (csv->n - 1)) == 0) {
		names = realloc(names, (csv->n ? csv->n * 2 : 1) * sizeof(*names));
		if (!names)
			return -ENOMEM;
		csv->names = names;
	}
	rc = make_name(f, &names[csv->n], error, at);
	if (rc < 0)
		return rc;
	csv->n++;
	for (uint32_t i = 0; i + 1 < csv->n; i++)
		if (strcmp(names[i], names[csv->n - 1]) == 0)
			return refuse(error, at, "the header has two fields of the name %.*s",
				      (int)strlen(names[i]) - 1, names[i]);
	return 0;
}

static struct lade_pipe_csv *csv_new(char delimiter)
{
	struct lade_pipe_csv *csv = calloc(1, sizeof(*csv));

	if (csv)
		csv->delimiter = delimiter;
	return csv;
}

static int finish(int rc, struct lade_pipe_csv *csv, struct lade_pipe_csv **ret)
{
	if (rc < 0)
		lade_pipe_csv_free(csv);
	else
		*ret = csv;
	return rc;
}

int lade_pipe_csv_new(char delimiter, const char *header, size_t len, struct lade_pipe_csv **ret,
		      struct lade_json_error *ret_error)
{
	struct lade_pipe_csv *csv = csv_new(delimiter);
	struct cursor c;
	struct field f;
	int rc = csv ? 0 : -ENOMEM;

	/* Some programs begin a file with a byte order mark: it is no part of a name. */
	if (len >= 3 && memcmp(header, "\xef\xbb\xbf", 3) == 0) {
		header += 3;
		len -= 3;
	}
	for (c = cursor_of(delimiter, header, len); rc == 0 && !c.over;) {
		size_t at = (size_t)(c.at - header);

		rc = next_field(&c, &f, ret_error);
		if (rc == 0)
			rc = add_name(csv, &f, ret_error, at);
	}
	return finish(rc, csv, ret);
}

int lade_pipe_csv_names(char delimiter, const struct lade_pipe_map *names,
			struct lade_pipe_csv **ret, struct lade_json_error *ret_error)
{
	struct lade_pipe_csv *csv = csv_new(delimiter);
	int rc = csv ? 0 : -ENOMEM;

	for (int i = 0; rc == 0 && i < names->n; i++) {
		const char *text = names->at[i].text;
		const struct field f = { .text = text, .len = strlen(text) };

		rc = add_name(csv, &f, ret_error, (size_t)i);
	}
	return finish(rc, csv, ret);
}

struct lade_pipe_csv *lade_pipe_csv_free(struct lade_pipe_csv *csv)
{
	if (csv) {
		for (uint32_t i = 0; i < csv->n; i++)
			free(csv->names[i]);
		free(csv->names);
		free(csv);
	}
	return NULL;
}

int lade_pipe_csv_write(const struct lade_pipe_csv *csv, const char *record, size_t len,
			struct lade_json_out *out, struct lade_json_error *ret_error)
{
	struct cursor c = cursor_of(csv->delimiter, record, len);
	struct field f;
	uint32_t i;
	int rc = 0;

	for (i = 0; rc == 0 && !c.over; i++) {
		size_t at = (size_t)(c.at - record);

		rc = next_field(&c, &f, ret_error);
		if (rc < 0 || i >= csv->n)
			continue;
		lade_json_out_raw(out, i ? "," : "{", 1);
		lade_json_out_raw(out, csv->names[i], strlen(csv->names[i]));
		if (f.len || f.quoted)
			put_field(out, &f);
		else
			lade_json_out_raw(out, "null", 4);
		if (out->status == -EILSEQ)
			rc = refuse(ret_error, at, "a field is not UTF-8");
	}
	if (rc == 0 && i != csv->n)
		rc = refuse(ret_error, 0, "%u fields, where the header has %u", i, csv->n);
	lade_json_out_raw(out, "}", 1);
	return rc < 0 ? rc : out->status;
}
