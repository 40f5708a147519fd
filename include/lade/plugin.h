/* SPDX-License-Identifier: MIT */
#ifndef LADE_PLUGIN_H
#define LADE_PLUGIN_H

/* plugin.h - a step of `lade run` in C: a shared library that exports lade_plugin().
 *
 * In a pipeline: steps: [ { plugin: { path: ./score.so, into: .score, config: "120" } } ]
 *
 * It gets the messages of a batch at once, as JSON, gives each of them a verdict, and, where the
 * step says `into`, a value. It needs this header and no library of lade. What it gets is valid
 * during the call; it runs on a thread of its own and may block, but no call of an instance begins
 * before the one before has ended. A message may come more than once, as after a crash.
 *
 * Build it with:
 * cc -Werror=implicit-function-declaration -shared -fPIC $(pkg-config --cflags lade) \
 *    -o score.so score.c */

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Raised by a release in which a struct below is not what it was. */
#define LADE_PLUGIN_ABI 1u

enum lade_plugin_verdict {
	LADE_PLUGIN_OK,	    /* it goes on */
	LADE_PLUGIN_DROP,   /* it is finished on purpose */
	LADE_PLUGIN_RETRY,  /* again later, with backoff */
	LADE_PLUGIN_REJECT  /* it goes to the dead letter, with its reason */
};

struct lade_plugin_message {
	const char *value;	/* a JSON object, with what the steps before have set; of a source
				 * whose format is text or bytes, these as they came */
	size_t value_len;	/* bytes; no NUL behind them */
	const char *key;	/* as it came; NULL: none */
	size_t key_len;
	const char *topic;	/* or the file's name; "": none */
	int64_t partition;	/* 0 of a file */
	int64_t offset;		/* in its partition or file */
	int64_t timestamp_us;	/* since 1970; INT64_MIN: none */
	/* What the plugin says: */
	int verdict;		/* lade_plugin_verdict; at first LADE_PLUGIN_OK */
	const char *reason;	/* of RETRY and REJECT; ends with NUL */
	const char *result;	/* JSON, for `into`; NULL: nothing is set */
	size_t result_len;	/* bytes */
};

/* What a plugin exports. A failure is a positive errno, and words in @error for a person. */
struct lade_plugin {
	unsigned abi;		/* LADE_PLUGIN_ABI */
	size_t message_bytes;	/* sizeof(struct lade_plugin_message) */
	/* Begins an instance for one step; @config is the step's, "" if it has none. */
	int (*open)(const char *config, void **ret_self, char error[256]);
	/* Looks at the messages of a batch. reason and result live until the next call. EAGAIN:
	 * all of it again later; EBADMSG: one of them is to blame, they come again in halves;
	 * anything else waits for a person. */
	int (*process)(void *self, struct lade_plugin_message *messages, size_t n,
		       char error[256]);
	/* Ends it. */
	void (*close)(void *self);
};

/* lade_plugin - what the library is.  Returns a constant. */
const struct lade_plugin *lade_plugin(void);

#ifdef __cplusplus
}
#endif

#endif
