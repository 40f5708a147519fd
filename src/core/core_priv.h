/* SPDX-License-Identifier: MIT */
#ifndef LADE_CORE_PRIV_H
#define LADE_CORE_PRIV_H

/* core_priv.h - what the files of core, and the layers above it, share about tasks and loops.
 *
 * The words: a *task* is the user's struct; its *control block* (ctl) is the running side, at the
 * top of the task's own stack; a *node* is one link of a task's chain of scopes; a *scope* is a
 * node that has children; an *op* is one wait of one task. */

#include "base/heap.h"
#include "base/list.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>

#include <lade/layout.h>
#include <lade/loop.h>
#include <lade/park.h>
#include <lade/scope.h>
#include <lade/task.h>

#define lade_likely(x) __builtin_expect(!!(x), 1)
#define lade_unlikely(x) __builtin_expect(!!(x), 0)

enum node_kind {
	NODE_TASK,    /* a task's own scope */
	NODE_BLOCK,   /* lade_scope */
	NODE_GROUP,   /* a join, a race or a composite */
	NODE_WITHIN,  /* a deadline */
	NODE_SHIELD,  /* lade_shield */
	NODE_CLEANUP, /* the implicit shield of a cleanup */
};

enum level { LEVEL_NONE, LEVEL_SOFT, LEVEL_HARD };

enum {
	NODE_FIRED = 1,	   /* its own request was what made it hard */
	NODE_DEFERRED = 2, /* a shield that holds a request back, or one on another core: its
			    * budget runs */
	NODE_OPENED = 4,   /* a shield whose budget is over */
	NODE_GUEST = 16,   /* of a task from another core: it is asked from there alone */
	NODE_SPENT = 8,	   /* inside a shield whose budget is over: none is left for others */
};

enum scope_policy {
	POLICY_FAIL_FAST = LADE_FAIL_FAST,
	POLICY_ALL = LADE_ALL,
	POLICY_RACE_OK,
	POLICY_RACE,
};

enum scope_state { SCOPE_OPEN = 1, SCOPE_CLOSED };

enum task_state { TASK_LAZY, TASK_STARTED, TASK_ENDED };

enum {
	TASK_CANCELLED = 1,	 /* cancelled before it was started */
	TASK_DAEMON = 2,	 /* a daemon child */
	TASK_FORGIVEN = 4,	 /* its failure is not its parent's: cancelled by itself alone */
};

enum {
	GATE_CANCEL = 1,     /* a hard request holds */
	GATE_NO_SUSPEND = 2, /* inside lade_no_suspend */
	GATE_OUTSIDE = 4,    /* not a task */
	GATE_OBSERVED = 8,   /* the loop has an observer */
};

enum {
	CTL_QUEUED = 1,	    /* a composite in the ready queue */
	CTL_DELIVERING = 2, /* in the loop's list of tasks to be told of a request */
	CTL_TRIMMED = 8,    /* a free stack whose deep pages have been given back */
	CTL_PARKED = 16,    /* seen parked by the simulation */
	CTL_CANARY = 4,	    /* its stack has no guard: a word below it is checked instead */
};

/* What has become of an item of a channel; ITEM_CHANNEL_FREED: of none, the channel is no more. */
enum lade_item_fate { ITEM_SENT, ITEM_RECEIVED, ITEM_LEFT, ITEM_CHANNEL_FREED };

enum op_state { OP_NEW, OP_PARKED, OP_DONE };

/* Ties of the timer heap: what completes fires before what cancels. */
enum timer_class { TIMER_OP, TIMER_DEADLINE, TIMER_BUDGET };

#define LADE_STACK_BYTES_DEFAULT (256u << 10)
#define LADE_CHILDREN_MAX_DEFAULT 10000u
#define LADE_CLEANUP_NS_DEFAULT INT64_C(5000000000)
#define LADE_INLINE_BUDGET 64

struct lade_backend;
struct lade_cores;
struct lade_effect;
struct lade_event;
struct lade_io;
struct lade_place;
struct lade_pool;
struct lade_stacks;
struct lade_sys;

