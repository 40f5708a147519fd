/* SPDX-License-Identifier: MIT */
/* task_test.c - from a lazy struct to an end: starting, spawning, waiting, values, limits. */

#include "run.h"

/* Every shape of LADE_TASK: none to eight parameters, with and without a result. */

typedef int (*operation)(int, int);

static int shape0(int *ret)
{
	*ret = 100;
	return 0;
}
static int shape1(int a, int *ret)
{
	*ret = a;
	return 0;
}
static int shape2(int a, const char *b, int *ret)
{
	*ret = a + b[0];
	return 0;
}
static int shape3(int a, operation f, short c, int *ret)
{
	*ret = f(a, c);
	return 0;
}
struct pair {
	int x, y;
};
static int shape4(struct pair a, int b, int c, int d, struct pair *ret)
{
	*ret = (struct pair){ a.x + b, a.y + c + d };
	return 0;
}
static int shape8(char a, short b, int c, long d, long long e, float f, double g, void *h,
		  double *ret)
{
	*ret = a + b + c + (double)d + (double)e + (double)f + g + (h ? 1 : 0);
	return 0;
}
static int void0(void)
{
	write_down("void0");
	return 0;
}
static int void8(int a, int b, int c, int d, int e, int f, int g, int h)
{
	return a + b + c + d + e + f + g + h;
}
LADE_TASK(shape0, int)
LADE_TASK(shape1, int, (int, a))
LADE_TASK(shape2, int, (int, a), (const char *, b))
LADE_TASK(shape3, int, (int, a), (operation, f), (short, c))
LADE_TASK(shape4, struct pair, (struct pair, a), (int, b), (int, c), (int, d))
LADE_TASK(shape8, double, (char, a), (short, b), (int, c), (long, d), (long long, e), (float, f),
	  (double, g), (void *, h))
LADE_TASK_VOID(void0)
LADE_TASK_VOID(void8, (int, a), (int, b), (int, c), (int, d), (int, e), (int, f), (int, g),
	       (int, h))

static int plus(int a, int b)
{
	return a + b;
}

IN_TASK(a_function_of_none_to_eight_parameters_becomes_a_task)
{
	struct shape0_task t0 = shape0_task();
	struct shape1_task t1 = shape1_task(7);
	struct shape2_task t2 = shape2_task(1, "A");
	struct shape3_task t3 = shape3_task(2, plus, 3);
	struct shape4_task t4 = shape4_task((struct pair){ 1, 2 }, 3, 4, 5);
	struct shape8_task t8 = shape8_task(1, 2, 3, 4, 5, 6, 7, &t0);
	struct void0_task v0 = void0_task();
	struct void8_task v8 = void8_task(1, 2, 3, 4, 5, 6, 7, 8);
	int rc = 0;

	lade_scope(s, &rc) {
		lade_start(&s, &t0);
		lade_start(&s, &t1);
		lade_start(&s, &t2);
		lade_start(&s, &t3);
		lade_start(&s, &t4);
		lade_start(&s, &t8);
		lade_start(&s, &v0);
		lade_start(&s, &v8);
	}
	CHECK_EQ(rc, 0);
	CHECK_EQ(lade_value(&t0), 100);
	CHECK_EQ(lade_value(&t1), 7);
	CHECK_EQ(lade_value(&t2), 66);
	CHECK_EQ(lade_value(&t3), 5);
	CHECK_EQ(lade_value(&t4).x, 4);
	CHECK_EQ(lade_value(&t4).y, 11);
	CHECK_EQ((int)lade_value(&t8), 29);
	CHECK_EQ(lade_status(&v8), 36);
	CHECK_STR(slate, "void0");
}

static int fails_after_writing(int64_t ms, int *ret)
{
	int rc = lade_sleep(lade_ms(ms));

	*ret = 1;
	return rc < 0 ? rc : -EIO;
}
LADE_TASK(fails_after_writing, int, (int64_t, ms))

