/* SPDX-License-Identifier: MIT */
/* faults_test.c - wherever a system call fails: an answer, no crash, no hang, nothing lost.
 *
 * A scenario is run again and again, and each time one more call goes well before one fails, until
 * none is left to fail. After each run the scenario has said 0 (what failed was done without) or
 * the error of that very call, and descriptors and mappings are as they were. A run that hangs is
 * ended by a watchdog, which names it; memory that is lost is found by the sanitizer. */

#include "descriptors.h"
#include "faults.h"

#include <lade/cache.h>
#include <lade/cores.h>
#include <lade/event.h>
#include <lade/io.h>
#include <lade/join.h>
#include <lade/select.h>
#include <lade/stream.h>

#include "run.h"

#include <fcntl.h>
#include <sys/socket.h>

#define HANG_SECONDS 10
#define RUNS_MAX 3000

static char running[256]; /* the run under way, for the watchdog */

static void hangs(int number)
{
	const char *call = NULL;
	int rc;

	(void)number;
	(void)faults_end(&call, &rc);
	dprintf(STDOUT_FILENO, "%s, %s with %d: hangs\n", running, call ? call : "none", rc);
	_exit(3);
}

/* The calls that have been made to fail so far. */
static const char *met[64];
static int met_count;

static bool has_met(const char *call)
{
	for (int i = 0; i < met_count; i++)
		if (strcmp(met[i], call) == 0)
			return true;
	return false;
}

static void meet(const char *call)
{
	if (!has_met(call) && met_count < 64)
		met[met_count++] = call;
}

/* A scenario as the root task of a loop of its own. */
typedef int (*scenario_function)(void);

static int play(scenario_function scenario)
{
	return scenario();
}
LADE_TASK_VOID(play, (scenario_function, scenario))

static int play_in_loop(scenario_function scenario)
{
	struct play_task task = play_task(scenario);
	struct lade_loop *loop;
	int rc = lade_loop_new(&(struct lade_loop_config){ .cores = 2 }, &loop);

	if (rc < 0)
		return rc;
	rc = lade_loop_run_at(loop, &task.head, LADE_SITE);
	lade_loop_free(loop);
	return rc;
}

/* One run, in which the @n-th call fails.  Returns whether there were that many. */
static bool run_once(const char *name, scenario_function scenario, enum fault_kind kind, long n)
{
	static const char *const kinds[] = { "fails", "is interrupted", "finds no memory" };
	int before = descriptors(), maps = faults_maps(), expected, rc, bad = tap_bad_checks;
	const char *call;
	bool failed;

	snprintf(running, sizeof(running), "# %s: call %ld %s", name, n, kinds[kind]);
	alarm(HANG_SECONDS);
	faults_begin(kind, n);
	rc = play_in_loop(scenario);
	failed = faults_end(&call, &expected);
	alarm(0);
	if (failed)
		meet(call);
	if (!failed)
		CHECK_EQ(rc, 0);
	else if (kind == FAULT_INTERRUPT)
		CHECK_EQ(rc, 0);
	else if (kind == FAULT_ALLOCATE)
		CHECK(rc == 0 || rc == -ENOMEM || rc == -EAGAIN);
	else
		CHECK(rc == 0 || rc == expected);
	CHECK_EQ(descriptors(), before);
	CHECK_EQ(faults_maps(), maps);
	if (tap_bad_checks > bad)
		printf("%s, %s with %d: the answer was %d\n", running, failed ? call : "none",
		       expected, rc);
	return failed;
}

static void visit(const char *name, scenario_function scenario)
{
	signal(SIGALRM, hangs);
	for (int kind = FAULT_ERROR; kind <= FAULT_ALLOCATE; kind++) {
		long n = 1;

		while (n < RUNS_MAX && run_once(name, scenario, (enum fault_kind)kind, n))
			n++;
		printf("# %s: %ld\n", name, n - 1);
		CHECK(n > 1 && n < RUNS_MAX);
	}
}

