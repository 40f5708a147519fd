/* SPDX-License-Identifier: MIT */
/* run.c - one run of a scenario in a simulation: its points, effects and end.
 *
 * DESIGN
 * The root task makes the world in a scope of its own, runs the body as a task, once and once more,
 * asks the invariant, and closes the world. The observer numbers the suspending calls of the tasks
 * that the body started, in its first run, and writes down everything done outside. A chance for an
 * injection is a call of inject(): in the explorer it forks, and returns in the trial with the
 * injection made, in the explorer with nothing changed. */

#include "explore/explore_priv.h"

#include "base/alloc.h"
#include "base/hash.h"

#include <lade/join.h>
#include <lade/scope.h>

#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What is known of a task. */
struct known {
	uint64_t number;   /* its */
	const char *site;  /* of its latest suspending call */
	uint32_t point;	   /* of that call */
	int64_t parked_ns; /* since when it waits; 0: it does not */
	uint64_t calls;	   /* suspending calls so far */
	uint32_t after;	   /* suspending calls since it was told of a cancel that ends it */
	bool told;	   /* it was */
	bool told_before;  /* it was already when it was last told */
	bool handled;	   /* it says that it knows */
	bool has_value;	   /* what is known of its value is in values[] */
};

static struct {
	struct lade_observer observer;
	const struct lade_scenario *scenario;
	struct lade_loop *loop;
	struct outcome *out;
	void (*inject)(enum when, struct lade_ctl *, uint32_t, const char *);
	const struct lade_node *root; /* the body's own scope's outer, while it runs */
	int run;		      /* 0, 1: which; -1: outside the body */
	bool injected;		      /* no more chances: there was one, or the first run is over */
	bool is_trial;		      /* an injection was made */
	uint32_t later;		      /* chances until the second injection of a pair; 0: none */
	bool (*second)(enum when, struct lade_ctl *);
	int error;		      /* with which the operation fails; 0: it does not */
	bool error_stays;
	uint64_t failing;	      /* number of the task whose operations fail */
	uint64_t late;		      /* number of the task whose cancel comes too late; 0: none */
	long calls;
	bool counting;	       /* a task of the body has its turn */
	long allocations_left; /* of the body, until one fails; LONG_MAX: they are counted */
	const void *own_sems[OWN_SEMS_MAX]; /* made by the body: they end with it */
	uint32_t own_sems_len;
	struct known tasks[TASKS_MAX]; /* by number, those of the first run */
} at;

/* By number, too; apart, so that a run in which no task has a value does not touch it. */
static struct value values[TASKS_MAX];

struct lade_loop *explore_loop(void)
{
	return at.loop;
}

struct outcome *explore_outcome(void)
{
	return at.out;
}

void explore_write_to(struct outcome *outcome)
{
	at.out = outcome;
}

const struct lade_node *explore_root(void)
{
	return at.root;
}

void explore_event(const char *format, ...)
{
	struct event *e = &at.out->events[at.out->events_len++ % EVENTS_KEPT];
	va_list args;

	e->at_ns = at.loop->now_ns;
	e->task = NULL;
	va_start(args, format);
	vsnprintf(e->text, sizeof(e->text), format, args);
	va_end(args);
}

void explore_step(const struct lade_ctl *ctl, const char *verb, const char *what, const char *site,
		  int status)
{
	struct event *e = &at.out->events[at.out->events_len++ % EVENTS_KEPT];

	e->at_ns = at.loop->now_ns;
	e->task = ctl->head->type->name;
	e->number = ctl->number;
	e->verb = verb;
	e->what = what;
	e->site = site;
	e->status = status;
}

void explore_fail(int error, bool from_now_on)
{
	at.error = error;
	at.error_stays = from_now_on;
	at.failing = lade_cur->number;
}

void explore_too_late(const struct lade_ctl *ctl)
{
	at.late = ctl->number;
}

