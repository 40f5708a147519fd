/* SPDX-License-Identifier: MIT */
/* outside_test.c - a loop inside another program's loop, and calls from other threads. */

#include <lade/loop.h>

#include "run.h"

#include <poll.h>
#include <pthread.h>
#include <poll.h>
#include <semaphore.h>
#include <sys/epoll.h>
#include <unistd.h>

static struct lade_loop *loop_new(void)
{
	struct lade_loop *loop = NULL;

	slate[0] = 0;
	NEED_EQ(lade_loop_new(&(struct lade_loop_config){ 0 }, &loop), 0);
	return loop;
}

/* Turns a loop as a foreign program does, until a task has ended.  Returns how often it woke. */
static int turn_until_end(struct lade_loop *loop, const struct lade_task *task)
{
	struct epoll_event event = { .events = EPOLLIN };
	int ep = epoll_create1(EPOLL_CLOEXEC), woken = 0;

	CHECK_EQ(epoll_ctl(ep, EPOLL_CTL_ADD, lade_loop_fd(loop), &event), 0);
	for (;;) {
		int ms = lade_loop_turn(loop);

		if (task->state == TASK_ENDED)
			break;
		CHECK(epoll_wait(ep, &event, 1, ms) >= 0);
		woken++;
	}
	close(ep);
	return woken;
}

static void a_loop_is_turned_by_a_foreign_epoll_and_keeps_its_timers(void)
{
	struct lade_loop *loop = loop_new();
	struct tell_after_task a = tell_after_task("a", 20, 7), b = tell_after_task("b", 10, 0);

	lade_loop_start(loop, &a);
	lade_loop_start(loop, &b);
	CHECK(turn_until_end(loop, &a.head) < 20);
	CHECK_STR(slate, "b:0 a:7");
	CHECK_EQ(a.head.status, 7);
	CHECK_EQ(lade_loop_turn(loop), -1);
	lade_loop_free(loop);
}

static void count_call(void *arg)
{
	++*(int *)arg;
}

/* A turn's -1 is a promise to wake the foreign loop when there is something to do. */
static void what_is_sent_after_a_turn_makes_the_descriptor_readable(void)
{
	struct lade_loop *loop = loop_new();
	struct pollfd wait = { .fd = lade_loop_fd(loop), .events = POLLIN };
	int calls = 0;

	CHECK_EQ(lade_loop_turn(loop), -1);
	CHECK_EQ(poll(&wait, 1, 0), 0);
	CHECK_EQ(lade_post(loop, count_call, &calls), 0);
	CHECK_EQ(poll(&wait, 1, 0), 1);
	CHECK_EQ(lade_loop_turn(loop), -1);
	CHECK_EQ(calls, 1);
	lade_loop_free(loop);
}

static int all_woken;

/* Starts and awaits tasks of a loop that sleeps in a foreign epoll without a time-out. */
static void *wake_many(void *arg)
{
	struct lade_loop *loop = arg;

	for (int i = 0; i < RUN_MANY(1000); i++) {
		struct end_after_task task = end_after_task(0, i);

		lade_loop_start(loop, &task);
		CHECK_EQ(lade_loop_wait(loop, &task), i);
	}
	CHECK_EQ(lade_post(loop, count_call, &all_woken), 0);
	return NULL;
}

static void no_wake_up_is_lost_in_a_foreign_epoll(void)
{
	struct epoll_event event = { .events = EPOLLIN };
	int ep = epoll_create1(EPOLL_CLOEXEC);
	struct lade_loop *loop = loop_new();
	pthread_t thread;
	bool lost = false;

	all_woken = 0;
	CHECK_EQ(epoll_ctl(ep, EPOLL_CTL_ADD, lade_loop_fd(loop), &event), 0);
	pthread_create(&thread, NULL, wake_many, loop);
	while (!all_woken && !lost) {
		int ms = lade_loop_turn(loop);

		if (!all_woken)
			lost = epoll_wait(ep, &event, 1, ms < 0 ? 10000 : ms) == 0 && ms < 0;
	}
	CHECK(!lost);
	while (lost && !all_woken) /* so that the thread ends */
		(void)lade_loop_turn(loop);
	pthread_join(thread, NULL);
	close(ep);
	lade_loop_free(loop);
}

static int many_yields(void)
{
	int rc = 0;

	for (int i = 0; rc == 0 && i < 1000000; i++)
		rc = lade_yield();
	return rc;
}
LADE_TASK_VOID(many_yields)

static void a_turn_gives_way_although_tasks_are_ready(void)
{
	struct lade_loop *loop = loop_new();
	struct many_yields_task task = many_yields_task();
	int turns = 0;

	lade_loop_start(loop, &task);
	while (lade_loop_turn(loop) == 0)
		turns++;
	CHECK(turns > 10);
	CHECK_EQ(lade_status(&task), 0);
	lade_loop_free(loop);
}

