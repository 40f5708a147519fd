/* SPDX-License-Identifier: MIT */
#ifndef LADE_PIPELINE_HTTP_BATCH_H
#define LADE_PIPELINE_HTTP_BATCH_H

/* http_batch.h - one POST of a JSON array for many messages, and whose answer is which.
 *
 * Answers are told apart by their position, or with a path by an equal value there in the body
 * and in the answer: then an answer may be missing. Equal values take their answers in turn;
 * a single answer is all of theirs. */

#include <lade/cache.h>

#include "services/pipeline/http_call.h"

struct lade_pipe_many {
	struct lade_pipe_caller *caller;
	const char *url;			/* the same for all */
	struct lade_json_paths *match;		/* NULL: by position */
};

/* One body of the array. */
struct lade_pipe_body {
	const char *text;	/* JSON */
	size_t len;
	const char *key;	/* what names it, for the Idempotency-Key */
};

/* lade_pipe_many_open, lade_pipe_many_close - @match is a path, or NULL.
 *
 * Returns 0; -EINVAL and the reason; -ENOMEM. */
int lade_pipe_many_open(struct lade_pipe_many *many, struct lade_pipe_caller *caller,
			const char *match, struct lade_json_error *ret_error);
void lade_pipe_many_close(struct lade_pipe_many *many);

/* lade_pipe_many_check - whether an answer to a body could be found.
 *
 * Returns 0; -EBADMSG and the reason; -ENOMEM. */
int lade_pipe_many_check(const struct lade_pipe_many *many, const char *body, size_t len,
			 struct lade_json_error *ret_error);

/* lade_pipe_many_ask - asks for all of them at once.
 *
 * Returns 0 and an answer for each, from malloc, with its weight; -EBADMSG: one of the bodies is to
 * blame; -EAGAIN, -EIO with @why; -ECANCELED, -ENOMEM.
 * Suspends: yes. */
lade_suspends int lade_pipe_many_ask(const struct lade_pipe_many *many,
				     const struct lade_pipe_body *bodies, size_t n,
				     struct lade_pipe_answer **ret, size_t *ret_bytes,
				     char why[LADE_CALL_WHY_ROOM]);

#endif
