// The shipped samplers: manifest, settings and scratch. One file each holds the samplers themselves.
#include "table.h"

FORGE_MANIFEST("name = \"sampler\"\n"
               "version = \"1.0\"\n"
               "kind = \"sampler\"\n"
               "abi = \"1.0\"\n"
               "state = \"stateless\"\n"
               "grants = [\"history\"]\n"
               "\n"
               "[[config]]\n"
               "name = \"temp\"\n"
               "type = \"f32\"\n"
               "default = 0.8\n"
               "min = -1.0\n"
               "max = 1000.0\n"
               "doc = \"divides the logits; 0 or less keeps the best candidate alone\"\n"
               "[[config]]\n"
               "name = \"top_k\"\n"
               "type = \"i32\"\n"
               "default = 40\n"
               "min = -1\n"
               "max = 2147483647\n"
               "doc = \"candidates kept; 0 or less: all\"\n"
               "[[config]]\n"
               "name = \"top_p\"\n"
               "type = \"f32\"\n"
               "default = 0.95\n"
               "min = 0.0\n"
               "max = 1.0\n"
               "doc = \"keeps the best candidates that together reach this probability; 1: all\"\n"
               "[[config]]\n"
               "name = \"min_p\"\n"
               "type = \"f32\"\n"
               "default = 0.05\n"
               "min = 0.0\n"
               "max = 1.0\n"
               "doc = \"drops candidates below this share of the best one's probability; 0: none\"\n"
               "[[config]]\n"
               "name = \"repeat_penalty\"\n"
               "type = \"f32\"\n"
               "default = 1.0\n"
               "min = 0.01\n"
               "max = 100.0\n"
               "doc = \"divides positive and multiplies other logits of recent tokens; 1: off\"\n"
               "[[config]]\n"
               "name = \"repeat_last_n\"\n"
               "type = \"i32\"\n"
               "default = 64\n"
               "min = -1\n"
               "max = 2147483647\n"
               "doc = \"tokens that the penalties look back; 0: none, -1: all\"\n"
               "[[config]]\n"
               "name = \"frequency_penalty\"\n"
               "type = \"f32\"\n"
               "default = 0.0\n"
               "min = -100.0\n"
               "max = 100.0\n"
               "doc = \"taken from a recent token's logit for each time it occurs\"\n"
               "[[config]]\n"
               "name = \"presence_penalty\"\n"
               "type = \"f32\"\n"
               "default = 0.0\n"
               "min = -100.0\n"
               "max = 100.0\n"
               "doc = \"taken once from each recent token's logit\"\n"
               "\n"
               "[[entries]]\n"
               "name = \"penalties\"\n"
               "config = [\"repeat_penalty\", \"repeat_last_n\", \"frequency_penalty\", \"presence_penalty\"]\n"
               "[[entries]]\n"
               "name = \"top_k\"\n"
               "config = [\"top_k\"]\n"
               "[[entries]]\n"
               "name = \"top_p\"\n"
               "config = [\"top_p\"]\n"
               "[[entries]]\n"
               "name = \"min_p\"\n"
               "config = [\"min_p\"]\n"
               "[[entries]]\n"
               "name = \"temperature\"\n"
               "config = [\"temp\"]\n"
               "[[entries]]\n"
               "name = \"dist\"\n"
               "config = []\n"
               "[[entries]]\n"
               "name = \"greedy\"\n"
               "config = []\n")
FORGE_MARKER(sampler)

sampler_state sampler;

FORGE_EXPORT(forge_init) int32_t init(forge_init *frame) {
	static const double defaults[N_PARAMS] = {0.8, 40, 0.95, 0.05, 1, 64, 0, 0};
	if (frame->head.size < sizeof *frame) return FORGE_FAIL(frame, FORGE_ERR_ABI, "the init frame is shorter than that of ABI " FORGE_ABI);
	for (uint32_t i = 0; i < N_PARAMS; i++) sampler.config[i] = i < frame->config_len ? frame->config[i] : defaults[i];
	uint32_t n = sampler.n_vocab = frame->n_vocab, blocks = n / 128 + 1;
	if (n == 0) return FORGE_FAIL(frame, FORGE_ERR_ARG, "a sampler needs to know the size of the vocabulary, and n_vocab is 0");
	if (n > 1u << 26) return FORGE_FAIL(frame, FORGE_ERR_NOMEM, "the vocabulary has more than 67108864 tokens");
	uint8_t *at = forge_grow(blocks * 20 + n * 20 + 64);
	if (!at) return FORGE_FAIL(frame, FORGE_ERR_NOMEM, "memory for the sampler's working tables was refused; raise the plugin's page limit");
	sampler.maxima = (v128_t *)at, at += blocks * 16;
	sampler.list = (uint64_t *)at, at += n * 8;
	sampler.other = (uint64_t *)at, at += n * 8;
	sampler.counts = (uint32_t *)at, at += n * 4;
	sampler.hits = (uint32_t *)at;
	frame->accepted = frame->offered & FORGE_CAP_HISTORY;
	return FORGE_OK;
}

int32_t table_check(forge_rows *frame) {
	if (frame->head.size < sizeof *frame) return FORGE_FAIL(frame, FORGE_ERR_ABI, "the rows frame is shorter than that of ABI " FORGE_ABI);
	for (uint32_t i = 0; i < frame->n_rows; i++) {
		const forge_row *row = &frame->rows[i];
		if (row->n > sampler.n_vocab) return FORGE_FAIL(frame, FORGE_ERR_ARG, "a row has more candidates than the vocabulary that forge_init was told of");
		if (table_whole(row) && row->n != frame->n_vocab) return FORGE_FAIL(frame, FORGE_ERR_ARG, "a whole row has another length than n_vocab");
	}
	return FORGE_OK;
}
