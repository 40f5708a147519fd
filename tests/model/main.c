/* SPDX-License-Identifier: MIT */
/* main.c - the command behind script/random: many programs, and what differed made small. */

#include "model/shrink.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const char help[] =
	"script/random [option...] - random programs, run on lade and compared with the model.\n"
	"\n"
	"  --programs N    how many of each order (10000)\n"
	"  --order NAME    in-order, random, preempt, pct; all: in-order, random and pct (all)\n"
	"  --seed N        of the first program; the next has the next (1)\n"
	"  --backend NAME  sim; or virtual, epoll, uring: without the model (sim)\n"
	"  --no-model      check what holds of every program, and no more\n"
	"  --replay FILE   run that program, with --order and --seed; -: from the input\n"
	"  --print         print the program of --seed, run nothing\n"
	"  --log           print every event\n"
	"  --no-shrink     name the seed that differs, and stop\n"
	"\n"
	"A program that differs is made as small as it can be and printed with the line that runs\n"
	"it again. Exit status: 0: none differed; 1: one did; 2: wrong options.\n";

struct options {
	struct perform how;
	long programs;
	uint64_t seed;
	const char *order; /* or "all" */
	const char *replay;
	bool print;
	bool no_shrink;
};

/* What the process that runs programs tells the one that waits for it. */
struct shared {
	uint64_t seed; /* of the program under way */
	bool wrong;
	struct totals totals;
};

static int read_text(const char *path, char *text, size_t size)
{
	FILE *f = strcmp(path, "-") == 0 ? stdin : fopen(path, "r");
	size_t len;

	if (!f)
		return -1;
	len = fread(text, 1, size - 1, f);
	text[len] = 0;
	return f == stdin ? 0 : fclose(f);
}

static int replay(const struct options *o)
{
	static char text[PROGRAM_TEXT];
	struct program p;
	const char *wrong;
	int line;

	if (read_text(o->replay, text, sizeof(text)) < 0) {
		perror(o->replay);
		return 2;
	}
	line = program_parse(&p, text);
	if (line) {
		fprintf(stderr, "%s:%d: not a program\n", o->replay, line);
		return 2;
	}
	wrong = perform_program(&p, &o->how, NULL);
	printf("%s\n", wrong ? wrong : "no difference");
	return wrong != NULL;
}

static void report(struct options *o, uint64_t seed)
{
	static char text[PROGRAM_TEXT];
	char wrong[400];
	struct program p;
	int tries;

	o->how.seed = seed;
	program_generate(&p, seed);
	if (o->no_shrink) {
		printf("seed %llu differs\n", (unsigned long long)seed);
		return;
	}
	if (!shrink_try(&p, &o->how, wrong)) {
		printf("seed %llu differed, and does no longer\n", (unsigned long long)seed);
		return;
	}
	printf("seed %llu, %s: %s\n", (unsigned long long)seed, o->how.order, wrong);
	tries = shrink_program(&p, &o->how);
	(void)shrink_try(&p, &o->how, wrong);
	program_print(&p, text);
	printf("after %d tries: %s\nscript/random --backend %s --order %s --seed %llu%s --replay - "
	       "<<'END'\n%sEND\n",
	       tries, wrong, o->how.backend, o->how.order, (unsigned long long)seed,
	       o->how.model ? "" : " --no-model", text);
}

static double seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void show_progress(const struct options *o, long done, double began)
{
	if (isatty(STDERR_FILENO))
		fprintf(stderr, "\r%s: %ld of %ld programs, %.0f a second ", o->how.order, done,
			o->programs, (double)done / (seconds() - began + 1e-9));
}

static void run_programs(struct options *o, uint64_t first, long count, struct shared *shared)
{
	double began = seconds();
	struct program p;

	for (long i = 0; i < count; i++) {
		const char *wrong;

		shared->seed = o->how.seed = first + (uint64_t)i;
		alarm(20);
		program_generate(&p, o->how.seed);
		wrong = perform_program(&p, &o->how, NULL);
		shared->totals = totals;
		if (wrong) {
			shared->wrong = true;
			_exit(1);
		}
		if (i % 2000 == 0)
			show_progress(o, o->programs - count + i, began);
	}
	_exit(0);
}

