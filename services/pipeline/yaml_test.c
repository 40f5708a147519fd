/* SPDX-License-Identifier: MIT */
/* yaml_test.c - trees with places, aliases that stay small, substitution in scalars. */

#include "services/pipeline/yaml.h"

#include <errno.h>
#include <fcntl.h>

#include "tap.h"

static struct lade_arena arena;
static struct lade_pipe_problems problems;
static struct lade_yaml_node *root;

static int parse_bytes(const char *text, size_t len)
{
	lade_arena_reset(&arena);
	problems = (struct lade_pipe_problems){ .arena = &arena };
	root = NULL;
	return lade_yaml_parse(text, len, &problems, &root);
}

static int parse(const char *text)
{
	return parse_bytes(text, strlen(text));
}

/* The scalar of a key at the top. */
static const char *value(const char *key)
{
	const struct lade_yaml_node *node = lade_yaml_get(root, key, strlen(key));

	return node && node->kind == LADE_YAML_SCALAR ? node->text : "(none)";
}

/* Scalars at the top, as they ought to be. */
struct scalar {
	const char *key, *text;
};

static void check_scalars(const struct scalar *scalars, size_t n)
{
	for (size_t i = 0; i < n; i++)
		CHECK_STR(value(scalars[i].key), scalars[i].text);
}

static const char *shown(const char *key)
{
	const struct lade_yaml_node *node = lade_yaml_get(root, key, strlen(key));

	return node ? node->shown : "(none)";
}

/* The first problem, as line:col: text. */
static const char *complaint(const char *text)
{
	static char said[1200];

	CHECK_EQ(parse(text), -EINVAL);
	if (!problems.first)
		return "nothing";
	snprintf(said, sizeof(said), "%d:%d: %s", problems.first->line, problems.first->col,
		 problems.first->text);
	return said;
}

static void check_complaint(const char *text, const char *place, const char *reason)
{
	const char *said = complaint(text);

	if (strncmp(said, place, strlen(place)) != 0 || !strstr(said, reason)) {
		printf("# in: %s\n# want: %s %s\n", text, place, reason);
		CHECK_STR(said, reason);
	}
}

static void every_node_knows_its_line_and_column(void)
{
	const struct lade_yaml_node *list;

	CHECK_EQ(parse("a: 1\nlist:\n  - x\n  - { b: 'y' }\n"), 0);
	list = lade_yaml_get(root, "list", 4);
	CHECK_EQ(list->kind, LADE_YAML_LIST);
	CHECK_EQ(list->n, 2);
	CHECK_EQ(list->pairs[0].value->line, 3);
	CHECK_EQ(list->pairs[0].value->col, 5);
	CHECK(list->pairs[0].value->plain);
	CHECK_EQ(list->pairs[1].value->pairs[0].line, 4);
	CHECK_EQ(list->pairs[1].value->pairs[0].col, 7);
	CHECK_EQ(list->pairs[1].value->pairs[0].value->col, 10);
	CHECK(!list->pairs[1].value->pairs[0].value->plain);
}

static void scalars_stay_text(void)
{
	static const struct scalar scalars[] = {
		{ "a", "007" },
		{ "b", "yes" },
		{ "c", "1e3" },
		{ "d", "~" },
		{ "e", "\xe2\x82\xac" },
		{ "f", "x\ny\n" },
		{ "g", "x y\n" },
	};

	CHECK_EQ(parse("a: 007\nb: yes\nc: 1e3\nd: ~\ne: \"\\u20ac\"\nf: |\n  x\n  y\ng: >\n  x\n  "
		       "y\n"),
		 0);
	check_scalars(scalars, sizeof(scalars) / sizeof(*scalars));
}

