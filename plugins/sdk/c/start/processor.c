// NAME: a token is made less likely right after itself, by `penalty`.
#include "guest.h"

FORGE_MANIFEST("name = \"NAME\"\nversion = \"0.1\"\nkind = \"processor\"\nabi = \"1.0\"\ngrants = [\"history\"]\n"
               "[[config]]\nname = \"penalty\"\ntype = \"f32\"\ndefault = 2.0\nmin = 0.0\nmax = 1000.0\ndoc = \"subtracted from the logit of the newest token\"\n"
               "[[entries]]\nname = \"NAME\"\nconfig = [\"penalty\"]\nneutral = { penalty = 0.0 }\n")
FORGE_MARKER(processor)

FORGE_EXPORT(forge_init) int32_t init(forge_init *frame) {
	frame->accepted = frame->offered & FORGE_CAP_HISTORY;
	if (!frame->accepted) return FORGE_FAIL(frame, FORGE_ERR_CONFIG, "it looks at the tokens so far: grant it history");
	return FORGE_OK;
}

// A processor sees whole rows: logit i is that of token i.
FORGE_EXPORT(processor_NAME) int32_t process(forge_rows *frame) {
	for (forge_row *row = frame->rows; row < frame->rows + frame->n_rows; row++) {
		if (row->history_len == 0) continue;
		uint32_t newest = row->history[row->history_len - 1];
		if (newest < row->n) row->logits[newest] -= (float)row->params[0];
	}
	return FORGE_OK;
}
