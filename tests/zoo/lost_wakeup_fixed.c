/* SPDX-License-Identifier: MIT */
/* lost_wakeup_fixed.c - the bell is quiet when no parcel is left, and not before. */

#include <lade/explore.h>
#include <lade/lade.h>

static struct lade_event bell;
static int parcels;

static int bring_two(struct lade_scope *world)
{
	(void)world;
	lade_event_init(&bell);
	parcels = 2;
	lade_event_set(&bell); /* once: who finds more than one rings again */
	return 0;
}

static int carry_in(void)
{
	return lade_sleep(lade_ms(1));
}

static int take_parcel(void)
{
	int rc = lade_event_wait(&bell);

	if (rc == 0)
		rc = carry_in();
	if (rc < 0)
		return rc;
	if (--parcels == 0)
		lade_event_clear(&bell);
	return 0;
}

LADE_EXPLORE(lost_wakeup_fixed, .setup = bring_two)
{
	return lade_within(lade_s(1), take_parcel());
}
