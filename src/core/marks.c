/* SPDX-License-Identifier: MIT */
/* marks.c - how deep tasks have used their stacks, by start line; only where it is asked for.
 *
 * DESIGN
 * The kernel knows which pages of a stack have been touched, so nothing is counted while tasks run.
 * But it does not know by whom, and a stack goes straight from one task to the next: unless it is
 * looked at in between, a deep task's use would be taken for a shallow one's, and lost for its own.
 * So with LADE_STACK_MARKS=1 each stack is measured and emptied before it is used again, which
 * costs two system calls and the page faults of the next task; without it nothing is kept, and
 * nothing is paid.
 *
 * LIMITS  whole pages; MARKS_MAX start lines, the others are not kept. Pages that were swapped out
 * count as untouched. */

#include "base/alloc.h"
#include "core/core_priv.h"
#include "core/stack.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define MARKS_MAX 1024
#define CHUNK_PAGES 256

struct stack_marks {
	uint32_t len; /* of list */
	struct stack_mark list[MARKS_MAX];
};

struct stack_marks *lade_marks_new(void)
{
	const char *wish = getenv("LADE_STACK_MARKS");

	if (!wish || !*wish || strcmp(wish, "0") == 0)
		return NULL;
	/* Without memory there are no marks: they are a help, not a service. */
	return lade_calloc(1, sizeof(struct stack_marks));
}

/* Bytes between the deepest page that was touched and the control block. */
static size_t touched_bytes(const struct lade_stacks *stacks, const struct lade_ctl *ctl)
{
	char *at = lade_stack_low(stacks, ctl), *end = (char *)(uintptr_t)ctl;

	while (at < end) {
		unsigned char pages[CHUNK_PAGES];
		size_t count = ((size_t)(end - at) + stacks->page_bytes - 1) / stacks->page_bytes;

		if (count > CHUNK_PAGES)
			count = CHUNK_PAGES;
		if (mincore(at, count * stacks->page_bytes, pages) < 0)
			return 0;
		for (size_t i = 0; i < count; i++)
			if (pages[i] & 1)
				return (size_t)(end - at) - i * stacks->page_bytes;
		at += count * stacks->page_bytes;
	}
	return 0;
}

/* The mark of a start line, whose text may stand in several places; NULL: no room. */
static struct stack_mark *mark_of(struct stack_marks *marks, const char *site)
{
	for (uint32_t i = 0; i < marks->len; i++)
		if (marks->list[i].site == site || strcmp(marks->list[i].site, site) == 0)
			return &marks->list[i];
	if (marks->len == MARKS_MAX)
		return NULL;
	marks->list[marks->len] = (struct stack_mark){ .site = site };
	return &marks->list[marks->len++];
}

void lade_marks_note(struct lade_stacks *stacks, const struct lade_ctl *ctl)
{
	const char *site = LADE_CONTAINER(ctl, const struct lade_top, ctl)->root.site;
	struct stack_mark *mark = mark_of(stacks->marks, site);
	size_t bytes = touched_bytes(stacks, ctl);

	if (!mark || bytes <= mark->bytes)
		return;
	mark->bytes = bytes;
	mark->stack_bytes = ctl->stack_bytes;
}

void lade_marks_take(struct lade_stacks *stacks, struct lade_ctl *ctl)
{
	char *low = lade_stack_low(stacks, ctl);
	size_t bytes = ((size_t)((char *)ctl - low)) & ~(stacks->page_bytes - 1);

	lade_marks_note(stacks, ctl);
	(void)madvise(low, bytes, MADV_DONTNEED);
}

const struct stack_mark *lade_marks_next(struct lade_stacks *stacks, const struct stack_mark *mark)
{
	struct stack_marks *marks = stacks->marks;

	if (!marks)
		return NULL;
	mark = mark ? mark + 1 : marks->list;
	return mark < marks->list + marks->len ? mark : NULL;
}
