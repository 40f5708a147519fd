/* SPDX-License-Identifier: MIT */
/* config_check.c - refuses what no run could keep, with the reason.
 *
 * DESIGN
 * The table says what a value may be by itself; here is what values may not be together.
 * A guarantee that cannot be kept is refused before the first message, not explained after
 * the first loss. */

#include "services/pipeline/config.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <strings.h>

#include <lade/json.h>
#include <lade/kafka.h>

#include "services/pipeline/config_table.h"
#include "services/pipeline/csv.h"
#include "services/pipeline/message.h"
#include "services/pipeline/postgres.h"
#include "services/pipeline/ref.h"
#include "services/pipeline/url.h"

#define NAME_MAX_LEN 64
#define SQLITE_PREFIX "sqlite:"

/* Of a breaker that nothing is said of, as in the table. */
#define BREAKER_FAILURES 20
#define BREAKER_PAUSE_NS INT64_C(5000000000)

#define SETTLE_NS INT64_C(10000000000)	/* where nothing is said */
#define TO_KAFKA 10000 /* messages of a transaction of Kafka, if batches are small */

struct checking {
	struct lade_pipe_config *config;
	struct lade_json_paths *paths;		/* every path of the file: are they paths? */
	struct lade_json_overlay *overlay;	/* what the steps set: do they collide? */
	int plain;				/* lade_pipe_plain: what messages are here */
};

const char *lade_pipe_step_type(int kind)
{
	static const char *const names[] = { "", "sql", "http", "transform", "plugin" };

	return names[kind];
}

static const struct lade_yaml_node *element(const struct lade_yaml_node *node, int i)
{
	if (node->kind != LADE_YAML_LIST)
		return node;
	return i < node->n ? node->pairs[i].value : node;
}

const struct lade_yaml_node *lade_pipe_config_node(const struct lade_pipe_config *config,
						   const char *list, int i, const char *path)
{
	const struct lade_yaml_node *node = config->root, *next = node;

	if (node && list)
		next = lade_yaml_get(node, list, strlen(list));
	if (next && list)
		next = element(next, i);
	while (next) {
		size_t len = strcspn(path, ".");

		node = next;
		next = len ? lade_yaml_get(node, path, len) : NULL;
		path += len + (path[len] == '.');
	}
	return node;
}

/* Where a node begins in the file's text; of a block, the line behind its | or >. */
static const char *begins_at(const struct lade_pipe_config *config,
			     const struct lade_yaml_node *node, int *line, int *col)
{
	const char *at = config->text;

	for (*line = 1; *line < node->line && *at; at++)
		*line += *at == '\n';
	for (*col = 1; *col < node->col && *at && *at != '\n'; at++)
		*col += ((unsigned char)at[1] & 0xc0) != 0x80;
	if (node->plain || !*at)
		return at;
	if (*at == '|' || *at == '>') {
		at += strcspn(at, "\n");
		*line += *at == '\n';
		*col = 1;
		return at + (*at == '\n');
	}
	++*col;
	return at + 1;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\n' || c == '\t' || c == '\r';
}

/* Lines may be folded and are indented: what is not blank is the same in both. */
void lade_pipe_config_place(const struct lade_pipe_config *config,
			    const struct lade_yaml_node *node, size_t position, int *ret_line,
			    int *ret_col)
{
	const char *value = node->text, *end, *at;
	int line, col;

	*ret_line = node->line;
	*ret_col = node->col;
	if (!config->text || node->kind != LADE_YAML_SCALAR || !position)
		return;
	end = value + (position <= node->len ? position - 1 : node->len);
	at = begins_at(config, node, &line, &col);
	for (;;) {
		while (is_blank(*at)) {
			line += *at == '\n';
			col = *at++ == '\n' ? 1 : col + 1;
		}
		while (value < end && is_blank(*value))
			value++;
		if (value >= end)
			break;
		if (*at++ != *value++)
			return;
		col += ((unsigned char)*at & 0xc0) != 0x80;
	}
	*ret_line = line;
	*ret_col = col;
}

/* A problem at a place of the file. */
__attribute__((format(printf, 5, 6)))
static void refuse(struct checking *c, const char *list, int i, const char *path,
		   const char *format, ...)
{
	const struct lade_yaml_node *at = lade_pipe_config_node(c->config, list, i, path);
	char text[800];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	lade_pipe_problem(&c->config->problems, at->line, at->col, "%s", text);
}

__attribute__((format(printf, 5, 6)))
static void note(struct checking *c, const char *list, int i, const char *path,
		 const char *format, ...)
{
	const struct lade_yaml_node *at = lade_pipe_config_node(c->config, list, i, path);
	char text[800];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	lade_pipe_problem(&c->config->notes, at->line, at->col, "%s", text);
}

/* A problem within the text of an entry, at its byte @at. */
static void refuse_text(struct checking *c, const struct lade_pipe_entry *e, size_t at,
			const char *reason)
{
	lade_pipe_problem(&c->config->problems, e->line, e->col, "%.100s \"%.100s\", character %zu:"
			  " %s", e->name, e->shown, at + 1, reason);
}

/* A problem with an entry as a whole. */
static void refuse_entry(struct checking *c, const struct lade_pipe_entry *e, const char *reason)
{
	lade_pipe_problem(&c->config->problems, e->line, e->col, "\"%.100s\": %s", e->name, reason);
}

static bool name_char(char c, bool first)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
	       (!first && c >= '0' && c <= '9');
}

static bool is_identifier(const char *name)
{
	size_t len = strlen(name);

	for (size_t i = 0; i < len; i++)
		if (!name_char(name[i], i == 0))
			return false;
	return len > 0 && len <= NAME_MAX_LEN;
}

static bool is_label(const char *name)
{
	size_t len = strlen(name);

	for (size_t i = 0; i < len; i++)
		if (!name_char(name[i], false) && name[i] != '-' && (name[i] != '.' || i == 0))
			return false;
	return len > 0 && len <= NAME_MAX_LEN;
}

static bool is_postgres(const char *address)
{
	return strncmp(address, "postgres://", 11) == 0 ||
	       strncmp(address, "postgresql://", 13) == 0;
}

static const char *address_of(const struct lade_pipe_config *config, const char *name)
{
	for (int i = 0; i < config->databases.n; i++)
		if (strcmp(config->databases.at[i].name, name) == 0)
			return config->databases.at[i].text;
	return NULL;
}