IN_TASK(do_writes_straight_into_ret)
{
	long good = 1, cut = 3;
	int bad = 0, rc = 0;
	struct value_after_do *a = lade_do(value_after, 10, 42, &good);
	struct value_after_do *b = lade_do(value_after, 1000, 43, &cut);
	struct fails_after_writing_do *c = lade_do(fails_after_writing, 10, &bad);

	lade_scope(s, &rc, .policy = LADE_ALL) {
		lade_start(&s, a);
		lade_start(&s, b);
		lade_start(&s, c);
		CHECK_EQ(lade_sleep(lade_ms(20)), 0);
		lade_cancel(&s, lade_ns(0));
	}
	CHECK_EQ(good, 42);
	CHECK_EQ(bad, 1);
	CHECK_EQ(cut, 3);
}

IN_TASK(a_constructed_task_runs_nothing)
{
	struct tell_after_task a = tell_after_task("a", 0, 0);

	CHECK_EQ(lade_sleep(lade_ms(10)), 0);
	CHECK_STR(slate, "");
	CHECK_EQ(lade_status(&a), -EINPROGRESS);
}

IN_TASK(a_lazy_task_may_be_copied_and_each_copy_started)
{
	struct value_after_task a = value_after_task(5, 7), b = a, c = a;
	int rc = 0;

	lade_scope(s, &rc) {
		lade_start(&s, &b);
		lade_start(&s, &c);
	}
	CHECK_EQ(lade_value(&b) + lade_value(&c), 14);
	CHECK_EQ(lade_status(&a), -EINPROGRESS);
}

IN_TASK(a_started_task_runs_when_the_starter_suspends_and_not_before)
{
	struct void0_task a = void0_task();
	int rc = 0;

	lade_scope(s, &rc) {
		lade_start(&s, &a);
		CHECK_STR(slate, "");
		CHECK_EQ(lade_status(&a), -EINPROGRESS);
		CHECK_EQ(lade_yield(), 0);
		CHECK_STR(slate, "void0");
		CHECK_EQ(lade_status(&a), 0);
	}
}

static int names_itself(void)
{
	write_down("%s", lade_task_name());
	return 0;
}
LADE_TASK_VOID(names_itself)

IN_TASK(a_task_knows_its_name)
{
	struct names_itself_task a = names_itself_task();
	int rc = 0;

	lade_scope(s, &rc)
		lade_start(&s, &a);
	CHECK_STR(slate, "names_itself");
	CHECK_STR(lade_task_name(), "run_root");
}

static void outside_any_task_there_is_no_name(void)
{
	CHECK_STR(lade_task_name(), "");
	CHECK(!lade_stopping());
	CHECK(!lade_cancelled());
}

/* Waiting */

static int waits_for(const char *name, struct value_after_task *task)
{
	int rc = lade_wait(task);

	write_down("%s:%d:%d", name, rc, lade_status(task));
	return rc;
}
LADE_TASK_VOID(waits_for, (const char *, name), (struct value_after_task *, task))

IN_TASK(a_task_is_awaited_by_many_tasks_and_again)
{
	struct value_after_task a = value_after_task(10, 5);
	struct waits_for_task w[20];
	int rc = 0;

	lade_scope(s, &rc) {
		lade_start(&s, &a);
		for (int i = 0; i < 20; i++) {
			w[i] = waits_for_task("w", &a);
			lade_start(&s, &w[i]);
		}
		CHECK_EQ(lade_wait(&a), 0);
		CHECK_EQ(lade_wait(&a), 0);
	}
	CHECK_EQ(rc, 0);
	CHECK_EQ(now_ms(), 10);
	for (int i = 0; i < 20; i++)
		CHECK_EQ(lade_status(&w[i]), 0);
	for (int i = 0; i < 3; i++) {
		CHECK_EQ(lade_wait(&a), 0);
		CHECK_EQ(lade_value(&a), 5);
	}
}

IN_TASK(wait_returns_0_whatever_the_status)
{
	struct end_after_task a = end_after_task(10, -EIO), b = end_after_task(1000, 0);
	int rc = 0;

	lade_scope(s, &rc, .policy = LADE_ALL) {
		lade_start(&s, &a);
		lade_start(&s, &b);
		CHECK_EQ(lade_wait(&a), 0);
		CHECK_EQ(lade_status(&a), -EIO);
		lade_cancel(&b, lade_ns(0));
		CHECK_EQ(lade_wait(&b), 0);
		CHECK_EQ(lade_status(&b), -ECANCELED);
	}
	CHECK_EQ(now_ms(), 10);
}

