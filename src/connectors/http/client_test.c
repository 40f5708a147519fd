/* SPDX-License-Identifier: MIT */
/* client_test.c - the HTTP client against a server written on lade, on both back ends. */

#include <lade/http.h>
#include <lade/io.h>
#include <lade/join.h>

#include "backend.h"

#include <errno.h>

/* Takes the body whose head was read and says how long it was. */
static int take_upload(int fd, char *head, size_t len, const char *end)
{
	const char *field = strcasestr(head, "Content-Length: ");
	size_t want = field ? strtoul(field + 16, NULL, 10) : 0, got, done = 0;
	char bytes[4096], reply[128];
	int rc = 0;

	if (strcasestr(head, "Expect: 100"))
		rc = lade_write_all(fd, "HTTP/1.1 100 Continue\r\n\r\n", 25, &done);
	for (got = len - (size_t)(end - head); rc >= 0 && got < want; got += (size_t)rc) {
		rc = lade_read(fd, bytes, sizeof(bytes));
		if (rc == 0)
			return -ENODATA;
	}
	if (rc < 0)
		return rc;
	rc = snprintf(NULL, 0, "%zu", got);
	snprintf(reply, sizeof(reply), "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%zu", rc,
		 got);
	done = 0;
	return lade_write_all(fd, reply, strlen(reply), &done);
}

/* Keeps everybody else from running: the deadlines that pass meanwhile fire all at once. */
static void hold_the_core(int64_t ns)
{
	int64_t until_ns = lade_now().mono_ns + ns;

	while (lade_now().mono_ns < until_ns)
		;
}

/* Answers every request of a connection by what its path asks for. */
static int serve_one(int fd)
{
	char head[4096];
	size_t len = 0;
	int rc = 0;

	while ((rc = lade_read(fd, head + len, sizeof(head) - 1 - len)) > 0) {
		char reply[512], *end;
		const char *body = "hello";
		size_t done = 0;

		len += (size_t)rc;
		head[len] = 0;
		end = strstr(head, "\r\n\r\n");
		if (!end)
			continue;
		if (strncmp(head, "GET /reset", 10) == 0)
			break;
		if (strncmp(head, "POST /upload", 12) == 0) {
			rc = take_upload(fd, head, len, end + 4);
			if (rc < 0)
				break;
			len = 0;
			continue;
		}
		if (strncmp(head, "GET /late", 9) == 0)
			hold_the_core(lade_ms(60).ns);
		if (strncmp(head, "GET /slow", 9) == 0) {
			rc = lade_sleep(lade_ms(300));
			if (rc < 0)
				break;
		}
		snprintf(reply, sizeof(reply),
			 "HTTP/1.1 %s\r\nContent-Length: %zu\r\n%s\r\n%s",
			 strncmp(head, "GET /busy", 9) == 0 ? "503 Busy" : "200 OK", strlen(body),
			 strncmp(head, "GET /busy", 9) == 0 ? "Retry-After: 3\r\n" : "", body);
		rc = lade_write_all(fd, reply, strlen(reply), &done);
		if (rc < 0)
			break;
		len = 0;
	}
	lade_close(fd);
	return 0;
}
LADE_TASK_VOID_WITH(serve_one, (.drop_args = lade_close), (int, fd))

static int serve(int listener)
{
	int rc = 0, fd;

	lade_scope(s, &rc) {
		while ((rc = lade_accept(listener, &fd)) == 0)
			if ((rc = lade_spawn(&s, serve_one_task(fd))) < 0)
				break;
	}
	return rc;
}
LADE_TASK_VOID(serve, (int, listener))

static int get(struct lade_http *http, int port, const char *path, struct lade_http_reply *ret)
{
	char url[128];

	snprintf(url, sizeof(url), "http://127.0.0.1:%d%s", port, path);
	return lade_http_fetch(http, &(struct lade_http_request){ .url = url }, ret);
}

static int get_hello(struct lade_http *http, int port, int *ret)
{
	struct lade_http_reply r;
	int rc = get(http, port, "/hello", &r);

	if (rc < 0)
		return rc;
	*ret = r.status == 200 && strcmp(r.body, "hello") == 0;
	lade_http_reply_done(&r);
	return 0;
}
LADE_TASK(get_hello, int, (struct lade_http *, http), (int, port))

