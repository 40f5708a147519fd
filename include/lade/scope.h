/* SPDX-License-Identifier: MIT */
#ifndef LADE_SCOPE_H
#define LADE_SCOPE_H

/* scope.h - blocks that own tasks, deadlines, shields, cleanups, and why one is cancelled. */

#include <lade/layout.h>

LADE_API_BEGIN

/* What a block does when a child fails. */
enum lade_policy {
	LADE_FAIL_FAST, /* the first failure cancels the other children and the body */
	LADE_ALL	/* failures stay with their tasks and cancel nobody */
};

/* Options of lade_scope; what is left out has its default. */
struct lade_scope_config {
	int *rc;		       /* the block's result; written before the block is left */
	enum lade_policy policy;       /* LADE_FAIL_FAST unless set */
	uint32_t max_children;	       /* lade_spawn waits while as many live; 0: 10,000 */
	struct lade_duration cleanup;  /* budget of the cleanups inside; 0: the outer one's (5 s) */
};

/* lade_scope - lade_scope(s, &rc, options...) { … }: a block that owns the tasks started in it.
 *
 * Reaching the end of the block waits for its children; leaving it early (break, return, goto)
 * cancels them and waits. The outcome is in rc after the block: the first failure of a child or of
 * the body (rc < 0 at the end), else the body's rc; with .policy = LADE_ALL the body's rc alone.
 * break leaves this block only; a function's last statement is never such a block.
 * Suspends: at its end, for as long as its children take.  Threads: inside a task only.
 * Owns: its children; objects that they use are declared before the block. */
#define lade_scope(s, ...)                                                                         \
	for (struct lade_scope s __attribute__((cleanup(lade_scope_leave))),                       \
	     *s##_open = lade_scope_open(&s, &(struct lade_scope_config){ .rc = __VA_ARGS__ },     \
					 LADE_SITE);                                               \
	     s##_open; s##_open = lade_scope_end(&s, LADE_SITE))

/* lade_scope_open - how a lade_scope block begins.
 *
 * Suspends: no.  Threads: inside a task only. */
struct lade_scope *lade_scope_open(struct lade_scope *scope, const struct lade_scope_config *config,
				   const char *site);

/* lade_scope_end - how a lade_scope block ends when its body has reached the end.
 *
 * Suspends: yes, until the children have ended.  Threads: inside a task only. */
struct lade_scope *lade_scope_end(struct lade_scope *scope, const char *site);

/* lade_scope_leave - how a lade_scope block ends when it is left early; else nothing is left to do.
 *
 * Suspends: yes, until the children have ended.  Threads: inside a task only. */
void lade_scope_leave(struct lade_scope *scope);

/* lade_within - lade_within(duration, expression): a deadline round an expression of type int,
 * in the same task.
 *
 * Returns the expression's value, or -ETIME if it was -ECANCELED because this deadline fired.
 * A time-out that passes while the expression does not suspend changes nothing (rule 10).
 * Suspends: as the expression does.  Threads: inside a task only. */
#define lade_within(d, ...) lade_until(lade_in(d), __VA_ARGS__)

/* lade_until - lade_until(instant, expression): lade_within with an instant.
 *
 * Returns and suspends as lade_within does.  Threads: inside a task only. */
#define lade_until(t, ...)                                                                         \
	lade_within_close(lade_within_begin(&(struct lade_node){ 0 }, (t), LADE_SITE)              \
				  ? (__VA_ARGS__)                                                  \
				  : 0)

/* lade_within_open - opens the deadline of lade_within.
 *
 * Suspends: no.  Threads: inside a task only. */
void lade_within_open(struct lade_node *node, struct lade_instant deadline, const char *site);

/* lade_within_begin - lade_within_open, as the condition of what follows it; always true.
 *
 * With a comma in its place gcc would answer a wrong argument with a second error.
 * Suspends: no.  Threads: inside a task only. */
__attribute__((always_inline)) static inline bool
lade_within_begin(struct lade_node *node, struct lade_instant deadline, const char *site)
{
	lade_within_open(node, deadline, site);
	return true;
}

/* lade_within_close - closes the innermost deadline and turns its own -ECANCELED into -ETIME.
 *
 * Suspends: no.  Threads: inside a task only. */
lade_suspends int lade_within_close(int rc);

/* lade_shield - lade_shield(budget) { … }: defers requests from outside while the block runs.
 *
 * Deadlines, joins and races inside go on working. The budget is finite; it runs from the first
 * deferred request that is hard (a soft one delivers nothing, and may be followed by a long grace)
 * and is bounded by an outer shield's remainder. When it is over the loop's
 * report function is told the block's place, and the request is delivered inside.
 * Suspends: no; leaving it is not a suspension point.  Threads: inside a task only. */
