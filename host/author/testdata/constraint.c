// A constraint by which no token follows itself; the end may come at any time.
#include "faulty_kind.h"
FAULTY_KIND(constraint, "state = \"explicit\"\ngrants = [\"vocab\"]\n[[config]]\nname = \"text\"\ntype = \"string\"\n")

enum {
	TRAPS = 1, SILENT, COUNTS, ENGINES, NO_RESULT, REFUSES_ALLOWED, TAKES_FORBIDDEN, VALIDATE, DRAFTS_STAY, DRAFTS_IGNORED, FORK, ROLLBACK, SAVE, NEVER_ENDS, LEAK, WORDS,
	UNKNOWN, RARE, ENDLESS, REFUSES,
};

enum { SEQUENCES = 32, TOKENS = 600, NONE = -1 };

static struct {
	uint64_t id;
	bool used;
	uint32_t n;
	uint32_t tokens[TOKENS];
} all[SEQUENCES];

static const forge_vocab *vocab;

FORGE_EXPORT(forge_init) int32_t init(forge_init *frame) {
	frame->accepted = frame->offered & FORGE_CAP_VOCAB;
	fault = (int32_t)frame->config[1];
	vocab = frame->vocab;
	return FORGE_OK;
}

static int32_t find(uint64_t id, bool used) {
	for (int32_t i = 0; i < SEQUENCES; i++)
		if (all[i].used == used && (!used || all[i].id == id)) return i;
	return NONE;
}

FORGE_EXPORT(forge_begin) int32_t begin(forge_seq *f) {
	const uint32_t *slot = (const uint32_t *)f->params;
	for (uint32_t i = 0; fault == RARE && slot[1] > 1 && i < slot[1]; i++)
		if (((const uint8_t *)slot[0])[i] == '\\') __builtin_trap();
	if (fault == REFUSES) return FORGE_FAIL(f, FORGE_ERR_CONFIG, "it is never content");
	if (fault == LEAK) __builtin_wasm_memory_grow(0, 1);
	int32_t i = find(f->seq, true);
	if (i == NONE) i = find(0, false);
	if (i == NONE) return FORGE_FAIL(f, FORGE_ERR_STATE, "there are 32 sequences already");
	all[i].used = true, all[i].id = f->seq, all[i].n = 0;
	return FORGE_OK;
}

FORGE_EXPORT(forge_end) int32_t end(forge_seq *f) {
	int32_t i = find(f->seq, true);
	if (i != NONE) all[i].used = false;
	return FORGE_OK;
}

FORGE_EXPORT(forge_accept) int32_t accept(forge_seq *f) {
	int32_t i = find(f->seq, true);
	if (i == NONE && fault == UNKNOWN) __builtin_trap();
	if (i == NONE) return FORGE_FAIL(f, FORGE_ERR_STATE, "the sequence was not begun");
	if (f->tokens_len > TOKENS - all[i].n) return FORGE_FAIL(f, FORGE_ERR_STATE, "a sequence has 600 tokens at most");
	for (uint32_t t = 0; t < f->tokens_len; t++) {
		uint32_t id = f->tokens[t];
		if (id >= vocab->n) return FORGE_FAIL(f, FORGE_ERR_ARG, "a token is none of the vocabulary");
		bool again = all[i].n && all[i].tokens[all[i].n - 1] == id;
		if ((again && fault != TAKES_FORBIDDEN) || (fault == REFUSES_ALLOWED && f->seq == 2)) return FORGE_FAIL(f, FORGE_ERR_STATE, "the token may not follow");
		all[i].tokens[all[i].n++] = id;
	}
	return FORGE_OK;
}

FORGE_EXPORT(forge_rollback) int32_t rollback(forge_seq *f) {
	int32_t i = find(f->seq, true);
	if (i == NONE || f->count > all[i].n) return FORGE_FAIL(f, FORGE_ERR_STATE, "there are not so many tokens");
	if (fault != ROLLBACK) all[i].n -= f->count;
	return FORGE_OK;
}

