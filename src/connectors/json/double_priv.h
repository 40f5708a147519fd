/* SPDX-License-Identifier: MIT */
#ifndef LADE_JSON_DOUBLE_PRIV_H
#define LADE_JSON_DOUBLE_PRIV_H

/* double_priv.h - doubles to text and back, as the C++ library does it: it knows no locale, writes
 * the shortest text that reads back as the same double, and needs no NUL. */

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Room for a double as text. */
#define LADE_DOUBLE_ROOM 32

/* lade_double_parse - the double nearest to a JSON number.
 *
 * Returns 0, -ERANGE when it is too large, or -EINVAL when there is no number. */
int lade_double_parse(const char *text, size_t len, double *ret);

/* lade_double_format - the shortest JSON number that reads back as @value, which is finite.
 *
 * It holds a dot or an exponent, so that it reads as a double everywhere.
 *
 * Returns its length. */
size_t lade_double_format(double value, char ret[LADE_DOUBLE_ROOM]);

#ifdef __cplusplus
}
#endif

#endif