IN_TASK(a_cancelled_wait_returns_ecanceled_and_leaves_the_task_alone)
{
	struct value_after_task a = value_after_task(50, 5);
	struct waits_for_task w1 = waits_for_task("w1", &a), w2 = waits_for_task("w2", &a);
	int rc = 0;

	lade_scope(s, &rc, .policy = LADE_ALL) {
		lade_start(&s, &a);
		lade_start(&s, &w1);
		lade_start(&s, &w2);
		CHECK_EQ(lade_within(lade_ms(10), lade_wait(&a)), -ETIME);
		lade_cancel(&w1, lade_ns(0));
		CHECK_EQ(lade_wait(&w1), 0);
		CHECK_EQ(now_ms(), 10);
	}
	CHECK_STR(slate, "w1:-125:-115 w2:0:0");
	CHECK_EQ(lade_value(&a), 5);
	CHECK_EQ(now_ms(), 50);
}

IN_TASK(a_deadline_that_ties_with_the_end_gives_the_end)
{
	struct value_after_task a = value_after_task(10, 5);
	int rc = 0;

	lade_scope(s, &rc) {
		lade_start(&s, &a);
		CHECK_EQ(lade_yield(), 0);
		CHECK_EQ(lade_within(lade_ms(10), lade_sleep(lade_ms(10))), 0);
		CHECK_EQ(lade_wait(&a), 0);
	}
	CHECK_EQ(rc, 0);
}

IN_TASK(a_waiter_cancelled_before_it_waits_gets_ecanceled)
{
	struct value_after_task a = value_after_task(10, 5);
	int rc = 0, inner_rc = 0;

	lade_scope(s, &rc) {
		lade_start(&s, &a);
		lade_scope(t, &inner_rc) {
			lade_cancel(&t, lade_ns(0));
			CHECK_EQ(lade_wait(&a), -ECANCELED);
		}
		CHECK_EQ(lade_wait(&a), 0);
	}
	CHECK_EQ(lade_value(&a), 5);
}

IN_TASK(a_task_may_be_copied_after_it_has_ended)
{
	struct value_after_task a = value_after_task(10, 5), b;
	int rc = 0;

	lade_scope(s, &rc)
		lade_start(&s, &a);
	b = a;
	CHECK_EQ(lade_status(&b), 0);
	CHECK_EQ(lade_value(&b), 5);
	CHECK_EQ(lade_wait(&b), 0);
}

/* Tasks that never run */

static int dropped;

static void drop(int id);

static int owner(int id)
{
	write_down("ran:%d", id);
	return end_after(10, 0);
}
LADE_TASK_VOID_WITH(owner, (.drop_args = drop), (int, id))

static void drop(int id)
{
	dropped++;
	write_down("dropped:%d", id);
}

IN_TASK(a_task_started_in_a_cancelled_scope_does_not_run_and_gives_up_its_arguments)
{
	struct owner_task a = owner_task(1);
	int rc = 0;

	lade_scope(s, &rc) {
		lade_cancel(&s, lade_ns(0));
		lade_start(&s, &a);
		CHECK_EQ(lade_status(&a), -ECANCELED);
		CHECK_STR(slate, "dropped:1");
	}
	CHECK_EQ(rc, 0);
	CHECK_STR(slate, "dropped:1");
}

IN_TASK(a_task_started_in_a_softly_cancelled_scope_runs)
{
	struct owner_task a = owner_task(1);
	int rc = 0;

	lade_scope(s, &rc) {
		lade_cancel(&s, lade_ms(20));
		lade_start(&s, &a);
	}
	CHECK_EQ(rc, 0);
	CHECK_EQ(lade_status(&a), 0);
	CHECK_STR(slate, "ran:1");
}

IN_TASK(a_task_that_ran_keeps_its_arguments_to_itself)
{
	struct owner_task a = owner_task(1);
	int rc = 0;

	lade_scope(s, &rc) {
		lade_start(&s, &a);
		CHECK_EQ(lade_yield(), 0);
		lade_cancel(&a, lade_ns(0));
	}
	CHECK_EQ(lade_status(&a), -ECANCELED);
	CHECK_STR(slate, "ran:1");
}

