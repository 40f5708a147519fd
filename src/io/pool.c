/* SPDX-License-Identifier: MIT */
/* pool.c - a bounded pool of threads for calls that block.
 *
 * DESIGN
 * The pool belongs to the first of a program's loops, serves them all and grows to POOL_THREADS as
 * calls queue up; a thread that has been idle for ten seconds ends. A task that waits for a call
 * waits to its end: its arguments are on the task's stack. Only a call that has not begun can be
 * taken back. Who may be abandoned (a name look-up) owns its memory and says so by completing
 * nobody.
 *
 * With the virtual clock a call runs at once, on the loop's own thread: no second order of events.
 *
 * LIMITS  POOL_THREADS threads, and one more for each name look-up that was left behind: those say
 * of themselves how many they may be. JOBS_MAX calls of one loop queued; then its tasks wait for a
 * place. */

#include "io/pool_priv.h"
#include "io/sys_priv.h"

#include <lade/io.h>

#include "base/alloc.h"
#include "core/io_priv.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>

#define POOL_THREADS 4
#define JOBS_MAX 1024
#define IDLE_SECONDS 10

struct lade_pool {
	pthread_mutex_t lock;
	pthread_cond_t work;	 /* a job was queued, or the pool ends */
	pthread_cond_t gone;	 /* the last thread has ended */
	struct lade_link queue;	 /* jobs, oldest first */
	uint32_t queued;	 /* jobs in the queue */
	uint32_t threads;	 /* alive */
	uint32_t idle;		 /* of them, waiting for a job */
	bool ends;		 /* threads end when the queue is empty */
};

static struct timespec idle_until(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	t.tv_sec += IDLE_SECONDS;
	return t;
}

/* Waits for a job.  Returns NULL when the thread shall end.  Called with the lock held. */
static struct lade_job *next_job(struct lade_pool *pool)
{
	struct timespec until = idle_until();

	while (lade_list_empty(&pool->queue)) {
		int rc;

		if (pool->ends)
			return NULL;
		pool->idle++;
		rc = pthread_cond_timedwait(&pool->work, &pool->lock, &until);
		pool->idle--;
		if (rc == ETIMEDOUT && lade_list_empty(&pool->queue))
			return NULL;
	}
	pool->queued--;
	return LADE_CONTAINER(lade_list_pop(&pool->queue), struct lade_job, link);
}

static void *pool_thread(void *arg)
{
	struct lade_pool *pool = arg;
	struct lade_job *job;

	pthread_mutex_lock(&pool->lock);
	while ((job = next_job(pool))) {
		job->queued = false;
		pthread_mutex_unlock(&pool->lock);
		job->run(job);
		pthread_mutex_lock(&pool->lock);
	}
	if (--pool->threads == 0)
		pthread_cond_signal(&pool->gone);
	pthread_mutex_unlock(&pool->lock);
	return NULL;
}

/* Starts a thread with all signals blocked: they belong to the loop.  Called with the lock. */
static int start_thread(struct lade_pool *pool)
{
	sigset_t all, before;
	pthread_attr_t attr;
	pthread_t thread;
	int rc;

	sigfillset(&all);
	/* What a thread does to itself goes to its handler, as it would in a task. */
	sigdelset(&all, SIGSEGV);
	sigdelset(&all, SIGBUS);
	sigdelset(&all, SIGFPE);
	sigdelset(&all, SIGILL);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	rc = pthread_create(&thread, &attr, pool_thread, pool);
	pthread_attr_destroy(&attr);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (rc == 0)
		pool->threads++;
	return -rc;
}

static void pool_free(struct lade_pool *pool)
{
	pthread_cond_destroy(&pool->work);
	pthread_cond_destroy(&pool->gone);
	pthread_mutex_destroy(&pool->lock);
	lade_free(pool);
}

static void pool_end(struct lade_loop *loop)
{
	struct lade_pool *pool = loop->pool;

	pthread_mutex_lock(&pool->lock);
	pool->ends = true;
	pthread_cond_broadcast(&pool->work);
	while (pool->threads)
		pthread_cond_wait(&pool->gone, &pool->lock);
	pthread_mutex_unlock(&pool->lock);
	pool_free(pool);
	loop->pool = NULL;
}

