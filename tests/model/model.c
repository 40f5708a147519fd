/* SPDX-License-Identifier: MIT */
/* model.c - the model's clock, and what it makes of each event of a run.
 *
 * DESIGN
 * A call that may suspend is looked at when it is over: if it returns in the turn in which it was
 * made, its effect is worked out then, since nobody else has run; if the task has parked instead,
 * the model must say that it could not go on; if it was only switched out, the effect is still to
 * come. Timers fire when the model has nobody left who can run: sleeps first, then, when those
 * that they woke have run, deadlines (rules 6.5 and 10.3). */

#include "model/model_priv.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TURNS_MAX 250 /* at one instant; beyond, the loop looks at timers in between */

void differ(struct model *m, const char *format, ...)
{
	va_list args;

	if (m->difference[0])
		return;
	va_start(args, format);
	vsnprintf(m->difference, sizeof(m->difference), format, args);
	va_end(args);
	if (m->log)
		printf("# DIFFERS: %s\n", m->difference);
}

static bool is_done(const struct model *m)
{
	return m->difference[0] || m->gave_up;
}

__attribute__((format(printf, 2, 3))) static void tell(const struct model *m, const char *format,
						       ...)
{
	va_list args;

	if (!m->log)
		return;
	printf("# %4lld ms: ", (long long)(m->now_ns / 1000000));
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	printf("\n");
}

/* A task or statement in words. */
static const char *named(const struct model *m, int node)
{
	static char text[4][40];
	static int turn;
	char *to = text[turn++ % 4];

	if (node >= NODES_MAX)
		return "the root deadline";
	snprintf(to, sizeof(text[0]), "%s %d", program_word((enum kind)node_of(m, node)->kind),
		 node_of(m, node)->label ? node_of(m, node)->label : node);
	return to;
}

struct model *model_new(const struct program *p, int64_t now_ns, bool log)
{
	struct model *m = calloc(1, sizeof(*m));

	if (!m)
		abort();
	m->p = p;
	m->log = log;
	m->now_ns = now_ns;
	m->running = m->over = -1;
	m->permits = p->permits;
	for (int i = 0; i < CHANNELS; i++)
		m->channels[i].capacity = p->capacity[i];
	for (int i = 0; i < NODES_MAX; i++)
		m->tasks[i].fired_ns = -1;
	m->frames[ROOT_SCOPE] = (struct frame){ .open = true,
						.kind = FRAME_BLOCK,
						.outer = -1,
						.owner = -1,
						.timer_ns = INT64_MAX,
						.deadline_ns = INT64_MAX,
						.left_ns = INT64_MAX,
						.cleanup_ns = INT64_C(5000000000),
						.max = 10000,
						.all = true };
	task_starts(m, ROOT_SCOPE, 0, false);
	return m;
}

struct model *model_free(struct model *m)
{
	free(m);
	return NULL;
}

const char *model_difference(const struct model *m)
{
	return m->difference[0] ? m->difference : NULL;
}

bool model_gave_up(const struct model *m)
{
	return m->gave_up;
}

/* Who can run */

static bool waits_for_children(const struct model *m, int task)
{
	const struct task *t = &m->tasks[task];

	return t->state == TASK_IS_PARKED && t->phase == WAITS && !can_be_withdrawn(m, task);
}

static bool must_look(const struct model *m, int task)
{
	const struct task *t = &m->tasks[task];

	if (t->state != TASK_IS_PARKED || node_of(m, task)->kind == ON)
		return false;
	if (program_is_composite(m->p, task))
		return group_must_look(m, task);
	if (!waits_for_children(m, task))
		return false;
	return node_of(m, t->call)->kind == SCOPE ? m->frames[t->call].live == 0 &&
							    m->frames[t->call].look
						  : group_must_look(m, t->call);
}

/* What is between two cores goes on at this instant, but holds no timer off. */
static int whose_mail(const struct model *m)
{
	for (int i = 0; i < m->p->count; i++)
		if (node_of(m, i)->kind == ON && has_mail(m, i))
			return i;
	return -1;
}

static int who_can_run(const struct model *m)
{
	for (int i = 0; i < m->p->count; i++)
		if (m->tasks[i].state == TASK_IS_READY || must_look(m, i))
			return i;
	return -1;
}

/* Timers */