static void what_yaml_does_not_like_is_explained(void)
{
	check_complaint("", "0:0:", "the file is empty");
	check_complaint("# nothing\n", "0:0:", "the file is empty");
	check_complaint("a: @offset\n", "1:4:", "a value that begins with @");
	check_complaint("a: { b: ${env:X} }\n", "1:", "is put in quotes");
	check_complaint("a:\n\tb: 1\n", "2:1:", "not with tabs");
	check_complaint("a: b: c\n", "1:5:", "a value with a colon");
	check_complaint("a: *b\n", "1:4:", "undefined alias");
	check_complaint("a: [1, 2\n", "2:1:", "expected ',' or ']'");
	check_complaint("a: 'x\n", "2:1:", "quoted scalar");
	check_complaint("a: 1\n b: 2\n", "2:3:", "mapping values");
	check_complaint("a: 1\n---\nb: 2\n", "2:1:", "a second document");
	check_complaint("a: !!binary aGk=\n", "1:4:", "tags");
	check_complaint("a: 1\nb: 2\na: 3\n", "3:1:", "twice, first in line 1");
	check_complaint("? [x]\n: 1\n", "1:3:", "a key must be a word");
	check_complaint("{{.a}}: 1\n", "1:1:", "a key must be a word");
	check_complaint("a: &x { b: 1 }\nc: { <<: *x }\n", "2:6:", "merge keys");
	check_complaint("a: \"x\\0y\"\n", "1:4:", "NUL");
	check_complaint("\"x\\0y\": 1\n", "1:1:", "NUL");
	check_complaint("a: \xff\n", "1:1:", "UTF-8");
	check_complaint("x: 1\na: \x01\n", "2:1:", "UTF-8");
}

static void an_alias_is_its_anchor_and_nothing_more(void)
{
	const struct lade_yaml_node *a, *b;

	CHECK_EQ(parse("a: &x { k: 1 }\nb: *x\n"), 0);
	a = lade_yaml_get(root, "a", 1);
	b = lade_yaml_get(root, "b", 1);
	CHECK(a == b);
	check_complaint("a: &x [*x]\n", "1:4:", "inside of its own anchor");
}

static void a_billion_laughs_stay_a_few_nodes(void)
{
	char text[2048] = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n", line[128];

	for (int i = 1; i < 12; i++) {
		snprintf(line, sizeof(line), "a%d: &a%d [*a%d, *a%d, *a%d, *a%d, *a%d, *a%d]\n", i,
			 i, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1);
		strcat(text, line);
	}
	CHECK_EQ(parse(text), 0);
	CHECK(arena.held_bytes < 100000);
}

static void depth_and_size_are_limited(void)
{
	char text[200];
	char *large = malloc(LADE_YAML_BYTES_MAX + 2);

	memset(text, '[', 40);
	memset(text + 40, ']', 40);
	text[80] = '\0';
	check_complaint(text, "1:", "nested deeper than 32");
	memset(large, '#', LADE_YAML_BYTES_MAX + 1);
	CHECK_EQ(parse_bytes(large, LADE_YAML_BYTES_MAX + 1), -EINVAL);
	CHECK(strstr(problems.first->text, "1 MiB"));
	for (int i = 0; i < 11000; i++)
		memcpy(large + 4 * i, "- x\n", 4);
	CHECK_EQ(parse_bytes(large, 44000), -EINVAL);
	CHECK(strstr(problems.first->text, "more than 10000 values"));
	free(large);
}

static void variables_are_replaced_in_scalars_only(void)
{
	static const struct scalar scalars[] = {
		{ "a", "x: [1]" },
		{ "b", "<x: [1]|x: [1]>" },
		{ "c", "else" },
		{ "d", "else" },
		{ "e", "" },
		{ "f", "" },
		{ "g", "${env:X} $5 $" },
		{ "${env:LADE_TEST_A}", "key" },
	};

	setenv("LADE_TEST_A", "x: [1]", 1);
	setenv("LADE_TEST_EMPTY", "", 1);
	unsetenv("LADE_TEST_NONE");
	CHECK_EQ(parse("a: ${env:LADE_TEST_A}\nb: \"<${env:LADE_TEST_A}|${env:LADE_TEST_A}>\"\n"
		       "c: ${env:LADE_TEST_NONE:-else}\nd: ${env:LADE_TEST_EMPTY:-else}\n"
		       "e: \"${env:LADE_TEST_EMPTY}\"\nf: ${env:LADE_TEST_NONE:-}\ng: $${env:X} $5 "
		       "$\n"
		       "${env:LADE_TEST_A}: key\n"),
		 0);
	check_scalars(scalars, sizeof(scalars) / sizeof(*scalars));
}

static void a_variable_is_not_read_a_second_time(void)
{
	setenv("LADE_TEST_A", "${env:LADE_TEST_B}", 1);
	setenv("LADE_TEST_B", "inner", 1);
	CHECK_EQ(parse("a: ${env:LADE_TEST_A}\n"), 0);
	CHECK_STR(value("a"), "${env:LADE_TEST_B}");
}

