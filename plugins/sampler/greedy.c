// greedy picks the candidate with the highest logit, of equal ones the lowest id.
#include "sampler.h"

SAMPLER(greedy) {
	uint32_t best = table_first(row);
	if (best == row->n)
		row->flags |= FORGE_ROW_FLAG_STOP;
	else {
		row->selected = (int32_t)best;
		table_tell_certain(row);
	}
	return FORGE_OK;
}

PLAN(greedy) { return plan_step(frame, (forge_plan_step){.op = FORGE_PLAN_OP_ARG_MAX}); }
