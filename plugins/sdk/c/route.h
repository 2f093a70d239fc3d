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

// A loop pays fuel each time around, so short bodies stand in it four times, longer ones twice.
#define FORGE_UNROLL _Pragma("clang loop unroll_count(4)")
#define FORGE_TWICE _Pragma("clang loop unroll_count(2)")

#define FORGE_BLOCK 16 // values whose highest forge_highest remembers
#define FORGE_LANES 8  // of a mask that forge_first_lane reads

// forge_lane_bits gives two bits for each of eight float64 lanes that are all ones or all zeros.
static inline uint32_t forge_lane_bits(v128_t a, v128_t b, v128_t c, v128_t d) {
	v128_t low = wasm_i16x8_narrow_i32x4(a, b), high = wasm_i16x8_narrow_i32x4(c, d); // a lane is now 4 bytes, then 2
	return wasm_i8x16_bitmask(wasm_i8x16_narrow_i16x8(low, high));
}

// forge_first_lane gives the first of eight float64 lanes that are all ones, or FORGE_LANES.
static inline uint32_t forge_first_lane(v128_t a, v128_t b, v128_t c, v128_t d) {
	return (uint32_t)__builtin_ctz(forge_lane_bits(a, b, c, d) | 1u << 2 * FORGE_LANES) / 2;
}

// forge_lane_equal gives the first of the eight values at x that is v, or FORGE_LANES.
static inline uint32_t forge_lane_equal(const double *x, v128_t v) {
	v128_t a = wasm_v128_load(x), b = wasm_v128_load(x + 2), c = wasm_v128_load(x + 4), d = wasm_v128_load(x + 6);
	return forge_first_lane(wasm_f64x2_eq(a, v), wasm_f64x2_eq(b, v), wasm_f64x2_eq(c, v), wasm_f64x2_eq(d, v));
}

// forge_set_lane is x[i] = v by way of the pair that i is in, so that a load of the pair need not wait for two stores.
static inline void forge_set_lane(double *x, uint32_t i, v128_t v) {
	static const uint64_t lanes[2][2] = {{~0ull, 0}, {0, ~0ull}};
	double *pair = x + (i & ~1u);
	wasm_v128_store(pair, wasm_v128_bitselect(v, wasm_v128_load(pair), wasm_v128_load(lanes[i & 1])));
}

// forge_most gives the highest of n values in both lanes, n a multiple of eight and none of them NaN.
static inline v128_t forge_most(const double *x, uint32_t n) {
	v128_t most = wasm_f64x2_splat(-__builtin_inf());
	for (uint32_t i = 0; i < n; i += 8) {
		v128_t a = wasm_v128_load(x + i), b = wasm_v128_load(x + i + 2), c = wasm_v128_load(x + i + 4), d = wasm_v128_load(x + i + 6);
		most = wasm_f64x2_pmax(most, wasm_f64x2_pmax(wasm_f64x2_pmax(a, b), wasm_f64x2_pmax(c, d)));
	}
	return wasm_f64x2_pmax(most, wasm_i64x2_shuffle(most, most, 1, 0));
}

