/* SPDX-License-Identifier: MIT */
/* inject.c - which injections there are at a point, and a process for each.
 *
 * DESIGN
 * The explorer runs the scenario once more, and at each chance forks a trial for every injection
 * that is possible there: the way to the point is walked once, not once for each. The trial makes
 * its injection and goes on to the end; its outcome lies in shared memory, where the explorer,
 * which waits for it, judges it. A replay makes its one injection in the process itself, so that a
 * debugger finds it there.
 *
 * Of a call that is made many times at one place the first, the second and the last are explored,
 * and those between that find the tasks in a state in which they were not yet: each where it is, in
 * which scopes.
 *
 * Behind the single injections come pairs: of cancels that were tried alone some are tried again,
 * and so many chances later another cancel is made, of a scope that is still open then. Which, how
 * much later and what is drawn from the seed.
 *
 * LIMITS  POINTS_MAX points of a run, TARGETS_MAX scopes of a point, --budget trials; a trial that
 * makes CALLS_MAX suspending calls or takes TRIAL_SECONDS never ends; STATES_MAX states are told
 * apart, of one call at most STATES_OF_CALL; --pairs pairs, up to 64 chances apart; SUSPECTS_KEPT
 * suspicions that a value is unset. */

#include "base/hash.h"
#include "explore/explore_priv.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define JOBS_MAX 64
#define TRIAL_SECONDS 20
#define FINDINGS_KEPT 256
#define SUSPECTS_KEPT 64
#define CALL_KINDS 6 /* in failures[] */
#define STATES_MAX 8192
#define STATES_OF_CALL 32

/* A trial under way. */
struct job {
	pid_t pid;	       /* 0: free */
	struct injection injection;
	struct outcome *out;   /* shared */
	int said;	       /* memfd: what it wrote to stderr */
};

/* A trial in which a task seems to have left its value unset. */
struct suspect {
	struct injection injection;
	struct unset unset;
	uint64_t where; /* hash of where the cancel was told of */
	bool confirmed;
};

/* What the explorer of one scenario counts; shared with the process that asked for it. */
struct tally {
	long trials;
	long findings;
	long left_out;		  /* of them: like one that was printed */
	long cancels;		  /* that were tried alone */
	uint64_t told[FINDINGS_KEPT]; /* hashes of findings that were printed */
	int told_len;
	struct suspect suspects[SUSPECTS_KEPT];
	int suspects_len;
	uint8_t done[POINTS_MAX]; /* by point: bit per BEFORE, PARKED, COMPLETED */
};

static struct {
	const struct lade_scenario *scenario;
	const struct settings *settings;
	uint64_t seed;
	const struct outcome *undisturbed;
	struct tally *tally;
	struct job jobs[JOBS_MAX];
	bool replayed; /* the one injection of a replay has been made */
	uint16_t tries[POINTS_MAX][CALL_KINDS]; /* operations that a point's call has tried */
	uint64_t states[STATES_MAX]; /* in which calls have been explored; a hash table, 0: free */
	uint8_t states_of[POINTS_MAX]; /* by point of the first such call: those beyond the third */
	bool in_pairs;	 /* the pass that makes pairs */
	uint64_t random; /* of the pairs */
} now;

static void *shared(size_t bytes)
{
	void *mem = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (mem == MAP_FAILED) {
		perror("lade explore: memory");
		exit(2);
	}
	return mem;
}

const struct outcome *explore_undisturbed(void)
{
	return now.undisturbed;
}

/* The enclosing scopes */

/* One way to end what runs at a point. */
struct target {
	struct lade_node *node;
	enum what what;
};

static struct lade_node *outer_of(struct lade_node *node)
{
	return (struct lade_node *)(uintptr_t)lade_outer_of(node);
}

static bool is_body(const struct lade_node *node)
{
	return node->kind == NODE_TASK && node->outer->outer == explore_root();
}

/* A task in a race may lose it. A task alone is cancelled only by who has its name, and does so on
 * purpose; the others fall with their scope. */
static bool may_lose(const struct lade_node *node)
{
	const struct lade_scope *parent = LADE_CONTAINER(node->outer, struct lade_scope, head);

	return node->outer->kind == NODE_GROUP && parent->policy >= POLICY_RACE_OK;
}

