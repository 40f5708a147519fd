/* SPDX-License-Identifier: MIT */
/* node.c - the chain of scopes: requests, deadlines, shields, and who hears of them.
 *
 * DESIGN
 * Every task has a chain of nodes, from its innermost scope out to its own, whose outer one is the
 * parent's scope in another task: all chains together are a tree. A request marks one node and is
 * spread inward at once: each node keeps in @eff what holds for the code directly inside it, so
 * the test on entry to a suspending call is one load. Spreading is a loop over a work list, not a
 * recursion: the tree may be deeper than a stack. First everybody is marked, then parked tasks are
 * told: all are signalled before any can run.
 *
 * A shield stops the spreading, and a hard request starts its budget; when that is over it lets
 * the request in, and no shield inside it has any budget left, whenever its own began to run. A
 * deadline is an ordinary request, made by a timer; one that is not earlier than the deadline
 * outside it is never armed, so of equal deadlines the outermost fires.
 *
 * INVARIANT  eff >= level; eff == max(level, outer's eff unless this is a closed shield). */

#include "core/record.h"

#include <errno.h>

static bool is_closed_shield(const struct lade_node *node)
{
	return lade_is_shield(node->kind) && !(node->flags & NODE_OPENED);
}

static bool has_children(const struct lade_node *node)
{
	return node->kind == NODE_BLOCK || node->kind == NODE_GROUP;
}

static uint8_t eff_of(const struct lade_node *node)
{
	bool is_apart = !node->outer || is_closed_shield(node) || (node->flags & NODE_GUEST);
	uint8_t eff = is_apart ? LEVEL_NONE : node->outer->eff;

	return eff > node->level ? eff : node->level;
}

static uint8_t spent_of(const struct lade_node *node)
{
	if (lade_is_shield(node->kind))
		return node->flags & NODE_OPENED ? NODE_SPENT : 0;
	return node->outer ? node->outer->flags & NODE_SPENT : 0;
}

void lade_node_misplaced(const struct lade_node *node, const char *site)
{
	lade_misuse("%s: the scope of %s is closed by a task that does not own it, or before a "
		    "scope inside it",
		    site, node->site);
}

int64_t lade_budgets_end(const struct lade_node *node)
{
	int64_t end = INT64_MAX;

	if (node->flags & NODE_SPENT)
		return INT64_MIN;
	for (; node; node = node->outer)
		if ((node->flags & NODE_DEFERRED) && node->budget_end_ns < end)
			end = node->budget_end_ns;
	return end;
}

/* The end of a shield's budget: its own, and no later than that of a shield round it. */
static int64_t budget_end(const struct lade_node *shield, int64_t now_ns)
{
	int64_t end = lade_instant_after((struct lade_instant){ now_ns },
					 (struct lade_duration){ shield->budget_ns })
			      .mono_ns;
	int64_t outer_end = lade_budgets_end(shield->outer);

	return outer_end < end ? outer_end : end;
}

static void shield_over(struct lade_timer *timer);

/* A hard request has come to a closed shield from outside.  Returns whether it must be let in. */
static bool shield_defers(struct lade_loop *loop, struct lade_node *shield)
{
	int64_t end, now_ns;

	if (shield->flags & NODE_DEFERRED)
		return false;
	now_ns = lade_loop_now(loop);
	end = budget_end(shield, now_ns);
	if (shield->kind == NODE_CLEANUP) {
		/* All the cleanups of one scope share its budget. */
		if (!shield->outer->cleanup_end_ns)
			shield->outer->cleanup_end_ns = end;
		else if (shield->outer->cleanup_end_ns < end)
			end = shield->outer->cleanup_end_ns;
	}
	shield->flags |= NODE_DEFERRED;
	shield->budget_end_ns = end;
	if (end <= now_ns)
		return true;
	lade_timer_start(loop, &shield->timer, end, TIMER_BUDGET, shield_over);
	return false;
}

static void tell(struct lade_loop *loop, struct lade_ctl *ctl)
{
	if (!ctl)
		return;
	lade_gate_set(ctl);
	if (!ctl->wait || (ctl->flags & CTL_DELIVERING))
		return;
	ctl->flags |= CTL_DELIVERING;
	ctl->deliver_next = loop->deliver;
	loop->deliver = ctl;
}

static void open_shield(struct lade_loop *loop, struct lade_node *shield)
{
	lade_timer_stop(loop, &shield->timer);
	shield->flags |= NODE_OPENED;
	lade_report(loop, "%s at %s has overrun its budget of %lld ms in task %s: the cancel is "
			  "delivered now",
		    shield->kind == NODE_CLEANUP ? "the cleanup" : "the shield", shield->site,
		    (long long)(shield->budget_ns / 1000000), shield->owner->head->type->name);
}

