/* SPDX-License-Identifier: MIT */
#ifndef LADE_TESTS_FAULTS_H
#define LADE_TESTS_FAULTS_H

/* faults.h - makes the n-th system call of a program fail.
 *
 * The program is linked with --wrap for each call that the library makes, so that the library's
 * code is what is shipped and knows nothing of it. A failed call does nothing and says what its
 * manual page says it may: what could not happen on a real system is not tried. */

#include <stdbool.h>

/* What is made to fail. */
enum fault_kind {
	FAULT_ERROR,	 /* any call, with an error for good */
	FAULT_INTERRUPT, /* those that wait, with EINTR: a signal that means nothing */
	FAULT_ALLOCATE,	 /* allocations of memory, see base/alloc.h */
};

/* faults_begin - makes the @n-th call from now fail, once; the count runs over all threads. */
void faults_begin(enum fault_kind kind, long n);

/* faults_only - of the calls of this name alone the n-th fails; NULL: of all of them. Threads call
 * in an order that differs from run to run, so that counting all may miss what is rare. */
void faults_only(const char *name);

/* faults_end - stops counting.  Returns whether a call was made to fail; @ret_name is its name and
 * @ret_rc the -errno that it stands for. */
bool faults_end(const char **ret_name, int *ret_rc);

/* faults_count - calls since faults_begin, where that was for no allocation: those that can fail,
 * and those of them that a signal can interrupt. */
void faults_count(long *ret_calls, long *ret_interruptible);

/* faults_maps - mappings that were made and not given back. */
int faults_maps(void);

/* faults_names - the name service says this: @count addresses, after the gate has opened @gated
 * times; 0 addresses: the real answer. */
void faults_names(int count, bool gated);

/* faults_open_gate - lets one look-up that waits go on. */
void faults_open_gate(void);

/* faults_at_gate - look-ups that have come to the gate so far. */
int faults_at_gate(void);

#endif
