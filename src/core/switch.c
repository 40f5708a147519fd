/* SPDX-License-Identifier: MIT */
/* switch.c - where a context begins, and the switches that need not be quick. */

#include "core/switch.h"

void lade_context_init(struct lade_context *context, void *top, void (*entry)(void))
{
	/* As after a call: a return address that ends every walk, and a stack that is aligned
	 * once it has been pushed. */
	uintptr_t sp = (uintptr_t)top & ~(uintptr_t)15;

#if defined(__x86_64__)
	sp -= 16;
	((uintptr_t *)sp)[0] = ((uintptr_t *)sp)[1] = 0;
	sp += 8;
	((uintptr_t *)sp)[0] = 0;
#endif
	*context = (struct lade_context){ .sp = (void *)sp, .pc = (void *)(uintptr_t)entry };
}

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
