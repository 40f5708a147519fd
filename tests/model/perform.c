/* SPDX-License-Identifier: MIT */
/* perform.c - runs a random program on lade, and tells the model of each step.
 *
 * DESIGN
 * Each statement is a call of lade with an event before and one after it. All tasks that have a
 * name are made before the program begins, so that a cancel can come before the start. A composite
 * has no stack and so no observer; it gets a copy of its type, whose start puts a call of ours
 * before each of its turns. Of a task that is sent to another core the model hears likewise when
 * its mails are taken.
 *
 * Where time is real, cores are threads: then what is done on several is counted with atomics, and
 * a statement that uses what is one core's - a channel, the semaphore, the event, a name - does
 * nothing on another. What cores share there are the channels, which are then shared channels.
 *
 * LIMITS  one program at a time. */

#include "model/perform.h"

#include "core/sim_priv.h"
#include "model/model.h"
#include "model/model_priv.h"

#include <lade/channel.h>
#include <lade/cores.h>
#include <lade/event.h>
#include <lade/join.h>
#include <lade/shared_channel.h>

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LEFT 1 /* what a statement gives that leaves its scope */

/* What has become of a statement. */
struct state {
	int started, runs, drops; /* a task: how often */
	int active;		  /* running */
	int cleanups;		  /* a cleanup: how often it ran */
	int made, disposed;	  /* its value */
	atomic_int sent, received; /* its item */
	int scope;		  /* a task's, or -1 */
	struct lade_scope *open;  /* a scope, while it is open */
};

union composite {
	struct lade_task head;
	struct lade_join_task join;
	struct lade_race_task race;
	struct lade_race_ok_task race_ok;
	struct lade_on_task on;
};

static int act(int node, long *ret);
static void give_back(long *value);
static void give_up(int node);
LADE_TASK_WITH(act, long, (.dispose = give_back, .drop_args = give_up), (int, node))
static int act_plain(int node, long *ret);
LADE_TASK(act_plain, long, (int, node))

LADE_CHANNEL_WITH(item, int, NULL)
LADE_SHARED_CHANNEL(item, int)

/* The world of the running program. */
static struct {
	const struct program *p;
	struct model *model; /* or NULL */
	struct lade_loop *loop;
	struct lade_observer observer;
	struct state states[NODES_MAX];
	struct act_task tasks[NODES_MAX];
	struct act_plain_task plain[NODES_MAX];
	union composite composites[NODES_MAX];
	struct item_channel *channels[CHANNELS];
	struct item_shared_channel *shared[CHANNELS]; /* where cores are threads */
	struct lade_sem permits;
	struct lade_event event;
	int held;	/* permits */
	atomic_int overruns; /* that the loops have reported */
	bool quick;	/* a millisecond of the program is a tenth of one; cores are threads */
	uint64_t hash;	/* of what has happened */
	pthread_mutex_t lock; /* of the next */
	char wrong[200]; /* "" while nothing is */
} w = { .lock = PTHREAD_MUTEX_INITIALIZER };

struct totals totals;

__attribute__((format(printf, 1, 2))) static void wrong(const char *format, ...)
{
	va_list args;

	pthread_mutex_lock(&w.lock);
	if (!w.wrong[0]) {
		va_start(args, format);
		vsnprintf(w.wrong, sizeof(w.wrong), format, args);
		va_end(args);
	}
	pthread_mutex_unlock(&w.lock);
}

static void count(atomic_long *what)
{
	atomic_fetch_add_explicit(what, 1, memory_order_relaxed);
}

static const struct node *at(int node)
{
	return &w.p->nodes[node];
}

static int64_t now(void)
{
	return w.loop->now_ns;
}

static struct lade_duration ms(int n)
{
	return w.quick ? lade_us(n * 100) : lade_ms(n);
}

static void happen(int node, int what)
{
	uint64_t event;

	if (w.quick) /* nobody asks, and other cores do the same */
		return;
	event = (uint64_t)node << 48 ^ (uint64_t)(uint32_t)what << 32 ^
		(uint64_t)now();

	w.hash = (w.hash ^ event) * UINT64_C(0x100000001b3) + (w.hash >> 29);
}

/* What a result was, for the totals and the model. */
static int gave(int node, int rc)
{
	count(&totals.kinds[at(node)->kind]);
	if (rc == -ETIME)
		count(&totals.deadlines);
	else if (rc == -ECANCELED)
		count(&totals.cancelled);
	else if (rc == -ENOMEM)
		count(&totals.without_stack);
	happen(node, rc);
	return rc;
}

