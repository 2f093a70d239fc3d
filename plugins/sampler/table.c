// The passes over a table: maximum, softmax weights, selection by threshold, ranking.
#include "table.h"
#include "math.h"

// A block is read with its last vector first: the sandbox checks the bound of the farthest access once and then need
// not check the nearer ones.
#define LOAD(p, i) wasm_v128_load((p) + 4 * (i))
#define SPREAD(x) wasm_f32x4_splat(x)
static inline v128_t pmax(v128_t a, v128_t b) { return wasm_f32x4_pmax(a, b); } // a < b ? b : a, so a NaN in b is dropped

static inline float lanes_max(v128_t v) {
	float m = NEG_INF;
	for (int i = 0; i < 4; i++) {
		float x = ((const float *)&v)[i];
		if (x > m) m = x;
	}
	return m;
}

float table_max(const float *x, uint32_t n) {
	v128_t a = SPREAD(NEG_INF), b = a, c = a, d = a;
	uint32_t i = 0;
	for (; i + 64 <= n; i += 64) {
		const float *p = x + i;
		d = pmax(d, LOAD(p, 15)), c = pmax(c, LOAD(p, 14)), b = pmax(b, LOAD(p, 13)), a = pmax(a, LOAD(p, 12));
		d = pmax(d, LOAD(p, 11)), c = pmax(c, LOAD(p, 10)), b = pmax(b, LOAD(p, 9)), a = pmax(a, LOAD(p, 8));
		d = pmax(d, LOAD(p, 7)), c = pmax(c, LOAD(p, 6)), b = pmax(b, LOAD(p, 5)), a = pmax(a, LOAD(p, 4));
		d = pmax(d, LOAD(p, 3)), c = pmax(c, LOAD(p, 2)), b = pmax(b, LOAD(p, 1)), a = pmax(a, LOAD(p, 0));
	}
	float m = lanes_max(pmax(pmax(a, b), pmax(c, d)));
	for (; i < n; i++)
		if (x[i] > m) m = x[i];
	return m;
}

uint32_t table_first(const forge_row *row) {
	const float *x = row->logits;
	uint32_t n = row->n, best = n, i = 0;
	float max = table_max(x, n);
	if (max == NEG_INF) return n;
	v128_t m = SPREAD(max);
	bool ascending = table_whole(row) || table_sorted(row); // equal logits stand by ascending id
	while (i < n) {
		uint32_t count = n - i < 16 ? n - i : 16;
		if (count == 16) { // most blocks have none
			const float *p = x + i;
			v128_t high = wasm_v128_or(wasm_f32x4_eq(LOAD(p, 3), m), wasm_f32x4_eq(LOAD(p, 2), m));
			v128_t low = wasm_v128_or(wasm_f32x4_eq(LOAD(p, 1), m), wasm_f32x4_eq(LOAD(p, 0), m));
			if (!wasm_v128_any_true(wasm_v128_or(high, low))) count = 0, i += 16;
		}
		for (; count > 0; count--, i++) {
			if (x[i] != max) continue;
			if (ascending) return i;
			if (best == n || row->ids[i] < row->ids[best]) best = i;
		}
	}
	return best;
}

// ---- weights ------------------------------------------------------------------------------------------------------

// weights4 gives exp(x - max) of four logits, 0 below max - 87.3 and for NaN. 2^t = 2^k 2^f with k the nearest integer
// to t and f in [-1/2, 1/2]; 2^f by a polynomial of degree 5 fitted for least relative error with 2^0 = 1 exactly
// (1.8e-7 with its own rounding). Adding 1.5 * 2^23 rounds t and leaves k in the low bits, ready to be shifted into the
// exponent. The relative error is at most 1.8e-7 + 1.3e-7 |x - max|: the second term is the rounding of x - max and t.
static inline v128_t weights4(v128_t x, v128_t max) {
	v128_t t = wasm_f32x4_mul(wasm_f32x4_sub(x, max), SPREAD(1.44269504f));
	v128_t z = wasm_f32x4_add(t, SPREAD(12582912.0f));
	v128_t f = wasm_f32x4_sub(t, wasm_f32x4_sub(z, SPREAD(12582912.0f)));
	v128_t p = wasm_f32x4_add(wasm_f32x4_mul(f, SPREAD(0x1.5bda3cp-10f)), SPREAD(0x1.3ce8acp-7f));
	p = wasm_f32x4_add(wasm_f32x4_mul(p, f), SPREAD(0x1.c6b6d8p-5f));
	p = wasm_f32x4_add(wasm_f32x4_mul(p, f), SPREAD(0x1.ebf9c2p-3f));
	p = wasm_f32x4_add(wasm_f32x4_mul(p, f), SPREAD(0x1.62e42ap-1f));
	p = wasm_f32x4_add(wasm_f32x4_mul(p, f), SPREAD(1.0f));
	v128_t y = wasm_i32x4_add(p, wasm_i32x4_shl(z, 23));
	return wasm_v128_and(y, wasm_f32x4_ge(t, SPREAD(-126.0f)));
}

