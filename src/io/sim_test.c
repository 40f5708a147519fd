/* SPDX-License-Identifier: MIT */
/* sim_test.c - the simulation: one seed is one run, and what its sockets, files and names do. */

#include "core/io_priv.h"
#include "tap.h"
#include "unix_socket.h"

#include <lade/blocking.h>
#include <lade/io.h>
#include <lade/join.h>
#include <lade/scope.h>
#include <lade/select.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static void (*body)(void);
static uint64_t trace; /* hash of the last run's */

static int root(void)
{
	body();
	return 0;
}
LADE_TASK_VOID(root)

/* Runs a test's body in a simulation. */
static void simulate(const char *seed, const char *settings, void (*function)(void))
{
	struct root_task task = root_task();
	struct lade_loop *loop;

	setenv("LADE_SEED", seed, 1);
	setenv("LADE_SIM", settings, 1);
	body = function;
	NEED_EQ(lade_loop_new(&(struct lade_loop_config){ .backend = "sim" }, &loop), 0);
	CHECK_EQ(lade_loop_run_at(loop, &task.head, LADE_SITE), 0);
	trace = lade_sim_trace_hash(loop);
	lade_loop_free(loop);
}

/* A server that sends back what comes, and clients that talk to it. */
#define BYTES 10000

static int echo(int fd)
{
	char buf[700];
	size_t done;
	int n, rc = 0;

	while (rc == 0 && (n = lade_read(fd, buf, sizeof(buf))) > 0) {
		done = 0;
		rc = lade_write_all(fd, buf, (size_t)n, &done);
	}
	lade_close(fd);
	return rc ? rc : n;
}
static void echo_drop(int fd)
{
	lade_close(fd);
}
LADE_TASK_VOID_WITH(echo, (.drop_args = echo_drop), (int, fd))

static int serve(int listener)
{
	int fd, rc = 0;

	lade_scope(s, &rc, .policy = LADE_ALL) {
		while ((rc = lade_accept(listener, &fd)) == 0)
			if ((rc = lade_spawn(&s, echo_task(fd))) < 0)
				break;
	}
	return rc;
}
LADE_TASK_VOID(serve, (int, listener))

static int talk(int port, unsigned salt)
{
	char address[32], out[BYTES], in[BYTES];
	size_t sent = 0, got = 0;
	int fd, rc;

	for (size_t i = 0; i < BYTES; i++)
		out[i] = (char)(i * salt);
	snprintf(address, sizeof(address), "server:%d", port);
	rc = lade_connect_to(address, &fd);
	if (rc < 0)
		return rc;
	/* Less than two buffers hold: nobody waits for the other for ever. */
	rc = lade_write_all(fd, out, BYTES, &sent);
	if (rc == 0)
		rc = lade_read_exactly(fd, in, BYTES, &got);
	CHECK(rc < 0 || memcmp(in, out, BYTES) == 0);
	lade_close(fd);
	return rc;
}
LADE_TASK_VOID(talk, (int, port), (unsigned, salt))

static int talked; /* what the conversations came to */

static void conversations(void)
{
	struct serve_task server;
	int listener, port, rc = 0;

	CHECK_EQ(lade_listen("127.0.0.1:0", &listener), 0);
	port = lade_local_port(listener);
	lade_scope(s, &rc) {
		server = serve_task(listener);
		lade_start_daemon(&s, &server);
		rc = lade_join(lade_do(talk, port, 3), lade_do(talk, port, 5),
			       lade_do(talk, port, 7));
	}
	lade_close(listener);
	talked = rc;
}

static void the_same_seed_gives_the_same_trace_and_another_seed_another(void)
{
	static const char *const orders[] = { "order=in-order", "order=random", "order=preempt",
					      "order=pct" };

	for (size_t i = 0; i < sizeof(orders) / sizeof(*orders); i++) {
		uint64_t first;

		simulate("7", orders[i], conversations);
		CHECK_EQ(talked, 0);
		first = trace;
		simulate("7", orders[i], conversations);
		CHECK(trace == first);
		simulate("8", orders[i], conversations);
		CHECK_EQ(talked, 0);
		CHECK(trace != first);
	}
}

static void every_byte_arrives_in_order_under_every_seed(void)
{
	for (int i = 0; i < 50; i++) {
		char seed[8];

		snprintf(seed, sizeof(seed), "%d", i);
		simulate(seed, "cut=700,buffer_bytes=6000", conversations);
		CHECK_EQ(talked, 0);
	}
}

