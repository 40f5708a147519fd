/* SPDX-License-Identifier: MIT */
/* random_test.c - thousands of random programs, each of which must keep the law.
 *
 * DESIGN
 * A program is a tree of nodes, drawn from a seed: sleeps, yields and failures at the leaves;
 * scopes, joins, races, composites, deadlines and shields above them; and nodes that cancel any
 * task or scope that is open at that moment. Every node counts what happens to it, and each place
 * that waits for tasks looks at the counts when it goes on. What must hold:
 *
 *   a node that was started either runs once or gives its arguments up once; both are over, the
 *   cleanups too, when the scope that it was started in has closed;
 *   a value that was made is disposed of once or kept, and its task's status says which;
 *   -ECANCELED is seen only where a request holds, or where a task was cancelled by name;
 *   -ETIME is seen only after the deadline; a join, a race and a scope return what their
 *   members' statuses say; the same seed gives the same run.
 *
 * A failure names its seed; `random_test SEED` runs that program alone. */

#include <lade/join.h>

#include "run.h"

#define PROGRAMS RUN_MANY(4000)
#define NODES_MAX 100
#define DEPTH 6
#define KIDS_MAX 4
#define TARGETS_MAX 256

enum kind {
	SLEEP,
	YIELD,
	FAIL,
	CANCEL,
	WITHIN,
	SHIELD,
	SCOPE,
	JOIN,
	JOIN_ALL,
	RACE,
	RACE_OK,
	COMPOSITE,
	KINDS
};

enum how { NAMED, DAEMON, SPAWNED };

/* One node of a program: what it does, and what has become of it. */
struct node {
	enum kind kind;			/* what it does */
	int ms;				/* a time, meaning by kind */
	int flavour;			/* random bits that the kind uses */
	int kid_count;			/* nodes below it */
	struct node *kids[KIDS_MAX];	/* run inline or as tasks, by kind */
	int started, runs, drops;	/* how often */
	int active;			/* running, cleanups included */
	int cleanups;			/* how often its cleanup ran */
	int made, disposed;		/* its value */
};

/* What can be cancelled: a running task or an open scope. */
struct target {
	struct lade_task *task;	  /* or NULL */
	struct lade_scope *scope; /* or NULL */
};

/* What all programs together have come to: a generator that never gets there tests nothing. */
static struct {
	long kinds[KINDS];  /* nodes run */
	long tasks;	    /* tasks run */
	long drops;	    /* tasks that did not run */
	long disposed;	    /* values given back */
	long deadlines;	    /* -ETIME */
	long cancelled;	    /* -ECANCELED */
	long overruns;	    /* shields that let a request in */
	long without_stack; /* -ENOMEM */
} seen;

static struct node nodes[NODES_MAX];
static int node_count;
static struct target targets[TARGETS_MAX];
static int target_count;
static int tasks_cancelled; /* by name: then an -ECANCELED may have no request above it */
static uint32_t state;	    /* of the generator */
static uint64_t trace;	    /* hash of all that happened, with its time */

static int draw(int below)
{
	state = state * 1664525u + 1013904223u;
	return (int)((state >> 8) % (uint32_t)below);
}

static void happen(const struct node *n, int what)
{
	uint64_t event = (uint64_t)(n - nodes) << 48 ^ (uint64_t)(uint32_t)what << 32 ^
			 (uint64_t)lade_now().mono_ns;

	trace = (trace ^ event) * UINT64_C(0x100000001b3) + (trace >> 29);
}

static void target_add(struct lade_task *task, struct lade_scope *scope)
{
	if (target_count < TARGETS_MAX)
		targets[target_count++] = (struct target){ task, scope };
}

static void target_remove(const void *thing)
{
	for (int i = 0; i < target_count; i++)
		if (targets[i].task == thing || targets[i].scope == thing)
			targets[i--] = targets[--target_count];
}

/* A node as a task */

static int run_node(struct node *n);

static void give_back(long *value)
{
	nodes[*value].disposed++;
	happen(&nodes[*value], -1);
}

static void give_up(struct node *n)
{
	n->drops++;
	happen(n, -2);
}

static void clean_up(void *arg)
{
	struct node *n = arg;

	if (n->flavour & 1)
		(void)!lade_sleep(lade_ms(n->flavour % 4));
	n->cleanups++;
	n->active--;
	target_remove(lade_cur->head);
	happen(n, -3);
}

static int act(struct node *n, long *ret)
{
	int rc;

	lade_defer(clean_up, n);
	n->runs++;
	n->active++;
	target_add(lade_cur->head, NULL);
	rc = run_node(n);
	if (rc >= 0) {
		*ret = n - nodes;
		n->made++;
	}
	happen(n, rc);
	return rc;
}
LADE_TASK_WITH(act, long, (.dispose = give_back, .drop_args = give_up), (struct node *, n))

