/* SPDX-License-Identifier: MIT */
/* client.c - a handle of librdkafka's on a loop: how it rings, and how it goes.
 *
 * DESIGN
 * librdkafka calls back, on one of its threads, when something is put into a queue that was empty.
 * The callback notes which queue it is and writes to an eventfd, unless it is written already: so a
 * wake-up says where to look, and a queue that is not drained costs no further system call. A queue
 * that is left with something in it does not ring again; who leaves it so sets its bell himself.
 *
 * What blocks is a job on the pool, made of calls that each take a second at most.
 *
 * Freeing a handle can hang: librdkafka 2.0.2 does when a topic that it read was deleted. So it
 * runs in a thread of its own, which is left behind when its time is over. */

#include "connectors/kafka/kafka_priv.h"

#include "base/alloc.h"

#include <errno.h>
#include <string.h>
#include <sys/eventfd.h>
#include <threads.h>
#include <time.h>
#include <unistd.h>

#define TICK_NS INT64_C(1000000000)

static void ring(rd_kafka_t *rk, void *opaque)
{
	struct lade_kafka_bell *bell = opaque;
	const uint64_t one = 1;

	(void)rk;
	atomic_store(&bell->rung, true);
	/* It cannot be full: nobody writes twice before it was read. */
	if (!atomic_exchange(&bell->client->told, true) &&
	    write(bell->client->fd, &one, sizeof(one)) < 0)
		return;
}

void lade_kafka_bell_hang(struct lade_kafka_bell *bell, struct lade_kafka_client *client,
			  rd_kafka_queue_t *queue)
{
	bell->client = client;
	atomic_init(&bell->rung, true); /* what lies there already has not rung */
	rd_kafka_queue_cb_event_enable(queue, ring, bell);
}

static void fd_ready(void *arg, unsigned events)
{
	struct lade_kafka_client *client = arg;
	uint64_t count;

	(void)events;
	/* Read before the bells are looked at: what rings from now on writes again. */
	if (read(client->fd, &count, sizeof(count)) < 0)
		return;
	atomic_store(&client->told, false);
	client->serve(client->arg);
}

static void tick(void *arg)
{
	struct lade_kafka_client *client = arg;

	lade_alarm_start(&client->tick, lade_in(lade_ns(TICK_NS)));
	client->ticked(client->arg);
}

int lade_kafka_client_open(struct lade_kafka_client *client, const char *site)
{
	int rc;

	client->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (client->fd < 0)
		return -errno;
	rc = lade_watch_open_at(client->fd, fd_ready, client, &client->watch, site);
	if (rc == 0)
		rc = lade_watch_set(client->watch, POLLIN);
	if (rc < 0) {
		client->watch = lade_watch_close(client->watch);
		lade_close(client->fd);
		client->fd = -1;
		return rc;
	}
	lade_kafka_bell_hang(&client->bell, client, client->queue);
	lade_alarm_init_at(&client->tick, tick, client, site);
	if (client->ticked)
		lade_alarm_start(&client->tick, lade_in(lade_ns(TICK_NS)));
	return 0;
}

void lade_kafka_client_quiet(struct lade_kafka_client *client)
{
	if (client->queue)
		rd_kafka_queue_cb_event_enable(client->queue, NULL, NULL);
	if (!client->watch)
		return;
	lade_alarm_stop(&client->tick);
	client->watch = lade_watch_close(client->watch);
	lade_close(client->fd);
}

/* A task that rests. */
struct rest {
	struct lade_op op;
	struct lade_alarm alarm;
};

static void rested(void *arg)
{
	struct rest *rest = arg;

	lade_complete(&rest->op, 0);
}

void lade_kafka_rest(struct lade_duration moment, const char *site)
{
	struct rest rest = { .op = LADE_OP("the end of a Kafka client") };

	lade_alarm_init_at(&rest.alarm, rested, &rest, site);
	lade_alarm_start(&rest.alarm, lade_in(moment));
	(void)!lade_park_at(&rest.op, NULL, site);
}