static struct lade_pool *pool_of(struct lade_loop *loop)
{
	struct lade_pool *pool = atomic_load(&loop->first->pool), *made = NULL;
	pthread_condattr_t attr;

	if (pool)
		return pool;
	pool = lade_calloc(1, sizeof(*pool));
	if (!pool)
		return NULL;
	pthread_mutex_init(&pool->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&pool->work, &attr);
	pthread_cond_init(&pool->gone, NULL);
	pthread_condattr_destroy(&attr);
	lade_list_init(&pool->queue);
	if (!atomic_compare_exchange_strong(&loop->first->pool, &made, pool)) {
		pool_free(pool); /* another core was quicker */
		return made;
	}
	loop->first->pool_end = pool_end;
	return pool;
}

static void job_due(struct lade_timer *timer)
{
	struct lade_job *job = LADE_CONTAINER(timer, struct lade_job, timer);

	job->run(job);
}

/* A look-up that was left behind keeps its thread busy for nobody. */
static uint32_t threads_max(struct lade_loop *loop)
{
	return POOL_THREADS + atomic_load(&loop->first->lookups_left_behind);
}

void lade_pool_grow(struct lade_loop *loop)
{
	struct lade_pool *pool = atomic_load(&loop->first->pool);

	if (!pool) /* simulated */
		return;
	pthread_mutex_lock(&pool->lock);
	/* Without memory for it the jobs wait for the threads that are there. */
	if (pool->idle < pool->queued && pool->threads < threads_max(loop))
		(void)start_thread(pool);
	pthread_mutex_unlock(&pool->lock);
}

int lade_pool_add(struct lade_loop *loop, struct lade_job *job)
{
	struct lade_pool *pool;
	int rc = 0;

	if (loop->backend->pool_ns) {
		lade_timer_start(loop, &job->timer,
				 loop->now_ns + loop->backend->pool_ns(loop, true), TIMER_OP,
				 job_due);
		return 0;
	}
	if (loop->backend->exact) {
		job->run(job);
		return 0;
	}
	pool = pool_of(loop);
	if (!pool)
		return -EAGAIN;
	pthread_mutex_lock(&pool->lock);
	if (pool->idle <= pool->queued && pool->threads < threads_max(loop)) {
		rc = start_thread(pool);
		if (pool->threads)
			rc = 0; /* fewer threads than wished still do the work */
	}
	if (rc == 0) {
		lade_list_append(&pool->queue, &job->link);
		job->queued = true;
		pool->queued++;
		pthread_cond_signal(&pool->work);
	}
	pthread_mutex_unlock(&pool->lock);
	return rc ? -EAGAIN : 0;
}

bool lade_pool_take_back(struct lade_loop *loop, struct lade_job *job)
{
	struct lade_pool *pool = atomic_load(&loop->first->pool);
	bool queued;

	if (!pool) /* the virtual clock: it has run */
		return false;
	pthread_mutex_lock(&pool->lock);
	queued = job->queued;
	if (queued) {
		lade_list_remove(&job->link);
		job->queued = false;
		pool->queued--;
	}
	pthread_mutex_unlock(&pool->lock);
	return queued;
}

/* A task's call. */
struct call {
	struct lade_job job;
	struct lade_op op;
	const struct lade_blocking_config *config;
};

static void run_call(struct lade_job *job)
{
	struct call *call = LADE_CONTAINER(job, struct call, job);

	lade_complete_remote(&call->op, call->config->fn(call->config->arg));
}

static enum lade_abort_result call_abort(struct lade_op *op)
{
	struct call *call = LADE_CONTAINER(op, struct call, op);

	if (lade_pool_take_back(op->loop, &call->job))
		return LADE_ABORTED;
	if (call->config->stop)
		call->config->stop(call->config->arg);
	return LADE_PENDING;
}

