/* SPDX-License-Identifier: MIT */
/* lines_test.c - lines whatever the pieces in which their bytes come. */

#include <lade/io.h>
#include <lade/join.h>
#include <lade/stream.h>

#include "run.h"

#include <fcntl.h>

/* IN_REAL - IN_TASK on the back end that LADE_BACKEND names. */
#define IN_REAL(name)                                                                              \
	static void name##_body(void);                                                             \
	static void name(void)                                                                     \
	{                                                                                          \
		run_with(&(struct lade_loop_config){ 0 }, name##_body);                            \
	}                                                                                          \
	static void name##_body(void)

/* Writes down each line: number, offsets, text, marks. */
static int tell_lines(struct lade_line_stream *in)
{
	struct lade_line line;
	int rc;

	while ((rc = lade_line_next(in, &line)) > 0) {
		write_down("%d:%d:%d:%.*s%s%s", (int)line.number, (int)line.offset,
			   (int)line.next_offset, (int)line.len, line.text,
			   line.too_long ? "!" : "", line.ended ? "" : "?");
		lade_line_drop(&line);
	}
	return rc;
}

static int tell_lines_of(int fd, uint32_t line_max)
{
	struct lade_line_stream *in = lade_lines_of(fd, 0, 1, line_max);
	int rc = tell_lines(in);

	lade_line_stream_close(in);
	return rc;
}
LADE_TASK_VOID(tell_lines_of, (int, fd), (uint32_t, line_max))

/* Writes a text in two pieces, with many turns of the loop in between. */
static int write_pieces(int fd, const char *text, size_t split)
{
	size_t done = 0;
	int rc = lade_write_all(fd, text, split, &done);

	for (int i = 0; rc == 0 && i < 5; i++)
		rc = lade_yield();
	done = 0;
	if (rc == 0)
		rc = lade_write_all(fd, text + split, strlen(text) - split, &done);
	lade_close(fd);
	return rc;
}
LADE_TASK_VOID(write_pieces, (int, fd), (const char *, text), (size_t, split))

/* The same lines, wherever the text is split. */
static void check_splits(const char *text, uint32_t line_max, const char *want)
{
	for (size_t split = 0; split <= strlen(text); split++) {
		int fds[2];

		slate[0] = 0;
		CHECK_EQ(lade_pipe(fds), 0);
		CHECK_EQ(lade_join(lade_do(write_pieces, fds[1], text, split),
				   lade_do(tell_lines_of, fds[0], line_max)),
			 0);
		CHECK_STR(slate, want);
		lade_close(fds[0]);
	}
}

IN_REAL(a_line_is_the_same_wherever_its_bytes_are_split)
{
	check_splits("one\r\ntwo\n\r\n\nx\ry\r\n\r", 0,
		     "1:0:5:one 2:5:9:two 3:9:11: 4:11:12: 5:12:17:x\ry 6:17:18:\r?");
	check_splits("", 0, "");
	check_splits("\n", 0, "1:0:1:");
	check_splits("no end", 0, "1:0:6:no end?");
}

IN_REAL(a_line_that_is_too_long_is_cut_wherever_its_bytes_are_split)
{
	check_splits("1234\r\n12345\r\n123456\n1\n", 4,
		     "1:0:6:1234 2:6:13:1234! 3:13:20:1234! 4:20:22:1");
	/* A \r beyond the limit that is not the line's end belongs to what is skipped. */
	check_splits("1234\rx\r\n1234\r", 4, "1:0:8:1234! 2:8:13:1234!?");
	check_splits("123456789012345678901234567890", 4, "1:0:30:1234!?");
}

/* A file of lines whose lengths lie round the size of a chunk. */
static int write_file(int fd, const uint32_t *lens, int count)
{
	static char bytes[300000];
	int rc = 0;

	for (int i = 0; rc == 0 && i < count; i++) {
		size_t done = 0;

		memset(bytes, 'a' + i % 26, lens[i]);
		bytes[lens[i]] = '\n';
		rc = lade_write_all(fd, bytes, lens[i] + 1, &done);
	}
	return rc;
}

static int temporary(void)
{
	char path[] = "/tmp/lade-lines-XXXXXX";
	int fd = mkstemp(path);

	CHECK(fd >= 0);
	unlink(path);
	return fd;
}

static bool is_all(const struct lade_line *line, char c)
{
	for (uint32_t i = 0; i < line->len; i++)
		if (line->text[i] != c)
			return false;
	return true;
}

/* All lines are kept to the end: each keeps its bytes whatever is read after it. */
static void check_kept(int fd, const uint32_t *lens, int count, uint32_t line_max)
{
	struct lade_line_stream *in;
	struct lade_line kept[64];
	int64_t offset = 0;

	CHECK_EQ(lseek(fd, 0, SEEK_SET), 0);
	in = lade_lines_of(fd, 0, 1, line_max);
	for (int i = 0; i < count; i++)
		NEED_EQ(lade_line_next(in, &kept[i]), 1);
	CHECK_EQ(lade_line_next(in, &kept[count]), 0);
	lade_line_stream_close(in);
	for (int i = 0; i < count; i++) {
		bool cut = line_max && lens[i] > line_max;
		volatile char slack = kept[i].text[kept[i].len + LADE_LINE_SLACK - 1];

		(void)slack;
		CHECK_EQ(kept[i].len, cut ? line_max : lens[i]);
		CHECK_EQ(kept[i].too_long, cut);
		CHECK_EQ(kept[i].offset, offset);
		CHECK(is_all(&kept[i], (char)('a' + i % 26)));
		offset += lens[i] + 1;
		lade_line_drop(&kept[i]);
	}
}

IN_REAL(lines_round_the_size_of_a_chunk_keep_their_bytes)
{
	enum { CHUNK = 65536 };
	static const uint32_t lens[] = {
		CHUNK - 2, CHUNK - 1, 0,	 CHUNK,	    CHUNK + 1, 1,	  2 * CHUNK,
		3,	   CHUNK - 1, CHUNK - 5, CHUNK / 2, 200000,    CHUNK / 2, 17,
	};
	int count = sizeof(lens) / sizeof(*lens), fd = temporary();

	CHECK_EQ(write_file(fd, lens, count), 0);
	check_kept(fd, lens, count, 0);
	check_kept(fd, lens, count, CHUNK);
	check_kept(fd, lens, count, CHUNK - 1);
	check_kept(fd, lens, count, 10);
	lade_close(fd);
}

IN_REAL(lines_go_on_from_an_offset_and_a_number)
{
	struct lade_line_stream *in;
	const char *text = "one\ntwo\nthree\n";
	size_t done = 0;
	int fd = temporary();

	CHECK_EQ(lade_write_all(fd, text, strlen(text), &done), 0);
	CHECK_EQ(lseek(fd, 4, SEEK_SET), 4);
	in = lade_lines_of(fd, 4, 2, 0);
	CHECK_EQ(tell_lines(in), 0);
	CHECK_STR(slate, "2:4:8:two 3:8:14:three");
	lade_line_stream_close(in);
	lade_close(fd);
}

/* A byte at a time, slowly, to a reader whose every wait is cut short. */
static int drip(int fd, const char *text)
{
	int rc = 0;

	for (; rc >= 0 && *text; text++) {
		for (int i = 0; rc >= 0 && i < 3; i++)
			rc = lade_yield();
		if (rc >= 0)
			rc = lade_write(fd, text, 1);
	}
	lade_close(fd);
	return rc < 0 ? rc : 0;
}
LADE_TASK_VOID(drip, (int, fd), (const char *, text))

static int read_impatiently(int fd, uint32_t line_max)
{
	struct lade_line_stream *in = lade_lines_of(fd, 0, 1, line_max);
	int rc, cut_short = 0;

	while ((rc = lade_within(lade_us(1), tell_lines(in))) == -ETIME)
		cut_short++;
	CHECK(cut_short > 0);
	lade_line_stream_close(in);
	return rc;
}
LADE_TASK_VOID(read_impatiently, (int, fd), (uint32_t, line_max))

IN_REAL(a_cancelled_read_of_a_line_goes_on_where_it_was)
{
	int fds[2];

	CHECK_EQ(lade_pipe(fds), 0);
	CHECK_EQ(lade_join(lade_do(drip, fds[1], "first\r\nsecond\nthird and last"),
			   lade_do(read_impatiently, fds[0], 8)),
		 0);
	CHECK_STR(slate, "1:0:7:first 2:7:14:second 3:14:28:third an!?");
	lade_close(fds[0]);
}

IN_REAL(an_error_of_the_descriptor_is_the_streams)
{
	struct lade_line line;
	struct lade_line_stream *in = lade_lines_of(-1, 0, 1, 0);

	CHECK_EQ(lade_line_next(in, &line), -EBADF);
	CHECK_EQ(lade_line_try_next(in, &line), -EAGAIN);
	lade_line_stream_close(in);
}

int main(void)
{
	TAP(a_line_is_the_same_wherever_its_bytes_are_split);
	TAP(a_line_that_is_too_long_is_cut_wherever_its_bytes_are_split);
	TAP(lines_round_the_size_of_a_chunk_keep_their_bytes);
	TAP(lines_go_on_from_an_offset_and_a_number);
	TAP(a_cancelled_read_of_a_line_goes_on_where_it_was);
	TAP(an_error_of_the_descriptor_is_the_streams);
	return tap_done();
}
