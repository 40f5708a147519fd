/* SPDX-License-Identifier: MIT */
/* step_http.c - enrichment over HTTP: a GET per message, cached, shared, retried, timed out.
 *
 * DESIGN
 * Every request goes through a cache, also where none was asked for: then nothing is kept, but
 * messages that want the same address at the same time share one request. The key is the rendered
 * address, which is all that the service sees. The load retries, each try with its own time-out;
 * it belongs to the cache, so a batch that gives up does not lose what was paid for.
 *
 * What a reply means: 2xx is the value, 404 is "no row", 400, 413, 415 and 422 blame the message,
 * 408, 425, 429, 5xx and the network pass, everything else is for a person.
 *
 * LIMITS  `concurrency` requests at once over all batches; a reply of 16 MiB. */

#include "services/pipeline/engine.h"
#include "services/pipeline/url.h"

#include <lade/http.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define BACKOFF_FIRST_MS 50
#define RETRY_AFTER_MAX_NS INT64_C(5000000000)

struct http {
	struct lade_pipe_stage *stage;
	struct lade_pipe_url url;
	unsigned slot;			 /* where the answer goes */
	struct lade_cache *cache;
	struct lade_sem turns;		 /* requests at once */
	struct lade_json_reader *reader; /* checks replies; used without suspension */
	const char **headers;		 /* ends with NULL */
};

/* Why there is no value, as one number below any errno: it passes through the cache, and everyone
 * who shared the request says the same. The class is -EAGAIN, -EBADMSG or -EIO; the detail a
 * status, NOT_JSON, or FAILED plus an errno. */
#define FAULT_BASE 1000000
#define FAULT_CLASS 10000
#define NOT_JSON 0
#define FAILED 1000

static int fault(int class, int detail)
{
	return -(FAULT_BASE - class * FAULT_CLASS + detail);
}

static int fault_class(int rc)
{
	if (rc > -FAULT_BASE)
		return rc == -ETIME || rc == -EBUSY ? -EAGAIN : rc;
	return -((-rc - FAULT_BASE) / FAULT_CLASS);
}

static void fault_text(int rc, const char *url, char *ret, size_t room)
{
	int detail = rc > -FAULT_BASE ? FAILED - rc : (-rc - FAULT_BASE) % FAULT_CLASS;

	if (detail == NOT_JSON)
		snprintf(ret, room, "%s: the reply is not JSON", url);
	else if (detail < FAILED)
		snprintf(ret, room, "%s: status %d", url, detail);
	else if (detail == FAILED + ETIME)
		snprintf(ret, room, "%s: no reply within its timeout", url);
	else if (detail == FAILED + EMSGSIZE)
		snprintf(ret, room, "%s: the reply is longer than 16 MiB", url);
	else
		snprintf(ret, room, "%s: %s", url, strerror(detail - FAILED));
}

/* What is kept of a reply. */
struct fetched {
	bool missing; /* 404 */
	uint32_t len;
	char text[]; /* JSON, checked */
};

/* One address of a batch, and who wants it. */
struct wanted {
	const char *url;
	size_t len;
	int rc;
	struct lade_cached got;
};

/* What a status means.  0: a value. */
static int class_of(int status)
{
	if (status >= 200 && status < 300)
		return 0;
	switch (status) {
	case 404:
		return -ENOENT;
	case 400:
	case 413:
	case 415:
	case 422:
		return -EBADMSG;
	case 408:
	case 425:
	case 429:
		return -EAGAIN;
	default:
		return status >= 500 ? -EAGAIN : -EIO;
	}
}

static struct fetched *keep(struct http *h, const struct lade_http_reply *r, size_t *ret_bytes)
{
	size_t len = r->status == 404 ? 0 : r->body_len;
	struct fetched *f = malloc(sizeof(*f) + len + 1);

	(void)h;
	if (!f)
		return NULL;
	f->missing = r->status == 404;
	f->len = (uint32_t)len;
	if (len)
		memcpy(f->text, r->body, len);
	f->text[len] = 0;
	*ret_bytes = sizeof(*f) + len + 1;
	return f;
}

