/* SPDX-License-Identifier: MIT */
/* path_fuzz.c - references, addresses and units of any bytes; and addresses with values of
 * any bytes in them, which must stay where they are put. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "services/pipeline/ref.h"
#include "services/pipeline/units.h"
#include "services/pipeline/url.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct lade_json_error error;

static void expect(bool ok, const char *what, const char *more)
{
	if (ok)
		return;
	fprintf(stderr, "fuzz: %s\n%s\n", what, more);
	abort();
}

static void check_ref(const char *text, size_t len)
{
	struct lade_json_paths *paths = lade_json_paths_new();
	struct lade_pipe_ref ref;
	int rc;

	error.reason[0] = '\0';
	rc = lade_pipe_ref_parse(text, len, paths, &ref, &error);
	expect(rc == 0 || (error.reason[0] && error.at <= len), "a reference without verdict", "");
	if (rc == 0)
		expect(ref.name >= text && ref.name + ref.name_len <= text + len, "a name", "");
	lade_json_paths_free(paths);
}

static void check_units(const char *text, size_t len)
{
	char room[LADE_UNIT_ROOM];
	int64_t value, again;

	for (int unit = LADE_UNIT_COUNT; unit <= LADE_UNIT_PERCENT; unit++) {
		if (lade_pipe_unit_parse((enum lade_pipe_unit)unit, text, len, &value) < 0 ||
		    (unit == LADE_UNIT_PERCENT && value > 1000000))
			continue;
		lade_pipe_unit_format((enum lade_pipe_unit)unit, value, room);
		expect(lade_pipe_unit_parse((enum lade_pipe_unit)unit, room, strlen(room),
					    &again) == 0 && again == value, "a quantity", room);
	}
}

static bool is_dots(const char *segment, size_t len)
{
	return (len == 1 && segment[0] == '.') ||
	       (len == 2 && segment[0] == '.' && segment[1] == '.');
}

/* No byte that an address may not have, and no segment that means another place. */
static void check_address(const char *url, size_t len, size_t path_at)
{
	const char *p = url + path_at;

	for (size_t i = 0; i < len; i++)
		expect(url[i] > ' ' && url[i] < 0x7f && url[i] != '#', "a byte", url);
	while (*p == '/') {
		size_t n = strcspn(++p, "/?");

		expect(!is_dots(p, n), "dots", url);
		p += n;
	}
}

/* Fills the holes with @value; slashes, question marks and the host stay as they are. */
static void check_render(const struct lade_pipe_url *url, const char *value, size_t len)
{
	struct lade_datum values[LADE_URL_HOLES_MAX], plain[LADE_URL_HOLES_MAX];
	struct lade_arena arena;
	const char *one, *two;
	size_t one_len, two_len, marks = 0;

	lade_arena_init(&arena, 1024, 1 << 20);
	for (int i = 0; i < LADE_URL_HOLES_MAX; i++) {
		values[i] = lade_datum_text(value, (uint32_t)len);
		plain[i] = lade_datum_text("x", 1);
	}
	if (lade_pipe_url_render(url, values, &arena, &one, &one_len, &error) == 0 &&
	    lade_pipe_url_render(url, plain, &arena, &two, &two_len, &error) == 0) {
		check_address(one, one_len, url->path_at);
		for (size_t i = 0; i < one_len; i++)
			marks += one[i] == '/' || one[i] == '?' || one[i] == '&' || one[i] == '@';
		for (size_t i = 0; i < two_len; i++)
			marks -= two[i] == '/' || two[i] == '?' || two[i] == '&' || two[i] == '@';
		expect(marks == 0 && memcmp(one, two, url->path_at) == 0, "a value got out", one);
	}
	lade_arena_done(&arena);
}

static void check_url(const char *text, size_t len, const char *value, size_t value_len)
{
	struct lade_json_paths *paths = lade_json_paths_new();
	struct lade_pipe_url url;
	int rc;

	error.reason[0] = '\0';
	rc = lade_pipe_url_parse(text, len, paths, &url, &error);
	expect(rc == 0 || error.reason[0], "an address without verdict", "");
	if (rc == 0)
		check_render(&url, value, value_len);
	lade_json_paths_free(paths);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 16);
	const char *newline = memchr(data, '\n', size);
	size_t len = newline ? (size_t)(newline - (const char *)data) : size;
	const char *value = newline ? newline + 1 : "";
	size_t value_len = newline ? size - len - 1 : 0;

	memcpy(text, data, len);
	check_ref(text, len);
	check_units(text, len);
	check_url(text, len, value, value_len);
	memcpy(text, "http://h/", 9);
	memcpy(text + 9, data, len);
	check_url(text, len + 9, value, value_len);
	free(text);
	return 0;
}
