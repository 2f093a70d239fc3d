// softmax: the router of most models: softmax over all experts and the top_k of them, or the top_k and a softmax over those
// (config over_chosen), each expert's share divided by the sum of the chosen or left as it is (renormalise), times a factor.
// Shazeer et al. 2017; Jiang et al. 2024 (over the chosen); Qwen Team 2025 (renormalised). What config leaves alone is the
// model's own, a bias and groups too.
#include "route.h"

FORGE_MANIFEST("name = \"softmax\"\n"
               "version = \"1.0\"\n"
               "kind = \"router\"\n"
               "abi = \"1.0\"\n"
               "provides = [\"softmax\", \"softmax_chosen\"]\n"
               "[[config]]\nname = \"over_chosen\"\ntype = \"i32\"\ndefault = -1\nmin = -1\nmax = 1\ndoc = \"1: softmax after the choice, over the chosen; 0: before it, over all; -1: as the model has it\"\n"
               "[[config]]\nname = \"renormalise\"\ntype = \"i32\"\ndefault = -1\nmin = -1\nmax = 1\ndoc = \"1: weights are divided by their sum; 0: not; -1: as the model has it\"\n"
               "[[config]]\nname = \"factor\"\ntype = \"f32\"\ndefault = 0.0\nmin = 0.0\nmax = 1000.0\ndoc = \"weights are multiplied by it; 0: by the model's\"\n")
FORGE_MARKER(router)

FORGE_EXPORT(forge_init) int32_t init(forge_init *frame) {
	frame->accepted = 0;
	return FORGE_OK;
}

static forge_routing settings(forge_routing r, const double *params) {
	if (params[0] >= 0) r.score = params[0] > 0 ? FORGE_ROUTE_SCORE_SOFTMAX_CHOSEN : FORGE_ROUTE_SCORE_SOFTMAX;
	if (r.score == FORGE_ROUTE_SCORE_SIGMOID) r.score = FORGE_ROUTE_SCORE_SOFTMAX;
	if (params[1] >= 0) r.renormalise = params[1] > 0;
	if (params[2] > 0) r.factor = (float)params[2];
	return r;
}

FORGE_EXPORT(router_plan) int32_t plan(forge_route_plan *f) {
	forge_routing r = settings(forge_routing_of_plan(f), f->params);
	return forge_plan_routing(f, &r);
}

FORGE_EXPORT(router_route) int32_t route(forge_route *f) {
	forge_routing r = settings(forge_routing_of(f), f->params);
	return forge_route_tokens(f, &r);
}
