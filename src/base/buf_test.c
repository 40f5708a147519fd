/* SPDX-License-Identifier: MIT */
/* buf_test.c - limits, growth and printing of the byte buffer. */

#include "base/buf.h"

#include <errno.h>
#include <stdint.h>

#include "base/alloc.h"
#include "tap.h"

static void bytes_come_out_as_they_went_in(void)
{
	struct lade_buf buf;

	lade_buf_init(&buf, 1000);
	CHECK_EQ(lade_buf_len(&buf), 0);
	CHECK_STR(lade_buf_str(&buf), "");
	CHECK_EQ(lade_buf_append(&buf, "hello ", 6), 0);
	CHECK_EQ(lade_buf_append(&buf, "world", 5), 0);
	CHECK_EQ(lade_buf_append(&buf, NULL, 0), 0);
	CHECK_STR(lade_buf_str(&buf), "hello world");
	lade_buf_consume(&buf, 6);
	CHECK_EQ(lade_buf_len(&buf), 5);
	CHECK(!memcmp(lade_buf_bytes(&buf), "world", 5));
	lade_buf_done(&buf);
	CHECK_EQ(lade_buf_len(&buf), 0);
	CHECK(lade_buf_sane(&buf));
}

static void what_does_not_fit_is_emsgsize_and_changes_nothing(void)
{
	struct lade_buf buf;
	char *room = NULL;

	lade_buf_init(&buf, 8);
	CHECK_EQ(lade_buf_append(&buf, "12345678", 8), 0);
	CHECK_EQ(lade_buf_append(&buf, "9", 1), -EMSGSIZE);
	CHECK_EQ(lade_buf_reserve(&buf, 1, &room), -EMSGSIZE);
	CHECK_EQ(lade_buf_reserve(&buf, SIZE_MAX, &room), -EMSGSIZE);
	CHECK_EQ(lade_buf_printf(&buf, "%d", 9), -EMSGSIZE);
	CHECK(!room);
	CHECK_STR(lade_buf_str(&buf), "12345678");
	lade_buf_consume(&buf, 1);
	CHECK_EQ(lade_buf_printf(&buf, "%d", 9), 0);
	CHECK_STR(lade_buf_str(&buf), "23456789");
	CHECK(lade_buf_sane(&buf));
	lade_buf_done(&buf);
}

static void room_that_was_reserved_holds_what_is_committed(void)
{
	struct lade_buf buf;
	char *room;

	lade_buf_init(&buf, 500);
	CHECK_EQ(lade_buf_reserve(&buf, 300, &room), 0);
	memset(room, 'r', 300);
	lade_buf_commit(&buf, 2);
	CHECK_STR(lade_buf_str(&buf), "rr");
	CHECK_EQ(lade_buf_reserve(&buf, 300, &room), 0);
	lade_buf_commit(&buf, 0);
	CHECK_EQ(lade_buf_len(&buf), 2);
	lade_buf_done(&buf);
}

static void printing_grows_the_buffer_and_fits_exactly(void)
{
	struct lade_buf buf;
	char want[301];

	memset(want, ' ', 299);
	want[299] = '7';
	want[300] = 0;
	lade_buf_init(&buf, 300);
	CHECK_EQ(lade_buf_printf(&buf, "%300d", 7), 0);
	CHECK_STR(lade_buf_str(&buf), want);
	CHECK_EQ(lade_buf_printf(&buf, "%s", ""), 0);
	CHECK_EQ(lade_buf_printf(&buf, "x"), -EMSGSIZE);
	CHECK_EQ(lade_buf_len(&buf), 300);
	lade_buf_done(&buf);
}

/* The storage begins with 128 bytes: prints what just fits, and what just does not. */
static void printing_over_the_end_of_the_storage_loses_nothing(void)
{
	for (int len = 100; len < 160; len++) {
		struct lade_buf buf;

		lade_buf_init(&buf, 1000);
		CHECK_EQ(lade_buf_append(&buf, "x", 1), 0);
		CHECK_EQ(lade_buf_printf(&buf, "%0*d", len, 7), 0);
		CHECK_EQ(lade_buf_len(&buf), len + 1);
		CHECK_EQ(strspn(lade_buf_str(&buf) + 1, "0"), len - 1);
		CHECK_EQ(lade_buf_bytes(&buf)[len], '7');
		lade_buf_done(&buf);
	}
}

static void the_room_of_consumed_bytes_is_used_again(void)
{
	struct lade_buf buf;
	char chunk[40] = "chunk";

	lade_buf_init(&buf, 100000);
	CHECK_EQ(lade_buf_append(&buf, chunk, sizeof(chunk)), 0);
	lade_alloc_fail_at(1);
	for (int i = 0; i < 1000; i++) {
		CHECK_EQ(lade_buf_append(&buf, chunk, sizeof(chunk)), 0);
		lade_buf_consume(&buf, sizeof(chunk));
		CHECK_STR(lade_buf_str(&buf), "chunk");
	}
	CHECK_EQ(lade_alloc_fail_at(0), 1);
	lade_buf_done(&buf);
}

