/* SPDX-License-Identifier: MIT */
/* cancel_test.c - cancels that land on accepts, connects, opens, reads and calls of the pool. */

#include <lade/event.h>
#include <lade/io.h>
#include <lade/join.h>
#include <lade/main.h>
#include <lade/select.h>

#include "run.h"
#include "core/io_priv.h"
#include "lade_config.h"

#include <dirent.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <semaphore.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>

/* run_real - IN_TASK on the back end that LADE_BACKEND names. */
#define IN_REAL(name)                                                                              \
	static void name##_body(void);                                                             \
	static void name(void)                                                                     \
	{                                                                                          \
		run_with(&(struct lade_loop_config){ 0 }, name##_body);                            \
	}                                                                                          \
	static void name##_body(void)

/* How many descriptors this process has. */
static int descriptors(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int count = 0;

	while (readdir(dir))
		count++;
	closedir(dir);
	return count;
}

/* Takes what comes, and closes it. */
static int accept_some(int listener, int *taken)
{
	int fd, rc;

	while ((rc = lade_accept(listener, &fd)) == 0) {
		++*taken;
		lade_close(fd);
	}
	return rc;
}
LADE_TASK_VOID(accept_some, (int, listener), (int *, taken))

static int accept_one(int listener, int *ret_fd)
{
	return lade_accept(listener, ret_fd);
}
LADE_TASK(accept_one, int, (int, listener))

static int connect_one(int port, int *ret_fd)
{
	char address[32];

	snprintf(address, sizeof(address), "127.0.0.1:%d", port);
	return lade_connect_to(address, ret_fd);
}
LADE_TASK(connect_one, int, (int, port))

static int open_one(const char *path, int *ret_fd)
{
	return lade_open(path, O_RDONLY, 0, ret_fd);
}
LADE_TASK(open_one, int, (const char *, path))

/* Lets the loop look at the kernel @turns times. */
static void pass_turns(int turns)
{
	for (int i = 0; i < turns; i++)
		CHECK_EQ(lade_yield(), 0);
}

/* Accept, connect and open, each cancelled after so many turns: a status of 0 owns a descriptor. */
static int hammer_once(int listener, int port, int turns)
{
	struct accept_one_task a = accept_one_task(listener);
	struct connect_one_task c = connect_one_task(port);
	struct open_one_task o = open_one_task("/proc/self/status");
	int rc = 0, won = 0;

	lade_scope(s, &rc, .policy = LADE_ALL) {
		lade_start(&s, &a);
		lade_start(&s, &c);
		lade_start(&s, &o);
		pass_turns(turns);
		lade_cancel(&a);
		lade_cancel(&c);
		lade_cancel(&o);
	}
	CHECK(lade_status(&a) == 0 || lade_status(&a) == -ECANCELED);
	CHECK(lade_status(&c) == 0 || lade_status(&c) == -ECANCELED);
	CHECK(lade_status(&o) == 0 || lade_status(&o) == -ECANCELED);
	if (lade_status(&a) == 0)
		lade_close(lade_value(&a));
	if (lade_status(&c) == 0)
		lade_close(lade_value(&c));
	if (lade_status(&o) == 0)
		lade_close(lade_value(&o));
	won += lade_status(&a) == 0;
	won += lade_status(&c) == 0;
	won += lade_status(&o) == 0;
	return won;
}

IN_REAL(a_descriptor_that_arrives_as_the_cancel_lands_is_never_lost)
{
	int before = descriptors(), listener, port, won = 0, rounds = RUN_MANY(2000);

	CHECK_EQ(lade_listen("127.0.0.1:0", &listener), 0);
	port = lade_local_port(listener);
	for (int i = 0; i < rounds; i++)
		won += hammer_once(listener, port, i % 7);
	CHECK(won > 0 && won < 3 * rounds);
	lade_close(listener);
	CHECK_EQ(descriptors(), before);
}

/* A connection that the kernel has made when this returns, and the loop does not know of. */
static int connect_unseen(int port)
{
	struct sockaddr_in where = { .sin_family = AF_INET,
				     .sin_port = htons((uint16_t)port),
				     .sin_addr = { htonl(INADDR_LOOPBACK) } };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	CHECK_EQ(connect(fd, (const struct sockaddr *)&where, sizeof(where)), 0);
	return fd;
}

IN_REAL(a_connection_that_has_come_is_accepted_although_the_accept_is_cancelled)
{
	struct accept_one_task a;
	int listener, fd = -1, rc = 0;

	CHECK_EQ(lade_listen("127.0.0.1:0", &listener), 0);
	a = accept_one_task(listener);
	lade_scope(s, &rc, .policy = LADE_ALL) {
		lade_start(&s, &a);
		pass_turns(2);
		fd = connect_unseen(lade_local_port(listener));
		lade_cancel(&a);
	}
	CHECK_EQ(lade_status(&a), 0);
	if (lade_status(&a) == 0)
		lade_close(lade_value(&a));
	lade_close(fd);
	lade_close(listener);
}

/* The first of two that were woken takes the connection, and cancels the second. */
static int take_and_cancel(int listener, struct accept_one_task *other, int *ret_fd)
{
	int rc = lade_accept(listener, ret_fd);

	lade_cancel(other);
	return rc;
}
LADE_TASK(take_and_cancel, int, (int, listener), (struct accept_one_task *, other))

IN_REAL(a_wait_that_was_woken_for_nothing_hears_of_the_cancel_that_came_meanwhile)
{
	struct accept_one_task second;
	struct take_and_cancel_task first;
	int listener, port, rc = 0, fd = -1, late = -1;

	CHECK_EQ(lade_listen("127.0.0.1:0", &listener), 0);
	port = lade_local_port(listener);
	second = accept_one_task(listener);
	first = take_and_cancel_task(listener, &second);
	lade_scope(s, &rc, .policy = LADE_ALL) {
		lade_start(&s, &first);
		lade_start(&s, &second);
		pass_turns(2);
		CHECK_EQ(connect_one(port, &fd), 0);
		CHECK_EQ(lade_wait(&first), 0);
		/* A wait that did not hear of it would go on until another connection comes. */
		if (lade_within(lade_ms(500), lade_wait(&second)) < 0)
			CHECK_EQ(connect_one(port, &late), 0);
	}
	CHECK_EQ(lade_status(&second), -ECANCELED);
	if (lade_status(&first) == 0)
		lade_close(lade_value(&first));
	lade_close(fd);
	lade_close(late);
	lade_close(listener);
}

static int wait_readable(int fd)
{
	return lade_readable(fd);
}
LADE_TASK_VOID(wait_readable, (int, fd))

static int select_readable(int fd)
{
	return lade_select(lade_readable_case(fd), lade_after(lade_s(60)));
}
LADE_TASK_VOID(select_readable, (int, fd))

static int read_one(int fd, char *ret)
{
	int rc = lade_read(fd, ret, 1);

	return rc < 0 ? rc : 0;
}
LADE_TASK(read_one, char, (int, fd))

/* Calls a read off and lets a byte come @yields later.  Returns how many bytes there are then. */
static int bytes_after(int yields)
{
	struct read_one_task reader;
	int fds[2], rc = 0, count;
	char byte;

	CHECK_EQ(lade_pipe(fds), 0);
	CHECK_EQ(fcntl(fds[0], F_SETFL, O_NONBLOCK), 0);
	reader = read_one_task(fds[0]);
	lade_scope(s, &rc, .policy = LADE_ALL) {
		lade_start(&s, &reader);
		pass_turns(300);
		lade_cancel(&reader);
		pass_turns(yields);
		CHECK_EQ(write(fds[1], "x", 1), 1);
	}
	count = (lade_status(&reader) == 0) + (read(fds[0], &byte, 1) == 1);
	lade_close(fds[0]);
	lade_close(fds[1]);
	return count;
}

IN_REAL(a_byte_that_comes_as_a_read_is_called_off_is_read_or_still_there)
{
	for (int yields = 0; yields < 520; yields++)
		CHECK_EQ(bytes_after(yields), 1);
}

IN_REAL(what_is_ready_as_the_cancel_lands_is_tried_once_more)
{
	struct wait_readable_task ready;
	struct select_readable_task chosen;
	struct read_one_task reader;
	int fds[2], rc = 0;

	CHECK_EQ(lade_pipe(fds), 0);
	ready = wait_readable_task(fds[0]);
	chosen = select_readable_task(fds[0]);
	reader = read_one_task(fds[0]);
	lade_scope(s, &rc, .policy = LADE_ALL) {
		lade_start(&s, &ready);
		lade_start(&s, &chosen);
		lade_start(&s, &reader);
		pass_turns(3);
		CHECK_EQ(write(fds[1], "x", 1), 1);
		lade_cancel(&ready);
		lade_cancel(&chosen);
		lade_cancel(&reader);
		CHECK_EQ(lade_wait(&ready), 0);
	}
	CHECK_EQ(lade_status(&ready), 0);
	CHECK_EQ(lade_status(&chosen), 0);
	CHECK_EQ(lade_status(&reader), 0);
	lade_close(fds[0]);
	lade_close(fds[1]);
}

IN_REAL(a_select_on_readiness_ends_when_it_is_cancelled_and_leaves_nothing_behind)
{
	int fds[2];

	CHECK_EQ(lade_pipe(fds), 0);
	for (int i = 0; i < RUN_MANY(500); i++) {
		struct select_readable_task t = select_readable_task(fds[0]);
		int rc = 0;

		lade_scope(s, &rc, .policy = LADE_ALL) {
			lade_start(&s, &t);
			pass_turns(i % 4);
			lade_cancel(&t);
		}
		CHECK_EQ(lade_status(&t), -ECANCELED);
	}
	lade_close(fds[0]);
	lade_close(fds[1]);
}

IN_REAL(a_read_of_a_terminal_ends_at_its_deadline)
{
	int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC), slave;
	char c;

	CHECK(master >= 0 && grantpt(master) == 0 && unlockpt(master) == 0);
	slave = open(ptsname(master), O_RDWR | O_NOCTTY | O_CLOEXEC);
	CHECK(slave >= 0);
	CHECK_EQ(lade_within(lade_ms(5), lade_read(slave, &c, 1)), -ETIME);
	CHECK_EQ(write(master, "ab\n", 3), 3);
	CHECK_EQ(lade_within(lade_s(5), lade_read(slave, &c, 1)), 1);
	CHECK_EQ(c, 'a');
	lade_close(slave);
	lade_close(master);
}

