/* SPDX-License-Identifier: MIT */
/* task.c - from a lazy struct to a running task and to its end.
 *
 * DESIGN
 * Starting takes a stack, writes the control block at its top and queues it; the first switch
 * enters lade_task_run, which calls the function with the kept arguments. The user's struct and the
 * control block point at each other: when they disagree at the end, the struct was moved or freed
 * while the task ran. A spawned task's struct is copied below the control block and dies with the
 * stack. A task that cannot run (cancelled scope, no stack) still ends like any other: its
 * arguments are given up, its parent and its waiters are told. */

#include "core/start.h"

#include <errno.h>
#include <string.h>

void lade_null_result(const struct lade_task *task)
{
	lade_misuse("task %s, started at %s, was written by lade_do with NULL for its result",
		    task->type->name, task->site);
}

const char *lade_task_name(void)
{
	return lade_cur->head ? lade_cur->head->type->name : "";
}

void lade_wake_waiters(struct lade_task *task)
{
	struct lade_link *it;

	while ((it = lade_list_pop(&task->waiters)))
		lade_complete(LADE_CONTAINER(it, struct lade_op, link), 0);
}

void lade_task_moved(const struct lade_ctl *ctl)
{
	lade_misuse("a task, started at %s, was moved or freed while it ran: at its end its "
		    "struct is not where it began",
		    ctl->root->site);
}

void lade_task_left_open(const struct lade_ctl *ctl)
{
	lade_misuse("task %s, started at %s, ended inside its scope of %s", ctl->head->type->name,
		    ctl->head->site, ctl->scope->site);
}

__attribute__((noreturn)) void lade_task_run(void)
{
	struct lade_loop *loop;
	struct lade_ctl *ctl, *next;
	int status;

	san_first_arrive();
	ctl = lade_cur;
	status = ctl->head->type->run(ctl->head);
	if (lade_unlikely(ctl->flags & CTL_CANARY))
		lade_stack_check(ctl);
	lade_ctl_end(ctl, status);
	loop = ctl->loop;
	next = lade_next_ready(loop);
	/* Nothing runs between here and the switch that could take this stack again. */
	lade_stack_give(loop->stacks, ctl);
	lade_switch_to(loop, &ctl->context, next, true);
	__builtin_unreachable();
}

/* Why a task cannot be started here. */
void lade_task_unstartable(struct lade_scope *scope, struct lade_task *task, const char *site)
{
	if (task->type->version != LADE_LAYOUT_VERSION)
		lade_misuse("%s: compiled for layout %u, running %u: rebuild", site,
			    task->type->version, LADE_LAYOUT_VERSION);
	if (task->state != TASK_LAZY)
		lade_misuse("%s: task %s is started twice; the first time was at %s", site,
			    task->type->name, task->site);
	lade_misuse("%s: task %s is started in the scope of %s, which is closed", site,
		    task->type->name, scope->head.site);
}

/* The end of a task that never ran. */
static void end_unrun(struct lade_scope *scope, struct lade_task *task, int status)
{
	task->status = status;
	task->state = TASK_ENDED;
	if (task->type->drop_args)
		lade_no_suspend
			task->type->drop_args(task);
	lade_child_ended(scope, task);
}

/* Gives a task a stack; @bytes > 0: and moves the struct to its top. */
static bool give_stack(struct lade_scope *scope, struct lade_task *task, size_t bytes)
{
	const struct lade_task_type *type = task->type;
	size_t wanted = type->stack_bytes ? type->stack_bytes() : 0;
	struct lade_ctl *ctl;
	char *top;

	if (!wanted)
		wanted = LADE_STACK_BYTES_DEFAULT;
	/* Large arguments lie on the stack twice: as kept, and as the function gets them. */
	if (lade_unlikely(bytes > wanted / 8))
		wanted += 2 * bytes;
	ctl = lade_stack_take(scope->loop->stacks, wanted);
	if (lade_unlikely(!ctl))
		return false;
	top = (char *)ctl;
	if (bytes) {
		top -= (bytes + 63) & ~(size_t)63;
		task = memcpy(top, task, bytes);
		task->self = task;
		lade_list_init(&task->waiters);
	}
	lade_task_run_on(ctl, scope, task, top);
	return true;
}

