/* SPDX-License-Identifier: MIT */
/* new.c - `lade new`: a pipeline to begin from, for a pair of source and sink or with input. */

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cli/cli.h"
#include "services/pipeline/config_new.h"

static const char new_help[] =
	"usage: lade new SOURCE-SINK [FILE]\n"
	"       lade new DIR\n"
	"\n"
	"Writes a pipeline to begin from, with a comment on every key: to FILE, which must not be\n"
	"there, or to stdout. lade new alone lists the pairs that there are, as file-sqlite.\n"
	"\n"
	"Makes a folder with a commented pipeline and ten lines of input, and prints the next\n"
	"three commands. The folder may be there already, but without these two files.\n";

static const char pipeline[] =
	"config: 1\n"
	"pipeline: orders\n"
	"\n"
	"# Messages: one JSON object a line. `stdin: {}` reads what is piped in. Names of files\n"
	"# are relative to this one's folder.\n"
	"source:\n"
	"  file: { path: orders.ndjson }\n"
	"\n"
	"# A batch closes when it is full, or `linger` after its FIRST message.\n"
	"batch: { max_messages: 500, linger: 50ms }\n"
	"\n"
	"# Steps: `sql` looks things up in a database, `http` asks a service; this one is SQL\n"
	"# over the batch itself. A message without a row is dropped on purpose.\n"
	"steps:\n"
	"  - name: large_orders\n"
	"    transform:\n"
	"      fields:\n"
	"        id: \"integer .id\"\n"
	"        customer: \"text .customer\"\n"
	"        cents: \"integer .cents\"\n"
	"      query: >\n"
	"        select i, json_object('id', id, 'customer', customer,\n"
	"                              'euros', cents / 100.0) as value\n"
	"        from batch where cents >= 1000\n"
	"\n"
	"# Rows, and the position in the file, move in one transaction: exactly once.\n"
	"sink:\n"
	"  - sqlite:\n"
	"      path: orders.db\n"
	"      table: orders\n"
	"      create: true\n"
	"      key: [id]\n"
	"      on_conflict: update\n"
	"      columns:\n"
	"        id: \"integer .id\"\n"
	"        customer: \"text .customer\"\n"
	"        euros: \"double .euros\"\n"
	"delivery: exactly_once\n"
	"\n"
	"# What cannot be processed goes here, with the reason, in the same transaction.\n"
	"errors:\n"
	"  dead_letter: { table: dead_letters }\n";

static const char *const customers[] = { "Ada", "Grace", "Edsger", "Barbara", "Dennis" };

static int write_pipeline(FILE *f)
{
	return fputs(pipeline, f) < 0;
}

static int write_orders(FILE *f)
{
	int bad = 0;

	for (int i = 1; i <= 10; i++)
		bad |= fprintf(f, "{\"id\":%d,\"customer\":\"%s\",\"cents\":%d}\n", i,
			       customers[i % 5], i * 377 % 2500) < 0;
	return bad;
}

/* Whether a file is there already; says so. */
static bool is_there(const char *dir, const char *name)
{
	char path[4096];
	struct stat st;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	if (lstat(path, &st) < 0)
		return false;
	fprintf(stderr, "lade new: %s: File exists; choose another folder\n", path);
	return true;
}

static int make(const char *dir, const char *name, int (*write)(FILE *))
{
	char path[4096];
	FILE *f;
	int bad;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "wx");
	if (!f) {
		fprintf(stderr, "lade new: %s: %s\n", path, strerror(errno));
		return 1;
	}
	bad = write(f);
	bad |= fclose(f) != 0;
	if (bad)
		fprintf(stderr, "lade new: %s: %s\n", path, strerror(errno));
	return bad;
}

/* Says why there is no such folder; of one that is to be in another, that the other is missing. */
static int cannot_make(const char *dir)
{
	int rc = errno;
	size_t len = strlen(dir);

	while (len > 0 && dir[len - 1] == '/')
		len--;
	while (len > 0 && dir[len - 1] != '/')
		len--;
	while (len > 1 && dir[len - 1] == '/')
		len--;
	if (rc == ENOENT && len)
		fprintf(stderr, "lade new: %s: there is no folder %.*s; make it first\n", dir,
			(int)len, dir);
	else
		fprintf(stderr, "lade new: %s: %s\n", dir, strerror(rc));
	return 1;
}

