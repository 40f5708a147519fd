/* SPDX-License-Identifier: MIT */
/* step_http.c - enrichment over HTTP: a GET or a POST per message, or one POST for a batch.
 *
 * DESIGN
 * A GET goes through a cache, also where none was asked for: then nothing is kept, but messages
 * that want the same at the same time share one request. A POST does so only where a cache was
 * asked for: two equal ones may be two payments. The key is the address and the body; the method
 * and the headers are the step's, so it is all that the service sees. A load retries, each try
 * with its own time-out; it belongs to the cache, so a batch that gives up does not lose what
 * was paid for.
 *
 * LIMITS  `concurrency` requests at once over all batches; a reply of 16 MiB. What is longer than a
 * cache's key is asked for by itself. */

#include "services/pipeline/step_http.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define BODY_DEFAULT "json ."

/* One request of a batch, and what came of it. */
struct wanted {
	const struct lade_http_want *want;
	int rc;
	struct lade_cached got;		/* out of the cache */
	struct lade_pipe_answer *own;	/* asked for by itself */
};

/* Asking for one */

/* @key NULL: it is made from what is asked for. */
static int ask_one(struct lade_http_step *h, const char *asked, size_t len, const char *key,
		   struct lade_pipe_answer **ret, size_t *ret_bytes)
{
	const struct lade_cache_key whole = { asked, len };
	struct lade_pipe_request request = { .url = asked, .key = key };
	char made[LADE_CALL_KEY_ROOM], why[LADE_CALL_WHY_ROOM];
	struct lade_http_reply reply;
	int rc;

	if (h->stage->config->post) {
		request.body = lade_http_body_of(asked);
		request.body_len = len - (size_t)(request.body - asked);
		if (!key)
			lade_pipe_request_key(&h->caller, &whole, 1, made);
		request.key = key ? key : made;
	}
	rc = lade_pipe_call(&h->caller, &request, &reply, why);
	if (rc == 0 || rc == -ENOENT) {
		*ret = lade_pipe_answer_new(reply.body, rc == 0 ? reply.body_len : 0, ret_bytes);
		if (*ret)
			(*ret)->missing = rc == -ENOENT;
		rc = *ret ? 0 : -ENOMEM;
	}
	lade_http_reply_done(&reply);
	return rc;
}

struct lade_duration lade_http_step_ttl(const struct lade_http_step *h,
					const struct lade_pipe_answer *answer)
{
	const struct lade_pipe_step_cache *c = &h->stage->config->cache;

	return lade_ns(!c->on || answer->rc ? 0 : answer->missing ? c->negative_ttl_ns : c->ttl_ns);
}

static int load_one(void *arg, const struct lade_cache_key *key, struct lade_cache_load *load)
{
	struct lade_pipe_answer *answer = NULL;
	int rc = ask_one(arg, key->bytes, key->len, NULL, &answer, &load->bytes);

	if (rc < 0)
		return rc;
	load->value = answer;
	load->ttl = lade_http_step_ttl(arg, answer);
	return 0;
}

static int fetch_wanted(struct lade_http_step *h, struct wanted *w)
{
	const struct lade_http_want *want = w->want;
	size_t bytes;

	w->rc = h->cache ? lade_cache_get(h->cache, want->request, want->len, &w->got) : -EMSGSIZE;
	if (w->rc == -EMSGSIZE)
		w->rc = ask_one(h, want->request, want->len, want->key, &w->own, &bytes);
	return w->rc == -ECANCELED ? w->rc : 0;
}
LADE_TASK_VOID(fetch_wanted, (struct lade_http_step *, h), (struct wanted *, w))

/* What a batch asks for */

static int render(struct lade_http_step *h, struct lade_pipe_batch *b, uint32_t at,
		  const char **ret, size_t *ret_len, struct lade_json_error *error)
{
	struct lade_datum values[LADE_URL_HOLES_MAX];
	unsigned k = 0;
	int rc = 0;

	for (unsigned p = 0; rc == 0 && p < h->url.n; p++)
		if (!h->url.parts[p].text)
			rc = lade_pipe_message_value(&b->messages[at], b->shape,
						     &h->url.parts[p].ref, b->reader, &b->arena,
						     &values[k++], error);
	return rc == 0 ? lade_pipe_url_render(&h->url, values, &b->arena, ret, ret_len, error) : rc;
}

