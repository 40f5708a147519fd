/* SPDX-License-Identifier: MIT */
/* config.c - reads a pipeline's file by the table of keys.
 *
 * DESIGN
 * The tree of the file and the table are walked together, section by section.  Every
 * problem is collected, not only the first: who edits a file wants to mend it once. */

#include "services/pipeline/config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <lade/json.h>

#include "services/pipeline/config_table.h"
#include "services/pipeline/units.h"

#define ARENA_BLOCK 16384
#define ARENA_MAX (64 << 20)

/* A configuration that is being filled in. */
struct filling {
	struct lade_pipe_config *config;
	struct lade_pipe_step *step;	/* the step that is being read */
	struct lade_pipe_sink *sink;	/* the sink that is being read */
};

/* A value on its way into its field. */
struct value {
	const struct lade_pipe_row *row;
	const struct lade_yaml_node *node;	/* NULL: it is the default */
	const char *text;			/* the scalar */
};

static void fill_section(struct filling *f, const char *prefix,
			 const struct lade_yaml_node *node, const struct lade_yaml_node *around);

static void *field(const struct filling *f, const struct lade_pipe_row *row)
{
	switch (row->base) {
	case LADE_BASE_STEP:
		return (char *)f->step + row->offset;
	case LADE_BASE_SINK:
		return (char *)f->sink + row->offset;
	default:
		return (char *)f->config + row->offset;
	}
}

/* The key as people write it: without the marks of lists. */
static const char *key_of(const struct lade_pipe_row *row)
{
	static _Thread_local char text[96];
	size_t n = 0;

	for (const char *p = row->key; *p && n < sizeof(text) - 1; p++)
		if (*p != '[' && *p != ']')
			text[n++] = *p;
	text[n] = '\0';
	return text;
}

__attribute__((format(printf, 3, 4)))
static int problem(struct filling *f, const struct value *v, const char *format, ...)
{
	char text[700];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	return lade_pipe_problem(&f->config->problems, v->node->line, v->node->col, "%s: %s",
				 key_of(v->row), text);
}

static const char *kind_name(const struct lade_yaml_node *node)
{
	switch (node->kind) {
	case LADE_YAML_MAP: return "keys";
	case LADE_YAML_LIST: return "a list";
	default: return "a single value";
	}
}

static bool empty(const struct lade_yaml_node *node)
{
	return node->kind == LADE_YAML_SCALAR && node->plain &&
	       (node->len == 0 || strcmp(node->text, "~") == 0 || strcmp(node->text, "null") == 0);
}

static void fill_text(struct filling *f, const struct value *v)
{
	if (!*v->text)
		problem(f, v, "is empty; give it a value or leave it out");
	else
		*(const char **)field(f, v->row) = v->text;
}

static enum lade_pipe_unit unit_of(const struct lade_pipe_row *row)
{
	switch (row->kind) {
	case LADE_ROW_DURATION:
	case LADE_ROW_RANGE:
		return LADE_UNIT_DURATION;
	case LADE_ROW_BYTES:
		return LADE_UNIT_BYTES;
	case LADE_ROW_PERCENT:
		return LADE_UNIT_PERCENT;
	default:
		return LADE_UNIT_COUNT;
	}
}

static const char *unit_example(enum lade_pipe_unit unit)
{
	return unit == LADE_UNIT_DURATION ? "ms" : unit == LADE_UNIT_BYTES ? "KiB" : "%";
}

/* Reads one quantity and checks its range. */
static int read_quantity(struct filling *f, const struct value *v, size_t len, int64_t *ret)
{
	enum lade_pipe_unit unit = unit_of(v->row);
	char low[LADE_UNIT_ROOM], high[LADE_UNIT_ROOM];
	int64_t number;
	int rc = lade_pipe_unit_parse(unit, v->text, len, &number);

	if (rc == -ENODATA)
		return problem(f, v, "\"%.*s\" has no unit; did you mean %.*s%s? Expected %s",
			       (int)len, v->text, (int)len, v->text, unit_example(unit),
			       lade_pipe_unit_hint(unit));
	if (rc == -EINVAL)
		return problem(f, v, "expected %s, found \"%.60s\"", lade_pipe_unit_hint(unit),
			       v->node->shown);
	if ((rc < 0 || number != v->row->min) && v->row->min == v->row->max)
		return problem(f, v, "this lade reads format %lld, found \"%.60s\"",
			       (long long)v->row->min, v->node->shown);
	if (rc < 0 || number < v->row->min || number > v->row->max)
		return problem(f, v, "must be between %s and %s, found \"%.60s\"",
			       lade_pipe_unit_format(unit, v->row->min, low),
			       lade_pipe_unit_format(unit, v->row->max, high), v->node->shown);
	*ret = number;
	return 0;
}

