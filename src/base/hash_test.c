/* SPDX-License-Identifier: MIT */
/* hash_test.c - SipHash-1-3 gives what other implementations give, and mixes well. */

#include "base/hash.h"

#include "tap.h"

/* What Rust's DefaultHasher and Python's hash() under PYTHONHASHSEED=0 give for the bytes
 * 0, 1, 2, … under a key of zeros. */
static const struct {
	size_t len;
	uint64_t hash;
} vectors[] = {
	{ 0, 0xd1fba762150c532c },  { 1, 0x68a914128e01e473 },  { 7, 0x2f098ab0c751325a },
	{ 8, 0xead411e67ebe2eea },  { 9, 0x75927f9d95124362 },  { 15, 0xf30eb725bb91c9ea },
	{ 16, 0x8972188433a5c5b7 }, { 63, 0x385d3e39e5f37359 }, { 64, 0x75e05fd5bbc870c6 },
	{ 65, 0x9551550c825974c6 },
};

static void the_hash_is_siphash_1_3(void)
{
	const struct lade_hash_key zero = { 0, 0 };
	unsigned char bytes[65];

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (unsigned char)i;
	for (size_t i = 0; i < sizeof(vectors) / sizeof(*vectors); i++)
		CHECK(lade_hash(&zero, bytes, vectors[i].len) == vectors[i].hash);
}

static void the_hash_does_not_depend_on_alignment(void)
{
	const struct lade_hash_key key = { 1, 2 };
	char bytes[64] = "0123456789abcdefghijklmnopqrstuvwxyz", moved[72];
	uint64_t want = lade_hash(&key, bytes, 36);

	for (size_t by = 0; by < 8; by++) {
		memcpy(moved + by, bytes, 36);
		CHECK(lade_hash(&key, moved + by, 36) == want);
	}
}

/* Each of the 64 bits should change half of the time; 4,096 trials, five sigma: 160. */
static void each_bit_of_input_and_key_changes_half_of_the_output(void)
{
	int changed[64] = { 0 };

	for (int trial = 0; trial < 4096; trial++) {
		struct lade_hash_key key = { (uint64_t)trial * 0x9e3779b97f4a7c15u, 77 };
		unsigned char bytes[16] = { (unsigned char)trial, (unsigned char)(trial >> 8) };
		uint64_t before = lade_hash(&key, bytes, sizeof(bytes)), diff;

		if (trial % 4 == 0)
			key.k0 ^= (uint64_t)1 << trial / 4 % 64;
		else if (trial % 4 == 1)
			key.k1 ^= (uint64_t)1 << trial / 4 % 64;
		else
			bytes[trial / 4 % 16] ^= (unsigned char)(1 << trial / 64 % 8);
		diff = before ^ lade_hash(&key, bytes, sizeof(bytes));
		for (int bit = 0; bit < 64; bit++)
			changed[bit] += (int)(diff >> bit & 1);
	}
	for (int bit = 0; bit < 64; bit++)
		CHECK(changed[bit] > 2048 - 160 && changed[bit] < 2048 + 160);
}

static void bytes_that_differ_only_in_length_differ_in_hash(void)
{
	const struct lade_hash_key key = { 3, 4 };
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
	struct lade_hash_key a = { 0, 0 }, b = { 0, 0 };

	CHECK_EQ(lade_hash_key_random(&a), 0);
	CHECK_EQ(lade_hash_key_random(&b), 0);
	CHECK(a.k0 != b.k0 && a.k1 != b.k1);
}

/* The first outputs of splitmix64 begun at 0, whose finaliser this is. */
static void numbers_are_mixed_as_splitmix64_does(void)
{
	CHECK(lade_hash_u64(0x9e3779b97f4a7c15u) == 0xe220a8397b1dcdafu);
	CHECK(lade_hash_u64(0x9e3779b97f4a7c15u * 2) == 0x6e789e6aa1b965f4u);
}

int main(void)
{
	TAP(the_hash_is_siphash_1_3);
	TAP(the_hash_does_not_depend_on_alignment);
	TAP(each_bit_of_input_and_key_changes_half_of_the_output);
	TAP(bytes_that_differ_only_in_length_differ_in_hash);
	TAP(two_random_keys_differ);
	TAP(numbers_are_mixed_as_splitmix64_does);
	return tap_done();
}
