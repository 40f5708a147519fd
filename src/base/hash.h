/* SPDX-License-Identifier: MIT */
#ifndef LADE_BASE_HASH_H
#define LADE_BASE_HASH_H

/* hash.h - 64-bit hashes of bytes that strangers may have chosen.
 *
 * Under a key of each table's own, which nobody else knows: whoever chooses the bytes
 * cannot choose them to collide.  Threads: any. */

#include <stddef.h>
#include <stdint.h>

/* Bytes of input that are hashed the fast way. */
#define LADE_HASH_BYTES 256

/* The key of one table: drawn once, never shown. */
struct lade_hash_key {
	uint64_t word[LADE_HASH_BYTES / 8];	/* one for each word of the input */
	struct {
		uint64_t low;			/* bits 0 to 63 */
		uint64_t high;			/* bits 64 to 127 */
	} factor[3];				/* of the last step; [0] is added */
};

/* lade_hash_key_random - draws a key from the kernel.
 *
 * Returns 0, or -errno of getrandom(2), which waits only early in a system's boot. */
int lade_hash_key_random(struct lade_hash_key *ret_key);

/* lade_hash - the hash of @len bytes under @key; all 64 bits are good. */
uint64_t lade_hash(const struct lade_hash_key *key, const void *bytes, size_t len);

/* lade_hash_sip - SipHash-1-3 under the key @k0, @k1: what lade_hash() uses for long input. */
uint64_t lade_hash_sip(uint64_t k0, uint64_t k1, const void *bytes, size_t len);

/* lade_hash_u64 - mixes a number that no stranger chose: a descriptor, an id of our own.
 *
 * A bijection (the finaliser of splitmix64), so different numbers differ. */
static inline uint64_t lade_hash_u64(uint64_t x)
{
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
	return x ^ (x >> 31);
}

#define LADE_HASH_FNV UINT64_C(14695981039346656037) /* where lade_hash_fnv begins */

/* lade_hash_fnv - a hash that goes on from @hash: the same however the bytes are cut into pieces.
 *
 * FNV-1a, http://www.isthe.com/chongo/tech/comp/fnv/. Not for keys that a stranger chooses. */
static inline uint64_t lade_hash_fnv(uint64_t hash, const void *bytes, size_t len)
{
	const uint8_t *at = bytes;

	for (size_t i = 0; i < len; i++)
		hash = (hash ^ at[i]) * UINT64_C(1099511628211);
	return hash;
}

#endif
