/* SPDX-License-Identifier: MIT */
/* join.c - joins and races: several tasks as one wait, or as one task.
 *
 * DESIGN
 * A join or race is a scope of its own, on the waiting task's stack, whose children are the
 * members; what a child's end means is the scope's policy. A race is decided by the racing task
 * when it runs again, not at the instant of the first end: whoever has ended by then takes part in
 * the tie, and the lowest index wins.
 *
 * A composite is the same scope inside a struct of its own, with a control block that has no
 * stack. Where the racing task would be resumed, the composite has its turn in the ready queue:
 * the same decision at the same moment.
 *
 * LIMITS  twelve members; more are an array of tasks in a scope. DEPTH_MAX composites in one
 * another: starting is a recursion, on the stack of whoever starts the outermost. */

#include "core/start.h"

#include <lade/join.h>

#include <errno.h>
#include <string.h>

#define DEPTH_MAX 128

static bool is_race(const struct lade_scope *group)
{
	return group->policy == POLICY_RACE || group->policy == POLICY_RACE_OK;
}

/* The first member in order that has won by now, or -1. */
static int find_winner(const struct lade_scope *group)
{
	for (int i = 0; i < group->member_count; i++) {
		const struct lade_task *m = group->members[i];

		if (m->state == TASK_ENDED &&
		    (m->status >= 0 ||
		     (group->policy == POLICY_RACE && m->status != -ECANCELED)))
			return i;
	}
	return -1;
}

static inline __attribute__((always_inline)) void
start_members(struct lade_scope *group, struct lade_task *const *members, size_t count,
	      const char *site)
{
	for (size_t i = 0; i < count; i++)
		lade_task_start_inline(group, members[i], 0, 0, site);
}

static void cancel_losers(struct lade_scope *group, int winner)
{
	const struct lade_task *m = group->members[winner];

	if (group->live)
		lade_request(group->loop, &group->head, LEVEL_HARD, LADE_REASON_RACE_LOST,
			     m->site, m->type->name);
}

/* The winner so far, or -1; the moment it is known, the others are cancelled. */
static int decide(struct lade_scope *group, int winner)
{
	if (!is_race(group) || winner >= 0)
		return winner;
	winner = find_winner(group);
	if (winner >= 0)
		cancel_losers(group, winner);
	return winner;
}

static int dispose_all_but(struct lade_scope *group, int winner, int rc)
{
	for (int i = 0; i < group->member_count; i++)
		if (i != winner)
			lade_task_dispose(group->members[i]);
	return rc;
}

/* The status of the first member that has none of success; 0: all have succeeded. A member that
 * was cancelled by name fails nobody, but its value is not there. */
static int first_unsuccessful(const struct lade_scope *group)
{
	for (int i = 0; i < group->member_count; i++)
		if (group->members[i]->status < 0)
			return group->members[i]->status;
	return 0;
}

/* What a join returns once all members have ended. */
static inline __attribute__((always_inline)) int join_outcome(struct lade_scope *group)
{
	int rc = group->first;

	if (lade_likely(rc == 0))
		rc = first_unsuccessful(group);
	if (lade_unlikely(rc < 0) && group->policy == POLICY_FAIL_FAST)
		return dispose_all_but(group, -1, rc);
	return rc;
}

/* What a race returns once all members have ended. */
static int race_outcome(struct lade_scope *group, int winner)
{
	if (winner >= 0)
		return dispose_all_but(group, winner, winner);
	return group->last ? group->last : -ECANCELED;
}

static inline __attribute__((always_inline)) void
group_init(struct lade_scope *group, struct lade_loop *loop, enum scope_policy policy,
	   struct lade_task *const *members, size_t count)
{
	lade_scope_init(group, loop, policy);
	group->members = members;
	group->member_count = (uint16_t)count;
}

/* Counts a call whose members could not even be run against the inline budget: a loop of such
 * calls must not keep the others from their turn. */
static void count_inline(struct lade_ctl *ctl)
{
	if (--ctl->loop->inline_left < 0)
		(void)lade_take_turn(ctl);
}

/* Starts the members also when a cancel is pending: they then give up their arguments. */
static inline __attribute__((always_inline)) int run_group(enum scope_policy policy,
							   struct lade_task *const *members,
							   size_t count, const char *what,
							   const char *site)
{
	struct lade_ctl *ctl = lade_cur;
	struct lade_scope group;
	int winner = -1;

	if (lade_unlikely(ctl->gate & (GATE_OUTSIDE | GATE_NO_SUSPEND)))
		(void)lade_gate_closed(ctl, site);
	lade_node_open(ctl, &group.head, NODE_GROUP, site);
	group_init(&group, ctl->loop, policy, members, count);
	start_members(&group, members, count, site);
	if (lade_unlikely(group.live < count)) { /* who could not be run has ended already */
		winner = decide(&group, -1);
		if (!group.live)
			count_inline(ctl);
	}
	while (group.live) {
		struct lade_op op;

		lade_op_init(&op, what, site, NULL);
		group.waiter = &op;
		(void)lade_op_wait_inline(&op);
		winner = decide(&group, winner);
	}
	group.state = SCOPE_CLOSED;
	lade_node_close(ctl, &group.head, site);
	return is_race(&group) ? race_outcome(&group, winner) : join_outcome(&group);
}