/* Runs them in a process of its own, because a bug may end it.  Returns whether all were well. */
static bool run_order(struct options *o)
{
	struct shared *shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
				     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	double began = seconds();
	int status = 0;
	pid_t pid;

	if (shared == MAP_FAILED)
		return false;
	fflush(stdout);
	pid = fork();
	if (pid == 0)
		run_programs(o, o->seed, o->programs, shared);
	waitpid(pid, &status, 0);
	if (isatty(STDERR_FILENO))
		fprintf(stderr, "\r\033[K");
	if (status)
		report(o, shared->seed);
	printf("%s on %s: %ld programs, %ld tasks, %ld waits, %ld calls cancelled, %ld overruns, "
	       "%ld not followed to the end, %.0f programs a second: %s\n",
	       o->how.order, o->how.backend, shared->totals.programs, shared->totals.tasks,
	       shared->totals.waits, shared->totals.cancelled, shared->totals.overruns,
	       shared->totals.gave_up, (double)shared->totals.programs / (seconds() - began),
	       status ? "one DIFFERS" : "no difference");
	munmap(shared, sizeof(*shared));
	return status == 0;
}

static int run_all(struct options *o)
{
	static const char *const orders[] = { "in-order", "random", "pct" };
	bool well = true;

	if (strcmp(o->order, "all") != 0) {
		o->how.order = o->order;
		return !run_order(o);
	}
	for (size_t i = 0; i < sizeof(orders) / sizeof(*orders); i++) {
		o->how.order = orders[i];
		well &= run_order(o);
		if (strcmp(o->how.backend, "sim") != 0)
			break;
	}
	return !well;
}

static int print_program(uint64_t seed)
{
	static char text[PROGRAM_TEXT];
	struct program p;

	program_generate(&p, seed);
	program_print(&p, text);
	fputs(text, stdout);
	return 0;
}

static int read_options(struct options *o, int argc, char **argv)
{
	static const struct option known[] = {
		{ "programs", 1, NULL, 'n' }, { "order", 1, NULL, 'o' },
		{ "seed", 1, NULL, 's' },     { "backend", 1, NULL, 'b' },
		{ "no-model", 0, NULL, 'm' }, { "replay", 1, NULL, 'r' },
		{ "print", 0, NULL, 'p' },    { "log", 0, NULL, 'l' },
		{ "no-shrink", 0, NULL, 'k' }, { "help", 0, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	int c;

	while ((c = getopt_long(argc, argv, "h", known, NULL)) != -1) {
		if (c == 'n')
			o->programs = strtol(optarg, NULL, 10);
		else if (c == 'o')
			o->order = optarg;
		else if (c == 's')
			o->seed = strtoull(optarg, NULL, 0);
		else if (c == 'b')
			o->how.backend = optarg;
		else if (c == 'm')
			o->how.model = false;
		else if (c == 'r')
			o->replay = optarg;
		else if (c == 'p')
			o->print = true;
		else if (c == 'l')
			o->how.log = true;
		else if (c == 'k')
			o->no_shrink = true;
		else
			return c == 'h' ? 1 : 2;
	}
	return optind < argc ? 2 : 0;
}

int main(int argc, char **argv)
{
	struct options o = { .how = { .backend = "sim", .order = "random", .model = true },
			     .programs = 10000,
			     .seed = 1,
			     .order = "all" };
	int rc = read_options(&o, argc, argv);

	setvbuf(stdout, NULL, _IOLBF, 0);

	if (rc) {
		fputs(help, rc == 1 ? stdout : stderr);
		return rc == 1 ? 0 : 2;
	}
	if (strcmp(o.how.backend, "sim") != 0)
		o.how.model = false;
	o.how.seed = o.seed;
	if (strcmp(o.order, "all") != 0)
		o.how.order = o.order;
	if (o.print)
		return print_program(o.seed);
	return o.replay ? replay(&o) : run_all(&o);
}
