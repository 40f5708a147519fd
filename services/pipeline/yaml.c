/* SPDX-License-Identifier: MIT */
/* yaml.c - reads YAML with libyaml, and explains what it does not like.
 *
 * DESIGN
 * libyaml's document has an alias point to its anchor's node, so a few lines cannot become
 * gigabytes here: a node is turned once, however often it is named.  An alias inside of its
 * own anchor would be a circle and is refused; what reads the tree is bounded by the table
 * of keys.
 *
 * LIMITS  the constants of yaml.h. */

#include "services/pipeline/yaml.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <yaml.h>

/* A document that is being turned into a tree. */
struct turning {
	yaml_document_t *document;
	struct lade_yaml_node **nodes;		/* by libyaml's number; NULL: not yet */
	struct lade_pipe_problems *problems;
};

static void keep_problem(struct lade_pipe_problems *problems, struct lade_pipe_problem *p)
{
	p->next = NULL;
	if (problems->last)
		problems->last->next = p;
	else
		problems->first = p;
	problems->last = p;
}

int lade_pipe_problem(struct lade_pipe_problems *problems, int line, int col,
		      const char *format, ...)
{
	struct lade_pipe_problem *p = lade_arena_alloc(problems->arena, sizeof(*p));
	char text[1024];
	va_list args;

	if (++problems->n > LADE_YAML_PROBLEMS_MAX)
		return -EINVAL;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (p)
		*p = (struct lade_pipe_problem){
			line, col, lade_arena_copy(problems->arena, text, strlen(text)), NULL };
	if (!p || !p->text)
		problems->out_of_memory = true;
	else
		keep_problem(problems, p);
	return -EINVAL;
}

static int no_memory(struct lade_pipe_problems *problems)
{
	problems->out_of_memory = true;
	return -ENOMEM;
}

static int turn(struct turning *t, int number, int depth, struct lade_yaml_node **ret);

static int line_of(const yaml_node_t *from)
{
	return (int)from->start_mark.line + 1;
}

static int col_of(const yaml_node_t *from)
{
	return (int)from->start_mark.column + 1;
}

static int turn_scalar(struct turning *t, const yaml_node_t *from, struct lade_yaml_node *to)
{
	const char *text = (const char *)from->data.scalar.value;
	int rc;

	to->kind = LADE_YAML_SCALAR;
	to->plain = from->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
	to->len = from->data.scalar.length;
	to->text = lade_arena_copy(t->problems->arena, text, to->len);
	if (!to->text)
		return no_memory(t->problems);
	if (memchr(text, 0, to->len))
		return lade_pipe_problem(t->problems, to->line, to->col,
					 "the value holds a NUL character; leave it out");
	rc = lade_yaml_substitute(to, t->problems);
	return rc == -EINVAL ? 0 : rc;	/* noted; there may be more to say */
}

static int make_pairs(struct turning *t, struct lade_yaml_node *to, ptrdiff_t n)
{
	size_t bytes = ((size_t)n + 1) * sizeof(*to->pairs);

	to->pairs = lade_arena_alloc(t->problems->arena, bytes);
	if (!to->pairs)
		return no_memory(t->problems);
	memset(to->pairs, 0, bytes);
	return 0;
}

static int turn_list(struct turning *t, const yaml_node_t *from, struct lade_yaml_node *to,
		     int depth)
{
	const yaml_node_item_t *item = from->data.sequence.items.start;
	int rc = make_pairs(t, to, from->data.sequence.items.top - item);

	to->kind = LADE_YAML_LIST;
	for (; rc == 0 && item < from->data.sequence.items.top; item++)
		rc = turn(t, *item, depth, &to->pairs[to->n++].value);
	return rc;
}

static const struct lade_yaml_pair *find_pair(const struct lade_yaml_node *map, const char *key,
					      size_t len)
{
	for (int i = 0; i < map->n; i++)
		if (strlen(map->pairs[i].key) == len && memcmp(map->pairs[i].key, key, len) == 0)
			return &map->pairs[i];
	return NULL;
}

static int turn_key(struct turning *t, int number, struct lade_yaml_node *map,
		    struct lade_yaml_pair *to)
{
	const yaml_node_t *from = yaml_document_get_node(t->document, number);
	const struct lade_yaml_pair *twin;
	const char *key;

