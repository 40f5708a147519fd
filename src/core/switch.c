/* SPDX-License-Identifier: MIT */
/* switch.c - the switches that need not be quick. */

#include "core/switch.h"

__attribute__((noinline)) void lade_leave(struct lade_ctl *ctl)
{
	lade_leave_inline(ctl);
}

__attribute__((noinline)) void lade_enter_tasks(struct lade_loop *loop)
{
	struct lade_ctl *next = lade_next_ready(loop);

	if (next)
		lade_switch_to(loop, &loop->context, next, false);
}
