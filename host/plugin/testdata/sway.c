// Built by build.sh. A sampler whose answers hang on its state: it lowers the logits of tokens that a hash of all accepted
// tokens picks out. With config key trap_at it traps where that many tokens were picked.
#include "guest.h"
FORGE_MANIFEST("name = \"sway\"\nversion = \"1.0\"\nkind = \"sampler\"\nabi = \"1.0\"\nstate = \"explicit\"\n[[config]]\nname = \"trap_at\"\ntype = \"i32\"\ndefault = -1\n[[entries]]\nname = \"sway\"\n")
FORGE_MARKER(sampler)

FORGE_EXPORT(forge_init) int32_t init(forge_init *f) { return FORGE_OK; }

static struct { uint64_t id; uint32_t used, n, hash; } seqs[64];

static uint32_t mix(uint32_t x) {
	x = (x ^ x >> 16) * 0x7feb352d;
	x = (x ^ x >> 15) * 0x846ca68b;
	return x ^ x >> 16;
}

static int32_t find(uint64_t id, uint32_t used) {
	for (int32_t i = 0; i < 64; i++)
		if (seqs[i].used == used && (!used || seqs[i].id == id)) return i;
	__builtin_trap();
}

FORGE_EXPORT(forge_begin) int32_t begin(forge_seq *f) {
	int32_t i = find(f->seq, 0);
	seqs[i].id = f->seq, seqs[i].used = 1, seqs[i].n = 0, seqs[i].hash = 1;
	return FORGE_OK;
}

FORGE_EXPORT(forge_accept) int32_t accept(forge_seq *f) {
	int32_t i = find(f->seq, 1);
	for (uint32_t k = 0; k < f->count; k++) seqs[i].hash = mix(seqs[i].hash ^ f->tokens[k]);
	if (!(f->flags & FORGE_SEQ_FLAG_PROMPT)) seqs[i].n += f->count;
	return FORGE_OK;
}

FORGE_EXPORT(forge_end) int32_t end(forge_seq *f) { return seqs[find(f->seq, 1)].used = 0, FORGE_OK; }

FORGE_EXPORT(sampler_sway) int32_t sway(forge_rows *f) {
	forge_row *r = f->rows;
	int32_t s = find(r->seq, 1);
	if (seqs[s].n == (uint32_t)(int32_t)r->params[0]) __builtin_trap();
	for (uint32_t i = 0; i < r->n; i++)
		if (mix(seqs[s].hash + (r->flags & FORGE_ROW_FLAG_WHOLE ? i : r->ids[i])) % 4 == 0) r->logits[i] -= 3;
	r->flags &= ~FORGE_ROW_FLAG_SORTED;
	return FORGE_OK;
}
