/* SPDX-License-Identifier: MIT */
/* units_test.c - quantities as people write them. */

#include "services/pipeline/units.h"

#include <errno.h>

#include "tap.h"

static long long parsed(enum lade_pipe_unit unit, const char *text)
{
	int64_t value = 0;
	int rc = lade_pipe_unit_parse(unit, text, strlen(text), &value);

	return rc < 0 ? rc : value;
}

/* What is written, and what it stands for or how it is refused. */
struct sample {
	enum lade_pipe_unit unit;
	const char *text;
	long long value;
};

static void check_samples(const struct sample *samples, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const struct sample *s = &samples[i];
		int bad = tap_bad_checks;

		CHECK_EQ(parsed(s->unit, s->text), s->value);
		if (tap_bad_checks > bad)
			printf("# in: %s\n", s->text);
	}
}

static void durations_need_their_unit(void)
{
	static const struct sample samples[] = {
		{ LADE_UNIT_DURATION, "50ms", 50000000 },
		{ LADE_UNIT_DURATION, "1.5s", 1500000000 },
		{ LADE_UNIT_DURATION, "1h30m", 5400000000000 },
		{ LADE_UNIT_DURATION, "2d", 172800000000000 },
		{ LADE_UNIT_DURATION, "10us", 10000 },
		{ LADE_UNIT_DURATION, "7ns", 7 },
		{ LADE_UNIT_DURATION, "0", 0 },
		{ LADE_UNIT_DURATION, "0s", 0 },
		{ LADE_UNIT_DURATION, "50", -ENODATA },
		{ LADE_UNIT_DURATION, "1h30", -ENODATA },
	};

	check_samples(samples, sizeof(samples) / sizeof(*samples));
}

static void sizes_tell_binary_from_decimal(void)
{
	static const struct sample samples[] = {
		{ LADE_UNIT_BYTES, "1MiB", 1048576 },
		{ LADE_UNIT_BYTES, "1MB", 1000000 },
		{ LADE_UNIT_BYTES, "64KiB", 65536 },
		{ LADE_UNIT_BYTES, "1.5kB", 1500 },
		{ LADE_UNIT_BYTES, "2GiB", 2147483648 },
		{ LADE_UNIT_BYTES, "512B", 512 },
		{ LADE_UNIT_BYTES, "512", -ENODATA },
		{ LADE_UNIT_BYTES, "1MiB1KiB", -EINVAL },
	};

	check_samples(samples, sizeof(samples) / sizeof(*samples));
}

static void percentages_and_counts_are_exact(void)
{
	static const struct sample samples[] = {
		{ LADE_UNIT_PERCENT, "10%", 1000 },
		{ LADE_UNIT_PERCENT, "0.25%", 25 },
		{ LADE_UNIT_PERCENT, "10", -ENODATA },
		{ LADE_UNIT_PERCENT, "0.001%", -ERANGE },
		{ LADE_UNIT_COUNT, "500", 500 },
		{ LADE_UNIT_COUNT, "9223372036854775807", INT64_MAX },
		{ LADE_UNIT_COUNT, "1.5", -ERANGE },
		{ LADE_UNIT_COUNT, "5ms", -EINVAL },
	};

	check_samples(samples, sizeof(samples) / sizeof(*samples));
}

static void what_is_no_quantity_is_refused(void)
{
	static const char *const bad[] = { "", "ms", "-5ms", "+5ms", "5 ms", " 5ms", "5ms ", "5MS",
					   "5.ms", ".5s", "1..5s", "1.2.3s", "30m1h", "1s1s",
					   "5mss", "0x5s", "1e3s", "5min", "nan", "inf" };

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		CHECK_EQ(parsed(LADE_UNIT_DURATION, bad[i]), -EINVAL);
}

static void what_does_not_fit_or_come_out_whole_is_refused(void)
{
	static const struct sample samples[] = {
		{ LADE_UNIT_DURATION, "0.5ns", -ERANGE },
		{ LADE_UNIT_DURATION, "200000d", -ERANGE },
		{ LADE_UNIT_DURATION, "99999999999999999999s", -ERANGE },
		{ LADE_UNIT_DURATION, "0.00000000000000000000s", -ERANGE },
		{ LADE_UNIT_DURATION, "100000d100000d", -EINVAL },
		{ LADE_UNIT_DURATION, "106751d24h", -ERANGE },
	};

	check_samples(samples, sizeof(samples) / sizeof(*samples));
}

static const char *formatted(enum lade_pipe_unit unit, int64_t value)
{
	static char text[LADE_UNIT_ROOM];

	return lade_pipe_unit_format(unit, value, text);
}

static void a_quantity_is_written_in_its_largest_whole_unit(void)
{
	CHECK_STR(formatted(LADE_UNIT_DURATION, 50000000), "50ms");
	CHECK_STR(formatted(LADE_UNIT_DURATION, 1500000000), "1500ms");
	CHECK_STR(formatted(LADE_UNIT_DURATION, 5400000000000), "90m");
	CHECK_STR(formatted(LADE_UNIT_DURATION, 0), "0");
	CHECK_STR(formatted(LADE_UNIT_BYTES, 1048576), "1MiB");
	CHECK_STR(formatted(LADE_UNIT_BYTES, 1500), "1500B");
	CHECK_STR(formatted(LADE_UNIT_PERCENT, 1000), "10%");
	CHECK_STR(formatted(LADE_UNIT_PERCENT, 25), "0.25%");
	CHECK_STR(formatted(LADE_UNIT_COUNT, 500), "500");
}

static void what_is_written_reads_back_as_the_same(void)
{
	int bad = 0;

	for (int unit = LADE_UNIT_COUNT; unit <= LADE_UNIT_PERCENT; unit++) {
		int64_t most = unit == LADE_UNIT_PERCENT ? 1000000 : INT64_MAX / 3;

		for (int64_t value = 0; value < most; value = value * 2 + 77) {
			const char *text = formatted((enum lade_pipe_unit)unit, value);

			bad += parsed((enum lade_pipe_unit)unit, text) != value;
		}
	}
	CHECK_EQ(bad, 0);
}

int main(void)
{
	TAP(durations_need_their_unit);
	TAP(sizes_tell_binary_from_decimal);
	TAP(percentages_and_counts_are_exact);
	TAP(what_is_no_quantity_is_refused);
	TAP(what_does_not_fit_or_come_out_whole_is_refused);
	TAP(a_quantity_is_written_in_its_largest_whole_unit);
	TAP(what_is_written_reads_back_as_the_same);
	return tap_done();
}
