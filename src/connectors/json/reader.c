/* SPDX-License-Identifier: MIT */
/* reader.c - checks a document in full, and notes where its tokens and wanted values lie.
 *
 * DESIGN
 * One pass: it checks bytes and grammar, with a stack of its own, and goes down the tree of paths
 * beside it; a key is looked up only while some path leads on from here. Most bytes of a message
 * are plain text of strings, which is looked through 16 at a time (scan_priv.h); a backslash, a
 * control character or what is not ASCII is looked at one by one.
 *
 * Where the walk is goes from function to function as a pointer, NULL after a fault, so that it
 * stays in a register.
 *
 * Of two members with one name the first counts.  A node of the tree is therefore entered
 * once in a document; its memo has the document's number instead of being cleared.
 *
 * The messages of a stream have their members in one order. So the name that came next last time
 * is compared first, which is quicker than looking for its end and for its node.
 *
 * INVARIANT  reader->at[reader->n] == len, so a token's successor always exists.
 *
 * LIMITS  LADE_JSON_DEPTH_MAX levels, LADE_JSON_LEN_MAX bytes. */

#include "connectors/json/reader_priv.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "connectors/json/scan_priv.h"
#include "connectors/json/string_priv.h"

#define TOKENS_MIN 1024u

/* One pass over one document. */
struct walk {
	struct lade_json_reader *reader;
	const struct lade_json_paths *paths;	/* NULL: only check */
	const char *doc, *end;			/* the document */
	uint32_t *at;				/* its tokens' offsets */
	uint32_t n;				/* and their number */
	uint32_t depth;				/* levels in use */
	bool escapes;				/* in the string that was read last */
	struct lade_json_span *spans;		/* results, one for each path */
	struct lade_json_error *error;
};

int lade_json_fail(struct lade_json_error *error, size_t at, const char *format, ...)
{
	va_list args;

	error->at = at;
	va_start(args, format);
	vsnprintf(error->reason, sizeof(error->reason), format, args);
	va_end(args);
	return -EBADMSG;
}

static bool ends_scalar(char c)
{
	return lade_json_blank(c) || c == ',' || c == '}' || c == ']' || c == ':';
}

static inline uint32_t offset(const struct walk *w, const char *p)
{
	return (uint32_t)(p - w->doc);
}

/* Notes the token that begins at @p.  Returns @p. */
static inline const char *token(struct walk *w, const char *p)
{
	w->at[w->n++] = offset(w, p);
	return p;
}

static inline const char *skip_blanks(const struct walk *w, const char *p)
{
	while (p < w->end && lade_json_blank(*p))
		p++;
	return p;
}

/* Whether @c stands at @p. */
static inline bool is_at(const struct walk *w, const char *p, char c)
{
	return p < w->end && *p == c;
}

__attribute__((format(printf, 3, 4))) static const char *fail(struct walk *w, const char *p,
							      const char *format, ...)
{
	va_list args;

	w->error->at = offset(w, p);
	va_start(args, format);
	vsnprintf(w->error->reason, sizeof(w->error->reason), format, args);
	va_end(args);
	return NULL;
}

static const char *not_utf8(struct walk *w, const char *p)
{
	return fail(w, p, "byte 0x%02x is not UTF-8 here", (unsigned char)*p);
}

static const char *unexpected(struct walk *w, const char *p, const char *wanted)
{
	if (p == w->end)
		return fail(w, p, "expected %s, found the end", wanted);
	if (!lade_utf8_len(p, (size_t)(w->end - p)))
		return not_utf8(w, p);
	if (*p > ' ' && *p < 0x7f)
		return fail(w, p, "expected %s, found '%c'", wanted, *p);
	return fail(w, p, "expected %s, found byte 0x%02x", wanted, (unsigned char)*p);
}

static const char *skip_digits(const char *p, const char *end)
{
	while (p < end && *p >= '0' && *p <= '9')
		p++;
	return p;
}

