/* SPDX-License-Identifier: MIT */
/* engine.c - batches through steps into sinks, each message finished exactly when it may be.
 *
 * DESIGN
 *   source → map(enrich, `concurrency` at once) → one writer → acknowledged
 *
 * Batches are enriched in any order, and written each behind earlier ones of its lanes (order:
 * partition), of its keys (key), or as they are done (none): order.c. Messages that a step is to
 * try again leave their batch, with those that may not overtake them: split.c.
 * The writer takes what is ready, up to max_transaction messages, as one write: sinks that keep
 * no offsets first, then the dead letters, then the one that does, so that an offset never moves
 * past a message that some sink has not. Only the sink that failed is tried again. A batch is
 * finished in its lane when all have it.
 *
 * A step's failure is the messages' (EBADMSG: halved until one stands alone), passes (EAGAIN:
 * again, with backoff; it counts against a message only when others passed the step since), or is
 * for a person (EIO: waited out, visibly). What fails too often is halved as well, and rejected
 * when, alone, it fails again and again while another one passes after each time: an outage that
 * begins or ends at any moment rejects nothing.
 *
 * Asked to stop, the source ends at once, what was read is finished, and after shutdown_timeout
 * what is not is given up: it will be read again. */

#include "services/pipeline/engine.h"
#include "services/pipeline/phase.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "services/pipeline/log.h"
#include "services/pipeline/observe.h"
#include "services/pipeline/outbox.h"
#include "services/pipeline/taps.h"

#define TRANSACTION_NS INT64_C(100000000) /* from the end of one to the next: see take_group() */
#define READY_MAX 16 /* batches that are ready while others are written */
#define ANEW_NS INT64_C(60000000000) /* in which a run begins anew twice at most */
#define SAY_AGAIN_NS INT64_C(30000000000)

int lade_pipe_fail(struct lade_pipe_engine *e, enum lade_pipe_exit how, const char *format, ...)
{
	va_list args;

	if (e->failed)
		return -EIO;
	e->failed = true;
	e->exit = how;
	va_start(args, format);
	vsnprintf(e->why, sizeof(e->why), format, args);
	va_end(args);
	return -EIO;
}

int lade_pipe_fail_at(struct lade_pipe_engine *e, enum lade_pipe_exit how,
		      const struct lade_yaml_node *node, size_t position, const char *format, ...)
{
	int line, col, n = 0;
	va_list args;

	if (e->failed)
		return -EIO;
	e->failed = true;
	e->exit = how;
	e->placed = node && e->config->file;
	if (e->placed) {
		lade_pipe_config_place(e->config, node, position, &line, &col);
		n = snprintf(e->why, sizeof(e->why), "%.400s:%d:%d: ", e->config->file, line, col);
	}
	va_start(args, format);
	vsnprintf(e->why + n, sizeof(e->why) - (size_t)n, format, args);
	va_end(args);
	return -EIO;
}

const struct lade_yaml_node *lade_pipe_step_node(const struct lade_pipe_stage *stage,
						 const char *path)
{
	const struct lade_pipe_config *config = stage->engine->config;

	return lade_pipe_config_node(config, "steps", (int)(stage->config - config->steps), path);
}

const struct lade_yaml_node *lade_pipe_sink_node(const struct lade_pipe_outlet *outlet,
						 const char *path)
{
	const struct lade_pipe_config *config = outlet->engine->config;

	return lade_pipe_config_node(config, "sink", (int)(outlet->config - config->sinks), path);
}

void lade_pipe_print_why(const struct lade_pipe_engine *e, FILE *to)
{
	if (*e->why && e->placed)
		fprintf(to, "%s\n", e->why);
	else if (*e->why)
		fprintf(to, "%s: %s\n", e->config->name, e->why);
}

/* Troubles */

static void clear_live(struct lade_pipe_engine *e)
{
	if (e->live)
		fputs("\r\033[K", e->log);
}

/* The place of a cause; a new one takes that of the one that was said the longest ago. */
static struct lade_pipe_said *cause_of(struct lade_pipe_engine *e, const char *who)
{
	struct lade_pipe_said *oldest = &e->said[0];

	for (int i = 0; i < LADE_CAUSES; i++) {
		if (strncmp(e->said[i].who, who, sizeof(e->said[i].who) - 1) == 0)
			return &e->said[i];
		if (e->said[i].said_ns < oldest->said_ns)
			oldest = &e->said[i];
	}
	*oldest = (struct lade_pipe_said){ .said_ns = 0 };
	snprintf(oldest->who, sizeof(oldest->who), "%s", who);
	return oldest;
}

static void print_trouble(struct lade_pipe_engine *e, const char *who, const char *trouble,
			  uint64_t failures)
{
	clear_live(e);
	fprintf(e->log, "%s: %s: %s", e->config->name, who, trouble);
	if (failures > 1)
		fprintf(e->log, " (%" PRIu64 " failures since the last such line)", failures);
	fputc('\n', e->log);
	fflush(e->log);
}

void lade_pipe_trouble(struct lade_pipe_engine *e, const char *who, char trouble[256],
		       const char *format, ...)
{
	int64_t now_ns = lade_now().mono_ns;
	struct lade_pipe_said *said;
	va_list args;

	va_start(args, format);
	vsnprintf(trouble, 256, format, args);
	va_end(args);
	if (e->show)
		snprintf(e->waits, sizeof(e->waits), "%.80s: %s", who, trouble);
	/* Once per cause is the aim: the same again within half a minute is only counted. */
	said = cause_of(e, who);
	said->unsaid++;
	if (said->said_ns && now_ns - said->said_ns < SAY_AGAIN_NS)
		return;
	if (e->config->log_json)
		lade_pipe_log_trouble(e, who, trouble, said->unsaid);
	else
		print_trouble(e, who, trouble, said->unsaid);
	said->said_ns = now_ns;
	said->unsaid = 0;
}

void lade_pipe_say(struct lade_pipe_engine *e, const char *format, ...)
{
	va_list args;

	clear_live(e);
	fprintf(e->log, "%s: ", e->config->name);
	va_start(args, format);
	vfprintf(e->log, format, args);
	va_end(args);
	fputc('\n', e->log);
	fflush(e->log);
}

void lade_pipe_recovered(struct lade_pipe_engine *e, const char *who, char trouble[256],
			 int64_t *since_ns)
{
	double seconds = (double)(lade_now().mono_ns - *since_ns) / 1e9;

	if (!*since_ns)
		return;
	if (e->config->log_json)
		lade_pipe_log_recovered(e, who, trouble, seconds);
	else
		lade_pipe_say(e, "%s: works again after %.1f s (it was: %s)", who, seconds,
			      trouble);
	*since_ns = 0;
	*trouble = 0;
	*e->waits = 0;
}

