/* SPDX-License-Identifier: MIT */
#ifndef LADE_PIPELINE_STEP_HTTP_H
#define LADE_PIPELINE_STEP_HTTP_H

/* step_http.h - what the two files of the http step share: a request per message, one for all. */

#include "services/pipeline/http_batch.h"
#include "services/pipeline/http_call.h"
#include "services/pipeline/url.h"

struct lade_http_step {
	struct lade_pipe_stage *stage;
	struct lade_pipe_caller caller;
	struct lade_pipe_url url;
	struct lade_pipe_ref body;	/* of a POST */
	unsigned slot;			/* where the answer goes */
	struct lade_cache *cache;	/* NULL: each message asks for itself */
	struct lade_pipe_many many;	/* of a batch */
};

/* A message and what it asks for. */
struct lade_http_want {
	const char *request;	/* the address and a NUL, and the body behind it */
	size_t len;		/* of both */
	uint32_t at;		/* the message */
	const char *key;	/* Idempotency-Key of a message that asks for itself */
	struct wanted *shared;
};

static inline const char *lade_http_body_of(const char *request)
{
	return request + strlen(request) + 1;
}

/* lade_http_step_ttl - how long an answer is kept. */
struct lade_duration lade_http_step_ttl(const struct lade_http_step *h,
					const struct lade_pipe_answer *answer);

/* lade_http_step_name - gives each its Idempotency-Key.  Returns 0 or -ENOMEM. */
int lade_http_step_name(struct lade_http_step *h, struct lade_pipe_batch *b,
			struct lade_http_want *wants, uint32_t n);

/* lade_http_step_take - sets the answer of a message, or does what on_missing says.
 *
 * An answer that is not what is expected is a failure of the message's own. Returns 0, -ENOMEM
 * or as lade_http_step_fail(). */
int lade_http_step_take(struct lade_http_step *h, struct lade_pipe_batch *b, uint32_t at,
			const struct lade_pipe_answer *answer);

/* lade_http_step_fail - a message whose request failed: what on_error says.
 *
 * Returns 0; -EIO: a person must act; -ENOMEM. */
int lade_http_step_fail(struct lade_http_step *h, struct lade_pipe_batch *b, uint32_t at, int class,
			const char *why);

/* lade_http_step_ask_many - one request for all of them.
 *
 * Returns 0; -EBADMSG: one of them is to blame; -EAGAIN, -EIO, -ECANCELED, -ENOMEM.
 * Suspends: yes. */
lade_suspends int lade_http_step_ask_many(struct lade_http_step *h, struct lade_pipe_batch *b,
					  struct lade_http_want *wants, uint32_t n);

/* lade_http_step_ask_cache - the same, for those that the cache does not have.  Suspends: yes. */
lade_suspends int lade_http_step_ask_cache(struct lade_http_step *h, struct lade_pipe_batch *b,
					   struct lade_http_want *wants, uint32_t n);

/* lade_http_step_load_many - loads of the cache of a step with batch.  Suspends: yes. */
int lade_http_step_load_many(void *arg, const struct lade_cache_key *keys,
			     struct lade_cache_load *loads, size_t n);

#endif
