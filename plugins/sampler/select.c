// select.c: the k candidates that rank first.
//
// A whole row takes one dense pass. It is cut into blocks of 128 logits, and each block into four lanes of 32; the pass
// finds the maximum of each lane. Each lane maximum is a logit of the row, so the k-th highest of them, `bound`, has at
// least k logits at or above it, and only blocks with a lane that reaches it need a second look. At most 32 (k - 1)
// logits exceed the bound; equal ones are taken in ascending id until there are k.
#include "table.h"

enum { BLOCK = 128, GROUP = 32 }; // a group is 32 blocks

#define LOAD(p, i) wasm_v128_load((p) + 4 * (i))
static inline v128_t pmax(v128_t a, v128_t b) { return wasm_f32x4_pmax(a, b); }

// block_maxima gives the four lane maxima of 128 logits, NaN left out.
static inline v128_t block_maxima(const float *p) {
	v128_t none = wasm_f32x4_splat(NEG_INF);
	v128_t d = pmax(none, LOAD(p, 31)), c = pmax(none, LOAD(p, 30)), b = pmax(none, LOAD(p, 29)), a = pmax(none, LOAD(p, 28));
#define STEP(i) d = pmax(d, LOAD(p, i + 3)), c = pmax(c, LOAD(p, i + 2)), b = pmax(b, LOAD(p, i + 1)), a = pmax(a, LOAD(p, i))
	STEP(24), STEP(20), STEP(16), STEP(12), STEP(8), STEP(4), STEP(0);
#undef STEP
	return pmax(pmax(a, b), pmax(c, d));
}

// kth_highest finds the k-th highest of n vectors' lanes, 1 <= k <= 4 n, none of them NaN. It builds the answer's key bit by
// bit from the top, counting each time how many keys reach it, so the time does not depend on the values.
static float kth_highest(const v128_t *values, v128_t *keys, uint32_t n, uint32_t k) {
	for (uint32_t i = 0; i < n; i++) {
		v128_t x = wasm_f32x4_add(values[i], wasm_f32x4_splat(0));
		keys[i] = wasm_v128_xor(x, wasm_u32x4_shr(wasm_i32x4_shr(x, 31), 1)); // order of signed integers
	}
	uint32_t key = 0; // of unsigned order: sign bit flipped
	for (uint32_t bit = 1u << 31; bit; bit >>= 1) {
		v128_t t = wasm_i32x4_splat((int32_t)((key | bit) ^ 0x80000000u)), reached = wasm_i32x4_splat(0);
		for (uint32_t i = 0; i < n; i++) reached = wasm_i32x4_sub(reached, wasm_i32x4_ge(keys[i], t));
		uint32_t count = (uint32_t)(wasm_i32x4_extract_lane(reached, 0) + wasm_i32x4_extract_lane(reached, 1) + wasm_i32x4_extract_lane(reached, 2) +
		                            wasm_i32x4_extract_lane(reached, 3));
		if (count >= k) key |= bit;
	}
	return key_logit(key);
}

typedef struct {
	float bound;
	uint32_t k, above, equal; // how many lie in sampler.list and in sampler.other
} gathering;

// look takes from n logits those above the bound, and those equal to it while fewer than k are known.
static inline void look(gathering *g, const float *x, uint32_t first, uint32_t n) {
	for (uint32_t i = first; i < first + n; i++) {
		if (x[i] > g->bound)
			sampler.list[g->above++] = entry_of(x[i], i);
		else if (g->equal < g->k && (x[i] == g->bound || (x[i] != x[i] && g->bound == NEG_INF)))
			sampler.other[g->equal++] = entry_of(x[i], i);
	}
}

// dense narrows a whole row; k is at most half the number of lanes.
static void dense(forge_row *row, uint32_t k) {
	const float *x = row->logits;
	uint32_t n = row->n, blocks = n / BLOCK, groups = blocks / GROUP;
	v128_t *maxima = sampler.maxima, *scratch = (v128_t *)sampler.list;
	v128_t *tops = (v128_t *)sampler.other;
	uint32_t b = 0;
	for (uint32_t g = 0; g < groups; g++) {
		v128_t top = wasm_f32x4_splat(NEG_INF);
		for (uint32_t end = b + GROUP; b < end; b++) {
			v128_t m = maxima[b] = block_maxima(x + b * BLOCK);
			top = pmax(top, m);
		}
		tops[g] = top;
	}
	for (; b < blocks; b++) maxima[b] = block_maxima(x + b * BLOCK);

	// The same argument a level up thins out the maxima before they are ranked.
	float bound = 4 * groups >= k ? kth_highest(tops, scratch, groups, k) : NEG_INF;
	uint32_t n_hits = 0;
	v128_t t = wasm_f32x4_splat(bound), *high = (v128_t *)sampler.other;
	for (b = 0; b < blocks; b++) {
		if (!wasm_v128_any_true(wasm_f32x4_ge(maxima[b], t))) continue;
		high[n_hits] = maxima[b];
		sampler.hits[n_hits++] = b;
	}
	gathering g = {.bound = kth_highest(high, scratch, n_hits, k), .k = k};
	t = wasm_f32x4_splat(g.bound);
	for (uint32_t h = 0; h < n_hits; h++) {
		b = sampler.hits[h];
		if (!wasm_v128_any_true(wasm_f32x4_ge(maxima[b], t))) continue;
		const float *p = x + b * BLOCK;
		for (uint32_t i = 0; i < BLOCK; i += 16) {
			const float *q = p + i;
			v128_t high2 = wasm_v128_or(wasm_f32x4_ge(LOAD(q, 3), t), wasm_f32x4_ge(LOAD(q, 2), t));
			v128_t low2 = wasm_v128_or(wasm_f32x4_ge(LOAD(q, 1), t), wasm_f32x4_ge(LOAD(q, 0), t));
			if (g.bound == NEG_INF || wasm_v128_any_true(wasm_v128_or(low2, high2))) look(&g, x, b * BLOCK + i, 16);
		}
	}
	look(&g, x, blocks * BLOCK, n - blocks * BLOCK);
	for (uint32_t i = 0; g.above < k; i++) sampler.list[g.above++] = sampler.other[i];
	table_rank(sampler.list, sampler.other, g.above, true);
	table_put(row, sampler.list, k);
}

// wide serves any k and any table: it counts the keys by their upper 12 bits, and ranks the candidates of the bins that
// hold the first k.
static void wide(forge_row *row, uint32_t k) {
	static uint32_t bins[4096];
	memset(bins, 0, sizeof bins);
	for (uint32_t i = 0; i < row->n; i++) bins[key_of(row->logits[i]) >> 20]++;
	uint32_t bin = 4096, held = 0;
	while (held < k) held += bins[--bin];
	if (bin > key_of(NEG_INF) >> 20) {
		uint32_t *positions = (uint32_t *)sampler.list;
		table_narrow(row, positions, table_gather(row->logits, row->n, key_logit(bin << 20), positions));
	}
	table_sort(row);
	row->n = k;
}

void table_top(forge_row *row, uint32_t k) {
	if (table_sorted(row))
		row->n = k;
	else if (table_whole(row) && row->n >= 4 * BLOCK && k <= row->n / BLOCK * 2)
		dense(row, k);
	else
		wide(row, k);
}
