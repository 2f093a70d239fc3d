// entropy chooses the temperature for each token by how undecided the model is: Zhang et al. 2024, EDT: improving large
// language models' generation by entropy-based dynamic temperature sampling,
//
//     t = entropy_temp * 0.8^(entropy_theta / H)
//
// with H the entropy of the candidates' probabilities in nats. A model that is sure is taken at its word, since t tends to 0
// with H; one that is not may use up to entropy_temp.
#include "guest.h"
#include "math.h"

FORGE_MANIFEST("name = \"entropy\"\nversion = \"1.0\"\nkind = \"sampler\"\nabi = \"1.0\"\n"
               "[[config]]\nname = \"entropy_temp\"\ntype = \"f32\"\ndefault = 1.0\nmin = 0.01\nmax = 10.0\ndoc = \"the temperature that is approached where the model is undecided\"\n"
               "[[config]]\nname = \"entropy_theta\"\ntype = \"f32\"\ndefault = 0.5\nmin = 0.0\nmax = 100.0\ndoc = \"how soon it is left as the model is surer; 0: never\"\n"
               "[[entries]]\nname = \"entropy\"\nconfig = [\"entropy_temp\", \"entropy_theta\"]\n")
FORGE_MARKER(sampler)

FORGE_EXPORT(forge_init) int32_t init(forge_init *frame) {
	frame->accepted = 0;
	return FORGE_OK;
}

// entropy_of gives the entropy of a row's probabilities: with w = exp(logit - max), ln(sum w) - sum(w (logit - max)) / sum w.
static double entropy_of(const forge_row *row, float max) {
	double sum = 0, mean = 0;
	for (uint32_t i = 0; i < row->n; i++) {
		if (!(row->logits[i] > -__builtin_inff())) continue; // NaN too
		double d = (double)row->logits[i] - (double)max, w = forge_exp(d);
		sum += w, mean += w * d;
	}
	return forge_log(sum) - mean / sum;
}

FORGE_EXPORT(sampler_entropy) int32_t entropy(forge_rows *frame) {
	int32_t status = FORGE_SKIP;
	for (forge_row *row = frame->rows; row < frame->rows + frame->n_rows; row++) {
		float max = -__builtin_inff();
		for (uint32_t i = 0; i < row->n; i++)
			if (row->logits[i] > max) max = row->logits[i];
		if (row->n < 2 || max - max != 0) continue; // none above -inf, or some at +inf: there is nothing to weigh
		double h = entropy_of(row, max), t = row->params[0];
		if (row->params[1] > 0) t *= h > 0 ? forge_exp(row->params[1] / h * forge_log(0.8)) : 0;
		if (t < 1e-4) t = 1e-4; // as good as the best alone, and no overflow
		for (uint32_t i = 0; i < row->n; i++) row->logits[i] = (float)(row->logits[i] / t);
		row->flags &= ~FORGE_ROW_FLAG_SORTED; // rounding may have made neighbours equal
		status = FORGE_OK;
	}
	return status;
}
