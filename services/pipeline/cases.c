/* SPDX-License-Identifier: MIT */
/* cases.c - reads a file of cases.
 *
 * DESIGN
 * A message is written as YAML, which becomes JSON, or as a text in which JSON stands as it is. A
 * map that has a member `value` is a message with more to it, a key or headers; any other map is
 * the value itself. */

#include "services/pipeline/cases.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "services/pipeline/config_table.h"

/* YAML to JSON */

static void put_scalar(const struct lade_yaml_node *node, struct lade_json_out *out)
{
	struct lade_json_reader *reader = NULL;
	struct lade_json_error error;
	bool json = false;

	/* Without quotes null, true, false and numbers are what they are in JSON. */
	if (node->plain && node->len && lade_json_reader_new(&reader) == 0)
		json = lade_json_read(reader, NULL, node->text, node->len, LADE_JSON_ANY_ROOT, NULL,
				      &error) == 0;
	lade_json_reader_free(reader);
	if (json)
		lade_json_out_raw(out, node->text, node->len);
	else if (node->plain && (!node->len || strcmp(node->text, "~") == 0))
		lade_json_out_raw(out, "null", 4);
	else
		lade_json_out_string(out, node->text, node->len);
}

void lade_yaml_json(const struct lade_yaml_node *node, struct lade_json_out *out)
{
	bool map = node->kind == LADE_YAML_MAP;

	if (node->kind == LADE_YAML_SCALAR) {
		put_scalar(node, out);
		return;
	}
	lade_json_out_raw(out, map ? "{" : "[", 1);
	for (int i = 0; i < node->n; i++) {
		if (i)
			lade_json_out_raw(out, ",", 1);
		if (map) {
			lade_json_out_string(out, node->pairs[i].key, strlen(node->pairs[i].key));
			lade_json_out_raw(out, ":", 1);
		}
		lade_yaml_json(node->pairs[i].value, out);
	}
	lade_json_out_raw(out, map ? "}" : "]", 1);
}

/* Reading */

#define WRONG(c, node, ...)                                                                        \
	lade_pipe_problem(&(c)->problems, (node)->line, (node)->col, __VA_ARGS__)

static void *get_memory(struct lade_pipe_cases *c, size_t bytes)
{
	void *memory = lade_arena_alloc(&c->arena, bytes + 1);

	if (memory)
		memset(memory, 0, bytes + 1);
	else
		c->problems.out_of_memory = true;
	return memory;
}

static const struct lade_yaml_node *member(const struct lade_yaml_node *map, const char *name)
{
	return lade_yaml_get(map, name, strlen(name));
}

/* Refuses keys that are not in @words, "a|b|c". */
static void check_keys(struct lade_pipe_cases *c, const struct lade_yaml_node *map,
		       const char *words)
{
	if (map->kind != LADE_YAML_MAP) {
		WRONG(c, map, "expected keys: %s", words);
		return;
	}
	for (int i = 0; i < map->n; i++) {
		const struct lade_yaml_pair *p = &map->pairs[i];
		const char *near = NULL;
		size_t len = lade_pipe_word_near(words, p->key, &near);

		if (lade_pipe_word_number(words, p->key) >= 0)
			continue;
		if (len)
			lade_pipe_problem(&c->problems, p->line, p->col,
					  "unknown key '%.60s'; did you mean %.*s?", p->key,
					  (int)len, near);
		else
			lade_pipe_problem(&c->problems, p->line, p->col,
					  "unknown key '%.60s'; there are: %s", p->key, words);
	}
}

/* The text of a member, or NULL. */
static const char *text_of(struct lade_pipe_cases *c, const struct lade_yaml_node *map,
			   const char *name)
{
	const struct lade_yaml_node *node = member(map, name);

	if (node && node->kind != LADE_YAML_SCALAR)
		WRONG(c, node, "%s: expected a text", name);
	return node && node->kind == LADE_YAML_SCALAR ? node->text : NULL;
}

/* A number from 0 on; @otherwise where there is none. */
static int64_t number_of(struct lade_pipe_cases *c, const struct lade_yaml_node *map,
			 const char *name, int64_t otherwise)
{
	const struct lade_yaml_node *node = member(map, name);
	char *end = NULL;
	long long n = node && node->kind == LADE_YAML_SCALAR ? strtoll(node->text, &end, 10) : -1;

	if (!node)
		return otherwise;
	if (n < 0 || !end || *end || end == node->text) {
		WRONG(c, node, "%s: expected a number", name);
		return otherwise;
	}
	return n;
}

