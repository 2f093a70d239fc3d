// route.h: what routers are written with: the operation route of the ABI, with the bits that the host's devices compute. A
// router takes the model's own routing, changes what it is there for, and hands it on, as a plan and by call:
//
//     static forge_routing mine(forge_routing r, const double *params) { r.renormalise = 1; return r; }
//     FORGE_EXPORT(router_plan) int32_t plan(forge_route_plan *f) {
//         forge_routing r = mine(forge_routing_of_plan(f), f->params);
//         return forge_plan_routing(f, &r);
//     }
//     FORGE_EXPORT(router_route) int32_t route(forge_route *f) {
//         forge_routing r = mine(forge_routing_of(f), f->params);
//         return forge_route_tokens(f, &r);
//     }
#ifndef FORGE_ROUTE_H
#define FORGE_ROUTE_H

#include "guest.h"
#include "math.h"

#define FORGE_MAX_EXPERTS 4096 // of a layer
#define FORGE_MIN_ROUTE_SUM 0x1p-14

// forge_routing is how a layer routes: the attributes of the operation route, and its bias or null.
typedef struct {
	uint32_t score, n_group, n_group_used, renormalise;
	float factor;
	const float *bias;
} forge_routing;

static inline forge_routing forge_routing_of(const forge_route *f) {
	return (forge_routing){.score = f->score, .n_group = f->n_group, .n_group_used = f->n_group_used, .renormalise = f->renormalise, .factor = f->factor, .bias = f->bias};
}
// In a plan the bias has no values yet: not null says that it counts.
static inline forge_routing forge_routing_of_plan(const forge_route_plan *f) {
	static const float there;
	return (forge_routing){.score = f->score, .n_group = f->n_group, .n_group_used = f->n_group_used, .renormalise = f->renormalise, .factor = f->factor, .bias = f->use_bias ? &there : 0};
}

// forge_routing_refuses gives a negative status, with the sentence in the error slot, for a routing that is not possible.
static inline int32_t forge_routing_refuses(forge_head *head, const forge_routing *r, uint32_t n_experts, uint32_t top_k) {
	const char *why = 0;
	if (n_experts > FORGE_MAX_EXPERTS) return forge_fail(head, FORGE_ERR_UNSUPPORTED, (const char *const[]){"a layer of more than 4096 experts is more than this router holds", 0});
	if (top_k == 0 || top_k > n_experts) why = "more experts are to be chosen than there are";
	else if (r->n_group == 0 || n_experts % r->n_group) why = "the experts do not part into so many groups";
	else if (r->n_group_used == 0 || r->n_group_used > r->n_group) why = "more groups are to be used than there are";
	else if (n_experts / r->n_group * r->n_group_used < top_k) why = "the groups used have fewer experts than are to be chosen";
	return why ? forge_fail(head, FORGE_ERR_CONFIG, (const char *const[]){why, 0}) : FORGE_OK;
}

// forge_highest writes the indices of the k highest of x in descending order, of equal ones the first; NaN is the lowest.
static inline void forge_highest(const double *x, uint32_t n, uint32_t k, uint32_t *best) {
	static double values[FORGE_MAX_EXPERTS];
	uint32_t have = 0;
	double least = 0; // of the k best so far, once there are as many
	for (uint32_t i = 0; i < n; i++) {
		// Once k are found most others are passed over, two at a time.
		while (have == k && i + 2 <= n && !wasm_v128_any_true(wasm_f64x2_gt(wasm_v128_load(x + i), wasm_f64x2_splat(least)))) i += 2;
		if (i == n) break;
		double v = x[i] == x[i] ? x[i] : -__builtin_inf();
		if (have == k && !(v > least)) continue;
		uint32_t last = have < k ? have++ : k - 1, at = last;
		if (k <= 32) {
			for (; at > 0 && v > values[at - 1]; at--) values[at] = values[at - 1], best[at] = best[at - 1];
		} else { // many are moved at once
			for (uint32_t low = 0; low < at;) {
				uint32_t middle = (low + at) / 2;
				if (v > values[middle]) at = middle;
				else low = middle + 1;
			}
			memmove(values + at + 1, values + at, (last - at) * sizeof *values);
			memmove(best + at + 1, best + at, (last - at) * sizeof *best);
		}
		values[at] = v, best[at] = i;
		least = values[k - 1];
	}
}

static inline void forge_promote(double *x, const float *scores, uint32_t n) {
	uint32_t i = 0;
	for (; i + 2 <= n; i += 2) wasm_v128_store(x + i, wasm_f64x2_promote_low_f32x4(wasm_v128_load64_zero(scores + i)));
	if (i < n) x[i] = scores[i];
}