/* One loop: one core's tasks. Only its own thread touches it, but for the mailbox. */
struct lade_loop {
	struct lade_context context;	   /* the loop's own, on the thread's stack */
	struct lade_ctl *ready_head;	   /* tasks that can run, first in first out */
	struct lade_ctl *ready_tail;	   /* valid when ready_head is not NULL */
	uint64_t taken;			   /* turns given so far: entries taken from the queue */
	int inline_left;		   /* calls that may still complete without a switch */
	int inline_budget;		   /* what inline_left starts from */
	uint64_t queued;		   /* entries put into the queue so far */
	uint64_t turn_end;		   /* value of taken at which the loop looks at I/O */
	int64_t now_ns;			   /* the last clock reading */
	uint64_t now_cycles;		   /* the cycle counter at that reading */
	uint64_t timer_count;		   /* timers armed so far: the age that breaks ties */
	struct lade_heap timers;	   /* armed timers */
	struct lade_ctl *deliver;	   /* tasks to be told of a request */
	bool delivering;		   /* the list is being worked off */
	bool deadlines_waited;		   /* due deadlines have let a turn pass */
	struct lade_event *events;	   /* the flight recorder: where the next event goes */
	uintptr_t event_mask;		   /* all bits but that of the ring's size in bytes */
	int64_t event_ns;		   /* the time that was recorded last */
	struct lade_stacks *stacks;	   /* pool of task stacks */
	const struct lade_backend *backend; /* clock and waiting */
	int refused;			   /* -errno of a better back end that was refused, or 0 */
	void *backend_data;		   /* the back end's own */
	int wake_fd;			   /* eventfd that makes poll return; -1: no outside */
	struct lade_mail *_Atomic mailbox; /* what other threads tell it, latest first */
	bool asleep;			   /* the mailbox was marked: it sleeps, or is about to */
	uint32_t wakes_owed;		   /* pushed on the mark: a write to wake_fd each */
	uint32_t wakes_heard;		   /* those that have been read from it */
	uint32_t spin_pause;		   /* sleeps before it looks for mail again first */
	struct lade_cores *cores;	   /* the loops that it is one of, or NULL: alone so far */
	uint32_t core;			   /* its number among them */
	uint32_t stacks_max;		   /* of its configuration, for the other cores */
	uint32_t cores_wanted;		   /* so many there will be; 0: as the system says */
	bool dismissed;			   /* a core's: nothing more will come from outside */
	pthread_t thread;		   /* whose loop it is */
	void (*on_wake)(struct lade_loop *); /* called after each wake-up from outside, or NULL */
	struct lade_place *place;	   /* in the table of loops, or NULL: it was full */
	struct lade_loop *first;	   /* of the program's loops: core 0's; itself if alone */
	struct lade_pool *_Atomic pool;	   /* of the first: threads for blocking calls, or NULL */
	void (*pool_end)(struct lade_loop *); /* ends the pool; set by whoever made it */
	_Atomic uint32_t lookups_left_behind; /* of the first: whose tasks have gone */
	struct lade_link pool_places;	   /* ops of tasks that wait for a place in the pool */
	uint32_t pool_inside;		   /* calls of tasks in the pool, queued or running */
	uint32_t watches_leaving;	   /* closed, but the kernel has not let go yet */
	struct lade_scope root;		   /* parent of the tasks started on the loop */
	uint64_t tasks_started;		   /* counts tasks, gives them numbers */
	uint64_t random;		   /* state of the generator for fair selects; not 0 */
	struct lade_observer *observer;	   /* or NULL */
	uint32_t gate;			   /* GATE_OBSERVED or 0: with which tasks start */
	void (*report)(void *arg, const char *message);
	void *report_arg;
	void *san_thread;		   /* the sanitizer's handle, or end, of the thread */
	size_t san_bytes;		   /* the thread's stack size, where a sanitizer asks */
};

/* Who is told what the tasks of a loop do, and may interfere: the explorer. The calls are made in
 * the task's own context unless they say otherwise, and do not suspend. */
