// penalties lowers the logits of tokens among the last repeat_last_n: divided by repeat_penalty if positive, else
// multiplied (Keskar et al. 2019, CTRL, which divides both; dividing a negative logit would reward it), then
// count * frequency_penalty + presence_penalty is taken away. Computed in float64 and rounded once.
#include "sampler.h"

static inline float penalised(float logit, uint32_t count, double repeat, double frequency, double presence) {
	double x = logit <= 0 ? logit * repeat : logit / repeat;
	return (float)(x - (count * frequency + presence));
}

SAMPLER(penalties) {
	double repeat = table_param(row, PARAM_REPEAT_PENALTY), last = table_param(row, PARAM_REPEAT_LAST_N);
	double frequency = table_param(row, PARAM_FREQUENCY_PENALTY), presence = table_param(row, PARAM_PRESENCE_PENALTY);
	if (!is_finite(repeat) || !is_finite(last) || !is_finite(frequency) || !is_finite(presence) || repeat <= 0) return FORGE_ERR_CONFIG;
	uint32_t n = row->history_len;
	if (last >= 0 && last < n) n = (uint32_t)last;
	if (n == 0 || (repeat == 1 && frequency == 0 && presence == 0)) return FORGE_SKIP;

	const uint32_t *recent = row->history + (row->history_len - n);
	uint32_t *counts = sampler.counts;
	for (uint32_t i = 0; i < n; i++)
		if (recent[i] < sampler.n_vocab) counts[recent[i]]++;
	if (table_whole(row)) {
		for (uint32_t i = 0; i < n; i++) {
			uint32_t id = recent[i];
			if (id >= sampler.n_vocab || counts[id] == 0) continue;
			row->logits[id] = penalised(row->logits[id], counts[id], repeat, frequency, presence);
			counts[id] = 0; // a whole row has every id, so all counts end up 0
		}
	} else {
		for (uint32_t i = 0; i < row->n; i++) {
			uint32_t id = row->ids[i];
			if (id < sampler.n_vocab && counts[id]) row->logits[i] = penalised(row->logits[i], counts[id], repeat, frequency, presence);
		}
		for (uint32_t i = 0; i < n; i++)
			if (recent[i] < sampler.n_vocab) counts[recent[i]] = 0;
	}
	row->flags &= ~(uint32_t)FORGE_ROW_FLAG_SORTED;
	return FORGE_OK;
}