/* The end of a handle; freed by whoever leaves last. */
struct destroy {
	rd_kafka_t *rk;
	mtx_t lock;
	cnd_t done;
	int users; /* the thread, and who waits for it */
	bool over;
	struct destroy *before; /* the one that was left behind before it */
};

static void destroy_unref(struct destroy *d)
{
	int left;

	mtx_lock(&d->lock);
	left = --d->users;
	mtx_unlock(&d->lock);
	if (left)
		return;
	cnd_destroy(&d->done);
	mtx_destroy(&d->lock);
	lade_free(d);
}

static int destroy_thread(void *arg)
{
	struct destroy *d = arg;

	rd_kafka_destroy_flags(d->rk, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
	mtx_lock(&d->lock);
	d->over = true;
	cnd_signal(&d->done);
	mtx_unlock(&d->lock);
	destroy_unref(d);
	return 0;
}

static struct destroy *destroy_new(rd_kafka_t *rk)
{
	struct destroy *d = lade_calloc(1, sizeof(*d));

	if (!d)
		return NULL;
	d->rk = rk;
	d->users = 2;
	mtx_init(&d->lock, mtx_plain);
	cnd_init(&d->done);
	return d;
}

/* On the pool: waits for the thread, up to a limit. */
static int destroy_job(void *arg)
{
	static _Atomic(struct destroy *) left_behind; /* the last one, so that it can be found */
	struct destroy *d = destroy_new(arg);
	struct timespec until;
	thrd_t thread;
	int rc = thrd_success;

	if (!d || thrd_create(&thread, destroy_thread, d) != thrd_success) {
		lade_free(d);
		rd_kafka_destroy_flags(arg, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
		return 0;
	}
	thrd_detach(thread);
	timespec_get(&until, TIME_UTC);
	until.tv_sec += DESTROY_S;
	mtx_lock(&d->lock);
	while (!d->over && rc == thrd_success)
		rc = cnd_timedwait(&d->done, &d->lock, &until);
	if (!d->over) {
		d->before = atomic_exchange(&left_behind, d);
		mtx_unlock(&d->lock);
		return 0;
	}
	mtx_unlock(&d->lock);
	destroy_unref(d);
	return 0;
}

/* The latest handle that was left behind whole, so that it can be found. */
static _Atomic(rd_kafka_t *) not_destroyed;

void lade_kafka_client_done(struct lade_kafka_client *client, const char *site)
{
	const struct lade_blocking_config job = { .fn = destroy_job,
						  .arg = client->rk,
						  .what = "the end of a Kafka client",
						  .always = true };

	lade_kafka_client_quiet(client);
	if (client->queue)
		rd_kafka_queue_destroy(client->queue);
	client->queue = NULL;
	if (!client->rk)
		return;
	if (client->fragile) {
		(void)atomic_exchange(&not_destroyed, client->rk);
		client->rk = NULL;
		return;
	}
	/* Without a thread it is freed here: late is better than never. */
	if (lade_blocking_at(&job, site) < 0)
		(void)destroy_job(client->rk);
	client->rk = NULL;
}

static int run_job(void *arg)
{
	struct lade_kafka_job *job = arg;
	int rc;

	while ((rc = job->run(job)) == 1) {
		struct timespec nap = { .tv_nsec = NAP_NS };

		if (atomic_load(&job->stopped))
			return -ECANCELED;
		nanosleep(&nap, NULL);
	}
	return rc;
}

static void stop_job(void *arg)
{
	struct lade_kafka_job *job = arg;

	atomic_store(&job->stopped, true);
}

int lade_kafka_run(struct lade_kafka_job *job, const char *what, const char *site)
{
	const struct lade_blocking_config blocking = {
		.fn = run_job, .arg = job, .stop = stop_job, .what = what
	};

	atomic_init(&job->stopped, false);
	return lade_blocking_at(&blocking, site);
}