/* When the earliest timer of a waiting task is, and of which case of a select. */
static int64_t wait_ends(const struct model *m, int task, int *ret_case)
{
	const struct task *t = &m->tasks[task];
	int64_t least = INT64_MAX;
	int index = 0;

	*ret_case = 0;
	if (t->state != TASK_IS_PARKED || t->phase != WAITS)
		return INT64_MAX;
	if (node_of(m, t->call)->kind == SLEEP)
		return t->until_ns;
	if (node_of(m, t->call)->kind != SELECT)
		return INT64_MAX;
	for (int kid = node_of(m, t->call)->first; kid >= 0; kid = node_of(m, kid)->next, index++) {
		if (node_of(m, kid)->kind == SLEEP && t->case_ns[index] < least) {
			least = t->case_ns[index];
			*ret_case = index;
		}
	}
	return least;
}

static int64_t earliest(const struct model *m)
{
	int64_t least = INT64_MAX, at;
	int index;

	for (int i = 0; i < FRAMES; i++)
		if (m->frames[i].open && m->frames[i].timer_ns < least)
			least = m->frames[i].timer_ns;
	for (int i = 0; i < m->p->count; i++)
		if ((at = wait_ends(m, i, &index)) < least)
			least = at;
	return least;
}

/* All sleeps and timers of selects that are due. */
static void waits_end(struct model *m)
{
	for (int i = 0; i < m->p->count; i++) {
		int index;

		if (wait_ends(m, i, &index) <= m->now_ns)
			complete(m, i, index);
	}
}

static bool is_around(const struct model *m, int frame, int task)
{
	int inner = task < 0 ? -1 : m->tasks[task].inner;

	while (inner >= 0 && inner != frame)
		inner = m->frames[inner].outer;
	return inner >= 0;
}

/* Whether the timer of @a comes before that of @b: deadlines before budgets, then by age. Of
 * budgets that began at once either may come first: what the run has told @task of comes first. */
static bool is_before(const struct model *m, int a, int b, int task)
{
	const struct frame *f = &m->frames[a], *g = &m->frames[b];

	if (f->timer_is_budget != g->timer_is_budget)
		return g->timer_is_budget;
	if (f->timer_age != g->timer_age)
		return f->timer_age < g->timer_age;
	return is_around(m, a, task) && !is_around(m, b, task);
}

/* The frame whose timer is next. */
static int next_due(const struct model *m, int task)
{
	int best = -1;

	for (int i = 0; i < FRAMES; i++)
		if (m->frames[i].open && m->frames[i].timer_ns <= m->now_ns &&
		    (best < 0 || is_before(m, i, best, task)))
			best = i;
	return best;
}

/* Whoever a request has reached must have been told of it. */
static void all_are_told(struct model *m)
{
	for (int i = 0; i < m->p->count; i++) {
		const struct task *t = &m->tasks[i];

		if (!t->due)
			continue;
		differ(m, "%s waits in %s although it is cancelled", named(m, i),
		       named(m, t->call));
	}
}

static void fire(struct model *m, int frame)
{
	struct frame *f = &m->frames[frame];

	tell(m, "timer of %s", named(m, frame));
	m->phase_open = true;
	f->timer_ns = INT64_MAX;
	if (f->kind == FRAME_WITHIN)
		ask(m, frame, HARD, LADE_REASON_DEADLINE);
	else if (f->timer_is_budget)
		shield_overruns(m, frame);
	else
		ask(m, frame, HARD, f->reason);
}

/* One timer of a scope, if that may be. @task: who has been told of a request, or -1. */
static bool fire_next(struct model *m, int task)
{
	int frame;

	if (!m->phase_open && who_can_run(m) < 0)
		waits_end(m);
	if (!m->phase_open && who_can_run(m) >= 0) /* 6.5, 10.3 */
		return false;
	frame = next_due(m, task);
	if (frame < 0)
		return false;
	all_are_told(m);
	fire(m, frame);
	return true;
}

/* The clock goes on to the next instant at which something is due. */
static void clock_moves(struct model *m, int64_t now_ns)
{
	int who = who_can_run(m);

	if (who < 0)
		who = whose_mail(m);
	if (who >= 0)
		differ(m, "time passes although %s can go on", named(m, who));
	m->now_ns = now_ns;
	m->phase_open = false;
	m->turns = 0;
}

