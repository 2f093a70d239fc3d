// watermark leaves a mark in the text that whoever knows the key can detect: Kirchenbauer et al. 2023, A watermark for large
// language models. The token before decides, with the key, which share gamma of the vocabulary is green; green tokens get
// delta added to their logits. A text with the mark has more green tokens than gamma of them, and no model is needed to
// count: see detect.
//
// A token's colour is one word of Philox: key (key, 0), counter (token before, token / 4, 0, 0), word token % 4; green if
// it is below gamma * 2^32.
#include "guest.h"
#include "random.h"

FORGE_MANIFEST("name = \"watermark\"\nversion = \"1.0\"\nkind = \"sampler\"\nabi = \"1.0\"\ngrants = [\"history\"]\n"
               "[[config]]\nname = \"watermark_key\"\ntype = \"i32\"\ndefault = 0\nmin = 0\nmax = 2147483647\ndoc = \"the secret; 0: no mark\"\n"
               "[[config]]\nname = \"watermark_delta\"\ntype = \"f32\"\ndefault = 2.0\nmin = 0.0\nmax = 100.0\ndoc = \"added to the logits of green tokens\"\n"
               "[[config]]\nname = \"watermark_gamma\"\ntype = \"f32\"\ndefault = 0.25\nmin = 0.001\nmax = 0.999\ndoc = \"the share of green tokens\"\n"
               "[[entries]]\nname = \"watermark\"\nconfig = [\"watermark_key\", \"watermark_delta\", \"watermark_gamma\"]\nneutral = { watermark_key = 0 }\n")
FORGE_MARKER(sampler)

FORGE_EXPORT(forge_init) int32_t init(forge_init *frame) {
	frame->accepted = frame->offered & FORGE_CAP_HISTORY;
	if (!frame->accepted) return FORGE_FAIL(frame, FORGE_ERR_UNSUPPORTED, "the token before decides which are green: give the plugin the grant history in plugins.toml");
	return FORGE_OK;
}

// green tells whether a token is on the list. Neighbours share their four words, so a whole row takes a quarter of the work.
static bool green(uint32_t key, uint32_t before, uint32_t token, double gamma) {
	static uint32_t words[4], at[3] = {0, 0, ~0u};
	if (at[0] != key || at[1] != before || at[2] != token / 4) {
		at[0] = key, at[1] = before, at[2] = token / 4;
		words[0] = before, words[1] = token / 4, words[2] = 0, words[3] = 0;
		forge_philox(key, 0, words);
	}
	return words[token % 4] < gamma * 0x1p32;
}

FORGE_EXPORT(sampler_watermark) int32_t watermark(forge_rows *frame) {
	int32_t status = FORGE_SKIP;
	for (forge_row *row = frame->rows; row < frame->rows + frame->n_rows; row++) {
		uint32_t key = (uint32_t)row->params[0];
		float delta = (float)row->params[1];
		if (key == 0 || row->history_len == 0 || row->selected >= 0) continue;
		uint32_t before = row->history[row->history_len - 1];
		for (uint32_t i = 0; i < row->n; i++) {
			uint32_t token = row->flags & FORGE_ROW_FLAG_WHOLE ? i : row->ids[i];
			if (green(key, before, token, row->params[2])) row->logits[i] += delta;
		}
		row->flags &= ~FORGE_ROW_FLAG_SORTED;
		status = FORGE_OK;
	}
	return status;
}
