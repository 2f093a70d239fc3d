// stream.h: the exports tokenizer_encode and tokenizer_decode over what the including file defines:
//
//     static enum step encode_step(bool open)   // tokens of buffered text, see below
//     static uint32_t resolve(const uint8_t *text, uint32_t a, uint32_t b, uint32_t id, uint32_t *ids)
//     static bool strips_space;                 // decode: leave out the space that a text begins with
//
// Encoding keeps text that may still belong to a longer token in a buffer of its own, so it always takes all input that
// fits; a host that has sent its last piece calls until more is 0. One text at a time: FIRST drops what is left of another.
// Decoding keeps nothing: the frame's carry and state are all it knows, so texts may take turns.
#ifndef TOKENIZER_STREAM_H
#define TOKENIZER_STREAM_H

#include "merge.h"
#include "special.h"
#include "utf8.h"
#include "words.h"

#define TEXT (1024 * 1024) // bytes of text held back, and so the longest stretch without a place to split it

enum step { STEP_AGAIN, STEP_TEXT, STEP_NOMEM }; // call again; wants text, or is done where no more comes; no memory

// The text buffer: bytes [at, end) are to be encoded, [at, scan) are looked at already.
static struct {
	uint8_t *bytes;
	uint32_t at, scan, end;
	uint32_t mode; // 1: texts of control tokens become these tokens
} text;

static struct {
	uint32_t *ids, cap, n;
	uint32_t waiting[4 * SHORT], n_waiting, at_waiting; // ids of a step that found no room
} out;

static enum step encode_step(bool open);
static void encode_reset(void);
static uint32_t resolve(const uint8_t *text, uint32_t a, uint32_t b, uint32_t id, uint32_t *ids);
static bool strips_space;

static bool stream_init(void) { return (text.bytes = take(TEXT + SLACK)) != 0; }

// emit gives out at most 4 * SHORT ids of one step.
static inline void emit(const uint32_t *ids, uint32_t n) {
	uint32_t room = out.cap - out.n, i = 0;
	for (; i < n && i < room; i++) out.ids[out.n + i] = ids[i];
	out.n += i;
	if (i == n) return;
	out.at_waiting = out.n_waiting = 0;
	for (; i < n; i++) out.waiting[out.n_waiting++] = ids[i];
}

static bool emit_waiting(void) {
	while (out.at_waiting < out.n_waiting && out.n < out.cap) out.ids[out.n++] = out.waiting[out.at_waiting++];
	return out.at_waiting == out.n_waiting;
}

// What merge_large left, given out bit by bit.
static struct {
	const uint8_t *text;
	uint32_t at, byte; // symbol, and bytes of it that are given out
	bool active;
} rest;

static void emit_large(void) {
	while (rest.active && out.at_waiting == out.n_waiting) {
		uint32_t ids[4 * SHORT], n = 0;
		while (n < SHORT && rest.at < large.n) {
			uint32_t a = large.start[rest.at] + rest.byte, b = large.start[large.next[rest.at]], id = large.id[rest.at];
			if (id >= tokens.n && b - a > SHORT / 2) {
				n += resolve(rest.text, a, a + SHORT / 2, id, ids + n);
				rest.byte += SHORT / 2;
				continue;
			}
			n += resolve(rest.text, a, b, id, ids + n);
			rest.byte = 0, rest.at = large.next[rest.at];
		}
		if (n == 0) rest.active = false;
		emit(ids, n);
	}
}

FORGE_EXPORT(tokenizer_encode) int32_t tokenizer_encode(forge_text *f) {
	if (f->head.size < offsetof(forge_text, reserved)) return FORGE_FAIL(f, FORGE_ERR_ABI, "the text frame has ", decimal(f->head.size), " bytes, too few");
	if (f->flags & FORGE_TEXT_FLAG_FIRST) {
		text.at = text.scan = text.end = 0;
		out.n_waiting = out.at_waiting = 0;
		rest.active = false;
		encode_reset();
	}
	text.mode = (f->flags & FORGE_TEXT_FLAG_PARSE_SPECIAL) != 0;
	out.ids = (uint32_t *)f->output, out.cap = f->output_cap, out.n = 0;
	f->consumed = 0, f->output_len = 0, f->more = 1;
	for (;;) {
		bool full = !emit_waiting();
		if (!full && rest.active) emit_large(), full = out.at_waiting != out.n_waiting;
		if (full) break;
		uint32_t left = f->input_len - f->consumed;
		if (left > TEXT - text.end && text.at) {
			__builtin_memmove(text.bytes, text.bytes + text.at, text.end - text.at);
			text.end -= text.at, text.scan -= text.at, text.at = 0;
		}
		if (left > TEXT - text.end) left = TEXT - text.end;
		if (left) {
			__builtin_memcpy(text.bytes + text.end, f->input + f->consumed, left);
			text.end += left, f->consumed += left;
		}
		bool all = f->consumed == f->input_len, open = !all || !(f->flags & FORGE_TEXT_FLAG_LAST);
		enum step s;
		while ((s = encode_step(open)) == STEP_AGAIN)
			if (rest.active || out.at_waiting != out.n_waiting) break;
		if (s == STEP_AGAIN) continue;
		if (s == STEP_NOMEM) {
			f->output_len = out.n;
			return FORGE_FAIL(f, FORGE_ERR_NOMEM, "no memory for a stretch of text without a place to split it");
		}
		if (all) {
			f->more = 0;
			break;
		}
		if (text.at == 0 && text.end == TEXT)
			return FORGE_FAIL(f, FORGE_ERR_UNSUPPORTED, "the text has more than ", decimal(TEXT), " bytes in a row without a place where it may be split");
	}
	f->output_len = out.n;
	return FORGE_OK;
}

