/* SPDX-License-Identifier: MIT */
/* ask.c - a connection to a running pipeline: requests, and lines of answers. */

#include "cli/ask.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "services/pipeline/config.h"
#include "services/pipeline/engine.h"

#define LINE_MAX_BYTES (8u << 20) /* of an answer: longer ones are cut, and no JSON any more */
#define NAMES_MAX 20		  /* of pipelines that are listed */

static bool ends_with(const char *text, const char *end)
{
	size_t len = strlen(text), end_len = strlen(end);

	return len >= end_len && strcmp(text + len - end_len, end) == 0;
}

static int set_path(const char *verb, const char *path, char ret[LADE_SOCKET_ROOM])
{
	if (snprintf(ret, LADE_SOCKET_ROOM, "%s", path) < LADE_SOCKET_ROOM)
		return 0;
	fprintf(stderr, "lade %s: %s: a socket's name has at most 107 bytes\n", verb, path);
	return LADE_EXIT_FAILED;
}

/* Whether a pipeline has the socket; what a killed one has left there is removed. */
static bool is_running(const char *folder, const char *file)
{
	struct lade_pipe_socket socket;
	char path[LADE_SOCKET_ROOM];

	if (snprintf(path, sizeof(path), "%s/%s", folder, file) >= (int)sizeof(path) ||
	    lade_pipe_socket_claim(&socket, path) < 0)
		return true;
	lade_pipe_socket_release(&socket);
	return false;
}

/* The names of running pipelines that begin so, into @ret; returns how many there are. */
static int list(const char *folder, const char *begin, char ret[NAMES_MAX][80])
{
	DIR *dir = opendir(folder);
	struct dirent *entry;
	int n = 0;

	while (dir && (entry = readdir(dir))) {
		size_t len = strlen(entry->d_name);

		if (!ends_with(entry->d_name, ".sock") || len - 5 >= 80 ||
		    strncmp(entry->d_name, begin, strlen(begin)) != 0 ||
		    !is_running(folder, entry->d_name))
			continue;
		if (n < NAMES_MAX)
			snprintf(ret[n], 80, "%.*s", (int)(len - 5), entry->d_name);
		n++;
	}
	if (dir)
		closedir(dir);
	return n;
}

static int ask_which(const char *verb, const char *what, char names[NAMES_MAX][80], int n)
{
	fprintf(stderr, "lade %s: which %s? There are:", verb, what);
	for (int i = 0; i < n && i < NAMES_MAX; i++)
		fprintf(stderr, " %s", names[i]);
	fprintf(stderr, "%s\n", n > NAMES_MAX ? " ..." : "");
	return CLI_USAGE;
}

static int find_only(const char *verb, const char *folder, char ret[LADE_SOCKET_ROOM])
{
	char names[NAMES_MAX][80], path[256];
	int n = list(folder, "", names);

	if (n == 1) {
		snprintf(path, sizeof(path), "%s/%s.sock", folder, names[0]);
		return set_path(verb, path, ret);
	}
	if (n == 0) {
		fprintf(stderr, "lade %s: no pipeline runs that has its socket in %s\n", verb,
			folder);
		return LADE_EXIT_FAILED;
	}
	return ask_which(verb, "pipeline", names, n);
}

/* A pipeline by its name; of several processes the only one. */
static int find_by_name(const char *verb, const char *folder, const char *name,
			char ret[LADE_SOCKET_ROOM])
{
	char names[NAMES_MAX][80], path[256], file[112], begin[104];
	int n = 0;

	snprintf(file, sizeof(file), "%.100s.sock", name);
	snprintf(path, sizeof(path), "%s/%s", folder, file);
	snprintf(begin, sizeof(begin), "%.100s-", name);
	if (access(path, F_OK) < 0 || !is_running(folder, file))
		n = list(folder, begin, names);
	if (n > 1)
		return ask_which(verb, "process", names, n);
	if (n == 1)
		snprintf(path, sizeof(path), "%s/%.79s.sock", folder, names[0]);
	return set_path(verb, path, ret);
}

/* The socket that a pipeline's file names, or else the one of its name. */
static int find_by_file(const char *verb, const char *folder, const char *file,
			char ret[LADE_SOCKET_ROOM])
{
	struct lade_pipe_config *config = NULL;
	int rc = cli_load(file, &config);

	if (rc == 0 && config->admin_socket && strcmp(config->admin_socket, "none") == 0) {
		fprintf(stderr, "lade %s: %s has no socket (admin.socket: none)\n", verb, file);
		rc = LADE_EXIT_FAILED;
	} else if (rc == 0) {
		rc = config->admin_socket ? set_path(verb, config->admin_socket, ret)
					  : find_by_name(verb, folder, config->name, ret);
	}
	lade_pipe_config_free(config);
	return rc;
}

