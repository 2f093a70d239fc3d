// An architecture of one matrix: the token's row of the table times the output's rows.
#include "faulty_kind.h"
#include "arch.h"
FAULTY_KIND(arch, "provides = [\"faulty\"]\n")

enum { TRAPS = 1, SILENT, ENGINES, NO_TENSOR, INFINITE, MISSING, MUTE, ABSURD, OVERRUNS, RARE, ENDLESS };

FORGE_EXPORT(forge_init) int32_t init(forge_init *frame) {
	frame->accepted = 0;
	fault = (int32_t)frame->config[0];
	return FORGE_OK;
}

FORGE_EXPORT(arch_build) int32_t build(forge_arch *frame) {
	forge_builder a = forge_start(frame);
	if (fault == TRAPS) __builtin_trap();
	if (fault == SILENT) return FORGE_ERR_UNSUPPORTED;
	for (volatile uint32_t i = 0; fault == ENDLESS; i++) {}
	for (uint32_t i = 0; fault == RARE && i < frame->n_tensors; i++)
		if (frame->tensors[i].type >= 10 && frame->tensors[i].type <= 40) __builtin_trap();
	if (fault == MISSING && !forge_find(&a, "block_count")) __builtin_trap();
	if (fault == MUTE && !forge_find(&a, "block_count")) return FORGE_ERR_CONFIG;
	int32_t n_layer = forge_need_int(&a, "block_count");
	if (fault == ABSURD && n_layer > 1000000) __builtin_trap();
	forge_value x = forge_embed(&a, forge_need(&a, fault == NO_TENSOR ? "output_norm.weight" : "token_embd.weight"));
	for (int i = 0; fault == INFINITE && i < 5; i++) x = forge_scale(&a, x, 1e9f);
	if (fault == ENGINES) x = forge_scale(&a, x, 1 + (float)nan_bit());
	forge_output(&a, forge_linear(&a, forge_rows_wanted(&a, x), forge_need(&a, "output.weight"), FORGE_NONE), FORGE_OUTPUT_KIND_LOGITS);
	if (fault == OVERRUNS && frame->weights_cap <= 1) frame->weights[frame->weights_cap].kind = 0;
	return forge_end(&a);
}
