/* SPDX-License-Identifier: MIT */
/* watcher_test.c - a process that hangs tells why: parked, spinning, on other cores, many tasks.
 *
 * Each test is a process whose stderr is read; it is asked by SIGQUIT when it says that it is where
 * it is meant to be, and is waited for by what it prints, not by time. */

#include <lade/cores.h>
#include <lade/join.h>
#include <lade/main.h>

#include "run.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <time.h>

#define HANGS_MS 60000 /* nothing takes as long, sanitizer or not */

/* A process under test. */
static struct {
	pid_t pid;
	int out;		/* what it says */
	char said[8 << 20];	/* so far */
	size_t len;		/* of said */
} child;

static int (*app_body)(void);

static int app(void)
{
	return app_body();
}
LADE_TASK_VOID(app)

/* The task of the child is where it should be. */
static void here(void)
{
	(void)!write(STDERR_FILENO, "here\n", 5);
}

static void begin(int (*body)(void))
{
	int out[2];

	child.len = 0;
	fflush(stdout);
	CHECK_EQ(pipe(out), 0);
	child.pid = fork();
	if (child.pid == 0) {
		dup2(out[1], STDERR_FILENO);
		close(out[0]);
		close(out[1]);
		app_body = body;
		_exit(lade_main(lade_do(app)));
	}
	close(out[1]);
	child.out = out[0];
}

/* Reads until the child has said @text @times times.  Returns whether it did. */
static bool says(const char *text, int times)
{
	const char *at = child.said;
	ssize_t n = 1;

	while (n > 0) {
		struct pollfd fd = { .fd = child.out, .events = POLLIN };
		size_t known = strlen(text) - 1; /* of its bytes may have come already */

		child.said[child.len] = 0;
		for (const char *hit; times > 0 && (hit = strstr(at, text)); times--)
			at = hit + 1;
		if (times == 0)
			return true;
		if (child.said + child.len > at + known)
			at = child.said + child.len - known;
		n = 0;
		if (poll(&fd, 1, HANGS_MS) == 1)
			n = read(child.out, child.said + child.len,
				 sizeof(child.said) - 1 - child.len);
		child.len += n > 0 ? (size_t)n : 0;
	}
	printf("# no \"%s\" in: %.4000s\n", text, child.said);
	return false;
}

static void end(void)
{
	int status;

	kill(child.pid, SIGKILL);
	CHECK(waitpid(child.pid, &status, 0) == child.pid);
	close(child.out);
}

/* The last line of every dump. */
#define EVENTS "lade: the last events"

/* All tasks hang */

static int never(struct lade_op *op)
{
	return lade_park(op, NULL);
}
LADE_TASK_VOID(never, (struct lade_op *, op))

static int hangs(void)
{
	struct lade_op one = LADE_OP("a camera"), two = LADE_OP("a printer");

	here();
	return lade_join(lade_do(never, &one), lade_do(never, &two));
}

static void a_process_whose_tasks_all_wait_shows_them_again_and_again(void)
{
	begin(hangs);
	CHECK(says("here\n", 1));
	kill(child.pid, SIGQUIT);
	CHECK(says(EVENTS, 1));
	CHECK(says("app #1, started at ", 1));
	CHECK(says(": waits for a camera at ", 1));
	CHECK(says(": waits for a printer at ", 1));
	CHECK(says("stack: ", 1));
	kill(child.pid, SIGQUIT);
	CHECK(says(EVENTS, 2));
	CHECK(says(": waits for a camera at ", 2));
	end();
}

/* A task that never suspends */

static volatile bool enough; /* never */

static __attribute__((noinline)) void look_at_the_clock(void)
{
	struct timespec t;

	/* What is interrupted is often code without frame pointers. */
	clock_gettime(CLOCK_MONOTONIC, &t);
	__asm__ volatile("" ::: "memory");
}

static __attribute__((noinline)) void work_on(void)
{
	while (!enough)
		look_at_the_clock();
	__asm__ volatile("" ::: "memory");
}

