/* SPDX-License-Identifier: MIT */
/* json.c - a place where a line is read. */

#include <lade/json.h>

int read_line(struct lade_json_paths *paths, struct lade_json_reader *reader, const char *line,
	      size_t len);
int read_line(struct lade_json_paths *paths, struct lade_json_reader *reader, const char *line,
	      size_t len)
{
	struct lade_json_error error;
	int rc = 0;

	{
@code@
	}
	return rc;
}
