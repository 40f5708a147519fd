/* SPDX-License-Identifier: MIT */
#ifndef LADE_TESTS_MANY_H
#define LADE_TESTS_MANY_H

/* many.h - how often a test does a thing again: less where a sanitizer, Valgrind or an emulator
 * makes everything slow and large. */

/* RUN_MANY - @n, or a fifth of it. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || defined(LADE_EMULATED)
#define RUN_MANY(n) ((n) / 5)
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define RUN_MANY(n) ((n) / 5)
#endif
#endif
#if !defined(RUN_MANY) && __has_include(<valgrind/valgrind.h>)
#include <valgrind/valgrind.h>
#define RUN_MANY(n) ((n) / (RUNNING_ON_VALGRIND ? 5 : 1))
#elif !defined(RUN_MANY)
#define RUN_MANY(n) (n)
#endif

#endif
