/* SPDX-License-Identifier: MIT */
/* hash_test.c - the hashes give what other implementations give, and mix well. */

#include "base/hash.h"

#include "tap.h"

struct vector {
	size_t len;	/* of the input */
	uint64_t hash;	/* that it must give */
};

/* What Rust's DefaultHasher and Python's hash() under PYTHONHASHSEED=0 give for the bytes
 * 0, 1, 2, … under a key of zeros. */
static const struct vector sip_vectors[] = {
	{ 0, 0xd1fba762150c532c },  { 1, 0x68a914128e01e473 },  { 7, 0x2f098ab0c751325a },
	{ 8, 0xead411e67ebe2eea },  { 9, 0x75927f9d95124362 },  { 15, 0xf30eb725bb91c9ea },
	{ 16, 0x8972188433a5c5b7 }, { 63, 0x385d3e39e5f37359 }, { 64, 0x75e05fd5bbc870c6 },
	{ 65, 0x9551550c825974c6 },
};

/* Computed from the definition with Python's integers, for the bytes 1, 8, 15, … and the
 * key of test_key(). */
static const struct vector universal_vectors[] = {
	{ 0, 0x1f57513b96f10ce3 }, { 1, 0xdba5b8fdd6117956 }, { 2, 0xb6d9c33d763f2e04 },
	{ 3, 0xd42ff52d3293e4b9 }, { 4, 0xc5c12253a120c183 }, { 7, 0xda6b4d8f97d06384 },
	{ 8, 0xe4ef5c19718d07e5 }, { 9, 0x1bfe9a3dbab2c763 }, { 15, 0xc07e6380bb246f32 },
	{ 16, 0x33b44e196697f90d }, { 17, 0x5b2fd4b813f12705 }, { 63, 0xa4cb4e64a6810ea6 },
	{ 64, 0x5db0efa7459fcbbd }, { 65, 0x03164dd94cffecfb }, { 255, 0xa4de51056e9f207d },
	{ 256, 0x51423390c4ca552b },
};

static struct lade_hash_key test_key(void)
{
	struct lade_hash_key key;

	for (uint64_t i = 0; i < LADE_HASH_BYTES / 8; i++)
		key.word[i] = lade_hash_u64(i + 1);
	for (uint64_t i = 0; i < 3; i++) {
		key.factor[i].low = lade_hash_u64(i + 500);
		key.factor[i].high = lade_hash_u64(i + 1000);
	}
	return key;
}

static void short_input_is_hashed_by_nh_and_multilinear(void)
{
	const struct lade_hash_key key = test_key();
	unsigned char bytes[256];

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (unsigned char)(i * 7 + 1);
	for (size_t i = 0; i < sizeof(universal_vectors) / sizeof(struct vector); i++) {
		const struct vector *v = &universal_vectors[i];

		CHECK(lade_hash(&key, bytes, v->len) == v->hash);
	}
}

static void long_input_is_hashed_by_siphash_1_3(void)
{
	const struct lade_hash_key key = test_key();
	unsigned char bytes[300];

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (unsigned char)i;
	for (size_t i = 0; i < sizeof(sip_vectors) / sizeof(struct vector); i++)
		CHECK(lade_hash_sip(0, 0, bytes, sip_vectors[i].len) == sip_vectors[i].hash);
	for (size_t len = 257; len <= sizeof(bytes); len++) {
		CHECK(lade_hash(&key, bytes, len) == lade_hash_sip(key.factor[0].low,
								   key.factor[0].high, bytes, len));
	}
}

static void the_hash_does_not_depend_on_alignment(void)
{
	const struct lade_hash_key key = test_key();
	char bytes[64] = "0123456789abcdefghijklmnopqrstuvwxyz", moved[72];

	for (size_t by = 0; by < 8; by++) {
		memcpy(moved + by, bytes, 36);
		for (size_t len = 0; len <= 36; len++)
			CHECK(lade_hash(&key, moved + by, len) == lade_hash(&key, bytes, len));
	}
}

