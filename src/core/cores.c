/* SPDX-License-Identifier: MIT */
/* cores.c - the loops of one program, one a core, each in a thread of its own.
 *
 * DESIGN
 * The loop that is there first is core 0; the first lade_on makes the others. Their threads hear no
 * signals: what a signal means reaches them as the cancel of what they were sent. They end when
 * core 0 is freed: by then every task that was sent to them has ended, as it has a parent there.
 * A thread closes its own loop, because the kernel's side of a ring belongs to a thread; core 0
 * frees the memory when the thread is gone.
 *
 * LIMITS  CORES_MAX loops. */

#include "base/alloc.h"
#include "core/cores_priv.h"
#include "core/record.h"

#include <errno.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdlib.h>

#define CORES_MAX 64
#define CORES_SIMULATED 2

/* One core but the first. */
struct core {
	struct lade_loop *loop;		/* NULL: it could not be had */
	struct lade_cores *cores;
	struct lade_loop_config config; /* what its loop is made from */
	struct lade_mail dismissal;
	pthread_t thread;
	sem_t begun;	/* the loop is there, or is not: rc */
	uint32_t number;
	int rc;		/* of making the loop */
};

struct lade_cores {
	uint32_t count;
	struct lade_loop *first;
	struct core others[]; /* of core 1 on */
};

static void take_dismissal(struct lade_mail *mail)
{
	LADE_CONTAINER(mail, struct core, dismissal)->loop->dismissed = true;
}

static void *core_thread(void *arg)
{
	struct core *core = arg;

	core->rc = lade_loop_new(&core->config, &core->loop);
	if (core->rc < 0) {
		sem_post(&core->begun);
		return NULL;
	}
	core->loop->cores = core->cores;
	core->loop->core = core->number;
	core->loop->first = core->cores->first;
	sem_post(&core->begun);
	while (!core->loop->dismissed || lade_loop_is_owed(core->loop))
		lade_turn(core->loop, true);
	lade_close_loop(core->loop);
	return NULL;
}

/* Ends the cores after the first up to @count. */
static void dismiss(struct lade_cores *cores, uint32_t count)
{
	for (uint32_t i = 0; i + 1 < count; i++) {
		struct core *core = &cores->others[i];

		if (core->loop) {
			core->dismissal.take = take_dismissal;
			lade_mail_send(core->loop, &core->dismissal);
		}
		pthread_join(core->thread, NULL);
		sem_destroy(&core->begun);
		lade_free(core->loop);
	}
	lade_free(cores);
}

/* Begins one core and waits until its loop is there. */
static int begin(struct core *core)
{
	static const int faults[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL };
	sigset_t all, before;
	int rc;

	sem_init(&core->begun, 0, 0);
	sigfillset(&all);
	/* What an instruction does must reach the handler that names the task. */
	for (size_t i = 0; i < sizeof(faults) / sizeof(*faults); i++)
		sigdelset(&all, faults[i]);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	rc = -pthread_create(&core->thread, NULL, core_thread, core);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (rc < 0) {
		sem_destroy(&core->begun);
		return rc;
	}
	while (sem_wait(&core->begun) < 0)
		;
	return core->rc;
}

uint32_t lade_cores_of(const struct lade_loop *loop)
{
	const char *said = getenv("LADE_CORES");
	cpu_set_t set;
	long count;

	if (loop->cores)
		return loop->cores->count;
	count = loop->cores_wanted;
	if (!count && said)
		count = strtol(said, NULL, 10);
	if (count <= 0 && loop->backend->exact)
		count = CORES_SIMULATED;
	if (count <= 0)
		count = sched_getaffinity(0, sizeof(set), &set) == 0 ? CPU_COUNT(&set) : 1;
	return count > CORES_MAX ? CORES_MAX : (uint32_t)count;
}

/* Makes the other loops.  Returns 0, -ENOMEM, or why one cannot be had. */
static int make_cores(struct lade_loop *loop)
{
	uint32_t count = lade_cores_of(loop);
	struct lade_cores *cores = lade_calloc(1, sizeof(*cores) +
							  (count - 1) * sizeof(cores->others[0]));

	if (!cores)
		return -ENOMEM;
	cores->count = count;
	cores->first = loop;
	for (uint32_t i = 1; i < count; i++) {
		struct core *core = &cores->others[i - 1];
		int rc;

		core->cores = cores;
		core->number = i;
		core->config = (struct lade_loop_config){
			.backend = loop->backend->name,
			.stacks_max = loop->stacks_max,
			.inline_budget = loop->inline_budget,
			.recorder_events = lade_record_events(loop),
			.report = loop->report,
			.report_arg = loop->report_arg,
		};
		rc = begin(core);
		if (rc < 0) {
			/* One whose thread runs without a loop is among those to join. */
			dismiss(cores, core->rc < 0 ? i + 1 : i);
			return rc;
		}
	}
	loop->cores = cores;
	return 0;
}

int lade_cores_find(struct lade_loop *loop, uint32_t number, struct lade_loop **ret)
{
	int rc = 0;

	if (loop->backend->exact) {
		*ret = loop;
		return 0;
	}
	if (!loop->cores)
		rc = make_cores(loop);
	if (rc < 0)
		return rc;
	number %= loop->cores->count;
	*ret = number ? loop->cores->others[number - 1].loop : loop->cores->first;
	return 0;
}

void lade_cores_end(struct lade_loop *loop)
{
	if (!loop->cores || loop->core)
		return;
	dismiss(loop->cores, loop->cores->count);
	loop->cores = NULL;
}

static const struct lade_loop *here(const char *what)
{
	if (!lade_cur->loop)
		lade_misuse("%s is called outside any task", what);
	return lade_cur->loop;
}

uint32_t lade_cores(void)
{
	return lade_cores_of(here("lade_cores"));
}

uint32_t lade_core(void)
{
	return here("lade_core")->core;
}
