// pre.h: the pre-tokenizers, which cut plain text into the words that BPE merges within. Each is a function equal to the
// regular expressions that the models are published with (stated above it): they are applied one after the other, each to
// every piece that the ones before left, and a piece's matches and the gaps between them are its pieces.
//
// A word function gives the length of the word that starts at p. It reads text by peek alone; where peek met the end of a
// text that goes on, the answer may be wrong, and next_word says so.
#ifndef TOKENIZER_PRE_H
#define TOKENIZER_PRE_H

#include "unicode.h"
#include "utf8.h"

static struct {
	const uint8_t *end;
	bool open, starved; // more text may come; the end of what there is mattered
} source;

struct character {
	uint32_t code, class, n; // n 0: there is none, code NONE
};

static inline uint32_t class_of(uint32_t code) { return code < CLASS_END ? class_bits[class_block[code / 128]][code % 128] : 0; }

static inline struct character peek(const uint8_t *p) {
	struct character c = {NONE, 0, 0};
	if (p == source.end) {
		source.starved = source.open;
		return c;
	}
	if (*p < 128) return (struct character){*p, class_bits[0][*p], 1};
	c.n = utf8_at(p, source.end, source.open, &c.code);
	if (c.n == 0) {
		source.starved = true;
		c.code = NONE;
		return c;
	}
	c.class = class_of(c.code);
	return c;
}

// run_of gives the end of the characters from p on that have a class of any.
static inline const uint8_t *run_of(const uint8_t *p, uint32_t any) {
	for (;;) {
		while (p < source.end && *p < 128 && class_bits[0][*p] & any) p++;
		if (p < source.end && *p < 128) return p;
		struct character c = peek(p);
		if (!(c.class & any)) return p;
		p += c.n;
	}
}

#define WORDLIKE (CLASS_LETTER | CLASS_NUMBER | CLASS_SPACE)

// Where a piece within which gpt2 works ends: nowhere, before numbers, or where punctuation begins or ends.
enum bounds { BOUNDS_NONE, BOUNDS_NUMBER, BOUNDS_PUNCT, BOUNDS_PUNCT_BACKTICK };

// in_punct: [\p{P}\$\+<=>\^~\|], and ` for BOUNDS_PUNCT_BACKTICK.
static inline bool in_punct(struct character c, enum bounds bounds) {
	if (c.class & CLASS_PUNCT) return true;
	if (c.code >= 128) return false;
	switch (c.code) {
	case '$': case '+': case '<': case '=': case '>': case '^': case '~': case '|': return true;
	case '`': return bounds == BOUNDS_PUNCT_BACKTICK;
	}
	return false;
}

// within is peek that sees the end of the piece as the end of the text.
static inline struct character within(const uint8_t *p, enum bounds bounds, bool punct) {
	struct character c = peek(p);
	if (c.n == 0) return c;
	if (bounds == BOUNDS_NUMBER ? (c.class & CLASS_NUMBER) != 0 : bounds >= BOUNDS_PUNCT && in_punct(c, bounds) != punct) return (struct character){NONE, 0, 0};
	return c;
}

// gpt2: 's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
static inline __attribute__((always_inline)) uint32_t gpt2(const uint8_t *p, enum bounds bounds) {
	struct character c = peek(p);
	bool punct = bounds >= BOUNDS_PUNCT && in_punct(c, bounds);
	if (c.code == '\'') {
		uint32_t b = within(p + 1, bounds, punct).code;
		if (b == 's' || b == 't' || b == 'm' || b == 'd') return 2;
		if (b == 'r' || b == 'v' || b == 'l') {
			uint32_t d = within(p + 2, bounds, punct).code;
			if (d == (b == 'l' ? 'l' : 'e')) return 3;
		}
	}
	const uint8_t *q = p;
	struct character d = c;
	if (c.code == ' ') q++, d = within(q, bounds, punct);
	if (d.class & CLASS_LETTER) return (uint32_t)(run_of(q + d.n, CLASS_LETTER) - p);
	if (d.class & CLASS_NUMBER) return (uint32_t)(run_of(q + d.n, CLASS_NUMBER) - p);
	if (d.n && !(d.class & CLASS_SPACE)) {
		do q += d.n, d = within(q, bounds, punct);
		while (d.n && !(d.class & WORDLIKE));
		return (uint32_t)(q - p);
	}
	// Spaces: all of them at the end of the piece, else all but the last, which belongs to what follows or stands alone.
	const uint8_t *last = p;
	for (q = p + c.n;; last = q, q += d.n) {
		d = within(q, bounds, punct);
		if (!(d.class & CLASS_SPACE)) break;
	}
	return (uint32_t)((d.n && last > p ? last : q) - p);
}

static uint32_t word_gpt2(const uint8_t *p) { return gpt2(p, BOUNDS_NONE); }