/* What can be done to one scope; a block can be cancelled, and a child of it can fail. */
static uint32_t targets_of(struct lade_node *node, enum when when, struct target *to)
{
	const struct lade_scope *scope = LADE_CONTAINER(node, struct lade_scope, head);
	uint32_t n = 0;

	if (node->eff == LEVEL_HARD)
		return 0;
	if (node->kind == NODE_TASK && is_body(node))
		to[n++] = (struct target){ node, CANCEL };
	if (node->kind == NODE_TASK && may_lose(node))
		to[n++] = (struct target){ node, LOST_RACE };
	if (when == PARKED && n && to[0].what == LOST_RACE)
		to[n++] = (struct target){ node, TOO_LATE };
	if (node->kind == NODE_WITHIN)
		to[n++] = (struct target){ node, DEADLINE };
	if (node->kind == NODE_BLOCK)
		to[n++] = (struct target){ node, CANCEL };
	if ((node->kind == NODE_BLOCK || node->kind == NODE_GROUP) &&
	    scope->policy == POLICY_FAIL_FAST)
		to[n++] = (struct target){ node, SIBLING };
	return n;
}

/* All scopes from the innermost to the body, up to the nearest shield; then that can be overrun. */
static uint32_t targets(const struct lade_ctl *ctl, enum when when, struct target *to)
{
	uint32_t n = 0;

	for (struct lade_node *node = ctl->scope; node && n + 2 <= TARGETS_MAX;
	     node = outer_of(node)) {
		if (node->flags & NODE_GUEST)
			continue;
		if (lade_is_shield(node->kind) && !(node->flags & NODE_OPENED)) {
			to[n++] = (struct target){ node, OVERRUN };
			break;
		}
		n += targets_of(node, when, to + n);
		if (is_body(node))
			break;
	}
	return n;
}

static struct lade_node *body_of(struct lade_node *node)
{
	while (!is_body(node))
		node = outer_of(node);
	return node;
}

static void make_request(struct target t, const char *site)
{
	struct lade_loop *loop = explore_loop();
	struct lade_scope *scope = LADE_CONTAINER(t.node, struct lade_scope, head);

	switch (t.what) {
	case CANCEL:
		if (is_body(t.node))
			explore_asked();
		lade_request(loop, t.node, LEVEL_HARD, LADE_REASON_USER, site, "the explorer");
		break;
	case DEADLINE:
		lade_request(loop, t.node, LEVEL_HARD, LADE_REASON_DEADLINE, t.node->site,
			     t.node->owner->head->type->name);
		break;
	case SIBLING:
		if (!scope->first)
			scope->first = -EIO;
		lade_request(loop, t.node, LEVEL_HARD, LADE_REASON_SIBLING, site, "the explorer");
		break;
	case LOST_RACE:
		lade_request(loop, t.node, LEVEL_HARD, LADE_REASON_RACE_LOST, site,
			     "the explorer");
		break;
	case TOO_LATE:
		explore_too_late(t.node->owner);
		break;
	case OVERRUN:
	default:
		explore_asked();
		lade_request(loop, body_of(t.node), LEVEL_HARD, LADE_REASON_USER, site,
			     "the explorer");
		if (!(t.node->flags & NODE_OPENED))
			lade_shield_overrun(t.node);
		break;
	}
}

static const char *kind_of(const struct lade_node *node)
{
	static const char *const kinds[] = { "the task", "lade_scope", "join or race",
					     "lade_within", "lade_shield", "cleanup" };

	return kinds[node->kind];
}

/* The body as a whole has no place but the explorer's own. */
static const char *place_of(const struct lade_node *node)
{
	return is_body(node) ? NULL : node->site;
}

/* Findings */

/* Whether a finding like it has been printed; remembers it.  Alike are those that say the same and
 * were made in the same way at the same place: where a cancel was told of, where a call failed. */
static bool is_known(const char *text, const struct injection *injection,
		     const struct outcome *out)
{
	bool cancelled = injection->when <= COMPLETED;
	bool told = cancelled && out->told_site;
	uint64_t hash = lade_hash_fnv(LADE_HASH_FNV, text, strlen(text));

	hash = lade_hash_fnv(hash, &cancelled, sizeof(cancelled));
	hash = lade_hash_fnv(hash, told ? out->told_pcs : out->pcs,
		       (told ? out->told_pcs_len : out->pcs_len) * sizeof(*out->pcs));
	for (int i = 0; i < now.tally->told_len; i++)
		if (now.tally->told[i] == hash)
			return true;
	if (now.tally->told_len < FINDINGS_KEPT)
		now.tally->told[now.tally->told_len++] = hash;
	return false;
}