// forge_exps: x = e^(x - max), and gives their sum; forge_softmax divides by it; forge_sigmoids: x = 1 / (1 + e^-x).
// x has room for one more than n.
static inline double forge_exps(double *x, uint32_t n) {
	double most = x[0], sum = 0;
	for (uint32_t i = 1; i < n; i++) most = x[i] > most ? x[i] : most;
	for (uint32_t i = 0; i < n; i += 2) wasm_v128_store(x + i, forge_exp_pair(wasm_f64x2_sub(wasm_v128_load(x + i), wasm_f64x2_splat(most))));
	for (uint32_t i = 0; i < n; i++) sum += x[i];
	return sum;
}
static inline void forge_softmax(double *x, uint32_t n) {
	double sum = forge_exps(x, n);
	for (uint32_t i = 0; i < n; i++) x[i] /= sum;
}
static inline void forge_sigmoids(double *x, uint32_t n) {
	v128_t one = wasm_f64x2_splat(1);
	for (uint32_t i = 0; i < n; i += 2) wasm_v128_store(x + i, wasm_f64x2_div(one, wasm_f64x2_add(one, forge_exp_pair(wasm_f64x2_neg(wasm_v128_load(x + i))))));
}
static inline void forge_probabilities(double *x, uint32_t n, uint32_t score) {
	if (score == FORGE_ROUTE_SCORE_SOFTMAX) forge_softmax(x, n);
	if (score == FORGE_ROUTE_SCORE_SIGMOID) forge_sigmoids(x, n);
}

// forge_drop_groups sets the values of the groups that are not used to -inf: those whose two best sum lowest.
static inline void forge_drop_groups(double *x, uint32_t n, const forge_routing *r) {
	static double sums[FORGE_MAX_EXPERTS];
	static uint32_t best[FORGE_MAX_EXPERTS];
	uint32_t size = n / r->n_group, two = size < 2 ? size : 2;
	for (uint32_t g = 0; g < r->n_group; g++) {
		forge_highest(x + g * size, size, two, best);
		sums[g] = 0;
		for (uint32_t i = 0; i < two; i++) sums[g] += x[g * size + best[i]];
	}
	forge_highest(sums, r->n_group, r->n_group_used, best);
	for (uint32_t i = 0; i < r->n_group_used; i++) sums[best[i]] = __builtin_nan(""); // used
	for (uint32_t g = 0; g < r->n_group; g++)
		for (uint32_t e = g * size; sums[g] == sums[g] && e < (g + 1) * size; e++) x[e] = -__builtin_inf();
}

// forge_weigh_chosen writes the weights of the chosen experts: p, divided by the sum of theirs if renormalise (for softmax
// that is a softmax over the chosen), times factor.
static inline void forge_weigh_chosen(const forge_routing *r, const float *scores, uint32_t n, uint32_t top_k, const uint32_t *ids, float *weights) {
	static double p[FORGE_MAX_EXPERTS + 1], w[FORGE_MAX_EXPERTS + 1];
	for (uint32_t k = 0; k < top_k; k++) w[k] = scores[ids[k]];
	if (r->score == FORGE_ROUTE_SCORE_SIGMOID) {
		forge_sigmoids(w, top_k);
		double sum = 0;
		for (uint32_t k = 0; k < top_k; k++) sum += w[k];
		if (sum < FORGE_MIN_ROUTE_SUM) sum = FORGE_MIN_ROUTE_SUM;
		for (uint32_t k = 0; k < top_k && r->renormalise; k++) w[k] /= sum;
	} else if (r->score == FORGE_ROUTE_SCORE_SOFTMAX && !r->renormalise) {
		forge_promote(p, scores, n);
		double sum = forge_exps(p, n);
		for (uint32_t k = 0; k < top_k; k++) w[k] = p[ids[k]] / sum;
	} else {
		forge_softmax(w, top_k);
	}
	for (uint32_t k = 0; k < top_k; k++) weights[k] = (float)(w[k] * (double)r->factor);
}

// forge_route_token chooses top_k experts for the scores of one token: by p + bias among the groups used; with neither bias
// nor groups by the scores, which rank as their p would.
static inline void forge_route_token(const forge_routing *r, const float *scores, uint32_t n, uint32_t top_k, uint32_t *ids, float *weights) {
	static double choice[FORGE_MAX_EXPERTS + 1];
	forge_promote(choice, scores, n);
	if (r->bias || r->n_group > 1) forge_probabilities(choice, n, r->score);
	for (uint32_t i = 0; i < n && r->bias; i++) choice[i] += (double)r->bias[i];
	if (r->n_group > 1) forge_drop_groups(choice, n, r);
	forge_highest(choice, n, top_k, ids);
	forge_weigh_chosen(r, scores, n, top_k, ids, weights);
}

// forge_route_tokens answers a router_route by a routing, forge_plan_routing a router_plan.
static inline int32_t forge_route_tokens(forge_route *f, const forge_routing *r) {
	int32_t status = forge_routing_refuses(&f->head, r, f->n_experts, f->top_k);
	for (uint32_t t = 0; t < f->n_tokens && status == FORGE_OK; t++)
		forge_route_token(r, f->scores + t * f->n_experts, f->n_experts, f->top_k, f->ids + t * f->top_k, f->weights + t * f->top_k);
	return status;
}
static inline int32_t forge_plan_routing(forge_route_plan *f, const forge_routing *r) {
	f->score = r->score, f->n_group = r->n_group, f->n_group_used = r->n_group_used, f->renormalise = r->renormalise, f->factor = r->factor;
	f->use_bias = r->bias != 0;
	return forge_routing_refuses(&f->head, r, f->n_experts, f->top_k);
}

#endif