// tail4 reads the last n < 4 logits, the missing ones as -inf.
static inline v128_t tail4(const float *x, uint32_t n) {
	v128_t v = SPREAD(NEG_INF);
	for (uint32_t i = 0; i < n; i++) ((float *)&v)[i] = x[i];
	return v;
}

double table_sum(const float *x, uint32_t n, float max) {
	if (max == POS_INF) {
		double count = 0;
		for (uint32_t i = 0; i < n; i++) count += x[i] == POS_INF;
		return count;
	}
	v128_t m = SPREAD(max), low = wasm_f64x2_splat(0), high = low;
	uint32_t i = 0;
	// Four vectors are added in float32 and then go into the float64 sums: two more roundings of 6e-8 at a quarter of the cost.
	for (; i + 16 <= n; i += 16) {
		const float *p = x + i;
		v128_t d = weights4(LOAD(p, 3), m), c = weights4(LOAD(p, 2), m), b = weights4(LOAD(p, 1), m), a = weights4(LOAD(p, 0), m);
		v128_t s = wasm_f32x4_add(wasm_f32x4_add(a, b), wasm_f32x4_add(c, d));
		low = wasm_f64x2_add(low, wasm_f64x2_promote_low_f32x4(s));
		high = wasm_f64x2_add(high, wasm_f64x2_promote_low_f32x4(wasm_i32x4_shuffle(s, s, 2, 3, 2, 3)));
	}
	for (; i < n; i += 4) {
		v128_t s = weights4(n - i < 4 ? tail4(x + i, n - i) : LOAD(x + i, 0), m);
		low = wasm_f64x2_add(low, wasm_f64x2_promote_low_f32x4(s));
		high = wasm_f64x2_add(high, wasm_f64x2_promote_low_f32x4(wasm_i32x4_shuffle(s, s, 2, 3, 2, 3)));
	}
	low = wasm_f64x2_add(low, high);
	return wasm_f64x2_extract_lane(low, 0) + wasm_f64x2_extract_lane(low, 1);
}

void table_weights(const float *x, uint32_t n, float max, float *w) {
	if (max == POS_INF) {
		for (uint32_t i = 0; i < n; i++) w[i] = x[i] == POS_INF;
		return;
	}
	v128_t m = SPREAD(max);
	uint32_t i = 0;
	for (; i + 4 <= n; i += 4) wasm_v128_store(w + i, weights4(LOAD(x + i, 0), m));
	if (i < n) {
		v128_t s = weights4(tail4(x + i, n - i), m);
		for (uint32_t j = 0; i < n; i++, j++) w[i] = ((const float *)&s)[j];
	}
}

double table_weight(float logit, float max) {
	if (logit == max) return 1;
	return logit > NEG_INF ? forge_exp((double)logit - (double)max) : 0;
}

