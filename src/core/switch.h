/* SPDX-License-Identifier: MIT */
#ifndef LADE_CORE_SWITCH_H
#define LADE_CORE_SWITCH_H

/* switch.h - one context gives the core to another.
 *
 * DESIGN
 * The switch saves three words: stack pointer, frame pointer, and where to go on. All other
 * registers are declared clobbered, so the compiler saves just those that are live; the jump is
 * indirect, because a `ret` to another stack is mispredicted every time.
 * Floating-point control words are per loop: a task that changes them restores them before it
 * suspends.
 *
 * A task that parks takes the next one from the ready queue itself and switches straight to it;
 * the loop's own context runs only when the queue is empty or the turn is over. Composites have
 * no stack: their turn is a call, made by whoever finds them in the queue.
 *
 * After a switch every return is mispredicted until the frames that the predictor remembers are
 * used up: about 8 ns each. So the switch is inlined into the functions that users call, one
 * return away from their code; and a task's end switches from the frame that began the task, so
 * that calls and returns stay paired and its waiting parent returns as predicted. It is inlined
 * into lade's own files only, never into user code. */

#include "core/record.h"
#include "core/sanitize.h"
#include "lade_config.h"

#if !defined(LADE_SWITCH_UCONTEXT)
#if defined(__x86_64__)

#if defined(__AVX512F__)
#define WIDE_CLOBBERS                                                                              \
	, "xmm16", "xmm17", "xmm18", "xmm19", "xmm20", "xmm21", "xmm22", "xmm23", "xmm24",         \
		"xmm25", "xmm26", "xmm27", "xmm28", "xmm29", "xmm30", "xmm31", "k1", "k2", "k3",   \
		"k4", "k5", "k6", "k7"
#else
#define WIDE_CLOBBERS
#endif

static inline __attribute__((always_inline)) void lade_swap(struct lade_context *from,
							    const struct lade_context *to)
{
	__asm__ volatile("leaq 1f(%%rip), %%rax\n\t"
			 "movq %%rsp, 0(%0)\n\t"
			 "movq %%rax, 8(%0)\n\t"
			 "movq %%rbp, 16(%0)\n\t"
			 "movq 0(%1), %%rsp\n\t"
			 "movq 16(%1), %%rbp\n\t"
			 "jmpq *8(%1)\n\t"
			 "1:"
			 : "+D"(from), "+S"(to)
			 :
			 : "rax", "rbx", "rcx", "rdx", "r8", "r9", "r10", "r11", "r12", "r13",
			   "r14", "r15", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6",
			   "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14",
			   "xmm15", "memory", "cc" WIDE_CLOBBERS);
}

#elif defined(__aarch64__)

#if defined(__ARM_FEATURE_SVE)
#define WIDE_CLOBBERS                                                                              \
	, "p0", "p1", "p2", "p3", "p4", "p5", "p6", "p7", "p8", "p9", "p10", "p11", "p12", "p13",  \
		"p14", "p15"
#else
#define WIDE_CLOBBERS
#endif

/* Where a processor checks where jumps land, a context goes on at a landing pad; a jump by x16 may
 * also begin a function, as a call may. */
#if defined(__ARM_FEATURE_BTI_DEFAULT)
#define LANDING "hint #36 // bti j"
#else
#define LANDING ""
#endif

/* x18 is an ordinary scratch register on Linux, in which compilers keep what lives across the
 * switch: it is clobbered like the others. x29, the frame pointer, cannot be named and is saved by
 * hand. A context that begins finds 0 in x30, its return address, which ends every walk. */
