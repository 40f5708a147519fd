/* SPDX-License-Identifier: MIT */
/* scope.c - scopes with children: blocks, and the end of a child as its parent sees it.
 *
 * INVARIANT  live + daemons children are in the list or, for tasks that could not be run, are
 * ending this moment; a scope is closed only when both counts are 0. */

#include "core/core_priv.h"

#include <errno.h>

/* The place of an ended child goes straight to the task that has waited longest for one. */
void lade_hand_over_place(struct lade_scope *scope)
{
	struct lade_link *first;

	if (scope->live >= scope->children_max)
		return;
	first = lade_list_pop(&scope->spawners);
	if (!first)
		return;
	scope->live++;
	lade_complete(LADE_CONTAINER(first, struct lade_op, link), 0);
}

/* Whether a child's failure counts against its parent. An -ECANCELED does not where it is the
 * answer to a request on the child alone (then it is forgiven) or on this very scope, by name or
 * by leaving it early; nor does that of a daemon, which is cancelled in any case and has no
 * result. */
static bool counts(const struct lade_scope *scope, const struct lade_task *task)
{
	if (task->flags & TASK_FORGIVEN)
		return false;
	return task->status != -ECANCELED ||
	       !((task->flags & TASK_DAEMON) || (scope->head.flags & NODE_FIRED));
}

bool lade_child_failed(struct lade_scope *scope, struct lade_task *task)
{
	int status = task->status;

	switch (scope->policy) {
	case POLICY_FAIL_FAST:
		if (scope->first || !counts(scope, task))
			break;
		scope->first = status;
		lade_request(scope->loop, &scope->head, LEVEL_HARD, LADE_REASON_SIBLING,
			     task->site, task->type->name);
		break;
	case POLICY_ALL:
		if (!scope->first && counts(scope, task))
			scope->first = status;
		break;
	case POLICY_RACE_OK:
		if (status != -ECANCELED)
			scope->last = status;
		break;
	case POLICY_RACE:
		return status != -ECANCELED;
	}
	return false;
}

void lade_scope_await(struct lade_scope *scope, const char *what, const char *site)
{
	struct lade_op op = { .what = what, .site = site };

	scope->waiter = &op;
	(void)lade_op_wait(&op);
}

/* Cancels the daemons one by one: the scope itself has ended well and is not cancelled. */
static void cancel_daemons(struct lade_scope *scope, const char *site)
{
	struct lade_link *it, *next;

	for (it = scope->children.next; it != &scope->children; it = next) {
		next = it->next;
		lade_request(scope->loop, LADE_CONTAINER(it, struct lade_ctl, sibling)->root,
			     LEVEL_HARD, LADE_REASON_PARENT, site, lade_task_name());
	}
}

/* Waits for every child; children, cancelled daemons too, may go on starting others meanwhile. */
static void await_children(struct lade_scope *scope, const char *site)
{
	while (scope->live || scope->daemons) {
		if (scope->live) {
			lade_scope_await(scope, "children", site);
		} else {
			cancel_daemons(scope, site);
			lade_scope_await(scope, "daemon children", site);
		}
	}
}

struct lade_scope *lade_scope_open(struct lade_scope *scope, const struct lade_scope_config *config,
				   const char *site)
{
	struct lade_ctl *ctl = lade_cur;

	if (lade_unlikely(ctl->gate & (GATE_OUTSIDE | GATE_NO_SUSPEND)))
		(void)lade_gate_closed(ctl, site);
	lade_node_open(ctl, &scope->head, NODE_BLOCK, site);
	lade_scope_init(scope, ctl->loop, (enum scope_policy)config->policy);
	scope->rc = config->rc;
	if (config->max_children)
		scope->children_max = config->max_children;
	for (int i = 0; i < LADE_SCOPE_VALUES; i++)
		scope->values[i] = (struct lade_scope_value){ NULL, NULL };
	if (config->cleanup.ns)
		scope->head.cleanup_ns = config->cleanup.ns;
	return scope;
}

/* The block's outcome, once all children have ended. */
static int outcome(const struct lade_scope *scope)
{
	int rc = *scope->rc;

	if (scope->policy == POLICY_FAIL_FAST && scope->first)
		rc = scope->first;
	if (rc == -ECANCELED && lade_scope_fired_by_user(&scope->head))
		rc = 0;
	return rc;
}

static void close_scope(struct lade_scope *scope, const char *site)
{
	if (lade_unlikely(lade_cur->scope != &scope->head))
		lade_node_misplaced(&scope->head, site);
	await_children(scope, site);
	scope->state = SCOPE_CLOSED;
	*scope->rc = outcome(scope);
	lade_node_close(lade_cur, &scope->head, site);
}

/* The body counts as a child.  Returns whether it is the first to fail. */
static bool body_failed(struct lade_scope *scope)
{
	int rc = *scope->rc;

	if (rc >= 0 || scope->first || scope->policy != POLICY_FAIL_FAST)
		return false;
	if (rc == -ECANCELED && (scope->head.flags & NODE_FIRED))
		return false;
	scope->first = rc;
	return true;
}

struct lade_scope *lade_scope_end(struct lade_scope *scope, const char *site)
{
	if (body_failed(scope))
		lade_request(scope->loop, &scope->head, LEVEL_HARD, LADE_REASON_SIBLING, site,
			     lade_task_name());
	close_scope(scope, site);
	return NULL;
}

void lade_scope_leave(struct lade_scope *scope)
{
	if (scope->state == SCOPE_CLOSED)
		return;
	(void)body_failed(scope);
	lade_request(scope->loop, &scope->head, LEVEL_HARD, LADE_REASON_PARENT, scope->head.site,
		     lade_task_name());
	close_scope(scope, scope->head.site);
}