static void time_is(struct model *m, int64_t now_ns)
{
	while (m->now_ns < now_ns && !is_done(m)) {
		int64_t next = earliest(m);

		if (next > now_ns) {
			differ(m, "it is %lld ms, and the earliest timer is of %lld",
			       (long long)(now_ns / 1000000), (long long)(next / 1000000));
			return;
		}
		clock_moves(m, next);
		/* An instant at which nobody goes on leaves no other trace. */
		while (next < now_ns && fire_next(m, -1))
			;
		all_are_told(m);
	}
}

/* Events */

/* A turn is over and nobody has parked: the call is still to have its effect. */
static void turn_is_settled(struct model *m)
{
	struct task *t = &m->tasks[m->over < 0 ? 0 : m->over];
	bool suspends;

	if (m->over < 0)
		return;
	suspends = t->phase == CALLED && node_of(m, t->call)->kind != SCOPE &&
		   (node_of(m, t->call)->kind < JOIN || m->frames[t->call].live == 0);
	if (!suspends)
		differ(m, "%s is switched out where it does not suspend", named(m, m->over));
	t->state = TASK_IS_READY;
	t->phase = SWITCHED;
	m->over = -1;
}

/* What comes before each event; returns whether it is to be looked at. */
static bool event(struct model *m)
{
	if (is_done(m))
		return false;
	turn_is_settled(m);
	all_are_told(m);
	return !is_done(m);
}

static bool may_look(const struct model *m, int task)
{
	const struct task *t = &m->tasks[task];

	if (node_of(m, task)->kind == ON)
		return t->state == TASK_IS_READY;
	if (program_is_composite(m->p, task))
		return t->state == TASK_IS_PARKED && m->frames[task].look;
	return waits_for_children(m, task) && m->frames[t->call].look;
}

/* The same for a turn of a task. */
static bool turn_event(struct model *m, int task, int64_t now_ns)
{
	if (!event(m))
		return false;
	time_is(m, now_ns);
	m->gave_up = ++m->turns > TURNS_MAX;
	if (m->phase_open || (who_can_run(m) < 0 && !may_look(m, task)))
		while (fire_next(m, -1))
			;
	all_are_told(m);
	m->phase_open = false;
	return !is_done(m);
}

/* A task that goes on after a switch or a wait. */
static void goes_on(struct model *m, int task)
{
	struct task *t = &m->tasks[task];
	enum kind kind = (enum kind)node_of(m, t->call)->kind;

	if (t->phase == SWITCHED) {
		t->phase = CALLED;
		if (kind == YIELD || (kind < JOIN && is_hard(m, task))) {
			t->phase = COMPLETE;
			t->result = kind == YIELD ? 0 : -ECANCELED;
		}
	} else if (t->phase == WAITS) {
		t->phase = CALLED;
		if (kind == SCOPE)
			scope_looks(m, t->call);
		else
			group_looks(m, t->call);
	} else if (t->phase == COMPLETE && kind == SPAWN && t->result == 0) {
		m->frames[program_scope_of(m->p, t->call)].live--;
		task_starts(m, program_scope_of(m->p, t->call), node_of(m, t->call)->first, false);
	}
}

void model_turn(struct model *m, int task, int64_t now_ns)
{
	struct task *t = &m->tasks[task];

	if (!turn_event(m, task, now_ns))
		return;
	tell(m, "turn of %s", named(m, task));
	if (t->state != TASK_IS_READY && !may_look(m, task))
		differ(m, "%s goes on although nothing has completed", named(m, task));
	t->state = TASK_IS_RUNNING;
	m->running = task;
	goes_on(m, task);
}

void model_turn_over(struct model *m)
{
	m->over = m->running;
	m->running = -1;
}

void model_parked(struct model *m, int task)
{
	struct task *t = &m->tasks[task];

	if (is_done(m))
		return;
	tell(m, "%s is parked", named(m, task));
	if (m->over != task || t->phase != CALLED)
		differ(m, "%s has parked where it does not wait", named(m, task));
	m->over = -1;
	if (node_of(m, t->call)->kind == YIELD || attempt(m, task, UNKNOWN) != AGAIN)
		differ(m, "%s waits in %s, which can be done", named(m, task), named(m, t->call));
	wait_begins(m, task);
	if (can_be_withdrawn(m, task) && is_hard(m, task)) /* 4.2, 8.2 */
		differ(m, "%s begins to wait in %s although it is cancelled", named(m, task),
		       named(m, t->call));
}

