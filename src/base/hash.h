/* SPDX-License-Identifier: MIT */
#ifndef LADE_BASE_HASH_H
#define LADE_BASE_HASH_H

/* hash.h - 64-bit hashes of bytes that strangers may have chosen.
 *
 * SipHash-1-3 (Aumasson and Bernstein; the variant of the Rust, Ruby and Python tables)
 * under a key of each table's own: who does not know the key cannot choose keys that
 * collide.  Threads: any. */

#include <stddef.h>
#include <stdint.h>

/* The key of one table: drawn once, never shown. */
struct lade_hash_key {
	uint64_t k0;	/* first half of SipHash's key */
	uint64_t k1;	/* second half */
};

/* lade_hash_key_random - draws a key from the kernel.
 *
 * Returns 0, or -errno of getrandom(2), which waits only early in a system's boot. */
int lade_hash_key_random(struct lade_hash_key *ret_key);

/* lade_hash - the hash of @len bytes under @key; all 64 bits are good. */
uint64_t lade_hash(const struct lade_hash_key *key, const void *bytes, size_t len);

/* lade_hash_u64 - mixes a number that no stranger chose: a descriptor, an id of our own.
 *
 * A bijection (the finaliser of splitmix64), so different numbers differ. */
static inline uint64_t lade_hash_u64(uint64_t x)
{
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
	return x ^ (x >> 31);
}

#endif
