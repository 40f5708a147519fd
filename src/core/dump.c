/* SPDX-License-Identifier: MIT */
/* dump.c - the tree of scopes and tasks, as text: who waits for what, where, since when, and why.
 *
 * DESIGN
 * Walks what the scheduler itself uses; nothing is kept for it but the flight recorder. One line a
 * task with its stack below, and one for each scope, deadline and shield that a task is in,
 * indented by depth. A stack that was shown already is named by its task.
 *
 * A careful dump interrupts the loop wherever it is, so each object is copied by a call that fails
 * where there is no memory, a child must point back to whoever names it, and the steps are counted:
 * a tree that is being changed is shown up to there. It writes addresses in braces; another thread
 * puts the names in.
 *
 * LIMITS  LEVELS_MAX levels of tasks; of what lies deeper the children are counted. LINES_MAX
 * lines, then the other tasks are counted. STACKS_MAX different stacks. EVENTS_SHOWN_MAX events.
 * CHAIN_MAX requests of a task. STEPS_MAX objects in a careful dump. */

#include "core/dump_priv.h"
#include "core/record.h"
#include "core/start.h"
#include "core/text.h"

#include <lade/dump.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LEVELS_MAX 32
#define LINES_MAX 10000
#define STACKS_MAX 128
#define EVENTS_SHOWN_MAX 32
#define CHAIN_MAX 4
#define STEPS_MAX 1000000

/* A list of children on the way down. */
struct below {
	const struct lade_link *head;	/* of the list */
	const struct lade_link *at;	/* the child that is next */
	const struct lade_link *before; /* the one before it */
	const struct lade_node *node;	/* of the last child's chain: what is next, or NULL */
};

/* A stack that was shown. */
struct shown {
	uint64_t hash;	 /* of its addresses */
	uint64_t number; /* of its task */
};

/* A dump on its way. */
struct dump {
	const struct lade_loop *loop;
	const struct lade_dump_how *how;
	struct lade_text text;
	struct lade_symbols *symbols; /* or NULL: addresses stay */
	int64_t now_ns;		      /* the time */
	uint32_t lines;		      /* begun so far */
	uint32_t steps;		      /* objects looked at */
	uint64_t left_out;	      /* tasks beyond LINES_MAX */
	uint32_t shown_len;	      /* used of shown */
	struct shown shown[STACKS_MAX];
	uint32_t depth;		      /* used of levels */
	struct below levels[LEVELS_MAX];
};

#define say(d, ...) lade_text_say(&(d)->text, __VA_ARGS__)

static bool look(struct dump *d, void *to, const void *from, size_t len)
{
	d->steps++;
	return lade_peek(d->how->careful, to, from, len);
}

static void say_seconds(struct dump *d, const char *before, int64_t ns, const char *after)
{
	say(d, "%s", before);
	lade_text_seconds(&d->text, ns);
	say(d, "%s", after);
}

