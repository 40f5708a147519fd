/* SPDX-License-Identifier: MIT */
/* hash.c - SipHash-1-3.
 *
 * DESIGN
 * The faster unkeyed mixers (wyhash and its kin) have inputs that collide under every
 * seed, because a factor can be made zero; cache keys are URLs, which strangers choose.
 * One round per word and three at the end is the variant that hash tables use: it is not
 * a message authentication code, and here it need not be. */

#include "base/hash.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

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

uint64_t lade_hash(const struct lade_hash_key *key, const void *bytes, size_t len)
{
	const unsigned char *p = bytes, *words_end = p + (len & ~(size_t)7);
	struct sip s = {
		.v0 = key->k0 ^ 0x736f6d6570736575u,
		.v1 = key->k1 ^ 0x646f72616e646f6du,
		.v2 = key->k0 ^ 0x6c7967656e657261u,
		.v3 = key->k1 ^ 0x7465646279746573u,
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

int lade_hash_key_random(struct lade_hash_key *ret_key)
{
	struct lade_hash_key key;

	/* Up to 256 bytes come in one piece, without a signal in between (getrandom(2)). */
	while (getrandom(&key, sizeof(key), 0) != sizeof(key)) {
		if (errno != EINTR)
			return -errno;
	}
	*ret_key = key;
	return 0;
}
