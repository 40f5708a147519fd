/* SPDX-License-Identifier: MIT */
/* client_test.c - the HTTP client against a server written on lade, on both back ends. */

#include <lade/http.h>
#include <lade/io.h>
#include <lade/join.h>

#include "backend.h"

#include <errno.h>

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
		check_replies(http, port);
		check_many(http, port);
		http = lade_http_free(http);
	}
	CHECK_EQ(rc, 0);
	lade_close(listener);
}

static void replies_resets_deadlines_and_many_at_once(void)
{
	run_on(NULL, http_body);
}

int main(void)
{
	TAP(replies_resets_deadlines_and_many_at_once);
	return tap_done();
}