static void begin(int task, int node)
{
	if (w.model)
		model_call(w.model, task, node, now());
}

static int end(int task, int node, int rc, int value)
{
	if (w.model)
		model_return(w.model, task, node, rc, value);
	return gave(node, rc);
}

static void ask_questions(int task)
{
	struct lade_reason why;

	if (!w.model)
		return;
	why = lade_why();
	model_asked(w.model, task, lade_stopping(), lade_cancelled(), &why);
}

/* What is one core's, and so nothing to those that run on another */

static bool is_elsewhere(int node)
{
	return w.quick && program_island(w.p, node) >= 0;
}

/* Whether a statement may use what another statement is the name of. */
static bool is_with(int node, int target)
{
	return !w.quick || program_island(w.p, node) == program_island(w.p, target);
}

/* Tasks by statement */

static struct lade_task *head_of(int node)
{
	if (program_is_composite(w.p, node))
		return &w.composites[node].head;
	return at(node)->flag ? &w.plain[node].head : &w.tasks[node].head;
}

static int winner_of(int node)
{
	return at(node)->kind == ON ? -1 : w.composites[node].race.winner;
}

/* Which composite a struct is part of, or NODES_MAX. */
static int composite_of(const void *part)
{
	size_t n = ((uintptr_t)part - (uintptr_t)w.composites) / sizeof(w.composites[0]);

	return n < NODES_MAX ? (int)n : NODES_MAX;
}

/* The statement of a running task: the struct of a spawned one lies on its stack, and one that was
 * sent away runs as its shadow. */
static int task_of(const struct lade_ctl *ctl)
{
	const struct lade_task *head = ctl->head;
	int composite = composite_of(head);

	if (composite < NODES_MAX && head == &w.composites[composite].on.shadow)
		return at(composite)->first;
	if (head->type == &act_type)
		return ((const struct act_task *)(const void *)head)->args.node;
	if (head->type == &act_plain_type)
		return ((const struct act_plain_task *)(const void *)head)->args.node;
	return composite;
}

/* What holds for the tasks of a scope that has closed, or of a join or race that is over. */
static void children_are_over(int scope)
{
	for (int i = 0; i < w.p->count; i++) {
		const struct state *s = &w.states[i];

		if (!is_with(scope, i) || !s->started || s->scope != scope ||
		    program_is_composite(w.p, i))
			continue;
		/* A plain task gives nothing up. */
		if (s->active || s->runs + s->drops + (at(i)->flag && !s->runs) != 1)
			wrong("task %d: active %d, runs %d, drops %d after its scope", i,
			      s->active, s->runs, s->drops);
	}
}

static void started(int task, int scope)
{
	w.states[task].started++;
	w.states[task].scope = scope;
	if (!program_is_composite(w.p, task))
		return;
	if (at(task)->kind == ON)
		count(&totals.kinds[ON]);
	for (int kid = at(task)->first; kid >= 0; kid = at(kid)->next)
		started(kid, scope);
}

/* What is seen of a task that has ended. */
static void task_is_over(int task)
{
	const struct lade_task *head = head_of(task);
	const struct state *s = &w.states[task];

	if (w.model)
		model_status(w.model, task, head->status,
			     program_is_composite(w.p, task) ? winner_of(task) : -1);
	if (at(task)->kind == ON && head->status != head_of(at(task)->first)->status)
		wrong("on %d: status %d, and its task's is %d", task, head->status,
		      head_of(at(task)->first)->status);
	if (program_is_composite(w.p, task)) {
		for (int kid = at(task)->first; kid >= 0; kid = at(kid)->next)
			task_is_over(kid);
		return;
	}
	if ((head->status >= 0) != (s->made && !s->disposed))
		wrong("task %d: status %d, made %d, disposed %d", task, head->status, s->made,
		      s->disposed);
}

static void give_back(long *value)
{
	w.states[*value].disposed++;
	count(&totals.disposed);
	happen((int)*value, -1);
	if (w.model)
		model_disposed(w.model, (int)*value);
}

static void give_up(int node)
{
	w.states[node].drops++;
	count(&totals.drops);
	happen(node, -2);
	if (w.model)
		model_dropped(w.model, node);
}

static int do_kids(int task, int node);

