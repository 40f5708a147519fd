/* SPDX-License-Identifier: MIT */
/* dump_test.c - a dump while tasks are parked in each kind of wait that there is. */

#include <lade/cache.h>
#include <lade/channel.h>
#include <lade/event.h>
#include <lade/io.h>
#include <lade/join.h>
#include <lade/select.h>
#include <lade/stream.h>

#include "backend.h"
#include "dumped.h"

#include <errno.h>
#include <semaphore.h>

LADE_CHANNEL(num, long)
LADE_STREAM(num, long)

/* All that the tasks of the test wait for, and that does not come. */
static struct {
	struct num_channel *empty, *full;
	struct lade_sem sem;
	struct lade_event event;
	int fds[2];
	int listener;
} never;

static int receives(void)
{
	long n;

	return num_recv(never.empty, &n);
}
LADE_TASK_VOID(receives)

static int sends(void)
{
	return num_send(never.full, 2);
}
LADE_TASK_VOID(sends)

static int reserves(void)
{
	return num_reserve(never.full);
}
LADE_TASK_VOID(reserves)

static int acquires(void)
{
	return lade_sem_acquire(&never.sem, 1);
}
LADE_TASK_VOID(acquires)

static int awaits_event(void)
{
	return lade_event_wait(&never.event);
}
LADE_TASK_VOID(awaits_event)

static int selects(void)
{
	return lade_select(lade_event_case(&never.event), lade_readable_case(never.fds[0]),
			   lade_after(lade_s(60)));
}
LADE_TASK_VOID(selects)

static int reads(void)
{
	char byte;

	return lade_read(never.fds[0], &byte, 1);
}
LADE_TASK_VOID(reads)

static int awaits_readable(void)
{
	return lade_readable(never.fds[0]);
}
LADE_TASK_VOID(awaits_readable)

static int accepts(void)
{
	int fd;

	return lade_accept(never.listener, &fd);
}
LADE_TASK_VOID(accepts)

static int sleeps(void)
{
	return lade_sleep(lade_s(60));
}
LADE_TASK_VOID(sleeps)

static int joins(void)
{
	return lade_join(lade_do(sleeps), lade_do(sleeps));
}
LADE_TASK_VOID(joins)

static int races(void)
{
	struct lade_join_task both = lade_join_task(lade_do(sleeps), lade_do(sleeps));

	return lade_race(lade_do(sleeps), &both);
}
LADE_TASK_VOID(races)

/* Starts one of each, looks, and calls all off. */
static void park_everywhere(void)
{
	int rc = 0;

	lade_scope(s, &rc, .policy = LADE_ALL) {
		rc = lade_spawn(&s, receives_task()) || lade_spawn(&s, sends_task()) ||
		     lade_spawn(&s, reserves_task()) || lade_spawn(&s, acquires_task()) ||
		     lade_spawn(&s, awaits_event_task()) || lade_spawn(&s, selects_task()) ||
		     lade_spawn(&s, reads_task()) || lade_spawn(&s, awaits_readable_task()) ||
		     lade_spawn(&s, accepts_task()) || lade_spawn(&s, joins_task()) ||
		     lade_spawn(&s, races_task());
		CHECK_EQ(rc, 0);
		CHECK_EQ(lade_sleep(lade_ms(2)), 0);
		take_dump();
		lade_cancel(&s);
	}
}

static void each_kind_body(void)
{
	CHECK_EQ(num_channel_new(1, &never.empty), 0);
	CHECK_EQ(num_channel_new(1, &never.full), 0);
	CHECK_EQ(num_send(never.full, 1), 0);
	lade_sem_init(&never.sem, 0);
	lade_event_init(&never.event);
	CHECK_EQ(lade_pipe(never.fds), 0);
	CHECK_EQ(lade_listen("127.0.0.1:0", &never.listener), 0);
	park_everywhere();
	num_channel_free(never.empty);
	num_channel_free(never.full);
	lade_close(never.fds[0]);
	lade_close(never.fds[1]);
	lade_close(never.listener);
}