/* Marks one node and what lies inside it in the same task; children go on the work list. */
static struct lade_node *spread_in_task(struct lade_loop *loop, struct lade_node *node,
					struct lade_node *work)
{
	for (;; node = node->inner) {
		uint8_t eff = eff_of(node), spent = spent_of(node);
		bool raised = eff > node->eff;

		if (!raised && spent == (node->flags & NODE_SPENT))
			return work;
		node->eff = eff;
		node->flags |= spent;
		if (has_children(node)) {
			struct lade_scope *scope = LADE_CONTAINER(node, struct lade_scope, head);
			struct lade_link *it;

			for (it = scope->children.prev; it != &scope->children; it = it->prev) {
				struct lade_ctl *child =
					LADE_CONTAINER(it, struct lade_ctl, sibling);

				child->root->work = work;
				work = child->root;
			}
		}
		if (!node->inner) {
			if (raised)
				tell(loop, node->owner);
			return work;
		}
		if (is_closed_shield(node->inner)) {
			/* A soft request is held back and delivers nothing: no budget runs. */
			if (!spent &&
			    (eff != LEVEL_HARD || !shield_defers(loop, node->inner)))
				return work;
			open_shield(loop, node->inner);
		}
	}
}

static void spread(struct lade_loop *loop, struct lade_node *node)
{
	struct lade_node *work = node;

	node->work = NULL;
	while (work) {
		node = work;
		work = spread_in_task(loop, node, node->work);
	}
	if (loop->delivering)
		return;
	loop->delivering = true;
	while (loop->deliver) {
		struct lade_ctl *ctl = loop->deliver;

		loop->deliver = ctl->deliver_next;
		ctl->flags &= ~(uint32_t)CTL_DELIVERING;
		lade_deliver(ctl);
	}
	loop->delivering = false;
}

static void shield_over(struct lade_timer *timer)
{
	struct lade_node *shield = LADE_CONTAINER(timer, struct lade_node, timer);
	struct lade_loop *loop = shield->owner->loop;

	open_shield(loop, shield);
	spread(loop, shield);
}

void lade_shield_overrun(struct lade_node *shield)
{
	shield_over(&shield->timer);
}

void lade_request_for(struct lade_loop *loop, struct lade_node *node, enum level level,
		      const struct lade_reason *why)
{
	/* What is hard already, if only from outside, keeps the reason for that. */
	if (node->level >= level || node->eff == LEVEL_HARD)
		return;
	if (node->level == LEVEL_NONE) {
		node->reason = *why;
		node->reason.at_ns = loop->now_ns;
	}
	lade_record_request(loop, node, level, why->kind, why->site);
	node->level = (uint8_t)level;
	if (level == LEVEL_HARD)
		node->flags |= NODE_FIRED;
	spread(loop, node);
}

void lade_request(struct lade_loop *loop, struct lade_node *node, enum level level,
		  enum lade_reason_kind kind, const char *site, const char *task)
{
	const struct lade_reason why = { .kind = kind, .root = kind, .site = site, .task = task };

	lade_request_for(loop, node, level, &why);
}

/* The end of the grace that lade_cancel gave. */
static void grace_over(struct lade_timer *timer)
{
	struct lade_node *node = LADE_CONTAINER(timer, struct lade_node, timer);

	lade_request(node->owner->loop, node, LEVEL_HARD, node->reason.kind, node->reason.site,
		     node->reason.task);
}

void lade_request_with_grace(struct lade_loop *loop, struct lade_node *node,
			     struct lade_duration grace, enum lade_reason_kind kind,
			     const char *site)
{
	int64_t hard_ns;

	if (node->eff == LEVEL_HARD)
		return;
	lade_request(loop, node, grace.ns ? LEVEL_SOFT : LEVEL_HARD, kind, site,
		     lade_task_name());
	if (!grace.ns) {
		lade_timer_stop(loop, &node->timer);
		return;
	}
	hard_ns = lade_instant_after((struct lade_instant){ lade_loop_now(loop) }, grace).mono_ns;
	if (lade_timer_armed(&node->timer)) {
		if (node->timer.at_ns <= hard_ns)
			return;
		lade_timer_stop(loop, &node->timer);
	}
	lade_timer_start(loop, &node->timer, hard_ns, TIMER_DEADLINE, grace_over);
}

