/* SPDX-License-Identifier: MIT */
/* message_test.c - messages that are asked, set, renewed, written and given up. */

#include "services/pipeline/message.h"

#include <errno.h>

#include "tap.h"

static struct lade_arena arena;
static struct lade_json_reader *reader;
static struct lade_json_error error;
static struct lade_json_out out;
static struct lade_pipe_shape *shape;
static struct lade_pipe_message message;

static void begin(void)
{
	lade_arena_reset(&arena);
	lade_pipe_shape_free(shape);
	shape = lade_pipe_shape_new();
}

static struct lade_pipe_ref ask(const char *text)
{
	struct lade_pipe_ref ref = { 0 };

	CHECK_EQ(lade_pipe_shape_ask(shape, text, strlen(text), &ref, &error), 0);
	return ref;
}

static unsigned get(const char *into, const char *name)
{
	unsigned slot = 0;

	CHECK_EQ(lade_pipe_shape_get(shape, into, name, &slot, &error), 0);
	return slot;
}

static int read_message(const char *doc)
{
	message = (struct lade_pipe_message){ .bytes = doc, .len = (uint32_t)strlen(doc),
					      .timestamp_us = INT64_MIN };
	return lade_pipe_message_read(&message, shape, reader, &arena, &error);
}

static void set(unsigned slot, struct lade_datum value)
{
	CHECK_EQ(lade_pipe_message_set(&message, shape, slot, value, &arena), 0);
}

static struct lade_datum text(const char *s)
{
	return lade_datum_text(s, (uint32_t)strlen(s));
}

/* The value of a reference as JSON, or the reason why there is none. */
static const char *value(struct lade_pipe_ref ref)
{
	static char said[256];
	struct lade_datum datum;

	if (lade_pipe_message_value(&message, shape, &ref, reader, &arena, &datum, &error) < 0)
		return error.reason;
	lade_json_out_reset(&out);
	lade_json_out_datum(&out, &datum);
	snprintf(said, sizeof(said), "%.*s", (int)out.len, out.data);
	return said;
}

static const char *written(void)
{
	static char said[1024];

	lade_json_out_reset(&out);
	if (lade_pipe_message_write(&message, shape, reader, &out, &error) < 0)
		return error.reason;
	snprintf(said, sizeof(said), "%.*s", (int)out.len, out.data);
	return said;
}

static void a_message_answers_what_it_was_read_for(void)
{
	struct lade_pipe_ref delay, origin, none;

	begin();
	delay = ask("integer .delay");
	origin = ask(".origin");
	none = ask("text? .none");
	CHECK_EQ(lade_pipe_shape_close(shape), 0);
	CHECK_EQ(read_message("{\"delay\":66,\"origin\":\"D\\u0054W\"}"), 0);
	CHECK_STR(value(delay), "66");
	CHECK_STR(value(origin), "\"DTW\"");
	CHECK_STR(value(none), "null");
	CHECK_STR(written(), "{\"delay\":66,\"origin\":\"D\\u0054W\"}");
	CHECK_EQ(read_message("{\"delay\":\"late\"}"), 0);
	CHECK_STR(value(delay), ".delay: \"late\" is not an integer");
	CHECK(strstr(value(origin), ".origin: is not there"));
	CHECK_EQ(read_message("{\"delay\":"), -EBADMSG);
}

static void what_steps_set_is_seen_and_written(void)
{
	struct lade_pipe_ref from, to, whole;
	unsigned from_slot, to_slot;

	begin();
	from_slot = get(".airports", "from_city");
	to_slot = get(".airports", "to city");
	from = ask("text .airports.from_city");
	to = ask("text? .airports.\"to city\"");
	whole = ask("json .airports");
	CHECK_EQ(lade_pipe_shape_close(shape), 0);
	CHECK_EQ(read_message("{\"id\":18446744073709551615}"), 0);
	CHECK_STR(value(to), "null");
	set(from_slot, text("Detroit"));
	CHECK_STR(value(from), "\"Detroit\"");
	CHECK_STR(value(to), "null");
	set(to_slot, text("Las Vegas"));
	CHECK_STR(written(), "{\"id\":18446744073709551615,\"airports\":{\"from_city\":\"Detroit\","
			     "\"to city\":\"Las Vegas\"}}");
	CHECK_STR(value(whole), "{\"from_city\":\"Detroit\",\"to city\":\"Las Vegas\"}");
	CHECK_STR(value(from), "\"Detroit\"");
	CHECK_STR(written(), "{\"id\":18446744073709551615,\"airports\":{\"from_city\":\"Detroit\","
			     "\"to city\":\"Las Vegas\"}}");
}

