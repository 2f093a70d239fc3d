// infill chooses what may follow when a gap is filled, behind top_k and top_p. If the tokens that end the text weigh, times
// three times the number of candidates, more than all others, they alone are kept. Else candidates of which one's text
// begins with the other's are merged into the likelier one, unlikely ones are dropped (below 0.2, then below
// 1 / (left + 1) of what is left), and where only ends are left, the token that ends a turn is the one candidate.
#include "text.h"
#include "math.h"

enum { MAX_CANDIDATES = 256, MAX_PIECE = 128 };

typedef struct {
	uint32_t id, n;
	bool ends;
	double p;
	const uint8_t *text; // n bytes, at most MAX_PIECE
	uint64_t head, mask; // the first eight of them, and ones where they are
} candidate;

static candidate list[MAX_CANDIDATES];

// write makes the n candidates the table, with logits ln p, sorted.
static void write(forge_row *row, uint32_t n) {
	uint64_t entries[MAX_CANDIDATES];
	for (uint32_t i = 0; i < n; i++) entries[i] = entry_of((float)forge_log(list[i].p), list[i].id);
	table_rank(entries, sampler.other, n, false);
	table_put(row, entries, n);
}

// keep drops the candidates below p, ends aside, and gives how many are left.
static uint32_t keep(uint32_t n, double p) {
	uint32_t kept = 0;
	for (uint32_t i = 0; i < n; i++)
		if (list[i].ends || list[i].p >= p) list[kept++] = list[i];
	return kept;
}

// begins tells whether a text begins with another, whose first eight bytes were compared.
static bool begins(const candidate *text, const candidate *with) {
	if (with->n > text->n) return false;
	uint32_t i = 8;
	while (i < with->n && text->text[i] == with->text[i]) i++;
	return i >= with->n;
}

// join merges i and j if j's text begins with i's.
static void join(uint32_t i, uint32_t j) {
	if (i == j || list[i].p == 0 || list[j].p == 0 || !begins(&list[j], &list[i])) return;
	bool longer = list[j].p > list[i].p;
	candidate *into = &list[longer ? j : i], *from = &list[longer ? i : j];
	into->p += from->p, from->p = 0;
}

// merge joins candidates of which one's text begins with the other's; likelier ones come first. Nearly all differ in their
// first eight bytes, which are compared for four at once.
static void merge(uint32_t n) {
	enum { AT_ONCE = 4 };
	static uint64_t heads[MAX_CANDIDATES + AT_ONCE];
	for (uint32_t i = 0; i < n; i++) heads[i] = list[i].head;
	for (uint32_t i = 0; i < n; i++) {
		if (list[i].n == 0) continue;
		v128_t head = wasm_i64x2_splat((int64_t)list[i].head), mask = wasm_i64x2_splat((int64_t)list[i].mask);
		for (uint32_t j = 0; j < n; j += AT_ONCE) {
			v128_t a = wasm_v128_and(wasm_v128_load(heads + j), mask), b = wasm_v128_and(wasm_v128_load(heads + j + 2), mask);
			uint32_t same = wasm_i64x2_bitmask(wasm_i64x2_eq(a, head)) | wasm_i64x2_bitmask(wasm_i64x2_eq(b, head)) << 2;
			for (; same; same &= same - 1) {
				uint32_t other = j + (uint32_t)__builtin_ctz(same);
				if (other < n) join(i, other);
			}
		}
	}
}

SAMPLER(infill) {
	if (!vocab_known()) {
		sampler.why = "needs the tokens' texts: give the plugin the grant vocab in plugins.toml";
		return FORGE_ERR_UNSUPPORTED;
	}
	if (row->n > MAX_CANDIDATES) {
		sampler.why = "compares the texts of at most 256 candidates: put top_k in front of it";
		return FORGE_ERR_UNSUPPORTED;
	}
	float max = table_max(row->logits, row->n);
	if (max == NEG_INF) return FORGE_SKIP;
	table_sort(row);
	uint32_t n = row->n, n_ends = 0, n_eog;
	double sum = 0, ends = 0;
	for (uint32_t i = 0; i < n; i++) sum += list[i].p = table_weight(row->logits[i], max);
	for (uint32_t i = 0; i < n; i++) {
		candidate *c = &list[i];
		c->p /= sum, c->id = row->ids[i], c->ends = vocab_ends(c->id);
		c->text = vocab_text(c->id, &c->n);
		if (c->n > MAX_PIECE) c->n = MAX_PIECE;
		c->head = c->mask = 0;
		for (uint32_t k = 0; k < c->n && k < 8; k++) c->head |= (uint64_t)c->text[k] << 8 * k, c->mask |= 0xffull << 8 * k;
		if (c->ends) ends += c->p, n_ends++;
	}
	if (3 * ends * n > 1 - ends) {
		write(row, keep(n, 2)); // no probability is that high
		return FORGE_OK;
	}
	merge(n);
	n = keep(n, 0.2);
	if (n == n_ends) {
		const uint32_t *eog = vocab_eog(&n_eog);
		list[0].id = n_eog ? eog[0] : row->ids[0], list[0].p = 1;
		write(row, 1);
		return FORGE_OK;
	}
	sum = 0;
	for (uint32_t i = 0; i < n; i++) sum += list[i].p;
	for (uint32_t i = 0; i < n; i++) list[i].p /= sum;
	write(row, keep(n, 1.0 / (n - n_ends + 1)));
	return FORGE_OK;
}