const char *lade_pipe_database_file(const struct lade_pipe_config *config, const char *name)
{
	const char *address = address_of(config, name);

	return address && !is_postgres(address) ? address + strlen(SQLITE_PREFIX) : NULL;
}

const char *lade_pipe_database_url(const struct lade_pipe_config *config, const char *name)
{
	const char *address = address_of(config, name);

	return address && is_postgres(address) ? address : NULL;
}

static void check_url(struct checking *c, const struct lade_pipe_entry *e, const char *path)
{
	char *conninfo = lade_arena_alloc(&c->config->arena, strlen(e->text) + 1);
	struct lade_pg_error error;
	bool prepare;

	if (!conninfo) {
		c->config->problems.out_of_memory = true;
		return;
	}
	lade_pipe_pg_conninfo(e->text, conninfo, &prepare);
	if (lade_pg_conninfo_check(conninfo, &error) == -EINVAL)
		refuse(c, NULL, 0, path, "databases.%.60s: %s", e->name, error.text);
}

static void check_databases(struct checking *c)
{
	for (int i = 0; i < c->config->databases.n; i++) {
		const struct lade_pipe_entry *e = &c->config->databases.at[i];
		char path[96];

		snprintf(path, sizeof(path), "databases.%.80s", e->name);
		if (!is_label(e->name))
			refuse(c, NULL, 0, "databases",
			       "databases: the name \"%.60s\" must consist of"
			       " letters, digits, _ and -",
			       e->name);
		else if (is_postgres(e->text))
			check_url(c, e, path);
		else if (strncmp(e->text, SQLITE_PREFIX, strlen(SQLITE_PREFIX)) != 0 ||
			 !e->text[strlen(SQLITE_PREFIX)])
			refuse(c, NULL, 0, path, "databases.%s: expected sqlite:FILE, as"
			       " sqlite:airports.db, or postgres://USER@HOST/DATABASE", e->name);
	}
}

static void check_db(struct checking *c, const char *list, int i, const char *path,
		     const char *name, bool postgres)
{
	const char *address = address_of(c->config, name);

	if (address && is_postgres(address) != postgres)
		refuse(c, list, i, path, "the database \"%.60s\" is of the other kind: %s", name,
		       postgres ? "this needs postgres://…" : "this needs sqlite:FILE");
	else if (!address)
		refuse(c, list, i, path, "there is no database \"%.60s\"; add it to databases, as"
		       " databases: { %.60s: \"%s\" }", name, name,
		       postgres ? "postgres://USER@HOST/DATABASE" : "sqlite:FILE");
}

/* What a source knows about a message beside its bytes. */
static bool known(const struct lade_pipe_config *config, int kind)
{
	bool file = config->source.kind == LADE_SOURCE_FILE;
	bool kafka = config->source.kind == LADE_SOURCE_KAFKA;
	bool table = config->source.kind == LADE_SOURCE_POSTGRES;

	switch (kind) {
	case LADE_REF_PATH:
	case LADE_REF_OFFSET:
		return true;
	case LADE_REF_LINE:
		return !kafka && !table;
	case LADE_REF_TOPIC:
	case LADE_REF_PARTITION:
		return file || kafka || table;
	default:
		return kafka;
	}
}

/* What they do have, for somebody who asked for something else. */
static const char *has_instead(const struct lade_pipe_config *config)
{
	switch (config->source.kind) {
	case LADE_SOURCE_FILE:
		return "lines of a file have no such thing; they have @offset, @line, @topic (the"
		       " file's name) and @partition (0)";
	case LADE_SOURCE_KAFKA:
		return "messages of Kafka have no such thing; they have @key, @offset, @topic,"
		       " @partition, @timestamp and @header.NAME";
	case LADE_SOURCE_POSTGRES:
		return "rows of a table have no such thing; they have @offset (which counts them),"
		       " @topic (the table's name) and @partition (0)";
	default:
		return "lines of standard input have no such thing; they have @offset and @line";
	}
}

/* What a path cannot reach where messages are no objects; or NULL. */
static const char *no_such_path(const struct checking *c, const struct lade_pipe_ref *ref)
{
	if (ref->kind != LADE_REF_PATH || !c->plain)
		return NULL;
	if (c->plain == LADE_PLAIN_BYTES)
		return "messages are bytes, which have no values; there are only their @names, or"
		       " format: text";
	return ref->name_len == 1 ? NULL
				  : "messages are texts, which have no members: their only path is"
				    " the text itself, as text .";
}

static void check_ref(struct checking *c, const struct lade_pipe_entry *e)
{
	struct lade_json_error error;
	struct lade_pipe_ref ref;
	int rc = lade_pipe_ref_parse(e->text, strlen(e->text), c->paths, &ref, &error);

	if (rc == -ENOMEM)
		c->config->problems.out_of_memory = true;
	else if (rc < 0)
		refuse_text(c, e, error.at, error.reason);
	else if (!known(c->config, (int)ref.kind))
		refuse_entry(c, e, has_instead(c->config));
	else if (no_such_path(c, &ref))
		refuse_entry(c, e, no_such_path(c, &ref));
}

/* A key of the configuration whose text says where a message's key is. */
static void check_key(struct checking *c, const char *list, int i, const char *path,
		      const char *text)
{
	const struct lade_yaml_node *node = lade_pipe_config_node(c->config, list, i, path);
	struct lade_pipe_entry e = { "key", text, node->shown, node->line, node->col };

	check_ref(c, &e);
}

/* Columns of the relation `batch`. */
static void check_columns(struct checking *c, const struct lade_pipe_map *map)
{
	for (int i = 0; i < map->n; i++) {
		const struct lade_pipe_entry *e = &map->at[i];

		if (!is_identifier(e->name))
			refuse_entry(c, e, "a column of batch is named with letters, digits"
							" and _, up to 64 of them");
		else if (strcasecmp(e->name, "i") == 0 || strcasecmp(e->name, "m") == 0)
			refuse_entry(c, e, "batch has a column of that name already: i is"
							" the message's number, m is the message");
		for (int j = 0; j < i; j++)
			if (strcasecmp(e->name, map->at[j].name) == 0)
				refuse_entry(c, e,
					     "two columns have this name, because SQL does"
					     " not tell small letters from capitals");
		check_ref(c, e);
	}
}

