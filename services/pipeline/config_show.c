/* SPDX-License-Identifier: MIT */
/* config_show.c - prints a configuration with its defaults, and the reference of all keys.
 *
 * DESIGN
 * Both walk the table of keys, so that neither can forget one.  Text is written in quotes
 * unless it is a plain word, because YAML gives too many words a meaning of their own. */

#include "services/pipeline/config.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <lade/json.h>

#include "services/pipeline/config_table.h"
#include "services/pipeline/postgres.h"
#include "services/pipeline/units.h"

#define TEXT_MAX (4 << 20)

struct showing {
	const struct lade_pipe_config *config;
	const char *list;			/* "steps" or "sink" within one of them */
	int i;					/* its number */
	const struct lade_pipe_step *step;
	const struct lade_pipe_sink *sink;
	bool dash;				/* the next line begins an element of a list */
	struct lade_json_out out;
};

static void put(struct showing *s, const char *text)
{
	lade_json_out_raw(&s->out, text, strlen(text));
}

static void indent(struct showing *s, int depth)
{
	for (int i = 0; i < depth; i++)
		put(s, i == depth - 1 && s->dash ? "- " : "  ");
	s->dash = false;
}

static const void *field(const struct showing *s, const struct lade_pipe_row *row)
{
	switch (row->base) {
	case LADE_BASE_STEP:
		return (const char *)s->step + row->offset;
	case LADE_BASE_SINK:
		return (const char *)s->sink + row->offset;
	default:
		return (const char *)s->config + row->offset;
	}
}

static bool plain_word(const char *text)
{
	static const char fine[] =
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_./0123456789-";

	if (!strcmp(text, "true") || !strcmp(text, "false") || !strcmp(text, "null"))
		return false;
	return *text && strspn(text, fine) == strlen(text) && strcspn(text, "0123456789.-") > 0;
}

/* Characters that YAML takes for line breaks or refuses, though JSON does not. */
static int odd_character(const char *p)
{
	const unsigned char *u = (const unsigned char *)p;

	if (u[0] == 0x7f)
		return 1;
	if (u[0] == 0xc2 && u[1] < 0xa0)
		return 2;
	if ((u[0] == 0xe2 && u[1] == 0x80 && (u[2] == 0xa8 || u[2] == 0xa9)) ||
	    (u[0] == 0xef && u[1] == 0xbb && u[2] == 0xbf) ||
	    (u[0] == 0xef && u[1] == 0xbf && u[2] >= 0xbe))
		return 3;
	return 0;
}

static void put_odd(struct showing *s, const char *p, int len)
{
	const unsigned char *u = (const unsigned char *)p;
	unsigned c = len == 1 ? u[0] : len == 2 ? (u[0] & 0x1fu) << 6 | (u[1] & 0x3fu) :
		     (u[0] & 0xfu) << 12 | (u[1] & 0x3fu) << 6 | (u[2] & 0x3fu);
	char text[8];

	snprintf(text, sizeof(text), "\\u%04x", c);
	put(s, text);
}

static void put_quoted(struct showing *s, const char *text)
{
	struct lade_json_out quoted;

	lade_json_out_init(&quoted, TEXT_MAX);
	lade_json_out_string(&quoted, text, strlen(text));
	for (size_t i = 0; quoted.status == 0 && i < quoted.len; i++) {
		int odd = odd_character(quoted.data + i);

		if (odd)
			put_odd(s, quoted.data + i, odd);
		else
			lade_json_out_raw(&s->out, quoted.data + i, 1);
		i += odd ? (size_t)odd - 1 : 0;
	}
	if (s->out.status == 0)
		s->out.status = quoted.status;
	lade_json_out_done(&quoted);
}

/* Can the text stand line by line behind a | as it is? */
static bool is_block(const char *text)
{
	size_t len = strlen(text);

	if (!strchr(text, '\n') || *text == ' ' || *text == '\n' ||
	    (len > 1 && text[len - 1] == '\n' && text[len - 2] == '\n'))
		return false;
	for (const char *p = text; *p; p++)
		if ((unsigned char)*p >= 0x7f || ((unsigned char)*p < ' ' && *p != '\n'))
			return false;
	return true;
}

