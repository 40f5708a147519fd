/* SPDX-License-Identifier: MIT */
#ifndef LADE_PIPELINE_HTTP_CALL_H
#define LADE_PIPELINE_HTTP_CALL_H

/* http_call.h - one exchange with a service: what is sent, how often, and what a reply means.
 *
 * 2xx is the value, 404 is "no value", 400, 413, 415 and 422 blame what was sent, 408, 425, 429,
 * 5xx and the network pass, as do a reply that is no JSON and one that is not what was expected;
 * everything else is for a person. What passes, so often in a row, opens the step's circuit. */

#include "services/pipeline/engine.h"

#define LADE_CALL_HEADERS_MAX 34	/* of every request: 32 of the file, and two of ours */
#define LADE_CALL_KEY_ROOM 256		/* of an Idempotency-Key, with its NUL */
#define LADE_CALL_WHY_ROOM 512

/* A step's side of a service. */
struct lade_pipe_caller {
	struct lade_pipe_stage *stage;
	struct lade_sem turns;			/* requests at once, over all batches */
	struct lade_json_reader *reader;	/* checks replies; used without suspension */
	const char *headers[LADE_CALL_HEADERS_MAX + 1];	/* "Name: value"; end with NULL; owned */
	struct lade_json_paths *expect;	/* the one path that an answer is to have; or NULL */
	char broke[200];	/* what has opened the circuit */
	int64_t run;	/* names this run where a message cannot be read again; else 0 */
	bool first;	/* no step before it sends as well */
};

/* What is sent. */
struct lade_pipe_request {
	const char *url;
	const char *body;	/* NULL: a GET */
	size_t body_len;
	const char *key;	/* the Idempotency-Key, or NULL */
	/* Looks at a reply of 2xx: 0; -EAGAIN and @why; -ENOMEM. Does not suspend. NULL: it is to
	 * be JSON or nothing. */
	int (*look)(void *arg, const struct lade_http_reply *reply, char why[LADE_CALL_WHY_ROOM]);
	void *arg;		/* handed to look */
};

/* What is kept of an answer; from malloc. */
struct lade_pipe_answer {
	int rc;		/* 0; of a batch: a failure, of which text says why: */
	bool own;	/* said by an answer of its own, in a reply that is fine; */
	bool alone;	/* or of all in the request, and no other message was in it */
	bool missing;	/* there is none: 404, or a batch's reply has none for it */
	uint32_t len;	/* bytes of text */
	char text[];	/* JSON, checked, with a NUL behind it; nothing: an empty reply */
};

/* lade_pipe_caller_open, lade_pipe_caller_close - for a step that is being opened and closed.
 *
 * Returns 0, -ENOMEM or as lade_http_new().  Suspends: no; close: no. */
int lade_pipe_caller_open(struct lade_pipe_caller *caller, struct lade_pipe_stage *stage);
void lade_pipe_caller_close(struct lade_pipe_caller *caller);

/* lade_pipe_call - asks, and asks again as often as the step's retries allow.
 *
 * Returns 0: a value, in *reply; -ENOENT: a 404; -ECANCELED, -ENOMEM; else a fault, see below, and
 * @why in words. *reply is always filled in.
 * Suspends: yes.  Owns: lade_http_reply_done frees *reply. */
lade_suspends int lade_pipe_call(struct lade_pipe_caller *caller,
				 const struct lade_pipe_request *request,
				 struct lade_http_reply *reply, char why[LADE_CALL_WHY_ROOM]);

/* lade_pipe_expected - whether an answer, which is JSON or nothing, is what the step expects.
 *
 * Returns 0; -EAGAIN and @why; -ENOMEM.  Suspends: no. */
int lade_pipe_expected(const struct lade_pipe_caller *caller, const char *text, size_t len,
		       char why[LADE_CALL_WHY_ROOM]);

/* lade_pipe_fault_class - what a failure means: -EAGAIN, -EBADMSG, -EIO; -EHOSTDOWN: the circuit
 * is open, so nothing was asked; or itself.
 *
 * A fault is one number that passes through a cache, so that everyone who shared the request
 * says the same. */
int lade_pipe_fault_class(int rc);

/* lade_pipe_is_failure - whether it is one of these four. */
bool lade_pipe_is_failure(int class);

/* lade_pipe_fault_text - why there is no value, in words. */
void lade_pipe_fault_text(int rc, const char *url, char *ret, size_t room);

/* lade_pipe_answer_new - keeps @len bytes; *ret_bytes is what it weighs.
 *
 * Returns NULL when memory is out. */
struct lade_pipe_answer *lade_pipe_answer_new(const char *text, size_t len, size_t *ret_bytes);

/* lade_pipe_message_key - the Idempotency-Key of a message: pipeline/topic/partition/offset.
 *
 * It is the same whenever the message is tried again, by another run as well. Behind the offset
 * stand .N of what a transform made, and :STEP of a step that is not the first to send. */
void lade_pipe_message_key(const struct lade_pipe_caller *caller,
			   const struct lade_pipe_message *message,
			   char ret[LADE_CALL_KEY_ROOM]);

/* lade_pipe_request_key - the key of a request that several messages may share: pipeline/step/hash.
 *
 * @parts are @n pieces that are hashed one behind the other, with their lengths. */
void lade_pipe_request_key(const struct lade_pipe_caller *caller,
			   const struct lade_cache_key *parts, size_t n,
			   char ret[LADE_CALL_KEY_ROOM]);

#endif
