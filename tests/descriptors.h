/* SPDX-License-Identifier: MIT */
#ifndef LADE_TESTS_DESCRIPTORS_H
#define LADE_TESTS_DESCRIPTORS_H

/* descriptors.h - how many descriptors this process has open, to find those that are left. */

#include <dirent.h>

/* descriptors - their number, and a constant more: to be compared with an earlier one. */
static inline int descriptors(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int count = 0;

	while (dir && readdir(dir))
		count++;
	if (dir)
		closedir(dir);
	return count;
}

#endif