struct lade_observer {
	const char *site; /* of the latest suspending call that it was told of */
	/* A task has its turn, or, with NULL, has had it; called by the loop. */
	void (*turn)(struct lade_observer *o, struct lade_ctl *ctl);
	/* A suspending call begins; a request made here is answered by this very call. */
	void (*entered)(struct lade_observer *o, struct lade_ctl *ctl, const char *site);
	/* A task has parked; called by the loop. */
	void (*parked)(struct lade_observer *o, struct lade_ctl *ctl);
	/* What a task was parked on is complete and it will run now; called by the loop. */
	void (*resumes)(struct lade_observer *o, struct lade_ctl *ctl);
	/* A call returns -ECANCELED because of a request; also called by the loop. */
	void (*delivered)(struct lade_observer *o, struct lade_ctl *ctl);
	/* What delivered told of has not come about: the operation was first after all. */
	void (*outran)(struct lade_observer *o, struct lade_ctl *ctl);
	/* A task says that it knows of its cancel. */
	void (*handled)(struct lade_observer *o, struct lade_ctl *ctl);
	/* A task ends. */
	void (*ended)(struct lade_observer *o, struct lade_ctl *ctl, int status);
	/* Something outside the process has been done; also called by the loop. */
	void (*effect)(struct lade_observer *o, const struct lade_effect *effect);
	/* Permits of a semaphore were taken, or given back (less than 0); 0: it was made. May be
	 * NULL. */
	void (*permits)(struct lade_observer *o, const void *semaphore, int64_t count);
	/* A channel was made; @left tells item() of each that is in it. Returns the number by which
	 * item() knows it, 0: it need not be told of it. May be NULL. */
	uint32_t (*channel)(struct lade_observer *o, void *channel, void (*left)(void *channel));
	/* A call has reported an item of a channel as sent, or has given it out; also called
	 * outside tasks, and of a channel that is no more. @hash: of the item's bytes. */
	void (*item)(struct lade_observer *o, uint32_t channel, enum lade_item_fate fate,
		     uint64_t hash);
	/* A descriptor is closed that is not open. */
	void (*closed_twice)(struct lade_observer *o);
	/* An operation is about to be tried: 0, or the -errno with which it fails instead. */
	int (*fault)(struct lade_observer *o, const char *what);
	/* Whether a cancel comes too late for what a task waits for, so that it completes; called
	 * by the loop. */
	bool (*too_late)(struct lade_observer *o, const struct lade_ctl *ctl);
};

/* A back end: a clock and a way to wait. */
struct lade_backend {
	const char *name;
	int (*open)(struct lade_loop *loop);   /* 0 or -errno */
	void (*close)(struct lade_loop *loop); /* after the last task */
	int64_t (*now)(struct lade_loop *loop); /* monotonic, ns */
	/* Completes ops whose events have come; waits for one until @until_ns at the latest
	 * (0: not at all, INT64_MAX: without limit). Returns 0, or -EDEADLK: nothing can come. */
	int (*poll)(struct lade_loop *loop, int64_t until_ns);
	/* Begins an operation: 0, and the op will be completed; -EOPNOTSUPP, -ENOMEM, -EBADF. */
	int (*start)(struct lade_loop *loop, struct lade_io *io);
	/* Calls it off, as abort() of an op does. */
	enum lade_abort_result (*abort)(struct lade_loop *loop, struct lade_io *io);
	/* Runs what is ready, in an order of its own; NULL: lade_enter_tasks. */
	void (*run)(struct lade_loop *loop);
	/* A descriptor that is readable when poll has something to do; NULL: there is none. */
	int (*fd)(const struct lade_loop *loop);
	/* How long the next call on the pool takes, or name look-up; NULL: no time. */
	int64_t (*pool_ns)(struct lade_loop *loop, bool name);
	const struct lade_sys *sys; /* who answers system calls; NULL: the kernel */
	bool exact; /* the clock moves only in poll: readings need no second look */
};

extern const struct lade_backend lade_backend_virtual;

/* lade_cur is the running task's control block; outside any task, a stand-in whose gate is shut. */
extern __thread struct lade_ctl *lade_cur __attribute__((tls_model("initial-exec")));
extern struct lade_ctl lade_outside;

/* lade_misuse - ends the process with one message, which names the places of a mistake. */
__attribute__((noreturn, format(printf, 1, 2))) void lade_misuse(const char *format, ...);

