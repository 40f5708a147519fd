/* SPDX-License-Identifier: MIT */
/* shared_load_fixed.c - the load is the cache's task: who waits for it comes and goes. */

#include "service.h"

#include <lade/explore.h>
#include <lade/lade.h>

LADE_CACHE(forecast, struct line, struct line)

static struct forecast_cache *cache;

static int start(struct lade_scope *world)
{
	const struct lade_cache_config config = { .ttl = lade_s(600) };
	int rc = start_service(world);

	return rc < 0 ? rc
		      : forecast_cache_new(world, exchange, &service_address, &config, &cache);
}

static void stop(void)
{
	forecast_cache_close(cache, false);
	stop_service();
}

static int get(void)
{
	const struct line city = { "Oslo" };
	struct line forecast;

	return forecast_cache_get(cache, city, &forecast);
}
LADE_TASK_VOID(get)

LADE_EXPLORE(shared_load_fixed, .setup = start, .teardown = stop)
{
	int rc = lade_join_all(lade_do(get), lade_do(get));

	return rc;
}
