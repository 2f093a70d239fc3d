// Prints how far llama.cpp's distributions for a model are from its own for another file, as JSON: peer_kl FLOAT MODEL TOKEN...
// FLOAT runs with an F32 cache and no flash attention. MODEL runs so too ("strict") and as llama.cpp runs by itself
// ("usual": F16 cache, flash attention if it likes). Divergences are sum p ln(p/q) in nats, p of FLOAT, a number for each
// token; "entropy" is the mean of p's. tools/kl_peers.py builds and runs it.
#include "llama.h"
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <vector>

typedef std::vector<std::vector<double>> rows; // log-probabilities after each token

static void quiet(ggml_log_level level, const char *text, void *) {
	if (level >= GGML_LOG_LEVEL_WARN) fputs(text, stderr);
}

static std::vector<double> log_softmax(const float *x, int n) {
	double most = x[0], sum = 0;
	for (int i = 1; i < n; i++) most = std::fmax(most, x[i]);
	for (int i = 0; i < n; i++) sum += std::exp(x[i] - most);
	std::vector<double> out(n);
	for (int i = 0; i < n; i++) out[i] = x[i] - most - std::log(sum);
	return out;
}

static rows run(llama_model *model, const std::vector<llama_token> &tokens, bool strict) {
	const int n = (int)tokens.size(), n_vocab = llama_vocab_n_tokens(llama_model_get_vocab(model));
	llama_context_params cp = llama_context_default_params();
	cp.n_ctx = n, cp.n_batch = cp.n_ubatch = n, cp.n_threads = cp.n_threads_batch = 1;
	if (strict) {
		cp.type_k = cp.type_v = GGML_TYPE_F32;
		cp.flash_attn_type = LLAMA_FLASH_ATTN_TYPE_DISABLED;
	}
	llama_context *ctx = llama_init_from_model(model, cp);
	if (!ctx) exit(1);
	llama_batch batch = llama_batch_init(n, 0, 1);
	batch.n_tokens = n;
	for (int i = 0; i < n; i++) {
		batch.token[i] = tokens[i], batch.pos[i] = i, batch.n_seq_id[i] = 1, batch.seq_id[i][0] = 0, batch.logits[i] = true;
	}
	if (llama_decode(ctx, batch)) exit(1);
	rows out;
	for (int i = 0; i < n; i++) out.push_back(log_softmax(llama_get_logits_ith(ctx, i), n_vocab));
	llama_batch_free(batch);
	llama_free(ctx);
	return out;
}

static llama_model *load(const char *path) {
	llama_model *model = llama_model_load_from_file(path, llama_model_default_params());
	if (!model) exit(1);
	return model;
}

static void print(const char *name, const rows &p, const rows &q) {
	printf("\"%s\": [", name);
	for (size_t r = 0; r < p.size(); r++) {
		double kl = 0;
		for (size_t i = 0; i < p[r].size(); i++) kl += std::exp(p[r][i]) * (p[r][i] - q[r][i]);
		printf("%s%.9g", r ? ", " : "", kl);
	}
	printf("],\n");
}

int main(int argc, char **argv) {
	if (argc < 4) return fputs("usage: peer_kl FLOAT MODEL TOKEN...\n", stderr), 2;
	std::vector<llama_token> tokens;
	for (int i = 3; i < argc; i++) tokens.push_back(atoi(argv[i]));
	llama_log_set(quiet, nullptr);
	llama_backend_init();
	llama_model *model = load(argv[1]);
	const rows p = run(model, tokens, true);
	llama_model_free(model);
	model = load(argv[2]);
	printf("{");
	print("strict", p, run(model, tokens, true));
	print("usual", p, run(model, tokens, false));
	llama_model_free(model);
	double entropy = 0;
	for (auto &row : p) for (double l : row) entropy -= std::exp(l) * l;
	printf("\"entropy\": %.9g}\n", entropy / p.size());
}
