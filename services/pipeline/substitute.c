/* SPDX-License-Identifier: MIT */
/* substitute.c - replaces ${env:NAME} and ${file:/path} in scalars.
 *
 * DESIGN
 * Every scalar has two texts, the value and what may be shown.  What comes from a file is
 * always a secret; what comes from the environment is one when its name says so.  A password
 * inside of an address is hidden where addresses are shown (config_show.c).
 *
 * LIMITS  LADE_YAML_SECRET_MAX bytes of a file, TEXT_MAX of a result. */

#include "services/pipeline/yaml.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <lade/json.h>

#define TEXT_MAX (1 << 20)
#define NAME_MAX_LEN 255

/* One scalar on its way. */
struct subst {
	struct lade_yaml_node *node;
	struct lade_pipe_problems *problems;
	struct lade_json_out value;	/* the result */
	struct lade_json_out shown;	/* the same without secrets */
};

static int problem_at(struct subst *s, const char *what, size_t len, const char *why)
{
	return lade_pipe_problem(s->problems, s->node->line, s->node->col, "%.*s %s",
				 (int)(len > 200 ? 200 : len), what, why);
}

static void put(struct subst *s, const char *text, size_t len, bool secret)
{
	lade_json_out_raw(&s->value, text, len);
	if (secret)
		lade_json_out_raw(&s->shown, "***", 3);
	else
		lade_json_out_raw(&s->shown, text, len);
}

static bool name_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '_';
}

/* Does the name of a variable say that it holds a secret? */
static bool secret_name(const char *name)
{
	static const char *const words[] = { "PASS", "PWD", "SECRET", "TOKEN", "KEY", "CRED",
					     "AUTH", "PRIVATE" };

	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++)
		if (strcasestr(name, words[i]))
			return true;
	return false;
}

static bool is_text(const char *text, size_t len)
{
	struct lade_json_out out;
	int rc;

	lade_json_out_init(&out, 6 * (size_t)TEXT_MAX + 2);
	lade_json_out_string(&out, text, len);
	rc = out.status;
	lade_json_out_done(&out);
	return rc != -EILSEQ;
}

/* @body is NAME or NAME:-default. */
static int from_env(struct subst *s, const char *whole, size_t whole_len, const char *body,
		    size_t len)
{
	char name[NAME_MAX_LEN + 1];
	const char *value;
	size_t n = 0;

	while (n < len && name_char(body[n]))
		n++;
	if (n == 0 || n > NAME_MAX_LEN || (n < len && (len - n < 2 || memcmp(body + n, ":-", 2))))
		return problem_at(s, whole, whole_len,
				  "is not ${env:NAME} or ${env:NAME:-default}");
	memcpy(name, body, n);
	name[n] = '\0';
	value = getenv(name);
	if (n < len && (!value || !*value)) {
		put(s, body + n + 2, len - n - 2, false);
		return 0;
	}
	if (!value)
		return problem_at(s, whole, whole_len, "has no value: set the variable, or write"
						       " ${env:NAME:-default}");
	if (!is_text(value, strlen(value)))
		return problem_at(s, whole, whole_len, "is not UTF-8 text");
	put(s, value, strlen(value), secret_name(name));
	return 0;
}

/* Reads at most @max bytes; returns their number or -errno. */
static ssize_t read_file(const char *path, char *to, size_t max)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	size_t len = 0;
	ssize_t n = 1;
	int rc = 0;

	if (fd < 0)
		return -errno;
	while (len < max && n > 0) {
		n = read(fd, to + len, max - len);
		rc = n < 0 ? -errno : 0;
		len += n > 0 ? (size_t)n : 0;
	}
	close(fd);
	return rc < 0 ? rc : (ssize_t)len;
}

static size_t without_newline(const char *text, size_t len)
{
	if (len && text[len - 1] == '\n')
		len--;
	if (len && text[len - 1] == '\r')
		len--;
	return len;
}

