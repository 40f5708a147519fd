/* SPDX-License-Identifier: MIT */
/* rules.c - the model's requests, shields, children and outcomes. */

#include "model/model_priv.h"

#include <errno.h>

static bool is_shield(const struct frame *f)
{
	return f->kind == FRAME_SHIELD || f->kind == FRAME_CLEANUP;
}

enum request asked_of(const struct model *m, int frame)
{
	enum request most = NO_REQUEST;

	for (; frame >= 0; frame = m->frames[frame].outer) {
		const struct frame *f = &m->frames[frame];

		if (f->level > most)
			most = f->level;
		if (is_shield(f) && !f->overrun) /* 14.1 */
			break;
	}
	return most;
}

bool is_hard(const struct model *m, int task)
{
	return asked_of(m, m->tasks[task].inner) == HARD;
}

/* 14.5: what is left of the shields round it. */
static int64_t left_outside(const struct model *m, int frame)
{
	int64_t least = INT64_MAX;

	for (frame = m->frames[frame].outer; frame >= 0; frame = m->frames[frame].outer) {
		const struct frame *f = &m->frames[frame];

		if (f->left_ns < least) /* on the core that it was sent from */
			least = f->left_ns;
		if (!is_shield(f))
			continue;
		if (f->overrun)
			return m->now_ns;
		if (f->deferring && f->budget_end_ns < least)
			least = f->budget_end_ns;
	}
	return least;
}

/* 14.4: a hard request has come to a shield. */
static void shield_defers(struct model *m, int frame)
{
	struct frame *f = &m->frames[frame], *outer = &m->frames[f->outer];
	int64_t left = left_outside(m, frame);

	f->deferring = true;
	f->budget_end_ns = m->now_ns + f->budget_ns;
	if (left < f->budget_end_ns)
		f->budget_end_ns = left;
	if (f->kind == FRAME_CLEANUP) { /* 15.3: the scope's cleanups have one budget */
		if (!outer->cleanup_end_ns)
			outer->cleanup_end_ns = f->budget_end_ns;
		else if (outer->cleanup_end_ns < f->budget_end_ns)
			f->budget_end_ns = outer->cleanup_end_ns;
	}
	if (f->budget_end_ns > m->now_ns) {
		f->timer_ns = f->budget_end_ns;
		f->timer_is_budget = true;
		f->timer_age = m->age; /* one request reaches all at once */
	}
}

static bool outer_overran(const struct model *m, int frame)
{
	for (frame = m->frames[frame].outer; frame >= 0; frame = m->frames[frame].outer) {
		if (is_shield(&m->frames[frame]))
			return m->frames[frame].overrun;
		if (m->frames[frame].left_ns == INT64_MIN)
			return true;
	}
	return false;
}

/* Shields that a hard request has reached; some let it in at once, so it may reach others. */
static bool shields_hear(struct model *m)
{
	bool changed = false;

	for (int i = 0; i < FRAMES; i++) {
		struct frame *f = &m->frames[i];
		bool began;

		if (!f->open || !is_shield(f) || f->overrun || asked_of(m, f->outer) != HARD)
			continue;
		began = !f->deferring;
		if (began)
			shield_defers(m, i);
		/* One that runs out at this very instant does so by its timer. */
		if ((began && f->budget_end_ns <= m->now_ns) || outer_overran(m, i)) {
			f->overrun = changed = true;
			f->timer_ns = INT64_MAX;
			m->overruns++;
		}
	}
	return changed;
}

/* 4.4, 4.6: the first request from the innermost frame outward, as seen from inside. */
enum lade_reason_kind reason_from(const struct model *m, int frame,
				  enum lade_reason_kind *ret_root)
{
	const struct frame *f;
	bool other = false;
	int parent = -1;

