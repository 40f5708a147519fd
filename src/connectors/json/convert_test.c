/* SPDX-License-Identifier: MIT */
/* convert_test.c - each type from each kind of value, and what is refused. */

#include <lade/json.h>

#include <errno.h>
#include <inttypes.h>
#include <locale.h>
#include <math.h>

#include "tap.h"

static struct lade_json_error error;
static char room[8192];
static struct lade_datum datum;

/* Converts a whole document; "" stands for a value that is not there. */
static int convert(const char *doc, const char *type)
{
	struct lade_json_span span = { 0, (uint32_t)strlen(doc) };
	struct lade_want want;

	CHECK_EQ(lade_want_parse(type, strlen(type), &want), 0);
	error.reason[0] = '\0';
	return lade_json_convert(doc, span, want, room, sizeof(room), &datum, &error);
}

/* The result as text, or the reason. */
static const char *as(const char *type, const char *doc)
{
	static char text[8192];

	if (convert(doc, type) < 0)
		return error.reason;
	switch (datum.type) {
	case LADE_NULL:
		return "(null)";
	case LADE_TEXT:
	case LADE_JSON:
		snprintf(text, sizeof(text), "%.*s", (int)datum.len, datum.text);
		break;
	case LADE_DOUBLE:
		snprintf(text, sizeof(text), "%.17g", datum.real);
		break;
	default:
		snprintf(text, sizeof(text), "%" PRId64, datum.integer);
	}
	return text;
}

static void text_is_what_a_string_says_or_how_a_value_is_written(void)
{
	CHECK_STR(as("text", "\"abc\""), "abc");
	CHECK_STR(as("text", "\"\""), "");
	CHECK_STR(as("text", "\"a\\n\\u20ac\""), "a\n\xe2\x82\xac");
	CHECK_STR(as("text", "18446744073709551615"), "18446744073709551615");
	CHECK_STR(as("text", "1.50"), "1.50");
	CHECK_STR(as("text", "true"), "true");
	CHECK_STR(as("text", "{\"a\": 1}"), "{\"a\": 1}");
}

static void text_without_escapes_is_not_copied(void)
{
	const char *doc = "\"abc\"";

	CHECK_EQ(convert(doc, "text"), 0);
	CHECK(datum.text == doc + 1);
	doc = "\"a\\tc\"";
	CHECK_EQ(convert(doc, "text"), 0);
	CHECK(datum.text == room);
}

static void text_with_escapes_needs_room(void)
{
	struct lade_want want = { LADE_TEXT, false };
	struct lade_json_span span = { 0, 6 };

	CHECK_EQ(lade_json_convert("\"a\\tc\"", span, want, NULL, 0, &datum, &error), -ENOBUFS);
	CHECK_EQ(lade_json_convert("\"a\\tc\"", span, want, room, 6, &datum, &error), 0);
	CHECK_EQ(datum.len, 3);
}

static void text_that_no_table_could_hold_is_refused(void)
{
	CHECK_EQ(convert("\"a\\u0000b\"", "text"), -EBADMSG);
	CHECK(strstr(error.reason, "the type json can"));
	CHECK_EQ(convert("\"a\\ud800b\"", "text"), -EBADMSG);
	CHECK(strstr(error.reason, "surrogate"));
}

static void integers_come_from_whole_numbers_only(void)
{
	CHECK_STR(as("integer", "0"), "0");
	CHECK_STR(as("integer", "-0"), "0");
	CHECK_STR(as("integer", "9007199254740993"), "9007199254740993");
	CHECK_STR(as("integer", "9223372036854775807"), "9223372036854775807");
	CHECK_STR(as("integer", "-9223372036854775808"), "-9223372036854775808");
	CHECK_STR(as("integer", "5.0"), "5");
	CHECK_STR(as("integer", "1e3"), "1000");
	CHECK_STR(as("integer", "1.25e2"), "125");
	CHECK_STR(as("integer", "12500E-2"), "125");
	CHECK_STR(as("integer", "0.000e99999"), "0");
	CHECK_STR(as("integer", "9223372036854775807.000"), "9223372036854775807");
	CHECK_STR(as("integer", "true"), "1");
	CHECK_STR(as("integer", "false"), "0");
	CHECK_STR(as("integer", "\"42\""), "42");
	CHECK_STR(as("integer", "\"-1e1\""), "-10");
}

