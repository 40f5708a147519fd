/* SPDX-License-Identifier: MIT */
#ifndef LADE_EXPLORE_PRIV_H
#define LADE_EXPLORE_PRIV_H

/* explore_priv.h - what the files of the explorer share.
 *
 * The words: a *point* is one suspending call of one task in the first run of the body; its *place*
 * is file:line. An *injection* is what is done to the code at a point: when (before the call, while
 * it waits, when it is complete), to which enclosing scope, and what. A *trial* is a process that
 * goes on from an injection to the end of the second run, and is judged. */

#include "core/frames.h"
#include "core/io_priv.h"

#include <lade/explore.h>

#define POINTS_MAX 4096	 /* in one run; what comes after is not explored, and said */
#define EFFECTS_MAX 1024 /* remembered of one run */
#define ITEMS_MAX 1024	 /* of channels, remembered of one run */
#define SITES_MAX 1024	 /* places where a run allocates memory */
#define TASKS_MAX 1024	 /* remembered of one run */
#define EVENTS_KEPT 30	 /* shown with a finding */
#define EVENT_BYTES 160
#define TARGETS_MAX 16	 /* enclosing scopes of one point */
#define CALLS_MAX 200000 /* suspending calls in a trial; then it "never ends" */
#define TEXT_BYTES 512
#define PLACE_BYTES 128
#define OWN_SEMS_MAX 256 /* semaphores that the body makes itself */
#define SLOW_NS INT64_C(10000000000) /* more than the budgets of cleanups make plausible */
#define LATER_BITS 6	 /* of a pair: up to 2^6 chances are between its two injections */
#define FRAMES_KEPT LADE_FRAMES_MAX /* of a stack that is shown */
#define OTHERS_KEPT 16	 /* tasks beside the one that is disturbed, shown with a finding */

enum when { BEFORE, PARKED, COMPLETED, FAULT, FAULT_ON, NO_MEMORY, WHENS };

/* What is done to a scope. */
enum what {
	CANCEL,
	DEADLINE,
	SIBLING,
	LOST_RACE,
	OVERRUN,
	TOO_LATE, /* nothing; but when the task loses its race, what it waits for completes */
	WHATS
};

/* A place where the code suspends, or could. */
struct point {
	const char *site;  /* file:line */
	const char *what;  /* what it waits for; "" if it never waited */
	const char *task;  /* name of the task */
	uint32_t nth;	   /* occurrence of the same site and task in this run, from 1 */
	uint32_t of;	   /* occurrences in the whole run */
	bool parked;	   /* it waited */
};

/* Something that was done outside. */
struct effect {
	enum effect_kind kind;
	uint8_t run;	  /* 0 or 1: of the body's two runs */
	bool matched;	  /* while it is judged */
	char peer[47];
	uint64_t request; /* hash */
	uint32_t sent, answered;
	int64_t took_ns;
	uint64_t task;	  /* number of who did it */
	uint64_t call;	  /* in which of its suspending calls */
	const char *site; /* of the call that was told so */
	uintptr_t pcs[FRAMES_KEPT]; /* the stack then */
	uint32_t pcs_len;
};

/* An item that was taken out of a channel, or put into one. */
struct item {
	uint64_t hash;	  /* of its bytes */
	bool is_sent;	  /* it was put in */
	const char *site; /* of the call */
	const char *task; /* name of who did it */
};

/* Blocks of memory that are live at the end, of one place where they were allocated. */
struct kept {
	uint64_t hash; /* of the frames then */
	uint32_t live; /* blocks */
};

/* A task that has ended well and left its value unset, or so it seems. */
struct unset {
	const char *task; /* its name, or NULL: none */
	const char *site; /* where it was started */
	int status;	  /* with which it ended */
};

/* The value of a task that runs. */
struct value {
	void *at;	/* its place */
	uint32_t bytes; /* that are looked at */
	uint64_t hash;	/* of what was there as the task began */
	void *before;	/* what was there, if it has been filled */
};

