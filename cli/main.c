/* SPDX-License-Identifier: MIT */
/* main.c - the command `lade`: finds the verb, or says what there is. */

#include <stdio.h>
#include <string.h>

#include <lade/version.h>

#include "build_info.h"
#include "lade_config.h"

static const char usage[] =
	"usage: lade [--version] [--help]\n"
	"\n"
	"  --version  prints the version, the commit and what it was built with\n"
	"  --help     prints this text\n";

/* The exit status of a verb that only prints: a full disk is noticed when it is flushed. */
static int printed(void)
{
	return fflush(stdout) != 0 || ferror(stdout);
}

static int print_version(void)
{
	printf("lade %s\ncommit %s\nbuilt with %s\n", LADE_VERSION, LADE_COMMIT, LADE_BUILT_WITH);
	return printed();
}

static int print_help(void)
{
	fputs(usage, stdout);
	return printed();
}

int main(int argc, char **argv)
{
	if (argc == 2 && strcmp(argv[1], "--version") == 0)
		return print_version();
	if (argc == 2 && strcmp(argv[1], "--help") == 0)
		return print_help();
	if (argc > 1)
		fprintf(stderr, "lade: unknown argument '%s'\n", argv[1]);
	fputs(usage, stderr);
	return 2;
}
