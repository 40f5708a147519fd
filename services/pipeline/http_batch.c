/* SPDX-License-Identifier: MIT */
/* http_batch.c - one POST of a JSON array for many messages, and whose answer is which.
 *
 * DESIGN
 * A reply is checked as JSON first; what is valid is cut into its elements by counting brackets.
 * To match, bodies and answers are sorted by their value and walked side by side.
 *
 * LIMITS  An array of BODY_MAX bytes. A value to match by is compared as what it is: 5 is not "5",
 * but 5 and 5.0 are the same. */

#include "services/pipeline/http_batch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define BODY_MAX ((size_t)256 << 20)

int lade_pipe_many_open(struct lade_pipe_many *many, struct lade_pipe_caller *caller,
			const char *match, struct lade_json_error *ret_error)
{
	unsigned slot;

	many->caller = caller;
	if (!match)
		return 0;
	many->match = lade_json_paths_new();
	if (!many->match)
		return -ENOMEM;
	return lade_json_paths_add(many->match, match, strlen(match), &slot, ret_error);
}

void lade_pipe_many_close(struct lade_pipe_many *many)
{
	lade_json_paths_free(many->match);
}

/* What answers are told apart by */

/* A body or an answer, and the value to match by as bytes. */
struct item {
	const void *id;
	size_t len;
	uint32_t at;	/* its place in its array */
};

static int fail(struct lade_json_error *error, const char *reason)
{
	error->at = 0;
	snprintf(error->reason, sizeof(error->reason), "%s", reason);
	return -EBADMSG;
}

/* A number as what it counts, so that 5 and 5.0 are equal. */
static struct lade_datum canonical(struct lade_datum d)
{
	if (d.type == LADE_DOUBLE && d.real >= -9e15 && d.real <= 9e15 &&
	    d.real == (double)(int64_t)d.real)
		return lade_datum_integer((int64_t)d.real);
	return d;
}

/* The value at the path of one document. */
static int id_of(const struct lade_pipe_many *many, const char *doc, size_t len,
		 struct lade_arena *arena, struct item *ret, struct lade_json_error *error)
{
	struct lade_json_span span;
	struct lade_datum value;
	char *room;
	int rc = lade_json_read(many->caller->reader, many->match, doc, len, LADE_JSON_ANY_ROOT,
				&span, error);

	if (rc < 0)
		return rc;
	if (span.len == 0 || (span.len == 4 && memcmp(doc + span.at, "null", 4) == 0))
		return fail(error, "has no value to match by");
	room = lade_arena_alloc_aligned(arena, span.len, 1);
	if (!room)
		return -ENOMEM;
	rc = lade_json_convert(doc, span, (struct lade_want){ LADE_ABSENT, false }, room, span.len,
			       &value, error);
	if (rc == -EBADMSG) /* beyond 64 bits: as it is written */
		value = lade_datum_json(doc + span.at, span.len);
	else if (rc < 0)
		return rc;
	value = canonical(value);
	return lade_pipe_tuple(&value, 1, arena, &ret->id, &ret->len);
}

int lade_pipe_many_check(const struct lade_pipe_many *many, const char *body, size_t len,
			 struct lade_json_error *ret_error)
{
	struct lade_arena arena;
	struct item ignored;
	int rc;

	if (!many->match)
		return 0;
	lade_arena_init(&arena, 4096, BODY_MAX);
	rc = id_of(many, body, len, &arena, &ignored, ret_error);
	lade_arena_done(&arena);
	return rc;
}

static int by_id(const void *a, const void *b)
{
	const struct item *x = a, *y = b;
	int order = memcmp(x->id, y->id, x->len < y->len ? x->len : y->len);

	if (order == 0 && x->len != y->len)
		order = x->len < y->len ? -1 : 1;
	return order ? order : x->at < y->at ? -1 : x->at > y->at;
}

static bool same_id(const struct item *a, const struct item *b)
{
	return a->len == b->len && memcmp(a->id, b->id, a->len) == 0;
}

/* One exchange */

/* What a reply is looked at for. */
struct exchange {
	const struct lade_pipe_many *many;
	const struct lade_pipe_body *bodies;
	size_t n;
	struct lade_arena arena;	/* of one look */
	struct lade_json_span *elements; /* of the reply's array, up to n */
	size_t n_elements;		/* all that there are */
	int32_t *answer_of;		/* which element answers a body; -1: none */
};

/* The end of the value that begins at @at: valid JSON, so brackets and quotes are in order. */
static size_t value_end(const char *text, size_t at, size_t end)
{
	size_t depth = 0;

	for (; at < end; at++) {
		char c = text[at];

		if (c == '"') {
			for (at++; text[at] != '"'; at++)
				at += text[at] == '\\';
		} else if (c == '[' || c == '{') {
			depth++;
		} else if (c == ']' || c == '}') {
			depth--;
		} else if (c == ',' && depth == 0) {
			break;
		}
	}
	return at;
}

