// trusting counts down from the number of rows without asking whether there are any.
#include "faulty.h"
FAULTY("trusting")
FORGE_EXPORT(sampler_trusting) int32_t sample(forge_rows *frame) {
	uint32_t left = frame->n_rows;
	do {
		forge_row *row = frame->rows + (left - 1);
		row->logits[0] += 1;
	} while (--left);
	return FORGE_OK;
}