	for (; frame >= 0 && m->frames[frame].level == NO_REQUEST; frame = m->frames[frame].outer) {
		if (m->frames[frame].kind != FRAME_TASK || other)
			continue;
		other = true;
		parent = m->frames[frame].outer;
		/* A composite is no task of its own. */
		while (parent >= 0 && parent < NODES_MAX && program_is_composite(m->p, parent) &&
		       m->frames[parent].level == NO_REQUEST)
			parent = m->frames[parent].outer;
	}
	*ret_root = LADE_REASON_NONE;
	if (frame < 0)
		return LADE_REASON_NONE;
	f = &m->frames[frame];
	*ret_root = f->root;
	if (!other || (frame == parent && (f->reason == LADE_REASON_SIBLING ||
					   f->reason == LADE_REASON_RACE_LOST)))
		return f->reason;
	return LADE_REASON_PARENT;
}

/* 22.2, 22.4: what has come to a task that runs elsewhere goes there as a message, once. */
static void send_on(struct model *m, int on, enum mail_kind kind)
{
	struct mail *mail = &m->tasks[on].mails[kind];

	if (mail->state != NOT_SENT)
		return;
	mail->state = ON_ITS_WAY;
	mail->kind = reason_from(m, on, &mail->root);
	mail->left_ns = outer_overran(m, on) ? INT64_MIN : left_outside(m, on);
	m->tasks[on].due |= kind == MAIL_HARD;
}

static void settle_on(struct model *m, int on)
{
	if (is_hard(m, on))
		send_on(m, on, MAIL_HARD);
	else if (asked_of(m, on) == SOFT)
		send_on(m, on, MAIL_SOFT);
}

void settle_requests(struct model *m)
{
	m->age++;
	while (shields_hear(m))
		;
	m->age++;
	for (int i = 0; i < m->p->count; i++) {
		struct task *t = &m->tasks[i];

		if (t->state != TASK_IS_PARKED)
			continue;
		if (node_of(m, i)->kind == ON)
			settle_on(m, i);
		else if (is_hard(m, i) && can_be_withdrawn(m, i))
			cancel_wait(m, i);
		else if (!is_hard(m, i) && asked_of(m, t->inner) == SOFT)
			stopping_begins(m, i); /* 5.1 */
	}
}

void shield_overruns(struct model *m, int frame)
{
	m->frames[frame].overrun = true;
	m->frames[frame].timer_ns = INT64_MAX;
	m->overruns++;
	settle_requests(m);
}

/* 4.1 to 4.5. */
void ask(struct model *m, int frame, enum request level, enum lade_reason_kind kind)
{
	struct frame *f = &m->frames[frame];

	if (f->level >= level || asked_of(m, frame) == HARD)
		return;
	if (f->level == NO_REQUEST) {
		f->reason = f->root = kind;
		f->reason_ns = m->now_ns;
	}
	f->level = level;
	f->fired = level == HARD;
	settle_requests(m);
}

/* 5.1 to 5.3. */
void ask_with_grace(struct model *m, int frame, int64_t grace_ns)
{
	struct frame *f = &m->frames[frame];
	int64_t hard_ns = m->now_ns + grace_ns;

	if (asked_of(m, frame) == HARD)
		return;
	ask(m, frame, grace_ns ? SOFT : HARD, LADE_REASON_USER);
	if (!grace_ns) {
		f->timer_ns = INT64_MAX;
	} else if (hard_ns < f->timer_ns) { /* 4.5: shorter, never longer */
		f->timer_ns = hard_ns;
		f->timer_age = m->age++;
	}
}

/* Frames */

void frame_open(struct model *m, int task, int frame, enum frame_kind kind)
{
	struct task *t = &m->tasks[task];
	int outer = kind == FRAME_TASK ? t->scope : t->inner;
	/* What was sent to another core has nothing round it there, and inherits from here. */
	int from = outer < 0 ? node_of(m, task)->parent : outer;
	struct frame *f = &m->frames[frame];

	if (f->open)
		differ(m, "frame %d is opened twice", frame);
	*f = (struct frame){ .open = true,
			     .kind = kind,
			     .outer = outer,
			     .owner = task,
			     .timer_ns = INT64_MAX,
			     .deadline_ns = INT64_MAX,
			     .left_ns = INT64_MAX,
			     .cleanup_ns = m->frames[from].cleanup_ns,
			     .max = 10000,
			     .winner = -1 };
	if (!is_shield(f)) /* 6.2 */
		f->deadline_ns = m->frames[from].deadline_ns;
	t->inner = frame;
}