static void with_a_virtual_clock_there_is_no_descriptor(void)
{
	struct lade_loop *loop;

	NEED_EQ(lade_loop_new(&(struct lade_loop_config){ .backend = "virtual" }, &loop), 0);
	CHECK_EQ(lade_loop_fd(loop), -EOPNOTSUPP);
	lade_loop_free(loop);
}

/* A loop in a thread of its own, which serves until it is told to stop. */
struct server {
	pthread_t thread;
	struct lade_loop *loop;
	sem_t ready;
	struct lade_op stop;
	int status; /* of the loop's first task */
};

static int serve(struct server *server)
{
	server->stop = (struct lade_op)LADE_OP("the end of the test");
	sem_post(&server->ready);
	return lade_park(&server->stop, NULL);
}
typedef struct server *server_ptr;
LADE_TASK_VOID(serve, (server_ptr, server))

static void *run_server(void *arg)
{
	struct server *server = arg;

	server->loop = loop_new();
	server->status = lade_loop_run(server->loop, lade_do(serve, server));
	lade_loop_free(server->loop);
	return NULL;
}

static void server_begin(struct server *server)
{
	sem_init(&server->ready, 0, 0);
	pthread_create(&server->thread, NULL, run_server, server);
	sem_wait(&server->ready);
}

static void server_end(struct server *server)
{
	lade_complete_remote(&server->stop, 0);
	pthread_join(server->thread, NULL);
	sem_destroy(&server->ready);
	CHECK_EQ(server->status, 0);
}

static void a_thread_starts_tasks_on_a_loop_and_waits_for_their_ends(void)
{
	struct value_after_task good = value_after_task(1, 42);
	struct end_after_task bad = end_after_task(1, -EPROTO);
	struct server server;

	server_begin(&server);
	lade_loop_start(server.loop, &good);
	lade_loop_start(server.loop, &bad);
	CHECK_EQ(lade_loop_wait(server.loop, &good), 0);
	CHECK_EQ(lade_value(&good), 42);
	CHECK_EQ(lade_loop_wait(server.loop, &bad), -EPROTO);
	CHECK_EQ(lade_loop_wait(server.loop, &bad), -EPROTO);
	server_end(&server);
}

static void a_thread_cancels_a_task_of_a_loop(void)
{
	struct end_after_task task = end_after_task(100000, 0);
	struct server server;

	server_begin(&server);
	lade_loop_start(server.loop, &task);
	CHECK_EQ(lade_loop_cancel(server.loop, &task, lade_ns(0)), 0);
	CHECK_EQ(lade_loop_wait(server.loop, &task), -ECANCELED);
	server_end(&server);
}

/* What posts have counted, on the loop's thread alone. */
static long posts;
static struct lade_loop *seen_in_post;

static void count_post(void *arg)
{
	posts += *(long *)arg;
	seen_in_post = lade_loop_here();
}

static void *post_many(void *arg)
{
	struct server *server = arg;
	static long one = 1;

	for (int i = 0; i < 1000; i++)
		CHECK_EQ(lade_post(server->loop, count_post, &one), 0);
	return NULL;
}

static void what_threads_post_is_called_once_each_on_the_loops_thread(void)
{
	struct end_after_task last = end_after_task(0, 0);
	struct server server;
	pthread_t threads[4];

	posts = 0;
	server_begin(&server);
	for (int i = 0; i < 4; i++)
		pthread_create(&threads[i], NULL, post_many, &server);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	lade_loop_start(server.loop, &last);
	CHECK_EQ(lade_loop_wait(server.loop, &last), 0);
	CHECK_EQ(posts, 4000);
	CHECK(seen_in_post == server.loop);
	server_end(&server);
}

static void add_letter(void *arg)
{
	write_down("%s", (const char *)arg);
}

static void posts_and_starts_of_one_thread_keep_their_order(void)
{
	struct tell_after_task task = tell_after_task("task", 0, 0);
	struct lade_loop *loop = loop_new();

	CHECK_EQ(lade_post(loop, add_letter, (void *)(uintptr_t) "a"), 0);
	CHECK_EQ(lade_post(loop, add_letter, (void *)(uintptr_t) "b"), 0);
	lade_loop_start(loop, &task);
	CHECK_EQ(lade_post(loop, add_letter, (void *)(uintptr_t) "c"), 0);
	CHECK_EQ(lade_loop_wait(loop, &task), 0);
	CHECK_STR(slate, "a b c task:0");
	lade_loop_free(loop);
}

static void freeing_a_loop_cancels_what_runs_on_it_and_waits(void)
{
	struct tell_after_task quick = tell_after_task("quick", 100000, 0);
	struct stubborn_task slow = stubborn_task(5, 3);
	struct lade_loop *loop = loop_new();

	lade_loop_start(loop, &quick);
	lade_loop_start(loop, &slow);
	(void)lade_loop_turn(loop);
	lade_loop_free(loop);
	CHECK_STR(slate, "quick:-125");
	CHECK_EQ(slow.head.status, 3);
}