/* What holds for a node that was started as a task, once that task has ended. */
static void check_over(const struct node *n)
{
	CHECK_EQ(n->started, 1);
	CHECK_EQ(n->active, 0);
	CHECK(n->drops <= n->started);
	CHECK_EQ(n->cleanups, n->runs);
	CHECK(n->disposed <= n->made && n->made <= n->runs);
}

static void check_ended(const struct act_task *task)
{
	const struct node *n = task->args.n;

	check_over(n);
	CHECK_EQ(task->head.state, TASK_ENDED);
	/* Without a stack the arguments were given up as well. */
	CHECK_EQ(n->runs + n->drops, 1);
	CHECK_EQ(task->head.status >= 0, n->made && !n->disposed);
	if (n->disposed)
		CHECK_EQ(task->head.status, -ECANCELED);
}

/* An -ECANCELED must have a cause: a request that holds here, or a task cancelled by name. */
static int checked(int rc)
{
	seen.deadlines += rc == -ETIME;
	seen.cancelled += rc == -ECANCELED;
	seen.without_stack += rc == -ENOMEM;
	if (rc == -ECANCELED) {
		CHECK(lade_cancelled() || tasks_cancelled);
		if (lade_cancelled())
			CHECK(lade_why().kind != LADE_REASON_NONE);
	}
	return rc;
}

/* Joins, races and composites */

static void make_tasks(struct node *n, struct act_task *t, struct lade_task **heads)
{
	for (int i = 0; i < n->kid_count; i++) {
		t[i] = act_task(n->kids[i]);
		n->kids[i]->started++;
		heads[i] = &t[i].head;
	}
}

static int count_succeeded(const struct node *n, const struct act_task *t)
{
	int count = 0;

	for (int i = 0; i < n->kid_count; i++) {
		check_ended(&t[i]);
		count += t[i].head.status >= 0;
	}
	return count;
}

static int run_join(struct node *n)
{
	struct act_task t[KIDS_MAX];
	struct lade_task *heads[KIDS_MAX];
	size_t count = (size_t)n->kid_count;
	int rc, succeeded;

	make_tasks(n, t, heads);
	rc = n->kind == JOIN ? lade_join_at(heads, count, LADE_SITE)
			     : lade_join_all_at(heads, count, LADE_SITE);
	succeeded = count_succeeded(n, t);
	CHECK_EQ(rc == 0, succeeded == n->kid_count);
	if (rc < 0 && n->kind == JOIN)
		CHECK_EQ(succeeded, 0); /* all that was made was given back */
	return checked(rc);
}

static int run_race(struct node *n)
{
	struct act_task t[KIDS_MAX];
	struct lade_task *heads[KIDS_MAX];
	size_t count = (size_t)n->kid_count;
	int rc, succeeded;

	make_tasks(n, t, heads);
	rc = n->kind == RACE ? lade_race_at(heads, count, LADE_SITE)
			     : lade_race_ok_at(heads, count, LADE_SITE);
	succeeded = count_succeeded(n, t);
	if (rc >= 0) {
		CHECK(rc < n->kid_count);
		CHECK_EQ(succeeded, t[rc].head.status >= 0);
		if (n->kind == RACE_OK)
			CHECK_EQ(succeeded, 1);
		else
			CHECK(t[rc].head.status != -ECANCELED);
		rc = t[rc].head.status;
	} else {
		CHECK_EQ(succeeded, 0);
	}
	return checked(rc);
}

/* A composite of all kids but the last, beside the last, and now and then cancelled by name. */
static int run_composite(struct node *n)
{
	struct act_task t[KIDS_MAX];
	struct lade_task *heads[KIDS_MAX];
	size_t count = (size_t)n->kid_count - 1;
	struct lade_join_task join;
	struct lade_race_ok_task race;
	struct lade_task *both[2];
	int rc;

	make_tasks(n, t, heads);
	join = lade_join_task_at(heads, count, LADE_SITE);
	race = lade_race_ok_task_at(heads, count, LADE_SITE);
	both[0] = n->flavour & 2 ? &join.head : &race.head;
	both[1] = heads[count];
	if (n->flavour % 7 == 0) {
		tasks_cancelled++;
		lade_cancel_task_at(both[n->flavour & 1], lade_ms(n->flavour % 3), LADE_SITE);
	}
	rc = n->flavour & 4 ? lade_join_at(both, 2, LADE_SITE)
			    : lade_race_ok_at(both, 2, LADE_SITE);
	for (int i = 0; i < n->kid_count; i++)
		check_ended(&t[i]);
	CHECK_EQ(both[0]->state, TASK_ENDED);
	if (both[0] == &race.head && race.winner >= 0)
		CHECK_EQ(both[0]->status, 0);
	if (rc >= 0 && !(n->flavour & 4))
		CHECK(both[rc]->status >= 0);
	return checked(rc);
}

