/* SPDX-License-Identifier: MIT */
/* record.c - the flight recorder: what is written seldom, and how its events are read.
 *
 * Tasks are numbered as they start, so a start's number is found by counting the starts after it.
 * Nothing that an event points to is read here but the ring: it may be gone.
 *
 * LIMITS  EVENTS_MAX events; the oldest are overwritten. */

#include "core/record.h"

#define EVENTS_DEFAULT 1024
#define EVENTS_MAX (1 << 20)
#define ERRNO_MAX 4095 /* of the kernel's numbers */

/* A recorder that is off has room for one event, so that writing one needs no test. */
static size_t ring_bytes(int events)
{
	size_t n = 1;

	if (events == 0)
		events = EVENTS_DEFAULT;
	else if (events > EVENTS_MAX)
		events = EVENTS_MAX;
	while (events > 0 && n < (size_t)events)
		n *= 2;
	return n * sizeof(struct lade_event);
}

size_t lade_record_bytes(int events)
{
	return 3 * ring_bytes(events);
}

void lade_record_init(struct lade_loop *loop, int events, void *memory)
{
	uintptr_t bytes = ring_bytes(events);

	loop->events = (void *)(((uintptr_t)memory + 2 * bytes - 1) & ~(2 * bytes - 1));
	loop->event_mask = ~bytes;
}

int lade_record_events(const struct lade_loop *loop)
{
	uintptr_t events = ~loop->event_mask / sizeof(struct lade_event);

	return events > 1 ? (int)events : -1;
}

/* The event before another, which may be the place of the next. */
static struct lade_event *before(const struct lade_loop *loop, const struct lade_event *e)
{
	uintptr_t bytes = ~loop->event_mask, ring = (uintptr_t)e & ~(bytes - 1);

	return (void *)(ring + (((uintptr_t)e - sizeof(*e)) & (bytes - 1)));
}

void lade_record_clock(struct lade_loop *loop)
{
	struct lade_event *last = before(loop, loop->events);

	if (loop->event_ns == loop->now_ns)
		return;
	loop->event_ns = loop->now_ns;
	/* A loop that wakes up for nothing does not fill the ring. */
	if (last->what && last->who % EVENT_KINDS == EVENT_CLOCK)
		loop->events = last;
	lade_record_word(loop, EVENT_CLOCK, loop->taken * EVENT_KINDS, (uintptr_t)loop->now_ns);
}

uintptr_t lade_record_failure(struct lade_loop *loop, const struct lade_task_type *type,
			      int status)
{
	if (status < 0 && status >= -ERRNO_MAX)
		return (uintptr_t)type << 13 | (uintptr_t)-status << 1 | 1;
	lade_record_word(loop, EVENT_STATUS, 0, (uintptr_t)(intptr_t)status);
	return (uintptr_t)type;
}

size_t lade_record_len(const struct lade_loop *loop)
{
	size_t events = ~loop->event_mask / sizeof(struct lade_event), n = 0;
	const struct lade_event *e = loop->events;

	for (; events > 1 && n < events; n++) {
		e = before(loop, e);
		if (!e->who && !e->what)
			break;
	}
	return n;
}

static enum event_kind kind_of(const struct lade_event *e)
{
	return (enum event_kind)(e->who % EVENT_KINDS);
}

static const struct lade_ctl *ctl_of(const struct lade_event *e)
{
	return (void *)(e->who & ~(uintptr_t)(EVENT_KINDS - 1));
}

static const struct lade_task_type *type_of(uintptr_t what)
{
	return (void *)(what & 1 ? what >> 16 << 3 : what);
}

/* Who a task is, by what was recorded of it afterwards and before. */
static void identify(const struct lade_loop *loop, size_t back, struct lade_recorded *ret)
{
	const struct lade_event *e = loop->events;
	size_t len = lade_record_len(loop);
	uint64_t started = loop->tasks_started;

	ret->number = 0;
	for (size_t i = 1; i <= len; i++) {
		e = before(loop, e);
		started -= kind_of(e) == EVENT_START;
		if (ctl_of(e) != ret->ctl || kind_of(e) == EVENT_CLOCK)
			continue;
		if (kind_of(e) == EVENT_END && i <= back)
			ret->type = type_of(e->what);
		if (kind_of(e) == EVENT_START && i >= back) {
			ret->number = started + 1;
			return;
		}
		if (kind_of(e) == EVENT_END && i > back)
			return;
	}
}

static void take_time(const struct lade_loop *loop, size_t back, struct lade_recorded *ret)
{
	const struct lade_event *e = loop->events;
	size_t len = lade_record_len(loop), clocks = 0;

	ret->at_ns = 0;
	for (size_t i = 1; i <= len; i++) {
		e = before(loop, e);
		if (kind_of(e) != EVENT_CLOCK)
			continue;
		clocks++;
		if (i < back)
			continue;
		ret->at_ns = (int64_t)e->what;
		ret->turns = e->who / EVENT_KINDS;
		return;
	}
	/* So long ago that no clock is left: all of them came after the last. */
	if (!clocks)
		ret->at_ns = loop->event_ns;
}

static void take_apart(const struct lade_loop *loop, const struct lade_event *e,
		       struct lade_recorded *ret)
{
	switch (ret->kind) {
	case EVENT_START:
	case EVENT_WAIT:
		ret->site = (const char *)e->what;
		break;
	case EVENT_COMPLETE:
		ret->status = (int)(intptr_t)e->what;
		break;
	case EVENT_REQUEST:
		ret->site = (const char *)(e->what & (UINTPTR_MAX >> 8));
		ret->reason = (enum lade_reason_kind)(e->what >> 58);
		ret->level = (enum level)(e->what >> 56 & 3);
		break;
	case EVENT_END:
		if (e->what & 1)
			ret->status = -(int)(e->what >> 1 & ERRNO_MAX);
		else if (kind_of(before(loop, e)) == EVENT_STATUS)
			ret->status = (int)(intptr_t)before(loop, e)->what;
		break;
	case EVENT_CANCELLED:
	default:
		break;
	}
}

bool lade_record_get(const struct lade_loop *loop, size_t back, struct lade_recorded *ret)
{
	const struct lade_event *e = loop->events;

	if (back < 1 || back > lade_record_len(loop))
		return false;
	for (size_t i = 0; i < back; i++)
		e = before(loop, e);
	if (kind_of(e) == EVENT_CLOCK || kind_of(e) == EVENT_STATUS)
		return false;
	*ret = (struct lade_recorded){ .kind = kind_of(e), .ctl = ctl_of(e) };
	take_apart(loop, e, ret);
	identify(loop, back, ret);
	take_time(loop, back, ret);
	return true;
}
