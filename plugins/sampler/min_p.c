// min_p keeps the candidates whose probability is at least min_p times the best one's, that is, logit >= max + ln min_p
// (Nguyen et al. 2024). The order of the table stays; a whole row narrows to ascending ids.
#include "sampler.h"
#include "math.h"

SAMPLER(min_p) {
	double p = table_param(row, PARAM_MIN_P);
	if (!is_finite(p)) return FORGE_ERR_CONFIG;
	if (p <= 0) return FORGE_SKIP;
	float *x = row->logits;
	float max = table_sorted(row) && row->n ? x[0] : table_max(x, row->n);
	if (!(max > NEG_INF)) return FORGE_SKIP;
	float least = table_least(max + forge_log(p < 1 ? p : 1));
	uint32_t *positions = (uint32_t *)sampler.list, kept = table_gather(x, row->n, least, positions);
	if (kept == row->n) return FORGE_SKIP;
	table_narrow(row, positions, kept);
	return FORGE_OK;
}