static int drain(int fd, size_t len)
{
	char bytes[4096];
	int rc = 0;

	while (len && (rc = lade_read(fd, bytes, len < sizeof(bytes) ? len : sizeof(bytes))) > 0)
		len -= (size_t)rc;
	return rc < 0 ? rc : 0;
}
LADE_TASK_VOID(drain, (int, fd), (size_t, len))

static int write_rest(int fd, const char *bytes, size_t len, size_t *done)
{
	return lade_write_all(fd, bytes, len, done);
}
LADE_TASK_VOID(write_rest, (int, fd), (const char *, bytes), (size_t, len), (size_t *, done))

IN_REAL(write_all_and_read_exactly_say_how_far_they_got_and_go_on_from_there)
{
	static char out[300000], in[100];
	size_t sent = 0, got = 0, before;
	int fds[2];

	CHECK_EQ(lade_pipe(fds), 0);
	CHECK_EQ(lade_within(lade_ms(5), lade_write_all(fds[1], out, sizeof(out), &sent)), -ETIME);
	CHECK(sent > 0 && sent < sizeof(out));
	before = sent;
	/* Exactly that much is in the pipe. */
	CHECK_EQ(drain(fds[0], before), 0);
	CHECK_EQ(lade_within(lade_ms(5), lade_readable(fds[0])), -ETIME);
	CHECK_EQ(lade_join(lade_do(drain, fds[0], sizeof(out) - before),
			   lade_do(write_rest, fds[1], out, sizeof(out), &sent)),
		 0);
	CHECK_EQ(sent, sizeof(out));
	CHECK_EQ(write(fds[1], "abc", 3), 3);
	CHECK_EQ(lade_within(lade_ms(5), lade_read_exactly(fds[0], in, 5, &got)), -ETIME);
	CHECK_EQ(got, 3);
	CHECK_EQ(write(fds[1], "de", 2), 2);
	CHECK_EQ(lade_read_exactly(fds[0], in, 5, &got), 0);
	CHECK(memcmp(in, "abcde", 5) == 0);
	CHECK_EQ(write(fds[1], "f", 1), 1);
	lade_close(fds[1]);
	got = 0;
	CHECK_EQ(lade_read_exactly(fds[0], in, 5, &got), -ENODATA);
	CHECK_EQ(got, 1);
	lade_close(fds[0]);
}

