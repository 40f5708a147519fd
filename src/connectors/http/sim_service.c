/* SPDX-License-Identifier: MIT */
/* sim_service.c - HTTP services for the simulation, out of a table.
 *
 * DESIGN
 * A listener for each port of the table; names are all the same machine, so the Host header says
 * which service is meant. A connection carries one request, and is answered by a task of its own.
 *
 * LIMITS  PORTS_MAX ports, LINES_MAX lines; a request's head of HEAD_MAX bytes, else the connection
 * breaks. */

#include <lade/http_sim.h>

#include <lade/io.h>
#include <lade/task.h>

#include "base/alloc.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PORTS_MAX 16
#define LINES_MAX 1024
#define HEAD_MAX 16384

enum manner { ANSWERS, RESETS, NEVER, HALF, DRIPS, EACH };

/* A line of the table. */
struct reply {
	const char *host;    /* "name" or "name:port", as the Host header has it */
	size_t host_len;
	const char *path;    /* the beginning of what may follow */
	int port;
	int status;
	enum manner manner;
	int64_t delay_ms;
	const char *body;
};

struct lade_http_sim;

/* What listens at a port. */
struct port {
	struct lade_http_sim *sim;
	int number, fd;
};

static int serve(struct port *at);
LADE_TASK_VOID(serve, (struct port *, at))

struct lade_http_sim {
	char *text; /* the table; the replies point into it */
	struct reply *replies;
	int n_replies, n_ports;
	struct port ports[PORTS_MAX];
	struct serve_task tasks[PORTS_MAX];
	uint64_t requests; /* so far */
};

/* The table */

static bool take_status(const char *word, struct reply *r)
{
	static const char *const words[] = { "", "reset", "never", "half", "drip", "each" };
	char *end;

	r->manner = ANSWERS;
	r->status = (int)strtol(word, &end, 10);
	if (end != word)
		return !*end && r->status >= 200 && r->status < 600;
	r->status = 200;
	for (int i = 1; i < 6; i++)
		if (strcmp(word, words[i]) == 0)
			r->manner = (enum manner)i;
	return r->manner != ANSWERS;
}

/* Takes the address apart; http://host:port/path. */
static bool take_url(const char *url, struct reply *r)
{
	const char *host = strstr(url, "://"), *colon;

	if (!host || strncmp(url, "http", 4) != 0)
		return false;
	r->host = host + 3;
	r->host_len = strcspn(r->host, "/?");
	r->path = r->host + r->host_len;
	colon = memchr(r->host, ':', r->host_len);
	r->port = colon ? atoi(colon + 1) : url[4] == 's' ? 443 : 80;
	return r->host_len && r->port > 0 && r->port < 65536;
}

static bool take_line(char *line, struct reply *r)
{
	char *fields[4] = { line, NULL, NULL, NULL }, *end = NULL;

	for (int i = 1; i < 4; i++) {
		fields[i] = fields[i - 1] ? strchr(fields[i - 1], '\t') : NULL;
		if (fields[i])
			*fields[i]++ = 0;
	}
	if (!fields[1] || !take_url(line, r) || !take_status(fields[1], r))
		return false;
	r->delay_ms = fields[2] ? strtoll(fields[2], &end, 10) : 0;
	r->body = fields[3] ? fields[3] : "";
	return r->delay_ms >= 0 && (!end || !*end);
}

static int read_table(struct lade_http_sim *sim, int *ret_line)
{
	char *rest = sim->text, *line;

	for (int number = 1; (line = strsep(&rest, "\n")); number++) {
		if (!*line || *line == '#')
			continue;
		if (sim->n_replies == LINES_MAX ||
		    !take_line(line, &sim->replies[sim->n_replies])) {
			if (ret_line)
				*ret_line = number;
			return -EINVAL;
		}
		sim->n_replies++;
	}
	return 0;
}

/* Answering */

static bool fits(const struct reply *r, const char *host, const char *path)
{
	return strlen(host) == r->host_len && strncasecmp(host, r->host, r->host_len) == 0 &&
	       strncmp(path, r->path, strlen(r->path)) == 0;
}

