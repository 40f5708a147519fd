/* SPDX-License-Identifier: MIT */
#ifndef LADE_PIPELINE_BREAKER_H
#define LADE_PIPELINE_BREAKER_H

/* breaker.h - a circuit breaker: whoever has failed so often in a row is left alone for a while.
 *
 * Closed, every call is made. After failures_max failures in a row it opens: no call is made for
 * pause_ns, then one, the probe. If that one is answered the circuit closes, else the pause begins
 * anew. An answer to a call that was under way closes it as well.
 *
 * Time is what the caller says it is. Nothing suspends; one task at a time. */

#include <stdbool.h>
#include <stdint.h>

struct lade_pipe_breaker {
	int64_t failures_max;	/* in a row; 0: it never opens */
	int64_t pause_ns;	/* from opening to the probe */
	int64_t row;		/* failures since the last answer */
	int64_t open_until_ns;	/* when the probe may be made; 0: closed */
	bool probing;		/* the probe is under way */
	uint64_t opened;	/* how often the circuit was opened, for figures */
	uint64_t refused;	/* calls that were not made */
};

enum lade_pipe_pass {
	LADE_PASS_NOT,		/* the call is not to be made */
	LADE_PASS_CALL,		/* it is */
	LADE_PASS_PROBE		/* it is, and decides */
};

/* lade_pipe_breaker_ask - whether a call may be made now.
 *
 * One that is made ends with one of the three below. */
enum lade_pipe_pass lade_pipe_breaker_ask(struct lade_pipe_breaker *breaker, int64_t now_ns);

/* lade_pipe_breaker_answered - a call was answered: the circuit closes. */
void lade_pipe_breaker_answered(struct lade_pipe_breaker *breaker, enum lade_pipe_pass pass);

/* lade_pipe_breaker_failed - a call has failed.  Returns whether that has opened the circuit, or
 * begun its pause anew. */
bool lade_pipe_breaker_failed(struct lade_pipe_breaker *breaker, enum lade_pipe_pass pass,
			      int64_t now_ns);

/* lade_pipe_breaker_gave_up - a call was cancelled and says nothing; another probe may follow. */
void lade_pipe_breaker_gave_up(struct lade_pipe_breaker *breaker, enum lade_pipe_pass pass);

#endif
