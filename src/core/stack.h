/* SPDX-License-Identifier: MIT */
#ifndef LADE_CORE_STACK_H
#define LADE_CORE_STACK_H

/* stack.h - taking and giving back a stack, inlined where tasks start and end. */

#include "core/sanitize.h"

#define STACK_CLASSES 5
#define STACK_DEFAULT_CLASS 1 /* of LADE_STACK_BYTES_DEFAULT */

enum stack_guard { GUARD_MADVISE, GUARD_MPROTECT, GUARD_CANARY };

/* A stretch of reserved address space. */
struct stack_reservation {
	struct stack_reservation *next; /* older one of the same class */
	char *start;		  /* the room below the first slot */
	size_t bytes;		  /* slots times slot size, and the room below the first */
};

/* Slots of one size. */
struct stack_class {
	size_t slot_bytes;		  /* size of each */
	struct lade_ctl *free;		  /* given back, latest first; linked by ready_next */
	struct stack_reservation *reservations; /* newest first; slots are cut from it */
	size_t cut_bytes;		  /* how far the newest is used up */
	uint32_t slots;			  /* slots cut so far */
};

struct lade_stacks {
	struct stack_class classes[STACK_CLASSES];
	enum stack_guard guard;	  /* how the next slot is guarded */
	uint32_t guarded;	  /* slots guarded by mprotect */
	uint32_t guarded_max;	  /* and how many may be */
	uint32_t max;		  /* limit on stacks in use */
	uint32_t in_use;	  /* stacks taken and not given back */
	size_t page_bytes;	  /* the system's */
	bool watched;		  /* a tool must be told of each use, or marks are kept */
	struct stack_marks *marks; /* deepest use by start line, or NULL: not asked for */
};

/* How deep the tasks of one start line have used their stacks. */
struct stack_mark {
	const char *site;   /* file:line of the start */
	size_t bytes;	    /* deepest use, in whole pages */
	size_t stack_bytes; /* size of that stack */
};

/* lade_marks_new - room for marks if the environment asks for them, or NULL. */
struct stack_marks *lade_marks_new(void);

/* lade_marks_note - measures a stack for the task that uses it or used it last. */
void lade_marks_note(struct lade_stacks *stacks, const struct lade_ctl *ctl);

/* lade_marks_take - lade_marks_note of a stack that is free, and empties it for the next task. */
void lade_marks_take(struct lade_stacks *stacks, struct lade_ctl *ctl);

/* lade_marks_next - the mark after @mark, NULL: the first; NULL when there is no more. */
const struct stack_mark *lade_marks_next(struct lade_stacks *stacks, const struct stack_mark *mark);

/* lade_stack_low - the lowest byte of a stack that a task may use. */
char *lade_stack_low(const struct lade_stacks *stacks, const struct lade_ctl *ctl);

/* lade_stacks_measure - takes the marks of all stacks that are free. */
void lade_stacks_measure(struct lade_stacks *stacks);

/* lade_stack_take_any - lade_stack_take, whatever the size, and when no stack is free. */
struct lade_ctl *lade_stack_take_any(struct lade_stacks *stacks, size_t bytes);

/* lade_stack_take - a control block at the top of a stack of at least @bytes; NULL: no memory, or
 * the limit. The fields that describe the stack are set, the others keep old values. */
static inline struct lade_ctl *lade_stack_take(struct lade_stacks *stacks, size_t bytes)
{
	struct stack_class *class = &stacks->classes[STACK_DEFAULT_CLASS];
	struct lade_ctl *ctl = class->free;

	if (lade_unlikely(bytes != LADE_STACK_BYTES_DEFAULT || !ctl || stacks->watched ||
			  stacks->in_use >= stacks->max))
		return lade_stack_take_any(stacks, bytes);
	class->free = ctl->ready_next;
	ctl->flags &= CTL_CANARY;
	stacks->in_use++;
	return ctl;
}

/* lade_stack_give - takes a stack back; the caller may still be running on it. */
static inline void lade_stack_give(struct lade_stacks *stacks, struct lade_ctl *ctl)
{
	struct stack_class *class = &stacks->classes[ctl->stack_class];

	san_stack_free(ctl);
	ctl->ready_next = class->free;
	class->free = ctl;
	stacks->in_use--;
}

#endif
