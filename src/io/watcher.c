/* SPDX-License-Identifier: MIT */
/* watcher.c - the thread that is awake when the loops are not.
 *
 * DESIGN
 * SIGQUIT's handler writes to an eventfd, whatever thread it interrupts; this thread reads it and
 * dumps the loops (core/loops.c). The same signal, sent to one thread, is how a loop is held that
 * does not answer.
 *
 * Twice in the time that a task may hold the core the thread looks which task has it, by two loads:
 * the loop pays nothing. Looks are counted and not the time between them, so a process that was
 * stopped is not blamed on who ran.
 *
 * LIMITS  LINES_MAX start lines are counted; a task of another is not reported. */

#include "io/watcher.h"

#include "core/loops.h"
#include "core/text.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define PATIENCE_NS 200000000 /* a loop that has not answered for so long is held */
#define LOOKS_PER_HOLD 2
#define LINES_MAX 64

/* A start line whose tasks have held a core. */
struct line {
	char site[128];	    /* file:line */
	uint64_t times;	    /* so often */
	uint64_t report_at; /* value of times at which it is reported again */
	int64_t longest_ns; /* so long at most */
};

/* All of it is the thread's own but fd, stop and quits. */
static struct {
	int fd;			/* eventfd that wakes it; -1: there is no watcher */
	atomic_bool stop;	/* it is to end */
	atomic_uint quits;	/* SIGQUITs so far */
	unsigned dumped;	/* of them */
	pthread_t thread;
	int64_t look_ns;	/* between two looks; INT64_MAX: none */
	struct lade_hold holds[LADE_LOOPS_MAX];
	struct line lines[LINES_MAX];
	uint32_t lines_len;	/* used */
} watcher = { .fd = -1 };

static void wake(void)
{
	const uint64_t one = 1;

	(void)!write(watcher.fd, &one, sizeof(one));
}

static void on_quit(int number, siginfo_t *info, void *context)
{
	int saved = errno;

	(void)number;
	(void)info;
	if (!lade_loops_held(context)) {
		atomic_fetch_add(&watcher.quits, 1);
		wake();
	}
	errno = saved;
}

static struct line *line_of(const char *site)
{
	for (uint32_t i = 0; i < watcher.lines_len; i++)
		if (strcmp(watcher.lines[i].site, site) == 0)
			return &watcher.lines[i];
	if (watcher.lines_len == LINES_MAX)
		return NULL;
	memcpy(watcher.lines[watcher.lines_len].site, site, sizeof(watcher.lines[0].site));
	watcher.lines[watcher.lines_len].report_at = 1;
	return &watcher.lines[watcher.lines_len++];
}

static void report(uint32_t loop, const struct lade_hold *hold, struct line *line)
{
	char text[512];

	snprintf(text, sizeof(text),
		 "task %s #%lu, started at %s, holds the core for %ld ms without a break%s; "
		 "SIGQUIT shows where it is",
		 hold->name, (unsigned long)hold->number, hold->site,
		 (long)(hold->looks * watcher.look_ns / 1000000),
		 line->times == 1 ? "" : ", again");
	line->report_at *= 10;
	lade_loops_report(loop, text);
}

static void look(uint32_t loop)
{
	struct lade_hold *hold = &watcher.holds[loop];
	struct line *line;

	if (!lade_loops_look(loop, hold) || hold->looks < LOOKS_PER_HOLD)
		return;
	line = line_of(hold->site);
	if (!line)
		return;
	if (line->longest_ns < hold->looks * watcher.look_ns)
		line->longest_ns = hold->looks * watcher.look_ns;
	if (hold->looks == LOOKS_PER_HOLD && ++line->times == line->report_at)
		report(loop, hold, line);
}

static void show_lines(int fd)
{
	struct lade_text text = { .fd = fd };

	if (watcher.lines_len)
		lade_text_say(&text,
			      "lade: tasks that held the core for %lu ms or more, by start line\n",
			      (unsigned long)(watcher.look_ns * LOOKS_PER_HOLD / 1000000));
	for (uint32_t i = 0; i < watcher.lines_len; i++)
		lade_text_say(&text, "  %s: %lu times, %lu ms at most\n", watcher.lines[i].site,
			      (unsigned long)watcher.lines[i].times,
			      (unsigned long)(watcher.lines[i].longest_ns / 1000000));
	lade_text_flush(&text);
}

static void *watch(void *unused)
{
	struct pollfd fd = { .fd = watcher.fd, .events = POLLIN };
	struct timespec pause = { watcher.look_ns / 1000000000, watcher.look_ns % 1000000000 };
	bool looks = watcher.look_ns != INT64_MAX;
	uint64_t woken;

	(void)unused;
	while (!atomic_load(&watcher.stop) || watcher.dumped != atomic_load(&watcher.quits)) {
		if (watcher.dumped != atomic_load(&watcher.quits)) {
			watcher.dumped++;
			lade_loops_dump(STDERR_FILENO, PATIENCE_NS);
			show_lines(STDERR_FILENO);
			continue;
		}
		if (ppoll(&fd, 1, looks ? &pause : NULL, NULL) > 0)
			(void)!read(watcher.fd, &woken, sizeof(woken));
		else
			for (uint32_t i = 0; looks && i < LADE_LOOPS_MAX; i++)
				look(i);
	}
	return NULL;
}

/* Signals go to the program's own threads: a program that blocks some must not be surprised. */
static int start_thread(void)
{
	sigset_t all, before;
	int rc;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	rc = pthread_create(&watcher.thread, NULL, watch, NULL);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return -rc;
}

int lade_watcher_start(int64_t hold_ns)
{
	struct sigaction action = { .sa_sigaction = on_quit,
				    .sa_flags = SA_RESTART | SA_SIGINFO | SA_ONSTACK };
	int rc;

	watcher.look_ns = hold_ns == INT64_MAX ? INT64_MAX : hold_ns / LOOKS_PER_HOLD;
	memset(watcher.holds, 0, sizeof(watcher.holds));
	watcher.lines_len = 0;
	watcher.dumped = atomic_load(&watcher.quits);
	atomic_store(&watcher.stop, false);
	watcher.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (watcher.fd < 0)
		return -errno;
	rc = start_thread();
	if (rc < 0) {
		close(watcher.fd);
		watcher.fd = -1;
		return rc;
	}
	sigaction(SIGQUIT, &action, NULL);
	lade_loops_hold_by(SIGQUIT);
	return 0;
}

void lade_watcher_stop(void)
{
	if (watcher.fd < 0)
		return;
	lade_loops_hold_by(0);
	atomic_store(&watcher.stop, true);
	wake();
	pthread_join(watcher.thread, NULL);
	/* A signal may still come: its handler finds no descriptor. */
	close(watcher.fd);
	watcher.fd = -1;
}
