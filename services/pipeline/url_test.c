/* SPDX-License-Identifier: MIT */
/* url_test.c - addresses with holes, and values that try to break out of them. */

#include "services/pipeline/url.h"

#include <errno.h>

#include "tap.h"

static struct lade_json_error error;
static struct lade_arena arena;

/* The address for a template and the values of its holes, or the reason. */
static const char *with(const char *text, const struct lade_datum *values)
{
	struct lade_json_paths *paths = lade_json_paths_new();
	struct lade_pipe_url url;
	const char *ret = error.reason;
	size_t len = 0;

	if (lade_pipe_url_parse(text, strlen(text), paths, &url, &error) == 0 &&
	    lade_pipe_url_render(&url, values, &arena, &ret, &len, &error) == 0)
		CHECK_EQ(strlen(ret), len);
	lade_json_paths_free(paths);
	return ret;
}

static const char *filled(const char *text, const char *value)
{
	struct lade_datum values[LADE_URL_HOLES_MAX];

	for (int i = 0; i < LADE_URL_HOLES_MAX; i++)
		values[i] = lade_datum_text(value, (uint32_t)strlen(value));
	return with(text, values);
}

static void a_value_fills_a_segment_or_the_query(void)
{
	CHECK_STR(filled("http://weather/at/{.origin}", "SFO"), "http://weather/at/SFO");
	CHECK_STR(filled("https://w:8080/a/{.b}/c?d={.e}&f=1", "x"),
		  "https://w:8080/a/x/c?d=x&f=1");
	CHECK_STR(filled("http://w/{.a}-{.a}", "x"), "http://w/x-x");
	CHECK_STR(filled("http://w/", "x"), "http://w/");
	CHECK_STR(filled("HTTP://[::1]:80/a", ""), "HTTP://[::1]:80/a");
	CHECK_STR(filled("http://w/a{{b}}/{.c}", "x"), "http://w/a%7Bb%7D/x");
}

static void a_value_cannot_leave_its_place(void)
{
	static const char url[] = "http://w/at/{.a}/x?q={.b}";

	CHECK_STR(filled(url, "a/b"), "http://w/at/a%2Fb/x?q=a%2Fb");
	CHECK_STR(filled(url, "?x=1#y&z"), "http://w/at/%3Fx%3D1%23y%26z/x?q=%3Fx%3D1%23y%26z");
	CHECK_STR(filled(url, "@evil.example"), "http://w/at/%40evil.example/x?q=%40evil.example");
	CHECK_STR(filled(url, "a\r\nHost: b"),
		  "http://w/at/a%0D%0AHost%3A%20b/x?q=a%0D%0AHost%3A%20b");
	CHECK_STR(filled(url, "%2e%2e"), "http://w/at/%252e%252e/x?q=%252e%252e");
	CHECK_STR(filled(url, "gr\xc3\xb6\xc3\x9f""e+1"),
		  "http://w/at/gr%C3%B6%C3%9Fe%2B1/x?q=gr%C3%B6%C3%9Fe%2B1");
	CHECK_STR(filled(url, "{.c}"), "http://w/at/%7B.c%7D/x?q=%7B.c%7D");
}

static void a_segment_is_never_a_dot_two_dots_or_empty(void)
{
	CHECK(strstr(filled("http://w/{.a}/x", "."), "would be . or .."));
	CHECK(strstr(filled("http://w/{.a}/x", ".."), "would be . or .."));
	CHECK(strstr(filled("http://w/x/{.a}", ".."), "would be . or .."));
	CHECK(strstr(filled("http://w/x/{.a}{.b}", "."), "would be . or .."));
	CHECK(strstr(filled("http://w/x/.{.b}?q", "."), "would be . or .."));
	CHECK(strstr(filled("http://w/%2E{.b}/", "."), "would be . or .."));
	CHECK(strstr(filled("http://w/{.a}/x", ""), "would be empty"));
	CHECK(strstr(filled("http://w/{.a}", ""), "would be empty"));
	CHECK_STR(filled("http://w/{.a}", "..."), "http://w/...");
	CHECK_STR(filled("http://w/x{.a}", ""), "http://w/x");
	CHECK_STR(filled("http://w/x?q={.a}", ".."), "http://w/x?q=..");
	CHECK_STR(filled("http://w/x?q={.a}", ""), "http://w/x?q=");
	CHECK_STR(filled("http://w/x?a=/../{.a}", ".."), "http://w/x?a=/../..");
}

