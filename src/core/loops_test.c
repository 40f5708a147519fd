/* SPDX-License-Identifier: MIT */
/* loops_test.c - loops as another thread sees them: dumps on demand, and who has a core. */

#include "core/loops.h"

#include "run.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>

#define HOUR_NS INT64_C(3600000000000)

static atomic_bool running, looked;

static char said[1 << 20]; /* the last dump of dump_all() */

static void dump_all(void)
{
	int fd = memfd_create("dump", MFD_CLOEXEC);
	ssize_t n;

	lade_loops_dump(fd, HOUR_NS);
	n = pread(fd, said, sizeof(said) - 1, 0);
	said[n > 0 ? n : 0] = 0;
	close(fd);
}

static int waits_until_looked(void)
{
	atomic_store(&running, true);
	while (!atomic_load(&looked))
		if (lade_sleep(lade_us(100)) < 0)
			return -EPROTO;
	return 0;
}
LADE_TASK_VOID(waits_until_looked)

static void *run_a_loop(void *unused)
{
	struct waits_until_looked_task task = waits_until_looked_task();
	struct lade_loop *loop;

	NEED_EQ(lade_loop_new(&(struct lade_loop_config){ .backend = NULL }, &loop), 0);
	lade_loop_run(loop, &task);
	atomic_store(&running, true); /* also where the task could not begin */
	lade_loop_free(loop);
	return unused;
}

static void a_loop_of_another_thread_is_dumped_between_its_turns(void)
{
	pthread_t thread;

	atomic_store(&running, false);
	atomic_store(&looked, false);
	NEED_EQ(pthread_create(&thread, NULL, run_a_loop, NULL), 0);
	while (!atomic_load(&running))
		sched_yield();
	dump_all();
	CHECK(strstr(said, "waits_until_looked #1, started at "));
	CHECK(!strstr(said, "holds the core"));
	dump_all();
	CHECK(strstr(said, "waits_until_looked #1, started at "));
	atomic_store(&looked, true);
	pthread_join(thread, NULL);
	dump_all();
	CHECK_STR(said, "");
}

/* Loops that come and go while a thread dumps them and looks at them. */

static int naps_a_little(void)
{
	return lade_sleep(lade_us(50));
}
LADE_TASK_VOID(naps_a_little)

static void *make_loops(void *rounds)
{
	for (long i = 0; i < *(const long *)rounds; i++) {
		struct naps_a_little_task task = naps_a_little_task();
		struct lade_loop *loop;

		/* ThreadSanitizer does not see liburing unmap a ring, and takes the next ring at
		 * that address for the same memory. */
		if (lade_loop_new(&(struct lade_loop_config){ .backend = "epoll" }, &loop) < 0)
			break;
		if (i % 3)
			lade_loop_run(loop, &task);
		lade_loop_free(loop);
	}
	return NULL;
}

static void loops_may_come_and_go_while_they_are_dumped_and_looked_at(void)
{
	struct lade_hold holds[LADE_LOOPS_MAX] = { 0 };
	long rounds = RUN_MANY(500);
	pthread_t threads[2];
	int null = open("/dev/null", O_WRONLY | O_CLOEXEC);

	for (int i = 0; i < 2; i++)
		NEED_EQ(pthread_create(&threads[i], NULL, make_loops, &rounds), 0);
	for (long i = 0; i < rounds; i++) {
		/* Without patience: a question that is not answered at once is put again. */
		lade_loops_dump(null, 0);
		for (uint32_t n = 0; n < LADE_LOOPS_MAX; n++)
			(void)lade_loops_look(n, &holds[n]);
	}
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	close(null);
	dump_all();
	CHECK_STR(said, "");
}

/* Holding the core */

static struct lade_loop *watched;

static uint32_t place_of_only_loop(struct lade_hold *hold)
{
	uint32_t n = 0;

	/* The first look remembers; only the place of the loop can say yes to a second. */
	for (; n < LADE_LOOPS_MAX; n++) {
		*hold = (struct lade_hold){ 0 };
		(void)lade_loops_look(n, hold);
		if (lade_loops_look(n, hold))
			break;
	}
	return n;
}

static int is_looked_at(void)
{
	struct lade_hold hold;
	uint32_t n = place_of_only_loop(&hold);

	CHECK(n < LADE_LOOPS_MAX);
	CHECK_STR(hold.name, "is_looked_at");
	CHECK_EQ(hold.number, 1);
	CHECK_EQ(hold.looks, 1);
	CHECK(lade_loops_look(n, &hold));
	CHECK_EQ(hold.looks, 2);
	CHECK_EQ(lade_yield(), 0);
	CHECK(!lade_loops_look(n, &hold));
	CHECK_EQ(hold.looks, 0);
	CHECK(lade_loops_look(n, &hold));
	return 0;
}
LADE_TASK_VOID(is_looked_at)

static void a_task_holds_the_core_from_look_to_look_unless_it_gives_way(void)
{
	struct is_looked_at_task task = is_looked_at_task();
	struct lade_hold hold = { 0 };

	NEED_EQ(lade_loop_new(&(struct lade_loop_config){ .backend = "epoll" }, &watched), 0);
	lade_loop_run(watched, &task);
	CHECK_EQ(place_of_only_loop(&hold), LADE_LOOPS_MAX);
	lade_loop_free(watched);
}

IN_TASK(where_the_clock_is_virtual_nobody_holds_a_core)
{
	struct lade_hold hold;

	CHECK_EQ(place_of_only_loop(&hold), LADE_LOOPS_MAX);
}

static void more_loops_than_the_table_has_places_work_unseen(void)
{
	struct lade_loop *loops[LADE_LOOPS_MAX + 1];
	struct end_after_task task = end_after_task(1, 5);
	const struct lade_loop_config config = { .backend = "virtual" };

	for (int i = 0; i <= LADE_LOOPS_MAX; i++)
		NEED_EQ(lade_loop_new(&config, &loops[i]), 0);
	CHECK(loops[LADE_LOOPS_MAX - 1]->place);
	CHECK(!loops[LADE_LOOPS_MAX]->place);
	CHECK_EQ(lade_loop_run(loops[LADE_LOOPS_MAX], &task), 5);
	for (int i = 0; i <= LADE_LOOPS_MAX; i++)
		lade_loop_free(loops[i]);
	NEED_EQ(lade_loop_new(&config, &loops[0]), 0);
	CHECK(loops[0]->place);
	lade_loop_free(loops[0]);
}

int main(void)
{
	TAP(a_loop_of_another_thread_is_dumped_between_its_turns);
	TAP(loops_may_come_and_go_while_they_are_dumped_and_looked_at);
	TAP(a_task_holds_the_core_from_look_to_look_unless_it_gives_way);
	TAP(where_the_clock_is_virtual_nobody_holds_a_core);
	TAP(more_loops_than_the_table_has_places_work_unseen);
	return tap_done();
}
