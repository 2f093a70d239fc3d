// top_p keeps the fewest candidates, best first, whose probabilities reach top_p (Holtzman et al. 2020), the one that
// crosses included. Up to TABLE_EXACT candidates are left sorted; a longer unsorted table keeps its order.
//
// Sorting 100,000 candidates to keep a few is what has to be avoided. All candidates below max - c together weigh at
// most n e^-c, so with c = ln(n / ((1 - top_p) sum)) they cannot be needed. The weights of the others are added up in
// bins of equal width in logit; only the candidates of the bin where the cumulative weight crosses have to be ranked.
#include "sampler.h"
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

// last_kept ranks the m entries of the bin where the weight crosses and gives the one that crosses; at is what the
// candidates of higher bins weigh.
static uint64_t last_kept(uint64_t *entries, uint32_t m, bool ascending, float max, double at, double target) {
	table_rank(entries, sampler.list, m, ascending);
	float *logits = (float *)sampler.list, *weights = logits + m;
	for (uint32_t i = 0; i < m; i++) logits[i] = entry_logit(entries[i]);
	table_weights(logits, m, max, weights);
	for (uint32_t i = 0; i < m; i++)
		if ((at += weights[i]) >= target) return entries[i];
	return entries[m - 1]; // sums in another order may cross a rounding later
}

// nucleus narrows an unsorted long table and leaves its order.
static void nucleus(forge_row *row, float max, double p, double sum) {
	uint32_t *positions = (uint32_t *)sampler.list;
	double reach = forge_log(row->n / ((1 - p) * sum)) + 1e-3; // the margin covers the rounding of the weights
	if (!(reach > 1e-3)) reach = 1e-3;
	table_narrow(row, positions, table_gather(row->logits, row->n, table_below((double)max - reach), positions));

	// Adding 2^23 to a number in [0, BINS] leaves its nearest integer in the low bits.
	static double bins[2][2 * BINS]; // two sets, so that neighbours in one bin need not wait for each other
	memset(bins, 0, sizeof bins);
	uint32_t n = row->n, *bin = (uint32_t *)sampler.list + n;
	float *x = row->logits, *weights = (float *)sampler.list, scale = (float)(BINS / reach);
	table_weights(x, n, max, weights);
	for (uint32_t i = 0; i < n; i++) bin[i] = __builtin_bit_cast(uint32_t, (max - x[i]) * scale + 0x1p23f) & (2 * BINS - 1);
	uint32_t i = 0;
	for (; i + 2 <= n; i += 2) {
		bins[0][bin[i]] += weights[i];
		bins[1][bin[i + 1]] += weights[i + 1];
	}
	if (i < n) bins[0][bin[i]] += weights[i];
	double at = 0, more;
	uint32_t last = 0;
	while (at + (more = bins[0][last] + bins[1][last]) < p * sum && last < 2 * BINS - 1) at += more, last++;
	while (last > 0 && bins[0][last] + bins[1][last] == 0) last--; // past the end by a rounding

	uint64_t *entries = sampler.other;
	uint32_t m = 0;
	bool ascending = true;
	for (i = 0; i < n; i++) {
		if (bin[i] != last) continue;
		ascending &= m == 0 || entry_id(entries[m - 1]) < row->ids[i];
		entries[m++] = entry_of(x[i], row->ids[i]);
	}
	uint64_t end = last_kept(entries, m, ascending, max, at, p * sum);
	float least = entry_logit(end);
	uint32_t id = entry_id(end), found = table_gather(x, n, least, positions), kept = 0;
	for (i = 0; i < found; i++) {
		uint32_t at = positions[i];
		positions[kept] = at;
		kept += x[at] > least || row->ids[at] <= id;
	}
	table_narrow(row, positions, kept);
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
	if (!table_sorted(row) && max < POS_INF) {
		nucleus(row, max, p, sum);
		if (row->n <= TABLE_EXACT) table_sort(row);
		return FORGE_OK;
	}
	if (!table_sorted(row)) { // those at +inf share the whole probability
		uint32_t *positions = (uint32_t *)sampler.list;
		table_narrow(row, positions, table_gather(row->logits, row->n, max, positions));
		table_sort(row);
	}
	row->n = cut(row, row->n, max, p, sum);
	return FORGE_OK;
}
