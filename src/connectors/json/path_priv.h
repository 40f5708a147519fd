/* SPDX-License-Identifier: MIT */
#ifndef LADE_JSON_PATH_PRIV_H
#define LADE_JSON_PATH_PRIV_H

/* path_priv.h - sets of paths as trees.
 *
 * A tree serves two masters: reading (which node does this key lead to?) and overlays (which
 * new values does this object get?).  Nodes live in one array and name one another by
 * number, so that the array may move while it grows. */

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include <lade/json.h>

#define LADE_JSON_NO_NODE 0u	/* the root is nobody's child */
#define LADE_JSON_NO_SLOT (-1)

struct lade_json_node {
	char *name;		/* its key, unescaped, or NULL for an index; owned */
	uint32_t len;		/* bytes of the name, or the index */
	uint32_t parent;	/* the node above; 0 for the root itself */
	uint32_t child;		/* the first child, LADE_JSON_NO_NODE for none */
	uint32_t last;		/* the last child */
	uint32_t next;		/* the next child of the parent */
	uint32_t children;	/* how many there are */
	uint32_t buckets;	/* a power of two: children by hash begin at .table */
	uint32_t *table;	/* open addressing, LADE_JSON_NO_NODE for free; NULL: list only */
	int slot;		/* the path that ends here, or LADE_JSON_NO_SLOT */
	bool plain;		/* the name stands in a document as it is, without escapes */
};

struct lade_json_paths {
	struct lade_json_node *nodes;	/* [0] is the root */
	uint32_t n;			/* nodes in use */
	uint32_t cap;			/* nodes that fit */
	uint32_t slots;			/* paths in the set */
};

/* lade_json_hash - a cheap hash of a key: most keys of one object differ in these bytes. */
static inline uint32_t lade_json_hash(const char *name, size_t len)
{
	uint32_t h = (uint32_t)len;

	if (len)
		h += (unsigned char)name[0] * 3u + (unsigned char)name[len / 2] * 5u +
		     (unsigned char)name[len - 1] * 7u;
	return h ^ h >> 4;
}

/* lade_json_same - whether two names of @len bytes are equal; most need no call. */
static inline bool lade_json_same(const char *left, const char *right, size_t len)
{
	uint64_t a[2], b[2];
	uint32_t c[2], d[2];

	if (len > 16)
		return memcmp(left, right, len) == 0;
	if (len < 4)
		return !len || (left[0] == right[0] && left[len / 2] == right[len / 2] &&
				left[len - 1] == right[len - 1]);
	if (len < 8) {
		memcpy(&c[0], left, 4);
		memcpy(&c[1], left + len - 4, 4);
		memcpy(&d[0], right, 4);
		memcpy(&d[1], right + len - 4, 4);
		return c[0] == d[0] && c[1] == d[1];
	}
	memcpy(&a[0], left, 8);
	memcpy(&a[1], left + len - 8, 8);
	memcpy(&b[0], right, 8);
	memcpy(&b[1], right + len - 8, 8);
	return a[0] == b[0] && a[1] == b[1];
}

/* lade_json_child - the child of @node for an object's key, or LADE_JSON_NO_NODE. */
static inline uint32_t lade_json_child(const struct lade_json_paths *paths, uint32_t node,
				       const char *name, size_t len)
{
	const struct lade_json_node *n = &paths->nodes[node], *child;
	uint32_t i, number;

	if (!n->table)
		return LADE_JSON_NO_NODE;
	for (i = lade_json_hash(name, len); (number = n->table[i & (n->buckets - 1)]); i++) {
		child = &paths->nodes[number];
		if (child->len == len && lade_json_same(child->name, name, len))
			return number;
	}
	return LADE_JSON_NO_NODE;
}

/* lade_json_item - the child of @node for an array's index, or LADE_JSON_NO_NODE. */
uint32_t lade_json_item(const struct lade_json_paths *paths, uint32_t node, uint32_t index);

/* lade_json_node_of - the node at which the path of @slot ends. */
uint32_t lade_json_node_of(const struct lade_json_paths *paths, unsigned slot);

#endif
