/* SPDX-License-Identifier: MIT */
/* double.cc - doubles to text and back with the C++ library, behind a C face.
 *
 * INVARIANT  No exception leaves this file: it allocates nothing, and std::from_chars and
 * std::to_chars throw nothing. */

#include "connectors/json/double_priv.h"

#include <cerrno>
#include <charconv>
#include <cstring>

namespace {

/* A number that std::from_chars calls out of range: is it too large, or too small? */
bool too_large(const char *text, const char *end)
{
	const char *e = text;
	const char *first = nullptr;	/* the first digit that is not 0 */
	const char *dot = nullptr;
	long exponent = 0;

	for (; e < end && *e != 'e' && *e != 'E'; e++) {
		if (*e == '.')
			dot = e;
		else if (!first && *e > '0')
			first = e;
	}
	if (e < end) {
		const char *digits = e + (e[1] == '+' ? 2 : 1);

		if (std::from_chars(digits, end, exponent).ec != std::errc())
			return *digits != '-';
	}
	return first && ((dot ? dot : e) - first) + exponent > 0;
}

} // namespace

int lade_double_parse(const char *text, size_t len, double *ret)
{
	auto got = std::from_chars(text, text + len, *ret);

	if (got.ec == std::errc::result_out_of_range) {
		if (too_large(text, text + len))
			return -ERANGE;
		*ret = *text == '-' ? -0.0 : 0.0;
		return 0;
	}
	return got.ec == std::errc() && got.ptr == text + len ? 0 : -EINVAL;
}

size_t lade_double_format(double value, char ret[LADE_DOUBLE_ROOM])
{
	char *end = std::to_chars(ret, ret + LADE_DOUBLE_ROOM - 2, value).ptr;
	size_t len = static_cast<size_t>(end - ret);

	if (!std::memchr(ret, '.', len) && !std::memchr(ret, 'e', len)) {
		ret[len++] = '.';
		ret[len++] = '0';
	}
	return len;
}
