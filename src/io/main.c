/* SPDX-License-Identifier: MIT */
/* main.c - a process that belongs to one task: signals, reports, exit status.
 *
 * DESIGN
 * Signal handlers count and wake the loop; what the signal means happens there, in a turn, where
 * nothing is half done. Only the third SIGINT or SIGTERM acts at once: by then the loop may be
 * what hangs. SIGQUIT is watcher.c's. The handler for a stack overflow runs on a stack of its own
 * and can do no more than say whose it was. */

#include "core/io_priv.h"
#include "core/settings.h"
#include "io/watcher.h"

#include <lade/main.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define EXIT_SIGNAL 130
#define EXIT_NO_LOOP 2
#define EXIT_SETTINGS 78
#define TROUBLE_BYTES 768 /* of a setting that is none, with all there are */

/* The loop that signals speak to: one process has one main. */
static struct lade_loop *_Atomic main_loop;
static struct lade_task *main_task;
static atomic_int stops_asked;
static int stops_seen;
static struct lade_duration soft_phase = { INT64_C(30000000000) };
static struct lade_duration longest_hold = { INT64_C(100000000) };

static void on_stop(int number)
{
	struct lade_loop *loop = main_loop;

	if (atomic_fetch_add(&stops_asked, 1) >= 2) {
		signal(number, SIG_DFL);
		raise(number);
		return;
	}
	if (loop)
		lade_loop_wake(loop);
}

static void say(const char *text)
{
	(void)!write(STDERR_FILENO, text, strlen(text));
}

static void on_fault(int number, siginfo_t *info, void *context)
{
	const struct lade_ctl *ctl = lade_cur;
	char text[512];

	(void)context;
	if (!lade_stack_in_guard(ctl, info->si_addr)) {
		signal(number, SIG_DFL);
		return; /* the faulting instruction runs again and ends the process */
	}
	snprintf(text, sizeof(text),
		 "lade: misuse: task %s, started at %s, has overrun its stack of %zu bytes; "
		 "give it .stack_bytes\n",
		 ctl->head->type->name, ctl->head->site, ctl->stack_bytes);
	say(text);
	abort();
}

/* What the signals since the last turn ask for. */
static void take_signals(struct lade_loop *loop)
{
	int stops = atomic_load(&stops_asked);

	if (stops == stops_seen || main_task->state != TASK_STARTED)
		return;
	stops_seen = stops;
	lade_request_with_grace(loop, main_task->ctl->root,
				stops > 1 ? lade_ns(0) : soft_phase,
				LADE_REASON_SHUTDOWN, "a signal");
}

static void install(int number, void (*handler)(int))
{
	struct sigaction action = { .sa_handler = handler, .sa_flags = SA_RESTART };

	sigaction(number, &action, NULL);
}

static void install_handlers(void)
{
	static char handler_stack[65536];
	struct sigaction fault = { .sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK };
	stack_t stack = { .ss_sp = handler_stack, .ss_size = sizeof(handler_stack) };

	install(SIGINT, on_stop);
	install(SIGTERM, on_stop);
	signal(SIGPIPE, SIG_IGN);
	sigaltstack(&stack, NULL);
	sigaction(SIGSEGV, &fault, NULL);
}

static void report(void *arg, const char *message)
{
	(void)arg;
	dprintf(STDERR_FILENO, "lade: %s\n", message);
}

static int exit_status(const struct lade_task *task)
{
	if (task->status >= 0)
		return 0;
	if (task->status == -ECANCELED && stops_seen)
		return EXIT_SIGNAL;
	dprintf(STDERR_FILENO, "lade: %s ended: %s\n", task->type->name, strerror(-task->status));
	return 1;
}

void lade_main_grace(struct lade_duration grace)
{
	soft_phase = grace;
}

void lade_main_hold(struct lade_duration longest)
{
	longest_hold = longest.ns ? longest : LADE_FOREVER;
}

int lade_main_at(struct lade_task *task, const char *site)
{
	struct lade_loop_config config = { .report = report };
	char trouble[TROUBLE_BYTES];
	struct lade_loop *loop;
	int rc;

	/* First of all: a signal that comes while the loop is made is heard in its first turn. */
	install_handlers();
	if (lade_settings_check(trouble, sizeof(trouble)) < 0) {
		dprintf(STDERR_FILENO, "lade: %s\n", trouble);
		return EXIT_SETTINGS;
	}
	rc = lade_watcher_start(longest_hold.ns);
	if (rc < 0)
		dprintf(STDERR_FILENO, "lade: SIGQUIT will show nothing: %s\n", strerror(-rc));
	rc = lade_loop_new(&config, &loop);
	if (rc < 0) {
		lade_watcher_stop();
		dprintf(STDERR_FILENO, "lade: no loop can be had: %s%s%s\n", strerror(-rc),
			getenv("LADE_BACKEND") ? "; LADE_BACKEND asks for " : "",
			getenv("LADE_BACKEND") ? getenv("LADE_BACKEND") : "");
		return EXIT_NO_LOOP;
	}
	main_task = task;
	loop->on_wake = take_signals;
	main_loop = loop;
	if (atomic_load(&stops_asked))
		lade_loop_wake(loop);
	lade_loop_run_at(loop, task, site);
	main_loop = NULL;
	lade_loop_free(loop);
	lade_watcher_stop();
	return exit_status(task);
}

const char *lade_backend_name(void)
{
	return lade_cur->loop ? lade_cur->loop->backend->name : "";
}

int lade_backend_probe(char *text, size_t len)
{
	struct lade_loop_config config = { 0 };
	struct lade_loop *loop;
	int rc = lade_settings_check(text, len);

	if (rc < 0)
		return rc;
	rc = lade_loop_new(&config, &loop);
	if (rc < 0) {
		snprintf(text, len, "%s", strerror(-rc));
		return rc;
	}
	if (loop->refused)
		rc = snprintf(text, len, "%s (io_uring: %s)", loop->backend->name,
			      strerror(-loop->refused));
	else
		rc = snprintf(text, len, "%s", loop->backend->name);
	lade_loop_free(loop);
	return rc;
}
