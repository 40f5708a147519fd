/* SPDX-License-Identifier: MIT */
#ifndef TESTS_ZOO_ROWS_H
#define TESTS_ZOO_ROWS_H

/* rows.h - rows that come now and then, and a table that they are to be written to. */

#include <lade/lade.h>

#include <errno.h>

#define ROWS 4

LADE_STREAM(row, int)
LADE_CHANNEL(row, int)

static struct row_channel *rows;
static int written; /* rows in the table */

static inline int bring_rows(void)
{
	int rc = 0;

	for (int i = 0; i < ROWS && rc == 0; i++) {
		rc = lade_sleep(lade_ms(2));
		if (rc == 0)
			rc = row_send(rows, i);
	}
	if (rc == 0)
		row_channel_close(rows);
	return rc;
}
LADE_TASK_VOID(bring_rows)

static struct bring_rows_task rows_task;

/* start_rows - a world in which they come. */
static inline int start_rows(struct lade_scope *world)
{
	int rc = row_channel_new(ROWS, &rows);

	if (rc < 0)
		return rc;
	rows_task = bring_rows_task();
	lade_start_daemon(world, &rows_task);
	return 0;
}

/* write_rows - writes a batch, all or nothing. */
static inline int write_rows(size_t count)
{
	int rc = lade_sleep(lade_ms(1));

	if (rc == 0)
		written += (int)count;
	return rc;
}

/* all_are_written - every row that came, and each once. */
static inline int all_are_written(void)
{
	return written == ROWS ? 0 : -ENODATA;
}

#endif
