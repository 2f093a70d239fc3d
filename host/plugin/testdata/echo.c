// Built by build.sh. A tokenizer whose ids are the bytes of the text; the tokens from 256 on are control tokens, and
// the first of them is recognised by its text in the vocabulary. The config key mode makes it misbehave.
#include "guest.h"
FORGE_MANIFEST("name = \"echo\"\nversion = \"1.0\"\nkind = \"tokenizer\"\nabi = \"1.0\"\nprovides = [\"echo\", \"pre:none\"]\n[[config]]\nname = \"mode\"\ntype = \"i32\"\n")
FORGE_MARKER(tokenizer)

static forge_vocab *vocab;
static uint32_t mode, seen;

FORGE_EXPORT(forge_init) int32_t init(forge_init *f) {
	vocab = f->vocab;
	mode = (uint32_t)f->config[0];
	if (!vocab || vocab->n < 257 || f->n_vocab != vocab->n) return FORGE_FAIL(f, FORGE_ERR_ARG, "the vocabulary is too small.");
	return FORGE_OK;
}

// special tells whether the text of token 256 stands at p: 1 yes, 0 no, -1 the input ends before that is known.
static int special(const uint8_t *p, uint32_t n) {
	const uint8_t *text = vocab->texts + vocab->offsets[256];
	uint32_t len = vocab->offsets[257] - vocab->offsets[256];
	for (uint32_t i = 0; i < len; i++) {
		if (i == n) return -1;
		if (p[i] != text[i]) return 0;
	}
	return (int)len;
}

FORGE_EXPORT(tokenizer_encode) int32_t encode(forge_text *f) {
	uint32_t *out = (uint32_t *)f->output, i = 0, n = 0;
	if (mode == 1) { // without end
		f->output_len = 1;
		f->more = 1;
		out[0] = 0;
		return FORGE_OK;
	}
	if (mode == 2) return FORGE_OK; // no progress
	if (mode == 3) return f->consumed = f->input_len + 1, FORGE_OK;
	if (mode == 4) return f->output_len = f->output_cap + 1, FORGE_OK;
	if (mode == 5) return out[0] = vocab->n, f->output_len = 1, f->consumed = f->input_len, FORGE_OK;
	if (mode == 6) { // takes all, works at the end: allowed
		seen = (f->flags & FORGE_TEXT_FLAG_FIRST ? 0 : seen) + f->input_len;
		if (f->flags & FORGE_TEXT_FLAG_LAST)
			for (volatile uint32_t k = 0; k < 40 * seen; k++) {}
		return f->consumed = f->input_len, FORGE_OK;
	}
	while (i < f->input_len && n < f->output_cap) {
		if (f->input[i] == 1) __builtin_trap();
		if (f->flags & FORGE_TEXT_FLAG_PARSE_SPECIAL) {
			int s = special(f->input + i, f->input_len - i);
			if (s < 0 && !(f->flags & FORGE_TEXT_FLAG_LAST)) break;
			if (s > 0) {
				out[n++] = 256;
				i += (uint32_t)s;
				continue;
			}
		}
		out[n++] = f->input[i++];
	}
	f->consumed = i;
	f->output_len = n;
	f->state++; // calls so far
	return FORGE_OK;
}

// length of the character that begins with b.
static uint32_t length(uint8_t b) { return b < 0xc0 ? 1 : b < 0xe0 ? 2 : b < 0xf0 ? 3 : 4; }

FORGE_EXPORT(tokenizer_decode) int32_t decode(forge_text *f) {
	uint32_t *ids = (uint32_t *)f->input, n = 0, i = 0;
	for (; i < f->input_len && n + 4 < f->output_cap; i++) {
		if (ids[i] > 255) {
			if (!(f->flags & FORGE_TEXT_FLAG_SKIP_SPECIAL))
				for (uint32_t k = vocab->offsets[ids[i]]; k < vocab->offsets[ids[i] + 1]; k++) f->output[n++] = vocab->texts[k];
			continue;
		}
		f->carry |= ids[i] << 8 * f->carry_len++;
		if (f->carry_len < length((uint8_t)f->carry)) continue;
		for (; f->carry_len; f->carry_len--, f->carry >>= 8) f->output[n++] = (uint8_t)f->carry;
		f->carry = 0;
	}
	if (i == f->input_len && (f->flags & FORGE_TEXT_FLAG_LAST))
		for (; f->carry_len; f->carry_len--, f->carry >>= 8) f->output[n++] = (uint8_t)f->carry;
	f->consumed = i;
	f->output_len = n;
	return FORGE_OK;
}
