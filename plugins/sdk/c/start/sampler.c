// NAME: with the probability `chance` the likeliest candidate is left out, so that the text takes a turn now and then. It stays
// where it is the only one that is possible.
#include "guest.h"
#include "random.h"

FORGE_MANIFEST("name = \"NAME\"\nversion = \"0.1\"\nkind = \"sampler\"\nabi = \"1.0\"\n"
               "[[config]]\nname = \"chance\"\ntype = \"f32\"\ndefault = 0.1\nmin = 0.0\nmax = 1.0\ndoc = \"how often the likeliest candidate is left out\"\n"
               "[[entries]]\nname = \"NAME\"\nconfig = [\"chance\"]\nneutral = { chance = 0.0 }\n")
FORGE_MARKER(sampler)

FORGE_EXPORT(forge_init) int32_t init(forge_init *frame) {
	frame->accepted = 0;
	return FORGE_OK;
}

// Rows of many sequences come in one call. What depends on a row alone needs no state.
FORGE_EXPORT(sampler_NAME) int32_t sample(forge_rows *frame) {
	for (forge_row *row = frame->rows; row < frame->rows + frame->n_rows; row++) {
		uint32_t best = 0, possible = 0, kept = 0;
		for (uint32_t i = 0; i < row->n; i++) {
			possible += row->logits[i] > -__builtin_inff();
			if (row->logits[i] > row->logits[best]) best = i;
		}
		// Chance comes from the row's own generator: the same seed gives the same text.
		double u = forge_uniform(row->seed, row->draw++);
		if (possible < 2 || !(u < row->params[0])) continue;
		for (uint32_t i = 0; i < row->n; i++) {
			if (i == best) continue;
			row->ids[kept] = row->flags & FORGE_ROW_FLAG_WHOLE ? i : row->ids[i]; // while the table is whole, candidate i is token i
			row->logits[kept++] = row->logits[i];
		}
		row->n = kept;
		row->flags &= ~FORGE_ROW_FLAG_WHOLE;
	}
	return FORGE_OK;
}
