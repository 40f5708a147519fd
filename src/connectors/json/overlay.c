/* SPDX-License-Identifier: MIT */
/* overlay.c - a document with new values at some paths, the rest byte for byte.
 *
 * DESIGN
 * The document is copied in runs that end where something has to change.  The tree of paths
 * is walked beside the document's tokens; what no path leads into is skipped as one run.
 * The document is checked once more for this: that costs little beside writing it, keeps a
 * message free of anything to remember, and means that no caller can walk off its end. */

#include "connectors/json/reader_priv.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"

struct lade_json_overlay {
	struct lade_json_paths *paths;	/* the tree */
};

/* One document on its way into a text. */
struct copy {
	const struct lade_json_paths *paths;
	struct lade_json_reader *reader;
	const struct lade_datum *values;	/* one for each slot */
	struct lade_json_out *out;
	uint32_t copied;			/* the document's bytes before this are done with */
	struct lade_json_error *error;
};

static const struct lade_json_node *node_of(const struct copy *c, uint32_t node)
{
	return &c->paths->nodes[node];
}

/* Is there a new value at or below the node? */
static bool active(const struct copy *c, uint32_t node)
{
	uint32_t i = node_of(c, node)->child;

	if (node_of(c, node)->slot != LADE_JSON_NO_SLOT)
		return c->values[node_of(c, node)->slot].type != LADE_ABSENT;
	while (i && !active(c, i))
		i = node_of(c, i)->next;
	return i != LADE_JSON_NO_NODE;
}

static void copy_until(struct copy *c, uint32_t at)
{
	lade_json_out_raw(c->out, c->reader->doc + c->copied, at - c->copied);
	c->copied = at;
}

static uint32_t offset(const struct copy *c, uint32_t token)
{
	return c->reader->at[token];
}

static char first_byte(const struct copy *c, uint32_t token)
{
	return c->reader->doc[offset(c, token)];
}

static int no_item(struct copy *c, const struct lade_json_node *item)
{
	return lade_json_fail(c->error, c->copied, "there is no item [%u] to replace", item->len);
}

static int write_members(struct copy *c, uint32_t node, bool comma);

/* Writes a value that the document does not have. */
static int write_fresh(struct copy *c, uint32_t node)
{
	int rc, slot = node_of(c, node)->slot;

	if (slot != LADE_JSON_NO_SLOT) {
		lade_json_out_datum(c->out, &c->values[slot]);
		return 0;
	}
	lade_json_out_raw(c->out, "{", 1);
	rc = write_members(c, node, false);
	lade_json_out_raw(c->out, "}", 1);
	return rc;
}

/* Writes those members below @node that the document does not have. */
static int write_members(struct copy *c, uint32_t node, bool comma)
{
	for (uint32_t i = node_of(c, node)->child; i; i = node_of(c, i)->next) {
		const struct lade_json_node *child = node_of(c, i);
		int rc;

		if (!active(c, i) || !lade_json_first_time(c->reader, i))
			continue;
		if (!child->name)
			return no_item(c, child);
		lade_json_out_raw(c->out, ",", comma);
		lade_json_out_string(c->out, child->name, child->len);
		lade_json_out_raw(c->out, ":", 1);
		rc = write_fresh(c, i);
		if (rc < 0)
			return rc;
		comma = true;
	}
	return 0;
}

static int copy_value(struct copy *c, uint32_t token, uint32_t next, uint32_t node);

/* Copies one member or item that ends before the token @next.  @comma is the offset of what
 * separates it from the one before. */
static int copy_member(struct copy *c, uint32_t token, uint32_t next, uint32_t node,
		       uint32_t comma)
{
	if (node == LADE_JSON_NO_NODE || !active(c, node))
		return 0;
	if (lade_json_first_time(c->reader, node))
		return copy_value(c, token, next, node);
	copy_until(c, comma);
	c->copied = lade_json_value_end(c->reader, token, next);
	return 0;
}

