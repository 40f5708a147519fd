/* SPDX-License-Identifier: MIT */
/* out_test.c - values as JSON, limits that hold, and documents with new values. */

#include <lade/json.h>

#include <errno.h>
#include <math.h>

#include "base/alloc.h"
#include "tap.h"

static struct lade_json_reader *reader;
static struct lade_json_error error;
static struct lade_json_out out;

static const char *text(void)
{
	static char copy[1 << 16];

	snprintf(copy, sizeof(copy), "%.*s", (int)out.len, out.data ? out.data : "");
	return copy;
}

static const char *string(const char *bytes, size_t len)
{
	lade_json_out_reset(&out);
	lade_json_out_string(&out, bytes, len);
	return out.status ? "failed" : text();
}

static const char *value(struct lade_datum datum)
{
	lade_json_out_reset(&out);
	lade_json_out_datum(&out, &datum);
	return out.status ? "failed" : text();
}

static struct lade_datum typed(enum lade_datum_type type, int64_t integer)
{
	struct lade_datum datum = lade_datum_integer(integer);

	datum.type = type;
	return datum;
}

static void a_string_is_escaped_no_more_than_it_must_be(void)
{
	CHECK_STR(string("plain", 5), "\"plain\"");
	CHECK_STR(string("", 0), "\"\"");
	CHECK_STR(string("a\"b\\c/d", 7), "\"a\\\"b\\\\c/d\"");
	CHECK_STR(string("\b\f\n\r\t\x01\x1f\x7f", 8), "\"\\b\\f\\n\\r\\t\\u0001\\u001f\x7f\"");
	CHECK_STR(string("a\0b", 3), "\"a\\u0000b\"");
	CHECK_STR(string("gr\xc3\xb6\xc3\x9f""e \xf0\x9f\x98\x80", 12),
		  "\"gr\xc3\xb6\xc3\x9f""e \xf0\x9f\x98\x80\"");
}

static void text_that_is_not_utf_8_cannot_be_written(void)
{
	CHECK_STR(string("\xff", 1), "failed");
	CHECK_EQ(out.status, -EILSEQ);
	CHECK_STR(string("abc\xe2\x82", 5), "failed");
	CHECK_STR(string("\xed\xa0\x80", 3), "failed");
}

static void every_type_has_its_form(void)
{
	CHECK_STR(value((struct lade_datum){ 0 }), "null");
	CHECK_STR(value(lade_datum_null()), "null");
	CHECK_STR(value(lade_datum_text("a\"", 2)), "\"a\\\"\"");
	CHECK_STR(value(lade_datum_integer(INT64_MIN)), "-9223372036854775808");
	CHECK_STR(value(lade_datum_double(0.1)), "0.1");
	CHECK_STR(value(lade_datum_double(5)), "5.0");
	CHECK_STR(value(lade_datum_double(1e22)), "1e+22");
	CHECK_STR(value(lade_datum_double(-0.0)), "-0.0");
	CHECK_STR(value(lade_datum_double(5e-324)), "5e-324");
	CHECK_STR(value(lade_datum_double(1.7976931348623157e308)), "1.7976931348623157e+308");
	CHECK_STR(value(typed(LADE_BOOLEAN, 1)), "true");
	CHECK_STR(value(typed(LADE_BOOLEAN, 0)), "false");
	CHECK_STR(value(typed(LADE_TIMESTAMP, 0)), "\"1970-01-01T00:00:00.000000Z\"");
	CHECK_STR(value(lade_datum_json("[1, 2]", 6)), "[1, 2]");
}

static void what_json_cannot_say_is_a_failure(void)
{
	CHECK_STR(value(lade_datum_double((double)NAN)), "failed");
	CHECK_EQ(out.status, -ERANGE);
	CHECK_STR(value(lade_datum_double((double)INFINITY)), "failed");
	CHECK_STR(value(typed(LADE_TIMESTAMP, INT64_MAX)), "failed");
	CHECK_EQ(out.status, -ERANGE);
}

