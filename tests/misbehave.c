/* SPDX-License-Identifier: MIT */
/* misbehave.c - a plugin for tests: does to each message what its member "do" says. */

#include <lade/plugin.h>

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

static int calls;
static volatile uintptr_t nowhere = 16;

static int start(const char *config, void **ret_self, char error[256])
{
	*ret_self = NULL;
	snprintf(error, 256, "told to fail");
	return strcmp(config, "fail") == 0 ? EINVAL : 0;
}

static int has(const struct lade_plugin_message *m, const char *word)
{
	return memmem(m->value, m->value_len, word, strlen(word)) != NULL;
}

static int process(void *self, struct lade_plugin_message *messages, size_t n, char error[256])
{
	(void)self;
	calls++;
	for (size_t i = 0; i < n; i++) {
		struct lade_plugin_message *m = &messages[i];

		if (has(m, "\"crash\""))
			*(int *)nowhere = 1;
		if (has(m, "\"blame\"")) {
			snprintf(error, 256, "one of %zu is bad", n);
			return EBADMSG;
		}
		if (has(m, "\"drop\""))
			m->verdict = LADE_PLUGIN_DROP;
		if (has(m, "\"reject\"")) {
			m->verdict = LADE_PLUGIN_REJECT;
			m->reason = "told to";
		}
		if (has(m, "\"retry\"") && calls == 1) {
			m->verdict = LADE_PLUGIN_RETRY;
			m->reason = "not yet";
		}
		if (has(m, "\"no json\""))
			m->result = "{", m->result_len = 1;
		else if (has(m, "\"set\""))
			m->result = "[1]", m->result_len = 3;
	}
	return 0;
}

static void stop(void *self)
{
	(void)self;
}

const struct lade_plugin *lade_plugin(void)
{
	static const struct lade_plugin it = { LADE_PLUGIN_ABI, sizeof(struct lade_plugin_message),
					       start, process, stop };

	return &it;
}
