/* SPDX-License-Identifier: MIT */
/* main.c - the command `lade`: finds the verb, or says what there is. */

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <lade/main.h>

#include "build_info.h"
#include "cli/cli.h"
#include "lade_config.h"
#include "services/pipeline/config_table.h"

static const struct cli_verb verbs[] = {
	{ "run", "runs a pipeline", cli_run },
	{ "check", "says whether a pipeline can run, and what is worth knowing", cli_check },
	{ "try", "shows what each step makes of some messages, and writes nothing", cli_try },
	{ "test", "runs cases of messages, without any server", cli_test },
	{ "show", "prints a pipeline with every default", cli_show },
	{ "top", "shows how a running pipeline goes, live", cli_top },
	{ "tap", "prints what passes behind a step of a running pipeline", cli_tap },
	{ "dlq", "lists, shows and replays dead letters", cli_dlq },
	{ "offsets", "shows and sets where a pipeline goes on", cli_offsets },
	{ "new", "makes a folder with a pipeline to begin from", cli_new },
};

/* Their names, for a guess at what was meant. */
#define VERBS "run|check|try|test|show|top|tap|dlq|offsets|new|help|version"

const char *cli_name = "lade";

int cli_usage(const char *verb, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fprintf(stderr, "lade %s: ", verb);
	vfprintf(stderr, format, args);
	fprintf(stderr, "\n%s %s --help says more\n", cli_name, verb);
	va_end(args);
	return CLI_USAGE;
}

int cli_unknown(const char *verb, const char *options, const char *argument)
{
	const char *near = NULL;
	size_t len = *argument == '-' ? lade_pipe_word_near(options, argument, &near) : 0;

	if (len)
		return cli_usage(verb, "unknown argument '%s'; did you mean %.*s?", argument,
				 (int)len, near);
	return cli_usage(verb, "unknown argument '%s'", argument);
}

uint64_t cli_count(const char *text, uint64_t max)
{
	char *end;
	long n = text && *text >= '0' && *text <= '9' ? strtol(text, &end, 10) : 0;

	return n > 0 && (uint64_t)n <= max && !*end ? (uint64_t)n : 0;
}

int cli_printed(void)
{
	return fflush(stdout) != 0 || ferror(stdout);
}

static int print_version(void)
{
	char backend[768];
	bool none = lade_backend_probe(backend, sizeof(backend)) < 0;

	printf("lade %s\ncommit %s\nback end %s%s\nbuilt with %s\n", LADE_VERSION, LADE_COMMIT,
	       none ? "none: " : "", backend, LADE_BUILT_WITH);
	return cli_printed();
}

static void usage(FILE *out)
{
	fputs("usage: lade VERB [ARGUMENTS]\n\n", out);
	for (size_t i = 0; i < sizeof(verbs) / sizeof(*verbs); i++)
		fprintf(out, "  %-8s %s\n", verbs[i].name, verbs[i].line);
	fputs("\n  lade VERB --help says more; lade --version prints version, commit,\n"
	      "  the back end in use and what it was built with.\n",
	      out);
}

/* No verb has that name. */
static void unknown(const char *verb)
{
	const char *near = NULL;
	const char *words = *verb == '-' ? "--version|--help" : VERBS;
	const char *what = *verb == '-' ? "argument" : "verb";
	size_t len = lade_pipe_word_near(words, verb, &near);

	if (len)
		fprintf(stderr, "lade: unknown %s '%s'; did you mean %.*s?\n", what, verb,
			(int)len, near);
	else
		fprintf(stderr, "lade: there is no %s '%s'\n", what, verb);
}

/* A standard descriptor that the caller has closed would be the next file's that is opened: stdin
 * would be a database. What stands in its place fails as a closed one does. */
static void hold_standard_descriptors(void)
{
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		if (fcntl(fd, F_GETFD) < 0)
			(void)!open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY);
}

int main(int argc, char **argv)
{
	static char help[] = "--help"; /* what -h means behind every verb */
	const char *verb = argc > 1 ? argv[1] : NULL;

	hold_standard_descriptors();
	if (argc > 0 && strchr(argv[0], '/'))
		cli_name = argv[0];
	if (verb && lade_pipe_word_number("--version|-V|version", verb) >= 0)
		return print_version();
	if (verb && lade_pipe_word_number("--help|-h|help", verb) >= 0) {
		usage(stdout);
		return cli_printed();
	}
	for (int i = 2; i < argc; i++)
		if (strcmp(argv[i], "-h") == 0)
			argv[i] = help;
	for (size_t i = 0; verb && i < sizeof(verbs) / sizeof(*verbs); i++)
		if (strcmp(verb, verbs[i].name) == 0)
			return verbs[i].run(argc - 1, argv + 1);
	if (verb)
		unknown(verb);
	usage(stderr);
	return CLI_USAGE;
}