static void a_path_into_an_answer_is_found(void)
{
	struct lade_pipe_ref temp, id, whole;
	unsigned weather;

	begin();
	weather = get(".weather", NULL);
	temp = ask("double .weather.temp");
	id = ask("integer .id");
	whole = ask("json .");
	CHECK_EQ(lade_pipe_shape_close(shape), 0);
	CHECK_EQ(read_message("{\"id\":1,\"weather\":{\"temp\":\"old\"}}"), 0);
	set(weather, lade_datum_json("{\"temp\":21.5}", 13));
	CHECK_STR(value(id), "1");
	CHECK(message.set != NULL);
	CHECK_STR(value(temp), "21.5");
	CHECK_STR(value(id), "1");
	CHECK_STR(value(whole), "{\"id\":1,\"weather\":{\"temp\":21.5}}");
	CHECK_STR(written(), "{\"id\":1,\"weather\":{\"temp\":21.5}}");
}

static void a_value_that_was_set_converts_like_any_other(void)
{
	struct lade_pipe_ref as_integer, as_text, as_json, as_nullable;
	unsigned slot;

	begin();
	slot = get(".x", NULL);
	as_integer = ask("integer .x");
	as_text = ask("text .x");
	as_json = ask("json .x");
	as_nullable = ask("integer? .x");
	CHECK_EQ(lade_pipe_shape_close(shape), 0);
	CHECK_EQ(read_message("{}"), 0);
	set(slot, text("42"));
	CHECK_STR(value(as_integer), "42");
	CHECK_STR(value(as_json), "\"42\"");
	set(slot, lade_datum_integer(7));
	CHECK_STR(value(as_text), "\"7\"");
	set(slot, lade_datum_null());
	CHECK(strstr(value(as_integer), "is null"));
	CHECK_STR(value(as_nullable), "null");
	set(slot, text("a\"b\nc"));
	CHECK_STR(value(as_text), "\"a\\\"b\\nc\"");
	CHECK(strstr(value(as_integer), "is not an integer"));
	set(slot, text("\xff"));
	CHECK(strstr(value(as_json), "not UTF-8"));
}

static void a_value_that_cannot_be_where_it_was_set_is_reported(void)
{
	struct lade_pipe_ref around;
	unsigned slot;

	begin();
	slot = get(".a.b", NULL);
	around = ask("json .a");
	CHECK_EQ(lade_pipe_shape_close(shape), 0);
	CHECK_EQ(read_message("{\"a\":5}"), 0);
	set(slot, lade_datum_integer(1));
	CHECK(strstr(value(around), "this is no object"));
	CHECK(strstr(written(), "this is no object"));
}

static void two_steps_in_one_place_are_refused_by_the_shape(void)
{
	unsigned slot;

	begin();
	get(".a", "x");
	CHECK_EQ(lade_pipe_shape_get(shape, ".a", NULL, &slot, &error), -EEXIST);
	CHECK_EQ(lade_pipe_shape_get(shape, "a", NULL, &slot, &error), -EINVAL);
	CHECK_EQ(lade_pipe_shape_get(shape, ".a", "\xff", &slot, &error), -EILSEQ);
	get(".a", "name with \" and .dots");
}

