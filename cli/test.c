/* SPDX-License-Identifier: MIT */
/* test.c - `lade test`: cases of messages, without any server. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "services/pipeline/cases.h"
#include "services/pipeline/engine.h"

#define CLI_TEST_FAILED 65

static const char test_help[] =
	"usage: lade test FILE...\n"
	"\n"
	"Runs the cases of each file: the steps of a pipeline over messages that are given, and\n"
	"compares what comes out, what is dropped and what is rejected. Nothing is written and no\n"
	"service is asked: it runs in the simulation, where SQLite's databases are read for real.\n"
	"A file of cases:\n"
	"\n"
	"  pipeline: pipeline.yaml           # from this file's folder\n"
	"  cases:\n"
	"    - name: a late flight is kept\n"
	"      input:\n"
	"        - { origin: BER, delay: 20 }\n"
	"        - '{\"origin\":\"BER\"'         # a text is taken as it is\n"
	"        - { value: { origin: MUC }, key: k, headers: { h: x }, topic: t }\n"
	"      answers:                      # in place of databases and services\n"
	"        airports: [ { origin: BER, city: Berlin } ]\n"
	"        weather: [ { url: \"http://weather/at/BER\", body: { wind: 3 } } ]\n"
	"      output: [ { city: Berlin, late: true } ]\n"
	"      rejected: [ { input: 2, step: source, reason: expected } ]\n"
	"      dropped: 1\n"
	"\n"
	"exit status: 0 all passed; 1 they could not be run; 2 wrong arguments; 65 a case failed;\n"
	"78 a file of cases or a pipeline is wrong\n";

static int run_cases(struct lade_pipe_cases *cases, int n, int *ret)
{
	int all = 0, failed = 0, rc = 0;

	for (int i = 0; rc == 0 && i < n; i++) {
		int bad = 0;

		rc = lade_pipe_cases_run(&cases[i], stdout, &bad);
		all += cases[i].n;
		failed += bad;
	}
	if (rc == 0 && failed)
		printf("%d of %d cases failed\n", failed, all);
	else if (rc == 0)
		printf("%d case%s passed\n", all, all == 1 ? "" : "s");
	*ret = failed ? CLI_TEST_FAILED : 0;
	return rc;
}
LADE_TASK(run_cases, int, (struct lade_pipe_cases *, cases), (int, n))

static int run_loaded(struct lade_pipe_cases *cases, int n)
{
	int how = LADE_EXIT_FAILED, rc;
	struct run_cases_task task = run_cases_task(cases, n);

	task.ret = &how;
	/* There no time passes while something is waited for, and nothing is written. */
	setenv("LADE_BACKEND", "sim", 1);
	setenv("LADE_SEED", "1", 0);
	unsetenv("LADE_SIM_SAVE");
	rc = lade_main(&task);
	if (cli_printed() != 0)
		return LADE_EXIT_FAILED;
	return rc == 0 ? how : rc == CLI_CONFIG ? CLI_CONFIG : LADE_EXIT_FAILED;
}

int cli_test(int argc, char **argv)
{
	struct lade_pipe_cases *cases = calloc((size_t)argc, sizeof(*cases));
	int n = 0, rc = 0;

	if (!cases)
		return LADE_EXIT_FAILED;
	for (int i = 1; rc == 0 && i < argc; i++) {
		if (strcmp(argv[i], "--help") == 0) {
			free(cases);
			fputs(test_help, stdout);
			return cli_printed();
		}
		if (argv[i][0] == '-')
			rc = cli_unknown("test", "--help", argv[i]);
	}
	if (rc == 0 && argc < 2)
		rc = cli_usage("test", "which files of cases?");
	for (int i = 1; rc == 0 && i < argc; i++)
		if (lade_pipe_cases_load(&cases[n++], argv[i], stderr) < 0)
			rc = CLI_CONFIG;
	if (rc == 0)
		rc = run_loaded(cases, n);
	for (int i = 0; i < n; i++)
		lade_pipe_cases_free(&cases[i]);
	free(cases);
	return rc;
}
