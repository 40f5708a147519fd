/* SPDX-License-Identifier: MIT */
/* reader.c - checks a document in full, and notes where wanted values lie.
 *
 * DESIGN
 * engine.cc says where tokens begin.  The walk over them checks the grammar with a stack of
 * its own, and goes down the tree of paths beside it: a key is looked up only while some
 * path leads on from here.  A document without a backslash, which is nearly every one, is
 * found out by one memchr and its strings are not looked at again.
 *
 * Of two members with one name the first counts.  A node of the tree is therefore entered
 * once in a document; .seen remembers the document's number instead of being cleared.
 *
 * INVARIANT  index.at[index.n] == len, so a token's successor always exists.
 *
 * LIMITS  LADE_JSON_DEPTH_MAX levels, LADE_JSON_LEN_MAX bytes. */

#include "connectors/json/reader_priv.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "connectors/json/string_priv.h"

/* One pass over one document. */
struct walk {
	struct lade_json_reader *reader;
	const struct lade_json_paths *paths;	/* NULL: only check */
	const char *doc;			/* the document */
	const uint32_t *at;			/* its tokens' offsets */
	uint32_t n;				/* and their number */
	uint32_t i;				/* the next token */
	uint32_t end;				/* behind the scalar that was read last */
	uint32_t depth;				/* levels in use */
	bool escapes;				/* there is a backslash somewhere */
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

static uint32_t token_at(const struct walk *w)
{
	return w->at[w->i];
}

/* The first character of the next token, or 0 at the end of the document. */
static char token(const struct walk *w)
{
	return w->i < w->n ? w->doc[token_at(w)] : '\0';
}

/* What stands at @at, for people. */
static const char *shown(const struct walk *w, uint32_t at, char room[16])
{
	unsigned char c;

	if (at >= w->reader->len)
		return "the end";
	c = (unsigned char)w->doc[at];
	if (c > ' ' && c < 0x7f)
		snprintf(room, 16, "'%c'", c);
	else
		snprintf(room, 16, "byte 0x%02x", c);
	return room;
}

static int unexpected(struct walk *w, uint32_t at, const char *wanted)
{
	char room[16];

	return lade_json_fail(w->error, at, "expected %s, found %s", wanted, shown(w, at, room));
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
		char c = reader->doc[reader->index.at[i++]];

		depth += c == '{' || c == '[';
		depth -= c == '}' || c == ']';
	} while (depth);
	return i;
}

uint32_t lade_json_value_end(const struct lade_json_reader *reader, uint32_t i, uint32_t next)
{
	return next == i + 1 ? lade_json_token_end(reader, i) : reader->index.at[next - 1] + 1;
}

uint32_t lade_json_key_node(struct lade_json_reader *reader, const struct lade_json_paths *paths,
			    uint32_t node, uint32_t i)
{
	const char *name = reader->doc + reader->index.at[i] + 1;
	ptrdiff_t len = reader->doc + lade_json_token_end(reader, i) - 1 - name;

	if (len > (ptrdiff_t)sizeof(reader->key))
		return LADE_JSON_NO_NODE;
	if (memchr(name, '\\', (size_t)len)) {
		len = lade_json_unescape(name, (size_t)len, reader->key);
		name = reader->key;
	}
	return len < 0 ? LADE_JSON_NO_NODE : lade_json_child(paths, node, name, (size_t)len);
}

static int bad_escape(struct walk *w, size_t at)
{
	return lade_json_fail(w->error, at,
			      "a backslash is followed by one of \" \\ / b f n r t or u"
			      " and four hexadecimal digits");
}

static int read_string(struct walk *w)
{
	uint32_t at = token_at(w), end = lade_json_token_end(w->reader, w->i);

	if (end - at < 2 || w->doc[end - 1] != '"')
		return lade_json_fail(w->error, at, "the string is followed by something else");
	if (w->escapes) {
		ptrdiff_t bad = lade_json_escapes_check(w->doc + at + 1, end - at - 2);

		if (bad >= 0)
			return bad_escape(w, at + 1 + (size_t)bad);
	}
	w->end = end;
	w->i++;
	return 0;
}

static int read_word(struct walk *w, const char *word, uint32_t len)
{
	uint32_t at = token_at(w), left = (uint32_t)w->reader->len - at;

	if (left < len || memcmp(w->doc + at, word, len) != 0 ||
	    (left > len && !ends_scalar(w->doc[at + len])))
		return lade_json_fail(w->error, at, "expected a value; did you mean %s?", word);
	w->end = at + len;
	w->i++;
	return 0;
}

static int read_number(struct walk *w)
{
	const char *end = w->doc + w->reader->len;
	const char *p = lade_json_number_end(w->doc + token_at(w), end);

	if (!p || (p < end && !ends_scalar(*p)))
		return lade_json_fail(w->error, token_at(w), "this is not a JSON number");
	w->end = (uint32_t)(p - w->doc);
	w->i++;
	return 0;
}

