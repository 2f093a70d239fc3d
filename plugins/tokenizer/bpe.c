// bpe.c: tokenizer guest for tokenizer.ggml.model "gpt2": byte-level BPE. Text is cut into words by the pre-tokenizer that
// tokenizer.ggml.pre names; within a word the pair of neighbours that comes first in the list of merges is joined, and so on
// (Sennrich et al. 2016; Radford et al. 2019). Vocabulary and merges write bytes as printable characters, GPT-2's map.
#include "pre.h"
#include "stream.h"

FORGE_MANIFEST("name = \"bpe\"\nversion = \"1.0\"\nkind = \"tokenizer\"\nabi = \"1.0\"\nprovides = [\"gpt2\", \"pre:default\", \"pre:gpt-2\", \"pre:phi-2\", \"pre:mpt\", \"pre:olmo\", \"pre:jais\", \"pre:smollm\", \"pre:starcoder\", \"pre:refact\", \"pre:command-r\", \"pre:codeshell\", \"pre:exaone\", \"pre:minerva-7b\", \"pre:falcon\", \"pre:deepseek-llm\", \"pre:llama-bpe\", \"pre:llama3\", \"pre:llama-v3\", \"pre:falcon3\", \"pre:pixtral\", \"pre:dbrx\", \"pre:smaug-bpe\", \"pre:qwen2\", \"pre:deepseek-r1-qwen\", \"pre:megrez\", \"pre:stablelm2\"]\n")
FORGE_MARKER(tokenizer)

// The merges by the ids of both sides. An id from tokens.n on stands for a text that is no token: of a byte, or of a merge.
static struct merge {
	uint32_t left, right, rank, id; // rank + 1, 0: empty
} *merges;
static uint32_t merges_mask;
static uint32_t byte_ids[256]; // id of each byte's character
static const struct pre *pre;

static inline uint32_t merge_slot(uint32_t left, uint32_t right) {
	uint64_t h = ((uint64_t)left << 32 | right) * 0x9E3779B97F4A7C15ull;
	return (uint32_t)(h >> 36) & merges_mask;
}

static uint32_t join(const uint8_t *s, uint32_t a, uint32_t b, uint32_t c, uint32_t left, uint32_t right, uint32_t *id) {
	(void)s, (void)a, (void)b, (void)c;
	for (uint32_t i = merge_slot(left, right);; i = (i + 1) & merges_mask) {
		const struct merge *m = &merges[i];
		if (m->rank == 0) return NONE;
		if (m->left == left && m->right == right) {
			*id = m->id;
			return m->rank;
		}
	}
}

static uint32_t resolve(const uint8_t *s, uint32_t a, uint32_t b, uint32_t id, uint32_t *ids) {
	if (id < tokens.n) {
		ids[0] = id;
		return 1;
	}
	// A byte that has no token is left out, as in the published tokenizers, which have no unknown token to stand for it.
	uint32_t n = 0;
	for (; a < b; a++)
		if (byte_ids[s[a]] < tokens.n) ids[n++] = byte_ids[s[a]];
	return n;
}

// The words that are tokens, by their bytes, for pre-tokenizers that take them whole.
static uint32_t find_whole(const uint8_t *p, uint32_t n) { return table_id(table_slot(p, n, hash_mix(hash_text(p, n)), token_text)); }

static enum step encode_word(const uint8_t *s, uint32_t n) {
	uint64_t key[3];
	struct word *w = 0;
	if (n <= WORD_BYTES) {
		w = word_key(s, n, key);
		if (word_is(w, key)) {
			emit(w->ids, w->n);
			return STEP_AGAIN;
		}
	}
	uint32_t ids[4 * SHORT], n_ids = 0;
	uint32_t whole = pre->whole && n <= tokens.longest ? find_whole(s, n) : NONE;
	if (whole != NONE) {
		ids[n_ids++] = whole;
	} else if (n <= SHORT) {
		for (uint32_t i = 0; i < n; i++) short_start[i] = i, short_id[i] = byte_ids[s[i]];
		short_start[n] = n;
		uint32_t symbols = merge_short(s, n);
		for (uint32_t i = 0; i < symbols; i++) n_ids += resolve(s, short_start[i], short_start[i + 1], short_id[i], ids + n_ids);
	} else {
		if (!large_room(n + 1)) return STEP_NOMEM;
		for (uint32_t i = 0; i < n; i++) large.start[i] = i, large.id[i] = byte_ids[s[i]];
		large.start[n] = n;
		merge_large(s, n);
		rest.text = s, rest.at = rest.byte = 0, rest.active = true;
		return STEP_AGAIN;
	}
	if (w && n_ids <= WORD_IDS) {
		w->key[0] = key[0], w->key[1] = key[1], w->key[2] = key[2], w->n = n_ids;
		for (uint32_t i = 0; i < n_ids; i++) w->ids[i] = ids[i];
	}
	emit(ids, n_ids);
	return STEP_AGAIN;
}