/* 18.16 */
static int composite_status(struct model *m, int task)
{
	struct frame *f = &m->frames[task];
	int rc = group_outcome(m, task), kid;

	if (node_of(m, task)->kind == JOIN_TASK || rc < 0)
		return rc;
	kid = program_kid(m->p, task, rc);
	if (m->tasks[kid].status >= 0)
		return 0;
	f->winner = -1;
	return m->tasks[kid].status;
}

void model_composite_turn(struct model *m, int task, int64_t now_ns)
{
	if (!turn_event(m, task, now_ns))
		return;
	tell(m, "turn of %s", named(m, task));
	if (!may_look(m, task))
		differ(m, "%s looks although no member has ended", named(m, task));
	if (node_of(m, task)->kind == ON) {
		task_ends(m, task, m->tasks[model_kid(m, task)].status);
		return;
	}
	group_looks(m, task);
	if (m->frames[task].live == 0)
		task_ends(m, task, composite_status(m, task));
}

/* Mail is taken between two turns of the loop, when what was due has fired. */
static bool mail_event(struct model *m, int64_t now_ns)
{
	if (!event(m))
		return false;
	time_is(m, now_ns);
	if (m->phase_open || who_can_run(m) < 0)
		while (fire_next(m, -1))
			;
	all_are_told(m);
	m->phase_open = false;
	return !is_done(m);
}

void model_mail(struct model *m, int on, enum mail_kind kind, int64_t now_ns)
{
	static const char *const what[] = { "start", "soft request", "hard request" };

	if (!mail_event(m, now_ns))
		return;
	tell(m, "%s: the %s is there", named(m, on), what[kind]);
	if (m->tasks[on].mails[kind].state != ON_ITS_WAY)
		differ(m, "%s: a %s comes that nobody has sent", named(m, on), what[kind]);
	mail_comes(m, on, kind);
}

void model_home(struct model *m, int on, int64_t now_ns)
{
	struct task *t = &m->tasks[on];
	const struct mail *mail = t->mails;

	if (!mail_event(m, now_ns))
		return;
	tell(m, "%s: its end is here", named(m, on));
	if (t->state != TASK_IS_PARKED || m->tasks[model_kid(m, on)].state != TASK_HAS_ENDED)
		differ(m, "%s: it is told to have ended, and has not", named(m, on));
	for (int i = 0; i < MAILS; i++)
		if (mail[i].state == ON_ITS_WAY)
			differ(m, "%s: its end is here before a request is there", named(m, on));
	t->state = TASK_IS_READY;
}

/* A spawn that goes through may end a task at once, and that one's failure cancels others, before
 * it returns. */
static void spawn_is_settled(struct model *m)
{
	struct task *t = &m->tasks[m->running < 0 ? 0 : m->running];

	if (m->running < 0 || t->phase != CALLED || node_of(m, t->call)->kind != SPAWN)
		return;
	t->result = attempt(m, m->running, UNKNOWN);
	t->phase = COMPLETE;
}

void model_delivered(struct model *m, int task, int64_t now_ns)
{
	struct task *t = &m->tasks[task];

	if (is_done(m) || task == m->running)
		return;
	spawn_is_settled(m);
	if (m->running < 0 && !t->due) {
		turn_is_settled(m);
		time_is(m, now_ns);
		while (!t->due && fire_next(m, task))
			;
	}
	tell(m, "%s is told of its cancel", named(m, task));
	if (!t->due)
		differ(m, "%s is cancelled in %s although no request reaches it", named(m, task),
		       named(m, t->call));
	t->due = false;
	if (!is_done(m) && t->state == TASK_IS_PARKED && node_of(m, task)->kind != ON)
		withdraw(m, task);
}

void model_ended(struct model *m, int task, int status)
{
	struct task *t = &m->tasks[task];

	if (is_done(m))
		return;
	tell(m, "%s ends with %d", named(m, task), status);
	if (program_is_composite(m->p, task)) {
		if (t->state != TASK_HAS_ENDED || t->status != status)
			differ(m, "%s has status %d and not %d", named(m, task), status,
			       t->status);
		return;
	}
	if (!event(m))
		return;
	if (m->running != task || t->phase != NO_CALL || t->inner != task)
		differ(m, "%s ends inside a call or a scope", named(m, task));
	m->running = -1;
	task_ends(m, task, status);
}

