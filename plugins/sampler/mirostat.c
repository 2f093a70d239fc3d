// mirostat steers the surprise of the text to a target: Basu et al. 2021, Mirostat: a neural text decoding algorithm that
// directly controls perplexity. It scales the logits by temp, narrows them, picks, and so stands in for all samplers
// behind it. With mirostat = 2 candidates whose surprise -log2 p exceeds mu are dropped; with 1, all but the k likeliest,
// where k follows from mu and the exponent of Zipf's law as estimated from the 100 likeliest. After each pick,
//
//     mu -= mirostat_eta * (surprise of the pick among those kept - mirostat_tau)
//
// and mu begins at 2 mirostat_tau. mu is the one state that a shipped sampler has: it is kept for each accepted token, so
// that tokens can be taken back, and what a row would make of it waits until the token is accepted.
#include "table.h"
#include "math.h"
#include "random.h"

FORGE_MANIFEST("name = \"mirostat\"\n"
               "version = \"1.0\"\n"
               "kind = \"sampler\"\n"
               "abi = \"1.0\"\n"
               "state = \"explicit\"\n"
               "grants = [\"logprobs\"]\n"
               "\n"
               "[[config]]\n"
               "name = \"temp\"\n"
               "type = \"f32\"\n"
               "default = 0.8\n"
               "min = -1.0\n"
               "max = 1000.0\n"
               "doc = \"divides the logits; 0 or less keeps the best candidate alone\"\n"
               "[[config]]\n"
               "name = \"mirostat\"\n"
               "type = \"i32\"\n"
               "default = 0\n"
               "min = 0\n"
               "max = 2\n"
               "doc = \"version of Mirostat that picks in place of the samplers behind it; 0: none\"\n"
               "[[config]]\n"
               "name = \"mirostat_tau\"\n"
               "type = \"f32\"\n"
               "default = 5.0\n"
               "min = 0.0\n"
               "max = 100.0\n"
               "doc = \"the target surprise in bits a token\"\n"
               "[[config]]\n"
               "name = \"mirostat_eta\"\n"
               "type = \"f32\"\n"
               "default = 0.1\n"
               "min = 0.0\n"
               "max = 10.0\n"
               "doc = \"how fast it is approached\"\n"
               "\n"
               "[[entries]]\n"
               "name = \"mirostat\"\n"
               "config = [\"temp\", \"mirostat\", \"mirostat_tau\", \"mirostat_eta\"]\n"
               "neutral = { mirostat = 0 }\n")
FORGE_MARKER(sampler)

enum { PARAM_TEMP, PARAM_MIROSTAT, PARAM_TAU, PARAM_ETA, N_PARAMS };

FORGE_EXPORT(forge_init) int32_t init(forge_init *frame) {
	frame->accepted = frame->offered & FORGE_CAP_LOGPROBS;
	return table_init(frame, N_PARAMS);
}

#define LN2 0.693147180559945309417

// ---- state ----------------------------------------------------------------------------------------------------------

enum { MAX_DRAFTS = 64 };

// A sequence's mu after each of its accepted tokens; a NaN stands for the beginning, 2 tau, since tau comes with the row.
// The prompt's tokens change nothing and are counted only.
typedef struct {
	uint64_t id;
	double *mu; // [cap]
	uint32_t n, cap, n_prompt;
	uint32_t n_ahead; // rows sampled since the last accept: what their picks would make of mu
	struct {
		uint32_t token;
		double mu;
	} ahead[MAX_DRAFTS];
} sequence;

enum { SMALLEST = 6, CLASSES = 26 }; // blocks are 64 << class numbers

// take gives a block of at least n numbers from those given back, else from fresh memory; it sets n to what it holds.
static void *given_back[CLASSES];
static double *take(uint32_t *n) {
	static uint8_t *at, *end;
	uint32_t class = 0;
	while (64u << class < *n && class < CLASSES - 1) class++;
	uint32_t bytes = *n = 64u << class;
	bytes *= sizeof(double);
	void *block = given_back[class];
	if (block) {
		given_back[class] = *(void **)block;
		return block;
	}
	if (bytes > (uint32_t)(end - at)) {
		uint32_t fresh = bytes < 65536 ? 65536 : bytes;
		uint8_t *p = forge_grow(fresh);
		if (!p) return 0;
		if (p != end) at = p;
		end = p + fresh;
	}
	block = at;
	at += bytes;
	return block;
}