static void check_into(struct checking *c, int i, const char *path)
{
	const struct lade_pipe_step *step = &c->config->steps[i];
	size_t before = lade_json_overlay_count(c->overlay), len = strlen(step->into);
	struct lade_json_error error;
	unsigned slot;
	int rc;

	if (c->plain) {
		refuse(c, "steps", i, path, "into: messages are %s, and nothing can be set in them;"
		       " make objects of them before, as - transform: { fields: { t: %s },"
		       " query: \"select i, json_object('t', t) as value from batch\" }",
		       c->plain == LADE_PLAIN_TEXT ? "texts" : "bytes",
		       c->plain == LADE_PLAIN_TEXT ? "text ." : "text @key");
		return;
	}
	rc = lade_json_overlay_add(c->overlay, step->into, len, &slot, &error);

	if (rc == -ENOMEM)
		c->config->problems.out_of_memory = true;
	else if (rc < 0)
		refuse(c, "steps", i, path, "into \"%.100s\", character %zu: %s", step->into,
		       error.at + 1, error.reason);
	else if (step->into[1] == '[')
		refuse(c, "steps", i, path, "into \"%.100s\": a message is an object, which has no"
		       " items; name a member, as .name", step->into);
	else if (slot < before)
		refuse(c, "steps", i, path,
		       "into \"%.100s\": an earlier step sets this path; choose"
		       " another one",
		       step->into);
}

static bool is_token(const char *name)
{
	for (const char *p = name; *p; p++)
		if (!name_char(*p, false) && !strchr("!#$%&'*+-.^`|~", *p))
			return false;
	return *name && strlen(name) <= 256;
}

static void check_headers(struct checking *c, const struct lade_pipe_map *headers)
{
	static const char *const ours = "content-length|transfer-encoding|connection|te|trailer"
					"|upgrade|idempotency-key";

	for (int i = 0; i < headers->n; i++) {
		const struct lade_pipe_entry *e = &headers->at[i];
		char lower[64];
		size_t n = 0;

		for (; e->name[n] && n < sizeof(lower) - 1; n++)
			lower[n] = (char)(e->name[n] |
					  (e->name[n] >= 'A' && e->name[n] <= 'Z' ? 32 : 0));
		lower[n] = '\0';
		if (!is_token(e->name))
			lade_pipe_problem(&c->config->problems, e->line, e->col,
					  "\"%.60s\" is no header's name", e->name);
		else if (lade_pipe_word_number(ours, lower) >= 0)
			lade_pipe_problem(&c->config->problems, e->line, e->col,
					  "the header %s is set by lade; leave it out", e->name);
		if (strpbrk(e->text, "\r\n"))
			lade_pipe_problem(&c->config->problems, e->line, e->col,
					  "the header %.60s holds a line break", e->name);
	}
}

/* The entry for a key of a step, so that what is said names its place. */
static struct lade_pipe_entry entry_of(const struct checking *c, int i, const char *path,
				       const char *text)
{
	const struct lade_yaml_node *node = lade_pipe_config_node(c->config, "steps", i, path);

	return (struct lade_pipe_entry){ strchr(path, '.') + 1, text, node->shown, node->line,
					 node->col };
}

static void check_address(struct checking *c, int i)
{
	const struct lade_pipe_step *step = &c->config->steps[i];
	const char *address = step->post ? step->post : step->get;
	struct lade_pipe_entry e = entry_of(c, i, step->post ? "http.post" : "http.get", address);
	struct lade_json_error error;
	struct lade_pipe_url url;
	int rc = lade_pipe_url_parse(address, strlen(address), c->paths, &url, &error);

	if (rc == -ENOMEM)
		c->config->problems.out_of_memory = true;
	else if (rc < 0)
		refuse_text(c, &e, error.at, error.reason);
	else if (step->batch && url.holes)
		refuse_entry(c, &e, "one request for a whole batch has one address: leave out the"
			     " { }, or batch");
	for (unsigned k = 0; rc == 0 && k < url.n; k++)
		if (!url.parts[k].text && !known(c->config, (int)url.parts[k].ref.kind))
			refuse_entry(c, &e, "the messages of this source have no such @name");
}

/* A path into an answer. */
static void check_answer_path(struct checking *c, int i, const char *place, const char *path)
{
	struct lade_pipe_entry e = entry_of(c, i, place, path);
	struct lade_json_paths *paths = lade_json_paths_new();
	struct lade_json_error error;
	unsigned slot;
	int rc = paths ? lade_json_paths_add(paths, path, strlen(path), &slot, &error) : -ENOMEM;

	if (rc == -ENOMEM)
		c->config->problems.out_of_memory = true;
	else if (rc < 0)
		refuse_text(c, &e, error.at, error.reason);
	lade_json_paths_free(paths);
}

static void check_body(struct checking *c, int i)
{
	struct lade_pipe_entry e = entry_of(c, i, "http.body", c->config->steps[i].body);

	check_ref(c, &e);
}

/* What goes with a POST only, and what with a batch only. */
static void check_post(struct checking *c, int i)
{
	const struct lade_pipe_step *step = &c->config->steps[i];

	if (step->body && !step->post)
		refuse(c, "steps", i, "http.body", "body needs post: a GET sends none");
	else if (step->body)
		check_body(c, i);
	if (step->batch && !step->post)
		refuse(c, "steps", i, "http.batch", "batch needs post: one POST of an array of"
		       " bodies");
	if (step->match && !step->batch)
		refuse(c, "steps", i, "http.match", "match needs batch: true: a single request has"
		       " a single answer");
	else if (step->match)
		check_answer_path(c, i, "http.match", step->match);
	if (step->batch && step->cache.stale_ns)
		refuse(c, "steps", i, "http.cache.stale_while_revalidate", "with batch answers are"
		       " not fetched anew one by one: leave out stale_while_revalidate");
}

static void check_hedge(struct checking *c, int i)
{
	const struct lade_pipe_step *step = &c->config->steps[i];

	if (step->hedge_ns && !step->get)
		refuse(c, "steps", i, "http.hedge", "hedge needs get: of a POST the second would"
		       " do it again");
	else if (step->hedge_ns >= step->timeout_ns)
		refuse(c, "steps", i, "http.hedge", "hedge is not below timeout, so no request"
		       " would be made a second time");
}

/* Without a word of it a step has one, unless it goes on without the answer: an open circuit would
 * let messages through without theirs faster than the failures do. */
static void set_breaker(struct lade_pipe_step *step)
{
	if (step->breaker.given)
		return;
	step->breaker.given = true;
	step->breaker.failures_max = step->on_error == LADE_ERROR_KEEP ? 0 : BREAKER_FAILURES;
	step->breaker.pause_ns = BREAKER_PAUSE_NS;
}

