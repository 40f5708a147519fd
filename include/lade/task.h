/* SPDX-License-Identifier: MIT */
#ifndef LADE_TASK_H
#define LADE_TASK_H

/* task.h - any function becomes a task: lazy, typed, without an allocation.
 *
 * Functions follow one convention: arguments first, the result last through a pointer that is
 * written on success only, an int status (0 or more: success; less: -errno). LADE_TASK makes of
 * such a function a struct that keeps the arguments and later the value, and a constructor with
 * the function's own parameter list. Constructing starts nothing; lade_do is the same without a
 * name.
 *
 * Example:
 *	struct pg;
 *	struct user {
 *		long id;
 *	};
 *	int load_user(struct pg *db, long id, struct user *ret);
 *	LADE_TASK(load_user, struct user, (struct pg *, db), (long, id))
 *
 *	static inline struct load_user_task lazy(struct pg *db)
 *	{
 *		return load_user_task(db, 42);
 *	}
 */

#include <lade/layout.h>

LADE_API_BEGIN

/* LADE_NARG counts one to sixteen macro arguments. */
#define LADE_NARG(...)                                                                             \
	LADE_NARG_(__VA_ARGS__, 16, 15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0)
#define LADE_NARG_(a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, count, ...) count

/* A parameter is written (type, name); these spell it in its different roles. */
#define LADE_FIRST_(type, name) type name
#define LADE_NEXT_(type, name) , type name
#define LADE_FIELD_(type, name) type name;
#define LADE_KEEP_(type, name) lade_t->args.name = name;
#define LADE_PASS_(type, name) lade_t->args.name,
#define LADE_PASS_LAST_(type, name) lade_t->args.name
#define LADE_OPEN_(...) __VA_ARGS__

/* LADE_EACH_ and LADE_LIST_ apply M to each of none to eight parameters, side by side or with
 * commas between; without any they give @none. The list always ends in one more argument, so
 * that it is never empty. */
#define LADE_EACH_(none, M, ...)                                                                   \
	LADE_GLUE(LADE_EACH_, LADE_NARG(__VA_ARGS__))(none, M, __VA_ARGS__)
#define LADE_LIST_(none, M, ...)                                                                   \
	LADE_GLUE(LADE_LIST_, LADE_NARG(__VA_ARGS__))(none, M, __VA_ARGS__)
#define LADE_EACH_1(none, M, end) none
#define LADE_EACH_2(none, M, p1, end) M p1
#define LADE_EACH_3(none, M, p1, p2, end) M p1 M p2
#define LADE_EACH_4(none, M, p1, p2, p3, end) M p1 M p2 M p3
#define LADE_EACH_5(none, M, p1, p2, p3, p4, end) M p1 M p2 M p3 M p4
#define LADE_EACH_6(none, M, p1, p2, p3, p4, p5, end) M p1 M p2 M p3 M p4 M p5
#define LADE_EACH_7(none, M, p1, p2, p3, p4, p5, p6, end) M p1 M p2 M p3 M p4 M p5 M p6
#define LADE_EACH_8(none, M, p1, p2, p3, p4, p5, p6, p7, end) M p1 M p2 M p3 M p4 M p5 M p6 M p7
#define LADE_EACH_9(none, M, p1, p2, p3, p4, p5, p6, p7, p8, end)                                  \
	M p1 M p2 M p3 M p4 M p5 M p6 M p7 M p8
#define LADE_LIST_1(none, M, end) none
#define LADE_LIST_2(none, M, p1, end) M p1
#define LADE_LIST_3(none, M, p1, p2, end) M p1, M p2
#define LADE_LIST_4(none, M, p1, p2, p3, end) M p1, M p2, M p3
#define LADE_LIST_5(none, M, p1, p2, p3, p4, end) M p1, M p2, M p3, M p4
#define LADE_LIST_6(none, M, p1, p2, p3, p4, p5, end) M p1, M p2, M p3, M p4, M p5
#define LADE_LIST_7(none, M, p1, p2, p3, p4, p5, p6, end) M p1, M p2, M p3, M p4, M p5, M p6
#define LADE_LIST_8(none, M, p1, p2, p3, p4, p5, p6, p7, end)                                      \
	M p1, M p2, M p3, M p4, M p5, M p6, M p7
