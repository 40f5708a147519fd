/* SPDX-License-Identifier: MIT */
#ifndef LADE_TESTS_MODEL_MODEL_PRIV_H
#define LADE_TESTS_MODEL_MODEL_PRIV_H

/* model_priv.h - the model's state, by statement. */

#include "model/model.h"

#define ROOT_SCOPE NODES_MAX	     /* the loop's own scope */
#define ROOT_DEADLINE (NODES_MAX + 1) /* the deadline round the whole program */
#define FRAMES (NODES_MAX + 2)
#define AGAIN (-1000000)	     /* nothing yet */
#define UNKNOWN (-1000001)

enum request { NO_REQUEST, SOFT, HARD };

enum frame_kind { FRAME_TASK, FRAME_BLOCK, FRAME_GROUP, FRAME_WITHIN, FRAME_SHIELD, FRAME_CLEANUP };

/* A scope of any kind (rules 3, 4, 6, 14): a link of a task's chain. */
struct frame {
	bool open;
	enum frame_kind kind;
	int outer;		/* frame, or -1 */
	int owner;		/* task in whose chain it is */
	enum request level;	/* asked of this very scope */
	bool fired;		/* its own request made it hard */
	enum lade_reason_kind reason; /* of the first request */
	enum lade_reason_kind root;   /* what it was where it was made */
	int64_t reason_ns;	/* when */
	int64_t deadline_ns;	/* earliest from here to the nearest shield */
	/* Its timer: a deadline, the end of a grace or of a budget; INT64_MAX: none. */
	int64_t timer_ns;
	bool timer_is_budget;
	uint64_t timer_age;
	/* Shields. */
	int64_t budget_ns;
	int64_t budget_end_ns;	/* valid when deferring */
	bool deferring;		/* a hard request is held back: the budget runs */
	bool overrun;		/* it does no longer shield */
	int64_t left_ns;	/* of a task sent to a core: end of the budgets round it there */
	int64_t cleanup_ns;	/* budget of the cleanups inside */
	int64_t cleanup_end_ns; /* 0: none has begun to run */
	/* Scopes with children. */
	bool closing;		/* the body is over */
	int live, daemons, max;
	bool all;		/* LADE_ALL */
	int first, last;	/* failures */
	int rc;			/* the body's */
	int winner;		/* of a race, or -1 */
	bool look;		/* a child has ended since the owner looked */
};

enum life { TASK_IS_LAZY, TASK_IS_READY, TASK_IS_RUNNING, TASK_IS_PARKED, TASK_HAS_ENDED };

enum phase {
	NO_CALL,
	CALLED,	  /* the call has been entered, its effect is still to come */
	SWITCHED, /* it has let others run before its effect */
	WAITS,
	COMPLETE  /* its result is known */
};

/* What a core tells another of a task that it has sent there (22.2). */
struct mail {
	enum { NOT_SENT, ON_ITS_WAY, TAKEN } state;
	enum lade_reason_kind kind, root; /* of a request */
	int64_t left_ns; /* end of the shields' budgets; INT64_MIN: is over, MAX: there is none */
};

/* A task, by its statement. */
struct task {
	enum life state;
	bool cancelled_lazy; /* before it was started */
	bool daemon;
	bool has_stack;
	bool drop_due, dispose_due; /* what must be called */
	bool dropped, disposed;	    /* what was */
	bool due;		    /* must be told of a request */
	bool forgiven;		    /* its -ECANCELED is nobody's failure (3.11) */
	int scope;		    /* frame whose child it is */
	int inner;		    /* its innermost frame */
	int status;
	enum phase phase;
	int call;		    /* statement of the call under way */
	int result;		    /* valid when COMPLETE */
	int value;		    /* item that it is given, or -1 */
	int64_t until_ns;	    /* of a sleep */
	int64_t case_ns[MEMBERS_MAX]; /* of the timers of a select */
	uint64_t age;		    /* of the first of these timers */
	struct mail mails[MAILS];   /* of an ON */
	int64_t fired_ns;	    /* when its latest deadline fired; -1: none did */
};

