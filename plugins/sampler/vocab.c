// vocab.c: what tokens stand for in text, and which of them end a generation.
#include "text.h"

static const forge_vocab *vocab;
static bool byte_level, blanks;

void vocab_open(const forge_vocab *v) {
	vocab = v;
	if (!v) return;
	byte_level = v->model_len == 4 && memcmp(v->model, "gpt2", 4) == 0;
	blanks = v->model_len == 5 && memcmp(v->model, "llama", 5) == 0;
}

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

static int32_t hex(uint8_t c) {
	if (c >= '0' && c <= '9') return c - '0';
	if (c >= 'A' && c <= 'F') return c - 'A' + 10;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

// letter_byte gives the byte that a letter of the byte-level alphabet stands for, -1 for other characters. Printable
// bytes of Latin-1 stand for themselves; the other 68, in ascending order, are U+0100 and on.
static int32_t letter_byte(uint32_t c) {
	if ((c >= 0x21 && c <= 0x7e) || (c >= 0xa1 && c <= 0xac) || (c >= 0xae && c <= 0xff)) return (int32_t)c;
	if (c < 0x100 || c >= 0x144) return -1;
	uint32_t i = c - 0x100; // 0x00-0x20, 0x7f-0xa0, 0xad
	return i < 33 ? (int32_t)i : i < 67 ? (int32_t)(i - 33 + 0x7f) : 0xad;
}

uint32_t vocab_bytes(uint32_t id, uint8_t *to, uint32_t cap) {
	if (!vocab || id >= vocab->n) return 0;
	if (vocab->piece_offsets) {
		uint32_t n = vocab->piece_offsets[id + 1] - vocab->piece_offsets[id];
		if (n > cap) n = cap;
		memcpy(to, vocab->pieces + vocab->piece_offsets[id], n);
		return n;
	}
	const uint8_t *s = vocab->texts + vocab->offsets[id];
	uint32_t n = vocab->offsets[id + 1] - vocab->offsets[id], out = 0;
	int32_t type = vocab->types ? vocab->types[id] : FORGE_TOKEN_TYPE_NORMAL;
	if (type == FORGE_TOKEN_TYPE_BYTE && n == 6 && hex(s[3]) >= 0 && hex(s[4]) >= 0 && cap) { // <0x0A>
		to[0] = (uint8_t)(hex(s[3]) << 4 | hex(s[4]));
		return 1;
	}
	// Tokens that were added to a vocabulary stand as they are.
	bool as_is = type == FORGE_TOKEN_TYPE_CONTROL || type == FORGE_TOKEN_TYPE_USER_DEFINED;
	for (uint32_t i = 0; i < n && out < cap; i++) {
		uint8_t c = s[i];
		if (!as_is && blanks && c == 0xe2 && i + 2 < n && s[i + 1] == 0x96 && s[i + 2] == 0x81) {
			c = ' ', i += 2;
		} else if (!as_is && byte_level && c >= 0xc2 && c < 0xe0 && i + 1 < n) {
			int32_t byte = letter_byte((uint32_t)(c & 31) << 6 | (s[i + 1] & 63));
			if (byte >= 0) c = (uint8_t)byte, i++;
		}
		to[out++] = c;
	}
	return out;
}