static void the_limit_holds_and_the_first_failure_sticks(void)
{
	struct lade_json_out small;

	lade_json_out_init(&small, 300);
	for (int i = 0; i < 30; i++)
		lade_json_out_raw(&small, "0123456789", 10);
	CHECK_EQ(small.status, 0);
	CHECK_EQ(small.len, 300);
	lade_json_out_raw(&small, "x", 1);
	CHECK_EQ(small.status, -EMSGSIZE);
	CHECK_EQ(small.len, 300);
	lade_json_out_string(&small, "\xff", 1);
	CHECK_EQ(small.status, -EMSGSIZE);
	lade_json_out_reset(&small);
	lade_json_out_raw(&small, "x", 1);
	CHECK_EQ(small.status, 0);
	lade_json_out_done(&small);
}

/* The paths and values of one overlay. */
static struct lade_json_overlay *overlay;
static struct lade_datum values[16];

static int set(const char *path, struct lade_datum datum)
{
	unsigned slot;
	int rc = lade_json_overlay_add(overlay, path, strlen(path), &slot, &error);

	if (rc == 0)
		values[slot] = datum;
	return rc;
}

static void begin(void)
{
	lade_json_overlay_free(overlay);
	overlay = lade_json_overlay_new();
	memset(values, 0, sizeof(values));
}

static const char *laid(const char *doc)
{
	static char copy[512];

	lade_json_out_reset(&out);
	lade_json_out_raw(&out, "<", 1);
	if (lade_json_overlay_write(overlay, reader, doc, strlen(doc), values, &out, &error) < 0) {
		CHECK_EQ(out.len, 1);
		snprintf(copy, sizeof(copy), "error at %zu: %s", error.at, error.reason);
	} else {
		snprintf(copy, sizeof(copy), "%.500s", text() + 1);
	}
	return copy;
}

static void a_new_member_comes_last_and_the_rest_keeps_its_bytes(void)
{
	begin();
	CHECK_EQ(set(".b", lade_datum_integer(2)), 0);
	CHECK_STR(laid("{\"a\":1}"), "{\"a\":1,\"b\":2}");
	CHECK_STR(laid("{}"), "{\"b\":2}");
	CHECK_STR(laid(" { \"a\" : 1.0e0 , \"id\":18446744073709551615 } "),
		  " { \"a\" : 1.0e0 , \"id\":18446744073709551615 ,\"b\":2} ");
	CHECK_STR(laid("{\"x\":{\"b\":1}}"), "{\"x\":{\"b\":1},\"b\":2}");
}

static void a_member_that_is_there_is_replaced_where_it_is(void)
{
	begin();
	CHECK_EQ(set(".b", lade_datum_text("new", 3)), 0);
	CHECK_STR(laid("{\"a\":1,\"b\":[1,{\"b\":2}],\"c\":3}"), "{\"a\":1,\"b\":\"new\",\"c\":3}");
	CHECK_STR(laid("{ \"b\" : 1 }"), "{ \"b\" : \"new\" }");
	CHECK_STR(laid("{\"\\u0062\":1}"), "{\"\\u0062\":\"new\"}");
}

static void members_with_the_same_name_are_left_out(void)
{
	begin();
	CHECK_EQ(set(".b", lade_datum_integer(9)), 0);
	CHECK_STR(laid("{\"b\":1,\"b\":2}"), "{\"b\":9}");
	CHECK_STR(laid("{\"b\":1, \"a\":0, \"b\":2, \"c\":0, \"\\u0062\":{}}"),
		  "{\"b\":9, \"a\":0, \"c\":0}");
}

static void objects_on_the_way_are_made(void)
{
	begin();
	CHECK_EQ(set(".a.b.c", lade_datum_integer(1)), 0);
	CHECK_EQ(set(".a.b.\"odd name\"", lade_datum_null()), 0);
	CHECK_EQ(set(".a.z", lade_datum_text("\"", 1)), 0);
	CHECK_STR(laid("{}"), "{\"a\":{\"b\":{\"c\":1,\"odd name\":null},\"z\":\"\\\"\"}}");
	CHECK_STR(laid("{\"a\":{\"b\":{\"c\":0}}}"),
		  "{\"a\":{\"b\":{\"c\":1,\"odd name\":null},\"z\":\"\\\"\"}}");
	CHECK_STR(laid("{\"a\":{\"q\":1}}"),
		  "{\"a\":{\"q\":1,\"b\":{\"c\":1,\"odd name\":null},\"z\":\"\\\"\"}}");
}