IN_TASK(a_task_cancelled_between_its_start_and_its_first_turn_runs_and_is_told)
{
	struct owner_task a = owner_task(1);
	int rc = 0;

	lade_scope(s, &rc) {
		lade_start(&s, &a);
		lade_cancel(&a, lade_ns(0));
	}
	CHECK_EQ(rc, 0);
	CHECK_EQ(lade_status(&a), -ECANCELED);
	CHECK_STR(slate, "ran:1");
}

IN_TASK(a_task_cancelled_before_its_start_gives_up_its_arguments_once)
{
	struct owner_task a = owner_task(1);
	int rc = 0;

	lade_cancel(&a, lade_ns(0));
	lade_cancel(&a, lade_ns(0));
	lade_scope(s, &rc)
		lade_start(&s, &a);
	CHECK_EQ(rc, 0);
	CHECK_STR(slate, "dropped:1");
	CHECK_EQ(lade_wait(&a), 0);
	lade_cancel(&a, lade_ns(0));
	CHECK_EQ(lade_status(&a), -ECANCELED);
}

/* No memory */

static int huge(int id)
{
	return id;
}
static void drop_huge(int id);
LADE_TASK_VOID_WITH(huge, (.stack_bytes = 1u << 30, .drop_args = drop_huge), (int, id))

static void drop_huge(int id)
{
	write_down("dropped:%d", id);
}

IN_TASK(a_task_for_which_no_stack_can_be_had_ends_with_enomem)
{
	struct huge_task a = huge_task(1);
	int rc = 0;

	lade_scope(s, &rc) {
		lade_start(&s, &a);
		CHECK_EQ(lade_status(&a), -ENOMEM);
		CHECK_STR(slate, "dropped:1");
		CHECK_EQ(lade_yield(), -ECANCELED);
	}
	CHECK_EQ(rc, -ENOMEM);
	CHECK_STR(slate, "dropped:1");
}

IN_TASK(spawning_a_task_for_which_no_stack_can_be_had_succeeds_and_the_child_fails)
{
	int rc = 0;

	lade_scope(s, &rc)
		CHECK_EQ(lade_spawn(&s, huge_task(1)), 0);
	CHECK_EQ(rc, -ENOMEM);
	CHECK_STR(slate, "dropped:1");
}

static void starts_four_body(void)
{
	struct owner_task t[4];
	int rc = 0;

	dropped = 0;
	for (int i = 0; i < 4; i++)
		t[i] = owner_task(i);
	lade_scope(s, &rc, .policy = LADE_ALL)
		for (int i = 0; i < 4; i++)
			lade_start(&s, &t[i]);
	CHECK_EQ(rc, 0);
	for (int i = 0; i < 4; i++)
		write_down("%d", lade_status(&t[i]));
}

static void at_the_limit_of_stacks_each_further_start_ends_with_enomem(void)
{
	static const char *const want[] = {
		"dropped:0 dropped:1 dropped:2 dropped:3 -12 -12 -12 -12",
		"dropped:1 dropped:2 dropped:3 ran:0 0 -12 -12 -12",
		"dropped:2 dropped:3 ran:0 ran:1 0 0 -12 -12",
		"dropped:3 ran:0 ran:1 ran:2 0 0 0 -12",
		"ran:0 ran:1 ran:2 ran:3 0 0 0 0",
	};

	for (unsigned stacks = 1; stacks <= 5; stacks++) {
		run_with(&(struct lade_loop_config){ .backend = "virtual",
						     .stacks_max = stacks },
			 starts_four_body);
		CHECK_STR(slate, want[stacks - 1]);
	}
}

IN_LOOP(a_stack_is_free_again_when_its_task_has_ended, .stacks_max = 2)
{
	for (int i = 0; i < 10; i++) {
		struct end_after_task a = end_after_task(1, 0);
		int rc = 0;

		lade_scope(s, &rc)
			lade_start(&s, &a);
		CHECK_EQ(rc, 0);
	}
}

