/* SPDX-License-Identifier: MIT */
/* never_started_bad.c - a task is cancelled before it has begun; nobody closes what it was given.
 *
 * The connection is the task's, which closes it on every path of its function. But the function
 * does not run. Kotlin #4151 (which made CoroutineStart.ATOMIC stable) and compio #52.
 *
 * Found: LEAK, without an invariant or an annotation. */

#include "service.h"

#include <lade/explore.h>
#include <lade/lade.h>

static int greet(int fd)
{
	const struct line hello = { "hello" };
	int rc = say(fd, &hello);

	lade_close(fd);
	return rc;
}
LADE_TASK_VOID(greet, (int, fd))

LADE_EXPLORE(never_started_bad, .setup = start_service, .teardown = stop_service)
{
	int fd, rc = 0;

	lade_scope(s, &rc) {
		rc = lade_connect_to(service_address.text, &fd);
		if (rc == 0)
			rc = lade_spawn(&s, greet_task(fd)); /* named: it may never run */
	}
	return rc;
}