static int write_body(struct lade_http_step *h, struct lade_pipe_batch *b, uint32_t at,
		      struct lade_json_out *out, struct lade_json_error *error)
{
	struct lade_datum value;
	int rc = lade_pipe_message_value(&b->messages[at], b->shape, &h->body, b->reader, &b->arena,
					 &value, error);

	if (rc < 0)
		return rc;
	lade_json_out_datum(out, &value);
	if (out->status != -EILSEQ && out->status != -ERANGE)
		return out->status;
	snprintf(error->reason, sizeof(error->reason), "its body cannot be said in JSON");
	return -EBADMSG;
}

/* The address, and the body of a POST behind it. */
static int write_request(struct lade_http_step *h, struct lade_pipe_batch *b,
			 struct lade_http_want *w, struct lade_json_out *out,
			 struct lade_json_error *error)
{
	const char *url;
	size_t len;
	int rc = render(h, b, w->at, &url, &len, error);

	if (rc < 0)
		return rc;
	lade_json_out_raw(out, url, len + 1);
	rc = h->stage->config->post ? write_body(h, b, w->at, out, error) : out->status;
	if (rc < 0)
		return rc;
	w->len = out->len;
	w->request = lade_arena_copy(&b->arena, out->data, out->len);
	if (!w->request)
		return -ENOMEM;
	return h->stage->config->batch
		       ? lade_pipe_many_check(&h->many, w->request + len + 1, w->len - len - 1,
					      error)
		       : 0;
}

/* The Idempotency-Key: the message's own, or where equal ones share a request, the request's. */
static int name_want(struct lade_http_step *h, struct lade_pipe_batch *b, struct lade_http_want *w)
{
	const struct lade_cache_key whole = { w->request, w->len };
	char key[LADE_CALL_KEY_ROOM];

	if (h->cache)
		lade_pipe_request_key(&h->caller, &whole, 1, key);
	else
		lade_pipe_message_key(&h->caller, &b->messages[w->at], key);
	w->key = lade_arena_copy(&b->arena, key, strlen(key));
	return w->key ? 0 : -ENOMEM;
}

int lade_http_step_name(struct lade_http_step *h, struct lade_pipe_batch *b,
			struct lade_http_want *wants, uint32_t n)
{
	int rc = 0;

	for (uint32_t j = 0; rc == 0 && j < n; j++)
		rc = name_want(h, b, &wants[j]);
	return rc;
}

/* What each message asks for; one that cannot ask is rejected. */
static int gather(struct lade_http_step *h, struct lade_pipe_batch *b, const uint32_t *index,
		  uint32_t n, struct lade_http_want *wants, uint32_t *ret_n)
{
	struct lade_json_error error;
	struct lade_json_out out;
	uint32_t m = 0;
	int rc = 0;

	lade_json_out_init(&out, 64 << 20);
	for (uint32_t j = 0; j < n && (rc == 0 || rc == -EBADMSG); j++) {
		wants[m].at = index[j];
		lade_json_out_reset(&out);
		rc = write_request(h, b, &wants[m], &out, &error);
		if (rc == -EMSGSIZE) {
			snprintf(error.reason, sizeof(error.reason), "its address is too long");
			rc = -EBADMSG;
		}
		if (rc == -EBADMSG)
			lade_pipe_reject(b, index[j], h->stage->config->name, "%s", error.reason);
		else if (rc == 0)
			wants[m++].key = NULL;
	}
	lade_json_out_done(&out);
	*ret_n = m;
	return rc == -EBADMSG ? 0 : rc;
}

/* What came of it */

int lade_http_step_take(struct lade_http_step *h, struct lade_pipe_batch *b, uint32_t at,
		      const struct lade_pipe_answer *answer)
{
	const struct lade_pipe_step *c = h->stage->config;
	char *text;

	if (answer->rc)
		return lade_http_step_fail(h, b, at, answer->rc, answer->text);
	if (answer->missing && c->on_missing == LADE_MISSING_REJECT) {
		lade_pipe_reject(b, at, c->name, c->batch ? "the service has no answer for it"
							  : "the service says 404");
		return 0;
	}
	if (answer->missing || !answer->len)
		return 0;
	text = lade_arena_copy(&b->arena, answer->text, answer->len);
	if (!text)
		return -ENOMEM;
	return lade_pipe_message_set(&b->messages[at], b->shape, h->slot,
				     lade_datum_json(text, answer->len), &b->arena);
}