static void a_value_inside_a_scalar_cannot_be_set(void)
{
	begin();
	CHECK_EQ(set(".a.b", lade_datum_integer(1)), 0);
	CHECK_STR(laid("{\"a\":5}"),
		  "error at 5: this is no object, so nothing can be set inside of it");
	CHECK_STR(laid("{\"a\":null}"),
		  "error at 5: this is no object, so nothing can be set inside of it");
	CHECK_STR(laid("{\"a\":[]}"), "error at 6: this is an array, which has no member \"b\"");
	CHECK_STR(laid("5"), "error at 0: this is no object, so nothing can be set inside of it");
}

static void an_item_is_replaced_but_never_added(void)
{
	begin();
	CHECK_EQ(set(".a[1].b", lade_datum_integer(7)), 0);
	CHECK_EQ(set(".a[2]", lade_datum_json("{ }", 3)), 0);
	CHECK_STR(laid("{\"a\":[0, {\"b\":1}, 5 , 6]}"), "{\"a\":[0, {\"b\":7}, { } , 6]}");
	CHECK_STR(laid("{\"a\":[0,{}]}"), "error at 10: there is no item [2] to replace");
	CHECK_STR(laid("{\"a\":{}}"), "error at 6: there is no item [1] to replace");
	CHECK_STR(laid("{}"), "error at 1: there is no item [1] to replace");
}

static void values_that_are_absent_leave_the_document_alone(void)
{
	begin();
	CHECK_EQ(set(".a.b", (struct lade_datum){ 0 }), 0);
	CHECK_EQ(set(".c", (struct lade_datum){ 0 }), 0);
	CHECK_STR(laid("{\"a\":5}"), "{\"a\":5}");
	CHECK_STR(laid("[]"), "[]");
	values[1] = lade_datum_integer(1);
	CHECK_STR(laid("{\"a\":5,\"a\":6}"), "{\"a\":5,\"a\":6,\"c\":1}");
}

static void paths_into_one_another_are_refused(void)
{
	begin();
	CHECK_EQ(set(".a.b", lade_datum_integer(1)), 0);
	CHECK_EQ(set(".a", lade_datum_integer(1)), -EEXIST);
	CHECK_EQ(set(".a.b.c", lade_datum_integer(1)), -EEXIST);
	CHECK_EQ(set(".", lade_datum_integer(1)), -EINVAL);
	CHECK_EQ(set("a", lade_datum_integer(1)), -EINVAL);
	CHECK_EQ(set(".a.b", lade_datum_integer(2)), 0);
	CHECK_EQ(set(".a.c", lade_datum_integer(3)), 0);
	CHECK_EQ(lade_json_overlay_count(overlay), 2);
	CHECK_STR(laid("{}"), "{\"a\":{\"b\":2,\"c\":3}}");
}

static void a_name_cannot_break_out_of_its_quotes(void)
{
	begin();
	CHECK_EQ(set(".\"x\\\":1,\\\"y\"", lade_datum_text("\",\"z\":\"", 7)), 0);
	CHECK_STR(laid("{}"), "{\"x\\\":1,\\\"y\":\"\\\",\\\"z\\\":\\\"\"}");
}