static int copy_object(struct copy *c, uint32_t token, uint32_t node)
{
	uint32_t i = token + 1, comma = 0;
	bool empty = first_byte(c, i) == '}';
	int rc = 0;

	while (rc == 0 && first_byte(c, i) != '}') {
		uint32_t child = lade_json_key_node(c->reader, c->paths, node, i);
		uint32_t next = lade_json_skip(c->reader, i + 2);

		rc = copy_member(c, i + 2, next, child, comma);
		comma = offset(c, next);
		i = first_byte(c, next) == ',' ? next + 1 : next;
	}
	if (rc < 0)
		return rc;
	copy_until(c, offset(c, i));
	return write_members(c, node, !empty);
}

/* An array gets no new items, and no members. */
static int missing_items(struct copy *c, uint32_t node)
{
	for (uint32_t i = node_of(c, node)->child; i; i = node_of(c, i)->next) {
		const struct lade_json_node *child = node_of(c, i);

		if (!active(c, i) || !lade_json_first_time(c->reader, i))
			continue;
		if (child->name)
			return lade_json_fail(c->error, c->copied, "this is an array, which has no"
					      " member \"%.*s\"", (int)child->len, child->name);
		return no_item(c, child);
	}
	return 0;
}

static int copy_array(struct copy *c, uint32_t token, uint32_t node)
{
	uint32_t i = token + 1;
	int rc = 0;

	for (uint32_t item = 0; rc == 0 && first_byte(c, i) != ']'; item++) {
		uint32_t child = lade_json_item(c->paths, node, item);
		uint32_t next = lade_json_skip(c->reader, i);

		rc = copy_member(c, i, next, child, 0);
		i = first_byte(c, next) == ',' ? next + 1 : next;
	}
	if (rc < 0)
		return rc;
	copy_until(c, offset(c, i));
	return missing_items(c, node);
}

/* Copies a value into which some path leads, or puts a new one in its place. */
static int copy_value(struct copy *c, uint32_t token, uint32_t next, uint32_t node)
{
	int slot = node_of(c, node)->slot;

	if (slot != LADE_JSON_NO_SLOT) {
		copy_until(c, offset(c, token));
		lade_json_out_datum(c->out, &c->values[slot]);
		c->copied = lade_json_value_end(c->reader, token, next);
		return 0;
	}
	if (first_byte(c, token) == '{')
		return copy_object(c, token, node);
	if (first_byte(c, token) == '[')
		return copy_array(c, token, node);
	return lade_json_fail(c->error, offset(c, token), "this is no object, so nothing can be"
			      " set inside of it");
}

struct lade_json_overlay *lade_json_overlay_new(void)
{
	struct lade_json_overlay *overlay = lade_calloc(1, sizeof(*overlay));

	if (!overlay)
		return NULL;
	overlay->paths = lade_json_paths_new();
	return overlay->paths ? overlay : lade_json_overlay_free(overlay);
}

struct lade_json_overlay *lade_json_overlay_free(struct lade_json_overlay *overlay)
{
	if (!overlay)
		return NULL;
	lade_json_paths_free(overlay->paths);
	lade_free(overlay);
	return NULL;
}

/* Does a path end above the node? */
static bool inside_another(const struct lade_json_paths *paths, uint32_t node)
{
	while (node) {
		node = paths->nodes[node].parent;
		if (paths->nodes[node].slot != LADE_JSON_NO_SLOT)
			return true;
	}
	return false;
}

/* Does a path end below the node? */
static bool around_another(const struct lade_json_paths *paths, uint32_t node)
{
	for (uint32_t i = paths->nodes[node].child; i; i = paths->nodes[i].next)
		if (paths->nodes[i].slot != LADE_JSON_NO_SLOT || around_another(paths, i))
			return true;
	return false;
}

/* Takes back the path that was added last. */
static int refuse_last(struct lade_json_paths *paths, uint32_t node,
		       struct lade_json_error *error, int rc, const char *reason)
{
	paths->nodes[node].slot = LADE_JSON_NO_SLOT;
	paths->slots--;
	lade_json_fail(error, 0, "%s", reason);
	return rc;
}

