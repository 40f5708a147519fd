/* SPDX-License-Identifier: MIT */
#ifndef LADE_BASE_LIST_H
#define LADE_BASE_LIST_H

/* list.h - a doubly linked list whose links sit inside its elements.
 *
 * INVARIANT  a head and every linked element satisfy x->next->prev == x; an empty head points
 * at itself. An unlinked element's fields mean nothing. */

#include <lade/layout.h>

/* LADE_CONTAINER - the struct that holds @member, given a pointer to the member. */
#define LADE_CONTAINER(ptr, type, member) ((type *)(void *)((char *)(ptr) - offsetof(type, member)))

/* lade_list_init - makes an empty list. */
static inline void lade_list_init(struct lade_link *head)
{
	head->next = head->prev = head;
}

/* lade_list_empty - whether a list has no element. */
static inline bool lade_list_empty(const struct lade_link *head)
{
	return head->next == head;
}

/* lade_list_append - puts an unlinked element last. */
static inline void lade_list_append(struct lade_link *head, struct lade_link *it)
{
	it->next = head;
	it->prev = head->prev;
	head->prev->next = it;
	head->prev = it;
}

/* lade_list_remove - takes an element out of its list. */
static inline void lade_list_remove(struct lade_link *it)
{
	it->prev->next = it->next;
	it->next->prev = it->prev;
}

/* lade_list_pop - takes the first element out, or gives NULL. */
static inline struct lade_link *lade_list_pop(struct lade_link *head)
{
	struct lade_link *it = head->next;

	if (it == head)
		return NULL;
	lade_list_remove(it);
	return it;
}

#endif
