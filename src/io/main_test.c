/* SPDX-License-Identifier: MIT */
/* main_test.c - a process of one task: its exit status, its signals, its stack. */

#include <lade/cores.h>
#include <lade/main.h>
#include <lade/scope.h>

#include "run.h"

#include <signal.h>

static int (*app_body)(void);

static int app(void)
{
	return app_body();
}
LADE_TASK_VOID(app)

static int run_app(int (*body)(void))
{
	app_body = body;
	return lade_main(lade_do(app));
}

/* The exit status of a process whose main task is @body: one process has one lade_main. */
static int status_of(int (*body)(void))
{
	int status = 0;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		if (!freopen("/dev/null", "w", stderr))
			_exit(99);
		_exit(run_app(body));
	}
	CHECK(pid > 0 && waitpid(pid, &status, 0) == pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static int succeeds(void)
{
	return 5;
}

static int fails(void)
{
	return -EIO;
}

static void the_exit_status_is_0_for_success_and_1_for_an_error(void)
{
	CHECK_EQ(status_of(succeeds), 0);
	CHECK_EQ(status_of(fails), 1);
}

/* Lets the loop look at its signals. */
static int yield_until_stopping(void)
{
	int rc = 0;

	while (rc == 0 && !lade_stopping())
		rc = lade_yield();
	return rc;
}

static int ends_well_when_asked(void)
{
	struct lade_reason why;

	raise(SIGTERM);
	if (yield_until_stopping() < 0 || lade_cancelled())
		return -EPROTO;
	why = lade_why();
	return why.kind == LADE_REASON_SHUTDOWN ? 0 : -EBADMSG;
}

static void a_first_signal_asks_softly_and_the_reason_is_a_shutdown(void)
{
	CHECK_EQ(status_of(ends_well_when_asked), 0);
}

static int must_be_asked_twice(void)
{
	int rc;

	raise(SIGINT);
	if (yield_until_stopping() < 0)
		return -EPROTO;
	raise(SIGINT);
	rc = lade_sleep(lade_s(20));
	return rc == -ECANCELED && lade_why().kind == LADE_REASON_SHUTDOWN ? rc : -EBADMSG;
}

static void a_second_signal_asks_hard_and_the_exit_status_says_so(void)
{
	CHECK_EQ(status_of(must_be_asked_twice), 130);
}

static int hangs(void)
{
	for (;;)
		raise(SIGTERM);
	return 0;
}

static void a_third_signal_ends_the_process_although_the_loop_hangs(void)
{
	CHECK_EQ(status_of(hangs), -SIGTERM);
}

static __attribute__((noinline)) int dig(int depth)
{
	volatile char hole[1024];

	for (size_t i = 0; i < sizeof(hole); i++)
		hole[i] = (char)depth;
	return depth == 0 ? hole[7] : dig(depth - 1) + hole[9];
}

static int digs(void)
{
	return dig(100000);
}

static void a_stack_overflow_ends_the_process_and_names_the_task_and_its_start(void)
{
	run_app(digs);
}

LADE_TASK_VOID(digs)

static int digs_elsewhere(void)
{
	struct digs_task there = digs_task();
	struct lade_on_task sent = lade_on_task(1, &there);
	int rc = 0;

	lade_scope(s, &rc) {
		lade_start(&s, &sent);
		rc = lade_wait(&sent);
	}
	return rc;
}

static void a_stack_overflow_on_another_core_is_named_too(void)
{
	setenv("LADE_CORES", "2", 1);
	run_app(digs_elsewhere);
}

static int reads_nothing(void)
{
	const volatile int *nothing = NULL;

	return *nothing;
}

static void another_fault_is_left_to_the_system(void)
{
	int status = status_of(reads_nothing);

	/* A sanitizer that looks at faults itself ends with 1. */
	CHECK(status == -SIGSEGV || status == 1);
}

int main(void)
{
	TAP(the_exit_status_is_0_for_success_and_1_for_an_error);
	TAP(a_first_signal_asks_softly_and_the_reason_is_a_shutdown);
	TAP(a_second_signal_asks_hard_and_the_exit_status_says_so);
	TAP(a_third_signal_ends_the_process_although_the_loop_hangs);
	TAP_DIES(a_stack_overflow_ends_the_process_and_names_the_task_and_its_start,
		 "misuse: task app, started at");
	TAP_DIES(a_stack_overflow_on_another_core_is_named_too, "misuse: task digs, started at");
	TAP(another_fault_is_left_to_the_system);
	return tap_done();
}
