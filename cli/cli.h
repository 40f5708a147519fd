/* SPDX-License-Identifier: MIT */
#ifndef LADE_CLI_H
#define LADE_CLI_H

/* cli.h - the verbs of the command `lade`: each parses its arguments and calls one function. */

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

/* cli_printed - flushes stdout.  Returns 0, or 1 when not all could be written. */
int cli_printed(void);

#endif
