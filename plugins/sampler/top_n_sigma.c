// top_n_sigma keeps the candidates whose logit is at least max - n * sigma, with sigma the standard deviation of the
// logits above -inf (Tang et al. 2024, Top-n sigma: not all logits are you need). The order of the table stays.
#include "sampler.h"

// deviation gives the standard deviation of the logits above -inf; max is the highest and finite.
static double deviation(const float *x, uint32_t n, float max) {
	v128_t m = wasm_f64x2_splat(max), none = wasm_f32x4_splat(NEG_INF);
	v128_t sum = wasm_f64x2_splat(0), squares = sum;
	uint32_t i = 0, count = 0;
	// Distances from the maximum keep the squares small where all logits are large.
	for (; i + 4 <= n; i += 4) {
		v128_t v = wasm_v128_load(x + i), valid = wasm_f32x4_gt(v, none); // false for NaN
		count += (uint32_t)__builtin_popcount(wasm_i32x4_bitmask(valid));
		v = wasm_v128_bitselect(v, wasm_f32x4_splat(max), valid);
		v128_t a = wasm_f64x2_sub(wasm_f64x2_promote_low_f32x4(v), m);
		v128_t b = wasm_f64x2_sub(wasm_f64x2_promote_low_f32x4(wasm_i32x4_shuffle(v, v, 2, 3, 2, 3)), m);
		sum = wasm_f64x2_add(sum, wasm_f64x2_add(a, b));
		squares = wasm_f64x2_add(squares, wasm_f64x2_add(wasm_f64x2_mul(a, a), wasm_f64x2_mul(b, b)));
	}
	double s = wasm_f64x2_extract_lane(sum, 0) + wasm_f64x2_extract_lane(sum, 1);
	double q = wasm_f64x2_extract_lane(squares, 0) + wasm_f64x2_extract_lane(squares, 1);
	for (; i < n; i++) {
		if (!(x[i] > NEG_INF)) continue;
		double d = (double)x[i] - (double)max;
		count++, s += d, q += d * d;
	}
	double mean = s / count, variance = q / count - mean * mean;
	return variance > 0 ? wasm_f64x2_extract_lane(wasm_f64x2_sqrt(wasm_f64x2_splat(variance)), 0) : 0;
}

SAMPLER(top_n_sigma) {
	double sigmas = table_param(row, PARAM_TOP_N_SIGMA);
	if (!is_finite(sigmas)) return FORGE_ERR_CONFIG;
	if (sigmas <= 0 || row->n < 2) return FORGE_SKIP;
	float max = table_max(row->logits, row->n);
	if (max == NEG_INF || max == POS_INF) return FORGE_SKIP; // there is no deviation
	float least = table_least((double)max - sigmas * deviation(row->logits, row->n, max));
	uint32_t *positions = (uint32_t *)sampler.list, kept = table_gather(row->logits, row->n, least, positions);
	if (kept == row->n) return FORGE_SKIP;
	table_narrow(row, positions, kept);
	return FORGE_OK;
}
