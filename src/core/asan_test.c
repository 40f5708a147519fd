/* SPDX-License-Identifier: MIT */
/* asan_test.c - what AddressSanitizer finds where lade itself does not look. */

#include "run.h"

#if defined(__SANITIZE_ADDRESS__)
#define HAVE_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HAVE_ASAN 1
#endif
#endif

#ifdef HAVE_ASAN
#define TAP_FINDS(fn, what) tap_line(!finds(fn, what), #fn, NULL)
#else
#define TAP_FINDS(fn, what) TAP_SKIP(fn, "without AddressSanitizer")
#endif

/* Whether the sanitizer ends a child process that runs @fn, with @what in its report. */
__attribute__((unused)) static bool finds(void (*fn)(void), const char *what)
{
	static char said[65536];
	size_t len = 0;
	int out[2], status = 0;
	ssize_t n;
	pid_t pid;

	fflush(stdout);
	if (pipe(out) < 0 || (pid = fork()) < 0)
		return false;
	if (pid == 0) {
		dup2(out[1], STDERR_FILENO);
		fn();
		_exit(0);
	}
	close(out[1]);
	while (len < sizeof(said) - 1 && (n = read(out[0], said + len, sizeof(said) - 1 - len)) > 0)
		len += (size_t)n;
	said[len] = 0;
	close(out[0]);
	waitpid(pid, &status, 0);
	return status != 0 && strstr(said, what);
}

static int reads_later(volatile int *number, int *ret)
{
	int rc = lade_sleep(lade_ms(10));

	*ret = *number;
	return rc;
}
LADE_TASK(reads_later, int, (volatile int *, number))

IN_TASK(a_child_that_uses_what_the_block_declared_is_found)
{
	struct reads_later_task a = reads_later_task(NULL);
	int rc = 0;

	lade_scope(s, &rc) {
		volatile int declared_inside = 5;

		a = reads_later_task(&declared_inside);
		lade_start(&s, &a);
	}
	write_down("%d", rc);
}

static void starts_a_task_of_its_own(struct lade_scope *scope)
{
	struct end_after_task a = end_after_task(10, 0);

	lade_start(scope, &a);
}

IN_TASK(a_task_whose_struct_dies_with_its_function_is_found)
{
	int rc = 0;

	lade_scope(s, &rc) {
		starts_a_task_of_its_own(&s);
		CHECK_EQ(lade_yield(), 0);
	}
}

IN_TASK(a_task_whose_struct_is_freed_while_it_runs_is_found)
{
	struct end_after_task *a = malloc(sizeof(*a));
	int rc = 0;

	if (!a)
		return;
	*a = end_after_task(10, 0);
	lade_scope(s, &rc) {
		lade_start(&s, a);
		CHECK_EQ(lade_yield(), 0);
		free(a);
	}
}

static int uses_its_own_frame_well(int depth, int *ret)
{
	volatile int frame[64];
	int below = 0, rc = 0;

	for (int i = 0; i < 64; i++)
		frame[i] = depth;
	if (depth > 0) {
		struct lade_node *before = lade_cur->scope;

		rc = uses_its_own_frame_well(depth - 1, &below);
		CHECK(before == lade_cur->scope);
	} else {
		rc = lade_sleep(lade_ms(1));
	}
	*ret = below + frame[63];
	return rc;
}
LADE_TASK(uses_its_own_frame_well, int, (int, depth))

IN_TASK(tasks_that_switch_deep_in_their_stacks_are_no_findings)
{
	struct uses_its_own_frame_well_task t[10];
	int rc = 0;

	for (int round = 0; round < 5; round++) {
		lade_scope(s, &rc)
			for (int i = 0; i < 10; i++) {
				t[i] = uses_its_own_frame_well_task(i * 3);
				lade_start(&s, &t[i]);
			}
		CHECK_EQ(rc, 0);
		CHECK_EQ(lade_value(&t[9]), 27 * 28 / 2);
	}
}

int main(void)
{
	TAP_FINDS(a_child_that_uses_what_the_block_declared_is_found, "use-after-scope");
	TAP_FINDS(a_task_whose_struct_dies_with_its_function_is_found, "AddressSanitizer");
	TAP_FINDS(a_task_whose_struct_is_freed_while_it_runs_is_found, "use-after-free");
	TAP(tasks_that_switch_deep_in_their_stacks_are_no_findings);
	return tap_done();
}