static void say_since(struct dump *d, int64_t then_ns)
{
	lade_text_seconds(&d->text, d->now_ns - then_ns);
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

/* Stacks */

static void say_address(struct dump *d, uintptr_t pc)
{
	char name[200];

	if (!d->symbols) {
		say(d, "{%lx}", (unsigned long)pc);
		return;
	}
	lade_symbol(d->symbols, pc, name, sizeof(name));
	say(d, "%s", name);
}

static void say_stack(struct dump *d, const uintptr_t *pcs, uint32_t n, int depth)
{
	say(d, "%*sstack: ", 2 * depth, "");
	for (uint32_t i = 0; i < n; i++) {
		say(d, "%s", i ? " < " : "");
		say_address(d, pcs[i]);
	}
	say(d, "\n");
}

/* The number of the task that has shown the same stack; 0: none has, and it is remembered. */
static uint64_t shown_by(struct dump *d, const uintptr_t *pcs, uint32_t n, uint64_t number)
{
	uint64_t hash = UINT64_C(14695981039346656037);

	for (uint32_t i = 0; i < n; i++)
		hash = (hash ^ pcs[i]) * UINT64_C(1099511628211);
	for (uint32_t i = 0; i < d->shown_len; i++)
		if (d->shown[i].hash == hash)
			return d->shown[i].number;
	if (d->shown_len < STACKS_MAX)
		d->shown[d->shown_len++] = (struct shown){ hash, number };
	return 0;
}

static uint32_t stack_of(struct dump *d, const struct lade_ctl *at, const struct lade_ctl *ctl,
			 uintptr_t pcs[LADE_FRAMES_MAX])
{
	/* A task that has not begun has nothing to show. */
	if (at != lade_cur && ctl->context.pc == (void *)(uintptr_t)lade_task_run)
		return 0;
	if (at != lade_cur)
		return lade_frames_of(ctl, NULL, d->how->careful, pcs);
	return d->how->running ? lade_frames(d->how->running, d->how->careful, pcs) : 0;
}

/* Requests */

static void say_reason(struct dump *d, const struct lade_reason *why)
{
	say(d, "%s", lade_reason_name(why->kind));
	if (why->root != why->kind)
		say(d, " (%s)", lade_reason_name(why->root));
	say(d, " at %s", why->site);
	if (why->task && (d->how->careful || *why->task))
		say(d, " by %s", why->task);
	say(d, ", ");
	say_since(d, why->at_ns);
	say(d, " ago");
}

static const char *how_it_holds(const struct lade_node *innermost)
{
	return innermost->eff == LEVEL_HARD   ? ""
	       : innermost->eff == LEVEL_SOFT ? " softly"
					      : " (held back by a shield)";
}

/* What holds for the task where it is now, wherever it was asked, and what had been asked round
 * that before. */
static void say_requests(struct dump *d, const struct lade_ctl *ctl)
{
	struct lade_node innermost, node;
	const struct lade_node *at = ctl->scope;
	struct lade_reason why;
	int found = 0;

	(void)look(d, &innermost, at, sizeof(innermost));
	for (; at && found < CHAIN_MAX && d->steps < STEPS_MAX; at = node.outer) {
		if (!look(d, &node, at, sizeof(node)))
			return;
		if (node.level == LEVEL_NONE)
			continue;
		why = node.reason;
		if (!found && !d->how->careful)
			why = lade_reason_from(ctl->scope); /* as seen from this task */
		if (found++)
			say(d, "; round that: ");
		else
			say(d, ", asked to end%s: ", how_it_holds(&innermost));
		say_reason(d, &why);
	}
}

/* Tasks */

static void say_activity(struct dump *d, const struct lade_ctl *at, const struct lade_ctl *ctl)
{
	struct lade_op op;

	if (ctl->wait && look(d, &op, ctl->wait, sizeof(op))) {
		say(d, ": waits for %s at %s since ", op.what, op.site);
		say_since(d, op.since_ns);
	} else if (!ctl->context.sp) {
		say(d, ": a composite");
	} else {
		say(d, at == lade_cur ? ": runs" : ": ready");
	}
	if (ctl->context.sp && at != lade_cur)
		say(d, ", %zu bytes of stack",
		    (size_t)((const char *)at - (const char *)ctl->context.sp));
}

static void say_remaining(struct dump *d, const struct lade_ctl *ctl)
{
	struct lade_node scope;

	if (!look(d, &scope, ctl->scope, sizeof(scope)) || scope.deadline_ns == INT64_MAX)
		return;
	say_seconds(d, ", ", scope.deadline_ns - d->now_ns, " to its deadline");
}

/* A control block with what names it. */
struct named {
	struct lade_ctl ctl;
	struct lade_task head;
	struct lade_task_type type;
};

static bool name_task(struct dump *d, struct named *n, const struct lade_ctl *at)
{
	return look(d, &n->ctl, at, sizeof(n->ctl)) &&
	       look(d, &n->head, n->ctl.head, sizeof(n->head)) &&
	       look(d, &n->type, n->head.type, sizeof(n->type));
}

static void dump_task(struct dump *d, const struct lade_ctl *at, const struct named *n, int depth)
{
	uintptr_t pcs[LADE_FRAMES_MAX];
	uint32_t frames = stack_of(d, at, &n->ctl, pcs);
	bool room = d->shown_len < STACKS_MAX;
	uint64_t same = frames ? shown_by(d, pcs, frames, n->ctl.number) : 0;

	if (d->loop->stacks->marks && n->ctl.context.sp && !d->how->careful)
		lade_marks_note(d->loop->stacks, at);
	if (!begin_line(d, depth)) {
		d->left_out++;
		return;
	}
	say(d, "%s #%lu, started at %s", n->type.name, (unsigned long)n->ctl.number, n->head.site);
	if (n->head.flags & TASK_DAEMON)
		say(d, ", daemon");
	say_activity(d, at, &n->ctl);
	say_requests(d, &n->ctl);
	say_remaining(d, &n->ctl);
	if (same)
		say(d, ", stack as #%lu\n", (unsigned long)same);
	else
		say(d, "\n");
	if (frames && !same && room)
		say_stack(d, pcs, frames, depth + 2);
}

/* Scopes */

static void say_shield(struct dump *d, const struct lade_node *node)
{
	say_seconds(d, " with ", node->budget_ns, "");
	if (node->flags & NODE_OPENED)
		say(d, ", overrun");
	else if (node->flags & NODE_DEFERRED)
		say_seconds(d, ", holds a request back, ", node->budget_end_ns - d->now_ns,
			    " left");
}

static void say_deadline(struct dump *d, const struct lade_node *node)
{
	if (node->flags & NODE_FIRED)
		say(d, ", passed");
	else if (lade_timer_armed(&node->timer))
		say_seconds(d, ", ", node->timer.at_ns - d->now_ns, " left");
	else
		say(d, ", after one outside");
}

static void say_children(struct dump *d, const struct lade_scope *scope)
{
	say(d, ", %u children", scope->live + scope->daemons);
	if (scope->daemons)
		say(d, ", daemons among them: %u", scope->daemons);
}

static bool has_children(const struct lade_node *node)
{
	return node->kind == NODE_BLOCK || node->kind == NODE_GROUP;
}

static const char *kind_name(const struct lade_node *node)
{
	static const char *const kinds[] = { "task",   "scope",	 "join or race",
					     "within", "shield", "cleanup" };

	return node->kind < sizeof(kinds) / sizeof(*kinds) ? kinds[node->kind] : "?";
}

static void dump_node(struct dump *d, const struct lade_scope *scope, int depth)
{
	const struct lade_node *node = &scope->head;

	if (!begin_line(d, depth))
		return;
	say(d, "%s of %s", kind_name(node), node->site);
	if (has_children(node))
		say_children(d, scope);
	else if (node->kind == NODE_WITHIN)
		say_deadline(d, node);
	else
		say_shield(d, node);
	if (node->level != LEVEL_NONE) {
		say(d, ", asked to end%s: ", node->level == LEVEL_SOFT ? " softly" : "");
		say_reason(d, &node->reason);
	}
	say(d, "\n");
}

/* The walk */

/* Goes down to the children of a scope, a copy of the one at @at. */
static void go_down(struct dump *d, const struct lade_scope *at, const struct lade_scope *scope)
{
	int depth = 2 * (int)d->depth + 1;

	if (d->depth < LEVELS_MAX)
		d->levels[d->depth++] = (struct below){ &at->children, scope->children.next,
							&at->children, NULL };
	else if (scope->live + scope->daemons && begin_line(d, depth))
		say(d, "… and %u children, deeper than %d levels\n", scope->live + scope->daemons,
		    2 * LEVELS_MAX);
}

/* The next of a task's chain of scopes, from its own inward. */
static void walk_node(struct dump *d, struct below *level)
{
	const struct lade_node *at = level->node;
	struct lade_scope scope;
	bool whole;

	level->node = NULL;
	if (!look(d, &scope.head, at, sizeof(scope.head)))
		return;
	whole = has_children(&scope.head) && look(d, &scope, at, sizeof(scope));
	level->node = scope.head.inner;
	if (scope.head.kind != NODE_TASK)
		dump_node(d, &scope, 2 * (int)d->depth);
	if (whole)
		go_down(d, LADE_CONTAINER(at, const struct lade_scope, head), &scope);
}

/* The next child of a list; its control block must be one. */
static void walk_child(struct dump *d, struct below *level)
{
	/* As a number: in a careful dump the link may be anything. */
	const struct lade_ctl *at =
		(const void *)((uintptr_t)level->at - offsetof(struct lade_ctl, sibling));
	struct named n;
	int depth = 2 * (int)d->depth - 1;

	if (!name_task(d, &n, at) || n.ctl.loop != d->loop || n.ctl.sibling.prev != level->before) {
		say(d, "%*s… children that are being changed\n", 2 * depth, "");
		d->depth--;
		return;
	}
	level->before = level->at;
	level->at = n.ctl.sibling.next;
	level->node = n.ctl.root;
	dump_task(d, at, &n, depth);
}

static void walk(struct dump *d)
{
	d->levels[d->depth++] = (struct below){ &d->loop->root.children,
						d->loop->root.children.next,
						&d->loop->root.children, NULL };
	while (d->depth && (!d->how->careful || d->steps < STEPS_MAX)) {
		struct below *level = &d->levels[d->depth - 1];

		if (level->node)
			walk_node(d, level);
		else if (level->at && level->at != level->head)
			walk_child(d, level);
		else
			d->depth--;
	}
	if (d->depth)
		say(d, "… and more: too much for a loop that is held\n");
	if (d->left_out)
		say(d, "… and %lu tasks more\n", (unsigned long)d->left_out);
}

/* What belongs to the loop as a whole */

static void say_who(struct dump *d, const struct lade_recorded *e)
{
	struct lade_task_type type;
	struct named n;

	if (!e->ctl)
		say(d, "the loop");
	else if (e->type && look(d, &type, e->type, sizeof(type)))
		say(d, "%s", type.name);
	else if (name_task(d, &n, e->ctl) && n.ctl.loop == d->loop)
		say(d, "%s #%lu", n.type.name, (unsigned long)n.ctl.number);
	else
		say(d, "a task");
	if (e->ctl && e->type && e->number)
		say(d, " #%lu", (unsigned long)e->number);
}

static void say_result(struct dump *d, int status)
{
	if (status < 0 && strerrorname_np(-status))
		say(d, "-%s", strerrorname_np(-status));
	else
		say(d, "%d", status);
}

static void say_event(struct dump *d, const struct lade_recorded *e)
{
	say(d, "  turn %lu, ", (unsigned long)e->turns);
	if (e->at_ns)
		say_seconds(d, "", d->now_ns - e->at_ns, " ago: ");
	else
		say(d, "earlier: ");
	if (e->kind == EVENT_REQUEST) {
		say(d, "%s asks ", lade_reason_name(e->reason));
		say_who(d, e);
		say(d, " to end%s, at %s\n", e->level == LEVEL_SOFT ? " softly" : "", e->site);
		return;
	}
	say_who(d, e);
	if (e->kind == EVENT_START) {
		say(d, " is started at %s\n", e->site);
	} else if (e->kind == EVENT_WAIT) {
		say(d, " waits at %s\n", e->site);
	} else if (e->kind == EVENT_CANCELLED) {
		say(d, " is told of its cancel as a call begins\n");
	} else {
		say(d, e->kind == EVENT_END ? " ends with " : " gets what it waited for: ");
		say_result(d, e->status);
		say(d, "\n");
	}
}

static void dump_events(struct dump *d)
{
	struct lade_recorded e;
	size_t from[EVENTS_SHOWN_MAX], n = 0, back = 0;

	while (n < EVENTS_SHOWN_MAX && back < lade_record_len(d->loop))
		if (lade_record_get(d->loop, ++back, &e))
			from[n++] = back;
	if (n)
		say(d, "lade: the last events, latest last\n");
	while (n--)
		if (lade_record_get(d->loop, from[n], &e))
			say_event(d, &e);
}

static void dump_marks(struct dump *d)
{
	struct lade_stacks *stacks = d->loop->stacks;
	const struct stack_mark *mark;

	if (!d->how->careful)
		lade_stacks_measure(stacks);
	mark = lade_marks_next(stacks, NULL);
	if (mark)
		say(d, "lade: deepest use of stacks, by start line\n");
	for (; mark; mark = lade_marks_next(stacks, mark))
		say(d, "  %s: %zu of %zu bytes\n", mark->site, mark->bytes, mark->stack_bytes);
}

/* Who holds the core while the loop does not answer. */
static void dump_running(struct dump *d)
{
	uintptr_t pcs[LADE_FRAMES_MAX];
	struct named n;

	if (lade_cur->head && name_task(d, &n, lade_cur))
		say(d, "lade: %s #%lu, started at %s, holds the core\n", n.type.name,
		    (unsigned long)n.ctl.number, n.head.site);
	else if (lade_cur->loop)
		say(d, "lade: a callback holds the core, which was given at %s\n",
		    lade_cur->no_suspend_site);
	else
		say(d, "lade: no task holds the core, and the loop does not answer\n");
	say_stack(d, pcs, lade_frames(d->how->running, true, pcs), 1);
}

void lade_dump_how(struct lade_loop *loop, const struct lade_dump_how *how)
{
	struct dump d = { .loop = loop,
			  .how = how,
			  .text = { .fd = how->fd, .careful = how->careful } };

	d.symbols = how->careful ? NULL : lade_symbols_new();
	d.now_ns = loop->backend->now(loop);
	say(&d, "lade: loop on %s", loop->backend->name);
	if (loop->cores)
		say(&d, ", core %u", loop->core);
	say(&d, ", %lu tasks started, %lu ready\n",
	    (unsigned long)loop->tasks_started, (unsigned long)(loop->queued - loop->taken));
	if (how->careful)
		dump_running(&d);
	walk(&d);
	dump_events(&d);
	dump_marks(&d);
	lade_text_flush(&d.text);
	lade_symbols_free(d.symbols);
}

void lade_dump_loop(struct lade_loop *loop, int fd)
{
	lade_dump_how(loop, &(struct lade_dump_how){ .fd = fd });
}

__attribute__((noinline)) void lade_dump(int fd)
{
	const struct lade_ctl *ctl = lade_cur;
	struct lade_frames_from here = { .bp = (uintptr_t)__builtin_frame_address(0),
					 .low = (uintptr_t)ctl->stack,
					 .high = (uintptr_t)ctl->stack + ctl->stack_bytes };

	if (ctl->loop)
		lade_dump_how(ctl->loop, &(struct lade_dump_how){ .fd = fd, .running = &here });
}

/* Names */

/* Writes text, of which every "{1f2e}" is an address. */
static void copy_named(struct lade_symbols *symbols, struct lade_text *to, const char *text,
		       size_t len)
{
	char name[200], *end;

	for (size_t i = 0; i < len; i++) {
		unsigned long pc = text[i] == '{' ? strtoul(text + i + 1, &end, 16) : 0;

		if (pc && *end == '}') {
			lade_symbol(symbols, pc, name, sizeof(name));
			lade_text_say(to, "%s", name);
			i = (size_t)(end - text);
		} else {
			lade_text_say(to, "%c", text[i]);
		}
	}
}

void lade_dump_names(int from_fd, int fd)
{
	struct lade_symbols *symbols = lade_symbols_new();
	struct lade_text to = { .fd = fd };
	char text[4097];
	off_t at = 0;
	ssize_t n;

	while ((n = pread(from_fd, text, sizeof(text) - 1, at)) > 0) {
		size_t len = (size_t)n;
		char *open;

		text[len] = 0;
		/* An address that is cut in two is left for the next round. */
		open = len == sizeof(text) - 1 ? memrchr(text + len - 24, '{', 24) : NULL;
		if (open && !strchr(open, '}'))
			len = (size_t)(open - text);
		copy_named(symbols, &to, text, len);
		at += (off_t)len;
	}
	lade_text_flush(&to);
	lade_symbols_free(symbols);
}
