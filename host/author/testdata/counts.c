// counts treats each row otherwise than the one before.
#include "faulty.h"
FAULTY("counts")
static float calls;
FORGE_EXPORT(sampler_counts) int32_t sample(forge_rows *frame) {
	ROWS(row) row->logits[0] += calls++;
	return FORGE_OK;
}