static void what_is_known_beside_the_bytes_can_be_asked_for(void)
{
	struct lade_pipe_ref offset, line, topic, part, key, stamp, header;
	struct lade_pipe_lane lane;

	begin();
	offset = ask("integer @offset");
	line = ask("@line");
	topic = ask("@topic");
	part = ask("integer @partition");
	key = ask("text? @key");
	stamp = ask("timestamp? @timestamp");
	header = ask("text? @header.x");
	CHECK_EQ(lade_pipe_shape_close(shape), 0);
	lade_pipe_lane_init(&lane, "in.ndjson", 3, 10);
	CHECK_EQ(read_message("{}"), 0);
	CHECK(strstr(value(topic), "@topic: is not there"));
	message.lane = &lane;
	message.offset = 4711;
	message.line = 12;
	CHECK_STR(value(offset), "4711");
	CHECK_STR(value(line), "\"12\"");
	CHECK_STR(value(topic), "\"in.ndjson\"");
	CHECK_STR(value(part), "3");
	CHECK_STR(value(key), "null");
	CHECK_STR(value(stamp), "null");
	CHECK_STR(value(header), "null");
	message.timestamp_us = 0;
	message.key = text("k");
	CHECK_STR(value(stamp), "\"1970-01-01T00:00:00.000000Z\"");
	CHECK_STR(value(key), "\"k\"");
}

static bool same_tuple(const struct lade_datum *a, size_t n, const struct lade_datum *b, size_t m)
{
	const void *left, *right;
	size_t left_len, right_len;

	CHECK_EQ(lade_pipe_tuple(a, n, &arena, &left, &left_len), 0);
	CHECK_EQ(lade_pipe_tuple(b, m, &arena, &right, &right_len), 0);
	return left_len == right_len && memcmp(left, right, left_len) == 0;
}

static void a_tuple_is_the_same_only_for_the_same_values(void)
{
	struct lade_datum one = lade_datum_integer(1), stamp = one;
	struct lade_datum ab_c[2] = { text("ab"), text("c") }, a_bc[2] = { text("a"), text("bc") };
	struct lade_datum split[2] = { text("ab"), text("c") };
	struct lade_datum null_1[2] = { lade_datum_null(), one },
			  one_null[2] = { one, lade_datum_null() };
	struct lade_datum empty = text(""), json = lade_datum_json("1", 1), digit = text("1");

	begin();
	stamp.type = LADE_TIMESTAMP;
	CHECK(same_tuple(ab_c, 2, split, 2));
	CHECK(!same_tuple(ab_c, 2, a_bc, 2));
	CHECK(!same_tuple(null_1, 2, one_null, 2));
	CHECK(!same_tuple(&one, 1, &digit, 1));
	CHECK(!same_tuple(&one, 1, &stamp, 1));
	CHECK(!same_tuple(&json, 1, &digit, 1));
	CHECK(!same_tuple(&empty, 1, null_1, 1));
	CHECK(!same_tuple(ab_c, 1, ab_c, 2));
	CHECK(same_tuple(NULL, 0, ab_c, 0));
}

static struct lade_pipe_rejection rejection = {
	.step = "airports", .reason = ".origin: \"x\" is odd", .attempts = 3, .first_us = 1500000,
};

static const char *dead(void)
{
	static char said[1024];

	lade_json_out_reset(&out);
	CHECK_EQ(lade_pipe_dead_letter(&message, &rejection, &out), 0);
	snprintf(said, sizeof(said), "%.*s", (int)out.len, out.data);
	CHECK_EQ(lade_json_read(reader, NULL, said, strlen(said), 0, NULL, &error), 0);
	return said;
}

static void a_dead_letter_keeps_the_bytes_and_says_why(void)
{
	struct lade_pipe_lane lane;

	begin();
	lade_pipe_lane_init(&lane, "in.ndjson", 0, 10);
	CHECK_EQ(lade_pipe_shape_close(shape), 0);
	read_message("{\"a\": \"\\u00e9\",}");
	message.lane = &lane;
	message.offset = 17;
	message.line = 2;
	CHECK_STR(dead(),
		  "{\"topic\":\"in.ndjson\",\"partition\":0,\"offset\":17,\"line\":2,"
		  "\"step\":\"airports\",\"error\":\".origin: \\\"x\\\" is odd\",\"attempts\":3,"
		  "\"first_failure\":\"1970-01-01T00:00:01.500000Z\","
		  "\"value\":\"{\\\"a\\\": \\\"\\\\u00e9\\\",}\"}");
}

