/* SPDX-License-Identifier: MIT */
/* reader_test.c - what is a document, what is none, and where it says the fault is. */

#include <lade/json.h>

#include <errno.h>
#include <sys/mman.h>

#include "base/alloc.h"
#include "tap.h"

static struct lade_json_reader *reader;
static struct lade_json_error error;
static const char sample[] =
	"{\"a\":[1,-2.5e3,\"\\u00e9\\n\"],\"\xc3\xa9\":{\"t\":true,\"n\":null}}";

static int read_any(const char *doc, size_t len)
{
	return lade_json_read(reader, NULL, doc, len, LADE_JSON_ANY_ROOT, NULL, &error);
}

static void valid_documents_of_every_kind_are_read(void)
{
	static const char *const good[] = {
		"{}", "[]", "0", "-0", "-0.0e-0", "1E+2", "\"\"", "null", "true", "false",
		" \t\r\n{ \"a\" : [ 1 , 2 ] } \t\r\n", "[[[[]]]]", "[{},{}]",
		"\"\\u0000\\ud800\"", "\"\x7f\xc2\x80\xf4\x8f\xbf\xbf\"", "\"\\\\\\\"\"",
		"123456789012345678901234567890123456789012345678901234567890",
		"18446744073709551615", "9007199254740993", "-9223372036854775809", "1e99999",
		"0.1234567890123456789012345678901234567890", "{\"a\":1,\"a\":2}",
		"{\"\":{\"\":\"\"}}", "[\"]\",\"[\",\"{\",\"}\",\",\",\":\"]",
	};

	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++)
		if (read_any(good[i], strlen(good[i])) != 0)
			CHECK_STR(good[i], error.reason);
}

struct bad {
	const char *doc;	/* no document */
	size_t at;		/* where the fault is */
	const char *reason;	/* a part of what is said */
};

static void check_bad(const struct bad *bad, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		memset(&error, 0, sizeof(error));
		CHECK_EQ(read_any(bad[i].doc, strlen(bad[i].doc)), -EBADMSG);
		if (error.at != bad[i].at || !strstr(error.reason, bad[i].reason)) {
			printf("# %s\n", bad[i].doc);
			CHECK_EQ(error.at, bad[i].at);
			CHECK_STR(error.reason, bad[i].reason);
		}
	}
}

static void a_fault_in_the_structure_is_named_with_its_place(void)
{
	static const struct bad bad[] = {
		{ "", 0, "is empty" },
		{ " \n", 0, "is empty" },
		{ "{", 1, "expected a member's name in quotes, found the end" },
		{ "{\"a\"", 4, "expected a colon, found the end" },
		{ "{\"a\":", 5, "expected a value, found the end" },
		{ "{\"a\":1", 6, "expected a comma or }, found the end" },
		{ "{\"a\":1,", 7, "expected a member's name" },
		{ "{\"a\":1,}", 7, "expected a member's name in quotes, found '}'" },
		{ "{\"a\" 1}", 5, "expected a colon, found '1'" },
		{ "{\"a\":1 \"b\":2}", 7, "expected a comma or }, found '\"'" },
		{ "{a:1}", 1, "expected a member's name in quotes, found 'a'" },
		{ "{'a':1}", 1, "found '''" },
		{ "{1:1}", 1, "expected a member's name in quotes, found '1'" },
		{ "{\"a\":1]", 6, "expected a comma or }, found ']'" },
		{ "[1,]", 3, "expected a value, found ']'" },
		{ "[,1]", 1, "expected a value, found ','" },
		{ "[1 2]", 3, "expected a comma or ], found '2'" },
		{ "[1}", 2, "expected a comma or ], found '}'" },
		{ "[", 1, "expected a value, found the end" },
		{ "]", 0, "expected a value, found ']'" },
		{ "{}{}", 2, "something follows" },
		{ "{} x", 3, "something follows" },
		{ "1 2", 2, "something follows" },
		{ "{}\n{}", 3, "something follows" },
		{ "[1:2]", 2, "expected a comma or ]" },
		{ "\x0c{}", 0, "found byte 0x0c" },
		{ "[1\x0c]", 1, "not a JSON number" },
		{ "[\"a\"\x0c]", 4, "expected a comma or ], found byte 0x0c" },
		{ "[1,\x1a]", 3, "found byte 0x1a" },
		{ "{}\x01", 2, "something follows" },
		{ "/* c */ {}", 0, "expected a value, found '/'" },
	};

	check_bad(bad, sizeof(bad) / sizeof(*bad));
}

