/* SPDX-License-Identifier: MIT */
/* client.c - libcurl's multi interface on the loop.
 *
 * DESIGN
 * libcurl wants to be told when its sockets are ready and its timer is due; both come from the
 * back end and the timer heap. It is entered by one function, drive(), and only on the loop's own
 * stack: its TLS needs more than a task has. So a request is put into a list and the loop's next
 * timer phase hands it over; a cancel asks for its removal in the same way and stays PENDING until
 * then. Removing a transfer closes its connection, unless the reply was complete.
 *
 * Names are resolved by the runtime and handed over: libcurl's own resolver thread would be joined
 * when a transfer is removed, and a cancel would wait for DNS. Answers are kept for half a minute.
 *
 * LIMITS  in the configuration; 64 host names are remembered; at most five redirects, to http and
 * https only. */

#include "core/io_priv.h"

#include <lade/http.h>
#include <lade/io.h>
#include <lade/version.h>

#include "base/alloc.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#define NAMES_MAX 64
#define NAME_TTL_NS INT64_C(30000000000)
#define REDIRECTS_MAX 5L
#define CONNECT_TIMEOUT_S 30L
#define IDLE_HANDLES_MAX 64

struct watch;

/* One direction of a socket that libcurl watches. */
struct half {
	struct lade_io io;
	struct watch *watch;
	bool armed;  /* the back end has it */
	bool wanted; /* libcurl wants it */
};

/* A socket of libcurl's. */
struct watch {
	struct lade_http *http;
	int fd;
	bool removed; /* libcurl has forgotten it; freed when nothing uses it */
	int busy;     /* calls into libcurl on its behalf */
	struct half in, out;
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
	struct lade_loop *loop;
	CURLM *multi;
	struct lade_timer timer;   /* libcurl's */
	struct lade_timer kick;	   /* hands requests over in the next timer phase */
	struct lade_link incoming; /* transfers to add or remove */
	CURL *idle[IDLE_HANDLES_MAX]; /* handles to use again */
	uint32_t idle_count;
	uint32_t watches;	    /* sockets not yet freed */
	uint32_t transfers;	    /* requests under way */
	struct lade_op *freeing;    /* lade_http_free, waiting for the kernel to let go */
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
	char text[CURL_ERROR_SIZE];
};

static void drive(struct lade_http *h, int fd, int events);

/* Sockets */

static void watch_unref(struct watch *w)
{
	struct lade_http *h = w->http;

	if (!w->removed || w->busy || w->in.armed || w->out.armed)
		return;
	lade_free(w);
	if (--h->watches == 0 && h->freeing)
		lade_complete(h->freeing, 0);
}

static void half_arm(struct half *half, uint32_t events);

static void half_done(struct lade_op *op)
{
	struct half *half = LADE_CONTAINER(op, struct half, io.op);
	struct watch *w = half->watch;
	uint32_t events = half->io.events;

	half->armed = false;
	if (half->wanted && !w->removed) {
		w->busy++;
		drive(w->http, w->fd, events == POLLIN ? CURL_CSELECT_IN : CURL_CSELECT_OUT);
		w->busy--;
	}
	if (half->wanted && !w->removed)
		half_arm(half, events);
	watch_unref(w);
}

static void half_arm(struct half *half, uint32_t events)
{
	struct watch *w = half->watch;
	struct lade_loop *loop = w->http->loop;

	if (half->armed)
		return;
	half->io = (struct lade_io){ .op = { .what = "a socket of HTTP",
					     .site = "http",
					     .done = half_done,
					     .loop = loop },
				     .code = IO_POLL,
				     .fd = w->fd,
				     .events = events };
	/* Without memory the transfer stalls until its deadline, and no longer. */
	half->armed = loop->backend->start(loop, &half->io) == 0;
}

static void half_disarm(struct half *half)
{
	struct lade_loop *loop = half->watch->http->loop;

	half->wanted = false;
	if (half->armed && loop->backend->abort(loop, &half->io) == LADE_ABORTED)
		half->armed = false;
}

static void watch_remove(struct watch *w)
{
	w->removed = true;
	half_disarm(&w->in);
	half_disarm(&w->out);
	watch_unref(w);
}

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *user, void *socket_user)
{
	struct lade_http *h = user;
	struct watch *w = socket_user;

	(void)easy;
	if (what == CURL_POLL_REMOVE) {
		if (w)
			watch_remove(w);
		return 0;
	}
	if (!w) {
		w = lade_calloc(1, sizeof(*w));
		if (!w)
			return -1;
		w->http = h;
		w->fd = fd;
		w->in.watch = w->out.watch = w;
		h->watches++;
		curl_multi_assign(h->multi, fd, w);
	}
	w->in.wanted = what == CURL_POLL_IN || what == CURL_POLL_INOUT;
	w->out.wanted = what == CURL_POLL_OUT || what == CURL_POLL_INOUT;
	if (w->in.wanted)
		half_arm(&w->in, POLLIN);
	if (w->out.wanted)
		half_arm(&w->out, POLLOUT);
	return 0;
}

