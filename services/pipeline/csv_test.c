/* SPDX-License-Identifier: MIT */
/* csv_test.c - headers and records, good and bad. */

#include "services/pipeline/csv.h"

#include "tap.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static struct lade_json_error error;

/* The record as an object, or the reason why not; valid until the next call. */
static const char *object(char delimiter, const char *header, const char *record)
{
	static char text[8192];
	struct lade_pipe_csv *csv = NULL;
	struct lade_json_out out;

	lade_json_out_init(&out, sizeof(text) - 1);
	memset(&error, 0, sizeof(error));
	if (lade_pipe_csv_new(delimiter, header, strlen(header), &csv, &error) == 0 &&
	    lade_pipe_csv_write(csv, record, strlen(record), &out, &error) == 0)
		snprintf(text, sizeof(text), "%.*s", (int)out.len, out.data);
	else
		snprintf(text, sizeof(text), "%zu: %s", error.at, error.reason);
	lade_json_out_done(&out);
	lade_pipe_csv_free(csv);
	return text;
}

static void fields_become_members_and_all_are_strings(void)
{
	CHECK_STR(object(',', "a,b", "1,x y"), "{\"a\":\"1\",\"b\":\"x y\"}");
	CHECK_STR(object(';', "a;b", "1,5;007"), "{\"a\":\"1,5\",\"b\":\"007\"}");
	CHECK_STR(object('\t', "a\tb", " 1\t"), "{\"a\":\" 1\",\"b\":null}");
	CHECK_STR(object(',', "a", "\\\x01"), "{\"a\":\"\\\\\\u0001\"}");
}

static void nothing_is_null_and_quotes_around_nothing_are_an_empty_string(void)
{
	CHECK_STR(object(',', "a,b,c", ",\"\","), "{\"a\":null,\"b\":\"\",\"c\":null}");
	CHECK_STR(object(',', "a", ""), "{\"a\":null}");
}

static void in_quotes_stands_anything_and_a_quote_twice(void)
{
	CHECK_STR(object(',', "a,b", "\"x,\n\"\"y\"\"\",2"),
		  "{\"a\":\"x,\\n\\\"y\\\"\",\"b\":\"2\"}");
	CHECK_STR(object(',', "\"a,\"\"b\"", "\"\"\"\""), "{\"a,\\\"b\":\"\\\"\"}");
}

static void a_record_ends_where_no_quote_is_open(void)
{
	CHECK(!lade_pipe_csv_quotes(',', false, "a,b", 3));
	CHECK(lade_pipe_csv_quotes(',', false, "a,\"b", 4));
	CHECK(!lade_pipe_csv_quotes(',', true, "b\",c", 4));
	CHECK(lade_pipe_csv_quotes(',', false, "\"a\"\"b", 6));
	CHECK(!lade_pipe_csv_quotes(',', false, "a\"b", 3));
	CHECK(!lade_pipe_csv_quotes(',', true, "\"", 1));
	CHECK(lade_pipe_csv_quotes(',', true, "\"\"", 2));
}

static void a_byte_order_mark_is_no_part_of_a_name(void)
{
	CHECK_STR(object(',', "\xef\xbb\xbf" "a", "1"), "{\"a\":\"1\"}");
}

static void what_is_wrong_with_a_record_is_said_with_its_place(void)
{
	CHECK_STR(object(',', "a,b", "1"), "0: 1 fields, where the header has 2");
	CHECK_STR(object(',', "a,b", "1,2,3"), "0: 3 fields, where the header has 2");
	CHECK_STR(object(',', "a,b", "1,2\"3"),
		  "2: a quote stands in a field that does not begin with one");
	CHECK_STR(object(',', "a,b", "\"1\"2,3"), "3: text follows the quote that ends a field");
	CHECK_STR(object(',', "a,b", "1,\"2"), "3: a quote begins a field and none ends it");
	CHECK_STR(object(',', "a,b", "1,\xff"), "2: a field is not UTF-8");
}

static void what_is_wrong_with_a_header_is_said_with_its_place(void)
{
	CHECK_STR(object(',', "a,,b", "1"), "2: the header has a field without a name");
	CHECK_STR(object(',', "a,\"a\"", "1"), "2: the header has two fields of the name \"a\"");
	CHECK_STR(object(',', "a,\xff", "1"), "2: a name in the header is not UTF-8");
}

static void a_header_has_at_most_1024_fields(void)
{
	char header[8 * (LADE_CSV_FIELDS_MAX + 1)];
	size_t len = 0;

	for (int i = 0; i <= LADE_CSV_FIELDS_MAX; i++)
		len += (size_t)snprintf(header + len, sizeof(header) - len, "%sf%d", i ? "," : "",
					i);
	object(',', header, "");
	CHECK_STR(error.reason, "the header has more than 1024 fields");
	*strrchr(header, ',') = 0;
	object(',', header, "");
	CHECK_STR(error.reason, "1 fields, where the header has 1024");
}

int main(void)
{
	TAP(fields_become_members_and_all_are_strings);
	TAP(nothing_is_null_and_quotes_around_nothing_are_an_empty_string);
	TAP(in_quotes_stands_anything_and_a_quote_twice);
	TAP(a_record_ends_where_no_quote_is_open);
	TAP(a_byte_order_mark_is_no_part_of_a_name);
	TAP(what_is_wrong_with_a_record_is_said_with_its_place);
	TAP(what_is_wrong_with_a_header_is_said_with_its_place);
	TAP(a_header_has_at_most_1024_fields);
	return tap_done();
}
