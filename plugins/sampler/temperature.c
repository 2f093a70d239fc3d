// temperature divides the logits by temp: each is multiplied by 1/temp rounded to float32, so the result lies within 1.5
// units in the last place of logit / temp. A temp of 0 or less (or so small that its inverse overflows) keeps the best
// candidate alone. With a dynatemp_range above 0, dynatemp.c chooses the temperature for each row.
#include "sampler.h"

SAMPLER(temperature) {
	double temp = table_param(row, PARAM_TEMP);
	double range = table_param(row, PARAM_DYNATEMP_RANGE), exponent = table_param(row, PARAM_DYNATEMP_EXPONENT);
	if (!is_finite(temp) || !is_finite(range) || !is_finite(exponent)) return FORGE_ERR_CONFIG;
	if (range > 0) {
		if (row->n < 2) return FORGE_SKIP;
		temp = dynatemp(row, temp, range, exponent);
	}
	float factor = (float)(1 / temp);
	if (temp <= 0 || factor > 3.4e38f) {
		uint32_t best = table_first(row);
		if (best == row->n) return FORGE_SKIP;
		uint64_t entry = entry_of(row->logits[best], table_id(row, best));
		table_put(row, &entry, 1);
		return FORGE_OK;
	}
	if (temp == 1 || row->n == 0) return FORGE_SKIP;
	float *x = row->logits;
	v128_t f = wasm_f32x4_splat(factor);
	uint32_t n = row->n, i = 0;
	for (; i + 16 <= n; i += 16)
		for (uint32_t j = 4; j-- > 0;) wasm_v128_store(x + i + 4 * j, wasm_f32x4_mul(wasm_v128_load(x + i + 4 * j), f));
	for (; i < n; i++) x[i] *= factor;
	// Rounding can make neighbours equal whose ids descend.
	if (table_sorted(row))
		for (uint32_t j = 1; j < n; j++)
			if (x[j - 1] == x[j] && row->ids[j - 1] > row->ids[j]) row->flags &= ~(uint32_t)FORGE_ROW_FLAG_SORTED;
	return FORGE_OK;
}