static void timer_due(struct lade_timer *timer)
{
	drive(LADE_CONTAINER(timer, struct lade_http, timer), CURL_SOCKET_TIMEOUT, 0);
}

static int on_timer(CURLM *multi, long timeout_ms, void *user)
{
	struct lade_http *h = user;

	(void)multi;
	lade_timer_stop(h->loop, &h->timer);
	if (timeout_ms >= 0)
		lade_timer_start(h->loop, &h->timer,
				 lade_instant_after((struct lade_instant){ h->loop->now_ns },
						    lade_ms(timeout_ms))
					 .mono_ns,
				 TIMER_OP, timer_due);
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
static void kicked(struct lade_timer *timer)
{
	struct lade_http *h = LADE_CONTAINER(timer, struct lade_http, kick);
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
	struct lade_http *h = t->http;

	if (!t->queued) {
		t->queued = true;
		lade_list_append(&h->incoming, &t->link);
	}
	if (!lade_timer_armed(&h->kick))
		lade_timer_start(h->loop, &h->kick, h->loop->now_ns, TIMER_OP, kicked);
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
	curl_easy_setopt(e, CURLOPT_FOLLOWLOCATION, 1L);
	curl_easy_setopt(e, CURLOPT_MAXREDIRS, REDIRECTS_MAX);
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
	if (!n || n->until_ns < h->loop->now_ns) {
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
		n->until_ns = h->loop->now_ns + NAME_TTL_NS;
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
	t->op = (struct lade_op){ .what = "an HTTP reply",
				  .site = site,
				  .abort = transfer_abort,
				  .loop = t->http->loop };
	kick(t);
	return lade_op_wait(&t->op);
}

int lade_http_fetch_at(struct lade_http *http, const struct lade_http_request *request,
		       struct lade_http_reply *ret, const char *site)
{
	struct transfer *t;
	int rc = lade_enter(site);

	*ret = (struct lade_http_reply){ .retry_after_ns = -1 };
	if (rc < 0)
		return rc;
	/* Not on the stack: libcurl's error buffer alone is larger than most frames. */
	t = lade_calloc(1, sizeof(*t));
	if (!t)
		return -ENOMEM;
	t->http = http;
	t->reply = ret;
	http->transfers++;
	rc = fetch(t, request, site);
	http->transfers--;
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

int lade_http_new(const struct lade_http_config *config, struct lade_http **ret)
{
	static atomic_bool initialised;
	struct lade_http *h;

	if (!atomic_exchange(&initialised, true) && curl_global_init(CURL_GLOBAL_ALL) != CURLE_OK)
		return -EIO;
	h = lade_calloc(1, sizeof(*h));
	if (!h)
		return -ENOMEM;
	h->config = *config;
	if (!h->config.connections_max)
		h->config.connections_max = 256;
	if (!h->config.host_connections_max)
		h->config.host_connections_max = 64;
	if (!h->config.body_bytes_max)
		h->config.body_bytes_max = (size_t)16 << 20;
	h->loop = lade_loop_here();
	lade_list_init(&h->incoming);
	h->multi = curl_multi_init();
	if (!h->multi) {
		lade_free(h);
		return -ENOMEM;
	}
	curl_multi_setopt(h->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
	curl_multi_setopt(h->multi, CURLMOPT_SOCKETDATA, h);
	curl_multi_setopt(h->multi, CURLMOPT_TIMERFUNCTION, on_timer);
	curl_multi_setopt(h->multi, CURLMOPT_TIMERDATA, h);
	curl_multi_setopt(h->multi, CURLMOPT_MAX_TOTAL_CONNECTIONS,
			  (long)h->config.connections_max);
	curl_multi_setopt(h->multi, CURLMOPT_MAX_HOST_CONNECTIONS,
			  (long)h->config.host_connections_max);
	*ret = h;
	return 0;
}

struct lade_http *lade_http_free(struct lade_http *http)
{
	struct lade_op op = { .what = "sockets of HTTP", .site = "lade_http_free" };

	if (!http)
		return NULL;
	for (uint32_t i = 0; i < http->idle_count; i++)
		curl_easy_cleanup(http->idle[i]);
	lade_timer_stop(http->loop, &http->kick);
	curl_multi_cleanup(http->multi);
	lade_timer_stop(http->loop, &http->timer);
	if (http->watches) {
		http->freeing = &op;
		(void)lade_op_wait(&op);
	}
	lade_free(http);
	return NULL;
}