/* Scopes */

static void start_kid(struct lade_scope *s, struct act_task *t, struct node *kid, int *rc)
{
	kid->started++;
	switch (kid->flavour % 5) {
	case 0:
		lade_start_daemon(s, t);
		break;
	case 1:
		*rc = checked(lade_spawn(s, act_task(kid)));
		break;
	default:
		lade_start(s, t);
		break;
	}
}

static bool is_spawned(const struct node *kid)
{
	return kid->flavour % 5 == 1;
}

/* What holds for the kids of a scope that has just closed. */
static void check_scope(const struct node *n, const struct act_task *t, int rc, bool fail_fast)
{
	for (int i = 0; i < n->kid_count; i++) {
		const struct node *kid = n->kids[i];

		if (!kid->started)
			continue;
		check_over(kid);
		CHECK_EQ(kid->runs + kid->drops, 1);
		if (is_spawned(kid))
			continue;
		check_ended(&t[i]);
		if (fail_fast && rc >= 0)
			CHECK(t[i].head.status >= 0 || t[i].head.status == -ECANCELED);
	}
}

static int run_scope(struct node *n)
{
	struct act_task t[KIDS_MAX];
	bool fail_fast = n->flavour & 8;
	int rc = 0;

	for (int i = 0; i < n->kid_count; i++)
		t[i] = act_task(n->kids[i]);
	lade_scope(s, &rc, .policy = fail_fast ? LADE_FAIL_FAST : LADE_ALL,
		   .max_children = 1 + (uint32_t)n->flavour % 4) {
		target_add(NULL, &s);
		for (int i = 0; i < n->kid_count && rc == 0; i++)
			start_kid(&s, &t[i], n->kids[i], &rc);
		if (rc == 0 && n->ms & 1)
			rc = checked(lade_sleep(lade_ms(n->ms)));
		if (n->flavour % 6 == 0) {
			lade_cancel(&s, lade_ms(n->ms % 4));
			(void)!lade_sleep(lade_ms(1));
		}
		target_remove(&s);
		if (n->flavour % 9 == 0)
			rc = -EPIPE;
		if (n->flavour % 5 == 0)
			break;
	}
	check_scope(n, t, rc, fail_fast);
	return checked(rc);
}

/* The rest */

static int run_within(struct node *n)
{
	int64_t end_ns = lade_now().mono_ns + (int64_t)n->ms * 1000000;
	int rc = lade_within(lade_ms(n->ms), run_node(n->kids[0]));

	if (rc == -ETIME)
		CHECK(lade_now().mono_ns >= end_ns || n->kids[0]->kind != SLEEP);
	return checked(rc);
}

static int run_shield(struct node *n)
{
	int rc = 0;

	lade_shield(lade_ms(n->ms))
		rc = run_node(n->kids[0]);
	/* What was delivered inside because the budget was over holds outside too. */
	return checked(rc);
}

static void run_cancel(const struct node *n)
{
	struct target target;

	if (!target_count)
		return;
	target = targets[n->flavour % target_count];
	if (target.task) {
		tasks_cancelled++;
		lade_cancel_task_at(target.task, lade_ms(n->ms % 5), LADE_SITE);
	} else {
		lade_cancel_scope_at(&target.scope->head, lade_ms(n->ms % 5), LADE_SITE);
	}
}

static int run_yields(const struct node *n)
{
	int rc = 0;

	for (int i = 0; i <= n->ms && rc == 0; i++)
		rc = lade_yield();
	return checked(rc);
}

static int run_sleep(const struct node *n, int status)
{
	int64_t end_ns = lade_now().mono_ns + (int64_t)n->ms * 1000000;
	int rc = checked(lade_sleep(lade_ms(n->ms)));

	if (rc == 0)
		CHECK(lade_now().mono_ns >= end_ns);
	return rc < 0 ? rc : status;
}