static void check_replies(struct lade_http *http, int port)
{
	struct lade_http_reply r;

	CHECK_EQ(get(http, port, "/hello", &r), 0);
	CHECK_EQ(r.status, 200);
	CHECK_EQ(r.exchange, LADE_ANSWERED);
	CHECK_STR(r.body, "hello");
	lade_http_reply_done(&r);
	CHECK_EQ(get(http, port, "/busy", &r), 0);
	CHECK_EQ(r.status, 503);
	CHECK_EQ(r.retry_after_ns, lade_s(3).ns);
	lade_http_reply_done(&r);
	CHECK_EQ(get(http, port, "/reset", &r), -ECONNRESET);
	CHECK_EQ(r.exchange, LADE_SENT);
	CHECK(*r.error);
	CHECK_EQ(lade_within(lade_ms(20), get(http, port, "/slow", &r)), -ETIME);
	CHECK_EQ(r.exchange, LADE_SENT);
	CHECK_EQ(get(http, port, "/hello", &r), 0);
	lade_http_reply_done(&r);
	CHECK_EQ(get(http, 1, "/", &r), -ECONNREFUSED);
	CHECK_EQ(r.exchange, LADE_NOT_SENT);
	CHECK_EQ(lade_http_fetch(http, &(struct lade_http_request){ .url = "gopher://x" }, &r),
		 -EINVAL);
}

static void check_many(struct lade_http *http, int port)
{
	struct get_hello_task many[40];
	int rc = 0;

	for (int i = 0; i < 40; i++)
		many[i] = get_hello_task(http, port);
	lade_scope(s, &rc) {
		for (int i = 0; i < 40; i++)
			lade_start(&s, &many[i]);
	}
	CHECK_EQ(rc, 0);
	for (int i = 0; i < 40; i++)
		CHECK_EQ(lade_value(&many[i]), 1);
}

static void check_replies_and_many(struct lade_http *http, int port)
{
	check_replies(http, port);
	check_many(http, port);
}

static int get_slow(struct lade_http *http, int port, struct lade_http_reply *ret)
{
	return get(http, port, "/slow", ret);
}
LADE_TASK(get_slow, struct lade_http_reply, (struct lade_http *, http), (int, port))

/* A request is cancelled after so many turns: handed over or not, under way or not. */
static void cancel_after(struct lade_http *http, int port, int turns)
{
	struct lade_http_reply reply;
	struct get_slow_task t = get_slow_task(http, port);
	int rc = 0;

	lade_scope(s, &rc, .policy = LADE_ALL) {
		lade_start(&s, &t);
		for (int i = 0; i < turns; i++)
			CHECK_EQ(lade_yield(), 0);
		lade_cancel(&t);
	}
	CHECK_EQ(lade_status(&t), -ECANCELED);
	/* The client goes on with others. */
	CHECK_EQ(get(http, port, "/hello", &reply), 0);
	CHECK_STR(reply.body, "hello");
	lade_http_reply_done(&reply);
}

static void check_cancels(struct lade_http *http, int port)
{
	for (int i = 0; i < 60; i++)
		cancel_after(http, port, i * i / 8);
}

/* The reply is in the socket when the deadline fires, and is read before the request is removed. */
static void check_reply_behind_the_deadline(struct lade_http *http, int port)
{
	struct lade_http_reply reply;
	int rc = lade_within(lade_ms(30), get(http, port, "/late", &reply));

	CHECK_EQ(rc, 0);
	if (rc == 0) {
		CHECK_STR(reply.body, "hello");
		lade_http_reply_done(&reply);
	}
	/* The client goes on with others. */
	CHECK_EQ(get(http, port, "/hello", &reply), 0);
	CHECK_STR(reply.body, "hello");
	lade_http_reply_done(&reply);
}

