/* SPDX-License-Identifier: MIT */
#ifndef LADE_CLI_ASK_H
#define LADE_CLI_ASK_H

/* ask.h - a connection to a running pipeline: requests, and lines of answers. */

#include <stdbool.h>
#include <stdint.h>

#include <lade/json.h>
#include <lade/lade.h>

#include "services/pipeline/socket.h"

#define CLI_FIELDS_MAX 40 /* members of an answer's line that somebody looks at */

/* A connection. */
struct cli_asking {
	int fd;				   /* -1: none */
	struct lade_line_stream *lines;	   /* of answers */
	struct lade_json_reader *reader;
	struct lade_json_paths *paths;	   /* of the members that are looked at */
	struct lade_json_span at[CLI_FIELDS_MAX]; /* of the present line */
	struct lade_line line;		   /* the present line; .text NULL: none */
	char room[512];			   /* for texts with escapes */
};

/* cli_find_socket - the socket that is meant by a pipeline's name, its file, a socket's file, or
 * NULL: the only one that there is.
 *
 * Returns 0, or an exit status, having said what is wrong. */
int cli_find_socket(const char *verb, const char *what, char ret[LADE_SOCKET_ROOM]);

/* cli_ask_open - connects; @fields are the members that will be looked at, each with a dot.
 *
 * Returns 0; < 0, having said why.  Suspends: yes. */
lade_suspends int cli_ask_open(struct cli_asking *a, const char *path, const char *const *fields,
			       int n);

/* cli_ask_close - ends the connection.  Suspends: no. */
void cli_ask_close(struct cli_asking *a);

/* cli_ask_send - sends a request.  Returns 0 or < 0.  Suspends: yes. */
lade_suspends int cli_ask_send(struct cli_asking *a, const char *request, size_t len);

/* cli_ask_next - reads a line of an answer into the connection.
 *
 * Returns 1; 0: the pipeline has ended the connection; < 0.  Suspends: yes. */
lade_suspends int cli_ask_next(struct cli_asking *a);

/* cli_ask_has - whether the present line has that member. */
bool cli_ask_has(const struct cli_asking *a, int field);

/* cli_ask_number - a member as a number; 0: it is none. */
int64_t cli_ask_number(struct cli_asking *a, int field);

/* cli_ask_text - a member as a text, cut at @room_len - 1 bytes; "": it is none.  Returns @room. */
const char *cli_ask_text(struct cli_asking *a, int field, char *room, size_t room_len);

/* cli_ask_is - whether a member is that text. */
bool cli_ask_is(struct cli_asking *a, int field, const char *text);

#endif
