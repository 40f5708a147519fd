/* SPDX-License-Identifier: MIT */
/* run.c - `lade run`, `lade check`, `lade try` and `lade show`. */

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <lade/http_sim.h>
#include <lade/lade.h>

#include "cli/cli.h"
#include "services/pipeline/config_table.h"
#include "services/pipeline/engine.h"
#include "services/pipeline/log.h"
#include "services/pipeline/units.h"

#define GRACE_MORE_NS INT64_C(5000000000)

static const char run_help[] =
	"usage: lade run [--quiet] [--log json] [--processes N] PIPELINE.yaml\n"
	"\n"
	"Runs a pipeline: to the end of its source, or until it is asked to stop (SIGINT,\n"
	"SIGTERM: reading ends, what was read is finished; a second time: at once). Speaks on\n"
	"stderr: on a terminal a live line, else a line every ten seconds, and a summary at the\n"
	"end, which --quiet leaves out. A failure is said once per cause and half a minute, with\n"
	"how often it was. --log json makes an object of each line, for machines.\n"
	"\n"
	"--processes N runs N processes (64 at most) that share the partitions of its topics.\n"
	"Each line has the number of its process in front; metrics are at the port and those\n"
	"behind it, lade top knows the processes as PIPELINE-1 and so on. One that a signal kills\n"
	"is started again, unless that happens more than five times within a minute. The exit\n"
	"status is the worst of theirs.\n"
	"\n"
	"exit status:\n"
	"   0  done: every message is acknowledged\n"
	"   1  failed: at what, and what to do, is the last thing it says\n"
	"   2  wrong arguments\n"
	"   3  stopped with unfinished work: it says what will be read again\n"
	"   4  stopped by a bad message, because there is no dead letter\n"
	"  78  the configuration cannot run: lade check says the same\n"
	"\n"
	"LADE_BACKEND=sim LADE_SEED=n runs it in a simulation: the same n gives the same run.\n"
	"Files are read from here, and written in memory; LADE_SIM_SAVE=FOLDER keeps what was\n"
	"written, LADE_SIM_HTTP=TABLE says what the services answer, LADE_TRACE=FILE gets every\n"
	"event, and LADE_SIM sets how the simulation behaves: docs/explorer.md.\n";

static const char check_help[] =
	"usage: lade check [--connect] PIPELINE.yaml\n"
	"       lade check --keys\n"
	"\n"
	"Says whether a pipeline can run. A mistake in it comes with file, line and column, and\n"
	"what to do. Transforms are prepared, and queries of SQLite whose file is there.\n"
	"--connect also opens its databases and files, and prepares all its queries; it makes\n"
	"no file and no table. Names of files are relative to the pipeline's own folder.\n"
	"--keys prints every key that a configuration may have; it needs no file.\n"
	"\n"
	"exit status: 0 it can run; 1 it cannot be opened; 2 wrong arguments; 78 the\n"
	"configuration cannot run\n";

static const char try_help[] =
	"usage: lade try [-n COUNT] [--timeout DURATION] PIPELINE.yaml\n"
	"\n"
	"Reads COUNT messages (10 where it is not said) from the beginning of the source, and\n"
	"shows on stdout what each step makes of them. Databases and services are asked for real;\n"
	"nothing is written, neither to sinks and dead letters nor as an offset.\n"
	"\n"
	"What is down is waited for, as in a run, but no longer than DURATION in all: 30s where\n"
	"it is not said. Then it ends with status 1 and says what it waited for.\n"
	"\n"
	"exit status: as of lade run\n";

static const char show_help[] =
	"usage: lade show --effective PIPELINE.yaml\n"
	"\n"
	"Prints the pipeline with every default, as YAML that lade run can read: durations and\n"
	"sizes as they are understood, *** in place of secrets.\n"
	"\n"
	"exit status: 0; 2 wrong arguments; 78 the configuration cannot run\n";

static int load(const char *path, bool as_written, struct lade_pipe_config **ret)
{
	struct lade_pipe_config *config = lade_pipe_config_new();
	const char *problems;
	int rc;

	*ret = config;
	if (!config) {
		fprintf(stderr, "lade: out of memory\n");
		return LADE_EXIT_FAILED;
	}
	if (!*path) {
		fprintf(stderr, "lade: the name of the pipeline is empty\n");
		return CLI_CONFIG;
	}
	config->as_written = as_written;
	rc = lade_pipe_config_load(config, path);
	if (rc == 0)
		return 0;
	problems = lade_pipe_config_problems(config, false);
	if (problems && *problems)
		fprintf(stderr, "%s%s", problems,
			problems[strlen(problems) - 1] == '\n' ? "" : "\n");
	else
		fprintf(stderr, "%s: %s\n", path, strerror(-rc));
	return CLI_CONFIG;
}

