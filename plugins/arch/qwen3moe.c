// qwen3moe: Qwen3 with experts (30B-A3B, 235B-A22B) and, with a single feed-forward instead, dense qwen3 (0.6B to 32B).
// Qwen Team 2025: grouped queries without biases, a norm for each head of q and k before RoPE (halves), SwiGLU; experts by
// softmax over all of them, the chosen ones' weights renormalised, none shared.
// llama.cpp renormalises whatever expert_weights_norm says and knows no scale of the weights here, and so does this guest.
#include "arch.h"

FORGE_MANIFEST("name = \"qwen3moe\"\n"
               "version = \"1.0\"\n"
               "kind = \"arch\"\n"
               "abi = \"1.0\"\n"
               "provides = [\"qwen3moe\", \"qwen3\"]\n")
FORGE_MARKER(arch)

FORGE_EXPORT(forge_init) int32_t init(forge_init *frame) {
	frame->accepted = 0;
	return FORGE_OK;
}

static forge_value feed_forward(forge_builder *a, forge_value x, int32_t n_used) {
	if (n_used > 0) {
		forge_value scores = forge_linear(a, x, forge_need(a, "ffn_gate_inp.weight"), FORGE_NONE);
		forge_value routes = forge_choose(a, scores, FORGE_NONE, FORGE_ROUTE_SCORE_SOFTMAX, n_used, true, 1);
		return forge_experts(a, x, routes, FORGE_ACT_SILU, forge_need(a, "ffn_gate_exps.weight"), forge_need(a, "ffn_up_exps.weight"), forge_need(a, "ffn_down_exps.weight"));
	}
	forge_value gate = forge_linear(a, x, forge_need(a, "ffn_gate.weight"), FORGE_NONE);
	forge_value up = forge_linear(a, x, forge_need(a, "ffn_up.weight"), FORGE_NONE);
	return forge_linear(a, forge_glu(a, gate, up, FORGE_ACT_SILU), forge_need(a, "ffn_down.weight"), FORGE_NONE);
}

FORGE_EXPORT(arch_build) int32_t build(forge_arch *frame) {
	forge_builder a = forge_start(frame);
	int32_t n_embd = forge_need_int(&a, "embedding_length"), n_layer = forge_need_int(&a, "block_count");
	int32_t n_used = forge_text_is(&a, ".general.architecture", "qwen3moe") ? forge_experts_read(&a) : 0;
	float eps = (float)forge_need_number(&a, "attention.layer_norm_rms_epsilon");
	forge_weight_id table = forge_need(&a, "token_embd.weight");

	forge_value x = forge_embed(&a, table);
	for (a.layer = 0; a.layer < n_layer && a.status == FORGE_OK; a.layer++) {
		forge_heads heads = forge_heads_read(&a, n_embd);
		forge_rotation rotation = forge_rotation_read(&a, FORGE_ROPE_MODE_HALVES, heads.head_dim_k, 10000);
		forge_value h = forge_rms(&a, x, eps, forge_need(&a, "attn_norm.weight"));
		forge_value q = forge_linear(&a, h, forge_need(&a, "attn_q.weight"), forge_maybe(&a, "attn_q.bias"));
		forge_value k = forge_linear(&a, h, forge_need(&a, "attn_k.weight"), forge_maybe(&a, "attn_k.bias"));
		forge_value v = forge_linear(&a, h, forge_need(&a, "attn_v.weight"), forge_maybe(&a, "attn_v.bias"));
		q = forge_norm(&a, q, FORGE_NORM_KIND_RMS, eps, heads.head_dim_k, forge_need(&a, "attn_q_norm.weight"), FORGE_NONE);
		k = forge_norm(&a, k, FORGE_NORM_KIND_RMS, eps, heads.head_dim_k, forge_need(&a, "attn_k_norm.weight"), FORGE_NONE);
		q = forge_rope(&a, q, &rotation, FORGE_NONE);
		k = forge_rope(&a, k, &rotation, FORGE_NONE);
		h = forge_attention(&a, q, k, v, &heads, FORGE_NONE);
		x = forge_add(&a, x, forge_linear(&a, h, forge_need(&a, "attn_output.weight"), forge_maybe(&a, "attn_output.bias")));
		h = forge_rms(&a, x, eps, forge_need(&a, "ffn_norm.weight"));
		x = forge_add(&a, x, feed_forward(&a, h, n_used));
	}
	a.layer = -1;
	x = forge_rms(&a, forge_rows_wanted(&a, x), eps, forge_need(&a, "output_norm.weight"));
	forge_weight_id output = forge_maybe(&a, "output.weight");
	forge_output(&a, forge_linear(&a, x, output >= 0 ? output : table, FORGE_NONE), FORGE_OUTPUT_KIND_LOGITS);
	return forge_end(&a);
}
