/* SPDX-License-Identifier: MIT */
/* twenty.c - how many runs a second the explorer makes of a scenario with twenty tasks.
 *
 * Two MiB of heap are dirty, as in a program that does something: the kernel copies the page tables
 * of all of it for each run. */

#include <lade/explore.h>
#include <lade/lade.h>

#include <stdlib.h>
#include <string.h>

#define HEAP_BYTES (2u << 20)

static char *heap;

static int dirty_heap(struct lade_scope *world)
{
	(void)world;
	heap = malloc(HEAP_BYTES);
	if (!heap)
		return -1;
	memset(heap, 1, HEAP_BYTES);
	return 0;
}

static void clean_heap(void)
{
	free(heap);
}

static int step_by_step(int64_t us)
{
	int rc = 0;

	for (int i = 0; rc == 0 && i < 4; i++)
		rc = lade_sleep(lade_us(us));
	return rc;
}
LADE_TASK_VOID(step_by_step, (int64_t, us))

LADE_EXPLORE(twenty_tasks, .setup = dirty_heap, .teardown = clean_heap)
{
	int rc = 0;

	lade_scope(s, &rc) {
		for (int64_t i = 0; rc == 0 && i < 20; i++)
			rc = lade_spawn(&s, step_by_step_task(10 + i));
	}
	return rc;
}
