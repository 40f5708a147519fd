/* SPDX-License-Identifier: MIT */
/* program.c - a random program's text, and questions about its tree. */

#include "model/program.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* How a kind is written: its word, and the names of its numbers; NULL: it has none. */
static const struct {
	const char *word, *n, *m, *to, *flag;
} written[KINDS] = {
	[SLEEP] = { "sleep", "ms", NULL, NULL, NULL },
	[YIELD] = { "yield", NULL, NULL, NULL, NULL },
	[FAIL] = { "fail", "errno", NULL, NULL, NULL },
	[LEAVE] = { "leave", "errno", NULL, NULL, NULL },
	[SEND] = { "send", "channel", NULL, NULL, NULL },
	[RECV] = { "recv", "channel", NULL, NULL, NULL },
	[TRY_SEND] = { "try_send", "channel", NULL, NULL, NULL },
	[TRY_RECV] = { "try_recv", "channel", NULL, NULL, NULL },
	[CLOSE] = { "close", "channel", NULL, NULL, NULL },
	[SET] = { "set", NULL, NULL, NULL, NULL },
	[CLEAR] = { "clear", NULL, NULL, NULL, NULL },
	[AWAIT] = { "await", NULL, NULL, NULL, NULL },
	[STOPPING] = { "stopping", NULL, NULL, NULL, NULL },
	[CANCEL] = { "cancel", "grace", NULL, "of", NULL },
	[WAIT] = { "wait", NULL, NULL, "for", NULL },
	[PUT] = { "put", "channel", NULL, NULL, NULL },
	[HOLD] = { "hold", "permits", NULL, NULL, "try" },
	[IGNORE] = { "ignore", NULL, NULL, NULL, NULL },
	[WITHIN] = { "within", "ms", NULL, NULL, NULL },
	[SHIELD] = { "shield", "ms", NULL, NULL, NULL },
	[SCOPE] = { "scope", "max", "cleanup", NULL, "all" },
	[TASK] = { "task", NULL, NULL, NULL, "plain" },
	[CLEANUP] = { "cleanup", NULL, NULL, NULL, NULL },
	[DEFER] = { "defer", NULL, NULL, NULL, NULL },
	[SELECT] = { "select", NULL, NULL, NULL, "fair" },
	[START] = { "start", NULL, NULL, "in", NULL },
	[DAEMON] = { "daemon", NULL, NULL, "in", NULL },
	[SPAWN] = { "spawn", NULL, NULL, "in", NULL },
	[JOIN] = { "join", NULL, NULL, NULL, NULL },
	[JOIN_ALL] = { "join_all", NULL, NULL, NULL, NULL },
	[RACE] = { "race", NULL, NULL, NULL, NULL },
	[RACE_OK] = { "race_ok", NULL, NULL, NULL, NULL },
	[JOIN_TASK] = { "join_task", NULL, NULL, NULL, NULL },
	[RACE_TASK] = { "race_task", NULL, NULL, NULL, NULL },
	[RACE_OK_TASK] = { "race_ok_task", NULL, NULL, NULL, NULL },
	[ON] = { "on", "core", NULL, NULL, NULL },
};

const char *program_word(enum kind kind)
{
	return written[kind].word;
}

int program_kid(const struct program *p, int node, int n)
{
	int kid = p->nodes[node].first;

	while (kid >= 0 && n--)
		kid = p->nodes[kid].next;
	return kid;
}

int program_kids(const struct program *p, int node)
{
	int count = 0;

	for (int kid = p->nodes[node].first; kid >= 0; kid = p->nodes[kid].next)
		count++;
	return count;
}

int program_around(const struct program *p, int node)
{
	int parent = p->nodes[node].parent;

	if (parent < 0 || p->nodes[parent].kind < START || p->nodes[parent].kind > SPAWN)
		return parent;
	return program_scope_of(p, parent);
}

int program_scope_of(const struct program *p, int node)
{
	int to = p->nodes[node].to, at = node;

	while (at >= 0 && (p->nodes[at].kind != SCOPE || (to && p->nodes[at].label != to)))
		at = p->nodes[at].kind == ON ? -1 : program_around(p, at);
	return at;
}

bool program_is_sent(const struct program *p, int node)
{
	int parent = p->nodes[node].parent;

	return parent >= 0 && p->nodes[parent].kind == ON;
}

int program_island(const struct program *p, int node)
{
	if (program_is_sent(p, node))
		node = p->nodes[node].parent;
	do
		node = p->nodes[node].parent;
	while (node >= 0 && p->nodes[node].kind != ON);
	return node;
}