/* What a call of the pool waits for. */
static sem_t gate;
static atomic_int calls;

static int wait_at_gate(void *arg)
{
	(void)arg;
	atomic_fetch_add(&calls, 1);
	while (sem_wait(&gate) < 0)
		;
	return 1;
}

static int call_pool(void)
{
	return lade_blocking(wait_at_gate, NULL);
}
LADE_TASK_VOID(call_pool)

static int call_pool_counted(int *ended)
{
	int rc = lade_blocking(wait_at_gate, NULL);

	++*ended;
	return rc;
}
LADE_TASK_VOID(call_pool_counted, (int *, ended))

#define POOL_THREADS 4
#define POOL_PLACES (1024 + POOL_THREADS)

/* Starts @count calls that wait at the gate, cancels all, and opens the gate. */
static void crowd(int count, int *ended)
{
	int rc = 0;

	lade_scope(s, &rc, .policy = LADE_ALL) {
		for (int i = 0; rc == 0 && i < count; i++)
			rc = lade_spawn(&s, call_pool_counted_task(ended));
		while (atomic_load(&calls) < POOL_THREADS)
			CHECK_EQ(lade_yield(), 0);
		lade_cancel(&s);
		for (int i = 0; i < POOL_THREADS; i++)
			sem_post(&gate);
	}
}