static struct lade_duration pause_after(struct lade_pipe_engine *e, uint32_t attempt)
{
	const struct lade_pipe_errors *c = &e->config->errors;
	int64_t pause = c->backoff_min_ns;

	for (uint32_t i = 1; i < attempt && pause < c->backoff_max_ns; i++)
		pause *= 2;
	if (pause > c->backoff_max_ns)
		pause = c->backoff_max_ns;
	/* Half of it for sure, half at random: those that failed together come apart. */
	e->jitter = e->jitter * UINT64_C(6364136223846793005) + 1;
	pause = pause / 2 + (int64_t)((e->jitter >> 33) % (uint64_t)(pause / 2 + 1));
	e->stats.retries++;
	return lade_ns(pause);
}

int lade_pipe_back_off(struct lade_pipe_engine *e, uint32_t attempt)
{
	return lade_sleep(pause_after(e, attempt));
}

int lade_pipe_back_off_reading(struct lade_pipe_engine *e, uint32_t attempt)
{
	int rc = lade_select(lade_after(pause_after(e, attempt)),
			     lade_event_case(&e->stop_reading));

	return rc < 0 ? rc : 0;
}

/* Steps */

void lade_pipe_asked(struct lade_pipe_stage *stage, struct lade_pipe_batch *b, uint32_t i)
{
	stage->asked += !b->fates[i].asked;
	stage->again += b->fates[i].asked;
	b->fates[i].asked = true;
}

/* A failure of a message counts when others have passed since its last one: then the step works
 * and the message is odd.  Returns whether it did. */
static bool count_failure(struct lade_pipe_stage *stage, struct lade_pipe_fate *fate)
{
	bool others_passed = stage->passes > fate->passes_seen;

	if (fate->attempts == 0 || others_passed)
		fate->attempts++;
	fate->passes_seen = stage->passes;
	return others_passed;
}

static bool too_often(const struct lade_pipe_stage *stage, const struct lade_pipe_fate *fate)
{
	return fate->attempts >= (uint32_t)stage->engine->config->errors.attempts_max;
}

static void note_since(int64_t *since_ns)
{
	if (!*since_ns)
		*since_ns = lade_now().mono_ns;
}

/* After a failure that is waited out.  Returns 0: again; < 0: no more. */
static int wait_and_try_again(struct lade_pipe_stage *stage, uint32_t attempt)
{
	note_since(&stage->trouble_since_ns);
	return stage->engine->failed ? -ECANCELED : lade_pipe_back_off(stage->engine, attempt);
}

/* Keeps the messages that are to be tried again; those that were tried too often are rejected. */
static uint32_t keep_retries(struct lade_pipe_stage *stage, struct lade_pipe_batch *b,
			     uint32_t *index, uint32_t n, bool answered)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < n; i++) {
		struct lade_pipe_fate *fate = &b->fates[index[i]];

		if (fate->verdict == LADE_VERDICT_OK) {
			stage->passes += answered;
			continue;
		}
		if (fate->verdict == LADE_VERDICT_HOLD) {
			fate->verdict = LADE_VERDICT_OK;
			index[kept++] = index[i];
		}
		if (fate->verdict != LADE_VERDICT_RETRY)
			continue;
		fate->verdict = LADE_VERDICT_OK;
		if (count_failure(stage, fate) && too_often(stage, fate))
			lade_pipe_reject(b, index[i], stage->config->name, "%s",
					 fate->reason ? fate->reason : stage->trouble);
		else
			index[kept++] = index[i];
	}
	return kept;
}

/* The call has failed as a whole, perhaps after it had told some messages to be tried again: all
 * that are not finished are. */
static void forget_retries(struct lade_pipe_batch *b, const uint32_t *index, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		if (b->fates[index[i]].verdict == LADE_VERDICT_RETRY ||
		    b->fates[index[i]].verdict == LADE_VERDICT_HOLD)
			b->fates[index[i]].verdict = LADE_VERDICT_OK;
}

/* Runs the step once over those messages of *n that are still to go on.
 *
 * Returns 0, and *n is how many are left to be tried again; or < 0, and all go on that were not
 * rejected. */
static int call_step(struct lade_pipe_stage *stage, struct lade_pipe_batch *b, uint32_t *index,
		     uint32_t *n)
{
	int64_t began_ns = lade_now().mono_ns;
	uint64_t answers = stage->answers;
	uint32_t m = 0;
	bool answered;
	int rc;

	for (uint32_t i = 0; i < *n; i++)
		if (b->fates[index[i]].verdict == LADE_VERDICT_OK)
			index[m++] = index[i];
	*n = m;
	if (m == 0)
		return 0;
	rc = stage->ops->process(stage, b, index, m);
	began_ns = lade_now().mono_ns - began_ns;
	stage->busy_ns += began_ns;
	lade_pipe_times_add(&stage->took, began_ns, 1);
	if (rc < 0) {
		forget_retries(b, index, m);
		return rc;
	}
	/* What came out of a cache does not say that the service works. */
	answered = !stage->remote || stage->answers != answers;
	if (stage->makes_new)
		stage->passes += answered ? b->n : 0;
	*n = stage->makes_new ? 0 : keep_retries(stage, b, index, m, answered);
	return 0;
}

static void reject_all(struct lade_pipe_stage *stage, struct lade_pipe_batch *b,
		       const uint32_t *index, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		lade_pipe_reject(b, index[i], stage->config->name, "%s", stage->trouble);
}

static int run_subset(struct lade_pipe_stage *stage, struct lade_pipe_batch *b, uint32_t *index,
		      uint32_t n);

/* A failure that some message is to blame for: halves, until one stands alone. */
static int bisect(struct lade_pipe_stage *stage, struct lade_pipe_batch *b, uint32_t *index,
		  uint32_t n)
{
	int rc;

	if (n == 1 || stage->makes_new) {
		reject_all(stage, b, index, n);
		return 0;
	}
	rc = run_subset(stage, b, index, n / 2);
	return rc < 0 ? rc : run_subset(stage, b, index + n / 2, n - n / 2);
}