void frame_shut(struct model *m, int task, int frame)
{
	struct task *t = &m->tasks[task];

	if (t->inner != frame)
		differ(m, "frame %d is shut before a frame inside it", frame);
	if (m->frames[frame].live || m->frames[frame].daemons) /* 1.2 */
		differ(m, "scope #%d closes while %d children live", frame,
		       m->frames[frame].live + m->frames[frame].daemons);
	m->frames[frame].open = false;
	t->inner = m->frames[frame].outer;
}

/* Children */

static bool is_group(const struct model *m, int frame)
{
	return m->frames[frame].kind == FRAME_GROUP;
}

static enum kind group_kind(const struct model *m, int frame)
{
	switch (node_of(m, frame)->kind) {
	case JOIN_TASK:
		return JOIN;
	case RACE_TASK:
		return RACE;
	case RACE_OK_TASK:
		return RACE_OK;
	default:
		return node_of(m, frame)->kind;
	}
}

static bool is_race(const struct model *m, int frame)
{
	return is_group(m, frame) &&
	       (group_kind(m, frame) == RACE || group_kind(m, frame) == RACE_OK);
}

/* 3.1, 3.6, 3.11, 2.2, 30.2: whether a child's status is a failure of its scope. */
static bool is_failure(const struct model *m, int scope, int task)
{
	const struct task *t = &m->tasks[task];

	if (t->status >= 0 || t->forgiven)
		return false;
	return t->status != -ECANCELED || !(t->daemon || m->frames[scope].fired);
}

static void child_ended(struct model *m, int scope, int task)
{
	struct frame *f = &m->frames[scope];
	struct task *t = &m->tasks[task];

	if (t->daemon)
		f->daemons--;
	else
		f->live--;
	f->look = true;
	if (is_race(m, scope)) {
		if (t->status < 0 && t->status != -ECANCELED && group_kind(m, scope) == RACE_OK)
			f->last = t->status; /* 18.2 */
	} else if (is_failure(m, scope, task) && !f->first) {
		f->first = t->status;
		if (!f->all)
			ask(m, scope, HARD, LADE_REASON_SIBLING);
	}
	places_change(m, scope);
}

/* What a composite asks of its own members is no request on the composite. */
static bool is_of_its_own(enum lade_reason_kind kind)
{
	return kind == LADE_REASON_SIBLING || kind == LADE_REASON_RACE_LOST;
}

void task_ends(struct model *m, int task, int status)
{
	struct task *t = &m->tasks[task];
	struct frame *f = &m->frames[task];

	if (f->open) {
		/* 3.11: on that child alone, and not on what it was in. */
		t->forgiven = t->scope >= 0 && status == -ECANCELED && f->fired &&
			      !is_of_its_own(f->reason) && asked_of(m, t->scope) != HARD;
		f->open = false;
	}
	if (t->has_stack)
		m->stacks--;
	t->has_stack = false;
	t->status = status;
	t->state = TASK_HAS_ENDED;
	t->phase = NO_CALL;
	if (t->scope < 0) /* 22.3: nobody hears of it yet */
		return;
	waiters_wake(m, task); /* 20.1 */
	if (node_of(m, task)->kind == ON)
		waiters_wake(m, model_kid(m, task));
	child_ended(m, t->scope, task);
}

/* 21.1 to 21.4. */
static void task_ends_unrun(struct model *m, int task, int status)
{
	m->tasks[task].drop_due = !node_of(m, task)->flag;
	task_ends(m, task, status);
}

static void members_start(struct model *m, int group)
{
	for (int kid = node_of(m, group)->first; kid >= 0; kid = node_of(m, kid)->next)
		task_starts(m, group, kid, false);
}