IN_REAL(a_call_that_has_not_begun_is_taken_back_and_one_that_has_is_waited_for)
{
	int ended = 0;

	sem_init(&gate, 0, 0);
	atomic_store(&calls, 0);
	crowd(20, &ended);
	CHECK_EQ(ended, 20);
	CHECK_EQ(atomic_load(&calls), POOL_THREADS);
	sem_destroy(&gate);
}

IN_REAL(beyond_the_pools_places_calls_wait_and_can_be_cancelled)
{
	int ended = 0;

	sem_init(&gate, 0, 0);
	atomic_store(&calls, 0);
	crowd(POOL_PLACES + 50, &ended);
	CHECK_EQ(ended, POOL_PLACES + 50);
	CHECK_EQ(atomic_load(&calls), POOL_THREADS);
	/* All places are free again. */
	sem_post(&gate);
	CHECK_EQ(call_pool(), 1);
	sem_destroy(&gate);
}

/* The first of them to leave the pool hands its place to the one who waits, and cancels it. */
static struct call_pool_task waits_for_a_place;

static int call_pool_and_cancel(void)
{
	int rc = lade_blocking(wait_at_gate, NULL);

	lade_cancel(&waits_for_a_place);
	return rc;
}
LADE_TASK_VOID(call_pool_and_cancel)