/* Cuts an array that is valid JSON into its elements; counts them all, keeps up to x->n. */
static void cut(struct exchange *x, const char *text, size_t first, size_t end)
{
	static const char blank[] = " \t\r\n";

	x->n_elements = 0;
	for (size_t to; first += strspn(text + first, blank), first < end; first = to + 1) {
		size_t len;

		to = value_end(text, first, end);
		for (len = to - first; strchr(blank, text[first + len - 1]);)
			len--;
		if (x->n_elements < x->n)
			x->elements[x->n_elements] =
				(struct lade_json_span){ (uint32_t)first, (uint32_t)len };
		x->n_elements++;
	}
}

/* Finds the elements of a reply.  -EAGAIN and @why: it is no array. */
static int find_elements(struct exchange *x, const struct lade_http_reply *r, char *why)
{
	struct lade_json_error error = { 0 };
	size_t first = r->body_len ? strspn(r->body, " \t\r\n") : 0, end = r->body_len;
	int rc = r->body_len ? lade_json_read(x->many->caller->reader, NULL, r->body, r->body_len,
					      LADE_JSON_ANY_ROOT, NULL, &error)
			     : 0;

	if (rc == -EBADMSG) {
		snprintf(why, LADE_CALL_WHY_ROOM, "the reply is not JSON: %s at byte %zu",
			 error.reason, error.at);
		return -EAGAIN;
	}
	if (rc < 0)
		return rc;
	if (!r->body_len || r->body[first] != '[') {
		snprintf(why, LADE_CALL_WHY_ROOM,
			 "the reply is not an array of answers for %zu message%s", x->n,
			 x->n == 1 ? "" : "s");
		return -EAGAIN;
	}
	while (r->body[end - 1] != ']')
		end--;
	cut(x, r->body, first + 1, end - 1);
	return 0;
}

static int wrong_count(const struct exchange *x, char *why, const char *what)
{
	snprintf(why, LADE_CALL_WHY_ROOM, "%sthe reply has %zu answers for %zu message%s", what,
		 x->n_elements, x->n, x->n == 1 ? "" : "s");
	return -EAGAIN;
}

static int by_position(struct exchange *x, char *why)
{
	if (x->n_elements != x->n)
		return wrong_count(x, why, "");
	for (size_t i = 0; i < x->n; i++)
		x->answer_of[i] = (int32_t)i;
	return 0;
}

static int find_ids(struct exchange *x, const char *reply, struct item *asked,
		    struct item *answered, char *why)
{
	struct lade_json_error error;
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < x->n; i++) {
		asked[i].at = (uint32_t)i;
		rc = id_of(x->many, x->bodies[i].text, x->bodies[i].len, &x->arena, &asked[i],
			   &error);
	}
	for (size_t i = 0; rc == 0 && i < x->n_elements; i++) {
		answered[i].at = (uint32_t)i;
		rc = id_of(x->many, reply + x->elements[i].at, x->elements[i].len, &x->arena,
			   &answered[i], &error);
	}
	return rc == -EBADMSG ? wrong_count(x, why, "an answer has no value to match by: ") : rc;
}

/* Gives each group of equal values its answers. */
static int match_sorted(struct exchange *x, const struct item *asked, const struct item *answered,
			char *why)
{
	size_t a = 0;

	for (size_t i = 0; i < x->n;) {
		size_t first = i, from = a;

		for (; i < x->n && same_id(&asked[i], &asked[first]); i++) {
			x->answer_of[asked[i].at] = -1;
			if (a < x->n_elements && same_id(&answered[a], &asked[i]))
				x->answer_of[asked[i].at] = (int32_t)answered[a++].at;
			else if (a > from)
				x->answer_of[asked[i].at] = (int32_t)answered[a - 1].at;
		}
	}
	return a == x->n_elements ? 0 : wrong_count(x, why, "an answer that nobody asked for: ");
}

static int by_value(struct exchange *x, const char *reply, char *why)
{
	struct item *asked = lade_arena_alloc(&x->arena, (x->n + 1) * sizeof(*asked));
	struct item *answered = lade_arena_alloc(&x->arena, (x->n + 1) * sizeof(*answered));
	int rc;

	if (!asked || !answered)
		return -ENOMEM;
	if (x->n_elements > x->n)
		return wrong_count(x, why, "");
	rc = find_ids(x, reply, asked, answered, why);
	if (rc < 0)
		return rc;
	qsort(asked, x->n, sizeof(*asked), by_id);
	qsort(answered, x->n_elements, sizeof(*answered), by_id);
	return match_sorted(x, asked, answered, why);
}

static int look(void *arg, const struct lade_http_reply *reply, char why[LADE_CALL_WHY_ROOM])
{
	struct exchange *x = arg;
	int rc = find_elements(x, reply, why);

	if (rc < 0)
		return rc;
	lade_arena_init(&x->arena, 65536, BODY_MAX);
	rc = x->many->match ? by_value(x, reply->body, why) : by_position(x, why);
	lade_arena_done(&x->arena);
	return rc;
}

