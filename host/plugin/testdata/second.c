// Built by build.sh. A sampler with state: bias adds to one token's logit; counted picks the candidate at the number of
// tokens accepted for the sequence so far.
#include "guest.h"
FORGE_MANIFEST("name = \"second\"\nversion = \"2.1\"\nkind = \"sampler\"\nabi = \"1.0\"\nstate = \"explicit\"\n[[config]]\nname = \"bias\"\ntype = \"f32\"\n[[config]]\nname = \"bias_id\"\ntype = \"i32\"\nmin = 0\n[[config]]\nname = \"trap\"\ntype = \"bool\"\n[[entries]]\nname = \"bias\"\n[[entries]]\nname = \"counted\"\n")
FORGE_MARKER(sampler)

static struct { uint64_t seq; uint32_t n, used; } seqs[64];

FORGE_EXPORT(forge_init) int32_t init(forge_init *f) { return FORGE_OK; }

static uint32_t find(uint64_t seq) {
	for (uint32_t i = 0; i < 64; i++)
		if (seqs[i].used && seqs[i].seq == seq) return i;
	return 64;
}

static int32_t add(forge_seq *f, uint32_t n) {
	for (uint32_t i = 0; i < 64; i++)
		if (!seqs[i].used) {
			seqs[i].used = 1, seqs[i].seq = f->seq, seqs[i].n = n;
			return FORGE_OK;
		}
	return FORGE_FAIL(f, FORGE_ERR_STATE, "there are too many sequences");
}

FORGE_EXPORT(forge_begin) int32_t begin(forge_seq *f) { return add(f, 0); }
FORGE_EXPORT(forge_fork) int32_t fork(forge_seq *f) { return add(f, seqs[find(f->parent)].n); }
FORGE_EXPORT(forge_end) int32_t end(forge_seq *f) { return seqs[find(f->seq)].used = 0, FORGE_OK; }

FORGE_EXPORT(forge_accept) int32_t accept(forge_seq *f) {
	for (uint32_t i = 0; i < f->tokens_len; i++)
		if (f->tokens[i] > 1000000) return FORGE_ERR_ARG;
	seqs[find(f->seq)].n += f->count;
	return FORGE_OK;
}

FORGE_EXPORT(forge_rollback) int32_t rollback(forge_seq *f) {
	uint32_t i = find(f->seq);
	if (f->count > seqs[i].n) return FORGE_FAIL(f, FORGE_ERR_STATE, "more is taken back than was accepted");
	seqs[i].n -= f->count;
	return FORGE_OK;
}

FORGE_EXPORT(sampler_bias) int32_t bias(forge_rows *f) {
	forge_row *r = f->rows;
	if (r->params[2] != 0) __builtin_trap();
	for (uint32_t i = 0; i < r->n; i++)
		if ((r->flags & FORGE_ROW_FLAG_WHOLE ? i : r->ids[i]) == (uint32_t)r->params[1]) r->logits[i] += (float)r->params[0];
	return FORGE_OK;
}

FORGE_EXPORT(sampler_counted) int32_t counted(forge_rows *f) {
	f->rows->selected = (int32_t)(seqs[find(f->rows->seq)].n % f->rows->n);
	return FORGE_OK;
}