static int check_json(struct http *h, const struct lade_http_reply *r)
{
	struct lade_json_error error;
	int rc;

	if (r->body_len == 0)
		return 0;
	rc = lade_json_read(h->reader, NULL, r->body, r->body_len, LADE_JSON_ANY_ROOT, NULL,
			    &error);
	if (rc == -EBADMSG) {
		lade_pipe_trouble(h->stage->engine, h->stage->config->name, h->stage->trouble,
				  "the reply is not JSON: %s at byte %zu", error.reason, error.at);
		return -EAGAIN;
	}
	return rc;
}

/* One try.  Returns 0; -ENOENT; what class_of() says, and the detail. */
static int try_once(struct http *h, const char *url, struct lade_http_reply *reply, int *detail)
{
	const struct lade_http_request request = { .url = url, .headers = h->headers };
	struct lade_pipe_stage *s = h->stage;
	int rc;

	s->calls++;
	rc = lade_within(lade_ns(s->config->timeout_ns),
			 lade_http_fetch(s->engine->http, &request, reply));
	if (rc == -ECANCELED || rc == -ENOMEM)
		return rc;
	if (rc == 0 && class_of(reply->status) != -EAGAIN && class_of(reply->status) != -EIO)
		s->answers++;
	*detail = FAILED - rc;
	if (rc < 0) {
		lade_pipe_trouble(s->engine, s->config->name, s->trouble, "%s: %s", url,
				  rc == -ETIME ? "no reply within its timeout"
				  : rc == -EMSGSIZE ? "the reply is longer than 16 MiB"
				  : *reply->error ? reply->error
						  : strerror(-rc));
		return rc == -EINVAL ? -EIO : -EAGAIN;
	}
	rc = class_of(reply->status);
	*detail = rc == 0 ? NOT_JSON : reply->status;
	if (rc == 0)
		return check_json(h, reply);
	if (rc != -ENOENT)
		lade_pipe_trouble(s->engine, s->config->name, s->trouble, "%s: status %d", url,
				  reply->status);
	return rc;
}

static int pause_before_retry(const struct lade_http_reply *reply, int64_t attempt)
{
	struct lade_duration d = lade_ms(BACKOFF_FIRST_MS << (attempt < 6 ? attempt : 6));

	if (reply->retry_after_ns > 0 && reply->retry_after_ns < RETRY_AFTER_MAX_NS)
		d = lade_ns(reply->retry_after_ns);
	return lade_sleep(d);
}

static int load_reply(void *arg, const struct lade_cache_key *key, struct lade_cache_load *load)
{
	struct http *h = arg;
	const struct lade_pipe_step *c = h->stage->config;
	int rc = -EAGAIN, detail = NOT_JSON;

	for (int64_t attempt = 0; rc == -EAGAIN && attempt <= c->retries; attempt++) {
		struct lade_http_reply reply;

		rc = lade_sem_acquire(&h->turns, 1);
		if (rc < 0)
			return rc;
		rc = try_once(h, key->bytes, &reply, &detail);
		lade_sem_release(&h->turns, 1);
		if (rc == 0 || rc == -ENOENT) {
			load->value = keep(h, &reply, &load->bytes);
			load->ttl = lade_ns(!c->cache.on    ? 0
					    : rc == -ENOENT ? c->cache.negative_ttl_ns
							    : c->cache.ttl_ns);
			rc = load->value ? 0 : -ENOMEM;
		} else if (rc < 0) {
			h->stage->errors++;
		}
		lade_http_reply_done(&reply);
		if (rc == -EAGAIN && attempt < c->retries) {
			int slept = pause_before_retry(&reply, attempt);

			if (slept < 0)
				return slept;
		}
	}
	return rc == -EAGAIN || rc == -EBADMSG || rc == -EIO ? fault(rc, detail) : rc;
}

static int fetch_wanted(struct http *h, struct wanted *w)
{
	w->rc = lade_cache_get(h->cache, w->url, w->len + 1, &w->got);
	return w->rc == -ECANCELED ? w->rc : 0;
}
LADE_TASK_VOID(fetch_wanted, (struct http *, h), (struct wanted *, w))

/* A batch */

