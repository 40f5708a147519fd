/* SPDX-License-Identifier: MIT */
/* reply_unread_fixed.c - a connection whose exchange did not end is never used again. */

#include "session.h"

#include <lade/explore.h>

static int conn = -1; /* kept between requests */

static int ask(const struct line *city, struct line *ret)
{
	int rc = conn < 0 ? lade_connect_to(service_address.text, &conn) : 0;

	if (rc == 0)
		rc = say(conn, city);
	if (rc == 0)
		rc = hear(conn, ret);
	if (rc < 0) {
		lade_close(conn);
		conn = -1;
	}
	return rc;
}

static void stop(void)
{
	lade_close(conn);
	stop_service();
}

/* Two users, one after the other. */
LADE_EXPLORE(reply_unread_fixed, .setup = start_sessions, .teardown = stop)
{
	static const struct line cities[] = { { "Oslo" }, { "Rome" } };
	static int user;
	const struct line *mine = &cities[user++ % 2];
	struct line reply;
	int rc = ask(mine, &reply);

	return rc < 0 ? rc : is_about(&reply, mine) ? 0 : -EBADMSG;
}
