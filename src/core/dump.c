/* SPDX-License-Identifier: MIT */
/* dump.c - the tree of scopes and tasks, as text: who waits for what, where, since when, and why.
 *
 * Walks what the scheduler itself uses; nothing is kept for it. One line a task, and one for each
 * scope, deadline and shield that a task is in, indented by depth.
 *
 * LIMITS  DEPTH_MAX levels; of what lies deeper the children are counted. LINES_MAX lines, then the
 * other tasks are counted. */

#include "core/core_priv.h"
#include "core/stack.h"

#include <lade/dump.h>

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#define DEPTH_MAX 64
#define LINES_MAX 10000

/* A dump on its way: text is gathered, so that a task costs no system call of its own. */
struct dump {
	struct lade_loop *loop;
	int fd;		   /* where it goes */
	uint32_t lines;	   /* begun so far */
	uint64_t left_out; /* tasks beyond LINES_MAX */
	size_t len;	   /* bytes gathered */
	char text[2048];
};

static void flush(struct dump *d)
{
	size_t done = 0;

	while (done < d->len) {
		ssize_t n = write(d->fd, d->text + done, d->len - done);

		if (n < 0 && errno != EINTR)
			break; /* whoever reads it has gone, or cannot keep up */
		done += n > 0 ? (size_t)n : 0;
	}
	d->len = 0;
}

__attribute__((format(printf, 2, 3))) static void say(struct dump *d, const char *format, ...)
{
	size_t room = sizeof(d->text) / 2;
	va_list args;
	int n;

	if (d->len > room)
		flush(d);
	va_start(args, format);
	n = vsnprintf(d->text + d->len, room, format, args);
	va_end(args);
	if (n > 0)
		d->len += (size_t)n < room ? (size_t)n : room - 1;
}

static double seconds_since(const struct dump *d, int64_t then_ns)
{
	return (double)(d->loop->now_ns - then_ns) / 1e9;
}

static void say_reason(struct dump *d, const struct lade_reason *why, const char *how)
{
	say(d, ", asked to end%s: %s", how, lade_reason_name(why->kind));
	if (why->root != why->kind)
		say(d, " (%s)", lade_reason_name(why->root));
	say(d, " at %s%s%s, %.3f s ago", why->site, *why->task ? " by " : "", why->task,
	    seconds_since(d, why->at_ns));
}

/* What holds for the task where it is now, wherever it was asked. */
static void say_request(struct dump *d, const struct lade_ctl *ctl)
{
	struct lade_reason why = lade_reason_from(ctl->scope);

	if (why.kind == LADE_REASON_NONE)
		return;
	say_reason(d, &why, ctl->scope->eff == LEVEL_HARD   ? ""
			    : ctl->scope->eff == LEVEL_SOFT ? " softly"
							    : " (held back by a shield)");
}

static void say_activity(struct dump *d, const struct lade_ctl *ctl)
{
	const struct lade_op *op = ctl->wait;

	if (op)
		say(d, ": waits for %s at %s since %.3f s", op->what, op->site,
		    seconds_since(d, op->since_ns));
	else if (!ctl->context.sp)
		say(d, ": a composite");
	else
		say(d, ctl == lade_cur ? ": runs" : ": ready");
	if (ctl->context.sp && ctl != lade_cur)
		say(d, ", %zu bytes of stack",
		    (size_t)((const char *)ctl - (const char *)ctl->context.sp));
}

/* Returns whether there may be one more line. */
static bool begin_line(struct dump *d, int depth)
{
	if (d->lines == LINES_MAX)
		return false;
	d->lines++;
	say(d, "%*s", 2 * depth, "");
	return true;
}

static void dump_task(struct dump *d, const struct lade_ctl *ctl, int depth)
{
	if (d->loop->stacks->marks && ctl->context.sp)
		lade_marks_note(d->loop->stacks, ctl);
	if (!begin_line(d, depth)) {
		d->left_out++;
		return;
	}
	say(d, "%s #%" PRIu64 ", started at %s", ctl->head->type->name, ctl->number,
	    ctl->head->site);
	if (ctl->head->flags & TASK_DAEMON)
		say(d, ", daemon");
	say_activity(d, ctl);
	say_request(d, ctl);
	if (ctl->scope->deadline_ns != INT64_MAX)
		say(d, ", %.3f s to its deadline", -seconds_since(d, ctl->scope->deadline_ns));
	say(d, "\n");
}

