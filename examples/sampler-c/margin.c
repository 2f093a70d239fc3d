// margin keeps the candidates whose logit is at most `margin` below the best one's.
#include "guest.h"

FORGE_MANIFEST("name = \"margin\"\nversion = \"1.0\"\nkind = \"sampler\"\nabi = \"1.0\"\n"
               "[[config]]\nname = \"margin\"\ntype = \"f32\"\ndefault = 5.0\nmin = 0.0\nmax = 1000.0\ndoc = \"how far below the best\"\n"
               "[[entries]]\nname = \"margin\"\nconfig = [\"margin\"]\n")
FORGE_MARKER(sampler)

FORGE_EXPORT(forge_init) int32_t init(forge_init *frame) {
	frame->accepted = 0;
	return FORGE_OK;
}

FORGE_EXPORT(sampler_margin) int32_t margin(forge_rows *frame) {
	for (forge_row *row = frame->rows; row < frame->rows + frame->n_rows; row++) {
		float best = -__builtin_inff();
		for (uint32_t i = 0; i < row->n; i++)
			if (row->logits[i] > best) best = row->logits[i];
		uint32_t kept = 0;
		for (uint32_t i = 0; i < row->n; i++) {
			if (row->logits[i] < best - (float)row->params[0]) continue;
			row->ids[kept] = row->flags & FORGE_ROW_FLAG_WHOLE ? i : row->ids[i];
			row->logits[kept++] = row->logits[i];
		}
		row->n = kept;
		row->flags &= ~FORGE_ROW_FLAG_WHOLE; // from here on ids says which tokens these are
	}
	return FORGE_OK;
}
