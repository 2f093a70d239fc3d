// dynatemp maps how undecided a row is to a temperature between temp - range (at least 0) and temp + range:
//
//     t = low + (high - low) (H / ln n)^exponent
//
// with H the entropy of the n candidates' probabilities and ln n the most that it can be. A sure row is sharpened, an
// undecided one flattened.
#include "sampler.h"
#include "math.h"

double dynatemp(const forge_row *row, double temp, double range, double exponent) {
	double low = temp > range ? temp - range : 0, high = temp + range, sum;
	float max = table_max(row->logits, row->n);
	if (max == NEG_INF) return 1; // nothing to scale
	double mean = table_mean(row, max, &sum), share = (forge_log(sum) - mean) / forge_log(row->n);
	if (!(share > 0)) share = 0; // less by a rounding
	if (share > 1) share = 1;
	double power = share > 0 ? forge_exp(exponent * forge_log(share)) : exponent == 0;
	return low + (high - low) * power;
}
