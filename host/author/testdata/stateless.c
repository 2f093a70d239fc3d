// A constraint without state by which no token follows itself, from the history of each row, and 7 never comes. With the fault
// 1 it looks at the newest token alone, so that it goes on behind two equal ones. Without the history it has only the 7.
#include "faulty_kind.h"
FAULTY_KIND(constraint, "grants = [\"history\"]\n")

enum { NEVER = 7 };
static bool sees;

FORGE_EXPORT(forge_init) int32_t init(forge_init *frame) {
	sees = frame->accepted = frame->offered & FORGE_CAP_HISTORY;
	fault = (int32_t)frame->config[0];
	return FORGE_OK;
}

// token gives the i-th of those accepted behind the prompt and of the drafts.
static uint32_t token(const forge_mask_row *row, uint32_t i, uint32_t accepted) {
	return i < accepted ? row->history[row->history_len - accepted + i] : row->drafts[i - accepted];
}

FORGE_EXPORT(constraint_mask) int32_t mask(forge_masks *f) {
	for (forge_mask_row *row = f->rows; row < f->rows + f->n_rows; row++) {
		uint32_t accepted = sees ? row->n_history - row->n_prompt : 0, n = accepted + row->drafts_len;
		if (accepted > row->history_len) return FORGE_FAIL(f, FORGE_ERR_ARG, "the history is cut");
		memset(row->mask, 0, (f->n_vocab + 31) / 32 * 4);
		bool broken = false;
		for (uint32_t i = 1; i < n && fault != 1; i++) broken |= token(row, i, accepted) == token(row, i - 1, accepted);
		for (uint32_t i = 0; i < n && fault != 1; i++) broken |= token(row, i, accepted) == NEVER;
		for (uint32_t id = 0; id < f->n_vocab && !broken; id++)
			if (id != NEVER && (!n || id != token(row, n - 1, accepted))) row->mask[id / 32] |= 1u << id % 32;
	}
	return FORGE_OK;
}