static int render(struct http *h, struct lade_pipe_batch *b, uint32_t at, const char **ret,
		  size_t *ret_len)
{
	struct lade_datum values[LADE_URL_HOLES_MAX];
	struct lade_json_error error;
	unsigned k = 0;
	int rc = 0;

	for (unsigned p = 0; rc == 0 && p < h->url.n; p++)
		if (!h->url.parts[p].text)
			rc = lade_pipe_message_value(&b->messages[at], b->shape,
						     &h->url.parts[p].ref, b->reader, &b->arena,
						     &values[k++], &error);
	if (rc == 0)
		rc = lade_pipe_url_render(&h->url, values, &b->arena, ret, ret_len, &error);
	if (rc == -EBADMSG || rc == -EMSGSIZE) {
		lade_pipe_reject(b, at, h->stage->config->name, "%s",
				 rc == -EMSGSIZE ? "its address is too long" : error.reason);
		return 1;
	}
	return rc;
}

/* A message and its address, to be sorted: equal addresses come together. */
struct want {
	const char *url;
	size_t len;
	uint32_t at;
	struct wanted *shared;
};

static int by_url(const void *a, const void *b)
{
	return strcmp(((const struct want *)a)->url, ((const struct want *)b)->url);
}

static int gather(struct http *h, struct lade_pipe_batch *b, const uint32_t *index, uint32_t n,
		  struct want *wants, uint32_t *ret_n)
{
	uint32_t m = 0;

	for (uint32_t j = 0; j < n; j++) {
		int rc = render(h, b, index[j], &wants[m].url, &wants[m].len);

		if (rc < 0)
			return rc;
		if (rc == 0)
			wants[m++].at = index[j];
	}
	qsort(wants, m, sizeof(*wants), by_url);
	*ret_n = m;
	return 0;
}

static int fetch_all(struct http *h, struct want *wants, uint32_t n, struct wanted *shared)
{
	uint32_t k = 0;
	int rc = 0;

	lade_scope(s, &rc, .policy = LADE_ALL) {
		for (uint32_t j = 0; rc == 0 && j < n; j++) {
			if (j == 0 || strcmp(wants[j].url, wants[j - 1].url) != 0) {
				shared[k] = (struct wanted){ .url = wants[j].url,
							     .len = wants[j].len,
							     .rc = -ECANCELED };
				rc = lade_spawn(&s, fetch_wanted_task(h, &shared[k]));
				k++;
			}
			wants[j].shared = &shared[k - 1];
		}
	}
	for (uint32_t j = 0; rc == 0 && j < k; j++)
		if (shared[j].rc == -ECANCELED || shared[j].rc == -ESHUTDOWN)
			rc = -ECANCELED;
	if (rc < 0)
		for (uint32_t j = 0; j < k; j++)
			lade_cache_release(&shared[j].got);
	return rc;
}

static int take_value(struct http *h, struct lade_pipe_batch *b, uint32_t at,
		      const struct fetched *f)
{
	const struct lade_pipe_step *c = h->stage->config;
	char *text;

	if (f->missing && c->on_missing == LADE_MISSING_REJECT) {
		lade_pipe_reject(b, at, c->name, "the service says 404");
		return 0;
	}
	if (f->missing || !f->len)
		return 0;
	text = lade_arena_copy(&b->arena, f->text, f->len);
	if (!text)
		return -ENOMEM;
	return lade_pipe_message_set(&b->messages[at], b->shape, h->slot,
				     lade_datum_json(text, f->len), &b->arena);
}

/* A message whose request failed: what on_error says. */
static int take_failure(struct http *h, struct lade_pipe_batch *b, uint32_t at,
			const struct wanted *w)
{
	const struct lade_pipe_step *c = h->stage->config;
	int class = fault_class(w->rc);
	char text[256];

	fault_text(w->rc, w->url, text, sizeof(text));
	if (class == -ENOMEM)
		return class;
	if (class == -EIO && c->on_error == LADE_ERROR_RETRY) {
		snprintf(h->stage->trouble, sizeof(h->stage->trouble), "%s", text);
		return class;
	}
	if (class == -EBADMSG || c->on_error == LADE_ERROR_REJECT)
		lade_pipe_reject(b, at, c->name, "%s", text);
	else if (c->on_error == LADE_ERROR_RETRY)
		lade_pipe_retry(b, at, "%s", text);
	return 0;
}