#define lade_shield(...) LADE_SHIELD_(LADE_GLUE(lade_shield_, __COUNTER__), __VA_ARGS__)
#define LADE_SHIELD_(name, ...) LADE_SHIELD_BLOCK_(name, __VA_ARGS__)
#define LADE_SHIELD_BLOCK_(name, ...)                                                              \
	for (struct lade_node name __attribute__((cleanup(lade_shield_leave))),                    \
	     *name##_open = lade_shield_open(&name, (__VA_ARGS__), LADE_SITE);                     \
	     name##_open; name##_open = NULL)

/* lade_shield_open - how a lade_shield block begins.
 *
 * Suspends: no.  Threads: inside a task only. */
struct lade_node *lade_shield_open(struct lade_node *node, struct lade_duration budget,
				   const char *site);

/* lade_shield_leave - how a lade_shield block ends.  Suspends: no.  Threads: inside a task only. */
void lade_shield_leave(struct lade_node *node);

/* A cleanup that waits for its block's end. */
struct lade_deferred {
	void (*fn)(void *);
	void *arg;
	const char *site;
};

/* lade_defer - lade_defer(fn, pointer): calls fn(pointer) when the enclosing block is left.
 *
 * Exactly once, last in first out, in this task, inside an implicit shield with the scope's
 * cleanup budget. fn takes a void pointer and may suspend.
 * Suspends: no; the cleanup may.  Threads: inside a task only. */
#define lade_defer(fn, ...)                                                                        \
	__attribute__((cleanup(lade_deferred_run), unused)) struct lade_deferred LADE_GLUE(        \
		lade_deferred_, __COUNTER__) = { (fn), (__VA_ARGS__), LADE_SITE }

/* lade_deferred_run - runs a cleanup that lade_defer kept.  Suspends: as it does. */
void lade_deferred_run(struct lade_deferred *deferred);

/* LADE_CLEANUP - LADE_CLEANUP(type, fn), at file scope: makes fn(type *) a cleanup for
 * lade_cleanup(fn); the type is that of the variable. */
#define LADE_CLEANUP(type, fn)                                                                     \
	static inline void fn##_cleanup(type *lade_it)                                             \
	{                                                                                          \
		struct lade_node lade_n;                                                           \
		lade_cleanup_open(&lade_n, LADE_SITE);                                             \
		fn(lade_it);                                                                       \
		lade_cleanup_close(&lade_n);                                                       \
	}

/* lade_cleanup - lade_cleanup(fn) type variable = …: runs fn(&variable) at the block's end, once,
 * inside an implicit shield, as lade_defer does. */
#define lade_cleanup(fn) __attribute__((cleanup(fn##_cleanup)))

/* lade_cleanup_open - opens the shield round a cleanup; outside a task: nothing.  Suspends: no. */
void lade_cleanup_open(struct lade_node *node, const char *site);

/* lade_cleanup_close - closes the shield round a cleanup.  Suspends: no. */
void lade_cleanup_close(struct lade_node *node);

/* lade_no_suspend - lade_no_suspend { … }: a suspending call inside it ends the process, naming
 * both places. Wraps what must not be left half done: callbacks of foreign libraries.
 *
 * Suspends: no.  Threads: any; outside a task it does nothing. */
#define lade_no_suspend LADE_NO_SUSPEND_(LADE_GLUE(lade_no_suspend_, __COUNTER__))
#define LADE_NO_SUSPEND_(name) LADE_NO_SUSPEND_BLOCK_(name)
#define LADE_NO_SUSPEND_BLOCK_(name)                                                               \
	for (const char *name __attribute__((cleanup(lade_no_suspend_leave))) =                    \
		     lade_no_suspend_open(LADE_SITE),                                              \
		     *name##_once = name;                                                          \
	     name##_once; name##_once = NULL)

/* lade_no_suspend_open - how a lade_no_suspend block begins.  Suspends: no. */
const char *lade_no_suspend_open(const char *site);

/* lade_no_suspend_leave - how a lade_no_suspend block ends.  Suspends: no. */
void lade_no_suspend_leave(const char **site);

/* lade_stopping - whether the running task is asked to end, softly or hard, from outside its
 * innermost shield.
 *
 * Suspends: no.  Threads: any; outside a task: false. */
bool lade_stopping(void);

/* lade_cancelled - whether the next suspending call of the running task returns -ECANCELED.
 *
 * Suspends: no.  Threads: any; outside a task: false. */
bool lade_cancelled(void);

/* lade_why - why the running task is asked to end: the first request on the innermost scope that
 * has one. A task that lost a race or whose sibling failed is told so; of any other request on a
 * scope of another task the kind is LADE_REASON_PARENT, and root says what it was there. In a
 * cleanup or shield it is the request that is held back.
 *
 * After a lade_within returned -ETIME: which deadline fired, until the next request or deadline.
 * Returns .kind LADE_REASON_NONE if nothing asks.  Suspends: no.  Threads: inside a task only. */
struct lade_reason lade_why(void);

/* lade_cancel_handled - says that the running task knows of its cancel and goes on by intent: the
 * explorer does not take it for one that swallows it. Nothing else comes of it.
 *
 * Suspends: no.  Threads: inside a task only. */
void lade_cancel_handled(void);

/* lade_reason_name - "deadline", "race lost", …: a reason's kind in words.
 *
 * Suspends: no.  Threads: any. */
const char *lade_reason_name(enum lade_reason_kind kind);

/* A key of values that are inherited by scope; its address is what counts. */
struct lade_key {
	const char *name; /* for dumps */
};

/* lade_scope_set - keeps a value for everything below a scope: a trace id, a tenant.
 *
 * Returns 0; -ENOSPC: the scope holds LADE_SCOPE_VALUES others.
 * Suspends: no.  Threads: the scope's loop's.  Owns: the value stays the caller's. */
int lade_scope_set(struct lade_scope *scope, const struct lade_key *key, void *value);

/* lade_scope_get - the value that the nearest enclosing scope keeps for a key, or NULL.
 *
 * Suspends: no.  Threads: inside a task only. */
void *lade_scope_get(const struct lade_key *key);

LADE_API_END

#endif
