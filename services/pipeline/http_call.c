/* SPDX-License-Identifier: MIT */
/* http_call.c - one exchange with a service: tried again, timed out, named so that the service can
 * tell a second try from a second message.
 *
 * DESIGN
 * A GET that is late may be made a second time: a race of two tasks, which the first to be settled
 * wins. Whatever is no answer counts for the circuit; what was not made for its sake is said to be
 * that, so that no message pays for it.
 *
 * LIMITS  A reply of 16 MiB; a pause of 5 s before another try, also where a service asks for
 * more; a second request for one in ten. */

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
#define HEDGE_ONE_IN 10	/* requests are made a second time */
#define HEDGES_FREE 10	/* and so many more */
#define TOPIC_MAX 60	/* bytes of a topic in a key; a longer one is hashed */

/* Faults */

/* One number below any errno. The class is -EAGAIN, -EBADMSG, -EIO or -EHOSTDOWN; the detail a
 * status, one of NOT_…, or FAILED plus an errno. */
#define FAULT_BASE 1000000
#define FAULT_CLASS 10000
#define NOT_JSON 0
#define NOT_RIGHT 1
#define NOT_EXPECTED 2
#define NOT_ASKED 3	/* the class is -EHOSTDOWN */
#define FAILED 1000

static int fault(int class, int detail)
{
	return -(FAULT_BASE - class * FAULT_CLASS + detail);
}