static void a_connection_may_be_reset(void)
{
	bool was_reset = false;

	for (int i = 0; i < 20; i++) {
		char seed[8];

		snprintf(seed, sizeof(seed), "%d", i);
		simulate(seed, "reset=100", conversations);
		CHECK(talked == 0 || talked == -ECONNRESET || talked == -EPIPE ||
		      talked == -ENODATA);
		was_reset |= talked == -ECONNRESET;
	}
	CHECK(was_reset);
}

static void a_name_may_not_be_found(void)
{
	simulate("1", "no_name=1000", conversations);
	CHECK(talked == -ENOENT || talked == -EAGAIN);
}

static void nobody_there(void)
{
	int fd;

	CHECK_EQ(lade_connect_to("127.0.0.1:9", &fd), -ECONNREFUSED);
}

static void a_connection_to_nobody_is_refused(void)
{
	simulate("1", "", nobody_there);
}

static int connect_and_wait(int port)
{
	char address[32];
	int fd, rc;

	snprintf(address, sizeof(address), "127.0.0.1:%d", port);
	rc = lade_connect_to(address, &fd);
	if (rc == 0) {
		rc = lade_sleep(lade_s(60));
		lade_close(fd);
	}
	return rc;
}
LADE_TASK_VOID(connect_and_wait, (int, port))

static void full_backlog(void)
{
	struct connect_and_wait_task tasks[20];
	int listener, timed_out = 0, rc = 0;

	CHECK_EQ(lade_listen("127.0.0.1:0", &listener), 0);
	lade_scope(s, &rc, .policy = LADE_ALL) {
		for (int i = 0; i < 20; i++) {
			tasks[i] = connect_and_wait_task(lade_local_port(listener));
			lade_start(&s, &tasks[i]);
		}
	}
	for (int i = 0; i < 20; i++)
		timed_out += lade_status(&tasks[i]) == -ETIMEDOUT;
	CHECK_EQ(timed_out, 4);
	lade_close(listener);
}

static void who_finds_the_backlog_full_waits_and_gives_up(void)
{
	simulate("1", "backlog=16", full_backlog);
}

static int fill(int fd, size_t *ret_done)
{
	char bytes[5000] = { 0 };

	return lade_write_all(fd, bytes, sizeof(bytes), ret_done);
}
LADE_TASK_VOID(fill, (int, fd), (size_t *, ret_done))

static void slow_reader(void)
{
	char buf[5000];
	size_t written = 0, got = 0;
	int fds[2];

	CHECK_EQ(lade_pipe(fds), 0);
	CHECK_EQ(lade_within(lade_s(1), fill(fds[1], &written)), -ETIME);
	CHECK_EQ(written, 1000);
	CHECK_EQ(lade_within(lade_s(1), lade_read_exactly(fds[0], buf, 5000, &got)), -ETIME);
	CHECK_EQ(got, 1000);
	lade_close(fds[1]);
	CHECK_EQ(lade_read(fds[0], buf, 1), 0);
	lade_close(fds[0]);
}

static void a_writer_waits_for_a_slow_reader(void)
{
	simulate("1", "buffer_bytes=1000", slow_reader);
}

static void what_was_sent_before_the_end_is_read(void)
{
	char buf[16];
	int fds[2];
	size_t done = 0, got = 0;

	CHECK_EQ(lade_pipe(fds), 0);
	CHECK_EQ(lade_write_all(fds[1], "all of it", 9, &done), 0);
	lade_close(fds[1]);
	CHECK_EQ(lade_read_exactly(fds[0], buf, sizeof(buf), &got), -ENODATA);
	CHECK_EQ(got, 9);
	CHECK(memcmp(buf, "all of it", 9) == 0);
	lade_close(fds[0]);
}

/* A connection that is given up while it is made, and another one with its number, and perhaps its
 * memory: the first must not come to life in it. */