void model_begins(struct model *m, int task)
{
	if (event(m) && m->running != task)
		differ(m, "%s begins without a turn", named(m, task));
}

/* The instants that a call waits for count from the call (6.8). */
static void call_instants(struct model *m, int task, int node)
{
	struct task *t = &m->tasks[task];
	int index = 0;

	t->until_ns = m->now_ns + node_of(m, node)->n * INT64_C(1000000);
	if (node_of(m, node)->kind != SELECT)
		return;
	for (int kid = node_of(m, node)->first; kid >= 0; kid = node_of(m, kid)->next, index++)
		t->case_ns[index] = m->now_ns + node_of(m, kid)->n * INT64_C(1000000);
}

static void group_begins(struct model *m, int task, int group)
{
	frame_open(m, task, group, FRAME_GROUP);
	m->frames[group].all = node_of(m, group)->kind == JOIN_ALL;
	for (int kid = node_of(m, group)->first; kid >= 0; kid = node_of(m, kid)->next)
		task_starts(m, group, kid, false);
	group_looks(m, group);
}

void model_call(struct model *m, int task, int node, int64_t now_ns)
{
	struct task *t = &m->tasks[task];

	if (!event(m))
		return;
	tell(m, "%s calls %s", named(m, task), named(m, node));
	if (m->running != task || t->phase != NO_CALL || now_ns != m->now_ns)
		differ(m, "%s runs out of turn", named(m, task));
	t->call = node;
	t->phase = CALLED;
	t->value = -1;
	call_instants(m, task, node);
	if (node_of(m, node)->kind >= JOIN) {
		group_begins(m, task, node);
	} else if (is_hard(m, task)) { /* 8.2, 4.2 */
		t->phase = COMPLETE;
		t->result = -ECANCELED;
	}
}

void model_return(struct model *m, int task, int node, int rc, int value)
{
	struct task *t = &m->tasks[task];
	enum kind kind;
	int want;

	if (!event(m))
		return;
	tell(m, "%s: %s gave %d", named(m, task), named(m, node), rc);
	if (m->running != task || t->call != node || t->phase < CALLED)
		differ(m, "%s returns out of turn", named(m, task));
	want = t->phase == COMPLETE ? t->result : attempt(m, task, rc);
	if (want == AGAIN)
		differ(m, "%s: %s gave %d, and has to wait", named(m, task), named(m, node), rc);
	else if (want != rc)
		differ(m, "%s: %s gave %d and not %d", named(m, task), named(m, node), rc, want);
	if (value != t->value) /* 9.1, 12.1 */
		differ(m, "%s: %s gave item %d and not %d", named(m, task), named(m, node), value,
		       t->value);
	t->phase = NO_CALL;
	kind = (enum kind)node_of(m, node)->kind;
	if (kind >= JOIN || kind == SCOPE)
		frame_shut(m, task, node);
	if (kind == SPAWN && rc == -ECANCELED && !node_of(m, node_of(m, node)->first)->flag &&
	    !m->tasks[node_of(m, node)->first].dropped) /* 21.6 */
		differ(m, "%s gave up no arguments", named(m, node));
}

void model_try(struct model *m, int task, int node, int rc, int value)
{
	struct task *t = &m->tasks[task];
	int before = t->call, want;
	bool ok = event(m);

	if (!ok)
		return;
	tell(m, "%s: %s gave %d", named(m, task), named(m, node), rc);
	/* What a call does now is the same, but for the kind's name. */
	t->call = node;
	t->value = -1;
	want = attempt(m, task, rc);
	if (want == AGAIN)
		want = -EAGAIN;
	if (want != rc || value != t->value)
		differ(m, "%s: %s gave %d, item %d, and not %d, item %d", named(m, task),
		       named(m, node), rc, value, want, t->value);
	t->call = before;
}

static void cancel(struct model *m, const struct node *n)
{
	int target = n->to < LABELS_MAX ? m->p->at[n->to] : -1;
	struct task *t;

	if (program_is_sent(m->p, target)) /* by its name it is here */
		target = node_of(m, target)->parent;
	t = &m->tasks[target];
	if (program_is_task(m->p, target) && t->state == TASK_IS_LAZY)
		t->cancelled_lazy = true;
	else if (m->frames[target].open)
		ask_with_grace(m, target, n->n * INT64_C(1000000));
}

