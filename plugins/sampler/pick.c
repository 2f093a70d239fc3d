// pick.c: which candidate a uniform number draws.
#include "table.h"

enum { BLOCK = 1024 };

// pick_exact works in float64.
static uint32_t pick_exact(const forge_row *row, float max, double u) {
	double weights[TABLE_EXACT], sum = 0, at = 0;
	for (uint32_t i = 0; i < row->n; i++) sum += weights[i] = table_weight(row->logits[i], max);
	uint32_t last = 0;
	for (uint32_t i = 0; i < row->n; i++) {
		if (weights[i] == 0) continue;
		last = i, at += weights[i];
		if (at > u * sum) break;
	}
	return last;
}

// pick_long sums blocks, finds the block that the draw falls into, and weighs its candidates again one by one.
static uint32_t pick_long(const forge_row *row, float max, double u) {
	double *sums = (double *)sampler.list, sum = 0, at = 0;
	uint32_t n = row->n, blocks = (n + BLOCK - 1) / BLOCK, last = 0;
	for (uint32_t b = 0; b < blocks; b++) {
		uint32_t first = b * BLOCK, count = n - first < BLOCK ? n - first : BLOCK;
		sum += sums[b] = table_sum(row->logits + first, count, max);
	}
	double target = u * sum;
	for (uint32_t b = 0; b < blocks; b++) {
		if (sums[b] == 0) continue;
		if (at + sums[b] <= target) { // never true of the last, where at + sums[b] is sum
			at += sums[b];
			continue;
		}
		float weights[BLOCK];
		uint32_t first = b * BLOCK, count = n - first < BLOCK ? n - first : BLOCK;
		table_weights(row->logits + first, count, max, weights);
		for (uint32_t i = 0; i < count; i++) {
			if (weights[i] == 0) continue;
			last = first + i, at += weights[i];
			if (at > target) break;
		}
		break; // the block's own sum is rounded otherwise: past its end, its last candidate is the pick
	}
	return last;
}

uint32_t table_pick(const forge_row *row, float max, double u) {
	return row->n <= TABLE_EXACT ? pick_exact(row, max, u) : pick_long(row, max, u);
}
