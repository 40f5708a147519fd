/* SPDX-License-Identifier: MIT */
/* config_fuzz.c - pipelines' files of any bytes: a verdict each, and what is shown of a good
 * one can be read again and shows the same. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "services/pipeline/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void expect(bool ok, const char *what, const char *more)
{
	if (ok)
		return;
	fprintf(stderr, "fuzz: %s\n%s\n", what, more);
	abort();
}

/* Reads @text, which @config has shown, and compares. */
static void check_again(const char *text)
{
	struct lade_pipe_config *again = lade_pipe_config_new();
	int rc = lade_pipe_config_parse(again, "shown", text, strlen(text));
	const char *shown;

	expect(rc == 0, "what is shown cannot be read", lade_pipe_config_problems(again, false));
	shown = lade_pipe_config_show(again);
	expect(shown && strcmp(shown, text) == 0, "what is shown changes", text);
	lade_pipe_config_free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct lade_pipe_config *config = lade_pipe_config_new();
	const char *shown;
	int rc;

	if (memmem(data, size, "${file:", 7))
		size = 0;
	rc = lade_pipe_config_parse(config, "fuzz", (const char *)data, size);
	expect(rc <= 0, "a return code", "");
	expect((rc == 0) == (config->problems.n == 0), "an error without a problem", "");
	expect(lade_pipe_config_problems(config, false) != NULL, "problems", "");
	shown = rc == 0 ? lade_pipe_config_show(config) : NULL;
	expect(rc < 0 || shown, "nothing shown", "");
	/* A hidden password may hide what made two values differ, or a path. */
	if (shown && !strstr(shown, "***"))
		check_again(shown);
	lade_pipe_config_free(config);
	return 0;
}