static int read_scalar(struct walk *w)
{
	switch (token(w)) {
	case '"':
		return read_string(w);
	case 't':
		return read_word(w, "true", 4);
	case 'f':
		return read_word(w, "false", 5);
	case 'n':
		return read_word(w, "null", 4);
	case '-': case '0': case '1': case '2': case '3': case '4':
	case '5': case '6': case '7': case '8': case '9':
		return read_number(w);
	default:
		return unexpected(w, token_at(w), "a value");
	}
}

static void note(struct walk *w, uint32_t node, uint32_t at, uint32_t end)
{
	int slot = w->paths->nodes[node].slot;

	if (slot != LADE_JSON_NO_SLOT)
		w->spans[slot] = (struct lade_json_span){ at, end - at };
}

/* Ends the innermost array or object, whose closing token was just taken. */
static void leave(struct walk *w)
{
	struct lade_json_level *level = &w->reader->levels[--w->depth];

	if (level->wanted)
		note(w, level->node, level->at, w->at[w->i - 1] + 1);
}

static char closer(const struct lade_json_level *level)
{
	return level->object ? '}' : ']';
}

/* Begins an array or object.  Returns 1, or 0 when it is empty and done. */
static int enter(struct walk *w, uint32_t node, bool wanted)
{
	struct lade_json_level *level = &w->reader->levels[w->depth];

	if (w->depth == LADE_JSON_DEPTH_MAX)
		return lade_json_fail(w->error, token_at(w), "nested deeper than %d levels",
				      LADE_JSON_DEPTH_MAX);
	*level = (struct lade_json_level){ token_at(w), node, 0, token(w) == '{', wanted };
	w->depth++;
	w->i++;
	if (token(w) != closer(level))
		return 1;
	w->i++;
	leave(w);
	return 0;
}

/* Reads a value, or the beginning of one.  Returns 0 when it is complete, 1 when its first
 * member comes next. */
static int read_value(struct walk *w, uint32_t node, bool wanted)
{
	uint32_t i = w->i;
	char c = token(w);
	int rc;

	if (c == '{' || c == '[')
		return enter(w, node, wanted);
	if (i == w->n)
		return unexpected(w, token_at(w), "a value");
	rc = read_scalar(w);
	if (rc == 0 && wanted)
		note(w, node, w->at[i], w->end);
	return rc;
}

/* Goes down the tree to @child, if it is one and this is its first time. */
static void descend(struct walk *w, uint32_t child, uint32_t *ret_node, bool *ret_wanted)
{
	*ret_node = child;
	*ret_wanted = child != LADE_JSON_NO_NODE && lade_json_first_time(w->reader, child);
}

/* The node that the key leads to, which was just read. */
static uint32_t key_node(struct walk *w, uint32_t node, uint32_t key)
{
	uint32_t name = w->at[key] + 1;

	if (w->escapes)
		return lade_json_key_node(w->reader, w->paths, node, key);
	return lade_json_child(w->paths, node, w->doc + name, w->end - 1 - name);
}

/* Reads what precedes a member's value: a key and a colon, or nothing. */
static int read_member(struct walk *w, uint32_t *ret_node, bool *ret_wanted)
{
	struct lade_json_level *level = &w->reader->levels[w->depth - 1];
	uint32_t key = w->i, child = LADE_JSON_NO_NODE;
	int rc;

	if (!level->object) {
		if (level->wanted)
			child = lade_json_item(w->paths, level->node, level->items++);
		descend(w, child, ret_node, ret_wanted);
		return 0;
	}
	if (token(w) != '"')
		return unexpected(w, token_at(w), "a member's name in quotes");
	rc = read_string(w);
	if (rc < 0)
		return rc;
	if (token(w) != ':')
		return unexpected(w, token_at(w), "a colon");
	w->i++;
	if (level->wanted)
		child = key_node(w, level->node, key);
	descend(w, child, ret_node, ret_wanted);
	return 0;
}

/* Goes on after a value.  Returns 1 when another member comes, 0 at the end of the outermost
 * value. */
static int read_after(struct walk *w)
{
	while (w->depth) {
		const struct lade_json_level *level = &w->reader->levels[w->depth - 1];
		char c = token(w);

		if (c != ',' && c != closer(level))
			return unexpected(w, token_at(w), level->object ? "a comma or }" :
									 "a comma or ]");
		w->i++;
		if (c == ',')
			return 1;
		leave(w);
	}
	return 0;
}

