/* SPDX-License-Identifier: MIT */
/* cache.c - gets, many at once, abandoned and stale loads: whatever is cancelled, what was paid
 * for is kept. The service is paid over a connection, so the explorer sees each payment. */

#include "examples/line.h"

#include <lade/cores.h>
#include <lade/explore.h>

#include <errno.h>

LADE_CACHE(reply, struct line, struct line)

static struct line address;
static struct serve_lines_task service;
static int service_fd;
static struct reply_cache *cache;

static int slow_reply(void *arg, const struct line *line, struct line *ret)
{
	int rc = lade_sleep(lade_ms(5));

	(void)arg;
	snprintf(ret->text, sizeof(ret->text), "re: %.50s", line->text);
	return rc;
}

static int make_cache(struct lade_scope *world, struct lade_cache_config config)
{
	int rc = listen_here(&address, &service_fd);

	if (rc < 0)
		return rc;
	service = serve_lines_task(service_fd, slow_reply, NULL);
	lade_start_daemon(world, &service);
	return reply_cache_new(world, exchange, &address, &config, &cache);
}

static int make_plain(struct lade_scope *world)
{
	return make_cache(world, (struct lade_cache_config){ .ttl = lade_s(60) });
}

static int make_stale(struct lade_scope *world)
{
	return make_cache(world, (struct lade_cache_config){ .ttl = lade_ms(20) });
}

static int make_shared(struct lade_scope *world)
{
	return make_cache(world,
			  (struct lade_cache_config){ .ttl = lade_s(60), .cores = true });
}

static void end_cache(void)
{
	reply_cache_close(cache, false);
	lade_close(service_fd);
}

static int ask(const char *city)
{
	struct line key = { "" }, reply;
	int rc;

	snprintf(key.text, sizeof(key.text), "%s", city);
	rc = reply_cache_get(cache, key, &reply);
	return rc < 0 ? rc : strncmp(reply.text, "re: ", 4) == 0 ? 0 : -EBADMSG;
}
typedef const char *name;
LADE_TASK_VOID(ask, (name, city))

LADE_EXPLORE(one_load_for_all, .setup = make_plain, .teardown = end_cache)
{
	return lade_join(lade_do(ask, "Oslo"), lade_do(ask, "Oslo"), lade_do(ask, "Rome"));
}

LADE_EXPLORE(with_a_deadline, .setup = make_plain, .teardown = end_cache)
{
	int rc = lade_within(lade_ms(50), ask("Oslo"));

	return rc < 0 ? rc : lade_within(lade_ms(50), ask("Oslo"));
}

LADE_EXPLORE(in_a_race, .setup = make_plain, .teardown = end_cache)
{
	int rc = lade_race_ok(lade_do(ask, "Oslo"), lade_do(ask, "Rome"));

	return rc < 0 ? rc : lade_join(lade_do(ask, "Oslo"), lade_do(ask, "Rome"));
}

LADE_EXPLORE(after_its_time, .setup = make_stale, .teardown = end_cache)
{
	int rc = ask("Oslo");

	if (rc == 0)
		rc = lade_sleep(lade_ms(30));
	return rc < 0 ? rc : ask("Oslo");
}

/* Callers of two cores; what the explorer sees of the second is in this loop, like all cores. */
LADE_EXPLORE(from_another_core, .setup = make_shared, .teardown = end_cache)
{
	int rc = lade_join(lade_on(1, lade_do(ask, "Oslo")), lade_do(ask, "Oslo"),
			   lade_on(1, lade_do(ask, "Rome")));

	return rc < 0 ? rc : lade_within(lade_ms(50), ask("Rome"));
}
