/* SPDX-License-Identifier: MIT */
/* arena_test.c - pieces, limits and reset of the arena. */

#include <lade/arena.h>

#include "base/alloc.h"
#include "tap.h"

static void pieces_are_aligned_and_do_not_overlap(void)
{
	struct lade_arena arena;
	unsigned char *piece[200];

	lade_arena_init(&arena, 1000, 100000);
	for (size_t i = 0; i < 200; i++) {
		size_t align = (size_t)1 << i % 8;

		piece[i] = lade_arena_alloc_aligned(&arena, i, align);
		CHECK(piece[i] && (uintptr_t)piece[i] % align == 0);
		if (piece[i])
			memset(piece[i], (int)i, i);
		CHECK(lade_arena_sane(&arena));
	}
	for (size_t i = 0; i < 200; i++) {
		for (size_t j = 0; j < i; j++)
			CHECK(piece[i][j] == i);
	}
	lade_arena_done(&arena);
}

static void a_piece_larger_than_a_block_leaves_the_block_in_use(void)
{
	struct lade_arena arena;
	char *a, *big, *b;

	lade_arena_init(&arena, 128, 10000);
	a = lade_arena_alloc(&arena, 16);
	big = lade_arena_alloc(&arena, 5000);
	b = lade_arena_alloc(&arena, 16);
	CHECK(a && big && b == a + 16);
	CHECK_EQ(arena.held_bytes, 5128);
	CHECK(lade_arena_sane(&arena));
	lade_arena_done(&arena);
}

static void the_first_piece_may_be_larger_than_a_block(void)
{
	struct lade_arena arena;

	lade_arena_init(&arena, 128, 10000);
	CHECK(lade_arena_alloc(&arena, 5000));
	CHECK(lade_arena_sane(&arena));
	CHECK(lade_arena_alloc(&arena, 100));
	lade_arena_reset(&arena);
	CHECK_EQ(arena.held_bytes, 128);
	lade_arena_done(&arena);
}

static void the_limit_is_used_up_to_the_last_byte_and_not_exceeded(void)
{
	struct lade_arena arena;
	size_t got = 0;

	lade_arena_init(&arena, 1024, 3000);
	CHECK(!lade_arena_alloc(&arena, 3001));
	CHECK(!lade_arena_alloc(&arena, SIZE_MAX));
	CHECK(!lade_arena_alloc(&arena, SIZE_MAX / 4));
	CHECK(!lade_arena_alloc_aligned(&arena, SIZE_MAX, 64));
	CHECK(!lade_arena_copy(&arena, "", SIZE_MAX));
	while (lade_arena_alloc_aligned(&arena, 8, 8))
		got += 8;
	CHECK_EQ(got, 3000);
	CHECK_EQ(arena.held_bytes, 3000);
	CHECK(!lade_arena_alloc_aligned(&arena, 1, 1));
	CHECK(lade_arena_sane(&arena));
	lade_arena_done(&arena);
}

static void reset_keeps_one_block_and_a_repeated_batch_allocates_nothing(void)
{
	struct lade_arena arena;
	void *first;

	lade_arena_init(&arena, 4096, 100000);
	first = lade_arena_alloc(&arena, 100);
	for (int i = 0; i < 200; i++)
		CHECK(lade_arena_alloc(&arena, 100));
	CHECK(lade_arena_alloc(&arena, 9000));
	CHECK(first);
	lade_arena_reset(&arena);
	CHECK_EQ(arena.held_bytes, 4096);
	CHECK(lade_arena_sane(&arena));
	lade_alloc_fail_at(1);
	for (int batch = 0; batch < 10; batch++) {
		for (int i = 0; i < 30; i++)
			CHECK(lade_arena_alloc(&arena, 100));
		lade_arena_reset(&arena);
	}
	CHECK_EQ(lade_alloc_fail_at(0), 1);
	lade_arena_done(&arena);
}

static void reset_of_an_empty_arena_is_harmless(void)
{
	struct lade_arena arena;

	lade_arena_init(&arena, 64, 64);
	lade_arena_reset(&arena);
	CHECK(lade_arena_sane(&arena));
	CHECK(lade_arena_alloc(&arena, 64));
	lade_arena_done(&arena);
	lade_arena_done(&arena);
	CHECK(lade_arena_alloc(&arena, 64));
	lade_arena_done(&arena);
}

static void a_block_of_a_large_piece_is_not_kept(void)
{
	struct lade_arena arena;

	lade_arena_init(&arena, 128, 10000);
	CHECK(lade_arena_alloc(&arena, 5000));
	lade_arena_reset(&arena);
	CHECK_EQ(arena.held_bytes, 0);
	CHECK(lade_arena_sane(&arena));
	lade_arena_done(&arena);
}

static void large_pieces_are_aligned_too(void)
{
	struct lade_arena arena;

	lade_arena_init(&arena, 256, 1000000);
	for (size_t align = 1; align <= 4096; align *= 2) {
		for (size_t bytes = 200; bytes < 1000; bytes += 300) {
			char *piece = lade_arena_alloc_aligned(&arena, bytes, align);

			CHECK(piece && (uintptr_t)piece % align == 0);
			if (piece)
				memset(piece, 1, bytes);
		}
	}
	CHECK(lade_arena_sane(&arena));
	lade_arena_done(&arena);
}

static void a_copy_ends_with_a_nul(void)
{
	struct lade_arena arena;
	char *copy;

	lade_arena_init(&arena, 64, 640);
	copy = lade_arena_copy(&arena, "abcdef", 3);
	CHECK_STR(copy, "abc");
	copy = lade_arena_copy(&arena, NULL, 0);
	CHECK_STR(copy, "");
	lade_arena_done(&arena);
}

static void memory_that_runs_out_at_any_block_is_null_and_can_be_tried_again(void)
{
	for (long n = 1;; n++) {
		struct lade_arena arena;
		int failed = 0;

		lade_arena_init(&arena, 256, 100000);
		lade_alloc_fail_at(n);
		for (size_t i = 0; i < 60; i++) {
			char *piece = lade_arena_alloc(&arena, i * 10);

			if (!piece) {
				failed++;
				CHECK(lade_arena_sane(&arena));
				piece = lade_arena_alloc(&arena, i * 10);
			}
			CHECK(piece);
			if (piece)
				memset(piece, 1, i * 10);
		}
		CHECK(lade_arena_sane(&arena));
		lade_arena_done(&arena);
		if (lade_alloc_fail_at(0) > 0) {
			CHECK_EQ(failed, 0);
			CHECK(n > 20);
			return;
		}
		CHECK_EQ(failed, 1);
	}
}

int main(void)
{
	TAP(pieces_are_aligned_and_do_not_overlap);
	TAP(a_piece_larger_than_a_block_leaves_the_block_in_use);
	TAP(the_first_piece_may_be_larger_than_a_block);
	TAP(the_limit_is_used_up_to_the_last_byte_and_not_exceeded);
	TAP(reset_keeps_one_block_and_a_repeated_batch_allocates_nothing);
	TAP(reset_of_an_empty_arena_is_harmless);
	TAP(a_block_of_a_large_piece_is_not_kept);
	TAP(large_pieces_are_aligned_too);
	TAP(a_copy_ends_with_a_nul);
	TAP(memory_that_runs_out_at_any_block_is_null_and_can_be_tried_again);
	return tap_done();
}
