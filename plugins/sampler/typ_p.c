// typ_p keeps the candidates whose surprise -ln p is closest to the entropy, the fewest whose probabilities exceed
// typical_p (Meister et al. 2023, Locally typical sampling): a stretch of the ranking. Up to TABLE_EXACT candidates are left
// sorted; a longer unsorted table keeps its order.
//
// With m the mean of logit - max under the probabilities, -ln p - H = m - (logit - max): the normaliser cancels. So what
// is closest to the mean logit is kept, and the entropy itself is not needed.
#include "sampler.h"
#include "math.h"

enum { BINS = 2048 };

// above tells on which side of the mean a candidate is.
static inline bool above(float logit, float max, double mean) { return logit == max || (double)logit - (double)max >= mean; }

// distance is |logit - max - mean|; the difference of two infinities of one sign is 0.
static inline double distance(float logit, float max, double mean) {
	double d = (logit == max ? 0 : (double)logit - (double)max) - mean;
	return d < 0 ? -d : d;
}

// exact works in float64, on a sorted table, where what is kept stands together: from where the mean falls it grows to the
// closer side.
static void exact(forge_row *row, float max, double p) {
	table_sort(row);
	float *x = row->logits;
	double weights[TABLE_EXACT], sum = 0, mean = 0, at = 0;
	uint32_t n = row->n, first = 0;
	for (uint32_t i = 0; i < n; i++) {
		sum += weights[i] = table_weight(x[i], max);
		if (weights[i] > 0 && x[i] != max) mean += weights[i] * ((double)x[i] - (double)max);
	}
	mean /= sum;
	while (first < n && above(x[first], max, mean)) first++;
	uint32_t end = first; // kept: first .. end - 1
	while (end - first < n && !(at > p * sum)) {
		bool up = first > 0 && (end == n || distance(x[first - 1], max, mean) <= distance(x[end], max, mean));
		at += up ? weights[--first] : weights[end++];
	}
	row->n = end - first;
	memmove(x, x + first, row->n * sizeof *x);
	memmove(row->ids, row->ids + first, row->n * sizeof *row->ids);
}

// narrow drops what cannot be needed: logits so low that all of them together weigh less than the share that may be left
// out, if they are also farther from the mean than the maximum is.
static void narrow(forge_row *row, float max, double mean, double p, double sum) {
	double reach = forge_log(row->n / ((1 - p) * sum)) + 1e-3; // the margin covers the rounding of the weights
	if (reach < -2 * mean) reach = -2 * mean;
	float least = max < POS_INF ? table_below((double)max - reach * (1 + 1e-6)) : max;
	uint32_t *positions = (uint32_t *)sampler.list;
	table_narrow(row, positions, table_gather(row->logits, row->n, least, positions));
}

// key ranks the closest first, and of equally close ones on one side the nearest in rank, as exact does. The last bit of
// the distance gives way to the side.
static inline uint64_t key(float distance, uint32_t id, bool above) {
	return ~((uint64_t)((__builtin_bit_cast(uint32_t, distance) & ~1u) | above) << 32 | (above ? ~id : id));
}
static inline uint32_t key_id(uint64_t key) { return key >> 32 & 1 ? ~(uint32_t)key : (uint32_t)key; }

// last_kept ranks the m candidates at positions, which are those of the bin where the weight crosses, and gives the key of
// the one that crosses; at is what closer ones weigh.
static uint64_t last_kept(const forge_row *row, float max, double mean, const uint32_t *positions, uint32_t m, const float *distances,
                          const float *weights, double at, double target) {
	// counts carries the weights by id through the ranking.
	uint64_t *keys = sampler.other, last;
	for (uint32_t i = 0; i < m; i++) {
		uint32_t position = positions[i], id = row->ids[position]; // keys may grow over the positions already read
		sampler.counts[id] = __builtin_bit_cast(uint32_t, weights[position]);
		keys[i] = key(distances[position], id, above(row->logits[position], max, mean));
	}
	table_rank(keys, sampler.list, m, false);
	last = keys[m - 1]; // sums in another order may cross a rounding later
	for (uint32_t i = 0; i < m; i++) {
		if ((at += __builtin_bit_cast(float, sampler.counts[key_id(keys[i])])) <= target) continue;
		last = keys[i];
		break;
	}
	for (uint32_t i = 0; i < m; i++) sampler.counts[key_id(keys[i])] = 0;
	return last;
}

// long_table finds the bin of distances in which the weight crosses and ranks that one alone.
static void long_table(forge_row *row, float max, double p) {
	double sum, mean = table_mean(row, max, &sum);
	narrow(row, max, mean, p, sum);
	uint32_t n = row->n;
	float *distances = (float *)sampler.list, *weights = distances + n, farthest = 0;
	table_weights(row->logits, n, max, weights);
	for (uint32_t i = 0; i < n; i++) {
		distances[i] = (float)distance(row->logits[i], max, mean);
		if (distances[i] > farthest) farthest = distances[i];
	}
	static double bins[BINS];
	memset(bins, 0, sizeof bins);
	float scale = farthest > 1e-30f ? (BINS - 1) / farthest : 0; // what is nearer than that shares a bin
	for (uint32_t i = 0; i < n; i++) bins[(uint32_t)(distances[i] * scale)] += weights[i];
	double at = 0, target = p * sum;
	uint32_t bin = 0, m = 0, *positions = (uint32_t *)sampler.other + n;
	while (bin < BINS - 1 && at + bins[bin] <= target) at += bins[bin++];
	while (bin > 0 && bins[bin] == 0) bin--; // past the end by a rounding
	for (uint32_t i = 0; i < n; i++)
		if ((uint32_t)(distances[i] * scale) == bin) positions[m++] = i;
	uint64_t last = last_kept(row, max, mean, positions, m, distances, weights, at, target);
	positions = (uint32_t *)sampler.list;
	uint32_t kept = 0;
	for (uint32_t i = 0; i < n; i++)
		if (key((float)distance(row->logits[i], max, mean), row->ids[i], above(row->logits[i], max, mean)) >= last) positions[kept++] = i;
	table_narrow(row, positions, kept);
}

SAMPLER(typ_p) {
	double p = table_param(row, PARAM_TYPICAL_P);
	if (!is_finite(p)) return FORGE_ERR_CONFIG;
	if (p >= 1) return FORGE_SKIP;
	float max = table_max(row->logits, row->n);
	if (max == NEG_INF) return FORGE_SKIP;
	if (row->n <= TABLE_EXACT)
		exact(row, max, p);
	else
		long_table(row, max, p);
	return FORGE_OK;
}
