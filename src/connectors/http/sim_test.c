/* SPDX-License-Identifier: MIT */
/* sim_test.c - the HTTP client's twin, and the services that answer it in a simulation. */

#include <lade/http.h>
#include <lade/http_sim.h>
#include <lade/io.h>
#include <lade/join.h>

#include "backend.h"

#include <errno.h>
#include <stdlib.h>

#define BODY_MAX 2000 /* the client's limit */

static const char table[] = "# who answers\n"
			    "http://service/\t404\t1\n"
			    "http://service/hello\t200\t5\thello\n"
			    "http://service/hello/busy\t503\t5\tlater\n"
			    "http://service/reset\treset\t5\n"
			    "http://service/never\tnever\n"
			    "http://service/half\thalf\t5\thello\n"
			    "http://service/drip\tdrip\t50\thello\n"
			    "http://service/each\teach\t5\t{\"a\": 1}\n"
			    "http://other:8080/hello\t200\t5\tfrom elsewhere\n";

static struct lade_http *http;
static struct lade_http_sim *services;

/* What the running test asks the services. */
static void (*ask)(void);

static void ask_services(void)
{
	const struct lade_http_config limits = { .body_bytes_max = BODY_MAX };
	int rc = 0;

	lade_scope(s, &rc) {
		CHECK_EQ(lade_http_sim_new(&s, table, &services, NULL), 0);
		CHECK_EQ(lade_http_new(&limits, &http), 0);
		ask();
		http = lade_http_free(http);
	}
	CHECK_EQ(rc, 0);
	services = lade_http_sim_free(services);
}

static void simulate(const char *seed, const char *settings, void (*function)(void))
{
	setenv("LADE_SEED", seed, 1);
	setenv("LADE_SIM", settings, 1);
	ask = function;
	run_on("sim", ask_services);
}

static int get(const char *url, struct lade_http_reply *ret)
{
	return lade_http_fetch(http, &(struct lade_http_request){ .url = url }, ret);
}

static void ask_all(void)
{
	struct lade_http_reply r;

	CHECK_EQ(get("http://service/hello", &r), 0);
	CHECK_EQ(r.status, 200);
	CHECK_EQ(r.exchange, LADE_ANSWERED);
	CHECK_STR(r.body, "hello");
	lade_http_reply_done(&r);
	CHECK_EQ(get("http://service/hello/busy?now", &r), 0);
	CHECK_EQ(r.status, 503);
	CHECK_STR(r.body, "later");
	lade_http_reply_done(&r);
	CHECK_EQ(get("http://other:8080/hello", &r), 0);
	CHECK_STR(r.body, "from elsewhere");
	lade_http_reply_done(&r);
	CHECK_EQ(get("http://service/nothing", &r), 0);
	CHECK_EQ(r.status, 404);
	CHECK_EQ(r.body_len, 0);
	lade_http_reply_done(&r);
	CHECK_EQ(get("http://nobody:8080/", &r), 0);
	CHECK_EQ(r.status, 404);
	lade_http_reply_done(&r);
	CHECK_EQ(lade_http_sim_requests(services), 5);
}

static void the_longest_address_that_fits_answers(void)
{
	for (int seed = 1; seed <= 20; seed++) {
		char text[8];

		snprintf(text, sizeof(text), "%d", seed);
		simulate(text, "cut=900", ask_all);
	}
}

static void check_array(const char *body, const char *answer)
{
	struct lade_http_reply r;

	CHECK_EQ(lade_http_fetch(http,
				 &(struct lade_http_request){ .url = "http://service/each",
							      .body = body,
							      .body_len = strlen(body) },
				 &r),
		 0);
	CHECK_STR(r.body, answer);
	lade_http_reply_done(&r);
}