static void the_outermost_step_of_a_path_may_be_an_item(void)
{
	static const char doc[] = "[1, 2, 3, 4, 5, 6]";
	struct lade_json_paths *paths = lade_json_paths_new();
	struct lade_json_span spans[2];
	unsigned slots[2] = { 0 };

	begin();
	CHECK_EQ(set(".[5].a", lade_datum_integer(1)), 0);
	CHECK_EQ(set(".\"\"", lade_datum_integer(1)), 0);
	CHECK_EQ(lade_json_overlay_outermost(overlay, paths, slots, &error), 2);
	CHECK_EQ(lade_json_read(reader, paths, doc, strlen(doc), LADE_JSON_ANY_ROOT, spans, &error),
		 0);
	CHECK_EQ(spans[slots[0]].at, 16);
	CHECK_EQ(spans[slots[0]].len, 1);
	CHECK_EQ(spans[slots[1]].len, 0);
	lade_json_paths_free(paths);
}

static void a_document_that_is_none_is_refused(void)
{
	begin();
	CHECK_EQ(set(".a", lade_datum_integer(1)), 0);
	CHECK_STR(laid("{\"b\":[}"), "error at 6: expected a value, found '}'");
	CHECK_STR(laid(""), "error at 0: is empty");
}

static void what_was_written_can_be_read(void)
{
	begin();
	CHECK_EQ(set(".t", lade_datum_text("\x01\"\\\xc3\xa9\n", 6)), 0);
	CHECK_EQ(set(".n.d", lade_datum_double(1e300)), 0);
	CHECK_EQ(set(".n.i", lade_datum_integer(-1)), 0);
	CHECK_EQ(set(".n.ts", typed(LADE_TIMESTAMP, 981173106000001)), 0);
	laid("{\"x\" :[ ]}");
	CHECK_EQ(lade_json_read(reader, NULL, out.data + 1, out.len - 1, 0, NULL, &error), 0);
	CHECK_STR(text() + 1,
		  "{\"x\" :[ ],\"t\":\"\\u0001\\\"\\\\\xc3\xa9\\n\",\"n\":{\"d\":1e+300,"
		  "\"i\":-1,\"ts\":\"2001-02-03T04:05:06.000001Z\"}}");
}

static void memory_that_is_out_leaves_the_text_as_it_was(void)
{
	struct lade_json_out fresh;

	lade_json_out_init(&fresh, 1 << 20);
	lade_alloc_fail_at(1);
	lade_json_out_raw(&fresh, "abc", 3);
	CHECK_EQ(fresh.status, -ENOMEM);
	CHECK_EQ(fresh.len, 0);
	lade_json_out_reset(&fresh);
	lade_json_out_raw(&fresh, "abc", 3);
	CHECK_EQ(fresh.status, 0);
	CHECK_EQ(fresh.len, 3);
	lade_json_out_done(&fresh);
	lade_alloc_fail_at(1);
	CHECK(!lade_json_overlay_new());
	lade_alloc_fail_at(2);
	CHECK(!lade_json_overlay_new());
}

int main(void)
{
	if (lade_json_reader_new(&reader) < 0)
		return 1;
	lade_json_out_init(&out, 1 << 16);
	TAP(a_string_is_escaped_no_more_than_it_must_be);
	TAP(text_that_is_not_utf_8_cannot_be_written);
	TAP(every_type_has_its_form);
	TAP(what_json_cannot_say_is_a_failure);
	TAP(the_limit_holds_and_the_first_failure_sticks);
	TAP(a_new_member_comes_last_and_the_rest_keeps_its_bytes);
	TAP(a_member_that_is_there_is_replaced_where_it_is);
	TAP(members_with_the_same_name_are_left_out);
	TAP(objects_on_the_way_are_made);
	TAP(a_value_inside_a_scalar_cannot_be_set);
	TAP(an_item_is_replaced_but_never_added);
	TAP(values_that_are_absent_leave_the_document_alone);
	TAP(paths_into_one_another_are_refused);
	TAP(a_name_cannot_break_out_of_its_quotes);
	TAP(the_outermost_step_of_a_path_may_be_an_item);
	TAP(a_document_that_is_none_is_refused);
	TAP(what_was_written_can_be_read);
	TAP(memory_that_is_out_leaves_the_text_as_it_was);
	lade_json_overlay_free(overlay);
	lade_json_out_done(&out);
	lade_json_reader_free(reader);
	return tap_done();
}