static void composite_starts(struct model *m, int task)
{
	struct task *t = &m->tasks[task];

	t->state = TASK_IS_PARKED;
	frame_open(m, task, task, FRAME_TASK);
	m->frames[task].kind = FRAME_GROUP;
	if (t->cancelled_lazy)
		ask(m, task, HARD, LADE_REASON_USER);
	members_start(m, task);
}

/* On a stack, if there is one. */
static void task_begins(struct model *m, int task)
{
	struct task *t = &m->tasks[task];

	if (m->p->stacks_max && m->stacks >= (int)m->p->stacks_max) {
		task_ends_unrun(m, task, -ENOMEM);
		return;
	}
	m->stacks++;
	t->has_stack = true;
	t->state = TASK_IS_READY;
	frame_open(m, task, task, FRAME_TASK);
}

/* 22.1: what is cancelled by now is not sent; else the start is the first message. */
static void on_starts(struct model *m, int on)
{
	struct task *t = &m->tasks[on];
	int kid = model_kid(m, on);

	m->tasks[kid].scope = -1;
	t->state = TASK_IS_READY;
	frame_open(m, on, on, FRAME_TASK);
	if (t->cancelled_lazy)
		ask(m, on, HARD, LADE_REASON_USER);
	if (is_hard(m, on)) {
		task_ends_unrun(m, kid, -ECANCELED);
		return;
	}
	t->state = TASK_IS_PARKED;
	t->mails[MAIL_START].state = ON_ITS_WAY;
	settle_on(m, on);
}

void mail_comes(struct model *m, int on, enum mail_kind kind)
{
	struct mail *mail = &m->tasks[on].mails[kind];
	int kid = model_kid(m, on);
	struct frame *f = &m->frames[kid];

	mail->state = TAKEN;
	if (kind == MAIL_START) {
		task_begins(m, kid);
		return;
	}
	if (!f->open)
		return;
	f->reason = mail->kind;
	f->root = mail->root;
	f->reason_ns = m->now_ns;
	f->level = kind == MAIL_SOFT ? SOFT : HARD;
	f->left_ns = mail->left_ns;
	settle_requests(m);
}

bool has_mail(const struct model *m, int on)
{
	const struct task *t = &m->tasks[on];

	if (t->state != TASK_IS_PARKED)
		return false;
	for (int i = 0; i < MAILS; i++)
		if (t->mails[i].state == ON_ITS_WAY)
			return true;
	return m->tasks[model_kid(m, on)].state == TASK_HAS_ENDED;
}

void task_starts(struct model *m, int scope, int task, bool daemon)
{
	struct task *t = &m->tasks[task];

	if (t->state != TASK_IS_LAZY)
		differ(m, "task %d is started twice", task);
	t->scope = scope;
	t->daemon = daemon;
	if (daemon)
		m->frames[scope].daemons++;
	else
		m->frames[scope].live++;
	if (node_of(m, task)->kind == ON) {
		on_starts(m, task);
	} else if (program_is_composite(m->p, task)) {
		composite_starts(m, task);
	} else if (t->cancelled_lazy) {
		t->forgiven = true;
		task_ends_unrun(m, task, -ECANCELED);
	} else if (asked_of(m, scope) == HARD) {
		task_ends_unrun(m, task, -ECANCELED);
	} else {
		task_begins(m, task);
	}
}

/* Joins and races */

/* 18.1, 18.3, 18.5: whether a member's end wins. */
static bool wins(const struct model *m, int group, int task)
{
	const struct task *t = &m->tasks[task];

	return t->state == TASK_HAS_ENDED &&
	       (t->status >= 0 || (group_kind(m, group) == RACE && t->status != -ECANCELED));
}

static int lowest_winner(const struct model *m, int group)
{
	int index = 0;

	for (int kid = node_of(m, group)->first; kid >= 0; kid = node_of(m, kid)->next, index++)
		if (wins(m, group, kid))
			return index;
	return -1;
}

