/* SPDX-License-Identifier: MIT */
#ifndef LADE_TESTS_TAP_H
#define LADE_TESTS_TAP_H

/* tap.h - the whole test harness: a program of sentences, printed as TAP.
 *
 * DESIGN
 * A test is a function whose name is a sentence; it returns, it never jumps: a
 * harness that leaves a failed test by longjmp would jump across task stacks.
 * So CHECK records the failure and goes on, and TAP_DIES runs its function in a
 * child process, because misuse ends the process.
 *
 *	int main(void)
 *	{
 *		TAP(the_earlier_deadline_wins_in_either_order);
 *		TAP_DIES(a_task_started_twice_ends_the_process, "started twice");
 *		return tap_done();
 *	}
 */

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static int tap_number;		/* tests run so far */
static int tap_failed;		/* tests that failed */
static int tap_bad_checks;	/* failed checks of the running test */

/* CHECK - records a failure with its place; the test goes on. */
#define CHECK(cond)                                                                        \
	((cond) ? (void)0                                                                  \
		: (void)(tap_bad_checks++,                                                 \
			 printf("# %s:%d: failed: %s\n", __FILE__, __LINE__, #cond)))

/* CHECK_EQ - CHECK for two integers, and shows both. */
#define CHECK_EQ(a, b)                                                                     \
	do {                                                                               \
		long long tap_a = (long long)(a), tap_b = (long long)(b);                  \
		if (tap_a != tap_b) {                                                      \
			tap_bad_checks++;                                                  \
			printf("# %s:%d: failed: %s == %s (%lld, %lld)\n", __FILE__,       \
			       __LINE__, #a, #b, tap_a, tap_b);                            \
		}                                                                          \
	} while (0)

#define TAP_BAIL 4 /* the exit status of a program that could not go on */

/* NEED_EQ - CHECK_EQ for what the rest of the test cannot do without: the program ends by exit. */
#define NEED_EQ(a, b)                                                                      \
	do {                                                                               \
		long long tap_a = (long long)(a), tap_b = (long long)(b);                  \
		if (tap_a != tap_b) {                                                      \
			printf("Bail out! %s:%d: %s == %s (%lld, %lld)\n", __FILE__,       \
			       __LINE__, #a, #b, tap_a, tap_b);                            \
			fflush(stdout);                                                    \
			_exit(TAP_BAIL);                                                   \
		}                                                                          \
	} while (0)

/* CHECK_STR - CHECK for two strings, and shows both. */
#define CHECK_STR(a, b)                                                                    \
	do {                                                                               \
		const char *tap_a = (a), *tap_b = (b);                                     \
		if (!tap_a || !tap_b || strcmp(tap_a, tap_b) != 0) {                       \
			tap_bad_checks++;                                                  \
			printf("# %s:%d: failed: %s == %s (\"%s\", \"%s\")\n", __FILE__,   \
			       __LINE__, #a, #b, tap_a ? tap_a : "(null)",                 \
			       tap_b ? tap_b : "(null)");                                  \
		}                                                                          \
	} while (0)

static inline void tap_line(int bad, const char *name, const char *note)
{
	printf("%s %d - ", bad ? "not ok" : "ok", ++tap_number);
	for (; *name; name++)
		putchar(*name == '_' ? ' ' : *name);
	printf("%s%s\n", note ? " # " : "", note ? note : "");
	tap_failed += bad;
	fflush(stdout);
}

static inline void tap_run(void (*fn)(void), const char *name)
{
	tap_bad_checks = 0;
	fflush(stdout);
	fn();
	tap_line(tap_bad_checks != 0, name, NULL);
}

/* TAP - runs one test. */
#define TAP(fn) tap_run(fn, #fn)

/* TAP_SKIP - counts a test that cannot run here, with the reason. */
#define TAP_SKIP(fn, why) ((void)(fn), tap_line(0, #fn, "SKIP " why))

static inline void tap_run_dies(void (*fn)(void), const char *name, const char *want)
{
	char said[8192];
	size_t len = 0;
	int out[2], status = 0;
	ssize_t n;
	pid_t pid;

	tap_bad_checks = 0;
	fflush(stdout);
	if (pipe(out) < 0 || (pid = fork()) < 0) {
		perror("tap: pipe or fork");
		exit(2);
	}
	if (pid == 0) {
		dup2(out[1], STDERR_FILENO);
		close(out[0]);
		close(out[1]);
		fn();
		_exit(0);
	}
	close(out[1]);
	while (len < sizeof(said) - 1 && (n = read(out[0], said + len, sizeof(said) - 1 - len)) > 0)
		len += (size_t)n;
	said[len] = 0;
	close(out[0]);
	waitpid(pid, &status, 0);
	if (!(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT)) {
		tap_bad_checks++;
		printf("# expected an abort, got status 0x%x\n", (unsigned)status);
	}
	if (!strstr(said, want)) {
		tap_bad_checks++;
		printf("# expected a message with \"%s\", got: %s\n", want, said);
	}
	tap_line(tap_bad_checks != 0, name, NULL);
}

/* TAP_DIES - the function must end its process by abort() with @want on stderr. */
#define TAP_DIES(fn, want) tap_run_dies(fn, #fn, want)

/* tap_done - prints the plan; the exit status of the program. */
static inline int tap_done(void)
{
	printf("1..%d\n", tap_number);
	return tap_failed != 0;
}

#endif
