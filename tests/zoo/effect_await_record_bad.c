/* SPDX-License-Identifier: MIT */
/* effect_await_record_bad.c - a reply is fetched, sent on, and only then stored.
 *
 * A time-out round the request falls between the reply and the store now and then: the reply was
 * paid for, the client asks again, and sees old data for weeks. Nothing in the code looks wrong,
 * and every test passes. The order is that of the story which lade begins with.
 *
 * Found: LOST WORK, without an invariant or an annotation. */

#include "service.h"

#include <lade/explore.h>
#include <lade/lade.h>

static struct line stored; /* what is remembered: "" for nothing yet */

static int tell_client(const struct line *reply)
{
	(void)reply;
	return lade_sleep(lade_ms(1)); /* a slow client */
}

static int answer_request(void)
{
	const struct line city = { "Oslo" };
	struct line reply;
	int rc;

	if (*stored.text)
		return tell_client(&stored);
	rc = exchange(&service_address, &city, &reply);
	if (rc == 0)
		rc = tell_client(&reply); /* named: here the reply is lost */
	if (rc == 0)
		stored = reply;
	return rc;
}

LADE_EXPLORE(effect_await_record_bad, .setup = start_service, .teardown = stop_service)
{
	return lade_within(lade_ms(100), answer_request());
}
