/* SPDX-License-Identifier: MIT */
#ifndef LADE_TESTS_RUN_H
#define LADE_TESTS_RUN_H

/* run.h - a test as the root task of a loop whose clock is virtual.
 *
 *	IN_TASK(a_sleep_takes_its_time)
 *	{
 *		CHECK_EQ(lade_sleep(lade_ms(5)), 0);
 *		CHECK_EQ(now_ms(), 5);
 *	}
 *
 * With it come a few tasks that tests need again and again, and a slate: the tasks of a test write
 * down what they do, and the test compares the order. */

#include "core/core_priv.h"

#include "many.h"
#include "tap.h"

#include <errno.h>
#include <stdarg.h>

static char slate[4096]; /* what write_down() was told since the test began */
static int64_t run_start_ns; /* loop time at the test's beginning */
static void (*run_body)(void); /* the running test */

/* write_down - adds a word to the slate. */
__attribute__((format(printf, 1, 2))) static inline void write_down(const char *format, ...)
{
	size_t len = strlen(slate);
	va_list args;

	va_start(args, format);
	if (len && len < sizeof(slate) - 1)
		slate[len++] = ' ';
	vsnprintf(slate + len, sizeof(slate) - len, format, args);
	va_end(args);
}

/* now_ms - virtual time since the test began. */
static inline int64_t now_ms(void)
{
	return (lade_now().mono_ns - run_start_ns) / 1000000;
}

static inline int run_root(void)
{
	run_start_ns = lade_now().mono_ns;
	run_body();
	return 0;
}
LADE_TASK_VOID(run_root)

/* run_with - runs @body as the root task of a loop made from @config. */
static inline void run_with(const struct lade_loop_config *config, void (*body)(void))
{
	struct run_root_task root = run_root_task();
	struct lade_loop *loop;

	slate[0] = 0;
	run_body = body;
	if (lade_loop_new(config, &loop) < 0) {
		CHECK(!"a loop");
		return;
	}
	CHECK_EQ(lade_loop_run_at(loop, &root.head, LADE_SITE), 0);
	CHECK(!loop->ready_head);
	CHECK(!lade_heap_first(&loop->timers));
	lade_loop_free(loop);
}

/* IN_LOOP - IN_LOOP(name, .field = value...) { … }: a test that is the root task of such a loop. */
#define IN_LOOP(name, ...)                                                                         \
	static void name##_body(void);                                                             \
	static void name(void)                                                                     \
	{                                                                                          \
		run_with(&(struct lade_loop_config){ .backend = "virtual", __VA_ARGS__ },          \
			 name##_body);                                                             \
	}                                                                                          \
	static void name##_body(void)

/* IN_TASK - IN_LOOP with the defaults. */
#define IN_TASK(name) IN_LOOP(name, )

/* ON_CORES - a test on a loop of three cores, on the back end that LADE_BACKEND names. */
#define ON_CORES(name)                                                                             \
	static void name##_body(void);                                                             \
	static void name(void)                                                                     \
	{                                                                                          \
		run_with(&(struct lade_loop_config){ .cores = 3 }, name##_body);                   \
	}                                                                                          \
	static void name##_body(void)

/* Sleeps, and ends with @status if nothing interferes. */
static inline int end_after(int64_t ms, int status)
{
	int rc = lade_sleep(lade_ms(ms));

	return rc < 0 ? rc : status;
}
LADE_TASK_VOID(end_after, (int64_t, ms), (int, status))

/* end_after that writes down how it ended. */
static inline int tell_after(const char *name, int64_t ms, int status)
{
	int rc = end_after(ms, status);

	write_down("%s:%d", name, rc);
	return rc;
}
LADE_TASK_VOID(tell_after, (const char *, name), (int64_t, ms), (int, status))

/* end_after that does not hear of a cancel before its time. */
static inline int stubborn(int64_t ms, int status)
{
	lade_shield(lade_s(3600))
		(void)!lade_sleep(lade_ms(ms));
	return status;
}
LADE_TASK_VOID(stubborn, (int64_t, ms), (int, status))

/* Sleeps, and gives a value. */
static inline int value_after(int64_t ms, long value, long *ret)
{
	int rc = lade_sleep(lade_ms(ms));

	if (rc < 0)
		return rc;
	*ret = value;
	return 0;
}
LADE_TASK(value_after, long, (int64_t, ms), (long, value))

#endif
