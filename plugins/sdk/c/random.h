// random.h: the ABI's counter-based generator, Philox4x32-10 of Salmon et al., Parallel random numbers: as easy as 1, 2,
// 3 (SC 2011): ten rounds of two 32 x 32 -> 64 bit products, xors and a key that grows by two constants.
#ifndef FORGE_RANDOM_H
#define FORGE_RANDOM_H

#include <stdint.h>

// forge_philox replaces the counter by its four random words.
static inline void forge_philox(uint32_t key0, uint32_t key1, uint32_t counter[4]) {
	for (int round = 0; round < 10; round++) {
		uint64_t a = 0xD2511F53ull * counter[0], b = 0xCD9E8D57ull * counter[2];
		uint32_t c1 = counter[1], c3 = counter[3];
		counter[0] = (uint32_t)(b >> 32) ^ c1 ^ key0;
		counter[1] = (uint32_t)b;
		counter[2] = (uint32_t)(a >> 32) ^ c3 ^ key1;
		counter[3] = (uint32_t)a;
		key0 += 0x9E3779B9u, key1 += 0xBB67AE85u;
	}
}

// forge_uniform gives draw number `draw` of the stream that seed names: a multiple of 2^-24 in [0, 1).
static inline double forge_uniform(uint64_t seed, uint64_t draw) {
	uint32_t counter[4] = {(uint32_t)draw, (uint32_t)(draw >> 32), 0, 0};
	forge_philox((uint32_t)seed, (uint32_t)(seed >> 32), counter);
	return (double)(counter[0] >> 8) * 0x1p-24;
}

#endif
