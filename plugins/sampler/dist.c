// dist picks at random: candidate i with probability softmax(logits)[i]. The uniform u is draw number row.draw of the
// stream row.seed, and the pick is the first candidate in the table's order whose cumulative weight exceeds u * sum.
#include "sampler.h"
#include "random.h"

SAMPLER(dist) {
	float max = table_max(row->logits, row->n);
	if (max == NEG_INF) {
		row->flags |= FORGE_ROW_FLAG_STOP;
		return FORGE_OK;
	}
	row->selected = (int32_t)table_pick(row, max, forge_uniform(row->seed, row->draw++));
	table_tell(row, max);
	return FORGE_OK;
}
