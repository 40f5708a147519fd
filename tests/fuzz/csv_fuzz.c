/* SPDX-License-Identifier: MIT */
/* csv_fuzz.c - the first line of any bytes as a header, the rest as a record: an object that has a
 * member for each name, or a reason. */

#include <lade/json.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "services/pipeline/csv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void expect(bool ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "fuzz: %s\n", what);
	abort();
}

/* What was written must be read as an object. */
static void check_object(const struct lade_json_out *out)
{
	struct lade_json_paths *paths = lade_json_paths_new();
	struct lade_json_reader *reader = NULL;
	struct lade_json_error error;
	struct lade_json_span span;
	char *text = malloc(out->len + 64);
	int rc;

	expect(paths && text && lade_json_reader_new(&reader) == 0, "memory");
	memcpy(text, out->data, out->len);
	memset(text + out->len, 0, 64);
	rc = lade_json_read(reader, paths, text, out->len, 0, &span, &error);
	expect(rc == 0, "a record that is no JSON");
	lade_json_reader_free(reader);
	lade_json_paths_free(paths);
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data, *end = memchr(data, '\n', size);
	size_t header = end ? (size_t)(end - text) : size, from = end ? header + 1 : size;
	struct lade_json_error error = { .at = 0 };
	struct lade_pipe_csv *csv = NULL;
	struct lade_json_out out;
	int rc = lade_pipe_csv_new(',', text, header, &csv, &error);

	expect(rc == 0 || (rc == -EBADMSG && error.reason[0] && error.at <= header), "a verdict");
	lade_json_out_init(&out, (size_t)1 << 20);
	if (rc == 0)
		rc = lade_pipe_csv_write(csv, text + from, size - from, &out, &error);
	expect(rc == 0 || (rc == -EBADMSG && error.reason[0]), "a verdict of a record");
	if (rc == 0) {
		check_object(&out);
		expect(!lade_pipe_csv_quotes(',', false, text + from, size - from),
		       "a record whose quotes are open");
	}
	lade_json_out_done(&out);
	lade_pipe_csv_free(csv);
	return 0;
}
