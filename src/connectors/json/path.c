/* SPDX-License-Identifier: MIT */
/* path.c - compiles paths into a tree.
 *
 * DESIGN
 * A key of a document is looked up by a hash of its length and three of its bytes.  With
 * few children a list would do as well; a table of a hundred columns makes a hundred
 * children, and a list would compare each key of each message with all of them.  The lookup
 * itself is in the header: it runs for each key of each message.
 *
 * LIMITS  LADE_JSON_STEPS_MAX steps a path, LADE_JSON_NAME_MAX bytes a name,
 * LADE_JSON_PATHS_MAX paths a set, ITEM_MAX the highest index. */

#include "connectors/json/path_priv.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "connectors/json/scan_priv.h"
#include "connectors/json/string_priv.h"

#define ITEM_MAX 1000000
#define BUCKETS_MIN 8u

/* One step of a path. */
struct step {
	const char *name;	/* unescaped, in .room or in the path; NULL for an index */
	uint32_t len;		/* bytes of the name, or the index */
	char room[LADE_JSON_NAME_MAX * 6];	/* for a name with escapes */
};

struct path_text {
	const char *start;		/* the path as it was given */
	const char *at;			/* what is still to be read */
	const char *end;		/* behind its last byte */
	struct lade_json_error *error;	/* where reasons go */
};

static int fail(struct path_text *t, const char *at, const char *reason)
{
	t->error->at = (size_t)(at - t->start);
	snprintf(t->error->reason, sizeof(t->error->reason), "%s", reason);
	return -EINVAL;
}

static bool bare(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '_' || c == '-' || c == '$' || (unsigned char)c >= 0x80;
}

static int read_bare(struct path_text *t, struct step *ret)
{
	const char *first = t->at;

	while (t->at < t->end && bare(*t->at)) {
		int len = lade_utf8_len(t->at, (size_t)(t->end - t->at));

		if (!len)
			return fail(t, t->at, "is not UTF-8");
		t->at += len;
	}
	if (t->at == first)
		return fail(t, first, "expected a name after the dot, as .name or .\"odd name\"");
	if (t->at - first > LADE_JSON_NAME_MAX)
		return fail(t, first, "the name is longer than 255 bytes");
	ret->name = first;
	ret->len = (uint32_t)(t->at - first);
	return 0;
}

/* Finds the closing quote; t->at is behind the opening one. */
static int find_quote(struct path_text *t, const char **ret)
{
	const char *p = t->at;

	while (p < t->end && *p != '"') {
		int len = *p == '\\' && t->end - p > 1 ? 2 : lade_utf8_len(p, (size_t)(t->end - p));

		if ((unsigned char)*p < 0x20)
			return fail(t, p, "a control character in a name is written \\u00XX");
		if (!len)
			return fail(t, p, "is not UTF-8");
		p += len;
	}
	if (p >= t->end)
		return fail(t, t->at - 1, "the quote is not closed");
	*ret = p;
	return 0;
}

static int read_quoted(struct path_text *t, struct step *ret)
{
	const char *first = ++t->at, *last;
	ptrdiff_t len;
	int rc = find_quote(t, &last);

	if (rc < 0)
		return rc;
	if ((size_t)(last - first) > sizeof(ret->room))
		return fail(t, first, "the name is longer than 255 bytes");
	len = lade_json_escapes_check(first, (size_t)(last - first));
	if (len >= 0)
		return fail(t, first + len, "is no escape of a JSON string");
	len = lade_json_unescape(first, (size_t)(last - first), ret->room);
	if (len < 0)
		return fail(t, first, "the name holds \\u0000 or half of a surrogate pair");
	if (len > LADE_JSON_NAME_MAX)
		return fail(t, first, "the name is longer than 255 bytes");
	ret->name = ret->room;
	ret->len = (uint32_t)len;
	t->at = last + 1;
	return 0;
}

static int read_index(struct path_text *t, struct step *ret)
{
	const char *first = ++t->at;
	uint32_t value = 0;

	for (; t->at < t->end && *t->at >= '0' && *t->at <= '9'; t->at++) {
		value = value * 10 + (uint32_t)(*t->at - '0');
		if (value > ITEM_MAX)
			return fail(t, first, "the index is higher than 1000000");
	}
	if (t->at == first || t->at == t->end || *t->at != ']')
		return fail(t, t->at, "expected an index from 0 and ], as .name[0]");
	if (*first == '0' && t->at - first > 1)
		return fail(t, first, "an index has no leading zero");
	t->at++;
	ret->name = NULL;
	ret->len = value;
	return 0;
}

static int read_step(struct path_text *t, struct step *ret)
{
	if (*t->at == '[' && t->at > t->start)
		return read_index(t, ret);
	if (*t->at != '.')
		return fail(t, t->at, t->at == t->start ? "a path begins with a dot, as .name" :
							  "expected a dot, [ or the end");
	t->at++;
	if (t->at < t->end && *t->at == '"')
		return read_quoted(t, ret);
	if (t->at < t->end && *t->at == '[' && t->at - 1 == t->start)
		return read_index(t, ret);
	return read_bare(t, ret);
}

uint32_t lade_json_item(const struct lade_json_paths *paths, uint32_t node, uint32_t index)
{
	uint32_t i = paths->nodes[node].child;

	for (; i; i = paths->nodes[i].next)
		if (!paths->nodes[i].name && paths->nodes[i].len == index)
			return i;
	return LADE_JSON_NO_NODE;
}

uint32_t lade_json_node_of(const struct lade_json_paths *paths, unsigned slot)
{
	uint32_t i = 0;

	while (paths->nodes[i].slot != (int)slot)
		i++;
	return i;
}

