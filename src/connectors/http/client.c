/* SPDX-License-Identifier: MIT */
/* client.c - libcurl's multi interface on the loop.
 *
 * DESIGN
 * libcurl wants to be told when its sockets are ready and its timer is due: each socket is a
 * watch, the timer is an alarm. It is entered by one function, drive(), and only in callbacks, on
 * the loop's own stack: its TLS needs more than a task has. So a request is put into a list and an
 * alarm that is due at once hands it over; a cancel asks for its removal in the same way and stays
 * PENDING until then. Removing a transfer closes its connection, unless the reply was complete.
 *
 * Names are resolved by the runtime and handed over: libcurl's own resolver thread would be joined
 * when a transfer is removed, and a cancel would wait for DNS. Answers are kept for half a minute.
 *
 * A client that is made in a simulation has no libcurl behind it: its twin in sim_client.c does
 * what it would do, on the simulated connections.
 *
 * LIMITS  in the configuration; 64 host names are remembered; at most five redirects, to http and
 * https only. */

#include "connectors/http/http_priv.h"

#include <lade/blocking.h>
#include <lade/http.h>
#include <lade/io.h>
#include <lade/scope.h>
#include <lade/watch.h>

#include "base/alloc.h"
#include "base/list.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#define NAMES_MAX 64
#define NAME_TTL_NS INT64_C(30000000000)
#define CONNECT_TIMEOUT_S 30L
#define IDLE_HANDLES_MAX 64

/* A socket of libcurl's. */
struct socket {
	struct lade_http *http;
	struct lade_watch *watch;
	int fd;
};

/* What a host name stood for. */
struct name {
	char host[256];
	uint16_t port;
	int64_t until_ns;
	char resolve[768]; /* as CURLOPT_RESOLVE wants it */
};

struct lade_http {
	struct lade_http_config config;
	CURLM *multi;		      /* NULL: simulated, see sim_client.c */
	struct lade_alarm timer;      /* libcurl's */
	struct lade_alarm kick;	      /* hands requests over, or cleans up */
	struct lade_link incoming;    /* transfers to add or remove */
	CURL *idle[IDLE_HANDLES_MAX]; /* handles to use again */
	uint32_t idle_count;
	struct lade_op *freeing; /* lade_http_free, waiting for the clean-up */
	struct name names[NAMES_MAX];
	uint32_t next_name; /* the one to replace */
};

/* One request. */
struct transfer {
	struct lade_op op;
	struct lade_link link; /* in incoming while @queued */
	struct lade_http *http;
	CURL *easy;
	struct curl_slist *headers;
	struct curl_slist *resolve;
	struct lade_http_reply *reply;
	size_t room;	 /* bytes allocated for the body */
	bool queued;	 /* waits to be added or removed */
	bool added;	 /* the multi handle has it */
	bool cancelled;	 /* to be removed */
	bool too_long;	 /* the body passed its limit */
	bool no_memory;	 /* the body could not be kept */
	bool in_head;	 /* a status has come, and not yet the end of its fields */
	char text[CURL_ERROR_SIZE];
};

static void drive(struct lade_http *h, int fd, int events);

/* Sockets */

static void socket_ready(void *arg, unsigned events)
{
	struct socket *s = arg;
	int bits = (events & POLLIN ? CURL_CSELECT_IN : 0) |
		   (events & POLLOUT ? CURL_CSELECT_OUT : 0);

	/* It may free the socket. */
	drive(s->http, s->fd, bits ? bits : CURL_CSELECT_ERR);
}

static struct socket *socket_new(struct lade_http *h, int fd)
{
	struct socket *s = lade_calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->http = h;
	s->fd = fd;
	if (lade_watch_open(fd, socket_ready, s, &s->watch) < 0) {
		lade_free(s);
		return NULL;
	}
	curl_multi_assign(h->multi, fd, s);
	return s;
}

