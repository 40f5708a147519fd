/* SPDX-License-Identifier: MIT */
/* second_winner_bad.c - two race, both arrive, and one of the two descriptors is never closed.
 *
 * The loser is cancelled, but its file is open by then: completion wins, and its value is there for
 * whoever looks. Nobody does. cats-effect #3111 and #3226, Eio #806.
 *
 * Found: LEAK, without an invariant or an annotation. */

#include <lade/explore.h>
#include <lade/lade.h>

#include <fcntl.h>

static int open_copy(const char *path, int *ret_fd)
{
	return lade_open(path, O_RDWR | O_CREAT, 0600, ret_fd);
}
LADE_TASK(open_copy, int, (const char *, path))

/* Two copies on two disks: whichever is there first. */
LADE_EXPLORE(second_winner_bad)
{
	struct open_copy_task near = open_copy_task("near.log"), far = open_copy_task("far.log");
	int rc = lade_race_ok(&near, &far); /* named: both may be open */

	if (rc < 0)
		return rc;
	lade_close(rc == 0 ? lade_value(&near) : lade_value(&far));
	return 0;
}
