/* SPDX-License-Identifier: MIT */
/* explore_test.c - each thing that the explorer finds, and that it finds nothing else. */

#include "core/witness.h"
#include "explore/explore_priv.h"
#include "tap.h"

#include <lade/channel.h>
#include <lade/cores.h>
#include <lade/event.h>
#include <lade/io.h>
#include <lade/join.h>
#include <lade/park.h>
#include <lade/scope.h>
#include <lade/stream.h>

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static int calls; /* of the body, in this process */

LADE_EXPLORE(clean)
{
	int rc = lade_sleep(lade_ms(1));

	return rc < 0 ? rc : lade_within(lade_ms(5), lade_sleep(lade_ms(1)));
}

/* A world with a service that answers "?" by "!". */
static int service_fd, service_port;

static int serve_one(int fd)
{
	char c;
	int rc = lade_read(fd, &c, 1);

	if (rc == 1)
		rc = lade_sleep(lade_ms(3));
	if (rc == 0)
		rc = lade_write(fd, "!", 1);
	lade_close(fd);
	return rc;
}
static void serve_one_drop(int fd)
{
	lade_close(fd);
}
LADE_TASK_VOID_WITH(serve_one, (.drop_args = serve_one_drop), (int, fd))

static int service(void)
{
	int fd, rc = 0;

	lade_scope(s, &rc, .policy = LADE_ALL) {
		while ((rc = lade_accept(service_fd, &fd)) == 0)
			if ((rc = lade_spawn(&s, serve_one_task(fd))) < 0)
				break;
	}
	return rc;
}
LADE_TASK_VOID(service)

static struct service_task the_service;

static int with_service(struct lade_scope *world)
{
	int rc = lade_listen("127.0.0.1:0", &service_fd);

	if (rc < 0)
		return rc;
	service_port = lade_local_port(service_fd);
	the_service = service_task();
	lade_start_daemon(world, &the_service);
	return 0;
}

static void without_service(void)
{
	lade_close(service_fd);
}

static int pay(void)
{
	char address[32], c;
	int fd, rc;

	snprintf(address, sizeof(address), "127.0.0.1:%d", service_port);
	rc = lade_connect_to(address, &fd);
	if (rc < 0)
		return rc;
	rc = lade_write(fd, "?", 1);
	if (rc == 1)
		rc = lade_read(fd, &c, 1);
	lade_close(fd);
	return rc == 1 ? 0 : rc < 0 ? rc : -ENODATA;
}

LADE_EXPLORE(loses, .setup = with_service, .teardown = without_service)
{
	static bool remembered;
	int rc = remembered ? 0 : pay();

	if (rc == 0)
		rc = lade_sleep(lade_ms(1));
	remembered |= rc == 0;
	return rc;
}

static int pay(void);
LADE_TASK_VOID(pay)

/* The same on another core. */
LADE_EXPLORE(loses_on_a_core, .setup = with_service, .teardown = without_service)
{
	static bool remembered;
	int rc = remembered ? 0 : lade_join(lade_on(1, lade_do(pay)));

	if (rc == 0)
		rc = lade_sleep(lade_ms(1));
	remembered |= rc == 0;
	return rc;
}

LADE_EXPLORE(never_remembers, .setup = with_service, .teardown = without_service)
{
	int rc = pay();

	return rc < 0 ? rc : lade_sleep(lade_ms(1));
}

LADE_EXPLORE(doubles)
{
	static bool done;
	size_t written = 0;
	int fd, rc;

	if (done)
		return lade_yield();
	rc = lade_open("no-such-folder/ledger", O_WRONLY | O_CREAT | O_APPEND, 0600, &fd);
	if (rc < 0)
		return rc;
	rc = lade_write_all(fd, "paid", 4, &written);
	if (rc == 0)
		rc = lade_sleep(lade_ms(1));
	done |= rc == 0;
	lade_close(fd);
	return rc;
}

LADE_EXPLORE(swallows)
{
	(void)!lade_sleep(lade_ms(1));
	return 0;
}

LADE_EXPLORE(goes_on)
{
	int rc = 0;

	for (int i = 0; i < 5; i++)
		rc = lade_sleep(lade_ms(1));
	return rc;
}

LADE_EXPLORE(handles)
{
	if (lade_sleep(lade_ms(1)) < 0)
		lade_cancel_handled();
	return 0;
}

LADE_EXPLORE(leaks)
{
	int fds[2], rc = lade_pipe(fds);

	if (rc == 0)
		rc = lade_sleep(lade_ms(1));
	if (rc < 0)
		return rc;
	lade_close(fds[0]);
	lade_close(fds[1]);
	return 0;
}

LADE_EXPLORE(changes)
{
	static bool busy;
	int rc;

	if (busy)
		return -EBUSY;
	busy = true;
	rc = lade_sleep(lade_ms(1));
	if (rc < 0)
		return rc;
	busy = false;
	return 0;
}

LADE_EXPLORE(crashes)
{
	if (lade_sleep(lade_ms(1)) < 0)
		abort();
	return 0;
}

static enum lade_abort_result cannot_tell(struct lade_op *op)
{
	(void)op;
	return LADE_PENDING;
}

LADE_EXPLORE(hangs)
{
	struct lade_op op = LADE_OP("a sign");
	int rc = lade_sleep(lade_ms(1));

	return rc < 0 ? lade_park(&op, cannot_tell) : rc;
}

LADE_EXPLORE(never_ends)
{
	int rc = lade_sleep(lade_ms(1));

	while (rc < 0)
		(void)!lade_yield();
	return rc;
}

LADE_EXPLORE(ends_slowly)
{
	int rc = lade_sleep(lade_ms(1));

	if (rc < 0)
		lade_shield(lade_s(60))
			(void)!lade_sleep(lade_s(30));
	return rc;
}

LADE_EXPLORE(ends_slowly_in_a_long_life)
{
	int rc = lade_sleep(lade_s(100));

	if (rc < 0)
		lade_shield(lade_s(60))
			(void)!lade_sleep(lade_s(30));
	return rc;
}

static int balance;

static int balanced(void)
{
	return balance == 0 ? 0 : -EINVAL;
}

LADE_EXPLORE(breaks_invariant, .invariant = balanced, .once = true)
{
	int rc;

	balance++;
	rc = lade_sleep(lade_ms(1));
	if (rc == 0)
		balance--;
	return rc;
}

static int rests_below(void)
{
	int rc = lade_sleep(lade_ms(50));

	__asm__ volatile("" ::: "memory");
	return rc;
}

static int rests(void)
{
	int rc = rests_below();

	__asm__ volatile("" ::: "memory");
	return rc < 0 ? rc : 0;
}
LADE_TASK_VOID(rests)

static int unbalances(void)
{
	int rc;

	balance++;
	rc = lade_sleep(lade_ms(1));
	if (rc == 0)
		balance--;
	return rc;
}
LADE_TASK_VOID(unbalances)

