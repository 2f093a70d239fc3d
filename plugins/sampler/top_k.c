// top_k keeps the k candidates that rank first, sorted; select.c has the passes.
#include "sampler.h"

SAMPLER(top_k) {
	double setting = table_param(row, PARAM_TOP_K);
	if (!is_finite(setting)) return FORGE_ERR_CONFIG;
	if (setting < 1 || setting >= row->n) return FORGE_SKIP;
	table_top(row, (uint32_t)setting);
	return FORGE_OK;
}