static void keep_other(const struct lade_ctl *ctl)
{
	struct outcome *out = at.out;
	struct other *other = &out->others[out->others_len];

	if (out->others_len == OTHERS_KEPT) {
		out->others_left++;
		return;
	}
	out->others_len++;
	other->task = ctl->head->type->name;
	other->number = ctl->number;
	other->what = ctl->wait ? ctl->wait->what : NULL;
	other->site = ctl->wait ? ctl->wait->site : NULL;
	other->is_composite = !ctl->context.sp;
	other->pcs_len = ctl->wait ? explore_stack(ctl, other->pcs) : 0;
}

/* The tasks in the scopes from a node inward and below, but for the one that is disturbed. */
static void keep_others(const struct lade_node *node, const struct lade_ctl *disturbed)
{
	for (; node; node = node->inner) {
		const struct lade_scope *scope =
			LADE_CONTAINER(node, const struct lade_scope, head);
		const struct lade_link *it = NULL;

		if (node->kind == NODE_BLOCK || node->kind == NODE_GROUP)
			it = scope->children.next;
		for (; it && it != &scope->children; it = it->next) {
			const struct lade_ctl *ctl =
				LADE_CONTAINER(it, const struct lade_ctl, sibling);

			if (ctl != disturbed)
				keep_other(ctl);
			keep_others(ctl->root, disturbed);
		}
	}
}

void explore_injected(const struct lade_ctl *ctl)
{
	at.injected = at.is_trial = true;
	lade_sim_untrace(at.loop);
	at.out->pcs_len = explore_stack(ctl, at.out->pcs);
	at.out->others_len = at.out->others_left = 0;
	keep_others(at.root, ctl);
}

void explore_asked(void)
{
	if (at.run != 0 || at.out->asked)
		return;
	at.out->asked = true;
	at.out->asked_ns = at.loop->now_ns;
}

void explore_no_memory(long n)
{
	at.allocations_left = n;
}

bool explore_inside(const struct lade_ctl *ctl)
{
	if (at.run != 0)
		return false;
	for (const struct lade_node *n = ctl->root; n; n = lade_outer_of(n))
		if (n == at.root)
			return true;
	return false;
}

static uint64_t state_of_task(uint64_t hash, const struct lade_ctl *ctl);

/* A chain of scopes from here inward, and their children. */
static uint64_t state_of_chain(uint64_t hash, const struct lade_node *n)
{
	for (; n; n = n->inner) {
		const struct lade_scope *scope = LADE_CONTAINER(n, const struct lade_scope, head);

		hash = lade_hash_fnv(hash, &n->site, sizeof(n->site));
		hash = lade_hash_fnv(hash, &n->eff, sizeof(n->eff));
		if (n->kind != NODE_BLOCK && n->kind != NODE_GROUP)
			continue;
		for (struct lade_link *it = scope->children.next; it != &scope->children;
		     it = it->next)
			hash = state_of_task(hash,
					     LADE_CONTAINER(it, const struct lade_ctl, sibling));
	}
	return hash;
}

/* Where one task is: what it waits for, and the scopes that it is in. */
static uint64_t state_of_task(uint64_t hash, const struct lade_ctl *ctl)
{
	const char *site = ctl->wait ? ctl->wait->site : at.tasks[ctl->number % TASKS_MAX].site;

	hash = lade_hash_fnv(hash, &ctl->head->type->name, sizeof(char *));
	hash = lade_hash_fnv(hash, &site, sizeof(site));
	return state_of_chain(hash, ctl->root);
}

uint64_t explore_state(void)
{
	return state_of_chain(LADE_HASH_FNV, at.root);
}

static struct known *known_of(const struct lade_ctl *ctl)
{
	struct known *k = &at.tasks[ctl->number % TASKS_MAX];

	if (k->number != ctl->number)
		*k = (struct known){ .number = ctl->number, .point = UINT32_MAX };
	return k;
}

const char *explore_site(const struct lade_ctl *ctl)
{
	const struct known *k = known_of(ctl);

	return k->site ? k->site : ctl->head->site;
}

