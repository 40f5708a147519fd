/* SPDX-License-Identifier: MIT */
/* lade.c - what a task costs that only waits: memory, and time to start and to end it.
 *
 * idle TASKS wait|sleep 64|256: so many tasks wait for one event, or sleep for an hour, on stacks
 * of that many KiB. Prints work, who, metric, unit and value, tab separated. Memory is what
 * /proc/self/status says of the process, less what it was before the first task. */

#include <lade/lade.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct memory {
	double resident; /* bytes in RAM */
	double tables;	 /* bytes of page tables, which the first does not count */
};

static struct lade_event begun; /* what they wait for */
static long arrived;		/* tasks that have come to their wait */

static int waits(bool sleep)
{
	arrived++;
	return sleep ? lade_sleep(lade_s(3600)) : lade_event_wait(&begun);
}
LADE_TASK_VOID(waits, (bool, sleep))

static int waits_in_64(bool sleep)
{
	return waits(sleep);
}
LADE_TASK_VOID_WITH(waits_in_64, (.stack_bytes = 64u << 10), (bool, sleep))

static double cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static struct memory memory_now(void)
{
	FILE *f = fopen("/proc/self/status", "re");
	struct memory now = { 0, 0 };
	char line[128];
	long kib;

	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "VmRSS: %ld kB", &kib) == 1)
			now.resident = (double)kib * 1024;
		else if (sscanf(line, "VmPTE: %ld kB", &kib) == 1)
			now.tables = (double)kib * 1024;
	}
	if (f)
		fclose(f);
	return now;
}

static void row(const char *work, const char *kib, const char *metric, const char *unit,
		double value)
{
	printf("%s\tlade, %s KiB slots\t%s\t%s\t%.1f\n", work, kib, metric, unit, value);
}

static int idle(long tasks, const char *work, const char *kib)
{
	bool sleep = strcmp(work, "idle_sleep") == 0;
	const struct memory before = memory_now();
	struct memory now = before;
	double started = 0, ended, from = cpu_ns();
	int rc = 0;

	lade_scope(s, &rc, .max_children = (uint32_t)tasks) {
		for (long i = 0; i < tasks && rc == 0; i++)
			rc = strcmp(kib, "64") == 0 ? lade_spawn(&s, waits_in_64_task(sleep))
						    : lade_spawn(&s, waits_task(sleep));
		while (arrived < tasks && rc == 0)
			rc = lade_yield();
		started = cpu_ns() - from;
		now = memory_now();
		from = cpu_ns();
		lade_event_set(&begun);
		if (sleep)
			lade_cancel(&s, lade_ms(0));
	}
	ended = cpu_ns() - from;
	if (rc < 0 && !(sleep && rc == -ECANCELED))
		return rc;
	row(work, kib, "bytes", "bytes a task, resident and page tables",
	    (now.resident - before.resident + now.tables - before.tables) / (double)tasks);
	row(work, kib, "bytes", "of them page tables",
	    (now.tables - before.tables) / (double)tasks);
	row(work, kib, "ns", "CPU ns to start one", started / (double)tasks);
	row(work, kib, "ns", "CPU ns to end one", ended / (double)tasks);
	return 0;
}
LADE_TASK_VOID(idle, (long, tasks), (const char *, work), (const char *, kib))

int main(int argc, char **argv)
{
	if (argc != 4)
		return 2;
	lade_event_init(&begun);
	return lade_main(lade_do(idle, atol(argv[1]),
				 strcmp(argv[2], "sleep") == 0 ? "idle_sleep" : "idle_wait",
				 argv[3]));
}