bool program_is_composite(const struct program *p, int node)
{
	return p->nodes[node].kind >= JOIN_TASK;
}

bool program_is_task(const struct program *p, int node)
{
	return p->nodes[node].kind == TASK || program_is_composite(p, node);
}

/* Text */

struct writer {
	char *at;
	char *end;
};

__attribute__((format(printf, 2, 3))) static void put(struct writer *w, const char *format, ...)
{
	va_list args;
	int len;

	va_start(args, format);
	len = vsnprintf(w->at, (size_t)(w->end - w->at), format, args);
	va_end(args);
	w->at += len < w->end - w->at ? len : w->end - w->at - 1;
}

static void print_node(struct writer *w, const struct program *p, int node, int depth)
{
	const struct node *n = &p->nodes[node];

	put(w, "%*s%s", depth * 2, "", written[n->kind].word);
	if (n->label)
		put(w, " #%d", n->label);
	if (written[n->kind].n)
		put(w, " %s=%d", written[n->kind].n, n->n);
	if (written[n->kind].m && n->m)
		put(w, " %s=%d", written[n->kind].m, n->m);
	if (written[n->kind].to && n->to)
		put(w, " %s=%d", written[n->kind].to, n->to);
	if (written[n->kind].flag && n->flag)
		put(w, " %s", written[n->kind].flag);
	if (n->first < 0) {
		put(w, "\n");
		return;
	}
	put(w, " {\n");
	for (int kid = n->first; kid >= 0; kid = p->nodes[kid].next)
		print_node(w, p, kid, depth + 1);
	put(w, "%*s}\n", depth * 2, "");
}

void program_print(const struct program *p, char *text)
{
	struct writer w = { text, text + PROGRAM_TEXT };

	put(&w, "program stacks=%u inline=%d permits=%d channels=%d,%d\n", p->stacks_max,
	    p->inline_budget, p->permits, p->capacity[0], p->capacity[1]);
	print_node(&w, p, 0, 0);
}

struct reader {
	const char *at;
	int line;
	struct program *p;
	char word[24];
};

/* The next word: letters, numbers and what may stand in an attribute; or one brace. */
static bool next_word(struct reader *r)
{
	size_t len = 0;

	for (; isspace((unsigned char)*r->at); r->at++)
		r->line += *r->at == '\n';
	if (*r->at == '{' || *r->at == '}')
		r->word[len++] = *r->at++;
	else
		while (*r->at && !isspace((unsigned char)*r->at) && *r->at != '{' &&
		       *r->at != '}' && len < sizeof(r->word) - 1)
			r->word[len++] = *r->at++;
	r->word[len] = 0;
	return len > 0;
}

static bool number_of(const char *word, const char *name, long *ret)
{
	size_t len = name ? strlen(name) : 0;

	if (!name || strncmp(word, name, len) != 0 || word[len] != '=')
		return false;
	*ret = strtol(word + len + 1, NULL, 10);
	return true;
}

/* One attribute of a statement. */
static bool read_attribute(struct reader *r, struct node *n)
{
	long number;

	if (r->word[0] == '#')
		n->label = (uint8_t)(strtol(r->word + 1, NULL, 10) % LABELS_MAX);
	else if (number_of(r->word, written[n->kind].n, &number))
		n->n = (int16_t)number;
	else if (number_of(r->word, written[n->kind].m, &number))
		n->m = (int16_t)number;
	else if (number_of(r->word, written[n->kind].to, &number))
		n->to = (uint8_t)(number % LABELS_MAX);
	else if (written[n->kind].flag && strcmp(r->word, written[n->kind].flag) == 0)
		n->flag = true;
	else
		return false;
	return true;
}

static int kind_of(const char *word)
{
	for (int kind = 0; kind < KINDS; kind++)
		if (strcmp(word, written[kind].word) == 0)
			return kind;
	return -1;
}

/* Reads the statement whose word has just been read; the reader is then at the word behind it.
 * Returns its index, or -1. */