IN_REAL(a_cancel_that_comes_with_a_place_in_the_pool_prevents_the_call)
{
	int rc = 0;

	sem_init(&gate, 0, 0);
	atomic_store(&calls, 0);
	waits_for_a_place = call_pool_task();
	lade_scope(s, &rc, .policy = LADE_ALL) {
		for (int i = 0; rc == 0 && i < POOL_PLACES; i++)
			rc = lade_spawn(&s, call_pool_and_cancel_task());
		lade_start(&s, &waits_for_a_place);
		while (atomic_load(&calls) < POOL_THREADS)
			CHECK_EQ(lade_yield(), 0);
		for (int i = 0; i < POOL_PLACES + 1; i++)
			sem_post(&gate);
	}
	CHECK_EQ(lade_status(&waits_for_a_place), -ECANCELED);
	CHECK_EQ(atomic_load(&calls), POOL_PLACES);
	sem_destroy(&gate);
}

static int resolve_one(const char *host)
{
	struct lade_addresses a;

	return lade_resolve(host, 80, &a);
}
LADE_TASK_VOID(resolve_one, (const char *, host))

/* Starts look-ups behind calls that fill the pool, and cancels them. */
IN_REAL(a_look_up_is_left_behind_when_its_task_is_cancelled)
{
	for (int i = 0; i < RUN_MANY(200); i++) {
		struct resolve_one_task t = resolve_one_task("localhost");
		int rc = 0;

		lade_scope(s, &rc, .policy = LADE_ALL) {
			lade_start(&s, &t);
			pass_turns(i % 5);
			lade_cancel(&t);
		}
		CHECK(lade_status(&t) == 0 || lade_status(&t) == -ECANCELED);
	}
}

IN_TASK(a_look_up_on_the_virtual_clock_can_be_cancelled)
{
	struct resolve_one_task t = resolve_one_task("localhost");
	int rc = 0;

	lade_scope(s, &rc, .policy = LADE_ALL) {
		lade_start(&s, &t);
		CHECK_EQ(lade_yield(), 0);
		lade_cancel(&t);
	}
	CHECK(lade_status(&t) == 0 || lade_status(&t) == -ECANCELED);
}

/* A thread that completes ops. */
struct completer {
	pthread_t thread;
	struct lade_op *op;
	int result;
};

static void *complete_it(void *arg)
{
	struct completer *c = arg;

	lade_complete_remote(c->op, c->result);
	return NULL;
}

static int parked(int result)
{
	struct lade_op op = LADE_OP("a thread");
	struct completer c = { .op = &op, .result = result };
	int rc;

	CHECK_EQ(pthread_create(&c.thread, NULL, complete_it, &c), 0);
	rc = lade_park(&op, NULL);
	pthread_join(c.thread, NULL);
	return rc == result ? 0 : -EIO;
}
LADE_TASK_VOID(parked, (int, result))

IN_REAL(threads_complete_the_ops_of_tasks)
{
	int rc = 0;

	lade_scope(s, &rc) {
		for (int i = 0; rc == 0 && i < RUN_MANY(500); i++)
			rc = lade_spawn(&s, parked_task(i));
	}
	CHECK_EQ(rc, 0);
}

static enum lade_abort_result not_yet(struct lade_op *op)
{
	(void)op;
	return LADE_PENDING;
}

static int parked_and_cancelled(int result)
{
	struct lade_op op = LADE_OP("a thread");
	struct completer c = { .op = &op, .result = result };
	int rc;

	CHECK_EQ(pthread_create(&c.thread, NULL, complete_it, &c), 0);
	rc = lade_park(&op, not_yet);
	pthread_join(c.thread, NULL);
	return rc;
}
LADE_TASK_VOID(parked_and_cancelled, (int, result))

