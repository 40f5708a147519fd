/* SPDX-License-Identifier: MIT */
/* step01_hello.c - one task: any function becomes one by a line.
 *
 * The function returns a status, 0 or -errno. LADE_TASK_VOID makes a task type of it (LADE_TASK if
 * it has a result), lade_do makes such a task, lade_main runs it until it, and all that it
 * started, have ended; the exit status is 0 if it ended with 0.
 *
 * The law: rule 1, every task has a parent; this one's is the scope that lade_main opens.
 * Run: build/examples/step01_hello [NAME] */
#include <lade/lade.h>

#include <stdio.h>

static int hello(const char *name)
{
	printf("Hello, %s!\n", name);
	return 0;
}
LADE_TASK_VOID(hello, (const char *, name))

int main(int argc, char **argv)
{
	return lade_main(lade_do(hello, argc > 1 ? argv[1] : "world"));
}
