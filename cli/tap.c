/* SPDX-License-Identifier: MIT */
/* tap.c - `lade tap`: prints what passes behind a step of a running pipeline. */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/ask.h"
#include "cli/cli.h"
#include "services/pipeline/engine.h"

static const char tap_help[] =
	"usage: lade tap STEP [PIPELINE|SOCKET] [--n COUNT] [--every COUNT]\n"
	"\n"
	"Prints on stdout the messages that pass behind a step of a running pipeline, or as they\n"
	"are read (STEP: source), a JSON document a line; what a step drops or rejects is told on\n"
	"stderr. PIPELINE is a name or its YAML file; it may be left out where only one runs.\n"
	"\n"
	"  --n COUNT      ends after so many; without it, goes on until it is stopped\n"
	"  --every COUNT  takes only each so many-th message\n"
	"\n"
	"The pipeline never waits: at most 200 messages of a batch are shown, and who reads\n"
	"slowly loses some, which is counted.\n"
	"\n"
	"exit status: 0 done, or the pipeline has ended; 1 no such pipeline or step; 2 wrong\n"
	"arguments; 78 the pipeline's file cannot be read\n";

enum { WHAT, ERROR, PLACE, MESSAGE, DROPPED, REJECTED, STEP, LOST, UNWRITTEN, FIELDS };
static const char *const fields[FIELDS] = {
	".what", ".error", ".place", ".message", ".dropped", ".rejected", ".step", ".lost",
	".unwritten",
};

/* Prints a sample.  Returns 0; 1: the answer is an error, which is said. */
static int print(struct cli_asking *a)
{
	char place[256], text[256], step[80];

	cli_ask_text(a, PLACE, place, sizeof(place));
	if (cli_ask_is(a, WHAT, "error")) {
		fprintf(stderr, "lade tap: %s\n", cli_ask_text(a, ERROR, text, sizeof(text)));
		return LADE_EXIT_FAILED;
	}
	if (cli_ask_has(a, LOST))
		fprintf(stderr, "lade tap: %" PRId64 " more passed and were not shown\n",
			cli_ask_number(a, LOST));
	else if (cli_ask_has(a, REJECTED))
		fprintf(stderr, "%s: rejected by %s: %s\n", place,
			cli_ask_text(a, STEP, step, sizeof(step)),
			cli_ask_text(a, REJECTED, text, sizeof(text)));
	else if (cli_ask_has(a, DROPPED))
		fprintf(stderr, "%s: dropped\n", place);
	else if (cli_ask_has(a, UNWRITTEN))
		fprintf(stderr, "%s: cannot be shown: %s\n", place,
			cli_ask_text(a, UNWRITTEN, text, sizeof(text)));
	else
		printf("%.*s\n", (int)a->at[MESSAGE].len, a->line.text + a->at[MESSAGE].at);
	return fflush(stdout) == 0 ? 0 : LADE_EXIT_FAILED;
}

static int ask(struct cli_asking *a, const char *step, uint64_t n, uint64_t every)
{
	struct lade_json_out out;
	char counts[64];
	int rc, len;

	lade_json_out_init(&out, 4096);
	lade_json_out_raw(&out, "{\"ask\":\"tap\",\"step\":", 20);
	lade_json_out_string(&out, step, strlen(step));
	len = n ? snprintf(counts, sizeof(counts), ",\"n\":%" PRIu64, n) : 0;
	lade_json_out_raw(&out, counts, (size_t)len);
	len = snprintf(counts, sizeof(counts), ",\"every\":%" PRIu64 "}\n", every);
	lade_json_out_raw(&out, counts, (size_t)len);
	rc = out.status < 0 ? out.status : cli_ask_send(a, out.data, out.len);
	lade_json_out_done(&out);
	return rc;
}

static int tap_pipeline(const char *path, const char *step, uint64_t n, uint64_t every, int *ret)
{
	struct cli_asking a;
	int rc = cli_ask_open(&a, path, fields, FIELDS);

	if (rc == 0)
		rc = ask(&a, step, n, every);
	*ret = rc < 0 ? LADE_EXIT_FAILED : 0;
	while (rc >= 0 && *ret == 0 && (rc = cli_ask_next(&a)) > 0)
		*ret = print(&a);
	if (a.lines && rc == 0 && *ret == 0 && !n)
		fprintf(stderr, "lade tap: the pipeline has ended\n");
	cli_ask_close(&a);
	return 0;
}
LADE_TASK(tap_pipeline, int, (const char *, path), (const char *, step), (uint64_t, n),
	  (uint64_t, every))

static int tap(const char *path, const char *step, uint64_t n, uint64_t every)
{
	int how = LADE_EXIT_FAILED, rc;
	struct tap_pipeline_task task = tap_pipeline_task(path, step, n, every);

	task.ret = &how;
	rc = lade_main(&task);
	return rc == 0 ? how : rc == 130 ? 0 : rc;
}

int cli_tap(int argc, char **argv)
{
	const char *step = NULL, *pipeline = NULL;
	uint64_t n = 0, every = 1;
	char path[LADE_SOCKET_ROOM];
	int rc;

	for (int i = 1; i < argc; i++) {
		bool count = strcmp(argv[i], "--n") == 0 || strcmp(argv[i], "-n") == 0;

		if (strcmp(argv[i], "--help") == 0) {
			fputs(tap_help, stdout);
			return cli_printed();
		}
		if (count || strcmp(argv[i], "--every") == 0) {
			uint64_t number = cli_count(argv[i + 1], 1000000000);

			if (!number)
				return cli_usage("tap", "%s wants a number from 1 on", argv[i]);
			*(count ? &n : &every) = number;
			i++;
		} else if (argv[i][0] == '-' || pipeline) {
			return cli_unknown("tap", "--n|--every|--help", argv[i]);
		} else if (step) {
			pipeline = argv[i];
		} else {
			step = argv[i];
		}
	}
	if (!step)
		return cli_usage("tap", "behind which step? source is what is read");
	rc = cli_find_socket("tap", pipeline, path);
	return rc ? rc : tap(path, step, n, every);
}
