// Built by build.sh. A sampler with a plan: most forbids the tokens 1 and 2 and keeps the k best. mode tells how the plan
// or the sampler is wrong.
#include "guest.h"
FORGE_MANIFEST("name = \"plan\"\nversion = \"1\"\nkind = \"sampler\"\nabi = \"1.0\"\n[[config]]\nname = \"mode\"\ntype = \"i32\"\n[[config]]\nname = \"k\"\ntype = \"i32\"\ndefault = 3\nmin = 1\n[[entries]]\nname = \"most\"\nconfig = [\"k\"]\n[[entries]]\nname = \"pick\"\nconfig = []\n")
FORGE_MARKER(sampler)

static uint32_t mode;

FORGE_EXPORT(forge_init) int32_t init(forge_init *f) {
	mode = (uint32_t)f->config[0];
	return FORGE_OK;
}

// before tells whether candidate i ranks before j.
static bool before(const forge_row *r, uint32_t i, uint32_t j) {
	float x = r->logits[i] == r->logits[i] ? r->logits[i] : -__builtin_inff(), y = r->logits[j] == r->logits[j] ? r->logits[j] : -__builtin_inff();
	if (x != y) return x > y;
	return mode == 13 ? r->ids[i] > r->ids[j] : r->ids[i] < r->ids[j];
}

FORGE_EXPORT(sampler_most) int32_t most(forge_rows *f) {
	forge_row *r = f->rows;
	uint32_t k = (uint32_t)r->params[1];
	if (mode == 11) return FORGE_FAIL(f, FORGE_ERR_ARG, "not today");
	if (r->flags & FORGE_ROW_FLAG_WHOLE)
		for (uint32_t i = 0; i < r->n; i++) r->ids[i] = i;
	for (uint32_t i = 0; i < r->n; i++)
		if (r->ids[i] == 1 || r->ids[i] == 2) r->logits[i] = -__builtin_inff();
	if (k >= r->n) {
		r->flags &= ~FORGE_ROW_FLAG_SORTED;
		return FORGE_OK;
	}
	for (uint32_t i = 0; i < k; i++) {
		uint32_t best = i;
		for (uint32_t j = i + 1; j < r->n; j++)
			if (before(r, j, best)) best = j;
		float x = r->logits[best] == r->logits[best] ? r->logits[best] + 0.0f : -__builtin_inff();
		uint32_t id = r->ids[best];
		r->logits[best] = r->logits[i], r->ids[best] = r->ids[i];
		r->logits[i] = x, r->ids[i] = id;
	}
	r->n = k;
	r->flags = FORGE_ROW_FLAG_SORTED;
	return FORGE_OK;
}

FORGE_EXPORT(plan_most) int32_t plan(forge_plan *f) {
	uint32_t k = (uint32_t)f->params[1];
	f->ids[0] = 2, f->ids[1] = 1;
	f->n_ids = 2;
	f->steps[0] = (forge_plan_step){.op = FORGE_PLAN_OP_MASK, .count = 2};
	f->steps[1] = (forge_plan_step){.op = FORGE_PLAN_OP_TOP_K, .n = k};
	f->n_steps = 2;
	switch (mode) {
	case 1: f->steps[1].n++; break;
	case 2: f->steps[0].count = 1; break;
	case 3: f->steps[0].op = 9; break;
	case 4: f->n_steps = 17; break;
	case 5: f->steps[0].first = 0xffffffff; break;
	case 6: f->steps[1] = (forge_plan_step){.op = FORGE_PLAN_OP_TEMPERATURE, .value = 0}; break;
	case 7: f->steps[0].op = FORGE_PLAN_OP_ARG_MAX; break;
	case 8: __builtin_trap();
	case 9: return 5;
	case 10: f->steps[1].n = 0; break;
	case 12: return FORGE_SKIP;
	case 14: f->n_steps = 0; break;
	case 15: f->n_ids = 5000; break;
	case 16: f->steps[0].op = 0; break;
	}
	return FORGE_OK;
}

FORGE_EXPORT(sampler_pick) int32_t pick(forge_rows *f) {
	f->rows->selected = 0;
	return FORGE_OK;
}