FORGE_EXPORT(forge_fork) int32_t fork(forge_seq *f) {
	int32_t from = find(f->parent, true);
	if (from == NONE) return FORGE_FAIL(f, FORGE_ERR_STATE, "the parent was not begun");
	int32_t to = find(f->seq, true);
	if (to == NONE) to = find(0, false);
	if (to == NONE) return FORGE_FAIL(f, FORGE_ERR_STATE, "there are 32 sequences already");
	all[to] = all[from];
	all[to].id = f->seq;
	if (fault == FORK) all[to].n = 0;
	return FORGE_OK;
}

FORGE_EXPORT(forge_save) int32_t save(forge_seq *f) {
	int32_t i = find(f->seq, true);
	if (i == NONE) return FORGE_FAIL(f, FORGE_ERR_STATE, "the sequence was not begun");
	f->used = 4 * all[i].n;
	if (f->used <= f->buffer_len) memcpy(f->buffer, all[i].tokens, f->used);
	if (fault == SAVE && f->used) f->used -= 4;
	return FORGE_OK;
}

FORGE_EXPORT(forge_load) int32_t load(forge_seq *f) {
	if (f->buffer_len > 4 * TOKENS || f->buffer_len % 4) return FORGE_FAIL(f, FORGE_ERR_ARG, "the bytes are none that were saved");
	int32_t status = begin(f);
	if (status != FORGE_OK) return status;
	int32_t i = find(f->seq, true);
	memcpy(all[i].tokens, f->buffer, f->buffer_len);
	all[i].n = f->buffer_len / 4;
	return FORGE_OK;
}

// last is the token that may not come again behind the accepted ones and some drafts.
static int64_t last(int32_t i, const forge_mask_row *row, uint32_t n_drafts) {
	if (fault == DRAFTS_IGNORED) n_drafts = 0;
	if (n_drafts) return row->drafts[n_drafts - 1];
	return i != NONE && all[i].n ? all[i].tokens[all[i].n - 1] : -1;
}

FORGE_EXPORT(constraint_mask) int32_t mask(forge_masks *f) {
	for (forge_mask_row *row = f->rows; row < f->rows + f->n_rows; row++) {
		int32_t i = find(row->seq, true);
		if (i == NONE) return FORGE_FAIL(f, FORGE_ERR_STATE, "the sequence was not begun");
		if (fault == TRAPS && f->n_vocab == 1) __builtin_trap();
		if (fault == SILENT && f->n_vocab == 1) return FORGE_ERR_UNSUPPORTED;
		if (fault == NO_RESULT) row->result = 77;
		for (volatile uint32_t k = 0; fault == ENDLESS; k++) {}
		uint32_t before = row->mask[0];
		memset(row->mask, 0, (f->n_vocab + 31) / 32 * 4);
		int64_t not = last(i, row, row->drafts_len);
		for (uint32_t id = 0; id < f->n_vocab; id++)
			if (id != not && !(fault == WORDS && id < 32)) row->mask[id / 32] |= 1u << id % 32;
		if (fault == WORDS) row->mask[0] = before;
		if (fault == NEVER_ENDS)
			for (uint32_t k = 0; k < vocab->eog_len && f->n_vocab > 2; k++) row->mask[vocab->eog[k] / 32] &= ~(1u << vocab->eog[k] % 32);
		if (fault == DRAFTS_STAY && row->drafts_len && all[i].n < TOKENS) all[i].tokens[all[i].n++] = row->drafts[0];
		if (fault == COUNTS) row->hold = calls++;
		if (fault == ENGINES) row->hold = nan_bit();
	}
	return FORGE_OK;
}

FORGE_EXPORT(constraint_validate) int32_t validate(forge_masks *f) {
	for (forge_mask_row *row = f->rows; row < f->rows + f->n_rows; row++) {
		int32_t i = find(row->seq, true);
		if (i == NONE) return FORGE_FAIL(f, FORGE_ERR_STATE, "the sequence was not begun");
		row->fits = 0;
		while (row->fits < row->drafts_len && row->drafts[row->fits] != last(i, row, row->fits)) row->fits++;
		if (fault == VALIDATE && row->fits > 1) row->fits--;
	}
	return FORGE_OK;
}