static uint32_t enough; // bytes of text without which the next word is not tried again

static void encode_reset(void) { enough = 0; }

static enum step encode_step(bool open) {
	if (open && text.end - text.at < enough && text.end < TEXT) return STEP_TEXT;
	// [at, scan) is plain text. Look on for a special token, which ends it.
	const uint8_t *end = text.bytes + text.end, *p = text.bytes + text.scan;
	uint32_t id;
	int32_t n = 0;
	while (p < end) {
		if (special_maybe(p, end, open, text.mode) && (n = special_at(p, end, open, text.mode, &id)) != 0) break;
		p++;
	}
	text.scan = (uint32_t)(p - text.bytes);
	source.end = p, source.open = n <= 0 && open;
	for (;;) {
		const uint8_t *from = text.bytes + text.at;
		if (from == p) break;
		source.starved = false;
		uint32_t bytes = pre->word(from);
		if (source.starved) {
			enough = 2 * (text.end - text.at);
			return STEP_TEXT;
		}
		enough = 0;
		text.at += bytes;
		enum step s = encode_word(from, bytes);
		if (s != STEP_AGAIN || rest.active || out.at_waiting != out.n_waiting) return s;
	}
	if (n <= 0) return STEP_TEXT;
	text.at = text.scan += (uint32_t)n;
	emit(&id, 1);
	return STEP_AGAIN;
}

// GPT-2's map from bytes to characters: printable bytes of Latin-1 are themselves, the others follow from U+0100 on.
static uint16_t byte_of[512]; // byte + 1 by character
static uint8_t byte_text[256][2], byte_text_len[256];

static void map_init(void) {
	uint32_t next = 256;
	for (uint32_t b = 0; b < 256; b++) {
		bool printable = (b >= 0x21 && b <= 0x7E) || (b >= 0xA1 && b != 0xAD);
		uint32_t c = printable ? b : next++;
		byte_of[c] = (uint16_t)(b + 1);
		byte_text_len[b] = c < 128 ? 1 : 2;
		byte_text[b][0] = (uint8_t)(c < 128 ? c : 0xC0 | c >> 6);
		byte_text[b][1] = (uint8_t)(0x80 | (c & 63));
	}
}

// While it gets ready, the table's texts are those of the file: of tokens, and of others that merges name.
static const forge_vocab *file;
static struct other {
	const uint8_t *p;
	uint32_t n;
} *others;
static uint32_t n_others, most_others;

static const uint8_t *file_text(uint32_t id, uint32_t *n) {
	if (id < tokens.n) {
		*n = file->offsets[id + 1] - file->offsets[id];
		return file->texts + file->offsets[id];
	}
	*n = others[id - tokens.n].n;
	return others[id - tokens.n].p;
}

// id_of gives the id of a text, a new one if it is no token; NONE if there are too many such texts.
static uint32_t id_of(const uint8_t *p, uint32_t n, uint64_t h) {
	h = hash_mix(h);
	uint32_t *slot = table_slot(p, n, h, file_text);
	if (*slot == 0) {
		if (n_others == most_others) return NONE;
		others[n_others] = (struct other){p, n};
		table_set(slot, h, tokens.n + n_others++);
	}
	return table_id(slot);
}

static bool repeated; // two tokens have one text

// Text never becomes a control token by merging.
static inline bool mergeable(uint32_t id) { return tokens.types[id] != FORGE_TOKEN_TYPE_CONTROL && tokens.types[id] != FORGE_TOKEN_TYPE_UNKNOWN; }

