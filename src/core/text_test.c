/* SPDX-License-Identifier: MIT */
/* text_test.c - text made where nothing else may be called. */

#include "core/text.h"

#include "tap.h"

#include <fcntl.h>
#include <limits.h>
#include <sys/mman.h>

static char read_back[1 << 20];

/* A text for a file in memory. */
static struct lade_text text_new(void)
{
	return (struct lade_text){ .fd = memfd_create("text", MFD_CLOEXEC) };
}

/* What was said. */
static const char *text_end(struct lade_text *t)
{
	ssize_t n;

	lade_text_flush(t);
	n = pread(t->fd, read_back, sizeof(read_back) - 1, 0);
	read_back[n > 0 ? n : 0] = 0;
	close(t->fd);
	return read_back;
}

static void conversions_are_those_of_printf(void)
{
	struct lade_text t = text_new();

	lade_text_say(&t, "%s %c %d %d %u %lu %zu %lx%*s|", "a", 'b', 0, INT_MIN, UINT_MAX,
		      ULONG_MAX, (size_t)10, 0x1f0ul, 3, "");
	CHECK_STR(text_end(&t), "a b 0 -2147483648 4294967295 18446744073709551615 10 1f0   |");
}

static void seconds_have_three_decimals_and_are_rounded(void)
{
	struct lade_text t = text_new();

	lade_text_seconds(&t, 250000000);
	lade_text_say(&t, "|");
	lade_text_seconds(&t, -1999500000);
	lade_text_say(&t, "|");
	lade_text_seconds(&t, -499999);
	lade_text_say(&t, "|");
	lade_text_seconds(&t, INT64_MIN);
	CHECK_STR(text_end(&t), "0.250 s|-2.000 s|0.000 s|-9223372036.855 s");
}

static void a_string_is_cut_at_511_bytes(void)
{
	char line[600];
	struct lade_text t = text_new();

	memset(line, 'x', sizeof(line));
	line[sizeof(line) - 1] = 0;
	lade_text_say(&t, "%s|", line);
	t.careful = true;
	lade_text_say(&t, "%s", line);
	CHECK_EQ(strlen(text_end(&t)), 511 + 1 + 511);
	CHECK_EQ(read_back[511], '|');
}

static void more_text_than_is_gathered_is_written_in_order(void)
{
	struct lade_text t = text_new();
	char number[16];
	size_t at = 0;

	for (int i = 0; i < 5000; i++)
		lade_text_say(&t, "%d ", i);
	(void)text_end(&t);
	for (int i = 0; i < 5000; i++) {
		int len = snprintf(number, sizeof(number), "%d ", i);

		CHECK(strncmp(read_back + at, number, (size_t)len) == 0);
		at += (size_t)len;
	}
	CHECK_EQ(read_back[at], 0);
}

static void strings_that_are_not_there_are_question_marks(void)
{
	long page = sysconf(_SC_PAGESIZE);
	char *two = mmap(NULL, 2 * (size_t)page, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct lade_text t = text_new();

	munmap(two + page, (size_t)page);
	strcpy(two + page - 8, "at last");
	t.careful = true;
	lade_text_say(&t, "%s|%s|%s|%s|", (const char *)16, "", (const char *)two + page,
		      two + page - 8);
	CHECK_STR(text_end(&t), "?||?|at last|");
	munmap(two, (size_t)page);
}

static void memory_that_is_not_there_is_not_read(void)
{
	char copy[9000], page[9000];

	memset(page, 7, sizeof(page));
	CHECK(lade_peek(true, copy, page, sizeof(copy)));
	CHECK(memcmp(copy, page, sizeof(copy)) == 0);
	CHECK(!lade_peek(true, copy, (const void *)8, 8));
	CHECK_EQ(copy[0] | copy[7], 0);
	CHECK(lade_peek(false, copy, page, 8));
	CHECK_EQ(copy[7], 7);
}

int main(void)
{
	TAP(conversions_are_those_of_printf);
	TAP(seconds_have_three_decimals_and_are_rounded);
	TAP(a_string_is_cut_at_511_bytes);
	TAP(more_text_than_is_gathered_is_written_in_order);
	TAP(strings_that_are_not_there_are_question_marks);
	TAP(memory_that_is_not_there_is_not_read);
	return tap_done();
}