static void fill_quantity(struct filling *f, const struct value *v)
{
	int64_t number;

	if (read_quantity(f, v, strlen(v->text), &number) == 0)
		*(int64_t *)field(f, v->row) = number;
}

static void fill_range(struct filling *f, const struct value *v)
{
	const char *dots = strstr(v->text, "..");
	struct value high = *v;
	int64_t numbers[2];

	if (!dots) {
		problem(f, v, "expected two durations, as 100ms..10s, found \"%.60s\"",
			v->node->shown);
		return;
	}
	high.text = dots + 2;
	if (read_quantity(f, v, (size_t)(dots - v->text), &numbers[0]) < 0 ||
	    read_quantity(f, &high, strlen(high.text), &numbers[1]) < 0)
		return;
	if (numbers[0] > numbers[1])
		problem(f, v, "the first duration must not be the longer one, found \"%.60s\"",
			v->node->shown);
	else
		memcpy(field(f, v->row), numbers, sizeof(numbers));
}

static void fill_bool(struct filling *f, const struct value *v)
{
	bool yes = strcmp(v->text, "true") == 0;

	if (!yes && strcmp(v->text, "false") != 0)
		problem(f, v, "expected true or false, found \"%.60s\"", v->node->shown);
	else
		*(bool *)field(f, v->row) = yes;
}

/* "a|b|c" as "a, b or c". */
static const char *list_words(const char *words, char ret[128])
{
	int n = 0;

	for (const char *p = words; *p && n < 100; p++) {
		if (*p == '|')
			n += snprintf(ret + n, 8, "%s", strchr(p + 1, '|') ? ", " : " or ");
		else
			ret[n++] = *p;
	}
	ret[n] = '\0';
	return ret;
}

static void later(struct filling *f, const struct value *v, const char *what)
{
	char words[128];

	if (v->row->words)
		problem(f, v, "\"%s\" is not in this version; use %s", what,
			list_words(v->row->words, words));
	else
		problem(f, v, "is designed, but not in this version; leave it out");
}

static void wrong_word(struct filling *f, const struct value *v)
{
	const char *near = NULL;
	size_t len = lade_pipe_word_near(v->row->words, v->text, &near);
	char words[128];

	list_words(v->row->words, words);
	if (len)
		problem(f, v, "expected %s, found \"%.60s\"; did you mean %.*s?", words,
			v->node->shown, (int)len, near);
	else
		problem(f, v, "expected %s, found \"%.60s\"", words, v->node->shown);
}

static void fill_word(struct filling *f, const struct value *v)
{
	int number = lade_pipe_word_number(v->row->words, v->text);

	if (number < 0 && v->row->later && lade_pipe_word_number(v->row->later, v->text) >= 0)
		later(f, v, v->text);
	else if (number < 0)
		wrong_word(f, v);
	else if (!(v->row->flags & LADE_ROW_NOWHERE))
		*(int *)field(f, v->row) = number;
}

static void fill_scalar(struct filling *f, const struct value *v)
{
	switch (v->row->kind) {
	case LADE_ROW_TEXT:
		fill_text(f, v);
		break;
	case LADE_ROW_RANGE:
		fill_range(f, v);
		break;
	case LADE_ROW_BOOL:
		fill_bool(f, v);
		break;
	case LADE_ROW_WORD:
		fill_word(f, v);
		break;
	default:
		fill_quantity(f, v);
	}
}

static int entry_of(struct filling *f, const struct value *v, const struct lade_yaml_pair *pair,
		    struct lade_pipe_entry *ret)
{
	const struct lade_yaml_node *node = pair->value;
	struct value at = { v->row, node, NULL };

	if (node->kind != LADE_YAML_SCALAR || node->len == 0)
		return problem(f, &at, "%s%s expected a text, found %s", pair->key ? pair->key : "",
			       pair->key ? ":" : "an entry:",
			       node->kind == LADE_YAML_SCALAR ? "nothing" : kind_name(node));
	*ret = (struct lade_pipe_entry){ pair->key, node->text, node->shown, node->line,
					 node->col };
	return 0;
}

