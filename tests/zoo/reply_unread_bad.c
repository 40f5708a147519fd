/* SPDX-License-Identifier: MIT */
/* reply_unread_bad.c - a request is sent, its reply is not read, the connection is used again.
 *
 * Whoever comes next reads the reply to somebody else's question, and so does everybody after.
 * redis-py #2579, #2624 and #2665: in March 2023 ChatGPT showed users the titles of other users'
 * conversations. sqlx #563, asyncmy #103 and CVE-2025-47907 (Go's database/sql) are the same.
 *
 * Found: CHANGED, without an invariant or an annotation. */

#include "session.h"

#include <lade/explore.h>

static int conn = -1; /* kept between requests */

static int ask(const struct line *city, struct line *ret)
{
	int rc = conn < 0 ? lade_connect_to(service_address.text, &conn) : 0;

	if (rc == 0)
		rc = say(conn, city);
	if (rc == 0)
		rc = hear(conn, ret); /* named: the next one reads this reply */
	return rc;
}

static void stop(void)
{
	lade_close(conn);
	stop_service();
}

/* Two users, one after the other. */
LADE_EXPLORE(reply_unread_bad, .setup = start_sessions, .teardown = stop)
{
	static const struct line cities[] = { { "Oslo" }, { "Rome" } };
	static int user;
	const struct line *mine = &cities[user++ % 2];
	struct line reply;
	int rc = ask(mine, &reply);

	return rc < 0 ? rc : is_about(&reply, mine) ? 0 : -EBADMSG;
}