static void table_add(struct lade_json_paths *paths, uint32_t node, uint32_t child)
{
	struct lade_json_node *n = &paths->nodes[node], *c = &paths->nodes[child];
	uint32_t i = lade_json_hash(c->name, c->len);

	while (n->table[i & (n->buckets - 1)])
		i++;
	n->table[i & (n->buckets - 1)] = child;
}

/* Makes sure that half of the table is free after one more child. */
static int table_grow(struct lade_json_paths *paths, uint32_t node)
{
	struct lade_json_node *n = &paths->nodes[node];
	uint32_t buckets = n->buckets ? n->buckets * 2 : BUCKETS_MIN, *table;

	if ((n->children + 1) * 2 <= n->buckets)
		return 0;
	table = lade_calloc(buckets, sizeof(*table));
	if (!table)
		return -ENOMEM;
	lade_free(n->table);
	n->table = table;
	n->buckets = buckets;
	for (uint32_t i = n->child; i; i = paths->nodes[i].next)
		if (paths->nodes[i].name)
			table_add(paths, node, i);
	return 0;
}

static int nodes_grow(struct lade_json_paths *paths)
{
	uint32_t cap = paths->cap ? paths->cap * 2 : 16;
	struct lade_json_node *nodes;

	if (paths->n < paths->cap)
		return 0;
	nodes = lade_realloc(paths->nodes, cap * sizeof(*nodes));
	if (!nodes)
		return -ENOMEM;
	paths->nodes = nodes;
	paths->cap = cap;
	return 0;
}

static void link_child(struct lade_json_paths *paths, uint32_t node, uint32_t child)
{
	struct lade_json_node *n = &paths->nodes[node];

	if (n->last)
		paths->nodes[n->last].next = child;
	else
		n->child = child;
	n->last = child;
	n->children++;
	if (paths->nodes[child].name)
		table_add(paths, node, child);
}

/* What is beyond ASCII was checked when the path was read. */
static bool is_plain(const struct step *step)
{
	for (uint32_t i = 0; i < step->len; i++)
		if (!lade_json_plain(step->name[i]) && (unsigned char)step->name[i] < 0x80)
			return false;
	return true;
}

static int add_child(struct lade_json_paths *paths, uint32_t node, const struct step *step,
		     uint32_t *ret)
{
	struct lade_json_node fresh = { .len = step->len, .parent = node,
					.slot = LADE_JSON_NO_SLOT };
	int rc = nodes_grow(paths);

	if (rc == 0 && step->name)
		rc = table_grow(paths, node);
	if (rc < 0)
		return rc;
	if (step->name) {
		fresh.name = lade_malloc(step->len + (size_t)1);
		if (!fresh.name)
			return -ENOMEM;
		memcpy(fresh.name, step->name, step->len);
		fresh.plain = is_plain(step);
	}
	paths->nodes[paths->n] = fresh;
	link_child(paths, node, paths->n);
	*ret = paths->n++;
	return 0;
}

static int find_or_add(struct lade_json_paths *paths, uint32_t node, const struct step *step,
		       uint32_t *ret)
{
	*ret = step->name ? lade_json_child(paths, node, step->name, step->len) :
			    lade_json_item(paths, node, step->len);
	return *ret ? 0 : add_child(paths, node, step, ret);
}

static int add_steps(struct lade_json_paths *paths, struct path_text *t, uint32_t *ret)
{
	uint32_t node = 0;
	struct step step;
	int rc;

	for (unsigned steps = 0; t->at < t->end; steps++) {
		if (steps == LADE_JSON_STEPS_MAX) {
			fail(t, t->at, "has more than 32 steps");
			return -E2BIG;
		}
		rc = read_step(t, &step);
		if (rc == 0)
			rc = find_or_add(paths, node, &step, &node);
		if (rc < 0)
			return rc;
	}
	*ret = node;
	return 0;
}

struct lade_json_paths *lade_json_paths_new(void)
{
	struct lade_json_paths *paths = lade_calloc(1, sizeof(*paths));

	if (!paths || nodes_grow(paths) < 0)
		return lade_json_paths_free(paths);
	paths->nodes[0] = (struct lade_json_node){ .slot = LADE_JSON_NO_SLOT };
	paths->n = 1;
	return paths;
}

struct lade_json_paths *lade_json_paths_free(struct lade_json_paths *paths)
{
	if (!paths)
		return NULL;
	for (uint32_t i = 0; i < paths->n; i++) {
		lade_free(paths->nodes[i].name);
		lade_free(paths->nodes[i].table);
	}
	lade_free(paths->nodes);
	lade_free(paths);
	return NULL;
}

int lade_json_paths_add(struct lade_json_paths *paths, const char *path, size_t len,
			unsigned *ret_slot, struct lade_json_error *ret_error)
{
	struct path_text t = { path, path, path + len, ret_error };
	uint32_t node = 0;
	int rc = 0;

	if (len == 0)
		return fail(&t, path, "a path begins with a dot, as .name");
	if (len != 1 || *path != '.')
		rc = add_steps(paths, &t, &node);
	if (rc < 0)
		return rc;
	if (paths->nodes[node].slot == LADE_JSON_NO_SLOT) {
		if (paths->slots == LADE_JSON_PATHS_MAX) {
			fail(&t, path, "there are more than 4096 paths");
			return -E2BIG;
		}
		paths->nodes[node].slot = (int)paths->slots++;
	}
	*ret_slot = (unsigned)paths->nodes[node].slot;
	return 0;
}

size_t lade_json_paths_count(const struct lade_json_paths *paths)
{
	return paths->slots;
}