static void fill_entries(struct filling *f, const struct value *v, struct lade_pipe_map *map)
{
	struct lade_arena *arena = &f->config->arena;
	int n = v->node->n;

	if (n < v->row->min || n > v->row->max) {
		problem(f, v, "expected %lld to %lld entries, found %d", (long long)v->row->min,
			(long long)v->row->max, n);
		return;
	}
	map->at = lade_arena_alloc(arena, ((size_t)n + 1) * sizeof(*map->at));
	if (!map->at) {
		f->config->problems.out_of_memory = true;
		return;
	}
	for (map->n = 0; map->n < n; map->n++)
		if (entry_of(f, v, &v->node->pairs[map->n], &map->at[map->n]) < 0)
			return;
}

static void fill_map(struct filling *f, const struct value *v)
{
	if (v->node->kind != LADE_YAML_MAP)
		problem(f, v, "expected names with values, as { name: value }, found %s",
			kind_name(v->node));
	else
		fill_entries(f, v, field(f, v->row));
}

/* A list of texts; one text alone is a list as well. */
static void fill_texts(struct filling *f, const struct value *v)
{
	struct lade_yaml_pair alone = { .value = (struct lade_yaml_node *)v->node };
	struct lade_yaml_node list = *v->node;
	struct value all = { v->row, &list, NULL };

	if (v->node->kind == LADE_YAML_MAP) {
		problem(f, v, "expected a list, as [a, b], found keys");
		return;
	}
	if (v->node->kind == LADE_YAML_SCALAR) {
		list.n = 1;
		list.pairs = &alone;
	}
	fill_entries(f, &all, field(f, v->row));
}

/* A list of sections; one section alone is a list as well. */
static void fill_sections(struct filling *f, const struct value *v)
{
	struct lade_yaml_pair alone = { .value = (struct lade_yaml_node *)v->node };
	bool list = v->node->kind == LADE_YAML_LIST,
	     steps = v->row == lade_pipe_row_find("", "steps");
	const struct lade_yaml_pair *pairs = list ? v->node->pairs : &alone;
	int n = list ? v->node->n : 1, *count = field(f, v->row);

	if (n > v->row->max) {
		problem(f, v, "more than %lld entries", (long long)v->row->max);
		return;
	}
	if (n == 0 && (v->row->flags & LADE_ROW_REQUIRED))
		problem(f, v, "the list is empty");
	for (*count = 0; *count < n; ++*count) {
		f->step = &f->config->steps[steps ? *count : 0];
		f->sink = &f->config->sinks[steps ? 0 : *count];
		fill_section(f, steps ? "steps[]" : "sink[]", pairs[*count].value,
			     pairs[*count].value);
	}
}

static void fill_present(struct filling *f, const struct value *v)
{
	if ((v->row->flags & LADE_ROW_LATER) && v->row->kind != LADE_ROW_WORD) {
		later(f, v, "");
		return;
	}
	switch (v->row->kind) {
	case LADE_ROW_CHOICE:
		*(int *)field(f, v->row) = (int)v->row->min;
		fill_section(f, v->row->key, v->node, v->node);
		break;
	case LADE_ROW_SECTION:
		if (!(v->row->flags & LADE_ROW_NOWHERE))
			*(bool *)field(f, v->row) = true;
		fill_section(f, v->row->key, v->node, v->node);
		break;
	case LADE_ROW_SECTIONS:
		fill_sections(f, v);
		break;
	case LADE_ROW_MAP:
		fill_map(f, v);
		break;
	case LADE_ROW_TEXTS:
		fill_texts(f, v);
		break;
	default:
		if (v->node->kind == LADE_YAML_SCALAR)
			fill_scalar(f, v);
		else
			problem(f, v, "expected a single value, found %s", kind_name(v->node));
	}
}

/* What to write for a section, where a word says more than its keys do; "": nothing. */
static const char *remedy(const char *key)
{
	if (strcmp(key, "source") == 0)
		return "; write source: { file: PATH }, { stdin: {} }, { kafka: … } or"
		       " { postgres: … }";
	if (strncmp(key, "sink", 4) == 0 && !strchr(key, '.'))
		return "; write sink: { stdout: {} }, { file: PATH }, { sqlite: … },"
		       " { postgres: … } or { kafka: … }";
	if (strcmp(key, "errors.dead_letter") == 0)
		return "; write dead_letter: { file: PATH }, { table: NAME } or { kafka: TOPIC }";
	return "";
}

