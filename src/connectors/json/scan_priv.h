/* SPDX-License-Identifier: MIT */
#ifndef LADE_JSON_SCAN_PRIV_H
#define LADE_JSON_SCAN_PRIV_H

/* scan_priv.h - how far the plain text of a string goes.
 *
 * Sixteen bytes at a time where the processor has SSE2, as each of x86-64 has, then eight. What is
 * found early need not be told from what is found late: on a hit among eight the bytes are looked
 * at one by one. */

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

/* lade_json_plain - no quote, no backslash, no control character, nothing beyond ASCII. */
static inline bool lade_json_plain(char c)
{
	return (signed char)c >= 0x20 && c != '"' && c != '\\';
}

/* Whether one of eight bytes is not plain. */
static inline bool lade_json_unusual8(uint64_t bytes)
{
	const uint64_t ones = UINT64_C(0x0101010101010101), high = ones << 7;
	uint64_t quotes = bytes ^ ones * '"', backslashes = bytes ^ ones * '\\';

	return ((bytes - ones * 0x20) | bytes | ((quotes - ones) & ~quotes) |
		((backslashes - ones) & ~backslashes)) & high;
}

/* lade_json_plain_end - the first byte from @p on that is not plain, or @end. */
static inline const char *lade_json_plain_end(const char *p, const char *end)
{
#ifdef __SSE2__
	const __m128i quote = _mm_set1_epi8('"'), backslash = _mm_set1_epi8('\\');
	const __m128i space = _mm_set1_epi8(' ');

	for (; end - p >= 16; p += 16) {
		__m128i v = _mm_loadu_si128((const __m128i *)(const void *)p);
		/* As signed numbers those beyond ASCII are below the blank, too. */
		int hits = _mm_movemask_epi8(_mm_or_si128(
			_mm_cmplt_epi8(v, space),
			_mm_or_si128(_mm_cmpeq_epi8(v, quote), _mm_cmpeq_epi8(v, backslash))));

		if (hits)
			return p + __builtin_ctz((unsigned)hits);
	}
#endif
	for (uint64_t bytes; end - p >= 8; p += 8) {
		memcpy(&bytes, p, sizeof(bytes));
		if (lade_json_unusual8(bytes))
			break;
	}
	while (p < end && lade_json_plain(*p))
		p++;
	return p;
}

#endif
