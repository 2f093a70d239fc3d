// A router that routes as the model does.
#include "faulty_kind.h"
#include "route.h"
FAULTY_KIND(router, "state = \"explicit\"\n")

enum { TRAPS = 1, SILENT, COUNTS, ENGINES, TWICE, NOT_FINITE, PLAN, BATCHES, SEQUENCES, LEAK, INFINITE, NO_TOKENS, ENDS, RARE, ENDLESS, REFUSES };

FORGE_EXPORT(forge_init) int32_t init(forge_init *frame) {
	frame->accepted = 0;
	fault = (int32_t)frame->config[0];
	return FORGE_OK;
}

FORGE_EXPORT(forge_end) int32_t end(forge_seq *f) {
	if (fault == ENDS && f->seq == 99) __builtin_trap();
	return FORGE_OK;
}

FORGE_EXPORT(router_plan) int32_t plan(forge_route_plan *f) {
	forge_routing r = forge_routing_of_plan(f);
	if (fault == PLAN) r.factor *= 2;
	if (fault != 0 && fault != PLAN) return FORGE_SKIP;
	return forge_plan_routing(f, &r);
}

static void swap(forge_route *f, uint32_t token) {
	if (f->top_k < 2) return;
	uint32_t *ids = f->ids + token * f->top_k, id = ids[0];
	ids[0] = ids[1], ids[1] = id;
}

FORGE_EXPORT(router_route) int32_t route(forge_route *f) {
	forge_routing r = forge_routing_of(f);
	if (fault == TRAPS && f->n_experts == 1) __builtin_trap();
	if (fault == SILENT && f->n_experts == 1) return FORGE_ERR_UNSUPPORTED;
	if (fault == REFUSES) return FORGE_FAIL(f, FORGE_ERR_UNSUPPORTED, "it routes nothing");
	if (fault == RARE && f->n_experts > 128) __builtin_trap();
	if (fault == LEAK && f->n_experts > 8) __builtin_wasm_memory_grow(0, f->n_tokens == 8);
	for (volatile uint32_t i = 0; fault == ENDLESS; i++) {}
	if (fault == NO_TOKENS && f->n_tokens == 0) __builtin_trap();
	int32_t status = forge_route_tokens(f, &r);
	if (status != FORGE_OK) return status;
	for (uint32_t t = 0; t < f->n_tokens; t++) {
		if (fault == BATCHES && t % 2) swap(f, t);
		if (fault == SEQUENCES && t > 0 && f->seqs[t] != f->seqs[t - 1]) swap(f, t);
		if (fault == TWICE && f->top_k > 1) f->ids[t * f->top_k] = f->ids[t * f->top_k + 1];
		if (fault == NOT_FINITE) f->weights[t * f->top_k] = __builtin_nanf("");
		if (fault == INFINITE && f->scores[t * f->n_experts] != f->scores[t * f->n_experts]) f->ids[t * f->top_k] = f->n_experts;
	}
	if (fault == COUNTS && f->n_tokens && calls++ % 5) swap(f, 0);
	if (fault == ENGINES && f->n_tokens && nan_bit()) swap(f, 0);
	return FORGE_OK;
}