static void fill_absent(struct filling *f, const struct lade_pipe_row *row,
			const struct lade_yaml_node *around)
{
	struct lade_yaml_node node = { .line = around->line, .col = around->col };
	struct value v = { row, &node, row->unset };

	node.shown = row->unset;
	if (row->kind == LADE_ROW_TEXT && (row->flags & LADE_ROW_REQUIRED) &&
	    !strchr(row->key, '.'))
		lade_pipe_problem(&f->config->problems, around->line, around->col,
				  "%s is missing: write %s: NAME. %s", row->key, row->key,
				  row->help);
	else if (row->flags & LADE_ROW_REQUIRED)
		lade_pipe_problem(&f->config->problems, around->line, around->col,
				  "%s is missing: %.*s%s", key_of(row),
				  (int)(strlen(row->help) - (*remedy(row->key) != 0)), row->help,
				  remedy(row->key));
	else if (row->kind == LADE_ROW_SECTION && row->flags == LADE_ROW_NOWHERE)
		fill_section(f, row->key, NULL, around);
	else if (row->unset)
		fill_scalar(f, &v);
}

static void unknown_key(struct filling *f, const char *prefix, const struct lade_yaml_pair *pair)
{
	struct lade_pipe_problems *problems = &f->config->problems;
	const struct lade_pipe_row *near = lade_pipe_row_near(prefix, pair->key);
	const struct lade_pipe_row *other = lade_pipe_row_elsewhere(pair->key);
	struct lade_pipe_row here = { .key = *prefix ? prefix : "the file" };

	if (near)
		lade_pipe_problem(problems, pair->line, pair->col,
				  "unknown key \"%.60s\"; did you mean %s?", pair->key,
				  lade_pipe_row_name(near));
	else if (other)
		lade_pipe_problem(problems, pair->line, pair->col,
				  "the key \"%.60s\" does not belong here, but at %s", pair->key,
				  key_of(other));
	else
		lade_pipe_problem(problems, pair->line, pair->col,
				  "unknown key \"%.60s\" in %s; lade check --keys lists all",
				  pair->key, key_of(&here));
}

/* Whether an unknown key of a section is taken for one of its choices: then that is the mistake. */
static bool has_guessed_choice(const char *prefix, const struct lade_yaml_node *node)
{
	for (int i = 0; node && i < node->n; i++) {
		const char *key = node->pairs[i].key;
		const struct lade_pipe_row *near = NULL;

		if (key && !lade_pipe_row_find(prefix, key))
			near = lade_pipe_row_near(prefix, key);
		if (near && near->kind == LADE_ROW_CHOICE)
			return true;
	}
	return false;
}

/* Of the choices of a section there must be one. */
static void check_choice(struct filling *f, const char *prefix, const struct lade_yaml_node *node,
			 const struct lade_yaml_node *around)
{
	const struct lade_pipe_row *row = lade_pipe_row_child(lade_pipe_rows, prefix);
	char names[128];
	int n = 0, found = 0;

	names[0] = '\0';
	for (; row; row = lade_pipe_row_child(row + 1, prefix)) {
		const char *name = lade_pipe_row_name(row);

		if (row->kind != LADE_ROW_CHOICE)
			continue;
		found += lade_yaml_get(node, name, strlen(name)) != NULL;
		if (!(row->flags & LADE_ROW_LATER))
			n += snprintf(names + n, sizeof(names) - (size_t)n, "%s%s", n ? ", " : "",
				      name);
	}
	if (n && found != 1 && (found || !has_guessed_choice(prefix, node)))
		lade_pipe_problem(&f->config->problems, around->line, around->col,
				  "expected exactly one of %s here, found %s", names,
				  found ? "several" : "none");
}

static void fill_keys(struct filling *f, const char *prefix, const struct lade_yaml_node *node)
{
	for (int i = 0; i < node->n; i++) {
		const struct lade_yaml_pair *pair = &node->pairs[i];
		struct value v = { lade_pipe_row_find(prefix, pair->key), pair->value,
				   pair->value->text };

		if (v.row)
			fill_present(f, &v);
		else
			unknown_key(f, prefix, pair);
	}
}

/* The key of a section that stands for all of it: `file: flights.ndjson`. */
static const struct lade_pipe_row *short_row(const char *prefix)
{
	const struct lade_pipe_row *row = lade_pipe_row_child(lade_pipe_rows, prefix);

	while (row && !(row->flags & LADE_ROW_SHORT))
		row = lade_pipe_row_child(row + 1, prefix);
	return row;
}

