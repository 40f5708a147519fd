/* SPDX-License-Identifier: MIT */
/* step12_explore.c - a test that finds where a cancel loses a reply that was paid for.
 *
 * A time-out between the reply and its store loses it: the next request pays again.
 * Found: LOST WORK, and the line; so it ends with status 1.
 * The law: rule 7, what a cancel is. Run: build/examples/step12_explore */
#include <lade/explore.h>
#include <lade/lade.h>
#include <errno.h>

/* The world: a paid service, which answers '?' by '!' after 5 ms. */
static int serve(int listener)
{
	int fd, rc;
	char c;

	while ((rc = lade_accept(listener, &fd)) == 0) {
		if (lade_read(fd, &c, 1) == 1 && lade_sleep(lade_ms(5)) == 0)
			(void)!lade_write(fd, "!", 1);
		lade_close(fd);
	}
	lade_close(listener);
	return rc;
}
LADE_TASK_VOID(serve, (int, listener))

static int start_service(struct lade_scope *world)
{
	static struct serve_task task; /* as long as the world */
	int listener, rc = lade_listen("127.0.0.1:9000", &listener);

	if (rc < 0)
		return rc;
	task = serve_task(listener);
	lade_start_daemon(world, &task);
	return 0;
}

/* What is tested: a reply is fetched, and sent on to a slow client. */
static int answer(char *ret)
{
	int fd, rc = lade_connect_to("127.0.0.1:9000", &fd);

	if (rc < 0)
		return rc;
	if ((rc = lade_write(fd, "?", 1)) == 1)
		rc = lade_read(fd, ret, 1);
	lade_close(fd);
	return rc == 1 ? lade_sleep(lade_ms(1)) : rc < 0 ? rc : -EPIPE; /* named: here it is lost */
}

LADE_EXPLORE(request, .setup = start_service)
{
	static char stored; /* 0: nothing yet */
	char reply = stored;
	int rc = reply ? 0 : lade_within(lade_ms(100), answer(&reply));

	stored = rc == 0 ? reply : stored;
	return rc;
}
