/* SPDX-License-Identifier: MIT */
/* switch_test.c - what a function holds in registers is there again when it is switched back to. */

#include "core/switch.h"
#include "run.h"

#define EACH(M)                                                                                    \
	M(0) M(1) M(2) M(3) M(4) M(5) M(6) M(7) M(8) M(9) M(10) M(11) M(12) M(13) M(14) M(15)      \
	M(16) M(17) M(18) M(19) M(20) M(21) M(22) M(23) M(24) M(25) M(26) M(27) M(28) M(29) M(30)  \
	M(31)
#define LOAD_LONG(i) const long l##i = seeds[i];
#define LOAD_DOUBLE(i) const double d##i = (double)seeds[i] / 8;
#define BAD_LONG(i) +(l##i != seeds[i])
#define BAD_DOUBLE(i) +(d##i * 8 != (double)seeds[i])

static int bad_values; /* that were not what they had been before a switch */

/* More values than there are registers live across the switch, which is inlined here as it is in
 * lade's own files: a register that the switch forgets to name has one of them. */
static __attribute__((noinline)) int hold_longs(const volatile long *seeds)
{
	EACH(LOAD_LONG)
	lade_ready(lade_cur);
	lade_leave_inline(lade_cur);
	return EACH(BAD_LONG);
}

static __attribute__((noinline)) int hold_doubles(const volatile long *seeds)
{
	EACH(LOAD_DOUBLE)
	lade_ready(lade_cur);
	lade_leave_inline(lade_cur);
	return EACH(BAD_DOUBLE);
}

static int hold(long first, int rounds)
{
	volatile long seeds[32];

	for (int i = 0; i < 32; i++)
		seeds[i] = first + i;
	for (int i = 0; i < rounds; i++)
		bad_values += hold_longs(seeds) + hold_doubles(seeds);
	return 0;
}
LADE_TASK_VOID(hold, (long, first), (int, rounds))

/* Uneven rounds, so that each kind of values meets the other. */
IN_TASK(what_lives_in_registers_survives_the_switches_of_others)
{
	struct hold_task a = hold_task(1000, 3), b = hold_task(2000, 4), c = hold_task(3000, 9);
	int rc = 0;

	bad_values = 0;
	lade_scope(s, &rc) {
		lade_start(&s, &a);
		lade_start(&s, &b);
		lade_start(&s, &c);
	}
	CHECK_EQ(rc, 0);
	CHECK_EQ(bad_values, 0);
}

static bool walk_ended; /* at a return address of 0, in the task's own frames */

/* A debugger, and the explorer, follow the frames: they must not run on into another task's. */
static int walk(void)
{
	const struct lade_ctl *ctl = lade_cur;
	const uintptr_t *frame = __builtin_frame_address(0);

	while ((const char *)frame > ctl->stack && (const char *)frame < (const char *)ctl) {
		if (!frame[1])
			walk_ended = true;
		frame = walk_ended ? NULL : (const uintptr_t *)frame[0];
	}
	return 0;
}
LADE_TASK_VOID(walk)

IN_TASK(a_walk_along_the_frames_of_a_task_ends_where_it_began)
{
	struct walk_task t = walk_task();
	int rc = 0;

	lade_scope(s, &rc)
		lade_start(&s, &t);
	CHECK_EQ(rc, 0);
	CHECK(walk_ended);
}

int main(void)
{
	TAP(what_lives_in_registers_survives_the_switches_of_others);
#if defined(LADE_SWITCH_UCONTEXT)
	TAP_SKIP(a_walk_along_the_frames_of_a_task_ends_where_it_began,
		 "ucontext: the C library's frames");
#else
	TAP(a_walk_along_the_frames_of_a_task_ends_where_it_began);
#endif
	return tap_done();
}