static void connect_again(void)
{
	char a_address[32], b_address[32], got = 0;
	int a, b, given_up, fd, other;

	CHECK_EQ(lade_listen("127.0.0.1:0", &a), 0);
	CHECK_EQ(lade_listen("127.0.0.1:0", &b), 0);
	snprintf(a_address, sizeof(a_address), "127.0.0.1:%d", lade_local_port(a));
	snprintf(b_address, sizeof(b_address), "127.0.0.1:%d", lade_local_port(b));
	for (int i = 0; i < 20; i++) {
		if (lade_within(lade_us(1), lade_connect_to(a_address, &given_up)) == 0)
			lade_close(given_up);
		CHECK_EQ(lade_connect_to(b_address, &fd), 0);
		CHECK_EQ(lade_accept(b, &other), 0);
		CHECK_EQ(lade_sleep(lade_ms(2)), 0);
		CHECK_EQ(lade_write(fd, "x", 1), 1);
		CHECK_EQ(lade_within(lade_s(1), lade_read(other, &got, 1)), 1);
		lade_close(fd);
		lade_close(other);
	}
	lade_close(a);
	lade_close(b);
}

static void a_connection_that_was_given_up_is_not_made_in_the_place_of_the_next(void)
{
	simulate("1", "", connect_again);
	simulate("2", "", connect_again);
}

static void bytes_arrive_although_the_sender_has_closed(void)
{
	simulate("1", "cut=500", what_was_sent_before_the_end_is_read);
}

/* Files. */
#define NAME "no-such-folder/simulated"

static void use_a_file(void)
{
	char buf[32] = "";
	size_t done = 0, got = 0;
	int fd;

	CHECK_EQ(lade_open(NAME, O_RDONLY, 0, &fd), -ENOENT);
	CHECK_EQ(lade_open(NAME, O_RDWR | O_CREAT, 0600, &fd), 0);
	CHECK_EQ(lade_write_all(fd, "kept in memory", 14, &done), 0);
	CHECK_EQ(lade_fsync(fd), 0);
	lade_close(fd);
	CHECK_EQ(lade_open(NAME, O_RDONLY, 0, &fd), 0);
	CHECK_EQ(lade_read_exactly(fd, buf, 14, &got), 0);
	CHECK_STR(buf, "kept in memory");
	CHECK_EQ(lade_write(fd, "x", 1), -EBADF);
	lade_close(fd);
	CHECK_EQ(access(NAME, F_OK), -1);
}

static void a_file_is_kept_in_memory_and_nowhere_else(void)
{
	for (int i = 0; i < 20; i++) {
		char seed[8];

		snprintf(seed, sizeof(seed), "%d", i);
		simulate(seed, "cut=500", use_a_file);
	}
}

static void read_a_real_file(void)
{
	char simulated[64] = "", real[64] = "";
	int fd, n;

	CHECK_EQ(lade_open("/etc/passwd", O_RDONLY, 0, &fd), 0);
	n = lade_pread(fd, simulated, sizeof(simulated) - 1, 0);
	CHECK(n > 0);
	lade_close(fd);
	fd = open("/etc/passwd", O_RDONLY);
	CHECK(pread(fd, real, (size_t)n, 0) == n);
	close(fd);
	CHECK_STR(simulated, real);
}

static void a_real_file_can_be_read(void)
{
	simulate("1", "cut=0", read_a_real_file);
}

static void fill_the_disk(void)
{
	char bytes[600] = { 0 };
	size_t done = 0;
	int fd;

	CHECK_EQ(lade_open(NAME, O_RDWR | O_CREAT, 0600, &fd), 0);
	CHECK_EQ(lade_write_all(fd, bytes, 600, &done), 0);
	done = 0;
	CHECK_EQ(lade_write_all(fd, bytes, 600, &done), -ENOSPC);
	lade_close(fd);
}

static void a_full_disk_says_so(void)
{
	simulate("1", "disk_bytes=1000,cut=0", fill_the_disk);
}

static void meet_an_error(void)
{
	int fd;

	CHECK_EQ(lade_open(NAME, O_RDWR | O_CREAT, 0600, &fd), 0);
	CHECK_EQ(lade_write(fd, "x", 1), -EIO);
	CHECK_EQ(lade_fsync(fd), -EIO);
	lade_close(fd);
}

static void a_broken_disk_says_so(void)
{
	simulate("1", "io_error=1000", meet_an_error);
}

/* Cancels. */
static int accepted, opened, cancelled; /* how the waits ended, over all seeds */