double table_mean(const forge_row *row, float max, double *sum) {
	const float *x = row->logits;
	uint32_t n = row->n;
	double total = 0, mean = 0;
	if (n <= TABLE_EXACT || max == POS_INF) {
		for (uint32_t i = 0; i < n; i++) {
			double w = table_weight(x[i], max);
			total += w;
			if (w > 0 && x[i] != max) mean += w * ((double)x[i] - (double)max);
		}
		*sum = total;
		return mean / total;
	}
	v128_t m = SPREAD(max), low = wasm_f64x2_splat(0), high = low, none = low, d_low = low, d_high = low;
	for (uint32_t i = 0; i < n; i += 4) {
		v128_t v = n - i < 4 ? tail4(x + i, n - i) : LOAD(x + i, 0), w = weights4(v, m);
		// A weight of 0 has a difference of -inf or NaN, which must not count.
		v128_t d = wasm_v128_and(wasm_f32x4_mul(w, wasm_f32x4_sub(v, m)), wasm_f32x4_gt(w, none));
		low = wasm_f64x2_add(low, wasm_f64x2_promote_low_f32x4(w));
		high = wasm_f64x2_add(high, wasm_f64x2_promote_low_f32x4(wasm_i32x4_shuffle(w, w, 2, 3, 2, 3)));
		d_low = wasm_f64x2_add(d_low, wasm_f64x2_promote_low_f32x4(d));
		d_high = wasm_f64x2_add(d_high, wasm_f64x2_promote_low_f32x4(wasm_i32x4_shuffle(d, d, 2, 3, 2, 3)));
	}
	low = wasm_f64x2_add(low, high), d_low = wasm_f64x2_add(d_low, d_high);
	*sum = wasm_f64x2_extract_lane(low, 0) + wasm_f64x2_extract_lane(low, 1);
	return (wasm_f64x2_extract_lane(d_low, 0) + wasm_f64x2_extract_lane(d_low, 1)) / *sum;
}

// ---- ranking ------------------------------------------------------------------------------------------------------

static void insertion(uint64_t *a, uint32_t n) {
	for (uint32_t i = 1; i < n; i++) {
		uint64_t e = a[i];
		uint32_t j = i;
		for (; j > 0 && a[j - 1] < e; j--) a[j] = a[j - 1];
		a[j] = e;
	}
}

// radix sorts by the bytes from `first` up, each pass stable; bytes that are equal everywhere cost nothing but the count.
static inline void radix(uint64_t *a, uint64_t *scratch, uint32_t n, const uint32_t first) {
	static uint32_t count[8][256];
	memset(count, 0, sizeof count);
	for (uint32_t i = 0; i < n; i++) {
		uint64_t e = a[i];
		for (uint32_t d = first; d < 8; d++) count[d][e >> (8 * d) & 255]++;
	}
	uint64_t *from = a, *to = scratch;
	for (uint32_t d = first; d < 8; d++) {
		if (count[d][from[0] >> (8 * d) & 255] == n) continue;
		uint32_t sum = 0;
		for (int32_t v = 255; v >= 0; v--) {
			uint32_t c = count[d][v];
			count[d][v] = sum;
			sum += c;
		}
		for (uint32_t i = 0; i < n; i++) {
			uint64_t e = from[i];
			to[count[d][e >> (8 * d) & 255]++] = e;
		}
		uint64_t *t = from;
		from = to, to = t;
	}
	if (from != a) memcpy(a, from, n * sizeof *a);
}

void table_rank(uint64_t *a, uint64_t *scratch, uint32_t n, bool ascending) {
	uint32_t down = 1, up = 1;
	while (down < n && a[down - 1] >= a[down]) down++;
	while (up < n && a[up - 1] <= a[up]) up++;
	if (down >= n) return; // equal logits are often in order
	if (up >= n) {
		for (uint32_t i = 0, j = n - 1; i < j; i++, j--) {
			uint64_t e = a[i];
			a[i] = a[j], a[j] = e;
		}
	} else if (n <= 48)
		insertion(a, n);
	else if (ascending)
		radix(a, scratch, n, 4); // stability ranks equal logits: the ids need no pass
	else
		radix(a, scratch, n, 0);
}

uint32_t table_gather(const float *x, uint32_t n, float threshold, uint32_t *positions) {
	v128_t t = SPREAD(threshold);
	uint32_t i = 0, m = 0;
	for (; i + 16 <= n; i += 16) {
		const float *p = x + i;
		v128_t d = wasm_f32x4_ge(LOAD(p, 3), t), c = wasm_f32x4_ge(LOAD(p, 2), t), b = wasm_f32x4_ge(LOAD(p, 1), t), a = wasm_f32x4_ge(LOAD(p, 0), t);
		uint32_t hits = wasm_i8x16_bitmask(wasm_i8x16_narrow_i16x8(wasm_i16x8_narrow_i32x4(a, b), wasm_i16x8_narrow_i32x4(c, d)));
		for (; hits; hits &= hits - 1) positions[m++] = i + (uint32_t)__builtin_ctz(hits);
	}
	for (; i < n; i++)
		if (x[i] >= threshold) positions[m++] = i;
	return m;
}