// joined_id is id_of for the two texts of a merge together. Most vocabularies list the tokens that merges make in the
// merges' order, so the token after the last one is tried first.
static uint32_t joined_id(const uint8_t *left, uint32_t n_left, uint64_t left_hash, const uint8_t *right, uint32_t n_right, uint64_t right_hash) {
	static uint32_t last;
	static uint8_t joined[2 * MAX_PIECE + SLACK];
	uint32_t n = n_left + n_right, m;
	if (!repeated && last + 1 < tokens.n && mergeable(last + 1)) {
		const uint8_t *q = file_text(last + 1, &m);
		if (m == n && same(q, left, n_left) && same(q + n_left, right, n_right)) return ++last;
	}
	uint8_t *text = n <= 2 * MAX_PIECE ? joined : take(n + SLACK);
	if (!text) return NONE;
	__builtin_memcpy(text, left, n_left);
	__builtin_memcpy(text + n_left, right, n_right);
	uint64_t h = n_right <= MAX_PIECE ? left_hash * hash_power[n_right] + right_hash : hash_text(text, n);
	uint32_t id = table_id(table_slot(text, n, hash_mix(h), file_text));
	if (id == NONE) {
		uint8_t *copy = take(n + SLACK);
		if (!copy) return NONE;
		__builtin_memcpy(copy, text, n);
		id = id_of(copy, n, h);
	}
	last = id;
	return id;
}

static int32_t read_merges(forge_init *f) {
	const forge_vocab *v = file;
	for (uint32_t i = 0; i < v->n_merges; i++) {
		uint32_t from = v->merge_offsets[i], to = v->merge_offsets[i + 1];
		if (from > to || to > v->merges_len) return FORGE_FAIL(f, FORGE_ERR_ARG, "the text of merge ", decimal(i), " lies outside the merges' texts");
		// The two sides are parted by a space, which is not their first byte.
		const uint8_t *p = v->merges + from;
		uint32_t n = to - from, left = 0;
		uint64_t h = 0;
		while (left < n && (p[left] != ' ' || left == 0)) h = hash_add(h, p[left++]);
		if (left == 0 || left + 1 >= n) return FORGE_FAIL(f, FORGE_ERR_ARG, "merge ", decimal(i), " is \"", printable(p, n), "\", not two texts with a space between them");
		const uint8_t *right = p + left + 1;
		n -= left + 1;
		uint64_t right_hash = hash_text(right, n);
		uint32_t a = id_of(p, left, h), b = id_of(right, n, right_hash), joined = joined_id(p, left, h, right, n, right_hash);
		if (a == NONE || b == NONE || joined == NONE)
			return FORGE_FAIL(f, FORGE_ERR_UNSUPPORTED, "the merges name more than ", decimal(most_others), " texts that are no tokens");
		uint32_t at = merge_slot(a, b);
		while (merges[at].rank && !(merges[at].left == a && merges[at].right == b)) at = (at + 1) & merges_mask;
		if (!merges[at].rank) merges[at] = (struct merge){a, b, i + 1, joined}; // of equal ones the first counts
	}
	return FORGE_OK;
}

static int32_t hex(uint8_t c) { return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1; }

// decoded writes the bytes that a token's text p[:n] stands for and gives their end.
static uint8_t *decoded(uint8_t *to, const uint8_t *p, uint32_t n, uint32_t type) {
	if (type == FORGE_TOKEN_TYPE_BYTE && n == 6 && p[0] == '<' && p[1] == '0' && p[2] == 'x' && p[5] == '>' && hex(p[3]) >= 0 && hex(p[4]) >= 0) {
		*to++ = (uint8_t)(hex(p[3]) << 4 | hex(p[4]));
		return to;
	}
	bool raw = is_special_type(type);
	for (const uint8_t *end = p + n; p < end;) {
		uint32_t code = *p, m = 1;
		if (code >= 0x80) m = utf8_at(p, end, false, &code);
		if (!raw && code < 512 && byte_of[code]) *to++ = (uint8_t)(byte_of[code] - 1), p += m;
		else
			while (m--) *to++ = *p++;
	}
	return to;
}

static int32_t choose_pre(forge_init *f) {
	static char known[1024];
	const uint8_t *name = file->pre;
	uint32_t n = file->pre_len, at = 0;
	for (uint32_t i = 0; i < N_PRES; i++) {
		if (n == 0 || is_text(name, n, pres[i].name)) {
			pre = &pres[i];
			return FORGE_OK;
		}
		for (const char *p = i ? ", " : ""; *p; p++) known[at++] = *p;
		for (const char *p = pres[i].name; *p; p++) known[at++] = *p;
	}
	return FORGE_FAIL(f, FORGE_ERR_UNSUPPORTED, "pre-tokenizer \"", printable(name, n), "\" is not known: known are ", known);
}