static void check_http(struct checking *c, int i)
{
	const struct lade_pipe_step *step = &c->config->steps[i];

	set_breaker(&c->config->steps[i]);
	check_hedge(c, i);
	if (step->expect)
		check_answer_path(c, i, "http.expect", step->expect);

	if (!step->get == !step->post)
		refuse(c, "steps", i, "http", "give exactly one of get and post, with the address;"
		       " found %s", step->get ? "both" : "none");
	else
		check_address(c, i);
	check_post(c, i);
	check_headers(c, &step->keys);
	check_into(c, i, "http.into");
}

static int default_name(struct checking *c, int i)
{
	struct lade_pipe_step *step = &c->config->steps[i];
	char name[32];

	snprintf(name, sizeof(name), "%s%d", lade_pipe_step_type(step->kind), i + 1);
	step->name = lade_arena_copy(&c->config->arena, name, strlen(name));
	if (!step->name)
		c->config->problems.out_of_memory = true;
	return step->name ? 0 : -ENOMEM;
}

static void check_step_name(struct checking *c, int i)
{
	const struct lade_pipe_step *steps = c->config->steps;

	if (!steps[i].name && default_name(c, i) < 0)
		return;
	if (!is_label(steps[i].name))
		refuse(c, "steps", i, "name", "the step's name \"%.60s\" must consist of letters,"
		       " digits, _ and -", steps[i].name);
	for (int j = 0; j < i; j++)
		if (steps[j].name && strcmp(steps[i].name, steps[j].name) == 0)
			refuse(c, "steps", i, "name", "two steps are named \"%.60s\"",
			       steps[i].name);
}

/* Behind a transform the message is another one: what was set before is part of it. */
static void new_overlay(struct checking *c)
{
	lade_json_overlay_free(c->overlay);
	c->overlay = lade_json_overlay_new();
	if (!c->overlay)
		c->config->problems.out_of_memory = true;
}

static void check_step(struct checking *c, int i)
{
	const struct lade_pipe_step *step = &c->config->steps[i];

	check_step_name(c, i);
	switch (step->kind) {
	case LADE_STEP_SQL:
		check_db(c, "steps", i, "sql.db", step->db,
			 lade_pipe_database_url(c->config, step->db) != NULL);
		check_columns(c, &step->keys);
		check_into(c, i, "sql.into");
		break;
	case LADE_STEP_HTTP:
		check_http(c, i);
		break;
	case LADE_STEP_PLUGIN:
		if (step->into)
			check_into(c, i, "plugin.into");
		break;
	default:
		check_columns(c, &step->keys);
		new_overlay(c);
		c->plain = LADE_PLAIN_NOT;
	}
}

/* The file of a SQLite sink's database. */
static const char *sink_file(const struct checking *c, const struct lade_pipe_sink *sink)
{
	const char *file = sink->db ? lade_pipe_database_file(c->config, sink->db) : sink->path;

	while (file && strncmp(file, "./", 2) == 0)
		file += 2;
	return file;
}

static bool listed(const struct lade_pipe_map *list, const char *name)
{
	for (int i = 0; i < list->n; i++)
		if (strcasecmp(list->at[i].name ? list->at[i].name : list->at[i].text, name) == 0)
			return true;
	return false;
}

static bool is_table(const struct lade_pipe_sink *s)
{
	return s->kind == LADE_SINK_SQLITE || s->kind == LADE_SINK_POSTGRES;
}

/* The place of a key of a table sink: "sqlite.key". */
static const char *place_of(const struct lade_pipe_sink *s, const char *key, char room[64])
{
	snprintf(room, 64, "%s.%s", s->kind == LADE_SINK_SQLITE ? "sqlite" : "postgres", key);
	return room;
}

static void check_table_columns(struct checking *c, int i)
{
	const struct lade_pipe_sink *s = &c->config->sinks[i];
	char room[64];

	for (int k = 0; k < s->columns.n; k++) {
		check_ref(c, &s->columns.at[k]);
		for (int j = 0; j < k; j++)
			if (strcasecmp(s->columns.at[k].name, s->columns.at[j].name) == 0)
				refuse_entry(
					c, &s->columns.at[k],
					"the column is here twice, because SQL does not tell small"
					" letters from capitals");
	}
	for (int k = 0; s->columns.n && k < s->key.n; k++)
		if (!listed(&s->columns, s->key.at[k].text))
			refuse(c, "sink", i, place_of(s, "key", room), "the key column \"%.60s\" is"
			       " not among columns, so it would never have a value",
			       s->key.at[k].text);
	if (s->version && s->columns.n && !listed(&s->columns, s->version))
		refuse(c, "sink", i, place_of(s, "version", room), "the column \"%.60s\" is not"
		       " among columns, so it would never have a value", s->version);
}

/* What tables of both kinds have in common. */
static void check_table_sink(struct checking *c, int i)
{
	const struct lade_pipe_sink *s = &c->config->sinks[i];
	char room[64];

	if (strncasecmp(s->table, "sqlite_", 7) == 0 || strcasecmp(s->table, "lade_offsets") == 0)
		refuse(c, "sink", i, place_of(s, "table", room), "the table \"%.60s\" belongs to"
		       " %s", s->table, *s->table == 's' || *s->table == 'S' ? "SQLite" : "lade");
	if (s->on_conflict != LADE_CONFLICT_ERROR && !s->key.n)
		refuse(c, "sink", i, place_of(s, "on_conflict", room), "on_conflict needs key: the"
		       " columns that make two rows the same row");
	if (s->version && s->on_conflict != LADE_CONFLICT_UPDATE)
		refuse(c, "sink", i, place_of(s, "version", room), "version needs on_conflict:"
		       " update");
	if (c->plain && !s->columns.n)
		refuse(c, "sink", i, place_of(s, "table", room), "messages are no objects here, so"
		       " no column has a member: say what goes where, as columns: { %s }",
		       c->plain == LADE_PLAIN_TEXT ? "line: text ." : "id: integer @offset");
	if (s->create && !s->columns.n)
		refuse(c, "sink", i, place_of(s, "create", room), "create needs columns: they name"
		       " the table's columns and their types");
	check_table_columns(c, i);
}

