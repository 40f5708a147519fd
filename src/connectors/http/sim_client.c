/* SPDX-License-Identifier: MIT */
/* sim_client.c - the HTTP client's twin for the simulation: HTTP/1.1 on simulated connections.
 *
 * DESIGN
 * libcurl has sockets of its own, which no simulation sees. The twin stands at the connector's
 * interface: it takes the same request, gives the same errors and the same knowledge of how far
 * the exchange got, and in between speaks HTTP on a connection of lade. Latency, cut transfers,
 * resets, failures and what was paid for are therefore the simulation's, as for any other
 * connection, and each await of it is a point where the explorer can cancel.
 *
 * It differs in what nobody should rely on: each request has a connection of its own, and https is
 * spoken without its TLS. The real client is tested on real sockets, with a proxy that cuts.
 *
 * LIMITS  HEAD_MAX bytes of a reply's head; the client's limits on connections are not applied. */

#include "connectors/http/http_priv.h"

#include <lade/io.h>
#include <lade/time.h>

#include "base/alloc.h"
#include "base/buf.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define HEAD_MAX 16384
#define REQUEST_MAX ((size_t)64 << 20)
#define BODY_ROOM 4096

/* A reply that is being read. */
struct incoming {
	int fd;
	char bytes[HEAD_MAX + 1]; /* read and not yet used */
	size_t len;		  /* of them */
	int64_t left;		  /* bytes of the body to come; -1: until the connection ends */
	bool chunked;		  /* the body comes in chunks */
	char location[1024];	  /* of a redirect, or "" */
	size_t body_max, room;	  /* bytes of the body: limit, allocated */
};

/* Where a request goes. */
struct place {
	char host_port[300];
	char host[280]; /* as the Host header has it */
	char *path;	/* with the query; owned */
};

static int fail(struct lade_http_reply *reply, int rc, const char *what)
{
	if (rc != -ECANCELED)
		snprintf(reply->error, sizeof(reply->error), "%s", what);
	return rc;
}

/* Whatever breaks a connection is a reset to the caller, as it is with libcurl. */
static int broken(struct lade_http_reply *reply, int rc)
{
	return rc == -ECANCELED || rc == -ENOMEM ? rc
						 : fail(reply, -ECONNRESET, "the connection broke");
}

/* Where to */

static int take_parts(CURLU *u, struct place *ret)
{
	char *host = NULL, *port = NULL, *path = NULL, *query = NULL;
	int rc = -EINVAL;

	if (curl_url_get(u, CURLUPART_HOST, &host, 0) == CURLUE_OK &&
	    curl_url_get(u, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) == CURLUE_OK &&
	    curl_url_get(u, CURLUPART_PATH, &path, 0) == CURLUE_OK && strlen(host) < 256) {
		(void)curl_url_get(u, CURLUPART_QUERY, &query, 0);
		snprintf(ret->host_port, sizeof(ret->host_port), "%s:%s", host, port);
		snprintf(ret->host, sizeof(ret->host), "%s%s%s", host,
			 strcmp(port, "80") == 0 || strcmp(port, "443") == 0 ? "" : ":",
			 strcmp(port, "80") == 0 || strcmp(port, "443") == 0 ? "" : port);
		rc = asprintf(&ret->path, "%s%s%s", path, query ? "?" : "", query ? query : "");
		rc = rc < 0 ? -ENOMEM : 0;
	}
	curl_free(host);
	curl_free(port);
	curl_free(path);
	curl_free(query);
	return rc;
}

static int find_place(const char *url, struct place *ret)
{
	CURLU *u = curl_url();
	int rc = u ? -EINVAL : -ENOMEM;

	if (u && (strncasecmp(url, "http://", 7) == 0 || strncasecmp(url, "https://", 8) == 0) &&
	    curl_url_set(u, CURLUPART_URL, url, 0) == CURLUE_OK)
		rc = take_parts(u, ret);
	curl_url_cleanup(u);
	return rc;
}

/* The address of a redirect, seen from the one before; owned by the caller, or NULL. */
static char *follow(const char *url, const char *location)
{
	CURLU *u = curl_url();
	char *to = NULL, *copy;

	if (u && curl_url_set(u, CURLUPART_URL, url, 0) == CURLUE_OK &&
	    curl_url_set(u, CURLUPART_URL, location, 0) == CURLUE_OK)
		(void)curl_url_get(u, CURLUPART_URL, &to, 0);
	copy = to ? strdup(to) : NULL;
	curl_free(to);
	curl_url_cleanup(u);
	return copy;
}

/* Sending */

