/* SPDX-License-Identifier: MIT */
/* message.c - reads messages, sets values beside them, and writes both as one.
 *
 * DESIGN
 * Which path meets which overlay is known before the first message.  A path that meets none
 * is a span of the received bytes.  One that is exactly where a step has set a value is that
 * value.  Only one that lies around or within a value that was set (`json .weather` with
 * .weather.temp set, or .weather.temp within an answer) costs a message its writing and
 * reading anew; after that it has no overlay any more. */

#include "services/pipeline/message.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WRITTEN_MAX ((size_t)256 << 20)	/* a message with what was set; others limit it before */

/* A path as text. */
struct lade_pipe_into {
	struct lade_pipe_into *next;	/* the path added before */
	size_t len;			/* bytes of the text */
	unsigned slot;			/* its place */
	char text[];
};

struct lade_pipe_shape *lade_pipe_shape_new(void)
{
	struct lade_pipe_shape *shape = calloc(1, sizeof(*shape));

	if (!shape)
		return NULL;
	shape->paths = lade_json_paths_new();
	shape->overlay = lade_json_overlay_new();
	return shape->paths && shape->overlay ? shape : lade_pipe_shape_free(shape);
}

static void free_texts(struct lade_pipe_into *into)
{
	while (into) {
		struct lade_pipe_into *next = into->next;

		free(into);
		into = next;
	}
}

struct lade_pipe_shape *lade_pipe_shape_free(struct lade_pipe_shape *shape)
{
	if (!shape)
		return NULL;
	lade_json_paths_free(shape->paths);
	lade_json_overlay_free(shape->overlay);
	free_texts(shape->intos);
	free_texts(shape->froms);
	free(shape->meets);
	free(shape->exact);
	free(shape->outermost);
	free(shape);
	return NULL;
}

static int keep_text(struct lade_pipe_into **list, const char *text, size_t len, unsigned slot)
{
	struct lade_pipe_into *into = malloc(sizeof(*into) + len);

	if (!into)
		return -ENOMEM;
	into->next = *list;
	into->len = len;
	into->slot = slot;
	memcpy(into->text, text, len);
	*list = into;
	return 0;
}

int lade_pipe_shape_ask(struct lade_pipe_shape *shape, const char *text, size_t len,
			struct lade_pipe_ref *ret, struct lade_json_error *ret_error)
{
	int rc = lade_pipe_ref_parse(text, len, shape->paths, ret, ret_error);

	if (rc == 0 && ret->kind == LADE_REF_PATH)
		rc = keep_text(&shape->froms, ret->name, ret->name_len, ret->slot);
	return rc;
}

int lade_pipe_shape_get(struct lade_pipe_shape *shape, const char *into, const char *name,
			unsigned *ret_slot, struct lade_json_error *ret_error)
{
	struct lade_json_out path;
	int rc;

	lade_json_out_init(&path, 1 << 16);
	lade_json_out_raw(&path, into, strlen(into));
	if (name) {
		lade_json_out_raw(&path, ".", 1);
		lade_json_out_string(&path, name, strlen(name));
	}
	rc = path.status;
	if (rc < 0)
		snprintf(ret_error->reason, sizeof(ret_error->reason), "the name is not UTF-8");
	else
		rc = lade_json_overlay_add(shape->overlay, path.data, path.len, ret_slot,
					   ret_error);
	if (rc == 0)
		rc = keep_text(&shape->intos, path.data, path.len, *ret_slot);
	lade_json_out_done(&path);
	return rc;
}

/* How two paths lie: 1 at the same place, 2 one within the other, 0 apart.
 *
 * An overlay of the one says it of the other. */
static int compare(const struct lade_pipe_into *into, const struct lade_pipe_into *from)
{
	struct lade_json_overlay *pair = lade_json_overlay_new();
	struct lade_json_error error;
	unsigned first, second;
	int rc = -ENOMEM;

	if (from->len == 1) {
		lade_json_overlay_free(pair);
		return 2;	/* `.` is around everything */
	}
	if (pair)
		rc = lade_json_overlay_add(pair, into->text, into->len, &first, &error);
	if (rc == 0)
		rc = lade_json_overlay_add(pair, from->text, from->len, &second, &error);
	if (rc == 0)
		rc = first == second;
	lade_json_overlay_free(pair);
	return rc == -EEXIST ? 2 : rc;
}

