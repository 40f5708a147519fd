/* SPDX-License-Identifier: MIT */
#ifndef LADE_CORE_SANITIZE_H
#define LADE_CORE_SANITIZE_H

/* sanitize.h - tells ASan, TSan and Valgrind of stacks and switches; nothing in a plain build.
 *
 * ASan keeps a shadow and a fake stack per real one: a switch is announced before it happens and
 * confirmed on the other side. TSan thinks in fibers, one for each stack. Valgrind is told where
 * stacks lie, once each. */

#include "core/core_priv.h"

#if defined(__SANITIZE_ADDRESS__)
#define LADE_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define LADE_ASAN 1
#endif
#endif

#if defined(__SANITIZE_THREAD__)
#define LADE_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define LADE_TSAN 1
#endif
#endif

#if defined(LADE_ASAN)
#include <pthread.h>
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>

/* san_leave - before a switch; @fake is NULL when the running stack ends with it. */
static inline void san_leave(struct lade_loop *loop, const struct lade_ctl *next, void **fake)
{
	if (next)
		__sanitizer_start_switch_fiber(fake, next->stack, next->stack_bytes);
	else
		__sanitizer_start_switch_fiber(fake, loop->san_thread, loop->san_bytes);
}

/* san_arrive - after a switch, on the stack that was switched to. */
static inline void san_arrive(void *fake)
{
	__sanitizer_finish_switch_fiber(fake, NULL, NULL);
}

/* san_first_arrive - san_arrive on a stack that runs for the first time. */
static inline void san_first_arrive(void)
{
	__sanitizer_finish_switch_fiber(NULL, NULL, NULL);
}

/* san_stack_free - a stack has no frames any more. */
static inline void san_stack_free(struct lade_ctl *ctl)
{
	__asan_unpoison_memory_region(ctl->stack, ctl->stack_bytes);
}

static inline void san_stack_new(struct lade_ctl *ctl)
{
	(void)ctl;
}

static inline void san_stack_again(struct lade_ctl *ctl)
{
	(void)ctl;
}

static inline void san_stack_gone(struct lade_ctl *ctl)
{
	(void)ctl;
}

static inline void san_thread(struct lade_loop *loop)
{
	pthread_attr_t attr;

	if (pthread_getattr_np(pthread_self(), &attr))
		return;
	pthread_attr_getstack(&attr, &loop->san_thread, &loop->san_bytes);
	pthread_attr_destroy(&attr);
}
#elif defined(LADE_TSAN)
#include <sanitizer/tsan_interface.h>

static inline void san_leave(struct lade_loop *loop, const struct lade_ctl *next, void **fake)
{
	(void)fake;
	__tsan_switch_to_fiber(next ? next->san : loop->san_thread, 0);
}

static inline void san_arrive(void *fake)
{
	(void)fake;
}

static inline void san_first_arrive(void)
{
}

static inline void san_stack_free(struct lade_ctl *ctl)
{
	(void)ctl;
}

static inline void san_stack_new(struct lade_ctl *ctl)
{
	ctl->san = __tsan_create_fiber(0);
}

static inline void san_stack_again(struct lade_ctl *ctl)
{
	(void)ctl;
}

static inline void san_stack_gone(struct lade_ctl *ctl)
{
	__tsan_destroy_fiber(ctl->san);
}

static inline void san_thread(struct lade_loop *loop)
{
	loop->san_thread = __tsan_get_current_fiber();
}
#else
static inline void san_leave(struct lade_loop *loop, const struct lade_ctl *next, void **fake)
{
	(void)loop;
	(void)next;
	(void)fake;
}

static inline void san_arrive(void *fake)
{
	(void)fake;
}

static inline void san_first_arrive(void)
{
}

static inline void san_stack_free(struct lade_ctl *ctl)
{
	(void)ctl;
}

#if __has_include(<valgrind/memcheck.h>)
#include <valgrind/memcheck.h>

/* san_reads_memory - whether a tool reads the process's memory itself: a guarded page that only
 * system calls refuse would kill the tool. */
static inline bool san_reads_memory(void)
{
	return RUNNING_ON_VALGRIND;
}

static inline void san_stack_new(struct lade_ctl *ctl)
{
	ctl->san = (void *)(uintptr_t)VALGRIND_STACK_REGISTER(ctl->stack,
							      ctl->stack + ctl->stack_bytes);
}

/* san_stack_again - a stack is used anew: what the frames of its last task have left is no longer
 * out of bounds. */
static inline void san_stack_again(struct lade_ctl *ctl)
{
	(void)VALGRIND_MAKE_MEM_UNDEFINED(ctl->stack, (char *)ctl - ctl->stack);
}

/* san_stack_gone - a stack's memory goes; another may lie across its place later. */
static inline void san_stack_gone(struct lade_ctl *ctl)
{
	VALGRIND_STACK_DEREGISTER((uintptr_t)ctl->san);
}
#else
static inline void san_stack_new(struct lade_ctl *ctl)
{
	(void)ctl;
}

static inline void san_stack_again(struct lade_ctl *ctl)
{
	(void)ctl;
}

static inline void san_stack_gone(struct lade_ctl *ctl)
{
	(void)ctl;
}
#endif

static inline void san_thread(struct lade_loop *loop)
{
	(void)loop;
}
#endif

#if defined(LADE_ASAN) || defined(LADE_TSAN) || !__has_include(<valgrind/memcheck.h>)
static inline bool san_reads_memory(void)
{
	return false;
}
#endif

#endif