static int write_request(struct lade_buf *out, const struct lade_http_config *config,
			 const struct lade_http_request *request, const struct place *to)
{
	const char *method = request->method ? request->method : request->body ? "POST" : "GET";
	int rc = lade_buf_printf(out, "%s %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: %s\r\n", method,
				 to->path, to->host,
				 config->user_agent ? config->user_agent : "lade/" LADE_VERSION);

	for (const char *const *it = request->headers; rc == 0 && it && *it; it++)
		rc = lade_buf_printf(out, "%s\r\n", *it);
	if (rc == 0 && request->body)
		rc = lade_buf_printf(out, "Content-Length: %zu\r\n", request->body_len);
	if (rc == 0)
		rc = lade_buf_printf(out, "Accept: */*\r\nConnection: close\r\n\r\n");
	return rc == 0 && request->body
		       ? lade_buf_append(out, request->body, request->body_len)
		       : rc;
}

static int send_request(int fd, const struct lade_http_config *config,
			const struct lade_http_request *request, const struct place *to,
			struct lade_http_reply *reply, const char *site)
{
	struct lade_buf out;
	size_t done = 0;
	int rc;

	lade_buf_init(&out, REQUEST_MAX);
	rc = write_request(&out, config, request, to);
	if (rc == 0) {
		rc = lade_write_all_at(fd, lade_buf_bytes(&out), lade_buf_len(&out), &done, site);
		if (done)
			reply->exchange = LADE_SENT;
	}
	lade_buf_done(&out);
	return rc;
}

/* Receiving */

/* Reads more.  Returns > 0; 0: the connection has ended; -EPROTO: there is no room; -errno. */
static int more(struct incoming *in, const char *site)
{
	int n;

	if (in->len == HEAD_MAX)
		return -EPROTO;
	n = lade_read_at(in->fd, in->bytes + in->len, HEAD_MAX - in->len, site);
	if (n > 0) {
		in->len += (size_t)n;
		in->bytes[in->len] = 0;
	}
	return n;
}

static void use(struct incoming *in, size_t n)
{
	in->len -= n;
	memmove(in->bytes, in->bytes + n, in->len + 1);
}

/* Takes a line without its end.  Returns 1; -ECONNRESET: the connection ended before; -errno. */
static int next_line(struct incoming *in, char ret[HEAD_MAX], const char *site)
{
	for (;;) {
		char *end = memchr(in->bytes, '\n', in->len);
		size_t len;
		int n;

		if (end) {
			len = (size_t)(end - in->bytes);
			memcpy(ret, in->bytes, len);
			ret[len && ret[len - 1] == '\r' ? len - 1 : len] = 0;
			use(in, len + 1);
			return 1;
		}
		n = more(in, site);
		if (n <= 0)
			return n < 0 ? n : -ECONNRESET;
	}
}

static void take_field(struct incoming *in, const char *line, struct lade_http_reply *reply)
{
	const char *value = strchr(line, ':');
	long long number;
	char *end;

	if (!value)
		return;
	value += 1 + strspn(value + 1, " \t");
	number = strtoll(value, &end, 10);
	if (strncasecmp(line, "Content-Length:", 15) == 0 && end != value && number >= 0)
		in->left = number;
	else if (strncasecmp(line, "Transfer-Encoding:", 18) == 0)
		in->chunked = strcasestr(value, "chunked");
	else if (strncasecmp(line, "Retry-After:", 12) == 0 && end != value && number > 0)
		reply->retry_after_ns = lade_s(number).ns;
	else if (strncasecmp(line, "Location:", 9) == 0)
		snprintf(in->location, sizeof(in->location), "%s", value);
}

/* Reads a status and its fields.  Returns 0 or -errno. */
static int read_head(struct incoming *in, struct lade_http_reply *reply, const char *site)
{
	char line[HEAD_MAX];
	int status, rc;

	do {
		rc = next_line(in, line, site);
		if (rc < 0)
			return rc;
		if (sscanf(line, "HTTP/1.%*1[01] %3d", &status) != 1)
			return -EPROTO;
		reply->exchange = LADE_ANSWERED;
		reply->status = status;
		in->left = -1;
		while ((rc = next_line(in, line, site)) > 0 && *line)
			take_field(in, line, reply);
	} while (rc > 0 && status >= 100 && status < 200);
	if (status == 204 || status == 304)
		in->left = 0;
	return rc < 0 ? rc : 0;
}

static int keep(struct incoming *in, struct lade_http_reply *reply, const char *bytes, size_t len)
{
	size_t need = reply->body_len + len + 1;

	if (reply->body_len + len > in->body_max)
		return -EMSGSIZE;
	if (need > in->room) {
		size_t room = need < BODY_ROOM ? BODY_ROOM : need * 2;
		char *body = lade_realloc(reply->body, room);

		if (!body)
			return -ENOMEM;
		reply->body = body;
		in->room = room;
	}
	memcpy(reply->body + reply->body_len, bytes, len);
	reply->body_len += len;
	reply->body[reply->body_len] = 0;
	return 0;
}