static int note_pair(struct lade_pipe_shape *shape, const struct lade_pipe_into *into,
		     const struct lade_pipe_into *from)
{
	int rc = compare(into, from);

	if (rc == 1)
		shape->exact[from->slot] = (int)into->slot;
	if (rc == 2)
		shape->meets[from->slot * shape->overlays + into->slot] = true;
	return rc < 0 ? rc : 0;
}

/* Messages are asked where what they get begins: what has nothing there is only added to. */
static int ask_outermost(struct lade_pipe_shape *shape)
{
	struct lade_json_error unused;

	shape->overlays = lade_json_overlay_count(shape->overlay);
	free(shape->outermost);
	shape->outermost = malloc((shape->overlays + 1) * sizeof(*shape->outermost));
	if (!shape->outermost)
		return -ENOMEM;
	shape->n_outermost = lade_json_overlay_outermost(shape->overlay, shape->paths,
							 shape->outermost, &unused);
	return shape->n_outermost < 0 ? shape->n_outermost : 0;
}

int lade_pipe_shape_close(struct lade_pipe_shape *shape)
{
	int rc = ask_outermost(shape);
	size_t paths = lade_json_paths_count(shape->paths);

	if (rc < 0)
		return rc;
	free(shape->meets);
	free(shape->exact);
	shape->meets = calloc(paths * shape->overlays + 1, sizeof(*shape->meets));
	shape->exact = malloc((paths + 1) * sizeof(*shape->exact));
	if (!shape->meets || !shape->exact)
		return -ENOMEM;
	for (size_t i = 0; i < paths; i++)
		shape->exact[i] = -1;
	for (struct lade_pipe_into *into = shape->intos; into; into = into->next)
		for (struct lade_pipe_into *from = shape->froms; rc == 0 && from; from = from->next)
			rc = note_pair(shape, into, from);
	return rc;
}

static int no_memory(struct lade_json_error *error)
{
	error->at = 0;
	snprintf(error->reason, sizeof(error->reason), "memory is out");
	return -ENOMEM;
}

static int read_plain(struct lade_pipe_message *message, struct lade_json_error *error)
{
	size_t at = message->plain == LADE_PLAIN_TEXT
			    ? lade_json_utf8_check(message->bytes, message->len)
			    : message->len;

	message->spans = NULL;
	message->set = NULL;
	if (at == message->len)
		return 0;
	error->at = at;
	snprintf(error->reason, sizeof(error->reason), "byte 0x%02x is not UTF-8 here",
		 (unsigned char)message->bytes[at]);
	return -EBADMSG;
}

int lade_pipe_message_read(struct lade_pipe_message *message,
			   const struct lade_pipe_shape *shape, struct lade_json_reader *reader,
			   struct lade_arena *arena, struct lade_json_error *ret_error)
{
	size_t paths = lade_json_paths_count(shape->paths);

	if (message->plain)
		return read_plain(message, ret_error);
	message->spans = lade_arena_alloc(arena, (paths + 1) * sizeof(*message->spans));
	message->set = NULL;
	if (!message->spans)
		return no_memory(ret_error);
	return lade_json_read(reader, shape->paths, message->bytes, message->len, 0,
			      message->spans, ret_error);
}

int lade_pipe_message_set(struct lade_pipe_message *message,
			  const struct lade_pipe_shape *shape, unsigned slot,
			  struct lade_datum value, struct lade_arena *arena)
{
	size_t bytes = shape->overlays * sizeof(*message->set);

	if (!message->set) {
		message->set = lade_arena_alloc(arena, bytes);
		if (!message->set)
			return -ENOMEM;
		memset(message->set, 0, bytes);
	}
	message->set[slot] = value;
	return 0;
}

static void put_base64(struct lade_json_out *out, const char *bytes, size_t len);

static int write_plain(const struct lade_pipe_message *message, struct lade_json_out *out)
{
	if (lade_json_utf8_check(message->bytes, message->len) == message->len) {
		lade_json_out_string(out, message->bytes, message->len);
	} else {
		lade_json_out_raw(out, "\"", 1);
		put_base64(out, message->bytes, message->len);
		lade_json_out_raw(out, "\"", 1);
	}
	return out->status;
}

static bool is_only_added_to(const struct lade_pipe_message *message,
			     const struct lade_pipe_shape *shape)
{
	for (int i = 0; i < shape->n_outermost; i++)
		if (message->spans[shape->outermost[i]].len)
			return false;
	return true;
}

