// Prints llama.cpp's logits for a list of tokens, as JSON: peer_logits MODEL N_ROWS TOKEN...
// Rows are those of N_ROWS positions: the first, the last, and the rest evenly between. F32 cache, no flash attention,
// one thread; tools/peer_logits.py builds and runs it.
#include "llama.h"
#include <cstdio>
#include <cstdlib>
#include <set>
#include <vector>

static void quiet(ggml_log_level level, const char *text, void *) {
	if (level >= GGML_LOG_LEVEL_WARN) fputs(text, stderr);
}

int main(int argc, char **argv) {
	if (argc < 4) return fputs("usage: peer_logits MODEL N_ROWS TOKEN...\n", stderr), 2;
	std::vector<llama_token> tokens;
	for (int i = 3; i < argc; i++) tokens.push_back(atoi(argv[i]));
	const int n = (int)tokens.size(), n_rows = atoi(argv[2]);
	std::set<int> rows;
	for (int i = 0; i < n_rows; i++) rows.insert(n_rows == 1 ? n - 1 : i * (n - 1) / (n_rows - 1));

	llama_log_set(quiet, nullptr);
	llama_backend_init();
	llama_model_params mp = llama_model_default_params();
	llama_model *model = llama_model_load_from_file(argv[1], mp);
	if (!model) return 1;
	llama_context_params cp = llama_context_default_params();
	cp.n_ctx = 512, cp.n_batch = cp.n_ubatch = 512, cp.n_threads = cp.n_threads_batch = 1;
	cp.type_k = cp.type_v = GGML_TYPE_F32;
	cp.flash_attn_type = LLAMA_FLASH_ATTN_TYPE_DISABLED;
	llama_context *ctx = llama_init_from_model(model, cp);
	if (!ctx) return 1;
	llama_batch batch = llama_batch_init(n, 0, 1);
	batch.n_tokens = n;
	for (int i = 0; i < n; i++) {
		batch.token[i] = tokens[i], batch.pos[i] = i, batch.n_seq_id[i] = 1, batch.seq_id[i][0] = 0;
		batch.logits[i] = rows.count(i);
	}
	if (llama_decode(ctx, batch)) return 1;
	const int n_vocab = llama_vocab_n_tokens(llama_model_get_vocab(model));
	printf("{");
	for (auto it = rows.begin(); it != rows.end(); ++it) {
		const float *logits = llama_get_logits_ith(ctx, *it);
		printf("%s\"%d\": [", it == rows.begin() ? "" : ",\n", *it);
		for (int i = 0; i < n_vocab; i++) printf("%s%.7g", i ? ", " : "", logits[i]);
		printf("]");
	}
	printf("}\n");
	llama_batch_free(batch);
	llama_free(ctx);
	llama_model_free(model);
}
