/* SPDX-License-Identifier: MIT */
/* examples.c - two examples as they stand, and a client of one of them, cancelled everywhere. */

#include <lade/explore.h>
#include <lade/lade.h>

#include <stdio.h>

/* What they print is not looked at. */
__attribute__((format(printf, 1, 2))) static int quiet(const char *format, ...)
{
	(void)format;
	return 0;
}

int remember_main(void);
int batches_main(void);

#define printf quiet
#define main remember_main
#include "../../examples/remember.c"
#undef main
#define main batches_main
#include "../../examples/batches.c"
#undef main
#undef printf

/* With its servers in it: whose own scope is cancelled serves nobody any more, and a client that
 * asks it waits. */
LADE_EXPLORE(remember_whole)
{
	return lade_within(lade_s(3), app());
}

/* The server's part alone, in a world with the service: whoever is cancelled, what was paid for is
 * kept. */
static struct line service;
static struct serve_lines_task slow;
static struct reply_cache *cache;
static int slow_fd, paid;

static int start_slow_service(struct lade_scope *world)
{
	const struct lade_cache_config config = { .ttl = lade_s(600) };
	int rc = listen_here(&service, &slow_fd);

	if (rc < 0)
		return rc;
	paid = 0;
	slow = serve_lines_task(slow_fd, forecast, &paid);
	lade_start_daemon(world, &slow);
	return reply_cache_new(world, exchange, &service, &config, &cache);
}

static void stop_slow_service(void)
{
	reply_cache_close(cache, false);
	lade_close(slow_fd);
}

/* One reply at most: a lost one would be paid for again. Without memory, or when the connection
 * fails, there is none, and nothing was lost. */
static int one_reply(void)
{
	return paid <= 1 ? 0 : -EBADMSG;
}

LADE_EXPLORE(remember_client, .setup = start_slow_service, .teardown = stop_slow_service,
	     .invariant = one_reply)
{
	struct line city = { "Oslo" }, reply;
	int rc = 0;

	for (int i = 0; rc == 0 && i < 3; i++) {
		rc = remember(cache, &city, &reply);
		if (rc == 0)
			rc = lade_sleep(lade_ms(100));
	}
	return rc;
}

/* The services and who feeds the messages are the world. A batch that is given up is gone, and a
 * request is the same for each: what is asked for again is for other messages. */
static struct services all;

static int open_services(struct lade_scope *world)
{
	return services_open(world, &all);
}

static void close_services(void)
{
	services_close(&all);
}

LADE_EXPLORE(batches, .setup = open_services, .teardown = close_services, .asks_again = true)
{
	int rc = 0;

	lade_scope(s, &rc)
		rc = enrich(&s, &all);
	return rc;
}
