/* SPDX-License-Identifier: MIT */
/* offsets.c - `lade offsets`: where the lanes of a pipeline stand, shown and set. */

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "services/pipeline/engine.h"
#include "services/pipeline/offsets.h"

static const char offsets_help[] =
	"usage: lade offsets show PIPELINE.yaml\n"
	"       lade offsets set [--part N] [--force] PIPELINE.yaml TOPIC OFFSET\n"
	"\n"
	"Where an exactly-once pipeline goes on in each of its files or partitions: what the\n"
	"database of its SQLite sink keeps. TOPIC is a name as show prints it, for a file the\n"
	"file's; OFFSET a number, 0 for the beginning. Of a file it must be where a line begins.\n"
	"set is refused while a process has the lane; with --force that one is fenced: it writes\n"
	"nothing more. What is read again is written again.\n"
	"\n"
	"exit status: 0 done; 1 failed; 2 wrong arguments; 78 the configuration is wrong\n";

static int show(struct lade_offsets *offsets)
{
	struct lade_offset o;
	int rc, n = 0;

	while ((rc = lade_offsets_next(offsets, &o)) > 0) {
		if (n++ == 0)
			printf("%-32s %5s %14s %7s  %s\n", "topic", "part", "next offset", "epoch",
			       "claimed last by");
		printf("%-32s %5" PRId64 " %14" PRId64 " %7" PRId64 "  %s%s\n", o.topic, o.part,
		       o.next_offset, o.epoch, o.owner,
		       lade_offsets_holder(&o) ? ", which runs" : "");
	}
	if (rc == 0 && n == 0)
		printf("%s: no offsets are kept yet\n", offsets->config->name);
	return rc;
}

static int set(struct lade_offsets *offsets, const char *topic, int64_t part, int64_t to,
	       bool force)
{
	struct lade_offset was;
	int rc = lade_offsets_set(offsets, topic, part, to, force, &was);

	if (rc == 0)
		printf("%s, partition %" PRId64 ": was %" PRId64 ", is %" PRId64 ", epoch %" PRId64
		       "; the next run goes on there\n", topic, part, was.next_offset, to,
		       was.epoch + 1);
	return rc;
}

/* A number from 0 on; -1: it is none. */
static int64_t number(const char *text)
{
	size_t digits = text ? strspn(text, "0123456789") : 0;

	return digits && digits < 19 && !text[digits] ? strtoll(text, NULL, 10) : -1;
}

static int run(const char *const words[3], int64_t part, bool force)
{
	struct lade_pipe_config *config = NULL;
	struct lade_offsets offsets = { 0 };
	int rc = cli_load(words[0], &config);

	if (rc == 0) {
		rc = lade_offsets_open(&offsets, config, words[1]);
		if (rc == 0)
			rc = words[1] ? set(&offsets, words[1], part, number(words[2]), force)
				      : show(&offsets);
		if (rc < 0)
			fprintf(stderr, "lade offsets: %s\n", offsets.why);
		rc = rc < 0 ? LADE_EXIT_FAILED : cli_printed();
		lade_offsets_close(&offsets);
	}
	lade_pipe_config_free(config);
	return rc;
}

int cli_offsets(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "", *words[3] = { NULL, NULL, NULL };
	const bool sets = strcmp(what, "set") == 0;
	int64_t part = 0;
	bool force = false;
	int n = 0;

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--help") == 0) {
			fputs(offsets_help, stdout);
			return cli_printed();
		}
	}
	if (!sets && strcmp(what, "show") != 0)
		return cli_usage("offsets", "show or set?");
	for (int i = 2; i < argc; i++) {
		if (sets && strcmp(argv[i], "--force") == 0)
			force = true;
		else if (sets && strcmp(argv[i], "--part") == 0)
			part = number(argv[++i]);
		else if (argv[i][0] == '-' || n == (sets ? 3 : 1))
			return cli_unknown("offsets", "--part|--force|--help", argv[i]);
		else
			words[n++] = argv[i];
	}
	if (n < (sets ? 3 : 1))
		return cli_usage("offsets", "%s", n == 0   ? "of which pipeline?"
						  : n == 1 ? "of which topic? show prints them"
							   : "to which offset?");
	if (part < 0 || (sets && number(words[2]) < 0))
		return cli_usage("offsets", "%s is a number from 0 on",
				 part < 0 ? "a partition" : "an offset");
	return run(words, part, force);
}