// forge_highest writes the indices of the k highest of x in descending order, of equal ones the first; NaN and -inf are the
// lowest. What it found is -inf in x afterwards, which has room for FORGE_BLOCK more than n. It looks at the highest of each
// block, then into one block: its time depends on n and k, not on the values.
static inline void forge_highest(double *x, uint32_t n, uint32_t k, uint32_t *best) {
	static double tops[FORGE_MAX_EXPERTS / FORGE_BLOCK + FORGE_LANES];
	const v128_t gone = wasm_f64x2_splat(-__builtin_inf()), lowest = wasm_f64x2_splat(-__DBL_MAX__);
	uint32_t blocks = (n + FORGE_BLOCK - 1) / FORGE_BLOCK, padded = (blocks + FORGE_LANES - 1) / FORGE_LANES * FORGE_LANES;
	for (uint32_t i = n; i < blocks * FORGE_BLOCK; i++) x[i] = -__builtin_inf();
	for (uint32_t b = 0; b < padded; b += 2) wasm_v128_store(tops + b, gone);
	for (uint32_t b = 0; b < blocks; b++) {
		double *block = x + b * FORGE_BLOCK;
		for (uint32_t i = 0; i < FORGE_BLOCK; i += 2) wasm_v128_store(block + i, wasm_f64x2_pmax(lowest, wasm_v128_load(block + i)));
		forge_set_lane(tops, b, forge_most(block, FORGE_BLOCK));
	}
	for (uint32_t r = 0; r < k; r++) {
		v128_t most = forge_most(tops, padded);
		uint32_t b = 0, lane;
		for (; (lane = forge_lane_equal(tops + b, most)) == FORGE_LANES; b += FORGE_LANES) {}
		double *block = x + (b += lane) * FORGE_BLOCK;
		uint32_t low = forge_lane_equal(block, most), high = forge_lane_equal(block + FORGE_LANES, most);
		uint32_t at = low < FORGE_LANES ? low : FORGE_LANES + high;
		best[r] = b * FORGE_BLOCK + at;
		forge_set_lane(block, at, gone);
		forge_set_lane(tops, b, forge_most(block, FORGE_BLOCK));
	}
}

// forge_extent is the lowest and the highest of some values.
typedef struct {
	double low, high;
} forge_extent;

// forge_promote: x = scores, which are at least one; forge_add_bias: x = p + bias, or p without one.
static inline forge_extent forge_promote(double *x, const float *scores, uint32_t n) {
	v128_t low = wasm_f64x2_splat(x[n - 1] = scores[n - 1]), high = low;
	FORGE_UNROLL
	for (uint32_t i = 0; i + 2 <= n; i += 2) {
		v128_t v = wasm_f64x2_promote_low_f32x4(wasm_v128_load64_zero(scores + i));
		wasm_v128_store(x + i, v);
		low = wasm_f64x2_pmin(low, v), high = wasm_f64x2_pmax(high, v);
	}
	low = wasm_f64x2_pmin(low, wasm_i64x2_shuffle(low, low, 1, 0)), high = wasm_f64x2_pmax(high, wasm_i64x2_shuffle(high, high, 1, 0));
	return (forge_extent){wasm_f64x2_extract_lane(low, 0), wasm_f64x2_extract_lane(high, 0)};
}
static inline void forge_add_bias(double *x, const double *p, const float *bias, uint32_t n) {
	FORGE_UNROLL
	for (uint32_t i = 0; i < n && !bias; i += 2) wasm_v128_store(x + i, wasm_v128_load(p + i));
	if (!bias) return;
	uint32_t i = 0;
	FORGE_UNROLL
	for (; i + 2 <= n; i += 2) wasm_v128_store(x + i, wasm_f64x2_add(wasm_v128_load(p + i), wasm_f64x2_promote_low_f32x4(wasm_v128_load64_zero(bias + i))));
	if (i < n) x[i] = p[i] + (double)bias[i];
}

