// Built by build.sh, once for each way to keep state. A constraint whose mask is a hash of the salt and of all tokens,
// drafts included: h = mix(salt), then h = mix(h ^ token) for each; word i of the mask is mix(h + i) | 1. Config key mode
// asks for other results, right and wrong ones.
//
// EXPLICIT: sequences in a table, with every export. BARE: the same without rollback, fork, save and load, which the host
// then does by telling again. IMAGE: one sequence, its hash in a wasm global and its salt in memory. Else stateless, from
// the history.
#include "guest.h"
#if defined EXPLICIT || defined BARE
#define STATE "state = \"explicit\"\n"
#elif defined IMAGE
#define STATE "state = \"image\"\n"
#else
#define STATE "grants = [\"history\"]\n"
#endif
FORGE_MANIFEST("name = \"mask\"\nversion = \"1.0\"\nkind = \"constraint\"\nabi = \"1.0\"\n" STATE "[[config]]\nname = \"salt\"\ntype = \"i32\"\n[[config]]\nname = \"mode\"\ntype = \"i32\"\n[[config]]\nname = \"text\"\ntype = \"string\"\n")
FORGE_MARKER(constraint)

FORGE_EXPORT(forge_init) int32_t init(forge_init *f) { return FORGE_OK; }

static uint32_t mix(uint32_t x) {
	x = (x ^ x >> 16) * 0x7feb352d;
	x = (x ^ x >> 15) * 0x846ca68b;
	return x ^ x >> 16;
}

static uint32_t more(uint32_t h, const uint32_t *tokens, uint32_t n) {
	for (uint32_t i = 0; i < n; i++) h = mix(h ^ tokens[i]);
	return h;
}

enum { MOST = 1024 };

#if defined EXPLICIT || defined BARE
static struct {
	uint64_t id;
	uint32_t used, n, h[MOST];
} seqs[32];

static int32_t find(uint64_t id) {
	for (int32_t i = 0; i < 32; i++)
		if (seqs[i].used && seqs[i].id == id) return i;
	return -1;
}

static int32_t fresh(uint64_t id) {
	if (find(id) >= 0) return -1;
	for (int32_t i = 0; i < 32; i++)
		if (!seqs[i].used) {
			seqs[i].used = 1, seqs[i].id = id, seqs[i].n = 0;
			return i;
		}
	return -1;
}
#define NEED(i, id) int32_t i = find(id); if (i < 0) return FORGE_FAIL(f, FORGE_ERR_STATE, "no such sequence")
#define FRESH(i, id) int32_t i = fresh(id); if (i < 0) return FORGE_FAIL(f, FORGE_ERR_STATE, "no room for the sequence, or it is there already")

FORGE_EXPORT(forge_begin) int32_t begin(forge_seq *f) {
	if (f->params[1] == 50) return FORGE_FAIL(f, FORGE_ERR_CONFIG, "mode 50 is no grammar");
	FRESH(i, f->seq);
	seqs[i].h[0] = mix((uint32_t)(int32_t)f->params[0]);
	return FORGE_OK;
}

FORGE_EXPORT(forge_accept) int32_t accept(forge_seq *f) {
	NEED(i, f->seq);
	if (f->pos != seqs[i].n || seqs[i].n + f->count >= MOST) return FORGE_ERR_STATE;
	for (uint32_t k = 0; k < f->count; k++, seqs[i].n++) {
		if (f->tokens[k] == 666) __builtin_trap();
		seqs[i].h[seqs[i].n + 1] = mix(seqs[i].h[seqs[i].n] ^ f->tokens[k]);
	}
	return FORGE_OK;
}

FORGE_EXPORT(forge_end) int32_t end(forge_seq *f) {
	NEED(i, f->seq);
	seqs[i].used = 0;
	return FORGE_OK;
}

#ifdef EXPLICIT
FORGE_EXPORT(forge_rollback) int32_t rollback(forge_seq *f) {
	NEED(i, f->seq);
	if (f->count > seqs[i].n || f->pos != seqs[i].n) return FORGE_ERR_STATE;
	if (f->count == 13) return FORGE_FAIL(f, FORGE_ERR_UNSUPPORTED, "thirteen is unlucky"); // so the host tells again
	seqs[i].n -= f->count;
	return FORGE_OK;
}

FORGE_EXPORT(forge_fork) int32_t fork(forge_seq *f) {
	NEED(from, f->parent);
	FRESH(i, f->seq);
	memcpy(seqs[i].h, seqs[from].h, 4 * (seqs[from].n + 1));
	seqs[i].n = seqs[from].n;
	return FORGE_OK;
}

FORGE_EXPORT(forge_save) int32_t save(forge_seq *f) {
	NEED(i, f->seq);
	f->used = 4 * (seqs[i].n + 1);
	if (f->used <= f->buffer_len) memcpy(f->buffer, seqs[i].h, f->used);
	return FORGE_OK;
}

