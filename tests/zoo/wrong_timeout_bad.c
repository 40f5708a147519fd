/* SPDX-License-Identifier: MIT */
/* wrong_timeout_bad.c - the end of the whole request is taken for the time-out of a part of it.
 *
 * The part is optional: whatever went wrong with it, the page is made without. So a page is made
 * that nobody waits for, and the request to end is forgotten. Kotlin #67 (withTimeoutOrNull gave
 * null for the time-out outside it), #1374 and #2394.
 *
 * Found: SWALLOWED CANCEL, without an invariant or an annotation. */

#include "service.h"

#include <lade/explore.h>
#include <lade/lade.h>

/* The page, with the weather if that comes in time. */
static int make_page(struct line *ret_weather)
{
	const struct line city = { "Oslo" };
	int rc = lade_within(lade_ms(20), /* named: the whole ends here as well */
			     exchange(&service_address, &city, ret_weather));

	if (rc < 0)
		*ret_weather = (struct line){ "no weather today" };
	return 0;
}

LADE_EXPLORE(wrong_timeout_bad, .setup = start_service, .teardown = stop_service)
{
	struct line weather;

	return lade_within(lade_ms(100), make_page(&weather));
}