// starcoder: \p{N}, then gpt2
static uint32_t word_starcoder(const uint8_t *p) {
	struct character c = peek(p);
	return c.class & CLASS_NUMBER ? c.n : gpt2(p, BOUNDS_NUMBER);
}

static inline bool is_digit(const uint8_t *p) { return p < source.end && *p >= '0' && *p <= '9'; }

// threes cuts a word of numbers, perhaps with a space before them, at [0-9][0-9][0-9].
static uint32_t threes(const uint8_t *p, uint32_t n) {
	const uint8_t *end = p + n;
	for (const uint8_t *q = p; end - q >= 3; q++)
		if (is_digit(q) && is_digit(q + 1) && is_digit(q + 2)) return q == p ? 3 : (uint32_t)(q - p);
	return n;
}

static inline bool three_digits(const uint8_t *p) { return is_digit(p) && is_digit(p + 1) && is_digit(p + 2); }

// falcon: [\p{P}\$\+<=>\^~\|`]+, then gpt2, then [0-9][0-9][0-9]
static uint32_t word_falcon(const uint8_t *p) {
	if (three_digits(p)) return 3; // seen before the whole run of digits is, so that long ones take linear time
	if (*p == ' ' && three_digits(p + 1)) return 1;
	uint32_t n = gpt2(p, BOUNDS_PUNCT_BACKTICK);
	if (peek(p + (*p == ' ' && n > 1)).class & CLASS_NUMBER) return threes(p, n);
	return n;
}

// default: [\p{P}\$\+<=>\^~\|]+, then gpt2, then \p{N}+, then [0-9][0-9][0-9]
static uint32_t word_default(const uint8_t *p) {
	if (three_digits(p)) return 3;
	if (*p == ' ' && peek(p + 1).class & CLASS_NUMBER) return 1;
	uint32_t n = gpt2(p, BOUNDS_PUNCT);
	return peek(p).class & CLASS_NUMBER ? threes(p, n) : n;
}

// The sets of deepseek-llm besides its letters, which are in the class table.
static inline bool deepseek_punct(uint32_t x) { // [!-/:-~！-／：-～‘-‟　-。]
	return (x >= '!' && x <= '/') || (x >= ':' && x <= '~' && !(x >= 'A' && x <= 'Z') && !(x >= 'a' && x <= 'z')) || (x >= 0xFF01 && x <= 0xFF0F) ||
	       (x >= 0xFF1A && x <= 0xFF5E && !(x >= 0xFF21 && x <= 0xFF3A) && !(x >= 0xFF41 && x <= 0xFF5A)) || (x >= 0x2018 && x <= 0x201F) ||
	       (x >= 0x3000 && x <= 0x3002);
}
// The last two expressions, [一-龥ࠀ-一가-퟿]+ and \p{N}+, cut where one of these bits changes.
static inline uint32_t deepseek_kind(struct character c) {
	return ((c.code >= 0x800 && c.code <= 0x9FA5) || (c.code >= 0xAC00 && c.code <= 0xD7FF)) | (c.class & CLASS_NUMBER);
}
static inline bool is_line_end(struct character c) { return c.code == '\r' || c.code == '\n'; }
static inline bool deepseek_space(struct character c) { return c.class & CLASS_SPACE && !is_line_end(c); }

// deepseek_letters and deepseek_marks tell whether a match of the second or third expression starts at c, which is at p.
static inline bool deepseek_letters(const uint8_t *p, struct character c) {
	return c.class & CLASS_DEEPSEEK || (deepseek_space(c) && peek(p + c.n).class & CLASS_DEEPSEEK);
}
static inline bool deepseek_marks(const uint8_t *p, struct character c) {
	if (deepseek_letters(p, c)) return false;
	if (deepseek_punct(c.code)) return true;
	if (!deepseek_space(c)) return false;
	struct character d = peek(p + c.n);
	return deepseek_punct(d.code) && !deepseek_letters(p + c.n, d);
}

// deepseek_inside tells whether c, at p, goes on with a piece of marks, or of what is neither letters nor marks.
static inline bool deepseek_inside(const uint8_t *p, struct character c, bool marks) {
	if (marks) return deepseek_punct(c.code) && !deepseek_letters(p, c);
	return c.n && !is_line_end(c) && !deepseek_letters(p, c) && !deepseek_marks(p, c);
}

// deepseek_rest is the word at p in a piece as above: spaces at the piece's end are apart, and it is all of one kind.
static uint32_t deepseek_rest(const uint8_t *p, bool marks) {
	struct character c = peek(p);
	uint32_t kind = deepseek_kind(c);
	for (const uint8_t *q = p;;) {
		if (q > p && !deepseek_inside(q, c, marks)) return (uint32_t)(q - p);
		const uint8_t *spaces = q;
		while (deepseek_space(c) && (spaces == p || deepseek_inside(spaces, c, marks))) spaces += c.n, c = peek(spaces);
		bool last = spaces > q && !deepseek_inside(spaces, c, marks);
		if (last && q > p) return (uint32_t)(q - p);
		do {
			c = peek(q);
			if (deepseek_kind(c) != kind) return (uint32_t)(q - p);
			q += c.n;
		} while (q < spaces);
		if (last) return (uint32_t)(q - p);
		c = peek(q);
	}
}