static void give(double *block, uint32_t cap) {
	if (!block) return;
	uint32_t class = 0;
	while (64u << class < cap) class++;
	*(void **)block = given_back[class];
	given_back[class] = block;
}

static sequence **sequences;
static uint32_t n_sequences, cap_sequences;

static sequence *find(uint64_t id) {
	for (uint32_t i = 0; i < n_sequences; i++)
		if (sequences[i]->id == id) return sequences[i];
	return 0;
}

// reserve makes room for n numbers.
static bool reserve(sequence *s, uint32_t n) {
	if (n <= s->cap) return true;
	uint32_t cap = n;
	double *mu = take(&cap);
	if (!mu) return false;
	memcpy(mu, s->mu, s->n * sizeof *mu);
	give(s->mu, s->cap);
	s->mu = mu, s->cap = cap;
	return true;
}

// begin gives a sequence at its beginning, 0 if there is no memory. One that is known begins anew.
static sequence *begin(uint64_t id) {
	sequence *s = find(id);
	if (!s) {
		if (n_sequences == cap_sequences) {
			uint32_t cap = cap_sequences ? 2 * cap_sequences : 64; // in pointers, two to a number
			uint32_t numbers = cap / 2;
			sequence **list = (sequence **)take(&numbers);
			if (!list) return 0;
			memcpy(list, sequences, n_sequences * sizeof *list);
			if (sequences) give((double *)sequences, cap_sequences / 2);
			sequences = list, cap_sequences = 2 * numbers;
		}
		uint32_t numbers = sizeof *s / sizeof(double);
		s = (sequence *)take(&numbers);
		if (!s) return 0;
		memset(s, 0, sizeof *s);
		s->id = id;
		sequences[n_sequences++] = s;
	}
	s->n = s->n_prompt = s->n_ahead = 0;
	if (!reserve(s, 1)) return 0;
	s->mu[s->n++] = __builtin_nan("");
	return s;
}

static int32_t no_memory(forge_seq *frame) {
	return FORGE_FAIL(frame, FORGE_ERR_NOMEM, "memory for the sequences' states was refused; raise the plugin's page limit");
}
static int32_t unknown(forge_seq *frame) { return FORGE_FAIL(frame, FORGE_ERR_STATE, "the sequence was not begun"); }

FORGE_EXPORT(forge_begin) int32_t seq_begin(forge_seq *frame) { return begin(frame->seq) ? FORGE_OK : no_memory(frame); }

FORGE_EXPORT(forge_end) int32_t seq_end(forge_seq *frame) {
	for (uint32_t i = 0; i < n_sequences; i++) {
		sequence *s = sequences[i];
		if (s->id != frame->seq) continue;
		give(s->mu, s->cap);
		give((double *)s, sizeof *s / sizeof(double));
		sequences[i] = sequences[--n_sequences];
		break;
	}
	return FORGE_OK;
}

// An accepted token that no row picked leaves mu as it is.
FORGE_EXPORT(forge_accept) int32_t seq_accept(forge_seq *frame) {
	sequence *s = find(frame->seq);
	if (!s) return unknown(frame);
	uint32_t count = frame->count, n_ahead = s->n_ahead;
	s->n_ahead = 0;
	if (frame->flags & FORGE_SEQ_FLAG_PROMPT && s->n == 1) {
		s->n_prompt += count;
		return FORGE_OK;
	}
	if (count > (1u << 28) - s->n || !reserve(s, s->n + count)) return no_memory(frame);
	bool follows = true;
	for (uint32_t i = 0; i < count; i++) {
		follows &= i < n_ahead && s->ahead[i].token == frame->tokens[i];
		s->mu[s->n] = follows ? s->ahead[i].mu : s->mu[s->n - 1];
		s->n++;
	}
	return FORGE_OK;
}