/* Behind the last line its caller puts the newline. */
static void put_block(struct showing *s, const char *text, int depth)
{
	bool newline = text[strlen(text) - 1] == '\n';

	put(s, newline ? "|" : "|-");
	while (*text) {
		size_t len = strcspn(text, "\n");

		put(s, "\n");
		if (len)
			indent(s, depth);
		lade_json_out_raw(&s->out, text, len);
		text += len + (text[len] == '\n');
	}
}

/* The text without the password of an address: scheme://user:***@host */
static void put_unmasked(struct showing *s, const char *text, int depth)
{
	if (plain_word(text))
		put(s, text);
	else if (is_block(text))
		put_block(s, text, depth);
	else
		put_quoted(s, text);
}

/* Where the password of an address is: behind scheme://user: or behind password= of PostgreSQL's.
 * Returns it and its length, or NULL. */
static const char *password_of(const char *text, size_t *ret_len)
{
	const char *scheme = strstr(text, "://"), *at, *colon, *named = NULL;

	at = scheme ? strpbrk(scheme + 3, "@/?# \n") : NULL;
	colon = at && *at == '@' ? memchr(scheme + 3, ':', (size_t)(at - scheme - 3)) : NULL;
	if (colon) {
		*ret_len = (size_t)(at - colon - 1);
		return colon + 1;
	}
	if (strncmp(text, "postgres", 8) == 0)
		named = strstr(text, "password=");
	if (!named)
		return NULL;
	*ret_len = strcspn(named + 9, "&#");
	return named + 9;
}

static void put_text(struct showing *s, const char *text, int depth)
{
	struct lade_json_out masked;
	const char *password;
	size_t len;

	password = password_of(text, &len);
	if (!password) {
		put_unmasked(s, text, depth);
		return;
	}
	lade_json_out_init(&masked, TEXT_MAX);
	lade_json_out_raw(&masked, text, (size_t)(password - text));
	lade_json_out_raw(&masked, "***", 3);
	lade_json_out_raw(&masked, password + len, strlen(password + len) + 1);
	if (masked.status == 0)
		put_unmasked(s, masked.data, depth);
	else
		s->out.status = masked.status;
	lade_json_out_done(&masked);
}

/* What may be shown of the text of a row. */
static const char *shown(const struct showing *s, const struct lade_pipe_row *row,
			 const char *value)
{
	const char *dot = s->list ? strchr(row->key, '.') : NULL;
	const struct lade_yaml_node *node =
		lade_pipe_config_node(s->config, s->list, s->i, dot ? dot + 1 : row->key);

	return node && node->kind == LADE_YAML_SCALAR && node->text == value ? node->shown : value;
}

static void show_word(struct showing *s, const struct lade_pipe_row *row)
{
	int number = row->flags & LADE_ROW_NOWHERE ? 0 : *(const int *)field(s, row);
	size_t len;
	const char *word = lade_pipe_word_at(row->words, number, &len);

	lade_json_out_raw(&s->out, word, len);
}

static void show_quantity(struct showing *s, enum lade_pipe_unit unit, int64_t value)
{
	char text[LADE_UNIT_ROOM];

	put(s, lade_pipe_unit_format(unit, value, text));
}

static void show_scalar(struct showing *s, const struct lade_pipe_row *row, int depth)
{
	const int64_t *number = field(s, row);

	switch (row->kind) {
	case LADE_ROW_TEXT:
		put_text(s, shown(s, row, *(const char *const *)field(s, row)), depth + 1);
		break;
	case LADE_ROW_DURATION:
		show_quantity(s, LADE_UNIT_DURATION, *number);
		break;
	case LADE_ROW_RANGE:
		show_quantity(s, LADE_UNIT_DURATION, number[0]);
		put(s, "..");
		show_quantity(s, LADE_UNIT_DURATION, number[1]);
		break;
	case LADE_ROW_BYTES:
		show_quantity(s, LADE_UNIT_BYTES, *number);
		break;
	case LADE_ROW_PERCENT:
		show_quantity(s, LADE_UNIT_PERCENT, *number);
		break;
	case LADE_ROW_WORD:
		show_word(s, row);
		break;
	case LADE_ROW_BOOL:
		put(s, *(const bool *)field(s, row) ? "true" : "false");
		break;
	default:
		show_quantity(s, LADE_UNIT_COUNT, *number);
	}
	put(s, "\n");
}

