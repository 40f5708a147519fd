/* SPDX-License-Identifier: MIT */
/* main.c - the main() of a program that has scenarios and none of its own. */

#include <lade/explore.h>

int main(int argc, char **argv)
{
	return lade_explore_main(argc, argv);
}