static void accept_under_a_deadline(void)
{
	struct connect_and_wait_task client;
	int listener, fd, rc = 0, got;

	CHECK_EQ(lade_listen("127.0.0.1:0", &listener), 0);
	lade_scope(s, &rc) {
		client = connect_and_wait_task(lade_local_port(listener));
		lade_start(&s, &client);
		got = lade_within(lade_us(300), lade_accept(listener, &fd));
		CHECK(got == 0 || got == -ETIME);
		if (got == 0)
			lade_close(fd);
		accepted += got == 0;
		cancelled += got == -ETIME;
		/* Who was not taken is still there to be. */
		if (got == -ETIME && lade_accept(listener, &fd) == 0)
			lade_close(fd);
		lade_cancel(&client);
	}
	lade_close(listener);
	got = lade_within(lade_us(500), lade_open(NAME, O_RDWR | O_CREAT, 0600, &fd));
	CHECK(got == 0 || got == -ETIME);
	opened += got == 0;
	if (got == 0)
		lade_close(fd);
}

static void a_descriptor_that_arrives_as_the_deadline_does_is_never_lost(void)
{
	accepted = opened = cancelled = 0;
	for (int i = 0; i < 200; i++) {
		char seed[8];

		snprintf(seed, sizeof(seed), "%d", i);
		simulate(seed, "late=500", accept_under_a_deadline);
	}
	CHECK(accepted > 20 && cancelled > 20);
	CHECK(opened > 100); /* a quarter is in time, of the others half is too late to stop */
}

static int twice(void *arg)
{
	*(int *)arg *= 2;
	return 0;
}

static void call_the_pool(void)
{
	int n = 1;
	struct lade_instant before = lade_now();

	CHECK_EQ(lade_blocking(twice, &n), 0);
	CHECK_EQ(n, 2);
	CHECK(lade_now().mono_ns > before.mono_ns);
	CHECK_EQ(lade_within(lade_ns(0), lade_blocking(twice, &n)), -ETIME);
	CHECK_EQ(n, 2);
}

static void a_blocking_call_takes_simulated_time(void)
{
	simulate("1", "", call_the_pool);
}

static void wait_for_nothing(void)
{
	int fds[2];
	char c;

	CHECK_EQ(lade_pipe(fds), 0);
	(void)!lade_read(fds[0], &c, 1);
}

static void when_all_wait_and_nothing_can_come_the_process_ends(void)
{
	simulate("1", "", wait_for_nothing);
}

static void wait_for_what_is_there(void)
{
	int fds[2];

	CHECK_EQ(lade_pipe(fds), 0);
	CHECK_EQ(lade_writable(fds[1]), 0);
	CHECK_EQ(lade_write(fds[1], "x", 1), 1);
	CHECK_EQ(lade_sleep(lade_ms(10)), 0);
	CHECK_EQ(lade_readable(fds[0]), 0);
	lade_close(fds[0]);
	lade_close(fds[1]);
}

static void what_is_ready_already_is_not_waited_for(void)
{
	simulate("1", "", wait_for_what_is_there);
}

static void open_many(void)
{
	int fds[2], rc = 0, pairs = 0;

	while ((rc = lade_pipe(fds)) == 0)
		pairs++;
	CHECK_EQ(rc, -EMFILE);
	CHECK_EQ(pairs, 65536 / 2);
}

/* A pipe that is written to later, and a file, which can always be read. */
static void select_ready(void)
{
	int fds[2], file;
	char c;

	CHECK_EQ(lade_pipe(fds), 0);
	CHECK_EQ(lade_open("a file", O_RDWR | O_CREAT, 0600, &file), 0);
	CHECK_EQ(lade_select(lade_readable_case(fds[0]), lade_after(lade_ms(5))), 1);
	CHECK_EQ(lade_select(lade_readable_case(fds[0]), lade_writable_case(fds[1])), 1);
	CHECK_EQ(lade_write(fds[1], "x", 1), 1);
	CHECK_EQ(lade_select(lade_after(lade_ms(5)), lade_readable_case(fds[0])), 1);
	CHECK_EQ(lade_select(lade_readable_case(file), lade_after(lade_ms(5))), 0);
	CHECK_EQ(lade_read(fds[0], &c, 1), 1);
	/* A deadline, which the loop delivers, looks once more. */
	CHECK_EQ(lade_within(lade_ms(1), lade_select(lade_readable_case(fds[0]),
						     lade_after(lade_s(1)))),
		 -ETIME);
	lade_close(fds[0]);
	lade_close(fds[1]);
	lade_close(file);
}

