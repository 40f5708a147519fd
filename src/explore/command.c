/* SPDX-License-Identifier: MIT */
/* command.c - the arguments of a program with scenarios, and its last line. */

#include "explore/explore_priv.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct lade_scenario *first;

void lade_explore_add(struct lade_scenario *scenario)
{
	struct lade_scenario **at = &first;

	while (*at)
		at = &(*at)->next;
	*at = scenario;
}

static void usage(const char *program)
{
	printf("Usage: %s [options] [scenario...]\n"
	       "Cancels each scenario at every suspension point, makes its operations and its\n"
	       "allocations fail, and says what gets lost.\n\n"
	       "      --list            the scenarios of this program\n"
	       "      --point N         only at this suspension point\n"
	       "      --mode MODE       only before, parked, completed, fault, fault-on,\n"
	       "                        no-memory\n"
	       "      --jobs N          processes at once (1)\n"
	       "      --budget N        at most so many runs of each scenario (no limit)\n"
	       "      --pairs N         runs with two cancels each, drawn from the seed (50)\n"
	       "      --seed N          of the simulation (the scenario's, or 1)\n"
	       "      --coverage FILE   writes the coverage of each await: tab-separated lines\n"
	       "      --verbose         findings of one kind each time, not only the first\n"
	       "      --help            this text\n\n"
	       "LADE_REPLAY='scenario:pN:mode:sN:seedN' makes one injection, in this process: for\n"
	       "a debugger; what is printed of a pair ends in ':thenN:ofN'. LADE_COVERAGE_MIN=N\n"
	       "fails below N percent. LADE_SIM=... sets how the simulation behaves.\n\n"
	       "Exit status: 0: no finding; 1: findings, or too little coverage; 2: wrong\n"
	       "arguments, or a scenario that cannot be explored.\n",
	       program);
}

static int mode_of(const char *name)
{
	for (int i = 0; i < WHENS; i++)
		if (strcmp(name, explore_when_names[i]) == 0)
			return i;
	return -1;
}

/* A number of at least @min; ends the process on anything else. */
static long number(const char *option, const char *text, long min)
{
	char *end;
	long n = strtol(text, &end, 10);

	if (*text && !*end && n >= min)
		return n;
	fprintf(stderr, "--%s: a number of at least %ld is expected, not '%s'\n", option, min,
		text);
	exit(2);
}

/* Reads "scenario:p7:parked:s1:seed42"; keeps the scenario's name in @name. */
static bool read_replay(const char *text, char name[128], struct settings *s)
{
	char mode[16];
	unsigned point, scope;
	unsigned long long seed;

	if (sscanf(text, "%127[^:]:p%u:%15[^:]:s%u:seed%llu:then%u:of%u", name, &point, mode,
		   &scope, &seed, &s->replay.later, &s->replay.choice) < 5 ||
	    mode_of(mode) < 0)
		return false;
	s->replays = true;
	s->only = name;
	s->seed = seed;
	s->when = mode_of(mode);
	s->replay.when = (enum when)s->when;
	s->replay.point = point;
	if (s->when == FAULT || s->when == FAULT_ON) {
		s->replay.error = -(int)(scope % 1000);
		s->replay.try = scope / 1000;
	} else if (s->when != NO_MEMORY) {
		s->replay.scope = scope;
	}
	return true;
}

static const struct option options[] = {
	{ "list", no_argument, NULL, 'l' },	      { "point", required_argument, NULL, 'p' },
	{ "mode", required_argument, NULL, 'm' },     { "jobs", required_argument, NULL, 'j' },
	{ "budget", required_argument, NULL, 'b' },   { "seed", required_argument, NULL, 's' },
	{ "coverage", required_argument, NULL, 'c' }, { "verbose", no_argument, NULL, 'v' },
	{ "help", no_argument, NULL, 'h' },	      { "pairs", required_argument, NULL, 'P' },
	{ NULL, 0, NULL, 0 },
};

static int list(void)
{
	for (const struct lade_scenario *s = first; s; s = s->next)
		printf("%s\t%s\n", s->name, s->site);
	return 0;
}

/* Takes one option.  Returns the status to end with, or -1. */
static int take(int option, char **argv, struct settings *s)
{
	switch (option) {
	case 'l':
		return list();
	case 'p':
		s->point = number("point", optarg, 0);
		return -1;
	case 'm':
		s->when = mode_of(optarg);
		if (s->when >= 0)
			return -1;
		fprintf(stderr, "--mode: before, parked, completed, fault, fault-on or no-memory "
				"is expected, not '%s'\n",
			optarg);
		return 2;
	case 'j':
		s->jobs = (int)number("jobs", optarg, 1);
		s->jobs = s->jobs > 64 ? 64 : s->jobs;
		return -1;
	case 'b':
		s->budget = number("budget", optarg, 1);
		return -1;
	case 'P':
		s->pairs = number("pairs", optarg, 0);
		return -1;
	case 's':
		s->seed = (uint64_t)number("seed", optarg, 1);
		return -1;
	case 'c':
		s->coverage_file = optarg;
		return -1;
	case 'v':
		s->verbose = true;
		return -1;
	case 'h':
		usage(argv[0]);
		return 0;
	default:
		fprintf(stderr, "Try '%s --help'.\n", argv[0]);
		return 2;
	}
}

static bool is_chosen(const struct lade_scenario *scenario, const struct settings *s, char **names)
{
	if (s->only)
		return strcmp(s->only, scenario->name) == 0;
	if (!*names)
		return true;
	for (; *names; names++)
		if (strcmp(*names, scenario->name) == 0)
			return true;
	return false;
}

static long count_chosen(const struct settings *s, char **names)
{
	long n = 0;

	for (const struct lade_scenario *it = first; it; it = it->next)
		n += is_chosen(it, s, names);
	return n;
}

int lade_explore_main(int argc, char **argv)
{
	struct settings s = { .point = -1, .when = -1, .jobs = 1, .pairs = 50 };
	const char *replay = getenv("LADE_REPLAY"), *min = getenv("LADE_COVERAGE_MIN");
	struct totals totals = { 0 };
	bool failed = false;
	char name[128];
	double coverage;
	int option, rc;

	while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1)
		if ((rc = take(option, argv, &s)) >= 0)
			return rc;
	if (replay && *replay && !read_replay(replay, name, &s)) {
		fprintf(stderr, "LADE_REPLAY: 'scenario:pN:mode:sN:seedN' is expected, not '%s'\n",
			replay);
		return 2;
	}
	totals.scenarios = count_chosen(&s, argv + optind);
	s.is_alone = totals.scenarios == 1;
	for (const struct lade_scenario *it = first; it; it = it->next)
		if (is_chosen(it, &s, argv + optind))
			failed |= explore_scenario(it, &s, &totals) < 0;
	if (!totals.scenarios) {
		fprintf(stderr, "%s: no such scenario; --list names them\n", argv[0]);
		return 2;
	}
	if (s.replays)
		return failed ? 2 : totals.findings > 0;
	coverage = totals.points ? totals.covered / (double)totals.points : 0;
	printf("%ld scenarios, %ld points, %ld runs, %ld findings, coverage %.0f %%\n",
	       totals.scenarios, totals.points, totals.trials, totals.findings, coverage);
	if (failed)
		return 2;
	return totals.findings || (min && coverage < atof(min));
}
