/* SPDX-License-Identifier: MIT */
/* path_test.c - what is a path, what is none, and that each finds its own value. */

#include <lade/json.h>

#include <errno.h>

#include "base/alloc.h"
#include "tap.h"

static struct lade_json_error error;

static int add(struct lade_json_paths *paths, const char *path)
{
	unsigned slot = 0;
	int rc = lade_json_paths_add(paths, path, strlen(path), &slot, &error);

	return rc < 0 ? rc : (int)slot;
}

static int alone(const char *path)
{
	struct lade_json_paths *paths = lade_json_paths_new();
	int rc = add(paths, path);

	lade_json_paths_free(paths);
	return rc;
}

/* The value of one path in a document, as text. */
static const char *found(const char *doc, const char *path)
{
	static char text[512];
	struct lade_json_paths *paths = lade_json_paths_new();
	struct lade_json_span span = { 0 };
	struct lade_json_reader *reader;

	CHECK_EQ(lade_json_reader_new(&reader), 0);
	CHECK_EQ(add(paths, path), 0);
	if (lade_json_read(reader, paths, doc, strlen(doc), LADE_JSON_ANY_ROOT, &span, &error) < 0)
		snprintf(text, sizeof(text), "error: %s", error.reason);
	else
		snprintf(text, sizeof(text), "%.*s", (int)span.len, doc + span.at);
	lade_json_reader_free(reader);
	lade_json_paths_free(paths);
	return text;
}

static void a_path_names_members_items_and_odd_names(void)
{
	CHECK_STR(found("{\"a\":{\"b\":5}}", ".a.b"), "5");
	CHECK_STR(found("{\"a\":[1,[2,3]]}", ".a[1][0]"), "2");
	CHECK_STR(found("{\"odd name\":true}", ".\"odd name\""), "true");
	CHECK_STR(found("{\"a\\\"b\":\"x\"}", ".\"a\\\"b\""), "\"x\"");
	CHECK_STR(found("{\"\":7}", ".\"\""), "7");
	CHECK_STR(found("{\"a-b_$1\":7}", ".a-b_$1"), "7");
	CHECK_STR(found("{\"gr\xc3\xb6\xc3\x9f""e\":7}", ".gr\xc3\xb6\xc3\x9f""e"), "7");
	CHECK_STR(found("[4,5]", ".[1]"), "5");
	CHECK_STR(found(" {\"a\": 1} ", "."), "{\"a\": 1}");
	CHECK_STR(found("3", "."), "3");
}

static void a_name_is_found_however_the_document_escapes_it(void)
{
	CHECK_STR(found("{\"\\u0061b\":1}", ".ab"), "1");
	CHECK_STR(found("{\"\\ud83d\\ude00\":1}", ".\xf0\x9f\x98\x80"), "1");
	CHECK_STR(found("{\"a/b\":1}", ".\"a\\/b\""), "1");
	CHECK_STR(found("{\"\\ud83d\":1,\"a\":2}", ".a"), "2");
}

static void a_value_that_is_not_there_has_an_empty_span(void)
{
	CHECK_STR(found("{\"a\":{\"b\":5}}", ".a.c"), "");
	CHECK_STR(found("{\"a\":5}", ".a.b"), "");
	CHECK_STR(found("{\"a\":5}", ".a[0]"), "");
	CHECK_STR(found("{\"a\":[]}", ".a[0]"), "");
	CHECK_STR(found("{\"0\":5}", ".[0]"), "");
	CHECK_STR(found("{\"A\":5,\"ab\":6,\"aa\":7}", ".a"), "");
	CHECK_STR(found("{}", ".a"), "");
}

static void of_members_with_one_name_the_first_counts(void)
{
	CHECK_STR(found("{\"a\":1,\"a\":2}", ".a"), "1");
	CHECK_STR(found("{\"a\":{\"b\":1},\"a\":{\"b\":2}}", ".a.b"), "1");
	CHECK_STR(found("{\"a\":{\"b\":1},\"a\":{\"c\":2}}", ".a.c"), "");
	CHECK_STR(found("{\"\\u0061\":1,\"a\":2}", ".a"), "1");
}

static void what_is_no_path_is_refused_with_its_place(void)
{
	static const struct {
		const char *path;
		size_t at;
		const char *reason;
	} bad[] = {
		{ "", 0, "begins with a dot" },
		{ "a", 0, "begins with a dot" },
		{ "[0]", 0, "begins with a dot" },
		{ "..", 1, "expected a name" },
		{ ".a.", 3, "expected a name" },
		{ ".a..b", 3, "expected a name" },
		{ ".a b", 2, "expected a dot" },
		{ ".a[", 3, "expected an index" },
		{ ".a[-1]", 3, "expected an index" },
		{ ".a[1", 4, "expected an index" },
		{ ".a[x]", 3, "expected an index" },
		{ ".a[01]", 3, "leading zero" },
		{ ".a[1000001]", 3, "higher than" },
		{ ".a[99999999999999999999]", 3, "higher than" },
		{ ".\"a", 1, "not closed" },
		{ ".\"a\\", 1, "not closed" },
		{ ".\"a\\x\"", 3, "no escape" },
		{ ".\"\\ud800\"", 2, "surrogate" },
		{ ".\"\\u0000\"", 2, "\\u0000" },
		{ ".\"a\nb\"", 3, "control" },
		{ ".a\xff", 2, "UTF-8" },
		{ ".\"\xff\"", 2, "UTF-8" },
		{ ".a'); drop table t; --", 2, "expected a dot" },
		{ ".a*", 2, "expected a dot" },
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		CHECK_EQ(alone(bad[i].path), -EINVAL);
		CHECK_EQ(error.at, bad[i].at);
		if (!strstr(error.reason, bad[i].reason))
			CHECK_STR(error.reason, bad[i].reason);
	}
}