static void a_loop_that_is_freed_takes_what_was_sent_before(void)
{
	struct tell_after_task task = tell_after_task("task", 100000, 0);
	struct lade_loop *loop = loop_new();

	CHECK_EQ(lade_post(loop, add_letter, (void *)(uintptr_t) "a"), 0);
	lade_loop_start(loop, &task);
	lade_loop_free(loop);
	CHECK_EQ(task.head.status, -ECANCELED);
	CHECK_STR(slate, "a task:-125");
}

static int post_at_the_end(struct lade_loop *loop)
{
	int rc = lade_sleep(lade_s(100));

	CHECK_EQ(lade_post(loop, add_letter, (void *)(uintptr_t) "late"), 0);
	return rc;
}
typedef struct lade_loop *loop_ptr;
LADE_TASK_VOID(post_at_the_end, (loop_ptr, loop))

static void what_is_posted_while_a_loop_is_freed_is_called(void)
{
	struct lade_loop *loop = loop_new();
	struct post_at_the_end_task task = post_at_the_end_task(loop);

	lade_loop_start(loop, &task);
	(void)lade_loop_turn(loop);
	lade_loop_free(loop);
	CHECK_STR(slate, "late");
}

/* Wakes race with going to sleep: a lost one would leave the thread below waiting for ever. */
static void no_wake_up_is_lost_between_a_look_into_the_mailbox_and_sleep(void)
{
	struct server server;

	server_begin(&server);
	for (int i = 0; i < RUN_MANY(5000); i++) {
		struct end_after_task task = end_after_task(0, i);

		lade_loop_start(server.loop, &task);
		CHECK_EQ(lade_loop_wait(server.loop, &task), i);
	}
	server_end(&server);
}

static void suspend_in_post(void *arg)
{
	(void)arg;
	(void)!lade_yield();
}

static void a_post_that_suspends_ends_the_process(void)
{
	struct lade_loop *loop = loop_new();

	(void)!lade_post_at(loop, suspend_in_post, NULL, "post.c:1");
	(void)lade_loop_turn(loop);
}

static void starting_a_task_twice_from_outside_ends_the_process(void)
{
	struct end_after_task task = end_after_task(0, 0);
	struct lade_loop *loop = loop_new();

	lade_loop_start_at(loop, &task.head, "first.c:1");
	lade_loop_start_at(loop, &task.head, "second.c:2");
}

static void waiting_from_outside_for_a_task_never_started_ends_the_process(void)
{
	struct end_after_task task = end_after_task(0, 0);

	(void)lade_loop_wait_at(loop_new(), &task.head, "wait.c:1");
}

static int block_inside(struct lade_task *other)
{
	return lade_loop_wait_at(lade_loop_here(), other, "wait.c:1");
}
typedef struct lade_task *task_ptr;
LADE_TASK_VOID(block_inside, (task_ptr, other))

static void blocking_the_thread_inside_a_task_ends_the_process(void)
{
	struct end_after_task task = end_after_task(0, 0);

	(void)lade_loop_run(loop_new(), lade_do(block_inside, &task.head));
}

int main(void)
{
	TAP(a_loop_is_turned_by_a_foreign_epoll_and_keeps_its_timers);
	TAP(what_is_sent_after_a_turn_makes_the_descriptor_readable);
	TAP(no_wake_up_is_lost_in_a_foreign_epoll);
	TAP(a_turn_gives_way_although_tasks_are_ready);
	TAP(with_a_virtual_clock_there_is_no_descriptor);
	TAP(a_thread_starts_tasks_on_a_loop_and_waits_for_their_ends);
	TAP(a_thread_cancels_a_task_of_a_loop);
	TAP(what_threads_post_is_called_once_each_on_the_loops_thread);
	TAP(posts_and_starts_of_one_thread_keep_their_order);
	TAP(freeing_a_loop_cancels_what_runs_on_it_and_waits);
	TAP(a_loop_that_is_freed_takes_what_was_sent_before);
	TAP(what_is_posted_while_a_loop_is_freed_is_called);
	TAP(no_wake_up_is_lost_between_a_look_into_the_mailbox_and_sleep);
	TAP_DIES(a_post_that_suspends_ends_the_process,
		 "a suspending call in a callback that was given at post.c:1");
	TAP_DIES(starting_a_task_twice_from_outside_ends_the_process,
		 "second.c:2: task end_after is started twice; the first time was at first.c:1");
	TAP_DIES(waiting_from_outside_for_a_task_never_started_ends_the_process,
		 "wait.c:1: task end_after is awaited but was never started");
	TAP_DIES(blocking_the_thread_inside_a_task_ends_the_process,
		 "wait.c:1: a thread is blocked inside a task");
	return tap_done();
}