/* Whether the whole call has failed often enough for a message of it to be suspected. */
static bool is_suspect(struct lade_pipe_stage *stage, struct lade_pipe_batch *b,
		       const uint32_t *index, uint32_t n, int64_t attempt)
{
	bool suspect = false;

	for (uint32_t i = 0; i < n; i++) {
		struct lade_pipe_fate *fate = &b->fates[index[i]];

		suspect |= count_failure(stage, fate) && too_often(stage, fate);
	}
	/* With others in its batch a suspect need not wait for other batches: they are tried. */
	return suspect || (b->n > 1 && !stage->makes_new &&
			   attempt >= stage->engine->config->errors.attempts_max);
}

/* Tries another message of the batch, each in its turn, to see whether the step works at all.
 * Returns 0, or < 0: cancelled. What it shows is in stage->passes. */
static int try_another(struct lade_pipe_stage *stage, struct lade_pipe_batch *b, uint32_t than,
		       uint32_t *turn)
{
	for (uint32_t tries = 0; tries < b->n; tries++) {
		uint32_t other = (*turn)++ % b->n, n = 1;
		int rc;

		if (other == than || b->fates[other].verdict != LADE_VERDICT_OK)
			continue;
		rc = call_step(stage, b, &other, &n);
		if (rc == -EBADMSG) /* an answer; who is to blame for it will be seen in its turn */
			stage->passes++;
		return rc == -EBADMSG || rc == -EAGAIN || rc == -EIO ? 0 : rc;
	}
	return 0;
}

/* A suspect, alone. It is rejected when it has failed so max_attempts times, another one has
 * passed after each, and it fails again: an outage, whenever it begins or ends, does not look like
 * this. */
static int try_alone(struct lade_pipe_stage *stage, struct lade_pipe_batch *b, uint32_t *index)
{
	struct lade_pipe_fate *fate = &b->fates[*index];
	int64_t proofs = 0; /* failures after which another one has passed */
	uint32_t turn = 0;

	for (uint32_t attempt = 1;; attempt++) {
		uint32_t n = 1;
		int rc = call_step(stage, b, index, &n);

		if (rc == 0)
			return n ? run_subset(stage, b, index, n) : 0;
		if (rc == -EBADMSG)
			return bisect(stage, b, index, 1);
		if (rc != -EAGAIN && rc != -EIO)
			return rc;
		(void)count_failure(stage, fate);
		if (rc == -EAGAIN && proofs >= stage->engine->config->errors.attempts_max)
			return bisect(stage, b, index, 1);
		rc = try_another(stage, b, *index, &turn);
		proofs += stage->passes > fate->passes_seen;
		if (rc == 0)
			rc = wait_and_try_again(stage, attempt);
		if (rc < 0)
			return rc;
	}
}

/* A call that has failed too often: its halves, until the one that does it stands alone. */
static int sift(struct lade_pipe_stage *stage, struct lade_pipe_batch *b, uint32_t *index,
		uint32_t n)
{
	int rc = 0;

	if (stage->makes_new) {
		reject_all(stage, b, index, n);
		return 0;
	}
	if (n == 1)
		return try_alone(stage, b, index);
	for (uint32_t from = 0, half = n / 2; rc == 0 && from < n; from += half, half = n - half) {
		uint32_t left = half;

		rc = call_step(stage, b, index + from, &left);
		if (rc == -EAGAIN)
			rc = sift(stage, b, index + from, left);
		else if (rc == -EBADMSG)
			rc = bisect(stage, b, index + from, left);
		else if (rc == -EIO || (rc == 0 && left))
			rc = run_subset(stage, b, index + from, left);
	}
	return rc;
}

/* After a first call that has ended with @rc and left @n messages to be tried again. */
static int go_on(struct lade_pipe_stage *stage, struct lade_pipe_batch *b, uint32_t *index,
		 uint32_t n, int rc)
{
	for (uint32_t attempt = 1;; attempt++) {
		if (rc == -EBADMSG)
			return bisect(stage, b, index, n);
		if (rc == -EAGAIN && is_suspect(stage, b, index, n, attempt))
			return sift(stage, b, index, n);
		if (rc < 0 && rc != -EAGAIN && rc != -EIO)
			return rc;
		if (n == 0)
			return 0;
		rc = wait_and_try_again(stage, attempt);
		if (rc < 0)
			return rc;
		rc = call_step(stage, b, index, &n);
	}
}

static int run_subset(struct lade_pipe_stage *stage, struct lade_pipe_batch *b, uint32_t *index,
		      uint32_t n)
{
	int rc = n ? call_step(stage, b, index, &n) : 0;

	return n ? go_on(stage, b, index, n, rc) : rc;
}

static int run_steps(struct lade_pipe_engine *e, struct lade_pipe_batch **item, int from);

/* What need not wait for the @n messages of @index goes on, to the end; *item is what has to. */
static int let_go(struct lade_pipe_stage *stage, struct lade_pipe_batch **item, uint32_t *index,
		  uint32_t n)
{
	struct lade_pipe_engine *e = stage->engine;
	struct lade_pipe_batch *b = *item;
	int rc = lade_pipe_split(b, index, n, item);

	if (rc <= 0)
		return rc;
	rc = run_steps(e, &b, (int)(stage - e->stages) + 1);
	b->reader = NULL;
	if (rc < 0)
		b->turn = LADE_TURN_FAILED;
	else
		lade_pipe_order_done(e, b);
	return rc;
}

static int run_stage(struct lade_pipe_stage *stage, struct lade_pipe_batch **item)
{
	struct lade_pipe_batch *b = *item;
	uint32_t *index = lade_arena_alloc(&b->arena, (b->n + 1) * sizeof(*index)), n = 0;
	int rc;

	if (!index)
		return -ENOMEM;
	for (uint32_t i = 0; i < b->n; i++) {
		if (b->fates[i].verdict == LADE_VERDICT_OK) {
			b->fates[i].attempts = 0;
			b->fates[i].asked = false;
			b->fates[i].passes_seen = stage->passes;
			b->fates[i].reason = NULL;
			index[n++] = i;
		}
	}
	rc = call_step(stage, b, index, &n);
	if (rc == 0 && n) {
		rc = let_go(stage, item, index, n);
		if (rc < 0)
			return rc;
	}
	if (n)
		rc = go_on(stage, *item, index, n, rc);
	if (rc == 0) {
		lade_pipe_recovered(stage->engine, stage->config->name, stage->trouble,
				    &stage->trouble_since_ns);
		*stage->trouble = 0;
	}
	return rc;
}

/* A batch through the steps from @from on.  Parts of it may be done before; *item is what is
 * through last, and < 0: what could not be. */
