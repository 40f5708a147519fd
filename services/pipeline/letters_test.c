/* SPDX-License-Identifier: MIT */
/* letters_test.c - dead letters come back as they were kept. */

#include "services/pipeline/letters.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tap.h"

static char folder[] = "/tmp/lade-letters-XXXXXX";
static char path[64], notes[80];
static struct lade_pipe_config config;

static void write_file(const char *mode, const char *text, size_t len)
{
	FILE *file = fopen(path, mode);

	CHECK(file && fwrite(text, 1, len, file) == len);
	if (file)
		fclose(file);
}

/* Keeps a letter as a pipeline does. */
static void keep(const struct lade_pipe_message *m)
{
	const struct lade_pipe_rejection why = { "gate", "no", 3, 1000000 };
	struct lade_json_out out;

	lade_json_out_init(&out, 1 << 20);
	CHECK_EQ(lade_pipe_dead_letter(m, &why, &out), 0);
	lade_json_out_raw(&out, "\n", 1);
	write_file("a", out.data, out.len);
	lade_json_out_done(&out);
}

static void begin_anew(void)
{
	unlink(path);
	unlink(notes);
}

static void any_bytes_of_value_key_and_headers_come_back(void)
{
	static const char bytes[] = "a\0b\n\"\\/\x01\x7f\xc3\xa4\xf0\x9f\x98\x80 end";
	static const char odd[] = "\xff\xfe\x00x";
	static const struct lade_pipe_header headers[] = {
		{ "one", bytes, sizeof(bytes) - 1 },
		{ "two", NULL, 0 },
		{ "one", odd, sizeof(odd) - 1 },
	};
	struct lade_pipe_message m = {
		.bytes = bytes,
		.len = sizeof(bytes) - 1,
		.offset = 77,
		.timestamp_us = 1234567,
		.key = lade_datum_text(odd, sizeof(odd) - 1),
		.headers = headers,
		.n_headers = 3,
	};
	struct lade_letters letters;
	struct lade_letter l;

	begin_anew();
	keep(&m);
	CHECK_EQ(lade_letters_open(&letters, &config, NULL, false), 0);
	CHECK_EQ(lade_letters_next(&letters, &l), 1);
	CHECK_STR(l.step, "gate");
	CHECK_STR(l.error, "no");
	CHECK_EQ(l.attempts, 3);
	CHECK_EQ(l.timestamp_us, 1234567);
	CHECK(l.value_len == sizeof(bytes) - 1 && memcmp(l.value, bytes, l.value_len) == 0);
	CHECK(l.key_len == sizeof(odd) - 1 && memcmp(l.key, odd, l.key_len) == 0);
	CHECK_EQ(l.n_headers, 3);
	CHECK(l.headers[0].len == headers[0].len &&
	      memcmp(l.headers[0].bytes, bytes, headers[0].len) == 0);
	CHECK(!l.headers[1].bytes);
	CHECK(l.headers[2].len == headers[2].len &&
	      memcmp(l.headers[2].bytes, odd, headers[2].len) == 0);
	CHECK_EQ(lade_letters_next(&letters, &l), 0);
	lade_letters_close(&letters);
}

static void a_tombstone_comes_back_without_a_value(void)
{
	struct lade_pipe_message m = { .tombstone = true, .timestamp_us = INT64_MIN };
	struct lade_letters letters;
	struct lade_letter l;

	begin_anew();
	keep(&m);
	CHECK_EQ(lade_letters_open(&letters, &config, NULL, false), 0);
	CHECK_EQ(lade_letters_next(&letters, &l), 1);
	CHECK(!l.value && !l.key);
	CHECK_EQ(l.timestamp_us, INT64_MIN);
	lade_letters_close(&letters);
}

static void what_is_done_is_not_read_again_by_anybody(void)
{
	struct lade_pipe_message m = { .bytes = "{}", .len = 2, .timestamp_us = INT64_MIN };
	struct lade_letter_ref refs[3];
	struct lade_letters letters, other;
	struct lade_letter l;

	begin_anew();
	for (int i = 0; i < 3; i++) {
		m.offset = i;
		keep(&m);
	}
	CHECK_EQ(lade_letters_open(&letters, &config, NULL, true), 0);
	for (int i = 0; i < 3; i++) {
		CHECK_EQ(lade_letters_next(&letters, &l), 1);
		refs[i] = l.ref;
	}
	CHECK_EQ(lade_letters_open(&other, &config, NULL, true), -EBUSY);
	lade_letters_close(&other);
	CHECK_EQ(lade_letters_done(&letters, refs, 1), 0);
	CHECK_EQ(lade_letters_done(&letters, refs + 2, 1), 0);
	lade_letters_close(&letters);
	CHECK_EQ(lade_letters_open(&letters, &config, NULL, false), 0);
	CHECK_EQ(lade_letters_next(&letters, &l), 1);
	CHECK_EQ(l.ref.id, refs[1].id);
	CHECK_EQ(lade_letters_next(&letters, &l), 0);
	lade_letters_close(&letters);
}

static void what_a_crash_has_torn_counts_for_nothing(void)
{
	struct lade_pipe_message m = { .bytes = "{}", .len = 2, .timestamp_us = INT64_MIN };
	struct lade_letters letters;
	struct lade_letter l;
	FILE *file;

	begin_anew();
	keep(&m);
	write_file("a", "{\"step\":\"half", 13); /* a letter that is being written */
	file = fopen(notes, "w");
	CHECK(file && fputs("0 12", file) >= 0); /* a note that was not finished */
	fclose(file);
	CHECK_EQ(lade_letters_open(&letters, &config, NULL, true), 0);
	CHECK_EQ(lade_letters_next(&letters, &l), 1);
	CHECK_EQ(lade_letters_done(&letters, &l.ref, 1), 0);
	CHECK_EQ(lade_letters_next(&letters, &l), 0);
	lade_letters_close(&letters);
	CHECK_EQ(lade_letters_open(&letters, &config, NULL, false), 0);
	CHECK_EQ(lade_letters_next(&letters, &l), 0);
	lade_letters_close(&letters);
}

int main(void)
{
	if (!mkdtemp(folder))
		return TAP_BAIL;
	snprintf(path, sizeof(path), "%s/dead.ndjson", folder);
	snprintf(notes, sizeof(notes), "%s.replayed", path);
	config.errors.dead_kind = LADE_DEAD_FILE;
	config.errors.dead_file = path;
	TAP(any_bytes_of_value_key_and_headers_come_back);
	TAP(a_tombstone_comes_back_without_a_value);
	TAP(what_is_done_is_not_read_again_by_anybody);
	TAP(what_a_crash_has_torn_counts_for_nothing);
	begin_anew();
	rmdir(folder);
	return tap_done();
}