static void a_fault_in_a_scalar_is_named_with_its_place(void)
{
	static const struct bad bad[] = {
		{ "[tru]", 1, "did you mean true" },
		{ "[trueish]", 1, "did you mean true" },
		{ "[nul", 1, "did you mean null" },
		{ "[True]", 1, "expected a value, found 'T'" },
		{ "[None]", 1, "found 'N'" },
		{ "[NaN]", 1, "found 'N'" },
		{ "[01]", 1, "not a JSON number" },
		{ "[-]", 1, "not a JSON number" },
		{ "[1.]", 1, "not a JSON number" },
		{ "[.5]", 1, "found '.'" },
		{ "[+1]", 1, "found '+'" },
		{ "[1e]", 1, "not a JSON number" },
		{ "[1e+]", 1, "not a JSON number" },
		{ "[0x10]", 1, "not a JSON number" },
		{ "[1_000]", 1, "not a JSON number" },
		{ "[-Infinity]", 1, "not a JSON number" },
		{ "[1\"a\"]", 1, "not a JSON number" },
		{ "[\"a\"b]", 4, "expected a comma or ]" },
		{ "[\"a\"\"b\"]", 4, "expected a comma or ]" },
		{ "[\"\\x\"]", 2, "a backslash is followed by" },
		{ "[\"a\\u12x4\"]", 3, "a backslash is followed by" },
		{ "{\"\\q\":1}", 2, "a backslash is followed by" },
	};

	check_bad(bad, sizeof(bad) / sizeof(*bad));
}

static void a_fault_in_the_bytes_is_named_with_its_place(void)
{
	static const struct bad bad[] = {
		{ "{\"a\":\"\xff\"}", 6, "byte 0xff is not UTF-8" },
		{ "{\"a\":\"\xc3(\"}", 6, "byte 0xc3 is not UTF-8" },
		{ "{\"\xed\xa0\x80\":1}", 2, "byte 0xed is not UTF-8" },
		{ "{\"a\":\"x\ny\"}", 7, "control character (0x0a)" },
		{ "{\"a\":\"x\ty\"}", 7, "control character (0x09)" },
		{ "{\"a\":\"x}", 5, "has no end" },
		{ "{\"a\":\"x\\\"}", 5, "has no end" },
		{ "\xef\xbb\xbf{}", 0, "byte order mark" },
		{ "\xff\xfe{", 0, "UTF-8" },
	};

	check_bad(bad, sizeof(bad) / sizeof(*bad));
}

static void a_nul_is_refused_wherever_it_stands(void)
{
	CHECK_EQ(read_any("\0\0\0\0\1{}", 7), -EBADMSG);
	CHECK(strstr(error.reason, "schema registry"));
	CHECK_EQ(read_any("{\"a\0\":1}", 8), -EBADMSG);
	CHECK_EQ(error.at, 3);
	CHECK_EQ(read_any("{}\0", 3), -EBADMSG);
	CHECK_EQ(error.at, 2);
	CHECK_EQ(read_any("[1\0]", 4), -EBADMSG);
	CHECK_EQ(read_any("[\0]", 3), -EBADMSG);
	CHECK(strstr(error.reason, "byte 0x00"));
}

