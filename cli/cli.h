/* SPDX-License-Identifier: MIT */
#ifndef LADE_CLI_H
#define LADE_CLI_H

/* cli.h - the verbs of the command `lade`: each parses its arguments and calls one function. */

#include <stdbool.h>
#include <stdint.h>

#define CLI_USAGE 2   /* wrong arguments */
#define CLI_CONFIG 78 /* a configuration that cannot run */

/* A verb. */
struct cli_verb {
	const char *name;
	const char *line; /* one line of help */
	int (*run)(int argc, char **argv); /* argv[0] is the verb; the exit status */
};

/* cli_run - `lade run PIPELINE.yaml`. */
int cli_run(int argc, char **argv);

/* cli_check - `lade check PIPELINE.yaml`. */
int cli_check(int argc, char **argv);

/* cli_try - `lade try PIPELINE.yaml`. */
int cli_try(int argc, char **argv);

/* cli_show - `lade show --effective PIPELINE.yaml`. */
int cli_show(int argc, char **argv);

/* cli_top - `lade top`. */
int cli_top(int argc, char **argv);

/* cli_tap - `lade tap STEP`. */
int cli_tap(int argc, char **argv);

/* cli_test - `lade test FILE...`. */
int cli_test(int argc, char **argv);

/* cli_dlq - `lade dlq list|show|replay`. */
int cli_dlq(int argc, char **argv);

/* cli_offsets - `lade offsets show|set`. */
int cli_offsets(int argc, char **argv);

/* cli_new - `lade new DIR`. */
int cli_new(int argc, char **argv);

/* cli_name - the command as it was called: "lade", "build/lade". */
extern const char *cli_name;

/* cli_usage - says what is wrong with the arguments of a verb, and where there is more help.
 *
 * Returns CLI_USAGE. */
__attribute__((format(printf, 2, 3))) int cli_usage(const char *verb, const char *format, ...);

/* cli_unknown - says that a verb has no such argument, and which of its @options, as
 * "--quiet|--help", is like it.
 *
 * Returns CLI_USAGE. */
int cli_unknown(const char *verb, const char *options, const char *argument);

struct lade_pipe_config;

/* cli_load - reads a pipeline's file; the caller frees the configuration, whatever is returned.
 *
 * Returns 0, or an exit status, having said what is wrong. */
int cli_load(const char *path, struct lade_pipe_config **ret);

/* cli_count - a number from 1 to @max; 0: the text is none. */
uint64_t cli_count(const char *text, uint64_t max);

/* cli_printed - flushes stdout.  Returns 0, or 1 when not all could be written. */
int cli_printed(void);

#define CLI_PROCESSES_MAX 64

/* cli_run_loaded - runs a pipeline in this process.  Returns the exit status. */
int cli_run_loaded(struct lade_pipe_config *config, bool quiet);

/* cli_run_processes - runs a pipeline in @n processes, and minds them; before any task or thread.
 *
 * Returns the worst of their exit statuses, or what it has refused. */
int cli_run_processes(struct lade_pipe_config *config, bool quiet, int n);

#endif
