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

#if defined(LADE_SWITCH_UCONTEXT)

#define UCONTEXT_STACK_BYTES 16384 /* of a stack that has as much; only its top counts */

/* The registers of a task that has not begun: those of here, on its own stack. */
static void make_context(ucontext_t *ret, const struct lade_context *of)
{
	getcontext(ret);
	ret->uc_stack.ss_sp = (char *)of->sp - UCONTEXT_STACK_BYTES;
	ret->uc_stack.ss_size = UCONTEXT_STACK_BYTES;
	ret->uc_link = NULL;
	makecontext(ret, (void (*)(void))(uintptr_t)of->pc, 0);
}

__attribute__((noinline)) void lade_swap(struct lade_context *from, const struct lade_context *to)
{
	ucontext_t mine, fresh;

	from->sp = &mine;
	from->pc = __builtin_return_address(0);
	from->bp = __builtin_frame_address(0);
	if (to->bp) {
		swapcontext(&mine, to->sp);
	} else {
		make_context(&fresh, to);
		swapcontext(&mine, &fresh);
	}
}

#endif
