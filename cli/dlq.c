/* SPDX-License-Identifier: MIT */
/* dlq.c - `lade dlq`: dead letters listed, shown and replayed. */

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <lade/lade.h>

#include "cli/cli.h"
#include "services/pipeline/engine.h"
#include "services/pipeline/letters.h"

#define GROUPS_MAX 200 /* of letters that are told apart */

static const char dlq_help[] =
	"usage: lade dlq list PIPELINE.yaml\n"
	"       lade dlq show PIPELINE.yaml ID\n"
	"       lade dlq replay [--step STEP] [--changed] PIPELINE.yaml\n"
	"\n"
	"Works on the dead letters of a pipeline, in a file, a table or a topic.\n"
	"list counts them by step and error, whatever the values in it, with the ID of the\n"
	"first of each; show prints one whole; replay sends them through the pipeline again.\n"
	"Those that were written, dropped or rejected again (then they are a new letter) are\n"
	"done: a row is deleted, of a file it is noted in FILE.replayed, of a topic the group\n"
	"PIPELINE-dlq commits it. None is lost, whenever a replay ends; what it was about to note\n"
	"is replayed again, so a sink should have a key. --step replays the letters of one step;\n"
	"of a topic those before the last that was replayed are written to its end again.\n"
	"A letter that was rejected behind a transform holds what that made of the message; it\n"
	"goes through all steps again with --changed alone.\n"
	"\n"
	"exit status: 0 done; 1 failed; 2 wrong arguments; 3 stopped by a signal; 78 the\n"
	"configuration is wrong\n";

/* Letters of one step and kind of error. */
struct group {
	char step[80], first[40], id[48];
	char error[320]; /* of its first letter */
	char kind[320];	 /* the same without values */
	bool varied;	 /* other ones of the kind have other values */
	uint64_t order; /* of its first letter */
	uint64_t n;
};

static bool is_word(char c)
{
	return isalnum((unsigned char)c) || c == '_';
}

/* Behind what is in quotes at @at; @at: nothing is. An apostrophe within a word is no quote. */
static const char *skip_quoted(const char *error, const char *at)
{
	const char *end = at + 1;

	if (*at != '"' && (*at != '\'' || (at > error && is_word(at[-1]))))
		return at;
	while (*end && *end != *at)
		end += *end == '\\' && end[1] ? 2 : 1;
	return *end && (*at == '"' || !is_word(end[1])) ? end + 1 : at;
}

/* Behind a value that begins with a digit, as a number, a time, an ID; @at: it is none. What
 * stands behind SQLSTATE or status is no value. */
static const char *skip_number(const char *error, const char *at)
{
	const char *end = at;

	if (!isdigit((unsigned char)*at) || (at > error && is_word(at[-1])) ||
	    (at - error >= 9 && memcmp(at - 9, "SQLSTATE ", 9) == 0) ||
	    (at - error >= 7 && memcmp(at - 7, "status ", 7) == 0))
		return at;
	while (is_word(*end) || (*end && strchr(".:-+", *end) && isdigit((unsigned char)end[1])))
		end++;
	return end;
}

/* What of an address is the same for all: up to the path. NULL: @at is none. */
static const char *skip_host(const char *at)
{
	size_t scheme = strncmp(at, "http://", 7) == 0	  ? 7
			: strncmp(at, "https://", 8) == 0 ? 8
							  : 0;

	return scheme ? at + scheme + strcspn(at + scheme, "/ ,;") : NULL;
}

/* Takes the values out of an error, so that what is wrong with many is one kind. */
static void kind_of(const char *error, char *ret, size_t room)
{
	const char *at = error, *next;
	size_t n = 0;

	while (*at && n + 8 < room) {
		const char *host = skip_host(at);

		if (host) {
			n += (size_t)snprintf(ret + n, room - n, "%.*s", (int)(host - at), at);
			at = host + strcspn(host, " ,;");
			if (at > host && at[-1] == ':')
				at--;
			if (at > host && n + 8 < room)
				n += (size_t)snprintf(ret + n, room - n, "/…");
			if (n >= room)
				break;
		} else if ((next = skip_quoted(error, at)) > at) {
			n += (size_t)snprintf(ret + n, room - n, "%c…%c", *at, *at);
			at = next;
		} else if ((next = skip_number(error, at)) > at) {
			ret[n++] = 'N';
			at = next;
		} else {
			ret[n++] = *at++;
		}
	}
	ret[n < room ? n : room - 1] = 0;
}

