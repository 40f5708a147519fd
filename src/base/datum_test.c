/* SPDX-License-Identifier: MIT */
/* datum_test.c - types by name, and time stamps there and back. */

#include <lade/datum.h>

#include <errno.h>
#include <time.h>

#include "many.h"
#include "tap.h"

static int64_t us_of(const char *text)
{
	int64_t us = INT64_MIN;

	if (lade_timestamp_parse(text, strlen(text), &us) < 0)
		return INT64_MIN;
	return us;
}

static const char *text_of(int64_t us)
{
	static char text[LADE_TIMESTAMP_ROOM];

	return lade_timestamp_format(us, text) < 0 ? "out of range" : text;
}

static void a_type_is_read_with_and_without_a_question_mark(void)
{
	struct lade_want want;

	CHECK_EQ(lade_want_parse("integer", 7, &want), 0);
	CHECK_EQ(want.type, LADE_INTEGER);
	CHECK(!want.nullable);
	CHECK_EQ(lade_want_parse("timestamp?", 10, &want), 0);
	CHECK_EQ(want.type, LADE_TIMESTAMP);
	CHECK(want.nullable);
}

static void a_type_that_nobody_knows_is_refused(void)
{
	static const char *const bad[] = { "", "?", "int", "Integer", "integer??", "absent",
					   "null", "text " };
	struct lade_want want;

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		CHECK_EQ(lade_want_parse(bad[i], strlen(bad[i]), &want), -EINVAL);
	CHECK_EQ(lade_want_parse("integer\0", 8, &want), -EINVAL);
}

static void a_time_is_read_in_every_form_of_rfc_3339(void)
{
	CHECK_EQ(us_of("1970-01-01T00:00:00Z"), 0);
	CHECK_EQ(us_of("1970-01-01"), 0);
	CHECK_EQ(us_of("1970-01-01 00:01"), 60000000);
	CHECK_EQ(us_of("1970-01-01t00:00:01.5z"), 1500000);
	CHECK_EQ(us_of("1970-01-01T02:00:00+02:00"), 0);
	CHECK_EQ(us_of("1969-12-31T19:00:00.000001-05:00"), 1);
	CHECK_EQ(us_of("1985-04-12T23:20:50.52Z"), INT64_C(482196050520000));
	CHECK_EQ(us_of("1990-12-31T23:59:60Z"), us_of("1991-01-01T00:00:00Z"));
	CHECK_EQ(us_of("2001-01-01T00:47:00.123456789Z") % 1000000, 123456);
}

static void a_time_that_is_not_one_is_refused(void)
{
	static const char *const bad[] = {
		"", "2001", "2001-1-1", "2001/01/01 00:47", "2001-13-01", "2001-00-01",
		"2001-02-29", "1900-02-29", "2001-01-32", "2001-01-01T", "2001-01-01T24:00",
		"2001-01-01T00:60", "2001-01-01T00:00:61", "2001-01-01T00:00:00.", "2001-01-01Z",
		"2001-01-01T00:00:00+2", "2001-01-01T00:00:00+24:00", "2001-01-01T00:00:00+02:60",
		"2001-01-01T00:00:00ZZ", "2001-01-01T00:00:00 Z", "-001-01-01", "20010-01-01",
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		CHECK_EQ(us_of(bad[i]), INT64_MIN);
}

static void a_time_is_written_with_a_fixed_width(void)
{
	CHECK_STR(text_of(0), "1970-01-01T00:00:00.000000Z");
	CHECK_STR(text_of(-1), "1969-12-31T23:59:59.999999Z");
	CHECK_STR(text_of(us_of("2000-02-29T12:34:56.789Z")), "2000-02-29T12:34:56.789000Z");
	CHECK_STR(text_of(us_of("0000-01-01")), "0000-01-01T00:00:00.000000Z");
	CHECK_STR(text_of(us_of("9999-12-31T23:59:59.999999Z")), "9999-12-31T23:59:59.999999Z");
}

static void a_time_outside_of_four_digit_years_cannot_be_written(void)
{
	CHECK_STR(text_of(us_of("0000-01-01") - 1), "out of range");
	CHECK_STR(text_of(us_of("9999-12-31T23:59:59.999999Z") + 1), "out of range");
	CHECK_STR(text_of(INT64_MIN), "out of range");
	CHECK_STR(text_of(INT64_MAX), "out of range");
}

static void every_day_of_ten_thousand_years_agrees_with_the_c_library(void)
{
	const int64_t first = -719528, last = 2932896;
	const int64_t step = (last - first) / RUN_MANY(last - first);
	int bad = 0;

	for (int64_t day = first; day <= last; day += step) {
		time_t seconds = (time_t)(day * 86400 + 4711);
		char want[64];
		struct tm tm;

		gmtime_r(&seconds, &tm);
		snprintf(want, sizeof(want), "%04d-%02d-%02dT01:18:31.000000Z", tm.tm_year + 1900,
			 tm.tm_mon + 1, tm.tm_mday);
		bad += strcmp(text_of(seconds * INT64_C(1000000)), want) != 0;
		bad += us_of(want) != seconds * INT64_C(1000000);
	}
	CHECK_EQ(bad, 0);
}

int main(void)
{
	TAP(a_type_is_read_with_and_without_a_question_mark);
	TAP(a_type_that_nobody_knows_is_refused);
	TAP(a_time_is_read_in_every_form_of_rfc_3339);
	TAP(a_time_that_is_not_one_is_refused);
	TAP(a_time_is_written_with_a_fixed_width);
	TAP(a_time_outside_of_four_digit_years_cannot_be_written);
	TAP(every_day_of_ten_thousand_years_agrees_with_the_c_library);
	return tap_done();
}