static void check_sqlite_sink(struct checking *c, int i)
{
	const struct lade_pipe_sink *s = &c->config->sinks[i];

	if (!s->db == !s->path)
		refuse(c, "sink", i, "sqlite", "give either db (a name of databases) or path (a"
		       " file)");
	else if (s->db)
		check_db(c, "sink", i, "sqlite.db", s->db, false);
	check_table_sink(c, i);
}

static void check_postgres_sink(struct checking *c, int i)
{
	check_db(c, "sink", i, "postgres.db", c->config->sinks[i].db, true);
	check_table_sink(c, i);
}

/* Where a column gets its value from: `text @key`. */
static const char *source_of(const struct lade_pipe_sink *s, const char *column)
{
	for (int i = 0; i < s->columns.n; i++)
		if (strcasecmp(s->columns.at[i].name, column) == 0)
			return s->columns.at[i].text;
	return "";
}

/* Why a message without a value cannot delete a row of this table; NULL: it can. */
static const char *why_no_delete(const struct lade_pipe_sink *s)
{
	bool names = false;

	if (!s->key.n || s->on_conflict != LADE_CONFLICT_UPDATE)
		return "it has no key with on_conflict: update, so nothing says which row is meant";
	if (s->version)
		return "it has a version, which a message without a value has not: an older row"
		       " could come back";
	for (int i = 0; i < s->key.n; i++) {
		const char *from = source_of(s, s->key.at[i].text);

		if (from[strcspn(from, ".@")] != '@')
			return "a column of its key comes from the value, which is not there; bind"
			       " all of them to what is beside it, as columns: { id: integer"
			       " @key }";
		names |= strstr(from, "@key") || strstr(from, "@header.");
	}
	return names ? NULL : "no column of its key comes from @key or a header, so no other"
			      " message has the same";
}

bool lade_pipe_sink_deletes(const struct lade_pipe_config *config,
			    const struct lade_pipe_sink *sink)
{
	return config->source.tombstone == LADE_TOMBSTONE_DELETE && is_table(sink) &&
	       !why_no_delete(sink);
}

/* What becomes of messages without a value, where nothing is said of it. */
static void choose_tombstone(struct checking *c, int tables, int able)
{
	const struct lade_pipe_config *config = c->config;

	c->config->source.tombstone =
		tables && able == tables ? LADE_TOMBSTONE_DELETE : LADE_TOMBSTONE_PASS;
	for (int i = 0; tables > able && i < config->n_sinks; i++)
		if (is_table(&config->sinks[i]) && why_no_delete(&config->sinks[i]))
			note(c, "sink", i, "", "messages without a value cannot delete rows of this"
			     " table: %s; they are %s", why_no_delete(&config->sinks[i]),
			     tables < config->n_sinks
				     ? "left out here"
				     : "rejected (tombstone: drop lets them go)");
}

static void check_tombstone(struct checking *c)
{
	const struct lade_pipe_config *config = c->config;
	int tables = 0, able = 0;

	for (int i = 0; i < config->n_sinks; i++) {
		const struct lade_pipe_sink *s = &config->sinks[i];
		const char *why = is_table(s) ? why_no_delete(s) : NULL;

		tables += is_table(s);
		able += is_table(s) && !why;
		if (why && config->source.tombstone == LADE_TOMBSTONE_DELETE)
			refuse(c, "sink", i, "", "tombstone: delete: not of this table: %s", why);
	}
	if (!tables && config->source.tombstone == LADE_TOMBSTONE_DELETE)
		refuse(c, NULL, 0, "source.kafka.tombstone", "tombstone: delete: there is no table"
		       " of which a row could be deleted");
	if (config->source.tombstone == LADE_TOMBSTONE_AUTO)
		choose_tombstone(c, tables, able);
}

static bool same_file(const char *a, const char *b)
{
	while (a && strncmp(a, "./", 2) == 0)
		a += 2;
	while (b && strncmp(b, "./", 2) == 0)
		b += 2;
	return a && b && strcmp(a, b) == 0;
}

/* Where a Kafka sink writes to: its own brokers or the source's; NULL: neither says. */
static const char *sink_brokers(const struct checking *c, const struct lade_pipe_sink *s)
{
	return s->brokers ? s->brokers : c->config->source.brokers;
}

/* What librdkafka is told besides: not what a guarantee rests on, and nothing it does not know. */
static void check_settings(struct checking *c, const struct lade_pipe_map *map, bool consumer)
{
	for (int i = 0; i < map->n; i++) {
		const struct lade_kafka_setting setting = { map->at[i].name, map->at[i].text };
		const char *why = NULL;
		int rc = lade_kafka_setting_check(consumer, &setting, &why);

		if (rc == -ENOENT)
			refuse_entry(c, &map->at[i], "librdkafka knows no such setting");
		else if (rc == -EINVAL)
			refuse_entry(c, &map->at[i], "librdkafka does not take this value");
		else if (rc < 0)
			refuse_entry(c, &map->at[i], why ? why : "it is not to be set");
	}
}

static void check_kafka_sink(struct checking *c, int i)
{
	const struct lade_pipe_sink *s = &c->config->sinks[i];
	const struct lade_pipe_source *source = &c->config->source;

	if (!sink_brokers(c, s))
		refuse(c, "sink", i, "kafka", "brokers is missing: the source is not Kafka, so say"
		       " where the topic is, as brokers: \"localhost:9092\"");
	check_settings(c, &s->client, false);
	if (s->message_key)
		check_key(c, "sink", i, "kafka.key", s->message_key);
	for (int k = 0; k < source->topics.n; k++)
		if (strcmp(source->topics.at[k].text, s->topic) == 0 &&
		    strcmp(sink_brokers(c, s), source->brokers) == 0)
			refuse(c, "sink", i, "kafka.topic", "the sink is the topic \"%.100s\" that"
			       " is read: it would never end", s->topic);
}

/* Two sinks in one file, or on standard output, would write through one another. */
static void check_sink_pair(struct checking *c, int i, int j)
{
	const struct lade_pipe_sink *a = &c->config->sinks[i], *b = &c->config->sinks[j];

	if (a->kind == LADE_SINK_STDOUT && b->kind == LADE_SINK_STDOUT)
		refuse(c, "sink", i, "stdout", "two sinks write to standard output; leave one out");
	else if (a->kind == LADE_SINK_KAFKA && b->kind == LADE_SINK_KAFKA &&
		 strcmp(a->topic, b->topic) == 0)
		refuse(c, "sink", i, "kafka.topic", "two sinks write to the topic %.100s; leave one"
		       " out", a->topic);
	else if (a->kind == LADE_SINK_FILE && b->kind == LADE_SINK_FILE &&
		 same_file(a->path, b->path))
		refuse(c, "sink", i, "file", "two sinks write to the file %.200s; leave one out",
		       a->path);
	else if (a->kind == LADE_SINK_SQLITE && b->kind == LADE_SINK_SQLITE &&
		 same_file(sink_file(c, a), sink_file(c, b)) && strcasecmp(a->table, b->table) == 0)
		refuse(c, "sink", i, "sqlite.table", "two sinks write to the table %.60s; leave one"
		       " out", a->table);
}

