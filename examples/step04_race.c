/* SPDX-License-Identifier: MIT */
/* step04_race.c - the first of several, and nothing left behind.
 *
 * lade_race_ok returns the index of the first task to succeed; one that fails has not won. The
 * others are cancelled and waited for: when the race is over they have given back what they held,
 * by lade_defer, in the reverse order of taking it.
 *
 * The law: rule 18, race; rule 15, cleanups run exactly once, and may wait.
 * Run: build/examples/step04_race */
#include <lade/lade.h>

#include <errno.h>
#include <stdio.h>

static void hang_up(void *replica)
{
	printf("  %s: hangs up\n", (const char *)replica);
}

/* Asks a replica: `near` refuses at once, `middle` takes 10 ms, `far` 10 s. */
static int ask(const char *replica, int *ret)
{
	int rc;

	printf("  %s: calls\n", replica);
	lade_defer(hang_up, (void *)(uintptr_t)replica);
	if (*replica == 'n')
		return -ECONNREFUSED;
	rc = lade_sleep(*replica == 'm' ? lade_ms(10) : lade_s(10));
	if (rc == 0)
		*ret = 42;
	return rc;
}
LADE_TASK(ask, int, (const char *, replica))

static int app(void)
{
	struct ask_task near = ask_task("near"), middle = ask_task("middle"), far = ask_task("far");
	int winner = lade_race_ok(&near, &middle, &far);

	if (winner == 1)
		printf("middle says %d\n", lade_value(&middle));
	printf("near: %s; far: %s\n", strerror(-lade_status(&near)), strerror(-lade_status(&far)));
	return winner < 0 ? winner : 0;
}
LADE_TASK_VOID(app)

int main(void)
{
	return lade_main(lade_do(app));
}