static int act_any(int node, long *ret)
{
	struct state *s = &w.states[node];
	int rc;

	s->runs++;
	s->active++;
	count(&totals.tasks);
	if (w.model)
		model_begins(w.model, node);
	ask_questions(node);
	rc = do_kids(node, node);
	ask_questions(node);
	if (rc >= 0) {
		rc = 0;
		*ret = node;
		s->made++;
	}
	s->active--;
	happen(node, rc);
	return rc;
}

static int act(int node, long *ret)
{
	return act_any(node, ret);
}

static int act_plain(int node, long *ret)
{
	return act_any(node, ret);
}

/* Channels, permits, the event */

static int channel_send(int n, int item)
{
	return w.quick ? item_shared_send(w.shared[n], item) : item_send(w.channels[n], item);
}

static int channel_recv(int n, int *item)
{
	return w.quick ? item_shared_recv(w.shared[n], item) : item_recv(w.channels[n], item);
}

static int channel_try_send(int n, int item)
{
	return w.quick ? item_shared_try_send(w.shared[n], item) :
			 item_try_send(w.channels[n], item);
}

static int channel_try_recv(int n, int *item)
{
	return w.quick ? item_shared_try_recv(w.shared[n], item) :
			 item_try_recv(w.channels[n], item);
}

static int channel_reserve(int n)
{
	return w.quick ? item_shared_reserve(w.shared[n]) : item_reserve(w.channels[n]);
}

/* @item: or -1, the place is given up. */
static void channel_settle(int n, int item)
{
	if (w.quick && item >= 0)
		item_shared_commit(w.shared[n], item);
	else if (w.quick)
		item_shared_unreserve(w.shared[n]);
	else if (item >= 0)
		item_commit(w.channels[n], item);
	else
		item_unreserve(w.channels[n]);
}

static void channel_close(int n)
{
	if (w.quick)
		item_shared_channel_close(w.shared[n]);
	else
		item_channel_close(w.channels[n]);
}

static void item_sent(int node, int rc)
{
	atomic_fetch_add(&w.states[node].sent, rc == 0);
}

static void item_received(int rc, int value)
{
	if (rc != 0) {
		if (value >= 0)
			wrong("item %d came with %d", value, rc);
		return;
	}
	if (value < 0 || value >= NODES_MAX || 
	    atomic_fetch_add(&w.states[value].received, 1))
		wrong("item %d is received twice, or none", value);
}

static int do_send(int task, int node)
{
	int rc;

	begin(task, node);
	rc = channel_send(at(node)->n, node);
	item_sent(node, rc);
	return end(task, node, rc, -1);
}

static int do_recv(int task, int node)
{
	int item = -1, rc;

	begin(task, node);
	rc = channel_recv(at(node)->n, &item);
	item_received(rc, item);
	return end(task, node, rc, item);
}

static int do_try(int task, int node)
{
	int item = -1, rc;

	if (at(node)->kind == TRY_SEND) {
		rc = channel_try_send(at(node)->n, node);
		item_sent(node, rc);
	} else {
		rc = channel_try_recv(at(node)->n, &item);
		item_received(rc, item);
	}
	if (w.model)
		model_try(w.model, task, node, rc, item);
	return gave(node, rc) == -EAGAIN ? 0 : rc;
}

static int do_put(int task, int node)
{
	int rc;

	begin(task, node);
	rc = end(task, node, channel_reserve(at(node)->n), -1);
	if (rc < 0)
		return rc;
	rc = do_kids(task, node);
	if (w.model)
		model_commit(w.model, task, node, rc >= 0);
	channel_settle(at(node)->n, rc >= 0 ? node : -1);
	item_sent(node, rc < 0);
	return rc;
}

static int do_hold(int task, int node)
{
	uint32_t count = (uint32_t)at(node)->n;
	int rc;

	if (is_elsewhere(node))
		return do_kids(task, node);
	if (at(node)->flag) {
		rc = lade_sem_try_acquire(&w.permits, count);
		if (w.model)
			model_try(w.model, task, node, rc, -1);
		if (gave(node, rc) < 0)
			return 0;
	} else {
		begin(task, node);
		rc = end(task, node, lade_sem_acquire(&w.permits, count), -1);
		if (rc < 0)
			return rc;
	}
	w.held += (int)count;
	if (w.held > w.p->permits)
		wrong("%d permits are held of %d", w.held, w.p->permits);
	rc = do_kids(task, node);
	w.held -= (int)count;
	if (w.model)
		model_release(w.model, task, node);
	lade_sem_release(&w.permits, count);
	return rc;
}