FORGE_EXPORT(forge_rollback) int32_t seq_rollback(forge_seq *frame) {
	sequence *s = find(frame->seq);
	if (!s) return unknown(frame);
	uint32_t count = frame->count, picked = s->n - 1;
	if (count > picked + s->n_prompt) return FORGE_FAIL(frame, FORGE_ERR_STATE, "more tokens are taken back than were accepted");
	s->n_ahead = 0;
	if (count > picked) s->n_prompt -= count - picked, count = picked;
	s->n -= count;
	return FORGE_OK;
}

FORGE_EXPORT(forge_fork) int32_t seq_fork(forge_seq *frame) {
	sequence *parent = find(frame->parent), *s;
	if (!parent) return unknown(frame);
	if (parent->id == frame->seq) return FORGE_FAIL(frame, FORGE_ERR_STATE, "a sequence cannot be forked to itself");
	if (!(s = begin(frame->seq)) || !reserve(s, parent->n)) return no_memory(frame);
	memcpy(s->mu, parent->mu, parent->n * sizeof *s->mu);
	s->n = parent->n, s->n_prompt = parent->n_prompt;
	return FORGE_OK;
}

// Saved: n_prompt, n, and n numbers.
FORGE_EXPORT(forge_save) int32_t seq_save(forge_seq *frame) {
	sequence *s = find(frame->seq);
	if (!s) return unknown(frame);
	frame->used = 8 + s->n * 8;
	if (frame->used > frame->buffer_len) return FORGE_OK;
	uint8_t *to = frame->buffer;
	memcpy(to, &s->n_prompt, 4);
	memcpy(to + 4, &s->n, 4);
	memcpy(to + 8, s->mu, s->n * 8);
	return FORGE_OK;
}

FORGE_EXPORT(forge_load) int32_t seq_load(forge_seq *frame) {
	uint32_t n_prompt, n;
	if (frame->buffer_len < 16) return FORGE_FAIL(frame, FORGE_ERR_ARG, "these are not a saved state's bytes");
	memcpy(&n_prompt, frame->buffer, 4);
	memcpy(&n, frame->buffer + 4, 4);
	if (n == 0 || n > 1u << 28 || frame->buffer_len != 8 + n * 8) return FORGE_FAIL(frame, FORGE_ERR_ARG, "these are not a saved state's bytes");
	sequence *s = begin(frame->seq);
	if (!s || !reserve(s, n)) return no_memory(frame);
	memcpy(s->mu, frame->buffer + 8, n * 8);
	s->n = n, s->n_prompt = n_prompt;
	return FORGE_OK;
}

// ---- sampling -------------------------------------------------------------------------------------------------------

// keep_best leaves the candidate that ranks first.
static void keep_best(forge_row *row) {
	uint32_t best = table_first(row);
	uint64_t entry = entry_of(row->logits[best], table_id(row, best));
	table_put(row, &entry, 1);
}

// scale divides the logits by temp; a temp of 0 or less keeps the best candidate alone.
static void scale(forge_row *row, double temp) {
	if (temp <= 0 || (float)(1 / temp) > 3.4e38f)
		keep_best(row);
	else if (temp != 1)
		table_divide(row, temp);
}

// sum_of gives the sum of the table's weights.
static double sum_of(const forge_row *row, float max) {
	double sum;
	table_mean(row, max, &sum);
	return sum;
}

// zipf_k gives how many candidates have a surprise of up to mu by Zipf's law p ~ rank^-s, with s fitted to the n likeliest,
// whose logits are given in descending order.
static double zipf_k(const float *logits, uint32_t n, double mu) {
	double ti_bi = 0, ti_ti = 0;
	for (uint32_t i = 0; i + 1 < n; i++) {
		double t = forge_log((double)(i + 2) / (i + 1)), b = (double)logits[i] - (double)logits[i + 1];
		if (!is_finite(b)) break; // the rest is -inf
		ti_bi += t * b, ti_ti += t * t;
	}
	// k = (e 2^mu / (1 - n_vocab^-e))^(1/s) with e = s - 1; e / (1 - n_vocab^-e) tends to 1 / ln n_vocab as e tends to 0.
	double s = ti_ti > 0 ? ti_bi / ti_ti : 1, e = s - 1, log_n = forge_log(sampler.n_vocab), x = e * log_n;
	double factor = x > 1e-9 || x < -1e-9 ? e / (1 - forge_exp(-x)) : 1 / log_n;
	double log_k = forge_log(factor) + mu * LN2; // times s
	if (s > 0) return forge_exp(log_k / s);
	return log_k >= 0 ? __builtin_inf() : 0;
}