static void check_sink(struct checking *c, int i)
{
	const struct lade_pipe_sink *s = &c->config->sinks[i];

	if (s->kind == LADE_SINK_SQLITE)
		check_sqlite_sink(c, i);
	if (s->kind == LADE_SINK_POSTGRES)
		check_postgres_sink(c, i);
	if (s->kind == LADE_SINK_KAFKA)
		check_kafka_sink(c, i);
	if (s->kind == LADE_SINK_FILE && same_file(s->path, c->config->source.path))
		refuse(c, "sink", i, "file",
		       "the sink is the file that is read: it would never end");
	if (s->kind == LADE_SINK_FILE && s->fsync == LADE_FSYNC_NONE)
		note(c, "sink", i, "file.fsync",
		     "fsync: none: after a power cut lines may be missing"
		     " that were counted as written");
	for (int j = 0; j < i; j++)
		check_sink_pair(c, i, j);
}

/* The database of a table sink: a file, or the name of one of PostgreSQL. */
static const char *sink_database(const struct checking *c, const struct lade_pipe_sink *s)
{
	return s->kind == LADE_SINK_POSTGRES ? lade_pipe_database_url(c->config, s->db)
					      : sink_file(c, s);
}

/* The one database of the table sinks, or NULL when there is none or more than one. */
static const char *only_database(const struct checking *c)
{
	const char *one = NULL;

	for (int i = 0; i < c->config->n_sinks; i++) {
		const struct lade_pipe_sink *s = &c->config->sinks[i];

		if (!is_table(s))
			continue;
		if (one && !same_file(one, sink_database(c, s)))
			return NULL;
		one = sink_database(c, s);
	}
	return one;
}

const char *lade_pipe_dead_brokers(const struct lade_pipe_config *config)
{
	const char *brokers = config->source.brokers;

	for (int i = 0; !brokers && i < config->n_sinks; i++)
		brokers = config->sinks[i].brokers;
	return brokers;
}

/* Dead letters in a topic that is read, or written, would be taken for messages. */
static void check_dead_topic(struct checking *c)
{
	const struct lade_pipe_errors *e = &c->config->errors;
	const struct lade_pipe_config *config = c->config;
	bool taken = false;

	if (!lade_pipe_dead_brokers(config))
		refuse(c, NULL, 0, "errors.dead_letter", "dead_letter: neither the source nor a"
		       " sink is Kafka, so there is no cluster for the topic; use a file or a"
		       " table");
	for (int k = 0; k < config->source.topics.n; k++)
		taken |= strcmp(config->source.topics.at[k].text, e->dead_topic) == 0;
	for (int i = 0; i < config->n_sinks; i++)
		taken |= config->sinks[i].topic &&
			 strcmp(config->sinks[i].topic, e->dead_topic) == 0;
	if (taken)
		refuse(c, NULL, 0, "errors.dead_letter",
		       "dead_letter: this topic is the source's or a sink's; choose another one");
}

static void check_dead_letter(struct checking *c)
{
	const struct lade_pipe_errors *e = &c->config->errors;

	if (e->dead_kind == LADE_DEAD_KAFKA)
		check_dead_topic(c);

	if (e->dead_kind == LADE_DEAD_NONE)
		note(c, NULL, 0, "errors",
		     "there is no dead letter: the first rejected message stops"
		     " the pipeline (exit 4); errors: { dead_letter: { file: rejected.ndjson } }"
		     " would keep it and go on");
	if (e->dead_kind == LADE_DEAD_TABLE && !only_database(c))
		refuse(c, NULL, 0, "errors.dead_letter.table", "dead_letter: a table is in the"
		       " database of the sinks, which are to be tables of exactly one; else use"
		       " dead_letter: { file: PATH } or { kafka: TOPIC }");
	for (int i = 0; i < c->config->n_sinks; i++) {
		const struct lade_pipe_sink *s = &c->config->sinks[i];

		if ((is_table(s) && e->dead_kind == LADE_DEAD_TABLE &&
		     strcasecmp(s->table, e->dead_table) == 0) ||
		    (s->kind == LADE_SINK_FILE && same_file(s->path, e->dead_file)))
			refuse(c, NULL, 0, "errors.dead_letter",
			       "dead_letter: this is a sink as well;"
			       " choose another one");
	}
	if (same_file(e->dead_file, c->config->source.path))
		refuse(c, NULL, 0, "errors.dead_letter",
		       "dead_letter: this is the file that is read");
}

/* What says that no row can appear any more before those that were read. */
static void check_settle(struct checking *c)
{
	struct lade_pipe_source *s = &c->config->source;

	if (s->outbox)
		return;
	if (s->xid && s->settle_ns)
		refuse(c, NULL, 0, "source.postgres.settle", "settle is for a table without xid:"
		       " with it one need not wait");
	if (s->xid)
		return;
	if (!s->settle_ns)
		s->settle_ns = SETTLE_NS;
	note(c, NULL, 0, "source.postgres", "without xid a row is left out for good when its"
	     " transaction takes longer than settle (%g s) and rows with higher keys were read"
	     " meanwhile; alter table %.100s add xid xid8 not null default pg_current_xact_id(),"
	     " and xid: xid, leaves none out", (double)s->settle_ns / 1e9, s->table);
}