static struct lade_case make_case(int node, int *item)
{
	switch (at(node)->kind) {
	case SEND:
		*item = node;
		return item_send_case(w.channels[at(node)->n], item);
	case RECV:
		return item_recv_case(w.channels[at(node)->n], item);
	case SLEEP:
		return lade_after(ms(at(node)->n));
	case AWAIT:
		return lade_event_case(&w.event);
	default:
		return lade_on_stopping();
	}
}

/* Whether no case of a select is one core's. */
static bool is_of_times(int node)
{
	for (int kid = at(node)->first; kid >= 0; kid = at(kid)->next)
		if (at(kid)->kind != SLEEP && at(kid)->kind != STOPPING)
			return false;
	return true;
}

static int do_select(int task, int node)
{
	struct lade_case cases[MEMBERS_MAX];
	int items[MEMBERS_MAX], kids[MEMBERS_MAX], n = 0, rc, item = -1;

	if (is_elsewhere(node) && !is_of_times(node))
		return 0;
	begin(task, node);
	for (int kid = at(node)->first; kid >= 0; kid = at(kid)->next, n++) {
		items[n] = -1;
		kids[n] = kid;
		cases[n] = make_case(kid, &items[n]);
	}
	rc = lade_select_at(cases, (size_t)n, at(node)->flag, LADE_SITE);
	for (int i = 0; i < n; i++) {
		if (at(kids[i])->kind == SEND)
			item_sent(kids[i], i != rc);
		else if (i == rc && at(kids[i])->kind == RECV)
			item_received(0, item = items[i]);
		else if (items[i] >= 0)
			wrong("item %d came to a case that was not chosen", items[i]);
	}
	end(task, node, rc, item);
	return rc < 0 ? rc : 0;
}

/* Scopes */

static void start_it(int task, int node, int scope)
{
	int kid = at(node)->first;

	if (w.model)
		model_do(w.model, task, node, now());
	started(kid, scope);
	if (at(node)->kind == DAEMON)
		lade_start_daemon_at(w.states[scope].open, head_of(kid), LADE_SITE);
	else
		lade_start_at(w.states[scope].open, head_of(kid), LADE_SITE);
	gave(node, 0);
}

static int spawn_it(int task, int node, int scope)
{
	int kid = at(node)->first, rc;

	begin(task, node);
	started(kid, scope);
	if (at(kid)->flag)
		rc = lade_spawn(w.states[scope].open, act_plain_task(kid));
	else
		rc = lade_spawn(w.states[scope].open, act_task(kid));
	return end(task, node, rc, -1);
}

static int do_start(int task, int node)
{
	int scope = program_scope_of(w.p, node);

	if (scope < 0 || !w.states[scope].open || w.states[at(node)->first].started)
		return 0;
	if (at(node)->kind == SPAWN)
		return spawn_it(task, node, scope);
	start_it(task, node, scope);
	return 0;
}

static void scope_ends(int task, int node, int rc, bool leaves)
{
	ask_questions(task);
	if (w.model)
		model_close(w.model, task, node, rc, leaves);
}

static int do_scope(int task, int node)
{
	const struct node *n = at(node);
	int rc = 0;

	if (w.model)
		model_open(w.model, task, node, now());
	lade_scope(s, &rc, .policy = n->flag ? LADE_ALL : LADE_FAIL_FAST,
		   .max_children = (uint32_t)n->n, .cleanup = ms(n->m)) {
		w.states[node].open = &s;
		rc = do_kids(task, node);
		if (rc >= LEFT) {
			rc = rc == LEFT ? 0 : LEFT - rc;
			scope_ends(task, node, rc, true);
			break;
		}
		scope_ends(task, node, rc, false);
	}
	w.states[node].open = NULL;
	children_are_over(node);
	end(task, node, rc, -1);
	for (int i = 0; i < w.p->count; i++)
		if (is_with(node, i) && w.states[i].started && w.states[i].scope == node &&
		    at(at(i)->parent)->kind != SPAWN && at(at(i)->parent)->kind < JOIN)
			task_is_over(i);
	return rc;
}

static int do_within(int task, int node)
{
	int inner = 0, rc;

	if (w.model)
		model_open(w.model, task, node, now());
	rc = lade_within(ms(at(node)->n), inner = do_kids(task, node));
	if (w.model)
		model_shut(w.model, task, node, inner, rc);
	return gave(node, rc);
}

