/* SPDX-License-Identifier: MIT */
/* waits.c - the model's channels, permits, event, selects and places: what each call does. */

#include "model/model_priv.h"

#include <errno.h>

/* Queues: oldest first */

static void enqueue(struct queue *q, int task, int index)
{
	q->at[q->len].task = (int16_t)task;
	q->at[q->len].index = (int16_t)index;
	q->len++;
}

static void leave_queue(struct queue *q, int task)
{
	int kept = 0;

	for (int i = 0; i < q->len; i++)
		if (q->at[i].task != task)
			q->at[kept++] = q->at[i];
	q->len = kept;
}

/* 12.2, 19.3: who is done waiting waits nowhere. */
static void leave_queues(struct model *m, int task)
{
	for (int i = 0; i < CHANNELS; i++) {
		leave_queue(&m->channels[i].senders, task);
		leave_queue(&m->channels[i].receivers, task);
		leave_queue(&m->channels[i].reservers, task);
	}
	leave_queue(&m->acquirers, task);
	leave_queue(&m->awaiters, task);
	for (int i = 0; i < m->p->count; i++)
		if (m->spawners[i].len)
			leave_queue(&m->spawners[i], task);
}

void complete(struct model *m, int task, int result)
{
	struct task *t = &m->tasks[task];

	leave_queues(m, task);
	t->phase = COMPLETE;
	t->state = TASK_IS_READY;
	t->result = result;
	t->due = false;
}

/* The oldest waiter's wait is over; of a select, by that case. */
static int grant(struct model *m, struct queue *q, int rc)
{
	int task = q->at[0].task, index = q->at[0].index;

	complete(m, task, rc == 0 && index >= 0 ? index : rc);
	return task;
}

/* Which item a queued sender sends: its statement, or that of the case. */
static int item_of(const struct model *m, const struct queue *q)
{
	int call = m->tasks[q->at[0].task].call;

	return q->at[0].index < 0 ? call : program_kid(m->p, call, q->at[0].index);
}

/* Channels */

static bool is_over(const struct channel *c)
{
	return c->closed && !c->len && !c->reserved;
}

static void place_is_free(struct model *m, struct channel *c)
{
	while (c->len + c->reserved < c->capacity) {
		if (c->reservers.len) {
			c->reserved++;
			grant(m, &c->reservers, 0);
		} else if (c->senders.len) {
			c->items[c->len++] = item_of(m, &c->senders);
			grant(m, &c->senders, 0);
		} else {
			return;
		}
	}
}

static int send(struct model *m, struct channel *c, int item)
{
	if (c->closed)
		return -EPIPE;
	if (c->receivers.len) { /* 12.1 */
		m->tasks[grant(m, &c->receivers, 0)].value = item;
		return 0;
	}
	if (c->len + c->reserved >= c->capacity)
		return AGAIN;
	c->items[c->len++] = item;
	return 0;
}

static int recv(struct model *m, struct channel *c, int *ret_item)
{
	if (c->len) {
		*ret_item = c->items[0];
		c->len--;
		for (int i = 0; i < c->len; i++)
			c->items[i] = c->items[i + 1];
		place_is_free(m, c);
		return 0;
	}
	if (c->senders.len) {
		*ret_item = item_of(m, &c->senders);
		grant(m, &c->senders, 0);
		return 0;
	}
	return is_over(c) ? -EPIPE : AGAIN;
}

static int reserve(struct channel *c)
{
	if (!c->capacity)
		return -EOPNOTSUPP;
	if (c->closed)
		return -EPIPE;
	if (c->len + c->reserved >= c->capacity)
		return AGAIN;
	c->reserved++;
	return 0;
}

static void receivers_end(struct model *m, struct channel *c)
{
	while (is_over(c) && c->receivers.len)
		grant(m, &c->receivers, -EPIPE);
}

void channel_closes(struct model *m, int channel)
{
	struct channel *c = &m->channels[channel];

	c->closed = true;
	while (c->senders.len)
		grant(m, &c->senders, -EPIPE);
	while (c->reservers.len)
		grant(m, &c->reservers, -EPIPE);
	receivers_end(m, c);
}

void channel_commits(struct model *m, int channel, int item)
{
	struct channel *c = &m->channels[channel];

	c->reserved--;
	if (c->receivers.len) {
		m->tasks[grant(m, &c->receivers, 0)].value = item;
		place_is_free(m, c);
	} else {
		c->items[c->len++] = item;
	}
	receivers_end(m, c);
}

