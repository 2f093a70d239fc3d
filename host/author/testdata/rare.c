// rare traps where the first logit of 257 is infinite.
#include "faulty.h"
FAULTY("rare")
FORGE_EXPORT(sampler_rare) int32_t sample(forge_rows *frame) {
	ROWS(row) if (row->n == 257 && __builtin_isinf(row->logits[0])) __builtin_trap();
	return FORGE_OK;
}
