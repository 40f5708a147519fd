/* SPDX-License-Identifier: MIT */
/* slot_before_connect_bad.c - a place of the pool is taken, and the connection never comes.
 *
 * The pool counts a connection as soon as it is asked for, so that two tasks do not both open the
 * last one. Cancelled in the connect, nobody counts down; after a few time-outs the pool is full of
 * nothing. httpcore #658, #830 and #1093; asyncpg #548.
 *
 * Found: CHANGED, without an invariant or an annotation. */

#include "service.h"

#include <lade/explore.h>
#include <lade/lade.h>

#define PLACES 1

static int in_use;

static int take_connection(int *ret_fd)
{
	if (in_use == PLACES)
		return -EBUSY;
	in_use++;
	return lade_connect_to(service_address.text, ret_fd); /* named: the place is never free */
}

static void give_back(int fd)
{
	lade_close(fd);
	in_use--;
}

LADE_EXPLORE(slot_before_connect_bad, .setup = start_service, .teardown = stop_service)
{
	const struct line city = { "Oslo" };
	struct line reply;
	int fd, rc = take_connection(&fd);

	if (rc < 0)
		return rc;
	rc = say(fd, &city);
	if (rc == 0)
		rc = hear(fd, &reply);
	give_back(fd);
	return rc;
}
