/* SPDX-License-Identifier: MIT */
/* random_test.c - thousands of random programs, each of which must keep the law.
 *
 * What a program is, is in model/program.h; how one is run, and what must hold of each whatever
 * the back end, in model/perform.h; what the model is, in model/model.h. `script/random` runs more
 * of them, and makes one that differs small. */

#include "model/perform.h"
#include "run.h"

#define MODELLED RUN_MANY(20000)  /* of each order, beside the model */
#define PROGRAMS RUN_MANY(10000)  /* without it, on the virtual clock */
#define REAL_PROGRAMS RUN_MANY(150) /* where time is real */
#define DIFFERENCES_MAX 5

static void perform(const struct perform *how, uint64_t seed, uint64_t *ret_hash)
{
	struct program p;
	const char *wrong;

	program_generate(&p, seed);
	wrong = perform_program(&p, how, ret_hash);
	if (!wrong)
		return;
	tap_bad_checks++;
	printf("# seed %llu: %s\n"
	       "# script/random --programs 1 --backend %s --order %s --seed %llu\n",
	       (unsigned long long)seed, wrong, how->backend,
	       how->order ? how->order : "random", (unsigned long long)seed);
}

static void perform_many(struct perform how, long count)
{
	for (long i = 1; i <= count && tap_bad_checks < DIFFERENCES_MAX; i++) {
		how.seed = (uint64_t)i;
		perform(&how, how.seed, NULL);
	}
}

static void random_programs_do_in_order_what_the_model_says(void)
{
	perform_many((struct perform){ .backend = "sim", .order = "in-order", .model = true },
		     MODELLED);
}

static void random_programs_do_in_a_random_order_what_the_model_says(void)
{
	perform_many((struct perform){ .backend = "sim", .order = "random", .model = true },
		     MODELLED);
}

static void random_programs_do_in_pct_order_what_the_model_says(void)
{
	perform_many((struct perform){ .backend = "sim", .order = "pct", .model = true }, MODELLED);
}

static void random_programs_keep_the_law(void)
{
	perform_many((struct perform){ .backend = "virtual" }, PROGRAMS);
}

static void random_programs_keep_the_law_on_epoll(void)
{
	perform_many((struct perform){ .backend = "epoll" }, REAL_PROGRAMS);
}

static void random_programs_keep_the_law_on_io_uring(void)
{
	struct lade_loop *loop;

	if (lade_loop_new(&(struct lade_loop_config){ .backend = "uring" }, &loop) < 0) {
		printf("# io_uring is refused here\n");
		return;
	}
	lade_loop_free(loop);
	perform_many((struct perform){ .backend = "uring" }, REAL_PROGRAMS);
}

static void the_generator_gets_everywhere(void)
{
	long n = totals.programs;

	printf("# %ld tasks run and %ld dropped, %ld values given back, %ld deadlines, %ld calls "
	       "cancelled, %ld overruns, %ld times no stack, %ld parks\n",
	       totals.tasks, totals.drops, totals.disposed, totals.deadlines, totals.cancelled,
	       totals.overruns, totals.without_stack, totals.waits);
	for (int i = 0; i < KINDS; i++)
		if (i != STOPPING && i != TASK && i < JOIN_TASK)
			CHECK(totals.kinds[i] >= n / 100);
	CHECK(totals.kinds[ON] >= n / 5);
	CHECK(totals.tasks >= n * 5 / 2 && totals.drops >= n / 50);
	CHECK(totals.disposed >= n / 50 && totals.deadlines >= n / 20);
	CHECK(totals.cancelled >= n / 2 && totals.overruns >= n / 20);
	CHECK(totals.without_stack >= n / 50 && totals.waits >= n);
	CHECK(totals.gave_up < n / 1000);
}

static void the_same_seed_gives_the_same_run(void)
{
	for (uint64_t seed = 1; seed <= 200; seed++) {
		struct perform how = { .backend = "sim", .order = "random", .seed = seed };
		uint64_t first = 0, second = 1;

		perform(&how, seed, &first);
		perform(&how, seed, &second);
		CHECK(first == second);
	}
}

static void a_program_is_what_its_text_says(void)
{
	static char text[PROGRAM_TEXT], again[PROGRAM_TEXT];

	for (uint64_t seed = 1; seed <= 500; seed++) {
		struct program p, q;

		program_generate(&p, seed);
		program_print(&p, text);
		CHECK_EQ(program_parse(&q, text), 0);
		program_print(&q, again);
		CHECK_STR(text, again);
	}
	CHECK(program_parse(&(struct program){ 0 }, "program stacks=0") != 0);
}

int main(void)
{
	TAP(random_programs_do_in_order_what_the_model_says);
	TAP(random_programs_do_in_a_random_order_what_the_model_says);
	TAP(random_programs_do_in_pct_order_what_the_model_says);
	TAP(random_programs_keep_the_law);
	TAP(the_generator_gets_everywhere);
	TAP(random_programs_keep_the_law_on_epoll);
	TAP(random_programs_keep_the_law_on_io_uring);
	TAP(the_same_seed_gives_the_same_run);
	TAP(a_program_is_what_its_text_says);
	return tap_done();
}