static int from_file(struct subst *s, const char *whole, size_t whole_len, const char *body,
		     size_t len)
{
	const char *folder = s->problems->folder && *body != '/' ? s->problems->folder : "";
	char path[4096];
	char *text = lade_arena_alloc(s->problems->arena, LADE_YAML_SECRET_MAX + 1);
	ssize_t n;

	if (!text) {
		s->problems->out_of_memory = true;
		return -ENOMEM;
	}
	if (len == 0 || len + strlen(folder) >= sizeof(path))
		return problem_at(s, whole, whole_len, "names no file, as ${file:/run/secrets/x}");
	snprintf(path, sizeof(path), "%s%.*s", folder, (int)len, body);
	n = read_file(path, text, LADE_YAML_SECRET_MAX + 1);
	if (n < 0)
		return lade_pipe_problem(s->problems, s->node->line, s->node->col,
					 "%.*s cannot be read: %s: %s", (int)whole_len, whole,
					 path, strerror((int)-n));
	if (n > LADE_YAML_SECRET_MAX)
		return problem_at(s, whole, whole_len, "is longer than 64 KiB");
	if (memchr(text, 0, (size_t)n) || !is_text(text, (size_t)n))
		return problem_at(s, whole, whole_len, "is not UTF-8 text");
	put(s, text, without_newline(text, (size_t)n), true);
	return 0;
}

/* Replaces the ${...} at @text.  Returns its length. */
static ptrdiff_t replace(struct subst *s, const char *text, size_t len)
{
	const char *end = memchr(text, '}', len);
	size_t n;
	int rc;

	if (!end)
		return problem_at(s, text, len, "has no }; write $${ for ${ itself");
	n = (size_t)(end + 1 - text);
	if (n > 6 && memcmp(text, "${env:", 6) == 0)
		rc = from_env(s, text, n, text + 6, n - 7);
	else if (n > 7 && memcmp(text, "${file:", 7) == 0)
		rc = from_file(s, text, n, text + 7, n - 8);
	else
		rc = problem_at(s, text, n, "is neither ${env:NAME}, ${env:NAME:-default} nor"
					    " ${file:/path}; write $${ for ${ itself");
	return rc < 0 ? rc : (ptrdiff_t)n;
}

static int run(struct subst *s, const char *text, size_t len)
{
	const char *end = text + len;

	while (text < end) {
		const char *dollar = memchr(text, '$', (size_t)(end - text));
		size_t left = (size_t)(end - (dollar ? dollar : end));
		ptrdiff_t n = 1;

		put(s, text, (size_t)((dollar ? dollar : end) - text), false);
		if (left >= 3 && memcmp(dollar, "$${", 3) == 0) {
			put(s, "${", 2, false);
			n = 3;
		} else if (left >= 2 && dollar[1] == '{') {
			n = replace(s, dollar, left);
		} else if (left) {
			put(s, "$", 1, false);
		}
		if (n < 0)
			return (int)n;
		text = dollar ? dollar + n : end;
	}
	return 0;
}

static int keep(struct subst *s)
{
	int rc = s->value.status ? s->value.status : s->shown.status;

	if (rc == -EMSGSIZE)
		return lade_pipe_problem(s->problems, s->node->line, s->node->col,
					 "the value is longer than 1 MiB");
	if (rc == 0) {
		s->node->text = lade_arena_copy(s->problems->arena, s->value.data, s->value.len);
		s->node->len = s->value.len;
		s->node->shown = lade_arena_copy(s->problems->arena, s->shown.data, s->shown.len);
	}
	if (rc < 0 || !s->node->text || !s->node->shown) {
		s->problems->out_of_memory = true;
		return -ENOMEM;
	}
	return 0;
}

int lade_yaml_substitute(struct lade_yaml_node *scalar, struct lade_pipe_problems *problems)
{
	struct subst s = { .node = scalar, .problems = problems };
	int rc;

	scalar->shown = scalar->text;
	if (!strstr(scalar->text, "${"))
		return 0;
	lade_json_out_init(&s.value, TEXT_MAX);
	lade_json_out_init(&s.shown, TEXT_MAX);
	rc = run(&s, scalar->text, scalar->len);
	if (rc == 0)
		rc = keep(&s);
	lade_json_out_done(&s.value);
	lade_json_out_done(&s.shown);
	return rc;
}