static void fill_short(struct filling *f, const char *prefix, const struct lade_yaml_node *node)
{
	struct lade_pipe_row here = { .key = *prefix ? prefix : "the file" };
	struct value v = { short_row(prefix), node, node->text };

	if (v.row && node->kind == LADE_YAML_SCALAR)
		fill_scalar(f, &v);
	else
		lade_pipe_problem(&f->config->problems, node->line, node->col,
				  "%s: expected keys, found %s%s", key_of(&here), kind_name(node),
				  remedy(here.key));
}

static bool present(const struct lade_yaml_node *node, const struct lade_pipe_row *row,
		    bool shortened)
{
	const char *name = lade_pipe_row_name(row);

	if (shortened && (row->flags & LADE_ROW_SHORT))
		return true;
	return node && lade_yaml_get(node, name, strlen(name));
}

/* Fills in the section @prefix from @node, which is NULL for a section that is not there;
 * @around is where its absence is reported. */
static void fill_section(struct filling *f, const char *prefix,
			 const struct lade_yaml_node *node, const struct lade_yaml_node *around)
{
	const struct lade_pipe_row *row = lade_pipe_row_child(lade_pipe_rows, prefix);
	bool shortened = node && node->kind != LADE_YAML_MAP && !empty(node);

	if (shortened)
		fill_short(f, prefix, node);
	else if (node)
		fill_keys(f, prefix, node);
	if (node && !shortened)
		check_choice(f, prefix, node, around);
	for (; row; row = lade_pipe_row_child(row + 1, prefix))
		if (row->kind != LADE_ROW_CHOICE && !present(node, row, shortened))
			fill_absent(f, row, around);
}

static int outcome(const struct lade_pipe_config *config)
{
	if (config->problems.out_of_memory)
		return -ENOMEM;
	return config->problems.n ? -EINVAL : 0;
}

/* The folder of a file, with the slash; "" for one here, and for what is no file: a pipe. */
static int find_folder(struct lade_pipe_config *config, int fd, const char *path)
{
	const char *slash = strrchr(path, '/');
	struct stat st;

	if (!slash || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		slash = NULL;
	config->folder = lade_arena_copy(&config->arena, path,
					 slash ? (size_t)(slash - path) + 1 : 0);
	config->problems.folder = config->folder;
	return config->folder ? 0 : -ENOMEM;
}

/* A name of a file, behind @scheme, is relative to the pipeline's file. */
static void place(struct lade_pipe_config *config, const char *scheme, const char **name)
{
	const char *folder = config->folder ? config->folder : "", *file;
	size_t size;
	char *placed;

	if (!*name || strncmp(*name, scheme, strlen(scheme)) != 0)
		return;
	file = *name + strlen(scheme);
	if (!*folder || *file == '/' || strcmp(file, ":memory:") == 0)
		return;
	size = strlen(scheme) + strlen(folder) + strlen(file) + 1;
	placed = lade_arena_alloc(&config->arena, size);
	if (placed)
		snprintf(placed, size, "%s%s%s", scheme, folder, file);
	else
		config->problems.out_of_memory = true;
	*name = placed ? placed : *name;
}

/* The same file by the same name: ./a//b is a/b. Offsets are kept by it. */
static void tidy(struct lade_pipe_config *config, const char **name)
{
	char *to, *tidied = *name ? lade_arena_copy(&config->arena, *name, strlen(*name)) : NULL;

	if (!tidied) {
		config->problems.out_of_memory |= *name != NULL;
		return;
	}
	to = tidied;
	for (const char *from = *name; *from;) {
		bool begins = to == tidied || to[-1] == '/';

		if (begins && from[0] == '.' && from[1] == '/')
			from += 2;
		else if (begins && from[0] == '/' && from > *name)
			from++;
		else
			*to++ = *from++;
	}
	*to = 0;
	if (to > tidied)
		*name = tidied;
}

static int place_files(struct lade_pipe_config *config)
{
	tidy(config, &config->source.path);
	config->source.topic = config->source.path;
	if (config->as_written)
		return outcome(config);
	place(config, "", &config->source.path);
	for (int i = 0; i < config->databases.n; i++)
		place(config, "sqlite:", &config->databases.at[i].text);
	for (int i = 0; i < config->n_steps; i++)
		place(config, "", &config->steps[i].path);
	for (int i = 0; i < config->n_sinks; i++)
		place(config, "", &config->sinks[i].path);
	place(config, "", &config->errors.dead_file);
	if (config->admin_socket && strcmp(config->admin_socket, "none") != 0)
		place(config, "", &config->admin_socket);
	return outcome(config);
}

int lade_pipe_config_parse(struct lade_pipe_config *config, const char *file, const char *text,
			   size_t len)
{
	struct filling f = { config, &config->steps[0], &config->sinks[0] };
	int rc;

	config->file = lade_arena_copy(&config->arena, file, strlen(file));
	config->text = lade_arena_copy(&config->arena, text, len);
	if (!config->file || !config->text)
		return -ENOMEM;
	rc = lade_yaml_parse(text, len, &config->problems, &config->root);
	if (rc < 0)
		return rc;
	fill_section(&f, "", config->root, config->root);
	rc = outcome(config);
	if (rc == 0)
		rc = place_files(config);
	return rc == 0 ? lade_pipe_config_check(config) : rc;
}

/* Reads a whole file into memory that malloc() gave. */
static int read_all(int fd, char **ret, size_t *ret_len)
{
	char *text = malloc(LADE_YAML_BYTES_MAX + 1);
	size_t len = 0;
	ssize_t n = 1;
	int rc = text ? 0 : -ENOMEM;

	while (rc == 0 && n > 0 && len <= LADE_YAML_BYTES_MAX) {
		n = read(fd, text + len, LADE_YAML_BYTES_MAX + 1 - len);
		if (n < 0)
			rc = -errno;
		else
			len += (size_t)n;
	}
	if (rc < 0) {
		free(text);
		return rc;
	}
	*ret = text;
	*ret_len = len;
	return 0;
}

static int unreadable(struct lade_pipe_config *config, const char *path, int rc)
{
	config->file = lade_arena_copy(&config->arena, path, strlen(path));
	if (!config->file)
		return -ENOMEM;
	lade_pipe_problem(&config->problems, 0, 0, "cannot be read: %s%s", strerror(-rc),
			  rc == -ENOENT	  ? "; lade new DIR makes a first pipeline"
			  : rc == -EISDIR ? "; name the file in it, as pipeline.yaml"
					  : "");
	return rc;
}

int lade_pipe_config_load(struct lade_pipe_config *config, const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), rc = fd < 0 ? -errno : 0;
	char *text = NULL;
	size_t len = 0;

	if (rc == 0) {
		rc = find_folder(config, fd, path);
		if (rc == 0)
			rc = read_all(fd, &text, &len);
		close(fd);
	}
	if (rc < 0)
		return unreadable(config, path, rc);
	rc = lade_pipe_config_parse(config, path, text, len);
	free(text);
	return rc;
}