/* Rows that are deleted as they are written: nothing else keeps them from being read again. */
static void check_outbox(struct checking *c)
{
	const struct lade_pipe_config *config = c->config;
	const struct lade_pipe_source *s = &config->source;
	const char *url = lade_pipe_database_url(config, s->db);

	if (s->xid || s->settle_ns)
		refuse(c, NULL, 0, s->xid ? "source.postgres.xid" : "source.postgres.settle",
		       "outbox: what is read is gone afterwards, so neither xid nor settle says"
		       " anything; leave it out");
	if (config->delivery != LADE_EXACTLY_ONCE)
		refuse(c, NULL, 0, "source.postgres.outbox", "outbox: rows are deleted in the"
		       " transaction that writes them, which is delivery: exactly_once");
	for (int i = 0; url && i < config->n_sinks; i++) {
		const struct lade_pipe_sink *sink = &config->sinks[i];
		const char *other = sink->kind == LADE_SINK_POSTGRES
					    ? lade_pipe_database_url(config, sink->db)
					    : NULL;

		if (!other || strcmp(other, url) != 0)
			refuse(c, "sink", i, "", "outbox: the sink must be a table of the database"
			       " that the rows are read from, to delete them in its transaction");
	}
}

/* A table that is read. */
static void check_table_source(struct checking *c)
{
	const struct lade_pipe_config *config = c->config;
	const struct lade_pipe_source *s = &config->source;

	check_db(c, NULL, 0, "source.postgres.db", s->db, true);
	check_settle(c);
	if (s->outbox)
		check_outbox(c);
	if (s->format != LADE_FORMAT_JSON)
		refuse(c, NULL, 0, "source.format", "rows of a table are JSON objects already");
	for (int i = 0; i < config->n_sinks; i++)
		if (config->sinks[i].kind == LADE_SINK_POSTGRES &&
		    strcmp(config->sinks[i].db, s->db) == 0 &&
		    strcasecmp(config->sinks[i].table, s->table) == 0)
			refuse(c, "sink", i, "postgres.table", "the sink is the table that is read:"
			       " it would never end");
}

/* What a message is, as far as that needs saying. */
static void check_format(struct checking *c)
{
	const struct lade_pipe_source *s = &c->config->source;

	c->plain = s->format == LADE_FORMAT_TEXT    ? LADE_PLAIN_TEXT
		   : s->format == LADE_FORMAT_BYTES ? LADE_PLAIN_BYTES
						    : LADE_PLAIN_NOT;
	if (c->config->order_key)
		check_key(c, NULL, 0, "order.key", c->config->order_key);
	if (s->kind == LADE_SOURCE_KAFKA && s->format == LADE_FORMAT_CSV)
		refuse(c, NULL, 0, "source.format", "csv is for files and stdin: a message of Kafka"
		       " is one value, so it would have no header; read it as text");
}

static void check_csv(struct checking *c)
{
	struct lade_pipe_source *s = &c->config->source;
	struct lade_pipe_csv *csv = NULL;
	struct lade_json_error error;

	if (!s->csv_delimiter)
		s->csv_delimiter = ",";
	if (strlen(s->csv_delimiter) != 1 || strchr("\"\r\n", *s->csv_delimiter))
		refuse(c, NULL, 0, "source.csv.delimiter", "a delimiter is one byte, and no quote"
		       " and no line end");
	if (s->csv_header.n &&
	    lade_pipe_csv_names(*s->csv_delimiter, &s->csv_header, &csv, &error) == -EBADMSG)
		refuse(c, NULL, 0, "source.csv.header", "%s", error.reason);
	lade_pipe_csv_free(csv);
	if (s->format != LADE_FORMAT_CSV && s->csv_given)
		refuse(c, NULL, 0, "source.csv", "csv says how CSV is written, but the format is"
		       " not csv: source: { format: csv }");
}

bool lade_pipe_read_once(const struct lade_pipe_config *config)
{
	struct stat st;

	if (config->source.kind != LADE_SOURCE_FILE)
		return config->source.kind == LADE_SOURCE_STDIN;
	return stat(config->source.path, &st) == 0 && !S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode);
}

/* Whether rows, offsets and dead letters can be in one transaction of Kafka. */
static void check_one_cluster(struct checking *c)
{
	const struct lade_pipe_config *config = c->config;

	if (config->source.kind != LADE_SOURCE_KAFKA)
		refuse(c, NULL, 0, "delivery", "exactly_once into Kafka needs Kafka as the source,"
		       " because its transaction holds offsets of topics only; use at_least_once");
	for (int i = 0; i < config->n_sinks; i++)
		if (config->sinks[i].kind != LADE_SINK_KAFKA ||
		    (config->source.brokers &&
		     strcmp(sink_brokers(c, &config->sinks[i]), config->source.brokers) != 0))
			refuse(c, "sink", i, "", "exactly_once: this sink cannot take part in the"
			       " transaction of the other ones; all sinks must be topics of the"
			       " source's cluster, or there is one, a table");
	if (config->errors.dead_kind == LADE_DEAD_FILE ||
	    config->errors.dead_kind == LADE_DEAD_TABLE)
		refuse(c, NULL, 0, "errors.dead_letter", "exactly_once: dead letters must be in the"
		       " transaction; use dead_letter: { kafka: TOPIC }");
}

/* The same of a database. */
static void check_one_database(struct checking *c)
{
	const struct lade_pipe_config *config = c->config;

	for (int i = 0; i < config->n_sinks; i++)
		if (!is_table(&config->sinks[i]))
			refuse(c, "sink", i, "", "exactly_once: this sink cannot take part in a"
			       " transaction with the offsets; use one table of a database, or"
			       " at_least_once");
	if (config->n_sinks > 1)
		refuse(c, "sink", 1, "", "exactly_once: one transaction holds the offsets and the"
		       " rows of ONE table; use one sink, or at_least_once");
	if (config->errors.dead_kind == LADE_DEAD_FILE ||
	    config->errors.dead_kind == LADE_DEAD_KAFKA)
		refuse(c, NULL, 0, "errors.dead_letter",
		       "exactly_once: a %s cannot take part in the transaction; use dead_letter: {"
		       " table: NAME } in the sink's database",
		       config->errors.dead_kind == LADE_DEAD_FILE ? "file" : "topic");
}

static void check_exactly_once(struct checking *c)
{
	const struct lade_pipe_config *config = c->config;
	bool into_kafka = false;

	if (lade_pipe_read_once(config))
		refuse(c, NULL, 0, "delivery", "exactly_once: %s cannot be read again after a"
		       " crash, so nothing can be promised; read a file or Kafka, or choose"
		       " at_least_once", config->source.kind == LADE_SOURCE_FILE
						 ? config->source.path : "standard input");
	if (config->order != LADE_ORDER_PARTITION || config->order_key)
		refuse(c, NULL, 0, "order",
		       "exactly_once moves one offset forward with the rows, so it"
		       " needs order: partition");
	for (int i = 0; i < config->n_sinks; i++)
		into_kafka |= config->sinks[i].kind == LADE_SINK_KAFKA;
	if (into_kafka)
		check_one_cluster(c);
	else
		check_one_database(c);
	for (int i = 0; i < config->n_steps; i++)
		if (config->steps[i].kind == LADE_STEP_HTTP)
			note(c, "steps", i, "http",
			     "exactly_once covers what is written; this request may be made more"
			     " than once%s", !config->steps[i].post ? ""
			     : config->steps[i].batch ? ", a batch of the same messages with the"
							" same Idempotency-Key"
						      : ", with the same Idempotency-Key");
}

