// table.h: the candidate table as the shipped samplers see it.
//
// Rules that all of them keep. A NaN logit counts as -inf. A higher logit ranks first and of equal ones the lower id.
// A row that has picked (selected >= 0) or stopped is left alone. Where no candidate is above -inf, or the table is
// empty, the samplers that narrow do nothing and the ones that pick end the sequence (row_flag stop): a mask that
// forbids everything must not turn into some token.
//
// Probabilities are exp(logit - max), summed in float64. Tables of up to TABLE_EXACT candidates take exp in float64;
// longer ones take the SIMD float32 one, whose error and that of float32 subtraction stay below 2e-6 of any cumulative
// probability (measured: see the tests). So a cut or a draw differs from exact arithmetic only where the cumulative
// probability lies within 2e-6 of it.
#ifndef SAMPLER_TABLE_H
#define SAMPLER_TABLE_H

#include "guest.h"
#include <wasm_simd128.h>

#define NEG_INF (-__builtin_inff())
#define POS_INF (__builtin_inff())

enum { TABLE_EXACT = 1024, TABLE_PARAMS = 32 };

// Scratch of the instance, sized by n_vocab at init. Nothing in it outlives a call, except that counts is all zero
// between calls.
typedef struct {
	uint32_t n_vocab;
	double config[TABLE_PARAMS]; // for rows without params
	const char *why;             // what a sampler that returns a negative status says; 0: a setting is out of range
	uint32_t *counts;        // [n_vocab]
	uint64_t *list, *other;  // [n_vocab], entries to rank
	v128_t *maxima;          // [n_vocab / 128 + 1]
	uint32_t *hits;          // [n_vocab / 128 + 1]
} sampler_state;
extern sampler_state sampler;

// An entry ranks a candidate in one comparison: high half, the logit's key; low half, the id's complement.
static inline uint32_t key_of(float x) {
	uint32_t b = __builtin_bit_cast(uint32_t, x == x ? x + 0.0f : NEG_INF); // + 0 makes -0 equal to 0
	return b ^ ((uint32_t)((int32_t)b >> 31) | 0x80000000u);
}
static inline float key_logit(uint32_t key) {
	return __builtin_bit_cast(float, key ^ ((uint32_t)((int32_t)~key >> 31) | 0x80000000u));
}
static inline uint64_t entry_of(float logit, uint32_t id) { return (uint64_t)key_of(logit) << 32 | (uint32_t)~id; }
static inline float entry_logit(uint64_t e) { return key_logit((uint32_t)(e >> 32)); }
static inline uint32_t entry_id(uint64_t e) { return ~(uint32_t)e; }

static inline bool table_whole(const forge_row *row) { return row->flags & FORGE_ROW_FLAG_WHOLE; }
static inline bool table_sorted(const forge_row *row) { return row->flags & FORGE_ROW_FLAG_SORTED; }
static inline uint32_t table_id(const forge_row *row, uint32_t i) { return table_whole(row) ? i : row->ids[i]; }

// table_param reads a config slot of the row.
static inline double table_param(const forge_row *row, uint32_t slot) {
	return slot < row->params_len ? row->params[slot] : sampler.config[slot];
}

// table_text reads a string slot of the row.
static inline const char *table_text(const forge_row *row, uint32_t slot, uint32_t *n) {
	uint64_t bits = ((const uint64_t *)(slot < row->params_len ? row->params : sampler.config))[slot];
	*n = (uint32_t)(bits >> 32);
	return (const char *)(size_t)(uint32_t)bits;
}

static inline bool is_finite(double x) { return x - x == 0; }

// table_least gives the lowest float32 that is not below x, so that comparing with it is comparing with x.
static inline float table_least(double x) {
	float least = (float)x;
	return least < x ? key_logit(key_of(least) + 1) : least;
}

// table_below gives a float32 that is no higher than x.
static inline float table_below(double x) { return key_logit(key_of((float)x) - 1); }

// table_max gives the highest logit, -inf for an empty table.
float table_max(const float *logits, uint32_t n);

// table_first gives the index of the candidate that ranks first, n if none is above -inf.
uint32_t table_first(const forge_row *row);