// forge_exps: x = e^(x - max), and gives their sum, added in order; forge_softmax divides by it; forge_sigmoids:
// x = 1 / (1 + e^-x). r is the extent of x, which has room for one more than n; near says that no exponent is beyond FORGE_EXP_NEAR.
static inline v128_t forge_exp_of(v128_t x, bool near) { return near ? forge_exp_pair_near(x) : forge_exp_pair(x); }
static inline __attribute__((always_inline)) double forge_exps_by(double *x, uint32_t n, v128_t most, bool near) {
	double sum = 0;
	uint32_t i = 0;
	FORGE_TWICE
	for (; i + 2 <= n; i += 2) {
		v128_t y = forge_exp_of(wasm_f64x2_sub(wasm_v128_load(x + i), most), near);
		wasm_v128_store(x + i, y);
		sum += wasm_f64x2_extract_lane(y, 0);
		sum += wasm_f64x2_extract_lane(y, 1);
	}
	if (i < n) sum += x[i] = wasm_f64x2_extract_lane(forge_exp_of(wasm_f64x2_sub(wasm_f64x2_splat(x[i]), most), near), 0);
	return sum;
}
static inline double forge_exps(double *x, uint32_t n, forge_extent r) {
	v128_t most = wasm_f64x2_splat(r.high);
	return r.low - r.high > -FORGE_EXP_NEAR ? forge_exps_by(x, n, most, true) : forge_exps_by(x, n, most, false);
}
static inline void forge_softmax(double *x, uint32_t n, forge_extent r) {
	v128_t sum = wasm_f64x2_splat(forge_exps(x, n, r));
	FORGE_UNROLL
	for (uint32_t i = 0; i < n; i += 2) wasm_v128_store(x + i, wasm_f64x2_div(wasm_v128_load(x + i), sum));
}
static inline __attribute__((always_inline)) void forge_sigmoids_by(double *x, uint32_t n, bool near) {
	v128_t one = wasm_f64x2_splat(1);
	FORGE_TWICE
	for (uint32_t i = 0; i < n; i += 2) wasm_v128_store(x + i, wasm_f64x2_div(one, wasm_f64x2_add(one, forge_exp_of(wasm_f64x2_neg(wasm_v128_load(x + i)), near))));
}
static inline void forge_sigmoids(double *x, uint32_t n, forge_extent r) {
	if (r.low > -FORGE_EXP_NEAR && r.high < FORGE_EXP_NEAR) forge_sigmoids_by(x, n, true);
	else forge_sigmoids_by(x, n, false);
}
static inline void forge_probabilities(double *x, uint32_t n, forge_extent r, uint32_t score) {
	if (score == FORGE_ROUTE_SCORE_SOFTMAX) forge_softmax(x, n, r);
	if (score == FORGE_ROUTE_SCORE_SIGMOID) forge_sigmoids(x, n, r);
}

// forge_two_highest gives the sum of the two highest of x, of one where there is one; n is at least 1.
static inline double forge_two_highest(const double *x, uint32_t n) {
	if (n == 1) return x[0];
	const v128_t none = wasm_f64x2_splat(-__builtin_inf());
	v128_t first = none, second = none; // of each lane
	if (n % 2) first = wasm_f64x2_replace_lane(none, 0, x[n - 1]);
	FORGE_UNROLL
	for (uint32_t i = 0; i + 2 <= n; i += 2) {
		v128_t v = wasm_v128_load(x + i);
		second = wasm_f64x2_pmax(second, wasm_f64x2_pmin(first, v));
		first = wasm_f64x2_pmax(first, v);
	}
	v128_t swapped = wasm_i64x2_shuffle(first, first, 1, 0);
	second = wasm_f64x2_pmax(second, wasm_i64x2_shuffle(second, second, 1, 0));
	second = wasm_f64x2_pmax(second, wasm_f64x2_pmin(first, swapped));
	first = wasm_f64x2_pmax(first, swapped);
	return wasm_f64x2_extract_lane(wasm_f64x2_add(first, second), 0);
}

// forge_least gives bits for the values of eight that are not among the k highest: as many stand before such a one, higher, or
// equal and earlier. NaN and -inf are the lowest. x beyond n is overwritten.
static inline uint32_t forge_least(double *x, uint32_t n, uint32_t k) {
	const v128_t lowest = wasm_f64x2_splat(-__DBL_MAX__);
	for (uint32_t i = n; i < FORGE_LANES; i++) x[i] = -__DBL_MAX__; // behind all that there are
	v128_t a = wasm_f64x2_pmax(lowest, wasm_v128_load(x)), b = wasm_f64x2_pmax(lowest, wasm_v128_load(x + 2));
	v128_t c = wasm_f64x2_pmax(lowest, wasm_v128_load(x + 4)), d = wasm_f64x2_pmax(lowest, wasm_v128_load(x + 6));
	uint32_t least = 0;
	for (uint32_t i = 0; i < n; i++) {
		v128_t v = wasm_f64x2_pmax(lowest, wasm_v128_load64_splat(x + i));
		uint32_t higher = forge_lane_bits(wasm_f64x2_gt(a, v), wasm_f64x2_gt(b, v), wasm_f64x2_gt(c, v), wasm_f64x2_gt(d, v));
		uint32_t equal = forge_lane_bits(wasm_f64x2_eq(a, v), wasm_f64x2_eq(b, v), wasm_f64x2_eq(c, v), wasm_f64x2_eq(d, v));
		uint32_t before = (uint32_t)__builtin_popcount(higher | (equal & ((1u << 2 * i) - 1))) / 2;
		least |= (uint32_t)(before >= k) << i;
	}
	return least;
}