static void a_message_is_an_object_unless_told_otherwise(void)
{
	static const char *const others[] = { "[1]", "\"a\"", "1", "true", "null" };
	static const char *const names[] = { "an array", "a string", "a number", "a boolean",
					     "null" };

	for (size_t i = 0; i < 5; i++) {
		CHECK_EQ(lade_json_read(reader, NULL, others[i], strlen(others[i]), 0, NULL,
					&error), -EBADMSG);
		CHECK(strstr(error.reason, names[i]));
		CHECK_EQ(read_any(others[i], strlen(others[i])), 0);
	}
	CHECK_EQ(lade_json_read(reader, NULL, "{}", 2, 0, NULL, &error), 0);
}

static void nesting_ends_at_its_limit(void)
{
	static char doc[2 * LADE_JSON_DEPTH_MAX + 16];

	for (int deep = LADE_JSON_DEPTH_MAX; deep <= LADE_JSON_DEPTH_MAX + 1; deep++) {
		memset(doc, '[', (size_t)deep);
		memset(doc + deep, ']', (size_t)deep);
		CHECK_EQ(read_any(doc, 2 * (size_t)deep),
			 deep > LADE_JSON_DEPTH_MAX ? -EBADMSG : 0);
	}
	CHECK_EQ(error.at, LADE_JSON_DEPTH_MAX);
	CHECK(strstr(error.reason, "deeper than 512"));
}

static void a_million_open_brackets_are_refused_and_not_followed(void)
{
	size_t len = 1 << 20;
	char *doc = malloc(len);

	memset(doc, '[', len);
	CHECK_EQ(read_any(doc, len), -EBADMSG);
	memset(doc, '{', len);
	CHECK_EQ(read_any(doc, len), -EBADMSG);
	free(doc);
}

static void a_long_line_is_read_and_a_longer_one_after_a_short_one(void)
{
	size_t len = 3 << 20;
	char *doc = malloc(len);

	memset(doc, 'x', len);
	memcpy(doc, "{\"a\":\"", 6);
	memcpy(doc + len - 2, "\"}", 2);
	CHECK_EQ(read_any("{}", 2), 0);
	CHECK_EQ(read_any(doc, len), 0);
	CHECK_EQ(read_any("{}", 2), 0);
	doc[len - 2] = 'x';
	CHECK_EQ(read_any(doc, len), -EBADMSG);
	CHECK_EQ(error.at, 5);
	free(doc);
}

/* A page that may be read, and behind it one that may not. */
static char *page_end(void)
{
	char *pages = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CHECK(pages != MAP_FAILED && mprotect(pages + 4096, 4096, PROT_NONE) == 0);
	return pages + 4096;
}

static void no_byte_behind_the_document_is_read(void)
{
	static const struct {
		const char *tail;	/* four bytes at the very end */
		int rc;
	} ends[] = {
		{ "   1", 0 }, { "true", 0 }, { " \"x\"", 0 }, { " [1]", 0 }, { " tru", -EBADMSG },
		{ "\"\\u1", -EBADMSG }, { "[\xf0\x9f\x98", -EBADMSG }, { "{\"ab", -EBADMSG },
		{ "{\"a\"", -EBADMSG }, { "\"a\":", -EBADMSG }, { " 1e-", -EBADMSG },
	};
	struct lade_json_paths *paths = lade_json_paths_new();
	struct lade_json_span span;
	char *end = page_end();
	unsigned slot;
	int bad = 0;

	CHECK_EQ(lade_json_paths_add(paths, ".abcdefgh", 9, &slot, &error), 0);
	for (size_t len = 4; len < 600; len++) {
		memset(end - len, ' ', len);
		for (size_t i = 0; i < sizeof(ends) / sizeof(*ends); i++) {
			memcpy(end - 4, ends[i].tail, 4);
			bad += lade_json_read(reader, paths, end - len, len, LADE_JSON_ANY_ROOT,
					      &span, &error) != ends[i].rc;
		}
	}
	CHECK_EQ(bad, 0);
	lade_json_paths_free(paths);
	munmap(end - 4096, 8192);
}

static void every_beginning_of_a_document_is_refused_and_the_whole_is_read(void)
{
	int good = 0;

	for (size_t len = 0; len < sizeof(sample); len++)
		good += read_any(sample, len) == 0;
	CHECK_EQ(good, 1);
}