static const struct point *point_of(const struct injection *injection)
{
	static const struct point none = { .site = "", .what = "", .task = "" };

	return injection->when == NO_MEMORY ? &none : &now.undisturbed->points[injection->point];
}

/* Where a trial was told of what was done to it. */
static uint64_t where_told(const struct outcome *out)
{
	if (out->told_site)
		return lade_hash_fnv(LADE_HASH_FNV, out->told_pcs,
				     out->told_pcs_len * sizeof(*out->told_pcs));
	return lade_hash_fnv(LADE_HASH_FNV, out->pcs, out->pcs_len * sizeof(*out->pcs));
}

static bool is_same(const struct unset *a, const struct unset *b)
{
	return strcmp(a->task, b->task) == 0 && strcmp(a->site, b->site) == 0 &&
	       a->status == b->status;
}

/* Keeps a suspicion, one of each place and task. */
static void suspect(const struct injection *injection, const struct outcome *out)
{
	struct tally *tally = now.tally;
	uint64_t where = where_told(out);

	if (!out->unset.task || tally->suspects_len == SUSPECTS_KEPT)
		return;
	for (int i = 0; i < tally->suspects_len; i++)
		if (tally->suspects[i].where == where &&
		    is_same(&tally->suspects[i].unset, &out->unset))
			return;
	tally->suspects[tally->suspects_len++] =
		(struct suspect){ .injection = *injection, .unset = out->unset, .where = where };
}

static void judge(const struct injection *injection, const struct outcome *out, int status,
		  int said)
{
	const struct effect *paid;
	char text[4 * TEXT_BYTES];

	suspect(injection, out);
	if (!explore_judge(now.undisturbed, out, injection, status, &now.scenario->options,
			   text, sizeof(text), &paid))
		return;
	now.tally->findings++;
	if (is_known(text, injection, out) && !now.settings->verbose) {
		now.tally->left_out++;
		return;
	}
	explore_report(now.scenario, now.seed, injection, point_of(injection), out, said, text,
		       paid);
}

static void report_unset(const struct suspect *s, const struct outcome *out)
{
	char text[TEXT_BYTES];

	snprintf(text, sizeof(text),
		 "UNSET\n"
		 "  task %s, started at %s, ends with %d and has not written its value;\n"
		 "  undisturbed, it writes it whenever it ends with that\n",
		 s->unset.task, s->unset.site, s->unset.status);
	explore_report(now.scenario, now.seed, &s->injection, point_of(&s->injection), out, -1,
		       text, NULL);
}

/* Trials */

static void finish(struct job *job, int status)
{
	judge(&job->injection, job->out, status, job->said);
	job->pid = 0;
}

/* Waits until a job is free. */
static struct job *free_job(void)
{
	for (;;) {
		int status;
		pid_t pid;

		for (int i = 0; i < now.settings->jobs; i++)
			if (!now.jobs[i].pid)
				return &now.jobs[i];
		pid = waitpid(-1, &status, 0);
		for (int i = 0; i < now.settings->jobs; i++)
			if (now.jobs[i].pid == pid)
				finish(&now.jobs[i], status);
	}
}

static void finish_all(void)
{
	for (int i = 0; i < now.settings->jobs; i++) {
		int status;

		if (now.jobs[i].pid && waitpid(now.jobs[i].pid, &status, 0) > 0)
			finish(&now.jobs[i], status);
	}
}

static bool make_second(enum when when, struct lade_ctl *ctl);

/* This process is the trial. */
static void begin_here(const struct injection *injection, const struct lade_ctl *ctl)
{
	now.jobs[0].injection = *injection;
	explore_injected(ctl);
	if (injection->later)
		explore_second(injection->later, make_second);
}

