/* SPDX-License-Identifier: MIT */
#ifndef LADE_LAYOUT_H
#define LADE_LAYOUT_H

/* layout.h - the sizes that a compiler must know; every field here is the library's.
 *
 * Tasks and scopes live on their users' stacks, so their layout is public although their
 * fields are not: user code names none of them. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <lade/time.h>
#include <lade/version.h>

/* lade_suspends marks a function that may suspend; its result must be looked at. */
#if defined(__clang__)
#define lade_suspends __attribute__((warn_unused_result, annotate("lade_suspends")))
#else
#define lade_suspends __attribute__((warn_unused_result))
#endif

#define LADE_STRING_(x) #x
#define LADE_STRING(x) LADE_STRING_(x)

/* LADE_SITE is the place of a call, "file.c:123": one pointer to constant text. */
#define LADE_SITE __FILE__ ":" LADE_STRING(__LINE__)

#define LADE_GLUE_(a, b) a##b
#define LADE_GLUE(a, b) LADE_GLUE_(a, b)

/* The version of these layouts; the library refuses a program compiled for another. */
#define LADE_LAYOUT_VERSION 2u

struct lade_ctl;
struct lade_loop;
struct lade_node;
struct lade_op;
struct lade_scope;
struct lade_task;

/* A doubly linked list's link; an empty list's head points at itself. */
struct lade_link {
	struct lade_link *next;
	struct lade_link *prev;
};

/* Something that another thread tells a loop. */
struct lade_mail {
	struct lade_mail *next;		  /* in the loop's mailbox */
	void (*take)(struct lade_mail *); /* called by the loop, on its own stack */
};

/* A timer of a loop: a node of an intrusive pairing heap. */
struct lade_timer {
	int64_t at_ns;			   /* when it fires, monotonic */
	uint64_t order;			   /* breaks ties: kind first, then age */
	struct lade_timer *child;	   /* first child */
	struct lade_timer *next;	   /* next sibling */
	struct lade_timer *prev;	   /* previous sibling or parent; NULL: not armed */
	void (*fire)(struct lade_timer *); /* called in the loop's timer phase; never suspends */
};

/* Who asked for a cancel. */
enum lade_reason_kind {
	LADE_REASON_NONE,
	LADE_REASON_USER,      /* lade_cancel */
	LADE_REASON_DEADLINE,  /* a lade_within or lade_until */
	LADE_REASON_SIBLING,   /* a child of the same scope or join, or its body, failed */
	LADE_REASON_RACE_LOST, /* another task of the race that this one is in ended first */
	LADE_REASON_PARENT,    /* the parent was asked to end, or left a scope early; see root */
	LADE_REASON_SHUTDOWN   /* the process is asked to end */
};

/* The first request that reached a scope; later ones only make it harder. */
struct lade_reason {
	enum lade_reason_kind kind; /* who asked, as seen from the task that asks */
	enum lade_reason_kind root; /* kind of the request itself, where it was made */
	const char *site;	    /* file:line of the request, or of the deadline */
	const char *task;	    /* name of the task that asked, "" if none */
	int64_t at_ns;		    /* when, monotonic */
};

/* One link of a task's chain of scopes: a block, a deadline, a shield, a task's own scope. */
struct lade_node {
	struct lade_node *outer;   /* enclosing scope; of a task's own scope: the parent's */
	struct lade_node *inner;   /* the next one inward in the same task, or NULL */
	struct lade_ctl *owner;	   /* the task in whose chain it is */
	uint8_t kind;		   /* enum node_kind */
	uint8_t level;		   /* request on this scope itself: none, soft, hard */
	uint8_t eff;		   /* level that holds for code directly inside */
	uint8_t flags;		   /* NODE_ */
	uint32_t reserved;	   /* 0 */
	int64_t deadline_ns;	   /* earliest deadline up to the nearest shield */
	int64_t budget_ns;	   /* a shield's budget */
	int64_t budget_end_ns;	   /* when it is over; valid once it runs */
	int64_t cleanup_ns;	   /* budget of the cleanups inside */
	int64_t cleanup_end_ns;	   /* when the cleanups of this scope must be done; 0: not begun */
	struct lade_timer timer;   /* deadline, end of grace, or end of budget */
	const char *site;	   /* where it was opened */
	struct lade_reason reason; /* the first request on it; valid when level > 0 */
	struct lade_node *work;	   /* the next one that a spreading request must visit */
};

/* A slot for a value that is inherited by scope. */
struct lade_scope_value {
	const void *key; /* address of the key, or NULL: free */
	void *value;	 /* the user's */
};

#define LADE_SCOPE_VALUES 4

