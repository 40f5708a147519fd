/* SPDX-License-Identifier: MIT */
/* json_judge.cc - simdjson's own parser as the judge of json_fuzz.c. */

#include <simdjson.h>

#include "fuzz/json_judge.h"

int json_judge(const char *doc, size_t len, const char **ret_why)
{
	static simdjson::dom::parser parser;
	auto code = parser.parse(simdjson::padded_string(doc, len)).error();

	*ret_why = simdjson::error_message(code);
	switch (code) {
	case simdjson::SUCCESS:
		return JSON_VALID;
	case simdjson::NUMBER_ERROR:
	case simdjson::NUMBER_OUT_OF_RANGE:
	case simdjson::STRING_ERROR:
	case simdjson::DEPTH_ERROR:
		return JSON_EXCUSED;
	default:
		return JSON_INVALID;
	}
}
