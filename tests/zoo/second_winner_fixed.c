/* SPDX-License-Identifier: MIT */
/* second_winner_fixed.c - the type says what becomes of a value that nobody claims. */

#include <lade/explore.h>
#include <lade/lade.h>

#include <fcntl.h>

static int open_copy(const char *path, int *ret_fd)
{
	return lade_open(path, O_RDWR | O_CREAT, 0600, ret_fd);
}
static void close_copy(int *fd)
{
	lade_close(*fd);
}
LADE_TASK_WITH(open_copy, int, (.dispose = close_copy), (const char *, path))

/* Two copies on two disks: whichever is there first. */
LADE_EXPLORE(second_winner_fixed)
{
	struct open_copy_task near = open_copy_task("near.log"), far = open_copy_task("far.log");
	int rc = lade_race_ok(&near, &far);

	if (rc < 0)
		return rc;
	lade_close(rc == 0 ? lade_value(&near) : lade_value(&far));
	return 0;
}
