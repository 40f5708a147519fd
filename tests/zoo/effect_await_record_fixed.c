/* SPDX-License-Identifier: MIT */
/* effect_await_record_fixed.c - the cache owns the load: a time-out ends a wait, and no load.
 *
 * The reply is stored before anyone is told, by a task of the cache's own scope. */

#include "service.h"

#include <lade/explore.h>
#include <lade/lade.h>

LADE_CACHE(reply, struct line, struct line)

static struct reply_cache *cache;

static int start(struct lade_scope *world)
{
	const struct lade_cache_config config = { .ttl = lade_s(600) };
	int rc = start_service(world);

	return rc < 0 ? rc
		      : reply_cache_new(world, exchange, &service_address, &config, &cache);
}

static void stop(void)
{
	reply_cache_close(cache, false);
	stop_service();
}

static int tell_client(const struct line *reply)
{
	(void)reply;
	return lade_sleep(lade_ms(1)); /* a slow client */
}

static int answer_request(void)
{
	const struct line city = { "Oslo" };
	struct line reply;
	int rc = reply_cache_get(cache, city, &reply);

	return rc < 0 ? rc : tell_client(&reply);
}

LADE_EXPLORE(effect_await_record_fixed, .setup = start, .teardown = stop)
{
	return lade_within(lade_ms(100), answer_request());
}