/* A message whose request failed: what on_error says. */
int lade_http_step_fail(struct lade_http_step *h, struct lade_pipe_batch *b, uint32_t at, int class,
			const char *why)
{
	const struct lade_pipe_step *c = h->stage->config;

	if (class == -ENOMEM)
		return class;
	if (class == -EIO && c->on_error == LADE_ERROR_RETRY) {
		snprintf(h->stage->trouble, sizeof(h->stage->trouble), "%s", why);
		return class;
	}
	if (class == -EHOSTDOWN) {
		if (c->on_error != LADE_ERROR_KEEP)
			lade_pipe_hold(b, at, "%s", why);
		return 0;
	}
	if (class == -EBADMSG || c->on_error == LADE_ERROR_REJECT)
		lade_pipe_reject(b, at, c->name, "%s", why);
	else if (c->on_error == LADE_ERROR_RETRY)
		lade_pipe_retry(b, at, "%s", why);
	return 0;
}

/* A request for each message, or for all that ask for the same */

static int by_request(const void *a, const void *b)
{
	const struct lade_http_want *x = a, *y = b;
	int order = memcmp(x->request, y->request, x->len < y->len ? x->len : y->len);

	return order ? order : x->len < y->len ? -1 : x->len > y->len;
}

static int fetch_all(struct lade_http_step *h, struct lade_http_want *wants, uint32_t n,
		     struct wanted *shared, uint32_t *ret_n)
{
	uint32_t k = 0;
	int rc = 0;

	lade_scope(s, &rc, .policy = LADE_ALL) {
		for (uint32_t j = 0; rc == 0 && j < n; j++) {
			if (!h->cache || j == 0 || by_request(&wants[j], &wants[j - 1]) != 0) {
				shared[k] = (struct wanted){ .want = &wants[j], .rc = -ECANCELED };
				rc = lade_spawn(&s, fetch_wanted_task(h, &shared[k]));
				k++;
			}
			wants[j].shared = &shared[k - 1];
		}
	}
	*ret_n = k;
	for (uint32_t j = 0; rc == 0 && j < k; j++)
		if (shared[j].rc == -ECANCELED || shared[j].rc == -ESHUTDOWN)
			rc = -ECANCELED;
	return rc;
}

static void release(struct wanted *shared, uint32_t n)
{
	for (uint32_t k = 0; k < n; k++) {
		lade_cache_release(&shared[k].got);
		free(shared[k].own);
	}
}

static int take_shared(struct lade_http_step *h, struct lade_pipe_batch *b,
		       const struct lade_http_want *want)
{
	const struct wanted *w = want->shared;
	char why[256];

	if (w->rc == 0)
		return lade_http_step_take(h, b, want->at, w->own ? w->own : w->got.value);
	lade_pipe_fault_text(w->rc, want->request, why, sizeof(why));
	return lade_http_step_fail(h, b, want->at, lade_pipe_fault_class(w->rc), why);
}

static int ask_each(struct lade_http_step *h, struct lade_pipe_batch *b,
		    struct lade_http_want *wants, uint32_t n)
{
	struct wanted *shared = lade_arena_alloc(&b->arena, (n + 1) * sizeof(*shared));
	uint32_t k = 0;
	int rc;

	if (!shared)
		return -ENOMEM;
	if (h->cache)
		qsort(wants, n, sizeof(*wants), by_request);
	rc = h->cache ? 0 : lade_http_step_name(h, b, wants, n);
	if (rc == 0)
		rc = fetch_all(h, wants, n, shared, &k);
	if (rc == 0) {
		for (uint32_t j = 0; j < n; j++) {
			int own = take_shared(h, b, &wants[j]);

			rc = own < 0 ? own : rc;
		}
	}
	release(shared, k);
	return rc;
}

static int http_process(struct lade_pipe_stage *stage, struct lade_pipe_batch *b,
			const uint32_t *index, uint32_t n)
{
	struct lade_http_step *h = stage->self;
	struct lade_http_want *wants = lade_arena_alloc(&b->arena, (n + 1) * sizeof(*wants));
	uint32_t m = 0;
	int rc = wants ? gather(h, b, index, n, wants, &m) : -ENOMEM;

	if (rc < 0 || m == 0)
		return rc;
	for (uint32_t j = 0; j < m; j++)
		lade_pipe_asked(stage, b, wants[j].at);
	if (!stage->config->batch)
		rc = ask_each(h, b, wants, m);
	else
		rc = h->cache ? lade_http_step_ask_cache(h, b, wants, m)
			      : lade_http_step_ask_many(h, b, wants, m);
	return rc == -ESHUTDOWN ? -ECANCELED : rc;
}

