/* SPDX-License-Identifier: MIT */
/* never_started_fixed.c - .drop_args gives up the arguments of a task that never ran. */

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
LADE_TASK_VOID_WITH(greet, (.drop_args = lade_close), (int, fd))

LADE_EXPLORE(never_started_fixed, .setup = start_service, .teardown = stop_service)
{
	int fd, rc = 0;

	lade_scope(s, &rc) {
		rc = lade_connect_to(service_address.text, &fd);
		if (rc == 0)
			rc = lade_spawn(&s, greet_task(fd));
	}
	return rc;
}