static int do_shield(int task, int node)
{
	int rc = 0;

	if (w.model)
		model_open(w.model, task, node, now());
	lade_shield(ms(at(node)->n)) {
		ask_questions(task);
		rc = do_kids(task, node);
	}
	if (w.model)
		model_shut(w.model, task, node, 0, 0);
	return gave(node, rc);
}

struct cleanup {
	int task, node;
};

static void run_cleanup(void *arg)
{
	const struct cleanup *c = arg;

	if (w.model)
		model_open(w.model, c->task, c->node, now());
	ask_questions(c->task);
	w.states[c->node].cleanups++;
	(void)do_kids(c->task, c->node);
	if (w.model)
		model_shut(w.model, c->task, c->node, 0, 0);
	gave(c->node, 0);
}

static int do_one(int task, int node);

static int do_deferred(int task, int node)
{
	struct cleanup c = { task, at(node)->first };

	lade_defer(run_cleanup, &c);
	for (int kid = at(c.node)->next; kid >= 0; kid = at(kid)->next) {
		int rc = do_one(task, kid);

		if (rc)
			return rc;
	}
	return 0;
}

/* Joins and races */

static int do_group(int task, int node)
{
	struct lade_task *heads[MEMBERS_MAX];
	size_t count = 0;
	int rc, kid;

	for (kid = at(node)->first; kid >= 0; kid = at(kid)->next) {
		started(kid, node);
		heads[count++] = head_of(kid);
	}
	begin(task, node);
	switch (at(node)->kind) {
	case JOIN:
		rc = lade_join_at(heads, count, LADE_SITE);
		break;
	case JOIN_ALL:
		rc = lade_join_all_at(heads, count, LADE_SITE);
		break;
	case RACE:
		rc = lade_race_at(heads, count, LADE_SITE);
		break;
	default:
		rc = lade_race_ok_at(heads, count, LADE_SITE);
	}
	end(task, node, rc, -1);
	children_are_over(node);
	for (kid = at(node)->first; kid >= 0; kid = at(kid)->next)
		task_is_over(kid);
	return rc >= 0 ? lade_status_at(heads[rc], LADE_SITE) : rc;
}

/* The rest */

static int do_cancel(int task, int node)
{
	int target = w.p->at[at(node)->to];

	if (target < 0 || !is_with(node, target))
		return 0;
	/* Of a spawned task nobody has the name; who asks is still outside the model. */
	if (at(target)->kind == SCOPE ? !w.states[target].open
				      : target == 0 || at(at(target)->parent)->kind == SPAWN)
		return 0;
	if (w.model)
		model_do(w.model, task, node, now());
	if (at(target)->kind == SCOPE)
		lade_cancel_scope_at(&w.states[target].open->head, ms(at(node)->n), LADE_SITE);
	else
		lade_cancel_task_at(head_of(target), ms(at(node)->n), LADE_SITE);
	return gave(node, 0);
}

static int do_wait(int task, int node)
{
	int target = w.p->at[at(node)->to];

	if (target <= 0 || !is_with(node, target) || !w.states[target].started ||
	    at(target)->kind == SCOPE || at(at(target)->parent)->kind == SPAWN)
		return 0;
	begin(task, node);
	return end(task, node, lade_wait_at(head_of(target), LADE_SITE), -1);
}

static int do_instant(int task, int node)
{
	if (at(node)->kind != CLOSE && is_elsewhere(node))
		return 0;
	if (w.model)
		model_do(w.model, task, node, now());
	if (at(node)->kind == SET)
		lade_event_set(&w.event);
	else if (at(node)->kind == CLEAR)
		lade_event_clear(&w.event);
	else
		channel_close(at(node)->n);
	return gave(node, 0);
}

static int do_simple(int task, int node)
{
	int rc;

	if (at(node)->kind == AWAIT && is_elsewhere(node))
		return 0;
	begin(task, node);
	if (at(node)->kind == SLEEP)
		rc = lade_sleep(ms(at(node)->n));
	else if (at(node)->kind == YIELD)
		rc = lade_yield();
	else
		rc = lade_event_wait(&w.event);
	return end(task, node, rc, -1);
}