void channel_unreserves(struct model *m, int channel)
{
	struct channel *c = &m->channels[channel];

	c->reserved--;
	if (!c->closed)
		place_is_free(m, c);
	receivers_end(m, c);
}

/* Permits, in the order of asking. */

static void permits_serve(struct model *m)
{
	while (m->acquirers.len) {
		int count = node_of(m, m->tasks[m->acquirers.at[0].task].call)->n;

		if (m->permits < count)
			return;
		m->permits -= count;
		grant(m, &m->acquirers, 0);
	}
}

void permits_return(struct model *m, int count)
{
	m->permits += count;
	permits_serve(m);
}

static int acquire(struct model *m, int count)
{
	if (m->acquirers.len || m->permits < count)
		return AGAIN;
	m->permits -= count;
	return 0;
}

void event_sets(struct model *m)
{
	m->set = true;
	while (m->awaiters.len)
		grant(m, &m->awaiters, 0);
}

void waiters_wake(struct model *m, int task)
{
	for (int i = 0; i < m->p->count; i++) {
		const struct task *t = &m->tasks[i];

		if (t->state == TASK_IS_PARKED && t->phase == WAITS &&
		    node_of(m, t->call)->kind == WAIT &&
		    m->p->at[node_of(m, t->call)->to] == task)
			complete(m, i, 0);
	}
}

/* Places among the children (21.5): who has waited longest has the one that became free. */
void places_change(struct model *m, int scope)
{
	struct frame *f = &m->frames[scope];

	if (scope >= NODES_MAX || !m->spawners[scope].len || f->live >= f->max)
		return;
	f->live++;
	grant(m, &m->spawners[scope], 0);
}

static int spawn(struct model *m, int task)
{
	int node = m->tasks[task].call, scope = program_scope_of(m->p, node);

	if (m->frames[scope].live >= m->frames[scope].max || m->spawners[scope].len)
		return AGAIN;
	task_starts(m, scope, node_of(m, node)->first, false);
	return 0;
}

/* Selects */

/* One case: what it comes to now. @does: and does it. */
static int case_comes_to(struct model *m, int task, int index, bool does)
{
	struct task *t = &m->tasks[task];
	int node = program_kid(m->p, t->call, index), item;
	struct channel *c = &m->channels[node_of(m, node)->n % CHANNELS];

	switch (node_of(m, node)->kind) {
	case SEND:
		if (does)
			return send(m, c, node);
		return c->closed ? -EPIPE
		       : c->receivers.len || c->len + c->reserved < c->capacity ? 0
										: AGAIN;
	case RECV:
		if (!does)
			return c->len || c->senders.len ? 0 : is_over(c) ? -EPIPE : AGAIN;
		item = -1;
		(void)recv(m, c, &item);
		t->value = item;
		return 0;
	case SLEEP:
		return t->case_ns[index] <= m->now_ns ? 0 : AGAIN;
	case AWAIT:
		return m->set ? 0 : AGAIN;
	default:
		return asked_of(m, t->inner) >= SOFT ? 0 : AGAIN;
	}
}

/* 19.5: which of the cases that can be done is done is free in a fair select. */
static bool may_choose(struct model *m, int task, int index, int rc)
{
	int comes_to = case_comes_to(m, task, index, false);

	return !node_of(m, m->tasks[task].call)->flag || rc == UNKNOWN ||
	       (rc < 0 ? comes_to == rc : index == rc);
}

static int choose(struct model *m, int task, int rc)
{
	int count = program_kids(m->p, m->tasks[task].call);
	int possible = AGAIN;

	for (int i = 0; i < count; i++) {
		int comes_to = case_comes_to(m, task, i, false);

		if (comes_to == AGAIN)
			continue;
		possible = comes_to < 0 ? comes_to : i;
		if (!may_choose(m, task, i, rc))
			continue;
		if (comes_to == 0)
			(void)case_comes_to(m, task, i, true);
		return comes_to < 0 ? comes_to : i;
	}
	return possible;
}

