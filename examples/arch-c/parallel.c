// parallel: an architecture that no released model has, to show that a new one is a guest and nothing else: LayerNorm with
// biases, attention and feed-forward in parallel on one normed input, no positions at all.
//
//     h = layer_norm(x);  x = x + W_o attention(W_q h, W_k h, W_v h) + W_down gelu(W_up h)
#include "arch.h"

FORGE_MANIFEST("name = \"parallel\"\nversion = \"1.0\"\nkind = \"arch\"\nabi = \"1.0\"\nprovides = [\"parallel\"]\n")
FORGE_MARKER(arch)

FORGE_EXPORT(forge_init) int32_t init(forge_init *frame) {
	frame->accepted = 0;
	return FORGE_OK;
}

FORGE_EXPORT(arch_build) int32_t build(forge_arch *frame) {
	forge_builder a = forge_start(frame);
	int32_t n_embd = forge_need_int(&a, "embedding_length"), n_layer = forge_need_int(&a, "block_count");
	float eps = (float)forge_need_number(&a, "attention.layer_norm_epsilon");
	forge_value x = forge_embed(&a, forge_need(&a, "token_embd.weight"));
	for (a.layer = 0; a.layer < n_layer && a.status == FORGE_OK; a.layer++) {
		forge_heads heads = forge_heads_read(&a, n_embd);
		forge_value h = forge_norm(&a, x, FORGE_NORM_KIND_LAYER, eps, 0, forge_need(&a, "attn_norm.weight"), forge_need(&a, "attn_norm.bias"));
		forge_value q = forge_linear(&a, h, forge_need(&a, "attn_q.weight"), FORGE_NONE);
		forge_value k = forge_linear(&a, h, forge_need(&a, "attn_k.weight"), FORGE_NONE);
		forge_value v = forge_linear(&a, h, forge_need(&a, "attn_v.weight"), FORGE_NONE);
		forge_value up = forge_linear(&a, h, forge_need(&a, "ffn_up.weight"), FORGE_NONE);
		forge_value attention = forge_linear(&a, forge_attention(&a, q, k, v, &heads, FORGE_NONE), forge_need(&a, "attn_output.weight"), FORGE_NONE);
		forge_value feed = forge_linear(&a, forge_activate(&a, up, FORGE_ACT_GELU), forge_need(&a, "ffn_down.weight"), FORGE_NONE);
		x = forge_binary(&a, FORGE_OP_ADD, forge_binary(&a, FORGE_OP_ADD, x, attention), feed);
	}
	a.layer = -1;
	x = forge_norm(&a, forge_rows_wanted(&a, x), FORGE_NORM_KIND_LAYER, eps, 0, forge_need(&a, "output_norm.weight"), forge_need(&a, "output_norm.bias"));
	forge_output(&a, forge_linear(&a, x, forge_need(&a, "output.weight"), FORGE_NONE), FORGE_OUTPUT_KIND_LOGITS);
	return forge_end(&a);
}