/* Opening */

static int config_fail(struct lade_pipe_stage *stage, const char *what, const char *reason)
{
	return lade_pipe_fail(stage->engine, LADE_EXIT_FAILED, "step %s: %s: %s",
			      stage->config->name, what, reason);
}

static int open_url(struct lade_http_step *h, struct lade_pipe_shape *in)
{
	const struct lade_pipe_step *c = h->stage->config;
	const char *address = c->post ? c->post : c->get;
	struct lade_json_error error;
	int rc = lade_pipe_url_parse(address, strlen(address), in->paths, &h->url, &error);

	/* The holes are asked for once more, so that the shape knows their names. */
	for (unsigned p = 0; rc == 0 && p < h->url.n; p++) {
		struct lade_pipe_url_part *part = &h->url.parts[p];

		if (!part->text && part->ref.kind == LADE_REF_PATH) {
			struct lade_want want = part->ref.want;

			rc = lade_pipe_shape_ask(in, part->ref.name, part->ref.name_len,
						 &part->ref, &error);
			part->ref.want = want;
		}
	}
	return rc < 0 ? config_fail(h->stage, address, error.reason) : 0;
}

static int open_post(struct lade_http_step *h, struct lade_pipe_shape *in)
{
	const struct lade_pipe_step *c = h->stage->config;
	const char *body = c->body ? c->body : BODY_DEFAULT;
	struct lade_json_error error;
	int rc = lade_pipe_shape_ask(in, body, strlen(body), &h->body, &error);

	if (rc < 0)
		return config_fail(h->stage, body, error.reason);
	if (!c->batch)
		return 0;
	h->many.url = c->post;
	rc = lade_pipe_many_open(&h->many, &h->caller, c->match, &error);
	return rc == -EINVAL ? config_fail(h->stage, c->match, error.reason) : rc;
}

static int open_cache(struct lade_http_step *h)
{
	const struct lade_pipe_step *c = h->stage->config;
	const struct lade_cache_config config = {
		.load = c->batch ? NULL : load_one,
		.load_many = c->batch ? lade_http_step_load_many : NULL,
		.arg = h,
		.drop = free,
		.max_bytes = (size_t)c->cache.bytes_max,
		.ttl = lade_ns(c->cache.ttl_ns),
		.stale_while_revalidate = lade_ns(c->cache.stale_ns),
		/* Every try has its own time-out, and pauses are short. What else a load takes is
		 * waiting for its turn behind others, which says nothing against the service. */
		.load_timeout = lade_ns(INT64_MAX),
		.max_loads = 100000,
		.max_flights = 1000000,
		.max_waiters = 1000000,
	};

	return c->post && !c->cache.on
		       ? 0
		       : lade_cache_new(h->stage->engine->scope, &config, &h->cache);
}

static int http_open(struct lade_pipe_stage *stage, struct lade_pipe_shape *in)
{
	struct lade_http_step *h = calloc(1, sizeof(*h));
	struct lade_json_error error;
	int rc;

	if (!h)
		return -ENOMEM;
	stage->self = h;
	stage->out = in;
	stage->remote = true;
	h->stage = stage;
	rc = lade_pipe_caller_open(&h->caller, stage);
	if (rc == 0)
		rc = open_url(h, in);
	if (rc == 0 && stage->config->post)
		rc = open_post(h, in);
	if (rc == 0 && lade_pipe_shape_get(in, stage->config->into, NULL, &h->slot, &error) < 0)
		rc = config_fail(stage, stage->config->into, error.reason);
	return rc == 0 ? open_cache(h) : rc;
}

static void http_close(struct lade_pipe_stage *stage)
{
	struct lade_http_step *h = stage->self;

	if (!h)
		return;
	lade_cache_close(h->cache, true);
	lade_pipe_many_close(&h->many);
	lade_pipe_caller_close(&h->caller);
	free(h);
	stage->self = NULL;
}

const struct lade_pipe_step_ops lade_pipe_http = { http_open, http_process, http_close };