void lade_task_start_any(struct lade_scope *scope, struct lade_task *task, size_t bytes,
			 const char *site)
{
	if (task->type->start) {
		if (bytes)
			lade_misuse("%s: a composite lives in the block that wrote it and cannot "
				    "be spawned",
				    site);
		task->type->start(scope, task);
	} else if (task->flags & TASK_CANCELLED) {
		task->flags |= TASK_FORGIVEN;
		end_unrun(scope, task, -ECANCELED);
	} else if (scope->head.eff == LEVEL_HARD) {
		end_unrun(scope, task, -ECANCELED);
	} else if (!give_stack(scope, task, bytes)) {
		end_unrun(scope, task, -ENOMEM);
	}
}

void lade_task_start(struct lade_scope *scope, struct lade_task *task, size_t bytes,
		     unsigned flags, const char *site)
{
	lade_task_start_inline(scope, task, bytes, flags, site);
}

void lade_start_at(struct lade_scope *scope, struct lade_task *task, const char *site)
{
	lade_task_start(scope, task, 0, 0, site);
}

void lade_start_daemon_at(struct lade_scope *scope, struct lade_task *task, const char *site)
{
	lade_task_start(scope, task, 0, TASK_DAEMON, site);
}

static enum lade_abort_result unlink_abort(struct lade_op *op)
{
	lade_list_remove(&op->link);
	return LADE_ABORTED;
}

/* Waits for a place among the children; when it is given, it is taken (live counts it). */
static int await_place(struct lade_scope *scope, const char *site)
{
	struct lade_op op = { .what = "a place among the children",
			      .site = site,
			      .abort = unlink_abort };

	lade_list_append(&scope->spawners, &op.link);
	return lade_op_wait(&op);
}

int lade_spawn_at(struct lade_scope *scope, struct lade_task *task, size_t bytes,
		  const char *site)
{
	int rc = lade_enter(site);

	if (rc == 0 && (scope->live >= scope->children_max ||
			!lade_list_empty(&scope->spawners))) {
		rc = await_place(scope, site);
		if (rc == 0)
			scope->live--; /* the place is ours; starting counts it again */
	}
	if (rc == 0)
		lade_task_start(scope, task, bytes, 0, site);
	else if (task->type->drop_args)
		lade_no_suspend
			task->type->drop_args(task);
	return rc;
}

/* A struct may move when its task has ended, or before it is started; not while it runs. */
static void check_in_place(const struct lade_task *task, const char *site)
{
	if (lade_unlikely(task->state == TASK_STARTED && task->self != task))
		lade_misuse("%s: task %s, started at %s, was moved or freed while it ran", site,
			    task->type->name, task->site);
}

static void check_alive(const struct lade_task *task, const char *site)
{
	if (lade_unlikely(task->state == TASK_LAZY))
		lade_misuse("%s: task %s is awaited but was never started", site,
			    task->type ? task->type->name : "(no task)");
	check_in_place(task, site);
}

int lade_wait_at(struct lade_task *task, const char *site)
{
	struct lade_op op = { .what = "a task", .site = site, .abort = unlink_abort };
	int rc;

	check_alive(task, site);
	rc = lade_enter(site);
	if (rc < 0 || task->state == TASK_ENDED)
		return rc;
	lade_list_append(&task->waiters, &op.link);
	return lade_op_wait(&op);
}

int lade_status_at(const struct lade_task *task, const char *site)
{
	check_in_place(task, site);
	return task->state == TASK_ENDED ? task->status : -EINPROGRESS;
}

void lade_value_at(const struct lade_task *task, const char *site)
{
	if (lade_unlikely(task->state != TASK_ENDED))
		lade_misuse("%s: the value of task %s is read, which %s %s", site,
			    task->type->name,
			    task->state == TASK_LAZY ? "was never started" : "still runs, since",
			    task->state == TASK_LAZY ? "" : task->site);
	if (lade_unlikely(task->status < 0))
		lade_misuse("%s: the value of task %s, started at %s, is read although it ended "
			    "with %d (%s)",
			    site, task->type->name, task->site ? task->site : "?", task->status,
			    strerror(-task->status));
}

void lade_task_dispose(struct lade_task *task)
{
	bool disposed = false;

	if (task->state != TASK_ENDED || task->status < 0 || !task->type->dispose)
		return;
	lade_no_suspend
		disposed = task->type->dispose(task);
	if (disposed)
		task->status = -ECANCELED;
}