static void an_integer_is_never_rounded_to_fit(void)
{
	static const struct {
		const char *doc, *reason;
	} bad[] = {
		{ "1.5", "not a whole number" },
		{ "1e-1", "not a whole number" },
		{ "0.1e-99999", "not a whole number" },
		{ "18446744073709551615", "does not fit" },
		{ "9223372036854775808", "does not fit" },
		{ "-9223372036854775809", "does not fit" },
		{ "1e19", "does not fit" },
		{ "1e999999999999", "does not fit" },
		{ "12345e-999999999999", "not a whole number" },
		{ "\"true\"", "\"true\" is not an integer" },
		{ "\"abc\"", "\"abc\" is not an integer" },
		{ "\"\"", "\"\" is not an integer" },
		{ "\" 1\"", "is not an integer" },
		{ "\"1 \"", "is not an integer" },
		{ "\"0x1\"", "is not an integer" },
		{ "\"1\\u0030\"", "is not an integer" },
		{ "[1]", "[1] is not an integer" },
		{ "{}", "{} is not an integer" },
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		CHECK_EQ(convert(bad[i].doc, "integer"), -EBADMSG);
		if (!strstr(error.reason, bad[i].reason))
			CHECK_STR(error.reason, bad[i].reason);
	}
}

static void many_digits_and_a_large_exponent_do_not_fool_an_integer(void)
{
	char doc[5200] = "12345";

	memset(doc + 5, '0', 1005);
	strcpy(doc + 1010, "e-10050");
	CHECK_EQ(convert(doc, "integer"), -EBADMSG);
	strcpy(doc + 1010, "e-1005");
	CHECK_STR(as("integer", doc), "12345");
	memset(doc, '0', 5000);
	memcpy(doc, "0.", 2);
	strcpy(doc + 4000, "7e3999");
	CHECK_STR(as("integer", doc), "7");
	memset(doc + 4000, '0', 1000);
	strcpy(doc + 4999, "7e4998");
	CHECK_EQ(convert(doc, "integer"), -EBADMSG);
	CHECK(strstr(error.reason, "too long"));
}

static void doubles_are_the_nearest_and_know_no_locale(void)
{
	CHECK_STR(as("double", "0.1"), "0.10000000000000001");
	CHECK_STR(as("double", "-0.0"), "-0");
	CHECK_STR(as("double", "1e400000000000000000000000"),
		  "1e400000000000000000000000 is too large for a double; the type json keeps it");
	CHECK_STR(as("double", "1e-400"), "0");
	CHECK_STR(as("double", "-1e-400000000000000000000000"), "-0");
	CHECK_STR(as("double", "5e-324"), "4.9406564584124654e-324");
	CHECK_STR(as("double", "1.7976931348623157e308"), "1.7976931348623157e+308");
	CHECK_STR(as("double", "9007199254740993"), "9007199254740992");
	CHECK_STR(as("double", "\"2.5\""), "2.5");
	CHECK_EQ(convert("1e309", "double"), -EBADMSG);
	CHECK_EQ(convert("0.00001e320", "double"), -EBADMSG);
	CHECK_EQ(convert("\"nan\"", "double"), -EBADMSG);
	CHECK_EQ(convert("\"inf\"", "double"), -EBADMSG);
	CHECK_EQ(convert("\"0x1p3\"", "double"), -EBADMSG);
	CHECK_EQ(convert("\"1,5\"", "double"), -EBADMSG);
	CHECK_EQ(convert("true", "double"), -EBADMSG);
}

static void booleans_come_from_four_words(void)
{
	CHECK_STR(as("boolean", "true"), "1");
	CHECK_STR(as("boolean", "false"), "0");
	CHECK_STR(as("boolean", "1"), "1");
	CHECK_STR(as("boolean", "\"0\""), "0");
	CHECK_STR(as("boolean", "\"true\""), "1");
	CHECK_EQ(convert("\"yes\"", "boolean"), -EBADMSG);
	CHECK_EQ(convert("2", "boolean"), -EBADMSG);
	CHECK_EQ(convert("1.0", "boolean"), -EBADMSG);
	CHECK_EQ(convert("\"\"", "boolean"), -EBADMSG);
}

