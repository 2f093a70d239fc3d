// top_p keeps the fewest candidates, best first, whose probabilities reach top_p (Holtzman et al. 2020); the one that
// crosses is kept, and the table is sorted afterwards.
//
// Sorting 100,000 candidates to keep a few is what has to be avoided. All candidates below max - c together weigh at
// most n e^-c, so with c = ln(n / ((1 - top_p) sum)) they cannot be needed. The rest are listed and their weights added
// up in bins of equal width in logit; the bin in which the cumulative weight crosses bounds what has to be ranked.
#include "table.h"
#include "math.h"

enum { BINS = 2048 };

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

static inline uint32_t bin_of(float logit, float max, float scale) {
	float at = logit == max ? 0 : (max - logit) * scale;
	return at < BINS ? (uint32_t)at : BINS;
}

// nucleus narrows an unsorted long table to its first bins, sorted; the cut lies inside.
static void nucleus(forge_row *row, float max, double p, double sum) {
	static double bins[BINS + 1];
	double reach = forge_log(row->n / ((1 - p) * sum)) + 1e-3; // the margin covers the rounding of the weights
	if (!(reach > 1e-3)) reach = 1e-3;
	if (max == POS_INF) reach = 1;
	double least = (double)max - reach;
	float threshold = max == POS_INF ? max : key_logit(key_of((float)least) - 1); // the step down covers the rounding
	bool ascending;
	uint32_t n = table_gather(row, threshold, sampler.list, &ascending), m = 0;

	// Logits of the list go to the front of the row's own buffer, its weights to the ids' buffer.
	float *logits = row->logits, *weights = (float *)row->ids;
	for (uint32_t i = 0; i < n; i++) logits[i] = entry_logit(sampler.list[i]);
	table_weights(logits, n, max, weights);
	memset(bins, 0, sizeof bins);
	float scale = (float)(BINS / reach);
	for (uint32_t i = 0; i < n; i++) bins[bin_of(logits[i], max, scale)] += weights[i];
	double at = 0;
	uint32_t bin = 0;
	while (bin < BINS && (at += bins[bin]) < p * sum) bin++;
	bin++; // sums in another order may cross a rounding later
	for (uint32_t i = 0; i < n; i++)
		if (bin_of(logits[i], max, scale) <= bin) sampler.list[m++] = sampler.list[i];
	table_rank(sampler.list, sampler.other, m, ascending);
	table_put(row, sampler.list, m);
}

SAMPLER(top_p) {
	double p = table_param(row, PARAM_TOP_P);
	if (p != p) return FORGE_ERR_CONFIG;
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
