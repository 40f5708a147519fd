/* SPDX-License-Identifier: MIT */
/* datum.c - names of types, and time stamps as text.
 *
 * DESIGN
 * Days are counted in the proleptic Gregorian calendar with the year beginning in
 * March, so that the leap day is the last of its year and needs no case of its own
 * (Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms").  The C library's
 * timegm() would do, but reads the time zone files of the machine. */

#include <lade/datum.h>

#include <errno.h>
#include <string.h>

#define DAY_US (INT64_C(86400) * 1000000)
#define YEAR_0_DAYS (-719528)	/* 0000-01-01, counted from 1970-01-01 */
#define YEAR_9999_DAYS 2932896	/* 9999-12-31 */

static const char *const type_names[] = {
	[LADE_ABSENT] = "absent",   [LADE_NULL] = "null",
	[LADE_TEXT] = "text",       [LADE_INTEGER] = "integer",
	[LADE_DOUBLE] = "double",   [LADE_BOOLEAN] = "boolean",
	[LADE_TIMESTAMP] = "timestamp", [LADE_JSON] = "json",
};

static int64_t days_of(int64_t year, int month, int day)
{
	int64_t era, day_of_year, day_of_era;

	year -= month <= 2;
	era = (year >= 0 ? year : year - 399) / 400;
	year -= era * 400;
	day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
	day_of_era = year * 365 + year / 4 - year / 100 + day_of_year;
	return era * 146097 + day_of_era - 719468;
}

static void date_of(int64_t days, int *ret_year, int *ret_month, int *ret_day)
{
	int64_t era, of_era, year, of_year, month;

	days += 719468;
	era = (days >= 0 ? days : days - 146096) / 146097;
	of_era = days - era * 146097;
	year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
	of_year = of_era - (365 * year + year / 4 - year / 100);
	month = (5 * of_year + 2) / 153;
	*ret_day = (int)(of_year - (153 * month + 2) / 5 + 1);
	*ret_month = (int)(month < 10 ? month + 3 : month - 9);
	*ret_year = (int)(year + era * 400 + (*ret_month <= 2));
}

static int days_in(int year, int month)
{
	static const int days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
	bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

	return days[month - 1] + (month == 2 && leap);
}

/* The text that is still to be read. */
struct rest {
	const char *at;		/* next byte */
	const char *end;	/* behind the last */
};

static bool eat(struct rest *r, char c)
{
	if (r->at == r->end || *r->at != c)
		return false;
	r->at++;
	return true;
}

static int digits(struct rest *r, int count)
{
	int value = 0;

	if (r->end - r->at < count)
		return -1;
	for (; count; count--, r->at++) {
		if (*r->at < '0' || *r->at > '9')
			return -1;
		value = value * 10 + (*r->at - '0');
	}
	return value;
}

static int read_date(struct rest *r, int64_t *ret_days)
{
	int year, month, day;

	year = digits(r, 4);
	if (year < 0 || !eat(r, '-'))
		return -EINVAL;
	month = digits(r, 2);
	if (month < 1 || month > 12 || !eat(r, '-'))
		return -EINVAL;
	day = digits(r, 2);
	if (day < 1 || day > days_in(year, month))
		return -EINVAL;
	*ret_days = days_of(year, month, day);
	return 0;
}

static int read_fraction(struct rest *r, int64_t *us)
{
	int64_t unit = 100000;
	const char *first = r->at;

	for (; r->at < r->end && *r->at >= '0' && *r->at <= '9'; r->at++, unit /= 10)
		*us += (*r->at - '0') * unit;
	return r->at == first ? -EINVAL : 0;
}

static int read_time(struct rest *r, int64_t *ret_us)
{
	int hour, minute, second = 0;
	int64_t us = 0;

	hour = digits(r, 2);
	if (hour < 0 || hour > 23 || !eat(r, ':'))
		return -EINVAL;
	minute = digits(r, 2);
	if (minute < 0 || minute > 59)
		return -EINVAL;
	if (eat(r, ':')) {
		second = digits(r, 2);
		if (second < 0 || second > 60)
			return -EINVAL;
		if (eat(r, '.') && read_fraction(r, &us) < 0)
			return -EINVAL;
	}
	*ret_us = us + INT64_C(1000000) * (hour * 3600 + minute * 60 + second);
	return 0;
}

static int read_zone(struct rest *r, int64_t *ret_us)
{
	int sign, hour, minute;

	*ret_us = 0;
	if (r->at == r->end || eat(r, 'Z') || eat(r, 'z'))
		return 0;
	sign = eat(r, '+') ? 1 : eat(r, '-') ? -1 : 0;
	hour = digits(r, 2);
	if (!sign || hour < 0 || hour > 23 || !eat(r, ':'))
		return -EINVAL;
	minute = digits(r, 2);
	if (minute < 0 || minute > 59)
		return -EINVAL;
	*ret_us = sign * INT64_C(60000000) * (hour * 60 + minute);
	return 0;
}

const char *lade_datum_type_name(enum lade_datum_type type)
{
	size_t i = (size_t)type;

	return i < sizeof(type_names) / sizeof(*type_names) ? type_names[i] : "?";
}

int lade_want_parse(const char *text, size_t len, struct lade_want *ret)
{
	bool nullable = len && text[len - 1] == '?';

	len -= nullable;
	for (int i = LADE_TEXT; i <= LADE_JSON; i++) {
		if (strlen(type_names[i]) != len || memcmp(type_names[i], text, len) != 0)
			continue;
		*ret = (struct lade_want){ (enum lade_datum_type)i, nullable };
		return 0;
	}
	return -EINVAL;
}

int lade_timestamp_parse(const char *text, size_t len, int64_t *ret_us)
{
	struct rest r = { text, text + len };
	int64_t days, time_us = 0, zone_us = 0;

	if (read_date(&r, &days) < 0)
		return -EINVAL;
	if (r.at < r.end) {
		if (!eat(&r, 'T') && !eat(&r, 't') && !eat(&r, ' '))
			return -EINVAL;
		if (read_time(&r, &time_us) < 0 || read_zone(&r, &zone_us) < 0 || r.at < r.end)
			return -EINVAL;
	}
	*ret_us = days * DAY_US + time_us - zone_us;
	return 0;
}

static void put(char *to, int64_t value, int count)
{
	for (to += count; count; count--, value /= 10)
		*--to = (char)('0' + value % 10);
}

int lade_timestamp_format(int64_t us, char ret[LADE_TIMESTAMP_ROOM])
{
	int64_t days = us / DAY_US, rest = us % DAY_US;
	int year, month, day;

	if (rest < 0) {
		rest += DAY_US;
		days--;
	}
	if (days < YEAR_0_DAYS || days > YEAR_9999_DAYS)
		return -ERANGE;
	date_of(days, &year, &month, &day);
	memcpy(ret, "0000-00-00T00:00:00.000000Z", LADE_TIMESTAMP_ROOM);
	put(ret, year, 4);
	put(ret + 5, month, 2);
	put(ret + 8, day, 2);
	put(ret + 11, rest / INT64_C(3600000000), 2);
	put(ret + 14, rest / 60000000 % 60, 2);
	put(ret + 17, rest / 1000000 % 60, 2);
	put(ret + 20, rest % 1000000, 6);
	return LADE_TIMESTAMP_ROOM - 1;
}