void model_do(struct model *m, int task, int node, int64_t now_ns)
{
	const struct node *n = node_of(m, node);

	if (!event(m))
		return;
	tell(m, "%s does %s", named(m, task), named(m, node));
	if (m->running != task || now_ns != m->now_ns)
		differ(m, "%s runs out of turn", named(m, task));
	switch (n->kind) {
	case START:
	case DAEMON:
		task_starts(m, program_scope_of(m->p, node), n->first, n->kind == DAEMON);
		break;
	case CANCEL:
		cancel(m, n);
		break;
	case SET:
		event_sets(m);
		break;
	case CLEAR:
		m->set = false;
		break;
	default:
		channel_closes(m, n->n);
		break;
	}
}

void model_commit(struct model *m, int task, int node, bool keeps)
{
	if (!event(m))
		return;
	tell(m, "%s: %s is %s", named(m, task), named(m, node), keeps ? "filled" : "given up");
	if (keeps)
		channel_commits(m, node_of(m, node)->n, node);
	else
		channel_unreserves(m, node_of(m, node)->n);
}

void model_release(struct model *m, int task, int node)
{
	if (!event(m))
		return;
	tell(m, "%s: %s releases", named(m, task), named(m, node));
	permits_return(m, node_of(m, node)->n);
}

static void deadline_opens(struct model *m, int frame, int64_t ms)
{
	struct frame *f = &m->frames[frame];
	int64_t at_ns = m->now_ns + ms * 1000000;

	if (at_ns >= f->deadline_ns) /* 6.3 */
		return;
	f->deadline_ns = at_ns;
	if (at_ns <= m->now_ns) { /* 6.7 */
		ask(m, frame, HARD, LADE_REASON_DEADLINE);
	} else {
		f->timer_ns = at_ns;
		f->timer_age = m->age++;
	}
}

static void scope_opens(struct model *m, int task, int node)
{
	struct frame *f = &m->frames[node];

	frame_open(m, task, node, FRAME_BLOCK);
	f->all = node_of(m, node)->flag;
	if (node_of(m, node)->n)
		f->max = node_of(m, node)->n;
	if (node_of(m, node)->m)
		f->cleanup_ns = node_of(m, node)->m * INT64_C(1000000);
}

void model_open(struct model *m, int task, int node, int64_t now_ns)
{
	if (!event(m))
		return;
	tell(m, "%s opens %s", named(m, task), named(m, node));
	if (m->running != task || now_ns != m->now_ns)
		differ(m, "%s runs out of turn", named(m, task));
	if (node == ROOT_DEADLINE) {
		frame_open(m, task, node, FRAME_WITHIN);
		deadline_opens(m, node, ROOT_MS);
	} else if (node_of(m, node)->kind == SCOPE) {
		scope_opens(m, task, node);
	} else if (node_of(m, node)->kind == WITHIN) {
		frame_open(m, task, node, FRAME_WITHIN);
		deadline_opens(m, node, node_of(m, node)->n);
	} else {
		bool cleanup = node_of(m, node)->kind == CLEANUP;

		frame_open(m, task, node, cleanup ? FRAME_CLEANUP : FRAME_SHIELD);
		m->frames[node].budget_ns = cleanup ? m->frames[node].cleanup_ns
						    : node_of(m, node)->n * INT64_C(1000000);
		settle_requests(m);
	}
}

void model_shut(struct model *m, int task, int node, int rc, int ret)
{
	const struct frame *f = &m->frames[node];
	int want = rc;

	if (!event(m))
		return;
	tell(m, "%s shuts %s: %d", named(m, task), named(m, node), ret);
	if (f->kind == FRAME_WITHIN && f->fired) {
		m->tasks[task].fired_ns = f->reason_ns;
		if (rc == -ECANCELED) /* 30.2, 30.3 */
			want = -ETIME;
	}
	if (want != ret)
		differ(m, "%s: %s gave %d and not %d", named(m, task), named(m, node), ret, want);
	frame_shut(m, task, node);
}