static int run_steps(struct lade_pipe_engine *e, struct lade_pipe_batch **item, int from)
{
	int rc = 0;

	for (int i = from; rc == 0 && i < e->n_stages; i++) {
		uint64_t calls = e->stages[i].calls;
		int64_t began_ns = lade_now().mono_ns;

		(*item)->at = e->stages[i].config->name;
		rc = run_stage(&e->stages[i], item);
		lade_pipe_phase(LADE_PHASE_ENRICHING);
		if (rc == 0 && e->taps)
			lade_pipe_tap_batch(e, i + 1, *item);
		if (rc == 0 && e->show)
			lade_pipe_show_step(&e->stages[i], *item, calls,
					    lade_now().mono_ns - began_ns);
	}
	return rc;
}

static int enrich(struct lade_pipe_engine *e, struct lade_pipe_batch **item,
		  struct lade_pipe_batch **ret)
{
	struct lade_json_reader *reader = e->readers[--e->n_readers];
	struct lade_pipe_batch *b = *item;
	int rc;

	*item = NULL;
	b->reader = reader;
	if (e->taps)
		lade_pipe_tap_batch(e, 0, b);
	if (e->show)
		lade_pipe_show_read(e, b);
	rc = run_steps(e, &b, 0);
	e->readers[e->n_readers++] = reader;
	b->reader = NULL;
	if (rc < 0)
		b->turn = LADE_TURN_FAILED;
	else
		*ret = b;
	return rc;
}

LADE_MAP(enriched, lade_pipe_batches, lade_pipe_batches, enrich)

/* The writer */

static uint32_t with_verdict(const struct lade_pipe_batch *b, enum lade_pipe_verdict verdict)
{
	uint32_t n = 0;

	for (uint32_t i = 0; i < b->n; i++)
		n += b->fates[i].verdict == verdict;
	return n;
}

static uint32_t rejected_in(const struct lade_pipe_batch *b)
{
	return b->n_rejected + with_verdict(b, LADE_VERDICT_REJECT);
}

/* The beginning of a message, for a terminal: what it would obey is a question mark. */
static const char *excerpt(const struct lade_pipe_message *m, char ret[128])
{
	uint32_t n = m->len > 120 ? 120 : m->len;
	unsigned char before = 0;

	for (uint32_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char)m->bytes[i];
		bool obeyed = c < ' ' || c == 0x7f || (c >= 0x80 && c < 0xa0 && before < 0xc3);

		ret[i] = obeyed ? '?' : (char)c;
		before = c < 0xc0 && before >= 0xc3 ? before : c;
	}
	strcpy(ret + n, m->len > n ? "..." : "");
	return ret;
}

/* Without a dead letter a rejected message stops the pipeline: which, where, why, what to do. */
static int stop_at_bad(struct lade_pipe_engine *e, const struct lade_pipe_batch *b)
{
	const struct lade_pipe_message *m = b->n_rejected ? b->rejected : NULL;
	const struct lade_pipe_fate *fate = b->rejected_fates;
	char line[40] = "", text[128];

	for (uint32_t i = 0; !m && i < b->n; i++) {
		if (b->fates[i].verdict == LADE_VERDICT_REJECT) {
			m = &b->messages[i];
			fate = &b->fates[i];
		}
	}
	if (m->line)
		snprintf(line, sizeof(line), "line %" PRId64 ", ", m->line);
	return lade_pipe_fail(e, LADE_EXIT_BAD_MESSAGE,
			      "%s: %sbyte %" PRId64 ": %s: %s\n  %s\n"
			      "to go on past such messages, configure where they go:\n"
			      "  errors:\n    dead_letter: { %s }",
			      m->lane ? m->lane->name : "a message made by a transform", line,
			      m->offset, fate->step, fate->reason,
			      excerpt(m, text),
			      e->keeper ? "table: dead_letters" : "file: dead.ndjson");
}

bool lade_pipe_has_letters(const struct lade_pipe_engine *e)
{
	return e->dead.ops || e->letters_in;
}

static int check_rejected(struct lade_pipe_engine *e, struct lade_pipe_batch *const *group,
			  uint32_t n)
{
	for (uint32_t k = 0; !lade_pipe_has_letters(e) && k < n; k++)
		if (rejected_in(group[k]))
			return stop_at_bad(e, group[k]);
	return 0;
}

/* One write, and how long it took. */
static int call_sink(struct lade_pipe_outlet *o, struct lade_pipe_batch *const *group, uint32_t n,
		     const struct lade_pipe_move *moves, uint32_t n_moves, const char *name)
{
	int64_t began_ns = lade_now().mono_ns;
	int rc;

	for (uint32_t k = 0; k < n; k++)
		group[k]->at = name;
	rc = o->ops->write(o, group, n, moves, n_moves);
	lade_pipe_times_add(&o->took, lade_now().mono_ns - began_ns, 1);
	o->errors += rc < 0 && rc != -ECANCELED;
	return rc;
}

static const char *sink_name(const struct lade_pipe_outlet *o)
{
	static const char *const names[LADE_SINK_KINDS] = {
		[LADE_SINK_SQLITE] = "sink sqlite",   [LADE_SINK_FILE] = "sink file",
		[LADE_SINK_STDOUT] = "sink stdout",   [LADE_SINK_KAFKA] = "sink kafka",
		[LADE_SINK_POSTGRES] = "sink postgres",
	};

	return o->config ? names[o->config->kind] : "dead letters";
}

/* One sink until it has it. */
static int write_to(struct lade_pipe_outlet *o, struct lade_pipe_batch *const *group, uint32_t n,
		    const struct lade_pipe_move *moves, uint32_t n_moves)
{
	struct lade_pipe_engine *e = o->engine;
	const char *name = sink_name(o);

	for (uint32_t attempt = 1;; attempt++) {
		int rc = call_sink(o, group, n, moves, n_moves, name);

		if (rc == 0) {
			lade_pipe_recovered(e, name, o->trouble, &o->trouble_since_ns);
			*o->trouble = 0;
			return 0;
		}
		if ((rc != -EAGAIN && rc != -EIO) || e->failed)
			return rc;
		note_since(&o->trouble_since_ns);
		rc = lade_pipe_back_off(e, attempt);
		if (rc < 0)
			return rc;
	}
}

/* What is stored already of a partition is never written again: the fence proves where the offset
 * was, and this that the rows begin behind it. (A file may be another one by the same name, and an
 * outbox counts for itself.)  Returns 0 or -ESTALE. */