/* Begins a trial.  Returns whether this process is it. */
static bool begin(const struct injection *injection, const struct lade_ctl *ctl)
{
	struct job *job;

	if (now.settings->replays) {
		const struct injection *r = &now.settings->replay;

		if (now.replayed || r->when != injection->when || r->point != injection->point ||
		    r->scope != injection->scope || r->error != injection->error ||
		    r->try != injection->try)
			return false;
		now.replayed = true;
		begin_here(injection, ctl);
		return true;
	}
	if (now.settings->budget && now.tally->trials >= now.settings->budget)
		return false;
	job = free_job();
	now.tally->trials++;
	job->injection = *injection;
	(void)!ftruncate(job->said, 0);
	fflush(stdout);
	job->pid = fork();
	if (job->pid < 0) {
		perror("lade explore: fork");
		exit(2);
	}
	if (job->pid > 0)
		return false;
	/* What came before is the same in every trial: it is copied, and goes on. */
	memcpy(job->out, explore_outcome(),
	       offsetof(struct outcome, effects) +
		       explore_outcome()->effects_len * sizeof(struct effect));
	memcpy(job->out->items, explore_outcome()->items,
	       explore_outcome()->items_len * sizeof(struct item));
	explore_write_to(job->out);
	lseek(job->said, 0, SEEK_SET);
	dup2(job->said, STDERR_FILENO);
	dup2(job->said, STDOUT_FILENO);
	alarm(TRIAL_SECONDS);
	begin_here(injection, ctl);
	return true;
}

/* Whether a call was not yet explored in the state in which it is now. */
static bool is_new_state(enum when when, const struct point *p)
{
	uint64_t hash = explore_state() | 1;
	uint32_t at;

	hash = lade_hash_fnv(hash, &when, sizeof(when));
	hash = lade_hash_fnv(hash, &p->site, sizeof(p->site)) | 1;
	at = (uint32_t)(hash % STATES_MAX);
	for (uint32_t i = 0; i < STATES_MAX; i++, at = (at + 1) % STATES_MAX) {
		if (now.states[at] == hash)
			return false;
		if (now.states[at])
			continue;
		now.states[at] = hash;
		return true;
	}
	return false;
}

/* The first call of the same place and task. */
static uint32_t first_like(const struct point *p)
{
	const struct point *points = now.undisturbed->points;
	uint32_t i = 0;

	while (points[i].nth != 1 || strcmp(points[i].site, p->site) != 0 ||
	       strcmp(points[i].task, p->task) != 0)
		i++;
	return i;
}

static bool is_wanted(enum when when, const struct point *recorded, uint32_t point)
{
	bool new_state;

	if (now.settings->replays)
		return true;
	if (now.settings->when >= 0 && now.settings->when != (int)when)
		return false;
	if (now.settings->point >= 0)
		return now.settings->point == (long)point;
	new_state = is_new_state(when, recorded);
	if (recorded->nth <= 2 || recorded->nth == recorded->of)
		return true;
	return new_state && now.states_of[first_like(recorded)]++ < STATES_OF_CALL;
}

static uint32_t draw(uint32_t below)
{
	now.random ^= now.random << 13;
	now.random ^= now.random >> 7;
	now.random ^= now.random << 17;
	return (uint32_t)(now.random >> 33) % below;
}

/* How many pairs begin with this cancel. */
static long pairs_with_it(void)
{
	long whole = now.settings->pairs / now.tally->cancels;

	return whole + (draw((uint32_t)now.tally->cancels) <
			(uint32_t)(now.settings->pairs % now.tally->cancels));
}

/* In a pair's trial: makes the second injection, if there is a scope to make it on. */
static bool make_second(enum when when, struct lade_ctl *ctl)
{
	struct target to[TARGETS_MAX];
	uint32_t n = targets(ctl, when, to);
	const struct target *t;

	if (!n)
		return false;
	t = &to[now.jobs[0].injection.choice % n];
	explore_outcome()->second = (struct second){ .made = true,
						     .when = when,
						     .what = t->what,
						     .site = explore_site(ctl),
						     .where = place_of(t->node),
						     .kind = kind_of(t->node) };
	explore_event("-- then %s: %s", explore_what_names[t->what], explore_when_names[when]);
	make_request(*t, explore_site(ctl));
	return true;
}

