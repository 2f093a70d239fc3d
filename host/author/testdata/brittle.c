// brittle traps where a row has no finite logit.
#include "faulty.h"
FAULTY("brittle")
FORGE_EXPORT(sampler_brittle) int32_t sample(forge_rows *frame) {
	ROWS(row) {
		uint32_t i = 0;
		while (i < row->n && row->logits[i] == -__builtin_inff()) i++;
		if (i == row->n) __builtin_trap();
	}
	return FORGE_OK;
}
