/* SPDX-License-Identifier: MIT */
/* loop.c - one core's turn after turn: I/O, tasks, timers.
 *
 * DESIGN
 * A turn has three phases. I/O: the back end completes what has come. Tasks: all that are ready
 * at that moment run, and what they wake, until nothing is ready or the turn is over. Timers: the
 * clock is read and what is due fires. So data that comes in the turn of a deadline is there
 * before the deadline is (rule 6), and the clock is read once a turn: a reading costs as much as
 * twenty switches. */

#include "base/alloc.h"
#include "base/pause.h"
#include "core/cores_priv.h"
#include "core/io_priv.h"
#include "core/loops.h"
#include "core/record.h"
#include "core/sanitize.h"
#include "lade_config.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define TURN_SWITCHES 256 /* at least as many between two looks at I/O */
#define TURNS_AT_ONCE 16    /* of lade_loop_turn, before it gives way */
#define SPIN_CYCLES 40000  /* about 15 us: what a sleep and a wake-up cost both sides */
#define SPIN_PAUSE 16	    /* sleeps after a look in vain */
#define FRESH_CYCLES 50000 /* 50 us at 1 GHz, less on faster counters */

static uint64_t cycles(void)
{
#if defined(__x86_64__)
	return __builtin_ia32_rdtsc();
#elif defined(__aarch64__)
	uint64_t ticks, hz;

	/* A counter of its own frequency; scaled to cycles of 1 GHz. */
	__asm__ volatile("mrs %0, cntvct_el0" : "=r"(ticks));
	__asm__ volatile("mrs %0, cntfrq_el0" : "=r"(hz));
	return hz ? ticks * (1000000000 / hz) : 0;
#else
	return UINT64_MAX;
#endif
}

static void read_clock(struct lade_loop *loop)
{
	loop->now_ns = loop->backend->now(loop);
	loop->now_cycles = cycles();
	lade_record_clock(loop);
}

int64_t lade_loop_now(struct lade_loop *loop)
{
	if (!loop->backend->exact && cycles() - loop->now_cycles > FRESH_CYCLES)
		read_clock(loop);
	return loop->now_ns;
}

struct lade_instant lade_now(void)
{
	struct timespec t;

	if (lade_cur->loop)
		return (struct lade_instant){ lade_loop_now(lade_cur->loop) };
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (struct lade_instant){ (int64_t)t.tv_sec * 1000000000 + t.tv_nsec };
}

void lade_timer_start(struct lade_loop *loop, struct lade_timer *timer, int64_t at_ns,
		      enum timer_class class, void (*fire)(struct lade_timer *))
{
	timer->at_ns = at_ns;
	timer->order = (uint64_t)class << 60 | loop->timer_count++;
	timer->fire = fire;
	lade_heap_insert(&loop->timers, timer);
}

static bool is_deadline(const struct lade_timer *timer)
{
	return timer->order >> 60 != TIMER_OP;
}

static uint64_t age_of(const struct lade_timer *timer)
{
	return timer->order & ((UINT64_C(1) << 60) - 1);
}

/* Fires what is due, earliest first. A deadline that comes after a sleep of the same phase lets
 * the tasks that the sleep woke run before it: what they send is there in time. What is armed in
 * this phase waits for the next: an alarm that arms itself anew lets I/O and tasks have a turn. */
static void fire_timers(struct lade_loop *loop)
{
	struct lade_timer *first = lade_heap_first(&loop->timers);
	bool woke = false, waited = loop->deadlines_waited;
	uint64_t newer = loop->timer_count;

	loop->deadlines_waited = false;
	if (!first)
		return;
	read_clock(loop);
	while (first && first->at_ns <= loop->now_ns && age_of(first) < newer) {
		if (is_deadline(first) && woke && !waited) {
			loop->deadlines_waited = true;
			return;
		}
		woke |= !is_deadline(first);
		lade_heap_remove(&loop->timers, first);
		first->fire(first);
		first = lade_heap_first(&loop->timers);
	}
}

static const struct lade_backend *const backends[] = {
#if LADE_HAVE_URING
	&lade_backend_uring,
#endif
	&lade_backend_epoll, &lade_backend_virtual, &lade_backend_sim
};

