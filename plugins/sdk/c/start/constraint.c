// NAME: an answer without certain characters: tokens that contain a byte of `without` may not follow.
#include "guest.h"

FORGE_MANIFEST("name = \"NAME\"\nversion = \"0.1\"\nkind = \"constraint\"\nabi = \"1.0\"\ngrants = [\"vocab\"]\n"
               "[[config]]\nname = \"without\"\ntype = \"string\"\ndefault = \"0123456789\"\ndoc = \"characters of ASCII that the answer must not contain\"\n")
FORGE_MARKER(constraint)

static const forge_vocab *vocab;

FORGE_EXPORT(forge_init) int32_t init(forge_init *frame) {
	frame->accepted = frame->offered & FORGE_CAP_VOCAB;
	vocab = frame->vocab; // stays where it is for the instance's life
	if (!vocab) return FORGE_FAIL(frame, FORGE_ERR_CONFIG, "it looks at the texts of tokens: grant it vocab");
	return FORGE_OK;
}

static void allow(forge_mask_row *row, uint32_t id) { row->mask[id / 32] |= 1u << id % 32; }

FORGE_EXPORT(constraint_mask) int32_t mask(forge_masks *frame) {
	for (forge_mask_row *row = frame->rows; row < frame->rows + frame->n_rows; row++) {
		bool banned[256] = {false};
		const uint32_t *slot = (const uint32_t *)row->params; // a string setting is an address and a length
		const uint8_t *without = (const uint8_t *)slot[0];
		for (uint32_t i = 0; i < slot[1]; i++) {
			if (without[i] > 127) return FORGE_FAIL(frame, FORGE_ERR_CONFIG, "without: only characters of ASCII can be left out");
			banned[without[i]] = true;
		}
		memset(row->mask, 0, (frame->n_vocab + 31) / 32 * 4);
		for (uint32_t id = 0; id < frame->n_vocab; id++) {
			bool fits = true;
			for (uint32_t at = vocab->piece_offsets[id]; at < vocab->piece_offsets[id + 1] && fits; at++) fits = !banned[vocab->pieces[at]];
			if (fits) allow(row, id);
		}
		for (uint32_t i = 0; i < vocab->eog_len; i++) allow(row, vocab->eog[i]); // the answer may end at any time
		row->result = FORGE_MASK_RESULT_MASK;
	}
	return FORGE_OK;
}