enum { ESTIMATE = 100 };

// keep_zipf narrows for version 1. Estimating k takes the likeliest out of a whole row; k may then want more of it.
static void keep_zipf(forge_row *row, double mu) {
	uint32_t n = row->n, flags = row->flags;
	float *saved = 0;
	if (table_whole(row) && n > ESTIMATE) {
		saved = memcpy(sampler.counts, row->logits, n * sizeof *saved);
		table_top(row, ESTIMATE);
	} else {
		table_sort(row);
	}
	double k = zipf_k(row->logits, row->n < ESTIMATE ? row->n : ESTIMATE, mu);
	if (saved && k > row->n) {
		memcpy(row->logits, saved, n * sizeof *saved);
		row->n = n, row->flags = flags;
	}
	if (saved) memset(sampler.counts, 0, n * sizeof *sampler.counts);
	if (k < row->n) table_top(row, k >= 1 ? (uint32_t)k : 1);
}

// keep_below narrows for version 2: to the candidates with -log2 p <= mu, or where none is so likely, to the best.
static void keep_below(forge_row *row, float max, double mu) {
	double least = forge_log(sum_of(row, max)) - mu * LN2; // of logit - max
	if (least > 0) {
		keep_best(row);
		return;
	}
	uint32_t *positions = (uint32_t *)sampler.list, kept = table_gather(row->logits, row->n, table_least(max + least), positions);
	if (kept < row->n) table_narrow(row, positions, kept);
}

// mu_of gives mu before a row, and whether the row's sequence and draft are known.
static bool mu_of(const sequence *s, int32_t draft, double tau, double *mu) {
	if (!s || draft < 0 || draft >= MAX_DRAFTS || (uint32_t)draft > s->n_ahead) return false;
	*mu = draft ? s->ahead[draft - 1].mu : s->mu[s->n - 1];
	if (*mu != *mu) *mu = 2 * tau;
	return true;
}

SAMPLER(mirostat) {
	double temp = table_param(row, PARAM_TEMP), version = table_param(row, PARAM_MIROSTAT), mu;
	double tau = table_param(row, PARAM_TAU), eta = table_param(row, PARAM_ETA);
	if (!is_finite(temp) || !is_finite(version) || !is_finite(tau) || !is_finite(eta)) return FORGE_ERR_CONFIG;
	if (version == 0) return FORGE_SKIP;
	sequence *s = find(row->seq);
	if (!mu_of(s, row->draft, tau, &mu)) {
		sampler.why = "the row's sequence was not begun, or a row of a draft before it was not sampled";
		return FORGE_ERR_STATE;
	}
	float max = table_max(row->logits, row->n);
	if (max == NEG_INF) {
		row->flags |= FORGE_ROW_FLAG_STOP;
		return FORGE_OK;
	}
	scale(row, temp);
	max = table_max(row->logits, row->n);
	if (version == 1)
		keep_zipf(row, mu);
	else
		keep_below(row, max, mu);
	max = table_max(row->logits, row->n);
	uint32_t picked = table_pick(row, max, forge_uniform(row->seed, row->draw++));
	double p = table_weight(row->logits[picked], max) / sum_of(row, max);
	row->selected = (int32_t)picked;
	table_tell(row, max);
	s->ahead[row->draft].token = table_id(row, picked);
	s->ahead[row->draft].mu = mu - eta * (-forge_log(p) / LN2 - tau);
	s->n_ahead = (uint32_t)row->draft + 1;
	return FORGE_OK;
}