static void timestamps_come_from_dates_and_from_milliseconds(void)
{
	CHECK_STR(as("timestamp", "\"1970-01-01T00:00:01Z\""), "1000000");
	CHECK_STR(as("timestamp", "1500"), "1500000");
	CHECK_STR(as("timestamp", "-1"), "-1000");
	CHECK_EQ(convert("\"2001/01/01 00:47\"", "timestamp"), -EBADMSG);
	CHECK(strstr(error.reason, "2001-01-31T23:59:59Z"));
	CHECK_EQ(convert("1.5", "timestamp"), -EBADMSG);
	CHECK_EQ(convert("9223372036854775807", "timestamp"), -EBADMSG);
	CHECK_EQ(convert("999999999999999", "timestamp"), -EBADMSG);
	CHECK_EQ(convert("\"0000-01-01T00:00:00+01:00\"", "timestamp"), -EBADMSG);
	CHECK_EQ(convert("true", "timestamp"), -EBADMSG);
}

static void json_keeps_every_digit(void)
{
	CHECK_STR(as("json", "123456789012345678901234567890.10"),
		  "123456789012345678901234567890.10");
	CHECK_STR(as("json", "\"a\\u0000\""), "\"a\\u0000\"");
	CHECK_STR(as("json", "{ \"a\" : 1e0 }"), "{ \"a\" : 1e0 }");
}

static int itself(const char *doc)
{
	struct lade_want want = { LADE_ABSENT, true };
	struct lade_json_span span = { 0, (uint32_t)strlen(doc) };
	int rc = lade_json_convert(doc, span, want, room, sizeof(room), &datum, &error);

	return rc < 0 ? rc : (int)datum.type;
}

static void a_value_can_be_taken_as_what_it_is(void)
{
	CHECK_EQ(itself("\"a\\n\""), LADE_TEXT);
	CHECK_EQ(itself("5"), LADE_INTEGER);
	CHECK_EQ(itself("5.0"), LADE_DOUBLE);
	CHECK_EQ(itself("5e0"), LADE_DOUBLE);
	CHECK_EQ(itself("true"), LADE_BOOLEAN);
	CHECK_EQ(itself("[1]"), LADE_JSON);
	CHECK_EQ(itself("{}"), LADE_JSON);
	CHECK_EQ(itself("null"), LADE_NULL);
	CHECK_EQ(itself(""), LADE_NULL);
	CHECK_EQ(itself("18446744073709551615"), -EBADMSG);
	CHECK_EQ(itself("1e999"), -EBADMSG);
}

static void null_and_nothing_pass_only_a_question_mark(void)
{
	static const char *const types[] = { "text", "integer", "double", "boolean", "timestamp",
					     "json" };
	char nullable[16];

	for (size_t i = 0; i < 6; i++) {
		snprintf(nullable, sizeof(nullable), "%s?", types[i]);
		CHECK_STR(as(nullable, "null"), "(null)");
		CHECK_STR(as(nullable, ""), "(null)");
		CHECK_EQ(convert("null", types[i]), -EBADMSG);
		CHECK(strstr(error.reason, "is null"));
		CHECK(strstr(error.reason, nullable));
		CHECK_EQ(convert("", types[i]), -EBADMSG);
		CHECK(strstr(error.reason, "is not there"));
	}
	CHECK_EQ(convert("\"x\"", "integer?"), -EBADMSG);
	CHECK_STR(as("text", "\"null\""), "null");
}

static void a_reason_quotes_a_long_value_up_to_a_character(void)
{
	char doc[300] = "\"";

	for (int i = 0; i < 80; i++)
		strcat(doc, "\xe2\x82\xac");
	strcat(doc, "\"");
	CHECK_EQ(convert(doc, "integer"), -EBADMSG);
	CHECK(strstr(error.reason, "\xe2\x82\xac...\" is not an integer"));
}

int main(void)
{
	setlocale(LC_ALL, "de_DE.UTF-8");
	TAP(text_is_what_a_string_says_or_how_a_value_is_written);
	TAP(text_without_escapes_is_not_copied);
	TAP(text_with_escapes_needs_room);
	TAP(text_that_no_table_could_hold_is_refused);
	TAP(integers_come_from_whole_numbers_only);
	TAP(an_integer_is_never_rounded_to_fit);
	TAP(many_digits_and_a_large_exponent_do_not_fool_an_integer);
	TAP(doubles_are_the_nearest_and_know_no_locale);
	TAP(booleans_come_from_four_words);
	TAP(timestamps_come_from_dates_and_from_milliseconds);
	TAP(json_keeps_every_digit);
	TAP(a_value_can_be_taken_as_what_it_is);
	TAP(null_and_nothing_pass_only_a_question_mark);
	TAP(a_reason_quotes_a_long_value_up_to_a_character);
	return tap_done();
}
