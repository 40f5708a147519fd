/* SPDX-License-Identifier: MIT */
/* json_diff_test.c - differences of documents, and what is none. */

#include "services/pipeline/json_diff.h"

#include <stdio.h>
#include <string.h>

#include "tap.h"

static char told[4096];

static void note(void *arg, const char *path, const char *expected, size_t expected_len,
		 const char *found, size_t found_len)
{
	size_t at = strlen(told);

	(void)arg;
	snprintf(told + at, sizeof(told) - at, "%s: %.*s|%.*s;", path,
		 expected ? (int)expected_len : 4, expected ? expected : "none",
		 found ? (int)found_len : 4, found ? found : "none");
}

static int diff(const char *expected, const char *found)
{
	*told = 0;
	return lade_json_diff(expected, strlen(expected), found, strlen(found), note, NULL);
}

static void what_means_the_same_is_no_difference(void)
{
	CHECK_EQ(diff("{}", " { } "), 0);
	CHECK_EQ(diff("{\"a\":1,\"b\":[true,null]}", "{ \"b\" : [ true , null ] , \"a\" : 1.0 }"),
		 0);
	CHECK_EQ(diff("\"\\u00e4/\"", "\"\xc3\xa4\\/\""), 0);
	CHECK_EQ(diff("1e2", "100"), 0);
	CHECK_EQ(diff("{\"}\":\"]\\\"\"}", "{\"}\":\"]\\\"\"}"), 0);
	CHECK_EQ(diff("123456789012345678901234567890", "123456789012345678901234567890"), 0);
}

static void a_difference_has_its_path_and_both_sides(void)
{
	CHECK_EQ(diff("{\"a\":{\"b\":[1,2]}}", "{\"a\":{\"b\":[1,3]}}"), 1);
	CHECK_STR(told, ".a.b[1]: 2|3;");
	CHECK_EQ(diff("{\"a\":1}", "{\"a\":\"1\"}"), 1);
	CHECK_STR(told, ".a: 1|\"1\";");
	CHECK_EQ(diff("[1]", "{}"), 1);
	CHECK_STR(told, ": [1]|{};");
	CHECK_EQ(diff("12345678901234567", "12345678901234568"), 1);
	CHECK_EQ(diff("true", "null"), 1);
}

static void what_one_side_alone_has_is_a_difference(void)
{
	CHECK_EQ(diff("{\"a\":1,\"odd name\":2}", "{\"c\":{\"d\":[3]}}"), 3);
	CHECK_STR(told, ".a: 1|none;.\"odd name\": 2|none;.c: none|{\"d\":[3]};");
	CHECK_EQ(diff("[1,2,3]", "[1]"), 2);
	CHECK_STR(told, "[1]: 2|none;[2]: 3|none;");
	CHECK_EQ(diff("[]", "[[]]"), 1);
	CHECK_STR(told, "[0]: none|[];");
}

static void of_many_differences_the_first_20_are_told(void)
{
	char many[256] = "[";
	int n = 0;

	for (int i = 0; i < 30; i++)
		strcat(many, i ? ",1" : "1");
	strcat(many, "]");
	CHECK_EQ(diff("[]", many), 30);
	for (const char *p = told; *p; p++)
		n += *p == ';';
	CHECK_EQ(n, 20);
}

int main(void)
{
	TAP(what_means_the_same_is_no_difference);
	TAP(a_difference_has_its_path_and_both_sides);
	TAP(what_one_side_alone_has_is_a_difference);
	TAP(of_many_differences_the_first_20_are_told);
	return tap_done();
}
