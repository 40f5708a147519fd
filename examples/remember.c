/* SPDX-License-Identifier: MIT */
/* remember.c - a server before a slow service, which forgets no reply that it has paid for. */
#include "line.h"

LADE_CACHE(reply, struct line, struct line)

/* The service: every reply takes 50 ms and costs money. */
static int forecast(void *paid, const struct line *city, struct line *ret)
{
	int rc = lade_sleep(lade_ms(50));

	*(int *)paid += rc == 0;
	snprintf(ret->text, sizeof(ret->text), "sun in %.48s", city->text);
	return rc;
}

/* The server: from the cache, or from the service; but no client waits longer than 30 ms. */
static int remember(void *cache, const struct line *city, struct line *ret)
{
	int rc = lade_within(lade_ms(30), reply_cache_get(cache, *city, ret));

	if (rc == -ETIME) /* the request to the service goes on, and its reply is stored */
		*ret = (struct line){ "not yet known, ask again" };
	return rc == -ETIME ? 0 : rc;
}

static int app(void)
{
	const struct lade_cache_config config = { .ttl = lade_s(600) };
	struct line service, server, reply, city = { "Oslo" };
	struct serve_lines_task slow, quick;
	struct reply_cache *cache = NULL;
	int paid = 0, slow_fd = -1, quick_fd = -1, rc = 0;

	lade_scope(s, &rc) {
		if ((rc = listen_here(&service, &slow_fd)) == 0 &&
		    (rc = listen_here(&server, &quick_fd)) == 0)
			rc = reply_cache_new(&s, exchange, &service, &config, &cache);
		slow = serve_lines_task(slow_fd, forecast, &paid);
		quick = serve_lines_task(quick_fd, remember, cache);
		lade_start_daemon(&s, &slow);
		lade_start_daemon(&s, &quick);
		for (int i = 0; rc == 0 && i < 3; i++) {
			rc = exchange(&server, &city, &reply);
			printf("%s? %s.\n", city.text, reply.text);
			if (rc == 0)
				rc = lade_sleep(lade_ms(100));
		}
	}
	reply_cache_close(cache, false);
	lade_close(slow_fd), lade_close(quick_fd);
	printf("replies paid for: %d\n", paid);
	return rc;
}
LADE_TASK_VOID(app)

int main(void)
{
	return lade_main(lade_do(app));
}