/* An injection. */
struct injection {
	enum when when;
	enum what what;
	uint32_t point;	     /* index; of NO_MEMORY: the allocation, from 1 */
	uint32_t scope;	     /* index among the enclosing ones, from inside */
	int error;	     /* of FAULT: the -errno */
	uint32_t try;	     /* of FAULT: which of the operations that the call tries */
	const char *where;   /* the scope's place, or NULL: it is the whole body */
	const char *kind;    /* the scope's kind, in words */
	const char *call;    /* of FAULT: the operation that fails */
	uint32_t later;	     /* of a pair: so many chances after it the second is made; 0: none */
	uint32_t choice;     /* of a pair: of which scope, counted round those of then */
};

/* The second injection of a pair, as it was made. */
struct second {
	bool made;
	enum when when;
	enum what what;
	const char *site;    /* of the call */
	const char *where;   /* the scope's place, or NULL: it is the whole body */
	const char *kind;    /* the scope's kind, in words */
};

/* A task beside the one that is disturbed, as it was then. */
struct other {
	const char *task;	/* its name */
	uint64_t number;	/* its */
	const char *what;	/* for what it waits, or NULL: it does not */
	const char *site;	/* where it waits */
	bool is_composite;	/* it has no stack of its own */
	uintptr_t pcs[FRAMES_KEPT];
	uint32_t pcs_len;
};

/* Something that happened. What tasks do is kept as it is and put into words only for a finding:
 * there are hundreds in a trial, and most trials find nothing. */
struct event {
	int64_t at_ns;
	const char *task;	/* its name; NULL: the event is @text */
	uint64_t number;	/* the task's */
	const char *verb;	/* what it does */
	const char *what;	/* for what it waits, or NULL */
	const char *site;	/* where, or NULL */
	int status;		/* with which it ends, or 0 */
	char text[EVENT_BYTES];
};

/* What a run came to; in memory that the trial shares with the explorer. */
struct outcome {
	bool finished;	       /* the end was reached */
	bool refused;	       /* too many calls */
	bool memory_full;      /* too much memory to look at all */
	int rc[2];	       /* of the body's runs */
	int invariant_rc;
	int setup_rc;
	int64_t took_ns[2];    /* of the body's runs */
	uintptr_t pcs[FRAMES_KEPT]; /* the stack of the task at the injection */
	uint32_t pcs_len;
	struct other others[OTHERS_KEPT]; /* the other tasks at the injection */
	uint32_t others_len;   /* of them */
	uint32_t others_left;  /* tasks beyond */
	const char *told_site; /* of the call that was first told of the cancel, or NULL */
	uintptr_t told_pcs[FRAMES_KEPT]; /* the stack there */
	uint32_t told_pcs_len;
	const char *slow_site; /* of the first wait that was too long, since then; or NULL */
	uintptr_t slow_pcs[FRAMES_KEPT]; /* the stack there */
	uint32_t slow_pcs_len;
	struct second second;
	uint64_t trace_hash;
	long allocations;      /* in the first run */
	int64_t permits;       /* that the body's tasks took and did not give back */
	const char *permit_site; /* where the latest of them was taken */
	const char *release_site; /* the latest call before permits were given back */
	uint32_t closed_twice; /* closes of descriptors that were not open */
	const char *close_site; /* the call before the latest of them */
	struct unset unset;    /* the latest such task of the first run */
	bool asked;	       /* the body as a whole was asked to end */
	int64_t asked_ns;      /* when, on the loop's clock */
	int64_t closing_ns;    /* from then to the end of the body's first run */
	uint32_t fds_open;     /* at the end */
	char fd_site[96];      /* where one of them was opened */
	uint32_t effects_len, points_len, items_len;
	char channel_text[TEXT_BYTES]; /* a channel that lost or doubled an item, or "" */
	char swallowed[TEXT_BYTES]; /* a task that swallowed its cancel, or "" */
	uint32_t kept_len;	    /* of @kept */
	uint32_t leaked_blocks;	    /* of memory that nothing points to, more than undisturbed */
	size_t leaked_bytes;	    /* in one of them */
	const char *leaked_task;    /* name of the task that allocated it */
	struct effect leaked;	    /* where that was */
	struct event events[EVENTS_KEPT];
	uint64_t events_len;	    /* so far; the last ones are kept */
	struct effect effects[EFFECTS_MAX];
	struct item items[ITEMS_MAX];
	struct kept kept[SITES_MAX];	 /* of the undisturbed run only */
	struct point points[POINTS_MAX]; /* of the undisturbed run only */
};

