/* SPDX-License-Identifier: MIT */
/* step_http_batch.c - the http step with batch: one request for all that want an answer.
 *
 * DESIGN
 * A failed load of a cache is a value that nobody keeps, with the reason in it: each of the
 * messages that waited for it finds that reason, and not a later one. */

#include "services/pipeline/step_http.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* The failure of a request for many. What passes is the whole call's: the engine halves it when it
 * has failed too often. What blames a message is halved at once. */
static int fail_many(struct lade_http_step *h, struct lade_pipe_batch *b,
		     const struct lade_http_want *wants, uint32_t n, int rc, const char *why)
{
	bool retry = h->stage->config->on_error == LADE_ERROR_RETRY;

	if (rc == -EBADMSG || (retry && (rc == -EAGAIN || rc == -EIO))) {
		snprintf(h->stage->trouble, sizeof(h->stage->trouble), "%s", why);
		return rc;
	}
	if (rc != -EAGAIN && rc != -EIO && rc != -EHOSTDOWN)
		return rc;
	for (uint32_t j = 0; j < n; j++)
		(void)lade_http_step_fail(h, b, wants[j].at, rc, why);
	return 0;
}

static void to_body(const char *request, size_t len, const char *key, struct lade_pipe_body *ret)
{
	ret->text = lade_http_body_of(request);
	ret->len = len - (size_t)(ret->text - request);
	ret->key = key;
}

int lade_http_step_ask_many(struct lade_http_step *h, struct lade_pipe_batch *b,
			    struct lade_http_want *wants, uint32_t n)
{
	struct lade_pipe_body *bodies = lade_arena_alloc(&b->arena, n * sizeof(*bodies));
	struct lade_pipe_answer **answers = lade_arena_alloc(&b->arena, n * sizeof(*answers));
	size_t *bytes = lade_arena_alloc(&b->arena, n * sizeof(*bytes));
	char why[LADE_CALL_WHY_ROOM] = "";
	int rc;

	rc = bodies && answers && bytes ? lade_http_step_name(h, b, wants, n) : -ENOMEM;
	if (rc < 0)
		return rc;
	for (uint32_t j = 0; j < n; j++)
		to_body(wants[j].request, wants[j].len, wants[j].key, &bodies[j]);
	rc = lade_pipe_many_ask(&h->many, bodies, n, answers, bytes, why);
	if (rc < 0)
		return fail_many(h, b, wants, n, rc, why);
	for (uint32_t j = 0; j < n; j++) {
		if (rc == 0)
			rc = lade_http_step_take(h, b, wants[j].at, answers[j]);
		free(answers[j]);
	}
	return rc;
}

/* All of a load have failed as one: each waiter learns how, and nobody later. */
static int load_failures(int rc, const char *why, struct lade_cache_load *loads, size_t n)
{
	if (!lade_pipe_is_failure(rc))
		return rc;
	for (size_t i = 0; i < n; i++) {
		struct lade_pipe_answer *answer =
			lade_pipe_answer_new(why, strlen(why), &loads[i].bytes);

		loads[i].rc = answer ? 0 : -ENOMEM;
		loads[i].value = answer;
		loads[i].ttl = lade_ns(0);
		if (answer) {
			answer->rc = rc;
			answer->alone = n == 1;
		}
	}
	return 0;
}

static int name_keys(struct lade_http_step *h, const struct lade_cache_key *keys, size_t n,
		     struct lade_pipe_body *bodies, char (*names)[LADE_CALL_KEY_ROOM])
{
	if (!bodies || !names)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		lade_pipe_request_key(&h->caller, &keys[i], 1, names[i]);
		to_body(keys[i].bytes, keys[i].len, names[i], &bodies[i]);
	}
	return 0;
}

int lade_http_step_load_many(void *arg, const struct lade_cache_key *keys,
			     struct lade_cache_load *loads, size_t n)
{
	struct lade_http_step *h = arg;
	struct lade_pipe_body *bodies = calloc(n, sizeof(*bodies));
	struct lade_pipe_answer **answers = calloc(n, sizeof(*answers));
	char(*names)[LADE_CALL_KEY_ROOM] = calloc(n, sizeof(*names));
	size_t *bytes = calloc(n, sizeof(*bytes));
	char why[LADE_CALL_WHY_ROOM] = "";
	int rc = answers && bytes ? name_keys(h, keys, n, bodies, names) : -ENOMEM;

	if (rc == 0)
		rc = lade_pipe_many_ask(&h->many, bodies, n, answers, bytes, why);
	for (size_t i = 0; rc == 0 && i < n; i++) {
		loads[i].value = answers[i];
		loads[i].bytes = bytes[i];
		loads[i].ttl = lade_http_step_ttl(h, answers[i]);
		loads[i].rc = 0;
	}
	free(bodies);
	free(answers);
	free(names);
	free(bytes);
	return rc < 0 ? load_failures(rc, why, loads, n) : 0;
}

/* What the cache has for one message of a batch.  *ret_others: it failed, but not by itself. */
static int take_cached(struct lade_http_step *h, struct lade_pipe_batch *b,
		       struct lade_http_want *want, const struct lade_cached *got,
		       bool *ret_others)
{
	const struct lade_pipe_answer *answer = got->value;
	char why[256];

	if (got->rc == -EMSGSIZE)
		return lade_http_step_ask_many(h, b, want, 1);
	if (got->rc < 0) {
		lade_pipe_fault_text(got->rc, want->request, why, sizeof(why));
		return fail_many(h, b, want, 1, lade_pipe_fault_class(got->rc), why);
	}
	if (answer->rc == 0 || answer->own)
		return lade_http_step_take(h, b, want->at, answer);
	*ret_others = !answer->alone;
	return fail_many(h, b, want, 1, answer->rc, answer->text);
}

int lade_http_step_ask_cache(struct lade_http_step *h, struct lade_pipe_batch *b,
			     struct lade_http_want *wants, uint32_t n)
{
	struct lade_cache_key *keys = lade_arena_alloc(&b->arena, n * sizeof(*keys));
	struct lade_cached *got = lade_arena_alloc(&b->arena, n * sizeof(*got));
	bool others = false;
	int rc = keys && got ? 0 : -ENOMEM;

	for (uint32_t j = 0; rc == 0 && j < n; j++)
		keys[j] = (struct lade_cache_key){ wants[j].request, wants[j].len };
	if (rc == 0)
		rc = lade_cache_get_many(h->cache, keys, n, got);
	if (rc < 0)
		return rc;
	for (uint32_t j = 0; j < n; j++) {
		if (rc == 0)
			rc = take_cached(h, b, &wants[j], &got[j], &others);
		if (got[j].rc == 0)
			lade_cache_release(&got[j]);
	}
	/* It waited for a request that others were in as well: their fault is not its own. */
	return rc == -EBADMSG && others && n == 1 ? lade_http_step_ask_many(h, b, wants, n) : rc;
}
