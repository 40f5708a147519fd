/* SPDX-License-Identifier: MIT */
/* shrink.c - takes statements away from a failing program while it goes on failing.
 *
 * Each try is a process of its own, since a failure may be a crash or never end. A program that
 * ends in a crash is not taken for the smaller form of one that gave a wrong result. */

#include "model/shrink.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define SECONDS_MAX 5 /* that a program may take */

static void run_in_child(const struct program *p, const struct perform *how, int out)
{
	const char *text;

	dup2(out, STDERR_FILENO);
	alarm(SECONDS_MAX);
	text = perform_program(p, how, NULL);
	if (text)
		(void)!write(out, text, strlen(text));
	_exit(text ? 1 : 0);
}

bool shrink_try(const struct program *p, const struct perform *how, char ret_wrong[400])
{
	int pipes[2], status = 0;
	size_t len = 0;
	ssize_t n;
	pid_t pid;

	fflush(stdout);
	if (pipe(pipes) < 0 || (pid = fork()) < 0)
		abort();
	if (pid == 0)
		run_in_child(p, how, pipes[1]);
	close(pipes[1]);
	while (len < 399 && (n = read(pipes[0], ret_wrong + len, 399 - len)) > 0)
		len += (size_t)n;
	ret_wrong[len] = 0;
	close(pipes[0]);
	waitpid(pid, &status, 0);
	if (WIFSIGNALED(status)) {
		char said[300];

		snprintf(said, sizeof(said), "%.299s", ret_wrong);
		snprintf(ret_wrong, 400, "signal %d: %s", WTERMSIG(status), said);
	}
	return status != 0;
}

/* Whether a program fails as the first did: by a signal or by a result. */
static bool fails_alike(const struct program *p, const struct perform *how, bool by_signal)
{
	char text[400];

	return shrink_try(p, how, text) && (strncmp(text, "signal", 6) == 0) == by_signal;
}

static bool take_away(struct program *p, const struct perform *how, bool by_signal, int *tries)
{
	bool shrunk = false;

	for (int i = 0; i < p->count; i++) {
		for (int keep = 0; keep < 2; keep++) {
			struct program smaller;

			if (i >= p->count || !program_without(p, i, keep, &smaller))
				continue;
			++*tries;
			if (!fails_alike(&smaller, how, by_signal))
				continue;
			*p = smaller;
			shrunk = true;
			keep = -1;
		}
	}
	return shrunk;
}

static bool make_smaller(struct program *p, const struct perform *how, bool by_signal,
			 int16_t *number, int *tries)
{
	int16_t before = *number, values[] = { 0, 1, (int16_t)(before - 1) };

	for (size_t i = 0; i < sizeof(values) / sizeof(*values); i++) {
		if (values[i] < 0 || values[i] >= before)
			continue;
		*number = values[i];
		++*tries;
		if (fails_alike(p, how, by_signal))
			return true;
	}
	*number = before;
	return false;
}

static bool simplify(struct program *p, const struct perform *how, bool by_signal, int *tries)
{
	bool shrunk = false;

	for (int i = 0; i < p->count; i++) {
		struct node *n = &p->nodes[i];

		if (n->kind != FAIL && n->kind != HOLD)
			shrunk |= make_smaller(p, how, by_signal, &n->n, tries);
		shrunk |= make_smaller(p, how, by_signal, &n->m, tries);
		if (!n->flag)
			continue;
		n->flag = false;
		++*tries;
		if (fails_alike(p, how, by_signal))
			shrunk = true;
		else
			n->flag = true;
	}
	return shrunk;
}

int shrink_program(struct program *p, const struct perform *how)
{
	char text[400];
	int tries = 0;
	bool by_signal;

	if (!shrink_try(p, how, text))
		return 0;
	by_signal = strncmp(text, "signal", 6) == 0;
	while (take_away(p, how, by_signal, &tries) || simplify(p, how, by_signal, &tries))
		;
	return tries;
}
