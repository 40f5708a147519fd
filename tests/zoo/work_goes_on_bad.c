/* SPDX-License-Identifier: MIT */
/* work_goes_on_bad.c - the time-out returns, and what was to be timed out goes on.
 *
 * The work is a task of the server, the request waits for it and has a time-out. Who is told that
 * it took too long tries again, and meets what still runs. bpo-32751, cpython #7216 (wait_for
 * returned before its task had ended), and every time-out made by hand of a timer and a task.
 *
 * Found: CHANGED, without an invariant or an annotation. */

#include "service.h"

#include <lade/explore.h>
#include <lade/lade.h>

static struct lade_scope *server;
static bool running; /* there is one backup at a time */

static int make_backup(void)
{
	const struct line all = { "backup" };
	struct line reply;
	int rc = exchange(&service_address, &all, &reply);

	running = false;
	return rc;
}
LADE_TASK_VOID(make_backup)

static int start(struct lade_scope *world)
{
	server = world;
	return start_service(world);
}

static int answer_request(void)
{
	static struct make_backup_task work;

	if (running)
		return -EBUSY;
	running = true;
	work = make_backup_task();
	lade_start(server, &work);
	return lade_within(lade_ms(50), lade_wait(&work)); /* named: only the wait ends */
}

LADE_EXPLORE(work_goes_on_bad, .setup = start, .teardown = stop_service)
{
	return answer_request();
}