static int read_node(struct reader *r, int parent)
{
	struct program *p = r->p;
	int kind = kind_of(r->word), at = p->count, last = -1;

	if (kind < 0 || at == NODES_MAX)
		return -1;
	p->count++;
	p->nodes[at] = (struct node){ .kind = (uint8_t)kind,
				      .parent = (int16_t)parent,
				      .first = -1,
				      .next = -1 };
	while (next_word(r) && read_attribute(r, &p->nodes[at]))
		;
	if (p->nodes[at].label)
		p->at[p->nodes[at].label] = (int16_t)at;
	if (r->word[0] != '{')
		return at;
	next_word(r);
	while (r->word[0] != '}') {
		int kid = read_node(r, at);

		if (kid < 0)
			return -1;
		if (last < 0)
			p->nodes[at].first = (int16_t)kid;
		else
			p->nodes[last].next = (int16_t)kid;
		last = kid;
	}
	next_word(r);
	return at;
}

int program_parse(struct program *p, const char *text)
{
	struct reader r = { .at = text, .line = 1, .p = p };
	int used = 0;

	*p = (struct program){ .count = 0 };
	memset(p->at, -1, sizeof(p->at));
	if (sscanf(text, "program stacks=%u inline=%d permits=%d channels=%d,%d%n", &p->stacks_max,
		   &p->inline_budget, &p->permits, &p->capacity[0], &p->capacity[1], &used) != 5)
		return 1;
	r.at += used;
	if (!next_word(&r) || read_node(&r, -1) < 0 || r.word[0] || p->nodes[0].kind != TASK)
		return r.line;
	return 0;
}

/* Shrinking */

struct copier {
	const struct program *from;
	struct program *to;
	int gone;
	bool keep_kids;
	bool fits;
};

static int last_kid(const struct program *p, int node)
{
	int kid = p->nodes[node].first;

	while (kid >= 0 && p->nodes[kid].next >= 0)
		kid = p->nodes[kid].next;
	return kid;
}

static void copy_node(struct copier *c, int node, int parent)
{
	struct program *to = c->to;
	int at = to->count, before = parent >= 0 ? last_kid(to, parent) : -1;

	if (node != c->gone) {
		to->count++;
		to->nodes[at] = c->from->nodes[node];
		to->nodes[at].parent = (int16_t)parent;
		to->nodes[at].first = to->nodes[at].next = -1;
		if (to->nodes[at].label)
			to->at[to->nodes[at].label] = (int16_t)at;
		if (before >= 0)
			to->nodes[before].next = (int16_t)at;
		else if (parent >= 0)
			to->nodes[parent].first = (int16_t)at;
	} else if (!c->keep_kids) {
		return;
	} else {
		at = parent;
	}
	for (int kid = c->from->nodes[node].first; kid >= 0; kid = c->from->nodes[kid].next)
		copy_node(c, kid, at);
}

/* Whether it is done in sequence with others. */
static bool is_statement(const struct program *p, int node)
{
	int kind = p->nodes[node].kind;

	return kind != STOPPING && kind != CLEANUP && !program_is_task(p, node);
}

/* Whether a kid may stand where it stands. */
static bool is_in_place(const struct program *p, int node)
{
	int kind = p->nodes[node].kind, parent = p->nodes[node].parent;

	switch (parent < 0 ? TASK : p->nodes[parent].kind) {
	case DEFER:
		return p->nodes[parent].first == node ? kind == CLEANUP :
						       is_statement(p, node);
	case SELECT:
		return kind == SEND || kind == RECV || kind == AWAIT || kind == SLEEP ||
		       kind == STOPPING;
	case SPAWN:
	case ON:
		return kind == TASK;
	case START:
	case DAEMON:
	case JOIN:
	case JOIN_ALL:
	case RACE:
	case RACE_OK:
	case JOIN_TASK:
	case RACE_TASK:
	case RACE_OK_TASK:
		return program_is_task(p, node);
	default:
		return parent < 0 || is_statement(p, node);
	}
}

static bool has_its_kids(const struct program *p, int node)
{
	int count = program_kids(p, node), kind = p->nodes[node].kind;

	if (kind < PUT)
		return count == 0;
	if (kind == DEFER)
		return count > 0;
	if ((kind >= START && kind <= SPAWN) || kind == ON)
		return count == 1;
	return kind < SELECT || (count > 0 && count <= MEMBERS_MAX);
}

bool program_without(const struct program *p, int node, bool keep_kids, struct program *ret)
{
	struct copier c = { p, ret, node, keep_kids, true };

	*ret = *p;
	ret->count = 0;
	memset(ret->at, -1, sizeof(ret->at));
	copy_node(&c, 0, -1);
	if (ret->count == 0 || ret->nodes[0].kind != TASK)
		return false;
	for (int i = 0; i < ret->count; i++)
		if (!is_in_place(ret, i) || !has_its_kids(ret, i))
			return false;
	return true;
}