static bool has_kafka_sink(const struct lade_pipe_config *config)
{
	for (int i = 0; i < config->n_sinks; i++)
		if (config->sinks[i].kind == LADE_SINK_KAFKA)
			return true;
	return false;
}

static void check_limits(struct checking *c)
{
	struct lade_pipe_config *config = c->config;
	int64_t ten = 10 * config->batch.messages_max;

	if (!config->in_flight_max)
		config->in_flight_max = ten;
	/* A commit of Kafka has its price; and what waits for one is in memory twice. */
	if (!config->transaction_max && has_kafka_sink(config))
		config->transaction_max = 2 * ten > TO_KAFKA ? 2 * ten : TO_KAFKA;
	if (!config->transaction_max)
		config->transaction_max = ten;
	if (config->in_flight_max < config->batch.messages_max)
		refuse(c, NULL, 0, "max_in_flight",
		       "max_in_flight is below batch.max_messages, so no"
		       " batch could ever be full");
	if (config->transaction_max < config->batch.messages_max)
		refuse(c, NULL, 0, "max_transaction", "max_transaction is below batch.max_messages,"
		       " so no whole batch could be written");
	if (config->memory_bytes_max < config->source.message_bytes_max)
		refuse(c, NULL, 0, "max_memory", "max_memory is below source.max_message_bytes, so"
		       " the longest message could never be read");
	if (config->memory_bytes_max < config->batch.bytes_max)
		refuse(c, NULL, 0, "max_memory", "max_memory is below batch.max_bytes, so no batch"
		       " could ever be full");
}

/* Whether a text is a host's number and a port's. */
static bool is_listen_address(const char *text)
{
	const char *colon = strrchr(text, ':');
	char host[64], *end;
	long port = colon && colon[1] >= '0' && colon[1] <= '9' ? strtol(colon + 1, &end, 10) : -1;
	size_t len = colon ? (size_t)(colon - text) : 0;
	uint8_t address[16];

	if (port < 0 || port > 65535 || *end || len >= sizeof(host))
		return false;
	memcpy(host, text, len);
	host[len] = 0;
	if (*host == '[' && host[len - 1] == ']') {
		host[len - 1] = 0;
		return inet_pton(AF_INET6, host + 1, address) == 1;
	}
	return len == 0 || inet_pton(AF_INET, host, address) == 1;
}

/* What others may look at. */
static void check_observed(struct checking *c)
{
	const char *listen = c->config->metrics_listen, *socket = c->config->admin_socket;

	if (listen && !is_listen_address(listen))
		refuse(c, NULL, 0, "metrics.listen", "metrics.listen: \"%.100s\" is no address;"
		       " write numbers: 127.0.0.1:9464, [::1]:9464, or :9464 for every network",
		       listen);
	else if (listen && strncmp(listen, "127.", 4) != 0 && strncmp(listen, "[::1]", 5) != 0)
		note(c, NULL, 0, "metrics.listen", "anybody who reaches %.100s can read the"
		     " figures", listen);
	if (socket && strlen(socket) > 107)
		refuse(c, NULL, 0, "admin.socket", "admin.socket: a socket's name has at most 107"
		       " bytes, with its folder; choose a shorter one, as in /run or /tmp");
}

/* The offset is kept by the path as it is written. */
static void note_absolute(struct checking *c)
{
	const struct lade_pipe_source *s = &c->config->source;

	if (s->kind == LADE_SOURCE_FILE && s->topic && *s->topic == '/' &&
	    c->config->delivery == LADE_EXACTLY_ONCE)
		note(c, NULL, 0, "source.file", "the place in %.200s is kept by this path: written"
		     " otherwise, as from this folder, it is another file and is read from its"
		     " beginning (docs/pipeline.md, Delivery)", s->topic);
}

static void check_all(struct checking *c)
{
	struct lade_pipe_config *config = c->config;

	if (!is_label(config->name))
		refuse(c, NULL, 0, "pipeline",
		       "pipeline: the name must consist of up to 64 letters,"
		       " digits, _, - and . (not first)");
	check_databases(c);
	check_format(c);
	check_csv(c);
	check_settings(c, &config->source.client, true);
	if (c->config->source.kind == LADE_SOURCE_POSTGRES)
		check_table_source(c);
	for (int i = 0; i < config->n_steps && c->overlay; i++)
		check_step(c, i);
	for (int i = 0; i < config->n_sinks; i++)
		check_sink(c, i);
	if (config->source.kind == LADE_SOURCE_KAFKA)
		check_tombstone(c);
	check_dead_letter(c);
	check_observed(c);
	check_limits(c);
	note_absolute(c);
	if (config->delivery == LADE_EXACTLY_ONCE)
		check_exactly_once(c);
	else if (lade_pipe_read_once(config))
		note(c, NULL, 0, config->source.kind == LADE_SOURCE_FILE ? "source.file"
									  : "source.stdin",
		     "%s cannot be read again: after a crash what was read and not yet written is"
		     " lost (at most once)", config->source.kind == LADE_SOURCE_FILE
						     ? config->source.path : "standard input");
	else if (config->source.follow)
		note(c, NULL, 0, "source.file.follow",
		     "at_least_once keeps no offset of a file: each run reads it from its"
		     " beginning; exactly_once goes on where the last run stopped");
}

int lade_pipe_config_check(struct lade_pipe_config *config)
{
	struct checking c = { config, lade_json_paths_new(), lade_json_overlay_new(),
			      LADE_PLAIN_NOT };

	if (c.paths && c.overlay)
		check_all(&c);
	else
		config->problems.out_of_memory = true;
	lade_json_paths_free(c.paths);
	lade_json_overlay_free(c.overlay);
	if (config->problems.out_of_memory || config->notes.out_of_memory)
		return -ENOMEM;
	return config->problems.n ? -EINVAL : 0;
}
