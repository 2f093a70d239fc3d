// A tokenizer of bytes: token i is the byte i. What is no character is not looked after: the checks of decoding have texts for that.
#include "faulty_kind.h"
FAULTY_KIND(tokenizer, "provides = [\"faulty\"]\n")

enum { TRAPS = 1, SILENT, COUNTS, ENGINES, PIECES, ROUND_TRIP, HALVES, LEAK, OVERRUNS, VOCABULARIES, RARE, ENDLESS, TAKES_ANY, BAD_ID };

static const forge_vocab *vocab;

FORGE_EXPORT(forge_init) int32_t init(forge_init *frame) {
	frame->accepted = 0;
	fault = (int32_t)frame->config[0];
	vocab = frame->vocab;
	if (vocab->n != 256) return FORGE_FAIL(frame, FORGE_ERR_UNSUPPORTED, "it takes 256 tokens, one for each byte");
	if (fault == VOCABULARIES && !vocab->types) __builtin_trap();
	return FORGE_OK;
}

static bool has(const forge_text *f, const char *word) {
	uint32_t n = forge_strlen(word);
	for (uint32_t i = 0; i + n <= f->input_len; i++)
		if (memcmp(f->input + i, word, n) == 0) return true;
	return false;
}

FORGE_EXPORT(tokenizer_encode) int32_t encode(forge_text *f) {
	uint32_t *ids = (uint32_t *)f->output, n = f->input_len < f->output_cap ? f->input_len : f->output_cap;
	if (fault == TRAPS && n == 1 && f->input[0] == 0xFF) __builtin_trap();
	if (fault == SILENT && n == 1 && f->input[0] == 0xFF) return FORGE_ERR_ARG;
	if (fault == RARE && has(f, "hehe")) __builtin_trap();
	if (fault == LEAK) __builtin_wasm_memory_grow(0, 1);
	if (fault == OVERRUNS && f->input_len > n) ids[n] = 7;
	for (volatile uint32_t i = 0; fault == ENDLESS; i++) {}
	for (uint32_t i = 0; i < n; i++) {
		ids[i] = f->input[i];
		if (fault == ROUND_TRIP && ids[i] == 'w') ids[i] = 'v';
		if (fault == PIECES && i == 0 && ids[i] == 'h' && !(f->flags & FORGE_TEXT_FLAG_FIRST)) ids[i] = 'H';
	}
	if (fault == COUNTS && n) ids[0] = calls++ % 256;
	if (fault == ENGINES && n) ids[0] = nan_bit();
	if (fault == BAD_ID && n == 1) ids[0] = 256;
	f->consumed = f->output_len = n;
	f->more = n < f->input_len;
	return FORGE_OK;
}

static uint32_t length(uint8_t c) { return c < 0x80 ? 1 : c < 0xC2 ? 0 : c < 0xE0 ? 2 : c < 0xF0 ? 3 : c < 0xF5 ? 4 : 0; }

// decode gives characters that are whole, and drops bytes that are none.
FORGE_EXPORT(tokenizer_decode) int32_t decode(forge_text *f) {
	const uint32_t *ids = (const uint32_t *)f->input;
	if (f->flags & FORGE_TEXT_FLAG_FIRST) f->carry = f->carry_len = 0;
	if (f->carry_len > 3) return FORGE_FAIL(f, FORGE_ERR_ARG, "no character is carried in more than 3 bytes");
	for (f->consumed = 0; f->consumed < f->input_len && f->output_cap - f->output_len >= 4; f->consumed++) {
		uint8_t c = (uint8_t)ids[f->consumed];
		if (ids[f->consumed] > 255 && fault != TAKES_ANY) return FORGE_FAIL(f, FORGE_ERR_ARG, "a token above 255 is no byte");
		if (f->flags & FORGE_TEXT_FLAG_RAW || (fault == HALVES && !(f->flags & FORGE_TEXT_FLAG_LAST))) {
			f->output[f->output_len++] = c;
			continue;
		}
		uint8_t have[5] = {0};
		for (uint32_t i = 0; i < f->carry_len; i++) have[i] = (uint8_t)(f->carry >> 8 * i);
		if (f->carry_len && (c & 0xC0) != 0x80) f->carry_len = 0;
		have[f->carry_len++] = c;
		// Only what is surely right is given: second bytes that make no character are those below 0xA0 and above 0x7F in some rows.
		bool odd = f->carry_len == 2 && ((have[0] == 0xE0 && c < 0xA0) || (have[0] == 0xED && c > 0x9F) || (have[0] == 0xF0 && c < 0x90) || (have[0] == 0xF4 && c > 0x8F));
		if (length(have[0]) == 0 || odd) f->carry_len = 0;
		if (f->carry_len && f->carry_len == length(have[0])) {
			memcpy(f->output + f->output_len, have, f->carry_len);
			f->output_len += f->carry_len, f->carry_len = 0;
		}
		f->carry = 0;
		for (uint32_t i = 0; i < f->carry_len; i++) f->carry |= (uint32_t)have[i] << 8 * i;
	}
	f->more = f->consumed < f->input_len;
	return FORGE_OK;
}