#define LADE_LIST_9(none, M, p1, p2, p3, p4, p5, p6, p7, p8, end)                                  \
	M p1, M p2, M p3, M p4, M p5, M p6, M p7, M p8

/* lade_null_result - ends the process: lade_do was given NULL for the result. */
__attribute__((noreturn, cold)) void lade_null_result(const struct lade_task *task);

/* The struct behind lade_do, which has no room for a value, and the named one. */
#define LADE_STRUCTS_(fn, T, fields)                                                               \
	struct fn##_do {                                                                           \
		struct lade_task head;                                                             \
		T *ret;                                                                            \
		struct {                                                                           \
			LADE_OPEN_ fields                                                          \
		} args;                                                                            \
	};                                                                                         \
	struct fn##_task {                                                                         \
		struct lade_task head;                                                             \
		T *ret;                                                                            \
		struct {                                                                           \
			LADE_OPEN_ fields                                                          \
		} args;                                                                            \
		T value;                                                                           \
	};

/* A task without a result: one struct serves both. */
#define LADE_VOID_STRUCTS_(fn, fields)                                                             \
	struct fn##_task {                                                                         \
		struct lade_task head;                                                             \
		struct {                                                                           \
			LADE_OPEN_ fields                                                          \
		} args;                                                                            \
	};

/* The thunks that read the options of LADE_TASK_WITH, each with its own types. */
#define LADE_WITH_(fn, with, pass)                                                                 \
	static inline void fn##_drop_kept(struct lade_task *lade_h)                                \
	{                                                                                          \
		struct fn##_task *lade_t = (struct fn##_task *)(void *)lade_h;                     \
		const struct fn##_with lade_w = { LADE_OPEN_ with };                               \
		(void)lade_t;                                                                      \
		if (lade_w.drop_args)                                                              \
			lade_w.drop_args(LADE_OPEN_ pass);                                         \
	}                                                                                          \
	static inline uint32_t fn##_stack_bytes(void)                                              \
	{                                                                                          \
		const struct fn##_with lade_w = { LADE_OPEN_ with };                               \
		return lade_w.stack_bytes;                                                         \
	}

#define LADE_VALUE_WITH_(fn, T, with, params, last)                                                \
	struct fn##_with {                                                                         \
		void (*dispose)(T *);                                                              \
		void (*drop_args)(LADE_OPEN_ params);                                              \
		uint32_t stack_bytes;                                                              \
	};                                                                                         \
	LADE_WITH_(fn, with, last)                                                                 \
	static inline bool fn##_dispose_value(struct lade_task *lade_h)                            \
	{                                                                                          \
		struct fn##_task *lade_t = (struct fn##_task *)(void *)lade_h;                     \
		const struct fn##_with lade_w = { LADE_OPEN_ with };                               \
		if (lade_w.dispose)                                                                \
			lade_w.dispose(lade_t->ret ? lade_t->ret : &lade_t->value);                \
		return lade_w.dispose;                                                             \
	}

#define LADE_VOID_WITH_(fn, with, params, last)                                                    \
	struct fn##_with {                                                                         \
		void (*drop_args)(LADE_OPEN_ params);                                              \
		uint32_t stack_bytes;                                                              \
	};                                                                                         \
	LADE_WITH_(fn, with, last)