void table_narrow(forge_row *row, const uint32_t *positions, uint32_t n) {
	float *x = row->logits;
	uint32_t *ids = row->ids;
	for (uint32_t i = 0; i < n; i++) x[i] = x[positions[i]];
	if (table_whole(row))
		memcpy(ids, positions, n * sizeof *ids);
	else
		for (uint32_t i = 0; i < n; i++) ids[i] = ids[positions[i]];
	row->n = n;
	row->flags &= ~(uint32_t)FORGE_ROW_FLAG_WHOLE;
}

void table_put(forge_row *row, const uint64_t *entries, uint32_t n) {
	for (uint32_t i = 0; i < n; i++) {
		row->logits[i] = entry_logit(entries[i]);
		row->ids[i] = entry_id(entries[i]);
	}
	row->n = n;
	row->flags = (row->flags & ~(uint32_t)FORGE_ROW_FLAG_WHOLE) | FORGE_ROW_FLAG_SORTED;
}

void table_sort(forge_row *row) {
	if (table_sorted(row)) return;
	bool ascending = true;
	uint32_t last = 0;
	for (uint32_t i = 0; i < row->n; i++) {
		uint32_t id = table_id(row, i);
		ascending &= i == 0 || id > last;
		last = id;
		sampler.list[i] = entry_of(row->logits[i], id);
	}
	table_rank(sampler.list, sampler.other, row->n, ascending);
	table_put(row, sampler.list, row->n);
}

void table_divide(forge_row *row, double temp) {
	float *x = row->logits, t = (float)temp;
	v128_t divisor = SPREAD(t);
	uint32_t n = row->n, i = 0;
	for (; i + 16 <= n; i += 16)
		for (uint32_t j = 4; j-- > 0;) wasm_v128_store(x + i + 4 * j, wasm_f32x4_div(LOAD(x + i + 4 * j, 0), divisor));
	for (; i < n; i++) x[i] /= t;
	// Rounding can make neighbours equal whose ids descend.
	if (table_sorted(row))
		for (uint32_t j = 1; j < n; j++)
			if (x[j - 1] == x[j] && table_id(row, j - 1) > table_id(row, j)) row->flags &= ~(uint32_t)FORGE_ROW_FLAG_SORTED;
}

// ---- the instance -------------------------------------------------------------------------------------------------

sampler_state sampler;

int32_t table_init(forge_init *frame, uint32_t n_params) {
	if (frame->head.size < sizeof *frame) return FORGE_FAIL(frame, FORGE_ERR_ABI, "the init frame is shorter than that of ABI " FORGE_ABI);
	if (frame->config_len < n_params) return FORGE_FAIL(frame, FORGE_ERR_ABI, "the host gives fewer settings than the manifest has");
	for (uint32_t i = 0; i < n_params; i++) sampler.config[i] = frame->config[i];
	uint32_t n = sampler.n_vocab = frame->n_vocab, blocks = n / 128 + 1;
	if (n == 0) return FORGE_FAIL(frame, FORGE_ERR_ARG, "a sampler needs to know the size of the vocabulary, and n_vocab is 0");
	if (n > 1u << 26) return FORGE_FAIL(frame, FORGE_ERR_NOMEM, "the vocabulary has more than 67108864 tokens");
	uint8_t *at = forge_grow(blocks * 20 + n * 20 + 64);
	if (!at) return FORGE_FAIL(frame, FORGE_ERR_NOMEM, "memory for the sampler's working tables was refused; raise the plugin's page limit");
	sampler.maxima = (v128_t *)at, at += blocks * 16;
	sampler.list = (uint64_t *)at, at += n * 8;
	sampler.other = (uint64_t *)at, at += n * 8;
	sampler.counts = (uint32_t *)at, at += n * 4;
	sampler.hits = (uint32_t *)at;
	return FORGE_OK;
}

int32_t table_check(forge_rows *frame) {
	if (frame->head.size < sizeof *frame) return FORGE_FAIL(frame, FORGE_ERR_ABI, "the rows frame is shorter than that of ABI " FORGE_ABI);
	for (uint32_t i = 0; i < frame->n_rows; i++) {
		const forge_row *row = &frame->rows[i];
		if (row->n > sampler.n_vocab) return FORGE_FAIL(frame, FORGE_ERR_ARG, "a row has more candidates than the vocabulary that forge_init was told of");
		if (table_whole(row) && row->n != frame->n_vocab) return FORGE_FAIL(frame, FORGE_ERR_ARG, "a whole row has another length than n_vocab");
	}
	return FORGE_OK;
}