static void show_map(struct showing *s, const struct lade_pipe_row *row, int depth)
{
	const struct lade_pipe_map *map = field(s, row);

	put(s, "\n");
	for (int i = 0; i < map->n; i++) {
		indent(s, depth + 1);
		put_unmasked(s, map->at[i].name, depth + 1);
		put(s, ": ");
		if (row->flags & LADE_ROW_SECRET)
			put(s, "\"***\"");
		else
			put_text(s, map->at[i].shown, depth + 2);
		put(s, "\n");
	}
}

static void show_texts(struct showing *s, const struct lade_pipe_row *row)
{
	const struct lade_pipe_map *map = field(s, row);

	put(s, " [");
	for (int i = 0; i < map->n; i++) {
		put(s, i ? ", " : "");
		put_quoted(s, map->at[i].shown);
	}
	put(s, "]\n");
}

/* Has the row anything to show? */
static bool is_set(const struct showing *s, const struct lade_pipe_row *row)
{
	bool somewhere = !(row->flags & LADE_ROW_NOWHERE);

	if (row->flags & LADE_ROW_LATER)
		return false;
	if (strcmp(row->key, "errors.dead_letter") == 0)
		return s->config->errors.dead_kind != LADE_DEAD_NONE;
	if (strcmp(row->key, "order.by") == 0 && s->config->order_key)
		return false;
	switch (row->kind) {
	case LADE_ROW_CHOICE:
		return *(const int *)field(s, row) == (int)row->min;
	case LADE_ROW_SECTION:
		return !somewhere || *(const bool *)field(s, row);
	case LADE_ROW_SECTIONS:
		return *(const int *)field(s, row) > 0;
	case LADE_ROW_MAP:
	case LADE_ROW_TEXTS:
		return ((const struct lade_pipe_map *)field(s, row))->n > 0;
	case LADE_ROW_TEXT:
		return *(const char *const *)field(s, row) != NULL;
	default:
		return true;
	}
}

static void show_section(struct showing *s, const char *prefix, int depth);

static void show_sections(struct showing *s, const struct lade_pipe_row *row, int depth)
{
	int n = *(const int *)field(s, row);
	bool steps = strcmp(row->key, "steps") == 0;

	put(s, "\n");
	for (int i = 0; i < n; i++) {
		s->list = row->key;
		s->i = i;
		s->step = &s->config->steps[steps ? i : 0];
		s->sink = &s->config->sinks[steps ? 0 : i];
		s->dash = true;
		show_section(s, steps ? "steps[]" : "sink[]", depth + 2);
	}
	s->list = NULL;
}

static bool any_set(const struct showing *s, const char *prefix)
{
	const struct lade_pipe_row *row = lade_pipe_row_child(lade_pipe_rows, prefix);

	while (row && !is_set(s, row))
		row = lade_pipe_row_child(row + 1, prefix);
	return row;
}

/* What is sent in place of a query, as comments. */
static void show_sent(struct showing *s, int depth)
{
	struct lade_json_out sql;
	const char *line;

	if (!lade_pipe_database_url(s->config, s->step->db))
		return;
	lade_json_out_init(&sql, TEXT_MAX);
	lade_pipe_pg_step_sql(&sql, s->step);
	lade_json_out_raw(&sql, "", 1);
	indent(s, depth);
	put(s, "# sent, in a read-only transaction:\n");
	for (line = sql.status == 0 ? sql.data : ""; *line;) {
		size_t len = strcspn(line, "\n");

		indent(s, depth);
		put(s, "# ");
		lade_json_out_raw(&s->out, line, len);
		put(s, "\n");
		line += len + (line[len] == '\n');
	}
	if (sql.status < 0)
		s->out.status = sql.status;
	lade_json_out_done(&sql);
}