struct queue {
	int len;
	struct {
		int16_t task;
		int16_t index; /* case of a select; -1: a plain wait */
	} at[NODES_MAX * 2];
};

struct channel {
	int capacity, len, reserved;
	bool closed;
	int items[NODES_MAX];
	struct queue senders, receivers, reservers;
};

struct model {
	const struct program *p;
	bool log;
	bool gave_up;
	char difference[300]; /* "" while there is none */
	int64_t now_ns;
	uint64_t age;	      /* of timers */
	int running;	      /* task, or -1 */
	int over;	      /* task whose turn is over and who may have parked, or -1 */
	bool phase_open;      /* deadlines of this instant have begun to fire */
	int turns;	      /* at this instant */
	int stacks;	      /* in use */
	int overruns;
	struct frame frames[FRAMES];
	struct task tasks[NODES_MAX];
	struct channel channels[CHANNELS];
	int permits;
	struct queue acquirers;
	bool set;
	struct queue awaiters;
	struct queue spawners[NODES_MAX]; /* by scope */
};

/* differ - the model and the run differ; the first sentence is kept. */
__attribute__((format(printf, 2, 3))) void differ(struct model *m, const char *format, ...);

static inline const struct node *node_of(const struct model *m, int node)
{
	return &m->p->nodes[node];
}

/* model_kid - of an ON: the task that it sends. */
static inline int model_kid(const struct model *m, int on)
{
	return node_of(m, on)->first;
}

/* rules.c: requests, scopes, ends of tasks */

/* asked_of - the request that holds for code directly inside a frame. */
enum request asked_of(const struct model *m, int frame);

/* is_hard - whether the next call of a task is cancelled. */
bool is_hard(const struct model *m, int task);

void frame_open(struct model *m, int task, int frame, enum frame_kind kind);
void frame_shut(struct model *m, int task, int frame);
void ask(struct model *m, int frame, enum request level, enum lade_reason_kind kind);
void ask_with_grace(struct model *m, int frame, int64_t grace_ns);
/* settle_requests - lets what has been asked come to shields and waiting tasks. */
void settle_requests(struct model *m);
void shield_overruns(struct model *m, int frame);
void task_starts(struct model *m, int scope, int task, bool daemon);
/* mail_comes - a task that was sent away, or a request for it, is there. */
void mail_comes(struct model *m, int on, enum mail_kind kind);
/* has_mail - whether something of an ON is under way, so that time stands still. */
bool has_mail(const struct model *m, int on);
/* reason_from - what lade_why says inside a frame: its kind; @ret_root: what it was at first. */
enum lade_reason_kind reason_from(const struct model *m, int frame,
				  enum lade_reason_kind *ret_root);
void task_ends(struct model *m, int task, int status);
/* group_looks - the owner of a join or race looks at its members. */
void group_looks(struct model *m, int group);
int group_outcome(struct model *m, int group);
bool group_must_look(const struct model *m, int group);
void scope_closes(struct model *m, int scope, int rc, bool leaves);
void scope_looks(struct model *m, int scope);
int scope_outcome(const struct model *m, int scope);

/* waits.c: what calls do */

/* attempt - what a call does now: its result, or AGAIN. @rc: what it returned, for a choice that
 * is free, or UNKNOWN. */
int attempt(struct model *m, int task, int rc);
/* wait_begins - the call waits. */
void wait_begins(struct model *m, int task);
/* complete - its wait is over. */
void complete(struct model *m, int task, int result);
/* cancel_wait - a cancel has reached a task that waits, and the run has yet to tell it. */
void cancel_wait(struct model *m, int task);
/* withdraw - a cancel has ended its wait. */
void withdraw(struct model *m, int task);
bool can_be_withdrawn(const struct model *m, int task);
void stopping_begins(struct model *m, int task);
void places_change(struct model *m, int scope);
void channel_closes(struct model *m, int channel);
void channel_commits(struct model *m, int channel, int item);
void channel_unreserves(struct model *m, int channel);
void permits_return(struct model *m, int count);
void event_sets(struct model *m);
void waiters_wake(struct model *m, int task);

#endif