static void read_headers(struct lade_pipe_cases *c, const struct lade_yaml_node *map,
			 struct lade_case_message *m)
{
	m->headers_said = true;
	if (map->kind != LADE_YAML_MAP) {
		WRONG(c, map, "headers: expected names with texts");
		return;
	}
	m->headers = get_memory(c, (size_t)map->n * sizeof(*m->headers));
	for (int i = 0; m->headers && i < map->n; i++) {
		const struct lade_yaml_node *value = map->pairs[i].value;

		if (value->kind != LADE_YAML_SCALAR) {
			WRONG(c, value, "a header's value is a text");
			continue;
		}
		m->headers[m->n_headers++] = (struct lade_pipe_header){
			.name = map->pairs[i].key,
			.bytes = value->text,
			.len = (uint32_t)value->len,
		};
	}
}

/* The value of a message. A text is taken as it is; of an expected one it must be JSON. */
static void read_value(struct lade_pipe_cases *c, const struct lade_yaml_node *node, bool expected,
		       struct lade_case_message *m)
{
	struct lade_json_reader *reader = NULL;
	struct lade_json_error error;
	struct lade_json_out out;

	if (node->kind == LADE_YAML_SCALAR) {
		m->value = node->text;
		m->len = node->len;
		if (node->plain && (!node->len || strcmp(node->text, "null") == 0) && !expected)
			m->value = NULL;
		else if (!expected)
			return;
		else if (lade_json_reader_new(&reader) < 0)
			c->problems.out_of_memory = true;
		else if (lade_json_read(reader, NULL, node->text, node->len, LADE_JSON_ANY_ROOT,
					NULL, &error) < 0)
			WRONG(c, node, "expected JSON: %s at byte %zu", error.reason, error.at);
		lade_json_reader_free(reader);
		return;
	}
	lade_json_out_init(&out, (size_t)64 << 20);
	lade_yaml_json(node, &out);
	m->len = out.len;
	m->value = out.status == 0 ? lade_arena_copy(&c->arena, out.data, out.len) : NULL;
	if (!m->value)
		c->problems.out_of_memory = true;
	lade_json_out_done(&out);
}

static void read_message(struct lade_pipe_cases *c, const struct lade_yaml_node *node,
			 bool expected, struct lade_case_message *m)
{
	const struct lade_yaml_node *value = member(node, "value"), *headers;
	const char *time;

	m->node = node;
	m->timestamp_us = INT64_MIN;
	read_value(c, value ? value : node, expected, m);
	if (!value)
		return;
	check_keys(c, node, "value|key|topic|headers|timestamp");
	m->key = text_of(c, node, "key");
	m->topic = text_of(c, node, "topic");
	headers = member(node, "headers");
	if (headers)
		read_headers(c, headers, m);
	time = text_of(c, node, "timestamp");
	if (time && lade_timestamp_parse(time, strlen(time), &m->timestamp_us) < 0)
		WRONG(c, member(node, "timestamp"), "timestamp: expected 2026-01-31T12:00:00Z");
}

/* The elements of a member that is a list; NULL: it has none. */
static const struct lade_yaml_node *list_of(struct lade_pipe_cases *c,
					    const struct lade_yaml_node *map, const char *name)
{
	const struct lade_yaml_node *list = member(map, name);

	if (!list || (list->kind == LADE_YAML_SCALAR && !list->len))
		return NULL;
	if (list->kind != LADE_YAML_LIST) {
		WRONG(c, list, "%s: expected a list", name);
		return NULL;
	}
	if (list->n > LADE_CASE_ITEMS_MAX) {
		WRONG(c, list, "%s: at most %d", name, LADE_CASE_ITEMS_MAX);
		return NULL;
	}
	return list;
}

static struct lade_case_message *read_messages(struct lade_pipe_cases *c,
					       const struct lade_yaml_node *map, const char *name,
					       bool expected, int *ret_n)
{
	const struct lade_yaml_node *list = list_of(c, map, name);
	struct lade_case_message *all =
		list ? get_memory(c, (size_t)list->n * sizeof(*all)) : NULL;

	for (int i = 0; all && i < list->n; i++)
		read_message(c, list->pairs[i].value, expected, &all[i]);
	*ret_n = all ? list->n : 0;
	return all;
}

