/* SPDX-License-Identifier: MIT */
/* slot_before_connect_fixed.c - the place that got no connection is free again. */

#include "service.h"

#include <lade/explore.h>
#include <lade/lade.h>

#define PLACES 1

static int in_use;

static int take_connection(int *ret_fd)
{
	int rc;

	if (in_use == PLACES)
		return -EBUSY;
	in_use++;
	rc = lade_connect_to(service_address.text, ret_fd);
	if (rc < 0)
		in_use--;
	return rc;
}

static void give_back(int fd)
{
	lade_close(fd);
	in_use--;
}

LADE_EXPLORE(slot_before_connect_fixed, .setup = start_service, .teardown = stop_service)
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
