// top_p keeps the fewest candidates, best first, whose probabilities reach top_p (Holtzman et al. 2020); the one that
// crosses is kept, and the table is sorted afterwards.
//
// Sorting 100,000 candidates to keep a few is what has to be avoided. All candidates below max - c together weigh at
// most n e^-c, so with c = ln(n / ((1 - top_p) sum)) they cannot be needed. The rest are listed and their weights added
// up in bins of equal width in logit; the bin where the cumulative weight crosses bounds what has to be ranked.
#include "table.h"
#include "math.h"

enum { BINS = 2048 };

// below gives a float32 that is no higher than x.
static inline float below(double x) { return key_logit(key_of((float)x) - 1); }

// cut walks a sorted table and gives how many candidates reach the share p of sum.
static uint32_t cut(const forge_row *row, uint32_t n, float max, double p, double sum) {
	double at = 0, target = p * sum;
	float *weights = (float *)sampler.list;
	table_weights(row->logits, n, max, weights);
	for (uint32_t i = 0; i < n; i++) {
		at += weights[i];
		if (at >= target) return i + 1;
	}
	return n;
}

static uint32_t cut_exact(const forge_row *row, float max, double p) {
	double weights[TABLE_EXACT], sum = 0, at = 0;
	for (uint32_t i = 0; i < row->n; i++) sum += weights[i] = table_weight(row->logits[i], max);
	for (uint32_t i = 0; i < row->n; i++) {
		at += weights[i];
		if (at >= p * sum) return i + 1;
	}
	return row->n;
}

// nucleus narrows an unsorted long table to its first bins and sorts them; the cut lies inside.
static void nucleus(forge_row *row, float max, double p, double sum) {
	uint32_t *positions = (uint32_t *)sampler.list;
	if (max == POS_INF) { // these share the whole probability
		table_narrow(row, positions, table_gather(row->logits, row->n, max, positions));
		table_sort(row);
		return;
	}
	double reach = forge_log(row->n / ((1 - p) * sum)) + 1e-3; // the margin covers the rounding of the weights
	if (!(reach > 1e-3)) reach = 1e-3;
	table_narrow(row, positions, table_gather(row->logits, row->n, below((double)max - reach), positions));

	// Adding 2^23 to a number in [0, BINS] leaves its nearest integer in the low bits.
	static double bins[2][2 * BINS]; // two sets, so that neighbours in one bin need not wait for each other
	memset(bins, 0, sizeof bins);
	uint32_t n = row->n, *bin = (uint32_t *)sampler.list + n;
	float *weights = (float *)sampler.list, scale = (float)(BINS / reach);
	table_weights(row->logits, n, max, weights);
	for (uint32_t i = 0; i < n; i++) {
		float at = (max - row->logits[i]) * scale + 0x1p23f;
		bin[i] = __builtin_bit_cast(uint32_t, at) & (2 * BINS - 1);
	}
	uint32_t i = 0;
	for (; i + 2 <= n; i += 2) {
		bins[0][bin[i]] += weights[i];
		bins[1][bin[i + 1]] += weights[i + 1];
	}
	if (i < n) bins[0][bin[i]] += weights[i];
	double at = 0;
	uint32_t last = 0;
	while (last < 2 * BINS - 1 && (at += bins[0][last] + bins[1][last]) < p * sum) last++;
	// One bin more, since sums in another order may cross a rounding later, and one for the rounding of bins.
	table_narrow(row, positions, table_gather(row->logits, n, below((double)max - (last + 2) / (double)scale), positions));
	table_sort(row);
}

SAMPLER(top_p) {
	double p = table_param(row, PARAM_TOP_P);
	if (!is_finite(p)) return FORGE_ERR_CONFIG;
	if (p >= 1) return FORGE_SKIP;
	float max = table_sorted(row) && row->n ? row->logits[0] : table_max(row->logits, row->n);
	if (max == NEG_INF) return FORGE_SKIP;
	if (row->n <= TABLE_EXACT) {
		table_sort(row);
		row->n = cut_exact(row, max, p);
		return FORGE_OK;
	}
	double sum = table_sum(row->logits, row->n, max);
	if (!table_sorted(row)) nucleus(row, max, p, sum);
	row->n = cut(row, row->n, max, p, sum);
	return FORGE_OK;
}