const char *lade_json_number_end(const char *text, const char *end)
{
	const char *first, *p = text;

	p += p < end && *p == '-';
	first = p;
	p = skip_digits(p, end);
	if (p == first || (*first == '0' && p - first > 1))
		return NULL;
	if (p < end && *p == '.') {
		first = p + 1;
		p = skip_digits(first, end);
		if (p == first)
			return NULL;
	}
	if (p < end && (*p == 'e' || *p == 'E')) {
		p++;
		p += p < end && (*p == '+' || *p == '-');
		first = p;
		p = skip_digits(first, end);
		if (p == first)
			return NULL;
	}
	return p;
}

uint32_t lade_json_skip(const struct lade_json_reader *reader, uint32_t i)
{
	uint32_t depth = 0;

	do {
		char c = reader->doc[reader->at[i++]];

		depth += c == '{' || c == '[';
		depth -= c == '}' || c == ']';
	} while (depth);
	return i;
}

uint32_t lade_json_value_end(const struct lade_json_reader *reader, uint32_t i, uint32_t next)
{
	return next == i + 1 ? lade_json_token_end(reader, i) : reader->at[next - 1] + 1;
}

static uint32_t name_node(struct lade_json_reader *reader, const struct lade_json_paths *paths,
			  uint32_t node, const char *name, ptrdiff_t len)
{
	if (len > (ptrdiff_t)sizeof(reader->key))
		return LADE_JSON_NO_NODE;
	if (memchr(name, '\\', (size_t)len)) {
		len = lade_json_unescape(name, (size_t)len, reader->key);
		name = reader->key;
	}
	return len < 0 ? LADE_JSON_NO_NODE : lade_json_child(paths, node, name, (size_t)len);
}

uint32_t lade_json_key_node(struct lade_json_reader *reader, const struct lade_json_paths *paths,
			    uint32_t node, uint32_t i)
{
	const char *name = reader->doc + reader->at[i] + 1;

	return name_node(reader, paths, node, name,
			 reader->doc + lade_json_token_end(reader, i) - 1 - name);
}

/* Passes what no plain text of a string is: it begins at @quote.  Returns NULL after a fault. */
static __attribute__((noinline)) const char *pass_unusual(struct walk *w, const char *quote,
							   const char *p)
{
	int len;

	if (p == w->end)
		return fail(w, quote, "the string that begins here has no end");
	if (*p == '\\') {
		w->escapes = true;
		len = lade_json_escape_len(p, (size_t)(w->end - p));
		return len ? p + len
			   : fail(w, p, "a backslash is followed by one of \" \\ / b f n r t or u"
				  " and four hexadecimal digits");
	}
	if ((unsigned char)*p < 0x20)
		return fail(w, p, "a control character (0x%02x) in a string is written \\u%04x", *p,
			    *p);
	while (p < w->end && (unsigned char)*p >= 0x80) {
		len = lade_utf8_len(p, (size_t)(w->end - p));
		if (!len)
			return not_utf8(w, p);
		p += len;
	}
	return p;
}

/* @p is at the quote. */
static inline const char *read_string(struct walk *w, const char *p)
{
	const char *quote = token(w, p++);

	w->escapes = false;
	for (;;) {
		p = lade_json_plain_end(p, w->end);
		if (is_at(w, p, '"'))
			return p + 1;
		p = pass_unusual(w, quote, p);
		if (!p)
			return NULL;
	}
}

static const char *read_word(struct walk *w, const char *p, const char *word, size_t len)
{
	size_t left = (size_t)(w->end - p);

	if (left < len || memcmp(p, word, len) != 0 || (left > len && !ends_scalar(p[len])))
		return fail(w, p, "expected a value; did you mean %s?", word);
	return token(w, p) + len;
}

static __attribute__((noinline)) const char *read_any_number(struct walk *w, const char *p)
{
	const char *end = lade_json_number_end(p, w->end);

	if (!end || (end < w->end && !ends_scalar(*end)))
		return fail(w, p, "this is not a JSON number");
	token(w, p);
	return end;
}