/* Asking */

static void write_array(struct lade_json_out *out, const struct lade_pipe_body *bodies, size_t n)
{
	lade_json_out_raw(out, "[", 1);
	for (size_t i = 0; i < n; i++) {
		if (i)
			lade_json_out_raw(out, ",", 1);
		lade_json_out_raw(out, bodies[i].text, bodies[i].len);
	}
	lade_json_out_raw(out, "]", 1);
}

static int name_batch(const struct lade_pipe_many *many, const struct lade_pipe_body *bodies,
		      size_t n, char ret[LADE_CALL_KEY_ROOM])
{
	struct lade_cache_key *parts = calloc(n, sizeof(*parts));

	if (!parts)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		parts[i] = (struct lade_cache_key){ bodies[i].key, strlen(bodies[i].key) };
	lade_pipe_request_key(many->caller, parts, n, ret);
	free(parts);
	return 0;
}

/* One element of the reply; one that is not what is expected is a failure of its own.  Returns NULL
 * when memory is out. */
static struct lade_pipe_answer *keep_element(const struct exchange *x, const char *text, size_t len,
					     size_t *ret_bytes)
{
	struct lade_pipe_stage *s = x->many->caller->stage;
	char why[LADE_CALL_WHY_ROOM], whole[LADE_CALL_WHY_ROOM];
	struct lade_pipe_answer *answer;
	int rc = lade_pipe_expected(x->many->caller, text, len, why);

	if (rc == 0)
		return lade_pipe_answer_new(text, len, ret_bytes);
	if (rc != -EAGAIN)
		return NULL;
	snprintf(whole, sizeof(whole), "%.200s: %.300s", x->many->url, why);
	lade_pipe_trouble(s->engine, s->config->name, s->trouble, "%.250s", whole);
	answer = lade_pipe_answer_new(whole, strlen(whole), ret_bytes);
	if (answer) {
		answer->rc = rc;
		answer->own = true;
	}
	return answer;
}

static int keep_answers(const struct exchange *x, const struct lade_http_reply *reply,
			struct lade_pipe_answer **ret, size_t *ret_bytes)
{
	for (size_t i = 0; i < x->n; i++) {
		int32_t at = x->answer_of[i];

		ret[i] = at < 0 ? lade_pipe_answer_new(NULL, 0, &ret_bytes[i])
				: keep_element(x, reply->body + x->elements[at].at,
					       x->elements[at].len, &ret_bytes[i]);
		if (ret[i]) {
			ret[i]->missing = at < 0;
			continue;
		}
		while (i--)
			free(ret[i]);
		return -ENOMEM;
	}
	return 0;
}

/* What a fault of a batch means.  A 404 says nothing about one of its messages. */
static int class_of_batch(int rc, const char *url, char why[LADE_CALL_WHY_ROOM])
{
	if (rc != -ENOENT)
		return lade_pipe_fault_class(rc);
	snprintf(why, LADE_CALL_WHY_ROOM, "%.400s: status 404", url);
	return -EIO;
}

static int exchange(struct exchange *x, const struct lade_json_out *array, const char *key,
		    struct lade_pipe_answer **ret, size_t *ret_bytes, char *why)
{
	const struct lade_pipe_request request = {
		.url = x->many->url, .body = array->data, .body_len = array->len,
		.key = key, .look = look, .arg = x,
	};
	struct lade_http_reply reply;
	int rc = lade_pipe_call(x->many->caller, &request, &reply, why);

	if (rc == 0)
		rc = keep_answers(x, &reply, ret, ret_bytes);
	else
		rc = class_of_batch(rc, x->many->url, why);
	lade_http_reply_done(&reply);
	return rc;
}

int lade_pipe_many_ask(const struct lade_pipe_many *many, const struct lade_pipe_body *bodies,
		       size_t n, struct lade_pipe_answer **ret, size_t *ret_bytes,
		       char why[LADE_CALL_WHY_ROOM])
{
	struct exchange x = { .many = many, .bodies = bodies, .n = n };
	struct lade_json_out array;
	char key[LADE_CALL_KEY_ROOM];
	int rc = name_batch(many, bodies, n, key);

	lade_json_out_init(&array, BODY_MAX);
	write_array(&array, bodies, n);
	x.elements = calloc(n, sizeof(*x.elements));
	x.answer_of = calloc(n, sizeof(*x.answer_of));
	if (rc == 0 && array.status < 0) {
		snprintf(why, LADE_CALL_WHY_ROOM, "the bodies of the batch are too long");
		rc = array.status == -EMSGSIZE ? -EBADMSG : array.status;
	}
	if (rc == 0)
		rc = x.elements && x.answer_of ? exchange(&x, &array, key, ret, ret_bytes, why)
					       : -ENOMEM;
	free(x.elements);
	free(x.answer_of);
	lade_json_out_done(&array);
	return rc;
}
