/* SPDX-License-Identifier: MIT */
/* dump.c - the tree of scopes and tasks, as text: who waits for what, where, since when, and why.
 *
 * Walks what the scheduler itself uses; nothing is kept for it. One line a task or a scope with
 * children, indented by depth.
 *
 * LIMITS  DEPTH_MAX levels; what lies deeper is counted. */

#include "core/core_priv.h"

#include <lade/dump.h>

#include <inttypes.h>
#include <stdio.h>

#define DEPTH_MAX 64

static double seconds_since(const struct lade_loop *loop, int64_t then_ns)
{
	return (double)(loop->now_ns - then_ns) / 1e9;
}

static void dump_reason(int fd, const struct lade_loop *loop, const struct lade_node *node)
{
	if (node->level == LEVEL_NONE)
		return;
	dprintf(fd, ", asked to end%s: %s at %s%s%s, %.3f s ago",
		node->level == LEVEL_SOFT ? " softly" : "", lade_reason_name(node->reason.kind),
		node->reason.site, *node->reason.task ? " by " : "", node->reason.task,
		seconds_since(loop, node->reason.at_ns));
}

static void dump_deadline(int fd, const struct lade_loop *loop, const struct lade_node *innermost)
{
	if (innermost && innermost->deadline_ns != INT64_MAX)
		dprintf(fd, ", %.3f s to its deadline",
			(double)(innermost->deadline_ns - loop->now_ns) / 1e9);
}

static void dump_task(int fd, const struct lade_ctl *ctl, int depth)
{
	const struct lade_loop *loop = ctl->loop;
	const struct lade_op *op = ctl->wait;

	dprintf(fd, "%*s%s #%" PRIu64 ", started at %s", 2 * depth, "", ctl->head->type->name,
		ctl->number, ctl->head->site);
	if (ctl->head->flags & TASK_DAEMON)
		dprintf(fd, ", daemon");
	if (op)
		dprintf(fd, ": waits for %s at %s since %.3f s", op->what, op->site,
			seconds_since(loop, op->since_ns));
	else if (!ctl->context.sp)
		dprintf(fd, ": a composite");
	else
		dprintf(fd, ctl == lade_cur ? ": runs" : ": ready");
	dump_reason(fd, loop, ctl->root);
	dump_deadline(fd, loop, ctl->scope);
	dprintf(fd, "\n");
}

static void dump_children(int fd, const struct lade_scope *scope, int depth);

/* A task's chain of scopes, from its own inward. */
static void dump_chain(int fd, const struct lade_node *node, int depth)
{
	for (; node; node = node->inner) {
		static const char *const kinds[] = { "task",   "scope",	 "join or race",
						     "within", "shield", "cleanup" };
		const struct lade_scope *scope = LADE_CONTAINER(node, const struct lade_scope,
								head);
		bool has_children = node->kind == NODE_BLOCK || node->kind == NODE_GROUP;

		if (node->kind != NODE_TASK && (has_children || node->level)) {
			dprintf(fd, "%*s%s of %s", 2 * depth, "", kinds[node->kind], node->site);
			if (has_children)
				dprintf(fd, ", %" PRIu32 " children", scope->live + scope->daemons);
			dump_reason(fd, node->owner->loop, node);
			dprintf(fd, "\n");
		}
		if (has_children)
			dump_children(fd, scope, depth + 1);
	}
}

static void dump_children(int fd, const struct lade_scope *scope, int depth)
{
	if (depth > DEPTH_MAX) {
		dprintf(fd, "%*s… and %" PRIu32 " children\n", 2 * depth, "", scope->live);
		return;
	}
	for (struct lade_link *it = scope->children.next; it != &scope->children; it = it->next) {
		const struct lade_ctl *ctl = LADE_CONTAINER(it, const struct lade_ctl, sibling);

		dump_task(fd, ctl, depth);
		dump_chain(fd, ctl->root, depth + 1);
	}
}

void lade_dump_loop(struct lade_loop *loop, int fd)
{
	uint64_t ready = loop->queued - loop->taken;

	dprintf(fd, "lade: loop on %s, %" PRIu64 " tasks started, %" PRIu64 " ready\n",
		loop->backend->name, loop->tasks_started, ready);
	dump_children(fd, &loop->root, 1);
}

void lade_dump(int fd)
{
	if (lade_cur->loop)
		lade_dump_loop(lade_cur->loop, fd);
}