IN_REAL(a_cancelled_task_waits_for_the_thread_and_returns_what_it_completed)
{
	for (int i = 0; i < RUN_MANY(200); i++) {
		struct parked_and_cancelled_task t = parked_and_cancelled_task(i + 1);
		int rc = 0;

		lade_scope(s, &rc, .policy = LADE_ALL) {
			lade_start(&s, &t);
			pass_turns(i % 3 + 1);
			lade_cancel(&t);
		}
		CHECK_EQ(lade_status(&t), i + 1);
	}
}

/* The op that the signal handler is to complete, and how many it has completed. */
static struct lade_op *_Atomic signalled;
static atomic_int completed_by_signal;

static void complete_from_handler(int number)
{
	struct lade_op *op = atomic_exchange(&signalled, NULL);

	(void)number;
	if (!op)
		return;
	lade_complete_remote(op, 40 + atomic_fetch_add(&completed_by_signal, 1) % 7);
}

/* Signals that fall anywhere: into the loop's sleep, between two lines of a task, into the loop. */
IN_REAL(a_signal_handler_completes_the_op_of_a_task)
{
	struct sigaction action = { .sa_handler = complete_from_handler }, before;
	struct itimerval often = { { 0, 300 }, { 0, 300 } }, never = { { 0, 0 }, { 0, 0 } };
	int rounds = RUN_MANY(500);

	CHECK_EQ(sigaction(SIGALRM, &action, &before), 0);
	CHECK_EQ(setitimer(ITIMER_REAL, &often, NULL), 0);
	for (int i = 0; i < rounds; i++) {
		struct lade_op op = LADE_OP("a signal");

		atomic_store(&signalled, &op);
		CHECK_EQ(lade_within(lade_s(20), lade_park(&op, not_yet)), 40 + i % 7);
	}
	CHECK_EQ(setitimer(ITIMER_REAL, &never, NULL), 0);
	CHECK_EQ(sigaction(SIGALRM, &before, NULL), 0);
	CHECK_EQ(atomic_load(&completed_by_signal), rounds);
}

/* As many switches as it takes for the loop to have looked at the kernel several times. */
#define LOOKS 1000

#if LADE_HAVE_URING
#include <liburing.h>

/* Gives the kernel an operation that does nothing and comes back under @tag. */
static void forge_completion(uint64_t tag)
{
	/* The ring is the first thing that the back end keeps. */
	struct io_uring *ring = lade_loop_here()->backend_data;
	struct io_uring_sqe *sqe = io_uring_get_sqe(ring);

	io_uring_prep_nop(sqe);
	io_uring_sqe_set_data64(sqe, tag);
	pass_turns(LOOKS);
}

/* The first wait of a loop has slot 0 under generation 0, the next one has it again under 1. */
static void forge_into_new_use(int pipes[3][2])
{
	const uint64_t slot_0_use_1 = UINT64_C(1) << 32, slot_0_use_0 = 0;
	struct wait_readable_task first = wait_readable_task(pipes[0][0]);
	struct wait_readable_task second = wait_readable_task(pipes[1][0]);
	struct wait_readable_task third = wait_readable_task(pipes[2][0]);
	int rc = 0;

	lade_scope(s, &rc) {
		lade_start(&s, &first);
		pass_turns(LOOKS);
		CHECK_EQ(write(pipes[0][1], "x", 1), 1);
		CHECK_EQ(lade_wait(&first), 0);
		lade_start(&s, &second);
		pass_turns(LOOKS);
		forge_completion(slot_0_use_0);
		CHECK_EQ(lade_status(&second), -EINPROGRESS);
		/* Under the right generation it is believed, so the slot is the one meant. */
		forge_completion(slot_0_use_1);
		CHECK_EQ(lade_status(&second), 0);
		lade_start(&s, &third);
		pass_turns(LOOKS);
		/* Now the kernel's own completion of the second wait comes too late. */
		CHECK_EQ(write(pipes[1][1], "x", 1), 1);
		pass_turns(LOOKS);
		CHECK_EQ(lade_status(&third), -EINPROGRESS);
		CHECK_EQ(write(pipes[2][1], "x", 1), 1);
	}
	CHECK_EQ(rc, 0);
}