static void a_select_sees_what_is_ready_in_the_simulation(void)
{
	simulate("1", "", select_ready);
	simulate("2", "", select_ready);
}

/* The calls for code that blocks find the same files, and another clock. */
static int block_on_a_file(void *arg)
{
	struct stat st;
	char back[4] = "";
	int fd = lade_file_open("a file", O_RDWR | O_CREAT, 0600);

	(void)arg;
	CHECK(lade_simulated());
	CHECK(fd > 1000);
	CHECK_EQ(lade_file_write(fd, "abcd", 4, 2), 0);
	CHECK_EQ(lade_file_read(fd, back, 4, 4), 2);
	CHECK_STR(back, "cd");
	CHECK_EQ(lade_file_sync(fd), 0);
	CHECK_EQ(lade_file_stat(fd, &st), 0);
	CHECK_EQ(st.st_size, 6);
	CHECK(S_ISREG(st.st_mode));
	CHECK_EQ(lade_file_truncate(fd, 3), 0);
	CHECK_EQ(lade_file_stat_path("a file", &st), 0);
	CHECK_EQ(st.st_size, 3);
	CHECK_EQ(lade_file_seek(fd, 2), 0);
	CHECK_EQ(lade_clock_ns(), lade_now().mono_ns);
	CHECK_EQ(lade_wall_ns() / INT64_C(1000000000), 1767225600);
	/* Removed, it is there for who has it open, and another one can have its name. */
	CHECK_EQ(lade_file_remove("a file"), 0);
	CHECK_EQ(lade_file_stat_path("a file", &st), -ENOENT);
	CHECK_EQ(lade_file_remove("a file"), -ENOENT);
	CHECK_EQ(lade_file_open("a file", O_RDONLY, 0), -ENOENT);
	CHECK_EQ(lade_file_stat(fd, &st), 0);
	CHECK_EQ(st.st_size, 3);
	return fd;
}

static void block_on_files(void)
{
	int fd = lade_blocking(block_on_a_file, NULL), again;
	char c = 0;

	CHECK_EQ(lade_read(fd, &c, 1), 1);
	CHECK_EQ(c, 'a');
	CHECK_EQ(lade_open("a file", O_RDWR | O_CREAT | O_EXCL, 0600, &again), 0);
	CHECK_EQ(lade_read(again, &c, 1), 0);
	lade_close(fd);
	lade_close(again);
	/* A real file is gone in the simulation, and nowhere else. */
	CHECK_EQ(lade_file_remove("/etc/hosts"), 0);
	CHECK_EQ(lade_file_open("/etc/hosts", O_RDONLY, 0), -ENOENT);
	CHECK_EQ(access("/etc/hosts", R_OK), 0);
	CHECK_EQ(lade_file_truncate(99, 0), -EBADF);
	CHECK_EQ(lade_file_seek(99, 0), -EBADF);
}

static void code_that_blocks_finds_the_simulated_files_and_clock(void)
{
	simulate("1", "cut=900", block_on_files);
	simulate("2", "cut=0", block_on_files);
}

static void write_a_file(void)
{
	size_t done = 0;
	int fd, gone;

	CHECK_EQ(lade_open("folder/kept", O_WRONLY | O_CREAT, 0600, &fd), 0);
	CHECK_EQ(lade_write_all(fd, "text", 4, &done), 0);
	lade_close(fd);
	CHECK_EQ(lade_open("gone", O_WRONLY | O_CREAT, 0600, &gone), 0);
	lade_close(gone);
	CHECK_EQ(lade_file_remove("gone"), 0);
	CHECK_EQ(lade_open("/etc/hosts", O_RDONLY, 0, &fd), 0);
	lade_close(fd);
}