/* Begins the trials of one cancel: alone, or in pairs.  Returns whether this process is one. */
static bool begin_cancel(struct injection *injection, const struct lade_ctl *ctl)
{
	long pairs;

	if (now.settings->replays) {
		injection->later = now.settings->replay.later;
		injection->choice = now.settings->replay.choice;
	}
	if (!now.in_pairs) {
		now.tally->done[injection->point] |= (uint8_t)(1u << injection->when);
		now.tally->cancels++;
		return begin(injection, ctl);
	}
	for (pairs = pairs_with_it(); pairs > 0; pairs--) {
		/* Near ones more often: what a cancel leaves behind is soon over. */
		injection->later = 1 + draw(1u << draw(LATER_BITS + 1));
		injection->choice = draw(TARGETS_MAX);
		if (begin(injection, ctl))
			return true;
	}
	return false;
}

static void try_cancels(enum when when, struct lade_ctl *ctl, uint32_t point)
{
	struct target to[TARGETS_MAX];
	uint32_t n = targets(ctl, when, to);
	const struct point *p = &now.undisturbed->points[point];

	for (uint32_t i = 0; i < n; i++) {
		struct injection injection = { .when = when,
					       .what = to[i].what,
					       .point = point,
					       .scope = i,
					       .where = place_of(to[i].node),
					       .kind = kind_of(to[i].node) };

		if (begin_cancel(&injection, ctl)) {
			explore_event("-- %s: %s at %s", explore_what_names[to[i].what],
				      explore_when_names[when], PLACE(p->site));
			make_request(to[i], p->site);
			return;
		}
	}
}

/* What can go wrong with an operation. */
static const struct {
	const char *call;
	int errors[3];
} failures[CALL_KINDS] = {
	{ "read", { -EIO, -ECONNRESET } },  { "write", { -EIO, -ENOSPC, -EPIPE } },
	{ "open", { -EMFILE, -ENOENT } },   { "connect", { -ECONNREFUSED, -EMFILE } },
	{ "accept", { -EMFILE } },	    { "fsync", { -EIO } },
};

/* Returns whether this process is the trial. */
static bool try_fault(const struct lade_ctl *ctl, uint32_t point, uint32_t try, const char *call,
		      int error)
{
	for (enum when when = FAULT; when <= FAULT_ON; when++) {
		const struct injection injection = { .when = when,
						     .point = point,
						     .error = error,
						     .try = try,
						     .call = call };

		if ((now.settings->when < 0 || now.settings->when == (int)when) &&
		    begin(&injection, ctl)) {
			explore_event("-- %s: %s", explore_when_names[when], strerror(-error));
			explore_fail(error, when == FAULT_ON);
			return true;
		}
	}
	return false;
}

/* One call may try many operations, as a transaction of SQLite does: of each kind the first two
 * fail, the third, the fifth, the ninth and so on. */
static void try_faults(const struct lade_ctl *ctl, uint32_t point, const char *call)
{
	uint32_t nth;
	uint32_t i = 0;

	while (i < CALL_KINDS && strcmp(failures[i].call, call) != 0)
		i++;
	if (i == CALL_KINDS)
		return;
	nth = now.tries[point][i];
	now.tries[point][i] += nth < UINT16_MAX;
	if (nth & (nth - 1) || nth == UINT16_MAX)
		return;
	for (int j = 0; j < 3; j++)
		if (failures[i].errors[j] &&
		    try_fault(ctl, point, nth * CALL_KINDS + i, call, failures[i].errors[j]))
			return;
}

static void try_no_memory(const struct lade_ctl *ctl)
{
	if (now.settings->point >= 0)
		return;
	for (long n = 1; n <= now.undisturbed->allocations; n++) {
		const struct injection injection = { .when = NO_MEMORY, .point = (uint32_t)n };

		if (begin(&injection, ctl)) {
			explore_event("-- no memory for allocation %ld", n);
			explore_no_memory(n);
			return;
		}
	}
}

/* A chance for injections: in a trial it returns with one made, in the explorer with none. */
static void inject(enum when when, struct lade_ctl *ctl, uint32_t point, const char *call)
{
	if (now.in_pairs && when > COMPLETED)
		return;
	if (when == NO_MEMORY) {
		if (now.settings->when < 0 || now.settings->when == NO_MEMORY)
			try_no_memory(ctl);
		return;
	}
	if (point >= now.undisturbed->points_len)
		return;
	if (!is_wanted(when, &now.undisturbed->points[point], point) &&
	    !(when == FAULT && now.settings->when == FAULT_ON))
		return;
	if (when == FAULT)
		try_faults(ctl, point, call);
	else
		try_cancels(when, ctl, point);
}

