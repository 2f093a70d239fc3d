// llama: Llama 1 to 3, Mistral, Mixtral, SmolLM, TinyLlama and whatever else a file calls "llama".
// Touvron et al. 2023 (RMSNorm, SwiGLU, RoPE over neighbouring pairs), Ainslie et al. 2023 (grouped queries),
// Jiang et al. 2024 (Mixtral's experts: softmax, the chosen renormalised).
#include "arch.h"

FORGE_MANIFEST("name = \"llama\"\n"
               "version = \"1.0\"\n"
               "kind = \"arch\"\n"
               "abi = \"1.0\"\n"
               "provides = [\"llama\"]\n")
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
	forge_value gate = forge_linear(a, x, forge_need(a, "ffn_gate.weight"), forge_maybe(a, "ffn_gate.bias"));
	forge_value up = forge_linear(a, x, forge_need(a, "ffn_up.weight"), forge_maybe(a, "ffn_up.bias"));
	return forge_linear(a, forge_glu(a, gate, up, FORGE_ACT_SILU), forge_need(a, "ffn_down.weight"), forge_maybe(a, "ffn_down.bias"));
}

FORGE_EXPORT(arch_build) int32_t build(forge_arch *frame) {
	forge_builder a = forge_start(frame);
	int32_t n_embd = forge_need_int(&a, "embedding_length"), n_layer = forge_need_int(&a, "block_count");
	int32_t n_used = forge_int(&a, "expert_count", 0) ? forge_experts_read(&a) : 0;
	float eps = (float)forge_need_number(&a, "attention.layer_norm_rms_epsilon");
	forge_weight_id table = forge_need(&a, "token_embd.weight");
	forge_weight_id factors = forge_maybe(&a, "rope_freqs.weight"); // Llama 3.1's scaling, as one divisor for each pair

	forge_value x = forge_embed(&a, table);
	for (a.layer = 0; a.layer < n_layer && a.status == FORGE_OK; a.layer++) {
		forge_heads heads = forge_heads_read(&a, n_embd);
		forge_rotation rotation = forge_rotation_read(&a, FORGE_ROPE_MODE_PAIRS, heads.head_dim_k, 10000);
		forge_value h = forge_rms(&a, x, eps, forge_need(&a, "attn_norm.weight"));
		forge_value q = forge_linear(&a, h, forge_need(&a, "attn_q.weight"), forge_maybe(&a, "attn_q.bias"));
		forge_value k = forge_linear(&a, h, forge_need(&a, "attn_k.weight"), forge_maybe(&a, "attn_k.bias"));
		forge_value v = forge_linear(&a, h, forge_need(&a, "attn_v.weight"), forge_maybe(&a, "attn_v.bias"));
		q = forge_rope(&a, q, &rotation, factors);
		k = forge_rope(&a, k, &rotation, factors);
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