// table_sum gives the sum of exp(logit - max) with the SIMD exp; table_weights writes those float32 values and gives
// nothing else. Both make the same bits of the same logit. A max of +inf gives 1 for +inf and 0 for all else.
double table_sum(const float *logits, uint32_t n, float max);
void table_weights(const float *logits, uint32_t n, float max, float *weights);

// table_weight is exp(logit - max) in float64, under the same rules.
double table_weight(float logit, float max);

// table_mean gives the mean of logit - max under the table's probabilities, and the sum of its weights. The entropy of
// the probabilities in nats is log(sum) - mean.
double table_mean(const forge_row *row, float max, double *sum);

// table_rank sorts entries, highest first; ascending says that their ids ascend already.
void table_rank(uint64_t *entries, uint64_t *scratch, uint32_t n, bool ascending);

// table_gather lists the positions of logits >= threshold, ascending.
uint32_t table_gather(const float *logits, uint32_t n, float threshold, uint32_t *positions);

// table_narrow keeps the candidates at n ascending positions, in their order.
void table_narrow(forge_row *row, const uint32_t *positions, uint32_t n);

// table_put makes the first n entries the table, sorted.
void table_put(forge_row *row, const uint64_t *entries, uint32_t n);

// table_sort ranks the whole table.
void table_sort(forge_row *row);

// table_top keeps the k candidates that rank first, sorted; 1 <= k < n.
void table_top(forge_row *row, uint32_t k);

// table_divide divides the logits by a temperature, rounded to float32, above 0.
void table_divide(forge_row *row, double temp);

// table_pick gives the candidate that a uniform u in [0, 1) draws: the first in the table's order whose cumulative weight
// exceeds u times the sum. max is the highest logit and above -inf.
uint32_t table_pick(const forge_row *row, float max, double u);

// table_logprob is log(table_weight) less the logarithm of the sum; the lowest float32 for a weight of 0.
static inline float table_logprob(float logit, float max, double log_sum) {
	double x = (logit == max ? 0 : (double)logit - (double)max) - log_sum;
	return x > -0x1.fffffep127 ? (float)x : -0x1.fffffep127f;
}

// table_tell fills row.logprob and row.top, if they are wanted, for a pick by the table's probabilities; table_tell_certain
// for one that was no matter of chance.
void table_tell(forge_row *row, float max);
void table_tell_certain(forge_row *row);

// table_init takes the settings, which must be no fewer than n_params, and makes the scratch.
int32_t table_init(forge_init *frame, uint32_t n_params);

// table_check refuses rows that do not fit the instance.
int32_t table_check(forge_rows *frame);

// SAMPLER makes the export sampler_NAME of a function (forge_row *) -> status, one row at a time.
#define SAMPLER(name)                                                                         \
	static int32_t name##_row(forge_row *row);                                                  \
	FORGE_EXPORT(sampler_##name) int32_t sampler_##name(forge_rows *frame) {                    \
		int32_t status = table_check(frame), done = FORGE_SKIP;                                   \
		for (uint32_t i = 0; i < frame->n_rows && status >= 0; i++) {                             \
			forge_row *row = &frame->rows[i];                                                       \
			if (row->selected >= 0 || (row->flags & FORGE_ROW_FLAG_STOP)) continue;                 \
			sampler.why = 0;                                                                        \
			status = name##_row(row);                                                               \
			if (status == FORGE_OK) done = FORGE_OK;                                                \
			if (status < 0)                                                                         \
				return FORGE_FAIL(frame, status, "sampler " #name ": ", sampler.why ? sampler.why : "a setting is not a finite number in its range"); \
		}                                                                                         \
		return status < 0 ? status : done;                                                        \
	}                                                                                           \
	static int32_t name##_row(forge_row *row)

// PLAN makes the export plan_NAME: steps that do what the sampler does at the frame's settings, or FORGE_SKIP.
#define PLAN(name) FORGE_EXPORT(plan_##name) int32_t plan_##name(forge_plan *frame)

static inline double plan_param(const forge_plan *frame, uint32_t slot) {
	return slot < frame->params_len ? frame->params[slot] : sampler.config[slot];
}

// plan_step adds a step.
static inline int32_t plan_step(forge_plan *frame, forge_plan_step step) {
	if (frame->n_steps == frame->steps_cap) return FORGE_SKIP;
	frame->steps[frame->n_steps++] = step;
	return FORGE_OK;
}

#endif
