/* SPDX-License-Identifier: MIT */
/* late_cancel_fixed.c - the connection is used again when the cancel has been obeyed: rule 9.7. */

#include "database.h"

#include <lade/explore.h>

/* Calls the query off and reads what is still to come, so that the connection can be used again. */
static int call_off(struct line *ret)
{
	struct line cancel;
	struct line done;
	int rc;

	snprintf(cancel.text, sizeof(cancel.text), "cancel %d", session_key);
	rc = exchange(&service_address, &cancel, &done);
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
		rc = hear(conn, ret);
	if (rc == -ECANCELED && sent)
		lade_shield(lade_ms(100))
			in_step = call_off(ret) == 0;
	if (rc < 0 && !in_step)
		drop_session();
	return rc < 0 ? rc : strcmp(ret->text, "cancelled") == 0 ? -EINTR : 0;
}

LADE_EXPLORE(late_cancel_fixed, .setup = start_database, .teardown = stop_database)
{
	struct line reply;

	return query("Oslo", &reply);
}