static int check_move(struct lade_pipe_engine *e, const struct lade_pipe_move *m)
{
	const struct lade_pipe_lane *lane = m->lane;

	if (e->config->source.kind != LADE_SOURCE_KAFKA || m->from >= lane->stored.next_offset)
		return 0;
	lade_pipe_say(e, "%s: %" PRId64 " was to be written, and all before %" PRId64 " is: this is"
		      " an error in lade, which is worth a report; it is read again from there",
		      lane->name, m->from, lane->stored.next_offset);
	return -ESTALE;
}

/* The sink that has the offsets, or the dead letters: they move with what it writes. */
static int write_to_last(struct lade_pipe_engine *e, struct lade_pipe_outlet *last,
			 struct lade_pipe_batch *const *group, uint32_t n)
{
	struct lade_pipe_move *moves = NULL;
	int n_moves = e->keeper ? lade_pipe_moves(e, group, n, &moves) : 0, rc;

	if (n_moves < 0)
		return n_moves;
	rc = lade_sem_acquire(&e->keeping, 1);
	if (rc == 0) {
		/* A lane that was claimed anew meanwhile is not to be moved by what was before; a
		 * transaction sees to that itself. */
		for (uint32_t i = 0; rc == 0 && e->keeper && !e->transaction && i < n; i++)
			rc = lade_pipe_batch_is_late(group[i]) ? -ESTALE : 0;
		for (int i = 0; rc == 0 && i < n_moves; i++)
			rc = check_move(e, &moves[i]);
		if (rc == 0)
			rc = write_to(last, group, n, moves, (uint32_t)n_moves);
		lade_sem_release(&e->keeping, 1);
	}
	free(moves);
	return rc;
}

static int write_group_once(struct lade_pipe_engine *e, struct lade_pipe_batch *const *group,
			    uint32_t n)
{
	struct lade_pipe_outlet *last = e->keeper ? e->keeper : e->letters_in;
	int rc = e->show ? 0 : check_rejected(e, group, n);

	lade_pipe_phase(LADE_PHASE_WRITING);
	/* Any sink may reject: what has the dead letters, and the offsets, comes behind all. */
	for (int i = 0; rc == 0 && i < e->n_outlets; i++)
		if (&e->outlets[i] != last)
			rc = write_to(&e->outlets[i], group, n, NULL, 0);
	if (rc == 0 && e->dead.ops)
		rc = write_to(&e->dead, group, n, NULL, 0);
	if (rc == 0 && last)
		rc = write_to_last(e, last, group, n);
	return rc == -EBADMSG ? check_rejected(e, group, n) : rc;
}

static int write_group(struct lade_pipe_engine *e, struct lade_pipe_batch *const *group,
		       uint32_t n)
{
	for (uint32_t attempt = 1;; attempt++) {
		int rc = write_group_once(e, group, n);

		if (rc != -ERESTART)
			return rc;
		rc = lade_pipe_back_off(e, attempt);
		if (rc < 0)
			return rc;
	}
}

static void note_recent(struct lade_pipe_engine *e, uint32_t rejected, uint32_t all)
{
	for (uint32_t i = 0; i < all; i++) {
		uint8_t is = i < rejected;

		e->recent_rejected += is;
		e->recent_rejected -= e->recent[e->recent_at];
		e->recent[e->recent_at] = is;
		e->recent_at = (e->recent_at + 1) % 1000;
	}
}

static int check_reject_rate(struct lade_pipe_engine *e)
{
	int64_t rate = e->config->errors.reject_rate_max; /* hundredths of a percent */

	if ((int64_t)e->recent_rejected * 10 <= rate || e->stats.in < 1000)
		return 0;
	return lade_pipe_fail(e, LADE_EXIT_FAILED,
			      "%" PRIu32 " of the last 1,000 messages were rejected, more than "
			      "max_reject_rate allows: see the dead letters for the reason; "
			      "nothing more is read until somebody has looked",
			      e->recent_rejected);
}

static void finish_parts(struct lade_pipe_engine *e, struct lade_pipe_batch *b)
{
	for (uint32_t i = 0; i < b->n_parts; i++) {
		struct lade_pipe_part *p = &b->parts[i];

		(void)lade_pipe_lane_finish(p->lane, p->segment, p->taken);
		if (e->from->moved)
			e->from->moved(e, p->lane);
	}
}

static int finish_group(struct lade_pipe_engine *e, struct lade_pipe_batch *const *group,
			uint32_t n)
{
	for (uint32_t k = 0; k < n; k++) {
		struct lade_pipe_batch *b = group[k];
		uint32_t rejected = rejected_in(b);

		e->stats.rejected += rejected;
		e->stats.dropped += b->dropped + with_verdict(b, LADE_VERDICT_DROP);
		e->stats.out += with_verdict(b, LADE_VERDICT_OK) +
				with_verdict(b, LADE_VERDICT_PASS);
		note_recent(e, rejected, b->taken);
		lade_pipe_times_add(&e->stats.latency, lade_now().mono_ns - b->first.mono_ns,
				    b->taken);
		finish_parts(e, b);
	}
	lade_event_set(&e->lane_moved);
	return check_reject_rate(e);
}

/* One more batch that is ready, or, in a transaction, comes in time; each has its price.
 * Returns 1; 0 or < 0: what there is is written now. */
static int take_another(struct lade_pipe_engine *e, struct lade_pipe_batches_stream *in,
			struct lade_pipe_batch **ret)
{
	int64_t left_ns = e->written_ns + TRANSACTION_NS - lade_now().mono_ns;
	int rc = lade_pipe_batches_try_next(in, ret);

	if (rc > 0 || !e->transaction || left_ns <= 0 || lade_stopping())
		return rc;
	/* What ends or fails here does so again when it is asked next. */
	return lade_within(lade_ns(left_ns), lade_pipe_batches_next(in, ret));
}

/* While a transaction waits for more, what it has is sent. */
static int begin_to_write(struct lade_pipe_engine *e, struct lade_pipe_batch *b)
{
	const struct lade_pipe_sink_ops *ops = e->transaction ? e->keeper->ops : NULL;

	if (!ops || !ops->begin || e->n_outlets > 1 || lade_pipe_batch_is_late(b) ||
	    (rejected_in(b) && !lade_pipe_has_letters(e)))
		return 0;
	return ops->begin(e->keeper, b);
}

/* The messages of a group that are not too late. */
static int64_t taken_of(struct lade_pipe_batch *const *group, uint32_t n)
{
	int64_t taken = 0;

	for (uint32_t k = 0; k < n; k++)
		if (!lade_pipe_batch_is_late(group[k]))
			taken += group[k]->taken;
	return taken;
}

