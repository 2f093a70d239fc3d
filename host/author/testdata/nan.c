// nan divides by the largest logit, which may be 0 or infinite.
#include "faulty.h"
FAULTY("nan")
FORGE_EXPORT(sampler_nan) int32_t sample(forge_rows *frame) {
	ROWS(row) {
		float most = row->logits[0];
		for (uint32_t i = 0; i < row->n; i++) most = row->logits[i] > most ? row->logits[i] : most;
		for (uint32_t i = 0; i < row->n; i++) row->logits[i] /= most;
	}
	return FORGE_OK;
}