static void values_of_every_type_are_written_out(void)
{
	struct lade_datum values[5] = { lade_datum_integer(-5), lade_datum_double(0.5),
					lade_datum_integer(1), lade_datum_integer(0),
					lade_datum_json("[1]", 3) };

	values[2].type = LADE_BOOLEAN;
	values[3].type = LADE_TIMESTAMP;
	CHECK_STR(with("http://w/{integer .a}/{double .b}/{boolean .c}/{timestamp .d}/{json .e}",
		       values),
		  "http://w/-5/0.5/true/1970-01-01T00%3A00%3A00.000000Z/%5B1%5D");
}

static void what_is_no_address_is_refused_with_its_place(void)
{
	static const struct {
		const char *text;
		size_t at;
		const char *reason;
	} bad[] = {
		{ "", 0, "begins with http://" },
		{ "ftp://w/", 0, "begins with http://" },
		{ "{.scheme}://w/", 0, "begins with http://" },
		{ "file:///etc/passwd", 0, "begins with http://" },
		{ "http:///x", 7, "host's name is missing" },
		{ "http://w", 8, "a slash is missing" },
		{ "http://w?x", 8, "a slash is missing" },
		{ "http://{.host}/x", 7, "host cannot come from a message" },
		{ "http://w{.tld}/x", 8, "host cannot come from a message" },
		{ "http://w x/", 8, "host's name" },
		{ "http://w/a b", 10, "percent-encoded" },
		{ "http://w/\xc3\xb6", 9, "percent-encoded" },
		{ "http://w/a\"", 10, "percent-encoded" },
		{ "http://w/a#b", 10, "fragment" },
		{ "http://w/a#{.b}", 10, "fragment" },
		{ "http://w/{.a", 9, "not closed" },
		{ "http://w/.a}", 11, "never opened" },
		{ "http://w/{}", 10, "expected a path" },
		{ "http://w/{a}", 10, "expected a path" },
		{ "http://w/{int .a}", 10, "expected a type" },
		{ "http://w/{text? .a}", 9, "leave out the ?" },
		{ "http://w/{.a..b}", 13, "expected a name" },
		{ "http://w/../x", 9, "would be . or .." },
		{ "http://w/x/%2e", 11, "would be . or .." },
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		error.at = 999;
		if (!strstr(filled(bad[i].text, "x"), bad[i].reason))
			CHECK_STR(error.reason, bad[i].reason);
		CHECK_EQ(error.at, bad[i].at);
	}
}

static void the_limits_of_an_address_hold(void)
{
	char text[8400] = "http://w/";
	char value[9000];

	for (int i = 0; i < LADE_URL_HOLES_MAX; i++)
		strcat(text, "{.a}");
	CHECK_STR(filled(text, "a"), "http://w/aaaaaaaaaaaaaaaa");
	strcat(text, "{.a}");
	CHECK(strstr(filled(text, "a"), "more than 16 holes"));
	memset(value, 'a', LADE_URL_LEN_MAX - 9);
	value[LADE_URL_LEN_MAX - 9] = '\0';
	CHECK_EQ(strlen(filled("http://w/{.a}", value)), LADE_URL_LEN_MAX);
	strcat(value, "a");
	CHECK(strstr(filled("http://w/{.a}", value), "longer than 8192"));
	memset(text, 'a', 8300);
	memcpy(text, "http://w/", 9);
	text[8300] = '\0';
	CHECK(strstr(filled(text, ""), "longer than 8192"));
}

static void memory_that_is_out_is_reported(void)
{
	struct lade_json_paths *paths = lade_json_paths_new();
	struct lade_pipe_url url;
	struct lade_arena tiny;
	const char *ret;
	size_t len;

	lade_arena_init(&tiny, 8, 8);
	CHECK_EQ(lade_pipe_url_parse("http://w/abc", 12, paths, &url, &error), 0);
	CHECK_EQ(lade_pipe_url_render(&url, NULL, &tiny, &ret, &len, &error), -ENOMEM);
	lade_arena_done(&tiny);
	lade_json_paths_free(paths);
}

int main(void)
{
	lade_arena_init(&arena, 4096, 1 << 20);
	TAP(a_value_fills_a_segment_or_the_query);
	TAP(a_value_cannot_leave_its_place);
	TAP(a_segment_is_never_a_dot_two_dots_or_empty);
	TAP(values_of_every_type_are_written_out);
	TAP(what_is_no_address_is_refused_with_its_place);
	TAP(the_limits_of_an_address_hold);
	TAP(memory_that_is_out_is_reported);
	lade_arena_done(&arena);
	return tap_done();
}
