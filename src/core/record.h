/* SPDX-License-Identifier: MIT */
#ifndef LADE_CORE_RECORD_H
#define LADE_CORE_RECORD_H

/* record.h - the flight recorder: what a loop has done lately, two words an event.
 *
 * DESIGN
 * An event is a control block's address with a kind in its low bits, and one word more: seven
 * instructions, of which three are stores. It holds neither time nor name: the loop adds an event
 * when its clock has moved, a task's last event says what the task was, and whoever shows events
 * puts that together. The ring lies at a multiple of twice its size, so going round is clearing one
 * bit of an address.
 *
 * What is not recorded, and why: docs/decisions/0020. */

#include "core/core_priv.h"

/* What an event is: the low bits of its first word, which in an address are 0. */
enum event_kind {
	EVENT_CLOCK,	 /* turns given so far; the loop's time from here on */
	EVENT_START,	 /* task; file:line of the start */
	EVENT_WAIT,	 /* task; file:line of the call that parks it */
	EVENT_COMPLETE,	 /* task that was parked; the result, which is not 0 */
	EVENT_CANCELLED, /* task whose call has returned -ECANCELED on entry; 0 */
	EVENT_REQUEST,	 /* owner of a scope; see lade_record_request() */
	EVENT_END,	 /* task; see lade_record_end() */
	EVENT_STATUS,	 /* 0; status of the task that ends with the next event */
	EVENT_KINDS
};

/* One event. */
struct lade_event {
	uintptr_t who;	/* a control block, or a number times EVENT_KINDS; plus the kind */
	uintptr_t what; /* as its kind says */
};

/* lade_record_word - writes an event. */
static inline __attribute__((always_inline)) void
lade_record_word(struct lade_loop *loop, enum event_kind kind, uintptr_t who, uintptr_t what)
{
	struct lade_event *e = loop->events;

	loop->events = (void *)((uintptr_t)(e + 1) & loop->event_mask);
	e->who = who + kind;
	e->what = what;
}

/* lade_record - writes an event of a task. */
static inline __attribute__((always_inline)) void
lade_record(struct lade_loop *loop, enum event_kind kind, const struct lade_ctl *ctl,
	    const void *what)
{
	lade_record_word(loop, kind, (uintptr_t)ctl, (uintptr_t)what);
}

/* lade_record_failure - a task's type and its status, which is not 0, in one word; a status that is
 * no -errno gets an event of its own. */
uintptr_t lade_record_failure(struct lade_loop *loop, const struct lade_task_type *type,
			      int status);

/* lade_record_end - writes the end of a task. */
static inline __attribute__((always_inline)) void lade_record_end(const struct lade_ctl *ctl,
								  int status)
{
	uintptr_t what = (uintptr_t)ctl->head->type;

	if (lade_unlikely(status))
		what = lade_record_failure(ctl->loop, ctl->head->type, status);
	lade_record_word(ctl->loop, EVENT_END, (uintptr_t)ctl, what);
}

/* lade_record_request - writes a request: reason and level beside the address of its place. */
static inline void lade_record_request(struct lade_loop *loop, const struct lade_node *node,
				       enum level level, enum lade_reason_kind kind,
				       const char *site)
{
	lade_record_word(loop, EVENT_REQUEST, (uintptr_t)node->owner,
			 (uintptr_t)site | ((uintptr_t)kind << 2 | level) << 56);
}

/* lade_record_clock - writes that the loop's time has changed, if it has. */
void lade_record_clock(struct lade_loop *loop);

/* lade_record_bytes - the memory that a recorder needs. */
size_t lade_record_bytes(int events);

/* lade_record_init - sets up a loop's recorder in so much memory, which is zeros. */
void lade_record_init(struct lade_loop *loop, int events, void *memory);

/* lade_record_events - how many events there is room for; -1: the recorder is off. */
int lade_record_events(const struct lade_loop *loop);

/* An event, taken apart. */
struct lade_recorded {
	enum event_kind kind;
	const struct lade_ctl *ctl;	   /* the task; of a request the scope's owner, or NULL */
	const struct lade_task_type *type; /* what it was, if it has ended since; or NULL */
	uint64_t number;		   /* its number, or 0: not known any more */
	const char *site;		   /* file:line, or NULL */
	int status;			   /* result of a wait or of a task */
	enum lade_reason_kind reason;	   /* of a request */
	enum level level;		   /* of a request */
	int64_t at_ns;			   /* the loop's time; 0: before the first that is known */
	uint64_t turns;			   /* turns that had been given to tasks at that time */
};

/* lade_record_len - how many events there are, clocks and statuses among them. */
size_t lade_record_len(const struct lade_loop *loop);

/* lade_record_get - the event that is @back from the latest, 1 being that.  Returns false for what
 * is no event of its own, and beyond the oldest. */
bool lade_record_get(const struct lade_loop *loop, size_t back, struct lade_recorded *ret);

#endif