/* Takes batches that are ready, without waiting for more but in a transaction, or where the source
 * says what belongs together. */
static int take_group(struct lade_pipe_engine *e, struct lade_pipe_batches_stream *in,
		      struct lade_pipe_batch **group, uint32_t *ret_n)
{
	int64_t messages;
	uint32_t n = 1;
	int rc = lade_pipe_batches_next(in, &group[0]);

	if (rc <= 0)
		return rc;
	messages = group[0]->n;
	rc = begin_to_write(e, group[0]);
	while (rc == 0 && n < LADE_PIPE_GROUP_MAX && messages < e->config->transaction_max &&
	       take_another(e, in, &group[n]) > 0) {
		messages += group[n]->n;
		rc = begin_to_write(e, group[n++]);
	}
	while (rc == 0 && n < LADE_PIPE_GROUP_MAX && e->from->whole &&
	       taken_of(group, n) < e->from->whole(e) && lade_pipe_batches_next(in, &group[n]) > 0)
		n++;
	for (uint32_t k = 0; rc < 0 && k < n; k++)
		lade_pipe_batch_free(group[k]);
	*ret_n = n;
	return rc < 0 ? rc : 1;
}

/* Batches that cannot be written as they are: their lanes are read again. Where that fails, what is
 * under way stays unfinished. */
static int give_up_batch(struct lade_pipe_engine *e, struct lade_pipe_batch *b)
{
	int rc = 0;

	e->stats.rewound++;
	for (uint32_t i = 0; rc == 0 && i < b->n_parts; i++)
		if (!lade_pipe_lane_is_late(b->parts[i].lane, b->parts[i].segment))
			rc = e->from->rewind(e, b->parts[i].lane);
	if (rc == 0)
		finish_parts(e, b); /* all are late now, and counted as that */
	lade_pipe_batch_free(b);
	return rc;
}

static bool is_wholly_late(const struct lade_pipe_batch *b)
{
	for (uint32_t i = 0; i < b->n_parts; i++)
		if (!lade_pipe_lane_is_late(b->parts[i].lane, b->parts[i].segment))
			return false;
	return b->n_parts > 0;
}

/* Gives up those of a group that are late.  Returns how many; < 0: all are freed. */
static int give_up_late(struct lade_pipe_engine *e, struct lade_pipe_batch **group, uint32_t *n)
{
	uint32_t kept = 0, before = *n;
	int rc = 0;

	for (uint32_t k = 0; k < before; k++) {
		if (rc < 0)
			lade_pipe_batch_free(group[k]);
		else if (e->keeper ? lade_pipe_batch_is_late(group[k]) : is_wholly_late(group[k]))
			rc = give_up_batch(e, group[k]);
		else
			group[kept++] = group[k];
	}
	for (uint32_t k = 0; rc < 0 && k < kept; k++)
		lade_pipe_batch_free(group[k]);
	*n = rc < 0 ? 0 : kept;
	return rc < 0 ? rc : (int)(before - kept);
}

/* Leaves out the batches of which the lanes were lost meanwhile: whoever has them now does it. With
 * an offset that moves beside the rows, not even a part of a batch may be late; and where one is
 * given up for that its other lanes are read again, which makes batches late that were not.
 *
 * Returns 0 and *n; < 0: none is left. */
static int leave_out_late(struct lade_pipe_engine *e, struct lade_pipe_batch **group, uint32_t *n)
{
	int rc;

	do
		rc = give_up_late(e, group, n);
	while (rc > 0);
	return rc;
}

/* Fenced: what is under way of all these lanes is begun anew, but for those that are another's. */
static int give_up_group(struct lade_pipe_engine *e, struct lade_pipe_batch *const *group,
			 uint32_t n)
{
	int rc = 0;

	e->stats.fenced++;
	for (uint32_t k = 0; k < n; k++) {
		if (rc == 0)
			rc = give_up_batch(e, group[k]);
		else
			lade_pipe_batch_free(group[k]);
	}
	return rc;
}

/* Writes a group until it is written, and finishes it; frees its batches. */
static int write_and_finish(struct lade_pipe_engine *e, struct lade_pipe_batch **group, uint32_t n)
{
	uint32_t all = n;
	int rc = leave_out_late(e, group, &n);

	if (rc == 0 && n < all && e->keeper && e->keeper->ops->give_up)
		rc = e->keeper->ops->give_up(e->keeper);
	for (uint32_t k = 0; rc < 0 && k < n; k++)
		lade_pipe_batch_free(group[k]);
	if (rc < 0 || n == 0)
		return rc;
	rc = write_group(e, group, n);
	if (rc == -ESTALE && e->from->rewind)
		return give_up_group(e, group, n);
	if (rc == 0) {
		lade_pipe_phase(LADE_PHASE_WRITTEN);
		rc = finish_group(e, group, n);
	}
	for (uint32_t k = 0; k < n; k++)
		lade_pipe_batch_free(group[k]);
	return rc;
}

static int write_all(struct lade_pipe_engine *e, struct lade_pipe_batches_stream *in)
{
	struct lade_pipe_batch *group[LADE_PIPE_GROUP_MAX];
	uint32_t n = 0;
	int rc;

	while ((rc = take_group(e, in, group, &n)) > 0) {
		rc = write_and_finish(e, group, n);
		if (rc < 0)
			break;
		e->written_ns = lade_now().mono_ns;
	}
	return rc;
}

/* Opening */

/* Whether a step needs nothing but what is here. */
static bool prepares_offline(const struct lade_pipe_stage *stage)
{
	const struct lade_pipe_step *step = stage->config;
	const char *file = step->kind == LADE_STEP_SQL
				   ? lade_pipe_database_file(stage->engine->config, step->db)
				   : NULL;

	return step->kind == LADE_STEP_TRANSFORM || (file && access(file, F_OK) == 0);
}

static int open_stages(struct lade_pipe_engine *e)
{
	struct lade_pipe_shape *shape = lade_pipe_shape_new();
	int rc;

	if (!shape)
		return -ENOMEM;
	e->shapes[e->n_shapes++] = shape;
	rc = lade_pipe_order_open(e);
	if (rc < 0)
		return rc;
	for (int i = 0; i < e->config->n_steps; i++) {
		struct lade_pipe_stage *stage = &e->stages[e->n_stages++];

		stage->config = &e->config->steps[i];
		stage->ops = e->parts->steps[stage->config->kind];
		stage->engine = e;
		stage->in = shape;
		if (e->offline && !prepares_offline(stage))
			continue;
		rc = stage->ops->open(stage, shape);
		if (rc < 0)
			return rc;
		shape = stage->out;
	}
	return 0;
}

