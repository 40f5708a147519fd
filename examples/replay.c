/* SPDX-License-Identifier: MIT */
/* replay.c - writes messages by their own dates: a day of theirs takes so many ms of ours. */

#include <lade/lade.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Minutes since 2001 of {"date":"2001/01/31 23:59",…}; -1: no such date. */
static long minutes_of(const char *text)
{
	static const int before[] = { 0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334 };
	int month, day, hour, minute;

	if (sscanf(text, "{\"date\":\"2001/%d/%d %d:%d", &month, &day, &hour, &minute) != 4)
		return -1;
	return ((before[(month + 11) % 12] + day - 1) * 24L + hour) * 60 + minute;
}

static int replay(const char *path, long day_ms)
{
	struct lade_line_stream *lines;
	struct lade_instant start = lade_now();
	struct lade_line line;
	int fd, rc = lade_open(path, O_RDONLY, 0, &fd);

	if (rc < 0)
		return rc;
	lines = lade_lines_of(fd, 0, 1, 0);
	while ((rc = lade_line_next(lines, &line)) > 0) {
		char text[512];
		int len = snprintf(text, sizeof(text), "%.*s\n", (int)line.len, line.text);
		long minutes = minutes_of(text);
		size_t done = 0;

		lade_line_drop(&line);
		if (minutes >= 0)
			rc = lade_sleep_until(lade_instant_after(
				start, lade_us(minutes * 1000 * day_ms / (24 * 60))));
		if (rc >= 0)
			rc = lade_write_all(STDOUT_FILENO, text, (size_t)len, &done);
		if (rc < 0)
			break;
	}
	lade_line_stream_close(lines);
	lade_close(fd);
	return rc;
}
LADE_TASK_VOID(replay, (const char *, path), (long, day_ms))

int main(int argc, char **argv)
{
	if (argc < 2)
		return fprintf(stderr, "usage: replay MESSAGES.ndjson [MS_PER_DAY]\n"), 2;
	return lade_main(lade_do(replay, argv[1], argc > 2 ? atol(argv[2]) : 800));
}
