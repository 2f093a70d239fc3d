// tell.c: what a row's user wants to know of a pick, where the module was granted logprobs: how probable it was, and which
// candidates were the most probable.
#include "table.h"
#include "math.h"

enum { MOST = 128 };

void table_tell(forge_row *row, float max) {
	uint32_t want = row->top_cap < MOST ? row->top_cap : MOST, n = 0;
	if (!row->top || !want || max == NEG_INF) return;
	double sum = 0; // exact for the tables that are short, as they are behind top_k
	if (row->n <= TABLE_EXACT)
		for (uint32_t i = 0; i < row->n; i++) sum += table_weight(row->logits[i], max);
	else
		sum = table_sum(row->logits, row->n, max);
	double log_sum = forge_log(sum);
	uint64_t best[MOST]; // highest first
	float least = NEG_INF;
	for (uint32_t i = 0; i < row->n; i++) {
		float x = row->logits[i];
		if (!(x > NEG_INF) || (n == want && x < least)) continue;
		uint64_t e = entry_of(x, table_id(row, i));
		uint32_t at = n;
		while (at > 0 && best[at - 1] < e) at--;
		if (at == want) continue;
		if (n < want) n++;
		for (uint32_t k = n - 1; k > at; k--) best[k] = best[k - 1];
		best[at] = e;
		least = entry_logit(best[n - 1]);
	}
	for (uint32_t k = 0; k < n; k++) row->top[k] = (forge_logprob){.id = entry_id(best[k]), .logprob = table_logprob(entry_logit(best[k]), max, log_sum)};
	row->n_top = n;
	row->logprob = table_logprob(row->logits[row->selected], max, log_sum);
}

void table_tell_certain(forge_row *row) {
	if (!row->top || !row->top_cap) return;
	row->top[0] = (forge_logprob){.id = table_id(row, (uint32_t)row->selected)};
	row->n_top = 1;
}
