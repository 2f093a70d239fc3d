// engines depends on a bit that differs between the engines.
#include "faulty.h"
FAULTY("engines")
FORGE_EXPORT(sampler_engines) int32_t sample(forge_rows *frame) {
	ROWS(row) row->logits[0] += (float)nan_bit();
	return FORGE_OK;
}
