/* SPDX-License-Identifier: MIT */
/* client_test.c - the HTTP client against a server written on lade, on both back ends. */

#include <lade/http.h>
#include <lade/io.h>
#include <lade/join.h>

#include "backend.h"

#include <errno.h>
#include <sys/socket.h>

#define BODY_MAX 2000 /* the clients' limits */
#define HOST_CONNECTIONS_MAX 4

static int connections; /* that the server of the running test has taken */

static int redirects;   /* that it has answered with */

static bool asks(const char *head, const char *path)
{
	return strncmp(head + 4, path, strlen(path)) == 0; /* behind "GET " */
}

/* Writes the reply that the path asks for. */
static int answer(int fd, const char *head)
{
	bool busy = asks(head, "/busy"), half = asks(head, "/half");
	bool again = asks(head, "/again");
	int len = asks(head, "/full") ? BODY_MAX : asks(head, "/large") ? BODY_MAX + 1 : 5;
	char reply[BODY_MAX + 256];
	size_t done = 0;
	int n;

	redirects += again;
	n = snprintf(reply, sizeof(reply), "HTTP/1.1 %s\r\nContent-Length: %d\r\n%s\r\n",
		     busy ? "503 Busy" : again ? "302 Found" : "200 OK", half ? 2 * len : len,
		     busy ? "Retry-After: 3\r\n" : again ? "Location: /again\r\n" : "");
	n += snprintf(reply + n, sizeof(reply) - (size_t)n, "%-*s", len, "hello");
	return lade_write_all(fd, reply, (size_t)n, &done);
}

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
	char head[4096], *end;
	size_t len = 0;
	int rc = 0;

	while ((rc = lade_read(fd, head + len, sizeof(head) - 1 - len)) > 0) {
		len += (size_t)rc;
		head[len] = 0;
		end = strstr(head, "\r\n\r\n");
		if (!end)
			continue;
		if (asks(head, "/reset"))
			break;
		if (asks(head, "/late"))
			hold_the_core(lade_ms(60).ns);
		if (asks(head, "/slow") && lade_sleep(lade_ms(300)) < 0)
			break;
		rc = strncmp(head, "POST ", 5) == 0 ? take_upload(fd, head, len, end + 4)
						    : answer(fd, head);
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
		while ((rc = lade_accept(listener, &fd)) == 0) {
			connections++;
			if ((rc = lade_spawn(&s, serve_one_task(fd))) < 0)
				break;
		}
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

#define MANY 80 /* more than a client keeps idle handles for */

static void check_many(struct lade_http *http, int port)
{
	struct get_hello_task many[MANY];
	int rc = 0;

	for (int i = 0; i < MANY; i++)
		many[i] = get_hello_task(http, port);
	lade_scope(s, &rc) {
		for (int i = 0; i < MANY; i++)
			lade_start(&s, &many[i]);
	}
	CHECK_EQ(rc, 0);
	for (int i = 0; i < MANY; i++)
		CHECK_EQ(lade_value(&many[i]), 1);
}

/* What the running test asks the server. */
static void (*ask)(struct lade_http *http, int port);

static void ask_server(void)
{
	const struct lade_http_config limits = { .body_bytes_max = BODY_MAX,
						 .host_connections_max = HOST_CONNECTIONS_MAX };
	struct lade_http *http = NULL;
	struct serve_task server;
	int listener = -1, rc = 0, port;

	connections = 0;
	CHECK_EQ(lade_listen("127.0.0.1:0", &listener), 0);
	port = lade_local_port(listener);
	server = serve_task(listener);
	lade_scope(s, &rc) {
		lade_start_daemon(&s, &server);
		CHECK_EQ(lade_http_new(&limits, &http), 0);
		ask(http, port);
		http = lade_http_free(http);
	}
	CHECK_EQ(rc, 0);
	lade_close(listener);
}

/* ASKING - ASKING(name) { … }: a test with a client, http, and the port of a server. */
#define ASKING(name)                                                                               \
	static void name##_body(struct lade_http *http, int port);                                 \
	static void name(void)                                                                     \
	{                                                                                          \
		ask = name##_body;                                                                 \
		run_on(NULL, ask_server);                                                          \
	}                                                                                          \
	static void name##_body(struct lade_http *http, int port)

static int get_slow(struct lade_http *http, int port, struct lade_http_reply *ret)
{
	return get(http, port, "/slow", ret);
}
LADE_TASK_VOID(get_slow, (struct lade_http *, http), (int, port), (struct lade_http_reply *, ret))

/* A request is cancelled after so many turns: handed over or not, under way or not. */
static void cancel_after(struct lade_http *http, int port, int turns)
{
	struct lade_http_reply reply;
	struct get_slow_task t = get_slow_task(http, port, &reply);
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

ASKING(a_request_can_be_cancelled_at_any_turn)
{
	for (int i = 0; i < 60; i++)
		cancel_after(http, port, i * i / 8);
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

/* The reply is in the socket when the deadline fires, and is read before the request is removed. */
ASKING(a_reply_that_comes_behind_the_deadline_is_kept)
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

ASKING(a_cancelled_task_sends_nothing)
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
ASKING(a_body_that_no_buffer_holds_is_sent_whole)
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
ASKING(a_cancelled_task_closes_its_client)
{
	struct lade_http *second = NULL;
	struct free_client_task t;
	int rc = 0, good = 0;

	(void)http;
	CHECK_EQ(lade_http_new(&(struct lade_http_config){ 0 }, &second), 0);
	CHECK_EQ(get_hello(second, port, &good), 0);
	t = free_client_task(second);
	lade_scope(s, &rc, .policy = LADE_ALL) {
		lade_start(&s, &t);
		CHECK_EQ(lade_yield(), 0);
		lade_cancel(&t);
	}
	CHECK_EQ(lade_status(&t), 0);
}

ASKING(what_has_not_left_is_not_sent)
{
	struct lade_http_reply r;
	struct get_slow_task t = get_slow_task(http, port, &r);
	int rc = 0;

	CHECK_EQ(get(http, 1, "/", &r), -ECONNREFUSED);
	CHECK_EQ(r.exchange, LADE_NOT_SENT);
	CHECK_EQ(lade_http_fetch(http, &(struct lade_http_request){ .url = "gopher://x" }, &r),
		 -EINVAL);
	CHECK_EQ(r.exchange, LADE_NOT_SENT);
	/* Cancelled while it waits to be handed over, and before it has asked at all. */
	lade_scope(s, &rc, .policy = LADE_ALL) {
		lade_start(&s, &t);
		CHECK_EQ(lade_yield(), 0);
		lade_cancel(&t);
	}
	CHECK_EQ(lade_status(&t), -ECANCELED);
	CHECK_EQ(r.exchange, LADE_NOT_SENT);
	r.exchange = LADE_SENT;
	CHECK_EQ(lade_within(lade_ns(-1), get(http, port, "/hello", &r)), -ETIME);
	CHECK_EQ(r.exchange, LADE_NOT_SENT);
	CHECK_EQ(connections, 0);
}

ASKING(what_has_left_without_an_answer_is_sent)
{
	struct lade_http_reply r;

	CHECK_EQ(get(http, port, "/reset", &r), -ECONNRESET);
	CHECK_EQ(r.exchange, LADE_SENT);
	CHECK_EQ(r.status, 0);
	CHECK(*r.error);
	CHECK_EQ(lade_within(lade_ms(20), get(http, port, "/slow", &r)), -ETIME);
	CHECK_EQ(r.exchange, LADE_SENT);
	CHECK_EQ(r.status, 0);
}

ASKING(a_status_is_an_answer_whatever_it_is_and_whatever_follows)
{
	struct lade_http_reply r;

	CHECK_EQ(get(http, port, "/hello", &r), 0);
	CHECK_EQ(r.status, 200);
	CHECK_EQ(r.exchange, LADE_ANSWERED);
	CHECK_STR(r.body, "hello");
	lade_http_reply_done(&r);
	CHECK_EQ(get(http, port, "/busy", &r), 0);
	CHECK_EQ(r.status, 503);
	CHECK_EQ(r.exchange, LADE_ANSWERED);
	CHECK_EQ(r.retry_after_ns, lade_s(3).ns);
	lade_http_reply_done(&r);
	/* The body does not come, but the status did. */
	CHECK_EQ(lade_within(lade_ms(50), get(http, port, "/half", &r)), -ETIME);
	CHECK_EQ(r.status, 200);
	CHECK_EQ(r.exchange, LADE_ANSWERED);
	CHECK(!r.body);
}

ASKING(a_connection_is_used_again_after_a_whole_answer_and_only_then)
{
	struct lade_http_reply r;
	int good;

	CHECK_EQ(get_hello(http, port, &good), 0);
	CHECK_EQ(get_hello(http, port, &good), 0);
	CHECK_EQ(connections, 1);
	/* Sent and not answered. */
	CHECK_EQ(lade_within(lade_ms(20), get(http, port, "/slow", &r)), -ETIME);
	CHECK_EQ(connections, 1);
	CHECK_EQ(get_hello(http, port, &good), 0);
	CHECK_EQ(connections, 2);
	CHECK_EQ(get_hello(http, port, &good), 0);
	CHECK_EQ(connections, 2);
	/* Answered in part: what follows on it would be taken for the next answer. */
	CHECK_EQ(lade_within(lade_ms(50), get(http, port, "/half", &r)), -ETIME);
	CHECK_EQ(get_hello(http, port, &good), 0);
	CHECK_EQ(connections, 3);
	CHECK_EQ(good, 1);
}

ASKING(a_body_over_its_limit_is_emsgsize_and_not_kept)
{
	struct lade_http_reply r;
	int good;

	CHECK_EQ(get(http, port, "/large", &r), -EMSGSIZE);
	CHECK_EQ(r.exchange, LADE_ANSWERED);
	CHECK(!r.body);
	CHECK_EQ(get(http, port, "/full", &r), 0);
	CHECK_EQ(r.body_len, BODY_MAX);
	lade_http_reply_done(&r);
	CHECK_EQ(get_hello(http, port, &good), 0);
	CHECK_EQ(good, 1);
}

ASKING(many_requests_share_no_more_connections_than_one_host_may_have)
{
	check_many(http, port);
	CHECK(connections > 0 && connections <= HOST_CONNECTIONS_MAX);
}

ASKING(after_five_redirects_the_answer_is_an_error)
{
	struct lade_http_reply r;

	redirects = 0;
	CHECK_EQ(get(http, port, "/again", &r), -EPROTO);
	CHECK_EQ(redirects, 6);
	CHECK(*r.error);
}

/* Eighty ports of one host are eighty names, of which a client remembers 64. */
ASKING(a_client_forgets_the_oldest_names_and_frees_handles_beyond_its_limit)
{
	struct lade_http_reply r;
	char url[64];

	for (int i = 0; i < 82; i++) {
		int at = i == 0 || i == 81 ? port : i;

		snprintf(url, sizeof(url), "http://localhost:%d/hello", at);
		CHECK_EQ(lade_http_fetch(http, &(struct lade_http_request){ .url = url }, &r),
			 at == port ? 0 : -ECONNREFUSED);
		lade_http_reply_done(&r);
	}
	for (int i = 0; i < 3; i++)
		check_many(http, port);
}

/* A proxy that hands bytes on, and after so many cuts the connection. */
struct proxy {
	int listener, server_port;
	size_t of_request, of_reply; /* bytes that it lets through */
	bool hard;		     /* it resets; else the bytes end */
};

/* Hands on up to @max bytes, up to the empty line or, with @all, the end.  Returns 0: all have
 * gone; 1: it is to be cut; < 0. */
static int hand_on(int from, int to, size_t max, bool all)
{
	char bytes[4096];
	size_t seen = 0, done;
	int n, rc;

	while ((n = lade_read(from, bytes + seen, sizeof(bytes) - 1 - seen)) > 0) {
		size_t len = (size_t)n, left = max - seen, pass = len < left ? len : left;

		done = 0;
		rc = lade_write_all(to, bytes + seen, pass, &done);
		if (rc < 0 || pass < len)
			return rc < 0 ? rc : 1;
		seen += len;
		bytes[seen] = 0;
		if (!all && strstr(bytes, "\r\n\r\n"))
			return 0;
	}
	return n;
}

/* Closes a connection as it is, or with a reset. */
static void cut(int fd, bool hard)
{
	const struct linger at_once = { .l_onoff = 1 };

	if (hard)
		CHECK_EQ(setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once)), 0);
	lade_close(fd);
}

static int stand_between(struct proxy *p)
{
	char address[32];
	int fd, server, rc;

	snprintf(address, sizeof(address), "127.0.0.1:%d", p->server_port);
	while ((rc = lade_accept(p->listener, &fd)) == 0) {
		if (p->of_request > 0) {
			rc = lade_connect_to(address, &server);
			if (rc < 0)
				break;
			if (hand_on(fd, server, p->of_request, false) == 0)
				(void)hand_on(server, fd, p->of_reply, true);
			lade_close(server);
		}
		cut(fd, p->hard);
	}
	return rc;
}
LADE_TASK_VOID(stand_between, (struct proxy *, p))

#define WHOLE_REPLY 43 /* bytes of the reply to /hello */
#define STATUS_LINE 17 /* of them, the status with its end */

/* What comes of a request through a proxy that cuts. */
static void ask_through(struct lade_http *http, int port, struct proxy p,
			enum lade_exchange least, enum lade_exchange most, bool whole)
{
	struct stand_between_task between = stand_between_task(&p);
	struct lade_http_reply r;
	int rc = 0, good = 0;

	p.server_port = port;
	CHECK_EQ(lade_listen("127.0.0.1:0", &p.listener), 0);
	lade_scope(s, &rc) {
		lade_start_daemon(&s, &between);
		rc = lade_within(lade_s(5), get(http, lade_local_port(p.listener), "/hello", &r));
		CHECK_EQ(rc, whole ? 0 : -ECONNRESET);
		CHECK(r.exchange >= least && r.exchange <= most);
		CHECK_EQ(r.status, r.exchange == LADE_ANSWERED ? 200 : 0);
		CHECK(whole || !r.body);
		lade_http_reply_done(&r);
		/* The client goes on with others. */
		CHECK_EQ(get_hello(http, port, &good), 0);
		CHECK_EQ(good, 1);
		rc = 0;
	}
	lade_close(p.listener);
}

ASKING(a_connection_that_is_cut_before_or_within_the_request_is_a_reset)
{
	for (int hard = 0; hard < 2; hard++)
		for (size_t n = 0; n < 40; n += 13)
			ask_through(http, port,
				    (struct proxy){ .of_request = n, .hard = hard },
				    LADE_NOT_SENT, LADE_SENT, false);
}

/* A reset may overtake what came before it, so less may be known than was sent. */
ASKING(a_connection_that_is_cut_at_any_byte_of_the_reply_is_a_reset)
{
	for (int hard = 0; hard < 2; hard++) {
		for (size_t n = 0; n < WHOLE_REPLY; n++) {
			enum lade_exchange most = n < STATUS_LINE ? LADE_SENT : LADE_ANSWERED;

			ask_through(http, port,
				    (struct proxy){ .of_request = 4000,
						    .of_reply = n,
						    .hard = hard },
				    hard ? LADE_SENT : most, most, false);
		}
	}
	ask_through(http, port, (struct proxy){ .of_request = 4000, .of_reply = WHOLE_REPLY },
		    LADE_ANSWERED, LADE_ANSWERED, true);
}

/* A client whose task has no budget left when it is closed. */
struct closing {
	struct lade_http *http;
	int slept;
};

static void sleep_and_close(void *arg)
{
	struct closing *c = arg;

	c->slept = lade_sleep(lade_s(3600));
	c->http = lade_http_free(c->http);
}

static int closes_late(struct closing *c, int port)
{
	int good;
	lade_defer(sleep_and_close, c);

	return get_hello(c->http, port, &good) < 0 ? -EIO : lade_sleep(lade_s(3600));
}
LADE_TASK_VOID(closes_late, (struct closing *, c), (int, port))

ASKING(when_the_cleanup_budget_is_gone_a_client_still_closes)
{
	struct closing c = { 0 };
	struct closes_late_task t = closes_late_task(&c, port);
	int rc = 0;

	(void)http;
	CHECK_EQ(lade_http_new(&(struct lade_http_config){ 0 }, &c.http), 0);
	lade_scope(s, &rc, .policy = LADE_ALL, .cleanup = lade_ms(5)) {
		lade_start(&s, &t);
		CHECK_EQ(lade_within(lade_ms(50), lade_wait(&t)), -ETIME);
		lade_cancel(&t);
	}
	CHECK_EQ(lade_status(&t), -ECANCELED);
	CHECK_EQ(c.slept, -ECANCELED);
	CHECK(!c.http);
}

int main(void)
{
	TAP(a_request_can_be_cancelled_at_any_turn);
	TAP(a_reply_that_comes_behind_the_deadline_is_kept);
	TAP(a_cancelled_task_sends_nothing);
	TAP(a_body_that_no_buffer_holds_is_sent_whole);
	TAP(a_cancelled_task_closes_its_client);
	TAP(what_has_not_left_is_not_sent);
	TAP(what_has_left_without_an_answer_is_sent);
	TAP(a_status_is_an_answer_whatever_it_is_and_whatever_follows);
	TAP(a_connection_is_used_again_after_a_whole_answer_and_only_then);
	TAP(a_body_over_its_limit_is_emsgsize_and_not_kept);
	TAP(many_requests_share_no_more_connections_than_one_host_may_have);
	TAP(after_five_redirects_the_answer_is_an_error);
	TAP(a_client_forgets_the_oldest_names_and_frees_handles_beyond_its_limit);
	TAP(a_connection_that_is_cut_before_or_within_the_request_is_a_reset);
	TAP(a_connection_that_is_cut_at_any_byte_of_the_reply_is_a_reset);
	TAP(when_the_cleanup_budget_is_gone_a_client_still_closes);
	return tap_done();
}
