/* SPDX-License-Identifier: MIT */
#ifndef LADE_PIPELINE_PHASE_H
#define LADE_PIPELINE_PHASE_H

/* phase.h - the moments of a message's life at which a crash is interesting.
 *
 * A build with -Dfault_points=true kills itself at the one that LADE_DIE_AT names, as
 * "enriching:3": the third time, or "commit:2:500": 500 us after the second. Where something is
 * about to be sent, such a delay makes it have been sent; fence, rows and commit of a database go
 * in one message, so that there the delay says what of it the server has done. "writing:2:stop"
 * stops it instead, as SIGSTOP does. Any other build passes these points without a trace. */

enum lade_pipe_phase {
	LADE_PHASE_FORMING,   /* a message goes into a batch */
	LADE_PHASE_ENRICHING, /* a batch has gone through some of its steps */
	LADE_PHASE_WRITING,   /* a batch is about to be written, the fence has not been sent */
	LADE_PHASE_FENCE,     /* fence and rows go to the database */
	LADE_PHASE_OFFSETS,   /* all records are answered, the offsets go to the transaction */
	LADE_PHASE_COMMIT,    /* the commit goes, and is not answered */
	LADE_PHASE_WRITTEN,   /* it is written, and nobody has been told */
	LADE_PHASE_REVOKE     /* a lane is drained, and not given back yet */
};

#ifdef LADE_FAULT_POINTS
void lade_pipe_phase(enum lade_pipe_phase phase);
#else
static inline void lade_pipe_phase(enum lade_pipe_phase phase)
{
	(void)phase;
}
#endif

#endif