static void a_dump_shows_tasks_parked_in_each_kind_of_wait(void)
{
	run_on(NULL, each_kind_body);
	DUMP_SAYS("receives #", ": waits for a receive at ");
	DUMP_SAYS("sends #", ": waits for a send at ");
	DUMP_SAYS("reserves #", ": waits for a place in a channel at ");
	DUMP_SAYS("acquires #", ": waits for a permit at ");
	DUMP_SAYS("awaits_event #", ": waits for an event at ");
	DUMP_SAYS("selects #", ": waits for a select at ");
	DUMP_SAYS("reads #", ": waits for read");
	DUMP_SAYS("awaits_readable #", ": waits for readable at ");
	DUMP_SAYS("accepts #", ": waits for accept at ");
	DUMP_SAYS("joins #", ": waits for a join at ");
	DUMP_SAYS("races #", ": waits for a race at ");
	DUMP_SAYS("sleeps #", ": waits for sleep at ");
	DUMP_SAYS("join #", ": a composite");
	DUMP_SAYS("reads #", "dump_test.c:");
}

/* The pool, and a load of a cache on it */

static sem_t gate;

static int wait_at_gate(void *arg)
{
	(void)arg;
	while (sem_wait(&gate) < 0)
		;
	return 0;
}

static int calls(void)
{
	return lade_blocking(wait_at_gate, NULL);
}
LADE_TASK_VOID(calls)

static int load_long(void *arg, const long *key, long *ret)
{
	(void)arg;
	*ret = *key;
	return lade_blocking(wait_at_gate, NULL);
}
LADE_CACHE(num, long, long)

static int gets(struct num_cache *cache)
{
	long value;

	return num_cache_get(cache, 1, &value);
}
LADE_TASK_VOID(gets, (struct num_cache *, cache))

static void pool_body(void)
{
	struct num_cache *cache = NULL;
	int rc = 0;

	sem_init(&gate, 0, 0);
	lade_scope(s, &rc, .policy = LADE_ALL) {
		CHECK_EQ(num_cache_new(&s, load_long, NULL, &(struct lade_cache_config){ 0 },
				       &cache),
			 0);
		rc = lade_spawn(&s, calls_task()) || lade_spawn(&s, gets_task(cache));
		CHECK_EQ(lade_sleep(lade_ms(2)), 0);
		take_dump();
		sem_post(&gate);
		sem_post(&gate);
	}
	CHECK_EQ(rc, 0);
	num_cache_close(cache, false);
	sem_destroy(&gate);
}

static void a_dump_shows_calls_of_the_pool_and_loads_of_a_cache(void)
{
	run_on(NULL, pool_body);
	DUMP_SAYS("calls #", ": waits for a blocking call at ");
	DUMP_SAYS("gets #", ": waits for a load at ");
}

/* A batch of a prefetch: both tasks are daemons of the scope that they were given. */
static int next_never(void *self, void *ret_item)
{
	(void)self, (void)ret_item;
	return lade_sleep(lade_s(60));
}

static void close_never(void *self)
{
	(void)self;
}

static int pulls(struct num_batches *in)
{
	struct num_batch batch;

	return num_batch_next(in, &batch);
}
LADE_TASK_VOID(pulls, (struct num_batches *, in))

static void stream_body(void)
{
	static const struct lade_source source = { next_never, NULL, close_never };
	struct num_batches *in = NULL;
	int rc = 0;

	lade_scope(s, &rc, .policy = LADE_ALL) {
		in = num_batch(&s, num_prefetch(&s, num_stream_of(&source, &rc), 5, 0),
			       (struct lade_batch_config){ .max_items = 3 });
		CHECK_EQ(lade_spawn(&s, pulls_task(in)), 0);
		CHECK_EQ(lade_sleep(lade_ms(2)), 0);
		take_dump();
		lade_cancel(&s);
	}
	num_batches_close(in);
}

static void a_dump_shows_the_daemons_of_streams_and_who_pulls(void)
{
	run_on("virtual", stream_body);
	DUMP_SAYS("pulls #", ": waits for ");
	DUMP_SAYS(", daemon:", "started at ");
	DUMP_SAYS(", daemon:", ": waits for ");
	DUMP_SAYS("scope of", "daemons among them: 2");
}

int main(void)
{
	TAP(a_dump_shows_tasks_parked_in_each_kind_of_wait);
	TAP(a_dump_shows_calls_of_the_pool_and_loads_of_a_cache);
	TAP(a_dump_shows_the_daemons_of_streams_and_who_pulls);
	return tap_done();
}