// Bits of the decode state: STARTED, then how many bytes of the first input token are given out already.
#define STARTED 1u

// decode_byte adds a byte to the unfinished character in carry and writes what is settled: that character, or U+FFFD for
// each longest beginning of one that the byte does not continue. It needs 7 bytes of room.
static uint8_t *decode_byte(forge_text *f, uint8_t *to, uint8_t c) {
	uint8_t have[4];
	for (uint32_t i = 0; i < f->carry_len; i++) have[i] = (uint8_t)(f->carry >> 8 * i);
	have[f->carry_len] = c;
	uint32_t n = f->carry_len + 1, need = utf8_need(have, n);
	if (need == 0 && f->carry_len) {
		*to++ = 0xEF, *to++ = 0xBF, *to++ = 0xBD;
		have[0] = c, n = 1, need = utf8_need(have, 1);
	}
	f->carry_len = 0, f->carry = 0;
	if (need == 0) {
		*to++ = 0xEF, *to++ = 0xBF, *to++ = 0xBD;
	} else if (need == n) {
		for (uint32_t i = 0; i < n; i++) *to++ = have[i];
	} else {
		for (uint32_t i = 0; i < n; i++) f->carry |= (uint32_t)have[i] << 8 * i;
		f->carry_len = n;
	}
	return to;
}

FORGE_EXPORT(tokenizer_decode) int32_t tokenizer_decode(forge_text *f) {
	if (f->head.size < offsetof(forge_text, reserved)) return FORGE_FAIL(f, FORGE_ERR_ABI, "the text frame has ", decimal(f->head.size), " bytes, too few");
	f->consumed = 0, f->output_len = 0, f->more = 0;
	if (f->flags & FORGE_TEXT_FLAG_FIRST) f->state = 0, f->carry = 0, f->carry_len = 0;
	if (f->carry_len > 3) return FORGE_FAIL(f, FORGE_ERR_ARG, "carry_len is ", decimal(f->carry_len), ", at most 3 bytes are ever held back");
	if (f->output_cap < 8) return FORGE_FAIL(f, FORGE_ERR_ARG, "the output has room for ", decimal(f->output_cap), " bytes, 8 are the least");
	const uint8_t *ids = f->input;
	uint8_t *to = f->output, *full = to + f->output_cap - 7;
	bool raw = f->flags & FORGE_TEXT_FLAG_RAW;
	for (; f->consumed < f->input_len; f->consumed++) {
		uint32_t id = load32(ids + 4 * f->consumed), n;
		if (id >= tokens.n) {
			f->output_len = (uint32_t)(to - f->output);
			return FORGE_FAIL(f, FORGE_ERR_ARG, "token ", decimal(id), " is not in the vocabulary, which has ", decimal(tokens.n));
		}
		uint32_t type = tokens.types[id];
		if (f->flags & FORGE_TEXT_FLAG_SKIP_SPECIAL && (type == FORGE_TOKEN_TYPE_CONTROL || type == FORGE_TOKEN_TYPE_UNKNOWN)) continue;
		const uint8_t *p = token_text(id, &n);
		uint32_t i = f->state >> 1;
		if (i == 0 && !raw && !(f->state & STARTED) && strips_space && n && p[0] == ' ' && type != FORGE_TOKEN_TYPE_CONTROL) i = 1;
		for (; i < n && to < full; i++) {
			if (raw || (p[i] < 0x80 && f->carry_len == 0)) *to++ = p[i];
			else to = decode_byte(f, to, p[i]);
		}
		if (i < n) {
			f->state = i << 1 | STARTED, f->more = 1;
			break;
		}
		f->state = STARTED;
	}
	if (!f->more && f->flags & FORGE_TEXT_FLAG_LAST && f->carry_len) {
		if (to < full) *to++ = 0xEF, *to++ = 0xBF, *to++ = 0xBD, f->carry_len = 0, f->carry = 0;
		else f->more = 1;
	}
	f->output_len = (uint32_t)(to - f->output);
	return FORGE_OK;
}

#endif
