/* SPDX-License-Identifier: MIT */
#ifndef LADE_BASE_ALLOC_H
#define LADE_BASE_ALLOC_H

/* alloc.h - malloc and its family, which a test can make fail at the n-th call.
 *
 * Every layer of the library allocates through these five, so that one loop in a
 * test visits every "out of memory" there is:
 *
 *	for (long n = 1;; n++) {
 *		lade_alloc_fail_at(n);
 *		rc = scenario();
 *		if (lade_alloc_fail_at(0) > 0)
 *			break;			// there were fewer than n allocations
 *		CHECK(rc == -ENOMEM);
 *	}
 *
 * Memory from one of them is freed by lade_free() only.  Threads: any. */

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>

/* lade_alloc_fail_at - makes the @n-th allocation from now fail, once; 0: none.
 *
 * The count runs over all threads.  Returns what was left of the count before: 0 if it
 * had run out (the failure happened) or was never set.  For tests. */
long lade_alloc_fail_at(long n);

/* Allocations to come up to the one that fails; 0: none.  Only for this header. */
extern atomic_long lade_alloc_countdown;

/* lade_alloc_counted - counts one allocation; true if it is the one to fail. */
bool lade_alloc_counted(void);

/* lade_alloc_fails - true if this allocation must fail: one load where no test runs. */
static inline bool lade_alloc_fails(void)
{
	if (__builtin_expect(
		    !atomic_load_explicit(&lade_alloc_countdown, memory_order_relaxed), 1))
		return false;
	return lade_alloc_counted();
}

/* lade_malloc - malloc(3); NULL is -ENOMEM. */
__attribute__((malloc, alloc_size(1))) static inline void *lade_malloc(size_t bytes)
{
	return lade_alloc_fails() ? NULL : malloc(bytes);
}

/* lade_calloc - calloc(3): zeroed, and NULL if the product overflows. */
__attribute__((malloc, alloc_size(1, 2))) static inline void *lade_calloc(size_t n, size_t bytes)
{
	return lade_alloc_fails() ? NULL : calloc(n, bytes);
}

/* lade_aligned_alloc - aligned_alloc(3), of a size that need not be a multiple of @align. */
__attribute__((malloc, alloc_align(1), alloc_size(2))) static inline void *
lade_aligned_alloc(size_t align, size_t bytes)
{
	bytes = (bytes + align - 1) / align * align;
	return lade_alloc_fails() ? NULL : aligned_alloc(align, bytes);
}

/* lade_realloc - realloc(3): on NULL the old memory stays as it was. */
__attribute__((alloc_size(2))) static inline void *lade_realloc(void *old, size_t bytes)
{
	return lade_alloc_fails() ? NULL : realloc(old, bytes);
}

/* lade_free - frees @mem; NULL is allowed. */
static inline void lade_free(void *mem)
{
	free(mem);
}

#endif
