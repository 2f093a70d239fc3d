// xtc (exclude top choices) drops, with probability xtc_probability, all candidates of probability xtc_threshold or more
// but the least likely of them. With fewer than two of those nothing is dropped. It takes one draw of the sequence's
// generator for each row of two candidates or more. The order of the table stays.
#include "sampler.h"
#include "random.h"

// above lists the positions of candidates whose probability is at least the threshold; none of them weighs 0.
static uint32_t above(const forge_row *row, float max, double threshold, uint32_t *positions) {
	uint32_t n = row->n, m = 0;
	if (n <= TABLE_EXACT) {
		double weights[TABLE_EXACT], sum = 0;
		for (uint32_t i = 0; i < n; i++) sum += weights[i] = table_weight(row->logits[i], max);
		for (uint32_t i = 0; i < n; i++)
			if (weights[i] > 0 && weights[i] >= threshold * sum) positions[m++] = i;
		return m;
	}
	double sum = table_sum(row->logits, n, max);
	float *weights = (float *)sampler.other;
	table_weights(row->logits, n, max, weights);
	for (uint32_t i = 0; i < n; i++)
		if (weights[i] > 0 && weights[i] >= threshold * sum) positions[m++] = i;
	return m;
}

SAMPLER(xtc) {
	double probability = table_param(row, PARAM_XTC_PROBABILITY), threshold = table_param(row, PARAM_XTC_THRESHOLD);
	if (!is_finite(probability) || !is_finite(threshold)) return FORGE_ERR_CONFIG;
	// Two candidates cannot both have more than half.
	if (probability <= 0 || threshold > 0.5 || row->n < 2) return FORGE_SKIP;
	float max = table_max(row->logits, row->n);
	if (max == NEG_INF) return FORGE_SKIP;
	if (forge_uniform(row->seed, row->draw++) >= probability) return FORGE_OK; // not SKIP: the draw counts
	uint32_t *positions = (uint32_t *)sampler.list, m = above(row, max, threshold, positions);
	if (m < 2) return FORGE_OK;
	uint64_t last = ~0ull;
	for (uint32_t i = 0; i < m; i++) {
		uint64_t e = entry_of(row->logits[positions[i]], table_id(row, positions[i]));
		if (e < last) last = e;
	}
	// What stays is everything between the dropped positions.
	uint32_t *kept = (uint32_t *)sampler.other, n = 0, next = 0;
	for (uint32_t i = 0; i < row->n; i++) {
		if (next < m && positions[next] == i && ++next && table_id(row, i) != entry_id(last)) continue;
		kept[n++] = i;
	}
	table_narrow(row, kept, n);
	return FORGE_OK;
}