static const struct reply *reply_to(const struct port *at, const char *host, const char *path)
{
	static const struct reply none = { .path = "", .status = 404, .body = "" };
	const struct reply *best = &none;

	for (int i = 0; i < at->sim->n_replies; i++) {
		const struct reply *r = &at->sim->replies[i];

		if (r->port == at->number && fits(r, host, path) &&
		    (best == &none || strlen(r->path) > strlen(best->path)))
			best = r;
	}
	return best;
}

static int send_text(int fd, const char *text, size_t len)
{
	size_t done = 0;

	return lade_write_all(fd, text, len, &done);
}

/* EACH: the array of @elements bodies. */
static int send_array(int fd, const struct reply *r, size_t elements)
{
	int rc = send_text(fd, "[", 1);

	for (size_t i = 0; rc == 0 && i < elements; i++) {
		if (i)
			rc = send_text(fd, ",", 1);
		if (rc == 0)
			rc = send_text(fd, r->body, strlen(r->body));
	}
	return rc == 0 ? send_text(fd, "]", 1) : rc;
}

static int send_body(int fd, const struct reply *r, size_t elements)
{
	size_t len = strlen(r->body);
	int rc = 0;

	if (r->manner == EACH)
		return send_array(fd, r, elements);
	if (r->manner != DRIPS)
		return send_text(fd, r->body, r->manner == HALF ? len / 2 : len);
	for (size_t i = 0; rc == 0 && i < len; i++) {
		rc = lade_sleep(lade_ms(r->delay_ms));
		if (rc == 0)
			rc = send_text(fd, r->body + i, 1);
	}
	return rc;
}

static size_t body_len(const struct reply *r, size_t elements)
{
	size_t len = strlen(r->body);

	return r->manner == EACH ? elements * len + (elements ? elements - 1 : 0) + 2 : len;
}

static int send_reply(int fd, const struct reply *r, size_t elements)
{
	char head[128];
	int rc = r->manner == DRIPS ? 0 : lade_sleep(lade_ms(r->delay_ms));

	if (rc < 0 || r->manner == RESETS)
		return rc;
	if (r->manner == NEVER)
		return lade_sleep(LADE_FOREVER);
	rc = snprintf(head, sizeof(head),
		      "HTTP/1.1 %d Simulated\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n",
		      r->status, body_len(r, elements));
	rc = send_text(fd, head, (size_t)rc);
	return rc == 0 ? send_body(fd, r, elements) : rc;
}

/* What of a request's body counts: the elements of an array, by its commas. */
struct body {
	size_t got, elements;	/* bytes read; elements of the outermost array */
	size_t depth;		/* of brackets */
	bool quoted, escaped;	/* within a string; behind its backslash */
};

static void count_byte(struct body *b, char c)
{
	if (b->quoted) {
		b->quoted = b->escaped || c != '"';
		b->escaped = !b->escaped && c == '\\';
		return;
	}
	b->quoted = c == '"';
	if (b->depth == 1 && (c == ',' || b->elements == 0) && c > ' ' && c != ']')
		b->elements++;
	if (c == '[' || c == '{')
		b->depth++;
	else if (c == ']' || c == '}')
		b->depth--;
}

static void count(struct body *b, const char *bytes, size_t len)
{
	b->got += len;
	for (size_t i = 0; i < len; i++)
		count_byte(b, bytes[i]);
}

/* Reads up to the empty line, and what of a body is announced.  Returns 0 or -errno. */
static int read_request(int fd, char head[HEAD_MAX], struct body *body)
{
	size_t len = 0, want = 0;
	char *end, *field;

	do {
		int n = len + 1 < HEAD_MAX ? lade_read(fd, head + len, HEAD_MAX - 1 - len)
					   : -EMSGSIZE;

		if (n <= 0)
			return n < 0 ? n : -ENODATA;
		len += (size_t)n;
		head[len] = 0;
		end = strstr(head, "\r\n\r\n");
	} while (!end);
	field = strcasestr(head, "\r\nContent-Length:");
	if (field && field < end)
		want = strtoul(field + 17, NULL, 10);
	count(body, end + 4, len - (size_t)(end + 4 - head));
	while (body->got < want) {
		char bytes[1024];
		int n = lade_read(fd, bytes, sizeof(bytes));

		if (n <= 0)
			return n < 0 ? n : -ENODATA;
		count(body, bytes, (size_t)n);
	}
	return 0;
}

