/* SPDX-License-Identifier: MIT */
/* lade.c - work that crosses cores: items, batches, round trips, starts.
 *
 * Prints work, who, metric, unit and value, tab separated: the CPU time of the whole process per
 * operation, and operations a second. bench/peers/README.md says what each work is. */

#include <lade/lade.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define PLACES 128
#define AT_ONCE 64

LADE_SHARED_CHANNEL(number, long)
typedef struct number_shared_channel *channel_ptr;

static long ops = 1000000;

static double now_ns(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void measured(const char *work, double cpu_from, double wall_from, long count)
{
	printf("%s\tlade\tns\tCPU ns\t%.1f\n", work,
	       (now_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu_from) / (double)count);
	printf("%s\tlade\trate\t1/s\t%.0f\n", work,
	       (double)count * 1e9 / (now_ns(CLOCK_MONOTONIC) - wall_from));
}

static int produce(channel_ptr ch, uint32_t at_once)
{
	long items[AT_ONCE];
	int rc = 0;

	for (long i = 0; rc == 0 && i < ops; i += at_once) {
		uint32_t done = 0;

		for (uint32_t j = 0; j < at_once; j++)
			items[j] = i + j;
		rc = number_shared_send_many(ch, items, at_once, &done);
	}
	number_shared_channel_close(ch);
	return rc;
}
LADE_TASK_VOID(produce, (channel_ptr, ch), (uint32_t, at_once))

static int consume(channel_ptr ch, uint32_t at_once, long *ret)
{
	long items[AT_ONCE], sum = 0;
	uint32_t count;
	int rc;

	while ((rc = number_shared_recv_many(ch, items, at_once, &count)) == 0)
		for (uint32_t i = 0; i < count; i++)
			sum += items[i];
	*ret = sum;
	return rc == -EPIPE ? 0 : rc;
}
LADE_TASK(consume, long, (channel_ptr, ch), (uint32_t, at_once))

static int cross(uint32_t at_once)
{
	long count = (ops + at_once - 1) / at_once * at_once, sum = 0;
	channel_ptr ch = NULL;
	int rc = number_shared_channel_new(PLACES, &ch);

	if (rc == 0)
		rc = lade_join(lade_do(produce, ch, at_once),
			       lade_on(1, lade_do(consume, ch, at_once, &sum)));
	number_shared_channel_free(ch);
	return rc == 0 && sum != count * (count - 1) / 2 ? -EBADMSG : rc;
}

static int echo(channel_ptr to, channel_ptr from)
{
	long n;
	int rc;

	while ((rc = number_shared_recv(to, &n)) == 0)
		rc = number_shared_send(from, n);
	return rc == -EPIPE ? 0 : rc;
}
LADE_TASK_VOID(echo, (channel_ptr, to), (channel_ptr, from))

static int call(channel_ptr to, channel_ptr from)
{
	int rc = 0;
	long n;

	for (long i = 0; rc == 0 && i < ops / 10; i++) {
		rc = number_shared_send(to, i);
		if (rc == 0)
			rc = number_shared_recv(from, &n);
	}
	number_shared_channel_close(to);
	return rc;
}
LADE_TASK_VOID(call, (channel_ptr, to), (channel_ptr, from))

static int round_trips(void)
{
	channel_ptr to = NULL, from = NULL;
	int rc = number_shared_channel_new(1, &to);

	if (rc == 0)
		rc = number_shared_channel_new(1, &from);
	if (rc == 0)
		rc = lade_join(lade_do(call, to, from), lade_on(1, lade_do(echo, to, from)));
	number_shared_channel_free(to);
	number_shared_channel_free(from);
	return rc;
}

static int twice(long x, long *ret)
{
	*ret = 2 * x;
	return 0;
}
LADE_TASK(twice, long, (long, x))

static int starts(void)
{
	long sum = 0, x;
	int rc = 0;

	for (long i = 0; rc == 0 && i < ops / 10; i++) {
		rc = lade_join(lade_on(1, lade_do(twice, i, &x)));
		sum += x;
	}
	return sum < 0 ? -EBADMSG : rc;
}

static int works(void)
{
	double cpu, wall;
	int rc = lade_join(lade_on(1, lade_do(twice, 1, &(long){ 0 }))); /* the threads are there */

#define MEASURE(work, count, ...)                                                                  \
	do {                                                                                       \
		cpu = now_ns(CLOCK_PROCESS_CPUTIME_ID);                                            \
		wall = now_ns(CLOCK_MONOTONIC);                                                    \
		rc = rc < 0 ? rc : (__VA_ARGS__);                                                  \
		measured(work, cpu, wall, count);                                                  \
	} while (0)
	MEASURE("cross_item", ops, cross(1));
	MEASURE("cross_batch_of_64", ops, cross(AT_ONCE));
	MEASURE("cross_round_trip", ops / 10, round_trips());
	MEASURE("cross_start_join", ops / 10, starts());
	return rc;
}
LADE_TASK_VOID(works)

int main(int argc, char **argv)
{
	if (argc > 1)
		ops = atol(argv[1]);
	return lade_main(lade_do(works));
}