/* Most numbers are a few digits before a comma. */
static inline const char *read_number(struct walk *w, const char *p)
{
	const char *first = p + (*p == '-'), *end = skip_digits(first, w->end);

	if (end == w->end || (*end != ',' && *end != '}') || *first == '0' || end == first)
		return read_any_number(w, p);
	token(w, p);
	return end;
}

static inline const char *read_scalar(struct walk *w, const char *p)
{
	switch (*p) {
	case '"':
		return read_string(w, p);
	case 't':
		return read_word(w, p, "true", 4);
	case 'f':
		return read_word(w, p, "false", 5);
	case 'n':
		return read_word(w, p, "null", 4);
	case '-': case '0': case '1': case '2': case '3': case '4':
	case '5': case '6': case '7': case '8': case '9':
		return read_number(w, p);
	default:
		return unexpected(w, p, "a value");
	}
}

static inline void note(struct walk *w, uint32_t node, uint32_t at, const char *end)
{
	int slot = w->paths->nodes[node].slot;

	if (slot != LADE_JSON_NO_SLOT)
		w->spans[slot] = (struct lade_json_span){ at, offset(w, end) - at };
}

static char closer(const struct lade_json_level *level)
{
	return level->object ? '}' : ']';
}

/* Ends the innermost array or object, whose closing bracket is at @p. */
static const char *leave(struct walk *w, const char *p)
{
	struct lade_json_level *level = &w->reader->levels[--w->depth];

	token(w, p);
	if (level->wanted)
		note(w, level->node, level->at, p + 1);
	return p + 1;
}

/* Begins an array or object.  *@ret_open: it has members, of which the first comes next. */
static const char *enter(struct walk *w, const char *p, uint32_t node, bool wanted, bool *ret_open)
{
	struct lade_json_level *level = &w->reader->levels[w->depth];

	if (w->depth == LADE_JSON_DEPTH_MAX)
		return fail(w, p, "nested deeper than %d levels", LADE_JSON_DEPTH_MAX);
	*level = (struct lade_json_level){ offset(w, p), node, 0,
					   wanted ? &w->reader->memos[node].first : NULL,
					   *p == '{', wanted };
	w->depth++;
	p = skip_blanks(w, token(w, p) + 1);
	*ret_open = !is_at(w, p, closer(level));
	return *ret_open ? p : leave(w, p);
}

/* Reads a value, or the beginning of one: *@ret_open says which. */
static inline const char *read_value(struct walk *w, const char *p, uint32_t node, bool wanted,
				     bool *ret_open)
{
	const char *end;

	*ret_open = false;
	if (p == w->end)
		return w->n ? unexpected(w, p, "a value") : fail(w, w->doc, "is empty");
	if (*p == '{' || *p == '[')
		return enter(w, p, node, wanted, ret_open);
	end = read_scalar(w, p);
	if (end && wanted)
		note(w, node, offset(w, p), end);
	return end;
}

/* Goes down the tree to @child, if it is one and this is its first time. */
static inline void descend(struct walk *w, uint32_t child, uint32_t *ret_node, bool *ret_wanted)
{
	*ret_node = child;
	*ret_wanted = child != LADE_JSON_NO_NODE && lade_json_first_time(w->reader, child);
}

/* The node that the name at @name leads to, if it is the guess; it has no escapes then. */
static inline uint32_t guess(const struct walk *w, const struct lade_json_level *level,
			     const char *name)
{
	uint32_t child = *level->next;
	const struct lade_json_node *n = &w->paths->nodes[child];

	/* What is remembered may be of other paths. */
	if (child == LADE_JSON_NO_NODE || child >= w->paths->n || n->parent != level->node ||
	    !n->plain || (size_t)(w->end - name) <= n->len || name[n->len] != '"')
		return LADE_JSON_NO_NODE;
	return lade_json_same(n->name, name, n->len) ? child : LADE_JSON_NO_NODE;
}

