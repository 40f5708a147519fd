/* SPDX-License-Identifier: MIT */
/* args_test.c - arguments in binary, without a server. */

#include <lade/postgres.h>

#include "tap.h"

#include <errno.h>

static void an_array_has_a_header_and_items_with_their_lengths(void)
{
	static const char wanted[] = "\0\0\0\1\0\0\0\1\0\0\0\24\0\0\0\2\0\0\0\1"
				     "\0\0\0\10\0\0\0\0\0\0\1\2\377\377\377\377";
	struct lade_pg_args a;

	lade_pg_args_init(&a, 0);
	lade_pg_array(&a, LADE_PG_INT8, 2);
	lade_pg_item_int8(&a, 258);
	lade_pg_item_null(&a);
	CHECK_EQ(a.status, 0);
	CHECK_EQ(a.n, 1);
	CHECK_EQ(a.list[0].type, 1016);
	CHECK_EQ(a.list[0].len, sizeof(wanted) - 1);
	CHECK(memcmp(a.block + a.list[0].at, wanted, sizeof(wanted) - 1) == 0);
	lade_pg_args_done(&a);
}

static void arguments_over_their_bytes_are_emsgsize(void)
{
	struct lade_pg_args a;

	lade_pg_args_init(&a, 16);
	lade_pg_int8(&a, 1);
	lade_pg_int8(&a, 2);
	CHECK_EQ(a.status, 0);
	lade_pg_bool(&a, true);
	CHECK_EQ(a.status, -EMSGSIZE);
	CHECK_EQ(a.n, 2);
	lade_pg_args_reset(&a);
	lade_pg_int8(&a, 3);
	CHECK_EQ(a.status, 0);
	CHECK_EQ(a.n, 1);
	lade_pg_args_done(&a);
}

static void more_than_512_arguments_are_emsgsize(void)
{
	struct lade_pg_args a;

	lade_pg_args_init(&a, 0);
	for (int i = 0; i < LADE_PG_ARGS_MAX; i++)
		lade_pg_null(&a, LADE_PG_TEXT);
	CHECK_EQ(a.status, 0);
	lade_pg_null(&a, LADE_PG_TEXT);
	CHECK_EQ(a.status, -EMSGSIZE);
	lade_pg_args_done(&a);
}

static void an_array_with_too_many_or_too_few_items_is_einval(void)
{
	struct lade_pg_args a;

	lade_pg_args_init(&a, 0);
	lade_pg_array(&a, LADE_PG_INT8, 1);
	lade_pg_item_int8(&a, 1);
	lade_pg_item_int8(&a, 2);
	CHECK_EQ(a.status, -EINVAL);
	lade_pg_args_reset(&a);
	lade_pg_array(&a, LADE_PG_INT8, 2);
	lade_pg_item_int8(&a, 1);
	lade_pg_int8(&a, 2);
	CHECK_EQ(a.status, -EINVAL);
	lade_pg_args_done(&a);
}

static void a_column_takes_what_its_type_can_hold(void)
{
	const struct lade_datum rows[] = { lade_datum_integer(1), lade_datum_text("a", 1),
					   lade_datum_null(),	  lade_datum_text("b", 1) };
	struct lade_pg_args a;

	lade_pg_args_init(&a, 0);
	lade_pg_array_of(&a, LADE_PG_INT8, rows, 2, 2);
	lade_pg_array_of(&a, LADE_PG_TEXT, rows + 1, 2, 2);
	CHECK_EQ(a.status, 0);
	CHECK_EQ(a.n, 2);
	lade_pg_array_of(&a, LADE_PG_INT8, rows, 1, 2);
	CHECK_EQ(a.status, -EINVAL);
	lade_pg_args_done(&a);
}

int main(void)
{
	TAP(an_array_has_a_header_and_items_with_their_lengths);
	TAP(arguments_over_their_bytes_are_emsgsize);
	TAP(more_than_512_arguments_are_emsgsize);
	TAP(an_array_with_too_many_or_too_few_items_is_einval);
	TAP(a_column_takes_what_its_type_can_hold);
	return tap_done();
}