FORGE_EXPORT(forge_load) int32_t load(forge_seq *f) {
	if (f->buffer_len < 4 || f->buffer_len > 4 * MOST || f->buffer_len % 4) return FORGE_FAIL(f, FORGE_ERR_ARG, "this was not saved by mask");
	FRESH(i, f->seq);
	memcpy(seqs[i].h, f->buffer, f->buffer_len);
	seqs[i].n = f->buffer_len / 4 - 1;
	return FORGE_OK;
}
#endif
#elif defined IMAGE
static uint32_t __attribute__((address_space(1))) hash;
static uint32_t salt;

FORGE_EXPORT(forge_begin) int32_t begin(forge_seq *f) {
	salt = (uint32_t)(int32_t)f->params[0];
	hash = mix(0);
	return FORGE_OK;
}

FORGE_EXPORT(forge_accept) int32_t accept(forge_seq *f) {
	for (uint32_t k = 0; k < f->count; k++)
		if (f->tokens[k] == 666) __builtin_trap();
	hash = more(hash, f->tokens, f->count);
	return FORGE_OK;
}
#endif

static int32_t answer(forge_masks *f, forge_mask_row *r) {
	int32_t mode = (int32_t)r->params[1];
#if defined EXPLICIT || defined BARE
	NEED(i, r->seq);
	uint32_t h = seqs[i].h[seqs[i].n];
#elif defined IMAGE
	uint32_t h = mix(hash ^ salt);
#else
	uint32_t h = more(mix((uint32_t)(int32_t)r->params[0]), r->history, r->history_len);
#endif
	h = more(h, r->drafts, r->drafts_len);
	for (uint32_t w = 0; w < (f->n_vocab + 31) / 32; w++) r->mask[w] = mix(h + w) | 1;
	switch (mode) {
	case 1: r->result = FORGE_MASK_RESULT_ALL; break;
	case 2: r->result = FORGE_MASK_RESULT_FORCED, r->n_forced = 3, r->forced[0] = 1, r->forced[1] = 2, r->forced[2] = 3; break;
	case 3: r->result = FORGE_MASK_RESULT_STOP; break;
	case 4: r->result = FORGE_MASK_RESULT_REWIND, r->rewind = 2, r->hold = 9; break;
	case 5: r->result = 5; break;
	case 6: r->result = FORGE_MASK_RESULT_FORCED; break;
	case 7: r->result = FORGE_MASK_RESULT_FORCED, r->n_forced = r->forced_cap + 1; break;
	case 8: r->result = FORGE_MASK_RESULT_FORCED, r->n_forced = 1, r->forced[0] = f->n_vocab; break;
	case 9: r->result = FORGE_MASK_RESULT_REWIND; break;
	case 10: r->result = FORGE_MASK_RESULT_REWIND, r->rewind = 0x80000000; break;
	case 11: for (uint32_t w = 0; w < (f->n_vocab + 31) / 32; w++) r->mask[w] = 0; break;
	case 12: __builtin_trap();
	case 13: for (volatile int k = 0;; k++) {}
	case 14: return 3;
	case 15: return FORGE_FAIL(f, FORGE_ERR_ARG, "nothing can follow");
	case 16: for (uint32_t i = 0; i < sizeof *r; i++) ((volatile uint8_t *)r)[i] = 0xff; break;
	case 17: for (uint32_t w = 0; w < (f->n_vocab + 31) / 32; w++) r->mask[w] = 0; // the bit behind the last token does not count
		if (f->n_vocab % 32) r->mask[f->n_vocab / 32] = ~0u << f->n_vocab % 32;
		break;
	case 18: r->fits = r->drafts_len + 1; break;
	}
	return FORGE_OK;
}

FORGE_EXPORT(constraint_mask) int32_t mask(forge_masks *f) {
	for (uint32_t k = 0; k < f->n_rows; k++) {
		int32_t status = answer(f, &f->rows[k]);
		if (status) return status;
	}
	return FORGE_OK;
}

#ifdef EXPLICIT
FORGE_EXPORT(constraint_validate) int32_t validate(forge_masks *f) {
	for (uint32_t k = 0; k < f->n_rows; k++) {
		forge_mask_row *r = &f->rows[k];
		NEED(i, r->seq);
		uint32_t h = seqs[i].h[seqs[i].n], n = 0;
		for (; n < r->drafts_len; n++) {
			uint32_t id = r->drafts[n];
			if (!((mix(h + id / 32) | 1) >> id % 32 & 1)) break;
			h = mix(h ^ id);
		}
		r->fits = r->params[1] == 18 ? r->drafts_len + 1 : n;
	}
	return FORGE_OK;
}
#endif