int cli_load(const char *path, struct lade_pipe_config **ret)
{
	return load(path, false, ret);
}

/* In a simulation nobody outside answers: a table says what services there are. */

/* Reads a whole file; NULL, having said why: it cannot. */
static char *read_table(const char *path)
{
	FILE *file = fopen(path, "r");
	char *text = NULL;
	size_t room = 0;

	/* No file has a byte 0 in it that would end this early, but a wrong one. */
	if (!file || (getdelim(&text, &room, 0, file) < 0 && ferror(file)))
		fprintf(stderr, "LADE_SIM_HTTP: %s: %s\n", path, strerror(errno));
	else if (!text)
		text = strdup("");
	if (file)
		fclose(file);
	return text;
}

static bool wants_http(const struct lade_pipe_config *config)
{
	for (int i = 0; i < config->n_steps; i++)
		if (config->steps[i].kind == LADE_STEP_HTTP)
			return true;
	return false;
}

static int start_services(struct lade_scope *scope, struct lade_http_sim **ret)
{
	const char *path = getenv("LADE_SIM_HTTP");
	char *table = path ? read_table(path) : NULL;
	int line = 0, rc;

	if (!path)
		fprintf(stderr, "in the simulation nobody answers http: LADE_SIM_HTTP=TABLE names a"
				" file that says who does\n");
	if (!table)
		return -ENOENT;
	rc = lade_http_sim_new(scope, table, ret, &line);
	if (rc == -EINVAL)
		fprintf(stderr, "LADE_SIM_HTTP: %s:%d: an address, a status, a delay in ms and a"
				" body are expected, with tabs between\n", path, line);
	else if (rc < 0)
		fprintf(stderr, "LADE_SIM_HTTP: %s: %s\n", path, strerror(-rc));
	free(table);
	return rc;
}

/* Whether there is a terminal that shows a line in place of the one before. */
static bool is_live(const struct lade_pipe_config *config)
{
	return !config->log_json && isatty(STDERR_FILENO);
}

static int run_simulated(const struct lade_pipe_config *config, FILE *log, bool quiet, int *ret)
{
	struct lade_http_sim *services = NULL;
	int rc = 0;

	lade_scope(s, &rc) {
		rc = wants_http(config) ? start_services(&s, &services) : 0;
		if (rc < 0)
			*ret = CLI_CONFIG;
		else
			rc = lade_pipe_run(config, log, is_live(config), quiet, ret);
	}
	lade_http_sim_free(services);
	return *ret == CLI_CONFIG ? 0 : rc;
}

/* The running pipeline */

static int run_pipeline(const struct lade_pipe_config *config, bool quiet, int *ret)
{
	FILE *log = config->log_json
			    ? lade_pipe_log_json(config->name, config->process, stderr)
			    : stderr;
	int rc = !log ? -ENOMEM
		 : lade_simulated()
			 ? run_simulated(config, log, quiet, ret)
			 : lade_pipe_run(config, log, is_live(config), quiet, ret);

	if (log && log != stderr)
		fclose(log);
	/* Cancelled: the process ends, and *ret says what was left. */
	return rc == -ECANCELED ? 0 : rc;
}
LADE_TASK(run_pipeline, int, (const struct lade_pipe_config *, config), (bool, quiet))

/* A simulated run reads like a real one; after it no file is there. */
static void say_simulated(void)
{
	const char *backend = getenv("LADE_BACKEND"), *seed = getenv("LADE_SEED");
	const char *folder = getenv("LADE_SIM_SAVE");

	if (!backend || strcmp(backend, "sim") != 0)
		return;
	fprintf(stderr, "simulation, seed %s: ", seed && *seed ? seed : "1");
	if (folder && *folder)
		fprintf(stderr, "what was written is in %s\n", folder);
	else
		fputs("no file was written; LADE_SIM_SAVE=FOLDER keeps what would be\n", stderr);
}