/* lade_report - hands a message to the loop's report function, if it has one. */
__attribute__((format(printf, 2, 3))) void lade_report(struct lade_loop *loop, const char *format,
						       ...);

/* dump.c */

/* lade_dump_loop - lade_dump of a loop that is not running a task. */
void lade_dump_loop(struct lade_loop *loop, int fd);

/* loop.c */

/* lade_turn - one turn of a loop; @may_wait: it sleeps when it has nothing to do. */
void lade_turn(struct lade_loop *loop, bool may_wait);

/* lade_close_loop - lade_loop_free but for the memory, which others may look at once more. */
void lade_close_loop(struct lade_loop *loop);

/* lade_loop_now - the loop's time, at most 50 us old. */
int64_t lade_loop_now(struct lade_loop *loop);

/* lade_timer_start - arms an idle timer. */
void lade_timer_start(struct lade_loop *loop, struct lade_timer *timer, int64_t at_ns,
		      enum timer_class class, void (*fire)(struct lade_timer *));

/* lade_timer_stop - disarms a timer; nothing if it is not armed. */
static inline void lade_timer_stop(struct lade_loop *loop, struct lade_timer *timer)
{
	if (lade_timer_armed(timer))
		lade_heap_remove(&loop->timers, timer);
}

/* mailbox.c */

/* lade_mail_send - has a loop take a mail; from any thread or signal handler. */
void lade_mail_send(struct lade_loop *loop, struct lade_mail *mail);

/* lade_mail_sleep - says that the loop will sleep.  Returns false if it must not: there is mail. */
bool lade_mail_sleep(struct lade_loop *loop);

/* lade_mail_take - takes what has come, in order of sending. */
void lade_mail_take(struct lade_loop *loop);

/* lade_callback_begin - lets a callback outside any task see its loop, and nobody suspend. */
void lade_callback_begin(struct lade_ctl *stand_in, struct lade_loop *loop, const char *site);

/* lade_callback_end - the end of what lade_callback_begin began. */
void lade_callback_end(void);

/* switch.c */

/* lade_ready - puts a task, or a composite, at the end of the ready queue. */
static inline void lade_ready(struct lade_ctl *ctl)
{
	struct lade_loop *loop = ctl->loop;

	ctl->ready_next = NULL;
	if (loop->ready_head)
		loop->ready_tail->ready_next = ctl;
	else
		loop->ready_head = ctl;
	loop->ready_tail = ctl;
	loop->queued++;
}

/* lade_leave - switches from the running task to the next that can run, or to the loop; returns
 * when the task is run again. The caller has put it where it will be found. */
void lade_leave(struct lade_ctl *ctl);

/* lade_enter_tasks - the loop's side: runs tasks until the queue is empty or the turn is over. */
void lade_enter_tasks(struct lade_loop *loop);

/* park.c */

/* lade_gate_closed - what a gate that is not 0 means for a suspending call: 0, it may go on;
 * -ECANCELED; or the process ends. */
int lade_gate_closed(struct lade_ctl *ctl, const char *site);

/* lade_take_turn - lets the others run when the inline budget is spent.  Returns 0, or
 * -ECANCELED. */
int lade_take_turn(struct lade_ctl *ctl);

/* lade_enter - the first line of every suspending call: 0, or -ECANCELED. */
static inline int lade_enter(const char *site)
{
	struct lade_ctl *ctl = lade_cur;

	if (lade_unlikely(ctl->gate) && lade_gate_closed(ctl, site) < 0)
		return -ECANCELED;
	if (lade_unlikely(--ctl->loop->inline_left < 0))
		return lade_take_turn(ctl);
	return 0;
}

/* lade_op_wait - parks the running task on an op until it is complete; the entry test is done.
 * Returns the op's result, which is -ECANCELED when abort() answered ABORTED. */
int lade_op_wait(struct lade_op *op);

/* lade_op_init - makes an op; the fields that parking sets are left alone. */
static inline void lade_op_init(struct lade_op *op, const char *what, const char *site,
				enum lade_abort_result (*abort)(struct lade_op *))
{
	op->abort = abort;
	op->soft = NULL;
	op->done = NULL;
	op->what = what;
	op->site = site;
}

/* lade_deliver - tells a parked task of the request that now holds for it. */
void lade_deliver(struct lade_ctl *ctl);