/* Reads a name, and what it leads to.  Returns what is behind it. */
static inline const char *read_name(struct walk *w, const char *p, struct lade_json_level *level,
				    uint32_t *ret_child)
{
	const char *name = p + 1, *end;

	*ret_child = level->wanted ? guess(w, level, name) : LADE_JSON_NO_NODE;
	if (*ret_child) {
		token(w, p);
		level->next = &w->reader->memos[*ret_child].next;
		return name + w->paths->nodes[*ret_child].len + 1;
	}
	end = read_string(w, p);
	if (!end || !level->wanted)
		return end;
	*ret_child = w->escapes ? name_node(w->reader, w->paths, level->node, name,
					    end - 1 - name)
				: lade_json_child(w->paths, level->node, name,
						  (size_t)(end - 1 - name));
	if (*ret_child) {
		*level->next = *ret_child;
		level->next = &w->reader->memos[*ret_child].next;
	}
	return end;
}

/* Reads what precedes a member's value: a name and a colon, or nothing. */
static inline const char *read_member(struct walk *w, const char *p, uint32_t *ret_node,
				      bool *ret_wanted)
{
	struct lade_json_level *level = &w->reader->levels[w->depth - 1];
	uint32_t child = LADE_JSON_NO_NODE;

	if (!level->object) {
		if (level->wanted)
			child = lade_json_item(w->paths, level->node, level->items++);
		descend(w, child, ret_node, ret_wanted);
		return p;
	}
	if (!is_at(w, p, '"'))
		return unexpected(w, p, "a member's name in quotes");
	p = read_name(w, p, level, &child);
	if (!p)
		return NULL;
	p = skip_blanks(w, p);
	if (!is_at(w, p, ':'))
		return unexpected(w, p, "a colon");
	descend(w, child, ret_node, ret_wanted);
	return skip_blanks(w, token(w, p) + 1);
}

/* Goes on after a value, to the next member or the end of the outermost value. */
static inline const char *read_after(struct walk *w, const char *p)
{
	while (w->depth) {
		const struct lade_json_level *level = &w->reader->levels[w->depth - 1];

		p = skip_blanks(w, p);
		if (is_at(w, p, ','))
			return skip_blanks(w, token(w, p) + 1);
		if (!is_at(w, p, closer(level)))
			return unexpected(w, p, level->object ? "a comma or }" : "a comma or ]");
		p = leave(w, p);
	}
	return p;
}

static int walk_document(struct walk *w)
{
	const char *p = skip_blanks(w, w->doc);
	bool wanted = w->paths != NULL, open;
	uint32_t node = 0;

	do {
		p = read_value(w, p, node, wanted, &open);
		if (p && !open)
			p = read_after(w, p);
		if (p && w->depth)
			p = read_member(w, p, &node, &wanted);
	} while (p && w->depth);
	p = p ? skip_blanks(w, p) : NULL;
	if (p && p < w->end)
		(void)fail(w, p, "something follows the end of the document");
	w->reader->n = w->n;
	w->at[w->n] = offset(w, w->end);
	return p == w->end ? 0 : -EBADMSG;
}

/* What the first byte says about a document that is not JSON at all. */
static int foreign(const char *doc, size_t len, struct lade_json_error *error)
{
	if (len && doc[0] == 0)
		return lade_json_fail(error, 0, "begins with byte 0: this looks like the framing of"
				      " a schema registry (Avro, Protobuf), not like JSON");
	if (len >= 3 && memcmp(doc, "\xef\xbb\xbf", 3) == 0)
		return lade_json_fail(error, 0, "begins with a byte order mark, which JSON does"
				      " not allow");
	return 0;
}

/* Makes room for as many tokens as @len bytes may have, and the end. */
static int make_room(struct lade_json_reader *reader, size_t len)
{
	size_t cap = reader->cap ? reader->cap : TOKENS_MIN;
	uint32_t *at;

	while (cap <= len)
		cap *= 2;
	if (cap == reader->cap)
		return 0;
	at = lade_malloc(cap * sizeof(*at));
	if (!at)
		return -ENOMEM;
	lade_free(reader->at);
	reader->at = at;
	reader->cap = cap;
	return 0;
}