/* What lade_main() said, and how the task has ended, as an exit status of this command. */
static int status_of(int rc, int how)
{
	if (rc == 0 || rc == CLI_CONFIG)
		return rc == 0 ? how : CLI_CONFIG;
	return rc == 130 ? LADE_EXIT_UNFINISHED : LADE_EXIT_FAILED;
}

int cli_run_loaded(struct lade_pipe_config *config, bool quiet)
{
	int how = LADE_EXIT_FAILED, rc;
	struct run_pipeline_task task = run_pipeline_task(config, quiet);

	task.ret = &how;
	/* A write beyond the limit of a file's size is to fail, not to end the process. */
	signal(SIGXFSZ, SIG_IGN);
	/* The pipeline gives up by itself; the hard end is for one that does not. */
	lade_main_grace(lade_ns(config->shutdown_timeout_ns + GRACE_MORE_NS));
	rc = lade_main(&task);
	if (rc == 0 && how != CLI_CONFIG && !quiet && !config->log_json)
		say_simulated();
	return status_of(rc, how);
}

int cli_run(int argc, char **argv)
{
	struct lade_pipe_config *config = NULL;
	const char *path = NULL;
	bool quiet = false, json = false;
	int rc, n = 0;

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--help") == 0) {
			fputs(run_help, stdout);
			return cli_printed();
		}
		if (strcmp(argv[i], "--quiet") == 0)
			quiet = true;
		else if (strcmp(argv[i], "--log") == 0 && argv[i + 1] &&
			 lade_pipe_word_number("json|text", argv[i + 1]) >= 0)
			json = *argv[++i] == 'j';
		else if (strcmp(argv[i], "--log") == 0)
			return cli_usage("run", "--log wants json or text");
		else if (strcmp(argv[i], "--processes") == 0) {
			n = argv[i + 1] ? (int)cli_count(argv[++i], CLI_PROCESSES_MAX) : 0;
			if (!n)
				return cli_usage("run", "--processes wants a number from 1 to %d",
						 CLI_PROCESSES_MAX);
		} else if (argv[i][0] == '-' || path)
			return cli_unknown("run", "--quiet|--log|--processes|--help", argv[i]);
		else
			path = argv[i];
	}
	if (!path)
		return cli_usage("run", "which pipeline?");
	rc = cli_load(path, &config);
	if (rc == 0) {
		config->log_json = json;
		rc = n ? cli_run_processes(config, quiet, n) : cli_run_loaded(config, quiet);
	}
	lade_pipe_config_free(config);
	return rc;
}

/* check */

static int connect_pipeline(const struct lade_pipe_config *config, int *ret)
{
	return lade_pipe_connect(config, stderr, ret);
}
LADE_TASK(connect_pipeline, int, (const struct lade_pipe_config *, config))

static int prepare_pipeline(const struct lade_pipe_config *config, int *ret)
{
	return lade_pipe_prepare(config, stderr, ret);
}
LADE_TASK(prepare_pipeline, int, (const struct lade_pipe_config *, config))

static int prepare_loaded(struct lade_pipe_config *config)
{
	int how = LADE_EXIT_FAILED, rc;
	struct prepare_pipeline_task task = prepare_pipeline_task(config);

	task.ret = &how;
	rc = lade_main(&task);
	return status_of(rc, how);
}

static int connect_loaded(struct lade_pipe_config *config)
{
	int how = LADE_EXIT_FAILED, rc;
	struct connect_pipeline_task task = connect_pipeline_task(config);

	task.ret = &how;
	rc = lade_main(&task);
	return status_of(rc, how);
}

static int print_keys(void)
{
	char *text = lade_pipe_config_reference();

	if (!text)
		return LADE_EXIT_FAILED;
	fputs(text, stdout);
	free(text);
	return cli_printed();
}

static int check_loaded(struct lade_pipe_config *config, const char *path, bool connect)
{
	const char *notes = lade_pipe_config_problems(config, true);
	int rc = connect ? connect_loaded(config) : prepare_loaded(config);

	if (rc != 0)
		return rc;
	if (notes && *notes)
		printf("%s%s", notes, notes[strlen(notes) - 1] == '\n' ? "" : "\n");
	printf("%s: ok: %s, %d step%s, %d sink%s\n", path, config->name, config->n_steps,
	       config->n_steps == 1 ? "" : "s", config->n_sinks, config->n_sinks == 1 ? "" : "s");
	return cli_printed();
}