static int do_one(int task, int node)
{
	int rc;

	switch (at(node)->kind) {
	case SLEEP:
	case YIELD:
	case AWAIT:
		return do_simple(task, node);
	case FAIL:
		return gave(node, -at(node)->n);
	case LEAVE:
		return gave(node, LEFT + at(node)->n);
	case SEND:
		return do_send(task, node);
	case RECV:
		return do_recv(task, node);
	case TRY_SEND:
	case TRY_RECV:
		return do_try(task, node);
	case CLOSE:
	case SET:
	case CLEAR:
		return do_instant(task, node);
	case CANCEL:
		return do_cancel(task, node);
	case WAIT:
		return do_wait(task, node);
	case PUT:
		return do_put(task, node);
	case HOLD:
		return do_hold(task, node);
	case IGNORE:
		rc = do_kids(task, node);
		return gave(node, rc < 0 ? 0 : rc);
	case WITHIN:
		return do_within(task, node);
	case SHIELD:
		return do_shield(task, node);
	case SCOPE:
		return do_scope(task, node);
	case DEFER:
		rc = do_deferred(task, node);
		if (w.states[at(node)->first].cleanups != 1)
			wrong("cleanup %d has run %d times", at(node)->first,
			      w.states[at(node)->first].cleanups);
		return gave(node, rc);
	case SELECT:
		return do_select(task, node);
	case START:
	case DAEMON:
	case SPAWN:
		return do_start(task, node);
	default:
		return do_group(task, node);
	}
}

static int do_kids(int task, int node)
{
	int rc = 0;

	for (int kid = at(node)->first; kid >= 0 && rc == 0; kid = at(kid)->next) {
		ask_questions(task);
		rc = do_one(task, kid);
	}
	return rc;
}

/* The root: a deadline round the whole, so that whoever waits for nothing goes on in the end. */
static int root(void)
{
	struct state *s = &w.states[0];
	int inner = 0, rc;

	s->runs++;
	if (w.model) {
		model_begins(w.model, 0);
		model_open(w.model, 0, ROOT_DEADLINE, now());
	}
	rc = lade_within(ms(ROOT_MS), inner = do_kids(0, 0));
	if (w.model)
		model_shut(w.model, 0, ROOT_DEADLINE, inner, rc);
	if (lade_cancelled() || lade_stopping())
		wrong("a request is left outside the root's deadline");
	return 0;
}
LADE_TASK_VOID(root)

/* The root where time is real: the cleanups of who waits for nothing are not let wait for 5 s. */
static int quick_root(void)
{
	int rc = 0;

	lade_scope(s, &rc, .cleanup = ms(ROOT_MS))
		rc = root();
	return rc;
}
LADE_TASK_VOID(quick_root)

/* The observer */

static int observed_task(const struct lade_ctl *ctl)
{
	return ctl->head->type == &root_type ? 0 : task_of(ctl);
}

static void on_turn(struct lade_observer *o, struct lade_ctl *ctl)
{
	(void)o;
	if (ctl)
		model_turn(w.model, observed_task(ctl), now());
	else
		model_turn_over(w.model);
}

static void on_entered(struct lade_observer *o, struct lade_ctl *ctl, const char *site)
{
	(void)o;
	(void)ctl;
	(void)site;
}

static void on_parked(struct lade_observer *o, struct lade_ctl *ctl)
{
	(void)o;
	count(&totals.waits);
	model_parked(w.model, observed_task(ctl));
}

static void on_nothing(struct lade_observer *o, struct lade_ctl *ctl)
{
	(void)o;
	(void)ctl;
}

static void on_delivered(struct lade_observer *o, struct lade_ctl *ctl)
{
	(void)o;
	model_delivered(w.model, observed_task(ctl), now());
}

static void on_ended(struct lade_observer *o, struct lade_ctl *ctl, int status)
{
	int composite = composite_of(ctl->head);

	(void)o;
	/* Whoever keeps what was sent here is no task of the program. */
	if (composite < NODES_MAX && ctl->head == &w.composites[composite].on.keeper)
		return;
	model_ended(w.model, observed_task(ctl), status);
}

static void on_effect(struct lade_observer *o, const struct lade_effect *effect)
{
	(void)o;
	(void)effect;
}

static int on_fault(struct lade_observer *o, const char *what)
{
	(void)o;
	(void)what;
	return 0;
}

static bool on_too_late(struct lade_observer *o, const struct lade_ctl *ctl)
{
	(void)o;
	(void)ctl;
	return false;
}

