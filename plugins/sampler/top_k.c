// top_k keeps the k candidates that rank first, sorted; select.c has the passes.
#include "sampler.h"

SAMPLER(top_k) {
	double setting = table_param(row, PARAM_TOP_K);
	if (!is_finite(setting)) return FORGE_ERR_CONFIG;
	if (setting < 1 || setting >= row->n) return FORGE_SKIP;
	table_top(row, (uint32_t)setting);
	return FORGE_OK;
}

PLAN(top_k) {
	double setting = plan_param(frame, PARAM_TOP_K);
	if (!is_finite(setting)) return FORGE_SKIP;
	return setting < 1 ? FORGE_OK : plan_step(frame, (forge_plan_step){.op = FORGE_PLAN_OP_TOP_K, .n = (uint32_t)setting});
}