IN_REAL(a_completion_forged_for_a_slot_in_new_use_is_not_believed)
{
	int pipes[3][2];

	for (int i = 0; i < 3; i++)
		CHECK_EQ(lade_pipe(pipes[i]), 0);
	forge_into_new_use(pipes);
	for (int i = 0; i < 6; i++)
		lade_close(pipes[i / 2][i % 2]);
}
#else
static void a_completion_forged_for_a_slot_in_new_use_is_not_believed(void)
{
}
#endif

/* What a cleanup closes, and whether it could suspend. */
struct closing {
	int fd;
	struct lade_event *event;
	int slept[2];
};

static void sleep_and_close(void *arg)
{
	struct closing *c = arg;

	c->slept[0] = lade_sleep(lade_s(3600));
	/* The budget is gone: nothing waits any more, but it closes. */
	c->slept[1] = lade_sleep(lade_ms(1));
	lade_close(c->fd);
	lade_event_set(c->event);
}

static int closes_in_its_cleanup(struct closing *c)
{
	lade_defer(sleep_and_close, c);

	return lade_sleep(lade_s(3600));
}
LADE_TASK_VOID(closes_in_its_cleanup, (struct closing *, c))

IN_REAL(when_the_cleanup_budget_is_gone_a_close_still_closes)
{
	struct lade_event event;
	struct closing c = { .event = &event };
	struct closes_in_its_cleanup_task t = closes_in_its_cleanup_task(&c);
	int fds[2], rc = 0;
	char byte;

	lade_event_init(&event);
	CHECK_EQ(lade_pipe(fds), 0);
	c.fd = fds[1];
	lade_scope(s, &rc, .policy = LADE_ALL, .cleanup = lade_ms(5)) {
		lade_start(&s, &t);
		pass_turns(2);
		lade_cancel(&t);
	}
	CHECK_EQ(lade_status(&t), -ECANCELED);
	CHECK_EQ(c.slept[0], -ECANCELED);
	CHECK_EQ(c.slept[1], -ECANCELED);
	CHECK_EQ(lade_event_wait(&event), 0);
	/* The other end is told: it is closed for good. */
	CHECK_EQ(lade_read(fds[0], &byte, 1), 0);
	lade_close(fds[0]);
}

#define WAITS 300 /* more than a queue of io_uring has entries, and epoll tells of at once */

IN_REAL(more_waits_than_the_kernel_is_asked_for_at_once_all_end)
{
	static struct read_one_task readers[WAITS];
	int fds[2], rc = 0;
	char bytes[WAITS];

	memset(bytes, 'x', sizeof(bytes));
	NEED_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds), 0);
	lade_scope(s, &rc) {
		for (int i = 0; i < WAITS; i++) {
			/* Each waits on a descriptor of its own for the same bytes. */
			readers[i] = read_one_task(dup(fds[0]));
			lade_start(&s, &readers[i]);
		}
		pass_turns(3 * WAITS);
		CHECK_EQ(write(fds[1], bytes, sizeof(bytes)), WAITS);
	}
	CHECK_EQ(rc, 0);
	for (int i = 0; i < WAITS; i++) {
		CHECK_EQ(lade_value(&readers[i]), 'x');
		lade_close(readers[i].args.fd);
	}
	lade_close(fds[0]);
	lade_close(fds[1]);
}

IN_REAL(a_call_moves_at_most_a_gibibyte)
{
	size_t bytes = (size_t)3 << 30;
	char *much = mmap(NULL, bytes, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1,
			  0);
	int null = open("/dev/null", O_WRONLY | O_CLOEXEC);

	CHECK(much != MAP_FAILED && null >= 0);
	CHECK_EQ(lade_write(null, much, bytes), LADE_IO_MAX);
	munmap(much, bytes);
	lade_close(null);
}