	to->line = line_of(from);
	to->col = col_of(from);
	if (from->type != YAML_SCALAR_NODE)
		return lade_pipe_problem(t->problems, to->line, to->col,
					 "a key must be a word; a value that begins with { or [ is"
					 " put in quotes");
	key = (const char *)from->data.scalar.value;
	if (memchr(key, 0, from->data.scalar.length))
		return lade_pipe_problem(t->problems, to->line, to->col,
					 "the key holds a NUL character; leave it out");
	if (strcmp(key, "<<") == 0)
		return lade_pipe_problem(t->problems, to->line, to->col,
					 "merge keys (<<) are not supported: use *name for a whole"
					 " value, or write the keys out");
	twin = find_pair(map, key, from->data.scalar.length);
	if (twin)
		return lade_pipe_problem(t->problems, to->line, to->col,
					 "the key \"%.80s\" is here twice, first in line %d; remove"
					 " one", key, twin->line);
	to->key = lade_arena_copy(t->problems->arena, key, from->data.scalar.length);
	return to->key ? 0 : no_memory(t->problems);
}

static int turn_map(struct turning *t, const yaml_node_t *from, struct lade_yaml_node *to,
		    int depth)
{
	const yaml_node_pair_t *pair = from->data.mapping.pairs.start;
	int rc = make_pairs(t, to, from->data.mapping.pairs.top - pair);

	to->kind = LADE_YAML_MAP;
	for (; rc == 0 && pair < from->data.mapping.pairs.top; pair++) {
		struct lade_yaml_pair *next = &to->pairs[to->n];

		rc = turn_key(t, pair->key, to, next);
		if (rc == 0)
			rc = turn(t, pair->value, depth, &next->value);
		to->n += rc == 0;
	}
	return rc;
}

static int check_tag(struct turning *t, const yaml_node_t *from)
{
	static const char *const fine[] = { YAML_STR_TAG, YAML_MAP_TAG, YAML_SEQ_TAG };

	for (size_t i = 0; i < sizeof(fine) / sizeof(*fine); i++)
		if (strcmp((const char *)from->tag, fine[i]) == 0)
			return 0;
	return lade_pipe_problem(t->problems, line_of(from), col_of(from),
				 "tags (%.40s) are not used here; leave it out: each key knows its"
				 " type", (const char *)from->tag);
}

static int turn_new(struct turning *t, const yaml_node_t *from, struct lade_yaml_node *to,
		    int depth)
{
	int rc = check_tag(t, from);

	if (rc < 0)
		return rc;
	if (depth == LADE_YAML_DEPTH_MAX)
		return lade_pipe_problem(t->problems, to->line, to->col,
					 "nested deeper than %d levels", LADE_YAML_DEPTH_MAX);
	switch (from->type) {
	case YAML_SCALAR_NODE:
		return turn_scalar(t, from, to);
	case YAML_SEQUENCE_NODE:
		return turn_list(t, from, to, depth + 1);
	default:
		return turn_map(t, from, to, depth + 1);
	}
}

static int turn(struct turning *t, int number, int depth, struct lade_yaml_node **ret)
{
	const yaml_node_t *from = yaml_document_get_node(t->document, number);
	struct lade_yaml_node *to = t->nodes[number];
	int rc;

	if (to && to->building)
		return lade_pipe_problem(
			t->problems, to->line, to->col,
			"an alias (*name) stands inside of its own anchor (&name)");
	*ret = to;
	if (to)
		return 0;
	to = lade_arena_alloc(t->problems->arena, sizeof(*to));
	if (!to)
		return no_memory(t->problems);
	*to = (struct lade_yaml_node){ .line = line_of(from), .col = col_of(from),
				       .building = true };
	t->nodes[number] = to;
	*ret = to;
	rc = turn_new(t, from, to, depth);
	to->building = false;
	return rc;
}

static int turn_document(yaml_document_t *document, struct lade_pipe_problems *problems,
			 struct lade_yaml_node **ret)
{
	size_t n = (size_t)(document->nodes.top - document->nodes.start);
	struct turning t = { document, NULL, problems };

	if (n == 0)
		return lade_pipe_problem(problems, 0, 0, "the file is empty; begin with: lade new"
							 " DIR");
	if (n > LADE_YAML_NODES_MAX)
		return lade_pipe_problem(problems, 0, 0, "more than %d values; that is no"
					 " configuration", LADE_YAML_NODES_MAX);
	t.nodes = lade_arena_alloc(problems->arena, (n + 1) * sizeof(*t.nodes));
	if (!t.nodes)
		return no_memory(problems);
	memset(t.nodes, 0, (n + 1) * sizeof(*t.nodes));
	return turn(&t, 1, 0, ret);
}

