/* SPDX-License-Identifier: MIT */
/* score.c - a step of `lade run` in C: flights get a score, and the very late ones are left out.
 *
 * steps: [ { plugin: { path: build/examples/libscore.so, into: .score, config: "120" } } ]
 * Build: cc -Werror=implicit-function-declaration -shared -fPIC $(pkg-config --cflags lade) \
 *    -o libscore.so score.c
 * The contract: lade/plugin.h */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* memmem */
#endif
#include <lade/plugin.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct score {
	long limit;		/* minutes, from the configuration */
	char results[100000][8]; /* until the next call */
};

static int start(const char *config, void **ret_self, char error[256])
{
	struct score *s = calloc(1, sizeof(*s));

	if (s)
		s->limit = strtol(config, NULL, 10);
	if (s && s->limit <= 0)
		snprintf(error, 256, "config must be a number of minutes, as \"120\"");
	*ret_self = s;
	return !s ? ENOMEM : s->limit <= 0 ? EINVAL : 0;
}

static int score(void *self, struct lade_plugin_message *m, size_t n, char error[256])
{
	struct score *s = self;

	(void)error;
	for (size_t i = 0; i < n; i++, m++) {
		const char *delay = memmem(m->value, m->value_len, "\"delay\":", 8);
		long minutes = delay ? strtol(delay + 8, NULL, 10) : 0;

		if (minutes > s->limit) {
			m->verdict = LADE_PLUGIN_DROP;
			continue;
		}
		m->result = s->results[i];
		m->result_len = (size_t)snprintf(s->results[i], 8, "%ld", 100 - minutes / 2);
	}
	return 0;
}

const struct lade_plugin *lade_plugin(void)
{
	static const struct lade_plugin it = { LADE_PLUGIN_ABI,
					       sizeof(struct lade_plugin_message), start, score,
					       free };

	return &it;
}