static int open_outlets(struct lade_pipe_engine *e)
{
	struct lade_pipe_shape *shape = e->shapes[e->n_shapes - 1];

	for (int i = 0; i < e->config->n_sinks; i++) {
		struct lade_pipe_outlet *o = &e->outlets[e->n_outlets++];
		int rc;

		o->config = &e->config->sinks[i];
		o->engine = e;
		o->shape = shape;
		o->ops = e->parts->sinks[o->config->kind];
		if (!o->ops)
			return lade_pipe_fail(e, LADE_EXIT_FAILED,
					      "sink %d: this build has no such sink", i + 1);
		if (e->config->delivery == LADE_EXACTLY_ONCE && !e->keeper && o->ops->claim)
			e->keeper = o;
		rc = o->ops->open(o, shape);
		if (rc < 0)
			return rc;
	}
	if (e->config->errors.dead_kind != LADE_DEAD_FILE &&
	    e->config->errors.dead_kind != LADE_DEAD_KAFKA)
		return 0;
	e->dead = (struct lade_pipe_outlet){ .ops = e->parts->letters, .engine = e };
	if (e->config->errors.dead_kind == LADE_DEAD_KAFKA)
		e->dead.ops = &lade_pipe_to_kafka;
	return e->dead.ops->open(&e->dead, shape);
}

static int open_readers(struct lade_pipe_engine *e)
{
	/* One for each batch that may be enriched at a time. */
	e->readers = calloc((size_t)e->config->concurrency, sizeof(*e->readers));
	if (!e->readers)
		return -ENOMEM;
	for (int64_t i = 0; i < e->config->concurrency; i++) {
		int rc = lade_json_reader_new(&e->readers[i]);

		if (rc < 0)
			return rc;
		e->n_readers++;
	}
	return 0;
}

int lade_pipe_open_all(struct lade_pipe_engine *e)
{
	int rc = open_readers(e);

	if (rc == 0)
		rc = open_stages(e);
	if (rc == 0)
		rc = open_outlets(e);
	for (int i = 0; rc == 0 && i < e->n_shapes; i++)
		rc = lade_pipe_shape_close(e->shapes[i]);
	if (rc < 0 && rc != -ECANCELED && !e->failed)
		(void)lade_pipe_fail(e, LADE_EXIT_FAILED, "the pipeline cannot be opened: %s",
				     strerror(-rc));
	return rc;
}

void lade_pipe_close_all(struct lade_pipe_engine *e)
{
	for (int i = 0; i < e->n_stages; i++)
		e->stages[i].ops->close(&e->stages[i]);
	for (int i = 0; i < e->n_outlets; i++)
		e->outlets[i].ops->close(&e->outlets[i]);
	if (e->dead.ops)
		e->dead.ops->close(&e->dead);
	e->http = lade_http_free(e->http);
	for (int i = 0; i < e->n_shapes; i++)
		lade_pipe_shape_free(e->shapes[i]);
	for (uint32_t i = 0; i < e->n_readers; i++)
		lade_json_reader_free(e->readers[i]);
	free(e->readers);
}

/* Stopping */

/* What the wait is for, and how to end it: else a stop looks like a hang. */
static void say_stopping(struct lade_pipe_engine *e)
{
	int64_t n = lade_pipe_lanes_in_flight(e);

	if (!n)
		return;
	clear_live(e);
	fprintf(e->log,
		"%s: stopping: %" PRId64 " message%s being finished, at most %g s; a second "
		"signal gives up at once\n",
		e->config->name, n, n == 1 ? " is" : "s are",
		(double)e->config->shutdown_timeout_ns / 1e9);
	fflush(e->log);
}

/* After shutdown_timeout what is not finished is given up. */
static int give_up_in_time(struct lade_pipe_engine *e, struct lade_scope *work)
{
	int rc = lade_select(lade_on_stopping());

	e->stopped = rc >= 0;
	lade_event_set(&e->stop_reading);
	if (rc >= 0) {
		say_stopping(e);
		rc = lade_sleep(lade_ns(e->config->shutdown_timeout_ns));
	}
	if (rc >= 0) {
		e->timed_out = true;
		lade_cancel(work, lade_ns(0));
	}
	return rc < 0 ? rc : 0;
}
LADE_TASK_VOID(give_up_in_time, (struct lade_pipe_engine *, e), (struct lade_scope *, work))

/* Batches that are ready while others are written: as many as one write takes, or come then. */
static uint32_t ready_max(const struct lade_pipe_engine *e)
{
	int64_t n = e->config->transaction_max / e->config->batch.messages_max;

	return n < 1 ? 1 : n > READY_MAX ? READY_MAX : (uint32_t)n;
}

static int run_source(struct lade_pipe_engine *e)
{
	struct give_up_in_time_task watch;
	struct lade_pipe_batches_stream *in = NULL;
	struct lade_pipe_raw_stream *raw = NULL;
	int rc = 0;

	lade_scope(s, &rc) {
		watch = give_up_in_time_task(e, &s);
		lade_start_daemon(&s, &watch);
		rc = e->from->start(e, &s, &raw);
		if (rc == 0) {
			e->stats.started_ns = lade_now().mono_ns;
			in = enriched(&s, lade_pipe_batches_of(e, &s, raw), e,
				      (uint32_t)e->config->concurrency, true);
			rc = lade_pipe_ordered(e, &s, in, ready_max(e), &in);
		}
		if (rc == 0) {
			rc = write_all(e, in);
			in = lade_pipe_batches_stream_close(in);
		}
	}
	lade_pipe_order_end(e);
	return rc;
}

static int report(struct lade_pipe_engine *e)
{
	int rc;

	do {
		rc = lade_sleep(e->live ? lade_ms(200) : lade_s(10));
		if (rc == 0)
			lade_pipe_progress(e);
	} while (rc == 0);
	return rc;
}
LADE_TASK_VOID(report, (struct lade_pipe_engine *, e))

int lade_pipe_engine_run(struct lade_pipe_engine *e)
{
	struct report_task reporter = report_task(e);
	int rc = 0;

	lade_scope(s, &rc, .policy = LADE_ALL) {
		e->scope = &s;
		if (e->observed)
			rc = lade_pipe_observe(e, &s);
		if (rc == 0)
			rc = lade_pipe_open_all(e);
		if (rc == 0)
			rc = e->from->open(e);
		if (rc == 0) {
			lade_start_daemon(&s, &reporter);
			rc = run_source(e);
		}
		lade_pipe_settle(e, rc);
		lade_pipe_close_all(e);
		e->from->close(e);
	}
	lade_pipe_observe_end(e);
	return rc;
}