int lade_pipe_message_write(const struct lade_pipe_message *message,
			    const struct lade_pipe_shape *shape, struct lade_json_reader *reader,
			    struct lade_json_out *out, struct lade_json_error *ret_error)
{
	if (message->plain)
		return write_plain(message, out);
	if (message->set && is_only_added_to(message, shape))
		return lade_json_overlay_append(shape->overlay, reader, message->bytes,
						message->len, message->set, out, ret_error);
	if (message->set)
		return lade_json_overlay_write(shape->overlay, reader, message->bytes,
					       message->len, message->set, out, ret_error);
	lade_json_out_raw(out, message->bytes, message->len);
	return out->status;
}

/* Writes the message with what was set, and reads it as if it had come that way. */
static int renew(struct lade_pipe_message *message, const struct lade_pipe_shape *shape,
		 struct lade_json_reader *reader, struct lade_arena *arena,
		 struct lade_json_error *error)
{
	struct lade_json_out out;
	const char *copy;
	int rc;

	lade_json_out_init(&out, WRITTEN_MAX);
	rc = lade_pipe_message_write(message, shape, reader, &out, error);
	copy = rc == 0 ? lade_arena_copy(arena, out.data, out.len) : NULL;
	if (rc == 0 && copy) {
		message->bytes = copy;
		message->len = (uint32_t)out.len;
		rc = lade_pipe_message_read(message, shape, reader, arena, error);
	} else if (rc == 0 || rc == -ENOMEM) {
		rc = no_memory(error);
	}
	lade_json_out_done(&out);
	return rc;
}

/* Has a step set something within the path's value, or around it? */
static bool meets(const struct lade_pipe_message *message, const struct lade_pipe_shape *shape,
		  unsigned slot)
{
	for (size_t i = 0; message->set && i < shape->overlays; i++)
		if (shape->meets[slot * shape->overlays + i] &&
		    message->set[i].type != LADE_ABSENT)
			return true;
	return false;
}

/* A value that a step has set, as JSON in the arena. */
static int written(const struct lade_datum *value, struct lade_arena *arena, const char **ret,
		   size_t *ret_len, struct lade_json_error *error)
{
	struct lade_json_out out;
	int rc;

	lade_json_out_init(&out, WRITTEN_MAX);
	lade_json_out_datum(&out, value);
	rc = out.status;
	*ret = rc == 0 ? lade_arena_copy(arena, out.data, out.len) : NULL;
	*ret_len = out.len;
	lade_json_out_done(&out);
	if (rc == -EILSEQ || rc == -ERANGE) {
		error->at = 0;
		snprintf(error->reason, sizeof(error->reason), "is not UTF-8 text, or a number"
			 " or time that JSON cannot say");
		return -EBADMSG;
	}
	return *ret ? 0 : no_memory(error);
}

/* Converts JSON; text with escapes gets its room in the arena. */
static int convert(const char *doc, struct lade_json_span span, struct lade_want want,
		   struct lade_arena *arena, struct lade_datum *ret, struct lade_json_error *error)
{
	int rc = lade_json_convert(doc, span, want, NULL, 0, ret, error);
	char *room;

	if (rc != -ENOBUFS)
		return rc;
	room = lade_arena_alloc_aligned(arena, span.len, 1);
	if (!room)
		return no_memory(error);
	return lade_json_convert(doc, span, want, room, span.len, ret, error);
}

/* A value that a step has set, as another type. */
static int convert_set(const struct lade_datum *value, struct lade_want want,
		       struct lade_arena *arena, struct lade_datum *ret,
		       struct lade_json_error *error)
{
	const char *doc;
	size_t len;
	int rc;

	if (value->type == want.type) {
		*ret = *value;
		return 0;
	}
	rc = written(value, arena, &doc, &len, error);
	if (rc < 0)
		return rc;
	return convert(doc, (struct lade_json_span){ 0, (uint32_t)len }, want, arena, ret, error);
}

static int path_value(struct lade_pipe_message *message, const struct lade_pipe_shape *shape,
		      const struct lade_pipe_ref *ref, struct lade_json_reader *reader,
		      struct lade_arena *arena, struct lade_datum *ret,
		      struct lade_json_error *error)
{
	int exact = message->set ? shape->exact[ref->slot] : -1, rc;
	struct lade_datum text;

	if (message->plain) { /* whose only path is `.` */
		text = lade_datum_text(message->bytes, message->len);
		return convert_set(&text, ref->want, arena, ret, error);
	}
	if (exact >= 0 && message->set[exact].type != LADE_ABSENT)
		return convert_set(&message->set[exact], ref->want, arena, ret, error);
	if (meets(message, shape, ref->slot)) {
		rc = renew(message, shape, reader, arena, error);
		if (rc < 0)
			return rc;
	}
	return convert(message->bytes, message->spans[ref->slot], ref->want, arena, ret, error);
}