static int select_both(int fd)
{
	return lade_select(lade_readable_case(fd), lade_writable_case(fd),
			   lade_readable_case(fd));
}
LADE_TASK_VOID(select_both, (int, fd))

/* A full socket from which there is nothing to read: neither is possible. */
static void fill(int fd)
{
	static char bytes[65536];

	while (send(fd, bytes, sizeof(bytes), MSG_DONTWAIT | MSG_NOSIGNAL) > 0)
		;
}

IN_REAL(a_select_that_names_a_descriptor_several_times_is_chosen_for_once)
{
	for (int i = 0; i < 4; i++) {
		struct select_both_task a, b;
		int fds[2], rc = 0;

		NEED_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds),
			0);
		fill(fds[0]);
		a = select_both_task(fds[0]);
		b = select_both_task(fds[0]);
		lade_scope(s, &rc) {
			lade_start(&s, &a);
			lade_start(&s, &b);
			pass_turns(LOOKS);
			/* Readable, or with the end of the other side both at once. */
			if (i % 2)
				CHECK_EQ(write(fds[1], "x", 1), 1);
			else
				lade_close(fds[1]);
		}
		CHECK(lade_status(&a) >= 0 && lade_status(&a) <= 2);
		CHECK(lade_status(&b) >= 0 && lade_status(&b) <= 2);
		lade_close(fds[0]);
		if (i % 2)
			lade_close(fds[1]);
	}
}

static bool on_uring(void)
{
	const char *wish = getenv("LADE_BACKEND");
	char text[128];

	return wish && *wish ? strcmp(wish, "uring") == 0
			     : lade_backend_probe(text, sizeof(text)) > 0 &&
				       strncmp(text, "uring", 5) == 0;
}

int main(void)
{
	TAP(a_descriptor_that_arrives_as_the_cancel_lands_is_never_lost);
	TAP(a_connection_that_has_come_is_accepted_although_the_accept_is_cancelled);
	TAP(a_wait_that_was_woken_for_nothing_hears_of_the_cancel_that_came_meanwhile);
	TAP(a_byte_that_comes_as_a_read_is_called_off_is_read_or_still_there);
	TAP(what_is_ready_as_the_cancel_lands_is_tried_once_more);
	TAP(a_select_on_readiness_ends_when_it_is_cancelled_and_leaves_nothing_behind);
	TAP(write_all_and_read_exactly_say_how_far_they_got_and_go_on_from_there);
	TAP(a_read_of_a_terminal_ends_at_its_deadline);
	TAP(a_call_that_has_not_begun_is_taken_back_and_one_that_has_is_waited_for);
	TAP(beyond_the_pools_places_calls_wait_and_can_be_cancelled);
	TAP(a_cancel_that_comes_with_a_place_in_the_pool_prevents_the_call);
	TAP(a_look_up_is_left_behind_when_its_task_is_cancelled);
	TAP(a_look_up_on_the_virtual_clock_can_be_cancelled);
	TAP(threads_complete_the_ops_of_tasks);
	TAP(a_cancelled_task_waits_for_the_thread_and_returns_what_it_completed);
	TAP(a_signal_handler_completes_the_op_of_a_task);
	TAP(when_the_cleanup_budget_is_gone_a_close_still_closes);
	TAP(more_waits_than_the_kernel_is_asked_for_at_once_all_end);
	TAP(a_select_that_names_a_descriptor_several_times_is_chosen_for_once);
	TAP(a_call_moves_at_most_a_gibibyte);
	if (on_uring())
		TAP(a_completion_forged_for_a_slot_in_new_use_is_not_believed);
	else
		TAP_SKIP(a_completion_forged_for_a_slot_in_new_use_is_not_believed,
			 "epoll has no completions");
	return tap_done();
}
