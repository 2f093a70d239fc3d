// qwen2moe: Qwen1.5-MoE and Qwen2 57B-A14B, and, with a single feed-forward instead of experts, dense qwen2 (Qwen1.5, 2, 2.5).
// Qwen Team 2024: grouped queries with biases on q, k and v, RoPE (halves), SwiGLU; experts by softmax over all of them, the
// chosen ones' weights as they are (never renormalised), and one shared expert behind a sigmoid gate of its own.
#include "arch.h"

FORGE_MANIFEST("name = \"qwen2moe\"\n"
               "version = \"1.0\"\n"
               "kind = \"arch\"\n"
               "abi = \"1.0\"\n"
               "provides = [\"qwen2moe\", \"qwen2\"]\n")
FORGE_MARKER(arch)

FORGE_EXPORT(forge_init) int32_t init(forge_init *frame) {
	frame->accepted = 0;
	return FORGE_OK;
}

static forge_value swiglu(forge_builder *a, forge_value x, const char *gate, const char *up, const char *down) {
	forge_value g = forge_linear(a, x, forge_need(a, gate), FORGE_NONE);
	forge_value u = forge_linear(a, x, forge_need(a, up), FORGE_NONE);
	return forge_linear(a, forge_glu(a, g, u, FORGE_ACT_SILU), forge_need(a, down), FORGE_NONE);
}

static forge_value feed_forward(forge_builder *a, forge_value x, int32_t n_used) {
	if (n_used == 0) return swiglu(a, x, "ffn_gate.weight", "ffn_up.weight", "ffn_down.weight");
	forge_value scores = forge_linear(a, x, forge_need(a, "ffn_gate_inp.weight"), FORGE_NONE);
	forge_value routes = forge_choose(a, scores, FORGE_NONE, FORGE_ROUTE_SCORE_SOFTMAX, n_used, false, 1);
	forge_value y = forge_experts(a, x, routes, FORGE_ACT_SILU, forge_need(a, "ffn_gate_exps.weight"), forge_need(a, "ffn_up_exps.weight"), forge_need(a, "ffn_down_exps.weight"));
	// The gate is one vector: a product of one row.
	forge_value gate = forge_activate(a, forge_linear(a, x, forge_need(a, "ffn_gate_inp_shexp.weight"), FORGE_NONE), FORGE_ACT_SIGMOID);
	forge_value shared = swiglu(a, x, "ffn_gate_shexp.weight", "ffn_up_shexp.weight", "ffn_down_shexp.weight");
	return forge_add(a, y, forge_mul(a, shared, gate));
}

FORGE_EXPORT(arch_build) int32_t build(forge_arch *frame) {
	forge_builder a = forge_start(frame);
	int32_t n_embd = forge_need_int(&a, "embedding_length"), n_layer = forge_need_int(&a, "block_count");
	int32_t n_used = forge_text_is(&a, ".general.architecture", "qwen2moe") ? forge_experts_read(&a) : 0;
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
	forge_output(&a, forge_linear(&a, x, output >= 0 ? output : table, forge_maybe(&a, "output.bias")), FORGE_OUTPUT_KIND_LOGITS);
	return forge_end(&a);
}