void lade_cancel_scope_at(struct lade_node *node, struct lade_duration grace, const char *site)
{
	struct lade_scope *scope = LADE_CONTAINER(node, struct lade_scope, head);

	if (scope->state == SCOPE_OPEN)
		lade_request_with_grace(scope->loop, node, grace, LADE_REASON_USER, site);
}

void lade_cancel_task_at(struct lade_task *task, struct lade_duration grace, const char *site)
{
	if (task->state == TASK_LAZY)
		task->flags |= TASK_CANCELLED;
	else if (task->state == TASK_STARTED && task->self != task)
		lade_misuse("%s: task %s, started at %s, was moved or freed while it ran", site,
			    task->type->name, task->site);
	else if (task->state == TASK_STARTED)
		lade_request_with_grace(task->ctl->loop, task->ctl->root, grace,
					LADE_REASON_USER, site);
}

/* within */

static void deadline_passed(struct lade_timer *timer)
{
	struct lade_node *node = LADE_CONTAINER(timer, struct lade_node, timer);
	struct lade_ctl *ctl = node->owner;

	lade_request(ctl->loop, node, LEVEL_HARD, LADE_REASON_DEADLINE, node->site,
		     ctl->head->type->name);
}

void lade_within_open(struct lade_node *node, struct lade_instant deadline, const char *site)
{
	struct lade_ctl *ctl = lade_cur;
	struct lade_loop *loop = ctl->loop;

	if (lade_unlikely(ctl->gate & (GATE_OUTSIDE | GATE_NO_SUSPEND)))
		(void)lade_gate_closed(ctl, site);
	lade_node_open(ctl, node, NODE_WITHIN, site);
	if (deadline.mono_ns >= node->deadline_ns)
		return;
	node->deadline_ns = deadline.mono_ns;
	if (lade_unlikely(deadline.mono_ns <= loop->now_ns))
		lade_request(loop, node, LEVEL_HARD, LADE_REASON_DEADLINE, site,
			     ctl->head->type->name);
	else
		lade_timer_start(loop, &node->timer, deadline.mono_ns, TIMER_DEADLINE,
				 deadline_passed);
}

__attribute__((noreturn)) static void left_open(const struct lade_node *node)
{
	const struct lade_node *within = node;

	while (within && within->kind != NODE_WITHIN)
		within = within->outer;
	lade_misuse("%s: the scope of %s was left open inside the deadline that ends here",
		    within ? within->site : "?", node->site);
}

int lade_within_close(int rc)
{
	struct lade_ctl *ctl = lade_cur;
	struct lade_node *node = ctl->scope;

	if (lade_unlikely(node->kind != NODE_WITHIN))
		left_open(node);
	if (lade_unlikely(node->flags & NODE_FIRED)) {
		ctl->fired = node->reason;
		if (rc == -ECANCELED)
			rc = -ETIME;
	}
	lade_node_close(ctl, node, node->site);
	return rc;
}

/* Shields and cleanups */

static void shield_node_open(struct lade_node *node, enum node_kind kind, const char *site)
{
	struct lade_ctl *ctl = lade_cur;

	lade_node_open(ctl, node, kind, site);
	node->budget_end_ns = INT64_MAX;
	if (kind == NODE_CLEANUP)
		node->budget_ns = node->cleanup_ns;
}

/* A shield that opens while a hard request is pending: its budget runs from here. */
static void shield_node_begin(struct lade_node *node)
{
	struct lade_ctl *ctl = lade_cur;

	if (node->outer->eff == LEVEL_HARD && shield_defers(ctl->loop, node)) {
		open_shield(ctl->loop, node);
		spread(ctl->loop, node);
	}
	lade_gate_set(ctl);
}

struct lade_node *lade_shield_open(struct lade_node *node, struct lade_duration budget,
				   const char *site)
{
	if (lade_cur->gate & GATE_OUTSIDE)
		(void)lade_gate_closed(lade_cur, site);
	if (budget.ns == INT64_MAX)
		lade_misuse("%s: a shield needs a finite budget", site);
	shield_node_open(node, NODE_SHIELD, site);
	node->budget_ns = budget.ns;
	shield_node_begin(node);
	return node;
}

void lade_shield_leave(struct lade_node *node)
{
	lade_node_close(lade_cur, node, node->site);
}

void lade_cleanup_open(struct lade_node *node, const char *site)
{
	if (lade_cur->gate & GATE_OUTSIDE)
		return;
	shield_node_open(node, NODE_CLEANUP, site);
	shield_node_begin(node);
}

void lade_cleanup_close(struct lade_node *node)
{
	if (lade_cur->gate & GATE_OUTSIDE)
		return;
	lade_node_close(lade_cur, node, node->site);
}