static void say_shield(struct dump *d, const struct lade_node *node)
{
	say(d, " with %.3f s", (double)node->budget_ns / 1e9);
	if (node->flags & NODE_OPENED)
		say(d, ", overrun");
	else if (node->flags & NODE_DEFERRED)
		say(d, ", holds a request back, %.3f s left",
		    -seconds_since(d, node->budget_end_ns));
}

static void say_deadline(struct dump *d, const struct lade_node *node)
{
	if (node->flags & NODE_FIRED)
		say(d, ", passed");
	else if (lade_timer_armed(&node->timer))
		say(d, ", %.3f s left", -seconds_since(d, node->timer.at_ns));
	else
		say(d, ", after one outside");
}

static void say_children(struct dump *d, const struct lade_scope *scope)
{
	say(d, ", %" PRIu32 " children", scope->live + scope->daemons);
	if (scope->daemons)
		say(d, ", daemons among them: %" PRIu32, scope->daemons);
}

static bool has_children(const struct lade_node *node)
{
	return node->kind == NODE_BLOCK || node->kind == NODE_GROUP;
}

static void dump_node(struct dump *d, const struct lade_node *node, int depth)
{
	static const char *const kinds[] = { "task",   "scope",	 "join or race",
					     "within", "shield", "cleanup" };

	if (!begin_line(d, depth))
		return;
	say(d, "%s of %s", kinds[node->kind], node->site);
	if (has_children(node))
		say_children(d, LADE_CONTAINER(node, const struct lade_scope, head));
	else if (node->kind == NODE_WITHIN)
		say_deadline(d, node);
	else
		say_shield(d, node);
	if (node->level != LEVEL_NONE)
		say_reason(d, &node->reason, node->level == LEVEL_SOFT ? " softly" : "");
	say(d, "\n");
}

static void dump_children(struct dump *d, const struct lade_scope *scope, int depth);

/* A task's chain of scopes, from its own inward. */
static void dump_chain(struct dump *d, const struct lade_node *node, int depth)
{
	for (; node; node = node->inner) {
		if (node->kind != NODE_TASK)
			dump_node(d, node, depth);
		if (has_children(node))
			dump_children(d, LADE_CONTAINER(node, const struct lade_scope, head),
				      depth + 1);
	}
}

static void dump_children(struct dump *d, const struct lade_scope *scope, int depth)
{
	if (depth > DEPTH_MAX) {
		if (scope->live + scope->daemons && begin_line(d, depth))
			say(d, "… and %" PRIu32 " children, deeper than %d levels\n",
			    scope->live + scope->daemons, DEPTH_MAX);
		return;
	}
	for (struct lade_link *it = scope->children.next; it != &scope->children; it = it->next) {
		const struct lade_ctl *ctl = LADE_CONTAINER(it, const struct lade_ctl, sibling);

		dump_task(d, ctl, depth);
		dump_chain(d, ctl->root, depth + 1);
	}
}

static void dump_marks(struct dump *d)
{
	struct lade_stacks *stacks = d->loop->stacks;
	const struct stack_mark *mark = lade_marks_next(stacks, NULL);

	if (mark)
		say(d, "lade: deepest use of stacks, by start line\n");
	for (; mark; mark = lade_marks_next(stacks, mark))
		say(d, "  %s: %zu of %zu bytes\n", mark->site, mark->bytes, mark->stack_bytes);
}

void lade_dump_loop(struct lade_loop *loop, int fd)
{
	struct dump d = { .loop = loop, .fd = fd };

	say(&d, "lade: loop on %s, %" PRIu64 " tasks started, %" PRIu64 " ready\n",
	    loop->backend->name, loop->tasks_started, loop->queued - loop->taken);
	dump_children(&d, &loop->root, 1);
	if (d.left_out)
		say(&d, "… and %" PRIu64 " tasks more\n", d.left_out);
	dump_marks(&d);
	flush(&d);
}

void lade_dump(int fd)
{
	if (lade_cur->loop)
		lade_dump_loop(lade_cur->loop, fd);
}
