// words.h: a cache from words of at most 23 bytes to their tokens, one place for each.
#ifndef TOKENIZER_WORDS_H
#define TOKENIZER_WORDS_H

#include "memory.h"

#define WORD_BYTES 23
#define WORD_IDS 9
#define WORDS 32768

struct word {
	uint64_t key[3]; // the bytes, zeros, and the length in the last byte
	uint32_t n, ids[WORD_IDS];
};
static struct word *words;

static bool words_init(void) { return (words = take(WORDS * sizeof(struct word))) != 0; }

// word_key packs n bytes, n from 1 to WORD_BYTES, and gives the word's place.
static inline struct word *word_key(const uint8_t *p, uint32_t n, uint64_t key[3]) {
	uint64_t a = load64(p), b = 0, c = 0;
	if (n < 8) a &= (1ull << 8 * n) - 1;
	if (n > 8) b = n < 16 ? load64(p + 8) & ((1ull << 8 * (n - 8)) - 1) : load64(p + 8);
	if (n > 16) c = load64(p + 16) & ((1ull << 8 * (n - 16)) - 1);
	c |= (uint64_t)n << 56;
	key[0] = a, key[1] = b, key[2] = c;
	uint64_t h = (a ^ c) * 0x9E3779B97F4A7C15ull + b;
	h = (h ^ h >> 32) * 0xD6E8FEB86659FD93ull;
	return &words[h >> (64 - 15)];
}

static inline bool word_is(const struct word *w, const uint64_t key[3]) {
	return w->key[0] == key[0] && w->key[1] == key[1] && w->key[2] == key[2];
}

#endif