struct lade_pipe_config *lade_pipe_config_new(void)
{
	struct lade_pipe_config *config = calloc(1, sizeof(*config));

	if (!config)
		return NULL;
	lade_arena_init(&config->arena, ARENA_BLOCK, ARENA_MAX);
	config->problems.arena = &config->arena;
	config->notes.arena = &config->arena;
	return config;
}

struct lade_pipe_config *lade_pipe_config_free(struct lade_pipe_config *config)
{
	if (config)
		lade_arena_done(&config->arena);
	free(config);
	return NULL;
}

static void list_problem(struct lade_json_out *out, const char *file,
			 const struct lade_pipe_problem *p)
{
	char place[64] = "";

	if (p->line)
		snprintf(place, sizeof(place), ":%d:%d", p->line, p->col);
	lade_json_out_raw(out, file, strlen(file));
	lade_json_out_raw(out, place, strlen(place));
	lade_json_out_raw(out, ": ", 2);
	lade_json_out_raw(out, p->text, strlen(p->text));
	lade_json_out_raw(out, "\n", 1);
}

const char *lade_pipe_config_problems(struct lade_pipe_config *config, bool notes)
{
	const struct lade_pipe_problems *list = notes ? &config->notes : &config->problems;
	const char *ret = NULL, *file = config->file ? config->file : "";
	struct lade_json_out out;
	char more[64];

	lade_json_out_init(&out, 1 << 20);
	for (const struct lade_pipe_problem *p = list->first; p; p = p->next)
		list_problem(&out, file, p);
	if (list->n > LADE_YAML_PROBLEMS_MAX) {
		snprintf(more, sizeof(more), "and %d more\n", list->n - LADE_YAML_PROBLEMS_MAX);
		lade_json_out_raw(&out, more, strlen(more));
	}
	if (out.status == 0)
		ret = lade_arena_copy(&config->arena, out.data, out.len);
	lade_json_out_done(&out);
	return ret;
}