LADE_EXPLORE(breaks_it_among_others, .invariant = balanced, .once = true)
{
	int rc = 0;

	lade_scope(s, &rc) {
		for (int i = 0; i < 20 && rc == 0; i++)
			rc = lade_spawn(&s, rests_task());
		if (rc == 0)
			rc = lade_spawn(&s, unbalances_task());
	}
	return rc;
}

LADE_EXPLORE(is_random)
{
	return lade_sleep(lade_us(getpid()));
}

static int no_world(struct lade_scope *world)
{
	(void)world;
	return -ENETDOWN;
}

LADE_EXPLORE(has_no_world, .setup = no_world)
{
	return 0;
}

static int write_often(int fd)
{
	int rc = 0;

	for (int i = 0; i < EFFECTS_MAX + 10 && rc >= 0; i++)
		rc = lade_pwrite(fd, "x", 1, 0);
	return rc < 0 ? rc : 0;
}

LADE_EXPLORE(does_much)
{
	int fd, rc = lade_open("no-such-folder/much", O_WRONLY | O_CREAT, 0600, &fd);

	if (rc < 0)
		return rc;
	rc = write_often(fd);
	lade_close(fd);
	return rc;
}

static int brief(void)
{
	return lade_yield();
}
LADE_TASK_VOID(brief)

LADE_EXPLORE(has_many_tasks)
{
	int rc = 0;

	lade_scope(s, &rc) {
		for (int i = 0; i < TASKS_MAX + 100 && rc == 0; i++)
			rc = lade_spawn(&s, brief_task());
	}
	return rc;
}

LADE_EXPLORE(has_many_points)
{
	int rc = 0;

	for (int i = 0; i < POINTS_MAX + 10 && rc == 0; i++)
		rc = lade_yield();
	return rc;
}

static int deep(int n)
{
	int rc;

	if (n == 0)
		return lade_sleep(lade_ms(1));
	rc = lade_within(lade_s(100 + n), deep(n - 1));
	return rc == -ETIME ? 0 : rc;
}

LADE_EXPLORE(is_deep)
{
	return deep(30);
}

static int nap(void)
{
	return lade_sleep(lade_ms(2));
}
LADE_TASK_VOID(nap)

LADE_EXPLORE(has_all_scopes)
{
	int rc = 0;

	lade_scope(s, &rc) {
		rc = lade_within(lade_ms(50), lade_join(lade_do(nap), lade_do(nap)));
		if (rc == 0)
			rc = lade_race(lade_do(nap), lade_do(nap));
	}
	if (rc < 0)
		return rc;
	lade_shield(lade_ms(100))
		rc = lade_sleep(lade_ms(1));
	return rc;
}

static int wants_memory(struct lade_scope *world)
{
	(void)world;
	calls = 0;
	return 0;
}

LADE_EXPLORE(needs_memory, .setup = wants_memory)
{
	struct lade_addresses found;

	calls++;
	return lade_resolve("somewhere", 80, &found);
}

static int pay_once(void)
{
	return pay();
}
LADE_TASK_VOID(pay_once)

LADE_EXPLORE(two_pay, .setup = with_service, .teardown = without_service)
{
	int rc = lade_join_all(lade_do(pay_once), lade_do(pay_once));

	return rc;
}

LADE_EXPLORE(shields_what_it_pays, .setup = with_service, .teardown = without_service)
{
	static bool remembered;
	int rc = 0;

	lade_shield(lade_s(1)) {
		if (!remembered)
			rc = pay();
		if (rc == 0)
			rc = lade_sleep(lade_ms(1));
		remembered |= rc == 0;
	}
	return rc;
}

static void say_goodbye(void *arg)
{
	(void)arg;
	(void)!lade_sleep(lade_ms(1));
}

LADE_EXPLORE(waits_in_its_cleanup)
{
	lade_defer(say_goodbye, NULL);
	return lade_sleep(lade_ms(1));
}

static int open_copy(const char *path, int *ret_fd)
{
	return lade_open(path, O_RDWR | O_CREAT, 0600, ret_fd);
}
LADE_TASK(open_copy, int, (const char *, path))

LADE_EXPLORE(leaks_what_a_loser_opens)
{
	struct open_copy_task a = open_copy_task("no-such-folder/a");
	struct open_copy_task b = open_copy_task("no-such-folder/b");
	int rc = lade_race_ok(&a, &b);

	if (rc < 0)
		return rc;
	lade_close(rc == 0 ? lade_value(&a) : lade_value(&b));
	return 0;
}

static struct lade_sem places;

static int make_places(struct lade_scope *world)
{
	(void)world;
	lade_sem_init(&places, 5);
	return 0;
}

LADE_EXPLORE(keeps_a_permit, .setup = make_places)
{
	int rc = lade_sem_acquire(&places, 1);

	if (rc < 0)
		return rc;
	rc = lade_sleep(lade_ms(1));
	if (rc < 0)
		return rc;
	lade_sem_release(&places, 1);
	return 0;
}

static void give_the_place_back(void *arg)
{
	(void)arg;
	lade_sem_release(&places, 1);
}

LADE_EXPLORE(gives_a_permit_back_twice, .setup = make_places)
{
	int rc = lade_sem_acquire(&places, 1);

	if (rc < 0)
		return rc;
	lade_defer(give_the_place_back, NULL);
	rc = lade_sleep(lade_ms(1));
	if (rc < 0)
		lade_sem_release(&places, 1);
	return rc;
}

static void close_it(void *arg)
{
	lade_close(*(int *)arg);
}

LADE_EXPLORE(closes_twice)
{
	int fds[2], rc = lade_pipe(fds);

	if (rc < 0)
		return rc;
	lade_defer(close_it, &fds[0]);
	lade_close(fds[1]);
	rc = lade_sleep(lade_ms(1));
	if (rc < 0)
		lade_close(fds[0]);
	return rc;
}

/* What it makes itself goes with it. */
LADE_EXPLORE(keeps_a_permit_of_its_own)
{
	struct lade_sem own;
	int rc;

	lade_sem_init(&own, 1);
	rc = lade_sem_acquire(&own, 1);
	if (rc == 0)
		rc = lade_sleep(lade_ms(1));
	if (rc == 0)
		lade_sem_release(&own, 1);
	return rc;
}

LADE_EXPLORE(always_leaks)
{
	int fds[2], rc = lade_pipe(fds);

	if (rc == 0)
		lade_close(fds[0]);
	return rc < 0 ? rc : lade_sleep(lade_ms(1));
}

static int take_place(void)
{
	static bool taken;
	int rc;

	if (taken)
		return -EBUSY;
	taken = true;
	rc = pay();
	if (rc < 0)
		return rc;
	rc = lade_sleep(lade_ms(1));
	if (rc < 0)
		return rc;
	taken = false;
	return 0;
}

LADE_EXPLORE(changes_in_two_places, .setup = with_service, .teardown = without_service)
{
	return take_place();
}