static void socket_free(struct socket *s)
{
	if (!s)
		return;
	lade_watch_close(s->watch);
	lade_free(s);
}

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *user, void *socket_user)
{
	struct socket *s = socket_user;

	(void)easy;
	if (what == CURL_POLL_REMOVE) {
		socket_free(s);
		return 0;
	}
	if (!s)
		s = socket_new(user, fd);
	/* Without memory the transfer stalls until its deadline; -1 would end all of them. */
	if (s)
		(void)lade_watch_set(s->watch, (what & CURL_POLL_IN ? POLLIN : 0u) |
						       (what & CURL_POLL_OUT ? POLLOUT : 0u));
	return 0;
}

static void timer_due(void *arg)
{
	drive(arg, CURL_SOCKET_TIMEOUT, 0);
}

static int on_timer(CURLM *multi, long timeout_ms, void *user)
{
	struct lade_http *h = user;

	(void)multi;
	lade_alarm_start(&h->timer, timeout_ms < 0 ? LADE_NEVER : lade_in(lade_ms(timeout_ms)));
	return 0;
}

/* The end of a transfer */

static int error_of(const struct transfer *t, CURLcode code)
{
	switch (code) {
	case CURLE_OK:
		return 0;
	case CURLE_URL_MALFORMAT:
	case CURLE_UNSUPPORTED_PROTOCOL:
		return -EINVAL;
	case CURLE_COULDNT_RESOLVE_HOST:
	case CURLE_COULDNT_RESOLVE_PROXY:
		return -ENOENT;
	case CURLE_COULDNT_CONNECT:
		return -ECONNREFUSED;
	case CURLE_OPERATION_TIMEDOUT:
		return -ETIMEDOUT;
	case CURLE_SEND_ERROR:
	case CURLE_RECV_ERROR:
	case CURLE_GOT_NOTHING:
	case CURLE_PARTIAL_FILE:
		return -ECONNRESET;
	case CURLE_OUT_OF_MEMORY:
		return -ENOMEM;
	case CURLE_WRITE_ERROR:
	case CURLE_FILESIZE_EXCEEDED:
		return t->no_memory ? -ENOMEM : -EMSGSIZE;
	default:
		return -EPROTO;
	}
}

static void note_exchange(struct transfer *t)
{
	long status = 0, sent = 0;

	curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status);
	curl_easy_getinfo(t->easy, CURLINFO_REQUEST_SIZE, &sent);
	t->reply->status = (int)status;
	t->reply->exchange = status ? LADE_ANSWERED : sent ? LADE_SENT : LADE_NOT_SENT;
}

static void note_retry_after(struct transfer *t)
{
	curl_off_t seconds = 0;

	if (curl_easy_getinfo(t->easy, CURLINFO_RETRY_AFTER, &seconds) == CURLE_OK && seconds > 0)
		t->reply->retry_after_ns = lade_s(seconds).ns;
}

static void remove_transfer(struct transfer *t)
{
	/* It may have ended between a cancel and the removal that the cancel asked for. */
	if (t->queued)
		lade_list_remove(&t->link);
	t->queued = false;
	note_exchange(t);
	note_retry_after(t);
	curl_multi_remove_handle(t->http->multi, t->easy);
	t->added = false;
}

static void take_finished(struct lade_http *h)
{
	CURLMsg *message;
	int left;

	while ((message = curl_multi_info_read(h->multi, &left))) {
		CURLcode code = message->data.result;
		struct transfer *t;
		int rc;

		if (message->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&t);
		remove_transfer(t);
		rc = t->too_long ? -EMSGSIZE : error_of(t, code);
		/* To libcurl a connection that ends among the fields is a reply without a body. */
		if (rc == 0 && t->in_head) {
			rc = -ECONNRESET;
			strcpy(t->text, "the connection ended within the head of the reply");
		}
		if (rc < 0)
			snprintf(t->reply->error, sizeof(t->reply->error), "%.159s",
				 *t->text ? t->text : curl_easy_strerror(code));
		lade_complete(&t->op, rc);
	}
}

/* Tells libcurl of an event.  The only way into it but for adding and removing. */
static void drive(struct lade_http *h, int fd, int events)
{
	int running;

	curl_multi_socket_action(h->multi, fd, events, &running);
	take_finished(h);
}