static struct group *group_of(const struct lade_letters *letters, struct group *all, int *n,
			      const struct lade_letter *l)
{
	char kind[sizeof(all->kind)];

	kind_of(l->error, kind, sizeof(kind));
	for (int i = 0; i < *n; i++) {
		if (strcmp(all[i].step, l->step) != 0 || strcmp(all[i].kind, kind) != 0)
			continue;
		all[i].varied |= strcmp(all[i].error, l->error) != 0;
		return &all[i];
	}
	if (*n == GROUPS_MAX)
		return NULL;
	memcpy(all[*n].step, l->step, sizeof(l->step));
	memcpy(all[*n].error, l->error, sizeof(l->error));
	memcpy(all[*n].kind, kind, sizeof(kind));
	memcpy(all[*n].first, l->first_failure, sizeof(l->first_failure));
	(void)lade_letters_id(letters, &l->ref, all[*n].id);
	all[*n].order = (uint64_t)*n;
	return &all[(*n)++];
}

static int by_count(const void *a, const void *b)
{
	const struct group *x = a, *y = b;

	return x->n < y->n ? 1 : x->n > y->n ? -1 : x->order < y->order ? -1 : x->order > y->order;
}

static void print_groups(const struct lade_letters *letters, struct group *all, int n,
			 uint64_t letters_n, uint64_t others)
{
	printf("%s: %" PRIu64 " dead letter%s\n", letters->name, letters_n,
	       letters_n == 1 ? "" : "s");
	if (n)
		printf("%10s  %-20s  %-12s  %-16s  %s\n", "count", "first failure", "id of first",
		       "step", "error");
	qsort(all, (size_t)n, sizeof(*all), by_count);
	for (int i = 0; i < n; i++) {
		printf("%10" PRIu64 "  %-20.19s  %-12s  %-16s  %s\n", all[i].n,
		       all[i].first, all[i].id, all[i].step,
		       all[i].varied ? all[i].kind : all[i].error);
		if (all[i].varied)
			printf("%66s  as: %s\n", "", all[i].error);
	}
	if (others)
		printf("%10" PRIu64 "  of further kinds\n", others);
}

static int list(struct lade_letters *letters)
{
	struct group *all = calloc(GROUPS_MAX, sizeof(*all));
	uint64_t total = 0, others = 0;
	struct lade_letter letter;
	int n = 0, rc = all ? 0 : -1;

	while (all && (rc = lade_letters_next(letters, &letter)) > 0) {
		struct group *g = group_of(letters, all, &n, &letter);

		total++;
		if (g)
			g->n++;
		else
			others++;
	}
	if (rc == 0)
		print_groups(letters, all, n, total, others);
	free(all);
	return rc;
}

/* Bytes for a person: a terminal obeys none of them. */
static void print_bytes(const char *bytes, size_t len)
{
	bool terminal = isatty(STDOUT_FILENO);

	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)bytes[i];

		putchar(terminal && (c < ' ' || c == 0x7f) && c != '\n' && c != '\t' ? '?' : c);
	}
	putchar('\n');
}

static void print_letter(const struct lade_letters *letters, const struct lade_letter *l)
{
	char id[48];

	printf("id            %s\n", lade_letters_id(letters, &l->ref, id));
	printf("topic         %s, partition %" PRId64 ", offset %" PRId64, l->topic, l->part,
	       l->offset);
	if (l->line)
		printf(", line %" PRId64, l->line);
	printf("\nstep          %s\nerror         %s\n", l->step, l->error);
	printf("attempts      %" PRId64 ", first failure %s\n", l->attempts, l->first_failure);
	if (l->key) {
		printf("key           ");
		print_bytes(l->key, l->key_len);
	}
	for (uint32_t i = 0; i < l->n_headers; i++) {
		printf("header        %s: ", l->headers[i].name);
		print_bytes(l->headers[i].bytes ? l->headers[i].bytes : "", l->headers[i].len);
	}
	if (l->value) {
		printf("value         %zu bytes\n", l->value_len);
		print_bytes(l->value, l->value_len);
	} else {
		printf("value         none\n");
	}
}

