// spm.c: tokenizer guest for tokenizer.ggml.model "llama": SentencePiece's BPE. A text's characters are merged into the
// pieces with the best scores (Kudo and Richardson 2018, SentencePiece; Sennrich et al. 2016, BPE); what is no piece is
// given as bytes. A space is written U+2581 in pieces; here both sides are brought to a plain space.
//
// No merge reaches across two characters that stand next to each other in no piece. So text is cut between such pairs,
// which for spaced scripts is before each word, and each stretch is merged for itself, and remembered.
#include "stream.h"

FORGE_MANIFEST("name = \"spm\"\nversion = \"1.0\"\nkind = \"tokenizer\"\nabi = \"1.0\"\nprovides = [\"llama\"]\n")
FORGE_MARKER(tokenizer)

static uint32_t *priorities;  // [n] of a piece: the better its score, the lower
static uint64_t *prefix_hash; // hash of the first i bytes of the stretch being merged
static uint32_t prefix_cap;
static uint8_t *stretch;      // a stretch brought to plain spaces
static uint32_t byte_ids[256];
static uint32_t unknown;      // id or NONE
static bool adds_space;

// Phi-3's special tokens, but for <unk>, <s> and <|endoftext|>, take the white space that follows them along. No key of the
// file says so, so the vocabulary is known by its special tokens <|user|> and <|placeholder1|>.
static uint8_t *takes_space; // [n], or 0: none does

// Which characters follow each other in some piece: exact for ASCII, else a bit per hash of the pair, where a clash only
// makes a stretch longer.
#define PAIR_BITS 23
static uint8_t ascii_pairs[128][128];
static uint8_t *pairs;

static inline uint32_t pair_bit(uint32_t a, uint32_t b) {
	uint64_t h = ((uint64_t)a << 32 | b) * 0x9E3779B97F4A7C15ull;
	return (uint32_t)(h >> (64 - PAIR_BITS));
}
static inline bool joined(uint32_t a, uint32_t b) {
	if (a < 128 && b < 128) return ascii_pairs[a][b];
	uint32_t bit = pair_bit(a, b);
	return pairs[bit >> 3] >> (bit & 7) & 1;
}
static inline void set_joined(uint32_t a, uint32_t b) {
	if (a < 128 && b < 128) {
		ascii_pairs[a][b] = 1;
		return;
	}
	uint32_t bit = pair_bit(a, b);
	pairs[bit >> 3] |= (uint8_t)(1 << (bit & 7));
}

static inline bool is_space_mark(const uint8_t *p, const uint8_t *end) {
	return p[0] == 0xE2 && end - p >= 3 && p[1] == 0x96 && p[2] == 0x81;
}

static inline uint32_t find(const uint8_t *p, uint32_t n, uint64_t h) { return table_id(table_slot(p, n, hash_mix(h), token_text)); }

static inline uint64_t hash_of(uint32_t a, uint32_t b) { return prefix_hash[b] - prefix_hash[a] * hash_power[b - a]; }

static uint32_t join(const uint8_t *s, uint32_t a, uint32_t b, uint32_t c, uint32_t left, uint32_t right, uint32_t *id) {
	(void)b, (void)left, (void)right;
	if (c - a > tokens.longest) return NONE;
	*id = find(s + a, c - a, hash_of(a, c));
	return *id == NONE ? NONE : priorities[*id];
}

// resolve: a symbol that was merged has its id; others are looked up as they stand.
static uint32_t resolve(const uint8_t *s, uint32_t a, uint32_t b, uint32_t id, uint32_t *ids) {
	if (id == NONE && b - a <= tokens.longest) id = find(s + a, b - a, hash_text(s + a, b - a));
	if (id != NONE) {
		ids[0] = id;
		return 1;
	}
	static const uint8_t mark[3] = {0xE2, 0x96, 0x81};
	const uint8_t *p = s + a;
	uint32_t n = b - a;
	if (n == 1 && *p == ' ') p = mark, n = 3;
	for (uint32_t i = 0; i < n; i++) {
		ids[i] = byte_ids[p[i]];
		if (ids[i] == NONE) {
			ids[0] = unknown;
			return unknown != NONE;
		}
	}
	return n;
}