static int begin(struct lade_json_reader *reader, const struct lade_json_paths *paths,
		 const char *doc, size_t len, struct lade_json_error *ret_error)
{
	int rc;

	reader->object = false;
	reader->doc = doc;
	reader->len = len;
	if (len > LADE_JSON_LEN_MAX) {
		lade_json_fail(ret_error, 0, "longer than %d bytes", LADE_JSON_LEN_MAX);
		return -EMSGSIZE;
	}
	rc = lade_json_reader_round(reader, paths);
	if (rc == 0)
		rc = make_room(reader, len);
	if (rc < 0)
		lade_json_fail(ret_error, 0, "memory is out");
	return rc < 0 ? rc : foreign(doc, len, ret_error);
}

static const char *kind(char c)
{
	switch (c) {
	case '[': return "an array";
	case '"': return "a string";
	case 't': case 'f': return "a boolean";
	case 'n': return "null";
	default: return "a number";
	}
}

int lade_json_reader_round(struct lade_json_reader *reader, const struct lade_json_paths *paths)
{
	struct lade_json_memo *memos;

	if (paths && paths->n > reader->memos_cap) {
		memos = lade_calloc(paths->n, sizeof(*memos));
		if (!memos)
			return -ENOMEM;
		lade_free(reader->memos);
		reader->memos = memos;
		reader->memos_cap = paths->n;
		reader->round = 0;
	}
	if (++reader->round == 0) {
		memset(reader->memos, 0, reader->memos_cap * sizeof(*reader->memos));
		reader->round = 1;
	}
	return 0;
}

int lade_json_read(struct lade_json_reader *reader, const struct lade_json_paths *paths,
		   const char *doc, size_t len, unsigned flags,
		   struct lade_json_span *ret_spans, struct lade_json_error *ret_error)
{
	struct walk w = { .reader = reader, .paths = paths, .doc = doc, .end = doc + len,
			  .spans = ret_spans, .error = ret_error };
	int rc = begin(reader, paths, doc, len, ret_error);
	uint32_t at;

	if (rc < 0)
		return rc;
	if (paths && paths->slots)
		memset(ret_spans, 0, paths->slots * sizeof(*ret_spans));
	w.at = reader->at;
	rc = walk_document(&w);
	if (rc < 0)
		return rc;
	at = reader->at[0];
	reader->object = doc[at] == '{';
	if (!reader->object && !(flags & LADE_JSON_ANY_ROOT))
		return lade_json_fail(ret_error, at, "expected an object, found %s", kind(doc[at]));
	return 0;
}

int lade_json_member_next(struct lade_json_reader *reader, uint32_t *cursor,
			  struct lade_json_member *ret)
{
	uint32_t key = *cursor ? *cursor : 1, next, at;

	if (!reader->object || reader->doc[reader->at[key]] != '"')
		return 0;
	next = lade_json_skip(reader, key + 2);
	at = reader->at[key] + 1;
	ret->name = (struct lade_json_span){ at, lade_json_token_end(reader, key) - 1 - at };
	at = reader->at[key + 2];
	ret->value = (struct lade_json_span){
		at, lade_json_value_end(reader, key + 2, next) - at };
	*cursor = reader->doc[reader->at[next]] == ',' ? next + 1 : next;
	return 1;
}

int lade_json_reader_new(struct lade_json_reader **ret)
{
	struct lade_json_reader *reader = lade_calloc(1, sizeof(*reader));

	if (!reader)
		return -ENOMEM;
	*ret = reader;
	return 0;
}

struct lade_json_reader *lade_json_reader_free(struct lade_json_reader *reader)
{
	if (!reader)
		return NULL;
	lade_free(reader->at);
	lade_free(reader->memos);
	lade_free(reader);
	return NULL;
}
