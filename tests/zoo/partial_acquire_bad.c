/* SPDX-License-Identifier: MIT */
/* partial_acquire_bad.c - the wait for the second thing is cancelled, the first is held.
 *
 * Each acquisition is right on its own. In between a cancel leaves the first one taken, for ever.
 * omicron's log snapshots ("this isn't cancel safe, we'll leak snapshots"), Effect's
 * PartitionedSemaphore.
 *
 * Found: CHANGED, without an invariant or an annotation. */

#include <lade/explore.h>
#include <lade/lade.h>

static struct lade_sem cpus, disks;

static int build_host(struct lade_scope *world)
{
	(void)world;
	lade_sem_init(&cpus, 4);
	lade_sem_init(&disks, 1);
	return 0;
}

static int start_machine(void)
{
	int rc = lade_sem_acquire(&cpus, 3);

	if (rc == 0)
		rc = lade_sem_acquire(&disks, 1); /* named: the processors stay taken */
	if (rc < 0)
		return rc;
	rc = lade_sleep(lade_ms(1));
	lade_sem_release(&disks, 1);
	lade_sem_release(&cpus, 3);
	return rc;
}

LADE_EXPLORE(partial_acquire_bad, .setup = build_host)
{
	return lade_within(lade_s(1), start_machine());
}