// lead: the stretch has a space before its first byte. fresh: the next character begins a run of plain text.
// skips: the white space that follows goes with the special token before it.
static bool lead, fresh, skips;
static uint32_t before; // the character before text.scan

static void encode_reset(void) { lead = skips = false, fresh = true; }

// encode_stretch merges text.bytes[text.at:to].
static enum step encode_stretch(uint32_t to) {
	const uint8_t *s = text.bytes + text.at;
	uint32_t n = to - text.at;
	bool plain = !lead;
	for (uint32_t i = 0; plain && i < n; i++) plain = s[i] != 0xE2;
	if (!plain) {
		uint32_t m = 0;
		if (lead) stretch[m++] = ' ';
		for (uint32_t i = 0; i < n;) {
			if (is_space_mark(s + i, s + n)) stretch[m++] = ' ', i += 3;
			else stretch[m++] = s[i++];
		}
		s = stretch, n = m;
	}
	text.at = to, lead = false;
	if (n == 0) return STEP_AGAIN;
	uint64_t key[3];
	struct word *w = 0;
	if (n <= WORD_BYTES) {
		w = word_key(s, n, key);
		if (word_is(w, key)) {
			emit(w->ids, w->n);
			return STEP_AGAIN;
		}
	}
	if (n + 1 > prefix_cap) {
		prefix_cap = n < 131072 ? 131072 : TEXT + SLACK;
		prefix_hash = take(prefix_cap * 8);
		if (!prefix_hash) {
			prefix_cap = 0;
			return STEP_NOMEM;
		}
	}
	uint64_t h = 0;
	for (uint32_t i = 0; i < n; i++) prefix_hash[i] = h, h = hash_add(h, s[i]);
	prefix_hash[n] = h;
	uint32_t n_symbols = 0, code;
	bool small = n <= SHORT;
	if (!small && !large_room(n + 1)) return STEP_NOMEM;
	uint32_t *start = small ? short_start : large.start, *id = small ? short_id : large.id;
	for (uint32_t i = 0; i < n; i += utf8_at(s + i, s + n, false, &code)) start[n_symbols] = i, id[n_symbols++] = NONE;
	start[n_symbols] = n;
	if (small) {
		uint32_t ids[4 * SHORT], n_ids = 0;
		n_symbols = merge_short(s, n_symbols);
		for (uint32_t i = 0; i < n_symbols; i++) n_ids += resolve(s, start[i], start[i + 1], id[i], ids + n_ids);
		if (w && n_ids <= WORD_IDS) {
			w->key[0] = key[0], w->key[1] = key[1], w->key[2] = key[2], w->n = n_ids;
			for (uint32_t i = 0; i < n_ids; i++) w->ids[i] = ids[i];
		}
		emit(ids, n_ids);
		return STEP_AGAIN;
	}
	merge_large(s, n_symbols);
	rest.text = s, rest.at = rest.byte = 0, rest.active = true;
	return STEP_AGAIN;
}