/* A place that is not given back when what follows a time-out is cancelled in its turn. */
LADE_EXPLORE(fails_if_cancelled_twice)
{
	static bool taken;
	int rc;

	if (taken)
		return -EBUSY;
	rc = lade_within(lade_ms(50), lade_sleep(lade_ms(1)));
	if (rc != -ETIME)
		return rc;
	taken = true;
	rc = lade_sleep(lade_ms(1));
	taken = rc < 0;
	return rc;
}

static int one_step(void)
{
	return lade_sleep(lade_ms(1));
}

/* The same place fifty times, and once, in the middle, with a deadline round it. */
LADE_EXPLORE(fails_in_the_middle)
{
	static bool taken;
	int rc = taken ? -EBUSY : 0;

	for (int i = 0; rc == 0 && i < 50; i++) {
		taken = i == 25;
		rc = taken ? lade_within(lade_ms(5), one_step()) : one_step();
		if (rc == 0)
			taken = false;
	}
	return rc;
}

LADE_CHANNEL(coin, long)

static struct coin_channel *purse, *till;

static int fill_purse(struct lade_scope *world)
{
	int rc = coin_channel_new(4, &purse);

	(void)world;
	if (rc == 0)
		rc = coin_channel_new(4, &till);
	for (long coin = 1; coin <= 2 && rc == 0; coin++)
		rc = coin_try_send(purse, coin);
	return rc;
}

static void lose_purse(void)
{
	coin_channel_free(purse);
	coin_channel_free(till);
}

LADE_EXPLORE(drops_a_coin, .setup = fill_purse, .teardown = lose_purse)
{
	long coin;
	int rc = coin_recv(purse, &coin);

	return rc == 0 ? coin_send(till, coin) : rc;
}

LADE_EXPLORE(puts_the_coin_back, .setup = fill_purse, .teardown = lose_purse)
{
	long coin;
	int rc = coin_recv(purse, &coin);

	if (rc == 0 && (rc = coin_send(till, coin)) < 0)
		(void)!coin_try_send(purse, coin);
	return rc;
}

/* An item that lies in the object which it names: both are the receiver's once it is received. */
struct job {
	struct job *self;
};
LADE_CHANNEL(job, struct job *)
static struct job_channel *jobs;

static int open_jobs(struct lade_scope *world)
{
	(void)world;
	return job_channel_new(0, &jobs);
}

static void close_jobs(void)
{
	jobs = job_channel_free(jobs);
}

static int does_a_job(void)
{
	struct job *job;
	int rc = job_recv(jobs, &job);

	if (rc == 0) {
		job->self = NULL;
		free(job);
	}
	return rc;
}
LADE_TASK_VOID(does_a_job)

static int hands_a_job_out(bool by_select)
{
	struct job *job = malloc(sizeof(*job));
	int rc;

	if (!job)
		return -ENOMEM;
	job->self = job;
	rc = by_select ? lade_select(job_send_case(jobs, &job->self)) : job_send(jobs, job->self);
	if (rc < 0)
		free(job); /* otherwise it is the other's */
	return rc;
}
LADE_TASK_VOID(hands_a_job_out, (bool, by_select))

LADE_EXPLORE(gives_its_items_away, .setup = open_jobs, .teardown = close_jobs)
{
	int rc = lade_join(lade_do(hands_a_job_out, true), lade_do(does_a_job));

	return rc < 0 ? rc : lade_join(lade_do(hands_a_job_out, false), lade_do(does_a_job));
}

LADE_EXPLORE(eats_the_coin, .setup = fill_purse, .teardown = lose_purse)
{
	long coin;
	int rc = coin_recv(purse, &coin);

	return rc == 0 ? lade_sleep(lade_ms(1)) : rc;
}

/* Two tasks receive into one place. */
static long one_pocket;

static int take_into_the_pocket(void)
{
	return coin_recv(till, &one_pocket);
}
LADE_TASK_VOID(take_into_the_pocket)

static int pay_two(void)
{
	int rc = lade_sleep(lade_ms(1));

	for (long coin = 1; coin <= 2 && rc == 0; coin++)
		rc = coin_try_send(till, coin);
	return rc;
}
LADE_TASK_VOID(pay_two)

LADE_EXPLORE(has_one_pocket, .setup = fill_purse, .teardown = lose_purse)
{
	return lade_join(lade_do(take_into_the_pocket), lade_do(take_into_the_pocket),
			 lade_do(pay_two));
}

/* A channel of one's own make, which tells as lade's do. Its receive takes the item and waits then;
 * its send, cancelled, has put the item in. */
static struct homemade {
	struct lade_witness witness;
	long items[8];
	int len;
} homemade;

static void homemade_left(void *channel)
{
	struct homemade *h = channel;

	lade_witness_tell(&h->witness, ITEM_LEFT, h->items, (uint32_t)h->len);
}

static int make_homemade(struct lade_scope *world)
{
	(void)world;
	homemade = (struct homemade){ .len = 0 };
	homemade.witness = lade_witness_of(&homemade, sizeof(long), homemade_left);
	return 0;
}

static int homemade_send(long item)
{
	int rc;

	homemade.items[homemade.len++] = item;
	rc = lade_sleep(lade_us(1));
	if (rc == 0)
		lade_witness_tell(&homemade.witness, ITEM_SENT, &item, 1);
	return rc;
}

static int homemade_recv(long *ret)
{
	long item;
	int rc;

	if (!homemade.len)
		return -EAGAIN;
	item = homemade.items[--homemade.len];
	rc = lade_sleep(lade_us(1));
	if (rc < 0)
		return rc;
	lade_witness_tell(&homemade.witness, ITEM_RECEIVED, &item, 1);
	*ret = item;
	return 0;
}

LADE_EXPLORE(has_a_channel_that_loses, .setup = make_homemade)
{
	long item;

	homemade.items[homemade.len++] = 7;
	lade_witness_tell(&homemade.witness, ITEM_SENT, &homemade.items[homemade.len - 1], 1);
	return homemade_recv(&item);
}

LADE_EXPLORE(has_a_channel_that_doubles, .setup = make_homemade)
{
	return homemade_send(7);
}

/* More channels than are looked at, the last of which loses. */
LADE_EXPLORE(has_many_channels)
{
	int rc = 0;

	for (int i = 0; i < 1100 && rc == 0; i++) {
		struct coin_channel *one = NULL;

		rc = coin_channel_new(1, &one);
		if (rc == 0)
			rc = coin_try_send(one, i);
		coin_channel_free(one);
	}
	return rc < 0 ? rc : lade_sleep(lade_ms(1));
}

static int fill_many(struct lade_scope *world)
{
	int rc = coin_channel_new(ITEMS_MAX + 10, &purse);

	(void)world;
	if (rc == 0)
		rc = coin_channel_new(ITEMS_MAX + 10, &till);
	for (long coin = 0; coin < ITEMS_MAX && rc == 0; coin++)
		rc = coin_try_send(purse, coin);
	return rc;
}

LADE_EXPLORE(moves_many_coins, .setup = fill_many, .teardown = lose_purse)
{
	long coin;
	int rc = 0;

	while (rc == 0 && coin_try_recv(purse, &coin) == 0)
		rc = coin_try_send(till, coin);
	return rc < 0 ? rc : lade_sleep(lade_ms(1));
}