static int run_node(struct node *n)
{
	seen.kinds[n->kind]++;
	happen(n, n->kind);
	switch (n->kind) {
	case SLEEP:
		return run_sleep(n, n->flavour % 3);
	case YIELD:
		return run_yields(n);
	case FAIL:
		return run_sleep(n, n->flavour & 1 ? -EIO : -ENOSPC);
	case CANCEL:
		run_cancel(n);
		return run_sleep(n, 0);
	case WITHIN:
		return run_within(n);
	case SHIELD:
		return run_shield(n);
	case SCOPE:
		return run_scope(n);
	case JOIN:
	case JOIN_ALL:
		return run_join(n);
	case RACE:
	case RACE_OK:
		return run_race(n);
	default:
		return run_composite(n);
	}
}

/* Programs */

static int kids_of(enum kind kind)
{
	switch (kind) {
	case SLEEP:
	case YIELD:
	case FAIL:
	case CANCEL:
		return 0;
	case WITHIN:
	case SHIELD:
		return 1;
	case COMPOSITE:
		return 2 + draw(KIDS_MAX - 1);
	default:
		return 1 + draw(KIDS_MAX);
	}
}

/* The upper levels have no leaves and the lowest nothing else; NODES_MAX is never passed, since
 * each of the six levels above a node may still owe it three siblings. */
static enum kind draw_kind(int depth)
{
	if (depth == 0 || node_count > NODES_MAX - (DEPTH + 1) * KIDS_MAX)
		return (enum kind)draw(WITHIN);
	if (depth > DEPTH - 3)
		return (enum kind)(WITHIN + draw(KINDS - WITHIN));
	return (enum kind)draw(KINDS);
}

static struct node *make_node(int depth)
{
	struct node *n = &nodes[node_count++];

	*n = (struct node){ .kind = draw_kind(depth),
			    .ms = draw(20),
			    .flavour = draw(100000) };
	n->kid_count = kids_of(n->kind);
	for (int i = 0; i < n->kid_count; i++)
		n->kids[i] = make_node(depth - 1);
	return n;
}

static void count_report(void *arg, const char *message)
{
	(void)arg;
	(void)message;
	seen.overruns++;
}

static void program(void)
{
	int rc = run_node(&nodes[0]);

	if (rc == -ECANCELED)
		CHECK(tasks_cancelled);
	CHECK_EQ(target_count, 0);
	CHECK(!lade_cancelled());
	CHECK(!lade_stopping());
}

/* Runs the program of a seed; returns the hash of its trace. */
static uint64_t run_program(uint32_t seed)
{
	struct lade_loop_config config = { .backend = "virtual", .report = count_report };
	int bad = tap_bad_checks;

	state = seed;
	node_count = target_count = tasks_cancelled = 0;
	trace = 0;
	config.inline_budget = 1 + draw(64);
	config.stacks_max = draw(4) ? 0 : 1 + (uint32_t)draw(12);
	make_node(DEPTH);
	run_with(&config, program);
	for (int i = 0; i < node_count; i++) {
		CHECK_EQ(nodes[i].active, 0);
		CHECK(nodes[i].started <= 1);
		CHECK_EQ(nodes[i].runs + nodes[i].drops, nodes[i].started);
		seen.tasks += nodes[i].runs;
		seen.drops += nodes[i].drops;
		seen.disposed += nodes[i].disposed;
	}
	if (tap_bad_checks > bad)
		printf("# seed %u\n", seed);
	return trace;
}

static void random_programs_keep_the_law(void)
{
	for (uint32_t seed = 1; seed <= PROGRAMS && tap_bad_checks < 10; seed++)
		run_program(seed);
	printf("# %ld tasks run and %ld dropped, %ld values given back, %ld deadlines, %ld calls "
	       "cancelled, %ld overruns, %ld times no stack\n",
	       seen.tasks, seen.drops, seen.disposed, seen.deadlines, seen.cancelled,
	       seen.overruns, seen.without_stack);
	for (int i = 0; i < KINDS; i++)
		CHECK(seen.kinds[i] >= PROGRAMS / 10);
	CHECK(seen.tasks >= PROGRAMS && seen.drops >= PROGRAMS / 10);
	CHECK(seen.disposed >= PROGRAMS / 10 && seen.deadlines >= PROGRAMS / 10);
	CHECK(seen.cancelled >= PROGRAMS / 10 && seen.overruns >= PROGRAMS / 20);
	CHECK(seen.without_stack >= PROGRAMS / 20);
}

static void the_same_seed_gives_the_same_run(void)
{
	for (uint32_t seed = 1; seed <= 200; seed++) {
		uint64_t first = run_program(seed);

		CHECK(run_program(seed) == first);
	}
}

int main(int argc, char **argv)
{
	if (argc > 1) {
		run_program((uint32_t)strtoul(argv[1], NULL, 10));
		return tap_bad_checks != 0;
	}
	TAP(random_programs_keep_the_law);
	TAP(the_same_seed_gives_the_same_run);
	return tap_done();
}