static int small(void)
{
	return 0;
}
LADE_TASK_VOID_WITH(small, (.stack_bytes = 65536))

IN_LOOP(the_limit_of_stacks_counts_those_in_use_whatever_their_size, .stacks_max = 2)
{
	for (int i = 0; i < 3; i++) {
		struct small_task a = small_task();
		struct end_after_task b = end_after_task(0, 0);
		int rc = 0;

		lade_scope(s, &rc)
			lade_start(&s, &a);
		CHECK_EQ(rc, 0);
		lade_scope(s, &rc)
			lade_start(&s, &b);
		CHECK_EQ(rc, 0);
	}
}

/* Spawning */

IN_TASK(spawn_copies_the_task_so_that_nobody_need_keep_it)
{
	int rc = 0;

	lade_scope(s, &rc)
		for (int i = 0; i < 5 && rc == 0; i++)
			rc = lade_spawn(&s, tell_after_task("t", i, i));
	CHECK_EQ(rc, 0);
	CHECK_STR(slate, "t:0 t:1 t:2 t:3 t:4");
}

IN_TASK(a_spawned_task_that_fails_has_failed_its_scope)
{
	int rc = 0;

	lade_scope(s, &rc) {
		CHECK_EQ(lade_spawn(&s, end_after_task(10, -EIO)), 0);
		CHECK_EQ(lade_spawn(&s, tell_after_task("t", 1000, 0)), 0);
	}
	CHECK_EQ(rc, -EIO);
	CHECK_EQ(now_ms(), 10);
	CHECK_STR(slate, "t:-125");
}

IN_TASK(spawn_waits_while_max_children_are_alive)
{
	int rc = 0;

	lade_scope(s, &rc, .max_children = 2) {
		for (int i = 0; i < 6; i++) {
			CHECK_EQ(lade_spawn(&s, end_after_task(10, 0)), 0);
			CHECK(s.live <= 2);
			CHECK_EQ(now_ms(), i / 2 * 10);
		}
	}
	CHECK_EQ(rc, 0);
	CHECK_EQ(now_ms(), 30);
}

static int spawns(struct lade_scope *scope, int id)
{
	int rc = lade_spawn(scope, owner_task(id));

	write_down("spawn%d:%d", id, rc);
	return rc;
}
LADE_TASK_VOID(spawns, (struct lade_scope *, scope), (int, id))

IN_TASK(waiting_spawners_are_served_in_the_order_in_which_they_came)
{
	struct spawns_task w[3];
	int rc = 0, inner_rc = 0;

	lade_scope(s, &rc)
		lade_scope(t, &inner_rc, .max_children = 1) {
			CHECK_EQ(lade_spawn(&t, end_after_task(10, 0)), 0);
			for (int i = 0; i < 3; i++) {
				w[i] = spawns_task(&t, i);
				lade_start(&s, &w[i]);
			}
			CHECK_EQ(lade_yield(), 0);
		}
	CHECK_STR(slate, "spawn0:0 ran:0 spawn1:0 ran:1 spawn2:0 ran:2");
	CHECK_EQ(now_ms(), 40);
}

IN_TASK(a_cancelled_spawner_gives_up_the_arguments_and_leaves_the_queue)
{
	struct spawns_task w[3];
	int rc = 0, inner_rc = 0;

	lade_scope(s, &rc)
		lade_scope(t, &inner_rc, .max_children = 1) {
			CHECK_EQ(lade_spawn(&t, end_after_task(10, 0)), 0);
			for (int i = 0; i < 3; i++) {
				w[i] = spawns_task(&t, i);
				lade_start(&s, &w[i]);
			}
			CHECK_EQ(lade_yield(), 0);
			lade_cancel(&w[0], lade_ns(0));
			lade_cancel(&w[1], lade_ns(0));
			CHECK_EQ(lade_wait(&w[1]), 0);
			CHECK_EQ(now_ms(), 0);
		}
	CHECK_EQ(rc, 0);
	CHECK(strstr(slate, "dropped:0 spawn0:-125"));
	CHECK(strstr(slate, "dropped:1 spawn1:-125"));
	CHECK(strstr(slate, "spawn2:0 ran:2"));
	CHECK_EQ(now_ms(), 20);
}