// deepseek-llm: [\r\n], then \s?[letters]+, then \s?[punctuation]+, then \s+$, then [ideographs]+, then \p{N}+
static uint32_t word_deepseek_llm(const uint8_t *p) {
	struct character c = peek(p);
	if (c.n == 0 || is_line_end(c)) return c.n;
	if (!deepseek_letters(p, c)) return deepseek_rest(p, deepseek_marks(p, c));
	if (deepseek_punct(c.code)) return c.n; // U+3000, a space and a mark
	uint32_t kind = deepseek_kind(c);
	const uint8_t *q = p;
	do q += c.n, c = peek(q);
	while (c.class & CLASS_DEEPSEEK && deepseek_kind(c) == kind);
	return (uint32_t)(q - p);
}

// llama3: (?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|
// \s*[\r\n]+|\s+(?!\S)|\s+ and qwen2 the same with \p{N} for \p{N}{1,3}
static inline __attribute__((always_inline)) uint32_t llama3(const uint8_t *p, uint32_t numbers) {
	struct character c = peek(p), d;
	const uint8_t *q = p + c.n;
	if (c.code == '\'') {
		uint32_t b = peek(q).code | 32;
		if (b == 's' || b == 't' || b == 'm' || b == 'd') return 2;
		if (b == 'r' || b == 'v' || b == 'l') {
			uint32_t e = peek(q + 1).code | 32;
			if (e == (b == 'l' ? 'l' : 'e')) return 3;
		}
	}
	if (c.class & CLASS_LETTER) return (uint32_t)(run_of(q, CLASS_LETTER) - p);
	if (c.class & CLASS_NUMBER) {
		for (uint32_t i = 1; i < numbers && (d = peek(q), d.class & CLASS_NUMBER); i++) q += d.n;
		return (uint32_t)(q - p);
	}
	d = peek(q);
	if (c.code != '\r' && c.code != '\n' && d.class & CLASS_LETTER) return (uint32_t)(run_of(q + d.n, CLASS_LETTER) - p);
	if (!(c.class & CLASS_SPACE) || (c.code == ' ' && d.n && !(d.class & WORDLIKE))) {
		while (d.n && !(d.class & WORDLIKE)) q += d.n, d = peek(q);
		while (d.code == '\r' || d.code == '\n') q += d.n, d = peek(q);
		return (uint32_t)(q - p);
	}
	const uint8_t *last = p, *after_line = c.code == '\r' || c.code == '\n' ? q : 0;
	for (; d.class & CLASS_SPACE; d = peek(q)) {
		last = q, q += d.n;
		if (d.code == '\r' || d.code == '\n') after_line = q;
	}
	if (after_line) return (uint32_t)(after_line - p);
	return (uint32_t)((d.n && last > p ? last : q) - p);
}
static uint32_t word_llama3(const uint8_t *p) { return llama3(p, 3); }
static uint32_t word_qwen2(const uint8_t *p) { return llama3(p, 1); }

// The values of tokenizer.ggml.pre. whole: a word that is a token becomes it without merging.
static const struct pre {
	const char *name;
	uint32_t (*word)(const uint8_t *p);
	bool whole;
} pres[] = {
	{"default", word_default, false},
	{"gpt-2", word_gpt2, false}, {"phi-2", word_gpt2, false}, {"mpt", word_gpt2, false}, {"olmo", word_gpt2, false},
	{"jais", word_gpt2, false},
	{"smollm", word_starcoder, false}, {"starcoder", word_starcoder, false}, {"refact", word_starcoder, false}, {"command-r", word_starcoder, false},
	{"codeshell", word_starcoder, false}, {"exaone", word_starcoder, false}, {"minerva-7b", word_starcoder, false},
	{"falcon", word_falcon, false},
	{"deepseek-llm", word_deepseek_llm, false},
	{"llama-bpe", word_llama3, true}, {"llama3", word_llama3, true}, {"llama-v3", word_llama3, true}, {"falcon3", word_llama3, true},
	{"pixtral", word_llama3, true},
	{"dbrx", word_llama3, false}, {"smaug-bpe", word_llama3, false},
	{"qwen2", word_qwen2, false}, {"deepseek-r1-qwen", word_qwen2, false}, {"megrez", word_qwen2, false}, {"stablelm2", word_qwen2, false},
};
#define N_PRES (sizeof(pres) / sizeof(pres[0]))

#endif
