/* SPDX-License-Identifier: MIT */
/* wrong_timeout_fixed.c - only the deadline that fired turns -ECANCELED into -ETIME: rule 30.2. */

#include "service.h"

#include <lade/explore.h>
#include <lade/lade.h>

/* The page, with the weather if that comes in time. */
static int make_page(struct line *ret_weather)
{
	const struct line city = { "Oslo" };
	int rc = lade_within(lade_ms(20), exchange(&service_address, &city, ret_weather));

	if (rc == -ETIME)
		*ret_weather = (struct line){ "no weather today" };
	return rc == -ECANCELED ? rc : 0;
}

LADE_EXPLORE(wrong_timeout_fixed, .setup = start_service, .teardown = stop_service)
{
	struct line weather;

	return lade_within(lade_ms(100), make_page(&weather));
}
