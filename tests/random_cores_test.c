/* SPDX-License-Identifier: MIT */
/* random_cores_test.c - random programs whose tasks run on two cores, each a thread.
 *
 * Beside the model, where both cores are one loop, random_test.c runs them. Here time is real, and
 * so is what happens at once: what must hold of each program on any schedule is checked, and where
 * ThreadSanitizer is built in, that no two threads touch the same memory without order. */

#include "model/perform.h"
#include "run.h"

#define PROGRAMS RUN_MANY(500)
#define DIFFERENCES_MAX 5

static bool is_sent_somewhere(const struct program *p)
{
	for (int i = 0; i < p->count; i++)
		if (p->nodes[i].kind == ON && p->nodes[i].n)
			return true;
	return false;
}

static void perform(const struct perform *how)
{
	struct program p;
	const char *wrong;

	program_generate(&p, how->seed);
	if (!is_sent_somewhere(&p))
		return;
	wrong = perform_program(&p, how, NULL);
	if (!wrong)
		return;
	tap_bad_checks++;
	printf("# seed %llu: %s\n# script/random --programs 1 --backend %s --seed %llu\n",
	       (unsigned long long)how->seed, wrong, how->backend, (unsigned long long)how->seed);
}

static void random_programs_keep_the_law_on_two_cores(void)
{
	struct perform how = { .backend = getenv("LADE_BACKEND") };

	if (!how.backend)
		how.backend = "epoll";
	for (how.seed = 1; totals.programs < PROGRAMS && tap_bad_checks < DIFFERENCES_MAX;
	     how.seed++)
		perform(&how);
	printf("# %ld programs, %ld tasks sent, %ld tasks run, %ld dropped, %ld values given back, "
	       "%ld calls cancelled\n",
	       totals.programs, totals.kinds[ON], totals.tasks, totals.drops, totals.disposed,
	       totals.cancelled);
	CHECK(totals.kinds[ON] >= totals.programs);
	CHECK(totals.drops > 0 && totals.cancelled > totals.programs);
}

int main(void)
{
	TAP(random_programs_keep_the_law_on_two_cores);
	return tap_done();
}