static const struct lade_pipe_source_ops *const sources[] = {
	[LADE_SOURCE_NONE] = &lade_pipe_files,
	[LADE_SOURCE_FILE] = &lade_pipe_files,
	[LADE_SOURCE_STDIN] = &lade_pipe_files,
	[LADE_SOURCE_KAFKA] = &lade_pipe_from_kafka,
	[LADE_SOURCE_POSTGRES] = &lade_pipe_from_postgres,
};

static const struct lade_pipe_parts real_parts = {
	.steps = {
		[LADE_STEP_SQL] = &lade_pipe_sql,
		[LADE_STEP_HTTP] = &lade_pipe_http,
		[LADE_STEP_TRANSFORM] = &lade_pipe_transform,
		[LADE_STEP_PLUGIN] = &lade_pipe_plugin,
	},
	.sinks = {
		[LADE_SINK_SQLITE] = &lade_pipe_to_sqlite,
		[LADE_SINK_FILE] = &lade_pipe_to_file,
		[LADE_SINK_STDOUT] = &lade_pipe_to_file,
		[LADE_SINK_KAFKA] = &lade_pipe_to_kafka,
		[LADE_SINK_POSTGRES] = &lade_pipe_to_postgres,
	},
	.letters = &lade_pipe_to_file,
};

struct lade_pipe_engine *lade_pipe_engine_new(const struct lade_pipe_config *config,
					      const struct lade_pipe_parts *parts, FILE *log)
{
	struct lade_pipe_engine *e = calloc(1, sizeof(*e));

	if (!e)
		return NULL;
	e->config = config;
	e->parts = parts ? parts : &real_parts;
	e->from = e->parts->source ? e->parts->source : sources[config->source.kind];
	if (e->from == &lade_pipe_from_postgres && config->source.outbox)
		e->from = &lade_pipe_from_outbox;
	e->log = log;
	e->jitter = (uint64_t)lade_now().mono_ns;
	lade_event_init(&e->lane_moved);
	lade_event_init(&e->news);
	lade_event_init(&e->wanted);
	lade_event_init(&e->stop_reading);
	lade_sem_init(&e->keeping, 1);
	return e;
}

struct lade_pipe_engine *lade_pipe_engine_free(struct lade_pipe_engine *e)
{
	free(e);
	return NULL;
}

/* A run whose producer the brokers take nothing from any more leaves the group and begins anew, as
 * if it had been started again; in a minute the third time ends it.  Returns whether it does. */
static bool goes_on_anew(struct lade_pipe_engine *e, int64_t *before_last_ns)
{
	const int64_t now_ns = lade_now().mono_ns, before_ns = *before_last_ns;

	if (!e->anew || lade_stopping() || (before_ns && now_ns - before_ns < ANEW_NS))
		return false;
	*before_last_ns = now_ns;
	clear_live(e);
	lade_pipe_say(e, "%s; it begins anew", e->why);
	return lade_sleep(lade_ms(500)) == 0;
}

static struct lade_pipe_engine *run_anew(const struct lade_pipe_config *config, FILE *log,
					 bool live, bool quiet, int *ret)
{
	struct lade_pipe_stats stats = { 0 };
	int64_t when_ns[2] = { 0 }; /* it began anew, the last two times */

	for (unsigned n = 0;; n++) {
		struct lade_pipe_engine *e = lade_pipe_engine_new(config, NULL, log);

		if (!e)
			return NULL;
		e->stats = stats;
		e->live = live;
		e->quiet = quiet;
		e->observed = !lade_simulated();
		*ret = lade_pipe_engine_run(e);
		if (!goes_on_anew(e, &when_ns[n % 2]))
			return e;
		stats = e->stats;
		lade_pipe_engine_free(e);
	}
}

int lade_pipe_run(const struct lade_pipe_config *config, FILE *log, bool live, bool quiet,
		  int *ret_exit)
{
	int rc = 0;
	struct lade_pipe_engine *e = run_anew(config, log, live, quiet, &rc);

	if (!e)
		return -ENOMEM;
	clear_live(e);
	if (config->log_json && !quiet && e->stats.started_ns)
		lade_pipe_log_figures(e, "summary", lade_pipe_rate(e));
	if (config->log_json)
		lade_pipe_log_end(e);
	else if (!quiet && *e->nothing_new)
		fprintf(log, "%s: %s\n", config->name, e->nothing_new);
	else if (!quiet && e->stats.started_ns)
		lade_pipe_summary(e, log);
	if (!config->log_json)
		lade_pipe_print_why(e, log);
	*ret_exit = e->exit;
	lade_pipe_engine_free(e);
	return rc == -ENOMEM || rc == -ECANCELED ? rc : 0;
}

int lade_pipe_connect(const struct lade_pipe_config *config, FILE *log, int *ret_exit)
{
	struct lade_pipe_engine *e = lade_pipe_engine_new(config, NULL, log);
	int rc = 0;

	if (!e)
		return -ENOMEM;
	e->probing = true;
	lade_scope(s, &rc, .policy = LADE_ALL) {
		e->scope = &s;
		rc = lade_pipe_open_all(e);
		if (rc == 0)
			rc = e->from->open(e);
		lade_pipe_close_all(e);
		e->from->close(e);
	}
	lade_pipe_print_why(e, log);
	*ret_exit = rc == 0 ? LADE_EXIT_DONE : e->failed ? e->exit : LADE_EXIT_FAILED;
	lade_pipe_engine_free(e);
	return 0;
}

int lade_pipe_prepare(const struct lade_pipe_config *config, FILE *log, int *ret_exit)
{
	struct lade_pipe_engine *e = lade_pipe_engine_new(config, NULL, log);
	int rc = 0;

	if (!e)
		return -ENOMEM;
	e->probing = e->offline = true;
	lade_scope(s, &rc, .policy = LADE_ALL) {
		e->scope = &s;
		rc = open_stages(e);
		lade_pipe_close_all(e);
	}
	lade_pipe_print_why(e, log);
	*ret_exit = rc == 0 ? LADE_EXIT_DONE : e->failed ? e->exit : LADE_EXIT_FAILED;
	lade_pipe_engine_free(e);
	return 0;
}