bool lade_backend_is_known(const char *name)
{
	for (size_t i = 0; i < sizeof(backends) / sizeof(*backends); i++)
		if (strcmp(name, backends[i]->name) == 0)
			return true;
	return false;
}

/* Opens the wished back end, or the best that this system allows. */
static int open_backend(struct lade_loop *loop, const char *wish)
{
	int rc = -EINVAL;

	for (size_t i = 0; i < sizeof(backends) / sizeof(*backends); i++) {
		loop->backend = backends[i];
		if (wish && strcmp(wish, loop->backend->name) != 0)
			continue;
		rc = loop->backend->open(loop);
		/* Without a wish: epoll where io_uring is refused, and never a virtual clock. */
		if (rc == 0 || wish || loop->backend == &lade_backend_epoll)
			break;
		loop->refused = rc;
	}
	return rc;
}

int lade_loop_new(const struct lade_loop_config *config, struct lade_loop **ret_loop)
{
	const char *wish = config->backend ? config->backend : getenv("LADE_BACKEND");
	struct lade_loop *loop = lade_calloc(
		1, sizeof(*loop) + lade_record_bytes(config->recorder_events));
	int rc;

	if (!loop)
		return -ENOMEM;
	loop->wake_fd = -1;
	lade_record_init(loop, config->recorder_events, loop + 1);
	loop->random = UINT64_C(0x9e3779b97f4a7c15);
	loop->inline_budget = config->inline_budget ? config->inline_budget : LADE_INLINE_BUDGET;
	loop->report = config->report;
	loop->report_arg = config->report_arg;
	loop->stacks = lade_stacks_new(config->stacks_max);
	rc = loop->stacks ? open_backend(loop, wish && *wish ? wish : NULL) : -ENOMEM;
	if (rc < 0) {
		lade_stacks_free(loop->stacks);
		lade_free(loop);
		return rc;
	}
	san_thread(loop);
	read_clock(loop);
	loop->thread = pthread_self();
	loop->first = loop;
	lade_list_init(&loop->pool_places);
	loop->cores_wanted = config->cores;
	loop->stacks_max = config->stacks_max;
	lade_node_init_root(&loop->root.head, NULL, NODE_BLOCK, "a loop");
	lade_scope_init(&loop->root, loop, POLICY_ALL);
	lade_loops_add(loop);
	*ret_loop = loop;
	return 0;
}

/* Until when the back end may wait. */
static int64_t poll_until(struct lade_loop *loop)
{
	struct lade_timer *first = lade_heap_first(&loop->timers);

	if (loop->ready_head)
		return 0;
	if (!loop->observer) /* the explorer's runs are too short to gain by it */
		lade_stacks_trim(loop->stacks);
	return first ? first->at_ns : INT64_MAX;
}

static bool has_mail(const struct lade_loop *loop)
{
	return atomic_load_explicit(&loop->mailbox, memory_order_relaxed);
}

/* A sleep and a wake-up by another core cost it and us some microseconds each; mail that answers
 * ours often comes sooner. So one of several loops looks for mail, for as long as a sleep costs,
 * before it sleeps; after a look in vain it sleeps SPIN_PAUSE times without one, so that looking
 * costs little where it does not pay, as on cores that others keep busy. */
static bool spin_for_mail(struct lade_loop *loop)
{
	uint64_t from;

	if (!loop->cores || loop->spin_pause) {
		loop->spin_pause -= loop->spin_pause > 0;
		return false;
	}
	from = cycles();
	while (cycles() - from < SPIN_CYCLES) {
		if (has_mail(loop))
			return true;
		lade_pause_core();
	}
	loop->spin_pause = SPIN_PAUSE;
	return false;
}

/* Waits, if it may, and takes what has come. */
static void take_events(struct lade_loop *loop, int64_t until_ns)
{
	if (until_ns && (spin_for_mail(loop) || !lade_mail_sleep(loop)))
		until_ns = 0;
	if (loop->backend->poll(loop, until_ns) == -EDEADLK) {
		lade_dump_loop(loop, STDERR_FILENO);
		lade_misuse("all tasks wait and nothing can wake them");
	}
	if (until_ns) /* it may have slept */
		read_clock(loop);
	if (has_mail(loop))
		lade_mail_take(loop);
}

