// bytes: the smallest tokenizer there is. A vocabulary of the model "bytes" has 256 tokens, and token i is the byte i.
//
// Encoding needs no thought. Decoding must never show half a character: the bytes of one that is not complete wait in the
// frame's carry, and what can be no character becomes U+FFFD.
#include "guest.h"

FORGE_MANIFEST("name = \"bytes\"\nversion = \"1.0\"\nkind = \"tokenizer\"\nabi = \"1.0\"\nprovides = [\"bytes\"]\n")
FORGE_MARKER(tokenizer)

FORGE_EXPORT(forge_init) int32_t init(forge_init *frame) {
	frame->accepted = 0;
	if (frame->n_vocab != 256) return FORGE_FAIL(frame, FORGE_ERR_UNSUPPORTED, "the vocabulary must have 256 tokens, one for each byte");
	return FORGE_OK;
}

FORGE_EXPORT(tokenizer_encode) int32_t encode(forge_text *f) {
	uint32_t *ids = (uint32_t *)f->output, n = f->input_len < f->output_cap ? f->input_len : f->output_cap;
	for (uint32_t i = 0; i < n; i++) ids[i] = f->input[i];
	f->consumed = f->output_len = n;
	f->more = n < f->input_len;
	return FORGE_OK;
}

// need gives the length of the character that n bytes begin, or 0 if they cannot begin one (RFC 3629).
static uint32_t need(const uint8_t *p, uint32_t n) {
	uint8_t c = p[0];
	if (c < 0x80) return 1;
	if (c < 0xC2 || c > 0xF4) return 0;
	uint8_t low = c == 0xE0 ? 0xA0 : c == 0xF0 ? 0x90 : 0x80, high = c == 0xED ? 0x9F : c == 0xF4 ? 0x8F : 0xBF;
	if (n > 1 && (p[1] < low || p[1] > high)) return 0;
	for (uint32_t i = 2; i < n; i++)
		if ((p[i] & 0xC0) != 0x80) return 0;
	return c < 0xE0 ? 2 : c < 0xF0 ? 3 : 4;
}

static uint8_t *replacement(uint8_t *to) {
	*to++ = 0xEF, *to++ = 0xBF, *to++ = 0xBD; // U+FFFD
	return to;
}

// decode_byte adds a byte to the character in carry and writes what that settles: at most 6 bytes.
static uint8_t *decode_byte(forge_text *f, uint8_t *to, uint8_t c) {
	uint8_t have[4];
	uint32_t n = f->carry_len, want;
	for (uint32_t i = 0; i < n; i++) have[i] = (uint8_t)(f->carry >> 8 * i);
	have[n++] = c;
	if ((want = need(have, n)) == 0 && n > 1) { // c does not continue what waits: that was no character, c may begin one
		to = replacement(to);
		have[0] = c, n = 1, want = need(have, 1);
	}
	f->carry = f->carry_len = 0;
	if (want == 0) return replacement(to);
	if (want == n) {
		for (uint32_t i = 0; i < n; i++) *to++ = have[i];
		return to;
	}
	for (uint32_t i = 0; i < n; i++) f->carry |= (uint32_t)have[i] << 8 * i;
	f->carry_len = n;
	return to;
}

FORGE_EXPORT(tokenizer_decode) int32_t decode(forge_text *f) {
	if (f->flags & FORGE_TEXT_FLAG_FIRST) f->carry = f->carry_len = 0;
	if (f->carry_len > 3) return FORGE_FAIL(f, FORGE_ERR_ARG, "carry_len is above 3");
	const uint32_t *ids = (const uint32_t *)f->input;
	uint8_t *to = f->output, *end = f->output + f->output_cap;
	for (f->consumed = 0; f->consumed < f->input_len && end - to >= 6; f->consumed++) {
		uint32_t id = ids[f->consumed];
		if (id > 255) return FORGE_FAIL(f, FORGE_ERR_ARG, "a token above 255 is no byte");
		if (f->flags & FORGE_TEXT_FLAG_RAW) *to++ = (uint8_t)id;
		else to = decode_byte(f, to, (uint8_t)id);
	}
	f->more = f->consumed < f->input_len;
	if (!f->more && f->flags & FORGE_TEXT_FLAG_LAST && f->carry_len) {
		if (end - to >= 3) to = replacement(to), f->carry = f->carry_len = 0;
		else f->more = 1;
	}
	f->output_len = (uint32_t)(to - f->output);
	return FORGE_OK;
}
