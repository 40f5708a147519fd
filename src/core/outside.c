/* SPDX-License-Identifier: MIT */
/* outside.c - what other threads ask of a loop: calls, tasks, cancels, and to be told of an end.
 *
 * DESIGN
 * All of it is mail, taken in the loop's next turn, in the order in which it was sent. A task's
 * struct has room for its own, so that a start cannot fail; who waits for an end has it on the
 * stack of the thread that blocks; the others allocate. */

#include "base/alloc.h"
#include "core/io_priv.h"

#include <errno.h>
#include <semaphore.h>

/* A call that lade_post has asked for. */
struct post {
	struct lade_mail mail;
	struct lade_loop *loop;
	void (*fn)(void *arg);
	void *arg;	  /* handed to fn */
	const char *site; /* of the call of lade_post */
};

static void take_post(struct lade_mail *mail)
{
	struct post *post = LADE_CONTAINER(mail, struct post, mail);
	struct lade_ctl stand_in;

	lade_callback_begin(&stand_in, post->loop, post->site);
	post->fn(post->arg);
	lade_callback_end();
	lade_free(post);
}

int lade_post_at(struct lade_loop *loop, void (*fn)(void *arg), void *arg, const char *site)
{
	struct post *post = lade_malloc(sizeof(*post));

	if (!post)
		return -ENOMEM;
	*post = (struct post){ { .take = take_post }, loop, fn, arg, site };
	lade_mail_send(loop, &post->mail);
	return 0;
}

/* A task that is to be started knows the loop by its ctl, which it has no other use for yet. */
static void take_start(struct lade_mail *mail)
{
	struct lade_task *task = LADE_CONTAINER(mail, struct lade_task, mail);
	struct lade_loop *loop = (struct lade_loop *)(void *)task->ctl;

	task->ctl = NULL;
	lade_task_start(&loop->root, task, 0, 0, task->site);
}

void lade_loop_start_at(struct lade_loop *loop, struct lade_task *task, const char *site)
{
	if (task->state != TASK_LAZY || task->ctl)
		lade_misuse("%s: task %s is started twice; the first time was at %s", site,
			    task->type->name, task->site);
	task->site = site;
	task->ctl = (struct lade_ctl *)(void *)loop;
	task->mail.take = take_start;
	lade_mail_send(loop, &task->mail);
}

/* A thread that waits for a task's end. */
struct end_wait {
	struct lade_mail mail;
	struct lade_op op;
	struct lade_loop *loop;
	struct lade_task *task;
	const char *site; /* of the call of lade_loop_wait */
	sem_t ended;
};

static void tell_end(struct lade_mail *mail)
{
	sem_post(&LADE_CONTAINER(mail, struct end_wait, mail)->ended);
}

/* The task ends this moment, and the loop will look at it once more: its owner hears of it in the
 * next turn. */
static void tell_end_soon(struct lade_op *op)
{
	struct end_wait *w = LADE_CONTAINER(op, struct end_wait, op);

	w->mail.take = tell_end;
	lade_mail_send(w->loop, &w->mail);
}

static void check_started(const struct lade_task *task, const char *site)
{
	if (task->state == TASK_LAZY)
		lade_misuse("%s: task %s is awaited but was never started", site,
			    task->type ? task->type->name : "(no task)");
}

static void take_end_wait(struct lade_mail *mail)
{
	struct end_wait *w = LADE_CONTAINER(mail, struct end_wait, mail);

	check_started(w->task, w->site);
	w->op.done = tell_end_soon;
	if (w->task->state == TASK_ENDED)
		tell_end(mail);
	else
		lade_list_append(&w->task->waiters, &w->op.link);
}

/* On the loop's own thread nobody else would run the task. */
static void run_to_end(struct lade_loop *loop, const struct lade_task *task, const char *site)
{
	lade_mail_take(loop);
	check_started(task, site);
	while (task->state != TASK_ENDED)
		lade_turn(loop, true);
}

int lade_loop_wait_at(struct lade_loop *loop, struct lade_task *task, const char *site)
{
	struct end_wait w = { .mail = { .take = take_end_wait },
			      .loop = loop,
			      .task = task,
			      .site = site };

	if (lade_cur->loop)
		lade_misuse("%s: a thread is blocked inside a task or a callback; a task waits "
			    "with lade_wait",
			    site);
	if (pthread_equal(pthread_self(), loop->thread)) {
		run_to_end(loop, task, site);
		return task->status;
	}
	sem_init(&w.ended, 0, 0);
	lade_mail_send(loop, &w.mail);
	while (sem_wait(&w.ended) < 0 && errno == EINTR)
		;
	sem_destroy(&w.ended);
	return task->status;
}

/* A cancel on its way. */
struct ask {
	struct lade_task *task;
	struct lade_duration grace;
	const char *site; /* of the call of lade_loop_cancel */
};

static void take_ask(void *arg)
{
	struct ask *ask = arg;

	lade_cancel_task_at(ask->task, ask->grace, ask->site);
	lade_free(ask);
}

int lade_loop_cancel_at(struct lade_loop *loop, struct lade_task *task,
			struct lade_duration grace, const char *site)
{
	struct ask *ask = lade_malloc(sizeof(*ask));
	int rc;

	if (!ask)
		return -ENOMEM;
	*ask = (struct ask){ task, grace, site };
	rc = lade_post_at(loop, take_ask, ask, site);
	if (rc < 0)
		lade_free(ask);
	return rc;
}