static void read_rejections(struct lade_pipe_cases *c, const struct lade_yaml_node *map,
			    struct lade_pipe_case *one)
{
	const struct lade_yaml_node *list = list_of(c, map, "rejected");

	one->rejections = list ? get_memory(c, (size_t)list->n * sizeof(*one->rejections)) : NULL;
	for (int i = 0; one->rejections && i < list->n; i++) {
		const struct lade_yaml_node *node = list->pairs[i].value;
		struct lade_case_rejection *r = &one->rejections[one->n_rejections++];

		check_keys(c, node, "input|step|reason");
		r->node = node;
		r->input = number_of(c, node, "input", 0);
		r->step = text_of(c, node, "step");
		r->reason = text_of(c, node, "reason");
	}
}

static const struct lade_pipe_step *step_named(const struct lade_pipe_config *config,
					       const char *name)
{
	for (int i = 0; i < config->n_steps; i++)
		if (strcmp(config->steps[i].name, name) == 0)
			return &config->steps[i];
	return NULL;
}

static void check_replies(struct lade_pipe_cases *c, const struct lade_yaml_node *list)
{
	for (int i = 0; i < list->n; i++) {
		const struct lade_yaml_node *node = list->pairs[i].value;
		const char *url, *status;

		check_keys(c, node, "url|status|body");
		url = text_of(c, node, "url");
		status = text_of(c, node, "status");
		if (!url || strncmp(url, "http://", 7) != 0 || strpbrk(url, "\t\r\n"))
			WRONG(c, node, "a reply needs a url: the beginning of an http:// address");
		if (status && (strlen(status) != 3 || *status < '2' || *status > '5') &&
		    lade_pipe_word_number("reset|never|half|drip|each", status) < 0)
			WRONG(c, member(node, "status"),
			      "status: expected 200 to 599, reset, never, half, drip or each");
	}
}

static void read_answers(struct lade_pipe_cases *c, const struct lade_yaml_node *map,
			 struct lade_pipe_case *one)
{
	const struct lade_yaml_node *all = member(map, "answers");

	if (!all)
		return;
	if (all->kind != LADE_YAML_MAP) {
		WRONG(c, all, "answers: expected names of steps, each with a list");
		return;
	}
	one->answers = get_memory(c, (size_t)all->n * sizeof(*one->answers));
	for (int i = 0; one->answers && i < all->n; i++) {
		const struct lade_yaml_pair *p = &all->pairs[i];
		const struct lade_pipe_step *step = step_named(c->config, p->key);

		if (!step || step->kind == LADE_STEP_TRANSFORM)
			lade_pipe_problem(&c->problems, p->line, p->col, "answers: the pipeline has"
					  " no step '%.60s' that asks anybody", p->key);
		else if (p->value->kind != LADE_YAML_LIST)
			WRONG(c, p->value, "expected a list of %s",
			      step->kind == LADE_STEP_SQL ? "rows" : "replies");
		else if (step->kind == LADE_STEP_HTTP)
			check_replies(c, p->value);
		one->answers[one->n_answers++] = (struct lade_case_answers){ p->key, p->value };
	}
}

static void read_case(struct lade_pipe_cases *c, const struct lade_yaml_node *node,
		      struct lade_pipe_case *one)
{
	one->node = node;
	check_keys(c, node, "name|input|answers|output|dropped|rejected");
	one->name = text_of(c, node, "name");
	if (!one->name)
		WRONG(c, node, "a case needs a name");
	if (!member(node, "input"))
		WRONG(c, node, "a case needs an input: a list of messages");
	one->inputs = read_messages(c, node, "input", false, &one->n_inputs);
	one->outputs = read_messages(c, node, "output", true, &one->n_outputs);
	one->dropped = number_of(c, node, "dropped", -1);
	read_rejections(c, node, one);
	read_answers(c, node, one);
}

static void read_cases(struct lade_pipe_cases *c)
{
	const struct lade_yaml_node *list;

	check_keys(c, c->root, "pipeline|cases");
	list = list_of(c, c->root, "cases");
	if (!list || list->n == 0 || list->n > LADE_CASES_MAX) {
		WRONG(c, c->root, "expected cases: a list of up to %d", LADE_CASES_MAX);
		return;
	}
	c->cases = get_memory(c, (size_t)list->n * sizeof(*c->cases));
	for (int i = 0; c->cases && i < list->n; i++)
		read_case(c, list->pairs[i].value, &c->cases[c->n++]);
}

