/* SPDX-License-Identifier: MIT */
/* ref_test.c - typed names of a message's values. */

#include "services/pipeline/ref.h"

#include <errno.h>

#include "tap.h"

static struct lade_json_paths *paths;
static struct lade_json_error error;
static struct lade_pipe_ref ref;

static int parse(const char *text)
{
	return lade_pipe_ref_parse(text, strlen(text), paths, &ref, &error);
}

static void a_path_without_a_type_is_text(void)
{
	CHECK_EQ(parse(".origin"), 0);
	CHECK_EQ(ref.kind, LADE_REF_PATH);
	CHECK_EQ(ref.want.type, LADE_TEXT);
	CHECK(!ref.want.nullable);
	CHECK_EQ(ref.name_len, 7);
}

static void a_type_and_a_question_mark_stand_before_the_path(void)
{
	CHECK_EQ(parse("integer? .a.b[0]"), 0);
	CHECK_EQ(ref.want.type, LADE_INTEGER);
	CHECK(ref.want.nullable);
	CHECK_EQ(parse("  json   .\"odd name\"  "), 0);
	CHECK_EQ(ref.want.type, LADE_JSON);
	CHECK_EQ(ref.name_len, 11);
	CHECK_EQ(parse("double.a"), 0);
	CHECK_EQ(ref.want.type, LADE_DOUBLE);
}

static void the_same_path_with_two_types_is_looked_for_once(void)
{
	unsigned slot;

	CHECK_EQ(parse("text .same"), 0);
	slot = ref.slot;
	CHECK_EQ(parse("integer .same"), 0);
	CHECK_EQ(ref.slot, slot);
}

static void what_is_known_about_a_message_has_its_names(void)
{
	static const char *const names[] = { "@key",   "integer @offset",
					     "@line",  "timestamp @timestamp",
					     "@topic", "@partition" };

	for (size_t i = 0; i < 6; i++) {
		CHECK_EQ(parse(names[i]), 0);
		CHECK_EQ(ref.kind, LADE_REF_KEY + i);
	}
	CHECK_EQ(parse("@header.trace-id"), 0);
	CHECK_EQ(ref.kind, LADE_REF_HEADER);
	CHECK_EQ(ref.name_len, 8);
	CHECK(memcmp(ref.name, "trace-id", 8) == 0);
}

static void what_is_no_reference_is_refused_with_its_place(void)
{
	static const struct {
		const char *text;
		size_t at;
		const char *reason;
	} bad[] = {
		{ "", 0, "expected a path" },
		{ "   ", 3, "expected a path" },
		{ "origin", 0, "expected a path" },
		{ "integer", 0, "expected a path" },
		{ "integer origin", 8, "begins with a dot" },
		{ "number .a", 0, "expected a type" },
		{ "Integer .a", 0, "expected a type" },
		{ "integer! .a", 0, "expected a type" },
		{ "text .a.", 8, "expected a name" },
		{ "text .a b", 7, "expected a dot" },
		{ "@", 0, "expected @key" },
		{ "@keys", 0, "expected @key" },
		{ "text @header", 5, "expected @key" },
		{ "@header.", 8, "header's name" },
		{ "@header.a\tb", 9, "visible ASCII" },
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		error.reason[0] = '\0';
		CHECK_EQ(parse(bad[i].text), -EINVAL);
		CHECK_EQ(error.at, bad[i].at);
		if (!strstr(error.reason, bad[i].reason))
			CHECK_STR(error.reason, bad[i].reason);
	}
}

int main(void)
{
	paths = lade_json_paths_new();
	TAP(a_path_without_a_type_is_text);
	TAP(a_type_and_a_question_mark_stand_before_the_path);
	TAP(the_same_path_with_two_types_is_looked_for_once);
	TAP(what_is_known_about_a_message_has_its_names);
	TAP(what_is_no_reference_is_refused_with_its_place);
	lade_json_paths_free(paths);
	return tap_done();
}