/* A compiler may leave out what is allocated and freed and not used. */
static void use(void *mem)
{
	__asm__ volatile("" : : "r"(mem) : "memory");
}

LADE_EXPLORE(leaks_memory)
{
	char *buffer = malloc(100);
	int rc;

	if (!buffer)
		return -ENOMEM;
	use(buffer);
	rc = lade_sleep(lade_ms(1));
	if (rc < 0)
		return rc;
	free(buffer);
	return 0;
}

static void give_back(void *mem)
{
	free(mem);
}

LADE_EXPLORE(frees_twice)
{
	char *buffer = malloc(100);
	int rc;

	if (!buffer)
		return -ENOMEM;
	use(buffer);
	lade_defer(give_back, buffer);
	rc = lade_sleep(lade_ms(1));
	use(&buffer);
	if (rc < 0)
		free(buffer);
	return rc;
}

LADE_EXPLORE(leaks_a_channel)
{
	struct coin_channel *coins = NULL;
	int rc = coin_channel_new(2, &coins);

	if (rc == 0)
		rc = lade_sleep(lade_ms(1));
	if (rc < 0)
		return rc;
	coin_channel_free(coins);
	return 0;
}

LADE_EXPLORE(always_leaks_memory)
{
	use(strdup("it is LeakSanitizer's to find"));
	return lade_sleep(lade_ms(1));
}

/* What was cancelled is remembered, in a list: a node, and a text that only the node points to. */
static struct note {
	struct note *next;
	char *text;
} *notes;

LADE_EXPLORE(takes_a_note_of_its_cancel)
{
	struct note *note;
	int rc = lade_sleep(lade_ms(1));

	if (rc == 0)
		return 0;
	note = calloc(1, sizeof(*note));
	if (note) {
		*note = (struct note){ .next = notes, .text = strdup("cancelled") };
		notes = note;
	}
	return rc;
}

/* It has outgrown its first place when it is lost. */
LADE_EXPLORE(leaks_what_has_grown)
{
	char *buffer = realloc(NULL, 10);
	int rc = lade_sleep(lade_ms(1));

	use(buffer);
	if (buffer)
		buffer = realloc(buffer, 10000);
	use(buffer);
	if (rc == 0)
		rc = lade_sleep(lade_ms(1));
	if (rc == 0)
		free(buffer);
	return rc;
}

static void *many_blocks[66000];

LADE_EXPLORE(allocates_much)
{
	for (size_t i = 0; i < sizeof(many_blocks) / sizeof(*many_blocks); i++)
		if (!many_blocks[i])
			many_blocks[i] = malloc(1);
	return lade_sleep(lade_ms(1));
}

/* A way down of its own for each number: two functions, eleven deep. */
static void allocate_on_way(int depth, unsigned way);

static __attribute__((noinline)) void go_left(int depth, unsigned way)
{
	allocate_on_way(depth, way);
	use(&depth);
}

static __attribute__((noinline)) void go_right(int depth, unsigned way)
{
	allocate_on_way(depth, way);
	use(&way);
}

static void allocate_on_way(int depth, unsigned way)
{
	if (depth == 0)
		many_blocks[way] = malloc(1);
	else if (way >> (depth - 1) & 1)
		go_left(depth - 1, way);
	else
		go_right(depth - 1, way);
	use(&depth);
}

LADE_EXPLORE(allocates_in_many_places)
{
	for (unsigned way = 0; way < 2048; way++)
		allocate_on_way(11, way);
	return lade_sleep(lade_ms(1));
}

/* The price, if there is one within 5 ms; when there is none it says that all is well. */
static int price_if_quick(long *ret)
{
	int rc = lade_within(lade_ms(5), lade_sleep(lade_ms(1)));

	if (rc == -ETIME)
		return 0;
	if (rc == 0)
		*ret = 7;
	return rc;
}
LADE_TASK(price_if_quick, long)

LADE_EXPLORE(leaves_its_value_unset)
{
	long price = 0;

	return lade_join(lade_do(price_if_quick, &price));
}

LADE_EXPLORE(leaves_a_named_value_unset)
{
	struct price_if_quick_task price = price_if_quick_task();

	return lade_join(&price);
}

LADE_EXPLORE(leaves_a_value_unset_on_a_core)
{
	long price = 0;

	return lade_join(lade_on(1, lade_do(price_if_quick, &price)));
}

LADE_EXPLORE(spawns_who_leaves_its_value_unset)
{
	int rc = 0;

	lade_scope(s, &rc)
		rc = lade_spawn(&s, price_if_quick_task());
	return rc;
}

/* Writes what its caller has put there, too. */
static int price_or_default(long *ret)
{
	int rc = lade_within(lade_ms(5), lade_sleep(lade_ms(1)));

	if (rc == 0 || rc == -ETIME)
		*ret = 7;
	return rc == -ETIME ? 0 : rc;
}
LADE_TASK(price_or_default, long)

LADE_EXPLORE(writes_what_was_there)
{
	long price = 7;
	int rc = lade_join(lade_do(price_or_default, &price));

	return rc < 0 ? rc : price == 7 ? 0 : -EBADMSG;
}

/* 1: a price; 0: there are no more. */
static int next_price(int *left, long *ret)
{
	int rc = lade_within(lade_ms(5), lade_sleep(lade_ms(1)));

	if (rc == -ETIME || (rc == 0 && *left == 0))
		return 0;
	if (rc < 0)
		return rc;
	*ret = --*left;
	return 1;
}
LADE_TASK(next_price, long, (int *, left))

LADE_EXPLORE(ends_without_a_value)
{
	int left = 2, rc;
	long price = -1;

	while ((rc = lade_join(lade_do(next_price, &left, &price))) == 0 && price >= 0)
		price = -1;
	return rc;
}

LADE_STREAM(number, long)

LADE_EXPLORE(stops_in_a_stream)
{
	static const long numbers[] = { 1, 2, 3 };
	static bool busy;
	struct number_stream *in = number_from_array(numbers, 3);
	int rc = busy ? -EBUSY : lade_sleep(lade_ms(1));
	long n;

	busy = true;
	while (rc >= 0 && (rc = number_next(in, &n)) > 0)
		;
	busy = rc < 0;
	number_stream_close(in);
	return rc;
}

/* Nobody listens in this world. */
static int refused(void)
{
	int fd, rc = lade_connect_to("127.0.0.1:9", &fd);

	if (rc == 0)
		lade_close(fd);
	return rc;
}

static int never_holds(void)
{
	return -EBADMSG;
}

LADE_EXPLORE(breaks_invariant_undisturbed, .invariant = never_holds)
{
	return lade_sleep(lade_ms(1));
}

LADE_EXPLORE(fails_undisturbed)
{
	return refused();
}

LADE_EXPLORE(fails_on_purpose, .expect = -ECONNREFUSED)
{
	return refused();
}