/* The place and the size of a value, for the explorer; what 16 bits do not hold is cut. */
#define LADE_VALUE_AT_(fn)                                                                         \
	(offsetof(struct fn##_task, value) > 65535                                                 \
		 ? (uint16_t)0                                                                     \
		 : (uint16_t)offsetof(struct fn##_task, value))
#define LADE_VALUE_BYTES_(fn)                                                                      \
	(sizeof(((struct fn##_task *)0)->value) > 65535                                            \
		 ? (uint16_t)65535                                                                 \
		 : (uint16_t)sizeof(((struct fn##_task *)0)->value))

#define LADE_TYPE_(name, fn, dispose_fn, drop_fn, stack_fn, at, bytes)                             \
	__attribute__((unused)) static const struct lade_task_type name = {                        \
		fn##_run, dispose_fn, drop_fn, NULL, #fn, stack_fn, LADE_LAYOUT_VERSION,           \
		(uint16_t)(at), (uint16_t)(bytes),                                                 \
	};

/* A task by lade_do has a type of its own: without a result pointer it has no room for a value. */
#define LADE_TYPES_(fn, dispose_fn, drop_fn, stack_fn)                                             \
	LADE_TYPE_(fn##_type, fn, dispose_fn, drop_fn, stack_fn, LADE_VALUE_AT_(fn),               \
		   LADE_VALUE_BYTES_(fn))                                                          \
	LADE_TYPE_(fn##_do_type, fn, dispose_fn, drop_fn, stack_fn, 0, LADE_VALUE_BYTES_(fn))

#define LADE_VALUE_RUN_(fn, pass)                                                                  \
	__attribute__((unused)) static const struct lade_task_type fn##_type;                      \
	static inline int fn##_run(struct lade_task *lade_h)                                       \
	{                                                                                          \
		struct fn##_task *lade_t = (struct fn##_task *)(void *)lade_h;                     \
		if (!lade_t->ret && lade_h->type != &fn##_type)                                    \
			lade_null_result(lade_h);                                                  \
		return fn(LADE_OPEN_ pass lade_t->ret ? lade_t->ret : &lade_t->value);             \
	}

#define LADE_VOID_RUN_(fn, pass)                                                                   \
	static inline int fn##_run(struct lade_task *lade_h)                                       \
	{                                                                                          \
		struct fn##_task *lade_t = (struct fn##_task *)(void *)lade_h;                     \
		(void)lade_t;                                                                      \
		return fn(LADE_OPEN_ pass);                                                        \
	}

/* The constructors: fn_task() by value, fn_do_init() for lade_do. */
#define LADE_VALUE_MAKE_(fn, T, params, more, keep)                                                \
	__attribute__((unused, warn_unused_result)) static inline struct fn##_task fn##_task(      \
		LADE_OPEN_ params)                                                                 \
	{                                                                                          \
		struct fn##_task lade_it, *lade_t = &lade_it;                                      \
		lade_t->head = (struct lade_task){ .type = &fn##_type };                           \
		lade_t->ret = NULL;                                                                \
		/* No instruction: the value may be left unset, whatever the compiler suspects. */ \
		__asm__("" : "=m"(lade_t->value));                                                 \
		LADE_OPEN_ keep                                                                    \
		return lade_it;                                                                    \
	}                                                                                          \
	__attribute__((unused, warn_unused_result)) static inline struct fn##_do *fn##_do_init(    \
		struct fn##_do *lade_t LADE_OPEN_ more, T lade_ret[static 1])                      \
	{                                                                                          \
		lade_t->head.type = &fn##_do_type;                                                 \
		lade_t->ret = lade_ret;                                                            \
		LADE_OPEN_ keep                                                                    \
		return lade_t;                                                                     \
	}

#define LADE_VOID_MAKE_(fn, params, more, keep)                                                    \
	__attribute__((unused, warn_unused_result)) static inline struct fn##_task fn##_task(      \
		LADE_OPEN_ params)                                                                 \
	{                                                                                          \
		struct fn##_task lade_it, *lade_t = &lade_it;                                      \
		lade_t->head = (struct lade_task){ .type = &fn##_type };                           \
		LADE_OPEN_ keep                                                                    \
		return lade_it;                                                                    \
	}                                                                                          \
	struct fn##_do {                                                                           \
		struct fn##_task task;                                                             \
		void *ret; /* none; lade_do clears it as it does a real one */                     \
	};                                                                                         \
	__attribute__((unused, warn_unused_result)) static inline struct fn##_task *fn##_do_init(  \
		struct fn##_do *lade_do LADE_OPEN_ more)                                           \
	{                                                                                          \
		struct fn##_task *lade_t = &lade_do->task;                                         \
		lade_t->head.type = &fn##_type;                                                    \
		LADE_OPEN_ keep                                                                    \
		return lade_t;                                                                     \
	}

/* The four shapes, over the parameters spelled in their roles. */
#define LADE_TASK_ALL_(fn, T, fields, params, more, pass, keep)                                    \
	LADE_STRUCTS_(fn, T, fields)                                                               \
	LADE_VALUE_RUN_(fn, pass)                                                                  \
	LADE_TYPES_(fn, NULL, NULL, NULL)                                                          \
	LADE_VALUE_MAKE_(fn, T, params, more, keep)

#define LADE_TASK_WITH_ALL_(fn, T, with, fields, params, more, pass, last, keep)                   \
	LADE_STRUCTS_(fn, T, fields)                                                               \
	LADE_VALUE_WITH_(fn, T, with, params, last)                                                \
	LADE_VALUE_RUN_(fn, pass)                                                                  \
	LADE_TYPES_(fn, fn##_dispose_value, fn##_drop_kept, fn##_stack_bytes)                      \
	LADE_VALUE_MAKE_(fn, T, params, more, keep)

#define LADE_TASK_VOID_ALL_(fn, fields, params, more, pass, keep)                                  \
	LADE_VOID_STRUCTS_(fn, fields)                                                             \
	LADE_VOID_RUN_(fn, pass)                                                                   \
	LADE_TYPE_(fn##_type, fn, NULL, NULL, NULL, 0, 0)                                          \
	LADE_VOID_MAKE_(fn, params, more, keep)

#define LADE_TASK_VOID_WITH_ALL_(fn, with, fields, params, more, pass, keep)                       \
	LADE_VOID_STRUCTS_(fn, fields)                                                             \
	LADE_VOID_WITH_(fn, with, params, pass)                                                    \
	LADE_VOID_RUN_(fn, pass)                                                                   \
	LADE_TYPE_(fn##_type, fn, NULL, fn##_drop_kept, fn##_stack_bytes, 0, 0)                    \
	LADE_VOID_MAKE_(fn, params, more, keep)

#define LADE_FIELDS_(...) (LADE_EACH_(char none;, LADE_FIELD_, __VA_ARGS__))
#define LADE_PARAMS_(...) (LADE_LIST_(void, LADE_FIRST_, __VA_ARGS__))
#define LADE_MORE_(...) (LADE_EACH_(, LADE_NEXT_, __VA_ARGS__))
#define LADE_PASSED_(...) (LADE_EACH_(, LADE_PASS_, __VA_ARGS__))
#define LADE_PASSED_LAST_(...) (LADE_LIST_(, LADE_PASS_LAST_, __VA_ARGS__))
#define LADE_KEPT_(...) (LADE_EACH_(lade_t->args.none = 0;, LADE_KEEP_, __VA_ARGS__))

#define LADE_TASK_(fn, T, ...)                                                                     \
	LADE_TASK_ALL_(fn, T, LADE_FIELDS_(__VA_ARGS__), LADE_PARAMS_(__VA_ARGS__),                \
		       LADE_MORE_(__VA_ARGS__), LADE_PASSED_(__VA_ARGS__), LADE_KEPT_(__VA_ARGS__))
#define LADE_TASK_WITH_(fn, T, with, ...)                                                          \
	LADE_TASK_WITH_ALL_(fn, T, with, LADE_FIELDS_(__VA_ARGS__), LADE_PARAMS_(__VA_ARGS__),     \
			    LADE_MORE_(__VA_ARGS__), LADE_PASSED_(__VA_ARGS__),                    \
			    LADE_PASSED_LAST_(__VA_ARGS__), LADE_KEPT_(__VA_ARGS__))
#define LADE_TASK_VOID_(fn, ...)                                                                   \
	LADE_TASK_VOID_ALL_(fn, LADE_FIELDS_(__VA_ARGS__), LADE_PARAMS_(__VA_ARGS__),              \
			    LADE_MORE_(__VA_ARGS__), LADE_PASSED_LAST_(__VA_ARGS__),               \
			    LADE_KEPT_(__VA_ARGS__))
#define LADE_TASK_VOID_WITH_(fn, with, ...)                                                        \
	LADE_TASK_VOID_WITH_ALL_(fn, with, LADE_FIELDS_(__VA_ARGS__), LADE_PARAMS_(__VA_ARGS__),   \
				 LADE_MORE_(__VA_ARGS__), LADE_PASSED_LAST_(__VA_ARGS__),          \
				 LADE_KEPT_(__VA_ARGS__))

/* LADE_TASK - LADE_TASK(function, result type, (type, name)...), none to eight parameters.
 *
 * Defines struct FUNCTION_task and its constructor FUNCTION_task(...). A parameter that is a
 * pointer to a function or an array needs a typedef. */
#define LADE_TASK(...) LADE_TASK_(__VA_ARGS__, ~)

/* LADE_TASK_VOID - LADE_TASK_VOID(function, (type, name)...), for a function without a result. */
#define LADE_TASK_VOID(...) LADE_TASK_VOID_(__VA_ARGS__, ~)

/* LADE_TASK_WITH - LADE_TASK_WITH(function, result type, (options), (type, name)...).
 *
 * Options, each may be left out: .dispose = void (*)(type *): gives back a value that nobody
 * claims; .drop_args = void (*)(the function's parameters): gives up the arguments of a task that
 * never ran; .stack_bytes: the stack that this function needs. Neither callback may suspend. */
#define LADE_TASK_WITH(...) LADE_TASK_WITH_(__VA_ARGS__, ~)

/* LADE_TASK_VOID_WITH - LADE_TASK_WITH without a result: no .dispose. */
#define LADE_TASK_VOID_WITH(...) LADE_TASK_VOID_WITH_(__VA_ARGS__, ~)

/* lade_do - lade_do(function, arguments..., &ret): a pointer to an unnamed task of this block.
 *
 * Goes wherever a task's address goes. The result is written straight into ret, on success only.
 * ret is not NULL: the compiler refuses a NULL that it sees, any other ends the process when the
 * task runs, naming its start.
 * Suspends: no.  Owns: nothing; the task lives until the enclosing block ends. */
#define lade_do(...) LADE_GLUE(LADE_DO_, LADE_GLUE(LADE_MANY_, LADE_NARG(__VA_ARGS__)))(__VA_ARGS__)
#define LADE_DO_ONE(fn) fn##_do_init(&(struct fn##_do){ .ret = NULL })
#define LADE_DO_MORE(fn, ...) fn##_do_init(&(struct fn##_do){ .ret = NULL }, __VA_ARGS__)
#define LADE_MANY_1 ONE
#define LADE_MANY_2 MORE
#define LADE_MANY_3 MORE
#define LADE_MANY_4 MORE
#define LADE_MANY_5 MORE
#define LADE_MANY_6 MORE
#define LADE_MANY_7 MORE
#define LADE_MANY_8 MORE
#define LADE_MANY_9 MORE
#define LADE_MANY_10 MORE

/* lade_value - the value of a named task that succeeded, as an lvalue.
 *
 * Ends the process, naming both places, if the task did not end with a status of 0 or more.
 * Suspends: no.  Threads: its loop's.  Owns: the value stays the task's. */
#define lade_value(...)                                                                            \
	(*(lade_value_at(&(__VA_ARGS__)->head, LADE_SITE), &(__VA_ARGS__)->value))
void lade_value_at(const struct lade_task *task, const char *site);

/* lade_status - the status of a task that has ended; -EINPROGRESS while it runs or waits.
 *
 * Suspends: no.  Threads: its loop's. */
#define lade_status(...) lade_status_at(&(__VA_ARGS__)->head, LADE_SITE)
int lade_status_at(const struct lade_task *task, const char *site);

/* lade_wait - waits until a started task has ended, whatever its status; any number of times.
 *
 * Returns 0: it has ended; -ECANCELED: the waiting task's own cancel.
 * Suspends: yes.  Threads: its loop's. */
#define lade_wait(...) lade_wait_at(&(__VA_ARGS__)->head, LADE_SITE)
lade_suspends int lade_wait_at(struct lade_task *task, const char *site);

/* lade_start - lade_start(&scope, &task): starts a named task as a child of a scope.
 *
 * Cannot fail: in a cancelled scope the task ends with -ECANCELED without running, and with
 * -ENOMEM if no stack can be had. The task is declared before the scope.
 * Suspends: no.  Threads: the scope's loop's. */
#define lade_start(s, ...) lade_start_at((s), &(__VA_ARGS__)->head, LADE_SITE)
__attribute__((nonnull(1))) void lade_start_at(struct lade_scope *scope, struct lade_task *task,
					       const char *site);

/* lade_start_daemon - lade_start for a child that serves the others: it is cancelled when the
 * last ordinary child and the body have ended, and is still waited for.
 *
 * Suspends: no.  Threads: the scope's loop's. */
#define lade_start_daemon(s, ...) lade_start_daemon_at((s), &(__VA_ARGS__)->head, LADE_SITE)
__attribute__((nonnull(1))) void lade_start_daemon_at(struct lade_scope *scope,
						      struct lade_task *task, const char *site);

/* lade_spawn - lade_spawn(&scope, function_task(arguments...)): starts a task that nobody names.
 *
 * The task is copied to the top of its own new stack. Waits while the scope's max_children
 * (10,000 unless set) are alive.
 * Returns 0, or -ECANCELED after running the task's .drop_args.
 * Suspends: yes.  Threads: the scope's loop's. */
#define lade_spawn(s, ...)                                                                         \
	lade_spawn_at((s), &((__typeof__(__VA_ARGS__)[1]){ __VA_ARGS__ })->head,                   \
		      sizeof(__typeof__(__VA_ARGS__)), LADE_SITE)
lade_suspends __attribute__((nonnull(1))) int lade_spawn_at(struct lade_scope *scope,
							    struct lade_task *task,
							    size_t bytes, const char *site);

/* lade_cancel - lade_cancel(&scope_or_task, grace): asks it, and all below it, to end.
 *
 * A soft phase first (lade_stopping() is true), the hard one after @grace; with a grace of 0, or
 * without one, it is hard at once. Irrevocable; a later call may only make it harder or shorten
 * the grace. Of a task that has ended: nothing; of one not yet started: it will end with
 * -ECANCELED without running.
 * Suspends: no.  Threads: its loop's. */
#define lade_cancel(...) LADE_GLUE(LADE_CANCEL_, LADE_NARG(__VA_ARGS__))(__VA_ARGS__)
#define LADE_CANCEL_1(x) LADE_CANCEL_2(x, lade_ns(0))
#define LADE_CANCEL_2(x, grace)                                                                    \
	_Generic(&(x)->head, struct lade_task *: lade_cancel_task_at,                              \
		 struct lade_node *: lade_cancel_scope_at)(&(x)->head, (grace), LADE_SITE)
void lade_cancel_task_at(struct lade_task *task, struct lade_duration grace, const char *site);
void lade_cancel_scope_at(struct lade_node *scope, struct lade_duration grace, const char *site);

/* lade_yield - lets the other ready tasks run.
 *
 * Returns 0, or -ECANCELED.  Suspends: yes.  Threads: inside a task only. */
#define lade_yield() lade_yield_at(LADE_SITE)
lade_suspends int lade_yield_at(const char *site);

/* lade_sleep - waits for a duration.
 *
 * Returns 0 when it has passed, or -ECANCELED.  Suspends: yes.  Threads: inside a task only. */
#define lade_sleep(...) lade_sleep_until_at(lade_in(__VA_ARGS__), LADE_SITE)

/* lade_sleep_until - waits for an instant; returns at once if it has passed.
 *
 * Returns 0, or -ECANCELED.  Suspends: yes.  Threads: inside a task only. */
#define lade_sleep_until(...) lade_sleep_until_at((__VA_ARGS__), LADE_SITE)
lade_suspends int lade_sleep_until_at(struct lade_instant when, const char *site);

/* lade_task_name - the name of the running task's function, "" outside any task.
 *
 * Suspends: no.  Threads: any. */
const char *lade_task_name(void);

LADE_API_END

#endif
