/* SPDX-License-Identifier: MIT */
/* swallowed_cancel_bad.c - a loop that tries again takes its own cancel for a failure.
 *
 * The request to end is one more error to try again after. Where a cancel is delivered once, the
 * program goes on as if nobody had asked; lade's comes again with every call, so that the loop ends
 * at last, as a failure of the service. cpython #86296, redis-py #2028, opentelemetry-kotlin #870.
 *
 * Found: SWALLOWED CANCEL, without an invariant or an annotation. */

#include "service.h"

#include <lade/explore.h>
#include <lade/lade.h>

#define TRIES 3

static int ask(const struct line *city, struct line *ret)
{
	int rc = -EIO;

	for (int i = 0; i < TRIES && rc < 0; i++) {
		rc = exchange(&service_address, city, ret); /* named: and once more */
		if (rc < 0)
			(void)!lade_sleep(lade_ms(10));
	}
	return rc < 0 ? -EHOSTDOWN : 0;
}

LADE_EXPLORE(swallowed_cancel_bad, .setup = start_service, .teardown = stop_service)
{
	const struct line city = { "Oslo" };
	struct line reply;

	return ask(&city, &reply);
}
