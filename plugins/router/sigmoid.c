// sigmoid: the router of DeepSeek-V3 and its kin: each expert's sigmoid, chosen with a bias that keeps the load even but does
// not weigh, among the groups of experts whose two best sum highest; weights divided by their sum, times a factor.
// DeepSeek-AI 2024, section 2.1.2. What config leaves alone is the model's own.
#include "route.h"

FORGE_MANIFEST("name = \"sigmoid\"\n"
               "version = \"1.0\"\n"
               "kind = \"router\"\n"
               "abi = \"1.0\"\n"
               "provides = [\"sigmoid\"]\n"
               "[[config]]\nname = \"bias\"\ntype = \"bool\"\ndefault = true\ndoc = \"the model's bias counts in the choice\"\n"
               "[[config]]\nname = \"groups\"\ntype = \"i32\"\ndefault = 0\nmin = 0\nmax = 4096\ndoc = \"groups of experts, 1: none; 0: the model's\"\n"
               "[[config]]\nname = \"groups_used\"\ntype = \"i32\"\ndefault = 0\nmin = 0\nmax = 4096\ndoc = \"how many of them are chosen from; 0: the model's, or all where groups is set\"\n"
               "[[config]]\nname = \"renormalise\"\ntype = \"i32\"\ndefault = -1\nmin = -1\nmax = 1\ndoc = \"1: weights are divided by their sum; 0: not; -1: as the model has it\"\n"
               "[[config]]\nname = \"factor\"\ntype = \"f32\"\ndefault = 0.0\nmin = 0.0\nmax = 1000.0\ndoc = \"weights are multiplied by it; 0: by the model's\"\n")
FORGE_MARKER(router)

FORGE_EXPORT(forge_init) int32_t init(forge_init *frame) {
	frame->accepted = 0;
	return FORGE_OK;
}

static forge_routing settings(forge_routing r, const double *params) {
	r.score = FORGE_ROUTE_SCORE_SIGMOID;
	if (params[0] == 0) r.bias = 0;
	if (params[1] > 0) r.n_group = r.n_group_used = (uint32_t)params[1];
	if (params[2] > 0) r.n_group_used = (uint32_t)params[2];
	if (params[3] >= 0) r.renormalise = params[3] > 0;
	if (params[4] > 0) r.factor = (float)params[4];
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
