/* SPDX-License-Identifier: MIT */
/* heap.c - an intrusive pairing heap of timers.
 *
 * DESIGN
 * A time-out is armed often and fires almost never. In a pairing heap such a timer is inserted by
 * one comparison as a child of the root and removed as a leaf by two pointer writes; arming needs
 * no memory, so opening a deadline cannot fail. A binary heap in an array would be as quick but
 * must grow; a timing wheel rounds. The price: taking the root after n later timers were inserted
 * costs n comparisons once (2 ns each); every later step is logarithmic.
 *
 * INVARIANT  a child is not earlier than its parent; prev of a first child is its parent, of the
 * root the anchor; prev of a timer in no heap is NULL. Time ties go by @order. */

#include "base/heap.h"

static bool earlier(const struct lade_timer *a, const struct lade_timer *b)
{
	return a->at_ns != b->at_ns ? a->at_ns < b->at_ns : a->order < b->order;
}

/* Makes the later of two roots the first child of the earlier one. */
static struct lade_timer *meld(struct lade_timer *a, struct lade_timer *b)
{
	if (earlier(b, a)) {
		struct lade_timer *swap = a;

		a = b;
		b = swap;
	}
	b->next = a->child;
	if (b->next)
		b->next->prev = b;
	b->prev = a;
	a->child = b;
	a->next = NULL;
	return a;
}

/* Melds a list of siblings into one tree: in pairs forward, then all backward. */
static struct lade_timer *merge(struct lade_timer *first)
{
	struct lade_timer *pairs = NULL, *root;

	while (first) {
		struct lade_timer *a = first, *b = a->next;

		first = b ? b->next : NULL;
		if (b)
			a = meld(a, b);
		a->next = pairs;
		pairs = a;
	}
	root = pairs;
	if (!root)
		return NULL;
	pairs = root->next;
	root->next = NULL;
	while (pairs) {
		struct lade_timer *next = pairs->next;

		root = meld(root, pairs);
		pairs = next;
	}
	return root;
}

static void set_root(struct lade_heap *heap, struct lade_timer *root)
{
	heap->anchor.child = root;
	if (root) {
		root->prev = &heap->anchor;
		root->next = NULL;
	}
}

void lade_heap_insert(struct lade_heap *heap, struct lade_timer *timer)
{
	struct lade_timer *root = heap->anchor.child;

	timer->child = timer->next = NULL;
	set_root(heap, root ? meld(root, timer) : timer);
}

void lade_heap_remove(struct lade_heap *heap, struct lade_timer *timer)
{
	struct lade_timer *below = timer->child ? merge(timer->child) : NULL;

	if (timer->prev == &heap->anchor) {
		set_root(heap, below);
	} else {
		if (timer->prev->child == timer)
			timer->prev->child = timer->next;
		else
			timer->prev->next = timer->next;
		if (timer->next)
			timer->next->prev = timer->prev;
		if (below)
			set_root(heap, meld(heap->anchor.child, below));
	}
	timer->prev = NULL;
}

bool lade_heap_check(const struct lade_heap *heap)
{
	const struct lade_timer *t = heap->anchor.child;

	if (t && (t->prev != &heap->anchor || t->next))
		return false;
	/* A walk without recursion: the heap of a million deadlines may be that deep. */
	while (t) {
		if (t->child) {
			if (t->child->prev != t || earlier(t->child, t))
				return false;
			t = t->child;
			continue;
		}
		while (!t->next && t->prev != &heap->anchor) {
			while (t->prev->child != t)
				t = t->prev;
			t = t->prev;
		}
		if (t->prev == &heap->anchor)
			break;
		if (t->next->prev != t)
			return false;
		t = t->next;
		for (const struct lade_timer *p = t; p->prev; p = p->prev)
			if (p->prev->child == p) {
				if (p->prev != &heap->anchor && earlier(t, p->prev))
					return false;
				break;
			}
	}
	return true;
}
