// NAME: a decoder with RMSNorm, rotary positions, grouped queries and SwiGLU, for files whose general.architecture is "NAME".
//
//     x = x + W_o attention(rope(W_q h), rope(W_k h), W_v h), h = rms(x);  x = x + W_down (silu(W_gate h) * W_up h), h = rms(x)
#include "arch.h"

FORGE_MANIFEST("name = \"NAME\"\nversion = \"0.1\"\nkind = \"arch\"\nabi = \"1.0\"\nprovides = [\"NAME\"]\n")
FORGE_MARKER(arch)

FORGE_EXPORT(forge_init) int32_t init(forge_init *frame) {
	frame->accepted = 0;
	return FORGE_OK;
}

static forge_value attention(forge_builder *a, forge_value h, int32_t n_embd) {
	forge_heads heads = forge_heads_read(a, n_embd);
	forge_rotation rotation = forge_rotation_read(a, FORGE_ROPE_MODE_PAIRS, heads.head_dim_k, 10000);
	forge_value q = forge_rope(a, forge_linear(a, h, forge_need(a, "attn_q.weight"), FORGE_NONE), &rotation, FORGE_NONE);
	forge_value k = forge_rope(a, forge_linear(a, h, forge_need(a, "attn_k.weight"), FORGE_NONE), &rotation, FORGE_NONE);
	forge_value v = forge_linear(a, h, forge_need(a, "attn_v.weight"), FORGE_NONE);
	return forge_linear(a, forge_attention(a, q, k, v, &heads, FORGE_NONE), forge_need(a, "attn_output.weight"), FORGE_NONE);
}

static forge_value feed_forward(forge_builder *a, forge_value h) {
	forge_value gate = forge_linear(a, h, forge_need(a, "ffn_gate.weight"), FORGE_NONE);
	forge_value up = forge_linear(a, h, forge_need(a, "ffn_up.weight"), FORGE_NONE);
	return forge_linear(a, forge_glu(a, gate, up, FORGE_ACT_SILU), forge_need(a, "ffn_down.weight"), FORGE_NONE);
}

// Nothing is computed here: the list of operations is what the model is. The first thing that goes wrong ends the build.
FORGE_EXPORT(arch_build) int32_t build(forge_arch *frame) {
	forge_builder a = forge_start(frame);
	int32_t n_embd = forge_need_int(&a, "embedding_length"), n_layer = forge_need_int(&a, "block_count");
	float eps = (float)forge_need_number(&a, "attention.layer_norm_rms_epsilon");
	forge_weight_id table = forge_need(&a, "token_embd.weight");
	forge_value x = forge_embed(&a, table);
	for (a.layer = 0; a.layer < n_layer && a.status == FORGE_OK; a.layer++) {
		x = forge_add(&a, x, attention(&a, forge_rms(&a, x, eps, forge_need(&a, "attn_norm.weight")), n_embd));
		x = forge_add(&a, x, feed_forward(&a, forge_rms(&a, x, eps, forge_need(&a, "ffn_norm.weight"))));
	}
	a.layer = -1;
	x = forge_rms(&a, forge_rows_wanted(&a, x), eps, forge_need(&a, "output_norm.weight"));
	forge_weight_id output = forge_maybe(&a, "output.weight");
	forge_output(&a, forge_linear(&a, x, output >= 0 ? output : table, FORGE_NONE), FORGE_OUTPUT_KIND_LOGITS);
	return forge_end(&a);
}
