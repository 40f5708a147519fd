/* SPDX-License-Identifier: MIT */
#ifndef LADE_PIPELINE_UNITS_H
#define LADE_PIPELINE_UNITS_H

/* units.h - quantities as people write them: 50ms, 1MiB, 10%, 5.
 *
 * A duration or a size without its unit is refused: a reader must not have to look up
 * whether 500 means seconds. */

#include <stddef.h>
#include <stdint.h>

enum lade_pipe_unit {
	LADE_UNIT_COUNT,	/* 5; a whole number */
	LADE_UNIT_DURATION,	/* 1h30m, 50ms; in nanoseconds */
	LADE_UNIT_BYTES,	/* 64KiB, 1MB; in bytes */
	LADE_UNIT_PERCENT,	/* 10%; in hundredths of a percent */
};

/* Room for any quantity that lade_pipe_unit_format() writes. */
#define LADE_UNIT_ROOM 48

/* lade_pipe_unit_parse - reads a quantity.
 *
 * Durations: ns, us, ms, s, m, h, d, also one after the other (1h30m), each with a decimal
 * fraction at will (1.5s); 0 needs no unit.  Sizes: B, kB, MB, GB, KiB, MiB, GiB; 0 needs no
 * unit.
 *
 * Returns 0; -EINVAL when it is none; -ENODATA when a unit is missing; -ERANGE beyond 64
 * bits, or a fraction smaller than the unit in which it is kept. */
int lade_pipe_unit_parse(enum lade_pipe_unit unit, const char *text, size_t len, int64_t *ret);

/* lade_pipe_unit_format - writes a quantity so that it reads back as the same.
 *
 * Returns @ret. */
const char *lade_pipe_unit_format(enum lade_pipe_unit unit, int64_t value,
				  char ret[LADE_UNIT_ROOM]);

/* lade_pipe_unit_hint - examples of how a quantity is written, for error messages. */
const char *lade_pipe_unit_hint(enum lade_pipe_unit unit);

#endif