/* What is known of a message beside its bytes. */
static struct lade_datum meta(const struct lade_pipe_message *message, int kind)
{
	struct lade_datum none = { 0 };

	switch (kind) {
	case LADE_REF_KEY:
		return message->key;
	case LADE_REF_OFFSET:
		return lade_datum_integer(message->offset);
	case LADE_REF_LINE:
		return message->line ? lade_datum_integer(message->line) : none;
	case LADE_REF_TIMESTAMP:
		none = lade_datum_integer(message->timestamp_us);
		none.type = message->timestamp_us == INT64_MIN ? LADE_ABSENT : LADE_TIMESTAMP;
		return none;
	case LADE_REF_TOPIC:
		return message->lane ? lade_datum_text(message->lane->topic,
						       (uint32_t)strlen(message->lane->topic)) :
				       none;
	case LADE_REF_PARTITION:
		return message->lane ? lade_datum_integer(message->lane->part) : none;
	default:
		return none;
	}
}

/* The last header of a name counts, as in Kafka's own clients. */
static struct lade_datum header(const struct lade_pipe_message *message,
				const struct lade_pipe_ref *ref)
{
	struct lade_datum none = { 0 };

	for (uint32_t i = message->n_headers; i-- > 0;) {
		const struct lade_pipe_header *h = &message->headers[i];

		if (strlen(h->name) == ref->name_len &&
		    memcmp(h->name, ref->name, ref->name_len) == 0)
			return h->bytes ? lade_datum_text(h->bytes, h->len) : none;
	}
	return none;
}

/* Puts the reference's name in front of the reason: a message has many values. */
static int named(const struct lade_pipe_ref *ref, int rc, struct lade_json_error *error)
{
	const char *at = ref->kind == LADE_REF_HEADER ? "@header." : "";
	char reason[sizeof(error->reason)];

	if (rc != -EBADMSG)
		return rc;
	snprintf(reason, sizeof(reason), "%s", error->reason);
	snprintf(error->reason, sizeof(error->reason), "%s%.*s: %.*s", at,
		 (int)(ref->name_len > 48 ? 48 : ref->name_len), ref->name,
		 (int)sizeof(reason) - 60, reason);
	return rc;
}

int lade_pipe_message_value(struct lade_pipe_message *message,
			    const struct lade_pipe_shape *shape, const struct lade_pipe_ref *ref,
			    struct lade_json_reader *reader, struct lade_arena *arena,
			    struct lade_datum *ret, struct lade_json_error *ret_error)
{
	struct lade_datum value;
	int rc;

	if (ref->kind == LADE_REF_PATH) {
		rc = path_value(message, shape, ref, reader, arena, ret, ret_error);
		return named(ref, rc, ret_error);
	}
	value = ref->kind == LADE_REF_HEADER ? header(message, ref)
					      : meta(message, (int)ref->kind);
	if (value.type == LADE_ABSENT)
		rc = lade_json_convert("", (struct lade_json_span){ 0, 0 }, ref->want, NULL, 0,
				       ret, ret_error);
	else
		rc = convert_set(&value, ref->want, arena, ret, ret_error);
	return named(ref, rc, ret_error);
}

/* The bytes that tell a value from others of its type. */
static const void *value_bytes(const struct lade_datum *value, uint32_t *ret_len)
{
	switch (value->type) {
	case LADE_TEXT:
	case LADE_JSON:
		*ret_len = value->len;
		return value->text;
	case LADE_ABSENT:
	case LADE_NULL:
		*ret_len = 0;
		return NULL;
	default:
		*ret_len = sizeof(value->integer);
		return &value->integer;
	}
}

int lade_pipe_tuple(const struct lade_datum *values, size_t n, struct lade_arena *arena,
		    const void **ret, size_t *ret_len)
{
	size_t bytes = 0, at = 0;
	uint32_t len;
	char *to;

	for (size_t i = 0; i < n; i++) {
		value_bytes(&values[i], &len);
		bytes += 1 + sizeof(len) + len;
	}
	to = lade_arena_alloc_aligned(arena, bytes + 1, 1);
	if (!to)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		const void *from = value_bytes(&values[i], &len);

		to[at] = (char)values[i].type;
		memcpy(to + at + 1, &len, sizeof(len));
		if (len)
			memcpy(to + at + 1 + sizeof(len), from, len);
		at += 1 + sizeof(len) + len;
	}
	*ret = to;
	*ret_len = bytes;
	return 0;
}

