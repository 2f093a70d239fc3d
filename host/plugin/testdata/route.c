// Built by build.sh. A router: the top_k highest scores, with weights that are those of a softmax over the chosen; config
// key mode makes it answer something else, right or wrong, for all sequences or for one of them.
#include "guest.h"
FORGE_MANIFEST("name = \"route\"\nversion = \"1.0\"\nkind = \"router\"\nabi = \"1.0\"\nstate = \"explicit\"\n[[config]]\nname = \"mode\"\ntype = \"i32\"\n"
               "[[config]]\nname = \"seq\"\ntype = \"i32\"\ndefault = -1\n")
FORGE_MARKER(router)

static int32_t sequences; // begun and not ended
FORGE_EXPORT(forge_begin) int32_t begin(forge_seq *f) { sequences++; return FORGE_OK; }
FORGE_EXPORT(forge_end) int32_t end(forge_seq *f) { sequences--; return FORGE_OK; }

FORGE_EXPORT(forge_init) int32_t init(forge_init *f) { return FORGE_OK; }

FORGE_EXPORT(router_route) int32_t route(forge_route *f) {
	int32_t mode = (int32_t)f->params[0];
	for (uint32_t t = 0; t < f->n_tokens; t++) {
		const float *s = f->scores + t * f->n_experts;
		uint32_t *ids = f->ids + t * f->top_k;
		float *w = f->weights + t * f->top_k;
		for (uint32_t k = 0; k < f->top_k; k++) {
			uint32_t best = f->n_experts;
			for (uint32_t e = 0; e < f->n_experts; e++) {
				uint32_t taken = 0;
				for (uint32_t j = 0; j < k; j++) taken |= ids[j] == e;
				float x = s[e] + (f->bias ? f->bias[e] : 0);
				if (!taken && (best == f->n_experts || x > s[best] + (f->bias ? f->bias[best] : 0))) best = e;
			}
			ids[k] = best;
			w[k] = (float)(t + 1) / (float)(k + 1);
			if (f->seqs[t] > 100) w[k] += (float)f->positions[t];
		}
	}
	uint32_t last = f->n_tokens * f->top_k - 1;
	if (f->params[1] >= 0) {
		uint32_t t = f->n_tokens;
		while (t > 0 && f->seqs[t - 1] != (uint64_t)f->params[1]) t--;
		if (t == 0) return FORGE_OK;
		last = t * f->top_k - 1;
	}
	switch (mode) {
	case 1: f->ids[last] = f->n_experts; break;
	case 2: f->ids[last] = f->ids[last - 1]; break;
	case 3: f->weights[last] = __builtin_nanf(""); break;
	case 4: f->weights[last] = __builtin_inff(); break;
	case 5: f->weights[last] = -1; break;
	case 6: __builtin_trap();
	case 7: for (volatile int i = 0;; i++) {}
	case 8: return 4;
	case 9: f->ids[0] = 0xffffffff; break;
	case 10: f->weights[last] = 0; break; // allowed
	case 11: return FORGE_FAIL(f, FORGE_ERR_STATE, "nothing is known of this sequence");
	case 12: f->weights[last] = (float)sequences; break;
	}
	return FORGE_OK;
}

FORGE_EXPORT(router_plan) int32_t plan(forge_route_plan *f) {
	switch ((int32_t)f->params[0]) {
	case 20: f->score = 1, f->renormalise = 1, f->factor = 2.5f, f->use_bias = 0; break;
	case 21: f->score = 9; break;
	case 22: f->n_group = 3; break;
	case 23: f->n_group_used = 0; break;
	case 24: f->factor = __builtin_nanf(""); break;
	case 25: f->use_bias = 2; break;
	case 26: f->n_group = 4, f->n_group_used = 1; break;
	case 27: f->renormalise = !f->renormalise; break; // not what it answers
	default: return FORGE_SKIP;
	}
	return FORGE_OK;
}