/* A function that has only just been called has no frame yet, and its caller is not seen then. */
static __attribute__((noinline)) void work_hard(void)
{
	work_on();
	__asm__ volatile("" ::: "memory");
}

static int spins(void)
{
	here();
	work_hard();
	return enough;
}
LADE_TASK_VOID(spins)

static int spins_beside_others(void)
{
	struct lade_op op = LADE_OP("a camera");

	return lade_join(lade_do(never, &op), lade_do(spins));
}

static void a_task_that_spins_is_named_and_where_it_is(void)
{
	begin(spins_beside_others);
	CHECK(says("here\n", 1));
	kill(child.pid, SIGQUIT);
	CHECK(says(EVENTS, 1));
	CHECK(says("lade: spins #3, started at ", 1));
	CHECK(says(", holds the core\n", 1));
	CHECK(says("work_hard+0x", 1));
	CHECK(says(": waits for a camera at ", 1));
	CHECK(says("spins #3, started at ", 2));
	kill(child.pid, SIGQUIT);
	CHECK(says(EVENTS, 2));
	CHECK(says(", holds the core\n", 2));
	end();
}

static void a_task_that_holds_the_core_is_reported_unasked_and_counted(void)
{
	begin(spins_beside_others);
	CHECK(says("lade: task spins #3, started at ", 1));
	CHECK(says(", holds the core for 100 ms without a break", 1));
	kill(child.pid, SIGQUIT);
	CHECK(says("lade: tasks that held the core for 100 ms or more, by start line\n", 1));
	CHECK(says("watcher_test.c:", 1));
	CHECK(says(": 1 times, ", 1));
	end();
}

/* Spins for a while, again and again, and lets the others run in between. */
static int spins_in_turns(void)
{
	for (int i = 0; i < 6; i++) {
		int64_t end_ns = lade_now().mono_ns + 100000000;

		while (lade_now().mono_ns < end_ns)
			;
		if (lade_yield() < 0)
			return -EPROTO;
	}
	return 0;
}
LADE_TASK_VOID(spins_in_turns)

static int spins_politely(void)
{
	/* For 1.2 s on end, but never for long without a break. */
	return lade_join(lade_do(spins_in_turns), lade_do(spins_in_turns));
}

static void run_to_end(int (*body)(void))
{
	int status = -1;

	begin(body);
	while (read(child.out, child.said + child.len, 1) == 1)
		child.len++;
	CHECK(waitpid(child.pid, &status, 0) == child.pid);
	CHECK_EQ(status, 0);
	child.said[child.len] = 0;
	close(child.out);
}

static int spins_unwatched(void)
{
	int64_t end_ns = lade_now().mono_ns + 250000000;

	while (lade_now().mono_ns < end_ns)
		;
	return 0;
}

static void a_task_that_gives_way_in_time_is_not_reported(void)
{
	lade_main_hold(lade_ms(400));
	run_to_end(spins_politely);
	CHECK_STR(child.said, "");
	lade_main_hold(lade_ms(0));
	run_to_end(spins_unwatched);
	CHECK_STR(child.said, "");
	lade_main_hold(lade_ms(100));
}

static int spins_a_little(void)
{
	int64_t end_ns = lade_now().mono_ns + 10000000;

	while (lade_now().mono_ns < end_ns)
		;
	return 0;
}
LADE_TASK_VOID(spins_a_little)

static int spins_at_seventy_lines(void)
{
	static char sites[70][24];
	int rc = 0;

	for (int i = 0; rc == 0; i++) {
		struct spins_a_little_task one = spins_a_little_task();

		if (i % 70 == 0)
			here();
		snprintf(sites[i % 70], sizeof(sites[0]), "many.c:%d", i % 70 + 1);
		lade_scope(s, &rc)
			lade_start_at(&s, &one.head, sites[i % 70]);
	}
	return rc;
}

#define FIRST_REPORT "without a break; SIGQUIT"

static int times_said(const char *text)
{
	int times = 0;

	for (const char *at = child.said; (at = strstr(at, text)); at++)
		times++;
	return times;
}