static void ask_for_arrays(void)
{
	check_array("[]", "[]");
	check_array("[ ]", "[]");
	check_array("[1]", "[{\"a\": 1}]");
	check_array("[{\"x\": [1, 2], \"y\": 3}, \"a,\\\",]\"]", "[{\"a\": 1},{\"a\": 1}]");
	check_array("[[], [], {}]", "[{\"a\": 1},{\"a\": 1},{\"a\": 1}]");
}

static void an_array_has_an_answer_for_each_element(void)
{
	for (int seed = 1; seed <= 20; seed++) {
		char text[8];

		snprintf(text, sizeof(text), "%d", seed);
		simulate(text, "cut=900", ask_for_arrays);
	}
}

static void ask_in_vain(void)
{
	struct lade_http_reply r;

	CHECK_EQ(get("http://service:81/", &r), -ECONNREFUSED);
	CHECK_EQ(r.exchange, LADE_NOT_SENT);
	CHECK_EQ(get("gopher://service", &r), -EINVAL);
	CHECK_EQ(r.exchange, LADE_NOT_SENT);
	CHECK_EQ(get("http://service/reset", &r), -ECONNRESET);
	CHECK_EQ(r.exchange, LADE_SENT);
	CHECK_EQ(r.status, 0);
	CHECK(*r.error);
	CHECK_EQ(lade_within(lade_ms(100), get("http://service/never", &r)), -ETIME);
	CHECK_EQ(r.exchange, LADE_SENT);
	CHECK_EQ(get("http://service/half", &r), -ECONNRESET);
	CHECK_EQ(r.exchange, LADE_ANSWERED);
	CHECK_EQ(r.status, 200);
	CHECK(!r.body);
	/* Five bytes of 50 ms each. */
	CHECK_EQ(lade_within(lade_ms(120), get("http://service/drip", &r)), -ETIME);
	CHECK_EQ(r.exchange, LADE_ANSWERED);
	CHECK_EQ(lade_within(lade_ms(400), get("http://service/drip", &r)), 0);
	CHECK_STR(r.body, "hello");
	lade_http_reply_done(&r);
}

static void how_far_an_exchange_got_is_told_as_the_real_client_tells_it(void)
{
	simulate("1", "", ask_in_vain);
	simulate("2", "cut=0", ask_in_vain);
}

static void ask_without_names(void)
{
	struct lade_http_reply r;
	int rc = get("http://service/hello", &r);

	CHECK(rc == -ENOENT || rc == -EAGAIN);
	CHECK_EQ(r.exchange, LADE_NOT_SENT);
}

static void a_name_that_is_not_found_is_enoent(void)
{
	simulate("1", "no_name=1000", ask_without_names);
	simulate("2", "no_name=1000", ask_without_names);
}

static void post(void)
{
	static const char body[] = "five messages";
	const char *const headers[] = { "Content-Type: text/plain", NULL };
	struct lade_http_reply r;

	CHECK_EQ(lade_http_fetch(http,
				 &(struct lade_http_request){ .url = "http://service/hello",
							      .headers = headers,
							      .body = body,
							      .body_len = sizeof(body) - 1 },
				 &r),
		 0);
	CHECK_STR(r.body, "hello");
	lade_http_reply_done(&r);
}

static void post_too_much(void)
{
	const size_t len = ((size_t)64 << 20) + 1;
	char *body = malloc(len);
	struct lade_http_reply r;

	CHECK(body);
	memset(body, 'x', len);
	CHECK_EQ(lade_http_fetch(http,
				 &(struct lade_http_request){ .url = "http://service/hello",
							      .body = body,
							      .body_len = len },
				 &r),
		 -EMSGSIZE);
	CHECK_EQ(r.exchange, LADE_NOT_SENT);
	free(body);
}

static void a_request_of_more_than_64_mib_is_emsgsize(void)
{
	simulate("1", "", post_too_much);
}

static void ask_at_length(void)
{
	static char url[17000] = "http://service/hello?";
	struct lade_http_reply r;

	memset(url + strlen(url), 'x', 12000);
	CHECK_EQ(get(url, &r), 0);
	CHECK_STR(r.body, "hello");
	lade_http_reply_done(&r);
	memset(url + strlen(url), 'x', 4500);
	CHECK_EQ(get(url, &r), -ECONNRESET);
}

