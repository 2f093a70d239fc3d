// balance: routes as the model does, and leans against experts that a sequence has used much of late, so that its load
// spreads over all of them: DeepSeek-AI 2024's bias on the choice (section 2.1.2), but counted while the model runs.
//
// For each sequence and layer a running count says how often each expert was chosen at the last WINDOW positions. The choice
// is by p + bias - strength * (the expert's share of the count - its fair share); the weights stay those of p.
//
// The ABI wants a sequence's answers to depend on nothing but the sequence itself. So the count is kept by position, apart
// for each sequence: rows may come one by one or many at once, mixed with those of others. A position that comes again,
// after a rollback, takes the place of what was there; rollbacks of up to WINDOW positions are exact.
#include "route.h"

#define WINDOW 64
#define KEPT (2 * WINDOW) // positions, a power of two
#define SEQUENCES 32
#define LAYERS 128
#define TOP_K 16
#define EXPERTS 256
#define RECORDS 896 // 2.2 MiB: for so many layers of all sequences together there is memory at the start

FORGE_MANIFEST("name = \"balance\"\nversion = \"1.0\"\nkind = \"router\"\nabi = \"1.0\"\nstate = \"explicit\"\n"
               "[[config]]\nname = \"strength\"\ntype = \"f32\"\ndefault = 1.0\nmin = 0.0\nmax = 1000.0\ndoc = \"how much p an expert loses for each share of the load above its fair one\"\n")
FORGE_MARKER(router)

typedef struct {
	uint32_t position[KEPT]; // plus 1; 0: nothing yet
	uint8_t ids[KEPT][TOP_K];
} record;

static struct {
	uint64_t id;
	bool used;
	record *layers[LAYERS]; // taken when they are needed, then kept
} sequences[SEQUENCES];

FORGE_EXPORT(forge_init) int32_t init(forge_init *frame) {
	frame->accepted = 0;
	return FORGE_OK;
}

static int32_t find(uint64_t id) {
	for (int32_t i = 0; i < SEQUENCES; i++)
		if (sequences[i].used && sequences[i].id == id) return i;
	return -1;
}

static int32_t start(uint64_t id) {
	int32_t i = find(id);
	for (int32_t k = 0; i < 0 && k < SEQUENCES; k++)
		if (!sequences[k].used) i = k;
	if (i < 0) return i;
	sequences[i].id = id, sequences[i].used = true;
	for (uint32_t l = 0; l < LAYERS; l++)
		if (sequences[i].layers[l]) memset(sequences[i].layers[l]->position, 0, sizeof sequences[i].layers[l]->position);
	return i;
}

// take gives a record: of those that there are from the beginning, since a call's fuel is for its tokens and not for more memory;
// beyond them from memory that is grown 64 KiB at a time, if the limits allow it.
static record *take(void) {
	static record records[RECORDS];
	static record *next = records, *end = records + RECORDS;
	if (next == end) {
		next = forge_grow(65536);
		if (!next) return next = end, (record *)0;
		end = next + 65536 / sizeof(record);
	}
	return next++;
}

static record *record_of(int32_t sequence, int32_t layer) {
	record **r = &sequences[sequence].layers[layer];
	if (!*r) *r = take();
	return *r;
}

// lean fills bias for the token at a position: the model's own, less what the count says.
static void lean(const record *r, uint32_t position, uint32_t n, uint32_t top_k, double strength, const float *model, float *bias) {
	uint32_t count[EXPERTS] = {0}, total = 0;
	bool choice = top_k < n; // else all are chosen at every position, and none has more than its share
	for (uint32_t p = position < WINDOW ? 0 : position - WINDOW; choice && p < position; p++) {
		if (r->position[p % KEPT] != p + 1) continue; // never seen, or forgotten
		for (uint32_t k = 0; k < top_k; k++) count[r->ids[p % KEPT][k]]++;
		total += top_k;
	}
	for (uint32_t e = 0; e < n; e++) {
		double share = total ? (double)count[e] / total - 1.0 / n : 0;
		bias[e] = (float)((model ? (double)model[e] : 0) - strength * share);
	}
}

FORGE_EXPORT(router_route) int32_t route(forge_route *f) {
	static float bias[EXPERTS];
	forge_routing r = forge_routing_of(f);
	int32_t status = forge_routing_refuses(&f->head, &r, f->n_experts, f->top_k);
	if (status != FORGE_OK) return status;
	if (f->n_experts > EXPERTS || f->top_k > TOP_K || f->layer < 0 || f->layer >= LAYERS)
		return FORGE_FAIL(f, FORGE_ERR_UNSUPPORTED, "this router holds 128 layers of 256 experts, 16 of them for a token");
	r.bias = bias;
	for (uint32_t t = 0; t < f->n_tokens; t++) {
		int32_t sequence = find(f->seqs[t]);
		if (sequence < 0) sequence = start(f->seqs[t]);
		if (sequence < 0) return FORGE_FAIL(f, FORGE_ERR_STATE, "this router counts for 32 sequences at once");
		record *at = record_of(sequence, f->layer);
		if (!at) return FORGE_FAIL(f, FORGE_ERR_NOMEM, "no memory for the counts: raise limits.pages");
		uint32_t p = f->positions[t], *ids = f->ids + t * f->top_k;
		lean(at, p, f->n_experts, f->top_k, f->params[0], f->bias, bias);
		forge_route_token(&r, f->scores + t * f->n_experts, f->n_experts, f->top_k, ids, f->weights + t * f->top_k);
		at->position[p % KEPT] = p + 1;
		for (uint32_t k = 0; k < f->top_k; k++) at->ids[p % KEPT][k] = (uint8_t)ids[k];
	}
	return FORGE_OK;
}

FORGE_EXPORT(forge_begin) int32_t begin(forge_seq *f) {
	if (start(f->seq) < 0) return FORGE_FAIL(f, FORGE_ERR_STATE, "this router counts for 32 sequences at once");
	return FORGE_OK;
}

FORGE_EXPORT(forge_end) int32_t end(forge_seq *f) {
	int32_t i = find(f->seq);
	if (i >= 0) sequences[i].used = false;
	return FORGE_OK;
}

// Accepted tokens change nothing here, and what is rolled back is never looked at: the position says what counts.
FORGE_EXPORT(forge_rollback) int32_t rollback(forge_seq *f) {
	(void)f;
	return FORGE_OK;
}

FORGE_EXPORT(forge_fork) int32_t fork(forge_seq *f) {
	int32_t parent = find(f->parent), child = start(f->seq);
	if (child < 0) return FORGE_FAIL(f, FORGE_ERR_STATE, "this router counts for 32 sequences at once");
	for (int32_t l = 0; parent >= 0 && l < LAYERS; l++) {
		if (!sequences[parent].layers[l]) continue;
		record *to = record_of(child, l);
		if (!to) return FORGE_FAIL(f, FORGE_ERR_NOMEM, "no memory for the counts: raise limits.pages");
		memcpy(to, sequences[parent].layers[l], sizeof *to);
	}
	return FORGE_OK;
}