/* A scope that has children: a block, a join, a race. */
struct lade_scope {
	struct lade_node head;
	struct lade_link children;	       /* tasks alive, in order of start */
	uint32_t live;			       /* ordinary children alive */
	uint32_t daemons;		       /* daemon children alive */
	uint32_t children_max;		       /* lade_spawn waits while as many live */
	uint8_t policy;			       /* enum scope_policy */
	uint8_t state;			       /* enum scope_state */
	uint16_t member_count;		       /* tasks in @members */
	int first;			       /* status of the first failure, or 0 */
	int last;			       /* status of the latest failure, or 0 */
	int *rc;			       /* the block's result variable */
	struct lade_task *const *members;      /* a join's or race's tasks, or NULL */
	struct lade_op *waiter;		       /* the owner, parked until children ended */
	struct lade_loop *loop;		       /* home */
	struct lade_link spawners;	       /* tasks parked in lade_spawn, oldest first */
	struct lade_scope_value values[LADE_SCOPE_VALUES];
	uintptr_t reserved[2];		       /* 0 */
};

/* What a task type is: made by LADE_TASK, constant. */
struct lade_task_type {
	int (*run)(struct lade_task *);	       /* calls the function with the kept arguments */
	bool (*dispose)(struct lade_task *);   /* gives back an unclaimed value; NULL: plain */
	void (*drop_args)(struct lade_task *); /* gives up arguments of a task that never ran */
	/* starts a composite as a child of the scope; NULL: a task with a stack */
	void (*start)(struct lade_scope *, struct lade_task *);
	const char *name;		       /* the function's name */
	uint32_t (*stack_bytes)(void);	       /* wanted stack slot; NULL or 0: the default */
	uint32_t version;		       /* LADE_LAYOUT_VERSION */
	uint16_t value_at;		       /* in the task's struct; 0: none, or too far */
	uint16_t value_bytes;		       /* of its result, 65,535 at most; 0: it has none */
};

/* The head of every task's struct. */
struct lade_task {
	const struct lade_task_type *type;
	struct lade_ctl *ctl;	     /* control block while it runs */
	const struct lade_task *self; /* its own address since it was started */
	const char *site;	     /* where it was started */
	struct lade_link waiters;    /* ops of the tasks that wait for its end */
	int status;		     /* the function's result, once ended */
	uint8_t state;		     /* enum task_state */
	uint8_t flags;		     /* TASK_ */
	uint16_t reserved16;	     /* 0 */
	struct lade_mail mail;	     /* of lade_loop_start */
};

/* Where a suspended context goes on. */
struct lade_context {
	void *sp; /* stack pointer; NULL in a control block without a stack */
	void *pc; /* where to go on */
	void *bp; /* frame pointer */
};

/* A task's control block: at the top of its own stack, or inside a composite. */
struct lade_ctl {
	struct lade_context context;	    /* where it goes on */
	struct lade_ctl *ready_next;	    /* next in the ready queue */
	struct lade_loop *loop;		    /* home */
	struct lade_node *scope;	    /* innermost scope */
	struct lade_op *wait;		    /* what it is parked on, or NULL */
	struct lade_task *head;		    /* the user's struct, or the copy on this stack */
	uint32_t gate;			    /* GATE_ bits: why a suspending call must look closer */
	uint32_t flags;			    /* CTL_ */
	struct lade_link sibling;	    /* in the parent's list of children */
	struct lade_node *root;		    /* the task's own scope */
	struct lade_ctl *deliver_next;	    /* next to be told of a request */
	void (*ready)(struct lade_ctl *);   /* a composite's turn; it has no stack to switch to */
	const char *no_suspend_site;	    /* where lade_no_suspend was opened */
	uint64_t number;		    /* counts the loop's tasks, for reports */
	struct lade_reason fired;	    /* the latest deadline that ended a lade_within */
	void *san;			    /* the sanitizer's handle of this stack */
	char *stack;			    /* lowest byte of the slot, guard included */
	size_t stack_bytes;		    /* slot size */
	uint32_t stack_class;		    /* which size of slot it is */
	uint32_t depth;			    /* of a composite: composites it is in, itself too */
	uintptr_t reserved[1];		    /* 0 */
};

/* What abort() answers (rule 11). */
enum lade_abort_result {
	LADE_ABORTED,	/* it did not and will not happen: the task gets -ECANCELED */
	LADE_COMPLETED, /* it has happened: @result is valid */
	LADE_PENDING	/* cannot tell yet: lade_complete will follow */
};

/* One wait of one task: everything that parks, parks on one of these. */
struct lade_op {
	struct lade_ctl *task;			/* who is parked on it, or NULL */
	enum lade_abort_result (*abort)(struct lade_op *); /* NULL: cannot be cut short */
	void (*soft)(struct lade_op *);		/* told of a soft request, or NULL */
	void (*done)(struct lade_op *);		/* part of a larger wait: called when complete */
	const char *what;			/* what it waits for, for the dump */
	const char *site;			/* file:line of the wait */
	int64_t since_ns;			/* loop time when it was parked */
	struct lade_link link;			/* place in the waited-for object's list */
	struct lade_loop *loop;			/* home, for lade_complete_remote */
	struct lade_mail mail;			/* of lade_complete_remote */
	int result;				/* the outcome, once complete */
	uint8_t state;				/* enum op_state */
	uint8_t reserved8[3];			/* 0 */
	uintptr_t reserved[1];			/* 0 */
};

#endif