/* Numbers a suspending call. */
static uint32_t add_point(const struct lade_ctl *ctl, const char *site)
{
	struct outcome *out = at.out;
	struct point *p = &out->points[out->points_len];

	if (out->points_len == POINTS_MAX)
		return UINT32_MAX;
	*p = (struct point){ .site = site, .what = "", .task = ctl->head->type->name, .nth = 1 };
	for (uint32_t i = 0; i < out->points_len; i++)
		if (strcmp(out->points[i].site, site) == 0 &&
		    strcmp(out->points[i].task, p->task) == 0)
			p->nth++;
	return out->points_len++;
}

void explore_second(uint32_t later, bool (*fn)(enum when when, struct lade_ctl *ctl))
{
	at.later = later;
	at.second = fn;
}

static void chance(enum when when, struct lade_ctl *ctl, uint32_t point, const char *call)
{
	if (at.later && when <= COMPLETED) {
		at.later -= at.later > 1 || at.second(when, ctl);
		return;
	}
	if (at.inject && !at.injected && point != UINT32_MAX)
		at.inject(when, ctl, point, call);
}

/* A trial that goes on for ever is stopped; the explorer says so. */
static void count_call(void)
{
	if (++at.calls < CALLS_MAX)
		return;
	at.out->refused = true;
	_exit(1);
}

bool explore_of_body(const struct lade_ctl *ctl)
{
	for (const struct lade_node *n = ctl ? ctl->root : NULL; n && at.root;
	     n = lade_outer_of(n))
		if (n == at.root)
			return at.run >= 0;
	return false;
}

/* Only what the body's tasks allocate is counted, and fails. */
static void turn(struct lade_observer *o, struct lade_ctl *ctl)
{
	(void)o;
	if (ctl && at.allocations_left && explore_inside(ctl))
		(void)lade_alloc_fail_at(at.allocations_left);
	else if (!ctl && at.counting)
		at.allocations_left = lade_alloc_fail_at(0);
	at.counting = ctl && at.allocations_left && explore_inside(ctl);
	if (ctl && explore_value_starts_here(ctl) && explore_inside(ctl))
		known_of(ctl)->has_value =
			explore_value_begins(ctl, &values[ctl->number % TASKS_MAX]);
}

/* A task that was told of its end and asks for more: it has not looked at the result. */
static void note_call_after(struct lade_ctl *ctl, struct known *k, const char *site)
{
	if (!k->told || k->handled || !(ctl->gate & GATE_CANCEL) || ++k->after < 2)
		return;
	if (!*at.out->swallowed)
		snprintf(at.out->swallowed, TEXT_BYTES,
			 "task %s, started at %s, was told of its cancel and makes another "
			 "suspending call at %s",
			 ctl->head->type->name, ctl->head->site, site);
}

static void entered(struct lade_observer *o, struct lade_ctl *ctl, const char *site)
{
	struct known *k;

	count_call();
	if (!explore_inside(ctl))
		return;
	k = known_of(ctl);
	k->calls++;
	k->site = o->site = site;
	note_call_after(ctl, k, site);
	k->point = at.injected ? UINT32_MAX : add_point(ctl, site);
	explore_step(ctl, "calls", NULL, site, 0);
	chance(BEFORE, ctl, k->point, NULL);
}

static void parked(struct lade_observer *o, struct lade_ctl *ctl)
{
	const struct lade_op *op = ctl->wait;
	struct known *k;

	(void)o;
	count_call();
	if (!explore_inside(ctl))
		return;
	k = known_of(ctl);
	explore_step(ctl, "waits for", op->what, op->site, 0);
	k->parked_ns = at.loop->now_ns;
	/* A join, or the end of a scope: no call that could be refused on entry. */
	if (!k->site || strcmp(k->site, op->site) != 0) {
		k->site = op->site;
		k->point = at.injected ? UINT32_MAX : add_point(ctl, op->site);
	}
	if (k->point != UINT32_MAX && !at.injected) {
		at.out->points[k->point].parked = true;
		at.out->points[k->point].what = op->what;
	}
	chance(PARKED, ctl, k->point, NULL);
}

