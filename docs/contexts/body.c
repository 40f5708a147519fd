/* SPDX-License-Identifier: MIT */
/* body.c - a place in a function that returns a status. */

#include <lade/lade.h>

int body(void);
int body(void)
{
	int rc = 0;

	{
@code@
	}
	return rc;
}