/* Hands over what tasks have asked for. */
static void kicked(void *arg)
{
	struct lade_http *h = arg;
	struct lade_link *it;

	while ((it = lade_list_pop(&h->incoming))) {
		struct transfer *t = LADE_CONTAINER(it, struct transfer, link);

		t->queued = false;
		if (t->cancelled) {
			remove_transfer(t);
			lade_complete(&t->op, -ECANCELED);
		} else if (curl_multi_add_handle(h->multi, t->easy) == CURLM_OK) {
			t->added = true;
		} else {
			lade_complete(&t->op, -ENOMEM);
		}
	}
}

static void kick(struct transfer *t)
{
	if (t->queued)
		return;
	t->queued = true;
	lade_list_append(&t->http->incoming, &t->link);
	lade_alarm_start(&t->http->kick, lade_now());
}

static enum lade_abort_result transfer_abort(struct lade_op *op)
{
	struct transfer *t = LADE_CONTAINER(op, struct transfer, op);

	if (t->queued && !t->added) {
		lade_list_remove(&t->link);
		t->queued = false;
		return LADE_ABORTED;
	}
	t->cancelled = true;
	kick(t);
	return LADE_PENDING;
}

/* A request */

static size_t on_body(char *bytes, size_t size, size_t count, void *user)
{
	struct transfer *t = user;
	struct lade_http_reply *r = t->reply;
	size_t len = size * count, need = r->body_len + len + 1;

	if (r->body_len + len > t->http->config.body_bytes_max) {
		t->too_long = true;
		return 0;
	}
	if (need > t->room) {
		size_t room = need < 512 ? 512 : need * 2;
		char *body = lade_realloc(r->body, room);

		if (!body) {
			t->no_memory = true;
			return 0;
		}
		r->body = body;
		t->room = room;
	}
	memcpy(r->body + r->body_len, bytes, len);
	r->body_len += len;
	r->body[r->body_len] = 0;
	return len;
}

/* A line of a reply's head, or of a trailer. */
static size_t on_field(char *bytes, size_t size, size_t count, void *user)
{
	struct transfer *t = user;
	size_t len = size * count;

	if (len > 5 && memcmp(bytes, "HTTP/", 5) == 0)
		t->in_head = true;
	else if (len && (*bytes == '\r' || *bytes == '\n'))
		t->in_head = false;
	return len;
}

static CURL *take_handle(struct lade_http *h)
{
	return h->idle_count ? h->idle[--h->idle_count] : curl_easy_init();
}

static void give_handle(struct lade_http *h, CURL *easy)
{
	if (h->idle_count == IDLE_HANDLES_MAX) {
		curl_easy_cleanup(easy);
		return;
	}
	curl_easy_reset(easy);
	h->idle[h->idle_count++] = easy;
}

static bool set_options(struct transfer *t, const struct lade_http_request *request)
{
	CURL *e = t->easy;
	bool good = true;

	for (const char *const *it = request->headers; it && *it; it++) {
		struct curl_slist *more = curl_slist_append(t->headers, *it);

		if (!more)
			return false;
		t->headers = more;
	}
	good = good && curl_easy_setopt(e, CURLOPT_URL, request->url) == CURLE_OK;
	curl_easy_setopt(e, CURLOPT_PRIVATE, t);
	curl_easy_setopt(e, CURLOPT_ERRORBUFFER, t->text);
	curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(e, CURLOPT_HTTPHEADER, t->headers);
	curl_easy_setopt(e, CURLOPT_RESOLVE, t->resolve);
	curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(e, CURLOPT_WRITEDATA, t);
	curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, on_field);
	curl_easy_setopt(e, CURLOPT_HEADERDATA, t);
	curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, 1L);
	curl_easy_setopt(e, CURLOPT_MAXREDIRS, (long)HTTP_REDIRECTS_MAX);
	curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT, CONNECT_TIMEOUT_S);
	curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(e, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
	good = good && curl_easy_setopt(e, CURLOPT_ACCEPT_ENCODING, "") == CURLE_OK;
	good = good && curl_easy_setopt(e, CURLOPT_USERAGENT,
					t->http->config.user_agent
						? t->http->config.user_agent
						: "lade/" LADE_VERSION) == CURLE_OK;
	if (request->body) {
		curl_easy_setopt(e, CURLOPT_POST, 1L);
		curl_easy_setopt(e, CURLOPT_POSTFIELDS, request->body);
		curl_easy_setopt(e, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body_len);
	}
	if (request->method)
		good = good && curl_easy_setopt(e, CURLOPT_CUSTOMREQUEST, request->method) ==
				       CURLE_OK;
	return good;
}