/* Of those who wait for one another the innermost goes on first: it is the one that was slow. */
static void note_slow(const struct lade_ctl *ctl)
{
	struct known *k = known_of(ctl);
	int64_t since_ns = k->parked_ns;

	k->parked_ns = 0;
	if (!at.injected || at.out->slow_site || !since_ns ||
	    at.loop->now_ns - since_ns <= SLOW_NS)
		return;
	at.out->slow_site = k->site;
	at.out->slow_pcs_len = explore_stack(ctl, at.out->slow_pcs);
}

static void resumes(struct lade_observer *o, struct lade_ctl *ctl)
{
	(void)o;
	if (!explore_inside(ctl))
		return;
	note_slow(ctl);
	explore_step(ctl, "goes on", NULL, NULL, 0);
	chance(COMPLETED, ctl, known_of(ctl)->point, NULL);
}

/* In a shield or a cleanup a cancel is delivered because the budget is over: what is inside is to
 * end, while what the task has come to may stand. And a scope that was cancelled itself, or whose
 * deadline has passed, answers for its own request, whatever else holds by then. */
static bool may_end_inside(const struct lade_ctl *ctl)
{
	for (const struct lade_node *n = ctl->scope; n && n != ctl->root; n = n->outer)
		if (lade_is_shield(n->kind) || n->level == LEVEL_HARD)
			return true;
	return false;
}

static void outran(struct lade_observer *o, struct lade_ctl *ctl)
{
	struct known *k = known_of(ctl);

	(void)o;
	k->told = k->told_before;
	k->after -= k->after > 0;
}

static void delivered(struct lade_observer *o, struct lade_ctl *ctl)
{
	struct known *k;

	(void)o;
	if (!explore_inside(ctl))
		return;
	explore_step(ctl, "is told of a cancel", NULL, NULL, 0);
	k = known_of(ctl);
	k->told_before = k->told;
	k->told |= ctl->root->eff == LEVEL_HARD && !may_end_inside(ctl);
	if (at.injected && !at.out->told_site) {
		at.out->told_site = known_of(ctl)->site;
		at.out->told_pcs_len = explore_stack(ctl, at.out->told_pcs);
	}
}

static void handled(struct lade_observer *o, struct lade_ctl *ctl)
{
	(void)o;
	known_of(ctl)->handled = true;
}

static void ended(struct lade_observer *o, struct lade_ctl *ctl, int status)
{
	struct known *k;

	(void)o;
	if (!explore_inside(ctl))
		return;
	k = known_of(ctl);
	explore_step(ctl, "ends with", NULL, NULL, status);
	if (k->has_value)
		explore_value_ends(ctl, &values[ctl->number % TASKS_MAX], status,
				   &at.out->unset);
	if (k->told && !k->handled && status >= 0 && ctl->root->eff == LEVEL_HARD &&
	    !*at.out->swallowed)
		snprintf(at.out->swallowed, TEXT_BYTES,
			 "task %s, started at %s, was told of its cancel and ends with %d as if "
			 "nothing had happened",
			 ctl->head->type->name, ctl->head->site, status);
}

/* A write that goes on in the same call is one with what that call has written before: where the
 * file cut it is chance. */
static bool goes_on(const struct lade_effect *e, uint64_t task, uint64_t call)
{
	struct effect *last;

	if (e->kind != EFFECT_WRITE || !at.out->effects_len)
		return false;
	last = &at.out->effects[at.out->effects_len - 1];
	if (last->kind != EFFECT_WRITE || last->task != task || last->call != call ||
	    last->run != at.run)
		return false;
	last->request = lade_hash_fnv(last->request, e->bytes, e->sent);
	last->sent += e->sent;
	return true;
}

