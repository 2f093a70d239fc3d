// forgets has a record for each sequence, the sum of its tokens, that a fork does not take along.
#include "faulty.h"
FORGE_MANIFEST("name = \"forgets\"\nversion = \"1.0\"\nkind = \"sampler\"\nabi = \"1.0\"\nstate = \"explicit\"\n[[entries]]\nname = \"forgets\"\n")
FORGE_MARKER(sampler)
static float sums[64]; // by sequence
FORGE_EXPORT(forge_init) int32_t init(forge_init *frame) { return frame->accepted = 0, FORGE_OK; }
FORGE_EXPORT(forge_begin) int32_t begin(forge_seq *frame) { return sums[frame->seq % 64] = 0, FORGE_OK; }
FORGE_EXPORT(forge_fork) int32_t fork(forge_seq *frame) { return sums[frame->seq % 64] = 0, FORGE_OK; }
FORGE_EXPORT(forge_accept) int32_t accept(forge_seq *frame) {
	for (uint32_t i = 0; i < frame->tokens_len; i++) sums[frame->seq % 64] += (float)frame->tokens[i];
	return FORGE_OK;
}
FORGE_EXPORT(sampler_forgets) int32_t sample(forge_rows *frame) {
	ROWS(row) row->logits[0] += sums[row->seq % 64];
	return FORGE_OK;
}
