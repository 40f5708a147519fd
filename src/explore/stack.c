/* SPDX-License-Identifier: MIT */
/* stack.c - where a task is, as the lines of its author's code.
 *
 * Frames are found by the frame pointers that lade's flags keep, names and lines by addr2line, of
 * the binutils, when a finding is printed; without it, or without debug information, the place that
 * the call itself gave has to do. Frames of the library and of the explorer are left out. */

#include "explore/explore_priv.h"

#include <dlfcn.h>
#include <elf.h>
#include <stdio.h>
#include <string.h>

#if defined(__clang__) || defined(__GNUC__)
__attribute__((no_sanitize("address")))
#endif
uint32_t explore_stack(const struct lade_ctl *ctl, uintptr_t pcs[FRAMES_KEPT])
{
	const uintptr_t *frame = ctl == lade_cur ? __builtin_frame_address(0) : ctl->context.bp;
	uint32_t n = 0;

	if (!ctl->stack)
		return 0;
	if (ctl != lade_cur)
		pcs[n++] = (uintptr_t)ctl->context.pc;
	while (n < FRAMES_KEPT && (const char *)frame > ctl->stack &&
	       (const char *)frame < ctl->stack + ctl->stack_bytes) {
		const uintptr_t *next = (const uintptr_t *)frame[0];

		if (!frame[1])
			break;
		pcs[n++] = frame[1];
		if (next <= frame)
			break;
		frame = next;
	}
	return n;
}

/* An address as addr2line wants it: of the call, not of what comes after it. */
static uintptr_t in_file(uintptr_t pc, const Dl_info *info)
{
	const Elf64_Ehdr *head = info->dli_fbase;

	return head->e_type == ET_DYN ? pc - (uintptr_t)info->dli_fbase - 1 : pc - 1;
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

/* The lines of one frame: itself, and what it was inlined into. */
static void print_frame(const char *indent, uintptr_t pc)
{
	char command[600], line[600];
	Dl_info info;
	FILE *f;

	/* The cast: dladdr takes a pointer, a frame holds a number. */
	if (!dladdr((void *)pc, &info) || !info.dli_fname || strchr(info.dli_fname, '\''))
		return;
	snprintf(command, sizeof(command), "addr2line -ipfe '%s' %#lx 2>/dev/null",
		 info.dli_fname, (unsigned long)in_file(pc, &info));
	f = popen(command, "r");
	if (!f)
		return;
	while (fgets(line, sizeof(line), f)) {
		const char *from = strncmp(line, INLINED, sizeof(INLINED) - 1) == 0
					   ? line + sizeof(INLINED) - 1
					   : line;

		line[strcspn(line, "\n")] = 0;
		if (!is_ours(from))
			printf("%sin %s\n", indent, from);
	}
	pclose(f);
}

void explore_print_stack(const char *indent, const uintptr_t *pcs, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		print_frame(indent, pcs[i]);
}
