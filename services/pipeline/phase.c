/* SPDX-License-Identifier: MIT */
/* phase.c - dies where it is told to; see phase.h. */

#include "services/pipeline/phase.h"

#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const names[] = { "forming", "enriching", "writing", "fence", "offsets",
				     "commit", "written", "revoke" };

static struct {
	bool read;	  /* the environment was looked at */
	int phase;	  /* -1: none */
	unsigned at;	  /* the time, from 1 */
	unsigned delay_us; /* after which */
	bool stops;	  /* it does not die: it is stopped until somebody lets it go on */
} wanted = { .phase = -1 };

static void read_wanted(void)
{
	const char *text = getenv("LADE_DIE_AT"), *colon = text ? strchr(text, ':') : NULL;

	wanted.read = true;
	for (int i = 0; colon && i < (int)(sizeof(names) / sizeof(*names)); i++)
		if (strlen(names[i]) == (size_t)(colon - text) &&
		    memcmp(names[i], text, (size_t)(colon - text)) == 0)
			wanted.phase = i;
	if (wanted.phase < 0)
		return;
	wanted.at = (unsigned)strtoul(colon + 1, NULL, 10);
	colon = strchr(colon + 1, ':');
	wanted.stops = colon && strcmp(colon, ":stop") == 0;
	wanted.delay_us = colon ? (unsigned)strtoul(colon + 1, NULL, 10) : 0;
}

/* What is sent goes on its way while another process waits: the kill is between the question and
 * the answer. */
static void die_later(void)
{
	const pid_t who = getpid();

	if (fork() != 0)
		return;
	close_range(0, ~0u, 0); /* what it locks and listens at is the dead one's alone */
	usleep(wanted.delay_us);
	kill(who, SIGKILL);
	_exit(0);
}

void lade_pipe_phase(enum lade_pipe_phase phase)
{
	if (!wanted.read)
		read_wanted();
	if ((int)phase != wanted.phase || --wanted.at)
		return;
	if (wanted.stops) {
		raise(SIGSTOP);
		return;
	}
	/* So that who counts kills knows that this one was here. */
	dprintf(STDERR_FILENO, "dies: %s\n", names[phase]);
	if (!wanted.delay_us)
		kill(getpid(), SIGKILL);
	else
		die_later();
}
