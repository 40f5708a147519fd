/* SPDX-License-Identifier: MIT */
/* stack.c - task stacks: cut from large reservations, guarded, recycled hot.
 *
 * DESIGN
 * A reservation of address space is cut into slots of one size; the kernel gives pages as they are
 * touched. One mapping holds thousands of stacks, so the limit on mappings (65,530) does not limit
 * tasks. Free slots form a stack of their own: the one used last is taken first, its pages are
 * warm; a first touch costs 2 us. The control block lies at the slot's top, shifted by a colour,
 * so that the blocks of many tasks do not fall into the same cache sets.
 *
 * GUARDS, the best that works here:
 *   madvise   MADV_GUARD_INSTALL (kernel 6.13): no mapping is split, 1 us each. A probe has a
 *             system call read a guarded page: only EFAULT counts, an emulator may answer 0.
 *   mprotect  two mappings a stack: for the first 25,000 stacks; for 5,000 under Valgrind, which
 *             dies of more than 30,000 mappings.
 *   canary    a word below the stack's end, checked when the task suspends or ends: finds an
 *             overflow late, and its message says so. It is the last word of the slot below, in the
 *             page that holds that slot's control block: a page of its own would double what an
 *             idle task costs.
 *
 * LIMITS  stacks_max stacks in use at once (2,000,000 unless set); then no stack can be had. Slots
 * are 64 KiB, and up by factors of four to 16 MiB. */

#include "base/alloc.h"
#include "core/stack.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#endif

#define SMALLEST_SLOT ((size_t)64 << 10)
#define STACKS_MAX_DEFAULT 2000000u
#define MPROTECT_MAX 25000u
#define MPROTECT_MAX_WATCHED 5000u
#define GUARD_MAX ((size_t)64 << 10)
#define CANARY UINT64_C(0x6c6164655f656e64)
#define HEAD_BYTES SMALLEST_SLOT /* of a reservation: room below the first slot */
#define COLOURS 16
#define COLOUR_BYTES 128
#define TRIM_AT_ONCE 64
#define TRIM_KEEP_BYTES ((size_t)16 << 10)

static bool probe_madvise(size_t page_bytes)
{
	void *page = mmap(NULL, page_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			  -1, 0);
	bool works;

	if (page == MAP_FAILED)
		return false;
	works = madvise(page, page_bytes, MADV_GUARD_INSTALL) == 0 && access(page, F_OK) < 0 &&
		errno == EFAULT;
	munmap(page, page_bytes);
	return works;
}

static enum stack_guard best_guard(size_t page_bytes)
{
	const char *wish = getenv("LADE_GUARD");

	if (wish && strcmp(wish, "canary") == 0)
		return GUARD_CANARY;
	if ((wish && strcmp(wish, "mprotect") == 0) || san_reads_memory() ||
	    !probe_madvise(page_bytes))
		return GUARD_MPROTECT;
	return GUARD_MADVISE;
}

struct lade_stacks *lade_stacks_new(uint32_t max)
{
	struct lade_stacks *stacks = lade_calloc(1, sizeof(*stacks));

	if (!stacks)
		return NULL;
	stacks->page_bytes = (size_t)sysconf(_SC_PAGESIZE);
	stacks->max = max ? max : STACKS_MAX_DEFAULT;
	stacks->guard = best_guard(stacks->page_bytes);
	stacks->guarded_max = san_reads_memory() ? MPROTECT_MAX_WATCHED : MPROTECT_MAX;
	stacks->marks = lade_marks_new();
	stacks->watched = san_reads_memory() || stacks->marks;
	for (int i = 0; i < STACK_CLASSES; i++)
		stacks->classes[i].slot_bytes = SMALLEST_SLOT << (2 * i);
	return stacks;
}

struct lade_stacks *lade_stacks_free(struct lade_stacks *stacks)
{
	for (int i = 0; stacks && i < STACK_CLASSES; i++) {
		struct stack_reservation *r, *next;

		/* No task is left: every slot that was cut is in the list of free ones. */
		for (struct lade_ctl *ctl = stacks->classes[i].free; ctl; ctl = ctl->ready_next)
			san_stack_gone(ctl);
		for (r = stacks->classes[i].reservations; r; r = next) {
			next = r->next;
			munmap(r->start, r->bytes);
			lade_free(r);
		}
	}
	if (stacks)
		lade_free(stacks->marks);
	lade_free(stacks);
	return NULL;
}

const char *lade_stack_guards(const struct lade_stacks *stacks)
{
	static const char *const names[] = { "madvise", "mprotect", "canary" };

	return names[stacks->guard];
}

