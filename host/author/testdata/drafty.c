// drafty lets a draft row change what later rows get.
#include "faulty.h"
FAULTY("drafty")
static float drafts;
FORGE_EXPORT(sampler_drafty) int32_t sample(forge_rows *frame) {
	ROWS(row) {
		if (row->draft > 0) drafts++;
		row->logits[0] += drafts;
	}
	return FORGE_OK;
}