static void observe(void)
{
	w.observer = (struct lade_observer){ .site = "",
					     .turn = on_turn,
					     .entered = on_entered,
					     .parked = on_parked,
					     .resumes = on_nothing,
					     .delivered = on_delivered,
					     .outran = on_nothing,
					     .handled = on_nothing,
					     .ended = on_ended,
					     .effect = on_effect,
					     .fault = on_fault,
					     .too_late = on_too_late };
	w.loop->observer = &w.observer;
	w.loop->gate = GATE_OBSERVED;
}

/* Composites, of copied types */

static struct lade_task_type types[KINDS];
static void (*starts[KINDS])(struct lade_scope *, struct lade_task *);
static void (*turns[KINDS])(struct lade_ctl *);

static int composite_kind(const struct lade_task *head)
{
	return (int)(head->type - types);
}

static void composite_turn(struct lade_ctl *ctl)
{
	model_composite_turn(w.model, task_of(ctl), now());
	turns[composite_kind(ctl->head)](ctl);
}

/* Mails between cores that are one loop */

static void (*take_mail[MAILS])(struct lade_mail *);
static enum lade_abort_result (*abort_on)(struct lade_op *);

static void mail_is_there(const void *part, enum mail_kind kind)
{
	model_mail(w.model, composite_of(part), kind, now());
}

static void take_start(struct lade_mail *mail)
{
	mail_is_there(mail, MAIL_START);
	take_mail[MAIL_START](mail);
}

static void take_soft(struct lade_mail *mail)
{
	mail_is_there(mail, MAIL_SOFT);
	take_mail[MAIL_SOFT](mail);
}

static void take_hard(struct lade_mail *mail)
{
	mail_is_there(mail, MAIL_HARD);
	take_mail[MAIL_HARD](mail);
}

static void observe_mail(struct lade_mail *mail, enum mail_kind kind,
			 void (*take)(struct lade_mail *))
{
	take_mail[kind] = mail->take;
	mail->take = take;
}

static void (*soft_on)(struct lade_op *);

static void on_is_told_softly(struct lade_op *op)
{
	soft_on(op);
	observe_mail(&LADE_CONTAINER(op, struct lade_on_task, op)->soft.mail, MAIL_SOFT,
		     take_soft);
}

static enum lade_abort_result on_is_told(struct lade_op *op)
{
	enum lade_abort_result answer;

	model_delivered(w.model, composite_of(op), now());
	answer = abort_on(op);
	observe_mail(&LADE_CONTAINER(op, struct lade_on_task, op)->hard.mail, MAIL_HARD,
		     take_hard);
	return answer;
}

static void on_is_home(struct lade_op *op)
{
	model_home(w.model, composite_of(op), now());
}

static void observe_mails(struct lade_on_task *on)
{
	if (!on->out) /* it was not sent */
		return;
	observe_mail(&on->start, MAIL_START, take_start);
	if (on->op.soft)
		soft_on = on->op.soft;
	else
		observe_mail(&on->soft.mail, MAIL_SOFT, take_soft);
	if (on->op.soft)
		on->op.soft = on_is_told_softly;
	abort_on = on->op.abort;
	on->op.abort = on_is_told;
	on->op.done = on_is_home;
}

static void composite_start(struct lade_scope *scope, struct lade_task *head)
{
	int kind = composite_kind(head);

	starts[kind](scope, head);
	turns[kind] = head->ctl->ready;
	head->ctl->ready = composite_turn;
	if (kind == ON)
		observe_mails(&w.composites[composite_of(head)].on);
}

static void make_composite(int node, bool modelled)
{
	struct lade_task *heads[MEMBERS_MAX];
	union composite *c = &w.composites[node];
	enum kind kind = (enum kind)at(node)->kind;
	size_t count = 0;

	for (int kid = at(node)->first; kid >= 0; kid = at(kid)->next)
		heads[count++] = head_of(kid);
	if (kind == JOIN_TASK)
		c->join = lade_join_task_at(heads, count, LADE_SITE);
	else if (kind == RACE_TASK)
		c->race = lade_race_task_at(heads, count, LADE_SITE);
	else if (kind == ON)
		c->on = lade_on_task_at((uint32_t)at(node)->n, heads[0], LADE_SITE);
	else
		c->race_ok = lade_race_ok_task_at(heads, count, LADE_SITE);
	if (!modelled)
		return;
	types[kind] = *c->head.type;
	starts[kind] = types[kind].start;
	types[kind].start = composite_start;
	c->head.type = &types[kind];
}

/* A run */