static inline __attribute__((always_inline)) void lade_swap(struct lade_context *from,
							    const struct lade_context *to)
{
	register struct lade_context *x0 __asm__("x0") = from;
	register const struct lade_context *x1 __asm__("x1") = to;

	__asm__ volatile("adr x2, 1f\n\t"
			 "mov x3, sp\n\t"
			 "stp x3, x2, [x0]\n\t"
			 "str x29, [x0, #16]\n\t"
			 "ldp x3, x16, [x1]\n\t"
			 "ldr x29, [x1, #16]\n\t"
			 "mov x30, xzr\n\t"
			 "mov sp, x3\n\t"
			 "br x16\n\t"
			 "1:" LANDING
			 : "+r"(x0), "+r"(x1)
			 :
			 : "x2", "x3", "x4", "x5", "x6", "x7", "x8", "x9", "x10", "x11", "x12",
			   "x13", "x14", "x15", "x16", "x17", "x18", "x19", "x20", "x21", "x22",
			   "x23", "x24", "x25", "x26", "x27", "x28", "x30", "v0", "v1", "v2", "v3",
			   "v4", "v5", "v6", "v7", "v8", "v9", "v10", "v11", "v12", "v13", "v14",
			   "v15", "v16", "v17", "v18", "v19", "v20", "v21", "v22", "v23", "v24",
			   "v25", "v26", "v27", "v28", "v29", "v30", "v31", "memory",
			   "cc" WIDE_CLOBBERS);
}

#else
#error "no switch for this architecture: configure with ucontext"
#endif
#else

#include <ucontext.h>

/* The C library's own switch, with a system call for the signal mask: for processors that have none
 * above. A suspended task's registers lie on its stack, where sp points; bp is NULL until it has
 * begun. Never inlined: getcontext returns twice. */
void lade_swap(struct lade_context *from, const struct lade_context *to);

#endif

/* lade_context_init - makes a context that begins in @entry on a stack whose top is @top. */
static inline void lade_context_init(struct lade_context *context, void *top, void (*entry)(void))
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

/* lade_next_ready - the next to run: a task, or NULL for the loop. */
static inline __attribute__((always_inline)) struct lade_ctl *
lade_next_ready(struct lade_loop *loop)
{
	for (;;) {
		struct lade_ctl *next = loop->ready_head;

		if (!next || loop->taken == loop->turn_end)
			return NULL;
		loop->ready_head = next->ready_next;
		loop->taken++;
		if (lade_likely(next->context.sp))
			return next;
		next->ready(next);
	}
}

/* lade_switch_to - switches to a task or, for NULL, to the loop. */
static inline __attribute__((always_inline)) void lade_switch_to(struct lade_loop *loop,
								 struct lade_context *from,
								 struct lade_ctl *next,
								 bool for_ever)
{
	void *fake = NULL;

	loop->inline_left = loop->inline_budget;
	lade_cur = next ? next : &lade_outside;
	san_leave(loop, next, for_ever ? NULL : &fake);
	lade_swap(from, next ? &next->context : &loop->context);
	san_arrive(fake);
}

/* lade_leave_inline - lade_leave for the calls that must be quick. */
static inline __attribute__((always_inline)) void lade_leave_inline(struct lade_ctl *ctl)
{
	struct lade_loop *loop = ctl->loop;
	struct lade_ctl *next;

	if (lade_unlikely(ctl->flags & CTL_CANARY))
		lade_stack_check(ctl);
	next = lade_next_ready(loop);
	if (lade_unlikely(next == ctl))
		loop->inline_left = loop->inline_budget;
	else
		lade_switch_to(loop, &ctl->context, next, false);
}

/* lade_op_wait_inline - lade_op_wait for the calls that must be quick. */
static inline __attribute__((always_inline)) int lade_op_wait_inline(struct lade_op *op)
{
	struct lade_ctl *ctl = lade_cur;
	struct lade_loop *loop = ctl->loop;
	int64_t now_ns = loop->now_ns;

	lade_record(loop, EVENT_WAIT, ctl, op->site);
	op->task = ctl;
	op->since_ns = now_ns;
	op->state = OP_PARKED;
	ctl->wait = op;
	lade_leave_inline(ctl);
	return op->result;
}

#endif