static void every_single_changed_byte_leaves_a_verdict_and_no_crash(void)
{
	char text[sizeof(sample)];
	int good = 0;

	for (size_t i = 0; i < sizeof(sample) - 1; i++) {
		for (int byte = 0; byte < 256; byte++) {
			memcpy(text, sample, sizeof(sample));
			text[i] = (char)byte;
			good += read_any(text, sizeof(sample) - 1) == 0;
		}
	}
	CHECK(good > 500);
	CHECK(good < (int)(sizeof(sample) - 1) * 128);
}

static const char *member_names(const char *doc)
{
	static char names[256];
	struct lade_json_member m;
	uint32_t cursor = 0;

	names[0] = '\0';
	while (lade_json_member_next(reader, &cursor, &m)) {
		strncat(names, doc + m.name.at, m.name.len);
		strcat(names, "=");
		strncat(names, doc + m.value.at, m.value.len);
		strcat(names, ";");
	}
	return names;
}

static void the_members_of_the_outermost_object_can_be_walked(void)
{
	static const char doc[] =
		" { \"a\" : {\"x\":[1,{}]} , \"b\\n\":[ ] ,\"c\":1 , \"d\":\"}\" } ";

	CHECK_EQ(read_any(doc, strlen(doc)), 0);
	CHECK_STR(member_names(doc), "a={\"x\":[1,{}]};b\\n=[ ];c=1;d=\"}\";");
	CHECK_EQ(read_any("{}", 2), 0);
	CHECK_STR(member_names("{}"), "");
	CHECK_EQ(read_any("[\"a\"]", 5), 0);
	CHECK_STR(member_names("[\"a\"]"), "");
	CHECK_EQ(read_any("{\"a\":1", 6), -EBADMSG);
	CHECK_STR(member_names("{\"a\":1"), "");
}

static void one_reader_serves_many_sets_of_paths(void)
{
	struct lade_json_paths *small = lade_json_paths_new(), *large = lade_json_paths_new();
	struct lade_json_span spans[40];
	char name[32];
	unsigned slot;

	CHECK_EQ(lade_json_paths_add(small, ".n5", 3, &slot, &error), 0);
	for (int i = 0; i < 40; i++) {
		int len = snprintf(name, sizeof(name), ".n%d", i);

		CHECK_EQ(lade_json_paths_add(large, name, (size_t)len, &slot, &error), 0);
	}
	for (int i = 0; i < 3; i++) {
		CHECK_EQ(lade_json_read(reader, small, "{\"n5\":1}", 8, 0, spans, &error), 0);
		CHECK_EQ(spans[0].len, 1);
		CHECK_EQ(lade_json_read(reader, large, "{\"n5\":1}", 8, 0, spans, &error), 0);
		CHECK_EQ(spans[5].len, 1);
		CHECK_EQ(spans[4].len, 0);
	}
	lade_json_paths_free(small);
	lade_json_paths_free(large);
}

/* Reads @doc and says what stands at the paths, "-" for nothing. */
static const char *found(struct lade_json_paths *paths, const char *doc)
{
	static char text[128];
	struct lade_json_span spans[8];

	text[0] = '\0';
	if (lade_json_read(reader, paths, doc, strlen(doc), 0, spans, &error) < 0)
		return error.reason;
	for (size_t i = 0; i < lade_json_paths_count(paths); i++) {
		if (spans[i].len)
			strncat(text, doc + spans[i].at, spans[i].len);
		else
			strcat(text, "-");
		strcat(text, " ");
	}
	return text;
}

