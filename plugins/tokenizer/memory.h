// memory.h: storage of the tokenizer guests: a bump allocator, comparisons, numbers in error texts, and the store of
// token texts with its hash table.
#ifndef TOKENIZER_MEMORY_H
#define TOKENIZER_MEMORY_H

#include "../sdk/c/guest.h"

#define NONE 0xFFFFFFFFu
#define SLACK 32 // bytes that may be read past the end of any text of ours

static uint8_t *heap_at, *heap_end;

// reserve makes sure that bytes can be taken; one growth for all is cheaper for the host than many.
static bool reserve(uint32_t bytes) {
	if ((uint32_t)(heap_end - heap_at) >= bytes) return true;
	uint8_t *p = forge_grow(bytes);
	if (!p) return false;
	if (p != heap_end) heap_at = p;
	heap_end = p + ((bytes + 65535) & ~65535u);
	return true;
}

// take gives zeroed memory, aligned to 64 bytes, or 0.
static void *take(uint32_t bytes) {
	bytes = (bytes + 63) & ~63u;
	if (!reserve(bytes)) return 0;
	void *p = heap_at;
	heap_at += bytes;
	return p;
}

static inline uint64_t load64(const uint8_t *p) {
	uint64_t v;
	__builtin_memcpy(&v, p, 8);
	return v;
}
static inline uint32_t load32(const uint8_t *p) {
	uint32_t v;
	__builtin_memcpy(&v, p, 4);
	return v;
}

// same compares n bytes; it may read up to 7 bytes past them.
static inline bool same(const uint8_t *a, const uint8_t *b, uint32_t n) {
	for (; n > 8; a += 8, b += 8, n -= 8)
		if (load64(a) != load64(b)) return false;
	return n == 0 || (load64(a) ^ load64(b)) << (64 - 8 * n) == 0;
}

// same_exact compares n bytes and reads no others.
static inline bool same_exact(const uint8_t *a, const uint8_t *b, uint32_t n) {
	for (uint32_t i = 0; i < n; i++)
		if (a[i] != b[i]) return false;
	return true;
}

static inline bool is_text(const uint8_t *p, uint32_t n, const char *s) {
	return n == forge_strlen(s) && same_exact(p, (const uint8_t *)s, n);
}

// decimal writes v into a static buffer, of which there are two, used in turn.
static const char *decimal(uint32_t v) {
	static char text[2][12];
	static uint32_t turn;
	char *p = text[turn ^= 1] + 11;
	*p = 0;
	do *--p = (char)('0' + v % 10), v /= 10;
	while (v);
	return p;
}

// printable copies at most 60 bytes of a text for an error message.
static const char *printable(const uint8_t *p, uint32_t n) {
	static char text[64];
	if (n > 60) n = 60;
	for (uint32_t i = 0; i < n; i++) text[i] = p[i] < 32 || p[i] == 127 ? '?' : (char)p[i];
	text[n] = 0;
	return text;
}

static inline uint32_t power_of_two(uint32_t n) {
	uint32_t p = 16;
	while (p < n) p *= 2;
	return p;
}

// The hash of a text is the polynomial sum of (byte + 1) * HASH_BASE^(bytes after it) mod 2^64, so that the hash of a
// stretch follows from the hashes of two prefixes. It only finds a slot: every hit is compared byte by byte.
#define HASH_BASE 0x9E3779B97F4A7C15ull
#define MAX_PIECE 1024 // a longer token is never made by merging

static uint64_t hash_power[MAX_PIECE + 1];

static void hash_init(void) {
	hash_power[0] = 1;
	for (uint32_t i = 1; i <= MAX_PIECE; i++) hash_power[i] = hash_power[i - 1] * HASH_BASE;
}
static inline uint64_t hash_add(uint64_t h, uint8_t c) { return h * HASH_BASE + c + 1; }
static inline uint64_t hash_mix(uint64_t h) {
	h ^= h >> 29;
	return h * 0xBF58476D1CE4E5B9ull;
}
static uint64_t hash_text(const uint8_t *p, uint32_t n) {
	uint64_t h = 0;
	for (uint32_t i = 0; i < n; i++) h = hash_add(h, p[i]);
	return h;
}

// The tokens: texts that decoding gives, their types, and a table from text to id.
static struct {
	uint32_t n;
	uint8_t *texts;
	uint32_t *offsets; // [n+1]
	uint8_t *types;    // [n] FORGE_TOKEN_TYPE_*
	uint32_t longest;  // bytes of the longest text in the table
	uint32_t *slots;   // id + 1 in the low bits, bits of the hash in the others; 0: empty
	uint32_t mask, shift, id_mask;
} tokens;

static inline const uint8_t *token_text(uint32_t id, uint32_t *n) {
	*n = tokens.offsets[id + 1] - tokens.offsets[id];
	return tokens.texts + tokens.offsets[id];
}

// table_bytes is what the table takes for ids below n.
static uint32_t table_bytes(uint32_t n) { return power_of_two(2 * n + 1) * 4; }

static bool table_init(uint32_t n) {
	uint32_t size = power_of_two(2 * n + 1);
	tokens.slots = take(size * 4);
	tokens.mask = size - 1;
	tokens.shift = 64 - (uint32_t)__builtin_ctz(size);
	tokens.id_mask = power_of_two(n + 1) - 1;
	if (tokens.id_mask < n) tokens.id_mask = 2 * tokens.id_mask + 1;
	return tokens.slots != 0;
}

// table_slot finds the slot of the text p[:n] with the mixed hash h, or the empty one where it belongs.
static inline __attribute__((always_inline)) uint32_t *table_slot(const uint8_t *p, uint32_t n, uint64_t h, const uint8_t *(*text_of)(uint32_t id, uint32_t *n)) {
	uint32_t tag = (uint32_t)h & ~tokens.id_mask, m;
	for (uint32_t i = (uint32_t)(h >> tokens.shift);; i = (i + 1) & tokens.mask) {
		uint32_t *slot = &tokens.slots[i];
		if (*slot == 0) return slot;
		if ((*slot & ~tokens.id_mask) != tag) continue;
		const uint8_t *q = text_of((*slot & tokens.id_mask) - 1, &m);
		if (m == n && same(p, q, n)) return slot;
	}
}
static inline void table_set(uint32_t *slot, uint64_t h, uint32_t id) { *slot = ((uint32_t)h & ~tokens.id_mask) | (id + 1); }
static inline uint32_t table_id(const uint32_t *slot) { return *slot ? (*slot & tokens.id_mask) - 1 : NONE; }

#endif