static void show_row(struct showing *s, const struct lade_pipe_row *row, int depth)
{
	indent(s, depth);
	put(s, lade_pipe_row_name(row));
	put(s, ":");
	switch (row->kind) {
	case LADE_ROW_SECTION:
	case LADE_ROW_CHOICE:
		put(s, any_set(s, row->key) ? "\n" : " {}\n");
		show_section(s, row->key, depth + 1);
		break;
	case LADE_ROW_SECTIONS:
		show_sections(s, row, depth);
		break;
	case LADE_ROW_MAP:
		show_map(s, row, depth);
		break;
	case LADE_ROW_TEXTS:
		show_texts(s, row);
		break;
	default:
		put(s, " ");
		show_scalar(s, row, depth);
	}
	if (strcmp(row->key, "steps[].sql.query") == 0)
		show_sent(s, depth);
}

static void show_section(struct showing *s, const char *prefix, int depth)
{
	const struct lade_pipe_row *row = lade_pipe_row_child(lade_pipe_rows, prefix);

	for (; row; row = lade_pipe_row_child(row + 1, prefix))
		if (is_set(s, row))
			show_row(s, row, depth);
}

const char *lade_pipe_config_show(struct lade_pipe_config *config)
{
	struct showing s = { .config = config };
	const char *ret = NULL;

	lade_json_out_init(&s.out, TEXT_MAX);
	if (config->as_written && config->folder && *config->folder) {
		put(&s, "# Its paths begin in the folder of the file: it is to be in ");
		put(&s, config->folder);
		put(&s, "\n");
	}
	show_section(&s, "", 0);
	if (s.out.status == 0)
		ret = lade_arena_copy(&config->arena, s.out.data, s.out.len);
	lade_json_out_done(&s.out);
	return ret;
}

static const char *kind_text(const struct lade_pipe_row *row)
{
	switch (row->kind) {
	case LADE_ROW_MAP: return "names with texts";
	case LADE_ROW_TEXTS: return "list of texts";
	case LADE_ROW_TEXT: return "text";
	case LADE_ROW_COUNT: return "number";
	case LADE_ROW_DURATION: return "duration";
	case LADE_ROW_BYTES: return "size";
	case LADE_ROW_PERCENT: return "percentage";
	case LADE_ROW_RANGE: return "two durations";
	case LADE_ROW_WORD: return row->words;
	case LADE_ROW_BOOL: return "true|false";
	case LADE_ROW_SECTIONS: return "list";
	case LADE_ROW_CHOICE: return "one of these sections";
	default: return "section";
	}
}

static void refer_range(struct showing *s, const struct lade_pipe_row *row)
{
	enum lade_pipe_unit unit = row->kind == LADE_ROW_BYTES	   ? LADE_UNIT_BYTES
				   : row->kind == LADE_ROW_PERCENT ? LADE_UNIT_PERCENT
				   : row->kind == LADE_ROW_COUNT   ? LADE_UNIT_COUNT
								   : LADE_UNIT_DURATION;

	if (row->kind < LADE_ROW_COUNT || row->kind > LADE_ROW_RANGE)
		return;
	put(s, ", ");
	show_quantity(s, unit, row->min);
	put(s, " to ");
	show_quantity(s, unit, row->max);
}

static void refer_row(struct showing *s, const struct lade_pipe_row *row)
{
	put(s, row->key);
	put(s, "  ");
	put(s, kind_text(row));
	refer_range(s, row);
	if (row->unset) {
		put(s, ", default ");
		put(s, row->unset);
	}
	if (row->flags & LADE_ROW_REQUIRED)
		put(s, ", required");
	if (row->flags & LADE_ROW_LATER)
		put(s, ", not in this version");
	put(s, "\n\t");
	put(s, row->help);
	put(s, "\n");
}

char *lade_pipe_config_reference(void)
{
	struct showing s = { 0 };

	lade_json_out_init(&s.out, TEXT_MAX);
	for (const struct lade_pipe_row *row = lade_pipe_rows; row->key; row++)
		refer_row(&s, row);
	lade_json_out_raw(&s.out, "", 1);
	if (s.out.status < 0)
		lade_json_out_done(&s.out);
	return s.out.data;
}
