/* SPDX-License-Identifier: MIT */
/* misuse.c - the two voices of a library that otherwise never prints.
 *
 * A mistake in the use of tasks cannot be answered by an error code: the code that would look at
 * it is the code that is wrong. So it ends the process, in release builds too, with one message
 * that names both places. Everything else goes to the loop's report function. */

#include "core/core_priv.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define MESSAGE_MAX 1024

void lade_misuse(const char *format, ...)
{
	char text[MESSAGE_MAX];
	va_list args;
	int len;

	va_start(args, format);
	len = vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (len > 0)
		(void)!dprintf(STDERR_FILENO, "lade: misuse: %s\n", text);
	abort();
}

void lade_report(struct lade_loop *loop, const char *format, ...)
{
	char text[MESSAGE_MAX];
	va_list args;

	if (!loop->report)
		return;
	va_start(args, format);
	vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	loop->report(loop->report_arg, text);
}
