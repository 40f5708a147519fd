/* SPDX-License-Identifier: MIT */
/* http_call.c - one exchange with a service: tried again, timed out, named so that the service can
 * tell a second try from a second message.
 *
 * LIMITS  A reply of 16 MiB; a pause of 5 s before another try, also where a service asks for
 * more. */

#include "services/pipeline/http_call.h"
#include "services/pipeline/sha256.h"

#include <lade/blocking.h>
#include <lade/cache.h>

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define BACKOFF_FIRST_MS 50
#define RETRY_AFTER_MAX_NS INT64_C(5000000000)
#define TOPIC_MAX 60	/* bytes of a topic in a key; a longer one is hashed */

/* Faults */

/* One number below any errno. The class is -EAGAIN, -EBADMSG or -EIO; the detail a status,
 * NOT_JSON, NOT_RIGHT, or FAILED plus an errno. */
#define FAULT_BASE 1000000
#define FAULT_CLASS 10000
#define NOT_JSON 0
#define NOT_RIGHT 1
#define FAILED 1000

static int fault(int class, int detail)
{
	return -(FAULT_BASE - class * FAULT_CLASS + detail);
}

int lade_pipe_fault_class(int rc)
{
	if (rc > -FAULT_BASE)
		return rc == -ETIME || rc == -EBUSY ? -EAGAIN : rc;
	return -((-rc - FAULT_BASE) / FAULT_CLASS);
}

void lade_pipe_fault_text(int rc, const char *url, char *ret, size_t room)
{
	int detail = rc > -FAULT_BASE ? FAILED - rc : (-rc - FAULT_BASE) % FAULT_CLASS;

	if (detail == NOT_JSON)
		snprintf(ret, room, "%s: the reply is not JSON", url);
	else if (detail == NOT_RIGHT)
		snprintf(ret, room, "%s: the reply does not have the answers that were asked for",
			 url);
	else if (detail < FAILED)
		snprintf(ret, room, "%s: status %d", url, detail);
	else if (detail == FAILED + ETIME)
		snprintf(ret, room, "%s: no reply within its timeout", url);
	else if (detail == FAILED + EMSGSIZE)
		snprintf(ret, room, "%s: the reply is longer than 16 MiB", url);
	else
		snprintf(ret, room, "%s: %s", url, strerror(detail - FAILED));
}

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

/* One exchange */

/* A request on its way: the header of its own, and how it went. */
struct attempt {
	struct lade_pipe_caller *caller;
	const struct lade_pipe_request *request;
	struct lade_http_reply *reply;
	const char *headers[LADE_CALL_HEADERS_MAX + 2];
	char key[LADE_CALL_KEY_ROOM + 32];
	int detail;	/* of a fault */
	char *why;
};

static int look_at_json(struct lade_pipe_caller *c, const struct lade_http_reply *r, char *why)
{
	struct lade_json_error error;
	int rc;

	if (r->body_len == 0)
		return 0;
	rc = lade_json_read(c->reader, NULL, r->body, r->body_len, LADE_JSON_ANY_ROOT, NULL,
			    &error);
	if (rc != -EBADMSG)
		return rc;
	snprintf(why, LADE_CALL_WHY_ROOM, "the reply is not JSON: %s at byte %zu", error.reason,
		 error.at);
	return -EAGAIN;
}

/* A reply of 2xx: is it what was asked for? */
static int look(struct attempt *a)
{
	const struct lade_pipe_request *request = a->request;
	struct lade_pipe_stage *s = a->caller->stage;
	char why[LADE_CALL_WHY_ROOM] = "";
	int rc = request->look ? request->look(request->arg, a->reply, why)
			       : look_at_json(a->caller, a->reply, why);

	a->detail = request->look ? NOT_RIGHT : NOT_JSON;
	if (rc == -EAGAIN) {
		lade_pipe_trouble(s->engine, s->config->name, s->trouble, "%s: %s", request->url,
				  why);
		snprintf(a->why, LADE_CALL_WHY_ROOM, "%.200s: %.300s", request->url, why);
	}
	return rc;
}

static int no_reply(struct attempt *a, int rc)
{
	struct lade_pipe_stage *s = a->caller->stage;

	a->detail = FAILED - rc;
	lade_pipe_fault_text(fault(-EAGAIN, a->detail), a->request->url, a->why,
			     LADE_CALL_WHY_ROOM);
	lade_pipe_trouble(s->engine, s->config->name, s->trouble, "%s: %s", a->request->url,
			  rc == -ETIME ? "no reply within its timeout"
			  : rc == -EMSGSIZE ? "the reply is longer than 16 MiB"
			  : *a->reply->error ? a->reply->error
					     : strerror(-rc));
	return rc == -EINVAL ? -EIO : -EAGAIN;
}

