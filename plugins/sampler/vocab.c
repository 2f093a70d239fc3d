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

uint32_t vocab_bytes(uint32_t id, uint8_t *to, uint32_t cap) {
	if (!vocab || id >= vocab->n) return 0;
	uint32_t at = vocab->piece_offsets[id], n = vocab->piece_offsets[id + 1] - at;
	if (n > cap) n = cap;
	memcpy(to, vocab->pieces + at, n);
	return n;
}