/* node.c; what every start, wait and end goes through is inlined */

/* lade_node_misplaced - ends the process: a node is closed that is not the innermost. */
__attribute__((noreturn, cold)) void lade_node_misplaced(const struct lade_node *node,
							  const char *site);

/* lade_is_shield - whether nodes of a kind hold back the requests from outside. */
static inline bool lade_is_shield(enum node_kind kind)
{
	return kind == NODE_SHIELD || kind == NODE_CLEANUP;
}

/* lade_node_init_root - sets what all nodes share, for one that has nothing outside. */
static inline __attribute__((always_inline)) void
lade_node_init_root(struct lade_node *node, struct lade_ctl *owner, enum node_kind kind,
		    const char *site)
{
	node->outer = NULL;
	node->inner = NULL;
	node->owner = owner;
	node->kind = (uint8_t)kind;
	node->level = LEVEL_NONE;
	node->eff = LEVEL_NONE;
	node->flags = 0;
	node->deadline_ns = INT64_MAX;
	node->cleanup_ns = LADE_CLEANUP_NS_DEFAULT;
	node->cleanup_end_ns = 0;
	node->timer.prev = NULL;
	node->site = site;
}

/* lade_node_init - the same for a node inside @outer, which gives it its eff and deadline. */
static inline __attribute__((always_inline)) void
lade_node_init(struct lade_node *node, struct lade_node *outer, struct lade_ctl *owner,
	       enum node_kind kind, const char *site)
{
	lade_node_init_root(node, owner, kind, site);
	node->outer = outer;
	node->cleanup_ns = outer->cleanup_ns;
	if (!lade_is_shield(kind)) {
		node->eff = outer->eff;
		node->flags = outer->flags & NODE_SPENT;
		node->deadline_ns = outer->deadline_ns;
	}
}

/* lade_node_open - makes a node the running task's innermost scope. */
static inline __attribute__((always_inline)) void
lade_node_open(struct lade_ctl *ctl, struct lade_node *node, enum node_kind kind,
	       const char *site)
{
	lade_node_init(node, ctl->scope, ctl, kind, site);
	ctl->scope->inner = node;
	ctl->scope = node;
}

/* lade_gate_set - brings a task's gate up to date with its innermost scope. */
static inline void lade_gate_set(struct lade_ctl *ctl)
{
	ctl->gate = (ctl->gate & ~(uint32_t)GATE_CANCEL) |
		    (ctl->scope->eff == LEVEL_HARD ? GATE_CANCEL : 0);
}

/* lade_node_close - takes the innermost node off the chain; a node that is not ends the process. */
static inline __attribute__((always_inline)) void
lade_node_close(struct lade_ctl *ctl, struct lade_node *node, const char *site)
{
	if (lade_unlikely(ctl->scope != node))
		lade_node_misplaced(node, site);
	lade_timer_stop(ctl->loop, &node->timer);
	ctl->scope = node->outer;
	ctl->scope->inner = NULL;
	lade_gate_set(ctl);
}

/* lade_budgets_end - when the first of the budgets is over that run in the shields from @node
 * outward; INT64_MAX: none runs; INT64_MIN: the nearest shield's is over. */
int64_t lade_budgets_end(const struct lade_node *node);

/* lade_shield_overrun - ends a shield's budget now. */
void lade_shield_overrun(struct lade_node *shield);

/* lade_reason_from - the request on the innermost scope that has one, from @node outward, behind
 * shields too: a shield holds the request back, not the reason. */
struct lade_reason lade_reason_from(const struct lade_node *node);

/* lade_outer_of - the node outside of this one, at home if the task is from another core; for loops
 * that are one, as in the simulation. */
const struct lade_node *lade_outer_of(const struct lade_node *node);

/* lade_request_for - asks a scope and all below it to end, for a reason that is kept if it is the
 * first; its instant is set here. */
void lade_request_for(struct lade_loop *loop, struct lade_node *node, enum level level,
		      const struct lade_reason *why);

/* lade_request - lade_request_for, with the reason's parts. */
void lade_request(struct lade_loop *loop, struct lade_node *node, enum level level,
		  enum lade_reason_kind kind, const char *site, const char *task);

