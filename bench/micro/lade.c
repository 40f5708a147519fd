/* SPDX-License-Identifier: MIT */
/* lade.c - the micro benchmarks' own side: the same works as the peers' programs.
 *
 * Prints work, who, metric, unit and value, tab separated. Each work is measured twice where it
 * matters: tasks suspended at one call site, where the return predictor is right by accident, and
 * in different functions two frames deep, which is what programs do. */

#include "core/core_priv.h"

#include <lade/lade.h>

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static long ops = 1000000;

static double cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void row(const char *work, const char *who, double ns, double count)
{
	printf("%s\t%s\tns\tns\t%.3f\n", work, who, ns / count);
}

/* The unit: the bare switch between two contexts, nothing else. */
static struct lade_context here, there;
static char bare_stack[65536];

static inline __attribute__((always_inline)) void bare_swap(struct lade_context *from,
							    struct lade_context *to)
{
	__asm__ volatile("leaq 1f(%%rip), %%rax\n\tmovq %%rsp, 0(%0)\n\tmovq %%rax, 8(%0)\n\t"
			 "movq %%rbp, 16(%0)\n\tmovq 0(%1), %%rsp\n\tmovq 16(%1), %%rbp\n\t"
			 "jmpq *8(%1)\n\t1:"
			 : "+D"(from), "+S"(to)
			 :
			 : "rax", "rbx", "rcx", "rdx", "r8", "r9", "r10", "r11", "r12", "r13",
			   "r14", "r15", "memory", "cc");
}

static void bare_other(void)
{
	for (;;)
		bare_swap(&there, &here);
}

static void bench_bare(void)
{
	double t;

	there = (struct lade_context){ .sp = bare_stack + sizeof(bare_stack) - 72,
				       .pc = (void *)(uintptr_t)bare_other };
	t = cpu_ns();
	for (long i = 0; i < ops; i++)
		bare_swap(&here, &there);
	row("switch", "bare", cpu_ns() - t, 2.0 * (double)ops);
}

static int yielder(void)
{
	int rc = 0;

	for (long i = 0; i < ops && rc == 0; i++)
		rc = lade_yield();
	return rc;
}
LADE_TASK_VOID(yielder)

static __attribute__((noinline)) int yield_here(void)
{
	int rc = lade_yield();

	__asm__ volatile("" ::: "memory");
	return rc;
}

static __attribute__((noinline)) int yield_below(void)
{
	int rc = yield_here();

	__asm__ volatile("" ::: "memory");
	return rc;
}

static int yielder_below(void)
{
	int rc = 0;

	for (long i = 0; i < ops && rc == 0; i++)
		rc = yield_below();
	return rc;
}
LADE_TASK_VOID(yielder_below)

static __attribute__((noinline)) int other_yield_here(void)
{
	int rc = lade_yield();

	__asm__ volatile("nop" ::: "memory");
	return rc;
}

static __attribute__((noinline)) int other_yield_below(void)
{
	int rc = other_yield_here();

	__asm__ volatile("nop" ::: "memory");
	return rc;
}

static int other_yielder(void)
{
	int rc = 0;

	for (long i = 0; i < ops && rc == 0; i++)
		rc = other_yield_below();
	return rc;
}
LADE_TASK_VOID(other_yielder)

static int one(long x, long *ret)
{
	*ret = x + 1;
	return 0;
}
LADE_TASK(one, long, (long, x))

static int once_long(long x, long *ret)
{
	int rc = lade_yield();

	if (rc < 0)
		return rc;
	*ret = x + 1;
	return 0;
}
LADE_TASK(once_long, long, (long, x))

static int once_double(double x, double *ret)
{
	int rc = lade_yield();

	if (rc < 0)
		return rc;
	*ret = x + 1;
	return 0;
}
LADE_TASK(once_double, double, (double, x))

static int for_ever(long *ret)
{
	(void)ret;
	return lade_sleep_until(LADE_NEVER);
}
LADE_TASK(for_ever, long)

static int works(void)
{
	double t;
	long sum = 0, x = 0;
	double d = 0;
	int rc;

	t = cpu_ns();
	rc = lade_join(lade_do(yielder), lade_do(yielder));
	row("yield", "lade, one site", cpu_ns() - t, 2.0 * (double)ops);
	t = cpu_ns();
	rc |= lade_join(lade_do(yielder_below), lade_do(other_yielder));
	row("yield", "lade, two frames deep", cpu_ns() - t, 2.0 * (double)ops);

	t = cpu_ns();
	for (long i = 0; i < ops; i++) {
		rc |= lade_join(lade_do(one, i, &x));
		sum += x;
	}
	row("start_join", "lade", cpu_ns() - t, (double)ops);

	t = cpu_ns();
	for (long i = 0; i < ops; i++)
		rc |= lade_join(lade_do(once_long, i, &x), lade_do(once_double, 1.5, &d));
	row("join_two", "lade", cpu_ns() - t, (double)ops);

	t = cpu_ns();
	for (long i = 0; i < ops; i++)
		rc |= lade_within(lade_ms(1000), lade_yield());
	row("within", "lade", cpu_ns() - t, (double)ops);

	t = cpu_ns();
	for (long i = 0; i < ops; i++)
		rc |= lade_race_ok(lade_do(one, i, &x), lade_do(for_ever, &sum),
				   lade_do(for_ever, &sum));
	row("race_three", "lade", cpu_ns() - t, (double)ops);
	return rc;
}
LADE_TASK_VOID(works)

int main(int argc, char **argv)
{
	struct works_task task = works_task();
	struct lade_loop *loop;

	if (argc > 1)
		ops = atol(argv[1]);
	bench_bare();
	if (lade_loop_new(&(struct lade_loop_config){ .backend = "virtual" }, &loop) < 0)
		return 1;
	return lade_loop_run(loop, &task.head, LADE_SITE) < 0;
}
