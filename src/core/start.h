/* SPDX-License-Identifier: MIT */
#ifndef LADE_CORE_START_H
#define LADE_CORE_START_H

/* start.h - the start and the end of a task, inlined where they must be quick.
 *
 * What a task goes through when all is well is here, in one piece; whatever else can happen is a
 * call into task.c. */

#include "core/record.h"
#include "core/stack.h"
#include "core/switch.h"

#include <errno.h>

/* lade_task_run - where a task's stack begins: calls the function, ends the task. */
__attribute__((noreturn)) void lade_task_run(void);

/* lade_behind_shadow - the user's task behind what runs of it on another core; else itself. */
const struct lade_task *lade_behind_shadow(const struct lade_task *task);

/* lade_task_start_any - the rest of a start that is not the common one. */
void lade_task_start_any(struct lade_scope *scope, struct lade_task *task, size_t bytes,
			 const char *site);

/* The mistakes that a start and an end can find; each ends the process. */
__attribute__((noreturn, cold)) void
lade_task_unstartable(struct lade_scope *scope, struct lade_task *task, const char *site);
__attribute__((noreturn, cold)) void lade_task_moved(const struct lade_ctl *ctl);
__attribute__((noreturn, cold)) void lade_task_left_open(const struct lade_ctl *ctl);

/* lade_wake_waiters - wakes the tasks that wait for the end of this one. */
void lade_wake_waiters(struct lade_task *task);

/* lade_ctl_attach - makes a control block the running side of a task, a child of @scope. */
static inline __attribute__((always_inline)) void
lade_ctl_attach(struct lade_ctl *ctl, struct lade_loop *loop, struct lade_scope *scope,
		     struct lade_task *task, struct lade_node *root, enum node_kind kind)
{
	ctl->loop = loop;
	ctl->scope = root;
	ctl->wait = NULL;
	ctl->head = task;
	ctl->root = root;
	ctl->fired.kind = LADE_REASON_NONE;
	ctl->number = ++loop->tasks_started;
	lade_node_init(root, &scope->head, ctl, kind, task->site);
	ctl->gate = loop->gate | (root->eff == LEVEL_HARD ? GATE_CANCEL : 0);
	lade_list_append(&scope->children, &ctl->sibling);
	task->ctl = ctl;
	lade_record(loop, EVENT_START, ctl, task->site);
}

/* lade_asked_alone - whether a task itself was asked to end. What a composite asks of its members,
 * when one has failed or won, is on the same node and is no such request. */
static inline bool lade_asked_alone(const struct lade_node *root)
{
	return root->level == LEVEL_HARD && root->reason.kind != LADE_REASON_SIBLING &&
	       root->reason.kind != LADE_REASON_RACE_LOST;
}

/* lade_ctl_end - the end of a task: status, waiters, parent. The ctl is not touched after. */
static inline __attribute__((always_inline)) void lade_ctl_end(struct lade_ctl *ctl, int status)
{
	struct lade_task *task = ctl->head;
	struct lade_node *root = ctl->root;
	struct lade_scope *scope = LADE_CONTAINER(root->outer, struct lade_scope, head);

	if (lade_unlikely(task->self != task || task->ctl != ctl))
		lade_task_moved(ctl);
	if (lade_unlikely(ctl->scope != root))
		lade_task_left_open(ctl);
	if (lade_unlikely(ctl->gate & GATE_OBSERVED))
		ctl->loop->observer->ended(ctl->loop->observer, ctl, status);
	lade_record_end(ctl, status);
	lade_timer_stop(ctl->loop, &root->timer);
	lade_list_remove(&ctl->sibling);
	if (lade_unlikely(status == -ECANCELED) && lade_asked_alone(root) &&
	    scope->head.eff != LEVEL_HARD)
		task->flags |= TASK_FORGIVEN;
	task->status = status;
	task->state = TASK_ENDED;
	task->ctl = NULL;
	if (lade_unlikely(!lade_list_empty(&task->waiters)))
		lade_wake_waiters(task);
	lade_child_ended(scope, task);
}

/* lade_task_run_on - queues a task, to begin on the stack of @ctl, below @top. */
static inline __attribute__((always_inline)) void lade_task_run_on(struct lade_ctl *ctl,
								   struct lade_scope *scope,
								   struct lade_task *task,
								   void *top)
{
	lade_ctl_attach(ctl, scope->loop, scope, task,
			&LADE_CONTAINER(ctl, struct lade_top, ctl)->root, NODE_TASK);
	lade_context_init(&ctl->context, top, lade_task_run);
	lade_ready(ctl);
}

/* lade_task_start_inline - lade_task_start for the calls that must be quick. */
static inline __attribute__((always_inline)) void
lade_task_start_inline(struct lade_scope *scope, struct lade_task *task, size_t bytes,
		       unsigned flags, const char *site)
{
	const struct lade_task_type *type = task->type;
	struct lade_ctl *ctl;

	if (lade_unlikely(type->version != LADE_LAYOUT_VERSION || task->state != TASK_LAZY ||
			  scope->state != SCOPE_OPEN))
		lade_task_unstartable(scope, task, site);
	task->self = task;
	task->site = site;
	task->state = TASK_STARTED;
	task->flags |= (uint8_t)flags;
	lade_list_init(&task->waiters);
	if (flags & TASK_DAEMON)
		scope->daemons++;
	else
		scope->live++;
	if (lade_unlikely(bytes || type->start || type->stack_bytes ||
			  (task->flags & TASK_CANCELLED) || scope->head.eff == LEVEL_HARD)) {
		lade_task_start_any(scope, task, bytes, site);
		return;
	}
	ctl = lade_stack_take(scope->loop->stacks, LADE_STACK_BYTES_DEFAULT);
	if (lade_likely(ctl))
		lade_task_run_on(ctl, scope, task, ctl);
	else
		lade_task_start_any(scope, task, 0, site);
}

#endif
