/* SPDX-License-Identifier: MIT */
/* timed_batch_bad.c - the rows of a batch that is not full yet are lost with the batch.
 *
 * A batch closes at a number of rows or after a time; the rows wait for that in an array of the
 * loop's. Whoever cancels the loop throws them away. effect-smol #1919 (the last batch dropped),
 * tokio #7715 (into_remainder was added for it).
 *
 * Found: INVARIANT BROKEN, with an invariant: the rows are in memory, nothing outside is paid. */

#include "rows.h"

#include <lade/explore.h>

static int write_batches(void)
{
	int batch[3], rc = 0;

	while (rc != -EPIPE) {
		struct lade_instant full = lade_in(lade_ms(5));
		size_t len = 0;

		do {
			rc = lade_until(full, row_recv(rows, &batch[len])); /* named: lost */
			len += rc == 0;
		} while (rc == 0 && len < 3);
		if (rc == -ECANCELED)
			return rc;
		if (len > 0 && write_rows(len) < 0)
			return -ECANCELED;
	}
	return 0;
}

LADE_EXPLORE(timed_batch_bad, .setup = start_rows, .invariant = all_are_written)
{
	return write_batches();
}