bool lade_pipe_is_failure(int class)
{
	return class == -EAGAIN || class == -EBADMSG || class == -EIO || class == -EHOSTDOWN;
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
	else if (detail == NOT_EXPECTED)
		snprintf(ret, room, "%s: the reply is not what `expect` asks for", url);
	else if (detail == NOT_ASKED)
		snprintf(ret, room, "%s: not asked, as the circuit is open", url);
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

int lade_pipe_expected(const struct lade_pipe_caller *c, const char *text, size_t len,
		       char why[LADE_CALL_WHY_ROOM])
{
	const char *path = c->stage->config->expect, *what = NULL;
	struct lade_json_span span = { 0, 0 };
	struct lade_json_error error;
	int rc = path && len ? lade_json_read(c->reader, c->expect, text, len, LADE_JSON_ANY_ROOT,
					      &span, &error) : 0;

	if (!path || rc < 0)
		return rc;
	if (span.len == 0)
		what = "no value";
	else if (span.len == 4 && memcmp(text + span.at, "null", 4) == 0)
		what = "null";
	else if (span.len == 5 && memcmp(text + span.at, "false", 5) == 0)
		what = "false";
	if (what)
		snprintf(why, LADE_CALL_WHY_ROOM, "the reply has %s at %.200s", what, path);
	return what ? -EAGAIN : 0;
}

static int look_at_json(struct attempt *a, char *why)
{
	const struct lade_http_reply *r = a->reply;
	struct lade_json_error error;
	int rc = 0;

	a->detail = NOT_JSON;
	if (r->body_len)
		rc = lade_json_read(a->caller->reader, NULL, r->body, r->body_len,
				    LADE_JSON_ANY_ROOT, NULL, &error);
	if (rc == -EBADMSG) {
		snprintf(why, LADE_CALL_WHY_ROOM, "the reply is not JSON: %s at byte %zu",
			 error.reason, error.at);
		return -EAGAIN;
	}
	if (rc < 0)
		return rc;
	a->detail = NOT_EXPECTED;
	return lade_pipe_expected(a->caller, r->body, r->body_len, why);
}

/* A reply of 2xx: is it what was asked for? */
static int look(struct attempt *a)
{
	const struct lade_pipe_request *request = a->request;
	struct lade_pipe_stage *s = a->caller->stage;
	char why[LADE_CALL_WHY_ROOM] = "";
	int rc;

	a->detail = NOT_RIGHT;
	rc = request->look ? request->look(request->arg, a->reply, why) : look_at_json(a, why);
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

	if (reply->retry_after_ns > 0)
		d = lade_ns(reply->retry_after_ns < RETRY_AFTER_MAX_NS ? reply->retry_after_ns
								       : RETRY_AFTER_MAX_NS);
	return lade_sleep(d);
}

/* A second request where the first is late */

/* Two requests for the same. */
struct pair {
	struct attempt *first;
	struct attempt second;
	struct lade_http_reply reply;	/* of the second */
	char why[LADE_CALL_WHY_ROOM];	/* the same */
	struct lade_event ended;	/* the first has ended */
	int rc[2];			/* how they have */
};

/* Whether a request is settled: then nobody waits for the other one. */
static int settled(int rc)
{
	return rc == -EAGAIN || rc == -ECANCELED || rc == -ENOMEM ? rc : 0;
}

static int ask_first(struct pair *p)
{
	p->rc[0] = try_once(p->first);
	lade_event_set(&p->ended);
	return settled(p->rc[0]);
}
LADE_TASK_VOID(ask_first, (struct pair *, p))

/* Only a turn that nobody wants is taken, and only for one request in ten: where all are late, to
 * ask twice makes it worse. */
static bool may_hedge(struct lade_pipe_caller *c)
{
	const struct lade_pipe_stage *s = c->stage;

	return s->hedges < HEDGES_FREE + (s->calls - s->hedges) / HEDGE_ONE_IN &&
	       lade_sem_try_acquire(&c->turns, 1) == 0;
}

static int ask_second(struct pair *p)
{
	struct lade_pipe_caller *c = p->first->caller;
	int rc = lade_within(lade_ns(c->stage->config->hedge_ns), lade_event_wait(&p->ended));

	if (rc != -ETIME)
		return rc < 0 ? rc : -EAGAIN;
	if (!may_hedge(c))
		return -EAGAIN;
	c->stage->hedges++;
	p->rc[1] = try_once(&p->second);
	lade_sem_release(&c->turns, 1);
	return settled(p->rc[1]);
}
LADE_TASK_VOID(ask_second, (struct pair *, p))

/* The second has won: its reply is the first's. */
static void take_second(struct pair *p)
{
	p->first->caller->stage->hedges_won++;
	p->first->detail = p->second.detail;
	memcpy(p->first->why, p->why, sizeof(p->why));
	lade_http_reply_done(p->first->reply);
	*p->first->reply = p->reply;
	p->reply = (struct lade_http_reply){ .retry_after_ns = -1 };
}

static int try_twice(struct attempt *a)
{
	struct pair p = { .first = a, .second = *a, .rc = { -ECANCELED, -ECANCELED } };
	struct ask_first_task first = ask_first_task(&p);
	struct ask_second_task second = ask_second_task(&p);
	int rc;

	p.second.reply = &p.reply;
	p.second.why = p.why;
	p.reply.retry_after_ns = -1;
	lade_event_init(&p.ended);
	rc = lade_race_ok(&first, &second);
	if (rc == 1)
		take_second(&p);
	lade_http_reply_done(&p.reply);
	if (rc < 0)
		return p.rc[0] == -EAGAIN ? -EAGAIN : rc;
	return p.rc[rc];
}

/* The circuit */

static int refuse(struct attempt *a)
{
	struct lade_pipe_stage *s = a->caller->stage;
	const int64_t left_ns = s->breaker.open_until_ns - lade_now().mono_ns;

	a->detail = NOT_ASKED;
	lade_pipe_fault_text(fault(-EHOSTDOWN, NOT_ASKED), a->request->url, a->why,
			     LADE_CALL_WHY_ROOM);
	snprintf(s->trouble, sizeof(s->trouble), "the circuit is open, tried again %s%.1f s: %s",
		 left_ns > 0 ? "in " : "now, ", (double)(left_ns > 0 ? left_ns : 0) / 1e9,
		 a->caller->broke);
	return -EHOSTDOWN;
}

/* Who is told, and by whose name: failures themselves are said under the step's own. */
static void say_opened(struct attempt *a)
{
	struct lade_pipe_caller *c = a->caller;
	struct lade_pipe_stage *s = c->stage;
	char who[96], text[256];

	snprintf(who, sizeof(who), "%s, circuit", s->config->name);
	snprintf(c->broke, sizeof(c->broke), "%s", a->why);
	lade_pipe_trouble(s->engine, who, text, "open after %" PRId64 " failures in a row, so for"
			  " %g s nothing is asked: %.150s", s->breaker.row,
			  (double)s->breaker.pause_ns / 1e9, c->broke);
}

static void tell_breaker(struct attempt *a, enum lade_pipe_pass pass, int rc)
{
	struct lade_pipe_breaker *b = &a->caller->stage->breaker;

	if (rc == -ECANCELED || rc == -ENOMEM)
		lade_pipe_breaker_gave_up(b, pass);
	else if (rc != -EAGAIN || a->detail == NOT_EXPECTED)
		lade_pipe_breaker_answered(b, pass);
	else if (lade_pipe_breaker_failed(b, pass, lade_now().mono_ns))
		say_opened(a);
}

/* One try in its turn. */
static int try_in_turn(struct attempt *a)
{
	struct lade_pipe_stage *s = a->caller->stage;
	int rc = lade_sem_acquire(&a->caller->turns, 1);
	enum lade_pipe_pass pass;

	if (rc < 0)
		return rc;
	pass = lade_pipe_breaker_ask(&s->breaker, lade_now().mono_ns);
	if (pass == LADE_PASS_NOT)
		rc = refuse(a);
	else
		rc = s->config->hedge_ns ? try_twice(a) : try_once(a);
	lade_sem_release(&a->caller->turns, 1);
	if (pass == LADE_PASS_NOT)
		return rc;
	s->errors += rc < 0 && rc != -ENOENT;
	tell_breaker(a, pass, rc);
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
	return lade_pipe_is_failure(rc) ? fault(rc, a.detail) : rc;
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

static int open_expect(struct lade_pipe_caller *c)
{
	const char *path = c->stage->config->expect;
	struct lade_json_error error;
	unsigned slot;

	if (!path)
		return 0;
	c->expect = lade_json_paths_new();
	return c->expect ? lade_json_paths_add(c->expect, path, strlen(path), &slot, &error)
			 : -ENOMEM;
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
	stage->breaker.failures_max = stage->config->breaker.failures_max;
	stage->breaker.pause_ns = stage->config->breaker.pause_ns;
	rc = lade_json_reader_new(&c->reader);
	if (rc == 0)
		rc = open_expect(c);
	if (rc == 0 && !e->http)
		rc = lade_http_new(&(struct lade_http_config){ .host_connections_max = 256 },
				   &e->http);
	return rc == 0 ? open_headers(c) : rc;
}

void lade_pipe_caller_close(struct lade_pipe_caller *c)
{
	for (size_t i = 0; c->headers[i]; i++)
		free((void *)(uintptr_t)c->headers[i]);
	lade_json_paths_free(c->expect);
	lade_json_reader_free(c->reader);
}