/* What is explored, and how. */
struct settings {
	const char *only;      /* name of one scenario, or NULL */
	long point;	       /* only this one, or -1 */
	int when;	       /* only this one, or -1 */
	int jobs;	       /* processes at once */
	long budget;	       /* trials at most, in each scenario; 0: no limit */
	long pairs;	       /* trials with two injections, in each scenario */
	bool verbose;
	bool is_alone;	       /* one scenario: the last line is its sum, too */
	const char *coverage_file; /* where the machine-readable coverage goes, or NULL */
	uint64_t seed;	       /* 0: the scenario's own */
	bool replays;	       /* one injection only, in this process */
	struct injection replay;
};

/* What all scenarios come to. */
struct totals {
	long scenarios, points, trials, findings;
	double covered; /* percent, times points */
};

extern const char *const explore_when_names[WHENS];
extern const char *const explore_what_names[WHATS];

/* run.c */

/* explore_run - runs a scenario in this process and fills @ret; @inject, if not NULL, is called at
 * each chance for an injection (see inject.c).  Returns when the loop has ended. */
void explore_run(const struct lade_scenario *scenario, uint64_t seed, struct outcome *ret,
		 void (*inject)(enum when when, struct lade_ctl *ctl, uint32_t point,
				const char *call));

/* explore_loop - the loop of the run that this process is in. */
struct lade_loop *explore_loop(void);

/* explore_inside - whether a task belongs to the body, in its first run. */
bool explore_inside(const struct lade_ctl *ctl);

/* explore_of_body - whether a task belongs to the body, in one of its two runs. */
bool explore_of_body(const struct lade_ctl *ctl);

/* explore_outcome - where this process writes; a trial writes elsewhere than the explorer. */
struct outcome *explore_outcome(void);
void explore_write_to(struct outcome *outcome);

/* explore_fail - makes the operation that is being tried fail; for ever or once. */
void explore_fail(int error, bool from_now_on);

/* explore_too_late - makes a cancel of what a task waits for come too late: it completes. */
void explore_too_late(const struct lade_ctl *ctl);

/* explore_asked - the body as a whole is asked to end, now. */
void explore_asked(void);

/* explore_no_memory - makes the @n-th allocation of the body fail, counted from its beginning. */
void explore_no_memory(long n);

/* explore_step - adds what a task does to the events that are shown with a finding. */
void explore_step(const struct lade_ctl *ctl, const char *verb, const char *what, const char *site,
		  int status);

/* explore_event - adds a text to them. */
__attribute__((format(printf, 1, 2))) void explore_event(const char *format, ...);

/* explore_root - the innermost node that is not the body's; the walk of scopes ends there. */
const struct lade_node *explore_root(void);

/* explore_injected - a trial has begun, at a call of @ctl. */
void explore_injected(const struct lade_ctl *ctl);

/* explore_site - the place of a task's latest suspending call. */
const char *explore_site(const struct lade_ctl *ctl);

/* explore_second - calls @fn at the @later-th chance of this trial, from 1, and at those after it
 * until it returns true. */
void explore_second(uint32_t later, bool (*fn)(enum when when, struct lade_ctl *ctl));

/* explore_state - a hash of where all tasks of the body are, and in which scopes; within one
 * process only. */
uint64_t explore_state(void);

/* inject.c */