/* A scenario */

/* Runs the scenario undisturbed in a process of its own. */
static int record(struct outcome *out, const char *trace)
{
	int status;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		if (trace)
			setenv("LADE_TRACE", trace, 1);
		if (!freopen("/dev/null", "w", stdout))
			_exit(2);
		alarm(TRIAL_SECONDS);
		explore_run(now.scenario, now.seed, out, NULL);
		_exit(0);
	}
	if (pid < 0 || waitpid(pid, &status, 0) < 0)
		return -errno;
	for (uint32_t i = 0; i < out->points_len; i++)
		for (uint32_t j = 0; j < out->points_len; j++)
			if (strcmp(out->points[i].site, out->points[j].site) == 0 &&
			    strcmp(out->points[i].task, out->points[j].task) == 0)
				out->points[i].of++;
	return out->finished ? 0 : status ? status : -1;
}

/* Where two runs with one seed part: the first line of their traces that differs. */
static void print_difference(void)
{
	struct outcome *out = shared(sizeof(*out));
	char names[2][32] = { "/tmp/lade-trace-XXXXXX", "/tmp/lade-trace-XXXXXX" };
	char lines[2][600];
	FILE *files[2];

	for (int i = 0; i < 2; i++) {
		int fd = mkstemp(names[i]);

		if (fd < 0)
			return;
		close(fd);
		(void)record(out, names[i]);
		files[i] = fopen(names[i], "r");
		unlink(names[i]);
	}
	for (int line = 1; files[0] && files[1]; line++) {
		char *a = fgets(lines[0], sizeof(lines[0]), files[0]);
		char *b = fgets(lines[1], sizeof(lines[1]), files[1]);

		if (a && b && strcmp(a, b) == 0)
			continue;
		printf("  they part at event %d: %s  and the second time: %s", line,
		       a ? a : "the end\n", b ? b : "the end\n");
		break;
	}
	for (int i = 0; i < 2; i++)
		if (files[i])
			fclose(files[i]);
	munmap(out, sizeof(*out));
}

/* The share of points that were cancelled in every mode they went through, in percent. */
static double cover(const struct outcome *a, const struct tally *tally, FILE *to)
{
	uint32_t covered = 0, total = 0;

	for (uint32_t i = 0; i < a->points_len; i++) {
		const struct point *p = &a->points[i];
		uint8_t want = p->parked ? 1u << PARKED | 1u << COMPLETED : 1u << BEFORE;
		uint8_t done = 0;

		if (p->nth != 1)
			continue;
		for (uint32_t j = 0; j < a->points_len; j++)
			if (strcmp(a->points[j].site, p->site) == 0)
				done |= tally->done[j];
		total++;
		covered += (done & want) == want;
		if (to)
			fprintf(to, "%s\t%s\t%s\t%s\t%s\t%s\n", now.scenario->name, p->site,
				p->task, done & 1u << BEFORE ? "before" : "-",
				done & 1u << PARKED ? "parked" : "-",
				done & 1u << COMPLETED ? "completed" : "-");
		else if ((done & want) != want)
			printf("  never cancelled: %s, in %s%s\n", PLACE(p->site), p->task,
			       p->parked ? " (parked or completed)" : " (before)");
	}
	return total ? 100.0 * covered / total : 0.0;
}

static void explore_in_here(void)
{
	/* Not shared: the explorer goes on while a trial copies what it was at the fork. */
	struct outcome *out = calloc(1, sizeof(*out));

	if (!out)
		_exit(2);
	explore_run(now.scenario, now.seed, out, inject);
	/* A trial ends here, whatever it came to. */
	if (explore_outcome() != out)
		_exit(0);
	finish_all();
	fflush(stdout);
	free(out);
}

/* Runs the scenario in a process of its own, with the values of some tasks filled, and with an
 * injection or, for NULL, undisturbed.  Returns whether one was left unset. */
static bool is_left_unset(const struct suspect *suspect, const struct injection *injection,
			  struct outcome *out)
{
	struct settings settings = *now.settings;
	pid_t pid;