static enum lade_abort_result place_abort(struct lade_op *op)
{
	lade_list_remove(&op->link);
	return LADE_ABORTED;
}

/* Takes one of the places for calls, which the one that leaves hands over. */
static int take_place(struct lade_loop *loop, bool always, const char *site)
{
	struct lade_op op = { .what = "a place in the pool",
			      .site = site,
			      .abort = always ? NULL : place_abort };

	if (loop->pool_inside < JOBS_MAX + POOL_THREADS) {
		loop->pool_inside++;
		return 0;
	}
	lade_list_append(&loop->pool_places, &op.link);
	return lade_op_wait(&op);
}

static void leave_place(struct lade_loop *loop)
{
	struct lade_link *first = lade_list_pop(&loop->pool_places);

	if (first)
		lade_complete(LADE_CONTAINER(first, struct lade_op, link), 0);
	else
		loop->pool_inside--;
}

/* A call where the pool is simulated: it waits in the queue, and a cancel takes it back; then it
 * takes its time, and a cancel comes too late or stops it; it runs at its end, in the task. */
struct simulated {
	struct lade_op op;
	struct lade_timer timer;
	const struct lade_blocking_config *config;
	int64_t begins_ns; /* until then it is in the queue */
	bool stopped;	   /* a cancel came behind that */
};

static void simulated_due(struct lade_timer *timer)
{
	lade_complete(&LADE_CONTAINER(timer, struct simulated, timer)->op, 0);
}

static enum lade_abort_result simulated_abort(struct lade_op *op)
{
	struct simulated *call = LADE_CONTAINER(op, struct simulated, op);
	struct lade_loop *loop = op->task->loop;

	if (loop->now_ns < call->begins_ns) {
		lade_timer_stop(loop, &call->timer);
		return LADE_ABORTED;
	}
	call->stopped = true;
	return LADE_PENDING;
}

/* A call without a thread: with the virtual clock at once, in a simulation after a while. */
static int call_here(const struct lade_blocking_config *config, const char *site)
{
	struct lade_loop *loop = lade_loop_here();
	int64_t ns = loop->backend->pool_ns ? loop->backend->pool_ns(loop, false) : 0;
	struct simulated call = {
		.op = { .what = config->what ? config->what : "a blocking call",
			.site = site,
			.abort = config->always ? NULL : simulated_abort },
		.config = config,
		.begins_ns = loop->now_ns + ns / 2,
	};
	int rc = 0;

	if (ns > 0) {
		lade_timer_start(loop, &call.timer, loop->now_ns + ns, TIMER_OP, simulated_due);
		rc = lade_op_wait(&call.op);
	}
	/* It is stopped as it begins; or it had just returned. */
	if (call.stopped && config->stop && lade_sys_here()->random() & 1)
		config->stop(config->arg);
	return rc < 0 ? rc : config->fn(config->arg);
}

static int call_and_wait(const struct lade_blocking_config *config, const char *site)
{
	struct lade_loop *loop = lade_loop_here();
	struct call call = { .job = { .run = run_call }, .config = config };
	int rc;

	call.op = (struct lade_op){ .what = config->what ? config->what : "a blocking call",
				    .site = site,
				    .abort = config->always ? NULL : call_abort,
				    .loop = loop };
	rc = lade_pool_add(loop, &call.job);
	return rc < 0 ? rc : lade_op_wait(&call.op);
}

int lade_blocking_at(const struct lade_blocking_config *config, const char *site)
{
	struct lade_loop *loop = lade_loop_here();
	int rc = lade_enter(site);

	if (rc < 0 && !config->always)
		return rc;
	if (rc < 0)
		(void)lade_outran(0); /* the caller is not told of the cancel */
	if (loop->backend->exact)
		return call_here(config, site);
	if (!pool_of(loop))
		return -EAGAIN;
	rc = take_place(loop, config->always, site);
	if (rc < 0)
		return rc;
	/* A cancel may have come with the place, before there was a call to take back. */
	rc = lade_cancelled() && !config->always ? -ECANCELED : call_and_wait(config, site);
	leave_place(loop);
	return rc;
}