/* The pairs that there are. */
static void list_pairs(FILE *out)
{
	char name[64];

	fputs("\npairs:", out);
	for (int i = 0; lade_pipe_pair_at(i, name, sizeof(name)); i++)
		fprintf(out, "%s%s", i % 5 ? "  " : "\n  ", name);
	fputc('\n', out);
}

static bool is_pair(const char *text)
{
	char name[64];

	for (int i = 0; lade_pipe_pair_at(i, name, sizeof(name)); i++)
		if (strcmp(name, text) == 0)
			return true;
	return false;
}

/* Whether @text is two words of which one is a source or a sink: a pair was meant. */
static bool is_nearly_pair(const char *text)
{
	size_t first = strcspn(text, "-");
	const char *second = text + first + (text[first] == '-');
	char name[64];

	if (!first || !*second || strpbrk(second, "-/."))
		return false;
	for (int i = 0; lade_pipe_pair_at(i, name, sizeof(name)); i++)
		if (strncmp(name, text, first + 1) == 0 ||
		    strcmp(strchr(name, '-') + 1, second) == 0)
			return true;
	return false;
}

/* Writes the file of a pair.  Returns an exit status. */
static int write_pair(const char *text, const char *path)
{
	FILE *file;
	int bad;

	if (!path) {
		fputs(text, stdout);
		return cli_printed();
	}
	file = fopen(path, "wx");
	if (!file) {
		fprintf(stderr, "lade new: %s: %s\n", path, strerror(errno));
		return 1;
	}
	bad = fputs(text, file) < 0;
	bad |= fclose(file) != 0;
	if (bad)
		fprintf(stderr, "lade new: %s: %s\n", path, strerror(errno));
	else
		printf("%s is there. Next:\n  %s check %s\n  %s run %s\n", path, cli_name, path,
		       cli_name, path);
	return bad || cli_printed() ? 1 : 0;
}

int cli_new(int argc, char **argv)
{
	static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
				    "0123456789/._-+,:@%";
	const char *dir = argc == 2 ? argv[1] : NULL, *q = "";

	char *text = argc == 2 || argc == 3 ? lade_pipe_config_begin(argv[1]) : NULL;

	if (!text && dir && is_pair(dir)) {
		fprintf(stderr, "lade new: no %s could be made that lade check passes\n", dir);
		return 1;
	}
	if (text) {
		int rc = write_pair(text, argv[2]);

		free(text);
		return rc;
	}
	if (dir && strcmp(dir, "--help") == 0) {
		fputs(new_help, stdout);
		list_pairs(stdout);
		return cli_printed();
	}
	if (dir && is_nearly_pair(dir)) {
		fprintf(stderr, "lade new: there is no pair '%s'; a folder of that name is ./%s\n",
			dir, dir);
		list_pairs(stderr);
		return CLI_USAGE;
	}
	if (!dir || !*dir || *dir == '-' || strlen(dir) > 2000 || strpbrk(dir, "'\n")) {
		if (argc == 3)
			fprintf(stderr, "lade new: there is no pair '%s'\n\n", argv[1]);
		fputs(new_help, stderr);
		list_pairs(stderr);
		return CLI_USAGE;
	}
	if (mkdir(dir, 0777) < 0 && errno != EEXIST)
		return cannot_make(dir);
	if (is_there(dir, "pipeline.yaml") || is_there(dir, "orders.ndjson"))
		return 1;
	if (make(dir, "pipeline.yaml", write_pipeline) || make(dir, "orders.ndjson", write_orders))
		return 1;
	/* Quoted where a shell would not leave the name alone. */
	if (dir[strspn(dir, plain)])
		q = "'";
	printf("%s/pipeline.yaml and %s/orders.ndjson are there. Next:\n"
	       "  %s check %s%s/pipeline.yaml%s\n"
	       "  %s run %s%s/pipeline.yaml%s\n"
	       "  sqlite3 %s%s/orders.db%s 'select * from orders'\n",
	       dir, dir, cli_name, q, dir, q, cli_name, q, dir, q, q, dir, q);
	return cli_printed();
}
