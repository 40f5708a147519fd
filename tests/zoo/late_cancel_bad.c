/* SPDX-License-Identifier: MIT */
/* late_cancel_bad.c - a query is called off too late, and the next one on the connection is hit.
 *
 * The cancel goes out on a connection of its own, and nobody waits until it has been obeyed. By
 * then the query has ended by itself and somebody else's runs. lib/pq #1000 (a later query is
 * killed), go-sqlite3 #744 (the next one is interrupted).
 *
 * Found: CHANGED, without an invariant or an annotation. */

#include "database.h"

#include <lade/explore.h>

/* Calls the query off and reads what is still to come, so that the connection can be used again. */
static int call_off(struct line *ret)
{
	struct line cancel;
	int fd, rc = lade_connect_to(service_address.text, &fd);

	snprintf(cancel.text, sizeof(cancel.text), "cancel %d", session_key);
	if (rc == 0) {
		rc = say(fd, &cancel); /* and not yet obeyed */
		lade_close(fd);
	}
	return rc < 0 ? rc : hear(conn, ret);
}

static int query(const char *city, struct line *ret)
{
	struct line text;
	bool sent, in_step = false;
	int rc = open_session();

	snprintf(text.text, sizeof(text.text), "%d %s", session_key, city);
	if (rc == 0)
		rc = say(conn, &text);
	sent = rc == 0;
	if (sent)
		rc = hear(conn, ret); /* named: called off from here */
	if (rc == -ECANCELED && sent)
		lade_shield(lade_ms(100))
			in_step = call_off(ret) == 0;
	if (rc < 0 && !in_step)
		drop_session();
	return rc < 0 ? rc : strcmp(ret->text, "cancelled") == 0 ? -EINTR : 0;
}

LADE_EXPLORE(late_cancel_bad, .setup = start_database, .teardown = stop_database)
{
	struct line reply;

	return query("Oslo", &reply);
}