/* Over random keys each bit of the hashes' difference is set half of the time, whichever
 * byte differs and at whatever length; 4,096 trials, five sigma: 160. */
static void each_byte_changes_half_of_the_output(void)
{
	int changed[64] = { 0 };

	for (int trial = 0; trial < 4096; trial++) {
		unsigned char bytes[300] = { (unsigned char)trial };
		size_t len = (size_t)trial % sizeof(bytes) + 1;
		struct lade_hash_key key = { 0 };
		uint64_t diff;

		CHECK_EQ(lade_hash_key_random(&key), 0);
		diff = lade_hash(&key, bytes, len);
		bytes[(size_t)trial / 7 % len] ^= (unsigned char)(1 << trial % 8);
		diff ^= lade_hash(&key, bytes, len);
		for (int bit = 0; bit < 64; bit++)
			changed[bit] += (int)(diff >> bit & 1);
	}
	for (int bit = 0; bit < 64; bit++)
		CHECK(changed[bit] > 2048 - 160 && changed[bit] < 2048 + 160);
}

/* Numbered names, the usual keys: 100,000 into 65,536 slots by the low bits must collide as
 * often as dice do (88,000 pairs are expected to share; the bound is 20 sigma wide). */
static void numbered_keys_spread_like_dice(void)
{
	static unsigned slots[65536];
	struct lade_hash_key key = { 0 };
	long pairs = 0, expected = 100000L * 99999 / 2 / 65536;

	CHECK_EQ(lade_hash_key_random(&key), 0);
	memset(slots, 0, sizeof(slots));
	for (int i = 0; i < 100000; i++) {
		char name[40];
		int len = snprintf(name, sizeof(name), "http://host/path/%d", i);

		pairs += slots[lade_hash(&key, name, (size_t)len) % 65536]++;
	}
	CHECK(pairs > expected - 6000 && pairs < expected + 6000);
}

static void bytes_that_differ_only_in_length_differ_in_hash(void)
{
	const struct lade_hash_key key = test_key();
	static const char zeros[300];
	uint64_t seen[300];

	for (size_t len = 0; len < 300; len++) {
		seen[len] = lade_hash(&key, zeros, len);
		for (size_t i = 0; i < len; i++)
			CHECK(seen[i] != seen[len]);
	}
}

static void two_random_keys_differ(void)
{
	struct lade_hash_key a = { 0 }, b = { 0 };

	CHECK_EQ(lade_hash_key_random(&a), 0);
	CHECK_EQ(lade_hash_key_random(&b), 0);
	for (size_t i = 0; i < LADE_HASH_BYTES / 8; i++)
		CHECK(a.word[i] != b.word[i]);
	for (size_t i = 0; i < 3; i++)
		CHECK(a.factor[i].low != b.factor[i].low && a.factor[i].high != b.factor[i].high);
}

/* The first outputs of splitmix64 begun at 0, whose finaliser this is. */
static void numbers_are_mixed_as_splitmix64_does(void)
{
	CHECK(lade_hash_u64(0x9e3779b97f4a7c15u) == 0xe220a8397b1dcdafu);
	CHECK(lade_hash_u64(0x9e3779b97f4a7c15u * 2) == 0x6e789e6aa1b965f4u);
}

int main(void)
{
	TAP(short_input_is_hashed_by_nh_and_multilinear);
	TAP(long_input_is_hashed_by_siphash_1_3);
	TAP(the_hash_does_not_depend_on_alignment);
	TAP(each_byte_changes_half_of_the_output);
	TAP(numbered_keys_spread_like_dice);
	TAP(bytes_that_differ_only_in_length_differ_in_hash);
	TAP(two_random_keys_differ);
	TAP(numbers_are_mixed_as_splitmix64_does);
	return tap_done();
}
