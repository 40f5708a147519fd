/* SPDX-License-Identifier: MIT */
/* position_test.c - the same file, another one, a shorter one. */

#include "services/pipeline/position.h"

#include <errno.h>
#include <fcntl.h>

#include "tap.h"

static char path[64];
static int fd = -1;

/* A new file of @len bytes that depend on @seed. */
static void make_file(size_t len, int seed)
{
	strcpy(path, "/tmp/lade-position-XXXXXX");
	if (fd >= 0)
		close(fd);
	fd = mkstemp(path);
	for (size_t i = 0; i < len; i++) {
		char c = (char)(i * 7 + (size_t)seed);

		CHECK_EQ(write(fd, &c, 1), 1);
	}
	unlink(path);
}

static void a_file_that_grows_stays_the_same(void)
{
	struct lade_pipe_identity identity;
	int64_t offsets[] = { 1, 100, 4095, 4096, 4097, 5000 };

	make_file(5000, 1);
	for (size_t i = 0; i < 6; i++) {
		CHECK_EQ(lade_pipe_identify(fd, offsets[i], &identity), 0);
		CHECK_EQ(lade_pipe_same_file(fd, &identity, offsets[i]), LADE_SAME_FILE);
		CHECK_EQ(write(fd, "more", 4), 4);
		CHECK_EQ(lade_pipe_same_file(fd, &identity, offsets[i]), LADE_SAME_FILE);
	}
}

static void a_file_that_is_cut_is_noticed(void)
{
	struct lade_pipe_identity identity;

	make_file(5000, 1);
	CHECK_EQ(lade_pipe_identify(fd, 5000, &identity), 0);
	CHECK_EQ(ftruncate(fd, 4999), 0);
	CHECK_EQ(lade_pipe_same_file(fd, &identity, 5000), LADE_SAME_CUT);
	CHECK_EQ(ftruncate(fd, 0), 0);
	CHECK_EQ(lade_pipe_same_file(fd, &identity, 5000), LADE_SAME_CUT);
	CHECK_EQ(lade_pipe_identify(fd, 1, &identity), -ENODATA);
}

static void a_file_with_another_beginning_is_noticed(void)
{
	struct lade_pipe_identity identity;

	make_file(5000, 1);
	CHECK_EQ(lade_pipe_identify(fd, 5000, &identity), 0);
	CHECK_EQ(pwrite(fd, "\xff", 1, 4095), 1);
	CHECK_EQ(lade_pipe_same_file(fd, &identity, 5000), LADE_SAME_NOT);
	make_file(5000, 1);
	CHECK_EQ(lade_pipe_identify(fd, 50, &identity), 0);
	CHECK_EQ(pwrite(fd, "\xff", 1, 60), 1);
	CHECK_EQ(lade_pipe_same_file(fd, &identity, 50), LADE_SAME_FILE);
	CHECK_EQ(pwrite(fd, "\xff", 1, 49), 1);
	CHECK_EQ(lade_pipe_same_file(fd, &identity, 50), LADE_SAME_NOT);
}

static void another_file_of_the_same_bytes_is_another_file(void)
{
	struct lade_pipe_identity identity;
	int first;

	make_file(100, 1);
	CHECK_EQ(lade_pipe_identify(fd, 100, &identity), 0);
	first = dup(fd);
	make_file(100, 1);
	CHECK_EQ(lade_pipe_same_file(fd, &identity, 100), LADE_SAME_NOT);
	CHECK_EQ(lade_pipe_same_file(fd, &identity, 0), LADE_SAME_FILE);
	close(first);
}

static void what_is_read_in_pieces_has_the_same_hash(void)
{
	struct lade_pipe_beginning beginning;
	struct lade_pipe_identity identity;
	char bytes[6000];
	int bad = 0;

	make_file(6000, 3);
	CHECK_EQ(pread(fd, bytes, 6000, 0), 6000);
	lade_pipe_beginning_init(&beginning);
	for (int64_t at = 0; at < 5000; at += 37) {
		lade_pipe_beginning_feed(&beginning, at, bytes + at, 37);
		CHECK_EQ(lade_pipe_identify(fd, at + 37, &identity), 0);
		bad += identity.hash != beginning.hash;
	}
	CHECK_EQ(bad, 0);
	CHECK_EQ(beginning.bytes, LADE_POSITION_HASHED);
}

static void bytes_that_are_known_or_out_of_turn_change_nothing(void)
{
	struct lade_pipe_beginning a, b;

	lade_pipe_beginning_init(&a);
	lade_pipe_beginning_feed(&a, 0, "abcdef", 6);
	b = a;
	lade_pipe_beginning_feed(&b, 0, "abcdef", 6);
	lade_pipe_beginning_feed(&b, 2, "cd", 2);
	lade_pipe_beginning_feed(&b, 7, "later", 5);
	CHECK_EQ(a.hash, b.hash);
	CHECK_EQ(b.bytes, 6);
	lade_pipe_beginning_feed(&a, 6, "gh", 2);
	lade_pipe_beginning_feed(&b, 4, "efgh", 4);
	CHECK_EQ(a.hash, b.hash);
	CHECK_EQ(b.bytes, 8);
}

static void an_identity_goes_through_text(void)
{
	struct lade_pipe_identity a = { UINT64_MAX, 0, 1 }, b;
	char text[LADE_POSITION_ROOM];

	lade_pipe_identity_format(&a, text);
	CHECK_STR(text, "18446744073709551615:0:0000000000000001");
	CHECK_EQ(lade_pipe_identity_parse(text, &b), 0);
	CHECK(a.device == b.device && a.inode == b.inode && a.hash == b.hash);
}

static void what_is_no_identity_is_refused(void)
{
	static const char *const bad[] = { "", "1", "1:2", "1:2:", ":2:3", "1::3", "a:2:3", "1:2:g",
					   "-1:2:3", "1:2:3 ", " 1:2:3", "1:2:3:4", "+1:2:3",
					   "99999999999999999999:2:3", "1:2:0x3" };
	struct lade_pipe_identity identity;

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		CHECK_EQ(lade_pipe_identity_parse(bad[i], &identity), -EINVAL);
}

static void a_descriptor_that_is_none_is_an_error(void)
{
	struct lade_pipe_identity identity = { 0 };

	CHECK_EQ(lade_pipe_identify(-1, 10, &identity), -EBADF);
	CHECK_EQ(lade_pipe_same_file(-1, &identity, 10), -EBADF);
}

int main(void)
{
	TAP(a_file_that_grows_stays_the_same);
	TAP(a_file_that_is_cut_is_noticed);
	TAP(a_file_with_another_beginning_is_noticed);
	TAP(another_file_of_the_same_bytes_is_another_file);
	TAP(what_is_read_in_pieces_has_the_same_hash);
	TAP(bytes_that_are_known_or_out_of_turn_change_nothing);
	TAP(an_identity_goes_through_text);
	TAP(what_is_no_identity_is_refused);
	TAP(a_descriptor_that_is_none_is_an_error);
	return tap_done();
}
