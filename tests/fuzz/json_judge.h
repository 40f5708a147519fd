/* SPDX-License-Identifier: MIT */
#ifndef LADE_FUZZ_JSON_JUDGE_H
#define LADE_FUZZ_JSON_JUDGE_H

/* json_judge.h - what simdjson's DOM says about a document. */

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
	JSON_VALID,	/* it takes the document */
	JSON_EXCUSED,	/* it does not, for a reason that lade need not share */
	JSON_INVALID,	/* it is no JSON */
};

/* json_judge - one of these, and the reason. */
int json_judge(const char *doc, size_t len, const char **ret_why);

#ifdef __cplusplus
}
#endif

#endif
