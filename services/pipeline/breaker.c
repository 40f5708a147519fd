/* SPDX-License-Identifier: MIT */
/* breaker.c - a circuit breaker.
 *
 * DESIGN
 * Failures are counted in a row, not as a share: a service that answers some calls is worth
 * asking, and what it fails is tried again by whoever wanted it. */

#include "services/pipeline/breaker.h"

enum lade_pipe_pass lade_pipe_breaker_ask(struct lade_pipe_breaker *b, int64_t now_ns)
{
	if (!b->open_until_ns)
		return LADE_PASS_CALL;
	if (b->probing || now_ns < b->open_until_ns) {
		b->refused++;
		return LADE_PASS_NOT;
	}
	b->probing = true;
	return LADE_PASS_PROBE;
}

void lade_pipe_breaker_answered(struct lade_pipe_breaker *b, enum lade_pipe_pass pass)
{
	b->row = 0;
	b->open_until_ns = 0;
	lade_pipe_breaker_gave_up(b, pass);
}

bool lade_pipe_breaker_failed(struct lade_pipe_breaker *b, enum lade_pipe_pass pass, int64_t now_ns)
{
	const bool was_open = b->open_until_ns != 0;

	b->row++;
	lade_pipe_breaker_gave_up(b, pass);
	if (!b->failures_max || b->row < b->failures_max ||
	    (was_open && pass != LADE_PASS_PROBE))
		return false;
	b->opened += !was_open;
	b->open_until_ns = now_ns + b->pause_ns;
	return true;
}

void lade_pipe_breaker_gave_up(struct lade_pipe_breaker *b, enum lade_pipe_pass pass)
{
	if (pass == LADE_PASS_PROBE)
		b->probing = false;
}