	memset(out, 0, offsetof(struct outcome, effects));
	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		if (!freopen("/dev/null", "w", stdout) || !freopen("/dev/null", "w", stderr))
			_exit(2);
		settings.replays = true;
		if (injection)
			settings.replay = *injection;
		now.settings = &settings;
		now.tally = calloc(1, sizeof(*now.tally));
		now.in_pairs = now.replayed = false;
		if (!now.tally)
			_exit(2);
		alarm(TRIAL_SECONDS);
		explore_fill(&suspect->unset);
		explore_run(now.scenario, now.seed, out, injection ? inject : NULL);
		_exit(0);
	}
	if (pid < 0 || waitpid(pid, NULL, 0) < 0)
		return false;
	return out->unset.task != NULL;
}

static bool was_confirmed(const struct unset *unset)
{
	for (int i = 0; i < now.tally->suspects_len; i++)
		if (now.tally->suspects[i].confirmed &&
		    is_same(&now.tally->suspects[i].unset, unset))
			return true;
	return false;
}

/* Looks into all suspicions; of each task the first that is confirmed is told.  Returns how many
 * were. */
static int confirm_suspects(void)
{
	struct outcome *out = shared(sizeof(*out));
	int found = 0;

	for (int i = 0; i < now.tally->suspects_len; i++) {
		struct suspect *s = &now.tally->suspects[i];

		if (was_confirmed(&s->unset) || is_left_unset(s, NULL, out) ||
		    !is_left_unset(s, &s->injection, out))
			continue;
		s->confirmed = true;
		found++;
		report_unset(s, out);
	}
	munmap(out, sizeof(*out));
	return found;
}

/* One injection, made in this process. */
static int replay_here(void)
{
	struct outcome *out = shared(sizeof(*out));

	explore_run(now.scenario, now.seed, out, inject);
	if (!now.replayed) {
		printf("%s: there is no such injection; has the code changed?\n",
		       now.scenario->name);
		return -1;
	}
	judge(&now.jobs[0].injection, out, 0, -1);
	now.tally->findings += confirm_suspects();
	if (!now.tally->findings)
		printf("%s: nothing found in this replay\n", now.scenario->name);
	return (int)now.tally->findings;
}

/* Whether there is something to explore in a scenario that runs; says why not. */
static bool is_worth_it(const struct outcome *a)
{
	const struct lade_scenario *s = now.scenario;
	int rc = a->rc[0], expect = s->options.expect;

	if (expect < 0 && rc != expect)
		printf("%s (%s): undisturbed the body ends with %d, not with %d (%s) as .expect "
		       "says\n",
		       s->name, s->site, rc, expect, strerror(-expect));
	else if (rc < 0 && rc != expect)
		printf("%s (%s): undisturbed the body ends with %d (%s): what is explored is a "
		       "failure; .expect says that it is meant\n",
		       s->name, s->site, rc, strerror(-rc));
	else if (a->invariant_rc < 0)
		printf("%s (%s): undisturbed .invariant gives %d (%s) already: nothing could "
		       "break it\n",
		       s->name, s->site, a->invariant_rc, strerror(-a->invariant_rc));
	else if (!a->points_len)
		printf("%s (%s): 0 points: the body never suspends, so there is nothing to "
		       "explore\n",
		       s->name, s->site);
	else if (now.settings->point >= (long)a->points_len)
		printf("%s: there is no point %ld: it has %u, from 0 to %u\n", s->name,
		       now.settings->point, a->points_len, a->points_len - 1);
	else
		return true;
	return false;
}

/* Runs the scenario twice undisturbed.  Returns 0; -1, having said why: it cannot be explored. */
static int record_twice(struct outcome *a)
{
	struct outcome *b = shared(sizeof(*b));
	int rc = record(a, NULL);

	if (rc == 0)
		rc = record(b, NULL);
	if (rc != 0 || a->setup_rc < 0) {
		printf("%s (%s): the undisturbed run does not come to its end: %s\n",
		       now.scenario->name, now.scenario->site,
		       a->setup_rc < 0 ? strerror(-a->setup_rc) : "it hangs or dies");
		rc = -1;
	} else if (a->trace_hash != b->trace_hash) {
		printf("%s (%s): two runs with seed %llu differ, so it cannot be explored: it "
		       "looks at something besides lade_now() and the simulation\n",
		       now.scenario->name, now.scenario->site, (unsigned long long)now.seed);
		print_difference();
		rc = -1;
	} else if (!is_worth_it(a)) {
		rc = -1;
	}
	munmap(b, sizeof(*b));
	return rc;
}