/* A semaphore that the body makes goes with it, whatever was taken of it. */
static bool is_own_sem(const void *semaphore)
{
	for (uint32_t i = 0; i < at.own_sems_len; i++)
		if (at.own_sems[i] == semaphore)
			return true;
	return false;
}

static void permits(struct lade_observer *o, const void *semaphore, int64_t count)
{
	(void)o;
	if (!lade_cur->loop || !explore_of_body(lade_cur) || is_own_sem(semaphore))
		return;
	if (count == 0 && at.own_sems_len < OWN_SEMS_MAX)
		at.own_sems[at.own_sems_len++] = semaphore;
	at.out->permits += count;
	if (count > 0)
		at.out->permit_site = known_of(lade_cur)->site;
	else
		at.out->release_site = known_of(lade_cur)->site;
}

static void closed_twice(struct lade_observer *o)
{
	(void)o;
	if (!lade_cur->loop || !explore_of_body(lade_cur))
		return;
	at.out->closed_twice++;
	at.out->close_site = known_of(lade_cur)->site;
}

static uint32_t channel(struct lade_observer *o, void *made, void (*left)(void *channel))
{
	(void)o;
	return explore_channel(made, left, explore_of_body(lade_cur), known_of(lade_cur)->site);
}

static void item(struct lade_observer *o, uint32_t number, enum lade_item_fate fate, uint64_t hash)
{
	const struct lade_ctl *ctl = lade_cur->loop && explore_of_body(lade_cur) ? lade_cur : NULL;

	(void)o;
	explore_item(at.out, number, fate, hash, ctl, ctl ? known_of(ctl)->site : NULL);
}

static void effect(struct lade_observer *o, const struct lade_effect *e)
{
	struct outcome *out = at.out;
	struct effect *kept = &out->effects[out->effects_len];
	const struct lade_ctl *ctl = lade_cur->loop ? lade_cur : NULL;

	(void)o;
	/* Only what the body does: the world's own servers are not its business. */
	if (!explore_of_body(ctl) || goes_on(e, ctl->number, known_of(ctl)->calls) ||
	    out->effects_len == EFFECTS_MAX)
		return;
	*kept = (struct effect){ .kind = e->kind,
				 .run = (uint8_t)at.run,
				 .request = e->request,
				 .sent = e->sent,
				 .answered = e->answered,
				 .took_ns = e->took_ns,
				 .task = ctl->number,
				 .call = known_of(ctl)->calls,
				 .site = known_of(ctl)->site };
	snprintf(kept->peer, sizeof(kept->peer), "%s", e->peer);
	kept->pcs_len = explore_stack(ctl, kept->pcs);
	out->effects_len++;
	explore_event("outside: %u bytes to %s, %u back", e->sent, e->peer, e->answered);
}

/* Whether the operation that the running task tries is to fail: its -errno, or 0. */
static int failure(void)
{
	int error = at.error;

	if (!error || lade_cur->number != at.failing)
		return 0;
	if (!at.error_stays)
		at.error = 0;
	return error;
}

static int fault(struct lade_observer *o, const char *call)
{
	int error = failure();

	(void)o;
	if (error || !lade_cur->loop || !explore_inside(lade_cur))
		return error;
	chance(FAULT, lade_cur, known_of(lade_cur)->point, call);
	return failure();
}

static bool too_late(struct lade_observer *o, const struct lade_ctl *ctl)
{
	(void)o;
	return at.late && ctl->number == at.late;
}

/* The body as a task: its own scope is what the explorer may cancel as a whole. */
static int body(void)
{
	return at.scenario->body();
}
LADE_TASK_VOID(body)

/* The body in a block of its own, by which its tasks are told from the world's. */
static int run_inside(void)
{
	int rc = 0;

	lade_scope(s, &rc) {
		at.root = &s.head;
		rc = lade_join(lade_do(body));
	}
	at.root = NULL;
	return rc;
}