static enum step encode_step(bool open) {
	const uint8_t *end = text.bytes + text.end;
	for (; skips && text.at < text.end; text.scan = ++text.at) {
		uint8_t c = text.bytes[text.at];
		skips = c == ' ' || (c >= '\t' && c <= '\r');
		if (!skips) break;
	}
	for (uint32_t i = text.scan; i < text.end;) {
		const uint8_t *p = text.bytes + i;
		text.scan = i;
		if (special_maybe(p, end, open, text.mode)) {
			uint32_t id;
			int32_t n = special_at(p, end, open, text.mode, &id);
			if (n < 0) return STEP_TEXT;
			if (n > 0) {
				// The run of plain text ends here; its last stretch goes first.
				if (i > text.at || lead) return encode_stretch(i);
				text.at = text.scan = i + (uint32_t)n, fresh = true;
				skips = takes_space && takes_space[id];
				emit(&id, 1);
				return STEP_AGAIN;
			}
		}
		uint32_t code, n = utf8_at(p, end, open, &code);
		if (n == 0) return STEP_TEXT;
		if (code == 0x2581) code = ' ';
		if (fresh) {
			fresh = false;
			lead = adds_space, before = ' ';
			if (lead && !joined(before, code)) {
				before = code, text.scan = i + n;
				return encode_stretch(i);
			}
		} else if (i > text.at && !joined(before, code)) {
			before = code, text.scan = i + n;
			return encode_stretch(i);
		}
		before = code, i += n, text.scan = i;
	}
	if (open) return STEP_TEXT;
	if (text.end > text.at || lead) return encode_stretch(text.end);
	return STEP_TEXT;
}

static int32_t hex(uint8_t c) { return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1; }

// add_piece writes the text p[:n] of token id to its place, spaces plain, enters it in the table and gives its end.
static uint8_t *add_piece(uint32_t id, uint8_t *to, const uint8_t *p, uint32_t n) {
	uint8_t *from = to;
	uint64_t h = 0;
	uint32_t last = NONE, code, m;
	bool spaced = false;
	for (const uint8_t *end = p + n; p < end; p += m, last = code) {
		code = *p, m = 1;
		if (code < 128) {
			spaced |= code == ' ';
		} else if (is_space_mark(p, end)) {
			code = ' ', m = 3;
		} else {
			m = utf8_at(p, end, false, &code);
			for (uint32_t i = 0; i < m; i++) h = hash_add(h, *to++ = p[i]);
			if (last != NONE) set_joined(last, code);
			continue;
		}
		*to++ = (uint8_t)code;
		h = hash_add(h, (uint8_t)code);
		if (last < 128) ascii_pairs[last][code] = 1;
		else if (last != NONE) set_joined(last, code);
	}
	n = (uint32_t)(to - from);
	tokens.offsets[id + 1] = (uint32_t)(to - tokens.texts);
	// A piece with a plain space in it never equals text, where spaces are U+2581.
	if (n == 0 || n > MAX_PIECE || spaced) return to;
	if (n > tokens.longest) tokens.longest = n;
	h = hash_mix(h);
	table_set(table_slot(from, n, h, token_text), h, id); // of equal texts the last counts
	return to;
}

