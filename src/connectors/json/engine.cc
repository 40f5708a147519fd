/* SPDX-License-Identifier: MIT */
/* engine.cc - simdjson's first stage and the C++ library's doubles behind a C face.
 *
 * DESIGN
 * The first stage alone is used.  simdjson's DOM converts every number and refuses those
 * beyond 64 bits, which have to pass through; its on-demand mode skips what is not asked
 * for, and every line has to be checked.  Walking the tokens is cheap (reader.c), finding
 * them is what takes wide registers.
 *
 * INVARIANT  No exception leaves this file: it allocates nothing itself, and the simdjson
 * calls made here are noexcept; so are std::from_chars and std::to_chars in effect. */

#include "connectors/json/engine_priv.h"

#include <cerrno>
#include <charconv>
#include <cstring>
#include <memory>

#include <simdjson.h>

namespace {

using engine_ptr = std::unique_ptr<simdjson::internal::dom_parser_implementation>;

constexpr size_t cap_min = 4096;
constexpr size_t depth_unused = 1; /* the second stage's stack, which is never used */

size_t cap_for(size_t len)
{
	size_t cap = cap_min;

	while (cap < len)
		cap *= 2;
	return cap;
}

int grow(lade_json_index *index, size_t len)
{
	engine_ptr fresh;
	size_t cap = cap_for(len);

	if (simdjson::get_active_implementation()->create_dom_parser_implementation(
		    cap, depth_unused, fresh) != simdjson::SUCCESS)
		return -ENOMEM;
	lade_json_index_done(index);
	index->engine = fresh.release();
	index->cap = cap;
	return 0;
}

lade_json_fault fault_of(simdjson::error_code code)
{
	switch (code) {
	case simdjson::UTF8_ERROR:
		return LADE_JSON_FAULT_UTF8;
	case simdjson::UNESCAPED_CHARS:
		return LADE_JSON_FAULT_CONTROL;
	case simdjson::UNCLOSED_STRING:
		return LADE_JSON_FAULT_STRING;
	case simdjson::EMPTY:
		return LADE_JSON_FAULT_EMPTY;
	default:
		return LADE_JSON_FAULT_OTHER;
	}
}

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

void lade_json_index_init(lade_json_index *index)
{
	*index = lade_json_index{ nullptr, 0, nullptr, 0 };
}

void lade_json_index_done(lade_json_index *index)
{
	delete static_cast<simdjson::internal::dom_parser_implementation *>(index->engine);
	lade_json_index_init(index);
}

int lade_json_index_build(lade_json_index *index, const char *doc, size_t len,
			  lade_json_fault *ret_fault)
{
	if (len == 0) {
		*ret_fault = LADE_JSON_FAULT_EMPTY;
		return -EBADMSG;
	}
	if (len > index->cap) {
		int rc = grow(index, len);

		if (rc < 0)
			return rc;
	}
	auto *engine = static_cast<simdjson::internal::dom_parser_implementation *>(index->engine);
	auto code = engine->stage1(reinterpret_cast<const uint8_t *>(doc), len,
				   simdjson::stage1_mode::regular);
	if (code != simdjson::SUCCESS) {
		*ret_fault = fault_of(code);
		return -EBADMSG;
	}
	index->at = engine->structural_indexes.get();
	index->n = engine->n_structural_indexes;
	return 0;
}

const char *lade_json_index_engine(void)
{
	/* The engines are static objects of the library, and name() is a reference. */
	return simdjson::get_active_implementation()->name().c_str();
}

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
