// text.h: settings and vocabulary of the module text, whose samplers look at what tokens stand for. table.h has the
// candidate table.
#ifndef TEXT_H
#define TEXT_H

#include "table.h"

// Slots of row.params: the manifest's [[config]] tables in order.
enum {
	PARAM_DRY_MULTIPLIER,
	PARAM_DRY_BASE,
	PARAM_DRY_ALLOWED_LENGTH,
	PARAM_DRY_PENALTY_LAST_N,
	PARAM_DRY_SEQUENCE_BREAKERS,
	PARAM_MIN_TOKENS,
	PARAM_IGNORE_EOS,
	N_PARAMS
};
_Static_assert(N_PARAMS <= TABLE_PARAMS, "table.h has room for fewer settings");

// vocab_text gives the n bytes that a token adds to a text.
const uint8_t *vocab_text(uint32_t id, uint32_t *n);

// vocab_known tells whether the tokens' bytes are there.
bool vocab_known(void);

// vocab_ends tells whether a token ends a generation.
bool vocab_ends(uint32_t id);

// vocab_eog gives those tokens, the one that ends a turn first.
const uint32_t *vocab_eog(uint32_t *n);

// vocab_open takes what forge_init is given, which may be 0.
void vocab_open(const forge_vocab *vocab);

#endif
