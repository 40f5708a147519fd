/* SPDX-License-Identifier: MIT */
/* faults_env.c - a test program as it is, one of whose calls fails: LADE_FAULT=KIND:N.
 *
 * KIND is error, interrupt or allocate, N counts from 1; with "count" no call fails and all are
 * counted. What came of it is written to the file that LADE_FAULT_SAID names, as the program exits:
 * descriptors at the begin and at the end, calls, those that a signal can interrupt, allocations,
 * and the call that failed, or "-". Processes that it forks count on for themselves and say
 * nothing. */

#include "descriptors.h"
#include "faults.h"

#include "base/alloc.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MANY (LONG_MAX / 2) /* more than any program makes */

static pid_t who;      /* the program itself */
static int fds_before; /* descriptors at the begin */

/* Counts all that can fail. */
static void count(void)
{
	faults_begin(FAULT_ERROR, MANY);
	lade_alloc_fail_at(MANY);
}

static void begin_fault(const char *said)
{
	static const char *const kinds[] = { "error:", "interrupt:", "allocate:" };

	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++)
		if (strncmp(said, kinds[i], strlen(kinds[i])) == 0)
			faults_begin((enum fault_kind)i,
				     strtol(said + strlen(kinds[i]), NULL, 10));
}

__attribute__((constructor)) static void begin(void)
{
	const char *said = getenv("LADE_FAULT");

	if (!said)
		return;
	who = getpid();
	fds_before = descriptors();
	if (strcmp(said, "count") == 0)
		count();
	else
		begin_fault(said);
}

__attribute__((destructor)) static void say(void)
{
	const char *path = getenv("LADE_FAULT_SAID"), *name = NULL;
	long calls, interruptible, left = atomic_load(&lade_alloc_countdown);
	FILE *f;
	int rc;

	if (who != getpid() || !path)
		return;
	faults_count(&calls, &interruptible);
	(void)faults_end(&name, &rc);
	f = fopen(path, "w");
	if (!f)
		return;
	/* A test that made allocations fail itself has taken the countdown away. */
	fprintf(f, "%d %d %ld %ld %ld %s\n", fds_before, descriptors() - 1, calls, interruptible,
		left > MANY / 2 ? MANY - left : 0, name ? name : "-");
	fclose(f);
}