/* One try.  Returns 0; -ENOENT; what class_of() says, with the detail and why. */
static int try_once(struct attempt *a)
{
	const struct lade_http_request request = {
		.url = a->request->url,
		.headers = a->headers,
		.method = a->request->body ? "POST" : NULL,
		.body = a->request->body,
		.body_len = a->request->body_len,
	};
	struct lade_pipe_stage *s = a->caller->stage;
	int rc;

	s->calls++;
	rc = lade_within(lade_ns(s->config->timeout_ns),
			 lade_http_fetch(s->engine->http, &request, a->reply));
	if (rc == -ECANCELED || rc == -ENOMEM)
		return rc;
	if (rc < 0)
		return no_reply(a, rc);
	rc = class_of(a->reply->status);
	s->answers += rc != -EAGAIN && rc != -EIO;
	if (rc == 0)
		return look(a);
	a->detail = a->reply->status;
	lade_pipe_fault_text(fault(rc, a->detail), a->request->url, a->why, LADE_CALL_WHY_ROOM);
	if (rc != -ENOENT)
		lade_pipe_trouble(s->engine, s->config->name, s->trouble, "%s: status %d",
				  a->request->url, a->reply->status);
	return rc;
}

static int pause_before_retry(const struct lade_http_reply *reply, int64_t attempt)
{
	struct lade_duration d = lade_ms(BACKOFF_FIRST_MS << (attempt < 6 ? attempt : 6));

	if (reply->retry_after_ns > 0 && reply->retry_after_ns < RETRY_AFTER_MAX_NS)
		d = lade_ns(reply->retry_after_ns);
	return lade_sleep(d);
}

/* One try in its turn. */
static int try_in_turn(struct attempt *a)
{
	int rc = lade_sem_acquire(&a->caller->turns, 1);

	if (rc < 0)
		return rc;
	rc = try_once(a);
	lade_sem_release(&a->caller->turns, 1);
	a->caller->stage->errors += rc < 0 && rc != -ENOENT;
	return rc;
}

static void set_headers(struct attempt *a)
{
	size_t n = 0;

	while ((a->headers[n] = a->caller->headers[n]))
		n++;
	if (!a->request->key)
		return;
	snprintf(a->key, sizeof(a->key), "Idempotency-Key: %s", a->request->key);
	a->headers[n] = a->key;
	a->headers[n + 1] = NULL;
}

int lade_pipe_call(struct lade_pipe_caller *caller, const struct lade_pipe_request *request,
		   struct lade_http_reply *reply, char why[LADE_CALL_WHY_ROOM])
{
	struct attempt a = { .caller = caller, .request = request, .reply = reply, .why = why };
	int64_t retries = caller->stage->config->retries;
	int rc = -EAGAIN;

	*reply = (struct lade_http_reply){ .retry_after_ns = -1 };
	*why = 0;
	set_headers(&a);
	for (int64_t attempt = 0; rc == -EAGAIN && attempt <= retries; attempt++) {
		lade_http_reply_done(reply);
		rc = try_in_turn(&a);
		if (rc == -EAGAIN && attempt < retries) {
			int slept = pause_before_retry(reply, attempt);

			if (slept < 0)
				return slept;
		}
	}
	return rc == -EAGAIN || rc == -EBADMSG || rc == -EIO ? fault(rc, a.detail) : rc;
}

struct lade_pipe_answer *lade_pipe_answer_new(const char *text, size_t len, size_t *ret_bytes)
{
	struct lade_pipe_answer *answer = malloc(sizeof(*answer) + len + 1);

	if (!answer)
		return NULL;
	*answer = (struct lade_pipe_answer){ .len = (uint32_t)len };
	if (len)
		memcpy(answer->text, text, len);
	answer->text[len] = 0;
	*ret_bytes = sizeof(*answer) + len + 1;
	return answer;
}

/* Keys */

/* 128 bits of the hash, in hexadecimal. */
static void put_hash(struct lade_sha256 *sha, char ret[33])
{
	unsigned char bytes[32];

	lade_sha256_end(sha, bytes);
	for (int i = 0; i < 16; i++)
		snprintf(ret + (size_t)(2 * i), 3, "%02x", bytes[i]);
}