static void what_was_written_can_be_kept(void)
{
	char folder[] = "/tmp/lade-sim-XXXXXX", path[PATH_MAX + 64], text[8] = "";
	char here[PATH_MAX];
	int fd;

	CHECK(mkdtemp(folder));
	setenv("LADE_SIM_SAVE", folder, 1);
	simulate("1", "", write_a_file);
	unsetenv("LADE_SIM_SAVE");
	/* Under its whole name, though it was opened by a relative one. */
	CHECK(getcwd(here, sizeof(here)));
	for (char *c = here; *c; c++)
		if (*c == '/')
			*c = '%';
	snprintf(path, sizeof(path), "%s/%s%%folder%%kept", folder, here);
	fd = open(path, O_RDONLY);
	CHECK(fd >= 0);
	CHECK_EQ(read(fd, text, sizeof(text)), 4);
	CHECK_STR(text, "text");
	close(fd);
	unlink(path);
	/* Nothing else was. */
	CHECK_EQ(rmdir(folder), 0);
}

static void more_descriptors_than_the_limit_are_refused(void)
{
	simulate("1", "buffer_bytes=1", open_many);
}

static int switches;

static int count_switches(const bool *over)
{
	int rc = 0;

	while (!*over && rc == 0) {
		switches++;
		rc = lade_yield();
	}
	return rc;
}
LADE_TASK_VOID(count_switches, (const bool *, over))

static int sleep_not_at_all(bool *ret_over)
{
	int rc = 0;

	for (int i = 0; i < 100 && rc == 0; i++)
		rc = lade_sleep(lade_ns(0));
	*ret_over = true;
	return rc;
}
LADE_TASK_VOID(sleep_not_at_all, (bool *, ret_over))

static void complete_at_once(void)
{
	bool over = false;

	switches = 0;
	CHECK_EQ(lade_join(lade_do(sleep_not_at_all, &over), lade_do(count_switches, &over)), 0);
}

static void a_call_that_could_complete_at_once_switches_when_the_seed_says_so(void)
{
	int first;

	simulate("1", "", complete_at_once);
	first = switches;
	CHECK(first > 5 && first < 100);
	simulate("2", "", complete_at_once);
	CHECK(switches != first);
	simulate("1", "order=in-order", complete_at_once);
	CHECK(switches <= 3);
}

static void a_setting_that_is_none_is_refused(void)
{
	static const char *const wrong[] = { "latency", "latency_us=", "latency_us=x",
					     "speed=1", "order=sorted" };
	struct lade_loop *loop;

	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		setenv("LADE_SIM", wrong[i], 1);
		CHECK_EQ(lade_loop_new(&(struct lade_loop_config){ .backend = "sim" }, &loop),
			 -EINVAL);
	}
}

static void talk_over_a_simulated_path(void)
{
	talk_over("unix:/no/such/folder/socket");
}

static void a_unix_socket_is_talked_over_and_closed_by_halves(void)
{
	char seed[8];

	for (int i = 1; i <= 50; i++) {
		snprintf(seed, sizeof(seed), "%d", i);
		simulate(seed, i & 1 ? "cut=900,latency_us=3000" : "", talk_over_a_simulated_path);
	}
}

int main(void)
{
	TAP(the_same_seed_gives_the_same_trace_and_another_seed_another);
	TAP(every_byte_arrives_in_order_under_every_seed);
	TAP(a_connection_may_be_reset);
	TAP(a_name_may_not_be_found);
	TAP(a_connection_to_nobody_is_refused);
	TAP(who_finds_the_backlog_full_waits_and_gives_up);
	TAP(a_writer_waits_for_a_slow_reader);
	TAP(a_connection_that_was_given_up_is_not_made_in_the_place_of_the_next);
	TAP(bytes_arrive_although_the_sender_has_closed);
	TAP(a_file_is_kept_in_memory_and_nowhere_else);
	TAP(a_real_file_can_be_read);
	TAP(a_full_disk_says_so);
	TAP(a_broken_disk_says_so);
	TAP(a_descriptor_that_arrives_as_the_deadline_does_is_never_lost);
	TAP(a_blocking_call_takes_simulated_time);
	TAP_DIES(when_all_wait_and_nothing_can_come_the_process_ends, "waits for readable at ");
	TAP(what_is_ready_already_is_not_waited_for);
	TAP(a_select_sees_what_is_ready_in_the_simulation);
	TAP(code_that_blocks_finds_the_simulated_files_and_clock);
	TAP(what_was_written_can_be_kept);
	TAP(more_descriptors_than_the_limit_are_refused);
	TAP(a_call_that_could_complete_at_once_switches_when_the_seed_says_so);
	TAP(a_unix_socket_is_talked_over_and_closed_by_halves);
	TAP(a_setting_that_is_none_is_refused);
	return tap_done();
}