int lade_json_overlay_add(struct lade_json_overlay *overlay, const char *path, size_t len,
			  unsigned *ret_slot, struct lade_json_error *ret_error)
{
	struct lade_json_paths *paths = overlay->paths;
	uint32_t before = paths->slots, node;
	unsigned slot;
	int rc = lade_json_paths_add(paths, path, len, &slot, ret_error);

	if (rc < 0)
		return rc;
	node = lade_json_node_of(paths, slot);
	if (paths->slots > before && node == 0)
		return refuse_last(paths, node, ret_error, -EINVAL,
				   "the whole document cannot be set; name a member");
	if (paths->slots > before && inside_another(paths, node))
		return refuse_last(paths, node, ret_error, -EEXIST,
				   "leads into a value that is set as a whole");
	if (paths->slots > before && around_another(paths, node))
		return refuse_last(paths, node, ret_error, -EEXIST,
				   "would replace a value that another path leads into");
	*ret_slot = slot;
	return 0;
}

size_t lade_json_overlay_count(const struct lade_json_overlay *overlay)
{
	return overlay->paths->slots;
}

static int write_copy(struct copy *c, size_t len)
{
	int rc = active(c, 0) ? copy_value(c, 0, c->reader->n, 0) : 0;

	if (rc == 0)
		copy_until(c, (uint32_t)len);
	return rc < 0 ? rc : c->out->status;
}

int lade_json_overlay_write(const struct lade_json_overlay *overlay,
			    struct lade_json_reader *reader, const char *doc, size_t len,
			    const struct lade_datum *values, struct lade_json_out *out,
			    struct lade_json_error *ret_error)
{
	struct copy c = { .paths = overlay->paths, .reader = reader, .values = values, .out = out,
			  .error = ret_error };
	size_t before = out->len;
	int rc = lade_json_read(reader, NULL, doc, len, LADE_JSON_ANY_ROOT, NULL, ret_error);

	if (rc == 0)
		rc = lade_json_reader_round(reader, overlay->paths);
	if (rc == 0)
		rc = write_copy(&c, len);
	if (rc < 0)
		out->len = before;
	return rc;
}

/* The path of one step that leads to a node. */
static void put_step(struct lade_json_out *path, const struct lade_json_node *node)
{
	char index[16];

	lade_json_out_raw(path, ".", 1);
	if (node->name) {
		lade_json_out_string(path, node->name, node->len);
		return;
	}
	snprintf(index, sizeof(index), "[%" PRIu32 "]", node->len);
	lade_json_out_raw(path, index, strlen(index));
}

int lade_json_overlay_outermost(const struct lade_json_overlay *overlay,
				struct lade_json_paths *paths, unsigned *ret_slots,
				struct lade_json_error *ret_error)
{
	const struct lade_json_node *nodes = overlay->paths->nodes;
	struct lade_json_out path;
	int n = 0, rc = 0;

	lade_json_out_init(&path, LADE_JSON_NAME_MAX * 6 + 16);
	for (uint32_t i = nodes[0].child; rc == 0 && i; i = nodes[i].next) {
		lade_json_out_reset(&path);
		put_step(&path, &nodes[i]);
		rc = path.status < 0 ? path.status
				     : lade_json_paths_add(paths, path.data, path.len,
							   &ret_slots[n++], ret_error);
	}
	lade_json_out_done(&path);
	return rc < 0 ? rc : n;
}

/* Where the members of an object end: at its closing bracket.  *@ret_empty: it has none. */
static size_t members_end(const char *doc, size_t len, bool *ret_empty)
{
	size_t end = len, before;

	while (doc[--end] != '}')
		;
	before = end;
	while (lade_json_blank(doc[--before]))
		;
	*ret_empty = doc[before] == '{';
	return end;
}

int lade_json_overlay_append(const struct lade_json_overlay *overlay,
			     struct lade_json_reader *reader, const char *doc, size_t len,
			     const struct lade_datum *values, struct lade_json_out *out,
			     struct lade_json_error *ret_error)
{
	struct copy c = { .paths = overlay->paths, .reader = reader, .values = values, .out = out,
			  .error = ret_error };
	size_t before = out->len, end;
	int rc = lade_json_reader_round(reader, overlay->paths);
	bool empty;

	end = members_end(doc, len, &empty);
	lade_json_out_raw(out, doc, end);
	if (rc == 0)
		rc = write_members(&c, 0, !empty);
	lade_json_out_raw(out, doc + end, len - end);
	if (rc < 0)
		out->len = before;
	return rc < 0 ? rc : out->status;
}