static int show(struct lade_letters *letters, const char *wanted)
{
	struct lade_letter letter;
	char id[48];
	int rc;

	while ((rc = lade_letters_next(letters, &letter)) > 0) {
		if (strcmp(lade_letters_id(letters, &letter.ref, id), wanted) == 0) {
			print_letter(letters, &letter);
			return 0;
		}
	}
	if (rc == 0) {
		snprintf(letters->why, sizeof(letters->why), "%.250s has no letter %.47s that is "
			 "not done; lade dlq list says which there are", letters->name, wanted);
		rc = -1;
	}
	return rc;
}

static int look(const struct lade_pipe_config *config, const char *id, int *ret)
{
	struct lade_letters letters;
	int rc = 0, open;

	lade_scope(s, &rc) {
		open = lade_letters_open(&letters, config, &s, false);
		if (open == 0)
			open = id ? show(&letters, id) : list(&letters);
		if (open < 0 && open != -ECANCELED)
			fprintf(stderr, "lade dlq: %s\n",
				*letters.why ? letters.why : "out of memory");
		*ret = open < 0 ? LADE_EXIT_FAILED : LADE_EXIT_DONE;
		lade_letters_close(&letters);
	}
	return rc == -ECANCELED ? 0 : rc;
}
LADE_TASK(look, int, (const struct lade_pipe_config *, config), (const char *, id))

static int read_letters(const struct lade_pipe_config *config, const char *id)
{
	int how = LADE_EXIT_FAILED, rc;
	struct look_task task = look_task(config, id);

	task.ret = &how;
	lade_main_hold(LADE_FOREVER); /* letters are read where the task runs */
	rc = lade_main(&task) == 0 ? how : LADE_EXIT_FAILED;
	return cli_printed() == 0 ? rc : LADE_EXIT_FAILED;
}

/* replay */

static int replay_letters(const struct lade_pipe_config *config, const char *step, bool changed,
			  int *ret)
{
	int rc = lade_letters_replay(config, step, changed, stderr, ret);

	return rc == -ECANCELED ? 0 : rc;
}
LADE_TASK(replay_letters, int, (const struct lade_pipe_config *, config), (const char *, step),
	  (bool, changed))

static int replay(struct lade_pipe_config *config, const char *step, bool changed)
{
	int how = LADE_EXIT_FAILED, rc;
	struct replay_letters_task task = replay_letters_task(config, step, changed);

	task.ret = &how;
	lade_main_hold(LADE_FOREVER); /* letters are read where the tasks run */
	rc = lade_main(&task);
	return rc == 0 ? how : rc == 130 ? LADE_EXIT_UNFINISHED : LADE_EXIT_FAILED;
}

/* A number, or two with a / between. */
static bool is_id(const char *text)
{
	size_t digits = strspn(text, "0123456789");
	const char *rest = text + digits + (text[digits] == '/');
	size_t more = strspn(rest, "0123456789");

	return digits && digits < 19 && more < 19 && !rest[more] &&
	       (more || text[digits] != '/');
}

int cli_dlq(int argc, char **argv)
{
	struct lade_pipe_config *config = NULL;
	const char *what = argc > 1 ? argv[1] : "", *path = NULL, *id = NULL, *step = NULL;
	bool changed = false, replays = strcmp(what, "replay") == 0;
	int rc;

	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--help") == 0) {
			fputs(dlq_help, stdout);
			return cli_printed();
		}
	}
	if (!replays && strcmp(what, "list") != 0 && strcmp(what, "show") != 0)
		return cli_usage("dlq", "list, show or replay?");
	for (int i = 2; i < argc; i++) {
		if (replays && strcmp(argv[i], "--step") == 0 && i + 1 < argc)
			step = argv[++i];
		else if (replays && strcmp(argv[i], "--changed") == 0)
			changed = true;
		else if (argv[i][0] == '-' || id || (path && *what != 's'))
			return cli_unknown("dlq", "--step|--changed|--help", argv[i]);
		else
			*(path ? &id : &path) = argv[i];
	}
	if (!path || (*what == 's' && !id))
		return cli_usage("dlq", !path ? "of which pipeline?" : "which letter? Give its ID");
	if (id && !is_id(id))
		return cli_usage("dlq", "'%s' is no ID: lade dlq list has them", id);
	rc = cli_load(path, &config);
	if (rc == 0)
		rc = replays ? replay(config, step, changed) : read_letters(config, id);
	lade_pipe_config_free(config);
	return rc;
}
