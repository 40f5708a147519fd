/* SPDX-License-Identifier: MIT */
#ifndef LADE_CORE_FRAMES_H
#define LADE_CORE_FRAMES_H

/* frames.h - the stack of a task as addresses, and addresses as names.
 *
 * Frames are found by frame pointers: where code was compiled without them only its innermost
 * function is. Names come from the symbol tables of the program's files; a stripped file has names
 * for what it exports and for nothing else. */

#include "core/core_priv.h"

#define LADE_FRAMES_MAX 16

/* Where to begin, and the memory in which frames may lie. */
struct lade_frames_from {
	uintptr_t pc;	/* where the innermost function is; 0: unknown, it is the caller's own */
	uintptr_t bp;	/* its frame pointer */
	uintptr_t sp;	/* its stack pointer, if bp may be anything: it was interrupted; else 0 */
	uintptr_t low;	/* frames lie above this */
	uintptr_t high; /* and below this */
};

/* lade_frames_prepare - notes where code is, for stacks that are interrupted from now on.
 *
 * Threads: one at a time, not from a signal handler. */
void lade_frames_prepare(void);

/* lade_frames - return addresses, innermost first.  Returns how many.
 *
 * With @careful the stack may be anything, and is read so. */
uint32_t lade_frames(const struct lade_frames_from *from, bool careful,
		     uintptr_t pcs[LADE_FRAMES_MAX]);

/* lade_frames_of - lade_frames of a task, from where it goes on, or, given the frame pointer of a
 * function that runs on its stack, from that function's caller. A composite has none. @ctl may be a
 * copy. */
uint32_t lade_frames_of(const struct lade_ctl *ctl, const void *bp, bool careful,
			uintptr_t pcs[LADE_FRAMES_MAX]);

/* lade_file_of - the file in which an address lies, and what the file calls it.
 *
 * Returns false if it is in none. @ret_file is valid as long as the file stays loaded. */
bool lade_file_of(uintptr_t pc, const char **ret_file, uintptr_t *ret_address);

struct lade_symbols;

/* lade_symbols_new - what lade_symbol needs; NULL without memory, which lade_symbol bears.
 *
 * Threads: not from a signal handler. */
struct lade_symbols *lade_symbols_new(void);
struct lade_symbols *lade_symbols_free(struct lade_symbols *s);

/* lade_symbol - writes the function in which an address lies, "name+0x1f", or where there is none
 * the address, "0x55d0c0de". */
void lade_symbol(struct lade_symbols *s, uintptr_t pc, char *text, size_t len);

#endif