FORGE_EXPORT(forge_init) int32_t forge_init_spm(forge_init *f) {
	forge_vocab *v = f->vocab;
	if (!v) return FORGE_FAIL(f, FORGE_ERR_ARG, "a tokenizer needs a vocabulary, none was given");
	if (!is_text(v->model, v->model_len, "llama"))
		return FORGE_FAIL(f, FORGE_ERR_UNSUPPORTED, "tokenizer.ggml.model is \"", printable(v->model, v->model_len), "\", this tokenizer serves \"llama\"");
	if (v->n == 0 || v->n > 1u << 24) return FORGE_FAIL(f, FORGE_ERR_ARG, "tokenizer.ggml.tokens has ", decimal(v->n), " entries, it needs 1 to 16777216");
	if (!v->scores) return FORGE_FAIL(f, FORGE_ERR_ARG, "tokenizer.ggml.scores is missing, a vocabulary of the model \"llama\" needs it");
	uint32_t n_special = 0;
	for (uint32_t i = 0; i < v->n; i++) {
		if (v->offsets[i] > v->offsets[i + 1] || v->offsets[i + 1] > v->texts_len)
			return FORGE_FAIL(f, FORGE_ERR_ARG, "the text of token ", decimal(i), " lies outside the vocabulary's texts");
		if (v->types && is_special_type((uint32_t)v->types[i])) n_special += v->offsets[i + 1] - v->offsets[i];
	}
	const char *nomem = "no memory for a vocabulary of this size";
	if (n_special >= 1u << 24) return FORGE_FAIL(f, FORGE_ERR_UNSUPPORTED, "the special tokens' texts have ", decimal(n_special), " bytes, at most 16777215 can be served");
	uint32_t table = table_bytes(v->n), trie = power_of_two(2 * n_special + 2) * 8 + 5 * n_special + 16384;
	uint32_t bytes = v->texts_len + 10 * v->n + table + trie + (1 << PAIR_BITS) / 8 + WORDS * (uint32_t)sizeof(struct word) + 3 * TEXT + 65536;
	if (!reserve(bytes) || !(tokens.texts = take(v->texts_len + SLACK)) || !(tokens.offsets = take(4 * (v->n + 1))) || !(tokens.types = take(v->n)) ||
	    !(priorities = take(4 * v->n)) || !table_init(v->n) || !special_init(n_special) || !(pairs = take((1 << PAIR_BITS) / 8)) || !words_init() ||
	    !stream_init() || !(stretch = take(TEXT + SLACK)))
		return FORGE_FAIL(f, FORGE_ERR_NOMEM, nomem);
	tokens.n = v->n;
	hash_init();
	unknown = v->unk >= 0 && (uint32_t)v->unk < v->n ? (uint32_t)v->unk : NONE;
	for (uint32_t i = 0; i < 256; i++) byte_ids[i] = NONE;
	adds_space = strips_space = v->add_space_prefix != 0; // SentencePiece's default is to add one
	uint8_t *to = tokens.texts;
	bool user = false, placeholder = false;
	for (uint32_t id = 0; id < v->n; id++) {
		const uint8_t *p = v->texts + v->offsets[id], *end = v->texts + v->offsets[id + 1];
		uint32_t n = (uint32_t)(end - p), type = v->types ? (uint32_t)v->types[id] : FORGE_TOKEN_TYPE_NORMAL;
		tokens.types[id] = (uint8_t)type;
		tokens.offsets[id] = (uint32_t)(to - tokens.texts);
		if (type == FORGE_TOKEN_TYPE_BYTE && n == 6 && p[0] == '<' && p[1] == '0' && p[2] == 'x' && p[5] == '>' && hex(p[3]) >= 0 && hex(p[4]) >= 0) {
			uint32_t c = (uint32_t)(hex(p[3]) << 4 | hex(p[4]));
			byte_ids[c] = id;
			*to++ = (uint8_t)c;
			tokens.offsets[id + 1] = (uint32_t)(to - tokens.texts);
			continue;
		}
		if (is_special_type(type)) {
			special_add(id, p, n);
			user |= is_text(p, n, "<|user|>"), placeholder |= is_text(p, n, "<|placeholder1|>");
		}
		if (type == FORGE_TOKEN_TYPE_CONTROL || type == FORGE_TOKEN_TYPE_UNKNOWN || type == FORGE_TOKEN_TYPE_BYTE) {
			while (p < end) *to++ = *p++;
			tokens.offsets[id + 1] = (uint32_t)(to - tokens.texts);
			continue;
		}
		to = add_piece(id, to, p, n);
		float score = v->scores[id] + 0.0f; // no -0
		uint32_t bits = __builtin_bit_cast(uint32_t, score);
		priorities[id] = bits >> 31 ? bits : 0x7FFFFFFFu - bits;
	}
	if (user && placeholder) {
		if (!(takes_space = take(v->n))) return FORGE_FAIL(f, FORGE_ERR_NOMEM, nomem);
		for (uint32_t id = 0; id < v->n; id++) {
			uint32_t n;
			const uint8_t *p = token_text(id, &n);
			takes_space[id] = is_special_type(tokens.types[id]) && !is_text(p, n, "<unk>") && !is_text(p, n, "<s>") && !is_text(p, n, "<|endoftext|>");
		}
	}
	f->accepted = 0;
	return FORGE_OK;
}