void model_close(struct model *m, int task, int node, int rc, bool leaves)
{
	struct task *t = &m->tasks[task];

	if (!event(m))
		return;
	tell(m, "%s %s %s with %d", named(m, task), leaves ? "leaves" : "closes", named(m, node),
	     rc);
	if (m->running != task || t->inner != node)
		differ(m, "%s closes a scope that is not its innermost", named(m, task));
	t->call = node;
	t->phase = CALLED;
	t->value = -1;
	scope_closes(m, node, rc, leaves);
}

void model_dropped(struct model *m, int node)
{
	struct task *t = &m->tasks[node], *caller = &m->tasks[m->running < 0 ? 0 : m->running];
	bool spawn_cancelled;

	if (is_done(m))
		return;
	spawn_is_settled(m);
	spawn_cancelled = m->running >= 0 && caller->phase == COMPLETE &&
			  caller->result == -ECANCELED &&
			  node_of(m, node)->parent == caller->call;
	tell(m, "%s gives up its arguments", named(m, node));
	if ((!t->drop_due && !spawn_cancelled) || t->dropped)
		differ(m, "%s gives up its arguments, but has run", named(m, node));
	t->dropped = true;
}

void model_disposed(struct model *m, int node)
{
	if (is_done(m))
		return;
	tell(m, "%s: value given back", named(m, node));
	if (m->tasks[node].disposed)
		differ(m, "%s: its value is given back twice", named(m, node));
	m->tasks[node].disposed = true;
}

void model_status(struct model *m, int node, int status, int winner)
{
	const struct task *t = &m->tasks[node];

	if (!event(m))
		return;
	if (t->state != TASK_HAS_ENDED)
		differ(m, "%s has not ended", named(m, node));
	else if (t->status != status)
		differ(m, "%s has status %d and not %d", named(m, node), status, t->status);
	if (t->dispose_due != t->disposed)
		differ(m, "%s: its value is %s", named(m, node),
		       t->disposed ? "given back" : "not given back");
	if (program_is_composite(m->p, node) && node_of(m, node)->kind != JOIN_TASK &&
	    m->frames[node].winner != winner)
		differ(m, "%s has winner %d and not %d", named(m, node), winner,
		       m->frames[node].winner);
}

void model_asked(struct model *m, int task, bool stopping, bool cancelled,
		 const struct lade_reason *why)
{
	enum lade_reason_kind root;
	enum request asked;
	enum lade_reason_kind kind;

	if (!event(m))
		return;
	asked = asked_of(m, m->tasks[task].inner);
	if (stopping != (asked >= SOFT) || cancelled != (asked == HARD))
		differ(m, "%s: stopping %d, cancelled %d, and the request is %d", named(m, task),
		       stopping, cancelled, asked);
	kind = reason_from(m, m->tasks[task].inner, &root);
	/* A deadline that is over may still be told of, where nothing is asked. */
	if (asked == NO_REQUEST && m->tasks[task].fired_ns >= 0 &&
	    why->kind == LADE_REASON_DEADLINE && why->at_ns == m->tasks[task].fired_ns)
		return;
	if (why->kind != kind || why->root != root)
		differ(m, "%s: the reason is %d of %d, and not %d of %d", named(m, task), why->kind,
		       why->root, kind, root);
}

void model_over(struct model *m, const int *left, int permits, int overruns)
{
	if (!event(m))
		return;
	for (int i = 0; i < m->p->count; i++) {
		const struct task *t = &m->tasks[i];

		if (!program_is_task(m->p, i) || t->state == TASK_IS_LAZY)
			continue;
		if (t->state != TASK_HAS_ENDED)
			differ(m, "%s has not ended", named(m, i));
		if (t->drop_due && !t->dropped)
			differ(m, "%s has not given up its arguments", named(m, i));
		if (t->dispose_due != t->disposed)
			differ(m, "%s: its value is %s", named(m, i),
			       t->disposed ? "given back" : "not given back");
	}
	for (int i = 0; i < CHANNELS; i++)
		if (m->channels[i].len != left[i])
			differ(m, "%d items are left in channel %d and not %d", left[i], i,
			       m->channels[i].len);
	if (m->permits != permits)
		differ(m, "%d permits are free and not %d", permits, m->permits);
	if (m->overruns != overruns)
		differ(m, "%d overruns are reported and not %d", overruns, m->overruns);
}