static void of_more_than_64_start_lines_the_others_are_not_reported(void)
{
	lade_main_hold(lade_ms(3));
	begin(spins_at_seventy_lines);
	CHECK(says(FIRST_REPORT, 64));
	/* Two rounds later the other six have had their chance. */
	CHECK(says("here\n", times_said("here\n") + 3));
	CHECK_EQ(times_said(FIRST_REPORT), 64);
	end();
	lade_main_hold(lade_ms(100));
}

/* A program that never suspends is asked in the simulation too, where nothing wakes a loop. */
static void a_simulation_that_hangs_is_shown_and_no_hold_is_reported(void)
{
	const char *before = getenv("LADE_BACKEND");
	char kept[32];

	snprintf(kept, sizeof(kept), "%s", before ? before : "");
	setenv("LADE_BACKEND", "sim", 1);
	begin(spins);
	CHECK(says("here\n", 1));
	kill(child.pid, SIGQUIT);
	CHECK(says("lade: loop on sim, ", 1));
	CHECK(says("lade: app #1, started at ", 1));
	CHECK(says("work_hard+0x", 1));
	CHECK(says(EVENTS, 1));
	CHECK(!strstr(child.said, "without a break"));
	end();
	setenv("LADE_BACKEND", kept, 1);
	if (!before)
		unsetenv("LADE_BACKEND");
}

/* Other cores */

static int sends_to_other_cores(void)
{
	struct lade_op op = LADE_OP("a camera");
	struct spins_task far = spins_task();
	struct lade_on_task on = lade_on_task(1, &far);

	return lade_join(lade_do(never, &op), &on);
}

static void loops_of_other_cores_are_shown_too_also_one_that_is_held(void)
{
	setenv("LADE_CORES", "2", 1);
	begin(sends_to_other_cores);
	CHECK(says("here\n", 1));
	kill(child.pid, SIGQUIT);
	CHECK(says(EVENTS, 2));
	CHECK(says(", core 0, ", 1));
	CHECK(says(", core 1, ", 1));
	CHECK(says(", holds the core\n", 1));
	CHECK(says("work_hard+0x", 1));
	CHECK(says(": waits for a camera at ", 1));
	end();
	unsetenv("LADE_CORES");
}

/* Many tasks */

static int naps(void)
{
	return lade_sleep(lade_s(3600));
}
LADE_TASK_VOID(naps)

static int has_many_and_spins(void)
{
	int rc = 0;

	lade_scope(s, &rc, .max_children = 20000) {
		for (int i = 0; i < 10100 && rc == 0; i++)
			rc = lade_spawn(&s, naps_task());
		here();
		work_hard();
	}
	return rc;
}

static void a_held_loop_of_more_than_ten_thousand_tasks_shows_so_many_lines(void)
{
	int lines = 0;

	begin(has_many_and_spins);
	CHECK(says("here\n", 1));
	kill(child.pid, SIGQUIT);
	CHECK(says(EVENTS, 1));
	CHECK(says("… and 102 tasks more\n", 1));
	for (const char *at = child.said; (at = strchr(at, '\n')); at++)
		lines += strncmp(at + 1 + strspn(at + 1, " "), "naps #", 6) == 0;
	CHECK(lines >= 9998);
	end();
}

int main(void)
{
	TAP(a_process_whose_tasks_all_wait_shows_them_again_and_again);
	TAP(a_task_that_spins_is_named_and_where_it_is);
	TAP(a_task_that_holds_the_core_is_reported_unasked_and_counted);
	TAP(a_task_that_gives_way_in_time_is_not_reported);
	TAP(of_more_than_64_start_lines_the_others_are_not_reported);
	TAP(a_simulation_that_hangs_is_shown_and_no_hold_is_reported);
	TAP(loops_of_other_cores_are_shown_too_also_one_that_is_held);
	TAP(a_held_loop_of_more_than_ten_thousand_tasks_shows_so_many_lines);
	return tap_done();
}