LADE_EXPLORE(fails_otherwise, .expect = -ENOENT)
{
	return refused();
}

LADE_EXPLORE(should_fail, .expect = -ENOENT)
{
	return lade_sleep(lade_ms(1));
}

LADE_EXPLORE(does_nothing)
{
	return 0;
}

/* Runs the explorer as a program; its output is in @said. */
static char said[65536];

static int explore(char *const *words)
{
	int out[2], status, argc = 0;
	size_t len = 0;
	ssize_t n;
	pid_t pid;

	fflush(stdout);
	CHECK_EQ(pipe(out), 0);
	pid = fork();
	if (pid == 0) {
		dup2(out[1], STDOUT_FILENO);
		dup2(out[1], STDERR_FILENO);
		close(out[0]);
		close(out[1]);
		while (words[argc])
			argc++;
		optind = 1;
		status = lade_explore_main(argc, (char **)(uintptr_t)words);
		fflush(stdout);
		_exit(status);
	}
	close(out[1]);
	while (len < sizeof(said) - 1 && (n = read(out[0], said + len, sizeof(said) - 1 - len)) > 0)
		len += (size_t)n;
	said[len] = 0;
	close(out[0]);
	waitpid(pid, &status, 0);
	CHECK(WIFEXITED(status));
	return WEXITSTATUS(status);
}

#define EXPLORE(...) explore((char *[]){ (char *)(uintptr_t)"test", __VA_ARGS__, NULL })
#define WORD(text) ((char *)(uintptr_t)(text))

/* Whether the output has it; shows the output if not. */
static bool says(const char *text)
{
	if (strstr(said, text))
		return true;
	printf("# expected '%s' in:\n# %.3000s\n", text, said);
	return false;
}

/* How often the output has it. */
static int times_said(const char *text)
{
	int n = 0;

	for (const char *at = said; (at = strstr(at, text)); at++)
		n++;
	return n;
}

/* The line that replays the latest finding of the output. */
static void set_replay(void)
{
	const char *at = strstr(said, "LADE_REPLAY='");
	char line[128] = "";

	CHECK(at);
	if (at)
		sscanf(at, "LADE_REPLAY='%127[^']", line);
	setenv("LADE_REPLAY", line, 1);
}

static void code_that_loses_nothing_has_no_finding(void)
{
	CHECK_EQ(EXPLORE(WORD("clean")), 0);
	CHECK(says(" 0 findings, coverage 100 %"));
	CHECK(!strstr(said, "FINDING"));
}

static void what_was_paid_for_and_is_paid_again_is_lost_work(void)
{
	CHECK_EQ(EXPLORE(WORD("loses")), 1);
	CHECK(says("LOST WORK"));
	CHECK(says("paid at "));
	CHECK(says("in pay at "));
	CHECK(says("lost at "));
	CHECK(says("LADE_REPLAY='loses:p"));
}

static void what_a_task_on_another_core_paid_for_is_lost_work_too(void)
{
	CHECK_EQ(EXPLORE(WORD("loses_on_a_core")), 1);
	CHECK(says("LOST WORK"));
	CHECK(says("in pay at "));
}

static void who_never_remembers_is_clean(void)
{
	CHECK_EQ(EXPLORE(WORD("never_remembers")), 0);
}

static void what_is_done_twice_is_doubled(void)
{
	CHECK_EQ(EXPLORE(WORD("doubles")), 1);
	CHECK(says("DOUBLED"));
	CHECK(says("no-such-folder/ledger"));
}

static void who_ends_well_after_a_cancel_swallows_it(void)
{
	CHECK_EQ(EXPLORE(WORD("swallows")), 1);
	CHECK(says("SWALLOWED CANCEL"));
	CHECK(says("ends with 0 as if nothing had happened"));
}

static void who_goes_on_after_a_cancel_swallows_it(void)
{
	CHECK_EQ(EXPLORE(WORD("goes_on")), 1);
	CHECK(says("SWALLOWED CANCEL"));
	CHECK(says("makes another suspending call"));
}

static void who_says_that_it_handles_its_cancel_does_not_swallow_it(void)
{
	CHECK_EQ(EXPLORE(WORD("handles")), 0);
}

static void a_descriptor_that_stays_open_is_a_leak(void)
{
	CHECK_EQ(EXPLORE(WORD("leaks")), 1);
	CHECK(says("LEAK"));
}

static void a_permit_that_is_not_given_back_is_a_leak(void)
{
	CHECK_EQ(EXPLORE(WORD("keeps_a_permit")), 1);
	CHECK(says("LEAK"));
	CHECK(says("1 permits were taken and not given back"));
	CHECK_EQ(EXPLORE(WORD("keeps_a_permit_of_its_own")), 0);
}

static void an_item_that_is_taken_and_not_put_in_again_is_lost(void)
{
	CHECK_EQ(EXPLORE(WORD("drops_a_coin")), 1);
	CHECK(says("LOST ITEM"));
	CHECK(says("undisturbed, it is put into one again"));
	CHECK(says("coin_recv, in body"));
	CHECK_EQ(EXPLORE(WORD("puts_the_coin_back")), 0);
	CHECK_EQ(EXPLORE(WORD("eats_the_coin")), 0);
}

static void the_memory_of_an_item_may_be_the_receivers_before_the_send_returns(void)
{
	CHECK_EQ(EXPLORE(WORD("gives_its_items_away")), 0);
}

static void an_item_that_a_channel_loses_or_doubles_is_found(void)
{
	CHECK_EQ(EXPLORE(WORD("has_a_channel_that_loses")), 1);
	CHECK(says("LOST ITEM"));
	CHECK(says("2 items were sent, 1 were received and 0 were left in it"));
	CHECK_EQ(EXPLORE(WORD("has_a_channel_that_doubles")), 1);
	CHECK(says("DOUBLED ITEM"));
	CHECK(says("1 items were sent, 0 were received and 2 were left in it"));
}

static void two_who_receive_into_one_place_lose_an_item_undisturbed(void)
{
	CHECK_EQ(EXPLORE(WORD("has_one_pocket")), 1);
	CHECK(says("but not the same ones"));
	CHECK(says("although nothing was cancelled"));
}

static void of_more_channels_and_items_than_the_limits_the_first_are_looked_at(void)
{
	CHECK_EQ(EXPLORE(WORD("has_many_channels"), WORD("--mode"), WORD("before")), 0);
	CHECK_EQ(EXPLORE(WORD("moves_many_coins"), WORD("--mode"), WORD("before")), 0);
	CHECK(says("only the first 1024 items"));
}

static void memory_that_nothing_points_to_any_more_is_a_leak(void)
{
	CHECK_EQ(EXPLORE(WORD("leaks_memory")), 1);
	CHECK(says("LEAK"));
	CHECK(says("1 block of 100 bytes"));
	CHECK(says("in leaks_memory at "));
	CHECK_EQ(EXPLORE(WORD("leaks_a_channel")), 1);
	CHECK(says("memory is not freed"));
	CHECK(says("in leaks_a_channel at "));
	CHECK_EQ(EXPLORE(WORD("leaks_what_has_grown")), 1);
	CHECK(says("1 block of 10000 bytes"));
}