static void run_body(int run)
{
	struct lade_instant begun = lade_now();

	at.run = run;
	if (run == 0) {
		at.allocations_left = LONG_MAX;
		if (at.inject && !at.injected)
			at.inject(NO_MEMORY, lade_cur, 0, NULL);
	}
	at.out->rc[run] = run_inside();
	if (run == 0)
		at.out->allocations = LONG_MAX - at.allocations_left;
	at.allocations_left = 0;
	at.out->took_ns[run] = lade_now().mono_ns - begun.mono_ns;
	if (run == 0 && at.out->asked)
		at.out->closing_ns = at.loop->now_ns - at.out->asked_ns;
	at.run = -1;
	/* What the injection made fail for ever works again. */
	at.error = 0;
	at.injected |= at.inject != NULL;
}

static int world(void)
{
	const struct lade_exploration *options = &at.scenario->options;
	int rc = 0;

	lade_scope(s, &rc, .policy = LADE_ALL) {
		if (options->setup)
			at.out->setup_rc = options->setup(&s);
		if (at.out->setup_rc == 0) {
			run_body(0);
			if (!options->once)
				run_body(1);
			if (options->invariant)
				at.out->invariant_rc = options->invariant();
		}
		lade_cancel(&s);
	}
	if (options->teardown)
		options->teardown();
	return 0;
}
LADE_TASK_VOID(world)

/* What the simulation keeps goes first, and all that would point to what the code has lost. */
static void look_for_leaks(void)
{
	at.loop = lade_loop_free(at.loop);
	explore_items_begin();
	memset(at.own_sems, 0, sizeof(at.own_sems));
	if (explore_memory_grew(explore_undisturbed()))
		explore_memory_judge(explore_undisturbed(), at.out);
}

void explore_run(const struct lade_scenario *scenario, uint64_t seed, struct outcome *ret,
		 void (*inject)(enum when when, struct lade_ctl *ctl, uint32_t point,
				const char *call))
{
	struct world_task task = world_task();
	char text[24];

	memset(ret, 0, sizeof(*ret));
	memset(&at, 0, sizeof(at));
	at.observer = (struct lade_observer){ .site = "",
					      .turn = turn,
					      .entered = entered,
					      .parked = parked,
					      .resumes = resumes,
					      .delivered = delivered,
					      .outran = outran,
					      .handled = handled,
					      .ended = ended,
					      .effect = effect,
					      .permits = permits,
					      .channel = channel,
					      .item = item,
					      .closed_twice = closed_twice,
					      .fault = fault,
					      .too_late = too_late };
	explore_items_begin();
	explore_memory_begin();
	at.scenario = scenario;
	at.out = ret;
	at.inject = inject;
	at.run = -1;
	snprintf(text, sizeof(text), "%llu", (unsigned long long)seed);
	setenv("LADE_SEED", text, 1);
	if (lade_loop_new(&(struct lade_loop_config){ .backend = "sim" }, &at.loop) < 0)
		return;
	at.loop->observer = &at.observer;
	at.loop->gate = GATE_OBSERVED;
	lade_loop_run_at(at.loop, &task.head, scenario->site);
	explore_items_end(at.out);
	at.out->trace_hash = lade_sim_trace_hash(at.loop);
	at.out->fds_open = lade_sim_open_fds(at.loop, at.out->fd_site, sizeof(at.out->fd_site));
	if (at.out->fds_open && !*at.out->fd_site)
		strcpy(at.out->fd_site, "a call of lade_pipe or lade_listen");
	at.out->memory_full = explore_memory_full();
	if (!at.inject)
		explore_memory_keep(at.out);
	else if (at.is_trial && explore_memory_grew(explore_undisturbed()))
		look_for_leaks();
	/* A trial has said all: the kernel gives its memory back quicker than it could itself. */
	if (at.out != ret) {
		at.out->finished = true;
		_exit(0);
	}
	at.loop = lade_loop_free(at.loop);
	at.out->finished = true;
}
