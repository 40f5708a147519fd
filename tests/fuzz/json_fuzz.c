/* SPDX-License-Identifier: MIT */
/* json_fuzz.c - documents of any bytes, with simdjson's own parser as the judge.
 *
 * What simdjson's DOM takes, lade takes.  What lade takes and the DOM does not may only be a
 * number beyond its range, half of a surrogate pair, or deep nesting.  Every value that was
 * found is a document of its own, converts or says why, and a document with new values is
 * one. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <lade/json.h>

#include "fuzz/json_judge.h"

#define PATHS (sizeof(names) / sizeof(*names))
#define TARGETS (sizeof(targets) / sizeof(*targets))

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const names[] = {
	".", ".a", ".a.b", ".a[0]", ".a[1].b", ".b", ".\"odd name\"", ".c.d.e", ".new", ".c",
};
static const char *const targets[] = { ".a.b", ".new.x", ".c" };

static struct lade_json_paths *paths;
static struct lade_json_overlay *overlay;
static struct lade_json_reader *reader, *other;
static struct lade_json_error error;
static unsigned outermost[TARGETS];
static int n_outermost;

static void expect(bool ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "fuzz: %s\n", what);
	abort();
}

static void set_up(void)
{
	unsigned slot;

	paths = lade_json_paths_new();
	overlay = lade_json_overlay_new();
	expect(paths && overlay && lade_json_reader_new(&reader) == 0 &&
	       lade_json_reader_new(&other) == 0, "memory");
	for (size_t i = 0; i < PATHS; i++)
		expect(lade_json_paths_add(paths, names[i], strlen(names[i]), &slot, &error) == 0,
		       names[i]);
	for (size_t i = 0; i < TARGETS; i++)
		expect(lade_json_overlay_add(overlay, targets[i], strlen(targets[i]), &slot,
					     &error) == 0, targets[i]);
	n_outermost = lade_json_overlay_outermost(overlay, paths, outermost, &error);
	expect(n_outermost == 3 && lade_json_paths_count(paths) <= PATHS, "the outermost members");
}

static bool is_document(const char *doc, size_t len)
{
	return lade_json_read(other, NULL, doc, len, LADE_JSON_ANY_ROOT, NULL, &error) == 0;
}

static void check_written(const struct lade_datum *datum)
{
	struct lade_json_out out;

	lade_json_out_init(&out, 1 << 24);
	lade_json_out_datum(&out, datum);
	expect(out.status == 0, "a converted value cannot be written");
	expect(is_document(out.data, out.len), "a written value is no document");
	lade_json_out_done(&out);
}

/* A value is a document by itself, and converts to every type or says why not. */
static void check_value(const char *doc, struct lade_json_span span)
{
	char *room = malloc(span.len);

	expect(is_document(doc + span.at, span.len), "a value is no document");
	for (int type = LADE_ABSENT; type <= LADE_JSON; type += type == LADE_ABSENT ? 2 : 1) {
		struct lade_want want = { (enum lade_datum_type)type, span.at & 1 };
		struct lade_datum datum;
		int rc;

		error.reason[0] = '\0';
		rc = lade_json_convert(doc, span, want, room, span.len, &datum, &error);
		expect(rc == 0 || (rc == -EBADMSG && error.reason[0]),
		       "a conversion without verdict");
		if (rc == 0)
			check_written(&datum);
	}
	free(room);
}

/* What is only added to is the same without being read again. */
static void check_append(const char *doc, size_t size, const struct lade_json_span *spans,
			 const struct lade_datum *values, const struct lade_json_out *written)
{
	struct lade_json_out out;

	for (int i = 0; i < n_outermost; i++)
		if (spans[outermost[i]].len)
			return;
	lade_json_out_init(&out, 1 << 24);
	expect(lade_json_overlay_append(overlay, reader, doc, size, values, &out, &error) == 0 &&
	       out.len == written->len && memcmp(out.data, written->data, out.len) == 0,
	       "what is added is not the same");
	lade_json_out_done(&out);
}

/* With new values a document is still one, or there is a reason. */
static void check_overlay(const char *doc, size_t size, const struct lade_json_span *found)
{
	struct lade_datum values[TARGETS] = { lade_datum_integer(-7),
					      lade_datum_text("\"\\\n", 3) };
	struct lade_json_span spans[PATHS];
	struct lade_json_out out;
	int rc;

	if (size & 1)
		values[2] = lade_datum_json("[ ]", 3);
	lade_json_out_init(&out, 1 << 24);
	rc = lade_json_overlay_write(overlay, reader, doc, size, values, &out, &error);
	expect(rc == 0 || (rc == -EBADMSG && out.len == 0), "an overlay without verdict");
	if (rc == 0) {
		check_append(doc, size, found, values, &out);
		expect(lade_json_read(reader, paths, out.data, out.len, 0, spans, &error) == 0,
		       "a document with new values is none");
		expect(spans[2].len == 2 && memcmp(out.data + spans[2].at, "-7", 2) == 0,
		       "a value that was set is not there");
	}
	lade_json_out_done(&out);
}

/* What a reader remembers of earlier documents changes nothing. */
static void check_fresh(const char *doc, size_t size, const struct lade_json_span *spans)
{
	struct lade_json_span again[PATHS];
	struct lade_json_reader *fresh;

	expect(lade_json_reader_new(&fresh) == 0 &&
	       lade_json_read(fresh, paths, doc, size, LADE_JSON_ANY_ROOT, again, &error) == 0 &&
	       memcmp(again, spans, sizeof(again)) == 0, "a fresh reader sees something else");
	lade_json_reader_free(fresh);
}

static void check_document(const char *doc, size_t size)
{
	struct lade_json_span spans[PATHS];
	struct lade_json_member member;
	uint32_t cursor = 0;
	const char *why;
	int rc, judged;

	error.reason[0] = '\0';
	rc = lade_json_read(reader, paths, doc, size, LADE_JSON_ANY_ROOT, spans, &error);
	judged = json_judge(doc, size, &why);
	expect(rc == 0 || (error.reason[0] && error.at <= size), "an error without its place");
	if (judged == JSON_VALID && rc < 0)
		expect(strstr(error.reason, "deeper") != NULL, error.reason);
	if (rc < 0)
		return;
	expect(judged != JSON_INVALID, why);
	check_fresh(doc, size, spans);
	while (lade_json_member_next(reader, &cursor, &member))
		expect(member.value.len && member.value.at + member.value.len < size, "a member");
	for (size_t i = 0; i < PATHS; i++)
		if (spans[i].len)
			check_value(doc, spans[i]);
	check_overlay(doc, size, spans);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *doc = malloc(size ? size : 1); /* exact, so that ASan sees its end */

	if (!paths)
		set_up();
	memcpy(doc, data, size);
	check_document(doc, size);
	free(doc);
	return 0;
}
