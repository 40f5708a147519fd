/* SPDX-License-Identifier: MIT */
/* values.c - a task that ends well and has left its value unset.
 *
 * DESIGN
 * What a task's value is before the task writes it is anybody's: rest of a stack, or what the
 * caller has put there, to keep if the task fails or to be counted on from. So nothing is written
 * to it in the trials, where that would be felt: it is only looked at, as the task begins and as it
 * ends. One that has not changed although the task ended well is a suspicion; the same may have
 * been written. Each is looked into by two runs more, in which the value of just these tasks is
 * filled with a pattern as they begin: the trial once more, in which the pattern must still be
 * there, and the undisturbed run, in which it must not: a task that gives no value with some
 * status, as a stream's end has none, does so undisturbed too. What is then still to be excused
 * would have to be written the same as it was, and the same as the pattern.
 *
 * LIMITS  VALUE_BYTES of a value are looked at. */

#include "base/hash.h"
#include "core/start.h"
#include "explore/explore_priv.h"

#include <stdlib.h>
#include <string.h>

#define VALUE_BYTES 4096

/* The tasks whose values are filled, or NULL. */
static struct unset filled;

void explore_fill(const struct unset *which)
{
	filled = *which;
}

/* Where a task writes its value, and how large that is; NULL: it has none, or it is not known. */
static void *value_of(const struct lade_task *task, uint32_t *ret_bytes)
{
	const struct lade_task *named = lade_behind_shadow(task);
	const struct lade_task_type *type = named->type;
	void *to;

	if (!type->value_bytes)
		return NULL;
	/* The pointer to it comes first in the struct of every task that has a value. */
	memcpy(&to, named + 1, sizeof(to));
	if (!to && type->value_at)
		to = (char *)(uintptr_t)named + type->value_at;
	*ret_bytes = type->value_bytes < VALUE_BYTES ? type->value_bytes : VALUE_BYTES;
	return to;
}

static bool is_chosen(const struct lade_ctl *ctl)
{
	return filled.task && strcmp(filled.task, ctl->head->type->name) == 0 &&
	       strcmp(filled.site, ctl->head->site) == 0;
}

static unsigned char pattern(uint32_t i)
{
	return (unsigned char)(0xa5 + 7 * i);
}

static bool is_pattern(const struct value *v)
{
	for (uint32_t i = 0; i < v->bytes; i++)
		if (((const unsigned char *)v->at)[i] != pattern(i))
			return false;
	return true;
}

static void fill(struct value *v)
{
	v->before = malloc(v->bytes);
	if (!v->before)
		return;
	memcpy(v->before, v->at, v->bytes);
	for (uint32_t i = 0; i < v->bytes; i++)
		((unsigned char *)v->at)[i] = pattern(i);
}

bool explore_value_begins(const struct lade_ctl *ctl, struct value *ret)
{
	uint32_t bytes;
	void *to = value_of(ctl->head, &bytes);

	if (!to)
		return false;
	*ret = (struct value){ .at = to, .bytes = bytes };
	if (is_chosen(ctl))
		fill(ret);
	else if (!filled.task)
		ret->hash = lade_hash_fnv(LADE_HASH_FNV, ret->at, ret->bytes);
	return true;
}

/* Whether the value of a task that ends is still what it was; gives back what a pattern covers. */
static bool is_unset(struct value *v)
{
	bool is_covered;

	if (!filled.task)
		return v->hash == lade_hash_fnv(LADE_HASH_FNV, v->at, v->bytes);
	if (!v->before)
		return false;
	is_covered = is_pattern(v);
	if (is_covered)
		memcpy(v->at, v->before, v->bytes);
	free(v->before);
	return is_covered;
}

void explore_value_ends(const struct lade_ctl *ctl, struct value *v, int status,
			struct unset *ret)
{
	bool was_unset = is_unset(v);

	if (was_unset && status >= 0 && (!filled.task || status == filled.status))
		*ret = (struct unset){ .task = ctl->head->type->name,
				       .site = ctl->head->site,
				       .status = status };
}

bool explore_value_starts_here(const struct lade_ctl *ctl)
{
	return !ctl->context.bp && ctl->context.pc == (void *)(uintptr_t)lade_task_run;
}