int cli_find_socket(const char *verb, const char *what, char ret[LADE_SOCKET_ROOM])
{
	char folder[LADE_SOCKET_ROOM];

	if (lade_pipe_socket_folder(folder) < 0) {
		fprintf(stderr, "lade %s: XDG_RUNTIME_DIR is too long for a socket's name\n", verb);
		return LADE_EXIT_FAILED;
	}
	if (!what)
		return find_only(verb, folder, ret);
	if (ends_with(what, ".yaml") || ends_with(what, ".yml"))
		return find_by_file(verb, folder, what, ret);
	if (strchr(what, '/') || ends_with(what, ".sock"))
		return set_path(verb, what, ret);
	return find_by_name(verb, folder, what, ret);
}

/* The connection */

static void say_unreachable(const char *path, int rc)
{
	char folder[LADE_SOCKET_ROOM], names[NAMES_MAX][80];
	int n = lade_pipe_socket_folder(folder) == 0 ? list(folder, "", names) : 0;

	if (rc == -ENOENT || rc == -ECONNREFUSED)
		fprintf(stderr, "no pipeline listens at %s", path);
	else
		fprintf(stderr, "%s: %s", path, strerror(-rc));
	for (int i = 0; i < n && i < NAMES_MAX; i++)
		fprintf(stderr, "%s %s", i ? "" : "; there are", names[i]);
	fputc('\n', stderr);
}

int cli_ask_open(struct cli_asking *a, const char *path, const char *const *fields, int n)
{
	char address[LADE_SOCKET_ROOM + 8];
	struct lade_json_error error;
	unsigned slot;
	int rc;

	*a = (struct cli_asking){ .fd = -1 };
	snprintf(address, sizeof(address), "unix:%s", path);
	rc = lade_within(lade_s(5), lade_connect_to(address, &a->fd));
	if (rc < 0) {
		say_unreachable(path, rc);
		return rc;
	}
	a->lines = lade_lines_of(a->fd, 0, 1, LINE_MAX_BYTES);
	a->paths = lade_json_paths_new();
	rc = a->lines && a->paths ? lade_json_reader_new(&a->reader) : -ENOMEM;
	for (int i = 0; rc == 0 && i < n; i++)
		rc = lade_json_paths_add(a->paths, fields[i], strlen(fields[i]), &slot, &error);
	return rc;
}

void cli_ask_close(struct cli_asking *a)
{
	if (a->line.text)
		lade_line_drop(&a->line);
	lade_line_stream_close(a->lines);
	lade_json_reader_free(a->reader);
	lade_json_paths_free(a->paths);
	lade_close(a->fd);
	*a = (struct cli_asking){ .fd = -1 };
}

int cli_ask_send(struct cli_asking *a, const char *request, size_t len)
{
	size_t done = 0;

	return lade_within(lade_s(5), lade_write_all(a->fd, request, len, &done));
}

int cli_ask_next(struct cli_asking *a)
{
	struct lade_json_error error;
	int rc;

	if (a->line.text)
		lade_line_drop(&a->line);
	a->line.text = NULL;
	rc = lade_line_next(a->lines, &a->line);
	if (rc <= 0)
		return rc;
	rc = lade_json_read(a->reader, a->paths, a->line.text, a->line.len, 0, a->at, &error);
	return rc < 0 ? rc : 1;
}

bool cli_ask_has(const struct cli_asking *a, int field)
{
	return a->at[field].len > 0;
}

int64_t cli_ask_number(struct cli_asking *a, int field)
{
	const struct lade_want want = { LADE_INTEGER, false };
	struct lade_json_error error;
	struct lade_datum d;

	if (!a->at[field].len || lade_json_convert(a->line.text, a->at[field], want, a->room,
						   sizeof(a->room), &d, &error) < 0)
		return 0;
	return d.integer;
}

const char *cli_ask_text(struct cli_asking *a, int field, char *room, size_t room_len)
{
	const struct lade_want want = { LADE_TEXT, false };
	struct lade_json_error error;
	struct lade_datum d;

	*room = 0;
	if (a->at[field].len && lade_json_convert(a->line.text, a->at[field], want, a->room,
						  sizeof(a->room), &d, &error) == 0)
		snprintf(room, room_len, "%.*s", (int)d.len, d.text);
	return room;
}

bool cli_ask_is(struct cli_asking *a, int field, const char *text)
{
	char room[64];

	return strcmp(cli_ask_text(a, field, room, sizeof(room)), text) == 0;
}
