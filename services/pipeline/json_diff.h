/* SPDX-License-Identifier: MIT */
#ifndef LADE_PIPELINE_JSON_DIFF_H
#define LADE_PIPELINE_JSON_DIFF_H

/* json_diff.h - where two documents say different things. */

#include <stddef.h>

#include <lade/json.h>

/* Told of a difference. @path is "" for the whole, or as .a.b[0]; a side that has nothing there is
 * NULL. */
typedef void lade_json_differs(void *arg, const char *path, const char *expected,
			       size_t expected_len, const char *found, size_t found_len);

/* lade_json_diff - compares two valid documents as values: blanks, the order of members, escapes
 * and the way in which a number is written count for nothing.
 *
 * Returns how many differences there are; @fn is told of the first 20. */
int lade_json_diff(const char *expected, size_t expected_len, const char *found, size_t found_len,
		   lade_json_differs *fn, void *arg);

#endif