static void a_service_breaks_the_connection_at_a_head_over_its_limit(void)
{
	simulate("1", "", ask_at_length);
}

static void a_request_with_a_body_is_answered_when_all_of_it_has_come(void)
{
	simulate("1", "cut=1000", post);
}

/* A server of the test's own, that says what it is told to. */
static const char *says;
static int listener;

static int say_it(void)
{
	char head[2000];
	size_t done;
	int fd, rc;

	while ((rc = lade_accept(listener, &fd)) == 0) {
		rc = lade_read(fd, head, sizeof(head));
		done = 0;
		if (rc > 0)
			rc = lade_write_all(fd, says, strlen(says), &done);
		/* What is unread when it closes would reset the connection. */
		while (rc >= 0 && (rc = lade_read(fd, head, sizeof(head))) > 0)
			;
		lade_close(fd);
	}
	return rc;
}
LADE_TASK_VOID(say_it)

static int fetch_what_it_says(struct lade_http_reply *ret)
{
	struct say_it_task server = say_it_task();
	int rc = 0, got = 0;

	CHECK_EQ(lade_listen("127.0.0.1:99", &listener), 0);
	lade_scope(s, &rc) {
		lade_start_daemon(&s, &server);
		got = lade_within(lade_s(5), get("http://127.0.0.1:99/", ret));
	}
	lade_close(listener);
	return got;
}

static void hear_chunks(void)
{
	struct lade_http_reply r;

	says = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nRetry-After: 3\r\n"
	       "Transfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\nA: b\r\n\r\n";
	CHECK_EQ(fetch_what_it_says(&r), 0);
	CHECK_STR(r.body, "hello");
	CHECK_EQ(r.retry_after_ns, lade_s(3).ns);
	lade_http_reply_done(&r);
	says = "HTTP/1.1 204 No Content\r\n\r\n";
	CHECK_EQ(fetch_what_it_says(&r), 0);
	CHECK_EQ(r.status, 204);
	lade_http_reply_done(&r);
	says = "SSH-2.0-nobody\r\n\r\n";
	CHECK_EQ(fetch_what_it_says(&r), -EPROTO);
	says = "HTTP/1.1 200 OK\r\nContent-Length: 3000\r\n\r\n"
	       "123456789 123456789 123456789 123456789 123456789";
	CHECK_EQ(fetch_what_it_says(&r), -ETIME);
	CHECK_EQ(r.exchange, LADE_ANSWERED);
}

static void chunks_and_bodies_without_an_end_are_read_as_http_says(void)
{
	simulate("1", "cut=900", hear_chunks);
	simulate("2", "cut=0", hear_chunks);
}

static void hear_redirects(void)
{
	struct lade_http_reply r;

	says = "HTTP/1.1 302 Found\r\nLocation: /again\r\nContent-Length: 0\r\n\r\n";
	CHECK_EQ(fetch_what_it_says(&r), -EPROTO);
	CHECK(strstr(r.error, "redirects"));
	says = "HTTP/1.1 301 Moved\r\nLocation: http://service/hello\r\nContent-Length: 0\r\n\r\n";
	CHECK_EQ(fetch_what_it_says(&r), 0);
	CHECK_STR(r.body, "hello");
	lade_http_reply_done(&r);
}

static void redirects_are_followed_five_times(void)
{
	simulate("1", "", hear_redirects);
}

static void hear_too_much(void)
{
	static char text[BODY_MAX + 200];
	struct lade_http_reply r;
	int n = snprintf(text, sizeof(text), "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n",
			 BODY_MAX + 1);

	memset(text + n, 'x', BODY_MAX + 1);
	says = text;
	CHECK_EQ(fetch_what_it_says(&r), -EMSGSIZE);
	CHECK_EQ(r.exchange, LADE_ANSWERED);
	CHECK(!r.body);
}