/* WHEREVER_ - WHEREVER_(name) { … }: a scenario, and the test that visits all its calls. */
#define WHEREVER_(name)                                                                            \
	static int name##_scenario(void);                                                          \
	static void wherever_a_call_fails_##name(void)                                             \
	{                                                                                          \
		visit(#name, name##_scenario);                                                     \
	}                                                                                          \
	static int name##_scenario(void)

/* Tasks, and deep stacks that are trimmed when the loop idles. */

static int dig_and_sleep(int64_t ms)
{
	volatile char deep[100000];

	deep[0] = 1;
	return lade_sleep(lade_us(ms)) < 0 ? -ECANCELED : deep[0] - 1;
}
LADE_TASK_VOID(dig_and_sleep, (int64_t, ms))

static int run_tasks(void)
{
	int rc = 0;

	lade_scope(s, &rc) {
		for (int i = 0; rc == 0 && i < 20; i++)
			rc = lade_spawn(&s, dig_and_sleep_task(50 * i));
	}
	return rc < 0 ? rc : lade_within(lade_s(5), lade_sleep(lade_us(100)));
}

WHEREVER_(tasks_end_with_an_answer)
{
	return run_tasks();
}

WHEREVER_(tasks_guarded_by_mprotect_end_with_an_answer)
{
	return run_tasks();
}

/* A connection */

static int echo(int listener)
{
	char bytes[100];
	int fd, n = 0, rc = lade_accept(listener, &fd);
	size_t done = 0;

	if (rc < 0)
		return rc;
	while (rc == 0 && (n = lade_read(fd, bytes, sizeof(bytes))) > 0) {
		done = 0;
		rc = lade_write_all(fd, bytes, (size_t)n, &done);
	}
	lade_close(fd);
	return n < 0 ? n : rc;
}
LADE_TASK_VOID(echo, (int, listener))

static int say(int port)
{
	char address[32], bytes[5];
	size_t sent = 0, got = 0;
	int fd, rc;

	snprintf(address, sizeof(address), "127.0.0.1:%d", port);
	rc = lade_connect_to(address, &fd);
	if (rc < 0)
		return rc;
	rc = lade_write_all(fd, "hello", 5, &sent);
	if (rc == 0)
		rc = lade_read_exactly(fd, bytes, sizeof(bytes), &got);
	if (rc == 0 && memcmp(bytes, "hello", 5) != 0)
		rc = -EBADMSG;
	lade_close(fd);
	return rc;
}
LADE_TASK_VOID(say, (int, port))

WHEREVER_(a_connection_ends_with_an_answer)
{
	int listener, port, rc = lade_listen("127.0.0.1:0", &listener);

	if (rc < 0)
		return rc;
	port = lade_local_port(listener);
	rc = port < 0 ? port : lade_join(lade_do(echo, listener), lade_do(say, port));
	lade_close(listener);
	return rc;
}

/* A file */

static int write_and_read(int fd)
{
	char bytes[8];
	size_t done = 0;
	int rc = lade_write_all(fd, "in place", 8, &done);

	if (rc == 0)
		rc = lade_pwrite(fd, "behind", 6, 8);
	if (rc >= 0)
		rc = rc == 6 ? lade_fsync(fd) : -EBADMSG;
	if (rc == 0)
		rc = lade_pread(fd, bytes, 8, 0);
	if (rc >= 0)
		rc = rc == 8 && memcmp(bytes, "in place", 8) == 0 ? 0 : -EBADMSG;
	return rc;
}

static char file_path[64];

WHEREVER_(a_file_is_written_and_read_or_there_is_an_answer)
{
	int fd, rc = lade_open(file_path, O_RDWR | O_CREAT | O_TRUNC, 0600, &fd);

	if (rc < 0)
		return rc;
	rc = write_and_read(fd);
	lade_close(fd);
	return rc;
}

/* Many waits at once, selects, and what wakes them */

static int read_byte(int fd)
{
	char byte;
	int rc = lade_read(fd, &byte, 1);

	return rc < 0 ? rc : 0;
}
LADE_TASK_VOID(read_byte, (int, fd))

static int select_byte(int fd)
{
	int rc = lade_select(lade_after(lade_s(60)), lade_readable_case(fd), lade_on_stopping());

	return rc < 0 ? rc : read_byte(fd);
}
LADE_TASK_VOID(select_byte, (int, fd))

static int write_bytes(int fd, int count)
{
	char bytes[256] = { 0 };
	size_t done = 0;
	int rc = lade_sleep(lade_us(200));

	return rc < 0 ? rc : lade_write_all(fd, bytes, (size_t)count, &done);
}
LADE_TASK_VOID(write_bytes, (int, fd), (int, count))

#define READERS 70 /* more than io_uring takes at once */

WHEREVER_(many_waits_on_one_descriptor_all_end)
{
	int fds[2], rc = lade_pipe(fds);

	if (rc < 0)
		return rc;
	lade_scope(s, &rc) {
		for (int i = 0; rc == 0 && i < READERS; i++)
			rc = lade_spawn(&s, read_byte_task(fds[0]));
		for (int i = 0; rc == 0 && i < 3; i++)
			rc = lade_spawn(&s, select_byte_task(fds[0]));
		if (rc == 0)
			rc = lade_spawn(&s, write_bytes_task(fds[1], READERS + 3));
	}
	lade_close(fds[0]);
	lade_close(fds[1]);
	return rc;
}

static int wait_readable(int fd)
{
	return lade_readable(fd);
}
LADE_TASK_VOID(wait_readable, (int, fd))

static int wait_writable(int fd)
{
	return lade_writable(fd);
}
LADE_TASK_VOID(wait_writable, (int, fd))

WHEREVER_(waits_in_both_directions_of_a_socket_all_end)
{
	int fds[2], rc = 0;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
		return -errno;
	rc = lade_join(lade_do(wait_readable, fds[0]), lade_do(wait_writable, fds[0]),
		       lade_do(write_bytes, fds[1], 1));
	close(fds[0]);
	close(fds[1]);
	return rc;
}

static int read_impatiently(int fd)
{
	int rc = lade_within(lade_us(300), read_byte(fd));

	return rc == -ETIME ? 0 : rc;
}
LADE_TASK_VOID(read_impatiently, (int, fd))

static int accept_impatiently(int listener)
{
	int fd, rc = lade_within(lade_us(300), lade_accept(listener, &fd));

	return rc == -ETIME ? 0 : rc;
}
LADE_TASK_VOID(accept_impatiently, (int, listener))

WHEREVER_(waits_that_are_called_off_all_end)
{
	int fds[2], listener, rc = lade_pipe(fds);

	if (rc < 0)
		return rc;
	rc = lade_listen("127.0.0.1:0", &listener);
	if (rc == 0) {
		rc = lade_join(lade_do(read_impatiently, fds[0]),
			       lade_do(accept_impatiently, listener),
			       lade_do(read_impatiently, fds[0]));
		lade_close(listener);
	}
	lade_close(fds[0]);
	lade_close(fds[1]);
	return rc;
}

/* The pool */

static int count_call(void *arg)
{
	atomic_fetch_add((atomic_int *)arg, 1);
	return 0;
}

static int call_pool(atomic_int *calls)
{
	return lade_blocking(count_call, calls);
}
LADE_TASK_VOID(call_pool, (atomic_int *, calls))

static int look_up(void)
{
	struct lade_addresses found;

	return lade_resolve("localhost", 80, &found);
}
LADE_TASK_VOID(look_up)

WHEREVER_(calls_and_look_ups_on_the_pool_all_end)
{
	atomic_int calls = 0;
	int rc;

	faults_names(3, false);
	rc = lade_join(lade_do(call_pool, &calls), lade_do(look_up), lade_do(call_pool, &calls),
		       lade_do(look_up), lade_do(call_pool, &calls), lade_do(call_pool, &calls));
	faults_names(0, false);
	return rc == 0 && calls != 4 ? -EBADMSG : rc;
}

/* Other cores */

static int count_there(atomic_int *calls)
{
	int rc = lade_sleep(lade_us(50));

	return rc < 0 ? rc : lade_blocking(count_call, calls);
}
LADE_TASK_VOID(count_there, (atomic_int *, calls))

WHEREVER_(tasks_on_other_cores_all_end)
{
	atomic_int calls = 0;
	int rc = lade_join(lade_on(1, lade_do(count_there, &calls)),
			   lade_on(1, lade_do(count_there, &calls)), lade_do(count_there, &calls));

	return rc == 0 && calls != 3 ? -EBADMSG : rc;
}

/* Streams */

LADE_CHANNEL(num, long)
LADE_STREAM(num, long)

static int length_of(void *arg, struct lade_line *line, long *ret)
{
	(void)arg;
	*ret = line->len;
	return lade_yield();
}
LADE_MAP(lengths, lade_line, num, length_of)

static int write_lines(int fd)
{
	size_t done = 0;
	int rc = lade_write_all(fd, "one\nthree\nfive\nseven\n", 21, &done);

	lade_close(fd);
	return rc;
}
LADE_TASK_VOID_WITH(write_lines, (.drop_args = lade_close), (int, fd))

static int add_lengths(int fd, long *ret)
{
	struct num_batches *in = NULL;
	struct num_batch b;
	int rc = 0;

	*ret = 0;
	lade_scope(s, &rc) {
		in = num_batch(&s,
			       num_prefetch(&s,
					    lengths(&s, lade_lines_of(fd, 0, 1, 0), NULL, 3,
						    false),
					    10, 0),
			       (struct lade_batch_config){ .max_items = 3, .linger = lade_ms(1) });
		while ((rc = num_batch_next(in, &b)) > 0)
			for (size_t i = 0; i < b.len; i++)
				*ret += b.items[i];
		num_batches_close(in);
	}
	return rc;
}
LADE_TASK(add_lengths, long, (int, fd))

WHEREVER_(a_chain_of_streams_ends_with_an_answer)
{
	struct add_lengths_task adder;
	int fds[2], rc = lade_pipe(fds);

	if (rc < 0)
		return rc;
	adder = add_lengths_task(fds[0]);
	rc = lade_join(&adder, lade_do(write_lines, fds[1]));
	lade_close(fds[0]);
	return rc == 0 && lade_value(&adder) != 17 ? -EBADMSG : rc;
}

/* The cache, whose loads ask the pool */

static int load_long(void *arg, const long *key, long *ret)
{
	int rc = lade_blocking(count_call, arg);

	*ret = 2 * *key;
	return rc;
}
LADE_CACHE(num, long, long)

static int ask(struct num_cache *cache, long key)
{
	long value = 0;
	int rc = num_cache_get(cache, key, &value);

	return rc < 0 ? rc : value == 2 * key ? 0 : -EBADMSG;
}
LADE_TASK_VOID(ask, (struct num_cache *, cache), (long, key))

WHEREVER_(loads_of_a_cache_all_end)
{
	struct num_cache *cache = NULL;
	atomic_int calls = 0;
	int rc = 0;

	lade_scope(s, &rc) {
		rc = num_cache_new(&s, load_long, &calls, &(struct lade_cache_config){ 0 },
				   &cache);
		if (rc == 0)
			rc = lade_join(lade_do(ask, cache, 1), lade_do(ask, cache, 1),
				       lade_do(ask, cache, 2));
	}
	if (cache)
		num_cache_close(cache, false);
	return rc;
}

/* Names */

static int look_up_one(struct lade_addresses *ret)
{
	return lade_resolve("name.example", 80, ret);
}
LADE_TASK(look_up_one, struct lade_addresses)

static int of_many_addresses(void)
{
	struct lade_addresses found;

	faults_names(20, false);
	CHECK_EQ(lade_resolve("name.example", 80, &found), 0);
	faults_names(0, false);
	CHECK_EQ(found.count, LADE_ADDRESSES_MAX);
	return 0;
}

static void of_a_name_with_many_addresses_sixteen_are_used(void)
{
	CHECK_EQ(play_in_loop(of_many_addresses), 0);
}

#define LEFT_BEHIND_MAX 16

/* Cancels look-ups that hang: each but the last is gone at once, and the pool goes on. */
static int leave_behind(void)
{
	struct look_up_one_task one[LEFT_BEHIND_MAX + 1];
	atomic_int calls = 0;
	int rc = 0;

	lade_scope(s, &rc, .policy = LADE_ALL) {
		for (int i = 0; i <= LEFT_BEHIND_MAX; i++) {
			one[i] = look_up_one_task();
			lade_start(&s, &one[i]);
			while (faults_at_gate() <= i)
				CHECK_EQ(lade_yield(), 0);
			lade_cancel(&one[i]);
			CHECK_EQ(lade_yield(), 0);
			CHECK_EQ(lade_status(&one[i]),
				 i < LEFT_BEHIND_MAX ? -ECANCELED : -EINPROGRESS);
		}
		CHECK_EQ(call_pool(&calls), 0);
		for (int i = 0; i <= LEFT_BEHIND_MAX; i++)
			faults_open_gate();
	}
	/* The last one had to wait for its answer, and so it has one. */
	CHECK_EQ(lade_status(&one[LEFT_BEHIND_MAX]), 0);
	return rc;
}

static void the_seventeenth_look_up_is_not_left_behind(void)
{
	faults_names(1, true);
	CHECK_EQ(play_in_loop(leave_behind), 0);
	faults_names(0, false);
}

/* A job that waits behind look-ups that hang has a thread as soon as one of them is left. */
static int wait_behind(void)
{
	struct look_up_one_task one[4];
	atomic_int calls = 0;
	struct call_pool_task job = call_pool_task(&calls);
	int rc = 0;

	lade_scope(s, &rc, .policy = LADE_ALL) {
		for (int i = 0; i < 4; i++) {
			one[i] = look_up_one_task();
			lade_start(&s, &one[i]);
		}
		while (faults_at_gate() < 4)
			CHECK_EQ(lade_yield(), 0);
		lade_start(&s, &job);
		for (int i = 0; i < 1000; i++)
			CHECK_EQ(lade_yield(), 0);
		CHECK_EQ(lade_status(&job), -EINPROGRESS);
		lade_cancel(&one[0]);
		CHECK_EQ(lade_within(lade_s(5), lade_wait(&job)), 0);
		for (int i = 0; i < 4; i++)
			faults_open_gate();
	}
	return rc;
}

static void look_ups_that_hang_and_are_left_behind_do_not_block_the_pool(void)
{
	faults_names(1, true);
	CHECK_EQ(play_in_loop(wait_behind), 0);
	faults_names(0, false);
}

/* Whether a call was made to fail. Threads call in an order that differs from run to run, so that
 * the n-th call of all may miss what they rarely call: then that call alone is counted. */
static bool was_met(const char *call)
{
	static const scenario_function on_threads[] = {
		a_file_is_written_and_read_or_there_is_an_answer_scenario,
		calls_and_look_ups_on_the_pool_all_end_scenario,
		tasks_on_other_cores_all_end_scenario,
	};

	for (size_t i = 0; i < sizeof(on_threads) / sizeof(*on_threads) && !has_met(call); i++) {
		faults_only(call);
		(void)run_once(call, on_threads[i], FAULT_ERROR, 1);
		faults_only(NULL);
	}
	return has_met(call);
}

/* A harness that has gone blind would pass all of the above. */
static void every_call_that_the_scenarios_make_was_made_to_fail(void)
{
	static const char *const always[] = {
		"mmap64",      "madvise",     "mprotect",	"eventfd",     "close",
		"malloc",      "socket",      "setsockopt",	"bind",	       "listen",
		"getsockname", "accept4",     "connect",	"getsockopt",  "getpeername",
		"recv",	       "send",	      "preadv64v2",	"pwritev64v2", "pipe2",
		"poll",	       "getaddrinfo", "pthread_create", "getrandom",
	};
	static const char *const on_epoll[] = { "epoll_create1", "epoll_ctl", "epoll_pwait2",
						"open64", "fsync" };
	static const char *const on_uring[] = {
		"io_uring_queue_init_params",
		"io_uring_submit",
		"io_uring_submit_and_get_events",
		"io_uring_submit_and_wait_timeout",
		"an accept of io_uring",
		"a poll of io_uring",
		"an open of io_uring",
		"a write of io_uring",
		"an fsync of io_uring",
	};
	bool epoll = has_met("epoll_create1");

	for (size_t i = 0; i < sizeof(always) / sizeof(*always); i++)
		if (!was_met(always[i]))
			CHECK_STR(always[i], "met");
	for (size_t i = 0; epoll && i < sizeof(on_epoll) / sizeof(*on_epoll); i++)
		if (!was_met(on_epoll[i]))
			CHECK_STR(on_epoll[i], "met");
	for (size_t i = 0; !epoll && i < sizeof(on_uring) / sizeof(*on_uring); i++)
		if (!was_met(on_uring[i]))
			CHECK_STR(on_uring[i], "met");
}

int main(void)
{
	strcpy(file_path, "/tmp/lade-faults-XXXXXX");
	close(mkstemp(file_path));
	TAP(wherever_a_call_fails_tasks_end_with_an_answer);
	setenv("LADE_GUARD", "mprotect", 1);
	TAP(wherever_a_call_fails_tasks_guarded_by_mprotect_end_with_an_answer);
	unsetenv("LADE_GUARD");
	TAP(wherever_a_call_fails_a_connection_ends_with_an_answer);
	TAP(wherever_a_call_fails_a_file_is_written_and_read_or_there_is_an_answer);
	TAP(wherever_a_call_fails_many_waits_on_one_descriptor_all_end);
	TAP(wherever_a_call_fails_waits_in_both_directions_of_a_socket_all_end);
	TAP(wherever_a_call_fails_waits_that_are_called_off_all_end);
	TAP(wherever_a_call_fails_calls_and_look_ups_on_the_pool_all_end);
	TAP(wherever_a_call_fails_tasks_on_other_cores_all_end);
	TAP(wherever_a_call_fails_a_chain_of_streams_ends_with_an_answer);
	TAP(wherever_a_call_fails_loads_of_a_cache_all_end);
	TAP(every_call_that_the_scenarios_make_was_made_to_fail);
	TAP(of_a_name_with_many_addresses_sixteen_are_used);
	TAP(the_seventeenth_look_up_is_not_left_behind);
	TAP(look_ups_that_hang_and_are_left_behind_do_not_block_the_pool);
	unlink(file_path);
	return tap_done();
}