static void members_in_another_order_than_before_are_found_as_well(void)
{
	static const char *const names[] = { ".a", ".ab", ".o.a", ".o.b", ".\"q\\\"q\"",
					     ".\xc3\xa9" };
	struct lade_json_paths *paths = lade_json_paths_new(), *others = lade_json_paths_new();
	unsigned slot;

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		CHECK_EQ(lade_json_paths_add(paths, names[i], strlen(names[i]), &slot, &error), 0);
	CHECK_EQ(lade_json_paths_add(others, ".ab", 3, &slot, &error), 0);
	CHECK_EQ(lade_json_paths_add(others, ".o", 2, &slot, &error), 0);
	for (int i = 0; i < 3; i++) {
		CHECK_STR(found(paths, "{\"a\":1,\"ab\":2,\"o\":{\"a\":3,\"b\":4},\"\xc3\xa9\":6}"),
			  "1 2 3 4 - 6 ");
		CHECK_STR(found(paths, "{\"ab\":2,\"a\":1,\"x\":0,\"o\":{\"b\":4,\"a\":3}}"),
			  "1 2 3 4 - - ");
		CHECK_STR(found(paths, "{\"a\":1,\"a\":9,\"ab\":2,\"ab\":9,\"abc\":9}"),
			  "1 2 - - - - ");
		CHECK_STR(found(paths, "{\"\\u0061\":1,\"\\u0061b\":2,\"q\\\"q\":5,\"\\u00e9\":6}"),
			  "1 2 - - 5 6 ");
		CHECK_STR(found(paths, "{\"o\":[{\"a\":3}],\"a\":{\"o\":1},\"ab\\\"\":1}"),
			  "{\"o\":1} - - - - - ");
		CHECK_STR(found(others, "{\"o\":{\"a\":3},\"ab\":2}"), "2 {\"a\":3} ");
		CHECK_STR(found(others, "{\"ab\":2,\"o\":1}"), "2 1 ");
	}
	/* A guess that is cut off by the end of the document. */
	CHECK_STR(found(paths, "{\"a\":1,\"ab\":2}"), "1 2 - - - - ");
	CHECK(strstr(found(paths, "{\"a\":1,\"ab"), "has no end"));
	CHECK(strstr(found(paths, "{\"a\":1,\"ab\""), "expected a colon"));
	CHECK(strstr(found(paths, "{\"a"), "has no end"));
	lade_json_paths_free(paths);
	lade_json_paths_free(others);
}

static void memory_that_is_out_is_reported(void)
{
	struct lade_json_paths *paths = lade_json_paths_new();
	struct lade_json_reader *fresh = NULL;
	struct lade_json_span span;
	unsigned slot;

	CHECK_EQ(lade_json_paths_add(paths, ".a", 2, &slot, &error), 0);
	lade_alloc_fail_at(1);
	CHECK_EQ(lade_json_reader_new(&fresh), -ENOMEM);
	CHECK_EQ(lade_json_reader_new(&fresh), 0);
	lade_alloc_fail_at(1);
	CHECK_EQ(lade_json_read(fresh, paths, "{}", 2, 0, &span, &error), -ENOMEM);
	CHECK_EQ(lade_json_read(fresh, paths, "{}", 2, 0, &span, &error), 0);
	lade_json_reader_free(fresh);
	lade_json_paths_free(paths);
}

int main(void)
{
	if (lade_json_reader_new(&reader) < 0)
		return 1;
	TAP(valid_documents_of_every_kind_are_read);
	TAP(a_fault_in_the_structure_is_named_with_its_place);
	TAP(a_fault_in_a_scalar_is_named_with_its_place);
	TAP(a_fault_in_the_bytes_is_named_with_its_place);
	TAP(a_nul_is_refused_wherever_it_stands);
	TAP(a_message_is_an_object_unless_told_otherwise);
	TAP(nesting_ends_at_its_limit);
	TAP(a_million_open_brackets_are_refused_and_not_followed);
	TAP(a_long_line_is_read_and_a_longer_one_after_a_short_one);
	TAP(no_byte_behind_the_document_is_read);
	TAP(every_beginning_of_a_document_is_refused_and_the_whole_is_read);
	TAP(every_single_changed_byte_leaves_a_verdict_and_no_crash);
	TAP(the_members_of_the_outermost_object_can_be_walked);
	TAP(one_reader_serves_many_sets_of_paths);
	TAP(members_in_another_order_than_before_are_found_as_well);
	TAP(memory_that_is_out_is_reported);
	lade_json_reader_free(reader);
	return tap_done();
}
