// utf8.h: characters of byte strings that may be cut anywhere and need not be valid.
#ifndef TOKENIZER_UTF8_H
#define TOKENIZER_UTF8_H

#include "memory.h"

#define INVALID 0x110000u // + the byte: the code given to a byte that is no part of a character

// utf8_need gives the length of the character that the n bytes at p (n > 0) begin: itself if they are a whole character or
// more, a larger number if they are its valid beginning, and 0 if the first byte cannot be part of one. Strict, as RFC 3629.
static inline uint32_t utf8_need(const uint8_t *p, uint32_t n) {
	uint8_t c = p[0];
	if (c < 0x80) return 1;
	if (c < 0xC2 || c > 0xF4) return 0;
	uint32_t need = c < 0xE0 ? 2 : c < 0xF0 ? 3 : 4;
	if (n > 1) {
		uint8_t low = c == 0xE0 ? 0xA0 : c == 0xF0 ? 0x90 : 0x80, high = c == 0xED ? 0x9F : c == 0xF4 ? 0x8F : 0xBF;
		if (p[1] < low || p[1] > high) return 0;
		for (uint32_t i = 2; i < need && i < n; i++)
			if ((p[i] & 0xC0) != 0x80) return 0;
	}
	return need;
}

// utf8_at reads the character at p < end and gives its length, or 0 if it goes on after end and more may come (open).
static inline uint32_t utf8_at(const uint8_t *p, const uint8_t *end, bool open, uint32_t *code) {
	uint8_t c = p[0];
	*code = c;
	if (c < 0x80) return 1;
	uint32_t left = (uint32_t)(end - p), n = utf8_need(p, left);
	if (n > left && open) return 0;
	if (n == 0 || n > left) {
		*code = INVALID + c;
		return 1;
	}
	*code = n == 2   ? (c & 0x1Fu) << 6 | (p[1] & 0x3Fu)
	        : n == 3 ? (c & 0x0Fu) << 12 | (p[1] & 0x3Fu) << 6 | (p[2] & 0x3Fu)
	                 : (c & 0x07u) << 18 | (p[1] & 0x3Fu) << 12 | (p[2] & 0x3Fu) << 6 | (p[3] & 0x3Fu);
	return n;
}

#endif
