// NAME: a tokenizer for files whose tokenizer.ggml.model is "NAME": at each place of a text the longest token that fits there.
// Every token is whole characters, so that decoding is joining.
//
// Tokens are found through lists by their first byte, which is quick for some thousand tokens; a large vocabulary wants a trie.
#include "guest.h"

FORGE_MANIFEST("name = \"NAME\"\nversion = \"0.1\"\nkind = \"tokenizer\"\nabi = \"1.0\"\nprovides = [\"NAME\"]\n")
FORGE_MARKER(tokenizer)

#define NO_TOKEN 0xFFFFFFFFu

static const forge_vocab *vocab;
static uint32_t first[256], *next; // of each first byte the tokens that begin with it
static uint32_t most = 4;          // bytes of the longest token, or of the longest character

static uint32_t length(uint32_t id) { return vocab->offsets[id + 1] - vocab->offsets[id]; }
static const uint8_t *text(uint32_t id) { return vocab->texts + vocab->offsets[id]; }
static bool special(uint32_t id) { return vocab->types && vocab->types[id] == FORGE_TOKEN_TYPE_CONTROL; }

// continues tells whether a byte cannot begin a character (RFC 3629).
static bool continues(uint8_t c) { return (c & 0xC0) == 0x80; }

// whole tells whether a text neither begins nor ends within a character.
static bool whole(const uint8_t *s, uint32_t n) {
	uint32_t last = n;
	while (last > 0 && continues(s[last - 1])) last--;
	if (n == 0) return true;
	if (continues(s[0]) || last == 0) return false;
	uint8_t c = s[last - 1];
	return n - last == (c < 0x80 ? 0u : c < 0xE0 ? 1u : c < 0xF0 ? 2u : 3u);
}

FORGE_EXPORT(forge_init) int32_t init(forge_init *frame) {
	frame->accepted = 0;
	vocab = frame->vocab; // stays where it is for the instance's life
	if (!vocab || vocab->n == 0) return FORGE_FAIL(frame, FORGE_ERR_CONFIG, "the file has no vocabulary");
	next = forge_grow(4 * vocab->n);
	if (!next) return FORGE_FAIL(frame, FORGE_ERR_NOMEM, "no memory for the lists: raise limits.pages");
	for (uint32_t c = 0; c < 256; c++) first[c] = NO_TOKEN;
	for (uint32_t id = vocab->n; id-- > 0;) {
		if (length(id) == 0) continue;
		if (!whole(text(id), length(id))) return FORGE_FAIL(frame, FORGE_ERR_UNSUPPORTED, "a token of the vocabulary is not whole characters");
		next[id] = first[text(id)[0]], first[text(id)[0]] = id;
		if (length(id) > most) most = length(id);
	}
	return FORGE_OK;
}

static uint32_t longest(const uint8_t *at, uint32_t left, bool specials) {
	uint32_t best = NO_TOKEN, n = 0;
	for (uint32_t id = first[at[0]]; id != NO_TOKEN; id = next[id])
		if (length(id) > n && length(id) <= left && (specials || !special(id)) && memcmp(text(id), at, length(id)) == 0) best = id, n = length(id);
	return best;
}

// The host offers what is left of the text until all is consumed, in pieces: a place is decided once the longest token is in sight.
FORGE_EXPORT(tokenizer_encode) int32_t encode(forge_text *frame) {
	uint32_t *ids = (uint32_t *)frame->output;
	while (frame->consumed < frame->input_len && frame->output_len < frame->output_cap) {
		const uint8_t *at = frame->input + frame->consumed;
		uint32_t left = frame->input_len - frame->consumed, n = 1;
		if (left < most && !(frame->flags & FORGE_TEXT_FLAG_LAST)) break;
		uint32_t id = longest(at, left, frame->flags & FORGE_TEXT_FLAG_PARSE_SPECIAL);
		if (id != NO_TOKEN) n = length(id);
		else if (vocab->unk < 0) return FORGE_FAIL(frame, FORGE_ERR_ARG, "the text has a character that no token has, and the vocabulary names no unknown token");
		else {
			id = (uint32_t)vocab->unk;
			while (n < left && n < 4 && continues(at[n])) n++;
		}
		ids[frame->output_len++] = id;
		frame->consumed += n;
	}
	frame->more = frame->consumed < frame->input_len;
	return FORGE_OK;
}

FORGE_EXPORT(tokenizer_decode) int32_t decode(forge_text *frame) {
	const uint32_t *ids = (const uint32_t *)frame->input;
	for (; frame->consumed < frame->input_len; frame->consumed++) {
		uint32_t id = ids[frame->consumed];
		if (id >= vocab->n) return FORGE_FAIL(frame, FORGE_ERR_ARG, "a token is not in the vocabulary");
		if (special(id) && frame->flags & FORGE_TEXT_FLAG_SKIP_SPECIAL) continue;
		if (length(id) > frame->output_cap - frame->output_len) break;
		memcpy(frame->output + frame->output_len, text(id), length(id));
		frame->output_len += length(id);
	}
	frame->more = frame->consumed < frame->input_len;
	return FORGE_OK;
}