/* What a person does about one of libyaml's messages, at the byte where it stopped. */
static const char *advice(const yaml_parser_t *parser, char at)
{
	const char *problem = parser->problem ? parser->problem : "";

	if (at == '\t')
		return "; indent with blanks, not with tabs";
	if (strstr(problem, "cannot start any token"))
		return "; a value that begins with @, %, & or ` is put in quotes";
	if (strstr(problem, "expected ',' or"))
		return "; within { } and [ ], a value with ${...}, braces, brackets or commas is "
		       "put"
		       " in quotes";
	if (strstr(problem, "mapping values are not allowed"))
		return "; a value with a colon and a blank is put in quotes, and a key is indented"
		       " like its neighbours";
	if (strstr(problem, "undefined alias"))
		return "; a value that begins with * is put in quotes";
	if (strstr(problem, "expected <block end>"))
		return "; is this line indented like its neighbours?";
	return "";
}

static size_t offset_of(const char *text, size_t len, size_t line, size_t col)
{
	size_t at = 0;

	for (; line && at < len; at++)
		line -= text[at] == '\n';
	for (; col && at < len; at++)
		col -= ((unsigned char)text[at] & 0xc0) != 0x80;
	return at;
}

static int parse_problem(const yaml_parser_t *parser, const char *text, size_t len,
			 struct lade_pipe_problems *problems)
{
	size_t line = parser->problem_mark.line, col = parser->problem_mark.column;
	size_t at = offset_of(text, len, line, col);

	if (parser->error == YAML_MEMORY_ERROR)
		return no_memory(problems);
	if (parser->error == YAML_READER_ERROR) {
		at = parser->problem_offset < len ? parser->problem_offset : len;
		line = 0;
		for (size_t i = 0; i < at; i++)
			line += text[i] == '\n';
		return lade_pipe_problem(problems, (int)line + 1, 1, "%s: the file must be UTF-8"
					 " text", parser->problem);
	}
	return lade_pipe_problem(problems, (int)line + 1, (int)col + 1, "%s%s%s%s%s",
				 parser->context ? parser->context : "",
				 parser->context ? ", " : "", parser->problem,
				 advice(parser, at < len ? text[at] : '\0'), "");
}

/* Anything behind the first document is a mistake. */
static int no_more(yaml_parser_t *parser, const char *text, size_t len,
		   struct lade_pipe_problems *problems)
{
	yaml_document_t more;
	int rc = 0;

	if (!yaml_parser_load(parser, &more))
		return parse_problem(parser, text, len, problems);
	if (yaml_document_get_root_node(&more))
		rc = lade_pipe_problem(problems, (int)more.start_mark.line + 1, 1,
				       "a second document (---) begins here; a file holds one"
				       " pipeline");
	yaml_document_delete(&more);
	return rc;
}

static int load(yaml_parser_t *parser, const char *text, size_t len,
		struct lade_pipe_problems *problems, struct lade_yaml_node **ret)
{
	yaml_document_t document;
	int rc;

	if (!yaml_parser_load(parser, &document))
		return parse_problem(parser, text, len, problems);
	rc = turn_document(&document, problems, ret);
	yaml_document_delete(&document);
	return rc == 0 ? no_more(parser, text, len, problems) : rc;
}

int lade_yaml_parse(const char *text, size_t len, struct lade_pipe_problems *problems,
		    struct lade_yaml_node **ret)
{
	yaml_parser_t parser;
	int rc;

	if (len > LADE_YAML_BYTES_MAX)
		return lade_pipe_problem(problems, 0, 0, "longer than 1 MiB; is this the"
							 " configuration?");
	if (!yaml_parser_initialize(&parser))
		return no_memory(problems);
	yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&parser, (const unsigned char *)text, len);
	rc = load(&parser, text, len, problems, ret);
	yaml_parser_delete(&parser);
	if (problems->out_of_memory)
		return -ENOMEM;
	return problems->n ? -EINVAL : rc;
}

struct lade_yaml_node *lade_yaml_get(const struct lade_yaml_node *map, const char *key,
				     size_t key_len)
{
	const struct lade_yaml_pair *pair =
		map->kind == LADE_YAML_MAP ? find_pair(map, key, key_len) : NULL;

	return pair ? pair->value : NULL;
}