FORGE_EXPORT(forge_init) int32_t forge_init_bpe(forge_init *f) {
	const forge_vocab *v = file = f->vocab;
	if (!v) return FORGE_FAIL(f, FORGE_ERR_ARG, "a tokenizer needs a vocabulary, none was given");
	if (!is_text(v->model, v->model_len, "gpt2"))
		return FORGE_FAIL(f, FORGE_ERR_UNSUPPORTED, "tokenizer.ggml.model is \"", printable(v->model, v->model_len), "\", this tokenizer serves \"gpt2\"");
	int32_t status = choose_pre(f);
	if (status) return status;
	if (v->n == 0 || v->n > 1u << 24) return FORGE_FAIL(f, FORGE_ERR_ARG, "tokenizer.ggml.tokens has ", decimal(v->n), " entries, it needs 1 to 16777216");
	if (v->n_merges == 0 || v->n_merges > 1u << 24)
		return FORGE_FAIL(f, FORGE_ERR_ARG, "tokenizer.ggml.merges has ", decimal(v->n_merges), " entries, a vocabulary of the model \"gpt2\" needs 1 to 16777216");
	uint32_t n_special = 0;
	for (uint32_t i = 0; i < v->n; i++) {
		if (v->offsets[i] > v->offsets[i + 1] || v->offsets[i + 1] > v->texts_len)
			return FORGE_FAIL(f, FORGE_ERR_ARG, "the text of token ", decimal(i), " lies outside the vocabulary's texts");
		if (v->types && is_special_type((uint32_t)v->types[i])) n_special += v->offsets[i + 1] - v->offsets[i];
	}
	if (n_special >= 1u << 24) return FORGE_FAIL(f, FORGE_ERR_UNSUPPORTED, "the special tokens' texts have ", decimal(n_special), " bytes, at most 16777215 can be served");
	most_others = 256 + v->n / 2;
	uint32_t table = 2 * table_bytes(v->n + most_others), trie = power_of_two(2 * n_special + 2) * 8 + 5 * n_special + 16384;
	uint32_t slots = power_of_two(2 * v->n_merges + 1);
	uint32_t bytes = v->texts_len + 5 * v->n + table + trie + slots * (uint32_t)sizeof(struct merge) + 8 * most_others + WORDS * (uint32_t)sizeof(struct word) + TEXT + 65536;
	if (!reserve(bytes) || !(tokens.texts = take(v->texts_len + SLACK)) || !(tokens.offsets = take(4 * (v->n + 1))) || !(tokens.types = take(v->n)) ||
	    !table_init(v->n + most_others) || !special_init(n_special) || !(merges = take(slots * (uint32_t)sizeof(struct merge))) ||
	    !(others = take(most_others * (uint32_t)sizeof(struct other))) || !words_init() || !stream_init())
		return FORGE_FAIL(f, FORGE_ERR_NOMEM, "no memory for a vocabulary of this size");
	merges_mask = slots - 1;
	tokens.n = v->n;
	hash_init();
	map_init();
	uint8_t *to = tokens.texts;
	for (uint32_t id = 0; id < v->n; id++) {
		const uint8_t *p = v->texts + v->offsets[id];
		uint32_t n = v->offsets[id + 1] - v->offsets[id], type = v->types ? (uint32_t)v->types[id] : FORGE_TOKEN_TYPE_NORMAL;
		tokens.types[id] = (uint8_t)type;
		tokens.offsets[id] = (uint32_t)(to - tokens.texts);
		to = decoded(to, p, n, type);
		tokens.offsets[id + 1] = (uint32_t)(to - tokens.texts);
		if (is_special_type(type)) special_add(id, p, n);
		if (n && mergeable(id)) {
			uint64_t h = hash_mix(hash_text(p, n));
			uint32_t *slot = table_slot(p, n, h, file_text);
			repeated |= *slot != 0;
			table_set(slot, h, id); // of equal texts the last counts
		}
	}
	for (uint32_t b = 0; b < 256; b++) byte_ids[b] = id_of(byte_text[b], byte_text_len[b], hash_text(byte_text[b], byte_text_len[b]));
	status = read_merges(f);
	if (status) return status;
	if (pre->whole) {
		// The merges are read: from here on the table is for whole words.
		if (!table_init(v->n)) return FORGE_FAIL(f, FORGE_ERR_NOMEM, "no memory for a vocabulary of this size");
		for (uint32_t id = 0; id < v->n; id++) {
			uint32_t n;
			const uint8_t *p = token_text(id, &n);
			if (n == 0 || is_special_type(tokens.types[id])) continue;
			if (n > tokens.longest) tokens.longest = n;
			uint64_t h = hash_mix(hash_text(p, n));
			table_set(table_slot(p, n, h, token_text), h, id);
		}
	}
	f->accepted = 0;
	return FORGE_OK;
}