/* A topic as a header can have it; one that would be long, as its hash. */
static void put_topic(const char *topic, char ret[TOPIC_MAX + 4])
{
	struct lade_sha256 sha;
	size_t n = 0;

	for (const char *p = topic; *p && n <= TOPIC_MAX; p++) {
		bool plain = (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') ||
			     (*p >= '0' && *p <= '9') || strchr("-._~/", *p);

		n += (size_t)snprintf(ret + n, TOPIC_MAX + 4 - n, plain ? "%c" : "%%%02X",
				      (unsigned char)*p);
	}
	if (n <= TOPIC_MAX)
		return;
	lade_sha256_init(&sha);
	lade_sha256_feed(&sha, topic, strlen(topic));
	put_hash(&sha, ret);
}

void lade_pipe_message_key(const struct lade_pipe_caller *caller,
			   const struct lade_pipe_message *m, char ret[LADE_CALL_KEY_ROOM])
{
	const struct lade_pipe_stage *s = caller->stage;
	char topic[TOPIC_MAX + 4] = "", run[24] = "", branch[24] = "";

	if (m->lane)
		put_topic(m->lane->topic, topic);
	if (caller->run)
		snprintf(run, sizeof(run), "@%" PRId64, caller->run);
	if (m->branch)
		snprintf(branch, sizeof(branch), ".%" PRIu64, m->branch);
	snprintf(ret, LADE_CALL_KEY_ROOM, "%s/%s%s/%" PRId64 "/%" PRId64 "%s%s%s",
		 s->engine->config->name, topic, run, m->lane ? m->lane->part : 0, m->offset,
		 branch, caller->first ? "" : ":", caller->first ? "" : s->config->name);
}

void lade_pipe_request_key(const struct lade_pipe_caller *caller,
			   const struct lade_cache_key *parts, size_t n,
			   char ret[LADE_CALL_KEY_ROOM])
{
	const struct lade_pipe_stage *s = caller->stage;
	struct lade_sha256 sha;
	char hash[33];

	lade_sha256_init(&sha);
	for (size_t i = 0; i < n; i++) {
		char len[24];

		snprintf(len, sizeof(len), "%zu:", parts[i].len);
		lade_sha256_feed(&sha, len, strlen(len));
		lade_sha256_feed(&sha, parts[i].bytes, parts[i].len);
	}
	for (size_t i = 0; caller->headers[i]; i++)
		lade_sha256_feed(&sha, caller->headers[i], strlen(caller->headers[i]) + 1);
	put_hash(&sha, hash);
	snprintf(ret, LADE_CALL_KEY_ROOM, "%s/%s/%s", s->engine->config->name, s->config->name,
		 hash);
}

/* Opening */

static int add_header(struct lade_pipe_caller *c, size_t at, const char *name, const char *value)
{
	size_t len = strlen(name) + strlen(value) + 3;
	char *line = malloc(len);

	if (!line)
		return -ENOMEM;
	snprintf(line, len, "%s: %s", name, value);
	c->headers[at] = line;
	return 0;
}

static int open_headers(struct lade_pipe_caller *c)
{
	const struct lade_pipe_map *map = &c->stage->config->keys;
	bool typed = !c->stage->config->post;
	size_t n = 0;
	int rc = 0;

	for (int i = 0; rc == 0 && i < map->n; i++) {
		typed = typed || strcasecmp(map->at[i].name, "content-type") == 0;
		rc = add_header(c, n++, map->at[i].name, map->at[i].text);
	}
	return rc == 0 && !typed ? add_header(c, n, "Content-Type", "application/json") : rc;
}

int lade_pipe_caller_open(struct lade_pipe_caller *c, struct lade_pipe_stage *stage)
{
	struct lade_pipe_engine *e = stage->engine;
	int rc;

	c->stage = stage;
	c->first = true;
	for (const struct lade_pipe_step *s = e->config->steps; s < stage->config; s++)
		c->first = c->first && !(s->kind == LADE_STEP_HTTP && s->post);
	if (lade_pipe_read_once(e->config))
		c->run = lade_wall_ns() / 1000;
	lade_sem_init(&c->turns, (uint32_t)stage->config->concurrency);
	rc = lade_json_reader_new(&c->reader);
	if (rc == 0 && !e->http)
		rc = lade_http_new(&(struct lade_http_config){ .host_connections_max = 256 },
				   &e->http);
	return rc == 0 ? open_headers(c) : rc;
}

void lade_pipe_caller_close(struct lade_pipe_caller *c)
{
	for (size_t i = 0; c->headers[i]; i++)
		free((void *)(uintptr_t)c->headers[i]);
	lade_json_reader_free(c->reader);
}