IN_TASK(a_spawner_cancelled_in_the_turn_in_which_it_got_its_place_keeps_it)
{
	struct spawns_task w = { 0 }, w2 = { 0 };
	struct end_after_task first = end_after_task(10, 0);
	int rc = 0, inner_rc = 0;

	lade_scope(s, &rc)
		lade_scope(t, &inner_rc, .max_children = 1) {
			lade_start(&t, &first);
			CHECK_EQ(lade_yield(), 0);
			w = spawns_task(&t, 0);
			w2 = spawns_task(&t, 1);
			lade_start(&s, &w);
			lade_start(&s, &w2);
			/* This waiter was there before the spawner, and is woken before it. */
			CHECK_EQ(lade_wait(&first), 0);
			lade_cancel(&w, lade_ns(0));
		}
	CHECK_EQ(rc, 0);
	CHECK_STR(slate, "spawn0:0 ran:0 spawn1:0 ran:1");
	CHECK_EQ(now_ms(), 30);
}

IN_TASK(spawning_in_a_cancelled_task_gives_up_the_arguments_and_returns_ecanceled)
{
	int rc = 0, inner_rc = 0;

	lade_scope(s, &rc)
		lade_scope(t, &inner_rc) {
			lade_cancel(&t, lade_ns(0));
			CHECK_EQ(lade_spawn(&s, owner_task(1)), -ECANCELED);
			CHECK_EQ(s.live, 0);
		}
	CHECK_STR(slate, "dropped:1");
}

IN_TASK(spawning_into_a_cancelled_scope_succeeds_and_the_task_does_not_run)
{
	int rc = 0;

	lade_scope(s, &rc) {
		lade_cancel(&s, lade_ns(0));
		lade_shield(lade_ms(10))
			CHECK_EQ(lade_spawn(&s, owner_task(1)), 0);
	}
	CHECK_EQ(rc, 0);
	CHECK_STR(slate, "dropped:1");
}

/* When a spawn has its place beside two started children that end at 10 and 20 ms. */
static int64_t spawn_beside_two(uint32_t max_children)
{
	struct end_after_task a = end_after_task(10, 0), b = end_after_task(20, 0);
	int64_t at_ms = 0;
	int rc = 0;

	lade_scope(s, &rc, .max_children = max_children) {
		lade_start(&s, &a);
		lade_start(&s, &b);
		CHECK_EQ(lade_spawn(&s, end_after_task(0, 0)), 0);
		at_ms = now_ms();
	}
	return at_ms;
}

IN_TASK(children_that_were_started_count_against_max_children)
{
	CHECK_EQ(spawn_beside_two(2), 10);
}

IN_TASK(a_place_is_free_when_fewer_than_max_children_are_alive_and_not_before)
{
	CHECK_EQ(spawn_beside_two(1), 20);
}

IN_TASK(a_daemon_does_not_count_against_max_children)
{
	struct end_after_task a = end_after_task(1000, 0);
	int rc = 0;

	lade_scope(s, &rc, .max_children = 1) {
		lade_start_daemon(&s, &a);
		CHECK_EQ(lade_spawn(&s, end_after_task(10, 0)), 0);
		CHECK_EQ(now_ms(), 0);
	}
	CHECK_EQ(now_ms(), 10);
}

struct ten_kilobytes {
	char bytes[10000];
};
static int reads_big(struct ten_kilobytes big)
{
	for (size_t i = 0; i < sizeof(big.bytes); i++)
		if (big.bytes[i] != (char)i)
			return -EIO;
	return end_after(1, 0);
}
LADE_TASK_VOID(reads_big, (struct ten_kilobytes, big))

IN_TASK(spawn_copies_large_arguments)
{
	struct ten_kilobytes big;
	int rc = 0;

	for (size_t i = 0; i < sizeof(big.bytes); i++)
		big.bytes[i] = (char)i;
	lade_scope(s, &rc) {
		CHECK_EQ(lade_spawn(&s, reads_big_task(big)), 0);
		memset(&big, 0, sizeof(big));
	}
	CHECK_EQ(rc, 0);
}

