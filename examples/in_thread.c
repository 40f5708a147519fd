/* SPDX-License-Identifier: MIT */
/* in_thread.c - lade in a thread of a program that blocks elsewhere.
 *
 * One thread runs the loop until it is told to stop; the main one, which is no task, has work done
 * there, waits for some of it and calls some of it off. */
#include <lade/loop.h>
#include <lade/park.h>

#include <pthread.h>
#include <stdio.h>
#include <string.h>

static pthread_barrier_t ready;
static struct lade_loop *loop;
static struct lade_op stop; /* completed by whoever ends the service */

static int serve(void)
{
	stop = (struct lade_op)LADE_OP("the end of the service");
	pthread_barrier_wait(&ready);
	return lade_park(&stop, NULL);
}
LADE_TASK_VOID(serve)

static void *run(void *arg)
{
	if (lade_loop_new(&(struct lade_loop_config){ 0 }, &loop) < 0)
		return "no loop";
	lade_loop_run(loop, lade_do(serve));
	lade_loop_free(loop);
	return arg;
}

static int square(int number, int *ret)
{
	*ret = number * number;
	return lade_sleep(lade_ms(number));
}
LADE_TASK(square, int, (int, number))

int main(void)
{
	struct square_task quick = square_task(7), slow = square_task(40000);
	pthread_t thread;
	void *end;

	pthread_barrier_init(&ready, NULL, 2);
	pthread_create(&thread, NULL, run, "stopped");
	pthread_barrier_wait(&ready);
	lade_loop_start(loop, &quick);
	lade_loop_start(loop, &slow);
	printf("quick: %s, ", strerror(-lade_loop_wait(loop, &quick)));
	printf("%d\n", lade_value(&quick));
	(void)!lade_loop_cancel(loop, &slow, lade_ns(0));
	printf("slow: %s\n", strerror(-lade_loop_wait(loop, &slow)));
	lade_complete_remote(&stop, 0);
	pthread_join(thread, &end);
	return puts(end) < 0;
}
