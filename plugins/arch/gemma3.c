// gemma3: Gemma 3, 270M to 27B, text. Gemma Team 2025: five windowed layers to one global, a norm for each head of q and
// k before RoPE (halves), norms after attention and feed-forward too, GeGLU, embeddings times sqrt(n_embd), tied output.
// The norm weights of a GGUF file already hold Gemma's "+ 1".
#include "arch.h"

FORGE_MANIFEST("name = \"gemma3\"\n"
               "version = \"1.0\"\n"
               "kind = \"arch\"\n"
               "abi = \"1.0\"\n"
               "provides = [\"gemma3\"]\n")
FORGE_MARKER(arch)

FORGE_EXPORT(forge_init) int32_t init(forge_init *frame) {
	frame->accepted = 0;
	return FORGE_OK;
}

// is_local tells whether the current layer is windowed: each p-th is global, unless the file has a list of bools.
static bool is_local(forge_builder *a) {
	const forge_meta *m = forge_find(a, "attention.sliding_window_pattern");
	if (m && m->type == FORGE_META_TYPE_NUMBERS) return forge_number(a, "attention.sliding_window_pattern", 0) != 0;
	int32_t p = forge_int(a, "attention.sliding_window_pattern", 6);
	return p > 0 && a->layer % p < p - 1;
}

FORGE_EXPORT(arch_build) int32_t build(forge_arch *frame) {
	forge_builder a = forge_start(frame);
	int32_t n_embd = forge_need_int(&a, "embedding_length"), n_layer = forge_need_int(&a, "block_count");
	int32_t window = forge_int(&a, "attention.sliding_window", 0); // absent: all layers see everything
	float eps = (float)forge_need_number(&a, "attention.layer_norm_rms_epsilon");
	forge_weight_id table = forge_need(&a, "token_embd.weight");

	forge_value x = forge_scale(&a, forge_embed(&a, table), __builtin_sqrtf((float)n_embd));
	for (a.layer = 0; a.layer < n_layer && a.status == FORGE_OK; a.layer++) {
		forge_heads heads = forge_heads_read(&a, n_embd);
		if (n_layer == 62) heads.scale = 1 / __builtin_sqrtf((float)n_embd / (float)heads.n_head); // the 27B model
		// The file's base and factor are those of the global layers.
		forge_rotation rotation = forge_rotation_read(&a, FORGE_ROPE_MODE_HALVES, heads.head_dim_k, 1000000);
		if (is_local(&a)) {
			heads.window = window;
			rotation = forge_rotation_plain(FORGE_ROPE_MODE_HALVES, heads.head_dim_k, rotation.n_rot, (float)forge_number(&a, "rope.freq_base_swa", 10000));
		}
		forge_value h = forge_rms(&a, x, eps, forge_need(&a, "attn_norm.weight"));
		forge_value q = forge_linear(&a, h, forge_need(&a, "attn_q.weight"), FORGE_NONE);
		forge_value k = forge_linear(&a, h, forge_need(&a, "attn_k.weight"), FORGE_NONE);
		forge_value v = forge_linear(&a, h, forge_need(&a, "attn_v.weight"), FORGE_NONE);
		q = forge_norm(&a, q, FORGE_NORM_KIND_RMS, eps, heads.head_dim_k, forge_need(&a, "attn_q_norm.weight"), FORGE_NONE);
		k = forge_norm(&a, k, FORGE_NORM_KIND_RMS, eps, heads.head_dim_k, forge_need(&a, "attn_k_norm.weight"), FORGE_NONE);
		q = forge_rope(&a, q, &rotation, FORGE_NONE);
		k = forge_rope(&a, k, &rotation, FORGE_NONE);
		h = forge_attention(&a, q, k, v, &heads, FORGE_NONE);
		h = forge_linear(&a, h, forge_need(&a, "attn_output.weight"), FORGE_NONE);
		x = forge_add(&a, x, forge_rms(&a, h, eps, forge_need(&a, "post_attention_norm.weight")));
		h = forge_rms(&a, x, eps, forge_need(&a, "ffn_norm.weight"));
		forge_value gate = forge_linear(&a, h, forge_need(&a, "ffn_gate.weight"), FORGE_NONE);
		forge_value up = forge_linear(&a, h, forge_need(&a, "ffn_up.weight"), FORGE_NONE);
		h = forge_linear(&a, forge_glu(&a, gate, up, FORGE_ACT_GELU_TANH), forge_need(&a, "ffn_down.weight"), FORGE_NONE);
		x = forge_add(&a, x, forge_rms(&a, h, eps, forge_need(&a, "post_ffw_norm.weight")));
	}
	a.layer = -1;
	x = forge_rms(&a, forge_rows_wanted(&a, x), eps, forge_need(&a, "output_norm.weight"));
	forge_weight_id output = forge_maybe(&a, "output.weight");
	x = forge_linear(&a, x, output >= 0 ? output : table, FORGE_NONE);
	float cap = (float)forge_number(&a, "final_logit_softcapping", 0); // Gemma 2's; Gemma 3's own files have none
	if (cap > 0) x = forge_softcap(&a, x, cap);
	forge_output(&a, x, FORGE_OUTPUT_KIND_LOGITS);
	return forge_end(&a);
}
