/* SPDX-License-Identifier: MIT */
/* timed_batch_fixed.c - the batches are formed outside of the loop that is cancelled, and kept.
 *
 * A batch counts as written when it is: until then the next who comes begins with it. */

#include "rows.h"

#include <lade/explore.h>

static struct row_batches *batches;
static struct row_batch batch; /* being written; len 0: none */

static int start(struct lade_scope *world)
{
	const struct lade_batch_config timed = { .max_items = 3, .linger = lade_ms(5) };
	int rc = start_rows(world);

	if (rc == 0)
		batches = row_batch(world, row_from_channel(rows), timed);
	return rc < 0 ? rc : batches ? 0 : -ENOMEM;
}

static void stop(void)
{
	row_batches_close(batches);
	row_channel_free(rows);
}

static int write_batches(void)
{
	int rc = 1;

	while (batch.len || (rc = row_batch_next(batches, &batch)) > 0) {
		rc = write_rows(batch.len);
		if (rc < 0)
			return rc;
		batch.len = 0;
	}
	return rc;
}

LADE_EXPLORE(timed_batch_fixed, .setup = start, .invariant = all_are_written, .teardown = stop)
{
	return write_batches();
}