static void a_dead_letter_keeps_bytes_that_are_no_text_in_base64(void)
{
	static const struct {
		const char *bytes;
		uint32_t len;
		const char *code;
	} cases[] = {
		{ "\xff", 1, "/w==" }, { "\xff\xfe", 2, "//4=" }, { "\xff\xfe\x00", 3, "//4A" },
		{ "{\"a\":\"\xc3(\"}", 10, "eyJhIjoiwygifQ==" },
	};

	begin();
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		message = (struct lade_pipe_message){ .bytes = cases[i].bytes, .len = cases[i].len,
						      .timestamp_us = INT64_MIN };
		CHECK(strstr(dead(), "\"value_base64\":\""));
		CHECK(strstr(dead(), cases[i].code));
		CHECK(!strstr(dead(), "\"value\":"));
	}
	message.bytes = "a\0b";
	message.len = 3;
	CHECK(strstr(dead(), "\"value\":\"a\\u0000b\""));
}

static void a_reason_that_was_cut_within_a_character_is_no_obstacle(void)
{
	const char *reason = rejection.reason;

	begin();
	message = (struct lade_pipe_message){ .bytes = "x", .len = 1, .timestamp_us = INT64_MIN };
	rejection.reason = "gr\xc3";
	CHECK(strstr(dead(), "\"error\":\"gr?\",\"attempts\""));
	CHECK(strstr(dead(), "\"value\":\"x\""));
	rejection.reason = reason;
}

static void memory_that_is_out_is_reported(void)
{
	struct lade_pipe_ref temp;
	unsigned slot;
	int rc = -ENOMEM;

	begin();
	slot = get(".weather", NULL);
	temp = ask("text .weather.temp");
	CHECK_EQ(lade_pipe_shape_close(shape), 0);
	for (size_t max = 8; rc < 0 && max < 4096; max += 8) {
		struct lade_arena small;
		struct lade_datum datum;

		lade_arena_init(&small, 8, max);
		message = (struct lade_pipe_message){ .bytes = "{}", .len = 2 };
		rc = lade_pipe_message_read(&message, shape, reader, &small, &error);
		if (rc == 0)
			rc = lade_pipe_message_set(&message, shape, slot,
						   lade_datum_json("{\"temp\":\"\\n\"}", 13),
						   &small);
		if (rc == 0)
			rc = lade_pipe_message_value(&message, shape, &temp, reader, &small, &datum,
						     &error);
		CHECK(rc == 0 || rc == -ENOMEM);
		lade_arena_done(&small);
	}
	CHECK_EQ(rc, 0);
}

int main(void)
{
	lade_arena_init(&arena, 4096, 1 << 20);
	lade_json_out_init(&out, 1 << 16);
	if (lade_json_reader_new(&reader) < 0)
		return 1;
	TAP(a_message_answers_what_it_was_read_for);
	TAP(what_steps_set_is_seen_and_written);
	TAP(a_path_into_an_answer_is_found);
	TAP(a_value_that_was_set_converts_like_any_other);
	TAP(a_value_that_cannot_be_where_it_was_set_is_reported);
	TAP(two_steps_in_one_place_are_refused_by_the_shape);
	TAP(what_is_known_beside_the_bytes_can_be_asked_for);
	TAP(a_tuple_is_the_same_only_for_the_same_values);
	TAP(a_dead_letter_keeps_the_bytes_and_says_why);
	TAP(a_dead_letter_keeps_bytes_that_are_no_text_in_base64);
	TAP(a_reason_that_was_cut_within_a_character_is_no_obstacle);
	TAP(memory_that_is_out_is_reported);
	lade_pipe_shape_free(shape);
	lade_json_reader_free(reader);
	lade_json_out_done(&out);
	lade_arena_done(&arena);
	return tap_done();
}