void group_looks(struct model *m, int group)
{
	struct frame *f = &m->frames[group];

	f->look = false;
	if (!is_race(m, group) || f->winner >= 0)
		return;
	f->winner = lowest_winner(m, group); /* 18.7 */
	if (f->winner >= 0 && f->live)	     /* 18.4 */
		ask(m, group, HARD, LADE_REASON_RACE_LOST);
}

bool group_must_look(const struct model *m, int group)
{
	const struct frame *f = &m->frames[group];

	return f->live == 0 ||
	       (is_race(m, group) && f->winner < 0 && lowest_winner(m, group) >= 0);
}

/* 18.9 to 18.12. */
static void dispose_of(struct model *m, int task)
{
	struct task *t = &m->tasks[task];

	if (node_of(m, task)->kind == ON && t->status >= 0) {
		dispose_of(m, model_kid(m, task));
		if (m->tasks[model_kid(m, task)].dispose_due)
			t->status = -ECANCELED;
	}
	if (program_is_composite(m->p, task) || node_of(m, task)->flag || t->status < 0)
		return;
	t->dispose_due = true;
	t->status = -ECANCELED;
}

static void dispose_of_all_but(struct model *m, int group, int winner)
{
	int index = 0;

	for (int kid = node_of(m, group)->first; kid >= 0; kid = node_of(m, kid)->next, index++)
		if (index != winner)
			dispose_of(m, kid);
}

static int join_outcome(struct model *m, int group)
{
	int rc = m->frames[group].first, kid = node_of(m, group)->first;

	/* 30.5: who was cancelled by name has failed nobody, and yet has no value. */
	for (; rc == 0 && kid >= 0; kid = node_of(m, kid)->next)
		if (m->tasks[kid].status < 0)
			rc = m->tasks[kid].status;
	if (rc < 0 && group_kind(m, group) == JOIN)
		dispose_of_all_but(m, group, -1);
	return rc;
}

int group_outcome(struct model *m, int group)
{
	struct frame *f = &m->frames[group];

	if (!is_race(m, group))
		return join_outcome(m, group);
	if (f->winner < 0) /* 18.2, 18.6 */
		return f->last ? f->last : -ECANCELED;
	dispose_of_all_but(m, group, f->winner);
	return f->winner;
}

/* Blocks */

/* 3.5, 30.2: whether the body's result is the scope's first failure. */
static bool body_failed(const struct model *m, int scope, int rc)
{
	const struct frame *f = &m->frames[scope];

	return rc < 0 && !f->all && !f->first && !(rc == -ECANCELED && f->fired);
}

/* 2.2: the daemons, once nobody else is left. */
void scope_looks(struct model *m, int scope)
{
	uint64_t age = m->age, after;

	m->frames[scope].look = false;
	if (m->frames[scope].live)
		return;
	for (int i = 0; i < m->p->count; i++) {
		const struct task *t = &m->tasks[i];

		if (t->scope != scope || t->state == TASK_IS_LAZY || t->state == TASK_HAS_ENDED)
			continue;
		after = m->age;
		m->age = age; /* all are asked at once: whose budget is over first is free */
		ask(m, i, HARD, LADE_REASON_PARENT);
		if (m->age < after)
			m->age = after;
	}
}

void scope_closes(struct model *m, int scope, int rc, bool leaves)
{
	struct frame *f = &m->frames[scope];

	f->rc = rc;
	if (body_failed(m, scope, rc)) {
		f->first = rc;
		if (!leaves)
			ask(m, scope, HARD, LADE_REASON_SIBLING);
	}
	if (leaves) /* 1.3 */
		ask(m, scope, HARD, LADE_REASON_PARENT);
	f->closing = true;
	scope_looks(m, scope);
}

int scope_outcome(const struct model *m, int scope)
{
	const struct frame *f = &m->frames[scope];
	int rc = !f->all && f->first ? f->first : f->rc; /* 3.4, 3.7 */

	/* 30.4 */
	return rc == -ECANCELED && f->fired && f->reason == LADE_REASON_USER ? 0 : rc;
}