/* Reserves address space: more with each call, from 64 slots to 4,096. */
static bool reserve(struct stack_class *class)
{
	size_t slots = class->slots < 64 ? 64 : class->slots > 4096 ? 4096 : class->slots;
	struct stack_reservation *r = lade_malloc(sizeof(*r));

	if (!r)
		return false;
	r->bytes = HEAD_BYTES + slots * class->slot_bytes;
	r->start = mmap(NULL, r->bytes, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
	if (r->start == MAP_FAILED) {
		lade_free(r);
		return false;
	}
	(void)madvise(r->start, r->bytes, MADV_NOHUGEPAGE);
	r->next = class->reservations;
	class->reservations = r;
	class->cut_bytes = HEAD_BYTES;
	return true;
}

static size_t guard_bytes(const struct lade_stacks *stacks, size_t slot_bytes)
{
	/* A frame of up to this size cannot jump over the guard. mprotect splits the mapping
	 * the same for one page as for many. */
	size_t bytes = slot_bytes / 4 < GUARD_MAX ? slot_bytes / 4 : GUARD_MAX;

	return bytes < stacks->page_bytes ? stacks->page_bytes : bytes;
}

_Static_assert(sizeof(struct lade_top) % sizeof(uint64_t) == 0,
	       "the last word of a slot is free: its blocks begin at cache lines");

static uint64_t *canary_of(char *slot)
{
	return (uint64_t *)(void *)slot - 1;
}

/* Guards a new slot's low end; falls back to what still works. */
static uint32_t set_guard(struct lade_stacks *stacks, char *slot, size_t slot_bytes)
{
	size_t bytes = guard_bytes(stacks, slot_bytes);

	if (stacks->guard == GUARD_MADVISE) {
		if (madvise(slot, bytes, MADV_GUARD_INSTALL) == 0)
			return 0;
		stacks->guard = GUARD_MPROTECT;
	}
	if (stacks->guard == GUARD_MPROTECT) {
		if (stacks->guarded < stacks->guarded_max &&
		    mprotect(slot, bytes, PROT_NONE) == 0) {
			stacks->guarded++;
			return 0;
		}
		stacks->guard = GUARD_CANARY;
	}
	*canary_of(slot) = CANARY;
	return CTL_CANARY;
}

static struct lade_ctl *cut_slot(struct lade_stacks *stacks, struct stack_class *class)
{
	size_t colour = class->slots % COLOURS * COLOUR_BYTES;
	struct lade_ctl *ctl;
	char *slot;

	if ((!class->reservations || class->cut_bytes == class->reservations->bytes) &&
	    !reserve(class))
		return NULL;
	slot = class->reservations->start + class->cut_bytes;
	class->cut_bytes += class->slot_bytes;
	class->slots++;
	ctl = (void *)(slot + class->slot_bytes - sizeof(struct lade_top) / 64 * 64 - 64 - colour);
	ctl->flags = set_guard(stacks, slot, class->slot_bytes);
	ctl->stack = slot;
	ctl->stack_bytes = class->slot_bytes;
	ctl->stack_class = (uint32_t)(class - stacks->classes);
	ctl->san = NULL;
	san_stack_new(ctl);
	return ctl;
}

static struct stack_class *class_of(struct lade_stacks *stacks, size_t bytes)
{
	for (int i = 0; i < STACK_CLASSES; i++)
		if (bytes <= stacks->classes[i].slot_bytes)
			return &stacks->classes[i];
	return NULL;
}

struct lade_ctl *lade_stack_take_any(struct lade_stacks *stacks, size_t bytes)
{
	struct stack_class *class = class_of(stacks, bytes);
	struct lade_ctl *ctl;

	if (!class || stacks->in_use >= stacks->max)
		return NULL;
	ctl = class->free;
	if (ctl) {
		class->free = ctl->ready_next;
		if (stacks->marks && !(ctl->flags & CTL_TRIMMED))
			lade_marks_take(stacks, ctl);
		ctl->flags &= CTL_CANARY;
		if (stacks->watched)
			san_stack_again(ctl);
	} else {
		ctl = cut_slot(stacks, class);
		if (!ctl)
			return NULL;
	}
	stacks->in_use++;
	return ctl;
}

char *lade_stack_low(const struct lade_stacks *stacks, const struct lade_ctl *ctl)
{
	return ctl->stack + (ctl->flags & CTL_CANARY ? 0 : guard_bytes(stacks, ctl->stack_bytes));
}

/* Gives back the pages of a free slot that lie deeper than what every task touches. */
static void trim_slot(struct lade_stacks *stacks, struct lade_ctl *ctl)
{
	char *low = lade_stack_low(stacks, ctl);

	if (stacks->marks)
		lade_marks_take(stacks, ctl);
	else
		(void)madvise(low, (size_t)(ctl->stack + ctl->stack_bytes - low) - TRIM_KEEP_BYTES,
			      MADV_DONTNEED);
	ctl->flags |= CTL_TRIMMED;
}

void lade_stacks_measure(struct lade_stacks *stacks)
{
	for (int i = 0; i < STACK_CLASSES; i++) {
		struct lade_ctl *ctl = stacks->classes[i].free;

		for (; ctl && !(ctl->flags & CTL_TRIMMED); ctl = ctl->ready_next)
			trim_slot(stacks, ctl);
	}
}

void lade_stacks_trim(struct lade_stacks *stacks)
{
	int left = TRIM_AT_ONCE;

	for (int i = 0; i < STACK_CLASSES; i++) {
		struct lade_ctl *ctl = stacks->classes[i].free;

		/* The slots used since the last time lie on top of those that are clean. */
		for (; ctl && left && !(ctl->flags & CTL_TRIMMED); ctl = ctl->ready_next, left--)
			trim_slot(stacks, ctl);
	}
}

void lade_stack_check(const struct lade_ctl *ctl)
{
	if (*canary_of(ctl->stack) != CANARY)
		lade_misuse("task %s, started at %s, has overrun its stack of %zu bytes; this "
			    "system has no guard left for it, so it is found late, when the task "
			    "suspends or ends. Give it .stack_bytes.",
			    ctl->head->type->name, ctl->head->site, ctl->stack_bytes);
}

bool lade_stack_in_guard(const struct lade_ctl *ctl, const void *address)
{
	const char *at = address;

	return ctl->stack && at >= ctl->stack && at < ctl->stack + ctl->stack_bytes / 4;
}
