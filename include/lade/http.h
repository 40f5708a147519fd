/* SPDX-License-Identifier: MIT */
#ifndef LADE_HTTP_H
#define LADE_HTTP_H

/* http.h - an HTTP client: libcurl, driven by the loop.
 *
 * Connections are kept and shared by all requests of a client. There is no time-out among the
 * options: put lade_within round the call. */

#include <stddef.h>
#include <stdint.h>

#include <lade/task.h>

LADE_API_BEGIN

struct lade_http;

/* Options; what is left out has its default. */
struct lade_http_config {
	uint32_t connections_max;      /* open at once; 0: 256 */
	uint32_t host_connections_max; /* of them to one host and port; 0: 64 */
	size_t body_bytes_max;	       /* a longer body is an error; 0: 16 MiB */
	const char *user_agent;	       /* 0: "lade/VERSION" */
};

/* How far an exchange with another process got. */
enum lade_exchange {
	LADE_NOT_SENT, /* the request has not left: it did not happen */
	LADE_SENT,     /* it has left, at least in part: it may have happened */
	LADE_ANSWERED  /* a reply's status has come */
};

/* A request. */
struct lade_http_request {
	const char *method;	    /* NULL: GET, or POST with a body */
	const char *url;	    /* http:// or https:// */
	const char *const *headers; /* "Name: value"; ends with NULL; may be NULL */
	const void *body;	    /* bytes, or NULL */
	size_t body_len;
};

/* A reply. */
struct lade_http_reply {
	int status;		     /* 200 and so on; 0: none came */
	enum lade_exchange exchange; /* how far it got, also on failure */
	char *body;		     /* with a NUL behind it; freed by lade_http_reply_done */
	size_t body_len;
	int64_t retry_after_ns; /* of a Retry-After header in seconds; -1: none */
	char error[160];	/* on failure: what happened, in words */
};

/* lade_http_new - a client for the running task's loop.
 *
 * Returns 0, -ENOMEM or -EIO.
 * Suspends: no.  Threads: inside a task only.  Owns: lade_http_free frees it. */
int lade_http_new(const struct lade_http_config *config, struct lade_http **ret);

/* lade_http_free - closes all connections; no request may be under way; NULL is allowed.
 *
 * Returns NULL.  Suspends: yes, and is not cut short by a cancel.  Threads: inside a task only. */
#define lade_http_free(...) lade_http_free_at(__VA_ARGS__, LADE_SITE)
struct lade_http *lade_http_free_at(struct lade_http *http, const char *site);

/* lade_http_fetch - sends a request and waits for the whole reply; at most five redirects.
 *
 * *ret is always filled in; its body only on success.
 * Returns 0: a reply, whatever its status; -ECANCELED: see ret->exchange for what is known; its
 * connection is not used again; -ENOENT: no such host; -ECONNREFUSED; -ECONNRESET; -ETIMEDOUT: the
 * peer's; -EMSGSIZE: the body is too long; -EPROTO: TLS or the protocol; -EINVAL: the URL;
 * another -errno.
 * Suspends: yes.  Threads: inside a task only.  Owns: lade_http_reply_done frees the body. */
#define lade_http_fetch(...) lade_http_fetch_at(__VA_ARGS__, LADE_SITE)
lade_suspends int lade_http_fetch_at(struct lade_http *http,
				     const struct lade_http_request *request,
				     struct lade_http_reply *ret, const char *site);

/* lade_http_reply_done - frees what a reply owns.  Suspends: no. */
void lade_http_reply_done(struct lade_http_reply *reply);

LADE_API_END

#endif