struct too_much {
	char bytes[200000];
};
static int reads_too_much(struct too_much much)
{
	return much.bytes[199999] == 'x' ? 0 : -EIO;
}
LADE_TASK_VOID_WITH(reads_too_much, (.stack_bytes = 65536), (struct too_much, much))

IN_TASK(a_stack_is_large_enough_for_the_arguments_that_are_copied_to_it)
{
	static struct reads_too_much_task task;
	int rc = 0;

	task.head.type = &reads_too_much_type;
	task.args.much.bytes[199999] = 'x';
	lade_scope(s, &rc)
		CHECK_EQ(lade_spawn_at(&s, &task.head, sizeof(task), LADE_SITE), 0);
	CHECK_EQ(rc, 0);
}

/* Many */

IN_TASK(ten_thousand_tasks_run_at_once)
{
	int rc = 0, done = 0;

	lade_scope(s, &rc, .max_children = 20000)
		for (; done < 10000 && rc == 0; done++)
			rc = lade_spawn(&s, end_after_task(1 + done % 10, 0));
	CHECK_EQ(rc, 0);
	CHECK_EQ(done, 10000);
	CHECK_EQ(now_ms(), 10);
}

/* The inline budget */

static int polite, seen_when_others_ran;

static int never_waits(int calls)
{
	for (int i = 0; i < calls; i++) {
		CHECK_EQ(lade_sleep(lade_ns(0)), 0);
		polite++;
	}
	return 0;
}
LADE_TASK_VOID(never_waits, (int, calls))

static int looks(void)
{
	seen_when_others_ran = polite;
	return 0;
}
LADE_TASK_VOID(looks)

static void two_tasks_body(void)
{
	struct never_waits_task a = never_waits_task(1000);
	struct looks_task b = looks_task();
	int rc = 0;

	polite = 0;
	lade_scope(s, &rc) {
		lade_start(&s, &a);
		lade_start(&s, &b);
	}
	CHECK_EQ(polite, 1000);
}

static void calls_that_complete_at_once_let_others_run_when_the_inline_budget_is_spent(void)
{
	run_with(&(struct lade_loop_config){ .backend = "virtual" }, two_tasks_body);
	CHECK_EQ(seen_when_others_ran, 64);
	run_with(&(struct lade_loop_config){ .backend = "virtual", .inline_budget = 5 },
		 two_tasks_body);
	CHECK_EQ(seen_when_others_ran, 5);
}

IN_TASK(a_call_that_waits_for_its_turn_can_be_cancelled_there)
{
	int rc = 0, calls = 0;

	lade_scope(s, &rc) {
		CHECK_EQ(lade_spawn(&s, end_after_task(0, -EIO)), 0);
		while (rc == 0 && ++calls < 1000)
			rc = lade_sleep(lade_ns(0));
		CHECK_EQ(rc, -ECANCELED);
		CHECK(calls <= 66);
	}
	CHECK_EQ(rc, -EIO);
}

IN_TASK(yield_lets_the_others_run_in_turn)
{
	struct tell_after_task a = tell_after_task("a", 0, 0), b = tell_after_task("b", 0, 0);
	int rc = 0;

	lade_scope(s, &rc) {
		lade_start(&s, &a);
		lade_start(&s, &b);
		CHECK_EQ(lade_yield(), 0);
		write_down("body");
	}
	CHECK_STR(slate, "a:0 b:0 body");
}

IN_TASK(a_yielding_task_does_not_keep_timers_from_firing)
{
	struct end_after_task a = end_after_task(0, 0);
	int rc = 0, yields = 0;

	lade_scope(s, &rc) {
		lade_start(&s, &a);
		while (lade_status(&a) == -EINPROGRESS && yields++ < 100000)
			CHECK_EQ(lade_yield(), 0);
	}
	CHECK(yields < 1000);
}

/* Deep and many */

#define DEEP RUN_MANY(100000)

static struct down_task *downs;
static int down(int depth);
static int deepest, ended_cancelled;
LADE_TASK_VOID_WITH(down, (.stack_bytes = 65536), (int, depth))

static int down(int depth)
{
	int rc = 0;

	if (depth == DEEP) {
		deepest = depth;
		rc = lade_sleep_until(LADE_NEVER);
	} else {
		downs[depth] = down_task(depth + 1);
		lade_scope(s, &rc)
			lade_start(&s, &downs[depth]);
	}
	ended_cancelled += rc == -ECANCELED;
	return rc;
}