/* Answers the request of one connection. */
static int answer(int fd, struct port *at)
{
	char head[HEAD_MAX], host[300] = "", *path;
	const char *field;
	struct body body = { 0 };
	int rc = read_request(fd, head, &body);

	if (rc == 0) {
		at->sim->requests++;
		field = strcasestr(head, "\r\nHost:");
		if (field)
			(void)sscanf(field + 7, " %299[^\r\n]", host);
		/* Behind "GET "; host is taken first, because this writes into the head. */
		path = strchr(head, ' ');
		path = path ? path + 1 : head;
		path[strcspn(path, " \r\n")] = 0;
		rc = send_reply(fd, reply_to(at, host, path), body.elements);
	}
	lade_close(fd);
	return rc;
}
static void answer_drop(int fd, struct port *at)
{
	(void)at;
	lade_close(fd);
}
LADE_TASK_VOID_WITH(answer, (.drop_args = answer_drop), (int, fd), (struct port *, at))

static int serve(struct port *at)
{
	int rc = 0, fd;

	lade_scope(s, &rc, .policy = LADE_ALL) {
		while ((rc = lade_accept(at->fd, &fd)) == 0)
			if ((rc = lade_spawn(&s, answer_task(fd, at))) < 0)
				break;
	}
	return rc;
}

/* Beginning and end */

static bool has_port(const struct lade_http_sim *sim, int number)
{
	for (int i = 0; i < sim->n_ports; i++)
		if (sim->ports[i].number == number)
			return true;
	return false;
}

static int listen_at(struct lade_http_sim *sim, int number)
{
	struct port *at = &sim->ports[sim->n_ports];
	char address[32];
	int rc;

	if (has_port(sim, number))
		return 0;
	if (sim->n_ports == PORTS_MAX)
		return -EMFILE;
	snprintf(address, sizeof(address), "127.0.0.1:%d", number);
	*at = (struct port){ .sim = sim, .number = number };
	rc = lade_listen(address, &at->fd);
	sim->n_ports += rc == 0;
	return rc;
}

int lade_http_sim_new(struct lade_scope *scope, const char *table, struct lade_http_sim **ret,
		      int *ret_line)
{
	struct lade_http_sim *sim = lade_calloc(1, sizeof(*sim));
	int rc;

	if (!sim)
		return -ENOMEM;
	sim->text = lade_malloc(strlen(table) + 1);
	sim->replies = lade_calloc(LINES_MAX, sizeof(*sim->replies));
	rc = sim->text && sim->replies ? 0 : -ENOMEM;
	if (rc == 0) {
		strcpy(sim->text, table);
		rc = read_table(sim, ret_line);
	}
	for (int i = 0; rc == 0 && i < sim->n_replies; i++)
		rc = listen_at(sim, sim->replies[i].port);
	if (rc < 0) {
		lade_http_sim_free(sim);
		return rc;
	}
	for (int i = 0; i < sim->n_ports; i++) {
		sim->tasks[i] = serve_task(&sim->ports[i]);
		lade_start_daemon(scope, &sim->tasks[i]);
	}
	*ret = sim;
	return 0;
}

struct lade_http_sim *lade_http_sim_free(struct lade_http_sim *sim)
{
	if (!sim)
		return NULL;
	for (int i = 0; i < sim->n_ports; i++)
		lade_close(sim->ports[i].fd);
	lade_free(sim->replies);
	lade_free(sim->text);
	lade_free(sim);
	return NULL;
}

uint64_t lade_http_sim_requests(const struct lade_http_sim *sim)
{
	return sim->requests;
}
