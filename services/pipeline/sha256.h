/* SPDX-License-Identifier: MIT */
#ifndef LADE_PIPELINE_SHA256_H
#define LADE_PIPELINE_SHA256_H

/* sha256.h - SHA-256 (FIPS 180-4), for names that are made of bytes which strangers choose.
 *
 * Threads: any, one of them at a time. */

#include <stddef.h>
#include <stdint.h>

/* A hash that is being made. */
struct lade_sha256 {
	uint32_t state[8];
	uint64_t bytes;			/* so far */
	unsigned char block[64];	/* the last bytes % 64 of them */
};

/* lade_sha256_init - the hash of nothing yet. */
void lade_sha256_init(struct lade_sha256 *sha);

/* lade_sha256_feed - goes on with @len bytes. */
void lade_sha256_feed(struct lade_sha256 *sha, const void *bytes, size_t len);

/* lade_sha256_end - the hash of all that was fed; @sha is used up. */
void lade_sha256_end(struct lade_sha256 *sha, unsigned char ret[32]);

#endif