/* Reads in->left bytes, or all that come.  Returns 0 or -errno. */
static int read_plain(struct incoming *in, struct lade_http_reply *reply, const char *site)
{
	while (in->left != 0) {
		size_t n = in->len;
		int rc;

		if (in->left > 0 && (int64_t)n > in->left)
			n = (size_t)in->left;
		rc = keep(in, reply, in->bytes, n);
		if (rc < 0)
			return rc;
		use(in, n);
		in->left -= in->left > 0 ? (int64_t)n : 0;
		if (in->left == 0)
			break;
		rc = more(in, site);
		if (rc <= 0)
			return rc < 0 ? rc : in->left < 0 ? 0 : -ECONNRESET;
	}
	return keep(in, reply, "", 0);
}

static int read_chunks(struct incoming *in, struct lade_http_reply *reply, const char *site)
{
	char line[HEAD_MAX];
	int rc;

	for (;;) {
		rc = next_line(in, line, site);
		if (rc < 0)
			return rc;
		in->left = (int64_t)strtoull(line, NULL, 16);
		if (in->left < 0)
			return -EPROTO;
		if (in->left == 0)
			break;
		rc = read_plain(in, reply, site);
		if (rc == 0)
			rc = next_line(in, line, site);
		if (rc < 0)
			return rc;
	}
	/* The trailer, up to its empty line. */
	while ((rc = next_line(in, line, site)) > 0 && *line)
		;
	return rc < 0 ? rc : keep(in, reply, "", 0);
}

static int receive(struct incoming *in, struct lade_http_reply *reply, bool head_only,
		   const char *site)
{
	int rc = read_head(in, reply, site);

	if (rc == 0 && !head_only)
		rc = in->chunked ? read_chunks(in, reply, site) : read_plain(in, reply, site);
	if (rc == -EPROTO)
		return fail(reply, rc, "the reply is not HTTP");
	if (rc == -EMSGSIZE)
		return fail(reply, rc, "the body is longer than its limit");
	return rc < 0 ? broken(reply, rc) : 0;
}

/* An exchange */

static int connect_to(const struct place *to, struct lade_http_reply *reply, int *ret_fd,
		      const char *site)
{
	int rc = lade_connect_to_at(to->host_port, ret_fd, site);

	if (rc == 0 || rc == -ECANCELED || rc == -ENOMEM)
		return rc;
	if (rc == -ENOENT)
		return fail(reply, rc, "no such name");
	if (rc == -ETIMEDOUT)
		return fail(reply, rc, "the connection took too long");
	return fail(reply, rc == -EAGAIN ? rc : -ECONNREFUSED, "no connection");
}

/* One request and its reply, without following.  Returns 0 or -errno. */
static int ask_once(const struct lade_http_config *config, const struct lade_http_request *request,
		    const struct place *to, struct incoming *in, struct lade_http_reply *reply,
		    const char *site)
{
	bool head_only = request->method && strcmp(request->method, "HEAD") == 0;
	int rc = connect_to(to, reply, &in->fd, site);

	if (rc < 0)
		return rc;
	rc = send_request(in->fd, config, request, to, reply, site);
	if (rc == -EMSGSIZE)
		rc = fail(reply, rc, "the request is longer than 64 MiB");
	else
		rc = rc < 0 ? broken(reply, rc) : receive(in, reply, head_only, site);
	lade_close(in->fd);
	return rc;
}

static bool redirects(const struct lade_http_reply *reply, const struct incoming *in)
{
	return reply->status / 100 == 3 && reply->status != 304 && *in->location;
}

static int ask(const struct lade_http_config *config, struct lade_http_request request,
	       struct incoming *in, struct lade_http_reply *reply, const char *site)
{
	char *url = strdup(request.url);
	int rc = url ? 0 : -ENOMEM;

	for (int hops = 0; rc == 0; hops++) {
		struct place to = { .path = NULL };
		char *next = NULL;

		*in = (struct incoming){ .left = -1, .body_max = config->body_bytes_max };
		rc = find_place(url, &to);
		if (rc == -EINVAL)
			(void)fail(reply, rc, "the URL is none of http or https");
		if (rc == 0)
			rc = ask_once(config, &request, &to, in, reply, site);
		free(to.path);
		if (rc < 0 || !redirects(reply, in))
			break;
		if (hops == HTTP_REDIRECTS_MAX) {
			rc = fail(reply, -EPROTO, "too many redirects");
			break;
		}
		lade_http_reply_done(reply);
		next = follow(url, in->location);
		free(url);
		url = next;
		rc = url ? 0 : fail(reply, -EINVAL, "the redirect leads nowhere");
	}
	free(url);
	return rc;
}

int lade_http_sim_fetch(const struct lade_http_config *config,
			const struct lade_http_request *request, struct lade_http_reply *ret,
			const char *site)
{
	/* Not on the stack: it is larger than most frames. */
	struct incoming *in = lade_malloc(sizeof(*in));
	int rc = in ? ask(config, *request, in, ret, site) : -ENOMEM;

	lade_free(in);
	if (rc < 0)
		lade_http_reply_done(ret);
	return rc;
}