/* Names */

/* The host and port of a URL.  Returns false if there is none, or the host is a number. */
static bool host_of(const char *url, char host[256], uint16_t *ret_port)
{
	CURLU *u = curl_url();
	char *h = NULL, *p = NULL;
	struct in_addr v4;
	bool found;

	/* What is no web address is libcurl's to refuse. */
	found = strncasecmp(url, "http", 4) == 0 && u &&
		curl_url_set(u, CURLUPART_URL, url, 0) == CURLUE_OK &&
		curl_url_get(u, CURLUPART_HOST, &h, 0) == CURLUE_OK &&
		curl_url_get(u, CURLUPART_PORT, &p, CURLU_DEFAULT_PORT) == CURLUE_OK &&
		strlen(h) < 256 && *h != '[' && inet_pton(AF_INET, h, &v4) != 1;
	if (found) {
		strcpy(host, h);
		*ret_port = (uint16_t)strtoul(p, NULL, 10);
	}
	curl_free(h);
	curl_free(p);
	curl_url_cleanup(u);
	return found;
}

static struct name *find_name(struct lade_http *h, const char *host, uint16_t port)
{
	for (uint32_t i = 0; i < NAMES_MAX; i++)
		if (h->names[i].port == port && strcmp(h->names[i].host, host) == 0)
			return &h->names[i];
	return NULL;
}

static void write_resolve(struct name *n, const struct lade_addresses *found)
{
	size_t len = (size_t)snprintf(n->resolve, sizeof(n->resolve), "%s:%u:", n->host, n->port);

	for (uint32_t i = 0; i < found->count; i++) {
		const struct sockaddr *a = (const void *)found->list[i].bytes;
		const void *address = a->sa_family == AF_INET
					      ? (const void *)&((const struct sockaddr_in *)a)
							->sin_addr
					      : &((const struct sockaddr_in6 *)a)->sin6_addr;
		char text[INET6_ADDRSTRLEN];

		if (!inet_ntop(a->sa_family, address, text, sizeof(text)) ||
		    len + strlen(text) + 4 > sizeof(n->resolve))
			break;
		len += (size_t)snprintf(n->resolve + len, sizeof(n->resolve) - len,
					a->sa_family == AF_INET ? "%s%s" : "%s[%s]",
					i ? "," : "", text);
	}
}

/* Makes sure that libcurl need not look the host up. */
static int resolve_host(struct transfer *t, const char *url, const char *site)
{
	struct lade_http *h = t->http;
	struct lade_addresses found;
	char host[256];
	struct name *n;
	uint16_t port;
	int rc;

	if (!host_of(url, host, &port))
		return 0;
	n = find_name(h, host, port);
	if (!n || n->until_ns < lade_now().mono_ns) {
		rc = lade_resolve_at(host, port, &found, site);
		if (rc < 0) {
			if (rc != -ECANCELED)
				snprintf(t->reply->error, sizeof(t->reply->error),
					 "host %.100s: %.40s", host,
					 rc == -ENOENT ? "no such name" : strerror(-rc));
			return rc;
		}
		n = find_name(h, host, port);
		if (!n)
			n = &h->names[h->next_name++ % NAMES_MAX];
		strcpy(n->host, host);
		n->port = port;
		n->until_ns = lade_now().mono_ns + NAME_TTL_NS;
		write_resolve(n, &found);
	}
	t->resolve = curl_slist_append(NULL, n->resolve);
	return t->resolve ? 0 : -ENOMEM;
}