static void select_waits(struct model *m, int task)
{
	struct task *t = &m->tasks[task];
	int count = program_kids(m->p, t->call);

	for (int i = 0; i < count; i++) {
		const struct node *n = node_of(m, program_kid(m->p, t->call, i));

		if (n->kind == SEND)
			enqueue(&m->channels[n->n].senders, task, i);
		else if (n->kind == RECV)
			enqueue(&m->channels[n->n].receivers, task, i);
		else if (n->kind == AWAIT)
			enqueue(&m->awaiters, task, i);
	}
	t->age = m->age;
	m->age += MEMBERS_MAX;
}

void stopping_begins(struct model *m, int task)
{
	const struct task *t = &m->tasks[task];
	int index = 0;

	if (t->phase != WAITS || node_of(m, t->call)->kind != SELECT)
		return;
	for (int kid = node_of(m, t->call)->first; kid >= 0; kid = node_of(m, kid)->next, index++) {
		if (node_of(m, kid)->kind == STOPPING) {
			complete(m, task, index);
			return;
		}
	}
}

/* Calls */

/* 22.3: of a task elsewhere the end is known when it is told. */
static bool has_ended(const struct model *m, int task)
{
	if (program_is_sent(m->p, task))
		task = node_of(m, task)->parent;
	return m->tasks[task].state == TASK_HAS_ENDED;
}

int attempt(struct model *m, int task, int rc)
{
	struct task *t = &m->tasks[task];
	const struct node *n = node_of(m, t->call);
	struct channel *c = &m->channels[n->n % CHANNELS];

	switch (n->kind) {
	case SLEEP:
		return t->until_ns <= m->now_ns ? 0 : AGAIN;
	case YIELD:
		return AGAIN;
	case SEND:
	case TRY_SEND:
		return send(m, c, t->call);
	case RECV:
	case TRY_RECV:
		return recv(m, c, &t->value);
	case PUT:
		return reserve(c);
	case HOLD:
		return acquire(m, n->n);
	case AWAIT:
		return m->set ? 0 : AGAIN;
	case WAIT:
		return has_ended(m, m->p->at[n->to]) ? 0 : AGAIN;
	case SPAWN:
		return spawn(m, task);
	case SELECT:
		return choose(m, task, rc);
	case SCOPE:
		return m->frames[t->call].live || m->frames[t->call].daemons
			       ? AGAIN
			       : scope_outcome(m, t->call);
	default:
		return m->frames[t->call].live ? AGAIN : group_outcome(m, t->call);
	}
}

void wait_begins(struct model *m, int task)
{
	struct task *t = &m->tasks[task];
	const struct node *n = node_of(m, t->call);
	struct channel *c = &m->channels[n->n % CHANNELS];

	t->phase = WAITS;
	t->state = TASK_IS_PARKED;
	switch (n->kind) {
	case SLEEP:
		t->age = m->age++;
		break;
	case SEND:
		enqueue(&c->senders, task, -1);
		break;
	case RECV:
		enqueue(&c->receivers, task, -1);
		break;
	case PUT:
		enqueue(&c->reservers, task, -1);
		break;
	case HOLD:
		enqueue(&m->acquirers, task, -1);
		break;
	case AWAIT:
		enqueue(&m->awaiters, task, -1);
		break;
	case SPAWN:
		enqueue(&m->spawners[program_scope_of(m->p, t->call)], task, -1);
		break;
	case SELECT:
		select_waits(m, task);
		break;
	default:
		break;
	}
}

/* 17.6, 1.2: what waits for children goes on waiting; all else can be called off. */
bool can_be_withdrawn(const struct model *m, int task)
{
	const struct task *t = &m->tasks[task];

	if (t->phase != WAITS)
		return false;
	switch (node_of(m, t->call)->kind) {
	case SCOPE:
	case JOIN:
	case JOIN_ALL:
	case RACE:
	case RACE_OK:
		return false;
	default:
		return true;
	}
}

/* 12.2: it waits no more before anything else is granted. Of several who wait for permits and are
 * cancelled together, one may be served by the going of another; which is the run's choice. */
void cancel_wait(struct model *m, int task)
{
	struct task *t = &m->tasks[task];

	if (node_of(m, t->call)->kind != HOLD)
		complete(m, task, -ECANCELED);
	/* A select is told without an observer's hearing of it. */
	t->due = node_of(m, t->call)->kind != SELECT;
}

void withdraw(struct model *m, int task)
{
	bool acquires = node_of(m, m->tasks[task].call)->kind == HOLD;

	complete(m, task, -ECANCELED);
	if (acquires) /* those behind may fit where this one did not */
		permits_serve(m);
}
