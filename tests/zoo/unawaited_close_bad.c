/* SPDX-License-Identifier: MIT */
/* unawaited_close_bad.c - a cleanup that takes time is started, and nobody waits for it.
 *
 * Where all went well the close is awaited; where it did not, the way out must be quick, and a task
 * of the server closes. Who comes next finds the database locked. The story of wg-async in which a
 * destructor spawns the close and the next open meets it.
 *
 * Found: CHANGED, without an invariant or an annotation. */

#include "service.h"

#include <lade/explore.h>
#include <lade/lade.h>

static bool locked; /* by whoever has the database open */
static struct lade_scope *server;

static int open_database(void)
{
	if (locked)
		return -EBUSY;
	locked = true;
	return 0;
}

static int close_database(void)
{
	int rc = lade_sleep(lade_ms(3)); /* what is not yet on the disk */

	locked = false;
	return rc;
}
LADE_TASK_VOID(close_database)

static int start(struct lade_scope *world)
{
	server = world;
	return start_service(world);
}

LADE_EXPLORE(unawaited_close_bad, .setup = start, .teardown = stop_service)
{
	static struct close_database_task later;
	const struct line city = { "Oslo" };
	struct line reply;
	int rc = open_database();

	if (rc < 0)
		return rc;
	rc = exchange(&service_address, &city, &reply); /* named: fails, and the close is left */
	if (rc == 0)
		return close_database();
	later = close_database_task();
	lade_start(server, &later);
	return rc;
}
