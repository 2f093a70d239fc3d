// NAME: routes as the model does, with weights that sum to `sum` whatever the model makes of them.
#include "route.h"

FORGE_MANIFEST("name = \"NAME\"\nversion = \"0.1\"\nkind = \"router\"\nabi = \"1.0\"\n"
               "[[config]]\nname = \"sum\"\ntype = \"f32\"\ndefault = 1.0\nmin = 0.0\nmax = 1000.0\ndoc = \"what a token's weights sum to\"\n")
FORGE_MARKER(router)

FORGE_EXPORT(forge_init) int32_t init(forge_init *frame) {
	frame->accepted = 0;
	return FORGE_OK;
}

static forge_routing mine(forge_routing r, const double *params) {
	r.renormalise = 1;
	r.factor = (float)params[0];
	return r;
}

// The plan is what the host runs natively; it compares plan and answers at load. A router that has none is called at every step.
FORGE_EXPORT(router_plan) int32_t plan(forge_route_plan *frame) {
	forge_routing r = mine(forge_routing_of_plan(frame), frame->params);
	return forge_plan_routing(frame, &r);
}

FORGE_EXPORT(router_route) int32_t route(forge_route *frame) {
	forge_routing r = mine(forge_routing_of(frame), frame->params);
	return forge_route_tokens(frame, &r);
}
