/* SPDX-License-Identifier: MIT */
#ifndef LADE_TESTS_MODEL_PROGRAM_H
#define LADE_TESTS_MODEL_PROGRAM_H

/* program.h - a random program: a tree of statements, as numbers and as text.
 *
 *	program stacks=0 inline=3 permits=2 channels=1,0
 *	task {
 *		scope #3 max=2 {
 *			start { task #5 { sleep ms=4 } }
 *			cancel of=5 grace=1
 *		}
 *	}
 *
 * Each statement runs at most once, so what happens to it is kept by its index. A label (#3) is
 * what other statements name it by; it survives when a shrinker takes others away. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NODES_MAX 80	  /* statements in a program */
#define LABELS_MAX 128	  /* labels are below */
#define CHANNELS 2	  /* in each program */
#define MEMBERS_MAX 4	  /* of a join, a race or a select */
#define PROGRAM_TEXT 8192 /* more than the text of any program */
#define ROOT_MS 60	  /* deadline round the whole program */

enum kind {
	/* Without kids. */
	SLEEP,
	YIELD,
	FAIL,
	LEAVE,
	SEND,
	RECV,
	TRY_SEND,
	TRY_RECV,
	CLOSE,
	SET,
	CLEAR,
	AWAIT,
	STOPPING,
	CANCEL,
	WAIT,
	/* The kids are done in sequence. */
	PUT,
	HOLD,
	IGNORE,
	WITHIN,
	SHIELD,
	SCOPE,
	TASK,
	CLEANUP,
	/* What the kids mean is said by the kind. */
	DEFER,
	SELECT,
	START,
	DAEMON,
	SPAWN,
	JOIN,
	JOIN_ALL,
	RACE,
	RACE_OK,
	JOIN_TASK,
	RACE_TASK,
	RACE_OK_TASK,
	ON,
	KINDS
};

/* One statement. */
struct node {
	uint8_t kind;	/* enum kind */
	uint8_t label;	/* its name; 0: none */
	uint8_t to;	/* a label: whom it means; 0: nobody */
	bool flag;	/* scope: LADE_ALL; task: no callbacks; select: fair; hold: tries only */
	int16_t n;	/* a number, meaning by kind */
	int16_t m;	/* another */
	int16_t parent; /* index; -1: none */
	int16_t first;	/* its first kid, or -1 */
	int16_t next;	/* its next sibling, or -1 */
};

struct program {
	uint32_t stacks_max;	  /* tasks alive at once; 0: many */
	int inline_budget;	  /* where the schedule does not choose it; 0: the default */
	int permits;		  /* of the semaphore */
	int capacity[CHANNELS];	  /* of the channels */
	int count;		  /* statements; the root is the first and a TASK */
	struct node nodes[NODES_MAX];
	int16_t at[LABELS_MAX];	  /* index by label, or -1 */
};

/* program_generate - the program of a seed. */
void program_generate(struct program *p, uint64_t seed);

/* program_print - its text, of less than PROGRAM_TEXT bytes. */
void program_print(const struct program *p, char *text);

/* program_parse - reads a text.  Returns 0, or the number of the line that is wrong. */
int program_parse(struct program *p, const char *text);

/* program_kid - the index of a statement's @n-th kid, or -1. */
int program_kid(const struct program *p, int node, int n);

/* program_kids - how many kids it has. */
int program_kids(const struct program *p, int node);

/* program_around - what a statement runs inside: its parent, or for a task that is started the
 * scope in which it is; -1: nothing. */
int program_around(const struct program *p, int node);

/* program_scope_of - the scope that a START, DAEMON or SPAWN means, or -1: a task may use only
 * those that it runs inside on its own core, for the others may be closed before it ends. */
int program_scope_of(const struct program *p, int node);

/* program_is_task - whether it is a task or a composite. */
bool program_is_task(const struct program *p, int node);

/* program_is_composite - whether it is a composite, or a task that is sent to a core. */
bool program_is_composite(const struct program *p, int node);

/* program_is_sent - whether it is a task that runs on the core of its ON. */
bool program_is_sent(const struct program *p, int node);

/* program_island - the ON inside which a statement is done, or -1: the first core. A task that is
 * sent away is, by its name, still where it was sent from. */
int program_island(const struct program *p, int node);

/* program_word - the kind's name. */
const char *program_word(enum kind kind);

/* program_without - a copy without one statement; @keep_kids: its kids stand in its place. Returns
 * whether that is a program. */
bool program_without(const struct program *p, int node, bool keep_kids, struct program *ret);

#endif
