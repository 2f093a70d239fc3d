// router answers as config says: for the host's tests. It chooses the first top_k experts at equal weights, unless it is to
// break a rule of the ABI.
#include "guest.h"

FORGE_MANIFEST("name = \"router\"\nversion = \"1.0\"\nkind = \"router\"\nabi = \"1.0\"\nstate = \"explicit\"\n"
               "[[config]]\nname = \"mode\"\ntype = \"i32\"\n"
               "[[config]]\nname = \"plan\"\ntype = \"i32\"\n"
               "[[config]]\nname = \"bad_seq\"\ntype = \"i32\"\ndefault = -1\ndoc = \"the only sequence for which the rule is broken; -1: all\"\n")
FORGE_MARKER(router)

static uint32_t sequences; // begun and not ended

FORGE_EXPORT(forge_init) int32_t init(forge_init *frame) {
	frame->accepted = 0;
	return FORGE_OK;
}

FORGE_EXPORT(forge_begin) int32_t begin(forge_seq *f) {
	(void)f;
	sequences++;
	return FORGE_OK;
}
FORGE_EXPORT(forge_end) int32_t end(forge_seq *f) {
	(void)f;
	sequences--;
	return FORGE_OK;
}

FORGE_EXPORT(router_plan) int32_t plan(forge_route_plan *f) {
	switch ((int32_t)f->params[1]) {
	case 0: return FORGE_SKIP;
	case 1: f->score = 7; break;
	case 2: f->n_group = 5; break;
	case 3: f->n_group = 2, f->n_group_used = 3; break;
	case 4: f->factor = -1; break;
	case 5: f->factor = __builtin_nanf(""); break;
	case 6: f->use_bias = 1; break;
	case 7: f->renormalise = 2; break;
	case 8: return FORGE_FAIL(f, FORGE_ERR_CONFIG, "no such plan");
	case 9: f->renormalise = !f->renormalise, f->factor = 2; break; // a plan like any other
	case 10: return 77;
	}
	return FORGE_OK;
}

FORGE_EXPORT(router_route) int32_t route(forge_route *f) {
	for (uint32_t t = 0; t < f->n_tokens; t++) {
		for (uint32_t k = 0; k < f->top_k; k++) {
			f->ids[t * f->top_k + k] = k;
			f->weights[t * f->top_k + k] = 1.0f / (float)f->top_k;
		}
	}
	uint32_t at = 0; // the token for which a rule is broken
	if (f->params[2] >= 0) {
		while (at < f->n_tokens && f->seqs[at] != (uint64_t)f->params[2]) at++;
		if (at == f->n_tokens) return FORGE_OK;
	}
	uint32_t *id = f->ids + at * f->top_k + f->top_k - 1;
	float *weight = f->weights + at * f->top_k + f->top_k - 1;
	switch ((int32_t)f->params[0]) {
	case 1: *id = f->n_experts; break;
	case 2: *id = 0; break;
	case 3: *weight = __builtin_nanf(""); break;
	case 4: *weight = -1; break;
	case 5: *weight = __builtin_inff(); break;
	case 6: __builtin_trap();
	case 7: for (volatile uint32_t i = 0;; i++) {} // for ever
	case 8: return FORGE_FAIL(f, FORGE_ERR_STATE, "nothing is known of this sequence");
	case 9: return 5;
	case 10: f->ids = 0, f->n_tokens = 1u << 31, f->scores = 0; break; // the frame is the host's
	case 11: // tells what it was given
		*id = f->n_experts - 1 - sequences;
		*weight = (float)f->positions[at] + 1000 * (float)f->seqs[at] + 0.5f * (float)(f->bias != 0);
		break;
	case 12: // answers for no token but the first
		for (uint32_t i = f->top_k; i < f->n_tokens * f->top_k; i++) f->ids[i] = 0xffffffff;
		break;
	}
	return FORGE_OK;
}
