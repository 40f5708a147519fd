/* SPDX-License-Identifier: MIT */
/* lost_wakeup_bad.c - who was woken is cancelled before it has done what it was woken for.
 *
 * The ring is used up and the parcel still lies there: nobody comes for it any more. tokio #1898
 * (a mutex locked for ever), cpython #90155 (a semaphore's permit), Eio #487 (a condition) lost the
 * wake-up inside the primitive; lade's hand a thing over as they wake (rule 12), so that it takes
 * a hand-made one.
 *
 * Found: CHANGED, without an invariant or an annotation. */

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

	if (rc < 0)
		return rc;
	lade_event_clear(&bell);
	rc = carry_in(); /* named: nobody else is woken */
	if (rc < 0)
		return rc;
	if (--parcels > 0)
		lade_event_set(&bell);
	return 0;
}

LADE_EXPLORE(lost_wakeup_bad, .setup = bring_two)
{
	return lade_within(lade_s(1), take_parcel());
}
