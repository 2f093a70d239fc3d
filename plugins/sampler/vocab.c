// vocab.c: what tokens stand for in text, and which of them end a generation.
#include "text.h"

static const forge_vocab *vocab;

void vocab_open(const forge_vocab *v) { vocab = v && v->piece_offsets ? v : 0; }

bool vocab_known(void) { return vocab; }

const uint32_t *vocab_eog(uint32_t *n) {
	*n = vocab ? vocab->eog_len : 0;
	return vocab ? vocab->eog : 0;
}

bool vocab_ends(uint32_t id) {
	uint32_t n;
	const uint32_t *eog = vocab_eog(&n);
	for (uint32_t i = 0; i < n; i++)
		if (eog[i] == id) return true;
	return false;
}

const uint8_t *vocab_text(uint32_t id, uint32_t *n) {
	*n = 0;
	if (!vocab || id >= vocab->n) return 0;
	uint32_t at = vocab->piece_offsets[id];
	*n = vocab->piece_offsets[id + 1] - at;
	return (const uint8_t *)vocab->pieces + at;
}
