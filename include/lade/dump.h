/* SPDX-License-Identifier: MIT */
#ifndef LADE_DUMP_H
#define LADE_DUMP_H

/* dump.h - what every task waits for, as text. */

#include <lade/version.h>

LADE_API_BEGIN

/* lade_dump - prints the tree of scopes and tasks of the running loop to a descriptor: where each
 * was started, what it waits for, since when, and who asked it to end.
 *
 * Suspends: no.  Threads: the loop's. */
void lade_dump(int fd);

LADE_API_END

#endif
