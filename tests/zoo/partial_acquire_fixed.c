/* SPDX-License-Identifier: MIT */
/* partial_acquire_fixed.c - each thing that is taken is given back by a cleanup of its own. */

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

static void give_cpus(void *sem)
{
	lade_sem_release(sem, 3);
}

static void give_disk(void *sem)
{
	lade_sem_release(sem, 1);
}

static int start_machine(void)
{
	int rc = lade_sem_acquire(&cpus, 3);

	if (rc < 0)
		return rc;
	lade_defer(give_cpus, &cpus);
	rc = lade_sem_acquire(&disks, 1);
	if (rc < 0)
		return rc;
	lade_defer(give_disk, &disks);
	return lade_sleep(lade_ms(1));
}

LADE_EXPLORE(partial_acquire_fixed, .setup = build_host)
{
	return lade_within(lade_s(1), start_machine());
}