void lade_deferred_run(struct lade_deferred *deferred)
{
	struct lade_node node;

	lade_cleanup_open(&node, deferred->site);
	deferred->fn(deferred->arg);
	lade_cleanup_close(&node);
}

const char *lade_no_suspend_open(const char *site)
{
	struct lade_ctl *ctl = lade_cur;

	if (ctl->gate & GATE_OUTSIDE)
		return site;
	/* A nested one keeps the outer place, and must not end it: it gives an empty name back. */
	if (ctl->gate & GATE_NO_SUSPEND)
		return "";
	ctl->gate |= GATE_NO_SUSPEND;
	ctl->no_suspend_site = site;
	return site;
}

void lade_no_suspend_leave(const char **site)
{
	if (**site && !(lade_cur->gate & GATE_OUTSIDE))
		lade_cur->gate &= ~(uint32_t)GATE_NO_SUSPEND;
}

/* Questions */

bool lade_stopping(void)
{
	return lade_cur->scope && lade_cur->scope->eff >= LEVEL_SOFT;
}

bool lade_cancelled(void)
{
	return lade_cur->gate & GATE_CANCEL;
}

/* The scope whose child a task is, given its own: a composite is no task of its own, so its members
 * are children of the scope in which it was started. */
static const struct lade_node *parent_scope(const struct lade_node *root)
{
	const struct lade_node *node = root->outer;

	while (node && node->level == LEVEL_NONE && node->owner && !node->owner->context.sp)
		node = node->outer;
	return node;
}

/* What a request on another task's scope is to its child: what befell a sibling of it, or a race
 * that it was in, is told as such; all else has befallen its parent. */
static bool is_its_own(const struct lade_node *node, const struct lade_node *parent)
{
	return node == parent && (node->reason.kind == LADE_REASON_SIBLING ||
				  node->reason.kind == LADE_REASON_RACE_LOST);
}

struct lade_reason lade_reason_from(const struct lade_node *node)
{
	struct lade_reason why = { .site = "", .task = "" };
	const struct lade_node *parent = NULL;
	bool other_task = false;

	for (; node && node->level == LEVEL_NONE; node = node->outer) {
		if (node->kind == NODE_TASK && !other_task) {
			other_task = true;
			parent = parent_scope(node);
		}
	}
	if (!node)
		return why;
	why = node->reason;
	if (other_task && !is_its_own(node, parent))
		why.kind = LADE_REASON_PARENT;
	return why;
}

struct lade_reason lade_why(void)
{
	const struct lade_ctl *ctl = lade_cur;
	struct lade_reason why = lade_reason_from(ctl->scope);
	bool holds = ctl->scope && ctl->scope->eff != LEVEL_NONE;

	if (!holds && ctl->fired.kind != LADE_REASON_NONE &&
	    (why.kind == LADE_REASON_NONE || ctl->fired.at_ns > why.at_ns))
		return ctl->fired;
	return why;
}

void lade_cancel_handled(void)
{
	struct lade_ctl *ctl = lade_cur;

	if (ctl->gate & GATE_OBSERVED)
		ctl->loop->observer->handled(ctl->loop->observer, ctl);
}

const char *lade_reason_name(enum lade_reason_kind kind)
{
	static const char *const names[] = { "none",	  "user",   "deadline", "sibling",
					     "race lost", "parent", "shutdown" };

	return (size_t)kind < sizeof(names) / sizeof(*names) ? names[kind] : "unknown";
}

int lade_scope_set(struct lade_scope *scope, const struct lade_key *key, void *value)
{
	struct lade_scope_value *free_slot = NULL;

	for (int i = 0; i < LADE_SCOPE_VALUES; i++) {
		struct lade_scope_value *slot = &scope->values[i];

		if (slot->key == key) {
			slot->value = value;
			return 0;
		}
		if (!slot->key && !free_slot)
			free_slot = slot;
	}
	if (!free_slot)
		return -ENOSPC;
	*free_slot = (struct lade_scope_value){ key, value };
	return 0;
}

void *lade_scope_get(const struct lade_key *key)
{
	for (const struct lade_node *n = lade_cur->scope; n; n = n->outer) {
		const struct lade_scope *scope;

		if (n->kind != NODE_BLOCK)
			continue;
		scope = LADE_CONTAINER(n, const struct lade_scope, head);
		for (int i = 0; i < LADE_SCOPE_VALUES; i++)
			if (scope->values[i].key == key)
				return scope->values[i].value;
	}
	return NULL;
}
