/* SPDX-License-Identifier: MIT */
/* offsets.c - `lade offsets`: where the lanes of a pipeline stand, shown and set. */

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <lade/datum.h>
#include <lade/lade.h>

#include "cli/cli.h"
#include "services/pipeline/engine.h"
#include "services/pipeline/offsets.h"

static const char offsets_help[] =
	"usage: lade offsets show PIPELINE.yaml\n"
	"       lade offsets set [--part N] [--force] PIPELINE.yaml TOPIC OFFSET\n"
	"\n"
	"Where a pipeline goes on in each of its files or partitions: what the database of an\n"
	"exactly-once sink keeps, SQLite or PostgreSQL, else what the consumer group has\n"
	"committed. Of topics it also shows what Kafka has of them, the lag, and who has them.\n"
	"\n"
	"TOPIC is a name as show prints it, for a file the file's. OFFSET is a number, earliest,\n"
	"latest, or a time as 2026-11-22T20:00:00Z: the first message of that time or later.\n"
	"A number is for the partition --part, which need not be said where there is one; the\n"
	"others are for all partitions of the topic. Of a file an offset must be where a line\n"
	"begins.\n"
	"\n"
	"set is refused while a process has the lane, or the group has members. With --force a\n"
	"process whose offsets are in a database is fenced: it writes nothing more. What is read\n"
	"again is written again.\n"
	"\n"
	"exit status: 0 done; 1 failed; 2 wrong arguments; 78 the configuration is wrong\n";

/* A number, or a dash where there is none. */
static const char *count(int64_t value, char room[24])
{
	snprintf(room, 24, value < 0 ? "-" : "%" PRId64, value);
	return room;
}

static void print_head(const struct lade_offsets *offsets)
{
	if (lade_offsets_group(offsets))
		printf("%s\n", lade_offsets_group(offsets));
	printf("%-32s %5s %14s", "topic", "part", "next offset");
	if (offsets->log)
		printf(" %12s %12s %10s", "log begins", "log ends", "lag");
	if (!lade_offsets_in_group(offsets))
		printf(" %7s  %s", "epoch", "claimed last by");
	printf("%s\n", lade_offsets_in_group(offsets) ? "  member" : "");
}

static void print_lane(const struct lade_offsets *offsets, const struct lade_offset *o)
{
	int64_t from = o->next_offset > o->low ? o->next_offset : o->low;
	char room[4][24];

	printf("%-32s %5" PRId64 " %14s", o->topic, o->part, count(o->next_offset, room[0]));
	if (offsets->log)
		printf(" %12s %12s %10s", count(o->low, room[1]), count(o->high, room[2]),
		       count(o->next_offset < 0 || o->high < 0 ? -1 : o->high - from, room[3]));
	if (lade_offsets_in_group(offsets))
		printf("  %s", *o->held ? o->held : "-");
	else
		printf(" %7" PRId64 "  %s%s", o->epoch, o->owner,
		       lade_offsets_holder(o->owner) ? ", which runs" : "");
	printf("\n");
}

static int show(struct lade_offsets *offsets)
{
	struct lade_offset o;
	int rc, n = 0;

	while ((rc = lade_offsets_next(offsets, &o)) > 0) {
		if (n++ == 0)
			print_head(offsets);
		print_lane(offsets, &o);
	}
	if (rc == 0 && n == 0)
		printf("%s: no offsets are kept yet\n", offsets->config->name);
	return rc;
}

static int set(struct lade_offsets *offsets, const struct lade_offset_target *target)
{
	int rc = lade_offsets_set(offsets, target);
	char room[24];

	for (size_t i = 0; rc == 0 && i < offsets->n; i++) {
		const struct lade_offset *was = &offsets->was[i], *is = &offsets->to[i];

		printf("%s, partition %" PRId64 ": was %s, is %" PRId64, is->topic, is->part,
		       was->next_offset < 0 ? "nowhere" : count(was->next_offset, room),
		       is->next_offset);
		if (!lade_offsets_in_group(offsets))
			printf(", epoch %" PRId64, was->epoch + 1);
		printf("; the next run goes on there\n");
	}
	return rc;
}

/* Arguments. */

/* What is asked. */
struct request {
	const struct lade_pipe_config *config;
	struct lade_offset_target target; /* .topic NULL: show */
};

static int answer(const struct request *request, int *ret)
{
	struct lade_offsets offsets;
	const bool sets = request->target.topic != NULL;
	int rc = lade_offsets_open(&offsets, request->config, sets);

	if (rc == 0)
		rc = sets ? set(&offsets, &request->target) : show(&offsets);
	if (rc < 0 && rc != -ECANCELED)
		fprintf(stderr, "lade offsets: %s\n", offsets.why);
	lade_offsets_close(&offsets);
	*ret = rc < 0 ? LADE_EXIT_FAILED : LADE_EXIT_DONE;
	return 0;
}
LADE_TASK(answer, int, (const struct request *, request))

/* A number from 0 on; -1: it is none. */
static int64_t number(const char *text)
{
	size_t digits = text ? strspn(text, "0123456789") : 0;

	return digits && digits < 19 && !text[digits] ? strtoll(text, NULL, 10) : -1;
}

/* An offset as it is written.  Returns whether it is one. */
static bool read_offset(const char *text, struct lade_offset_target *ret)
{
	int64_t us;

	ret->value = number(text);
	ret->to = LADE_OFFSET_NUMBER;
	if (ret->value >= 0)
		return true;
	if (strcmp(text, "earliest") == 0 || strcmp(text, "latest") == 0) {
		ret->to = *text == 'e' ? LADE_OFFSET_EARLIEST : LADE_OFFSET_LATEST;
		return true;
	}
	if (lade_timestamp_parse(text, strlen(text), &us) < 0 || us < 0)
		return false;
	ret->to = LADE_OFFSET_SINCE;
	ret->value = us / 1000;
	return true;
}

static int run(const char *path, struct request *request)
{
	struct lade_pipe_config *config = NULL;
	int how = LADE_EXIT_FAILED, rc = cli_load(path, &config);
	struct answer_task task = answer_task(request);

	if (rc == 0) {
		request->config = config;
		task.ret = &how;
		lade_main_hold(LADE_FOREVER); /* SQLite is read where the task runs */
		rc = lade_main(&task) == 0 ? how : LADE_EXIT_FAILED;
		if (cli_printed() != 0)
			rc = LADE_EXIT_FAILED;
	}
	lade_pipe_config_free(config);
	return rc;
}

int cli_offsets(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "", *words[3] = { NULL, NULL, NULL };
	const bool sets = strcmp(what, "set") == 0;
	struct request request = { .target = { .part = -1 } };
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
			request.target.force = true;
		else if (sets && strcmp(argv[i], "--part") == 0) {
			request.target.part = number(argv[++i]);
			if (request.target.part < 0 || request.target.part > INT32_MAX)
				return cli_usage("offsets", "a partition is a number from 0 on");
		} else if (argv[i][0] == '-' || n == (sets ? 3 : 1))
			return cli_unknown("offsets", "--part|--force|--help", argv[i]);
		else
			words[n++] = argv[i];
	}
	if (n < (sets ? 3 : 1))
		return cli_usage("offsets", "%s", n == 0   ? "of which pipeline?"
						  : n == 1 ? "of which topic? show prints them"
							   : "to which offset?");
	if (sets && !read_offset(words[2], &request.target))
		return cli_usage("offsets", "an offset is a number from 0 on, earliest, latest, or"
				 " a time as 2026-11-22T20:00:00Z");
	request.target.topic = words[1];
	return run(words[0], &request);
}
