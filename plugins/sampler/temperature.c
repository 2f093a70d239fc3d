// temperature divides the logits by temp, each quotient rounded once. A temp of 0 or less (or so small that its inverse
// is no float32) keeps the best candidate alone. With a dynatemp_range above 0, dynatemp.c chooses the temperature for
// each row.
#include "sampler.h"

static inline bool settles(double temp) { return temp <= 0 || (float)(1 / temp) > 3.4e38f; }

SAMPLER(temperature) {
	double temp = table_param(row, PARAM_TEMP);
	double range = table_param(row, PARAM_DYNATEMP_RANGE), exponent = table_param(row, PARAM_DYNATEMP_EXPONENT);
	if (!is_finite(temp) || !is_finite(range) || !is_finite(exponent)) return FORGE_ERR_CONFIG;
	if (range > 0) {
		if (row->n < 2) return FORGE_SKIP;
		temp = dynatemp(row, temp, range, exponent);
	}
	if (settles(temp)) {
		if (row->n < 2) return FORGE_SKIP;
		table_top(row, 1);
		return FORGE_OK;
	}
	if (temp == 1 || row->n == 0) return FORGE_SKIP;
	table_divide(row, temp);
	return FORGE_OK;
}

PLAN(temperature) {
	double temp = plan_param(frame, PARAM_TEMP), range = plan_param(frame, PARAM_DYNATEMP_RANGE);
	if (!is_finite(temp) || range > 0) return FORGE_SKIP; // the temperature is the row's
	if (settles(temp)) return plan_step(frame, (forge_plan_step){.op = FORGE_PLAN_OP_TOP_K, .n = 1});
	return temp == 1 ? FORGE_OK : plan_step(frame, (forge_plan_step){.op = FORGE_PLAN_OP_TEMPERATURE, .value = (float)temp});
}