int cli_check(int argc, char **argv)
{
	struct lade_pipe_config *config = NULL;
	const char *path = NULL;
	bool connect = false;
	int rc;

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--help") == 0) {
			fputs(check_help, stdout);
			return cli_printed();
		}
		if (strcmp(argv[i], "--keys") == 0)
			return print_keys();
		if (strcmp(argv[i], "--connect") == 0)
			connect = true;
		else if (argv[i][0] == '-' || path)
			return cli_unknown("check", "--connect|--keys|--help", argv[i]);
		else
			path = argv[i];
	}
	if (!path)
		return cli_usage("check", "which pipeline?");
	rc = cli_load(path, &config);
	if (rc == 0)
		rc = check_loaded(config, path, connect);
	lade_pipe_config_free(config);
	return rc;
}

/* try */

#define TRY_COUNT 10
#define TRY_COUNT_MAX 100000
#define TRY_TIMEOUT_NS INT64_C(30000000000)
#define TRY_TIMEOUT_MAX_NS (INT64_C(86400) * 1000000000)

static int try_pipeline(const struct lade_pipe_config *config, uint32_t n, int64_t timeout_ns,
			int *ret)
{
	return lade_pipe_try(config, n, timeout_ns, stdout, stderr, ret);
}
LADE_TASK(try_pipeline, int, (const struct lade_pipe_config *, config), (uint32_t, n),
	  (int64_t, timeout_ns))

/* Returns 0: it is no duration from 1 ms to a day. */
static int64_t timeout_of(const char *text)
{
	int64_t ns = 0;

	if (!text || lade_pipe_unit_parse(LADE_UNIT_DURATION, text, strlen(text), &ns) < 0)
		return 0;
	return ns < 1000000 || ns > TRY_TIMEOUT_MAX_NS ? 0 : ns;
}

static int try_loaded(struct lade_pipe_config *config, uint32_t n, int64_t timeout_ns)
{
	int how = LADE_EXIT_FAILED, rc;
	struct try_pipeline_task task = try_pipeline_task(config, n, timeout_ns);

	task.ret = &how;
	rc = lade_main(&task);
	if (cli_printed() != 0)
		return LADE_EXIT_FAILED;
	return status_of(rc, how);
}

int cli_try(int argc, char **argv)
{
	struct lade_pipe_config *config = NULL;
	const char *path = NULL;
	int64_t timeout_ns = TRY_TIMEOUT_NS;
	uint32_t n = TRY_COUNT;
	int rc;

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--help") == 0) {
			fputs(try_help, stdout);
			return cli_printed();
		}
		if (strcmp(argv[i], "-n") == 0) {
			n = (uint32_t)cli_count(argv[++i], TRY_COUNT_MAX);
			if (!n)
				return cli_usage("try", "-n wants a number from 1 to %d",
						 TRY_COUNT_MAX);
		} else if (strcmp(argv[i], "--timeout") == 0) {
			timeout_ns = timeout_of(argv[++i]);
			if (!timeout_ns)
				return cli_usage("try", "--timeout wants a duration from 1ms to"
						 " 24h, as 30s");
		} else if (argv[i][0] == '-' || path) {
			return cli_unknown("try", "-n|--timeout|--help", argv[i]);
		} else {
			path = argv[i];
		}
	}
	if (!path)
		return cli_usage("try", "which pipeline?");
	rc = cli_load(path, &config);
	if (rc == 0)
		rc = try_loaded(config, n, timeout_ns);
	lade_pipe_config_free(config);
	return rc;
}

/* show */

int cli_show(int argc, char **argv)
{
	struct lade_pipe_config *config = NULL;
	const char *path = NULL, *text;
	bool effective = false;
	int rc;

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--help") == 0) {
			fputs(show_help, stdout);
			return cli_printed();
		}
		if (strcmp(argv[i], "--effective") == 0)
			effective = true;
		else if (argv[i][0] == '-' || path)
			return cli_unknown("show", "--effective|--help", argv[i]);
		else
			path = argv[i];
	}
	if (!path || !effective)
		return cli_usage("show", !path ? "which pipeline?"
					       : "what of it? --effective prints it as it runs");
	rc = load(path, true, &config);
	text = rc == 0 ? lade_pipe_config_show(config) : NULL;
	if (text)
		fputs(text, stdout);
	if (rc == 0)
		rc = text ? cli_printed() : LADE_EXIT_FAILED;
	lade_pipe_config_free(config);
	return rc;
}