static inline void forge_drop(double *x, uint32_t n) {
	uint32_t i = 0;
	FORGE_UNROLL
	for (; i + 2 <= n; i += 2) wasm_v128_store(x + i, wasm_f64x2_splat(-__builtin_inf()));
	if (i < n) x[i] = -__builtin_inf();
}

// forge_drop_groups sets the values of the groups that are not used to -inf: those whose two best sum lowest.
static inline void forge_drop_groups(double *x, uint32_t n, const forge_routing *r) {
	static double sums[FORGE_MAX_EXPERTS + FORGE_BLOCK];
	static uint32_t best[FORGE_MAX_EXPERTS];
	uint32_t size = n / r->n_group;
	for (uint32_t g = 0; g < r->n_group; g++) sums[g] = forge_two_highest(x + g * size, size);
	if (r->n_group <= FORGE_LANES) {
		for (uint32_t least = forge_least(sums, r->n_group, r->n_group_used); least; least &= least - 1) forge_drop(x + (uint32_t)__builtin_ctz(least) * size, size);
		return;
	}
	forge_highest(sums, r->n_group, r->n_group_used, best); // leaves -inf at those that are used
	for (uint32_t g = 0; g < r->n_group; g++)
		if (sums[g] != -__builtin_inf()) forge_drop(x + g * size, size);
}

// forge_weigh_chosen writes the weights of the chosen experts: p, divided by the sum of theirs if renormalise (for softmax
// that is a softmax over the chosen), times factor. p are those of all experts, which a plain softmax needs.
static inline void forge_weigh_chosen(const forge_routing *r, const float *scores, const double *p, uint32_t top_k, const uint32_t *ids, float *weights) {
	static float chosen[FORGE_MAX_EXPERTS];
	static double w[FORGE_MAX_EXPERTS + 1];
	if (r->score == FORGE_ROUTE_SCORE_SOFTMAX && !r->renormalise) {
		for (uint32_t k = 0; k < top_k; k++) w[k] = p[ids[k]];
	} else {
		for (uint32_t k = 0; k < top_k; k++) chosen[k] = scores[ids[k]];
		forge_extent range = forge_promote(w, chosen, top_k);
		if (r->score == FORGE_ROUTE_SCORE_SIGMOID) forge_sigmoids(w, top_k, range);
		else forge_softmax(w, top_k, range);
	}
	if (r->score == FORGE_ROUTE_SCORE_SIGMOID && r->renormalise) {
		double sum = 0;
		for (uint32_t k = 0; k < top_k; k++) sum += w[k];
		if (sum < FORGE_MIN_ROUTE_SUM) sum = FORGE_MIN_ROUTE_SUM;
		for (uint32_t k = 0; k < top_k; k++) w[k] /= sum;
	}
	for (uint32_t k = 0; k < top_k; k++) weights[k] = (float)(w[k] * (double)r->factor);
}

// forge_route_token chooses top_k experts for the scores of one token: by p + bias among the groups used; with neither bias
// nor groups by the scores, which rank as their p would.
static inline void forge_route_token(const forge_routing *r, const float *scores, uint32_t n, uint32_t top_k, uint32_t *ids, float *weights) {
	static double choice[FORGE_MAX_EXPERTS + FORGE_BLOCK], p[FORGE_MAX_EXPERTS + 1];
	bool plain = r->score == FORGE_ROUTE_SCORE_SOFTMAX && !r->renormalise, by_p = r->bias || r->n_group > 1;
	double *all = plain ? p : choice;
	forge_extent range = forge_promote(all, scores, n);
	if (plain || by_p) forge_probabilities(all, n, range, r->score);
	if (plain && !by_p) forge_promote(choice, scores, n);
	else if (plain || r->bias) forge_add_bias(choice, all, r->bias, n);
	if (r->n_group > 1) forge_drop_groups(choice, n, r);
	forge_highest(choice, n, top_k, ids);
	forge_weigh_chosen(r, scores, p, top_k, ids, weights);
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
