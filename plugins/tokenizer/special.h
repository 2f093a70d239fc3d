// special.h: finds the texts of special tokens (user-defined ones always, control and unknown ones on demand) in raw text.
// Where they overlap, the longest token of all wins, wherever it stands; then the one that comes first in the vocabulary,
// then the leftmost occurrence: as if the text were searched for one token after the other, longest first, which is what
// llama.cpp does. Here it is decided from left to right, as far as the text is known.
#ifndef TOKENIZER_SPECIAL_H
#define TOKENIZER_SPECIAL_H

#include "memory.h"

static struct {
	uint32_t n_nodes;
	struct edge {
		uint32_t key, to; // key: node * 256 + byte; to 0: empty
	} *edges;
	uint32_t mask;
	uint32_t *ids;   // [node] id + 1 of the token that ends here
	uint8_t *inner;  // [node] has children
	uint8_t *start[2]; // [mode] a bit for each pair of first bytes; mode 1: control tokens too
	uint8_t first[2][256], single[2][256];
} special;

static inline bool is_special_type(uint32_t type) {
	return type == FORGE_TOKEN_TYPE_CONTROL || type == FORGE_TOKEN_TYPE_USER_DEFINED || type == FORGE_TOKEN_TYPE_UNKNOWN;
}

static inline uint32_t edge_slot(uint32_t key) { return (key * 0x9E3779B1u) >> 7; }

static inline uint32_t edge_find(uint32_t node, uint8_t c) {
	uint32_t key = node << 8 | c;
	for (uint32_t i = edge_slot(key) & special.mask;; i = (i + 1) & special.mask) {
		if (special.edges[i].to == 0) return 0;
		if (special.edges[i].key == key) return special.edges[i].to;
	}
}

// special_init makes room for tokens of bytes altogether.
static bool special_init(uint32_t bytes) {
	uint32_t size = power_of_two(2 * bytes + 2);
	special.n_nodes = 1;
	special.mask = size - 1;
	special.edges = take(size * sizeof(struct edge));
	special.ids = take((bytes + 1) * 4);
	special.inner = take(bytes + 1);
	special.start[0] = take(8192);
	special.start[1] = take(8192);
	return special.start[1] != 0;
}

static void special_add(uint32_t id, const uint8_t *p, uint32_t n) {
	if (n == 0) return;
	uint32_t node = 0;
	for (uint32_t i = 0; i < n; i++) {
		uint32_t key = node << 8 | p[i], at = edge_slot(key) & special.mask;
		while (special.edges[at].to && special.edges[at].key != key) at = (at + 1) & special.mask;
		if (!special.edges[at].to) special.edges[at] = (struct edge){key, special.n_nodes++};
		special.inner[node] = 1;
		node = special.edges[at].to;
	}
	if (!special.ids[node]) special.ids[node] = id + 1;
	for (uint32_t mode = tokens.types[id] != FORGE_TOKEN_TYPE_USER_DEFINED; mode < 2; mode++) {
		special.first[mode][p[0]] = 1;
		if (n == 1) special.single[mode][p[0]] = 1;
		else special.start[mode][p[0] << 5 | p[1] >> 3] |= (uint8_t)(1 << (p[1] & 7));
	}
}

// special_maybe tells quickly that no special token starts at p; end is where the text ends, open that it may go on.
static inline bool special_maybe(const uint8_t *p, const uint8_t *end, bool open, uint32_t mode) {
	if (!special.first[mode][p[0]]) return false;
	if (special.single[mode][p[0]]) return true;
	if (p + 1 == end) return open;
	return special.start[mode][p[0] << 5 | p[1] >> 3] >> (p[1] & 7) & 1;
}

// special_longest gives the length of the longest special token at p that ends by hi, 0 if none, -1 if it depends on
// text that is still to come.
static int32_t special_longest(const uint8_t *p, const uint8_t *hi, bool open, uint32_t mode, uint32_t *id) {
	if (!special_maybe(p, hi, open, mode)) return 0;
	int32_t best = 0;
	uint32_t node = 0;
	for (const uint8_t *q = p;; q++) {
		if (q == hi) return open && special.inner[node] ? -1 : best;
		node = edge_find(node, *q);
		if (!node) return best;
		uint32_t token = special.ids[node];
		if (token && (mode || tokens.types[token - 1] == FORGE_TOKEN_TYPE_USER_DEFINED)) best = (int32_t)(q + 1 - p), *id = token - 1;
	}
}

// special_at decides whether a special token starts at p, given that all before p is settled: its length, 0 or -1 as above.
// From the longest token at p a chain leads on to the best one that starts within it and beats it, and so on; the chain's
// last cannot be beaten, so it stands, and p is decided anew for the text before it.
static int32_t special_at(const uint8_t *p, const uint8_t *end, bool open, uint32_t mode, uint32_t *id) {
	for (const uint8_t *hi = end;;) {
		int32_t n = special_longest(p, hi, open, mode, id);
		if (n <= 0) return n;
		const uint8_t *at = p;
		int32_t length = n;
		uint32_t token = *id;
		for (;;) {
			const uint8_t *next = 0;
			int32_t best = length;
			uint32_t best_token = token;
			for (const uint8_t *q = at + 1; q < at + length; q++) {
				uint32_t other;
				int32_t m = special_longest(q, hi, open, mode, &other);
				if (m < 0) return -1;
				if (m > best || (m == best && other < best_token)) next = q, best = m, best_token = other;
			}
			if (!next) break;
			at = next, length = best, token = best_token;
		}
		if (at == p) return n;
		hi = at, open = false;
	}
}

#endif