int lade_join_at(struct lade_task *const *members, size_t count, const char *site)
{
	return run_group(POLICY_FAIL_FAST, members, count, "a join", site);
}

int lade_join_all_at(struct lade_task *const *members, size_t count, const char *site)
{
	return run_group(POLICY_ALL, members, count, "a join", site);
}

int lade_race_ok_at(struct lade_task *const *members, size_t count, const char *site)
{
	return run_group(POLICY_RACE_OK, members, count, "a race", site);
}

int lade_race_at(struct lade_task *const *members, size_t count, const char *site)
{
	return run_group(POLICY_RACE, members, count, "a race", site);
}

/* Composites. The three public structs have the same fields; this is their common view. */
struct composite {
	LADE_COMPOSITE_FIELDS_
};

_Static_assert(sizeof(struct composite) == sizeof(struct lade_join_task), "one layout");
_Static_assert(sizeof(struct composite) == sizeof(struct lade_race_ok_task), "one layout");
_Static_assert(sizeof(struct composite) == sizeof(struct lade_race_task), "one layout");

static void composite_end(struct composite *c)
{
	int rc;

	c->group.state = SCOPE_CLOSED;
	if (!is_race(&c->group)) {
		rc = join_outcome(&c->group);
	} else {
		rc = race_outcome(&c->group, c->winner);
		if (c->winner >= 0) {
			rc = c->members[c->winner]->status;
			if (rc >= 0)
				rc = 0;
			else
				c->winner = -1;
		}
	}
	lade_ctl_end(&c->ctl, rc);
}

/* The composite's turn: the race is decided, or all members have ended. */
static void composite_ready(struct lade_ctl *ctl)
{
	struct composite *c = LADE_CONTAINER(ctl, struct composite, ctl);

	ctl->flags &= ~(uint32_t)CTL_QUEUED;
	c->winner = decide(&c->group, c->winner);
	if (!c->group.live)
		composite_end(c);
}

/* How deep a composite lies that is started in a scope. */
static uint32_t depth_in(const struct lade_scope *scope, const struct lade_task *task)
{
	const struct lade_ctl *owner = scope->head.owner;
	uint32_t depth = owner && !owner->context.sp ? owner->depth + 1 : 1;

	if (lade_unlikely(depth > DEPTH_MAX))
		lade_misuse("%s: composites lie in one another more than %d deep; the innermost "
			    "one allowed was made at %s",
			    task->site, DEPTH_MAX, owner->root->site);
	return depth;
}

static void composite_start(struct lade_scope *scope, struct lade_task *task,
			    enum scope_policy policy)
{
	struct composite *c = LADE_CONTAINER(task, struct composite, head);

	c->ctl.depth = depth_in(scope, task);
	c->winner = -1;
	c->ctl.context.sp = NULL;
	c->ctl.flags = 0;
	c->ctl.ready = composite_ready;
	lade_ctl_attach(&c->ctl, scope->loop, scope, task, &c->group.head, NODE_GROUP);
	group_init(&c->group, scope->loop, policy, c->members, c->count);
	if (task->flags & TASK_CANCELLED)
		lade_request(scope->loop, &c->group.head, LEVEL_HARD, LADE_REASON_USER,
			     task->site, "");
	start_members(&c->group, c->members, c->count, task->site);
}

static void join_start(struct lade_scope *scope, struct lade_task *task)
{
	composite_start(scope, task, POLICY_FAIL_FAST);
}

static void race_ok_start(struct lade_scope *scope, struct lade_task *task)
{
	composite_start(scope, task, POLICY_RACE_OK);
}

static void race_start(struct lade_scope *scope, struct lade_task *task)
{
	composite_start(scope, task, POLICY_RACE);
}

static const struct lade_task_type join_type = {
	.start = join_start,
	.name = "join",
	.version = LADE_LAYOUT_VERSION,
};
static const struct lade_task_type race_ok_type = {
	.start = race_ok_start,
	.name = "race_ok",
	.version = LADE_LAYOUT_VERSION,
};
static const struct lade_task_type race_type = {
	.start = race_start,
	.name = "race",
	.version = LADE_LAYOUT_VERSION,
};

static void keep_members(struct lade_task **kept, struct lade_task *const *members, size_t count)
{
	for (size_t i = 0; i < count; i++)
		kept[i] = members[i];
}

struct lade_join_task lade_join_task_at(struct lade_task *const *members, size_t count,
					const char *site)
{
	struct lade_join_task c = { .head = { .type = &join_type, .site = site },
				    .winner = -1,
				    .count = (uint32_t)count };

	keep_members(c.members, members, count);
	return c;
}

struct lade_race_ok_task lade_race_ok_task_at(struct lade_task *const *members, size_t count,
					      const char *site)
{
	struct lade_race_ok_task c = { .head = { .type = &race_ok_type, .site = site },
				       .winner = -1,
				       .count = (uint32_t)count };

	keep_members(c.members, members, count);
	return c;
}

struct lade_race_task lade_race_task_at(struct lade_task *const *members, size_t count,
					const char *site)
{
	struct lade_race_task c = { .head = { .type = &race_type, .site = site },
				    .winner = -1,
				    .count = (uint32_t)count };

	keep_members(c.members, members, count);
	return c;
}