static void a_body_over_its_limit_is_emsgsize(void)
{
	simulate("1", "", hear_too_much);
}

static void hear_a_long_head(void)
{
	static char text[20000];
	struct lade_http_reply r;

	memset(text, 'x', sizeof(text) - 1);
	memcpy(text, "HTTP/1.1 200 OK\r\nX: ", 20);
	says = text;
	CHECK_EQ(fetch_what_it_says(&r), -EPROTO);
}

static void a_head_over_its_limit_is_eproto(void)
{
	simulate("1", "", hear_a_long_head);
}

static void read_wrong_tables(void)
{
	static const char *const wrong[] = { "http://a/\n",	     "http://a/\t99\n",
					     "a/\t200\n",	     "http://a/\tsometimes\n",
					     "http://a/\t200\tsoon\n", "http://a:0/\t200\n" };
	struct lade_http_sim *sim = NULL;
	int rc = 0, line = 0;

	lade_scope(s, &rc) {
		for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
			char text[100];

			snprintf(text, sizeof(text), "# a table\n\n%s", wrong[i]);
			CHECK_EQ(lade_http_sim_new(&s, text, &sim, &line), -EINVAL);
			CHECK_EQ(line, 3);
		}
		CHECK_EQ(lade_http_sim_new(&s, "http://a/\t200\n", &sim, NULL), -EADDRINUSE);
	}
	CHECK(!sim);
}

static void a_wrong_line_of_a_table_is_named(void)
{
	simulate("1", "", read_wrong_tables);
}

static void open_many_ports(void)
{
	char text[20 * 40];
	struct lade_http_sim *sim = NULL;
	size_t len = 0;
	int rc = 0;

	for (int i = 0; i < 17; i++)
		len += (size_t)snprintf(text + len, sizeof(text) - len, "http://a:%d/\t200\n",
					1000 + i);
	lade_scope(s, &rc)
		CHECK_EQ(lade_http_sim_new(&s, text, &sim, NULL), -EMFILE);
	CHECK(!sim);
}

static void a_table_of_seventeen_ports_is_emfile(void)
{
	simulate("1", "", open_many_ports);
}

static void read_a_long_table(void)
{
	static char text[1025 * 20];
	struct lade_http_sim *sim = NULL;
	int rc = 0, line = 0;

	for (int i = 0; i < 1025; i++)
		strcat(text + i * 17, "http://a:9/\t200\n ");
	for (char *c = text; *c; c++)
		*c = *c == ' ' ? '\n' : *c;
	lade_scope(s, &rc)
		CHECK_EQ(lade_http_sim_new(&s, text, &sim, &line), -EINVAL);
	CHECK_EQ(line, 2 * 1024 + 1);
	CHECK(!sim);
}

static void a_table_has_1024_lines_at_most(void)
{
	simulate("1", "", read_a_long_table);
}

int main(void)
{
	TAP(the_longest_address_that_fits_answers);
	TAP(an_array_has_an_answer_for_each_element);
	TAP(how_far_an_exchange_got_is_told_as_the_real_client_tells_it);
	TAP(a_name_that_is_not_found_is_enoent);
	TAP(a_request_of_more_than_64_mib_is_emsgsize);
	TAP(a_service_breaks_the_connection_at_a_head_over_its_limit);
	TAP(a_request_with_a_body_is_answered_when_all_of_it_has_come);
	TAP(chunks_and_bodies_without_an_end_are_read_as_http_says);
	TAP(redirects_are_followed_five_times);
	TAP(a_body_over_its_limit_is_emsgsize);
	TAP(a_head_over_its_limit_is_eproto);
	TAP(a_wrong_line_of_a_table_is_named);
	TAP(a_table_of_seventeen_ports_is_emfile);
	TAP(a_table_has_1024_lines_at_most);
	return tap_done();
}