static int fetch(struct transfer *t, const struct lade_http_request *request, const char *site)
{
	int rc = resolve_host(t, request->url, site);

	if (rc < 0)
		return rc;
	t->easy = take_handle(t->http);
	if (!t->easy || !set_options(t, request))
		return -ENOMEM;
	t->op = (struct lade_op)LADE_OP("an HTTP reply");
	kick(t);
	return lade_park_at(&t->op, transfer_abort, site);
}

int lade_http_fetch_at(struct lade_http *http, const struct lade_http_request *request,
		       struct lade_http_reply *ret, const char *site)
{
	struct transfer *t;
	int rc;

	*ret = (struct lade_http_reply){ .retry_after_ns = -1 };
	if (lade_cancelled())
		return -ECANCELED;
	if (!http->multi)
		return lade_http_sim_fetch(&http->config, request, ret, site);
	/* Not on the stack: libcurl's error buffer alone is larger than most frames. */
	t = lade_calloc(1, sizeof(*t));
	if (!t)
		return -ENOMEM;
	t->http = http;
	t->reply = ret;
	rc = fetch(t, request, site);
	if (t->easy)
		give_handle(http, t->easy);
	curl_slist_free_all(t->headers);
	curl_slist_free_all(t->resolve);
	lade_free(t);
	if (rc < 0)
		lade_http_reply_done(ret);
	return rc;
}

void lade_http_reply_done(struct lade_http_reply *reply)
{
	lade_free(reply->body);
	reply->body = NULL;
	reply->body_len = 0;
}

/* The client */

static void set_defaults(struct lade_http_config *config)
{
	if (!config->connections_max)
		config->connections_max = 256;
	if (!config->host_connections_max)
		config->host_connections_max = 64;
	if (!config->body_bytes_max)
		config->body_bytes_max = (size_t)16 << 20;
}

static int open_multi(struct lade_http *h)
{
	static atomic_bool initialised;

	if (!atomic_exchange(&initialised, true) && curl_global_init(CURL_GLOBAL_ALL) != CURLE_OK)
		return -EIO;
	h->multi = curl_multi_init();
	if (!h->multi)
		return -ENOMEM;
	curl_multi_setopt(h->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
	curl_multi_setopt(h->multi, CURLMOPT_SOCKETDATA, h);
	curl_multi_setopt(h->multi, CURLMOPT_TIMERFUNCTION, on_timer);
	curl_multi_setopt(h->multi, CURLMOPT_TIMERDATA, h);
	curl_multi_setopt(h->multi, CURLMOPT_MAX_TOTAL_CONNECTIONS,
			  (long)h->config.connections_max);
	curl_multi_setopt(h->multi, CURLMOPT_MAX_HOST_CONNECTIONS,
			  (long)h->config.host_connections_max);
	return 0;
}

int lade_http_new(const struct lade_http_config *config, struct lade_http **ret)
{
	struct lade_http *h = lade_calloc(1, sizeof(*h));
	int rc;

	if (!h)
		return -ENOMEM;
	h->config = *config;
	set_defaults(&h->config);
	lade_list_init(&h->incoming);
	lade_alarm_init(&h->timer, timer_due, h);
	lade_alarm_init(&h->kick, kicked, h);
	rc = lade_simulated() ? 0 : open_multi(h);
	if (rc < 0)
		lade_free(h);
	else
		*ret = h;
	return rc;
}

static void clean_up(void *arg)
{
	struct lade_http *h = arg;

	for (uint32_t i = 0; i < h->idle_count; i++)
		curl_easy_cleanup(h->idle[i]);
	if (h->multi)
		curl_multi_cleanup(h->multi);
	lade_alarm_stop(&h->timer);
	lade_complete(h->freeing, 0);
}

struct lade_http *lade_http_free_at(struct lade_http *http, const char *site)
{
	struct lade_op op = LADE_OP("an HTTP client to close");

	if (!http)
		return NULL;
	http->freeing = &op;
	lade_alarm_stop(&http->kick);
	lade_alarm_init(&http->kick, clean_up, http);
	lade_alarm_start(&http->kick, lade_now());
	(void)!lade_park_at(&op, NULL, site);
	lade_free(http);
	return NULL;
}