static int walk_tokens(struct walk *w)
{
	bool wanted = w->paths != NULL;
	uint32_t node = 0;
	int rc;

	for (;;) {
		rc = read_value(w, node, wanted);
		if (rc == 0)
			rc = read_after(w);
		if (rc <= 0)
			break;
		rc = read_member(w, &node, &wanted);
		if (rc < 0)
			break;
	}
	if (rc == 0 && w->i < w->n)
		return lade_json_fail(w->error, token_at(w),
				      "something follows the end of the document");
	return rc;
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

/* Finds the first fault that the first stage only knows to be somewhere. */
static int locate(const char *doc, size_t len, struct lade_json_error *error)
{
	size_t quote = 0;
	bool in_string = false;

	for (size_t i = 0; i < len;) {
		int step = lade_utf8_len(doc + i, len - i);

		if (!step)
			return lade_json_fail(error, i, "byte 0x%02x is not UTF-8 here",
					      (unsigned char)doc[i]);
		if (in_string && (unsigned char)doc[i] < 0x20)
			return lade_json_fail(error, i, "a control character (0x%02x) in a string"
					      " is written \\u%04x", doc[i], doc[i]);
		if (in_string && doc[i] == '\\')
			step = 2;
		if (doc[i] == '"') {
			in_string = !in_string;
			quote = i;
		}
		i += (size_t)step;
	}
	if (in_string)
		return lade_json_fail(error, quote, "the string that begins here has no end");
	return lade_json_fail(error, 0, "this is not JSON");
}

/* Finds the tokens. */
static int find_tokens(struct lade_json_reader *reader, const char *doc, size_t len,
		       struct lade_json_error *ret_error)
{
	enum lade_json_fault fault = LADE_JSON_FAULT_NONE;
	int rc;

	reader->object = false;
	reader->doc = doc;
	reader->len = len;
	if (len > LADE_JSON_LEN_MAX) {
		lade_json_fail(ret_error, 0, "longer than %d bytes", LADE_JSON_LEN_MAX);
		return -EMSGSIZE;
	}
	rc = foreign(doc, len, ret_error);
	if (rc < 0)
		return rc;
	rc = lade_json_index_build(&reader->index, doc, len, &fault);
	if (rc == -EBADMSG)
		return fault == LADE_JSON_FAULT_EMPTY ?
			       lade_json_fail(ret_error, 0, "is empty") :
			       locate(doc, len, ret_error);
	if (rc < 0)
		lade_json_fail(ret_error, 0, "memory is out");
	return rc;
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
	uint32_t *seen;

	if (paths && paths->n > reader->seen_cap) {
		seen = lade_calloc(paths->n, sizeof(*seen));
		if (!seen)
			return -ENOMEM;
		lade_free(reader->seen);
		reader->seen = seen;
		reader->seen_cap = paths->n;
		reader->round = 0;
	}
	if (++reader->round == 0) {
		memset(reader->seen, 0, reader->seen_cap * sizeof(*reader->seen));
		reader->round = 1;
	}
	return 0;
}

int lade_json_read(struct lade_json_reader *reader, const struct lade_json_paths *paths,
		   const char *doc, size_t len, unsigned flags,
		   struct lade_json_span *ret_spans, struct lade_json_error *ret_error)
{
	struct walk w = { .reader = reader, .paths = paths, .doc = doc, .spans = ret_spans,
			  .error = ret_error };
	int rc = lade_json_reader_round(reader, paths);
	uint32_t at;

	if (rc < 0)
		lade_json_fail(ret_error, 0, "memory is out");
	else
		rc = find_tokens(reader, doc, len, ret_error);
	if (rc < 0)
		return rc;
	if (paths && paths->slots)
		memset(ret_spans, 0, paths->slots * sizeof(*ret_spans));
	w.at = reader->index.at;
	w.n = reader->index.n;
	w.escapes = memchr(doc, '\\', len) != NULL;
	rc = walk_tokens(&w);
	if (rc < 0)
		return rc;
	at = reader->index.at[0];
	reader->object = doc[at] == '{';
	if (!reader->object && !(flags & LADE_JSON_ANY_ROOT))
		return lade_json_fail(ret_error, at, "expected an object, found %s", kind(doc[at]));
	return 0;
}

int lade_json_member_next(struct lade_json_reader *reader, uint32_t *cursor,
			  struct lade_json_member *ret)
{
	uint32_t key = *cursor ? *cursor : 1, next, at;

	if (!reader->object || reader->doc[reader->index.at[key]] != '"')
		return 0;
	next = lade_json_skip(reader, key + 2);
	at = reader->index.at[key] + 1;
	ret->name = (struct lade_json_span){ at, lade_json_token_end(reader, key) - 1 - at };
	at = reader->index.at[key + 2];
	ret->value = (struct lade_json_span){
		at, lade_json_value_end(reader, key + 2, next) - at };
	*cursor = reader->doc[reader->index.at[next]] == ',' ? next + 1 : next;
	return 1;
}

int lade_json_reader_new(struct lade_json_reader **ret)
{
	struct lade_json_reader *reader = lade_calloc(1, sizeof(*reader));

	if (!reader)
		return -ENOMEM;
	lade_json_index_init(&reader->index);
	*ret = reader;
	return 0;
}

struct lade_json_reader *lade_json_reader_free(struct lade_json_reader *reader)
{
	if (!reader)
		return NULL;
	lade_json_index_done(&reader->index);
	lade_free(reader->seen);
	lade_free(reader);
	return NULL;
}

const char *lade_json_engine(void)
{
	return lade_json_index_engine();
}
