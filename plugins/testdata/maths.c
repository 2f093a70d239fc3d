// maths exports the SDK's functions and the samplers' SIMD weights one by one for the tests. It is no plugin.
#include "math.h"
#include "random.h"
#include "table.h"

static uint32_t words[6]; // philox: key, counter
static float values[4096], weights[4096];

FORGE_EXPORT(exp) double test_exp(double x) { return forge_exp(x); }
FORGE_EXPORT(exp_pair) double test_exp_pair(double x, double other, int32_t lane) {
	v128_t y = forge_exp_pair(lane ? wasm_f64x2_make(other, x) : wasm_f64x2_make(x, other));
	return lane ? wasm_f64x2_extract_lane(y, 1) : wasm_f64x2_extract_lane(y, 0);
}
FORGE_EXPORT(log) double test_log(double x) { return forge_log(x); }
FORGE_EXPORT(words) uint32_t *test_words(void) { return words; }
FORGE_EXPORT(philox) void test_philox(void) { forge_philox(words[0], words[1], words + 2); }
FORGE_EXPORT(values) float *test_values(void) { return values; }
FORGE_EXPORT(weights) float *test_weights(uint32_t n, float max) {
	table_weights(values, n, max, weights);
	return weights;
}
FORGE_EXPORT(sum) double test_sum(uint32_t n, float max) { return table_sum(values, n, max); }