static void secrets_are_not_shown(void)
{
	setenv("LADE_TEST_HOST", "db", 1);
	setenv("LADE_TEST_PASSWORD", "hunter2", 1);
	CHECK_EQ(parse("a: ${env:LADE_TEST_HOST}\nb: \"x${env:LADE_TEST_PASSWORD}y\"\n"), 0);
	CHECK_STR(shown("a"), "db");
	CHECK_STR(value("b"), "xhunter2y");
	CHECK_STR(shown("b"), "x***y");
}

static void a_file_is_read_without_its_last_newline_and_is_a_secret(void)
{
	char path[] = "/tmp/lade-yaml-XXXXXX", text[128];
	int fd = mkstemp(path);

	CHECK(fd >= 0);
	CHECK_EQ(write(fd, "s3cret\n", 7), 7);
	snprintf(text, sizeof(text), "a: \"<${file:%s}>\"\n", path);
	CHECK_EQ(parse(text), 0);
	CHECK_STR(value("a"), "<s3cret>");
	CHECK_STR(shown("a"), "<***>");
	CHECK_EQ(write(fd, "\0", 1), 1);
	check_complaint(text, "1:4:", "is not UTF-8 text");
	CHECK_EQ(ftruncate(fd, LADE_YAML_SECRET_MAX + 1), 0);
	check_complaint(text, "1:4:", "longer than 64 KiB");
	close(fd);
	unlink(path);
	check_complaint(text, "1:4:", "No such file");
	check_complaint("a: ${file:/}\n", "1:4:", "Is a directory");
}

static void what_cannot_be_replaced_is_an_error_with_its_place(void)
{
	unsetenv("LADE_TEST_NONE");
	setenv("LADE_TEST_BAD", "\xff", 1);
	check_complaint("x: 1\na: ${env:LADE_TEST_NONE}\n", "2:4:", "set the variable");
	check_complaint("a: ${LADE_TEST_A}\n", "1:4:", "is neither");
	check_complaint("a: ${env:}\n", "1:4:", "is not ${env:NAME}");
	check_complaint("a: ${env:A-B}\n", "1:4:", "is not ${env:NAME}");
	check_complaint("a: ${env:A:+b}\n", "1:4:", "is not ${env:NAME}");
	check_complaint("a: ${file:}\n", "1:4:", "names no file");
	check_complaint("a: ${env:A\n", "1:4:", "has no }");
	check_complaint("a: ${cmd:ls}\n", "1:4:", "is neither");
	check_complaint("a: ${env:LADE_TEST_BAD}\n", "1:4:", "UTF-8");
}

static void all_unset_variables_are_named_at_once(void)
{
	CHECK_EQ(parse("a: ${env:LADE_TEST_X1}\nb: ${env:LADE_TEST_X2}\n"), -EINVAL);
	CHECK_EQ(problems.n, 2);
	CHECK_EQ(problems.last->line, 2);
}

static void memory_that_is_out_is_reported(void)
{
	static const char text[] = "a: [1, 2, { b: \"${env:HOME:-x}\" }]\n";
	int rc = -ENOMEM;

	for (size_t max = 16; rc != 0 && max < 100000; max += 16) {
		lade_arena_done(&arena);
		lade_arena_init(&arena, 16, max);
		rc = parse(text);
		if (rc != 0)
			CHECK_EQ(rc, -ENOMEM);
	}
	CHECK_EQ(rc, 0);
	lade_arena_done(&arena);
	lade_arena_init(&arena, 4096, 8 << 20);
}

int main(void)
{
	lade_arena_init(&arena, 4096, 8 << 20);
	TAP(every_node_knows_its_line_and_column);
	TAP(scalars_stay_text);
	TAP(what_yaml_does_not_like_is_explained);
	TAP(an_alias_is_its_anchor_and_nothing_more);
	TAP(a_billion_laughs_stay_a_few_nodes);
	TAP(depth_and_size_are_limited);
	TAP(variables_are_replaced_in_scalars_only);
	TAP(a_variable_is_not_read_a_second_time);
	TAP(secrets_are_not_shown);
	TAP(a_file_is_read_without_its_last_newline_and_is_a_secret);
	TAP(what_cannot_be_replaced_is_an_error_with_its_place);
	TAP(all_unset_variables_are_named_at_once);
	TAP(memory_that_is_out_is_reported);
	lade_arena_done(&arena);
	return tap_done();
}
