/* SPDX-License-Identifier: MIT */
#ifndef LADE_CORE_TEXT_H
#define LADE_CORE_TEXT_H

/* text.h - text for a descriptor, made where nothing else may be called: in a signal handler.
 *
 * No allocation, no lock, no locale: write(2) and a system call that reads memory. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Text on its way; it is gathered, so that a line costs no system call of its own. */
struct lade_text {
	int fd;	      /* where it goes */
	bool careful; /* strings may be anything: they are read as lade_peek does */
	size_t len;   /* bytes gathered */
	char text[1024];
};

/* lade_text_say - adds text; of printf's conversions %s, %c, %d, %u, %lu, %zu, %lx and %*s.
 *
 * A string of more than 511 bytes is cut. */
__attribute__((format(printf, 2, 3))) void lade_text_say(struct lade_text *t, const char *format,
							 ...);

/* lade_text_seconds - adds a time in seconds, with three decimals: "-0.250 s". */
void lade_text_seconds(struct lade_text *t, int64_t ns);

/* lade_text_flush - writes what is gathered; text that nobody takes is lost. */
void lade_text_flush(struct lade_text *t);

/* lade_peek - copies memory; with @careful memory that may not be there.  Returns whether it was;
 * if not, @to has what was there before it ends, and zeros. */
bool lade_peek(bool careful, void *to, const void *from, size_t len);

#endif