static void memory_that_is_kept_or_lost_undisturbed_too_is_no_finding(void)
{
	CHECK_EQ(EXPLORE(WORD("takes_a_note_of_its_cancel")), 0);
	CHECK_EQ(EXPLORE(WORD("always_leaks_memory")), 0);
}

#ifdef __clang__
#define CLANG_ASAN __has_feature(address_sanitizer)
#else
#define CLANG_ASAN false
#endif

static void of_more_memory_than_the_limits_nothing_is_said(void)
{
	CHECK_EQ(EXPLORE(WORD("allocates_much"), WORD("--mode"), WORD("before")), 0);
	CHECK(says("it allocates too much memory"));
	CHECK_EQ(EXPLORE(WORD("allocates_in_many_places"), WORD("--mode"), WORD("before")), 0);
	/* With clang's AddressSanitizer fewer of these stacks are told apart: no limit is met. */
	CHECK(CLANG_ASAN || says("it allocates too much memory"));
}

static void what_a_cleanup_gives_back_a_second_time_is_found(void)
{
	CHECK_EQ(EXPLORE(WORD("gives_a_permit_back_twice")), 1);
	CHECK(says("RELEASED TWICE"));
	CHECK(says("permits were given back that were not taken"));
	CHECK_EQ(EXPLORE(WORD("closes_twice")), 1);
	CHECK(says("RELEASED TWICE"));
	CHECK(says("a descriptor is closed that is not open"));
	CHECK_EQ(EXPLORE(WORD("frees_twice"), WORD("--mode"), WORD("parked")), 1);
	CHECK(says("CRASH"));
}

static void a_task_that_waits_for_ever_is_found_with_what_it_waits_for(void)
{
	CHECK_EQ(EXPLORE(WORD("hangs"), WORD("--mode"), WORD("parked")), 1);
	CHECK(says("CRASH OR HANG"));
	CHECK(says("a sign"));
}

static void a_task_that_ends_well_and_leaves_its_value_unset_is_found(void)
{
	CHECK_EQ(EXPLORE(WORD("leaves_its_value_unset")), 1);
	CHECK(says("UNSET"));
	CHECK(says("task price_if_quick, started at "));
	CHECK(says("ends with 0 and has not written its value"));
	CHECK(says(" 1 findings, coverage 100 %"));
	set_replay();
	CHECK_EQ(EXPLORE(WORD("leaves_its_value_unset")), 1);
	CHECK(says("UNSET"));
	unsetenv("LADE_REPLAY");
	CHECK_EQ(EXPLORE(WORD("leaves_a_named_value_unset")), 1);
	CHECK(says("UNSET"));
	CHECK_EQ(EXPLORE(WORD("leaves_a_value_unset_on_a_core")), 1);
	CHECK(says("UNSET"));
	CHECK_EQ(EXPLORE(WORD("spawns_who_leaves_its_value_unset")), 1);
	CHECK(says("UNSET"));
}

static void a_value_that_is_written_as_it_was_or_never_with_that_status_is_no_finding(void)
{
	CHECK_EQ(EXPLORE(WORD("writes_what_was_there")), 0);
	CHECK_EQ(EXPLORE(WORD("ends_without_a_value")), 0);
}

static void a_second_run_that_ends_otherwise_is_a_change(void)
{
	CHECK_EQ(EXPLORE(WORD("changes")), 1);
	CHECK(says("CHANGED"));
	CHECK(says("undisturbed 0 (success)"));
}

static void a_crash_is_found_and_named(void)
{
	CHECK_EQ(EXPLORE(WORD("crashes")), 1);
	CHECK(says("the process died: Aborted"));
}

static void an_invariant_that_breaks_is_found(void)
{
	CHECK_EQ(EXPLORE(WORD("breaks_invariant")), 1);
	CHECK(says("INVARIANT BROKEN"));
}

static void a_finding_shows_what_the_other_tasks_were_doing(void)
{
	CHECK_EQ(EXPLORE(WORD("breaks_it_among_others"), WORD("--mode"), WORD("parked")), 1);
	/* clang makes one function of it and what calls it. */
	CHECK(says("in unbalances"));
	CHECK(says("  the other tasks then:\n"));
	CHECK(says(" waits for sleep at "));
	CHECK(says("in rests_below at "));
	CHECK(says("in rests at "));
	CHECK(says("    and 5 more\n"));
}

static void the_places_in_a_finding_are_those_of_the_author(void)
{
	CHECK_EQ(EXPLORE(WORD("stops_in_a_stream"), WORD("--mode"), WORD("before"),
			 WORD("--point"), WORD("1")), 1);
	CHECK(says("  cancelled at    'a stream of an array', in body: before the call\n"));
	CHECK(says(" calls for 'a stream of an array'\n"));
	CHECK(says("-- cancel: before at 'a stream of an array'\n"));
	CHECK(says("  by              a cancel of the whole body\n"));
#ifdef __x86_64__ /* elsewhere the walk ends in the library's frames */
	CHECK(says("in stops_in_a_stream at "));
#endif
	CHECK(!strstr(said, "discriminator"));
	CHECK(!strstr(said, "/build/../"));
	CHECK(says(program_invocation_name));
}

static void findings_that_are_left_out_and_the_sum_are_told_once(void)
{
	const char *sum;

	CHECK_EQ(EXPLORE(WORD("loses")), 1);
	CHECK(says("more findings like these (--verbose shows them)"));
	CHECK_EQ(times_said("coverage 100 %"), 1);
	CHECK_EQ(EXPLORE(WORD("loses"), WORD("--verbose")), 1);
	CHECK(!strstr(said, "more findings like these"));
	sum = strstr(said, "\n1 scenarios, ");
	CHECK(sum && strstr(sum, " findings, coverage 100 %\n"));
	CHECK_EQ(EXPLORE(WORD("clean"), WORD("never_remembers")), 0);
	CHECK(says("clean: 2 points, "));
	CHECK(says("\n2 scenarios, "));
}

static void what_ends_slowly_is_found(void)
{
	CHECK_EQ(EXPLORE(WORD("ends_slowly")), 1);
	CHECK(says("SLOW TO END"));
	CHECK(says("waited long at  "));
	CHECK(says("in ends_slowly at "));
	CHECK_EQ(EXPLORE(WORD("ends_slowly_in_a_long_life"), WORD("--mode"), WORD("parked")), 1);
	CHECK(says("SLOW TO END\n  30."));
}

static void a_trial_that_never_ends_is_stopped(void)
{
	CHECK_EQ(EXPLORE(WORD("never_ends"), WORD("--mode"), WORD("parked")), 1);
	CHECK(says("NEVER ENDS"));
}

static void all_scopes_are_cancelled_and_all_of_it_is_covered(void)
{
	CHECK_EQ(EXPLORE(WORD("has_all_scopes")), 0);
	CHECK(says("coverage 100 %"));
}