void lade_turn(struct lade_loop *loop, bool may_wait)
{
	take_events(loop, may_wait ? poll_until(loop) : 0);
	/* All that is ready now has its turn, whatever else becomes ready meanwhile. */
	loop->turn_end = loop->queued;
	if (loop->turn_end - loop->taken < TURN_SWITCHES)
		loop->turn_end = loop->taken + TURN_SWITCHES;
	if (loop->backend->run)
		loop->backend->run(loop);
	else
		lade_enter_tasks(loop);
	fire_timers(loop);
}

/* A loop blocks its thread: inside another it would stop that one's tasks and take their place. */
static void check_outside(const char *site)
{
	const struct lade_ctl *ctl = lade_cur;

	if (lade_likely(!ctl->loop))
		return;
	if (!ctl->head)
		lade_misuse("%s: a loop is run inside a callback of another, which was given at %s",
			    site, ctl->no_suspend_site);
	lade_misuse("%s: a loop is run inside task %s, started at %s, which runs on another", site,
		    ctl->head->type->name, ctl->head->site);
}

static bool has_tasks(const struct lade_loop *loop)
{
	return loop->root.live || loop->root.daemons || loop->watches_leaving;
}

bool lade_loop_is_owed(const struct lade_loop *loop)
{
	return loop->wakes_owed != loop->wakes_heard;
}

int lade_loop_run_at(struct lade_loop *loop, struct lade_task *task, const char *site)
{
	check_outside(site);
	lade_task_start(&loop->root, task, 0, 0, site);
	while (has_tasks(loop))
		lade_turn(loop, true);
	return task->status;
}

int lade_loop_fd(const struct lade_loop *loop)
{
	return loop->backend->fd ? loop->backend->fd(loop) : -EOPNOTSUPP;
}

/* The time to a loop's next timer as poll() takes it: rounded up, or a call too early would be
 * followed by calls that find nothing. */
static int timeout_ms(struct lade_loop *loop)
{
	const struct lade_timer *first = lade_heap_first(&loop->timers);
	int64_t left_ns;

	if (!first)
		return -1;
	left_ns = first->at_ns - lade_loop_now(loop);
	if (left_ns <= 0)
		return 0;
	if (left_ns > INT64_C(1000000) * INT_MAX)
		return INT_MAX;
	return (int)((left_ns + 999999) / 1000000);
}

int lade_loop_turn(struct lade_loop *loop)
{
	check_outside(LADE_SITE);
	for (int i = 0; i < TURNS_AT_ONCE; i++) {
		lade_turn(loop, false);
		if (!loop->ready_head)
			break;
	}
	/* What tasks have asked the kernel for must be on its way before the program sleeps, and
	 * from here on who sends mail must wake it. */
	loop->backend->poll(loop, 0);
	if (loop->ready_head || !lade_mail_sleep(loop))
		return 0;
	lade_stacks_trim(loop->stacks);
	return timeout_ms(loop);
}

void lade_close_loop(struct lade_loop *loop)
{
	lade_loops_remove(loop);
	loop->backend->close(loop);
	lade_stacks_free(loop->stacks);
}

/* Cancels what runs, takes all mail, that which comes of it too, and hears who is about to wake. */
static void run_down(struct lade_loop *loop)
{
	for (;;) {
		lade_mail_take(loop);
		if (has_tasks(loop))
			lade_request(loop, &loop->root.head, LEVEL_HARD, LADE_REASON_SHUTDOWN,
				     LADE_SITE, "");
		else if (!has_mail(loop) && !lade_loop_is_owed(loop))
			return;
		lade_turn(loop, true);
	}
}

struct lade_loop *lade_loop_free(struct lade_loop *loop)
{
	if (!loop)
		return NULL;
	check_outside(LADE_SITE);
	run_down(loop);
	if (loop->pool)
		loop->pool_end(loop);
	lade_cores_end(loop);
	run_down(loop);
	lade_close_loop(loop);
	lade_free(loop);
	return NULL;
}
