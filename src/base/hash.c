/* SPDX-License-Identifier: MIT */
/* hash.c - a universal hash for short bytes, SipHash-1-3 for long ones.
 *
 * DESIGN
 * Input of up to 256 bytes, as good as every key of a cache, is hashed in two steps, each
 * with secret numbers of the table's own.  NH (of UMAC; Black, Halevi, Krawczyk, Krovetz and
 * Rogaway, 1999) adds to each word of the input a word of the key and sums the products of
 * neighbours; the length is added to the sum.  MULTILINEAR (Lemire and Kaser, "Strongly
 * universal string hashing is fast", 2014) multiplies the two words of that by 128-bit
 * factors, and the upper half of their sum is taken.  Two different inputs of strangers
 * collide with a probability of at most 2^-62: 2^-63 in the first step (2^-64 where both
 * have as many words), 2^-64 in the second.
 *
 * The last step is linear, and numbered names would get hashes at even distances, which pile
 * up where a table probes linearly.  A bijection that is not linear scatters them and, as a
 * bijection, keeps the probability.
 *
 * The products do not wait for each other, so the processor begins the next lookup, and its
 * cache misses, while this one is hashed; SipHash's long chain keeps it from that.  The
 * unkeyed mixers that are as fast (wyhash and its kin) have inputs that collide under every
 * seed.
 *
 * Longer input would need longer keys and goes through SipHash-1-3 (Aumasson and
 * Bernstein), the hash of the tables of Rust, Ruby and Python.
 *
 * LIMITS  The proof is about strangers who do not see hashes.  None is ever sent, stored or
 *         printed; whoever needs that calls lade_hash_sip(). */

#include "base/hash.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

__extension__ typedef unsigned __int128 u128;

struct sip {
	uint64_t v0, v1, v2, v3;	/* the state, named as in the paper */
};

static inline uint64_t rotl(uint64_t x, int bits)
{
	return (x << bits) | (x >> (64 - bits));
}

static inline void sip_round(struct sip *s)
{
	s->v0 += s->v1;
	s->v1 = rotl(s->v1, 13) ^ s->v0;
	s->v0 = rotl(s->v0, 32);
	s->v2 += s->v3;
	s->v3 = rotl(s->v3, 16) ^ s->v2;
	s->v0 += s->v3;
	s->v3 = rotl(s->v3, 21) ^ s->v0;
	s->v2 += s->v1;
	s->v1 = rotl(s->v1, 17) ^ s->v2;
	s->v2 = rotl(s->v2, 32);
}

static inline void sip_word(struct sip *s, uint64_t word)
{
	s->v3 ^= word;
	sip_round(s);
	s->v0 ^= word;
}

static inline uint64_t word_at(const unsigned char *p)
{
	uint64_t word;

	memcpy(&word, p, sizeof(word));
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
	word = __builtin_bswap64(word);
#endif
	return word;
}

/* The last 0 to 7 bytes, little-endian, below the length's low byte. */
static inline uint64_t last_word(const unsigned char *p, size_t len)
{
	uint64_t word = (uint64_t)len << 56;

	for (size_t i = 0; i < (len & 7); i++)
		word |= (uint64_t)p[i] << (8 * i);
	return word;
}

uint64_t lade_hash_sip(uint64_t k0, uint64_t k1, const void *bytes, size_t len)
{
	const unsigned char *p = bytes, *words_end = p + (len & ~(size_t)7);
	struct sip s = {
		.v0 = k0 ^ 0x736f6d6570736575u,
		.v1 = k1 ^ 0x646f72616e646f6du,
		.v2 = k0 ^ 0x6c7967656e657261u,
		.v3 = k1 ^ 0x7465646279746573u,
	};

	for (; p < words_end; p += 8)
		sip_word(&s, word_at(p));
	sip_word(&s, last_word(p, len));
	s.v2 ^= 0xff;
	sip_round(&s);
	sip_round(&s);
	sip_round(&s);
	return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}

/* What NH adds for two neighbours. */
static inline u128 product(const uint64_t *key, uint64_t a, uint64_t b)
{
	return (u128)(a + key[0]) * (b + key[1]);
}

/* Fewer than 16 bytes as two words: some bytes are in both, which is as good, because the
 * length is hashed too. */
static inline u128 short_sum(const uint64_t *key, const unsigned char *p, size_t len)
{
	uint32_t first, last;

	if (len >= 8)
		return product(key, word_at(p), word_at(p + len - 8));
	if (len >= 4) {
		memcpy(&first, p, 4);
		memcpy(&last, p + len - 4, 4);
		return product(key, first, last);
	}
	if (len == 0)
		return 0;
	first = p[0] | (uint32_t)p[len / 2] << 8 | (uint32_t)p[len - 1] << 16;
	return product(key, first, 0);
}

/* At least 16 bytes, two words at a time; the last 16 may overlap those before. */
static inline u128 long_sum(const uint64_t *key, const unsigned char *p, size_t len)
{
	u128 sum = 0;
	size_t at;

	for (at = 0; at + 16 <= len; at += 16)
		sum += product(key + at / 8, word_at(p + at), word_at(p + at + 8));
	if (at < len)
		sum += product(key + at / 8, word_at(p + len - 16), word_at(p + len - 8));
	return sum;
}

/* The sum of MULTILINEAR: of products with 128-bit factors, modulo 2^128. */
struct sum {
	u128 low;	/* of the products with the factors' low halves */
	uint64_t high;	/* of those with the high halves, which begin at bit 64 */
};

static inline struct sum plus(struct sum sum, const struct lade_hash_key *key, int i, uint64_t word)
{
	return (struct sum){ sum.low + (u128)key->factor[i].low * word,
			     sum.high + key->factor[i].high * word };
}

uint64_t lade_hash(const struct lade_hash_key *key, const void *bytes, size_t len)
{
	struct sum sum = { key->factor[0].low, key->factor[0].high };
	u128 nh;

	if (__builtin_expect(len > LADE_HASH_BYTES, 0))
		return lade_hash_sip(key->factor[0].low, key->factor[0].high, bytes, len);
	nh = len >= 16 ? long_sum(key->word, bytes, len) : short_sum(key->word, bytes, len);
	nh += len;
	sum = plus(sum, key, 1, (uint64_t)nh);
	sum = plus(sum, key, 2, (uint64_t)(nh >> 64));
	return lade_hash_u64((uint64_t)(sum.low >> 64) + sum.high);
}

int lade_hash_key_random(struct lade_hash_key *ret_key)
{
	unsigned char bytes[sizeof(*ret_key)];

	for (size_t have = 0; have < sizeof(bytes);) {
		ssize_t got = getrandom(bytes + have, sizeof(bytes) - have, 0);

		if (got < 0 && errno != EINTR)
			return -errno;
		have += got > 0 ? (size_t)got : 0;
	}
	memcpy(ret_key, bytes, sizeof(bytes));
	return 0;
}