/* explore_undisturbed - the run that trials are compared with. */
const struct outcome *explore_undisturbed(void);

/* explore_scenario - explores one scenario and adds to the totals.  Returns the number of findings;
 * -1, having said why: it cannot be explored. */
int explore_scenario(const struct lade_scenario *scenario, const struct settings *settings,
		     struct totals *totals);

/* items.c */

/* explore_items_begin - a run begins: nothing is known of any channel. */
void explore_items_begin(void);

/* explore_channel - a channel was made.  Returns its number, 0: it is not looked at. */
uint32_t explore_channel(void *channel, void (*left)(void *channel), bool is_own,
			 const char *site);

/* explore_item - what has become of items of a channel; @by: the body's task that did it, or
 * NULL. */
void explore_item(struct outcome *out, uint32_t channel, enum lade_item_fate fate,
		  uint64_t hash, const struct lade_ctl *by, const char *site);

/* explore_items_end - the run has ended: counts what is left in channels; says what is wrong. */
void explore_items_end(struct outcome *out);

/* explore_find_lost_item - whether a trial has lost an item that was on its way; says which. */
bool explore_find_lost_item(const struct outcome *undisturbed, const struct outcome *trial,
			    char *text, size_t len);

/* memory.c */

/* explore_memory_begin - a run begins: what is allocated from here on is looked at. */
void explore_memory_begin(void);

/* explore_memory_keep - the undisturbed run has ended: keeps what is live. */
void explore_memory_keep(struct outcome *out);

/* explore_memory_grew - whether more is live at some place than undisturbed: worth a look. */
bool explore_memory_grew(const struct outcome *undisturbed);

/* explore_memory_judge - the last of a run: which of that nothing points to any more. */
void explore_memory_judge(const struct outcome *undisturbed, struct outcome *out);

/* explore_memory_full - whether a limit was reached, so that nothing is said of memory. */
bool explore_memory_full(void);

/* values.c */

/* explore_fill - in the run to come the values of such tasks are filled as they begin. */
void explore_fill(const struct unset *which);

/* explore_value_starts_here - whether a task that has its turn begins with it. */
bool explore_value_starts_here(const struct lade_ctl *ctl);

/* explore_value_begins - a task begins: its value as it is then.  Returns whether it has one. */
bool explore_value_begins(const struct lade_ctl *ctl, struct value *ret);

/* explore_value_ends - a task ends; sets @ret if it has left its value unset and ended well. */
void explore_value_ends(const struct lade_ctl *ctl, struct value *value, int status,
			struct unset *ret);

/* report.c */

/* explore_report - prints a finding: what it is, where it was made, how to see it again. */
void explore_report(const struct lade_scenario *scenario, uint64_t seed,
		    const struct injection *injection, const struct point *point,
		    const struct outcome *out, int said, const char *text,
		    const struct effect *paid);

/* explore_place - where a call was made: its file and line; or, of one that the library makes for a
 * stream, what it is for, in quotes, which are written to @text. */
const char *explore_place(const char *site, char text[PLACE_BYTES]);
#define PLACE(site) explore_place(site, (char[PLACE_BYTES]){ 0 })

/* stack.c */

/* explore_stack - the return addresses of a task's frames, innermost first; how many. */
uint32_t explore_stack(const struct lade_ctl *ctl, uintptr_t pcs[FRAMES_KEPT]);

/* explore_print_stack - prints those frames that are the author's, a line each. */
void explore_print_stack(const char *indent, const uintptr_t *pcs, uint32_t n);

/* judge.c */

/* explore_judge - compares a trial with the undisturbed run.  Returns whether there is a finding:
 * which, with its explanation, in @text; what was paid for or done twice in *ret_paid, or NULL. */
bool explore_judge(const struct outcome *undisturbed, const struct outcome *trial,
		   const struct injection *injection, int status,
		   const struct lade_exploration *options, char *text, size_t len,
		   const struct effect **ret_paid);

#endif
