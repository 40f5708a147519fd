/* SPDX-License-Identifier: MIT */
#ifndef LADE_TESTS_DUMPED_H
#define LADE_TESTS_DUMPED_H

/* dumped.h - what lade_dump says, as lines that a test can look for. */

#include <lade/dump.h>

#include "tap.h"

#include <sys/mman.h>

static char dump_text[2 << 20];

/* take_dump - fills dump_text with a dump of the running loop. */
static inline void take_dump(void)
{
	int fd = memfd_create("dump", MFD_CLOEXEC);
	ssize_t n;

	CHECK(fd >= 0);
	lade_dump(fd);
	n = pread(fd, dump_text, sizeof(dump_text) - 1, 0);
	dump_text[n > 0 ? n : 0] = 0;
	close(fd);
}

/* dump_line - the line of the last dump that has @word in it, or "" after a complaint. */
static inline const char *dump_line(const char *word)
{
	static char line[1024];
	const char *at = strstr(dump_text, word), *start = at, *end;

	if (!at) {
		tap_bad_checks++;
		printf("# no line with \"%s\" in:\n%s\n", word, dump_text);
		return "";
	}
	while (start > dump_text && start[-1] != '\n')
		start--;
	end = strchrnul(at, '\n');
	snprintf(line, sizeof(line), "%.*s", (int)(end - start), start);
	return line;
}

/* DUMP_SAYS - the line with @word in it has @text too. */
#define DUMP_SAYS(word, text)                                                                      \
	do {                                                                                       \
		const char *line = dump_line(word);                                                \
                                                                                                   \
		if (!strstr(line, text)) {                                                         \
			tap_bad_checks++;                                                          \
			printf("# %s:%d: no \"%s\" in: %s\n", __FILE__, __LINE__, text, line);     \
		}                                                                                  \
	} while (0)

#endif
