/* SPDX-License-Identifier: MIT */
/* string_test.c - escapes and UTF-8, each rule with what it refuses. */

#include <lade/json.h>

#include "connectors/json/string_priv.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>

#include "tap.h"

static const char *unescaped(const char *text)
{
	static char room[256];
	ptrdiff_t len = lade_json_unescape(text, strlen(text), room);

	if (len < 0)
		return len == -EILSEQ ? "EILSEQ" : "EBADMSG";
	room[len] = '\0';
	return room;
}

/* A text with escapes, and what it stands for or why it is refused. */
struct sample {
	const char *text, *meaning;
};

static void check_samples(const struct sample *samples, size_t n)
{
	for (size_t i = 0; i < n; i++)
		CHECK_STR(unescaped(samples[i].text), samples[i].meaning);
}

static void every_escape_of_rfc_8259_is_understood(void)
{
	static const struct sample samples[] = {
		{ "\\\"\\\\\\/\\b\\f\\n\\r\\t", "\"\\/\b\f\n\r\t" },
		{ "\\u0041\\u00e9\\u20AC", "A\xc3\xa9\xe2\x82\xac" },
		{ "\\ud83d\\uDE00!", "\xf0\x9f\x98\x80!" },
		{ "\\uffff\\u0001", "\xef\xbf\xbf\x01" },
		{ "plain", "plain" },
		{ "", "" },
	};

	check_samples(samples, sizeof(samples) / sizeof(*samples));
}

static void half_of_a_surrogate_pair_is_no_character(void)
{
	static const struct sample samples[] = {
		{ "\\ud83d", "EILSEQ" },
		{ "\\ude00", "EILSEQ" },
		{ "\\ud83d\\ud83d", "EILSEQ" },
		{ "\\ud83dabcdef", "EILSEQ" },
		{ "\\ud83d\\n12345", "EILSEQ" },
	};

	check_samples(samples, sizeof(samples) / sizeof(*samples));
}

static void an_escaped_nul_is_told_from_other_faults(void)
{
	CHECK_STR(unescaped("a\\u0000b"), "EBADMSG");
}

static void a_string_may_be_unescaped_in_its_place(void)
{
	char text[] = "\\ud83d\\ude00\\u20ac\\n\\u0041";
	ptrdiff_t len = lade_json_unescape(text, strlen(text), text);

	CHECK_EQ(len, 9);
	CHECK(memcmp(text, "\xf0\x9f\x98\x80\xe2\x82\xac\nA", 9) == 0);
}

static ptrdiff_t checked(const char *text)
{
	return lade_json_escapes_check(text, strlen(text));
}

static void the_first_bad_escape_is_found(void)
{
	CHECK_EQ(checked("\\\"\\\\\\/\\b\\f\\n\\r\\t\\u12aF"), -1);
	CHECK_EQ(checked("abc\\x"), 3);
	CHECK_EQ(checked("\\\\\\"), 2);
	CHECK_EQ(checked("\\u12"), 0);
	CHECK_EQ(checked("\\u12g4"), 0);
	CHECK_EQ(checked("ok\\n\\U0041"), 4);
	CHECK_EQ(lade_json_escapes_check("\\\0", 2), 0);
}

static void utf_8_is_taken_as_rfc_3629_has_it(void)
{
	CHECK_EQ(lade_utf8_len("a", 1), 1);
	CHECK_EQ(lade_utf8_len("\xc2\x80", 2), 2);
	CHECK_EQ(lade_utf8_len("\xe0\xa0\x80", 3), 3);
	CHECK_EQ(lade_utf8_len("\xed\x9f\xbf", 3), 3);
	CHECK_EQ(lade_utf8_len("\xf0\x90\x80\x80", 4), 4);
	CHECK_EQ(lade_utf8_len("\xf4\x8f\xbf\xbf", 4), 4);
}

static void what_is_not_utf_8_is_refused(void)
{
	static const char *const bad[] = {
		"\x80", "\xbf", "\xc0\x80", "\xc1\xbf", "\xe0\x9f\xbf", "\xed\xa0\x80",
		"\xed\xbf\xbf", "\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80",
		"\xff", "\xfe", "\xc2", "\xe2\x82", "\xf0\x9f\x98", "\xc2\x41", "\xe2\x82\x41",
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		CHECK_EQ(lade_utf8_len(bad[i], strlen(bad[i])), 0);
}

/* The same rules the other way round: a character is what encoding a code point gives. */
static void every_code_point_is_utf_8_and_its_neighbours_are_judged_alike(void)
{
	int valid = 0;

	for (uint32_t bytes = 0; bytes < 0x1000000; bytes += 7) {
		char text[4] = { (char)(bytes >> 16), (char)(bytes >> 8), (char)bytes, 0 };
		int len = lade_utf8_len(text, 3);
		uint32_t lead = bytes >> 16, second = bytes >> 8 & 0xff, third = bytes & 0xff;
		uint32_t point = (lead & 15) << 12 | (second & 63) << 6 | (third & 63);
		bool three = lead >> 4 == 0xe && second >> 6 == 2 && third >> 6 == 2 &&
			     point >= 0x800 && (point < 0xd800 || point > 0xdfff);

		if ((len == 3) != three)
			CHECK_EQ(bytes, 0);
		valid += three;
	}
	CHECK(valid > 5000);
}

static void the_first_byte_of_a_text_that_is_no_utf_8_is_found(void)
{
	static const char text[] = "only ASCII for a while, then \xc3\xa4 and \xff";
	char copy[sizeof(text)];

	CHECK_EQ(lade_json_utf8_check("", 0), 0);
	CHECK_EQ(lade_json_utf8_check(text, sizeof(text) - 2), sizeof(text) - 2);
	CHECK_EQ(lade_json_utf8_check(text, sizeof(text) - 1), sizeof(text) - 2);
	CHECK_EQ(lade_json_utf8_check("\xc3", 1), 0);
	for (size_t i = 0; i < 28; i++) {
		memcpy(copy, text, sizeof(text));
		copy[i] = (char)0x80;
		CHECK_EQ(lade_json_utf8_check(copy, sizeof(text) - 1), i);
	}
}

int main(void)
{
	TAP(every_escape_of_rfc_8259_is_understood);
	TAP(half_of_a_surrogate_pair_is_no_character);
	TAP(an_escaped_nul_is_told_from_other_faults);
	TAP(a_string_may_be_unescaped_in_its_place);
	TAP(the_first_bad_escape_is_found);
	TAP(utf_8_is_taken_as_rfc_3629_has_it);
	TAP(the_first_byte_of_a_text_that_is_no_utf_8_is_found);
	TAP(what_is_not_utf_8_is_refused);
	TAP(every_code_point_is_utf_8_and_its_neighbours_are_judged_alike);
	return tap_done();
}