static void a_path_with_a_nul_is_refused(void)
{
	struct lade_json_paths *paths = lade_json_paths_new();
	unsigned slot;

	CHECK_EQ(lade_json_paths_add(paths, ".a\0b", 4, &slot, &error), -EINVAL);
	CHECK_EQ(lade_json_paths_add(paths, ".\"a\0b\"", 6, &slot, &error), -EINVAL);
	lade_json_paths_free(paths);
}

static void the_limits_of_a_path_hold(void)
{
	char text[4096] = ".";

	memset(text + 1, 'a', LADE_JSON_NAME_MAX);
	CHECK_EQ(alone(text), 0);
	memset(text + 1, 'a', LADE_JSON_NAME_MAX + 1);
	CHECK_EQ(alone(text), -EINVAL);
	text[0] = '\0';
	for (int i = 0; i < LADE_JSON_STEPS_MAX; i++)
		strcat(text, ".a");
	CHECK_EQ(alone(text), 0);
	strcat(text, ".a");
	CHECK_EQ(alone(text), -E2BIG);
	CHECK(strstr(error.reason, "32 steps"));
}

static void the_number_of_paths_is_limited(void)
{
	struct lade_json_paths *paths = lade_json_paths_new();
	char name[32];
	int rc = 0;

	for (int i = 0; i < LADE_JSON_PATHS_MAX; i++) {
		snprintf(name, sizeof(name), ".name%d", i);
		rc = add(paths, name);
		if (rc != i)
			break;
	}
	CHECK_EQ(rc, LADE_JSON_PATHS_MAX - 1);
	CHECK_EQ(add(paths, ".name17"), 17);
	CHECK_EQ(add(paths, ".onemore"), -E2BIG);
	CHECK_EQ(lade_json_paths_count(paths), LADE_JSON_PATHS_MAX);
	lade_json_paths_free(paths);
}

static void a_path_that_is_added_twice_keeps_its_slot(void)
{
	struct lade_json_paths *paths = lade_json_paths_new();

	CHECK_EQ(add(paths, ".a.b"), 0);
	CHECK_EQ(add(paths, ".a"), 1);
	CHECK_EQ(add(paths, ".\"a\".\"\\u0062\""), 0);
	CHECK_EQ(add(paths, ".c[2]"), 2);
	CHECK_EQ(add(paths, ".c[2]"), 2);
	CHECK_EQ(lade_json_paths_count(paths), 3);
	lade_json_paths_free(paths);
}

static void a_hundred_paths_each_find_their_own_value(void)
{
	struct lade_json_paths *paths = lade_json_paths_new();
	struct lade_json_span spans[100];
	struct lade_json_reader *reader;
	char doc[4096] = "{", name[32], want[32];
	int bad = 0;

	CHECK_EQ(lade_json_reader_new(&reader), 0);
	for (int i = 0; i < 100; i++) {
		snprintf(name, sizeof(name), ".column_%d", i);
		CHECK_EQ(add(paths, name), i);
		snprintf(name, sizeof(name), "%s\"column_%d\":%d", i ? "," : "", 99 - i, 99 - i);
		strcat(doc, name);
	}
	strcat(doc, "}");
	CHECK_EQ(lade_json_read(reader, paths, doc, strlen(doc), 0, spans, &error), 0);
	for (int i = 0; i < 100; i++) {
		snprintf(want, sizeof(want), "%d", i);
		bad += spans[i].len != strlen(want) ||
		       memcmp(doc + spans[i].at, want, spans[i].len) != 0;
	}
	CHECK_EQ(bad, 0);
	lade_json_reader_free(reader);
	lade_json_paths_free(paths);
}

/* Makes a set of paths; with memory that fails, whatever there is stays whole. */
static int scenario(void)
{
	struct lade_json_paths *paths = lade_json_paths_new();
	char name[16];
	int rc = paths ? 0 : -ENOMEM;

	for (int i = 0; rc >= 0 && i < 20; i++) {
		snprintf(name, sizeof(name), ".n%d.x[3]", i);
		rc = add(paths, name);
	}
	if (paths)
		rc = rc < 0 ? add(paths, ".again") < 0 ? -EIO : rc : 0;
	lade_json_paths_free(paths);
	return rc;
}

static void memory_that_is_out_is_reported_and_leaves_the_set_usable(void)
{
	long n = 1;

	for (;; n++) {
		int rc;

		lade_alloc_fail_at(n);
		rc = scenario();
		if (lade_alloc_fail_at(0) > 0)
			break;
		CHECK_EQ(rc, -ENOMEM);
	}
	CHECK(n > 50);
}

int main(void)
{
	TAP(a_path_names_members_items_and_odd_names);
	TAP(a_name_is_found_however_the_document_escapes_it);
	TAP(a_value_that_is_not_there_has_an_empty_span);
	TAP(of_members_with_one_name_the_first_counts);
	TAP(what_is_no_path_is_refused_with_its_place);
	TAP(a_path_with_a_nul_is_refused);
	TAP(the_limits_of_a_path_hold);
	TAP(the_number_of_paths_is_limited);
	TAP(a_path_that_is_added_twice_keeps_its_slot);
	TAP(a_hundred_paths_each_find_their_own_value);
	TAP(memory_that_is_out_is_reported_and_leaves_the_set_usable);
	return tap_done();
}
