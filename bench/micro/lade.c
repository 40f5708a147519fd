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

#if defined(__x86_64__)
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
#else
static void bench_bare(void)
{
	printf("# switch bare: written for x86-64 alone\n");
}
#endif

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

LADE_CHANNEL(number, long)
LADE_STREAM(number, long)

static int send_numbers(struct number_channel *ch, long count)
{
	int rc = 0;

	for (long i = 0; i < count && rc == 0; i++)
		rc = number_send(ch, i);
	number_channel_close(ch);
	return rc;
}
LADE_TASK_VOID(send_numbers, (struct number_channel *, ch), (long, count))

static int sum_numbers(struct number_channel *ch, long *ret)
{
	long n = 0, sum = 0;

	while (number_recv(ch, &n) == 0)
		sum += n;
	*ret = sum;
	return 0;
}
LADE_TASK(sum_numbers, long, (struct number_channel *, ch))

static int echo_numbers(struct number_channel *in, struct number_channel *out)
{
	long n = 0;
	int rc = 0;

	while (rc == 0 && number_recv(in, &n) == 0)
		rc = number_send(out, n + 1);
	return rc;
}
LADE_TASK_VOID(echo_numbers, (struct number_channel *, in), (struct number_channel *, out))

static int ask_numbers(struct number_channel *out, struct number_channel *in, long count)
{
	long n = 0;
	int rc = 0;

	for (long i = 0; i < count && rc == 0; i++) {
		rc = number_send(out, i);
		if (rc == 0)
			rc = number_recv(in, &n);
	}
	number_channel_close(out);
	return rc;
}
LADE_TASK_VOID(ask_numbers, (struct number_channel *, out), (struct number_channel *, in),
	       (long, count))

static int batch_numbers(struct number_channel *ch, long *ret)
{
	struct number_batch batch;
	long sum = 0;
	int rc = 0;

	lade_scope(s, &rc) {
		struct number_batches *in =
			number_batch(&s, number_from_channel(ch),
				     (struct lade_batch_config){ .max_items = 500,
								 .linger = lade_ms(50),
								 .ahead = 1 });

		while ((rc = number_batch_next(in, &batch)) > 0)
			for (size_t i = 0; i < batch.len; i++)
				sum += batch.items[i];
		number_batches_close(in);
	}
	*ret = sum;
	return rc;
}
LADE_TASK(batch_numbers, long, (struct number_channel *, ch))

/* Channels and the stream: the rows that have two tasks. */
static int channel_works(void)
{
	struct number_channel *a = NULL, *b = NULL, *c = NULL, *d = NULL;
	long sum = 0;
	double t;
	int rc;

	rc = number_channel_new(128, &a) | number_channel_new(0, &b) | number_channel_new(0, &c) |
	     number_channel_new(128, &d);
	if (rc < 0)
		return rc;
	t = cpu_ns();
	rc = lade_join(lade_do(send_numbers, a, ops), lade_do(sum_numbers, a, &sum));
	row("chan_buffered", "lade", cpu_ns() - t, (double)ops);
	t = cpu_ns();
	rc |= lade_join(lade_do(ask_numbers, b, c, ops), lade_do(echo_numbers, b, c));
	row("chan_unbuffered", "lade", cpu_ns() - t, (double)ops);
	t = cpu_ns();
	rc |= lade_join(lade_do(send_numbers, d, ops), lade_do(batch_numbers, d, &sum));
	row("timed_batch", "lade", cpu_ns() - t, (double)ops);
	number_channel_free(a);
	number_channel_free(b);
	number_channel_free(c);
	number_channel_free(d);
	return rc;
}

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
	return rc ? rc : channel_works();
}
LADE_TASK_VOID(works)

int main(int argc, char **argv)
{
	struct works_task task = works_task();
	struct lade_loop *loop;

	if (argc > 1)
		ops = atol(argv[1]);
	bench_bare();
	if (lade_loop_new(&(struct lade_loop_config){ .backend = NULL }, &loop) < 0)
		return 1;
	return lade_loop_run_at(loop, &task.head, LADE_SITE) < 0;
}