static int ask_when_cancelled(struct lade_http *http, int port, enum lade_exchange *ret)
{
	struct lade_http_reply reply;
	int rc;

	while (!lade_cancelled())
		if (lade_yield() < 0)
			break;
	rc = get(http, port, "/hello", &reply);
	*ret = reply.exchange;
	return rc == -ECANCELED ? 0 : -EIO;
}
LADE_TASK(ask_when_cancelled, enum lade_exchange, (struct lade_http *, http), (int, port))

static void check_cancelled_before(struct lade_http *http, int port)
{
	struct ask_when_cancelled_task t = ask_when_cancelled_task(http, port);
	int rc = 0;

	lade_scope(s, &rc, .policy = LADE_ALL) {
		lade_start(&s, &t);
		CHECK_EQ(lade_yield(), 0);
		lade_cancel(&t);
	}
	CHECK_EQ(lade_value(&t), LADE_NOT_SENT);
}

/* More than the sockets' buffers hold: sending waits, and the reply comes only then. */
static void check_upload(struct lade_http *http, int port)
{
	static char body[3 << 20];
	struct lade_http_reply reply;
	char url[128];

	memset(body, 'x', sizeof(body));
	snprintf(url, sizeof(url), "http://127.0.0.1:%d/upload", port);
	CHECK_EQ(lade_http_fetch(http, &(struct lade_http_request){ .url = url,
								     .body = body,
								     .body_len = sizeof(body) },
				 &reply),
		 0);
	CHECK_STR(reply.body, "3145728");
	lade_http_reply_done(&reply);
}

static int free_client(struct lade_http *http)
{
	while (!lade_cancelled())
		if (lade_yield() < 0)
			break;
	lade_http_free(http);
	return 0;
}
LADE_TASK_VOID(free_client, (struct lade_http *, http))

/* The connection that is kept is open when its client is closed. */
static void check_free_when_cancelled(struct lade_http *unused, int port)
{
	struct lade_http *http = NULL;
	struct free_client_task t;
	int rc = 0, good = 0;

	(void)unused;
	CHECK_EQ(lade_http_new(&(struct lade_http_config){ 0 }, &http), 0);
	CHECK_EQ(get_hello(http, port, &good), 0);
	t = free_client_task(http);
	lade_scope(s, &rc, .policy = LADE_ALL) {
		lade_start(&s, &t);
		CHECK_EQ(lade_yield(), 0);
		lade_cancel(&t);
	}
	CHECK_EQ(lade_status(&t), 0);
}

static void (*check)(struct lade_http *, int); /* the running test */

static void http_body(void)
{
	struct lade_http *http = NULL;
	struct serve_task server;
	int listener = -1, rc = 0, port;

	CHECK_EQ(lade_listen("127.0.0.1:0", &listener), 0);
	port = lade_local_port(listener);
	server = serve_task(listener);
	lade_scope(s, &rc) {
		lade_start_daemon(&s, &server);
		CHECK_EQ(lade_http_new(&(struct lade_http_config){ 0 }, &http), 0);
		check(http, port);
		http = lade_http_free(http);
	}
	CHECK_EQ(rc, 0);
	lade_close(listener);
}

#define HTTP_TEST(name, body)                                                                      \
	static void name(void)                                                                     \
	{                                                                                          \
		check = body;                                                                      \
		run_on(NULL, http_body);                                                           \
	}

HTTP_TEST(replies_resets_deadlines_and_many_at_once, check_replies_and_many)
HTTP_TEST(a_request_can_be_cancelled_at_any_turn, check_cancels)
HTTP_TEST(a_reply_that_comes_behind_the_deadline_is_kept, check_reply_behind_the_deadline)
HTTP_TEST(a_cancelled_task_sends_nothing, check_cancelled_before)
HTTP_TEST(a_body_that_no_buffer_holds_is_sent_whole, check_upload)
HTTP_TEST(a_cancelled_task_closes_its_client, check_free_when_cancelled)

int main(void)
{
	TAP(replies_resets_deadlines_and_many_at_once);
	TAP(a_request_can_be_cancelled_at_any_turn);
	TAP(a_reply_that_comes_behind_the_deadline_is_kept);
	TAP(a_cancelled_task_sends_nothing);
	TAP(a_body_that_no_buffer_holds_is_sent_whole);
	TAP(a_cancelled_task_closes_its_client);
	return tap_done();
}
