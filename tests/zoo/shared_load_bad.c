/* SPDX-License-Identifier: MIT */
/* shared_load_bad.c - several wait for one load, and the one who began it is cancelled.
 *
 * The load is done once for all who ask meanwhile, by the first of them. When that one goes, the
 * load goes with it, and nobody wakes the others. moka #59 (waiters stuck), spicedb #925 and
 * tailscale #18919 (one caller's context cancels all), ctrlplane #1105.
 *
 * Found: CRASH OR HANG, without an invariant or an annotation. */

#include "service.h"

#include <lade/explore.h>
#include <lade/lade.h>

static struct lade_event loaded;
static bool loading;
static struct line forecast;

static int start(struct lade_scope *world)
{
	lade_event_init(&loaded);
	return start_service(world);
}

static int get(void)
{
	const struct line city = { "Oslo" };
	int rc;

	if (loading)
		return lade_event_wait(&loaded); /* named: for ever */
	loading = true;
	rc = exchange(&service_address, &city, &forecast);
	if (rc < 0)
		return rc;
	lade_event_set(&loaded);
	return 0;
}
LADE_TASK_VOID(get)

LADE_EXPLORE(shared_load_bad, .setup = start, .teardown = stop_service)
{
	int rc = lade_join_all(lade_do(get), lade_do(get));

	return rc;
}