static bool is_pipeline(const struct lade_yaml_node *root)
{
	return !lade_yaml_get(root, "cases", 5) &&
	       (lade_yaml_get(root, "config", 6) || lade_yaml_get(root, "source", 6));
}

/* A pipeline was given where its cases were meant. */
static int say_how(struct lade_pipe_cases *c)
{
	const char *slash = strrchr(c->file, '/'), *name = slash ? slash + 1 : c->file;
	const int folder = (int)(name - c->file);

	return WRONG(c, c->root, "this is a pipeline; lade test runs a file of cases, which names "
		     "it. Write %.*scases.yaml,\n"
		     "  pipeline: %s\n"
		     "  cases:\n"
		     "    - name: what is to be shown\n"
		     "      input: [ { k: 1 } ]\n"
		     "      output: [ { k: 1 } ]\n"
		     "and run lade test %.*scases.yaml; lade test --help shows what else a case"
		     " may have", folder, c->file, name, folder, c->file);
}

/* The pipeline, whose file's name is relative to the file of cases. */
static int load_pipeline(struct lade_pipe_cases *c, FILE *log)
{
	const char *name = text_of(c, c->root, "pipeline"), *slash = strrchr(c->file, '/');
	size_t folder = name && *name != '/' && slash ? (size_t)(slash + 1 - c->file) : 0;
	const char *problems;
	char *path;
	int rc;

	if (is_pipeline(c->root))
		return say_how(c);
	if (!name)
		return WRONG(c, c->root, "a file of cases names its pipeline: pipeline: FILE.yaml");
	path = get_memory(c, folder + strlen(name));
	c->config = path ? lade_pipe_config_new() : NULL;
	if (!c->config)
		return -ENOMEM;
	memcpy(path, c->file, folder);
	strcpy(path + folder, name);
	rc = lade_pipe_config_load(c->config, path);
	problems = rc < 0 ? lade_pipe_config_problems(c->config, false) : NULL;
	if (problems)
		fprintf(log, "%s", problems);
	return rc;
}

static int read_file(struct lade_pipe_cases *c, FILE *log)
{
	FILE *file = fopen(c->file, "re");
	char *text = malloc(LADE_YAML_BYTES_MAX + 1);
	size_t len = 0;
	int rc = text ? 0 : -ENOMEM;

	if (!file) {
		fprintf(log, "%s: %s\n", c->file, strerror(errno));
		rc = -EINVAL;
	}
	if (rc == 0) {
		len = fread(text, 1, LADE_YAML_BYTES_MAX + 1, file);
		if (ferror(file)) {
			fprintf(log, "%s: %s\n", c->file, strerror(errno));
			rc = -EINVAL;
		}
	}
	if (rc == 0)
		rc = lade_yaml_parse(text, len, &c->problems, &c->root);
	free(text);
	if (file)
		fclose(file);
	return rc;
}

static void say_problems(const struct lade_pipe_cases *c, FILE *log)
{
	for (const struct lade_pipe_problem *p = c->problems.first; p; p = p->next) {
		if (p->line)
			fprintf(log, "%s:%d:%d: %s\n", c->file, p->line, p->col, p->text);
		else
			fprintf(log, "%s: %s\n", c->file, p->text);
	}
}

int lade_pipe_cases_load(struct lade_pipe_cases *c, const char *path, FILE *log)
{
	int rc;

	*c = (struct lade_pipe_cases){ .file = path };
	lade_arena_init(&c->arena, 64 << 10, (size_t)1 << 30);
	c->problems.arena = &c->arena;
	rc = read_file(c, log);
	if (rc == 0 && !c->root)
		rc = lade_pipe_problem(&c->problems, 0, 0, "the file is empty");
	if (rc == 0)
		rc = load_pipeline(c, log);
	if (rc == 0)
		read_cases(c);
	say_problems(c, log);
	return rc == 0 && c->problems.n ? -EINVAL : c->problems.out_of_memory ? -ENOMEM : rc;
}

void lade_pipe_cases_free(struct lade_pipe_cases *c)
{
	lade_pipe_config_free(c->config);
	lade_arena_done(&c->arena);
}