static void every_allocation_of_the_body_fails_once(void)
{
	CHECK_EQ(EXPLORE(WORD("needs_memory"), WORD("--mode"), WORD("no-memory")), 0);
	CHECK(says("1 scenarios, 1 points, 1 runs"));
}

static void what_fails_from_now_on_fails_for_one_task_and_the_others_go_on(void)
{
	CHECK_EQ(EXPLORE(WORD("two_pay"), WORD("--mode"), WORD("fault-on")), 0);
	CHECK(says(" 0 findings"));
}

static void what_a_shield_loses_when_its_budget_is_over_is_no_finding(void)
{
	CHECK_EQ(EXPLORE(WORD("shields_what_it_pays")), 0);
	CHECK(says(" 0 findings, coverage 100 %"));
}

static void a_cleanup_whose_budget_is_over_swallows_nothing(void)
{
	CHECK_EQ(EXPLORE(WORD("waits_in_its_cleanup")), 0);
	CHECK(says(" 0 findings, coverage 100 %"));
}

static void a_finding_says_which_call_was_told_of_the_cancel(void)
{
	CHECK_EQ(EXPLORE(WORD("changes"), WORD("--mode"), WORD("parked")), 1);
	CHECK(says("told of it at   "));
}

static void what_a_loser_completes_although_it_was_cancelled_is_there(void)
{
	CHECK_EQ(EXPLORE(WORD("leaks_what_a_loser_opens")), 1);
	CHECK(says("LEAK"));
	CHECK(says("(too-late)"));
}

static void a_descriptor_that_stays_open_undisturbed_is_a_leak_too(void)
{
	CHECK_EQ(EXPLORE(WORD("always_leaks")), 1);
	CHECK(says("although nothing was cancelled"));
	CHECK(says(" 1 findings, coverage 100 %"));
}

static void a_finding_is_told_once_of_each_place(void)
{
	CHECK_EQ(EXPLORE(WORD("changes_in_two_places")), 1);
	CHECK(times_said("FINDING in changes_in_two_places") > 4);
	CHECK_EQ(EXPLORE(WORD("changes_in_two_places"), WORD("--mode"), WORD("parked")), 1);
	CHECK_EQ(times_said("FINDING in changes_in_two_places"), 3);
	CHECK_EQ(EXPLORE(WORD("changes_in_two_places"), WORD("--mode"), WORD("fault")), 1);
	CHECK(!strstr(said, "it said:"));
	CHECK_EQ(EXPLORE(WORD("changes_in_two_places"), WORD("--mode"), WORD("no-memory")), 1);
	CHECK_EQ(times_said("FINDING in changes_in_two_places"), 1);
}

static void two_runs_that_differ_cannot_be_explored(void)
{
	CHECK_EQ(EXPLORE(WORD("is_random")), 2);
	CHECK(says("two runs with seed 1 differ"));
	CHECK(says("they part at event"));
}

static void a_world_that_cannot_be_made_is_said(void)
{
	CHECK_EQ(EXPLORE(WORD("has_no_world")), 2);
	CHECK(says("Network is down"));
}

static void an_invariant_that_breaks_undisturbed_is_no_test(void)
{
	CHECK_EQ(EXPLORE(WORD("breaks_invariant_undisturbed")), 2);
	CHECK(says("undisturbed .invariant gives -74 (Bad message) already"));
}

static void a_body_that_fails_undisturbed_is_not_explored_unless_it_is_meant(void)
{
	CHECK_EQ(EXPLORE(WORD("fails_undisturbed")), 2);
	CHECK(says("undisturbed the body ends with -111 (Connection refused): what is explored is "
		   "a failure"));
	CHECK(!strstr(said, "100 %"));
	CHECK_EQ(EXPLORE(WORD("fails_on_purpose")), 0);
	CHECK(says(" 0 findings, coverage 100 %"));
	CHECK_EQ(EXPLORE(WORD("fails_otherwise")), 2);
	CHECK(says("ends with -111, not with -2 (No such file or directory) as .expect says"));
	CHECK_EQ(EXPLORE(WORD("should_fail")), 2);
	CHECK(says("ends with 0, not with -2 "));
}

static void a_body_that_never_suspends_is_not_explored(void)
{
	CHECK_EQ(EXPLORE(WORD("does_nothing")), 2);
	CHECK(says("0 points: the body never suspends"));
	CHECK(!strstr(said, "100 %"));
}

static void a_point_that_is_not_there_is_refused(void)
{
	CHECK_EQ(EXPLORE(WORD("clean"), WORD("--point"), WORD("99")), 2);
	CHECK(says("clean: there is no point 99: it has 2, from 0 to 1"));
	CHECK_EQ(EXPLORE(WORD("clean"), WORD("--point"), WORD("2")), 2);
	CHECK_EQ(EXPLORE(WORD("clean"), WORD("--point"), WORD("1")), 0);
}

static void of_more_points_than_the_limit_only_the_first_are_explored_and_that_is_said(void)
{
	CHECK_EQ(EXPLORE(WORD("has_many_points"), WORD("--mode"), WORD("before")), 0);
	CHECK(says("only the first 4096 points are explored"));
}

static void of_more_effects_than_the_limit_only_the_first_are_compared_and_that_is_said(void)
{
	CHECK_EQ(EXPLORE(WORD("does_much"), WORD("--mode"), WORD("before")), 0);
	CHECK(says("only the first 1024 things that are done outside are compared"));
}

static void of_more_tasks_than_the_limit_the_calls_are_still_cancelled(void)
{
	CHECK_EQ(EXPLORE(WORD("has_many_tasks"), WORD("--mode"), WORD("before")), 0);
	CHECK(says(" 0 findings"));
}

static void of_very_many_scopes_the_outermost_are_left_out(void)
{
	CHECK_EQ(EXPLORE(WORD("is_deep"), WORD("--mode"), WORD("parked"), WORD("--pairs"),
			 WORD("0")), 0);
	CHECK(says("1 scenarios, 1 points, 15 runs"));
}

static void a_replay_finds_the_same_again(void)
{
	char line[128] = "";
	const char *at;

	CHECK_EQ(EXPLORE(WORD("loses")), 1);
	at = strstr(said, "LADE_REPLAY='");
	if (at)
		sscanf(at, "LADE_REPLAY='%127[^']", line);
	setenv("LADE_REPLAY", line, 1);
	CHECK_EQ(EXPLORE(WORD("loses")), 1);
	CHECK(says("LOST WORK"));
	setenv("LADE_REPLAY", "loses:p9999:parked:s0:seed1", 1);
	CHECK_EQ(EXPLORE(WORD("loses")), 2);
	CHECK(says("there is no such injection"));
	setenv("LADE_REPLAY", "loses", 1);
	CHECK_EQ(EXPLORE(WORD("loses")), 2);
	unsetenv("LADE_REPLAY");
}