static int http_process(struct lade_pipe_stage *stage, struct lade_pipe_batch *b,
			const uint32_t *index, uint32_t n)
{
	struct http *h = stage->self;
	struct want *wants = lade_arena_alloc(&b->arena, (n + 1) * sizeof(*wants));
	struct wanted *shared = lade_arena_alloc(&b->arena, (n + 1) * sizeof(*shared));
	uint32_t m = 0;
	int rc = wants && shared ? 0 : -ENOMEM;

	if (rc == 0)
		rc = gather(h, b, index, n, wants, &m);
	if (rc == 0)
		rc = fetch_all(h, wants, m, shared);
	if (rc < 0)
		return rc;
	stage->asked += m;
	for (uint32_t j = 0; j < m; j++) {
		struct wanted *w = wants[j].shared;
		int own = w->rc == 0 ? take_value(h, b, wants[j].at, w->got.value)
				     : take_failure(h, b, wants[j].at, w);

		if (own < 0)
			rc = own;
		if (w->rc == 0 && (j + 1 == m || wants[j + 1].shared != w))
			lade_cache_release(&w->got);
	}
	return rc;
}

/* Opening */

static int config_fail(struct lade_pipe_stage *stage, const char *what, const char *reason)
{
	return lade_pipe_fail(stage->engine, LADE_EXIT_FAILED, "step %s: %s: %s",
			      stage->config->name, what, reason);
}

static int open_url(struct http *h, struct lade_pipe_shape *in)
{
	const struct lade_pipe_step *c = h->stage->config;
	struct lade_json_error error;
	int rc = lade_pipe_url_parse(c->get, strlen(c->get), in->paths, &h->url, &error);

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
	if (rc == 0)
		rc = lade_pipe_shape_get(in, c->into, NULL, &h->slot, &error);
	return rc < 0 ? config_fail(h->stage, c->get, error.reason) : 0;
}

static int open_headers(struct http *h)
{
	const struct lade_pipe_map *map = &h->stage->config->keys;

	h->headers = calloc((size_t)map->n + 1, sizeof(*h->headers));
	if (!h->headers)
		return -ENOMEM;
	for (int i = 0; i < map->n; i++) {
		size_t len = strlen(map->at[i].name) + strlen(map->at[i].text) + 3;
		char *line = malloc(len);

		if (!line)
			return -ENOMEM;
		snprintf(line, len, "%s: %s", map->at[i].name, map->at[i].text);
		h->headers[i] = line;
	}
	return 0;
}

static int open_cache(struct http *h)
{
	const struct lade_pipe_step *c = h->stage->config;
	const struct lade_cache_config config = {
		.load = load_reply,
		.arg = h,
		.drop = free,
		.max_bytes = (size_t)c->cache.bytes_max,
		.ttl = lade_ns(c->cache.ttl_ns),
		.stale_while_revalidate = lade_ns(c->cache.stale_ns),
		/* Every try has its own time-out, and pauses are short. What else a load takes is
		 * waiting for its turn behind others, which says nothing against the service. */
		.load_timeout = lade_ns(INT64_MAX),
		.max_loads = 100000,
		.max_flights = 100000,
		.max_waiters = 1000000,
	};

	return lade_cache_new(h->stage->engine->scope, &config, &h->cache);
}

static int http_open(struct lade_pipe_stage *stage, struct lade_pipe_shape *in)
{
	struct lade_pipe_engine *e = stage->engine;
	struct http *h = calloc(1, sizeof(*h));
	int rc;

	if (!h)
		return -ENOMEM;
	stage->self = h;
	stage->out = in;
	stage->remote = true;
	h->stage = stage;
	lade_sem_init(&h->turns, (uint32_t)stage->config->concurrency);
	rc = lade_json_reader_new(&h->reader);
	if (rc == 0 && !e->http)
		rc = lade_http_new(&(struct lade_http_config){ .host_connections_max = 256 },
				   &e->http);
	if (rc == 0)
		rc = open_url(h, in);
	if (rc == 0)
		rc = open_headers(h);
	return rc == 0 ? open_cache(h) : rc;
}

static void http_close(struct lade_pipe_stage *stage)
{
	struct http *h = stage->self;

	if (!h)
		return;
	lade_cache_close(h->cache, true);
	for (size_t i = 0; h->headers && h->headers[i]; i++)
		free((void *)(uintptr_t)h->headers[i]);
	free(h->headers);
	lade_json_reader_free(h->reader);
	free(h);
	stage->self = NULL;
}

const struct lade_pipe_step_ops lade_pipe_http = { http_open, http_process, http_close };
