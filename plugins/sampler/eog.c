// ignore_eos forbids the tokens that end a generation; min_tokens does so until min_tokens tokens were generated. Where a
// narrowed table has nothing else, they go all the same, and whoever picks ends the sequence.
#include "text.h"

static int32_t forbid(forge_row *row) {
	uint32_t n_eog, kept = 0;
	const uint32_t *eog = vocab_eog(&n_eog);
	if (!vocab_known()) {
		sampler.why = "needs to know which tokens end a generation: give the plugin the grant vocab in plugins.toml";
		return FORGE_ERR_UNSUPPORTED;
	}
	if (table_whole(row)) {
		for (uint32_t i = 0; i < n_eog; i++)
			if (eog[i] < row->n) row->logits[eog[i]] = NEG_INF;
		row->flags &= ~(uint32_t)FORGE_ROW_FLAG_SORTED;
		return n_eog ? FORGE_OK : FORGE_SKIP;
	}
	for (uint32_t i = 0; i < n_eog; i++)
		if (eog[i] < sampler.n_vocab) sampler.counts[eog[i]] = 1;
	uint32_t n = row->n;
	for (uint32_t i = 0; i < n; i++) {
		uint32_t id = row->ids[i];
		if (id < sampler.n_vocab && sampler.counts[id]) continue;
		row->logits[kept] = row->logits[i];
		row->ids[kept++] = id;
	}
	for (uint32_t i = 0; i < n_eog; i++)
		if (eog[i] < sampler.n_vocab) sampler.counts[eog[i]] = 0;
	row->n = kept;
	if (kept == 0) row->flags |= FORGE_ROW_FLAG_STOP;
	return kept < n ? FORGE_OK : FORGE_SKIP;
}

SAMPLER(ignore_eos) { return table_param(row, PARAM_IGNORE_EOS) != 0 ? forbid(row) : FORGE_SKIP; }

SAMPLER(min_tokens) {
	double least = table_param(row, PARAM_MIN_TOKENS);
	if (!is_finite(least)) return FORGE_ERR_CONFIG;
	// pos counts draft rows too, which the history does not.
	double generated = (double)row->pos - row->n_prompt;
	return generated < least ? forbid(row) : FORGE_SKIP;
}