static void too_little_coverage_fails_where_it_is_asked_for(void)
{
	setenv("LADE_COVERAGE_MIN", "100", 1);
	CHECK_EQ(EXPLORE(WORD("clean")), 0);
	CHECK_EQ(EXPLORE(WORD("clean"), WORD("--mode"), WORD("before")), 1);
	unsetenv("LADE_COVERAGE_MIN");
}

static void a_budget_bounds_the_runs(void)
{
	CHECK_EQ(EXPLORE(WORD("clean"), WORD("--budget"), WORD("2")), 0);
	CHECK(says(" 2 runs"));
}

static void what_only_two_cancels_break_is_found_by_pairs_and_replayed(void)
{
	CHECK_EQ(EXPLORE(WORD("fails_if_cancelled_twice"), WORD("--pairs"), WORD("0")), 0);
	CHECK_EQ(EXPLORE(WORD("fails_if_cancelled_twice"), WORD("--pairs"), WORD("500")), 1);
	CHECK(says("CHANGED"));
	CHECK(says("(deadline)"));
	CHECK(says("and again at "));
	CHECK(says(":then"));
	set_replay();
	CHECK_EQ(EXPLORE(WORD("fails_if_cancelled_twice")), 1);
	CHECK(says("and again at "));
	unsetenv("LADE_REPLAY");
}

static void pairs_are_drawn_from_the_seed(void)
{
	static char first[sizeof(said)];

	CHECK_EQ(EXPLORE(WORD("fails_if_cancelled_twice"), WORD("--pairs"), WORD("60")), 1);
	strcpy(first, said);
	CHECK_EQ(EXPLORE(WORD("fails_if_cancelled_twice"), WORD("--pairs"), WORD("60")), 1);
	CHECK_STR(said, first);
}

static void in_a_loop_a_state_that_is_new_is_explored(void)
{
	CHECK_EQ(EXPLORE(WORD("fails_in_the_middle"), WORD("--pairs"), WORD("0")), 1);
	CHECK(says("CHANGED"));
	CHECK(times_said("(deadline)") >= 1);
}

static void several_jobs_find_the_same(void)
{
	CHECK_EQ(EXPLORE(WORD("loses"), WORD("--jobs"), WORD("1000")), 1);
	CHECK(says("LOST WORK"));
}

static void wrong_arguments_say_what_is_expected(void)
{
	CHECK_EQ(EXPLORE(WORD("--mode"), WORD("never")), 2);
	CHECK(says("no-memory is expected, not 'never'"));
	CHECK_EQ(EXPLORE(WORD("--jobs"), WORD("x")), 2);
	CHECK(says("a number of at least 1 is expected"));
	CHECK_EQ(EXPLORE(WORD("no-such-scenario")), 2);
	CHECK(says("no such scenario"));
	CHECK_EQ(EXPLORE(WORD("--help")), 0);
	CHECK(says("Usage: "));
	CHECK_EQ(EXPLORE(WORD("--list")), 0);
	CHECK(says("clean\t"));
}

int main(void)
{
	TAP(code_that_loses_nothing_has_no_finding);
	TAP(what_was_paid_for_and_is_paid_again_is_lost_work);
	TAP(what_a_task_on_another_core_paid_for_is_lost_work_too);
	TAP(who_never_remembers_is_clean);
	TAP(what_is_done_twice_is_doubled);
	TAP(who_ends_well_after_a_cancel_swallows_it);
	TAP(who_goes_on_after_a_cancel_swallows_it);
	TAP(who_says_that_it_handles_its_cancel_does_not_swallow_it);
	TAP(a_descriptor_that_stays_open_is_a_leak);
	TAP(a_permit_that_is_not_given_back_is_a_leak);
	TAP(an_item_that_is_taken_and_not_put_in_again_is_lost);
	TAP(the_memory_of_an_item_may_be_the_receivers_before_the_send_returns);
	TAP(an_item_that_a_channel_loses_or_doubles_is_found);
	TAP(two_who_receive_into_one_place_lose_an_item_undisturbed);
	TAP(of_more_channels_and_items_than_the_limits_the_first_are_looked_at);
	TAP(memory_that_nothing_points_to_any_more_is_a_leak);
	TAP(memory_that_is_kept_or_lost_undisturbed_too_is_no_finding);
	TAP(of_more_memory_than_the_limits_nothing_is_said);
	TAP(what_a_cleanup_gives_back_a_second_time_is_found);
	TAP(a_task_that_waits_for_ever_is_found_with_what_it_waits_for);
	TAP(a_task_that_ends_well_and_leaves_its_value_unset_is_found);
	TAP(a_value_that_is_written_as_it_was_or_never_with_that_status_is_no_finding);
	TAP(a_second_run_that_ends_otherwise_is_a_change);
	TAP(a_crash_is_found_and_named);
	TAP(an_invariant_that_breaks_is_found);
	TAP(a_finding_shows_what_the_other_tasks_were_doing);
	TAP(the_places_in_a_finding_are_those_of_the_author);
	TAP(findings_that_are_left_out_and_the_sum_are_told_once);
	TAP(what_ends_slowly_is_found);
	TAP(a_trial_that_never_ends_is_stopped);
	TAP(all_scopes_are_cancelled_and_all_of_it_is_covered);
	TAP(every_allocation_of_the_body_fails_once);
	TAP(what_fails_from_now_on_fails_for_one_task_and_the_others_go_on);
	TAP(what_a_shield_loses_when_its_budget_is_over_is_no_finding);
	TAP(a_cleanup_whose_budget_is_over_swallows_nothing);
	TAP(a_finding_says_which_call_was_told_of_the_cancel);
	TAP(what_a_loser_completes_although_it_was_cancelled_is_there);
	TAP(a_descriptor_that_stays_open_undisturbed_is_a_leak_too);
	TAP(a_finding_is_told_once_of_each_place);
	TAP(what_only_two_cancels_break_is_found_by_pairs_and_replayed);
	TAP(pairs_are_drawn_from_the_seed);
	TAP(in_a_loop_a_state_that_is_new_is_explored);
	TAP(two_runs_that_differ_cannot_be_explored);
	TAP(a_world_that_cannot_be_made_is_said);
	TAP(an_invariant_that_breaks_undisturbed_is_no_test);
	TAP(a_body_that_fails_undisturbed_is_not_explored_unless_it_is_meant);
	TAP(a_body_that_never_suspends_is_not_explored);
	TAP(a_point_that_is_not_there_is_refused);
	TAP(of_more_points_than_the_limit_only_the_first_are_explored_and_that_is_said);
	TAP(of_more_effects_than_the_limit_only_the_first_are_compared_and_that_is_said);
	TAP(of_more_tasks_than_the_limit_the_calls_are_still_cancelled);
	TAP(of_very_many_scopes_the_outermost_are_left_out);
	TAP(a_replay_finds_the_same_again);
	TAP(too_little_coverage_fails_where_it_is_asked_for);
	TAP(a_budget_bounds_the_runs);
	TAP(several_jobs_find_the_same);
	TAP(wrong_arguments_say_what_is_expected);
	return tap_done();
}