static void count_overrun(void *arg, const char *message)
{
	(void)arg;
	(void)message;
	atomic_fetch_add(&w.overruns, 1);
	count(&totals.overruns);
}

static void make_channel(int i)
{
	uint32_t capacity = (uint32_t)w.p->capacity[i];

	if (item_channel_new(capacity, &w.channels[i]) < 0 ||
	    item_shared_channel_new(capacity ? capacity : 1, &w.shared[i]) < 0)
		abort();
}

static void make_world(const struct program *p, bool modelled)
{
	w.p = p;
	w.held = 0;
	atomic_store(&w.overruns, 0);
	w.hash = 0;
	w.wrong[0] = 0;
	memset(w.states, 0, sizeof(w.states[0]) * (size_t)p->count);
	for (int i = 0; i < p->count; i++) {
		w.states[i].scope = -1;
		if (p->nodes[i].kind == TASK && p->nodes[i].flag)
			w.plain[i] = act_plain_task(i);
		else if (p->nodes[i].kind == TASK)
			w.tasks[i] = act_task(i);
		else if (program_is_composite(p, i))
			make_composite(i, modelled);
	}
	for (int i = 0; i < CHANNELS; i++)
		make_channel(i);
	lade_sem_init(&w.permits, (uint32_t)p->permits);
	lade_event_init(&w.event);
}

/* What holds at the end, and what is left. */
static void end_world(void)
{
	int left[CHANNELS], sent = 0, received = 0;

	for (int i = 0; i < CHANNELS; i++) {
		int item;

		left[i] = (int)lade_channel_len(item_channel_raw(w.channels[i]));
		while (item_try_recv(w.channels[i], &item) == 0)
			item_received(0, item);
		while (item_shared_try_recv(w.shared[i], &item) == 0)
			item_received(0, item);
		item_channel_free(w.channels[i]);
		item_shared_channel_free(w.shared[i]);
	}
	for (int i = 0; i < w.p->count; i++) {
		sent += w.states[i].sent;
		received += w.states[i].received;
		if (w.states[i].received > w.states[i].sent)
			wrong("item %d is received and still its sender's", i);
	}
	if (sent != received)
		wrong("%d items are sent and %d received", sent, received);
	if (w.held || w.permits.permits != (uint32_t)w.p->permits)
		wrong("%u permits of %d are free at the end", w.permits.permits, w.p->permits);
	if (w.model)
		model_over(w.model, left, (int)w.permits.permits, w.overruns);
}

static void set_environment(const struct perform *how)
{
	static __thread uint64_t seed_before;
	static __thread const char *order_before;
	char text[40];

	if (seed_before != how->seed + 1) {
		snprintf(text, sizeof(text), "%llu", (unsigned long long)how->seed);
		setenv("LADE_SEED", text, 1);
		seed_before = how->seed + 1;
	}
	if (how->order && order_before != how->order) {
		snprintf(text, sizeof(text), "order=%s", how->order);
		setenv("LADE_SIM", text, 1);
		order_before = how->order;
	}
}

const char *perform_program(const struct program *p, const struct perform *how,
			    uint64_t *ret_hash)
{
	struct lade_loop_config config = { .backend = how->backend,
					   .stacks_max = p->stacks_max,
					   .inline_budget = p->inline_budget,
					   .cores = 2,
					   .report = count_overrun };
	struct root_task task = root_task();
	struct quick_root_task quick = quick_root_task();
	static __thread char text[400];

	set_environment(how);
	if (lade_loop_new(&config, &w.loop) < 0)
		return "no loop";
	w.quick = !w.loop->backend->exact;
	make_world(p, how->model);
	w.states[0].started = 1;
	w.model = how->model ? model_new(p, w.loop->now_ns, how->log) : NULL;
	if (w.model)
		observe();
	(void)lade_loop_run_at(w.loop, w.quick ? &quick.head : &task.head, LADE_SITE);
	count(&totals.programs);
	end_world();
	if (ret_hash)
		*ret_hash = w.hash;
	text[0] = 0;
	if (w.model && model_difference(w.model))
		snprintf(text, sizeof(text), "%s", model_difference(w.model));
	else if (w.wrong[0])
		snprintf(text, sizeof(text), "%s", w.wrong);
	if (w.model && model_gave_up(w.model))
		count(&totals.gave_up);
	if (w.model)
		w.model = model_free(w.model);
	w.loop = lade_loop_free(w.loop);
	return text[0] ? text : NULL;
}
