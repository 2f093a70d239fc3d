// greedy picks the candidate with the highest logit, of equal ones the lowest id.
#include "sampler.h"

SAMPLER(greedy) {
	uint32_t best = table_first(row);
	if (best == row->n)
		row->flags |= FORGE_ROW_FLAG_STOP;
	else
		row->selected = (int32_t)best;
	return FORGE_OK;
}
