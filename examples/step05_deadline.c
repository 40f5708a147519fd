/* SPDX-License-Identifier: MIT */
/* step05_deadline.c - a deadline is an expression round a call.
 *
 * It needs no task, no token and no parameter: what is called inside, however deep, has it too,
 * and of several the earliest counts. The call that waits returns -ECANCELED, and whoever set the
 * deadline that fired gets -ETIME; everybody between passes -ECANCELED on, after clearing up.
 *
 * The law: rule 6, deadlines; rule 30, who turns -ECANCELED into what.
 * Run: build/examples/step05_deadline */
#include <lade/lade.h>

#include <errno.h>
#include <stdio.h>

/* A name for what these calls return. */
static const char *outcome(int rc)
{
	return rc == 0 ? "done" : rc == -ETIME ? "-ETIME" : rc == -ECANCELED ? "-ECANCELED" : "?";
}

static int fetch(int64_t ms)
{
	int rc = lade_sleep(lade_ms(ms));

	printf("  fetch: %s\n", outcome(rc));
	return rc;
}

/* Allows each of its calls five seconds, whatever its own caller allows it. */
static int careful(int64_t ms)
{
	int rc = lade_within(lade_s(5), fetch(ms));

	printf("  careful: %s\n", outcome(rc));
	return rc;
}

static int app(void)
{
	printf("quick enough: %s\n", outcome(lade_within(lade_s(5), fetch(1))));
	printf("too slow: %s\n", outcome(lade_within(lade_ms(10), fetch(10000))));
	printf("the outer one is earlier: %s\n",
	       outcome(lade_within(lade_ms(10), careful(10000))));
	return 0;
}
LADE_TASK_VOID(app)

int main(void)
{
	return lade_main(lade_do(app));
}