/* lade_request_with_grace - lade_request, softly at first, and hard after @grace. */
void lade_request_with_grace(struct lade_loop *loop, struct lade_node *node,
			     struct lade_duration grace, enum lade_reason_kind kind,
			     const char *site);

/* scope.c */

/* lade_scope_init - makes a scope, its node apart, ready for children. */
static inline __attribute__((always_inline)) void
lade_scope_init(struct lade_scope *scope, struct lade_loop *loop, enum scope_policy policy)
{
	lade_list_init(&scope->children);
	lade_list_init(&scope->spawners);
	scope->live = scope->daemons = 0;
	scope->children_max = LADE_CHILDREN_MAX_DEFAULT;
	scope->policy = (uint8_t)policy;
	scope->state = SCOPE_OPEN;
	scope->member_count = 0;
	scope->first = scope->last = 0;
	scope->rc = NULL;
	scope->members = NULL;
	scope->waiter = NULL;
	scope->loop = loop;
}

/* lade_scope_await - waits until the scope has no child but daemons, or a race has a winner. */
void lade_scope_await(struct lade_scope *scope, const char *what, const char *site);

/* lade_hand_over_place - gives the place of an ended child to a task that waits for one. */
void lade_hand_over_place(struct lade_scope *scope);

/* lade_child_failed - what a child's failure does to its scope.  Returns whether it wins a race. */
bool lade_child_failed(struct lade_scope *scope, struct lade_task *task);

/* lade_wake_owner - wakes whoever waits for the scope: its owner, or its composite. */
static inline void lade_wake_owner(struct lade_scope *scope)
{
	struct lade_ctl *owner = scope->head.owner;

	if (scope->waiter) {
		lade_complete(scope->waiter, 0);
		scope->waiter = NULL;
	} else if (owner && !owner->context.sp && !(owner->flags & CTL_QUEUED)) {
		owner->flags |= CTL_QUEUED;
		lade_ready(owner);
	}
}

/* lade_child_ended - a child's end, as its parent sees it. */
static inline void lade_child_ended(struct lade_scope *scope, struct lade_task *task)
{
	bool won = scope->policy >= POLICY_RACE_OK;

	if (lade_unlikely(task->flags & TASK_DAEMON))
		scope->daemons--;
	else
		scope->live--;
	if (lade_unlikely(task->status < 0))
		won = lade_child_failed(scope, task);
	if (lade_unlikely(!lade_list_empty(&scope->spawners)))
		lade_hand_over_place(scope);
	if (won || !scope->live)
		lade_wake_owner(scope);
}

/* lade_scope_fired_by_user - whether lade_cancel on this very scope is what cancelled it. */
static inline bool lade_scope_fired_by_user(const struct lade_node *node)
{
	return (node->flags & NODE_FIRED) && node->reason.kind == LADE_REASON_USER;
}

/* task.c */

/* lade_task_start - starts a lazy task as a child; @bytes > 0: moves a copy to its new stack. */
void lade_task_start(struct lade_scope *scope, struct lade_task *task, size_t bytes,
		     unsigned flags, const char *site);

/* lade_task_dispose - disposes of a completed task's value, if its type says how. */
void lade_task_dispose(struct lade_task *task);

/* stack.c */

struct lade_stacks *lade_stacks_new(uint32_t max);
struct lade_stacks *lade_stacks_free(struct lade_stacks *stacks);

/* lade_stacks_trim - gives back pages that ended tasks have touched; bounded work. */
void lade_stacks_trim(struct lade_stacks *stacks);

/* lade_stack_check - ends the process if a stack without a guard was overrun. */
void lade_stack_check(const struct lade_ctl *ctl);

/* lade_stack_guards - how the stacks are guarded: "madvise", "mprotect", "canary". */
const char *lade_stack_guards(const struct lade_stacks *stacks);

/* lade_stack_in_guard - whether an address lies in the guard of the running task's stack. */
bool lade_stack_in_guard(const struct lade_ctl *ctl, const void *address);

/* The control block and the task's own node, at the very top of each stack. */
struct lade_top {
	struct lade_ctl ctl;
	struct lade_node root;
};

#endif
