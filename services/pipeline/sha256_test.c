/* SPDX-License-Identifier: MIT */
/* sha256_test.c - the examples of the standard, and every length round a block. */

#include "services/pipeline/sha256.h"

#include <stdio.h>
#include <string.h>

#include "tap.h"

/* The hash in hexadecimal, fed in pieces of @step bytes. */
static const char *hash(const char *text, size_t len, size_t step)
{
	static char hex[65];
	unsigned char bytes[32];
	struct lade_sha256 sha;

	lade_sha256_init(&sha);
	for (size_t at = 0; at < len; at += step)
		lade_sha256_feed(&sha, text + at, len - at < step ? len - at : step);
	lade_sha256_end(&sha, bytes);
	for (int i = 0; i < 32; i++)
		snprintf(hex + (size_t)(2 * i), 3, "%02x", bytes[i]);
	return hex;
}

static void it_is_the_standards_hash(void)
{
	const char *two = "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";

	CHECK_STR(hash("", 0, 1),
		  "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
	CHECK_STR(hash("abc", 3, 3),
		  "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	CHECK_STR(hash(two, strlen(two), 7),
		  "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
}

static void a_million_letters(void)
{
	static char text[1000000];

	memset(text, 'a', sizeof(text));
	CHECK_STR(hash(text, sizeof(text), 4099),
		  "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

static void it_does_not_matter_how_it_is_cut(void)
{
	static char text[200];
	char whole[65];

	for (size_t len = 0; len < sizeof(text); len++) {
		text[len] = (char)(len * 7);
		snprintf(whole, sizeof(whole), "%s", hash(text, len, sizeof(text)));
		CHECK_STR(hash(text, len, 1), whole);
		CHECK_STR(hash(text, len, 63), whole);
	}
}

int main(void)
{
	TAP(it_is_the_standards_hash);
	TAP(a_million_letters);
	TAP(it_does_not_matter_how_it_is_cut);
	return tap_done();
}