static void put(struct lade_json_out *out, const char *text)
{
	lade_json_out_raw(out, text, strlen(text));
}

static void put_member(struct lade_json_out *out, const char *name, struct lade_datum value)
{
	if (value.type == LADE_ABSENT)
		return;
	put(out, out->len && out->data[out->len - 1] != '{' ? ",\"" : "\"");
	put(out, name);
	put(out, "\":");
	lade_json_out_datum(out, &value);
}

static struct lade_datum text_datum(const char *text)
{
	return lade_datum_text(text, (uint32_t)strlen(text));
}

static void put_base64(struct lade_json_out *out, const char *bytes, size_t len)
{
	static const char code[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

	for (size_t i = 0; i < len; i += 3) {
		uint32_t left = (uint32_t)(len - i < 3 ? len - i : 3), group = 0;
		char text[4];

		for (uint32_t k = 0; k < 3; k++)
			group = group << 8 | (k < left ? (unsigned char)bytes[i + k] : 0u);
		for (uint32_t k = 0; k < 4; k++)
			text[k] = k <= left ? code[group >> (18 - 6 * k) & 63] : '=';
		lade_json_out_raw(out, text, 4);
	}
}

/* A text for people, which may have been cut within a character: what is no UTF-8 is a ?. */
static void put_words(struct lade_json_out *out, const char *name, const char *words)
{
	size_t before = out->len;
	char ascii[1024];
	size_t len = 0;

	if (out->status < 0)
		return;
	put_member(out, name, text_datum(words));
	if (out->status != -EILSEQ)
		return;
	out->status = 0;
	out->len = before;
	for (; words[len] && len < sizeof(ascii) - 1; len++)
		ascii[len] = (unsigned char)words[len] < 0x80 ? words[len] : '?';
	put_member(out, name, lade_datum_text(ascii, (uint32_t)len));
}

/* Bytes: as a string, or, where that is impossible, in base64 under another name. */
static void put_bytes(struct lade_json_out *out, const char *name, const char *bytes, uint32_t len)
{
	size_t before = out->len;

	if (out->status < 0)
		return;
	put_member(out, name, lade_datum_text(bytes, len));
	if (out->status != -EILSEQ)
		return;
	out->status = 0;
	out->len = before;
	put(out, out->len && out->data[out->len - 1] != '{' ? ",\"" : "\"");
	put(out, name);
	put(out, "_base64\":\"");
	put_base64(out, bytes, len);
	put(out, "\"");
}

/* Headers may have one name several times: a list of objects. */
static void put_headers(struct lade_json_out *out, const struct lade_pipe_message *message)
{
	for (uint32_t i = 0; i < message->n_headers; i++) {
		const struct lade_pipe_header *h = &message->headers[i];

		put(out, i ? ",{" : ",\"headers\":[{");
		put_bytes(out, "name", h->name, (uint32_t)strlen(h->name));
		if (h->bytes)
			put_bytes(out, "value", h->bytes, h->len);
		put(out, "}");
	}
	if (message->n_headers)
		put(out, "]");
}

int lade_pipe_dead_letter(const struct lade_pipe_message *message,
			  const struct lade_pipe_rejection *rejection,
			  struct lade_json_out *out)
{
	struct lade_datum first = lade_datum_integer(rejection->first_us);

	first.type = LADE_TIMESTAMP;
	put(out, "{");
	put_member(out, "topic", meta(message, LADE_REF_TOPIC));
	put_member(out, "partition", meta(message, LADE_REF_PARTITION));
	put_member(out, "offset", meta(message, LADE_REF_OFFSET));
	put_member(out, "line", meta(message, LADE_REF_LINE));
	put_words(out, "step", rejection->step);
	put_words(out, "error", rejection->reason);
	put_member(out, "attempts", lade_datum_integer(rejection->attempts));
	put_member(out, "first_failure", first);
	put_member(out, "timestamp", meta(message, LADE_REF_TIMESTAMP));
	if (message->key.type == LADE_TEXT)
		put_bytes(out, "key", message->key.text, message->key.len);
	put_headers(out, message);
	if (message->tombstone)
		put(out, ",\"value\":null");
	else
		put_bytes(out, "value", message->bytes, message->len);
	put(out, "}");
	return out->status;
}
