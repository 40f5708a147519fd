/* SPDX-License-Identifier: MIT */
/* step02_two_tasks.c - two tasks on one thread, that take turns.
 *
 * A task runs until it waits; then another one does. So what lies between two waits needs no lock,
 * and a call that may wait is the only place where the world can change: its declaration says
 * lade_suspends, and the compiler warns when its result is ignored.
 *
 * The law: rules 7 and 8, a task is switched, and cancelled, at suspending calls only.
 * Run: build/examples/step02_two_tasks */
#include <lade/lade.h>

#include <stdio.h>

static int count_to_three(const char *name)
{
	int rc = 0;

	for (int i = 1; rc == 0 && i <= 3; i++) {
		printf("%s %d\n", name, i);
		rc = lade_sleep(lade_ms(10));
	}
	return rc;
}
LADE_TASK_VOID(count_to_three, (const char *, name))

static int app(void)
{
	return lade_join(lade_do(count_to_three, "tick"), lade_do(count_to_three, "tock"));
}
LADE_TASK_VOID(app)

int main(void)
{
	return lade_main(lade_do(app));
}
