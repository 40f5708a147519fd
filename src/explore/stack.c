/* SPDX-License-Identifier: MIT */
/* stack.c - where a task is, as the lines of its author's code.
 *
 * Frames are those of core/frames.c, names and lines those of addr2line, of the binutils, when a
 * finding is printed; without it, or without debug information, the place that the call itself gave
 * has to do. Frames of the library and of the explorer are left out. */

#include "explore/explore_priv.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define LINES_KNOWN 256

uint32_t explore_stack(const struct lade_ctl *ctl, uintptr_t pcs[FRAMES_KEPT])
{
	const void *here = ctl == lade_cur ? __builtin_frame_address(0) : NULL;

	return lade_frames_of(ctl, here, false, pcs);
}

#define INLINED " (inlined by) "

static bool is_ours(const char *line)
{
	static const char *const folders[] = { "/src/core/",   "/src/sync/",	"/src/io/",
					       "/src/stream/", "/src/cache/",	"/src/explore/",
					       "/src/connectors/",
					       "/lade/task.h", "/lade/stream.h", "/lade/cache.h",
					       "/lade/scope.h", "/lade/channel.h" };

	for (size_t i = 0; i < sizeof(folders) / sizeof(*folders); i++)
		if (strstr(line, folders[i]) && !strstr(line, "_test.c:"))
			return true;
	return strstr(line, "_run at ") || strstr(line, "??") || strncmp(line, "_start", 6) == 0;
}

/* The lines of a frame: itself, and what it was inlined into. Findings have frames in common. */
struct lines {
	uintptr_t pc;	/* of the frame; 0: free */
	char text[600]; /* the author's lines, with newlines between and behind; cut if need be */
};

/* The file of an address, by a name that another process can open: its /proc/self is its own. A
 * file that was replaced while it runs has no name, but the process still has it; in an emulator
 * only the name is the program's. */
static void file_name(const char *file, char *ret, size_t bytes)
{
	ssize_t len;

	snprintf(ret, bytes, "%s", file);
	if (strcmp(file, "/proc/self/exe") == 0) {
		len = readlink(file, ret, bytes - 1);
		ret[len > 0 ? len : 0] = 0;
	}
	if (access(ret, R_OK) < 0)
		snprintf(ret, bytes, "/proc/%d/exe", (int)getpid());
}

/* Makes "at a/b/../c.c:7 (discriminator 1)" of addr2line "at a/c.c:7". */
static void tidy(char *line)
{
	char *up, *note = strstr(line, " (discriminator ");

	if (note)
		strcpy(note, "\n");
	while ((up = strstr(line, "/../"))) {
		char *from = up;

		while (from > line && from[-1] != '/' && from[-1] != ' ')
			from--;
		if (from == up || strncmp(from, "../", 3) == 0)
			break;
		memmove(from, up + 4, strlen(up + 4) + 1);
	}
}

static void read_lines(struct lines *to)
{
	char name[512], command[600], line[600];
	const char *file;
	uintptr_t at;
	FILE *f;

	*to->text = 0;
	if (!lade_file_of(to->pc, &file, &at))
		return;
	file_name(file, name, sizeof(name));
	if (strchr(name, '\''))
		return;
	/* The address is that of the call, not of what comes after it. */
	snprintf(command, sizeof(command), "addr2line -ipfe '%s' %#lx 2>/dev/null", name,
		 (unsigned long)at - 1);
	f = popen(command, "r");
	while (f && fgets(line, sizeof(line), f)) {
		const char *from = strncmp(line, INLINED, sizeof(INLINED) - 1) == 0
					   ? line + sizeof(INLINED) - 1
					   : line;
		size_t len = strlen(to->text);

		tidy(line);
		if (!is_ours(from))
			snprintf(to->text + len, sizeof(to->text) - len, "%s", from);
	}
	if (f)
		pclose(f);
}

static void print_frame(const char *indent, uintptr_t pc)
{
	static struct lines known[LINES_KNOWN];
	struct lines *lines = &known[pc / 2 % LINES_KNOWN];
	const char *at;

	if (lines->pc != pc) {
		lines->pc = pc;
		read_lines(lines);
	}
	for (at = lines->text; *at; at += strcspn(at, "\n") + (strchr(at, '\n') != NULL))
		printf("%sin %.*s\n", indent, (int)strcspn(at, "\n"), at);
}

void explore_print_stack(const char *indent, const uintptr_t *pcs, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		print_frame(indent, pcs[i]);
}