static void printing_without_memory_changes_nothing(void)
{
	struct lade_buf buf;

	lade_buf_init(&buf, 5000);
	lade_alloc_fail_at(1);
	CHECK_EQ(lade_buf_printf(&buf, "%d", 1), -ENOMEM);
	CHECK_EQ(lade_buf_printf(&buf, "%d", 1), 0);
	lade_alloc_fail_at(1);
	CHECK_EQ(lade_buf_printf(&buf, "%4000d", 1), -ENOMEM);
	CHECK_STR(lade_buf_str(&buf), "1");
	CHECK(lade_buf_sane(&buf));
	lade_buf_done(&buf);
}

static void growth_that_finds_no_memory_leaves_the_bytes(void)
{
	struct lade_buf buf;
	int rc = 0;

	for (long n = 1;; n++) {
		size_t len = 0;

		lade_buf_init(&buf, 100000);
		lade_alloc_fail_at(n);
		for (rc = 0; rc == 0 && len < 100000; len += rc == 0)
			rc = lade_buf_append(&buf, "b", 1);
		if (lade_alloc_fail_at(0) > 0) {
			CHECK_EQ(rc, 0);
			CHECK(n > 10);
			lade_buf_done(&buf);
			return;
		}
		CHECK_EQ(rc, -ENOMEM);
		CHECK_EQ(lade_buf_len(&buf), len);
		CHECK(len == 0 || lade_buf_bytes(&buf)[len - 1] == 'b');
		CHECK(lade_buf_sane(&buf));
		CHECK_EQ(lade_buf_append(&buf, "b", 1), 0);
		lade_buf_done(&buf);
	}
}

/* A full buffer, one byte out and one in: if each step moved the rest, this would copy
 * 20 GB and not end in time; the test counts moves by the address of the first byte. */
static void a_full_buffer_is_not_moved_for_each_byte(void)
{
	struct lade_buf buf;
	const char *before;
	int moves = 0;

	lade_buf_init(&buf, 10000);
	for (int i = 0; i < 10000; i++)
		CHECK_EQ(lade_buf_append(&buf, "f", 1), 0);
	for (int i = 0; i < 100000; i++) {
		lade_buf_consume(&buf, 1);
		before = lade_buf_bytes(&buf);
		CHECK_EQ(lade_buf_append(&buf, "f", 1), 0);
		moves += lade_buf_bytes(&buf) != before;
	}
	CHECK(moves <= 12);
	lade_buf_done(&buf);
}

/* The model: everything ever appended, and how much of it was consumed. */
static void a_random_history_agrees_with_a_plain_array(void)
{
	static char model[400000];
	size_t from = 0, to = 0;
	struct lade_buf buf;
	uint32_t seed = 7;

	lade_buf_init(&buf, 700);
	for (int step = 0; step < 20000; step++) {
		size_t n;

		seed = seed * 1664525 + 1013904223;
		n = (seed >> 8) % 40;
		if ((seed >> 28) < 8) {
			int want = to - from + n > 700 ? -EMSGSIZE : 0;

			for (size_t i = 0; i < n; i++)
				model[to + i] = (char)('a' + (seed + i) % 26);
			CHECK_EQ(lade_buf_append(&buf, model + to, n), want);
			to += want == 0 ? n : 0;
		} else {
			n = n < to - from ? n : to - from;
			lade_buf_consume(&buf, n);
			from += n;
		}
		CHECK(lade_buf_sane(&buf));
		CHECK_EQ(lade_buf_len(&buf), to - from);
		CHECK(to == from || !memcmp(lade_buf_bytes(&buf), model + from, to - from));
	}
	lade_buf_clear(&buf);
	CHECK_EQ(lade_buf_len(&buf), 0);
	lade_buf_done(&buf);
}

int main(void)
{
	TAP(bytes_come_out_as_they_went_in);
	TAP(what_does_not_fit_is_emsgsize_and_changes_nothing);
	TAP(room_that_was_reserved_holds_what_is_committed);
	TAP(printing_grows_the_buffer_and_fits_exactly);
	TAP(printing_over_the_end_of_the_storage_loses_nothing);
	TAP(the_room_of_consumed_bytes_is_used_again);
	TAP(printing_without_memory_changes_nothing);
	TAP(growth_that_finds_no_memory_leaves_the_bytes);
	TAP(a_full_buffer_is_not_moved_for_each_byte);
	TAP(a_random_history_agrees_with_a_plain_array);
	return tap_done();
}