IN_TASK(a_chain_of_a_hundred_thousand_tasks_is_cancelled_from_its_top)
{
	int rc = 0;

	downs = calloc(DEEP, sizeof(*downs));
	if (!downs)
		return;
	lade_scope(s, &rc) {
		CHECK_EQ(lade_spawn(&s, down_task(0)), 0);
		CHECK_EQ(lade_sleep(lade_ms(1)), 0);
		CHECK_EQ(deepest, DEEP);
		lade_cancel(&s, lade_ns(0));
	}
	CHECK_EQ(rc, 0);
	CHECK_EQ(ended_cancelled, DEEP + 1);
	free(downs);
}

int main(void)
{
	TAP(a_function_of_none_to_eight_parameters_becomes_a_task);
	TAP(do_writes_straight_into_ret);
	TAP(a_constructed_task_runs_nothing);
	TAP(a_lazy_task_may_be_copied_and_each_copy_started);
	TAP(a_started_task_runs_when_the_starter_suspends_and_not_before);
	TAP(a_task_knows_its_name);
	TAP(outside_any_task_there_is_no_name);
	TAP(a_task_is_awaited_by_many_tasks_and_again);
	TAP(wait_returns_0_whatever_the_status);
	TAP(a_cancelled_wait_returns_ecanceled_and_leaves_the_task_alone);
	TAP(a_deadline_that_ties_with_the_end_gives_the_end);
	TAP(a_waiter_cancelled_before_it_waits_gets_ecanceled);
	TAP(a_task_may_be_copied_after_it_has_ended);
	TAP(a_task_started_in_a_cancelled_scope_does_not_run_and_gives_up_its_arguments);
	TAP(a_task_started_in_a_softly_cancelled_scope_runs);
	TAP(a_task_that_ran_keeps_its_arguments_to_itself);
	TAP(a_task_cancelled_between_its_start_and_its_first_turn_runs_and_is_told);
	TAP(a_task_cancelled_before_its_start_gives_up_its_arguments_once);
	TAP(a_task_for_which_no_stack_can_be_had_ends_with_enomem);
	TAP(spawning_a_task_for_which_no_stack_can_be_had_succeeds_and_the_child_fails);
	TAP(at_the_limit_of_stacks_each_further_start_ends_with_enomem);
	TAP(a_stack_is_free_again_when_its_task_has_ended);
	TAP(the_limit_of_stacks_counts_those_in_use_whatever_their_size);
	TAP(spawn_copies_the_task_so_that_nobody_need_keep_it);
	TAP(a_spawned_task_that_fails_has_failed_its_scope);
	TAP(spawn_waits_while_max_children_are_alive);
	TAP(waiting_spawners_are_served_in_the_order_in_which_they_came);
	TAP(a_cancelled_spawner_gives_up_the_arguments_and_leaves_the_queue);
	TAP(a_spawner_cancelled_in_the_turn_in_which_it_got_its_place_keeps_it);
	TAP(spawning_in_a_cancelled_task_gives_up_the_arguments_and_returns_ecanceled);
	TAP(spawning_into_a_cancelled_scope_succeeds_and_the_task_does_not_run);
	TAP(children_that_were_started_count_against_max_children);
	TAP(a_place_is_free_when_fewer_than_max_children_are_alive_and_not_before);
	TAP(a_daemon_does_not_count_against_max_children);
	TAP(spawn_copies_large_arguments);
	TAP(a_stack_is_large_enough_for_the_arguments_that_are_copied_to_it);
	TAP(ten_thousand_tasks_run_at_once);
	TAP(calls_that_complete_at_once_let_others_run_when_the_inline_budget_is_spent);
	TAP(a_call_that_waits_for_its_turn_can_be_cancelled_there);
	TAP(yield_lets_the_others_run_in_turn);
	TAP(a_yielding_task_does_not_keep_timers_from_firing);
	TAP(a_chain_of_a_hundred_thousand_tasks_is_cancelled_from_its_top);
	return tap_done();
}
