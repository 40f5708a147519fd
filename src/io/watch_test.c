/* SPDX-License-Identifier: MIT */
/* watch_test.c - watches and alarms: when they call, what their callbacks may do, how they end. */

#include <lade/io.h>
#include <lade/watch.h>

#include "backend.h"
#include "base/alloc.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

/* IN_REAL - a test that is a task on the back end that LADE_BACKEND names. */
#define IN_REAL(name) IN_BACKEND(name, NULL)
#define IN_VIRTUAL(name) IN_BACKEND(name, "virtual")
#define IN_BACKEND(name, backend)                                                                  \
	static void name##_body(void);                                                             \
	static void name(void)                                                                     \
	{                                                                                          \
		run_on(backend, name##_body);                                                      \
	}                                                                                          \
	static void name##_body(void)

/* A watch, what its callback does, and what it saw. */
struct seen {
	struct lade_watch *watch;
	struct lade_watch *other; /* closed by close_other */
	struct lade_op op;	  /* completed by the callback */
	int fd;
	int calls;
	unsigned events; /* of the last call */
};

static void note(struct seen *s, unsigned events)
{
	s->calls++;
	s->events = events;
}

static void complete_it(void *arg, unsigned events)
{
	struct seen *s = arg;

	note(s, events);
	lade_complete(&s->op, s->calls);
}

static void read_and_complete(void *arg, unsigned events)
{
	struct seen *s = arg;
	char c;

	note(s, events);
	NEED_EQ(events & POLLNVAL, 0); /* it will not be called again */
	if (read(s->fd, &c, 1) == 1)
		lade_complete(&s->op, c);
	else
		lade_complete(&s->op, -ENODATA);
}

static enum lade_abort_result forget(struct lade_op *op)
{
	(void)op;
	return LADE_ABORTED;
}

/* Waits until a callback completes s->op. */
static int wait_for(struct seen *s)
{
	s->op = (struct lade_op)LADE_OP("a callback");
	return lade_park(&s->op, forget);
}

static void open_pipe(int fds[2])
{
	NEED_EQ(pipe2(fds, O_CLOEXEC | O_NONBLOCK), 0);
}

static void close_pipe(int fds[2])
{
	lade_close(fds[0]);
	lade_close(fds[1]);
}

/* Lets the loop look at the kernel @turns times. */
static void pass_turns(int turns)
{
	for (int i = 0; i < turns; i++)
		CHECK_EQ(lade_yield(), 0);
}

IN_REAL(a_watch_calls_when_its_descriptor_is_ready_and_not_before)
{
	struct seen s = { 0 };
	int fds[2];

	open_pipe(fds);
	s.fd = fds[0];
	NEED_EQ(lade_watch_open(fds[0], read_and_complete, &s, &s.watch), 0);
	pass_turns(3);
	NEED_EQ(lade_watch_set(s.watch, POLLIN), 0);
	pass_turns(3);
	CHECK_EQ(s.calls, 0);
	CHECK_EQ(write(fds[1], "a", 1), 1);
	CHECK_EQ(wait_for(&s), 'a');
	CHECK_EQ(s.events, POLLIN);
	/* It goes on without being set again. */
	CHECK_EQ(write(fds[1], "b", 1), 1);
	CHECK_EQ(wait_for(&s), 'b');
	CHECK_EQ(s.calls, 2);
	lade_watch_close(s.watch);
	close_pipe(fds);
}

IN_REAL(a_watch_calls_again_for_as_long_as_the_event_is_there)
{
	struct seen s = { 0 };
	int fds[2], calls;

	open_pipe(fds);
	CHECK_EQ(write(fds[1], "a", 1), 1);
	NEED_EQ(lade_watch_open(fds[0], complete_it, &s, &s.watch), 0);
	NEED_EQ(lade_watch_set(s.watch, POLLIN), 0);
	for (int i = 1; i <= 5; i++)
		CHECK(wait_for(&s) >= i);
	calls = s.calls;
	NEED_EQ(lade_watch_set(s.watch, 0), 0);
	CHECK_EQ(lade_sleep(lade_ms(2)), 0);
	CHECK_EQ(s.calls, calls);
	lade_watch_close(s.watch);
	close_pipe(fds);
}

IN_REAL(a_watch_tells_only_of_what_is_asked_for_now)
{
	struct seen s = { 0 };
	int fds[2];

	open_pipe(fds);
	NEED_EQ(lade_watch_open(fds[1], complete_it, &s, &s.watch), 0);
	/* The poll for reading is under way when writing is asked for instead. */
	NEED_EQ(lade_watch_set(s.watch, POLLIN), 0);
	pass_turns(2);
	NEED_EQ(lade_watch_set(s.watch, POLLOUT), 0);
	CHECK(wait_for(&s) > 0);
	CHECK_EQ(s.events, POLLOUT);
	NEED_EQ(lade_watch_set(s.watch, POLLIN | POLLOUT), 0);
	CHECK(wait_for(&s) > 0);
	CHECK_EQ(s.events, POLLOUT);
	/* The poll for both finds what is not asked for any more. */
	NEED_EQ(lade_watch_set(s.watch, POLLIN), 0);
	s.calls = 0;
	CHECK_EQ(lade_sleep(lade_ms(2)), 0);
	CHECK_EQ(s.calls, 0);
	NEED_EQ(lade_watch_set(s.watch, POLLOUT), 0);
	CHECK(wait_for(&s) > 0);
	lade_watch_close(s.watch);
	close_pipe(fds);
}

IN_REAL(a_hang_up_counts_as_all_that_is_asked_for)
{
	struct seen s = { 0 };
	int fds[2];

	open_pipe(fds);
	s.fd = fds[0];
	NEED_EQ(lade_watch_open(fds[0], read_and_complete, &s, &s.watch), 0);
	NEED_EQ(lade_watch_set(s.watch, POLLIN), 0);
	pass_turns(2);
	lade_close(fds[1]);
	CHECK_EQ(wait_for(&s), -ENODATA);
	CHECK_EQ(s.events, POLLIN);
	lade_watch_close(s.watch);
	lade_close(fds[0]);
}

static void close_itself(void *arg, unsigned events)
{
	struct seen *s = arg;

	note(s, events);
	s->watch = lade_watch_close(s->watch);
	lade_complete(&s->op, 1);
}

IN_REAL(a_watch_may_be_closed_in_its_own_callback)
{
	struct seen s = { 0 };
	int fds[2];

	open_pipe(fds);
	CHECK_EQ(write(fds[1], "a", 1), 1);
	NEED_EQ(lade_watch_open(fds[0], close_itself, &s, &s.watch), 0);
	NEED_EQ(lade_watch_set(s.watch, POLLIN), 0);
	CHECK_EQ(wait_for(&s), 1);
	pass_turns(3);
	CHECK_EQ(s.calls, 1);
	close_pipe(fds);
}

static void set_and_close_itself(void *arg, unsigned events)
{
	struct seen *s = arg;

	NEED_EQ(lade_watch_set(s->watch, POLLIN | POLLOUT), 0);
	close_itself(arg, events);
}

IN_REAL(a_watch_may_be_set_and_then_closed_in_its_own_callback)
{
	struct seen s = { 0 };
	int fds[2];

	open_pipe(fds);
	CHECK_EQ(write(fds[1], "a", 1), 1);
	NEED_EQ(lade_watch_open(fds[0], set_and_close_itself, &s, &s.watch), 0);
	NEED_EQ(lade_watch_set(s.watch, POLLIN), 0);
	CHECK_EQ(wait_for(&s), 1);
	pass_turns(3);
	CHECK_EQ(s.calls, 1);
	close_pipe(fds);
}

static void close_other(void *arg, unsigned events)
{
	struct seen *s = arg;

	note(s, events);
	s->other = lade_watch_close(s->other);
	lade_watch_set(s->watch, 0);
	lade_complete(&s->op, 1);
}

IN_REAL(a_callback_may_close_another_watch_of_the_same_descriptor)
{
	struct seen first = { 0 }, second = { 0 };
	int fds[2];

	open_pipe(fds);
	NEED_EQ(lade_watch_open(fds[0], close_other, &first, &first.watch), 0);
	NEED_EQ(lade_watch_open(fds[0], complete_it, &second, &first.other), 0);
	NEED_EQ(lade_watch_set(first.watch, POLLIN), 0);
	NEED_EQ(lade_watch_set(first.other, POLLIN), 0);
	CHECK_EQ(write(fds[1], "a", 1), 1);
	CHECK_EQ(wait_for(&first), 1);
	CHECK_EQ(lade_sleep(lade_ms(2)), 0);
	CHECK_EQ(first.calls, 1);
	CHECK_EQ(second.calls, 0);
	lade_watch_close(first.watch);
	close_pipe(fds);
}

IN_REAL(a_watch_that_is_closed_while_the_kernel_has_it_calls_no_more)
{
	struct seen s = { 0 };
	int fds[2];

	for (int i = 0; i < 200; i++) {
		open_pipe(fds);
		NEED_EQ(lade_watch_open(fds[0], complete_it, &s, &s.watch), 0);
		NEED_EQ(lade_watch_set(s.watch, POLLIN), 0);
		pass_turns(i % 3);
		CHECK_EQ(write(fds[1], "a", 1), 1);
		/* The event is there, and may be on its way. */
		lade_watch_close(s.watch);
		close_pipe(fds);
		pass_turns(i % 2);
	}
	CHECK_EQ(s.calls, 0);
	/* What the kernel has not let go of yet the loop waits for, when this task has ended. */
	open_pipe(fds);
	NEED_EQ(lade_watch_open(fds[0], complete_it, &s, &s.watch), 0);
	NEED_EQ(lade_watch_set(s.watch, POLLIN), 0);
	pass_turns(2);
	lade_watch_close(s.watch);
	close_pipe(fds);
}

static int park_on(struct seen *s)
{
	return wait_for(s);
}
LADE_TASK_VOID(park_on, (struct seen *, s))

IN_REAL(a_cancelled_wait_leaves_the_watch_as_it_is)
{
	struct seen s = { 0 };
	struct park_on_task t = park_on_task(&s);
	int fds[2], rc = 0;

	open_pipe(fds);
	s.fd = fds[0];
	NEED_EQ(lade_watch_open(fds[0], read_and_complete, &s, &s.watch), 0);
	NEED_EQ(lade_watch_set(s.watch, POLLIN), 0);
	lade_scope(scope, &rc, .policy = LADE_ALL) {
		lade_start(&scope, &t);
		pass_turns(2);
		lade_cancel(&t);
	}
	CHECK_EQ(lade_status(&t), -ECANCELED);
	CHECK_EQ(write(fds[1], "b", 1), 1);
	CHECK_EQ(lade_within(lade_s(5), wait_for(&s)), 'b');
	lade_watch_close(s.watch);
	close_pipe(fds);
}

static void move_on(void *arg, unsigned events)
{
	struct seen *s = arg;

	note(s, events);
	if (events == POLLOUT) {
		CHECK_EQ(write(s->fd, "x", 1), 1);
		NEED_EQ(lade_watch_set(s->watch, 0), 0);
		NEED_EQ(lade_watch_set(s->other, POLLIN), 0);
	} else {
		s->watch = lade_watch_close(s->watch);
		s->other = lade_watch_close(s->other);
		lade_complete(&s->op, 7);
	}
}

IN_REAL(callbacks_set_watches_of_other_descriptors)
{
	struct seen s = { 0 };
	int fds[2];

	open_pipe(fds);
	s.fd = fds[1];
	NEED_EQ(lade_watch_open(fds[1], move_on, &s, &s.watch), 0);
	NEED_EQ(lade_watch_open(fds[0], move_on, &s, &s.other), 0);
	NEED_EQ(lade_watch_set(s.watch, POLLOUT), 0);
	CHECK_EQ(wait_for(&s), 7);
	CHECK_EQ(s.calls, 2);
	close_pipe(fds);
}

IN_REAL(what_cannot_be_watched_is_refused_at_once_or_told_as_pollnval)
{
	struct seen s = { 0 };
	int fds[2], rc;

	CHECK_EQ(lade_watch_open(-1, complete_it, &s, &s.watch), -EBADF);
	CHECK(!s.watch);
	open_pipe(fds);
	NEED_EQ(lade_watch_open(fds[0], complete_it, &s, &s.watch), 0);
	CHECK_EQ(lade_watch_set(s.watch, POLLPRI), -EINVAL);
	close_pipe(fds);
	rc = lade_watch_set(s.watch, POLLIN);
	if (rc == 0) {
		CHECK_EQ(wait_for(&s), 1);
		CHECK_EQ(s.events, POLLNVAL);
	} else {
		CHECK_EQ(rc, -EBADF);
	}
	rc = s.calls;
	CHECK_EQ(lade_sleep(lade_ms(2)), 0);
	CHECK_EQ(s.calls, rc);
	lade_watch_close(s.watch);
}

static void close_descriptor(void *arg, unsigned events)
{
	struct seen *s = arg;

	note(s, events);
	if (s->calls == 1)
		lade_close(s->fd);
	else
		lade_complete(&s->op, s->calls);
}

IN_REAL(a_descriptor_that_goes_while_it_is_watched_is_told_as_pollnval_once)
{
	struct seen s = { 0 };
	int fds[2];

	open_pipe(fds);
	s.fd = fds[0];
	CHECK_EQ(write(fds[1], "a", 1), 1);
	NEED_EQ(lade_watch_open(fds[0], close_descriptor, &s, &s.watch), 0);
	NEED_EQ(lade_watch_set(s.watch, POLLIN), 0);
	CHECK_EQ(wait_for(&s), 2);
	CHECK_EQ(s.events, POLLNVAL);
	CHECK_EQ(lade_sleep(lade_ms(2)), 0);
	CHECK_EQ(s.calls, 2);
	lade_watch_close(s.watch);
	lade_close(fds[1]);
}

/* Makes every allocation of a watch's life fail in turn. */
IN_REAL(without_memory_nothing_is_watched_and_nothing_is_lost)
{
	bool failed = true;

	for (long n = 1; failed; n++) {
		struct seen s = { 0 };
		int fds[2], rc;

		open_pipe(fds);
		s.fd = fds[0];
		lade_alloc_fail_at(n);
		rc = lade_watch_open(fds[0], read_and_complete, &s, &s.watch);
		if (rc == 0)
			rc = lade_watch_set(s.watch, POLLIN);
		failed = lade_alloc_fail_at(0) == 0;
		CHECK_EQ(rc, failed ? -ENOMEM : 0);
		if (rc == 0) {
			CHECK_EQ(write(fds[1], "c", 1), 1);
			CHECK_EQ(wait_for(&s), 'c');
		}
		lade_watch_close(s.watch);
		close_pipe(fds);
	}
}

IN_REAL(hundreds_of_watches_are_told_each_of_its_own)
{
	enum { MANY = 300 };
	static struct seen s[MANY];
	static int fds[MANY][2];

	for (int i = 0; i < MANY; i++) {
		open_pipe(fds[i]);
		s[i] = (struct seen){ .fd = fds[i][0] };
		NEED_EQ(lade_watch_open(fds[i][0], read_and_complete, &s[i], &s[i].watch), 0);
		NEED_EQ(lade_watch_set(s[i].watch, POLLIN), 0);
	}
	pass_turns(2);
	for (int i = 0; i < MANY; i += 7) {
		CHECK_EQ(write(fds[i][1], &(char){ (char)(i % 100) }, 1), 1);
		CHECK_EQ(wait_for(&s[i]), i % 100);
	}
	for (int i = 0; i < MANY; i++) {
		CHECK_EQ(s[i].calls, i % 7 == 0);
		lade_watch_close(s[i].watch);
		close_pipe(fds[i]);
	}
}

IN_VIRTUAL(the_virtual_clock_has_no_descriptors)
{
	struct seen s = { 0 };
	int fds[2];

	open_pipe(fds);
	NEED_EQ(lade_watch_open(fds[0], complete_it, &s, &s.watch), 0);
	CHECK_EQ(lade_watch_set(s.watch, POLLIN), -EOPNOTSUPP);
	CHECK(!lade_watch_close(s.watch));
	CHECK(!lade_watch_close(NULL));
	close_pipe(fds);
}

static void suspend_in_callback(void *arg, unsigned events)
{
	(void)arg;
	(void)events;
	(void)!lade_sleep(lade_ms(1));
}

IN_REAL(a_callback_that_suspends_ends_the_process)
{
	struct seen s = { 0 };
	int fds[2];

	open_pipe(fds);
	CHECK_EQ(write(fds[1], "a", 1), 1);
	NEED_EQ(lade_watch_open(fds[0], suspend_in_callback, &s, &s.watch), 0);
	NEED_EQ(lade_watch_set(s.watch, POLLIN), 0);
	(void)!wait_for(&s);
}

static void outside_a_task(void)
{
	struct lade_watch *watch;

	(void)lade_watch_open(0, complete_it, NULL, &watch);
}

/* Alarms */

/* An alarm, and what it saw. */
struct ringing {
	struct lade_alarm alarm;
	struct lade_op op;
	int64_t at_ns[4]; /* when it called, from the beginning of the test */
	int64_t start_ns;
	int calls;
	int again; /* times to start itself anew */
};

static void ring(void *arg)
{
	struct ringing *r = arg;

	if (r->calls < 4)
		r->at_ns[r->calls] = lade_now().mono_ns - r->start_ns;
	r->calls++;
	if (r->again-- > 0)
		lade_alarm_start(&r->alarm, lade_in(lade_ms(10)));
	else
		lade_complete(&r->op, r->calls);
}

static void init_ringing(struct ringing *r, int again)
{
	*r = (struct ringing){ .again = again, .start_ns = lade_now().mono_ns };
	r->op = (struct lade_op)LADE_OP("an alarm");
	lade_alarm_init(&r->alarm, ring, r);
}

IN_VIRTUAL(an_alarm_calls_once_at_its_instant)
{
	struct ringing r;

	init_ringing(&r, 0);
	lade_alarm_start(&r.alarm, lade_in(lade_ms(5)));
	CHECK_EQ(lade_park(&r.op, forget), 1);
	CHECK_EQ(r.at_ns[0], lade_ms(5).ns);
	CHECK_EQ(lade_sleep(lade_ms(50)), 0);
	CHECK_EQ(r.calls, 1);
}

IN_VIRTUAL(an_alarm_may_start_itself_anew_in_its_callback)
{
	struct ringing r;

	init_ringing(&r, 2);
	lade_alarm_start(&r.alarm, lade_in(lade_ms(5)));
	CHECK_EQ(lade_park(&r.op, forget), 3);
	CHECK_EQ(r.at_ns[0], lade_ms(5).ns);
	CHECK_EQ(r.at_ns[1], lade_ms(15).ns);
	CHECK_EQ(r.at_ns[2], lade_ms(25).ns);
}

IN_VIRTUAL(of_two_starts_of_an_alarm_the_later_one_counts)
{
	struct ringing r;

	init_ringing(&r, 0);
	lade_alarm_start(&r.alarm, lade_in(lade_ms(5)));
	lade_alarm_start(&r.alarm, lade_in(lade_ms(9)));
	CHECK_EQ(lade_park(&r.op, forget), 1);
	CHECK_EQ(r.at_ns[0], lade_ms(9).ns);
}

IN_VIRTUAL(a_stopped_alarm_does_not_call)
{
	struct ringing r;

	init_ringing(&r, 0);
	lade_alarm_stop(&r.alarm);
	lade_alarm_start(&r.alarm, lade_in(lade_ms(5)));
	lade_alarm_stop(&r.alarm);
	lade_alarm_start(&r.alarm, LADE_NEVER);
	/* Nothing refers to it: its memory could go. */
	CHECK(!lade_heap_first(&lade_loop_here()->timers));
	CHECK_EQ(lade_sleep(lade_ms(50)), 0);
	CHECK_EQ(r.calls, 0);
}

static void ring_for_ever(void *arg)
{
	struct ringing *r = arg;

	r->calls++;
	lade_alarm_start(&r->alarm, lade_now());
}

/* What a callback starts is not due in the same phase, so tasks and I/O have their turns. */
static void check_an_alarm_that_is_always_due(void)
{
	struct ringing r;
	int before;

	init_ringing(&r, 0);
	lade_alarm_init(&r.alarm, ring_for_ever, &r);
	lade_alarm_start(&r.alarm, lade_now());
	for (int i = 0; i < 3; i++) {
		before = r.calls;
		CHECK_EQ(lade_sleep(lade_ms(0)), 0);
		while (r.calls == before)
			CHECK_EQ(lade_yield(), 0);
	}
	lade_alarm_stop(&r.alarm);
}

IN_VIRTUAL(an_alarm_that_is_always_due_lets_tasks_run)
{
	check_an_alarm_that_is_always_due();
}

IN_REAL(an_alarm_that_is_always_due_lets_the_kernel_and_tasks_be_heard)
{
	struct ringing r;
	struct seen s = { 0 };
	int fds[2];

	check_an_alarm_that_is_always_due();
	init_ringing(&r, 0);
	lade_alarm_init(&r.alarm, ring_for_ever, &r);
	lade_alarm_start(&r.alarm, lade_now());
	open_pipe(fds);
	s.fd = fds[0];
	NEED_EQ(lade_watch_open(fds[0], read_and_complete, &s, &s.watch), 0);
	NEED_EQ(lade_watch_set(s.watch, POLLIN), 0);
	CHECK_EQ(write(fds[1], "d", 1), 1);
	CHECK_EQ(wait_for(&s), 'd');
	lade_alarm_stop(&r.alarm);
	lade_watch_close(s.watch);
	close_pipe(fds);
}

/* An alarm whose memory is its own. */
struct single {
	struct lade_alarm alarm;
	struct lade_op *op;
};

static void free_itself(void *arg)
{
	struct single *single = arg;

	lade_complete(single->op, 3);
	free(single);
}

IN_VIRTUAL(the_callback_of_an_alarm_may_free_it)
{
	struct single *single = malloc(sizeof(*single));
	struct lade_op op = LADE_OP("an alarm");

	CHECK(single);
	single->op = &op;
	lade_alarm_init(&single->alarm, free_itself, single);
	lade_alarm_start(&single->alarm, lade_in(lade_ms(1)));
	CHECK_EQ(lade_park(&op, forget), 3);
}

static int park_on_alarm(struct ringing *r)
{
	return lade_within(lade_ms(5), lade_park(&r->op, forget));
}

IN_VIRTUAL(of_an_alarm_and_a_deadline_at_one_instant_the_alarm_counts)
{
	struct ringing r;

	init_ringing(&r, 0);
	lade_alarm_start(&r.alarm, lade_in(lade_ms(5)));
	CHECK_EQ(park_on_alarm(&r), 1);
	init_ringing(&r, 0);
	lade_alarm_start(&r.alarm, lade_in(lade_ms(6)));
	CHECK_EQ(park_on_alarm(&r), -ETIME);
	lade_alarm_stop(&r.alarm);
}

static void suspend_in_alarm(void *arg)
{
	(void)arg;
	lade_no_suspend
		(void)!lade_yield();
}

IN_VIRTUAL(an_alarm_that_suspends_ends_the_process)
{
	struct lade_alarm alarm;

	lade_alarm_init(&alarm, suspend_in_alarm, NULL);
	lade_alarm_start(&alarm, lade_in(lade_ms(1)));
	CHECK_EQ(lade_sleep(lade_ms(2)), 0);
}

/* Calls that can be stopped */

/* A call that runs until it is told to stop. */
struct spinning {
	atomic_bool begun;
	atomic_bool stop;
	int stops;
};

static int spin(void *arg)
{
	struct spinning *s = arg;

	atomic_store(&s->begun, true);
	while (!atomic_load(&s->stop))
		;
	return 9;
}

static void stop_spinning(void *arg)
{
	struct spinning *s = arg;

	s->stops++;
	atomic_store(&s->stop, true);
}

static int call_spin(struct spinning *s, bool always)
{
	return lade_blocking(spin, s, .stop = stop_spinning, .always = always);
}
LADE_TASK_VOID(call_spin, (struct spinning *, s), (bool, always))

static void wait_until_begun(struct spinning *s)
{
	while (!atomic_load(&s->begun))
		CHECK_EQ(lade_yield(), 0);
}

IN_REAL(a_cancel_stops_a_call_that_runs_and_its_result_is_returned)
{
	struct spinning s = { 0 };
	struct call_spin_task t = call_spin_task(&s, false);
	int rc = 0;

	lade_scope(scope, &rc, .policy = LADE_ALL) {
		lade_start(&scope, &t);
		wait_until_begun(&s);
		lade_cancel(&t);
		lade_cancel(&t);
	}
	CHECK_EQ(lade_status(&t), 9);
	CHECK_EQ(s.stops, 1);
}

IN_REAL(a_call_that_has_not_begun_is_not_stopped_but_taken_back)
{
	struct spinning running[4] = { 0 }, queued = { 0 };
	struct call_spin_task tasks[4], last = call_spin_task(&queued, false);
	int rc = 0;

	for (int i = 0; i < 4; i++)
		tasks[i] = call_spin_task(&running[i], false);
	lade_scope(scope, &rc, .policy = LADE_ALL) {
		for (int i = 0; i < 4; i++)
			lade_start(&scope, &tasks[i]);
		for (int i = 0; i < 4; i++)
			wait_until_begun(&running[i]);
		lade_start(&scope, &last);
		pass_turns(2);
		lade_cancel(&last);
		CHECK_EQ(lade_wait(&last), 0);
		lade_cancel(&scope);
	}
	CHECK_EQ(lade_status(&last), -ECANCELED);
	CHECK(!queued.begun);
	CHECK_EQ(queued.stops, 0);
	for (int i = 0; i < 4; i++)
		CHECK_EQ(lade_status(&tasks[i]), 9);
}

static int add_one(void *arg)
{
	++*(int *)arg;
	return 4;
}

static int call_when_cancelled(int *count, bool always)
{
	while (!lade_cancelled())
		if (lade_yield() < 0)
			break;
	return lade_blocking(add_one, count, .always = always);
}
LADE_TASK_VOID(call_when_cancelled, (int *, count), (bool, always))

static void check_calls_when_cancelled(void)
{
	int normal = 0, always = 0, rc = 0;
	struct call_when_cancelled_task n = call_when_cancelled_task(&normal, false);
	struct call_when_cancelled_task a = call_when_cancelled_task(&always, true);

	lade_scope(scope, &rc, .policy = LADE_ALL) {
		lade_start(&scope, &n);
		lade_start(&scope, &a);
		CHECK_EQ(lade_yield(), 0);
		lade_cancel(&scope);
	}
	CHECK_EQ(lade_status(&n), -ECANCELED);
	CHECK_EQ(normal, 0);
	CHECK_EQ(lade_status(&a), 4);
	CHECK_EQ(always, 1);
}

IN_REAL(a_call_that_is_always_made_is_made_by_a_cancelled_task)
{
	check_calls_when_cancelled();
}

IN_VIRTUAL(a_call_that_is_always_made_is_made_on_the_virtual_clock_too)
{
	check_calls_when_cancelled();
}

IN_REAL(a_call_that_is_always_made_is_neither_taken_back_nor_stopped)
{
	struct spinning s[5] = { 0 };
	struct call_spin_task tasks[5];
	int rc = 0;

	for (int i = 0; i < 5; i++)
		tasks[i] = call_spin_task(&s[i], true);
	lade_scope(scope, &rc, .policy = LADE_ALL) {
		for (int i = 0; i < 5; i++)
			lade_start(&scope, &tasks[i]);
		for (int i = 0; i < 4; i++)
			wait_until_begun(&s[i]);
		pass_turns(2);
		lade_cancel(&scope);
		for (int i = 0; i < 5; i++) {
			CHECK_EQ(s[i].stops, 0);
			atomic_store(&s[i].stop, true);
		}
	}
	for (int i = 0; i < 5; i++)
		CHECK_EQ(lade_status(&tasks[i]), 9);
}

int main(void)
{
	TAP(a_watch_calls_when_its_descriptor_is_ready_and_not_before);
	TAP(a_watch_calls_again_for_as_long_as_the_event_is_there);
	TAP(a_watch_tells_only_of_what_is_asked_for_now);
	TAP(a_hang_up_counts_as_all_that_is_asked_for);
	TAP(a_watch_may_be_closed_in_its_own_callback);
	TAP(a_watch_may_be_set_and_then_closed_in_its_own_callback);
	TAP(a_callback_may_close_another_watch_of_the_same_descriptor);
	TAP(a_watch_that_is_closed_while_the_kernel_has_it_calls_no_more);
	TAP(a_cancelled_wait_leaves_the_watch_as_it_is);
	TAP(callbacks_set_watches_of_other_descriptors);
	TAP(what_cannot_be_watched_is_refused_at_once_or_told_as_pollnval);
	TAP(a_descriptor_that_goes_while_it_is_watched_is_told_as_pollnval_once);
	TAP(without_memory_nothing_is_watched_and_nothing_is_lost);
	TAP(hundreds_of_watches_are_told_each_of_its_own);
	TAP(the_virtual_clock_has_no_descriptors);
	TAP_DIES(a_callback_that_suspends_ends_the_process,
		 "in a callback that was given at");
	TAP_DIES(outside_a_task, "a watch is opened outside any task");
	TAP(an_alarm_calls_once_at_its_instant);
	TAP(an_alarm_may_start_itself_anew_in_its_callback);
	TAP(of_two_starts_of_an_alarm_the_later_one_counts);
	TAP(a_stopped_alarm_does_not_call);
	TAP(an_alarm_that_is_always_due_lets_tasks_run);
	TAP(an_alarm_that_is_always_due_lets_the_kernel_and_tasks_be_heard);
	TAP(the_callback_of_an_alarm_may_free_it);
	TAP(of_an_alarm_and_a_deadline_at_one_instant_the_alarm_counts);
	TAP_DIES(an_alarm_that_suspends_ends_the_process,
		 "in a callback that was given at");
	TAP(a_cancel_stops_a_call_that_runs_and_its_result_is_returned);
	TAP(a_call_that_has_not_begun_is_not_stopped_but_taken_back);
	TAP(a_call_that_is_always_made_is_made_by_a_cancelled_task);
	TAP(a_call_that_is_always_made_is_made_on_the_virtual_clock_too);
	TAP(a_call_that_is_always_made_is_neither_taken_back_nor_stopped);
	return tap_done();
}