/* Walks through the scenario in a process of its own, with a trial at each chance: what the
 * scenario does to memory stays there. */
static int explore_apart(void)
{
	int status = -1;
	pid_t pid;

	for (int i = 0; i < now.settings->jobs; i++) {
		now.jobs[i].out = shared(sizeof(struct outcome));
		now.jobs[i].said = memfd_create("lade explore", MFD_CLOEXEC);
	}
	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		explore_in_here();
		_exit(0);
	}
	if (pid < 0 || waitpid(pid, &status, 0) < 0 || status != 0) {
		printf("%s: the explorer itself has failed (status %d)\n", now.scenario->name,
		       status);
		return -1;
	}
	for (int i = 0; i < now.settings->jobs; i++) {
		close(now.jobs[i].said);
		munmap(now.jobs[i].out, sizeof(struct outcome));
	}
	return (int)now.tally->findings;
}

/* What is wrong although nothing was disturbed.  Returns the number of findings. */
static int judge_undisturbed(const struct outcome *a)
{
	if (*a->channel_text)
		printf("\nFINDING in %s (%s): %s  although nothing was cancelled\n",
		       now.scenario->name, now.scenario->site, a->channel_text);
	if (a->fds_open)
		printf("\nFINDING in %s (%s): LEAK\n"
		       "  %u descriptors are open at the end, although nothing was cancelled; one "
		       "was opened at %s\n",
		       now.scenario->name, now.scenario->site, a->fds_open, a->fd_site);
	return (*a->channel_text != 0) + (a->fds_open != 0);
}

int explore_scenario(const struct lade_scenario *scenario, const struct settings *settings,
		     struct totals *totals)
{
	struct outcome *a = shared(sizeof(*a));
	double coverage;
	FILE *file;
	int rc;

	memset(&now, 0, sizeof(now));
	now.scenario = scenario;
	now.settings = settings;
	now.seed = settings->seed	    ? settings->seed
		   : scenario->options.seed ? scenario->options.seed
					    : 1;
	now.undisturbed = a;
	now.tally = shared(sizeof(*now.tally));
	rc = record_twice(a);
	if (rc == 0)
		rc = settings->replays ? replay_here() : explore_apart();
	if (rc >= 0 && settings->pairs && now.tally->cancels) {
		now.in_pairs = true;
		now.random = now.seed * UINT64_C(0x9e3779b97f4a7c15) | 1;
		rc = explore_apart();
	}
	if (rc < 0)
		return rc;
	if (!settings->replays)
		rc += confirm_suspects() + judge_undisturbed(a);
	totals->findings += rc;
	if (settings->replays)
		return rc;
	coverage = cover(a, now.tally, NULL);
	if (a->points_len == POINTS_MAX)
		printf("%s: only the first %d points are explored; what comes after needs a "
		       "scenario of its own\n",
		       scenario->name, POINTS_MAX);
	if (a->effects_len == EFFECTS_MAX)
		printf("%s: only the first %d things that are done outside are compared\n",
		       scenario->name, EFFECTS_MAX);
	if (a->memory_full)
		printf("%s: it allocates too much memory to say what of it is leaked\n",
		       scenario->name);
	if (a->items_len == ITEMS_MAX)
		printf("%s: only the first %d items that are taken out of channels or put into "
		       "them are compared\n",
		       scenario->name, ITEMS_MAX);
	totals->trials += now.tally->trials;
	totals->points += a->points_len;
	totals->covered += coverage * a->points_len;
	if (now.tally->left_out)
		printf("%s: %ld more findings like these (--verbose shows them)\n", scenario->name,
		       now.tally->left_out);
	if (!settings->is_alone)
		printf("%s: %u points, %ld runs, %d findings, coverage %.0f %%\n", scenario->name,
		       a->points_len, now.tally->trials, rc, coverage);
	if (settings->coverage_file && (file = fopen(settings->coverage_file, "a"))) {
		(void)cover(a, now.tally, file);
		fclose(file);
	}
	munmap(now.tally, sizeof(*now.tally));
	munmap(a, sizeof(*a));
	return rc;
}
